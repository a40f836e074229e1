#include "penstock/io/sim.h"

#include "sim_world.h"

#include <stdio.h>
#include <stdlib.h>

const struct sim_profile sim_calm = {
    .latency_ns_min = NS_PER_US,
    .latency_ns_max = NS_PER_US,
    .turn_ns_max = NS_PER_US,
    .buf_bytes_min = 256 * KIB,
    .buf_bytes_max = 256 * KIB,
    .fd_max = SIM_FDS,
};

#define SIM_ROUGH                                                                                  \
    .latency_ns_min = 20 * NS_PER_US, .latency_ns_max = 30 * NS_PER_MS,                            \
    .jitter_ns_max = 2 * NS_PER_MS, .turn_ns_max = 100 * NS_PER_US, .delay_ns_max = 5 * NS_PER_MS, \
    .stall_ns_max = 400 * NS_PER_MS, .buf_bytes_min = 1 * KIB, .buf_bytes_max = 256 * KIB,         \
    .fd_max = SIM_FDS, .split = 200, .short_io = 200, .delay = 100, .stall = 5, .shuffle = 300,    \
    .few = 100, .starve = 30, .early_end = 50, .cancel_late = 300, .cancel_loses = 300,            \
    .wake_late = 200

const struct sim_profile sim_rough = { SIM_ROUGH };
const struct sim_profile sim_hostile = {
    SIM_ROUGH, .reset = 5, .drop_unread = 500, .refuse = 20, .hang = 10, .accept_error = 10,
};

void *sim_alloc(size_t size)
{
    // layer-check: a simulation is a test's, and frees its parts one by one.
    void *memory = calloc(1, size);
    verify(memory != NULL); // a test that needs more than the machine has
    return memory;
}

struct err sim_new(struct sim **out, struct env_fake *env, const struct sim_profile *profile)
{
    // layer-check: once a simulation.
    struct sim *sim = calloc(1, sizeof(*sim));
    if (sim == NULL)
        return ERR(NO_MEMORY);
    sim->env = env;
    sim->profile = *profile;
    sim->port = 20000;
    uint64_t seed;
    env_random(&env->env, &seed, sizeof(seed));
    env_fake_init(&sim->dice, seed);
    list_init(&sim->ios), list_init(&sim->conns), list_init(&sim->listeners);
    list_init(&sim->peers), list_init(&sim->notify_peers), list_init(&sim->notify_listeners);
    *out = sim;
    return OK;
}

void sim_free(struct sim **sim_ptr)
{
    struct sim *sim = *sim_ptr;
    if (sim == NULL)
        return;
    assert(list_is_empty(&sim->ios));
    assert(sim->fd_count == 0);
    while (!list_is_empty(&sim->listeners)) {
        struct sim_listener *listener =
            container_of(sim->listeners.next, struct sim_listener, link);
        sim_unlisten(&listener);
    }
    while (!list_is_empty(&sim->peers)) {
        struct sim_peer *peer = container_of(sim->peers.next, struct sim_peer, link);
        sim_reset(&peer);
    }
    // Events are all that still holds connections and operations.
    for (size_t i = 0; i < sim->heap_count; i++) {
        struct sim_event *event = &sim->heap[i];
        if (event->kind == EV_LOOK || event->kind == EV_CANCEL) {
            struct sim_op *op = event->subject;
            op->events--;
            sim_op_release(op);
        }
    }
    while (!list_is_empty(&sim->conns)) {
        struct sim_conn *conn = container_of(sim->conns.next, struct sim_conn, link);
        assert(!conn->end[0].open && !conn->end[1].open);
        conn->events = 0;
        sim_conn_release(conn);
    }
    free(sim->heap);
    free(sim);
    *sim_ptr = NULL;
}

struct sim_profile *sim_profile(struct sim *sim)
{
    return &sim->profile;
}

uint64_t sim_now(const struct sim *sim)
{
    return sim->env->mono;
}

// --- dice

uint64_t sim_below(struct sim *sim, uint64_t count)
{
    assert(count > 0);
    uint64_t word;
    env_random(&sim->dice.env, &word, sizeof(word));
    return word % count;
}

bool sim_chance(struct sim *sim, unsigned permille)
{
    return permille > 0 && sim_below(sim, 1000) < permille;
}

