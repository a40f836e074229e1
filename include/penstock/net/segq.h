// segq.h - a queue of bytes as a ring of segments, each in a buffer that the queue holds a
// reference to.
//
// Bytes enter as copies behind the last segment, as references to somebody's buffer, or written in
// place (reserve, commit). They leave from the front. Nothing is allocated but buffers: a queue of
// few segments, as nearly all are, keeps them in itself, and a longer one takes a buffer for its
// ring until it is empty again. Zero it to start.
#ifndef PENSTOCK_NET_SEGQ_H
#define PENSTOCK_NET_SEGQ_H

#include "penstock/base/base.h"
#include "penstock/io/io.h"

enum {
    SEGQ_MAX = 32,
    // From here on pieces are copied into large buffers, so that a sender that keeps to a number of
    // bytes does not run out of segments before: the last ones hold 256 KiB.
    SEGQ_REFS = 16,
    SEGQ_COPY_MAX = 1 * KIB, // shorter pieces are copied, which costs less than a segment
    SEGQ_OWN = 2,            // without a ring
};

// A piece of memory with its keeper: `len` bytes at `ptr`, inside `buf`.
struct seg {
    struct buf *buf;
    const char *ptr;
    uint32_t len;
};

struct segq {
    struct buf *ring;     // keeps a struct segq_ring; NULL: `own` is in use
    uint8_t first, count; // `first` is of a ring: without one it is `own[0]`
    uint32_t room; // writable bytes behind the last segment; 0 if its buffer is not the queue's own
    struct seg own[SEGQ_OWN];
};

struct segq_ring {
    struct seg segs[SEGQ_MAX];
    struct iovec iov[IO_SEGMENTS_MAX];
};
_Static_assert(sizeof(struct segq_ring) <= BUF_SMALL_BYTES, "a small buffer keeps a ring");

static inline struct segq_ring *segq_ring(const struct segq *queue)
{
    return (struct segq_ring *)(void *)queue->ring->data;
}

static inline struct seg *segq_at(const struct segq *queue, unsigned index)
{
    if (likely(queue->ring == NULL))
        return (struct seg *)(uintptr_t)&queue->own[index];
    return &segq_ring(queue)->segs[(queue->first + index) % SEGQ_MAX];
}

static inline struct seg *segq_last(const struct segq *queue)
{
    return queue->count > 0 ? segq_at(queue, queue->count - 1u) : NULL;
}

// Room for `len` bytes (at most BUF_LARGE_BYTES); NULL when the ring or the pool is exhausted.
must_use char *segq_reserve(struct segq *queue, struct bufpool *bufs, size_t len);
void segq_commit(struct segq *queue, size_t len);
// False when not everything could be queued; what was is in the queue.
must_use bool segq_copy(struct segq *queue, struct bufpool *bufs, struct span bytes);
// Takes a reference of its own, or copies.
must_use bool segq_ref(struct segq *queue, struct bufpool *bufs, struct buf *buf, const char *ptr,
                       size_t len);
// Takes over the caller's reference. False when the ring is full, or there is no buffer for one;
// the reference stays the caller's.
must_use bool segq_push(struct segq *queue, struct bufpool *bufs, struct buf *buf, const char *ptr,
                        size_t len);

// The first segments, at most IO_SEGMENTS_MAX, as a vector that stays valid until bytes are
// dropped; of a short queue it lies in `own`. `*len` is the sum of their bytes.
struct iovec *segq_iov(struct segq *queue, struct iovec own[SEGQ_OWN], uint32_t *count,
                       size_t *len);
// Drops `len` bytes, of which there are as many, from the front.
void segq_consume(struct segq *queue, size_t len);
void segq_discard(struct segq *queue);

#endif
