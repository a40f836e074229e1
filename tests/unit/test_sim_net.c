// What sim.h promises of single steps: each fault, closes and resets as in life, jumps of time,
// leaks that are found.
#include "test.h"

#include "penstock/base/check.h"
#include "penstock/io/loop.h"
#include "penstock/io/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct sim_profile profile_with_latency = {
    .latency_ns_min = NS_PER_MS,
    .latency_ns_max = NS_PER_MS,
    .delay_ns_max = 20 * NS_PER_MS,
    .stall_ns_max = 300 * NS_PER_MS,
    .buf_bytes_min = 16 * KIB,
    .buf_bytes_max = 16 * KIB,
    .fd_max = 1000,
};

static struct sockaddr_in address(const char *text, uint16_t port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
    verify(inet_pton(AF_INET, text, &addr.sin_addr) == 1);
    return addr;
}

// --- one connection, step by step

struct one {
    struct env_fake env;
    struct sim *sim;
    struct io *io;
    int listener, fd;
    struct sim_peer *peer;
    struct io_op accept, in, out, dial;
    int res;
    unsigned calls, pieces, ends, mores;
    uint64_t bytes;
    unsigned wakes;
};

static void on_one_accept(struct io_op *op, struct io_done done)
{
    struct one *one = container_of(op, struct one, accept);
    if (done.res >= 0)
        one->fd = done.res;
    one->mores += (done.flags & IO_MORE) != 0;
    one->calls++;
    one->res = done.res;
}

static void count(struct one *one, struct io_done done)
{
    one->res = done.res;
    one->calls++;
    one->ends += !(done.flags & IO_MORE);
    if (done.res > 0 && done.buf != NULL) {
        one->pieces++;
        one->bytes += (uint64_t)done.res;
        buf_put(done.buf);
    }
}

static void on_one_in(struct io_op *op, struct io_done done)
{
    count(container_of(op, struct one, in), done);
}

static void on_one_out(struct io_op *op, struct io_done done)
{
    count(container_of(op, struct one, out), done);
}

static void on_one_dial(struct io_op *op, struct io_done done)
{
    count(container_of(op, struct one, dial), done);
}

static void on_one_wake(void *arg)
{
    struct one *one = arg;
    one->wakes++;
}

static void one_pass(struct one *one, uint64_t ns)
{
    uint64_t end_ns = one->env.mono + ns;
    do {
        io_turn(one->io, end_ns);
        (void)sim_step(one->sim, end_ns);
    } while (one->env.mono < end_ns);
    io_turn(one->io, 0);
}

static void one_open(struct one *one, uint64_t seed, const struct sim_profile *profile)
{
    *one = (struct one){ .fd = -1 };
    one->accept.on_done = on_one_accept;
    one->in.on_done = on_one_in;
    one->out.on_done = on_one_out;
    one->dial.on_done = on_one_dial;
    env_fake_init(&one->env, seed);
    verify(!failed(sim_new(&one->sim, &one->env, profile)));
    struct io_config config = { .backend = IO_BACKEND_SIM, .bufs_small = 8, .bufs_large = 8 };
    verify(!failed(sim_io_new(one->sim, &config, &one->io)));
    io_on_wake(one->io, on_one_wake, one);
    struct sockaddr_in addr = address("10.0.0.1", 80);
    struct sockaddr *name = (struct sockaddr *)&addr;
    verify(!failed(io_listen(one->io, name, sizeof(addr), 8, &one->listener)));
    io_accept(one->io, &one->accept, one->listener);
    one->peer = sim_dial(one->sim, name, sizeof(addr));
    one_pass(one, 10 * NS_PER_MS);
    EXPECT(one->fd >= 0);
    EXPECT_EQ(sim_state(one->peer), SIM_OPEN);
    one->calls = 0;
}

