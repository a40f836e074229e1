#include "process.h"

#include "commands.h"
#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TICKET_ROTATE_NS (UINT64_C(4) * 3600 * NS_PER_S)

enum {
    CONTROL_BUFS = 256,
    CONTROL_ENTRIES = 256,
    SLOTS_MAX = 256 * 1024,
    FDS_RESERVED = 256, // for everything that is not a relayed connection
    // Of what a stream may hold: one for what waits for the client, one for what the vendor sent;
    // the rest is for an event that is put together (REQ_HOLD_MAX) and pieces on their way.
    STREAM_PARTS = 8,
};

// --- the configuration ---

static void take_limits(struct shard_settings *settings, const struct config *cfg)
{
    settings->relay = (struct relay_limits){
        .body_bytes = cfg->limits.body,
        .json_depth = (uint32_t)cfg->limits.json_depth,
        .stream_bytes = (uint32_t)cfg->limits.stream_memory / STREAM_PARTS,
        .retries = (uint32_t)cfg->upstream.retries,
        .idle_per_host = (uint32_t)cfg->upstream.idle_per_host,
        .idle_timeout_ns = cfg->upstream.idle_timeout_ns,
        .dns_ns = cfg->timeouts.dns_ns,
        .connect_ns = cfg->timeouts.connect_ns,
        .handshake_ns = cfg->timeouts.handshake_ns,
        .first_byte_stream_ns = cfg->timeouts.first_byte_stream_ns,
        .first_byte_whole_ns = cfg->timeouts.first_byte_whole_ns,
        .stream_idle_ns = cfg->timeouts.stream_idle_ns,
        .total_ns = cfg->timeouts.total_ns,
        .origins = cfg->cors.origins.items,
        .origin_count = cfg->cors.origins.count,
        .half_close_keep = cfg->client_half_close == HALF_CLOSE_KEEP,
        .log_access = cfg->log.access,
    };
    settings->server = (struct server_limits){
        .head_bytes = (uint32_t)cfg->limits.head,
        .requests_per_connection = (uint32_t)cfg->limits.requests_per_connection,
        .per_address = (uint32_t)cfg->limits.per_address,
        .head_ns = cfg->timeouts.header_ns,
        .handshake_ns = cfg->timeouts.handshake_ns,
        .idle_ns = cfg->timeouts.idle_ns,
        .stall_ns = cfg->timeouts.body_stall_ns,
        .write_stall_ns = cfg->timeouts.write_stall_ns,
    };
}

struct generation *process_read_config(struct process *process, struct text *report)
{
    static struct problems problems; // 45 KB, and one configuration is loaded at a time
    struct text source = { 0 };
    const char *path = process->config_path;
    problems_init(&problems);
    struct config_world *world = config_world_system();
    struct config *cfg = path != NULL
                             ? config_load_file(path, process->vault, world, &problems, &source)
                             : config_load(SPAN(""), "defaults", process->vault, world, &problems);
    if (problems.count > 0)
        problems_render(&problems, path != NULL ? path : "defaults", text_span(&source), report);
    text_fini(&source);
    if (cfg == NULL)
        return NULL;
    struct generation *generation = mem_take(1, sizeof(*generation));
    verify(generation != NULL); // neither at the start nor on the control thread a better answer
    generation->cfg = cfg;
    take_limits(&generation->settings, cfg);
    return generation;
}

void process_free_generation(struct generation **generation)
{
    if (*generation == NULL)
        return;
    config_free(&(*generation)->cfg);
    mem_give(*generation);
    *generation = NULL;
}

static bool load_config(struct process *process)
{
    struct text report = { 0 };
    process->newest = process_read_config(process, &report);
    if (report.len > 0)
        fputs(report.ptr, stderr);
    text_fini(&report);
    if (process->newest == NULL)
        return false;
    process->cfg = process->newest->cfg;
    const uint64_t memory = config_memory(process->cfg, config_world_system());
    process->budget.limit = memory != 0 ? (int64_t)memory : INT64_C(1) << 30;
    return true;
}

