// Gemini generateContent, writing a stream: each chunk is a whole answer with one part, the last
// one of a candidate says why it ended, the last one of all what it cost.
//
// As events, or as one list. Calls are written once their arguments are complete; what signs a
// thought goes with the next call, or with the end (conversion rules 4.6).
#include "gemini.h"
#include "offsets.h"

#include "penstock/base/check.h"
#include "penstock/convert/args.h"
#include "penstock/convert/serial.h"

// A signature that waits for its part, and the thought that it signs.
struct pending {
    struct signature signature;
    bool redacted;
    struct rope thought;
};

struct call {
    struct item item; // its arguments so far
    struct pending pending;
};

struct candidate {
    struct candidate *next;
    uint16_t index;
    uint8_t finish; // enum finish
    bool ended;
    bool malformed; // a call's arguments were no object
    struct rope thought;
    struct pending pending;
    struct offsets offsets;
    uint64_t run_at; // byte that the open run of text began at,
    uint64_t run_point;
    bool in_text;
    struct gemini_cite *cites, *last_cite;
    struct gemini_cite *run_cites; // the first of those that are about all of the open run
    struct gemini_logprobs logprobs;
    struct serial serial;
    struct call *call; // that is open
};

struct state {
    struct candidate *candidates; // by index
    struct candidate *newest;     // that a delta was of
    struct span tail;             // of a chunk of the first candidate, behind its part,
    struct span text_tail[2];     // and behind the words of a text and of a thought
    bool chunk_written;
};
_Static_assert(sizeof(struct state) <= ENCODE_STATE, "an encoder's state fits");

static struct state *state_of(struct encode *encode)
{
    return (struct state *)(void *)encode->state;
}

static void write_delta(void *arg, const struct delta *delta);

static struct candidate *candidate_of(struct encode *encode, uint16_t index)
{
    struct state *state = state_of(encode);
    if (state->newest != NULL && state->newest->index == index)
        return state->newest;
    struct candidate **at = &state->candidates;
    while (*at != NULL && (*at)->index < index)
        at = &(*at)->next;
    if (*at == NULL || (*at)->index != index) {
        struct candidate *candidate = keep_take(&encode->keep, sizeof(*candidate));
        if (candidate == NULL)
            return NULL;
        serial_init(&candidate->serial, encode->keep.source, encode->keep.held_max, write_delta,
                    encode);
        candidate->serial.queue.keep.scratch = encode->facts.scratch;
        candidate->index = index;
        candidate->next = *at;
        *at = candidate;
    }
    return state->newest = *at;
}

// --- chunks ---

#define CHUNK_HEAD "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":["

static void put_tail(struct sink *out, const struct answer_facts *facts, uint16_t index)
{
    SINK_TEXT(out, "]},\"index\":");
    sink_u64(out, index);
    SINK_TEXT(out, "}]");
    gemini_put_facts(out, facts);
    sink_put(out, facts->json_array ? SPAN("\n") : SPAN("\n\n"));
}

static struct span keep_tail(struct encode *encode, struct span begin)
{
    char room[1 * KIB];
    struct sink tail = sink_into(room, sizeof(room));
    sink_put(&tail, begin);
    put_tail(&tail, &encode->facts, 0);
    encode->failed = encode->failed || tail.failed;
    const struct words text = { .raw = span_of(room, (size_t)(tail.at - room)), .escaped = true };
    return keep_words(&encode->keep, text).raw;
}

#define THOUGHT_END "\",\"thought\":true}"

void gemini_encode_start(struct encode *encode)
{
    struct state *state = state_of(encode);
    state->text_tail[0] = keep_tail(encode, SPAN("\"}"));
    state->text_tail[1] = keep_tail(encode, SPAN(THOUGHT_END));
    state->tail = span_from(state->text_tail[0], min_size(2, state->text_tail[0].len));
}

// Up to where the part stands.
static void chunk_begin(struct encode *encode)
{
    struct state *state = state_of(encode);
    if (!encode->facts.json_array)
        SINK_TEXT(encode->out, "data: " CHUNK_HEAD);
    else
        sink_put(encode->out, state->chunk_written ? SPAN(",\n" CHUNK_HEAD) : SPAN("[" CHUNK_HEAD));
    state->chunk_written = true;
}

static void chunk_end(struct encode *encode, uint16_t index)
{
    if (index == 0)
        sink_put(encode->out, state_of(encode)->tail);
    else
        put_tail(encode->out, &encode->facts, index);
}

#define TEXT_HEAD "data: " CHUNK_HEAD "{\"text\":\""

// What there is most of: its words between two texts that are known beforehand.
static hot void write_text(struct encode *encode, const struct delta *delta, bool thought)
{
    struct sink *out = encode->out;
    if (likely(delta->choice == 0 && !encode->facts.json_array)) {
        SINK_TEXT(out, TEXT_HEAD);
        sink_string(out, delta->text);
        sink_put(out, state_of(encode)->text_tail[thought]);
        return;
    }
    chunk_begin(encode);
    SINK_TEXT(out, "{\"text\":\"");
    sink_string(out, delta->text);
    sink_put(out, thought ? SPAN(THOUGHT_END) : SPAN("\"}"));
    chunk_end(encode, delta->choice);
}

