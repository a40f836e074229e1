// Where a request is carried over: in the request's own turn, or, if it is large, by the carrier.
//
// The two differ only in whose memory is taken. What the carrier takes is its own until the job is
// back; then it becomes the shard's like everything else that is held for the request.
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "req_convert.h"

enum { LENT_LEAST = 1 * MIB };

static void on_carrier(struct carrier_job *job, struct carrier *carrier)
{
    struct carry *carry = container_of(job, struct carry, job);
    carry->extents = &carrier->extents;
    carry->budget = &carrier->budget;
    carry_run(carry);
    // The shard counts it from its next turn on.
    budget_charge(carry->budget, &carry->lent, -(int64_t)carry->lent);
    carry->budget = NULL;
    carry->extents = NULL;
}

// All that was lent becomes the conversion's. False: there is no place for a piece.
static bool take_over(struct carry *carry)
{
    struct conversion *conversion = carry->req->conversion;
    struct net *net = &carry->req->shard->net;
    bool good = true;
    if (conversion->text.body != NULL)
        body_grown(conversion->text.body);
    for (uint32_t i = 0; i < carry->piece_count; i++) {
        const bool room = conversion->piece_count < CONVERT_PIECES_MAX;
        struct body *piece = room ? body_adopt(net, &carry->pieces[i]) : NULL;
        if (piece != NULL)
            conversion->pieces[conversion->piece_count++] = piece;
        else
            extent_give(&net->extents, &carry->pieces[i]);
        good &= piece != NULL;
    }
    if (carry->piece_count > 0 && conversion->piece_count > 0) // the next begins a new one
        conversion->piece_used = conversion->pieces[conversion->piece_count - 1]->buf.cap;
    carry->piece_count = 0;
    return good;
}

static void on_back(struct carrier_job *job)
{
    struct carry *carry = container_of(job, struct carry, job);
    struct req *req = carry->req;
    carry->out = false;
    carry->req->conversion->text.carry = NULL;
    if (!take_over(carry) && !failed(carry->err))
        carry->err = ERR(OVERLOADED);
    loop_ready(&req->shard->loop, &req->task);
}

bool carry_stage(struct carry *carry, enum carry_stage stage)
{
    struct req *req = carry->req;
    struct carrier *carrier = req->shard->shared->carrier;
    carry->stage = (uint8_t)stage;
    if (carrier == NULL || req->stream->body.len < carrier->least || !GUARD(CONVERT_APART)) {
        carry_run(carry);
        return true;
    }
    carry->job =
        (struct carrier_job){ .shard = req->shard->idx, .run = on_carrier, .on_back = on_back };
    carry->out = true;
    carry->req->conversion->text.carry = carry;
    carrier_give(carrier, &carry->job);
    return false;
}

static bool may_take(const struct carry *carry)
{
    return budget_level(carry->budget) != BUDGET_SHED;
}

static void note(struct carry *carry, size_t before, const struct extent *extent)
{
    budget_charge(carry->budget, &carry->lent, (int64_t)extent_bytes(extent) - (int64_t)before);
}

void *carry_take(struct carry *carry, size_t size)
{
    const size_t need = round_up(max_size(size, 1), 16);
    struct extent *last = carry->piece_count > 0 ? &carry->pieces[carry->piece_count - 1] : NULL;
    if (last == NULL || last->len - carry->piece_used < need) {
        last = &carry->pieces[carry->piece_count];
        if (carry->piece_count == CONVERT_PIECES_MAX || !may_take(carry) ||
            carry->lent + need > CONVERT_PIECES_BYTES_MAX ||
            !extent_take(carry->extents, last, max_size(need, LENT_LEAST)))
            return NULL;
        note(carry, 0, last);
        carry->piece_count++;
        carry->piece_used = 0;
    }
    char *at = last->ptr + carry->piece_used;
    carry->piece_used += (uint32_t)need;
    return at;
}

bool carry_grow(struct carry *carry, struct body *body, size_t len)
{
    const size_t before = extent_bytes(&body->extent);
    if (!may_take(carry) || !extent_grow(carry->extents, &body->extent, len))
        return false;
    note(carry, before, &body->extent);
    body->buf.data = body->extent.ptr;
    body->buf.cap = (uint32_t)body->extent.len;
    return true;
}
