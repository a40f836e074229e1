// OpenAI Chat Completions, writing a stream: a chunk a delta, then usage if it was asked for, then
// "[DONE]".
//
// What clients' accumulators keep only in its last form is sent once, complete, before the finish:
// thoughts with signatures, and citations (C-140).
#include "chat.h"
#include "penstock/base/check.h"
#include "penstock/convert/ids.h"

struct thought {
    struct thought *next;
    uint16_t choice;
    bool redacted;
    struct rope rope;
    struct signature signature;
};

struct note {
    struct note *next;
    uint16_t choice;
    bool open; // about a whole run of text that has not ended
    struct cite cite;
};

struct call {
    struct call *next;
    uint16_t choice, number;
    uint8_t form; // enum call_form
    bool has_args;
};

struct state {
    struct span head; // of every chunk, up to the choice's index
    struct span tail; // behind the finish reason
    struct thought *thoughts, *last_thought;
    struct thought *open; // the one that grows
    struct note *notes, *last_note;
    // Code points of the first choice's text, where citations are expected, and of those before the
    // open run.
    uint64_t points, run_from;
    struct call *calls;
    uint64_t begun[COMPLETION_CHOICES_MAX / 64]; // a bit a choice: its role was told
};
_Static_assert(sizeof(struct state) <= ENCODE_STATE, "an encoder's state fits");

static struct state *state_of(struct encode *encode)
{
    return (struct state *)(void *)encode->state;
}

static void chunk_begin(struct sink *out, const struct answer_facts *facts)
{
    SINK_TEXT(out, "data: {\"id\":\"");
    id_put_answer(out, facts->id, FAMILY_OPENAI, facts->random);
    SINK_TEXT(out, "\",\"object\":\"chat.completion.chunk\",\"created\":");
    sink_u64(out, facts->now_s);
    SINK_TEXT(out, ",\"model\":");
    sink_quoted(out, words_plain(facts->model));
    SINK_TEXT(out, ",\"choices\":[");
}

void chat_encode_start(struct encode *encode)
{
    struct state *state = state_of(encode);
    char room[1 * KIB];
    struct sink head = sink_into(room, sizeof(room));
    chunk_begin(&head, &encode->facts);
    SINK_TEXT(&head, "{\"index\":");
    struct words text = { .raw = span_of(room, (size_t)(head.at - room)), .escaped = true };
    state->head = keep_words(&encode->keep, text).raw;
    state->tail = encode->facts.usage_wanted ? SPAN("}],\"usage\":null}\n\n") : SPAN("}]}\n\n");
    encode->failed = encode->failed || head.failed;
}

// A chunk up to the inside of its delta, and what follows it.
static void delta_begin(struct encode *encode, uint16_t choice)
{
    sink_put(encode->out, state_of(encode)->head);
    sink_u64(encode->out, choice);
    SINK_TEXT(encode->out, ",\"delta\":{");
}

static void delta_end(struct encode *encode)
{
    SINK_TEXT(encode->out, "},\"logprobs\":null,\"finish_reason\":null");
    sink_put(encode->out, state_of(encode)->tail);
}

static void begin_choice(struct encode *encode, uint16_t choice)
{
    uint64_t *begun = &state_of(encode)->begun[choice / 64];
    if ((*begun >> (choice % 64) & 1) != 0)
        return;
    *begun |= UINT64_C(1) << (choice % 64);
    delta_begin(encode, choice);
    SINK_TEXT(encode->out, "\"role\":\"assistant\",\"content\":\"\"");
    delta_end(encode);
}

static void write_text(struct encode *encode, const struct delta *delta, struct span key)
{
    delta_begin(encode, delta->choice);
    sink_put(encode->out, key);
    sink_string(encode->out, delta->text);
    SINK_TEXT(encode->out, "\"");
    delta_end(encode);
}

// --- thoughts ---

static struct thought *thought_new(struct encode *encode, uint16_t choice)
{
    struct state *state = state_of(encode);
    struct thought *thought = keep_take(&encode->keep, sizeof(*thought));
    if (thought == NULL)
        return NULL;
    thought->choice = choice;
    *(state->last_thought == NULL ? &state->thoughts : &state->last_thought->next) = thought;
    state->last_thought = thought;
    return thought;
}

static void write_thought(struct encode *encode, const struct delta *delta)
{
    struct state *state = state_of(encode);
    if (!encode->facts.thoughts_wanted)
        return;
    write_text(encode, delta, SPAN("\"reasoning_content\":\""));
    if (state->open == NULL || state->open->choice != delta->choice)
        state->open = thought_new(encode, delta->choice);
    if (state->open != NULL)
        rope_add(&encode->keep, &state->open->rope, delta->text);
}

