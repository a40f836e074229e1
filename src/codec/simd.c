// Sets of the same searches. Each vector search works on whole vectors and looks at the last,
// partial one by loading the vector that ends where the text ends: the bytes seen twice are known
// to hold no hit, so nothing has to be masked but the position.
#include "simd_sets.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// ---------------------------------------------------------------------------------- plain C

static size_t plain_string_run(const char *text, size_t len, bool *high)
{
    unsigned char seen = 0;
    size_t i = 0;
    for (; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\' || byte < 0x20)
            break;
        seen |= byte;
    }
    *high |= (seen & 0x80) != 0;
    return i;
}

static size_t plain_quoted_run(const char *text, size_t len, bool *high)
{
    unsigned char seen = 0;
    size_t i = 0;
    while (i < len) {
        unsigned char byte = (unsigned char)text[i];
        if (likely(byte >= 0x20 && byte != '"' && byte != '\\'))
            i++, seen |= byte;
        else if (!pass_escape(text, len, &i))
            break;
    }
    *high |= (seen & 0x80) != 0;
    return i;
}

static size_t plain_structure_run(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        // '[' and '{' differ by 0x20, as ']' and '}' do.
        unsigned char folded = (unsigned char)text[i] | 0x20;
        if (text[i] == '"' || folded == '{' || folded == '}')
            return i;
    }
    return len;
}

static size_t plain_line_run(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\n' || text[i] == '\r')
            return i;
    return len;
}

static bool is_tail(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

// Length of the valid sequence at the start of `text`, 0 if there is none (RFC 3629, section 4).
static size_t utf8_sequence(const unsigned char *text, size_t len)
{
    unsigned char lead = text[0];
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    if (lead < 0xe0)
        return len >= 2 && is_tail(text[1]) ? 2 : 0;
    if (len < 3 || !is_tail(text[1]) || !is_tail(text[2]))
        return 0;
    if (lead < 0xf0) {
        bool overlong = lead == 0xe0 && text[1] < 0xa0;
        bool surrogate = lead == 0xed && text[1] >= 0xa0;
        return overlong || surrogate ? 0 : 3;
    }
    if (len < 4 || !is_tail(text[3]))
        return 0;
    bool overlong = lead == 0xf0 && text[1] < 0x90;
    bool too_large = lead == 0xf4 && text[1] >= 0x90;
    return overlong || too_large ? 0 : 4;
}

static size_t plain_utf8_run(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len) {
        uint64_t word;
        while (len - i >= sizeof(word)) {
            memcpy(&word, text + i, sizeof(word));
            if ((word & UINT64_C(0x8080808080808080)) != 0)
                break;
            i += sizeof(word);
        }
        if (i == len)
            break;
        size_t sequence = utf8_sequence((const unsigned char *)text + i, len - i);
        if (sequence == 0)
            break;
        i += sequence;
    }
    return i;
}

static size_t plain_surrogate_run(const char *text, size_t len)
{
    const char *at = text, *end = text + len;
    for (; end - at >= SURROGATE_MARK; at++) {
        at = memchr(at, '\\', (size_t)(end - at) - SURROGATE_MARK + 1);
        if (at == NULL)
            return len;
        if (is_surrogate(at))
            return (size_t)(at - text);
    }
    return len;
}

const struct simd simd_plain = {
    .name = "plain",
    .string_run = plain_string_run,
    .quoted_run = plain_quoted_run,
    .structure_run = plain_structure_run,
    .line_run = plain_line_run,
    .utf8_run = plain_utf8_run,
    .surrogate_run = plain_surrogate_run,
    .skeleton_match = skeleton_match_plain,
};

#if defined(__x86_64__)

// ------------------------------------------------------------------------------------- SSE2

static __m128i sse2_load(const char *text)
{
    return _mm_loadu_si128((const __m128i *)(const void *)text);
}

static unsigned sse2_string_mask(__m128i bytes)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                               _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(hit, low));
}

static size_t sse2_string_run(const char *text, size_t len, bool *high)
{
    if (len < 16)
        return plain_string_run(text, len, high);
    size_t i = 0;
    for (;;) {
        __m128i bytes = sse2_load(text + i);
        unsigned stop = sse2_string_mask(bytes);
        unsigned beyond = (unsigned)_mm_movemask_epi8(bytes);
        if (stop != 0) {
            *high |= (beyond & ~stop & (stop - 1)) != 0;
            return i + (size_t)__builtin_ctz(stop);
        }
        *high |= beyond != 0;
        if (i + 16 == len)
            return len;
        i = min_size(i + 16, len - 16);
    }
}

