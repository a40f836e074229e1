// io_check.c - the table of `penstock io check`, for operators and for reports to us.
//
// It makes a ring just as a shard does, so what it prints is what a shard gets.
#include "penstock/base/check.h"
#include "uring.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>

enum { CHECK_URING = 0, CHECK_FALLBACK = 9, CHECK_FAILED = 1 }; // exit statuses

static void row(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%-26s %s\n", name, value);
}

static void yes_or(FILE *out, const char *name, bool is_there, const char *instead)
{
    if (is_there)
        row(out, name, "yes");
    else
        fprintf(out, "%-26s no: %s\n", name, instead);
}

static void limit_row(FILE *out, const char *name, int resource, uint64_t unit,
                      const char *unit_name)
{
    struct rlimit limit;
    verify(getrlimit(resource, &limit) == 0);
    fprintf(out, "%-26s ", name);
    if (limit.rlim_cur == RLIM_INFINITY)
        fprintf(out, "unlimited\n");
    else
        fprintf(out, "%llu%s\n", (unsigned long long)(limit.rlim_cur / unit), unit_name);
}

static void system_rows(FILE *out)
{
    struct utsname name;
    verify(uname(&name) == 0);
    fprintf(out, "%-26s %s %s\n", "kernel", name.release, name.machine);
    row(out, "liburing", PENSTOCK_URING_VERSION ", linked statically");
    static const char *const meanings[] = { "0 (allowed)", "1 (needs CAP_SYS_ADMIN or the group)",
                                            "2 (forbidden to all)" };
    int disabled = uring_sysctl();
    row(out, "kernel.io_uring_disabled",
        disabled < 0 || (size_t)disabled >= ARRAY_LEN(meanings) ? "absent (allowed)"
                                                                : meanings[disabled]);
    limit_row(out, "locked memory", RLIMIT_MEMLOCK, KIB, " KB (matters before kernel 5.12)");
    limit_row(out, "descriptors", RLIMIT_NOFILE, 1, "");
}

static void uring_rows(FILE *out, const struct uring_caps *caps)
{
    uint32_t flags = caps->setup_flags;
    yes_or(out, "SINGLE_ISSUER", flags & IORING_SETUP_SINGLE_ISSUER, "done without (kernel < 6.0)");
    yes_or(out, "DEFER_TASKRUN", flags & IORING_SETUP_DEFER_TASKRUN,
           flags & IORING_SETUP_COOP_TASKRUN ? "COOP_TASKRUN is used (kernel < 6.1)"
                                             : "done without (kernel < 5.19)");
    yes_or(out, "multishot receive", caps->recv >= URING_RECV_MULTI,
           "single receives (kernel < 6.0)");
    yes_or(out, "capped multishot receive", caps->recv >= URING_RECV_CAPPED,
           caps->recv == URING_RECV_MULTI
               ? "single receives below 64 KB, else a cancel (kernel < 6.17)"
               : "single receives (kernel < 6.17)");
    yes_or(out, "restricted operations", caps->restricted, "the ring takes any operation");
    yes_or(out, "registered ring", caps->ring_fd, "enters go by the descriptor");
    yes_or(out, "wait without iowait", caps->no_iowait,
           "idle threads show as iowait (kernel < 6.15)");
    row(out, "wake between rings", "ring message; eventfd from threads without a ring");
}

int io_check(FILE *out)
{
    char why[IO_NOTE_MAX] = "";
    struct io *io = NULL;
    system_rows(out);
    struct err err = io_new(&io, &(struct io_config){ 0 }, env_system(), why, sizeof(why));
    if (failed(err)) {
        row(out, "io_uring", "no");
        row(out, "backend", "none");
        fprintf(out, "%s: %s\n", err_text(err.code), why);
        return CHECK_FAILED;
    }
    bool uring = io_backend(io) == IO_BACKEND_URING;
    row(out, "io_uring", uring ? "yes" : "no");
    if (uring)
        uring_rows(out, uring_caps(io));
    row(out, "backend", io_backend_name(io_backend(io)));
    row(out, "because", uring ? "io_uring works here" : io_note(io));
    io_free(&io);
    return uring ? CHECK_URING : CHECK_FALLBACK;
}
