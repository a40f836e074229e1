// The mock's requests: what is asked, when what is sent, and how it fails.
#include "penstock/mock/mock.h"

#include "mock_internal.h"
#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/codec/json_members.h"
#include "penstock/codec/url.h"

enum {
    CALLS_MAX = 65536,
    BODY_MAX = 64 * MIB,
    BURST_EVENTS = 16,
    CONNECTIONS_MAX = 65536,
    HUGE_BYTES = 1 * MIB,
    INPUTS_MAX = 256,
};
#define DRIP_NS (UINT64_C(50) * NS_PER_MS)

static void on_timer(struct timer *timer)
{
    struct call *call = container_of(timer, struct call, timer);
    loop_ready(&*call->mock->net->loop, &call->task);
}

static void call_free(struct call *call)
{
    timer_stop(&call->mock->net->loop->wheel, &call->timer);
    task_cancel(&call->task);
    slab_give(&call->mock->calls, call);
}

static void call_abort(struct call *call, bool reset)
{
    struct stream *stream = call->stream;
    if (reset) {
        struct serve *serve = stream_serve(stream);
        // A reset on purpose: the connection is closed here, the stream only notes it.
        stream->replied = true;
        stream->chunked = false;
        stream->reply_left = 0;
        (void)serve;
    }
    stream_abort(stream, WHY_DONE);
    call_free(call);
}

// --- what is asked ---

static bool ends(struct span text, const char *tail)
{
    size_t len = strlen(tail);
    return text.len >= len && memcmp(text.ptr + text.len - len, tail, len) == 0;
}

static enum mock_op op_of(struct span path)
{
    static const struct {
        const char *tail;
        enum mock_op op;
    } tails[] = {
        { "/chat/completions", MOCK_CHAT },
        { "/completions", MOCK_COMPLETIONS },
        { "/embeddings", MOCK_EMBEDDINGS },
        { "/responses", MOCK_RESPONSES },
        { "/responses/compact", MOCK_COMPACT },
        { "/responses/input_tokens", MOCK_RESPONSES_COUNT },
        { "/messages", MOCK_MESSAGES },
        { "/messages/count_tokens", MOCK_COUNT_TOKENS },
        { ":generateContent", MOCK_GENERATE },
        { ":streamGenerateContent", MOCK_GENERATE },
        { ":countTokens", MOCK_GEMINI_COUNT },
        { ":embedContent", MOCK_GEMINI_EMBED },
        { ":batchEmbedContents", MOCK_GEMINI_EMBED_BATCH },
    };
    for (size_t i = 0; i < ARRAY_LEN(tails); i++)
        if (ends(path, tails[i].tail))
            return tails[i].op;
    return MOCK_UNKNOWN;
}

static void set_model(struct call *call, struct span model)
{
    call->model_len = (uint32_t)min_size(model.len, MOCK_MODEL_MAX);
    memcpy(call->model, model.ptr, call->model_len);
}

static void read_path(struct call *call, struct span path)
{
    struct span mark = SPAN("/models/");
    const char *at = memmem(path.ptr, path.len, mark.ptr, mark.len);
    if (at == NULL)
        return;
    const char *from = at + mark.len;
    const char *colon = memrchr(from, ':', (size_t)(path.ptr + path.len - from));
    if (colon == NULL)
        return;
    char room[MOCK_MODEL_MAX];
    struct span raw = span_of(from, (size_t)(colon - from));
    if (raw.len <= sizeof(room))
        set_model(call, url_path_decode(raw, room, sizeof(room)));
    call->streamed = ends(path, ":streamGenerateContent");
}

// A conversation whose last word is a tool's result gets text, not another call.
static bool has_tool_result(struct span body)
{
    static const char *const marks[] = { "\"tool_result\"",    "\"role\":\"tool\"",
                                         "\"role\": \"tool\"", "function_call_output",
                                         "functionResponse",   "function_response" };
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (memmem(body.ptr, body.len, marks[i], strlen(marks[i])) != NULL)
            return true;
    return false;
}

// One text, one list of tokens, or a list of such.
static uint32_t count_inputs(struct json_slice input)
{
    if (input.kind != JK_ARRAY)
        return 1;
    uint32_t count = 0;
    struct json_iter iter = json_elements_of(input);
    for (struct json_slice item; json_element_next(&iter, &item) && count < INPUTS_MAX; count++)
        if (item.kind == JK_NUMBER)
            return 1;
    return count;
}

