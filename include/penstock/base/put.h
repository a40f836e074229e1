// put.h - writes into the caller's memory, piece after piece; what does not fit sets `full`.
#ifndef PENSTOCK_BASE_PUT_H
#define PENSTOCK_BASE_PUT_H

#include "penstock/base/base.h"

struct put {
    char *start, *at, *end;
    bool full; // something did not fit and was left out whole; nothing is written from then on
};

static inline struct put put_into(void *memory, size_t len)
{
    char *start = memory;
    return (struct put){ .start = start, .at = start, .end = start + len };
}

static inline void put_span(struct put *put, struct span bytes)
{
    if (unlikely(put->full || (size_t)(put->end - put->at) < bytes.len)) {
        put->full = true;
        return;
    }
    if (bytes.len > 0)
        memcpy(put->at, bytes.ptr, bytes.len);
    put->at += bytes.len;
}

// A literal: its length is known where it stands, so the copy is a few moves.
#define PUT(put, literal) put_span((put), SPAN(literal))

// In decimal.
void put_u64(struct put *put, uint64_t value);
// The last `count` digits, at most 20, with zeroes in front.
void put_padded(struct put *put, uint64_t value, unsigned count);

static inline struct span put_done(const struct put *put)
{
    return span_of(put->start, (size_t)(put->at - put->start));
}

#endif
