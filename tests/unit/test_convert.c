// The converter's shared ground: text between two JSON strings, kept memory, the order of calls,
// ids and envelopes, losses; and streams of Chat and Messages end to end.
#include "convert_rig.h"
#include "test.h"

#include "penstock/convert/args.h"
#include "penstock/convert/convert.h"
#include "penstock/convert/serial.h"

enum { ROOM = 64 * KIB };

static char pad_room[ROOM];

static struct words escaped(const char *text)
{
    return (struct words){ .raw = span_str(text), .escaped = true };
}

// --- words ---

static void words_lose_one_level_of_escapes(void)
{
    static const struct {
        const char *escaped, *plain;
    } cases[] = {
        { "", "" },
        { "plain", "plain" },
        { "a\\nb\\t\\\"\\\\\\/", "a\nb\t\"\\/" },
        { "\\u00e9\\ud83d\\ude00", "\xc3\xa9\xf0\x9f\x98\x80" },
        { "\\ud83d", "\xef\xbf\xbd" },   // half a pair
        { "\\ude00x", "\xef\xbf\xbdx" }, // the other half
        { "\\ud83d\\u0041", "\xef\xbf\xbd"
                            "A" }, // half a pair, and another letter
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[64];
        bool cut;
        size_t len = words_decode(escaped(cases[i].escaped), out, sizeof(out), &cut);
        EXPECT_SPAN(span_of(out, len), cases[i].plain);
        EXPECT(!cut);
        EXPECT(words_are(escaped(cases[i].escaped), span_str(cases[i].plain)));
        EXPECT(words_eq(words_plain(span_str(cases[i].plain)), escaped(cases[i].escaped)));
    }
    EXPECT(!words_eq(escaped("a\\n"), escaped("a\\t")));
    EXPECT(!words_eq(escaped("a"), escaped("ab")));
    EXPECT(words_blank(escaped(" \\n\\t")));
    EXPECT(!words_blank(escaped(" \\u0041")));
}

static void words_are_cut_between_characters(void)
{
    char out[4];
    bool cut;
    EXPECT_EQ(words_decode(words_plain(SPAN("ab\xc3\xa9\xc3\xa9")), out, 3, &cut), 2);
    EXPECT(cut);
    EXPECT(words_view(escaped("a\\nbcd"), out, 2).ptr == NULL);
}

