// STREAM: the vendor's answer passes to the client, piece by piece or event by event.
//
// Bytes are forwarded as they lie in the receive buffers. An event that arrived torn is put
// together in `hold` and leaves whole; events before the first one with content are held too, since
// another account may still answer while nothing was sent. Credit is the room in the client's
// queue: above the mark nothing more is taken from the vendor's connection, whose receive then runs
// dry.
#include "answer.h"
#include "cors.h"
#include "fields.h"
#include "own.h"
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "req.h"
#include "req_convert.h"
#include "req_issuer.h"
#include "unpack.h"

enum {
    PUMP_TURN_BYTES = 256 * KIB, // of one request in one turn
    PUMP_ACK_PIECES = 16,        // of a stream, until acknowledgements are seen to again
    REPLY_ROOM_MIN = 512,        // for the fields of an answer's head, at first
};

apart bool pump_hold(struct req *req, struct span bytes, size_t max)
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

static struct err note_fields(struct req *req, const struct http_head *head, size_t least)
{
    size_t room;
    char *at = arena_rest(&req->arena, least, &room);
    if (at == NULL)
        return ERR(OVERLOADED);
    struct put out = put_into(at, room);
    fields_relay(&out, head, !req->converts);
    req->reply_fields = put_done(&out);
    arena_trim(&req->arena, room, req->reply_fields.len);
    return out.full ? ERR(UPSTREAM_HEAD) : OK;
}

struct err pump_note_head(struct req *req, const struct http_head *head)
{
    struct err err = note_fields(req, head, REPLY_ROOM_MIN);
    if (err.code == ERR_UPSTREAM_HEAD) // once more, with a whole chunk
        err = note_fields(req, head, ARENA_CHUNK - REPLY_ROOM_MIN);
    if (failed(err))
        return err;
    req->reply_length = head->framing == HTTP_LENGTH ? (int64_t)head->content_length : -1;
    if (head->framing == HTTP_NO_BODY)
        req->reply_length = 0;
    return OK;
}

// Wipes the arena, in which nothing is left that is needed.
static void forget_all(struct req *req)
{
    req_arena_reset(req);
    req->plan = NULL;
    req->answer->note = NULL;
    req->model = req->vendor_model = req->fields = req->query = req->up_head = SPAN_NONE;
    req->version = req->detail = req->reply_fields = req->origin = SPAN_NONE;
}

// The same, but for the client's name for the model where answers must carry it.
static apart void forget_rest(struct req *req)
{
    char alias[MODEL_NAME_MAX * 6 + 2] uninitialized;
    assert(req->alias.len <= sizeof(alias));
    memcpy(alias, req->alias.ptr, req->alias.len);
    struct span kept = span_of(alias, req->alias.len);
    forget_all(req);
    req->alias = arena_copy(&req->arena, kept);
}

// Set apart from the path of an event, but not cold: each answer comes here once.
__attribute__((noinline)) bool pump_commit(struct req *req)
{
    struct pump *pump = &req->pump;
    struct stream *stream = req->stream;
    struct put out;
    pump->committed = true;
    if (!stream_reply(stream, req->up_status, &out))
        return false;
    if (!req->converts || req->reply_fields.len <= CONVERT_REPLY_FIELDS_MAX)
        put_span(&out, req->reply_fields);
    cors_fields(&out, req->origin);
    if (req->conversion != NULL && req->reply_fields.len <= CONVERT_REPLY_FIELDS_MAX)
        convert_fields(req, &out);
    http_put_field(&out, SPAN("x-request-id"), req_id(req));
    if (req->family == FAMILY_ANTHROPIC)
        http_put_field(&out, SPAN("request-id"), req_id(req));
    if (pump->sse)
        put_span(&out, SPAN("cache-control: no-cache\r\nx-accel-buffering: no\r\n"));
    // With another name for the model, or unpacked, the length is not known beforehand.
    bool whole = !pump->sse && req->reply_length >= 0 && req->alias.len == 0 && req->unpack == NULL;
    uint64_t length = whole ? (uint64_t)req->reply_length : 0;
    if (!stream_reply_end(stream, &out, whole ? REPLY_LENGTH : REPLY_STREAM, length))
        return false;
    req->status = (int16_t)req->up_status;
    req->streaming = pump->sse;
    if (req->streaming)
        counter_add(&req->shard->counters.streams[req->op], 1);
    req->sent_ns = req->shard->loop.now_ns;
    own_begin(req);
    own_end(req, OWN_WRITE);
    uint64_t ttft_us = (req->shard->loop.now_ns - stream->started_ns) / NS_PER_US;
    req->record.ttft_us = (uint32_t)min_u64(ttft_us, UINT32_MAX);
    // Nothing of the request is needed any more: neither the body nor the secrets in the arena.
    if ((!req->converts || !convert_keeps_body(req)) && GUARD(RELAY_BODY_FORGOTTEN))
        stream_body_drop(stream);
    if (req->conversion != NULL)
        convert_forget(req);
    if (likely(req->alias.len == 0))
        forget_all(req);
    else
        forget_rest(req);
    return true;
}

