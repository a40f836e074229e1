// Recorded traffic of the four chat formats, when it lies beside the checkout: every stream and
// every answer, at several chop sizes, with an independent reading of the same bytes as the judge.
//
// The judge is a JSON library that builds a tree of every event, and what the recordings' own list
// of expectations says about ends and counts.
#include "fixtures.h"
#include "test.h"

#include "penstock/wire/wire.h"

enum { PATH_SIZE = 1024, VALUES = WIRE_VALUES_MAX };

static json_t *manifest, *expectations;

static void load_lists(void)
{
    if (manifest == NULL)
        manifest = fixture_json("manifest.json");
    if (expectations == NULL)
        expectations = fixture_json("conversion/recorded-expectations.json");
    EXPECT(manifest != NULL && expectations != NULL);
}

static const struct wire *wire_by_name(const char *format)
{
    static const struct {
        const char *format;
        enum wire_id id;
    } names[] = {
        { "openai-chat", WIRE_CHAT },
        { "openai-responses", WIRE_RESPONSES },
        { "anthropic-messages", WIRE_MESSAGES },
        { "gemini", WIRE_GEMINI },
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(format, names[i].format) == 0)
            return wire_get(names[i].id);
    return NULL;
}

// --- the reading under test ---

struct reading {
    struct wire_stream stream;
    struct fault_note note;
    struct usage usage;
    enum wire_end end;
    uint64_t content_at; // which event was the first with content
    uint64_t known;
    size_t model_count;
    uint64_t model_sum; // of the places of the model's name
};

static void take(struct reading *reading, struct span block, size_t base)
{
    struct wire_event event;
    bool before = reading->stream.content;
    wire_stream_event(&reading->stream, block, &event);
    reading->known += (event.flags & WIRE_KNOWN) != 0;
    if (!before && reading->stream.content)
        reading->content_at = reading->stream.event_count;
    if (event.model.len > 0) {
        EXPECT(event.model.ptr[0] == '"');
        EXPECT(event.model.ptr[event.model.len - 1] == '"');
        reading->model_count++;
        reading->model_sum += base + (size_t)(event.model.ptr - block.ptr);
    }
}

static void read_stream(struct reading *reading, const struct wire *wire, struct span text,
                        size_t chop)
{
    memset(reading, 0, sizeof(*reading));
    wire_stream_init(&reading->stream, wire, false);
    reading->stream.note = &reading->note;
    struct sse_scan scan = { 0 };
    char *held = malloc(text.len + 1); // each block at an end of its own memory
    size_t held_len = 0, done = 0;
    while (done < text.len) {
        struct span piece = span_of(text.ptr + done, min_size(chop, text.len - done));
        size_t used;
        bool ended = sse_scan_feed(&scan, piece, &used) == PARSE_DATA;
        memcpy(held + held_len, piece.ptr, used);
        held_len += used;
        done += used;
        if (ended) {
            take(reading, span_of(held, held_len), done - held_len);
            held_len = 0;
        }
    }
    if (held_len > 0)
        take(reading, span_of(held, held_len), done - held_len);
    reading->end = wire_stream_end(&reading->stream);
    reading->usage = usage_normal(&reading->stream.told, wire->rule);
    free(held);
}

static void read_whole(struct reading *reading, const struct wire *wire, struct span text,
                       size_t chop)
{
    memset(reading, 0, sizeof(*reading));
    wire_stream_init(&reading->stream, wire, false);
    reading->stream.note = &reading->note;
    struct wire_pass pass;
    char memory[VALUES];
    wire_pass_init(&pass, &reading->stream, false, memory);
    size_t passed = 0;
    for (size_t done = 0; done < text.len; done += chop) {
        struct span in = span_of(text.ptr + done, min_size(chop, text.len - done)), out;
        enum wire_cut cut;
        while (wire_pass_next(&pass, &in, &out, &cut)) {
            EXPECT(out.ptr == text.ptr + passed);
            passed += out.len;
            if (cut == WIRE_CUT_MODEL) {
                EXPECT(out.ptr[0] == '"');
                reading->model_count++;
                reading->model_sum += (size_t)(out.ptr - text.ptr);
            }
        }
    }
    EXPECT_EQ(passed, text.len);
    wire_pass_end(&pass);
    reading->end = wire_stream_end(&reading->stream);
    reading->usage = usage_normal(&reading->stream.told, wire->rule);
}

