// Text that a vendor breaks: bytes that are not UTF-8 (C-076), characters torn between two deltas
// (C-077), and the copy that must not tell the difference (C-149).
#include "convert_rig.h"
#include "test.h"

#include "penstock/convert/convert.h"

enum { ROOM = 64 * KIB };

// The text of each run as it was emitted, with a bar before each delta.
struct runs {
    char text[DELTA_KIND_COUNT][1024];
    size_t len[DELTA_KIND_COUNT];
    char order[256];
    unsigned torn; // deltas that end inside a character
};

static void note_delta(void *ctx, const struct delta *delta)
{
    struct runs *runs = ctx;
    size_t *len = &runs->len[delta->kind];
    size_t order = strlen(runs->order);
    struct sink sink = sink_into(runs->text[delta->kind] + *len, sizeof(runs->text[0]) - 1 - *len);
    SINK_TEXT(&sink, "|");
    sink_put(&sink, delta->text.raw);
    *len = (size_t)(sink.at - runs->text[delta->kind]);
    if (order + 2 < sizeof(runs->order))
        runs->order[order] = (char)('A' + delta->kind);
    runs->torn += words_torn(delta->text.raw) > 0;
}

static struct runs runs;
static char pad_room[ROOM];
static struct pad pad = PAD(pad_room, ROOM);

// Reads a stream of Chat; false if an event of it was none.
static bool read_chat(const char *text, size_t len, bool with_room)
{
    static struct decode decode;
    static struct wire_stream stream;
    bool ok = true;
    memset(&runs, 0, sizeof(runs));
    pad.used = 0;
    wire_stream_init(&stream, wire_get(WIRE_CHAT), false);
    decode_init(&decode, converter_of(FAMILY_OPENAI), &stream, &chunks, note_delta, &runs);
    decode.keep.scratch = with_room ? &pad.scratch : NULL;
    struct span rest = span_of(text, len);
    struct sse_scan scan = { 0 };
    size_t used;
    while (rest.len > 0 && sse_scan_feed(&scan, rest, &used) == PARSE_DATA) {
        struct wire_event event;
        struct sse_event sse;
        wire_stream_event(&stream, span_upto(rest, used), &event);
        EXPECT(sse_parse(span_upto(rest, used), false, NULL, 0, &sse));
        ok = ok && decode_feed(&decode, &sse, &event);
        rest = span_from(rest, used);
    }
    decode_end(&decode);
    EXPECT(!decode.failed);
    decode_fini(&decode);
    return ok;
}

#define CHUNK(delta) \
    "data: {\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":null}]}\n\n"
#define TEXT(text) CHUNK("{\"content\":\"" text "\"}")
#define ARGS(call, text) \
    CHUNK("{\"tool_calls\":[{\"index\":" call ",\"function\":{\"arguments\":\"" text "\"}}]}")
#define BEGIN(call)                                              \
    CHUNK("{\"tool_calls\":[{\"index\":" call ",\"id\":\"c" call \
          "\",\"function\":{\"name\":\"f\"}}]}")
#define LAST \
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
#define READ(text) read_chat(text, sizeof(text) - 1, true)

#define HIGH "\\ud83d"
#define LOW "\\ude00"
#define FFFD "\xef\xbf\xbd"

static void halves_of_a_character_meet(void) // C-077
{
    EXPECT(READ(TEXT("a" HIGH) TEXT(LOW "b") LAST));
    EXPECT_SPAN(span_str(runs.text[DELTA_TEXT]), "|a|" HIGH LOW "|b");
    EXPECT_EQ(runs.torn, 0);
    // Also among events that are known by their likeness, and alone in one.
    EXPECT(READ(TEXT("1") TEXT("2") TEXT("3") TEXT(HIGH) TEXT(LOW) TEXT("4") TEXT("5") LAST));
    EXPECT_SPAN(span_str(runs.text[DELTA_TEXT]), "|1|2|3|" HIGH LOW "|4|5");
    // Capital digits, and a pair behind a pair.
    EXPECT(READ(TEXT("\\uD83D\\uDE00\\uD83D") TEXT("\\uDE01") LAST));
    EXPECT_SPAN(span_str(runs.text[DELTA_TEXT]), "|\\uD83D\\uDE00|\\uD83D\\uDE01");
}

