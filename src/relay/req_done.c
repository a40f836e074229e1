// FAIL and DONE: what is said at the end, what is recorded, and that nothing is left.
#include "answer.h"
#include "penstock/base/check.h"
#include "reply.h"
#include "req.h"
#include "unpack.h"

enum next step_fail(struct req *req)
{
    reply_error(req);
    return req_goto(req, STEP_DONE);
}

_Static_assert(FIGURES_TOKENS == (int)USAGE_TOKEN_COUNT, "every kind of token is counted");

static void count(const struct req *req, const struct usage_record *entry)
{
    struct shard_counters *counters = &req->shard->counters;
    const unsigned status_class = (unsigned)req->status / 100;
    counter_add(&counters->requests[req->op][status_class < FIGURES_CLASSES ? status_class : 0], 1);
    if (failed(req->err))
        counter_add(&counters->errors[req->err.code], 1);
    for (unsigned i = 0; i < FIGURES_TOKENS; i++)
        if (entry->tokens[i] != 0)
            counter_add(&counters->tokens[req->family][i], entry->tokens[i]);
    latency_add(&counters->duration[req->op], entry->total_us);
    if (entry->ttft_us != 0)
        latency_add(&counters->first_token[req->op], entry->ttft_us);
    counter_add(&counters->bytes_in, entry->bytes_in);
    counter_add(&counters->bytes_out, entry->bytes_out);
    counter_sub(&counters->in_flight, 1);
}

static void log_line(const struct req *req, const struct usage_record *entry)
{
    struct access_port *port = req->shard->access;
    struct access_record *line = access_port_place(port);
    if (line == NULL)
        return; // counted
    line->usage = *entry;
    usage_record_clamp(&line->usage);
    memcpy(line->id, req->id, sizeof(line->id));
    line->op = req->op;
    line->vendor_status = req->up_status;
    access_port_push(port);
}

_Static_assert((int)ACCESS_ID_LEN == (int)REQ_ID_LEN, "a line tells the id that the client saw");

static void record(struct req *req)
{
    struct shard *shard = req->shard;
    struct usage_record *entry = &req->record;
    entry->status = (uint16_t)req->status;
    entry->err = req->err.code;
    entry->kind = USAGE_REQUEST;
    entry->format = req->format;
    entry->route = req->op;
    entry->total_us = (shard->loop.now_ns - req->stream->started_ns) / NS_PER_US;
    entry->bytes_out = req->stream->sent;
    if (req->err.code == ERR_CLIENT_GONE || req->err.code == ERR_CLIENT_STALLED)
        entry->flags |= USAGE_CLIENT_GONE;
    if (req->err.code == ERR_UPSTREAM_TRUNCATED)
        entry->flags |= USAGE_TRUNCATED;
    answer_record(req);
    // A request that nobody was identified for has nobody to count for; the metrics have it.
    if (shard->port != NULL && entry->key_id != 0)
        (void)usage_port_push(shard->port, entry);
    count(req, entry);
    if (shard->access != NULL)
        log_line(req, entry);
}

enum next step_done(struct req *req)
{
    struct shard *shard = req->shard;
    assert(!fetch_is_active(&req->fetch));
    assert(req->stream->ended);
    record(req);
    req_lease_drop(req);
    pump_hold_drop(req);
    answer_end(req);
    unpack_end(req);
    req_arena_reset(req);
    task_cancel(&req->task);
    list_take(&req->link);
    slab_give(&shard->reqs, req);
    return NEXT_DONE;
}
