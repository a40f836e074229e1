// process.h - one running gateway: everything that `penstock serve` starts, stops and owns.
//
// The main thread is the control thread. It loads, publishes and commands; the shards relay.
#ifndef PENSTOCK_PROCESS_H
#define PENSTOCK_PROCESS_H

#include "mock_thread.h"
#include "penstock/ctl/access.h"
#include "penstock/ctl/admin.h"
#include "penstock/ctl/config.h"
#include "penstock/ctl/log.h"
#include "penstock/ctl/master.h"
#include "penstock/ctl/prober.h"
#include "penstock/ctl/publish.h"
#include "penstock/ctl/registry.h"
#include "penstock/net/resolver.h"
#include "penstock/relay/thread.h"

#include <sys/types.h>

enum { PROCESS_SHARDS_MAX = 64, PROCESS_LISTEN_MAX = SHARD_LISTENERS_MAX };

// What one load of the configuration brought. The newest is in force; older ones stay until the
// shards look at them no more.
struct generation {
    struct shard_settings settings;
    struct config *cfg;
    struct generation *older;
};

enum { RELOADS_MAX = 16 }; // asked for at one time

// Reloading on the control thread, at once or as soon as no change of an object is under way.
struct reload {
    struct timer timer;
    struct generation *next; // read and good, not in force yet
    struct registry_diff diffs[ENTITY_COUNT];
    bool is_in_force; // the control thread has done its part, the shards are about to
    bool again;       // asked for meanwhile
    struct api_call *calls[RELOADS_MAX]; // that asked
    uint32_t call_count, served_count;   // the first of them are answered by this reload
    uint64_t give_up_ns;
    struct text report; // what was found wrong or doubtful, for the log and the callers
    json_t *applied, *restart;
    struct timer reclaim;
    // For the metrics.
    uint64_t done_ns; // wall clock of the last good load
    bool is_good;
};

// The file of a Unix socket that this process listens on.
struct socket_file {
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    dev_t dev; // which file it was: another gateway may have put its own there since
    ino_t ino;
};

struct process {
    struct log log;
    struct access_log access;
    const char *config_path; // NULL: the embedded defaults
    struct generation *newest;
    struct config *cfg; // of the newest
    struct reload reload;
    struct vault *vault;
    struct keyring keyring;
    struct io *io;
    struct loop loop;
    struct snap_hub *hub;
    struct slots *slots;
    struct dests *dests;
    struct resolver *resolver;
    struct store *store;
    struct store_client *store_client;
    pthread_t store_thread;
    bool store_runs;
    struct registry *registry;
    struct publisher publisher;
    struct task poll; // of the registry
    struct timer poll_again;
    struct net net; // of the control thread
    bool has_net, admin_runs;
    struct view view;
    struct tokens tokens;
    struct api api;
    struct prober prober;
    struct admin admin;
    struct budget_process budget;
    struct peers *peers; // of the data listeners
    struct recall *recall;
    struct carrier *carrier;
    struct doors *doors; // of the shards; NULL: there is one
    struct shard_shared shared;
    struct shard_thread shards[PROCESS_SHARDS_MAX];
    uint32_t shard_count, started_count;
    union listen_addr listen[PROCESS_LISTEN_MAX];
    struct certs *certs[PROCESS_LISTEN_MAX]; // of the listeners with TLS
    struct certs *admin_certs[ADMIN_LISTENERS_MAX];
    uint32_t listen_count;
    struct socket_file sockets[PROCESS_LISTEN_MAX + ADMIN_LISTENERS_MAX];
    uint32_t socket_count;
    struct timer ticket_timer; // a fresh ticket key, before the oldest in use ends
    struct mock_thread mock;
    bool mock_runs;
    struct io_op signal_op;
    int signal_fd;
    struct timer delay_timer, drain_timer, watchdog;
    uint64_t watchdog_ns, watchdog_count;
    uint64_t turns_seen[PROCESS_SHARDS_MAX];
    struct slow_turns {
        uint64_t seen;     // that a line has told of
        uint64_t quiet_ns; // until then no other line
    } slow[PROCESS_SHARDS_MAX];
    bool ready, draining, is_cut, stopping;
};

// Reads and checks the configuration into a generation of its own. NULL: it is not valid. `report`
// receives everything that was found, in words for people.
must_use struct generation *process_read_config(struct process *process, struct text *report);
void process_free_generation(struct generation **generation);

// Runs until a signal ends it. Returns an exit status.
int process_run(struct process *process, const char *config_path);

// --- process_listen.c: listeners and their certificates ---

// The address of a listener; false if it is none that can be bound.
must_use bool resolve_listener(struct span address, union listen_addr *out);
// False, and said, if another process listens there.
must_use bool process_may_listen(struct process *process, struct span text,
                                 const union listen_addr *addr);
// The same for all data listeners.
must_use bool process_may_listen_all(struct process *process);
// The file of a listener that is open now, if it is a Unix socket's, goes with the process.
void process_note_socket(struct process *process, const union listen_addr *addr);
void process_remove_sockets(struct process *process);
must_use bool process_take_listeners(struct process *process);
// *certs stays NULL for a listener without TLS.
must_use bool process_load_certs(struct process *process, const struct config_listener *listener,
                                 struct certs **certs);
// Reads the certificates again; what cannot be used leaves the old ones in place.
must_use bool process_reload_certs(struct process *process);
void process_rotate_tickets(struct process *process);
// Of the view: the certificate number `index` of all listeners together.
bool process_certificate(void *arg, uint32_t index, struct view_cert *out);
void process_free_certs(struct process *process);

// --- process_life.c: signals, drain, watchdog ---

must_use bool process_watch_signals(struct process *process);
void process_life_begin(struct process *process);
void process_life_end(struct process *process);
void process_command(struct process *process, enum thread_command command);
bool process_is_drained(struct process *process);
// Tells of turns of the shards that took too long, each shard's once in a while.
void process_tell_slow_turns(struct process *process);
// As SIGTERM does.
void process_drain(struct process *process);

// --- process_reload.c: another configuration while running ---

void process_reload_init(struct process *process);
// SIGHUP.
void process_reload(struct process *process);
// For the admin API: `call` is answered later. False: too many wait.
must_use bool process_reload_for(struct process *process, struct api_call *call);
// Answers who still waits; nothing is reloaded any more.
void process_reload_stop(struct process *process);

// --- process_admin.c: the admin listeners and what they show ---

// When the store runs. Returns an exit status.
must_use int process_admin_open(struct process *process);
// When the shards run: what only they know.
void process_admin_ready(struct process *process);
// Before the store is stopped.
void process_admin_stop(struct process *process);
// After it: frees what its last answers went to.
void process_admin_fini(struct process *process);

// --- process_store.c: the store, its thread, and what is loaded from it ---

// Before any thread is pinned. Returns an exit status.
must_use int process_store_open(struct process *process);
// Lets the store run on its thread; from here on it is asked through its client.
must_use int process_store_start(struct process *process);
// After the shards have ended: waits until everything is written out.
void process_store_stop(struct process *process);

#endif
