// FAIL and DONE: what is said at the end, what is recorded, and that nothing is left.
#include "answer.h"
#include "penstock/base/check.h"
#include "reply.h"
#include "req.h"

enum next step_fail(struct req *req)
{
    reply_error(req);
    return req_goto(req, STEP_DONE);
}

static void record(struct req *req)
{
    struct shard *shard = req->shard;
    struct usage_record *entry = &req->record;
    entry->status = (uint16_t)req->status;
    entry->err = req->err.code;
    entry->kind = USAGE_REQUEST;
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
    unsigned status_class = (unsigned)req->status / 100;
    shard->counters.requests[req->op][status_class <= 5 ? status_class : 0]++;
    shard->counters.in_flight--;
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
    req_arena_reset(req);
    timer_stop(&shard->loop.wheel, &req->timer);
    task_cancel(&req->task);
    list_take(&req->link);
    slab_give(&shard->reqs, req);
    return NEXT_DONE;
}
