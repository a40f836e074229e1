// TLS on a connection: ciphertext queues on either side of a memory-only session.
//
// Completions only queue ciphertext; a task of the connection decrypts it, record by record, until
// the owner's limit is reached. Plaintext is sealed when the last sealed batch has left, so that
// many small pieces of a turn make one record.
#include "conn_tls.h"

#include "conn_tx.h"
#include "penstock/base/check.h"

#include <errno.h>

enum { SEAL_BATCH = 64 * KIB, RECORDS_A_RUN = 16 };

static void tls_run(struct task *task);

static struct err on_ciphertext(void *arg, struct span ciphertext)
{
    struct conn_tls *tls = arg;
    return segq_copy(&tls->out, tls->conn->net->bufs, ciphertext) ? OK : ERR(NO_MEMORY);
}

static struct conn_tls *put_on(struct conn *conn)
{
    assert(conn->tls == NULL && conn->state == CONN_OPEN);
    struct conn_tls *tls = slab_take(&conn->net->tls);
    if (tls == NULL)
        return NULL;
    memset(tls, 0, sizeof(*tls));
    tls->conn = conn;
    task_init(&tls->task, tls_run);
    return tls;
}

static bool started(struct conn *conn, struct conn_tls *tls, struct err err)
{
    if (failed(err)) {
        slab_give(&conn->net->tls, tls);
        return false;
    }
    conn->tls = tls;
    conn->state = CONN_OPENING;
    loop_ready(conn->net->loop, &tls->task);
    return true;
}

bool conn_tls_accept(struct conn *conn, struct tls_ctx *ctx)
{
    struct conn_tls *tls = put_on(conn);
    if (tls == NULL)
        return false;
    struct tls_sink sink = { on_ciphertext, tls };
    return started(conn, tls, tls_new_server(&tls->tls, ctx, sink));
}

bool conn_tls_dial(struct conn *conn, struct tls_ctx *ctx, struct span host, uint16_t port)
{
    struct conn_tls *tls = put_on(conn);
    if (tls == NULL)
        return false;
    struct tls_sink sink = { on_ciphertext, tls };
    return started(conn, tls, tls_new_client(&tls->tls, ctx, sink, host, port));
}

struct err conn_tls_err(const struct conn *conn)
{
    return conn->tls != NULL ? tls_err(conn->tls->tls) : OK;
}

const char *conn_tls_reason(const struct conn *conn)
{
    return conn->tls != NULL ? tls_reason(conn->tls->tls) : "";
}

void conn_tls_free(struct conn *conn)
{
    struct conn_tls *tls = conn->tls;
    if (tls == NULL)
        return;
    task_cancel(&tls->task);
    segq_discard(&tls->in);
    segq_discard(&tls->out);
    budget_charge(&conn->net->budget, &tls->charged, -(int64_t)tls->charged);
    tls_free(&tls->tls);
    slab_give(&conn->net->tls, tls);
    conn->tls = NULL;
}

// --- receiving ---

apart void conn_tls_rx(struct conn *conn, struct buf *buf, uint32_t len)
{
    struct conn_tls *tls = conn->tls;
    const char *ptr = buf->data;
    tls->in_len += len;
    // What fits behind the last segment is copied there, so that a slow reader's small records do
    // not hold a buffer each. The session may still be reading the front one, never past its end.
    struct seg *last = segq_last(&tls->in);
    if (last != NULL && !(tls->feeding && tls->in.count == 1) && last->buf->refs == 1) {
        size_t used = (size_t)(last->ptr - last->buf->data) + last->len;
        uint32_t part = (uint32_t)min_size(len, last->buf->cap - used);
        memcpy(last->buf->data + used, ptr, part);
        last->len += part;
        ptr += part;
        len -= part;
    }
    if (len == 0) {
        buf_put(buf);
    } else if (!segq_push(&tls->in, conn->net->bufs, buf, ptr, len)) {
        buf_put(buf);
        conn_rx_fail(conn, ENOBUFS);
    }
    loop_ready(conn->net->loop, &tls->task);
}