uint64_t sim_between(struct sim *sim, uint64_t min, uint64_t max)
{
    return max > min ? min + sim_below(sim, max - min + 1) : min;
}

// --- the trace

static void mix(struct sim *sim, uint64_t word)
{
    sim->trace = (sim->trace ^ word) * UINT64_C(0xff51afd7ed558ccd);
    sim->trace ^= sim->trace >> 32;
}

void sim_note(struct sim *sim, const char *what, int64_t a, int64_t b, int64_t c)
{
    for (const char *at = what; *at != '\0'; at++)
        mix(sim, (uint64_t)(unsigned char)*at);
    mix(sim, sim_now(sim));
    mix(sim, (uint64_t)a);
    mix(sim, (uint64_t)b);
    mix(sim, (uint64_t)c);
    if (sim->trace_out != NULL)
        fprintf(sim->trace_out, "%12.6f %-10s %lld %lld %lld\n", (double)sim_now(sim) / 1e9, what,
                (long long)a, (long long)b, (long long)c);
}

uint64_t sim_trace(const struct sim *sim)
{
    return sim->trace;
}

void sim_trace_to(struct sim *sim, struct _IO_FILE *out)
{
    sim->trace_out = out;
}

// --- events

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void heap_push(struct sim *sim, struct sim_event event)
{
    if (sim->heap_count == sim->heap_alloc) {
        sim->heap_alloc = max_size(2 * sim->heap_alloc, 64);
        // layer-check: as many events as a test makes.
        sim->heap = realloc(sim->heap, sim->heap_alloc * sizeof(*sim->heap));
        verify(sim->heap != NULL);
    }
    size_t at = sim->heap_count++;
    for (; at > 0 && event_before(&event, &sim->heap[(at - 1) / 2]); at = (at - 1) / 2)
        sim->heap[at] = sim->heap[(at - 1) / 2];
    sim->heap[at] = event;
}

static struct sim_event heap_pop(struct sim *sim)
{
    struct sim_event top = sim->heap[0], last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && event_before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!event_before(&sim->heap[child], &last))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return top;
}

void sim_schedule(struct sim *sim, uint64_t at_ns, enum sim_event_kind kind, void *subject,
                  uint64_t arg)
{
    heap_push(sim, (struct sim_event){ .at_ns = max_u64(at_ns, sim_now(sim)),
                                       .order = sim->order++,
                                       .kind = kind,
                                       .subject = subject,
                                       .arg = arg });
}

void sim_after(struct sim *sim, uint64_t ns, sim_call_fn *call, void *arg)
{
    heap_push(sim, (struct sim_event){ .at_ns = sim_now(sim) + ns,
                                       .order = sim->order++,
                                       .kind = EV_CALL,
                                       .subject = arg,
                                       .call = call });
}

static void run_event(struct sim *sim, const struct sim_event *event)
{
    switch (event->kind) {
    case EV_ARRIVE:
    case EV_FIN:
    case EV_RST:
    case EV_SYN:
    case EV_CONNECTED:
    case EV_REFUSED: sim_net_event(sim, event); return;
    case EV_LOOK:
    case EV_CANCEL:
    case EV_WAKE: sim_io_event(sim, event); return;
    case EV_CALL: event->call(event->subject); return;
    }
    bug("an event without a kind");
}

// Calls the actors that something happened to. What they do may call for others.
static void notify(struct sim *sim)
{
    for (;;) {
        struct list *node = list_pop_front(&sim->notify_peers);
        if (node != NULL) {
            struct sim_peer *peer = container_of(node, struct sim_peer, notify);
            peer->on_event(peer->on_event_arg);
            continue;
        }
        node = list_pop_front(&sim->notify_listeners);
        if (node == NULL)
            return;
        struct sim_listener *listener = container_of(node, struct sim_listener, notify);
        listener->on_event(listener->on_event_arg);
    }
}

static bool io_is_busy(const struct sim_io *io)
{
    return !io->idle || io->until_ns <= sim_now(io->sim) || !list_is_empty(&io->ready) ||
           !sim_io_only_lazy(io) || io->closed || io->woken || io->refilled;
}

