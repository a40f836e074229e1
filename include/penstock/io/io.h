// io.h - one thread's asynchronous sockets, on io_uring, on epoll, or simulated.
//
// The caller embeds a `struct io_op` in its own object and starts it; the loop later calls
// on_done() once or, for a multishot operation, several times until a completion without IO_MORE.
// Between start and that last call the operation is *in flight* (`op.in_flight`): the object must
// stay where it is. No function here calls on_done() before it returns; only io_turn() does. An
// operation that is in flight must not be started again. One send at a time on a socket, one
// receive at a time.
//
// Everything is done by the owning thread, with the single exception of io_wake(), and on
// descriptors that come from the same io (io_poll() and io_release() apart). Results are
// as the kernel's: bytes or a descriptor >= 0, or a negative errno. -ECANCELED says that
// io_cancel() or io_close() came first. Data that arrived before a cancel took effect is still
// delivered.
#ifndef PENSTOCK_IO_IO_H
#define PENSTOCK_IO_IO_H

#include "penstock/base/env.h"
#include "penstock/base/err.h"
#include "penstock/base/list.h"
#include "penstock/io/buf.h"

#include <sys/socket.h>
#include <sys/uio.h>

struct io;
struct io_op;

enum io_kind {
    IO_IDLE,
    IO_ACCEPT,    // multishot
    IO_RECV,      // multishot, into pool buffers, capped by a credit
    IO_RECV_INTO, // once, into the caller's memory
    IO_SEND,      // once
    IO_CONNECT,   // once
    IO_POLL,      // once
};

enum { IO_MORE = 1 }; // flags of a completion: further ones will follow

struct io_done {
    int32_t res;
    uint32_t flags;
    struct buf *buf; // IO_RECV with res > 0: `res` bytes from its start; the handler now owns it
};

typedef void io_done_fn(struct io_op *op, struct io_done done);

// Zero it, set on_done, and leave the rest to the backend.
struct io_op {
    io_done_fn *on_done;
    bool in_flight;
    uint8_t kind;  // enum io_kind
    uint8_t cls;   // IO_RECV: enum buf_class
    uint8_t state; // the backend's own
    int fd;
    uint32_t credit; // IO_RECV: bytes that may still be told
    bool lazy;       // IO_SEND: by io_send_lazy()
    union {          // the backend's own
        struct {
            const struct iovec *iov;
            uint32_t count, sum; // of segments, of their bytes
        };
        struct {
            char *into;
            size_t into_len;
        };
        struct {
            struct buf *held;
            uint32_t held_len;
        };
    };
    int32_t res;      // the backend's own
    uint32_t mark;    // the backend's own: a turn, or a place in its queue
    void *kept;       // the backend's own: memory that it needs until the end
    struct list link; // the backend's own; list_init() is not needed
};

enum { IO_SEGMENTS_MAX = 8 }; // segments of one send

enum io_backend { IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_EPOLL, IO_BACKEND_SIM };

struct io_config {
    enum io_backend backend; // AUTO: io_uring where it works, else epoll
    uint32_t entries;        // submission queue entries, a power of two; 0: the default (1024)
    uint32_t spin_us; // busy poll this long after the last completion before sleeping; 0: never
    uint32_t bufs_small, bufs_large; // 0: the defaults (32768 and 4096)
};

// What a backend counts, for metrics; monotonic except where said.
struct io_stats {
    uint64_t syscalls; // of the loop itself: enters, waits, sends, receives
    uint64_t completions;
    uint64_t no_buffers; // a receive found its class empty
    uint64_t overflows;  // completions that did not fit the queue
};

// Receives at least this large run as one multishot on kernels that cannot cap one (6.0 to 6.16):
// only there may they deliver more than their credit, by what was queued when it was used up.
// Smaller ones are re-armed one by one, and exact.
enum { IO_CREDIT_FULL = 64 * KIB, IO_CREDIT_MAX = INT32_MAX };

// Must be called by the thread that will call io_turn(). On failure `why` (cap bytes) names the
// cause and the remedy for an operator.
must_use struct err io_new(struct io **out, const struct io_config *config, struct env *env,
                           char *why, size_t cap);
// Nothing may be in flight.
void io_free(struct io **io);

enum io_backend io_backend(const struct io *io);
const char *io_backend_name(enum io_backend backend); // "uring", "epoll", "sim"
// One line for the log of the start: what was chosen and why.
const char *io_note(const struct io *io);
struct bufpool *io_bufs(struct io *io);
const struct io_stats *io_stats(const struct io *io);

// Whether another process listens at the address: sharing a port among shards hides that, and the
// kernel would hand each process a part of the connections. Fails with EADDRINUSE, or with whatever
// else forbids the address. The file of a Unix socket that nobody answers at is left from a killed
// process and removed; any other file is EEXIST. Synchronous.
must_use struct err io_address_free(const struct sockaddr *addr, socklen_t len);

// A listening socket with SO_REUSEPORT, SO_REUSEADDR and TCP_NODELAY (inherited by what it
// accepts). AF_UNIX addresses are bound as given, for their owner alone (mode 0600); the caller
// unlinks. Synchronous.
must_use struct err io_listen(struct io *io, const struct sockaddr *addr, socklen_t len,
                              int backlog, int *fd_out);

