// Free text out of the arguments of the function that stood for its tool (C-040).
#include "convert_run.h"

#include "../../src/convert/unwrap.h"

struct unwrapped {
    char text[1024];
    size_t len;
};

static void take_piece(void *ctx, struct words text)
{
    struct unwrapped *out = ctx;
    char room[600];
    struct sink sink = sink_into(room, sizeof(room));
    struct json_slice value;
    SINK_TEXT(&sink, "\"");
    sink_string(&sink, text);
    SINK_TEXT(&sink, "\"");
    EXPECT(json_check(span_of(room, (size_t)(sink.at - room)), &value)); // each piece is a string
    struct span raw = json_string_raw(value);
    if (out->len + raw.len > sizeof(out->text))
        return;
    memcpy(out->text + out->len, raw.ptr, raw.len);
    out->len += raw.len;
}

static void unwrapping_takes_what_models_write(void) // C-040, C-149
{
    static const struct {
        const char *args, *text;
    } cases[] = {
        { "{\"input\":\"x\"}", "x" },
        { " {\"other\":{\"input\":\"no\"},\"n\":[1,\"}\"],\"input\" : \"yes\",\"z\":1}", "yes" },
        { "{\"patch\":\"p\"}", "p" },
        { "{\"whatever\":\"w\",\"n\":1}", "w" },
        { "{\"n\":1}", "{\\\"n\\\":1}" }, // no text in it: all of it
        { "*** Begin\n", "*** Begin\\n" },
        { "[\"a\"]", "[\\\"a\\\"]" },
        { "{}", "" },
        { "", "" },
        { "{\"input\":\"a\nb\"}", "a\\nb" },              // a bare line end
        { "{\"input\":\"\\q\\u12g\"}", "\\\\q\\\\u12g" }, // escapes that are none
        { "{\"input\":\"\\ud83d\\ude00\"}", "\\ud83d\\ude00" },
        { "{\"input\":\"\xf0\x9f\x98\x80\"}", "\xf0\x9f\x98\x80" },
        { "{\"input\":\"cut", "cut" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t step = 1; step <= 7; step += 2) {
            struct keep keep;
            struct unwrap unwrap;
            struct unwrapped out = { .len = 0 };
            keep_init(&keep, &chunks, RUN_KEPT);
            unwrap_init(&unwrap, &keep, take_piece, &out);
            struct span args = span_str(cases[i].args);
            for (size_t at = 0, len; at < args.len; at += len) {
                len = min_size(step, args.len - at);
                while (at + len < args.len && (args.ptr[at + len] & 0xc0) == 0x80)
                    len++; // no vendor's string ends inside a character
                char room[64];
                struct sink sink = sink_into(room, sizeof(room));
                sink_string(&sink, words_plain(span_of(args.ptr + at, len)));
                unwrap_put(&unwrap, words_escaped(span_of(room, (size_t)(sink.at - room))));
            }
            unwrap_end(&unwrap);
            EXPECT_SPAN(span_of(out.text, out.len), cases[i].text);
            keep_fini(&keep);
            struct unwrapped whole = { .len = 0 };
            struct rope none = { 0 };
            unwrap_whole(words_plain(args), &none, take_piece, &whole);
            EXPECT_SPAN(span_of(whole.text, whole.len), cases[i].text);
        }
}

static void put_piece(void *ctx, struct words text)
{
    sink_string(ctx, text);
}

static void long_texts_flow_through_a_small_room(void)
{
    static char args[16 * KIB], got[16 * KIB];
    struct sink sink = sink_into(args, sizeof(args));
    SINK_TEXT(&sink, "{\"input\":\"");
    for (unsigned i = 0; i < 3000; i++)
        sink_put(&sink, i % 3 == 0 ? SPAN("\xe2\x82\xac") : i % 3 == 1 ? SPAN("\\n") : SPAN("a"));
    SINK_TEXT(&sink, "\"}");
    struct rope none = { 0 };
    struct sink out = sink_into(got, sizeof(got));
    unwrap_whole(words_plain(span_of(args, (size_t)(sink.at - args))), &none, put_piece, &out);
    EXPECT(span_eq(span_of(got, (size_t)(out.at - got)),
                   span_of(args + 10, (size_t)(sink.at - args) - 12)));
}

TEST_MAIN(TEST(unwrapping_takes_what_models_write), TEST(long_texts_flow_through_a_small_room))
