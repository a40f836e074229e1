// uring_compat.h - what kernels newer than the header of liburing 2.3 offer, by number.
//
// Nothing here is used because of a version: a feature bit, or a trial at start, says that it
// works.
#ifndef PENSTOCK_IO_URING_COMPAT_H
#define PENSTOCK_IO_URING_COMPAT_H

#include <liburing.h>

enum {
    // Kernel 6.12: the time of a wait is a moment of CLOCK_MONOTONIC, not a length.
    URING_ENTER_ABS_TIMER = 1 << 5,
    // Kernel 6.15: a thread that waits in the ring is not counted as waiting for a disk.
    URING_ENTER_NO_IOWAIT = 1 << 7,
    URING_FEAT_NO_IOWAIT = 1 << 17,
};

// Kernel 6.17: a multishot receive ends by itself when it has `bytes` or more in total; the last
// buffer is not cut to that. The word is called optlen there; kernels before it refuse the
// operation with EINVAL where it is not 0.
static inline void uring_recv_cap(struct io_uring_sqe *sqe, uint32_t bytes)
{
    sqe->file_index = bytes;
}

#endif
