#include "penstock/relay/shard.h"

#include "answer.h"
#include "own.h"
#include "penstock/base/arena.h"
#include "penstock/base/check.h"
#include "penstock/net/body.h"
#include "reply.h"
#include "req.h"
#include "req_convert.h"
#include "unpack.h"

static void *chunk_take(void *ctx, void **keeper)
{
    _Static_assert((int)BUF_SMALL_BYTES >= (int)ARENA_CHUNK, "a small buffer is a chunk");
    const struct net *net = ctx;
    struct buf *buf = bufpool_take(net->bufs, BUF_SMALL);
    *keeper = buf;
    return buf != NULL ? buf->data : NULL;
}

// For heads that are larger than usual.
static void *chunk_take_large(void *ctx, size_t len, void **keeper)
{
    struct net *net = ctx;
    struct buf *buf = NULL;
    if (len <= BUF_LARGE_BYTES) {
        buf = bufpool_take(net->bufs, BUF_LARGE);
    } else {
        struct body *body = body_take(net, len);
        buf = body != NULL ? &body->buf : NULL;
    }
    *keeper = buf;
    return buf != NULL ? buf->data : NULL;
}

static void chunk_give(void *ctx, void *memory, void *keeper)
{
    (void)ctx, (void)memory;
    buf_put(keeper);
}

struct err shard_init(struct shard *shard, uint32_t idx, struct io *io, struct env *env,
                      const struct shard_shared *shared, struct usage_port *port,
                      uint32_t conns_max)
{
    memset(shard, 0, sizeof(*shard));
    shard->idx = idx;
    shard->own = *shared;
    shard->shared = &shard->own;
    shard->port = port;
    loop_init(&shard->loop, io, env);
    TRY(net_init(&shard->net, &shard->loop, shared->budget, conns_max));
    TRY(upool_init(&shard->upool, &shard->net, shared->relay->idle_timeout_ns,
                   shared->relay->idle_per_host, conns_max));
    shard->app = (struct http_app){ req_on_request, req_http_error };
    slab_init(&shard->reqs, sizeof(struct req), conns_max);
    slab_init(&shard->unpacks, sizeof(struct unpack), conns_max);
    slab_init(&shard->conversions, sizeof(struct conversion), conns_max);
    slab_init(&shard->answers, sizeof(struct answer), conns_max);
    slab_init(&shard->secrets, sizeof(struct kept_secret), conns_max);
    wire_forms_init(&shard->forms);
    for (size_t i = 0; i < SHARD_UP_FORMS; i++)
        http_form_init(&shard->up_forms[i]);
    for (size_t i = 0; i < SHARD_HABITS; i++)
        json_shape_init(&shard->habits[i].shape);
    shard->chunks = (struct arena_source){ chunk_take, chunk_give, &shard->net, chunk_take_large };
    list_init(&shard->live);
    if (shared->carrier != NULL)
        carrier_open(shared->carrier, idx, io);
    env_random(env, &shard->id_state, sizeof(shard->id_state));
    return OK;
}

void shard_fini(struct shard *shard)
{
    assert(shard_is_closed(shard));
    for (uint32_t i = 0; i < shard->server_count; i++)
        server_fini(&shard->servers[i]);
    upool_fini(&shard->upool);
    slab_fini(&shard->reqs);
    slab_fini(&shard->unpacks);
    slab_fini(&shard->conversions);
    slab_fini(&shard->answers);
    slab_fini(&shard->secrets);
    net_fini(&shard->net);
}

struct err shard_listen(struct shard *shard, const struct sockaddr *addr, socklen_t len,
                        struct certs *certs)
{
    assert(shard->server_count < SHARD_LISTENERS_MAX);
    struct server *server = &shard->servers[shard->server_count];
    TRY(server_open(server, &shard->net, &shard->app, shard->shared->server, addr, len));
    server_secure(server, certs);
    server_share(server, shard->shared->peers);
    if (shard->shared->doors != NULL)
        server_spread(server, shard->shared->doors, shard->idx, shard->server_count);
    shard->server_count++;
    return OK;
}

static struct door *door_of(const struct shard *shard)
{
    struct doors *doors = shard->shared->doors;
    return doors != NULL ? &doors->door[shard->idx] : NULL;
}

void shard_open_door(struct shard *shard)
{
    if (door_of(shard) != NULL)
        door_open(door_of(shard), shard->loop.io);
}

