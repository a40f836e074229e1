// What the mock says in each format: numbered stream events, whole answers, errors.
//
// Every stream is a beginning of `pre` events, a body of `count`, and an end of `post`; a body is
// the text's deltas, or three events a tool call.
#include "mock_internal.h"
#include "penstock/base/check.h"
#include "penstock/base/env.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

// In base64: "AACAPgAAAL8AAAA+", three floats.
#define EMBEDDING "[0.25,-0.5,0.125]"

enum { INPUT_TOKENS = 20, CACHED_TOKENS = 8, REASONING_TOKENS = 3, CREATED = 1760000000 };

static void putf(struct put *out, const char *format, ...) printf_like(2, 3);
static void putf(struct put *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t room = (size_t)(out->end - out->at);
    int len = vsnprintf(out->at, room, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= room)
        out->full = true;
    else
        out->at += len;
}

static void put_json_text(struct put *out, struct span text)
{
    struct jsonw json;
    jsonw_init(&json, out->at, (size_t)(out->end - out->at));
    jsonw_string(&json, text);
    struct span done = jsonw_done(&json);
    if (done.ptr == NULL || done.len < 2) {
        out->full = true;
        return;
    }
    // Without the quotes: the callers write them.
    memmove(out->at, out->at + 1, done.len - 2);
    out->at += done.len - 2;
}

void mock_text(struct call *call, uint32_t index, struct put *out)
{
    static const char *const words[] = { "Hello",   " from", " the",        " mock",
                                         " vendor", ":",     " caf\\u00e9", "\\n" };
    char *from = out->at;
    if (call->wish.stamp)
        putf(out, "ts=%" PRIu64 " ", env_mono_ns(call->mock->net->loop->env));
    if (call->wish.size == 5) {
        put_span(out, span_str(words[index % ARRAY_LEN(words)]));
        return;
    }
    while ((size_t)(out->at - from) < call->wish.size && !out->full)
        put_span(out, SPAN("x"));
}

static bool calls_tools(const struct call *call)
{
    return call->wish.tools > 0 && !call->answered;
}

static uint32_t body_count(const struct call *call)
{
    return calls_tools(call) ? call->wish.tools * 3 : call->wish.tokens;
}

static uint32_t output_tokens(const struct call *call)
{
    return body_count(call) + (call->wish.think ? REASONING_TOKENS : 0);
}

static void all_text(struct call *call, struct put *out)
{
    for (uint32_t i = 0; i < call->wish.tokens; i++)
        mock_text(call, i, out);
}

static void model(struct call *call, struct put *out)
{
    put_json_text(out, call_model(call));
}

// --- Chat Completions and its elder ---

static void chat_usage(struct call *call, struct put *out)
{
    uint32_t output = output_tokens(call);
    putf(out,
         "{\"prompt_tokens\":%d,\"completion_tokens\":%u,\"total_tokens\":%u,"
         "\"prompt_tokens_details\":{\"cached_tokens\":%d},"
         "\"completion_tokens_details\":{\"reasoning_tokens\":%d}}",
         INPUT_TOKENS, output, INPUT_TOKENS + output, CACHED_TOKENS,
         call->wish.think ? REASONING_TOKENS : 0);
}

static void chat_open(struct call *call, struct put *out)
{
    bool chat = call->op == MOCK_CHAT;
    putf(out, "data: {\"id\":\"%s-mock%" PRIu64 "\",\"object\":\"%s\",\"created\":%d,\"model\":\"",
         chat ? "chatcmpl" : "cmpl", call->id, chat ? "chat.completion.chunk" : "text_completion",
         CREATED);
    model(call, out);
    put_span(out, SPAN("\",\"choices\":["));
}

static void chat_close(struct call *call, struct put *out)
{
    put_span(out, call->include_usage ? SPAN("],\"usage\":null}\n\n") : SPAN("]}\n\n"));
}

static void chat_tool(uint32_t index, struct put *out)
{
    uint32_t tool = index / 3;
    switch (index % 3) {
    case 0:
        putf(
            out,
            "{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":%u,\"id\":\"call_mock%u\",\"type\":"
            "\"function\",\"function\":{\"name\":\"get_weather\",\"arguments\":\"\"}}]},"
            "\"finish_reason\":null}",
            tool, tool);
        break;
    default:
        putf(out,
             "{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":%u,\"function\":{\"arguments\":"
             "\"%s\"}}]},\"finish_reason\":null}",
             tool, index % 3 == 1 ? "{\\\"city\\\":" : "\\\"Paris\\\"}");
    }
}

