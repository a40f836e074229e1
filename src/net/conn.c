// Receiving, connecting and the end of a connection; sending is in conn_tx.c.
#include "penstock/net/conn.h"

#include "conn_tls.h"
#include "conn_tx.h"
#include "penstock/base/check.h"

#include <errno.h>

static void on_rx(struct io_op *op, struct io_done done);
static void on_connect(struct io_op *op, struct io_done done);

const char *conn_why_name(enum conn_why why)
{
    static const char *const names[WHY_COUNT] = {
        [WHY_NONE] = "none",         [WHY_DONE] = "done",
        [WHY_PEER] = "peer",         [WHY_FAILED] = "failed",
        [WHY_TIMEOUT] = "timeout",   [WHY_PROTOCOL] = "protocol",
        [WHY_STALLED] = "stalled",   [WHY_CANCELLED] = "cancelled",
        [WHY_SHUTDOWN] = "shutdown", [WHY_LIMIT] = "limit",
        [WHY_TLS] = "tls",           [WHY_EVICTED] = "evicted",
    };
    assert(why < WHY_COUNT);
    return names[why];
}

void conn_wake(struct conn *conn)
{
    if (conn->owner != NULL && conn->state != CONN_CLOSING)
        loop_ready(conn->net->loop, conn->owner);
}

void conn_charge(struct conn *conn, int64_t delta)
{
    budget_charge(&conn->net->budget, &conn->charged, delta);
}

static void on_bury(struct task *task)
{
    struct conn *conn = container_of(task, struct conn, flush);
    // Both operations have returned, the owner let go in conn_close(), and the flush task was
    // withdrawn there: nothing refers to the object any more.
    assert(!conn->rx_op.in_flight && !conn->tx_op.in_flight);
    assert(conn->charged == 0);
    slab_give(&conn->net->conns, conn);
}

apart void conn_try_finish(struct conn *conn)
{
    assert(conn->state == CONN_CLOSING);
    if (conn->rx_op.in_flight || conn->tx_op.in_flight)
        return; // the kernel still holds our memory
    segq_discard(&conn->rx);
    segq_discard(&conn->tx);
    conn_tls_free(conn);
    conn_charge(conn, -(int64_t)conn->charged);
    conn->flush.run = on_bury;
    loop_bury(conn->net->loop, &conn->flush);
}

static struct conn *conn_new(struct net *net, struct task *owner)
{
    struct conn *conn = slab_take(&net->conns);
    if (conn == NULL)
        return NULL;
    memset(conn, 0, sizeof(*conn));
    conn->net = net;
    conn->owner = owner;
    conn->fd = -1;
    conn->rx_op.on_done = on_rx;
    conn->rx_limit = CONN_RX_HEAD;
    conn->rx_cls = BUF_SMALL;
    conn_tx_init(conn);
    conn_charge(conn, sizeof(*conn));
    net_wake_trim(net);
    return conn;
}

struct conn *conn_accept(struct net *net, int fd, struct task *owner)
{
    struct conn *conn = conn_new(net, owner);
    if (conn == NULL) {
        io_close(net->io, fd, false);
        return NULL;
    }
    conn->fd = fd;
    conn->state = CONN_OPEN;
    conn_rx_arm(conn);
    return conn;
}

struct conn *conn_dial(struct net *net, const struct sockaddr *addr, socklen_t len,
                       struct task *owner)
{
    struct conn *conn = conn_new(net, owner);
    if (conn == NULL)
        return NULL;
    conn->state = CONN_OPENING;
    // The sending operation is free until there is a connection to send on.
    conn->tx_op.on_done = on_connect;
    assert(len <= sizeof(conn->addr));
    memcpy(&conn->addr, addr, len);
    io_connect(net->io, &conn->tx_op, (const struct sockaddr *)&conn->addr, len);
    return conn;
}

