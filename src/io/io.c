#include "penstock/io/io.h"

#include "backend.h"
#include "penstock/base/check.h"
#include "sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>

// Without io_uring the gateway works, a little slower: that is no reason to stop. A shortage of
// memory or descriptors is, because epoll would meet it as well.
static struct err new_auto(struct io **out, const struct io_config *config, struct env *env,
                           char *why, size_t cap)
{
    struct err err = io_uring_new(out, config, env, why, cap);
    if (err.code != ERR_RING_UNAVAILABLE)
        return err;
    char reason[IO_NOTE_MAX - 64];
    snprintf(reason, sizeof(reason), "%s", why);
    TRY(io_epoll_new(out, config, env, why, cap));
    snprintf((*out)->note, sizeof((*out)->note), "epoll instead of io_uring: %s", reason);
    return OK;
}

static struct err new_backend(struct io **out, const struct io_config *config, struct env *env,
                              char *why, size_t cap)
{
    switch (config->backend) {
    case IO_BACKEND_AUTO: return new_auto(out, config, env, why, cap);
    case IO_BACKEND_URING: return io_uring_new(out, config, env, why, cap);
    case IO_BACKEND_EPOLL:
        TRY(io_epoll_new(out, config, env, why, cap));
        snprintf((*out)->note, sizeof((*out)->note), "epoll, as configured");
        return OK;
    case IO_BACKEND_SIM: bug("a simulated io is made by its test");
    }
    bug("io_backend out of range");
}

struct err io_new(struct io **out, const struct io_config *config, struct env *env, char *why,
                  size_t cap)
{
    assert(cap > 0);
    *out = NULL;
    why[0] = '\0';
    struct err err = new_backend(out, config, env, why, cap);
    if (failed(err) && why[0] == '\0')
        snprintf(why, cap, "%s%s%s", err_text(err.code), err.sys != 0 ? ": " : "",
                 err.sys != 0 ? strerror(err.sys) : "");
    return err;
}

const char *io_note(const struct io *io)
{
    return io->note;
}

void io_free(struct io **io)
{
    if (*io == NULL)
        return;
    (*io)->ops->free(*io);
    *io = NULL;
}

enum io_backend io_backend(const struct io *io)
{
    return io->backend;
}

const char *io_backend_name(enum io_backend backend)
{
    switch (backend) {
    case IO_BACKEND_AUTO: return "auto";
    case IO_BACKEND_URING: return "uring";
    case IO_BACKEND_EPOLL: return "epoll";
    case IO_BACKEND_SIM: return "sim";
    }
    bug("io_backend out of range");
}

struct bufpool *io_bufs(struct io *io)
{
    return &io->bufs;
}

const struct io_stats *io_stats(const struct io *io)
{
    return &io->stats;
}

struct err io_listen(struct io *io, const struct sockaddr *addr, socklen_t len, int backlog,
                     int *fd_out)
{
    assert(backlog > 0);
    return io->ops->listen(io, addr, len, backlog, fd_out);
}

// Nothing of an earlier use is left in an operation but its on_done.
static void start(struct io_op *op, enum io_kind kind, int fd)
{
    assert(op->on_done != NULL);
    assert(!op->in_flight);
    *op = (struct io_op){ .on_done = op->on_done, .in_flight = true, .kind = kind, .fd = fd };
    list_init(&op->link);
}

void io_accept(struct io *io, struct io_op *op, int listener)
{
    assert(listener >= 0);
    start(op, IO_ACCEPT, listener);
    io->ops->accept(io, op);
}

void io_recv(struct io *io, struct io_op *op, int fd, enum buf_class cls, uint32_t credit)
{
    assert(fd >= 0);
    assert(cls < BUF_CLASS_COUNT);
    assert(credit > 0 && credit <= IO_CREDIT_MAX);
    start(op, IO_RECV, fd);
    op->cls = (uint8_t)cls;
    op->credit = credit;
    io->ops->recv(io, op);
}

void io_recv_into(struct io *io, struct io_op *op, int fd, void *into, size_t len)
{
    assert(fd >= 0);
    assert(len > 0 && len <= INT32_MAX); // 0 could not be told from the peer's FIN
    start(op, IO_RECV_INTO, fd);
    op->into = into;
    op->into_len = len;
    io->ops->recv_into(io, op);
}

