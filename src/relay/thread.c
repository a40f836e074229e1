#include "penstock/relay/thread.h"

#include "penstock/base/check.h"

#include <sched.h>
#include <stdio.h>

#define CLOSE_TURN_NS (UINT64_C(10) * NS_PER_MS)

static void set_state(struct shard_thread *thread, enum thread_state state)
{
    atomic_store_explicit(&thread->state, state, memory_order_release);
    if (thread->control != NULL)
        io_wake(thread->control, NULL);
}

static struct err open_shard(struct shard_thread *thread)
{
    struct env *env = env_system();
    TRY(io_new(&thread->io, &thread->io_config, env, thread->why, sizeof(thread->why)));
    TRY(shard_init(&thread->shard, thread->idx, thread->io, env, thread->shared, thread->port,
                   thread->conns_max));
    thread->shard.access = thread->access;
    for (uint32_t i = 0; i < thread->listen_count; i++) {
        const union listen_addr *addr = &thread->listen[i];
        const bool is_local = addr->any.sa_family == AF_UNIX;
        struct err err =
            shard_listen(&thread->shard, is_local && thread->idx > 0 ? NULL : &addr->any,
                         listen_addr_len(addr), thread->certs[i]);
        if (failed(err) && is_local)
            snprintf(thread->why, sizeof(thread->why), "cannot listen on %s: %s",
                     addr->local.sun_path, strerror(err.sys));
        else if (failed(err))
            snprintf(thread->why, sizeof(thread->why), "cannot listen on port %u: %s",
                     ntohs(addr->v4.sin_port), strerror(err.sys));
        TRY(err);
    }
    shard_open_door(&thread->shard);
    return OK;
}

static void obey(struct shard_thread *thread, enum thread_command *done)
{
    enum thread_command want =
        (enum thread_command)atomic_load_explicit(&thread->command, memory_order_acquire);
    struct shard *shard = &thread->shard;
    const struct shard_settings *settings =
        atomic_load_explicit(&thread->settings, memory_order_acquire);
    if (settings != thread_settings(thread)) {
        shard_apply(shard, settings);
        // Nothing of the shard looks at the older ones any more.
        atomic_store_explicit(&thread->applied, settings, memory_order_release);
    }
    if (*done < THREAD_DRAIN && want >= THREAD_DRAIN)
        shard_drain(shard);
    if (*done < THREAD_CUT && want >= THREAD_CUT)
        shard_cut(shard);
    if (*done < THREAD_STOP && want >= THREAD_STOP)
        for (uint32_t i = 0; i < shard->server_count; i++)
            server_stop(&shard->servers[i]);
    *done = want;
}

// The control thread puts it into words.
static void tell_slow(const struct shard_thread *thread, uint64_t *told)
{
    const uint64_t slow = counter_get(&thread->shard.loop.figures.turns_slow);
    if (likely(slow == *told))
        return;
    *told = slow;
    if (thread->control != NULL)
        io_wake(thread->control, NULL);
}

static void *run(void *arg)
{
    struct shard_thread *thread = arg;
    if (thread->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)thread->cpu, &set);
        thread->pin_failed = pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0;
    }
    thread->err = open_shard(thread);
    if (failed(thread->err)) {
        set_state(thread, THREAD_FAILED);
        return NULL;
    }
    set_state(thread, THREAD_READY);
    enum thread_command done = THREAD_RUN;
    struct shard *shard = &thread->shard;
    uint64_t slow = 0;
    for (;;) {
        obey(thread, &done);
        if (done >= THREAD_DRAIN && shard_is_idle(shard)) {
            if (thread_state(thread) == THREAD_READY)
                set_state(thread, THREAD_DRAINED);
            if (done >= THREAD_STOP)
                break;
        }
        shard_turn(shard, UINT64_MAX);
        tell_slow(thread, &slow);
    }
    shard_close(shard);
    while (!shard_is_closed(shard))
        shard_turn(shard, shard->loop.now_ns + CLOSE_TURN_NS);
    shard_fini(shard);
    snap_hub_leave(thread->shared->hub, thread->idx);
    set_state(thread, THREAD_ENDED);
    // Its own thread frees an io, and nobody may wake it then: thread_join() says when.
    while (sem_wait(&thread->joined) != 0)
        ; // interrupted by a signal
    io_free(&thread->io);
    return NULL;
}

struct err thread_start(struct shard_thread *thread)
{
    verify(sem_init(&thread->joined, 0, 0) == 0);
    char name[16];
    snprintf(name, sizeof(name), "shard-%u", thread->idx);
    int error = pthread_create(&thread->thread, NULL, run, thread);
    if (error != 0)
        return ERR_SYS(SYSTEM, error);
    pthread_setname_np(thread->thread, name);
    return OK;
}

void thread_command(struct shard_thread *thread, enum thread_command command)
{
    atomic_store_explicit(&thread->command, command, memory_order_release);
    if (thread_state(thread) != THREAD_STARTING && thread->io != NULL)
        io_wake(thread->io, NULL); // at once: a ring's message would wait for its next turn
}

void thread_apply(struct shard_thread *thread, const struct shard_settings *settings)
{
    atomic_store_explicit(&thread->settings, settings, memory_order_release);
    if (thread->io != NULL)
        io_wake(thread->io, NULL);
}

void thread_join(struct shard_thread *thread)
{
    verify(sem_post(&thread->joined) == 0);
    verify(pthread_join(thread->thread, NULL) == 0);
}