apart void conn_tls_rx_eof(struct conn *conn)
{
    if (conn->tls == NULL)
        return;
    // The end counts only when all that came before it was read: it may have been a close_notify.
    conn->rx_state = RX_OPEN;
    conn->tls->ended = true;
    loop_ready(conn->net->loop, &conn->tls->task);
}

uint32_t conn_tls_rx_held(const struct conn *conn)
{
    return conn->tls != NULL ? conn->tls->in_len : 0;
}

apart void conn_tls_room(struct conn *conn)
{
    struct conn_tls *tls = conn->tls;
    if (tls != NULL && (tls->in_len > 0 || tls->ended || tls_has_input(tls->tls)))
        loop_ready(conn->net->loop, &tls->task);
}

static void tls_failed(struct conn *conn)
{
    conn_rx_fail(conn, EPROTO);
    conn_wake(conn);
}

static void finish_input(struct conn_tls *tls)
{
    struct seg *front = segq_at(&tls->in, 0);
    tls->in_len -= front->len;
    tls->feeding = false;
    segq_consume(&tls->in, front->len);
}

// Gives the session the next ciphertext. False when there is none.
static bool feed(struct conn_tls *tls)
{
    if (tls->feeding) {
        if (tls_input_left(tls->tls) > 0)
            return true;
        finish_input(tls);
    }
    if (tls->in.count == 0)
        return false;
    struct seg *front = segq_at(&tls->in, 0);
    tls_feed(tls->tls, span_of(front->ptr, front->len));
    tls->feeding = true;
    return true;
}

static bool handshake(struct conn_tls *tls)
{
    struct conn *conn = tls->conn;
    struct net *net = conn->net;
    if (!tls->begun) {
        if (net->handshake_turn != net->loop->turns) {
            net->handshake_turn = net->loop->turns;
            net->handshakes = 0;
        }
        if (net->handshakes == TLS_HANDSHAKES_A_TURN) {
            loop_ready(net->loop, &tls->task); // marks itself: the next turn
            return false;
        }
        net->handshakes++;
        tls->begun = true;
    }
    for (;;) {
        (void)feed(tls);
        switch (tls_handshake(tls->tls)) {
        case TLS_DONE:
            conn->state = CONN_OPEN;
            conn_wake(conn);
            return true;
        case TLS_AGAIN: continue;
        case TLS_WANT:
            if (tls->feeding && tls_input_left(tls->tls) == 0)
                finish_input(tls);
            if (tls->in.count > 0)
                continue;
            return false;
        case TLS_CLOSED:
        case TLS_FAILED: tls_failed(conn); return false;
        }
    }
}

// One record's plaintext into the receive queue.
static enum tls_result read_record(struct conn_tls *tls)
{
    struct conn *conn = tls->conn;
    struct buf *buf = bufpool_take(conn->net->bufs, (enum buf_class)conn->rx_cls);
    if (buf == NULL)
        return TLS_FAILED;
    size_t len = 0;
    enum tls_result result = tls_read(tls->tls, buf->data, buf->cap, &len);
    if (result != TLS_DONE) {
        buf_put(buf);
        return result;
    }
    return conn_rx_push(conn, buf, buf->data, (uint32_t)len) ? TLS_DONE : TLS_FAILED;
}

static void read_all(struct conn_tls *tls)
{
    struct conn *conn = tls->conn;
    for (int records = 0; conn->rx_len < conn->rx_limit; records++) {
        if (records == RECORDS_A_RUN) {
            loop_ready(conn->net->loop, &tls->task);
            return;
        }
        bool fed = feed(tls);
        if (!fed && !tls_has_input(tls->tls)) {
            if (!tls->ended)
                return;
            // The transport has ended: cleanly only after a close_notify.
            if (tls_end(tls->tls) == TLS_CLOSED)
                conn->rx_state = RX_EOF;
            else
                conn_rx_fail(conn, ECONNRESET);
            return;
        }
        switch (read_record(tls)) {
        case TLS_DONE:
        case TLS_AGAIN:
        case TLS_WANT: break;
        case TLS_CLOSED: conn->rx_state = RX_EOF; return;
        case TLS_FAILED: conn_rx_fail(conn, EPROTO); return;
        }
    }
}

