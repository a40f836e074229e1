// uring.c - the io_uring backend.
//
// One enter a turn hands over what was started, and waits. Completions carry the address of their
// operation; operations and descriptors are kept as follows.
//
// A descriptor has a slot in a table by its number, which points to the operation that receives (or
// accepts) on it and to the one that sends. io_close() cancels these two by address: a cancel by
// descriptor walks through everything that is armed in the ring, and took 440 us with 9,500 idle
// connections where this takes 3. It also marks them as cancelled, so that nothing of theirs is
// armed again on a number that may be another socket by then.
#include "backend.h"

#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "sock.h"
#include "uring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

// What a completion is for, in the low bits of its user_data; the rest is an address.
enum {
    TAG_OP,        // of a struct io_op; NULL: a cancel or close that found nothing to do
    TAG_WAKE,      // somebody woke this ring
    TAG_EVENTFD,   // the same, from a thread without a ring
    TAG_WAKE_LOST, // of the struct uring that our wake did not reach
    TAG_MASK = 7,
};

static struct uring *uring_of(struct io *io)
{
    return container_of(io, struct uring, io);
}

// --- the submission queue

// Publishes what was prepared; how much of it the kernel has still to take.
static unsigned publish(struct io_uring *ring)
{
    struct io_uring_sq *sq = &ring->sq;
    sq->sqe_head = sq->sqe_tail;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
}

// One enter, which waits until `until_ns` if it is to wait. Its result matters only if it is a bug:
// what was not taken stays in the queue, and a wait that ends early makes an early end of the turn.
static void enter(struct uring *u, bool wait, uint64_t until_ns)
{
    uint64_t ts_ns = until_ns;
    if (wait && until_ns != UINT64_MAX && !u->caps.abs_timer) {
        uint64_t now_ns = env_mono_ns(u->io.env);
        wait = until_ns > now_ns;
        ts_ns = wait ? until_ns - now_ns : 0;
    }
    struct __kernel_timespec ts = {
        .tv_sec = (int64_t)(ts_ns / NS_PER_S),
        .tv_nsec = (long long)(ts_ns % NS_PER_S),
    };
    struct io_uring_getevents_arg arg = { 0 };
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    if (wait && until_ns != UINT64_MAX) {
        arg.ts = (uintptr_t)&ts;
        flags |= u->caps.abs_timer ? URING_ENTER_ABS_TIMER : 0;
    }
    if (u->caps.ring_fd)
        flags |= IORING_ENTER_REGISTERED_RING;
    if (wait && u->caps.no_iowait)
        flags |= URING_ENTER_NO_IOWAIT;
    u->io.stats.syscalls++;
    int ret = io_uring_enter2((unsigned)u->ring.enter_ring_fd, publish(&u->ring), wait ? 1 : 0,
                              flags, (sigset_t *)(void *)&arg, sizeof(arg));
    // EAGAIN: no memory for a request now. EBUSY: completions have to be taken first.
    verify(ret >= 0 || ret == -ETIME || ret == -EINTR || ret == -EAGAIN || ret == -EBUSY);
}

// Hands over without taking completions, so it may be called while these are being delivered.
static cold void submit(struct uring *u)
{
    unsigned count = publish(&u->ring);
    unsigned flags = u->caps.ring_fd ? IORING_ENTER_REGISTERED_RING : 0;
    u->io.stats.syscalls++;
    int ret = io_uring_enter((unsigned)u->ring.enter_ring_fd, count, 0, flags, NULL);
    verify(ret >= 0 || ret == -EINTR || ret == -EAGAIN || ret == -EBUSY);
}

struct io_uring_sqe *uring_sqe(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    for (unsigned tries = 0; unlikely(sqe == NULL); tries++) {
        // Each try lets the kernel take all it can. It takes nothing only without memory for a
        // single request, and there is no other place to keep this one.
        verify(tries < URING_SUBMIT_TRIES);
        submit(u);
        sqe = io_uring_get_sqe(&u->ring);
    }
    return sqe;
}

