// What the epoll backend promises beyond io.h: bounded work for one socket, and descriptors that
// others have made or hold.
#include "io_fixture.h"

enum { LARGE = 4 * MIB };

static char large[LARGE];

static void a_send_takes_several_turns(void)
{
    struct fx fx;
    fx_new(&fx, &(struct io_config){ .backend = IO_BACKEND_EPOLL }, NULL, 0);
    fx_listen(&fx);
    struct peer peer;
    int fd = fx_pair(&fx, &peer), bytes = 4 * MIB;
    verify(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) == 0);
    struct probe *probe = probe_new(&fx);
    fx_send(probe, fd, &(struct iovec){ large, LARGE }, 1);
    fx_turn(&fx, 0);
    EXPECT_EQ(probe->op.credit, 256 * KIB); // what is sent; the socket takes more at once
    fx_turn(&fx, 0);
    EXPECT(probe->op.credit > 256 * KIB);
    fx_close_fd(&fx, fd, true);
    fx_until(&fx, !probe->op.in_flight);
    peer_close(&peer);
    probe_free(probe);
    fx_end(&fx);
}

static void a_receive_takes_several_turns(void)
{
    struct fx fx;
    fx_new(&fx, &(struct io_config){ .backend = IO_BACKEND_EPOLL }, NULL, 0);
    fx_listen(&fx);
    struct peer peer;
    int fd = fx_pair(&fx, &peer);
    struct probe *probe = probe_new(&fx);
    peer_send(&peer, 16 * MIB);
    fx_recv_all(probe, fd, BUF_SMALL, 16 * MIB);
    uint64_t before = 0, most = 0;
    while (probe->op.in_flight && test_failures == 0) {
        fx_turn(&fx, FX_STEP_MS * NS_PER_MS);
        most = max_u64(most, probe->total - before);
        before = probe->total;
        EXPECT(most <= 2 * 64 * KIB + 2 * BUF_SMALL_BYTES);
    }
    EXPECT(most >= 64 * KIB);
    EXPECT_EQ(probe->torn, 0);
    fx_close_fd(&fx, fd, true);
    peer_close(&peer);
    probe_free(probe);
    fx_end(&fx);
}

// A listener and a connection that block, as systemd and others hand them over.
static void blocking_descriptors_do_not_block(void)
{
    struct fx fx;
    fx_new(&fx, &(struct io_config){ .backend = IO_BACKEND_EPOLL }, NULL, 0);
    fx.addr = loopback(0);
    socklen_t len = sizeof(fx.addr);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2];
    verify(bind(listener, (struct sockaddr *)&fx.addr, len) == 0);
    verify(listen(listener, 8) == 0);
    verify(getsockname(listener, (struct sockaddr *)&fx.addr, &len) == 0);
    verify(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    struct probe *accept = probe_new(&fx), *in = probe_new(&fx), *out = probe_new(&fx);
    struct peer peer;
    fx_accept(accept, listener);
    peer_dial(&peer, &fx, 0);
    fx_until(&fx, accept->fd_count == 1);
    fx_settle(&fx); // would hang in accept(2)
    fx_recv(in, pair[0], BUF_SMALL, 100);
    fx_send(out, pair[0], &(struct iovec){ large, LARGE }, 1);
    fx_settle(&fx); // would hang in sendmsg(2)
    EXPECT(in->op.in_flight && out->op.in_flight);
    fx_close_fd(&fx, pair[0], false);
    fx_close_fd(&fx, listener, false);
    fx_close_fd(&fx, accept->fds[0], false);
    fx_until(&fx, fx.ops == 0);
    verify(close(pair[1]) == 0);
    peer_close(&peer);
    probe_free(accept);
    probe_free(in);
    probe_free(out);
    fx_end(&fx);
}

// A peer's urgent byte stops a receive short although more is there; that is not taken for the end
// of what has come.
static void urgent_bytes_hide_nothing(void)
{
    struct fx fx;
    fx_new(&fx, &(struct io_config){ .backend = IO_BACKEND_EPOLL }, NULL, 0);
    fx_listen(&fx);
    struct peer peer;
    int fd = fx_pair(&fx, &peer);
    struct probe *probe = probe_new(&fx);
    char bytes[100];
    pattern_fill(bytes, 0, sizeof(bytes));
    EXPECT_EQ(peer_write(&peer, bytes, 50), 50);
    verify(send(peer.fd, "!", 1, MSG_OOB) == 1);
    EXPECT_EQ(peer_write(&peer, bytes + 50, 50), 50);
    fx_settle(&fx);
    fx_recv_all(probe, fd, BUF_SMALL, 100);
    fx_until(&fx, probe->total == 100);
    EXPECT_EQ(probe->torn, 0);
    peer_close(&peer);
    fx_close_fd(&fx, fd, false);
    probe_free(probe);
    fx_end(&fx);
}

TEST_MAIN(TEST(a_send_takes_several_turns), TEST(a_receive_takes_several_turns),
          TEST(blocking_descriptors_do_not_block), TEST(urgent_bytes_hide_nothing))