static bool read_body(struct call *call)
{
    struct span body = call->stream->body;
    struct json_slice root;
    if (!json_check(body, &root) || root.kind != JK_OBJECT)
        return false;
    static const struct span names[] = { { "model", 5 },           { "stream", 6 },
                                         { "stream_options", 14 }, { "encoding_format", 15 },
                                         { "input", 5 },           { "requests", 8 } };
    struct json_slice found[ARRAY_LEN(names)];
    if (!json_pick(root, names, found, ARRAY_LEN(names)))
        return false;
    if (found[0].kind == JK_STRING && call->model_len == 0) {
        char room[MOCK_MODEL_MAX];
        set_model(call, span_of(room, json_string_decode(found[0], room, sizeof(room), NULL)));
    }
    call->streamed |= found[1].kind == JK_TRUE;
    call->include_usage = json_get(found[2], SPAN("include_usage")).kind == JK_TRUE;
    call->base64 = json_string_is(found[3], SPAN("base64"));
    call->inputs = count_inputs(found[call->op == MOCK_GEMINI_EMBED_BATCH ? 5 : 4]);
    call->answered = has_tool_result(body);
    return true;
}

// --- what is sent ---

static bool begin_head(struct call *call, int status, struct put *out)
{
    if (!stream_reply(call->stream, status, out))
        return false;
    char id[32];
    struct put text = put_into(id, sizeof(id));
    put_span(&text, SPAN("mock-"));
    put_u64(&text, call->id);
    http_put_field(out, SPAN("x-request-id"), put_done(&text));
    http_put_field(out, SPAN("request-id"), put_done(&text));
    http_put_field(out, SPAN("x-ratelimit-limit-requests"), SPAN("1000"));
    http_put_field(out, SPAN("x-ratelimit-remaining-requests"), SPAN("999"));
    http_put_field(out, SPAN("anthropic-ratelimit-requests-limit"), SPAN("1000"));
    http_put_field(out, SPAN("set-cookie"), SPAN("mock=1"));
    if (call->wish.retry > 0)
        http_put_field_u64(out, SPAN("retry-after"), call->wish.retry);
    return true;
}

// `keeper` holds the body, or is NULL for a small one that is copied.
static void answer_json(struct call *call, int status, struct span body, struct buf *keeper)
{
    struct put out;
    if (!begin_head(call, status, &out)) {
        call_abort(call, false);
        return;
    }
    http_put_field(&out, SPAN("content-type"), SPAN("application/json"));
    bool sent = stream_reply_end(call->stream, &out, REPLY_LENGTH, body.len) &&
                (keeper != NULL ? stream_send(call->stream, keeper, body.ptr, body.len)
                                : stream_send_copy(call->stream, body));
    if (!sent) {
        call_abort(call, false);
        return;
    }
    stream_finish(call->stream);
    call_free(call);
}

static void answer_error(struct call *call, int status, struct span message)
{
    char room[4 * KIB];
    struct put out = put_into(room, sizeof(room));
    mock_error(call, status, message, &out);
    answer_json(call, status, put_done(&out), NULL);
}

static void answer_whole(struct call *call)
{
    size_t most = (size_t)call->wish.tokens * (call->wish.size + 64) + 64 * KIB;
    struct body *body = body_take(call->mock->net, most);
    if (body == NULL) {
        call_abort(call, false);
        return;
    }
    struct put out = put_into(body->buf.data, most);
    if (call->wish.fault == MOCK_BAD_JSON)
        put_span(&out, SPAN("{\"id\": \"mock\", \"choices\": [tru"));
    else
        mock_whole(call, &out);
    if (call->wish.fault == MOCK_CLOSE_MID || call->wish.fault == MOCK_RESET_MID) {
        struct put head;
        struct span half = put_done(&out);
        bool sent = begin_head(call, 200, &head);
        if (sent) {
            http_put_field(&head, SPAN("content-type"), SPAN("application/json"));
            sent = stream_reply_end(call->stream, &head, REPLY_LENGTH, half.len) &&
                   stream_send_copy(call->stream, span_upto(half, half.len / 2));
        }
        // What was queued must leave before the connection does.
        call->event = UINT32_MAX;
        stream_notify(call->stream, 0);
        body_put(body);
        return;
    }
    answer_json(call, 200, put_done(&out), &body->buf);
    body_put(body);
}

// Raw bytes in place of an answer, then the end.
static void answer_raw(struct call *call, struct span bytes)
{
    struct conn *conn = stream_serve(call->stream)->conn;
    if (!conn_tx_copy(conn, bytes))
        call_abort(call, false);
    call->event = UINT32_MAX;
    stream_notify(call->stream, 0);
}