// --- whole answers ---

static apart struct err pass_pieces(struct req *req, const struct seg *piece, struct span bytes)
{
    struct wire_pass *pass = answer_pass(req->answer);
    struct stream *stream = req->stream;
    struct span in = bytes, part;
    enum wire_cut cut;
    if (unlikely(req->notes))
        issuer_scan_feed(req, answer_issuer(req->answer), bytes);
    while (in.len > 0 && wire_pass_next(pass, &in, &part, &cut)) {
        bool sent = true;
        if (req->alias.len == 0)
            continue; // nothing is changed: the whole leaves below as it lies
        switch (cut) {
        case WIRE_CUT_KEEP: sent = stream_send(stream, piece->buf, part.ptr, part.len); break;
        case WIRE_CUT_MODEL: sent = stream_send_copy(stream, req->alias); break;
        case WIRE_CUT_REST: break;
        }
        if (!sent)
            return ERR(OVERLOADED);
    }
    if (req->alias.len == 0 && !stream_send(stream, piece->buf, bytes.ptr, bytes.len))
        return ERR(OVERLOADED);
    return OK;
}

static struct err pass_whole(struct req *req, const struct seg *piece)
{
    if (!req->pump.committed && (!pump_commit(req) || !answer_pass_begin(req, false)))
        return ERR(OVERLOADED);
    return pass_pieces(req, piece, span_of(piece->ptr, piece->len));
}

// --- event streams ---

// Sends all that is held. A long event takes its memory along: a copy of it could be more than
// the queue of a slow reader has room for.
static apart bool send_held(struct req *req)
{
    struct pump *pump = &req->pump;
    const struct body *hold = pump->hold;
    bool sent = pump->hold_len <= BUF_SMALL_BYTES
                    ? stream_send_copy(req->stream, span_of(hold->buf.data, pump->hold_len))
                    : stream_send(req->stream, &pump->hold->buf, hold->buf.data, pump->hold_len);
    pump_hold_drop(req); // torn events are rare: the memory goes back between them
    return sent;
}

// An event with the client's name for the model in place of the vendor's.
static apart bool send_renamed(struct req *req, struct span event, struct span name)
{
    struct stream *stream = req->stream;
    size_t before = (size_t)(name.ptr - event.ptr);
    return stream_send_copy(stream, span_upto(event, before)) &&
           stream_send_copy(stream, req->alias) &&
           stream_send_copy(stream, span_from(event, before + name.len));
}

cold struct err pump_event_error(struct req *req)
{
    struct fault_note *note = answer_note(req);
    if (note == NULL)
        return ERR(UPSTREAM_ERROR_EVENT);
    *note = req->shard->note;
    return fault_err(note->fault);
}

// Whole events of a piece that leave as they lie, together; before anything else is sent, they must
// have left.
struct run {
    const struct seg *piece;
    struct span bytes;
};

static bool run_send(struct req *req, struct run *run, struct span rest)
{
    bool sent = stream_send(req->stream, run->piece->buf, run->bytes.ptr, run->bytes.len);
    run->bytes = span_upto(rest, 0);
    return sent;
}

