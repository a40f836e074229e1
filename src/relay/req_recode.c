// The vendor's answer carried over to the client's format.
//
// Events are decoded one by one, and what comes out is encoded at once, into a buffer that leaves
// at the end of each piece. An answer that comes or goes as a whole is a completion in between.
// Whether the vendor sends events and whether the client wants them are two questions: all four
// answers work.
//
// The commit point is the first delta: until then nothing was written and another account may still
// answer. What counts usage, finds errors and knows how an answer has to end is the wire layer, as
// for answers that pass.
#include "answer.h"
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "req_convert.h"
#include "unpack.h"

enum {
    SMALL_PIECE = 1 * KIB, // what comes of such a piece fits a small buffer
    OUT_GROWTH = 4,
};
#define QUIET_NS (UINT64_C(10) * NS_PER_S) // then the client is told that the vendor is at work

// --- what leaves ---

static void out_drop(struct conversion *conversion)
{
    if (conversion->out_buf != NULL)
        buf_put(conversion->out_buf);
    conversion->out_buf = NULL;
    conversion->out_body = NULL;
    conversion->out_whole = 0;
    conversion->out.at = conversion->out.end = NULL;
}

// Up to here the client can be told something else.
static inline void out_mark(struct conversion *conversion)
{
    if (likely(!conversion->encode.failed) && conversion->out_buf != NULL)
        conversion->out_whole = (size_t)(conversion->out.at - conversion->out_buf->data);
}

// All whole events that were written since the last time, as one piece. An event that memory ran
// out for is not sent in part: what follows is the error.
static bool out_send(struct conversion *conversion)
{
    struct buf *buf = conversion->out_buf;
    if (buf == NULL)
        return true;
    struct req *req = conversion->req;
    const size_t len = conversion->out_whole;
    const bool sent = len == 0 || stream_send(req->stream, buf, buf->data, len);
    if (len > 0)
        conversion->quiet_since_ns = req->shard->loop.now_ns;
    out_drop(conversion);
    return sent;
}

// What comes of one piece stays in one piece, since a connection's queue has few places: first in
// a buffer, then in memory that grows.
static bool out_more(struct sink *sink)
{
    struct conversion *conversion = container_of(sink, struct conversion, out);
    struct net *net = &conversion->req->shard->net;
    struct buf *buf = conversion->out_buf;
    const size_t used = buf != NULL ? (size_t)(sink->at - buf->data) : 0;
    if (buf == NULL) {
        buf = bufpool_take(net->bufs, conversion->small ? BUF_SMALL : BUF_LARGE);
    } else if (budget_level(&net->budget) == BUDGET_SHED) {
        return false;
    } else if (conversion->out_body != NULL) {
        if (!body_grow(conversion->out_body, 2 * used))
            return false;
    } else {
        struct body *body = body_take(net, OUT_GROWTH * used);
        if (body == NULL)
            return false;
        memcpy(body->buf.data, buf->data, used);
        buf_put(buf);
        conversion->out_body = body;
        buf = &body->buf;
    }
    if (buf == NULL)
        return false;
    conversion->out_buf = buf;
    sink->at = buf->data + used;
    sink->end = buf->data + buf->cap;
    return true;
}

// With its first delta an answer is the client's.
static void told_delta(void *ctx, const struct delta *delta)
{
    struct conversion *conversion = ctx;
    struct req *req = conversion->req;
    if (unlikely(!req->pump.committed) && !pump_commit(req)) {
        conversion->encode.failed = true;
        return;
    }
    encode_put(&conversion->encode, delta);
    out_mark(conversion);
}

static void kept_delta(void *ctx, const struct delta *delta)
{
    struct conversion *conversion = ctx;
    completion_collect(&conversion->completion, delta);
}

// Where what the vendor said goes: into the client's stream or into what is collected.
static delta_sink *taker_of(const struct conversion *conversion)
{
    return conversion->streams ? told_delta : kept_delta;
}

// --- setting up ---

