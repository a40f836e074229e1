// epoll_try.c - one attempt at an operation: the system calls and what their results mean.
#include "epoll.h"
#include "sock.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum {
    // What one try takes; a turn tries at most twice, before and after it takes edges.
    RECV_TURN_MAX = 64 * KIB,  // bytes received from one socket
    SEND_TURN_MAX = 256 * KIB, // bytes sent to one socket
    ACCEPT_TURN_MAX = 64,      // connections accepted from one listener
};

static bool is_again(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK;
}

// What accept(2) reports of a connection that died in the queue; the next one may be well.
static bool is_dead_connection(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO || error == ENETDOWN ||
           error == ENOPROTOOPT || error == EHOSTDOWN || error == ENONET || error == EHOSTUNREACH ||
           error == EOPNOTSUPP || error == ENETUNREACH || error == EPERM;
}

static apart void run_accept(struct epoll *ep, struct io_op *op)
{
    struct sock *sock = sock_at(ep, op->fd);
    for (unsigned count = 0; sock->flags & SOCK_READABLE; count++) {
        if (epoll_yield(ep, op, count == ACCEPT_TURN_MAX))
            return;
        ep->io.stats.syscalls++;
        int fd = accept4(op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && is_again(errno)) {
            sock->flags &= ~(uint32_t)SOCK_READABLE;
            break;
        }
        if (fd < 0 && is_dead_connection(errno))
            continue;
        struct sock *fresh = sock_at(ep, fd);
        if (fd >= 0 && fresh == NULL) {
            verify(close(fd) == 0);
            errno = EMFILE;
        }
        if (fresh == NULL) { // the socket stays readable: arming again tries at once
            epoll_result(ep, op, -errno);
            return;
        }
        sock_open(fresh);
        if (!epoll_more(ep, op, (struct io_done){ .res = fd }))
            return;
    }
    epoll_wait_edge(ep, op, sock);
}

// Receives once. Returns what recv(2) did, or a negative errno, and keeps SOCK_READABLE true to it.
static ssize_t sock_recv(struct epoll *ep, const struct io_op *op, struct sock *sock, void *into,
                         size_t len)
{
    ssize_t got;
    do {
        ep->io.stats.syscalls++;
        got = sock_recv_call(op->fd, into, len);
    } while (unlikely(got < 0) && errno == EINTR);
    if (unlikely(got < 0)) {
        if (is_again(errno))
            sock->flags &= ~(uint32_t)SOCK_READABLE;
        return is_again(errno) ? -EAGAIN : -errno;
    }
    if ((size_t)got < len && got > 0 && !(sock->flags & SOCK_DRAIN))
        sock->flags &= ~(uint32_t)SOCK_READABLE;
    return got;
}

static void run_recv(struct epoll *ep, struct io_op *op)
{
    struct sock *sock = sock_at(ep, op->fd);
    size_t total = 0;
    while (sock->flags & SOCK_READABLE) {
        if (epoll_yield(ep, op, total >= RECV_TURN_MAX))
            return;
        struct buf *buf = bufpool_take(&ep->io.bufs, op->cls);
        if (buf == NULL) {
            ep->io.stats.no_buffers++;
            ep->io.bufs.starved = true;
            op->state = OP_PARKED;
            list_push_back(&ep->parked[op->cls], &op->link);
            return;
        }
        ssize_t got = sock_recv(ep, op, sock, buf->data, min_size(buf->cap, op->credit));
        if (got <= 0)
            buf_put(buf);
        if (got == -EAGAIN)
            break;
        if (got <= 0) {
            epoll_result(ep, op, (int)got);
            return;
        }
        total += (size_t)got;
        op->credit -= (uint32_t)got;
        struct io_done done = { .res = (int32_t)got, .buf = buf };
        if (op->credit == 0) {
            epoll_finish(ep, op, done);
            return;
        }
        if (!epoll_more(ep, op, done))
            return;
    }
    epoll_wait_edge(ep, op, sock);
}

static void run_recv_into(struct epoll *ep, struct io_op *op)
{
    struct sock *sock = sock_at(ep, op->fd);
    ssize_t got = -EAGAIN;
    if (sock->flags & SOCK_READABLE)
        got = sock_recv(ep, op, sock, op->into, min_size(op->into_len, INT32_MAX));
    if (got == -EAGAIN)
        epoll_wait_edge(ep, op, sock);
    else
        epoll_result(ep, op, (int)got);
}

// The part of a send that is still to go: at most `max` bytes behind the first `sent`.
static size_t iov_rest(const struct io_op *op, size_t sent, size_t max, struct iovec *out)
{
    size_t count = 0;
    for (uint32_t i = 0; i < op->count && max > 0; i++) {
        size_t skip = min_size(sent, op->iov[i].iov_len);
        size_t len = min_size(op->iov[i].iov_len - skip, max);
        sent -= skip;
        max -= len;
        if (len > 0)
            out[count++] = (struct iovec){ (char *)op->iov[i].iov_base + skip, len };
    }
    return count;
}

