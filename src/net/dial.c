#include "penstock/net/dial.h"

#include "penstock/base/check.h"

#include <errno.h>

#define DNS_POLL_NS (UINT64_C(4) * NS_PER_MS)

static void dial_end(struct dial *dial, struct err err)
{
    assert(!dial->ended);
    dial->ended = true;
    dial->err = err;
    for (unsigned i = 0; i < DIAL_PARALLEL; i++)
        if (dial->tries[i] != NULL)
            conn_close(&dial->tries[i], WHY_CANCELLED, false);
    if (dial->secured != NULL)
        conn_close(&dial->secured, WHY_TLS, false);
    timer_stop(&dial->net->loop->wheel, &dial->timer);
    task_cancel(&dial->task);
    if (dial->owner != NULL)
        loop_ready(dial->net->loop, dial->owner);
}

static unsigned dial_running(const struct dial *dial)
{
    unsigned running = 0;
    for (unsigned i = 0; i < DIAL_PARALLEL; i++)
        running += dial->tries[i] != NULL;
    return running;
}

static void try_next(struct dial *dial)
{
    const union dest_addr *addr = &dial->addrs[dial->next++];
    for (unsigned i = 0; i < DIAL_PARALLEL; i++) {
        if (dial->tries[i] != NULL)
            continue;
        dial->tries[i] = conn_dial(dial->net, &addr->any, dest_addr_len(addr), &dial->task);
        if (dial->tries[i] == NULL)
            dial_end(dial, ERR(FD_LIMIT));
        return;
    }
    bug("a place was free when the caller looked");
}

static void win(struct dial *dial, struct conn *conn)
{
    conn_set_owner(conn, dial->owner);
    dial->conn = conn;
    dial_end(dial, OK);
}

// The first address that answered is it; what is left is the handshake.
static void secure(struct dial *dial, struct conn *conn, const struct dest_key *key)
{
    struct tls_roots *roots = dest_roots(dial->dests, dial->dest);
    struct tls_ctx *ctx = roots != NULL ? net_tls_client(dial->net, roots) : NULL;
    struct span name = key->server_name.len > 0 ? key->server_name : key->host;
    dial->secured = conn;
    if (ctx == NULL || !conn_tls_dial(conn, ctx, name, key->port)) {
        dial_end(dial, ERR(NO_MEMORY));
        return;
    }
    for (unsigned i = 0; i < DIAL_PARALLEL; i++)
        if (dial->tries[i] != NULL)
            conn_close(&dial->tries[i], WHY_CANCELLED, false);
    dial->deadline_ns = dial->net->loop->now_ns + dial->handshake_ns;
    timer_arm(&dial->net->loop->wheel, &dial->timer, dial->deadline_ns);
}

static void secured_step(struct dial *dial)
{
    struct conn *conn = dial->secured;
    if (conn->state == CONN_OPEN) {
        dial->secured = NULL;
        win(dial, conn);
    } else if (conn->rx_state != RX_OPEN || conn->tx_failed) {
        struct err err = conn_tls_err(conn);
        dial_end(dial, failed(err) ? err : ERR_SYS(TLS_FAILED, conn->sys));
    } else if (dial->net->loop->now_ns >= dial->deadline_ns) {
        dial_end(dial, ERR(TLS_TIMEOUT));
    }
}

// Looks at everything that can have changed and decides what comes next.
static void dial_step(struct dial *dial)
{
    struct loop *loop = dial->net->loop;
    if (dial->secured != NULL) {
        secured_step(dial);
        return;
    }
    for (unsigned i = 0; i < DIAL_PARALLEL; i++) {
        struct conn *conn = dial->tries[i];
        if (conn == NULL)
            continue;
        if (conn->state == CONN_OPEN) {
            const struct dest_key *key = dest_key(dial->dests, dial->dest);
            if (key == NULL) { // nobody names it any more
                dial_end(dial, ERR(NO_ADDRESS));
                return;
            }
            dial->tries[i] = NULL;
            if (key->tls)
                secure(dial, conn, key);
            else
                win(dial, conn);
            return;
        }
        if (conn->rx_state == RX_FAILED) {
            dial->err = ERR_SYS(CONNECT_FAILED, conn->sys);
            conn_close(&dial->tries[i], WHY_FAILED, false);
            dial->next_ns = loop->now_ns;
        }
    }
    if (loop->now_ns >= dial->deadline_ns) {
        dial_end(dial, ERR(CONNECT_TIMEOUT));
        return;
    }
    unsigned running = dial_running(dial);
    if (dial->next < dial->count && running < DIAL_PARALLEL && loop->now_ns >= dial->next_ns) {
        dial->next_ns = loop->now_ns + DIAL_STAGGER_NS;
        try_next(dial);
        if (dial->ended)
            return;
    } else if (dial->next == dial->count && running == 0) {
        dial_end(dial, failed(dial->err) ? dial->err : ERR(NO_ADDRESS));
        return;
    }
    uint64_t wake_ns =
        dial->next < dial->count ? max_u64(dial->next_ns, loop->now_ns + 1) : dial->deadline_ns;
    timer_arm(&loop->wheel, &dial->timer, min_u64(wake_ns, dial->deadline_ns));
}

static void dial_resolve(struct dial *dial)
{
    struct loop *loop = dial->net->loop;
    enum dest_state state;
    dial->count = (uint8_t)dest_addrs(dial->dests, dial->dest, &state, dial->addrs);
    if (dial->count > 0) {
        dial->deadline_ns += loop->now_ns;
        dial->next_ns = loop->now_ns;
        dial_step(dial);
    } else if (state == DEST_FAILED || loop->now_ns >= dial->dns_deadline_ns) {
        dial_end(dial, ERR(DNS_FAILED));
    } else {
        // Only the first requests after a start or a new account come here: from then on the
        // control thread keeps an answer ready.
        timer_arm(&loop->wheel, &dial->timer, loop->now_ns + DNS_POLL_NS);
    }
}

static void on_timer(struct timer *timer)
{
    struct dial *dial = container_of(timer, struct dial, timer);
    if (dial->count == 0)
        dial_resolve(dial);
    else
        dial_step(dial);
}

static void on_try(struct task *task)
{
    struct dial *dial = container_of(task, struct dial, task);
    if (!dial->ended)
        dial_step(dial);
}

void dial_start(struct dial *dial, struct net *net, struct dests *dests, uint32_t dest,
                const struct dial_limits *limits, struct task *owner)
{
    assert(limits->connect_ns > 0);
    *dial = (struct dial){
        .net = net,
        .owner = owner,
        .dests = dests,
        .dest = dest,
        .deadline_ns = limits->connect_ns, // counts from the moment that there is an address
        .dns_deadline_ns = net->loop->now_ns + limits->dns_ns,
        .handshake_ns = limits->handshake_ns != 0 ? limits->handshake_ns : limits->connect_ns,
    };
    dial->timer.on_fire = on_timer;
    task_init(&dial->task, on_try);
    dial_resolve(dial);
}

void dial_stop(struct dial *dial)
{
    if (dial->net == NULL)
        return;
    dial->owner = NULL;
    if (!dial->ended)
        dial_end(dial, ERR(CLIENT_GONE));
    if (dial->conn != NULL)
        conn_close(&dial->conn, WHY_CANCELLED, false);
    dial->net = NULL;
}
