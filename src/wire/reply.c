#include "penstock/wire/reply.h"

#include "penstock/base/check.h"
#include "penstock/codec/http1_write.h"
#include "penstock/codec/json_writer.h"
#include "penstock/codec/simd.h"

enum { ID_MAX = 128 };

struct wire_error wire_error_of(struct err err, struct span detail)
{
    assert(failed(err));
    struct wire_error error = {
        .fault = fault_of_err(err),
        .message = span_str(err_text(err.code)),
        .detail = detail,
    };
    // What a client got wrong keeps its exact status; of other failures each format has its own.
    if (fault_blame(error.fault) == BLAME_CLIENT)
        error.status = err_status(err.code);
    return error;
}

struct wire_error wire_error_of_note(const struct fault_note *note, bool same_format)
{
    struct wire_error error = {
        .fault = note->fault,
        .message = note_message(note),
        .retry_ms = note->retry_told ? note->retry_ms : 0,
    };
    bool ours = note->fault == FAULT_UPSTREAM_AUTH || note->fault == FAULT_SUSPENDED;
    if (ours)
        error.message = span_str(err_text(ERR_UPSTREAM_AUTH));
    else if (error.message.len == 0)
        error.message = span_str(err_text(ERR_UPSTREAM_STATUS));
    if (same_format && fault_blame(note->fault) == BLAME_CLIENT) {
        error.type = note_type(note);
        error.code = note_code(note);
        error.param = note_param(note);
        error.status = note->status;
    }
    if (note->fault == FAULT_UPSTREAM_FAILURE && note->status == 500)
        error.status = 500; // a vendor's own 500 stays one; what is no answer of its is a 502
    return error;
}

int wire_error_status(enum wire_family family, const struct wire_error *error)
{
    if (error->status >= 400 && error->status <= 599)
        return error->status;
    return fault_words(error->fault, family).status;
}

// `text`, cut at a character if it is too long.
static struct span bounded(struct span text, size_t max)
{
    if (text.len <= max)
        return text;
    size_t len = max;
    while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
        len--;
    return span_upto(text, len);
}

static bool starts_nocase(struct span text, struct span head)
{
    return text.len >= head.len && span_eq_nocase(span_upto(text, head.len), head);
}

static void put_message(struct jsonw *out, enum wire_family family, const struct wire_error *error)
{
    struct span message = bounded(error->message, WIRE_MESSAGE_MAX);
    jsonw_key(out, SPAN("message"));
    jsonw_string_begin(out);
    // Clients find out by this beginning that they have to shorten the conversation.
    struct span too_long = SPAN("prompt is too long");
    if (family == FAMILY_ANTHROPIC && error->fault == FAULT_CONTEXT_LONG &&
        !starts_nocase(message, too_long))
        jsonw_string_more(out, SPAN("prompt is too long: "));
    jsonw_string_more(out, message);
    if (error->detail.len > 0) {
        jsonw_string_more(out, SPAN(": "));
        jsonw_string_more(out, bounded(error->detail, JSON_PATH_TEXT + ID_MAX));
    }
    jsonw_string_end(out);
}

static void put_or_null(struct jsonw *out, struct span key, struct span text)
{
    if (text.len > 0)
        jsonw_member(out, key, bounded(text, NOTE_PARAM_MAX));
    else
        jsonw_member_null(out, key);
}

static struct span either(struct span own, struct span other)
{
    return own.len > 0 ? own : other;
}

static void put_openai(struct jsonw *out, const struct wire_error *error)
{
    struct fault_words words = fault_words(error->fault, FAMILY_OPENAI);
    bool vendor = error->type.len > 0 || error->code.len > 0;
    jsonw_object(out);
    put_message(out, FAMILY_OPENAI, error);
    jsonw_member(out, SPAN("type"), bounded(either(error->type, words.type), NOTE_TYPE_MAX));
    put_or_null(out, SPAN("param"), error->param);
    put_or_null(out, SPAN("code"), vendor ? error->code : words.code);
    jsonw_object_end(out);
}

