// What is said in each format. Sizes follow from the nonce, so that both sides know them.
#include "relay_sim.h"

#include <jansson.h>

static uint32_t mixed(uint32_t nonce, uint32_t i)
{
    uint64_t word =
        (uint64_t)nonce * UINT64_C(0x9e3779b97f4a7c15) + i * UINT64_C(0xff51afd7ed558ccd);
    word ^= word >> 29;
    word *= UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(word >> 32);
}

static size_t text_size(const struct call *call, uint32_t i)
{
    uint32_t dice = mixed(call->nonce, i), kind = dice % 100;
    dice /= 100;
    if (call->huge && i == call->events / 2)
        return 60 * KIB + dice % (40 * KIB);
    if (kind < 85)
        return dice % 40;
    return dice % (kind < 97 ? 2000 : 12000);
}

struct say_tokens say_tokens(const struct call *call)
{
    return (struct say_tokens){ 10 + call->nonce % 1000, call->nonce % 7, 5 + call->nonce % 500 };
}

// --- requests

void say_request_body(const struct call *call, bool for_vendor, struct text *out)
{
    const char *model = for_vendor ? call->vendor_model : call->model;
    const char *stream = call->bad == BAD_TYPE ? ",\"stream\":7"
                         : call->stream        ? ",\"stream\":true"
                                               : "";
    bool gemini = call->kind >= KIND_GEMINI;
    if (!gemini)
        text_printf(out, "{\"model\":\"%s\"", model);
    switch ((enum kind)call->kind) {
    case KIND_CHAT: {
        const char *options = call->stream && (for_vendor || call->wants_usage)
                                  ? ",\"stream_options\":{\"include_usage\":true}"
                                  : "";
        text_printf(out, "%s%s,\"messages\":[{\"role\":\"user\",\"content\":\"", stream, options);
        break;
    }
    case KIND_RESPONSES:
        text_printf(out, "%s,\"input\":[{\"role\":\"user\",\"content\":\"", stream);
        break;
    case KIND_MESSAGES:
        text_printf(out, "%s,\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"",
                    stream);
        break;
    case KIND_GEMINI:
    case KIND_GEMINI_ARRAY: text_printf(out, "{\"contents\":[{\"parts\":[{\"text\":\""); break;
    case KIND_COUNT: bug("no kind");
    }
    text_printf(out, "nonce-%08x ", call->nonce);
    text_add_char(out, 'q', call->fill);
    text_printf(out, gemini ? "\"}]}]}" : "\"}]}");
    if (call->bad == BAD_JSON)
        out->len -= 3;
}

static void say_target(const struct call *call, struct span key, struct text *out)
{
    static const char *const paths[] = { "/v1/chat/completions", "/v1/responses", "/v1/messages" };
    if (call->kind < KIND_GEMINI) {
        text_printf(out, "%s%s", paths[call->kind], call->bad == BAD_PATH ? "/nothing" : "");
        return;
    }
    text_printf(out, "/v1beta/models/%s:%s", call->model,
                call->bad == BAD_PATH ? "nothing"
                : call->stream        ? "streamGenerateContent"
                                      : "generateContent");
    bool sse = call->stream && call->kind == KIND_GEMINI;
    if (sse)
        text_printf(out, "?alt=sse");
    if (call->query_key)
        text_printf(out, "%ckey=%.*s", sse ? '&' : '?', (int)key.len, key.ptr);
}

static void say_chunks(const struct call *call, struct span body, struct text *out)
{
    for (uint32_t i = 0; body.len > 0; i++) {
        size_t len = min_size(body.len, 1 + mixed(call->nonce, 7000 + i) % (i < 8 ? 40 : 30000));
        if (call->bad == BAD_CHUNK && i == 2)
            text_printf(out, "nine\r\n");
        text_printf(out, "%zx\r\n", len);
        text_add(out, span_upto(body, len));
        text_printf(out, "\r\n");
        body = span_from(body, len);
    }
    text_printf(out, "0\r\n\r\n");
}

