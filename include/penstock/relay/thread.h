// thread.h - a shard on a thread of its own, pinned to a core, commanded from the control thread.
#ifndef PENSTOCK_RELAY_THREAD_H
#define PENSTOCK_RELAY_THREAD_H

#include "penstock/relay/shard.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/un.h>

// Commands only ever rise.
enum thread_command { THREAD_RUN, THREAD_DRAIN, THREAD_CUT, THREAD_STOP };
enum thread_state { THREAD_STARTING, THREAD_READY, THREAD_FAILED, THREAD_DRAINED, THREAD_ENDED };

// Where a listener is bound.
union listen_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};
static inline socklen_t listen_addr_len(const union listen_addr *addr)
{
    if (addr->any.sa_family == AF_UNIX)
        return sizeof(addr->local);
    return addr->any.sa_family == AF_INET6 ? sizeof(addr->v6) : sizeof(addr->v4);
}

struct shard_thread {
    pthread_t thread;
    uint32_t idx;
    int cpu; // -1: not pinned
    struct io_config io_config;
    const struct shard_shared *shared;
    struct usage_port *port;
    struct access_port *access; // NULL: no access lines
    // listen_count addresses. A Unix socket has one listener, which the first shard opens: the
    // others get their part of its connections through their doors.
    const union listen_addr *listen;
    struct certs *const *certs; // as many; NULL where plaintext
    uint32_t listen_count;
    uint32_t conns_max;
    struct io *io;
    struct io *control; // woken when the state changes; may be NULL
    sem_t joined;       // nobody wakes its io any more
    _Atomic uint32_t command;
    _Atomic uint32_t state;
    const struct shard_settings *_Atomic settings; // wanted; NULL: those of `shared`
    const struct shard_settings *_Atomic applied;
    struct err err; // after THREAD_FAILED
    bool pin_failed;
    char why[512]; // for the operator: why it failed, or what backend was chosen and why
    struct shard shard;
};

// Fill idx to control first. The thread reports through `state`; the object stays until
// thread_join().
must_use struct err thread_start(struct shard_thread *thread);
void thread_command(struct shard_thread *thread, enum thread_command command);
static inline enum thread_state thread_state(struct shard_thread *thread)
{
    return (enum thread_state)atomic_load_explicit(&thread->state, memory_order_acquire);
}
// Hands over other settings, which stay until thread_settings() tells that later ones are applied.
void thread_apply(struct shard_thread *thread, const struct shard_settings *settings);
static inline const struct shard_settings *thread_settings(struct shard_thread *thread)
{
    return atomic_load_explicit(&thread->applied, memory_order_acquire);
}
void thread_join(struct shard_thread *thread);

#endif
