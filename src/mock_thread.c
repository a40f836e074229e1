#include "mock_thread.h"

#include "penstock/base/check.h"

#include <stdatomic.h>
#include <stdio.h>

enum { CONNECTIONS_MAX = 65536 };

static struct err open_mock(struct mock_thread *mock)
{
    struct env *env = env_system();
    TRY(io_new(&mock->io, &mock->io_config, env, mock->why, sizeof(mock->why)));
    loop_init(&mock->loop, mock->io, env);
    mock->budget.limit = INT64_MAX / 128; // it holds what its tests ask for
    TRY(net_init(&mock->net, &mock->loop, &mock->budget, CONNECTIONS_MAX));
    struct err err =
        mock_open(&mock->mock, &mock->net, &mock->addr.any, dest_addr_len(&mock->addr));
    if (failed(err))
        snprintf(mock->why, sizeof(mock->why), "cannot listen: %s", strerror(err.sys));
    return err;
}

static void *run(void *arg)
{
    struct mock_thread *mock = arg;
    mock->err = open_mock(mock);
    sem_post(&mock->started);
    if (failed(mock->err))
        return NULL;
    while (!atomic_load_explicit(&mock->stop, memory_order_acquire))
        loop_turn(&mock->loop, UINT64_MAX);
    mock_stop(&mock->mock);
    while (!mock_is_idle(&mock->mock) || mock->net.conns.count_out > 0)
        loop_turn(&mock->loop, mock->loop.now_ns + 10 * NS_PER_MS);
    mock_fini(&mock->mock);
    net_fini(&mock->net);
    while (sem_wait(&mock->joined) != 0)
        ; // interrupted by a signal
    io_free(&mock->io);
    return NULL;
}

struct err mock_thread_start(struct mock_thread *mock)
{
    verify(sem_init(&mock->started, 0, 0) == 0);
    verify(sem_init(&mock->joined, 0, 0) == 0);
    int error = pthread_create(&mock->thread, NULL, run, mock);
    if (error != 0)
        return ERR_SYS(SYSTEM, error);
    pthread_setname_np(mock->thread, "mock");
    while (sem_wait(&mock->started) != 0)
        ; // interrupted by a signal
    return mock->err;
}

void mock_thread_stop(struct mock_thread *mock)
{
    atomic_store_explicit(&mock->stop, true, memory_order_release);
    io_wake(mock->io, NULL);
    verify(sem_post(&mock->joined) == 0);
    verify(pthread_join(mock->thread, NULL) == 0);
}