static bool begin_stream(struct call *call)
{
    struct put out;
    if (!begin_head(call, 200, &out))
        return false;
    bool array = call->op == MOCK_GENERATE && !call->sse;
    http_put_field(&out, SPAN("content-type"),
                   array ? SPAN("application/json") : SPAN("text/event-stream; charset=utf-8"));
    if (call->wish.fault == MOCK_GZIP)
        http_put_field(&out, SPAN("content-encoding"), SPAN("br"));
    return stream_reply_end(call->stream, &out, REPLY_STREAM, 0);
}

static bool send_event(struct call *call, struct span event)
{
    size_t step = call->wish.chop > 0 ? call->wish.chop : event.len;
    while (event.len > 0) {
        size_t part = min_size(step, event.len);
        if (!stream_send_copy(call->stream, span_upto(event, part)))
            return false;
        event = span_from(event, part);
    }
    return true;
}

// One event of a MiB, in one chunk that refers to its memory.
static bool send_huge(struct call *call)
{
    struct body *body = body_take(call->mock->net, HUGE_BYTES + 64);
    if (body == NULL)
        return false;
    struct put out = put_into(body->buf.data, HUGE_BYTES + 64);
    put_span(&out, SPAN("data: {\"choices\":[],\"padding\":\""));
    memset(out.at, 'x', HUGE_BYTES);
    out.at += HUGE_BYTES;
    put_span(&out, SPAN("\"}\n\n"));
    struct span event = put_done(&out);
    bool sent = stream_send(call->stream, &body->buf, event.ptr, event.len);
    body_put(body);
    return sent;
}

enum outcome { GO_ON, LATER, ENDED };

// What happens at the event that a fault was wished for.
static enum outcome strike(struct call *call, struct put *out)
{
    struct conn *conn = stream_serve(call->stream)->conn;
    bool sent = true;
    switch (call->wish.fault) {
    case MOCK_CLOSE_MID:
    case MOCK_RESET_MID:
        call->event = UINT32_MAX;
        stream_notify(call->stream, 0);
        return LATER;
    case MOCK_HANG_MID: return LATER;
    case MOCK_BAD_CHUNK:
        sent = conn_tx_copy(conn, SPAN("zz\r\nnot a chunk\r\n"));
        call->event = UINT32_MAX;
        stream_notify(call->stream, 0);
        return sent ? LATER : ENDED;
    case MOCK_BAD_JSON: put_span(out, SPAN("data: {\"choices\": [tru\n\n")); break;
    case MOCK_ERROR_EVENT:
        mock_error_event(call, out);
        sent = send_event(call, put_done(out));
        if (sent)
            stream_finish(call->stream);
        else
            stream_abort(call->stream, WHY_LIMIT);
        call_free(call);
        return ENDED;
    case MOCK_HUGE: sent = send_huge(call); break;
    case MOCK_NONE:
    case MOCK_CLOSE:
    case MOCK_RESET:
    case MOCK_HANG:
    case MOCK_DRIP:
    case MOCK_BAD_HEAD:
    case MOCK_BAD_LENGTH:
    case MOCK_EARLY_ERROR:
    case MOCK_NO_END:
    case MOCK_GZIP:
    case MOCK_INTERIM:
    case MOCK_INTERIM_FLOOD:
    case MOCK_REDIRECT:
    case MOCK_LEAK:
    case MOCK_FAULT_COUNT: break;
    }
    if (!sent) {
        call_abort(call, false);
        return ENDED;
    }
    return GO_ON;
}

static enum outcome drip(struct call *call, struct span event)
{
    if (!stream_send_copy(call->stream, span_of(event.ptr + call->drip_at, 1))) {
        call_abort(call, false);
        return ENDED;
    }
    if (++call->drip_at < event.len) {
        struct loop *loop = call->mock->net->loop;
        timer_arm(&loop->wheel, &call->timer, loop->now_ns + DRIP_NS);
        return LATER;
    }
    call->drip_at = 0;
    call->event++;
    return GO_ON;
}

// Sends the event that is due. Pacing and back-pressure decide when the next one is.
static enum outcome stream_step(struct call *call)
{
    struct put out = put_into(call->mock->event, MOCK_EVENT_MAX);
    enum outcome outcome = GO_ON;
    if (call->event == call->wish.at)
        outcome = strike(call, &out);
    if (outcome == GO_ON) {
        bool more = mock_event(call, call->event, &out);
        bool last = call->event + 1 >= mock_event_count(call);
        if (!more || (last && call->wish.fault == MOCK_NO_END)) {
            stream_finish(call->stream);
            call_free(call);
            outcome = ENDED;
        } else if (call->wish.fault == MOCK_DRIP) {
            outcome = drip(call, put_done(&out));
        } else if (!send_event(call, put_done(&out))) {
            call_abort(call, false);
            outcome = ENDED;
        } else {
            call->event++;
        }
    }
    return outcome;
}

