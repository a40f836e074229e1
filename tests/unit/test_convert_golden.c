// Every recorded case through the converter: what its reader makes of the vendor's answer, and what
// a client of each other format sees, is what the list of expectations says, or else what a reader
// that knows nothing of ours finds in the same bytes. Prints what became of each case.
#include "convert_rig.h"
#include "fixtures.h"
#include "judge.h"

#include "penstock/convert/convert.h"

enum { OUT_MAX = 16 * MIB, SCRATCH_MAX = 64 * MIB, NAME_MAX_SHOWN = 160 };

static const struct format {
    const char *name;
    enum wire_family family;
    enum wire_id wire;
    void (*judge)(struct judged *judged, json_t *root);
    bool tells_refusals; // apart from the answer's text
    bool takes_custom;   // free-text tools; else they are functions of one text
    bool whole_calls;    // of no other does it tell
    const char *list;    // what a whole answer has
} formats[] = {
    { "openai-chat", FAMILY_OPENAI, WIRE_CHAT, judge_chat, true, true, false, "choices" },
    { "openai-responses", FAMILY_RESPONSES, WIRE_RESPONSES, judge_responses, true, true, false,
      "output" },
    { "anthropic-messages", FAMILY_ANTHROPIC, WIRE_MESSAGES, judge_messages, false, false, false,
      "content" },
    { "gemini", FAMILY_GEMINI, WIRE_GEMINI, judge_gemini, false, false, true, "candidates" },
};

static const char *current; // the file at hand
static unsigned wrong;      // of the case at hand

static void complain(const char *what, struct span got, struct span want)
{
    wrong++;
    fprintf(stderr, "%s: %s\n  got  %.*s\n  want %.*s\n", current, what,
            (int)min_size(got.len, NAME_MAX_SHOWN), got.ptr,
            (int)min_size(want.len, NAME_MAX_SHOWN), want.ptr);
}

static void expect(bool right, const char *what)
{
    if (!right)
        complain(what, SPAN("not so"), SPAN("so"));
}

static void same(const char *what, struct span got, struct span want)
{
    if (!span_eq(got, want))
        complain(what, got, want);
}

// --- memory ---

static struct pad pad = PAD(NULL, SCRATCH_MAX);
static char *out_room;

// --- what our reader collected, in the judge's words ---

static void take_item(struct judged *judged, const struct item *item)
{
    struct judged_text *texts[ITEM_KIND_COUNT] = { [ITEM_TEXT] = &judged->text,
                                                   [ITEM_REFUSAL] = &judged->refusal,
                                                   [ITEM_THINK] = &judged->thought };
    struct sink sink = sink_into(out_room, OUT_MAX);
    if (item->choice != 0)
        return;
    if (item->kind == ITEM_CALL)
        sink_plain(&sink, item->name);
    else
        item_put_plain(item, &sink);
    json_t *text = json_stringn_nocheck(out_room, (size_t)(sink.at - out_room));
    if (item->kind == ITEM_CALL) {
        json_t *call = judge_call(judged, text);
        json_decref(text);
        sink = sink_into(out_room, OUT_MAX);
        item_put_plain(item, &sink);
        text = json_stringn_nocheck(out_room, (size_t)(sink.at - out_room));
        judge_args(call, text);
        json_object_set_new(call, "complete", json_boolean(item->complete));
        json_object_set_new(call, "custom", json_boolean(item->form == CALL_CUSTOM));
    } else if (texts[item->kind] != NULL) {
        judge_add(texts[item->kind], text);
    }
    json_decref(text);
}

static void take_all(struct judged *judged, const struct completion *completion)
{
    for (const struct item *item = completion->first; item != NULL; item = item->next)
        take_item(judged, item);
    // What a vendor says of its filter is told as a refusal where there is a place for one.
    const struct choice *choice = completion->choices;
    if (choice != NULL && choice->finish == FINISH_FILTERED)
        judged->filtered = choice->stop_text.raw;
}