void say_request(struct call *call, struct span key, struct text *out)
{
    static const char *const fields[] = { "authorization: Bearer ", "authorization: Bearer ",
                                          "x-api-key: ", "x-goog-api-key: ", "x-goog-api-key: " };
    if (call->bad == BAD_HEAD) {
        text_printf(out, "GET  /v1/models nonsense\r\n\r\n");
        return;
    }
    struct text body = { 0 };
    say_request_body(call, false, &body);
    text_printf(out, "POST ");
    say_target(call, key, out);
    text_printf(out, " HTTP/1.%d\r\nhost: gateway\r\ncontent-type: application/json\r\n",
                call->http10 ? 0 : 1);
    if (!call->query_key && call->bad != BAD_NO_KEY)
        text_printf(out, "%s%.*s\r\n", fields[call->kind], (int)key.len, key.ptr);
    if (call->close || call->http10)
        text_printf(out, "connection: %s\r\n", call->close ? "close" : "keep-alive");
    if (call->expect)
        text_printf(out, "expect: 100-continue\r\n");
    if (call->chunked)
        text_printf(out, "transfer-encoding: chunked\r\n");
    if (!call->chunked || call->bad == BAD_LENGTHS)
        text_printf(out, "content-length: %zu\r\n",
                    call->bad == BAD_BIG ? (size_t)1 << 30 : body.len);
    text_printf(out, "\r\n");
    if (call->chunked)
        say_chunks(call, text_span(&body), out);
    else
        text_add(out, text_span(&body));
    text_fini(&body);
}

// --- answers

struct saying {
    const struct call *call;
    unsigned attempt;
    const char *model;
    struct say *out;
    unsigned sequence;
};

static void event_end(struct saying *saying, bool terminal)
{
    struct say *say = saying->out;
    assert(say->count < SIM_SAY_EVENTS_MAX);
    say->ends[say->count] = say->text.len;
    say->terminal[say->count++] = terminal;
}

static void put_text(struct saying *saying, uint32_t i)
{
    struct text *text = &saying->out->text;
    text_printf(text, "%08x.%u.%u ", saying->call->nonce, saying->attempt, i);
    text_add_char(text, (char)('a' + i % 26), text_size(saying->call, i));
}

static void all_text(struct saying *saying)
{
    for (uint32_t i = 0; i < saying->call->events; i++)
        put_text(saying, i);
}

static void chat_usage(const struct call *call, struct text *text)
{
    struct say_tokens tokens = say_tokens(call);
    text_printf(text,
                "{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u,"
                "\"prompt_tokens_details\":{\"cached_tokens\":%u}}",
                tokens.input + tokens.cached, tokens.output,
                tokens.input + tokens.cached + tokens.output, tokens.cached);
}

static void chat_event(struct saying *saying, const char *before, int32_t text_at,
                       const char *after, bool terminal)
{
    struct text *text = &saying->out->text;
    text_printf(text,
                "data: {\"id\":\"c%08x\",\"object\":\"chat.completion.chunk\",\"created\":1,"
                "\"model\":\"%s\",\"choices\":[%s",
                saying->call->nonce, saying->model, before);
    if (text_at >= 0)
        put_text(saying, (uint32_t)text_at);
    text_printf(text, "%s}\n\n", after);
    event_end(saying, terminal);
}

static void chat_stream(struct saying *saying, bool usage)
{
    const struct call *call = saying->call;
    struct text *text = &saying->out->text;
    chat_event(saying, "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},", -1,
               "\"finish_reason\":null}]", false);
    for (uint32_t i = 0; i < call->events; i++)
        chat_event(saying, "{\"index\":0,\"delta\":{\"content\":\"", (int32_t)i,
                   "\"},\"finish_reason\":null}]", false);
    chat_event(saying, "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}", -1, "]", true);
    if (usage) {
        text_printf(text,
                    "data: {\"id\":\"c%08x\",\"object\":\"chat.completion.chunk\",\"created\":1,"
                    "\"model\":\"%s\",\"choices\":[],\"usage\":",
                    call->nonce, saying->model);
        chat_usage(call, text);
        text_printf(text, "}\n\n");
        event_end(saying, true);
    }
    text_printf(text, "data: [DONE]\n\n");
    event_end(saying, true);
}

