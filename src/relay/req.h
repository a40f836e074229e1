// req.h - one request on its way through the named steps; private to src/relay.
//
// The steps, their edges and the two rules of retrying are in req.c. Each req_*.c file holds the
// steps of one phase.
#ifndef PENSTOCK_RELAY_REQ_H
#define PENSTOCK_RELAY_REQ_H

#include "penstock/base/arena.h"
#include "penstock/codec/inflate.h"
#include "penstock/codec/splice.h"
#include "penstock/codec/sse.h"
#include "penstock/codec/trace.h"
#include "penstock/relay/shard.h"

enum step {
    STEP_BODY,     // the client's body is being collected
    STEP_PLAN,     // body scanned, model known
    STEP_PICK,     // an account is leased
    STEP_DIAL,     // waiting for a connection
    STEP_SEND,     // request queued on it
    STEP_WAIT,     // waiting for the head of the answer
    STEP_REFUSED,  // the vendor said no: collecting why
    STEP_STREAM,   // the answer passes through
    STEP_ESTIMATE, // tokens are counted here, because no vendor did
    STEP_FAIL,     // an error is said
    STEP_DONE,
    STEP_COUNT
};

enum next { NEXT_RUN, NEXT_WAIT, NEXT_DONE };

enum {
    REQ_TRIED_MAX = 8,          // accounts tried for one request
    REQ_ID_LEN = 26,            // characters of a request id
    REQ_HOLD_MAX = 64 * KIB,    // of an event, or of a beginning without content
    REQ_REFUSAL_MAX = 64 * KIB, // of a vendor's error body
};

// Whether the vendor's events may be acknowledged together: asked for with the first piece, and on
// and on where that has held for a while. A vendor that waits for acknowledgements is not held up
// twice.
enum pump_ack { PUMP_ACK_NEW, PUMP_ACK_ASKED, PUMP_ACK_LATE, PUMP_ACK_EACH };

struct pump {
    struct sse_scan scan;
    struct body *hold; // a torn event, or events held before the commit point
    uint32_t hold_len;
    uint32_t event_at; // where in `hold` the torn event begins
    bool sse;          // the answer is an event stream
    bool committed;    // the client has seen something
    bool overlong;     // an event larger than REQ_HOLD_MAX is passing
    bool terminal;     // the format's proper end was seen
    bool notified;     // the half-closed client was probed
    uint8_t pieces;    // of a stream, modulo 256
    uint8_t ack;       // enum pump_ack
};

// What is known of the blobs in a client's body (req_issuer.h).
struct issuers {
    uint64_t newest; // the account that made the newest one that is known, 0: none is
    bool mixed;      // others made some of them
    bool refused;    // some of this client's blobs were refused somewhere
};

// What the body says and what becomes of it. It lives in the arena: a pass over a large body may
// take several turns.
enum { BODY_MODEL, BODY_STREAM, BODY_STREAM_OPTIONS, BODY_PREVIOUS, BODY_MEMBERS };
struct plan {
    struct json_members members;
    struct json_member items[BODY_MEMBERS];
    struct splice splice; // edits of the body for the account that was picked
    struct issuers issuers;
};

