// req_convert.h - a request whose vendor speaks another format than its client; private to
// src/relay.
//
// Everything that such a request needs beside the rest is one block, taken when the first account
// of another format is tried. req_convert.c carries the request over, req_recode.c the answer back.
// Neither knows a format: what can be converted is in converters.def.
#ifndef PENSTOCK_RELAY_REQ_CONVERT_H
#define PENSTOCK_RELAY_REQ_CONVERT_H

#include "penstock/base/guard.h"
#include "penstock/convert/convert.h"
#include "penstock/convert/spool.h"
#include "penstock/convert/thoughts.h"
#include "penstock/convert/undo.h"
#include "req.h"

enum {
    CONVERT_ID_MAX = 160,
    CONVERT_PIECES_MAX = 48,            // of memory for one request's arrays
    CONVERT_EVENT_MAX = 32 * MIB,       // of a vendor's event, or of a whole answer
    CONVERT_KEEP_MAX = 32 * MIB,        // of what an answer has to repeat at its end
    CONVERT_REPLY_FIELDS_MAX = 1 * KIB, // of the vendor's fields, beside those that tell of losses
};

// Of memory for one request's arrays: what the largest request of all kinds needs.
#define CONVERT_PIECES_BYTES_MAX (UINT64_C(256) * MIB)

// Contiguous memory that grows while it is written.
struct convert_text {
    struct sink sink;
    struct net *net;
    struct carry *carry; // whose memory it grows by; NULL: the shard's
    struct body *body;   // NULL: nothing was written
};

// What is under way of carrying a request over, in the first piece of its memory. Parsing and
// rendering a large one is the carrier's: until it is back nothing here is touched, nor what the
// memory below is taken of.
enum carry_stage { CARRY_PARSE, CARRY_RENDER, CARRY_COUNT };

struct carry {
    struct carrier_job job;
    struct req *req;
    uint8_t stage;       // enum carry_stage
    bool out;            // the carrier has it
    uint64_t generation; // of the snapshot that the next two are of
    const struct snap_candidate *candidate;
    enum format format; // in which it is asked
    const struct snap_account *account;
    uint64_t usage_id; // of the account; 0: nobody is asked
    struct span vendor_model;
    struct err err;        // of the stage
    uint64_t tokens;       // CARRY_COUNT
    struct budget *budget; // the carrier's, while it is at work: what is taken meanwhile
    uint32_t lent;         // bytes of it
    struct extent_pool *extents;
    struct extent pieces[CONVERT_PIECES_MAX];
    uint32_t piece_count, piece_used;
    struct prompt_parse parse;
    struct caps caps;
    struct prompt prompt;
};

struct conversion {
    struct req *req;
    struct carry *carry;               // NULL: nothing is under way
    const struct converter *from, *to; // the client's format, the vendor's (NULL: none)
    uint32_t charged;                  // of this block and what it keeps
    // Memory for what has to be built, in pieces: first of the request, then of an answer.
    struct scratch scratch;
    struct body *pieces[CONVERT_PIECES_MAX];
    uint32_t piece_count;
    uint32_t piece_used; // of the newest
    // The request: what is in the arena is gone once the answer is the client's.
    struct losses *losses;
    struct convert_text text; // for the vendor, while it may be sent
    size_t text_len;
    struct span detail, param; // why it was refused, and where
    // The answer.
    struct arena_source chunks;
    struct answer_facts facts;
    bool aliased;   // `aliases` are made
    bool undoes;    // what the vendor says is put into the client's words
    bool remembers; // what it signs is kept for the client, who may lose it
    struct thoughts_memory memory;
    bool begun;   // the next ones are set up
    bool sse;     // the vendor sends events
    bool streams; // the client gets events
    bool small;   // the piece at hand
    // What leaves: first in a buffer, from there on in the spool.
    struct spool out;
    struct buf *out_buf;     // NULL: nothing was written yet
    size_t out_buf_len;      // of it, once the spool is in use
    uint64_t out_whole;      // bytes that may leave: they are whole events, or an answer's end
    struct err late;         // what went wrong behind those
    bool finishing;          // the vendor's answer has ended
    bool ends;               // more of the end of the client's stream is to be written
    bool inside;             // a part of its last event has left
    bool undid;              // `undone` is set up
    bool scans;              // so is `scan`: the vendor's whole answer is long
    uint32_t counted;        // bytes of it that usage was looked for in
    uint64_t quiet_since_ns; // nothing went to the client since
    struct aliases aliases;  // kept from the request to the end of its answer
    struct undo undo;
    struct thoughts thoughts;
    struct json_scan scan;
    struct completion completion;
    struct completion undone;                 // the same in the client's words
    struct json_slice repeated[REPEATED_MAX]; // of the request, in the answer
    struct decode decode;
    struct encode encode;
    char model[MODEL_NAME_MAX]; // as the client wrote it
    char id[CONVERT_ID_MAX];    // of the answer, as the client reads it
    uint8_t vendor_model_len;
    char vendor_model[USAGE_MODEL_MAX]; // if it is another
};