static void tag(struct io_uring_sqe *sqe, const void *ptr, unsigned bits)
{
    sqe->user_data = (uintptr_t)ptr | bits;
}

void uring_arm(struct io_uring_sqe *sqe, struct io_op *op)
{
    tag(sqe, op, TAG_OP);
    op->state |= OP_ARMED;
}

// --- the ends of operations

static struct uring_slot *slot_of(struct uring *u, int fd)
{
    return fd >= 0 && (uint32_t)fd < u->slot_count ? &u->slots[fd] : NULL;
}

// The place in its descriptor's slot that belongs to an operation of this kind.
static struct io_op **place_of(struct uring *u, const struct io_op *op)
{
    struct uring_slot *slot = slot_of(u, op->fd);
    if (slot == NULL)
        return NULL;
    switch ((enum io_kind)op->kind) {
    case IO_ACCEPT:
    case IO_RECV:
    case IO_RECV_INTO: return &slot->in;
    case IO_SEND: return &slot->out;
    case IO_IDLE:
    case IO_CONNECT:
    case IO_POLL: return NULL;
    }
    bug("io_kind out of range");
}

void uring_tell(struct uring *u, struct io_op *op, struct io_done done)
{
    u->delivered++;
    u->io.stats.completions++;
    op->on_done(op, done);
}

// The last completion; the operation may be gone afterwards.
void uring_finish(struct uring *u, struct io_op *op, struct io_done done)
{
    assert(op->in_flight);
    assert(u->in_flight > 0);
    struct io_op **place = place_of(u, op);
    if (place != NULL && *place == op)
        *place = NULL;
    if (op->kept != NULL) {
        slab_give(&u->msgs, op->kept);
        op->kept = NULL;
    }
    u->polls -= op->kind == IO_POLL;
    u->in_flight--;
    op->in_flight = false;
    op->state = 0;
    uring_tell(u, op, done);
}

// The same in the next turn, for what ends without the kernel.
void uring_end_later(struct uring *u, struct io_op *op, int res)
{
    assert((op->state & OP_ARMED) == 0);
    op->res = res;
    op->state |= OP_ENDED;
    list_push_back(&u->ended, &op->link);
}

bool uring_begin(struct uring *u, struct io_op *op)
{
    u->in_flight++;
    struct io_op **place = place_of(u, op);
    if (place == NULL) { // a number beyond RLIMIT_NOFILE
        uring_end_later(u, op, -EMFILE);
        return false;
    }
    assert(*place == NULL);
    *place = op;
    return true;
}