static void sign_thought(struct encode *encode, const struct delta *delta, bool redacted)
{
    struct state *state = state_of(encode);
    struct thought *thought = redacted ? NULL : state->open;
    state->open = NULL;
    if (words_none(delta->signature.text) || !encode->facts.thoughts_wanted)
        return;
    if (thought == NULL || thought->choice != delta->choice)
        thought = thought_new(encode, delta->choice);
    if (thought == NULL)
        return;
    thought->redacted = redacted;
    thought->signature = delta->signature;
    thought->signature.text = keep_words(&encode->keep, delta->signature.text);
    thought->signature.id = keep_words(&encode->keep, delta->signature.id);
}

static void write_details(struct encode *encode, uint16_t choice)
{
    unsigned count = 0;
    const struct thought *thought = state_of(encode)->thoughts;
    for (; thought != NULL; thought = thought->next) {
        if (thought->choice != choice || words_none(thought->signature.text))
            continue;
        if (count == 0) {
            delta_begin(encode, choice);
            SINK_TEXT(encode->out, "\"reasoning_details\":[");
        } else {
            SINK_TEXT(encode->out, ",");
        }
        chat_put_detail(encode->out, &thought->signature, thought->redacted, &encode->facts,
                        &thought->rope, WORDS_NONE, count++);
    }
    if (count == 0)
        return;
    SINK_TEXT(encode->out, "]");
    delta_end(encode);
}

// --- citations ---

// Counts the text that citations are about (C-127).
static void count_points(struct encode *encode, const struct delta *delta)
{
    struct state *state = state_of(encode);
    if (delta->choice != 0 || delta->kind == DELTA_CITE || delta->kind == DELTA_ARGS)
        return;
    if (delta->kind == DELTA_TEXT) {
        state->points += words_points(delta->text);
        return;
    }
    for (struct note *note = state->notes; note != NULL; note = note->next) {
        if (note->open)
            note->cite.to = state->points;
        note->open = false;
    }
    state->run_from = state->points;
}

static void note_cite(struct encode *encode, const struct delta *delta)
{
    struct state *state = state_of(encode);
    if (words_none(delta->cite.url)) {
        encode->lost[DELTA_CITE]++;
        return;
    }
    struct note *note = keep_take(&encode->keep, sizeof(*note));
    if (note == NULL)
        return;
    note->choice = delta->choice;
    note->cite = delta->cite;
    if (encode->facts.cites_expected && delta->choice == 0) {
        note->open = !delta->cite.placed;
        note->cite.from = state->run_from + (note->open ? 0 : delta->cite.from);
        note->cite.to = state->run_from + (note->open ? 0 : delta->cite.to);
        note->cite.placed = true;
    }
    note->cite.url = keep_words(&encode->keep, delta->cite.url);
    note->cite.title = keep_words(&encode->keep, delta->cite.title);
    *(state->last_note == NULL ? &state->notes : &state->last_note->next) = note;
    state->last_note = note;
}

static void write_notes(struct encode *encode, uint16_t choice)
{
    unsigned count = 0;
    for (const struct note *note = state_of(encode)->notes; note != NULL; note = note->next) {
        if (note->choice != choice)
            continue;
        if (count++ == 0) {
            delta_begin(encode, choice);
            SINK_TEXT(encode->out, "\"annotations\":[");
        } else {
            SINK_TEXT(encode->out, ",");
        }
        chat_put_cite(encode->out, &note->cite);
    }
    if (count == 0)
        return;
    SINK_TEXT(encode->out, "]");
    delta_end(encode);
}

// --- calls ---

static struct call *call_of(struct encode *encode, const struct delta *delta)
{
    struct call *call = state_of(encode)->calls;
    while (call != NULL && (call->choice != delta->choice || call->number != delta->call))
        call = call->next;
    return call;
}

static void write_call(struct encode *encode, const struct delta *delta)
{
    struct state *state = state_of(encode);
    struct sink *out = encode->out;
    struct call *call = keep_take(&encode->keep, sizeof(*call));
    if (call == NULL)
        return;
    *call = (struct call){ state->calls, delta->choice, delta->call, delta->form, false };
    state->calls = call;
    delta_begin(encode, delta->choice);
    SINK_TEXT(out, "\"tool_calls\":[{\"index\":");
    sink_u64(out, delta->call);
    SINK_TEXT(out, ",\"id\":\"");
    id_put_call(out, delta->id, FAMILY_OPENAI, encode->facts.random, delta->call);
    bool custom = delta->form == CALL_CUSTOM;
    sink_put(out, custom ? SPAN("\",\"type\":\"custom\",\"custom\":{\"name\":")
                         : SPAN("\",\"type\":\"function\",\"function\":{\"name\":"));
    sink_quoted(out, delta->name);
    sink_put(out, custom ? SPAN(",\"input\":\"\"}") : SPAN(",\"arguments\":\"\"}"));
    if (delta->signature.maker == MAKER_GEMINI) {
        SINK_TEXT(out, ",\"extra_content\":{\"google\":{\"thought_signature\":");
        chat_put_signature(out, &delta->signature, &encode->facts, ENVELOPE_CALL);
        SINK_TEXT(out, "}}");
    }
    SINK_TEXT(out, "}]");
    delta_end(encode);
}

