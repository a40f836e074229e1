// answer.h - what is learnt of a vendor's answer while it passes; private to src/relay.
//
// One a request that has an answer. It is filled by the wire layer, judged by the pump, and read
// for the record at the end.
#ifndef PENSTOCK_RELAY_ANSWER_H
#define PENSTOCK_RELAY_ANSWER_H

#include "penstock/wire/reply.h"
#include "penstock/wire/wire.h"
#include "req.h"
#include "req_issuer.h"

enum { ANSWER_SECRET_MAX = 320 };

// What reads a whole answer, or an overlong event. Streams have none, so it is taken when needed.
struct answer_pass {
    struct wire_pass pass;
    struct issuer_scan issuer; // where req->notes
    char values[WIRE_VALUES_MAX];
};

struct answer {
    struct wire_stream stream;
    struct buf *pass_memory; // keeps a struct answer_pass while one is under way, else NULL
    struct kept_secret *secret;
    struct fault_note *note; // in the arena; NULL: no fault was read
    uint8_t model_len; // of the vendor's name for the model, as far as it fits; 0: the client's
    char model[USAGE_MODEL_MAX];
};

// What must not come out of the vendor's mouth: the account's credential. Streams may last longer
// than the snapshot that it came from; those of one account share a copy.
struct kept_secret {
    struct secrets secrets; // a view of `text`
    uint32_t refs;
    uint16_t len;
    char text[ANSWER_SECRET_MAX];
};

// A fresh one for an attempt on an account whose credential is `secret`. False: none is left.
must_use bool answer_begin(struct req *req, struct span secret);
void answer_end(struct req *req);

static inline struct wire_pass *answer_pass(const struct answer *answer)
{
    return &((struct answer_pass *)(void *)answer->pass_memory->data)->pass;
}
static inline struct issuer_scan *answer_issuer(const struct answer *answer)
{
    return &((struct answer_pass *)(void *)answer->pass_memory->data)->issuer;
}

// Starts to read a body that passes in pieces.
must_use bool answer_pass_begin(struct req *req, bool sse);
void answer_pass_end(struct req *req);
void answer_pass_drop(struct req *req); // without a look at what has passed

// A note for a fault, in the arena; NULL when that is exhausted.
struct fault_note *answer_note(struct req *req);

// Keeps the vendor's name for the model, for the access line.
void answer_note_model(struct answer *answer, struct span model);

// Puts usage and model into the request's record.
void answer_record(struct req *req);

#endif
