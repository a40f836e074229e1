#include "uring_setup.h"

#include "penstock/base/check.h"
#include "penstock/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
    // Room for bursts of multishot completions; beyond it the kernel keeps a list.
    CQ_FACTOR = 8,
    PROBE_ENTRIES = 8,
    PROBE_BUFS = 4,
    PROBE_BUF_BYTES = 64,
};

// TASKRUN_FLAG shows pending work in memory, so that a busy poll needs no system calls.
static const struct {
    uint32_t flags;
    const char *text;
} steps[URING_STEPS] = {
    { IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      "SINGLE_ISSUER, DEFER_TASKRUN" }, // kernel 6.1
    { IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      "SINGLE_ISSUER, COOP_TASKRUN" },                                         // 6.0
    { IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, "COOP_TASKRUN" }, // 5.19
    { 0, "no task work flags" },
};
enum {
    STEP_FLAGS = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG
};

// What a ring of ours may be asked to do, once it is restricted. SOCKET, SHUTDOWN and URING_CMD
// (socket options) are room for connections that are made and ended without a system call.
static const uint8_t ops[] = {
    IORING_OP_POLL_ADD, IORING_OP_SENDMSG,  IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL,
    IORING_OP_CONNECT,  IORING_OP_CLOSE,    IORING_OP_SEND,   IORING_OP_RECV,
    IORING_OP_SHUTDOWN, IORING_OP_MSG_RING, IORING_OP_SOCKET, IORING_OP_URING_CMD,
};
// Those that every kernel with the operations above has, and without which nothing works.
static const struct {
    uint32_t bit;
    const char *name;
} features_needed[] = {
    { IORING_FEAT_NODROP, "NODROP" },
    { IORING_FEAT_FAST_POLL, "FAST_POLL" },
    { IORING_FEAT_EXT_ARG, "EXT_ARG" },
    { IORING_FEAT_CQE_SKIP, "CQE_SKIP" },
};

// liburing maps and unmaps without the C library, so ThreadSanitizer does not see that a ring's
// memory was another thread's before, and is new. It is told by this order of exits and inits.
#if defined(__SANITIZE_THREAD__)
#define THREADS_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREADS_CHECKED 1
#endif
#endif
#ifdef THREADS_CHECKED
#include <sanitizer/tsan_interface.h>
static char ring_memory; // only its address is used
#define RING_EXITS() __tsan_release(&ring_memory)
#define RING_INITS() __tsan_acquire(&ring_memory)
#else
#define RING_EXITS() ((void)0)
#define RING_INITS() ((void)0)
#endif

static int init_ring(struct io_uring *ring, uint32_t entries, struct io_uring_params *params)
{
    int ret = io_uring_queue_init_params(entries, ring, params);
    RING_INITS();
    if (ret < 0)
        ring->ring_fd = -1;
    return ret;
}

void uring_exit(struct io_uring *ring)
{
    if (ring->ring_fd < 0)
        return;
    RING_EXITS();
    io_uring_queue_exit(ring);
    ring->ring_fd = -1;
}

int uring_sysctl(void)
{
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (file == NULL)
        return -1;
    char text[8] = "";
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    return len > 0 && text[0] >= '0' && text[0] <= '9' ? text[0] - '0' : -1;
}

const char *uring_flags_text(uint32_t setup_flags)
{
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        if ((setup_flags & STEP_FLAGS) == steps[i].flags)
            return steps[i].text;
    bug("a ring was made with flags that are in no step");
}

const char *uring_recv_text(enum uring_recv recv)
{
    switch (recv) {
    case URING_RECV_ONE: return "single receives";
    case URING_RECV_MULTI: return "multishot receives";
    case URING_RECV_CAPPED: return "capped multishot receives";
    }
    bug("uring_recv out of range");
}

