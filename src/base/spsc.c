#include "penstock/base/spsc.h"

#include "penstock/base/check.h"

#include <stdatomic.h>
#include <stdlib.h>

struct err spsc_init(struct spsc *ring, uint32_t count, uint32_t item_size)
{
    assert(count > 0 && (count & (count - 1)) == 0);
    assert(count <= UINT32_C(1) << 30);
    memset(ring, 0, sizeof(*ring));
    ring->mask = count - 1;
    ring->item_size = (uint32_t)round_up(item_size, 8);
    ring->items = aligned_alloc(CACHE_LINE, round_up((size_t)count * ring->item_size, CACHE_LINE));
    return ring->items != NULL ? OK : ERR(NO_MEMORY);
}

void spsc_init_over(struct spsc *ring, void *memory, uint32_t count, uint32_t item_size)
{
    assert(count > 0 && (count & (count - 1)) == 0);
    assert(item_size % 8 == 0);
    memset(ring, 0, sizeof(*ring));
    ring->mask = count - 1;
    ring->item_size = item_size;
    ring->items = memory;
}

void spsc_fini(struct spsc *ring)
{
    free(ring->items);
    ring->items = NULL;
}

void *spsc_place_at(struct spsc *ring, uint32_t ahead)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed) + ahead;
    if (tail - ring->head_seen > ring->mask) {
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (tail - ring->head_seen > ring->mask)
            return NULL;
    }
    return ring->items + (size_t)(tail & ring->mask) * ring->item_size;
}

void spsc_push_many(struct spsc *ring, uint32_t count)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed) + count;
    assert(tail - ring->head_seen <= ring->mask + 1);
    atomic_store_explicit(&ring->tail, tail, memory_order_release);
}

void *spsc_place(struct spsc *ring)
{
    return spsc_place_at(ring, 0);
}

void spsc_push(struct spsc *ring)
{
    spsc_push_many(ring, 1);
}

bool spsc_is_half_full(struct spsc *ring)
{
    const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - ring->head_seen <= ring->mask / 2 + 1)
        return false;
    ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    return tail - ring->head_seen > ring->mask / 2 + 1;
}

void *spsc_front(struct spsc *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == ring->tail_seen) {
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head == ring->tail_seen)
            return NULL;
    }
    return ring->items + (size_t)(head & ring->mask) * ring->item_size;
}

void spsc_pop(struct spsc *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    assert(head != ring->tail_seen);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

void *spsc_peek(struct spsc *ring, uint32_t index)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (index >= ring->tail_seen - head) {
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (index >= ring->tail_seen - head)
            return NULL;
    }
    return ring->items + (size_t)((head + index) & ring->mask) * ring->item_size;
}

void spsc_pop_many(struct spsc *ring, uint32_t count)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    assert(count <= ring->tail_seen - head);
    atomic_store_explicit(&ring->head, head + count, memory_order_release);
}

uint32_t spsc_count(struct spsc *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return tail - head;
}