static void torn_escapes_are_known(void)
{
    static const struct {
        const char *text;
        size_t torn;
    } cases[] = {
        { "abc", 0 },
        { "ab\\", 1 },
        { "ab\\\\", 0 },
        { "ab\\\\\\", 1 },
        { "ab\\u00e", 5 },
        { "ab\\u00e9", 0 },
        { "x\\ud83d", 6 },
        { "x\\ud83d\\", 7 },
        { "x\\ud83d\\ude0", 11 },
        { "\\ud83d\\ude00", 0 },
        { "\\n", 0 },
        { "\\\\u00e", 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t torn = words_torn(span_str(cases[i].text));
        if (torn != cases[i].torn)
            fprintf(stderr, "case %zu: ", i);
        EXPECT_EQ(torn, cases[i].torn);
    }
}

// --- kept memory ---

static void ropes_grow_side_by_side(void)
{
    struct keep keep;
    keep_init(&keep, &chunks, 1 * MIB);
    struct rope ropes[2] = { { 0 } };
    char want[2][12000];
    size_t lens[2] = { 0 };
    for (unsigned i = 0; i < 3000; i++) {
        unsigned which = i * 7 % 5 % 2;
        const char *more = i % 3 == 0 ? "\\ud83d\\ude00" : i % 3 == 1 ? "\xc3\xa9" : "\\n";
        rope_add(&keep, &ropes[which], escaped(more));
        memcpy(want[which] + lens[which], more, strlen(more));
        lens[which] += strlen(more);
        if (lens[which] > sizeof(want[which]) - 16)
            break;
    }
    for (unsigned which = 0; which < 2; which++) {
        static char got[ROOM], plain[ROOM], due[ROOM];
        for (const struct rope_piece *piece = ropes[which].first; piece != NULL;
             piece = piece->next) {
            EXPECT_EQ(words_torn(span_of(piece->bytes, piece->len)), 0);
            EXPECT(((unsigned char)piece->bytes[0] & 0xc0) != 0x80);
        }
        struct sink sink = sink_into(got, sizeof(got));
        rope_put(&ropes[which], &sink);
        EXPECT(span_eq(span_of(got, (size_t)(sink.at - got)), span_of(want[which], lens[which])));
        EXPECT_EQ(ropes[which].len, lens[which]);
        sink = sink_into(plain, sizeof(plain)); // escapes that pieces tear are whole again
        rope_put_plain(&ropes[which], &sink);
        size_t len = words_decode(
            (struct words){ .raw = span_of(want[which], lens[which]), .escaped = true }, due,
            sizeof(due), NULL);
        EXPECT(span_eq(span_of(plain, (size_t)(sink.at - plain)), span_of(due, len)));
    }
    keep_fini(&keep);
}

static void memory_has_a_bound(void)
{
    struct keep keep;
    keep_init(&keep, &chunks, 2 * ARENA_CHUNK);
    struct rope rope = { 0 };
    static char large[3 * ARENA_CHUNK];
    memset(large, 'a', sizeof(large));
    rope_add(&keep, &rope, words_plain(span_of(large, sizeof(large))));
    EXPECT(keep.failed);
    EXPECT(keep.held <= keep.held_max);
    EXPECT(keep_take(&keep, 8) == NULL);
    keep_fini(&keep);
}

static void long_texts_need_a_place(void)
{
    struct pad pad = PAD(pad_room, ROOM);
    static char large[2 * ARENA_CHUNK];
    memset(large, 'a', sizeof(large));
    memcpy(large + 100, "\\ud83d\\n", 8);
    struct words words = { .raw = span_of(large, sizeof(large)), .escaped = true };
    struct keep keep;
    keep_init(&keep, &chunks, 1 * MIB);
    EXPECT(!keep_has_place(&keep, words));
    EXPECT(words_none(keep_words(&keep, words)));
    EXPECT(keep.failed);
    keep_fini(&keep);
    keep_init(&keep, &chunks, 1 * MIB);
    keep.scratch = &pad.scratch;
    EXPECT(keep_has_place(&keep, words));
    struct words kept = keep_words(&keep, words);
    EXPECT_EQ(kept.raw.len, sizeof(large) - 3); // half a character became a whole one
    EXPECT(words_eq(kept, words));
    struct words plain = keep_words(&keep, words_plain(span_of(large, ARENA_CHUNK)));
    EXPECT(words_are(plain, span_of(large, ARENA_CHUNK)));
    EXPECT(!keep.failed);
    EXPECT(keep.held >= 3 * ARENA_CHUNK);
    keep_fini(&keep);
    keep_init(&keep, &chunks, ARENA_CHUNK); // nor more than is allowed
    keep.scratch = &pad.scratch;
    EXPECT(words_none(keep_words(&keep, words)));
    EXPECT(keep.failed);
    keep_fini(&keep);
}

// --- the order of calls ---

struct log {
    char text[1024];
    size_t len;
};

static void log_delta(void *ctx, const struct delta *delta)
{
    static const char *const names[DELTA_KIND_COUNT] = {
        [DELTA_TEXT] = "text",    [DELTA_CALL] = "call",     [DELTA_ARGS] = "args",
        [DELTA_CALL_END] = "end", [DELTA_FINISH] = "finish", [DELTA_MEDIA] = "media",
    };
    struct log *log = ctx;
    log->len += (size_t)snprintf(log->text + log->len, sizeof(log->text) - log->len, "%s%u%.*s ",
                                 names[delta->kind], delta->call, (int)delta->text.raw.len,
                                 delta->text.raw.ptr);
}

static void calls_come_one_at_a_time(void) // C-021, C-147
{
    struct log log = { .len = 0 };
    struct serial serial;
    serial_init(&serial, &chunks, 1 * MIB, log_delta, &log);
    struct delta deltas[] = {
        { .kind = DELTA_CALL, .call = 0 },
        { .kind = DELTA_CALL, .call = 1 },
        { .kind = DELTA_ARGS, .call = 1, .text = escaped("x") },
        { .kind = DELTA_ARGS, .call = 0, .text = escaped("a") },
        { .kind = DELTA_TEXT, .text = escaped("t") },
        { .kind = DELTA_ARGS, .call = 0, .text = escaped("b") },
        { .kind = DELTA_CALL_END, .call = 0 },
        { .kind = DELTA_ARGS, .call = 1, .text = escaped("y") },
        { .kind = DELTA_CALL_END, .call = 1 },
        { .kind = DELTA_FINISH },
    };
    for (size_t i = 0; i < ARRAY_LEN(deltas); i++)
        serial_put(&serial, &deltas[i]);
    EXPECT_SPAN(span_of(log.text, log.len),
                "call0 args0a args0b end0 call1 args1x args1y end1 text0t finish0 ");
    serial_fini(&serial);
}

static void a_picture_waits_whole(void)
{
    struct log log = { .len = 0 };
    struct serial serial;
    serial_init(&serial, &chunks, 1 * MIB, log_delta, &log);
    struct delta deltas[] = {
        { .kind = DELTA_CALL, .call = 0 },
        { .kind = DELTA_MEDIA, .type = escaped("image/png"), .text = escaped("iVBORw0KGgo=") },
        { .kind = DELTA_CALL_END, .call = 0 },
        { .kind = DELTA_FINISH },
    };
    for (size_t i = 0; i < ARRAY_LEN(deltas); i++)
        serial_put(&serial, &deltas[i]);
    EXPECT_SPAN(span_of(log.text, log.len), "call0 end0 media0iVBORw0KGgo= finish0 ");
    serial_fini(&serial);
}

static void what_waits_is_let_go_at_the_end(void)
{
    struct log log = { .len = 0 };
    struct serial serial;
    serial_init(&serial, &chunks, 1 * MIB, log_delta, &log);
    struct delta deltas[] = {
        { .kind = DELTA_CALL, .call = 0 },
        { .kind = DELTA_CALL, .call = 1 },
        { .kind = DELTA_ARGS, .call = 1, .text = escaped("x") },
        { .kind = DELTA_FINISH },
    };
    for (size_t i = 0; i < ARRAY_LEN(deltas); i++)
        serial_put(&serial, &deltas[i]);
    EXPECT_SPAN(span_of(log.text, log.len), "call0 call1 args1x finish0 "); // and none is ended
    serial_fini(&serial);
}

// --- ids and envelopes ---

static struct span id_text(const char *id, char room[128])
{
    struct sink sink = sink_into(room, 128);
    id_put_call(&sink, escaped(id), FAMILY_ANTHROPIC, 7, 0);
    return span_of(room, (size_t)(sink.at - room));
}

static void ids_are_legal_and_stay_apart(void) // C-026
{
    char one[128], two[128], long_id[100];
    EXPECT_SPAN(id_text("toolu_ab-C_9", one), "toolu_ab-C_9");
    struct span cleaned = id_text("functions.Bash:0", one);
    EXPECT(span_starts(cleaned, SPAN("functions_Bash_0_")));
    EXPECT_EQ(cleaned.len, sizeof("functions_Bash_0_") - 1 + 8);
    EXPECT(!span_eq(cleaned, id_text("functions.Bash_0", two)));
    memset(long_id, 'x', sizeof(long_id));
    long_id[99] = '\0';
    EXPECT_EQ(id_text(long_id, one).len, CALL_ID_MAX);
    long_id[98] = 'y';
    EXPECT(!span_eq(span_of(one, CALL_ID_MAX), id_text(long_id, two)));
    EXPECT(span_eq(id_text("", one), id_text("", two))); // made, and the same again
    EXPECT(span_starts(span_of(one, 6), SPAN("toolu_")));
}

static void envelopes_come_back_unchanged_or_not_at_all(void) // C-064, C-150
{
    static const uint8_t key[ENVELOPE_KEY_BYTES] = { 1, 2, 3 }, other_key[ENVELOPE_KEY_BYTES];
    struct pad pad = PAD(pad_room, ROOM);
    struct answer_facts facts = { .model = SPAN("a \"model\""), .key = key };
    struct signature signed_by = { .text = escaped("ENC+/=\\n"),
                                   .id = escaped("rs_1"),
                                   .maker = MAKER_RESPONSES };
    char room[512];
    struct sink sink = sink_into(room, sizeof(room));
    envelope_put(&sink, &signed_by, MAKER_ANTHROPIC, &facts, ENVELOPE_REDACTED);
    struct words sealed = { .raw = span_of(room, (size_t)(sink.at - room)), .escaped = true };
    struct signature back;
    enum envelope_kind kind;
    EXPECT(envelope_read(sealed, MAKER_ANTHROPIC, key, 0, &pad.scratch, &back, &kind));
    EXPECT_EQ(back.maker, MAKER_RESPONSES);
    EXPECT_EQ(kind, ENVELOPE_REDACTED);
    EXPECT(words_eq(back.text, signed_by.text));
    EXPECT(words_eq(back.id, signed_by.id));
    EXPECT(!envelope_read(sealed, MAKER_ANTHROPIC, other_key, 0, &pad.scratch, &back, &kind));
    for (size_t i = 0; i < sealed.raw.len; i++) {
        room[i] ^= 1;
        bool read = envelope_read(sealed, MAKER_ANTHROPIC, key, 0, &pad.scratch, &back, &kind);
        EXPECT(!read || back.maker == MAKER_ANTHROPIC); // no envelope, or none at all
        room[i] ^= 1;
    }
    sink = sink_into(room, sizeof(room));
    envelope_put(&sink, &signed_by, MAKER_RESPONSES, &facts, ENVELOPE_THOUGHT);
    EXPECT_SPAN(span_of(room, (size_t)(sink.at - room)), "ENC+/=\\n"); // its own maker's: as it is
}

static void envelopes_give_a_signature_back_to_its_account_alone(void) // C-150
{
    static const uint8_t key[ENVELOPE_KEY_BYTES] = { 1, 2, 3 };
    struct pad pad = PAD(pad_room, ROOM);
    const uint64_t issuer = UINT64_C(0xfedcba9876543210);
    struct answer_facts facts = { .model = SPAN("m"), .key = key, .account = issuer };
    struct signature signed_by = { .text = escaped("ENC"),
                                   .id = escaped("rs_1"),
                                   .maker = MAKER_ANTHROPIC };
    char room[512];
    struct sink sink = sink_into(room, sizeof(room));
    envelope_put_with(&sink, &signed_by, MAKER_GEMINI, &facts, ENVELOPE_THOUGHT, escaped("hm"),
                      NULL);
    struct words sealed = { .raw = span_of(room, (size_t)(sink.at - room)), .escaped = true };
    struct signature back;
    enum envelope_kind kind;
    EXPECT(envelope_read(sealed, MAKER_GEMINI, key, issuer, &pad.scratch, &back, &kind));
    EXPECT_EQ(back.maker, MAKER_ANTHROPIC);
    EXPECT(words_eq(back.text, signed_by.text));
    const uint64_t others[] = { 0, 1, issuer ^ 1, UINT64_MAX };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        EXPECT(envelope_read(sealed, MAKER_GEMINI, key, others[i], &pad.scratch, &back, &kind));
        EXPECT_EQ(back.maker, MAKER_NONE);
        EXPECT(words_none(back.text));
        EXPECT(words_none(back.id));
        EXPECT(words_eq(back.thought, escaped("hm"))); // what was thought may be told to anybody
    }
    // What is not signed is nobody's.
    signed_by = (struct signature){ .maker = MAKER_CHAT };
    sink = sink_into(room, sizeof(room));
    envelope_put(&sink, &signed_by, MAKER_ANTHROPIC, &facts, ENVELOPE_THOUGHT);
    sealed.raw = span_of(room, (size_t)(sink.at - room));
    EXPECT(envelope_read(sealed, MAKER_ANTHROPIC, key, 1, &pad.scratch, &back, &kind));
    EXPECT_EQ(back.maker, MAKER_CHAT);
}

