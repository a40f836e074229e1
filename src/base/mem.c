#include "penstock/base/mem.h"

#include "penstock/base/check.h"

#include <stdlib.h>

void *mem_take(size_t count, size_t item_size)
{
    assert(count > 0);
    assert(item_size > 0);
    return calloc(count, item_size);
}

void mem_give(void *ptr)
{
    free(ptr);
}
