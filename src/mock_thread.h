// mock_thread.h - the mock vendor on a thread of its own.
#ifndef PENSTOCK_MOCK_THREAD_H
#define PENSTOCK_MOCK_THREAD_H

#include "penstock/mock/mock.h"
#include "penstock/net/dest.h"

#include <pthread.h>
#include <semaphore.h>

struct mock_thread {
    struct io_config io_config;
    union dest_addr addr;
    pthread_t thread;
    sem_t started;
    sem_t joined; // nobody wakes its io any more
    struct io *io;
    struct loop loop;
    struct net net;
    struct budget_process budget;
    struct mock mock;
    _Atomic bool stop;
    struct err err;
    char why[512];
};

// Fill io_config and addr first. On failure `why` holds the reason.
must_use struct err mock_thread_start(struct mock_thread *mock);
void mock_thread_stop(struct mock_thread *mock);

#endif