static void write_args(struct encode *encode, const struct delta *delta, struct words text)
{
    struct call *call = call_of(encode, delta);
    if (call == NULL)
        return;
    struct sink *out = encode->out;
    call->has_args = true;
    delta_begin(encode, delta->choice);
    SINK_TEXT(out, "\"tool_calls\":[{\"index\":");
    sink_u64(out, delta->call);
    sink_put(out, call->form == CALL_CUSTOM ? SPAN(",\"custom\":{\"input\":\"")
                                            : SPAN(",\"function\":{\"arguments\":\""));
    sink_string(out, text);
    SINK_TEXT(out, "\"}}]");
    delta_end(encode);
}

static void end_call(struct encode *encode, const struct delta *delta)
{
    const struct call *call = call_of(encode, delta);
    if (call != NULL && !call->has_args && call->form == CALL_FUNCTION)
        write_args(encode, delta, words_plain(SPAN("{}"))); // C-023
}

// --- the rest ---

static void write_logprobs(struct encode *encode, const struct delta *delta)
{
    sink_put(encode->out, state_of(encode)->head);
    sink_u64(encode->out, delta->choice);
    SINK_TEXT(encode->out, ",\"delta\":{},\"logprobs\":{\"content\":");
    sink_line(encode->out, delta->raw.text);
    SINK_TEXT(encode->out, ",\"refusal\":null},\"finish_reason\":null");
    sink_put(encode->out, state_of(encode)->tail);
}

static void write_media(struct encode *encode, const struct delta *delta)
{
    struct sink *out = encode->out;
    delta_begin(encode, delta->choice);
    SINK_TEXT(out, "\"images\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:");
    sink_string(out, delta->type);
    SINK_TEXT(out, ";base64,");
    sink_string(out, delta->text);
    SINK_TEXT(out, "\"}}]");
    delta_end(encode);
}

static void write_finish(struct encode *encode, const struct delta *delta)
{
    write_details(encode, delta->choice);
    write_notes(encode, delta->choice);
    if (delta->finish == FINISH_FILTERED && !words_none(delta->text)) // C-046
        write_text(encode, delta, SPAN("\"refusal\":\""));
    sink_put(encode->out, state_of(encode)->head);
    sink_u64(encode->out, delta->choice);
    SINK_TEXT(encode->out, ",\"delta\":{},\"logprobs\":null,\"finish_reason\":\"");
    sink_put(encode->out, chat_finish_word((enum finish)delta->finish));
    SINK_TEXT(encode->out, "\"");
    sink_put(encode->out, state_of(encode)->tail);
}

void chat_encode_delta(struct encode *encode, const struct delta *delta)
{
    if (delta->choice >= COMPLETION_CHOICES_MAX)
        return;
    begin_choice(encode, delta->choice);
    if (encode->facts.cites_expected)
        count_points(encode, delta);
    switch ((enum delta_kind)delta->kind) {
    case DELTA_TEXT: write_text(encode, delta, SPAN("\"content\":\"")); break;
    case DELTA_REFUSAL: write_text(encode, delta, SPAN("\"refusal\":\"")); break;
    case DELTA_THINK: write_thought(encode, delta); break;
    case DELTA_THINK_END: sign_thought(encode, delta, false); break;
    case DELTA_REDACTED: sign_thought(encode, delta, true); break;
    case DELTA_CALL: write_call(encode, delta); break;
    case DELTA_ARGS: write_args(encode, delta, delta->text); break;
    case DELTA_CALL_END: end_call(encode, delta); break;
    case DELTA_CITE: note_cite(encode, delta); break;
    case DELTA_MEDIA: write_media(encode, delta); break;
    case DELTA_LOGPROBS: write_logprobs(encode, delta); break;
    case DELTA_FINISH: write_finish(encode, delta); break;
    case DELTA_TEXT_END: break;
    case DELTA_HOSTED: encode->lost[DELTA_HOSTED]++; break;
    case DELTA_KIND_COUNT: assert(false); break;
    }
}

void chat_encode_end(struct encode *encode)
{
    struct sink *out = encode->out;
    if (encode->facts.usage_wanted) {
        chunk_begin(out, &encode->facts);
        SINK_TEXT(out, "],\"usage\":");
        chat_put_usage(out, &encode->facts.usage);
        SINK_TEXT(out, "}\n\n");
    }
    SINK_TEXT(out, "data: [DONE]\n\n");
}