// --- the judge ---

static uint64_t number_at(json_t *object, const char *outer, const char *inner)
{
    json_t *value = json_object_get(object, outer);
    if (inner != NULL)
        value = json_object_get(value, inner);
    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : 0;
}

struct judged {
    bool any;
    uint64_t input, read, write, output, reasoning, total;
};

static void raise_to(struct judged *judged, uint64_t *value, uint64_t other)
{
    judged->any |= other > 0;
    *value = max_u64(*value, other);
}

static void judge_usage(struct judged *judged, const struct wire *wire, json_t *usage)
{
    if (!json_is_object(usage))
        return;
    switch (wire->rule) {
    case USAGE_RULE_OPENAI:
    case USAGE_RULE_OPENAI_INPUT: {
        bool chat = json_object_get(usage, "prompt_tokens") != NULL;
        const char *in = chat ? "prompt_tokens" : "input_tokens";
        const char *out = chat ? "completion_tokens" : "output_tokens";
        const char *in_details = chat ? "prompt_tokens_details" : "input_tokens_details";
        const char *out_details = chat ? "completion_tokens_details" : "output_tokens_details";
        raise_to(judged, &judged->input, number_at(usage, in, NULL));
        raise_to(judged, &judged->output, number_at(usage, out, NULL));
        raise_to(judged, &judged->read, number_at(usage, in_details, "cached_tokens"));
        raise_to(judged, &judged->read, number_at(usage, "num_cached_tokens", NULL));
        raise_to(judged, &judged->write, number_at(usage, in_details, "cache_write_tokens"));
        raise_to(judged, &judged->reasoning, number_at(usage, out_details, "reasoning_tokens"));
        raise_to(judged, &judged->total, number_at(usage, "total_tokens", NULL));
        return;
    }
    case USAGE_RULE_ANTHROPIC:
        raise_to(judged, &judged->input, number_at(usage, "input_tokens", NULL));
        raise_to(judged, &judged->output, number_at(usage, "output_tokens", NULL));
        raise_to(judged, &judged->read, number_at(usage, "cache_read_input_tokens", NULL));
        raise_to(judged, &judged->write, number_at(usage, "cache_creation_input_tokens", NULL));
        raise_to(judged, &judged->reasoning,
                 number_at(usage, "output_tokens_details", "thinking_tokens"));
        return;
    case USAGE_RULE_GEMINI:
        raise_to(judged, &judged->input, number_at(usage, "promptTokenCount", NULL));
        raise_to(judged, &judged->output, number_at(usage, "candidatesTokenCount", NULL));
        raise_to(judged, &judged->read, number_at(usage, "cachedContentTokenCount", NULL));
        raise_to(judged, &judged->write, number_at(usage, "toolUsePromptTokenCount", NULL));
        raise_to(judged, &judged->reasoning, number_at(usage, "thoughtsTokenCount", NULL));
        raise_to(judged, &judged->total, number_at(usage, "totalTokenCount", NULL));
        return;
    }
}

// Every place where a format may put counts.
static void judge_event(struct judged *judged, const struct wire *wire, json_t *event)
{
    judge_usage(judged, wire, json_object_get(event, "usage"));
    judge_usage(judged, wire, json_object_get(event, "usageMetadata"));
    judge_usage(judged, wire, json_object_get(json_object_get(event, "x_groq"), "usage"));
    judge_usage(judged, wire, json_object_get(json_object_get(event, "message"), "usage"));
    judge_usage(judged, wire, json_object_get(json_object_get(event, "response"), "usage"));
}

static struct usage judged_normal(const struct judged *judged, enum usage_rule rule)
{
    struct usage out = { .cache_read = judged->read, .reasoning = judged->reasoning };
    uint64_t in = judged->input, cached = judged->read + judged->write;
    out.output = judged->output;
    switch (rule) {
    case USAGE_RULE_OPENAI:
    case USAGE_RULE_OPENAI_INPUT:
        out.input_uncached = cached <= in ? in - cached : in; // else the cached part stands beside
        out.cache_write_5m = judged->write;
        if (judged->reasoning > 0 && judged->total == in + judged->output + judged->reasoning)
            out.output += judged->reasoning;
        break;
    case USAGE_RULE_ANTHROPIC:
        out.input_uncached = in;
        out.cache_write_5m = judged->write;
        break;
    case USAGE_RULE_GEMINI:
        out.input_uncached = in - judged->read + judged->write;
        if (judged->total != in + judged->output)
            out.output += judged->reasoning;
        break;
    }
    return out;
}