static size_t sse2_quoted_run(const char *text, size_t len, bool *high)
{
    size_t i = 0;
    while (len - i >= 16) {
        __m128i bytes = sse2_load(text + i);
        unsigned stop = sse2_string_mask(bytes);
        unsigned beyond = (unsigned)_mm_movemask_epi8(bytes);
        if (stop == 0) {
            *high |= beyond != 0;
            i += 16;
            continue;
        }
        *high |= (beyond & ~stop & (stop - 1)) != 0;
        i += (size_t)__builtin_ctz(stop);
        if (!pass_escape(text, len, &i))
            return i;
    }
    return i + plain_quoted_run(text + i, len - i, high);
}

static unsigned sse2_structure_mask(__m128i bytes)
{
    __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')),
                               _mm_cmpeq_epi8(folded, _mm_set1_epi8('}')));
    hit = _mm_or_si128(hit, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
    return (unsigned)_mm_movemask_epi8(hit);
}

static size_t sse2_structure_run(const char *text, size_t len)
{
    if (len < 16)
        return plain_structure_run(text, len);
    size_t i = 0;
    for (;;) {
        unsigned stop = sse2_structure_mask(sse2_load(text + i));
        if (stop != 0)
            return i + (size_t)__builtin_ctz(stop);
        if (i + 16 == len)
            return len;
        i = min_size(i + 16, len - 16);
    }
}

static size_t sse2_line_run(const char *text, size_t len)
{
    if (len < 16)
        return plain_line_run(text, len);
    size_t i = 0;
    for (;;) {
        __m128i bytes = sse2_load(text + i);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n')),
                                   _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r')));
        unsigned stop = (unsigned)_mm_movemask_epi8(hit);
        if (stop != 0)
            return i + (size_t)__builtin_ctz(stop);
        if (i + 16 == len)
            return len;
        i = min_size(i + 16, len - 16);
    }
}

static size_t sse2_surrogate_run(const char *text, size_t len)
{
    const __m128i slash = _mm_set1_epi8('\\'), u = _mm_set1_epi8('u'), d = _mm_set1_epi8('d');
    size_t i = 0;
    for (; len - i >= 16 + SURROGATE_MARK - 1; i += 16) {
        __m128i third = _mm_or_si128(sse2_load(text + i + 2), _mm_set1_epi8(0x20));
        __m128i hit = _mm_and_si128(_mm_cmpeq_epi8(sse2_load(text + i), slash),
                                    _mm_cmpeq_epi8(sse2_load(text + i + 1), u));
        unsigned mark = (unsigned)_mm_movemask_epi8(_mm_and_si128(hit, _mm_cmpeq_epi8(third, d)));
        if (mark != 0)
            return i + (size_t)__builtin_ctz(mark);
    }
    return i + plain_surrogate_run(text + i, len - i);
}

static const struct simd sse2 = {
    .name = "sse2",
    .string_run = sse2_string_run,
    .quoted_run = sse2_quoted_run,
    .structure_run = sse2_structure_run,
    .line_run = sse2_line_run,
    .utf8_run = plain_utf8_run,
    .surrogate_run = plain_surrogate_run,
    .skeleton_match = skeleton_match_plain,
};

// ------------------------------------------------------------------------------------- AVX2

#define AVX2 __attribute__((target("avx2,popcnt")))

AVX2 static inline __m256i avx2_load(const char *text)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)text);
}

// Not zero in the lanes of '"' and '\\', which are found by looking up, by its low half, what a
// byte would have to be.
AVX2 static inline __m256i avx2_special(__m256i bytes)
{
    const __m256i specials = _mm256_setr_epi8(0, 0, '"', 0, 0, 0, 0, 0, 0, 0, 0, 0, '\\', 0, 0, 0,
                                              0, 0, '"', 0, 0, 0, 0, 0, 0, 0, 0, 0, '\\', 0, 0, 0);
    return _mm256_cmpeq_epi8(_mm256_shuffle_epi8(specials, bytes), bytes);
}

AVX2 static inline __m256i avx2_low(__m256i bytes)
{
    return _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
}

