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

struct buf *bufpool_take(struct bufpool *pool, enum buf_class cls)
{
    struct buf *buf = pool->cls[cls].free;
    if (buf != NULL) {
        pool->cls[cls].free = buf->next;
        buf->next = NULL;
        pool->cls[cls].count_cold -= buf->is_cold;
        buf->is_cold = false;
        pool->cls[cls].count_free--;
        if (pool->cls[cls].count_free < pool->cls[cls].free_low)
            pool->cls[cls].free_low = pool->cls[cls].count_free;
    } else {
        // A buffer that was never out is touched only when all used ones are.
        if (pool->cls[cls].count_used == pool->cls[cls].count_max)
            return NULL;
        uint32_t index = pool->cls[cls].count_used++;
        buf = &pool->cls[cls].bufs[index];
        *buf = (struct buf){
            .data = pool->cls[cls].memory + (size_t)index * class_bytes[cls],
            .cap = class_bytes[cls],
            .index = (uint16_t)index,
            .cls = (uint8_t)cls,
            .pool = pool,
        };
    }
    assert(buf->refs == 0);
    buf->refs = 1;
    pool->cls[cls].count_out++;
    UNPOISON(buf->data, buf->cap);
    return buf;
}

// Marks the free buffers that nobody reached in this period: the list gives the warmest first, so
// they are at its end.
static void mark_idle(struct bufpool *pool, int cls)
{
    uint32_t warm = pool->cls[cls].count_free - pool->cls[cls].free_low;
    struct buf *buf = pool->cls[cls].free;
    for (uint32_t i = 0; i < warm; i++)
        buf = buf->next;
    for (; buf != NULL; buf = buf->next)
        buf->is_idle = !buf->is_cold;
}

// Gives back `count` buffers from `first` on. Advice: where it is refused the memory stays, which
// harms nothing.
static void cool(struct bufpool *pool, int cls, uint32_t first, uint32_t count)
{
    const size_t bytes = class_bytes[cls];
    (void)madvise(pool->cls[cls].memory + first * bytes, count * bytes, MADV_DONTNEED);
    pool->cls[cls].count_cold += count;
}

// In the order of their addresses, so that the kernel is asked once for a run. Returns how many.
static uint32_t cool_idle(struct bufpool *pool, int cls, uint32_t max)
{
    uint32_t done = 0, run = 0, at = 0;
    for (; at < pool->cls[cls].count_used; at++) {
        struct buf *buf = &pool->cls[cls].bufs[at];
        if (buf->is_idle && done < max) {
            buf->is_cold = true;
            run++;
            done++;
        } else if (run > 0) {
            cool(pool, cls, at - run, run);
            run = 0;
        }
        buf->is_idle = false;
    }
    if (run > 0)
        cool(pool, cls, at - run, run);
    return done;
}

bool bufpool_trim(struct bufpool *pool, uint32_t max)
{
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++) {
        if (pool->cls[cls].free_low > pool->cls[cls].count_cold) {
            mark_idle(pool, cls);
            max -= cool_idle(pool, cls, max);
        }
        if (max == 0)
            return true;
    }
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++)
        pool->cls[cls].free_low = pool->cls[cls].count_free;
    return false;
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
    struct bufpool *pool = buf->pool;
    assert(pool->cls[buf->cls].count_out > 0);
    pool->cls[buf->cls].count_out--;
    POISON(buf->data, buf->cap);
    buf->next = pool->cls[buf->cls].free;
    pool->cls[buf->cls].free = buf;
    pool->cls[buf->cls].count_free++;
    if (unlikely(pool->starved) && pool->on_refill != NULL)
        pool->on_refill(pool->on_refill_arg);
}
