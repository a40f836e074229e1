// Conversion against the cases that lie beside the checkout: each upstream answer of
// conversion/streams and conversion/nonstream as each other format's client has to see it. Ids,
// times and the inside of envelopes are free.
#include "convert_rig.h"
#include "fixtures.h"

#include "penstock/convert/convert.h"

#include <sodium.h>

enum { FILE_MAX = 1 * MIB, PATH_SIZE = 1024 };

static char *load(const char *name, size_t *len)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "conversion/%s", name);
    return fixture_load(path, len);
}

// --- memory ---

// --- formats ---

static const struct {
    const char *name;
    enum wire_family family;
    enum wire_id wire;
} formats[] = {
    { "chat", FAMILY_OPENAI, WIRE_CHAT },
    { "responses", FAMILY_RESPONSES, WIRE_RESPONSES },
    { "messages", FAMILY_ANTHROPIC, WIRE_MESSAGES },
    { "gemini", FAMILY_GEMINI, WIRE_GEMINI },
};

// --- comparing ---

static bool is_envelope(const char *text)
{
    return strncmp(text, "gw1.", 4) == 0 || strncmp(text, "pst1.", 5) == 0;
}

// Ids of Responses that are made here: those of the answer and its items, 24 letters long.
static bool is_made(const char *key, json_t *value)
{
    static const char *const prefixes[] = { "resp_", "msg_", "rs_", "fc_", "ctc_" };
    const char *text = json_string_value(value);
    if (text == NULL || (strcmp(key, "id") != 0 && strcmp(key, "item_id") != 0))
        return false;
    if (strstr(text, "_GOLD") != NULL || strncmp(text, "resp_", 5) == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        size_t len = strlen(prefixes[i]);
        if (strncmp(text, prefixes[i], len) == 0 && strlen(text) == len + 24)
            return true;
    }
    return false;
}

// Gemini's clients have envelopes in base64.
static bool is_base64_envelope(const char *text)
{
    return strncmp(text, "Z3cxL", 5) == 0 || strncmp(text, "cHN0MS5", 7) == 0;
}

