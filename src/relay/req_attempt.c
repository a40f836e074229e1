// DIAL, SEND, WAIT and REFUSED: one attempt on one account, up to the head of its answer.
#include "answer.h"
#include "own.h"
#include "penstock/base/check.h"
#include "req.h"
#include "req_convert.h"
#include "unpack.h"

enum { RETRY_AFTER_MAX_S = 7 * 86400 };

// What can end an attempt from outside while it waits for the vendor. True if it did; *next is then
// set.
static bool interrupted(struct req *req, struct err timeout, enum next *next)
{
    struct shard *shard = req->shard;
    struct stream *stream = req->stream;
    bool half_is_gone = !shard->shared->relay->half_close_keep;
    if (stream->client == CLIENT_GONE || (stream->client == CLIENT_HALF && half_is_gone)) {
        *next = req_fail(req, ERR(CLIENT_GONE));
        return true;
    }
    if (failed(timeout) && req_is_due(req)) {
        *next = req_fail(req, req_is_late(req) ? ERR(UPSTREAM_TOTAL) : timeout);
        return true;
    }
    return false;
}

enum next step_dial(struct req *req)
{
    struct shard *shard = req->shard;
    if (!fetch_is_active(&req->fetch)) {
        fetch_start(&req->fetch, &shard->net, &shard->upool, shard->shared->dests, req->dest,
                    &req->dial, req->fresh, &req->task);
        req_arm_total(req);
        req->sent_ns = shard->loop.now_ns; // when the dial began, until it is sent
    }
    enum next next;
    // The dial has its own deadlines; the request's may come first.
    if (interrupted(req, req_is_late(req) ? ERR(UPSTREAM_TOTAL) : OK, &next))
        return next;
    struct err err = OK;
    switch (fetch_connect(&req->fetch, &err)) {
    case PARSE_MORE: own_end(req, OWN_ROUTE); return NEXT_WAIT;
    case PARSE_DONE:
        own_begin(req);
        latency_add(&shard->counters.connect[req->provider][req->fetch.reused],
                    (shard->loop.now_ns - req->sent_ns) / NS_PER_US);
        return req_goto(req, STEP_SEND);
    case PARSE_BAD: return req_fail(req, err);
    case PARSE_DATA: break;
    }
    bug("a connection has no pieces");
}

enum next step_send(struct req *req)
{
    struct conn *conn = fetch_conn(&req->fetch);
    struct stream *stream = req->stream;
    bool room = conn_tx_copy(conn, req->up_head);
    struct span body[SPLICE_SPANS_MAX] uninitialized;
    size_t count = 0;
    if (req->converts)
        room = room && convert_send(req, conn);
    else
        count = splice_spans(&req->plan->splice, stream->body, body);
    for (size_t i = 0; i < count && room; i++) {
        const char *start = stream->body_buf != NULL ? stream->body.ptr : NULL;
        bool of_body = body[i].ptr >= start && body[i].ptr < start + stream->body.len;
        struct buf *mended = of_body ? NULL : convert_mended(req);
        if (mended != NULL && body[i].ptr == mended->data)
            room = conn_tx_ref(conn, mended, body[i].ptr, body[i].len);
        else
            room = of_body ? conn_tx_ref(conn, stream->body_buf, body[i].ptr, body[i].len)
                           : conn_tx_copy(conn, body[i]);
    }
    if (!room)
        return req_fail(req, ERR(OVERLOADED));
    conn_tx_now(conn);
    fetch_sent(&req->fetch, HTTP_POST);
    req->body_sent = true;
    own_end(req, OWN_ROUTE);
    req->sent_ns = req->shard->loop.now_ns;
    req_arm(req, req->first_byte_ns);
    (void)req_goto(req, STEP_WAIT);
    return fetch_has_news(&req->fetch) ? NEXT_RUN : NEXT_WAIT;
}

static bool is_event_stream(const struct http_head *head)
{
    const struct http_field *type = http_field_find(head, HF_CONTENT_TYPE);
    struct span want = SPAN("text/event-stream");
    return type != NULL && type->value.len >= want.len &&
           span_eq_nocase(span_upto(type->value, want.len), want);
}

static void note_vendor_id(struct req *req, const struct http_head *head)
{
    const struct http_field *field = http_field_find(head, HF_X_REQUEST_ID);
    if (field == NULL)
        field = http_field_find(head, HF_REQUEST_ID);
    if (field != NULL)
        usage_record_set_vendor_id(&req->record, field->value);
}