static void chat_delta(struct call *call, uint32_t index, struct put *out)
{
    if (calls_tools(call)) {
        chat_tool(index, out);
    } else if (call->op == MOCK_CHAT) {
        put_span(out, SPAN("{\"index\":0,\"delta\":{\"content\":\""));
        mock_text(call, index, out);
        put_span(out, SPAN("\"},\"logprobs\":null,\"finish_reason\":null}"));
    } else {
        put_span(out, SPAN("{\"index\":0,\"text\":\""));
        mock_text(call, index, out);
        put_span(out, SPAN("\",\"logprobs\":null,\"finish_reason\":null}"));
    }
}

static bool chat_event(struct call *call, uint32_t index, struct put *out)
{
    bool chat = call->op == MOCK_CHAT, usage = call->include_usage && !call->wish.no_usage;
    uint32_t pre = chat ? 1u + call->wish.think : 0, count = body_count(call);
    uint32_t done = pre + count + 1 + usage;
    if (index > done)
        return false;
    if (index == done) {
        put_span(out, SPAN("data: [DONE]\n\n"));
        return true;
    }
    chat_open(call, out);
    if (index < pre) {
        put_span(out, index == 0
                          ? SPAN("{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                                 "\"logprobs\":null,\"finish_reason\":null}")
                          : SPAN("{\"index\":0,\"delta\":{\"reasoning_content\":\"Let me think.\"},"
                                 "\"finish_reason\":null}"));
    } else if (index < pre + count) {
        chat_delta(call, index - pre, out);
    } else if (index == pre + count) {
        putf(out, "{\"index\":0,%s,\"logprobs\":null,\"finish_reason\":\"%s\"}",
             chat ? "\"delta\":{}" : "\"text\":\"\"", calls_tools(call) ? "tool_calls" : "stop");
    } else {
        put_span(out, SPAN("],\"usage\":"));
        chat_usage(call, out);
        put_span(out, SPAN("}\n\n"));
        return true;
    }
    chat_close(call, out);
    return true;
}

static void chat_whole(struct call *call, struct put *out)
{
    bool chat = call->op == MOCK_CHAT;
    putf(out, "{\"id\":\"%s-mock%" PRIu64 "\",\"object\":\"%s\",\"created\":%d,\"model\":\"",
         chat ? "chatcmpl" : "cmpl", call->id, chat ? "chat.completion" : "text_completion",
         CREATED);
    model(call, out);
    put_span(out, SPAN("\",\"choices\":[{\"index\":0,"));
    if (!chat) {
        put_span(out, SPAN("\"text\":\""));
        all_text(call, out);
        put_span(out, SPAN("\""));
    } else if (calls_tools(call)) {
        put_span(out, SPAN("\"message\":{\"role\":\"assistant\",\"content\":null,\"refusal\":null,"
                           "\"tool_calls\":["));
        for (uint32_t i = 0; i < call->wish.tools; i++)
            putf(out,
                 "%s{\"id\":\"call_mock%u\",\"type\":\"function\",\"function\":{\"name\":"
                 "\"get_weather\",\"arguments\":\"{\\\"city\\\":\\\"Paris\\\"}\"}}",
                 i > 0 ? "," : "", i);
        put_span(out, SPAN("]}"));
    } else {
        put_span(out, SPAN("\"message\":{\"role\":\"assistant\",\"content\":\""));
        all_text(call, out);
        put_span(out, SPAN("\",\"refusal\":null}"));
    }
    putf(out, ",\"logprobs\":null,\"finish_reason\":\"%s\"}]",
         calls_tools(call) && chat ? "tool_calls" : "stop");
    if (!call->wish.no_usage) {
        put_span(out, SPAN(",\"usage\":"));
        chat_usage(call, out);
    }
    put_span(out, SPAN("}"));
}

