// OpenAI Responses, writing a stream: items one after the other, each announced, grown and done,
// and all of them once more in the last event.
//
// A call that is not complete is never said to be done: some clients run what is done without a
// look at its status (C-142).
#include "penstock/base/check.h"
#include "penstock/convert/ids.h"
#include "penstock/convert/serial.h"
#include "responses.h"

enum {
    PREFIX_MAX = 320,
    SEQUENCE_DIGITS = 20,
    ITEMS_A_STEP = 256, // of the last event
};

struct state {
    struct serial serial;
    struct answer answer;
    struct completion kept; // what the last event repeats
    struct unwrap unwrap;   // of the open call, if it is a free-text tool's
    bool is_open;           // an item is
    bool is_part;           // a part of the open message is, or the summary of the open thought
    bool ended;             // the open thought has ended, unsigned
    bool wrapped;           // the open call's arguments are unwrapped
    bool finished;
    uint8_t finish;       // enum finish
    struct output output; // the open item
    struct item *item;    // what it grows by: a part, a thought, a call
    uint32_t next;        // index of the next item
    uint32_t part;        // index of the newest part of the open message
    struct beside *beside;
    struct output_walk walk; // of the last event
    struct span suffix;      // what stands between a delta's text and its number
    uint8_t digits_at;
    char digits[SEQUENCE_DIGITS];
    uint16_t prefix_len;
    char prefix[PREFIX_MAX]; // of a delta of the open item, up to its text
};
_Static_assert(sizeof(struct state) <= ENCODE_STATE, "an encoder's state fits");

static struct state *state_of(struct encode *encode)
{
    return (struct state *)(void *)encode->state;
}

static void write_delta(void *arg, const struct delta *delta);
static void emit_input(void *arg, struct words text);

#define EVENT(name) "event: " name "\ndata: {\"type\":\"" name "\""

#define SEQUENCE ",\"sequence_number\":"

// The number of each event, which is one more than the last: counted in the digits themselves.
static void put_sequence(struct encode *encode)
{
    struct state *state = state_of(encode);
    char *digit = &state->digits[SEQUENCE_DIGITS - 1];
    sink_put(encode->out, span_of(state->digits + state->digits_at,
                                  (size_t)(SEQUENCE_DIGITS - state->digits_at)));
    SINK_TEXT(encode->out, "}\n\n");
    encode->sequence++;
    while (*digit == '9')
        *digit-- = '0';
    ++*digit;
    if (digit < state->digits + state->digits_at)
        state->digits_at--;
}

static void event_end(struct encode *encode)
{
    SINK_TEXT(encode->out, SEQUENCE);
    put_sequence(encode);
}

static void response_event(struct encode *encode, struct span head, struct span status)
{
    const struct answer *answer = &state_of(encode)->answer;
    sink_put(encode->out, head);
    SINK_TEXT(encode->out, ",\"response\":");
    answer_put_head(encode->out, answer, status, SPAN_NONE);
    answer_put_tail(encode->out, answer, false);
    event_end(encode);
}

void responses_encode_start(struct encode *encode)
{
    struct state *state = state_of(encode);
    const struct arena_source *chunks = encode->keep.source;
    serial_init(&state->serial, chunks, encode->keep.held_max, write_delta, encode);
    completion_init(&state->kept, chunks, encode->keep.held_max);
    state->serial.queue.keep.scratch = state->kept.keep.scratch = encode->facts.scratch;
    answer_init(&state->answer, &encode->facts);
    memset(state->digits, '0', sizeof(state->digits));
    state->digits_at = SEQUENCE_DIGITS - 1;
    response_event(encode, SPAN(EVENT("response.created")), SPAN("in_progress"));
    response_event(encode, SPAN(EVENT("response.in_progress")), SPAN("in_progress"));
}

// ------------------------------------------------------------------------------------ what is kept

static struct item *keep_item(struct encode *encode, enum item_kind kind)
{
    struct state *state = state_of(encode);
    struct item *item = completion_item(&state->kept, kind, 0);
    state->answer.items = state->kept.first;
    return item;
}

