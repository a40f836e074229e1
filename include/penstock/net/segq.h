// segq.h - a queue of bytes as a ring of segments, each in a buffer that the queue holds a
// reference to.
//
// Bytes enter as copies behind the last segment, as references to somebody's buffer, or written in
// place (reserve, commit). They leave from the front. Nothing is allocated but buffers.
#ifndef PENSTOCK_NET_SEGQ_H
#define PENSTOCK_NET_SEGQ_H

#include "penstock/base/base.h"
#include "penstock/io/buf.h"

#include <sys/uio.h>

enum {
    SEGQ_MAX = 32,
    // From here on pieces are copied into large buffers, so that a sender that keeps to a number of
    // bytes does not run out of segments before: the last ones hold 256 KiB.
    SEGQ_REFS = 16,
    SEGQ_COPY_MAX = 1 * KIB, // shorter pieces are copied, which costs less than a segment
};

// A piece of memory with its keeper: `len` bytes at `ptr`, inside `buf`.
struct seg {
    struct buf *buf;
    const char *ptr;
    uint32_t len;
};

struct segq {
    struct seg segs[SEGQ_MAX];
    uint8_t first, count;
    uint32_t room; // writable bytes behind the last segment; 0 if its buffer is not the queue's own
};

static inline struct seg *segq_at(struct segq *queue, unsigned index)
{
    return &queue->segs[(queue->first + index) % SEGQ_MAX];
}

static inline struct seg *segq_last(struct segq *queue)
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
// Takes over the caller's reference. False when the ring is full; the reference stays the caller's.
must_use bool segq_push(struct segq *queue, struct buf *buf, const char *ptr, size_t len);

// Fills `iov` with the first segments and returns how many; `*len` is the sum of their bytes.
uint32_t segq_iov(struct segq *queue, struct iovec *iov, uint32_t max, size_t *len);
// Drops `len` bytes, of which there are as many, from the front.
void segq_consume(struct segq *queue, size_t len);
void segq_discard(struct segq *queue);

#endif
