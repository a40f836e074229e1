// What http1.h promises of chunked bodies.
#include "test.h"

#include "penstock/codec/http1.h"

enum { OUT_MAX = 128 * KIB };
static char body[OUT_MAX];

struct decoded {
    enum parse end;
    size_t body_len; // of `body`
    size_t used;     // bytes of the input
};

// Feeds pieces of `step` bytes, each in memory of its own length, until the decoder is done.
static struct decoded decode(const char *text, size_t len, size_t step)
{
    struct chunked dec = { 0 };
    struct decoded got = { PARSE_MORE, 0, 0 };
    while (got.end == PARSE_MORE && got.used < len) {
        const size_t piece = min_size(step, len - got.used);
        char *copy = malloc(piece);
        memcpy(copy, text + got.used, piece);
        struct span in = span_of(copy, piece), out;
        while ((got.end = chunked_feed(&dec, &in, &out)) == PARSE_DATA) {
            EXPECT(out.len > 0);
            // A view of what was taken, perhaps with the chunk's end.
            EXPECT(out.ptr >= copy && out.ptr + out.len <= in.ptr);
            EXPECT(in.ptr - (out.ptr + out.len) <= 2);
            memcpy(body + got.body_len, out.ptr, out.len);
            got.body_len += out.len;
        }
        EXPECT(got.end != PARSE_MORE || in.len == 0);
        got.used += piece - in.len;
        free(copy);
    }
    return got;
}

static struct decoded decode_text(const char *text)
{
    return decode(text, strlen(text), SIZE_MAX);
}

static void a_body_is_joined_from_its_chunks(void)
{
    static const char text[] = "4\r\nWiki\r\n"
                               "00000006\r\npedia \r\n"
                               "E;name=value;other=\"a;b\"\r\nin \r\n\r\nchunks.\r\n"
                               "0\r\n\r\n"
                               "GET /next";
    const struct decoded got = decode_text(text);
    EXPECT_EQ(got.end, PARSE_DONE);
    EXPECT_SPAN(span_of(body, got.body_len), "Wikipedia in \r\n\r\nchunks.");
    EXPECT_SPAN(span_from(span_str(text), got.used), "GET /next"); // belongs to the next message
}

static void digits_come_in_either_case(void)
{
    char text[256];
    const int len = snprintf(text, sizeof(text), "aB\r\n%0171d\r\n0\r\n\r\n", 1);
    const struct decoded got = decode(text, (size_t)len, 7);
    EXPECT_EQ(got.end, PARSE_DONE);
    EXPECT_EQ(got.body_len, 0xab);
}

static void an_empty_body_is_one_last_chunk(void)
{
    const struct decoded got = decode_text("0\r\n\r\n");
    EXPECT_EQ(got.end, PARSE_DONE);
    EXPECT_EQ(got.body_len, 0);
    EXPECT_EQ(decode_text("00000000;ext\r\n\r\n").end, PARSE_DONE);
}

static void trailers_are_checked_and_dropped(void)
{
    static const char text[] =
        "1\r\nx\r\n0\r\nGrpc-Status: 0\r\nContent-Length: 5\r\nE:\r\n\r\nrest";
    const struct decoded got = decode_text(text);
    EXPECT_EQ(got.end, PARSE_DONE);
    EXPECT_SPAN(span_of(body, got.body_len), "x");
    EXPECT_SPAN(span_from(span_str(text), got.used), "rest");
}

static void the_end_and_a_failure_are_final(void)
{
    struct chunked dec = { 0 };
    struct span in = SPAN("0\r\n\r\nabc"), out;
    EXPECT_EQ(chunked_feed(&dec, &in, &out), PARSE_DONE);
    EXPECT_EQ(chunked_feed(&dec, &in, &out), PARSE_DONE);
    EXPECT_SPAN(in, "abc");
    dec = (struct chunked){ 0 };
    in = SPAN("x0\r\n\r\n");
    EXPECT_EQ(chunked_feed(&dec, &in, &out), PARSE_BAD);
    EXPECT_EQ(chunked_feed(&dec, &in, &out), PARSE_BAD);
    in = SPAN_NONE;
    EXPECT_EQ(chunked_feed(&dec, &in, &out), PARSE_BAD);
    dec = (struct chunked){ 0 };
    EXPECT_EQ(chunked_feed(&dec, &in, &out), PARSE_MORE);
}