// The verdict on one whole event decides what becomes of it: sent here, held, dropped, or left to
// the caller for its run. `held`: it lies at the end of `hold`, and the run is empty.
static struct err take_event(struct req *req, struct span event, bool held, struct run *run,
                             bool *forward)
{
    struct pump *pump = &req->pump;
    struct wire_stream *stream = &req->answer->stream;
    struct wire_event seen uninitialized;
    *forward = false;
    wire_stream_event(stream, event, &seen);
    if (unlikely(req->notes) && (seen.flags & WIRE_KNOWN) == 0)
        issuer_note(req, event);
    // Before the commit point another account may do better; after it, the client reads of the
    // error in our words, which hold none of the account's secrets.
    if (seen.flags & WIRE_ERROR)
        return pump_event_error(req);
    if (seen.flags & WIRE_HIDE) {
        if (held)
            pump->hold_len = pump->event_at;
        return OK;
    }
    pump->terminal |= (seen.flags & WIRE_TERMINAL) != 0;
    bool early = (seen.flags & (WIRE_CONTENT | WIRE_TERMINAL)) == 0;
    if (early && !pump->committed && req->alias.len == 0 &&
        (held || pump_hold(req, event, REQ_HOLD_MAX))) {
        pump->event_at = pump->hold_len;
        return OK;
    }
    if (!pump->committed && !pump_commit(req))
        return ERR(OVERLOADED);
    if (seen.model.len > 0 && req->alias.len > 0) {
        if (!run_send(req, run, SPAN_NONE) || !send_renamed(req, event, seen.model))
            return ERR(OVERLOADED);
        pump->hold_len = pump->event_at = 0;
        return OK;
    }
    if (pump->hold_len > 0 && !send_held(req))
        return ERR(OVERLOADED);
    pump->event_at = 0;
    *forward = !held;
    return OK;
}

// The end of a torn event: it is put together, judged and sent from there.
static apart struct err join_event(struct req *req, struct span rest, struct run *run)
{
    struct pump *pump = &req->pump;
    if (!pump_hold(req, rest, 2 * REQ_HOLD_MAX))
        return ERR(OVERLOADED);
    struct span event =
        span_of(pump->hold->buf.data + pump->event_at, pump->hold_len - pump->event_at);
    bool forward;
    return take_event(req, event, true, run, &forward);
}

// An event that outgrew the hold passes through in pieces until its end.
static cold struct err overflow(struct req *req, const struct seg *piece, struct span part)
{
    struct pump *pump = &req->pump;
    pump->overlong = true;
    if ((!pump->committed && !pump_commit(req)) || !answer_pass_begin(req, true))
        return ERR(OVERLOADED);
    if (pump->hold_len > 0) {
        struct seg held = { &pump->hold->buf, pump->hold->buf.data, pump->hold_len };
        struct span torn =
            span_of(pump->hold->buf.data + pump->event_at, pump->hold_len - pump->event_at);
        if (!stream_send_copy(req->stream, span_of(held.ptr, pump->event_at)))
            return ERR(OVERLOADED);
        TRY(pass_pieces(req, &held, torn));
        pump_hold_drop(req); // sends in flight keep the memory
    }
    return pass_pieces(req, piece, part);
}

static flat struct err pass_events(struct req *req, const struct seg *piece)
{
    struct pump *pump = &req->pump;
    struct span in = span_of(piece->ptr, piece->len);
    struct run run = { piece, span_upto(in, 0) };
    while (in.len > 0) {
        size_t used = 0;
        struct wire_stream *stream = &req->answer->stream;
        bool ended = wire_stream_scan(stream, &pump->scan, in, &used) == PARSE_DATA;
        struct span part = span_upto(in, used);
        in = span_from(in, used);
        if (pump->overlong) {
            TRY(pass_pieces(req, piece, part));
            pump->overlong = !ended;
            if (ended)
                answer_pass_end(req);
            run.bytes = span_upto(in, 0);
            continue;
        }
        bool torn = pump->hold_len > pump->event_at;
        bool forward = false;
        if (!ended) {
            if (!run_send(req, &run, in))
                return ERR(OVERLOADED);
            if (!pump_hold(req, part, pump->event_at + REQ_HOLD_MAX))
                TRY(overflow(req, piece, part));
        } else if (torn) {
            TRY(join_event(req, part, &run));
            run.bytes = span_upto(in, 0);
        } else {
            TRY(take_event(req, part, false, &run, &forward));
            if (forward)
                run.bytes =
                    span_of(run.bytes.len > 0 ? run.bytes.ptr : part.ptr, run.bytes.len + part.len);
            else if (!run_send(req, &run, in))
                return ERR(OVERLOADED);
        }
    }
    return run_send(req, &run, in) ? OK : ERR(OVERLOADED);
}

// --- the step ---