static void put_anthropic(struct jsonw *out, const struct wire_error *error)
{
    struct fault_words words = fault_words(error->fault, FAMILY_ANTHROPIC);
    jsonw_object(out);
    jsonw_member(out, SPAN("type"), SPAN("error"));
    jsonw_key(out, SPAN("error"));
    jsonw_object(out);
    jsonw_member(out, SPAN("type"), bounded(either(error->type, words.type), NOTE_TYPE_MAX));
    put_message(out, FAMILY_ANTHROPIC, error);
    jsonw_object_end(out);
    if (error->request_id.len > 0)
        jsonw_member(out, SPAN("request_id"), bounded(error->request_id, ID_MAX));
    jsonw_object_end(out);
}

static void put_gemini_retry(struct jsonw *out, uint64_t retry_ms)
{
    char text[32];
    struct put delay = put_into(text, sizeof(text));
    put_u64(&delay, (retry_ms + 999) / 1000);
    put_span(&delay, SPAN("s"));
    jsonw_key(out, SPAN("details"));
    jsonw_array(out);
    jsonw_object(out);
    jsonw_member(out, SPAN("@type"), SPAN("type.googleapis.com/google.rpc.RetryInfo"));
    jsonw_member(out, SPAN("retryDelay"), put_done(&delay));
    jsonw_object_end(out);
    jsonw_array_end(out);
}

static void put_gemini(struct jsonw *out, const struct wire_error *error)
{
    struct fault_words words = fault_words(error->fault, FAMILY_GEMINI);
    jsonw_object(out);
    jsonw_key(out, SPAN("error"));
    jsonw_object(out);
    jsonw_member_u64(out, SPAN("code"), (uint64_t)wire_error_status(FAMILY_GEMINI, error));
    put_message(out, FAMILY_GEMINI, error);
    jsonw_member(out, SPAN("status"), bounded(either(error->type, words.type), NOTE_TYPE_MAX));
    if (error->retry_ms > 0)
        put_gemini_retry(out, error->retry_ms);
    jsonw_object_end(out);
    jsonw_object_end(out);
}

static void put_body(struct jsonw *out, enum wire_family family, const struct wire_error *error)
{
    switch (family) {
    case FAMILY_OPENAI:
    case FAMILY_RESPONSES:
        jsonw_object(out);
        jsonw_key(out, SPAN("error"));
        put_openai(out, error);
        jsonw_object_end(out);
        return;
    case FAMILY_ANTHROPIC: put_anthropic(out, error); return;
    case FAMILY_GEMINI: put_gemini(out, error); return;
    }
    bug("a family is one of four");
}

size_t wire_error_body(enum wire_family family, const struct wire_error *error,
                       char out[WIRE_ERROR_MAX])
{
    struct jsonw json;
    jsonw_init(&json, out, WIRE_ERROR_MAX);
    put_body(&json, family, error);
    assert(!json.overflow); // every text is bounded, and six times the sum of the bounds fits
    return jsonw_done(&json).len;
}

void wire_error_fields(enum wire_family family, const struct wire_error *error, struct put *out)
{
    int status = wire_error_status(family, error);
    bool again = status == 429 || status == 503 || status == 529;
    if (again && error->retry_ms > 0) {
        http_put_field_u64(out, SPAN("retry-after"), (error->retry_ms + 999) / 1000);
        if (family == FAMILY_OPENAI || family == FAMILY_RESPONSES)
            http_put_field_u64(out, SPAN("retry-after-ms"), error->retry_ms);
    }
    if (error->hopeless || (again && error->retry_ms > WIRE_RETRY_OBEYED_MS))
        http_put_field(out, SPAN("x-should-retry"), SPAN("false"));
}

// --------------------------------------------------------------------------- inside a stream

// The codes that Responses knows inside a stream, and two that agents act on although no list has
// them: one to shorten the conversation, one to stop trying.
static struct span responses_code(enum fault fault)
{
    if (fault == FAULT_RATE_LIMITED)
        return SPAN("rate_limit_exceeded");
    if (fault == FAULT_CONTEXT_LONG)
        return SPAN("context_length_exceeded");
    if (fault == FAULT_QUOTA)
        return SPAN("insufficient_quota");
    return fault_blame(fault) == BLAME_CLIENT ? SPAN("invalid_prompt") : SPAN("server_error");
}

static void put_event(struct put *out, struct span name, struct span data)
{
    if (name.len > 0) {
        put_span(out, SPAN("event: "));
        put_span(out, name);
        put_span(out, SPAN("\n"));
    }
    put_span(out, SPAN("data: "));
    put_span(out, data);
    put_span(out, SPAN("\n\n"));
}