static const char *const refusals[] = {
    // Sizes that another reader may take for another number.
    "\r\n",
    "0x4\r\nWiki\r\n",
    "+4\r\nWiki\r\n",
    "-4\r\nWiki\r\n",
    " 4\r\nWiki\r\n",
    "4 \r\nWiki\r\n",
    "4\t\r\nWiki\r\n",
    "4 ;a\r\nWiki\r\n",
    "4,4\r\nWiki\r\n",
    "4_0\r\nWiki\r\n",
    "g\r\n",
    ";a\r\n",
    "000000004\r\nWiki\r\n",         // nine digits
    "100000000\r\n",                 // 2^32
    "10000000000000004\r\nWiki\r\n", // 17 digits: 4 with 64 bits
    "ffffffffffffffff\r\n",
    "fffffffffffffff0\r\n",
    "\xd9\xa4\r\nWiki\r\n",
    // Line ends.
    "4\nWiki\r\n0\r\n\r\n",
    "4\rWiki\r\n0\r\n\r\n",
    "4\r\r\nWiki\r\n",
    "4\rXWiki\r\n0\r\n\r\n", // any byte in the place of a LF
    "4\r\nWiki\rX0\r\n\r\n",
    "4\r\nWikiX\n0\r\n\r\n",
    "4;a\nWiki\r\n",
    "4;a\rb\r\nWiki\r\n", // CVE-2023-30589 and its like
    "4;\n\r\nWiki\r\n",
    "4;a\x01\r\nWiki\r\n",
    "4;a\x7f\r\nWiki\r\n",
    "4\r\nWiki\n0\r\n\r\n",
    "4\r\nWiki0\r\n\r\n",
    "4\r\nWikipedia\r\n0\r\n\r\n",
    "4\r\nWiki\r0\r\n\r\n",
    "4\r\nWiki\r\n\r\n0\r\n\r\n",
    "4\r\nWiki\r\n 0\r\n\r\n",
    "0\n\r\n",
    "0\r\n\n",
    "0\r\n\rX",
    // Trailers.
    "0\r\n A: b\r\n\r\n",
    "0\r\n: b\r\n\r\n",
    "0\r\nA : b\r\n\r\n",
    "0\r\nA\r\n\r\n",
    "0\r\nA: b\n\r\n",
    "0\r\nA: b\r\n c\r\n\r\n",
    "0\r\nA: b\x01\r\n\r\n",
    "0\r\nA: b\rc\r\n\r\n",
    "0\r\n\xe9: b\r\n\r\n",
    "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
};

static void what_could_be_read_differently_is_refused(void)
{
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        const struct decoded got = decode_text(refusals[i]);
        if (got.end != PARSE_BAD)
            fprintf(stderr, "refusal %zu was accepted: %s\n", i, refusals[i]);
        EXPECT_EQ(got.end, PARSE_BAD);
    }
    EXPECT_EQ(decode("4;\0\r\nWiki", 9, SIZE_MAX).end, PARSE_BAD);
    EXPECT_EQ(decode("4\0\r\nWiki", 8, SIZE_MAX).end, PARSE_BAD);
    EXPECT_EQ(decode("0\r\nA: \0\r\n\r\n", 11, SIZE_MAX).end, PARSE_BAD);
}

// Every size of piece gives the same body, end and length.
static void chop(const char *text, size_t len)
{
    static char whole_body[OUT_MAX];
    const struct decoded whole = decode(text, len, SIZE_MAX);
    memcpy(whole_body, body, whole.body_len);
    for (size_t step = 1; step < len; step++) {
        const struct decoded got = decode(text, len, step);
        EXPECT_EQ(got.end, whole.end);
        EXPECT_EQ(got.body_len, whole.body_len);
        EXPECT_EQ(got.used, whole.used);
        EXPECT(memcmp(body, whole_body, whole.body_len) == 0);
    }
}

static void cutting_a_body_changes_nothing(void)
{
    static const char text[] = "4;a=\"b\"\r\nWiki\r\nA\r\n0123456789\r\n0\r\nA: b\r\n\r\nGET";
    chop(text, sizeof(text) - 1);
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
        chop(refusals[i], strlen(refusals[i]));
    // Cut off anywhere before its end, it is incomplete, never done.
    const size_t end = sizeof(text) - 1 - strlen("GET");
    for (size_t len = 1; len < end; len++)
        EXPECT_EQ(decode(text, len, SIZE_MAX).end, PARSE_MORE);
    EXPECT_EQ(decode(text, end, SIZE_MAX).end, PARSE_DONE);
}