void convert_answer(struct req *req)
{
    struct conversion *conversion = req->conversion;
    convert_answer_end(conversion);
    conversion->sse = req->pump.sse;
    conversion->streams = req->stream_wanted;
    // From here on it is about what the client sees.
    req->pump.sse = conversion->streams && !conversion->facts.json_array;
    req->reply_length = -1;
    conversion->out = (struct sink){ .more = out_more };
    conversion->quiet_since_ns = req->shard->loop.now_ns;
    if (!conversion->sse || !conversion->streams)
        completion_init(&conversion->completion, &conversion->chunks, CONVERT_KEEP_MAX);
    conversion->completion.keep.scratch = &conversion->scratch;
    if (conversion->streams)
        encode_init(&conversion->encode, conversion->from, &conversion->facts, &conversion->out,
                    &conversion->chunks, CONVERT_KEEP_MAX);
    conversion->undoes = !conversion->aliases.plain;
    if (conversion->undoes)
        undo_init(&conversion->undo, &conversion->aliases, &conversion->chunks, CONVERT_KEEP_MAX,
                  taker_of(conversion), conversion);
    conversion->undo.keep.scratch = &conversion->scratch;
    if (conversion->sse)
        decode_init(&conversion->decode, conversion->to, &req->answer->stream, &conversion->chunks,
                    conversion->undoes ? undo_put : taker_of(conversion),
                    conversion->undoes ? (void *)&conversion->undo : conversion);
    conversion->decode.keep.scratch = &conversion->scratch;
    conversion->begun = true;
}

void convert_answer_end(struct conversion *conversion)
{
    out_drop(conversion);
    convert_text_drop(&conversion->whole);
    convert_pieces_drop(conversion);
    if (!conversion->begun)
        return;
    if (!conversion->sse || !conversion->streams)
        completion_fini(&conversion->completion);
    if (conversion->streams)
        encode_fini(&conversion->encode);
    if (conversion->sse)
        decode_fini(&conversion->decode);
    if (conversion->undoes)
        undo_fini(&conversion->undo);
    conversion->begun = false;
}

struct wire_place convert_place(struct req *req)
{
    struct conversion *conversion = req->conversion;
    const struct encode *encode = &conversion->encode;
    struct sink id = sink_into(conversion->id, sizeof(conversion->id));
    if (encode->started)
        id_put_answer(&id, encode->facts.id, conversion->from->family, encode->facts.random);
    return (struct wire_place){
        .response_id = span_of(conversion->id, id.failed ? 0 : (size_t)(id.at - conversion->id)),
        .model = conversion->facts.model,
        .next_sequence = encode->sequence,
    };
}

// A vendor's answer that cannot be read; another account's may be better while the client has seen
// nothing.
static struct err malformed(void)
{
    struct err err = ERR(UPSTREAM_BODY);
    err.retry = RETRY_OTHER;
    return err;
}

static struct err check_memory(const struct conversion *conversion)
{
    const bool encode = conversion->streams && conversion->encode.failed;
    const bool decode = conversion->sse && conversion->decode.failed;
    const bool keep =
        (!conversion->sse || !conversion->streams) && completion_failed(&conversion->completion);
    const bool undo = conversion->undoes && undo_failed(&conversion->undo);
    return encode || decode || keep || undo ? ERR(OVERLOADED) : OK;
}

// --- events ---

static struct err take_event(struct req *req, struct span block)
{
    struct conversion *conversion = req->conversion;
    struct wire_stream *stream = &req->answer->stream;
    struct decode *decode = &conversion->decode;
    struct wire_event seen uninitialized;
    char join[WIRE_JOIN_MAX] uninitialized;
    struct sse_event sse uninitialized;
    const bool first = stream->event_count == 0;
    wire_stream_event(stream, block, &seen);
    if (seen.flags & WIRE_ERROR)
        return pump_event_error(req);
    req->pump.terminal |= (seen.flags & WIRE_TERMINAL) != 0;
    if (decode_known(decode, &seen))
        return check_memory(conversion);
    if (!sse_parse(block, first, join, sizeof(join), &sse))
        return malformed();
    if (!conversion->encode.started && conversion->streams)
        conversion->encode.facts.id = span_of(stream->id, stream->id_len);
    if (!decode_feed(decode, &sse, &seen))
        return malformed();
    if (decode->broken)
        return ERR(UPSTREAM_ERROR_EVENT);
    return check_memory(conversion);
}

