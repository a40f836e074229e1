#include "penstock/base/region.h"

#include "penstock/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { BLOCK_MIN = 128, BLOCK_MAX = 256 * KIB };

struct region_block {
    _Alignas(REGION_ALIGN) struct region_block *next;
    size_t cap, used;
};

void region_init(struct region *region, size_t block_bytes)
{
    *region = (struct region){ .block_bytes = max_size(block_bytes, BLOCK_MIN) };
}

void region_fini(struct region *region)
{
    struct region_block *block = region->blocks;
    while (block != NULL) {
        struct region_block *next = block->next;
        explicit_bzero(block, sizeof(*block) + block->used);
        free(block);
        block = next;
    }
    *region = (struct region){ .block_bytes = region->block_bytes };
}

static struct region_block *grow(struct region *region, size_t bytes)
{
    const size_t cap = max_size(region->block_bytes, bytes);
    struct region_block *block = calloc(1, sizeof(*block) + cap);
    verify(block != NULL);
    block->cap = cap;
    region->bytes_held += sizeof(*block) + cap;
    region->block_bytes = min_size(max_size(region->block_bytes, cap) * 2, BLOCK_MAX);
    if (region->blocks != NULL && region->blocks->cap - region->blocks->used > cap - bytes) {
        // A large object gets a block behind the current one, which has more room left.
        block->next = region->blocks->next;
        region->blocks->next = block;
    } else {
        block->next = region->blocks;
        region->blocks = block;
    }
    return block;
}

void *region_take(struct region *region, size_t bytes)
{
    assert(bytes <= SIZE_MAX / 2);
    bytes = round_up(max_size(bytes, 1), REGION_ALIGN);
    struct region_block *block = region->blocks;
    if (block == NULL || block->cap - block->used < bytes)
        block = grow(region, bytes);
    char *at = (char *)(block + 1) + block->used;
    block->used += bytes;
    region->bytes_used += bytes;
    return at;
}

void *region_array(struct region *region, size_t count, size_t item_size)
{
    size_t bytes;
    verify(!__builtin_mul_overflow(count, item_size, &bytes));
    return region_take(region, bytes);
}

struct span region_dup(struct region *region, struct span text)
{
    char *copy = region_take(region, text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return span_of(copy, text.len);
}

struct span region_printf(struct region *region, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    verify(len >= 0);
    char *text = region_take(region, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return span_of(text, (size_t)len);
}

void *pages_take(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return pages != MAP_FAILED ? pages : NULL;
}

void pages_give(void *pages, size_t bytes)
{
    if (pages != NULL)
        verify(munmap(pages, bytes) == 0);
}
