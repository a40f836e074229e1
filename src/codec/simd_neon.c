// The set of 64-bit ARM, where every CPU has NEON. A mask has four bits a byte here. What is less
// than a vector is left to the plain set.
#include "simd_sets.h"

#if defined(__aarch64__)

#include <arm_neon.h>

enum { NEON_BITS = 4 };

static uint8x16_t neon_load(const char *text)
{
    return vld1q_u8((const uint8_t *)text);
}

static uint64_t neon_mask(uint8x16_t hit)
{
    uint8x8_t narrow = vshrn_n_u16(vreinterpretq_u16_u8(hit), NEON_BITS);
    return vget_lane_u64(vreinterpret_u64_u8(narrow), 0);
}

static size_t neon_first(uint64_t mask)
{
    return (size_t)__builtin_ctzll(mask) / NEON_BITS;
}

static uint64_t neon_string_mask(uint8x16_t bytes)
{
    uint8x16_t hit = vorrq_u8(vceqq_u8(bytes, vdupq_n_u8('"')), vceqq_u8(bytes, vdupq_n_u8('\\')));
    return neon_mask(vorrq_u8(hit, vcltq_u8(bytes, vdupq_n_u8(0x20))));
}

static uint64_t neon_high_mask(uint8x16_t bytes)
{
    return neon_mask(vcgeq_u8(bytes, vdupq_n_u8(0x80)));
}

// The mask of hits of the vector at *at, behind all that have none; 0 if less than one is left.
static uint64_t neon_next_hit(const char **at, const char *end, bool *high)
{
    for (; end - *at >= 16; *at += 16) {
        uint8x16_t bytes = neon_load(*at);
        uint64_t stop = neon_string_mask(bytes), beyond = neon_high_mask(bytes);
        if (stop != 0) {
            *high |= (beyond & ~stop & (stop - 1)) != 0;
            return stop;
        }
        *high |= beyond != 0;
    }
    return 0;
}

static size_t neon_string_run(const char *text, size_t len, bool *high)
{
    const char *at = text, *end = text + len;
    uint64_t stop = neon_next_hit(&at, end, high);
    if (stop != 0)
        return (size_t)(at - text) + neon_first(stop);
    return (size_t)(at - text) + simd_plain.string_run(at, (size_t)(end - at), high);
}

static size_t neon_quoted_run(const char *text, size_t len, bool *high)
{
    const char *at = text, *end = text + len;
    uint64_t stop;
    while ((stop = neon_next_hit(&at, end, high)) != 0) {
        size_t i = (size_t)(at - text) + neon_first(stop);
        if (!pass_escape(text, len, &i))
            return i;
        at = text + i;
    }
    return (size_t)(at - text) + simd_plain.quoted_run(at, (size_t)(end - at), high);
}

static size_t neon_structure_run(const char *text, size_t len)
{
    size_t i = 0;
    for (; len - i >= 16; i += 16) {
        uint8x16_t bytes = neon_load(text + i), folded = vorrq_u8(bytes, vdupq_n_u8(0x20));
        uint8x16_t hit =
            vorrq_u8(vceqq_u8(folded, vdupq_n_u8('{')), vceqq_u8(folded, vdupq_n_u8('}')));
        uint64_t stop = neon_mask(vorrq_u8(hit, vceqq_u8(bytes, vdupq_n_u8('"'))));
        if (stop != 0)
            return i + neon_first(stop);
    }
    return i + simd_plain.structure_run(text + i, len - i);
}

static size_t neon_line_run(const char *text, size_t len)
{
    size_t i = 0;
    for (; len - i >= 16; i += 16) {
        uint8x16_t bytes = neon_load(text + i);
        uint64_t stop = neon_mask(
            vorrq_u8(vceqq_u8(bytes, vdupq_n_u8('\n')), vceqq_u8(bytes, vdupq_n_u8('\r'))));
        if (stop != 0)
            return i + neon_first(stop);
    }
    return i + simd_plain.line_run(text + i, len - i);
}

static size_t neon_utf8_run(const char *text, size_t len)
{
    return simd_plain.utf8_run(text, len);
}

static size_t neon_surrogate_run(const char *text, size_t len)
{
    return simd_plain.surrogate_run(text, len);
}

const struct simd simd_neon = {
    .name = "neon",
    .string_run = neon_string_run,
    .quoted_run = neon_quoted_run,
    .structure_run = neon_structure_run,
    .line_run = neon_line_run,
    .utf8_run = neon_utf8_run,
    .surrogate_run = neon_surrogate_run,
    .skeleton_match = skeleton_match_plain,
};

#endif