static void one_close(struct one *one)
{
    sim_profile(one->sim)->cancel_late = 0;
    if (one->fd >= 0)
        io_close(one->io, one->fd, false);
    io_close(one->io, one->listener, false);
    if (one->peer != NULL)
        sim_close(&one->peer);
    one_pass(one, NS_PER_S);
    char why[100];
    bool clean = sim_is_clean(one->sim, why, sizeof(why));
    EXPECT_SPAN(span_str(why), "clean");
    EXPECT(clean);
    EXPECT_EQ(sim_fds(one->sim), 0);
    io_free(&one->io);
    sim_free(&one->sim);
}

static void a_cancel_may_lose(void)
{
    for (unsigned chance = 0; chance <= 1000; chance += 1000) {
        struct one one;
        one_open(&one, 1, &profile_with_latency);
        sim_profile(one.sim)->cancel_loses = (uint16_t)chance;
        sim_write(one.peer, "abc", 3);
        one_pass(&one, 5 * NS_PER_MS); // the bytes are there before anybody asks
        io_recv(one.io, &one.in, one.fd, BUF_SMALL, 100);
        io_cancel(one.io, &one.in);
        EXPECT_EQ(one.calls, 0);
        one_pass(&one, NS_PER_MS);
        EXPECT_EQ(one.bytes, chance == 0 ? 0 : 3);
        EXPECT_EQ(one.res, -ECANCELED);
        EXPECT_EQ(one.ends, 1);
        one_close(&one);
    }
}

static void a_cancel_may_be_late(void)
{
    struct one one;
    one_open(&one, 1, &profile_with_latency);
    sim_profile(one.sim)->cancel_late = 1000;
    sim_profile(one.sim)->delay_ns_max = 100 * NS_PER_MS;
    io_recv(one.io, &one.in, one.fd, BUF_SMALL, 100);
    io_cancel(one.io, &one.in);
    sim_write(one.peer, "abc", 3);
    one_pass(&one, 2 * NS_PER_MS);
    EXPECT(one.in.in_flight);
    EXPECT_EQ(one.bytes, 3); // came after the cancel
    one_pass(&one, 200 * NS_PER_MS);
    EXPECT(!one.in.in_flight);
    EXPECT_EQ(one.res, -ECANCELED);
    EXPECT_EQ(one.ends, 1);
    one_close(&one);
}

// Closed while it is about to notice the bytes that came.
static void a_late_receive_ends_with_its_socket(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct one one;
        one_open(&one, seed, &profile_with_latency);
        sim_profile(one.sim)->delay = 1000;
        sim_profile(one.sim)->cancel_late = seed % 2 == 0 ? 1000 : 0;
        sim_profile(one.sim)->delay_ns_max = 100 * NS_PER_MS;
        io_recv(one.io, &one.in, one.fd, BUF_SMALL, 100);
        one_pass(&one, NS_PER_MS);
        sim_write(one.peer, "abc", 3);
        one_pass(&one, NS_PER_MS);
        EXPECT_EQ(one.bytes, 0);
        io_close(one.io, one.fd, false);
        one.fd = -1;
        one_pass(&one, 150 * NS_PER_MS);
        EXPECT_EQ(one.res, -ECANCELED);
        EXPECT_EQ(one.ends, 1);
        one_close(&one);
    }
}

// A connect that is cancelled may have succeeded before.
static void a_cancelled_connect_may_succeed(void)
{
    unsigned won = 0;
    struct sockaddr_in addr = address("10.0.0.9", 443);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct one one;
        one_open(&one, seed, &profile_with_latency);
        struct sim_listener *vendor = sim_listen(one.sim, (struct sockaddr *)&addr, sizeof(addr));
        sim_profile(one.sim)->cancel_late = 500;
        sim_profile(one.sim)->delay_ns_max = 10 * NS_PER_MS;
        io_connect(one.io, &one.dial, (struct sockaddr *)&addr, sizeof(addr));
        one_pass(&one, NS_PER_MS);
        io_cancel(one.io, &one.dial);
        one_pass(&one, 20 * NS_PER_MS);
        EXPECT(!one.dial.in_flight);
        EXPECT(one.res == -ECANCELED || one.res >= 0);
        won += one.res >= 0;
        if (one.res >= 0)
            io_close(one.io, one.res, false);
        sim_unlisten(&vendor);
        one_close(&one);
    }
    EXPECT(won > 0);
    EXPECT(won < 20);
}

