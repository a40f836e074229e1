// server.h - the server's side of HTTP/1: listeners, client connections, requests and their
// answers.
//
// A `server` is one listener of one thread. Each accepted connection is a `serve`, which parses
// heads, collects bodies and frames answers; each request on it is a `stream`, the only thing an
// application sees, so that an application does not know how requests are framed. One stream a
// connection is open at a time; what a client pipelines waits in its receive queue.
//
// The application's on_request() is called with a complete, valid head. It sets stream->owner, the
// task that is woken from then on (body complete, client gone, send queue low), and must end every
// stream exactly once by stream_finish() or stream_abort(). An answer may begin before the body was
// read; the rest of the body is then drained within bounds and the connection closed.
#ifndef PENSTOCK_HTTP_SERVER_H
#define PENSTOCK_HTTP_SERVER_H

#include "penstock/codec/http1_known.h"
#include "penstock/codec/http1_write.h"
#include "penstock/net/body.h"
#include "penstock/net/conn.h"
#include "penstock/net/door.h"
#include "penstock/net/peers.h"

struct certs;
struct server;
struct serve;
struct stream;

enum {
    LINGER_BYTES = 1 * MIB,
    SERVE_OVER_MAX = 8,     // connections above an address's limit that are told so
    SERVE_SILENT_SHARE = 8, // the part of the places for which kept connections make room
};

// Connections on which nothing is under way make room for new ones when there is no place left.
enum idle_kind {
    IDLE_SILENT, // never sent a byte
    IDLE_KEPT,   // after an answer
    IDLE_KIND_COUNT
};
#define LINGER_NS (UINT64_C(2) * NS_PER_S)
#define SERVE_OVER_NS (UINT64_C(2) * NS_PER_S) // for the request that is refused

struct server_limits {
    uint32_t head_bytes;              // of a request head
    uint32_t connections;             // of this server; above it accepting pauses
    uint32_t per_address;             // connections of one address over all threads; 0: no limit
    uint32_t requests_per_connection; // 0: no limit
    uint64_t head_ns;                 // for a whole head, from its first byte
    uint64_t handshake_ns;            // of TLS
    uint64_t idle_ns;                 // between requests
    uint64_t stall_ns;                // of a body without a new byte
    uint64_t write_stall_ns;          // of a client that does not read
};

struct http_app {
    void (*on_request)(struct http_app *app, struct stream *stream, const struct http_head *head);
    // Answers, in the form that fits `target` (empty if it was not understood), a request that HTTP
    // itself refuses; must end the stream before it returns. NULL: plain text.
    void (*on_refused)(struct http_app *app, struct stream *stream, struct span target,
                       struct err err);
};

enum stream_client {
    CLIENT_HERE,
    CLIENT_HALF, // sent FIN: it may still read, or be gone
    CLIENT_GONE, // reset, or a send failed
};

enum body_state { BODY_NONE, BODY_COLLECTING, BODY_COMPLETE, BODY_FAILED };

// How the body of an answer is delimited.
enum reply_framing { REPLY_LENGTH, REPLY_STREAM };

struct stream {
    struct task *owner;
    enum http_method method;
    enum http_framing framing; // of the request body
    uint8_t minor;
    uint8_t body_state; // enum body_state
    uint8_t client;     // enum stream_client
    bool expect_continue;
    bool replied;   // a final head was sent
    bool chunked;   // the answer is framed in chunks
    bool no_body;   // the answer has no body, whatever is said (HEAD, 204, 304)
    bool no_length; // nor a length
    bool stalled;   // the client stopped reading for longer than the limit
    bool torn;      // a part of the answer found no memory: nothing can follow it
    bool ended;
    uint8_t rechecks; // whether a client that sent FIN has reset the connection since
    struct err body_err;
    uint64_t body_left;  // of a body with a length, what is still to come
    uint64_t reply_left; // of an answer with a length
    size_t body_max;
    struct chunked dec;
    struct buf *body_buf;  // keeps `body`; NULL for an empty one
    struct body *body_big; // the same keeper while it may grow
    struct span body;
    uint64_t started_ns;
    uint64_t sent; // bytes of answer bodies, framing apart
};

struct serve {
    struct server *server;
    struct conn *conn;
    struct task task;
    struct timer timer;     // of the state; left armed where the next one arms it anew, so that a
                            // deadline pushed on costs a store
    struct timer app_timer; // of stream_wake_at(), the same
    struct list link;
    struct list idle; // among those that may be idle, the oldest first
    uint64_t idle_ns; // since when
    uint8_t state;
    bool is_silent; // listed as IDLE_SILENT
    bool keep_alive;
    bool has_stream;
    bool watched;     // the timer watches that the client takes the answer
    bool flushed;     // lingering: the kernel has taken all that was queued
    bool is_counted;  // among the connections of its address
    bool is_over;     // above the limit of its address: told so with its first request
    struct peer peer; // once somebody asked
    uint8_t changes;  // of the head in a row
    uint32_t requests;
    uint32_t lingered;
    uint32_t large_bytes;  // of the last body, if it did not fit a buffer: what to expect
    struct http_scan scan; // of the head that is arriving
    uint64_t since_ns;     // of the phase that the timer watches
    uint64_t progress;     // bytes seen when the timer last looked
    uint64_t progress_ns;  // when they were last seen to grow
    struct stream stream;
    struct http_known *known; // the head that came last; NULL: not kept
};

