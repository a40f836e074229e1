// mem.h - the heap, for what lives as long as its module: tables, queues, results. Never for the
// request path.
#ifndef PENSTOCK_BASE_MEM_H
#define PENSTOCK_BASE_MEM_H

#include "penstock/base/base.h"

// `count` zeroed items of `item_size` bytes, aligned for any type; NULL when the system has no
// memory or the product overflows.
must_use void *mem_take(size_t count, size_t item_size);

// Gives back what mem_take() returned; harmless on NULL.
void mem_give(void *ptr);

#endif