static void judge_text(struct judged *judged, const struct wire *wire, struct span text)
{
    memset(judged, 0, sizeof(*judged));
    for (struct span rest = text; rest.len > 0;) {
        size_t end = span_find(rest, '\n');
        struct span line = span_upto(rest, end);
        rest = span_from(rest, min_size(rest.len, end + 1));
        if (!span_starts(line, SPAN("data:")))
            continue;
        json_t *event = json_loadb(line.ptr + 5, line.len - 5, JSON_DISABLE_EOF_CHECK, NULL);
        judge_event(judged, wire, event);
        json_decref(event);
    }
}

// --- comparing ---

static const char *current;

#define SAME(a, b)                                                                               \
    do {                                                                                         \
        unsigned long long same_a_ = (unsigned long long)(a), same_b_ = (unsigned long long)(b); \
        if (same_a_ != same_b_) {                                                                \
            fprintf(stderr, "%s: %s is %llu, expected %llu (line %d)\n", current, #a, same_a_,   \
                    same_b_, __LINE__);                                                          \
            test_failures++;                                                                     \
        }                                                                                        \
    } while (0)

static void compare_judged(const struct reading *reading, const struct judged *judged)
{
    struct usage want = judged_normal(judged, reading->stream.wire->rule);
    const struct usage *got = &reading->usage;
    SAME(reading->stream.told.seen != 0, judged->any);
    SAME(got->input_uncached, want.input_uncached);
    SAME(got->cache_read, want.cache_read);
    SAME(got->cache_write_5m + got->cache_write_1h, want.cache_write_5m);
    SAME(got->output, want.output);
    SAME(got->reasoning, want.reasoning);
}

static void compare_chopped(const struct reading *a, const struct reading *b)
{
    SAME(a->end, b->end);
    SAME(a->content_at, b->content_at);
    SAME(a->model_count, b->model_count);
    SAME(a->model_sum, b->model_sum);
    SAME(a->stream.event_count, b->stream.event_count);
    SAME(a->stream.text_bytes, b->stream.text_bytes);
    SAME(a->stream.sequence, b->stream.sequence);
    EXPECT(memcmp(&a->usage, &b->usage, sizeof(a->usage)) == 0);
    EXPECT(memcmp(&a->stream.told, &b->stream.told, sizeof(a->stream.told)) == 0);
    EXPECT(memcmp(&a->note, &b->note, sizeof(a->note)) == 0);
}

static const size_t chops[] = { 1, 7, 64, 1000, 16384 };

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

// What the recordings' own list says; it was made by other hands.
static void compare_expected(const struct reading *reading, json_t *expected)
{
    bool error = json_is_true(json_object_get(expected, "error"));
    SAME(reading->end == WIRE_END_ERROR, error);
    if (!error)
        EXPECT(reading->end == WIRE_END_COMPLETE || reading->end == WIRE_END_IRREGULAR);
    if (!error && reading->end != WIRE_END_COMPLETE)
        printf("irregular: %s\n", current);
    json_t *usage = json_object_get(expected, "usage");
    if (!json_is_object(usage))
        return;
    const struct usage *got = &reading->usage;
    uint64_t write = got->cache_write_5m + got->cache_write_1h;
    // The list takes the larger one where a server counts the cached part beside the input.
    uint64_t input = got->input_uncached + got->cache_read + write;
    bool cache_beside = got->cache_read > reading->stream.told.count[TOLD_INPUT] &&
                        reading->stream.wire->rule == USAGE_RULE_OPENAI;
    SAME(cache_beside ? got->cache_read : input, number_at(usage, "input_total", NULL));
    SAME(got->cache_read, number_at(usage, "cache_read", NULL));
    SAME(write, number_at(usage, "cache_write", NULL));
    SAME(got->reasoning, number_at(usage, "thinking", NULL));
    // The list takes xAI's count of output as it stands, which leaves the reasoning out.
    bool beside = strstr(current, "vai-xai-") != NULL;
    SAME(got->output, number_at(usage, "output_total", NULL) +
                          (beside ? number_at(usage, "thinking", NULL) : 0));
    EXPECT(got->exact);
}

