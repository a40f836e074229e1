// schema.h - JSON Schemas of tools and answers, as the vendors take them.
//
// A schema is written again from the client's text, never built in memory: the same schema always
// gives the same bytes. Local references ("#/$defs/x") are followed where a vendor knows none; what
// is nested too deeply, refers to itself, or would grow too large that way becomes an object of
// any kind.
#ifndef PENSTOCK_CONVERT_SCHEMA_H
#define PENSTOCK_CONVERT_SCHEMA_H

#include "penstock/convert/scratch.h"
#include "penstock/convert/sink.h"

enum {
    SCHEMA_DEPTH_MAX = 32,      // schemas inside schemas
    SCHEMA_PARTS_MAX = 16,      // that one schema is put together from
    SCHEMA_REFS_MAX = 16,       // references inside what a reference meant
    SCHEMA_REF_BYTES = 1 * MIB, // of text that the references of one schema stand for
};

// For vendors that take an object at the root and no union beside it (C-036): a union of objects
// becomes one object with the properties of all, and what is no object becomes the property "value"
// of one. True if anything but a missing type was changed. Too little scratch memory fails the
// sink.
bool schema_put_object(struct sink *out, struct json_slice schema, struct scratch *scratch);
// True if schema_put_object() wraps it: then the arguments have to be unwrapped again.
bool schema_is_wrapped(struct json_slice schema);

// For vendors that know only the subset of OpenAPI (C-035, Gemini's `parameters`). True if anything
// was left out or written in another way. Too little scratch memory fails the sink.
bool schema_put_reduced(struct sink *out, struct json_slice schema, struct scratch *scratch);
// True for an object without properties, which such a vendor wants left out.
bool schema_is_bare(struct json_slice schema);

// The way back: a schema in that subset, with types in capitals, `nullable` and limits as strings,
// as an ordinary one.
void schema_put_standard(struct sink *out, struct json_slice schema);

// True if it is already what `strict` demands: no object takes other properties, and all of its own
// are required (C-120).
bool schema_is_strict(struct json_slice schema);

#endif