// Two descriptors a stream; the limit is raised as far as it goes.
static uint32_t connections_max(const struct config *cfg)
{
    struct rlimit limit;
    verify(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); // what cannot be raised stays as it is
    verify(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    uint64_t most =
        limit.rlim_cur > FDS_RESERVED * 2 ? limit.rlim_cur - FDS_RESERVED : FDS_RESERVED;
    uint64_t wanted = cfg->limits.connections != 0 ? (uint64_t)cfg->limits.connections * 2 : most;
    return (uint32_t)min_u64(min_u64(wanted, most), UINT32_MAX / 2);
}

// --- shards ---

static uint32_t cpus_allowed(int *cpus, uint32_t max)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 0;
    uint32_t count = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && count < max; cpu++)
        if (CPU_ISSET((size_t)cpu, &set))
            cpus[count++] = cpu;
    return count;
}

static bool start_shards(struct process *process)
{
    const struct config *cfg = process->cfg;
    int cpus[PROCESS_SHARDS_MAX];
    uint32_t cpu_count = cpus_allowed(cpus, PROCESS_SHARDS_MAX);
    uint32_t conns = connections_max(cfg) / process->shard_count;
    process->newest->settings.server.connections = conns / 2;
    for (uint32_t i = 0; i < process->shard_count; i++) {
        struct shard_thread *thread = &process->shards[i];
        *thread = (struct shard_thread){
            .idx = i,
            .cpu = i < cpu_count ? cpus[i] : -1,
            .io_config = { .backend = cfg->io.backend == BACKEND_URING   ? IO_BACKEND_URING
                                      : cfg->io.backend == BACKEND_EPOLL ? IO_BACKEND_EPOLL
                                                                         : IO_BACKEND_AUTO,
                           .entries = (uint32_t)cfg->io.entries,
                           .spin_us = (uint32_t)cfg->io.spin_us },
            .shared = &process->shared,
            .port = store_port(process->store, i),
            .access = &process->access.ports[i],
            .listen = process->listen,
            .certs = process->certs,
            .listen_count = process->listen_count,
            .conns_max = conns,
            .control = process->io,
        };
        if (failed(thread_start(thread))) {
            log_say(&process->log, LOG_ERROR, "cannot start a thread");
            return false;
        }
        process->started_count++;
    }
    for (uint32_t i = 0; i < process->shard_count; i++) {
        struct shard_thread *thread = &process->shards[i];
        while (thread_state(thread) == THREAD_STARTING)
            loop_turn(&process->loop, process->loop.now_ns + 10 * NS_PER_MS);
        if (thread_state(thread) == THREAD_FAILED) {
            log_say(&process->log, LOG_ERROR, "shard %u: %s", i, thread->why);
            return false;
        }
        if (thread->pin_failed)
            log_say(&process->log, LOG_WARN, "shard %u could not be pinned to its core", i);
    }
    for (uint32_t i = 0; i < process->listen_count; i++)
        process_note_socket(process, &process->listen[i]);
    log_say(&process->log, LOG_INFO, "%u shard%s on %s%s%s", process->shard_count,
            process->shard_count == 1 ? "" : "s",
            io_backend_name(io_backend(process->shards[0].io)),
            process->shards[0].why[0] != '\0' ? ": " : "", process->shards[0].why);
    return true;
}

// --- the end ---

static void stop(struct process *process)
{
    if (process->io != NULL && process->started_count > 0) {
        process_command(process, THREAD_STOP);
        for (uint32_t i = 0; i < process->started_count; i++)
            thread_join(&process->shards[i]);
    }
    carrier_free(&process->carrier);
    process_remove_sockets(process);
    if (process->mock_runs)
        mock_thread_stop(&process->mock);
    access_log_drain(&process->access);
    process_admin_stop(process);
    access_log_fini(&process->access);
    process_store_stop(process);
    process_admin_fini(process);
    if (process->io != NULL) {
        publisher_stop(&process->publisher);
        timer_stop(&process->loop.wheel, &process->poll_again);
        process_life_end(process);
        timer_stop(&process->loop.wheel, &process->ticket_timer);
        if (process->signal_op.in_flight)
            io_cancel(process->io, &process->signal_op);
        if (process->resolver != NULL)
            resolver_stop(process->resolver);
        while (process->signal_op.in_flight ||
               (process->resolver != NULL && !resolver_is_idle(process->resolver)))
            loop_turn(&process->loop, process->loop.now_ns + 10 * NS_PER_MS);
        resolver_free(&process->resolver);
    }
    if (process->hub != NULL)
        snap_hub_free(&process->hub);
    if (process->slots != NULL)
        slots_free(&process->slots);
    process_free_certs(process);
    peers_free(&process->peers);
    recall_free(&process->recall);
    doors_free(&process->doors);
    dests_free(&process->dests);
    keyring_fini(&process->keyring);
    log_close(&process->log);
    while (process->newest != NULL) {
        struct generation *generation = process->newest;
        process->newest = generation->older;
        process_free_generation(&generation);
    }
    vault_free(&process->vault);
    if (process->io != NULL)
        io_free(&process->io);
    if (process->signal_fd >= 0)
        close(process->signal_fd);
}