AVX2 static inline unsigned avx2_string_mask(__m256i bytes)
{
    return (unsigned)_mm256_movemask_epi8(_mm256_or_si256(avx2_special(bytes), avx2_low(bytes)));
}

// Not zero if one of 64 bytes ends or interrupts a string: the lesser of two tells for both whether
// there is a control byte.
AVX2 static inline __m256i avx2_pair_hit(__m256i a, __m256i b)
{
    __m256i special = _mm256_or_si256(avx2_special(a), avx2_special(b));
    return _mm256_or_si256(special, avx2_low(_mm256_min_epu8(a, b)));
}

// The same for 128.
AVX2 static inline __m256i avx2_block_hit(__m256i a, __m256i b, __m256i c, __m256i d)
{
    __m256i low = avx2_low(_mm256_min_epu8(_mm256_min_epu8(a, b), _mm256_min_epu8(c, d)));
    __m256i special = _mm256_or_si256(_mm256_or_si256(avx2_special(a), avx2_special(b)),
                                      _mm256_or_si256(avx2_special(c), avx2_special(d)));
    return _mm256_or_si256(special, low);
}

AVX2 static inline bool avx2_none(__m256i hit)
{
    return _mm256_testz_si256(hit, hit);
}

// True if 128 bytes are plain ASCII with nothing that ends or interrupts a string. By one bit the
// quote changes places with the blank, and stands next to the control bytes then; compared as
// signed numbers, these and what is not ASCII are all less than what remains.
AVX2 static inline bool avx2_calm(const char *at)
{
    const __m256i turn = _mm256_set1_epi8(0x02), slash = _mm256_set1_epi8('\\');
    __m256i a = avx2_load(at), b = avx2_load(at + 32);
    __m256i c = avx2_load(at + 64), d = avx2_load(at + 96);
    __m256i ab = _mm256_min_epi8(_mm256_xor_si256(a, turn), _mm256_xor_si256(b, turn));
    __m256i cd = _mm256_min_epi8(_mm256_xor_si256(c, turn), _mm256_xor_si256(d, turn));
    __m256i hit = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x21), _mm256_min_epi8(ab, cd));
    hit = _mm256_or_si256(
        hit, _mm256_or_si256(_mm256_cmpeq_epi8(a, slash), _mm256_cmpeq_epi8(b, slash)));
    hit = _mm256_or_si256(
        hit, _mm256_or_si256(_mm256_cmpeq_epi8(c, slash), _mm256_cmpeq_epi8(d, slash)));
    return avx2_none(hit);
}

// True if one of the bytes before the first hit is not ASCII.
AVX2 static inline bool avx2_high_before(__m256i bytes, unsigned stop)
{
    return ((unsigned)_mm256_movemask_epi8(bytes) & ~stop & (stop - 1)) != 0;
}

// Moves to the first vector with a hit and returns its mask, 0 if less than a vector is left. Two
// vectors without one are taken for a long text, which passes four at a time.
AVX2 static inline unsigned avx2_next_hit(const char **at, const char *end, bool *high)
{
    __m256i seen = _mm256_setzero_si256();
    unsigned stop = 0;
    const char *pos = *at;
    bool quiet = false;
    if (end - pos >= 64) {
        __m256i a = avx2_load(pos), b = avx2_load(pos + 32);
        quiet = avx2_none(avx2_pair_hit(a, b));
        if (quiet)
            seen = _mm256_or_si256(a, b), pos += 64;
    }
    size_t blocks = quiet ? (size_t)(end - pos) / 128 : 0;
    for (; blocks > 0 && avx2_calm(pos); blocks--)
        pos += 128;
    for (; quiet && end - pos >= 128; pos += 128) {
        __m256i a = avx2_load(pos), b = avx2_load(pos + 32);
        __m256i c = avx2_load(pos + 64), d = avx2_load(pos + 96);
        if (!avx2_none(avx2_block_hit(a, b, c, d)))
            break;
        __m256i all = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
        seen = _mm256_or_si256(seen, all);
    }
    for (; end - pos >= 32; pos += 32) {
        __m256i bytes = avx2_load(pos);
        stop = avx2_string_mask(bytes);
        if (stop != 0) {
            *high |= avx2_high_before(bytes, stop);
            break;
        }
        seen = _mm256_or_si256(seen, bytes);
    }
    *high |= _mm256_movemask_epi8(seen) != 0;
    *at = pos;
    return stop;
}

