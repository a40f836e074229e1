// sim_net.c - connections of the simulated network: how bytes, FIN and RST travel.
#include "sim_world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#define SYN_AGAIN_NS NS_PER_S // a full backlog drops a SYN; it is sent again

static void end_touch(struct sim_end *end)
{
    if (end->file != NULL)
        sim_file_touch(end->file);
    if (end->peer != NULL)
        sim_peer_touch(end->peer);
}

static void conn_schedule(struct sim_end *end, uint64_t at_ns, enum sim_event_kind kind,
                          uint64_t arg)
{
    end->conn->events++;
    sim_schedule(end->conn->sim, at_ns, kind, end, arg);
}

// --- connections

struct sim_conn *sim_conn_new(struct sim *sim, const struct sockaddr *addr, socklen_t len)
{
    assert(len <= sizeof(struct sockaddr_storage));
    const struct sim_profile *profile = &sim->profile;
    struct sim_conn *conn = sim_alloc(sizeof(*conn));
    conn->sim = sim;
    conn->latency_ns = sim_between(sim, profile->latency_ns_min, profile->latency_ns_max);
    memcpy(&conn->addr, addr, len);
    conn->addr_len = len;
    for (int i = 0; i < 2; i++) {
        conn->end[i].conn = conn;
        conn->end[i].index = (uint8_t)i;
        conn->pipe[i].cap =
            (uint32_t)sim_between(sim, profile->buf_bytes_min, profile->buf_bytes_max);
    }
    list_init(&conn->wait);
    list_push_back(&sim->conns, &conn->link);
    return conn;
}

void sim_conn_release(struct sim_conn *conn)
{
    if (conn->end[0].open || conn->end[1].open || conn->events > 0)
        return;
    list_take(&conn->link);
    assert(!list_is_linked(&conn->wait));
    free(conn->pipe[0].bytes);
    free(conn->pipe[1].bytes);
    free(conn);
}

void sim_conn_syn(struct sim_conn *conn)
{
    struct sim_end *end = &conn->end[0];
    end->open = true;
    end->connecting = true;
    conn_schedule(end, sim_now(conn->sim) + conn->latency_ns, EV_SYN, 0);
}

// --- pipes

size_t sim_pipe_readable(const struct sim_pipe *pipe)
{
    return (size_t)(pipe->arrived - pipe->got);
}

static void pipe_append(struct sim_pipe *pipe, const void *bytes, size_t len)
{
    size_t held = (size_t)(pipe->put - pipe->got);
    if (pipe->start + held + len > pipe->alloc) {
        if (held > 0)
            memmove(pipe->bytes, pipe->bytes + pipe->start, held);
        pipe->start = 0;
        if (held + len > pipe->alloc) {
            pipe->alloc = min_size(max_size(2 * (held + len), 1024), pipe->cap);
            // layer-check: grows with what a test leaves unread.
            pipe->bytes = realloc(pipe->bytes, pipe->alloc);
            verify(pipe->bytes != NULL);
        }
    }
    memcpy(pipe->bytes + pipe->start + held, bytes, len);
    pipe->put += len;
}

// Drops what has arrived and what will.
static void pipe_empty(struct sim_pipe *pipe)
{
    pipe->got = pipe->arrived = pipe->put;
    pipe->start = 0;
}

size_t sim_end_room(const struct sim_end *end)
{
    const struct sim_pipe *pipe = &end->conn->pipe[1 - end->index];
    if (end->connecting || end->refused || end->dead || pipe->fin_put)
        return 0;
    return pipe->cap - (size_t)(pipe->put - pipe->got);
}

size_t sim_end_read(struct sim_end *end, void *into, size_t cap)
{
    struct sim_pipe *pipe = end_rx(end);
    size_t len = min_size(cap, sim_pipe_readable(pipe));
    if (len == 0)
        return 0;
    memcpy(into, pipe->bytes + pipe->start, len);
    pipe->start += len;
    pipe->got += len;
    sim_note(end->conn->sim, "read", end->index, (int64_t)len, (int64_t)pipe->got);
    end_touch(end_far(end)); // it has room
    return len;
}

// When something that is sent now arrives: late, but never before what was sent earlier.
static uint64_t arrival_ns(struct sim_end *end)
{
    struct sim *sim = end->conn->sim;
    struct sim_pipe *pipe = end_tx(end);
    uint64_t at_ns =
        sim_now(sim) + end->conn->latency_ns + sim_between(sim, 0, sim->profile.jitter_ns_max);
    if (sim_chance(sim, sim->profile.stall))
        at_ns += sim_between(sim, 0, sim->profile.stall_ns_max);
    pipe->last_ns = max_u64(pipe->last_ns, at_ns);
    return pipe->last_ns;
}

