#include "uring.h"

#include "penstock/base/check.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

static uint32_t power_of_two(uint32_t count)
{
    uint32_t power = 1;
    while (power < count)
        power *= 2;
    return power;
}

struct err uring_group_init(struct uring_group *group, struct io_uring *ring, enum buf_class cls,
                            uint32_t count_max, struct why why)
{
    uint32_t target_min = cls == BUF_SMALL ? URING_SMALL_MIN : URING_LARGE_MIN;
    *group = (struct uring_group){
        .entries = power_of_two(count_max),
        .buf_bytes = cls == BUF_SMALL ? BUF_SMALL_BYTES : BUF_LARGE_BYTES,
        .target_min = (uint32_t)min_size(target_min, count_max),
    };
    group->target = group->target_min;
    group->low = group->target;
    list_init(&group->parked);
    size_t len = group->entries * sizeof(struct io_uring_buf);
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        snprintf(why.text, why.cap, "no memory for %u receive buffers", count_max);
        return ERR_SYS(NO_MEMORY, errno);
    }
    group->ring = memory;
    io_uring_buf_ring_init(group->ring);
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)memory,
        .ring_entries = group->entries,
        .bgid = (uint16_t)cls,
    };
    int ret = io_uring_register_buf_ring(ring, &reg, 0);
    return ret < 0 ? uring_refused(ret, "io_uring_register()", why) : OK;
}

void uring_group_fini(struct uring_group *group, struct bufpool *pool, enum buf_class cls)
{
    if (group->ring == NULL)
        return;
    assert(list_is_empty(&group->parked));
    // The kernel took them from the front, so the last ones published are those it still had.
    for (uint32_t i = 1; i <= group->count; i++) {
        uint32_t at = (group->ring->tail - i) & (group->entries - 1);
        buf_put(buf_at(pool, cls, group->ring->bufs[at].bid));
    }
    verify(munmap(group->ring, group->entries * sizeof(struct io_uring_buf)) == 0);
    group->ring = NULL;
}

// Halves the target after a long calm: no fill of many found less than half of it left.
static void calm_down(struct uring_group *group)
{
    group->low = (uint32_t)min_size(group->low, group->count);
    if (++group->fills < URING_FILLS_CALM)
        return;
    if (group->low > group->target / 2)
        group->target = (uint32_t)max_size(group->target / 2, group->target_min);
    group->fills = 0;
    group->low = group->target;
}

void uring_group_fill(struct uring_group *group, struct bufpool *pool, enum buf_class cls)
{
    calm_down(group);
    uint32_t reserve = pool->cls[cls].count_max / URING_RESERVE_SHARE;
    uint32_t out_max = pool->cls[cls].count_max - reserve;
    int added = 0;
    while (group->count < group->target && pool->cls[cls].count_out < out_max) {
        struct buf *buf = bufpool_take(pool, cls);
        assert(buf != NULL); // fewer are out than there are
        io_uring_buf_ring_add(group->ring, buf->data, buf->cap, buf->index,
                              io_uring_buf_ring_mask(group->entries), added);
        group->count++;
        added++;
    }
    if (added > 0)
        io_uring_buf_ring_advance(group->ring, added);
    group->full = group->count >= group->target;
}

struct buf *uring_group_consumed(struct uring_group *group, struct bufpool *pool,
                                 enum buf_class cls, uint32_t index)
{
    assert(group->count > 0);
    group->count--;
    struct buf *buf = buf_at(pool, cls, index);
    verify(buf->refs == 1); // the kernel's
    return buf;
}

void uring_group_starved(struct uring_group *group)
{
    if (!group->full)
        return; // not the target is too small, but the pool; or it was raised a moment ago
    group->full = false;
    group->target = (uint32_t)min_size(group->target * (size_t)2, group->entries);
}
