// STREAM: the vendor's answer passes to the client, piece by piece or event by event.
//
// Bytes are forwarded as they lie in the receive buffers. An event that arrived torn is put
// together in `hold` and leaves whole; events before the first one with content are held too, since
// another account may still answer while nothing was sent. Credit is the room in the client's
// queue: above the mark nothing more is taken from the vendor's connection, whose receive then runs
// dry.
#include "fields.h"
#include "penstock/base/check.h"
#include "req.h"
#include "wire_glue.h"

enum { PUMP_TURN_BYTES = 256 * KIB }; // of one request in one turn

bool pump_hold(struct req *req, struct span bytes, size_t max)
{
    struct pump *pump = &req->pump;
    size_t need = pump->hold_len + bytes.len;
    if (need > max)
        return false;
    if (pump->hold == NULL)
        pump->hold = body_take(&req->shard->net, max_size(need, BUF_SMALL_BYTES));
    if (pump->hold == NULL || !body_grow(pump->hold, need))
        return false;
    memcpy(pump->hold->buf.data + pump->hold_len, bytes.ptr, bytes.len);
    pump->hold_len = (uint32_t)need;
    return true;
}

void pump_hold_drop(struct req *req)
{
    struct pump *pump = &req->pump;
    if (pump->hold != NULL)
        body_put(pump->hold);
    pump->hold = NULL;
    pump->hold_len = pump->event_at = 0;
}

// --- the head for the client ---

struct err pump_note_head(struct req *req, const struct http_head *head)
{
    size_t room = ARENA_CHUNK - 64;
    char *at = arena_take(&req->arena, room);
    if (at == NULL)
        return ERR(OVERLOADED);
    struct put out = put_into(at, room);
    fields_relay(&out, head);
    if (out.full)
        return ERR(UPSTREAM_HEAD);
    req->reply_fields = put_done(&out);
    arena_trim(&req->arena, room, req->reply_fields.len);
    req->reply_length = head->framing == HTTP_LENGTH ? (int64_t)head->content_length : -1;
    if (head->framing == HTTP_NO_BODY)
        req->reply_length = 0;
    return OK;
}

// The commit point: from here on this answer is the client's.
static bool commit(struct req *req)
{
    struct pump *pump = &req->pump;
    struct stream *stream = req->stream;
    struct put out;
    pump->committed = true;
    if (!stream_reply(stream, req->up_status, &out))
        return false;
    put_span(&out, req->reply_fields);
    http_put_field(&out, SPAN("x-request-id"), req_id(req));
    if (req->family == FAMILY_ANTHROPIC)
        http_put_field(&out, SPAN("request-id"), req_id(req));
    if (pump->sse)
        put_span(&out, SPAN("cache-control: no-cache\r\nx-accel-buffering: no\r\n"));
    bool whole = !pump->sse && req->reply_length >= 0;
    uint64_t length = whole ? (uint64_t)req->reply_length : 0;
    if (!stream_reply_end(stream, &out, whole ? REPLY_LENGTH : REPLY_STREAM, length))
        return false;
    req->status = (int16_t)req->up_status;
    uint64_t ttft_us = (req->shard->loop.now_ns - stream->started_ns) / NS_PER_US;
    req->record.ttft_us = (uint32_t)min_u64(ttft_us, UINT32_MAX);
    // Nothing of the request is needed any more: neither the body nor the secrets in the arena.
    stream_body_drop(stream);
    arena_reset(&req->arena);
    req->plan = NULL;
    req->model = req->vendor_model = req->fields = req->query = req->up_head = SPAN_NONE;
    req->version = req->detail = req->reply_fields = SPAN_NONE;
    return true;
}

// --- whole answers ---

static struct err pass_whole(struct req *req, const struct seg *piece)
{
    if (!req->pump.committed && !commit(req))
        return ERR(OVERLOADED);
    struct span bytes = span_of(piece->ptr, piece->len);
    glue_whole(req, bytes);
    return stream_send(req->stream, piece->buf, piece->ptr, piece->len) ? OK : ERR(OVERLOADED);
}

// --- event streams ---

// Sends what is held, up to `len` bytes of it, and keeps the rest.
static bool send_held(struct req *req, uint32_t len)
{
    struct pump *pump = &req->pump;
    if (len == 0)
        return true;
    if (!stream_send_copy(req->stream, span_of(pump->hold->buf.data, len)))
        return false;
    uint32_t rest = pump->hold_len - len;
    memmove(pump->hold->buf.data, pump->hold->buf.data + len, rest);
    pump->hold_len = rest;
    return true;
}

// The verdict on one whole event decides what becomes of it. `held`: it lies at the end of `hold`.
static struct err take_event(struct req *req, struct span event, bool held, bool *forward)
{
    struct pump *pump = &req->pump;
    struct err err = OK;
    enum verdict verdict = glue_event(req, event, &err);
    *forward = false;
    switch (verdict) {
    case VERDICT_ERROR:
        // Before the commit point another account may do better; after it, the vendor's own words
        // are the client's to read, and the stream has ended.
        if (!pump->committed)
            return err;
        req->err = err;
        pump->terminal = true;
        break;
    case VERDICT_HIDE:
        if (held)
            pump->hold_len = pump->event_at;
        pump->event_at = pump->hold_len;
        return OK;
    case VERDICT_EARLY:
        if (!pump->committed && (held || pump_hold(req, event, REQ_HOLD_MAX))) {
            pump->event_at = pump->hold_len;
            return OK;
        }
        break;
    case VERDICT_TERMINAL: pump->terminal = true; break;
    case VERDICT_CONTENT: break;
    }
    if (!pump->committed && !commit(req))
        return ERR(OVERLOADED);
    if (pump->hold_len > 0 && !send_held(req, pump->hold_len))
        return ERR(OVERLOADED);
    pump->event_at = 0;
    *forward = !held;
    return OK;
}