// --- comparing ---

static json_t *arguments_of(json_t *call)
{
    json_t *text = json_object_get(call, "arguments");
    if (json_string_length(text) == 0)
        return json_object();
    json_t *value = json_loadb(json_string_value(text), json_string_length(text), 0, NULL);
    return value != NULL ? value : json_incref(text);
}

static void same_calls(json_t *got, json_t *want)
{
    if (json_array_size(got) != json_array_size(want)) {
        char *left = json_dumps(got, 0), *right = json_dumps(want, 0);
        complain("calls", span_str(left), span_str(right));
        free(left);
        free(right);
        return;
    }
    for (size_t i = 0; i < json_array_size(want); i++) {
        json_t *one = json_array_get(got, i), *two = json_array_get(want, i);
        same("a call's name", span_str(json_string_value(json_object_get(one, "name"))),
             span_str(json_string_value(json_object_get(two, "name"))));
        json_t *left = arguments_of(one), *right = arguments_of(two);
        if (!json_equal(left, right))
            same("a call's arguments",
                 span_str(json_string_value(json_object_get(one, "arguments"))),
                 span_str(json_string_value(json_object_get(two, "arguments"))));
        json_decref(left);
        json_decref(right);
    }
}

// The calls as this format tells them.
static json_t *calls_for(const struct format *to, json_t *calls)
{
    json_t *told = json_array(), *call;
    size_t index;
    json_array_foreach(calls, index, call)
    {
        json_t *args = arguments_of(call);
        bool custom = json_is_true(json_object_get(call, "custom")) && !to->takes_custom;
        bool whole =
            json_is_true(json_object_get(call, "complete")) && (custom || json_is_object(args));
        json_t *copy = json_copy(call);
        if (custom) {
            json_t *wrapped = json_pack("{sO}", "input", json_object_get(call, "arguments"));
            json_object_set_new(copy, "arguments", json_string(""));
            judge_args(copy, wrapped);
            json_decref(wrapped);
        }
        if (whole || !to->whole_calls)
            json_array_append(told, copy);
        json_decref(copy);
        json_decref(args);
    }
    return told;
}

// `separate`: refusals are told apart from text; otherwise they are text.
static void same_answer(const struct judged *got, const struct judged *want, bool separate)
{
    same("thoughts", judged_span(&got->thought), judged_span(&want->thought));
    bool filtered = want->filtered.len > 0 &&
                    words_are(words_escaped(want->filtered), judged_span(&got->refusal));
    if (filtered && separate) {
        same("text", judged_span(&got->text), judged_span(&want->text));
        separate = false;
    }
    if (separate) {
        same("text", judged_span(&got->text), judged_span(&want->text));
        same("refusal", judged_span(&got->refusal), judged_span(&want->refusal));
    } else if (want->refusal.len == 0) {
        same("text", judged_span(&got->text), judged_span(&want->text));
    } else {
        expect(got->text.len == want->text.len + want->refusal.len, "a refusal is text");
    }
    if (!want->vague && !got->vague)
        same_calls(got->calls, want->calls);
}

// The same of what was written for a client of that format.
static void same_output(const struct judged *got, const struct judged *want,
                        const struct format *to)
{
    struct judged told = *want;
    told.calls = calls_for(to, want->calls);
    same_answer(got, &told, to->tells_refusals);
    json_decref(told.calls);
}

// --- expectations ---

static json_t *expectations;

static json_t *expectation_of(const char *name, const char *file)
{
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(expectations, "cases"), index,
                       entry) if (strcmp(json_string_value(json_object_get(entry, "case")), name) ==
                                      0 &&
                                  strcmp(json_string_value(json_object_get(entry, "file")), file) ==
                                      0) return entry;
    return NULL;
}