static void keep_text(struct encode *encode, struct words text)
{
    struct state *state = state_of(encode);
    rope_add(&state->kept.keep, &state->item->rope, text);
}

static struct beside *beside_new(struct encode *encode, const struct item *item)
{
    struct state *state = state_of(encode);
    struct beside *beside = state->beside;
    while (beside != NULL && beside->item != item)
        beside = beside->next;
    if (beside != NULL)
        return beside;
    beside = keep_take(&state->kept.keep, sizeof(*beside));
    if (beside == NULL)
        return NULL;
    *beside = (struct beside){ .next = state->beside, .item = item };
    state->answer.beside = state->beside = beside;
    return beside;
}

// What is written into a rope.
struct rope_sink {
    struct sink sink;
    struct keep *keep;
    struct rope *rope;
    char room[256];
};

static bool rope_more(struct sink *sink)
{
    struct rope_sink *into = container_of(sink, struct rope_sink, sink);
    struct span text = span_of(into->room, (size_t)(sink->at - into->room));
    rope_add(into->keep, into->rope, words_escaped(text));
    sink->at = into->room;
    sink->end = into->room + sizeof(into->room);
    return !into->keep->failed;
}

// Keeps what gives a thought back to its vendor, which may be larger than any text in one piece.
static void keep_seal(struct encode *encode, const struct item *item,
                      const struct signature *signature, enum envelope_kind kind)
{
    struct state *state = state_of(encode);
    struct beside *beside = beside_new(encode, item);
    if (beside == NULL)
        return;
    struct rope_sink into;
    into.keep = &state->kept.keep;
    into.rope = &beside->seal;
    into.sink = sink_into(into.room, sizeof(into.room));
    into.sink.more = rope_more;
    envelope_put(&into.sink, signature, MAKER_RESPONSES, &encode->facts, kind);
    (void)rope_more(&into.sink);
}

// ----------------------------------------------------------------------------------- places of
// events

static void put_place(struct encode *encode, struct sink *out)
{
    const struct state *state = state_of(encode);
    SINK_TEXT(out, ",\"item_id\":\"");
    output_put_id(out, &state->answer, &state->output);
    SINK_TEXT(out, "\",\"output_index\":");
    sink_u64(out, state->output.index);
    if (state->output.kind == OUTPUT_MESSAGE) {
        SINK_TEXT(out, ",\"content_index\":");
        sink_u64(out, state->part);
    } else if (state->output.kind == OUTPUT_REASONING) {
        SINK_TEXT(out, ",\"summary_index\":0");
    }
}

// The deltas that come are of this event.
static void set_deltas(struct encode *encode, struct span head, struct span suffix)
{
    struct state *state = state_of(encode);
    struct sink prefix = sink_into(state->prefix, sizeof(state->prefix));
    sink_put(&prefix, head);
    put_place(encode, &prefix);
    SINK_TEXT(&prefix, ",\"delta\":\"");
    assert(!prefix.failed);
    state->prefix_len = (uint16_t)(prefix.at - state->prefix);
    state->suffix = suffix;
}

static void write_text(struct encode *encode, struct words text)
{
    struct state *state = state_of(encode);
    sink_put(encode->out, span_of(state->prefix, state->prefix_len));
    sink_string(encode->out, text);
    sink_put(encode->out, state->suffix);
    put_sequence(encode);
    keep_text(encode, text);
}

// -------------------------------------------------------------------------------------- parts

static void write_cites(struct encode *encode)
{
    struct state *state = state_of(encode);
    uint64_t number = 0, points = UINT64_MAX;
    for (struct item_cite *cite = state->item->cites; cite != NULL; cite = cite->next) {
        if (!cite->cite.placed) { // it is about all of the text
            if (points == UINT64_MAX)
                points = item_points(state->item);
            cite->cite.from = 0;
            cite->cite.to = points;
            cite->cite.placed = true;
        }
        SINK_TEXT(encode->out, EVENT("response.output_text.annotation.added"));
        put_place(encode, encode->out);
        SINK_TEXT(encode->out, ",\"annotation_index\":");
        sink_u64(encode->out, number++);
        SINK_TEXT(encode->out, ",\"annotation\":");
        output_put_cite(encode->out, state->item, &cite->cite);
        event_end(encode);
    }
}