static void multishots_may_end_early(void)
{
    struct one one;
    struct sim_profile profile = profile_with_latency;
    profile.early_end = 1000;
    one_open(&one, 1, &profile);
    EXPECT(!one.accept.in_flight);
    EXPECT_EQ(one.mores, 0);
    io_recv(one.io, &one.in, one.fd, BUF_SMALL, 100);
    sim_write(one.peer, "abc", 3);
    one_pass(&one, 5 * NS_PER_MS);
    EXPECT_EQ(one.bytes, 3);
    EXPECT(!one.in.in_flight);
    one_close(&one);
}

static void connects_are_refused_or_hang(void)
{
    struct one one;
    one_open(&one, 1, &profile_with_latency);
    struct sockaddr_in addr = address("10.0.0.9", 443);
    struct sockaddr *name = (struct sockaddr *)&addr;
    io_connect(one.io, &one.dial, name, sizeof(addr));
    one_pass(&one, 5 * NS_PER_MS);
    EXPECT_EQ(one.res, -ECONNREFUSED); // nobody is there
    struct sim_listener *vendor = sim_listen(one.sim, name, sizeof(addr));
    sim_profile(one.sim)->refuse = 1000;
    io_connect(one.io, &one.dial, name, sizeof(addr));
    one_pass(&one, 5 * NS_PER_MS);
    EXPECT_EQ(one.calls, 2);
    EXPECT_EQ(one.res, -ECONNREFUSED);
    sim_profile(one.sim)->refuse = 0;
    for (int way = 0; way < 2; way++) {
        if (way == 1) {
            sim_unlisten(&vendor);
            vendor = sim_blackhole(one.sim, name, sizeof(addr));
        }
        sim_profile(one.sim)->hang = way == 0 ? 1000 : 0;
        io_connect(one.io, &one.dial, name, sizeof(addr));
        one_pass(&one, 100 * NS_PER_S);
        EXPECT(one.dial.in_flight);
        io_cancel(one.io, &one.dial);
        one_pass(&one, NS_PER_MS);
        EXPECT_EQ(one.res, -ECANCELED);
    }
    sim_unlisten(&vendor);
    one_close(&one);
}

static void a_close_over_unread_bytes_resets(void)
{
    struct one one;
    one_open(&one, 1, &profile_with_latency);
    sim_write(one.peer, "abc", 3);
    one_pass(&one, 5 * NS_PER_MS);
    io_close(one.io, one.fd, false);
    one.fd = -1;
    one_pass(&one, 5 * NS_PER_MS);
    EXPECT_EQ(sim_state(one.peer), SIM_RESET);
    one_close(&one);
}

// A closed peer looks like a half-closed one until bytes are sent to it.
static void bytes_for_a_closed_peer_are_answered_by_a_reset(void)
{
    struct one one;
    one_open(&one, 1, &profile_with_latency);
    sim_close(&one.peer);
    io_recv(one.io, &one.in, one.fd, BUF_SMALL, 100);
    one_pass(&one, 5 * NS_PER_MS);
    EXPECT_EQ(one.res, 0);
    char byte = 'x';
    struct iovec iov = { &byte, 1 };
    io_send(one.io, &one.out, one.fd, &iov, 1);
    one_pass(&one, NS_PER_MS);
    EXPECT_EQ(one.res, 1); // gone into the void
    one_pass(&one, 5 * NS_PER_MS);
    io_send(one.io, &one.out, one.fd, &iov, 1);
    one_pass(&one, NS_PER_MS);
    EXPECT_EQ(one.res, -EPIPE);
    one_close(&one);
}

static void a_reset_may_take_unread_bytes_along(void)
{
    for (unsigned chance = 0; chance <= 1000; chance += 1000) {
        struct one one;
        one_open(&one, 1, &profile_with_latency);
        sim_profile(one.sim)->drop_unread = (uint16_t)chance;
        sim_write(one.peer, "abc", 3);
        one_pass(&one, 5 * NS_PER_MS);
        sim_reset(&one.peer);
        one_pass(&one, 5 * NS_PER_MS);
        io_recv(one.io, &one.in, one.fd, BUF_SMALL, 100);
        one_pass(&one, 5 * NS_PER_MS);
        EXPECT_EQ(one.bytes, chance == 0 ? 3 : 0);
        EXPECT_EQ(one.res, -ECONNRESET);
        one_close(&one);
    }
}