static void start_send(struct io *io, struct io_op *op, int fd, const struct iovec *iov,
                       uint32_t count, bool lazy)
{
    assert(fd >= 0);
    assert(count > 0 && count <= IO_SEGMENTS_MAX);
    size_t len = 0;
    for (uint32_t i = 0; i < count; i++)
        len += iov[i].iov_len;
    assert(len > 0 && len <= INT32_MAX); // what `res` can tell
    start(op, IO_SEND, fd);
    op->iov = iov;
    op->count = count;
    op->sum = (uint32_t)len;
    op->lazy = lazy;
    io->ops->send(io, op);
}

void io_send(struct io *io, struct io_op *op, int fd, const struct iovec *iov, uint32_t count)
{
    start_send(io, op, fd, iov, count, false);
}

void io_send_lazy(struct io *io, struct io_op *op, int fd, const struct iovec *iov, uint32_t count)
{
    start_send(io, op, fd, iov, count, true);
}

int io_recv_now(struct io *io, int fd, void *into, size_t len)
{
    assert(fd >= 0);
    assert(len > 0 && len <= INT32_MAX);
    io->stats.syscalls++;
    return io->ops->recv_now(io, fd, into, len);
}

int io_send_now(struct io *io, int fd, const struct iovec *iov, uint32_t count)
{
    assert(fd >= 0);
    assert(count > 0 && count <= IO_SEGMENTS_MAX);
    io->stats.syscalls++;
    return io->ops->send_now(io, fd, iov, count);
}

void io_connect(struct io *io, struct io_op *op, const struct sockaddr *addr, socklen_t len)
{
    start(op, IO_CONNECT, -1);
    io->ops->connect(io, op, addr, len);
}

void io_poll(struct io *io, struct io_op *op, int fd, uint32_t events)
{
    assert(fd >= 0);
    start(op, IO_POLL, fd);
    io->ops->poll(io, op, events);
}

void io_cancel(struct io *io, struct io_op *op)
{
    if (op->in_flight)
        io->ops->cancel(io, op);
}

void io_shutdown(struct io *io, int fd)
{
    assert(fd >= 0);
    io->ops->shutdown(io, fd);
}

bool io_has_hung_up(struct io *io, int fd)
{
    if (io->backend == IO_BACKEND_SIM)
        return false; // a simulated reset fails the next send, which is soon enough
    struct pollfd asked = { .fd = fd };
    return poll(&asked, 1, 0) == 1 && (asked.revents & (POLLERR | POLLHUP)) != 0;
}

bool io_has_input(struct io *io, int fd)
{
    char byte;
    if (io->backend == IO_BACKEND_SIM)
        return false;
    io->stats.syscalls++;
    const ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got >= 0 || (errno != EAGAIN && errno != EINTR);
}

void io_ack_late(struct io *io, int fd)
{
    if (io->backend == IO_BACKEND_SIM)
        return;
    io->stats.syscalls++;
    sock_ack_late(fd);
}

bool io_acks_late(struct io *io, int fd)
{
    if (io->backend == IO_BACKEND_SIM)
        return false;
    io->stats.syscalls++;
    return sock_acks_late(fd);
}

bool io_peer(struct io *io, int fd, struct sockaddr_storage *out)
{
    assert(fd >= 0);
    memset(out, 0, sizeof(*out));
    if (io->backend == IO_BACKEND_SIM) {
        const struct sockaddr_in loopback = { .sin_family = AF_INET,
                                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
        memcpy(out, &loopback, sizeof(loopback));
        return true;
    }
    socklen_t len = sizeof(*out);
    return getpeername(fd, (struct sockaddr *)out, &len) == 0;
}

void io_release(struct io *io, int fd)
{
    assert(fd >= 0);
    if (io->ops->release != NULL)
        io->ops->release(io, fd);
}

void io_close(struct io *io, int fd, bool reset)
{
    assert(fd >= 0);
    io->ops->close(io, fd, reset);
}

void io_wake(struct io *io, struct io *from)
{
    io->ops->wake(io, from);
}

void io_on_wake(struct io *io, void (*on_wake)(void *arg), void *arg)
{
    io->on_wake = on_wake;
    io->on_wake_arg = arg;
}

void io_on_woke(struct io *io, void (*on_woke)(void *arg), void *arg)
{
    io->on_woke = on_woke;
    io->on_woke_arg = arg;
}

unsigned io_turn(struct io *io, uint64_t until_ns)
{
    io->woke = false;
    unsigned count = io->ops->turn(io, until_ns);
    assert(io->woke);
    assert(count <= IO_TURN_MAX);
    return count;
}
