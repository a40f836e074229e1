// dest.h - the places that vendors are reached at, and their addresses as last resolved.
//
// The control thread interns a destination for each (host, port, TLS or not, CA file) that the
// configuration names and keeps its addresses fresh; the shards only copy them out, so that no name
// is ever looked up on the way of a request. What stands for a destination is a number: the index
// of its place, which upstream connections are pooled by, and which life of that place is meant. A
// destination that no snapshot names any more is let go, and its place is used again; whoever still
// has the number of the earlier life finds nothing there.
//
// dest_key(), dest_roots() and dest_addrs() may be called by any thread, and what they return is
// good for the turn; everything else by the control thread.
#ifndef PENSTOCK_NET_DEST_H
#define PENSTOCK_NET_DEST_H

#include "penstock/base/base.h"
#include "penstock/base/err.h"
#include "penstock/net/tls.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum {
    DEST_IDX_BITS = 12,
    DEST_MAX = 1 << DEST_IDX_BITS,
    DEST_LIVES = 1 << 19, // of one place, until the numbers begin again
    DEST_ROOTS_MAX = 64,
    DEST_ADDRS_MAX = 8,
    DEST_HOST_MAX = 253,
    DEST_PATH_MAX = 1024,
    DEST_NONE = UINT32_MAX
};

enum dest_state {
    DEST_PENDING, // never resolved yet
    DEST_READY,
    DEST_FAILED, // no address, and no older one that may still be used
};

union dest_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct dest_key {
    struct span host; // a name, or an address without brackets
    uint16_t port;
    bool tls;
    struct span ca_file;
    struct span server_name; // for TLS; empty: the host
    // Which of its addresses may be used; NULL: all. A look-up that brings no other has failed.
    bool (*allow)(void *arg, const union dest_addr *addr);
    void *allow_arg;
};

static inline uint32_t dest_idx(uint32_t dest)
{
    return dest & (DEST_MAX - 1);
}

struct dests;

must_use struct err dests_new(struct dests **out);
void dests_free(struct dests **dests);

// What stands for `key`, which is entered if it is new. A host that is an address is ready at once;
// with TLS the roots are loaded (the system's, or those of ca_file). DEST_NONE when DEST_MAX are
// known, the host is too long, or the roots cannot be used; `why` (TLS_WHY_MAX bytes) then holds a
// sentence. What is interned is named by the snapshot that dests_name() told of.
must_use uint32_t dests_intern(struct dests *dests, const struct dest_key *key, char *why);
void dests_name(struct dests *dests, uint64_t generation);
// Whether the snapshot `generation`, or a later one, names it.
bool dests_is_named(const struct dests *dests, uint32_t dest, uint64_t generation);
// Lets go of `dest` unless a snapshot since `generation` names it. True if it is gone. Every shard
// has to have begun a turn with the snapshot `generation`; what was let go for an earlier one is
// freed now, since no turn of that time goes on.
bool dests_drop(struct dests *dests, uint32_t dest, uint64_t generation);

// Places in use or used before; dests_at() tells what is there, DEST_NONE if nothing.
uint32_t dests_count(const struct dests *dests);
uint32_t dests_at(const struct dests *dests, uint32_t idx);
// The key as it was interned; NULL when the destination is gone.
const struct dest_key *dest_key(const struct dests *dests, uint32_t dest);
// Whom a destination with TLS is verified against; NULL without TLS, or when it is gone. Lives as
// long as `dests`: contexts are kept by it.
struct tls_roots *dest_roots(const struct dests *dests, uint32_t dest);
bool dest_is_numeric(const struct dests *dests, uint32_t dest);

// Publishes new addresses (count 0 with DEST_FAILED).
void dest_publish(struct dests *dests, uint32_t dest, enum dest_state state,
                  const union dest_addr *addrs, unsigned count);

// Asks `allow` anew about an address that is written as one, or about those published last.
void dest_judge(struct dests *dests, uint32_t dest);

// Copies the addresses out, best first, and returns how many; 0 with DEST_PENDING or DEST_FAILED,
// as which one that is gone counts.
unsigned dest_addrs(struct dests *dests, uint32_t dest, enum dest_state *state,
                    union dest_addr out[DEST_ADDRS_MAX]);
static inline socklen_t dest_addr_len(const union dest_addr *addr)
{
    return addr->any.sa_family == AF_INET6 ? sizeof(addr->v6) : sizeof(addr->v4);
}

#endif
