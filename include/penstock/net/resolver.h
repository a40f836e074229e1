// resolver.h - keeps the addresses of destinations fresh, by c-ares on the control thread's loop.
//
// Each watched destination is looked up when it appears and again when its answer's TTL ends
// (within RESOLVE_TTL_MIN_S and RESOLVE_TTL_MAX_S). When a later look-up fails the old addresses
// stay for RESOLVE_STALE_S; without any the destination is DEST_FAILED until the next try. One
// look-up that hangs delays nothing else.
#ifndef PENSTOCK_NET_RESOLVER_H
#define PENSTOCK_NET_RESOLVER_H

#include "penstock/io/loop.h"
#include "penstock/net/dest.h"

enum {
    RESOLVE_TTL_MIN_S = 5,
    RESOLVE_TTL_MAX_S = 300,
    RESOLVE_RETRY_S = 5,
    RESOLVE_STALE_S = 300,
    RESOLVE_SOCKETS_MAX = 16,
};

struct resolver;

// `timeout_ns`: for one question to one name server, of which each is asked twice.
must_use struct err resolver_new(struct resolver **out, struct loop *loop, struct dests *dests,
                                 uint64_t timeout_ns);
// Ends all look-ups. The loop must still turn until resolver_is_idle() before its io is freed.
void resolver_stop(struct resolver *resolver);
bool resolver_is_idle(const struct resolver *resolver);
void resolver_free(struct resolver **resolver);

// From now on, and until it is forgotten, keeps destination `dest` fresh. Harmless if it is watched
// already.
void resolver_watch(struct resolver *resolver, uint32_t dest);
// Whether a look-up of it is under way.
bool resolver_is_asking(const struct resolver *resolver, uint32_t dest);
// It has been let go. No look-up of it may be under way.
void resolver_forget(struct resolver *resolver, uint32_t dest);

// Looks up every watched name now, as if its answer's TTL had ended.
void resolver_refresh(struct resolver *resolver);

struct resolver_stats {
    uint64_t lookups, failures, stale; // stale: times an old answer was kept after a failure
};
struct resolver_stats resolver_stats(const struct resolver *resolver);

#endif
