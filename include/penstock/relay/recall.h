// recall.h - what the process remembers of thoughts and of vendors: bounded memory, shared by all
// shards, in which the oldest makes room.
//
// An entry has a key, which is a keyed hash of whatever names it, and a value of some bytes.
// Nothing here is needed: what was forgotten, or never learnt, costs a thought and no request. It
// is kept in stripes with a lock each, which is held for a look or a copy.
#ifndef PENSTOCK_RELAY_RECALL_H
#define PENSTOCK_RELAY_RECALL_H

#include "penstock/base/env.h"
#include "penstock/base/err.h"
#include "penstock/wire/figures.h"

#define RECALL_TTL_NS (UINT64_C(24) * 3600 * NS_PER_S) // since it was last asked for
enum {
    RECALL_WHAT_MAX = 512,        // bytes that name an entry
    RECALL_VALUE_MAX = 128 * KIB, // of one entry; longer ones are not kept
    RECALL_BYTES_MIN = 8 * MIB,   // of all together
};

enum recall_kind {
    RECALL_ISSUER,  // which account made a blob
    RECALL_REFUSED, // an account refused a blob
    RECALL_CALL,    // what came with a call
    RECALL_LACK,    // an operation that a vendor does not have
};

struct recall_key {
    uint64_t words[2];
};

struct recall;

// `bytes` is the bound of all that is remembered; memory is used as it fills.
must_use struct err recall_new(struct recall **out, struct env *env, uint64_t bytes);
void recall_free(struct recall **recall);

// The key of what belongs to `tenant`, is of this kind and is named by `what`.
struct recall_key recall_key(const struct recall *recall, enum recall_kind kind, uint64_t tenant,
                             struct span what);

// Remembers a value, in place of the one that the key had. True unless it is too long.
bool recall_put(struct recall *recall, struct recall_key key, struct span value, uint64_t now_ns);
// The length of a key's value, 0 if there is none; it is copied to `room` if that is long enough.
size_t recall_get(struct recall *recall, struct recall_key key, uint64_t now_ns, char *room,
                  size_t room_len);

// Whether it was ever told to expect this kind of entries for the tenant: without, there is nothing
// to be looked for. It may also say so of another tenant.
void recall_expect(struct recall *recall, enum recall_kind kind, uint64_t tenant);
bool recall_knows(const struct recall *recall, enum recall_kind kind, uint64_t tenant);

const struct recall_figures *recall_figures(const struct recall *recall);

#endif
