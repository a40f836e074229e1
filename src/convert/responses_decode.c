// OpenAI Responses, reading a stream: output items that are announced, grow and are done, and the
// whole response once more at the end.
//
// Servers leave out one or the other, so each text is taken from the first event that tells it: its
// deltas, the event that it is done, the part, the item, or the last event's list of all items
// (C-084). An item is known by its place in the list; some servers change its id with every event.
#include "responses.h"

enum kind { KIND_MESSAGE, KIND_THOUGHT, KIND_CALL, KIND_OTHER };

enum { ITEMS_MAX = 1024 }; // of one answer; more fail it

struct item_state {
    struct item_state *next; // the one announced before
    uint32_t index;          // in the vendor's list
    uint8_t kind;            // enum kind
    bool done;
    bool has_text;  // the newest part of a message, a thought, or a call's arguments have begun
    bool raw;       // the thought's own text came, not summaries of it
    bool told;      // of a call: its name was told
    bool end_due;   // of a call: it is done, but not said to be complete
    uint16_t call;  // its number
    uint16_t parts; // of a message or thought, begun so far
    uint16_t cites; // of the newest part, told so far
    bool checked;   // of a call: what came of its arguments was held against the whole
    struct words_sum args;
};

struct state {
    struct item_state *items; // newest first
    uint32_t item_count;
    uint16_t calls;
    bool refused;
    bool ended;     // the last event has come
    uint8_t finish; // enum finish, as far as that event tells it
};
_Static_assert(sizeof(struct state) <= DECODE_STATE, "a decoder's state fits");

static struct state *state_of(struct decode *decode)
{
    return (struct state *)(void *)decode->state;
}

// ---------------------------------------------------------------------------------------- items

static struct item_state *item_find(struct decode *decode, uint64_t index)
{
    struct item_state *item = state_of(decode)->items;
    while (item != NULL && item->index != index)
        item = item->next;
    return item;
}

static void end_calls(struct decode *decode);

static struct item_state *item_new(struct decode *decode, uint64_t index, enum kind kind)
{
    struct state *state = state_of(decode);
    struct item_state *item = NULL;
    end_calls(decode);
    if (state->item_count < ITEMS_MAX && index < UINT32_MAX)
        item = keep_take(&decode->keep, sizeof(*item));
    if (item == NULL) {
        decode->failed = true;
        return NULL;
    }
    *item = (struct item_state){ .next = state->items, .index = (uint32_t)index, .kind = kind };
    state->items = item;
    state->item_count++;
    return item;
}

// The item that an event is about; made if it was not announced.
static struct item_state *item_of(struct decode *decode, struct json_slice data, enum kind kind)
{
    uint64_t index;
    if (!json_u64(json_get(data, SPAN("output_index")), &index))
        index = state_of(decode)->items != NULL ? state_of(decode)->items->index : 0;
    struct item_state *item = item_find(decode, index);
    if (item == NULL)
        item = item_new(decode, index, kind);
    return item != NULL && item->kind == kind && !item->done ? item : NULL;
}

static enum kind kind_of(struct json_slice item)
{
    struct json_slice type = json_get(item, SPAN("type"));
    if (json_string_is(type, SPAN("message")))
        return KIND_MESSAGE;
    if (json_string_is(type, SPAN("reasoning")))
        return KIND_THOUGHT;
    if (json_string_is(type, SPAN("function_call")) ||
        json_string_is(type, SPAN("custom_tool_call")))
        return KIND_CALL;
    return KIND_OTHER;
}

// ------------------------------------------------------------------------------ texts and thoughts

static void emit_text(struct decode *decode, enum delta_kind kind, struct item_state *item,
                      struct words text)
{
    struct delta delta = { .kind = (uint8_t)kind, .text = text };
    if (kind == DELTA_ARGS)
        delta.call = item->call;
    if (words_none(text))
        return;
    item->has_text = true;
    if (kind == DELTA_REFUSAL)
        state_of(decode)->refused = true;
    decode_emit(decode, &delta);
}

static uint64_t part_index(struct json_slice data, struct span name)
{
    uint64_t index;
    return json_u64(json_get(data, name), &index) ? index : 0;
}