static struct err take_events(struct req *req, struct span in)
{
    struct pump *pump = &req->pump;
    while (in.len > 0) {
        size_t used = 0;
        bool ended = wire_stream_scan(&req->answer->stream, &pump->scan, in, &used) == PARSE_DATA;
        struct span part = span_upto(in, used);
        in = span_from(in, used);
        if (!ended || pump->hold_len > 0) {
            if (!pump_hold(req, part, CONVERT_EVENT_MAX))
                return ERR(UPSTREAM_TOO_LARGE);
            part = span_of(pump->hold->buf.data, pump->hold_len);
        }
        if (!ended)
            return OK;
        TRY(take_event(req, part));
        if (pump->hold_len > 0)
            pump_hold_drop(req); // torn events are rare: the memory goes back between them
    }
    return OK;
}

// A vendor that is at work and says nothing that the client's format could carry: the client is
// shown that something comes.
static bool show_life(struct conversion *conversion)
{
    struct req *req = conversion->req;
    const uint64_t now = req->shard->loop.now_ns;
    if (!conversion->streams || !req->pump.committed || now - conversion->quiet_since_ns < QUIET_NS)
        return true;
    conversion->quiet_since_ns = now;
    return stream_send_copy(req->stream, wire_keepalive((enum wire_family)req->family));
}

struct err convert_piece(struct req *req, const struct seg *piece)
{
    struct conversion *conversion = req->conversion;
    struct span in = span_of(piece->ptr, piece->len);
    if (!conversion->sse)
        return pump_hold(req, in, CONVERT_EVENT_MAX) ? OK : ERR(UPSTREAM_TOO_LARGE);
    conversion->small = piece->len < SMALL_PIECE;
    struct err err = take_events(req, in);
    // What was received before an error is delivered.
    if ((!out_send(conversion) || !show_life(conversion)) && !failed(err))
        err = ERR(OVERLOADED);
    return err;
}

// --- whole answers ---

// Counts what the answer cost, unless it is an error or no answer. *root: it has been validated.
static struct err count_whole(struct req *req, struct span text, struct json_slice *root)
{
    struct wire_stream *stream = &req->answer->stream;
    if (!answer_pass_begin(req, false))
        return ERR(OVERLOADED);
    struct wire_pass *pass = answer_pass(req->answer);
    *root = (struct json_slice){ span_trim(text), JK_OBJECT };
    // Most answers look like others, and are read once.
    if (!wire_pass_begin_whole(pass, text) && !json_check(text, root)) {
        answer_pass_drop(req);
        return malformed();
    }
    struct span rest = text, part;
    enum wire_cut cut;
    while (wire_pass_next(pass, &rest, &part, &cut))
        continue;
    answer_pass_end(req);
    return stream->failed ? pump_event_error(req) : OK;
}

static struct err read_whole(struct req *req)
{
    struct conversion *conversion = req->conversion;
    const struct pump *pump = &req->pump;
    struct span text =
        pump->hold != NULL ? span_of(pump->hold->buf.data, pump->hold_len) : SPAN_NONE;
    struct json_slice root;
    TRY(count_whole(req, text, &root));
    const struct wire_stream *stream = &req->answer->stream;
    conversion->facts.id = span_of(stream->id, stream->id_len);
    if (conversion->streams)
        conversion->encode.facts.id = conversion->facts.id;
    if (!conversion->to->read_whole(&conversion->completion, root))
        return completion_failed(&conversion->completion) ? ERR(OVERLOADED) : malformed();
    if (conversion->streams && conversion->undoes)
        completion_play(&conversion->completion, undo_put, &conversion->undo);
    else if (conversion->streams)
        completion_play(&conversion->completion, told_delta, conversion);
    return check_memory(conversion);
}

// --- the end ---