size_t sim_end_write(struct sim_end *end, const void *bytes, size_t len)
{
    struct sim *sim = end->conn->sim;
    struct sim_pipe *pipe = end_tx(end);
    len = min_size(len, sim_end_room(end));
    if (len == 0)
        return 0;
    uint64_t before = pipe->put;
    pipe_append(pipe, bytes, len);
    if (len > 1 && sim_chance(sim, sim->profile.split)) {
        // One draw a statement: a seed means the same whoever compiled it.
        const uint64_t first = before + 1 + sim_below(sim, len - 1);
        conn_schedule(end_far(end), arrival_ns(end), EV_ARRIVE, first);
    }
    conn_schedule(end_far(end), arrival_ns(end), EV_ARRIVE, pipe->put);
    sim_note(sim, "write", end->index, (int64_t)len, (int64_t)pipe->put);
    return len;
}

void sim_end_shutdown(struct sim_end *end)
{
    struct sim_pipe *pipe = end_tx(end);
    if (end->connecting || end->dead || pipe->fin_put)
        return;
    pipe->fin_put = true;
    sim_note(end->conn->sim, "fin", end->index, (int64_t)pipe->put, 0);
    conn_schedule(end_far(end), arrival_ns(end), EV_FIN, 0);
}

// Nothing goes through this end any more.
static void end_die(struct sim_end *end)
{
    struct sim *sim = end->conn->sim;
    end->dead = true;
    // Linux tells a reset after the peer's FIN as a broken pipe, and only to who sends.
    end->error = end_rx(end)->fin_arrived ? EPIPE : ECONNRESET;
    end_tx(end)->dead = true;
    end_rx(end)->dead = true;
    if (sim_chance(sim, sim->profile.drop_unread))
        pipe_empty(end_rx(end));
    sim_note(sim, "dead", end->index, end->error, (int64_t)end_rx(end)->got);
    end_touch(end);
}

// Sends RST. It comes after the bytes that are on their way, or these are lost.
static void send_rst(struct sim_end *end)
{
    struct sim *sim = end->conn->sim;
    bool lost = sim_chance(sim, sim->profile.drop_unread);
    if (lost)
        end_tx(end)->dead = true;
    conn_schedule(end_far(end), lost ? sim_now(sim) + end->conn->latency_ns : arrival_ns(end),
                  EV_RST, 0);
}

void sim_end_close(struct sim_end *end, bool reset)
{
    struct sim_conn *conn = end->conn;
    assert(end->open);
    end->open = false;
    end->file = NULL;
    end->peer = NULL;
    bool unread = sim_pipe_readable(end_rx(end)) > 0;
    sim_note(conn->sim, "close", end->index, reset, unread);
    // A connect that is given up: whoever answers it meets nobody.
    if (!end->connecting && !end->refused && !end->dead) {
        if (reset || unread) {
            end->dead = true;
            send_rst(end);
        } else {
            sim_end_shutdown(end);
        }
    }
    pipe_empty(end_rx(end));
    sim_conn_release(conn);
}

// --- listeners

static bool addr_matches(const struct sim_listener *listener, const struct sim_conn *conn)
{
    if (listener->addr.ss_family != conn->addr.ss_family)
        return false;
    if (listener->addr.ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)&listener->addr, *b = (const void *)&conn->addr;
        return a->sin_port == b->sin_port && (a->sin_addr.s_addr == htonl(INADDR_ANY) ||
                                              a->sin_addr.s_addr == b->sin_addr.s_addr);
    }
    if (listener->addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const void *)&listener->addr;
        const struct sockaddr_in6 *b = (const void *)&conn->addr;
        return a->sin6_port == b->sin6_port &&
               (IN6_IS_ADDR_UNSPECIFIED(&a->sin6_addr) ||
                memcmp(&a->sin6_addr, &b->sin6_addr, sizeof(a->sin6_addr)) == 0);
    }
    return listener->addr_len == conn->addr_len &&
           memcmp(&listener->addr, &conn->addr, conn->addr_len) == 0;
}

// Any of the listeners that share the address, as SO_REUSEPORT spreads connections.
static struct sim_listener *listener_find(struct sim *sim, const struct sim_conn *conn)
{
    struct sim_listener *found = NULL;
    uint64_t count = 0;
    for (struct list *at = sim->listeners.next; at != &sim->listeners; at = at->next) {
        struct sim_listener *listener = container_of(at, struct sim_listener, link);
        if (addr_matches(listener, conn) && sim_below(sim, ++count) == 0)
            found = listener;
    }
    return found;
}

