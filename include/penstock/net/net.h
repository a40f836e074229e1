// net.h - what the connections of one thread share: loop, buffers, budget, body memory, slabs.
#ifndef PENSTOCK_NET_NET_H
#define PENSTOCK_NET_NET_H

#include "penstock/base/slab.h"
#include "penstock/io/loop.h"
#include "penstock/net/budget.h"
#include "penstock/net/extent.h"

enum { NET_SCRATCH = 64 * KIB, NET_ROOTS_MAX = 32, NET_RESUME_MAX = 256 };

struct tls_ctx;
struct tls_roots;

struct net {
    struct loop *loop;
    struct io *io;
    struct bufpool *bufs;
    struct budget budget;
    struct extent_pool extents;
    struct slab conns;
    struct slab bodies;
    struct slab dials;
    struct slab tls;         // of connections with TLS
    uint64_t handshake_turn; // the turn that `handshakes` counts in
    uint32_t handshakes;
    struct timer trim;  // once a second: memory that lies unused goes back to the system
    uint32_t trim_idle; // ticks that found nothing to do
    char *scratch;      // NET_SCRATCH bytes that hold a head gathered from several buffers, briefly
    // TLS towards vendors: one context for each set of roots, made when first needed.
    struct {
        struct tls_roots *roots;
        struct tls_ctx *ctx;
    } tls_clients[NET_ROOTS_MAX];
    uint64_t closed[16]; // connections closed, by enum conn_why
};

// `conns_max` bounds the connections of this thread, both sides together. On failure nothing is
// kept.
must_use struct err net_init(struct net *net, struct loop *loop, struct budget_process *budget,
                             uint32_t conns_max);
// To be called when connections or bodies appear: memory will have to be trimmed after them.
void net_wake_trim(struct net *net);
// Every connection must be gone.
void net_fini(struct net *net);

// The context of this thread that trusts `roots`; NULL when there are too many or memory is short.
must_use struct tls_ctx *net_tls_client(struct net *net, struct tls_roots *roots);

#endif
