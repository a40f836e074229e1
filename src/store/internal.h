// internal.h - the store's parts, for its own files.
//
//   store.c         opening, closing, the thread's loop, operations
//   entity.c        commits and scans of entities
//   ledger.c        ports -> blocks -> database -> sums
//   checkpoint.c    sums and positions -> database
//   ledger_start.c  what the last process left behind -> sums
//   usage.c         queries over sums
//   detail.c        queries over blocks
//   verify.c        the check of every block
//   health.c        failure and recovery, disk space, retention, figures
#ifndef PENSTOCK_STORE_INTERNAL_H
#define PENSTOCK_STORE_INTERNAL_H

#include "db.h"
#include "marker.h"
#include "names.h"
#include "penstock/store/aggregate.h"
#include "penstock/store/usage_block.h"
#include "rings.h"
#include "wal.h"

#include <stdatomic.h>

enum {
    // Of a shard while nothing can be written; what is over it is folded into summaries.
    PENDING_BYTES_MAX = 1 * MIB,
    BATCH_BLOCKS_MAX = 64,                   // in one write, of all shards
    TAKE_BLOCKS_MAX = 4,                     // of a shard, in one write
    DRAIN_WRITES_MAX = 4,                    // in one step, before others get their turn
    FOLD_ROWS_MAX = USAGE_BLOCK_ENTRIES_MAX, // what one summary block holds
    ROWS_MAX = 128 * KIB,
    ROWS_KEPT = 8 * KIB,            // clean rows kept at a checkpoint
    CHECKPOINT_ENTRIES = 50 * 1000, // at the latest
    QUERY_SLICE = 2000,             // rows or entries of a query in one step
    OPS_STEP_MAX = 64,
    PATH_BYTES = 4096,
};
#define CHECKPOINT_NS (5 * NS_PER_S)
#define DETAIL_STOP_FLUSH_NS NS_PER_S // how often summaries are written while detail is stopped
#define CHORES_NS NS_PER_S
#define RETENTION_NS (60 * NS_PER_S)
#define RETRY_MIN_NS NS_PER_S
#define RETRY_MAX_NS (10 * NS_PER_S)
#define STALL_NS (100 * NS_PER_MS) // a write that takes longer counts as stalled
#define CLOCK_JUMP_NS (300 * NS_PER_S)
#define CLOCK_HOLD_NS (600 * NS_PER_S)
#define HOUR_NS (3600 * NS_PER_S)

// A frozen block: the same bytes under the same key on every try. What it adds to sums was summed
// up while it was built, and is counted once it is committed.
struct pending {
    struct list link;
    struct usage_block_id id;
    uint32_t span;
    uint32_t slots;    // of the ring, given back when it is committed
    uint64_t order_ns; // of the shard, with this block
    uint8_t hash[USAGE_BLOCK_HASH_BYTES];
    uint32_t len, row_count;
    struct aggregate_row rows[]; // and behind them the bytes
};

// The consumer's side of a port.
struct shard_log {
    struct usage_port *port; // NULL for a shard that only the last process had
    uint64_t next;           // sequence that is not in a block or summary yet
    uint64_t covered;        // sequence that the sums do not contain yet
    uint32_t taken;          // slots at the ring's front that are in a block or summary already
    struct list pending;     // in the order of their sequences
    size_t pending_bytes;
    // Sums of [folded_first, next) when detail cannot be kept.
    struct aggregate folded;
    uint64_t folded_first;
    uint32_t folded_slots;
    // Of the newest frozen block, and of the newest that is in the sums.
    uint8_t previous[USAGE_BLOCK_HASH_BYTES], covered_hash[USAGE_BLOCK_HASH_BYTES];
    uint64_t order_ns, covered_order_ns;
};

struct hour_stat {
    uint32_t hour;
    bool is_dirty;
    uint64_t blocks, entries;
    uint64_t time_min_ns, time_max_ns;
    struct usage_sums sums;
};

