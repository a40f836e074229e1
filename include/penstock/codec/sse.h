// sse.h - server-sent events: where an event ends in a stream of bytes, what it says, how to write
// one.
//
// Lines end in LF, CRLF or CR, also mixed. A block is everything up to and with a blank line: an
// event, a comment, or nothing but the blank line itself (some servers keep a connection alive with
// one). Blocks cover the stream without a gap, so that whoever passes on whole blocks passes on
// every byte.
#ifndef PENSTOCK_CODEC_SSE_H
#define PENSTOCK_CODEC_SSE_H

#include "penstock/base/base.h"
#include "penstock/codec/parse.h"

// Finds the ends of blocks; zero it to start.
struct sse_scan {
    uint64_t block_count; // blocks that have ended
    uint64_t held;        // bytes of the block that has not
    bool in_line;         // the current line is not empty
    bool after_cr;        // the last byte was a CR, which a LF may follow
    bool end_due;         // ... and the block ends with it
    bool crlf;            // the last line end was CRLF
};

// Looks at `in` for the end of the current block. PARSE_DATA: it ended after *used bytes of `in`,
// which may be none: then it ended with the bytes given before. PARSE_MORE: all of `in` belongs to
// it, *used is in.len.
//
// A blank line by CR ends the block at once, unless the line before it ended in CRLF: then the LF
// that is sure to come is waited for. Where blocks end does not depend on how the stream is cut.
must_use enum parse sse_scan_feed(struct sse_scan *scan, struct span in, size_t *used);

// True where a block begins.
static inline bool sse_scan_begins(const struct sse_scan *scan)
{
    return scan->held == 0 && !scan->in_line && !scan->after_cr && !scan->end_due;
}

// Passes over the block that begins here by other knowledge than its bytes: it ends with LF, and
// scan->crlf is `crlf` then.
static inline void sse_scan_pass(struct sse_scan *scan, bool crlf)
{
    scan->block_count++;
    scan->crlf = crlf;
}

struct sse_event {
    struct span name; // of the last `event:` line; empty if there is none
    struct span data; // lines joined by LF; a view of the block if it is a single line
    uint32_t data_lines;
    bool comment_only; // no field at all: nothing but comments and blank lines
};

// Reads one block. `first`: it is the stream's first (block_count is 1 once it has ended, 0 if the
// stream ended before), where a byte order mark may stand. More than one data line is joined in
// `join`; false if that is too small, and then `out` is what a reader would see without the lines
// that did not fit.
must_use bool sse_parse(struct span block, bool first, char *join, size_t cap,
                        struct sse_event *out);

// Writes an event with one `data:` line for each line of `data`, and a name unless it is empty.
// Returns its length, 0 if it does not fit; sse_write_size() is always enough.
size_t sse_write(char *out, size_t cap, struct span name, struct span data);
size_t sse_write_size(struct span name, struct span data);

#endif