static void judge_expected(struct judged *judged, json_t *expected)
{
    size_t index;
    json_t *call;
    judge_add(&judged->text, json_object_get(expected, "text"));
    judge_add(&judged->thought, json_object_get(expected, "thinking"));
    judge_add(&judged->refusal, json_object_get(expected, "refusal"));
    json_array_foreach(json_object_get(expected, "calls"), index, call) judge_args(
        judge_call(judged, json_object_get(call, "name")), json_object_get(call, "arguments"));
}

static const char *end_word(enum finish finish)
{
    switch (finish) {
    case FINISH_STOP:
    case FINISH_PAUSE:
    case FINISH_REFUSAL: return "stop";
    case FINISH_STOP_TEXT: return "stop sequence";
    case FINISH_CALLS: return "tool call";
    case FINISH_LENGTH:
    case FINISH_CONTEXT: return "length";
    case FINISH_FILTERED: return "filtered";
    }
    return "";
}

static uint64_t count_of(json_t *usage, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(usage, name));
}

static void same_usage(const struct usage *usage, json_t *want)
{
    uint64_t written = usage->cache_write_5m + usage->cache_write_1h;
    // One vendor's count of output leaves its thoughts out, and the list takes it as it stands.
    bool beside = strstr(current, "vai-xai-") != NULL;
    // And it takes the larger one where a server counts the cached part beside the input.
    uint64_t input = usage->input_uncached + usage->cache_read + written;
    expect(input == count_of(want, "input_total") ||
               usage->cache_read == count_of(want, "input_total"),
           "tokens of input");
    expect(usage->cache_read == count_of(want, "cache_read"), "tokens read from the cache");
    expect(written == count_of(want, "cache_write"), "tokens written to the cache");
    expect(usage->output ==
               count_of(want, "output_total") + (beside ? count_of(want, "thinking") : 0),
           "tokens of output");
}

// --- streams ---

struct run {
    struct wire_stream stream;
    struct decode decode;
    struct sse_scan scan;
    struct judged *judged; // by what knows nothing of ours
    const struct format *from;
    enum wire_end end;
    bool bad;
};

static void run_event(struct run *run, struct span block)
{
    static char join[64 * KIB];
    struct wire_event event;
    struct sse_event sse = { 0 };
    bool first = run->stream.event_count == 0, over = run->stream.finished;
    wire_stream_event(&run->stream, block, &event);
    run->bad = run->bad || !sse_parse(block, first, join, sizeof(join), &sse);
    bool error = (event.flags & WIRE_ERROR) != 0;
    run->bad = run->bad || error || !decode_feed(&run->decode, &sse, &event);
    // Some recordings hold several answers: the first one counts.
    over = over && run->from->family == FAMILY_RESPONSES;
    json_t *root = sse.data.len > 0 && run->judged != NULL && !error && !over
                       ? json_loadb(sse.data.ptr, sse.data.len, 0, NULL)
                       : NULL;
    if (root != NULL)
        run->from->judge(run->judged, root);
    json_decref(root);
}

// True if the stream ended as an answer that is complete.
static bool run_stream(struct run *run, const struct format *from, struct span text,
                       struct judged *judged, delta_sink *emit, void *ctx)
{
    *run = (struct run){ .judged = judged, .from = from };
    wire_stream_init(&run->stream, wire_get(from->wire), false);
    decode_init(&run->decode, converter_of(from->family), &run->stream, &chunks, emit, ctx);
    run->decode.keep.scratch = &pad.scratch;
    size_t start = 0, done = 0;
    while (done < text.len && !run->bad) {
        size_t used;
        bool ended = sse_scan_feed(&run->scan, span_from(text, done), &used) == PARSE_DATA;
        done += used;
        if (!ended)
            break;
        run_event(run, span_of(text.ptr + start, done - start));
        start = done;
    }
    if (start < text.len && !run->bad)
        run_event(run, span_from(text, start));
    run->end = wire_stream_end(&run->stream);
    bool good = !run->bad && (run->end == WIRE_END_COMPLETE || run->end == WIRE_END_IRREGULAR);
    if (good)
        decode_end(&run->decode);
    expect(!run->decode.failed, "the reader has room");
    return good;
}

