// simd_sets.h - what the files of the sets share; private to src/codec.
#ifndef PENSTOCK_SRC_CODEC_SIMD_SETS_H
#define PENSTOCK_SRC_CODEC_SIMD_SETS_H

#include "penstock/codec/simd.h"

extern const struct simd simd_plain;
extern const struct simd simd_neon; // on 64-bit ARM only

// True for what may stand behind a backslash, without hexadecimal digits after it.
static const bool is_short_escape[256] = {
    ['"'] = true, ['\\'] = true, ['/'] = true, ['b'] = true,
    ['f'] = true, ['n'] = true,  ['r'] = true, ['t'] = true,
};

// Moves behind the escape of two bytes at `at`. False if none stands there.
static inline bool pass_escape(const char *text, size_t len, size_t *at)
{
    if (text[*at] != '\\' || len - *at < 2 || !is_short_escape[(unsigned char)text[*at + 1]])
        return false;
    *at += 2;
    return true;
}

#endif
