// snapshot_build.h - what the builder gathers before a snapshot is made of it.
#ifndef PENSTOCK_ACCT_SNAPSHOT_BUILD_H
#define PENSTOCK_ACCT_SNAPSHOT_BUILD_H

#include "snapshot_impl.h"

struct build_key {
    struct snap_key key;
    bool gone;
};

// An account that serves a name or beginning; linked in order of arrival.
struct link {
    struct link *next;
    uint32_t account; // final index
};

struct name_entry {
    struct span name;
    struct link *first, *last;
};

// Names of one format with who lists them.
struct name_set {
    struct index index;
    struct name_entry *entries;
    uint32_t count, cap;
};

struct build_account {
    struct snap_account snap;
    struct secret *lines;
    struct strings models;
    struct pairs map;
    uint32_t reach; // set of formats whose clients it serves, by conversion too
};

struct build_route {
    struct span name, target, display_name, owned_by;
    struct strings aliases, accounts;
    uint32_t formats;
    bool enabled, listed, strict, think_tags, web_search;
    uint64_t created_at;
};

struct snap_builder {
    struct region scratch; // what only the building needs
    struct snapshot *snap;
    struct vault *vault;
    struct slots *slots;
    uint32_t converts; // set of formats

    struct build_account **accounts; // in order of arrival
    uint32_t account_count, account_cap;
    struct build_route *routes;
    uint32_t route_count, route_cap;
    struct build_key *keys;
    uint32_t key_count, key_cap;
    struct index key_ids;

    struct name_set exact[FORMAT_COUNT], prefix[FORMAT_COUNT];
    uint32_t *picked; // per account: the round in which it was taken last
    uint32_t round;
    uint32_t *picks; // the candidates of the route at hand,
    uint32_t *sorts; // and room to put them in order
    uint32_t pick_count;
    uint32_t out_cap; // of the array of routes that grows
};

// A place for one more in an array that lies in the scratch region.
#define GROW(builder, items, count, cap)                                              \
    do {                                                                              \
        if ((count) == (cap)) {                                                       \
            (cap) = (cap) > 0 ? (cap)*2 : 16;                                         \
            void *more_ = region_array(&(builder)->scratch, (cap), sizeof(*(items))); \
            if ((count) > 0)                                                          \
                memcpy(more_, (items), (count) * sizeof(*(items)));                   \
            (items) = more_;                                                          \
        }                                                                             \
    } while (0)

// snapshot_routes.c: fills snap->routes and snap->models from the builder's accounts, which must
// have their final indexes, and routes.
void snap_build_routes(struct snap_builder *builder);

#endif
