// The request's life: named steps with asserted edges, run from one task.
//
// A step returns RUN (go on with the step it set), WAIT (something will wake the task) or DONE (the
// request is gone). Back edges lead only to PICK, only before the client has seen a byte, and at
// most REQ_TRIED_MAX times. What wakes a request only marks its task ready.
#include "req.h"

#include "lack.h"
#include "own.h"
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "req_convert.h"
#include "req_issuer.h"

static const uint32_t step_edges[STEP_COUNT] = {
    [STEP_BODY] = BIT(STEP_PLAN) | BIT(STEP_FAIL) | BIT(STEP_DONE),
    [STEP_PLAN] = BIT(STEP_PICK) | BIT(STEP_FAIL) | BIT(STEP_DONE),
    [STEP_PICK] = BIT(STEP_ESTIMATE) | BIT(STEP_DIAL) | BIT(STEP_FAIL) | BIT(STEP_DONE),
    [STEP_DIAL] =
        BIT(STEP_ESTIMATE) | BIT(STEP_SEND) | BIT(STEP_PICK) | BIT(STEP_FAIL) | BIT(STEP_DONE),
    [STEP_SEND] =
        BIT(STEP_ESTIMATE) | BIT(STEP_WAIT) | BIT(STEP_PICK) | BIT(STEP_FAIL) | BIT(STEP_DONE),
    // back to DIAL: the pooled connection was already closed, the same account once more
    [STEP_WAIT] = BIT(STEP_ESTIMATE) | BIT(STEP_STREAM) | BIT(STEP_REFUSED) | BIT(STEP_DIAL) |
                  BIT(STEP_PICK) | BIT(STEP_FAIL) | BIT(STEP_DONE),
    [STEP_REFUSED] = BIT(STEP_ESTIMATE) | BIT(STEP_PICK) | BIT(STEP_FAIL) | BIT(STEP_DONE),
    [STEP_STREAM] = BIT(STEP_ESTIMATE) | BIT(STEP_PICK) | BIT(STEP_FAIL) | BIT(STEP_DONE),
    [STEP_ESTIMATE] = BIT(STEP_FAIL) | BIT(STEP_DONE),
    [STEP_FAIL] = BIT(STEP_DONE),
    [STEP_DONE] = 0,
};

static const char *const step_names[STEP_COUNT] = {
    [STEP_BODY] = "body",       [STEP_PLAN] = "plan",     [STEP_PICK] = "pick",
    [STEP_DIAL] = "dial",       [STEP_SEND] = "send",     [STEP_WAIT] = "wait",
    [STEP_REFUSED] = "refused", [STEP_STREAM] = "stream", [STEP_ESTIMATE] = "estimate",
    [STEP_FAIL] = "fail",       [STEP_DONE] = "done",
};

static enum next (*const step_run[STEP_COUNT])(struct req *req) = {
    [STEP_BODY] = step_body,       [STEP_PLAN] = step_plan,     [STEP_PICK] = step_pick,
    [STEP_DIAL] = step_dial,       [STEP_SEND] = step_send,     [STEP_WAIT] = step_wait,
    [STEP_REFUSED] = step_refused, [STEP_STREAM] = step_stream, [STEP_ESTIMATE] = step_estimate,
    [STEP_FAIL] = step_fail,       [STEP_DONE] = step_done,
};

const char *req_step_name(enum step step)
{
    return step_names[step];
}

enum next req_goto(struct req *req, enum step to)
{
    assert(step_edges[req->step] & BIT(to));
    req->step = (uint8_t)to;
    return NEXT_RUN;
}

void req_arm(struct req *req, uint64_t ns)
{
    req_arm_waking(req, ns, UINT64_MAX);
}

void req_arm_waking(struct req *req, uint64_t ns, uint64_t wake_ns)
{
    struct loop *loop = &req->shard->loop;
    uint64_t at = loop->now_ns + ns;
    if (req->deadline_ns != 0 && req->deadline_ns < at)
        at = req->deadline_ns;
    req->wait_ns = at;
    stream_wake_at(req->stream, min_u64(at, wake_ns));
}

