#include "own.h"

#include "penstock/base/check.h"

static void settle(struct shard *shard, struct req *req)
{
    const uint64_t us = (shard->loop.ended_ns - req->own_since_ns) / NS_PER_US;
    latency_add_own(&shard->counters.overhead[req->family][req->own], us);
    req->own_us = (uint32_t)min_u64(req->own_us + us, UINT32_MAX);
    req->own_since_ns = 0;
    req->is_owed = false;
    if (req->step != STEP_DONE)
        return;
    if (req->line != NULL) // nobody has seen it yet
        req->line->overhead_us = req->own_us;
    list_take(&req->link);
    slab_give(&shard->reqs, req);
}

void own_settle(struct shard *shard)
{
    struct list *next;
    for (struct list *at = shard->owed.next; at != &shard->owed; at = next) {
        next = at->next;
        settle(shard, container_of(at, struct req, link));
    }
    list_splice(&shard->live, &shard->owed);
}
