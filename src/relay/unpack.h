// unpack.h - compressed bodies: a client's before it is planned, a vendor's as it passes; private
// to src/relay.
#ifndef PENSTOCK_RELAY_UNPACK_H
#define PENSTOCK_RELAY_UNPACK_H

#include "req.h"

struct unpack {
    struct inflate inflate;
    struct body *body; // a client's body as far as it is unpacked
    size_t len;        // bytes in it
    struct span rest;  // packed bytes still to come; a view of the client's body
    uint32_t charged;  // what the decompressor holds
    bool is_answer;
};

// Begins with the client's body, or with a vendor's answer of `coding`.
must_use struct err unpack_begin(struct req *req, enum coding coding, bool is_answer);
// Unpacks a bounded piece of the client's body. PARSE_MORE: more work is left for another turn.
// PARSE_DONE: the stream's body is now the plain one. PARSE_BAD: *err.
must_use enum parse unpack_body(struct req *req, struct err *err);
// Unpacks more of `in`, a piece of the vendor's answer, into a fresh buffer. PARSE_DATA: `out`
// holds the caller's reference. PARSE_MORE: `in` is used up.
must_use enum parse unpack_piece(struct req *req, struct span *in, struct seg *out,
                                 struct err *err);
void unpack_end(struct req *req);

#endif