struct totals {
    unsigned streams, wholes, errors, expected;
    uint64_t events, known;
};

// Streams that were made to break off; everything else that was recorded is complete.
static bool is_made_broken(const char *name)
{
    static const char *const broken[] = {
        "gw-truncated",
        "gw-no-finish-reason",
        "gw-no-completed",
        "gw-eof-midway",
    };
    for (size_t i = 0; i < ARRAY_LEN(broken); i++)
        if (strstr(name, broken[i]) != NULL)
            return true;
    return false;
}

static void check_stream(const struct wire *wire, const char *name, const char *file,
                         struct span text, struct totals *totals)
{
    struct reading whole, cut;
    struct judged judged;
    read_stream(&whole, wire, text, text.len);
    for (size_t i = 0; i < ARRAY_LEN(chops); i++) {
        read_stream(&cut, wire, text, chops[i]);
        compare_chopped(&cut, &whole);
    }
    judge_text(&judged, wire, text);
    compare_judged(&whole, &judged);
    json_t *expected = expectation_of(name, file);
    if (expected != NULL) {
        compare_expected(&whole, expected);
        totals->expected++;
    }
    SAME(whole.end == WIRE_END_TRUNCATED, is_made_broken(name));
    totals->streams++;
    totals->events += whole.stream.event_count;
    totals->known += whole.known;
    totals->errors += whole.end == WIRE_END_ERROR;
}

static void check_whole(const struct wire *wire, int status, struct span text,
                        struct totals *totals)
{
    struct reading whole, cut;
    size_t index;
    json_t *tree = json_loadb(text.ptr, text.len, 0, NULL);
    EXPECT(tree != NULL);
    if (status >= 400) {
        struct fault_note note;
        fault_read(&note, status, text, NULL);
        EXPECT(note.message_len > 0);
        json_t *error =
            json_object_get(json_is_array(tree) ? json_array_get(tree, 0) : tree, "error");
        json_t *message = json_object_get(error, "message");
        if (json_is_string(message) && json_string_length(message) < 200 &&
            strchr(json_string_value(message), '{') == NULL)
            EXPECT_SPAN(note_message(&note), json_string_value(message));
        bool clients = fault_blame(note.fault) == BLAME_CLIENT;
        if (status == 400 || status == 404 || status == 413)
            EXPECT(clients || strstr(note.message, "API key") != NULL);
        if (status == 401 || status == 402 || status == 403 || status == 429)
            EXPECT_EQ(fault_blame(note.fault), BLAME_ACCOUNT);
        totals->errors++;
        json_decref(tree);
        return;
    }
    read_whole(&whole, wire, text, text.len);
    for (size_t i = 0; i < ARRAY_LEN(chops); i++) {
        read_whole(&cut, wire, text, chops[i]);
        compare_chopped(&cut, &whole);
    }
    struct judged judged = { 0 };
    json_t *element;
    if (!json_is_array(tree))
        judge_event(&judged, wire, tree);
    json_array_foreach(tree, index, element) judge_event(&judged, wire, element);
    compare_judged(&whole, &judged);
    EXPECT_EQ(whole.end, WIRE_END_COMPLETE);
    EXPECT(whole.usage.exact || !judged.any);
    json_decref(tree);
    totals->wholes++;
}

static bool ends_with(const char *text, const char *tail)
{
    size_t len = strlen(text), tail_len = strlen(tail);
    return len >= tail_len && strcmp(text + len - tail_len, tail) == 0;
}

static void check_file(const struct wire *wire, json_t *entry, const char *file,
                       struct totals *totals)
{
    if (ends_with(file, ".request.json"))
        return;
    bool sse = ends_with(file, ".sse");
    if (!sse && !ends_with(file, ".json"))
        return;
    size_t len;
    char *text = fixture_load(file, &len);
    EXPECT(text != NULL);
    if (text == NULL)
        return;
    current = file;
    json_t *status = json_object_get(entry, "status");
    int code = json_is_integer(status) ? (int)json_integer_value(status) : 200;
    if (sse)
        check_stream(wire, json_string_value(json_object_get(entry, "case")), file,
                     span_of(text, len), totals);
    else
        check_whole(wire, code, span_of(text, len), totals);
    free(text);
}

