// Recorded answers that lie beside the checkout, read by the decoders: what each one says, calls,
// ends with and costs has to be what recorded-expectations.json says of it, and the answer
// collected from its pieces has to be told again by every format's encoder. Whole answers have to
// be read or refused, and a stream's collected answer written by every format.
#include "convert_rig.h"
#include "test.h"

#include "penstock/convert/convert.h"

#include <jansson.h>

enum { FILE_MAX = 4 * MIB, PATH_SIZE = 1024, KEPT_MAX = 8 * MIB };

static char root_dir[PATH_SIZE];

static char *load(const char *name, size_t *len)
{
    char path[2 * PATH_SIZE];
    snprintf(path, sizeof(path), "%s/fixtures/%s", root_dir, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    char *text = malloc(FILE_MAX);
    *len = fread(text, 1, FILE_MAX, file);
    fclose(file);
    return text;
}

static const struct {
    const char *folder;
    enum wire_family family;
    enum wire_id wire;
} formats[] = {
    { "openai-chat", FAMILY_OPENAI, WIRE_CHAT },
    { "openai-responses", FAMILY_RESPONSES, WIRE_RESPONSES },
    { "anthropic-messages", FAMILY_ANTHROPIC, WIRE_MESSAGES },
    { "gemini", FAMILY_GEMINI, WIRE_GEMINI },
};

struct pad {
    struct scratch scratch;
    char *at, *end;
};

static void *pad_take(struct scratch *scratch, size_t size)
{
    struct pad *pad = container_of(scratch, struct pad, scratch);
    size = round_up(size, 16);
    if ((size_t)(pad->end - pad->at) < size)
        return NULL;
    pad->at += size;
    return pad->at - size;
}

// --- what an answer says ---

// A text that grows in the order in which its pieces come, whatever choice they are of.
struct said {
    char *room;
    struct sink sink;
};

struct run {
    struct wire_stream stream;
    struct decode decode;
    struct completion completion;
    struct usage usage;
    bool error;
    struct said text, thinking, refusal;
    struct pad pad;
};

static void listen(void *arg, const struct delta *delta)
{
    struct run *run = arg;
    struct said *said = delta->kind == DELTA_TEXT      ? &run->text
                        : delta->kind == DELTA_THINK   ? &run->thinking
                        : delta->kind == DELTA_REFUSAL ? &run->refusal
                                                       : NULL;
    if (said != NULL)
        sink_plain(&said->sink, delta->text);
    completion_collect(&run->completion, delta);
}

static struct said said_new(void)
{
    char *room = malloc(FILE_MAX);
    return (struct said){ room, sink_into(room, FILE_MAX) };
}

static void read_stream(struct run *run, struct span text, size_t format, size_t chop)
{
    wire_stream_init(&run->stream, wire_get(formats[format].wire), false);
    completion_init(&run->completion, &chunks, KEPT_MAX);
    run->completion.keep.scratch = &run->pad.scratch;
    run->text = said_new();
    run->thinking = said_new();
    run->refusal = said_new();
    decode_init(&run->decode, converter_of(formats[format].family), &run->stream, &chunks, listen,
                run);
    struct sse_scan scan = { 0 };
    size_t start = 0, done = 0, used;
    while (done < text.len) {
        struct span piece = span_of(text.ptr + done, min_size(chop, text.len - done));
        bool ended = sse_scan_feed(&scan, piece, &used) == PARSE_DATA;
        done += used;
        if (!ended)
            continue;
        struct wire_event event;
        struct sse_event sse;
        struct span block = span_of(text.ptr + start, done - start);
        bool first = run->stream.event_count == 0;
        wire_stream_event(&run->stream, block, &event);
        EXPECT(sse_parse(block, first, NULL, 0, &sse));
        if ((event.flags & WIRE_ERROR) == 0)
            EXPECT(decode_feed(&run->decode, &sse, &event));
        start = done;
    }
    enum wire_end end = wire_stream_end(&run->stream);
    run->error = end == WIRE_END_ERROR || end == WIRE_END_TRUNCATED;
    if (!run->error)
        decode_end(&run->decode);
    EXPECT(!run->decode.failed);
    EXPECT(!completion_failed(&run->completion));
    run->usage = usage_normal(&run->stream.told, run->stream.wire->rule);
    decode_fini(&run->decode);
}

static json_t *said_json(struct said *said)
{
    json_t *text = json_stringn(said->room, (size_t)(said->sink.at - said->room));
    free(said->room);
    return text;
}

static json_t *calls_of(const struct completion *completion)
{
    json_t *calls = json_array();
    char *room = malloc(FILE_MAX);
    for (const struct item *item = completion->first; item != NULL; item = item->next) {
        if (item->kind != ITEM_CALL || item->choice != 0)
            continue;
        struct sink sink = sink_into(room, FILE_MAX);
        sink_plain(&sink, item->name);
        json_t *name = json_stringn(room, (size_t)(sink.at - room));
        sink = sink_into(room, FILE_MAX);
        item_put_plain(item, &sink);
        if (sink.at == room)
            SINK_TEXT(&sink, "{}"); // C-023
        json_array_append_new(
            calls, json_pack("{soss%}", "name", name, "arguments", room, (size_t)(sink.at - room)));
    }
    free(room);
    return calls;
}

static const char *end_of(const struct completion *completion)
{
    const struct choice *choice = completion->choices;
    if (choice == NULL || !choice->ended)
        return "none";
    switch ((enum finish)choice->finish) {
    case FINISH_STOP: return "stop";
    case FINISH_STOP_TEXT: return "stop sequence";
    case FINISH_CALLS: return "tool call";
    case FINISH_LENGTH: return "length";
    case FINISH_CONTEXT: return "context full";
    case FINISH_FILTERED: return "filtered";
    case FINISH_REFUSAL: return "stop"; // in the model's own words, which the list has apart
    case FINISH_PAUSE: return "pause";
    }
    return "none";
}

static unsigned same(const char *name, const char *what, json_t *got, json_t *want)
{
    bool equal = json_equal(got, want) != 0;
    if (!equal) {
        char *left = json_dumps(got, JSON_ENCODE_ANY), *right = json_dumps(want, JSON_ENCODE_ANY);
        fprintf(stderr, "%s: %s\n  got  %.600s\n  want %.600s\n", name, what, left, right);
        free(left);
        free(right);
    }
    json_decref(got);
    return !equal;
}

static unsigned same_number(const char *name, const char *what, uint64_t got, json_t *usage)
{
    json_t *want = json_object_get(usage, what);
    if (!json_is_integer(want) || (uint64_t)json_integer_value(want) == got)
        return 0;
    fprintf(stderr, "%s: %s is %llu, expected %lld\n", name, what, (unsigned long long)got,
            (long long)json_integer_value(want));
    return 1;
}

static unsigned compare(struct run *run, json_t *want)
{
    const char *name = json_string_value(json_object_get(want, "case"));
    const struct completion *completion = &run->completion;
    const struct usage *usage = &run->usage;
    json_t *cost = json_object_get(want, "usage");
    unsigned wrong = 0;
    wrong += same(name, "text", said_json(&run->text), json_object_get(want, "text"));
    wrong += same(name, "thinking", said_json(&run->thinking), json_object_get(want, "thinking"));
    wrong += same(name, "refusal", said_json(&run->refusal), json_object_get(want, "refusal"));
    wrong += same(name, "calls", calls_of(completion), json_object_get(want, "calls"));
    if (run->error != json_is_true(json_object_get(want, "error"))) {
        fprintf(stderr, "%s: error is %d\n", name, run->error);
        wrong++;
    }
    if (!run->error)
        wrong += same(name, "end", json_string(end_of(completion)), json_object_get(want, "end"));
    // This vendor's counts contradict each other; test_wire_fixtures.c says how they are read.
    if (strstr(name, "-xai-") != NULL || strstr(name, "-grok-") != NULL)
        return wrong;
    uint64_t written = usage->cache_write_5m + usage->cache_write_1h;
    wrong +=
        same_number(name, "input_total", usage->input_uncached + usage->cache_read + written, cost);
    wrong += same_number(name, "cache_read", usage->cache_read, cost);
    wrong += same_number(name, "cache_write", written, cost);
    wrong += same_number(name, "output_total", usage->output, cost);
    wrong += same_number(name, "thinking", usage->reasoning, cost);
    return wrong;
}

// Each format tells the collected answer again, as a stream and whole, in valid JSON.
static void tell_again(struct run *run, const char *name)
{
    char *out = malloc(FILE_MAX), *memory = malloc(FILE_MAX);
    static struct encode encode;
    for (size_t to = 0; to < ARRAY_LEN(formats); to++) {
        const struct converter *converter = converter_of(formats[to].family);
        if (converter == NULL)
            continue;
        struct pad pad = { { pad_take }, memory, memory + FILE_MAX };
        struct answer_facts facts = { .model = SPAN("m"), .scratch = &pad.scratch };
        facts.request = SPAN("{}");
        facts.usage = run->usage;
        facts.thoughts_wanted = facts.envelopes_wanted = facts.usage_wanted = true;
        struct sink sink = sink_into(out, FILE_MAX);
        converter->write_whole(&run->completion, &facts, &sink);
        struct json_slice root;
        bool good = !sink.failed && json_check(span_of(out, (size_t)(sink.at - out)), &root);
        sink = sink_into(out, FILE_MAX);
        encode_init(&encode, converter, &facts, &sink, &chunks, KEPT_MAX);
        completion_play(&run->completion, encode_put, &encode);
        encode_end(&encode, &run->usage);
        good = good && !encode.failed;
        encode_fini(&encode);
        struct wire_stream stream;
        wire_stream_init(&stream, wire_get(formats[to].wire), false);
        struct span rest = span_of(out, (size_t)(sink.at - out));
        struct sse_scan scan = { 0 };
        size_t used;
        while (rest.len > 0 && sse_scan_feed(&scan, rest, &used) == PARSE_DATA) {
            struct wire_event event;
            struct sse_event sse;
            wire_stream_event(&stream, span_upto(rest, used), &event);
            good = good && sse_parse(span_upto(rest, used), false, NULL, 0, &sse) &&
                   (span_eq(sse.data, SPAN("[DONE]")) || json_check(sse.data, &root));
            rest = span_from(rest, used);
        }
        good = good && wire_stream_end(&stream) == WIRE_END_COMPLETE;
        if (!good)
            fprintf(stderr, "%s told as %s\n", name, formats[to].folder);
        EXPECT(good);
    }
    free(out);
    free(memory);
}

static void one_case(json_t *want, unsigned done[ARRAY_LEN(formats)])
{
    static struct run run;
    const char *folder = json_string_value(json_object_get(want, "format"));
    for (size_t format = 0; format < ARRAY_LEN(formats); format++) {
        if (strcmp(folder, formats[format].folder) != 0 ||
            converter_of(formats[format].family) == NULL)
            continue;
        size_t len;
        char *text = load(json_string_value(json_object_get(want, "file")), &len);
        EXPECT(text != NULL);
        if (text == NULL)
            return;
        char *memory = malloc(FILE_MAX);
        run.pad = (struct pad){ { pad_take }, memory, memory + FILE_MAX };
        read_stream(&run, span_of(text, len), format, SIZE_MAX / 2);
        EXPECT_EQ(compare(&run, want), 0);
        if (!run.error)
            tell_again(&run, json_string_value(json_object_get(want, "case")));
        completion_fini(&run.completion);
        free(memory);
        free(text);
        done[format]++;
    }
}

static void recorded_streams_say_what_they_said(void)
{
    size_t len, index;
    char *text = load("conversion/recorded-expectations.json", &len);
    json_t *json = json_loadb(text, len, 0, NULL), *want;
    unsigned done[ARRAY_LEN(formats)] = { 0 };
    json_array_foreach(json_object_get(json, "cases"), index, want) one_case(want, done);
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        printf("recorded streams of %s: %u\n", formats[i].folder, done[i]);
        EXPECT(done[i] > 0 || converter_of(formats[i].family) == NULL);
    }
    json_decref(json);
    free(text);
}

