// door.h - fresh connections on their way from the thread that accepted them to one with less to
// do.
//
// The kernel spreads connections over the listeners of a port by a hash, which leaves a thread idle
// where clients hold few and long ones; a Unix socket has one listener altogether. So each thread
// has a door: how many connections it has, for the others to see, and a few places in which they
// put descriptors. Only a connection of which nothing was read may travel.
//
// A thread calls doors_pass() for its own accepted connections and door_take() for its own door;
// the others' loads are read as they are at some moment. Nothing blocks.
#ifndef PENSTOCK_NET_DOOR_H
#define PENSTOCK_NET_DOOR_H

#include "penstock/base/base.h"
#include "penstock/base/err.h"
#include "penstock/io/io.h"

#include <stdatomic.h>

enum { DOOR_PLACES = 64 };

struct door {
    _Alignas(CACHE_LINE) _Atomic uint32_t load; // connections; written by its own thread alone
    _Atomic uint32_t coming;                    // places that are taken, or are about to be
    _Atomic uint32_t others;                    // threads that are at it
    _Atomic bool is_open;
    struct io *io;
    _Alignas(CACHE_LINE) _Atomic uint64_t places[DOOR_PLACES]; // 0: empty
};

struct doors {
    uint32_t count;
    struct door door[];
};

// All closed.
must_use struct err doors_new(struct doors **out, uint32_t count);
void doors_free(struct doors **doors);

// From now on others may put something in, and then wake `io`.
void door_open(struct door *door, struct io *io);
void door_close(struct door *door);
// After door_close(): nobody is at it any more, nothing is in it, and nobody wakes its io again.
static inline bool door_is_quiet(struct door *door)
{
    return atomic_load(&door->others) == 0 && atomic_load(&door->coming) == 0;
}

// The thread has so many connections more.
static inline void door_load(struct door *door, int32_t delta)
{
    const uint32_t load = atomic_load_explicit(&door->load, memory_order_relaxed);
    atomic_store_explicit(&door->load, load + (uint32_t)delta, memory_order_relaxed);
}

// Passes the accepted `fd` on if another thread has clearly less to do than number `own`, or, where
// that one is full, fewer connections than `cap`; 0: it is not. `listener` tells at which of the
// listeners it came. False: it stays.
must_use bool doors_pass(struct doors *doors, uint32_t own, uint32_t cap, uint32_t listener,
                         int fd);

// What somebody put in; false if there is nothing.
static inline bool door_has_any(const struct door *door)
{
    return atomic_load_explicit(&((struct door *)door)->coming, memory_order_relaxed) > 0;
}
must_use bool door_take(struct door *door, uint32_t *listener, int *fd);
// What was taken is in the thread's load now: it is not missed in between.
void door_taken(struct door *door);

#endif
