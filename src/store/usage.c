// usage.c - queries over sums.
//
// The rows of a query come from three places that together hold each entry once: dirty rows in
// memory, which are newer than their stored form; everything stored, as one iterator sees it, less
// those; and what is not committed yet. The first and the last are copied when the query begins, at
// the moment of which the answer is true however many steps it takes.
#include "internal.h"

#include "bytes.h"
#include "penstock/base/check.h"
#include "penstock/base/mem.h"

#include <stdlib.h>

enum { DAY_S = 24 * 3600 };

static int64_t day_of(const struct usage_query *query, uint32_t bucket)
{
    return ((int64_t)bucket * USAGE_BUCKET_S + query->day_offset_s) / DAY_S;
}

static uint32_t bucket_end(const struct usage_query *query)
{
    const uint64_t bucket_ns = USAGE_BUCKET_S * NS_PER_S;
    return (uint32_t)min_u64(query->to_ns / bucket_ns + (query->to_ns % bucket_ns != 0),
                             UINT32_MAX);
}

static bool matches(const struct usage_query *query, const struct aggregate_key *key)
{
    return key->bucket >= usage_bucket(query->from_ns) && key->bucket < bucket_end(query) &&
           (query->key_id == 0 || query->key_id == key->key_id) &&
           (query->account_id == 0 || query->account_id == key->account_id) &&
           (query->model_id == 0 || query->model_id == key->model_id);
}

static void add(struct store_query *query, const struct aggregate_key *key,
                const struct usage_sums *sums)
{
    const uint32_t by = query->usage.group;
    const struct aggregate_key group = {
        .key_id = by & USAGE_BY_KEY ? key->key_id : 0,
        .account_id = by & USAGE_BY_ACCOUNT ? key->account_id : 0,
        .model_id = by & USAGE_BY_MODEL ? key->model_id : 0,
        .format = by & USAGE_BY_FORMAT ? key->format : 0,
        .bucket = by & USAGE_BY_DAY ? (uint32_t)day_of(&query->usage, key->bucket) : 0,
    };
    struct aggregate_row *row = aggregate_find(&query->groups, &group);
    if (row == NULL)
        row = aggregate_add(&query->groups, &group);
    query->is_cut |= row == NULL;
    usage_sums_add(row != NULL ? &row->sums : &query->rest, sums);
}

static void add_uncommitted(void *arg, const struct aggregate_key *key,
                            const struct usage_sums *sums)
{
    struct store_query *query = arg;
    if (matches(&query->usage, key))
        add(query, key, sums);
}

static struct err add_memory(struct store *store, struct store_query *query)
{
    for (uint32_t i = 0; i < store->rows.count; i++) {
        const struct aggregate_row *row = &store->rows.rows[i];
        if (!row->is_dirty || !matches(&query->usage, &row->key))
            continue;
        add(query, &row->key, &row->sums);
        // A partial row does not contain its stored form, which is then added when it comes.
        if (!row->is_partial && aggregate_add(&query->seen, &row->key) == NULL)
            return ERR(NO_MEMORY);
    }
    ledger_each_uncommitted(store, add_uncommitted, query);
    return OK;
}

static void open_rows(struct store *store, struct store_query *query)
{
    uint8_t from[AGGREGATE_KEY_BYTES], to[AGGREGATE_KEY_BYTES];
    const struct aggregate_key first = { .bucket = usage_bucket(query->usage.from_ns) };
    const struct aggregate_key end = { .bucket = bucket_end(&query->usage) };
    aggregate_key_put(&first, from);
    aggregate_key_put(&end, to);
    db_iter_open(&query->iter, &store->db, STORE_AGGREGATE, span_of(from, sizeof(from)),
                 span_of(to, sizeof(to)));
}