// Every other stream and whole answer in the folders: read to its end, or known as a failure.
static bool one_whole(const char *name, size_t format)
{
    static struct completion completion;
    size_t len;
    struct json_slice root;
    char *text = load(name, &len);
    bool read = false;
    if (json_check(span_of(text, len), &root)) {
        completion_init(&completion, &chunks, KEPT_MAX);
        read = converter_of(formats[format].family)->read_whole(&completion, root);
        EXPECT(!read || !completion_failed(&completion));
        completion_fini(&completion);
    }
    free(text);
    return read;
}

static void whole_answers_are_read(void)
{
    json_error_t error;
    size_t len, index, at;
    char *text = load("manifest.json", &len);
    json_t *json = json_loadb(text, len, 0, &error), *entry, *file;
    unsigned read[ARRAY_LEN(formats)] = { 0 };
    json_array_foreach(json_object_get(json, "cases"), index, entry)
    {
        const char *folder = json_string_value(json_object_get(entry, "format"));
        json_int_t status = json_integer_value(json_object_get(entry, "status"));
        bool chat = status == 200 && !json_is_true(json_object_get(entry, "stream"));
        for (size_t i = 0; chat && i < ARRAY_LEN(formats); i++)
            json_array_foreach(json_object_get(entry, "files"), at, file)
            {
                const char *name = json_string_value(file);
                const char *dot = strchr(name, '.');
                if (strcmp(folder, formats[i].folder) != 0 || dot == NULL ||
                    strcmp(dot, ".json") != 0 || converter_of(formats[i].family) == NULL)
                    continue;
                if (one_whole(name, i))
                    read[i]++;
                else
                    printf("not an answer: %s\n", name);
            }
    }
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        printf("whole answers of %s: %u\n", formats[i].folder, read[i]);
    EXPECT(read[0] > 0);
    json_decref(json);
    free(text);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = { TEST(recorded_streams_say_what_they_said),
                                              TEST(whole_answers_are_read) };
    const char *shared = getenv("PENSTOCK_SHARED");
    const char *const places[] = { shared != NULL ? shared : "", "../shared", "../../../shared",
                                   "../../../../shared" };
    size_t len;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        snprintf(root_dir, sizeof(root_dir), "%s", places[i]);
        char *text =
            places[i][0] != '\0' ? load("conversion/recorded-expectations.json", &len) : NULL;
        free(text);
        if (text != NULL)
            return test_main(argc, argv, cases, ARRAY_LEN(cases));
    }
    const char *ci = getenv("CI");
    bool needed = ci != NULL && strcmp(ci, "true") == 0;
    printf("skipped: no fixtures beside the checkout\n0 passed, %d failed, %d skipped\n", needed,
           !needed);
    return needed ? EXIT_FAILURE : EXIT_SUCCESS;
}
