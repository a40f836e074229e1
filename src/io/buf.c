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
        from->count_cold -= buf->is_cold;
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

// Marks the free buffers that nobody reached in this period: the list gives the warmest first, so
// they are at its end.
static void mark_idle(struct bufclass *from)
{
    uint32_t warm = from->out_most - from->count_out;
    struct buf *buf = from->free;
    for (uint32_t i = 0; i < warm; i++)
        buf = buf->next;
    for (; buf != NULL; buf = buf->next)
        buf->is_idle = !buf->is_cold;
}

// Gives back `count` buffers from `first` on. Advice: where it is refused the memory stays, which
// harms nothing.
static void cool(struct bufclass *from, size_t bytes, uint32_t first, uint32_t count)
{
    (void)madvise(from->memory + first * bytes, count * bytes, MADV_DONTNEED);
    from->count_cold += count;
}

// In the order of their addresses, so that the kernel is asked once for a run. Returns how many.
static uint32_t cool_idle(struct bufclass *from, size_t bytes, uint32_t max)
{
    uint32_t done = 0, run = 0, at = 0;
    for (; at < from->count_used; at++) {
        struct buf *buf = &from->bufs[at];
        if (buf->is_idle && done < max) {
            buf->is_cold = true;
            run++;
            done++;
        } else if (run > 0) {
            cool(from, bytes, at - run, run);
            run = 0;
        }
        buf->is_idle = false;
    }
    if (run > 0)
        cool(from, bytes, at - run, run);
    return done;
}

bool bufpool_trim(struct bufpool *pool, uint32_t max)
{
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++) {
        struct bufclass *from = &pool->cls[cls];
        if (from->count_used - from->out_most > from->count_cold) {
            mark_idle(from);
            max -= cool_idle(from, class_bytes[cls], max);
        }
        if (max == 0)
            return true;
    }
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++)
        pool->cls[cls].out_most = pool->cls[cls].count_out;
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