// --- thoughts ---

static void put_pending(struct encode *encode, const struct pending *pending)
{
    gemini_put_signature(encode->out, &pending->signature, pending->redacted, &encode->facts,
                         WORDS_NONE, &pending->thought);
}

// A signature that no call took before the next one came.
static void write_pending(struct encode *encode, struct candidate *candidate)
{
    if (words_none(candidate->pending.signature.text))
        return;
    chunk_begin(encode);
    sink_put(encode->out, candidate->pending.redacted ? SPAN("{\"text\":\"\",\"thought\":true,")
                                                      : SPAN("{\"text\":\"\","));
    put_pending(encode, &candidate->pending);
    SINK_TEXT(encode->out, "}");
    chunk_end(encode, candidate->index);
    candidate->pending = (struct pending){ 0 };
}

static struct signature keep_signature(struct encode *encode, const struct signature *signature)
{
    struct signature kept = *signature;
    kept.text = keep_words(&encode->keep, signature->text);
    kept.id = keep_words(&encode->keep, signature->id);
    return kept;
}

static void note_signature(struct encode *encode, struct candidate *candidate,
                           const struct delta *delta, bool redacted)
{
    struct rope thought = candidate->thought;
    candidate->thought = (struct rope){ 0 };
    if (words_none(delta->signature.text))
        return;
    write_pending(encode, candidate);
    candidate->pending.signature = keep_signature(encode, &delta->signature);
    candidate->pending.redacted = redacted;
    if (!redacted)
        candidate->pending.thought = thought;
    if (redacted) // it stands where it stood, on a thought of its own
        write_pending(encode, candidate);
}

static void write_thought(struct encode *encode, struct candidate *candidate,
                          const struct delta *delta)
{
    rope_add(&encode->keep, &candidate->thought, delta->text);
    if (encode->facts.thoughts_wanted)
        write_text(encode, delta, true);
}

// --- calls ---

static void begin_call(struct encode *encode, struct candidate *candidate,
                       const struct delta *delta)
{
    struct call *call = keep_take(&encode->keep, sizeof(*call));
    if (call == NULL)
        return;
    if (!words_none(delta->signature.text))
        note_signature(encode, candidate, delta, false);
    candidate->thought = (struct rope){ 0 };
    call->item = (struct item){ .kind = ITEM_CALL, .form = delta->form, .call = delta->call };
    call->item.id = keep_words(&encode->keep, delta->id);
    call->item.name = keep_words(&encode->keep, delta->name);
    call->pending = candidate->pending;
    candidate->pending = (struct pending){ 0 };
    candidate->call = call;
}

static void end_call(struct encode *encode, struct candidate *candidate)
{
    const struct call *call = candidate->call;
    struct sink *out = encode->out;
    candidate->call = NULL;
    if (call == NULL)
        return;
    struct span object = SPAN_NONE;
    if (call->item.form == CALL_FUNCTION) {
        object = args_object_of(&call->item, encode->facts.scratch);
        if (object.ptr == NULL) { // C-025
            candidate->malformed = true;
            return;
        }
    }
    chunk_begin(encode);
    gemini_put_call(out, &call->item, object, &encode->facts);
    if (!words_none(call->pending.signature.text)) {
        SINK_TEXT(out, ",");
        put_pending(encode, &call->pending);
    }
    SINK_TEXT(out, "}");
    chunk_end(encode, candidate->index);
}

// --- the rest ---

static void write_media(struct encode *encode, const struct delta *delta)
{
    chunk_begin(encode);
    SINK_TEXT(encode->out, "{\"inlineData\":{\"mimeType\":");
    sink_quoted(encode->out, delta->type);
    SINK_TEXT(encode->out, ",\"data\":");
    sink_quoted(encode->out, delta->text);
    SINK_TEXT(encode->out, "}}");
    chunk_end(encode, delta->choice);
}

// The run of text that is open ends: what is about all of it ends here.
static void end_run(struct candidate *candidate)
{
    for (struct gemini_cite *cite = candidate->run_cites; cite != NULL; cite = cite->next) {
        if (cite->placed)
            continue;
        cite->to = candidate->offsets.bytes;
        cite->placed = cite->to > cite->from;
    }
    candidate->run_cites = NULL;
    candidate->in_text = false;
}

static void begin_run(struct candidate *candidate)
{
    if (candidate->in_text)
        return;
    candidate->run_at = candidate->offsets.bytes;
    candidate->run_point = candidate->offsets.points;
    candidate->in_text = true;
}