static void wakes_coalesce_and_may_be_late(void)
{
    struct one one;
    one_open(&one, 1, &profile_with_latency);
    for (int i = 0; i < 10; i++)
        io_wake(one.io, NULL);
    EXPECT_EQ(one.wakes, 0);
    io_turn(one.io, UINT64_MAX);
    EXPECT_EQ(one.wakes, 1);
    sim_profile(one.sim)->wake_late = 1000;
    io_wake(one.io, NULL);
    io_turn(one.io, UINT64_MAX);
    EXPECT_EQ(one.wakes, 1);
    one_pass(&one, 30 * NS_PER_MS);
    EXPECT_EQ(one.wakes, 2);
    one_close(&one);
}

static void on_poll(struct io_op *op, struct io_done done)
{
    EXPECT(!op->in_flight);
    EXPECT_EQ(done.res, POLLIN);
}

// Few completions a turn, and in another order than they came to be.
static void turns_may_tell_few_and_shuffle(void)
{
    struct one one;
    one_open(&one, 3, &profile_with_latency);
    sim_profile(one.sim)->few = 1000;
    sim_profile(one.sim)->shuffle = 500;
    static struct io_op polls[64];
    int fd = sim_foreign(one.sim);
    for (size_t i = 0; i < ARRAY_LEN(polls); i++) {
        polls[i] = (struct io_op){ .on_done = on_poll };
        io_poll(one.io, &polls[i], fd, POLLIN);
    }
    io_turn(one.io, UINT64_MAX);
    sim_foreign_set(one.sim, fd, POLLIN);
    unsigned turns = 0, out_of_order = 0;
    for (; io_turn(one.io, UINT64_MAX) > 0; turns++)
        for (size_t i = 1; i < ARRAY_LEN(polls); i++)
            out_of_order += polls[i - 1].in_flight && !polls[i].in_flight;
    EXPECT(turns >= 16);
    EXPECT(out_of_order > 0);
    for (size_t i = 0; i < ARRAY_LEN(polls); i++)
        EXPECT(!polls[i].in_flight);
    sim_foreign_close(one.sim, fd);
    one_close(&one);
}

static void the_limit_of_descriptors_holds(void)
{
    struct one one;
    one_open(&one, 1, &profile_with_latency);
    EXPECT_EQ(sim_fds(one.sim), 2);
    sim_profile(one.sim)->fd_max = 2;
    struct sockaddr_in addr = address("10.0.0.1", 80);
    struct sim_peer *second = sim_dial(one.sim, (struct sockaddr *)&addr, sizeof(addr));
    one_pass(&one, 5 * NS_PER_MS);
    EXPECT_EQ(one.res, -EMFILE);
    EXPECT(!one.accept.in_flight);
    io_connect(one.io, &one.dial, (struct sockaddr *)&addr, sizeof(addr));
    one_pass(&one, 5 * NS_PER_MS);
    EXPECT_EQ(one.res, -EMFILE);
    sim_profile(one.sim)->fd_max = 5;
    int foreign[2] = { sim_foreign(one.sim), sim_foreign(one.sim) };
    sim_foreign_close(one.sim, foreign[0]);
    int again = sim_foreign(one.sim);
    EXPECT_EQ(again, foreign[0]); // the lowest number comes back
    sim_foreign_close(one.sim, foreign[1]);
    sim_foreign_close(one.sim, again);
    sim_profile(one.sim)->fd_max = 2;
    int fd = one.fd;
    io_close(one.io, one.fd, false);
    io_accept(one.io, &one.accept, one.listener);
    one_pass(&one, 5 * NS_PER_MS);
    EXPECT_EQ(one.fd, fd);
    sim_close(&second);
    one_close(&one);
}

