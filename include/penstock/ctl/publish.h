// publish.h - brings what the registry holds before the shards: destinations, their addresses,
// snapshots.
//
// The control thread owns a publisher. Old snapshots are reclaimed by a timer of its loop.
#ifndef PENSTOCK_CTL_PUBLISH_H
#define PENSTOCK_CTL_PUBLISH_H

#include "penstock/ctl/registry.h"
#include "penstock/net/resolver.h"

struct publisher {
    struct loop *loop;
    const struct config *config; // in force; upstream.allow_cidr is looked up there each time
    struct keyring *keyring;
    struct vault *vault;
    struct snap_hub *hub;
    struct slots *slots;
    struct dests *dests;
    struct resolver *resolver;
    uint32_t converts; // formats (a set) between which the shards convert
    struct timer reclaim;
    uint64_t published; // snapshots made current
    uint32_t skipped;   // stored accounts that cannot be served now, as of the last build
    struct registry_why skipped_why; // of one of them
};

// Fill all before `reclaim` first.
void publisher_init(struct publisher *publisher);
void publisher_stop(struct publisher *publisher);

must_use struct err publisher_build(struct publisher *publisher, const struct registry *registry,
                                    struct snapshot **out, struct registry_why *why);
// Makes *snap current and sets it to NULL. OVERLOADED: to be tried again.
must_use struct err publisher_publish(struct publisher *publisher, struct snapshot **snap);

// After upstream.allow_cidr changed: judges the known addresses anew, and looks up all names.
void publisher_judge(struct publisher *publisher);

// The destination of an account, entered if it is new; DEST_NONE when `why` says why not.
// `trusted`: it may be anywhere.
must_use uint32_t publisher_dest(struct publisher *publisher, const struct account *account,
                                 bool trusted, struct registry_why *why);

#endif