// The hours that blocks are filed under: the wall clock, as far as it agrees with the monotonic
// one, and never backwards.
struct hour_clock {
    uint64_t offset_ns; // wall minus monotonic, modulo 2^64, as believed
    uint64_t held_offset_ns, held_since_ns;
    uint64_t start_ns; // monotonic
    uint32_t hour;
    bool is_held;
};

struct store_client {
    struct store *store;
    struct spsc requests, replies; // of struct store_op *
    void (*wake)(void *arg);
    void *wake_arg;
    uint32_t under_way; // the client's own count
    bool replied;       // since the last wake
};

// Written by the store's thread, read by anybody.
struct store_counters {
    _Atomic uint64_t state, cause_code, detail_stopped, clock_held, rings_shared;
    _Atomic uint64_t records, records_folded, records_replayed, records_missing;
    _Atomic uint64_t blocks, blocks_damaged, commits, commits_failed;
    _Atomic uint64_t writes, write_ns, write_stalls, write_stall_ns, syncs, sync_ns, write_errors;
    _Atomic uint64_t bytes, wal_bytes, memtable_bytes, pending_compaction_bytes, disk_free_bytes;
    _Atomic uint64_t checkpoint_ns, rows, saturated;
};

struct store {
    struct store_cfg cfg;
    struct env *env;
    char dir[PATH_BYTES];
    char runtime_dir[PATH_BYTES]; // empty: none
    bool is_readonly;
    int lock_fd;
    struct store_why why;
    struct db db;
    struct wal wal;
    struct marker marker;
    struct rings rings;
    uint8_t uuid[RINGS_UUID_BYTES];
    uint32_t boot;

    // Ledger.
    uint32_t shard_count; // of `logs`; the first cfg.shard_count have a port
    struct shard_log *logs;
    struct usage_port *ports;
    uint32_t port_count; // 0 for a store that is only read
    struct usage_summary *spills;
    struct usage_block_writer *writer;
    struct aggregate block_rows; // what the block in the writer adds to sums
    uint32_t block_row;          // of them, that of its last entry
    struct rocksdb_writebatch_t *batch;
    struct names names;
    struct aggregate rows;
    struct hour_stat *hours; // touched since the start, oldest first
    uint32_t hour_count, hour_cap;
    struct hour_clock clock;
    uint64_t entries_since_checkpoint;
    uint64_t checkpoint_due_ns, folded_due_ns;
    bool is_moved; // positions are ahead of the checkpoint

    // Entities.
    uint64_t revision;
    struct rocksdb_writebatch_t *undo; // of the commit that failed last, NULL if none
    uint64_t undo_revision;

    // Failure.
    enum store_state state;
    struct err cause;
    uint64_t retry_at_ns, retry_wait_ns;

    uint64_t sync_due_ns; // 0: nothing is unsynced
    uint64_t chores_due_ns, retention_due_ns;
    uint64_t background_errors; // that were looked at
    uint64_t chores_records;    // there were when the chores were done last
    uint32_t chores_idle;       // how often in a row there were no more
    bool is_detail_stopped;
    bool has_drained;   // in this step
    uint64_t gather_ns; // from one look at the ports to the next, while records come

    struct store_client clients[STORE_CLIENTS_MAX];
    _Atomic uint32_t client_count;
    struct list queries;    // store_op.link of those that take several steps
    _Atomic uint32_t sleep; // what the thread waits for, see store.c
    _Atomic bool stop;
    struct store_counters stats;
};

#define COUNT(store, name, more) \
    atomic_fetch_add_explicit(&(store)->stats.name, (more), memory_order_relaxed)
#define SHOW(store, name, value) \
    atomic_store_explicit(&(store)->stats.name, (value), memory_order_relaxed)

static inline struct span span_bytes(const uint8_t *bytes, size_t len)
{
    return span_of(bytes, len);
}