void uring_cancel_sqe(struct uring *u, struct io_op *op)
{
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_cancel64(sqe, (uintptr_t)op | TAG_OP, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    tag(sqe, NULL, TAG_OP);
    if (op->kind == IO_RECV)
        op->mark = u->turns;
}

static void cancel(struct uring *u, struct io_op *op)
{
    if (op->state & (OP_CANCELLED | OP_ENDED))
        return;
    op->state |= OP_CANCELLED;
    if (op->state & (OP_PARKED | OP_PAUSED)) {
        op->state &= (uint8_t) ~(OP_PARKED | OP_PAUSED);
        list_take(&op->link);
        uring_end_later(u, op, -ECANCELED);
    } else if ((op->state & OP_USED_UP) == 0) {
        uring_cancel_sqe(u, op);
    }
}

// --- what completes otherwise

static void on_accept(struct uring *u, struct io_op *op, int res, bool more)
{
    if (more) {
        uring_tell(u, op, (struct io_done){ .res = res, .flags = IO_MORE });
        return;
    }
    if (res == -EMFILE || res == -ENFILE || res == -ENOBUFS || res == -ENOMEM)
        u->accept_ns = env_mono_ns(u->io.env) + URING_ACCEPT_PAUSE_NS;
    uring_finish(u, op, (struct io_done){ .res = res });
}

static void on_connect(struct uring *u, struct io_op *op, int res)
{
    if (res == 0 && (op->state & OP_CANCELLED) == 0) {
        uring_finish(u, op, (struct io_done){ .res = op->fd });
        return;
    }
    sock_close(op->fd, false);
    uring_finish(u, op, (struct io_done){ .res = res == 0 ? -ECANCELED : res });
}

static void on_op(struct uring *u, struct io_op *op, int res, uint32_t flags)
{
    assert(op->in_flight);
    assert(op->state & OP_ARMED);
    // A cancel is told as one: a thread of the kernel that it interrupts says EINTR, and the owner
    // of a polled descriptor may have closed it meanwhile.
    if ((op->state & OP_CANCELLED) && (res == -EINTR || op->kind == IO_POLL))
        res = -ECANCELED;
    switch ((enum io_kind)op->kind) {
    case IO_RECV: uring_on_recv(u, op, res, flags); return;
    case IO_ACCEPT: on_accept(u, op, res, (flags & IORING_CQE_F_MORE) != 0); return;
    case IO_CONNECT: on_connect(u, op, res); return;
    case IO_SEND: uring_on_send(u, op, res); return;
    case IO_RECV_INTO:
    case IO_POLL: uring_finish(u, op, (struct io_done){ .res = res }); return;
    case IO_IDLE: break;
    }
    bug("a completion for an operation that was never started");
}

static void arm_eventfd(struct uring *u)
{
    // Multishot polls tell each write, so the counter needs no reading.
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_poll_multishot(sqe, u->eventfd, POLLIN);
    tag(sqe, NULL, TAG_EVENTFD);
}

static void wake_by_eventfd(struct uring *u)
{
    // EAGAIN would say that 2^64 - 2 wakes are pending.
    verify(eventfd_write(u->eventfd, 1) == 0);
}

static void on_completion(struct uring *u, const struct uring_done *done)
{
    void *ptr = (void *)(uintptr_t)(done->user_data & ~(uint64_t)TAG_MASK);
    switch (done->user_data & TAG_MASK) {
    case TAG_OP:
        if (ptr != NULL)
            on_op(u, ptr, done->res, done->flags);
        return;
    case TAG_WAKE: u->woken = true; return;
    case TAG_EVENTFD:
        u->woken = true;
        if ((done->flags & IORING_CQE_F_MORE) == 0)
            arm_eventfd(u);
        return;
    case TAG_WAKE_LOST: wake_by_eventfd(ptr); return;
    default: bug("a completion with a tag of nobody's");
    }
}

// --- the turn

static uint32_t sq_flags(const struct uring *u)
{
    return atomic_load_explicit((_Atomic uint32_t *)(void *)u->ring.sq.kflags,
                                memory_order_acquire);
}

// Something to deliver or to arm does not wait for the kernel.
static bool has_work(const struct uring *u)
{
    if (u->woken || u->batch_at < u->batch_count || !list_is_empty(&u->ended) || uring_has_lazy(u))
        return true;
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++)
        if (u->groups[cls].count > 0 && !list_is_empty(&u->groups[cls].parked))
            return true;
    return io_uring_cq_ready(&u->ring) > 0 || (sq_flags(u) & IORING_SQ_CQ_OVERFLOW) != 0;
}

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Looks into memory for completions, or for the kernel's sign that it has some, until `end_ns`.
static void spin(struct uring *u, uint64_t end_ns)
{
    const uint32_t signs = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    while (io_uring_cq_ready(&u->ring) == 0 && (sq_flags(u) & signs) == 0) {
        if (env_mono_ns(u->io.env) >= end_ns)
            return;
        pause_cpu();
    }
}

static void wait_for(struct uring *u, uint64_t until_ns)
{
    if (!list_is_empty(&u->paused))
        until_ns = min_u64(until_ns, u->accept_ns);
    if (has_work(u))
        until_ns = 0;
    uint64_t spin_ns = u->last_ns + u->io.spin_us * NS_PER_US;
    if (until_ns != 0 && u->io.spin_us > 0 && env_mono_ns(u->io.env) < spin_ns) {
        enter(u, false, 0);
        spin(u, min_u64(until_ns, spin_ns));
    }
    enter(u, until_ns != 0 && io_uring_cq_ready(&u->ring) == 0, until_ns);
    uring_entered(u);
}

