// value.h - a document as a tree: what YAML and JSON have in common, with the place of each value.
#ifndef PENSTOCK_MODEL_VALUE_H
#define PENSTOCK_MODEL_VALUE_H

#include "penstock/base/region.h"
#include "penstock/model/problem.h"

#include <jansson.h>

// WORD is a plain scalar of YAML, whose type the reader decides; the others are as in JSON, and a
// quoted scalar is TEXT. Numbers keep their text.
enum value_kind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_NUMBER,
    VALUE_WORD,
    VALUE_TEXT,
    VALUE_LIST,
    VALUE_MAP,
};

struct value {
    enum value_kind kind;
    bool is_interpolated; // made by ${...}: not a plain secret
    bool is_broken;       // its ${...} failed, which was said: not read again
    struct place place;
    struct place key_place; // of an entry in a map
    struct span key;        // of an entry in a map
    uint32_t hash;          // of the key, where the reader made one
    struct span text;       // of a scalar
    struct value *first;    // of a list or map
    struct value *next;     // in the parent
    uint32_t count;
};

enum { VALUE_DEPTH_MAX = 32 };

// The entry `key` of a map; NULL if there is none, or no map.
struct value *value_find(const struct value *map, struct span key);
const char *value_kind_name(enum value_kind kind); // "a map"
// Texts are copied into `region`. NULL if `json` is nested deeper than VALUE_DEPTH_MAX.
must_use struct value *value_from_json(struct region *region, const json_t *json);

#endif