static void embeddings_whole(struct call *call, struct put *out)
{
    put_span(out, SPAN("{\"object\":\"list\",\"data\":["));
    for (uint32_t i = 0; i < call->inputs; i++)
        putf(out, "%s{\"object\":\"embedding\",\"index\":%u,\"embedding\":%s}", i > 0 ? "," : "", i,
             call->base64 ? "\"AACAPgAAAL8AAAA+\"" : EMBEDDING);
    put_span(out, SPAN("],\"model\":\""));
    model(call, out);
    putf(out, "\",\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d}}", INPUT_TOKENS,
         INPUT_TOKENS);
}

// --- Responses ---

static void responses_usage(struct call *call, struct put *out)
{
    uint32_t output = output_tokens(call);
    putf(
        out,
        "{\"input_tokens\":%d,\"input_tokens_details\":{\"cached_tokens\":%d},\"output_tokens\":%u,"
        "\"output_tokens_details\":{\"reasoning_tokens\":%d},\"total_tokens\":%u}",
        INPUT_TOKENS, CACHED_TOKENS, output, call->wish.think ? REASONING_TOKENS : 0,
        INPUT_TOKENS + output);
}

static void responses_output(struct call *call, struct put *out)
{
    if (!calls_tools(call)) {
        putf(out,
             "{\"type\":\"message\",\"id\":\"msg_mock%" PRIu64
             "\",\"role\":\"assistant\",\"status\":"
             "\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"",
             call->id);
        all_text(call, out);
        put_span(out, SPAN("\",\"annotations\":[],\"logprobs\":[]}]}"));
        return;
    }
    for (uint32_t i = 0; i < call->wish.tools; i++)
        putf(
            out,
            "%s{\"type\":\"function_call\",\"id\":\"fc_mock%u\",\"call_id\":\"call_mock%u\",\"name\":"
            "\"get_weather\",\"arguments\":\"{\\\"city\\\":\\\"Paris\\\"}\",\"status\":\"completed\"}",
            i > 0 ? "," : "", i, i);
}

static void responses_object(struct call *call, bool done, struct put *out)
{
    putf(
        out,
        "{\"id\":\"resp_mock%" PRIu64
        "\",\"object\":\"response\",\"created_at\":%d,\"status\":\"%s\","
        "\"error\":null,\"incomplete_details\":null,\"instructions\":null,\"metadata\":{},\"model\":\"",
        call->id, CREATED, done ? "completed" : "in_progress");
    model(call, out);
    put_span(out, SPAN("\",\"output\":["));
    if (done)
        responses_output(call, out);
    put_span(out, SPAN("],\"parallel_tool_calls\":true,\"temperature\":1,\"tool_choice\":\"auto\","
                       "\"tools\":[],\"top_p\":1,\"usage\":"));
    if (done && !call->wish.no_usage)
        responses_usage(call, out);
    else
        put_span(out, SPAN("null"));
    put_span(out, SPAN("}"));
}

// A talk made shorter: what the model is to remember, sealed.
static void responses_compacted(struct call *call, struct put *out)
{
    putf(out,
         "{\"id\":\"cmp_mock%" PRIu64 "\",\"object\":\"response.compaction\",\"created_at\":%d,"
         "\"output\":[{\"type\":\"message\",\"id\":\"msg_mock%" PRIu64 "\",\"role\":\"user\","
         "\"status\":\"completed\",\"content\":[{\"type\":\"input_text\",\"text\":\"Hello\"}]},"
         "{\"type\":\"compaction\",\"id\":\"cmpi_mock%" PRIu64
         "\",\"encrypted_content\":\"c2VhbGVk\"}],\"usage\":",
         call->id, CREATED, call->id, call->id);
    responses_usage(call, out);
    put_span(out, SPAN("}"));
}

static void responses_head(const char *type, uint32_t index, struct put *out)
{
    putf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%u", type, type, index);
}

