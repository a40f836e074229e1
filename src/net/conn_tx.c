// Sending: a ring of segments, one send in flight, everything of a turn in one call at its end.
#include "conn_tx.h"

#include "penstock/base/check.h"

#include <errno.h>

static void on_tx(struct io_op *op, struct io_done done);
static void on_flush(struct task *task);

void conn_tx_init(struct conn *conn)
{
    task_init(&conn->flush, on_flush);
    conn_tx_init_op(conn);
}

void conn_tx_init_op(struct conn *conn)
{
    conn->tx_op.on_done = on_tx;
}

static struct seg *tx_at(struct conn *conn, unsigned index)
{
    return &conn->tx[(conn->tx_first + index) % CONN_TX_SEGMENTS];
}

static struct seg *tx_last(struct conn *conn)
{
    return conn->tx_count > 0 ? tx_at(conn, conn->tx_count - 1u) : NULL;
}

static void queued(struct conn *conn, size_t len)
{
    assert(!conn->tx_fin);
    conn->tx_len += (uint32_t)len;
    conn_charge(conn, (int64_t)len);
    if (!conn->tx_op.in_flight)
        loop_flush(conn->net->loop, &conn->flush);
}

// A free place at the end of the ring; the queue is packed when there is none.
static struct seg *tx_place(struct conn *conn)
{
    if (conn->tx_count < CONN_TX_SEGMENTS)
        return tx_at(conn, conn->tx_count);
    return NULL;
}

char *conn_tx_reserve(struct conn *conn, size_t len)
{
    assert(len > 0 && len <= BUF_LARGE_BYTES);
    struct seg *last = tx_last(conn);
    if (last != NULL && conn->tx_room >= len)
        return last->buf->data + last->buf->cap - conn->tx_room;
    struct seg *place = tx_place(conn);
    if (place == NULL)
        return NULL;
    struct buf *buf = bufpool_take(conn->net->bufs, len <= BUF_SMALL_BYTES ? BUF_SMALL : BUF_LARGE);
    if (buf == NULL)
        return NULL;
    *place = (struct seg){ buf, buf->data, 0 };
    conn->tx_count++;
    conn->tx_room = buf->cap;
    return buf->data;
}

void conn_tx_commit(struct conn *conn, size_t len)
{
    struct seg *last = tx_last(conn);
    assert(last != NULL && len <= conn->tx_room);
    if (len == 0)
        return;
    last->len += (uint32_t)len;
    conn->tx_room -= (uint32_t)len;
    queued(conn, len);
}

bool conn_tx_copy(struct conn *conn, struct span bytes)
{
    while (bytes.len > 0) {
        // What is left of the open buffer first, then whole new ones.
        size_t part = min_size(bytes.len, conn->tx_room > 0 ? conn->tx_room : BUF_LARGE_BYTES);
        char *at = conn_tx_reserve(conn, part);
        if (at == NULL)
            return false;
        memcpy(at, bytes.ptr, part);
        conn_tx_commit(conn, part);
        bytes = span_from(bytes, part);
    }
    return true;
}

bool conn_tx_ref(struct conn *conn, struct buf *buf, const char *ptr, size_t len)
{
    assert(len <= UINT32_MAX);
    if (len == 0)
        return true;
    struct seg *last = tx_last(conn);
    if (last != NULL && last->buf == buf && last->ptr + last->len == ptr) {
        last->len += (uint32_t)len; // the very next bytes of the same buffer
        queued(conn, len);
        return true;
    }
    if (len < CONN_COPY_MAX || conn->tx_count == CONN_TX_SEGMENTS)
        return conn_tx_copy(conn, span_of(ptr, len));
    *tx_place(conn) = (struct seg){ buf_get(buf), ptr, (uint32_t)len };
    conn->tx_count++;
    conn->tx_room = 0; // the new last segment is not ours to write behind
    queued(conn, len);
    return true;
}

void conn_tx_finish(struct conn *conn)
{
    conn->tx_fin = true;
    if (!conn->tx_op.in_flight)
        loop_flush(conn->net->loop, &conn->flush);
}

void conn_tx_notify(struct conn *conn, uint32_t low)
{
    conn->tx_low = low;
    conn->tx_wake = true;
    if (conn->tx_len <= low || conn->tx_failed) {
        conn->tx_wake = false;
        conn_wake(conn);
    }
}

static void on_flush(struct task *task)
{
    struct conn *conn = container_of(task, struct conn, flush);
    if (conn->tx_op.in_flight || conn->state != CONN_OPEN || conn->tx_failed)
        return;
    if (conn->tx_len == 0) {
        if (conn->tx_fin && !conn->tx_fin_sent) {
            conn->tx_fin_sent = true;
            io_shutdown(conn->net->io, conn->fd);
        }
        return;
    }
    uint32_t count = 0;
    for (unsigned i = 0; i < conn->tx_count && count < IO_SEGMENTS_MAX; i++) {
        struct seg *seg = tx_at(conn, i);
        if (seg->len > 0) // a place reserved and not yet written
            conn->iov[count++] = (struct iovec){ (void *)(uintptr_t)seg->ptr, seg->len };
    }
    assert(count > 0);
    io_send(conn->net->io, &conn->tx_op, conn->fd, conn->iov, count);
}

static void tx_consume(struct conn *conn, size_t len)
{
    assert(len <= conn->tx_len);
    conn->tx_len -= (uint32_t)len;
    conn->tx_bytes += len;
    conn_charge(conn, -(int64_t)len);
    while (conn->tx_count > 0) {
        struct seg *seg = &conn->tx[conn->tx_first];
        if (len < seg->len) {
            seg->ptr += len;
            seg->len -= (uint32_t)len;
            break;
        }
        len -= seg->len;
        seg->ptr += seg->len;
        seg->len = 0;
        buf_put(seg->buf);
        conn->tx_first = (conn->tx_first + 1) % CONN_TX_SEGMENTS;
        conn->tx_count--;
    }
    if (conn->tx_count == 0)
        conn->tx_room = 0;
}

void conn_tx_discard(struct conn *conn)
{
    assert(!conn->tx_op.in_flight);
    for (; conn->tx_count > 0; conn->tx_count--) {
        buf_put(conn->tx[conn->tx_first].buf);
        conn->tx_first = (conn->tx_first + 1) % CONN_TX_SEGMENTS;
    }
    conn->tx_room = 0;
}

static void on_tx(struct io_op *op, struct io_done done)
{
    struct conn *conn = container_of(op, struct conn, tx_op);
    if (conn->state == CONN_CLOSING) {
        conn_try_finish(conn);
        return;
    }
    if (done.res <= 0) {
        conn->tx_failed = true;
        if (conn->sys == 0)
            conn->sys = done.res == 0 ? EPIPE : -done.res;
        conn_wake(conn);
        return;
    }
    tx_consume(conn, (size_t)done.res);
    if (conn->tx_len > 0 || (conn->tx_fin && !conn->tx_fin_sent))
        loop_flush(conn->net->loop, &conn->flush);
    if (conn->tx_wake && conn->tx_len <= conn->tx_low) {
        conn->tx_wake = false;
        conn_wake(conn);
    }
}