// A redirect is never followed, least of all with credentials. Of a refusal's head only the time
// to wait is kept: the rest describes an account that the client does not own.
static struct err refusal_note(struct req *req, const struct http_head *head)
{
    if (head->status < 400)
        return ERR(UPSTREAM_STATUS);
    const struct http_field *after = http_field_find(head, HF_RETRY_AFTER);
    uint64_t seconds;
    req->retry_after_ms = 0;
    if (after != NULL && span_u64(after->value, &seconds) && seconds < RETRY_AFTER_MAX_S)
        req->retry_after_ms = seconds * 1000;
    return OK;
}

// What the refusal means, now that its body is there or will not come.
static struct err refusal_classify(struct req *req)
{
    struct fault_note *note = answer_note(req);
    if (note == NULL)
        return ERR(OVERLOADED);
    struct span body =
        req->pump.hold != NULL ? span_of(req->pump.hold->buf.data, req->pump.hold_len) : SPAN_NONE;
    fault_read(note, req->up_status, body, &req->answer->secret->secrets);
    if (note->retry_ms == 0 && req->retry_after_ms != 0) {
        note->retry_ms = req->retry_after_ms;
        note->retry_told = true;
    }
    return fault_err(note->fault);
}

enum next step_wait(struct req *req)
{
    struct shard *shard = req->shard;
    enum next next;
    if (interrupted(req, OK, &next))
        return next;
    struct http_head *head = &shard->up_head;
    size_t used = 0;
    struct err err = OK;
    // Whole answers and streams of one vendor have heads of their own.
    struct http_form *form =
        &shard->up_forms[(2 * req->dest + req->stream_wanted) % SHARD_UP_FORMS];
    enum parse parse = fetch_head(&req->fetch, form, head, &used, &err);
    if (parse == PARSE_MORE)
        // An answer that came with the deadline counts, as after a pause of the process.
        return interrupted(req, ERR(UPSTREAM_FIRST_BYTE), &next) ? next : NEXT_WAIT;
    if (parse == PARSE_BAD)
        return req_fail(req, err);
    req->up_status = (uint16_t)head->status;
    note_vendor_id(req, head);
    // None was asked for; what comes all the same is decoded if it can be.
    enum coding coding;
    unpack_end(req);
    err = coding_find(head, &coding);
    if (!failed(err) && coding != CODING_IDENTITY)
        err = unpack_begin(req, coding, true);
    if (failed(err))
        return req_fail(req, ERR(UPSTREAM_ENCODING));
    req->pump = (struct pump){ .sse = is_event_stream(head) };
    if (head->status >= 300) {
        err = refusal_note(req, head);
        fetch_head_take(&req->fetch, head, used);
        req_arm(req, req->idle_ns);
        return failed(err) ? req_fail(req, err) : req_goto(req, STEP_REFUSED);
    }
    // The head for the client is written when the first piece goes out: until then another
    // account may still answer.
    err = pump_note_head(req, head);
    fetch_head_take(&req->fetch, head, used);
    if (!failed(err) && req->converts)
        convert_answer(req);
    if (failed(err))
        return req_fail(req, err);
    if (shard->shared->relay->stream_bytes < CONN_RX_LIMIT)
        fetch_allow(&req->fetch, shard->shared->relay->stream_bytes);
    req->wait_ns = 0; // counts when the body keeps us waiting
    return req_goto(req, STEP_STREAM);
}

// Keeps a piece of a vendor's error, unpacked. False: enough of it was seen, or it is damaged.
static bool hold_refusal(struct req *req, const struct seg *piece)
{
    struct span in = span_of(piece->ptr, piece->len);
    if (req->unpack == NULL)
        return pump_hold(req, in, REQ_REFUSAL_MAX);
    for (;;) {
        struct seg plain;
        struct err err;
        enum parse parse = unpack_piece(req, &in, &plain, &err);
        if (parse != PARSE_DATA)
            return parse == PARSE_MORE;
        bool fits = pump_hold(req, span_of(plain.ptr, plain.len), REQ_REFUSAL_MAX);
        buf_put(plain.buf);
        if (!fits)
            return false;
    }
}

enum next step_refused(struct req *req)
{
    enum next next;
    if (interrupted(req, OK, &next))
        return next;
    for (;;) {
        struct seg piece;
        struct err err = OK;
        enum parse parse = fetch_body(&req->fetch, &piece, &err);
        if (parse == PARSE_MORE)
            return interrupted(req, ERR(UPSTREAM_IDLE), &next) ? next : NEXT_WAIT;
        if (parse != PARSE_DATA) {
            if (parse == PARSE_DONE)
                fetch_end(&req->fetch);
            // A cut error body is still an error; what came of it is shown.
            return req_fail(req, refusal_classify(req));
        }
        bool fits = hold_refusal(req, &piece);
        buf_put(piece.buf);
        if (!fits)
            return req_fail(req, refusal_classify(req));
    }
}
