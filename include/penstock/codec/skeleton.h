// skeleton.h - recognises a text by its likeness to one that was read before.
//
// Most events of an LLM's stream differ from the one before only in a text and perhaps a number or
// two, and most whole answers of one vendor in a few more. A skeleton keeps the bytes around those
// holes. A new text that has the same bytes, with a JSON string's contents or digits in the holes,
// has the same structure, so it need not be parsed: a few comparisons tell. Anything else does not
// match and is read the long way.
#ifndef PENSTOCK_CODEC_SKELETON_H
#define PENSTOCK_CODEC_SKELETON_H

#include "penstock/base/base.h"

enum {
    SKELETON_PADDING = 16, // bytes around those that are kept, which may be read
};

enum hole_kind {
    HOLE_STRING, // what stands between the quotes of a JSON string, of which not all is looked at
    HOLE_VALID,  // the same, and every byte of it is valid
    HOLE_DIGITS, // one to HOLE_DIGITS_MAX digits
    HOLE_NUMBER, // a number of any spelling
    HOLE_LINE,   // what may stand in a line of an HTTP head
};

enum { HOLE_DIGITS_MAX = 18 }; // what they say fits 64 bits

struct hole {
    struct span text; // inside the one that is learnt
    uint8_t kind;     // enum hole_kind
    uint8_t tag;      // the caller's own
};

// The bytes before a hole, and the hole. The last part has no hole.
struct skeleton_part {
    uint16_t len;
    uint16_t mask; // a bit for each of the bytes, if they are less than a vector
    uint8_t kind, tag;
};

struct skeleton {
    struct skeleton_part *parts;
    char *bytes; // of all parts, one after the other
    uint16_t parts_max, bytes_max;
    uint16_t part_count; // holes and one more; 0: nothing was learnt
};

// The memory is the caller's and must outlive the skeleton: `parts_max` parts make room for one
// hole fewer; of `bytes`, SKELETON_PADDING at either end are not used.
void skeleton_init(struct skeleton *skeleton, struct skeleton_part *parts, size_t parts_max,
                   char *bytes, size_t bytes_size);
void skeleton_reset(struct skeleton *skeleton);

static inline bool skeleton_is_set(const struct skeleton *skeleton)
{
    return skeleton->part_count > 0;
}
static inline size_t skeleton_holes(const struct skeleton *skeleton)
{
    return skeleton->part_count - 1u;
}

// Learns from `text`. The holes, of which there must be room for, come in the order of the text and
// do not overlap. Nothing is learnt if the bytes around the holes are more than a skeleton keeps.
void skeleton_learn(struct skeleton *skeleton, struct span text, const struct hole *holes,
                    size_t count);

// If `text` begins like the one that was learnt, returns the bytes that are like it; then holes[]
// is what stands in the holes, in the order of the text. Otherwise, or if nothing was learnt, or if
// `text` has less than sixteen bytes, 0.
must_use size_t skeleton_match(const struct skeleton *skeleton, struct span text,
                               struct span *holes);

// Whether comparing is worth while. Texts that keep differing are tried ever more rarely, since
// what is only almost alike is read twice, and then learnt.
enum { LIKENESS_REST_MAX = 8 }; // as a power of two: texts that are not compared after a miss
struct likeness {
    uint16_t rest;  // texts until the next one is tried
    uint8_t misses; // in a row
};
must_use static inline bool likeness_due(struct likeness *likeness)
{
    if (likely(likeness->rest == 0))
        return true;
    likeness->rest--;
    return false;
}
static inline void likeness_miss(struct likeness *likeness)
{
    likeness->misses = (uint8_t)min_size(likeness->misses + 1u, LIKENESS_REST_MAX);
    likeness->rest = likeness->misses > 1 ? (uint16_t)BIT(likeness->misses) : 0;
}

// The value of a hole of digits.
static inline uint64_t hole_number(struct span digits)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits.len; i++)
        value = value * 10 + (uint64_t)(unsigned char)digits.ptr[i] - '0';
    return value;
}

#endif
