// Anthropic Messages, reading a stream: blocks that begin, grow and end, one at a time.
//
// An answer that was cut by its length ends its last block as any other, so a call's end is
// believed only once something else follows that says so (C-043).
#include "messages.h"

enum block { BLOCK_NONE, BLOCK_TEXT, BLOCK_THINK, BLOCK_CALL, BLOCK_OTHER };

struct state {
    uint8_t block;  // enum block: the one that is open
    bool signed_;   // the thought's signature has come
    bool has_args;  // the call's arguments began
    bool end_due;   // a call's block has ended
    bool finished;  // a reason to stop was told
    uint8_t finish; // enum finish
    uint16_t calls; // begun so far; the open one is the last
    struct words stop_text;
};
_Static_assert(sizeof(struct state) <= DECODE_STATE, "a decoder's state fits");

static struct state *state_of(struct decode *decode)
{
    return (struct state *)(void *)decode->state;
}

static void emit_text(struct decode *decode, enum delta_kind kind, struct json_slice text)
{
    struct delta delta = { .kind = (uint8_t)kind, .text = words_of(text) };
    if (kind == DELTA_ARGS)
        delta.call = (uint16_t)(state_of(decode)->calls - 1);
    if (!words_none(delta.text))
        decode_emit(decode, &delta);
}

static void end_call(struct decode *decode)
{
    struct state *state = state_of(decode);
    if (!state->end_due)
        return;
    state->end_due = false;
    struct delta delta = { .kind = DELTA_CALL_END, .call = (uint16_t)(state->calls - 1) };
    decode_emit(decode, &delta);
}

static void begin_call(struct decode *decode, struct json_slice block)
{
    struct state *state = state_of(decode);
    if (state->calls == DECODE_CALLS_MAX) {
        decode->failed = true;
        return;
    }
    state->block = BLOCK_CALL;
    state->has_args = false;
    struct delta delta = {
        .kind = DELTA_CALL,
        .call = state->calls++,
        .id = words_of(json_get(block, SPAN("id"))),
        .name = words_of(json_get(block, SPAN("name"))),
    };
    decode_emit(decode, &delta);
    // Some servers tell the arguments here.
    struct json_slice input = json_get(block, SPAN("input"));
    struct json_iter members = json_members_of(input);
    struct span key;
    struct json_slice value;
    if (!json_member_next(&members, &key, &value))
        return;
    delta = (struct delta){ .kind = DELTA_ARGS, .call = delta.call };
    delta.text = words_plain(input.text);
    decode_emit(decode, &delta);
}

static void block_start(struct decode *decode, struct json_slice data)
{
    struct state *state = state_of(decode);
    struct json_slice block = json_get(data, SPAN("content_block"));
    struct json_slice type = json_get(block, SPAN("type"));
    end_call(decode);
    if (json_string_is(type, SPAN("text"))) {
        state->block = BLOCK_TEXT;
        emit_text(decode, DELTA_TEXT, json_get(block, SPAN("text")));
    } else if (json_string_is(type, SPAN("thinking"))) {
        state->block = BLOCK_THINK;
        state->signed_ = false;
        emit_text(decode, DELTA_THINK, json_get(block, SPAN("thinking")));
    } else if (json_string_is(type, SPAN("redacted_thinking"))) {
        state->block = BLOCK_OTHER;
        struct delta delta = { .kind = DELTA_REDACTED };
        delta.signature.text = words_of(json_get(block, SPAN("data")));
        delta.signature.maker = MAKER_ANTHROPIC;
        decode_emit(decode, &delta);
    } else if (json_string_is(type, SPAN("tool_use"))) {
        begin_call(decode, block);
    } else {
        state->block = BLOCK_OTHER;
        struct delta delta = { .kind = DELTA_HOSTED, .raw = block };
        decode_emit(decode, &delta);
    }
}

static void block_signature(struct decode *decode, struct json_slice signature)
{
    struct state *state = state_of(decode);
    struct delta delta = { .kind = DELTA_THINK_END };
    delta.signature.text = words_of(signature);
    delta.signature.maker = MAKER_ANTHROPIC;
    if (state->block != BLOCK_THINK || state->signed_ || words_none(delta.signature.text))
        return;
    state->signed_ = true;
    decode_emit(decode, &delta);
}

static void block_cite(struct decode *decode, struct json_slice citation)
{
    struct delta delta = messages_cite(citation);
    decode_emit(decode, &delta);
}

static void block_delta(struct decode *decode, struct json_slice data)
{
    struct json_slice delta = json_get(data, SPAN("delta"));
    struct json_slice type = json_get(delta, SPAN("type"));
    struct state *state = state_of(decode);
    if (json_string_is(type, SPAN("text_delta")))
        emit_text(decode, DELTA_TEXT, json_get(delta, SPAN("text")));
    else if (json_string_is(type, SPAN("thinking_delta")))
        emit_text(decode, DELTA_THINK, json_get(delta, SPAN("thinking")));
    else if (json_string_is(type, SPAN("signature_delta")))
        block_signature(decode, json_get(delta, SPAN("signature")));
    else if (json_string_is(type, SPAN("citations_delta")))
        block_cite(decode, json_get(delta, SPAN("citation")));
    else if (!json_string_is(type, SPAN("input_json_delta")))
        decode->unknown++;
    else if (state->block == BLOCK_CALL)
        emit_text(decode, DELTA_ARGS, json_get(delta, SPAN("partial_json")));
}

static void block_stop(struct decode *decode)
{
    struct state *state = state_of(decode);
    struct delta delta = { .kind = DELTA_TEXT_END };
    switch ((enum block)state->block) {
    case BLOCK_TEXT: decode_emit(decode, &delta); break;
    case BLOCK_THINK:
        delta.kind = DELTA_THINK_END;
        if (!state->signed_)
            decode_emit(decode, &delta);
        break;
    case BLOCK_CALL: state->end_due = true; break;
    case BLOCK_NONE:
    case BLOCK_OTHER: break;
    }
    state->block = BLOCK_NONE;
}

static void message_delta(struct decode *decode, struct json_slice data)
{
    struct state *state = state_of(decode);
    struct json_slice delta = json_get(data, SPAN("delta"));
    struct json_slice reason = json_get(delta, SPAN("stop_reason"));
    if (reason.kind != JK_STRING)
        return;
    state->finished = true;
    state->finish = (uint8_t)messages_finish(reason);
    struct words text = words_of(json_get(delta, SPAN("stop_sequence")));
    state->stop_text = keep_words(&decode->keep, text);
}

void messages_decode_event(struct decode *decode, struct json_slice data)
{
    struct json_slice type = json_get(data, SPAN("type"));
    if (json_string_is(type, SPAN("content_block_delta")))
        block_delta(decode, data);
    else if (json_string_is(type, SPAN("content_block_start")))
        block_start(decode, data);
    else if (json_string_is(type, SPAN("content_block_stop")))
        block_stop(decode);
    else if (json_string_is(type, SPAN("message_delta")))
        message_delta(decode, data);
    else if (!json_string_is(type, SPAN("message_start")) &&
             !json_string_is(type, SPAN("message_stop")) && !json_string_is(type, SPAN("ping")))
        decode->unknown++;
}

void messages_decode_end(struct decode *decode)
{
    struct state *state = state_of(decode);
    bool cut = state->finish == FINISH_LENGTH || state->finish == FINISH_CONTEXT;
    if (!cut)
        end_call(decode);
    struct delta delta = { .kind = DELTA_FINISH,
                           .finish = state->finish,
                           .text = state->stop_text };
    decode_emit(decode, &delta);
}