static void why_forbidden(const char *call, struct why why)
{
    int disabled = uring_sysctl();
    if (disabled > 0)
        snprintf(why.text, why.cap,
                 "kernel.io_uring_disabled is %d, which %s; set it to 0 (sysctl "
                 "kernel.io_uring_disabled=0)",
                 disabled,
                 disabled == 1 ? "lets only CAP_SYS_ADMIN and kernel.io_uring_group use io_uring"
                               : "forbids io_uring to everybody");
    else
        snprintf(why.text, why.cap,
                 "%s is forbidden (EPERM) though kernel.io_uring_disabled is %s, so a seccomp "
                 "filter, as container runtimes set it, denies it; allow io_uring_setup, "
                 "io_uring_enter and io_uring_register, as configs/seccomp-io_uring.json does",
                 call, disabled == 0 ? "0" : "absent");
}

// Containers that answer ENOSYS are told from kernels without io_uring by the kernel's version.
static void why_absent(const char *call, struct why why)
{
    struct utsname name;
    verify(uname(&name) == 0);
    if (strtoul(name.release, NULL, 10) >= 6)
        snprintf(why.text, why.cap,
                 "%s is absent (ENOSYS) though the kernel is %s: it was built without io_uring, or "
                 "a seccomp filter or a sandbox hides it; a filter has to allow io_uring_setup, "
                 "io_uring_enter and io_uring_register, as configs/seccomp-io_uring.json does",
                 call, name.release);
    else
        snprintf(why.text, why.cap,
                 "%s is absent (ENOSYS) in kernel %s; io_uring needs 5.19, and 6.1 or newer is "
                 "better",
                 call, name.release);
}

static void why_no_memory(const char *call, struct why why)
{
    struct rlimit limit = { 0 };
    verify(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    snprintf(why.text, why.cap,
             "%s had no memory (ENOMEM); the limit of locked memory is %llu KB, and kernels before "
             "5.12 charge rings to it: raise it (ulimit -l, LimitMEMLOCK=)",
             call, (unsigned long long)(limit.rlim_cur / KIB));
}

static void why_invalid(const char *call, struct why why)
{
    struct utsname name;
    verify(uname(&name) == 0);
    snprintf(why.text, why.cap,
             "%s does not know what it was asked for (EINVAL); kernel %s is too old: 5.19 is "
             "needed, and 6.1 or newer is better",
             call, name.release);
}

struct err uring_refused(int sys, const char *call, struct why why)
{
    sys = sys < 0 ? -sys : sys;
    switch (sys) {
    case EPERM: why_forbidden(call, why); break;
    case ENOSYS: why_absent(call, why); break;
    case ENOMEM: why_no_memory(call, why); break;
    case EINVAL: why_invalid(call, why); break;
    case EACCES: // a security module
        snprintf(why.text, why.cap, "%s is denied (EACCES) by a security module, as SELinux", call);
        break;
    default: // a shortage, of descriptors for one: another backend would meet it too
        snprintf(why.text, why.cap, "%s failed: %s", call, strerror(sys));
        return ERR_SYS(SYSTEM, sys);
    }
    return ERR_SYS(RING_UNAVAILABLE, sys);
}

static struct err check_kernel(struct io_uring *ring, struct why why)
{
    for (size_t i = 0; i < ARRAY_LEN(features_needed); i++)
        if ((ring->features & features_needed[i].bit) == 0) {
            snprintf(why.text, why.cap, "the kernel is too old: its io_uring lacks the feature %s",
                     features_needed[i].name);
            return ERR(RING_UNAVAILABLE);
        }
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    if (probe == NULL) // it does not tell why; the usual cause is a filter for this call alone
        return uring_refused(EPERM, "io_uring_register()", why);
    struct err err = OK;
    for (size_t i = 0; i < ARRAY_LEN(ops) && !failed(err); i++)
        if (!io_uring_opcode_supported(probe, ops[i])) {
            snprintf(why.text, why.cap, "the kernel is too old: its io_uring lacks operation %u",
                     ops[i]);
            err = ERR(RING_UNAVAILABLE);
        }
    io_uring_free_probe(probe);
    return err;
}

// One multishot receive of at most `bytes_cap` bytes, or without a cap; how it completes.
static int try_recv(struct io_uring *ring, int fd, uint32_t bytes_cap, uint32_t *flags)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    verify(sqe != NULL);
    io_uring_prep_recv_multishot(sqe, fd, NULL, bytes_cap, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    uring_recv_cap(sqe, bytes_cap);
    struct io_uring_cqe *cqe = NULL;
    struct __kernel_timespec second = { .tv_sec = 1 };
    int ret = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &second, NULL);
    if (ret < 0 || cqe == NULL)
        return -EINVAL;
    ret = cqe->res;
    *flags = cqe->flags;
    io_uring_cqe_seen(ring, cqe);
    return ret;
}

