#include "up_head.h"

#include "fields.h"
#include "penstock/codec/http1_write.h"
#include "penstock/provider/provider.h"
#include "req_convert.h"

enum { ROOM_MIN = 1 * KIB, LENGTH_DIGITS_MAX = 20 };

static struct span model_of(const struct req *req)
{
    return req->vendor_model.len > 0 ? req->vendor_model : req->model;
}

static size_t body_length(const struct req *req)
{
    return req->converts ? convert_length(req)
                         : splice_length(&req->plan->splice, req->stream->body.len);
}

// The form that this head may have, or is to be kept in; NULL if it is none that comes again.
static struct up_form *form_of(const struct req *req)
{
    if (req->head_nr == 0 || req->converts)
        return NULL;
    return &req->shard->habits[req->head_nr % SHARD_HABITS].up;
}

static bool is_like(const struct up_form *form, const struct req *req,
                    const struct snap_account *account)
{
    return form->head_nr == req->head_nr && form->generation == req->generation &&
           form->account == account->idx &&
           span_eq_name(span_of(form->text, form->model_len), model_of(req));
}

static struct err write_like(struct req *req, const struct snap_account *account,
                             const struct up_form *form)
{
    const struct span lines = secret_reveal(account->lines);
    const char *text = form->text + form->model_len;
    const size_t room = form->len + lines.len + LENGTH_DIGITS_MAX;
    char *at = arena_take(&req->arena, room);
    if (at == NULL)
        return ERR(OVERLOADED);
    struct put out = put_into(at, room);
    put_span(&out, span_of(text, form->lines_at));
    put_span(&out, lines);
    put_span(&out, span_of(text + form->lines_at, (size_t)(form->length_at - form->lines_at)));
    put_u64(&out, body_length(req));
    put_span(&out, span_of(text + form->length_at, (size_t)(form->len - form->length_at)));
    req->up_head = put_done(&out);
    return OK;
}

// Where in a head the parts stand that are not kept.
struct places {
    size_t lines_at, lines_end;
    size_t length_at, length_end;
};

static void keep(struct up_form *form, const struct req *req, const struct snap_account *account,
                 const struct places *places)
{
    const struct span head = req->up_head, model = model_of(req);
    struct put out = put_into(form->text, sizeof(form->text));
    put_span(&out, model);
    put_span(&out, span_upto(head, places->lines_at));
    put_span(&out, span_of(head.ptr + places->lines_end, places->length_at - places->lines_end));
    put_span(&out, span_from(head, places->length_end));
    form->head_nr = out.full ? 0 : req->head_nr;
    form->generation = req->generation;
    form->account = account->idx;
    form->model_len = (uint16_t)model.len;
    form->lines_at = (uint16_t)places->lines_at;
    form->length_at = (uint16_t)(places->length_at - (places->lines_end - places->lines_at));
    form->len = (uint16_t)(put_done(&out).len - model.len);
}

static size_t written(const struct put *out)
{
    return put_done(out).len;
}

static struct err write_in(struct req *req, const struct snap_account *account, size_t least)
{
    size_t room;
    char *at = arena_rest(&req->arena, least, &room);
    if (at == NULL)
        return ERR(OVERLOADED);
    struct put out = put_into(at, room);
    const struct provider *provider = provider_of(account->type);
    const struct provider_call call = {
        .op = (enum wire_op)req->up_op,
        .path = account->path,
        .model = model_of(req),
        .version = req->converts ? SPAN_NONE : req->version,
        .query = req->converts ? SPAN_NONE : req->query,
        .events = req->converts && req->stream_wanted,
    };
    struct places places;
    put_span(&out, SPAN("POST "));
    provider->target(&call, &out);
    put_span(&out, SPAN(" HTTP/1.1\r\n"));
    places.lines_at = written(&out);
    put_span(&out, secret_reveal(account->lines));
    places.lines_end = written(&out);
    put_span(&out, SPAN("content-type: application/json\r\naccept-encoding: identity\r\n"
                        "user-agent: penstock/" PENSTOCK_VERSION "\r\ncontent-length: "));
    places.length_at = written(&out);
    put_u64(&out, body_length(req));
    places.length_end = written(&out);
    put_span(&out, SPAN("\r\n"));
    provider->fields(account, req->converts ? SPAN_NONE : req->fields, &out);
    if (req->converts)
        fields_convert(&out, req->fields);
    else
        put_span(&out, req->fields);
    put_span(&out, SPAN("\r\n"));
    req->up_head = put_done(&out);
    arena_trim(&req->arena, room, req->up_head.len);
    if (out.full)
        return ERR(HEAD_TOO_LARGE);
    struct up_form *form = form_of(req);
    if (form != NULL)
        keep(form, req, account, &places);
    return OK;
}

struct err up_head_write(struct req *req, const struct snap_account *account)
{
    req_head_wipe(req);
    const struct up_form *form = form_of(req);
    if (form != NULL && likely(is_like(form, req, account)))
        return write_like(req, account, form);
    struct err err = write_in(req, account, ROOM_MIN);
    if (err.code != ERR_HEAD_TOO_LARGE)
        return err;
    req_head_wipe(req);       // once more, with room for all of it
    const size_t encoded = 3; // the longest form of a byte in a path
    return write_in(req, account,
                    ROOM_MIN + account->path.len + secret_reveal(account->lines).len +
                        req->fields.len + req->version.len + req->query.len +
                        encoded * (req->model.len + req->vendor_model.len));
}
