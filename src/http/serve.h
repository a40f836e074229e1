// serve.h - between the parts of the server; private to src/http.
#ifndef PENSTOCK_HTTP_SERVE_H
#define PENSTOCK_HTTP_SERVE_H

#include "penstock/http/server.h"

#define ACCEPT_RETRY_NS (UINT64_C(100) * NS_PER_MS)

enum serve_state {
    SERVE_HEAD,   // waiting for a head
    SERVE_STREAM, // a request is being answered
    SERVE_LINGER, // answered for good; reading what the client still sends
};

void serve_await_head(struct serve *serve);
void serve_close(struct serve *serve, enum conn_why why, bool reset);
void serve_arm(struct serve *serve, uint64_t ns);
// Ends the connection behind what is queued.
void serve_leave(struct serve *serve);
// The stream has ended: next head, or the end of the connection.
void serve_next(struct serve *serve);

// What may be received while no more than a head is expected. A client whose last body was large
// sends another: what follows the head in its buffer has to be copied, so it shall be little.
static inline void serve_allow_head(struct serve *serve)
{
    conn_rx_allow(serve->conn, serve->large_bytes > 0 ? BUF_SMALL_BYTES : CONN_RX_HEAD, BUF_SMALL);
}

// Something of the request's body is still to come: what follows its head is no next request.
static inline bool stream_has_unread(const struct stream *stream)
{
    return stream->framing == HTTP_UNTIL_CLOSE ||
           (stream->framing != HTTP_NO_BODY && stream->body_state != BODY_COMPLETE);
}

// --- room for new connections (room.c) ---

// From now on, until its next byte, the connection may have to make room for another.
static inline void room_enter(struct serve *serve)
{
    struct server *server = serve->server;
    list_take(&serve->idle);
    list_push_back(&server->idle[serve->is_silent ? IDLE_SILENT : IDLE_KEPT], &serve->idle);
    serve->idle_ns = server->net->loop->now_ns;
}
// It is silent no more, or ends.
static inline void room_speak(struct serve *serve)
{
    if (!serve->is_silent)
        return;
    serve->is_silent = false;
    serve->server->silent_count--;
    list_take(&serve->idle);
    if (!list_is_empty(&serve->server->parked)) // there may be few enough now
        loop_ready(serve->server->net->loop, &serve->server->room);
}
void room_init(struct server *server);
// Other threads may have places for who is parked.
void pass_parked(struct server *server);
// Tries again soon to find a place for who is parked.
void accept_later(struct server *server, uint64_t at_ns);

// The connection changed, or its timer fired, while a stream is open.
void serve_stream(struct serve *serve);
void serve_stream_timeout(struct serve *serve);

#endif