struct err usage_begin(struct store *store, const struct usage_query *query,
                       struct store_query **out)
{
    if (query->from_ns >= query->to_ns || query->to_ns > INT64_MAX ||
        query->day_offset_s % USAGE_BUCKET_S != 0 || query->day_offset_s <= -DAY_S ||
        query->day_offset_s >= DAY_S)
        return ERR(INVALID);
    if (store->state == STORE_DOWN)
        return store->cause;
    struct store_query *made = mem_take(1, sizeof(*made));
    if (made == NULL)
        return ERR(NO_MEMORY);
    made->usage = *query;
    aggregate_init(&made->groups, STORE_GROUPS_MAX);
    aggregate_init(&made->seen, ROWS_MAX);
    struct err err = add_memory(store, made);
    if (failed(err)) {
        query_free(made);
        return err;
    }
    open_rows(store, made);
    *out = made;
    return OK;
}

struct err usage_slice(struct store *store, struct store_query *query, bool *done)
{
    struct db_iter *iter = &query->iter;
    *done = false;
    for (int i = 0; i < QUERY_SLICE && db_iter_valid(iter); i++, db_iter_next(iter)) {
        struct aggregate_key key;
        struct usage_sums sums;
        if (!aggregate_key_get(db_iter_key(iter), &key) ||
            !aggregate_value_get(db_iter_value(iter), &sums))
            return ERR(STORE_CORRUPT);
        if (matches(&query->usage, &key) && aggregate_find(&query->seen, &key) == NULL)
            add(query, &key, &sums);
    }
    *done = !db_iter_valid(iter);
    return *done ? db_iter_status(&store->db, iter) : OK;
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_rows(const void *left, const void *right)
{
    const struct usage_row *a = left, *b = right;
    int order = compare_u64(a->day_ns, b->day_ns);
    if (order == 0)
        order = compare_u64(a->key_id, b->key_id);
    if (order == 0)
        order = compare_u64(a->account_id, b->account_id);
    if (order == 0)
        order = compare_u64(a->model_id, b->model_id);
    return order != 0 ? order : (int)a->format - (int)b->format;
}

struct err usage_end(struct store *store, struct store_query *query, struct usage_result *out)
{
    *out = (struct usage_result){ .count = query->groups.count, .is_cut = query->is_cut };
    if (out->count == 0)
        return OK;
    out->rows = mem_take(out->count + 1, sizeof(*out->rows));
    if (out->rows == NULL)
        return ERR(NO_MEMORY);
    for (uint32_t i = 0; i < out->count; i++) {
        const struct aggregate_row *group = &query->groups.rows[i];
        struct usage_row *row = &out->rows[i];
        row->key_id = group->key.key_id;
        row->account_id = group->key.account_id;
        row->model_id = group->key.model_id;
        row->format = group->key.format;
        row->sums = group->sums;
        if (query->usage.group & USAGE_BY_DAY)
            row->day_ns =
                (uint64_t)((int64_t)group->key.bucket * DAY_S - query->usage.day_offset_s) *
                NS_PER_S;
    }
    qsort(out->rows, out->count, sizeof(*out->rows), compare_rows);
    for (uint32_t i = 0; i < out->count; i++)
        out->rows[i].model_len =
            names_text(&store->names, &store->db, out->rows[i].model_id, out->rows[i].model);
    if (query->is_cut)
        out->rows[out->count++].sums = query->rest;
    return OK;
}

void usage_result_fini(struct usage_result *result)
{
    mem_give(result->rows);
    *result = (struct usage_result){ 0 };
}

void query_free(struct store_query *query)
{
    if (query == NULL)
        return;
    aggregate_fini(&query->groups);
    aggregate_fini(&query->seen);
    db_iter_close(&query->iter);
    if (query->detail != NULL)
        detail_free(query->detail);
    mem_give(query);
}

struct err store_usage(struct store *store, const struct usage_query *query,
                       struct usage_result *out)
{
    *out = (struct usage_result){ 0 };
    while (!store->is_readonly && ledger_drain(store))
        ;
    struct store_query *state = NULL;
    TRY(usage_begin(store, query, &state));
    bool done = false;
    struct err err = OK;
    while (!done && !failed(err))
        err = usage_slice(store, state, &done);
    if (!failed(err))
        err = usage_end(store, state, out);
    query_free(state);
    return err;
}
