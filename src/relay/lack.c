#include "lack.h"

static bool is_told(enum wire_op op)
{
    return wire_op_counts(op) || op == OP_COMPLETIONS;
}

static struct recall_key key_of(const struct req *req, uint64_t account, struct span vendor_model)
{
    const struct span model = vendor_model.len > 0 ? vendor_model : req->model;
    const uint64_t what[] = { account, usage_model_id(model), req->op };
    return recall_key(req->shard->shared->recall, RECALL_LACK, 0,
                      span_of((const char *)what, sizeof(what)));
}

bool lack_is_known(const struct req *req, const struct snap_account *account,
                   struct span vendor_model)
{
    struct recall *recall = req->shard->shared->recall;
    if (recall == NULL || !is_told((enum wire_op)req->op) || !recall_knows(recall, RECALL_LACK, 0))
        return false;
    uint64_t until_ns = 0;
    const uint64_t now_ns = req->shard->loop.now_ns;
    (void)recall_get(recall, key_of(req, account->usage_id, vendor_model), now_ns,
                     (char *)&until_ns, sizeof(until_ns));
    return until_ns > now_ns;
}

void lack_note(struct req *req)
{
    struct recall *recall = req->shard->shared->recall;
    const uint64_t now_ns = req->shard->loop.now_ns, until_ns = now_ns + LACK_NS;
    if (recall == NULL || !is_told((enum wire_op)req->op))
        return;
    recall_expect(recall, RECALL_LACK, 0);
    (void)recall_put(recall, key_of(req, req->record.account_id, req->vendor_model),
                     span_of((const char *)&until_ns, sizeof(until_ns)), now_ns);
}