static void the_largest_chunk_is_counted_down(void)
{
    struct chunked dec = { 0 };
    struct span in = SPAN("ffffffff\r\nab"), out;
    EXPECT_EQ(chunked_feed(&dec, &in, &out), PARSE_DATA);
    EXPECT_SPAN(out, "ab");
    EXPECT(dec.left == UINT32_MAX - 2u);
}

static void extensions_are_bounded_per_chunk_and_message(void)
{
    char line[HTTP_CHUNK_EXT_MAX + 16];
    for (int over = 0; over <= 1; over++) {
        const int len =
            snprintf(line, sizeof(line), "1;%0*d\r\nx\r\n", HTTP_CHUNK_EXT_MAX + over, 0);
        EXPECT_EQ(decode(line, (size_t)len, SIZE_MAX).end, over ? PARSE_BAD : PARSE_MORE);
    }
    // As many full chunks as a message may have, then one byte of extension too many.
    struct chunked dec = { 0 };
    const int len = snprintf(line, sizeof(line), "1;%0*d\r\nx\r\n", HTTP_CHUNK_EXT_MAX, 0);
    struct span in, out;
    for (int i = 0; i < HTTP_CHUNK_EXT_TOTAL / HTTP_CHUNK_EXT_MAX; i++) {
        in = span_of(line, (size_t)len);
        EXPECT_EQ(chunked_feed(&dec, &in, &out), PARSE_DATA);
        EXPECT_EQ(chunked_feed(&dec, &in, &out), PARSE_MORE);
    }
    in = SPAN("1;");
    EXPECT_EQ(chunked_feed(&dec, &in, &out), PARSE_MORE);
    in = SPAN("a");
    EXPECT_EQ(chunked_feed(&dec, &in, &out), PARSE_BAD);
}

static void trailers_are_bounded(void)
{
    static char text[HTTP_TRAILER_MAX + 64];
    static const char start[] = "0\r\nA: ";
    for (int over = 0; over <= 1; over++) {
        // The limit holds the closing empty line too: "A: " + value + CR LF CR LF.
        const size_t value = HTTP_TRAILER_MAX - strlen("A: ") - 4 + (size_t)over;
        memset(text, 'v', sizeof(text));
        memcpy(text, start, sizeof(start) - 1);
        memcpy(text + sizeof(start) - 1 + value, "\r\n\r\n", 4);
        const struct decoded got = decode(text, sizeof(start) - 1 + value + 4, SIZE_MAX);
        EXPECT_EQ(got.end, over ? PARSE_BAD : PARSE_DONE);
    }
}

static void what_is_written_is_read_back(void)
{
    static const struct {
        uint64_t len;
        const char *text;
    } cases[] = { { 1, "1\r\n" },
                  { 9, "9\r\n" },
                  { 15, "f\r\n" },
                  { 16, "10\r\n" },
                  { 0xabcdef, "abcdef\r\n" },
                  { UINT32_MAX, "ffffffff\r\n" },
                  { UINT64_MAX, "ffffffffffffffff\r\n" } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char head[HTTP_CHUNK_HEAD_MAX];
        const size_t len = chunk_head_write(head, cases[i].len);
        EXPECT_SPAN(span_of(head, len), cases[i].text);
        struct chunked dec = { 0 };
        struct span in = span_of(head, len), out;
        const enum parse got = chunked_feed(&dec, &in, &out);
        EXPECT_EQ(got, cases[i].len <= UINT32_MAX ? PARSE_MORE : PARSE_BAD);
        EXPECT(got == PARSE_BAD || dec.left == cases[i].len);
    }
}

TEST_MAIN(TEST(a_body_is_joined_from_its_chunks), TEST(digits_come_in_either_case),
          TEST(an_empty_body_is_one_last_chunk), TEST(trailers_are_checked_and_dropped),
          TEST(the_end_and_a_failure_are_final), TEST(what_could_be_read_differently_is_refused),
          TEST(cutting_a_body_changes_nothing), TEST(the_largest_chunk_is_counted_down),
          TEST(extensions_are_bounded_per_chunk_and_message), TEST(trailers_are_bounded),
          TEST(what_is_written_is_read_back))
