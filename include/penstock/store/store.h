// store.h - the durable side: entities, usage detail and sums in one RocksDB, on a thread of its
// own.
//
// One thread at a time calls into a store: first the one that opens it, then the one that runs
// store_run(), at last the one that closes it. Others reach it in three ways only, none of which
// blocks: a shard pushes records into its port, the control thread submits operations through a
// client, anybody reads store_stats(). A simulation calls store_step() instead of store_run().
//
// What is promised: a commit that was answered OK is on stable storage. A usage record is counted
// exactly once however the process ends, as soon as it is in a port, when the rings live in a
// runtime directory that outlives the process; without one, as soon as its block is written. A
// power cut can take the last `sync_ms` of usage. When the disk is full or fails, usage queues to a
// bound and then loses its detail, never its sums; commits are refused, reads go on, and the store
// mends itself when the disk does.
//
// Open it before any thread is pinned: RocksDB's two background threads inherit the affinity.
#ifndef PENSTOCK_STORE_STORE_H
#define PENSTOCK_STORE_STORE_H

#include "penstock/base/env.h"
#include "penstock/base/err.h"
#include "penstock/base/list.h"
#include "penstock/model/usage_port.h"
#include "penstock/model/usage_record.h"

enum store_kind {
#define STORE_KIND_ROW(name, family, is_entity) STORE_##name,
#include "penstock/store/kinds.def"
#undef STORE_KIND_ROW
    STORE_KIND_COUNT
};

enum {
    STORE_SHARDS_MAX = 256,
    STORE_KEY_MAX = 512,       // bytes of an entity's key
    STORE_VALUE_MAX = 1 * MIB, // bytes of an entity
    STORE_CHANGES_MAX = 1024,  // in one commit
    STORE_CLIENTS_MAX = 4,
    STORE_OPS_MAX = 256, // of a client, under way
    STORE_WHY_MAX = 1024,
    STORE_GROUPS_MAX = 64 * KIB, // rows of one usage query
};

struct store;

// A sentence for the operator, set whenever a function that takes it fails.
struct store_why {
    char text[STORE_WHY_MAX];
};

struct store_cfg {
    struct env *env;
    const char *dir;         // made with mode 0700 if it is missing
    const char *runtime_dir; // on a tmpfs, for the rings; NULL: they end with the process
    uint32_t shard_count;
    uint32_t ring_slots;     // a shard, a power of two; 256 bytes each
    uint32_t sync_ms;        // usage is on stable storage this much later; 0: with each commit
    uint32_t gather_us;      // how long records gather before a write, at most; and half of sync_ms
    uint32_t detail_days;    // detail is dropped after that; 0 keeps it
    uint64_t disk_min_bytes; // free space below which detail stops
    uint32_t models_max;     // different model names that are told apart
    size_t write_buffer_bytes, block_cache_bytes;
    size_t wal_bytes_max; // bounds the time of a restart after a kill
};

// The defaults, for one shard; `dir` is left to the caller.
void store_cfg_init(struct store_cfg *cfg);

// STORE_LOCKED: another process has it. STORE_CORRUPT: `why` names the file and the command that
// mends. STORE_TOO_NEW: written by a later version.
must_use struct err store_open(const struct store_cfg *cfg, struct store **out,
                               struct store_why *why);
// For offline verbs: nothing is written, not even a replay, yet usage is as complete as after a
// start. STORE_LOCKED while a server has the store.
must_use struct err store_open_readonly(const struct store_cfg *cfg, struct store **out,
                                        struct store_why *why);
// Writes everything out and sets *store to NULL. What could not be written stays in the rings.
void store_close(struct store **store);
// Salvages what a damaged store still holds, with the store closed. Keep a copy of the directory.
must_use struct err store_repair(const char *dir, struct store_why *why);

// The port of a shard, for its producer. Valid until store_close().
struct usage_port *store_port(struct store *store, uint32_t shard);

// Does what is due, in bounded steps. Returns the monotonic time at which it wants to be called
// again, if nothing arrives before; 0: at once.
uint64_t store_step(struct store *store);
// Steps and sleeps until store_stop(), then until ports and clients are empty.
void store_run(struct store *store);
void store_stop(struct store *store); // from any thread

// --- Entities -----------------------------------------------------------------------------------

// Whatever version there is, or none.
#define STORE_ANY UINT64_MAX

// The first byte of a value is the version of its record, by the convention of all kinds. Each
// commit gives its values one new version number, which only grows; 0 stands for "does not exist".
struct store_change {
    enum store_kind kind;
    struct span key;
    struct span value;       // .ptr NULL: delete
    uint64_t version_before; // what must be there now: a version, 0 or STORE_ANY
};

struct store_entity {
    struct span key, value;
    uint64_t version;
};
// False stops the scan. The spans end with the call.
typedef bool store_entity_fn(void *arg, const struct store_entity *entity);

// Every entity of a kind in the order of keys, from the thread that owns the store: how the control
// thread loads what it serves from, before it lets the store run. STORE_CORRUPT rather than fewer.
must_use struct err store_scan(struct store *store, enum store_kind kind, store_entity_fn *fn,
                               void *arg);
must_use struct err store_commit(struct store *store, const struct store_change *changes,
                                 uint32_t count, uint64_t *version);

// --- Usage --------------------------------------------------------------------------------------

enum usage_group {
    USAGE_BY_KEY = BIT(0),
    USAGE_BY_ACCOUNT = BIT(1),
    USAGE_BY_MODEL = BIT(2),
    USAGE_BY_FORMAT = BIT(3),
    USAGE_BY_DAY = BIT(4),
};