struct server {
    struct net *net;
    struct http_app *app;
    struct certs *certs; // NULL: plaintext
    struct tls_ctx *tls; // of this thread, of generation:
    uint32_t certs_generation;
    struct peers *peers; // NULL: addresses are not counted
    struct doors *doors; // of the threads that this listener is shared with; NULL: it is alone
    uint32_t door_idx, door_listener; // its thread's place there, and its own name
    struct list parked; // connections that the kernel handed over when there was no place for them
    struct slab parked_slab;
    struct list idle[IDLE_KIND_COUNT]; // by the time of their last activity
    uint32_t silent_count;
    uint32_t leaving; // connections whose places come free at the end of the turn
    struct task room; // makes room for who is parked
    uint64_t evicted[IDLE_KIND_COUNT];
    struct server_limits limits;
    struct io_op accept;
    struct timer accept_retry;
    int fd;
    int spare_fd; // given up for a moment when descriptors are exhausted
    bool draining;
    bool stopped;
    bool paused;
    uint32_t count;
    uint64_t accepted, requests;
    uint64_t passed; // connections that another thread got
    uint64_t errors; // requests that HTTP itself refused
    struct list serves;
    struct slab slab;
    struct http_known_table known; // heads that came before
    struct http_head head;         // of the request being parsed; valid only during on_request()
};

// Opens the listener and starts accepting; without an address it has only the connections that
// server_take() brings. `server` stays until server_is_idle() after server_stop().
must_use struct err server_open(struct server *server, struct net *net, struct http_app *app,
                                const struct server_limits *limits, const struct sockaddr *addr,
                                socklen_t len);
// From now on this listener speaks TLS. Before its first turn.
void server_secure(struct server *server, struct certs *certs);
// From now on connections are counted by address, together with those of other servers.
static inline void server_share(struct server *server, struct peers *peers)
{
    server->peers = peers;
}
// From now on fresh connections may go to the same listener of another thread, which takes what
// lies at its own door by server_take(). `idx` is this thread's door, `listener` this one's name
// there.
static inline void server_spread(struct server *server, struct doors *doors, uint32_t idx,
                                 uint32_t listener)
{
    server->doors = doors;
    server->door_idx = idx;
    server->door_listener = listener;
}
// A connection that another thread accepted.
void server_take(struct server *server, int fd);
// Other limits from now on; `connections` stays as it was.
void server_limit(struct server *server, const struct server_limits *limits);
// Stops accepting, closes idle connections, and lets running requests end with `Connection: close`.
void server_drain(struct server *server);
// Closes everything at once.
void server_stop(struct server *server);
static inline bool server_is_idle(const struct server *server)
{
    return server->count == 0 && !server->accept.in_flight && list_is_empty(&server->parked);
}
void server_fini(struct server *server);

// --- a request ---

static inline struct serve *stream_serve(struct stream *stream)
{
    return container_of(stream, struct serve, stream);
}

// The client's address, asked for once a connection.
const struct peer *stream_peer(struct stream *stream);

// Only during on_request(): HTTP_KNOWN_ROOM bytes that the application may use as it likes, kept
// with this head and shared by all connections that send the same; zeros when it is new, wiped with
// it. NULL: this head is not kept.
static inline void *stream_head_room(struct stream *stream)
{
    struct http_known *known = stream_serve(stream)->known;
    return known != NULL ? known->room : NULL;
}

// Collects the body, up to `max` bytes, into contiguous memory and wakes the owner when body_state
// is BODY_COMPLETE
// (`stream->body`, kept until the stream ends) or BODY_FAILED (`stream->body_err`). Sends
// 100-continue when the client waits for it. May complete before it returns; the owner is woken all
// the same.
void stream_collect(struct stream *stream, size_t max);
// Puts `len` bytes in `body`, whose reference it takes over, in place of a collected body.
void stream_body_replace(struct stream *stream, struct body *body, size_t len);
// Lets go of the body before the end of the stream.
void stream_body_drop(struct stream *stream);

// Wakes the owner at `at_ns`; a second call takes the place of the first. The owner may be woken
// for the deadline of an earlier stream, and looks at the clock.
void stream_wake_at(struct stream *stream, uint64_t at_ns);

// --- its answer ---

// Begins the head of an answer; add fields by http_put_field() (not those of framing or
// connection), then end it. `length` counts with REPLY_LENGTH. False: no memory, the stream must be
// aborted.
must_use bool stream_reply(struct stream *stream, int status, struct put *out);
must_use bool stream_reply_end(struct stream *stream, struct put *out, enum reply_framing framing,
                               uint64_t length);
// One piece of the body. False: no buffer is left.
must_use bool stream_send(struct stream *stream, struct buf *buf, const char *ptr, size_t len);
must_use bool stream_send_copy(struct stream *stream, struct span bytes);
// Bytes queued and not yet taken by the kernel.
static inline size_t stream_queued(struct stream *stream)
{
    return stream_serve(stream)->conn->tx_len;
}
// Wakes the owner when no more than `low` bytes are queued.
void stream_notify(struct stream *stream, uint32_t low);

// A whole small answer, copied. Ends the stream.
void stream_answer(struct stream *stream, int status, struct span content_type, struct span fields,
                   struct span body);

// Ends an answer properly.
void stream_finish(struct stream *stream);
// Ends it visibly short: whatever was sent cannot be mistaken for a whole answer.
void stream_abort(struct stream *stream, enum conn_why why);

#endif
