// sim_world.h - what the files of the simulated network share; private to src/io.
//
// sim.c       the world: clock, events, dice, trace, descriptors
// sim_net.c   connections and listeners: how bytes, FIN and RST travel
// sim_io.c    the backend: operations and their completions
// sim_peer.c  what a test moves: peers, vendors, foreign descriptors
//
// A connection is two ends and two pipes. pipe[i] carries bytes to end[i]. What was put into a pipe
// arrives by events; what arrived is got by its reader. An end belongs to a descriptor of the
// product, to a peer, or, while it waits to be accepted, to a listener's queue.
#ifndef PENSTOCK_IO_SIM_WORLD_H
#define PENSTOCK_IO_SIM_WORLD_H

#include "backend.h"
#include "penstock/base/check.h"
#include "penstock/io/sim.h"

#include <errno.h>

enum {
    SIM_FD_FIRST = 1000, // so that a real descriptor among them is noticed
    SIM_FDS = 65536,
    SIM_BACKLOG_MAX = 4096,
};

enum sim_event_kind {
    EV_ARRIVE,    // bytes of a pipe, up to position `arg`
    EV_FIN,       // the end of a pipe's bytes
    EV_RST,       // at an end
    EV_SYN,       // of a connection, at the listener
    EV_CONNECTED, // at the end that dialled
    EV_REFUSED,   // at the end that dialled
    EV_LOOK,      // an operation is to be looked at
    EV_CANCEL,    // a late cancel of an operation
    EV_WAKE,      // a late wake of an io
    EV_CALL,      // a test's own
};

struct sim_event {
    uint64_t at_ns;
    uint64_t order; // of two at the same time the one made first comes first
    enum sim_event_kind kind;
    void *subject;
    uint64_t arg;
    sim_call_fn *call;
};

struct sim_pipe {
    char *bytes; // positions `got` to `put`, from `start` on
    size_t start, alloc;
    uint32_t cap;
    uint64_t put, arrived, got; // positions in the stream
    uint64_t last_ns;           // nothing arrives before what was sent earlier
    bool fin_put, fin_arrived;
    bool dead; // what is on its way is lost
};

struct sim_end {
    struct sim_conn *conn;
    struct sim_file *file; // of the product
    struct sim_peer *peer; // of a test
    bool open;             // its owner has not closed it
    bool connecting;
    bool refused;
    bool dead;     // no bytes go either way any more
    int error;     // told once, to whoever asks first
    uint8_t index; // in its connection
};

struct sim_conn {
    struct sim *sim;
    struct sim_end end[2]; // [0] dialled
    struct sim_pipe pipe[2];
    uint64_t latency_ns;
    struct sockaddr_storage addr; // where end[0] dialled
    socklen_t addr_len;
    unsigned events;  // that will come; the connection stays until they did
    struct list link; // in the world
    struct list wait; // in a listener's queue
};

struct sim_listener {
    struct sim *sim;
    struct sim_file *file; // of the product; NULL for a vendor
    struct sockaddr_storage addr;
    socklen_t addr_len;
    bool blackhole;
    struct list queue; // of connections to be accepted
    unsigned queued, backlog;
    struct list link; // in the world
    sim_call_fn *on_event;
    void *on_event_arg;
    struct list notify;
};

enum sim_file_kind { FILE_LISTENER, FILE_STREAM, FILE_FOREIGN };

struct sim_file {
    int fd;
    enum sim_file_kind kind;
    struct sim_listener *listener;
    struct sim_end *end;
    uint32_t ready; // FILE_FOREIGN
    struct sim_op *in, *out;
    struct list polls; // of sim_op.poll_link
};

// One operation in flight. It outlives the caller's until its events have come.
struct sim_op {
    struct io_op *op; // NULL once its last completion was told
    struct sim_io *io;
    struct sim_file *file; // NULL once closed
    unsigned events;
    bool ready;      // in sim_io.ready
    bool late;       // an EV_LOOK is under way
    bool cancelling; // an EV_CANCEL is under way
    bool ended;      // its last completion is in the queue
    bool parked;
    uint32_t wanted; // IO_POLL: events
    uint32_t sent;
    uint32_t taken;   // IO_RECV: of its credit, and not told yet
    uint64_t sum;     // IO_SEND: of the caller's bytes
    struct list link; // ready or parked
    struct list poll_link;
};

