// What wire.h promises of each format: what an event is, when a stream is whole, where the model's
// name stands, and that likeness to the last event changes nothing but the cost.
#include "test.h"

#include "penstock/wire/wire.h"

static struct wire_stream stream;
static struct wire_event event;

static void begin(enum wire_id id)
{
    wire_stream_init(&stream, wire_get(id), false);
}

static uint32_t say(const char *block)
{
    wire_stream_event(&stream, span_str(block), &event);
    return event.flags;
}

#define DATA(json) say("data: " json "\n\n")

static struct usage usage(void)
{
    return usage_normal(&stream.told, stream.wire->rule);
}

#define CHUNK(choices) \
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"m-1\"," choices "}"
#define DELTA(delta, finish) \
    CHUNK("\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":" finish "}]")

// --- Chat ---

static void chat_streams_are_read(void)
{
    begin(WIRE_CHAT);
    EXPECT_EQ(say(": OPENROUTER PROCESSING\n\n"), 0);
    EXPECT_EQ(DATA("{\"choices\":[],\"id\":\"\",\"model\":\"\",\"prompt_filter_results\":[]}"), 0);
    EXPECT_EQ(DATA(DELTA("{\"role\":\"assistant\",\"content\":\"\"}", "null")), 0);
    EXPECT(!stream.content);
    EXPECT_EQ(DATA(DELTA("{\"content\":\"Hi\"}", "null")), WIRE_CONTENT);
    EXPECT_SPAN(event.model, "\"m-1\"");
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_TRUNCATED);
    EXPECT_EQ(DATA(DELTA("{}", "\"stop\"")), WIRE_CONTENT | WIRE_TERMINAL);
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_IRREGULAR);
    EXPECT_EQ(DATA("{\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,"
                   "\"prompt_tokens_details\":{\"cached_tokens\":4}}}"),
              WIRE_USAGE);
    EXPECT_EQ(DATA("[DONE]"), WIRE_TERMINAL);
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_COMPLETE);
    EXPECT_EQ(usage().input_uncached, 6);
    EXPECT_EQ(usage().output, 2);
    EXPECT(usage().exact);
    EXPECT_SPAN(told_model_name(&stream.told), "m-1");
    EXPECT_SPAN(span_of(stream.id, stream.id_len), "chatcmpl-1");
    EXPECT_EQ(stream.text_bytes, 2);
}

static void the_usage_event_is_hidden_if_it_was_our_wish(void)
{
    wire_stream_init(&stream, wire_get(WIRE_COMPLETIONS), true);
    DATA(CHUNK("\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"stop\"}]"));
    EXPECT_EQ(event.flags & WIRE_HIDE, 0);
    DATA("{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}");
    EXPECT(event.flags & WIRE_HIDE);
    // Usage beside a choice is the vendor's own way: the choice must not be lost.
    DATA(CHUNK("\"choices\":[{\"index\":0,\"text\":\"\"}],\"usage\":{\"prompt_tokens\":1}"));
    EXPECT(event.flags & WIRE_USAGE);
    EXPECT_EQ(event.flags & WIRE_HIDE, 0);
}

static void chat_usage_is_found_anywhere(void)
{
    static const char *const places[] = {
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"usage\":"
        "{\"prompt_tokens\":9,\"completion_tokens\":3}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"usage\":"
        "{\"prompt_tokens\":9,\"completion_tokens\":3}}}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":"
        "{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        begin(WIRE_CHAT);
        EXPECT(say(places[i]) & WIRE_USAGE);
        EXPECT_EQ(usage().input_uncached, 9);
        EXPECT(usage().exact);
    }
}

static void every_choice_must_end(void)
{
    begin(WIRE_CHAT);
    DATA(CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}},"
               "{\"index\":127,\"delta\":{\"content\":\"b\"}}]"));
    DATA(CHUNK("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]"));
    DATA("[DONE]");
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_TRUNCATED);
    DATA(CHUNK("\"choices\":[{\"index\":127,\"delta\":{},\"finish_reason\":\"length\"}]"));
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_COMPLETE);
}

