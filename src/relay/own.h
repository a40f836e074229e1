// own.h - a request's own time: how long it is in this gateway's hands and no peer is waited for;
// private to src/relay.
//
// It runs from the turn in which the request could go on to the end of the turn that handed its
// bytes on, for that is when they leave; so a turn that served others too counts as a whole. Of an
// answer only the way of its first byte counts. The end of a turn is known only then, so what ends
// in it is put on a list, and a request that is over stays until that is done.
#ifndef PENSTOCK_RELAY_OWN_H
#define PENSTOCK_RELAY_OWN_H

#include "req.h"

// It can go on: its whole body is here, a connection, the vendor's answer. Harmless if it could.
static inline void own_begin(struct req *req)
{
    if (req->own_since_ns == 0)
        req->own_since_ns = req->shard->loop.now_ns;
}
// It waits for its client after all, and nothing was done for it.
static inline void own_rest(struct req *req)
{
    req->own_since_ns = 0;
}
// Since it could go on, before this turn.
static inline uint32_t own_age_us(const struct req *req)
{
    const uint64_t ns = req->shard->loop.now_ns - req->own_since_ns;
    return ns == 0 ? 0 : (uint32_t)min_u64(ns / NS_PER_US, UINT32_MAX);
}
// Its bytes are on their way, or it waits for a peer from here on. Harmless if it did.
static inline void own_end(struct req *req, enum figures_own stage)
{
    if (req->own_since_ns == 0)
        return;
    req->own = (uint8_t)stage;
    if (req->is_owed)
        return;
    req->is_owed = true;
    req->owed_next = req->shard->owed;
    req->shard->owed = req;
}
static inline bool own_is_owed(const struct req *req)
{
    return req->is_owed;
}
// At the end of a turn.
void own_settle(struct shard *shard);

#endif
