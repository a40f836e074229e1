// spsc.h - a bounded ring of fixed-size items between exactly one producer and one consumer thread.
//
// Neither side blocks or allocates after spsc_init(). Each side keeps a copy of the other's
// position, so that the shared lines are read only when the ring looks full or empty.
#ifndef PENSTOCK_BASE_SPSC_H
#define PENSTOCK_BASE_SPSC_H

#include "penstock/base/base.h"
#include "penstock/base/err.h"

struct spsc {
    _Alignas(CACHE_LINE) _Atomic uint32_t head; // next to read; written by the consumer
    uint32_t tail_seen;                         // the consumer's copy
    _Alignas(CACHE_LINE) _Atomic uint32_t tail; // next to write; written by the producer
    uint32_t head_seen;                         // the producer's copy
    _Alignas(CACHE_LINE) uint32_t mask;
    uint32_t item_size;
    char *items;
};

// `count` is a power of two up to 2^30.
must_use struct err spsc_init(struct spsc *ring, uint32_t count, uint32_t item_size);
// The same over memory of the caller, count * item_size bytes that outlive the ring (a mapping that
// another process shall find again, say). `item_size` is a multiple of 8; no spsc_fini().
void spsc_init_over(struct spsc *ring, void *memory, uint32_t count, uint32_t item_size);
void spsc_fini(struct spsc *ring);

// Producer: a place for one item, or NULL if the ring is full; spsc_push() makes it visible.
must_use void *spsc_place(struct spsc *ring);
void spsc_push(struct spsc *ring);
// Producer: the place `ahead` items behind the one that spsc_place() would give, and `count` items
// made visible at once. So items can be written, and still changed, before anybody reads them.
must_use void *spsc_place_at(struct spsc *ring, uint32_t ahead);
void spsc_push_many(struct spsc *ring, uint32_t count);
// Producer: whether more than half of the places are taken.
bool spsc_is_half_full(struct spsc *ring);

// Consumer: the oldest item, or NULL if there is none; spsc_pop() gives its place back.
must_use void *spsc_front(struct spsc *ring);
void spsc_pop(struct spsc *ring);

// Consumer: the item `index` places behind the oldest, or NULL if there are fewer; and the oldest
// `count` items given back at once. So items can be read, made durable, and only then released.
must_use void *spsc_peek(struct spsc *ring, uint32_t index);
void spsc_pop_many(struct spsc *ring, uint32_t count);

// Items waiting, as the calling side sees it now; the other side may be changing it.
uint32_t spsc_count(struct spsc *ring);

#endif
