#include "db.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/mem.h"

#include <errno.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BACKGROUND_JOBS = 2,
    OPEN_FILES_MAX = 128,
    BLOOM_BITS = 10,
    SMALL_BUFFER_BYTES = 1 * MIB,
    ARENA_BYTES = 128 * KIB, // a memtable grows by this much
    // RocksDB's log of its own doings gets only what is written at each opening, and is not rolled:
    // Debian builds it with assertions, and one of them ends the process when that log is written
    // to after a failed write, as on a full disk. What operators need, the store tells.
    LOG_LEVEL_HEADER = 5,
    LOG_FILES = 3,
    FILE_BYTES = 16 * MIB,
    WAL_TAIL_ONLY = 0, // a torn last record is the end, any other damage an error
    WAL_POINT_IN_TIME = 2,
};

static const char *const family_names[STORE_KIND_COUNT] = {
#define STORE_KIND_ROW(name, family, is_entity) [STORE_##name] = family,
#include "penstock/store/kinds.def"
#undef STORE_KIND_ROW
};

// The C API gives texts, no codes; these are the beginnings and causes that Status::ToString()
// writes.
static enum err_code classify(const char *text)
{
    if (strstr(text, strerror(ENOSPC)) != NULL || strstr(text, strerror(EDQUOT)) != NULL ||
        strstr(text, "Max allowed space") != NULL)
        return ERR_STORE_FULL;
    if (strstr(text, "lock hold by current process") != NULL ||
        strstr(text, "While lock file") != NULL)
        return ERR_STORE_LOCKED;
    // A file that its own records name and that is not there is damage as well.
    if (strncmp(text, "Corruption", 10) == 0 || strstr(text, strerror(ENOENT)) != NULL)
        return ERR_STORE_CORRUPT;
    return ERR_STORE;
}

// Takes the text that a call has left behind; OK if there is none.
static struct err take_error(struct store_why *why, char *text)
{
    if (text == NULL)
        return OK;
    enum err_code code = classify(text);
    snprintf(why->text, sizeof(why->text), "%s", text);
    rocksdb_free(text);
    return err_make(code, 0, ERR_HERE);
}

static rocksdb_options_t *options_new(const struct db_cfg *cfg, enum db_mode mode,
                                      rocksdb_cache_t *cache)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, mode == DB_NEW);
    rocksdb_options_set_create_missing_column_families(options, mode != DB_READONLY &&
                                                                    mode != DB_TRIMMED_READONLY);
    rocksdb_options_set_paranoid_checks(options, 1);
    const bool trim = mode == DB_TRIMMED || mode == DB_TRIMMED_READONLY;
    rocksdb_options_set_wal_recovery_mode(options, trim ? WAL_POINT_IN_TIME : WAL_TAIL_ONLY);
    rocksdb_options_set_max_total_wal_size(options, cfg->wal_bytes_max);
    rocksdb_options_set_bytes_per_sync(options, 1 * MIB);
    rocksdb_options_set_wal_bytes_per_sync(options, 512 * KIB);
    rocksdb_options_set_db_write_buffer_size(options, cfg->write_buffer_bytes * 2);
    rocksdb_options_set_write_buffer_size(options, cfg->write_buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(options, 3);
    rocksdb_options_set_arena_block_size(options, ARENA_BYTES);
    rocksdb_options_set_target_file_size_base(options, FILE_BYTES);
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS);
    rocksdb_options_set_max_open_files(options, OPEN_FILES_MAX);
    rocksdb_options_set_max_file_opening_threads(options, 1);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    // The same on all levels: files of usage do not overlap, so they sink by being renamed, and a
    // stronger compression at the bottom would be the dearest part of a record.
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_options_set_skip_stats_update_on_db_open(options, 1);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
    rocksdb_options_set_info_log_level(options, LOG_LEVEL_HEADER);
    rocksdb_options_set_keep_log_file_num(options, LOG_FILES);
    rocksdb_options_set_max_manifest_file_size(options, 4 * MIB);
    rocksdb_options_set_avoid_unnecessary_blocking_io(options, 1);

    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    return options;
}

// The one option that has no setter of its own. It makes a missing or shortened synced log an
// error.
static struct err options_verify_wals(rocksdb_options_t **options, struct store_why *why)
{
    rocksdb_options_t *verified = rocksdb_options_create();
    char *text = NULL;
    rocksdb_get_options_from_string(*options, "track_and_verify_wals_in_manifest=true", verified,
                                    &text);
    rocksdb_options_destroy(text == NULL ? *options : verified);
    if (text == NULL)
        *options = verified;
    return take_error(why, text);
}

static struct err set_up(struct db *db, const struct db_cfg *cfg, enum db_mode mode)
{
    db->cache = rocksdb_cache_create_lru(cfg->block_cache_bytes);
    db->options = options_new(cfg, mode, db->cache);
    TRY(options_verify_wals(&db->options, db->why));
    // Most families hold a few small entities; they need no buffer of the size of usage.
    db->options_small = rocksdb_options_create_copy(db->options);
    rocksdb_options_set_write_buffer_size(db->options_small, SMALL_BUFFER_BYTES);
    db->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(db->write, !GUARD(STORE_LOGGED));
    db->read = rocksdb_readoptions_create();
    return OK;
}