struct req {
    struct shard *shard;
    struct stream *stream;
    struct task task;
    struct list link; // of the shard's live requests
    uint8_t step;
    uint8_t op;       // enum wire_op
    uint8_t family;   // enum wire_family: the form of errors
    uint8_t format;   // enum format
    uint8_t provider; // 1 + enum account_type of the attempt, 0: none yet
    uint8_t stage;    // enum figures_stage of what went wrong last
    uint8_t own;      // enum figures_own, while it is among the shard's `owed`
    bool stream_wanted;
    bool leased;
    bool cut;         // the process ends: no more waiting
    bool usage_added; // we asked for the usage event
    bool fresh;       // the next attempt takes no pooled connection
    bool streaming;   // an event stream passes to the client
    bool is_owed;     // among the shard's `owed`
    bool converts;    // the attempt's vendor speaks another format than the client
    bool strict;      // what conversion cannot carry over is refused
    bool notes;       // the answer passes, and who signed what in it is noted
    bool again;       // the account that was asked is the next to be asked
    bool thoughtless; // the vendor refused a signature: no thought goes to it
    uint8_t up_op;    // enum wire_op that the vendor is asked for
    uint8_t attempts, tried_count, stale_retries;
    uint8_t fields_dropped;     // of the client's head, on their way to the vendor
    int16_t status;             // answered to the client, 0 if nothing
    uint64_t head_nr;           // of the client's head, if it is known to come again; else 0
    struct err err;             // what went wrong last
    struct arena arena;         // until the commit point; holds vendor secrets, so it is wiped
    struct span model;          // as the client wrote it, decoded; in the body or the arena
    struct span vendor_model;   // empty: the same
    struct span fields;         // the client's fields that go on to the vendor, ready as head lines
    struct span query;          // the client's, without the key; in the arena
    struct span up_head;        // the whole request head for the vendor
    struct span version;        // of the API, as in the client's path; in the arena
    struct span origin;         // that a browser may read this answer from; in the arena
    struct span allow;          // the methods of this path; static text
    struct span detail;         // for the client, beside the error's own text; in the arena
    struct plan *plan;          // in the arena
    uint64_t generation;        // of the snapshot that the next two point into; see req_look()
    const struct snap_key *key; // NULL: revoked
    struct snap_route route;    // for the model, once it is known
    struct slot_ref account_slot;
    uint64_t first_byte_ns, idle_ns; // deadlines of this attempt
    uint64_t deadline_ns;            // of the whole request, 0: none
    uint64_t wait_ns;                // when this step's wait is over, 0: never
    uint32_t dest;
    enum coding coding;            // of the request's body as it came
    struct unpack *unpack;         // while a compressed body is being unpacked
    struct answer *answer;         // of the attempt in progress, or of the last one
    struct conversion *conversion; // req_convert.h; NULL: nothing was converted yet
    struct span alias; // the client's name for the model as JSON, where the vendor has another
    bool body_sent;    // the request went to a vendor
    struct span reply_fields; // of the answer's head, ready for the client; in the arena
    int64_t reply_length;     // of the vendor's answer, -1: not known
    uint64_t retry_after_ms;  // that a refusal's head told, 0 if none
    uint64_t sent_ns;         // when the dial began, the request left, the newest event left
    uint64_t own_since_ns;    // in the gateway's own hands since then, 0: not now
    uint32_t own_us;          // that it has been there before
    uint16_t up_status;       // the vendor's
    struct trace_ids trace;   // as the client told it
    struct req *owed_next;
    struct access_record *line; // once it has ended, while it is among `owed`; may be NULL
    struct pump pump;
    struct usage_record record;
    struct fetch fetch; // from here on nothing is set to begin with, but that no fetch is active
    struct dial_limits dial;
    struct slot_ref tried[REQ_TRIED_MAX];
    uint8_t key_digest[DIGEST_BYTES];
    char id[REQ_ID_LEN];
};

// --- req.c ---
void req_run(struct task *task);
size_t req_describe(const void *arg, char *out, size_t cap);
const char *req_step_name(enum step step);
enum next req_goto(struct req *req, enum step to);
// Decides between another attempt and an error for the client.
enum next req_fail(struct req *req, struct err err);
// No other account is asked: what is said about the last error.
enum next req_give_up(struct req *req);
void req_lease_drop(struct req *req);
// Overwrites the request head for the vendor, which holds the account's secret.
void req_head_wipe(struct req *req);
// The same, and gives the arena back.
void req_arena_reset(struct req *req);
// From now on the step waits for no longer than `ns`.
void req_arm(struct req *req, uint64_t ns);
// The same, but the step runs again at `wake_ns`, if that is earlier.
void req_arm_waking(struct req *req, uint64_t ns, uint64_t wake_ns);
// While nothing but the whole request has a deadline of this step's.
void req_arm_total(struct req *req);
static inline bool req_is_due(const struct req *req)
{
    return req->wait_ns != 0 && req->shard->loop.now_ns >= req->wait_ns;
}
static inline bool req_is_late(const struct req *req)
{
    return req->deadline_ns != 0 && req->shard->loop.now_ns >= req->deadline_ns;
}
static inline struct span req_id(const struct req *req)
{
    return span_of(req->id, REQ_ID_LEN);
}

// --- req_head.c: what on_request() does before the body ---
void req_on_request(struct http_app *app, struct stream *stream, const struct http_head *head);
void req_make_id(struct shard *shard, uint8_t bytes[USAGE_ID_BYTES], char text[REQ_ID_LEN]);

// --- req_stream.c ---
// Adds to what is held; false when it would be more than `max`, or memory is short.
must_use bool pump_hold(struct req *req, struct span bytes, size_t max);
void pump_hold_drop(struct req *req);
// Keeps what the client will see of the vendor's head.
must_use struct err pump_note_head(struct req *req, const struct http_head *head);
// The commit point: from here on this answer is the client's. False: no memory for its head.
must_use bool pump_commit(struct req *req);
// After the vendor's error in the midst of an answer, whose details are in the shard's note.
struct err pump_event_error(struct req *req);
// All of the vendor's answer was read: lets go of its connection.
void pump_release(struct req *req);
// The client is slower than the vendor: waits until it has caught up.
enum next pump_wait(struct req *req);
// Everything has been sent.
enum next pump_end(struct req *req);

// --- the steps ---
enum next step_body(struct req *req);
enum next step_plan(struct req *req);
enum next step_pick(struct req *req);
enum next step_dial(struct req *req);
enum next step_send(struct req *req);
enum next step_wait(struct req *req);
enum next step_refused(struct req *req);
enum next step_stream(struct req *req);
enum next step_estimate(struct req *req);
enum next step_fail(struct req *req);
enum next step_done(struct req *req);

#endif
