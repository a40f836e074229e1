// FAIL and DONE: what is said at the end, what is recorded, and that nothing is left.
#include "answer.h"
#include "own.h"
#include "penstock/base/check.h"
#include "reply.h"
#include "req.h"
#include "req_convert.h"
#include "unpack.h"

enum next step_fail(struct req *req)
{
    reply_error(req);
    own_end(req, OWN_WRITE);
    return req_goto(req, STEP_DONE);
}

_Static_assert(FIGURES_TOKENS == (int)USAGE_TOKEN_COUNT, "every kind of token is counted");

static void count(const struct req *req, const struct usage_record *entry)
{
    struct shard_counters *counters = &req->shard->counters;
    const unsigned op = req->op, provider = req->provider;
    const unsigned class = (unsigned)req->status / 100;
    struct counter *by_class = counters->requests[op][provider][req->stream_wanted];
    counter_add(&by_class[class < FIGURES_CLASSES ? class : 0], 1);
    if (failed(req->err))
        figures_error(counters, op, provider, (enum figures_stage)req->stage, req->err.code);
    if (req->err.code == ERR_DRAINING)
        counter_add(&counters->cut, 1);
    if (entry->tokens[USAGE_INPUT] != 0 || entry->tokens[USAGE_OUTPUT] != 0 ||
        entry->tokens[USAGE_CACHE_READ] != 0)
        figures_tokens(counters, entry->model_id, provider, entry->tokens);
    latency_add(&counters->duration[op][provider], entry->total_us);
    if (entry->ttft_us != 0)
        latency_add(&counters->first_token[op][provider], entry->ttft_us);
    counter_add(&counters->bytes_in, entry->bytes_in);
    counter_add(&counters->bytes_out, entry->bytes_out);
    counter_sub(&counters->in_flight[op], 1);
    if (req->streaming)
        counter_sub(&counters->streams[op], 1);
}

static void log_line(struct req *req, const struct usage_record *entry)
{
    struct access_port *port = req->shard->access;
    struct access_record *line = access_port_place(port);
    if (line == NULL)
        return; // counted
    line->usage = *entry;
    usage_record_clamp(&line->usage);
    memcpy(line->id, req->id, sizeof(line->id));
    line->op = req->op;
    line->stage = failed(req->err) ? req->stage : STAGE_NONE;
    line->vendor_status = req->up_status;
    line->overhead_us = req->own_us;
    line->trace = req->trace;
    line->vendor_model_len = req->answer != NULL ? req->answer->model_len : 0;
    if (line->vendor_model_len > 0)
        memcpy(line->vendor_model, req->answer->model, line->vendor_model_len);
    const struct peer *peer = stream_peer(req->stream);
    line->client_family = peer->family;
    memcpy(line->client, peer->bytes, sizeof(line->client));
    access_port_push(port);
    req->line = line;
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
    if (shard->access != NULL && shard->shared->relay->log_access)
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
    convert_end(req);
    answer_end(req);
    unpack_end(req);
    req_arena_reset(req);
    task_cancel(&req->task);
    if (own_is_owed(req)) // it stays until the end of this turn
        return NEXT_DONE;
    list_take(&req->link);
    slab_give(&shard->reqs, req);
    return NEXT_DONE;
}
