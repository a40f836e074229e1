// store.c - opening and closing, the thread's loop, operations.
#include "internal.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SCHEMA_VERSION = 1, LOCK_TEXT_BYTES = 32 };
#define SCHEMA_KEY SPAN("schema")
#define UUID_KEY SPAN("uuid")

// What the sleep word says.
enum { AWAKE, IDLE, GATHERING };
#define RETAINED_NS (10 * NS_PER_MS)
#define GATHER_MIN_NS NS_PER_MS
#define GATHER_LEAST_NS (2 * NS_PER_MS) // however soon records are to be on stable storage

struct schema {
    uint32_t version;    // of the layout
    uint32_t min_reader; // the oldest version that may open it
};

void store_cfg_init(struct store_cfg *cfg)
{
    *cfg = (struct store_cfg){
        .env = env_system(),
        .shard_count = 1,
        .ring_slots = 4096,
        .sync_ms = 100,
        .gather_us = 20 * 1000,
        .detail_days = 90,
        .disk_min_bytes = UINT64_C(512) * MIB,
        .models_max = 4096,
        .write_buffer_bytes = 8 * MIB,
        .block_cache_bytes = 8 * MIB,
        .wal_bytes_max = 32 * MIB,
    };
}

// --- Opening

static void say(struct store *store, const char *text)
{
    snprintf(store->why.text, sizeof(store->why.text), "%s", text);
}

