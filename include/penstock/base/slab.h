// slab.h - objects of one size for one thread, taken and given in constant time.
//
// Memory grows by blocks and is kept until slab_fini(), so that a busy hour leaves no fragments;
// the bound is `count_max` objects. Objects come back uninitialised. Under AddressSanitizer a free
// object is poisoned, so that a late use is reported.
#ifndef PENSTOCK_BASE_SLAB_H
#define PENSTOCK_BASE_SLAB_H

#include "penstock/base/base.h"
#include "penstock/base/poison.h"

struct slab {
    size_t object_size;
    size_t count_max;  // objects that may be out at once
    size_t count_out;  // objects out now
    size_t count_made; // objects that memory exists for
    void *free;        // singly linked through the first word
    void *blocks;      // every block, linked through its first word, for slab_fini()
};

void slab_init(struct slab *slab, size_t object_size, size_t count_max);
// Every object must have been given back.
void slab_fini(struct slab *slab);

must_use bool slab_grow(struct slab *slab); // used by slab_take() only

// NULL when `count_max` objects are out or the system has no memory.
must_use static inline void *slab_take(struct slab *slab)
{
    if (unlikely(slab->free == NULL) && !slab_grow(slab))
        return NULL;
    void *object = slab->free;
    slab->free = *(void **)object;
    slab->count_out++;
    UNPOISON(object, slab->object_size);
    return object;
}
void slab_give(struct slab *slab, void *object);

#endif