static void losses_are_told_once_and_bounded(void)
{
    struct losses losses;
    losses_init(&losses, false);
    loss_drop(&losses, "seed");
    loss_drop(&losses, "seed");
    loss_drop(&losses, "a,b \"%s\"", "\r\nx");
    EXPECT_SPAN(losses_dropped(&losses), "seed,a_b____x_");
    for (int i = 0; i < 1000; i++)
        loss_adjust(&losses, "messages[%d].name=x>y", i);
    EXPECT(losses_adjusted(&losses).len <= LOSS_TEXT_MAX);
    EXPECT_EQ(losses.count[LOSS_ADJUST], 1000);
    losses_init(&losses, true);
    loss_adjust(&losses, "temperature=2>1");
    EXPECT(losses.refused);
    EXPECT_SPAN(span_of(losses.path, losses.path_len), "temperature");
}

// --- arguments ---

static void arguments_become_objects(void) // C-023, C-025
{
    struct pad pad = PAD(pad_room, ROOM);
    EXPECT_SPAN(args_object(escaped("{\\\"a\\\":1}"), &pad.scratch), "{\"a\":1}");
    EXPECT_SPAN(args_object(WORDS_NONE, &pad.scratch), "{}");
    EXPECT_SPAN(args_object(escaped("null"), &pad.scratch), "{}");
    EXPECT(args_object(escaped("[1]"), &pad.scratch).ptr == NULL);
    EXPECT(args_object(escaped("{\\\"a\\\":"), &pad.scratch).ptr == NULL);
    char room[64];
    struct sink sink = sink_into(room, sizeof(room));
    EXPECT(!args_put_object(&sink, escaped("{\\\"a"), &pad.scratch));
    EXPECT_SPAN(span_of(room, (size_t)(sink.at - room)), "{\"_raw\":\"{\\\"a\"}");
}