static void responses_tool(uint32_t index, uint32_t number, struct put *out)
{
    uint32_t tool = index / 3;
    switch (index % 3) {
    case 0:
        responses_head("response.output_item.added", number, out);
        putf(out,
             ",\"output_index\":%u,\"item\":{\"type\":\"function_call\",\"id\":\"fc_mock%u\","
             "\"call_id\":\"call_mock%u\",\"name\":\"get_weather\",\"arguments\":\"\",\"status\":"
             "\"in_progress\"}}\n\n",
             tool, tool, tool);
        break;
    case 1:
        responses_head("response.function_call_arguments.delta", number, out);
        putf(
            out,
            ",\"item_id\":\"fc_mock%u\",\"output_index\":%u,\"delta\":\"{\\\"city\\\":\\\"Paris\\\"}"
            "\"}\n\n",
            tool, tool);
        break;
    default:
        responses_head("response.output_item.done", number, out);
        putf(out,
             ",\"output_index\":%u,\"item\":{\"type\":\"function_call\",\"id\":\"fc_mock%u\","
             "\"call_id\":\"call_mock%u\",\"name\":\"get_weather\",\"arguments\":"
             "\"{\\\"city\\\":\\\"Paris\\\"}\",\"status\":\"completed\"}}\n\n",
             tool, tool, tool);
    }
}

static void responses_frame(struct call *call, uint32_t step, uint32_t number, struct put *out)
{
    static const char *const types[] = {
        "response.output_item.added", "response.content_part.added", "response.output_text.done",
        "response.content_part.done", "response.output_item.done",
    };
    responses_head(types[step], number, out);
    if (step != 0 && step != 4)
        putf(out, ",\"item_id\":\"msg_mock%" PRIu64 "\",\"content_index\":0", call->id);
    put_span(out, SPAN(",\"output_index\":0,"));
    switch (step) {
    case 0:
        putf(out,
             "\"item\":{\"type\":\"message\",\"id\":\"msg_mock%" PRIu64 "\",\"role\":\"assistant\","
             "\"status\":\"in_progress\",\"content\":[]}",
             call->id);
        break;
    case 4:
        put_span(out, SPAN("\"item\":"));
        responses_output(call, out);
        break;
    case 2:
        put_span(out, SPAN("\"logprobs\":[],\"text\":\""));
        all_text(call, out);
        put_span(out, SPAN("\""));
        break;
    default:
        put_span(out, SPAN("\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],"
                           "\"text\":\""));
        if (step == 3)
            all_text(call, out);
        put_span(out, SPAN("\"}"));
    }
    put_span(out, SPAN("}\n\n"));
}

static bool responses_event(struct call *call, uint32_t index, struct put *out)
{
    bool tools = calls_tools(call);
    uint32_t pre = tools ? 2 : 4, count = body_count(call), post = tools ? 1 : 4;
    if (index >= pre + count + post)
        return false;
    if (index < 2 || index == pre + count + post - 1) {
        bool done = index >= 2;
        responses_head(done ? "response.completed"
                            : (index == 0 ? "response.created" : "response.in_progress"),
                       index, out);
        put_span(out, SPAN(",\"response\":"));
        responses_object(call, done, out);
        put_span(out, SPAN("}\n\n"));
    } else if (index < pre) {
        responses_frame(call, index - 2, index, out);
    } else if (index >= pre + count) {
        responses_frame(call, index - pre - count + 2, index, out);
    } else if (tools) {
        responses_tool(index - pre, index, out);
    } else {
        responses_head("response.output_text.delta", index, out);
        putf(out,
             ",\"item_id\":\"msg_mock%" PRIu64
             "\",\"output_index\":0,\"content_index\":0,\"logprobs\":"
             "[],\"delta\":\"",
             call->id);
        mock_text(call, index - pre, out);
        put_span(out, SPAN("\"}\n\n"));
    }
    return true;
}

// --- Messages ---

static void messages_usage(struct call *call, bool final, struct put *out)
{
    putf(out,
         "{\"input_tokens\":%d,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":%d,"
         "\"output_tokens\":%u}",
         INPUT_TOKENS - CACHED_TOKENS, CACHED_TOKENS, final ? output_tokens(call) : 1);
}

static void messages_open(struct call *call, struct put *out)
{
    putf(out,
         "{\"id\":\"msg_mock%" PRIu64 "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"",
         call->id);
    model(call, out);
    put_span(out, SPAN("\",\"content\":["));
}

static void messages_block(uint32_t step, uint32_t block, const char *start, struct put *out)
{
    if (step == 0)
        putf(out,
             "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":%u,"
             "\"content_block\":%s}\n\n",
             block, start);
    else
        putf(out,
             "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":%u}\n\n",
             block);
}

