#include "penstock/store/aggregate.h"

#include "bytes.h"
#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/store/usage_block.h"

enum { ROWS_MIN = 64, VALUE_VERSION = 1 };

void aggregate_init(struct aggregate *table, uint32_t count_max)
{
    assert(count_max > 0);
    *table = (struct aggregate){ .count_max = count_max };
}

void aggregate_fini(struct aggregate *table)
{
    mem_give(table->rows);
    mem_give(table->index);
    *table = (struct aggregate){ .count_max = table->count_max };
}

void aggregate_clear(struct aggregate *table)
{
    if (table->index != NULL)
        memset(table->index, 0, table->index_len * sizeof(*table->index));
    table->count = table->dirty_count = 0;
}

// Multiplies and folds the four words of the key, each with a constant of its own (the fractional
// digits of square roots). The ids are ours, so nobody can choose colliding ones; model ids are
// hashes already.
static uint32_t hash_key(const struct aggregate_key *key)
{
    uint64_t words[4];
    _Static_assert(sizeof(words) == sizeof(*key), "the key is four words");
    memcpy(words, key, sizeof(words));
    uint64_t mix =
        words[0] * UINT64_C(0x9e3779b97f4a7c15) ^ words[1] * UINT64_C(0xbb67ae8584caa73b) ^
        words[2] * UINT64_C(0x3c6ef372fe94f82b) ^ words[3] * UINT64_C(0xa54ff53a5f1d36f1);
    mix ^= mix >> 32;
    mix *= UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(mix >> 32);
}

// The place of `key` in the index, or the free place where it belongs.
static uint32_t index_place(const struct aggregate *table, const struct aggregate_key *key)
{
    uint32_t at = hash_key(key) & (table->index_len - 1);
    while (table->index[at] != 0 &&
           memcmp(&table->rows[table->index[at] - 1].key, key, sizeof(*key)) != 0)
        at = (at + 1) & (table->index_len - 1);
    return at;
}

static void index_rebuild(struct aggregate *table)
{
    memset(table->index, 0, table->index_len * sizeof(*table->index));
    for (uint32_t i = 0; i < table->count; i++)
        table->index[index_place(table, &table->rows[i].key)] = i + 1;
}

static bool grow(struct aggregate *table)
{
    uint32_t cap = table->cap == 0 ? ROWS_MIN : table->cap * 2;
    struct aggregate_row *rows = mem_take(cap, sizeof(*rows));
    uint32_t *index = mem_take((size_t)cap * 2, sizeof(*index));
    if (rows == NULL || index == NULL) {
        mem_give(rows);
        mem_give(index);
        return false;
    }
    if (table->count > 0)
        memcpy(rows, table->rows, table->count * sizeof(*rows));
    mem_give(table->rows);
    mem_give(table->index);
    table->rows = rows;
    table->index = index;
    table->cap = cap;
    table->index_len = cap * 2;
    index_rebuild(table);
    return true;
}

struct aggregate_row *aggregate_find(const struct aggregate *table, const struct aggregate_key *key)
{
    if (table->count == 0)
        return NULL;
    uint32_t found = table->index[index_place(table, key)];
    return found != 0 ? &table->rows[found - 1] : NULL;
}

struct aggregate_row *aggregate_add(struct aggregate *table, const struct aggregate_key *key)
{
    if (table->count >= table->count_max)
        return NULL;
    if (table->count == table->cap && !grow(table))
        return NULL;
    uint32_t place = index_place(table, key);
    assert(table->index[place] == 0);
    struct aggregate_row *row = &table->rows[table->count++];
    *row = (struct aggregate_row){ .key = *key };
    table->index[place] = table->count;
    return row;
}

void aggregate_dirty(struct aggregate *table, struct aggregate_row *row)
{
    if (!row->is_dirty)
        table->dirty_count++;
    row->is_dirty = true;
}

void aggregate_clean(struct aggregate *table, struct aggregate_row *row)
{
    if (row->is_dirty)
        table->dirty_count--;
    row->is_dirty = false;
}

void aggregate_evict(struct aggregate *table, uint32_t bucket)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct aggregate_row *row = &table->rows[i];
        if (!row->is_dirty && (row->key.bucket < bucket || bucket == UINT32_MAX))
            continue;
        if (kept != i)
            table->rows[kept] = *row;
        kept++;
    }
    if (kept == table->count)
        return;
    table->count = kept;
    index_rebuild(table);
}

struct aggregate_key aggregate_key_of_record(const struct usage_record *record)
{
    return (struct aggregate_key){
        .key_id = record->key_id,
        .account_id = record->account_id,
        .model_id = record->model_id,
        .bucket = usage_bucket(usage_settled_ns(record)),
        .format = record->format,
        .kind = record->kind,
    };
}

struct aggregate_key aggregate_key_of_summary(const struct usage_summary *summary)
{
    return (struct aggregate_key){
        .key_id = summary->key_id,
        .account_id = summary->account_id,
        .model_id = summary->model_id,
        .bucket = summary->bucket,
        .format = summary->format,
        .kind = summary->kind,
    };
}

void aggregate_key_put(const struct aggregate_key *key, uint8_t out[AGGREGATE_KEY_BYTES])
{
    uint8_t *at = out;
    *at++ = AGGREGATE_PREFIX;
    at = put_be32(at, key->bucket);
    at = put_be64(at, key->key_id);
    at = put_be64(at, key->account_id);
    at = put_be64(at, key->model_id);
    *at++ = key->format;
    *at++ = key->kind;
    assert(at - out == AGGREGATE_KEY_BYTES);
}

bool aggregate_key_get(struct span bytes, struct aggregate_key *out)
{
    if (bytes.len != AGGREGATE_KEY_BYTES || bytes.ptr[0] != AGGREGATE_PREFIX)
        return false;
    const uint8_t *at = (const uint8_t *)bytes.ptr + 1;
    *out = (struct aggregate_key){
        .bucket = get_be32(at),
        .key_id = get_be64(at + 4),
        .account_id = get_be64(at + 12),
        .model_id = get_be64(at + 20),
        .format = at[28],
        .kind = at[29],
    };
    return true;
}

size_t aggregate_value_put(const struct usage_sums *sums, uint8_t out[AGGREGATE_VALUE_MAX])
{
    out[0] = VALUE_VERSION;
    return (size_t)(usage_sums_put(out + 1, sums) - out);
}

bool aggregate_value_get(struct span bytes, struct usage_sums *out)
{
    struct reader in = reader_of(bytes);
    uint8_t version = get_u8(&in);
    usage_sums_get(&in, out);
    return version == VALUE_VERSION && !in.bad;
}
