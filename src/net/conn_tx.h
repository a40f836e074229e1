// conn_tx.h - between the parts of conn; private to src/net.
#ifndef PENSTOCK_NET_CONN_TX_H
#define PENSTOCK_NET_CONN_TX_H

#include "penstock/net/conn.h"

void conn_tx_init(struct conn *conn);
void conn_tx_init_op(struct conn *conn);
// Looks, at the end of this turn, whether something is to be sent.
void conn_tx_kick(struct conn *conn);
// `len` bytes of what the owner queued are with the kernel.
void conn_tx_sent(struct conn *conn, size_t len);
void conn_tx_fail(struct conn *conn, int sys);

void conn_wake(struct conn *conn);
void conn_charge(struct conn *conn, int64_t delta);
void conn_try_finish(struct conn *conn);
void conn_rx_arm(struct conn *conn);
void conn_rx_fail(struct conn *conn, int sys);
// Adds received plaintext; takes over the reference. False when it cannot be held.
must_use bool conn_rx_push(struct conn *conn, struct buf *buf, const char *ptr, uint32_t len);

#endif
