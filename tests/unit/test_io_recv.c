// What io.h promises of receives, on every backend.
#include "io_fixture.h"

#include <linux/tcp.h> // tcpi_segs_in is newer than the other header

FX_SCRIPT(a_credit_is_exact)
{
    static const uint32_t credits[] = { 1, 2, 4095, 4096, 4097, 16384, 65536, 100000, 200000 };
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *probe = probe_new(fx);
    uint64_t due = 0;
    for (size_t i = 0; i < ARRAY_LEN(credits); i++) {
        peer_send(&peer, credits[i] + 10); // always more than the credit
        due += credits[i];
        fx_recv_all(probe, fd, i % 2 == 0 ? BUF_SMALL : BUF_LARGE, credits[i]);
        fx_until(fx, probe->total >= due);
        fx_settle(fx);
        EXPECT_EQ(probe->total, due);
        EXPECT(!probe->op.in_flight);
    }
    peer_shutdown(&peer);
    fx_recv_all(probe, fd, BUF_LARGE, 1000000);
    fx_until(fx, !probe->op.in_flight);
    EXPECT_EQ(probe->res, 0);
    EXPECT_EQ(probe->total, peer.due);
    EXPECT_EQ(probe->torn, 0);
    peer_close(&peer);
    fx_close_fd(fx, fd, false);
    probe_free(probe);
}

// A multishot ends only with its credit; every call before says that more follow.
FX_SCRIPT(a_receive_ends_with_its_credit)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *probe = probe_new(fx);
    fx_recv(probe, fd, BUF_SMALL, 10000);
    for (int i = 0; i < 10; i++) {
        uint64_t total = probe->total;
        peer_send(&peer, 1000);
        fx_until(fx, probe->total == total + 1000);
        EXPECT_EQ(probe->more, i < 9);
    }
    EXPECT_EQ(probe->calls, 10);
    EXPECT_EQ(probe->ends, 1);
    EXPECT_EQ(probe->torn, 0);
    peer_close(&peer);
    fx_close_fd(fx, fd, false);
    probe_free(probe);
}

// What was let go may come again: such a receive goes on, and ends with its credit when nobody
// raises that any more.
FX_SCRIPT(a_receive_goes_on_while_its_credit_is_raised)
{
    enum { CREDIT = 20000, PIECE = 3000, RAISED = 40, MORE = CREDIT / PIECE };
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *probe = probe_new(fx);
    fx_recv(probe, fd, BUF_SMALL, CREDIT);
    for (uint64_t i = 1; i <= RAISED + MORE; i++) {
        peer_send(&peer, PIECE);
        fx_until(fx, probe->total == i * PIECE);
        EXPECT(probe->more);
        EXPECT_EQ(probe->calls, i); // none came in two
        if (i <= RAISED)
            io_recv_raise(&probe->op, CREDIT);
    }
    io_recv_raise(&probe->op, 1); // less than is left
    peer_send(&peer, PIECE);
    fx_until(fx, !probe->op.in_flight);
    EXPECT_EQ(probe->total, RAISED * PIECE + CREDIT);
    EXPECT_EQ(probe->torn, 0);
    io_recv_raise(&probe->op, PIECE); // nothing is in flight: nothing happens
    EXPECT(!probe->op.in_flight);
    peer_close(&peer);
    fx_close_fd(fx, fd, false);
    probe_free(probe);
}

enum { PACED = 64 };

// Segments that come back to the sender of so many small pieces, each read before the next.
struct paced {
    unsigned acks;
    bool still_late; // at the end
};

