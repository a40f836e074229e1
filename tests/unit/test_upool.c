// Idle connections: which one is taken, and which are not.
#include "penstock/net/upool.h"

#include "test.h"

#include <sys/socket.h>
#include <unistd.h>

enum { CONNS = 16, DEST = 3 };
#define IDLE_NS (UINT64_C(10) * NS_PER_S)

static struct rig {
    struct io *io;
    struct loop loop;
    struct net net;
    struct budget_process budget;
    struct upool pool;
    struct task task;
} rig;

static void on_task(struct task *task)
{
    (void)task;
}

static void setup(enum io_backend backend)
{
    char why[512];
    memset(&rig, 0, sizeof(rig));
    rig.budget.limit = 64 * MIB;
    const struct io_config config = {
        .backend = backend, .entries = 64, .bufs_small = 64, .bufs_large = 16
    };
    EXPECT(!failed(io_new(&rig.io, &config, env_system(), why, sizeof(why))));
    loop_init(&rig.loop, rig.io, env_system());
    EXPECT(!failed(net_init(&rig.net, &rig.loop, &rig.budget, CONNS)));
    EXPECT(!failed(upool_init(&rig.pool, &rig.net, IDLE_NS, 4, CONNS)));
    task_init(&rig.task, on_task);
}

static void turn(void)
{
    loop_turn(&rig.loop, rig.loop.now_ns + 5 * NS_PER_MS);
}

static void teardown(void)
{
    upool_fini(&rig.pool);
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
    turn();
    return conn;
}

static void give(struct conn *conn)
{
    upool_give(&rig.pool, DEST, &conn);
    EXPECT(conn == NULL);
}

static struct conn *take(void)
{
    return upool_take(&rig.pool, DEST, &rig.task);
}

static void the_newest_of_an_earlier_turn_is_taken(void)
{
    setup(IO_BACKEND_EPOLL);
    int peers[3];
    struct conn *conns[3];
    for (int i = 0; i < 3; i++)
        conns[i] = connect_to(&peers[i]);
    give(conns[0]);
    give(conns[1]);
    turn();
    give(conns[2]);
    EXPECT(take() == conns[1]);
    EXPECT(take() == conns[0]);
    EXPECT(take() == conns[2]); // it was asked
    EXPECT(take() == NULL);
    EXPECT(upool_take(&rig.pool, DEST + 1, &rig.task) == NULL);
    EXPECT_EQ(rig.pool.reused, 3);
    for (int i = 0; i < 3; i++) {
        conn_close(&conns[i], WHY_DONE, false);
        close(peers[i]);
    }
    teardown();
}

static void try_one_that_speaks(enum io_backend backend, bool closes)
{
    setup(backend);
    int peer;
    struct conn *conn = connect_to(&peer);
    // What the vendor says behind its answer has reached the socket, and no receive has told of it.
    if (closes)
        EXPECT_EQ(shutdown(peer, SHUT_WR), 0);
    else
        EXPECT_EQ(write(peer, "HTTP/1.1 200 OK\r\n", 17), 17);
    give(conn);
    struct conn *taken = take();
    EXPECT(taken == NULL);
    if (taken != NULL)
        conn_close(&taken, WHY_DONE, false);
    for (int i = 0; i < 20 && rig.pool.count > 0; i++)
        turn();
    EXPECT_EQ(rig.pool.count, 0); // its receive told, and it was closed
    EXPECT_EQ(rig.pool.closed_by_peer, 1);
    close(peer);
    teardown();
}

static void one_that_has_something_to_say_is_not_taken(void)
{
    try_one_that_speaks(IO_BACKEND_EPOLL, false);
    try_one_that_speaks(IO_BACKEND_EPOLL, true);
    try_one_that_speaks(IO_BACKEND_AUTO, false);
    try_one_that_speaks(IO_BACKEND_AUTO, true);
}

// A place that had another destination before: connections to that one carry nothing of the new.
static void an_earlier_life_of_the_place_is_not_taken(void)
{
    setup(IO_BACKEND_EPOLL);
    int peer;
    give(connect_to(&peer));
    turn();
    EXPECT(upool_take(&rig.pool, DEST | 1 << DEST_IDX_BITS, &rig.task) == NULL);
    struct conn *conn = take();
    EXPECT(conn != NULL);
    conn_close(&conn, WHY_DONE, false);
    close(peer);
    teardown();
}

static void the_oldest_makes_room(void)
{
    setup(IO_BACKEND_EPOLL);
    int peers[5];
    for (int i = 0; i < 5; i++)
        give(connect_to(&peers[i]));
    EXPECT_EQ(rig.pool.count, 4);
    char byte;
    turn();
    EXPECT_EQ(recv(peers[0], &byte, 1, MSG_DONTWAIT), 0); // hung up on
    upool_limit(&rig.pool, IDLE_NS, 2);
    int peer;
    give(connect_to(&peer));
    EXPECT_EQ(rig.pool.count, 2);
    upool_limit(&rig.pool, IDLE_NS, 0); // nothing is kept
    give(connect_to(&peers[0]));
    EXPECT_EQ(rig.pool.count, 2);
    teardown();
}

TEST_MAIN(TEST(the_newest_of_an_earlier_turn_is_taken),
          TEST(one_that_has_something_to_say_is_not_taken),
          TEST(an_earlier_life_of_the_place_is_not_taken), TEST(the_oldest_makes_room))
