// convert_rig.h - what the converter's tests share: a source of chunks that a sanitizer watches,
// and memory for one conversion.
#ifndef PENSTOCK_TEST_CONVERT_RIG_H
#define PENSTOCK_TEST_CONVERT_RIG_H

#include "penstock/base/arena.h"
#include "penstock/convert/scratch.h"

#include <stdlib.h>

static void *chunk_take(void *ctx, void **keeper)
{
    (void)ctx;
    *keeper = NULL;
    return malloc(ARENA_CHUNK);
}

static void chunk_give(void *ctx, void *memory, void *keeper)
{
    (void)ctx, (void)keeper;
    free(memory);
}

static const
    __attribute__((unused)) struct arena_source chunks = { .take = chunk_take, .give = chunk_give };

// Memory of one conversion; `used` 0 begins the next.
struct pad {
    struct scratch scratch;
    char *room;
    size_t size, used;
};

static inline void *pad_take(struct scratch *scratch, size_t size)
{
    struct pad *pad = container_of(scratch, struct pad, scratch);
    size = round_up(size, 16);
    if (pad->room == NULL || pad->size - pad->used < size)
        return NULL;
    pad->used += size;
    return pad->room + pad->used - size;
}

#define PAD(memory, len)                                         \
    {                                                            \
        .scratch = { pad_take }, .room = (memory), .size = (len) \
    }

#endif
