// What io.h promises of accepting, connecting, polling, cancelling, waking and turns, on every
// backend.
#include "io_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/un.h>

FX_SCRIPT(two_hundred_connections_are_accepted)
{
    enum { MANY = 200 };
    static struct peer peers[MANY];
    static bool seen[4096];
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < MANY; i++)
        peer_dial(&peers[i], fx, 0); // all of them before the first turn
    fx_until(fx, fx->acceptor->fd_count == MANY);
    fx_settle(fx);
    EXPECT_EQ(fx->acceptor->fd_count, MANY);
    for (int i = 0; i < MANY; i++) {
        int fd = fx_take(fx);
        verify(fd >= 0 && fd < (int)ARRAY_LEN(seen));
        EXPECT(!seen[fd]);
        seen[fd] = true;
        fx_close_fd(fx, fd, false);
    }
    for (int i = 0; i < MANY; i++) {
        fx_until(fx, peer_at_end(&peers[i]));
        EXPECT_EQ(peers[i].error, 1);
        peer_close(&peers[i]);
    }
}

// The multishot goes on without being armed again.
FX_SCRIPT(accept_is_one_operation)
{
    for (int i = 0; i < 5; i++) {
        struct peer peer;
        int fd = fx_pair(fx, &peer);
        EXPECT(fx->acceptor->more);
        fx_close_fd(fx, fd, false);
        peer_close(&peer);
    }
    EXPECT_EQ(fx->acceptor->ends, 0);
}

FX_SCRIPT(a_cancelled_accept_takes_no_more)
{
    struct peer peer;
    fx_settle(fx);
    fx_cancel(fx->acceptor);
    fx_until(fx, !fx->acceptor->op.in_flight);
    EXPECT_EQ(fx->acceptor->res, -ECANCELED);
    peer_dial(&peer, fx, 0);
    fx_settle(fx);
    EXPECT_EQ(fx->acceptor->fd_count, 0);
    fx_accept(fx->acceptor, fx->listener); // it waited in the queue
    int fd = fx_take(fx);
    EXPECT(fd >= 0);
    fx_close_fd(fx, fd, false);
    peer_close(&peer);
}

// At the limit of descriptors accepting ends with an error; what waits is accepted once it is armed
// again below the limit.
FX_SCRIPT(accept_ends_at_the_limit_of_descriptors)
{
    struct peer peers[3];
    fx->acceptor->then = NULL;
    for (int i = 0; i < 3; i++)
        peer_dial(&peers[i], fx, 0);
    fx_limit(fx, 1);
    fx_until(fx, !fx->acceptor->op.in_flight);
    EXPECT_EQ(fx->acceptor->res, -EMFILE);
    EXPECT_EQ(fx->acceptor->fd_count, 1);
    fx_accept(fx->acceptor, fx->listener);
    fx_until(fx, !fx->acceptor->op.in_flight);
    EXPECT_EQ(fx->acceptor->res, -EMFILE);
    fx_limit(fx, -1);
    fx->acceptor->then = fx_accept_again;
    fx_accept(fx->acceptor, fx->listener);
    for (int i = 0; i < 3; i++) {
        int fd = fx_take(fx);
        EXPECT(fd >= 0);
        fx_close_fd(fx, fd, false);
        peer_close(&peers[i]);
    }
}

FX_SCRIPT(a_connect_succeeds_and_the_socket_works)
{
    struct vendor vendor;
    vendor_open(&vendor, fx);
    struct probe *dial = probe_new(fx), *in = probe_new(fx), *out = probe_new(fx);
    fx_connect(dial, &vendor.addr);
    fx_until(fx, !dial->op.in_flight);
    EXPECT(dial->res >= 0);
    struct peer peer;
    fx_until(fx, vendor_accept(&vendor, fx, &peer));
    static char bytes[1000];
    pattern_fill(bytes, 0, sizeof(bytes));
    fx_send(out, dial->res, &(struct iovec){ bytes, sizeof(bytes) }, 1);
    fx_recv_all(in, dial->res, BUF_SMALL, 3000);
    peer_send(&peer, 3000);
    fx_until(fx, ({
                 peer_pull(&peer, SIZE_MAX);
                 peer.got == sizeof(bytes) && in->total == 3000;
             }));
    EXPECT_EQ(peer.torn, 0);
    EXPECT_EQ(in->torn, 0);
    fx_until(fx, !out->op.in_flight);
    EXPECT_EQ(out->res, (int)sizeof(bytes));
    fx_close_fd(fx, dial->res, false);
    peer_close(&peer);
    vendor_close(&vendor);
    probe_free(dial);
    probe_free(in);
    probe_free(out);
}

