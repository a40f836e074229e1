// What sim.h promises of whole runs: they repeat, and faults happen as often as they are asked for.
//
// The cases run a small echo server on two simulated threads against clients, which is also an
// example of how a driver and its actors look.
#include "test.h"

#include "penstock/base/check.h"
#include "penstock/io/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

enum {
    THREADS = 2,
    CLIENTS = 12,
    ECHO_BYTES = 30000, // that each client sends and gets back
    RUN_S_MAX = 3600,   // of simulated time
    CREDIT = 4096,
};

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

static char pattern(uint64_t at)
{
    return (char)((at + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

// --- the echo server: it gathers up to CREDIT bytes, sends them back, and closes after a FIN

struct server {
    struct io *io;
    struct sim *sim;
    int listener;
    struct io_op accept;
    bool stopping;
    unsigned open, served, failed, wakes;
    // What faults are seen by.
    unsigned receives, short_receives, accept_errors;
};

struct echo {
    struct io_op in, out;
    struct server *server;
    int fd;
    char bytes[CREDIT];
    struct iovec iov;
    bool closing, cancelled, fin;
};

// Ends a connection as soon as the io has given both operations back.
static void echo_end(struct echo *echo)
{
    if (!echo->closing) {
        echo->closing = true;
        io_close(echo->server->io, echo->fd, false);
    }
    if (echo->in.in_flight || echo->out.in_flight)
        return;
    echo->server->open--;
    free(echo);
}

static void echo_recv(struct echo *echo)
{
    echo->iov.iov_len = 0;
    echo->cancelled = false;
    io_recv(echo->server->io, &echo->in, echo->fd, BUF_SMALL, CREDIT);
}

static void echo_next(struct echo *echo)
{
    if (echo->fin) {
        echo->server->served++;
        echo_end(echo);
    } else {
        echo_recv(echo);
    }
}

static void echo_take(struct echo *echo, struct io_done done)
{
    struct server *server = echo->server;
    server->receives++;
    server->short_receives += done.res < 1000; // clients write more at once
    assert(echo->iov.iov_len + (size_t)done.res <= CREDIT);
    memcpy(echo->bytes + echo->iov.iov_len, done.buf->data, (size_t)done.res);
    echo->iov.iov_len += (size_t)done.res;
    buf_put(done.buf);
}

static void on_echo_recv(struct io_op *op, struct io_done done)
{
    struct echo *echo = container_of(op, struct echo, in);
    if (done.res > 0)
        echo_take(echo, done);
    if (done.flags & IO_MORE) {
        if (!echo->cancelled) // what came is to go back now
            io_cancel(echo->server->io, op);
        echo->cancelled = true;
        return;
    }
    if (done.res < 0 && done.res != -ECANCELED) {
        echo->server->failed++;
        echo_end(echo);
        return;
    }
    echo->fin = done.res == 0;
    if (echo->iov.iov_len > 0)
        io_send(echo->server->io, &echo->out, echo->fd, &echo->iov, 1);
    else
        echo_next(echo);
}

static void on_echo_sent(struct io_op *op, struct io_done done)
{
    struct echo *echo = container_of(op, struct echo, out);
    if (done.res >= 0 && (size_t)done.res == echo->iov.iov_len) {
        echo_next(echo);
        return;
    }
    echo->server->failed++;
    echo_end(echo);
}

static void server_accept(void *arg)
{
    struct server *server = arg;
    if (!server->stopping && !server->accept.in_flight)
        io_accept(server->io, &server->accept, server->listener);
}

static void on_server_accept(struct io_op *op, struct io_done done)
{
    struct server *server = container_of(op, struct server, accept);
    if (done.res >= 0) {
        struct echo *echo = calloc(1, sizeof(*echo));
        verify(echo != NULL);
        *echo = (struct echo){ .server = server, .fd = done.res };
        echo->in.on_done = on_echo_recv;
        echo->out.on_done = on_echo_sent;
        echo->iov.iov_base = echo->bytes;
        server->open++;
        echo_recv(echo);
    } else if (done.res != -ECANCELED) {
        server->accept_errors++;
    }
    if (!(done.flags & IO_MORE)) // a real server would use its own timer
        sim_after(server->sim, 10 * NS_PER_MS, server_accept, server);
}

static void on_server_wake(void *arg)
{
    struct server *server = arg;
    server->wakes++;
}

static void server_open(struct server *server, struct sim *sim, const struct sockaddr_in *addr)
{
    *server = (struct server){ .sim = sim, .accept.on_done = on_server_accept };
    struct io_config config = { .backend = IO_BACKEND_SIM, .bufs_small = 64, .bufs_large = 8 };
    verify(!failed(sim_io_new(sim, &config, &server->io)));
    verify(!failed(io_listen(server->io, (const struct sockaddr *)addr, sizeof(*addr), 64,
                             &server->listener)));
    io_on_wake(server->io, on_server_wake, server);
    server_accept(server);
}

// --- clients

struct client {
    struct sim_peer *peer;
    uint64_t put, got, put_max;
    unsigned torn;
    bool whole, lost;
};

static void client_write(struct client *client)
{
    char bytes[3000];
    while (client->put < client->put_max) {
        size_t len = min_size(client->put_max - client->put, sizeof(bytes));
        for (size_t i = 0; i < len; i++)
            bytes[i] = pattern(client->put + i);
        size_t taken = sim_write(client->peer, bytes, len);
        if (taken == 0)
            return;
        client->put += taken;
    }
}

static void on_client(void *arg)
{
    struct client *client = arg;
    bool open = sim_state(client->peer) == SIM_OPEN;
    client_write(client);
    if (open && client->put == client->put_max)
        sim_shutdown(client->peer);
    char bytes[3000];
    for (size_t got; (got = sim_read(client->peer, bytes, sizeof(bytes))) > 0; client->got += got)
        for (size_t i = 0; i < got; i++)
            client->torn += bytes[i] != pattern(client->got + i);
    enum sim_state state = sim_state(client->peer);
    client->whole = sim_at_end(client->peer) && client->got == client->put_max;
    client->lost =
        state == SIM_REFUSED || state == SIM_RESET || (sim_at_end(client->peer) && !client->whole);
    if (client->whole || client->lost)
        sim_close(&client->peer);
}

// --- a run

struct run {
    uint64_t trace, ns;
    unsigned whole, lost, torn;
    uint64_t no_buffers;
    struct server server[THREADS];
};

static bool run_is_over(struct client *clients, struct server *servers)
{
    unsigned open = 0;
    for (int i = 0; i < CLIENTS; i++)
        open += clients[i].peer != NULL;
    for (int i = 0; i < THREADS; i++)
        open += servers[i].open;
    return open == 0;
}

static void run_until(struct sim *sim, struct server *servers, struct client *clients,
                      struct env_fake *env)
{
    uint64_t end_ns = env->mono + RUN_S_MAX * NS_PER_S;
    while (!run_is_over(clients, servers) && env->mono < end_ns) {
        for (int i = 0; i < THREADS; i++)
            io_turn(servers[i].io, UINT64_MAX);
        if (sim_chance(sim, 20))
            io_wake(servers[0].io, servers[1].io);
        if (!sim_step(sim, end_ns))
            break;
    }
}

static struct run run_echo(uint64_t seed, const struct sim_profile *profile)
{
    struct env_fake env;
    struct sim *sim;
    struct run run = { 0 };
    static struct client clients[CLIENTS];
    struct sockaddr_in addr = address("0.0.0.0", 8080), to = address("10.0.0.1", 8080);
    env_fake_init(&env, seed);
    verify(!failed(sim_new(&sim, &env, profile)));
    uint64_t start_ns = env.mono;
    for (int i = 0; i < THREADS; i++)
        server_open(&run.server[i], sim, &addr);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){ .put_max = ECHO_BYTES };
        clients[i].peer = sim_dial(sim, (struct sockaddr *)&to, sizeof(to));
        sim_on_event(clients[i].peer, on_client, &clients[i]);
    }
    run_until(sim, run.server, clients, &env);
    EXPECT(run_is_over(clients, run.server));
    run.ns = env.mono - start_ns;
    for (int i = 0; i < CLIENTS; i++) {
        run.whole += clients[i].whole;
        run.lost += clients[i].lost;
        run.torn += clients[i].torn;
    }
    for (int i = 0; i < THREADS; i++) {
        run.server[i].stopping = true;
        io_close(run.server[i].io, run.server[i].listener, false);
    }
    char why[100] = "";
    for (int i = 0; i < 1000 && !sim_is_clean(sim, why, sizeof(why)); i++) {
        for (int j = 0; j < THREADS; j++)
            io_turn(run.server[j].io, env.mono + NS_PER_MS);
        (void)sim_step(sim, UINT64_MAX);
    }
    EXPECT_SPAN(span_str(why), "clean");
    run.trace = sim_trace(sim);
    for (int i = 0; i < THREADS; i++) {
        run.no_buffers += io_stats(run.server[i].io)->no_buffers;
        io_free(&run.server[i].io);
    }
    sim_free(&sim);
    return run;
}

static void equal_seeds_make_equal_runs(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run one = run_echo(seed, &sim_hostile), two = run_echo(seed, &sim_hostile);
        struct run other = run_echo(seed + 100, &sim_hostile);
        EXPECT(one.trace == two.trace);
        EXPECT(one.trace != other.trace);
        EXPECT_EQ(one.ns, two.ns);
        EXPECT_EQ(one.torn, 0);
        EXPECT_EQ(one.whole + one.lost, CLIENTS);
    }
}

