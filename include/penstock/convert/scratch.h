// scratch.h - memory of one conversion: pieces of any size, given back together by whoever provides
// it.
#ifndef PENSTOCK_CONVERT_SCRATCH_H
#define PENSTOCK_CONVERT_SCRATCH_H

#include "penstock/base/base.h"

struct scratch {
    // `size` bytes, aligned to 16, uninitialised, charged to the conversion's owner; NULL if there
    // is no more.
    void *(*take)(struct scratch *scratch, size_t size);
};

static inline must_use void *scratch_take(struct scratch *scratch, size_t size)
{
    return scratch->take(scratch, size);
}

#endif
