// skeleton.h - recognises a text by its likeness to one that was read before.
//
// Most events of an LLM's stream differ from the one before only in a text and perhaps a number or
// two, and most whole answers of one vendor in a few more. A skeleton keeps the bytes around those
// holes. A new text that has the same bytes, with a JSON string's contents or digits in the holes,
// has the same structure, so it need not be parsed: a few comparisons tell. Anything else does not
// match and is read the long way.
#ifndef PENSTOCK_CODEC_SKELETON_H
#define PENSTOCK_CODEC_SKELETON_H

#include "penstock/codec/simd.h"

enum {
    SKELETON_VECTOR = 32,               // bytes that are compared at once
    SKELETON_PADDING = SKELETON_VECTOR, // around those that are kept, which may be read
};

enum hole_kind {
    HOLE_STRING,  // what stands between the quotes of a JSON string
    HOLE_DIGITS,  // one to HOLE_DIGITS_MAX digits
    HOLE_NUMBER,  // a number of any spelling
    HOLE_LINE,    // what may stand in a line of an HTTP head
    HOLE_COUNTER, // digits that are one more with each text: none for who matches, see below
    HOLE_NONE,    // behind the last part
};

enum { HOLE_DIGITS_MAX = 18 }; // what they say fits 64 bits

struct hole {
    struct span text; // inside the one that is learnt
    uint8_t kind;     // enum hole_kind
    uint8_t tag;      // the caller's own
};

// The bytes before a hole, and the hole.
struct skeleton_part {
    uint16_t len;
    uint8_t kind, tag;
    uint32_t mask; // a bit for each of the bytes, if they are less than a vector
};

// What stands in a hole.
struct filling {
    struct span text;
    uint64_t number; // the value of digits; of a string 0 if it is seen to be ASCII without escapes
};

struct skeleton {
    struct skeleton_part *parts;
    char *bytes; // of all parts, one after the other
    uint16_t parts_max, bytes_max;
    uint16_t len;                      // of the bytes
    uint16_t counter_len, counter_end; // digits of the counter among them; 0: there is none
    uint16_t part_count;               // holes and one more; 0: nothing was learnt
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
// do not overlap; one of them may be a counter. Nothing is learnt if the bytes around the holes are
// more than a skeleton keeps, or less than a vector.
void skeleton_learn(struct skeleton *skeleton, struct span text, const struct hole *holes,
                    size_t count);

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

// A counter costs nothing to compare: what is kept is the number that is expected next. After each
// text that has matched this moves it on; where it would need another digit, nothing is learnt any
// more.
void skeleton_carry(struct skeleton *skeleton); // its rare part
static inline void skeleton_count(struct skeleton *skeleton)
{
    if (skeleton->counter_len == 0)
        return;
    char *digit = &skeleton->bytes[skeleton->counter_end - 1];
    if (likely(*digit < '9'))
        ++*digit;
    else
        skeleton_carry(skeleton);
}

// If `text` begins like the one that was learnt, returns the bytes that are like it; then holes[]
// is what stands in the holes but for a counter's, in the order of the text. Otherwise, or if
// nothing was learnt, or if it is shorter, 0. All sets of codec/simd.h give the same answer.
must_use static inline size_t skeleton_match(const struct skeleton *skeleton, struct span text,
                                             struct filling *holes)
{
    if (!skeleton_is_set(skeleton))
        return 0;
    const char *end = simd_best->skeleton_match(skeleton, text, holes);
    return end != NULL ? (size_t)(end - text.ptr) : 0;
}

#endif
