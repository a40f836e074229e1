// One request: collecting its body, framing its answer.
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "serve.h"

#include <stdio.h>

enum {
    BODY_RATE_MIN = 1 * KIB,  // bytes a second that a body must keep, after BODY_RATE_GRACE_NS
    CHUNKED_FIRST = 64 * KIB, // room for a body of unknown length; what the last one took, if more
    CHUNKED_FIRST_MAX = 1 * MIB,
    RECHECKS_MAX = 7, // each after twice the time: together about 2.5 s
};
#define RECHECK_NS (UINT64_C(20) * NS_PER_MS)
#define BODY_RATE_GRACE_NS (UINT64_C(5) * NS_PER_S)
#define BODY_CHECK_NS (UINT64_C(1) * NS_PER_S)

static void wake(struct stream *stream)
{
    if (stream->owner != NULL)
        loop_ready(stream_serve(stream)->server->net->loop, stream->owner);
}

// --- the body of the request ---

static void body_fail(struct stream *stream, struct err err)
{
    stream->body_state = BODY_FAILED;
    stream->body_err = err;
    stream_serve(stream)->keep_alive = false;
    serve_allow_head(stream_serve(stream));
    wake(stream);
}

// The rest of a large body goes straight to its place.
static bool is_direct(struct stream *stream)
{
    return stream->framing == HTTP_LENGTH && stream->body_big != NULL &&
           stream_serve(stream)->conn->tls == NULL;
}

static void body_complete(struct stream *stream)
{
    struct serve *serve = stream_serve(stream);
    stream->body_state = BODY_COMPLETE;
    bool large = stream->body.len > BUF_LARGE_BYTES;
    serve->large_bytes = large ? (uint32_t)min_size(stream->body.len, CHUNKED_FIRST_MAX) : 0;
    serve_allow_head(serve);
    // Its reader comes before other connections' work: the body is in the cache.
    if (stream->owner != NULL)
        loop_next(serve->server->net->loop, stream->owner);
}

const struct peer *stream_peer(struct stream *stream)
{
    struct serve *serve = stream_serve(stream);
    struct sockaddr_storage addr;
    if (serve->peer.family == 0 && serve->conn != NULL && serve->conn->fd >= 0 &&
        io_peer(serve->server->net->io, serve->conn->fd, &addr))
        serve->peer = peer_of((const struct sockaddr *)&addr);
    return &serve->peer;
}

void stream_body_drop(struct stream *stream)
{
    if (stream->body_buf != NULL)
        buf_put(stream->body_buf);
    stream->body_buf = NULL;
    stream->body_big = NULL;
    stream->body = SPAN_NONE;
}

void stream_body_replace(struct stream *stream, struct body *body, size_t len)
{
    assert(stream->body_state == BODY_COMPLETE);
    stream_body_drop(stream);
    stream->body_big = body;
    stream->body_buf = &body->buf;
    stream->body = span_of(body->buf.data, len);
}

// Memory for a body of `len` bytes, empty.
static bool body_store(struct stream *stream, size_t len)
{
    struct net *net = stream_serve(stream)->server->net;
    struct buf *buf = NULL;
    if (len <= BUF_LARGE_BYTES)
        buf = bufpool_take(net->bufs, len <= BUF_SMALL_BYTES ? BUF_SMALL : BUF_LARGE);
    if (buf == NULL) {
        stream->body_big = body_take(net, len);
        if (stream->body_big == NULL)
            return false;
        buf = &stream->body_big->buf;
    }
    stream->body_buf = buf;
    stream->body = span_of(buf->data, 0);
    return true;
}

// Makes room for `more` bytes behind the body.
static bool body_room(struct stream *stream, size_t more)
{
    size_t need = stream->body.len + more;
    if (stream->body_buf != NULL && need <= stream->body_buf->cap)
        return true;
    if (stream->body_big != NULL) {
        if (!body_grow(stream->body_big, need))
            return false;
        stream->body.ptr = stream->body_buf->data;
        return true;
    }
    struct buf *old = stream->body_buf;
    struct span held = stream->body;
    size_t usual = max_size(CHUNKED_FIRST, stream_serve(stream)->large_bytes);
    if (!body_store(stream, max_size(need, usual))) {
        stream->body_buf = old;
        return false;
    }
    if (old != NULL) {
        memcpy(stream->body_buf->data, held.ptr, held.len);
        stream->body.len = held.len;
        buf_put(old);
    }
    return true;
}

