#include "reply.h"

#include "penstock/base/check.h"
#include "penstock/codec/json_writer.h"
#include "penstock/codec/url.h"
#include "wire_glue.h"

enum { ERROR_BODY_MAX = 2 * KIB };

static const struct span content_json = { "application/json", 16 };

size_t reply_render(enum wire_family family, struct err err, struct span detail, struct span id,
                    char *out, size_t cap, int *status)
{
    struct jsonw json;
    jsonw_init(&json, out, cap);
    *status = err_status(err.code) >= 200 ? err_status(err.code) : 500;
    struct span text = span_str(err_text(err.code));
    jsonw_object(&json);
    if (family == FAMILY_ANTHROPIC)
        jsonw_member(&json, SPAN("type"), SPAN("error"));
    jsonw_key(&json, SPAN("error"));
    jsonw_object(&json);
    if (family == FAMILY_GEMINI)
        jsonw_member_u64(&json, SPAN("code"), (uint64_t)*status);
    jsonw_key(&json, SPAN("message"));
    jsonw_string_begin(&json);
    jsonw_string_more(&json, text);
    if (detail.len > 0) {
        jsonw_string_more(&json, SPAN(": "));
        jsonw_string_more(&json, detail);
    }
    jsonw_string_end(&json);
    if (family != FAMILY_GEMINI)
        jsonw_member(&json, SPAN("type"), SPAN("invalid_request_error"));
    jsonw_object_end(&json);
    if (family == FAMILY_ANTHROPIC)
        jsonw_member(&json, SPAN("request_id"), id);
    jsonw_object_end(&json);
    return jsonw_done(&json).len;
}

static void put_fields(struct put *out, enum wire_family family, int status, struct span id)
{
    http_put_field(out, SPAN("x-request-id"), id);
    if (family == FAMILY_ANTHROPIC)
        http_put_field(out, SPAN("request-id"), id);
    if (status == 503)
        http_put_field(out, SPAN("retry-after"), SPAN("1"));
    if (status == 405)
        http_put_field(out, SPAN("allow"), SPAN("GET, POST"));
}

void reply_early(struct shard *shard, struct stream *stream, struct span target, struct err err)
{
    (void)shard;
    char body[ERROR_BODY_MAX], fields[256];
    int status;
    enum wire_family family = wire_route_find(target, METHOD_POST).family;
    struct span id = SPAN("none");
    size_t len = reply_render(family, err, SPAN_NONE, id, body, sizeof(body), &status);
    struct put out = put_into(fields, sizeof(fields));
    put_fields(&out, family, status, id);
    stream_answer(stream, status, content_json, put_done(&out), span_of(body, len));
}

size_t req_render_http_error(struct http_app *app, struct span target, struct err err, char *out,
                             size_t cap, struct span *content_type)
{
    (void)app;
    int status;
    *content_type = content_json;
    enum wire_family family = wire_route_find(target, METHOD_POST).family;
    return reply_render(family, err, SPAN_NONE, SPAN("none"), out, cap, &status);
}

// The vendor's own words, where they are about the request and not about our account.
static bool relay_refusal(struct req *req)
{
    struct pump *pump = &req->pump;
    bool own_words = req->err.code == ERR_VENDOR_REFUSED || req->err.code == ERR_UPSTREAM_STATUS;
    if (!own_words || req->up_status < 400 || pump->hold == NULL)
        return false;
    struct put out;
    struct stream *stream = req->stream;
    if (!stream_reply(stream, req->up_status, &out))
        return false;
    put_span(&out, req->reply_fields);
    put_fields(&out, (enum wire_family)req->family, 0, req_id(req));
    struct span body = span_of(pump->hold->buf.data, pump->hold_len);
    if (!stream_reply_end(stream, &out, REPLY_LENGTH, body.len) || !stream_send_copy(stream, body))
        stream_abort(stream, WHY_LIMIT);
    else
        stream_finish(stream);
    req->status = (int16_t)req->up_status;
    return true;
}

static void error_event(struct req *req)
{
    char body[ERROR_BODY_MAX];
    int status;
    struct stream *stream = req->stream;
    enum wire_family family = (enum wire_family)req->family;
    size_t len =
        reply_render(family, req->err, SPAN_NONE, req_id(req), body, sizeof(body), &status);
    bool named = family == FAMILY_ANTHROPIC || family == FAMILY_RESPONSES;
    bool sent = (!named || stream_send_copy(stream, SPAN("event: error\n"))) &&
                stream_send_copy(stream, SPAN("data: ")) &&
                stream_send_copy(stream, span_of(body, len)) &&
                stream_send_copy(stream, SPAN("\n\n"));
    if (sent)
        stream_finish(stream);
    else
        stream_abort(stream, WHY_LIMIT);
}

void reply_error(struct req *req)
{
    struct stream *stream = req->stream;
    assert(failed(req->err));
    if (stream->client == CLIENT_GONE || req->err.code == ERR_CLIENT_GONE) {
        req->status = 499;
        stream_abort(stream, stream->stalled ? WHY_STALLED : WHY_PEER);
        return;
    }
    if (stream->replied) {
        // A cut answer is never presented as complete: an event says so, or the cut itself.
        if (req->pump.sse && !req->pump.overlong)
            error_event(req);
        else
            stream_abort(stream, WHY_CANCELLED);
        return;
    }
    if (relay_refusal(req) || stream->ended)
        return;
    char body[ERROR_BODY_MAX], fields[256];
    int status;
    enum wire_family family = (enum wire_family)req->family;
    size_t len =
        reply_render(family, req->err, req->detail, req_id(req), body, sizeof(body), &status);
    struct put out = put_into(fields, sizeof(fields));
    put_fields(&out, family, status, req_id(req));
    req->status = (int16_t)status;
    stream_answer(stream, status, content_json, put_done(&out), span_of(body, len));
}
