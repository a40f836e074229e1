#include "penstock/codec/skeleton.h"

#include "http1_scan.h"
#include "penstock/base/check.h"
#include "simd_sets.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// What has more escapes, or is longer, is passed faster by the searches that are made for it.
enum {
    ESCAPES_MAX = 4,
    VECTORS_MAX = 8, // in the cheap way
    QUIET_MAX = 1,   // in the other, which begins again with what is too long for the first
};

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

// Ends the part that began `len` bytes before skeleton->len with a hole.
static void end_part(struct skeleton *skeleton, size_t len, uint8_t kind, uint8_t tag)
{
    struct skeleton_part *part = &skeleton->parts[skeleton->part_count++];
    *part = (struct skeleton_part){ .len = (uint16_t)len, .kind = kind, .tag = tag };
    if (len < SKELETON_VECTOR)
        part->mask = BIT(len) - 1;
}

static void keep_bytes(struct skeleton *skeleton, const char *from, const char *end)
{
    assert(end >= from && end - from <= skeleton->bytes_max - skeleton->len);
    memcpy(skeleton->bytes + skeleton->len, from, (size_t)(end - from));
    skeleton->len = (uint16_t)(skeleton->len + (end - from));
}

void skeleton_learn(struct skeleton *skeleton, struct span text, const struct hole *holes,
                    size_t count)
{
    assert(count < skeleton->parts_max);
    skeleton_reset(skeleton);
    size_t fixed = text.len;
    for (size_t i = 0; i < count; i++)
        if (holes[i].kind != HOLE_COUNTER)
            fixed -= holes[i].text.len;
    assert(fixed <= text.len);
    if (fixed > skeleton->bytes_max || fixed < SKELETON_VECTOR)
        return;
    skeleton->len = skeleton->counter_len = skeleton->counter_end = 0;
    const char *from = text.ptr;
    size_t begin = 0; // of the part
    for (size_t i = 0; i < count; i++) {
        const struct span hole = holes[i].text;
        keep_bytes(skeleton, from, hole.ptr);
        from = hole.ptr + hole.len;
        if (holes[i].kind == HOLE_COUNTER) {
            assert(skeleton->counter_len == 0);
            keep_bytes(skeleton, hole.ptr, from);
            skeleton->counter_len = (uint16_t)hole.len;
            skeleton->counter_end = skeleton->len;
        } else {
            end_part(skeleton, skeleton->len - begin, holes[i].kind, holes[i].tag);
            begin = skeleton->len;
        }
    }
    keep_bytes(skeleton, from, text.ptr + text.len);
    end_part(skeleton, skeleton->len - begin, HOLE_NONE, 0);
    skeleton_count(skeleton);
}

cold void skeleton_carry(struct skeleton *skeleton)
{
    char *const end = skeleton->bytes + skeleton->counter_end, *digit = end;
    while (digit > end - skeleton->counter_len) {
        if (*--digit < '9') {
            ++*digit;
            return;
        }
        *digit = '0';
    }
    skeleton_reset(skeleton);
}

// Passes on in the contents of a string that has many escapes, or is long. Adds to *odd.
static apart const char *long_string(const char *at, const char *end, uint64_t *odd)
{
    bool high = false;
    at += simd_best->string_run(at, (size_t)(end - at), &high);
    *odd |= high || (at < end && *at == '\\');
    while (end - at >= 2 && *at == '\\' && (unsigned char)at[1] >= 0x20) {
        at += 2; // whether there is such an escape is not for us to judge
        at += simd_quoted_run(at, (size_t)(end - at), &high);
    }
    *odd |= high;
    return at;
}

enum { LITTLE_ENDIAN_BYTES = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ };

// The first of eight digits stands lowest, and zeros stand for those that are not there.
static inline uint64_t eight_digits(uint64_t digits)
{
    digits = digits * 10 + (digits >> 8); // pairs, in every second byte
    digits = (digits & UINT64_C(0x00ff00ff00ff00ff)) * (1 + (100 << 16)) >> 16;
    return (digits & UINT64_C(0x0000ffff0000ffff)) * (1 + (UINT64_C(10000) << 32)) >> 32;
}

// The end of less than eight digits, found eight bytes at a time; NULL: there are none, or more, or
// a zero comes first, which JSON has no place for.
static inline const char *digits_end_near(const char *at, uint64_t *value)
{
    const uint64_t all = UINT64_C(0x0101010101010101);
    uint64_t bytes;
    memcpy(&bytes, at, sizeof(bytes));
    bytes ^= all * '0';
    const uint64_t others = (bytes | (bytes + all * (0x80 - 10))) & all * 0x80;
    if (unlikely(others == 0))
        return NULL;
    const unsigned bits = (unsigned)__builtin_ctzll(others) - 7;
    if (unlikely(bits == 0 || (bits > 8 && (bytes & 0xff) == 0)))
        return NULL;
    *value = eight_digits(bytes << (64 - bits));
    return at + bits / 8;
}