// A citation that says no place is about all of the open run.
static void note_cite(struct encode *encode, struct candidate *candidate, const struct delta *delta)
{
    struct gemini_cite *cite =
        words_none(delta->cite.url) ? NULL : keep_take(&encode->keep, sizeof(*cite));
    if (cite == NULL) {
        encode->lost[DELTA_CITE]++;
        return;
    }
    begin_run(candidate);
    cite->url = keep_words(&encode->keep, delta->cite.url);
    cite->title = keep_words(&encode->keep, delta->cite.title);
    *(candidate->last_cite == NULL ? &candidate->cites : &candidate->last_cite->next) = cite;
    candidate->last_cite = cite;
    const struct offsets *offsets = &candidate->offsets;
    const uint64_t base = candidate->run_point;
    cite->from = candidate->run_at;
    if (delta->cite.placed)
        cite->placed = offsets_byte_of(offsets, base + delta->cite.from, &cite->from) &&
                       offsets_byte_of(offsets, base + delta->cite.to, &cite->to);
    else if (candidate->run_cites == NULL)
        candidate->run_cites = cite;
}

static void note_finish(struct candidate *candidate, const struct delta *delta)
{
    end_run(candidate);
    if (candidate->ended)
        return;
    candidate->ended = true;
    candidate->finish = delta->finish;
}

// In an order in which one call is open at a time.
static void write_delta(void *arg, const struct delta *delta)
{
    struct encode *encode = arg;
    struct candidate *candidate = candidate_of(encode, delta->choice);
    if (candidate == NULL)
        return;
    switch ((enum delta_kind)delta->kind) {
    case DELTA_TEXT:
    case DELTA_REFUSAL:
        begin_run(candidate);
        offsets_add(&candidate->offsets, &encode->keep, delta->text);
        write_text(encode, delta, false);
        break;
    case DELTA_TEXT_END: end_run(candidate); break;
    case DELTA_THINK:
        end_run(candidate);
        write_thought(encode, candidate, delta);
        break;
    case DELTA_THINK_END: note_signature(encode, candidate, delta, false); break;
    case DELTA_REDACTED: note_signature(encode, candidate, delta, true); break;
    case DELTA_CALL:
        end_run(candidate);
        begin_call(encode, candidate, delta);
        break;
    case DELTA_ARGS:
        if (candidate->call != NULL)
            rope_add(&encode->keep, &candidate->call->item.rope, delta->text);
        break;
    case DELTA_CALL_END: end_call(encode, candidate); break;
    case DELTA_CITE: note_cite(encode, candidate, delta); break;
    case DELTA_MEDIA:
        end_run(candidate);
        write_media(encode, delta);
        break;
    case DELTA_LOGPROBS:
        gemini_add_logprobs(&candidate->logprobs, &encode->keep, delta->raw);
        break;
    case DELTA_HOSTED: encode->lost[DELTA_HOSTED]++; break;
    case DELTA_FINISH: note_finish(candidate, delta); break;
    case DELTA_KIND_COUNT: assert(false); break;
    }
}

void gemini_encode_delta(struct encode *encode, const struct delta *delta)
{
    struct candidate *candidate = candidate_of(encode, delta->choice);
    if (candidate == NULL)
        return;
    serial_put(&candidate->serial, delta);
    encode->failed = encode->failed || candidate->serial.queue.keep.failed;
}

void gemini_encode_fini(struct encode *encode)
{
    for (struct candidate *candidate = state_of(encode)->candidates; candidate != NULL;
         candidate = candidate->next)
        serial_fini(&candidate->serial);
}

static void write_last(struct encode *encode, const struct candidate *candidate)
{
    struct sink *out = encode->out;
    chunk_begin(encode);
    SINK_TEXT(out, "{\"text\":\"\"");
    if (!words_none(candidate->pending.signature.text)) {
        SINK_TEXT(out, ",");
        put_pending(encode, &candidate->pending);
    }
    SINK_TEXT(out, "}]},\"finishReason\":\"");
    enum finish finish = (enum finish)candidate->finish;
    bool broken = candidate->malformed && finish != FINISH_LENGTH && finish != FINISH_CONTEXT;
    sink_put(out, broken ? SPAN("MALFORMED_FUNCTION_CALL") : gemini_finish_word(finish));
    SINK_TEXT(out, "\",\"index\":");
    sink_u64(out, candidate->index);
    if (candidate->cites != NULL)
        gemini_put_cites(out, candidate->cites);
    if (candidate->logprobs.chosen.len > 0)
        gemini_put_logprobs(out, &candidate->logprobs);
    SINK_TEXT(out, "}]");
    if (candidate->next == NULL) {
        SINK_TEXT(out, ",\"usageMetadata\":");
        gemini_put_usage(out, &encode->facts.usage);
    }
    gemini_put_facts(out, &encode->facts);
    sink_put(out, encode->facts.json_array ? SPAN("\n") : SPAN("\n\n"));
}

void gemini_encode_end(struct encode *encode)
{
    const struct candidate none = { 0 };
    const struct candidate *candidate = state_of(encode)->candidates;
    if (candidate == NULL)
        write_last(encode, &none);
    for (; candidate != NULL; candidate = candidate->next)
        write_last(encode, candidate);
    if (encode->facts.json_array)
        SINK_TEXT(encode->out, "]\n");
}