// --- streams ---

#define CHUNK(delta)                                                  \
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":" delta \
    ",\"finish_reason\":null}]}\n\n"
#define LAST(reason)                                                                          \
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason \
    "\"}]}\n\ndata: [DONE]\n\n"
#define ARGS(call, text) \
    CHUNK("{\"tool_calls\":[{\"index\":" call ",\"function\":{\"arguments\":\"" text "\"}}]}")

static char converted[ROOM];

// Converts a stream of Chat for a client of Messages.
static struct span convert(const char *text)
{
    static struct decode decode;
    static struct encode encode;
    struct wire_stream stream;
    struct answer_facts facts = { .model = SPAN("m") };
    struct sink sink = sink_into(converted, sizeof(converted));
    wire_stream_init(&stream, wire_get(WIRE_CHAT), false);
    decode_init(&decode, converter_of(FAMILY_OPENAI), &stream, &chunks, encode_put, &encode);
    encode_init(&encode, converter_of(FAMILY_ANTHROPIC), &facts, &sink, &chunks, 1 * MIB);
    struct span rest = span_str(text);
    struct sse_scan scan = { 0 };
    size_t used;
    while (rest.len > 0 && sse_scan_feed(&scan, rest, &used) == PARSE_DATA) {
        struct wire_event event;
        struct sse_event sse;
        wire_stream_event(&stream, span_upto(rest, used), &event);
        EXPECT(sse_parse(span_upto(rest, used), false, NULL, 0, &sse));
        EXPECT(decode_feed(&decode, &sse, &event));
        rest = span_from(rest, used);
    }
    EXPECT_EQ(wire_stream_end(&stream), WIRE_END_COMPLETE);
    decode_end(&decode);
    struct usage usage = { 0 };
    encode_end(&encode, &usage);
    EXPECT(!encode.failed && !decode.failed);
    encode_fini(&encode);
    decode_fini(&decode);
    return span_of(converted, (size_t)(sink.at - converted));
}

