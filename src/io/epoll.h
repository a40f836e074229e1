// epoll.h - what the two files of the epoll backend share; private to src/io.
//
// Every descriptor has a record in a table indexed by its number. Sockets are registered once, edge
// triggered for everything, and the record remembers what the edges said: a receive is tried only
// while the socket is thought readable, a send while it is thought writable, so that neither costs
// a system call that answers EAGAIN in the usual case. A receive that got less than it asked for
// has emptied the socket; the next byte raises a new edge. That conclusion is not drawn once an
// end, an error or urgent data was reported, because these edges do not come twice.
//
// An operation is in exactly one state, and in all but the last its descriptor's record points to
// it. Handlers run only from turn(), which pops an operation before it touches it, so a handler may
// start, cancel and close as it likes.
#ifndef PENSTOCK_IO_EPOLL_H
#define PENSTOCK_IO_EPOLL_H

#include "backend.h"
#include "penstock/base/check.h"

#include <stdatomic.h>

enum op_state {
    OP_IDLE,
    OP_QUEUED,   // to be tried; linked in `started`, or in `running` during a turn
    OP_WAITING,  // for an edge of its descriptor; not linked
    OP_PARKED,   // a receive for which there was no buffer; linked in `parked`
    OP_RETRYING, // a connect to a Unix socket with a full backlog; linked in `retrying`
    OP_RUNNING,  // its handler is being called and more will follow; not linked
    OP_ENDED,    // its last completion is due; linked in `ended`
};

enum {
    SOCK_READABLE = 1,
    SOCK_WRITABLE = 2,
    SOCK_DRAIN = 4,      // read until EAGAIN: a short receive proves nothing any more
    SOCK_REGISTERED = 8, // in the epoll set
    SOCK_OWNED = 16,     // a socket of ours; otherwise a foreign descriptor that is only polled
};

struct sock {
    struct io_op *in;    // accept or receive
    struct io_op *out;   // send or connect
    struct io_op *polls; // chained by next_poll()
    uint32_t generation; // goes into the epoll set: an edge of a former descriptor is known by it
    uint32_t flags;
};

// Between two tries of a connect that no edge announces.
enum { EPOLL_RETRY_NS = 1000 * 1000 };

// Who is to be told of a wake: one exchange says both whether the loop sleeps and marks it woken.
enum { WAKE_NONE, WAKE_DUE, WAKE_ASLEEP };

struct epoll {
    struct io io;
    int epfd, wakefd;
    _Atomic uint32_t wake;
    struct sock *socks; // by descriptor; reserved at start, resident where used
    uint32_t sock_count;
    uint32_t in_flight;
    struct list started, running, ended, retrying;
    struct list parked[BUF_CLASS_COUNT];
    bool refilled;        // a buffer came back while some receive was parked
    bool skipped;         // the last turn took no edges
    unsigned completions; // of this turn
    uint64_t retry_ns;    // when `retrying` is due
    uint64_t spin_until_ns;
};

// The record of `fd`, NULL when the number is beyond the table.
static inline struct sock *sock_at(struct epoll *ep, int fd)
{
    return fd >= 0 && (uint32_t)fd < ep->sock_count ? &ep->socks[fd] : NULL;
}

// The record of a descriptor that was just made: whatever it knew was of a former one.
static inline void sock_open(struct sock *sock)
{
    assert(sock->in == NULL);
    assert(sock->out == NULL);
    sock->generation++;
    sock->flags = SOCK_OWNED | SOCK_WRITABLE;
}

static inline void sock_forget(struct sock *sock)
{
    assert(sock->polls == NULL);
    sock->generation++;
    sock->flags = 0;
}

static inline struct io_op **next_poll(struct io_op *op)
{
    _Static_assert(sizeof(op->into) == sizeof(struct io_op *), "a poll is chained by `into`");
    return (struct io_op **)(void *)&op->into;
}

static inline struct epoll *epoll_of(struct io *io)
{
    return container_of(io, struct epoll, io);
}

// epoll.c: where an operation goes after it was tried. Each of these but epoll_more() hands it on,
// and its handler may have freed it when they return.

// To be tried by the next turn (`started`) or in this one (`running`).
void epoll_queue(struct io_op *op, struct list *list);
// True when this turn has told as much as it may; the operation goes on in the next one.
bool epoll_yield(struct epoll *ep, struct io_op *op, bool used_up);
// Enters its descriptor into the epoll set; ends it when that fails.
void epoll_watch(struct epoll *ep, struct io_op *op);
// Waits for an edge of its descriptor. One that came before the socket was registered comes again.
static inline void epoll_wait_edge(struct epoll *ep, struct io_op *op, const struct sock *sock)
{
    op->state = OP_WAITING;
    if (unlikely((sock->flags & SOCK_REGISTERED) == 0))
        epoll_watch(ep, op);
}
// Tells a completion that others will follow. True when the operation still runs afterwards: its
// handler may have cancelled it or closed its socket, and then its last completion is due.
bool epoll_more(struct epoll *ep, struct io_op *op, struct io_done done);
// Tells the last completion.
void epoll_finish(struct epoll *ep, struct io_op *op, struct io_done done);
static inline void epoll_result(struct epoll *ep, struct io_op *op, int res)
{
    epoll_finish(ep, op, (struct io_done){ .res = res });
}

// epoll_try.c: tries one queued operation and hands it on by the functions above.
void epoll_try(struct epoll *ep, struct io_op *op);

#endif