struct sim_cqe {
    struct sim_op *op;
    struct io_done done;
    struct list link;
};

struct sim_io {
    struct io io;
    struct sim *sim;
    unsigned index;
    struct list ready; // operations to be looked at
    struct list cqes;  // completions to be told
    struct list parked[BUF_CLASS_COUNT];
    unsigned in_flight;
    bool wake_due, woken;
    bool refilled;
    bool closed; // a descriptor, since the last turn
    bool held;   // the last turn left ends of lazy sends for the end of its wait
    bool idle;   // the last turn found nothing and may be followed by a jump to `until_ns`
    uint64_t until_ns;
    struct list link; // in the world
};

// Nothing is there to tell but the ends of lazy sends.
bool sim_io_only_lazy(const struct sim_io *io);

struct sim_peer {
    struct sim *sim;
    struct sim_end *end;
    sim_call_fn *on_event;
    void *on_event_arg;
    struct list notify; // in the world, while on_event() is due
    struct list link;   // in the world
};

struct sim {
    struct env_fake *env;
    struct env_fake dice; // apart from the product's random numbers
    struct sim_profile profile;
    struct sim_event *heap;
    size_t heap_count, heap_alloc;
    uint64_t order;
    uint64_t trace;
    struct _IO_FILE *trace_out;
    struct sim_file *files[SIM_FDS];
    int fd_low; // no lower number is free
    unsigned fd_count;
    uint16_t port; // given last
    unsigned io_count;
    struct list ios, conns, listeners, peers;
    struct list notify_peers, notify_listeners;
};

// sim.c

void *sim_alloc(size_t size); // zeroed
void sim_note(struct sim *sim, const char *what, int64_t a, int64_t b, int64_t c);
uint64_t sim_now(const struct sim *sim);
uint64_t sim_between(struct sim *sim, uint64_t min, uint64_t max);
void sim_schedule(struct sim *sim, uint64_t at_ns, enum sim_event_kind kind, void *subject,
                  uint64_t arg);
struct sim_file *sim_file_new(struct sim *sim, enum sim_file_kind kind); // NULL: the table is full
void sim_file_free(struct sim *sim, struct sim_file *file);
struct sim_file *sim_file_at(const struct sim *sim, int fd); // asserts that it is open

// sim_net.c

struct sim_conn *sim_conn_new(struct sim *sim, const struct sockaddr *addr, socklen_t len);
void sim_conn_syn(struct sim_conn *conn);     // end[0] dials
void sim_conn_release(struct sim_conn *conn); // frees it when nobody needs it
void sim_net_event(struct sim *sim, const struct sim_event *event);
struct sim_listener *sim_listener_new(struct sim *sim, const struct sockaddr *addr, socklen_t len);
void sim_listener_free(struct sim_listener *listener);
struct sim_end *sim_listener_pop(struct sim_listener *listener); // NULL if none waits

static inline struct sim_pipe *end_rx(struct sim_end *end)
{
    return &end->conn->pipe[end->index];
}
static inline struct sim_pipe *end_tx(struct sim_end *end)
{
    return &end->conn->pipe[1 - end->index];
}
static inline struct sim_end *end_far(struct sim_end *end)
{
    return &end->conn->end[1 - end->index];
}
size_t sim_pipe_readable(const struct sim_pipe *pipe);
size_t sim_end_room(const struct sim_end *end);
size_t sim_end_read(struct sim_end *end, void *into, size_t cap);
size_t sim_end_write(struct sim_end *end, const void *bytes, size_t len);
void sim_end_shutdown(struct sim_end *end);
void sim_end_close(struct sim_end *end, bool reset);

// sim_io.c

void sim_file_touch(struct sim_file *file);   // something about it changed
void sim_file_abandon(struct sim_file *file); // foreign, and closed by its owner
void sim_io_event(struct sim *sim, const struct sim_event *event);
void sim_op_release(struct sim_op *op);

// sim_peer.c

void sim_peer_touch(struct sim_peer *peer);
void sim_listener_touch(struct sim_listener *listener);

#endif