void req_arm_total(struct req *req)
{
    req->wait_ns = req->deadline_ns;
    if (req->deadline_ns != 0)
        stream_wake_at(req->stream, req->deadline_ns);
}

static const uint8_t step_stages[STEP_COUNT] = {
    [STEP_BODY] = STAGE_BODY,    [STEP_PLAN] = STAGE_BODY,     [STEP_PICK] = STAGE_PICK,
    [STEP_DIAL] = STAGE_DIAL,    [STEP_SEND] = STAGE_WAIT,     [STEP_WAIT] = STAGE_WAIT,
    [STEP_REFUSED] = STAGE_WAIT, [STEP_STREAM] = STAGE_STREAM, [STEP_ESTIMATE] = STAGE_PICK,
};

// What is not here is told by the side that is at fault.
static const uint8_t outcomes[ERR_CODE_COUNT] = {
    [ERR_THOUGHT_REFUSED] = OUTCOME_REFUSED,      [ERR_VENDOR_REFUSED] = OUTCOME_REFUSED,
    [ERR_UPSTREAM_AUTH] = OUTCOME_REFUSED,        [ERR_UPSTREAM_STATUS] = OUTCOME_REFUSED,
    [ERR_UPSTREAM_ERROR_EVENT] = OUTCOME_REFUSED, [ERR_NO_ADDRESS] = OUTCOME_CONNECT,
    [ERR_DNS_FAILED] = OUTCOME_CONNECT,           [ERR_CONNECT_FAILED] = OUTCOME_CONNECT,
    [ERR_TLS_FAILED] = OUTCOME_CONNECT,           [ERR_TLS_CERTIFICATE] = OUTCOME_CONNECT,
    [ERR_CONNECT_TIMEOUT] = OUTCOME_TIMEOUT,      [ERR_TLS_TIMEOUT] = OUTCOME_TIMEOUT,
    [ERR_UPSTREAM_FIRST_BYTE] = OUTCOME_TIMEOUT,  [ERR_UPSTREAM_IDLE] = OUTCOME_TIMEOUT,
    [ERR_UPSTREAM_TOTAL] = OUTCOME_TIMEOUT,
};

static enum figures_outcome outcome_of(struct err err)
{
    if (!failed(err) || outcomes[err.code] != OUTCOME_OK)
        return (enum figures_outcome)outcomes[err.code];
    return err.side == SIDE_CLIENT     ? OUTCOME_CLIENT
           : err.side == SIDE_UPSTREAM ? OUTCOME_BROKEN
                                       : OUTCOME_SELF;
}

void req_lease_drop(struct req *req)
{
    if (!req->leased)
        return;
    req->leased = false;
    struct shard_counters *counters = &req->shard->counters;
    const unsigned attempt = min_size(req->attempts, FIGURES_ATTEMPTS) - 1;
    counter_add(&counters->attempts[req->provider][outcome_of(req->err)][attempt], 1);
    counter_sub(&counters->upstream_active[req->provider], 1);
    slot_leave(slot_at(req->shard->shared->slots, req->account_slot.idx));
}

void req_head_wipe(struct req *req)
{
    bytes_wipe((void *)(uintptr_t)req->up_head.ptr, req->up_head.len);
    req->up_head = SPAN_NONE;
}

void req_arena_reset(struct req *req)
{
    req_head_wipe(req);
    arena_reset(&req->arena);
}

// Nothing was said to the client, who is still there.
static bool is_open(const struct req *req)
{
    return !req->pump.committed && !req->stream->replied && req->stream->client != CLIENT_GONE &&
           !req->shard->draining && !req_is_late(req);
}