static void arm_accept(struct uring *u, struct io_op *op)
{
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC);
    uring_arm(sqe, op);
}

static void arm_paused(struct uring *u)
{
    if (list_is_empty(&u->paused) || env_mono_ns(u->io.env) < u->accept_ns)
        return;
    for (struct list *node; (node = list_pop_front(&u->paused)) != NULL;) {
        struct io_op *op = container_of(node, struct io_op, link);
        op->state &= (uint8_t)~OP_PAUSED;
        arm_accept(u, op);
    }
}

// What ended without the kernel before this turn; what handlers add comes in the next one.
static void deliver_ended(struct uring *u)
{
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &u->ended);
    for (struct list *node;
         u->delivered < IO_TURN_MAX && (node = list_pop_front(&batch)) != NULL;) {
        struct io_op *op = container_of(node, struct io_op, link);
        uring_finish(u, op, (struct io_done){ .res = op->res });
    }
    list_splice(&batch, &u->ended);
    list_splice(&u->ended, &batch);
}

// Completions are copied before they are delivered, so that the kernel has its queue back while
// handlers submit.
static void deliver(struct uring *u)
{
    if (u->batch_at == u->batch_count) {
        u->batch_at = u->batch_count = 0;
        unsigned count = (unsigned)min_size(io_uring_cq_ready(&u->ring), IO_TURN_MAX);
        unsigned head = *u->ring.cq.khead;
        for (unsigned i = 0; i < count; i++) {
            const struct io_uring_cqe *cqe = &u->ring.cq.cqes[(head + i) & u->ring.cq.ring_mask];
            u->batch[i] = (struct uring_done){ cqe->user_data, cqe->res, cqe->flags };
        }
        io_uring_cq_advance(&u->ring, count);
        u->batch_count = count;
    }
    // One completion of the kernel's becomes at most two.
    while (u->batch_at < u->batch_count && u->delivered + 2 <= IO_TURN_MAX)
        on_completion(u, &u->batch[u->batch_at++]);
}

static void deliver_wake(struct uring *u)
{
    if (!u->woken)
        return;
    u->woken = false;
    // An exchange, so that what the wakers wrote before theirs is visible to on_wake().
    (void)atomic_exchange_explicit(&u->wake_pending, false, memory_order_acq_rel);
    if (u->io.on_wake != NULL)
        u->io.on_wake(u->io.on_wake_arg);
}

static unsigned uring_turn(struct io *io, uint64_t until_ns)
{
    struct uring *u = uring_of(io);
    u->turns++;
    u->delivered = 0;
    uring_refill(u);
    arm_paused(u);
    wait_for(u, until_ns);
    if (unlikely(sq_flags(u) & IORING_SQ_CQ_OVERFLOW))
        io->stats.overflows++;
    io_woke(io);
    deliver_ended(u);
    deliver(u);
    uring_tell_lazy(u);
    deliver_wake(u);
    if (io->spin_us > 0 && u->delivered > 0)
        u->last_ns = env_mono_ns(io->env);
    return u->delivered;
}

// --- what callers start

static void uring_accept(struct io *io, struct io_op *op)
{
    struct uring *u = uring_of(io);
    if (!uring_begin(u, op))
        return;
    if (u->accept_ns != 0 && env_mono_ns(io->env) < u->accept_ns) {
        op->state |= OP_PAUSED;
        list_push_back(&u->paused, &op->link);
        return;
    }
    u->accept_ns = 0;
    arm_accept(u, op);
}

static void uring_recv(struct io *io, struct io_op *op)
{
    struct uring *u = uring_of(io);
    if (uring_begin(u, op))
        uring_arm_recv(u, op);
}