// Goes on to the part of this number. False if it is one of those before the newest.
static bool part_begin(struct decode *decode, struct item_state *item, uint64_t index)
{
    if (index + 1 < item->parts || index >= UINT16_MAX)
        return false;
    if (index + 1 == item->parts)
        return true;
    // Parts of a summary are paragraphs of one thought.
    if (item->kind == KIND_THOUGHT && item->parts > 0 && item->has_text) {
        struct delta delta = { .kind = DELTA_THINK };
        delta.text = words_escaped(SPAN("\\n\\n"));
        decode_emit(decode, &delta);
    }
    item->parts = (uint16_t)(index + 1);
    item->has_text = false;
    item->cites = 0;
    return true;
}

static void message_text(struct decode *decode, struct json_slice data, enum delta_kind kind,
                         struct json_slice text, bool whole)
{
    struct item_state *item = item_of(decode, data, KIND_MESSAGE);
    if (item == NULL || !part_begin(decode, item, part_index(data, SPAN("content_index"))))
        return;
    if (!whole || !item->has_text)
        emit_text(decode, kind, item, words_of(text));
}

static void message_logprobs(struct decode *decode, struct json_slice data)
{
    struct delta delta = { .kind = DELTA_LOGPROBS, .raw = json_get(data, SPAN("logprobs")) };
    if (delta.raw.kind == JK_ARRAY && wire_has_content(delta.raw))
        decode_emit(decode, &delta);
}

// Some servers tell a model's thoughts as they are, some tell summaries, some both: the first kind
// that comes is taken.
static void thought_text(struct decode *decode, struct json_slice data, bool raw,
                         struct json_slice text, bool whole)
{
    struct item_state *item = item_of(decode, data, KIND_THOUGHT);
    struct span name = raw ? SPAN("content_index") : SPAN("summary_index");
    if (item == NULL || (item->parts > 0 && item->raw != raw) ||
        !part_begin(decode, item, part_index(data, name)))
        return;
    item->raw = raw;
    if (!whole || !item->has_text)
        emit_text(decode, DELTA_THINK, item, words_of(text));
}

static void emit_cite(struct decode *decode, const struct item_state *item,
                      struct json_slice annotation)
{
    struct delta delta = responses_cite(annotation);
    if (item->parts > 1) // places count from the start of their part, which is not the run's
        delta.cite.placed = false;
    decode_emit(decode, &delta);
}

static void message_cite(struct decode *decode, struct json_slice data)
{
    struct item_state *item = item_of(decode, data, KIND_MESSAGE);
    if (item == NULL || !part_begin(decode, item, part_index(data, SPAN("content_index"))))
        return;
    item->cites++;
    emit_cite(decode, item, json_get(data, SPAN("annotation")));
}

// A part as its item, or the event that it is done, tells it: what was not told before.
static void message_part(struct decode *decode, struct item_state *item, uint64_t index,
                         struct json_slice part)
{
    if (!part_begin(decode, item, index))
        return;
    struct json_slice refusal = json_get(part, SPAN("refusal"));
    if (!item->has_text && refusal.kind == JK_STRING)
        emit_text(decode, DELTA_REFUSAL, item, words_of(refusal));
    else if (!item->has_text)
        emit_text(decode, DELTA_TEXT, item, words_of(json_get(part, SPAN("text"))));
    struct json_iter iter = json_elements_of(json_get(part, SPAN("annotations")));
    struct json_slice annotation;
    for (unsigned i = 0; json_element_next(&iter, &annotation); i++) {
        if (i < item->cites)
            continue;
        item->cites++;
        emit_cite(decode, item, annotation);
    }
}

static void part_done(struct decode *decode, struct json_slice data)
{
    struct json_slice part = json_get(data, SPAN("part"));
    bool thought = json_string_is(json_get(part, SPAN("type")), SPAN("reasoning_text"));
    struct item_state *item = thought ? NULL : item_of(decode, data, KIND_MESSAGE);
    if (thought)
        thought_text(decode, data, true, json_get(part, SPAN("text")), true);
    else if (item != NULL)
        message_part(decode, item, part_index(data, SPAN("content_index")), part);
}

