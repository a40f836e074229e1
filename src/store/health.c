// health.c - failure and recovery, disk space, retention, figures.
//
// After a failed write RocksDB refuses all further ones, its C API has no way to resume, and its
// own attempts to resume can end the process by an assertion. So the store closes it at once and
// opens it for reading only, probes the disk with a file of its own, and when that can be written
// and synced, opens the database again: what the logs hold is then written to new files, so nothing
// depends on pages whose sync has failed.
#include "internal.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    PROBE_BYTES = 256 * KIB,
    MARGIN_BYTES = 64 * MIB,
    REST_CHORES = 4, // without a record
    REST_BYTES = 1 * MIB,
};

// --- Writing

struct err store_write(struct store *store, struct rocksdb_writebatch_t *batch, bool sync)
{
    if (store->is_readonly)
        return ERR(STORE_READONLY);
    const uint64_t start = env_mono_ns(store->env);
    struct err err = db_write(&store->db, batch);
    const uint64_t end = env_mono_ns(store->env);
    COUNT(store, writes, 1);
    COUNT(store, write_ns, end - start);
    if (end - start > STALL_NS) {
        COUNT(store, write_stalls, 1);
        COUNT(store, write_stall_ns, end - start);
    }
    if (failed(err)) {
        COUNT(store, write_errors, 1);
        return err;
    }
    if (sync)
        return store_sync(store);
    // What is oldest in it has waited for as long as records gather.
    const uint64_t sync_ns = store->cfg.sync_ms * NS_PER_MS;
    if (store->sync_due_ns == 0)
        store->sync_due_ns = end + sync_ns - min_u64(sync_ns, store->gather_ns);
    return OK;
}

struct err store_sync(struct store *store)
{
    const uint64_t start = env_mono_ns(store->env);
    const uint64_t sequence = db_sequence(&store->db);
    struct err err = wal_sync(&store->wal);
    COUNT(store, syncs, 1);
    COUNT(store, sync_ns, env_mono_ns(store->env) - start);
    if (failed(err)) {
        COUNT(store, write_errors, 1);
        snprintf(store->why.text, sizeof(store->why.text), "syncing the log: %s",
                 strerror(err.sys));
        return err;
    }
    store->sync_due_ns = 0;
    store->marker.synced = sequence;
    // Not synced itself: a marker that lags behind only notices less.
    if (store->marker.fd >= 0 && failed(marker_write(&store->marker, false)))
        COUNT(store, write_errors, 1);
    return OK;
}

// --- Opening

// RocksDB says which table file or manifest is damaged, but of a log only that it is; and of a
// table that is gone it tells the name of an older form, which it looks for last.
static void name_file(struct store *store)
{
    char *text = store->why.text;
    for (char *at = text; (at = strstr(at, ".ldb")) != NULL;)
        memcpy(at, ".sst", 4);
    if (strstr(text, ".sst") != NULL || strstr(text, ".log") != NULL ||
        strstr(text, "MANIFEST") != NULL || strstr(text, "CURRENT") != NULL)
        return;
    size_t len = strlen(text);
    snprintf(text + len, sizeof(store->why.text) - len, "; ");
    len = strlen(text);
    wal_describe(store->dir, text + len, sizeof(store->why.text) - len);
}

static struct err forgotten(struct store *store, uint64_t found)
{
    db_close(&store->db);
    snprintf(store->why.text, sizeof(store->why.text),
             "it ends at change %llu although %llu were on stable storage",
             (unsigned long long)found, (unsigned long long)store->marker.synced);
    return ERR(STORE_CORRUPT);
}

// A power cut leaves a log whose last, unsynced part may be damaged. That is no loss beyond what is
// promised, if what comes before it reaches as far as the marker; anything less is damage.
static struct err open_trimmed(struct store *store, const struct db_cfg *cfg, bool readonly)
{
    struct store_why said = store->why;
    struct err err = db_open(&store->db, cfg, DB_TRIMMED_READONLY, &store->why);
    if (!failed(err) && db_sequence(&store->db) < store->marker.synced) {
        db_close(&store->db);
        err = ERR(STORE_CORRUPT);
    }
    if (failed(err)) {
        store->why = said;
        return ERR(STORE_CORRUPT);
    }
    if (readonly)
        return OK;
    db_close(&store->db);
    return db_open(&store->db, cfg, DB_TRIMMED, &store->why);
}