static void half_a_character_is_replaced(void) // C-077
{
    EXPECT(READ(TEXT("a" HIGH) TEXT("b") LAST));
    EXPECT_SPAN(span_str(runs.text[DELTA_TEXT]), "|a|" FFFD "|b");
    EXPECT(READ(TEXT("a" HIGH) LAST));
    EXPECT_SPAN(span_str(runs.text[DELTA_TEXT]), "|a|" FFFD);
    // Before what comes next, so that the order of runs is kept.
    EXPECT(READ(TEXT("a" HIGH) BEGIN("0") ARGS("0", "{}") LAST));
    EXPECT_SPAN(span_str(runs.text[DELTA_TEXT]), "|a|" FFFD);
    char order[] = { 'A' + DELTA_TEXT,
                     'A' + DELTA_TEXT,
                     'A' + DELTA_CALL,
                     'A' + DELTA_ARGS,
                     'A' + DELTA_CALL_END,
                     'A' + DELTA_FINISH,
                     '\0' };
    EXPECT_SPAN(span_str(runs.order), order);
    // An escaped backslash is no escape of a surrogate.
    EXPECT(READ(TEXT("\\\\ud83d") TEXT("x") LAST));
    EXPECT_SPAN(span_str(runs.text[DELTA_TEXT]), "|\\\\ud83d|x");
}

static void each_run_has_its_own_half(void) // C-077
{
    EXPECT(READ(BEGIN("0") BEGIN("1") ARGS("0", "\\\"" HIGH) ARGS("1", "\\\"" HIGH)
                    ARGS("0", LOW "\\\"") ARGS("1", LOW "\\\"") LAST));
    EXPECT_SPAN(span_str(runs.text[DELTA_ARGS]), "|\\\"|\\\"|" HIGH LOW "|\\\"|" HIGH LOW "|\\\"");
    // More runs than halves can wait: the last of them stays with its text, for the copy to see to.
    EXPECT(READ(BEGIN("0") BEGIN("1") BEGIN("2") BEGIN("3") ARGS("0", HIGH) ARGS("1", HIGH)
                    ARGS("2", HIGH) ARGS("3", HIGH) ARGS("3", LOW) LAST));
    EXPECT_SPAN(span_str(runs.text[DELTA_ARGS]), "|" HIGH LOW "|" FFFD "|" FFFD "|" FFFD);
    EXPECT(READ(BEGIN("0") BEGIN("1") BEGIN("2") BEGIN("3") BEGIN("4") ARGS("0", HIGH)
                    ARGS("1", HIGH) ARGS("2", HIGH) ARGS("3", HIGH) ARGS("4", "5" HIGH) LAST));
    EXPECT_EQ(runs.torn, 1);
}

static void bytes_that_are_no_text_are_replaced(void) // C-076
{
    EXPECT(READ(TEXT("a\xff\xc3") TEXT("\xa9z") LAST));
    EXPECT_SPAN(span_str(runs.text[DELTA_TEXT]), "|a" FFFD FFFD "|" FFFD "z");
    EXPECT(READ(TEXT("1") TEXT("2") TEXT("3") TEXT("\x80") TEXT("4") TEXT("5\xf0\x9f") LAST));
    EXPECT_SPAN(span_str(runs.text[DELTA_TEXT]), "|1|2|3|" FFFD "|4|5" FFFD FFFD);
    // Without room for it, or where more is wrong, the event is none.
    EXPECT(!read_chat(TEXT("\xff"), sizeof(TEXT("\xff")) - 1, false));
    EXPECT(!READ("data: {\"choices\":[\xff\n\n"));
    EXPECT(!READ("data: \xff\n\n"));
}

static void a_stream_of_bad_bytes_needs_little_room(void) // C-076
{
    static char text[64 * KIB];
    size_t len = 0;
    while (len < sizeof(text) - 256)
        len += (size_t)snprintf(text + len, sizeof(text) - len, TEXT("%s"),
                                len % 2 == 0 ? "\xff\xfe" : "\x80\x80\x80\x80\x80\x80\x80\x80\x80");
    EXPECT(read_chat(text, len, true));
    EXPECT(pad.used < 1024);
}

