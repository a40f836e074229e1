// view.h - what the control plane sees of the rest of the process, filled in by main: figures that
// may be read at any time, and questions.
#ifndef PENSTOCK_CTL_VIEW_H
#define PENSTOCK_CTL_VIEW_H

#include "penstock/io/loop.h"
#include "penstock/model/access_port.h"
#include "penstock/net/budget.h"
#include "penstock/net/resolver.h"
#include "penstock/wire/figures.h"

enum { VIEW_SHARDS_MAX = 256, VIEW_NAME_MAX = 96 };

struct api_call;
struct slot;
struct peers;
struct snap_hub;

// A certificate that a listener shows.
struct view_cert {
    char name[VIEW_NAME_MAX]; // its listener's address, and which one of several
    uint64_t expires_ns;      // wall clock; 0: not known
};

struct view {
    uint32_t shard_count;
    const struct shard_counters *shards[VIEW_SHARDS_MAX];
    const struct loop_figures *loops[VIEW_SHARDS_MAX]; // of the shards
    const struct loop_figures *control;                // of this thread
    struct peers *peers;                               // NULL: not counted
    const struct recall_figures *recall;               // NULL: nothing is remembered
    const struct access_port *access;                  // shard_count of them, or NULL
    const struct budget_process *budget;
    const struct resolver *resolver;
    const struct snap_hub *hub; // NULL: nothing is said of accounts
    struct slot *slots;
    const char *backend; // of the shards
    const char *backend_note;
    const char *commit;  // that the binary was built from
    uint64_t started_ns; // wall clock
    const uint64_t *published;
    const uint64_t *log_dropped; // lines that did not fit the log's buffer
    // NULL: ready for traffic; else why not.
    const char *(*unready)(void *arg);
    bool (*draining)(void *arg);
    // The certificate number `index` from 0; false behind the last one.
    bool (*certificate)(void *arg, uint32_t index, struct view_cert *out);
    // Reads the configuration again and answers `call` then; false: too many wait for that.
    bool (*reload)(void *arg, struct api_call *call);
    // Begins the end, as a service manager's stop does.
    void (*drain)(void *arg);
    const uint64_t *reload_ns; // wall clock of the last good load of the configuration
    const bool *reload_good;   // whether the last one was
    void *arg;
};

#endif
