// skeleton.h - recognises the next event of a stream by its likeness to one that was read before.
//
// Most events of an LLM's stream differ from the one before only in a text and perhaps a number or
// two. A skeleton keeps the bytes around those holes. A new event that has the same bytes, with a
// JSON string's contents or digits in the holes, has the same structure, so it need not be parsed:
// two or three comparisons tell. Anything else does not match and is read the long way.
#ifndef PENSTOCK_CODEC_SKELETON_H
#define PENSTOCK_CODEC_SKELETON_H

#include "penstock/base/base.h"

enum { SKELETON_HOLES_MAX = 6, SKELETON_BYTES_MAX = 512 };

enum hole_kind {
    HOLE_STRING, // what stands between the quotes of a JSON string
    HOLE_DIGITS, // a run of at least one digit
};

struct hole {
    struct span text; // inside the event
    uint8_t kind;     // enum hole_kind
    uint8_t tag;      // the caller's own
};

// Zero it to start.
struct skeleton {
    uint16_t lens[SKELETON_HOLES_MAX + 1]; // of the parts around the holes, which fill `bytes`
    uint8_t kinds[SKELETON_HOLES_MAX], tags[SKELETON_HOLES_MAX];
    uint8_t hole_count;
    bool set;
    char bytes[SKELETON_BYTES_MAX];
};

// Learns from `event`. The holes may be given in any order; they may not overlap. Nothing is learnt
// if the bytes around the holes are more than a skeleton keeps.
void skeleton_learn(struct skeleton *skeleton, struct span event, const struct hole *holes,
                    size_t count);

// True if `event` is like the one that was learnt; then holes[0..hole_count-1] are its own, in the
// order of the text. No match if nothing was learnt.
must_use bool skeleton_match(const struct skeleton *skeleton, struct span event,
                             struct hole holes[SKELETON_HOLES_MAX]);

#endif
