// Whether there is a ring, what it may do, and the reasons that an operator reads when there is
// none.
#include "uring_rig.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int try_raw(struct io_uring *ring, uint8_t opcode)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    verify(sqe != NULL);
    *sqe = (struct io_uring_sqe){ .opcode = opcode, .fd = -1, .user_data = 12345 };
    struct io_uring_cqe *cqe = NULL;
    verify(io_uring_submit_and_wait(ring, 1) >= 0);
    verify(io_uring_peek_cqe(ring, &cqe) == 0);
    EXPECT_EQ(cqe->user_data, 12345);
    int res = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return res;
}

static void test_a_ring_is_restricted_to_our_operations(void)
{
    struct rig rig;
    rig_open(&rig, &variants[0], (struct io_config){ 0 });
    struct io_uring *ring = &rig_uring(&rig)->ring;
    io_turn(rig.io, 0);
    EXPECT_EQ(try_raw(ring, IORING_OP_OPENAT), -EACCES);
    EXPECT_EQ(try_raw(ring, IORING_OP_READ), -EACCES);
    EXPECT_EQ(try_raw(ring, IORING_OP_SPLICE), -EACCES);
    EXPECT_EQ(try_raw(ring, IORING_OP_RECV), -EBADF);
    EXPECT_EQ(io_uring_register_eventfd(ring, rig_uring(&rig)->eventfd), -EACCES);
    rig_close(&rig);
    rig_open(&rig, &variants[4], (struct io_config){ 0 });
    ring = &rig_uring(&rig)->ring;
    io_turn(rig.io, 0);
    EXPECT_EQ(try_raw(ring, IORING_OP_READ), -EBADF); // the check above can fail
    rig_close(&rig);
}