static void body_append(struct stream *stream, struct span bytes)
{
    assert(stream->body.len + bytes.len <= stream->body_buf->cap);
    memcpy(stream->body_buf->data + stream->body.len, bytes.ptr, bytes.len);
    stream->body.len += bytes.len;
}

// The whole body may already be in the buffer that the head came in: then it stays there.
static bool collect_in_place(struct stream *stream)
{
    struct conn *conn = stream_serve(stream)->conn;
    struct span front = conn_rx_front(conn);
    if (stream->body.len > 0 || stream->body_buf != NULL || front.len < stream->body_left)
        return false;
    stream->body_buf = buf_get(conn_rx_buf(conn));
    stream->body = span_upto(front, (size_t)stream->body_left);
    conn_rx_consume(conn, (size_t)stream->body_left);
    stream->body_left = 0;
    return true;
}

static void collect_length(struct stream *stream)
{
    struct conn *conn = stream_serve(stream)->conn;
    if (collect_in_place(stream)) {
        body_complete(stream);
        return;
    }
    if (stream->body_buf == NULL && !body_store(stream, (size_t)stream->body_left)) {
        body_fail(stream, ERR(NO_MEMORY));
        return;
    }
    while (stream->body_left > 0 && conn->rx_len > 0) {
        struct span front = conn_rx_front(conn);
        front.len = min_size(front.len, (size_t)stream->body_left);
        body_append(stream, front);
        stream->body_left -= front.len;
        conn_rx_consume(conn, front.len);
    }
    if (stream->body_left > 0 && is_direct(stream)) {
        uint32_t got =
            conn_rx_direct(conn, stream->body_buf, stream->body_buf->data + stream->body.len,
                           (size_t)stream->body_left);
        stream->body.len += got;
        stream->body_left -= got;
    }
    if (stream->body_left == 0)
        body_complete(stream);
}

static void collect_chunked(struct stream *stream)
{
    struct conn *conn = stream_serve(stream)->conn;
    while (conn->rx_len > 0) {
        struct span front = conn_rx_front(conn), in = front, piece = SPAN_NONE;
        enum parse parse = chunked_feed(&stream->dec, &in, &piece);
        if (parse == PARSE_DATA) {
            if (stream->body.len + piece.len > stream->body_max && GUARD(BODY_LIMIT)) {
                body_fail(stream, ERR(BODY_TOO_LARGE));
                return;
            }
            if (!body_room(stream, piece.len)) {
                body_fail(stream, ERR(NO_MEMORY));
                return;
            }
            body_append(stream, piece);
        }
        conn_rx_consume(conn, front.len - in.len);
        if (parse == PARSE_BAD) {
            body_fail(stream, ERR(CHUNK_MALFORMED));
            return;
        }
        if (parse == PARSE_DONE) {
            body_complete(stream);
            return;
        }
    }
}

static void collect(struct stream *stream)
{
    struct conn *conn = stream_serve(stream)->conn;
    if (stream->framing == HTTP_LENGTH)
        collect_length(stream);
    else
        collect_chunked(stream);
    if (stream->body_state == BODY_COLLECTING && conn->rx_state != RX_OPEN && conn->rx_len == 0)
        body_fail(stream, ERR(BODY_TRUNCATED));
}