static void on_connect(struct io_op *op, struct io_done done)
{
    struct conn *conn = container_of(op, struct conn, tx_op);
    if (conn->state == CONN_CLOSING) {
        if (done.res >= 0)
            io_close(conn->net->io, done.res, false); // it was established before the cancel
        conn_try_finish(conn);
        return;
    }
    conn_tx_init_op(conn);
    if (done.res < 0) {
        conn->rx_state = RX_FAILED;
        conn->tx_failed = true;
        conn->sys = -done.res;
    } else {
        conn->fd = done.res;
        conn->state = CONN_OPEN;
        conn_rx_arm(conn);
        if (conn->tx_len > 0)
            loop_flush(conn->net->loop, &conn->flush);
    }
    conn_wake(conn);
}

void conn_close(struct conn **conn_ptr, enum conn_why why, bool reset)
{
    struct conn *conn = *conn_ptr;
    assert(why > WHY_NONE && why < WHY_COUNT);
    assert(conn->state != CONN_CLOSING);
    *conn_ptr = NULL;
    conn->net->closed[why]++;
    bool opening = conn->state == CONN_OPENING;
    conn->state = CONN_CLOSING;
    conn->owner = NULL;
    task_cancel(&conn->flush);
    if (conn->tls != NULL)
        task_cancel(&conn->tls->task);
    if (conn->fd >= 0) {
        if (!reset)
            conn_tls_farewell(conn);
        io_close(conn->net->io, conn->fd, reset);
        conn->fd = -1;
    } else if (opening && conn->tx_op.in_flight) {
        io_cancel(conn->net->io, &conn->tx_op);
    }
    conn_try_finish(conn);
}

void conn_set_owner(struct conn *conn, struct task *owner)
{
    assert(conn->state != CONN_CLOSING);
    conn->owner = owner;
}

// --- receiving ---

apart void conn_rx_arm(struct conn *conn)
{
    if (conn->rx_op.in_flight || conn->fd < 0 || conn->rx_state != RX_OPEN)
        return;
    if (conn->tls != NULL && conn->tls->ended)
        return;
    uint32_t held = conn_tls_rx_held(conn) + conn->rx_len;
    if (held >= conn->rx_limit)
        return;
    uint32_t credit = conn->rx_limit - held;
    if (conn->tls != NULL) // ciphertext queues in segments, of which there are only so many
        credit = (uint32_t)min_size(credit, CONN_TLS_IN_MAX - conn->tls->in_len);
    if (credit == 0)
        return;
    if (unlikely(budget_level(&conn->net->budget) != BUDGET_NORMAL))
        credit = credit / 4 > 0 ? credit / 4 : 1;
    io_recv(conn->net->io, &conn->rx_op, conn->fd, (enum buf_class)conn->rx_cls, credit);
}

void conn_rx_recheck(struct conn *conn)
{
    if (conn->rx_state != RX_EOF || conn->fd < 0 || !io_has_hung_up(conn->net->io, conn->fd))
        return;
    conn_rx_fail(conn, ECONNRESET);
    conn_wake(conn);
}

bool conn_is_quiet(const struct conn *conn)
{
    const bool begun = conn->state == CONN_OPENING && conn->rx_bytes > 0;
    return !begun && conn->rx_len == 0 && conn_tls_rx_held(conn) == 0 && conn->tx_len == 0 &&
           !io_has_input(conn->net->io, conn->fd);
}

void conn_rx_ack_late(struct conn *conn)
{
    if (conn->fd >= 0)
        io_ack_late(conn->net->io, conn->fd);
}

bool conn_rx_acks_late(struct conn *conn)
{
    return conn->fd >= 0 && io_acks_late(conn->net->io, conn->fd);
}

static cold void rx_raise(struct conn *conn)
{
    if (conn->tls == NULL && conn->rx_limit > conn->rx_len &&
        budget_level(&conn->net->budget) == BUDGET_NORMAL)
        io_recv_raise(&conn->rx_op, conn->rx_limit - conn->rx_len);
}

// There is more room than before. A receive that goes on gets what has come back of its credit,
// some time before that runs out: it would do so in the middle of a message, which then comes in
// two pieces.
static inline void rx_go_on(struct conn *conn)
{
    if (!conn->rx_op.in_flight)
        conn_rx_arm(conn);
    else if (unlikely(conn->rx_op.credit < conn->rx_limit / 2))
        rx_raise(conn);
}