FX_SCRIPT(a_refused_connect_leaves_nothing)
{
    struct vendor vendor;
    vendor_open(&vendor, fx);
    vendor_close(&vendor); // a port where nobody listens
    struct probe *dial = probe_new(fx);
    fx_connect(dial, &vendor.addr);
    fx_until(fx, !dial->op.in_flight);
    EXPECT_EQ(dial->res, -ECONNREFUSED);
    EXPECT_EQ(dial->calls, 1);
    probe_free(dial);
}

// Given up before it was handed over, while it hangs, and after it may have succeeded. fx_end()
// counts the descriptors.
FX_SCRIPT(a_cancelled_connect_leaves_nothing)
{
    struct vendor vendor;
    vendor_open_full(&vendor, fx); // connecting to it hangs
    for (int way = 0; way < 2; way++) {
        struct probe *dial = probe_new(fx);
        fx_connect(dial, &vendor.addr);
        if (way == 1)
            fx_settle(fx);
        EXPECT_EQ(dial->calls, 0);
        fx_cancel(dial);
        fx_until(fx, !dial->op.in_flight);
        EXPECT_EQ(dial->res, -ECANCELED);
        EXPECT_EQ(dial->calls, 1);
        probe_free(dial);
    }
    vendor_close(&vendor);
    vendor_open(&vendor, fx);
    for (int way = 0; way < 2; way++) {
        struct probe *dial = probe_new(fx);
        fx_connect(dial, &vendor.addr);
        if (way == 1)
            fx_turn(fx, 0);
        fx_cancel(dial);
        fx_until(fx, !dial->op.in_flight);
        EXPECT_EQ(dial->calls, 1);
        EXPECT(dial->res >= 0 || dial->res == -ECANCELED);
        if (dial->res >= 0) // it was faster
            fx_close_fd(fx, dial->res, false);
        probe_free(dial);
    }
    vendor_close(&vendor);
}

FX_SCRIPT(polls_report_what_is_true)
{
    struct foreign foreign;
    foreign_open(&foreign, fx);
    struct probe *one = probe_new(fx), *two = probe_new(fx);
    fx_poll(one, foreign.fd, POLLIN);
    fx_poll(two, foreign.fd, POLLIN | POLLPRI);
    fx_settle(fx);
    EXPECT_EQ(one->calls + two->calls, 0);
    foreign_set(&foreign, true);
    fx_until(fx, !one->op.in_flight && !two->op.in_flight);
    EXPECT_EQ(one->res, POLLIN);
    EXPECT_EQ(two->res, POLLIN);
    fx_poll(one, foreign.fd, POLLIN); // true already, without a new edge
    fx_until(fx, !one->op.in_flight);
    EXPECT_EQ(one->res, POLLIN);
    foreign_set(&foreign, false);
    fx_poll(one, foreign.fd, POLLIN); // and no more
    fx_poll(two, foreign.fd, POLLIN);
    fx_settle(fx);
    EXPECT_EQ(one->calls, 2);
    fx_cancel(one);
    fx_until(fx, !one->op.in_flight);
    EXPECT_EQ(one->res, -ECANCELED);
    EXPECT(two->op.in_flight); // the other stays
    foreign_set(&foreign, true);
    fx_until(fx, !two->op.in_flight);
    EXPECT_EQ(two->res, POLLIN);
    EXPECT_EQ(two->calls, 2);
    foreign_close(&foreign);
    probe_free(one);
    probe_free(two);
}

// A poll is cancelled before it was handed over; its owner closes the descriptor, and the number
// comes back as something else.
FX_SCRIPT(a_polled_number_comes_back)
{
    struct probe *probe = probe_new(fx);
    for (int i = 0; i < 3; i++) {
        struct foreign foreign;
        foreign_open(&foreign, fx);
        fx_poll(probe, foreign.fd, POLLIN);
        if (i > 0)
            fx_settle(fx);
        fx_cancel(probe);
        foreign_close(&foreign);
        fx_until(fx, !probe->op.in_flight);
        EXPECT(probe->res < 0);
        struct peer peer; // both numbers are free: one is the peer's, the other the io's
        int fd = fx_pair(fx, &peer);
        struct probe *in = probe_new(fx);
        peer_send(&peer, 100);
        fx_recv_all(in, fd, BUF_SMALL, 100);
        fx_until(fx, in->total == 100);
        fx_close_fd(fx, fd, false);
        peer_close(&peer);
        probe_free(in);
    }
    probe_free(probe);
}

