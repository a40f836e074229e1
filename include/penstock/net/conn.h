// conn.h - one connected socket: received bytes to look at, bytes to send, nothing that blocks.
//
// A connection belongs to one owner, who is woken through its task when something changed: bytes
// arrived, the peer's end or a failure was seen, the send queue fell to the mark that was asked
// for, the connection was established. The owner then looks; nothing is called from inside a
// completion.
//
// Received bytes stay in the buffers they arrived in. At most `limit` bytes are held: a receive is
// armed with what is left of it, so a peer that outruns the owner waits in its own socket. Bytes to
// send are segments that hold a reference to a buffer, or copies; one send is in flight at a time
// and everything queued in a turn leaves in one call at its end.
//
// conn_close() ends the owner's use at once; the object itself lives until the kernel has returned
// its operations, and is freed at the end of that turn.
#ifndef PENSTOCK_NET_CONN_H
#define PENSTOCK_NET_CONN_H

#include "penstock/net/net.h"
#include "penstock/net/segq.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct tls_ctx;
struct conn_tls;

enum {
    CONN_RX_SEGMENTS = 8,      // buffers held; beyond that bytes are copied together
    CONN_RX_LIMIT = 64 * KIB,  // bytes held of what a peer sent, by default
    CONN_RX_HEAD = 16 * KIB,   // while waiting for a head
    CONN_DIRECT_MAX = 1 * MIB, // of one receive straight into the owner's memory: a turn is bounded
    CONN_NOW_MIN = 32 * KIB,   // from here on conn_tx_now() sends
};

// OPENING: connecting, or in the TLS handshake.
enum conn_state { CONN_OPENING, CONN_OPEN, CONN_CLOSING };
enum conn_rx_state { RX_OPEN, RX_EOF, RX_FAILED };

// Why a connection ended; counted, and named in logs.
enum conn_why {
    WHY_NONE,
    WHY_DONE,   // its work was done
    WHY_PEER,   // the peer closed it
    WHY_FAILED, // a socket error
    WHY_TIMEOUT,
    WHY_PROTOCOL,  // the peer broke the protocol
    WHY_STALLED,   // the peer did not read
    WHY_CANCELLED, // the other side of a relay ended
    WHY_SHUTDOWN,  // the process ends
    WHY_LIMIT,     // a limit was reached
    WHY_TLS,
    WHY_EVICTED, // it made room for another
    WHY_COUNT,
};
const char *conn_why_name(enum conn_why why);

union conn_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct conn {
    struct net *net;
    struct task *owner;   // NULL: nobody is interested now
    struct conn_tls *tls; // NULL: plaintext
    int fd;
    int32_t sys;      // errno of the first failure, 0 if none
    uint8_t state;    // enum conn_state
    uint8_t rx_state; // enum conn_rx_state
    uint8_t rx_cls;   // enum buf_class that the next receive asks for
    bool tx_failed;
    bool tx_fin; // FIN after everything queued
    bool tx_fin_sent;
    bool tx_wake;       // wake the owner when the queue has fallen to tx_low
    struct buf *direct; // keeps the memory that a receive in flight writes to, if it is the owner's
    uint32_t rx_len;    // bytes held
    uint32_t rx_limit;
    uint32_t rx_direct; // bytes received into the owner's memory since it last looked
    uint32_t tx_len;    // bytes queued, those in flight included
    uint32_t tx_low;
    uint32_t charged;            // bytes charged to the budget
    uint64_t rx_bytes, tx_bytes; // totals
    struct io_op rx_op, tx_op;
    struct segq rx, tx;
    union {
        struct iovec iov[SEGQ_OWN]; // of the send in flight
        union conn_addr addr;       // while connecting: the kernel reads it until the end
    };
    struct task flush; // and, at the end, burial
};

// Takes over the accepted socket `fd`; NULL when no more connections fit, and `fd` is then closed.
must_use struct conn *conn_accept(struct net *net, int fd, struct task *owner);

// Starts connecting. `addr` is copied: the operation may outlive its caller. NULL when no more fit.
// Success is CONN_OPEN, failure is rx_state RX_FAILED with `sys`.
must_use struct conn *conn_dial(struct net *net, const struct sockaddr *addr, socklen_t len,
                                struct task *owner);

