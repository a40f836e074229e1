#include "penstock/net/upool.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/mem.h"

struct idle {
    struct upool *pool;
    struct conn *conn;
    struct task task;    // woken when the vendor closes, or speaks out of turn
    struct list of_dest; // newest first
    struct list by_age;  // oldest first
    uint64_t until_ns;
    uint64_t turn; // in which it was given: its receive is first looked at in the next one
    uint32_t dest;
};

enum { TAKE_LOOKS = 8 }; // connections looked at for a request

static void idle_remove(struct idle *idle)
{
    task_cancel(&idle->task);
    list_take(&idle->of_dest);
    list_take(&idle->by_age);
    idle->pool->dests[dest_idx(idle->dest)].count--;
    idle->pool->count--;
    slab_give(&idle->pool->slab, idle);
}

static void on_idle(struct task *task)
{
    struct idle *idle = container_of(task, struct idle, task);
    struct conn *conn = idle->conn;
    // Bytes on an idle connection can only be an answer that nobody asked for.
    if (conn->rx_state == RX_OPEN && conn->rx_len == 0 && !conn->tx_failed)
        return;
    idle->pool->closed_by_peer++;
    idle_remove(idle);
    conn_close(&conn, conn->rx_len > 0 ? WHY_PROTOCOL : WHY_PEER, false);
}

static void on_timer(struct timer *timer)
{
    struct upool *pool = container_of(timer, struct upool, timer);
    struct loop *loop = pool->net->loop;
    while (!list_is_empty(&pool->by_age)) {
        struct idle *idle = container_of(pool->by_age.next, struct idle, by_age);
        if (idle->until_ns > loop->now_ns) {
            timer_arm(&loop->wheel, &pool->timer, idle->until_ns);
            return;
        }
        struct conn *conn = idle->conn;
        idle_remove(idle);
        pool->expired++;
        conn_close(&conn, WHY_TIMEOUT, false);
    }
}

struct err upool_init(struct upool *pool, struct net *net, uint64_t idle_ns, uint32_t per_dest_max,
                      uint32_t conns_max)
{
    *pool = (struct upool){ .net = net, .idle_ns = idle_ns, .per_dest_max = per_dest_max };
    pool->dests = mem_take(DEST_MAX, sizeof(struct upool_dest));
    if (pool->dests == NULL)
        return ERR(NO_MEMORY);
    list_init(&pool->by_age);
    slab_init(&pool->slab, sizeof(struct idle), conns_max);
    pool->timer.on_fire = on_timer;
    return OK;
}

void upool_limit(struct upool *pool, uint64_t idle_ns, uint32_t per_dest_max)
{
    pool->idle_ns = idle_ns;
    pool->per_dest_max = per_dest_max;
}

void upool_close(struct upool *pool)
{
    timer_stop(&pool->net->loop->wheel, &pool->timer);
    while (!list_is_empty(&pool->by_age)) {
        struct idle *idle = container_of(pool->by_age.next, struct idle, by_age);
        struct conn *conn = idle->conn;
        idle_remove(idle);
        conn_close(&conn, WHY_SHUTDOWN, false);
    }
}

void upool_fini(struct upool *pool)
{
    upool_close(pool);
    slab_fini(&pool->slab);
    mem_give(pool->dests);
    pool->dests = NULL;
}

static bool is_healthy(const struct conn *conn)
{
    return conn->rx_state == RX_OPEN && conn->rx_len == 0 && !conn->tx_failed;
}

// A vendor may have said more than its answer, or have closed behind it: a receive that has been
// armed for a turn would have told. One that was given back in this very turn is asked itself, and
// only where there is no other; what it has to say is its receive's business.
static bool is_quiet(const struct upool *pool, const struct idle *idle)
{
    return idle->turn != pool->net->loop->turns || !GUARD(UPOOL_QUIET) ||
           !io_has_input(pool->net->io, idle->conn->fd);
}

// The best of the newest ones of a destination, NULL if there is none.
static struct idle *choose(struct upool *pool, uint32_t number)
{
    struct upool_dest *dest = &pool->dests[dest_idx(number)];
    const uint64_t turn = pool->net->loop->turns;
    struct idle *fresh = NULL;
    unsigned looks = 0;
    for (struct list *at = dest->idle.next; at != &dest->idle && looks < TAKE_LOOKS;
         at = at->next, looks++) {
        struct idle *idle = container_of(at, struct idle, of_dest);
        if (idle->dest != number || !is_healthy(idle->conn))
            continue; // of another that had this place; or its task is due to run in this turn
        if (idle->turn != turn)
            return idle;
        if (fresh == NULL)
            fresh = idle;
    }
    return fresh != NULL && is_quiet(pool, fresh) ? fresh : NULL;
}

struct conn *upool_take(struct upool *pool, uint32_t dest, struct task *owner)
{
    if (pool->dests[dest_idx(dest)].count == 0)
        return NULL;
    struct idle *idle = choose(pool, dest);
    if (idle == NULL)
        return NULL;
    struct conn *conn = idle->conn;
    idle_remove(idle);
    conn_set_owner(conn, owner);
    pool->reused++;
    return conn;
}

static bool is_reusable(const struct conn *conn)
{
    return conn->state == CONN_OPEN && conn->rx_state == RX_OPEN && conn->rx_len == 0 &&
           conn->tx_len == 0 && !conn->tx_failed && !conn->tx_fin;
}

// The oldest of this destination makes room.
static void drop_oldest(struct upool *pool, uint32_t dest)
{
    struct idle *idle = container_of(pool->dests[dest_idx(dest)].idle.prev, struct idle, of_dest);
    struct conn *conn = idle->conn;
    idle_remove(idle);
    conn_close(&conn, WHY_LIMIT, false);
}

void upool_give(struct upool *pool, uint32_t dest, struct conn **conn)
{
    struct upool_dest *place = &pool->dests[dest_idx(dest)];
    if (!is_reusable(*conn) || pool->per_dest_max == 0) {
        conn_close(conn, WHY_DONE, false);
        return;
    }
    while (place->count >= pool->per_dest_max)
        drop_oldest(pool, dest);
    struct idle *idle = slab_take(&pool->slab);
    if (idle == NULL) {
        conn_close(conn, WHY_LIMIT, false);
        return;
    }
    struct loop *loop = pool->net->loop;
    *idle = (struct idle){
        .pool = pool,
        .conn = *conn,
        .until_ns = loop->now_ns + pool->idle_ns,
        .turn = loop->turns,
        .dest = dest,
    };
    task_init(&idle->task, on_idle);
    list_init(&idle->of_dest);
    list_init(&idle->by_age);
    if (place->count++ == 0)
        list_init(&place->idle); // touched only when it is first needed
    list_push_front(&place->idle, &idle->of_dest);
    list_push_back(&pool->by_age, &idle->by_age);
    pool->count++;
    conn_set_owner(*conn, &idle->task);
    conn_rx_allow(*conn, CONN_RX_HEAD, BUF_SMALL);
    *conn = NULL;
    if (!pool->timer.deadline_ns)
        timer_arm(&loop->wheel, &pool->timer, idle->until_ns);
}
