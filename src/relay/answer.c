#include "answer.h"

#include "penstock/base/check.h"

enum { BYTES_A_TOKEN = 4 }; // of English text, roughly; only for what no vendor told

static struct kept_secret *secret_get(struct shard *shard, struct span text)
{
    struct kept_secret *kept = shard->secret;
    text.len = min_size(text.len, ANSWER_SECRET_MAX);
    if (kept == NULL || !span_eq(span_of(kept->text, kept->len), text)) {
        kept = slab_take(&shard->secrets);
        if (kept == NULL)
            return NULL;
        kept->refs = 0;
        kept->len = (uint16_t)text.len;
        kept->secrets.count = 0;
        if (text.len > 0) { // an account may have none
            memcpy(kept->text, text.ptr, text.len);
            kept->secrets.list[kept->secrets.count++] = span_of(kept->text, kept->len);
        }
        shard->secret = kept; // the one before stays with those who have it
    }
    kept->refs++;
    return kept;
}

static void secret_put(struct shard *shard, struct kept_secret *kept)
{
    assert(kept->refs > 0);
    if (--kept->refs > 0)
        return;
    if (shard->secret == kept)
        shard->secret = NULL;
    bytes_wipe(kept->text, kept->len);
    slab_give(&shard->secrets, kept);
}

bool answer_begin(struct req *req, struct span secret)
{
    struct shard *shard = req->shard;
    answer_end(req); // of the attempt before
    struct kept_secret *kept = secret_get(shard, secret);
    if (kept == NULL)
        return false;
    struct answer *answer = slab_take(&shard->answers);
    if (answer == NULL) {
        secret_put(shard, kept);
        return false;
    }
    req->answer = answer;
    answer->secret = kept;
    answer->pass_memory = NULL;
    answer->note = NULL;
    answer->model_len = 0;
    const struct wire *wire = wire_of((enum wire_op)req->up_op);
    wire_stream_init(&answer->stream, wire, req->usage_added);
    answer->stream.secrets = &kept->secrets;
    answer->stream.note = &shard->note;
    answer->stream.forms = &shard->forms;
    return true;
}

void answer_end(struct req *req)
{
    struct answer *answer = req->answer;
    if (answer == NULL)
        return;
    answer_pass_end(req);
    secret_put(req->shard, answer->secret);
    slab_give(&req->shard->answers, answer);
    req->answer = NULL;
}

bool answer_pass_begin(struct req *req, bool sse)
{
    struct answer *answer = req->answer;
    _Static_assert(BUF_LARGE_BYTES >= sizeof(struct answer_pass), "one buffer keeps it");
    answer->pass_memory = bufpool_take(req->shard->net.bufs, BUF_LARGE);
    if (answer->pass_memory == NULL)
        return false;
    struct answer_pass *memory = (struct answer_pass *)(void *)answer->pass_memory->data;
    wire_pass_init(&memory->pass, &answer->stream, sse, memory->values);
    if (req->notes)
        issuer_scan_begin(req, &memory->issuer);
    if (req->alias.len == 0)
        wire_pass_keep_model(&memory->pass);
    return true;
}

void answer_pass_end(struct req *req)
{
    struct answer *answer = req->answer;
    if (answer->pass_memory == NULL)
        return;
    wire_pass_end(answer_pass(answer));
    answer_pass_drop(req);
}

void answer_pass_drop(struct req *req)
{
    buf_put(req->answer->pass_memory);
    req->answer->pass_memory = NULL;
}

struct fault_note *answer_note(struct req *req)
{
    struct answer *answer = req->answer;
    struct fault_note *note = arena_take(&req->arena, sizeof(*note));
    if (note != NULL)
        memset(note, 0, sizeof(*note));
    answer->note = note;
    return note;
}

void answer_note_model(struct answer *answer, struct span model)
{
    answer->model_len = (uint8_t)usage_text_cut(model, USAGE_MODEL_MAX);
    memcpy(answer->model, model.ptr, answer->model_len);
}

// What the vendor did not tell is counted by the bytes that went by, and marked as such.
static void estimate(struct req *req, struct usage *usage)
{
    const struct wire_stream *stream = &req->answer->stream;
    uint64_t out_bytes = stream->whole ? req->stream->sent : stream->text_bytes;
    if (!usage->input_known)
        usage->input_uncached = max_u64(req->record.bytes_in / BYTES_A_TOKEN, 1);
    usage->output = max_u64(usage->output, out_bytes / BYTES_A_TOKEN);
    req->record.flags |= USAGE_ESTIMATED;
}

static uint32_t clamp(uint64_t tokens)
{
    return (uint32_t)min_u64(tokens, USAGE_TOKENS_MAX);
}

void answer_record(struct req *req)
{
    struct answer *answer = req->answer;
    // A vendor's failure costs the client nothing; an answer that began was worth what came of it.
    bool sent = req->pump.committed || req->body_sent;
    if (answer == NULL || answer->stream.wire == NULL || !sent || req->up_status >= 300)
        return;
    if (wire_op_counts((enum wire_op)req->op))
        return; // nothing was generated
    bool gone = req->err.code == ERR_CLIENT_GONE || req->err.code == ERR_CLIENT_STALLED;
    if (!req->pump.committed && !gone)
        return;
    struct usage usage = usage_normal(&answer->stream.told, answer->stream.wire->rule);
    bool no_output = answer->stream.wire->rule == USAGE_RULE_OPENAI_INPUT;
    if (!usage.input_known || (!usage.output_known && !no_output) ||
        (failed(req->err) && !usage.exact))
        estimate(req, &usage);
    uint32_t *tokens = req->record.tokens;
    tokens[USAGE_INPUT] = clamp(usage.input_uncached);
    tokens[USAGE_CACHE_READ] = clamp(usage.cache_read);
    tokens[USAGE_CACHE_WRITE_5M] = clamp(usage.cache_write_5m);
    tokens[USAGE_CACHE_WRITE_1H] = clamp(usage.cache_write_1h);
    tokens[USAGE_OUTPUT] = clamp(usage.output);
    tokens[USAGE_REASONING] = clamp(usage.reasoning);
}
