// Anthropic Messages, writing a stream: one block open at a time, numbered without gaps.
#include "messages.h"
#include "penstock/base/check.h"
#include "penstock/convert/args.h"
#include "penstock/convert/ids.h"
#include "penstock/convert/serial.h"

enum block { BLOCK_NONE, BLOCK_TEXT, BLOCK_THINK, BLOCK_CALL };

enum { PREFIX_MAX = 160 };

struct state {
    struct serial serial;
    uint8_t block;    // enum block: the one that is open
    bool has_content; // the open block has had a delta
    bool custom;      // the open call's arguments are free text
    bool finished;
    uint8_t finish;   // enum finish
    uint64_t index;   // of the next block
    struct rope said; // the open block's text, where citations are expected
    struct words stop_text;
    uint16_t prefix_len;
    char prefix[PREFIX_MAX]; // of a delta of the open block, up to its text
};
_Static_assert(sizeof(struct state) <= ENCODE_STATE, "an encoder's state fits");

static struct state *state_of(struct encode *encode)
{
    return (struct state *)(void *)encode->state;
}

#define EVENT(name) "event: " name "\ndata: {\"type\":\"" name "\""

static void write_delta(void *arg, const struct delta *delta);

void messages_encode_start(struct encode *encode)
{
    struct state *state = state_of(encode);
    struct sink *out = encode->out;
    serial_init(&state->serial, encode->keep.source, encode->keep.held_max, write_delta, encode);
    state->serial.queue.keep.scratch = encode->facts.scratch;
    SINK_TEXT(out, EVENT("message_start") ",\"message\":{\"id\":\"");
    messages_put_id(out, &encode->facts);
    SINK_TEXT(out, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    sink_quoted(out, words_plain(encode->facts.model));
    SINK_TEXT(out, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
                   "\"stop_details\":null,\"container\":null,\"diagnostics\":null,\"usage\":");
    struct usage usage = { .input_uncached = encode->facts.estimated_input };
    messages_put_usage(out, &usage, true);
    SINK_TEXT(out, "}}\n\n" EVENT("ping") "}\n\n");
}

// Writes the end of the open block.
static void close_block(struct encode *encode)
{
    struct state *state = state_of(encode);
    if (state->block == BLOCK_NONE)
        return;
    struct sink *out = encode->out;
    SINK_TEXT(out, EVENT("content_block_stop") ",\"index\":");
    sink_u64(out, state->index - 1);
    SINK_TEXT(out, "}\n\n");
    state->block = BLOCK_NONE;
}

// Begins a block; the caller writes what stands in it.
static void block_head(struct encode *encode)
{
    close_block(encode);
    SINK_TEXT(encode->out, EVENT("content_block_start") ",\"index\":");
    sink_u64(encode->out, state_of(encode)->index++);
    SINK_TEXT(encode->out, ",\"content_block\":");
}

// The open block's deltas are of this type, with their text under this key.
static void block_deltas(struct encode *encode, enum block block, struct span type, struct span key)
{
    struct state *state = state_of(encode);
    struct sink prefix = sink_into(state->prefix, sizeof(state->prefix));
    SINK_TEXT(&prefix, EVENT("content_block_delta") ",\"index\":");
    sink_u64(&prefix, state->index - 1);
    SINK_TEXT(&prefix, ",\"delta\":{\"type\":\"");
    sink_put(&prefix, type);
    SINK_TEXT(&prefix, "\",\"");
    sink_put(&prefix, key);
    SINK_TEXT(&prefix, "\":\"");
    assert(!prefix.failed);
    state->prefix_len = (uint16_t)(prefix.at - state->prefix);
    state->block = (uint8_t)block;
    state->has_content = false;
}

static void open_text(struct encode *encode)
{
    if (state_of(encode)->block == BLOCK_TEXT)
        return;
    block_head(encode);
    SINK_TEXT(encode->out, "{\"type\":\"text\",\"text\":\"\",\"citations\":null}}\n\n");
    state_of(encode)->said = (struct rope){ 0 };
    block_deltas(encode, BLOCK_TEXT, SPAN("text_delta"), SPAN("text"));
}

static void open_thought(struct encode *encode)
{
    if (state_of(encode)->block == BLOCK_THINK)
        return;
    block_head(encode);
    SINK_TEXT(encode->out, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n");
    block_deltas(encode, BLOCK_THINK, SPAN("thinking_delta"), SPAN("thinking"));
}

static void write_text(struct encode *encode, struct words text)
{
    struct state *state = state_of(encode);
    sink_put(encode->out, span_of(state->prefix, state->prefix_len));
    sink_string(encode->out, text);
    SINK_TEXT(encode->out, "\"}}\n\n");
    state->has_content = true;
}

// Every thought is closed by a signature, of its own or an empty envelope (C-065): clients throw
// away what has none. Only a thought that was cut has none.
static void end_thought(struct encode *encode, const struct delta *delta)
{
    struct state *state = state_of(encode);
    const struct signature *signature = &delta->signature;
    if (state->block != BLOCK_THINK && words_none(signature->text))
        return;
    if (state->block != BLOCK_THINK && signature->signs == SIGNS_TEXT)
        return; // no block has a place for it (C-144)
    open_thought(encode);
    struct sink *out = encode->out;
    SINK_TEXT(out, EVENT("content_block_delta") ",\"index\":");
    sink_u64(out, state->index - 1);
    SINK_TEXT(out, ",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"");
    envelope_put(out, signature, MAKER_ANTHROPIC, &encode->facts,
                 signature->signs == SIGNS_CALL ? ENVELOPE_CALL : ENVELOPE_THOUGHT);
    SINK_TEXT(out, "\"}}\n\n");
    close_block(encode);
}

static void write_redacted(struct encode *encode, const struct delta *delta)
{
    block_head(encode);
    SINK_TEXT(encode->out, "{\"type\":\"redacted_thinking\",\"data\":\"");
    envelope_put(encode->out, &delta->signature, MAKER_ANTHROPIC, &encode->facts,
                 ENVELOPE_REDACTED);
    SINK_TEXT(encode->out, "\"}}\n\n" EVENT("content_block_stop") ",\"index\":");
    sink_u64(encode->out, state_of(encode)->index - 1);
    SINK_TEXT(encode->out, "}\n\n");
}

static void write_call(struct encode *encode, const struct delta *delta)
{
    // What signs the call comes before it, as a thought of its own.
    if (!words_none(delta->signature.text))
        end_thought(encode, delta);
    struct sink *out = encode->out;
    block_head(encode);
    SINK_TEXT(out, "{\"type\":\"tool_use\",\"id\":\"");
    id_put_call(out, delta->id, FAMILY_ANTHROPIC, encode->facts.random, delta->call);
    SINK_TEXT(out, "\",\"name\":");
    sink_quoted(out, delta->name);
    SINK_TEXT(out, ",\"input\":{},\"caller\":{\"type\":\"direct\"}}}\n\n");
    block_deltas(encode, BLOCK_CALL, SPAN("input_json_delta"), SPAN("partial_json"));
    state_of(encode)->custom = delta->form == CALL_CUSTOM;
    if (delta->form == CALL_CUSTOM) // as one text of an object (C-040)
        write_text(encode, words_plain(SPAN("{\"input\":\"")));
}

static void write_args(struct encode *encode, const struct delta *delta)
{
    struct state *state = state_of(encode);
    if (state->block != BLOCK_CALL)
        return;
    if (!state->custom) {
        write_text(encode, delta->text);
        return;
    }
    sink_put(encode->out, span_of(state->prefix, state->prefix_len));
    args_put_nested(encode->out, delta->text);
    SINK_TEXT(encode->out, "\"}}\n\n");
}

// Only a call that its vendor ended without arguments has none (C-023, C-043).
static void end_call(struct encode *encode)
{
    const struct state *state = state_of(encode);
    if (state->block == BLOCK_CALL && state->custom)
        write_text(encode, words_plain(SPAN("\"}")));
    else if (state->block == BLOCK_CALL && !state->has_content)
        write_text(encode, words_plain(SPAN("{}")));
    close_block(encode);
}

static void write_cite(struct encode *encode, const struct delta *delta)
{
    if (words_none(delta->cite.url)) {
        encode->lost[DELTA_CITE]++; // the other kinds need the vendor's own documents
        return;
    }
    open_text(encode);
    struct sink *out = encode->out;
    SINK_TEXT(out, EVENT("content_block_delta") ",\"index\":");
    sink_u64(out, state_of(encode)->index - 1);
    SINK_TEXT(out, ",\"delta\":{\"type\":\"citations_delta\",\"citation\":"
                   "{\"type\":\"web_search_result_location\",\"url\":");
    sink_quoted(out, delta->cite.url);
    SINK_TEXT(out, ",\"title\":");
    sink_quoted(out, delta->cite.title);
    SINK_TEXT(out, ",\"cited_text\":\"");
    if (words_none(delta->text) && delta->cite.placed) {
        const struct item said = { .rope = state_of(encode)->said };
        item_put_between(&said, delta->cite.from, delta->cite.to, out);
    } else {
        sink_string(out, delta->text);
    }
    SINK_TEXT(out, "\",\"encrypted_index\":\"\"}}}\n\n");
}

static void note_finish(struct encode *encode, const struct delta *delta)
{
    struct state *state = state_of(encode);
    if (state->finished)
        return;
    state->finished = true;
    state->finish = delta->finish;
    state->stop_text = keep_words(&encode->keep, delta->text);
}

// In serial order.
static void write_delta(void *arg, const struct delta *delta)
{
    struct encode *encode = arg;
    struct state *state = state_of(encode);
    switch ((enum delta_kind)delta->kind) {
    case DELTA_TEXT:
    case DELTA_REFUSAL:
        open_text(encode);
        write_text(encode, delta->text);
        if (encode->facts.cites_expected)
            rope_add(&encode->keep, &state->said, delta->text);
        break;
    case DELTA_TEXT_END:
        if (state->block == BLOCK_TEXT)
            close_block(encode);
        break;
    case DELTA_THINK:
        open_thought(encode);
        write_text(encode, delta->text);
        break;
    case DELTA_THINK_END: end_thought(encode, delta); break;
    case DELTA_REDACTED: write_redacted(encode, delta); break;
    case DELTA_CALL: write_call(encode, delta); break;
    case DELTA_ARGS: write_args(encode, delta); break;
    case DELTA_CALL_END: end_call(encode); break;
    case DELTA_CITE: write_cite(encode, delta); break;
    case DELTA_FINISH: note_finish(encode, delta); break;
    case DELTA_MEDIA:
    case DELTA_LOGPROBS:
    case DELTA_HOSTED: encode->lost[delta->kind]++; break;
    case DELTA_KIND_COUNT: assert(false); break;
    }
}

void messages_encode_delta(struct encode *encode, const struct delta *delta)
{
    if (delta->choice == 0)
        serial_put(&state_of(encode)->serial, delta);
    encode->failed = encode->failed || state_of(encode)->serial.queue.keep.failed;
}

void messages_encode_end(struct encode *encode)
{
    struct state *state = state_of(encode);
    struct sink *out = encode->out;
    if (state->index == 0 && (state->finish == FINISH_STOP || state->finish == FINISH_STOP_TEXT))
        open_text(encode); // older clients want a block (C-010)
    close_block(encode);
    SINK_TEXT(out, EVENT("message_delta") ",\"delta\":{");
    messages_put_stop(out, (enum finish)state->finish, state->stop_text);
    SINK_TEXT(out, "},\"usage\":");
    messages_put_usage(out, &encode->facts.usage, false);
    SINK_TEXT(out, "}\n\n" EVENT("message_stop") "}\n\n");
}

void messages_encode_fini(struct encode *encode)
{
    serial_fini(&state_of(encode)->serial);
}
