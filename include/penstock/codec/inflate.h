// inflate.h - decompression of request bodies and vendors' answers, piece by piece and bounded.
//
// One layer of gzip (RFC 1952) or zstd (RFC 8878); "identity" is no layer. A peer controls how much
// its bytes grow, so there are bounds on the result, on the ratio, on the memory and on the work of
// one call. Whatever the libraries allocate is freed by inflate_close().
#ifndef PENSTOCK_CODEC_INFLATE_H
#define PENSTOCK_CODEC_INFLATE_H

#include "penstock/codec/http1.h"
#include "penstock/codec/parse.h"

enum {
    INFLATE_STEP = 256 * KIB,    // bytes taken, and bytes written, by one call
    INFLATE_RATIO_MAX = 200,     // bytes out a byte in, looked at after each call, beyond
    INFLATE_RATIO_FREE = MIB,    // the first ones
    INFLATE_MEMBERS_MAX = 256,   // gzip members or zstd frames in a row
    INFLATE_FRAME_HEAD = 18,     // the longest header of a zstd frame
    INFLATE_WINDOW_LOG_MAX = 23, // of zstd: 8 MB, what RFC 9659 allows on the web
    // What one stream holds at most, and a gzip stream at most: for budgets.
    INFLATE_MEMORY_MAX = (1 << INFLATE_WINDOW_LOG_MAX) + MIB,
    INFLATE_GZIP_MEMORY_MAX = 64 * KIB,
};

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_ZSTD };

// What the Content-Encoding fields of `head` say: BODY_ENCODING (of an answer: UPSTREAM_ENCODING)
// for more than one layer or one that is not known here.
must_use struct err coding_find(const struct http_head *head, enum coding *out);

// A stream of one body. It must stay where it is from open to close.
struct inflate {
    enum coding coding;
    bool is_answer; // whose fault an error is
    bool in_member;
    uint32_t members; // that have ended
    struct err err;   // why the stream is bad; nothing comes out of it any more
    uint64_t in_bytes, out_bytes, out_max;
    uint64_t gzip[16]; // a z_stream
    void *zstd;
    uint64_t frame_bytes; // that came out of this zstd frame
    uint8_t frame_head_len;
    char frame_head[INFLATE_FRAME_HEAD];
};

// `coding` is not CODING_IDENTITY. A body of more than `out_max` bytes is an error. NO_MEMORY needs
// no close.
must_use struct err inflate_open(struct inflate *inf, enum coding coding, bool is_answer,
                                 uint64_t out_max);
// Harmless on a stream that is zeroed or closed.
void inflate_close(struct inflate *inf);

// Takes bytes from the front of `in` and writes at most `room_len` (at least 1) bytes of the body
// to `room`. PARSE_DATA: there was progress and *made, which may be 0, bytes were written; call
// again. PARSE_MORE: `in` is used up and nothing waits inside. PARSE_BAD sets *err: BODY_DECODE or
// BODY_TOO_LARGE (of an answer: UPSTREAM_BODY or UPSTREAM_TOO_LARGE), or NO_MEMORY. PARSE_DONE is
// not used: where the body ends is for its framing to say.
must_use enum parse inflate_feed(struct inflate *inf, struct span *in, char *room, size_t room_len,
                                 size_t *made);
// To be asked after the last byte was fed: an error if the stream is not at its end, BODY_DECODE
// (of an answer: UPSTREAM_TRUNCATED).
must_use struct err inflate_end(const struct inflate *inf);

// Bytes that the stream holds now.
size_t inflate_memory(const struct inflate *inf);

#endif
