// What io.h promises of sends, half-closes, closes and resets, on every backend.
#include "io_fixture.h"

enum { LARGE = 8 * MIB, LARGE_SIM = 600 * KIB };

enum { GAP = 64 };

static char large[LARGE + GAP * IO_SEGMENTS_MAX];
static size_t large_filled; // for which length

// More than any connection holds.
static size_t large_len(const struct fx *fx)
{
    return fx->sim != NULL ? LARGE_SIM : LARGE;
}

// Eight segments of odd sizes, an empty one among them, that make up `len` bytes of the pattern.
// They lie apart and backwards in memory, so that what is sent from behind an end shows.
static void segments_fill(struct iovec iov[static IO_SEGMENTS_MAX], size_t len)
{
    static const size_t parts[IO_SEGMENTS_MAX - 1] = { 1, 0, 4097, 777, 100000, 13, 65536 };
    size_t at = 0;
    for (int i = 0; i < IO_SEGMENTS_MAX; i++) {
        size_t part = len - at;
        if (i < IO_SEGMENTS_MAX - 1)
            part = min_size(part, parts[i]);
        char *place = large + (len - at - part) + (size_t)(IO_SEGMENTS_MAX - 1 - i) * GAP;
        if (len != large_filled) {
            memset(place + part, '!', GAP);
            pattern_fill(place, at, part);
        }
        iov[i] = (struct iovec){ place, part };
        at += part;
    }
    large_filled = len;
}

FX_SCRIPT(a_large_send_arrives_whole_at_a_slow_reader)
{
    struct peer peer;
    peer_dial(&peer, fx, 64 * KIB);
    int fd = fx_take(fx);
    struct probe *probe = probe_new(fx);
    struct iovec iov[IO_SEGMENTS_MAX];
    segments_fill(iov, large_len(fx));
    fx_send(probe, fd, iov, IO_SEGMENTS_MAX);
    fx_settle(fx);
    EXPECT_EQ(probe->calls, 0); // nobody can have taken all that
    fx_until(fx, ({
                 peer_pull(&peer, 100001);
                 peer.got == large_len(fx);
             }));
    fx_until(fx, !probe->op.in_flight);
    EXPECT_EQ(probe->res, large_len(fx));
    EXPECT_EQ(probe->calls, 1);
    EXPECT_EQ(peer.torn, 0);
    fx_close_fd(fx, fd, false);
    fx_until(fx, peer_at_end(&peer));
    EXPECT_EQ(peer.error, 1);
    EXPECT_EQ(peer.got, large_len(fx));
    peer_close(&peer);
    probe_free(probe);
}

// Without an operation as much as fits, then the rest with one.
FX_SCRIPT(send_now_sends_what_fits)
{
    struct peer peer;
    peer_dial(&peer, fx, 64 * KIB);
    int fd = fx_take(fx);
    struct probe *probe = probe_new(fx);
    struct iovec iov[IO_SEGMENTS_MAX];
    size_t len = large_len(fx);
    segments_fill(iov, len);
    int first = -EAGAIN;
    fx_until(fx, (first = io_send_now(fx->io, fd, iov, IO_SEGMENTS_MAX)) != -EAGAIN);
    EXPECT(first > 0 && (size_t)first < len); // nobody can have taken all that
    size_t skip = first > 0 ? (size_t)first : 0;
    for (int i = 0; i < IO_SEGMENTS_MAX; i++) {
        size_t part = min_size(skip, iov[i].iov_len);
        iov[i] = (struct iovec){ (char *)iov[i].iov_base + part, iov[i].iov_len - part };
        skip -= part;
    }
    fx_send(probe, fd, iov, IO_SEGMENTS_MAX);
    fx_until(fx, ({
                 peer_pull(&peer, 100001);
                 peer.got == len;
             }));
    fx_until(fx, !probe->op.in_flight);
    EXPECT_EQ(probe->res, len - (size_t)first);
    EXPECT_EQ(peer.torn, 0);
    peer_reset(&peer);
    int last = 1;
    fx_until(fx,
             (last = io_send_now(fx->io, fd, iov + IO_SEGMENTS_MAX - 1, 1)) < 0 && last != -EAGAIN);
    EXPECT(last == -EPIPE || last == -ECONNRESET);
    fx_close_fd(fx, fd, false);
    probe_free(probe);
}