static void the_marker_alone_is_no_end(void)
{
    begin(WIRE_CHAT);
    DATA(DELTA("{\"content\":\"Hi\"}", "null"));
    DATA(DELTA("{}", "\"\""));
    DATA("[DONE]");
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_TRUNCATED);
    // But a server that never gives a reason, and has counted, was through.
    begin(WIRE_CHAT);
    DATA(DELTA("{\"content\":\"Hi\"}", "null"));
    DATA("{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}");
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_TRUNCATED);
    DATA("[DONE]");
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_IRREGULAR);
    begin(WIRE_CHAT);
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_TRUNCATED);
}

static void chat_content_has_many_names(void)
{
    static const char *const deltas[] = {
        "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"refusal\":\"no\"}}]}\n\n",
        ("data: {\"choices\":[{\"delta\":{\"content\":null,\"tool_calls\":[{\"index\":0,\"id\":\"c\","
         "\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\n"),
        "data: {\"choices\":[{\"delta\":{\"audio\":{\"id\":\"a\"}}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"something_new\":\"x\"}}]}\n\n",
        "data: {\"choices\":[{\"text\":\"legacy\"}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(deltas); i++) {
        begin(WIRE_CHAT);
        EXPECT(say(deltas[i]) & WIRE_CONTENT);
        EXPECT(stream.content);
    }
    static const char *const empty[] = {
        ("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null,\"refusal\":null,"
         "\"tool_calls\":[]}}]}\n\n"),
        "data: {\"choices\":[{\"delta\":null}]}\n\n",
        "data: {\"choices\":null}\n\n",
        "data: {}\n\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
        begin(WIRE_CHAT);
        EXPECT_EQ(say(empty[i]), 0);
    }
}

static void chat_errors_have_many_wrappers(void)
{
    static const char *const errors[] = {
        "data: {\"error\":{\"message\":\"m\",\"type\":\"rate_limit_error\"}}\n\n",
        "event: error\ndata: {\"message\":\"m\",\"type\":\"rate_limit_error\"}\n\n",
        "data: {\"object\":\"error\",\"message\":\"m\",\"code\":429}\n\n",
        ("data: {\"error\":{\"message\":\"m\",\"code\":429},\"choices\":[{\"delta\":{\"content\":"
         "\"\"},\"finish_reason\":\"error\"}]}\n\n"),
        "{\n  \"error\": {\n    \"message\": \"m\",\n    \"code\": 429\n  }\n}\n\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        struct fault_note note;
        begin(WIRE_CHAT);
        stream.note = &note;
        EXPECT(say(errors[i]) & WIRE_ERROR);
        EXPECT_EQ(stream.fault, FAULT_RATE_LIMITED);
        EXPECT_SPAN(note_message(&note), "m");
        EXPECT_EQ(wire_stream_end(&stream), WIRE_END_ERROR);
    }
    begin(WIRE_CHAT);
    EXPECT_EQ(DATA("{\"error\":null,\"choices\":[]}"), 0);
}

static void what_is_no_json_is_counted(void)
{
    begin(WIRE_CHAT);
    EXPECT_EQ(DATA("{broken"), 0);
    EXPECT_EQ(DATA("\"text\""), 0);
    EXPECT_EQ(stream.bad_events, 2);
    EXPECT_EQ(say("event: ping\n\n"), 0);
    EXPECT_EQ(stream.bad_events, 2);
}

static void joined_lines_are_one_event(void)
{
    begin(WIRE_CHAT);
    EXPECT(say("data: {\"choices\":[{\"delta\":\ndata: {\"content\":\"a\"}}]}\n\n") & WIRE_CONTENT);
    static char large[2 * WIRE_JOIN_MAX];
    memset(large, ' ', sizeof(large));
    memcpy(large, "data: {\ndata: ", 14);
    memcpy(large + sizeof(large) - 3, "}\n\n", 3);
    wire_stream_event(&stream, span_of(large, sizeof(large)), &event);
    EXPECT_EQ(stream.bad_events, 1);
}