static struct err open_checked(struct store *store, const struct db_cfg *cfg, enum db_mode mode)
{
    struct err err = db_open(&store->db, cfg, mode, &store->why);
    if (err.code == ERR_STORE_CORRUPT && mode != DB_NEW)
        err = open_trimmed(store, cfg, mode == DB_READONLY);
    TRY(err);
    uint64_t sequence = db_sequence(&store->db);
    if (mode != DB_NEW && sequence < store->marker.synced && GUARD(STORE_MARKER))
        return forgotten(store, sequence);
    return OK;
}

struct err health_open_db(struct store *store, enum db_mode mode)
{
    const struct db_cfg cfg = {
        .dir = store->dir,
        .write_buffer_bytes = store->cfg.write_buffer_bytes,
        .block_cache_bytes = store->cfg.block_cache_bytes,
        .wal_bytes_max = store->cfg.wal_bytes_max,
    };
    struct err err = open_checked(store, &cfg, mode);
    if (err.code == ERR_STORE_CORRUPT)
        name_file(store);
    return err;
}

// --- Failing and mending

static void set_state(struct store *store, enum store_state state, struct err cause)
{
    store->state = state;
    store->cause = cause;
    SHOW(store, cause_code, cause.code);
    SHOW(store, state, state);
}

static struct err open_for_reads(struct store *store)
{
    struct store_why said = store->why;
    db_close(&store->db);
    struct err err = health_open_db(store, DB_READONLY);
    store->why = said;
    return err;
}

void health_fail(struct store *store, struct err err)
{
    assert(failed(err));
    if (store->state != STORE_OK)
        return; // the first cause is the one to tell
    store->retry_wait_ns = RETRY_MIN_NS;
    store->retry_at_ns = env_mono_ns(store->env) + store->retry_wait_ns;
    set_state(store, STORE_DEGRADED, err);
    store_abort_queries(store, err);
    if (failed(open_for_reads(store)))
        set_state(store, STORE_DOWN, err);
}

static uint64_t disk_free(const struct store *store)
{
    struct statvfs fs;
    if (statvfs(store->dir, &fs) != 0)
        return UINT64_MAX; // not known; writing will tell
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

static bool probe_write(int fd)
{
    static const char zeroes[4 * KIB];
    for (size_t done = 0; done < PROBE_BYTES; done += sizeof(zeroes))
        if (write(fd, zeroes, sizeof(zeroes)) != (ssize_t)sizeof(zeroes))
            return false;
    return fdatasync(fd) == 0 && fsync(fd) == 0;
}

// Whether a file beside the database can be written and synced now.
static bool disk_works(const struct store *store)
{
    const uint64_t need = min_u64(store->cfg.disk_min_bytes, MARGIN_BYTES);
    if (store->cause.code == ERR_STORE_FULL && disk_free(store) < need)
        return false;
    char path[PATH_BYTES + 16];
    snprintf(path, sizeof(path), "%s/PROBE", store->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool works = probe_write(fd);
    close(fd);
    unlink(path);
    return works;
}

static struct err reopen(struct store *store)
{
    store_abort_queries(store, store->cause);
    db_close(&store->db);
    struct err err = health_open_db(store, DB_NORMAL);
    if (!failed(err)) {
        err = entity_recover(store);
        if (!failed(err))
            err = store_sync(store);
    }
    if (failed(err)) {
        const bool reads = !failed(open_for_reads(store));
        set_state(store, reads ? STORE_DEGRADED : STORE_DOWN, err);
    }
    return err;
}

void health_try(struct store *store)
{
    const uint64_t now = env_mono_ns(store->env);
    if (store->state == STORE_OK || now < store->retry_at_ns)
        return;
    store->retry_wait_ns = min_u64(store->retry_wait_ns * 2, RETRY_MAX_NS);
    store->retry_at_ns = now + store->retry_wait_ns;
    if (disk_works(store) && !failed(reopen(store)))
        set_state(store, STORE_OK, OK);
}

// --- Retention

static void hour_block_key(uint32_t hour, uint8_t out[USAGE_BLOCK_KEY_BYTES])
{
    const struct usage_block_id id = { .hour = hour };
    usage_block_key(&id, out);
}

static void forget_hours(struct store *store, uint32_t hour_first_kept)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < store->hour_count; i++)
        if (store->hours[i].hour >= hour_first_kept)
            store->hours[kept++] = store->hours[i];
    store->hour_count = kept;
}

