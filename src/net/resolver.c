#include "penstock/net/resolver.h"

#include "penstock/base/check.h"
#include "penstock/base/mem.h"

#include <ares.h>
#include <netdb.h>
#include <poll.h>

// c-ares tells which sockets it wants watched; each has one poll operation of ours.
struct watch {
    struct resolver *resolver;
    struct io_op op;
    ares_socket_t fd; // ARES_SOCKET_BAD: this place is free
    uint32_t events;
};

struct name {
    struct resolver *resolver;
    uint32_t dest;
    bool watched, pending, ready;
    uint64_t next_ns;  // of the next look-up
    uint64_t stale_ns; // until then the old addresses may be served
};

struct resolver {
    struct loop *loop;
    struct dests *dests;
    ares_channel channel;
    struct timer timer;
    bool stopping;
    struct watch watches[RESOLVE_SOCKETS_MAX];
    struct resolver_stats stats;
    struct name names[DEST_MAX];
};

static void schedule(struct resolver *resolver);

static void poll_start(struct watch *watch)
{
    io_poll(watch->resolver->loop->io, &watch->op, watch->fd, watch->events);
}

static void on_poll(struct io_op *op, struct io_done done)
{
    struct watch *watch = container_of(op, struct watch, op);
    struct resolver *resolver = watch->resolver;
    if (watch->fd != ARES_SOCKET_BAD && done.res >= 0 && !resolver->stopping) {
        bool can_read = (done.res & (POLLIN | POLLERR | POLLHUP)) != 0;
        bool can_write = (done.res & POLLOUT) != 0;
        ares_process_fd(resolver->channel, can_read ? watch->fd : ARES_SOCKET_BAD,
                        can_write ? watch->fd : ARES_SOCKET_BAD);
    }
    if (watch->fd != ARES_SOCKET_BAD && watch->events != 0 && !watch->op.in_flight)
        poll_start(watch);
    schedule(resolver);
}

static void on_socket(void *arg, ares_socket_t fd, int can_read, int can_write)
{
    struct resolver *resolver = arg;
    struct watch *watch = NULL;
    for (int i = 0; i < RESOLVE_SOCKETS_MAX; i++)
        if (resolver->watches[i].fd == fd)
            watch = &resolver->watches[i];
    for (int i = 0; i < RESOLVE_SOCKETS_MAX && watch == NULL; i++)
        if (resolver->watches[i].fd == ARES_SOCKET_BAD && !resolver->watches[i].op.in_flight)
            watch = &resolver->watches[i];
    if (watch == NULL)
        return; // its look-up times out; there are as many places as name servers, twice
    uint32_t events = (can_read ? POLLIN : 0u) | (can_write ? POLLOUT : 0u);
    watch->events = events;
    watch->fd = events != 0 ? fd : ARES_SOCKET_BAD;
    if (watch->op.in_flight)
        io_cancel(resolver->loop->io, &watch->op); // its end starts the new one
    else if (events != 0)
        poll_start(watch);
}

// False if there was no usable address among them.
static bool publish(struct name *name, const struct ares_addrinfo *info)
{
    struct resolver *resolver = name->resolver;
    union dest_addr addrs[DEST_ADDRS_MAX];
    unsigned count = 0;
    int ttl = RESOLVE_TTL_MAX_S;
    uint16_t port = dest_key(resolver->dests, name->dest)->port;
    for (const struct ares_addrinfo_node *node = info->nodes;
         node != NULL && count < DEST_ADDRS_MAX; node = node->ai_next) {
        if (node->ai_addrlen > sizeof(addrs[0]))
            continue;
        memset(&addrs[count], 0, sizeof(addrs[count]));
        memcpy(&addrs[count], node->ai_addr, node->ai_addrlen);
        if (node->ai_family == AF_INET6)
            addrs[count].v6.sin6_port = htons(port);
        else
            addrs[count].v4.sin_port = htons(port);
        count++;
        if (node->ai_ttl < ttl)
            ttl = node->ai_ttl;
    }
    uint64_t now = resolver->loop->now_ns;
    if (count == 0)
        return false;
    if (ttl < RESOLVE_TTL_MIN_S)
        ttl = RESOLVE_TTL_MIN_S;
    name->ready = true;
    name->next_ns = now + (uint64_t)ttl * NS_PER_S;
    name->stale_ns = name->next_ns + (uint64_t)RESOLVE_STALE_S * NS_PER_S;
    dest_publish(resolver->dests, name->dest, DEST_READY, addrs, count);
    return true;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct name *name = arg;
    struct resolver *resolver = name->resolver;
    name->pending = false;
    if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED) {
        if (info != NULL)
            ares_freeaddrinfo(info);
        return;
    }
    uint64_t now = resolver->loop->now_ns;
    name->next_ns = now + RESOLVE_RETRY_S * NS_PER_S;
    bool published = status == ARES_SUCCESS && publish(name, info);
    if (info != NULL)
        ares_freeaddrinfo(info);
    if (published)
        return;
    resolver->stats.failures++;
    if (name->ready && now < name->stale_ns) {
        resolver->stats.stale++;
        return;
    }
    name->ready = false;
    dest_publish(resolver->dests, name->dest, DEST_FAILED, NULL, 0);
}