// The text of the open item, whole, under this key.
static void put_whole(struct encode *encode, struct span key)
{
    SINK_TEXT(encode->out, ",\"");
    sink_put(encode->out, key);
    SINK_TEXT(encode->out, "\":\"");
    item_put(state_of(encode)->item, encode->out);
    SINK_TEXT(encode->out, "\"");
}

static void close_part(struct encode *encode)
{
    struct state *state = state_of(encode);
    struct sink *out = encode->out;
    if (!state->is_part)
        return;
    state->is_part = false;
    if (state->item->kind == ITEM_REFUSAL) {
        SINK_TEXT(out, EVENT("response.refusal.done"));
        put_place(encode, out);
        put_whole(encode, SPAN("refusal"));
    } else {
        write_cites(encode);
        SINK_TEXT(out, EVENT("response.output_text.done"));
        put_place(encode, out);
        put_whole(encode, SPAN("text"));
        SINK_TEXT(out, ",\"logprobs\":");
        output_put_logprobs(out, &state->answer, state->item);
    }
    event_end(encode);
    SINK_TEXT(out, EVENT("response.content_part.done"));
    put_place(encode, out);
    SINK_TEXT(out, ",\"part\":");
    output_put_part(out, &state->answer, state->item, false);
    event_end(encode);
}

static void close_summary(struct encode *encode)
{
    struct state *state = state_of(encode);
    struct sink *out = encode->out;
    if (!state->is_part)
        return;
    state->is_part = false;
    SINK_TEXT(out, EVENT("response.reasoning_summary_text.done"));
    put_place(encode, out);
    put_whole(encode, SPAN("text"));
    event_end(encode);
    SINK_TEXT(out, EVENT("response.reasoning_summary_part.done"));
    put_place(encode, out);
    SINK_TEXT(out, ",\"part\":{\"type\":\"summary_text\"");
    put_whole(encode, SPAN("text"));
    SINK_TEXT(out, "}");
    event_end(encode);
}

static void close_call(struct encode *encode)
{
    const struct state *state = state_of(encode);
    struct sink *out = encode->out;
    if (state->output.kind == OUTPUT_SEARCH)
        return;
    bool custom = state->output.kind == OUTPUT_CUSTOM;
    sink_put(out, custom ? SPAN(EVENT("response.custom_tool_call_input.done"))
                         : SPAN(EVENT("response.function_call_arguments.done")));
    put_place(encode, out);
    put_whole(encode, custom ? SPAN("input") : SPAN("arguments"));
    event_end(encode);
}

// -------------------------------------------------------------------------------------- items

static void item_event(struct encode *encode, struct span head, bool shell)
{
    const struct state *state = state_of(encode);
    sink_put(encode->out, head);
    SINK_TEXT(encode->out, ",\"output_index\":");
    sink_u64(encode->out, state->output.index);
    SINK_TEXT(encode->out, ",\"item\":");
    output_put(encode->out, &state->answer, &state->output, shell);
    event_end(encode);
}

// `last`: nothing follows, so that the item may be what was cut.
static void close_item(struct encode *encode, bool last)
{
    struct state *state = state_of(encode);
    struct output *output = &state->output;
    if (!state->is_open)
        return;
    state->is_open = state->ended = false;
    bool cut = last && state->answer.cut;
    switch ((enum output_kind)output->kind) {
    case OUTPUT_MESSAGE:
        close_part(encode);
        output->complete = !cut;
        break;
    case OUTPUT_REASONING:
        close_summary(encode);
        output->complete = !cut; // one that is signed was closed before
        break;
    case OUTPUT_FUNCTION:
    case OUTPUT_CUSTOM:
    case OUTPUT_SEARCH:
        if (!state->item->complete)
            return; // it stands only in the last event
        output->complete = true;
        close_call(encode);
        break;
    case OUTPUT_IMAGE: break;
    }
    item_event(encode, SPAN(EVENT("response.output_item.done")), false);
}

