#include "penstock/codec/skeleton.h"

#include "http1_scan.h"
#include "penstock/base/check.h"
#include "penstock/codec/json.h"
#include "penstock/codec/simd.h"

void skeleton_init(struct skeleton *skeleton, struct skeleton_part *parts, size_t parts_max,
                   char *bytes, size_t bytes_size)
{
    assert(parts_max > 0 && parts_max <= UINT16_MAX);
    assert(bytes_size >= 2 * SKELETON_PADDING && bytes_size <= UINT16_MAX);
    *skeleton = (struct skeleton){ .parts = parts,
                                   .bytes = bytes + SKELETON_PADDING,
                                   .parts_max = (uint16_t)parts_max,
                                   .bytes_max = (uint16_t)(bytes_size - 2 * SKELETON_PADDING) };
}

void skeleton_reset(struct skeleton *skeleton)
{
    skeleton->part_count = 0;
}

void skeleton_learn(struct skeleton *skeleton, struct span text, const struct hole *holes,
                    size_t count)
{
    assert(count < skeleton->parts_max);
    skeleton_reset(skeleton);
    size_t hole_bytes = 0;
    for (size_t i = 0; i < count; i++)
        hole_bytes += holes[i].text.len;
    assert(hole_bytes <= text.len);
    if (text.len - hole_bytes > skeleton->bytes_max)
        return;
    const char *from = text.ptr;
    char *to = skeleton->bytes;
    for (size_t i = 0; i <= count; i++) {
        const char *end = i < count ? holes[i].text.ptr : text.ptr + text.len;
        assert(end >= from);
        size_t len = (size_t)(end - from);
        memcpy(to, from, len);
        to += len;
        struct skeleton_part *part = &skeleton->parts[i];
        *part = (struct skeleton_part){ .len = (uint16_t)len };
        if (len < SIMD_FIRST)
            part->mask = (uint16_t)(BIT(len) - 1);
        if (i < count) {
            part->kind = holes[i].kind;
            part->tag = holes[i].tag;
            from = end + holes[i].text.len;
        }
    }
    skeleton->part_count = (uint16_t)(count + 1);
}

// The end of a hole of digits; `at` if there are too few or too many.
static const char *digits_end(const char *at, const char *end)
{
    const char *stop = at;
    while (stop < end && (unsigned)(*stop - '0') <= 9)
        stop++;
    return stop - at <= HOLE_DIGITS_MAX ? stop : at;
}

static const char *number_end(const char *at, const char *end)
{
    if (at == end || (*at != '-' && (unsigned)(*at - '0') > 9))
        return at;
    while (at < end && ((unsigned)(*at - '0') <= 9 || *at == '-' || *at == '+' || *at == '.' ||
                        (*at | 0x20) == 'e'))
        at++;
    return at;
}

#if defined(__SSE2__)

static inline __m128i load(const char *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

// A bit for each of the sixteen bytes at `at` that ends or interrupts a string.
static inline unsigned string_stops(const char *at)
{
    __m128i bytes = load(at);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                               _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(hit, low));
}

// Moves over some more of a string, since most are not much longer than a vector.
static inline const char *medium_string(const char *at, const char *end)
{
    enum { VECTORS = 3 };
    for (int i = 0; i < VECTORS && end - at >= SIMD_FIRST; i++) {
        unsigned stop = string_stops(at);
        if (stop != 0)
            return at + (unsigned)__builtin_ctz(stop);
        at += SIMD_FIRST;
    }
    return at;
}

// A bit for each of them that is no digit.
static inline unsigned digit_stops(const char *at)
{
    __m128i value = _mm_sub_epi8(load(at), _mm_set1_epi8('0'));
    __m128i digit = _mm_cmpeq_epi8(_mm_min_epu8(value, _mm_set1_epi8(9)), value);
    return (unsigned)_mm_movemask_epi8(digit) ^ 0xffff;
}

#else

static inline const char *medium_string(const char *at, const char *end)
{
    (void)end;
    return at;
}

#endif

// `at` stands in a string's contents, not behind a backslash. A bare control byte is not passed, so
// what follows cannot match.
static __attribute__((noinline)) const char *long_string(const char *at, const char *end)
{
    enum { ESCAPES = 4 }; // more of them are passed faster by the search that is made for it
    for (int i = 0; i < ESCAPES; i++) {
        at = medium_string(at, end);
        if (end - at < 2 || *at == '"')
            return at;
        if (*at != '\\')
            break;
        if ((unsigned char)at[1] < 0x20)
            return at + 1;
        at += 2;
    }
    for (bool high = false;;) {
        at += simd_quoted_run(at, (size_t)(end - at), &high);
        if (end - at < 2 || *at != '\\')
            return at;
        if ((unsigned char)at[1] < 0x20)
            return at + 1;
        at += 2; // any other escape: it is not for us to judge
    }
}

