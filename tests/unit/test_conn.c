// What a connection holds of a peer, at its bounds.
#include "penstock/net/conn.h"

#include "test.h"

#include <sys/socket.h>
#include <unistd.h>

static struct rig {
    struct io *io;
    struct loop loop;
    struct net net;
    struct budget_process budget;
    struct task task;
} rig;

static void on_task(struct task *task)
{
    (void)task;
}

static void setup(uint32_t bufs_large)
{
    char why[512];
    memset(&rig, 0, sizeof(rig));
    rig.budget.limit = 64 * MIB;
    const struct io_config config = { .backend = IO_BACKEND_EPOLL,
                                      .bufs_small = 32,
                                      .bufs_large = bufs_large };
    EXPECT(!failed(io_new(&rig.io, &config, env_system(), why, sizeof(why))));
    loop_init(&rig.loop, rig.io, env_system());
    EXPECT(!failed(net_init(&rig.net, &rig.loop, &rig.budget, 4)));
    task_init(&rig.task, on_task);
}

static void turn(void)
{
    loop_turn(&rig.loop, rig.loop.now_ns + 5 * NS_PER_MS);
}

static void teardown(void)
{
    while (rig.net.conns.count_out > 0)
        turn();
    net_fini(&rig.net);
    io_free(&rig.io);
}

// A connection whose other end is *peer.
static struct conn *connect_to(int *peer)
{
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    *peer = ends[1];
    struct conn *conn = conn_accept(&rig.net, ends[0], &rig.task);
    EXPECT(conn != NULL);
    conn_rx_allow(conn, CONN_RX_LIMIT, BUF_SMALL);
    turn();
    return conn;
}

enum { FIRST = (CONN_RX_SEGMENTS - 1) * BUF_SMALL_BYTES + 3000, SECOND = BUF_SMALL_BYTES + 500 };

// So many pieces that they have to be copied together, and a short one behind them.
static struct conn *fill(int *peer)
{
    static char bytes[FIRST];
    struct conn *conn = connect_to(peer);
    EXPECT_EQ(send(*peer, bytes, FIRST, 0), FIRST);
    for (int i = 0; i < 4 && conn->rx_len < FIRST; i++)
        turn();
    EXPECT_EQ(conn->rx_len, FIRST);
    EXPECT_EQ(conn->rx.count, CONN_RX_SEGMENTS);
    EXPECT_EQ(send(*peer, bytes, SECOND, 0), SECOND);
    turn();
    turn();
    return conn;
}

static void many_pieces_are_copied_together(void)
{
    int peer;
    setup(8);
    struct conn *conn = fill(&peer);
    EXPECT_EQ(conn->rx_state, RX_OPEN);
    EXPECT_EQ(conn->rx_len, FIRST + SECOND);
    conn_close(&conn, WHY_DONE, false);
    close(peer);
    teardown();
}

// What cannot be held is the end: bytes behind the hole, which may be on their way from the kernel
// already, would be taken for the next ones.
static void nothing_is_held_behind_a_hole(void)
{
    int peer;
    setup(1);
    struct conn *conn = fill(&peer);
    EXPECT_EQ(conn->rx_state, RX_FAILED);
    EXPECT_EQ(conn->rx_len, FIRST);
    conn_close(&conn, WHY_DONE, false);
    close(peer);
    teardown();
}

TEST_MAIN(TEST(many_pieces_are_copied_together), TEST(nothing_is_held_behind_a_hole))
