// epoll.c - the backend for kernels and containers where io_uring is not to be had: the life of an
// operation, the turn, and what the loop sleeps on.
#include "epoll.h"

#include "penstock/base/mem.h"
#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    SOCKS_MAX = 1024 * 1024, // descriptors are small numbers: this many must be open at once
    EVENTS_MAX = 256,        // edges taken a turn; the kernel keeps the rest
    EDGES = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI,
};

#define WAKE_KEY UINT64_MAX // what an edge of the eventfd carries

// Enters `fd` into the epoll set; edges that are already true are reported by the next wait.
// Returns 0 or a negative errno.
static int sock_register(struct epoll *ep, int fd)
{
    struct sock *sock = sock_at(ep, fd);
    struct epoll_event event = {
        .events = EDGES | EPOLLET,
        .data.u64 = (uint64_t)sock->generation << 32 | (uint32_t)fd,
    };
    ep->io.stats.syscalls++;
    int ret = epoll_ctl(ep->epfd, EPOLL_CTL_ADD, fd, &event);
    if (ret < 0 && errno == EEXIST) // left behind by an owner who closed a duplicate of it
        ret = epoll_ctl(ep->epfd, EPOLL_CTL_MOD, fd, &event);
    if (ret < 0)
        return -errno;
    sock->flags |= SOCK_REGISTERED;
    return 0;
}

// A foreign descriptor stays in the epoll set only while it is polled: its owner may close it
// afterwards, and the number may come back as something else.
static void unchain_poll(struct epoll *ep, struct io_op *op)
{
    struct sock *sock = sock_at(ep, op->fd);
    struct io_op **at = &sock->polls;
    while (*at != op) {
        assert(*at != NULL);
        at = next_poll(*at);
    }
    *at = *next_poll(op);
    if (sock->polls != NULL || (sock->flags & SOCK_OWNED))
        return;
    if (sock->flags & SOCK_REGISTERED) {
        ep->io.stats.syscalls++;
        (void)epoll_ctl(ep->epfd, EPOLL_CTL_DEL, op->fd, NULL); // it may be closed already
    }
    sock_forget(sock);
}

// Takes an operation out of everything that points to it. A connect that is given up leaves no
// descriptor behind.
static void op_detach(struct epoll *ep, struct io_op *op)
{
    assert(op->state != OP_ENDED);
    list_take(&op->link);
    struct sock *sock = sock_at(ep, op->fd);
    if (sock == NULL)
        return;
    switch ((enum io_kind)op->kind) {
    case IO_ACCEPT:
    case IO_RECV:
    case IO_RECV_INTO:
        assert(sock->in == op);
        sock->in = NULL;
        return;
    case IO_SEND:
        assert(sock->out == op);
        sock->out = NULL;
        return;
    case IO_CONNECT:
        assert(sock->out == op);
        sock->out = NULL;
        sock_forget(sock);
        verify(close(op->fd) == 0);
        op->fd = -1;
        return;
    case IO_POLL: unchain_poll(ep, op); return;
    case IO_IDLE: break;
    }
    bug("an operation without a kind");
}

// The last completion is due with `res`, to be told by the turn. From here on only `ended` knows
// the operation.
static void op_end(struct epoll *ep, struct io_op *op, int res)
{
    op_detach(ep, op);
    op->state = OP_ENDED;
    op->res = res;
    list_push_back(&ep->ended, &op->link);
}

static void tell(struct epoll *ep, struct io_op *op, struct io_done done)
{
    if (ep->completions++ == 0 && !ep->io.woke)
        io_woke(&ep->io);
    op->on_done(op, done);
}

// Tells the last completion now. The handler may free the operation.
void epoll_finish(struct epoll *ep, struct io_op *op, struct io_done done)
{
    if (op->state != OP_ENDED)
        op_detach(ep, op);
    op->state = OP_IDLE;
    op->in_flight = false;
    assert(ep->in_flight > 0);
    ep->in_flight--;
    tell(ep, op, done);
}

// Tells a completion that others will follow. True when the operation still runs afterwards: its
// handler may have cancelled it or closed its socket, and then its last completion is due.
bool epoll_more(struct epoll *ep, struct io_op *op, struct io_done done)
{
    op->state = OP_RUNNING;
    done.flags = IO_MORE;
    tell(ep, op, done);
    return op->state == OP_RUNNING;
}

// To be tried by this turn or the next.
void epoll_queue(struct io_op *op, struct list *list)
{
    op->state = OP_QUEUED;
    list_push_back(list, &op->link);
}

cold void epoll_watch(struct epoll *ep, struct io_op *op)
{
    int ret = sock_register(ep, op->fd);
    if (ret < 0)
        epoll_result(ep, op, ret);
}

