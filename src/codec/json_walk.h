// json_walk.h - moves over strings in JSON text; private to src/codec.
#ifndef PENSTOCK_SRC_CODEC_JSON_WALK_H
#define PENSTOCK_SRC_CODEC_JSON_WALK_H

#include "penstock/codec/simd.h"

// What a byte means behind the first one of a number or word.
enum {
    SCALAR_END = 1 << 0,    // it has ended
    SCALAR_WRONG = 1 << 1,  // it cannot be one
    SCALAR_NUMBER = 1 << 2, // a number may go on so
};

extern const uint8_t json_scalar_bytes[256];

static inline uint8_t scalar_byte(char byte)
{
    return json_scalar_bytes[(unsigned char)byte];
}

#if defined(__SSE2__)
// A bit for each of the sixteen bytes at `at` that is a quote or a backslash.
static inline unsigned quote_mask(const char *at)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                               _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(hit);
}
#endif

// The first quote or backslash. Bare control bytes are no reason to lose the structure. Most
// strings here are short, so the first bytes are looked at in line.
static inline const char *quote_run(const char *at, const char *end)
{
#if defined(__SSE2__)
    for (int i = 0; i < 2 && likely(end - at >= SIMD_FIRST); i++) { // long names end in the second
        unsigned stop = quote_mask(at);
        if (stop != 0)
            return at + __builtin_ctz(stop);
        at += SIMD_FIRST;
    }
#endif
    for (bool high = false;; at++) {
        at += simd_string_run(at, (size_t)(end - at), &high);
        if (at == end || *at == '"' || *at == '\\')
            return at;
    }
}

// Behind the string whose opening quote is at `at`; NULL if it does not end before `end`.
static inline const char *string_end(const char *at, const char *end)
{
    at = quote_run(at + 1, end);
    if (likely(at < end && *at == '"'))
        return at + 1;
    for (bool high = false;;) { // escapes are passed many at a time
        at += simd_quoted_run(at, (size_t)(end - at), &high);
        if (at == end)
            return NULL;
        if (*at == '"')
            return at + 1;
        if (*at != '\\')
            at++;
        else if (end - at < 2)
            return NULL;
        else
            at += 2;
    }
}

#endif