static struct paced send_paced(struct fx *fx, bool late, int nodelay)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *probe = probe_new(fx);
    struct tcp_info info;
    socklen_t len = sizeof(info);
    verify(setsockopt(peer.fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, sizeof(nodelay)) == 0);
    fx_recv_all(probe, fd, BUF_SMALL, PACED * 300);
    verify(getsockopt(peer.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
    const unsigned before = info.tcpi_segs_in;
    for (uint64_t i = 1; i <= PACED; i++) {
        peer_send(&peer, 300);
        fx_until(fx, probe->total == i * 300);
        if (i == 1 && late)
            io_ack_late(fx->io, fd);
    }
    struct paced paced = { .still_late = io_acks_late(fx->io, fd) };
    verify(getsockopt(peer.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
    paced.acks = info.tcpi_segs_in - before;
    peer_close(&peer);
    fx_close_fd(fx, fd, false);
    probe_free(probe);
    return paced;
}

FX_SCRIPT(small_pieces_are_acknowledged_together)
{
    struct paced each = send_paced(fx, false, 1);
    EXPECT(!each.still_late);
    struct paced late = send_paced(fx, true, 1);
    EXPECT(late.still_late);
    EXPECT(late.acks <= PACED * 3 / 4);
    EXPECT(late.acks < each.acks);
}

// A peer that waits for acknowledgements is seen by what becomes of the advice.
FX_SCRIPT(late_acknowledgements_end_where_a_peer_waits_for_them)
{
    struct paced waits = send_paced(fx, true, 0);
    EXPECT(!waits.still_late);
}

enum { BURST = 100 };

FX_SCRIPT(a_burst_of_100_arrives_whole)
{
    static struct peer peers[BURST];
    int fds[BURST];
    struct probe *probes[BURST];
    for (int i = 0; i < BURST; i++)
        fds[i] = fx_pair(fx, &peers[i]);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BURST; i++)
            peer_send(&peers[i], 100);
        if (round == 0)
            for (int i = 0; i < BURST; i++)
                fx_recv_all(probes[i] = probe_new(fx), fds[i], BUF_SMALL, 250);
        uint64_t total = 0;
        fx_until(fx, ({
                     total = 0;
                     for (int i = 0; i < BURST; i++)
                         total += probes[i]->total;
                     total == (uint64_t)min_u64((uint64_t)(round + 1) * 100, 250) * BURST;
                 }));
    }
    for (int i = 0; i < BURST; i++) {
        EXPECT_EQ(probes[i]->torn, 0);
        EXPECT(!probes[i]->op.in_flight);
        peer_close(&peers[i]);
        fx_close_fd(fx, fds[i], false);
        probe_free(probes[i]);
    }
}

// More sockets are ready than one turn may tell of (fx_turn() counts); none is forgotten.
FX_SCRIPT(a_turn_is_bounded)
{
    enum { MANY = IO_TURN_MAX + 100, EACH = 2 * BUF_SMALL_BYTES + 1 };
    static struct peer peers[MANY];
    static int fds[MANY];
    static struct probe *probes[MANY];
    for (int i = 0; i < MANY; i++) {
        fds[i] = fx_pair(fx, &peers[i]);
        fx_recv_all(probes[i] = probe_new(fx), fds[i], BUF_SMALL, EACH);
    }
    fx_settle(fx);
    for (int i = 0; i < MANY; i++)
        peer_send(&peers[i], EACH);
    unsigned most = 0;
    uint64_t total = 0;
    fx_until(fx, ({
                 most = (unsigned)max_u64(most, fx_turn(fx, FX_STEP_MS * NS_PER_MS));
                 total = 0;
                 for (int i = 0; i < MANY; i++)
                     total += probes[i]->total;
                 total == (uint64_t)MANY *EACH;
             }));
    EXPECT(most >= 100); // otherwise this has tried nothing
    char byte = 0;
    struct iovec iov = { &byte, 1 };
    for (int i = 0; i < MANY; i++) { // and as many sends in one turn
        probes[i]->then = NULL;
        fx_send(probes[i], fds[i], &iov, 1);
    }
    fx_until(fx, fx->ops == 1);
    for (int i = 0; i < MANY; i++)
        fx_recv(probes[i], fds[i], BUF_SMALL, 1);
    for (int i = 0; i < MANY; i++) // and as many cancels
        fx_cancel(probes[i]);
    fx_until(fx, fx->ops == 1);
    struct foreign foreign;
    foreign_open(&foreign, fx);
    foreign_set(&foreign, true);
    for (int i = 0; i < MANY; i++) // and as many polls
        fx_poll(probes[i], foreign.fd, POLLIN);
    fx_until(fx, fx->ops == 1);
    foreign_close(&foreign);
    for (int i = 0; i < MANY; i++) {
        EXPECT_EQ(probes[i]->torn, 0);
        EXPECT(!probes[i]->op.in_flight);
        peer_close(&peers[i]);
        fx_close_fd(fx, fds[i], false);
        probe_free(probes[i]);
    }
}

// A peer that floods does not keep the others waiting.
FX_SCRIPT(a_flood_leaves_room_for_others)
{
    struct peer loud, quiet;
    int loud_fd = fx_pair(fx, &loud), quiet_fd = fx_pair(fx, &quiet);
    struct probe *flood = probe_new(fx), *drop = probe_new(fx);
    peer_send(&loud, 64 * MIB);
    fx_recv_all(flood, loud_fd, BUF_SMALL, 64 * MIB);
    fx_until(fx, flood->total > MIB);
    uint64_t before = flood->total;
    peer_send(&quiet, 1);
    fx_recv(drop, quiet_fd, BUF_SMALL, 1);
    fx_until(fx, drop->total == 1);
    EXPECT(flood->total - before <= 512 * KIB);
    EXPECT_EQ(flood->torn, 0);
    fx_close_fd(fx, loud_fd, true);
    fx_until(fx, !flood->op.in_flight);
    peer_close(&loud);
    peer_close(&quiet);
    fx_close_fd(fx, quiet_fd, false);
    probe_free(flood);
    probe_free(drop);
}

FX_SCRIPT(classes_do_not_mix)
{
    struct peer one, two;
    int fd_one = fx_pair(fx, &one), fd_two = fx_pair(fx, &two);
    struct probe *small = probe_new(fx), *large = probe_new(fx);
    small->hold = large->hold = true;
    peer_send(&one, 64 * KIB);
    peer_send(&two, 64 * KIB);
    fx_recv_all(small, fd_one, BUF_SMALL, 64 * KIB);
    fx_recv_all(large, fd_two, BUF_LARGE, 64 * KIB);
    fx_until(fx, small->total == 64 * KIB && large->total == 64 * KIB);
    for (unsigned i = 0; i < small->held_count; i++)
        EXPECT_EQ(small->held[i]->cap, BUF_SMALL_BYTES);
    for (unsigned i = 0; i < large->held_count; i++)
        EXPECT_EQ(large->held[i]->cap, BUF_LARGE_BYTES);
    EXPECT(small->held_count >= 16);
    EXPECT(large->held_count >= 4);
    EXPECT_EQ(small->torn + large->torn, 0);
    probe_release(small);
    probe_release(large);
    peer_close(&one);
    peer_close(&two);
    fx_close_fd(fx, fd_one, false);
    fx_close_fd(fx, fd_two, false);
    probe_free(small);
    probe_free(large);
}

// Two receives share the four buffers of a class. While all are held both wait, without work for
// the loop, and the other class goes on. Each returned buffer lets one of them go on, and neither
// starves.
static void share_buffers(struct fx *fx, enum buf_class cls)
{
    enum { BUFS = 40 };
    enum buf_class other = cls == BUF_SMALL ? BUF_LARGE : BUF_SMALL;
    uint32_t len = BUFS * (cls == BUF_SMALL ? BUF_SMALL_BYTES : BUF_LARGE_BYTES);
    struct peer peers[3];
    struct probe *probes[3];
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = fx_pair(fx, &peers[i]);
        peer_send(&peers[i], len);
        probes[i] = probe_new(fx);
        probes[i]->hold = true;
        if (i < 2)
            fx_recv_all(probes[i], fds[i], cls, len);
    }
    fx_until(fx, fx->bufs == 4);
    fx_settle(fx);
    EXPECT_EQ(fx->bufs, 4);
    EXPECT(probes[0]->op.in_flight && probes[1]->op.in_flight);
    EXPECT(io_stats(fx->io)->no_buffers > 0);
    uint64_t before_ns = fx_now(fx);
    uint64_t syscalls = io_stats(fx->io)->syscalls;
    unsigned calls = probes[0]->calls + probes[1]->calls;
    fx_turn(fx, 50 * NS_PER_MS); // sleeps: a parked receive is not tried again and again
    EXPECT(fx_now(fx) - before_ns >= 45 * NS_PER_MS);
    EXPECT(io_stats(fx->io)->syscalls - syscalls < 20);
    EXPECT_EQ(probes[0]->calls + probes[1]->calls, calls);

    fx_recv_all(probes[2], fds[2], other, 100);
    fx_until(fx, probes[2]->total == 100);
    for (int i = 0; probes[0]->op.in_flight && probes[1]->op.in_flight; i++) {
        struct probe *holder = probes[probes[i % 2]->held_count == 0 ? 1 - i % 2 : i % 2];
        calls = probes[0]->calls + probes[1]->calls;
        buf_put(holder->held[--holder->held_count]);
        fx->bufs--;
        fx_until(fx, probes[0]->calls + probes[1]->calls > calls);
        if (test_failures > 0)
            break;
    }
    EXPECT(min_u64(probes[0]->total, probes[1]->total) > len / 2);
    for (int i = 0; i < 3; i++)
        probes[i]->hold = false;
    for (int i = 0; i < 3; i++)
        probe_release(probes[i]);
    fx_until(fx, !probes[0]->op.in_flight && !probes[1]->op.in_flight);
    EXPECT_EQ(probes[0]->total + probes[1]->total, 2 * len);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(probes[i]->torn, 0);
        peer_close(&peers[i]);
        fx_close_fd(fx, fds[i], false);
        probe_free(probes[i]);
    }
}

