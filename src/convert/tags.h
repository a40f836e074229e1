// tags.h - thoughts that a model writes into its text, between <think> and </think> (C-074).
//
// Servers without a parser for their models hand these on as text. A sink of one choice's deltas:
// only what the text begins with, white space aside, can be a thought; what looks like a tag later
// is text, for users talk about tags. A tag may come in pieces, and escaped.
#ifndef PENSTOCK_SRC_CONVERT_TAGS_H
#define PENSTOCK_SRC_CONVERT_TAGS_H

#include "penstock/convert/delta.h"

enum { TAGS_BLANKS_MAX = 16 };

struct tags {
    delta_sink *emit;
    void *ctx;
    uint8_t phase;   // enum phase
    uint8_t matched; // letters of the tag that is looked for
    uint8_t blank_count;
    char blanks[TAGS_BLANKS_MAX]; // that stand before what may be a tag
};

void tags_put(struct tags *tags, const struct delta *delta);

#endif
