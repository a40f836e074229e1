// process.h - one running gateway: everything that `penstock serve` starts, stops and owns.
//
// The main thread is the control thread. It loads, publishes and commands; the shards relay.
#ifndef PENSTOCK_PROCESS_H
#define PENSTOCK_PROCESS_H

#include "mock_thread.h"
#include "penstock/ctl/config.h"
#include "penstock/ctl/master.h"
#include "penstock/net/resolver.h"
#include "penstock/relay/thread.h"

enum { PROCESS_SHARDS_MAX = 64, PROCESS_LISTEN_MAX = SHARD_LISTENERS_MAX };

struct process {
    struct config *cfg;
    struct vault *vault;
    struct keyring keyring;
    struct io *io;
    struct loop loop;
    struct snap_hub *hub;
    struct slots *slots;
    struct dests *dests;
    struct resolver *resolver;
    struct budget_process budget;
    struct relay_limits relay;
    struct server_limits server;
    struct shard_shared shared;
    struct shard_thread shards[PROCESS_SHARDS_MAX];
    uint32_t shard_count, started_count;
    union dest_addr listen[PROCESS_LISTEN_MAX];
    uint32_t listen_count;
    struct mock_thread mock;
    bool mock_runs;
    struct io_op signal_op;
    int signal_fd;
    struct timer reclaim, drain_timer;
    bool draining, stopping;
};

// Runs until a signal ends it. Returns an exit status.
int process_run(struct process *process, const char *config_path);

#endif
