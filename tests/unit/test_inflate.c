// What inflate.h promises: the body, whatever the pieces; bounds that bombs run into; an end that
// is one.
#include "test.h"

#include "penstock/codec/inflate.h"

#include <dlfcn.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

// The libraries' functions as the codec calls them, which can be made to fail.
static enum { LIBRARY_WORKS, LIBRARY_HAS_NO_MEMORY, LIBRARY_STANDS_STILL } library;

ZSTD_DStream *ZSTD_createDStream(void)
{
    ZSTD_DStream *(*real)(void) = (ZSTD_DStream * (*)(void)) dlsym(RTLD_NEXT, "ZSTD_createDStream");
    return library == LIBRARY_WORKS ? real() : NULL;
}

size_t ZSTD_decompressStream(ZSTD_DStream *stream, ZSTD_outBuffer *out, ZSTD_inBuffer *in)
{
    size_t (*real)(ZSTD_DStream *, ZSTD_outBuffer *, ZSTD_inBuffer *) =
        (size_t(*)(ZSTD_DStream *, ZSTD_outBuffer *, ZSTD_inBuffer *))dlsym(
            RTLD_NEXT, "ZSTD_decompressStream");
    if (library == LIBRARY_WORKS)
        return real(stream, out, in);
    return library == LIBRARY_STANDS_STILL ? 1 : (size_t)-ZSTD_error_memory_allocation;
}

int inflateInit2_(z_stream *stream, int bits, const char *version, int size)
{
    int (*real)(z_stream *, int, const char *, int) =
        (int (*)(z_stream *, int, const char *, int))dlsym(RTLD_NEXT, "inflateInit2_");
    return library == LIBRARY_WORKS ? real(stream, bits, version, size) : Z_MEM_ERROR;
}

int inflate(z_stream *stream, int flush)
{
    int (*real)(z_stream *, int) = (int (*)(z_stream *, int))dlsym(RTLD_NEXT, "inflate");
    if (library == LIBRARY_WORKS)
        return real(stream, flush);
    return library == LIBRARY_STANDS_STILL ? Z_BUF_ERROR : Z_MEM_ERROR;
}

enum { TEXT_LEN = 300 * KIB, PACKED_MAX = 512 * KIB, BODY_MAX = 4 * MIB };
static const uint64_t no_limit = UINT64_MAX - 1;

static char text[TEXT_LEN];
static char body[BODY_MAX];

// Words without much order, so that the packed form has some length too.
static void text_make(void)
{
    uint32_t state = 7;
    for (size_t i = 0; i < TEXT_LEN; i++) {
        state = state * 1103515245 + 12345;
        text[i] = (char)("etaoinshrdlu {}\":,"[state >> 16 & 15]);
    }
}

static size_t gzip_pack(char *out, const void *in, size_t len)
{
    z_stream stream = { 0 };
    EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)in;
    stream.avail_in = (uInt)len;
    stream.next_out = (Bytef *)out;
    stream.avail_out = PACKED_MAX;
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    EXPECT_EQ(deflateEnd(&stream), Z_OK);
    return PACKED_MAX - stream.avail_out;
}

static size_t zstd_pack(char *out, const void *in, size_t len)
{
    const size_t got = ZSTD_compress(out, PACKED_MAX, in, len, 3);
    EXPECT(!ZSTD_isError(got));
    return got;
}

static size_t pack(enum coding coding, char *out, const void *in, size_t len)
{
    return coding == CODING_GZIP ? gzip_pack(out, in, len) : zstd_pack(out, in, len);
}

struct unpacked {
    unsigned code; // of the error, or ERR_NONE
    size_t len;    // of `body`
    unsigned calls;
};

struct pieces {
    size_t in, out; // bytes a call
    uint64_t limit;
    bool is_answer;
};

static const struct pieces whole = { SIZE_MAX, BODY_MAX, UINT64_MAX - 1, false };

