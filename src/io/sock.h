// sock.h - sockets as the backends want them; private to src/io. All of it is synchronous.
#ifndef PENSTOCK_IO_SOCK_H
#define PENSTOCK_IO_SOCK_H

#include "penstock/base/err.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct io;

// What io_listen() promises; the socket does not block.
must_use struct err sock_listen(const struct sockaddr *addr, socklen_t len, int backlog,
                                int *fd_out);

// A stream socket that does not block, with TCP_NODELAY where that means something; or a negative
// errno.
must_use int sock_make(int family);

// The same, but it blocks: io_uring waits for such a socket and fails at once on the other kind.
must_use int sock_make_blocking(int family);
void sock_block(int fd);

// recv(2) and sendmsg(2) that neither block nor raise a signal. The C library's own are points of
// cancellation, which a process with threads pays for in each call, though none of ours is ever
// cancelled.
static inline ssize_t sock_recv_call(int fd, void *into, size_t len)
{
    return syscall(SYS_recvfrom, fd, into, len, MSG_DONTWAIT, NULL, NULL);
}
static inline ssize_t sock_send_call(int fd, const struct iovec *iov, size_t count)
{
    const struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count };
    return syscall(SYS_sendmsg, fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// io_recv_now() and io_send_now() of the backends that have real sockets.
must_use int sock_recv_now(struct io *io, int fd, void *into, size_t len);
must_use int sock_send_now(struct io *io, int fd, const struct iovec *iov, uint32_t count);

// io_ack_late() and io_acks_late() of the same.
void sock_ack_late(int fd);
must_use bool sock_acks_late(int fd);

// A later close sends RST instead of FIN and discards what is unsent.
void sock_discard(int fd);
// Closes with FIN, or with RST and without what is unsent.
void sock_close(int fd, bool reset);

#endif
