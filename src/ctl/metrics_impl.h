// metrics_impl.h - what the files of the metrics share.
#ifndef PENSTOCK_CTL_METRICS_IMPL_H
#define PENSTOCK_CTL_METRICS_IMPL_H

#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/ctl/metrics.h"

enum {
    METRIC_LABELS_MAX = 512,
    METRIC_ACCOUNTS_MAX = 1000, // with lines of their own
};

void metric_head(struct text *out, const char *name, const char *type, const char *help);
void metric_sample(struct text *out, const char *name, const char *labels, uint64_t value);
// A metric with one sample and no label.
void metric_one(struct text *out, const char *name, const char *type, const char *help,
                uint64_t value);
// In base units: seconds or a ratio with as many digits as there are.
void metric_one_seconds(struct text *out, const char *name, const char *type, const char *help,
                        uint64_t ns);
// The sum over the shards of the counter that lies `at` bytes into their counters.
uint64_t metric_sum(const struct view *view, size_t at);
#define SUM(view, member) metric_sum((view), offsetof(struct shard_counters, member))

const char *metric_family(enum wire_family family);

// What the shards counted of requests that were converted.
void metrics_convert(const struct view *view, struct text *out);
// One histogram with samples from the counts of LATENCY_BOUNDS + 1 buckets; none are all zero.
struct metric_counts {
    uint64_t buckets[LATENCY_BOUNDS + 1];
    uint64_t sum_us, total;
};
// Nothing, if nothing was counted. `labels` is not empty.
void metric_histogram(struct text *out, const char *name, const char *labels,
                      const struct metric_counts *counts, uint64_t first_us);
// The sum over the shards of the latency that lies `at` bytes into their counters.
void metric_latency(const struct view *view, struct text *out, const char *name, const char *labels,
                    size_t at, uint64_t first_us);

// What the process does by itself: loops, certificates, limits.
void metrics_own(struct api *api, struct text *out);
// What the shards counted of requests, and of accounts. *dropped: series without a line of their
// own.
void metrics_relay(const struct api *api, struct text *out, uint64_t *dropped);

#endif