static void responses_object(struct saying *saying, bool done)
{
    const struct call *call = saying->call;
    struct text *text = &saying->out->text;
    struct say_tokens tokens = say_tokens(call);
    text_printf(text,
                "{\"id\":\"resp_%08x\",\"object\":\"response\",\"status\":\"%s\",\"error\":null,"
                "\"model\":\"%s\",\"output\":[",
                call->nonce, done ? "completed" : "in_progress", saying->model);
    if (done) {
        text_printf(text, "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":"
                          "\"output_text\",\"text\":\"");
        if (!call->stream)
            all_text(saying);
        text_printf(text,
                    "\"}]}],\"usage\":{\"input_tokens\":%u,\"input_tokens_details\":"
                    "{\"cached_tokens\":%u},\"output_tokens\":%u,\"total_tokens\":%u}}",
                    tokens.input + tokens.cached, tokens.cached, tokens.output,
                    tokens.input + tokens.cached + tokens.output);
    } else {
        text_printf(text, "],\"usage\":null}");
    }
}

static void responses_head(struct saying *saying, const char *type)
{
    text_printf(&saying->out->text, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%u",
                type, type, saying->sequence++);
}

static void responses_stream(struct saying *saying)
{
    struct text *text = &saying->out->text;
    responses_head(saying, "response.created");
    text_printf(text, ",\"response\":");
    responses_object(saying, false);
    text_printf(text, "}\n\n");
    event_end(saying, false);
    responses_head(saying, "response.output_item.added");
    text_printf(text, ",\"output_index\":0,\"item\":{\"type\":\"message\",\"content\":[]}}\n\n");
    event_end(saying, false);
    for (uint32_t i = 0; i < saying->call->events; i++) {
        responses_head(saying, "response.output_text.delta");
        text_printf(text, ",\"output_index\":0,\"delta\":\"");
        put_text(saying, i);
        text_printf(text, "\"}\n\n");
        event_end(saying, false);
    }
    responses_head(saying, "response.completed");
    text_printf(text, ",\"response\":");
    responses_object(saying, true);
    text_printf(text, "}\n\n");
    event_end(saying, true);
}

static void messages_usage(struct saying *saying)
{
    struct say_tokens tokens = say_tokens(saying->call);
    text_printf(&saying->out->text,
                "{\"input_tokens\":%u,\"cache_read_input_tokens\":%u,\"output_tokens\":%u}",
                tokens.input, tokens.cached, tokens.output);
}

static void messages_event(struct saying *saying, const char *type, const char *rest, bool terminal)
{
    text_printf(&saying->out->text, "event: %s\ndata: {\"type\":\"%s\"%s}\n\n", type, type, rest);
    event_end(saying, terminal);
}

