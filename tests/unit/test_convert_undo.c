// What a request says in other words than the client's, and how its answer finds back: names of
// tools (C-037, C-136), arguments that are no object (C-036), a tool that stands for the
// answer (C-118), tools that only the history has (C-038).
#include "convert_rig.h"
#include "test.h"

#include "penstock/convert/convert.h"
#include "penstock/convert/undo.h"

enum { ROOM = 2 * MIB };

static struct words escaped(const char *text)
{
    return (struct words){ .raw = span_str(text), .escaped = true };
}

// --- requests ---

static char pad_room[ROOM];
static struct pad pad = PAD(pad_room, ROOM);
static struct prompt prompt;
static struct losses losses;
static struct aliases aliases;
static char body[ROOM];

// Parses a request of Chat and renders it for Messages; what comes out, or "refused".
static const char *render(const char *text, struct caps caps)
{
    struct prompt_parse parse;
    struct json_slice root;
    pad.used = 0;
    losses_init(&losses, false);
    EXPECT(json_check(span_str(text), &root));
    prompt_begin(&parse, &prompt, FAMILY_OPENAI, span_str(text), &pad.scratch, &losses);
    EXPECT(converter_of(FAMILY_OPENAI)->parse(&parse, root));
    struct render render = { .prompt = &prompt,
                             .caps = &caps,
                             .model = SPAN("m"),
                             .losses = &losses,
                             .scratch = &pad.scratch };
    struct sink sink = sink_into(body, sizeof(body) - 1);
    if (!converter_of(FAMILY_ANTHROPIC)->render(&render, &sink))
        return "refused";
    *sink.at = '\0';
    EXPECT(json_check(span_str(body), &root));
    return body;
}

static bool has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fprintf(stderr, "%s\n  is not in %s\n", part, text);
    return strstr(text, part) != NULL;
}

#define USER "{\"role\":\"user\",\"content\":\"u\"}"
#define TOOL(name, schema) \
    "{\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"parameters\":" schema "}}"
#define ASK(rest) "{\"messages\":[" USER "]," rest "}"
#define SCHEMA "{\"type\":\"object\",\"properties\":{\"a\":{}}}"
#define FORMAT(schema)                                                                                 \
    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"r\",\"schema\":" schema \
    "}}"

static void tools_of_the_history_are_stubs(void) // C-038
{
    const struct caps caps = { .prefill = true };
    const char *out = render(
        "{\"messages\":[" USER
        ",{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c1\",\"function\":"
        "{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"c2\",\"function\":{\"name\":\"g.h\","
        "\"arguments\":\"{}\"}},{\"id\":\"c3\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"1\"},{\"role\":\"tool\","
        "\"tool_call_id\":\"c2\",\"content\":\"2\"},{\"role\":\"tool\",\"tool_call_id\":\"c3\","
        "\"content\":\"3\"}]}",
        caps);
    EXPECT(has(out, "\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}},"
                    "{\"name\":\"g_h_"));
    EXPECT(has(out, "\"tool_choice\":{\"type\":\"none\"}"));
    EXPECT(strstr(strstr(out, "\"name\":\"f\"") + 1, "\"name\":\"f\",\"input_schema\"") == NULL);
    EXPECT(strstr(render(ASK("\"n\":1"), caps), "tools") == NULL);
}

static void roots_become_objects(void) // C-036
{
    const char *out =
        render(ASK("\"tools\":[" TOOL("f", "{\"type\":\"array\"}") "]"), (struct caps){ 0 });
    EXPECT(has(out, "\"input_schema\":{\"type\":\"object\",\"properties\":{\"value\":{\"type\":"
                    "\"array\"}},\"required\":[\"value\"]}"));
    EXPECT_SPAN(losses_adjusted(&losses), "tools[0]=schema>object");
}