// --- the beginning ---

static struct err open_keys(struct process *process)
{
    struct master_info info = { .source = MASTER_FILE };
    struct secret *master = NULL;
    struct err err = master_load(process->cfg, config_world_system(), env_system(), process->vault,
                                 &master, &info);
    if (failed(err)) {
        log_say(&process->log, LOG_ERROR, "the master key: %s", info.why);
        return err;
    }
    if (info.source == MASTER_GENERATED)
        log_say(&process->log, LOG_INFO,
                "a new master key was written to %s; keep a copy of it elsewhere", info.path);
    err = keyring_init(&process->keyring, process->vault, master);
    secret_free(&master);
    return err;
}

static struct err open_control(struct process *process)
{
    const struct io_config io = {
        .backend = process->cfg->io.backend == BACKEND_EPOLL ? IO_BACKEND_EPOLL : IO_BACKEND_AUTO,
        .entries = CONTROL_ENTRIES,
        .bufs_small = CONTROL_BUFS,
        .bufs_large = CONTROL_BUFS / 4,
    };
    char why[512] = "";
    struct err err = io_new(&process->io, &io, env_system(), why, sizeof(why));
    if (failed(err)) {
        log_say(&process->log, LOG_ERROR, "%s", why);
        return err;
    }
    loop_init(&process->loop, process->io, env_system());
    log_use_loop(&process->log, &process->loop);
    process_reload_init(process);
    process->access.loop = &process->loop;
    TRY(dests_new(&process->dests));
    TRY(slots_new(&process->slots, SLOTS_MAX));
    TRY(snap_hub_new(&process->hub, process->shard_count));
    TRY(recall_new(&process->recall, env_system(), process->cfg->limits.recall));
    TRY(peers_new(&process->peers, env_system(), connections_max(process->cfg)));
    if (process->shard_count > 1)
        TRY(doors_new(&process->doors, process->shard_count));
    TRY(carrier_new(&process->carrier, process->shard_count, &process->budget));
    TRY(carrier_start(process->carrier));
    TRY(resolver_new(&process->resolver, &process->loop, process->dests,
                     process->cfg->timeouts.dns_ns));
    process->publisher = (struct publisher){
        .loop = &process->loop,
        .config = process->cfg,
        .keyring = &process->keyring,
        .vault = process->vault,
        .hub = process->hub,
        .slots = process->slots,
        .dests = process->dests,
        .resolver = process->resolver,
        .converts = relay_formats_converted(),
    };
    publisher_init(&process->publisher);
    return OK;
}

// What file and store hold together, for the shards' first turn.
static bool publish_first(struct process *process)
{
    struct snapshot *snap;
    struct registry_why why;
    struct err err = publisher_build(&process->publisher, process->registry, &snap, &why);
    if (failed(err))
        log_say(&process->log, LOG_ERROR, "%s", why.text);
    else if (process->publisher.skipped > 0)
        log_say(&process->log, LOG_WARN, "%u stored accounts cannot be served: %s",
                process->publisher.skipped, process->publisher.skipped_why.text);
    return !failed(err) && !failed(publisher_publish(&process->publisher, &snap));
}

static bool start_mock(struct process *process)
{
    if (!process->cfg->mock.enabled)
        return true;
    process->mock.io_config = process->shards[0].io_config;
    union listen_addr addr;
    if (!resolve_listener(process->cfg->mock.address, &addr) || addr.any.sa_family == AF_UNIX)
        return false;
    _Static_assert(sizeof(process->mock.addr) <= sizeof(addr), "an address of the Internet fits");
    memcpy(&process->mock.addr, &addr, sizeof(process->mock.addr));
    if (failed(mock_thread_start(&process->mock))) {
        log_say(&process->log, LOG_ERROR, "the mock vendor: %s", process->mock.why);
        return false;
    }
    process->mock_runs = true;
    return true;
}

