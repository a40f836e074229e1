#include "penstock/io/buf.h"

#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/base/poison.h"

#include <errno.h>
#include <sys/mman.h>

enum { BUF_COUNT_MAX = 32768 }; // what one provided-buffer ring can hold

static const uint32_t class_bytes[BUF_CLASS_COUNT] = {
    [BUF_SMALL] = BUF_SMALL_BYTES,
    [BUF_LARGE] = BUF_LARGE_BYTES,
};

static struct err class_init(struct bufpool *pool, enum buf_class cls, uint32_t count)
{
    assert(count > 0);
    assert(count <= BUF_COUNT_MAX);
    size_t len = (size_t)count * class_bytes[cls];
    char *memory =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return ERR_SYS(NO_MEMORY, errno);
    pool->cls[cls].pool = pool;
    pool->cls[cls].memory = memory;
    pool->cls[cls].count_max = count;
    // Both are advice. What peers sent does not belong into a core file, and a huge page would make
    // 2 MB resident for the first byte.
    (void)madvise(memory, len, MADV_DONTDUMP);
    (void)madvise(memory, len, MADV_NOHUGEPAGE);
    pool->cls[cls].bufs = mem_take(count, sizeof(struct buf));
    if (pool->cls[cls].bufs == NULL)
        return ERR(NO_MEMORY);
    POISON(memory, len);
    return OK;
}

struct err bufpool_init(struct bufpool *pool, uint32_t small, uint32_t large)
{
    *pool = (struct bufpool){ 0 };
    struct err err = class_init(pool, BUF_SMALL, small);
    if (!failed(err))
        err = class_init(pool, BUF_LARGE, large);
    if (failed(err))
        bufpool_fini(pool);
    return err;
}

void bufpool_fini(struct bufpool *pool)
{
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++) {
        assert(pool->cls[cls].count_out == 0);
        mem_give(pool->cls[cls].bufs);
        size_t len = (size_t)pool->cls[cls].count_max * class_bytes[cls];
        if (pool->cls[cls].memory != NULL) {
            UNPOISON(pool->cls[cls].memory, len); // the addresses may be mapped again
            verify(munmap(pool->cls[cls].memory, len) == 0);
        }
    }
    *pool = (struct bufpool){ 0 };
}

// A buffer that was never out is touched only when all used ones are.
static cold struct buf *take_fresh(struct bufclass *from, enum buf_class cls)
{
    if (from->count_used == from->count_max)
        return NULL;
    uint32_t index = from->count_used++;
    struct buf *buf = &from->bufs[index];
    *buf = (struct buf){
        .data = from->memory + (size_t)index * class_bytes[cls],
        .cap = class_bytes[cls],
        .index = (uint16_t)index,
        .cls = (uint8_t)cls,
        .home = from,
    };
    return buf;
}

struct buf *bufpool_take(struct bufpool *pool, enum buf_class cls)
{
    struct bufclass *from = &pool->cls[cls];
    struct buf *buf = from->free;
    if (likely(buf != NULL)) {
        from->free = buf->next;
        buf->is_cold = false;
    } else {
        buf = take_fresh(from, cls);
        if (buf == NULL)
            return NULL;
    }
    assert(buf->refs == 0);
    buf->refs = 1;
    if (++from->count_out > from->out_most)
        from->out_most = from->count_out;
    UNPOISON(buf->data, buf->cap);
    return buf;
}

bool bufpool_trim(struct bufpool *pool, uint32_t max)
{
    uint32_t done = 0;
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++) {
        struct bufclass *from = &pool->cls[cls];
        // The list gives the warmest first, so what nobody reached in this period is at its end.
        uint32_t warm = from->out_most - from->count_out;
        struct buf *buf = from->free;
        for (uint32_t i = 0; i < warm; i++)
            buf = buf->next;
        for (; buf != NULL && done < max; buf = buf->next) {
            if (buf->is_cold)
                continue;
            // Advice: where it is refused the memory stays resident, which harms nothing.
            (void)madvise(buf->data, buf->cap, MADV_DONTNEED);
            buf->is_cold = true;
            done++;
        }
        from->out_most = from->count_out;
    }
    return done == max;
}

struct buf *buf_at(struct bufpool *pool, enum buf_class cls, uint32_t index)
{
    assert(index < pool->cls[cls].count_used);
    return &pool->cls[cls].bufs[index];
}

void buf_free(struct buf *buf)
{
    assert(buf->refs == 0);
    if (buf->on_free != NULL) {
        buf->on_free(buf);
        return;
    }
    struct bufclass *home = buf->home;
    assert(home->count_out > 0);
    home->count_out--;
    POISON(buf->data, buf->cap);
    buf->next = home->free;
    home->free = buf;
    struct bufpool *pool = home->pool;
    if (unlikely(pool->starved) && pool->on_refill != NULL)
        pool->on_refill(pool->on_refill_arg);
}
