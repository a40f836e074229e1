// budget.h - every byte held for a peer is charged here: to its stream, its shard and the process.
//
// budget_charge() is the only function that changes the counts. A shard reports to the process in
// steps of BUDGET_STEP, so that the shared counter is touched rarely; the process count can be off
// by that much a shard. Levels decide what happens under pressure: SHRINK lowers the credits of
// receives, SHED refuses new requests before their body is read.
#ifndef PENSTOCK_NET_BUDGET_H
#define PENSTOCK_NET_BUDGET_H

#include "penstock/base/base.h"

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
    int64_t used_max;
};

void budget_init(struct budget *budget, struct budget_process *process);

// Adds `delta` bytes, which may be negative, to the stream's count and to the shard's.
void budget_charge(struct budget *budget, uint32_t *stream, int64_t delta);

enum budget_level budget_level(const struct budget *budget);

#endif