struct usage_query {
    uint64_t from_ns, to_ns; // [from, to), in whole buckets of 15 minutes: from is rounded down
    uint32_t group;          // enum usage_group, any of them
    int32_t day_offset_s;    // where days begin: what to add to UTC, a multiple of 15 minutes
    uint64_t key_id, account_id, model_id; // 0: all
};

// Fields that were not grouped by are 0. Rows come sorted by day, key, account, model, format.
struct usage_row {
    uint64_t day_ns; // when the day begins
    uint64_t key_id, account_id, model_id;
    uint8_t format, model_len;
    char model[USAGE_MODEL_MAX];
    struct usage_sums sums;
};

struct usage_result {
    struct usage_row *rows; // given back by usage_result_fini()
    uint32_t count;
    bool is_cut; // more than STORE_GROUPS_MAX groups: the rest is in the last row, with zero ids
};
void usage_result_fini(struct usage_result *result);
must_use struct err store_usage(struct store *store, const struct usage_query *query,
                                struct usage_result *out);

// Where a page of detail ended: all zero starts at the beginning.
struct usage_cursor {
    uint32_t hour, boot;
    uint64_t order_ns;
    uint64_t sequence;
    uint16_t shard;
    bool is_set;
};

struct usage_detail_query {
    uint64_t from_ns, to_ns; // by settlement
    uint64_t key_id, account_id, model_id;
    bool errors_only;
    struct usage_cursor after;
};

struct usage_detail {
    uint32_t boot;
    uint16_t shard;
    uint64_t sequence;
    bool is_summary;
    struct usage_sums sums;     // of a record those of one request
    struct usage_record record; // a summary has ids, kind, format and start only
};

// Up to `cap` entries in the order of commit hour, settlement, boot, shard, sequence.
struct usage_page {
    struct usage_detail *out;
    uint32_t cap, count;
    bool is_end;
    struct usage_cursor next;
    uint64_t damaged_blocks; // passed over
};
must_use struct err store_detail(struct store *store, const struct usage_detail_query *query,
                                 struct usage_page *page);

// What a reading of every block has found; all but the first two are 0 in a store that is well.
struct store_verdict {
    uint64_t blocks;
    struct usage_sums sums; // of all detail that is kept
    uint64_t damaged;       // blocks with a wrong checksum, sums or place
    uint64_t unchained;     // blocks that name another predecessor than they have
    uint64_t missing;       // sequences that no block covers
    uint64_t repeated;      // sequences that two blocks cover
    uint64_t hours_wrong;   // hours whose count and sums, kept apart, differ
};
must_use struct err store_verify(struct store *store, struct store_verdict *out);

// --- The way in for the control thread ----------------------------------------------------------

enum store_op_kind { STORE_OP_COMMIT, STORE_OP_USAGE, STORE_OP_DETAIL, STORE_OP_FLUSH };

// An operation and everything it points to belongs to the store from store_submit() until
// store_reap() returns it.
struct store_op {
    enum store_op_kind kind;
    void *user;
    struct err err; // how it went
    union {
        struct {
            const struct store_change *changes;
            uint32_t count;
            uint64_t version;
        } commit;
        struct {
            struct usage_query query;
            struct usage_result result;
        } usage;
        struct {
            struct usage_detail_query query;
            struct usage_page page;
        } detail;
    };
    struct store_client *client; // the store's own, from here on
    struct store_query *state;
    struct list link;
};

// One thread's pair of rings. `wake` is called on the store's thread after operations have ended.
struct store_client;
must_use struct err store_client_open(struct store *store, void (*wake)(void *arg), void *arg,
                                      struct store_client **out);
// False when STORE_OPS_MAX are under way.
must_use bool store_submit(struct store_client *client, struct store_op *op);
must_use struct store_op *store_reap(struct store_client *client);

// --- Health -------------------------------------------------------------------------------------

enum store_state {
    STORE_OK,
    STORE_DEGRADED, // nothing can be written; reads go on
    STORE_DOWN,     // nothing can be read either
};

struct store_stats {
    enum store_state state;
    bool is_detail_stopped;    // by the disk watermark
    bool is_rings_shared;      // they outlive the process
    bool is_clock_held;        // the wall clock jumped and is not believed yet
    struct err cause;          // of a state that is not OK
    uint64_t records;          // committed since the start, one a request
    uint64_t records_folded;   // of them, without their detail
    uint64_t records_replayed; // found in the rings of a killed process
    uint64_t records_missing;  // holes in the sequences found at start: an alarm
    uint64_t records_waiting;  // in the ports
    uint64_t blocks, blocks_damaged;
    uint64_t commits, commits_failed;
    uint64_t writes, write_ns, write_stalls, write_stall_ns, syncs, sync_ns, write_errors;
    uint64_t bytes, wal_bytes, memtable_bytes, pending_compaction_bytes, disk_free_bytes;
    uint64_t checkpoint_age_ns, rows;
    uint64_t saturated; // sums that reached their bound: an alarm
    uint32_t boot;
};
void store_stats(struct store *store, struct store_stats *out); // from any thread
// The last failure of the database in its own words, for the log; from the thread that owns it.
const char *store_why(const struct store *store);
// A failure in a sentence for the operator: which store, what the database said of it, and what to
// do. From the thread that owns the store.
void store_explain(const struct store *store, struct err err, struct store_why *why);

#endif
