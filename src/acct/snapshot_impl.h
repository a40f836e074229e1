// snapshot_impl.h - a snapshot from the inside.
#ifndef PENSTOCK_ACCT_SNAPSHOT_IMPL_H
#define PENSTOCK_ACCT_SNAPSHOT_IMPL_H

#include "index.h"
#include "penstock/acct/snapshot.h"
#include "penstock/base/check.h"

// Model names that a format serves: whole ones, and beginnings (patterns without their asterisk).
struct snap_routes {
    struct index exact, prefix; // to entries of `routes`
    struct snap_route *routes;
    uint32_t count;
    uint64_t prefix_lens[MODEL_NAME_MAX / 64 + 1]; // set of lengths that beginnings have
};

// A key's place in the hash table: enough of the digest to look at one key only.
struct key_probe {
    uint32_t tag;
    uint32_t idx; // plus 1; 0: free
};

struct snapshot {
    uint64_t generation;
    struct region region;

    struct snap_account *accounts;
    struct secret **lines; // of their heads
    uint32_t account_count;
    uint32_t serving[FORMAT_COUNT]; // enabled accounts
    struct index account_names;

    struct secret *hasher; // a struct key_hasher; NULL in the empty snapshot
    struct snap_key *keys;
    uint32_t key_count;
    struct key_probe *probes;
    uint32_t probe_mask;

    struct snap_routes routes[FORMAT_COUNT];
    struct snap_model *models; // sorted by name
    uint32_t model_count;
};

must_use struct snapshot *snapshot_new(uint64_t generation);

// Where in the table the search for a digest begins, and what tells most others apart.
static inline uint32_t digest_home(const uint8_t digest[DIGEST_BYTES], uint32_t mask)
{
    uint32_t word;
    memcpy(&word, digest, sizeof(word));
    return word & mask;
}
static inline uint32_t digest_tag(const uint8_t digest[DIGEST_BYTES])
{
    uint32_t word;
    memcpy(&word, digest + sizeof(word), sizeof(word));
    return word;
}

static inline bool has_len(const struct snap_routes *routes, size_t len)
{
    return len <= MODEL_NAME_MAX && (routes->prefix_lens[len / 64] >> (len % 64) & 1) != 0;
}

#endif