// The vendor has no such operation, or does not know the model there (C-059).
static bool is_lacking(const struct req *req)
{
    if (req->err.code != ERR_VENDOR_REFUSED && req->err.code != ERR_MODEL_UNKNOWN &&
        req->err.code != ERR_UPSTREAM_STATUS)
        return false;
    return req->up_status == 404 || req->up_status == 405 || req->up_status == 501;
}

// The same account is asked once more: without the thoughts of which it refused one (C-064), or as
// a chat where it has no completions.
static bool may_go_again(struct req *req, struct err err)
{
    if (!is_open(req))
        return false;
    if (err.code == ERR_THOUGHT_REFUSED)
        return !req->thoughtless && GUARD(RELAY_THOUGHTLESS);
    return req->op == OP_COMPLETIONS && !req->converts && is_lacking(req);
}

static void go_again(struct req *req)
{
    assert(req->tried_count > 0); // the newest is the account at hand
    req->tried_count--;
    req->again = true;
    if (req->err.code != ERR_THOUGHT_REFUSED)
        return;
    counter_add(&req->shard->counters.thoughtless, 1);
    req->thoughtless = true;
    if (!req->converts)
        issuer_refused(req);
}

static bool may_retry(const struct req *req, struct err err)
{
    const struct relay_limits *limits = req->shard->shared->relay;
    if (err.retry != RETRY_OTHER || !is_open(req))
        return false;
    return req->tried_count < REQ_TRIED_MAX && req->attempts <= limits->retries;
}

// How many tokens a request has can be told without a vendor, if roughly.
static bool may_estimate(const struct req *req)
{
    if (!wire_op_counts((enum wire_op)req->op) || req->step == STEP_ESTIMATE)
        return false;
    if (req->pump.committed || req->stream->replied || req->route.count == 0)
        return false;
    return req->err.code == ERR_NO_ACCOUNT || req->err.side == SIDE_UPSTREAM || is_lacking(req);
}

enum next req_give_up(struct req *req)
{
    return req_goto(req, may_estimate(req) ? STEP_ESTIMATE : STEP_FAIL);
}

enum next req_fail(struct req *req, struct err err)
{
    assert(failed(err));
    struct shard *shard = req->shard;
    req->wait_ns = 0;
    convert_abandon(req);
    fetch_stop(&req->fetch, WHY_CANCELLED);
    req->err = err;
    req->stage = step_stages[req->step];
    if (!req->pump.committed && err.code != ERR_CLIENT_GONE)
        own_begin(req);
    if (err.retry == RETRY_SAME && !req->pump.committed && req->stale_retries == 0) {
        // Nothing of the request can have been acted on: a pooled connection was already closed.
        req->stale_retries++;
        req->fresh = true;
        counter_add(&shard->counters.stale_retries, 1);
        return req_goto(req, STEP_DIAL);
    }
    if (is_lacking(req) && !req->converts)
        lack_note(req);
    req_lease_drop(req);
    if (may_go_again(req, err)) {
        go_again(req);
        return req_goto(req, STEP_PICK);
    }
    if (may_retry(req, err)) {
        counter_add(&shard->counters.retries, 1);
        return req_goto(req, STEP_PICK);
    }
    return req_give_up(req);
}

void req_run(struct task *task)
{
    struct req *req = container_of(task, struct req, task);
    enum next next;
    if (unlikely(req->cut) && req->step < STEP_FAIL && !convert_is_out(req))
        (void)req_fail(req, ERR(DRAINING)); // FAIL is the next step that runs
    do
        next = step_run[req->step](req);
    while (next == NEXT_RUN);
    // After DONE the object is gone.
}

size_t req_describe(const void *arg, char *out, size_t cap)
{
    const struct req *req = arg;
    size_t len = 0;
    static const char text[] = "penstock: request ";
    const char *step = step_names[req->step];
    struct span parts[] = { span_of(text, sizeof(text) - 1), req_id(req), SPAN(" in step "),
                            span_str(step), SPAN("\n") };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        size_t part = min_size(parts[i].len, cap - len);
        memcpy(out + len, parts[i].ptr, part);
        len += part;
    }
    return len;
}
