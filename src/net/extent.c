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

static void use(struct extent *extent, size_t len)
{
    assert(len <= extent->cap);
    extent->len = len;
    extent->touched = max_size(extent->touched, len);
}

// The one that was given back last.
static bool take_kept(struct extent_pool *pool, unsigned cls, struct extent *extent)
{
    if (pool->cls[cls].count == 0)
        return false;
    *extent = pool->cls[cls].kept[--pool->cls[cls].count];
    pool->kept_bytes -= extent_bytes(extent);
    if (pool->cls[cls].count < pool->cls[cls].low)
        pool->cls[cls].low = pool->cls[cls].count;
    return true;
}

bool extent_take(struct extent_pool *pool, struct extent *extent, size_t len)
{
    assert(len > 0);
    unsigned cls = class_of(len);
    if (cls >= EXTENT_CLASSES)
        return false;
    if (!take_kept(pool, cls, extent)) {
        size_t cap = class_bytes(cls);
        void *ptr = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (ptr == MAP_FAILED)
            return false;
        // Prompts and answers do not belong into a core dump. It can fail only for a bad range.
        verify(madvise(ptr, cap, MADV_DONTDUMP) == 0);
        *extent = (struct extent){ .ptr = ptr, .cap = cap };
    }
    use(extent, len);
    return true;
}

// Moves into one that is kept: its pages are there already.
static bool grow_into_kept(struct extent_pool *pool, struct extent *extent, unsigned cls)
{
    struct extent larger;
    if (extent->len > EXTENT_COPY_MAX || !take_kept(pool, cls, &larger))
        return false;
    memcpy(larger.ptr, extent->ptr, extent->len);
    extent_give(pool, extent);
    *extent = larger;
    return true;
}

bool extent_grow(struct extent_pool *pool, struct extent *extent, size_t len)
{
    if (extent->ptr == NULL)
        return extent_take(pool, extent, len);
    if (len <= extent->len)
        return true;
    unsigned cls = class_of(len);
    if (cls >= EXTENT_CLASSES)
        return false;
    if (len > extent->cap && !grow_into_kept(pool, extent, cls)) {
        // The kernel moves pages, not bytes.
        void *ptr = mremap(extent->ptr, extent->cap, class_bytes(cls), MREMAP_MAYMOVE);
        if (ptr == MAP_FAILED)
            return false;
        extent->ptr = ptr;
        extent->cap = class_bytes(cls);
    }
    use(extent, len);
    return true;
}

void extent_give(struct extent_pool *pool, struct extent *extent)
{
    if (extent->ptr == NULL)
        return;
    unsigned cls = class_of(extent->cap);
    assert(cls < EXTENT_CLASSES && class_bytes(cls) == extent->cap);
    if (pool->cls[cls].count < EXTENT_KEPT_PER_CLASS &&
        pool->kept_bytes + extent_bytes(extent) <= EXTENT_KEPT_MAX) {
        pool->cls[cls].kept[pool->cls[cls].count++] = *extent;
        pool->kept_bytes += extent_bytes(extent);
    } else {
        verify(munmap(extent->ptr, extent->cap) == 0);
    }
    *extent = (struct extent){ 0 };
}

// The first `count`: those that were given back first, of which the cache knows the least.
static void drop(struct extent_pool *pool, unsigned cls, uint16_t count)
{
    struct extent *kept = pool->cls[cls].kept;
    for (uint16_t i = 0; i < count; i++) {
        pool->kept_bytes -= extent_bytes(&kept[i]);
        verify(munmap(kept[i].ptr, kept[i].cap) == 0);
    }
    pool->cls[cls].count -= count;
    memmove(kept, kept + count, pool->cls[cls].count * sizeof(*kept));
}

void extent_pool_trim(struct extent_pool *pool)
{
    for (unsigned cls = 0; cls < EXTENT_CLASSES; cls++) {
        // As many lay unused through the whole period; the rest were in the working set.
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
