// http1_scan.h - which bytes may stand where in HTTP, and fast searches for the first that may not.
//
// Every search has one meaning and two forms: sixteen bytes a step with SSE2, and byte by byte from
// the table. The second alone serves other machines and every remainder, and the tests hold both
// against each other. Nothing is read outside [at, end).
#ifndef PENSTOCK_SRC_CODEC_HTTP1_SCAN_H
#define PENSTOCK_SRC_CODEC_HTTP1_SCAN_H

#include "penstock/base/base.h"
#include "penstock/codec/http1.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    CLASS_TOKEN = 1,       // RFC 9110 5.6.2: methods, field names
    CLASS_VALUE = 2,       // field values, reasons, chunk extensions: no control byte but the tab
    CLASS_TARGET = 4,      // request targets; url.h looks closer
    CLASS_PATH = 8,        // a path as it may stand unencoded: pchar and "/", without ";"
    CLASS_UNRESERVED = 16, // RFC 3986 2.3
    CLASS_HOST = 32,       // a registered name or an IPv4 address
    CLASS_DIGIT = 64,
    CLASS_HEX = 128,
};

extern const uint8_t http1_class[256];

static inline bool is_class(char byte, unsigned cls)
{
    return (http1_class[(unsigned char)byte] & cls) != 0;
}

static inline const char *scan_class(const char *at, const char *end, unsigned cls)
{
    while (at < end && is_class(*at, cls))
        at++;
    return at;
}

#ifdef __SSE2__
// All ones in every lane whose unsigned byte is `low` to `low + span`.
static inline __m128i lanes_between(__m128i bytes, char low, char span)
{
    const __m128i from = _mm_sub_epi8(bytes, _mm_set1_epi8(low));
    return _mm_cmpeq_epi8(_mm_min_epu8(from, _mm_set1_epi8(span)), from);
}

static inline __m128i lanes_equal(__m128i bytes, char byte)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte));
}

static inline __m128i load16(const char *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}
#endif

// Four to eight bytes, both ends of `text` overlapping, so that every byte is in the word.
static inline uint64_t load_short(const char *text, size_t len)
{
    if (likely(len >= 4)) {
        uint32_t low, high;
        memcpy(&low, text, 4);
        memcpy(&high, text + len - 4, 4);
        return low | (uint64_t)high << 32;
    }
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++)
        word = word << 8 | (unsigned char)text[i];
    return word;
}

static inline uint64_t load8(const char *text)
{
    uint64_t word;
    memcpy(&word, text, 8);
    return word;
}

// True if `token`, which holds nothing but the bytes of a token, is `name` in whatever case. `name`
// is of small letters, digits and hyphens: no other byte of a token becomes one of these by its
// case bit.
static inline bool token_is(struct span token, struct span name)
{
    if (token.len != name.len)
        return false;
    const uint64_t case_bits = UINT64_C(0x2020202020202020);
    if (token.len < 8)
        return ((load_short(token.ptr, token.len) ^ load_short(name.ptr, token.len)) &
                ~case_bits) == 0;
    size_t at = 0;
    for (; at + 8 < token.len; at += 8)
        if ((load8(token.ptr + at) | case_bits) != load8(name.ptr + at))
            return false;
    return (load8(token.ptr + token.len - 8) | case_bits) == load8(name.ptr + token.len - 8);
}

// http_field_id() for a text that is known to be a token.
enum http_field_id http1_token_id(struct span token);

// The first byte that may not stand in a token. Letters and hyphens, which is nearly all of them,
// go sixteen at a time; from the first other byte on the table decides.
static inline const char *scan_token(const char *at, const char *end)
{
#ifdef __SSE2__
    while (end - at >= 16) {
        const __m128i bytes = load16(at);
        const __m128i letters = lanes_between(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 25);
        const __m128i fit = _mm_or_si128(letters, lanes_equal(bytes, '-'));
        const unsigned stop = (unsigned)_mm_movemask_epi8(fit) ^ 0xffff;
        if (likely(stop != 0)) {
            at += __builtin_ctz(stop);
            if (likely(!is_class(*at, CLASS_TOKEN)))
                return at;
            break;
        }
        at += 16;
    }
#endif
    return scan_class(at, end, CLASS_TOKEN);
}

// The first byte that may not stand in a field value.
static inline const char *scan_value(const char *at, const char *end)
{
#ifdef __SSE2__
    while (end - at >= 16) {
        const __m128i bytes = load16(at);
        const __m128i bad = _mm_or_si128(lanes_between(bytes, 0, 0x1f), lanes_equal(bytes, 0x7f));
        const unsigned stop = (unsigned)_mm_movemask_epi8(bad);
        if (stop == 0) {
            at += 16;
            continue;
        }
        at += __builtin_ctz(stop);
        if (likely(*at != '\t'))
            return at;
        at++;
    }
#endif
    return scan_class(at, end, CLASS_VALUE);
}

// The first byte that may not stand in a request target.
static inline const char *scan_target(const char *at, const char *end)
{
#ifdef __SSE2__
    while (end - at >= 16) {
        const __m128i bytes = load16(at);
        __m128i bad = lanes_equal(bytes, '\\');
        // One bit tells `"` from "#", another "<" from ">".
        bad = _mm_or_si128(bad, lanes_equal(_mm_or_si128(bytes, _mm_set1_epi8(1)), '#'));
        bad = _mm_or_si128(bad, lanes_equal(_mm_or_si128(bytes, _mm_set1_epi8(2)), '>'));
        const __m128i fit = _mm_andnot_si128(bad, lanes_between(bytes, 0x21, 0x7e - 0x21));
        const unsigned stop = (unsigned)_mm_movemask_epi8(fit) ^ 0xffff;
        if (stop != 0)
            return at + __builtin_ctz(stop);
        at += 16;
    }
#endif
    return scan_class(at, end, CLASS_TARGET);
}

#endif
