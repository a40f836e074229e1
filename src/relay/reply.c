#include "reply.h"

#include "answer.h"
#include "cors.h"
#include "penstock/base/check.h"
#include "penstock/codec/url.h"
#include "req_convert.h"

enum { OVERLOAD_RETRY_MS = 1000, REPLY_FIELDS_MAX = 1 * KIB };

static const struct span content_json = { "application/json", 16 };

static void put_ids(struct put *out, enum wire_family family, struct span id)
{
    http_put_field(out, SPAN("x-request-id"), id);
    if (family == FAMILY_ANTHROPIC)
        http_put_field(out, SPAN("request-id"), id);
}

static struct span fresh_id(struct shard *shard, char out[REQ_ID_LEN])
{
    uint8_t bytes[USAGE_ID_BYTES];
    req_make_id(shard, bytes, out);
    return span_of(out, REQ_ID_LEN);
}

// A whole answer for an error that no request carries.
static void answer_plain(struct shard *shard, struct stream *stream, enum wire_family family,
                         struct err err)
{
    char body[WIRE_ERROR_MAX], fields[REPLY_FIELDS_MAX], id[REQ_ID_LEN];
    struct wire_error error = wire_error_of(err, SPAN_NONE);
    error.request_id = fresh_id(shard, id);
    if (err.code == ERR_OVERLOADED || err.code == ERR_ADDRESS_LIMIT)
        error.retry_ms = OVERLOAD_RETRY_MS;
    size_t len = wire_error_body(family, &error, body);
    struct put out = put_into(fields, sizeof(fields));
    put_ids(&out, family, error.request_id);
    wire_error_fields(family, &error, &out);
    stream_answer(stream, wire_error_status(family, &error), content_json, put_done(&out),
                  span_of(body, len));
}

void reply_early(struct shard *shard, struct stream *stream, struct span target, struct err err)
{
    answer_plain(shard, stream, wire_route_find(target, METHOD_POST).family, err);
}

void req_http_error(struct http_app *app, struct stream *stream, struct span target, struct err err)
{
    struct shard *shard = container_of(app, struct shard, app);
    answer_plain(shard, stream, wire_route_find(target, METHOD_POST).family, err);
}

// The request's error in the words of the wire layer: the vendor's own where it said something.
static struct wire_error error_of(struct req *req)
{
    const struct answer *answer = req->answer;
    bool vendors = answer != NULL && answer->note != NULL &&
                   fault_err(answer->note->fault).code == req->err.code;
    struct wire_error error = vendors ? wire_error_of_note(answer->note, !req->converts)
                                      : wire_error_of(req->err, req->detail);
    if (req->conversion != NULL && !vendors)
        error.param = convert_param(req);
    error.request_id = req_id(req);
    if (req->err.code == ERR_OVERLOADED || req->err.code == ERR_NO_ACCOUNT)
        error.retry_ms = max_u64(error.retry_ms, OVERLOAD_RETRY_MS);
    return error;
}

// Inside a stream whose head has been sent.
static void error_event(struct req *req)
{
    char bytes[WIRE_ERROR_MAX];
    struct stream *stream = req->stream;
    const struct wire_stream *seen = &req->answer->stream;
    struct wire_error error = error_of(req);
    struct wire_place place = {
        .response_id = span_of(seen->id, seen->id_len),
        .model = told_model_name(&seen->told),
        .next_sequence = seen->sequence,
    };
    if (req->converts)
        place = convert_place(req);
    size_t len = wire_error_event((enum wire_family)req->family, &error, &place, bytes);
    if (stream_send_copy(stream, span_of(bytes, len)))
        stream_finish(stream);
    else
        stream_abort(stream, WHY_LIMIT);
}

void reply_error(struct req *req)
{
    struct stream *stream = req->stream;
    enum wire_family family = (enum wire_family)req->family;
    assert(failed(req->err));
    if (stream->client == CLIENT_GONE || req->err.code == ERR_CLIENT_GONE) {
        req->status = stream->replied ? req->status : 499;
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
    char body[WIRE_ERROR_MAX], fields[REPLY_FIELDS_MAX];
    struct wire_error error = error_of(req);
    size_t len = wire_error_body(family, &error, body);
    struct put out = put_into(fields, sizeof(fields));
    put_ids(&out, family, error.request_id);
    wire_error_fields(family, &error, &out);
    cors_fields(&out, req->origin);
    if (req->err.code == ERR_METHOD_NOT_ALLOWED)
        http_put_field(&out, SPAN("allow"), req->allow);
    req->status = (int16_t)wire_error_status(family, &error);
    stream_answer(stream, req->status, content_json, put_done(&out), span_of(body, len));
}
