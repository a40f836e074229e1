// net.h - what the connections of one thread share: loop, buffers, budget, body memory, slabs.
#ifndef PENSTOCK_NET_NET_H
#define PENSTOCK_NET_NET_H

#include "penstock/base/slab.h"
#include "penstock/io/loop.h"
#include "penstock/net/budget.h"
#include "penstock/net/extent.h"

enum { NET_SCRATCH = 64 * KIB };

struct net {
    struct loop *loop;
    struct io *io;
    struct bufpool *bufs;
    struct budget budget;
    struct extent_pool extents;
    struct slab conns;
    struct slab bodies;
    struct timer trim; // once a second: cold body memory goes back to the system
    char *scratch;     // NET_SCRATCH bytes that hold a head gathered from several buffers, briefly
    uint64_t closed[16]; // connections closed, by enum conn_why
};

// `conns_max` bounds the connections of this thread, both sides together. On failure nothing is
// kept.
must_use struct err net_init(struct net *net, struct loop *loop, struct budget_process *budget,
                             uint32_t conns_max);
// Every connection must be gone.
void net_fini(struct net *net);

#endif
