#include "penstock/codec/skeleton.h"

#include "penstock/base/check.h"
#include "penstock/codec/simd.h"

void skeleton_learn(struct skeleton *skeleton, struct span event, const struct hole *holes,
                    size_t count)
{
    assert(count <= SKELETON_HOLES_MAX);
    skeleton->set = false;
    uint8_t order[SKELETON_HOLES_MAX];
    size_t hole_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at > 0 && holes[order[at - 1]].text.ptr > holes[i].text.ptr; at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)i;
        hole_bytes += holes[i].text.len;
    }
    assert(hole_bytes <= event.len);
    if (event.len - hole_bytes > SKELETON_BYTES_MAX)
        return;
    const char *from = event.ptr;
    uint16_t used = 0;
    for (size_t i = 0; i <= count; i++) {
        const struct hole *hole = i < count ? &holes[order[i]] : NULL;
        const char *to = hole != NULL ? hole->text.ptr : event.ptr + event.len;
        assert(to >= from);
        memcpy(skeleton->bytes + used, from, (size_t)(to - from));
        used = (uint16_t)(used + (to - from));
        skeleton->lens[i] = (uint16_t)(to - from);
        if (hole == NULL)
            break;
        skeleton->kinds[i] = hole->kind;
        skeleton->tags[i] = hole->tag;
        from = to + hole->text.len;
    }
    skeleton->hole_count = (uint8_t)count;
    skeleton->set = true;
}

// Where the string's contents at `at` end, which is where a quote stands. `end` if there is none;
// a bare control byte is not passed, so what follows cannot match.
static const char *string_hole(const char *at, const char *end)
{
    bool high = false;
    for (;;) {
        at += simd_string_run(at, (size_t)(end - at), &high);
        if (at == end || *at != '\\')
            return at;
        if (end - at < 2)
            return end;
        at += 2;
    }
}

#if defined(__SSE2__)

static inline __m128i load(const char *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

static inline unsigned stops(__m128i bytes)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                               _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(hit, low));
}

// The same for the short texts that most holes are. Near the end of the event its last 16 bytes are
// looked at: there always are as many before `end`.
static inline const char *short_hole(const char *at, const char *end)
{
    size_t left = (size_t)(end - at);
    const char *from = left < SIMD_FIRST ? end - SIMD_FIRST : at;
    unsigned stop = stops(load(from)) & ~0u << (at - from);
    const char *found = from + __builtin_ctz(stop | BIT(SIMD_FIRST));
    if (unlikely(stop == 0 || *found == '\\'))
        return string_hole(stop == 0 ? from + SIMD_FIRST : found, end);
    return found;
}

// In line for short parts, where a call would cost more than the comparison.
static inline bool same_bytes(const char *a, const char *b, size_t len)
{
    if (len > 4 * SIMD_FIRST)
        return memcmp(a, b, len) == 0;
    if (len >= SIMD_FIRST) {
        __m128i same = _mm_cmpeq_epi8(load(a + len - SIMD_FIRST), load(b + len - SIMD_FIRST));
        for (size_t i = 0; i + SIMD_FIRST < len; i += SIMD_FIRST)
            same = _mm_and_si128(same, _mm_cmpeq_epi8(load(a + i), load(b + i)));
        return _mm_movemask_epi8(same) == 0xffff;
    }
    if (len >= 4) {
        uint32_t head[2], tail[2];
        memcpy(&head[0], a, 4), memcpy(&head[1], b, 4);
        memcpy(&tail[0], a + len - 4, 4), memcpy(&tail[1], b + len - 4, 4);
        bool ends = head[0] == head[1] && tail[0] == tail[1];
        return ends && (len <= 8 || memcmp(a + 4, b + 4, len - 8) == 0);
    }
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

#else

static inline const char *short_hole(const char *at, const char *end)
{
    return string_hole(at, end);
}

static inline bool same_bytes(const char *a, const char *b, size_t len)
{
    return memcmp(a, b, len) == 0;
}

#endif

static inline const char *digits_hole(const char *at, const char *end)
{
    while (at < end && (unsigned)(*at - '0') <= 9)
        at++;
    return at;
}

bool skeleton_match(const struct skeleton *skeleton, struct span event,
                    struct hole holes[SKELETON_HOLES_MAX])
{
    if (!skeleton->set || event.len < SIMD_FIRST)
        return false;
    const char *at = event.ptr, *end = at + event.len, *bytes = skeleton->bytes;
    size_t count = skeleton->hole_count;
    for (size_t i = 0;; i++) {
        size_t part = skeleton->lens[i];
        if ((size_t)(end - at) < part || !same_bytes(at, bytes, part))
            return false;
        at += part;
        bytes += part;
        if (i == count)
            return at == end;
        struct hole *hole = &holes[i];
        hole->text.ptr = at;
        hole->kind = skeleton->kinds[i];
        hole->tag = skeleton->tags[i];
        at = hole->kind == HOLE_STRING ? short_hole(at, end) : digits_hole(at, end);
        hole->text.len = (size_t)(at - hole->text.ptr);
        if (hole->text.len == 0 && hole->kind == HOLE_DIGITS)
            return false;
    }
}