static void send_next(struct probe *probe)
{
    static struct iovec iov;
    if (probe->res <= 0 || probe->total >= 100000)
        return;
    probe->total += (uint64_t)probe->res;
    iov = (struct iovec){ large + probe->total, min_size(1 + probe->total % 3000, 4000) };
    fx_send(probe, probe->op.fd, &iov, 1);
}

// A handler may start its own operation again.
FX_SCRIPT(sends_in_sequence_keep_their_order)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *probe = probe_new(fx);
    pattern_fill(large, 0, sizeof(large));
    large_filled = 0;
    probe->then = send_next;
    struct iovec iov = { large, 1 };
    fx_send(probe, fd, &iov, 1);
    fx_until(fx, ({
                 peer_pull(&peer, SIZE_MAX);
                 !probe->op.in_flight;
             }));
    EXPECT(probe->res > 0);
    fx_close_fd(fx, fd, false);
    fx_until(fx, peer_at_end(&peer));
    EXPECT_EQ(peer.error, 1);
    EXPECT_EQ(peer.got, probe->total + (uint64_t)probe->res);
    EXPECT_EQ(peer.torn, 0);
    peer_close(&peer);
    probe_free(probe);
}

static void send_again(struct probe *probe)
{
    static const struct iovec iov = { large, 1 };
    if (probe->res > 0)
        fx_send(probe, probe->op.fd, &iov, 1);
}

// A connection whose every completion starts the next operation leaves room for the others.
FX_SCRIPT(a_busy_sender_starves_nobody)
{
    struct peer busy, quiet;
    int busy_fd = fx_pair(fx, &busy), quiet_fd = fx_pair(fx, &quiet);
    struct probe *out = probe_new(fx), *in = probe_new(fx);
    fx_recv(in, quiet_fd, BUF_SMALL, 1);
    struct iovec iov = { large, 1 };
    out->then = send_again;
    fx_send(out, busy_fd, &iov, 1);
    fx_until(fx, ({
                 peer_pull(&busy, SIZE_MAX);
                 out->calls > 10;
             }));
    unsigned calls = out->calls;
    peer_send(&quiet, 1);
    fx_until(fx, ({
                 peer_pull(&busy, SIZE_MAX);
                 in->total == 1;
             }));
    EXPECT(out->calls - calls < 50);
    out->then = NULL;
    fx_until(fx, ({
                 peer_pull(&busy, SIZE_MAX);
                 !out->op.in_flight;
             }));
    fx_close_fd(fx, busy_fd, false);
    fx_close_fd(fx, quiet_fd, false);
    peer_close(&busy);
    peer_close(&quiet);
    probe_free(out);
    probe_free(in);
}

// Both directions at once, on one socket.
FX_SCRIPT(a_socket_sends_and_receives_at_once)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *out = probe_new(fx), *in = probe_new(fx);
    struct iovec iov[IO_SEGMENTS_MAX];
    segments_fill(iov, MIB);
    peer_send(&peer, MIB);
    fx_send(out, fd, iov, IO_SEGMENTS_MAX);
    fx_recv_all(in, fd, BUF_LARGE, MIB);
    fx_until(fx, ({
                 peer_pull(&peer, SIZE_MAX);
                 peer.got == MIB && in->total == MIB;
             }));
    fx_until(fx, !out->op.in_flight);
    EXPECT_EQ(out->res, MIB);
    EXPECT_EQ(peer.torn, 0);
    EXPECT_EQ(in->torn, 0);
    fx_close_fd(fx, fd, false);
    peer_close(&peer);
    probe_free(in);
    probe_free(out);
}