// Only the end of the connection ends this body, and a cut looks like that too: JSON that began and
// did not end tells.
static bool is_cut_short(struct req *req)
{
    struct answer *answer = req->answer;
    if (req->pump.sse || req->fetch.framing != HTTP_UNTIL_CLOSE)
        return false;
    if (answer->pass_memory == NULL)
        return true; // not even a beginning
    return wire_pass_is_torn(answer_pass(answer)) && GUARD(RELAY_WHOLE_JSON);
}

void pump_release(struct req *req)
{
    // A vendor that says more than its own end is not trusted with another request.
    if (fetch_is_active(&req->fetch) && req->fetch.body_done)
        fetch_end(&req->fetch);
    else
        fetch_stop(&req->fetch, WHY_PROTOCOL);
}

// The client's queue wakes us, and its own deadline watches it.
enum next pump_wait(struct req *req)
{
    if (req_is_late(req))
        return req_fail(req, ERR(UPSTREAM_TOTAL));
    req_arm(req, req->idle_ns);
    stream_notify(req->stream, req->shard->shared->relay->stream_bytes / 2);
    return NEXT_WAIT;
}

enum next pump_end(struct req *req)
{
    pump_release(req);
    req->err = OK; // of an attempt before this one
    stream_finish(req->stream);
    return req_goto(req, STEP_DONE);
}

static enum next finish(struct req *req)
{
    struct pump *pump = &req->pump;
    struct answer *answer = req->answer;
    if (req->converts)
        return convert_finish(req);
    if (is_cut_short(req))
        return req_fail(req, pump->committed ? ERR(UPSTREAM_TRUNCATED) : ERR(UPSTREAM_CLOSED));
    if (req->unpack != NULL && failed(inflate_end(&req->unpack->inflate)))
        return req_fail(req, ERR(UPSTREAM_TRUNCATED));
    answer_pass_end(req);
    bool torn = pump->hold_len > pump->event_at;
    if (pump->sse && torn) { // a last event without its blank line: it may be all there
        struct wire_event seen;
        const char *at = pump->hold->buf.data + pump->event_at;
        uint32_t bad = answer->stream.bad_events;
        uint64_t count = answer->stream.event_count;
        wire_stream_event(&answer->stream, span_of(at, pump->hold_len - pump->event_at), &seen);
        bool good = answer->stream.bad_events == bad && answer->stream.event_count != count;
        if (good && req->notes)
            issuer_note(req, span_of(at, pump->hold_len - pump->event_at));
        if (!good || (seen.flags & WIRE_HIDE)) { // nobody gets a part of an event
            pump->hold_len = pump->event_at;
            torn = false;
        }
    }
    enum wire_end end = answer->stream.wire != NULL && pump->sse ? wire_stream_end(&answer->stream)
                                                                 : WIRE_END_COMPLETE;
    if ((end == WIRE_END_TRUNCATED || end == WIRE_END_ERROR) && GUARD(RELAY_WHOLE_STREAM))
        return req_fail(req, ERR(UPSTREAM_TRUNCATED));
    if (!pump->committed && !pump_commit(req))
        return req_fail(req, ERR(OVERLOADED));
    // Readers drop an event that no blank line ends, so it gets what is missing of one.
    bool line_ended = pump->hold_len > 0 && pump->hold->buf.data[pump->hold_len - 1] == '\n';
    struct span blank = line_ended ? SPAN("\n") : SPAN("\n\n");
    if (pump->hold_len > 0 && !send_held(req))
        return req_fail(req, ERR(OVERLOADED));
    if (pump->sse && torn && !stream_send_copy(req->stream, blank))
        return req_fail(req, ERR(OVERLOADED));
    return pump_end(req);
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
    // A client that sent FIN may still read. A write tells: a closed one answers with RST. Inside
    // an event that passes in pieces nothing may be said; the pieces tell as well.
    if (req->pump.sse && !req->pump.notified && !req->pump.overlong) {
        req->pump.notified = true;
        struct span probe = wire_keepalive((enum wire_family)req->family);
        return !stream_send_copy(req->stream, probe);
    }
    return false;
}

static void see_to_acks(struct req *req)
{
    struct pump *pump = &req->pump;
    struct conn *conn = fetch_conn(&req->fetch);
    if (pump->ack == PUMP_ACK_ASKED)
        pump->ack = conn_rx_acks_late(conn) ? PUMP_ACK_LATE : PUMP_ACK_EACH;
    if (pump->ack == PUMP_ACK_EACH)
        return;
    conn_rx_ack_late(conn);
    if (pump->ack == PUMP_ACK_NEW)
        pump->ack = PUMP_ACK_ASKED;
}

