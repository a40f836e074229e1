#include "own.h"

#include "penstock/base/check.h"

// The request is over, and was kept only to hear of this turn's end.
static void bury(struct shard *shard, struct req *req)
{
    if (req->line != NULL) // nobody has seen it yet
        req->line->overhead_us = req->own_us;
    list_take(&req->link);
    slab_give(&shard->reqs, req);
}

void own_settle(struct shard *shard)
{
    const struct loop *loop = &shard->loop;
    const uint64_t now_ns = loop->now_ns;
    const uint32_t turn_us = (uint32_t)min_u64(loop->took_us, UINT32_MAX);
    const unsigned turn_bucket = loop->took_bucket;
    struct req *req = shard->owed;
    shard->owed = NULL;
    while (req != NULL) {
        struct req *next = req->owed_next;
        uint32_t us = turn_us;
        unsigned bucket = turn_bucket;
        if (unlikely(req->own_since_ns != now_ns)) { // it began in an earlier turn
            us = (uint32_t)min_u64((loop->ended_ns - req->own_since_ns) / NS_PER_US, UINT32_MAX);
            bucket = latency_bucket(us, LATENCY_OWN_FIRST_US);
        }
        latency_add_to(&shard->counters.overhead[req->family][req->own], bucket, us);
        req->own_us += us;
        req->own_since_ns = 0;
        req->is_owed = false;
        if (req->step == STEP_DONE)
            bury(shard, req);
        req = next;
    }
}