static void uring_recv_into(struct io *io, struct io_op *op)
{
    struct uring *u = uring_of(io);
    if (!uring_begin(u, op))
        return;
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_recv(sqe, op->fd, op->into, op->into_len, 0);
    uring_arm(sqe, op);
}

static void uring_connect(struct io *io, struct io_op *op, const struct sockaddr *addr,
                          socklen_t len)
{
    struct uring *u = uring_of(io);
    u->in_flight++;
    op->fd = sock_make_blocking(addr->sa_family);
    if (op->fd < 0) {
        uring_end_later(u, op, op->fd);
        return;
    }
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_connect(sqe, op->fd, addr, len);
    uring_arm(sqe, op);
}

static void uring_poll(struct io *io, struct io_op *op, uint32_t events)
{
    struct uring *u = uring_of(io);
    u->in_flight++;
    u->polls++;
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_poll_add(sqe, op->fd, events);
    uring_arm(sqe, op);
}

static void uring_cancel(struct io *io, struct io_op *op)
{
    cancel(uring_of(io), op);
}

static void uring_shutdown(struct io *io, int fd)
{
    (void)io;
    (void)shutdown(fd, SHUT_WR); // ENOTCONN: the peer was faster
}

// A close alone would send no FIN while an armed operation holds the socket.
static void uring_close(struct io *io, int fd, bool reset)
{
    struct uring *u = uring_of(io);
    struct uring_slot *slot = slot_of(u, fd);
    if (slot != NULL) {
        if (slot->in != NULL)
            cancel(u, slot->in);
        if (slot->out != NULL)
            cancel(u, slot->out);
        *slot = (struct uring_slot){ 0 }; // the number may come back before their last completions
    }
    if (reset)
        sock_discard(fd);
    if (u->polls > 0) { // these are in no slot
        struct io_uring_sqe *sqe = uring_sqe(u);
        io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        tag(sqe, NULL, TAG_OP);
    }
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    tag(sqe, NULL, TAG_OP);
}

static struct err uring_listen(struct io *io, const struct sockaddr *addr, socklen_t len,
                               int backlog, int *fd_out)
{
    (void)io;
    TRY(sock_listen(addr, len, backlog, fd_out));
    sock_block(*fd_out);
    return OK;
}

static void uring_wake(struct io *io, struct io *from);
static void uring_free(struct io *io);

static const struct io_ops uring_ops = {
    .free = uring_free,
    .listen = uring_listen,
    .accept = uring_accept,
    .recv = uring_recv,
    .recv_into = uring_recv_into,
    .send = uring_send,
    .recv_now = sock_recv_now,
    .send_now = sock_send_now,
    .connect = uring_connect,
    .poll = uring_poll,
    .cancel = uring_cancel,
    .shutdown = uring_shutdown,
    .close = uring_close,
    .wake = uring_wake,
    .turn = uring_turn,
};

static void uring_wake(struct io *io, struct io *from)
{
    struct uring *u = uring_of(io);
    if (atomic_exchange_explicit(&u->wake_pending, true, memory_order_acq_rel))
        return; // that wake is still to be taken, and what the caller wrote will be seen with it
    if (from == io) {
        u->woken = true;
    } else if (from != NULL && from->ops == &uring_ops) {
        struct io_uring_sqe *sqe = uring_sqe(uring_of(from));
        io_uring_prep_msg_ring(sqe, u->ring.ring_fd, 0, TAG_WAKE, 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        tag(sqe, u, TAG_WAKE_LOST);
    } else {
        wake_by_eventfd(u);
    }
}

// --- birth and death

static void uring_free(struct io *io)
{
    struct uring *u = uring_of(io);
    assert(u->in_flight == 0);
    if (u->ring.ring_fd >= 0) {
        // Closes and wakes for others may be left in the queue.
        for (unsigned tries = 0; publish(&u->ring) > 0 && tries < URING_SUBMIT_TRIES; tries++)
            submit(u);
        uring_exit(&u->ring);
    }
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++)
        uring_group_fini(&u->groups[cls], &u->io.bufs, (enum buf_class)cls);
    bufpool_fini(&u->io.bufs);
    slab_fini(&u->msgs);
    if (u->eventfd >= 0)
        verify(close(u->eventfd) == 0);
    if (u->slots != NULL)
        verify(munmap(u->slots, u->slot_count * sizeof(struct uring_slot)) == 0);
    mem_give(u);
}