// --- likeness ---

static void like_events_are_known(void)
{
    begin(WIRE_CHAT);
    static const char *const blocks[] = {
        "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},"
        "\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"%s\"}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},\"finish_reason\":null}],"
        "\"model\":\"m\",\"obfuscation\":\"%s\"}\n\n",
    };
    for (size_t b = 0; b < ARRAY_LEN(blocks); b++) {
        begin(WIRE_CHAT);
        for (int i = 0; i < 4; i++) {
            static const char *const texts[] = { "a", "bc", "\\\"quoted\\\"", "" };
            char block[512];
            const char *form = blocks[b];
            const char *first = strstr(form, "%s"), *second = strstr(first + 2, "%s");
            snprintf(block, sizeof(block), "%.*s%s%.*s%s%s", (int)(first - form), form, texts[i],
                     (int)(second - first - 2), first + 2, texts[3 - i], second + 2);
            EXPECT_EQ(say(block), i == 0 ? WIRE_CONTENT : WIRE_CONTENT | WIRE_KNOWN);
            EXPECT_SPAN(event.model, "\"m\"");
            EXPECT(event.model.ptr == strstr(block, "\"m\""));
        }
        EXPECT_EQ(stream.text_bytes, 13);
        EXPECT_EQ(stream.event_count, 4);
    }
}

static void nothing_is_not_like_anything(void)
{
    begin(WIRE_CHAT);
    DATA(DELTA("{\"content\":\"Hi\"}", "null"));
    DATA(DELTA("{\"content\":\"Ho\"}", "null"));
    EXPECT(event.flags & WIRE_KNOWN);
    EXPECT_EQ(say(""), 0);
    EXPECT_EQ(stream.event_count, 2);
}

static void likeness_hides_nothing(void)
{
    begin(WIRE_CHAT);
    DATA(DELTA("{\"content\":\"a\"}", "null"));
    EXPECT_EQ(DATA(DELTA("{\"content\":\"b\"}", "null")), WIRE_CONTENT | WIRE_KNOWN);
    EXPECT_EQ(DATA(DELTA("{\"content\":\"c\"}", "\"stop\"")), WIRE_CONTENT | WIRE_TERMINAL);
    EXPECT_EQ(DATA(DELTA("{\"content\":\"d\"}", "null")) & WIRE_KNOWN, WIRE_KNOWN);
    EXPECT(DATA("{\"error\":{\"message\":\"m\"}}") & WIRE_ERROR);
    EXPECT_EQ(stream.text_bytes, 4);
}

static void counts_in_like_events_are_read(void)
{
    begin(WIRE_GEMINI);
#define GEMINI(text, count, total)                                                                 \
    "{\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"" text "\"}],\"role\": \"model\"}," \
    "\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 8,\"candidatesTokenCount\": " count  \
    ",\"totalTokenCount\": " total "},\"modelVersion\": \"g\"}"
    EXPECT_EQ(DATA(GEMINI("a", "1", "9")), WIRE_CONTENT | WIRE_USAGE);
    EXPECT_EQ(DATA(GEMINI("b", "12", "20")), WIRE_CONTENT | WIRE_KNOWN);
    EXPECT_EQ(usage().output, 12);
    EXPECT_EQ(usage().input_uncached, 8);
    EXPECT_SPAN(event.model, "\"g\"");
    begin(WIRE_RESPONSES);
#define TEXT(delta, sequence)                                     \
    "{\"type\":\"response.output_text.delta\",\"delta\":\"" delta \
    "\",\"sequence_number\":" sequence ",\"obfuscation\":\"x\"}"
    EXPECT_EQ(DATA(TEXT("a", "4")), WIRE_CONTENT);
    EXPECT_EQ(DATA(TEXT("b", "5")), WIRE_CONTENT | WIRE_KNOWN);
    EXPECT_EQ(stream.sequence, 6);
}

