// Thoughts that a client's format or program loses, in the process's memory: for
// convert/thoughts.h.
#include "req_convert.h"
#include "req_issuer.h"

static struct req *req_of(struct thoughts_memory *memory)
{
    return container_of(memory, struct conversion, memory)->req;
}

static struct recall_key key_of(const struct req *req, struct span what)
{
    return recall_key(req->shard->shared->recall, RECALL_CALL, req->record.key_id, what);
}

static struct span find(struct thoughts_memory *memory, struct span what, struct scratch *scratch)
{
    struct req *req = req_of(memory);
    struct recall *recall = req->shard->shared->recall;
    const struct recall_key key = key_of(req, what);
    const uint64_t now_ns = req->shard->loop.now_ns;
    const size_t len = recall_get(recall, key, now_ns, NULL, 0);
    char *room = len > 0 ? scratch_take(scratch, len) : NULL;
    // Another shard may have put something else there in the meantime.
    if (room == NULL || recall_get(recall, key, now_ns, room, len) != len)
        return SPAN_NONE;
    return span_of(room, len);
}

static void keep(struct thoughts_memory *memory, struct span what, struct span value)
{
    struct req *req = req_of(memory);
    struct recall *recall = req->shard->shared->recall;
    recall_expect(recall, RECALL_CALL, req->record.key_id);
    (void)recall_put(recall, key_of(req, what), value, req->shard->loop.now_ns);
}

struct asked {
    struct req *req;
    uint64_t account;
};

static bool was_refused(void *ctx, const struct signature *signature)
{
    const struct asked *asked = ctx;
    return issuer_was_refused(asked->req, asked->account, signature->text);
}

// Notes that it is refused from now on.
static bool is_refused(void *ctx, const struct signature *signature)
{
    const struct asked *asked = ctx;
    issuer_refuse(asked->req, asked->account, signature->text);
    return true;
}

// What of a history's thoughts the account takes.
static void leave_out(struct req *req, struct prompt_parse *parse)
{
    struct asked asked = { req, parse->account };
    if (req->thoughtless && GUARD(RELAY_THOUGHTLESS))
        thoughts_forget(parse->prompt, is_refused, &asked);
    else
        thoughts_forget(parse->prompt, was_refused, &asked);
}

struct err convert_recall(struct req *req, struct prompt_parse *parse)
{
    const struct recall *recall = req->shard->shared->recall;
    struct conversion *conversion = req->conversion;
    struct thoughts_memory *memory = &conversion->memory;
    const uint64_t tenant = req->record.key_id;
    const struct prompt *prompt = parse->prompt;
    *memory = (struct thoughts_memory){ .find = find, .keep = keep };
    conversion->remembers = false;
    if (recall == NULL)
        return OK;
    const bool carries = prompt->from == FAMILY_GEMINI || prompt->envelopes_wanted;
    conversion->remembers = prompt->tool_count > 0 && !carries && GUARD(RELAY_RECALL);
    bool good = true;
    if (conversion->remembers && recall_knows(recall, RECALL_CALL, tenant))
        good = thoughts_restore(parse, memory);
    counter_add(&req->shard->counters.recall_hits[1], memory->hits);
    counter_add(&req->shard->counters.recall_misses[1], memory->misses);
    if (req->thoughtless || recall_knows(recall, RECALL_REFUSED, tenant))
        leave_out(req, parse);
    return good ? OK : ERR(OVERLOADED);
}