static void open_item(struct encode *encode, enum output_kind kind, const struct item *item)
{
    struct state *state = state_of(encode);
    close_item(encode, false);
    state->output = (struct output){ .kind = (uint8_t)kind, .item = item, .complete = true };
    if (kind == OUTPUT_FUNCTION)
        output_call(&state->answer, &state->output);
    if (kind == OUTPUT_REASONING)
        state->output.signature = &item->signature;
    state->output.index = state->next++;
    state->is_open = true;
    state->is_part = false;
    state->part = 0;
    item_event(encode, SPAN(EVENT("response.output_item.added")), true);
}

// The part of the open message that grows; another kind, or one that has ended, is left.
static void open_part(struct encode *encode, enum item_kind kind)
{
    struct state *state = state_of(encode);
    bool message = state->is_open && state->output.kind == OUTPUT_MESSAGE;
    if (message && state->is_part && state->item->kind == (uint8_t)kind)
        return;
    bool first = !message || state->output.item == NULL;
    if (message)
        close_part(encode);
    else
        open_item(encode, OUTPUT_MESSAGE, NULL);
    struct item *item = keep_item(encode, kind);
    if (item == NULL)
        return;
    state->part += first ? 0 : 1;
    if (first)
        state->output.item = item;
    state->item = item;
    state->is_part = true;
    SINK_TEXT(encode->out, EVENT("response.content_part.added"));
    put_place(encode, encode->out);
    SINK_TEXT(encode->out, ",\"part\":");
    output_put_part(encode->out, &state->answer, item, true);
    event_end(encode);
    if (kind == ITEM_REFUSAL)
        set_deltas(encode, SPAN(EVENT("response.refusal.delta")), SPAN("\"" SEQUENCE));
    else
        set_deltas(encode, SPAN(EVENT("response.output_text.delta")),
                   SPAN("\",\"logprobs\":[]" SEQUENCE));
}

static inline void write_part(struct encode *encode, enum item_kind kind, struct words text)
{
    const struct state *state = state_of(encode);
    if (unlikely(!state->is_part || state->item->kind != (uint8_t)kind))
        open_part(encode, kind);
    if (likely(state->is_part))
        write_text(encode, text);
}

static bool open_thought(struct encode *encode, enum item_kind kind)
{
    struct state *state = state_of(encode);
    if (state->is_open && state->output.kind == OUTPUT_REASONING && !state->ended)
        return true;
    close_item(encode, false);
    struct item *item = keep_item(encode, kind);
    if (item == NULL)
        return false;
    state->item = item;
    open_item(encode, OUTPUT_REASONING, item);
    return true;
}

static void write_thought(struct encode *encode, struct words text)
{
    struct state *state = state_of(encode);
    if (!answer_has_thoughts(&state->answer) || !open_thought(encode, ITEM_THINK))
        return;
    if (!state->is_part) {
        state->is_part = true;
        SINK_TEXT(encode->out, EVENT("response.reasoning_summary_part.added"));
        put_place(encode, encode->out);
        SINK_TEXT(encode->out, ",\"part\":{\"type\":\"summary_text\",\"text\":\"\"}");
        event_end(encode);
        set_deltas(encode, SPAN(EVENT("response.reasoning_summary_text.delta")),
                   SPAN("\"" SEQUENCE));
    }
    write_text(encode, text);
}

// A thought that ends without a signature stays open until something follows: it may have been cut,
// or what follows brings one.
static void end_thought(struct encode *encode, const struct signature *signature,
                        enum item_kind item_kind, enum envelope_kind kind)
{
    struct state *state = state_of(encode);
    bool open = state->is_open && state->output.kind == OUTPUT_REASONING;
    if (words_none(signature->text) || !encode->facts.envelopes_wanted) {
        state->ended = open;
        return;
    }
    if (signature->signs == SIGNS_TEXT && !open)
        return; // it is not worth an item of its own (C-144)
    if (kind == ENVELOPE_CALL)
        state->ended = false; // what signs a call may join a thought that has ended
    if (item_kind == ITEM_REDACTED)
        close_item(encode, false);
    if (!open_thought(encode, item_kind))
        return;
    keep_seal(encode, state->item, signature, kind);
    close_item(encode, false);
}