// True when this turn has told as much as it may; the operation goes on in the next one.
bool epoll_yield(struct epoll *ep, struct io_op *op, bool used_up)
{
    if (!used_up && ep->completions < IO_TURN_MAX)
        return false;
    epoll_queue(op, &ep->started);
    return true;
}

static struct io_op *op_pop(struct list *list)
{
    return container_of(list_pop_front(list), struct io_op, link);
}

// Tells what ended without the kernel, then tries what is queued in `running`, as far as the turn's
// number of completions allows; the rest comes first in the next turn.
static void run_queued(struct epoll *ep)
{
    while (!list_is_empty(&ep->ended) && ep->completions < IO_TURN_MAX) {
        struct io_op *op = op_pop(&ep->ended);
        epoll_result(ep, op, op->res);
    }
    while (!list_is_empty(&ep->running) && ep->completions < IO_TURN_MAX)
        epoll_try(ep, op_pop(&ep->running));
    list_splice(&ep->running, &ep->started);
    list_splice(&ep->started, &ep->running);
}

static bool bufs_left(const struct epoll *ep, int cls)
{
    return ep->io.bufs.cls[cls].count_out < ep->io.bufs.cls[cls].count_max;
}

// Gives returned buffers to the receives that wait for them, the longest waiting first. Whoever
// finds no buffer again parks at the end.
static void run_parked(struct epoll *ep)
{
    ep->refilled = false;
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++) {
        struct list *parked = &ep->parked[cls];
        while (!list_is_empty(parked) && bufs_left(ep, cls) && ep->completions < IO_TURN_MAX) {
            struct io_op *op = op_pop(parked);
            op->state = OP_QUEUED;
            epoll_try(ep, op);
        }
        if (list_is_empty(parked))
            continue;
        if (bufs_left(ep, cls))
            ep->refilled = true; // the turn is full: go on in the next one
        else
            ep->io.bufs.starved = true;
    }
}

static void on_refill(void *arg)
{
    struct epoll *ep = arg;
    ep->refilled = true;
    ep->io.bufs.starved = false;
}

// Marks what an edge made possible and queues what waited for it.
static void sock_edge(struct epoll *ep, struct sock *sock, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR))
        sock->flags |= SOCK_READABLE;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        sock->flags |= SOCK_WRITABLE;
    if (events & (EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR))
        sock->flags |= SOCK_DRAIN;
    if (sock->in != NULL && sock->in->state == OP_WAITING && (sock->flags & SOCK_READABLE))
        epoll_queue(sock->in, &ep->running);
    if (sock->out != NULL && sock->out->state == OP_WAITING && (sock->flags & SOCK_WRITABLE))
        epoll_queue(sock->out, &ep->running);
    for (struct io_op *op = sock->polls; op != NULL; op = *next_poll(op))
        if (op->state == OP_WAITING)
            epoll_queue(op, &ep->running);
}

static bool has_work(const struct epoll *ep)
{
    return !list_is_empty(&ep->started) || !list_is_empty(&ep->ended) || ep->refilled;
}

