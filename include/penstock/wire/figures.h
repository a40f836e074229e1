// figures.h - what one shard counts, for metrics: written by the shard alone, read by anybody.
#ifndef PENSTOCK_WIRE_FIGURES_H
#define PENSTOCK_WIRE_FIGURES_H

#include "penstock/base/counter.h"
#include "penstock/wire/route.h"

enum {
    FIGURES_FAMILIES = FAMILY_GEMINI + 1,
    FIGURES_TOKENS = 6,  // kinds of tokens, as in usage records
    FIGURES_CLASSES = 6, // of status; 0: the client was gone before an answer
};

struct shard_counters {
    struct counter requests[OP_COUNT][FIGURES_CLASSES];
    struct counter errors[ERR_CODE_COUNT]; // of requests that ended with one
    struct counter tokens[FIGURES_FAMILIES][FIGURES_TOKENS];
    struct latency duration[OP_COUNT], first_token[OP_COUNT];
    struct counter attempts, retries, stale_retries;
    struct counter fields_dropped;
    struct counter bytes_in, bytes_out;
    // As they are now.
    struct counter in_flight;
    // What the loop and its parts counted, as of the end of the last turn.
    struct counter connections, upstream_idle, upstream_reused;
    struct counter turns, turns_slow;
    struct counter syscalls, no_buffers;
};

#endif