static void tls_run(struct task *task)
{
    struct conn_tls *tls = container_of(task, struct conn_tls, task);
    struct conn *conn = tls->conn;
    if (conn->state == CONN_CLOSING || conn->rx_state != RX_OPEN)
        return;
    if (conn->state == CONN_OPENING && !handshake(tls)) {
        if (tls->ended && tls->in.count == 0 && conn->rx_state == RX_OPEN)
            tls_failed(conn);
        conn_tx_kick(conn); // flights, alerts
        conn_rx_arm(conn);
        return;
    }
    uint32_t before = conn->rx_len;
    read_all(tls);
    int64_t held = (int64_t)tls_bytes(tls->tls);
    budget_charge(&conn->net->budget, &tls->charged, held - (int64_t)tls->charged);
    if (tls->out.count > 0)
        conn_tx_kick(conn); // reading also writes: alerts, key updates, tickets
    if (conn->rx_len != before || conn->rx_state != RX_OPEN)
        conn_wake(conn);
    conn_rx_arm(conn);
}

// --- sending ---

apart struct segq *conn_tls_seal(struct conn *conn)
{
    struct conn_tls *tls = conn->tls;
    if (conn->state != CONN_OPEN || tls->sealed > 0 || conn->tx_len == 0)
        return &tls->out;
    // Sealed from the front of the queue, a batch at a time, so that one send stays bounded.
    while (conn->tx.count > 0 && tls->sealed < SEAL_BATCH) {
        struct span spans[IO_SEGMENTS_MAX];
        size_t count = 0, len = 0;
        for (unsigned i = 0; i < conn->tx.count && count < IO_SEGMENTS_MAX; i++) {
            struct seg *seg = segq_at(&conn->tx, i);
            size_t part = min_size(seg->len, TLS_RECORD_DATA_MAX - len);
            if (part == 0)
                break;
            spans[count++] = span_of(seg->ptr, part);
            len += part;
        }
        if (count == 0)
            break;
        if (failed(tls_write(tls->tls, spans, count))) {
            conn_tx_fail(conn, EPROTO);
            return &tls->out;
        }
        segq_consume(&conn->tx, len);
        tls->sealed += (uint32_t)len;
    }
    return &tls->out;
}

apart void conn_tls_sent(struct conn *conn, size_t len)
{
    struct conn_tls *tls = conn->tls;
    segq_consume(&tls->out, len);
    if (tls->out.count == 0 && tls->sealed > 0) {
        conn_tx_sent(conn, tls->sealed);
        tls->sealed = 0;
    }
}

bool conn_tls_is_last(const struct conn *conn)
{
    const struct conn_tls *tls = conn->tls;
    return tls->sealed == conn->tx_len && tls->out.count <= IO_SEGMENTS_MAX && !tls->finished;
}

apart bool conn_tls_finish(struct conn *conn)
{
    struct conn_tls *tls = conn->tls;
    if (tls == NULL || tls->finished)
        return true;
    tls->finished = true;
    tls_shutdown(tls->tls);
    if (tls->out.count == 0)
        return true;
    conn_tx_kick(conn);
    return false;
}

void conn_tls_farewell(struct conn *conn)
{
    struct conn_tls *tls = conn->tls;
    if (tls == NULL || conn->tx_op.in_flight || conn->fd < 0 || conn->tx_failed)
        return;
    if (!tls->finished && tls->sealed == 0)
        tls_shutdown(tls->tls);
    uint32_t count;
    size_t len;
    struct iovec *iov = segq_iov(&tls->out, conn->iov, &count, &len);
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = count };
    // Best effort: who closes a connection does not wait for its peer to read.
    if (message.msg_iovlen > 0)
        (void)sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
