// sim.h - a network that exists only in memory, on a clock that moves only when told: for tests.
//
// A world holds several `struct io`, one for each simulated thread, and the far ends that a test
// moves: peers that dial the product's listeners, and vendors that it connects to. Everything runs
// on one real thread. What goes wrong, and when, follows from the seed of the env_fake and from a
// profile; two runs from one seed are equal, and sim_trace() proves it.
//
// A driver does, until it is satisfied:
//
//     for each io: io_turn() or loop_turn(), with any deadline: it never waits
//     sim_step()
//
// sim_step() lets a moment pass while some io has work, and otherwise jumps to the next event or to
// the earliest deadline that an io was turned with.
//
// Addresses are ordinary ones, and meet when family, port and address agree; a listener on the
// wildcard address takes any of its port. Descriptors come from the world's own table, lowest
// number first, so that numbers come back as quickly as they do in life. The world asserts what
// io.h asks of its callers: no operation on a closed descriptor, no second receive, no second
// close, and bytes that do not change while they are being sent.
#ifndef PENSTOCK_IO_SIM_H
#define PENSTOCK_IO_SIM_H

#include "penstock/base/env.h"
#include "penstock/io/io.h"

#include <sys/socket.h>

struct sim;
struct sim_peer;
struct sim_listener;

// What the world does to its inhabitants. Chances are in 1/1000 for each occasion.
struct sim_profile {
    uint64_t latency_ns_min, latency_ns_max; // of a connection's either way, drawn once for each
    uint64_t jitter_ns_max;                  // on top, for each segment
    uint64_t turn_ns_max;                    // time that a busy turn takes
    uint64_t delay_ns_max;                   // of what is drawn to be late
    uint64_t stall_ns_max;                   // of a connection that is drawn to stall
    uint32_t buf_bytes_min, buf_bytes_max;   // that one direction of a connection holds
    uint32_t fd_max;                         // descriptors the product may have open

    // These change when and in which pieces things happen, within what io.h allows.
    uint16_t split;        // what is sent arrives in two pieces
    uint16_t short_io;     // an operation takes or gives fewer bytes than it could
    uint16_t delay;        // an operation notices late what it waits for
    uint16_t stall;        // a segment, and all behind it, is held back
    uint16_t shuffle;      // a completion overtakes those of other operations
    uint16_t few;          // a turn tells of a few completions only
    uint16_t starve;       // a receive finds its class empty for a while
    uint16_t early_end;    // a multishot ends before its time
    uint16_t cancel_late;  // a cancel takes effect after a while
    uint16_t cancel_loses; // what can complete does so before the cancel
    uint16_t wake_late;    // a wake is seen after a while

    // These change what happens.
    uint16_t reset;        // a segment's arrival kills its connection, both sides see RST
    uint16_t drop_unread;  // an RST takes along what had arrived and was not read
    uint16_t refuse, hang; // a connect is refused, or never answered
    uint16_t accept_error; // accepting ends with an error
};

extern const struct sim_profile sim_calm;    // no faults, a microsecond's latency
extern const struct sim_profile sim_rough;   // order and pieces, but nothing is lost
extern const struct sim_profile sim_hostile; // and resets, refusals, errors

// `env` is the clock and the seed; it stays the caller's, and only the world advances it.
must_use struct err sim_new(struct sim **out, struct env_fake *env,
                            const struct sim_profile *profile);
// Every io must be freed; peers and listeners go along.
void sim_free(struct sim **sim);

// The profile in force; a test may change it at any time.
struct sim_profile *sim_profile(struct sim *sim);

// `config` as for io_new(); its backend is IO_BACKEND_SIM. io_free() ends it.
must_use struct err sim_io_new(struct sim *sim, const struct io_config *config, struct io **out);

// Lets time pass, but not beyond `until_ns`. False when nothing can happen any more before that.
bool sim_step(struct sim *sim, uint64_t until_ns);

// What has happened so far, as one number; equal for equal runs.
uint64_t sim_trace(const struct sim *sim);
// Also writes each event as a line. NULL ends it.
void sim_trace_to(struct sim *sim, struct _IO_FILE *out);

// True when the product has left nothing: no descriptor open, no operation in flight, no buffer
// out. Otherwise the first thing found is named in `why`.
bool sim_is_clean(const struct sim *sim, char *why, size_t cap);
unsigned sim_fds(const struct sim *sim); // open descriptors of the product

// Dice for drivers and actors, from the world's seed: below `count`, and true in `permille`/1000.
uint64_t sim_below(struct sim *sim, uint64_t count);
bool sim_chance(struct sim *sim, unsigned permille);

// Calls `call` from sim_step() after `ns`.
typedef void sim_call_fn(void *arg);
void sim_after(struct sim *sim, uint64_t ns, sim_call_fn *call, void *arg);

// --- peers: the far end of one connection

enum sim_state {
    SIM_CONNECTING, // sim_dial() is not answered yet
    SIM_OPEN,
    SIM_REFUSED, // nobody listens there
    SIM_RESET,   // by the product, or by a fault
};

// Dials a listener of the product.
struct sim_peer *sim_dial(struct sim *sim, const struct sockaddr *addr, socklen_t len);
enum sim_state sim_state(const struct sim_peer *peer);

// Calls on_event() from sim_step() when the peer's state changed, bytes or FIN arrived, or there is
// room to write again. It may do anything with this and any other peer.
void sim_on_event(struct sim_peer *peer, sim_call_fn *on_event, void *arg);

// Bytes taken, which are fewer when the connection holds as many as it can; 0 in other states.
size_t sim_write(struct sim_peer *peer, const void *bytes, size_t len);
size_t sim_room(const struct sim_peer *peer); // what sim_write() would take
// Bytes given out; 0 when none have come.
size_t sim_read(struct sim_peer *peer, void *into, size_t cap);
size_t sim_pending(const struct sim_peer *peer); // what sim_read() would give
bool sim_at_end(const struct sim_peer *peer);    // the product's FIN came, and all was read

// Half-closes: the product reads FIN after everything written.
void sim_shutdown(struct sim_peer *peer);
// Closes both ways; as in life an RST follows when something was unread, or comes later. Takes the
// peer.
void sim_close(struct sim_peer **peer);
// Sends RST, and what is on its way is lost. Takes the peer.
void sim_reset(struct sim_peer **peer);

// --- vendors: listeners that the product connects to

struct sim_listener *sim_listen(struct sim *sim, const struct sockaddr *addr, socklen_t len);
// One that never answers.
struct sim_listener *sim_blackhole(struct sim *sim, const struct sockaddr *addr, socklen_t len);
// The oldest connection that was made and not accepted, or NULL.
struct sim_peer *sim_accept(struct sim_listener *listener);
// Calls on_event() from sim_step() when a connection can be accepted.
void sim_on_accept(struct sim_listener *listener, sim_call_fn *on_event, void *arg);
// Connections that were not accepted are reset.
void sim_unlisten(struct sim_listener **listener);
// The address of a listener, which tells the port where 0 was asked for. sim_listen()'s, or the
// product's by its descriptor.
socklen_t sim_listener_addr(const struct sim_listener *listener, struct sockaddr_storage *out);
socklen_t sim_fd_addr(const struct sim *sim, int fd, struct sockaddr_storage *out);

// --- foreign descriptors, for io_poll()

int sim_foreign(struct sim *sim);
void sim_foreign_set(struct sim *sim, int fd, uint32_t events); // what poll(2) would say
void sim_foreign_close(struct sim *sim, int fd);

#endif