// What a reader of the client's format finds in what was written for it.
static void judge_output(struct judged *judged, const struct format *to, struct span text)
{
    struct sse_scan scan = { 0 };
    size_t used;
    while (text.len > 0 && sse_scan_feed(&scan, text, &used) == PARSE_DATA) {
        struct sse_event sse;
        expect(sse_parse(span_upto(text, used), false, NULL, 0, &sse), "events have one line");
        text = span_from(text, used);
        if (sse.data.len == 0 || wire_is_done(sse.data))
            continue;
        json_error_t error;
        json_t *root = json_loadb(sse.data.ptr, sse.data.len, 0, &error);
        if (root == NULL)
            complain("events are JSON", sse.data, span_str(error.text));
        else
            to->judge(judged, root);
        json_decref(root);
    }
}

static void stream_to(const struct format *from, const struct format *to, struct span text,
                      const struct judged *want)
{
    static struct run run;
    static struct encode encode;
    struct judged got;
    struct answer_facts facts = { .id = SPAN("x"), .model = SPAN("m"), .scratch = &pad.scratch };
    facts.usage_wanted = facts.thoughts_wanted = facts.envelopes_wanted = true;
    facts.request = SPAN("{}");
    judged_init(&got);
    struct sink sink = sink_into(out_room, OUT_MAX);
    encode_init(&encode, converter_of(to->family), &facts, &sink, &chunks, 16 * MIB);
    bool good = run_stream(&run, from, text, NULL, encode_put, &encode);
    if (good) {
        struct usage usage = usage_normal(&run.stream.told, run.stream.wire->rule);
        encode_end(&encode, &usage);
        expect(!encode.failed, "the writer has room");
        judge_output(&got, to, span_of(out_room, (size_t)(sink.at - out_room)));
        same_output(&got, want, to);
    }
    encode_fini(&encode);
    decode_fini(&run.decode);
    judged_fini(&got);
}

static void check_stream(const struct format *format, const char *name, const char *file,
                         struct span text)
{
    static struct run run;
    static struct completion completion;
    struct judged found, got, want;
    json_t *expected = expectation_of(name, file);
    judged_init(&found);
    judged_init(&got);
    judged_init(&want);
    completion_init(&completion, &chunks, 16 * MIB);
    completion.keep.scratch = &pad.scratch;
    pad.used = 0;
    bool good = run_stream(&run, format, text, &found, completion_collect, &completion);
    take_all(&got, &completion);
    if (good)
        same_answer(&got, &found, true);
    if (expected != NULL) {
        judge_expected(&want, expected);
        expect(good != json_is_true(json_object_get(expected, "error")), "it ends as it should");
        // The list joins the texts of several choices as they came.
        if (good && completion.choices != NULL && completion.choices->next == NULL) {
            const struct choice *choice = completion.choices;
            struct usage usage = usage_normal(&run.stream.told, run.stream.wire->rule);
            same_answer(&got, &want, true);
            same("end", span_str(end_word((enum finish)(choice != NULL ? choice->finish : 0))),
                 span_str(json_string_value(json_object_get(expected, "end"))));
            same_usage(&usage, json_object_get(expected, "usage"));
        }
    }
    for (size_t i = 0; good && i < ARRAY_LEN(formats); i++)
        if (&formats[i] != format && converter_of(formats[i].family) != NULL)
            stream_to(format, &formats[i], text, &got);
    completion_fini(&completion);
    decode_fini(&run.decode);
    judged_fini(&found);
    judged_fini(&got);
    judged_fini(&want);
}

// --- whole answers ---

