// Listener and the life of a client connection: head, application, drain or next head.
#include "penstock/http/server.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/secret.h"
#include "penstock/net/certs.h"
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

// PARKED_MAX: connections that the kernel may still hand over when accepting was told to pause.
// PIPELINE_QUEUE_MAX: of answers that a client did not take yet when its next request is looked at.
// HEAD_CHANGES_MAX: in a row, until a connection's heads are only parsed.
enum {
    BACKLOG = 4096,
    PARKED_MAX = 2 * BACKLOG,
    PIPELINE_QUEUE_MAX = 16 * KIB,
    HEAD_CHANGES_MAX = 8,
};

// A connection that waits here as it would in the kernel's backlog.
struct parked {
    struct list link;
    int fd;
};

static void on_accept(struct io_op *op, struct io_done done);
static void serve_run(struct task *task);
static void serve_timeout(struct timer *timer);
static void serve_app_timeout(struct timer *timer);
static void serve_depart(struct serve *serve, enum conn_why why);
static void serve_open(struct server *server, int fd);
static int unpark(struct server *server);

// --- the listener ---

static bool has_place(const struct server *server)
{
    const struct slab *conns = &server->net->conns;
    return server->count < server->limits.connections && conns->count_out < conns->count_max;
}

static void accept_start(struct server *server)
{
    while (!list_is_empty(&server->parked) && has_place(server))
        serve_open(server, unpark(server));
    // Without a place the next one is accepted all the same: it shows that room has to be made.
    if (server->accept.in_flight || server->fd < 0 || !list_is_empty(&server->parked))
        return;
    server->paused = false;
    io_accept(server->net->io, &server->accept, server->fd);
}

void accept_later(struct server *server, uint64_t at_ns)
{
    timer_arm(&server->net->loop->wheel, &server->accept_retry, at_ns);
}

static void accept_retry(struct server *server)
{
    accept_later(server, server->net->loop->now_ns + ACCEPT_RETRY_NS);
}

static void on_accept_retry(struct timer *timer)
{
    struct server *server = container_of(timer, struct server, accept_retry);
    accept_start(
        server); // places that the thread's other connections take come back without a sign
    if (!list_is_empty(&server->parked))
        loop_ready(server->net->loop, &server->room);
}

// This thread has so many connections more, for the others to see.
static void add_load(struct server *server, int32_t delta)
{
    if (server->doors != NULL)
        door_load(&server->doors->door[server->door_idx], delta);
}

// One that was accepted before the pause took effect waits for its place.
static void park(struct server *server, int fd)
{
    struct parked *parked = slab_take(&server->parked_slab);
    if (parked == NULL) {
        io_close(server->net->io, fd, true);
        return;
    }
    add_load(server, 1);
    parked->fd = fd;
    list_init(&parked->link);
    list_push_back(&server->parked, &parked->link);
    loop_ready(server->net->loop, &server->room);
}

static int unpark(struct server *server)
{
    struct parked *parked = container_of(server->parked.next, struct parked, link);
    const int fd = parked->fd;
    add_load(server, -1);
    list_take(&parked->link);
    slab_give(&server->parked_slab, parked);
    return fd;
}

struct err server_open(struct server *server, struct net *net, struct http_app *app,
                       const struct server_limits *limits, const struct sockaddr *addr,
                       socklen_t len)
{
    memset(server, 0, sizeof(*server));
    server->net = net;
    server->app = app;
    server->limits = *limits;
    server->accept.on_done = on_accept;
    server->accept_retry.on_fire = on_accept_retry;
    list_init(&server->serves);
    list_init(&server->parked);
    room_init(server);
    slab_init(&server->slab, sizeof(struct serve), limits->connections);
    slab_init(&server->parked_slab, sizeof(struct parked), PARKED_MAX);
    server->fd = server->spare_fd = -1;
    TRY(http_known_init(&server->known));
    struct err err = addr != NULL ? io_listen(net->io, addr, len, BACKLOG, &server->fd) : OK;
    if (failed(err)) {
        http_known_fini(&server->known);
        return err;
    }
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    accept_start(server);
    return OK;
}

