// simd_sets.h - what the files of the sets share; private to src/codec.
#ifndef PENSTOCK_SRC_CODEC_SIMD_SETS_H
#define PENSTOCK_SRC_CODEC_SIMD_SETS_H

#include "penstock/codec/skeleton.h"

extern const struct simd simd_plain;
extern const struct simd simd_neon;              // on 64-bit ARM only
extern const struct simd simd_avx2, simd_avx512; // on x86-64 only

// skeleton.c
const char *skeleton_match_plain(const struct skeleton *skeleton, struct span text,
                                 struct filling *holes);
const char *skeleton_match_sse2(const struct skeleton *skeleton, struct span text,
                                struct filling *holes); // and this one on x86-64 only
const char *skeleton_match_avx2(const struct skeleton *skeleton, struct span text,
                                struct filling *holes);

enum { ESCAPE_SHORT = 2, ESCAPE_LONG = 6 }; // bytes: \n and \u00e9

// Of the escape whose second byte this is; 0: there is none such.
static const uint8_t escape_len[256] = {
    ['"'] = ESCAPE_SHORT, ['\\'] = ESCAPE_SHORT, ['/'] = ESCAPE_SHORT,
    ['b'] = ESCAPE_SHORT, ['f'] = ESCAPE_SHORT,  ['n'] = ESCAPE_SHORT,
    ['r'] = ESCAPE_SHORT, ['t'] = ESCAPE_SHORT,  ['u'] = ESCAPE_LONG,
};

static inline bool is_hex_digit(char byte)
{
    return (unsigned char)(byte - '0') < 10 || (unsigned char)((byte | 0x20) - 'a') < 6;
}

// Moves behind the escape at `at`. False if no whole one stands there.
static inline bool pass_escape(const char *text, size_t len, size_t *at)
{
    if (text[*at] != '\\' || len - *at < ESCAPE_SHORT)
        return false;
    size_t escape = escape_len[(unsigned char)text[*at + 1]];
    if (escape == 0 || len - *at < escape)
        return false;
    for (size_t i = ESCAPE_SHORT; i < escape; i++)
        if (!is_hex_digit(text[*at + i]))
            return false;
    *at += escape;
    return true;
}

enum { SURROGATE_MARK = 3 }; // bytes of \ud

static inline bool is_surrogate(const char *at)
{
    return at[0] == '\\' && at[1] == 'u' && (at[2] | 0x20) == 'd';
}

// What up to 64 bytes of a string's contents are, a bit each; the first is not escaped.
struct quoted {
    uint64_t quote, slash, low; // low: a control byte
    uint64_t second;            // may follow a backslash, without digits after it
    uint64_t unicode, hex;      // 'u', and hexadecimal digits
};

// The bytes that a backslash takes the meaning of. A run of backslashes pairs up from its start:
// adding the runs that start at odd places to them all carries each to its end.
static inline uint64_t quoted_escaped(uint64_t slash)
{
    const uint64_t even = UINT64_C(0x5555555555555555);
    uint64_t follows = slash << 1;
    uint64_t odd_starts = slash & ~even & ~follows;
    uint64_t carried = odd_starts + slash;
    return (even ^ (carried << 1)) & follows;
}

// A bit for what ends or interrupts the string among the first `*len` bytes; *len becomes shorter
// where the last escape is not whole.
static inline uint64_t quoted_stop(const struct quoted *is, size_t *len)
{
    const uint64_t last = UINT64_C(1) << (*len - 1);
    uint64_t escaped = quoted_escaped(is->slash);
    uint64_t unicode = escaped & is->unicode;
    uint64_t digits = is->hex >> 1 & is->hex >> 2 & is->hex >> 3 & is->hex >> 4;
    uint64_t cut =
        (is->slash & ~escaped & last) | (unicode & (last | last >> 1 | last >> 2 | last >> 3)) >> 1;
    uint64_t wrong = escaped & ~is->second & ~(unicode & digits);
    uint64_t stop = (is->quote & ~escaped) | is->low | wrong >> 1;
    if (cut != 0) {
        *len = (size_t)__builtin_ctzll(cut);
        stop &= (cut & -cut) - 1;
    }
    return stop;
}

// What up to 64 bytes of JSON are, a bit each, and what the ones before them left open.
struct nested {
    uint64_t quote, slash, open, close;
};

struct nesting {
    size_t depth;
    uint64_t in_string; // all ones: the text so far ends inside a string
    bool escaped;       // the next byte is
    bool lost;          // a backslash outside strings
};

// Each bit becomes the parity of those up to it.
static inline uint64_t parity_of(uint64_t bits)
{
    for (unsigned shift = 1; shift < 64; shift *= 2)
        bits ^= bits << shift;
    return bits;
}

// Bits up to the one with which the outermost container ends; 0 if none does.
static inline unsigned nesting_end(size_t *depth, uint64_t open, uint64_t close)
{
    for (uint64_t all = open | close; all != 0; all &= all - 1) {
        if ((open & all & -all) != 0)
            ++*depth;
        else if (--*depth == 0)
            return (unsigned)__builtin_ctzll(all) + 1;
    }
    return 0;
}

// The same for the whole block, which moves `nesting` on.
static inline unsigned nesting_feed(struct nesting *nesting, const struct nested *is)
{
    uint64_t escaped = nesting->escaped;
    if (is->slash != 0) {
        uint64_t slash = is->slash & ~escaped;
        uint64_t pairs = quoted_escaped(slash);
        nesting->escaped = (slash & ~pairs) >> 63 != 0;
        escaped |= pairs;
    } else {
        nesting->escaped = false;
    }
    uint64_t inside = parity_of(is->quote & ~escaped) ^ nesting->in_string;
    nesting->in_string = (uint64_t)((int64_t)inside >> 63);
    nesting->lost = (is->slash & ~inside) != 0;
    uint64_t open = is->open & ~inside, close = is->close & ~inside;
    size_t ends = (size_t)__builtin_popcountll(close);
    if (likely(ends < nesting->depth)) {
        nesting->depth += (size_t)__builtin_popcountll(open) - ends;
        return 0;
    }
    return nesting_end(&nesting->depth, open, close);
}

#endif