// Every completion is a connection, until one without IO_MORE. That may be a connection too: the
// caller starts the operation again. After -EMFILE and the like connections wait in the backlog,
// and the backend may take a moment before it tries again, so that starting at once does not spin.
void io_accept(struct io *io, struct io_op *op, int listener);
// Delivers up to `credit` bytes in buffers of class `cls`; the last of them come without IO_MORE.
// Otherwise it ends with res 0, the peer's FIN, or an error, -ECANCELED among them. Where the pool
// is empty the operation waits for buffers by itself.
void io_recv(struct io *io, struct io_op *op, int fd, enum buf_class cls, uint32_t credit);
// Lets a receive in flight deliver `credit` bytes from now on, if that is more than it may: what it
// has delivered is not held any more. One that has used up its credit ends all the same.
static inline void io_recv_raise(struct io_op *op, uint32_t credit)
{
    if (op->credit > 0 && op->credit < credit)
        op->credit = credit;
}
// At least one and up to `len` bytes into `into`; res 0 is the peer's FIN.
void io_recv_into(struct io *io, struct io_op *op, int fd, void *into, size_t len);
// Sends all segments, of which there are 1 to IO_SEGMENTS_MAX; `iov` and the bytes stay valid until
// the end. `res` may be short of the sum when the connection fails on the way.
void io_send(struct io *io, struct io_op *op, int fd, const struct iovec *iov, uint32_t count);
// The same for who need not know soon that it has ended: that alone does not end a wait, so
// on_done() may come only when a turn has something else to tell, or its time is over. A failure is
// told at once. Costs less where the bytes find room in the socket.
void io_send_lazy(struct io *io, struct io_op *op, int fd, const struct iovec *iov, uint32_t count);
// Opens a TCP or AF_UNIX socket with TCP_NODELAY and connects it; `res` is the new descriptor.
// `addr` stays valid until the end. A cancelled or failed connect leaves no descriptor behind.
void io_connect(struct io *io, struct io_op *op, const struct sockaddr *addr, socklen_t len);
// Waits for poll(2) events on a foreign descriptor; `res` is the events. Its owner cancels before
// closing it.
void io_poll(struct io *io, struct io_op *op, int fd, uint32_t events);

// The same at once, without an operation: what is there, or what fits. Bytes, 0 for the peer's FIN,
// or a negative errno, -EAGAIN where nothing can be done now. No receive, or send, may be in flight
// on `fd`. Each is a system call of its own, and pays where many bytes are worked on in the same
// moment: they are still in the cache.
must_use int io_recv_now(struct io *io, int fd, void *into, size_t len);
must_use int io_send_now(struct io *io, int fd, const struct iovec *iov, uint32_t count);

// Asks that `op`, if in flight, end soon. Its last completion still comes, whatever its result.
void io_cancel(struct io *io, struct io_op *op);
// Half-closes the sending side: the peer sees FIN after everything sent. No send may be in flight.
// Synchronous.
void io_shutdown(struct io *io, int fd);
// Whether the connection has ended both ways. A peer's FIN hides the RST behind it: receives go on
// to tell of the FIN, so this asks the socket itself, by a system call of its own.
bool io_has_hung_up(struct io *io, int fd);
// Whether bytes, an end or an error wait at the socket that no receive has told of, by a system
// call of its own. Nothing ever waits at a simulated one without its receive being told.
bool io_has_input(struct io *io, int fd);
// Small pieces will come at short intervals and nothing goes back, as in a stream of events: the
// kernel may acknowledge two together, instead of each with a segment of its own as soon as it is
// read (tcp(7), TCP_QUICKACK). It does so until nothing came for as long as an acknowledgement may
// be delayed, some 40 ms; a peer that sends no small piece before the last one is acknowledged
// (Nagle's algorithm) is held up once. io_acks_late() tells whether it still does. By a system call
// each.
void io_ack_late(struct io *io, int fd);
bool io_acks_late(struct io *io, int fd);
// The address at the other end, by a system call of its own; false if there is none any more. All
// simulated peers are on the same machine.
must_use bool io_peer(struct io *io, int fd, struct sockaddr_storage *out);
// Forgets a connection that io_accept() gave and on which nothing was started yet: another io of
// the same backend may use it from then on.
void io_release(struct io *io, int fd);
// Ends every operation on `fd` and closes it; the peer sees FIN even while a receive is armed. With
// `reset` the peer sees RST instead and unsent data is discarded. The caller forgets `fd` at once;
// the operations' last completions still come.
void io_close(struct io *io, int fd, bool reset);

// Makes `io` return from its wait and call on_wake() on its own thread, once per burst of calls.
// From any thread; `from` is the caller's own io, whose next turn hands the wake over, or NULL
// where it has none. Nobody may wake an io that is being freed.
void io_wake(struct io *io, struct io *from);
void io_on_wake(struct io *io, void (*on_wake)(void *arg), void *arg);

// Calls on_woke() in every turn, after the wait and before the first on_done(): the moment to read
// the clocks of the turn.
void io_on_woke(struct io *io, void (*on_woke)(void *arg), void *arg);

// One turn: hands over everything started since the last one, waits until something completes or
// the monotonic time `until_ns` (0: does not wait, UINT64_MAX: no limit), and calls on_done() for
// at most IO_TURN_MAX completions. Returns how many; it may return early with none.
enum { IO_TURN_MAX = 512 };
unsigned io_turn(struct io *io, uint64_t until_ns);

// Prints the table of `penstock io check` to `out`: what this kernel offers, what is used, and why.
struct _IO_FILE;
int io_check(struct _IO_FILE *out);

#endif