static struct span responses_error(const struct wire_error *error, uint64_t sequence, char *out,
                                   size_t cap)
{
    struct jsonw json;
    jsonw_init(&json, out, cap);
    jsonw_object(&json);
    jsonw_member(&json, SPAN("type"), SPAN("error"));
    jsonw_member(&json, SPAN("code"), responses_code(error->fault));
    put_message(&json, FAMILY_RESPONSES, error);
    put_or_null(&json, SPAN("param"), error->param);
    jsonw_member_u64(&json, SPAN("sequence_number"), sequence);
    jsonw_object_end(&json);
    return jsonw_done(&json);
}

// A response object with the keys that strict clients look for.
static struct span responses_failed(const struct wire_error *error, const struct wire_place *place,
                                    char *out, size_t cap)
{
    struct jsonw json;
    jsonw_init(&json, out, cap);
    jsonw_object(&json);
    jsonw_member(&json, SPAN("type"), SPAN("response.failed"));
    jsonw_member_u64(&json, SPAN("sequence_number"), place->next_sequence + 1);
    jsonw_key(&json, SPAN("response"));
    jsonw_object(&json);
    struct span id = either(place->response_id, SPAN("resp_failed"));
    jsonw_member(&json, SPAN("id"), bounded(id, ID_MAX));
    jsonw_member(&json, SPAN("object"), SPAN("response"));
    jsonw_member_u64(&json, SPAN("created_at"), 0);
    jsonw_member(&json, SPAN("status"), SPAN("failed"));
    jsonw_key(&json, SPAN("error"));
    jsonw_object(&json);
    jsonw_member(&json, SPAN("code"), responses_code(error->fault));
    put_message(&json, FAMILY_RESPONSES, error);
    jsonw_object_end(&json);
    jsonw_member_null(&json, SPAN("incomplete_details"));
    jsonw_member_null(&json, SPAN("instructions"));
    jsonw_key(&json, SPAN("metadata"));
    jsonw_raw(&json, SPAN("{}"));
    jsonw_member(&json, SPAN("model"), bounded(place->model, ID_MAX));
    jsonw_key(&json, SPAN("output"));
    jsonw_raw(&json, SPAN("[]"));
    jsonw_key(&json, SPAN("parallel_tool_calls"));
    jsonw_bool(&json, true);
    jsonw_member_null(&json, SPAN("temperature"));
    jsonw_member(&json, SPAN("tool_choice"), SPAN("auto"));
    jsonw_key(&json, SPAN("tools"));
    jsonw_raw(&json, SPAN("[]"));
    jsonw_member_null(&json, SPAN("top_p"));
    jsonw_member_null(&json, SPAN("usage"));
    jsonw_object_end(&json);
    jsonw_object_end(&json);
    return jsonw_done(&json);
}

size_t wire_error_event(enum wire_family family, const struct wire_error *error,
                        const struct wire_place *place, char out[WIRE_ERROR_MAX])
{
    struct put put = put_into(out, WIRE_ERROR_MAX);
    // The message of an event appears twice in Responses: each half gets half of the room.
    char json[WIRE_ERROR_MAX];
    struct wire_error shown = *error;
    if (family == FAMILY_RESPONSES) {
        shown.message = bounded(error->message, WIRE_MESSAGE_MAX / 4);
        shown.detail = bounded(error->detail, ID_MAX);
        put_event(&put, SPAN("error"),
                  responses_error(&shown, place->next_sequence, json, sizeof(json)));
        put_event(&put, SPAN("response.failed"),
                  responses_failed(&shown, place, json, sizeof(json)));
    } else {
        size_t len = wire_error_body(family, &shown, json);
        bool named = family == FAMILY_ANTHROPIC;
        put_event(&put, named ? SPAN("error") : SPAN_NONE, span_of(json, len));
    }
    assert(!put.full);
    return put_done(&put).len;
}

struct span wire_keepalive(enum wire_family family)
{
    switch (family) {
    case FAMILY_OPENAI:
    case FAMILY_RESPONSES: return SPAN(": keep-alive\n\n");
    case FAMILY_ANTHROPIC: return SPAN("event: ping\ndata: {\"type\": \"ping\"}\n\n");
    // Its clients take a comment for broken JSON, and skip empty lines.
    case FAMILY_GEMINI: return SPAN("\n");
    }
    bug("a family is one of four");
}
