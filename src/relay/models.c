#include "models.h"

#include "penstock/base/check.h"
#include "penstock/codec/json_writer.h"
#include "reply.h"

enum { LIST_MAX = 1 * MIB };

static void put_model(struct jsonw *out, enum wire_family family, const struct snap_model *model)
{
    jsonw_object(out);
    if (family == FAMILY_GEMINI) {
        jsonw_key(out, SPAN("name"));
        jsonw_string_begin(out);
        jsonw_string_more(out, SPAN("models/"));
        jsonw_string_more(out, model->name);
        jsonw_string_end(out);
        jsonw_member(out, SPAN("displayName"), model->name);
    } else {
        jsonw_member(out, SPAN("id"), model->name);
        jsonw_member(out, SPAN("object"), SPAN("model"));
        jsonw_member(out, SPAN("type"), SPAN("model"));
        jsonw_member_u64(out, SPAN("created"), model->created_at / NS_PER_S);
        jsonw_member(out, SPAN("owned_by"), model->owned_by);
    }
    jsonw_object_end(out);
}

void models_answer(struct req *req, struct span query)
{
    (void)query;
    struct shard *shard = req->shard;
    enum wire_family family = (enum wire_family)req->family;
    const struct snap_key *key = snapshot_key(shard->snap, req->key_digest);
    struct body *body = body_take(&shard->net, LIST_MAX);
    if (key == NULL || body == NULL) {
        if (body != NULL)
            body_put(body);
        req->err = key == NULL ? ERR(KEY_INVALID) : ERR(OVERLOADED);
        req->step = STEP_FAIL;
        loop_ready(&shard->loop, &req->task);
        return;
    }
    struct jsonw out;
    jsonw_init(&out, body->buf.data, LIST_MAX);
    jsonw_object(&out);
    if (family != FAMILY_GEMINI)
        jsonw_member(&out, SPAN("object"), SPAN("list"));
    jsonw_key(&out, family == FAMILY_GEMINI ? SPAN("models") : SPAN("data"));
    jsonw_array(&out);
    uint32_t cursor = 0;
    const struct snap_model *model;
    while ((model = snapshot_model_next(shard->snap, key, BIT(req->format), &cursor)) != NULL)
        put_model(&out, family, model);
    jsonw_array_end(&out);
    jsonw_object_end(&out);
    struct span text = jsonw_done(&out);
    req->status = 200;
    stream_answer(req->stream, 200, SPAN("application/json"), SPAN_NONE, text);
    body_put(body);
    req->step = STEP_DONE;
    loop_ready(&shard->loop, &req->task);
}