// Feeds `in` by pieces, each in memory of its own length, and asks for the end.
static struct unpacked unpack(enum coding coding, struct span in, struct pieces pieces)
{
    struct inflate inf;
    struct unpacked got = { 0 };
    struct err err = inflate_open(&inf, coding, pieces.is_answer, pieces.limit);
    EXPECT(!failed(err));
    while (in.len > 0 && !failed(err)) {
        const size_t len = min_size(in.len, pieces.in);
        char *copy = malloc(len);
        memcpy(copy, in.ptr, len);
        in = span_from(in, len);
        struct span piece = span_of(copy, len);
        for (;;) {
            size_t made;
            const size_t left = piece.len, room = min_size(pieces.out, BODY_MAX - got.len);
            const enum parse said = inflate_feed(&inf, &piece, body + got.len, room, &made);
            err = inf.err;
            got.calls++;
            EXPECT(made <= room && made <= INFLATE_STEP && left - piece.len <= INFLATE_STEP);
            got.len += made;
            EXPECT(said != PARSE_BAD || (failed(err) && made == 0));
            EXPECT(said != PARSE_MORE || piece.len == 0);
            EXPECT(inflate_memory(&inf) <= INFLATE_MEMORY_MAX);
            if (said != PARSE_DATA)
                break;
        }
        free(copy);
    }
    EXPECT(!failed(err) || inflate_end(&inf).code == err.code);
    got.code = inflate_end(&inf).code;
    inflate_close(&inf);
    return got;
}

#define FOR_BOTH(coding)                                          \
    for (enum coding coding = CODING_GZIP; coding <= CODING_ZSTD; \
         coding = (enum coding)(coding + 1))

static char packed[PACKED_MAX];

static void a_body_comes_out_as_it_went_in(void)
{
    text_make();
    FOR_BOTH(coding)
    {
        const size_t len = pack(coding, packed, text, TEXT_LEN);
        const struct unpacked got = unpack(coding, span_of(packed, len), whole);
        EXPECT_EQ(got.code, ERR_NONE);
        EXPECT_EQ(got.len, TEXT_LEN);
        EXPECT(memcmp(body, text, TEXT_LEN) == 0);
        EXPECT(got.calls >= 2); // 300 KB are more than one call may write
        // A body of no bytes is one too.
        EXPECT_EQ(unpack(coding, span_of(packed, pack(coding, packed, "", 0)), whole).code,
                  ERR_NONE);
    }
}

static void cutting_the_input_or_the_output_changes_nothing(void)
{
    text_make();
    FOR_BOTH(coding)
    {
        size_t len = pack(coding, packed, text, 2000);
        for (size_t step = 1; step <= len; step++) {
            const struct pieces pieces = { step, 1 + step % 97, no_limit, false };
            const struct unpacked got = unpack(coding, span_of(packed, len), pieces);
            EXPECT_EQ(got.code, ERR_NONE);
            EXPECT_EQ(got.len, 2000);
            EXPECT(memcmp(body, text, 2000) == 0);
        }
        len = pack(coding, packed, text, TEXT_LEN);
        static const struct pieces others[] = { { 1, 1000, UINT64_MAX - 1, false },
                                                { SIZE_MAX, 1, UINT64_MAX - 1, false },
                                                { 4096, 16384, UINT64_MAX - 1, true } };
        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
            const struct unpacked got = unpack(coding, span_of(packed, len), others[i]);
            EXPECT_EQ(got.code, ERR_NONE);
            EXPECT_EQ(got.len, TEXT_LEN);
            EXPECT(memcmp(body, text, TEXT_LEN) == 0);
        }
    }
}

static void an_early_end_is_an_error(void)
{
    text_make();
    FOR_BOTH(coding)
    {
        const size_t len = pack(coding, packed, text, 2000);
        for (size_t cut = 0; cut < len; cut++) {
            struct pieces pieces = whole;
            EXPECT_EQ(unpack(coding, span_of(packed, cut), pieces).code, ERR_BODY_DECODE);
            pieces.is_answer = true;
            EXPECT_EQ(unpack(coding, span_of(packed, cut), pieces).code, ERR_UPSTREAM_TRUNCATED);
        }
    }
}