// The peer resets: what is on its way fails, and so does whatever comes later. No SIGPIPE comes: it
// would end this program.
FX_SCRIPT(a_send_to_a_reset_peer_fails)
{
    for (int way = 0; way < 3; way++) {
        struct peer peer;
        peer_dial(&peer, fx, 64 * KIB);
        int fd = fx_take(fx);
        struct probe *probe = probe_new(fx);
        struct iovec iov[IO_SEGMENTS_MAX];
        segments_fill(iov, large_len(fx));
        if (way == 0) // blocked half way
            fx_send(probe, fd, iov, IO_SEGMENTS_MAX);
        fx_settle(fx);
        if (way == 2)
            peer_close(&peer); // a full close: the first bytes meet nobody
        else
            peer_reset(&peer);
        fx_settle(fx);
        if (way > 0)
            fx_send(probe, fd, iov, IO_SEGMENTS_MAX);
        fx_until(fx, !probe->op.in_flight);
        EXPECT(probe->res < (int)large_len(fx));
        for (int i = 0; i < 2 || (i < 100 && probe->res > 0); i++) {
            fx_settle(fx); // until the RST is here
            fx_send(probe, fd, iov, 1);
            fx_until(fx, !probe->op.in_flight);
        }
        EXPECT(probe->res == -EPIPE || probe->res == -ECONNRESET);
        fx_close_fd(fx, fd, false);
        probe_free(probe);
    }
}

// A blocked send ends when it is given up; what it had sent stays a prefix of what it should send.
FX_SCRIPT(a_blocked_send_can_end)
{
    for (int way = 0; way < 3; way++) {
        struct peer peer;
        peer_dial(&peer, fx, 64 * KIB);
        int fd = fx_take(fx);
        struct probe *probe = probe_new(fx);
        struct iovec iov[IO_SEGMENTS_MAX];
        segments_fill(iov, large_len(fx));
        fx_send(probe, fd, iov, IO_SEGMENTS_MAX);
        if (way > 0)
            fx_settle(fx);
        if (way < 2)
            fx_cancel(probe);
        else
            fx_close_fd(fx, fd, false);
        fx_until(fx, !probe->op.in_flight);
        EXPECT_EQ(probe->calls, 1);
        EXPECT(probe->res == -ECANCELED || (probe->res > 0 && probe->res < (int)large_len(fx)));
        if (way < 2)
            fx_close_fd(fx, fd, false);
        fx_until(fx, peer_at_end(&peer));
        EXPECT_EQ(peer.error, 1);
        EXPECT_EQ(peer.torn, 0);
        EXPECT(peer.got < large_len(fx));
        if (probe->res > 0)
            EXPECT(peer.got >= (uint64_t)probe->res);
        peer_close(&peer);
        probe_free(probe);
    }
}

FX_SCRIPT(a_shutdown_is_a_half_close)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *out = probe_new(fx), *in = probe_new(fx);
    struct iovec iov[IO_SEGMENTS_MAX];
    segments_fill(iov, 150000);
    fx_recv_all(in, fd, BUF_SMALL, 100000);
    fx_send(out, fd, iov, IO_SEGMENTS_MAX);
    fx_until(fx, ({
                 peer_pull(&peer, SIZE_MAX);
                 !out->op.in_flight;
             }));
    io_shutdown(fx->io, fd);
    fx_until(fx, peer_at_end(&peer));
    EXPECT_EQ(peer.error, 1); // FIN, after all bytes
    EXPECT_EQ(peer.got, 150000);
    EXPECT_EQ(peer.torn, 0);
    peer.error = 0;
    peer_send(&peer, 50000); // the other way is open
    fx_until(fx, in->total == 50000);
    fx_send(out, fd, iov, 1);
    fx_until(fx, !out->op.in_flight);
    EXPECT_EQ(out->res, -EPIPE);
    peer_close(&peer);
    fx_until(fx, !in->op.in_flight);
    EXPECT_EQ(in->res, 0);
    EXPECT_EQ(in->torn, 0);
    fx_close_fd(fx, fd, false);
    probe_free(in);
    probe_free(out);
}

