// The memory of the TLS library: per-thread lists of free blocks by size class before malloc.
//
// The library allocates for every record it reads or writes, always of the same few sizes; these
// are served from the lists. Every block is a malloc of its own, so that what the lists do not keep
// (their length is bounded) and what tls_heap_trim() lets go returns to the system. A block may be
// freed by another thread than the one that took it: it then changes lists, and `used` of the two
// threads is right only as a sum. Under AddressSanitizer nothing is kept, so that it sees every
// late use.
#include "tls_internal.h"

#include "penstock/base/check.h"
#include "penstock/base/poison.h"

#include <stdlib.h>

#ifdef POISON_WORKS
enum { HEAP_KEEPS = 0 };
#else
enum { HEAP_KEEPS = 1 };
#endif

// Four classes to each doubling: 64, 80, 96, 112, 128, 160, ... 56 K, 64 K.
enum { CLASS_COUNT = 41, CLASS_FIRST = 64, CLASS_NONE = CLASS_COUNT, CLASS_KEPT_MAX = 256 * KIB };

struct block {
    uint32_t cls;
    uint32_t size; // as asked for, when no class fits
    struct block *next;
};
_Static_assert(sizeof(struct block) == 16, "blocks keep the alignment of malloc");

static _Thread_local struct {
    struct block *free[CLASS_COUNT];
    size_t kept[CLASS_COUNT]; // bytes
    struct tls_heap_stats stats;
} heap;

#ifdef PENSTOCK_FAULT_POINTS
static _Thread_local uint64_t fail_after;
void tls_heap_fail(uint64_t count)
{
    fail_after = count;
}
bool tls_heap_fail_pending(void)
{
    return fail_after > 0;
}
static bool must_fail(void)
{
    return fail_after > 0 && --fail_after == 0;
}
#else
static bool must_fail(void)
{
    return false;
}
#endif

static size_t class_size(uint32_t cls)
{
    size_t base = (size_t)CLASS_FIRST << (cls / 4);
    return base + base / 4 * (cls % 4);
}

static uint32_t class_of(size_t size)
{
    if (size <= CLASS_FIRST)
        return 0;
    // The highest bit of size - 1 names the doubling, the two bits after it the step within.
    uint32_t power = 63 - (uint32_t)__builtin_clzll((uint64_t)size - 1);
    uint32_t step = (uint32_t)((size - 1) >> (power - 2)) & 3;
    uint32_t cls = 4 * (power - 6) + step + 1;
    return cls < CLASS_COUNT ? cls : CLASS_NONE;
}

static size_t block_size(const struct block *block)
{
    return block->cls == CLASS_NONE ? block->size : class_size(block->cls);
}

static void count(int64_t bytes)
{
    heap.stats.used += bytes;
    if (heap.stats.used > heap.stats.used_peak)
        heap.stats.used_peak = heap.stats.used;
}

void *tls_heap_take(size_t size)
{
    if (must_fail() || size > UINT32_MAX - sizeof(struct block))
        return NULL;
    uint32_t cls = class_of(size);
    size_t whole = cls == CLASS_NONE ? size : class_size(cls);
    struct block *block = cls == CLASS_NONE ? NULL : heap.free[cls];
    if (block != NULL) {
        heap.free[cls] = block->next;
        heap.kept[cls] -= whole;
        heap.stats.cached -= whole;
    } else {
        // The sanitizer sees the exact size, so that it also sees the byte after it.
        // layer-check: this is the allocator of a library, with blocks of its exact sizes.
        block = malloc(sizeof(*block) + (HEAP_KEEPS ? whole : size));
        if (block == NULL)
            return NULL;
    }
    *block = (struct block){ .cls = cls, .size = (uint32_t)size };
    heap.stats.taken++;
    count((int64_t)whole);
    return block + 1;
}

void tls_heap_give(void *ptr)
{
    if (ptr == NULL)
        return;
    struct block *block = (struct block *)ptr - 1;
    assert(block->cls <= CLASS_NONE);
    uint32_t cls = block->cls;
    size_t whole = block_size(block);
    count(-(int64_t)whole);
    if (!HEAP_KEEPS || cls == CLASS_NONE || heap.kept[cls] + whole > CLASS_KEPT_MAX) {
        free(block);
        return;
    }
    block->next = heap.free[cls];
    heap.free[cls] = block;
    heap.kept[cls] += whole;
    heap.stats.cached += whole;
}

void *tls_heap_resize(void *ptr, size_t size)
{
    if (ptr == NULL)
        return tls_heap_take(size);
    struct block *block = (struct block *)ptr - 1;
    size_t had = HEAP_KEEPS ? block_size(block) : block->size;
    if (size > 0 && size <= had)
        return ptr;
    void *fresh = tls_heap_take(size);
    if (fresh == NULL)
        return NULL;
    memcpy(fresh, ptr, min_size(had, size));
    tls_heap_give(ptr);
    return fresh;
}

struct tls_heap_stats tls_heap_stats(void)
{
    return heap.stats;
}

void tls_heap_trim(void)
{
    for (uint32_t cls = 0; cls < CLASS_COUNT; cls++) {
        while (heap.free[cls] != NULL) {
            struct block *block = heap.free[cls];
            heap.free[cls] = block->next;
            free(block);
        }
        heap.kept[cls] = 0;
    }
    heap.stats.cached = 0;
}