// When the next thing happens by itself.
static uint64_t next_ns(const struct sim *sim)
{
    uint64_t next = sim->heap_count > 0 ? sim->heap[0].at_ns : UINT64_MAX;
    for (const struct list *at = sim->ios.next; at != &sim->ios; at = at->next)
        next = min_u64(next, container_of(at, struct sim_io, link)->until_ns);
    return next;
}

bool sim_step(struct sim *sim, uint64_t until_ns)
{
    bool busy = !list_is_empty(&sim->notify_peers) || !list_is_empty(&sim->notify_listeners);
    for (struct list *at = sim->ios.next; at != &sim->ios; at = at->next)
        busy |= io_is_busy(container_of(at, struct sim_io, link));
    uint64_t target = sim_now(sim);
    if (busy) {
        target += sim_between(sim, 1, sim->profile.turn_ns_max); // never no time at all
    } else {
        target = min_u64(next_ns(sim), until_ns);
        if (target == UINT64_MAX)
            return false;
    }
    target = min_u64(target, until_ns);
    bool moved = busy || target > sim_now(sim);
    // One event at a time, at its own time, so that what it leads to is later than it.
    while (sim->heap_count > 0 && sim->heap[0].at_ns <= max_u64(target, sim_now(sim))) {
        if (sim->heap[0].at_ns > sim_now(sim))
            env_fake_advance(sim->env, sim->heap[0].at_ns - sim_now(sim));
        struct sim_event event = heap_pop(sim);
        run_event(sim, &event);
        notify(sim);
        moved = true;
        if (!busy)
            target = sim_now(sim); // the ios look at it before more happens
    }
    if (target > sim_now(sim))
        env_fake_advance(sim->env, target - sim_now(sim));
    notify(sim);
    return moved;
}

// --- descriptors

struct sim_file *sim_file_new(struct sim *sim, enum sim_file_kind kind)
{
    if (sim->fd_count >= min_u64(sim->profile.fd_max, SIM_FDS))
        return NULL;
    while (sim->files[sim->fd_low] != NULL)
        sim->fd_low++;
    struct sim_file *file = sim_alloc(sizeof(*file));
    file->fd = SIM_FD_FIRST + sim->fd_low;
    file->kind = kind;
    list_init(&file->polls);
    sim->files[sim->fd_low] = file;
    sim->fd_count++;
    return file;
}

void sim_file_free(struct sim *sim, struct sim_file *file)
{
    assert(file->in == NULL);
    assert(file->out == NULL);
    assert(list_is_empty(&file->polls));
    int index = file->fd - SIM_FD_FIRST;
    assert(sim->files[index] == file);
    sim->files[index] = NULL;
    sim->fd_low = index < sim->fd_low ? index : sim->fd_low;
    sim->fd_count--;
    free(file);
}

struct sim_file *sim_file_at(const struct sim *sim, int fd)
{
    assert(fd >= SIM_FD_FIRST && fd < SIM_FD_FIRST + SIM_FDS);
    struct sim_file *file = sim->files[fd - SIM_FD_FIRST];
    assert(file != NULL); // the product uses a descriptor that it has closed
    return file;
}

unsigned sim_fds(const struct sim *sim)
{
    return sim->fd_count;
}

bool sim_is_clean(const struct sim *sim, char *why, size_t cap)
{
    for (int i = 0; i < SIM_FDS; i++)
        if (sim->files[i] != NULL && sim->files[i]->kind != FILE_FOREIGN) {
            (void)snprintf(why, cap, "descriptor %d is open", SIM_FD_FIRST + i);
            return false;
        }
    for (const struct list *at = sim->ios.next; at != &sim->ios; at = at->next) {
        const struct sim_io *io = container_of(at, struct sim_io, link);
        if (io->in_flight > 0) {
            (void)snprintf(why, cap, "io %u has %u operations in flight", io->index, io->in_flight);
            return false;
        }
        for (int cls = 0; cls < BUF_CLASS_COUNT; cls++)
            if (io->io.bufs.cls[cls].count_out > 0) {
                (void)snprintf(why, cap, "io %u misses %u buffers of class %d", io->index,
                               io->io.bufs.cls[cls].count_out, cls);
                return false;
            }
    }
    (void)snprintf(why, cap, "clean");
    return true;
}