// --- Messages ---

// Numbered events: known while they count up, and read as ever where they do not.
static void numbers_of_events_are_counted(void)
{
    static const struct {
        uint64_t number;
        bool known;
    } told[] = { { 7, false },  { 8, true },   { 9, true },   { 10, false }, { 11, true },
                 { 12, true },  { 14, false }, { 15, true },  { 3, false },  { 4, true },
                 { 99, false }, { 99, false }, { 100, true }, { 101, true }, { 101, true },
                 { 5, true },   { 1000, true } };
    uint64_t highest = 0;
    begin(WIRE_RESPONSES);
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        char block[256];
        (void)snprintf(block, sizeof(block),
                       "event: response.output_text.delta\ndata: {\"type\":\"response.output_text."
                       "delta\",\"sequence_number\":%llu,\"delta\":\"b\"}\n\n",
                       (unsigned long long)told[i].number);
        EXPECT_EQ(say(block), WIRE_CONTENT | (told[i].known ? WIRE_KNOWN : 0));
        highest = max_u64(highest, told[i].number + 1);
        EXPECT_EQ(stream.sequence, highest);
    }
    // Now any number will do, as none of the last ones did. One of another kind moves nothing.
    EXPECT_EQ(DATA("{\"type\":\"response.output_text.done\",\"sequence_number\":1002}"),
              WIRE_CONTENT);
    EXPECT_EQ(
        say("event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","
            "\"sequence_number\":102,\"delta\":\"c\"}\n\n"),
        WIRE_CONTENT | WIRE_KNOWN);
    EXPECT_EQ(stream.sequence, 1003);
}

static void messages_streams_are_read(void)
{
    begin(WIRE_MESSAGES);
    EXPECT_EQ(say("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":"
                  "\"msg_1\",\"model\":\"c-1\",\"usage\":{\"input_tokens\":15,"
                  "\"cache_read_input_tokens\":5,\"output_tokens\":1,\"service_tier\":\"standard\""
                  "}}}\n\n"),
              WIRE_USAGE);
    EXPECT_SPAN(event.model, "\"c-1\"");
    EXPECT_EQ(say("event: ping\ndata: {\"type\": \"ping\"}\n\n"), 0);
    EXPECT_EQ(DATA("{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
                   "\"text\",\"text\":\"\"}}"),
              0);
    EXPECT_EQ(DATA("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                   "\"text_delta\",\"text\":\"Hi\"}}"),
              WIRE_CONTENT);
    EXPECT_EQ(DATA("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                   "\"text_delta\",\"text\":\" there\"}}"),
              WIRE_CONTENT | WIRE_KNOWN);
    EXPECT_EQ(DATA("{\"type\":\"content_block_stop\",\"index\":0}"), 0);
    EXPECT(!usage().exact);
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_TRUNCATED);
    EXPECT_EQ(DATA("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":"
                   "{\"output_tokens\":9}}"),
              WIRE_CONTENT | WIRE_TERMINAL | WIRE_USAGE);
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_IRREGULAR);
    EXPECT_EQ(DATA("{\"type\":\"message_stop\"}"), WIRE_TERMINAL);
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_COMPLETE);
    EXPECT_EQ(usage().input_uncached, 15);
    EXPECT_EQ(usage().cache_read, 5);
    EXPECT_EQ(usage().output, 9);
    EXPECT(usage().exact);
    EXPECT_SPAN(told_tier(&stream.told), "standard");
    EXPECT_EQ(stream.text_bytes, 8);
}

// Whoever looks for signatures is shown each, also where one is like the last.
static void a_signature_is_no_text(void)
{
    begin(WIRE_MESSAGES);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(DATA("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                       "\"signature_delta\",\"signature\":\"EqQB\"}}"),
                  WIRE_CONTENT);
    EXPECT_EQ(stream.text_bytes, 0);
}