void stream_collect(struct stream *stream, size_t max)
{
    struct serve *serve = stream_serve(stream);
    assert(stream->body_state == BODY_NONE);
    stream->body_state = BODY_COLLECTING;
    stream->body_max = max;
    if (stream->framing == HTTP_NO_BODY || (stream->framing == HTTP_LENGTH && !stream->body_left)) {
        body_complete(stream);
        return;
    }
    if (stream->framing == HTTP_LENGTH && stream->body_left > max) {
        body_fail(stream, ERR(BODY_TOO_LARGE));
        return;
    }
    if (stream->expect_continue && serve->conn->rx_len == 0 && stream->minor > 0 &&
        !conn_tx_copy(serve->conn, SPAN("HTTP/1.1 100 Continue\r\n\r\n"))) {
        body_fail(stream, ERR(NO_MEMORY));
        return;
    }
    if (stream->framing == HTTP_LENGTH && collect_in_place(stream)) {
        body_complete(stream);
        return;
    }
    serve->since_ns = serve->progress_ns = serve->server->net->loop->now_ns;
    serve->progress = serve->conn->rx_bytes;
    serve_arm(serve, BODY_CHECK_NS);
    collect(stream);
    if (stream->body_state == BODY_COLLECTING && !is_direct(stream))
        conn_rx_allow(serve->conn, CONN_RX_LIMIT, BUF_LARGE);
}

// A body must keep coming: some byte within the stall limit, and a least rate after a grace.
static void body_check(struct stream *stream)
{
    struct serve *serve = stream_serve(stream);
    struct server *server = serve->server;
    uint64_t now = server->net->loop->now_ns;
    if (serve->conn->rx_bytes != serve->progress) {
        serve->progress = serve->conn->rx_bytes;
        serve->progress_ns = now;
    }
    uint64_t spent = now - serve->since_ns;
    uint64_t least =
        spent > BODY_RATE_GRACE_NS ? (spent - BODY_RATE_GRACE_NS) / NS_PER_S * BODY_RATE_MIN : 0;
    if ((stream->body.len < least && GUARD(BODY_RATE)) ||
        now - serve->progress_ns > server->limits.stall_ns)
        body_fail(stream, ERR(BODY_TIMEOUT));
    else
        serve_arm(serve, BODY_CHECK_NS);
}

// After a FIN nothing is received any more, so a reset, by which a client that had closed answers
// whatever is written to it, would be seen only by the write after that. It is asked for instead.
static void half_closed(struct stream *stream)
{
    stream->client = CLIENT_HALF;
    if (stream->body_state != BODY_COLLECTING)
        serve_arm(stream_serve(stream), RECHECK_NS);
}

static void recheck(struct stream *stream)
{
    struct serve *serve = stream_serve(stream);
    conn_rx_recheck(serve->conn);
    serve->progress = serve->conn->tx_bytes;
    bool last = ++stream->rechecks == RECHECKS_MAX;
    serve_arm(serve, last ? serve->server->limits.write_stall_ns : RECHECK_NS << stream->rechecks);
}

void serve_stream(struct serve *serve)
{
    struct stream *stream = &serve->stream;
    struct conn *conn = serve->conn;
    uint8_t before = stream->client;
    if (stream->body_state == BODY_COLLECTING)
        collect(stream);
    else // a receive that was cancelled for the body's own may have ended only after the body
        conn_rx_allow(conn, conn->rx_limit, (enum buf_class)conn->rx_cls);
    if (conn->rx_state == RX_FAILED || conn->tx_failed)
        stream->client = CLIENT_GONE;
    else if (conn->rx_state == RX_EOF && stream->client == CLIENT_HERE)
        half_closed(stream);
    if (stream->client != before || conn->tx_len <= conn->tx_low)
        wake(stream);
}

void serve_stream_timeout(struct serve *serve)
{
    struct stream *stream = &serve->stream;
    if (stream->body_state == BODY_COLLECTING) {
        body_check(stream);
        return;
    }
    if (stream->client == CLIENT_HALF && stream->rechecks < RECHECKS_MAX) {
        recheck(stream);
        return;
    }
    if (!serve->watched || serve->conn->tx_len == 0)
        return;
    if (serve->conn->tx_bytes == serve->progress) {
        stream->stalled = true;
        stream->client = CLIENT_GONE;
        wake(stream);
        return;
    }
    serve->progress = serve->conn->tx_bytes;
    serve_arm(serve, serve->server->limits.write_stall_ns);
}

