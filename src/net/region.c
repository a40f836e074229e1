#include "penstock/net/region.h"

#include "penstock/base/check.h"

#include <sys/mman.h>

static size_t class_bytes(unsigned cls)
{
    return (size_t)1 << (REGION_MIN_SHIFT + cls);
}

static unsigned class_of(size_t len)
{
    unsigned cls = 0;
    while (cls < REGION_CLASSES && class_bytes(cls) < len)
        cls++;
    return cls;
}

bool region_take(struct region_pool *pool, struct region *region, size_t len)
{
    assert(len > 0);
    unsigned cls = class_of(len);
    if (cls >= REGION_CLASSES)
        return false;
    if (pool->cls[cls].count > 0) {
        region->ptr = pool->cls[cls].kept[--pool->cls[cls].count];
        region->cap = class_bytes(cls);
        pool->kept_bytes -= region->cap;
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
    *region = (struct region){ ptr, class_bytes(cls) };
    return true;
}

bool region_grow(struct region_pool *pool, struct region *region, size_t len)
{
    if (len <= region->cap)
        return true;
    if (region->ptr == NULL)
        return region_take(pool, region, len);
    unsigned cls = class_of(len);
    if (cls >= REGION_CLASSES)
        return false;
    // The kernel moves pages, not bytes.
    void *ptr = mremap(region->ptr, region->cap, class_bytes(cls), MREMAP_MAYMOVE);
    if (ptr == MAP_FAILED)
        return false;
    *region = (struct region){ ptr, class_bytes(cls) };
    return true;
}

void region_give(struct region_pool *pool, struct region *region)
{
    if (region->ptr == NULL)
        return;
    unsigned cls = class_of(region->cap);
    assert(cls < REGION_CLASSES && class_bytes(cls) == region->cap);
    if (pool->cls[cls].count < REGION_KEPT_PER_CLASS &&
        pool->kept_bytes + region->cap <= REGION_KEPT_MAX) {
        pool->cls[cls].kept[pool->cls[cls].count++] = region->ptr;
        pool->kept_bytes += region->cap;
    } else {
        verify(munmap(region->ptr, region->cap) == 0);
    }
    *region = (struct region){ NULL, 0 };
}

static void drop(struct region_pool *pool, unsigned cls, uint16_t count)
{
    for (; count > 0; count--) {
        void *ptr = pool->cls[cls].kept[--pool->cls[cls].count];
        verify(munmap(ptr, class_bytes(cls)) == 0);
        pool->kept_bytes -= class_bytes(cls);
    }
}

void region_pool_trim(struct region_pool *pool)
{
    for (unsigned cls = 0; cls < REGION_CLASSES; cls++) {
        // Those that lay unused through the whole period; the rest were in the working set.
        drop(pool, cls, pool->cls[cls].low);
        pool->cls[cls].low = pool->cls[cls].count;
    }
}

void region_pool_fini(struct region_pool *pool)
{
    for (unsigned cls = 0; cls < REGION_CLASSES; cls++)
        drop(pool, cls, pool->cls[cls].count);
    assert(pool->kept_bytes == 0);
}