static void whole_to(const struct format *to, const struct completion *completion,
                     const struct judged *want)
{
    struct judged got;
    struct answer_facts facts = { .id = SPAN("x"), .model = SPAN("m"), .scratch = &pad.scratch };
    facts.thoughts_wanted = facts.envelopes_wanted = true;
    facts.request = SPAN("{}");
    pad.used = 0;
    judged_init(&got);
    struct sink sink = sink_into(out_room, OUT_MAX);
    converter_of(to->family)->write_whole(completion, &facts, &sink);
    json_error_t error;
    size_t len = (size_t)(sink.at - out_room);
    json_t *root = json_loadb(out_room, len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        complain("an answer is JSON", span_of(out_room, len), span_str(error.text));
    else
        to->judge(&got, root);
    same_output(&got, want, to);
    json_decref(root);
    judged_fini(&got);
}

static void check_whole(const struct format *format, struct span text)
{
    static struct completion completion;
    struct judged found, got;
    struct json_slice root;
    judged_init(&found);
    judged_init(&got);
    completion_init(&completion, &chunks, 16 * MIB);
    completion.keep.scratch = &pad.scratch;
    json_t *tree = json_loadb(text.ptr, text.len, 0, NULL);
    format->judge(&found, tree);
    expect(json_check(text, &root), "an answer is JSON");
    bool broken = strstr(text.ptr, "\"UNEXPECTED_TOOL_CALL\"") != NULL ||
                  strstr(text.ptr, "\"MALFORMED_FUNCTION_CALL\"") != NULL;
    expect(converter_of(format->family)->read_whole(&completion, root) != broken,
           "an answer is read, unless its vendor says that it failed");
    take_all(&got, &completion);
    if (!broken)
        same_answer(&got, &found, true);
    for (size_t i = 0; !broken && i < ARRAY_LEN(formats); i++)
        if (&formats[i] != format && converter_of(formats[i].family) != NULL)
            whole_to(&formats[i], &completion, &got);
    json_decref(tree);
    completion_fini(&completion);
    judged_fini(&found);
    judged_fini(&got);
}

// --- requests ---

static bool ends_with(const char *text, const char *tail)
{
    size_t len = strlen(text), tail_len = strlen(tail);
    return len >= tail_len && strcmp(text + len - tail_len, tail) == 0;
}

// What only the client's own vendor could know: kinds of tools and parts (C-122), and what it keeps
// (C-123).
static bool may_refuse(const char *path)
{
    return ends_with(path, ".type") || ends_with(path, "parts[0]") ||
           strcmp(path, "conversation") == 0 || strcmp(path, "previous_response_id") == 0;
}

// Renders for one vendor; the length of the body, 0 if it was refused.
static size_t render_to(const struct format *to, const struct prompt *prompt)
{
    static struct losses losses;
    const struct caps caps = { .official = true, .native_schema = true };
    losses_init(&losses, false);
    struct render render = { .prompt = prompt,
                             .caps = &caps,
                             .model = SPAN("m"),
                             .losses = &losses,
                             .scratch = &pad.scratch };
    struct sink sink = sink_into(out_room, OUT_MAX);
    bool done = converter_of(to->family)->render(&render, &sink);
    expect(done || losses.refused, "what is not rendered is refused");
    return done ? (size_t)(sink.at - out_room) : 0;
}

static void check_request(const struct format *format, struct span text, bool refused)
{
    static struct prompt prompt;
    static struct losses losses;
    struct prompt_parse parse;
    struct json_slice root;
    pad.used = 0;
    losses_init(&losses, false);
    expect(json_check(text, &root), "a request is JSON");
    prompt_begin(&parse, &prompt, format->family, text, &pad.scratch, &losses);
    bool parsed = converter_of(format->family)->parse(&parse, root);
    if (!parsed && !refused && !may_refuse(parse.path))
        complain(parse.path, span_str(parse.why != NULL ? parse.why : ""), SPAN("taken"));
    for (size_t i = 0; parsed && i < ARRAY_LEN(formats); i++) {
        if (&formats[i] == format || converter_of(formats[i].family) == NULL)
            continue;
        size_t len = render_to(&formats[i], &prompt);
        json_error_t error;
        json_t *body = len > 0 ? json_loadb(out_room, len, JSON_REJECT_DUPLICATES, &error) : NULL;
        if (len > 0 && body == NULL)
            complain("a body is JSON", span_of(out_room, len), span_str(error.text));
        json_decref(body);
    }
}

// --- cases ---

static bool is_answer(const struct format *format, const char *text, size_t len)
{
    json_t *tree = json_loadb(text, len, 0, NULL);
    json_t *root = json_is_array(tree) ? json_array_get(tree, 0) : tree;
    bool answer = json_object_get(root, format->list) != NULL ||
                  json_object_get(root, "promptFeedback") != NULL;
    json_decref(tree);
    return answer;
}

// NULL: the file was tried; else why not.
static const char *check_file(const struct format *format, json_t *entry, const char *file)
{
    const char *name = json_string_value(json_object_get(entry, "case"));
    json_int_t status = json_integer_value(json_object_get(entry, "status"));
    bool request = ends_with(file, ".request.json"), sse = ends_with(file, ".sse");
    if (converter_of(format->family) == NULL)
        return "no converter yet";
    if (!request && !sse && !ends_with(file, ".json"))
        return "no JSON and no event stream: the relay tells it by its kind";
    if (!request && status >= 400)
        return "an error, which is read apart from answers (test_wire_fixtures)";
    size_t len;
    char *text = fixture_load(file, &len);
    current = file;
    expect(text != NULL, "the file is there");
    if (text == NULL)
        return NULL;
    if (!request && !sse && !is_answer(format, text, len)) {
        free(text);
        return "an answer of another operation, or format";
    }
    if (request)
        check_request(format, span_of(text, len), status >= 400);
    else if (sse)
        check_stream(format, name, file, span_of(text, len));
    else
        check_whole(format, span_of(text, len));
    free(text);
    return NULL;
}

static void check_case(const struct format *format, json_t *entry)
{
    size_t index;
    json_t *file;
    const char *reason = NULL, *skipped;
    bool tried = false;
    wrong = 0;
    json_array_foreach(json_object_get(entry, "files"), index, file)
    {
        skipped = check_file(format, entry, json_string_value(file));
        tried = tried || skipped == NULL;
        reason = skipped != NULL ? skipped : reason;
    }
    EXPECT_EQ(wrong, 0);
    report(format->name,
           wrong > 0 ? VERDICT_FAILED
           : tried   ? VERDICT_PASSED
                     : VERDICT_NOT_APPLICABLE,
           reason);
}

static void recorded_cases_convert(void)
{
    json_t *manifest = fixture_json("manifest.json"), *entry;
    size_t index;
    expectations = fixture_json("conversion/recorded-expectations.json");
    pad.room = malloc(SCRATCH_MAX);
    out_room = malloc(OUT_MAX);
    json_array_foreach(json_object_get(manifest, "cases"), index, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "format"));
        const struct format *format = NULL;
        for (size_t i = 0; i < ARRAY_LEN(formats); i++)
            if (strcmp(name, formats[i].name) == 0)
                format = &formats[i];
        if (format != NULL)
            check_case(format, entry);
        else if (strcmp(name, "conversion") == 0)
            report("conversion", VERDICT_NOT_APPLICABLE, "compared by test_convert_fixtures");
        else if (strcmp(name, "sse-edge") == 0)
            report("sse-edge", VERDICT_NOT_APPLICABLE, "bytes of streams: test_wire_fixtures");
        else
            report("bedrock", VERDICT_NOT_APPLICABLE, "no such vendor yet");
    }
    EXPECT(index > 0);
    report_print();
    free(pad.room);
    free(out_room);
    json_decref(manifest);
    json_decref(expectations);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = { TEST(recorded_cases_convert) };
    return fixtures_main(argc, argv, cases, ARRAY_LEN(cases));
}
