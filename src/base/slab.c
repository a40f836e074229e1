#include "penstock/base/slab.h"

#include "penstock/base/check.h"
#include "penstock/base/poison.h"

#include <stdlib.h>

enum { BLOCK_BYTES = 32 * KIB, OBJECT_ALIGN = 16 };

void slab_init(struct slab *slab, size_t object_size, size_t count_max)
{
    assert(object_size > 0);
    *slab = (struct slab){
        .object_size = round_up(object_size, OBJECT_ALIGN),
        .count_max = count_max,
    };
}

void slab_fini(struct slab *slab)
{
    assert(slab->count_out == 0);
    void *block = slab->blocks;
    while (block != NULL) {
        void *next = *(void **)block;
        free(block);
        block = next;
    }
    slab->blocks = slab->free = NULL;
}

static void push_free(struct slab *slab, void *object)
{
    *(void **)object = slab->free;
    slab->free = object;
    POISON((char *)object + sizeof(void *), slab->object_size - sizeof(void *));
}

cold bool slab_grow(struct slab *slab)
{
    assert(slab->count_out == slab->count_made);
    if (slab->count_made == slab->count_max)
        return false;
    size_t count = max_size((BLOCK_BYTES - OBJECT_ALIGN) / slab->object_size, 1);
    count = min_size(count, slab->count_max - slab->count_made);
    char *block = malloc(OBJECT_ALIGN + count * slab->object_size);
    if (block == NULL)
        return false;
    *(void **)block = slab->blocks;
    slab->blocks = block;
    // Pushed last to first, so that objects are handed out in the order of their addresses.
    for (size_t i = count; i-- > 0;)
        push_free(slab, block + OBJECT_ALIGN + i * slab->object_size);
    slab->count_made += count;
    return true;
}

void slab_give(struct slab *slab, void *object)
{
    assert(object != NULL);
    assert(slab->count_out > 0);
    slab->count_out--;
    push_free(slab, object);
}