static void stream_run(struct call *call)
{
    struct loop *loop = call->mock->net->loop;
    for (int burst = 0; burst < BURST_EVENTS; burst++) {
        if (stream_queued(call->stream) > 256 * KIB) {
            stream_notify(call->stream, 64 * KIB);
            return;
        }
        if (stream_step(call) != GO_ON)
            return;
        if (call->wish.pace_ns > 0) {
            timer_arm(&loop->wheel, &call->timer, loop->now_ns + call->wish.pace_ns);
            return;
        }
    }
    loop_ready(loop, &call->task);
}

// --- the order of things ---

static void begin_answer(struct call *call)
{
    switch (call->wish.fault) {
    case MOCK_CLOSE: call_abort(call, false); return;
    case MOCK_RESET: call_abort(call, true); return;
    case MOCK_HANG: return;
    case MOCK_BAD_HEAD: answer_raw(call, SPAN("HTTP/9 what\r\n\r\n")); return;
    case MOCK_BAD_LENGTH:
        answer_raw(call, SPAN("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n"
                              "12345"));
        return;
    case MOCK_REDIRECT:
        answer_raw(call, SPAN("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/"
                              "\r\ncontent-length: 0\r\n\r\n"));
        return;
    case MOCK_INTERIM:
    case MOCK_INTERIM_FLOOD:
        for (int i = 0; i < (call->wish.fault == MOCK_INTERIM ? 1 : 40); i++)
            if (!conn_tx_copy(stream_serve(call->stream)->conn,
                              SPAN("HTTP/1.1 103 Early Hints\r\nlink: </>\r\n\r\n")))
                break;
        break;
    case MOCK_LEAK: answer_error(call, 400, span_of(call->auth, call->auth_len)); return;
    case MOCK_NONE:
    case MOCK_CLOSE_MID:
    case MOCK_RESET_MID:
    case MOCK_HANG_MID:
    case MOCK_DRIP:
    case MOCK_BAD_CHUNK:
    case MOCK_BAD_JSON:
    case MOCK_ERROR_EVENT:
    case MOCK_EARLY_ERROR:
    case MOCK_NO_END:
    case MOCK_HUGE:
    case MOCK_GZIP:
    case MOCK_FAULT_COUNT: break;
    }
    if (call->wish.status > 0) {
        answer_error(call, (int)call->wish.status, SPAN("this error was asked for"));
        return;
    }
    if (!call->streamed) {
        answer_whole(call);
        return;
    }
    if (!begin_stream(call)) {
        call_abort(call, false);
        return;
    }
    if (call->wish.fault == MOCK_EARLY_ERROR) {
        call->wish.fault = MOCK_ERROR_EVENT;
        call->wish.at = 0;
    }
    stream_run(call);
}

static void plan(struct call *call)
{
    struct loop *loop = call->mock->net->loop;
    call->planned = true;
    if (call->op == MOCK_UNKNOWN) {
        answer_error(call, 404, SPAN("there is no such path here"));
    } else if (!read_body(call)) {
        answer_error(call, 400, SPAN("the body is not a JSON object"));
    } else if (!mock_wish_parse(call_model(call), &call->wish)) {
        answer_error(call, 404, SPAN("the model does not exist"));
    } else if (call->wish.ttft_ns > 0) {
        timer_arm(&loop->wheel, &call->timer, loop->now_ns + call->wish.ttft_ns);
    } else {
        begin_answer(call);
    }
}

static void call_run(struct task *task)
{
    struct call *call = container_of(task, struct call, task);
    struct stream *stream = call->stream;
    if (stream->client == CLIENT_GONE) {
        call_abort(call, false);
    } else if (call->event == UINT32_MAX) {
        if (stream_queued(stream) == 0)
            call_abort(call, call->wish.fault == MOCK_RESET_MID);
    } else if (!call->planned) {
        if (stream->body_state == BODY_FAILED)
            call_abort(call, false);
        else if (stream->body_state == BODY_COMPLETE)
            plan(call);
    } else if (call->timer.deadline_ns == 0) {
        if (!stream->replied && call->wish.fault != MOCK_HANG)
            begin_answer(call);
        else if (stream->replied && call->wish.fault != MOCK_HANG_MID)
            stream_run(call);
        else if (stream->replied && call->event < call->wish.at)
            stream_run(call);
    }
}

