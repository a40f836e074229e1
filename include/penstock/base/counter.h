// counter.h - a number that one thread counts and any thread may read.
//
// One writer: adding is a load and a store, without a locked instruction. A reader sees some recent
// value of each counter; several read one after another need not fit together.
#ifndef PENSTOCK_BASE_COUNTER_H
#define PENSTOCK_BASE_COUNTER_H

#include "penstock/base/base.h"

#include <stdatomic.h>

struct counter {
    _Atomic uint64_t value;
};

static inline uint64_t counter_get(const struct counter *counter)
{
    return atomic_load_explicit(&((struct counter *)counter)->value, memory_order_relaxed);
}
static inline void counter_set(struct counter *counter, uint64_t value)
{
    atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}
static inline void counter_add(struct counter *counter, uint64_t more)
{
    counter_set(counter, counter_get(counter) + more);
}
static inline void counter_sub(struct counter *counter, uint64_t less)
{
    counter_set(counter, counter_get(counter) - less);
}

// How long things took: a histogram whose bounds double from its first one, 16 times. What peers
// take begins at 10 ms (to 327.68 s), what this program itself takes at 10 us (to 327.68 ms).
enum { LATENCY_BOUNDS = 16 };
#define LATENCY_FIRST_US UINT64_C(10000)
#define LATENCY_OWN_FIRST_US UINT64_C(10)
struct latency {
    struct counter buckets[LATENCY_BOUNDS + 1]; // the last one: longer than every bound
    struct counter sum_us;
};

// The bucket of a time: how often the first bound has to be doubled to reach it.
static inline unsigned latency_bucket(uint64_t us, uint64_t first_us)
{
    if (us <= first_us)
        return 0;
    const unsigned at = 64 - (unsigned)__builtin_clzll((us - 1) / first_us);
    return at < LATENCY_BOUNDS ? at : LATENCY_BOUNDS;
}

// `bucket` as latency_bucket() told it.
static inline void latency_add_to(struct latency *latency, unsigned bucket, uint64_t us)
{
    counter_add(&latency->buckets[bucket], 1);
    counter_add(&latency->sum_us, us);
}
static inline void latency_add(struct latency *latency, uint64_t us)
{
    latency_add_to(latency, latency_bucket(us, LATENCY_FIRST_US), us);
}
static inline void latency_add_own(struct latency *latency, uint64_t us)
{
    latency_add_to(latency, latency_bucket(us, LATENCY_OWN_FIRST_US), us);
}

#endif