static void a_damaged_body_is_never_whole(void)
{
    text_make();
    static char damaged[PACKED_MAX];
    FOR_BOTH(coding)
    {
        // With a checksum of the content, as gzip always has and zstd when told to.
        size_t len = pack(coding, packed, text, 2000);
        if (coding == CODING_ZSTD) {
            ZSTD_CCtx *ctx = ZSTD_createCCtx();
            ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
            len = ZSTD_compress2(ctx, packed, PACKED_MAX, text, 2000);
            ZSTD_freeCCtx(ctx);
        }
        unsigned whole_ones = 0;
        for (size_t bit = 0; bit < 8 * len; bit++) {
            memcpy(damaged, packed, len);
            damaged[bit / 8] ^= (char)(1 << bit % 8);
            const struct unpacked got = unpack(coding, span_of(damaged, len), whole);
            // Some bits say nothing about the content: gzip's time and system, for instance.
            if (got.code == ERR_NONE) {
                whole_ones++;
                EXPECT_EQ(got.len, 2000);
                EXPECT(memcmp(body, text, 2000) == 0);
            }
        }
        EXPECT(whole_ones < 64);
    }
}

static void other_formats_are_refused(void)
{
    text_make();
    FOR_BOTH(coding)
    {
        EXPECT_EQ(unpack(coding, SPAN("{\"model\":\"x\"}"), whole).code, ERR_BODY_DECODE);
        const enum coding other = coding == CODING_GZIP ? CODING_ZSTD : CODING_GZIP;
        size_t len = pack(other, packed, text, 100);
        EXPECT_EQ(unpack(coding, span_of(packed, len), whole).code, ERR_BODY_DECODE);
        struct pieces answer = whole;
        answer.is_answer = true;
        EXPECT_EQ(unpack(coding, span_of(packed, len), answer).code, ERR_UPSTREAM_BODY);
    }
    // A zlib wrapper, and bare deflate.
    uLongf len = PACKED_MAX;
    EXPECT_EQ(compress((Bytef *)packed, &len, (const Bytef *)text, 100), Z_OK);
    EXPECT_EQ(unpack(CODING_GZIP, span_of(packed, len), whole).code, ERR_BODY_DECODE);
    EXPECT_EQ(unpack(CODING_GZIP, span_of(packed + 2, len - 2), whole).code, ERR_BODY_DECODE);
}

// Their magic numbers are 0xfd2fb51e and 0xfd2fb522 to 27, least byte first.
static void forerunners_of_zstd_are_refused_by_their_first_byte(void)
{
    for (int first = 0; first < 256; first++) {
        struct inflate inf;
        struct err err = inflate_open(&inf, CODING_ZSTD, false, no_limit);
        EXPECT(!failed(err));
        const char byte = (char)first;
        struct span in = span_of(&byte, 1);
        char room[16];
        size_t made;
        enum parse got;
        while ((got = inflate_feed(&inf, &in, room, sizeof(room), &made)) == PARSE_DATA)
            EXPECT_EQ(made, 0);
        const bool known = first == 0x28 || (first >= 0x50 && first <= 0x5f);
        EXPECT_EQ(got, known ? PARSE_MORE : PARSE_BAD);
        inflate_close(&inf);
    }
}