static unsigned times(struct span text, const char *what)
{
    unsigned count = 0;
    const size_t len = strlen(what);
    for (size_t i = 0; i + len <= text.len; i++)
        count += memcmp(text.ptr + i, what, len) == 0;
    return count;
}

static void many_like_events_make_the_same_deltas(void)
{
    static char text[16 * KIB];
    size_t len = 0;
    static const char *const words[] = { "a", "\\\"quoted\\\"", "\\u00e9", "b\\nc" };
    for (unsigned i = 0; i < 40; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, CHUNK("{\"content\":\"%s\"}"),
                                words[i % 4]);
    snprintf(text + len, sizeof(text) - len, LAST("stop"));
    struct span out = convert(text);
    EXPECT_EQ(times(out, "\"text_delta\",\"text\":\""), 40);
    for (unsigned i = 0; i < 4; i++) {
        char delta[64];
        snprintf(delta, sizeof(delta), "\"text_delta\",\"text\":\"%s\"}", words[i]);
        EXPECT_EQ(times(out, delta), 10);
    }
    EXPECT_EQ(times(out, "content_block_start\",\"index\""), 1);
    EXPECT_EQ(times(out, "\"stop_reason\":\"end_turn\""), 1);
}

// The delta of an event is known by the one before, until something else changes what it means.
static void an_event_between_is_not_overlooked(void)
{
    struct span out = convert(CHUNK("{\"content\":\"a\"}") CHUNK("{\"content\":\"b\"}") CHUNK(
        "{\"reasoning_details\":[{\"signature\":\"S\",\"format\":\"anthropic-claude-v1\"}]}")
                                  CHUNK("{\"content\":\"c\"}") LAST("stop"));
    EXPECT_EQ(times(out, "\"signature_delta\""), 1);
    EXPECT_EQ(times(out, "content_block_start\",\"index\""), 3);
}

