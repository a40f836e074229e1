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

enum { MESSAGE = 3000, MESSAGES = 50 };

// Takes a message in two parts, as a server takes a head and its body. Returns the bytes of it that
// came first.
static uint32_t pass_message(struct conn *conn, int peer)
{
    static char bytes[MESSAGE];
    EXPECT_EQ(send(peer, bytes, MESSAGE, 0), MESSAGE);
    for (int i = 0; i < 4 && conn->rx_len == 0; i++)
        turn();
    uint32_t first = conn->rx_len;
    for (int i = 0; i < 4 && conn->rx_len < MESSAGE; i++)
        turn();
    EXPECT_EQ(conn->rx_len, MESSAGE);
    conn_rx_allow(conn, 0, BUF_SMALL);
    conn_rx_consume(conn, MESSAGE / 10);
    conn_rx_consume(conn, MESSAGE - MESSAGE / 10);
    conn_rx_allow(conn, CONN_RX_HEAD, BUF_SMALL);
    return first;
}

// What was let go may come again, so the credit does not run out in the middle of a message.
static void messages_come_whole(void)
{
    int peer;
    setup(8);
    struct conn *conn = connect_to(&peer);
    conn_rx_allow(conn, CONN_RX_HEAD, BUF_SMALL);
    for (int i = 0; i < MESSAGES; i++)
        EXPECT_EQ(pass_message(conn, peer), MESSAGE);
    EXPECT(conn->rx_op.in_flight);
    EXPECT(conn->rx_op.credit <= CONN_RX_LIMIT);
    conn_close(&conn, WHY_DONE, false);
    close(peer);
    teardown();
}

// Not where memory is short: there a receive ends with its credit, and the next has a smaller one.
static void credit_is_not_raised_under_pressure(void)
{
    int peer;
    setup(8);
    struct conn *conn = connect_to(&peer);
    rig.budget.used += rig.budget.limit / 100 * (BUDGET_SHRINK_PERCENT + 1);
    bool small = false;
    for (int i = 0; i < MESSAGES && !small; i++) {
        (void)pass_message(conn, peer);
        small = conn->rx_op.in_flight && conn->rx_op.credit <= CONN_RX_HEAD / 4;
    }
    EXPECT(small);
    for (int i = 0; i < MESSAGES; i++) {
        (void)pass_message(conn, peer);
        EXPECT(conn->rx_op.credit <= CONN_RX_HEAD / 4);
    }
    rig.budget.used -= rig.budget.limit / 100 * (BUDGET_SHRINK_PERCENT + 1);
    conn_close(&conn, WHY_DONE, false);
    close(peer);
    teardown();
}

TEST_MAIN(TEST(messages_come_whole), TEST(credit_is_not_raised_under_pressure),
          TEST(many_pieces_are_copied_together), TEST(nothing_is_held_behind_a_hole))
