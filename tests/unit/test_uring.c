// What is io_uring's own: the paths of older kernels, the population of the buffer rings, full
// queues, and what ends without the kernel. What io.h promises of every backend is tried by the
// test_io_* scripts.
#include "uring_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROBES_MAX = 1024 };

// An operation that records what it is told.
struct probe {
    struct io_op op;
    unsigned calls, ends;
    int res;
    uint64_t total;
    bool hold;
    struct buf *held[64];
    unsigned held_count;
    int fds[PROBES_MAX];
    unsigned fd_count;
    uint8_t next; // byte that the peer's pattern goes on with
    unsigned torn;
    void (*then)(struct probe *probe);
    struct rig *rig;
};

static void on_done(struct io_op *op, struct io_done done)
{
    struct probe *probe = container_of(op, struct probe, op);
    probe->calls++;
    probe->res = done.res;
    EXPECT(op->in_flight == ((done.flags & IO_MORE) != 0));
    if ((done.flags & IO_MORE) == 0)
        probe->ends++;
    if (done.buf != NULL) {
        EXPECT(op->kind == IO_RECV && done.res > 0);
        EXPECT(done.res <= (int)done.buf->cap);
        for (int i = 0; i < done.res; i++)
            probe->torn += (uint8_t)done.buf->data[i] != probe->next++;
        probe->total += (uint64_t)done.res;
        if (probe->hold && probe->held_count < ARRAY_LEN(probe->held))
            probe->held[probe->held_count++] = done.buf;
        else
            buf_put(done.buf);
    }
    if (op->kind == IO_ACCEPT && done.res >= 0 && probe->fd_count < PROBES_MAX)
        probe->fds[probe->fd_count++] = done.res;
    if (probe->then != NULL)
        probe->then(probe);
}

static struct probe *probe_new(struct rig *rig)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    verify(probe != NULL);
    probe->op.on_done = on_done;
    probe->rig = rig;
    return probe;
}

static void probe_release(struct probe *probe)
{
    while (probe->held_count > 0)
        buf_put(probe->held[--probe->held_count]);
}

