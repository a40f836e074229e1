// checkpoint.c - sums and positions -> database, in one batch.
//
// A checkpoint holds absolute sums and, for each shard, the sequence up to which they contain
// everything. A start takes the sums and counts the blocks that lie behind the positions: nothing
// is counted twice, because both were written together.
#include "internal.h"

#include "bytes.h"
#include "penstock/base/check.h"
#include "penstock/base/mem.h"

enum {
    VECTOR_VERSION = 1,
    VECTOR_HEAD = 1 + 4 + 4 + 2,
    VECTOR_ROW = 2 + 8 + 8 + USAGE_BLOCK_HASH_BYTES,
    HOUR_VERSION = 1,
};
#define VECTOR_KEY SPAN("positions")

void hour_key_put(uint32_t hour, uint8_t out[HOUR_KEY_BYTES])
{
    out[0] = HOUR_PREFIX;
    put_be32(out + 1, hour);
}

static size_t hour_value_put(const struct hour_stat *stat, uint8_t out[HOUR_VALUE_MAX])
{
    uint8_t *at = out;
    *at++ = HOUR_VERSION;
    at = put_var(at, stat->blocks);
    at = put_var(at, stat->entries);
    at = put_var(at, stat->time_min_ns);
    at = put_var(at, stat->time_max_ns);
    return (size_t)(usage_sums_put(at, &stat->sums) - out);
}

bool hour_get(struct span key, struct span value, struct hour_stat *out)
{
    if (key.len != HOUR_KEY_BYTES || key.ptr[0] != HOUR_PREFIX)
        return false;
    struct reader in = reader_of(value);
    uint8_t version = get_u8(&in);
    *out = (struct hour_stat){ .hour = get_be32((const uint8_t *)key.ptr + 1) };
    out->blocks = get_var(&in);
    out->entries = get_var(&in);
    out->time_min_ns = get_var(&in);
    out->time_max_ns = get_var(&in);
    usage_sums_get(&in, &out->sums);
    return version == HOUR_VERSION && !in.bad;
}

// A row whose stored part could not be read when it was made gets it now.
static struct err complete_row(struct store *store, struct aggregate_row *row)
{
    uint8_t key[AGGREGATE_KEY_BYTES];
    aggregate_key_put(&row->key, key);
    struct db_value value;
    struct err err = db_get(&store->db, STORE_AGGREGATE, span_of(key, sizeof(key)), &value);
    if (failed(err) && err.code != ERR_NOT_FOUND)
        return err;
    if (!failed(err)) {
        struct usage_sums stored;
        bool whole = aggregate_value_get(value.bytes, &stored);
        db_value_free(&value);
        if (!whole)
            return ERR(STORE_CORRUPT);
        usage_sums_add(&row->sums, &stored);
    }
    row->is_partial = false;
    return OK;
}

static struct err put_rows(struct store *store)
{
    for (uint32_t i = 0; i < store->rows.count; i++) {
        struct aggregate_row *row = &store->rows.rows[i];
        if (!row->is_dirty)
            continue;
        if (row->is_partial)
            TRY(complete_row(store, row));
        uint8_t key[AGGREGATE_KEY_BYTES], value[AGGREGATE_VALUE_MAX];
        aggregate_key_put(&row->key, key);
        size_t len = aggregate_value_put(&row->sums, value);
        db_put(&store->db, store->batch, STORE_AGGREGATE, span_of(key, sizeof(key)),
               span_of(value, len));
    }
    return OK;
}

static void put_hours(struct store *store)
{
    for (uint32_t i = 0; i < store->hour_count; i++) {
        if (!store->hours[i].is_dirty)
            continue;
        uint8_t key[HOUR_KEY_BYTES], value[HOUR_VALUE_MAX];
        hour_key_put(store->hours[i].hour, key);
        size_t len = hour_value_put(&store->hours[i], value);
        db_put(&store->db, store->batch, STORE_AGGREGATE, span_of(key, sizeof(key)),
               span_of(value, len));
    }
}

static bool has_position(const struct shard_log *log)
{
    return log->covered != 0 || log->covered_order_ns != 0;
}