static void members_in_a_row_are_one_body(void)
{
    FOR_BOTH(coding)
    {
        size_t len = pack(coding, packed, "one ", 4);
        len += pack(coding, packed + len, "two", 3);
        for (size_t step = 1; step <= len; step++) {
            const struct pieces pieces = { step, 2, no_limit, false };
            const struct unpacked got = unpack(coding, span_of(packed, len), pieces);
            EXPECT_EQ(got.code, ERR_NONE);
            EXPECT_SPAN(span_of(body, got.len), "one two");
        }
        packed[len] = 'x'; // behind the end there may be another member, and nothing else
        EXPECT_EQ(unpack(coding, span_of(packed, len + 1), whole).code, ERR_BODY_DECODE);
        // Half a second member is no end.
        EXPECT_EQ(unpack(coding, span_of(packed, len - 1), whole).code, ERR_BODY_DECODE);

        const size_t one = pack(coding, packed, "x", 1);
        for (size_t i = 1; i <= INFLATE_MEMBERS_MAX; i++)
            memcpy(packed + i * one, packed, one);
        const size_t most = INFLATE_MEMBERS_MAX * one;
        EXPECT_EQ(unpack(coding, span_of(packed, most), whole).len, INFLATE_MEMBERS_MAX);
        EXPECT_EQ(unpack(coding, span_of(packed, most), whole).code, ERR_NONE);
        EXPECT_EQ(unpack(coding, span_of(packed, most + one), whole).code, ERR_BODY_DECODE);
    }
    // A skippable frame has no content; alone, it is no body that was cut.
    static const char skippable[] = "\x50\x2a\x4d\x18\x03\0\0\0abc";
    const struct unpacked got = unpack(CODING_ZSTD, span_of(skippable, 11), whole);
    EXPECT_EQ(got.code, ERR_NONE);
    EXPECT_EQ(got.len, 0);
}

static void a_frame_is_as_long_as_it_says(void)
{
    // A header that promises 16,670 bytes and one empty last block.
    static const char empty[] = "\x28\xb5\x2f\xfd\x60\x1e\x40\x01\0";
    for (size_t step = 1; step <= 10; step++) {
        const struct pieces pieces = { step, BODY_MAX, no_limit, false };
        EXPECT_EQ(unpack(CODING_ZSTD, span_of(empty, 10), pieces).code, ERR_BODY_DECODE);
    }
}

static void a_call_takes_its_share_even_if_nothing_comes_out(void)
{
    // A skippable frame of more bytes than one call may take; unpack() looks at every call.
    enum { SKIPPED = INFLATE_STEP + 100 * KIB };
    memset(packed, 0, 8 + SKIPPED);
    memcpy(packed, "\x50\x2a\x4d\x18", 4);
    const uint32_t len = SKIPPED;
    memcpy(packed + 4, &len, 4); // the format's byte order is this machine's
    const struct unpacked got = unpack(CODING_ZSTD, span_of(packed, 8 + SKIPPED), whole);
    EXPECT_EQ(got.code, ERR_NONE);
    EXPECT_EQ(got.len, 0);
    EXPECT(got.calls >= 2);
}

static void a_body_may_be_as_large_as_its_limit(void)
{
    text_make();
    FOR_BOTH(coding)
    {
        const size_t len = pack(coding, packed, text, TEXT_LEN);
        struct pieces pieces = { 1000, 5000, TEXT_LEN, false };
        EXPECT_EQ(unpack(coding, span_of(packed, len), pieces).code, ERR_NONE);
        pieces.limit = TEXT_LEN - 1;
        struct unpacked got = unpack(coding, span_of(packed, len), pieces);
        EXPECT_EQ(got.code, ERR_BODY_TOO_LARGE);
        EXPECT(got.len <= TEXT_LEN - 1); // what came before the error was within the limit
        pieces.is_answer = true;
        EXPECT_EQ(unpack(coding, span_of(packed, len), pieces).code, ERR_UPSTREAM_TOO_LARGE);
        pieces = (struct pieces){ SIZE_MAX, BODY_MAX, 0, false };
        EXPECT_EQ(unpack(coding, span_of(packed, len), pieces).code, ERR_BODY_TOO_LARGE);
        EXPECT_EQ(unpack(coding, span_of(packed, pack(coding, packed, "", 0)), pieces).code,
                  ERR_NONE);
    }
}

