// conn_tls.h - where a connection's bytes pass through TLS; private to src/net.
#ifndef PENSTOCK_NET_CONN_TLS_H
#define PENSTOCK_NET_CONN_TLS_H

#include "penstock/net/conn.h"

// Takes over the reference to a buffer of ciphertext.
void conn_tls_rx(struct conn *conn, struct buf *buf, uint32_t len);
void conn_tls_rx_eof(struct conn *conn);
uint32_t conn_tls_rx_held(const struct conn *conn);
void conn_tls_free(struct conn *conn);

#endif