static enum uring_recv probe_on_sockets(struct io_uring *ring, const int fds[2])
{
    enum { SENT = PROBE_BUF_BYTES / 2, CAP = SENT / 2 };
    static const char bytes[SENT];
    uint32_t flags = 0;
    if (write(fds[1], bytes, SENT) != SENT)
        return URING_RECV_ONE;
    int res = try_recv(ring, fds[0], CAP, &flags);
    if (res == CAP && (flags & IORING_CQE_F_MORE) == 0)
        return URING_RECV_CAPPED;
    if (res != -EINVAL)
        return URING_RECV_ONE; // neither of the two kinds that are known
    res = try_recv(ring, fds[0], 0, &flags);
    return res == SENT && (flags & IORING_CQE_F_MORE) != 0 ? URING_RECV_MULTI : URING_RECV_ONE;
}

// One send that neither waits nor tells of success. Its completion, or 1 if there was none.
static int try_quiet(struct io_uring *ring, int fd, const char *bytes, size_t len)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    verify(sqe != NULL);
    io_uring_prep_send(sqe, fd, bytes, len, MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    struct io_uring_cqe *cqe = NULL;
    if (io_uring_submit(ring) != 1)
        return -EINVAL;
    if (io_uring_peek_cqe(ring, &cqe) != 0 || cqe == NULL)
        return 1;
    int ret = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return ret;
}

// Kernels before 6.1 say of a send that came half way that nothing was sent.
static bool probe_quiet_send(struct io_uring *ring)
{
    enum { TOO_MUCH = 256 * KIB, LITTLE = 4 * KIB };
    int fds[2], little = LITTLE;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return false;
    bool works = false;
    char *bytes = mem_take(1, TOO_MUCH);
    if (bytes != NULL && setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)) == 0) {
        bool silent = try_quiet(ring, fds[0], bytes, 1) == 1;
        int part = try_quiet(ring, fds[0], bytes, TOO_MUCH);
        works = silent && part > 1 && part < TOO_MUCH &&
                try_quiet(ring, fds[0], bytes, TOO_MUCH) == -EAGAIN;
    }
    mem_give(bytes);
    verify(close(fds[0]) == 0);
    verify(close(fds[1]) == 0);
    return works;
}