void conn_rx_allow(struct conn *conn, uint32_t limit, enum buf_class cls)
{
    conn->rx_limit = limit;
    conn->rx_cls = (uint8_t)cls;
    if (conn->tls != NULL)
        conn_tls_room(conn);
    rx_go_on(conn);
}

// Appends a copy behind the last held byte, in the same buffer, if nobody else reads that buffer.
static apart bool rx_append_copy(struct conn *conn, const char *ptr, uint32_t len)
{
    struct seg *last = segq_last(&conn->rx);
    if (last == NULL)
        return false;
    size_t used = (size_t)(last->ptr - last->buf->data) + last->len;
    if (last->buf->refs != 1 || last->buf->cap - used < len)
        return false;
    memcpy(last->buf->data + used, ptr, len);
    last->len += len;
    return true;
}

// Copies everything held into as few large buffers as it takes. False when there are not enough.
static cold bool rx_compact(struct conn *conn)
{
    struct seg packed[CONN_RX_SEGMENTS];
    unsigned count = 0;
    for (unsigned i = 0; i < conn->rx.count; i++) {
        struct seg *from = segq_at(&conn->rx, i);
        for (uint32_t done = 0; done < from->len;) {
            struct seg *to = count > 0 ? &packed[count - 1] : NULL;
            if (to == NULL || to->len == to->buf->cap) {
                struct buf *buf = bufpool_take(conn->net->bufs, BUF_LARGE);
                if (buf == NULL)
                    goto undo;
                packed[count] = (struct seg){ buf, buf->data, 0 };
                to = &packed[count++];
            }
            uint32_t part = (uint32_t)min_size(from->len - done, to->buf->cap - to->len);
            memcpy(to->buf->data + to->len, from->ptr + done, part);
            to->len += part;
            done += part;
        }
    }
    // Fewer than before, so there is room for them.
    segq_discard(&conn->rx);
    for (unsigned i = 0; i < count; i++)
        verify(segq_push(&conn->rx, conn->net->bufs, packed[i].buf, packed[i].ptr, packed[i].len));
    return true;
undo:
    while (count > 0)
        buf_put(packed[--count].buf);
    return false;
}

// It cannot be held.
static cold void rx_lost(struct conn *conn, struct buf *buf, uint32_t len)
{
    conn->rx_len -= len;
    conn_charge(conn, -(int64_t)len);
    buf_put(buf);
}

// Takes over the reference to `buf`.
bool conn_rx_push(struct conn *conn, struct buf *buf, const char *ptr, uint32_t len)
{
    assert(len > 0);
    conn->rx_len += len;
    conn_charge(conn, len);
    if (len < SEGQ_COPY_MAX && conn->rx.count > 0 && rx_append_copy(conn, ptr, len)) {
        buf_put(buf);
        return true;
    }
    if (conn->rx.count == CONN_RX_SEGMENTS) {
        // The limit is a few large buffers, so packing always frees places.
        if (!rx_compact(conn) || conn->rx.count == CONN_RX_SEGMENTS) {
            rx_lost(conn, buf, len);
            return false;
        }
        if (rx_append_copy(conn, ptr, len)) {
            buf_put(buf);
            return true;
        }
    }
    if (segq_push(&conn->rx, conn->net->bufs, buf, ptr, len))
        return true;
    rx_lost(conn, buf, len);
    return false;
}

void conn_rx_fail(struct conn *conn, int sys)
{
    if (conn->rx_state == RX_FAILED)
        return;
    conn->rx_state = RX_FAILED;
    conn->sys = sys;
}