// ---------------------------------------------------------------------------------------- calls

static void end_call(struct decode *decode, struct item_state *item)
{
    struct delta delta = { .kind = DELTA_CALL_END, .call = item->call };
    if (!item->end_due)
        return;
    item->end_due = false;
    decode_emit(decode, &delta);
}

// What is announced behind a call says that it is complete.
static void end_calls(struct decode *decode)
{
    for (struct item_state *item = state_of(decode)->items; item != NULL; item = item->next)
        end_call(decode, item);
}

static void call_begin(struct decode *decode, struct item_state *item, struct json_slice value)
{
    struct state *state = state_of(decode);
    struct delta delta = { .kind = DELTA_CALL };
    delta.name = words_of(json_get(value, SPAN("name")));
    if (item->told || words_none(delta.name))
        return;
    if (state->calls == DECODE_CALLS_MAX) {
        decode->failed = true;
        return;
    }
    item->told = true;
    item->call = delta.call = state->calls++;
    delta.id = words_of(json_get(value, SPAN("call_id")));
    delta.form = responses_is_custom(value) ? CALL_CUSTOM : CALL_FUNCTION;
    decode_emit(decode, &delta);
}

static void call_args(struct decode *decode, struct json_slice data, struct json_slice text)
{
    struct item_state *item = item_of(decode, data, KIND_CALL);
    if (item == NULL || !item->told)
        return;
    emit_text(decode, DELTA_ARGS, item, words_of(text));
    words_sum_add(&item->args, words_of(text).raw);
    decode->args = &item->args;
}

// All arguments of a call: what no delta has told is told now, and if the deltas told others the
// vendor contradicts itself.
static void whole_args(struct decode *decode, struct item_state *item, struct json_slice text)
{
    const struct words all = words_of(text);
    if (!item->told || item->checked || words_none(all))
        return;
    const size_t rest = words_sum_find(&item->args, all.raw);
    item->checked = true;
    decode->args = NULL;
    decode->broken = decode->broken || rest == SIZE_MAX;
    if (rest < all.raw.len)
        emit_text(decode, DELTA_ARGS, item, words_escaped(span_from(all.raw, rest)));
}

static void args_done(struct decode *decode, struct json_slice data, struct span name)
{
    struct item_state *item = item_of(decode, data, KIND_CALL);
    if (item != NULL)
        whole_args(decode, item, json_get(data, name));
}

// ----------------------------------------------------------------------------- items as a whole

static void message_done(struct decode *decode, struct item_state *item, struct json_slice value)
{
    struct json_iter iter = json_elements_of(json_get(value, SPAN("content")));
    struct json_slice part;
    for (uint64_t i = 0; json_element_next(&iter, &part); i++)
        message_part(decode, item, i, part);
    struct delta delta = { .kind = DELTA_TEXT_END };
    decode_emit(decode, &delta);
}

static void thought_parts(struct decode *decode, struct item_state *item, struct json_slice parts,
                          bool raw)
{
    if (item->parts > 0 && item->raw != raw)
        return;
    struct json_iter iter = json_elements_of(parts);
    struct json_slice part;
    for (uint64_t i = 0; json_element_next(&iter, &part); i++) {
        struct words text = words_of(json_get(part, SPAN("text")));
        if (words_none(text) || !part_begin(decode, item, i))
            continue;
        item->raw = raw;
        if (!item->has_text)
            emit_text(decode, DELTA_THINK, item, text);
    }
}

static void thought_done(struct decode *decode, struct item_state *item, struct json_slice value)
{
    thought_parts(decode, item, json_get(value, SPAN("summary")), false);
    thought_parts(decode, item, json_get(value, SPAN("content")), true);
    struct delta delta = { .kind = DELTA_THINK_END };
    delta.signature = responses_signature(value);
    if (item->parts > 0 || !words_none(delta.signature.text))
        decode_emit(decode, &delta);
}