// --- req_convert.c ---

// The format in which a candidate is asked: OpenAI's Chat serves some models only in part, or not
// at all, and then it is asked by its other format (C-141).
enum format convert_format(const struct req *req, const struct snap_account *account,
                           const struct snap_candidate *candidate);
// Carries the request over for the account that the candidate names, which is asked in `format`.
// PARSE_MORE: the task is woken
// when there is more to do; then it is called again, with the same. PARSE_BAD: see *err; an error
// of the client's says that this request is none for that format, convert_detail() tells why.
must_use enum parse convert_request(struct req *req, const struct snap_candidate *candidate,
                                    enum format format, struct err *err);
// The candidate that the request is being carried over for; NULL if it is for none, or if there is
// a newer snapshot: then what was done is dropped.
const struct snap_candidate *convert_candidate(struct req *req);
// The carrier is at work for the request, which has to wait for it whatever happens.
static inline bool convert_is_out(const struct req *req);
// Drops what is under way, if anything; the candidate's place is free.
void convert_abandon(struct req *req);
// Where the request passes, takes out what an earlier conversion left in its history for the
// account that is asked in the client's own format: an edit of the plan's.
must_use struct err convert_mend(struct req *req, const struct snap_account *account,
                                 struct span vendor_model);
// The buffer that these edits lie in; NULL if there are none.
struct buf *convert_mended(struct req *req);
// How many tokens the client's request has, roughly. An error of the client's: it is none of its
// format.
must_use enum parse convert_estimate(struct req *req, uint64_t *tokens, struct err *err);
struct span convert_detail(const struct req *req);
// The path in the client's request that an error is about; empty if none.
struct span convert_param(const struct req *req);
size_t convert_length(const struct req *req);
// Queues the body for the vendor. False: no memory.
must_use bool convert_send(struct req *req, struct conn *conn);
// Writes the fields of the answer's head that tell of the conversion, or of the edits.
void convert_fields(struct req *req, struct put *out);
// The client's body is needed until the end of its answer.
bool convert_keeps_body(const struct req *req);
// The answer is the client's: lets go of what only the request needed.
void convert_forget(struct req *req);
void convert_end(struct req *req);

// Where the pair of formats is counted.
struct figures_conversion *convert_figures(struct req *req);
// A validated text without the white space around it; `kind` is JK_NONE if it is no object.
struct json_slice convert_root(struct span text);
// Gives back all that was taken of `scratch`.
void convert_pieces_drop(struct conversion *conversion);
void convert_text_begin(struct convert_text *text, struct net *net, size_t expected);
size_t convert_text_len(const struct convert_text *text);
void convert_text_drop(struct convert_text *text);

static inline bool convert_is_out(const struct req *req)
{
    return req->conversion != NULL && req->conversion->carry != NULL && req->conversion->carry->out;
}

// --- req_carry.c ---

// Runs the stage, at once or by the carrier; false: by the carrier.
must_use bool carry_stage(struct carry *carry, enum carry_stage stage);
// On the carrier's thread: memory like piece_take() and body_grow() give.
void *carry_take(struct carry *carry, size_t size);
bool carry_grow(struct carry *carry, struct body *body, size_t len);
// What a stage does, wherever it runs.
void carry_run(struct carry *carry);

// --- req_thoughts.c ---

// Gives a parsed history back what its client lost of it; or takes all thoughts out of it, if the
// vendor refused one.
must_use struct err convert_recall(struct req *req, struct prompt_parse *parse);

// --- req_recode.c ---

// The head of the vendor's answer has come.
void convert_answer(struct req *req);
must_use struct err convert_piece(struct req *req, const struct seg *piece);
enum next convert_finish(struct req *req);
// When the client has to be shown that its answer is still on its way (C-087); UINT64_MAX: never.
uint64_t convert_life_at(const struct req *req);
// Shows it, if it is time. False: no memory.
must_use bool convert_show_life(struct req *req);
// More was written than the client has taken: no more of the vendor's answer is read.
static inline bool convert_is_behind(const struct req *req)
{
    return req->conversion->out_whole > 0 || req->conversion->finishing;
}
// Goes on with that. False: the client has caught up and the vendor's answer goes on.
must_use bool convert_go_on(struct req *req, enum next *next);
// Where the client's event stream stands.
struct wire_place convert_place(struct req *req);
void convert_answer_end(struct conversion *conversion);

#endif
