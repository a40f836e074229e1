// Sending: one send in flight, everything of a turn in one call at its end.
#include "conn_tx.h"

#include "conn_tls.h"
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

void conn_tx_kick(struct conn *conn)
{
    if (!conn->tx_op.in_flight)
        loop_flush(conn->net->loop, &conn->flush);
}

static void queued(struct conn *conn, size_t len)
{
    assert(!conn->tx_fin);
    conn->tx_len += (uint32_t)len;
    conn_charge(conn, (int64_t)len);
    conn_tx_kick(conn);
}

char *conn_tx_reserve(struct conn *conn, size_t len)
{
    return segq_reserve(&conn->tx, conn->net->bufs, len);
}

void conn_tx_commit(struct conn *conn, size_t len)
{
    segq_commit(&conn->tx, len);
    queued(conn, len);
}

bool conn_tx_copy(struct conn *conn, struct span bytes)
{
    // A failure leaves a part in the queue, which is never sent: the caller closes.
    if (!segq_copy(&conn->tx, conn->net->bufs, bytes))
        return false;
    queued(conn, bytes.len);
    return true;
}

bool conn_tx_ref(struct conn *conn, struct buf *buf, const char *ptr, size_t len)
{
    if (len == 0)
        return true;
    if (!segq_ref(&conn->tx, conn->net->bufs, buf, ptr, len))
        return false;
    queued(conn, len);
    return true;
}

void conn_tx_finish(struct conn *conn)
{
    conn->tx_fin = true;
    conn_tx_kick(conn);
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

static cold void send_fin(struct conn *conn)
{
    if (!conn->tx_fin || conn->tx_fin_sent || conn->state != CONN_OPEN)
        return;
    if (!conn_tls_finish(conn))
        return; // the close_notify goes first, and its end comes back here
    conn->tx_fin_sent = true;
    io_shutdown(conn->net->io, conn->fd);
}

// Somebody waits until what is queued has left, or more follows then.
static bool is_awaited(const struct conn *conn, size_t sent)
{
    if (conn->tx_wake || conn->tx_fin)
        return true;
    if (conn->tls != NULL) // sealing waits until the last batch has left
        return conn->state != CONN_OPEN || !conn_tls_is_last(conn);
    return sent != conn->tx_len;
}

static flat void on_flush(struct task *task)
{
    struct conn *conn = container_of(task, struct conn, flush);
    if (conn->tx_op.in_flight || conn->fd < 0 || conn->tx_failed)
        return;
    struct segq *queue = &conn->tx;
    if (conn->tls != NULL)
        queue = conn_tls_seal(conn);
    else if (conn->state != CONN_OPEN)
        return;
    uint32_t count;
    size_t len;
    const struct iovec *iov = segq_iov(queue, conn->iov, &count, &len);
    if (count == 0) {
        if (conn->tx_len == 0)
            send_fin(conn);
    } else if (is_awaited(conn, len)) {
        io_send(conn->net->io, &conn->tx_op, conn->fd, iov, count);
    } else {
        io_send_lazy(conn->net->io, &conn->tx_op, conn->fd, iov, count);
    }
}

void conn_tx_sent(struct conn *conn, size_t len)
{
    assert(len <= conn->tx_len);
    conn->tx_len -= (uint32_t)len;
    conn->tx_bytes += len;
    conn_charge(conn, -(int64_t)len);
}

cold void conn_tx_fail(struct conn *conn, int sys)
{
    conn->tx_failed = true;
    if (conn->sys == 0)
        conn->sys = sys;
    conn_wake(conn);
}

// The kernel took `res` bytes, or says why not.
static void sent(struct conn *conn, int res)
{
    if (res <= 0) {
        conn_tx_fail(conn, res == 0 ? EPIPE : -res);
        return;
    }
    if (conn->tls != NULL) {
        conn_tls_sent(conn, (size_t)res);
    } else {
        segq_consume(&conn->tx, (size_t)res);
        conn_tx_sent(conn, (size_t)res);
    }
    if (conn->tx_len > 0 || conn->tx.count > 0 || conn->tls != NULL || conn->tx_fin)
        conn_tx_kick(conn);
    if (conn->tx_wake && conn->tx_len <= conn->tx_low) {
        conn->tx_wake = false;
        conn_wake(conn);
    }
}

static flat void on_tx(struct io_op *op, struct io_done done)
{
    struct conn *conn = container_of(op, struct conn, tx_op);
    if (conn->state == CONN_CLOSING)
        conn_try_finish(conn);
    else
        sent(conn, done.res);
}

void conn_tx_now(struct conn *conn)
{
    bool can = conn->state == CONN_OPEN && conn->tls == NULL && !conn->tx_failed;
    if (!can || conn->tx_op.in_flight || conn->tx_len < CONN_NOW_MIN)
        return;
    uint32_t count;
    size_t len;
    const struct iovec *iov = segq_iov(&conn->tx, conn->iov, &count, &len);
    int res = io_send_now(conn->net->io, conn->fd, iov, count);
    if (res == -EAGAIN)
        return;
    task_cancel(&conn->flush); // listed again if something is left
    sent(conn, res);
}
