// offsets.h - bytes of UTF-8 and code points of one text that is seen in pieces.
//
// Formats count a citation's place differently, and tell it when the text has gone by (C-127,
// C-148). Remembered is only where the bytes are that begin no code point: nothing for ASCII.
#ifndef PENSTOCK_SRC_CONVERT_OFFSETS_H
#define PENSTOCK_SRC_CONVERT_OFFSETS_H

#include "penstock/convert/keep.h"

struct offsets_page;

struct offsets {
    uint64_t bytes, points; // of all text so far
    struct offsets_page *first, *last;
    uint32_t count; // entries
    bool lost;      // it became too much: places are no longer known
};

// More of the text.
void offsets_add(struct offsets *offsets, struct keep *keep, struct words text);
// False if that place is not known, or behind the text.
must_use bool offsets_point_of(const struct offsets *offsets, uint64_t byte, uint64_t *point);
must_use bool offsets_byte_of(const struct offsets *offsets, uint64_t point, uint64_t *byte);

#endif