// The same for up to HOLE_DIGITS_MAX.
static apart const char *digits_end(const char *at, const char *end, uint64_t *value)
{
    const char *stop = at;
    uint64_t sum = 0;
    for (uint64_t digit; stop < end && (digit = (uint64_t)*stop - '0') <= 9; stop++)
        sum = sum * 10 + digit;
    *value = sum;
    const size_t len = (size_t)(stop - at);
    return len - 1 < HOLE_DIGITS_MAX && (*at != '0' || len == 1) ? stop : NULL;
}

// The same for a number of any spelling.
static apart const char *number_end(const char *at, const char *end)
{
    const char *first = at < end && *at == '-' ? at + 1 : at, *stop = first;
    while (stop < end && ((unsigned)(*stop - '0') <= 9 || *stop == '-' || *stop == '+' ||
                          *stop == '.' || (*stop | 0x20) == 'e'))
        stop++;
    if (stop == first || (unsigned)(*first - '0') > 9)
        return NULL;
    return *first == '0' && stop - first > 1 && (unsigned)(first[1] - '0') <= 9 ? NULL : stop;
}

// ---------------------------------------------------------------------------------- plain C

static inline bool same_long_plain(const char *at, const char *kept, size_t len)
{
    return memcmp(at, kept, len) == 0;
}

static uint32_t unlike_plain(const char *a, const char *b)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < SKELETON_VECTOR; i++)
        bits |= (uint32_t)(a[i] != b[i]) << i;
    return bits;
}

static uint32_t stops_plain(const char *at, uint32_t *high)
{
    uint32_t bits = 0;
    *high = 0;
    for (unsigned i = 0; i < SKELETON_VECTOR; i++) {
        const unsigned char byte = (unsigned char)at[i];
        bits |= (uint32_t)(byte == '"' || byte == '\\' || byte < 0x20) << i;
        *high |= (uint32_t)(byte >> 7) << i;
    }
    return bits;
}

#define SET(name) name##_plain
#define TARGET
#include "skeleton_match.h"

#if defined(__x86_64__)

// ------------------------------------------------------------------------------------- SSE2

static inline __m128i sse2_load(const char *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

static inline uint32_t sse2_bits(__m128i low, __m128i high)
{
    return (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;
}

static inline bool same_long_sse2(const char *at, const char *kept, size_t len)
{
    const size_t last = len - 16;
    __m128i same = _mm_cmpeq_epi8(sse2_load(at + last), sse2_load(kept + last));
    for (size_t i = 0; i < last; i += 16)
        same = _mm_and_si128(same, _mm_cmpeq_epi8(sse2_load(at + i), sse2_load(kept + i)));
    return _mm_movemask_epi8(same) == 0xffff;
}

static inline uint32_t unlike_sse2(const char *a, const char *b)
{
    return ~sse2_bits(_mm_cmpeq_epi8(sse2_load(a), sse2_load(b)),
                      _mm_cmpeq_epi8(sse2_load(a + 16), sse2_load(b + 16)));
}

static inline __m128i sse2_stop(__m128i bytes)
{
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    return _mm_or_si128(low, _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                          _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))));
}

static inline uint32_t stops_sse2(const char *at, uint32_t *high)
{
    const __m128i first = sse2_load(at), second = sse2_load(at + 16);
    *high = sse2_bits(first, second);
    return sse2_bits(sse2_stop(first), sse2_stop(second));
}

#define SET(name) name##_sse2
#define TARGET
#include "skeleton_match.h"

// ------------------------------------------------------------------------------------- AVX2

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i avx2_load(const char *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

AVX2 static inline bool same_long_avx2(const char *at, const char *kept, size_t len)
{
    const size_t last = len - 32;
    __m256i unlike =
        _mm256_or_si256(_mm256_xor_si256(avx2_load(at), avx2_load(kept)),
                        _mm256_xor_si256(avx2_load(at + last), avx2_load(kept + last)));
    for (size_t i = 32; i < last; i += 32)
        unlike = _mm256_or_si256(unlike, _mm256_xor_si256(avx2_load(at + i), avx2_load(kept + i)));
    return _mm256_testz_si256(unlike, unlike);
}

AVX2 static inline uint32_t unlike_avx2(const char *a, const char *b)
{
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(avx2_load(a), avx2_load(b)));
}

// '"' and '\\' are found by looking up, by its low half, what a byte would have to be.
AVX2 static inline uint32_t stops_avx2(const char *at, uint32_t *high)
{
    const __m256i specials = _mm256_setr_epi8(0, 0, '"', 0, 0, 0, 0, 0, 0, 0, 0, 0, '\\', 0, 0, 0,
                                              0, 0, '"', 0, 0, 0, 0, 0, 0, 0, 0, 0, '\\', 0, 0, 0);
    const __m256i bytes = avx2_load(at);
    const __m256i special = _mm256_cmpeq_epi8(_mm256_shuffle_epi8(specials, bytes), bytes);
    const __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
    *high = (uint32_t)_mm256_movemask_epi8(bytes);
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(special, low));
}

#define SET(name) name##_avx2
#define TARGET AVX2
#include "skeleton_match.h"

#endif