// Puts TLS on a connection that is open and has neither sent nor received: it is CONN_OPENING until
// the handshake is done. `host` as in tls_new_client(). False: no memory; close it.
must_use bool conn_tls_accept(struct conn *conn, struct tls_ctx *ctx);
must_use bool conn_tls_dial(struct conn *conn, struct tls_ctx *ctx, struct span host,
                            uint16_t port);
// Why TLS failed; OK if it did not. The text is for logs and free of secrets.
struct err conn_tls_err(const struct conn *conn);
const char *conn_tls_reason(const struct conn *conn);

// Closes with FIN, or with RST if `reset`, discarding what is queued; *conn becomes NULL.
void conn_close(struct conn **conn, enum conn_why why, bool reset);

// Who is woken from now on; NULL for nobody. A wake-up that is pending for the old owner may be
// lost.
void conn_set_owner(struct conn *conn, struct task *owner);

// --- receiving ---

// How many bytes may be held, and in which class of buffers the next receive is armed. 0 stops.
void conn_rx_allow(struct conn *conn, uint32_t limit, enum buf_class cls);

// After RX_EOF: asks whether the peer has reset the connection since. If so, the owner is woken and
// finds RX_FAILED; a socket that was only half-closed stays at its end.
void conn_rx_recheck(struct conn *conn);

// Whether nothing is under way: no part of a request or of a handshake has come, also none that
// waits in the socket, which is asked by a system call, and nothing is to be sent.
bool conn_is_quiet(const struct conn *conn);

// Small pieces will come at short intervals: as io_ack_late() and io_acks_late().
void conn_rx_ack_late(struct conn *conn);
must_use bool conn_rx_acks_late(struct conn *conn);

static inline bool conn_rx_open(const struct conn *conn)
{
    return conn->rx_state == RX_OPEN;
}

// The contiguous unread bytes at the front, empty if there are none; valid until consumed.
static inline struct span conn_rx_front(const struct conn *conn)
{
    if (conn->rx.count == 0)
        return SPAN_NONE;
    const struct seg *seg = segq_at(&conn->rx, 0);
    return span_of(seg->ptr, seg->len);
}

// The buffer that keeps conn_rx_front(); take a reference to keep it longer.
static inline struct buf *conn_rx_buf(const struct conn *conn)
{
    return segq_at(&conn->rx, 0)->buf;
}

// The first `max` unread bytes (at most NET_SCRATCH), contiguous: the front itself where it is
// enough, else a copy in the thread's scratch memory, valid until the next call on any connection.
struct span conn_rx_peek(struct conn *conn, size_t max);

// Drops `len` bytes from the front and re-arms the receive as far as the limit allows.
void conn_rx_consume(struct conn *conn, size_t len);

// Receives straight into `into`, which lies in `buf`, instead of the pool's buffers: what is there
// already, before this returns. Returns how many bytes arrived there since the last call and keeps
// a receive in flight for the rest while `len` > 0 and nothing is held. The next call must go on at
// `into` plus what this one returned. The connection keeps a reference to `buf` as long as the
// kernel may write. Only for plaintext connections.
uint32_t conn_rx_direct(struct conn *conn, struct buf *buf, char *into, size_t len);

// --- sending ---

// Room for `len` bytes (at most BUF_LARGE_BYTES) to be written in place, followed by
// conn_tx_commit() with how many were; NULL when no buffer is left.
must_use char *conn_tx_reserve(struct conn *conn, size_t len);
void conn_tx_commit(struct conn *conn, size_t len);

// The same where it wastes nothing: behind what is queued, or in an empty queue. NULL: not now.
static inline char *conn_tx_room(struct conn *conn, size_t len)
{
    return conn->tx.room >= len || conn->tx.count == 0 ? conn_tx_reserve(conn, len) : NULL;
}

// Queues a copy. False when no buffer is left: the connection can only be closed then.
must_use bool conn_tx_copy(struct conn *conn, struct span bytes);
// Queues bytes inside `buf`, taking a reference of its own. Short ones are copied.
must_use bool conn_tx_ref(struct conn *conn, struct buf *buf, const char *ptr, size_t len);

// Sends what is queued at once, if it is much and can be, rather than at the end of the turn: for
// bytes that were worked on a moment before.
void conn_tx_now(struct conn *conn);

// FIN after everything queued so far; nothing may be queued after it.
void conn_tx_finish(struct conn *conn);

// Wakes the owner once when the queue has fallen to `low` bytes or fewer.
void conn_tx_notify(struct conn *conn, uint32_t low);

#endif
