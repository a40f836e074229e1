// http1_scan.h - which bytes may stand where in HTTP, and fast searches for the first that may not.
//
// Every search has one meaning and two forms: sixteen bytes a step with SSE2, and byte by byte from
// the table. The second alone serves other machines and every remainder, and the tests hold both
// against each other. Nothing is read outside [at, end).
#ifndef PENSTOCK_SRC_CODEC_HTTP1_SCAN_H
#define PENSTOCK_SRC_CODEC_HTTP1_SCAN_H

#include "penstock/base/base.h"

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