// On a ring of its own, because a disabled one runs nothing and a restricted one not this.
static struct err probe(struct uring_caps *caps, struct why why)
{
    struct io_uring ring;
    struct io_uring_params params = { 0 };
    int ret = init_ring(&ring, PROBE_ENTRIES, &params);
    if (ret < 0)
        return uring_refused(ret, "io_uring_setup()", why);
    struct err err = OK;
    int fds[2] = { -1, -1 };
    size_t len = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        err = ERR_SYS(NO_MEMORY, errno);
        goto out_ring;
    }
    struct io_uring_buf_ring *bufs = (struct io_uring_buf_ring *)(void *)memory;
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)bufs,
        .ring_entries = PROBE_BUFS,
    };
    ret = io_uring_register_buf_ring(&ring, &reg, 0);
    if (ret < 0) {
        err = uring_refused(ret, "io_uring_register()", why);
        goto out_memory;
    }
    for (int i = 0; i < PROBE_BUFS; i++)
        io_uring_buf_ring_add(bufs, memory + len / 2 + (size_t)i * PROBE_BUF_BYTES, PROBE_BUF_BYTES,
                              (unsigned short)i, PROBE_BUFS - 1, i);
    io_uring_buf_ring_advance(bufs, PROBE_BUFS);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        err = ERR_SYS(SYSTEM, errno);
        goto out_memory;
    }
    caps->recv = probe_on_sockets(&ring, fds);
    caps->quiet_send = probe_quiet_send(&ring);
    // The ring goes first: the receive that may still be armed in it writes into the memory.
    uring_exit(&ring);
    verify(close(fds[0]) == 0);
    verify(close(fds[1]) == 0);
    verify(munmap(memory, len) == 0);
    return OK;

out_memory:
    verify(munmap(memory, len) == 0);
out_ring:
    uring_exit(&ring);
    return err;
}

struct err uring_open(struct io_uring *ring, struct uring_caps *caps, uint32_t entries,
                      const struct uring_limits *limits, struct why why)
{
    assert(limits->step < URING_STEPS);
    int ret = -EINVAL;
    *caps = (struct uring_caps){ 0 };
    for (unsigned step = limits->step; step < URING_STEPS && ret == -EINVAL; step++) {
        struct io_uring_params params = {
            .flags = steps[step].flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED,
            .cq_entries = entries * CQ_FACTOR,
        };
        ret = init_ring(ring, entries, &params);
        caps->setup_flags = params.flags;
    }
    if (ret < 0)
        return uring_refused(ret, "io_uring_setup()", why);
    caps->features = ring->features;
    caps->no_iowait = (ring->features & URING_FEAT_NO_IOWAIT) != 0 && !limits->no_iowait_flag;
    struct err err = check_kernel(ring, why);
    if (!failed(err))
        err = probe(caps, why);
    if (failed(err)) {
        uring_exit(ring);
        return err;
    }
    caps->recv -= min_size(limits->recv_less, caps->recv);
    caps->quiet_send = caps->quiet_send && !limits->no_quiet_send;
    return OK;
}

// After this the ring does what `ops` lists and nothing else, whoever comes to write into it.
static bool restrict_ring(struct io_uring *ring)
{
    struct io_uring_restriction list[ARRAY_LEN(ops) + 2] = { 0 };
    unsigned count = 0;
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        list[count++] =
            (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = ops[i] };
    list[count++] = (struct io_uring_restriction){
        .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
        .sqe_flags = IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS,
    };
    // The one registration left: uring_exit() takes the ring's index back.
    list[count++] = (struct io_uring_restriction){
        .opcode = IORING_RESTRICTION_REGISTER_OP,
        .register_op = IORING_UNREGISTER_RING_FDS,
    };
    return io_uring_register_restrictions(ring, list, count) == 0;
}

struct err uring_enable(struct io_uring *ring, struct uring_caps *caps,
                        const struct uring_limits *limits, struct why why)
{
    caps->ring_fd = !limits->no_ring_fd && io_uring_register_ring_fd(ring) == 1;
    caps->restricted = !limits->no_restrictions && restrict_ring(ring);
    int ret = io_uring_enable_rings(ring);
    if (ret < 0)
        return uring_refused(ret, "io_uring_register()", why);
    // An enter that waits for nothing, and fails where its flag is not known.
    struct io_uring_getevents_arg arg = { 0 };
    const unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | URING_ENTER_ABS_TIMER;
    caps->abs_timer =
        !limits->no_abs_timer && io_uring_enter2((unsigned)ring->ring_fd, 0, 0, flags,
                                                 (sigset_t *)(void *)&arg, sizeof(arg)) >= 0;
    return OK;
}