static void on_bury(struct task *task)
{
    struct serve *serve = container_of(task, struct serve, task);
    struct server *server = serve->server;
    slab_give(&server->slab, serve);
    server->count--;
    server->leaving--;
    add_load(server, -1);
    if (server->paused || !list_is_empty(&server->parked))
        accept_start(server);
}

static void serve_free(struct serve *serve)
{
    struct loop *loop = serve->server->net->loop;
    // The connection let go of its owner in conn_close(), the timer is stopped, no stream is open:
    // nothing reaches the object any more, except an application that is just ending its stream. So
    // it is freed at the end of the turn.
    assert(serve->conn == NULL && !serve->has_stream);
    timer_stop(&loop->wheel, &serve->timer);
    timer_stop(&loop->wheel, &serve->app_timer);
    list_take(&serve->link);
    room_speak(serve);
    list_take(&serve->idle);
    serve->server->leaving++;
    if (serve->is_counted)
        peers_leave(serve->server->peers, &serve->peer);
    http_known_put(&serve->server->known, &serve->known);
    serve->task.run = on_bury;
    loop_bury(loop, &serve->task);
}

void serve_close(struct serve *serve, enum conn_why why, bool reset)
{
    conn_close(&serve->conn, why, reset);
    serve_free(serve);
}

void server_secure(struct server *server, struct certs *certs)
{
    assert(server->count == 0);
    server->certs = certs;
}

void server_limit(struct server *server, const struct server_limits *limits)
{
    const uint32_t connections = server->limits.connections; // the slabs were made for it
    server->limits = *limits;
    server->limits.connections = connections;
}

// Puts TLS on a fresh connection, with the newest certificates.
static bool secure(struct server *server, struct conn *conn)
{
    uint32_t generation = certs_generation(server->certs);
    if (server->tls == NULL || server->certs_generation != generation) {
        struct tls_ctx *tls;
        struct err err = certs_context(server->certs, server->net->loop->env,
                                       server->limits.connections, &tls, &generation);
        if (failed(err))
            return false;
        if (server->tls != NULL)
            tls_ctx_put(&server->tls); // its sessions keep it
        server->tls = tls;
        server->certs_generation = generation;
    }
    return conn_tls_accept(conn, server->tls);
}

// Counts the connection with those of its address. False: there are so many that one more is not
// even worth an answer.
static bool count_in(struct serve *serve, int fd)
{
    struct server *server = serve->server;
    const uint32_t max = server->limits.per_address;
    struct sockaddr_storage addr;
    if (max == 0 || server->peers == NULL)
        return true;
    if (!io_peer(server->net->io, fd, &addr))
        return false; // gone already
    uint32_t rank;
    serve->peer = peer_of((const struct sockaddr *)&addr);
    const bool entered = peers_enter(server->peers, &serve->peer, max + SERVE_OVER_MAX, &rank);
    serve->is_counted = entered && rank > 0;
    serve->is_over = entered && rank > max;
    if (!entered || serve->is_over)
        peers_refuse(server->peers);
    return entered;
}

// There is a place for it.
static void serve_open(struct server *server, int fd)
{
    struct serve *serve = slab_take(&server->slab);
    if (serve == NULL) { // no memory
        io_close(server->net->io, fd, true);
        return;
    }
    memset(serve, 0, sizeof(*serve));
    serve->server = server;
    if (!count_in(serve, fd)) {
        slab_give(&server->slab, serve);
        io_close(server->net->io, fd, true);
        return;
    }
    serve->timer.on_fire = serve_timeout;
    serve->app_timer.on_fire = serve_app_timeout;
    task_init(&serve->task, serve_run);
    serve->conn = conn_accept(server->net, fd, &serve->task);
    if (serve->conn == NULL) {
        if (serve->is_counted)
            peers_leave(server->peers, &serve->peer);
        slab_give(&server->slab, serve);
        return;
    }
    list_push_back(&server->serves, &serve->link);
    list_init(&serve->idle);
    serve->is_silent = true;
    server->silent_count++;
    server->count++;
    add_load(server, 1);
    server->accepted++;
    if (server->certs != NULL && !secure(server, serve->conn)) {
        serve_close(serve, WHY_TLS, false);
        return;
    }
    serve_await_head(serve);
    if (server->certs != NULL && server->limits.handshake_ns != 0)
        serve_arm(serve,
                  server->limits.handshake_ns); // the head's own time counts from its first byte
    if (serve->is_over)
        serve_arm(serve, SERVE_OVER_NS);
}

