// client.h - one request to a server over HTTP/1.1, and its answer piece by piece.
//
// A fetch takes a connection from the pool or dials one. The owner's task is woken whenever there
// may be something new; the owner then asks, in this order: fetch_connect() until it is done, then
// queues the request on fetch_conn(), then fetch_head() until it is done, then fetch_body() until
// it is done, then fetch_end(). fetch_stop() ends it at any time and closes the connection.
//
// Deadlines are the owner's; the fetch only knows what the peer did.
#ifndef PENSTOCK_HTTP_CLIENT_H
#define PENSTOCK_HTTP_CLIENT_H

#include "penstock/codec/http1_form.h"
#include "penstock/net/dial.h"
#include "penstock/net/upool.h"

enum { FETCH_INTERIM_MAX = 16 }; // 1xx heads before the final one

struct fetch {
    struct net *net;
    struct upool *pool;
    struct task *owner;
    struct conn *conn;
    uint32_t dest;
    bool reused; // the connection came from the pool
    bool head_done;
    bool body_done;
    bool keep_alive;
    bool any_byte; // something of an answer arrived
    uint8_t interim;
    enum http_method method;
    enum http_framing framing;
    uint64_t left; // of a body with a length
    struct http_scan scan;
    struct chunked dec;
    struct dial *dial; // while it is under way
};

// Not active.
static inline void fetch_init(struct fetch *fetch)
{
    fetch->net = NULL;
}

// `fresh`: do not take a connection from the pool.
void fetch_start(struct fetch *fetch, struct net *net, struct upool *pool, struct dests *dests,
                 uint32_t dest, const struct dial_limits *limits, bool fresh, struct task *owner);

// PARSE_DONE: connected. PARSE_MORE: not yet. PARSE_BAD: *err says why.
must_use enum parse fetch_connect(struct fetch *fetch, struct err *err);

static inline struct conn *fetch_conn(struct fetch *fetch)
{
    return fetch->conn;
}
// Something of an answer, or the connection's end, is there already.
static inline bool fetch_has_news(const struct fetch *fetch)
{
    const struct conn *conn = fetch->conn;
    return conn->rx_len > 0 || conn->rx_state != RX_OPEN || conn->tx_failed;
}
// fetch_body() would say PARSE_DONE.
static inline bool fetch_is_done(const struct fetch *fetch)
{
    return fetch->body_done;
}
// fetch_body() would say PARSE_MORE.
static inline bool fetch_is_dry(const struct fetch *fetch)
{
    return !fetch->body_done && fetch->conn->rx_len == 0 && fetch->conn->rx_state == RX_OPEN;
}
// To be called when the request's head is queued: what the answer's framing depends on.
void fetch_sent(struct fetch *fetch, enum http_method method);

// The head of the answer, 1xx apart; `form` is what such heads are compared with, or NULL.
// PARSE_DONE: `head` is valid until fetch_head_take(), which drops `used` bytes and makes ready for
// the body. PARSE_BAD: UPSTREAM_STALE if a pooled connection ended without a byte, UPSTREAM_CLOSED,
// UPSTREAM_HEAD.
must_use enum parse fetch_head(struct fetch *fetch, struct http_form *form, struct http_head *head,
                               size_t *used, struct err *err);
void fetch_head_take(struct fetch *fetch, const struct http_head *head, size_t used);

// The next piece of the body: a view inside `piece->buf`, of which the
// caller now holds one reference. PARSE_DATA: a piece. PARSE_MORE: nothing now.
// PARSE_DONE: the end. PARSE_BAD: UPSTREAM_TRUNCATED or UPSTREAM_BODY.
must_use enum parse fetch_body(struct fetch *fetch, struct seg *piece, struct err *err);

// Receives more only while the owner wants it: `limit` bytes may be held (0: stop reading).
void fetch_allow(struct fetch *fetch, uint32_t limit);

// After the whole body: the connection goes back to the pool if it can be used again.
void fetch_end(struct fetch *fetch);
// Ends it and closes what is open. Harmless when nothing is.
void fetch_stop(struct fetch *fetch, enum conn_why why);
static inline bool fetch_is_active(const struct fetch *fetch)
{
    return fetch->net != NULL;
}

#endif