// The end of a torn event: it is put together, judged and sent from there.
static struct err join_event(struct req *req, struct span rest)
{
    struct pump *pump = &req->pump;
    if (!pump_hold(req, rest, 2 * REQ_HOLD_MAX))
        return ERR(OVERLOADED);
    struct span event =
        span_of(pump->hold->buf.data + pump->event_at, pump->hold_len - pump->event_at);
    bool forward;
    return take_event(req, event, true, &forward);
}

// An event that outgrew the hold passes through unseen until its end.
static struct err overflow(struct req *req, const struct seg *piece, struct span part)
{
    struct pump *pump = &req->pump;
    pump->overlong = true;
    if (!pump->committed && !commit(req))
        return ERR(OVERLOADED);
    if (pump->hold_len > 0 && !send_held(req, pump->hold_len))
        return ERR(OVERLOADED);
    pump->event_at = 0;
    return stream_send(req->stream, piece->buf, part.ptr, part.len) ? OK : ERR(OVERLOADED);
}

static struct err pass_events(struct req *req, const struct seg *piece)
{
    struct pump *pump = &req->pump;
    struct span in = span_of(piece->ptr, piece->len);
    struct span run = span_upto(in, 0); // whole events that leave as they lie
    while (in.len > 0) {
        size_t used = 0;
        bool ended = sse_scan_feed(&pump->scan, in, &used) == PARSE_DATA;
        struct span part = span_upto(in, used);
        in = span_from(in, used);
        if (pump->overlong) {
            if (!stream_send(req->stream, piece->buf, part.ptr, part.len))
                return ERR(OVERLOADED);
            pump->overlong = !ended;
            run = span_upto(in, 0);
            continue;
        }
        bool torn = pump->hold_len > pump->event_at;
        bool forward = false;
        if (!ended) {
            if (!stream_send(req->stream, piece->buf, run.ptr, run.len))
                return ERR(OVERLOADED);
            run = span_upto(in, 0);
            if (!pump_hold(req, part, pump->event_at + REQ_HOLD_MAX))
                TRY(overflow(req, piece, part));
        } else if (torn) {
            TRY(join_event(req, part));
            run = span_upto(in, 0);
        } else {
            TRY(take_event(req, part, false, &forward));
            if (forward) {
                run.len += part.len;
            } else {
                if (!stream_send(req->stream, piece->buf, run.ptr, run.len))
                    return ERR(OVERLOADED);
                run = span_upto(in, 0);
            }
        }
    }
    return stream_send(req->stream, piece->buf, run.ptr, run.len) ? OK : ERR(OVERLOADED);
}

// --- the step ---

static enum next finish(struct req *req)
{
    struct pump *pump = &req->pump;
    bool complete = glue_complete(req);
    if (!pump->committed) {
        if (!complete && pump->sse)
            return req_fail(req, ERR(UPSTREAM_TRUNCATED));
        if (!commit(req))
            return req_fail(req, ERR(OVERLOADED));
    }
    if (pump->hold_len > 0 && complete && !send_held(req, pump->hold_len))
        return req_fail(req, ERR(OVERLOADED));
    if (!complete)
        return req_fail(req, ERR(UPSTREAM_TRUNCATED));
    fetch_end(&req->fetch);
    stream_finish(req->stream);
    return req_goto(req, STEP_DONE);
}

static bool client_left(struct req *req)
{
    struct stream *stream = req->stream;
    if (stream->client == CLIENT_GONE)
        return true;
    if (stream->client != CLIENT_HALF || req->shard->shared->relay->half_close_keep)
        return false;
    if (!req->pump.committed)
        return true;
    // A client that sent FIN may still read. A write tells: a closed one answers with RST.
    if (req->pump.sse && !req->pump.notified) {
        req->pump.notified = true;
        return !glue_probe(req);
    }
    return false;
}

enum next step_stream(struct req *req)
{
    struct shard *shard = req->shard;
    struct stream *stream = req->stream;
    if (client_left(req))
        return req_fail(req, stream->stalled ? ERR(CLIENT_STALLED) : ERR(CLIENT_GONE));
    size_t high = shard->shared->relay->stream_bytes;
    size_t moved = 0;
    while (stream_queued(stream) < high) {
        struct seg piece;
        struct err err = OK;
        enum parse parse = fetch_body(&req->fetch, &piece, &err);
        if (parse == PARSE_MORE) {
            if (moved == 0 && req->timer.deadline_ns == 0) {
                bool total = req->deadline_ns != 0 && shard->loop.now_ns >= req->deadline_ns;
                return req_fail(req, total ? ERR(UPSTREAM_TOTAL) : ERR(UPSTREAM_IDLE));
            }
            return NEXT_WAIT;
        }
        if (parse == PARSE_DONE)
            return finish(req);
        if (parse == PARSE_BAD && req->pump.terminal)
            return finish(
                req); // cut after the format's own end: complete, only the connection is not
        if (parse == PARSE_BAD)
            return req_fail(req, err);
        err = req->pump.sse ? pass_events(req, &piece) : pass_whole(req, &piece);
        moved += piece.len;
        buf_put(piece.buf);
        if (failed(err))
            return req_fail(req, err);
        req_arm(req, req->idle_ns);
        if (moved >= PUMP_TURN_BYTES) {
            loop_ready(&shard->loop, &req->task);
            return NEXT_WAIT;
        }
    }
    // The client is slower than the vendor: its queue wakes us, and its own deadline watches it.
    timer_stop(&shard->loop.wheel, &req->timer);
    req_arm(req, req->idle_ns);
    stream_notify(stream, (uint32_t)high / 2);
    return NEXT_WAIT;
}
