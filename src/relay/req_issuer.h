// req_issuer.h - who signed what: noted while answers pass, asked before a request goes (C-138,
// C-150); private to src/relay.
//
// A thought goes back to the account that made it. Which one that was is remembered for each blob
// that passes, as far as there is more than one account that could get it back. Of a blob that
// nothing is known of it is believed that it may go anywhere.
#ifndef PENSTOCK_RELAY_REQ_ISSUER_H
#define PENSTOCK_RELAY_REQ_ISSUER_H

#include "penstock/convert/blob.h"
#include "penstock/convert/words.h"
#include "penstock/relay/recall.h"
#include "req.h"

// For those who pass an answer through in pieces.
struct issuer_scan {
    size_t count;
    struct blob_scan scans[BLOB_MARKS_MAX];
};

// Looks at the body; once a request.
void issuer_look(struct req *req);
// Whether there may be blobs in the body that this account cannot take,
bool issuer_differs(const struct req *req, uint64_t account);
// and which these are: for struct mend.
struct issuer_asked {
    struct req *req;
    uint64_t account;
};
bool issuer_is_foreign(void *asked, const struct blob *blob);
// Whether an account refused this signature, in a request that was converted; and that it did.
bool issuer_was_refused(const struct req *req, uint64_t account, struct words signature);
void issuer_refuse(struct req *req, uint64_t account, struct words signature);
// The account that is asked refused a thought: from now on it gets none of those in this body.
void issuer_refused(struct req *req);

// Whether the answer of the account that is asked has to be watched,
bool issuer_is_due(const struct req *req);
// and its text: whole events, and what comes in pieces.
void issuer_note(struct req *req, struct span block);
void issuer_scan_begin(const struct req *req, struct issuer_scan *scan);
void issuer_scan_feed(struct req *req, struct issuer_scan *scan, struct span piece);

#endif