static void bombs_are_cut_by_their_ratio(void)
{
    enum { ZEROS = 32 * MIB };
    char *zeros = calloc(1, ZEROS);
    FOR_BOTH(coding)
    {
        const size_t len = pack(coding, packed, zeros, ZEROS);
        EXPECT(len < ZEROS / 500);
        const struct unpacked got = unpack(coding, span_of(packed, len), whole);
        EXPECT_EQ(got.code, ERR_BODY_TOO_LARGE);
        EXPECT(got.len <= INFLATE_RATIO_FREE + len * INFLATE_RATIO_MAX);
        EXPECT(got.len < ZEROS / 2);
        // What is small enough may be as dense as it likes.
        const size_t little = pack(coding, packed, zeros, INFLATE_RATIO_FREE);
        EXPECT_EQ(unpack(coding, span_of(packed, little), whole).code, ERR_NONE);
    }
    free(zeros);
}

static void a_window_has_a_bound_in_small_frames_too(void)
{
    // Window of 16 MB, four bytes, which are all there in one raw block.
    static const char frame[] = "\x28\xb5\x2f\xfd\x80\x70\4\0\0\0\x21\0\0text";
    for (size_t step = 1; step <= 17; step++) {
        const struct pieces pieces = { step, BODY_MAX, no_limit, false };
        EXPECT_EQ(unpack(CODING_ZSTD, span_of(frame, 17), pieces).code, ERR_BODY_DECODE);
    }
    char allowed[17]; // and of 8 MB
    memcpy(allowed, frame, 17);
    allowed[5] = 0x68;
    EXPECT_EQ(unpack(CODING_ZSTD, span_of(allowed, 17), whole).code, ERR_NONE);
    EXPECT_SPAN(span_of(body, 4), "text");
}

static void a_window_has_a_bound(void)
{
    enum { LEN = 9 * MIB };
    char *zeros = calloc(1, LEN);
    for (int log = INFLATE_WINDOW_LOG_MAX; log <= INFLATE_WINDOW_LOG_MAX + 1; log++) {
        ZSTD_CCtx *ctx = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, log);
        ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, 0);
        const size_t len = ZSTD_compress2(ctx, packed, PACKED_MAX, zeros, LEN);
        EXPECT(!ZSTD_isError(len));
        ZSTD_freeCCtx(ctx);
        // The largest allowed window goes on until the ratio ends it; a larger one does not start.
        const struct unpacked got = unpack(CODING_ZSTD, span_of(packed, len), whole);
        EXPECT_EQ(got.code, log == INFLATE_WINDOW_LOG_MAX ? ERR_BODY_TOO_LARGE : ERR_BODY_DECODE);
        EXPECT_EQ(got.len > 0, log == INFLATE_WINDOW_LOG_MAX);
    }
    free(zeros);
}

static void a_failure_is_final_and_a_close_harmless(void)
{
    struct inflate inf = { 0 };
    inflate_close(&inf); // never opened
    FOR_BOTH(coding)
    {
        struct err err = inflate_open(&inf, coding, false, 10);
        EXPECT(!failed(err));
        struct span in = SPAN("no magic");
        char room[16];
        size_t made;
        EXPECT_EQ(inflate_feed(&inf, &in, room, sizeof(room), &made), PARSE_BAD);
        const size_t len = pack(coding, packed, "x", 1);
        in = span_of(packed, len);
        EXPECT_EQ(inflate_feed(&inf, &in, room, sizeof(room), &made), PARSE_BAD);
        EXPECT_EQ(inf.err.code, ERR_BODY_DECODE);
        EXPECT_EQ(in.len, len);
        inflate_close(&inf);
        EXPECT_EQ(inflate_memory(&inf), 0);
        inflate_close(&inf);
    }
}

static void a_failing_library_is_not_the_clients_fault(void)
{
    FOR_BOTH(coding)
    {
        struct inflate inf;
        library = LIBRARY_HAS_NO_MEMORY;
        EXPECT_EQ(inflate_open(&inf, coding, false, 10).code, ERR_NO_MEMORY);
        EXPECT_EQ(inflate_memory(&inf), 0);
        library = LIBRARY_WORKS;
        struct err err = inflate_open(&inf, coding, false, 10);
        EXPECT(!failed(err));
        library = LIBRARY_HAS_NO_MEMORY;
        struct span in = span_of(packed, pack(coding, packed, "x", 1));
        char room[16];
        size_t made;
        EXPECT_EQ(inflate_feed(&inf, &in, room, sizeof(room), &made), PARSE_BAD);
        EXPECT_EQ(inf.err.code, ERR_NO_MEMORY);
        library = LIBRARY_WORKS;
        inflate_close(&inf);
        // One that neither takes nor gives must not keep its caller in a loop.
        EXPECT(!failed(inflate_open(&inf, coding, false, 10)));
        library = LIBRARY_STANDS_STILL;
        EXPECT_EQ(inflate_feed(&inf, &in, room, sizeof(room), &made), PARSE_BAD);
        library = LIBRARY_WORKS;
        inflate_close(&inf);
    }
}