static void call_done(struct decode *decode, struct item_state *item, struct json_slice value)
{
    call_begin(decode, item, value);
    if (!item->told)
        return;
    whole_args(decode, item,
               json_get(value, responses_is_custom(value) ? SPAN("input") : SPAN("arguments")));
    struct json_slice status = json_get(value, SPAN("status"));
    item->end_due = !json_string_is(status, SPAN("incomplete")); // C-043
    if (json_string_is(status, SPAN("completed")))
        end_call(decode, item);
}

// Items of the vendor's own tools. A picture is the answer's own, whoever drew it (C-101).
static void other_done(struct decode *decode, struct json_slice value)
{
    struct delta delta = { .kind = DELTA_HOSTED, .raw = value };
    if (responses_media(value, &delta.type, &delta.text)) {
        delta.kind = DELTA_MEDIA;
        delta.raw = JSON_SLICE_NONE;
    }
    decode_emit(decode, &delta);
}

static void item_done(struct decode *decode, struct item_state *item, struct json_slice value)
{
    if (item->done)
        return;
    switch ((enum kind)item->kind) {
    case KIND_MESSAGE: message_done(decode, item, value); break;
    case KIND_THOUGHT: thought_done(decode, item, value); break;
    case KIND_CALL: call_done(decode, item, value); break;
    case KIND_OTHER: other_done(decode, value); break;
    }
    item->done = true;
}

// An item that was announced, or is told for the first time.
static struct item_state *item_told(struct decode *decode, uint64_t index, struct json_slice value)
{
    struct item_state *item = item_find(decode, index);
    enum kind kind = kind_of(value);
    if (item == NULL)
        item = item_new(decode, index, kind);
    return item != NULL && item->kind == kind ? item : NULL;
}

static void read_item(struct decode *decode, struct json_slice data, bool done)
{
    struct json_slice value = json_get(data, SPAN("item"));
    struct item_state *newest = state_of(decode)->items;
    uint64_t index;
    if (!json_u64(json_get(data, SPAN("output_index")), &index))
        index = newest == NULL ? 0 : done ? newest->index : newest->index + UINT64_C(1);
    struct item_state *item = item_told(decode, index, value);
    if (item == NULL)
        return;
    if (done)
        item_done(decode, item, value);
    else if (item->kind == KIND_CALL)
        call_begin(decode, item, value);
}

// The last event, with the whole response: some servers tell only here what they made, some tell
// here nothing.
static void read_last(struct decode *decode, struct json_slice response)
{
    struct state *state = state_of(decode);
    struct json_iter iter = json_elements_of(json_get(response, SPAN("output")));
    struct json_slice value;
    for (uint64_t i = 0; json_element_next(&iter, &value) && !decode->failed; i++) {
        struct item_state *item = item_told(decode, i, value);
        if (item != NULL)
            item_done(decode, item, value);
    }
    bool broken = false;
    state->finish = (uint8_t)responses_finish(response, &broken);
    state->ended = true;
    decode->broken = decode->broken || broken;
}

// --------------------------------------------------------------------------------------- events

enum event {
    EVENT_TEXT,
    EVENT_TEXT_DONE,
    EVENT_REFUSAL,
    EVENT_REFUSAL_DONE,
    EVENT_PART_DONE,
    EVENT_CITE,
    EVENT_SUMMARY,
    EVENT_SUMMARY_DONE,
    EVENT_REASONING,
    EVENT_REASONING_DONE,
    EVENT_ARGS,
    EVENT_ARGS_DONE,
    EVENT_INPUT_DONE,
    EVENT_ITEM,
    EVENT_ITEM_DONE,
    EVENT_LAST,
    EVENT_QUIET,
    EVENT_UNKNOWN,
};

