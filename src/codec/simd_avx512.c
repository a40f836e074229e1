// The set of CPUs with AVX-512BW: masks are what its comparisons give, and a load may leave out
// what lies behind the text.
#include "simd_sets.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX512 __attribute__((target("avx512bw,avx512f,avx2,bmi,bmi2,popcnt")))

// The next up to 64 bytes; lanes behind the text read as zero without touching memory.
AVX512 static inline __m512i avx512_load(const char *text, size_t left, __mmask64 *lanes)
{
    if (likely(left >= 64)) {
        *lanes = ~UINT64_C(0);
        return _mm512_loadu_si512(text);
    }
    *lanes = (UINT64_C(1) << left) - 1;
    return _mm512_maskz_loadu_epi8(*lanes, text);
}

// A bit for each byte that ends or interrupts a string.
AVX512 static inline uint64_t avx512_string_mask(__m512i bytes)
{
    return _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"')) |
           _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\')) |
           _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(0x20));
}

// The bits in which a byte differs from the special one with its low half; zero for no others.
AVX512 static inline __m512i avx512_unlike(__m512i bytes)
{
    const __m512i specials =
        _mm512_broadcast_i32x4(_mm_setr_epi8(1, 0, '"', 0, 0, 0, 0, 0, 0, 0, 0, 0, '\\', 0, 0, 0));
    return _mm512_xor_si512(_mm512_shuffle_epi8(specials, bytes), bytes);
}

AVX512 static inline __m512i avx512_least(__m512i a, __m512i b, __m512i c, __m512i d)
{
    return _mm512_min_epu8(_mm512_min_epu8(a, b), _mm512_min_epu8(c, d));
}

// A bit for each byte that may follow a backslash: those of an own low half are looked up by it, of
// the other three two are compared.
AVX512 static inline uint64_t avx512_second(__m512i bytes)
{
    const __m512i seconds = _mm512_broadcast_i32x4(
        _mm_setr_epi8(1, 0, 'b', 0, 't', 0, 'f', 0, 0, 0, 0, 0, '\\', 0, 'n', '/'));
    return _mm512_cmpeq_epi8_mask(_mm512_shuffle_epi8(seconds, bytes), bytes) |
           _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"')) |
           _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('r'));
}

AVX512 static inline uint64_t avx512_hex(__m512i bytes)
{
    __m512i digit = _mm512_sub_epi8(bytes, _mm512_set1_epi8('0'));
    __m512i letter =
        _mm512_sub_epi8(_mm512_or_si512(bytes, _mm512_set1_epi8(0x20)), _mm512_set1_epi8('a'));
    return _mm512_cmplt_epu8_mask(digit, _mm512_set1_epi8(10)) |
           _mm512_cmplt_epu8_mask(letter, _mm512_set1_epi8(6));
}

enum { AVX512_BLOCK = 256 };

// Moves over blocks that hold no such byte: in half the time that masks take, of which a CPU makes
// one a cycle.
AVX512 static size_t avx512_calm_run(const char *text, size_t len, bool *high)
{
    __m512i seen = _mm512_setzero_si512();
    size_t i = 0;
    for (; len - i >= AVX512_BLOCK; i += AVX512_BLOCK) {
        const char *at = text + i;
        __m512i a = _mm512_loadu_si512(at), b = _mm512_loadu_si512(at + 64);
        __m512i c = _mm512_loadu_si512(at + 128), d = _mm512_loadu_si512(at + 192);
        __m512i unlike =
            avx512_least(avx512_unlike(a), avx512_unlike(b), avx512_unlike(c), avx512_unlike(d));
        __m512i above = _mm512_subs_epu8(avx512_least(a, b, c, d), _mm512_set1_epi8(0x1f));
        __m512i calm = _mm512_min_epu8(unlike, above);
        if (_mm512_testn_epi8_mask(calm, calm) != 0)
            break;
        seen = _mm512_or_si512(seen, _mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d)));
    }
    *high |= _mm512_movepi8_mask(seen) != 0;
    return i;
}

AVX512 static size_t avx512_string_run(const char *text, size_t len, bool *high)
{
    for (size_t i = 0; i < len; i += 64) {
        if (i == AVX512_BLOCK) { // no short string
            i += avx512_calm_run(text + i, len - i, high);
            if (i == len)
                break;
        }
        __mmask64 lanes;
        __m512i bytes = avx512_load(text + i, len - i, &lanes);
        uint64_t stop = avx512_string_mask(bytes) & lanes;
        uint64_t beyond = _mm512_movepi8_mask(bytes);
        if (stop != 0) {
            *high |= (beyond & ~stop & (stop - 1)) != 0;
            return i + (size_t)__builtin_ctzll(stop);
        }
        *high |= beyond != 0;
    }
    return len;
}