// How long epoll_wait(2) may sleep, in its milliseconds, rounded up; -1 is for ever.
static int sleep_ms(struct epoll *ep, uint64_t until_ns)
{
    if (ep->completions > 0 || until_ns == 0 || has_work(ep))
        return 0;
    if (!list_is_empty(&ep->retrying))
        until_ns = min_u64(until_ns, ep->retry_ns);
    if (until_ns == UINT64_MAX && ep->spin_until_ns == 0)
        return -1;
    uint64_t now_ns = env_mono_ns(ep->io.env);
    if (now_ns < ep->spin_until_ns || now_ns >= until_ns)
        return 0;
    ep->spin_until_ns = 0;
    if (until_ns == UINT64_MAX)
        return -1;
    return (int)min_u64((until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS, INT32_MAX);
}

// Takes edges, after sleeping as long as nothing is to be done and nobody wakes the loop.
static void take_edges(struct epoll *ep, uint64_t until_ns)
{
    int timeout_ms = sleep_ms(ep, until_ns);
    uint32_t expect = WAKE_NONE;
    if (timeout_ms != 0 && !atomic_compare_exchange_strong(&ep->wake, &expect, WAKE_ASLEEP))
        timeout_ms = 0;
    struct epoll_event events[EVENTS_MAX] uninitialized;
    ep->io.stats.syscalls++;
    int count = epoll_wait(ep->epfd, events, EVENTS_MAX, timeout_ms);
    verify(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++) {
        uint64_t key = events[i].data.u64;
        if (key == WAKE_KEY)
            continue;
        struct sock *sock = &ep->socks[(uint32_t)key];
        if (sock->generation == key >> 32)
            sock_edge(ep, sock, events[i].events);
    }
}

// True once for every burst of io_wake(), and then on_wake() was called.
static bool take_wake(struct epoll *ep)
{
    if (atomic_load_explicit(&ep->wake, memory_order_relaxed) == WAKE_NONE)
        return false;
    if (atomic_exchange(&ep->wake, WAKE_NONE) != WAKE_DUE)
        return false;
    if (!ep->io.woke)
        io_woke(&ep->io);
    if (ep->io.on_wake != NULL)
        ep->io.on_wake(ep->io.on_wake_arg);
    return true;
}

static void run_retries(struct epoll *ep)
{
    if (!list_is_empty(&ep->retrying) && env_mono_ns(ep->io.env) >= ep->retry_ns)
        for (struct list *node; (node = list_pop_front(&ep->retrying)) != NULL;)
            epoll_queue(container_of(node, struct io_op, link), &ep->running);
}

static unsigned epoll_turn(struct io *io, uint64_t until_ns)
{
    struct epoll *ep = epoll_of(io);
    bool woken = false;
    ep->completions = 0;
    for (;;) {
        list_splice(&ep->running, &ep->started);
        run_retries(ep);
        run_queued(ep);
        if (ep->refilled)
            run_parked(ep);
        // What the last turn started is often all there is to do: then the edges wait for the next
        // turn, but never for two.
        ep->skipped = ep->completions > 0 && !ep->skipped;
        if (!ep->skipped) {
            take_edges(ep, until_ns);
            woken = take_wake(ep);
            run_queued(ep);
        }
        if (ep->completions > 0 || woken || until_ns == 0)
            break;
        if (until_ns != UINT64_MAX && env_mono_ns(io->env) >= until_ns)
            break;
    }
    if (ep->completions > 0 && io->spin_us > 0)
        ep->spin_until_ns = env_mono_ns(io->env) + io->spin_us * NS_PER_US;
    if (!io->woke)
        io_woke(io);
    io->stats.completions += ep->completions;
    return ep->completions;
}

static void op_start(struct epoll *ep, struct io_op *op)
{
    ep->in_flight++;
    struct sock *sock = sock_at(ep, op->fd);
    if (sock == NULL && op->kind != IO_CONNECT) {
        op->state = OP_RUNNING;
        op_end(ep, op, op->fd < 0 ? -EBADF : -EMFILE);
        return;
    }
    epoll_queue(op, &ep->started);
    if (op->kind == IO_POLL) {
        *next_poll(op) = sock->polls;
        sock->polls = op;
    } else if (sock != NULL && !(sock->flags & SOCK_OWNED)) {
        sock->flags |= SOCK_OWNED | SOCK_WRITABLE;
    }
}

static void start_in(struct io *io, struct io_op *op)
{
    struct epoll *ep = epoll_of(io);
    op_start(ep, op);
    struct sock *sock = sock_at(ep, op->fd);
    if (sock == NULL)
        return;
    assert(sock->in == NULL); // one receive at a time
    sock->in = op;
}

static void epoll_accept(struct io *io, struct io_op *op)
{
    // A listener that was made elsewhere may block, and accept4(2) has no flag against that.
    int flags = fcntl(op->fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        verify(fcntl(op->fd, F_SETFL, flags | O_NONBLOCK) == 0);
    start_in(io, op);
}

static void epoll_send(struct io *io, struct io_op *op)
{
    struct epoll *ep = epoll_of(io);
    op_start(ep, op);
    struct sock *sock = sock_at(ep, op->fd);
    if (sock == NULL)
        return;
    assert(sock->out == NULL); // one send at a time
    sock->out = op;
}

static void epoll_connect(struct io *io, struct io_op *op, const struct sockaddr *addr,
                          socklen_t len)
{
    op->into = (char *)(uintptr_t)addr; // only read
    op->into_len = len;
    op_start(epoll_of(io), op);
}

static void epoll_poll(struct io *io, struct io_op *op, uint32_t events)
{
    op->credit = events;
    op_start(epoll_of(io), op);
}

static void epoll_cancel(struct io *io, struct io_op *op)
{
    struct epoll *ep = epoll_of(io);
    if (op->state == OP_ENDED)
        return;
    bool sent = op->kind == IO_SEND && op->credit > 0;
    op_end(ep, op, sent ? (int)op->credit : -ECANCELED);
}

static void epoll_shutdown(struct io *io, int fd)
{
    epoll_of(io)->io.stats.syscalls++;
    (void)shutdown(fd, SHUT_WR); // fails where the peer was faster
}

static void epoll_close(struct io *io, int fd, bool reset)
{
    struct epoll *ep = epoll_of(io);
    struct sock *sock = sock_at(ep, fd);
    if (sock != NULL) {
        if (sock->in != NULL)
            epoll_cancel(io, sock->in);
        if (sock->out != NULL)
            epoll_cancel(io, sock->out);
        while (sock->polls != NULL)
            epoll_cancel(io, sock->polls);
        sock_forget(sock); // closing takes it out of the epoll set
    }
    sock_close(fd, reset);
}

static void epoll_release(struct io *io, int fd)
{
    struct sock *sock = sock_at(epoll_of(io), fd);
    assert(sock->in == NULL && sock->out == NULL);
    assert(!(sock->flags & SOCK_REGISTERED));
    sock_forget(sock);
}

// From any thread, and from a signal handler.
static void epoll_wake(struct io *io, struct io *from)
{
    (void)from;
    struct epoll *ep = epoll_of(io);
    if (atomic_exchange(&ep->wake, WAKE_DUE) != WAKE_ASLEEP)
        return; // it is awake, or somebody else is at it: it will look before it sleeps
    uint64_t one = 1;
    ssize_t ret = write(ep->wakefd, &one, sizeof(one));
    verify(ret == sizeof(one));
}

static struct err epoll_listen(struct io *io, const struct sockaddr *addr, socklen_t len,
                               int backlog, int *fd_out)
{
    (void)io;
    return sock_listen(addr, len, backlog, fd_out);
}

static void epoll_free(struct io *io)
{
    struct epoll *ep = epoll_of(io);
    assert(ep->in_flight == 0);
    bufpool_fini(&io->bufs);
    verify(munmap(ep->socks, ep->sock_count * sizeof(*ep->socks)) == 0);
    verify(close(ep->wakefd) == 0);
    verify(close(ep->epfd) == 0);
    mem_give(ep);
}

static const struct io_ops epoll_ops = {
    .free = epoll_free,
    .listen = epoll_listen,
    .accept = epoll_accept,
    .recv = start_in,
    .recv_into = start_in,
    .send = epoll_send,
    .recv_now = sock_recv_now,
    .send_now = sock_send_now,
    .connect = epoll_connect,
    .poll = epoll_poll,
    .cancel = epoll_cancel,
    .shutdown = epoll_shutdown,
    .close = epoll_close,
    .release = epoll_release,
    .wake = epoll_wake,
    .turn = epoll_turn,
};

// The table holds every descriptor this process may ever have; only used pages become resident.
static bool socks_init(struct epoll *ep)
{
    struct rlimit limit;
    verify(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    ep->sock_count = (uint32_t)min_u64(limit.rlim_max, SOCKS_MAX);
    void *memory = mmap(NULL, ep->sock_count * sizeof(*ep->socks), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ep->socks = memory != MAP_FAILED ? memory : NULL;
    return ep->socks != NULL;
}

static bool epoll_open(struct epoll *ep)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = WAKE_KEY };
    return (ep->epfd = epoll_create1(EPOLL_CLOEXEC)) >= 0 &&
           (ep->wakefd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) >= 0 &&
           epoll_ctl(ep->epfd, EPOLL_CTL_ADD, ep->wakefd, &event) == 0 && socks_init(ep);
}

struct err io_epoll_new(struct io **out, const struct io_config *config, struct env *env, char *why,
                        size_t cap)
{
    struct epoll *ep = mem_take(1, sizeof(*ep));
    if (ep == NULL)
        return ERR(NO_MEMORY);
    ep->io = (struct io){
        .ops = &epoll_ops, .backend = IO_BACKEND_EPOLL, .env = env, .spin_us = config->spin_us
    };
    ep->epfd = ep->wakefd = -1;
    list_init(&ep->started), list_init(&ep->running), list_init(&ep->ended);
    list_init(&ep->retrying);
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++)
        list_init(&ep->parked[cls]);
    struct err err = OK;
    if (!epoll_open(ep)) {
        err = ERR_SYS(SYSTEM, errno);
        (void)snprintf(why, cap, "epoll could not be set up: %s (check the limit of descriptors)",
                       strerror(errno));
        goto out;
    }
    uint32_t small = config->bufs_small != 0 ? config->bufs_small : IO_BUFS_SMALL_DEFAULT;
    uint32_t large = config->bufs_large != 0 ? config->bufs_large : IO_BUFS_LARGE_DEFAULT;
    err = bufpool_init(&ep->io.bufs, small, large);
    if (failed(err)) {
        (void)snprintf(why, cap, "no memory for %u and %u receive buffers", small, large);
        goto out;
    }
    ep->io.bufs.on_refill = on_refill;
    ep->io.bufs.on_refill_arg = ep;
    *out = &ep->io;
    return OK;
out:
    if (ep->socks != NULL)
        verify(munmap(ep->socks, ep->sock_count * sizeof(*ep->socks)) == 0);
    if (ep->wakefd >= 0)
        verify(close(ep->wakefd) == 0);
    if (ep->epfd >= 0)
        verify(close(ep->epfd) == 0);
    mem_give(ep);
    return err;
}