// --- what callers must not do

// True when `act` ends in a failed assertion.
static bool dies(void (*act)(struct one *one))
{
    fflush(NULL);
    pid_t pid = fork();
    verify(pid >= 0);
    if (pid == 0) {
        struct one one;
        struct rlimit none = { 0 };
        verify(setrlimit(RLIMIT_CORE, &none) == 0);
        verify(close(STDERR_FILENO) == 0);
        one_open(&one, 1, &profile_with_latency);
        act(&one);
        _exit(0);
    }
    int status;
    verify(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void act_rightly(struct one *one)
{
    static char bytes[100000];
    struct iovec iov = { bytes, sizeof(bytes) };
    io_recv(one->io, &one->in, one->fd, BUF_SMALL, 100);
    io_send(one->io, &one->out, one->fd, &iov, 1);
    one_pass(one, 10 * NS_PER_MS);
    io_close(one->io, one->fd, false);
    one_pass(one, 10 * NS_PER_MS);
}

static void act_close_twice(struct one *one)
{
    io_close(one->io, one->fd, false);
    io_close(one->io, one->fd, false);
}

static void act_receive_on_closed(struct one *one)
{
    io_close(one->io, one->fd, false);
    io_recv(one->io, &one->in, one->fd, BUF_SMALL, 100);
}

static void act_receive_twice(struct one *one)
{
    io_recv(one->io, &one->in, one->fd, BUF_SMALL, 100);
    one->out.on_done = on_one_in;
    io_recv(one->io, &one->out, one->fd, BUF_SMALL, 100);
}

static void act_change_sent_bytes(struct one *one)
{
    static char bytes[100000]; // more than the connection holds
    struct iovec iov = { bytes, sizeof(bytes) };
    io_send(one->io, &one->out, one->fd, &iov, 1);
    one_pass(one, 10 * NS_PER_MS);
    bytes[3] = 1;
    io_close(one->io, one->fd, false);
    one_pass(one, 10 * NS_PER_MS);
}

static void act_free_in_flight(struct one *one)
{
    io_close(one->io, one->fd, false);
    io_close(one->io, one->listener, false);
    io_free(&one->io);
}

static void wrong_callers_are_stopped(void)
{
    EXPECT(!dies(act_rightly));
    EXPECT(dies(act_close_twice));
    EXPECT(dies(act_receive_on_closed));
    EXPECT(dies(act_receive_twice));
    EXPECT(dies(act_change_sent_bytes));
    EXPECT(dies(act_free_in_flight));
}

// --- time

static void time_jumps_to_what_comes_next(void)
{
    struct one one;
    one_open(&one, 1, &profile_with_latency);
    sim_write(one.peer, "a", 1); // arrives in a millisecond
    io_recv(one.io, &one.in, one.fd, BUF_SMALL, 10);
    uint64_t start_ns = one.env.mono;
    while (one.bytes == 0) {
        io_turn(one.io, UINT64_MAX);
        EXPECT(sim_step(one.sim, UINT64_MAX));
    }
    EXPECT(one.env.mono - start_ns >= NS_PER_MS); // and a nanosecond for each busy step
    EXPECT(one.env.mono - start_ns < NS_PER_MS + 10);
    EXPECT_EQ(io_turn(one.io, start_ns + 3600 * NS_PER_S), 0);
    EXPECT(sim_step(one.sim, UINT64_MAX));
    EXPECT_EQ(one.env.mono - start_ns, 3600 * NS_PER_S); // the io's own deadline
    EXPECT_EQ(io_turn(one.io, UINT64_MAX), 0);
    EXPECT(!sim_step(one.sim, UINT64_MAX)); // nothing can happen any more
    EXPECT(sim_step(one.sim, start_ns + 4000 * NS_PER_S));
    EXPECT_EQ(one.env.mono - start_ns, 4000 * NS_PER_S);
    one_close(&one);
}

struct ticker {
    struct timer timer;
    struct task task;
    struct loop *loop;
    unsigned fired;
    uint64_t late_ns_max, due_ns;
};

static void on_tick(struct timer *timer)
{
    struct ticker *ticker = container_of(timer, struct ticker, timer);
    uint64_t late_ns = ticker->loop->now_ns - ticker->due_ns;
    ticker->late_ns_max = max_u64(ticker->late_ns_max, late_ns);
    ticker->fired++;
    loop_ready(ticker->loop, &ticker->task); // arms again from a task, after the turn's wait
}

static void on_ticker_task(struct task *task)
{
    struct ticker *ticker = container_of(task, struct ticker, task);
    ticker->due_ns = ticker->loop->now_ns + (ticker->fired % 7 + 1) * 13 * NS_PER_MS;
    timer_arm(&ticker->loop->wheel, &ticker->timer, ticker->due_ns);
}

// Two loops in one world: no jump passes a timer of either.
static void jumps_respect_the_timers_of_all_loops(void)
{
    struct env_fake env;
    struct sim *sim;
    struct io *io[2];
    struct loop loop[2];
    struct ticker ticker[2];
    env_fake_init(&env, 5);
    verify(!failed(sim_new(&sim, &env, &sim_calm)));
    struct io_config config = { .backend = IO_BACKEND_SIM };
    for (int i = 0; i < 2; i++) {
        verify(!failed(sim_io_new(sim, &config, &io[i])));
        loop_init(&loop[i], io[i], &env.env);
        ticker[i] = (struct ticker){ .timer.on_fire = on_tick, .loop = &loop[i] };
        ticker[i].fired = (unsigned)i * 3;
        task_init(&ticker[i].task, on_ticker_task);
        loop_ready(&loop[i], &ticker[i].task);
    }
    uint64_t start_ns = env.mono;
    for (unsigned steps = 0; steps < 2000; steps++) {
        for (int i = 0; i < 2; i++)
            loop_turn(&loop[i], UINT64_MAX);
        EXPECT(sim_step(sim, UINT64_MAX));
    }
    for (int i = 0; i < 2; i++) {
        EXPECT(ticker[i].fired > 100);
        EXPECT(ticker[i].late_ns_max <= WHEEL_TICK_NS);
        io_free(&io[i]);
    }
    EXPECT(env.mono - start_ns > 100 * 13 * NS_PER_MS);
    sim_free(&sim);
}

static void leaks_are_found(void)
{
    struct one one;
    one_open(&one, 1, &profile_with_latency);
    char why[100];
    EXPECT(!sim_is_clean(one.sim, why, sizeof(why)));
    EXPECT(strstr(why, "descriptor") != NULL);
    io_close(one.io, one.fd, false);
    io_close(one.io, one.listener, false);
    EXPECT(!sim_is_clean(one.sim, why, sizeof(why)));
    EXPECT(strstr(why, "in flight") != NULL);
    one_pass(&one, NS_PER_MS);
    struct buf *buf = bufpool_take(io_bufs(one.io), BUF_LARGE);
    EXPECT(!sim_is_clean(one.sim, why, sizeof(why)));
    EXPECT(strstr(why, "buffers") != NULL);
    buf_put(buf);
    EXPECT(sim_is_clean(one.sim, why, sizeof(why)));
    sim_close(&one.peer);
    io_free(&one.io);
    sim_free(&one.sim);
}

TEST_MAIN(TEST(a_cancel_may_lose), TEST(a_cancel_may_be_late),
          TEST(a_late_receive_ends_with_its_socket), TEST(a_cancelled_connect_may_succeed),
          TEST(multishots_may_end_early), TEST(connects_are_refused_or_hang),
          TEST(a_close_over_unread_bytes_resets),
          TEST(bytes_for_a_closed_peer_are_answered_by_a_reset),
          TEST(a_reset_may_take_unread_bytes_along), TEST(wakes_coalesce_and_may_be_late),
          TEST(turns_may_tell_few_and_shuffle), TEST(the_limit_of_descriptors_holds),
          TEST(time_jumps_to_what_comes_next), TEST(jumps_respect_the_timers_of_all_loops),
          TEST(leaks_are_found), TEST(wrong_callers_are_stopped))
