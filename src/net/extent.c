#include "penstock/net/extent.h"

#include "penstock/base/check.h"

#include <sys/mman.h>

static size_t class_bytes(unsigned cls)
{
    return (size_t)1 << (EXTENT_MIN_SHIFT + cls);
}

static unsigned class_of(size_t len)
{
    unsigned cls = 0;
    while (cls < EXTENT_CLASSES && class_bytes(cls) < len)
        cls++;
    return cls;
}

bool extent_take(struct extent_pool *pool, struct extent *extent, size_t len)
{
    assert(len > 0);
    unsigned cls = class_of(len);
    if (cls >= EXTENT_CLASSES)
        return false;
    if (pool->cls[cls].count > 0) {
        extent->ptr = pool->cls[cls].kept[--pool->cls[cls].count];
        extent->cap = class_bytes(cls);
        pool->kept_bytes -= extent->cap;
        if (pool->cls[cls].count < pool->cls[cls].low)
            pool->cls[cls].low = pool->cls[cls].count;
        return true;
    }
    void *ptr =
        mmap(NULL, class_bytes(cls), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ptr == MAP_FAILED)
        return false;
    // Prompts and answers do not belong into a core dump. The call can fail only for a bad range.
    verify(madvise(ptr, class_bytes(cls), MADV_DONTDUMP) == 0);
    *extent = (struct extent){ ptr, class_bytes(cls) };
    return true;
}

bool extent_grow(struct extent_pool *pool, struct extent *extent, size_t len)
{
    if (len <= extent->cap)
        return true;
    if (extent->ptr == NULL)
        return extent_take(pool, extent, len);
    unsigned cls = class_of(len);
    if (cls >= EXTENT_CLASSES)
        return false;
    // The kernel moves pages, not bytes.
    void *ptr = mremap(extent->ptr, extent->cap, class_bytes(cls), MREMAP_MAYMOVE);
    if (ptr == MAP_FAILED)
        return false;
    *extent = (struct extent){ ptr, class_bytes(cls) };
    return true;
}

void extent_give(struct extent_pool *pool, struct extent *extent)
{
    if (extent->ptr == NULL)
        return;
    unsigned cls = class_of(extent->cap);
    assert(cls < EXTENT_CLASSES && class_bytes(cls) == extent->cap);
    if (pool->cls[cls].count < EXTENT_KEPT_PER_CLASS &&
        pool->kept_bytes + extent->cap <= EXTENT_KEPT_MAX) {
        pool->cls[cls].kept[pool->cls[cls].count++] = extent->ptr;
        pool->kept_bytes += extent->cap;
    } else {
        verify(munmap(extent->ptr, extent->cap) == 0);
    }
    *extent = (struct extent){ NULL, 0 };
}

static void drop(struct extent_pool *pool, unsigned cls, uint16_t count)
{
    for (; count > 0; count--) {
        void *ptr = pool->cls[cls].kept[--pool->cls[cls].count];
        verify(munmap(ptr, class_bytes(cls)) == 0);
        pool->kept_bytes -= class_bytes(cls);
    }
}

void extent_pool_trim(struct extent_pool *pool)
{
    for (unsigned cls = 0; cls < EXTENT_CLASSES; cls++) {
        // Those that lay unused through the whole period; the rest were in the working set.
        drop(pool, cls, pool->cls[cls].low);
        pool->cls[cls].low = pool->cls[cls].count;
    }
}

void extent_pool_fini(struct extent_pool *pool)
{
    for (unsigned cls = 0; cls < EXTENT_CLASSES; cls++)
        drop(pool, cls, pool->cls[cls].count);
    assert(pool->kept_bytes == 0);
}
