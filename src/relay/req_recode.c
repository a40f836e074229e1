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
    SMALL_PIECE = 1 * KIB,  // what comes of such a piece fits a small buffer
    WHOLE_LONG = 256 * KIB, // a whole answer that is looked at as it comes
};
#define QUIET_NS (UINT64_C(10) * NS_PER_S) // then the client is shown that its answer is on its way

// --- what leaves ---
//
// What comes of one piece is as a rule short and leaves at its end, as one buffer. What outgrows it
// goes into the spool, which leaves at the client's pace; until it has, no more is read.

static bool out_more(struct sink *sink);

static void out_drop(struct conversion *conversion)
{
    if (conversion->out_buf != NULL)
        buf_put(conversion->out_buf);
    conversion->out_buf = NULL;
    conversion->out_whole = 0;
    spool_fini(&conversion->out);
    conversion->out = (struct spool){ .sink = { .more = out_more } };
}

static bool out_more(struct sink *sink)
{
    struct conversion *conversion = container_of(sink, struct conversion, out.sink);
    struct net *net = &conversion->req->shard->net;
    struct buf *buf = conversion->out_buf;
    if (buf != NULL) {
        conversion->out_buf_len = (size_t)(sink->at - buf->data);
        return budget_level(&net->budget) != BUDGET_SHED &&
               spool_begin(&conversion->out, &conversion->chunks);
    }
    buf = bufpool_take(net->bufs, conversion->small ? BUF_SMALL : BUF_LARGE);
    if (buf == NULL)
        return false;
    conversion->out_buf = buf;
    sink->at = buf->data;
    sink->end = buf->data + buf->cap;
    return true;
}

static inline bool out_is_spooled(const struct conversion *conversion)
{
    return conversion->out.source != NULL;
}

// Up to here the client can be told something else.
static inline void out_mark(struct conversion *conversion)
{
    const struct spool *out = &conversion->out;
    if (unlikely(out_is_spooled(conversion)))
        conversion->out_whole = conversion->out_buf_len + spool_len(out);
    else if (conversion->out_buf != NULL)
        conversion->out_whole = (size_t)(out->sink.at - conversion->out_buf->data);
}

// Sends of the spool what the client has credit for.
static bool out_go_on(struct conversion *conversion)
{
    struct req *req = conversion->req;
    const size_t high = req->shard->shared->relay->stream_bytes;
    while (conversion->out_whole > 0 &&
           (stream_queued(req->stream) < high || !GUARD(CONVERT_CREDIT))) {
        struct buf *buf = bufpool_take(req->shard->net.bufs, BUF_LARGE);
        if (buf == NULL)
            return false;
        const size_t most = min_u64(buf->cap, conversion->out_whole);
        const size_t len = spool_read(&conversion->out, buf->data, most);
        assert(len == most); // what is whole was written
        const bool sent = stream_send(req->stream, buf, buf->data, len);
        buf_put(buf);
        if (!sent)
            return false;
        conversion->out_whole -= len;
        conversion->quiet_since_ns = req->shard->loop.now_ns;
    }
    if (conversion->out_whole == 0)
        out_drop(conversion);
    // Inside an event nothing else may be said.
    req->pump.overlong = conversion->inside || conversion->out_whole > 0;
    return true;
}

// All whole events that were written since the last time. An event that memory ran out for is not
// sent in part: what follows is the error.
static bool out_send(struct conversion *conversion)
{
    struct buf *buf = conversion->out_buf;
    struct req *req = conversion->req;
    bool sent = true;
    if (buf != NULL && likely(!out_is_spooled(conversion))) {
        const size_t len = conversion->out_whole;
        sent = len == 0 || stream_send(req->stream, buf, buf->data, len);
        if (len > 0)
            conversion->quiet_since_ns = req->shard->loop.now_ns;
        out_drop(conversion);
        return sent;
    }
    if (buf != NULL) {
        const size_t len = min_u64(conversion->out_whole, conversion->out_buf_len);
        sent = len == 0 || stream_send(req->stream, buf, buf->data, len);
        conversion->out_whole -= len;
        conversion->out_buf_len = 0;
        conversion->out_buf = NULL;
        buf_put(buf);
    }
    return sent && (!out_is_spooled(conversion) || out_go_on(conversion));
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
    if (likely(!conversion->encode.failed))
        out_mark(conversion);
}

static void kept_delta(void *ctx, const struct delta *delta)
{
    struct conversion *conversion = ctx;
    completion_collect(&conversion->completion, delta);
}

// Where what the vendor said goes: into the client's stream, past what keeps thoughts, or into what
// is collected.
struct taker {
    delta_sink *put;
    void *ctx;
};

static struct taker taker_of(struct conversion *conversion)
{
    if (!conversion->streams)
        return (struct taker){ kept_delta, conversion };
    if (conversion->remembers)
        return (struct taker){ thoughts_put, &conversion->thoughts };
    return (struct taker){ told_delta, conversion };
}