static flat void on_rx(struct io_op *op, struct io_done done)
{
    struct conn *conn = container_of(op, struct conn, rx_op);
    bool direct = conn->direct != NULL;
    if (direct)
        buf_put(conn->direct);
    conn->direct = NULL;
    if (conn->state == CONN_CLOSING) {
        if (done.buf != NULL)
            buf_put(done.buf);
        if (!(done.flags & IO_MORE))
            conn_try_finish(conn);
        return;
    }
    if (direct) {
        if (done.res > 0) {
            conn->rx_direct += (uint32_t)done.res;
            conn->rx_bytes += (uint32_t)done.res;
        }
    } else if (done.res > 0 && unlikely(conn->rx_state == RX_FAILED)) {
        buf_put(done.buf); // behind a hole: what could not be held
    } else if (done.res > 0) {
        conn->rx_bytes += (uint32_t)done.res;
        if (conn->tls != NULL)
            conn_tls_rx(conn, done.buf, (uint32_t)done.res);
        else if (!conn_rx_push(conn, done.buf, done.buf->data, (uint32_t)done.res))
            conn_rx_fail(conn, ENOBUFS);
    }
    if (done.res == 0 && conn->rx_state == RX_OPEN) {
        conn->rx_state = RX_EOF;
        conn_tls_rx_eof(conn);
    } else if (done.res < 0 && done.res != -ECANCELED) {
        conn_rx_fail(conn, -done.res);
    } else if (!(done.flags & IO_MORE) && !direct && done.res != -ECANCELED) {
        // The credit is used up; what is held and the limit decide whether there is more. After a
        // direct receive, or a cancel that makes way for one, the owner says how it goes on.
        conn_rx_arm(conn);
    }
    conn_wake(conn);
}

struct span conn_rx_peek(struct conn *conn, size_t max)
{
    assert(max <= NET_SCRATCH);
    struct span front = conn_rx_front(conn);
    if (front.len >= max || conn->rx.count <= 1)
        return span_upto(front, min_size(front.len, max));
    size_t len = 0;
    for (unsigned i = 0; i < conn->rx.count && len < max; i++) {
        struct seg *seg = segq_at(&conn->rx, i);
        size_t part = min_size(seg->len, max - len);
        memcpy(conn->net->scratch + len, seg->ptr, part);
        len += part;
    }
    return span_of(conn->net->scratch, len);
}

void conn_rx_consume(struct conn *conn, size_t len)
{
    assert(len <= conn->rx_len);
    conn->rx_len -= (uint32_t)len;
    conn_charge(conn, -(int64_t)len);
    segq_consume(&conn->rx, len);
    if (conn->tls != NULL)
        conn_tls_room(conn);
    rx_go_on(conn);
}

static uint32_t rx_direct_now(struct conn *conn, char *into, size_t len)
{
    int got = io_recv_now(conn->net->io, conn->fd, into, min_size(len, CONN_DIRECT_MAX));
    if (got > 0) {
        conn->rx_bytes += (uint32_t)got;
        return (uint32_t)got;
    }
    if (got < 0 && got != -EAGAIN) { // a FIN is told once more, an error is not
        conn_rx_fail(conn, -got);
        conn_wake(conn);
    }
    return 0;
}

uint32_t conn_rx_direct(struct conn *conn, struct buf *buf, char *into, size_t len)
{
    assert(conn->tls == NULL);
    uint32_t arrived = conn->rx_direct;
    assert(arrived <= len);
    conn->rx_direct = 0;
    into += arrived;
    len -= arrived;
    if (len == 0 || conn->direct != NULL || conn->rx_len > 0 || conn->rx_state != RX_OPEN)
        return arrived;
    if (conn->rx_op.in_flight) {
        io_cancel(conn->net->io, &conn->rx_op); // its end wakes the owner, who calls again
        return arrived;
    }
    if (arrived == 0) { // otherwise a receive has just taken all there was
        arrived = rx_direct_now(conn, into, len);
        into += arrived;
        len -= arrived;
        if (len == 0 || conn->rx_state != RX_OPEN)
            return arrived;
    }
    conn->direct = buf_get(buf);
    io_recv_into(conn->net->io, &conn->rx_op, conn->fd, into, min_size(len, CONN_DIRECT_MAX));
    return arrived;
}