static void messages_think(uint32_t step, struct put *out)
{
    if (step == 0 || step == 3) {
        messages_block(step, 0, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}",
                       out);
        return;
    }
    putf(
        out,
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
        "{\"type\":\"%s\"}}\n\n",
        step == 1 ? "thinking_delta\",\"thinking\":\"Let me think."
                  : "signature_delta\",\"signature\":\"c2lnbmF0dXJl");
}

static void messages_tool(uint32_t index, uint32_t first, struct put *out)
{
    uint32_t tool = index / 3;
    char start[128];
    snprintf(
        start, sizeof(start),
        "{\"type\":\"tool_use\",\"id\":\"toolu_mock%u\",\"name\":\"get_weather\",\"input\":{}}",
        tool);
    if (index % 3 != 1)
        messages_block(index % 3, first + tool, start, out);
    else
        putf(
            out,
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":%u,"
            "\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"city\\\":\\\"Paris\\\"}"
            "\"}}\n\n",
            first + tool);
}

static void messages_end(struct call *call, bool last, struct put *out)
{
    if (last) {
        put_span(out, SPAN("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
        return;
    }
    putf(
        out,
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\","
        "\"stop_sequence\":null},\"usage\":",
        calls_tools(call) ? "tool_use" : "end_turn");
    messages_usage(call, true, out);
    put_span(out, SPAN("}\n\n"));
}

static bool messages_event(struct call *call, uint32_t index, struct put *out)
{
    bool tools = calls_tools(call);
    uint32_t think = call->wish.think ? 4 : 0, first = call->wish.think ? 1 : 0;
    uint32_t pre = 1 + think + (tools ? 0 : 2), count = body_count(call);
    uint32_t post = tools ? 2 : 3;
    if (index >= pre + count + post)
        return false;
    if (index == 0) {
        put_span(out, SPAN("event: message_start\ndata: {\"type\":\"message_start\",\"message\":"));
        messages_open(call, out);
        put_span(out, SPAN("],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":"));
        messages_usage(call, false, out);
        put_span(out, SPAN("}}\n\n"));
    } else if (index <= think) {
        messages_think(index - 1, out);
    } else if (index < pre) {
        if (index == pre - 1)
            put_span(out, SPAN("event: ping\ndata: {\"type\":\"ping\"}\n\n"));
        else
            messages_block(0, first, "{\"type\":\"text\",\"text\":\"\"}", out);
    } else if (index >= pre + count) {
        if (!tools && index == pre + count)
            messages_block(2, first, NULL, out);
        else
            messages_end(call, index == pre + count + post - 1, out);
    } else if (tools) {
        messages_tool(index - pre, first, out);
    } else {
        putf(out,
             "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":%u,"
             "\"delta\":{\"type\":\"text_delta\",\"text\":\"",
             first);
        mock_text(call, index - pre, out);
        put_span(out, SPAN("\"}}\n\n"));
    }
    return true;
}

static void messages_whole(struct call *call, struct put *out)
{
    messages_open(call, out);
    if (call->wish.think)
        put_span(out, SPAN("{\"type\":\"thinking\",\"thinking\":\"Let me think.\",\"signature\":"
                           "\"c2lnbmF0dXJl\"},"));
    if (calls_tools(call)) {
        for (uint32_t i = 0; i < call->wish.tools; i++)
            putf(
                out,
                "%s{\"type\":\"tool_use\",\"id\":\"toolu_mock%u\",\"name\":\"get_weather\",\"input\":"
                "{\"city\":\"Paris\"}}",
                i > 0 ? "," : "", i);
    } else {
        put_span(out, SPAN("{\"type\":\"text\",\"text\":\""));
        all_text(call, out);
        put_span(out, SPAN("\"}"));
    }
    putf(out, "],\"stop_reason\":\"%s\",\"stop_sequence\":null",
         calls_tools(call) ? "tool_use" : "end_turn");
    if (!call->wish.no_usage) {
        put_span(out, SPAN(",\"usage\":"));
        messages_usage(call, true, out);
    }
    put_span(out, SPAN("}"));
}

// --- Gemini ---

static void gemini_tail(struct call *call, bool last, struct put *out)
{
    uint32_t output = body_count(call);
    put_span(out, SPAN("\"modelVersion\":\""));
    model(call, out);
    putf(out, "\",\"responseId\":\"mock%" PRIu64 "\"", call->id);
    if (last && !call->wish.no_usage) {
        putf(out,
             ",\"usageMetadata\":{\"promptTokenCount\":%d,\"cachedContentTokenCount\":%d,"
             "\"candidatesTokenCount\":%u,",
             INPUT_TOKENS, CACHED_TOKENS, output);
        if (call->wish.think)
            putf(out, "\"thoughtsTokenCount\":%d,", REASONING_TOKENS);
        putf(out, "\"totalTokenCount\":%u}", INPUT_TOKENS + output_tokens(call));
    }
    put_span(out, SPAN("}"));
}

static void gemini_parts(struct call *call, uint32_t index, bool whole, struct put *out)
{
    if (calls_tools(call)) {
        uint32_t from = whole ? 0 : index, to = whole ? call->wish.tools : index + 1;
        for (uint32_t i = from; i < to; i++)
            putf(out,
                 "%s{\"functionCall\":{\"name\":\"get_weather\",\"args\":{\"city\":\"Paris\"}},"
                 "\"thoughtSignature\":\"c2lnbmF0dXJl\"}",
                 i > from ? "," : "");
        return;
    }
    put_span(out, SPAN("{\"text\":\""));
    if (whole)
        all_text(call, out);
    else
        mock_text(call, index, out);
    put_span(out, SPAN("\"}"));
}

static uint32_t gemini_count(const struct call *call)
{
    return calls_tools(call) ? call->wish.tools : call->wish.tokens;
}

static void gemini_chunk(struct call *call, uint32_t index, bool whole, bool last, struct put *out)
{
    put_span(out, SPAN("{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":["));
    gemini_parts(call, index, whole, out);
    put_span(out, last ? SPAN("]},\"finishReason\":\"STOP\",\"index\":0}],")
                       : SPAN("]},\"index\":0}],"));
    gemini_tail(call, last, out);
}

static bool gemini_event(struct call *call, uint32_t index, struct put *out)
{
    uint32_t count = gemini_count(call);
    if (index >= count)
        return false;
    bool last = index + 1 == count;
    put_span(out, call->sse ? SPAN("data: ") : (index == 0 ? SPAN("[") : SPAN(",\r\n")));
    gemini_chunk(call, index, false, last, out);
    put_span(out, call->sse ? SPAN("\r\n\r\n") : (last ? SPAN("]") : SPAN_NONE));
    return true;
}

static void gemini_embeddings(const struct call *call, struct put *out)
{
    put_span(out, SPAN("{\"embeddings\":["));
    for (uint32_t i = 0; i < call->inputs; i++)
        putf(out, "%s{\"values\":" EMBEDDING "}", i > 0 ? "," : "");
    put_span(out, SPAN("]}"));
}

// --- all of them ---

bool mock_event(struct call *call, uint32_t index, struct put *out)
{
    switch (call->op) {
    case MOCK_CHAT:
    case MOCK_COMPLETIONS: return chat_event(call, index, out);
    case MOCK_RESPONSES: return responses_event(call, index, out);
    case MOCK_MESSAGES: return messages_event(call, index, out);
    case MOCK_GENERATE: return gemini_event(call, index, out);
    case MOCK_EMBEDDINGS:
    case MOCK_COMPACT:
    case MOCK_COUNT_TOKENS:
    case MOCK_RESPONSES_COUNT:
    case MOCK_GEMINI_COUNT:
    case MOCK_GEMINI_EMBED:
    case MOCK_GEMINI_EMBED_BATCH:
    case MOCK_UNKNOWN: return false; // these have no streams
    }
    bug("an operation is one of the list");
}

uint32_t mock_event_count(const struct call *call)
{
    uint32_t count = body_count(call);
    bool tools = calls_tools(call);
    switch (call->op) {
    case MOCK_CHAT:
        return 1 + call->wish.think + count + 2 + (call->include_usage && !call->wish.no_usage);
    case MOCK_COMPLETIONS: return count + 2 + (call->include_usage && !call->wish.no_usage);
    case MOCK_RESPONSES: return count + (tools ? 3 : 8);
    case MOCK_MESSAGES: return count + 1 + (call->wish.think ? 4 : 0) + (tools ? 2 : 5);
    case MOCK_GENERATE: return gemini_count(call);
    case MOCK_EMBEDDINGS:
    case MOCK_COMPACT:
    case MOCK_COUNT_TOKENS:
    case MOCK_RESPONSES_COUNT:
    case MOCK_GEMINI_COUNT:
    case MOCK_GEMINI_EMBED:
    case MOCK_GEMINI_EMBED_BATCH:
    case MOCK_UNKNOWN: return 0;
    }
    bug("an operation is one of the list");
}

void mock_whole(struct call *call, struct put *out)
{
    switch (call->op) {
    case MOCK_CHAT:
    case MOCK_COMPLETIONS: chat_whole(call, out); return;
    case MOCK_EMBEDDINGS: embeddings_whole(call, out); return;
    case MOCK_RESPONSES: responses_object(call, true, out); return;
    case MOCK_COMPACT: responses_compacted(call, out); return;
    case MOCK_MESSAGES: messages_whole(call, out); return;
    case MOCK_COUNT_TOKENS: putf(out, "{\"input_tokens\":%d}", INPUT_TOKENS); return;
    case MOCK_RESPONSES_COUNT:
        putf(out, "{\"object\":\"response.input_tokens\",\"input_tokens\":%d}", INPUT_TOKENS);
        return;
    case MOCK_GENERATE: gemini_chunk(call, 0, true, true, out); return;
    case MOCK_GEMINI_COUNT: putf(out, "{\"totalTokens\":%d}", INPUT_TOKENS); return;
    case MOCK_GEMINI_EMBED:
        put_span(out, SPAN("{\"embedding\":{\"values\":" EMBEDDING "}}"));
        return;
    case MOCK_GEMINI_EMBED_BATCH: gemini_embeddings(call, out); return;
    case MOCK_UNKNOWN: put_span(out, SPAN("{}")); return;
    }
    bug("an operation is one of the list");
}

static bool speaks_gemini(const struct call *call)
{
    return call->op == MOCK_GENERATE || call->op == MOCK_GEMINI_COUNT ||
           call->op == MOCK_GEMINI_EMBED || call->op == MOCK_GEMINI_EMBED_BATCH;
}

void mock_error(struct call *call, int status, struct span message, struct put *out)
{
    bool busy = status == 429 || status >= 500;
    if (call->op == MOCK_MESSAGES || call->op == MOCK_COUNT_TOKENS) {
        putf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"",
             status == 429   ? "rate_limit_error"
             : status == 529 ? "overloaded_error"
             : busy          ? "api_error"
             : status == 401 ? "authentication_error"
                             : "invalid_request_error");
        put_json_text(out, message);
        putf(out, "\"},\"request_id\":\"mock-%" PRIu64 "\"}", call->id);
    } else if (speaks_gemini(call)) {
        putf(out, "{\"error\":{\"code\":%d,\"message\":\"", status);
        put_json_text(out, message);
        putf(out, "\",\"status\":\"%s\"}}",
             status == 429 ? "RESOURCE_EXHAUSTED"
             : busy        ? "UNAVAILABLE"
                           : "INVALID_ARGUMENT");
    } else {
        put_span(out, SPAN("{\"error\":{\"message\":\""));
        put_json_text(out, message);
        putf(out, "\",\"type\":\"%s\",\"param\":null,\"code\":%s}}",
             status == 429 ? "rate_limit_error"
             : busy        ? "server_error"
                           : "invalid_request_error",
             status == 429 ? "\"rate_limit_exceeded\"" : "null");
    }
}

void mock_error_event(struct call *call, struct put *out)
{
    struct span message = SPAN("the mock is overloaded");
    if (call->op == MOCK_RESPONSES) {
        putf(out,
             "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"%s\","
             "\"param\":null,\"sequence_number\":%u}\n\n",
             message.ptr, call->event);
        return;
    }
    if (call->op == MOCK_MESSAGES)
        put_span(out, SPAN("event: error\n"));
    put_span(out, speaks_gemini(call) && !call->sse ? SPAN(",") : SPAN("data: "));
    mock_error(call, call->op == MOCK_MESSAGES ? 529 : 503, message, out);
    put_span(out, SPAN("\n\n"));
}