AVX2 static size_t avx2_string_run(const char *text, size_t len, bool *high)
{
    const char *at = text, *end = text + len;
    unsigned stop = avx2_next_hit(&at, end, high);
    if (stop != 0)
        return (size_t)(at - text) + (size_t)__builtin_ctz(stop);
    return (size_t)(at - text) + sse2_string_run(at, (size_t)(end - at), high);
}

// A bit for each byte that may follow a backslash: those of an own low half are looked up by it, of
// the other three two are compared.
AVX2 static inline unsigned avx2_second(__m256i bytes)
{
    const __m256i seconds = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 0, 'b', 0, 't', 0, 'f', 0, 0, 0, 0, 0, '\\', 0, 'n', '/'));
    __m256i hit = _mm256_cmpeq_epi8(_mm256_shuffle_epi8(seconds, bytes), bytes);
    hit = _mm256_or_si256(hit, _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"')));
    hit = _mm256_or_si256(hit, _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('r')));
    return (unsigned)_mm256_movemask_epi8(hit);
}

AVX2 static inline unsigned avx2_hex(__m256i bytes)
{
    const __m256i nine = _mm256_set1_epi8(9), five = _mm256_set1_epi8(5);
    __m256i digit = _mm256_sub_epi8(bytes, _mm256_set1_epi8('0'));
    __m256i folded = _mm256_or_si256(bytes, _mm256_set1_epi8(0x20));
    __m256i letter = _mm256_sub_epi8(folded, _mm256_set1_epi8('a'));
    __m256i hit = _mm256_or_si256(_mm256_cmpeq_epi8(_mm256_min_epu8(digit, nine), digit),
                                  _mm256_cmpeq_epi8(_mm256_min_epu8(letter, five), letter));
    return (unsigned)_mm256_movemask_epi8(hit);
}

AVX2 static inline unsigned avx2_equal(__m256i bytes, char byte)
{
    return (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte)));
}

AVX2 static inline uint64_t avx2_both(unsigned first, unsigned second)
{
    return first | (uint64_t)second << 32;
}

// One step of 64 bytes, of which the first is a backslash. Returns what ends the contents among
// the first *part.
AVX2 static uint64_t avx2_quoted_block(const char *text, size_t *part, bool *high)
{
    __m256i a = avx2_load(text), b = avx2_load(text + 32);
    struct quoted is = {
        .quote = avx2_both(avx2_equal(a, '"'), avx2_equal(b, '"')),
        .slash = avx2_both(avx2_equal(a, '\\'), avx2_equal(b, '\\')),
        .low = avx2_both((unsigned)_mm256_movemask_epi8(avx2_low(a)),
                         (unsigned)_mm256_movemask_epi8(avx2_low(b))),
        .second = avx2_both(avx2_second(a), avx2_second(b)),
        .unicode = avx2_both(avx2_equal(a, 'u'), avx2_equal(b, 'u')),
        .hex = avx2_both(avx2_hex(a), avx2_hex(b)),
    };
    uint64_t beyond =
        avx2_both((unsigned)_mm256_movemask_epi8(a), (unsigned)_mm256_movemask_epi8(b));
    uint64_t stop = quoted_stop(&is, part);
    uint64_t passed = stop != 0 ? ~stop & (stop - 1) : ~UINT64_C(0) >> (64 - *part);
    *high |= (beyond & passed) != 0;
    return stop;
}

// From `i` on, where the end of the text is near: one load looks at the last bytes if nothing but
// the end of the string is among them.
AVX2 static inline size_t avx2_quoted_rest(const char *text, size_t len, size_t i, bool *high)
{
    const size_t left = len - i;
    if (left > 0 && left <= 32 && len >= 32) {
        const __m256i bytes = avx2_load(text + len - 32);
        const unsigned open = ~0u << (32 - left), stop = avx2_string_mask(bytes) & open;
        const size_t at = stop != 0 ? len - 32 + (size_t)__builtin_ctz(stop) : len;
        if (at == len || text[at] != '\\') {
            *high |= ((unsigned)_mm256_movemask_epi8(bytes) & open & ~stop & (stop - 1)) != 0;
            return at;
        }
    }
    return i + sse2_quoted_run(text + i, left, high);
}

