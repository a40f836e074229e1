#include "sock.h"

#include "penstock/base/check.h"
#include "penstock/io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool set_one(int fd, int level, int option)
{
    int one = 1;
    return setsockopt(fd, level, option, &one, sizeof(one)) == 0;
}

static int make(int family, int flags)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        return -errno;
    if (family != AF_UNIX)
        verify(set_one(fd, IPPROTO_TCP, TCP_NODELAY));
    return fd;
}

int sock_make(int family)
{
    return make(family, SOCK_NONBLOCK);
}

int sock_make_blocking(int family)
{
    return make(family, 0);
}

void sock_block(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    verify(flags >= 0);
    verify(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0);
}

struct err sock_listen(const struct sockaddr *addr, socklen_t len, int backlog, int *fd_out)
{
    int fd = sock_make(addr->sa_family);
    if (fd < 0)
        return ERR_SYS(SYSTEM, fd);
    // Newer kernels refuse SO_REUSEPORT on Unix sockets, where it never meant anything. The file
    // gets the socket's own mode, so there is no moment in which others could connect.
    bool shared = addr->sa_family == AF_UNIX ? fchmod(fd, S_IRUSR | S_IWUSR) == 0
                                             : (set_one(fd, SOL_SOCKET, SO_REUSEADDR) &&
                                                set_one(fd, SOL_SOCKET, SO_REUSEPORT));
    if (!shared || bind(fd, addr, len) < 0 || listen(fd, backlog) < 0) {
        struct err err = ERR_SYS(SYSTEM, errno);
        verify(close(fd) == 0);
        return err;
    }
    *fd_out = fd;
    return OK;
}

static struct err path_free(const struct sockaddr_un *addr)
{
    struct stat file;
    if (lstat(addr->sun_path, &file) != 0)
        return errno == ENOENT ? OK : ERR_SYS(SYSTEM, errno);
    if (!S_ISSOCK(file.st_mode))
        return ERR_SYS(SYSTEM, EEXIST);
    const int fd = sock_make(AF_UNIX);
    if (fd < 0)
        return ERR_SYS(SYSTEM, -fd);
    const bool answers = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ||
                         errno == EAGAIN || errno == EINPROGRESS;
    verify(close(fd) == 0);
    if (answers)
        return ERR_SYS(SYSTEM, EADDRINUSE);
    return unlink(addr->sun_path) == 0 ? OK : ERR_SYS(SYSTEM, errno);
}

struct err io_address_free(const struct sockaddr *addr, socklen_t len)
{
    if (addr->sa_family == AF_UNIX)
        return path_free((const struct sockaddr_un *)(const void *)addr);
    int fd = sock_make(addr->sa_family);
    if (fd < 0)
        return ERR_SYS(SYSTEM, fd);
    bool is_free = set_one(fd, SOL_SOCKET, SO_REUSEADDR) && bind(fd, addr, len) == 0;
    struct err err = is_free ? OK : ERR_SYS(SYSTEM, errno);
    verify(close(fd) == 0);
    return err;
}

// A signal is as good a reason to try later as any.
static int now_result(ssize_t count)
{
    if (count >= 0)
        return (int)count;
    return errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
}

int sock_recv_now(struct io *io, int fd, void *into, size_t len)
{
    (void)io;
    return now_result(sock_recv_call(fd, into, len));
}

int sock_send_now(struct io *io, int fd, const struct iovec *iov, uint32_t count)
{
    (void)io;
    return now_result(sock_send_call(fd, iov, count));
}

// Advice: a Unix socket has no acknowledgements, and a lost connection tells of itself.
void sock_ack_late(int fd)
{
    const int quick = 0;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &quick, sizeof(quick));
}

bool sock_acks_late(int fd)
{
    int quick = 1;
    socklen_t len = sizeof(quick);
    return getsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &quick, &len) == 0 && quick == 0;
}

void sock_discard(int fd)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)); // Unix has no RST
}

void sock_close(int fd, bool reset)
{
    if (reset)
        sock_discard(fd);
    // Other errors than this one say that the kernel could not deliver; the descriptor is gone.
    verify(close(fd) == 0 || errno != EBADF);
}
