// sim_peer.c - what a test moves: peers, vendors, foreign descriptors.
#include "sim_world.h"

#include <stdlib.h>

static struct sim_peer *peer_new(struct sim *sim, struct sim_end *end)
{
    struct sim_peer *peer = sim_alloc(sizeof(*peer));
    peer->sim = sim;
    peer->end = end;
    end->peer = peer;
    list_init(&peer->notify);
    list_push_back(&sim->peers, &peer->link);
    return peer;
}

static void peer_end(struct sim_peer **peer_ptr, bool reset)
{
    struct sim_peer *peer = *peer_ptr;
    list_take(&peer->notify);
    list_take(&peer->link);
    sim_end_close(peer->end, reset);
    free(peer);
    *peer_ptr = NULL;
}

struct sim_peer *sim_dial(struct sim *sim, const struct sockaddr *addr, socklen_t len)
{
    struct sim_conn *conn = sim_conn_new(sim, addr, len);
    struct sim_peer *peer = peer_new(sim, &conn->end[0]);
    sim_conn_syn(conn);
    return peer;
}

enum sim_state sim_state(const struct sim_peer *peer)
{
    if (peer->end->connecting)
        return SIM_CONNECTING;
    if (peer->end->refused)
        return SIM_REFUSED;
    return peer->end->dead ? SIM_RESET : SIM_OPEN;
}

void sim_on_event(struct sim_peer *peer, sim_call_fn *on_event, void *arg)
{
    peer->on_event = on_event;
    peer->on_event_arg = arg;
}

void sim_peer_touch(struct sim_peer *peer)
{
    if (peer->on_event != NULL && !list_is_linked(&peer->notify))
        list_push_back(&peer->sim->notify_peers, &peer->notify);
}

size_t sim_write(struct sim_peer *peer, const void *bytes, size_t len)
{
    return sim_end_write(peer->end, bytes, len);
}

size_t sim_room(const struct sim_peer *peer)
{
    return sim_end_room(peer->end);
}

size_t sim_read(struct sim_peer *peer, void *into, size_t cap)
{
    return sim_end_read(peer->end, into, cap);
}

size_t sim_pending(const struct sim_peer *peer)
{
    return sim_pipe_readable(end_rx(peer->end));
}

bool sim_at_end(const struct sim_peer *peer)
{
    return end_rx(peer->end)->fin_arrived && sim_pending(peer) == 0;
}

void sim_shutdown(struct sim_peer *peer)
{
    sim_end_shutdown(peer->end);
}

void sim_close(struct sim_peer **peer)
{
    peer_end(peer, false);
}

void sim_reset(struct sim_peer **peer)
{
    peer_end(peer, true);
}

// --- vendors

struct sim_listener *sim_listen(struct sim *sim, const struct sockaddr *addr, socklen_t len)
{
    return sim_listener_new(sim, addr, len);
}

struct sim_listener *sim_blackhole(struct sim *sim, const struct sockaddr *addr, socklen_t len)
{
    struct sim_listener *listener = sim_listener_new(sim, addr, len);
    listener->blackhole = true;
    return listener;
}

struct sim_peer *sim_accept(struct sim_listener *listener)
{
    assert(listener->file == NULL);
    struct sim_end *end = sim_listener_pop(listener);
    return end != NULL ? peer_new(listener->sim, end) : NULL;
}

void sim_on_accept(struct sim_listener *listener, sim_call_fn *on_event, void *arg)
{
    listener->on_event = on_event;
    listener->on_event_arg = arg;
}

void sim_listener_touch(struct sim_listener *listener)
{
    if (listener->file != NULL)
        sim_file_touch(listener->file);
    else if (listener->on_event != NULL && !list_is_linked(&listener->notify))
        list_push_back(&listener->sim->notify_listeners, &listener->notify);
}

void sim_unlisten(struct sim_listener **listener)
{
    assert((*listener)->file == NULL);
    sim_listener_free(*listener);
    *listener = NULL;
}

socklen_t sim_listener_addr(const struct sim_listener *listener, struct sockaddr_storage *out)
{
    *out = listener->addr;
    return listener->addr_len;
}

socklen_t sim_fd_addr(const struct sim *sim, int fd, struct sockaddr_storage *out)
{
    const struct sim_file *file = sim_file_at(sim, fd);
    assert(file->kind == FILE_LISTENER);
    return sim_listener_addr(file->listener, out);
}

// --- foreign descriptors

int sim_foreign(struct sim *sim)
{
    struct sim_file *file = sim_file_new(sim, FILE_FOREIGN);
    verify(file != NULL);
    return file->fd;
}

void sim_foreign_set(struct sim *sim, int fd, uint32_t events)
{
    struct sim_file *file = sim_file_at(sim, fd);
    assert(file->kind == FILE_FOREIGN);
    file->ready = events;
    sim_file_touch(file);
}

void sim_foreign_close(struct sim *sim, int fd)
{
    struct sim_file *file = sim_file_at(sim, fd);
    assert(file->kind == FILE_FOREIGN);
    sim_file_abandon(file);
    sim_file_free(sim, file);
}
