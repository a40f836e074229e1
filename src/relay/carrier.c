#include "penstock/relay/carrier.h"

#include "penstock/base/check.h"
#include "penstock/base/region.h"

#include <sys/resource.h>

enum { CARRIER_NICE = 10 };

static size_t size_for(uint32_t shards)
{
    return sizeof(struct carrier) + shards * sizeof(struct carrier_port);
}

struct err carrier_new(struct carrier **out, uint32_t shards, struct budget_process *process)
{
    struct carrier *carrier = pages_take(size_for(shards));
    if (carrier == NULL)
        return ERR(NO_MEMORY);
    carrier->least = CARRIER_LEAST;
    carrier->count = shards;
    budget_init(&carrier->budget, process);
    verify(sem_init(&carrier->wake, 0, 0) == 0);
    *out = carrier;
    return OK;
}

// Adds to a list that another thread takes as a whole.
static void push(struct carrier_job *_Atomic *list, struct carrier_job *job)
{
    struct carrier_job *newest = atomic_load_explicit(list, memory_order_relaxed);
    do
        job->next = newest;
    while (!atomic_compare_exchange_weak_explicit(list, &newest, job, memory_order_release,
                                                  memory_order_relaxed));
}

// All of it, the oldest first.
static struct carrier_job *take_all(struct carrier_job *_Atomic *list)
{
    struct carrier_job *job = atomic_exchange_explicit(list, NULL, memory_order_acquire);
    struct carrier_job *first = NULL;
    while (job != NULL) {
        struct carrier_job *next = job->next;
        job->next = first;
        first = job;
        job = next;
    }
    return first;
}

bool carrier_turn(struct carrier *carrier)
{
    struct carrier_job *job = take_all(&carrier->given);
    const bool any = job != NULL;
    while (job != NULL) {
        struct carrier_job *next = job->next;
        struct carrier_port *port = &carrier->ports[job->shard];
        job->run(job, carrier);
        push(&port->back, job); // from here on it is the shard's
        io_wake(port->io, NULL);
        atomic_fetch_sub(&port->out, 1);
        job = next;
    }
    return any;
}

static void *run(void *arg)
{
    struct carrier *carrier = arg;
    // Of this thread alone, on Linux. Where it is not allowed, the shards have less of an
    // advantage.
    (void)setpriority(PRIO_PROCESS, 0, CARRIER_NICE);
    while (!atomic_load(&carrier->stops))
        if (!carrier_turn(carrier))
            (void)sem_wait(&carrier->wake); // or interrupted by a signal: looks again
    return NULL;
}

struct err carrier_start(struct carrier *carrier)
{
    const int error = pthread_create(&carrier->thread, NULL, run, carrier);
    if (error != 0)
        return ERR_SYS(SYSTEM, error);
    carrier->runs = true;
    pthread_setname_np(carrier->thread, "carrier");
    return OK;
}

void carrier_free(struct carrier **carrier)
{
    struct carrier *old = *carrier;
    if (old == NULL)
        return;
    atomic_store(&old->stops, true);
    verify(sem_post(&old->wake) == 0);
    if (old->runs)
        verify(pthread_join(old->thread, NULL) == 0);
    for (uint32_t i = 0; i < old->count; i++)
        assert(carrier_is_quiet(old, i));
    extent_pool_fini(&old->extents);
    verify(sem_destroy(&old->wake) == 0);
    pages_give(old, size_for(old->count));
    *carrier = NULL;
}

void carrier_open(struct carrier *carrier, uint32_t shard, struct io *io)
{
    assert(shard < carrier->count);
    carrier->ports[shard].io = io;
}

void carrier_give(struct carrier *carrier, struct carrier_job *job)
{
    assert(job->shard < carrier->count);
    atomic_fetch_add(&carrier->ports[job->shard].out, 1);
    push(&carrier->given, job);
    if (carrier->runs)
        verify(sem_post(&carrier->wake) == 0);
}

void carrier_take(struct carrier *carrier, uint32_t shard)
{
    struct carrier_job *job = take_all(&carrier->ports[shard].back);
    while (job != NULL) {
        struct carrier_job *next = job->next;
        job->on_back(job);
        job = next;
    }
}
