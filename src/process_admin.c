// The admin side's place in the process: its listeners, and what it sees of the rest.
#include "commands.h"
#include "commit.h"
#include "penstock/base/check.h"
#include "process.h"

#include <stdio.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = (ADMIN_LISTENERS_MAX + 1) * ADMIN_CONNECTIONS + PROBES_MAX * DIAL_PARALLEL,
};

// How long answers of the admin API may take to leave when the process ends.
#define ADMIN_DRAIN_NS (UINT64_C(200) * NS_PER_MS)

static const char *unready(void *arg)
{
    struct process *process = arg;
    if (process->draining || process->stopping)
        return "draining";
    if (!process->ready)
        return "starting";
    for (uint32_t i = 0; i < process->shard_count; i++)
        if (thread_state(&process->shards[i]) != THREAD_READY)
            return "a shard is not ready";
    return NULL;
}

static bool is_draining(void *arg)
{
    struct process *process = arg;
    return process->draining || process->stopping;
}

static bool reload(void *arg, struct api_call *call)
{
    return process_reload_for(arg, call);
}

static void drain(void *arg)
{
    process_drain(arg);
}

static void fill_view(struct process *process)
{
    struct view *view = &process->view;
    *view = (struct view){
        .shard_count = process->shard_count,
        .budget = &process->budget,
        .resolver = process->resolver,
        .hub = process->hub,
        .slots = slots_base(process->slots),
        .backend = "none",
        .backend_note = "",
        .commit = commit,
        .started_ns = env_wall_ns(env_system()),
        .access = process->access.ports,
        .published = &process->publisher.published,
        .log_dropped = &process->log.dropped,
        .unready = unready,
        .draining = is_draining,
        .certificate = process_certificate,
        .control = &process->loop.figures,
        .peers = process->peers,
        .recall = recall_figures(process->recall),
        .reload = reload,
        .drain = drain,
        .reload_ns = &process->reload.done_ns,
        .reload_good = &process->reload.is_good,
        .arg = process,
    };
    for (uint32_t i = 0; i < process->shard_count; i++) {
        view->shards[i] = &process->shards[i].shard.counters;
        view->loops[i] = &process->shards[i].shard.loop.figures;
    }
}

static bool open_tokens(struct process *process)
{
    char text[TOKEN_TEXT_LEN + 1];
    bool made;
    struct err err = tokens_init(&process->tokens, process->registry, &process->keyring,
                                 env_system(), process->cfg->state_dir, &made, text);
    if (failed(err)) {
        log_say(&process->log, LOG_ERROR, "the setup token cannot be written to %s: %s",
                process->tokens.path, strerror(err.sys));
    } else if (made) {
        log_say(&process->log, LOG_INFO, "the setup token for the admin API is in %s",
                process->tokens.path);
        if (isatty(STDERR_FILENO))
            log_say(&process->log, LOG_INFO, "setup token: %s", text);
    }
    bytes_wipe(text, sizeof(text));
    return !failed(err);
}

static int open_listeners(struct process *process)
{
    const struct objects *list = &process->cfg->listen.admin;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct config_listener *listener = &((const struct config_listener *)list->items)[i];
        union listen_addr addr;
        if (!process_load_certs(process, listener, &process->admin_certs[i]))
            return EXIT_INVALID;
        if (!resolve_listener(listener->address, &addr)) {
            log_say(&process->log, LOG_ERROR, "cannot listen on %s", listener->address.ptr);
            return EXIT_INVALID;
        }
        if (!process_may_listen(process, listener->address, &addr))
            return EXIT_FAILED;
        struct err err = admin_listen(&process->admin, &addr.any, listen_addr_len(&addr));
        if (failed(err)) {
            log_say(&process->log, LOG_ERROR, "cannot listen on %s: %s", listener->address.ptr,
                    strerror(err.sys));
            return EXIT_FAILED;
        }
        process_note_socket(process, &addr);
        if (process->admin_certs[i] != NULL)
            server_secure(&process->admin.servers[i], process->admin_certs[i]);
    }
    const char *path = process->cfg->listen.control.ptr;
    struct err err = admin_listen_socket(&process->admin, path);
    if (err.code == ERR_RUNNING) {
        log_say(&process->log, LOG_ERROR,
                "another gateway answers at %s; give this one a runtime_dir of its own", path);
        return EXIT_CONFLICT;
    }
    if (failed(err)) {
        log_say(&process->log, LOG_ERROR, "cannot listen on %s: %s", path, strerror(err.sys));
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

int process_admin_open(struct process *process)
{
    if (failed(net_init(&process->net, &process->loop, &process->budget, CONNECTIONS_MAX)))
        return EXIT_FAILED;
    process->has_net = true;
    fill_view(process);
    if (!open_tokens(process))
        return EXIT_FAILED;
    if (failed(prober_init(&process->prober, &process->net, &process->publisher, process->cfg)))
        return EXIT_FAILED;
    process->api = (struct api){
        .registry = process->registry,
        .tokens = &process->tokens,
        .view = &process->view,
        .prober = &process->prober,
        .config = process->cfg,
        .store = process->store,
        .env = env_system(),
    };
    admin_init(&process->admin, &process->net, &process->api);
    process->admin_runs = true;
    return open_listeners(process);
}

void process_admin_ready(struct process *process)
{
    process->view.backend = io_backend_name(io_backend(process->shards[0].io));
    process->view.backend_note = io_note(process->shards[0].io);
    process->ready = true;
}

void process_admin_stop(struct process *process)
{
    if (!process->admin_runs)
        return;
    process_reload_stop(process);
    prober_stop(&process->prober);
    // Whoever asked for the end is told of it.
    const uint64_t until = process->loop.now_ns + ADMIN_DRAIN_NS;
    admin_drain(&process->admin);
    while (!admin_is_idle(&process->admin) && process->loop.now_ns < until)
        loop_turn(&process->loop, process->loop.now_ns + 10 * NS_PER_MS);
    admin_stop(&process->admin);
    while (!admin_is_idle(&process->admin) || process->prober.count > 0)
        loop_turn(&process->loop, process->loop.now_ns + 10 * NS_PER_MS);
    if (process->admin.has_socket)
        (void)unlink(process->cfg->listen.control.ptr);
}

void process_admin_fini(struct process *process)
{
    if (process->admin_runs) {
        admin_fini(&process->admin);
        prober_fini(&process->prober);
        tokens_fini(&process->tokens);
    }
    process->admin_runs = false;
    if (process->has_net) {
        while (process->net.conns.count_out > 0)
            loop_turn(&process->loop, process->loop.now_ns + 10 * NS_PER_MS);
        net_fini(&process->net);
    }
    process->has_net = false;
}
