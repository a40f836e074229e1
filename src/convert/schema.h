// schema.h - what the two files that write schemas share: references, and properties by name.
#ifndef PENSTOCK_SRC_CONVERT_SCHEMA_H
#define PENSTOCK_SRC_CONVERT_SCHEMA_H

#include "penstock/convert/schema.h"

// What a local reference ("#", "#/$defs/x") means in the schema `root`; JK_NONE if it is no such.
struct json_slice schema_resolve(struct json_slice root, struct json_slice ref);

// Properties of one object by name, from several lists.
struct props {
    struct prop {
        struct span name; // as it was written
        struct json_slice value;
        uint32_t next; // of the same name, plus one
        bool again;    // not the first of its name
    } * list;
    uint32_t *slots; // places in the list by the name's hash, plus one; as many as `mask` + 1
    uint32_t count, mask;
};

// Makes room for the members of these objects and adds them; false if memory is short.
must_use bool props_of(struct props *props, const struct json_slice *objects, uint32_t count,
                       struct scratch *scratch);
// The first property of that name, NULL if there is none.
struct prop *props_find(const struct props *props, struct span name);
// The last one: in one list the last wins, and so it does here.
const struct prop *props_last(const struct props *props, const struct prop *first);

#endif
