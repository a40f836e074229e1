// blob.h - signatures and other opaque texts in bodies and answers that pass: found without
// parsing.
//
// What only its maker can read stands as a string behind one of a few keys. A quote inside a string
// is always escaped, so a key with its closing quote is found by a search and is no text of
// somebody's. A member of that name elsewhere, in a tool's arguments, is found too; nobody asks for
// it.
#ifndef PENSTOCK_CONVERT_BLOB_H
#define PENSTOCK_CONVERT_BLOB_H

#include "penstock/base/base.h"
#include "penstock/wire/route.h"

enum {
    BLOB_END = 96, // bytes of each end that tell a blob from others
    BLOB_PADDING = 2,
    BLOB_LEAST = 16, // shorter ones are none
    BLOB_TEXT_MAX = 8 + 2 * BLOB_END,
    BLOB_MARKS_MAX = 2,
    BLOB_MARK_MAX = 20, // bytes of one
};

// A blob by its length and its ends, without escapes: it is random throughout, and long ones are
// not to be read again in each later request. Clients that take it for bytes write it in another
// base64 than they read, so the two alphabets are one here, and padding does not count.
struct blob {
    uint64_t len;
    uint8_t head_len, tail_len;
    char head[BLOB_END], tail[BLOB_END + BLOB_PADDING];
};

// Of the contents of a JSON string.
void blob_of(struct blob *blob, struct span raw);
// The bytes that stand for it.
struct span blob_text(const struct blob *blob, char out[BLOB_TEXT_MAX]);

// The keys of a format, each a search of its own; how many.
size_t blob_marks(enum wire_family family, struct span out[BLOB_MARKS_MAX]);

// One search. Text may come in pieces.
struct blob_scan {
    struct span mark;
    uint8_t state;     // enum blob_state
    uint8_t carry_len; // of the end of the piece before
    uint8_t digits;    // of an escape that were seen
    uint16_t code;     // of it
    char carry[BLOB_MARK_MAX];
    struct blob blob; // that is being read
};

void blob_scan_init(struct blob_scan *scan, struct span mark);
// Takes text from the front of `in` up to the end of the next blob. False: there is none in it.
bool blob_scan_next(struct blob_scan *scan, struct span *in, struct blob *out);

#endif
