// What a test decides about the machine below a gateway: a library that is loaded before the C
// library's own calls, driven by a small file that both map. See world.py for its use.
//
// It can let writes and syncs of files fail, move the wall clock, watch or hold up a thread by its
// name, and send questions to name servers to a port of the test's. Everything else goes to the
// kernel as it was asked, and so does everything as long as the file says nothing.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct world {
    _Atomic int32_t write_errno; // 0: as it is
    _Atomic int32_t sync_errno;
    _Atomic int64_t wall_offset_s;
    _Atomic int32_t dns_port; // 0: as it is
    _Atomic int32_t held;     // how often the thread was found to be held up
    _Atomic int32_t failures; // how many calls were failed
    _Atomic int64_t
        busiest_ns;          // the most that `watch` worked from one look at the clock to the next
    _Atomic int32_t drag_ms; // how long each look at the clock takes `drag`
    char drag[16];           // the name of the thread that is slow; empty: none
    char hold[16];           // the name of the thread to hold up; empty: none
    char watch[16];          // the name of the thread to watch; empty: none
    char resolv_conf[256];   // read in place of /etc/resolv.conf; empty: as it is
};

static struct world nothing;
static struct world *_Atomic the_world;

static struct world *world(void)
{
    struct world *known = atomic_load_explicit(&the_world, memory_order_acquire);
    if (known != NULL)
        return known;
    const char *path = getenv("PENSTOCK_TEST_WORLD");
    int fd = path != NULL ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    void *map = MAP_FAILED;
    if (fd >= 0) {
        map = mmap(NULL, sizeof(struct world), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void)syscall(SYS_close, fd);
    }
    known = map != MAP_FAILED ? map : &nothing;
    atomic_store_explicit(&the_world, known, memory_order_release);
    return known;
}

static int is_file(int fd)
{
    struct stat seen;
    return syscall(SYS_fstat, fd, &seen) == 0 && S_ISREG(seen.st_mode);
}

static long failed_with(int error)
{
    world()->failures++;
    errno = error;
    return -1;
}

static int write_fails(int fd)
{
    return world()->write_errno != 0 && is_file(fd) ? world()->write_errno : 0;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    int error = write_fails(fd);
    return error != 0 ? failed_with(error) : syscall(SYS_write, fd, bytes, len);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    int error = write_fails(fd);
    return error != 0 ? failed_with(error) : syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    return pwrite(fd, bytes, len, at);
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
    int error = write_fails(fd);
    return (int)(error != 0 ? failed_with(error) : syscall(SYS_fallocate, fd, mode, at, len));
}

int fsync(int fd)
{
    int error = world()->sync_errno;
    return (int)(error != 0 && is_file(fd) ? failed_with(error) : syscall(SYS_fsync, fd));
}

int fdatasync(int fd)
{
    int error = world()->sync_errno;
    return (int)(error != 0 && is_file(fd) ? failed_with(error) : syscall(SYS_fdatasync, fd));
}

// Its own time, not what the machine takes from it.
static void note_work(struct world *at)
{
    static _Thread_local int64_t before;
    struct timespec now;
    (void)syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &now);
    const int64_t spent = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    if (before != 0 && spent - before > at->busiest_ns)
        at->busiest_ns = spent - before;
    before = spent;
}

static void look_at_thread(void)
{
    struct world *at = world();
    char name[16] = "";
    if ((at->hold[0] == '\0' && at->watch[0] == '\0' && at->drag[0] == '\0') ||
        prctl(PR_GET_NAME, name) != 0)
        return;
    if (strcmp(name, at->watch) == 0)
        note_work(at);
    if (strcmp(name, at->drag) == 0) {
        const struct timespec pause = { .tv_nsec = at->drag_ms * 1000000L };
        (void)syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    if (strcmp(name, at->hold) != 0)
        return;
    at->held++;
    while (strcmp(name, at->hold) == 0) {
        const struct timespec pause = { .tv_nsec = 2000000 };
        (void)syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
    }
}

// Every thread of the gateway looks at the clock in each of its turns, which is where it is watched
// and held up.
int clock_gettime(clockid_t clock, struct timespec *out)
{
    static int (*_Atomic kernels)(clockid_t, struct timespec *);
    if (kernels == NULL)
        kernels = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    look_at_thread();
    int result = kernels(clock, out);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        out->tv_sec += world()->wall_offset_s;
    return result;
}

// Name servers: 127.0.0.1 in a file of ours, at a port that a test may open.
FILE *fopen(const char *path, const char *mode)
{
    static FILE *(*_Atomic next)(const char *, const char *);
    if (next == NULL)
        next = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen");
    const char *instead = world()->resolv_conf;
    return next(instead[0] != '\0' && strcmp(path, "/etc/resolv.conf") == 0 ? instead : path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    return fopen(path, mode);
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sockaddr_in to;
    int port = world()->dns_port;
    if (port != 0 && len == sizeof(to) && addr->sa_family == AF_INET) {
        memcpy(&to, addr, sizeof(to));
        if (to.sin_port == htons(53))
            to.sin_port = htons((uint16_t)port);
        addr = (const struct sockaddr *)&to;
    }
    return (int)syscall(SYS_connect, fd, addr, len);
}
