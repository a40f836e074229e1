// extent.h - contiguous memory for bodies too large for a buffer: grows without copying much,
// returns to the system.
//
// An extent's address space is rounded up to a power of two, but only touched pages are resident. A
// pool keeps a few released extents warm, so that a steady flow of large bodies takes no page
// faults; extent_pool_trim(), called once a second, returns what was not needed since the last
// call.
#ifndef PENSTOCK_NET_EXTENT_H
#define PENSTOCK_NET_EXTENT_H

#include "penstock/base/base.h"

enum {
    EXTENT_PAGE = 4 * KIB,
    EXTENT_MIN_SHIFT = 15, // 32 KiB
    EXTENT_CLASSES = 13,   // up to 128 MiB
    EXTENT_KEPT_PER_CLASS = 64,
    EXTENT_KEPT_MAX = 24 * MIB, // resident and kept warm, a pool
    EXTENT_COPY_MAX = 1 * MIB,  // what growing copies at most, where that spares page faults
};

struct extent {
    char *ptr;
    size_t len;     // that was asked for, and may be used
    size_t cap;     // address space
    size_t touched; // no byte behind this was ever used
};

struct extent_pool {
    struct {
        struct extent kept[EXTENT_KEPT_PER_CLASS];
        uint16_t count, low; // low: the fewest kept since the last trim
    } cls[EXTENT_CLASSES];
    size_t kept_bytes; // that may be resident
};

// `len` bytes, uninitialised. False when the system refuses.
must_use bool extent_take(struct extent_pool *pool, struct extent *extent, size_t len);
// Makes it at least `len` bytes long and keeps its content; the address may change. False leaves it
// as it was.
must_use bool extent_grow(struct extent_pool *pool, struct extent *extent, size_t len);
// Gives it back; *extent becomes empty. Harmless on an empty one.
void extent_give(struct extent_pool *pool, struct extent *extent);

// What it may hold resident at most.
static inline size_t extent_bytes(const struct extent *extent)
{
    return (extent->touched + EXTENT_PAGE - 1) / EXTENT_PAGE * EXTENT_PAGE;
}

void extent_pool_trim(struct extent_pool *pool);
void extent_pool_fini(struct extent_pool *pool);

#endif