// Where a hole ends, byte by byte: near the end of a text, and in holes that are not short.
static __attribute__((noinline)) const char *far_end(uint8_t kind, const char *at, const char *end)
{
    switch ((enum hole_kind)kind) {
    case HOLE_STRING: return long_string(at, end);
    case HOLE_VALID: return json_string_end(at, end);
    case HOLE_DIGITS: return digits_end(at, end);
    case HOLE_NUMBER: return number_end(at, end);
    case HOLE_LINE: return scan_value(at, end);
    }
    bug("a hole is of one of five kinds");
}

#if defined(__SSE2__)

// Most holes are short, so their first bytes are looked at in line. Sixteen bytes can be read at
// `from`, and the hole begins `back` bytes behind it.
static inline const char *hole_end(uint8_t kind, const char *from, ptrdiff_t back, const char *end)
{
    if (kind == HOLE_STRING) {
        unsigned stop = string_stops(from) >> back << back;
        if (unlikely(stop == 0))
            return long_string(from + SIMD_FIRST, end);
        const char *found = from + (unsigned)__builtin_ctz(stop);
        return likely(*found == '"') ? found : long_string(found, end); // an escape, most often
    }
    unsigned stop = digit_stops(from) >> back << back;
    if (likely(kind == HOLE_DIGITS && stop != 0))
        return from + (unsigned)__builtin_ctz(stop);
    return far_end(kind, from + back, end);
}

static inline __m128i same_lanes(const char *at, const char *kept, size_t i)
{
    return _mm_cmpeq_epi8(load(at + i), load(kept + i));
}

// A part of at least a vector, all of which is there: vectors from both ends, which may overlap.
static inline bool same_long(const char *at, const char *kept, size_t len)
{
    if (len > 4 * SIMD_FIRST) // a call costs less
        return memcmp(at, kept, len) == 0;
    const size_t last = len - SIMD_FIRST;
    __m128i same = _mm_and_si128(same_lanes(at, kept, 0), same_lanes(at, kept, last));
    if (len > 2 * SIMD_FIRST) {
        same = _mm_and_si128(same, same_lanes(at, kept, SIMD_FIRST));
        same = _mm_and_si128(same, same_lanes(at, kept, last - SIMD_FIRST));
    }
    return _mm_movemask_epi8(same) == 0xffff;
}

// A part of less, `back` bytes behind `from`, where sixteen bytes can be read. Around what is kept
// there is padding.
static inline bool same_short(const char *from, ptrdiff_t back, const char *kept, unsigned mask)
{
    __m128i same = _mm_cmpeq_epi8(load(from), load(kept - back));
    return (~(unsigned)_mm_movemask_epi8(same) & mask << back) == 0;
}

#else

static inline const char *hole_end(uint8_t kind, const char *from, ptrdiff_t back, const char *end)
{
    return far_end(kind, from + back, end);
}

static inline bool same_long(const char *at, const char *kept, size_t len)
{
    return memcmp(at, kept, len) == 0;
}

static inline bool same_short(const char *from, ptrdiff_t back, const char *kept, unsigned mask)
{
    return memcmp(from + back, kept, (size_t)__builtin_ctz(~mask)) == 0;
}

#endif

// Near the end of the text, its last sixteen bytes are what can be read.
static inline bool same_at_end(const char *at, const char *end, const char *kept,
                               const struct skeleton_part *part)
{
    const char *from = end - SIMD_FIRST;
    return end - at >= part->len && same_short(from, at - from, kept, part->mask);
}

static inline const char *hole_end_at_end(uint8_t kind, const char *at, const char *end)
{
    const char *from = end - SIMD_FIRST;
    return hole_end(kind, from, at - from, end);
}

// Not nothing, and not with a zero in front of other digits, which JSON has no place for.
static inline bool is_number(const char *at, const char *stop)
{
    if (stop - at < 2)
        return stop > at;
    const char *first = at + (*at == '-');
    return *first != '0' || (unsigned)(first[1] - '0') > 9 || first + 1 == stop;
}

size_t skeleton_match(const struct skeleton *skeleton, struct span text, struct span *holes)
{
    if (!skeleton_is_set(skeleton) || text.len < SIMD_FIRST)
        return 0;
    const char *at = text.ptr, *end = at + text.len, *kept = skeleton->bytes;
    const char *far = end - SIMD_FIRST; // beyond it, sixteen bytes cannot be read
    const struct skeleton_part *part = skeleton->parts;
    const struct skeleton_part *last = part + skeleton->part_count - 1;
    for (;; part++, holes++) {
        size_t len = part->len;
        if (len >= SIMD_FIRST) {
            if ((size_t)(end - at) < len || !same_long(at, kept, len))
                return 0;
        } else if (likely(at <= far) ? !same_short(at, 0, kept, part->mask)
                                     : !same_at_end(at, end, kept, part)) {
            return 0;
        }
        at += len;
        kept += len;
        if (part == last)
            return (size_t)(at - text.ptr);
        const char *stop = likely(at <= far) ? hole_end(part->kind, at, 0, end)
                                             : hole_end_at_end(part->kind, at, end);
        if ((part->kind == HOLE_DIGITS || part->kind == HOLE_NUMBER) && !is_number(at, stop))
            return 0;
        *holes = span_of(at, (size_t)(stop - at));
        at = stop;
    }
}
