// io_fixture.h - one stage for every backend: an io under test, and peers that the script moves.
//
// Scripts talk to peers through peer_*(), which are loopback sockets for the real backends and
// sim_peers for the simulated one. Nothing here blocks; fx_until() turns the io until a condition
// holds, and fails the case when it takes too long. fx_close() checks what every script must leave
// behind: nothing in flight, no buffer held, no descriptor open.
#ifndef PENSTOCK_IO_FIXTURE_H
#define PENSTOCK_IO_FIXTURE_H

#include "test.h"

#include "io/backend.h"
#include "penstock/base/check.h"
#include "penstock/base/list.h"
#include "penstock/io/sim.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    FX_LONG_MS = 10000,           // a script that waits longer for anything has failed
    FX_LONG_SIM_MS = 3600 * 1000, // simulated connections can be slow
    FX_STEP_MS = 2,               // one turn of fx_until(); peers are looked at in between
    FX_HELD_MAX = 1024,
};

struct fx {
    struct io *io;
    struct sim *sim; // of a simulated io
    struct env_fake fake;
    struct env *env;
    struct io_config config;
    unsigned fds_before;
    unsigned ops;            // in flight, by our own count
    unsigned bufs;           // held by the script
    bool starting;           // inside a starting call: no handler may run
    bool turning;            // inside io_turn(): only then handlers may run
    struct sockaddr_in addr; // of fx_listen()
    int listener;
    struct probe *acceptor; // armed by fx_listen()
    struct list peers;
    unsigned turns;
    bool woken; // set by a script's on_wake(): the turn is over
};

// The far end of a connection.
struct peer {
    int fd;
    struct sim_peer *sim;
    struct list link;  // fx.peers
    uint64_t put, due; // bytes of the pattern written, and to be written
    uint64_t got;      // bytes read
    unsigned torn;     // pieces of these that are not the pattern
    int error;         // what ended it: 0 nothing, 1 FIN, else an errno
    bool shut;         // half-closes once everything is written
};