// Cancel and bytes at the same time: whatever wins, every byte is told of once, in this operation
// or the next one.
FX_SCRIPT(a_cancel_loses_no_bytes)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *probe = probe_new(fx);
    for (int i = 0; i < 40; i++) {
        unsigned ends = probe->ends;
        fx_recv(probe, fd, i % 3 == 0 ? BUF_LARGE : BUF_SMALL, 100000);
        if (i % 4 >= 2)
            fx_turn(fx, 0);
        if (i % 2 == 0)
            peer_send(&peer, 5000);
        fx_cancel(probe);
        if (i % 5 == 0)
            fx_cancel(probe); // twice is once
        if (i % 2 == 1)
            peer_send(&peer, 5000);
        fx_until(fx, !probe->op.in_flight);
        EXPECT(probe->res == -ECANCELED || probe->res > 0);
        EXPECT_EQ(probe->ends, ends + 1);
    }
    fx_recv_all(probe, fd, BUF_SMALL, (uint32_t)(200000 - probe->total + 1));
    fx_until(fx, probe->total == 200000);
    EXPECT_EQ(probe->torn, 0);
    fx_cancel(probe);
    fx_until(fx, !probe->op.in_flight);
    fx_cancel(probe); // not in flight: nothing happens
    fx_close_fd(fx, fd, false);
    peer_close(&peer);
    probe_free(probe);
}

static void cancel_other(struct probe *probe)
{
    fx_cancel(probe->other);
    if (probe->op.in_flight)
        fx_cancel(probe);
}

// Handlers cancel their own operation, and another one whose completion may be due.
FX_SCRIPT(handlers_cancel_themselves_and_others)
{
    for (int round = 0; round < 10; round++) {
        struct peer one, two;
        int fd_one = fx_pair(fx, &one), fd_two = fx_pair(fx, &two);
        struct probe *a = probe_new(fx), *b = probe_new(fx);
        a->other = b, b->other = a;
        a->then = b->then = cancel_other;
        fx_recv(a, fd_one, BUF_SMALL, 100000);
        fx_recv(b, fd_two, BUF_SMALL, 100000);
        peer_send(&one, 50000);
        if (round % 2 == 0)
            peer_send(&two, 50000);
        fx_until(fx, !a->op.in_flight && !b->op.in_flight);
        EXPECT_EQ(a->ends, 1);
        EXPECT_EQ(b->ends, 1);
        EXPECT(a->res == -ECANCELED || a->res > 0);
        EXPECT(b->res == -ECANCELED || b->res > 0);
        EXPECT(a->total + b->total > 0);
        EXPECT_EQ(a->torn + b->torn, 0);
        fx_close_fd(fx, fd_one, false);
        fx_close_fd(fx, fd_two, false);
        peer_close(&one);
        peer_close(&two);
        probe_free(a);
        probe_free(b);
    }
}

FX_SCRIPT(recv_into_can_be_cancelled)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *probe = probe_new(fx);
    static char into[100];
    for (int way = 0; way < 2; way++) {
        fx_recv_into(probe, fd, into, sizeof(into));
        if (way == 1)
            fx_settle(fx);
        fx_cancel(probe);
        fx_until(fx, !probe->op.in_flight);
        EXPECT_EQ(probe->res, -ECANCELED);
    }
    EXPECT_EQ(probe->calls, 2);
    fx_close_fd(fx, fd, false);
    peer_close(&peer);
    probe_free(probe);
}

static unsigned wakes;

static void on_wake(void *arg)
{
    struct fx *fx = arg;
    EXPECT(fx->turning);
    fx->woken = true;
    wakes++;
}

// Wakes that come before the turn are one; the turn does not sleep over it.
FX_SCRIPT(a_burst_of_wakes_is_one)
{
    wakes = 0;
    io_on_wake(fx->io, on_wake, fx);
    for (int i = 0; i < 1000; i++)
        io_wake(fx->io, i % 2 == 0 ? fx->io : NULL);
    uint64_t before_ns = fx_now(fx);
    fx_until(fx, ({
                 fx_turn(fx, NS_PER_S);
                 wakes > 0;
             }));
    EXPECT(fx_now(fx) - before_ns < 500 * NS_PER_MS);
    fx_settle(fx);
    EXPECT(wakes <= 2);
    io_wake(fx->io, NULL);
    unsigned before = wakes;
    fx_until(fx, wakes > before);
}

