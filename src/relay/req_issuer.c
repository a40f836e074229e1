#include "req_issuer.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

enum { REFUSED_TEXT_MAX = 8 + BLOB_TEXT_MAX };

static uint64_t now_ns(const struct req *req)
{
    return req->shard->loop.now_ns;
}

static struct recall *recall_of(const struct req *req)
{
    return req->shard->shared->recall;
}

// --- what is kept ---

static struct recall_key issuer_key(const struct req *req, const struct blob *blob)
{
    char text[BLOB_TEXT_MAX] uninitialized;
    return recall_key(recall_of(req), RECALL_ISSUER, req->record.key_id, blob_text(blob, text));
}

static struct recall_key refused_key(const struct req *req, uint64_t account,
                                     const struct blob *blob)
{
    char text[REFUSED_TEXT_MAX] uninitialized;
    memcpy(text, &account, sizeof(account));
    const size_t len = blob_text(blob, text + sizeof(account)).len;
    return recall_key(recall_of(req), RECALL_REFUSED, req->record.key_id,
                      span_of(text, sizeof(account) + len));
}

// The account that made it, 0 if that is not known.
static uint64_t issuer_of(const struct req *req, const struct blob *blob)
{
    uint64_t account = 0;
    (void)recall_get(recall_of(req), issuer_key(req, blob), now_ns(req), (char *)&account,
                     sizeof(account));
    return account;
}

static bool was_refused(const struct req *req, uint64_t account, const struct blob *blob)
{
    char any[1];
    return recall_get(recall_of(req), refused_key(req, account, blob), now_ns(req), any,
                      sizeof(any)) > 0;
}

// --- the request ---

static bool is_watched(const struct req *req)
{
    const enum wire_op op = (enum wire_op)req->op;
    return recall_of(req) != NULL && (wire_op_generates(op) || wire_op_counts(op));
}

typedef void blob_fn(struct req *req, const struct blob *blob);

static void each_blob(struct req *req, struct span text, blob_fn *found)
{
    struct issuer_scan scan;
    issuer_scan_begin(req, &scan);
    for (size_t i = 0; i < scan.count; i++) {
        struct span rest = text;
        struct blob blob;
        while (blob_scan_next(&scan.scans[i], &rest, &blob))
            found(req, &blob);
    }
}

static void look(struct req *req, const struct blob *blob)
{
    struct issuers *issuers = &req->plan->issuers;
    const uint64_t account = issuer_of(req, blob);
    counter_add(account != 0 ? &req->shard->counters.recall_hits[0]
                             : &req->shard->counters.recall_misses[0],
                1);
    if (account == 0)
        return;
    issuers->mixed |= issuers->newest != 0 && issuers->newest != account;
    issuers->newest = account;
}

void issuer_look(struct req *req)
{
    struct issuers *issuers = &req->plan->issuers;
    *issuers = (struct issuers){ 0 };
    if (!is_watched(req))
        return;
    const uint64_t tenant = req->record.key_id;
    issuers->refused = recall_knows(recall_of(req), RECALL_REFUSED, tenant);
    if (recall_knows(recall_of(req), RECALL_ISSUER, tenant))
        each_blob(req, req->stream->body, look);
}

bool issuer_differs(const struct req *req, uint64_t account)
{
    const struct issuers *issuers = &req->plan->issuers;
    const bool others = issuers->newest != 0 && (issuers->mixed || issuers->newest != account);
    return (others || issuers->refused) && GUARD(RELAY_ISSUER);
}

bool issuer_is_foreign(void *arg, const struct blob *blob)
{
    const struct issuer_asked *asked = arg;
    const uint64_t account = issuer_of(asked->req, blob);
    return (account != 0 && account != asked->account) ||
           (asked->req->plan->issuers.refused && was_refused(asked->req, asked->account, blob));
}

static void refuse_by(const struct req *req, uint64_t account, const struct blob *blob)
{
    recall_expect(recall_of(req), RECALL_REFUSED, req->record.key_id);
    (void)recall_put(recall_of(req), refused_key(req, account, blob), SPAN("r"), now_ns(req));
}

static void refuse(struct req *req, const struct blob *blob)
{
    refuse_by(req, req->record.account_id, blob);
}

bool issuer_was_refused(const struct req *req, uint64_t account, struct words signature)
{
    struct blob blob;
    if (!recall_knows(recall_of(req), RECALL_REFUSED, req->record.key_id))
        return false;
    blob_of(&blob, signature.raw);
    return was_refused(req, account, &blob);
}

void issuer_refuse(struct req *req, uint64_t account, struct words signature)
{
    struct blob blob;
    blob_of(&blob, signature.raw);
    refuse_by(req, account, &blob);
}

void issuer_refused(struct req *req)
{
    if (is_watched(req))
        each_blob(req, req->stream->body, refuse);
}

// --- the answer ---

bool issuer_is_due(const struct req *req)
{
    return recall_of(req) != NULL && wire_op_generates((enum wire_op)req->op) &&
           snapshot_serving(req->shard->snap, (enum format)req->format) > 1;
}

static void note(struct req *req, const struct blob *blob)
{
    const uint64_t account = req->record.account_id;
    if (issuer_of(req, blob) == account)
        return; // some formats say it twice
    recall_expect(recall_of(req), RECALL_ISSUER, req->record.key_id);
    (void)recall_put(recall_of(req), issuer_key(req, blob),
                     span_of((const char *)&account, sizeof(account)), now_ns(req));
}

void issuer_note(struct req *req, struct span block)
{
    each_blob(req, block, note);
}

void issuer_scan_begin(const struct req *req, struct issuer_scan *scan)
{
    struct span marks[BLOB_MARKS_MAX];
    scan->count = blob_marks((enum wire_family)req->family, marks);
    for (size_t i = 0; i < scan->count; i++)
        blob_scan_init(&scan->scans[i], marks[i]);
}

void issuer_scan_feed(struct req *req, struct issuer_scan *scan, struct span piece)
{
    for (size_t i = 0; i < scan->count; i++) {
        struct span rest = piece;
        struct blob blob;
        while (blob_scan_next(&scan->scans[i], &rest, &blob))
            note(req, &blob);
    }
}