// Peers and files of the process, for the check that none is left.
static inline unsigned fx_fds(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    verify(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    verify(closedir(dir) == 0);
    return count;
}

// `profile` is of a simulated world, and then the seed as well.
static inline void fx_new(struct fx *fx, const struct io_config *config,
                          const struct sim_profile *profile, uint64_t seed)
{
    char why[256] = "";
    *fx = (struct fx){ .env = env_system(), .config = *config, .listener = -1 };
    list_init(&fx->peers);
    fx->fds_before = fx_fds();
    struct err err;
    if (config->backend == IO_BACKEND_SIM) {
        env_fake_init(&fx->fake, seed);
        fx->env = &fx->fake.env;
        verify(!failed(sim_new(&fx->sim, &fx->fake, profile)));
        err = sim_io_new(fx->sim, config, &fx->io);
    } else {
        err = io_new(&fx->io, config, fx->env, why, sizeof(why));
    }
    if (failed(err))
        fprintf(stderr, "%s: %s\n", err_name(err.code), why);
    verify(!failed(err));
    EXPECT_EQ(io_backend(fx->io), config->backend);
}

static inline uint64_t fx_now(struct fx *fx)
{
    return env_mono_ns(fx->env);
}

static inline void peer_pump(struct peer *peer);

static inline unsigned fx_turn_once(struct fx *fx, uint64_t until_ns)
{
    fx->turns++;
    fx->turning = true;
    unsigned count = io_turn(fx->io, until_ns);
    fx->turning = false;
    return count;
}

// One turn that waits at most `wait_ns`. Peers write what they still have to.
static inline unsigned fx_turn(struct fx *fx, uint64_t wait_ns)
{
    for (struct list *at = fx->peers.next; at != &fx->peers; at = at->next)
        peer_pump(container_of(at, struct peer, link));
    uint64_t until_ns = wait_ns == 0 ? 0 : fx_now(fx) + wait_ns;
    unsigned count = fx_turn_once(fx, until_ns);
    // A simulated turn does not wait: the world jumps instead, and then there is another turn.
    while (fx->sim != NULL && sim_step(fx->sim, until_ns) && count == 0 && fx_now(fx) < until_ns &&
           !fx->woken) {
        count = fx_turn_once(fx, until_ns);
    }
    fx->woken = false;
    EXPECT(count <= IO_TURN_MAX);
    return count;
}

static inline uint64_t fx_long_ns(const struct fx *fx)
{
    return (fx->sim != NULL ? FX_LONG_SIM_MS : FX_LONG_MS) * NS_PER_MS;
}

// Turns until `cond`, which may let peers act, and is not asked again once it was true.
#define fx_until(fx, cond)                                                                \
    do {                                                                                  \
        uint64_t fx_end_ = fx_now(fx) + fx_long_ns(fx);                                   \
        bool fx_good_;                                                                    \
        while (!(fx_good_ = (cond)) && fx_now(fx) < fx_end_)                              \
            fx_turn(fx, FX_STEP_MS *NS_PER_MS);                                           \
        if (!fx_good_) {                                                                  \
            fprintf(stderr, "%s:%d: waited in vain for %s\n", __FILE__, __LINE__, #cond); \
            test_failures++;                                                              \
        }                                                                                 \
    } while (0)

// Turns for a while in which nothing is expected to happen.
static inline void fx_settle(struct fx *fx)
{
    for (int i = 0; i < 10; i++)
        fx_turn(fx, 1 * NS_PER_MS);
}

// --- probes: operations that record what they are told

struct probe {
    struct io_op op;
    struct fx *fx;
    unsigned calls;
    unsigned ends;
    int res;        // of the last call
    bool more;      // of the last call
    bool hold;      // keep buffers
    uint64_t total; // bytes received
    uint64_t due;   // what `total` shall reach; probe_rest() arms again until then
    uint64_t at;    // position in the peer's pattern
    unsigned torn;  // pieces that were not the peer's pattern
    struct buf *held[FX_HELD_MAX];
    unsigned held_count;
    int fds[FX_HELD_MAX]; // IO_ACCEPT
    unsigned fd_count;
    void (*then)(struct probe *probe); // called last in each completion
    struct probe *other;               // for `then`
};

// What every stream of bytes consists of: it repeats after a prime number of bytes, so that a piece
// in the wrong place shows.
enum { PATTERN_PERIOD = 262139 };

// `*len` bytes of the pattern from position `at` on, or fewer.
static inline const char *pattern(uint64_t at, size_t *len)
{
    static char table[PATTERN_PERIOD];
    static bool filled;
    for (uint64_t i = 0; i < PATTERN_PERIOD && !filled; i++)
        table[i] = (char)((i + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 56);
    filled = true;
    size_t from = (size_t)(at % PATTERN_PERIOD);
    *len = min_size(*len, PATTERN_PERIOD - from);
    return table + from;
}

static inline void pattern_fill(char *out, uint64_t at, size_t len)
{
    for (size_t part; len > 0; out += part, at += part, len -= part) {
        part = len;
        const char *from = pattern(at, &part);
        memcpy(out, from, part);
    }
}

// Pieces that are not the pattern.
static inline unsigned pattern_torn(const char *got, uint64_t at, size_t len)
{
    unsigned torn = 0;
    for (size_t part; len > 0; got += part, at += part, len -= part) {
        part = len;
        const char *from = pattern(at, &part);
        torn += memcmp(got, from, part) != 0;
    }
    return torn;
}

static inline void probe_buf(struct probe *probe, struct io_done done)
{
    EXPECT(done.buf != NULL);
    EXPECT(done.res <= (int)done.buf->cap);
    EXPECT_EQ(done.buf->cls, probe->op.cls);
    EXPECT_EQ(done.buf->refs, 1);
    probe->torn += pattern_torn(done.buf->data, probe->at, (size_t)done.res);
    probe->at += (uint64_t)done.res;
    probe->total += (uint64_t)done.res;
    if (!probe->hold) {
        buf_put(done.buf);
        return;
    }
    verify(probe->held_count < FX_HELD_MAX);
    probe->held[probe->held_count++] = done.buf;
    probe->fx->bufs++;
}

static inline void probe_done(struct io_op *op, struct io_done done)
{
    struct probe *probe = container_of(op, struct probe, op);
    EXPECT(!probe->fx->starting);
    EXPECT(probe->fx->turning);
    probe->calls++;
    probe->res = done.res;
    probe->more = (done.flags & IO_MORE) != 0;
    EXPECT(op->in_flight == probe->more);
    if (!probe->more) {
        probe->ends++;
        verify(probe->fx->ops > 0);
        probe->fx->ops--;
    }
    if (op->kind == IO_RECV && done.res > 0)
        probe_buf(probe, done);
    else
        EXPECT(done.buf == NULL);
    if (op->kind == IO_ACCEPT && done.res >= 0) {
        verify(probe->fd_count < FX_HELD_MAX);
        probe->fds[probe->fd_count++] = done.res;
    }
    if (probe->then != NULL)
        probe->then(probe);
}

static inline void probe_init(struct probe *probe, struct fx *fx)
{
    *probe = (struct probe){ .op.on_done = probe_done, .fx = fx };
}

static inline struct probe *probe_new(struct fx *fx)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    verify(probe != NULL);
    probe_init(probe, fx);
    return probe;
}

static inline void probe_free(struct probe *probe)
{
    verify(!probe->op.in_flight); // the io still knows it
    free(probe);
}

static inline void probe_release(struct probe *probe)
{
    while (probe->held_count > 0) {
        buf_put(probe->held[--probe->held_count]);
        probe->fx->bufs--;
    }
}

// Whatever starts goes through here: no handler may run inside.
#define FX_START(probe, call)          \
    do {                               \
        (probe)->fx->starting = true;  \
        (probe)->fx->ops++;            \
        call;                          \
        (probe)->fx->starting = false; \
        EXPECT((probe)->op.in_flight); \
    } while (0)

static inline void fx_accept(struct probe *probe, int fd)
{
    FX_START(probe, io_accept(probe->fx->io, &probe->op, fd));
}

static inline void fx_recv(struct probe *probe, int fd, enum buf_class cls, uint32_t credit)
{
    FX_START(probe, io_recv(probe->fx->io, &probe->op, fd, cls, credit));
}

static inline void fx_recv_into(struct probe *probe, int fd, void *into, size_t len)
{
    FX_START(probe, io_recv_into(probe->fx->io, &probe->op, fd, into, len));
}

static inline void fx_send(struct probe *probe, int fd, const struct iovec *iov, uint32_t count)
{
    FX_START(probe, io_send(probe->fx->io, &probe->op, fd, iov, count));
}

static inline void fx_send_lazy(struct probe *probe, int fd, const struct iovec *iov,
                                uint32_t count)
{
    FX_START(probe, io_send_lazy(probe->fx->io, &probe->op, fd, iov, count));
}

static inline void fx_connect(struct probe *probe, const struct sockaddr_in *addr)
{
    FX_START(probe,
             io_connect(probe->fx->io, &probe->op, (const struct sockaddr *)addr, sizeof(*addr)));
}

static inline void fx_poll(struct probe *probe, int fd, uint32_t events)
{
    FX_START(probe, io_poll(probe->fx->io, &probe->op, fd, events));
}

// A receive may end early at any time: for `then`, arms what is left of `due`.
static inline void probe_rest(struct probe *probe)
{
    if (!probe->more && probe->res > 0 && probe->total < probe->due)
        fx_recv(probe, probe->op.fd, probe->op.cls, (uint32_t)(probe->due - probe->total));
}

// Receives `len` bytes more, in as many operations as it takes.
static inline void fx_recv_all(struct probe *probe, int fd, enum buf_class cls, uint32_t len)
{
    probe->due = probe->total + len;
    probe->then = probe_rest;
    fx_recv(probe, fd, cls, len);
}

static inline void fx_cancel(struct probe *probe)
{
    probe->fx->starting = true;
    io_cancel(probe->fx->io, &probe->op);
    probe->fx->starting = false;
}

static inline void fx_close_fd(struct fx *fx, int fd, bool reset)
{
    bool before = fx->starting;
    fx->starting = true;
    io_close(fx->io, fd, reset);
    fx->starting = before;
}

// --- peers: the far ends, moved by the script

// An address of this process alone: nobody's late connection, to a port that was free a moment ago,
// comes to a listener here.
static inline struct sockaddr_in loopback(uint16_t port)
{
    uint32_t host = 1 + (uint32_t)getpid() % 0xfffffe;
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(0x7f000000 | host) };
}

static inline void fd_unblock(int fd)
{
    verify(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
}

static inline void peer_init(struct peer *peer, struct fx *fx, int fd, struct sim_peer *sim)
{
    verify(fd >= 0 || sim != NULL);
    *peer = (struct peer){ .fd = fd, .sim = sim };
    list_push_back(&fx->peers, &peer->link);
}

// A connection to the io's listener, which the io has yet to accept. `rcvbuf` bounds what the
// peer's kernel takes in before it is read; 0 leaves it.
static inline void peer_dial(struct peer *peer, struct fx *fx, int rcvbuf)
{
    if (fx->sim != NULL) { // its connections are small anyway
        peer_init(peer, fx, -1, sim_dial(fx->sim, (struct sockaddr *)&fx->addr, sizeof(fx->addr)));
        return;
    }
    peer_init(peer, fx, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), NULL);
    if (rcvbuf > 0)
        verify(setsockopt(peer->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf)) == 0);
    verify(connect(peer->fd, (struct sockaddr *)&fx->addr, sizeof(fx->addr)) == 0);
    fd_unblock(peer->fd);
}

