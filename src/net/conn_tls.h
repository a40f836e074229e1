// conn_tls.h - where a connection's bytes pass through TLS; private to src/net.
#ifndef PENSTOCK_NET_CONN_TLS_H
#define PENSTOCK_NET_CONN_TLS_H

#include "penstock/net/conn.h"
#include "penstock/net/tls.h"

enum {
    TLS_HANDSHAKES_A_TURN = 4, // each costs up to half a millisecond
    // Ciphertext held: full small buffers, less the two that can be partly used.
    CONN_TLS_IN_MAX = (SEGQ_REFS - 2) * BUF_SMALL_BYTES,
};

struct conn_tls {
    struct tls *tls;
    struct conn *conn;
    struct task task; // decrypts what arrived
    struct segq in;   // ciphertext not yet decrypted
    struct segq out;  // ciphertext to send
    uint32_t in_len;  // bytes in `in`
    uint32_t sealed;  // plaintext bytes that `out` stands for
    uint32_t charged; // of the session's own memory
    bool feeding;     // the front of `in` was given to the session and is not used up
    bool begun;       // the handshake has made a step
    bool ended;       // the transport has ended
    bool finished;    // close_notify was queued
};

// Takes over the reference to a buffer of ciphertext.
void conn_tls_rx(struct conn *conn, struct buf *buf, uint32_t len);
void conn_tls_rx_eof(struct conn *conn);
uint32_t conn_tls_rx_held(const struct conn *conn);
// The owner made room: decrypts more if there is more.
void conn_tls_room(struct conn *conn);

// Encrypts what is queued if nothing encrypted waits; the queue to send from.
struct segq *conn_tls_seal(struct conn *conn);
void conn_tls_sent(struct conn *conn, size_t len);
// Everything queued is in one send that takes all of what is sealed.
bool conn_tls_is_last(const struct conn *conn);
// Before FIN: true if there is nothing left to say.
bool conn_tls_finish(struct conn *conn);
// A connection is about to be closed: a close_notify or alert goes out if the socket takes it now.
void conn_tls_farewell(struct conn *conn);
void conn_tls_free(struct conn *conn);

#endif