// Connections that other shards passed on.
static apart void take_passed(struct shard *shard, struct door *door)
{
    uint32_t listener;
    int fd;
    while (door_take(door, &listener, &fd)) {
        assert(listener < shard->server_count);
        server_take(&shard->servers[listener], fd);
        door_taken(door);
    }
}

void shard_apply(struct shard *shard, const struct shard_settings *settings)
{
    shard->own.relay = &settings->relay;
    shard->own.server = &settings->server;
    for (uint32_t i = 0; i < shard->server_count; i++)
        server_limit(&shard->servers[i], &settings->server);
    upool_limit(&shard->upool, settings->relay.idle_timeout_ns, settings->relay.idle_per_host);
}

// What the parts count for themselves, for threads that must not look at them.
static void show_figures(struct shard *shard)
{
    struct shard_counters *counters = &shard->counters;
    const struct io_stats *io = io_stats(shard->loop.io);
    counter_set(&counters->connections, shard->net.conns.count_out);
    uint64_t evicted[IDLE_KIND_COUNT] = { 0 }, passed = 0;
    for (uint32_t i = 0; i < shard->server_count; i++) {
        const struct server *server = &shard->servers[i];
        for (int kind = 0; kind < IDLE_KIND_COUNT; kind++)
            evicted[kind] += server->evicted[kind];
        passed += server->passed;
    }
    for (int kind = 0; kind < IDLE_KIND_COUNT; kind++)
        counter_set(&counters->evicted[kind], evicted[kind]);
    counter_set(&counters->passed, passed);
    counter_set(&counters->upstream_idle, shard->upool.count);
    counter_set(&counters->upstream_reused, shard->upool.reused);
    counter_set(&counters->syscalls, io->syscalls);
    counter_set(&counters->no_buffers, io->no_buffers);
}

// Nobody puts anything at its door, or wakes it for a job.
static bool is_quiet(const struct shard *shard)
{
    const struct carrier *carrier = shard->shared->carrier;
    return (door_of(shard) == NULL || door_is_quiet(door_of(shard))) &&
           (carrier == NULL || carrier_is_quiet(carrier, shard->idx));
}

void shard_turn(struct shard *shard, uint64_t until_ns)
{
    // What a request needs of a snapshot beyond one turn it has copied, so each turn may begin with
    // a newer one, and none is held while the shard sleeps.
    snap_hub_leave(shard->shared->hub, shard->idx);
    struct door *door = door_of(shard);
    struct carrier *carrier = shard->shared->carrier;
    if (unlikely(shard->draining && !is_quiet(shard)))
        until_ns = min_u64(until_ns, shard->loop.now_ns + NS_PER_MS); // who is at it says no more
    loop_wait(&shard->loop, until_ns);
    if (door != NULL && unlikely(door_has_any(door)))
        take_passed(shard, door);
    if (carrier != NULL && unlikely(carrier_has_any(carrier, shard->idx)))
        carrier_take(carrier, shard->idx);
    shard->snap = snap_hub_enter(shard->shared->hub, shard->idx);
    loop_work(&shard->loop);
    if (shard->owed != NULL)
        own_settle(shard);
    if (shard->port != NULL)
        usage_port_kick(shard->port);
    if (shard->access != NULL)
        access_port_kick(shard->access);
    show_figures(shard);
}

void shard_drain(struct shard *shard)
{
    shard->draining = true;
    if (door_of(shard) != NULL)
        door_close(door_of(shard));
    for (uint32_t i = 0; i < shard->server_count; i++)
        server_drain(&shard->servers[i]);
}

void shard_cut(struct shard *shard)
{
    struct list *next;
    for (struct list *at = shard->live.next; at != &shard->live; at = next) {
        next = at->next;
        struct req *req = container_of(at, struct req, link);
        req->cut = true;
        loop_ready(&shard->loop, &req->task);
    }
}

bool shard_is_idle(const struct shard *shard)
{
    for (uint32_t i = 0; i < shard->server_count; i++)
        if (!server_is_idle(&shard->servers[i]))
            return false;
    return list_is_empty(&shard->live) && is_quiet(shard);
}

void shard_close(struct shard *shard)
{
    assert(shard_is_idle(shard));
    upool_close(&shard->upool);
}

bool shard_is_closed(const struct shard *shard)
{
    return shard_is_idle(shard) && shard->net.conns.count_out == 0;
}