// Names the families: ours first, in the order of kinds.def, then any that a later version made;
// RocksDB wants all of them opened. `listed` keeps the text of the latter.
static struct err name_families(struct db *db, const char *names[DB_FAMILIES_MAX], char **listed,
                                size_t listed_count)
{
    for (uint32_t i = 0; i < STORE_KIND_COUNT; i++)
        names[i] = family_names[i];
    db->family_count = STORE_KIND_COUNT;
    for (size_t i = 0; i < listed_count; i++) {
        bool known = false;
        for (uint32_t kind = 0; kind < STORE_KIND_COUNT; kind++)
            known |= strcmp(listed[i], family_names[kind]) == 0;
        if (known)
            continue;
        if (db->family_count == DB_FAMILIES_MAX)
            return ERR(STORE_TOO_NEW);
        names[db->family_count++] = listed[i];
    }
    return OK;
}

static void open_families(struct db *db, const char *dir, enum db_mode mode,
                          const char *const *names, char **text)
{
    const rocksdb_options_t *options[DB_FAMILIES_MAX];
    for (uint32_t i = 0; i < db->family_count; i++)
        options[i] = i == STORE_USAGE || i == STORE_AGGREGATE ? db->options : db->options_small;
    if (mode == DB_READONLY || mode == DB_TRIMMED_READONLY)
        db->db = rocksdb_open_for_read_only_column_families(db->options, dir, (int)db->family_count,
                                                            names, options, db->families, 0, text);
    else
        db->db = rocksdb_open_column_families(db->options, dir, (int)db->family_count, names,
                                              options, db->families, text);
}

struct err db_open(struct db *db, const struct db_cfg *cfg, enum db_mode mode,
                   struct store_why *why)
{
    *db = (struct db){ .why = why };
    struct err err = set_up(db, cfg, mode);
    char **listed = NULL;
    size_t listed_count = 0;
    char *text = NULL;
    if (!failed(err) && mode != DB_NEW) {
        listed = rocksdb_list_column_families(db->options, cfg->dir, &listed_count, &text);
        err = take_error(why, text);
    }
    const char *names[DB_FAMILIES_MAX];
    if (!failed(err))
        err = name_families(db, names, listed, listed_count);
    if (!failed(err)) {
        text = NULL;
        open_families(db, cfg->dir, mode, names, &text);
        err = take_error(why, text);
    }
    if (listed != NULL)
        rocksdb_list_column_families_destroy(listed, listed_count);
    if (failed(err)) {
        db->db = NULL;
        db_close(db);
    }
    return err;
}

void db_close(struct db *db)
{
    if (db->db != NULL) {
        for (uint32_t i = 0; i < db->family_count; i++)
            rocksdb_column_family_handle_destroy(db->families[i]);
        rocksdb_close(db->db);
    }
    if (db->read != NULL)
        rocksdb_readoptions_destroy(db->read);
    if (db->write != NULL)
        rocksdb_writeoptions_destroy(db->write);
    if (db->options_small != NULL)
        rocksdb_options_destroy(db->options_small);
    if (db->options != NULL)
        rocksdb_options_destroy(db->options);
    if (db->cache != NULL)
        rocksdb_cache_destroy(db->cache);
    *db = (struct db){ .why = db->why };
}

struct err db_repair(const char *dir, struct store_why *why)
{
    rocksdb_options_t *options = rocksdb_options_create();
    char *text = NULL;
    rocksdb_repair_db(options, dir, &text);
    rocksdb_options_destroy(options);
    return take_error(why, text);
}

rocksdb_writebatch_t *db_batch_new(void)
{
    return rocksdb_writebatch_create();
}

void db_batch_free(rocksdb_writebatch_t *batch)
{
    if (batch != NULL)
        rocksdb_writebatch_destroy(batch);
}

void db_batch_clear(rocksdb_writebatch_t *batch)
{
    rocksdb_writebatch_clear(batch);
}

bool db_batch_is_empty(rocksdb_writebatch_t *batch)
{
    return rocksdb_writebatch_count(batch) == 0;
}

void db_put(struct db *db, rocksdb_writebatch_t *batch, enum store_kind kind, struct span key,
            struct span value)
{
    rocksdb_writebatch_put_cf(batch, db->families[kind], key.ptr, key.len, value.ptr, value.len);
}

void db_put_parts(struct db *db, rocksdb_writebatch_t *batch, enum store_kind kind, struct span key,
                  const struct span *parts, uint32_t part_count)
{
    assert(part_count <= DB_PARTS_MAX);
    const char *values[DB_PARTS_MAX];
    size_t lens[DB_PARTS_MAX];
    for (uint32_t i = 0; i < part_count; i++) {
        values[i] = parts[i].ptr;
        lens[i] = parts[i].len;
    }
    rocksdb_writebatch_putv_cf(batch, db->families[kind], 1, &key.ptr, &key.len, (int)part_count,
                               values, lens);
}