// The letter of an envelope that says who made it.
static char envelope_maker(const char *text)
{
    unsigned char bytes[9] = { 0 };
    if (is_envelope(text))
        return text[text[0] == 'g' ? 4 : 5];
    (void)sodium_base642bin(bytes, sizeof(bytes), text, min_size(strlen(text), 12), NULL, NULL,
                            NULL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    return (char)bytes[bytes[0] == 'g' ? 4 : 5];
}

// An id that was made here: its letters are free.
static bool is_made_call(const char *text)
{
    return (strncmp(text, "call_", 5) == 0 && strlen(text) == 5 + 24) ||
           (strncmp(text, "toolu_", 6) == 0 && strlen(text) == 6 + 24);
}

// Makes alike what may differ.
static void tame(json_t *json)
{
    const char *key;
    json_t *value;
    size_t index;
    if (json_is_array(json)) {
        json_array_foreach(json, index, value) tame(value);
        return;
    }
    void *next;
    json_object_foreach_safe(json, next, key, value)
    {
        bool own_id = strcmp(key, "id") == 0 && json_is_string(value) &&
                      strstr(json_string_value(value), "GOLD") != NULL;
        bool ours = strcmp(key, "created") == 0 || strcmp(key, "created_at") == 0;
        if (strcmp(key, "id") == 0 && json_is_string(value)) {
            const char *text = json_string_value(value);
            own_id |= strncmp(text, "chatcmpl-", 9) == 0 || strncmp(text, "msg_", 4) == 0 ||
                      is_made_call(text);
        }
        own_id |= is_made(key, value);
        own_id |= strcmp(key, "call_id") == 0 && json_is_string(value) &&
                  is_made_call(json_string_value(value));
        own_id |= strcmp(key, "responseId") == 0;
        if (own_id || ours)
            json_object_set_new(json, key, json_null());
        else if (json_is_string(value) && (is_envelope(json_string_value(value)) ||
                                           is_base64_envelope(json_string_value(value)))) {
            const char maker = envelope_maker(json_string_value(value));
            json_object_set_new(json, key, json_stringn(&maker, 1));
        } else
            tame(value);
    }
}

// The next event's JSON; NULL at the end, or for the mark that ends Chat's streams.
static json_t *event_next(struct span *text)
{
    struct sse_scan scan = { 0 };
    size_t used = 0;
    while (text->len > 0 && sse_scan_feed(&scan, *text, &used) == PARSE_DATA) {
        struct sse_event sse;
        bool read = sse_parse(span_upto(*text, used), false, NULL, 0, &sse);
        *text = span_from(*text, used);
        if (!read || sse.data.len == 0)
            continue;
        json_t *json = json_loadb(sse.data.ptr, sse.data.len, 0, NULL);
        if (json == NULL)
            json = json_stringn(sse.data.ptr, sse.data.len);
        return json;
    }
    return NULL;
}

static unsigned streams_alike(const char *what, struct span got, struct span want)
{
    for (unsigned at = 0;; at++) {
        json_t *have = event_next(&got), *due = event_next(&want);
        if (have == NULL && due == NULL)
            return 0;
        if (have != NULL)
            tame(have);
        if (due != NULL)
            tame(due);
        bool same = have != NULL && due != NULL && json_equal(have, due);
        if (!same) {
            char *left = have != NULL ? json_dumps(have, 0) : NULL;
            char *right = due != NULL ? json_dumps(due, 0) : NULL;
            fprintf(stderr, "%s: event %u\n  got  %s\n  want %s\n", what, at,
                    left != NULL ? left : "nothing", right != NULL ? right : "nothing");
            free(left);
            free(right);
        }
        json_decref(have);
        json_decref(due);
        if (!same)
            return 1;
    }
}

// --- converting ---

struct run {
    struct pad pad;
    char memory[256 * KIB];
    struct wire_stream stream;
    struct decode decode;
    struct encode encode;
    struct sink out;
    char *text;
};

static void run_event(struct run *run, struct span block)
{
    struct wire_event event;
    struct sse_event sse = { 0 };
    bool first = run->stream.event_count == 0;
    wire_stream_event(&run->stream, block, &event);
    EXPECT(sse_parse(block, first, NULL, 0, &sse));
    if ((event.flags & WIRE_ERROR) == 0)
        EXPECT(decode_feed(&run->decode, &sse, &event));
}

// Feeds a stream in pieces of `chop` bytes; true if it ended well.
static bool convert(struct run *run, struct span text, size_t chop, size_t from, size_t to)
{
    struct answer_facts facts = { .model = SPAN("gw-model"), .estimated_input = 20 };
    facts.usage_wanted = facts.thoughts_wanted = facts.envelopes_wanted = true;
    run->pad = (struct pad)PAD(run->memory, sizeof(run->memory));
    facts.scratch = &run->pad.scratch;
    wire_stream_init(&run->stream, wire_get(formats[from].wire), false);
    run->out = sink_into(run->text, FILE_MAX);
    decode_init(&run->decode, converter_of(formats[from].family), &run->stream, &chunks, encode_put,
                &run->encode);
    encode_init(&run->encode, converter_of(formats[to].family), &facts, &run->out, &chunks,
                1 * MIB);
    struct sse_scan scan = { 0 };
    size_t start = 0, done = 0, used;
    while (done < text.len) {
        struct span piece = span_of(text.ptr + done, min_size(chop, text.len - done));
        bool ended = sse_scan_feed(&scan, piece, &used) == PARSE_DATA;
        done += used;
        if (ended) {
            run_event(run, span_of(text.ptr + start, done - start));
            start = done;
        }
    }
    enum wire_end end = wire_stream_end(&run->stream);
    bool good = end == WIRE_END_COMPLETE || end == WIRE_END_IRREGULAR;
    if (good) {
        decode_end(&run->decode);
        struct usage usage = usage_normal(&run->stream.told, run->stream.wire->rule);
        encode_end(&run->encode, &usage);
    }
    EXPECT(!run->encode.failed);
    EXPECT(!run->decode.failed);
    encode_fini(&run->encode);
    decode_fini(&run->decode);
    return good;
}

static const char *const scenarios[] = {
    "text",     "empty",          "think_text_two_calls", "interleaved_thinking",
    "filtered", "length_in_text", "length_in_arguments",
};

static const char *const no_converter = "no converter yet";

// What became of a comparison, by the failures before it.
static void report_since(const char *group, int failures)
{
    report(group, test_failures > failures ? VERDICT_FAILED : VERDICT_PASSED, NULL);
}

static void one_stream(const char *scenario, size_t from, size_t to)
{
    char name[PATH_SIZE], what[PATH_SIZE];
    size_t len, want_len;
    const int failures = test_failures;
    snprintf(name, sizeof(name), "streams/%s/upstream.%s.sse", scenario, formats[from].name);
    char *text = load(name, &len);
    snprintf(what, sizeof(what), "streams/%s/client.%s.from.%s.sse", scenario, formats[to].name,
             formats[from].name);
    char *want = load(what, &want_len);
    if (text != NULL && want != NULL) {
        static struct run run;
        run.text = malloc(FILE_MAX);
        EXPECT(convert(&run, span_of(text, len), SIZE_MAX / 2, from, to));
        struct span got = span_of(run.text, (size_t)(run.out.at - run.text));
        EXPECT_EQ(streams_alike(what, got, span_of(want, want_len)), 0);
        char *whole = malloc(got.len + 1);
        memcpy(whole, got.ptr, got.len);
        EXPECT(convert(&run, span_of(text, len), 1, from, to));
        EXPECT(
            span_eq(span_of(whole, got.len), span_of(run.text, (size_t)(run.out.at - run.text))));
        free(whole);
        free(run.text);
        report_since("streams", failures);
    }
    free(text);
    free(want);
}

static bool both_convert(const char *group, size_t from, size_t to)
{
    bool both =
        converter_of(formats[from].family) != NULL && converter_of(formats[to].family) != NULL;
    if (!both)
        report(group, VERDICT_NOT_APPLICABLE, no_converter);
    return both;
}

static void streams_convert(void)
{
    for (size_t from = 0; from < ARRAY_LEN(formats); from++)
        for (size_t to = 0; to < ARRAY_LEN(formats); to++)
            for (size_t i = 0; from != to && i < ARRAY_LEN(scenarios); i++)
                if (both_convert("streams", from, to))
                    one_stream(scenarios[i], from, to);
    EXPECT(report_groups[0].counts[VERDICT_PASSED] > 0);
}

static void one_answer(const char *scenario, size_t from)
{
    if (from == 0 && strcmp(scenario, "interleaved_thinking") == 0) {
        report("whole answers", VERDICT_NOT_APPLICABLE,
               "Chat's answer has one place for both thoughts: which came first is not told");
        return;
    }
    char name[PATH_SIZE];
    size_t len;
    snprintf(name, sizeof(name), "nonstream/%s.%s.json", scenario, formats[from].name);
    char *text = load(name, &len);
    json_t *json = text != NULL ? json_loadb(text, len, 0, NULL) : NULL;
    for (size_t to = 0; json != NULL && to < ARRAY_LEN(formats); to++) {
        json_t *want = json_object_get(json_object_get(json, "client"), formats[to].name);
        if (want == NULL || converter_of(formats[to].family) == NULL)
            continue;
        const int failures = test_failures;
        char *body = json_dumps(json_object_get(json, "upstream_response"), JSON_COMPACT);
        struct json_slice root;
        EXPECT(json_check(span_str(body), &root));
        static struct completion completion;
        struct pad pad = PAD(malloc(FILE_MAX), FILE_MAX);
        char *out = malloc(FILE_MAX);
        completion_init(&completion, &chunks, 1 * MIB);
        EXPECT(converter_of(formats[from].family)->read_whole(&completion, root));
        struct answer_facts facts = { .model = SPAN("gw-model"), .scratch = &pad.scratch };
        facts.thoughts_wanted = facts.envelopes_wanted = true;
        struct wire_stream stream;
        struct wire_pass pass;
        char values[WIRE_VALUES_MAX];
        wire_stream_init(&stream, wire_get(formats[from].wire), false);
        wire_pass_init(&pass, &stream, false, values);
        struct span in = span_str(body), piece;
        enum wire_cut cut;
        while (wire_pass_next(&pass, &in, &piece, &cut))
            continue;
        wire_pass_end(&pass);
        facts.usage = usage_normal(&stream.told, stream.wire->rule);
        struct sink sink = sink_into(out, FILE_MAX);
        converter_of(formats[to].family)->write_whole(&completion, &facts, &sink);
        json_t *got = json_loadb(out, (size_t)(sink.at - out), JSON_REJECT_DUPLICATES, NULL);
        EXPECT(got != NULL);
        if (got != NULL)
            tame(got);
        tame(want);
        if (got != NULL && !json_equal(got, want)) {
            char *left = json_dumps(got, 0), *right = json_dumps(want, 0);
            fprintf(stderr, "%s to %s\n  got  %s\n  want %s\n", name, formats[to].name, left,
                    right);
            free(left);
            free(right);
            EXPECT(false);
        }
        json_decref(got);
        completion_fini(&completion);
        free(pad.room);
        free(out);
        free(body);
        report_since("whole answers", failures);
    }
    json_decref(json);
    free(text);
}

static void whole_answers_convert(void)
{
    for (size_t from = 0; from < ARRAY_LEN(formats); from++)
        for (size_t i = 0; i < ARRAY_LEN(scenarios); i++)
            if (both_convert("whole answers", from, from))
                one_answer(scenarios[i], from);
}

// The order in which losses are told is ours.
static bool same_list(struct span got, json_t *want)
{
    size_t index, count = 0;
    json_t *value;
    for (struct span rest = got; rest.len > 0; count++)
        rest = span_from(rest, min_size(span_find(rest, ',') + 1, rest.len));
    json_array_foreach(want, index, value)
    {
        bool found = false;
        for (struct span rest = got; rest.len > 0;) {
            size_t len = span_find(rest, ',');
            found |= span_eq(span_upto(rest, len), span_str(json_string_value(value)));
            rest = span_from(rest, min_size(len + 1, rest.len));
        }
        if (!found)
            return false;
    }
    return count == json_array_size(want);
}

static void one_request(size_t from, size_t to)
{
    const int failures = test_failures;
    char name[PATH_SIZE];
    size_t len;
    snprintf(name, sizeof(name), "requests/%s-to-%s.json", formats[from].name, formats[to].name);
    char *text = load(name, &len);
    json_t *json = text != NULL ? json_loadb(text, len, 0, NULL) : NULL;
    if (json == NULL)
        return;
    char *body = json_dumps(json_object_get(json, "client_request"), JSON_COMPACT);
    struct json_slice root;
    EXPECT(json_check(span_str(body), &root));
    struct pad pad = PAD(malloc(FILE_MAX), FILE_MAX);
    char *out = malloc(FILE_MAX);
    static struct prompt prompt;
    struct prompt_parse parse;
    struct losses losses;
    losses_init(&losses, false);
    prompt_begin(&parse, &prompt, formats[from].family, span_str(body), &pad.scratch, &losses);
    EXPECT(converter_of(formats[from].family)->parse(&parse, root));
    struct caps caps = {
        .official = true, .developer_role = true, .native_schema = true, .reasons = REASONS_BUDGET
    };
    if (formats[from].family == FAMILY_GEMINI)
        prompt.stream = true; // which stands in its path
    if (formats[to].family == FAMILY_GEMINI) {
        caps.reasons = REASONS_LEVEL;
        caps.json_schema = true;
    }
    caps.no_sampling = formats[to].family == FAMILY_OPENAI && formats[from].family == FAMILY_GEMINI;
    struct render render = { .prompt = &prompt,
                             .caps = &caps,
                             .model = SPAN("m"),
                             .losses = &losses,
                             .scratch = &pad.scratch };
    struct sink sink = sink_into(out, FILE_MAX);
    EXPECT(converter_of(formats[to].family)->render(&render, &sink));
    json_t *got = json_loadb(out, (size_t)(sink.at - out), JSON_REJECT_DUPLICATES, NULL);
    json_t *want = json_object_get(json, "upstream_request");
    EXPECT(got != NULL);
    if (got != NULL && !json_equal(got, want)) {
        char *left = json_dumps(got, 0), *right = json_dumps(want, 0);
        fprintf(stderr, "%s\n  got  %s\n  want %s\n", name, left, right);
        free(left);
        free(right);
        EXPECT(false);
    }
    EXPECT(same_list(losses_dropped(&losses), json_object_get(json, "dropped")));
    EXPECT(same_list(losses_adjusted(&losses), json_object_get(json, "adjusted")));
    json_decref(got);
    json_decref(json);
    free(pad.room);
    free(out);
    free(body);
    free(text);
    report_since("requests", failures);
}

static void requests_convert(void)
{
    for (size_t from = 0; from < ARRAY_LEN(formats); from++)
        for (size_t to = 0; to < ARRAY_LEN(formats); to++)
            if (from != to && both_convert("requests", from, to))
                one_request(from, to);
    report_print();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = { TEST(streams_convert), TEST(whole_answers_convert),
                                              TEST(requests_convert) };
    return fixtures_main(argc, argv, cases, ARRAY_LEN(cases));
}
