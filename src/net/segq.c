#include "penstock/net/segq.h"

#include "penstock/base/check.h"

// From two segments to a ring of them.
static cold bool grow(struct segq *queue, struct bufpool *bufs)
{
    struct buf *buf = bufpool_take(bufs, BUF_SMALL);
    if (buf == NULL)
        return false;
    struct segq_ring *ring = (struct segq_ring *)(void *)buf->data;
    for (unsigned i = 0; i < SEGQ_OWN; i++)
        ring->segs[i] = *segq_at(queue, i);
    queue->ring = buf;
    queue->first = 0;
    return true;
}

// A place for one more segment; NULL when there is none.
static inline struct seg *add(struct segq *queue, struct bufpool *bufs)
{
    if (unlikely(queue->count >= SEGQ_OWN)) {
        if (queue->count == SEGQ_MAX || (queue->ring == NULL && !grow(queue, bufs)))
            return NULL;
    }
    return segq_at(queue, queue->count++);
}

char *segq_reserve(struct segq *queue, struct bufpool *bufs, size_t len)
{
    assert(len > 0 && len <= BUF_LARGE_BYTES);
    struct seg *last = segq_last(queue);
    if (last != NULL && queue->room >= len)
        return last->buf->data + last->buf->cap - queue->room;
    bool small = len <= BUF_SMALL_BYTES && queue->count < SEGQ_REFS;
    struct buf *buf = bufpool_take(bufs, small ? BUF_SMALL : BUF_LARGE);
    if (buf == NULL)
        return NULL;
    struct seg *seg = add(queue, bufs);
    if (seg == NULL) {
        buf_put(buf);
        return NULL;
    }
    *seg = (struct seg){ buf, buf->data, 0 };
    queue->room = buf->cap;
    return buf->data;
}

void segq_commit(struct segq *queue, size_t len)
{
    struct seg *last = segq_last(queue);
    assert(last != NULL && len <= queue->room);
    last->len += (uint32_t)len;
    queue->room -= (uint32_t)len;
}

bool segq_copy(struct segq *queue, struct bufpool *bufs, struct span bytes)
{
    while (bytes.len > 0) {
        // What is left of the open buffer first, then whole new ones.
        size_t part = min_size(bytes.len, queue->room > 0 ? queue->room : BUF_LARGE_BYTES);
        char *at = segq_reserve(queue, bufs, part);
        if (at == NULL)
            return false;
        memcpy(at, bytes.ptr, part);
        segq_commit(queue, part);
        bytes = span_from(bytes, part);
    }
    return true;
}

bool segq_push(struct segq *queue, struct bufpool *bufs, struct buf *buf, const char *ptr,
               size_t len)
{
    struct seg *seg = add(queue, bufs);
    if (seg == NULL)
        return false;
    *seg = (struct seg){ buf, ptr, (uint32_t)len };
    queue->room = 0; // the new last segment is not ours to write behind
    return true;
}

bool segq_ref(struct segq *queue, struct bufpool *bufs, struct buf *buf, const char *ptr,
              size_t len)
{
    assert(len <= UINT32_MAX);
    struct seg *last = segq_last(queue);
    if (last != NULL && last->buf == buf && last->ptr + last->len == ptr) {
        last->len += (uint32_t)len; // the very next bytes of the same buffer
        return true;
    }
    size_t copied = queue->count < SEGQ_REFS ? SEGQ_COPY_MAX - 1 : BUF_LARGE_BYTES;
    if (len <= copied)
        return segq_copy(queue, bufs, span_of(ptr, len));
    if (segq_push(queue, bufs, buf_get(buf), ptr, len))
        return true;
    buf_put(buf);
    return segq_copy(queue, bufs, span_of(ptr, len));
}

struct iovec *segq_iov(struct segq *queue, struct iovec own[SEGQ_OWN], uint32_t *count, size_t *len)
{
    struct iovec *iov = queue->ring != NULL ? segq_ring(queue)->iov : own;
    const unsigned segs = queue->count;
    uint32_t used = 0;
    size_t sum = 0;
    for (unsigned i = 0; i < segs && used < IO_SEGMENTS_MAX; i++) {
        const struct seg *seg = segq_at(queue, i);
        if (unlikely(seg->len == 0)) // a place reserved and not yet written
            continue;
        iov[used++] = (struct iovec){ (void *)(uintptr_t)seg->ptr, seg->len };
        sum += seg->len;
    }
    *count = used;
    *len = sum;
    return iov;
}

static void drop_front(struct segq *queue)
{
    buf_put(segq_at(queue, 0)->buf);
    if (--queue->count > 0) {
        _Static_assert(SEGQ_OWN == 2, "one is left to move to the front");
        if (likely(queue->ring == NULL))
            queue->own[0] = queue->own[1];
        else
            queue->first = (uint8_t)((queue->first + 1) % SEGQ_MAX);
        return;
    }
    queue->room = 0;
    if (unlikely(queue->ring != NULL)) {
        buf_put(queue->ring);
        queue->ring = NULL;
    }
}

void segq_consume(struct segq *queue, size_t len)
{
    while (queue->count > 0) {
        struct seg *seg = segq_at(queue, 0);
        if (len < seg->len) {
            seg->ptr += len;
            seg->len -= (uint32_t)len;
            return;
        }
        len -= seg->len;
        drop_front(queue);
    }
    assert(len == 0);
}

void segq_discard(struct segq *queue)
{
    while (queue->count > 0)
        drop_front(queue);
}
