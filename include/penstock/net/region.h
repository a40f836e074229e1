// region.h - contiguous memory for bodies too large for a buffer: grows without copying, returns to
// the system.
//
// A region's address space is rounded up to a power of two, but only touched pages are resident. A
// pool keeps a few released regions warm, so that a steady flow of large bodies takes no page
// faults; region_pool_trim(), called once a second, returns what was not needed since the last
// call.
#ifndef PENSTOCK_NET_REGION_H
#define PENSTOCK_NET_REGION_H

#include "penstock/base/base.h"

enum {
    REGION_MIN_SHIFT = 15, // 32 KiB
    REGION_CLASSES = 13,   // up to 128 MiB
    REGION_KEPT_PER_CLASS = 64,
    REGION_KEPT_MAX = 24 * MIB, // address space kept warm a pool
};

struct region {
    char *ptr;
    size_t cap;
};

struct region_pool {
    struct {
        void *kept[REGION_KEPT_PER_CLASS];
        uint16_t count, low; // low: the fewest kept since the last trim
    } cls[REGION_CLASSES];
    size_t kept_bytes;
};

// At least `len` bytes, uninitialised. False when the system refuses.
must_use bool region_take(struct region_pool *pool, struct region *region, size_t len);
// Makes it at least `len` bytes long and keeps its content; the address may change. False leaves it
// as it was.
must_use bool region_grow(struct region_pool *pool, struct region *region, size_t len);
// Gives it back; *region becomes empty. Harmless on an empty one.
void region_give(struct region_pool *pool, struct region *region);

void region_pool_trim(struct region_pool *pool);
void region_pool_fini(struct region_pool *pool);

#endif