// From here on this process's calls `first` to 427 answer `error`.
static void forbid_io_uring(uint32_t first, uint32_t error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 427, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = ARRAY_LEN(code), .filter = code };
    verify(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    verify(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

// Runs `body` in a child that may not use io_uring; its failures are ours.
static void without_io_uring(uint32_t first, uint32_t error, void (*body)(void))
{
    fflush(NULL);
    pid_t child = fork();
    verify(child >= 0);
    if (child == 0) {
        test_failures = 0;
        forbid_io_uring(first, error);
        body();
        fflush(NULL);
        _exit(test_failures == 0 ? 0 : 1);
    }
    int status = 0;
    verify(waitpid(child, &status, 0) == child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// AUTO falls back and its note holds every word; URING itself fails with the same.
static void expect_fallback(const char *const *words, size_t count)
{
    struct env *env = env_system();
    char why[IO_NOTE_MAX];
    struct io *io = NULL;
    struct err err = io_new(&io, &(struct io_config){ 0 }, env, why, sizeof(why));
    EXPECT(!failed(err));
    if (failed(err))
        return;
    EXPECT_EQ(io_backend(io), IO_BACKEND_EPOLL);
    const char *note = io_note(io);
    EXPECT(strchr(note, '\n') == NULL);
    for (size_t i = 0; i < count; i++) {
        EXPECT(strstr(note, words[i]) != NULL);
        if (strstr(note, words[i]) == NULL)
            fprintf(stderr, "no \"%s\" in: %s\n", words[i], note);
    }
    io_free(&io);
    err = io_new(&io, &(struct io_config){ .backend = IO_BACKEND_URING }, env, why, sizeof(why));
    EXPECT(failed(err));
    EXPECT(io == NULL);
    EXPECT_EQ(err.code, ERR_RING_UNAVAILABLE);
    for (size_t i = 1; i < count; i++)
        EXPECT(strstr(why, words[i]) != NULL);
}

static void body_eperm(void)
{
    static const char *const words[] = {
        "epoll",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "EPERM",
        "seccomp",
        "configs/seccomp-io_uring.json",
        "kernel.io_uring_disabled",
    };
    expect_fallback(words, ARRAY_LEN(words));
}

static void body_enosys(void)
{
    static const char *const words[] = { "epoll", "ENOSYS", "seccomp", "io_uring_setup" };
    expect_fallback(words, ARRAY_LEN(words));
}

static void body_enomem(void)
{
    static const char *const words[] = { "epoll", "ENOMEM", "locked memory", "ulimit -l" };
    expect_fallback(words, ARRAY_LEN(words));
}

static void body_einval(void)
{
    static const char *const words[] = { "epoll", "EINVAL", "5.19" };
    expect_fallback(words, ARRAY_LEN(words));
}

static void body_eacces(void)
{
    static const char *const words[] = { "epoll", "EACCES", "security module" };
    expect_fallback(words, ARRAY_LEN(words));
}

static void body_register(void)
{
    static const char *const words[] = { "epoll", "io_uring_register() is forbidden", "seccomp" };
    expect_fallback(words, ARRAY_LEN(words));
}

// A shortage is no reason to fall back: epoll would meet it too, and the operator has to know.
static void body_emfile(void)
{
    char why[IO_NOTE_MAX];
    struct io *io = NULL;
    struct err err = io_new(&io, &(struct io_config){ 0 }, env_system(), why, sizeof(why));
    EXPECT(failed(err));
    EXPECT_EQ(err.sys, EMFILE);
    EXPECT(strstr(why, "Too many open files") != NULL);
}

static void test_reasons_are_named(void)
{
    without_io_uring(425, EPERM, body_eperm);
    without_io_uring(425, ENOSYS, body_enosys);
    without_io_uring(425, ENOMEM, body_enomem);
    without_io_uring(425, EINVAL, body_einval);
    without_io_uring(425, EACCES, body_eacces);
    without_io_uring(427, EPERM, body_register);
    without_io_uring(425, EMFILE, body_emfile);
}

// What no backend names itself has the error's own text.
static void test_a_lack_of_memory_is_named(void)
{
    struct rlimit limit;
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    verify(file != NULL);
    verify(fscanf(file, "%lu", &pages) == 1);
    verify(fclose(file) == 0);
    char why[IO_NOTE_MAX];
    struct io *io = NULL;
    verify(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + 64 * MIB; // the pool needs 640
    fflush(NULL);
    pid_t child = fork();
    verify(child >= 0);
    if (child == 0) {
        verify(setrlimit(RLIMIT_AS, &limit) == 0);
        struct io_config config = { .bufs_small = 32768, .bufs_large = 32768 };
        struct err err = io_new(&io, &config, env_system(), why, sizeof(why));
        _exit(err.code == ERR_NO_MEMORY && io == NULL && strstr(why, "out of memory") != NULL ? 0
                                                                                              : 1);
    }
    int status = 0;
    verify(waitpid(child, &status, 0) == child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static char table[8192];

static int check_into_table(void)
{
    memset(table, 0, sizeof(table));
    FILE *out = fmemopen(table, sizeof(table) - 1, "w");
    verify(out != NULL);
    int status = io_check(out);
    verify(fclose(out) == 0);
    return status;
}

static void body_check(void)
{
    EXPECT_EQ(check_into_table(), 9);
    EXPECT(strstr(table, "io_uring                   no\n") != NULL);
    EXPECT(strstr(table, "backend                    epoll\n") != NULL);
    EXPECT(strstr(table, "configs/seccomp-io_uring.json") != NULL);
}

static void test_the_check_tells_what_is_used(void)
{
    EXPECT_EQ(check_into_table(), 0);
    static const char *const rows[] = { "kernel ",
                                        "liburing ",
                                        "kernel.io_uring_disabled ",
                                        "locked memory ",
                                        "SINGLE_ISSUER ",
                                        "DEFER_TASKRUN ",
                                        "multishot receive ",
                                        "capped multishot receive ",
                                        "restricted operations ",
                                        "backend                    uring" };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        EXPECT(strstr(table, rows[i]) != NULL);
    const char *version = strstr(table, "liburing ");
    EXPECT(version != NULL && strncmp(version + strcspn(version, "0123456789"), "2.", 2) == 0);
    without_io_uring(425, EPERM, body_check);
}

TEST_MAIN(TEST(test_a_ring_is_restricted_to_our_operations), TEST(test_reasons_are_named),
          TEST(test_a_lack_of_memory_is_named), TEST(test_the_check_tells_what_is_used))