static bool has_hour_before(struct store *store, uint32_t hour, struct err *err)
{
    uint8_t from[HOUR_KEY_BYTES], to[HOUR_KEY_BYTES];
    hour_key_put(0, from);
    hour_key_put(hour, to);
    struct db_iter iter;
    db_iter_open(&iter, &store->db, STORE_AGGREGATE, span_of(from, sizeof(from)),
                 span_of(to, sizeof(to)));
    bool found = db_iter_valid(&iter);
    *err = db_iter_status(&store->db, &iter);
    db_iter_close(&iter);
    return found;
}

struct err retention_run(struct store *store, uint32_t hour_first_kept)
{
    struct err err;
    if (!has_hour_before(store, hour_first_kept, &err))
        return err;
    uint8_t from[USAGE_BLOCK_KEY_BYTES], to[USAGE_BLOCK_KEY_BYTES];
    hour_block_key(0, from);
    hour_block_key(hour_first_kept, to);
    struct span blocks_from = span_of(from, sizeof(from)), blocks_to = span_of(to, sizeof(to));
    uint8_t hour_from[HOUR_KEY_BYTES], hour_to[HOUR_KEY_BYTES];
    hour_key_put(0, hour_from);
    hour_key_put(hour_first_kept, hour_to);
    // Whole files go at once; the range takes what lies in files that hold newer blocks as well.
    TRY(db_drop_files(&store->db, STORE_USAGE, blocks_from, blocks_to));
    db_batch_clear(store->batch);
    db_delete_range(&store->db, store->batch, STORE_USAGE, blocks_from, blocks_to);
    db_delete_range(&store->db, store->batch, STORE_AGGREGATE, span_of(hour_from, HOUR_KEY_BYTES),
                    span_of(hour_to, HOUR_KEY_BYTES));
    TRY(store_write(store, store->batch, false));
    forget_hours(store, hour_first_kept);
    return OK;
}

static void retention(struct store *store, uint64_t now)
{
    if (store->cfg.detail_days == 0 || now < store->retention_due_ns)
        return;
    store->retention_due_ns = now + RETENTION_NS;
    // A clock that is wrong by a year must not delete a year: it is believed when it has been
    // steady for a while, and not right after the start either.
    const uint64_t wall = hour_clock_now(&store->clock, store->env);
    if (now - store->clock.start_ns < CLOCK_HOLD_NS)
        return;
    const uint32_t hour = (uint32_t)(wall / HOUR_NS), keep = store->cfg.detail_days * 24;
    if (hour <= keep)
        return;
    struct err err = retention_run(store, hour - keep);
    if (failed(err))
        health_fail(store, err);
}

// --- Figures

static uint64_t wal_bytes(const struct store *store)
{
    uint64_t sum = 0;
    DIR *dir = opendir(store->dir);
    if (dir == NULL)
        return 0;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        struct span name = span_str(entry->d_name);
        struct stat stat;
        if (name.len > 4 && span_eq(span_from(name, name.len - 4), SPAN(".log")) &&
            fstatat(dirfd(dir), entry->d_name, &stat, 0) == 0)
            sum += (uint64_t)stat.st_size;
    }
    closedir(dir);
    return sum;
}

