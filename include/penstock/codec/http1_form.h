// http1_form.h - knows the head of an answer by its likeness to one that was parsed before.
//
// A vendor's answers have the same fields in the same order. The values of some differ, above all
// the length, the date and ids, on which nothing but the length depends; all else is what the head
// means. So a head with the same bytes around such values is parsed by comparison.
#ifndef PENSTOCK_CODEC_HTTP1_FORM_H
#define PENSTOCK_CODEC_HTTP1_FORM_H

#include "penstock/codec/http1.h"
#include "penstock/codec/skeleton.h"

enum {
    HTTP_FORM_FIELDS = 48,
    HTTP_FORM_BYTES = 2 * KIB, // of a head without the values that may differ
};

struct http_form {
    struct skeleton skeleton;
    struct likeness likeness;
    enum http_method method; // of the requests that were answered so
    uint16_t reason_at;      // in the head that was learnt, as all places below
    uint16_t field_count;
    uint8_t length_hole; // HTTP_FORM_FIELDS: there is none
    struct {
        uint16_t name_at, name_len;
        uint16_t value_at, value_len;
        uint8_t id; // enum http_field_id
        bool is_hop, is_hole;
    } fields[HTTP_FORM_FIELDS];
    struct skeleton_part parts[HTTP_FORM_FIELDS + 1];
    char bytes[HTTP_FORM_BYTES + 2 * SKELETON_PADDING];
    _Alignas(uint64_t) char head[offsetof(struct http_head, fields)]; // what it said beside them
};

// The form may not move afterwards.
void http_form_init(struct http_form *form);

// The same as http_response_parse(), by the form where it can be. `form` may be NULL.
must_use enum parse http_form_parse(struct http_form *form, struct http_head *head, struct span in,
                                    size_t head_max, enum http_method method, size_t *used,
                                    struct err *err);

#endif