static void a_block_that_is_no_text_is_content(void)
{
    static const struct {
        const char *block;
        uint32_t flags;
    } cases[] = {
        { "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}", 0 },
        { "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"abc\"}", WIRE_CONTENT },
        { "{\"type\":\"redacted_thinking\",\"data\":\"x\"}", WIRE_CONTENT },
        { "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}", WIRE_CONTENT },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char block[256];
        snprintf(block, sizeof(block),
                 "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":%s}\n\n",
                 cases[i].block);
        begin(WIRE_MESSAGES);
        EXPECT_EQ(say(block), cases[i].flags);
    }
}

static void messages_errors_end_a_stream(void)
{
    begin(WIRE_MESSAGES);
    EXPECT_EQ(
        say("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
            "\"message\":\"Overloaded\"}}\n\n"),
        WIRE_ERROR);
    EXPECT_EQ(stream.fault, FAULT_OVERLOADED);
    EXPECT(!stream.content); // nothing but an error: another account may still answer
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_ERROR);
}

// --- Responses ---

static void responses_streams_are_read(void)
{
    begin(WIRE_RESPONSES);
    EXPECT_EQ(say("event: response.created\ndata: {\"type\":\"response.created\",\"response\":{"
                  "\"id\":\"resp_1\",\"model\":\"r-1\",\"usage\":null,\"error\":null,"
                  "\"service_tier\":\"auto\"},\"sequence_number\":0}\n\n"),
              0);
    EXPECT_SPAN(event.model, "\"r-1\"");
    EXPECT_EQ(DATA("{\"type\":\"response.output_item.added\",\"item\":{\"type\":\"message\","
                   "\"content\":[]},\"sequence_number\":1}"),
              0);
    EXPECT_EQ(DATA("{\"type\":\"response.content_part.added\",\"part\":{}}"), 0);
    EXPECT_EQ(DATA("{\"type\":\"keepalive\",\"sequence_number\":2}"), 0);
    EXPECT_EQ(DATA("{\"type\":\"response.output_text.delta\",\"delta\":\"\"}"), 0);
    EXPECT_EQ(DATA("{\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}"), WIRE_CONTENT);
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_TRUNCATED);
    EXPECT_EQ(DATA("{\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"model\":"
                   "\"r-1\",\"service_tier\":\"default\",\"output\":[],\"usage\":{\"input_tokens\":"
                   "20,\"input_tokens_details\":{\"cached_tokens\":5},\"output_tokens\":9,"
                   "\"output_tokens_details\":{\"reasoning_tokens\":3},\"total_tokens\":29}},"
                   "\"sequence_number\":9}"),
              WIRE_CONTENT | WIRE_TERMINAL | WIRE_USAGE);
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_COMPLETE);
    EXPECT_EQ(usage().input_uncached, 15);
    EXPECT_EQ(usage().reasoning, 3);
    EXPECT(usage().exact);
    EXPECT_SPAN(told_tier(&stream.told), "default");
    EXPECT_SPAN(span_of(stream.id, stream.id_len), "resp_1");
    EXPECT_EQ(stream.sequence, 10);
}

static void a_call_is_content_when_it_is_announced(void)
{
    begin(WIRE_RESPONSES);
    EXPECT_EQ(DATA("{\"type\":\"response.output_item.added\",\"item\":{\"type\":\"reasoning\"}}"),
              0);
    EXPECT_EQ(DATA("{\"type\":\"response.output_item.added\",\"item\":{\"type\":\"function_call\","
                   "\"name\":\"f\"}}"),
              WIRE_CONTENT);
}