// The same in the client's words.
static struct taker undoing(struct conversion *conversion)
{
    return conversion->undoes ? (struct taker){ undo_put, &conversion->undo }
                              : taker_of(conversion);
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
    conversion->quiet_since_ns = req->shard->loop.now_ns;
    if (!conversion->sse || !conversion->streams)
        completion_init(&conversion->completion, &conversion->chunks, CONVERT_KEEP_MAX);
    conversion->completion.keep.scratch = &conversion->scratch;
    if (conversion->streams)
        encode_init(&conversion->encode, conversion->from, &conversion->facts,
                    &conversion->out.sink, &conversion->chunks, CONVERT_KEEP_MAX);
    if (conversion->remembers)
        thoughts_init(&conversion->thoughts, &conversion->memory, &conversion->facts,
                      conversion->from->family, &conversion->chunks,
                      conversion->streams ? told_delta : NULL, conversion);
    conversion->undoes = !conversion->aliases.plain;
    const struct taker taker = taker_of(conversion);
    if (conversion->undoes)
        undo_init(&conversion->undo, &conversion->aliases, &conversion->chunks, CONVERT_KEEP_MAX,
                  taker.put, taker.ctx);
    const struct taker first = undoing(conversion);
    conversion->undo.keep.scratch = &conversion->scratch;
    if (conversion->sse)
        decode_init(&conversion->decode, conversion->to, &req->answer->stream, &conversion->chunks,
                    first.put, first.ctx);
    conversion->decode.keep.scratch = &conversion->scratch;
    conversion->begun = true;
}