static void rough_runs_lose_nothing(void)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct run run = run_echo(seed, &sim_rough);
        EXPECT_EQ(run.whole, CLIENTS);
        EXPECT_EQ(run.torn, 0);
        EXPECT_EQ(run.server[0].served + run.server[1].served, CLIENTS);
        EXPECT_EQ(run.server[0].failed + run.server[1].failed, 0);
    }
}

static void hostile_runs_lose_some(void)
{
    unsigned whole = 0, lost = 0, both = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct run run = run_echo(seed, &sim_hostile);
        whole += run.whole;
        lost += run.lost;
        both += run.server[0].served > 0 && run.server[1].served > 0; // SO_REUSEPORT spreads
    }
    EXPECT(whole > 0);
    EXPECT(lost > 0);
    EXPECT(both > 25);
}

// Sums what ten seeds do under a profile.
static struct run sum_of(const struct sim_profile *profile)
{
    struct run sum = { 0 };
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct run run = run_echo(seed, profile);
        EXPECT_EQ(run.torn, 0);
        sum.ns += run.ns;
        sum.whole += run.whole;
        sum.lost += run.lost;
        sum.no_buffers += run.no_buffers;
        for (int i = 0; i < THREADS; i++) {
            sum.server[0].short_receives += run.server[i].short_receives;
            sum.server[0].accept_errors += run.server[i].accept_errors;
            sum.server[0].failed += run.server[i].failed;
        }
    }
    return sum;
}