static void responses_errors_are_flat_or_nested(void)
{
    static const char *const errors[] = {
        "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\","
        "\"param\":null,\"sequence_number\":2}\n\n",
        "data: {\"type\":\"error\",\"error\":{\"type\":\"x\",\"code\":\"rate_limit_exceeded\","
        "\"message\":\"m\"}}\n\n",
        "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":"
        "\"rate_limit_exceeded\",\"message\":\"m\"}}}\n\n",
        "data: {\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"m\"}}\n\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        struct fault_note note;
        begin(WIRE_RESPONSES);
        stream.note = &note;
        EXPECT(say(errors[i]) & WIRE_ERROR);
        EXPECT_EQ(stream.fault, FAULT_RATE_LIMITED);
        EXPECT_SPAN(note_message(&note), "m");
        EXPECT(!stream.content);
        EXPECT_EQ(wire_stream_end(&stream), WIRE_END_ERROR);
    }
}

// --- Gemini ---

static void gemini_streams_are_read(void)
{
    begin(WIRE_GEMINI);
    EXPECT_EQ(DATA("{\"candidates\": [{\"content\": {\"role\": \"model\"},\"index\": 0}],"
                   "\"usageMetadata\": {\"promptTokenCount\": 20},\"responseId\": \"r\"}"),
              WIRE_USAGE);
    EXPECT_EQ(DATA("{\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"\","
                   "\"thoughtSignature\": \"x\"}]}}]}"),
              0);
    EXPECT_EQ(DATA("{\"candidates\": [{\"content\": {\"parts\": [{\"functionCall\": {\"name\": "
                   "\"f\"}}]}}]}"),
              WIRE_CONTENT);
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_TRUNCATED);
    EXPECT_EQ(
        DATA("{\"candidates\": [{\"finishReason\": \"STOP\",\"index\": 0}],\"usageMetadata\": "
             "{\"promptTokenCount\": 20,\"candidatesTokenCount\": 6,\"thoughtsTokenCount\": 3,"
             "\"totalTokenCount\": 29}}"),
        WIRE_CONTENT | WIRE_USAGE | WIRE_TERMINAL);
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_COMPLETE);
    EXPECT_EQ(usage().output, 9);
    EXPECT(usage().exact);
}

static void a_refused_prompt_is_an_answer(void)
{
    begin(WIRE_GEMINI);
    EXPECT_EQ(DATA("{\"promptFeedback\":{\"blockReason\":\"SAFETY\"},\"usageMetadata\":"
                   "{\"promptTokenCount\":4,\"totalTokenCount\":4}}"),
              WIRE_CONTENT | WIRE_TERMINAL | WIRE_USAGE);
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_COMPLETE);
    EXPECT(usage().exact);
}

static void gemini_errors_may_stand_bare(void)
{
    begin(WIRE_GEMINI);
    EXPECT(DATA("{\"error\":{\"code\":503,\"message\":\"m\",\"status\":\"UNAVAILABLE\"}}") &
           WIRE_ERROR);
    EXPECT_EQ(stream.fault, FAULT_OVERLOADED);
    begin(WIRE_GEMINI);
    EXPECT(say("[{\r\n  \"error\": {\r\n    \"code\": 503,\r\n    \"status\": \"UNAVAILABLE\"\r\n"
               "  }\r\n}]\r\n\r\n") &
           WIRE_ERROR);
    EXPECT_EQ(stream.fault, FAULT_OVERLOADED);
}

// --- whole answers and long events ---

// Lets `text` pass in two pieces; the model's name is replaced by another, unless it is kept.
// Returns what comes out.
static struct span pass_text(struct span text, size_t first, bool sse, bool keep, char *out)
{
    static char memory[WIRE_VALUES_MAX];
    struct wire_pass pass;
    wire_pass_init(&pass, &stream, sse, memory);
    if (keep)
        wire_pass_keep_model(&pass);
    size_t len = 0;
    for (int half = 0; half < 2; half++) {
        struct span in = half == 0 ? span_upto(text, first) : span_from(text, first), piece;
        enum wire_cut cut;
        while (wire_pass_next(&pass, &in, &piece, &cut)) {
            EXPECT(piece.len > 0);
            EXPECT(!keep || cut == WIRE_CUT_KEEP);
            struct span use = cut == WIRE_CUT_KEEP    ? piece
                              : cut == WIRE_CUT_MODEL ? SPAN("\"alias\"")
                                                      : SPAN("");
            memcpy(out + len, use.ptr, use.len);
            len += use.len;
        }
        EXPECT_EQ(in.len, 0);
    }
    wire_pass_end(&pass);
    return span_of(out, len);
}

