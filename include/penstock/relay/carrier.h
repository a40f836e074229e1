// carrier.h - a thread for what would take too long for a turn: large requests on their way to
// another format.
//
// A shard gives a job and goes on with its other requests. Jobs run here one after the other, in
// the order they came, and come back to the shard that gave them; in between the shard touches
// nothing that the job does. The thread has a lower priority than the shards: it takes what they
// leave. Nothing here blocks a shard.
#ifndef PENSTOCK_RELAY_CARRIER_H
#define PENSTOCK_RELAY_CARRIER_H

#include "penstock/base/err.h"
#include "penstock/io/io.h"
#include "penstock/net/budget.h"
#include "penstock/net/extent.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { CARRIER_LEAST = 512 * KIB }; // a body of fewer bytes is work for a turn

struct carrier;
struct carrier_job {
    struct carrier_job *next;
    uint32_t shard;
    // On the carrier's thread: what it takes of `extents` is the job's, and charged to `budget`
    // until the job is back.
    void (*run)(struct carrier_job *job, struct carrier *carrier);
    void (*on_back)(struct carrier_job *job); // on the shard's
};

struct carrier_port {
    _Alignas(CACHE_LINE) struct carrier_job *_Atomic back; // newest first
    _Atomic uint32_t out;                                  // jobs that the carrier is at
    struct io *io;
};

struct carrier {
    size_t least; // bytes of a body that is carried over here
    struct extent_pool extents;
    struct budget budget;
    struct carrier_job *_Atomic given; // newest first
    sem_t wake;
    _Atomic bool stops;
    bool runs;
    pthread_t thread;
    uint32_t count;
    struct carrier_port ports[];
};

must_use struct err carrier_new(struct carrier **out, uint32_t shards,
                                struct budget_process *process);
// On a thread of its own; without one, carrier_turn() does the work.
must_use struct err carrier_start(struct carrier *carrier);
// Runs what was given; false if that was nothing.
bool carrier_turn(struct carrier *carrier);
// Ends the thread, and frees. Only when all ports are quiet.
void carrier_free(struct carrier **carrier);

// --- for a shard ---

// `io` is woken when a job comes back.
void carrier_open(struct carrier *carrier, uint32_t shard, struct io *io);
void carrier_give(struct carrier *carrier, struct carrier_job *job);
static inline bool carrier_has_any(const struct carrier *carrier, uint32_t shard)
{
    struct carrier_port *port = (struct carrier_port *)(uintptr_t)&carrier->ports[shard];
    return atomic_load_explicit(&port->back, memory_order_relaxed) != NULL;
}
// Tells the jobs that are back.
void carrier_take(struct carrier *carrier, uint32_t shard);
// Nothing of the shard's is under way, and nobody wakes its io.
static inline bool carrier_is_quiet(const struct carrier *carrier, uint32_t shard)
{
    struct carrier_port *port = (struct carrier_port *)(uintptr_t)&carrier->ports[shard];
    return atomic_load(&port->out) == 0 && atomic_load(&port->back) == NULL;
}

#endif
