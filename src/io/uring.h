// uring.h - what the files of the io_uring backend share; private to src/io.
#ifndef PENSTOCK_IO_URING_H
#define PENSTOCK_IO_URING_H

#include "backend.h"
#include "penstock/base/slab.h"
#include "uring_setup.h"

enum {
    URING_ENTRIES_DEFAULT = 1024,
    URING_ENTRIES_MAX = 32768,
    URING_SUBMIT_TRIES = 1000,
    URING_FDS_MAX = 1024 * 1024, // descriptors are small numbers: so many must be open at once
    // Buffers that the kernel has to choose from in a quiet shard, by class.
    URING_SMALL_MIN = 64,
    URING_LARGE_MIN = 16,
    // A ring is filled when a part of it is used up, and every so many turns.
    URING_FILL_SHARE = 4,
    URING_FILL_TURNS = 32,
    // Fills without much use after which there are too many of them.
    URING_FILLS_CALM = 32,
    // The kernel does not get the last 1/8 of a class: sends are built in the same buffers.
    URING_RESERVE_SHARE = 8,
};
// An accept that found no descriptor left is armed again no sooner than this.
#define URING_ACCEPT_PAUSE_NS (100 * NS_PER_MS)

// The buffers of one class that the kernel may choose from.
struct uring_group {
    struct io_uring_buf_ring *ring;
    uint32_t entries;
    uint32_t buf_bytes;
    uint32_t count;      // published and not yet seen in a completion
    uint32_t target;     // what a fill brings it to
    uint32_t target_min; // and the bounds of that
    uint32_t low;        // smallest count that a fill found, of the last ones
    uint32_t fills;      // since `low` was reset
    bool full;           // the last fill reached the target
    struct list parked;  // receives that wait for a buffer
};

struct uring_done {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
};

// What a descriptor has in flight.
struct uring_slot {
    struct io_op *in, *out; // accept or receive; send
};

// What a send of several segments, or the rest of one, needs besides.
struct uring_msg {
    struct msghdr head;
    struct iovec iov[IO_SEGMENTS_MAX];
};

struct uring {
    struct io io;
    struct io_uring ring;
    struct uring_caps caps;
    struct uring_group groups[BUF_CLASS_COUNT];
    struct uring_slot *slots; // by descriptor; reserved at start, resident where used
    uint32_t slot_count;
    uint32_t in_flight;
    uint32_t polls;     // of them, polls of foreign descriptors
    uint32_t turns;     // modulo 2^32
    uint32_t delivered; // of this turn
    struct list ended;  // operations with a result that the kernel does not know of
    struct list paused; // accepts that wait for descriptors to become free
    uint64_t accept_ns; // when they are armed
    struct list lazy;   // lazy sends that only tell of failure, in the order of the queue
    uint32_t sq_mark;   // what the kernel had taken of the queue after the last enter,
    uint32_t cq_mark;   // and how far its completions went then
    uint64_t last_ns;   // when the last completion was delivered, for the busy poll
    struct slab msgs;
    int eventfd;               // for wakes from threads without a ring
    _Atomic bool wake_pending; // somebody's wake is under way; others need not send another
    bool woken;
    uint32_t batch_at, batch_count;
    struct uring_done batch[IO_TURN_MAX]; // completions that were taken and not yet delivered
};

// uring_group.c. The ring must be disabled or unrestricted.
must_use struct err uring_group_init(struct uring_group *group, struct io_uring *ring,
                                     enum buf_class cls, uint32_t count_max, struct why why);
// Gives the kernel's buffers back; the ring itself must be gone.
void uring_group_fini(struct uring_group *group, struct bufpool *pool, enum buf_class cls);
// Much of it is used up, or somebody waits for it.
static inline bool uring_group_is_low(const struct uring_group *group)
{
    return group->count <= group->target - group->target / URING_FILL_SHARE ||
           !list_is_empty(&group->parked);
}
// Brings the population to its target, as far as the pool has buffers.
void uring_group_fill(struct uring_group *group, struct bufpool *pool, enum buf_class cls);
// The kernel chose this buffer; it is the caller's now.
struct buf *uring_group_consumed(struct uring_group *group, struct bufpool *pool,
                                 enum buf_class cls, uint32_t index);
// A receive found none.
void uring_group_starved(struct uring_group *group);

// Where an operation is, and what came over it.
enum {
    OP_ARMED = 1,      // the kernel has it
    OP_PARKED = 2,     // waits for buffers; linked in its group
    OP_PAUSED = 4,     // an accept that waits for descriptors; linked in `paused`
    OP_ENDED = 8,      // its result is in `res`; linked in `ended`
    OP_CANCELLED = 16, // io_cancel() or io_close() came
    OP_USED_UP = 32,   // its credit is gone and the kernel goes on: the cancel is under way
    OP_QUIET = 64,     // a send that only tells of failure; linked in `lazy`
};

// uring.c: what every operation needs.

// A free entry of the submission queue; there always is one.
struct io_uring_sqe *uring_sqe(struct uring *u);
// Hands the entry, which is ready but for this, to the kernel in the name of `op`.
void uring_arm(struct io_uring_sqe *sqe, struct io_op *op);
// Enters an operation into its descriptor's slot. False: it ends at once.
must_use bool uring_begin(struct uring *u, struct io_op *op);
// Asks the kernel to end `op`.
void uring_cancel_sqe(struct uring *u, struct io_op *op);
// Calls on_done().
void uring_tell(struct uring *u, struct io_op *op, struct io_done done);
// The last completion; the operation may be gone afterwards.
void uring_finish(struct uring *u, struct io_op *op, struct io_done done);
// The same in the next turn, for what ends without the kernel.
void uring_end_later(struct uring *u, struct io_op *op, int res);

// uring_send.c: sending.

void uring_send(struct io *io, struct io_op *op);
void uring_on_send(struct uring *u, struct io_op *op, int res);
// Notes what the kernel has taken, after an enter and before its completions are.
void uring_entered(struct uring *u);
// Tells of the lazy sends that the kernel has done, once all else of that enter was delivered.
void uring_tell_lazy(struct uring *u);
// There are some to tell of.
bool uring_has_lazy(const struct uring *u);

// uring_recv.c: receiving into the buffers of the pool.

// Arms the receive, or parks it if there are no buffers.
void uring_arm_recv(struct uring *u, struct io_op *op);
void uring_on_recv(struct uring *u, struct io_op *op, int res, uint32_t flags);
// Gives the kernel new buffers, and arms what waited for them.
void uring_refill(struct uring *u);

// io_uring_new() without what `limits` takes away.
must_use struct err uring_new(struct io **out, const struct io_config *config,
                              const struct uring_limits *limits, struct env *env, struct why why);
const struct uring_caps *uring_caps(const struct io *io);

#endif