FX_SCRIPT_WITH(an_empty_pool_parks_receives, .bufs_small = 4, .bufs_large = 4)
{
    share_buffers(fx, BUF_SMALL);
    share_buffers(fx, BUF_LARGE);
}

// A receive that waits for a buffer can be given up.
FX_SCRIPT_WITH(a_parked_receive_can_end, .bufs_small = 1, .bufs_large = 1)
{
    for (int way = 0; way < 3; way++) {
        struct peer peer, other;
        int fd = fx_pair(fx, &peer), fd_other = fx_pair(fx, &other);
        struct probe *holder = probe_new(fx), *parked = probe_new(fx);
        holder->hold = true;
        peer_send(&other, 10);
        fx_recv(holder, fd_other, BUF_SMALL, 10);
        fx_until(fx, holder->total == 10);
        peer_send(&peer, 10);
        fx_recv(parked, fd, BUF_SMALL, 100);
        fx_settle(fx);
        EXPECT_EQ(parked->calls, 0);
        if (way == 0)
            fx_cancel(parked);
        else
            fx_close_fd(fx, fd, way == 2);
        fx_until(fx, !parked->op.in_flight);
        EXPECT_EQ(parked->res, -ECANCELED);
        EXPECT_EQ(parked->calls, 1);
        probe_release(holder);
        fx_settle(fx);
        EXPECT_EQ(parked->calls, 1);
        if (way == 0)
            fx_close_fd(fx, fd, false);
        fx_close_fd(fx, fd_other, false);
        peer_close(&peer);
        peer_close(&other);
        probe_free(parked);
        probe_free(holder);
    }
}