struct sim_listener *sim_listener_new(struct sim *sim, const struct sockaddr *addr, socklen_t len)
{
    assert(len <= sizeof(struct sockaddr_storage));
    struct sim_listener *listener = sim_alloc(sizeof(*listener));
    listener->sim = sim;
    memcpy(&listener->addr, addr, len);
    listener->addr_len = len;
    listener->backlog = SIM_BACKLOG_MAX;
    in_port_t *port = NULL;
    if (addr->sa_family == AF_INET)
        port = &((struct sockaddr_in *)(void *)&listener->addr)->sin_port;
    else if (addr->sa_family == AF_INET6)
        port = &((struct sockaddr_in6 *)(void *)&listener->addr)->sin6_port;
    if (port != NULL && *port == 0)
        *port = htons(++sim->port);
    list_init(&listener->queue);
    list_init(&listener->notify);
    list_push_back(&sim->listeners, &listener->link);
    return listener;
}

struct sim_end *sim_listener_pop(struct sim_listener *listener)
{
    struct list *node = list_pop_front(&listener->queue);
    if (node == NULL)
        return NULL;
    listener->queued--;
    return &container_of(node, struct sim_conn, wait)->end[1];
}

void sim_listener_free(struct sim_listener *listener)
{
    for (struct sim_end *end; (end = sim_listener_pop(listener)) != NULL;)
        sim_end_close(end, true);
    list_take(&listener->link);
    list_take(&listener->notify);
    free(listener);
}

static void on_syn(struct sim_conn *conn)
{
    struct sim *sim = conn->sim;
    struct sim_end *end = &conn->end[0];
    if (!end->open)
        return; // given up
    bool of_product = end->file != NULL;
    struct sim_listener *listener = listener_find(sim, conn);
    if (listener == NULL || (of_product && sim_chance(sim, sim->profile.refuse))) {
        conn_schedule(end, sim_now(sim) + conn->latency_ns, EV_REFUSED, 0);
        return;
    }
    if (listener->blackhole || (of_product && sim_chance(sim, sim->profile.hang)))
        return;
    if (listener->queued >= listener->backlog) {
        conn_schedule(end, sim_now(sim) + SYN_AGAIN_NS, EV_SYN, 0);
        return;
    }
    conn->end[1].open = true;
    list_push_back(&listener->queue, &conn->wait);
    listener->queued++;
    conn->pipe[0].last_ns = sim_now(sim) + conn->latency_ns; // no byte overtakes the answer
    conn_schedule(end, conn->pipe[0].last_ns, EV_CONNECTED, 0);
    sim_listener_touch(listener);
}

static void on_connected(struct sim_end *end, bool refused)
{
    end->connecting = false;
    end->refused = refused;
    if (end->open) {
        end_touch(end);
    } else if (!refused) {
        end->dead = true;
        send_rst(end);
    }
}

static void on_arrive(struct sim_end *end, uint64_t upto)
{
    struct sim *sim = end->conn->sim;
    struct sim_pipe *pipe = end_rx(end);
    if (pipe->dead)
        return;
    if (sim_chance(sim, sim->profile.reset)) { // something on the way has had enough
        end_die(end);
        conn_schedule(end_far(end), sim_now(sim) + end->conn->latency_ns, EV_RST, 0);
        return;
    }
    if (end->open) {
        pipe->arrived = upto;
        end_touch(end);
        return;
    }
    pipe_empty(pipe); // bytes for somebody who has closed
    if (!end->dead) {
        end->dead = true;
        send_rst(end);
    }
}

void sim_net_event(struct sim *sim, const struct sim_event *event)
{
    struct sim_end *end = event->subject;
    struct sim_conn *conn = end->conn;
    assert(conn->sim == sim);
    assert(conn->events > 0);
    conn->events--;
    sim_note(sim, "event", event->kind, end->index, (int64_t)event->arg);
    switch (event->kind) {
    case EV_ARRIVE: on_arrive(end, event->arg); break;
    case EV_FIN:
        if (!end_rx(end)->dead) {
            end_rx(end)->fin_arrived = true;
            end_touch(end);
        }
        break;
    case EV_RST:
        if (!end->dead)
            end_die(end);
        break;
    case EV_SYN: on_syn(conn); break;
    case EV_CONNECTED:
    case EV_REFUSED: on_connected(end, event->kind == EV_REFUSED); break;
    case EV_LOOK:
    case EV_CANCEL:
    case EV_WAKE:
    case EV_CALL: bug("not an event of the network");
    }
    sim_conn_release(conn);
}