struct waker {
    struct io *io;
    _Atomic unsigned sent, seen;
    unsigned rounds;
    bool wait; // for each wake to be seen before the next
};

static void *waker_run(void *arg)
{
    struct waker *waker = arg;
    for (unsigned i = 1; i <= waker->rounds; i++) {
        atomic_store(&waker->sent, i);
        io_wake(waker->io, NULL);
        uint64_t end_ns = env_mono_ns(env_system()) + NS_PER_S;
        while (waker->wait && atomic_load(&waker->seen) < i && env_mono_ns(env_system()) < end_ns)
            ;
        if (waker->wait && atomic_load(&waker->seen) < i)
            break; // lost
    }
    return NULL;
}

static void on_thread_wake(void *arg)
{
    struct waker *waker = arg;
    wakes++;
    atomic_store(&waker->seen, atomic_load(&waker->sent));
}

// The owner of a descriptor goes on using it when it is no longer polled; the loop sleeps.
FX_SCRIPT(what_is_no_longer_polled_wakes_nobody)
{
    struct foreign foreign;
    foreign_open(&foreign, fx);
    struct probe *probe = probe_new(fx);
    fx_poll(probe, foreign.fd, POLLIN);
    fx_settle(fx);
    fx_cancel(probe);
    fx_until(fx, !probe->op.in_flight);
    fx_settle(fx);
    uint64_t before = io_stats(fx->io)->syscalls;
    for (int i = 0; i < 20; i++) {
        foreign_set(&foreign, true);
        fx_turn(fx, FX_STEP_MS * NS_PER_MS);
        foreign_set(&foreign, false);
    }
    EXPECT(io_stats(fx->io)->syscalls - before <= 30);
    foreign_close(&foreign);
    probe_free(probe);
}

// A file outlives its descriptor where somebody holds a duplicate. What happens to it afterwards is
// not taken for news of the connect that got its number.
FX_SCRIPT(news_of_a_former_socket_connects_nothing)
{
    struct vendor vendor;
    vendor_open_full(&vendor, fx);
    struct peer peer;
    int spare = dup(STDERR_FILENO);
    int fd = fx_pair(fx, &peer);
    struct probe *in = probe_new(fx), *dial = probe_new(fx);
    fx_recv(in, fd, BUF_SMALL, 100);
    fx_settle(fx);
    int duplicate = dup(fd);
    fx_close_fd(fx, fd, false);
    fx_until(fx, !in->op.in_flight);
    fx_connect(dial, &vendor.addr);
    fx_settle(fx);
    EXPECT_EQ(dial->op.fd, fd);
    peer_reset(&peer);
    fx_settle(fx);
    EXPECT(dial->op.in_flight);
    fx_cancel(dial);
    fx_until(fx, !dial->op.in_flight);
    EXPECT_EQ(dial->res, -ECANCELED);
    verify(close(duplicate) == 0);
    verify(close(spare) == 0);
    vendor_close(&vendor);
    probe_free(in);
    probe_free(dial);
}

// What a thread did before its wake is seen in on_wake(), also when the loop was about to sleep; a
// storm of wakes costs few calls.
FX_SCRIPT(no_wake_of_a_thread_is_lost)
{
    for (int way = 0; way < 2; way++) {
        struct waker waker = { .io = fx->io, .rounds = way == 0 ? 2000 : 100000, .wait = way == 0 };
        wakes = 0;
        io_on_wake(fx->io, on_thread_wake, &waker);
        pthread_t thread;
        verify(pthread_create(&thread, NULL, waker_run, &waker) == 0);
        while (atomic_load(&waker.seen) < waker.rounds) {
            uint64_t before_ns = fx_now(fx);
            fx_turn(fx, 3 * NS_PER_S);
            EXPECT(fx_now(fx) - before_ns < NS_PER_S);
            if (test_failures > 0)
                break;
        }
        verify(pthread_join(thread, NULL) == 0);
        EXPECT_EQ(atomic_load(&waker.seen), waker.rounds);
        EXPECT(wakes <= waker.rounds);
        io_on_wake(fx->io, NULL, NULL);
    }
}