AVX2 static size_t avx2_quoted_run(const char *text, size_t len, bool *high)
{
    const char *at = text, *end = text + len;
    unsigned hit;
    while ((hit = avx2_next_hit(&at, end, high)) != 0) {
        at += __builtin_ctz(hit);
        if (*at != '\\')
            return (size_t)(at - text);
        if (end - at < 64)
            break;
        size_t part = 64;
        uint64_t stop = avx2_quoted_block(at, &part, high);
        if (stop != 0 || part == 0)
            return (size_t)(at - text) + (stop != 0 ? (size_t)__builtin_ctzll(stop) : 0);
        at += part;
    }
    return avx2_quoted_rest(text, len, (size_t)(at - text), high);
}

AVX2 static inline __m256i avx2_delimiter(const char *at)
{
    const __m256i bytes = avx2_load(at);
    return _mm256_or_si256(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"')),
                           _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\')));
}

// Blocks at the start that have no quote and no backslash.
AVX2 static inline size_t avx2_calm_run(const char *text, size_t len)
{
    size_t i = 0;
    for (; len - i >= 128; i += 128) {
        const __m256i first =
            _mm256_or_si256(avx2_delimiter(text + i), avx2_delimiter(text + i + 32));
        const __m256i second =
            _mm256_or_si256(avx2_delimiter(text + i + 64), avx2_delimiter(text + i + 96));
        if (!avx2_none(_mm256_or_si256(first, second)))
            break;
    }
    if (len - i >= 64 &&
        avx2_none(_mm256_or_si256(avx2_delimiter(text + i), avx2_delimiter(text + i + 32))))
        i += 64;
    return i;
}

AVX2 static size_t avx2_container_run(const char *text, size_t len)
{
    const __m256i fold = _mm256_set1_epi8(0x20);
    struct nesting nesting = { .depth = 0 };
    char last[64] = { 0 };
    for (size_t i = 0; i < len; i += 64) {
        if (nesting.in_string != 0 && !nesting.escaped)
            i += avx2_calm_run(text + i, len - i);
        if (i == len)
            break;
        const char *at = text + i;
        if (len - i < 64)
            at = memcpy(last, at, len - i);
        __m256i a = avx2_load(at), b = avx2_load(at + 32);
        __m256i folded_a = _mm256_or_si256(a, fold), folded_b = _mm256_or_si256(b, fold);
        const struct nested is = {
            .quote = avx2_both(avx2_equal(a, '"'), avx2_equal(b, '"')),
            .slash = avx2_both(avx2_equal(a, '\\'), avx2_equal(b, '\\')),
            .open = avx2_both(avx2_equal(folded_a, '{'), avx2_equal(folded_b, '{')),
            .close = avx2_both(avx2_equal(folded_a, '}'), avx2_equal(folded_b, '}')),
        };
        unsigned end = nesting_feed(&nesting, &is);
        if (unlikely(nesting.lost))
            return 0;
        if (end != 0)
            return i + end;
    }
    return 0;
}

AVX2 static size_t avx2_structure_run(const char *text, size_t len)
{
    if (len < 32)
        return sse2_structure_run(text, len);
    const __m256i fold = _mm256_set1_epi8(0x20), quote = _mm256_set1_epi8('"');
    const __m256i open = _mm256_set1_epi8('{'), close = _mm256_set1_epi8('}');
    size_t i = 0;
    for (;;) {
        __m256i bytes = avx2_load(text + i);
        __m256i folded = _mm256_or_si256(bytes, fold);
        __m256i hit =
            _mm256_or_si256(_mm256_cmpeq_epi8(folded, open), _mm256_cmpeq_epi8(folded, close));
        hit = _mm256_or_si256(hit, _mm256_cmpeq_epi8(bytes, quote));
        unsigned stop = (unsigned)_mm256_movemask_epi8(hit);
        if (stop != 0)
            return i + (size_t)__builtin_ctz(stop);
        if (i + 32 == len)
            return len;
        i = min_size(i + 32, len - 32);
    }
}

AVX2 static inline __m256i avx2_line_hit(const char *text)
{
    __m256i bytes = avx2_load(text);
    return _mm256_or_si256(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\n')),
                           _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\r')));
}

AVX2 static size_t avx2_line_run(const char *text, size_t len)
{
    if (len < 32)
        return sse2_line_run(text, len);
    size_t i = 0;
    for (; len - i >= 64; i += 64) {
        if (!avx2_none(_mm256_or_si256(avx2_line_hit(text + i), avx2_line_hit(text + i + 32))))
            break;
    }
    if (i == len)
        return len;
    i = min_size(i, len - 32);
    for (;;) {
        unsigned stop = (unsigned)_mm256_movemask_epi8(avx2_line_hit(text + i));
        if (stop != 0)
            return i + (size_t)__builtin_ctz(stop);
        if (i + 32 == len)
            return len;
        i = min_size(i + 32, len - 32);
    }
}

// UTF-8 by table look-up: every pair of neighbouring bytes is classed by three nibbles, and each
// class that is wrong leaves a bit standing in all three. (Keiser, Lemire, "Validating UTF-8 In
// Less Than One Instruction Per Byte", 2021.)
enum utf8_wrong {
    W_SHORT = 1 << 0,     // a lead without its continuation
    W_LONG = 1 << 1,      // a continuation after ASCII
    W_OVER3 = 1 << 2,     // e0 80..9f
    W_LARGE = 1 << 3,     // f4 90.. and above
    W_SURROGATE = 1 << 4, // ed a0..bf
    W_OVER2 = 1 << 5,     // c0, c1
    W_LARGE8 = 1 << 6,    // f5.. with 80..8f
    W_OVER4 = 1 << 6,     // f0 80..8f
    W_TAILS = 1 << 7,     // two continuations: right or wrong by the bytes before them
    W_CARRY = W_SHORT | W_LONG | W_TAILS,
};

// One row of 16 for either half of the register.
#define ROW(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)
#define C(x) ((char)(x))

AVX2 static inline __m256i utf8_lookup_first_high(__m256i nibble)
{
    const __m256i row =
        ROW(W_LONG, W_LONG, W_LONG, W_LONG, W_LONG, W_LONG, W_LONG, W_LONG, C(W_TAILS), C(W_TAILS),
            C(W_TAILS), C(W_TAILS), W_SHORT | W_OVER2, W_SHORT, W_SHORT | W_OVER3 | W_SURROGATE,
            W_SHORT | W_LARGE | W_LARGE8 | W_OVER4);
    return _mm256_shuffle_epi8(row, nibble);
}

AVX2 static inline __m256i utf8_lookup_first_low(__m256i nibble)
{
    enum { LARGE = W_CARRY | W_LARGE | W_LARGE8 };
    const __m256i row =
        ROW(C(W_CARRY | W_OVER3 | W_OVER2 | W_OVER4), C(W_CARRY | W_OVER2), C(W_CARRY), C(W_CARRY),
            C(W_CARRY | W_LARGE), C(LARGE), C(LARGE), C(LARGE), C(LARGE), C(LARGE), C(LARGE),
            C(LARGE), C(LARGE), C(LARGE | W_SURROGATE), C(LARGE), C(LARGE));
    return _mm256_shuffle_epi8(row, nibble);
}

AVX2 static inline __m256i utf8_lookup_second_high(__m256i nibble)
{
    enum { TAIL = W_LONG | W_OVER2 | W_TAILS };
    const __m256i row = ROW(W_SHORT, W_SHORT, W_SHORT, W_SHORT, W_SHORT, W_SHORT, W_SHORT, W_SHORT,
                            C(TAIL | W_OVER3 | W_LARGE8 | W_OVER4), C(TAIL | W_OVER3 | W_LARGE),
                            C(TAIL | W_SURROGATE | W_LARGE), C(TAIL | W_SURROGATE | W_LARGE),
                            W_SHORT, W_SHORT, W_SHORT, W_SHORT);
    return _mm256_shuffle_epi8(row, nibble);
}

// The vector that begins `back` bytes before `bytes`; `before` ends where `bytes` begins.
#define AVX2_BACK(bytes, before, back) \
    _mm256_alignr_epi8((bytes), _mm256_permute2x128_si256((before), (bytes), 0x21), 16 - (back))

// Not zero where `bytes`, which follow `before`, break the rules.
AVX2 static inline __m256i utf8_wrong(__m256i bytes, __m256i before)
{
    const __m256i nibble = _mm256_set1_epi8(0x0f);
    __m256i back1 = AVX2_BACK(bytes, before, 1);
    __m256i pair = utf8_lookup_first_high(_mm256_and_si256(_mm256_srli_epi16(back1, 4), nibble));
    pair = _mm256_and_si256(pair, utf8_lookup_first_low(_mm256_and_si256(back1, nibble)));
    __m256i second = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
    pair = _mm256_and_si256(pair, utf8_lookup_second_high(second));
    // A continuation two bytes after e0.. or three after f0.. must be one: its W_TAILS is right.
    __m256i third = _mm256_subs_epu8(AVX2_BACK(bytes, before, 2), _mm256_set1_epi8(0xe0 - 0x80));
    __m256i fourth = _mm256_subs_epu8(AVX2_BACK(bytes, before, 3), _mm256_set1_epi8(0xf0 - 0x80));
    __m256i due = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8(C(0x80)));
    return _mm256_xor_si256(due, pair);
}

AVX2 static size_t avx2_utf8_run(const char *text, size_t len)
{
    if (len < 32)
        return plain_utf8_run(text, len);
    __m256i before = _mm256_setzero_si256(), wrong = _mm256_setzero_si256();
    bool ascii_before = true;
    size_t i = 0;
    for (; len - i >= 32; i += 32) {
        __m256i bytes = avx2_load(text + i);
        bool ascii = _mm256_movemask_epi8(bytes) == 0;
        if (!ascii || !ascii_before)
            wrong = _mm256_or_si256(wrong, utf8_wrong(bytes, before));
        before = bytes;
        ascii_before = ascii;
    }
    // The rest, followed by zeros, so that a sequence cut off at the end is found too.
    char rest[32] = { 0 };
    memcpy(rest, text + i, len - i);
    wrong = _mm256_or_si256(wrong, utf8_wrong(avx2_load(rest), before));
    if (likely(_mm256_testz_si256(wrong, wrong)))
        return len;
    return plain_utf8_run(text, len); // finds the place
}

AVX2 static inline __m256i avx2_surrogate(const char *at)
{
    __m256i third = _mm256_or_si256(avx2_load(at + 2), _mm256_set1_epi8(0x20));
    __m256i hit = _mm256_and_si256(_mm256_cmpeq_epi8(avx2_load(at), _mm256_set1_epi8('\\')),
                                   _mm256_cmpeq_epi8(avx2_load(at + 1), _mm256_set1_epi8('u')));
    return _mm256_and_si256(hit, _mm256_cmpeq_epi8(third, _mm256_set1_epi8('d')));
}

AVX2 static size_t avx2_surrogate_run(const char *text, size_t len)
{
    size_t i = 0;
    for (; len - i >= 64 + SURROGATE_MARK - 1; i += 64)
        if (!avx2_none(_mm256_or_si256(avx2_surrogate(text + i), avx2_surrogate(text + i + 32))))
            break;
    return i + sse2_surrogate_run(text + i, len - i);
}

const struct simd simd_avx2 = {
    .name = "avx2",
    .string_run = avx2_string_run,
    .quoted_run = avx2_quoted_run,
    .structure_run = avx2_structure_run,
    .container_run = avx2_container_run,
    .line_run = avx2_line_run,
    .utf8_run = avx2_utf8_run,
    .surrogate_run = avx2_surrogate_run,
    .skeleton_match = skeleton_match_avx2,
};

const struct simd *simd_best = &sse2;

size_t simd_sets(const struct simd *out[SIMD_SETS_MAX])
{
    size_t count = 0;
    out[count++] = &simd_plain;
    out[count++] = &sse2;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt"))
        out[count++] = &simd_avx2;
    // AVX-512 comes with AVX2, BMI, BMI2 and POPCNT on every CPU that has it; asked all the same.
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
        __builtin_cpu_supports("popcnt"))
        out[count++] = &simd_avx512;
    return count;
}

#elif defined(__aarch64__)

const struct simd *simd_best = &simd_neon;

size_t simd_sets(const struct simd *out[SIMD_SETS_MAX])
{
    out[0] = &simd_plain;
    out[1] = &simd_neon;
    return 2;
}

#else // any other CPU

const struct simd *simd_best = &simd_plain;

size_t simd_sets(const struct simd *out[SIMD_SETS_MAX])
{
    out[0] = &simd_plain;
    return 1;
}

#endif

__attribute__((constructor)) static void simd_choose(void)
{
    const struct simd *sets[SIMD_SETS_MAX];
    size_t count = simd_sets(sets);
    simd_best = sets[count - 1];
}
