#include "models.h"

#include "cors.h"
#include "penstock/base/check.h"
#include "penstock/codec/url.h"
#include "penstock/wire/list.h"
#include "reply.h"

enum { MODEL_BYTES = 640, MODELS_COUNTED_MAX = 4096 };

static enum wire_list_form form_of(const struct req *req, struct span query)
{
    struct url_param param;
    if (req->family == FAMILY_GEMINI)
        return LIST_GEMINI;
    if (req->family == FAMILY_ANTHROPIC)
        return LIST_ANTHROPIC;
    return url_param_find(query, SPAN("client_version"), &param) ? LIST_CODEX : LIST_OPENAI;
}

static struct wire_model model_of(const struct snap_model *model)
{
    return (struct wire_model){
        .name = model->name,
        .owner = model->owned_by,
        .created_s = model->created_at / NS_PER_S,
    };
}

static struct span write_list(struct req *req, const struct snap_key *key, struct span query,
                              struct body *body)
{
    const struct snapshot *snap = req->shard->snap;
    enum wire_list_form form = form_of(req, query);
    uint32_t formats = BIT(req->format);
    // The lists of OpenAI's two formats are one.
    if (formats & (BIT(FORMAT_OPENAI) | BIT(FORMAT_RESPONSES)))
        formats |= BIT(FORMAT_OPENAI) | BIT(FORMAT_RESPONSES);
    char *room = arena_take(&req->arena, max_size(query.len, 1));
    if (room == NULL)
        return SPAN_NONE;
    struct wire_list list;
    wire_list_begin(&list, form, wire_page_read(form, query, room, query.len), body->buf.data,
                    body->buf.cap);
    const struct snap_model *model;
    uint32_t cursor = 0;
    if (wire_list_looks_back(&list))
        while ((model = snapshot_model_next(snap, key, formats, &cursor)) != NULL)
            wire_list_seek(&list, model->name);
    cursor = 0;
    while ((model = snapshot_model_next(snap, key, formats, &cursor)) != NULL) {
        struct wire_model entry = model_of(model);
        wire_list_add(&list, &entry);
    }
    return wire_list_end(&list);
}

static void send_list(struct req *req, struct span text)
{
    char fields[1 * KIB];
    struct put out = put_into(fields, sizeof(fields));
    http_put_field(&out, SPAN("x-request-id"), req_id(req));
    if (req->family == FAMILY_ANTHROPIC)
        http_put_field(&out, SPAN("request-id"), req_id(req));
    cors_fields(&out, req->origin);
    req->status = 200;
    stream_answer(req->stream, 200, SPAN("application/json"), put_done(&out), text);
}

struct err models_answer(struct req *req, struct span query)
{
    struct shard *shard = req->shard;
    const struct snap_key *key = snapshot_key(shard->snap, req->key_digest);
    if (key == NULL)
        return ERR(KEY_INVALID);
    size_t cap = (size_t)MODEL_BYTES * MODELS_COUNTED_MAX;
    struct body *body = body_take(&shard->net, req->op == OP_MODELS ? cap : MODEL_BYTES * 4);
    if (body == NULL)
        return ERR(OVERLOADED);
    struct span text = SPAN_NONE;
    if (req->op == OP_MODELS) {
        text = write_list(req, key, query, body);
    } else {
        const struct snap_model *model = snapshot_model(shard->snap, key, FORMATS_ALL, req->model);
        if (model == NULL) {
            body_put(body);
            return ERR(MODEL_UNKNOWN);
        }
        struct wire_model entry = model_of(model);
        text = wire_model_write(form_of(req, query), &entry, body->buf.data, body->buf.cap);
    }
    if (text.len > 0)
        send_list(req, text);
    body_put(body);
    return text.len > 0 ? OK : ERR(OVERLOADED);
}