static struct err find(const char *fields, bool is_answer, enum coding *coding)
{
    static struct http_head head;
    char head_text[256];
    size_t used;
    struct err err = OK;
    snprintf(head_text, sizeof(head_text), "%s\r\n%s\r\n",
             is_answer ? "HTTP/1.1 200 OK" : "POST / HTTP/1.1\r\nHost: a", fields);
    const struct span in = span_str(head_text);
    EXPECT_EQ(is_answer ? http_response_parse(&head, in, HTTP_HEAD_MAX, HTTP_POST, &used, &err)
                        : http_request_parse(&head, in, HTTP_HEAD_MAX, &used, &err),
              PARSE_DONE);
    return coding_find(&head, coding);
}

static void one_layer_is_found_in_a_head(void)
{
    static const struct {
        const char *fields;
        enum coding coding;
    } cases[] = {
        { "", CODING_IDENTITY },
        { "Content-Encoding:\r\n", CODING_IDENTITY },
        { "Content-Encoding: identity\r\n", CODING_IDENTITY },
        { "Content-Encoding: gzip\r\n", CODING_GZIP },
        { "Content-Encoding: X-GZIP\r\n", CODING_GZIP },
        { "content-encoding: Zstd\r\n", CODING_ZSTD },
        { "Content-Encoding: identity, gzip ,identity\r\n", CODING_GZIP },
        { "Content-Encoding: identity\r\nContent-Encoding: zstd\r\n", CODING_ZSTD },
    };
    static const char *const refused[] = {
        "Content-Encoding: gzip, gzip\r\n",
        "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n",
        "Content-Encoding: zstd, gzip\r\n",
        "Content-Encoding: gzip\r\nA: b\r\nContent-Encoding: identity, zstd\r\n",
        "Content-Encoding: deflate\r\n",
        "Content-Encoding: br\r\n",
        "Content-Encoding: gzip;q=1\r\n",
        "Content-Encoding: gzip zstd\r\n",
        "Content-Encoding: \"gzip\"\r\n",
    };
    enum coding coding;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EXPECT(!failed(find(cases[i].fields, i % 2 == 0, &coding)));
        EXPECT_EQ(coding, cases[i].coding);
    }
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        EXPECT_EQ(find(refused[i], false, &coding).code, ERR_BODY_ENCODING);
        EXPECT_EQ(find(refused[i], true, &coding).code, ERR_UPSTREAM_ENCODING);
    }
}

TEST_MAIN(TEST(a_body_comes_out_as_it_went_in),
          TEST(cutting_the_input_or_the_output_changes_nothing), TEST(an_early_end_is_an_error),
          TEST(a_damaged_body_is_never_whole), TEST(other_formats_are_refused),
          TEST(forerunners_of_zstd_are_refused_by_their_first_byte),
          TEST(members_in_a_row_are_one_body), TEST(a_frame_is_as_long_as_it_says),
          TEST(a_call_takes_its_share_even_if_nothing_comes_out),
          TEST(a_body_may_be_as_large_as_its_limit), TEST(bombs_are_cut_by_their_ratio),
          TEST(a_window_has_a_bound_in_small_frames_too), TEST(a_window_has_a_bound),
          TEST(a_failure_is_final_and_a_close_harmless),
          TEST(a_failing_library_is_not_the_clients_fault), TEST(one_layer_is_found_in_a_head))
