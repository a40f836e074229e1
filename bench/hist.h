// hist.h - a histogram of nanoseconds with a relative error below 1 %, in constant memory.
//
// Values below 2^HIST_SUB_BITS have a bucket each; above, every power of two is cut into
// 2^(HIST_SUB_BITS - 1) buckets.
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>
#include <string.h>

enum { HIST_SUB_BITS = 8, HIST_HALF = 1 << (HIST_SUB_BITS - 1), HIST_BUCKETS = 64 * HIST_HALF };

struct hist {
    uint64_t count, max, sum;
    uint64_t buckets[HIST_BUCKETS];
};

static inline unsigned hist_bucket(uint64_t value)
{
    if (value < (1u << HIST_SUB_BITS))
        return (unsigned)value;
    unsigned shift = 64 - (unsigned)__builtin_clzll(value) - HIST_SUB_BITS;
    return shift * HIST_HALF + (unsigned)(value >> shift);
}

// The middle of a bucket.
static inline uint64_t hist_value(unsigned bucket)
{
    if (bucket < (1u << HIST_SUB_BITS))
        return bucket;
    unsigned shift = bucket / HIST_HALF - 1;
    uint64_t low = (uint64_t)(bucket - shift * HIST_HALF) << shift;
    return low + ((uint64_t)1 << shift) / 2;
}

static inline void hist_add(struct hist *hist, uint64_t value)
{
    hist->buckets[hist_bucket(value)]++;
    hist->count++;
    hist->sum += value;
    if (value > hist->max)
        hist->max = value;
}

// The smallest value that `part` (0 to 1) of the values do not exceed; 0 without values.
static inline uint64_t hist_at(const struct hist *hist, double part)
{
    uint64_t rank = (uint64_t)(part * (double)hist->count), seen = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += hist->buckets[i];
        if (seen > rank || (seen == hist->count && seen > 0))
            return hist_value(i) < hist->max ? hist_value(i) : hist->max;
    }
    return hist->max;
}

static inline void hist_clear(struct hist *hist)
{
    memset(hist, 0, sizeof(*hist));
}

#endif