static void copies_replace_half_a_character(void) // C-149
{
    static const char *const cases[][2] = {
        { "plain", "plain" },
        { "", "" },
        { HIGH LOW, HIGH LOW },
        { "a" HIGH "b", "a" FFFD "b" },
        { LOW HIGH, FFFD FFFD },
        { HIGH HIGH LOW, FFFD HIGH LOW },
        { "\\\\ud83d\\n", "\\\\ud83d\\n" },
        { "\\u0041\\ud7ff\\ue000", "\\u0041\\ud7ff\\ue000" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[64];
        struct words words = { .raw = span_str(cases[i][0]), .escaped = true };
        struct sink sink = sink_into(out, sizeof(out));
        sink_string(&sink, words);
        EXPECT_SPAN(span_of(out, (size_t)(sink.at - out)), cases[i][1]);
        struct keep keep;
        keep_init(&keep, &chunks, 1 * MIB);
        struct words kept = keep_words(&keep, words);
        EXPECT_SPAN(span_of(kept.raw.ptr, kept.raw.len), cases[i][1]);
        struct rope rope = { 0 };
        rope_add(&keep, &rope, words);
        sink = sink_into(out, sizeof(out));
        rope_put(&rope, &sink);
        EXPECT_SPAN(span_of(out, (size_t)(sink.at - out)), cases[i][1]);
        keep_fini(&keep);
    }
}

// C-077, wherever it stands, and whatever looks like one before it.
static void a_lone_half_is_found_anywhere(void)
{
    static const struct {
        const char *text;
        size_t at; // of the half in it; its length: there is none
    } cases[] = {
        { "\\ud83d", 0 },         { "\\udc00", 0 },    { "\\ud83dx", 0 },
        { "\\ud83d\\udc00", 12 }, { "\\\\ud83d", 7 },  { "\\\\\\uDE00", 2 },
        { "\\ud7ff", 6 },         { "\\u0064\\n", 8 }, { "\\ud83d\\ud83d\\udc00", 0 },
    };
    char text[400];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = strlen(cases[i].text);
        for (size_t before = 0; before < 300; before++) {
            memset(text, 'd', sizeof(text));
            memcpy(text + before, cases[i].text, len);
            bool none = cases[i].at == len;
            for (size_t after = 0; after < 64; after += 21) {
                size_t all = before + len + after;
                EXPECT_EQ(words_lone(span_of(text, all)), none ? all : before + cases[i].at);
            }
        }
    }
}

// What came of a text is known by a sum, whatever its spelling and wherever its pieces end.
static void the_rest_of_a_text_is_found(void)
{
    static const char all[] = "a\\n\xc3\xa9\\ud83d\\ude00b\xf0\x9f\x98\x80";
    static const char other[] = "a\\u000a\\u00e9\xf0\x9f\x98\x80"
                                "b\\ud83d\\ude00";
    static const size_t cuts[][2] = { { 0, 0 },  { 1, 1 },   { 3, 7 },
                                      { 5, 13 }, { 17, 17 }, { 18, 18 } };
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        struct words_sum sum = { 0 };
        words_sum_add(&sum, span_of(all, cuts[i][0]));
        EXPECT_EQ(words_sum_find(&sum, span_str(all)), cuts[i][0]);
        EXPECT_EQ(words_sum_find(&sum, span_str(other)), cuts[i][1]);
    }
    struct words_sum sum = { 0 };
    words_sum_add(&sum, span_of(all, 11)); // half a pair
    EXPECT_EQ(words_sum_find(&sum, span_str(all)), 11);
    words_sum_add(&sum, span_of(all + 11, 6));
    EXPECT_EQ(words_sum_find(&sum, span_str(all)), 17);
    words_sum_add(&sum, span_of(all + 17, 5));
    EXPECT_EQ(words_sum_find(&sum, span_str(all)), 22);
    EXPECT_EQ(words_sum_find(&sum, SPAN("a\\n")), SIZE_MAX);
    words_sum_add(&sum, SPAN("c"));
    EXPECT_EQ(words_sum_find(&sum, span_str(all)), SIZE_MAX);
}

TEST_MAIN(TEST(the_rest_of_a_text_is_found), TEST(a_lone_half_is_found_anywhere),
          TEST(halves_of_a_character_meet), TEST(half_a_character_is_replaced),
          TEST(each_run_has_its_own_half), TEST(bytes_that_are_no_text_are_replaced),
          TEST(a_stream_of_bad_bytes_needs_little_room), TEST(copies_replace_half_a_character))