// --- the answer ---

bool stream_reply(struct stream *stream, int status, struct put *out)
{
    struct serve *serve = stream_serve(stream);
    assert(!stream->replied && !stream->ended);
    assert(status >= 200 && status <= 599);
    char *room = conn_tx_reserve(serve->conn, BUF_SMALL_BYTES);
    if (room == NULL)
        return false;
    *out = put_into(room, BUF_SMALL_BYTES);
    stream->no_body = stream->method == HTTP_HEAD || status == 204 || status == 304;
    stream->no_length = status == 204; // RFC 9110 8.6
    if (likely(status == 200)) {
        put_span(out, SPAN("HTTP/1.1 200 OK\r\n"));
        return true;
    }
    put_span(out, SPAN("HTTP/1.1 "));
    char code[4] = { (char)('0' + status / 100), (char)('0' + status / 10 % 10),
                     (char)('0' + status % 10), ' ' };
    put_span(out, span_of(code, sizeof(code)));
    put_span(out, span_str(http_reason(status)));
    put_span(out, SPAN("\r\n"));
    return true;
}

// A body that nobody asked for and that is all there is passed over: the connection can go on.
static void body_pass_over(struct stream *stream)
{
    struct conn *conn = stream_serve(stream)->conn;
    if (stream->body_state != BODY_NONE || stream->framing != HTTP_LENGTH ||
        stream->body_left > conn->rx_len)
        return;
    conn_rx_consume(conn, (size_t)stream->body_left);
    stream->body_left = 0;
    stream->body_state = BODY_COMPLETE;
}

bool stream_reply_end(struct stream *stream, struct put *out, enum reply_framing framing,
                      uint64_t length)
{
    struct serve *serve = stream_serve(stream);
    body_pass_over(stream);
    if (stream_has_unread(stream))
        serve->keep_alive = false; // an early answer; what is left of the body is not a request
    stream->reply_left = 0;
    if (framing == REPLY_LENGTH) {
        stream->reply_left = stream->no_body ? 0 : length;
        if (!stream->no_length)
            http_put_field_u64(out, SPAN("content-length"), length);
    } else if (stream->minor > 0) {
        stream->chunked = true;
        http_put_field(out, SPAN("transfer-encoding"), SPAN("chunked"));
    } else {
        serve->keep_alive = false; // HTTP/1.0: the end of the connection is the end of the body
    }
    if (!serve->keep_alive)
        http_put_field(out, SPAN("connection"), SPAN("close"));
    else if (stream->minor == 0)
        http_put_field(out, SPAN("connection"), SPAN("keep-alive"));
    put_span(out, SPAN("\r\n"));
    if (out->full)
        return false;
    stream->replied = true;
    conn_tx_commit(serve->conn, (size_t)(out->at - out->start));
    return true;
}

// Watches that the client keeps reading.
static void watch_writes(struct stream *stream)
{
    struct serve *serve = stream_serve(stream);
    if (!serve->watched || !timer_is_armed(&serve->timer)) {
        serve->watched = true;
        serve->progress = serve->conn->tx_bytes;
        serve_arm(serve, serve->server->limits.write_stall_ns);
    }
}

static bool send_open(struct stream *stream, size_t len)
{
    assert(stream->replied && !stream->ended);
    stream->sent += len;
    if (!stream->chunked) {
        struct serve *serve = stream_serve(stream);
        assert(len <= stream->reply_left || !serve->keep_alive);
        stream->reply_left -= min_u64(stream->reply_left, len);
        return true;
    }
    char head[HTTP_CHUNK_HEAD_MAX];
    size_t head_len = chunk_head_write(head, len);
    return conn_tx_copy(stream_serve(stream)->conn, span_of(head, head_len));
}

static bool send_close(struct stream *stream)
{
    watch_writes(stream);
    return !stream->chunked || conn_tx_copy(stream_serve(stream)->conn, SPAN("\r\n"));
}

