// dial.h - one attempt to reach a destination: its addresses in order, 250 ms apart, the first
// wins.
//
// By RFC 8305 in small: a refused address makes room for the next at once, a silent one after
// DIAL_STAGGER_NS, and at most DIAL_PARALLEL are tried together. The caller's task is woken when
// the dial has ended: `conn` is set and now the caller's, or `err` says why not.
#ifndef PENSTOCK_NET_DIAL_H
#define PENSTOCK_NET_DIAL_H

#include "penstock/net/conn.h"
#include "penstock/net/dest.h"

enum { DIAL_PARALLEL = 2 };
#define DIAL_STAGGER_NS (UINT64_C(250) * NS_PER_MS)

struct dial {
    struct net *net;
    struct task *owner;
    struct task task; // of the connections that are being tried
    struct timer timer;
    struct conn *tries[DIAL_PARALLEL];
    struct conn *secured; // connected, in the TLS handshake
    struct conn *conn;
    struct err err;
    uint64_t deadline_ns, next_ns, dns_deadline_ns, handshake_ns;
    struct dests *dests;
    uint32_t dest;
    uint8_t count, next;
    bool ended;
    union dest_addr addrs[DEST_ADDRS_MAX];
};

struct dial_limits {
    uint64_t dns_ns;       // to wait for the first addresses of a name
    uint64_t connect_ns;   // for all addresses together, after that
    uint64_t handshake_ns; // of TLS, after that
};

void dial_start(struct dial *dial, struct net *net, struct dests *dests, uint32_t dest,
                const struct dial_limits *limits, struct task *owner);
// Ends it whatever its state; what was opened is closed. Harmless after the end.
void dial_stop(struct dial *dial);

#endif