// Bytes taken, or a negative errno.
static inline int peer_write(struct peer *peer, const void *bytes, size_t len)
{
    if (peer->sim != NULL) {
        size_t taken = sim_write(peer->sim, bytes, len);
        if (taken == 0 && sim_state(peer->sim) == SIM_RESET)
            return -ECONNRESET;
        return taken == 0 ? -EAGAIN : (int)taken;
    }
    ssize_t put = send(peer->fd, bytes, len, MSG_NOSIGNAL);
    return put < 0 ? -errno : (int)put;
}

// Bytes received, 0 at the io's FIN, or a negative errno.
static inline int peer_read(struct peer *peer, void *into, size_t cap)
{
    if (peer->sim != NULL) {
        size_t taken = sim_read(peer->sim, into, cap);
        if (taken > 0 || sim_at_end(peer->sim))
            return (int)taken;
        return sim_state(peer->sim) == SIM_RESET ? -ECONNRESET : -EAGAIN;
    }
    ssize_t got = recv(peer->fd, into, cap, 0);
    return got < 0 ? -errno : (int)got;
}

static inline void peer_fin(struct peer *peer)
{
    peer->shut = false;
    if (peer->sim != NULL)
        sim_shutdown(peer->sim);
    else
        (void)shutdown(peer->fd, SHUT_WR);
}