// Each chance alone has its effect, and none of the others'.
static void each_fault_happens_when_asked(void)
{
    struct run calm = sum_of(&profile_with_latency);
    EXPECT_EQ(calm.whole, 10 * CLIENTS);
    EXPECT_EQ(calm.no_buffers + calm.server[0].accept_errors, 0);

    struct sim_profile profile = profile_with_latency;
    profile.split = 500;
    profile.jitter_ns_max = NS_PER_MS; // otherwise the pieces arrive together
    unsigned split = sum_of(&profile).server[0].short_receives;
    profile.split = 0;
    EXPECT(split > sum_of(&profile).server[0].short_receives + 100);

    profile = profile_with_latency;
    profile.short_io = 500;
    EXPECT(sum_of(&profile).server[0].short_receives > calm.server[0].short_receives + 100);

    profile = profile_with_latency;
    profile.delay = 500;
    EXPECT(sum_of(&profile).ns > 2 * calm.ns);

    profile = profile_with_latency;
    profile.stall = 100;
    EXPECT(sum_of(&profile).ns > 2 * calm.ns);

    profile = profile_with_latency;
    profile.starve = 200;
    EXPECT(sum_of(&profile).no_buffers > 100);

    profile = profile_with_latency;
    profile.accept_error = 300;
    EXPECT(sum_of(&profile).server[0].accept_errors > 10);

    profile = profile_with_latency;
    profile.reset = 10;
    struct run reset = sum_of(&profile);
    EXPECT(reset.lost > 10);
    EXPECT(reset.server[0].failed > 10);
    EXPECT(reset.whole > 0);
}

TEST_MAIN(TEST(equal_seeds_make_equal_runs), TEST(rough_runs_lose_nothing),
          TEST(hostile_runs_lose_some), TEST(each_fault_happens_when_asked))