// A last event without its blank line: it may be all there.
static struct err take_last(struct req *req)
{
    struct pump *pump = &req->pump;
    struct span block = span_of(pump->hold->buf.data, pump->hold_len);
    struct sse_event sse;
    struct json_slice root;
    char join[WIRE_JOIN_MAX];
    if (!sse_parse(block, false, join, sizeof(join), &sse))
        return OK;
    if (sse.data.len == 0 || (!wire_is_done(sse.data) && !json_check(sse.data, &root)))
        return OK; // nobody gets a part of an event
    return take_event(req, block);
}

static struct err end_events(struct req *req)
{
    struct conversion *conversion = req->conversion;
    if (req->pump.hold_len > 0)
        TRY(take_last(req));
    enum wire_end end = wire_stream_end(&req->answer->stream);
    if ((end == WIRE_END_TRUNCATED || end == WIRE_END_ERROR) && GUARD(CONVERT_WHOLE_STREAM))
        return ERR(UPSTREAM_TRUNCATED);
    decode_end(&conversion->decode);
    return check_memory(conversion);
}

static struct err end_stream(struct req *req, const struct usage *usage)
{
    struct conversion *conversion = req->conversion;
    if (!req->pump.committed && !pump_commit(req))
        return ERR(OVERLOADED);
    encode_end(&conversion->encode, usage);
    out_mark(conversion);
    TRY(check_memory(conversion));
    return out_send(conversion) ? OK : ERR(OVERLOADED);
}

static struct err end_whole(struct req *req, const struct usage *usage)
{
    struct conversion *conversion = req->conversion;
    struct convert_text *whole = &conversion->whole;
    const struct wire_stream *stream = &req->answer->stream;
    conversion->facts.id = span_of(stream->id, stream->id_len);
    conversion->facts.usage = *usage;
    convert_text_begin(whole, &req->shard->net, BUF_LARGE_BYTES);
    if (conversion->undoes && !conversion->sse) {
        struct completion own;
        completion_init(&own, &conversion->chunks, CONVERT_KEEP_MAX);
        own.keep.scratch = &conversion->scratch;
        undo_whole(&conversion->aliases, &conversion->completion, &own);
        whole->sink.failed |= completion_failed(&own);
        conversion->from->write_whole(&own, &conversion->facts, &whole->sink);
        completion_fini(&own);
    } else {
        conversion->from->write_whole(&conversion->completion, &conversion->facts, &whole->sink);
    }
    if (whole->sink.failed)
        return ERR(OVERLOADED);
    const size_t len = convert_text_len(whole);
    req->reply_length = (int64_t)len;
    if (!pump_commit(req) ||
        !stream_send(req->stream, &whole->body->buf, whole->body->buf.data, len))
        return ERR(OVERLOADED);
    return OK;
}

// What the vendor said and the client's format has no place for.
static void count_unsaid(struct req *req)
{
    const struct conversion *conversion = req->conversion;
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < DELTA_KIND_COUNT; kind++) {
        sum += conversion->streams ? conversion->encode.lost[kind] : 0;
        if (!conversion->sse || !conversion->streams)
            sum += conversion->completion.lost[kind];
    }
    if (sum > 0)
        counter_add(&convert_figures(req)->losses[FIGURES_UNSAID], sum);
}

enum next convert_finish(struct req *req)
{
    struct conversion *conversion = req->conversion;
    if (req->unpack != NULL && failed(inflate_end(&req->unpack->inflate)))
        return req_fail(req, ERR(UPSTREAM_TRUNCATED));
    struct err err = conversion->sse ? end_events(req) : read_whole(req);
    if (!failed(err)) {
        const struct wire_stream *stream = &req->answer->stream;
        const struct usage usage = usage_normal(&stream->told, stream->wire->rule);
        err = conversion->streams ? end_stream(req, &usage) : end_whole(req, &usage);
    }
    if (failed(err)) {
        if (conversion->streams && req->pump.committed)
            (void)out_send(conversion); // what came before the error
        return req_fail(req, err);
    }
    count_unsaid(req);
    return pump_end(req);
}
