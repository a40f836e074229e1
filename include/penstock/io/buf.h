// buf.h - the buffers of one shard: what the kernel receives into and what is built to be sent.
//
// Two sizes: BUF_SMALL for heads and events, BUF_LARGE for bodies. Holders count references in a
// plain integer, because a buffer never leaves its shard; at zero it goes back to the pool it came
// from. Memory is reserved at bufpool_init() and becomes resident when first used. The pool hands
// out the most recently returned buffer first, so that a quiet shard works in a few warm pages.
//
// A backend that lets the kernel choose buffers (io_uring's provided-buffer rings) draws them from
// this pool by bufpool_take() and looks them up by index; it is the only user of buf_at().
#ifndef PENSTOCK_IO_BUF_H
#define PENSTOCK_IO_BUF_H

#include "penstock/base/base.h"
#include "penstock/base/check.h"
#include "penstock/base/err.h"

enum buf_class { BUF_SMALL, BUF_LARGE, BUF_CLASS_COUNT };
enum { BUF_SMALL_BYTES = 4 * KIB, BUF_LARGE_BYTES = 16 * KIB };

struct bufclass;

struct buf {
    char *data; // `cap` bytes
    uint32_t cap;
    uint32_t refs;
    uint16_t index; // in its class
    uint8_t cls;    // enum buf_class
    bool is_cold;   // free, and its memory was given back to the system
    bool is_idle;   // only within bufpool_trim(): about to be
    struct bufclass *home;
    struct buf *next;                 // while free
    void (*on_free)(struct buf *buf); // memory kept elsewhere goes back this way; NULL: to `home`
};

struct bufclass {
    struct buf *bufs; // count_max of them
    char *memory;
    struct buf *free;
    struct bufpool *pool;
    uint32_t count_max;
    uint32_t count_out;  // taken by anybody, the kernel included
    uint32_t count_used; // handed out at least once: these may be resident
    uint32_t count_cold; // of those that are not out now, without memory
    uint32_t out_most;   // the most that were out since the last period began
};

struct bufpool {
    struct bufclass cls[BUF_CLASS_COUNT];
    // Called after each buffer that comes back while `starved` is set, from inside buf_put(): it
    // may only take note. The backend sets and clears `starved`.
    void (*on_refill)(void *arg);
    void *on_refill_arg;
    bool starved;
};

// `small` and `large` are the largest numbers of buffers of either class, up to 32768 each.
must_use struct err bufpool_init(struct bufpool *pool, uint32_t small, uint32_t large);
// Every buffer must be back.
void bufpool_fini(struct bufpool *pool);

// Returns memory of buffers that lay unused for a whole period to the system, at most `max`
// buffers, neighbours together. False: that was all, and the next period has begun. True: there is
// more, to be called for again within this period; it asks much less than to wait for the next.
must_use bool bufpool_trim(struct bufpool *pool, uint32_t max);

// A buffer with one reference, or NULL if all are out.
must_use struct buf *bufpool_take(struct bufpool *pool, enum buf_class cls);
struct buf *buf_at(struct bufpool *pool, enum buf_class cls, uint32_t index);

static inline struct buf *buf_get(struct buf *buf)
{
    debug_assert(buf->refs > 0);
    buf->refs++;
    return buf;
}

void buf_free(struct buf *buf); // used by buf_put() only

static inline void buf_put(struct buf *buf)
{
    debug_assert(buf->refs > 0);
    if (--buf->refs == 0)
        buf_free(buf);
}

#endif