void convert_answer_end(struct conversion *conversion)
{
    out_drop(conversion);
    conversion->late = OK;
    conversion->finishing = conversion->ends = conversion->inside = conversion->scans = false;
    conversion->counted = 0;
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
    if (conversion->remembers)
        thoughts_fini(&conversion->thoughts);
    if (conversion->undid)
        completion_fini(&conversion->undone);
    conversion->undid = false;
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

uint64_t convert_life_at(const struct req *req)
{
    const struct conversion *conversion = req->conversion;
    const bool shown = conversion->streams && req->pump.committed;
    return shown && GUARD(RELAY_LIFE) ? conversion->quiet_since_ns + QUIET_NS : UINT64_MAX;
}

// Of a vendor that thinks, or says what the client's format cannot carry.
bool convert_show_life(struct req *req)
{
    struct conversion *conversion = req->conversion;
    const uint64_t now = req->shard->loop.now_ns;
    if (now < convert_life_at(req) || conversion->out_whole > 0)
        return true;
    conversion->quiet_since_ns = now;
    return stream_send_copy(req->stream, wire_keepalive((enum wire_family)req->family));
}

static struct err keep_whole(struct req *req, struct span piece);

struct err convert_piece(struct req *req, const struct seg *piece)
{
    struct conversion *conversion = req->conversion;
    struct span in = span_of(piece->ptr, piece->len);
    if (unlikely(failed(conversion->late)))
        return OK; // it is told as soon as the client has what came before
    if (!conversion->sse)
        return keep_whole(req, in);
    conversion->small = piece->len < SMALL_PIECE;
    struct err err = take_events(req, in);
    // What was received before an error is delivered.
    if ((!out_send(conversion) || !convert_show_life(req)) && !failed(err))
        err = ERR(OVERLOADED);
    if (likely(conversion->out_whole == 0))
        return err;
    conversion->late = err;
    return OK;
}

// --- whole answers ---

static struct span held(const struct req *req)
{
    const struct pump *pump = &req->pump;
    return pump->hold != NULL ? span_of(pump->hold->buf.data, pump->hold_len) : SPAN_NONE;
}

// Looks for what the answer cost, and for errors, in what has come of it since the last time.
static void count_more(struct req *req)
{
    struct conversion *conversion = req->conversion;
    struct span rest = span_from(held(req), conversion->counted), part;
    enum wire_cut cut;
    conversion->counted += (uint32_t)rest.len;
    while (wire_pass_next(answer_pass(req->answer), &rest, &part, &cut))
        continue;
}

// A long answer is validated and counted as it comes, so that no turn has all of that to do.
static cold struct err scan_more(struct req *req, bool final)
{
    struct conversion *conversion = req->conversion;
    const struct span text = held(req);
    if (!conversion->scans) {
        if (!answer_pass_begin(req, false))
            return ERR(OVERLOADED);
        json_scan_init(&conversion->scan, false);
        conversion->scans = true;
    }
    count_more(req);
    enum parse parse;
    do
        parse = json_scan_feed(&conversion->scan, text, final, text.len);
    while (parse == PARSE_MORE && final);
    return parse == PARSE_BAD || (final && parse != PARSE_DONE) ? malformed() : OK;
}

static struct err keep_whole(struct req *req, struct span piece)
{
    if (!pump_hold(req, piece, CONVERT_EVENT_MAX))
        return ERR(UPSTREAM_TOO_LARGE);
    return unlikely(req->pump.hold_len >= WHOLE_LONG) ? scan_more(req, false) : OK;
}

// True unless it is an error or no answer.
static struct err check_whole(struct req *req, struct json_slice *root)
{
    struct conversion *conversion = req->conversion;
    if (conversion->scans) {
        TRY(scan_more(req, true));
        *root = convert_root(held(req));
        root->kind = conversion->scan.root;
    } else {
        if (!answer_pass_begin(req, false))
            return ERR(OVERLOADED);
        *root = convert_root(held(req));
        // Most answers look like others, and are read once.
        if (!wire_pass_begin_whole(answer_pass(req->answer), held(req)) &&
            !json_check(held(req), root)) {
            answer_pass_drop(req);
            return malformed();
        }
        count_more(req);
    }
    answer_pass_end(req);
    return req->answer->stream.failed ? pump_event_error(req) : OK;
}

static struct err read_whole(struct req *req)
{
    struct conversion *conversion = req->conversion;
    struct json_slice root;
    TRY(check_whole(req, &root));
    const struct wire_stream *stream = &req->answer->stream;
    conversion->facts.id = span_of(stream->id, stream->id_len);
    if (conversion->streams)
        conversion->encode.facts.id = conversion->facts.id;
    if (!conversion->to->read_whole(&conversion->completion, root))
        return completion_failed(&conversion->completion) ? ERR(OVERLOADED) : malformed();
    const struct taker first = undoing(conversion);
    if (conversion->streams)
        completion_play(&conversion->completion, first.put, first.ctx);
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

// Writes more of the end of the client's stream: as a rule all of it.
static struct err end_stream(struct req *req)
{
    struct conversion *conversion = req->conversion;
    struct encode *encode = &conversion->encode;
    if (!encode->ended) {
        const struct wire_stream *stream = &req->answer->stream;
        const struct usage usage = usage_normal(&stream->told, stream->wire->rule);
        conversion->ends = encode_end_begin(encode, &usage);
    }
    while (conversion->ends && !out_is_spooled(conversion))
        conversion->ends = encode_end_more(encode);
    if (!encode->failed) {
        conversion->inside = conversion->ends;
        out_mark(conversion);
    }
    return check_memory(conversion);
}

static struct err end_whole(struct req *req)
{
    struct conversion *conversion = req->conversion;
    const struct completion *completion = &conversion->completion;
    const struct wire_stream *stream = &req->answer->stream;
    conversion->facts.id = span_of(stream->id, stream->id_len);
    conversion->facts.usage = usage_normal(&stream->told, stream->wire->rule);
    conversion->small = false;
    if (conversion->undoes && !conversion->sse) {
        struct completion *undone = &conversion->undone;
        completion_init(undone, &conversion->chunks, CONVERT_KEEP_MAX);
        conversion->undid = true;
        undone->keep.scratch = &conversion->scratch;
        undo_whole(&conversion->aliases, completion, undone);
        completion = undone;
    }
    if (conversion->remembers)
        completion_play(completion, thoughts_put, &conversion->thoughts);
    conversion->from->write_whole(completion, &conversion->facts, &conversion->out.sink);
    if (completion_failed(completion) || conversion->out.sink.failed)
        return ERR(OVERLOADED);
    out_mark(conversion);
    req->reply_length = (int64_t)conversion->out_whole;
    return pump_commit(req) ? OK : ERR(OVERLOADED);
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

// Everything that is still to be written and sent, as far as the client has credit. What went wrong
// is told behind what came before.
static enum next finish(struct req *req)
{
    struct conversion *conversion = req->conversion;
    while (conversion->out_whole == 0 && conversion->ends && !failed(conversion->late)) {
        conversion->late = end_stream(req);
        if (!out_send(conversion))
            return req_fail(req, ERR(OVERLOADED));
    }
    if (conversion->out_whole > 0)
        return pump_wait(req);
    if (failed(conversion->late))
        return req_fail(req, conversion->late);
    count_unsaid(req);
    return pump_end(req);
}

bool convert_go_on(struct req *req, enum next *next)
{
    struct conversion *conversion = req->conversion;
    if (!out_go_on(conversion))
        *next = req_fail(req, ERR(OVERLOADED));
    else if (conversion->finishing)
        *next = finish(req);
    else if (conversion->out_whole > 0)
        *next = pump_wait(req);
    else if (failed(conversion->late))
        *next = req_fail(req, conversion->late);
    else
        return false;
    return true;
}

enum next convert_finish(struct req *req)
{
    struct conversion *conversion = req->conversion;
    if (req->unpack != NULL && failed(inflate_end(&req->unpack->inflate)))
        return req_fail(req, ERR(UPSTREAM_TRUNCATED));
    struct err err = conversion->sse ? end_events(req) : read_whole(req);
    if (!failed(err) && conversion->streams)
        err = req->pump.committed || pump_commit(req) ? end_stream(req) : ERR(OVERLOADED);
    else if (!failed(err))
        err = end_whole(req);
    if (failed(err) && !req->pump.committed)
        return req_fail(req, err);
    conversion->late = err;
    conversion->finishing = true;
    if (!failed(err))
        pump_release(req); // it need not wait for the client
    return out_send(conversion) ? finish(req) : req_fail(req, ERR(OVERLOADED));
}