// The directory's own lock. RocksDB has one too, but a POSIX one, which a second opener in the same
// process would take away, and which does not say who holds it.
static struct err take_lock(struct store *store)
{
    char path[PATH_BYTES + 16], text[LOCK_TEXT_BYTES] = "";
    snprintf(path, sizeof(path), "%s/PENSTOCK.LOCK", store->dir);
    const int flags = store->is_readonly ? O_RDONLY : O_RDWR | O_CREAT;
    store->lock_fd = open(path, flags | O_CLOEXEC, 0600);
    if (store->lock_fd < 0) {
        if (errno == ENOENT)
            return ERR(NOT_FOUND);
        say(store, "its lock file cannot be opened");
        return ERR_SYS(STORE, errno);
    }
    if (flock(store->lock_fd, (store->is_readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 &&
        GUARD(STORE_LOCK)) {
        ssize_t len = pread(store->lock_fd, text, sizeof(text) - 1, 0);
        text[len > 0 ? len : 0] = '\0';
        snprintf(store->why.text, sizeof(store->why.text), "process %s has it open",
                 len > 0 ? text : "(unknown)");
        return ERR_SYS(STORE_LOCKED, errno);
    }
    if (store->is_readonly)
        return OK;
    int len = snprintf(text, sizeof(text), "%d", (int)getpid());
    // The number is for the message only.
    if (ftruncate(store->lock_fd, 0) != 0 || pwrite(store->lock_fd, text, (size_t)len, 0) != len)
        return ERR_SYS(STORE_FULL, errno);
    return OK;
}

static bool has_file(const struct store *store, const char *name)
{
    char path[PATH_BYTES + 32];
    snprintf(path, sizeof(path), "%s/%s", store->dir, name);
    return access(path, F_OK) == 0;
}

// A database is made only where there was none. CURRENT is the file that RocksDB recognises one by;
// if it is missing from a directory that once had one, an empty one would be made in its place.
static struct err open_files(struct store *store)
{
    const bool has_current = has_file(store, "CURRENT");
    struct err err = store->is_readonly ? marker_open_readonly(&store->marker, store->dir)
                                        : marker_open(&store->marker, store->dir, false);
    const bool has_marker = err.code != ERR_NOT_FOUND;
    if (failed(err) && has_marker) {
        snprintf(store->why.text, sizeof(store->why.text), "%.240s/MARK cannot be read",
                 store->dir);
        return err;
    }
    if (!has_current && has_marker && GUARD(STORE_CURRENT)) {
        snprintf(store->why.text, sizeof(store->why.text), "%.240s/CURRENT is missing", store->dir);
        return ERR(STORE_CORRUPT);
    }
    // Without a marker the store's first start has not come to its end.
    if (store->is_readonly && (!has_current || !has_marker))
        return ERR(NOT_FOUND);
    if (store->is_readonly)
        return health_open_db(store, DB_READONLY);
    return health_open_db(store, has_current ? DB_NORMAL : DB_NEW);
}

static struct err put_schema(struct store *store)
{
    const struct schema schema = { SCHEMA_VERSION, SCHEMA_VERSION };
    env_random(store->env, store->uuid, sizeof(store->uuid));
    db_batch_clear(store->batch);
    db_put(&store->db, store->batch, STORE_META, SCHEMA_KEY, span_of(&schema, sizeof(schema)));
    db_put(&store->db, store->batch, STORE_META, UUID_KEY,
           span_of(store->uuid, sizeof(store->uuid)));
    return store_write(store, store->batch, true);
}

static struct err check_schema(struct store *store)
{
    struct db_value value;
    struct err err = db_get(&store->db, STORE_META, SCHEMA_KEY, &value);
    if (err.code == ERR_NOT_FOUND && !store->is_readonly)
        return put_schema(store);
    TRY(err);
    struct schema schema = { 0 };
    if (value.bytes.len == sizeof(schema))
        memcpy(&schema, value.bytes.ptr, sizeof(schema));
    db_value_free(&value);
    if (schema.min_reader > SCHEMA_VERSION && GUARD(STORE_SCHEMA)) {
        snprintf(store->why.text, sizeof(store->why.text),
                 "its layout is version %u and this program reads up to %d", schema.version,
                 SCHEMA_VERSION);
        return ERR(STORE_TOO_NEW);
    }
    TRY(db_get(&store->db, STORE_META, UUID_KEY, &value));
    bool whole = value.bytes.len == sizeof(store->uuid) && schema.version > 0;
    if (whole)
        memcpy(store->uuid, value.bytes.ptr, sizeof(store->uuid));
    db_value_free(&value);
    return whole ? OK : ERR(STORE_CORRUPT);
}

static struct err open_parts(struct store *store)
{
    TRY(take_lock(store));
    TRY(open_files(store));
    if (!store->is_readonly)
        TRY(wal_open(&store->wal, store->dir));
    TRY(ledger_init(store));
    TRY(check_schema(store));
    // Made last, so that a start that was killed while it made the database starts over.
    if (store->marker.fd < 0 && !store->is_readonly)
        TRY(marker_open(&store->marker, store->dir, true));
    TRY(entity_load(store));
    TRY(ledger_start(store));
    if (!store->is_readonly)
        health_chores(store);
    return OK;
}

static void free_parts(struct store *store)
{
    store_abort_queries(store, ERR(STORE));
    ledger_fini(store);
    db_batch_free(store->undo);
    db_close(&store->db);
    wal_close(&store->wal);
    rings_free(&store->rings);
    marker_close(&store->marker);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    for (uint32_t i = 0; i < store->client_count; i++) {
        spsc_fini(&store->clients[i].requests);
        spsc_fini(&store->clients[i].replies);
    }
    mem_give(store);
}

void store_explain(const struct store *store, struct err err, struct store_why *why)
{
    const char *dir = store->dir;
    if (err.code == ERR_STORE_CORRUPT)
        snprintf(why->text, sizeof(why->text),
                 "the store in %.240s is damaged: %.400s; keep a copy of the directory, then run "
                 "`penstock store repair --dir %.240s`",
                 dir, store->why.text, dir);
    else
        snprintf(why->text, sizeof(why->text), "the store in %.240s: %s%s%.400s", dir,
                 err_text(err.code), store->why.text[0] != '\0' ? ": " : "", store->why.text);
}

static struct err open_as(const struct store_cfg *cfg, bool readonly, struct store **out,
                          struct store_why *why)
{
    assert(cfg->shard_count > 0 && cfg->shard_count <= STORE_SHARDS_MAX);
    verify(sodium_init() >= 0); // chooses the fast form of the blocks' hash
    struct store *store = mem_take(1, sizeof(*store));
    if (store == NULL)
        return ERR(NO_MEMORY);
    store->cfg = *cfg;
    store->env = cfg->env;
    store->is_readonly = readonly;
    store->lock_fd = store->marker.fd = store->wal.dir_fd = -1;
    store->gather_max_ns =
        min_u64(cfg->gather_us * NS_PER_US, max_u64(cfg->sync_ms * NS_PER_MS / 2, GATHER_LEAST_NS));
    store->gather_ns = store->gather_max_ns / 4;
    list_init(&store->queries);
    const char *runtime_dir = cfg->runtime_dir != NULL ? cfg->runtime_dir : "";
    struct err err = OK;
    if (snprintf(store->dir, PATH_BYTES, "%s", cfg->dir) >= PATH_BYTES ||
        snprintf(store->runtime_dir, PATH_BYTES, "%s", runtime_dir) >= PATH_BYTES)
        err = ERR_SYS(INVALID, ENAMETOOLONG);
    if (!failed(err) && !readonly && mkdir(store->dir, 0700) != 0 && errno != EEXIST) {
        err = ERR_SYS(STORE, errno);
        say(store, "the directory cannot be made");
    }
    if (!failed(err))
        err = open_parts(store);
    if (failed(err)) {
        store_explain(store, err, why);
        free_parts(store);
        return err;
    }
    *out = store;
    return OK;
}

struct err store_open(const struct store_cfg *cfg, struct store **out, struct store_why *why)
{
    return open_as(cfg, false, out, why);
}

struct err store_open_readonly(const struct store_cfg *cfg, struct store **out,
                               struct store_why *why)
{
    return open_as(cfg, true, out, why);
}

// What is gone is gone: the marker must not refuse the rest. It goes on to say which boot numbers
// are used up, so that no record's id is given twice.
static struct err forgive(struct store *store)
{
    struct err err = marker_open(&store->marker, store->dir, false);
    if (failed(err))
        return marker_open(&store->marker, store->dir, true);
    store->marker.synced = store->marker.revision = 0;
    return marker_write(&store->marker, true);
}

struct err store_repair(const char *dir, struct store_why *why)
{
    struct store *store = mem_take(1, sizeof(*store));
    if (store == NULL)
        return ERR(NO_MEMORY);
    store->lock_fd = store->marker.fd = store->wal.dir_fd = -1;
    list_init(&store->queries);
    struct err err = OK;
    if (snprintf(store->dir, PATH_BYTES, "%s", dir) >= PATH_BYTES)
        err = ERR_SYS(INVALID, ENAMETOOLONG);
    if (!failed(err))
        err = take_lock(store);
    if (!failed(err))
        err = db_repair(dir, &store->why);
    if (!failed(err))
        err = forgive(store);
    if (failed(err))
        store_explain(store, err, why);
    free_parts(store);
    return err;
}

// --- Closing

// The shards have ended, so their side of the ports is ours.
static void drain_ports(struct store *store)
{
    bool again = true;
    while (again && store->state == STORE_OK) {
        again = false;
        for (uint32_t i = 0; i < store->port_count; i++) {
            usage_port_kick(&store->ports[i]);
            again |= store->ports[i].spill_count > 0;
        }
        again |= ledger_drain(store);
    }
}

void store_close(struct store **owner)
{
    struct store *store = *owner;
    *owner = NULL;
    if (store == NULL)
        return;
    if (!store->is_readonly) {
        atomic_store(&store->stop, true);
        store->retry_at_ns = 0;
        health_try(store);
        drain_ports(store);
    }
    if (!store->is_readonly && store->state == STORE_OK) {
        const bool is_empty = ledger_is_empty(store);
        struct err err = checkpoint_write(store, true);
        if (!failed(err))
            err = db_flush(&store->db);
        if (!failed(err))
            err = marker_write(&store->marker, true);
        if (!failed(err) && is_empty && store->runtime_dir[0] != '\0')
            rings_remove(store->runtime_dir);
    }
    free_parts(store);
}

struct usage_port *store_port(struct store *store, uint32_t shard)
{
    assert(shard < store->port_count);
    return &store->ports[shard];
}

// --- Operations

struct err store_client_open(struct store *store, void (*wake)(void *arg), void *arg,
                             struct store_client **out)
{
    if (store->client_count == STORE_CLIENTS_MAX)
        return ERR(OVERLOADED);
    struct store_client *client = &store->clients[store->client_count];
    *client = (struct store_client){ .store = store, .wake = wake, .wake_arg = arg };
    TRY(spsc_init(&client->requests, STORE_OPS_MAX, sizeof(struct store_op *)));
    struct err err = spsc_init(&client->replies, STORE_OPS_MAX, sizeof(struct store_op *));
    if (failed(err)) {
        spsc_fini(&client->requests);
        return err;
    }
    store->client_count++;
    *out = client;
    return OK;
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wake(struct store *store)
{
    if (atomic_exchange_explicit(&store->sleep, AWAKE, memory_order_acq_rel) != AWAKE)
        futex_wake(&store->sleep);
}

bool store_submit(struct store_client *client, struct store_op *op)
{
    if (client->under_way == STORE_OPS_MAX)
        return false;
    struct store_op **place = spsc_place(&client->requests);
    assert(place != NULL); // as many places as may be under way
    client->under_way++;
    op->client = client;
    op->state = NULL;
    op->err = OK;
    *place = op;
    spsc_push(&client->requests);
    wake(client->store);
    return true;
}

struct store_op *store_reap(struct store_client *client)
{
    struct store_op **front = spsc_front(&client->replies);
    if (front == NULL)
        return NULL;
    struct store_op *op = *front;
    spsc_pop(&client->replies);
    client->under_way--;
    return op;
}

static void reply(struct store_op *op, struct err err)
{
    struct store_client *client = op->client;
    query_free(op->state);
    op->state = NULL;
    op->err = err;
    struct store_op **place = spsc_place(&client->replies);
    assert(place != NULL);
    *place = op;
    spsc_push(&client->replies);
    client->replied = true;
}

void store_abort_queries(struct store *store, struct err err)
{
    struct list *node;
    while ((node = list_pop_front(&store->queries)) != NULL)
        reply(container_of(node, struct store_op, link), err);
}

static struct err flush_all(struct store *store)
{
    if (store->state != STORE_OK)
        return store->cause;
    struct err err = checkpoint_write(store, true);
    if (failed(err))
        health_fail(store, err);
    return err;
}

// Does a short operation and answers it, or makes a query that is continued in slices.
static void op_begin(struct store *store, struct store_op *op)
{
    struct err err = OK;
    switch (op->kind) {
    case STORE_OP_COMMIT:
        reply(op, entity_commit(store, op->commit.changes, op->commit.count, &op->commit.version));
        return;
    case STORE_OP_FLUSH: reply(op, flush_all(store)); return;
    case STORE_OP_USAGE:
        op->usage.result = (struct usage_result){ 0 };
        err = usage_begin(store, &op->usage.query, &op->state);
        break;
    case STORE_OP_DETAIL:
        op->detail.page.count = 0;
        op->detail.page.is_end = false;
        op->detail.page.damaged_blocks = 0;
        op->detail.page.next = op->detail.query.after;
        err = detail_begin(store, &op->detail.query, &op->state);
        break;
    }
    if (failed(err))
        reply(op, err);
    else
        list_push_back(&store->queries, &op->link);
}

static void op_slice(struct store *store, struct store_op *op)
{
    bool done = false;
    struct err err;
    if (op->kind == STORE_OP_DETAIL) {
        err = detail_slice(store, op->state, &op->detail.page, &done);
    } else {
        err = usage_slice(store, op->state, &done);
        if (!failed(err) && done)
            err = usage_end(store, op->state, &op->usage.result);
    }
    if (failed(err) || done)
        reply(op, err);
    else
        list_push_back(&store->queries, &op->link); // the others have their turn first
}

// True if there is more to do at once.
static bool do_ops(struct store *store)
{
    bool more = false;
    for (uint32_t i = 0; i < store->client_count; i++) {
        struct store_client *client = &store->clients[i];
        struct store_op **front;
        int left = OPS_STEP_MAX;
        while (left-- > 0 && (front = spsc_front(&client->requests)) != NULL) {
            struct store_op *op = *front;
            spsc_pop(&client->requests);
            op_begin(store, op);
        }
        more |= left < 0;
    }
    struct list *node = list_pop_front(&store->queries);
    if (node != NULL)
        op_slice(store, container_of(node, struct store_op, link));
    for (uint32_t i = 0; i < store->client_count; i++) {
        struct store_client *client = &store->clients[i];
        if (client->replied && client->wake != NULL)
            client->wake(client->wake_arg);
        client->replied = false;
    }
    return more || !list_is_empty(&store->queries);
}

// --- The thread

static void keep_durable(struct store *store)
{
    const uint64_t now = env_mono_ns(store->env);
    if (store->state != STORE_OK)
        return;
    struct err err = OK;
    if (checkpoint_is_due(store, now))
        err = checkpoint_write(store, false);
    if (!failed(err) && store->sync_due_ns != 0 && now >= store->sync_due_ns)
        err = store_sync(store);
    if (failed(err))
        health_fail(store, err);
}

static uint64_t next_due(const struct store *store)
{
    uint64_t due = store->chores_due_ns;
    if (store->state != STORE_OK)
        return min_u64(due, store->retry_at_ns);
    if (store->sync_due_ns != 0)
        due = min_u64(due, store->sync_due_ns);
    if (store->is_moved)
        due = min_u64(due, store->checkpoint_due_ns);
    if (store->is_detail_stopped)
        due = min_u64(due, store->folded_due_ns);
    return due;
}

uint64_t store_step(struct store *store)
{
    assert(!store->is_readonly);
    const uint64_t written = atomic_load_explicit(&store->stats.writes, memory_order_relaxed);
    health_try(store);
    bool more = ledger_drain(store);
    store->has_drained =
        atomic_load_explicit(&store->stats.writes, memory_order_relaxed) != written;
    more |= do_ops(store);
    keep_durable(store);
    health_chores(store);
    return more ? 0 : next_due(store);
}

// A port's way to wake us: only from deep sleep, since who gathers will look at the rings anyway.
static void wake_idle(void *arg)
{
    struct store *store = arg;
    uint32_t idle = IDLE;
    if (atomic_compare_exchange_strong_explicit(&store->sleep, &idle, AWAKE, memory_order_acq_rel,
                                                memory_order_relaxed))
        futex_wake(&store->sleep);
}

static bool has_ops(struct store *store)
{
    for (uint32_t i = 0; i < store->client_count; i++)
        if (spsc_front(&store->clients[i].requests) != NULL)
            return true;
    return atomic_load(&store->stop);
}

// Of the port that has most.
static uint32_t records_waiting(struct store *store)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < store->port_count; i++) {
        const uint32_t count = usage_port_waiting(&store->ports[i]);
        most = count > most ? count : most;
    }
    return most;
}

static void futex_sleep(struct store *store, uint32_t as, uint64_t ns)
{
    const struct timespec timeout = {
        .tv_sec = (time_t)(ns / NS_PER_S),
        .tv_nsec = (long)(ns % NS_PER_S),
    };
    syscall(SYS_futex, &store->sleep, FUTEX_WAIT_PRIVATE, as, &timeout, NULL, 0);
    atomic_exchange_explicit(&store->sleep, AWAKE, memory_order_acq_rel);
}

// Sleeps until `due`, or a record or an operation comes, or the store is stopped. The order
// matters: first say that we sleep, then look, so that whoever comes in between sees it and wakes.
static void sleep_idle(struct store *store, uint64_t due)
{
    const uint64_t now = env_mono_ns(store->env);
    if (due <= now)
        return;
    atomic_exchange_explicit(&store->sleep, IDLE, memory_order_acq_rel);
    for (uint32_t i = 0; i < store->port_count; i++)
        usage_port_arm(&store->ports[i]);
    if (has_ops(store) || records_waiting(store) > 0)
        atomic_exchange_explicit(&store->sleep, AWAKE, memory_order_acq_rel);
    else
        futex_sleep(store, IDLE, due - now);
}

// Lets records gather: a block of many costs little more than a block of one. Only operations and
// store_stop() end it early.
static void sleep_gather(struct store *store, uint64_t ns)
{
    atomic_exchange_explicit(&store->sleep, GATHERING, memory_order_acq_rel);
    if (ns == 0 || has_ops(store))
        atomic_exchange_explicit(&store->sleep, AWAKE, memory_order_acq_rel);
    else
        futex_sleep(store, GATHERING, ns);
}

static bool is_finished(struct store *store)
{
    if (!atomic_load(&store->stop))
        return false;
    for (uint32_t i = 0; i < store->client_count; i++)
        if (spsc_front(&store->clients[i].requests) != NULL)
            return false;
    return list_is_empty(&store->queries) && (store->state != STORE_OK || ledger_is_empty(store));
}

// Gathers for so long that records are many, and a ring still far from full. `waiting` are those
// that the last time brought.
static void set_pace(struct store *store, uint32_t waiting)
{
    if (waiting >= store->cfg.ring_slots / 2)
        store->gather_ns = max_u64(store->gather_ns / 2, GATHER_MIN_NS);
    else if (waiting < store->cfg.ring_slots / 8)
        store->gather_ns = min_u64(store->gather_ns * 2, store->gather_max_ns);
}

void store_run(struct store *store)
{
    for (;;) {
        set_pace(store, records_waiting(store));
        uint64_t due = store_step(store);
        if (is_finished(store))
            return;
        if (due == 0)
            continue;
        if (store->state != STORE_OK || store->is_detail_stopped) {
            // Records stay in the rings on purpose, so they are looked at from time to time.
            if (records_waiting(store) > 0)
                sleep_gather(store, RETAINED_NS);
            else
                sleep_idle(store, due);
            continue;
        }
        // Who has just written something expects more: meanwhile the shards need not wake us.
        if (!store->has_drained)
            sleep_idle(store, due);
        sleep_gather(store, store->gather_ns);
    }
}

void store_stop(struct store *store)
{
    atomic_store(&store->stop, true);
    wake(store);
}

void store_listen(struct store *store)
{
    for (uint32_t i = 0; i < store->port_count; i++)
        usage_port_on_wake(&store->ports[i], wake_idle, store);
}