FX_SCRIPT(a_fin_comes_after_the_bytes)
{
    for (int way = 0; way < 3; way++) {
        struct peer peer;
        int fd = fx_pair(fx, &peer);
        struct probe *probe = probe_new(fx);
        if (way == 0) // armed long before
            fx_recv_all(probe, fd, BUF_SMALL, 100000);
        fx_settle(fx);
        if (way < 2)
            peer_send(&peer, 1000);
        peer_shutdown(&peer);
        if (way == 1) // everything is there before it is armed
            fx_settle(fx);
        if (way > 0)
            fx_recv_all(probe, fd, BUF_SMALL, 100000);
        fx_until(fx, probe->ends > 0 && !probe->op.in_flight);
        EXPECT_EQ(probe->res, 0);
        EXPECT_EQ(probe->total, way < 2 ? 1000 : 0);
        EXPECT_EQ(probe->torn, 0);
        // The end stays: whoever asks again is told again.
        fx_recv(probe, fd, BUF_SMALL, 10);
        fx_until(fx, !probe->op.in_flight);
        EXPECT_EQ(probe->res, 0);
        peer_close(&peer);
        fx_close_fd(fx, fd, false);
        probe_free(probe);
    }
}

// The peer resets after any number of bytes: what comes is a prefix, then one error, then nothing.
FX_SCRIPT(a_reset_ends_a_receive)
{
    static const size_t sizes[] = { 0, 1, 100, 4096, 5000, 100000 };
    for (size_t i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
        size_t size = sizes[i / 2];
        struct peer peer;
        int fd = fx_pair(fx, &peer);
        struct probe *probe = probe_new(fx);
        fx_recv_all(probe, fd, BUF_SMALL, 200000);
        peer_send(&peer, size);
        if (i % 2 == 0)
            fx_until(fx, probe->total == size);
        peer_reset(&peer);
        fx_until(fx, !probe->op.in_flight);
        EXPECT_EQ(probe->res, -ECONNRESET);
        EXPECT(probe->total <= size);
        EXPECT_EQ(probe->torn, 0);
        fx_recv(probe, fd, BUF_SMALL, 10); // told once, then it is an end
        fx_until(fx, !probe->op.in_flight);
        EXPECT_EQ(probe->res, 0);
        fx_close_fd(fx, fd, false);
        probe_free(probe);
    }
}

