// backend.h - what every backend of io.h implements; private to src/io.
//
// `struct io` is the first member of a backend's own object. io.c forwards each public call through
// the table and does what is common to all: argument checks, marking operations in flight, wake-ups
// by eventfd where the backend has nothing better.
#ifndef PENSTOCK_IO_BACKEND_H
#define PENSTOCK_IO_BACKEND_H

#include "penstock/io/io.h"

enum { IO_BUFS_SMALL_DEFAULT = 32768, IO_BUFS_LARGE_DEFAULT = 4096, IO_NOTE_MAX = 512 };

struct io_ops {
    void (*free)(struct io *io);
    struct err (*listen)(struct io *io, const struct sockaddr *addr, socklen_t len, int backlog,
                         int *fd_out);
    void (*accept)(struct io *io, struct io_op *op);
    void (*recv)(struct io *io, struct io_op *op);
    void (*recv_into)(struct io *io, struct io_op *op);
    void (*send)(struct io *io, struct io_op *op);
    int (*recv_now)(struct io *io, int fd, void *into, size_t len);
    int (*send_now)(struct io *io, int fd, const struct iovec *iov, uint32_t count);
    void (*connect)(struct io *io, struct io_op *op, const struct sockaddr *addr, socklen_t len);
    void (*poll)(struct io *io, struct io_op *op, uint32_t events);
    void (*cancel)(struct io *io, struct io_op *op);
    void (*shutdown)(struct io *io, int fd);
    void (*close)(struct io *io, int fd, bool reset);
    void (*release)(struct io *io, int fd); // NULL: nothing is known of a fresh descriptor
    void (*wake)(struct io *io, struct io *from);
    unsigned (*turn)(struct io *io, uint64_t until_ns);
};

struct io {
    const struct io_ops *ops;
    enum io_backend backend;
    struct env *env;
    struct bufpool bufs;
    struct io_stats stats;
    void (*on_wake)(void *arg);
    void *on_wake_arg;
    void (*on_woke)(void *arg);
    void *on_woke_arg;
    bool woke; // io_woke() was called in this turn
    uint32_t spin_us;
    char note[IO_NOTE_MAX]; // io_note()
};

// Every backend calls this once in turn(), after its wait and before the first on_done().
static inline void io_woke(struct io *io)
{
    io->woke = true;
    if (io->on_woke != NULL)
        io->on_woke(io->on_woke_arg);
}

// One constructor a backend; `why` as in io_new(). They fill everything but `ops`' common part.
must_use struct err io_uring_new(struct io **out, const struct io_config *config, struct env *env,
                                 char *why, size_t cap);
must_use struct err io_epoll_new(struct io **out, const struct io_config *config, struct env *env,
                                 char *why, size_t cap);

#endif