static void note_auth(struct call *call, const struct http_head *head)
{
    static const enum http_field_id ids[] = { HF_AUTHORIZATION, HF_X_API_KEY, HF_X_GOOG_API_KEY };
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        const struct http_field *field = http_field_find(head, ids[i]);
        if (field == NULL)
            continue;
        call->auth_len = (uint32_t)min_size(field->value.len, sizeof(call->auth));
        memcpy(call->auth, field->value.ptr, call->auth_len);
        return;
    }
}

// The list of models in the form that the credential's field and the path ask for. It costs a real
// vendor nothing, so that gateways try credentials by it: one is needed here, and one that ends in
// "refused" is.
static void answer_models(struct stream *stream, const struct http_head *head, struct span path)
{
    const struct http_field *google = http_field_find(head, HF_X_GOOG_API_KEY);
    const struct http_field *anthropic = http_field_find(head, HF_X_API_KEY);
    const struct http_field *bearer = http_field_find(head, HF_AUTHORIZATION);
    const struct http_field *field = google != NULL      ? google
                                     : anthropic != NULL ? anthropic
                                                         : bearer;
    struct span text;
    int status = 200;
    if (field == NULL || ends(field->value, "refused")) {
        status = 401;
        text = SPAN("{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\","
                    "\"message\":\"the credential is missing or refused\"}}");
    } else if (google != NULL || span_starts(path, SPAN("/v1beta/"))) {
        text = SPAN("{\"models\":[{\"name\":\"models/mock\",\"displayName\":\"Mock\","
                    "\"supportedGenerationMethods\":[\"generateContent\",\"countTokens\"]}]}");
    } else if (anthropic != NULL) {
        text = SPAN("{\"data\":[{\"type\":\"model\",\"id\":\"mock\",\"display_name\":\"Mock\","
                    "\"created_at\":\"2026-01-01T00:00:00Z\"}],\"has_more\":false,"
                    "\"first_id\":\"mock\",\"last_id\":\"mock\"}");
    } else {
        text = SPAN("{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\","
                    "\"created\":1767225600,\"owned_by\":\"penstock\"}]}");
    }
    stream_answer(stream, status, SPAN("application/json"), SPAN_NONE, text);
}

static void on_request(struct http_app *app, struct stream *stream, const struct http_head *head)
{
    struct mock *mock = container_of(app, struct mock, app);
    mock->requests++;
    char room[HTTP_TARGET_MAX];
    struct url_target target;
    struct call *call = slab_take(&mock->calls);
    if (call == NULL || failed(url_target_parse(head->target, room, sizeof(room), &target))) {
        if (call != NULL)
            slab_give(&mock->calls, call);
        stream_answer(stream, call == NULL ? 503 : 400, SPAN("text/plain"), SPAN_NONE,
                      SPAN("refused\n"));
        return;
    }
    if (head->method == HTTP_GET && ends(target.path, "/models")) {
        slab_give(&mock->calls, call);
        answer_models(stream, head, target.path);
        return;
    }
    memset(call, 0, sizeof(*call));
    call->mock = mock;
    call->stream = stream;
    call->id = ++mock->id;
    call->timer.on_fire = on_timer;
    task_init(&call->task, call_run);
    stream->owner = &call->task;
    call->op = head->method == HTTP_POST ? op_of(target.path) : MOCK_UNKNOWN;
    struct url_param alt;
    call->sse =
        url_param_find(target.query, SPAN("alt"), &alt) && url_text_is(alt.value, SPAN("sse"));
    read_path(call, target.path);
    note_auth(call, head);
    stream_collect(stream, BODY_MAX);
}

struct err mock_open(struct mock *mock, struct net *net, const struct sockaddr *addr, socklen_t len)
{
    memset(mock, 0, sizeof(*mock));
    mock->event = mem_take(1, MOCK_EVENT_MAX);
    if (mock->event == NULL)
        return ERR(NO_MEMORY);
    mock->net = net;
    mock->app.on_request = on_request;
    slab_init(&mock->calls, sizeof(struct call), CALLS_MAX);
    const struct server_limits limits = {
        .head_bytes = HTTP_HEAD_MAX,
        .connections = CONNECTIONS_MAX,
        .head_ns = 60 * NS_PER_S,
        .idle_ns = 600 * NS_PER_S,
        .stall_ns = 60 * NS_PER_S,
        .write_stall_ns = 600 * NS_PER_S,
    };
    return server_open(&mock->server, net, &mock->app, &limits, addr, len);
}

void mock_stop(struct mock *mock)
{
    server_stop(&mock->server);
}

void mock_fini(struct mock *mock)
{
    server_fini(&mock->server);
    slab_fini(&mock->calls);
    mem_give(mock->event);
    mock->event = NULL;
}
