#include "penstock/http/client.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

enum { LARGE_BODY = 64 * KIB }; // from here on 16 KB buffers pay

void fetch_start(struct fetch *fetch, struct net *net, struct upool *pool, struct dests *dests,
                 uint32_t dest, const struct dial_limits *limits, bool fresh, struct task *owner)
{
    memset(fetch, 0, sizeof(*fetch));
    fetch->net = net;
    fetch->pool = pool;
    fetch->owner = owner;
    fetch->dest = dest;
    if (!fresh)
        fetch->conn = upool_take(pool, dest, owner);
    fetch->reused = fetch->conn != NULL;
    if (fetch->reused)
        return;
    fetch->dial = slab_take(&net->dials);
    if (fetch->dial != NULL)
        dial_start(fetch->dial, net, dests, dest, limits, owner);
    else
        loop_ready(net->loop, owner); // fetch_connect() tells
}

static void drop_dial(struct fetch *fetch)
{
    if (fetch->dial == NULL)
        return;
    // Its timer, its task and its connections were let go: nothing reaches it any more.
    dial_stop(fetch->dial);
    slab_give(&fetch->net->dials, fetch->dial);
    fetch->dial = NULL;
}

enum parse fetch_connect(struct fetch *fetch, struct err *err)
{
    struct dial *dial = fetch->dial;
    if (fetch->conn != NULL)
        return PARSE_DONE;
    if (dial == NULL) {
        *err = ERR(NO_MEMORY);
        return PARSE_BAD;
    }
    if (!dial->ended)
        return PARSE_MORE;
    if (failed(dial->err)) {
        *err = dial->err;
        return PARSE_BAD;
    }
    fetch->conn = dial->conn;
    dial->conn = NULL;
    drop_dial(fetch);
    return PARSE_DONE;
}

void fetch_sent(struct fetch *fetch, enum http_method method)
{
    fetch->method = method;
}

// The connection ended before there was a whole head.
static enum parse no_answer(struct fetch *fetch, struct err *err)
{
    int sys = fetch->conn->sys;
    if (fetch->any_byte)
        *err = ERR_SYS(UPSTREAM_HEAD, sys);
    else if (fetch->reused)
        *err = ERR_SYS(UPSTREAM_STALE, sys);
    else
        *err = ERR_SYS(UPSTREAM_CLOSED, sys);
    return PARSE_BAD;
}

enum parse fetch_head(struct fetch *fetch, struct http_form *form, struct http_head *head,
                      size_t *used, struct err *err)
{
    struct conn *conn = fetch->conn;
    assert(conn != NULL && !fetch->head_done);
    for (;;) {
        struct span bytes = conn_rx_peek(conn, min_size(conn->rx_len, NET_SCRATCH));
        fetch->any_byte |= bytes.len > 0;
        enum parse parse = PARSE_MORE;
        if (bytes.len > 0 && http_scan_ready(&fetch->scan, bytes, HTTP_UPSTREAM_HEAD_MAX))
            parse = http_form_parse(form, head, bytes, HTTP_UPSTREAM_HEAD_MAX, fetch->method, used,
                                    err);
        if (parse == PARSE_BAD)
            return PARSE_BAD;
        if (parse == PARSE_MORE) {
            if (conn->rx_state != RX_OPEN || (conn->tx_failed && bytes.len == 0))
                return no_answer(fetch, err);
            if (bytes.len >= CONN_RX_HEAD / 2)
                conn_rx_allow(conn, HTTP_UPSTREAM_HEAD_MAX, BUF_SMALL);
            return PARSE_MORE;
        }
        if (head->status >= 200)
            return PARSE_DONE;
        // 101 would hand the connection to a protocol that nobody asked for.
        if ((head->status == 101 && GUARD(FETCH_SWITCHING)) ||
            (++fetch->interim > FETCH_INTERIM_MAX && GUARD(FETCH_INTERIM))) {
            *err = ERR(UPSTREAM_HEAD);
            return PARSE_BAD;
        }
        conn_rx_consume(conn, *used);
        fetch->scan = (struct http_scan){ 0 };
    }
}

void fetch_head_take(struct fetch *fetch, const struct http_head *head, size_t used)
{
    assert(!fetch->head_done);
    fetch->head_done = true;
    fetch->framing = head->framing;
    fetch->left = head->framing == HTTP_LENGTH ? head->content_length : 0;
    fetch->keep_alive = head->keep_alive && head->framing != HTTP_UNTIL_CLOSE;
    fetch->body_done =
        head->framing == HTTP_NO_BODY || (head->framing == HTTP_LENGTH && !fetch->left);
    bool large = head->framing == HTTP_LENGTH && head->content_length >= LARGE_BODY;
    conn_rx_consume(fetch->conn, used);
    conn_rx_allow(fetch->conn, CONN_RX_LIMIT, large ? BUF_LARGE : BUF_SMALL);
}

static cold enum parse body_cut(struct fetch *fetch, struct err *err)
{
    struct conn *conn = fetch->conn;
    if ((fetch->framing == HTTP_UNTIL_CLOSE && conn->rx_state == RX_EOF) || !GUARD(FETCH_CUT)) {
        fetch->body_done = true;
        return PARSE_DONE;
    }
    *err = ERR_SYS(UPSTREAM_TRUNCATED, conn->sys);
    return PARSE_BAD;
}

flat enum parse fetch_body(struct fetch *fetch, struct seg *piece, struct err *err)
{
    struct conn *conn = fetch->conn;
    assert(fetch->head_done);
    for (;;) {
        if (fetch->body_done)
            return PARSE_DONE;
        if (conn->rx_len == 0)
            return conn->rx_state == RX_OPEN ? PARSE_MORE : body_cut(fetch, err);
        struct span front = conn_rx_front(conn);
        struct buf *buf = conn_rx_buf(conn);
        struct span out = front;
        size_t used = front.len;
        enum parse parse = PARSE_DATA;
        if (fetch->framing == HTTP_LENGTH) {
            out.len = used = (size_t)min_u64(front.len, fetch->left);
            fetch->left -= used;
            fetch->body_done = fetch->left == 0;
        } else if (fetch->framing == HTTP_CHUNKED) {
            struct span in = front;
            parse = chunked_feed(&fetch->dec, &in, &out);
            used = front.len - in.len;
            fetch->body_done = parse == PARSE_DONE;
        }
        if (parse == PARSE_BAD) {
            *err = ERR(UPSTREAM_BODY);
            return PARSE_BAD;
        }
        if (parse == PARSE_DATA) {
            // The piece outlives its place in the queue by this reference.
            *piece = (struct seg){ buf_get(buf), out.ptr, (uint32_t)out.len };
            conn_rx_consume(conn, used);
            return PARSE_DATA;
        }
        conn_rx_consume(conn, used);
    }
}

void fetch_allow(struct fetch *fetch, uint32_t limit)
{
    conn_rx_allow(fetch->conn, limit, (enum buf_class)fetch->conn->rx_cls);
}

void fetch_end(struct fetch *fetch)
{
    assert(fetch->body_done && fetch->conn != NULL);
    if (fetch->keep_alive)
        upool_give(fetch->pool, fetch->dest, &fetch->conn);
    else
        conn_close(&fetch->conn, WHY_DONE, false);
    drop_dial(fetch);
    fetch->net = NULL;
}

void fetch_stop(struct fetch *fetch, enum conn_why why)
{
    if (fetch->net == NULL)
        return;
    drop_dial(fetch);
    if (fetch->conn != NULL)
        conn_close(&fetch->conn, why, false);
    fetch->net = NULL;
}
