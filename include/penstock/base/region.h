// region.h - memory that is given back all at once, for configuration, records and snapshots.
//
// A region grows by blocks, never moves what it has handed out, and wipes every block before
// freeing it, since a record may have held a secret on its way. It is not for the request path.
#ifndef PENSTOCK_BASE_REGION_H
#define PENSTOCK_BASE_REGION_H

#include "penstock/base/base.h"

enum { REGION_ALIGN = 16 };

struct region_block;
struct region {
    struct region_block *blocks; // newest first
    size_t block_bytes;          // of the next block
    size_t bytes_used;
    size_t bytes_held;
};

// `block_bytes` is the size of the first block; later ones double up to a bound. No memory is taken
// before the first allocation.
void region_init(struct region *region, size_t block_bytes);
void region_fini(struct region *region);

// Zeroed memory, aligned for any type. The process ends when the system has none: nothing that runs
// before the listeners open, or on the control thread, has a better answer.
must_use void *region_take(struct region *region, size_t bytes);
#define REGION_NEW(region, type) ((type *)region_take((region), sizeof(type)))
#define REGION_ARRAY(region, type, count) ((type *)region_array((region), (count), sizeof(type)))
must_use void *region_array(struct region *region, size_t count, size_t item_size);

// A copy with a NUL behind it, so that .ptr is a C string when the text holds no NUL.
must_use struct span region_dup(struct region *region, struct span text);
must_use struct span region_printf(struct region *region, const char *format, ...)
    printf_like(2, 3);

// Zeroed pages from the system, for large arrays that are mostly untouched: memory is used only
// where something was written. NULL if the system refuses.
must_use void *pages_take(size_t bytes);
void pages_give(void *pages, size_t bytes);

#endif