static void passes(enum wire_id id, const char *text, bool sse, const char *want, uint64_t output,
                   enum wire_end end)
{
    struct span span = span_str(text);
    char out[1024];
    for (size_t first = 0; first <= span.len; first++) {
        for (int keep = 0; keep < 2; keep++) {
            begin(id);
            EXPECT_SPAN(pass_text(span, first, sse, keep, out), keep ? text : want);
            EXPECT_EQ(usage().output, output);
            EXPECT_EQ(wire_stream_end(&stream), end);
        }
    }
}

static void whole_answers_pass(void)
{
    passes(WIRE_CHAT,
           " {\"id\":\"i\",\"model\" : \"m\\\"1\",\"choices\":[{\"message\":{\"model\":\"no\"}}],"
           "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4},\"error\":null}\n",
           false,
           " {\"id\":\"i\",\"model\" : \"alias\",\"choices\":[{\"message\":{\"model\":\"no\"}}],"
           "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4},\"error\":null}\n",
           4, WIRE_END_COMPLETE);
    EXPECT(usage().exact);
    passes(WIRE_EMBEDDINGS,
           "{\"data\":[{\"embedding\":[0.1,-0.2e-3]}],\"model\":\"e\",\"usage\":"
           "{\"prompt_tokens\":3,\"total_tokens\":3}}",
           false,
           "{\"data\":[{\"embedding\":[0.1,-0.2e-3]}],\"model\":\"alias\",\"usage\":"
           "{\"prompt_tokens\":3,\"total_tokens\":3}}",
           0, WIRE_END_COMPLETE);
    EXPECT(usage().exact);
    passes(WIRE_MESSAGES, "{\"model\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}",
           false, "{\"model\":\"alias\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}", 2,
           WIRE_END_COMPLETE);
    passes(WIRE_CHAT, "{\"usage\":{\"completion_tokens\":4}", false,
           "{\"usage\":{\"completion_tokens\":4}", 4, WIRE_END_TRUNCATED);
    passes(WIRE_CHAT, "{\"error\":{\"message\":\"m\"}}", false, "{\"error\":{\"message\":\"m\"}}",
           0, WIRE_END_ERROR);
    passes(WIRE_CHAT, "<html>busy</html>", false, "<html>busy</html>", 0, WIRE_END_ERROR);
    passes(WIRE_CHAT, "{\"usage\":{\"completion_tokens\":4}} trailing", false,
           "{\"usage\":{\"completion_tokens\":4}} trailing", 4, WIRE_END_COMPLETE);
}

static void arrays_are_streams(void)
{
#define ELEMENT(rest) "{\"modelVersion\":\"g\"," rest "}"
    passes(
        WIRE_GEMINI,
        "[" ELEMENT("\"usageMetadata\":{\"candidatesTokenCount\":1},\"candidates\":[{\"index\":0}"
                    "]") "\n,\r\n" ELEMENT("\"usageMetadata\":{\"candidatesTokenCount\":5},"
                                           "\"candidates\":[{\"finishReason\":\"STOP\"}]") "]",
        false,
        "[{\"modelVersion\":\"alias\",\"usageMetadata\":{\"candidatesTokenCount\":1},"
        "\"candidates\":[{\"index\":0}]}\n,\r\n{\"modelVersion\":\"alias\",\"usageMetadata\":"
        "{\"candidatesTokenCount\":5},\"candidates\":[{\"finishReason\":\"STOP\"}]}]",
        5, WIRE_END_COMPLETE);
    passes(WIRE_GEMINI, "[{\"candidates\":[{\"index\":0}]}]", false,
           "[{\"candidates\":[{\"index\":0}]}]", 0, WIRE_END_TRUNCATED);
    passes(WIRE_GEMINI, "[{\"candidates\":[{\"finishReason\":\"STOP\"}]}", false,
           "[{\"candidates\":[{\"finishReason\":\"STOP\"}]}", 0, WIRE_END_TRUNCATED);
    passes(WIRE_GEMINI, "[{\"candidates\":[]},{\"error\":{\"code\":503}}]", false,
           "[{\"candidates\":[]},{\"error\":{\"code\":503}}]", 0, WIRE_END_ERROR);
}

