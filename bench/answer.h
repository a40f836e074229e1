// answer.h - reads HTTP/1.1 answers off a byte stream, for the load program alone.
//
// Only what the bench's servers send: a status line, a length or chunks, no trailers of interest.
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum answer_state {
    ANSWER_HEAD,
    ANSWER_BODY,       // `left` bytes, then the end
    ANSWER_CHUNK_SIZE, // the line before a chunk
    ANSWER_CHUNK,      // `left` bytes, then the line end
    ANSWER_CHUNK_END,
    ANSWER_TRAILER,
    ANSWER_DONE,
    ANSWER_BAD,
};

enum { ANSWER_LINE_MAX = 16 * 1024 };

struct answer {
    enum answer_state state;
    int status;
    bool closes; // the server will close after this answer
    uint64_t left;
    size_t line_len; // of the head, or of a chunk's line, gathered so far
    // The number after `ts=`, gathered over any cut.
    unsigned ts_at;
    uint64_t ts;
    char line[ANSWER_LINE_MAX];
};

// Called for each `ts=<number>` in a body.
typedef void answer_ts_fn(void *arg, uint64_t ts);

void answer_reset(struct answer *answer);

// Takes bytes until they are used up or the answer ends (DONE or BAD); returns how many it took.
size_t answer_feed(struct answer *answer, const char *from, size_t len, answer_ts_fn *on_ts,
                   void *arg);

#endif
