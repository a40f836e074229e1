// uring_recv.c - receiving into the buffers of the pool.
//
// A receive takes buffers from the ring of its class, which the kernel empties from the front and a
// turn fills up to a target. The pool gives what came back last, so that a quiet shard goes round
// in few warm buffers. The target doubles when a receive finds none and falls again when most of
// the ring was idle for a while. A receive without a buffer is parked until there are some: armed
// again at once it would only fail again.
//
// A receive ends, for its caller, by using up its credit, by FIN, error or cancel, and by nothing
// else: where the kernel ends it for other reasons it is armed again here.
#include "uring.h"

#include "penstock/base/check.h"

#include <errno.h>

static void park(struct uring *u, struct io_op *op)
{
    op->state |= OP_PARKED;
    list_push_back(&u->groups[op->cls].parked, &op->link);
}

static bool is_multishot(const struct uring *u, const struct io_op *op)
{
    switch (u->caps.recv) {
    case URING_RECV_ONE: return false;
    case URING_RECV_MULTI: return op->credit >= IO_CREDIT_FULL;
    case URING_RECV_CAPPED: return op->credit > u->groups[op->cls].buf_bytes;
    }
    bug("uring_recv out of range");
}

void uring_arm_recv(struct uring *u, struct io_op *op)
{
    struct uring_group *group = &u->groups[op->cls];
    if (group->count == 0) {
        uring_group_starved(group);
        u->io.stats.no_buffers++;
        park(u, op);
        return;
    }
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (is_multishot(u, op)) {
        io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
        // The kernel goes on while less than this arrived, so it may exceed it by a buffer less a
        // byte. What is then left of the credit is received one by one.
        if (u->caps.recv == URING_RECV_CAPPED)
            uring_recv_cap(sqe, op->credit - group->buf_bytes + 1);
    } else {
        io_uring_prep_recv(sqe, op->fd, NULL, min_size(op->credit, group->buf_bytes), 0);
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = op->cls;
    uring_arm(sqe, op);
}

// Data after the credit was used up, or the data that used it up, while the kernel goes on. The
// last such buffer is kept until it stops, so that the caller sees one end, and with data.
static void keep_last(struct uring *u, struct io_op *op, struct io_done done)
{
    struct io_done before = { .res = (int32_t)op->held_len, .flags = IO_MORE, .buf = op->held };
    op->held = done.buf;
    op->held_len = (uint32_t)done.res;
    bool stopping = (op->state & (OP_USED_UP | OP_CANCELLED)) != 0;
    op->state |= OP_USED_UP;
    if (!stopping || op->mark != u->turns)
        uring_cancel_sqe(u, op);
    if (before.buf != NULL)
        uring_tell(u, op, before);
}

static void recv_data(struct uring *u, struct io_op *op, struct io_done done, bool more)
{
    op->credit -= min_size(op->credit, (size_t)done.res);
    if (more && op->credit == 0) {
        keep_last(u, op, done);
        return;
    }
    if (op->held != NULL) { // and the kernel has stopped by itself
        struct io_done before = { .res = (int32_t)op->held_len, .flags = IO_MORE, .buf = op->held };
        op->held = NULL;
        uring_tell(u, op, before);
    } else if (op->credit > 0) {
        done.flags = IO_MORE;
        // What comes next is arranged first, so that what the handler does to it is seen.
        if (more && (op->state & OP_CANCELLED) && op->mark != u->turns)
            uring_cancel_sqe(u, op); // one that was handed over before this came has missed
        else if (!more && (op->state & OP_CANCELLED))
            uring_end_later(u, op, -ECANCELED);
        else if (!more)
            uring_arm_recv(u, op);
    }
    if (done.flags & IO_MORE)
        uring_tell(u, op, done);
    else
        uring_finish(u, op, done);
}

static void recv_end(struct uring *u, struct io_op *op, int res)
{
    struct io_done last = { .res = res };
    if (op->held != NULL) {
        struct io_done held = { .res = (int32_t)op->held_len, .buf = op->held };
        op->held = NULL;
        if (res == -ECANCELED || res == -ENOBUFS) { // as we wanted, or for a buffer too many
            uring_finish(u, op, held);
            return;
        }
        held.flags = IO_MORE;
        uring_tell(u, op, held);
    } else if (res == -ENOBUFS) {
        u->io.stats.no_buffers++;
        uring_group_starved(&u->groups[op->cls]);
        if ((op->state & OP_CANCELLED) == 0) {
            park(u, op);
            return;
        }
        last.res = -ECANCELED;
    }
    uring_finish(u, op, last);
}

void uring_on_recv(struct uring *u, struct io_op *op, int res, uint32_t flags)
{
    struct buf *buf = NULL;
    if (flags & IORING_CQE_F_BUFFER)
        buf = uring_group_consumed(&u->groups[op->cls], &u->io.bufs, op->cls,
                                   flags >> IORING_CQE_BUFFER_SHIFT);
    bool more = (flags & IORING_CQE_F_MORE) != 0;
    if (!more)
        op->state &= (uint8_t)~OP_ARMED;
    if (res > 0) {
        verify(buf != NULL);
        recv_data(u, op, (struct io_done){ .res = res, .buf = buf }, more);
        return;
    }
    if (buf != NULL)
        buf_put(buf);
    verify(!more);
    recv_end(u, op, res);
}

// Two populations of buffers for the kernel, and whoever waited for them. As many are armed as
// there are buffers: the rest would only fail, and is armed by the next turns.
void uring_refill(struct uring *u)
{
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++) {
        struct uring_group *group = &u->groups[cls];
        if (likely(u->turns % URING_FILL_TURNS != 0 && !uring_group_is_low(group)))
            continue;
        uring_group_fill(group, &u->io.bufs, (enum buf_class)cls);
        uint32_t count = group->count;
        for (struct list *node; count > 0 && (node = list_pop_front(&group->parked)); count--) {
            struct io_op *op = container_of(node, struct io_op, link);
            op->state &= (uint8_t)~OP_PARKED;
            uring_arm_recv(u, op);
        }
    }
}
