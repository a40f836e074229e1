// serial.h - puts deltas into an order in which only one call is open at a time.
//
// Chat may interleave the arguments of several calls, Messages and Responses cannot (C-021). The
// call that was begun first goes through at once; whatever else arrives while it is open waits and
// follows in the order of its arrival (C-147). With FINISH all that waits is let go, complete or
// not.
#ifndef PENSTOCK_CONVERT_SERIAL_H
#define PENSTOCK_CONVERT_SERIAL_H

#include "penstock/convert/completion.h"

struct serial {
    struct completion queue;
    delta_sink *emit;
    void *ctx;
    bool is_open;  // a call is
    uint16_t call; // which one
};

void serial_init(struct serial *serial, const struct arena_source *chunks, uint64_t kept_max,
                 delta_sink *emit, void *ctx);
void serial_fini(struct serial *serial);
// Of one choice only.
void serial_put(struct serial *serial, const struct delta *delta);

#endif
