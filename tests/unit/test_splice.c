// What splice.h promises: the original with its edits, without a copy.
#include "test.h"

#include "penstock/codec/splice.h"

static void comes_out(const struct splice *splice, struct span text, const char *want)
{
    char out[512];
    size_t len = 0;
    struct span spans[SPLICE_SPANS_MAX];
    size_t count = splice_spans(splice, text, spans);
    for (size_t i = 0; i < count; i++) {
        EXPECT(spans[i].len > 0);
        memcpy(out + len, spans[i].ptr, spans[i].len);
        len += spans[i].len;
    }
    EXPECT_SPAN(span_of(out, len), want);
    EXPECT_EQ(splice_length(splice, text.len), len);
}

static void edits_are_applied_in_order_of_place(void)
{
    struct splice splice = { 0 };
    struct span text = SPAN("0123456789");
    comes_out(&splice, text, "0123456789");
    splice_add(&splice, 8, 2, SPAN("END"));
    splice_add(&splice, 0, 0, SPAN("<"));
    splice_add(&splice, 3, 2, SPAN_NONE);
    splice_add(&splice, 5, 0, SPAN("+"));
    splice_add(&splice, 5, 1, SPAN("five"));
    splice_add(&splice, 5, 0, SPAN("-")); // an insertion comes before the replacement
    splice_add(&splice, 7, 0, SPAN_NONE); // changes nothing
    EXPECT_EQ(splice.count, 6);
    comes_out(&splice, text, "<012+-five67END");
}

static void ends_and_empty_texts_are_places_too(void)
{
    struct splice splice = { 0 };
    splice_add(&splice, 0, 0, SPAN("a"));
    splice_add(&splice, 0, 0, SPAN("b"));
    comes_out(&splice, SPAN(""), "ab");
    splice = (struct splice){ 0 };
    splice_add(&splice, 3, 0, SPAN("!"));
    splice_add(&splice, 0, 3, SPAN_NONE);
    comes_out(&splice, SPAN("abc"), "!");
}

static void untouched_bytes_are_not_copied(void)
{
    struct splice splice = { 0 };
    struct span text = SPAN("abcdef"), with = SPAN("X");
    splice_add(&splice, 2, 1, with);
    struct span spans[SPLICE_SPANS_MAX];
    EXPECT_EQ(splice_spans(&splice, text, spans), 3);
    EXPECT(spans[0].ptr == text.ptr);
    EXPECT(spans[1].ptr == with.ptr);
    EXPECT(spans[2].ptr == text.ptr + 3);
}

// Every subset of five members, removed from several spellings of one object.
static void members_leave_with_their_commas(void)
{
    static const char *const bodies[] = {
        "{\"a\":1,\"b\":[2],\"c\":\"3\",\"d\":null,\"e\":{}}",
        " { \"a\" : 1 ,\n \"b\":[2] , \"c\":\"3\",\"d\" : null , \"e\":{} } ",
        "{\"x\":0,\"a\":1,\"b\":[2],\"c\":\"3\",\"d\":null,\"y\":9,\"e\":{}}",
    };
    for (size_t b = 0; b < ARRAY_LEN(bodies); b++) {
        struct span text = span_str(bodies[b]);
        for (unsigned mask = 0; mask < 32; mask++) {
            struct json_member items[5];
            static const char *const names[] = { "a", "b", "c", "d", "e" };
            for (size_t i = 0; i < 5; i++)
                items[i] = (struct json_member){ .name = span_str(names[i]), .decides = true };
            struct json_members members;
            struct err err;
            json_members_init(&members, items, 5);
            EXPECT_EQ(json_members_feed(&members, text, true, SIZE_MAX, &err), PARSE_DONE);
            struct json_member *removed[5];
            size_t count = 0;
            for (size_t i = 0; i < 5; i++)
                if ((mask >> i & 1) != 0)
                    removed[count++] = &items[i];
            struct splice splice = { 0 };
            splice_remove_members(&splice, removed, count);

            char out[256];
            size_t len = 0;
            struct splice_iter iter = splice_begin(&splice, text);
            struct span span;
            while (splice_next(&iter, &span)) {
                memcpy(out + len, span.ptr, span.len);
                len += span.len;
            }
            struct json_slice left;
            EXPECT(json_check(span_of(out, len), &left));
            for (size_t i = 0; i < 5; i++)
                EXPECT_EQ(json_get(left, span_str(names[i])).kind != JK_NONE, !(mask >> i & 1));
            EXPECT_EQ(json_get(left, SPAN("x")).kind != JK_NONE, b == 2);
            EXPECT_EQ(json_get(left, SPAN("y")).kind != JK_NONE, b == 2);
        }
    }
}

TEST_MAIN(TEST(edits_are_applied_in_order_of_place), TEST(ends_and_empty_texts_are_places_too),
          TEST(untouched_bytes_are_not_copied), TEST(members_leave_with_their_commas))
