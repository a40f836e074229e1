// peers.h - how many connections each address has, counted over all shards.
//
// A table of atomics that never moves. An address is known by 40 bits of a keyed hash, so that no
// peer can choose whom it is taken for, and is looked for in a short window of the table; where
// that is full of others the connection goes uncounted: the limit is a courtesy among clients, not
// a wall. Networks of 64 bits count as one IPv6 address, since one machine has them all.
//
// Any thread may call peers_enter() and peers_leave(); nothing blocks.
#ifndef PENSTOCK_NET_PEERS_H
#define PENSTOCK_NET_PEERS_H

#include "penstock/base/env.h"
#include "penstock/base/err.h"

#include <sys/socket.h>

// An address without its port.
enum { PEER_LOCAL = 1 }; // a family: at the other end of a Unix socket
struct peer {
    uint8_t family; // 0: not known, PEER_LOCAL, 4 or 6
    uint8_t bytes[16];
};
enum { PEER_TEXT_MAX = 46 };

// IPv4 in IPv6 becomes IPv4. Whoever comes by a Unix socket is "unix", and not counted: a limit for
// one address is none for all of a machine's programs.
struct peer peer_of(const struct sockaddr *addr);
// Returns the length, 0 for an unknown one. No NUL behind it.
size_t peer_text(const struct peer *peer, char out[PEER_TEXT_MAX]);

struct peers;

// For about `count_max` connections.
must_use struct err peers_new(struct peers **out, struct env *env, uint32_t count_max);
void peers_free(struct peers **peers);

// One more connection of `peer`; *rank tells the how manieth it is. False when there are `max`
// already; then nothing is counted. *rank 0: it goes uncounted, and no peers_leave() may follow.
must_use bool peers_enter(struct peers *peers, const struct peer *peer, uint32_t max,
                          uint32_t *rank);
void peers_leave(struct peers *peers, const struct peer *peer);
// One more connection was refused because of it, and how many were.
void peers_refuse(struct peers *peers);
uint64_t peers_refused(const struct peers *peers);
// How many connections `peer` has.
uint32_t peers_count(struct peers *peers, const struct peer *peer);

#endif
