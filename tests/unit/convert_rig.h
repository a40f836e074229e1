// convert_rig.h - what the converter's tests share: a source of chunks that a sanitizer watches.
#ifndef PENSTOCK_TEST_CONVERT_RIG_H
#define PENSTOCK_TEST_CONVERT_RIG_H

#include "penstock/base/arena.h"

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

static const struct arena_source chunks = { .take = chunk_take, .give = chunk_give };

#endif
