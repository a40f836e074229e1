// Compressed bodies: pieces of any size give the same; no call does more than its share and nothing
// outgrows the bounds; what zlib or zstd decode in one go, without us, is what came out of here.
#include "penstock/base/check.h"
#include "penstock/codec/inflate.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 * KIB, BODY_MAX = 2 * MIB };

struct unpacked {
    struct err err;
    size_t len;
    char body[BODY_MAX];
};

// Pieces of 1 to 64 bytes in and of any size out as `seed` has it, or all at once with seed 0.
static void unpack(struct unpacked *out, enum coding coding, struct span in, uint32_t seed)
{
    struct inflate inf;
    out->len = 0;
    out->err = inflate_open(&inf, coding, false, BODY_MAX);
    assert(!failed(out->err));
    while (in.len > 0 && !failed(out->err)) {
        const size_t len = seed == 0 ? in.len : min_size(in.len, 1 + (seed >> 8) % 64);
        char *copy = malloc(len);
        memcpy(copy, in.ptr, len);
        in = span_from(in, len);
        struct span piece = span_of(copy, len);
        enum parse said = PARSE_DATA;
        while (said == PARSE_DATA) {
            size_t room = seed == 0 ? BODY_MAX : 1 + (seed >> 16) % 4096;
            seed = seed == 0 ? 0 : (seed * 1103515245 + 12345) | 1;
            room = min_size(room, BODY_MAX - out->len);
            char beyond; // where the body is at its limit, one byte tells that there is more
            char *to = room > 0 ? out->body + out->len : &beyond;
            const size_t before = piece.len;
            size_t made;
            said = inflate_feed(&inf, &piece, to, room > 0 ? room : 1, &made);
            out->err = inf.err;
            assert(made <= room);
            assert(made <= INFLATE_STEP);
            assert(before >= piece.len && before - piece.len <= INFLATE_STEP);
            assert(inflate_memory(&inf) <= INFLATE_MEMORY_MAX);
            out->len += made;
        }
        assert(said == PARSE_MORE ? piece.len == 0 : said == PARSE_BAD && failed(out->err));
        free(copy);
    }
    assert(!failed(out->err) || inflate_end(&inf).code == out->err.code);
    out->err = inflate_end(&inf);
    inflate_close(&inf);
}

// The first gzip member by zlib's own means; its length, or 0 if it is not valid or not the whole.
static size_t gzip_whole(char *out, struct span in)
{
    z_stream stream = { 0 };
    verify(inflateInit2(&stream, MAX_WBITS + 16) == Z_OK);
    stream.next_in = (Bytef *)in.ptr;
    stream.avail_in = (uInt)in.len;
    stream.next_out = (Bytef *)out;
    stream.avail_out = BODY_MAX;
    const int got = inflate(&stream, Z_FINISH);
    const size_t len = BODY_MAX - stream.avail_out;
    const bool is_whole = got == Z_STREAM_END && stream.avail_in == 0;
    verify(inflateEnd(&stream) == Z_OK);
    return is_whole ? len : 0;
}

static size_t zstd_whole(char *out, struct span in)
{
    const size_t got = ZSTD_decompress(out, BODY_MAX, in.ptr, in.len);
    return ZSTD_isError(got) ? 0 : got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct unpacked whole, part;
    static char second[BODY_MAX];
    if (size < 2 || size > INPUT_MAX)
        return 0;
    const enum coding coding = data[0] == 'z' ? CODING_ZSTD : CODING_GZIP;
    const struct span in = span_of(data + 1, size - 1);
    unpack(&whole, coding, in, 0);
    unpack(&part, coding, in, (uint32_t)data[size - 1] << 8 | (uint32_t)size << 16 | 1);
    // How many bytes went in at a time shows only in the ratio, which is looked at after each call.
    if (max_size(part.len, whole.len) <= INFLATE_RATIO_FREE - INFLATE_STEP)
        assert(part.err.code == whole.err.code);
    // Before an error, smaller pieces may deliver more of what was valid.
    assert(failed(whole.err) || failed(part.err) || part.len == whole.len);
    assert(memcmp(part.body, whole.body, min_size(part.len, whole.len)) == 0);
    const size_t len = coding == CODING_GZIP ? gzip_whole(second, in) : zstd_whole(second, in);
    if (!failed(whole.err) && len > 0) {
        assert(len == whole.len);
        assert(memcmp(second, whole.body, len) == 0);
    }
    // One member within the ratio is valid here as well. (zstd in one go knows no window's bound.)
    if (coding == CODING_GZIP && len > 0 && len <= INFLATE_RATIO_FREE)
        assert(!failed(whole.err));
    return 0;
}