static void long_events_pass(void)
{
    passes(WIRE_RESPONSES,
           ": note\r\nevent: response.completed\r\ndata:  {\"type\":\"response.completed\","
           "\"response\":{\"model\":\"r\",\"usage\":{\"output_tokens\":7}}}\r\n\r\n",
           true,
           ": note\r\nevent: response.completed\r\ndata:  {\"type\":\"response.completed\","
           "\"response\":{\"model\":\"alias\",\"usage\":{\"output_tokens\":7}}}\r\n\r\n",
           7, WIRE_END_COMPLETE);
    passes(
        WIRE_MESSAGES,
        "event:message_delta\ndata:{\"type\":\"message_delta\",\ndata: \"delta\":{\"stop_reason\":"
        "\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n",
        true,
        "event:message_delta\ndata:{\"type\":\"message_delta\",\ndata: \"delta\":{\"stop_reason\":"
        "\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n",
        7, WIRE_END_IRREGULAR);
    passes(WIRE_RESPONSES,
           "data: {\"type\":\"response.created\",\"response\":{\"model\":\"r\"}}\n\n", true,
           "data: {\"type\":\"response.created\",\"response\":{\"model\":\"alias\"}}\n\n", 0,
           WIRE_END_TRUNCATED);
    passes(WIRE_CHAT,
           "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"long\"},\"finish_reason\":"
           "\"stop\"}]}\n\n",
           true,
           "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"long\"},\"finish_reason\":"
           "\"stop\"}]}\n\n",
           0, WIRE_END_IRREGULAR);
}

static void operations_have_formats(void)
{
    EXPECT(wire_of(OP_CHAT) == wire_get(WIRE_CHAT));
    EXPECT(wire_of(OP_RESPONSE_GET) == wire_get(WIRE_RESPONSES));
    EXPECT(wire_of(OP_GEMINI_STREAM) == wire_get(WIRE_GEMINI));
    EXPECT(wire_of(OP_MODELS) == NULL);
    for (int op = OP_NONE + 1; op < OP_COUNT; op++) {
        const struct wire *wire = wire_of((enum wire_op)op);
        if (wire != NULL)
            EXPECT_EQ(wire->family, wire_op_info((enum wire_op)op)->family);
    }
}

TEST_MAIN(TEST(chat_streams_are_read), TEST(the_usage_event_is_hidden_if_it_was_our_wish),
          TEST(chat_usage_is_found_anywhere), TEST(every_choice_must_end),
          TEST(the_marker_alone_is_no_end), TEST(chat_content_has_many_names),
          TEST(chat_errors_have_many_wrappers), TEST(what_is_no_json_is_counted),
          TEST(joined_lines_are_one_event), TEST(like_events_are_known),
          TEST(nothing_is_not_like_anything), TEST(likeness_hides_nothing),
          TEST(counts_in_like_events_are_read), TEST(numbers_of_events_are_counted),
          TEST(messages_streams_are_read), TEST(a_signature_is_no_text),
          TEST(a_block_that_is_no_text_is_content), TEST(messages_errors_end_a_stream),
          TEST(responses_streams_are_read), TEST(a_call_is_content_when_it_is_announced),
          TEST(responses_errors_are_flat_or_nested), TEST(gemini_streams_are_read),
          TEST(a_refused_prompt_is_an_answer), TEST(gemini_errors_may_stand_bare),
          TEST(whole_answers_pass), TEST(arrays_are_streams), TEST(long_events_pass),
          TEST(operations_have_formats))
