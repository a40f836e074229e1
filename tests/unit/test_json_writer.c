// What json_writer.h promises: JSON or an overflow, never something in between.
#include "test.h"

#include "penstock/codec/json_writer.h"

static void write_sample(struct jsonw *out)
{
    jsonw_object(out);
    jsonw_member(out, SPAN("text"), SPAN("a\"b\\c\n\r\t\b\f\x01\x1f/\x7f"));
    jsonw_key(out, SPAN("k\"ey"));
    jsonw_array(out);
    jsonw_u64(out, UINT64_MAX);
    jsonw_i64(out, INT64_MIN);
    jsonw_i64(out, 7);
    jsonw_bool(out, true);
    jsonw_bool(out, false);
    jsonw_null(out);
    jsonw_array(out);
    jsonw_array_end(out);
    jsonw_object(out);
    jsonw_object_end(out);
    jsonw_array_end(out);
    jsonw_key(out, SPAN("raw"));
    jsonw_raw(out, SPAN("{\"x\":1}"));
    jsonw_key(out, SPAN("pieces"));
    jsonw_string_begin(out);
    jsonw_string_more(out, SPAN("one\n"));
    jsonw_string_more(out, SPAN_NONE);
    jsonw_string_more(out, SPAN("two"));
    jsonw_string_end(out);
    jsonw_member_u64(out, SPAN("n"), 0);
    jsonw_member_null(out, SPAN("z"));
    jsonw_object_end(out);
}

static const char sample[] =
    "{\"text\":\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u001f/\x7f\",\"k\\\"ey\":[18446744073709551615,"
    "-9223372036854775808,7,true,false,null,[],{}],\"raw\":{\"x\":1},\"pieces\":\"one\\ntwo\","
    "\"n\":0,\"z\":null}";

static void a_text_is_built(void)
{
    char buf[512];
    struct jsonw out;
    jsonw_init(&out, buf, sizeof(buf));
    write_sample(&out);
    EXPECT_SPAN(jsonw_done(&out), sample);
    struct json_slice root;
    EXPECT(json_check(jsonw_done(&out), &root));
}

static void what_does_not_fit_is_a_flag(void)
{
    for (size_t cap = 0; cap <= sizeof(sample); cap++) {
        char *buf = malloc(cap + 1); // its own allocation: a sanitizer sees one byte too many
        buf[cap] = '!';
        struct jsonw out;
        jsonw_init(&out, buf, cap);
        write_sample(&out);
        EXPECT_EQ(out.overflow, cap < sizeof(sample) - 1);
        EXPECT_EQ(jsonw_done(&out).len, cap < sizeof(sample) - 1 ? 0 : sizeof(sample) - 1);
        EXPECT_EQ(buf[cap], '!');
        free(buf);
    }
}

static void strings_come_out_as_valid_utf8(void)
{
    char buf[128];
    struct jsonw out;
    jsonw_init(&out, buf, sizeof(buf));
    jsonw_string(&out, SPAN("Gr\xc3\xbc\xc3\x9f"
                            "e \xf0\x9f\x8c\x8d \xff\xe4\xb8."));
    EXPECT_SPAN(jsonw_done(&out), "\"Gr\xc3\xbc\xc3\x9f"
                                  "e \xf0\x9f\x8c\x8d "
                                  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd.\"");
}

static void every_byte_survives_a_round_trip(void)
{
    char text[128], buf[1024], back[256];
    for (int i = 0; i < 128; i++)
        text[i] = (char)i;
    struct jsonw out;
    jsonw_init(&out, buf, sizeof(buf));
    jsonw_string(&out, span_of(text, 128));
    struct json_slice value;
    EXPECT(json_check(jsonw_done(&out), &value));
    bool cut;
    size_t len = json_string_decode(value, back, sizeof(back), &cut);
    EXPECT(!cut);
    EXPECT(span_eq(span_of(back, len), span_of(text, 128)));
}

// The quick way for plain strings and the careful one agree, whichever byte stands where, and write
// nothing past the end.
static void a_string_alone_is_as_in_a_text(void)
{
    char text[24], want_buf[200], got_buf[200];
    for (size_t len = 0; len <= sizeof(text); len++) {
        for (size_t at = 0; at < (len > 0 ? len : 1); at++) {
            for (int byte = 0; byte < 256; byte++) {
                memset(text, 'p', sizeof(text));
                if (len > 0)
                    text[at] = (char)byte;
                struct jsonw out;
                jsonw_init(&out, want_buf, sizeof(want_buf));
                jsonw_string(&out, span_of(text, len));
                const struct span want = jsonw_done(&out);
                memset(got_buf, '#', sizeof(got_buf));
                struct put put = put_into(got_buf, want.len);
                json_put_string(&put, span_of(text, len));
                EXPECT(!put.full);
                EXPECT(span_eq(put_done(&put), want));
                EXPECT_EQ(got_buf[want.len], '#');
                put = put_into(got_buf, want.len - 1);
                json_put_string(&put, span_of(text, len));
                EXPECT(put.full);
            }
        }
    }
}

TEST_MAIN(TEST(a_string_alone_is_as_in_a_text), TEST(a_text_is_built),
          TEST(what_does_not_fit_is_a_flag), TEST(strings_come_out_as_valid_utf8),
          TEST(every_byte_survives_a_round_trip))