static inline void peer_pump(struct peer *peer)
{
    static char bytes[64 * KIB];
    while (peer->put < peer->due && peer->error == 0) {
        size_t len = min_size(peer->due - peer->put, sizeof(bytes));
        pattern_fill(bytes, peer->put, len);
        int put = peer_write(peer, bytes, len);
        if (put == -EAGAIN)
            return;
        if (put < 0)
            peer->error = -put;
        else
            peer->put += (uint64_t)put;
    }
    if (peer->shut && (peer->sim == NULL || sim_state(peer->sim) == SIM_OPEN))
        peer_fin(peer);
}

// Sends `len` further bytes of the pattern: now what the kernel takes, the rest turn by turn.
static inline void peer_send(struct peer *peer, size_t len)
{
    peer->due += len;
    peer_pump(peer);
}

// Reads up to `max` bytes that have come, and compares them with the pattern.
static inline void peer_pull(struct peer *peer, size_t max)
{
    static char bytes[64 * KIB];
    while (max > 0 && peer->error == 0) {
        int got = peer_read(peer, bytes, min_size(max, sizeof(bytes)));
        if (got == -EAGAIN)
            return;
        if (got <= 0) {
            peer->error = got == 0 ? 1 : -got;
            return;
        }
        peer->torn += pattern_torn(bytes, peer->got, (size_t)got);
        peer->got += (uint64_t)got;
        max -= (size_t)got;
    }
}

// For fx_until(): everything that came is read; true at the io's FIN or a failure.
static inline bool peer_at_end(struct peer *peer)
{
    peer_pull(peer, SIZE_MAX);
    return peer->error != 0;
}

static inline void peer_shutdown(struct peer *peer)
{
    peer->shut = true;
    peer_pump(peer);
}

static inline void peer_close(struct peer *peer)
{
    if (peer->sim != NULL)
        sim_close(&peer->sim);
    else
        verify(close(peer->fd) == 0);
    peer->fd = -1;
    list_take(&peer->link);
}