FX_SCRIPT(recv_into_fills_the_callers_memory)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *probe = probe_new(fx);
    static char into[1000];
    uint64_t got = 0;
    peer_send(&peer, 2500);
    while (got < 2500 && test_failures == 0) {
        memset(into, 0, sizeof(into));
        fx_recv_into(probe, fd, into, 700);
        fx_until(fx, !probe->op.in_flight);
        EXPECT(probe->res > 0 && probe->res <= 700);
        EXPECT_EQ(pattern_torn(into, got, (size_t)probe->res), 0);
        for (size_t i = 700; i < sizeof(into); i++)
            EXPECT_EQ(into[i], 0);
        got += (uint64_t)probe->res;
    }
    EXPECT_EQ(got, 2500);
    fx_recv_into(probe, fd, into, 700);
    fx_settle(fx);
    EXPECT(probe->op.in_flight);
    peer_send(&peer, 1);
    fx_until(fx, !probe->op.in_flight);
    EXPECT_EQ(probe->res, 1);
    peer_close(&peer);
    fx_recv_into(probe, fd, into, 700);
    fx_until(fx, !probe->op.in_flight);
    EXPECT_EQ(probe->res, 0);
    fx_close_fd(fx, fd, false);
    probe_free(probe);
}

// Without an operation: what is there, and nothing else.
FX_SCRIPT(recv_now_takes_what_is_there)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    struct probe *probe = probe_new(fx);
    static char into[1000];
    EXPECT_EQ(io_recv_now(fx->io, fd, into, 700), -EAGAIN);
    peer_send(&peer, 2500);
    uint64_t got = 0;
    fx_until(fx, ({
                 memset(into, 0, sizeof(into));
                 int res = io_recv_now(fx->io, fd, into, 700);
                 EXPECT(res == -EAGAIN || (res > 0 && res <= 700));
                 if (res > 0) {
                     EXPECT_EQ(pattern_torn(into, got, (size_t)res), 0);
                     EXPECT_EQ(into[700], 0);
                     got += (uint64_t)res;
                 }
                 got == 2500;
             }));
    // An operation goes on where it ended, and the other way round.
    fx_recv_into(probe, fd, into, 700);
    fx_settle(fx);
    EXPECT(probe->op.in_flight);
    peer_send(&peer, 1);
    fx_until(fx, !probe->op.in_flight);
    EXPECT_EQ(probe->res, 1);
    EXPECT_EQ(pattern_torn(into, got, 1), 0);
    EXPECT_EQ(io_recv_now(fx->io, fd, into, 700), -EAGAIN);
    peer_close(&peer);
    int last = -EAGAIN;
    fx_until(fx, (last = io_recv_now(fx->io, fd, into, 700)) != -EAGAIN);
    EXPECT_EQ(last, 0);
    fx_recv_into(probe, fd, into, 700); // a FIN is told as often as it is asked for
    fx_until(fx, !probe->op.in_flight);
    EXPECT_EQ(probe->res, 0);
    fx_close_fd(fx, fd, false);
    probe_free(probe);
}

FX_SCRIPT(recv_now_tells_of_a_reset)
{
    struct peer peer;
    int fd = fx_pair(fx, &peer);
    char into[16];
    peer_reset(&peer);
    int res = -EAGAIN;
    fx_until(fx, (res = io_recv_now(fx->io, fd, into, sizeof(into))) != -EAGAIN);
    EXPECT_EQ(res, -ECONNRESET);
    fx_close_fd(fx, fd, false);
}

TEST_MAIN(FX_TESTS(a_credit_is_exact), FX_TESTS_EXACT(a_receive_ends_with_its_credit),
          FX_TESTS_EXACT(a_receive_goes_on_while_its_credit_is_raised),
          FX_TESTS(a_burst_of_100_arrives_whole),
          FX_TESTS_REAL(small_pieces_are_acknowledged_together),
          FX_TESTS_REAL(late_acknowledgements_end_where_a_peer_waits_for_them),
          FX_TESTS_EXACT(a_turn_is_bounded), FX_TESTS_EXACT(a_flood_leaves_room_for_others),
          FX_TESTS(classes_do_not_mix), FX_TESTS_EXACT(an_empty_pool_parks_receives),
          FX_TESTS_EXACT(a_parked_receive_can_end), FX_TESTS(a_fin_comes_after_the_bytes),
          FX_TESTS(a_reset_ends_a_receive), FX_TESTS(recv_into_fills_the_callers_memory),
          FX_TESTS(recv_now_takes_what_is_there), FX_TESTS(recv_now_tells_of_a_reset))
