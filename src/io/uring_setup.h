// uring_setup.h - makes a ring with what this kernel offers, and says why where it offers none.
//
// Private to src/io. The order is uring_open(), registrations that the owner wants (buffer rings),
// uring_enable(), and finally uring_exit().
#ifndef PENSTOCK_IO_URING_SETUP_H
#define PENSTOCK_IO_URING_SETUP_H

#include "penstock/base/err.h"
#include "penstock/io/io.h"
#include "uring_compat.h"

// How a receive that takes its buffers from a ring can run; each kind includes those before it.
enum uring_recv {
    URING_RECV_ONE,    // re-armed for each buffer
    URING_RECV_MULTI,  // multishot, until it is cancelled
    URING_RECV_CAPPED, // multishot that ends after a number of bytes
};

// What is not to be used although the kernel may offer it. Zero for everything; tests take away
// step by step what older kernels lack.
struct uring_limits {
    unsigned step;      // first entry of the table of setup flags that is tried
    unsigned recv_less; // kinds of receive taken away, from the best
    bool no_restrictions, no_ring_fd, no_iowait_flag, no_abs_timer, no_quiet_send;
};

struct uring_caps {
    uint32_t setup_flags; // those that the kernel took
    uint32_t features;
    enum uring_recv recv;
    bool restricted; // the ring takes no other operations than ours
    bool ring_fd;    // enters go by a registered index of the ring
    bool no_iowait;
    bool abs_timer;  // a wait ends at a moment of the system's clock
    bool quiet_send; // a send that neither waits nor tells of success tells how far it came
};

enum { URING_STEPS = 4 }; // of setup flags, from the best to none

// Where the cause of a failure is named for an operator.
struct why {
    char *text;
    size_t cap;
};

// `why` names cause and remedy when the code is RING_UNAVAILABLE, and only then another
// backend can help. The ring is disabled until uring_enable(); after a failure its ring_fd is -1.
must_use struct err uring_open(struct io_uring *ring, struct uring_caps *caps, uint32_t entries,
                               const struct uring_limits *limits, struct why why);
must_use struct err uring_enable(struct io_uring *ring, struct uring_caps *caps,
                                 const struct uring_limits *limits, struct why why);
// Harmless after a failed uring_open().
void uring_exit(struct io_uring *ring);
// Names the cause of an errno that a call of io_uring's gave. Returns the err to pass on.
must_use struct err uring_refused(int sys, const char *call, struct why why);

// kernel.io_uring_disabled, or -1 where the kernel has no such switch.
int uring_sysctl(void);
// "SINGLE_ISSUER, DEFER_TASKRUN" and so on; the text is constant.
const char *uring_flags_text(uint32_t setup_flags);
const char *uring_recv_text(enum uring_recv recv);

#endif
