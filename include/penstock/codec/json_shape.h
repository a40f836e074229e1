// json_shape.h - knows a request body by its likeness to one that was validated before.
//
// A client asks many questions in one form: the same members in the same order, the same settings,
// and other texts. A shape keeps all bytes of such a body but its longer texts. A body that has the
// same bytes around texts that are valid is valid too, and its members lie where they lay but for
// the lengths of the texts, so a few comparisons tell what the scanner would. Anything else is
// scanned.
//
#ifndef PENSTOCK_CODEC_JSON_SHAPE_H
#define PENSTOCK_CODEC_JSON_SHAPE_H

#include "penstock/codec/json_members.h"
#include "penstock/codec/skeleton.h"

enum {
    JSON_SHAPE_BYTES = 1 * KIB, // of a body beside its texts
    JSON_SHAPE_MEMBERS = 6,     // that were looked for and found
};

struct json_shape {
    struct skeleton skeleton;
    uint32_t depth_max; // the limit that the body kept
    struct likeness likeness;
    uint8_t count;
    struct {
        uint8_t item;                       // its index among the members' items
        uint8_t before, start, stop, after; // texts that lie before each of its places
        struct json_member member;
    } found[JSON_SHAPE_MEMBERS];
    size_t lens[JSON_TEXTS_MAX]; // of the texts as they were
    struct skeleton_part parts[JSON_TEXTS_MAX + 1];
    char bytes[JSON_SHAPE_BYTES + 2 * SKELETON_PADDING];
};

// Ask likeness_due(&shape->likeness) first, then json_shape_take(); if that fails, let the shape
// learn. It may not move afterwards.
void json_shape_init(struct json_shape *shape);

// True if `text` is like the body that was learnt; then the items of `members`, which are fresh and
// of the same names, are filled in as by a pass, and its scanner's `marked` is set.
must_use bool json_shape_take(struct json_shape *shape, struct span text,
                              struct json_members *members);

// Learns from a body that `members` have passed over to its end, with its texts told to `texts`.
void json_shape_learn(struct json_shape *shape, struct span text, const struct json_texts *texts,
                      const struct json_members *members);

#endif