static void watch_disk(struct store *store)
{
    const uint64_t free_bytes = disk_free(store), low = store->cfg.disk_min_bytes;
    SHOW(store, disk_free_bytes, free_bytes);
    if (free_bytes < low && GUARD(STORE_DISK_MARK))
        store->is_detail_stopped = true;
    else if (free_bytes > low + low / 4) // not to and fro at the mark
        store->is_detail_stopped = false;
    SHOW(store, detail_stopped, store->is_detail_stopped);
}

// A memtable that nobody adds to any more holds memory for nothing: after a few seconds it goes to
// the disk, and what it was made of goes back to the system.
static void rest(struct store *store)
{
    const uint64_t records = atomic_load_explicit(&store->stats.records, memory_order_relaxed);
    store->chores_idle = records == store->chores_records ? store->chores_idle + 1 : 0;
    store->chores_records = records;
    if (store->chores_idle != REST_CHORES ||
        db_property(&store->db, "rocksdb.cur-size-all-mem-tables") < REST_BYTES)
        return;
    struct err err = db_flush(&store->db);
    if (failed(err))
        health_fail(store, err);
    else
        (void)malloc_trim(0);
}

void health_chores(struct store *store)
{
    const uint64_t now = env_mono_ns(store->env);
    if (now < store->chores_due_ns)
        return;
    store->chores_due_ns = now + CHORES_NS;
    watch_disk(store);
    SHOW(store, bytes, db_property(&store->db, "rocksdb.live-sst-files-size"));
    SHOW(store, memtable_bytes, db_property(&store->db, "rocksdb.cur-size-all-mem-tables"));
    SHOW(store, pending_compaction_bytes,
         db_property(&store->db, "rocksdb.estimate-pending-compaction-bytes"));
    SHOW(store, wal_bytes, wal_bytes(store));
    if (store->state != STORE_OK)
        return;
    // A flush that failed in the background is told by the next write; when nothing is written, it
    // is found here.
    if (db_property_one(&store->db, "rocksdb.background-errors") > store->background_errors) {
        store->background_errors = db_property_one(&store->db, "rocksdb.background-errors");
        struct err err = store_sync(store);
        if (failed(err)) {
            health_fail(store, err);
            return;
        }
    }
    retention(store, now);
    rest(store);
}

void store_stats(struct store *store, struct store_stats *out)
{
#define READ(name) atomic_load_explicit(&store->stats.name, memory_order_relaxed)
    const uint64_t now = env_mono_ns(store->env);
    enum err_code cause = (enum err_code)READ(cause_code);
    *out = (struct store_stats){
        .state = (enum store_state)READ(state),
        .is_detail_stopped = READ(detail_stopped) != 0,
        .is_clock_held = READ(clock_held) != 0,
        .is_rings_shared = READ(rings_shared) != 0,
        .records = READ(records),
        .records_folded = READ(records_folded),
        .records_replayed = READ(records_replayed),
        .records_missing = READ(records_missing),
        .blocks = READ(blocks),
        .blocks_damaged = READ(blocks_damaged),
        .commits = READ(commits),
        .commits_failed = READ(commits_failed),
        .writes = READ(writes),
        .write_ns = READ(write_ns),
        .write_stalls = READ(write_stalls),
        .write_stall_ns = READ(write_stall_ns),
        .write_errors = READ(write_errors),
        .syncs = READ(syncs),
        .sync_ns = READ(sync_ns),
        .bytes = READ(bytes),
        .wal_bytes = READ(wal_bytes),
        .memtable_bytes = READ(memtable_bytes),
        .pending_compaction_bytes = READ(pending_compaction_bytes),
        .disk_free_bytes = READ(disk_free_bytes),
        .checkpoint_age_ns = now - min_u64(READ(checkpoint_ns), now),
        .rows = READ(rows),
        .saturated = READ(saturated),
        .boot = store->boot,
    };
#undef READ
    if (cause != ERR_NONE)
        out->cause = err_make(cause, 0, ERR_HERE);
    for (uint32_t i = 0; i < store->port_count; i++) {
        out->records_waiting += usage_port_waiting(&store->ports[i]);
        out->records_folded +=
            atomic_load_explicit(&store->ports[i].folded_count, memory_order_relaxed);
    }
}

const char *store_why(const struct store *store)
{
    return store->why.text;
}
