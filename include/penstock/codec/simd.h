// simd.h - the byte searches that JSON and SSE spend their time in, in the widest form this CPU
// has.
//
// Every search exists in plain C and, on x86-64, with SSE2 (which every such CPU has), AVX2 and
// AVX-512BW, on 64-bit ARM with NEON. The best set is chosen once, before main(). No search reads
// outside the text it is given, so no caller needs padding. tests/unit/test_simd.c holds all sets
// to the same answers.
#ifndef PENSTOCK_CODEC_SIMD_H
#define PENSTOCK_CODEC_SIMD_H

#include "penstock/base/base.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

struct skeleton;
struct filling;

struct simd {
    const char *name;
    // Bytes before the first '"', '\' or byte below 0x20; `len` if there is none. Sets *high, and
    // never clears it, if one of the bytes passed over is not ASCII.
    size_t (*string_run)(const char *text, size_t len, bool *high);
    // The same, but passes over escapes, so that a string's contents are passed at once. It stops
    // at a backslash that begins none, or none that is whole.
    size_t (*quoted_run)(const char *text, size_t len, bool *high);
    // Bytes before the first of " { } [ ]; `len` if there is none.
    size_t (*structure_run)(const char *text, size_t len);
    // Bytes of the array or object whose opening bracket comes first; kinds of brackets are not
    // told apart. 0: it does not end in the text, or that was not to be found out this way (a
    // backslash outside strings). NULL where there is no such search.
    size_t (*container_run)(const char *text, size_t len);
    // Bytes before the first CR or LF; `len` if there is none.
    size_t (*line_run)(const char *text, size_t len);
    // Bytes before the first that does not belong to a whole, valid UTF-8 sequence.
    size_t (*utf8_run)(const char *text, size_t len);
    // Bytes before the first "\ud" (or D), with which the escape of a surrogate begins unless the
    // backslash is itself escaped; `len` if there is none.
    size_t (*surrogate_run)(const char *text, size_t len);
    // skeleton_match() (codec/skeleton.h) of a text that may match: returns where the likeness
    // ends, NULL if there is none.
    const char *(*skeleton_match)(const struct skeleton *skeleton, struct span text,
                                  struct filling *holes);
};

// The set in use. Written only before main() starts, so that no call pays for the choice.
extern const struct simd *simd_best;

// All sets that this CPU can run, the plain one first: for the test of their agreement.
enum { SIMD_SETS_MAX = 4 };
size_t simd_sets(const struct simd *out[SIMD_SETS_MAX]);

// The searches below look at the first bytes in line, because most strings and lines are short, and
// call the chosen set for the rest.
enum { SIMD_FIRST = 16 };

static inline size_t simd_string_run(const char *text, size_t len, bool *high)
{
#if defined(__SSE2__)
    if (likely(len >= SIMD_FIRST)) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)text);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                   _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        unsigned stop = (unsigned)_mm_movemask_epi8(_mm_or_si128(hit, low));
        unsigned beyond = (unsigned)_mm_movemask_epi8(bytes);
        if (stop != 0) {
            *high |= (beyond & (stop - 1) & ~stop) != 0;
            return (size_t)__builtin_ctz(stop);
        }
        *high |= beyond != 0;
        return SIMD_FIRST + simd_best->string_run(text + SIMD_FIRST, len - SIMD_FIRST, high);
    }
#endif
    return simd_best->string_run(text, len, high);
}

// For a string of which at least SIMD_FIRST bytes can be read: the bytes before its closing quote
// if that is among them and all before it are plain ASCII, otherwise SIMD_FIRST.
static inline size_t simd_short_string(const char *text)
{
#if defined(__SSE2__)
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)text);
    __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    // Compared as signed numbers, control bytes and those beyond ASCII are both below the blank.
    __m128i odd = _mm_or_si128(_mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20)),
                               _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    unsigned stop = (unsigned)_mm_movemask_epi8(_mm_or_si128(quote, odd)) | BIT(SIMD_FIRST);
    size_t at = (size_t)__builtin_ctz(stop);
    return text[at & (SIMD_FIRST - 1)] == '"' ? at : SIMD_FIRST;
#else
    size_t at = 0;
    while (at < SIMD_FIRST && (unsigned char)(text[at] - 0x20) < 0x60 && text[at] != '"' &&
           text[at] != '\\')
        at++;
    return at < SIMD_FIRST && text[at] == '"' ? at : SIMD_FIRST;
#endif
}

// Not in line: the callers look at the first bytes themselves, in their own way.
static inline size_t simd_quoted_run(const char *text, size_t len, bool *high)
{
    return simd_best->quoted_run(text, len, high);
}

static inline size_t simd_structure_run(const char *text, size_t len)
{
#if defined(__SSE2__)
    if (likely(len >= SIMD_FIRST)) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)text);
        __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20)); // '[' to '{', ']' to '}'
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')),
                                   _mm_cmpeq_epi8(folded, _mm_set1_epi8('}')));
        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
        unsigned stop = (unsigned)_mm_movemask_epi8(hit);
        if (stop != 0)
            return (size_t)__builtin_ctz(stop);
        return SIMD_FIRST + simd_best->structure_run(text + SIMD_FIRST, len - SIMD_FIRST);
    }
#endif
    return simd_best->structure_run(text, len);
}

static inline size_t simd_container_run(const char *text, size_t len)
{
    return simd_best->container_run != NULL ? simd_best->container_run(text, len) : 0;
}

static inline size_t simd_line_run(const char *text, size_t len)
{
    if (len == 0 || *text == '\n' || *text == '\r')
        return 0;
    return simd_best->line_run(text, len);
}

static inline size_t simd_surrogate_run(const char *text, size_t len)
{
    return simd_best->surrogate_run(text, len);
}

static inline size_t simd_utf8_run(const char *text, size_t len)
{
    return simd_best->utf8_run(text, len);
}

#endif