// --- ledger.c
void hour_clock_init(struct hour_clock *clock, struct env *env, uint32_t hour);
uint64_t hour_clock_now(struct hour_clock *clock, struct env *env); // believed wall time
must_use struct err ledger_init(struct store *store);
void ledger_fini(struct store *store);
// Takes what the ports hold and commits it as far as possible. True if there is more to do at once.
bool ledger_drain(struct store *store);
// What is taken but not committed, so in no row yet.
typedef void ledger_entry_fn(void *arg, const struct aggregate_key *key,
                             const struct usage_sums *sums);
void ledger_each_uncommitted(struct store *store, ledger_entry_fn *fn, void *arg);
bool ledger_is_empty(const struct store *store);
// Freezes the slots in a block of their own and returns how many it took, at least one. All have
// consecutive sequences from log->next on; `at` returns the index-th or NULL.
typedef const struct usage_slot *slot_at_fn(void *arg, uint32_t index);
uint32_t ledger_freeze(struct store *store, uint16_t shard, slot_at_fn *at, void *arg);
// What a slot holds, with its names noted.
void ledger_read_slot(struct store *store, const struct usage_slot *slot, struct usage_entry *out);
must_use struct err ledger_write_pending(struct store *store, bool *more);
// Adds an entry that is committed to rows and hours.
void ledger_count(struct store *store, const struct usage_entry *entry);
struct hour_stat *ledger_hour(struct store *store, uint32_t hour);
void ledger_count_block(struct store *store, const struct usage_block *block);

// --- checkpoint.c
must_use struct err checkpoint_write(struct store *store, bool sync);
must_use struct err checkpoint_load(struct store *store, uint32_t *hour);
bool checkpoint_is_due(const struct store *store, uint64_t now);
enum { HOUR_KEY_BYTES = 5, HOUR_VALUE_MAX = 64 + AGGREGATE_VALUE_MAX };
#define HOUR_PREFIX 'h'
void hour_key_put(uint32_t hour, uint8_t out[HOUR_KEY_BYTES]);
must_use bool hour_get(struct span key, struct span value, struct hour_stat *out);

// --- ledger_start.c
must_use struct err ledger_start(struct store *store);

// --- entity.c
must_use struct err entity_commit(struct store *store, const struct store_change *changes,
                                  uint32_t count, uint64_t *version);
must_use struct err entity_load(struct store *store);    // the revision
must_use struct err entity_recover(struct store *store); // undoes a commit that was answered failed

// --- usage.c, detail.c. A query is begun, sliced until done, ended, and freed.
struct detail_scan;
struct store_query {
    // Of sums.
    struct usage_query usage;
    struct aggregate groups;
    struct aggregate seen;  // rows that were taken from memory
    struct usage_sums rest; // of groups over the bound
    bool is_cut;
    struct db_iter iter;
    // Of detail.
    struct detail_scan *detail;
};
must_use struct err usage_begin(struct store *store, const struct usage_query *query,
                                struct store_query **out);
must_use struct err usage_slice(struct store *store, struct store_query *query, bool *done);
must_use struct err usage_end(struct store *store, struct store_query *query,
                              struct usage_result *out);
must_use struct err detail_begin(struct store *store, const struct usage_detail_query *query,
                                 struct store_query **out);
must_use struct err detail_slice(struct store *store, struct store_query *query,
                                 struct usage_page *page, bool *done);
void detail_free(struct detail_scan *scan);
void query_free(struct store_query *query); // of either sort; harmless on NULL

// --- health.c
void health_fail(struct store *store, struct err err); // a write did not succeed
void health_try(struct store *store);                  // brings the database back, if it is time
void health_chores(struct store *store);               // once a second
must_use struct err health_open_db(struct store *store, enum db_mode mode);
struct err store_write(struct store *store, struct rocksdb_writebatch_t *batch, bool sync);
struct err store_sync(struct store *store);
must_use struct err retention_run(struct store *store, uint32_t hour_first_kept);

// --- store.c
void store_abort_queries(struct store *store, struct err err);
void store_listen(struct store *store); // to its ports

#endif