static struct err pass_piece(struct req *req, const struct seg *piece)
{
    if (!req->pump.sse)
        return req->converts ? convert_piece(req, piece) : pass_whole(req, piece);
    if (req->pump.pieces++ % PUMP_ACK_PIECES == 0)
        see_to_acks(req);
    return req->converts ? convert_piece(req, piece) : pass_events(req, piece);
}

// A piece of a compressed answer, of which more plain pieces come.
static struct err pass_packed(struct req *req, const struct seg *piece)
{
    struct span in = span_of(piece->ptr, piece->len);
    for (;;) {
        struct seg plain;
        struct err err = OK;
        enum parse parse = unpack_piece(req, &in, &plain, &err);
        if (parse == PARSE_BAD)
            return err;
        if (parse == PARSE_MORE)
            return OK;
        err = pass_piece(req, &plain);
        buf_put(plain.buf);
        TRY(err);
    }
}

// How long a reader of the stream waited for what this turn brought.
static void note_gap(struct req *req)
{
    const uint64_t now = req->shard->loop.now_ns;
    if (req->sent_ns == now)
        return; // it has just begun
    latency_add(&req->shard->counters.token_gap[req->provider], (now - req->sent_ns) / NS_PER_US);
    req->sent_ns = now;
}

// Nothing more has come from the vendor.
static enum next wait_more(struct req *req, bool moved)
{
    const bool first = moved || req->wait_ns == 0;
    if (!req->converts && first) {
        req_arm(req, req->idle_ns);
    } else if (req->converts) {
        if (!convert_show_life(req))
            return req_fail(req, ERR(OVERLOADED));
        const uint64_t life_at = convert_life_at(req);
        if (first)
            req_arm_waking(req, req->idle_ns, life_at);
        else
            stream_wake_at(req->stream, min_u64(req->wait_ns, life_at));
    }
    return NEXT_WAIT;
}

enum next step_stream(struct req *req)
{
    struct shard *shard = req->shard;
    struct stream *stream = req->stream;
    if (client_left(req))
        return req_fail(req, stream->stalled ? ERR(CLIENT_STALLED) : ERR(CLIENT_GONE));
    enum next next;
    if (req->converts && convert_is_behind(req) && convert_go_on(req, &next))
        return next;
    size_t high = shard->shared->relay->stream_bytes;
    size_t moved = 0;
    while (stream_queued(stream) < high || !GUARD(RELAY_CREDIT)) {
        struct seg piece uninitialized;
        struct err err = OK;
        enum parse parse = fetch_is_done(&req->fetch)  ? PARSE_DONE
                           : fetch_is_dry(&req->fetch) ? PARSE_MORE
                                                       : fetch_body(&req->fetch, &piece, &err);
        if (parse != PARSE_DATA && moved > 0 && req->streaming)
            note_gap(req);
        if (parse == PARSE_MORE) {
            // What came with the deadline counts, but not what comes after it.
            if (req_is_late(req) || (moved == 0 && req_is_due(req))) {
                if (req->pump.terminal)
                    return finish(req); // only the framing's end is missing
                return req_fail(req, req_is_late(req) ? ERR(UPSTREAM_TOTAL) : ERR(UPSTREAM_IDLE));
            }
            return wait_more(req, moved > 0);
        }
        if (parse == PARSE_DONE)
            return finish(req);
        if (parse == PARSE_BAD && req->pump.terminal) {
            // Cut after the format's own end: complete, but for a torn event behind it.
            req->pump.hold_len = req->pump.event_at;
            return finish(req);
        }
        if (parse == PARSE_BAD)
            return req_fail(req, err);
        err = req->unpack != NULL ? pass_packed(req, &piece) : pass_piece(req, &piece);
        moved += piece.len;
        buf_put(piece.buf);
        if (failed(err))
            return req_fail(req, err);
        if (moved >= PUMP_TURN_BYTES) {
            req->wait_ns = 0;
            loop_ready(&shard->loop, &req->task);
            return NEXT_WAIT;
        }
    }
    if (moved > 0 && req->streaming)
        note_gap(req);
    return pump_wait(req);
}