static void a_schema_becomes_a_tool(void) // C-118, C-039, C-139
{
    const struct caps by_tool = { .schema_by_tool = true };
    const char *out = render(ASK(FORMAT(SCHEMA)), by_tool);
    EXPECT(has(out, "\"tool_choice\":{\"type\":\"tool\",\"name\":\"json_response\","
                    "\"disable_parallel_tool_use\":true}"));
    EXPECT(has(out, "\"tools\":[{\"name\":\"json_response\",\"description\":\"Gives the answer to "
                    "the user.\",\"input_schema\":" SCHEMA "}]"));
    EXPECT_SPAN(losses_adjusted(&losses), "response_format=schema>tool");
    // With tools of the client's own any of them will do, unless the client forces one.
    out = render(ASK(FORMAT(SCHEMA) ",\"tools\":[" TOOL("f", SCHEMA) "]"), by_tool);
    EXPECT(has(out, "\"tool_choice\":{\"type\":\"any\"}"));
    EXPECT(has(out, "\"name\":\"f\""));
    out = render(ASK(FORMAT(SCHEMA) ",\"tools\":[" TOOL(
                     "f", SCHEMA) "],\"tool_choice\":{\"type\":"
                                  "\"function\",\"function\":{\"name\":\"f\"}}"),
                 by_tool);
    EXPECT(has(out, "\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"}"));
    out = render(ASK(FORMAT(SCHEMA) ",\"tools\":[" TOOL("f", SCHEMA) "],\"tool_choice\":\"none\""),
                 by_tool);
    EXPECT(has(out, "\"tool_choice\":{\"type\":\"tool\",\"name\":\"json_response\""));
    // A name that the client uses itself is left to it.
    out = render(ASK(FORMAT(SCHEMA) ",\"tools\":[" TOOL("json_response", SCHEMA) "]"), by_tool);
    EXPECT(has(out, "{\"name\":\"json_response_2\",\"description\""));
    // Where nothing can be forced the model is asked.
    out = render(ASK(FORMAT(SCHEMA)),
                 (struct caps){ .schema_by_tool = true, .no_forced_tool = true });
    EXPECT(has(out, "\"tool_choice\":{\"type\":\"auto\""));
    EXPECT(has(out,
               "\"system\":[{\"type\":\"text\",\"text\":\"Give your answer by calling the tool "
               "json_response.\"}]"));
    out = render(ASK(FORMAT(SCHEMA) ",\"reasoning_effort\":\"high\""),
                 (struct caps){ .schema_by_tool = true, .reasons = REASONS_BUDGET });
    EXPECT(has(out, "\"tool_choice\":{\"type\":\"auto\""));
    // And where the vendor knows schemas, or the answer could not be read back, there is no tool.
    EXPECT(strstr(render(ASK(FORMAT(SCHEMA)), (struct caps){ .native_schema = true }), "tools") ==
           NULL);
    EXPECT_SPAN(span_str(render(ASK(FORMAT(SCHEMA)), (struct caps){ 0 })), "refused");
}

// --- names ---

static bool names_for(const char *tools, struct caps caps)
{
    static char text[ROOM];
    snprintf(text, sizeof(text), "{\"messages\":[" USER "],%s}", tools);
    (void)render(text, caps);
    losses_init(&losses, false);
    return aliases_init(&aliases, &prompt, FAMILY_ANTHROPIC, &caps, &chunks, &losses);
}

static void names_find_back(void) // C-037, C-136
{
    EXPECT(names_for("\"tools\":[" TOOL("mcp.fs/read file", SCHEMA) "," TOOL("plain", SCHEMA) "]",
                     (struct caps){ 0 }));
    char room[160];
    struct sink sink = sink_into(room, sizeof(room));
    name_put(&sink, escaped("mcp.fs/read file"), FAMILY_ANTHROPIC);
    struct words alias = { .raw = span_of(room, (size_t)(sink.at - room)), .escaped = true };
    EXPECT(span_starts(alias.raw, SPAN("mcp_fs_read_file_")));
    const struct alias *tool = aliases_find(&aliases, alias);
    EXPECT(tool != NULL && words_are(tool->own, SPAN("mcp.fs/read file")));
    tool = aliases_find(&aliases, escaped("plain"));
    EXPECT(tool != NULL && words_are(tool->own, SPAN("plain")));
    tool = aliases_find(&aliases, escaped("functions.plain"));
    EXPECT(tool != NULL && words_are(tool->own, SPAN("plain")));
    tool = aliases_find(&aliases, escaped("default_api:pl\\u0061in"));
    EXPECT(tool != NULL && words_are(tool->own, SPAN("plain")));
    EXPECT(aliases_find(&aliases, escaped("Plain")) == NULL); // nobody's case is changed
    EXPECT(aliases_find(&aliases, escaped("functions.other")) == NULL);
    EXPECT(aliases_find(&aliases, WORDS_NONE) == NULL);
    EXPECT(!losses.refused);
    EXPECT(!aliases.plain);
    aliases_fini(&aliases);
    EXPECT(names_for("\"n\":1", (struct caps){ 0 }));
    EXPECT(aliases.plain);
    aliases_fini(&aliases);
}

static void tools_of_one_name_are_refused(void) // C-037
{
    EXPECT(names_for("\"tools\":[" TOOL("f", SCHEMA) "," TOOL("g", SCHEMA) "," TOOL("f", "{}") "]",
                     (struct caps){ 0 }));
    EXPECT(losses.refused);
    EXPECT_SPAN(span_of(losses.path, losses.path_len), "tools[2]");
    aliases_fini(&aliases);
}

static void many_tools_stay_within_their_memory(void)
{
    static char text[ROOM];
    size_t len = (size_t)snprintf(text, sizeof(text), "\"tools\":[");
    for (unsigned i = 0; i < 800; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                "%s{\"type\":\"function\",\"function\":{\"name\":\"t %u\"}}",
                                i > 0 ? "," : "", i);
    snprintf(text + len, sizeof(text) - len, "]");
    EXPECT(names_for(text, (struct caps){ 0 }));
    EXPECT(!losses.refused);
    EXPECT(aliases.keep.held <= ALIASES_KEEP_MAX);
    aliases_fini(&aliases);
}

// --- answers ---

struct log {
    char text[4096];
    size_t len;
};

static void log_delta(void *ctx, const struct delta *delta)
{
    static const char *const kinds[DELTA_KIND_COUNT] = {
        [DELTA_TEXT] = "text",   [DELTA_TEXT_END] = "text_end", [DELTA_CALL] = "call",
        [DELTA_ARGS] = "args",   [DELTA_CALL_END] = "end",      [DELTA_FINISH] = "finish",
        [DELTA_THINK] = "think",
    };
    struct log *log = ctx;
    struct sink sink = sink_into(log->text + log->len, sizeof(log->text) - 1 - log->len);
    bool more =
        delta->kind == DELTA_TEXT || delta->kind == DELTA_ARGS || delta->kind == DELTA_THINK;
    static uint8_t last;
    static uint16_t call;
    // Pieces of one text are one.
    if (log->len == 0 || !more || last != delta->kind || call != delta->call) {
        sink_put(&sink, log->len > 0 ? SPAN(" ") : SPAN(""));
        sink_put(&sink, delta->form == CALL_CUSTOM ? SPAN("free ") : SPAN(""));
        sink_put(&sink, span_str(kinds[delta->kind]));
        sink_u64(&sink, delta->kind == DELTA_FINISH ? delta->finish : delta->call);
        SINK_TEXT(&sink, ":");
    }
    last = delta->kind;
    call = delta->call;
    sink_put(&sink, delta->name.raw);
    sink_string(&sink, delta->text);
    log->len = (size_t)(sink.at - log->text);
    *sink.at = '\0';
}

struct said {
    enum delta_kind kind;
    const char *text; // or name
    unsigned call;
};

// Plays deltas through, with texts cut into pieces of `chop` bytes where no escape is torn.
static const char *undo_all(const struct said *said, size_t count, enum finish finish, size_t chop)
{
    static struct log log;
    struct undo undo;
    log = (struct log){ .len = 0 };
    undo_init(&undo, &aliases, &chunks, 1 * MIB, log_delta, &log);
    for (size_t i = 0; i < count; i++) {
        struct delta delta = { .kind = (uint8_t)said[i].kind, .call = (uint16_t)said[i].call };
        struct span text = span_str(said[i].text != NULL ? said[i].text : "");
        if (delta.kind == DELTA_CALL) {
            delta.name = (struct words){ .raw = text, .escaped = true };
            undo_put(&undo, &delta);
            continue;
        }
        do {
            size_t step = min_size(chop, text.len);
            while (step < text.len && (words_torn(span_upto(text, step)) > 0 ||
                                       ((unsigned char)text.ptr[step] & 0xc0) == 0x80))
                step++;
            delta.text = (struct words){ .raw = span_upto(text, step), .escaped = true };
            undo_put(&undo, &delta);
            text = span_from(text, step);
        } while (text.len > 0);
    }
    struct delta end = { .kind = DELTA_FINISH, .finish = (uint8_t)finish };
    undo_put(&undo, &end);
    EXPECT(!undo_failed(&undo));
    undo_fini(&undo);
    return log.text;
}

#define UNDO(said, finish, want)             \
    for (size_t chop = 1; chop < 40; chop++) \
    EXPECT_SPAN(span_str(undo_all(said, ARRAY_LEN(said), finish, chop)), want)

static void calls_get_their_names_back(void) // C-037
{
    EXPECT(names_for("\"tools\":[" TOOL("a b", SCHEMA) "]", (struct caps){ 0 }));
    char alias[160];
    struct sink sink = sink_into(alias, sizeof(alias) - 1);
    name_put(&sink, escaped("a b"), FAMILY_ANTHROPIC);
    *sink.at = '\0';
    const struct said said[] = { { DELTA_TEXT, "t", 0 },     { DELTA_CALL, alias, 0 },
                                 { DELTA_CALL, "other", 1 }, { DELTA_ARGS, "{}", 1 },
                                 { DELTA_ARGS, "{\\\"", 0 }, { DELTA_CALL_END, NULL, 0 },
                                 { DELTA_CALL_END, NULL, 1 } };
    UNDO(said, FINISH_CALLS,
         "text0:t call0:a b call1:other args1:{} args0:{\\\" end0: end1: finish2:");
    aliases_fini(&aliases);
}

static void arguments_are_unwrapped(void) // C-036
{
    EXPECT(names_for("\"tools\":[" TOOL("f", "{\"type\":\"array\"}") "]", (struct caps){ 0 }));
    const struct said said[] = {
        { DELTA_CALL, "f", 0 },
        { DELTA_ARGS,
          " { \\\"no\\\" : {\\\"value\\\":[\\\"}\\\"]} , \\\"value\\\" : [1, "
          "\\\"\\\\\\\"}],\xc3\xa9\\ud83d\\ude00\\\", {}] , \\\"valueless\\\":2}",
          0 },
        { DELTA_CALL_END, NULL, 0 }
    };
    UNDO(said, FINISH_CALLS,
         "call0:f args0:[1, \\\"\\\\\\\"}],\xc3\xa9\xf0\x9f\x98\x80\\\", {}] end0: finish2:");
    const struct said none[] = { { DELTA_CALL, "f", 0 },
                                 { DELTA_ARGS, "{\\\"other\\\":1}", 0 },
                                 { DELTA_CALL_END, NULL, 0 } };
    UNDO(none, FINISH_CALLS, "call0:f end0: finish2:");
    aliases_fini(&aliases);
}

static void free_text_is_unwrapped(void) // C-040
{
    EXPECT(names_for(
        "\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}," TOOL("f", SCHEMA) "]",
        (struct caps){ 0 }));
    const struct said said[] = { { DELTA_CALL, "c", 0 },
                                 { DELTA_ARGS, "{\\\"input\\\": \\\"a\\\\n\\\\\\\"b\\\"}", 0 },
                                 { DELTA_CALL_END, NULL, 0 },
                                 { DELTA_CALL, "f", 1 },
                                 { DELTA_ARGS, "{\\\"input\\\":1}", 1 },
                                 { DELTA_CALL_END, NULL, 1 },
                                 { DELTA_CALL, "c", 2 },
                                 { DELTA_ARGS, "no object", 2 },
                                 { DELTA_CALL_END, NULL, 2 } };
    UNDO(said, FINISH_CALLS,
         "free call0:c args0:a\\n\\\"b end0: call1:f args1:{\\\"input\\\":1} end1: free call2:c "
         "args2:no object end2: finish2:");
    aliases_fini(&aliases);
    // Where the vendor has such tools nothing is undone.
    EXPECT(names_for("\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}]",
                     (struct caps){ 0 }));
    const struct alias *tool = aliases_find(&aliases, escaped("c"));
    EXPECT(tool != NULL && tool->free_text);
    aliases_fini(&aliases);
    EXPECT(aliases_init(&aliases, &prompt, FAMILY_OPENAI, &(struct caps){ .custom_tools = true },
                        &chunks, &losses));
    EXPECT(!aliases_find(&aliases, escaped("c"))->free_text);
    aliases_fini(&aliases);
}

static void a_tool_that_answers_is_text(void) // C-118
{
    EXPECT(names_for(FORMAT(SCHEMA) ",\"tools\":[" TOOL("f", SCHEMA) "]",
                     (struct caps){ .schema_by_tool = true }));
    const struct said answer[] = { { DELTA_THINK, "hm", 0 },
                                   { DELTA_TEXT, "Here it comes:", 0 },
                                   { DELTA_TEXT_END, NULL, 0 },
                                   { DELTA_CALL, "json_response", 0 },
                                   { DELTA_ARGS, "{\\\"a\\\":\\\"b\\\"}", 0 },
                                   { DELTA_CALL_END, NULL, 0 },
                                   { DELTA_TEXT, "That was it.", 0 } };
    UNDO(answer, FINISH_CALLS, "think0:hm text0:{\\\"a\\\":\\\"b\\\"} text_end0: finish0:");
    // Without it, what the model wrote is the answer; calls of the client's tools go through, with
    // numbers that have no gap.
    const struct said text[] = { { DELTA_TEXT, "I cannot \\u00e9", 0 },
                                 { DELTA_TEXT_END, NULL, 0 } };
    UNDO(text, FINISH_STOP, "text0:I cannot \\u00e9 finish0:");
    const struct said both[] = { { DELTA_CALL, "json_response", 0 },
                                 { DELTA_CALL, "f", 1 },
                                 { DELTA_ARGS, "{}", 1 },
                                 { DELTA_ARGS, "{}", 0 },
                                 { DELTA_CALL_END, NULL, 0 },
                                 { DELTA_CALL_END, NULL, 1 } };
    UNDO(both, FINISH_CALLS, "call0:f args0:{} text0:{} text_end0: end0: finish2:");
    // A second answer is none; one that was cut stays cut.
    const struct said twice[] = { { DELTA_CALL, "json_response", 0 },
                                  { DELTA_ARGS, "{}", 0 },
                                  { DELTA_CALL, "json_response", 1 },
                                  { DELTA_ARGS, "{}", 1 } };
    UNDO(twice, FINISH_LENGTH, "text0:{} finish3:");
    aliases_fini(&aliases);
    EXPECT(names_for(FORMAT("{\"type\":\"array\"}"), (struct caps){ .schema_by_tool = true }));
    const struct said wrapped[] = { { DELTA_CALL, "json_response", 0 },
                                    { DELTA_ARGS, "{\\\"value\\\":[1]}", 0 },
                                    { DELTA_CALL_END, NULL, 0 } };
    UNDO(wrapped, FINISH_CALLS, "text0:[1] text_end0: finish0:");
    aliases_fini(&aliases);
}

static void whole_answers_are_undone_too(void)
{
    static const char text[] =
        "{\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"tool_use\",\"id\":\"t\","
        "\"name\":\"json_response\",\"input\":{\"a\":\"\xc3\xa9\"}}],\"stop_reason\":\"tool_use\"}";
    static struct completion from, to;
    struct json_slice root;
    EXPECT(names_for(FORMAT(SCHEMA), (struct caps){ .schema_by_tool = true }));
    EXPECT(json_check(span_str(text), &root));
    completion_init(&from, &chunks, 1 * MIB);
    completion_init(&to, &chunks, 1 * MIB);
    EXPECT(converter_of(FAMILY_ANTHROPIC)->read_whole(&from, root));
    undo_whole(&aliases, &from, &to);
    EXPECT(!completion_failed(&to));
    struct answer_facts facts = { .model = SPAN("m"), .scratch = &pad.scratch };
    struct sink sink = sink_into(body, sizeof(body) - 1);
    converter_of(FAMILY_OPENAI)->write_whole(&to, &facts, &sink);
    *sink.at = '\0';
    EXPECT(has(body, "\"content\":\"{\\\"a\\\":\\\"\xc3\xa9\\\"}\""));
    EXPECT(has(body, "\"finish_reason\":\"stop\""));
    EXPECT(strstr(body, "tool_calls") == NULL);
    completion_fini(&from);
    completion_fini(&to);
    aliases_fini(&aliases);
}

TEST_MAIN(TEST(tools_of_the_history_are_stubs), TEST(roots_become_objects),
          TEST(a_schema_becomes_a_tool), TEST(names_find_back), TEST(tools_of_one_name_are_refused),
          TEST(many_tools_stay_within_their_memory), TEST(calls_get_their_names_back),
          TEST(arguments_are_unwrapped), TEST(free_text_is_unwrapped),
          TEST(a_tool_that_answers_is_text), TEST(whole_answers_are_undone_too))