static struct err put_vector(struct store *store)
{
    uint16_t count = 0;
    for (uint32_t i = 0; i < store->shard_count; i++)
        count += has_position(&store->logs[i]);
    uint8_t *value = mem_take(1, VECTOR_HEAD + (size_t)count * VECTOR_ROW);
    if (value == NULL)
        return ERR(NO_MEMORY);
    uint8_t *at = value;
    *at++ = VECTOR_VERSION;
    at = put_le32(at, store->boot);
    at = put_le32(at, store->clock.hour);
    at = put_bytes(at, &count, sizeof(count));
    for (uint32_t i = 0; i < store->shard_count; i++) {
        const struct shard_log *log = &store->logs[i];
        if (!has_position(log))
            continue;
        uint16_t shard = (uint16_t)i;
        at = put_bytes(at, &shard, sizeof(shard));
        at = put_le64(at, log->covered);
        at = put_le64(at, log->covered_order_ns);
        at = put_bytes(at, log->covered_hash, USAGE_BLOCK_HASH_BYTES);
    }
    db_put(&store->db, store->batch, STORE_META, VECTOR_KEY, span_of(value, (size_t)(at - value)));
    mem_give(value);
    return OK;
}

// Forgets the rows that nothing will touch soon, when there are many.
static void forget_rows(struct store *store)
{
    struct aggregate *rows = &store->rows;
    for (uint32_t i = 0; i < rows->count; i++)
        aggregate_clean(rows, &rows->rows[i]);
    if (rows->count > ROWS_KEPT)
        aggregate_evict(rows, usage_bucket(hour_clock_now(&store->clock, store->env)));
    if (rows->count > ROWS_KEPT)
        aggregate_evict(rows, UINT32_MAX);
    for (uint32_t i = 0; i < store->hour_count; i++)
        store->hours[i].is_dirty = false;
    if (store->hour_count > 1) {
        store->hours[0] = store->hours[store->hour_count - 1];
        store->hour_count = 1;
    }
}

struct err checkpoint_write(struct store *store, bool sync)
{
    db_batch_clear(store->batch);
    TRY(put_rows(store));
    put_hours(store);
    TRY(put_vector(store));
    TRY(store_write(store, store->batch, sync));
    forget_rows(store);
    const uint64_t now = env_mono_ns(store->env);
    store->entries_since_checkpoint = 0;
    store->checkpoint_due_ns = now + CHECKPOINT_NS;
    store->is_moved = false;
    SHOW(store, checkpoint_ns, now);
    SHOW(store, rows, store->rows.count);
    return OK;
}

bool checkpoint_is_due(const struct store *store, uint64_t now)
{
    return store->is_moved && (store->entries_since_checkpoint >= CHECKPOINT_ENTRIES ||
                               now >= store->checkpoint_due_ns);
}

struct err checkpoint_load(struct store *store, uint32_t *hour)
{
    struct db_value value;
    struct err err = db_get(&store->db, STORE_META, VECTOR_KEY, &value);
    if (err.code == ERR_NOT_FOUND)
        return OK; // a fresh store
    TRY(err);
    struct reader in = reader_of(value.bytes);
    uint8_t version = get_u8(&in);
    store->boot = get_u32(&in);
    *hour = get_u32(&in);
    uint16_t count;
    get_copy(&in, &count, sizeof(count));
    for (uint32_t i = 0; i < count && !in.bad; i++) {
        uint16_t shard;
        get_copy(&in, &shard, sizeof(shard));
        if (shard >= store->shard_count) {
            in.bad = true;
            break;
        }
        struct shard_log *log = &store->logs[shard];
        log->covered = log->next = get_u64(&in);
        log->order_ns = log->covered_order_ns = get_u64(&in);
        get_copy(&in, log->previous, USAGE_BLOCK_HASH_BYTES);
        memcpy(log->covered_hash, log->previous, USAGE_BLOCK_HASH_BYTES);
    }
    db_value_free(&value);
    return version == VECTOR_VERSION && !in.bad ? OK : ERR(STORE_CORRUPT);
}