static bool slots_init(struct uring *u)
{
    struct rlimit limit;
    verify(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    u->slot_count = (uint32_t)min_u64(limit.rlim_max, URING_FDS_MAX);
    void *slots = mmap(NULL, u->slot_count * sizeof(struct uring_slot), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    u->slots = slots != MAP_FAILED ? slots : NULL;
    if (u->slots != NULL) // a huge page would be 2 MB for a few descriptors
        (void)madvise(u->slots, u->slot_count * sizeof(struct uring_slot), MADV_NOHUGEPAGE);
    return u->slots != NULL;
}

static struct err init(struct uring *u, const struct io_config *config,
                       const struct uring_limits *limits, struct why why)
{
    uint32_t entries = config->entries != 0 ? config->entries : URING_ENTRIES_DEFAULT;
    assert((entries & (entries - 1)) == 0);
    assert(entries <= URING_ENTRIES_MAX);
    uint32_t small = config->bufs_small != 0 ? config->bufs_small : IO_BUFS_SMALL_DEFAULT;
    uint32_t large = config->bufs_large != 0 ? config->bufs_large : IO_BUFS_LARGE_DEFAULT;

    TRY(uring_open(&u->ring, &u->caps, entries, limits, why));
    TRY(bufpool_init(&u->io.bufs, small, large));
    TRY(uring_group_init(&u->groups[BUF_SMALL], &u->ring, BUF_SMALL, small, why));
    TRY(uring_group_init(&u->groups[BUF_LARGE], &u->ring, BUF_LARGE, large, why));
    TRY(uring_enable(&u->ring, &u->caps, limits, why));
    u->caps.abs_timer = u->caps.abs_timer && u->io.env == env_system(); // whose clock it goes by
    if (!slots_init(u))
        return ERR_SYS(NO_MEMORY, errno);
    u->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (u->eventfd < 0)
        return ERR_SYS(SYSTEM, errno);
    slab_init(&u->msgs, sizeof(struct uring_msg), URING_FDS_MAX);
    arm_eventfd(u);
    uring_refill(u);
    return OK;
}

struct err uring_new(struct io **out, const struct io_config *config,
                     const struct uring_limits *limits, struct env *env, struct why why)
{
    *out = NULL;
    struct uring *u = mem_take(1, sizeof(*u));
    if (u == NULL)
        return ERR(NO_MEMORY);
    u->io = (struct io){
        .ops = &uring_ops,
        .backend = IO_BACKEND_URING,
        .env = env,
        .spin_us = config->spin_us,
    };
    u->ring.ring_fd = -1;
    u->eventfd = -1;
    list_init(&u->ended);
    list_init(&u->paused);
    list_init(&u->lazy);
    struct err err = init(u, config, limits, why);
    if (failed(err)) {
        uring_free(&u->io);
        return err;
    }
    snprintf(u->io.note, sizeof(u->io.note), "io_uring with %s; %s; %s",
             uring_flags_text(u->caps.setup_flags), uring_recv_text(u->caps.recv),
             u->caps.restricted ? "restricted to its operations" : "operations not restricted");
    *out = &u->io;
    return OK;
}

struct err io_uring_new(struct io **out, const struct io_config *config, struct env *env, char *why,
                        size_t cap)
{
    return uring_new(out, config, &(struct uring_limits){ 0 }, env, (struct why){ why, cap });
}

const struct uring_caps *uring_caps(const struct io *io)
{
    assert(io->ops == &uring_ops);
    return &container_of(io, const struct uring, io)->caps;
}