// An abstract name: it leaves no file.
static socklen_t unix_name(struct sockaddr_un *addr, const char *name)
{
    *addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
    int len = snprintf(addr->sun_path + 1, sizeof(addr->sun_path) - 1, "penstock-%s-%d", name,
                       (int)getpid());
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

FX_SCRIPT(unix_sockets_work_alike)
{
    struct sockaddr_un addr;
    socklen_t len = unix_name(&addr, "alike");
    int listener;
    struct err err = io_listen(fx->io, (struct sockaddr *)&addr, len, 8, &listener);
    EXPECT(!failed(err));
    struct probe *accept = probe_new(fx), *dial = probe_new(fx), *in = probe_new(fx);
    struct probe *out = probe_new(fx);
    fx_accept(accept, listener);
    FX_START(dial, io_connect(fx->io, &dial->op, (struct sockaddr *)&addr, len));
    fx_until(fx, accept->fd_count == 1 && !dial->op.in_flight);
    EXPECT(dial->res >= 0);
    static char bytes[200000];
    pattern_fill(bytes, 0, sizeof(bytes));
    fx_recv_all(in, accept->fds[0], BUF_LARGE, sizeof(bytes) + 1);
    fx_send(out, dial->res, &(struct iovec){ bytes, sizeof(bytes) }, 1);
    fx_until(fx, in->total == sizeof(bytes));
    EXPECT_EQ(in->torn, 0);
    EXPECT_EQ(out->res, (int)sizeof(bytes));
    fx_close_fd(fx, dial->res, false);
    fx_until(fx, !in->op.in_flight);
    EXPECT_EQ(in->res, 0);
    fx_close_fd(fx, accept->fds[0], false);
    fx_close_fd(fx, listener, false);
    fx_until(fx, !accept->op.in_flight);
    probe_free(accept);
    probe_free(dial);
    probe_free(in);
    probe_free(out);
}

// A Unix listener whose backlog is full: the connect goes on once there is room, or is given up.
FX_SCRIPT(a_full_unix_listener_keeps_a_connect_waiting)
{
    struct sockaddr_un addr;
    socklen_t len = unix_name(&addr, "full");
    int far = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    verify(bind(far, (struct sockaddr *)&addr, len) == 0);
    verify(listen(far, 0) == 0);
    struct probe *first = probe_new(fx), *second = probe_new(fx), *third = probe_new(fx);
    FX_START(first, io_connect(fx->io, &first->op, (struct sockaddr *)&addr, len));
    fx_until(fx, !first->op.in_flight);
    EXPECT(first->res >= 0);
    FX_START(second, io_connect(fx->io, &second->op, (struct sockaddr *)&addr, len));
    FX_START(third, io_connect(fx->io, &third->op, (struct sockaddr *)&addr, len));
    fx_settle(fx);
    EXPECT_EQ(second->calls + third->calls, 0);
    fx_cancel(third);
    fx_until(fx, !third->op.in_flight);
    EXPECT_EQ(third->res, -ECANCELED);
    int fd = accept4(far, NULL, NULL, SOCK_CLOEXEC);
    fx_until(fx, !second->op.in_flight);
    EXPECT(second->res >= 0);
    verify(close(fd) == 0);
    verify(close(far) == 0);
    fx_close_fd(fx, first->res, false);
    fx_close_fd(fx, second->res, false);
    probe_free(first);
    probe_free(second);
    probe_free(third);
}

// Busy polling changes when the loop sleeps, not what it tells.
FX_SCRIPT_WITH(spinning_tells_the_same, .spin_us = 500)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *probe = probe_new(fx);
    fx_recv_all(probe, fd, BUF_SMALL, 100);
    for (int i = 0; i < 100; i++) {
        peer_send(&peer, 1);
        fx_until(fx, probe->total == (uint64_t)i + 1);
    }
    uint64_t before_ns = fx_now(fx), before = io_stats(fx->io)->syscalls;
    fx_turn(fx, 100 * NS_PER_MS);
    EXPECT(fx_now(fx) - before_ns >= 100 * NS_PER_MS);
    EXPECT(io_stats(fx->io)->syscalls - before < 20000); // it sleeps after the first half of one
    wakes = 0;
    io_on_wake(fx->io, on_wake, fx);
    io_wake(fx->io, NULL);
    fx_until(fx, wakes == 1);
    fx_close_fd(fx, fd, false);
    peer_close(&peer);
    probe_free(probe);
}

