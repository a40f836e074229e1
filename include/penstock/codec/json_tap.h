// json_tap.h - reads a few values out of a JSON text that passes through in pieces.
//
// The tap never holds the text. It follows brackets, quotes and keys through any number of pieces,
// cut anywhere, and copies the values at a few paths into small buffers; a value that is larger
// than its buffer is passed over and marked. It also tells where those values begin and end in the
// whole text while they pass, so that a relay can send another value in their place.
//
// It does not validate: what it promises on any input is that it stays within its memory, that
// brackets match, and that on valid JSON its answers are exact. Depth is bounded as in json.h.
#ifndef PENSTOCK_CODEC_JSON_TAP_H
#define PENSTOCK_CODEC_JSON_TAP_H

#include "penstock/base/base.h"
#include "penstock/codec/json.h"
#include "penstock/codec/parse.h"

enum {
    JSON_TAP_PATHS_MAX = 24,
    JSON_TAP_LEVELS_MAX = 6, // names in a path
    JSON_TAP_NODES_MAX = 48, // different prefixes of all paths together
    JSON_TAP_VALUE_MAX = 4 * KIB,
    JSON_TAP_KEY_MAX = 96, // bytes of a raw key that are looked at; a longer one matches nothing
};

// One path to watch. Names are separated by dots; "[]" as a name stands for every element of an
// array: "choices.[].finish_reason".
struct json_tap_path {
    const char *path;
    uint16_t value_max; // bytes of the value to keep, up to JSON_TAP_VALUE_MAX; 0: only its place
};

// The newest value at a path. A path may be met more than once (repeated keys, array elements).
struct json_tap_hit {
    uint64_t at, end; // in the whole text
    uint32_t count;   // values met, complete or not
    uint16_t len;     // bytes kept
    bool complete;    // the value has ended
    bool too_large;   // longer than its buffer: nothing of it is kept
    enum json_kind kind;
};

enum json_tap_event {
    JSON_TAP_NONE,
    JSON_TAP_BEGIN,   // the value of `path` begins at hit.at; that byte has not been consumed
    JSON_TAP_END,     // it has ended at hit.end; all of it has been consumed
    JSON_TAP_ELEMENT, // an element of the root array is complete
};

// The paths, compiled once into a tree of names; constant afterwards and shared by all taps.
struct json_tap_node {
    struct span name;
    int8_t path;         // the one that ends here, -1 if none
    uint8_t child, next; // first child, next sibling; 0 is none, since the root is nobody's child
    uint64_t marks;      // of its children's names, a bit each: most keys are none
};

struct json_tap_plan {
    struct json_tap_node nodes[JSON_TAP_NODES_MAX];
    size_t node_count;
    const struct json_tap_path *paths;
    size_t path_count;
    size_t value_bytes; // memory that a tap needs for its values
    uint32_t value_at[JSON_TAP_PATHS_MAX];
};

// `paths` must outlive the plan. They are the program's own: one that is malformed, or that is the
// beginning of another, asserts.
void json_tap_plan_init(struct json_tap_plan *plan, const struct json_tap_path *paths,
                        size_t count);

struct json_tap {
    const struct json_tap_plan *plan;
    char *values; // plan->value_bytes of the caller's memory
    uint8_t told; // only paths before this one tell of BEGIN and END; the caller's to lower
    uint64_t pos; // bytes consumed of the whole text
    struct json_tap_hit hits[JSON_TAP_PATHS_MAX];
    enum json_tap_event event; // after PARSE_DATA
    int8_t path;               // the one that `event` is about

    // Private.
    uint8_t state;
    bool escape;      // the byte before was a backslash inside a string
    bool begun;       // JSON_TAP_BEGIN was told for the value that comes next
    int8_t active;    // the path whose value is passing, -1 if none
    uint8_t child;    // node that the next value stands for
    uint16_t key_len; // may exceed the buffer
    uint32_t depth;
    uint32_t skip_depth; // depth at which the container that is being skipped stands
    uint8_t levels[JSON_TAP_LEVELS_MAX + 2]; // nodes of the containers being followed
    uint64_t objects[JSON_DEPTH_MAX / 64];   // a bit a level: this level is an object
    char key[JSON_TAP_KEY_MAX];
};

// `values` must outlive the tap; it may be NULL if the plan's value_bytes is 0.
void json_tap_init(struct json_tap *tap, const struct json_tap_plan *plan, char *values);

// Consumes from the front of `in`. PARSE_DATA: something happened, see `event`; call again.
// PARSE_MORE: `in` is used up. PARSE_DONE: `in` is used up and the text is a whole value.
// PARSE_BAD: this cannot be JSON; nothing more can be learned from this text, what was learned
// before stands.
must_use enum parse json_tap_feed(struct json_tap *tap, struct span *in);

// The text has ended. True if it was a whole value.
must_use bool json_tap_end(const struct json_tap *tap);

// The newest value at a path, if it is complete and was kept. A view of the tap's memory, valid
// until the path's next value begins.
struct json_slice json_tap_value(const struct json_tap *tap, size_t path);

// Forgets all values: between the elements of a root array.
void json_tap_forget(struct json_tap *tap);

#endif