static enum envelope_kind seal_of(const struct signature *signature)
{
    return signature->signs == SIGNS_CALL ? ENVELOPE_CALL : ENVELOPE_THOUGHT;
}

static void write_call(struct encode *encode, const struct delta *delta)
{
    struct state *state = state_of(encode);
    if (!words_none(delta->signature.text))
        end_thought(encode, &delta->signature, ITEM_THINK, ENVELOPE_CALL);
    close_item(encode, false);
    struct item *item = keep_item(encode, ITEM_CALL);
    if (item == NULL)
        return;
    struct keep *keep = &state->kept.keep;
    item->call = delta->call;
    item->form = delta->form;
    item->id = keep_words(keep, delta->id);
    item->name = keep_words(keep, delta->name);
    state->item = item;
    open_item(encode, OUTPUT_FUNCTION, item);
    bool custom = state->output.kind == OUTPUT_CUSTOM;
    state->wrapped = custom && item->form == CALL_FUNCTION;
    item->form = custom ? CALL_CUSTOM : CALL_FUNCTION;
    if (state->wrapped)
        unwrap_init(&state->unwrap, keep, emit_input, encode);
    if (custom)
        set_deltas(encode, SPAN(EVENT("response.custom_tool_call_input.delta")),
                   SPAN("\"" SEQUENCE));
    else
        set_deltas(encode, SPAN(EVENT("response.function_call_arguments.delta")),
                   SPAN("\"" SEQUENCE));
}

static bool is_call_open(const struct state *state)
{
    return state->is_open && state->item != NULL && state->item->kind == ITEM_CALL;
}

static void emit_input(void *arg, struct words text)
{
    write_text(arg, text);
}

static void write_args(struct encode *encode, struct words text)
{
    struct state *state = state_of(encode);
    if (!is_call_open(state))
        return;
    if (state->wrapped)
        unwrap_put(&state->unwrap, text);
    else if (state->output.kind == OUTPUT_SEARCH)
        keep_text(encode, text); // an object, told once
    else
        write_text(encode, text);
}

static void end_call(struct encode *encode)
{
    struct state *state = state_of(encode);
    if (!is_call_open(state))
        return;
    if (state->wrapped)
        unwrap_end(&state->unwrap);
    else if (state->output.kind == OUTPUT_FUNCTION && item_is_empty(state->item))
        write_text(encode, words_plain(SPAN("{}"))); // C-023
    state->item->complete = true;
    close_item(encode, false);
}

static void note_cite(struct encode *encode, const struct delta *delta)
{
    struct state *state = state_of(encode);
    struct keep *keep = &state->kept.keep;
    if (words_none(delta->cite.url)) {
        encode->lost[DELTA_CITE]++; // the other kinds need the vendor's own documents
        return;
    }
    open_part(encode, ITEM_TEXT);
    struct item_cite *cite = state->is_part ? completion_cite(&state->kept, state->item) : NULL;
    if (cite == NULL)
        return;
    cite->cite = delta->cite;
    cite->cite.url = keep_words(keep, delta->cite.url);
    cite->cite.title = keep_words(keep, delta->cite.title);
}

// Log probabilities come after their text: in a delta of their own, and with the whole text.
static void write_logprobs(struct encode *encode, struct json_slice entries)
{
    struct state *state = state_of(encode);
    struct span inside = entries.text;
    bool text = state->is_open && state->is_part && state->item->kind == ITEM_TEXT;
    if (!text || entries.kind != JK_ARRAY || !wire_has_content(entries)) {
        encode->lost[DELTA_LOGPROBS]++;
        return;
    }
    inside = span_of(inside.ptr + 1, inside.len - 2);
    struct beside *beside = beside_new(encode, state->item);
    if (beside == NULL)
        return;
    if (beside->logprobs.len > 0)
        rope_add(&state->kept.keep, &beside->logprobs, words_escaped(SPAN(",")));
    rope_add(&state->kept.keep, &beside->logprobs, words_escaped(inside));
    sink_put(encode->out, span_of(state->prefix, state->prefix_len));
    SINK_TEXT(encode->out, "\",\"logprobs\":");
    sink_line(encode->out, entries.text);
    event_end(encode);
}

