// budget.h - every byte held for a peer is charged here: to its stream, its shard and the process.
//
// budget_charge() is the only function that changes the counts. A shard reports to the process in
// steps of BUDGET_STEP, so that the shared counter is touched rarely; the process count can be off
// by that much a shard. Levels decide what happens under pressure: SHRINK lowers the credits of
// receives, SHED refuses new requests before their body is read.
#ifndef PENSTOCK_NET_BUDGET_H
#define PENSTOCK_NET_BUDGET_H

#include "penstock/base/base.h"
#include "penstock/base/check.h"

#include <stdatomic.h>

enum { BUDGET_STEP = 64 * KIB, BUDGET_SHRINK_PERCENT = 80, BUDGET_SHED_PERCENT = 90 };

enum budget_level { BUDGET_NORMAL, BUDGET_SHRINK, BUDGET_SHED };

struct budget_process {
    _Atomic int64_t used;
    int64_t limit; // bytes; set before the shards start
};

struct budget {
    struct budget_process *process;
    int64_t used;     // by this shard
    int64_t reported; // of it, what the process knows
};

void budget_init(struct budget *budget, struct budget_process *process);

void budget_report(struct budget *budget); // used by budget_charge() only

// Adds `delta` bytes, which may be negative, to the stream's count and to the shard's. In line,
// because every piece that moves is charged several times.
static inline void budget_charge(struct budget *budget, uint32_t *stream, int64_t delta)
{
    int64_t held = (int64_t)*stream + delta, used = budget->used + delta;
    assert((held | used) >= 0); // neither is negative
    *stream = (uint32_t)held;
    budget->used = used;
    if (unlikely((uint64_t)(used - budget->reported + BUDGET_STEP) >= 2 * BUDGET_STEP))
        budget_report(budget);
}

static inline enum budget_level budget_level(const struct budget *budget)
{
    int64_t used = atomic_load_explicit(&budget->process->used, memory_order_relaxed);
    int64_t percent = budget->process->limit / 100;
    if (likely(used <= percent * BUDGET_SHRINK_PERCENT))
        return BUDGET_NORMAL;
    return used > percent * BUDGET_SHED_PERCENT ? BUDGET_SHED : BUDGET_SHRINK;
}

#endif