// Whole answers are often printed on many lines, and what is raw JSON in them may go into an event.
static void an_event_is_one_line(void)
{
    static const char text[] =
        "{\"choices\":[{\"message\":{\"content\":\"a\"},\"logprobs\":{\"content\":"
        "[\r\n {\"token\":\r\"a\\n\"}\n]},\"finish_reason\":\"stop\"}]}";
    static struct completion completion;
    static struct encode encode;
    struct json_slice root;
    struct answer_facts facts = { .model = SPAN("m") };
    struct sink sink = sink_into(converted, sizeof(converted));
    EXPECT(json_check(span_str(text), &root));
    completion_init(&completion, &chunks, 1 * MIB);
    encode_init(&encode, converter_of(FAMILY_OPENAI), &facts, &sink, &chunks, 1 * MIB);
    EXPECT(converter_of(FAMILY_OPENAI)->read_whole(&completion, root));
    completion_play(&completion, encode_put, &encode);
    struct span out = span_of(converted, (size_t)(sink.at - converted));
    EXPECT_EQ(times(out, "{\"content\":[ {\"token\":\"a\\n\"}]"), 1);
    EXPECT_EQ(times(out, "\n"), 2 * times(out, "data: "));
    EXPECT_EQ(times(out, "\r"), 0);
    encode_fini(&encode);
    completion_fini(&completion);
}

// Our own chunk before the finish says the whole thought again, beside its signature.
static void a_thought_is_told_once(void) // C-140, C-075
{
    struct span out = convert(
        CHUNK("{\"reasoning\":\"Hm\",\"reasoning_content\":\"Hm\",\"reasoning_details\":[{\"type\":"
              "\"reasoning.text\",\"text\":\"Hm\"}]}") CHUNK("{\"content\":\"a\"}")
            CHUNK(
                "{\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"Hm\",\"signature\":"
                "\"S\",\"format\":\"anthropic-claude-v1\"}]}") LAST("stop"));
    EXPECT_EQ(times(out, "Hm"), 1);
    EXPECT_EQ(times(out, "\"signature\":\"S\""), 1);
}

static void a_cut_call_is_never_complete(void) // C-043
{
    struct span out =
        convert(CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\","
                      "\"arguments\":\"\"}}]}") LAST("length"));
    EXPECT_EQ(times(out, "partial_json"), 0); // "{}" would make it a whole one
    EXPECT_EQ(times(out, "\"stop_reason\":\"max_tokens\""), 1);
}

static void names_in_pieces_and_repeated(void) // C-028
{
    struct span out =
        convert(CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":"
                      "\"get_\"}}]}") CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":"
                                            "\"weather\"}}]}") ARGS("0", "{}") LAST("tool_calls"));
    EXPECT_EQ(times(out, "\"name\":\"get_weather\""), 1);
    out = convert(CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\","
                        "\"arguments\":\"{\"}}]}")
                      CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":"
                            "\"f\",\"arguments\":\"}\"}}]}") LAST("stop"));
    EXPECT_EQ(times(out, "\"name\":\"f\""), 1);
    EXPECT_EQ(times(out, "\"stop_reason\":\"tool_use\""), 1); // C-032
}

static void one_index_for_all_calls(void) // C-028b
{
    struct span out =
        convert(CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\","
                      "\"arguments\":\"{}\"}}]}")
                    CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"c2\",\"function\":{\"name\":"
                          "\"g\",\"arguments\":\"{}\"}}]}") LAST("tool_calls"));
    EXPECT_EQ(times(out, "\"type\":\"tool_use\""), 2);
    EXPECT_EQ(times(out, "\"id\":\"c2\",\"name\":\"g\""), 1);
}

TEST_MAIN(TEST(words_lose_one_level_of_escapes), TEST(words_are_cut_between_characters),
          TEST(torn_escapes_are_known), TEST(ropes_grow_side_by_side), TEST(memory_has_a_bound),
          TEST(long_texts_need_a_place), TEST(calls_come_one_at_a_time),
          TEST(a_picture_waits_whole), TEST(what_waits_is_let_go_at_the_end),
          TEST(ids_are_legal_and_stay_apart), TEST(envelopes_come_back_unchanged_or_not_at_all),
          TEST(envelopes_give_a_signature_back_to_its_account_alone),
          TEST(losses_are_told_once_and_bounded), TEST(arguments_become_objects),
          TEST(many_like_events_make_the_same_deltas), TEST(an_event_between_is_not_overlooked),
          TEST(a_thought_is_told_once), TEST(an_event_is_one_line),
          TEST(a_cut_call_is_never_complete), TEST(names_in_pieces_and_repeated),
          TEST(one_index_for_all_calls))
