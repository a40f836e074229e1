// base64.h - base64 written into a sink as it is made, and read back from whatever form it came in.
#ifndef PENSTOCK_SRC_CONVERT_BASE64_H
#define PENSTOCK_SRC_CONVERT_BASE64_H

#include "penstock/convert/scratch.h"
#include "penstock/convert/sink.h"

// What is written into `sink` goes to `out` in the standard alphabet; the end is padded.
struct base64 {
    struct sink sink;
    struct sink *out;
    char room[SINK_ROOM_MIN * 3];
};

void base64_begin(struct base64 *base64, struct sink *out);
void base64_end(struct base64 *base64);

// The bytes that a text in any alphabet, padded or not, stands for; NULL if it is no base64, or
// memory is short.
struct span base64_read(struct words text, struct scratch *scratch);
// The same text in the standard alphabet, padded, without line breaks (C-105): as it is where it is
// that already, else a copy; none if it is no base64, or memory is short.
struct words base64_standard(struct words text, struct scratch *scratch);

#endif