// The peer sees the end at once although a receive is armed, and the receive ends.
FX_SCRIPT(a_close_with_a_receive_armed_sends_fin)
{
    for (int way = 0; way < 4; way++) {
        struct peer peer;
        int fd = fx_pair(fx, &peer);
        struct probe *probe = probe_new(fx);
        static char into[10];
        if (way % 2 == 0)
            fx_recv(probe, fd, BUF_SMALL, 1000);
        else
            fx_recv_into(probe, fd, into, sizeof(into));
        fx_settle(fx);
        fx_close_fd(fx, fd, way >= 2);
        fx_until(fx, peer_at_end(&peer));
        EXPECT_EQ(peer.error, way >= 2 ? ECONNRESET : 1);
        fx_until(fx, !probe->op.in_flight);
        EXPECT_EQ(probe->res, -ECANCELED);
        EXPECT_EQ(probe->calls, 1);
        peer_close(&peer);
        probe_free(probe);
    }
}

// Closed before the loop has even handed the operations over.
FX_SCRIPT(a_close_right_after_the_start_ends_everything)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *in = probe_new(fx), *out = probe_new(fx);
    struct iovec iov = { large, 100 };
    fx_recv(in, fd, BUF_SMALL, 1000);
    fx_send(out, fd, &iov, 1);
    fx_close_fd(fx, fd, false);
    fx_until(fx, !in->op.in_flight && !out->op.in_flight);
    EXPECT_EQ(in->res, -ECANCELED);
    EXPECT(out->res == -ECANCELED || (out->res > 0 && out->res <= 100));
    fx_until(fx, peer_at_end(&peer));
    EXPECT_EQ(peer.error, 1);
    peer_close(&peer);
    probe_free(in);
    probe_free(out);
}

static void close_own(struct probe *probe)
{
    if (probe->calls == 1)
        fx_close_fd(probe->fx, probe->op.fd, false);
}

// A handler closes its own socket; the next connection gets the same number, and nothing of the old
// one reaches it.
FX_SCRIPT(a_number_that_comes_back_is_another_socket)
{
    struct peer first, second;
    int spare = dup(STDERR_FILENO); // the second peer takes this number, being the lowest
    int fd = fx_pair(fx, &first);
    struct probe *old = probe_new(fx), *fresh = probe_new(fx);
    peer_send(&first, 20000);
    fx_settle(fx);
    old->then = close_own;
    fx_recv(old, fd, BUF_SMALL, 100000);
    fx_until(fx, old->calls > 0);
    verify(close(spare) == 0);
    int again = fx_pair(fx, &second);
    EXPECT_EQ(again, fd);
    fx_recv_all(fresh, again, BUF_SMALL, 5000);
    peer_send(&second, 5000);
    fx_until(fx, fresh->total == 5000);
    fx_until(fx, !old->op.in_flight);
    EXPECT_EQ(old->res, -ECANCELED);
    EXPECT_EQ(old->ends, 1);
    EXPECT_EQ(old->torn, 0);
    EXPECT_EQ(fresh->torn, 0);
    fx_close_fd(fx, again, false);
    peer_close(&first);
    peer_close(&second);
    probe_free(old);
    probe_free(fresh);
}

enum { LAZY_TOTAL = 512 * KIB, LAZY_MAX = 20000 };

// Of all lengths, in one, two or three segments.
static void lazy_next(struct probe *probe)
{
    static struct iovec iov[3];
    if (probe->calls > 0) {
        EXPECT_EQ(probe->res, probe->due);
        probe->total += (uint64_t)probe->res;
    }
    if (probe->calls > 0 && (probe->res <= 0 || probe->total >= LAZY_TOTAL))
        return;
    probe->due = 1 + probe->total * 7919 % LAZY_MAX;
    size_t third = (size_t)probe->due / 3;
    uint32_t count = third > 0 ? 1 + probe->calls % 3 : 1;
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++, at += third) {
        char *from = large + (probe->total + at) % PATTERN_PERIOD;
        iov[i] = (struct iovec){ from, i + 1 < count ? third : (size_t)probe->due - at };
    }
    fx_send_lazy(probe, probe->op.fd, iov, count);
}