// A send has no credit, so `credit` counts the bytes that are on their way.
static void run_send(struct epoll *ep, struct io_op *op)
{
    struct sock *sock = sock_at(ep, op->fd);
    struct iovec rest[IO_SEGMENTS_MAX] uninitialized;
    const size_t len = op->sum;
    size_t total = 0;
    while (op->credit < len) {
        if (epoll_yield(ep, op, total >= SEND_TURN_MAX))
            return;
        if (!(sock->flags & SOCK_WRITABLE)) {
            epoll_wait_edge(ep, op, sock);
            return;
        }
        const struct iovec *iov = op->iov;
        size_t count = op->count;
        if (unlikely(op->credit > 0 || len > SEND_TURN_MAX)) {
            count = iov_rest(op, op->credit, SEND_TURN_MAX - total, rest);
            iov = rest;
        }
        ep->io.stats.syscalls++;
        ssize_t sent = sock_send_call(op->fd, iov, count);
        if (sent >= 0) {
            total += (size_t)sent;
            op->credit += (uint32_t)sent;
        } else if (is_again(errno)) {
            sock->flags &= ~(uint32_t)SOCK_WRITABLE;
        } else if (errno != EINTR) {
            // The bytes before the failure are told; the next send meets it again.
            epoll_result(ep, op, op->credit > 0 ? (int)op->credit : -errno);
            return;
        }
    }
    epoll_result(ep, op, (int)op->credit);
}

// Whether the kernel has decided on a connect that was under way, and how.
static apart void run_connecting(struct epoll *ep, struct io_op *op)
{
    struct sock *sock = sock_at(ep, op->fd);
    if (!(sock->flags & SOCK_WRITABLE)) {
        epoll_wait_edge(ep, op, sock);
        return;
    }
    int error = 0;
    socklen_t len = sizeof(error);
    ep->io.stats.syscalls++;
    verify(getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0);
    if (error != 0) {
        epoll_result(ep, op, -error); // closes it
        return;
    }
    int fd = op->fd;
    sock->out = NULL;
    op->fd = -1; // it is the caller's now
    epoll_result(ep, op, fd);
}

// A socket for `addr`, with its record; or a negative errno.
static int dial_socket(struct epoll *ep, const struct sockaddr *addr)
{
    int fd = sock_make(addr->sa_family);
    if (fd < 0)
        return fd;
    if (sock_at(ep, fd) == NULL) {
        verify(close(fd) == 0);
        return -EMFILE;
    }
    sock_open(sock_at(ep, fd));
    return fd;
}

// Until the socket is made, `into` and `into_len` are the address.
static apart void run_connect(struct epoll *ep, struct io_op *op)
{
    if (op->fd >= 0) {
        run_connecting(ep, op);
        return;
    }
    const struct sockaddr *addr = (const struct sockaddr *)(const void *)op->into;
    int fd = dial_socket(ep, addr);
    if (fd < 0) {
        epoll_result(ep, op, fd);
        return;
    }
    struct sock *sock = sock_at(ep, fd);
    ep->io.stats.syscalls += 3;
    int ret = connect(fd, addr, (socklen_t)op->into_len);
    int error = ret < 0 ? errno : 0;
    if (error == 0) {
        epoll_result(ep, op, fd);
    } else if (error == EINPROGRESS || error == EINTR) {
        sock->flags &= ~(uint32_t)SOCK_WRITABLE;
        sock->out = op;
        op->fd = fd;
        epoll_wait_edge(ep, op, sock);
    } else {
        sock_forget(sock);
        verify(close(fd) == 0);
        if (error != EAGAIN) {
            epoll_result(ep, op, -error);
            return;
        }
        // A Unix listener with a full backlog; nothing will tell when it has room.
        op->state = OP_RETRYING;
        if (list_is_empty(&ep->retrying))
            ep->retry_ns = env_mono_ns(ep->io.env) + EPOLL_RETRY_NS;
        list_push_back(&ep->retrying, &op->link);
    }
}

// An edge says only that something changed: what is true now is asked.
static apart void run_poll(struct epoll *ep, struct io_op *op)
{
    struct pollfd ask = { .fd = op->fd, .events = (short)op->credit };
    ep->io.stats.syscalls++;
    int ret = poll(&ask, 1, 0);
    if (ret > 0)
        epoll_result(ep, op, ask.revents & POLLNVAL ? -EBADF : ask.revents);
    else if (ret == 0 || errno == EINTR)
        epoll_wait_edge(ep, op, sock_at(ep, op->fd));
    else
        epoll_result(ep, op, -errno);
}

void epoll_try(struct epoll *ep, struct io_op *op)
{
    assert(op->state == OP_QUEUED);
    switch ((enum io_kind)op->kind) {
    case IO_ACCEPT: run_accept(ep, op); return;
    case IO_RECV: run_recv(ep, op); return;
    case IO_RECV_INTO: run_recv_into(ep, op); return;
    case IO_SEND: run_send(ep, op); return;
    case IO_CONNECT: run_connect(ep, op); return;
    case IO_POLL: run_poll(ep, op); return;
    case IO_IDLE: break;
    }
    bug("an operation without a kind");
}
