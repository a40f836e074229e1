// uring_send.c - sending.
//
// Most sends find room in their socket, so they are over before the enter that hands them over
// begins to wait. A completion would then end that wait for nothing. A lazy send has none: it does
// not wait either, and completes only if it could not send everything; then the rest is sent in the
// usual way. When all completions of the enter that took it were delivered and none was its own, it
// was done.
#include "uring.h"

#include "penstock/base/check.h"

#include <errno.h>

enum {
    // MSG_WAITALL makes the kernel go on after a short write.
    SEND_FLAGS = MSG_NOSIGNAL | MSG_WAITALL,
    // More than this would often not fit, and would be handed over twice.
    QUIET_MAX = 16 * KIB,
};

// The vector itself is read at submission by kernels that promise so; the header stays until the
// end for those that do not.
static apart struct msghdr *take_msg(struct uring *u, struct io_op *op)
{
    struct uring_msg *msg = op->kept;
    if (msg == NULL)
        msg = op->kept = slab_take(&u->msgs);
    return msg != NULL ? &msg->head : NULL;
}

static int32_t sum(const struct io_op *op)
{
    size_t len = 0;
    for (uint32_t i = 0; i < op->count; i++)
        len += op->iov[i].iov_len;
    return (int32_t)len;
}

flat void uring_send(struct io *io, struct io_op *op)
{
    struct uring *u = container_of(io, struct uring, io);
    if (!uring_begin(u, op))
        return;
    struct msghdr *msg = NULL;
    if (op->count > 1) {
        msg = take_msg(u, op);
        if (msg == NULL) {
            uring_end_later(u, op, -ENOMEM);
            return;
        }
        *msg = (struct msghdr){ .msg_iov = (struct iovec *)op->iov, .msg_iovlen = op->count };
    }
    bool quiet = false;
    if (op->lazy && u->caps.quiet_send) {
        op->res = sum(op);
        quiet = op->res <= QUIET_MAX;
    }
    const unsigned flags = SEND_FLAGS | (quiet ? MSG_DONTWAIT : 0);
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (msg != NULL)
        io_uring_prep_sendmsg(sqe, op->fd, msg, flags);
    else
        io_uring_prep_send(sqe, op->fd, op->iov->iov_base, op->iov->iov_len, (int)flags);
    uring_arm(sqe, op);
    if (quiet) {
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        op->state |= OP_QUIET;
        op->mark = u->ring.sq.sqe_tail; // behind this entry
        list_push_back(&u->lazy, &op->link);
    } else {
        op->res = 0;
    }
}

// Sends what is left behind the first `sent` bytes. The operation tells of both together.
static void send_rest(struct uring *u, struct io_op *op, int32_t sent)
{
    struct msghdr *head = take_msg(u, op);
    if (head == NULL) {
        uring_finish(u, op, (struct io_done){ .res = sent > 0 ? sent : -ENOMEM });
        return;
    }
    struct uring_msg *msg = op->kept;
    size_t skip = (size_t)sent, count = 0;
    for (uint32_t i = 0; i < op->count; i++) {
        size_t part = min_size(skip, op->iov[i].iov_len);
        skip -= part;
        if (part < op->iov[i].iov_len)
            msg->iov[count++] =
                (struct iovec){ (char *)op->iov[i].iov_base + part, op->iov[i].iov_len - part };
    }
    *head = (struct msghdr){ .msg_iov = msg->iov, .msg_iovlen = count };
    op->res = sent;
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_sendmsg(sqe, op->fd, head, SEND_FLAGS);
    uring_arm(sqe, op);
}

void uring_on_send(struct uring *u, struct io_op *op, int res)
{
    if (op->state & OP_QUIET) {
        op->state &= (uint8_t) ~(OP_QUIET | OP_ARMED);
        list_take(&op->link);
        int32_t sent = res > 0 ? res : 0;
        if ((res > 0 || res == -EAGAIN) && (op->state & OP_CANCELLED) == 0) {
            send_rest(u, op, sent);
            return;
        }
        op->res = sent;
        res = res == -EAGAIN ? -ECANCELED : res;
        res = res > 0 ? 0 : res;
    }
    if (op->res > 0) // what went before
        res = res > 0 ? res + op->res : op->res;
    uring_finish(u, op, (struct io_done){ .res = res });
}

void uring_entered(struct uring *u)
{
    // Completions that did not fit the queue are handed in later.
    if (unlikely(atomic_load_explicit((_Atomic uint32_t *)(void *)u->ring.sq.kflags,
                                      memory_order_acquire) &
                 IORING_SQ_CQ_OVERFLOW))
        return;
    u->sq_mark = *u->ring.sq.khead;
    u->cq_mark = io_uring_smp_load_acquire(u->ring.cq.ktail);
}

bool uring_has_lazy(const struct uring *u)
{
    if (list_is_empty(&u->lazy))
        return false;
    const struct io_op *first = container_of(u->lazy.next, struct io_op, link);
    return (int32_t)(u->sq_mark - first->mark) >= 0;
}

void uring_tell_lazy(struct uring *u)
{
    // One that is still to be delivered may be one's own.
    if (u->batch_at < u->batch_count || (int32_t)(*u->ring.cq.khead - u->cq_mark) < 0)
        return;
    while (uring_has_lazy(u) && u->delivered < IO_TURN_MAX) {
        struct io_op *op = container_of(list_pop_front(&u->lazy), struct io_op, link);
        op->state &= (uint8_t)~OP_QUIET;
        uring_finish(u, op, (struct io_done){ .res = op->res });
    }
}