static void on_ticket_timer(struct timer *timer)
{
    struct process *process = container_of(timer, struct process, ticket_timer);
    process_rotate_tickets(process);
    timer_arm(&process->loop.wheel, timer, process->loop.now_ns + TICKET_ROTATE_NS);
}

// The log's own place, and the way there for the shards.
static bool open_log(struct process *process)
{
    const struct config *cfg = process->cfg;
    struct err err =
        log_open(&process->log, env_system(), cfg->log.file, (enum config_log_level)cfg->log.level);
    if (failed(err))
        log_say(&process->log, LOG_ERROR, "the log %s cannot be opened: %s", cfg->log.file.ptr,
                strerror(err.sys));
    return !failed(err);
}

static void wake_access(void *arg)
{
    struct process *process = arg;
    io_wake(process->io, NULL);
}

static bool open_access(struct process *process)
{
    struct access_log *access = &process->access;
    access->log = &process->log;
    access->registry = process->registry;
    return !failed(access_log_init(access, process->shard_count, wake_access, process));
}

static int begin(struct process *process, const char *config_path)
{
    char why[TLS_WHY_MAX] = "";
    if (!process_watch_signals(process))
        return EXIT_FAILED;
    if (failed(vault_new(&process->vault)))
        return EXIT_FAILED;
    process->config_path = config_path;
    if (!load_config(process))
        return EXIT_INVALID;
    if (!open_log(process))
        return EXIT_FAILED;
    if (failed(tls_init(why))) {
        log_say(&process->log, LOG_ERROR, "%s", why);
        return EXIT_FAILED;
    }
    if (!process_take_listeners(process))
        return EXIT_INVALID;
    if (failed(open_keys(process)))
        return EXIT_INVALID;
    int cpus[PROCESS_SHARDS_MAX];
    uint32_t cpu_count = cpus_allowed(cpus, PROCESS_SHARDS_MAX);
    uint32_t wanted = process->cfg->shards != 0 ? (uint32_t)process->cfg->shards : cpu_count;
    process->shard_count = wanted == 0 ? 1 : (uint32_t)min_size(wanted, PROCESS_SHARDS_MAX);
    // RocksDB's threads keep the affinity of this one, which is pinned nowhere yet.
    int status = process_store_open(process);
    if (status != EXIT_DONE)
        return status;
    if (!open_access(process) || failed(open_control(process)))
        return EXIT_FAILED;
    process->shared = (struct shard_shared){
        .hub = process->hub,
        .slots = slots_base(process->slots),
        .dests = process->dests,
        .budget = &process->budget,
        .peers = process->peers,
        .doors = process->doors,
        .recall = process->recall,
        .carrier = process->carrier,
        .envelope_key = (const uint8_t *)secret_reveal(process->keyring.envelope).ptr,
        .relay = &process->newest->settings.relay,
        .server = &process->newest->settings.server,
    };
    if (!publish_first(process))
        return EXIT_INVALID;
    status = process_store_start(process);
    if (status != EXIT_DONE)
        return status;
    status = process_admin_open(process);
    if (status != EXIT_DONE)
        return status;
    if (!process_may_listen_all(process) || !start_mock(process) || !start_shards(process))
        return EXIT_FAILED;
    io_poll(process->io, &process->signal_op, process->signal_fd, POLLIN);
    process->ticket_timer.on_fire = on_ticket_timer;
    timer_arm(&process->loop.wheel, &process->ticket_timer,
              process->loop.now_ns + TICKET_ROTATE_NS);
    return EXIT_DONE;
}

int process_run(struct process *process, const char *config_path)
{
    // It comes zeroed: touching megabytes of places for shards would make them resident.
    assert(process->cfg == NULL && process->io == NULL);
    process->signal_fd = -1;
    // Prompts, answers and keys are in this memory: no core file and no other process reads it.
    (void)prctl(PR_SET_DUMPABLE, 0);
    int status = begin(process, config_path);
    if (status == EXIT_DONE) {
        process_admin_ready(process);
        process_life_begin(process);
        log_say(&process->log, LOG_INFO, "ready");
        while (!process->stopping && !(process->draining && process_is_drained(process))) {
            loop_turn(&process->loop, UINT64_MAX);
            process_tell_slow_turns(process);
        }
        if (process->stopping)
            process_command(process, THREAD_CUT);
    }
    stop(process);
    return status;
}