// A short piece with what stands around it, in one go. False: not now.
static bool send_short(struct stream *stream, struct span bytes)
{
    enum { AROUND = HTTP_CHUNK_HEAD_MAX + 2 };
    struct conn *conn = stream_serve(stream)->conn;
    if (!stream->chunked || stream->torn || bytes.len >= SEGQ_COPY_MAX)
        return false;
    char *room = conn_tx_room(conn, bytes.len + AROUND);
    if (room == NULL)
        return false;
    assert(stream->replied && !stream->ended);
    char *at = room + chunk_head_write(room, bytes.len);
    memcpy(at, bytes.ptr, bytes.len);
    memcpy(at + bytes.len, "\r\n", 2);
    conn_tx_commit(conn, (size_t)(at - room) + bytes.len + 2);
    stream->sent += bytes.len;
    watch_writes(stream);
    return true;
}

static apart bool send_long(struct stream *stream, struct buf *buf, const char *ptr, size_t len)
{
    stream->torn = stream->torn || !send_open(stream, len) ||
                   !conn_tx_ref(stream_serve(stream)->conn, buf, ptr, len) || !send_close(stream);
    return !stream->torn;
}

bool stream_send(struct stream *stream, struct buf *buf, const char *ptr, size_t len)
{
    return len == 0 || stream->no_body || send_short(stream, span_of(ptr, len)) ||
           send_long(stream, buf, ptr, len);
}

bool stream_send_copy(struct stream *stream, struct span bytes)
{
    if (bytes.len == 0 || stream->no_body || send_short(stream, bytes))
        return true;
    stream->torn = stream->torn || !send_open(stream, bytes.len) ||
                   !conn_tx_copy(stream_serve(stream)->conn, bytes) || !send_close(stream);
    return !stream->torn;
}

void stream_wake_at(struct stream *stream, uint64_t at_ns)
{
    struct serve *serve = stream_serve(stream);
    timer_push(&serve->server->net->loop->wheel, &serve->app_timer, at_ns);
}

void stream_notify(struct stream *stream, uint32_t low)
{
    conn_tx_notify(stream_serve(stream)->conn, low);
}

void stream_answer(struct stream *stream, int status, struct span content_type, struct span fields,
                   struct span body)
{
    struct put out;
    if (!stream_reply(stream, status, &out)) {
        stream_abort(stream, WHY_LIMIT);
        return;
    }
    if (content_type.len > 0)
        http_put_field(&out, SPAN("content-type"), content_type);
    put_span(&out, fields);
    if (!stream_reply_end(stream, &out, REPLY_LENGTH, body.len) || !stream_send_copy(stream, body))
        stream_abort(stream, WHY_LIMIT);
    else
        stream_finish(stream);
}

void stream_finish(struct stream *stream)
{
    struct serve *serve = stream_serve(stream);
    assert(stream->replied && !stream->ended);
    assert(stream->reply_left == 0);
    if (stream->torn ||
        (stream->chunked && !stream->no_body && !conn_tx_copy(serve->conn, SPAN("0\r\n\r\n")))) {
        stream_abort(stream, WHY_LIMIT);
        return;
    }
    stream->ended = true;
    stream->owner = NULL;
    serve_next(serve);
}

void stream_abort(struct stream *stream, enum conn_why why)
{
    struct serve *serve = stream_serve(stream);
    assert(!stream->ended);
    stream->ended = true;
    stream->owner = NULL;
    stream_body_drop(stream);
    serve->has_stream = false;
    // A body that only the end of the connection delimits would look whole after a FIN.
    bool looks_whole =
        stream->replied && !stream->chunked && stream->reply_left == 0 && GUARD(STREAM_CUT_SEEN);
    bool client_reads = stream->client != CLIENT_GONE && !serve->conn->tx_failed && !stream->torn;
    // What was answered before, on the same connection, still arrives.
    if (why == WHY_CANCELLED && client_reads && !looks_whole)
        serve_leave(serve);
    else
        serve_close(serve, why, looks_whole);
}