static void messages_stream(struct saying *saying)
{
    struct text *text = &saying->out->text;
    text_printf(text,
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":"
                "\"msg_%08x\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"%s\","
                "\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":%u,"
                "\"cache_read_input_tokens\":%u,\"output_tokens\":1}}}\n\n",
                saying->call->nonce, saying->model, say_tokens(saying->call).input,
                say_tokens(saying->call).cached);
    event_end(saying, false);
    messages_event(saying, "content_block_start",
                   ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}", false);
    messages_event(saying, "ping", "", false);
    for (uint32_t i = 0; i < saying->call->events; i++) {
        text_printf(text, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
                          "\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"");
        put_text(saying, i);
        text_printf(text, "\"}}\n\n");
        event_end(saying, false);
    }
    messages_event(saying, "content_block_stop", ",\"index\":0", false);
    text_printf(text, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":"
                      "{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":");
    messages_usage(saying);
    text_printf(text, "}\n\n");
    event_end(saying, true);
    messages_event(saying, "message_stop", "", true);
}

static void gemini_part(struct saying *saying, bool last)
{
    struct text *text = &saying->out->text;
    struct say_tokens tokens = say_tokens(saying->call);
    text_printf(text, "\"}]}%s,\"index\":0}],\"modelVersion\":\"%s\",\"responseId\":\"g%08x\"",
                last ? ",\"finishReason\":\"STOP\"" : "", saying->model, saying->call->nonce);
    if (last)
        text_printf(text,
                    ",\"usageMetadata\":{\"promptTokenCount\":%u,\"cachedContentTokenCount\":%u,"
                    "\"candidatesTokenCount\":%u,\"totalTokenCount\":%u}",
                    tokens.input + tokens.cached, tokens.cached, tokens.output,
                    tokens.input + tokens.cached + tokens.output);
    text_printf(text, "}");
}

static void gemini_stream(struct saying *saying)
{
    struct text *text = &saying->out->text;
    bool sse = saying->call->kind == KIND_GEMINI;
    uint32_t count = saying->call->events + 1;
    for (uint32_t i = 0; i < count; i++) {
        text_printf(text,
                    "%s{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"",
                    sse      ? "data: "
                    : i == 0 ? "["
                             : ",\r\n");
        put_text(saying, i);
        gemini_part(saying, i + 1 == count);
        if (sse) {
            text_printf(text, "\r\n\r\n");
            event_end(saying, i + 1 == count);
        }
    }
    if (!sse)
        text_printf(text, "]");
}

static void whole(struct saying *saying)
{
    const struct call *call = saying->call;
    struct text *text = &saying->out->text;
    switch ((enum kind)call->kind) {
    case KIND_CHAT:
        text_printf(text,
                    "{\"id\":\"c%08x\",\"object\":\"chat.completion\",\"model\":\"%s\","
                    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"",
                    call->nonce, saying->model);
        all_text(saying);
        text_printf(text, "\"},\"finish_reason\":\"stop\"}],\"usage\":");
        chat_usage(call, text);
        break;
    case KIND_RESPONSES: responses_object(saying, true); return;
    case KIND_MESSAGES:
        text_printf(text,
                    "{\"id\":\"msg_%08x\",\"type\":\"message\",\"model\":\"%s\",\"content\":"
                    "[{\"type\":\"text\",\"text\":\"",
                    call->nonce, saying->model);
        all_text(saying);
        text_printf(text, "\"}],\"stop_reason\":\"end_turn\",\"usage\":");
        messages_usage(saying);
        break;
    case KIND_GEMINI:
    case KIND_GEMINI_ARRAY:
        text_printf(text,
                    "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"");
        all_text(saying);
        gemini_part(saying, true);
        return;
    case KIND_COUNT: bug("no kind");
    }
    text_printf(text, "}");
}

void say_answer(const struct call *call, unsigned attempt, bool for_client, struct say *out)
{
    memset(out, 0, sizeof(*out));
    struct saying saying = {
        .call = call,
        .attempt = attempt,
        .model = for_client ? call->model : call->vendor_model,
        .out = out,
    };
    if (!call->stream) {
        whole(&saying);
        return;
    }
    switch ((enum kind)call->kind) {
    case KIND_CHAT: chat_stream(&saying, !for_client || call->wants_usage); return;
    case KIND_RESPONSES: responses_stream(&saying); return;
    case KIND_MESSAGES: messages_stream(&saying); return;
    case KIND_GEMINI:
    case KIND_GEMINI_ARRAY: gemini_stream(&saying); return;
    case KIND_COUNT: bug("no kind");
    }
}

struct call say_turned(const struct call *call, enum kind kind)
{
    struct call turned = *call;
    turned.kind = (uint8_t)kind;
    return turned;
}

void say_text(const struct call *call, unsigned attempt, struct text *out)
{
    const struct call turned = say_turned(call, (enum kind)call->attempts[attempt].kind);
    struct say say = { .text = *out };
    struct saying saying = { .call = &turned, .attempt = attempt, .out = &say };
    all_text(&saying);
    if (turned.stream && turned.kind >= KIND_GEMINI)
        put_text(&saying, turned.events); // its end brings text too
    *out = say.text;
}

void say_fini(struct say *say)
{
    text_fini(&say->text);
}

// --- errors

void say_error(const struct call *call, int status, struct text *out)
{
    if (call->kind == KIND_MESSAGES)
        text_printf(out,
                    "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"vendor %08x\"}}",
                    status == 429 ? "rate_limit_error" : "api_error", call->nonce);
    else if (call->kind >= KIND_GEMINI)
        text_printf(out, "{\"error\":{\"code\":%d,\"message\":\"vendor %08x\",\"status\":\"%s\"}}",
                    status, call->nonce, status == 429 ? "RESOURCE_EXHAUSTED" : "UNAVAILABLE");
    else
        text_printf(out, "{\"error\":{\"message\":\"vendor %08x\",\"type\":\"%s\",\"code\":null}}",
                    call->nonce, status == 429 ? "rate_limit_error" : "server_error");
}

void say_error_event(const struct call *call, struct text *out)
{
    if (call->kind == KIND_RESPONSES) {
        text_printf(out,
                    "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":"
                    "\"vendor %08x\",\"sequence_number\":9}\n\n",
                    call->nonce);
        return;
    }
    text_add(out, call->kind == KIND_MESSAGES ? SPAN("event: error\ndata: ") : SPAN("data: "));
    say_error(call, 503, out);
    text_printf(out, "\n\n");
}

static bool has_text(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value) && json_string_length(value) > 0;
}

bool say_is_error(const struct call *call, struct span body)
{
    json_t *root = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *error = json_object_get(root, "error");
    bool good = json_is_object(error) && has_text(error, "message");
    if (call->kind == KIND_MESSAGES) {
        const char *type = json_string_value(json_object_get(root, "type"));
        good &= type != NULL && strcmp(type, "error") == 0 && has_text(error, "type");
    } else if (call->kind >= KIND_GEMINI) {
        good &= json_is_integer(json_object_get(error, "code")) && has_text(error, "status");
    } else {
        good &= has_text(error, "type");
    }
    json_decref(root);
    return good;
}

static bool take_line(struct span *bytes, struct span head, struct span *rest)
{
    size_t len = span_find(*bytes, '\n');
    if (len == bytes->len || !span_starts(*bytes, head))
        return false;
    *rest = span_of(bytes->ptr + head.len, len - head.len);
    *bytes = span_from(*bytes, len + 1);
    return true;
}

static bool is_failed_response(struct span data)
{
    json_t *root = json_loadb(data.ptr, data.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *response = json_object_get(root, "response");
    const char *status = json_string_value(json_object_get(response, "status"));
    bool good = status != NULL && strcmp(status, "failed") == 0 &&
                has_text(json_object_get(response, "error"), "message");
    json_decref(root);
    return good;
}

static bool is_plain_error(struct span data)
{
    json_t *root = json_loadb(data.ptr, data.len, JSON_REJECT_DUPLICATES, NULL);
    const char *type = json_string_value(json_object_get(root, "type"));
    bool good = type != NULL && strcmp(type, "error") == 0 && has_text(root, "message");
    json_decref(root);
    return good;
}

bool say_is_error_event(const struct call *call, struct span bytes)
{
    struct span data, ignored;
    bool responses = call->kind == KIND_RESPONSES;
    if ((responses || call->kind == KIND_MESSAGES) &&
        !take_line(&bytes, SPAN("event: error"), &ignored))
        return false;
    if (!take_line(&bytes, SPAN("data: "), &data) || !take_line(&bytes, SPAN(""), &ignored) ||
        ignored.len > 0)
        return false;
    if (!responses)
        return bytes.len == 0 && say_is_error(call, data);
    if (!is_plain_error(data) || !take_line(&bytes, SPAN("event: response.failed"), &ignored) ||
        !take_line(&bytes, SPAN("data: "), &data) || !take_line(&bytes, SPAN(""), &ignored))
        return false;
    return bytes.len == 0 && is_failed_response(data);
}

// --- what a client understands

static void hear_string(const json_t *object, const char *name, struct text *out)
{
    const json_t *value = json_object_get(object, name);
    if (json_is_string(value))
        text_add(out, span_of(json_string_value(value), json_string_length(value)));
}

static void hear_list(const json_t *list, struct text *out)
{
    size_t index;
    json_t *part;
    json_array_foreach(list, index, part) hear_string(part, "text", out);
}

// Adds the text of a whole answer, or of one event; true if it says that this is the end.
static bool hear_object(enum kind kind, bool stream, const json_t *root, struct text *out)
{
    const char *type = json_string_value(json_object_get(root, "type"));
    const json_t *choice, *candidate;
    switch (kind) {
    case KIND_CHAT:
        choice = json_array_get(json_object_get(root, "choices"), 0);
        hear_string(json_object_get(choice, stream ? "delta" : "message"), "content", out);
        return !stream && json_is_string(json_object_get(choice, "finish_reason"));
    case KIND_RESPONSES:
        if (stream) {
            if (type != NULL && strcmp(type, "response.output_text.delta") == 0)
                hear_string(root, "delta", out);
            return type != NULL && strcmp(type, "response.completed") == 0;
        }
        for (size_t i = 0; i < json_array_size(json_object_get(root, "output")); i++)
            hear_list(
                json_object_get(json_array_get(json_object_get(root, "output"), i), "content"),
                out);
        return json_is_object(json_object_get(root, "usage"));
    case KIND_MESSAGES:
        if (stream)
            hear_string(json_object_get(root, "delta"), "text", out);
        else
            hear_list(json_object_get(root, "content"), out);
        return stream ? type != NULL && strcmp(type, "message_stop") == 0
                      : json_is_string(json_object_get(root, "stop_reason"));
    case KIND_GEMINI:
    case KIND_GEMINI_ARRAY:
        candidate = json_array_get(json_object_get(root, "candidates"), 0);
        hear_list(json_object_get(json_object_get(candidate, "content"), "parts"), out);
        return json_is_string(json_object_get(candidate, "finishReason"));
    case KIND_COUNT: break;
    }
    bug("no kind");
}

// An event's data, in *data; false if `event` is not one that a client should be sent.
static bool event_data(struct span event, struct span *data)
{
    struct span line;
    bool found = false;
    while (event.len > 0) {
        if (take_line(&event, SPAN("data: "), &line)) {
            *data = line;
            found = true;
        } else if (!take_line(&event, SPAN("event: "), &line) &&
                   !take_line(&event, SPAN(""), &line)) {
            return false;
        }
    }
    return found;
}

static enum heard hear_array(struct span body, struct text *out)
{
    json_t *root = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
    bool ended = false;
    for (size_t i = 0; i < json_array_size(root); i++)
        ended |= hear_object(KIND_GEMINI_ARRAY, true, json_array_get(root, i), out);
    json_decref(root);
    return ended ? HEARD_ALL : body.len > 0 && *body.ptr == '[' ? HEARD_TORN : HEARD_NOTHING;
}

enum heard say_hear(const struct call *call, struct span body, struct span probe, struct text *out)
{
    const enum kind kind = (enum kind)call->kind;
    bool ended = false, any = false;
    if (!call->stream) {
        json_t *root = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
        ended = root != NULL && hear_object(kind, false, root, out);
        json_decref(root);
        return ended ? HEARD_ALL : body.len > 0 && *body.ptr == '{' ? HEARD_TORN : HEARD_NOTHING;
    }
    if (kind == KIND_GEMINI_ARRAY)
        return hear_array(body, out);
    if (span_find(body, '\r') < body.len)
        return HEARD_NOTHING; // only vendors end their lines so
    while (body.len > 0) {
        struct span data;
        if (probe.len > 0 && span_starts(body, probe)) {
            body = span_from(body, probe.len);
            continue;
        }
        if (say_is_error_event(call, body))
            return HEARD_ERROR;
        const char *end = memmem(body.ptr, body.len, "\n\n", 2);
        if (end == NULL)
            return HEARD_TORN;
        struct span event = span_upto(body, (size_t)(end - body.ptr) + 2);
        if (ended && kind != KIND_CHAT)
            return HEARD_NOTHING; // something behind the end
        body = span_from(body, event.len);
        if (!event_data(event, &data))
            return HEARD_NOTHING;
        if (kind == KIND_CHAT && span_eq(data, SPAN("[DONE]"))) {
            ended = true;
            continue;
        }
        json_t *root = json_loadb(data.ptr, data.len, JSON_REJECT_DUPLICATES, NULL);
        if (root == NULL)
            return HEARD_NOTHING;
        ended |= hear_object(kind, true, root, out);
        json_decref(root);
        any = true;
    }
    return ended ? HEARD_ALL : any ? HEARD_PART : HEARD_NOTHING;
}
