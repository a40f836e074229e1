#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/codec/http1.h"

#include "http1_scan.h"

enum chunk_state {
    CHUNK_SIZE_FIRST, // the first digit of a size; zero, so that a zeroed decoder starts here
    CHUNK_SIZE,
    CHUNK_EXT,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_LINE, // the first byte of a trailer line or of the closing empty one
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    TRAILER_END_LF,
    CHUNK_DONE,
    CHUNK_BAD,
};

// Of a digit: letters of either case stand nine above their low four bits.
static inline unsigned hex_value(char digit)
{
    return ((unsigned char)digit & 15u) + 9u * ((unsigned char)digit >> 6);
}

static enum chunk_state size_byte(struct chunked *dec, char byte)
{
    if (is_class(byte, CLASS_HEX)) {
        if (dec->digits == HTTP_CHUNK_DIGITS_MAX && GUARD(CHUNK_DIGITS))
            return CHUNK_BAD;
        dec->digits++;
        dec->left = dec->left << 4 | hex_value(byte);
        return CHUNK_SIZE;
    }
    if (dec->digits == 0)
        return CHUNK_BAD;
    dec->ext_bytes = 0;
    if (byte == '\r')
        return CHUNK_SIZE_LF;
    return byte == ';' ? CHUNK_EXT : CHUNK_BAD;
}

static enum chunk_state ext_byte(struct chunked *dec, char byte)
{
    if (byte == '\r')
        return CHUNK_SIZE_LF;
    if (!is_class(byte, CLASS_VALUE))
        return CHUNK_BAD;
    if ((++dec->ext_bytes > HTTP_CHUNK_EXT_MAX || ++dec->ext_total > HTTP_CHUNK_EXT_TOTAL) &&
        GUARD(CHUNK_EXTENSIONS))
        return CHUNK_BAD;
    return CHUNK_EXT;
}

static enum chunk_state trailer_byte(struct chunked *dec, char byte)
{
    if (++dec->trailer_bytes > HTTP_TRAILER_MAX && GUARD(CHUNK_TRAILERS))
        return CHUNK_BAD;
    switch (dec->state) {
    case TRAILER_LINE:
        if (byte == '\r')
            return TRAILER_END_LF;
        return is_class(byte, CLASS_TOKEN) ? TRAILER_NAME : CHUNK_BAD;
    case TRAILER_NAME:
        if (byte == ':')
            return TRAILER_VALUE;
        return is_class(byte, CLASS_TOKEN) ? TRAILER_NAME : CHUNK_BAD;
    case TRAILER_VALUE:
        if (byte == '\r')
            return TRAILER_LF;
        return is_class(byte, CLASS_VALUE) ? TRAILER_VALUE : CHUNK_BAD;
    case TRAILER_LF: return byte == '\n' ? TRAILER_LINE : CHUNK_BAD;
    case TRAILER_END_LF: return byte == '\n' ? CHUNK_DONE : CHUNK_BAD;
    default: bug("no state of a trailer");
    }
}

// The state after one byte that is not chunk data.
static apart enum chunk_state framing_byte(struct chunked *dec, char byte)
{
    switch ((enum chunk_state)dec->state) {
    case CHUNK_SIZE_FIRST:
    case CHUNK_SIZE: return size_byte(dec, byte);
    case CHUNK_EXT: return ext_byte(dec, byte);
    case CHUNK_SIZE_LF:
        if (byte != '\n')
            return CHUNK_BAD;
        dec->digits = 0;
        return dec->left > 0 ? CHUNK_DATA : TRAILER_LINE;
    case CHUNK_DATA_CR: return byte == '\r' || !GUARD(CHUNK_END) ? CHUNK_DATA_LF : CHUNK_BAD;
    case CHUNK_DATA_LF: return byte == '\n' ? CHUNK_SIZE_FIRST : CHUNK_BAD;
    case TRAILER_LINE:
    case TRAILER_NAME:
    case TRAILER_VALUE:
    case TRAILER_LF:
    case TRAILER_END_LF: return trailer_byte(dec, byte);
    case CHUNK_DATA:
    case CHUNK_DONE:
    case CHUNK_BAD: break;
    }
    bug("no framing byte is expected here");
}

// Between two pieces of data nearly always stand, whole, the end of a chunk and the size of the
// next without extensions. Takes them at once; false, and nothing has changed, for anything else.
static inline bool whole_size(struct chunked *dec, struct span *in)
{
    const char *at = in->ptr, *const end = at + in->len;
    if (dec->state == CHUNK_DATA_CR) {
        if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
            return false;
        at += 2;
    } else if (dec->state != CHUNK_SIZE_FIRST) {
        return false;
    }
    const char *const digits = at;
    uint64_t size = 0;
    const char *const limit = digits + min_size((size_t)(end - at), HTTP_CHUNK_DIGITS_MAX);
    for (; at < limit && is_class(*at, CLASS_HEX); at++)
        size = size << 4 | hex_value(*at);
    // A further digit is no line end, so it is refused the long way.
    if (size == 0 || end - at < 2 || at[0] != '\r' || at[1] != '\n')
        return false;
    dec->left = size;
    dec->ext_bytes = 0;
    dec->state = CHUNK_DATA;
    *in = span_from(*in, (size_t)(at + 2 - in->ptr));
    return true;
}

hot enum parse chunked_feed(struct chunked *dec, struct span *in, struct span *out)
{
    assert(dec->state <= CHUNK_BAD);
    for (;;) {
        // Before the input is looked at: these hold even when there is none left.
        if (dec->state == CHUNK_DONE)
            return PARSE_DONE;
        if (dec->state == CHUNK_BAD)
            return PARSE_BAD;
        if (in->len == 0)
            return PARSE_MORE;
        if (dec->state == CHUNK_DATA) {
            *out = span_upto(*in, (size_t)min_u64(dec->left, in->len));
            *in = span_from(*in, out->len);
            dec->left -= out->len;
            if (dec->left > 0)
                return PARSE_DATA;
            bool ends = in->len >= 2 && in->ptr[0] == '\r' && in->ptr[1] == '\n';
            dec->state = ends ? CHUNK_SIZE_FIRST : CHUNK_DATA_CR;
            *in = span_from(*in, ends ? 2 : 0);
            return PARSE_DATA;
        }
        if (likely(whole_size(dec, in)))
            continue;
        dec->state = (uint8_t)framing_byte(dec, in->ptr[0]);
        *in = span_from(*in, 1);
    }
}

size_t chunk_head_write(char out[HTTP_CHUNK_HEAD_MAX], uint64_t len)
{
    assert(len > 0); // an empty chunk would end the body
    const unsigned digits = (unsigned)(64 - __builtin_clzll(len) + 3) / 4;
    for (unsigned i = 0; i < digits; i++)
        out[i] = "0123456789abcdef"[len >> 4 * (digits - 1 - i) & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