void db_delete(struct db *db, rocksdb_writebatch_t *batch, enum store_kind kind, struct span key)
{
    rocksdb_writebatch_delete_cf(batch, db->families[kind], key.ptr, key.len);
}

void db_delete_range(struct db *db, rocksdb_writebatch_t *batch, enum store_kind kind,
                     struct span from, struct span to)
{
    rocksdb_writebatch_delete_range_cf(batch, db->families[kind], from.ptr, from.len, to.ptr,
                                       to.len);
}

struct err db_write(struct db *db, rocksdb_writebatch_t *batch)
{
    char *text = NULL;
    rocksdb_write(db->db, db->write, batch, &text);
    return take_error(db->why, text);
}

struct err db_drop_files(struct db *db, enum store_kind kind, struct span from, struct span to)
{
    char *text = NULL;
    rocksdb_delete_file_in_range_cf(db->db, db->families[kind], from.ptr, from.len, to.ptr, to.len,
                                    &text);
    return take_error(db->why, text);
}

struct err db_flush(struct db *db)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    struct err err = OK;
    for (uint32_t i = 0; i < db->family_count && !failed(err); i++) {
        char *text = NULL;
        rocksdb_flush_cf(db->db, options, db->families[i], &text);
        err = take_error(db->why, text);
    }
    rocksdb_flushoptions_destroy(options);
    return err;
}

struct err db_get(struct db *db, enum store_kind kind, struct span key, struct db_value *out)
{
    char *text = NULL;
    *out = (struct db_value){ 0 };
    out->pinned =
        rocksdb_get_pinned_cf(db->db, db->read, db->families[kind], key.ptr, key.len, &text);
    TRY(take_error(db->why, text));
    if (out->pinned == NULL)
        return ERR(NOT_FOUND);
    size_t len;
    const char *ptr = rocksdb_pinnableslice_value(out->pinned, &len);
    out->bytes = span_of(ptr, len);
    return OK;
}

void db_value_free(struct db_value *value)
{
    if (value->pinned != NULL)
        rocksdb_pinnableslice_destroy(value->pinned);
    *value = (struct db_value){ 0 };
}

void db_iter_open(struct db_iter *iter, struct db *db, enum store_kind kind, struct span from,
                  struct span upper)
{
    assert(db->db != NULL);
    iter->read = rocksdb_readoptions_create();
    iter->upper = NULL;
    if (upper.len > 0) {
        iter->upper = mem_take(1, upper.len);
        verify(iter->upper != NULL);
        memcpy(iter->upper, upper.ptr, upper.len);
        rocksdb_readoptions_set_iterate_upper_bound(iter->read, iter->upper, upper.len);
    }
    rocksdb_readoptions_set_fill_cache(iter->read, 0); // a long scan must not empty the cache
    iter->iter = rocksdb_create_iterator_cf(db->db, iter->read, db->families[kind]);
    db_iter_seek(iter, from);
}

void db_iter_seek(struct db_iter *iter, struct span from)
{
    if (from.len == 0)
        rocksdb_iter_seek_to_first(iter->iter);
    else
        rocksdb_iter_seek(iter->iter, from.ptr, from.len);
}

void db_iter_seek_last(struct db_iter *iter, struct span upto)
{
    rocksdb_iter_seek_for_prev(iter->iter, upto.ptr, upto.len);
}

bool db_iter_valid(const struct db_iter *iter)
{
    return rocksdb_iter_valid(iter->iter) != 0;
}

struct span db_iter_key(const struct db_iter *iter)
{
    size_t len;
    const char *ptr = rocksdb_iter_key(iter->iter, &len);
    return span_of(ptr, len);
}

struct span db_iter_value(const struct db_iter *iter)
{
    size_t len;
    const char *ptr = rocksdb_iter_value(iter->iter, &len);
    return span_of(ptr, len);
}

void db_iter_next(struct db_iter *iter)
{
    rocksdb_iter_next(iter->iter);
}

struct err db_iter_status(struct db *db, const struct db_iter *iter)
{
    char *text = NULL;
    rocksdb_iter_get_error(iter->iter, &text);
    return take_error(db->why, text);
}

void db_iter_close(struct db_iter *iter)
{
    if (iter->iter == NULL)
        return;
    rocksdb_iter_destroy(iter->iter);
    rocksdb_readoptions_destroy(iter->read);
    mem_give(iter->upper);
    *iter = (struct db_iter){ 0 };
}

uint64_t db_sequence(struct db *db)
{
    return rocksdb_get_latest_sequence_number(db->db);
}

uint64_t db_property_one(struct db *db, const char *name)
{
    uint64_t value = 0;
    if (db->db == NULL || rocksdb_property_int(db->db, name, &value) != 0)
        return 0;
    return value;
}

uint64_t db_property(struct db *db, const char *name)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; db->db != NULL && i < db->family_count; i++) {
        uint64_t value = 0;
        if (rocksdb_property_int_cf(db->db, db->families[i], name, &value) == 0)
            sum += value;
    }
    return sum;
}
