// json_members.h - one validating pass over a request body that finds the members its route needs.
//
// The caller names the members of the root object it wants; the pass reports where they lie, so
// that they can be read, replaced or removed (splice.h) without touching the rest. A member that
// decides something (which model, which limits) may stand there only once: a second one, which the
// vendor might prefer to the first, would be a way around the decision. Names are compared after
// their escapes are resolved.
#ifndef PENSTOCK_CODEC_JSON_MEMBERS_H
#define PENSTOCK_CODEC_JSON_MEMBERS_H

#include "penstock/codec/json.h"

enum { JSON_MEMBERS_MAX = 32 };

struct json_member {
    struct span name; // set by the caller
    bool decides;     // set by the caller: a second one is an error
    // Filled in; the offsets are those of the body.
    bool found;
    uint32_t index; // which member of the object it is, from 0
    struct json_place place;
    size_t before; // end of the value before it, or the offset behind '{'
    size_t after;  // offset of the next key, or the end of the value if it is the last
};

struct json_members {
    struct json_scan scan;
    struct json_member *items;
    size_t count;
    size_t open;             // offset behind the root's '{'
    size_t last_end;         // end of the newest value, or `open`
    struct json_member *due; // its `after` is still to come
    struct err err;          // after PARSE_BAD
    size_t err_at;
};

// `items` must outlive the pass.
void json_members_init(struct json_members *members, struct json_member *items, size_t count);

// How deep the text may nest, at most JSON_DEPTH_MAX. Before the first feed.
void json_members_limit(struct json_members *members, uint32_t depth);

// Goes on in `text`, of at most `budget` bytes; see json_scan_feed(). PARSE_DONE: the body is a
// valid object and `items` are filled in. PARSE_BAD: *err is JSON_MALFORMED, JSON_TOO_DEEP,
// JSON_TYPE (the root is no object) or JSON_DUPLICATE.
must_use enum parse json_members_feed(struct json_members *members, struct span text, bool final,
                                      size_t budget, struct err *err);

// After PARSE_BAD: where, and what, for the client: "unexpected character at byte 17
// (messages[0])".
enum { JSON_MEMBERS_REPORT = 400 };
size_t json_members_report(const struct json_members *members, struct span text,
                           char out[JSON_MEMBERS_REPORT]);

// The value of a member that was found; JK_NONE otherwise.
static inline struct json_slice json_member_value(const struct json_member *member,
                                                  struct span text)
{
    if (!member->found)
        return JSON_SLICE_NONE;
    const struct json_place *place = &member->place;
    return (struct json_slice){ span_of(text.ptr + place->at, place->end - place->at),
                                place->kind };
}

#endif