static void look_up(struct name *name)
{
    struct resolver *resolver = name->resolver;
    // AI_ADDRCONFIG asks only for families that this machine has; a wrong guess costs a try.
    const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    name->pending = true;
    resolver->stats.lookups++;
    ares_getaddrinfo(resolver->channel, dest_key(resolver->dests, name->dest)->host.ptr, NULL,
                     &hints, on_answer, name);
}

static void on_timer(struct timer *timer)
{
    struct resolver *resolver = container_of(timer, struct resolver, timer);
    if (resolver->stopping)
        return;
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); // its own time limits
    uint64_t now = resolver->loop->now_ns;
    for (uint32_t i = 0; i < dests_count(resolver->dests); i++) {
        struct name *name = &resolver->names[i];
        if (name->watched && !name->pending && name->next_ns <= now)
            look_up(name);
    }
    schedule(resolver);
}

// The timer goes to the earliest of c-ares' own time limits and the next look-up due.
static void schedule(struct resolver *resolver)
{
    if (resolver->stopping)
        return;
    uint64_t now = resolver->loop->now_ns, at = UINT64_MAX;
    struct timeval left, *next = ares_timeout(resolver->channel, NULL, &left);
    if (next != NULL)
        at = now + (uint64_t)next->tv_sec * NS_PER_S + (uint64_t)next->tv_usec * NS_PER_US + 1;
    for (uint32_t i = 0; i < dests_count(resolver->dests); i++) {
        const struct name *name = &resolver->names[i];
        if (name->watched && !name->pending)
            at = min_u64(at, max_u64(name->next_ns, now + 1));
    }
    if (at != UINT64_MAX)
        timer_arm(&resolver->loop->wheel, &resolver->timer, at);
}

struct err resolver_new(struct resolver **out, struct loop *loop, struct dests *dests,
                        uint64_t timeout_ns)
{
    *out = NULL;
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        return ERR(NO_MEMORY);
    struct resolver *resolver = mem_take(1, sizeof(*resolver));
    if (resolver == NULL) {
        ares_library_cleanup();
        return ERR(NO_MEMORY);
    }
    resolver->loop = loop;
    resolver->dests = dests;
    resolver->timer.on_fire = on_timer;
    for (int i = 0; i < RESOLVE_SOCKETS_MAX; i++) {
        resolver->watches[i] = (struct watch){ .resolver = resolver, .fd = ARES_SOCKET_BAD };
        resolver->watches[i].op.on_done = on_poll;
    }
    struct ares_options options = {
        .timeout = (int)(timeout_ns / NS_PER_MS),
        .tries = 2,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = resolver,
    };
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    if (ares_init_options(&resolver->channel, &options, mask) != ARES_SUCCESS) {
        mem_give(resolver);
        ares_library_cleanup();
        return ERR(DNS_FAILED);
    }
    *out = resolver;
    return OK;
}

void resolver_watch(struct resolver *resolver, uint32_t dest)
{
    struct name *name = &resolver->names[dest_idx(dest)];
    if (name->watched || dest_is_numeric(resolver->dests, dest))
        return;
    *name = (struct name){ .resolver = resolver, .dest = dest, .watched = true };
    look_up(name);
    schedule(resolver);
}

bool resolver_is_asking(const struct resolver *resolver, uint32_t dest)
{
    return resolver->names[dest_idx(dest)].pending;
}

void resolver_forget(struct resolver *resolver, uint32_t dest)
{
    struct name *name = &resolver->names[dest_idx(dest)];
    assert(!name->pending); // its answer would be taken for that of the next in this place
    name->watched = false;
}

void resolver_refresh(struct resolver *resolver)
{
    for (uint32_t i = 0; i < dests_count(resolver->dests); i++)
        resolver->names[i].next_ns = 0;
    schedule(resolver);
}

void resolver_stop(struct resolver *resolver)
{
    resolver->stopping = true;
    timer_stop(&resolver->loop->wheel, &resolver->timer);
    for (int i = 0; i < RESOLVE_SOCKETS_MAX; i++) {
        resolver->watches[i].fd = ARES_SOCKET_BAD;
        if (resolver->watches[i].op.in_flight)
            io_cancel(resolver->loop->io, &resolver->watches[i].op);
    }
}

bool resolver_is_idle(const struct resolver *resolver)
{
    for (int i = 0; i < RESOLVE_SOCKETS_MAX; i++)
        if (resolver->watches[i].op.in_flight)
            return false;
    return true;
}

void resolver_free(struct resolver **resolver_ptr)
{
    struct resolver *resolver = *resolver_ptr;
    if (resolver == NULL)
        return;
    assert(resolver_is_idle(resolver));
    ares_destroy(resolver->channel);
    ares_library_cleanup();
    mem_give(resolver);
    *resolver_ptr = NULL;
}

struct resolver_stats resolver_stats(const struct resolver *resolver)
{
    return resolver->stats;
}
