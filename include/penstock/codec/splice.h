// splice.h - a list of edits over a text that is otherwise passed on as it is.
//
// An edit replaces `len` bytes at `at` by `with`; len 0 inserts, an empty `with` removes. The
// edited text is given out as a sequence of spans, views of the original and of the replacements in
// turn, so that no byte is copied. All of them must stay where they are until the spans are used
// up.
//
// Edits come from offsets that our own scanner found, so edits that overlap are a bug and assert.
#ifndef PENSTOCK_CODEC_SPLICE_H
#define PENSTOCK_CODEC_SPLICE_H

#include "penstock/base/base.h"
#include "penstock/codec/json_members.h"

enum {
    SPLICE_EDITS_MAX = 24,
    SPLICE_SPANS_MAX = 2 * SPLICE_EDITS_MAX + 1,
};

struct splice_edit {
    size_t at, len;
    struct span with;
};

// Zero it to start.
struct splice {
    struct splice_edit edits[SPLICE_EDITS_MAX]; // by position
    size_t count;
};

// Adds an edit; the order of the calls is free. Two insertions at one place come out in the order
// they were added. An edit that changes nothing is left out.
void splice_add(struct splice *splice, size_t at, size_t len, struct span with);

// Bytes of a text of `len` bytes after the edits.
size_t splice_length(const struct splice *splice, size_t len);

// Gives the edited text out: span after span, none of them empty. False at the end.
struct splice_iter {
    const struct splice *splice;
    struct span text;
    size_t pos;   // of the original
    size_t index; // of the next edit
};
struct splice_iter splice_begin(const struct splice *splice, struct span text);
bool splice_next(struct splice_iter *iter, struct span *out);

// All spans at once; returns their number.
size_t splice_spans(const struct splice *splice, struct span text,
                    struct span out[SPLICE_SPANS_MAX]);

// Adds the edits that take members out of an object, with the commas that belong to them. `removed`
// points to found members of one pass, in the order of the body; each must be one that `decides`,
// since of any other there may be a second.
void splice_remove_members(struct splice *splice, struct json_member *const *removed, size_t count);

#endif
