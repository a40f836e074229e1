// aggregate.h - sums by where they belong: a hash table in memory that grows, and its stored form.
//
// The store keeps three kinds of it: the rows of recent buckets with their absolute values (loaded
// from the database when first touched, written back by checkpoints), the groups of a query, and
// summaries of entries whose detail could not be kept.
#ifndef PENSTOCK_STORE_AGGREGATE_H
#define PENSTOCK_STORE_AGGREGATE_H

#include "penstock/base/err.h"
#include "penstock/model/usage_record.h"

// All of it is compared as bytes, so that there is no padding and unused fields are 0.
struct aggregate_key {
    uint64_t key_id, account_id, model_id;
    uint32_t bucket; // usage_bucket(); for a query's groups the day
    uint8_t format, kind;
    uint8_t unused[2];
};
_Static_assert(sizeof(struct aggregate_key) == 32, "no padding: keys are compared as bytes");

struct aggregate_row {
    struct aggregate_key key;
    struct usage_sums sums;
    bool is_dirty;   // differs from what is stored
    bool is_partial; // the stored part is not in it yet, because it could not be read
};

struct aggregate {
    struct aggregate_row *rows;
    uint32_t *index; // of rows, plus 1; 0 is free; a power of two, at most half full
    uint32_t count, cap, index_len;
    uint32_t count_max;
    uint32_t dirty_count;
};

// Takes no memory before the first row.
void aggregate_init(struct aggregate *table, uint32_t count_max);
void aggregate_fini(struct aggregate *table);
void aggregate_clear(struct aggregate *table); // keeps its memory

struct aggregate_row *aggregate_find(const struct aggregate *table,
                                     const struct aggregate_key *key);
// A zeroed row for a key that is not in the table; NULL when count_max rows are, or without memory.
// It moves other rows: pointers to rows do not outlive the next call.
must_use struct aggregate_row *aggregate_add(struct aggregate *table,
                                             const struct aggregate_key *key);
void aggregate_dirty(struct aggregate *table, struct aggregate_row *row);
void aggregate_clean(struct aggregate *table, struct aggregate_row *row);

// Forgets every clean row of a bucket before `bucket`; UINT32_MAX forgets every clean row.
void aggregate_evict(struct aggregate *table, uint32_t bucket);

struct aggregate_key aggregate_key_of_record(const struct usage_record *record);
struct aggregate_key aggregate_key_of_summary(const struct usage_summary *summary);

// The stored form. Keys order by bucket, key, account, model, format, kind.
enum { AGGREGATE_KEY_BYTES = 31, AGGREGATE_VALUE_MAX = 1 + USAGE_SUM_WORDS * 10 };
#define AGGREGATE_PREFIX 'r'
void aggregate_key_put(const struct aggregate_key *key, uint8_t out[AGGREGATE_KEY_BYTES]);
must_use bool aggregate_key_get(struct span bytes, struct aggregate_key *out);
size_t aggregate_value_put(const struct usage_sums *sums, uint8_t out[AGGREGATE_VALUE_MAX]);
must_use bool aggregate_value_get(struct span bytes, struct usage_sums *out);

#endif