static void recordings_are_read(void)
{
    load_lists();
    struct totals totals = { 0 };
    size_t index, file_index;
    json_t *entry, *file;
    json_array_foreach(json_object_get(manifest, "cases"), index, entry)
    {
        const char *format = json_string_value(json_object_get(entry, "format"));
        const struct wire *wire = format != NULL ? wire_by_name(format) : NULL;
        if (wire == NULL)
            continue;
        json_array_foreach(json_object_get(entry, "files"), file_index, file)
            check_file(wire, entry, json_string_value(file), &totals);
    }
    printf("%u streams (%u with a list of expectations), %u whole answers, %u errors; %llu of %llu "
           "events known by likeness\n",
           totals.streams, totals.expected, totals.wholes, totals.errors,
           (unsigned long long)totals.known, (unsigned long long)totals.events);
    EXPECT(totals.streams > 0);
    EXPECT(totals.expected > 0);
    EXPECT(totals.wholes > 0);
}

// --- the edges of event streams ---

static void next_event(json_t *events, size_t *count, struct span block, bool first)
{
    static char join[64 * KIB];
    struct sse_event event;
    EXPECT(sse_parse(block, first, join, sizeof(join), &event));
    if (event.data_lines == 0)
        return;
    json_t *want = json_array_get(events, (*count)++);
    json_t *name = json_object_get(want, "event"), *data = json_object_get(want, "data");
    EXPECT(json_is_string(data));
    EXPECT(
        span_eq(event.name, json_is_string(name) ? span_str(json_string_value(name)) : SPAN("")));
    EXPECT(span_eq(event.data, span_of(json_string_value(data), json_string_length(data))));
}

static void check_edge(json_t *events, struct span text, size_t chop)
{
    struct sse_scan scan = { 0 };
    char *held = malloc(text.len + 1);
    size_t held_len = 0, done = 0, count = 0;
    while (done < text.len) {
        struct span piece = span_of(text.ptr + done, min_size(chop, text.len - done));
        size_t used;
        bool ended = sse_scan_feed(&scan, piece, &used) == PARSE_DATA;
        memcpy(held + held_len, piece.ptr, used);
        held_len += used;
        done += used;
        if (!ended)
            continue;
        next_event(events, &count, span_of(held, held_len), scan.block_count == 1);
        held_len = 0;
    }
    if (held_len > 0)
        next_event(events, &count, span_of(held, held_len), scan.block_count == 0);
    EXPECT_EQ(count, json_array_size(events));
    free(held);
}

static void edges_of_streams_are_read(void)
{
    load_lists();
    unsigned edges = 0;
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(manifest, "cases"), index, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "case"));
        const char *format = json_string_value(json_object_get(entry, "format"));
        if (format == NULL || strcmp(format, "sse-edge") != 0)
            continue;
        char file[PATH_SIZE];
        size_t len;
        snprintf(file, sizeof(file), "sse-edge/%s.events.json", name);
        json_t *events = fixture_json(file);
        snprintf(file, sizeof(file), "sse-edge/%s.sse", name);
        char *text = fixture_load(file, &len);
        current = name;
        if (events != NULL && text != NULL) {
            for (size_t chop = 1; chop < 70; chop++)
                check_edge(events, span_of(text, len), chop);
            struct reading reading;
            read_stream(&reading, wire_get(WIRE_CHAT), span_of(text, len), 1);
            SAME(reading.end, WIRE_END_COMPLETE);
            SAME(reading.stream.bad_events, 0);
            edges++;
        }
        json_decref(events);
        free(text);
    }
    printf("%u edges of event streams\n", edges);
    EXPECT(edges > 0);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = { TEST(recordings_are_read),
                                              TEST(edges_of_streams_are_read) };
    int result = fixtures_main(argc, argv, cases, ARRAY_LEN(cases));
    json_decref(manifest);
    json_decref(expectations);
    return result;
}
