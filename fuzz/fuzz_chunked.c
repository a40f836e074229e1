// Chunked bodies: pieces of any size give the same; a second, naive decoder that wants the whole
// body in memory agrees; what was decoded can be chunked again.
#include "penstock/base/check.h"
#include "penstock/codec/http1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 64 * KIB };

struct decoded {
    enum parse end;
    size_t used, len;
    char body[INPUT_MAX];
};

// Pieces of 1 to 16 bytes as `seed` has it, or one piece with seed 0.
static void decode(struct decoded *out, struct span in, uint32_t seed)
{
    struct chunked dec = { 0 };
    out->end = PARSE_MORE;
    out->used = out->len = 0;
    while (out->used < in.len && out->end == PARSE_MORE) {
        const size_t step = seed == 0 ? in.len : 1 + (seed >> 8) % 16;
        seed = seed == 0 ? 0 : (seed * 1103515245 + 12345) | 1;
        const size_t piece = min_size(step, in.len - out->used);
        char *copy = malloc(piece);
        memcpy(copy, in.ptr + out->used, piece);
        struct span rest = span_of(copy, piece), part;
        while ((out->end = chunked_feed(&dec, &rest, &part)) == PARSE_DATA) {
            assert(part.len > 0);
            const char *const end = part.ptr + part.len; // its chunk's end may have gone along
            assert(part.ptr >= copy && (rest.ptr == end || rest.ptr == end + 2));
            assert(rest.ptr == end || memcmp(end, "\r\n", 2) == 0);
            memcpy(out->body + out->len, part.ptr, part.len);
            out->len += part.len;
        }
        assert(out->end != PARSE_MORE || rest.len == 0);
        assert(rest.ptr + rest.len == copy + piece);
        out->used += piece - rest.len;
        free(copy);
    }
}

// Takes a line without its CR LF; false if there is none or it holds a control byte.
static bool naive_line(struct span *in, struct span *line)
{
    const char *end = in->len > 0 ? memmem(in->ptr, in->len, "\r\n", 2) : NULL;
    if (end == NULL)
        return false;
    *line = span_of(in->ptr, (size_t)(end - in->ptr));
    *in = span_from(*in, line->len + 2);
    return line->len == 0 || http_value_is_valid(*line);
}

static bool naive_size(struct span line, uint64_t *size)
{
    const struct span digits = span_upto(line, span_find(line, ';'));
    char text[HTTP_CHUNK_DIGITS_MAX + 1] = "";
    if (digits.len == 0 || digits.len > HTTP_CHUNK_DIGITS_MAX)
        return false;
    memcpy(text, digits.ptr, digits.len);
    if (strspn(text, "0123456789abcdefABCDEF") != digits.len)
        return false;
    *size = strtoull(text, NULL, 16);
    return true;
}

// True if `in` starts with a whole valid body within the bounds.
static bool naive(struct decoded *out, struct span in)
{
    const size_t whole = in.len;
    struct span line;
    uint64_t size, ext_total = 0;
    out->len = 0;
    do {
        if (!naive_line(&in, &line) || !naive_size(line, &size))
            return false;
        const size_t semicolon = span_find(line, ';');
        const size_t ext = line.len - semicolon - (semicolon < line.len);
        ext_total += ext;
        if (ext > HTTP_CHUNK_EXT_MAX || ext_total > HTTP_CHUNK_EXT_TOTAL)
            return false;
        if (size > 0) {
            if (in.len < size + 2 || memcmp(in.ptr + size, "\r\n", 2) != 0)
                return false;
            memcpy(out->body + out->len, in.ptr, size);
            out->len += size;
            in = span_from(in, size + 2);
        }
    } while (size > 0);
    const size_t before = in.len;
    do {
        if (!naive_line(&in, &line) || before - in.len > HTTP_TRAILER_MAX)
            return false;
        if (line.len > 0 && (span_find(line, ':') == line.len ||
                             !http_token_is_valid(span_upto(line, span_find(line, ':')))))
            return false;
    } while (line.len > 0);
    out->used = whole - in.len;
    return true;
}

static void check_round_trip(const struct decoded *body)
{
    static char text[2 * INPUT_MAX];
    static struct decoded again;
    size_t len = 0;
    if (body->len > 0) {
        len = chunk_head_write(text, body->len);
        memcpy(text + len, body->body, body->len);
        len += body->len;
        memcpy(text + len, "\r\n", 2);
        len += 2;
    }
    memcpy(text + len, "0\r\n\r\n", 5);
    decode(&again, span_of(text, len + 5), 0);
    assert(again.end == PARSE_DONE);
    assert(again.used == len + 5);
    assert(again.len == body->len);
    assert(memcmp(again.body, body->body, body->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decoded whole, part, second;
    if (size < 1 || size > INPUT_MAX)
        return 0;
    const struct span in = span_of(data + 1, size - 1);
    decode(&whole, in, 0);
    for (uint32_t i = 0; i < 4; i++) {
        decode(&part, in, (uint32_t)data[0] << 8 | i << 16 | 1);
        assert(part.end == whole.end);
        assert(part.used == whole.used);
        assert(part.len == whole.len);
        assert(memcmp(part.body, whole.body, whole.len) == 0);
    }
    assert(naive(&second, in) == (whole.end == PARSE_DONE));
    if (whole.end != PARSE_DONE)
        return 0;
    assert(second.used == whole.used);
    assert(second.len == whole.len);
    assert(memcmp(second.body, whole.body, whole.len) == 0);
    check_round_trip(&whole);
    return 0;
}
