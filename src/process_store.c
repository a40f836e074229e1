// The store's place in the process: opened first, run on a thread of its own, closed last.
#include "commands.h"
#include "penstock/base/check.h"
#include "process.h"

#include <stdio.h>

enum { PATH_BYTES = 4096 };
#define DAY_NS (UINT64_C(86400) * NS_PER_S)
#define POLL_AGAIN_NS NS_PER_MS

static struct err build(void *arg, const struct registry *registry, struct snapshot **out,
                        struct registry_why *why)
{
    struct process *process = arg;
    return publisher_build(&process->publisher, registry, out, why);
}

static struct err publish(void *arg, struct snapshot **snap)
{
    struct process *process = arg;
    return publisher_publish(&process->publisher, snap);
}

static void wake(void *arg)
{
    struct process *process = arg;
    loop_ready(&process->loop, &process->poll);
}

// Somebody woke the control thread: the store, a shard with access records, a shard that ended.
static void on_wake(void *arg)
{
    struct process *process = arg;
    access_log_woken(&process->access);
    wake(process);
}

static void run_poll(struct task *task)
{
    struct process *process = container_of(task, struct process, poll);
    // A late wake-up may come after the registry's end.
    if (process->registry != NULL && registry_poll(process->registry))
        timer_arm(&process->loop.wheel, &process->poll_again, process->loop.now_ns + POLL_AGAIN_NS);
}

static void on_poll_again(struct timer *timer)
{
    wake(container_of(timer, struct process, poll_again));
}

// On the store's thread.
static void wake_control(void *arg)
{
    struct process *process = arg;
    io_wake(process->io, NULL);
}

static bool make_dir(struct process *process, const char *dir)
{
    const int error = dirs_make(dir);
    if (error != 0)
        log_say(&process->log, LOG_ERROR, "the directory %s cannot be made: %s", dir,
                strerror(error));
    return error == 0;
}

int process_store_open(struct process *process)
{
    static struct store_why why; // 1 KB, and one store is opened
    const struct config *cfg = process->cfg;
    char dir[PATH_BYTES];
    if (!make_dir(process, cfg->state_dir.ptr) || !make_dir(process, cfg->runtime_dir.ptr))
        return EXIT_FAILED;
    fit_printf(dir, sizeof(dir), "%s/db", cfg->state_dir.ptr);
    struct store_cfg store;
    store_cfg_init(&store);
    store.dir = dir;
    store.runtime_dir = cfg->runtime_dir.ptr;
    store.shard_count = process->shard_count;
    store.sync_ms = (uint32_t)cfg->store.sync_ms;
    store.detail_days = (uint32_t)((cfg->store.retention_ns + DAY_NS - 1) / DAY_NS);
    store.disk_min_bytes = cfg->store.disk_watermark;
    struct err err = store_open(&store, &process->store, &why);
    if (failed(err)) {
        log_say(&process->log, LOG_ERROR, "%s", why.text);
        return err.code == ERR_STORE_LOCKED ? EXIT_CONFLICT : EXIT_INVALID;
    }
    const struct registry_cfg registry = {
        .env = env_system(),
        .vault = process->vault,
        .keyring = &process->keyring,
        .config = cfg,
        .store = process->store,
        .build = build,
        .publish = publish,
        .wake = wake,
        .arg = process,
    };
    struct registry_why registry_why;
    if (failed(registry_new(&process->registry, &registry, &registry_why))) {
        log_say(&process->log, LOG_ERROR, "%s", registry_why.text);
        return EXIT_INVALID;
    }
    if (registry_hidden(process->registry) > 0)
        log_say(&process->log, LOG_WARN,
                "%u stored objects are hidden by objects of the same name in the file",
                registry_hidden(process->registry));
    return EXIT_DONE;
}

static void *run(void *arg)
{
    store_run(arg);
    return NULL;
}

int process_store_start(struct process *process)
{
    task_init(&process->poll, run_poll);
    process->poll_again.on_fire = on_poll_again;
    io_on_wake(process->io, on_wake, process);
    if (failed(store_client_open(process->store, wake_control, process, &process->store_client)))
        return EXIT_FAILED;
    registry_use_client(process->registry, process->store_client);
    if (pthread_create(&process->store_thread, NULL, run, process->store) != 0) {
        log_say(&process->log, LOG_ERROR, "cannot start a thread");
        return EXIT_FAILED;
    }
    pthread_setname_np(process->store_thread, "store");
    process->store_runs = true;
    return EXIT_DONE;
}

void process_store_stop(struct process *process)
{
    if (process->store_runs) {
        registry_close(process->registry);
        store_stop(process->store);
        verify(pthread_join(process->store_thread, NULL) == 0);
        // Its last answers. The shards have ended, so nothing keeps a snapshot from being
        // published.
        while (registry_is_busy(process->registry))
            (void)registry_poll(process->registry);
    }
    process->store_runs = false;
    registry_free(&process->registry);
    store_close(&process->store);
}