// One waiting connection, or -1 at once. The listener blocks, as a ring wants it, so it is asked
// first.
static int accept_now(struct server *server)
{
    struct pollfd waiting = { .fd = server->fd, .events = POLLIN };
    if (poll(&waiting, 1, 0) != 1)
        return -1;
    bool blocking = io_backend(server->net->io) == IO_BACKEND_URING;
    return accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK));
}

// Out of descriptors: gives up the spare one to take a waiting connection and close it, so that its
// client learns at once; then waits a little, because descriptors come back only when something
// else ends.
static void shed_one(struct server *server)
{
    if (server->spare_fd >= 0) {
        close(server->spare_fd);
        int fd = accept_now(server);
        if (fd >= 0)
            close(fd);
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    accept_retry(server);
}

// One that has just come.
static void settle(struct server *server, int fd)
{
    if (has_place(server) && list_is_empty(&server->parked))
        serve_open(server, fd);
    else
        park(server, fd);
}

// Nothing was read of it yet: another thread may get it.
static bool pass_on(struct server *server, int fd)
{
    const uint32_t cap = has_place(server) ? 0 : server->limits.connections;
    const bool passed = server->doors != NULL &&
                        doors_pass(server->doors, server->door_idx, cap, server->door_listener, fd);
    server->passed += passed;
    return passed;
}

void pass_parked(struct server *server)
{
    while (!list_is_empty(&server->parked)) {
        const struct parked *first = container_of(server->parked.next, struct parked, link);
        if (!pass_on(server, first->fd))
            return;
        (void)unpark(server);
    }
}

void server_take(struct server *server, int fd)
{
    // Who came before the end began is served, as who waits at the listener is.
    if (server->stopped)
        io_close(server->net->io, fd, false);
    else
        settle(server, fd);
}

static void on_accept(struct io_op *op, struct io_done done)
{
    struct server *server = container_of(op, struct server, accept);
    if (done.res >= 0) {
        if (server->draining)
            io_close(server->net->io, done.res, false);
        else if (!pass_on(server, done.res))
            settle(server, done.res);
    }
    if (!list_is_empty(&server->parked) && !server->paused) {
        server->paused = true;
        io_cancel(server->net->io, op);
    }
    if (done.flags & IO_MORE)
        return;
    if (server->draining)
        return;
    if (done.res == -EMFILE || done.res == -ENFILE)
        shed_one(server);
    else
        accept_start(server);
}

// Connections that the kernel has completed for this listener would be reset by its end.
static void accept_rest(struct server *server)
{
    for (uint32_t i = 0; i < BACKLOG; i++) {
        int fd = accept_now(server);
        if (fd < 0)
            return;
        settle(server, fd);
    }
}

void server_drain(struct server *server)
{
    if (server->draining)
        return;
    timer_stop(&server->net->loop->wheel, &server->accept_retry);
    if (server->fd >= 0 && io_backend(server->net->io) != IO_BACKEND_SIM)
        accept_rest(server);
    server->draining = true;
    if (!list_is_empty(&server->parked))
        accept_retry(server);
    // Other listeners share the port by SO_REUSEPORT: as long as this one is open, the kernel
    // sends it connections.
    if (server->fd >= 0)
        io_close(server->net->io, server->fd, false);
    server->fd = -1;
    struct list *next;
    for (struct list *at = server->serves.next; at != &server->serves; at = next) {
        next = at->next;
        struct serve *serve = container_of(at, struct serve, link);
        serve->keep_alive = false;
        // A request that is already on its way gets its answer.
        if (serve->state == SERVE_HEAD && serve->conn->rx_len == 0 && serve->requests > 0)
            serve_depart(serve, WHY_SHUTDOWN);
    }
}

void server_stop(struct server *server)
{
    server_drain(server);
    server->stopped = true;
    timer_stop(&server->net->loop->wheel, &server->accept_retry);
    task_cancel(&server->room);
    while (!list_is_empty(&server->parked))
        io_close(server->net->io, unpark(server), false);
    struct list *next;
    for (struct list *at = server->serves.next; at != &server->serves; at = next) {
        next = at->next;
        struct serve *serve = container_of(at, struct serve, link);
        if (serve->has_stream) {
            serve->stream.client = CLIENT_GONE;
            if (serve->stream.owner != NULL)
                loop_ready(server->net->loop, serve->stream.owner);
        } else {
            serve_close(serve, WHY_SHUTDOWN, false);
        }
    }
}

void server_fini(struct server *server)
{
    assert(server_is_idle(server));
    timer_stop(&server->net->loop->wheel, &server->accept_retry);
    task_cancel(&server->room);
    if (server->fd >= 0)
        io_close(server->net->io, server->fd, false);
    if (server->spare_fd >= 0)
        close(server->spare_fd);
    server->fd = server->spare_fd = -1;
    if (server->tls != NULL)
        tls_ctx_put(&server->tls);
    http_known_fini(&server->known);
    slab_fini(&server->slab);
    slab_fini(&server->parked_slab);
}

// --- a connection ---

void serve_arm(struct serve *serve, uint64_t ns)
{
    struct loop *loop = serve->server->net->loop;
    timer_arm(&loop->wheel, &serve->timer, loop->now_ns + ns);
}

void serve_await_head(struct serve *serve)
{
    struct server *server = serve->server;
    serve->state = SERVE_HEAD;
    serve->scan = (struct http_scan){ 0 };
    serve->since_ns = 0;
    serve->progress = serve->conn->tx_bytes;
    serve_allow_head(serve);
    room_enter(serve);
    if (serve->conn->rx_len > 0)
        loop_ready(server->net->loop, &serve->task); // pipelined: one request a turn
    serve_arm(serve, serve->requests == 0 ? server->limits.head_ns : server->limits.idle_ns);
}

// HTTP itself refuses: answers in the application's form and closes.
static void refuse(struct serve *serve, struct err err)
{
    struct server *server = serve->server;
    server->errors++;
    struct stream *stream = &serve->stream;
    memset(stream, 0, sizeof(*stream));
    serve->has_stream = true;
    serve->keep_alive = false;
    serve->state = SERVE_STREAM;
    stream->minor = 1;
    stream->method = HTTP_OTHER;
    stream->framing = HTTP_UNTIL_CLOSE; // what follows is not a request
    if (server->app->on_refused != NULL) {
        server->app->on_refused(server->app, stream, server->head.target, err);
        return;
    }
    struct span text = span_str(err_text(err.code));
    stream_answer(stream, err_status(err.code), SPAN("text/plain; charset=utf-8"), SPAN_NONE, text);
}

static void begin_stream(struct serve *serve, const struct http_head *head)
{
    struct server *server = serve->server;
    struct stream *stream = &serve->stream;
    memset(stream, 0, sizeof(*stream));
    stream->method = head->method;
    stream->minor = head->minor;
    stream->framing = head->framing;
    stream->body_left = head->framing == HTTP_LENGTH ? head->content_length : 0;
    stream->expect_continue = head->expect_continue;
    stream->started_ns = server->net->loop->now_ns;
    serve->has_stream = true;
    serve->state = SERVE_STREAM;
    serve->requests++;
    server->requests++;
    uint32_t most = server->limits.requests_per_connection;
    serve->keep_alive =
        head->keep_alive && !server->draining && (most == 0 || serve->requests < most);
    serve->watched = false;
    server->app->on_request(server->app, stream, head);
}

// A client that sends requests and does not read the answers: the queue for it may not grow.
static bool is_behind(const struct serve *serve)
{
    const struct conn *conn = serve->conn;
    return conn->tx_len > PIPELINE_QUEUE_MAX && !conn->tx_failed && conn->rx_state != RX_FAILED &&
           GUARD(SERVE_BEHIND);
}

// Refers to this head from now on, unless it is the connection's first, which may stay the only
// one, or its heads keep changing.
static void know_head(struct serve *serve, struct span text)
{
    struct server *server = serve->server;
    http_known_put(&server->known, &serve->known);
    if (serve->requests > 0 && serve->changes < HEAD_CHANGES_MAX) {
        serve->changes++;
        serve->known = http_known_get(&server->known, text, &server->head);
    }
}

static enum parse head_parse(struct serve *serve, struct span bytes, const struct http_head **head,
                             size_t *used, struct err *err)
{
    struct server *server = serve->server;
    const size_t most = server->limits.head_bytes;
    if (serve->known != NULL && http_known_match(serve->known, bytes, most, used)) {
        serve->changes = 0;
        *head = &serve->known->head;
        return PARSE_DONE;
    }
    server->head.target = SPAN_NONE;
    if (!http_scan_ready(&serve->scan, bytes, most))
        return PARSE_MORE;
    enum parse parse = http_request_parse(&server->head, bytes, most, used, err);
    if (parse == PARSE_DONE)
        know_head(serve, span_upto(bytes, *used));
    return parse;
}

// The rest of a head: it may be as long as its limit, so that much must fit, and its time counts
// from the first byte.
static void head_wait(struct serve *serve)
{
    struct server *server = serve->server;
    conn_rx_allow(serve->conn, server->limits.head_bytes + CONN_RX_HEAD, BUF_SMALL);
    if (serve->since_ns == 0) {
        serve->since_ns = server->net->loop->now_ns;
        serve_arm(serve, server->limits.head_ns);
    }
}

static void serve_head(struct serve *serve)
{
    struct server *server = serve->server;
    struct conn *conn = serve->conn;
    if (conn->rx_len == 0) {
        if (conn->rx_state != RX_OPEN)
            serve_depart(serve, WHY_PEER);
        else // a receive that made way for a body's own may have ended only behind that body
            conn_rx_allow(conn, conn->rx_limit, (enum buf_class)conn->rx_cls);
        return;
    }
    room_speak(serve);
    if (is_behind(serve)) { // the next request waits until earlier answers were taken
        serve->progress = conn->tx_bytes;
        serve_arm(serve, server->limits.write_stall_ns);
        conn_tx_notify(conn, PIPELINE_QUEUE_MAX);
        return;
    }
    struct span bytes = conn_rx_peek(conn, min_size(conn->rx_len, NET_SCRATCH));
    const struct http_head *head = &server->head;
    size_t used = 0;
    struct err err = OK;
    switch (head_parse(serve, bytes, &head, &used, &err)) {
    case PARSE_MORE:
        if (conn->rx_state != RX_OPEN)
            serve_depart(serve, WHY_PEER);
        else
            head_wait(serve);
        return;
    case PARSE_DONE: break;
    case PARSE_DATA: bug("a head has no pieces");
    case PARSE_BAD: refuse(serve, err); return;
    }
    if (unlikely(serve->is_over)) {
        refuse(serve, ERR(ADDRESS_LIMIT));
        return;
    }
    // The spans point into the receive queue or the scratch memory: the buffer is kept while the
    // application reads them. What comes next is not received before it is known where it belongs.
    struct buf *keep = buf_get(conn_rx_buf(conn));
    conn_rx_allow(conn, 0, BUF_SMALL);
    conn_rx_consume(conn, used);
    begin_stream(serve, head);
    buf_put(keep);
    if (serve->conn != NULL && serve->stream.body_state == BODY_NONE && serve->has_stream)
        serve_allow_head(serve); // nobody asked for a body
}

// Closing a socket with unread bytes would reset it and could destroy the answer on its way, and so
// would closing before the kernel has taken all of it: half-closes behind what is queued, reads
// within bounds what still comes, then closes.
void serve_leave(struct serve *serve)
{
    struct conn *conn = serve->conn;
    conn_tx_finish(conn);
    serve->state = SERVE_LINGER;
    serve->flushed = false;
    serve->progress = conn->tx_bytes;
    conn_rx_allow(conn, CONN_RX_LIMIT, BUF_LARGE);
    serve_arm(serve, serve->server->limits.write_stall_ns);
    conn_tx_notify(conn, 0);
    loop_ready(serve->server->net->loop, &serve->task);
}

static void serve_linger(struct serve *serve)
{
    struct conn *conn = serve->conn;
    uint32_t len = conn->rx_len;
    serve->lingered += len;
    conn_rx_consume(conn, len);
    bool unsent = conn->tx_len > 0;
    if (conn->rx_state == RX_FAILED || conn->tx_failed ||
        (serve->lingered > LINGER_BYTES && GUARD(SERVE_LINGER))) {
        serve_close(serve, WHY_DONE, unsent); // a cut must not look like the end
    } else if (!unsent && conn->rx_state == RX_EOF) {
        serve_close(serve, WHY_DONE, false);
    } else if (!unsent && !serve->flushed) {
        serve->flushed = true;
        serve_arm(serve, LINGER_NS);
    }
}

static void serve_linger_timeout(struct serve *serve)
{
    struct conn *conn = serve->conn;
    bool unsent = conn->tx_len > 0;
    if (unsent && conn->tx_bytes != serve->progress) {
        serve->progress = conn->tx_bytes; // slow, but it reads
        serve_arm(serve, serve->server->limits.write_stall_ns);
    } else {
        serve_close(serve, unsent ? WHY_STALLED : WHY_TIMEOUT, unsent);
    }
}

// Nothing more is to be read; what was answered may still be on its way.
static void serve_depart(struct serve *serve, enum conn_why why)
{
    if (serve->conn->tx_len > 0 && !serve->conn->tx_failed && serve->conn->rx_state != RX_FAILED)
        serve_leave(serve);
    else
        serve_close(serve, why, false);
}

static void serve_run(struct task *task)
{
    struct serve *serve = container_of(task, struct serve, task);
    switch ((enum serve_state)serve->state) {
    case SERVE_HEAD: serve_head(serve); break;
    case SERVE_STREAM: serve_stream(serve); break;
    case SERVE_LINGER: serve_linger(serve); break;
    }
}

static void serve_app_timeout(struct timer *timer)
{
    struct serve *serve = container_of(timer, struct serve, app_timer);
    if (serve->has_stream && serve->stream.owner != NULL)
        loop_ready(serve->server->net->loop, serve->stream.owner);
}

static void serve_behind_timeout(struct serve *serve)
{
    struct conn *conn = serve->conn;
    if (conn->tx_bytes == serve->progress) {
        serve_close(serve, WHY_STALLED, true);
        return;
    }
    serve->progress = conn->tx_bytes;
    serve_arm(serve, serve->server->limits.write_stall_ns);
}

static void serve_timeout(struct timer *timer)
{
    struct serve *serve = container_of(timer, struct serve, timer);
    switch ((enum serve_state)serve->state) {
    case SERVE_HEAD:
        if (list_is_linked(&serve->task.link)) { // what has just come is looked at first
            serve_arm(serve, 0);
            break;
        }
        serve->server->head.target = SPAN_NONE; // it was another connection's
        if (serve->conn->rx_len > 0 && is_behind(serve))
            serve_behind_timeout(serve);
        else if (serve->conn->rx_len > 0)
            refuse(serve, ERR(HEAD_TIMEOUT));
        else
            serve_depart(serve, WHY_TIMEOUT);
        break;
    case SERVE_STREAM: serve_stream_timeout(serve); break;
    case SERVE_LINGER: serve_linger_timeout(serve); break;
    }
}

void serve_next(struct serve *serve)
{
    struct conn *conn = serve->conn;
    struct stream *stream = &serve->stream;
    assert(stream->ended);
    stream_body_drop(stream);
    serve->has_stream = false;
    if (conn->tx_failed || conn->rx_state == RX_FAILED) {
        serve_close(serve, WHY_PEER, false);
    } else if (serve->keep_alive && !stream_has_unread(stream) &&
               (conn->rx_state == RX_OPEN || conn->rx_len > 0)) {
        serve_await_head(serve);
    } else {
        serve_leave(serve);
    }
}