static enum event event_of(struct json_slice type)
{
    static const struct {
        struct span name;
        enum event event;
    } events[] = {
        { SPAN("response.output_text.delta"), EVENT_TEXT },
        { SPAN("response.reasoning_summary_text.delta"), EVENT_SUMMARY },
        { SPAN("response.function_call_arguments.delta"), EVENT_ARGS },
        { SPAN("response.custom_tool_call_input.delta"), EVENT_ARGS },
        { SPAN("response.reasoning_text.delta"), EVENT_REASONING },
        { SPAN("response.refusal.delta"), EVENT_REFUSAL },
        { SPAN("response.output_item.added"), EVENT_ITEM },
        { SPAN("response.output_item.done"), EVENT_ITEM_DONE },
        { SPAN("response.output_text.done"), EVENT_TEXT_DONE },
        { SPAN("response.refusal.done"), EVENT_REFUSAL_DONE },
        { SPAN("response.output_text.annotation.added"), EVENT_CITE },
        { SPAN("response.content_part.done"), EVENT_PART_DONE },
        { SPAN("response.reasoning_summary_text.done"), EVENT_SUMMARY_DONE },
        { SPAN("response.reasoning_text.done"), EVENT_REASONING_DONE },
        { SPAN("response.function_call_arguments.done"), EVENT_ARGS_DONE },
        { SPAN("response.custom_tool_call_input.done"), EVENT_INPUT_DONE },
        { SPAN("response.completed"), EVENT_LAST },
        { SPAN("response.incomplete"), EVENT_LAST },
        { SPAN("response.cancelled"), EVENT_LAST },
        { SPAN("response.done"), EVENT_LAST },
        { SPAN("response.created"), EVENT_QUIET },
        { SPAN("response.in_progress"), EVENT_QUIET },
        { SPAN("response.queued"), EVENT_QUIET },
        { SPAN("response.content_part.added"), EVENT_QUIET },
        { SPAN("response.reasoning_summary_part.added"), EVENT_QUIET },
        { SPAN("response.reasoning_summary_part.done"), EVENT_QUIET },
        { SPAN("keepalive"), EVENT_QUIET },
        { SPAN("ping"), EVENT_QUIET },
    };
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        if (json_string_is(type, events[i].name))
            return events[i].event;
    return EVENT_UNKNOWN;
}

void responses_decode_event(struct decode *decode, struct json_slice data)
{
    struct json_slice delta = json_get(data, SPAN("delta"));
    struct json_slice text = json_get(data, SPAN("text"));
    switch (event_of(json_get(data, SPAN("type")))) {
    case EVENT_TEXT:
        message_text(decode, data, DELTA_TEXT, delta, false);
        message_logprobs(decode, data);
        break;
    case EVENT_TEXT_DONE: message_text(decode, data, DELTA_TEXT, text, true); break;
    case EVENT_REFUSAL: message_text(decode, data, DELTA_REFUSAL, delta, false); break;
    case EVENT_REFUSAL_DONE:
        message_text(decode, data, DELTA_REFUSAL, json_get(data, SPAN("refusal")), true);
        break;
    case EVENT_PART_DONE: part_done(decode, data); break;
    case EVENT_CITE: message_cite(decode, data); break;
    case EVENT_SUMMARY: thought_text(decode, data, false, delta, false); break;
    case EVENT_SUMMARY_DONE: thought_text(decode, data, false, text, true); break;
    case EVENT_REASONING: thought_text(decode, data, true, delta, false); break;
    case EVENT_REASONING_DONE: thought_text(decode, data, true, text, true); break;
    case EVENT_ARGS: call_args(decode, data, delta); break;
    case EVENT_ARGS_DONE: args_done(decode, data, SPAN("arguments")); break;
    case EVENT_INPUT_DONE: args_done(decode, data, SPAN("input")); break;
    case EVENT_ITEM: read_item(decode, data, false); break;
    case EVENT_ITEM_DONE: read_item(decode, data, true); break;
    case EVENT_LAST: read_last(decode, json_get(data, SPAN("response"))); break;
    case EVENT_QUIET: break;
    case EVENT_UNKNOWN: decode->unknown++; break;
    }
}

void responses_decode_end(struct decode *decode)
{
    struct state *state = state_of(decode);
    enum finish finish = (enum finish)state->finish;
    bool cut = finish == FINISH_LENGTH || finish == FINISH_FILTERED;
    if (!cut)
        end_calls(decode);
    struct delta delta = { .kind = DELTA_FINISH };
    delta.finish = (uint8_t)responses_finish_seen(finish, state->calls > 0, state->refused);
    decode_emit(decode, &delta);
}