FX_SCRIPT(a_turn_waits_as_told)
{
    fx_settle(fx);
    uint64_t before_ns = fx_now(fx);
    EXPECT_EQ(fx_turn(fx, 0), 0);
    EXPECT(fx_now(fx) - before_ns < 20 * NS_PER_MS);
    before_ns = fx_now(fx);
    EXPECT_EQ(fx_turn(fx, 30 * NS_PER_MS), 0);
    EXPECT(fx_now(fx) - before_ns >= 30 * NS_PER_MS);
    EXPECT(fx_now(fx) - before_ns < 500 * NS_PER_MS);
    before_ns = fx_now(fx);
    EXPECT_EQ(io_turn(fx->io, 1), 0); // long ago
    EXPECT(fx_now(fx) - before_ns < 20 * NS_PER_MS);
}

static void on_woke(void *arg)
{
    struct probe *probe = arg;
    EXPECT(probe->fx->turning);
    probe->total = probe->calls; // how many completions came before it in this turn
    probe->at++;
}

// Exactly once a turn, before the first handler.
FX_SCRIPT(on_woke_comes_first)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *probe = probe_new(fx);
    io_on_woke(fx->io, on_woke, probe);
    unsigned before = fx->turns;
    static char into[10];
    for (unsigned i = 0; i < 20; i++) {
        fx_recv_into(probe, fd, into, sizeof(into));
        peer_send(&peer, 10);
        while (probe->calls == i) {
            fx_turn(fx, FX_STEP_MS * NS_PER_MS);
            EXPECT_EQ(probe->at, fx->turns - before);
            EXPECT_EQ(probe->total, i);
        }
    }
    fx_close_fd(fx, fd, false);
    peer_close(&peer);
    fx_settle(fx);
    io_on_woke(fx->io, NULL, NULL);
    probe_free(probe);
}

// A request and its answer cost few system calls, also when each is small and comes alone.
FX_SCRIPT(a_message_costs_few_system_calls)
{
    enum { ROUNDS = 200 };
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *in = probe_new(fx), *out = probe_new(fx);
    static char bytes[ROUNDS];
    pattern_fill(bytes, 0, sizeof(bytes));
    fx_recv_all(in, fd, BUF_SMALL, ROUNDS + 1);
    fx_settle(fx);
    uint64_t before = io_stats(fx->io)->syscalls;
    for (unsigned i = 0; i < ROUNDS; i++) {
        peer_send(&peer, 1);
        while (in->total == i) // the peer's byte is there: nothing sleeps
            fx_turn(fx, NS_PER_S);
        fx_send(out, fd, &(struct iovec){ bytes + i, 1 }, 1);
        while (out->op.in_flight)
            fx_turn(fx, NS_PER_S);
    }
    EXPECT(io_stats(fx->io)->syscalls - before <= ROUNDS * 7 / 2);
    fx_until(fx, ({
                 peer_pull(&peer, SIZE_MAX);
                 peer.got == ROUNDS;
             }));
    EXPECT_EQ(peer.torn, 0);
    peer_close(&peer);
    fx_close_fd(fx, fd, false);
    fx_until(fx, !in->op.in_flight);
    probe_free(in);
    probe_free(out);
}

TEST_MAIN(FX_TESTS(two_hundred_connections_are_accepted), FX_TESTS_EXACT(accept_is_one_operation),
          FX_TESTS(a_cancelled_accept_takes_no_more),
          FX_TESTS_EXACT(accept_ends_at_the_limit_of_descriptors),
          FX_TESTS(a_connect_succeeds_and_the_socket_works),
          FX_TESTS(a_refused_connect_leaves_nothing), FX_TESTS(a_cancelled_connect_leaves_nothing),
          FX_TESTS(polls_report_what_is_true), FX_TESTS(a_polled_number_comes_back),
          FX_TESTS(a_cancel_loses_no_bytes), FX_TESTS(handlers_cancel_themselves_and_others),
          FX_TESTS(recv_into_can_be_cancelled), FX_TESTS(a_burst_of_wakes_is_one),
          FX_TESTS_REAL(what_is_no_longer_polled_wakes_nobody),
          FX_TESTS_REAL(news_of_a_former_socket_connects_nothing),
          FX_TESTS_REAL(no_wake_of_a_thread_is_lost), FX_TESTS_REAL(unix_sockets_work_alike),
          FX_TESTS_REAL(a_full_unix_listener_keeps_a_connect_waiting),
          FX_TESTS_REAL(spinning_tells_the_same), FX_TESTS_EXACT(a_turn_waits_as_told),
          FX_TESTS(on_woke_comes_first), FX_TESTS_REAL(a_message_costs_few_system_calls))