static void write_media(struct encode *encode, const struct delta *delta)
{
    struct state *state = state_of(encode);
    close_item(encode, false);
    struct item *item = keep_item(encode, ITEM_MEDIA);
    if (item == NULL)
        return;
    state->item = item;
    open_item(encode, OUTPUT_IMAGE, item);
    keep_text(encode, delta->text);
    item->complete = true;
    close_item(encode, false);
}

static void note_finish(struct encode *encode, const struct delta *delta)
{
    struct state *state = state_of(encode);
    if (state->finished)
        return;
    state->finished = true;
    state->finish = delta->finish;
    state->answer.cut = !answer_may_be_empty((enum finish)delta->finish);
}

// In serial order.
static void write_delta(void *arg, const struct delta *delta)
{
    struct encode *encode = arg;
    struct state *state = state_of(encode);
    if (state->kept.keep.failed)
        return;
    switch ((enum delta_kind)delta->kind) {
    case DELTA_TEXT: write_part(encode, ITEM_TEXT, delta->text); break;
    case DELTA_REFUSAL: write_part(encode, ITEM_REFUSAL, delta->text); break;
    case DELTA_TEXT_END:
        if (state->is_open && state->output.kind == OUTPUT_MESSAGE)
            close_part(encode);
        break;
    case DELTA_THINK: write_thought(encode, delta->text); break;
    case DELTA_THINK_END:
        end_thought(encode, &delta->signature, ITEM_THINK, seal_of(&delta->signature));
        break;
    case DELTA_REDACTED:
        end_thought(encode, &delta->signature, ITEM_REDACTED, ENVELOPE_REDACTED);
        break;
    case DELTA_CALL: write_call(encode, delta); break;
    case DELTA_ARGS: write_args(encode, delta->text); break;
    case DELTA_CALL_END: end_call(encode); break;
    case DELTA_CITE: note_cite(encode, delta); break;
    case DELTA_LOGPROBS: write_logprobs(encode, delta->raw); break;
    case DELTA_MEDIA: write_media(encode, delta); break;
    case DELTA_FINISH: note_finish(encode, delta); break;
    case DELTA_HOSTED: encode->lost[DELTA_HOSTED]++; break;
    case DELTA_KIND_COUNT: assert(false); break;
    }
}

void responses_encode_delta(struct encode *encode, const struct delta *delta)
{
    struct state *state = state_of(encode);
    if (delta->choice == 0)
        serial_put(&state->serial, delta);
    encode->failed = encode->failed || state->serial.queue.keep.failed || state->kept.keep.failed;
}

// Up to the items of the last event, which repeats all of them.
void responses_encode_end(struct encode *encode)
{
    struct state *state = state_of(encode);
    struct sink *out = encode->out;
    enum finish finish = (enum finish)state->finish;
    struct span reason, status = answer_status(finish, &reason);
    close_item(encode, true);
    if (state->next == 0 && answer_may_be_empty(finish)) {
        open_part(encode, ITEM_TEXT);
        close_item(encode, true);
    }
    sink_put(out, reason.len > 0 ? SPAN(EVENT("response.incomplete"))
                                 : SPAN(EVENT("response.completed")));
    SINK_TEXT(out, ",\"response\":");
    answer_put_head(out, &state->answer, status, reason);
    state->walk = (struct output_walk){ .answer = &state->answer, .at = state->answer.items };
    encode->failed = encode->failed || state->kept.keep.failed;
}

bool responses_encode_more(struct encode *encode)
{
    struct state *state = state_of(encode);
    if (answer_put_items(encode->out, &state->walk, (enum finish)state->finish, ITEMS_A_STEP))
        return true;
    answer_put_tail(encode->out, &state->answer, true);
    event_end(encode);
    return false;
}

void responses_encode_fini(struct encode *encode)
{
    serial_fini(&state_of(encode)->serial);
    completion_fini(&state_of(encode)->kept);
}
