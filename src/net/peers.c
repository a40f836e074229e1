#include "penstock/net/peers.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/put.h"
#include "penstock/base/region.h"

#include <arpa/inet.h>
#include <stdatomic.h>

// A word holds the address's tag above a count. A count of 0 is a free place, whatever the tag.
enum { COUNT_BITS = 24, WINDOW = 16, SIZE_MIN = 1024, LEAVE_TRIES = 100000 };
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

struct peers {
    uint64_t keys[2];
    uint32_t mask;
    size_t bytes; // of this object
    _Atomic uint64_t refused;
    _Atomic uint64_t words[];
};

struct peer peer_of(const struct sockaddr *addr)
{
    struct peer peer = { 0 };
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    if (addr->sa_family == AF_UNIX) {
        peer.family = PEER_LOCAL;
    } else if (addr->sa_family == AF_INET) {
        peer.family = 4;
        memcpy(peer.bytes, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, 4);
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)addr;
        const bool is_v4 = memcmp(&v6->sin6_addr, mapped, sizeof(mapped)) == 0;
        peer.family = is_v4 ? 4 : 6;
        memcpy(peer.bytes, v6->sin6_addr.s6_addr + (is_v4 ? 12 : 0), is_v4 ? 4 : 16);
    }
    return peer;
}

size_t peer_text(const struct peer *peer, char out[PEER_TEXT_MAX])
{
    _Static_assert((int)PEER_TEXT_MAX >= INET6_ADDRSTRLEN, "every address fits");
    if (peer->family == 0)
        return 0;
    if (peer->family == PEER_LOCAL) {
        memcpy(out, "unix", 4);
        return 4;
    }
    if (peer->family != 4) {
        verify(inet_ntop(AF_INET6, peer->bytes, out, PEER_TEXT_MAX));
        return strlen(out);
    }
    // By hand: each line of a log has one, and inet_ntop() prints it with a formatter.
    struct put put = put_into(out, PEER_TEXT_MAX);
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            PUT(&put, ".");
        put_u64(&put, peer->bytes[i]);
    }
    return put_done(&put).len;
}

struct err peers_new(struct peers **out, struct env *env, uint32_t count_max)
{
    uint32_t size = SIZE_MIN;
    while (size < UINT32_MAX / 8 && size < (uint64_t)count_max * 2)
        size *= 2;
    const size_t bytes = sizeof(struct peers) + size * sizeof(uint64_t);
    *out = pages_take(bytes); // zeroed, and in memory only where it is used
    if (*out == NULL)
        return ERR(NO_MEMORY);
    (*out)->mask = size - 1;
    (*out)->bytes = bytes;
    env_random(env, (*out)->keys, sizeof((*out)->keys));
    return OK;
}

void peers_free(struct peers **peers)
{
    if (*peers != NULL)
        pages_give(*peers, (*peers)->bytes);
    *peers = NULL;
}

static bool is_counted(const struct peer *peer)
{
    return peer->family == 4 || peer->family == 6;
}

static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
    hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

static uint64_t hash_of(const struct peers *peers, const struct peer *peer)
{
    uint64_t network;
    memcpy(&network, peer->bytes, sizeof(network)); // all of IPv4, the network of IPv6
    return mix(mix(network ^ peers->keys[0]) ^ peer->family ^ peers->keys[1]);
}

// What the window of one address shows at a moment.
struct look {
    uint64_t tag; // in its place in a word
    uint32_t home;
    uint32_t sum; // over all places with the tag: two threads may have begun one each
    _Atomic uint64_t *own, *free;
    uint64_t own_word, free_word;
};

static struct look look_at(struct peers *peers, const struct peer *peer)
{
    const uint64_t hash = hash_of(peers, peer);
    struct look look = { .tag = hash & ~COUNT_MASK, .home = (uint32_t)hash };
    for (uint32_t i = 0; i < WINDOW; i++) {
        _Atomic uint64_t *place = &peers->words[(look.home + i) & peers->mask];
        const uint64_t word = atomic_load_explicit(place, memory_order_relaxed);
        if ((word & COUNT_MASK) == 0) {
            if (look.free == NULL)
                look.free = place, look.free_word = word;
        } else if ((word & ~COUNT_MASK) == look.tag) {
            look.own = place;
            look.own_word = word;
            look.sum += (uint32_t)(word & COUNT_MASK);
        }
    }
    return look;
}

static bool swap(_Atomic uint64_t *place, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(place, &from, to, memory_order_relaxed,
                                                   memory_order_relaxed);
}

bool peers_enter(struct peers *peers, const struct peer *peer, uint32_t max, uint32_t *rank)
{
    *rank = 0;
    if (!is_counted(peer))
        return true;
    for (;;) {
        const struct look look = look_at(peers, peer);
        if (look.sum >= max && GUARD(PEER_LIMIT))
            return false;
        if (look.own == NULL && look.free == NULL)
            return true;
        *rank = look.sum + 1;
        if (look.own != NULL ? swap(look.own, look.own_word, look.own_word + 1)
                             : swap(look.free, look.free_word, look.tag | 1))
            break;
        *rank = 0;
    }
    if (look_at(peers, peer).sum <= max || !GUARD(PEER_LIMIT))
        return true;
    // Others began a place of their own at the same time: rather all go back than one too many
    // stays.
    peers_leave(peers, peer);
    *rank = 0;
    return false;
}

void peers_leave(struct peers *peers, const struct peer *peer)
{
    // The count is there, so a look that other threads disturbed is made again.
    for (unsigned i = 0; i < LEAVE_TRIES; i++) {
        const struct look look = look_at(peers, peer);
        if (look.own != NULL && swap(look.own, look.own_word, look.own_word - 1))
            return;
    }
}

void peers_refuse(struct peers *peers)
{
    atomic_fetch_add_explicit(&peers->refused, 1, memory_order_relaxed);
}

uint64_t peers_refused(const struct peers *peers)
{
    return atomic_load_explicit(&((struct peers *)(uintptr_t)peers)->refused, memory_order_relaxed);
}

uint32_t peers_count(struct peers *peers, const struct peer *peer)
{
    return is_counted(peer) ? look_at(peers, peer).sum : 0;
}
