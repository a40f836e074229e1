// db.h - RocksDB, as much of it as the store needs. The only file pair that knows its C API.
#ifndef PENSTOCK_STORE_DB_H
#define PENSTOCK_STORE_DB_H

#include "penstock/store/store.h"

struct rocksdb_t;
struct rocksdb_options_t;
struct rocksdb_cache_t;
struct rocksdb_column_family_handle_t;
struct rocksdb_writeoptions_t;
struct rocksdb_readoptions_t;
struct rocksdb_writebatch_t;
struct rocksdb_iterator_t;
struct rocksdb_pinnableslice_t;

enum { DB_FAMILIES_MAX = 32, DB_KEY_MAX = STORE_KEY_MAX, DB_PARTS_MAX = 4 };

enum db_mode {
    DB_NORMAL,
    DB_NEW, // may create it
    DB_READONLY,
    DB_TRIMMED, // opens up to the first damage in the write-ahead log instead of failing
    DB_TRIMMED_READONLY,
};

struct db_cfg {
    const char *dir;
    size_t write_buffer_bytes, block_cache_bytes, wal_bytes_max;
};

struct db {
    struct rocksdb_t *db; // NULL while closed
    struct rocksdb_options_t *options, *options_small;
    struct rocksdb_cache_t *cache;
    struct rocksdb_column_family_handle_t *families[DB_FAMILIES_MAX];
    uint32_t family_count; // the first STORE_KIND_COUNT are ours in the order of kinds.def
    struct rocksdb_writeoptions_t *write;
    struct rocksdb_readoptions_t *read;
    struct store_why *why; // gets the text of each failure
};

// A failed call leaves `db` closed and may be repeated.
must_use struct err db_open(struct db *db, const struct db_cfg *cfg, enum db_mode mode,
                            struct store_why *why);
void db_close(struct db *db);
must_use struct err db_repair(const char *dir, struct store_why *why);

// --- Writing. A batch is applied as a whole or not at all.
struct rocksdb_writebatch_t *db_batch_new(void);
void db_batch_free(struct rocksdb_writebatch_t *batch);
void db_batch_clear(struct rocksdb_writebatch_t *batch);
bool db_batch_is_empty(struct rocksdb_writebatch_t *batch);
void db_put(struct db *db, struct rocksdb_writebatch_t *batch, enum store_kind kind,
            struct span key, struct span value);
// The value is the parts behind each other, at most DB_PARTS_MAX.
void db_put_parts(struct db *db, struct rocksdb_writebatch_t *batch, enum store_kind kind,
                  struct span key, const struct span *parts, uint32_t part_count);
void db_delete(struct db *db, struct rocksdb_writebatch_t *batch, enum store_kind kind,
               struct span key);
void db_delete_range(struct db *db, struct rocksdb_writebatch_t *batch, enum store_kind kind,
                     struct span from, struct span to);
// Not on stable storage before the next wal_sync(): RocksDB is never asked to sync, see wal.h.
must_use struct err db_write(struct db *db, struct rocksdb_writebatch_t *batch);
// Unlinks the files that lie wholly in [from, to); the keys that are left need db_delete_range().
must_use struct err db_drop_files(struct db *db, enum store_kind kind, struct span from,
                                  struct span to);
// Empties the memtables, so that the next start has no log to replay.
must_use struct err db_flush(struct db *db);

// --- Reading.
struct db_value {
    struct rocksdb_pinnableslice_t *pinned;
    struct span bytes; // until db_value_free()
};
must_use struct err db_get(struct db *db, enum store_kind kind, struct span key,
                           struct db_value *out); // NOT_FOUND needs no db_value_free()
void db_value_free(struct db_value *value);

// Sees the database as it was when it was opened. Stays valid while others write, not over
// db_close().
struct db_iter {
    struct rocksdb_iterator_t *iter;
    struct rocksdb_readoptions_t *read;
    char *upper; // RocksDB keeps a pointer to it, so it stays where it is when the iter is moved
};
// Stands at the first key >= from; ends before `upper` (of length 0: nowhere).
void db_iter_open(struct db_iter *iter, struct db *db, enum store_kind kind, struct span from,
                  struct span upper);
void db_iter_seek(struct db_iter *iter, struct span from);
void db_iter_seek_last(struct db_iter *iter, struct span upto); // the last key <= upto
bool db_iter_valid(const struct db_iter *iter);
struct span db_iter_key(const struct db_iter *iter);
struct span db_iter_value(const struct db_iter *iter);
void db_iter_next(struct db_iter *iter);
must_use struct err db_iter_status(struct db *db, const struct db_iter *iter);
void db_iter_close(struct db_iter *iter);

// --- Figures.
uint64_t db_sequence(struct db *db); // changes written since the database was made
uint64_t db_property(struct db *db, const char *name); // summed over the families, 0 if unknown
uint64_t db_property_one(struct db *db, const char *name);

#endif