static inline void peer_reset(struct peer *peer)
{
    if (peer->sim != NULL) {
        sim_reset(&peer->sim);
        list_take(&peer->link);
        return;
    }
    struct linger linger = { .l_onoff = 1 };
    verify(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
    peer_close(peer);
}

// --- vendors: listeners that the io connects to

struct vendor {
    int fd;
    struct sim_listener *sim;
    struct sockaddr_in addr;
    int clog[4]; // connections that fill its backlog
};

static inline void vendor_listen(struct vendor *vendor, struct fx *fx, int backlog)
{
    *vendor = (struct vendor){ .fd = -1, .addr = loopback(0), .clog = { -1, -1, -1, -1 } };
    socklen_t len = sizeof(vendor->addr);
    if (fx->sim != NULL) {
        const struct sockaddr *addr = (struct sockaddr *)&vendor->addr;
        vendor->sim =
            backlog == 0 ? sim_blackhole(fx->sim, addr, len) : sim_listen(fx->sim, addr, len);
        struct sockaddr_storage name;
        verify(sim_listener_addr(vendor->sim, &name) == len);
        memcpy(&vendor->addr, &name, len);
        return;
    }
    vendor->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    verify(bind(vendor->fd, (struct sockaddr *)&vendor->addr, len) == 0);
    verify(listen(vendor->fd, backlog) == 0);
    verify(getsockname(vendor->fd, (struct sockaddr *)&vendor->addr, &len) == 0);
}

static inline void vendor_open(struct vendor *vendor, struct fx *fx)
{
    vendor_listen(vendor, fx, 64);
}

// Its backlog is full: the kernel answers no further SYN.
static inline void vendor_open_full(struct vendor *vendor, struct fx *fx)
{
    vendor_listen(vendor, fx, 0);
    if (fx->sim != NULL)
        return;
    for (size_t i = 0; i < ARRAY_LEN(vendor->clog); i++) {
        vendor->clog[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int ret = connect(vendor->clog[i], (struct sockaddr *)&vendor->addr, sizeof(vendor->addr));
        verify(ret == 0 || errno == EINPROGRESS);
    }
}

static inline bool vendor_accept(struct vendor *vendor, struct fx *fx, struct peer *peer)
{
    struct sim_peer *sim = NULL;
    int fd = -1;
    if (fx->sim != NULL)
        sim = sim_accept(vendor->sim);
    else
        fd = accept4(vendor->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && sim == NULL)
        return false;
    peer_init(peer, fx, fd, sim);
    return true;
}

static inline void vendor_close(struct vendor *vendor)
{
    if (vendor->sim != NULL) {
        sim_unlisten(&vendor->sim);
        return;
    }
    verify(close(vendor->fd) == 0);
    for (size_t i = 0; i < ARRAY_LEN(vendor->clog); i++)
        if (vendor->clog[i] >= 0)
            verify(close(vendor->clog[i]) == 0);
}

// --- a descriptor that somebody else owns: readable or not

struct foreign {
    int fd, far;
    struct sim *sim;
};

static inline void foreign_open(struct foreign *foreign, struct fx *fx)
{
    if (fx->sim != NULL) {
        *foreign = (struct foreign){ .fd = sim_foreign(fx->sim), .sim = fx->sim };
        return;
    }
    int fds[2];
    verify(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
    *foreign = (struct foreign){ .fd = fds[0], .far = fds[1] };
}

static inline void foreign_set(struct foreign *foreign, bool readable)
{
    if (foreign->sim != NULL) {
        sim_foreign_set(foreign->sim, foreign->fd, readable ? POLLIN : 0);
        return;
    }
    char byte = 0;
    ssize_t ret = readable ? write(foreign->far, &byte, 1) : read(foreign->fd, &byte, 1);
    verify(ret == 1);
}

static inline void foreign_close(struct foreign *foreign)
{
    if (foreign->sim != NULL) {
        sim_foreign_close(foreign->sim, foreign->fd);
        return;
    }
    verify(close(foreign->fd) == 0);
    verify(close(foreign->far) == 0);
}

// --- the life of a stage

// Leaves room for `room` further descriptors of the io; -1 for as many as there ever were.
static inline void fx_limit(struct fx *fx, int room)
{
    if (fx->sim != NULL) {
        sim_profile(fx->sim)->fd_max = room < 0 ? 65536 : sim_fds(fx->sim) + (unsigned)room;
        return;
    }
    struct rlimit limit;
    verify(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    if (room >= 0) {
        int lowest = dup(STDERR_FILENO); // numbers are given from below
        verify(close(lowest) == 0);
        limit.rlim_cur = (rlim_t)(lowest + room);
    }
    verify(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static inline void fx_accept_again(struct probe *probe)
{
    if (!probe->more && probe->res != -ECANCELED) // a multishot may end at any time
        fx_accept(probe, probe->op.fd);
}

// Listens on a free port and accepts; fx_take() hands out what came.
static inline void fx_listen(struct fx *fx)
{
    fx->addr = loopback(0);
    struct err err =
        io_listen(fx->io, (struct sockaddr *)&fx->addr, sizeof(fx->addr), 1024, &fx->listener);
    verify(!failed(err));
    socklen_t len = sizeof(fx->addr);
    struct sockaddr_storage name;
    if (fx->sim != NULL) {
        verify(sim_fd_addr(fx->sim, fx->listener, &name) == len);
        memcpy(&fx->addr, &name, len);
    } else {
        verify(getsockname(fx->listener, (struct sockaddr *)&fx->addr, &len) == 0);
    }
    fx->acceptor = calloc(1, sizeof(*fx->acceptor));
    probe_init(fx->acceptor, fx);
    fx->acceptor->then = fx_accept_again;
    fx_accept(fx->acceptor, fx->listener);
}

// The oldest accepted connection.
static inline int fx_take(struct fx *fx)
{
    fx_until(fx, fx->acceptor->fd_count > 0);
    if (fx->acceptor->fd_count == 0)
        return -1;
    int fd = fx->acceptor->fds[0];
    fx->acceptor->fd_count--;
    memmove(fx->acceptor->fds, fx->acceptor->fds + 1, fx->acceptor->fd_count * sizeof(int));
    return fd;
}

// A connection: the io's descriptor, and its peer.
static inline int fx_pair(struct fx *fx, struct peer *peer)
{
    peer_dial(peer, fx, 0);
    return fx_take(fx);
}

// Nothing may be left.
static inline void fx_end(struct fx *fx)
{
    if (fx->listener >= 0) {
        fx_close_fd(fx, fx->listener, false);
        fx_until(fx, fx->ops == 0);
        EXPECT_EQ(fx->acceptor->fd_count, 0);
        EXPECT_EQ(fx->acceptor->res, -ECANCELED);
        probe_free(fx->acceptor);
    }
    fx_settle(fx); // a completion that comes twice comes now
    EXPECT_EQ(fx->ops, 0);
    EXPECT_EQ(fx->bufs, 0);
    char why[100];
    if (fx->sim != NULL && !sim_is_clean(fx->sim, why, sizeof(why))) {
        fprintf(stderr, "%s\n", why);
        test_failures++;
    }
    io_free(&fx->io); // asserts that every buffer is back
    sim_free(&fx->sim);
    EXPECT_EQ(fx_fds(), fx->fds_before);
}

typedef void fx_script(struct fx *fx);

static inline void fx_run(fx_script *script, const struct io_config *config,
                          const struct sim_profile *profile, uint64_t seed)
{
    struct fx fx;
    fx_new(&fx, config, profile, seed);
    fx_listen(&fx);
    script(&fx);
    fx_end(&fx);
    if (profile != NULL && test_failures > 0)
        fprintf(stderr, "the seed was %llu\n", (unsigned long long)seed);
}

enum { FX_SEEDS = 30 };

#define FX_CASE static __attribute__((unused)) // not every script runs everywhere

// Defines the test cases of a script, one for each backend; FX_SCRIPT_WITH() with settings.
#define FX_SCRIPT(script) FX_SCRIPT_WITH(script, .entries = 0)
#define FX_SCRIPT_WITH(script, ...)                                             \
    static fx_script script;                                                    \
    FX_CASE void script##_uring(void)                                           \
    {                                                                           \
        struct io_config config = { .backend = IO_BACKEND_URING, __VA_ARGS__ }; \
        fx_run(script, &config, NULL, 0);                                       \
    }                                                                           \
    FX_CASE void script##_epoll(void)                                           \
    {                                                                           \
        struct io_config config = { .backend = IO_BACKEND_EPOLL, __VA_ARGS__ }; \
        fx_run(script, &config, NULL, 0);                                       \
    }                                                                           \
    FX_CASE void script##_sim(void)                                             \
    {                                                                           \
        struct io_config config = { .backend = IO_BACKEND_SIM, __VA_ARGS__ };   \
        fx_run(script, &config, &sim_calm, 1);                                  \
    }                                                                           \
    FX_CASE void script##_sim_rough(void)                                       \
    {                                                                           \
        struct io_config config = { .backend = IO_BACKEND_SIM, __VA_ARGS__ };   \
        for (uint64_t seed = 1; seed <= FX_SEEDS && test_failures == 0; seed++) \
            fx_run(script, &config, &sim_rough, seed);                          \
    }                                                                           \
    static void script(struct fx *fx)

// For TEST_MAIN(). EXACT: counts calls or waits for single ones, so it does not run under faults.
// REAL: needs threads, files or real time.
#define FX_TESTS_REAL(script) TEST(script##_uring), TEST(script##_epoll)
#define FX_TESTS_EXACT(script) FX_TESTS_REAL(script), TEST(script##_sim)
#define FX_TESTS(script) FX_TESTS_EXACT(script), TEST(script##_sim_rough)

#endif