static void pattern_send(int fd, size_t len)
{
    static char bytes[1 << 20];
    static bool filled;
    for (size_t i = 0; !filled && i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    filled = true;
    verify(len <= sizeof(bytes));
    verify(send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len);
}

// A connected pair with room for `len` bytes on the way. The first is for the io.
static void pair_open(int fds[2], int len)
{
    verify(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    if (len > 0)
        verify(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &len, sizeof(len)) == 0);
}

static struct sockaddr_in loopback(void)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static int listen_on(struct rig *rig, struct sockaddr_in *addr, int backlog)
{
    int fd = -1;
    *addr = loopback();
    struct err err = io_listen(rig->io, (struct sockaddr *)addr, sizeof(*addr), backlog, &fd);
    verify(!failed(err));
    socklen_t len = sizeof(*addr);
    verify(getsockname(fd, (struct sockaddr *)addr, &len) == 0);
    return fd;
}

static int dial(const struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    verify(fd >= 0);
    verify(connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0);
    return fd;
}

// --- what every kernel must do, with the means of each

static void test_variants_take_what_they_are_left(void)
{
    static const enum uring_recv recvs[] = { URING_RECV_CAPPED, URING_RECV_MULTI, URING_RECV_MULTI,
                                             URING_RECV_ONE, URING_RECV_ONE };
    static const char *const flags[] = { "SINGLE_ISSUER, DEFER_TASKRUN",
                                         "SINGLE_ISSUER, DEFER_TASKRUN",
                                         "SINGLE_ISSUER, COOP_TASKRUN", "COOP_TASKRUN",
                                         "no task work flags" };
    for (size_t i = 0; i < ARRAY_LEN(variants); i++) {
        struct rig rig;
        rig_open(&rig, &variants[i], (struct io_config){ 0 });
        const struct uring_caps *caps = uring_caps(rig.io);
        EXPECT_SPAN(span_str(uring_flags_text(caps->setup_flags)), flags[i]);
        EXPECT_EQ(caps->recv, recvs[i]);
        EXPECT_EQ(caps->restricted, !variants[i].limits.no_restrictions);
        EXPECT_EQ(caps->ring_fd, !variants[i].limits.no_ring_fd);
        EXPECT(strstr(io_note(rig.io), flags[i]) != NULL);
        EXPECT_EQ(io_backend(rig.io), IO_BACKEND_URING);
        rig_close(&rig);
    }
}

static void accept_pair(struct rig *rig, struct probe *acceptor, const struct sockaddr_in *addr,
                        int fds[2])
{
    unsigned before = acceptor->fd_count;
    fds[1] = dial(addr);
    turn_until(rig, acceptor->fd_count > before);
    fds[0] = acceptor->fds[before];
}

static void echo_on(const struct variant *variant)
{
    struct rig rig;
    struct sockaddr_in addr;
    int fds[2];
    rig_open(&rig, variant, (struct io_config){ 0 });
    int listener = listen_on(&rig, &addr, 16);
    struct probe *acceptor = probe_new(&rig), *in = probe_new(&rig), *out = probe_new(&rig);
    io_accept(rig.io, &acceptor->op, listener);
    accept_pair(&rig, acceptor, &addr, fds);
    int on = 0;
    socklen_t len = sizeof(on);
    EXPECT_EQ(getsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    EXPECT_EQ(on, 1);

    io_recv(rig.io, &in->op, fds[0], BUF_SMALL, 1000000);
    pattern_send(fds[1], 30000);
    turn_until(&rig, in->total == 30000);
    EXPECT_EQ(in->torn, 0);
    EXPECT(in->op.in_flight);

    struct iovec iov[IO_SEGMENTS_MAX];
    char bytes[IO_SEGMENTS_MAX * 100], got[sizeof(bytes)];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7);
    for (int i = 0; i < IO_SEGMENTS_MAX; i++)
        iov[i] = (struct iovec){ bytes + i * 100, 100 };
    io_send(rig.io, &out->op, fds[0], iov, IO_SEGMENTS_MAX);
    turn_until(&rig, out->ends == 1);
    EXPECT_EQ(out->res, (int)sizeof(bytes));
    EXPECT_EQ(recv(fds[1], got, sizeof(got), MSG_WAITALL), (ssize_t)sizeof(got));
    EXPECT(memcmp(bytes, got, sizeof(got)) == 0);
    io_send(rig.io, &out->op, fds[0], iov, 1);
    turn_until(&rig, out->ends == 2);
    EXPECT_EQ(out->res, 100);
    EXPECT_EQ(recv(fds[1], got, sizeof(got), 0), 100);

    shutdown(fds[1], SHUT_WR);
    turn_until(&rig, in->ends == 1);
    EXPECT_EQ(in->res, 0);
    io_close(rig.io, fds[0], false);
    io_close(rig.io, listener, false);
    turn_until(&rig, acceptor->ends == 1);
    EXPECT_EQ(acceptor->res, -ECANCELED);
    EXPECT_EQ(recv(fds[1], got, sizeof(got), 0), 0);
    close(fds[1]);
    rig_close(&rig);
    free(acceptor);
    free(in);
    free(out);
}

static void test_echo_on_every_kernel(void)
{
    for (size_t i = 0; i < ARRAY_LEN(variants); i++)
        echo_on(&variants[i]);
}

// A queue full of bytes, and a credit that is smaller: exactly the credit comes, where the means
// allow it, and the end is data without IO_MORE in any case.
static void credit_on(const struct variant *variant, enum buf_class cls, uint32_t credit)
{
    struct rig rig;
    int fds[2];
    rig_open(&rig, variant, (struct io_config){ 0 });
    bool exact = uring_caps(rig.io)->recv != URING_RECV_MULTI || credit < IO_CREDIT_FULL;
    pair_open(fds, 1 << 20);
    struct probe *in = probe_new(&rig);
    pattern_send(fds[1], credit + 20000);
    io_recv(rig.io, &in->op, fds[0], cls, credit);
    turn_until(&rig, in->ends == 1);
    for (int i = 0; i < 5; i++)
        io_turn(rig.io, now(&rig) + NS_PER_MS);
    EXPECT_EQ(in->ends, 1);
    EXPECT(in->res > 0);
    EXPECT_EQ(in->torn, 0);
    if (exact && in->total != credit)
        fprintf(stderr, "%s: class %d: credit %u\n", variant->name, cls, credit);
    EXPECT(in->total >= credit);
    EXPECT(!exact || in->total == credit);
    io_recv(rig.io, &in->op, fds[0], cls, 1 << 20); // nothing was lost between the two
    turn_until(&rig, in->total == credit + 20000);
    EXPECT_EQ(in->torn, 0);
    io_close(rig.io, fds[0], false);
    turn_until(&rig, in->ends == 2);
    close(fds[1]);
    rig_close(&rig);
    free(in);
}

static void test_a_credit_is_kept_on_every_kernel(void)
{
    static const uint32_t credits[] = { 1, 4095, 4096, 4097, 8191, 16384, 20000, 65536, 150000 };
    for (size_t i = 0; i < ARRAY_LEN(variants); i++)
        for (size_t j = 0; j < ARRAY_LEN(credits); j++)
            credit_on(&variants[i], j % 2 == 0 ? BUF_SMALL : BUF_LARGE, credits[j]);
}

// An uncapped multishot whose credit is used up, and FIN, a reset or a cancel at that moment: the
// kept buffer is told, and so is what came.
static void test_the_end_of_an_uncapped_receive(void)
{
    for (int how = 0; how < 4; how++) {
        struct rig rig;
        struct sockaddr_in addr;
        int fds[2];
        rig_open(&rig, &variants[1], (struct io_config){ 0 });
        int listener = listen_on(&rig, &addr, 16);
        struct probe *acceptor = probe_new(&rig), *in = probe_new(&rig);
        io_accept(rig.io, &acceptor->op, listener);
        accept_pair(&rig, acceptor, &addr, fds);
        io_recv(rig.io, &in->op, fds[0], BUF_LARGE, IO_CREDIT_FULL);
        io_turn(rig.io, 0);
        pattern_send(fds[1], IO_CREDIT_FULL);
        turn_until(&rig, in->op.credit == 0);
        struct linger linger = { .l_onoff = 1 };
        switch (how) {
        case 0: break;
        case 1: shutdown(fds[1], SHUT_WR); break;
        case 2:
            setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
            close(fds[1]);
            break;
        default: io_cancel(rig.io, &in->op); break;
        }
        turn_until(&rig, in->ends == 1);
        EXPECT_EQ(in->total, IO_CREDIT_FULL);
        EXPECT_EQ(in->torn, 0);
        EXPECT(how == 1 || how == 2 || in->res > 0);
        EXPECT(how != 1 || in->res >= 0);
        EXPECT(how != 2 || in->res > 0 || in->res == -ECONNRESET);
        io_close(rig.io, fds[0], false);
        io_close(rig.io, listener, false);
        turn_until(&rig, acceptor->ends == 1);
        if (how != 2)
            close(fds[1]);
        rig_close(&rig);
        free(acceptor);
        free(in);
    }
}

// --- buffers

// All buffers are held by handlers: receives wait without a busy loop, a sender still finds a
// buffer, and everything goes on when buffers come back.
static void test_receives_wait_for_buffers_without_spinning(void)
{
    enum { SMALL = 64, SOCKETS = 40 };
    for (size_t v = 0; v < ARRAY_LEN(variants); v++) {
        struct rig rig;
        int fds[SOCKETS][2];
        struct probe *probes[SOCKETS];
        rig_open(&rig, &variants[v], (struct io_config){ .bufs_small = SMALL, .bufs_large = 1 });
        unsigned held = 0;
        for (int i = 0; i < SOCKETS; i++) {
            pair_open(fds[i], 0);
            probes[i] = probe_new(&rig);
            probes[i]->hold = true;
            pattern_send(fds[i][1], 3 * BUF_SMALL_BYTES);
            io_recv(rig.io, &probes[i]->op, fds[i][0], BUF_SMALL, 100 * BUF_SMALL_BYTES);
        }
        turn_until(&rig, ({
            held = 0;
            for (int i = 0; i < SOCKETS; i++)
                held += probes[i]->held_count;
            held == SMALL - SMALL / URING_RESERVE_SHARE;
        }));
        struct buf *buf = bufpool_take(io_bufs(rig.io), BUF_SMALL);
        EXPECT(buf != NULL);
        buf_put(buf);
        EXPECT(io_stats(rig.io)->no_buffers > 0);

        for (int i = 0; i < 3; i++)
            io_turn(rig.io, 0);
        uint64_t syscalls = io_stats(rig.io)->syscalls, start = now(&rig);
        EXPECT_EQ(io_turn(rig.io, start + 50 * NS_PER_MS), 0);
        EXPECT(now(&rig) - start >= 50 * NS_PER_MS);
        EXPECT_EQ(io_stats(rig.io)->syscalls, syscalls + 1);

        io_cancel(rig.io, &probes[0]->op); // parked or armed
        for (int i = 0; i < SOCKETS; i++) {
            probes[i]->hold = false;
            probe_release(probes[i]);
        }
        turn_until(&rig, probes[0]->ends == 1);
        for (int i = 1; i < SOCKETS; i++)
            turn_until(&rig, probes[i]->total == 3 * BUF_SMALL_BYTES);
        for (int i = 0; i < SOCKETS; i++) {
            io_close(rig.io, fds[i][0], false);
            close(fds[i][1]);
            turn_until(&rig, !probes[i]->op.in_flight);
            EXPECT_EQ(probes[i]->torn, 0);
            free(probes[i]);
        }
        rig_close(&rig);
    }
}

// A burst makes the population grow, a calm lets it fall back, and nothing is taken that the burst
// did not need.
static void test_the_population_follows_the_load(void)
{
    enum { BURST = 600000 };
    struct rig rig;
    int fds[2];
    rig_open(&rig, &variants[0], (struct io_config){ .bufs_small = 1024 });
    struct uring_group *group = &rig_uring(&rig)->groups[BUF_SMALL];
    EXPECT_EQ(group->count, URING_SMALL_MIN);
    EXPECT_EQ(io_bufs(rig.io)->cls[BUF_SMALL].count_used, URING_SMALL_MIN);
    pair_open(fds, 1 << 20);
    struct probe *in = probe_new(&rig);
    pattern_send(fds[1], BURST);
    io_recv(rig.io, &in->op, fds[0], BUF_SMALL, IO_CREDIT_MAX);
    turn_until(&rig, in->total == BURST);
    EXPECT(group->target > URING_SMALL_MIN);
    EXPECT(group->target <= group->entries);
    uint32_t peak = group->target;
    for (int i = 0; i < 4 * URING_FILLS_CALM * URING_FILL_TURNS; i++)
        io_turn(rig.io, 0);
    EXPECT(group->target < peak);
    EXPECT_EQ(group->target, URING_SMALL_MIN);
    uint32_t used = io_bufs(rig.io)->cls[BUF_SMALL].count_used;
    for (int i = 0; i < 3000; i++) { // one at a time, it goes round in the warm ones
        pattern_send(fds[1], 10);
        in->next = 0;
        turn_until(&rig, in->total == BURST + 10 * (uint64_t)(i + 1));
    }
    EXPECT(group->count < URING_SMALL_MIN); // they are replaced a few together
    EXPECT(group->count >= URING_SMALL_MIN - URING_SMALL_MIN / URING_FILL_SHARE - 1);
    EXPECT_EQ(io_bufs(rig.io)->cls[BUF_SMALL].count_used, used);
    io_close(rig.io, fds[0], false);
    turn_until(&rig, in->ends == 1);
    close(fds[1]);
    rig_close(&rig);
    free(in);
}

// --- full queues

static void count_wake(void *arg)
{
    (*(unsigned *)arg)++;
}

struct crowd {
    struct rig rig;
    int pipe[2];
    unsigned count, started;
    struct probe *probes[PROBES_MAX];
};

static void crowd_start(struct crowd *crowd, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        io_poll(crowd->rig.io, &crowd->probes[crowd->started++]->op, crowd->pipe[0], POLLIN);
}

static unsigned crowd_ends(const struct crowd *crowd)
{
    unsigned ends = 0;
    for (unsigned i = 0; i < crowd->count; i++)
        ends += crowd->probes[i]->ends;
    return ends;
}

static void crowd_open(struct crowd *crowd, const struct variant *variant, uint32_t entries,
                       unsigned count)
{
    *crowd = (struct crowd){ .count = count };
    rig_open(&crowd->rig, variant, (struct io_config){ .entries = entries });
    verify(pipe2(crowd->pipe, O_CLOEXEC) == 0);
    for (unsigned i = 0; i < count; i++)
        crowd->probes[i] = probe_new(&crowd->rig);
}

static void crowd_close(struct crowd *crowd)
{
    close(crowd->pipe[0]);
    close(crowd->pipe[1]);
    rig_close(&crowd->rig);
    for (unsigned i = 0; i < crowd->count; i++)
        free(crowd->probes[i]);
}

// More is started at once than either queue has entries; all of it completes, once.
static void test_full_queues_lose_nothing(void)
{
    uint64_t overflows = 0;
    unsigned wakes = 0;
    for (size_t v = 0; v < ARRAY_LEN(variants); v++) {
        static struct crowd crowd;
        crowd_open(&crowd, &variants[v], 8, 900);
        io_on_wake(crowd.rig.io, count_wake, &wakes);
        wakes = 0;
        crowd_start(&crowd, 900);
        io_turn(crowd.rig.io, 0);
        EXPECT_EQ(crowd_ends(&crowd), 0);
        verify(write(crowd.pipe[1], "x", 1) == 1);
        io_wake(crowd.rig.io, NULL);
        turn_until(&crowd.rig, crowd_ends(&crowd) == 900);
        turn_until(&crowd.rig, wakes == 1);
        io_wake(crowd.rig.io, NULL); // the overflow may have ended the poll for these
        turn_until(&crowd.rig, wakes >= 2);
        for (unsigned i = 0; i < 900; i++)
            EXPECT(crowd.probes[i]->calls == 1 && crowd.probes[i]->res == POLLIN);
        overflows += io_stats(crowd.rig.io)->overflows;
        crowd_close(&crowd);
    }
    EXPECT(overflows > 0); // some variant did come to it
}

// What ends without the kernel counts too: here connects to an address of no family.
static void test_a_turn_delivers_a_bounded_number(void)
{
    enum { LATE = 300 };
    const struct sockaddr nowhere = { .sa_family = AF_MAX };
    for (size_t v = 0; v < ARRAY_LEN(variants); v++) {
        static struct crowd crowd;
        crowd_open(&crowd, &variants[v], 1024, 1000);
        verify(write(crowd.pipe[1], "x", 1) == 1);
        for (unsigned i = 0; i < LATE; i++)
            io_connect(crowd.rig.io, &crowd.probes[crowd.started++]->op, &nowhere, sizeof(nowhere));
        crowd_start(&crowd, 1000 - LATE);
        unsigned most = 0, total = 0;
        for (int i = 0; i < 1000 && total < 1000; i++) {
            unsigned count = io_turn(crowd.rig.io, now(&crowd.rig) + NS_PER_S);
            most = count > most ? count : most;
            total += count;
        }
        EXPECT_EQ(total, 1000);
        EXPECT_EQ(crowd_ends(&crowd), 1000);
        EXPECT(most <= IO_TURN_MAX && most > IO_TURN_MAX - 2);
        EXPECT_EQ(crowd.probes[0]->res, -EAFNOSUPPORT);
        crowd_close(&crowd);
    }
}

static struct crowd *nested;

static void start_the_rest(struct probe *probe)
{
    (void)probe;
    crowd_start(nested, nested->count - nested->started);
}

// A handler starts more than the submission queue takes.
static void test_a_handler_may_fill_the_queue(void)
{
    static struct crowd crowd;
    crowd_open(&crowd, &variants[0], 8, 500);
    verify(write(crowd.pipe[1], "x", 1) == 1);
    nested = &crowd;
    crowd.probes[0]->then = start_the_rest;
    crowd_start(&crowd, 1);
    turn_until(&crowd.rig, crowd_ends(&crowd) == 500);
    crowd_close(&crowd);
}

// --- descriptors

static unsigned fds_open(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

// A socket is closed, and its number comes back, before its receive was told of its end: the new
// socket's receive is another one.
static void test_a_number_comes_back_before_the_end_is_told(void)
{
    struct rig rig;
    int first[2], second[2], keep[2];
    rig_open(&rig, &variants[0], (struct io_config){ .entries = 8, .bufs_small = 1 });
    struct probe *keeper = probe_new(&rig), *old = probe_new(&rig), *fresh = probe_new(&rig);
    keeper->hold = true; // the only buffer, so that the others wait
    pair_open(keep, 0);
    pattern_send(keep[1], 1);
    io_recv(rig.io, &keeper->op, keep[0], BUF_SMALL, 1);
    turn_until(&rig, keeper->ends == 1);
    pair_open(first, 0);
    io_recv(rig.io, &old->op, first[0], BUF_SMALL, 100);
    io_turn(rig.io, 0);
    io_close(rig.io, first[0], false);
    for (int i = 0; i < 16; i++) // fill the queue, so that the close is handed over
        io_close(rig.io, dup(keep[1]), false);
    EXPECT(old->op.in_flight);
    pair_open(second, 0);
    EXPECT_EQ(second[0], first[0]);
    io_recv(rig.io, &fresh->op, second[0], BUF_SMALL, 100);
    pattern_send(second[1], 100);
    turn_until(&rig, old->ends == 1);
    EXPECT_EQ(old->res, -ECANCELED);
    EXPECT(fresh->op.in_flight);
    probe_release(keeper);
    turn_until(&rig, fresh->ends == 1);
    EXPECT_EQ(fresh->total, 100);
    EXPECT_EQ(old->total, 0);
    io_close(rig.io, second[0], false);
    io_close(rig.io, keep[0], false);
    io_turn(rig.io, 0);
    close(first[1]);
    close(second[1]);
    close(keep[1]);
    rig_close(&rig);
    free(keeper);
    free(old);
    free(fresh);
}

// Without descriptors an accept ends with EMFILE. Started again at once it waits a moment, so that
// it does not spin, and goes on when there are some.
static void test_an_accept_without_descriptors_pauses(void)
{
    struct rig rig;
    struct sockaddr_in addr;
    rig_open(&rig, &variants[0], (struct io_config){ 0 });
    int listener = listen_on(&rig, &addr, 16);
    struct probe *acceptor = probe_new(&rig);
    int peer = dial(&addr); // it took the lowest free number, so none is free below the limit
    struct rlimit limit, low;
    verify(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    low = limit;
    low.rlim_cur = (rlim_t)peer + 1;
    verify(setrlimit(RLIMIT_NOFILE, &low) == 0);
    io_accept(rig.io, &acceptor->op, listener);
    turn_until(&rig, acceptor->ends == 1);
    EXPECT_EQ(acceptor->res, -EMFILE);
    uint64_t start = now(&rig);
    io_accept(rig.io, &acceptor->op, listener);
    uint64_t syscalls = io_stats(rig.io)->syscalls;
    for (int i = 0; i < 10 && acceptor->ends == 1; i++)
        io_turn(rig.io, start + 5 * NS_PER_S);
    EXPECT_EQ(acceptor->ends, 2);
    EXPECT(now(&rig) - start >= URING_ACCEPT_PAUSE_NS - NS_PER_MS);
    EXPECT(now(&rig) - start < 3 * NS_PER_S);
    EXPECT(io_stats(rig.io)->syscalls - syscalls < 5);
    io_accept(rig.io, &acceptor->op, listener);
    verify(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    turn_until(&rig, acceptor->fd_count == 1);
    io_cancel(rig.io, &acceptor->op);
    turn_until(&rig, acceptor->ends == 3);
    io_close(rig.io, acceptor->fds[0], false);
    io_close(rig.io, listener, false);
    io_turn(rig.io, 0);
    close(peer);
    rig_close(&rig);
    free(acceptor);
}

// A paused accept can be cancelled and closed like any other.
static void test_a_paused_accept_can_end(void)
{
    struct rig rig;
    struct sockaddr_in addr;
    rig_open(&rig, &variants[0], (struct io_config){ 0 });
    int listener = listen_on(&rig, &addr, 16);
    struct probe *acceptor = probe_new(&rig);
    for (int i = 0; i < 2; i++) {
        rig_uring(&rig)->accept_ns = now(&rig) + 60 * NS_PER_S;
        io_accept(rig.io, &acceptor->op, listener);
        io_turn(rig.io, 0);
        EXPECT(acceptor->op.in_flight);
        if (i == 0)
            io_cancel(rig.io, &acceptor->op);
        else
            io_close(rig.io, listener, false);
        EXPECT(acceptor->op.in_flight); // not before a turn
        io_turn(rig.io, 0);
        EXPECT(!acceptor->op.in_flight);
        EXPECT_EQ(acceptor->res, -ECANCELED);
    }
    rig_close(&rig);
    free(acceptor);
}

// Nothing is left of connects that fail or are given up, whatever stage they are in.
static void test_a_failed_connect_leaves_no_descriptor(void)
{
    for (size_t v = 0; v < ARRAY_LEN(variants); v++) {
        struct rig rig;
        struct sockaddr_in addr;
        rig_open(&rig, &variants[v], (struct io_config){ 0 });
        unsigned before = fds_open();
        struct probe *probe = probe_new(&rig);
        int listener = listen_on(&rig, &addr, 1);
        for (int i = 0; i < 2; i++) { // given up before and after it was handed over
            io_connect(rig.io, &probe->op, (struct sockaddr *)&addr, sizeof(addr));
            if (i == 1)
                io_turn(rig.io, 0);
            if (probe->op.in_flight) {
                io_cancel(rig.io, &probe->op);
                turn_until(&rig, !probe->op.in_flight);
                EXPECT_EQ(probe->res, -ECANCELED);
            } else {
                EXPECT(probe->res >= 0);
                io_close(rig.io, probe->res, false);
            }
        }
        io_close(rig.io, listener, false);
        io_turn(rig.io, 0);
        io_connect(rig.io, &probe->op, (struct sockaddr *)&addr, sizeof(addr));
        turn_until(&rig, !probe->op.in_flight);
        EXPECT_EQ(probe->res, -ECONNREFUSED);
        EXPECT_EQ(fds_open(), before);
        rig_close(&rig);
        free(probe);
    }
}

// --- time

static void test_a_turn_waits_as_long_as_it_is_told(void)
{
    for (size_t v = 0; v < ARRAY_LEN(variants); v++) {
        struct rig rig;
        rig_open(&rig, &variants[v], (struct io_config){ 0 });
        io_turn(rig.io, 0);
        uint64_t start = now(&rig);
        EXPECT_EQ(io_turn(rig.io, start + 30 * NS_PER_MS), 0);
        uint64_t end = now(&rig);
        EXPECT(end - start >= 30 * NS_PER_MS);
        EXPECT(end - start < 3 * NS_PER_S);
        EXPECT_EQ(io_turn(rig.io, start), 0); // past
        EXPECT_EQ(io_turn(rig.io, 0), 0);
        EXPECT(now(&rig) - end < NS_PER_S);
        rig_close(&rig);
    }
}

struct writer {
    int fd;
    unsigned delay_ms;
};

static void *write_later(void *arg)
{
    struct writer *writer = arg;
    usleep(writer->delay_ms * 1000);
    verify(write(writer->fd, "x", 1) == 1);
    return NULL;
}

// While it looks into memory, a turn makes no system calls; when the time is over, it sleeps.
static void test_a_busy_poll_is_bounded_and_makes_no_calls(void)
{
    struct rig rig;
    int fds[2];
    rig_open(&rig, &variants[0], (struct io_config){ .spin_us = 60000 });
    pair_open(fds, 0);
    struct probe *in = probe_new(&rig);
    io_recv(rig.io, &in->op, fds[0], BUF_SMALL, 100000);
    for (unsigned delay_ms = 20; delay_ms <= 120; delay_ms += 100) {
        verify(write(fds[1], "x", 1) == 1);
        uint64_t total = in->total + 1;
        in->next = 'x';
        turn_until(&rig, in->total == total);
        in->next = 'x';
        struct writer writer = { fds[1], delay_ms };
        pthread_t thread;
        verify(pthread_create(&thread, NULL, write_later, &writer) == 0);
        struct timespec before, after;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
        uint64_t syscalls = io_stats(rig.io)->syscalls;
        EXPECT_EQ(io_turn(rig.io, now(&rig) + 5 * NS_PER_S), 1);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
        EXPECT(io_stats(rig.io)->syscalls - syscalls <= 2);
        int64_t cpu_us =
            (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
        EXPECT(cpu_us > 1000);         // it did spin
        EXPECT(cpu_us < 60000 + 5000); // and not for longer
        EXPECT_EQ(in->total, total + 1);
        pthread_join(thread, NULL);
    }
    io_close(rig.io, fds[0], false);
    turn_until(&rig, in->ends == 1);
    close(fds[1]);
    rig_close(&rig);
    free(in);
}

// A lazy send that fits does not end the wait that it is handed over with; its end is told when
// that is over. One that does not fit, and one that fails, do.
static void test_a_lazy_send_does_not_end_a_wait(void)
{
    for (size_t i = 0; i < ARRAY_LEN(variants); i++) {
        struct rig rig;
        int fds[2];
        rig_open(&rig, &variants[i], (struct io_config){ 0 });
        bool quiet = uring_caps(rig.io)->quiet_send;
        EXPECT_EQ(quiet, !variants[i].limits.no_quiet_send);
        pair_open(fds, 0);
        struct probe *out = probe_new(&rig);
        char hello[] = "hello";
        struct iovec iov = { hello, 5 };
        io_send_lazy(rig.io, &out->op, fds[0], &iov, 1);
        uint64_t began = now(&rig), syscalls = io_stats(rig.io)->syscalls;
        EXPECT_EQ(io_turn(rig.io, began + 30 * NS_PER_MS), 1);
        EXPECT_EQ(io_stats(rig.io)->syscalls - syscalls, 1);
        EXPECT(!quiet || now(&rig) - began >= 29 * NS_PER_MS);
        EXPECT_EQ(out->ends, 1);
        EXPECT_EQ(out->res, 5);
        char got[8];
        EXPECT_EQ(read(fds[1], got, sizeof(got)), 5);

        close(fds[1]);
        began = now(&rig);
        io_send_lazy(rig.io, &out->op, fds[0], &iov, 1);
        EXPECT_EQ(io_turn(rig.io, began + 5 * NS_PER_S), 1);
        EXPECT(now(&rig) - began < NS_PER_S);
        EXPECT_EQ(out->ends, 2);
        EXPECT_EQ(out->res, -EPIPE);

        // Closed before it was handed over: it ends all the same, and soon.
        close(fds[0]);
        pair_open(fds, 0);
        io_send_lazy(rig.io, &out->op, fds[0], &iov, 1);
        io_close(rig.io, fds[0], false);
        began = now(&rig);
        while (out->ends < 3 && now(&rig) < began + 5 * NS_PER_S)
            io_turn(rig.io, began + 5 * NS_PER_S);
        EXPECT(now(&rig) - began < NS_PER_S);
        EXPECT_EQ(out->ends, 3);
        close(fds[1]);
        rig_close(&rig);
        free(out);
    }
}

TEST_MAIN(TEST(test_variants_take_what_they_are_left), TEST(test_echo_on_every_kernel),
          TEST(test_a_credit_is_kept_on_every_kernel), TEST(test_the_end_of_an_uncapped_receive),
          TEST(test_receives_wait_for_buffers_without_spinning),
          TEST(test_the_population_follows_the_load), TEST(test_full_queues_lose_nothing),
          TEST(test_a_turn_delivers_a_bounded_number), TEST(test_a_handler_may_fill_the_queue),
          TEST(test_a_number_comes_back_before_the_end_is_told),
          TEST(test_an_accept_without_descriptors_pauses), TEST(test_a_paused_accept_can_end),
          TEST(test_a_failed_connect_leaves_no_descriptor),
          TEST(test_a_lazy_send_does_not_end_a_wait), TEST(test_a_turn_waits_as_long_as_it_is_told),
          TEST(test_a_busy_poll_is_bounded_and_makes_no_calls))
