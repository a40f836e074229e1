// upool.h - idle upstream connections of one shard, by destination.
//
// A connection is here only while it is healthy, idle and fully read. upool_take() gives the most
// recently used one to the caller, upool_give() takes one back. An idle connection keeps a receive
// armed, so that the vendor's FIN removes it before anybody asks for it. Nothing blocks.
#ifndef PENSTOCK_NET_UPOOL_H
#define PENSTOCK_NET_UPOOL_H

#include "penstock/net/conn.h"
#include "penstock/net/dest.h"

struct upool_dest {
    struct list idle; // newest first
    uint32_t count;
};

struct upool {
    struct net *net;
    struct upool_dest *dests; // DEST_MAX of them
    struct list by_age;       // all of them, oldest first
    struct slab slab;
    struct timer timer;
    uint64_t idle_ns;
    uint32_t per_dest_max;
    uint32_t count;
    uint64_t reused, expired, closed_by_peer;
};

// `idle_ns`: how long a connection may be idle; `per_dest_max`: how many are kept a destination.
must_use struct err upool_init(struct upool *pool, struct net *net, uint64_t idle_ns,
                               uint32_t per_dest_max, uint32_t conns_max);
// Other bounds, for what is given back from now on.
void upool_limit(struct upool *pool, uint64_t idle_ns, uint32_t per_dest_max);
// Closes everything that is idle. What is given back later is kept again.
void upool_close(struct upool *pool);
// Closes too, and frees.
void upool_fini(struct upool *pool);

// Now owned by the caller, who becomes its owner task; NULL if there is none.
must_use struct conn *upool_take(struct upool *pool, uint32_t dest, struct task *owner);
// Takes *conn and sets it to NULL. A connection that cannot be reused is closed instead of kept.
void upool_give(struct upool *pool, uint32_t dest, struct conn **conn);

#endif