// Whether the socket has room for all, some or nothing of it: nobody sees a difference.
FX_SCRIPT(lazy_sends_arrive_whole_at_a_slow_reader)
{
    struct peer peer;
    peer_dial(&peer, fx, 64 * KIB);
    struct probe *probe = probe_new(fx);
    probe->op.fd = fx_take(fx);
    pattern_fill(large, 0, PATTERN_PERIOD + LAZY_MAX);
    large_filled = 0;
    probe->then = lazy_next;
    lazy_next(probe);
    for (int i = 0; i < 50; i++) // until nothing fits any more
        fx_turn(fx, 1 * NS_PER_MS);
    fx_until(fx, ({
                 peer_pull(&peer, 50001);
                 !probe->op.in_flight;
             }));
    EXPECT(probe->total >= LAZY_TOTAL);
    fx_close_fd(fx, probe->op.fd, false);
    fx_until(fx, ({
                 peer_pull(&peer, SIZE_MAX);
                 peer_at_end(&peer);
             }));
    EXPECT_EQ(peer.error, 1);
    EXPECT_EQ(peer.got, probe->total);
    EXPECT_EQ(peer.torn, 0);
    peer_close(&peer);
    probe_free(probe);
}

// A lazy send that cannot go on waits like any other, and ends like any other.
FX_SCRIPT(a_blocked_lazy_send_can_end)
{
    for (int reset = 0; reset < 2; reset++) {
        struct peer peer;
        peer_dial(&peer, fx, 64 * KIB);
        struct probe *probe = probe_new(fx);
        probe->op.fd = fx_take(fx);
        pattern_fill(large, 0, PATTERN_PERIOD + LAZY_MAX);
        large_filled = 0;
        struct iovec iov = { large, 12000 };
        unsigned calls = 0;
        do {
            fx_send_lazy(probe, probe->op.fd, &iov, 1);
            for (int i = 0; i < 20 && probe->op.in_flight; i++)
                fx_turn(fx, 1 * NS_PER_MS);
        } while (!probe->op.in_flight && ++calls < 10000);
        EXPECT(probe->op.in_flight); // nobody reads
        if (reset)
            peer_reset(&peer);
        else
            io_cancel(fx->io, &probe->op);
        fx_until(fx, !probe->op.in_flight);
        EXPECT(probe->res == -ECANCELED || probe->res == -ECONNRESET || probe->res == -EPIPE ||
               (probe->res > 0 && probe->res < 12000));
        fx_close_fd(fx, probe->op.fd, false);
        if (!reset)
            peer_close(&peer);
        probe_free(probe);
    }
}

TEST_MAIN(FX_TESTS(a_large_send_arrives_whole_at_a_slow_reader), FX_TESTS(send_now_sends_what_fits),
          FX_TESTS(sends_in_sequence_keep_their_order),
          FX_TESTS_EXACT(a_busy_sender_starves_nobody),
          FX_TESTS(a_socket_sends_and_receives_at_once), FX_TESTS(a_send_to_a_reset_peer_fails),
          FX_TESTS(a_blocked_send_can_end), FX_TESTS(lazy_sends_arrive_whole_at_a_slow_reader),
          FX_TESTS(a_blocked_lazy_send_can_end), FX_TESTS(a_shutdown_is_a_half_close),
          FX_TESTS(a_close_with_a_receive_armed_sends_fin),
          FX_TESTS(a_close_right_after_the_start_ends_everything),
          FX_TESTS_EXACT(a_number_that_comes_back_is_another_socket))