AVX512 static size_t avx512_quoted_run(const char *text, size_t len, bool *high)
{
    size_t i = 0, calm = 0; // since when there was no hit
    while (i < len) {
        __mmask64 lanes;
        __m512i bytes = avx512_load(text + i, len - i, &lanes);
        struct quoted is = { .slash =
                                 _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\')) & lanes };
        uint64_t stop = avx512_string_mask(bytes) & lanes;
        uint64_t beyond = _mm512_movepi8_mask(bytes);
        size_t part = min_size(64, len - i);
        if (is.slash != 0) {
            is.quote = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"')) & lanes;
            is.low = stop & ~is.quote & ~is.slash;
            is.second = avx512_second(bytes);
            is.unicode = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('u'));
            is.hex = avx512_hex(bytes) & lanes;
            stop = quoted_stop(&is, &part);
            calm = i + part;
        }
        if (stop != 0 || part == 0) {
            *high |= stop != 0 && (beyond & ~stop & (stop - 1)) != 0;
            return i + (stop != 0 ? (size_t)__builtin_ctzll(stop) : 0);
        }
        *high |= (beyond & (~UINT64_C(0) >> (64 - part))) != 0;
        i += part;
        if (i - calm >= AVX512_BLOCK) {
            i += avx512_calm_run(text + i, len - i, high);
            calm = i;
        }
    }
    return len;
}

AVX512 static size_t avx512_structure_run(const char *text, size_t len)
{
    const __m512i fold = _mm512_set1_epi8(0x20), quote = _mm512_set1_epi8('"');
    const __m512i open = _mm512_set1_epi8('{'), close = _mm512_set1_epi8('}');
    for (size_t i = 0; i < len; i += 64) {
        __mmask64 lanes;
        __m512i bytes = avx512_load(text + i, len - i, &lanes);
        __m512i folded = _mm512_or_si512(bytes, fold);
        uint64_t stop =
            (_mm512_cmpeq_epi8_mask(folded, open) | _mm512_cmpeq_epi8_mask(folded, close) |
             _mm512_cmpeq_epi8_mask(bytes, quote)) &
            lanes;
        if (stop != 0)
            return i + (size_t)__builtin_ctzll(stop);
    }
    return len;
}

AVX512 static size_t avx512_container_run(const char *text, size_t len)
{
    const __m512i fold = _mm512_set1_epi8(0x20);
    struct nesting nesting = { .depth = 0 };
    for (size_t i = 0; i < len;) {
        __mmask64 lanes;
        __m512i bytes = avx512_load(text + i, len - i, &lanes);
        __m512i folded = _mm512_or_si512(bytes, fold); // '[' to '{', ']' to '}'
        const struct nested is = {
            .quote = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"')),
            .slash = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\')),
            .open = _mm512_cmpeq_epi8_mask(folded, _mm512_set1_epi8('{')),
            .close = _mm512_cmpeq_epi8_mask(folded, _mm512_set1_epi8('}')),
        };
        unsigned end = nesting_feed(&nesting, &is);
        if (unlikely(nesting.lost))
            return 0;
        if (end != 0)
            return i + end;
        i += 64;
        bool high = false;
        if ((is.quote | is.slash) == 0 && nesting.in_string != 0 && i < len)
            i += avx512_calm_run(text + i, len - i, &high);
    }
    return 0;
}

AVX512 static size_t avx512_line_run(const char *text, size_t len)
{
    const __m512i lf = _mm512_set1_epi8('\n'), cr = _mm512_set1_epi8('\r');
    for (size_t i = 0; i < len; i += 64) {
        __mmask64 lanes;
        __m512i bytes = avx512_load(text + i, len - i, &lanes);
        uint64_t stop =
            (_mm512_cmpeq_epi8_mask(bytes, lf) | _mm512_cmpeq_epi8_mask(bytes, cr)) & lanes;
        if (stop != 0)
            return i + (size_t)__builtin_ctzll(stop);
    }
    return len;
}

// Wider registers do not help there.
static size_t avx512_utf8_run(const char *text, size_t len)
{
    return simd_avx2.utf8_run(text, len);
}

static size_t avx512_surrogate_run(const char *text, size_t len)
{
    return simd_avx2.surrogate_run(text, len);
}

const struct simd simd_avx512 = {
    .name = "avx512bw",
    .string_run = avx512_string_run,
    .quoted_run = avx512_quoted_run,
    .structure_run = avx512_structure_run,
    .container_run = avx512_container_run,
    .line_run = avx512_line_run,
    .utf8_run = avx512_utf8_run,
    .surrogate_run = avx512_surrogate_run,
    .skeleton_match = skeleton_match_avx2,
};

#endif
