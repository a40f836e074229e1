// Gemini generateContent, reading a stream: a row of whole answers that each add to the last.
//
// Parts say what they are, never where a run of them begins or ends. A thought is over when
// something else comes; a call comes whole, or in pieces until one does not announce another.
#include "compact.h"
#include "gemini.h"
#include "offsets.h"

#include "penstock/base/check.h"

enum { CANDIDATES_MAX = 8, PARTS_MAX = 16 };

struct candidate {
    bool begun;
    bool thinks;   // a thought is open
    bool in_text;  // a run of text is
    bool content;  // there was some
    bool finished; // a reason was told
    bool good;     // and it was no failure, as far as can be told
    bool partial;  // a call is open whose arguments come in pieces
    uint8_t finish;
    uint16_t calls;
    uint64_t run_at; // code point that the open run of text began at
    struct offsets offsets;
    struct words message; // the vendor's words on why it stopped
};

struct state {
    delta_sink *emit; // where deltas go after a look at the text in them
    void *ctx;
    bool blocked; // the prompt was
    struct words blocked_why;
    struct gemini_args args; // of the one call that is open
    uint16_t args_of;        // its candidate
    struct candidate candidates[CANDIDATES_MAX];
};
_Static_assert(sizeof(struct state) <= DECODE_STATE, "a decoder's state fits");

static struct state *state_of(struct decode *decode)
{
    return (struct state *)(void *)decode->state;
}

static uint16_t index_of(struct decode *decode, const struct candidate *candidate)
{
    return (uint16_t)(candidate - state_of(decode)->candidates);
}

static void end_partial(struct decode *decode, struct candidate *candidate);
static void end_thought(struct decode *decode, struct candidate *candidate);

// All deltas come through here, also those of events that are known by their likeness and pass the
// decoder by: what a text or a thought ends, and where citations in the text will count from, has
// to be right for them, too.
static void watch(void *arg, const struct delta *delta)
{
    struct decode *decode = arg;
    struct state *state = state_of(decode);
    struct candidate *candidate = &state->candidates[delta->choice];
    if (delta->kind == DELTA_TEXT) {
        if (!candidate->in_text) {
            end_partial(decode, candidate);
            end_thought(decode, candidate);
            candidate->run_at = candidate->offsets.points;
        }
        candidate->in_text = candidate->content = true;
        offsets_add(&candidate->offsets, &decode->keep, delta->text);
    } else if (delta->kind == DELTA_THINK) {
        end_partial(decode, candidate);
        candidate->thinks = true;
        candidate->in_text = false;
    }
    state->emit(state->ctx, delta);
}

// --- thoughts and texts ---

static void end_thought(struct decode *decode, struct candidate *candidate)
{
    if (!candidate->thinks)
        return;
    candidate->thinks = false;
    struct delta delta = { .kind = DELTA_THINK_END, .choice = index_of(decode, candidate) };
    delta.signature.maker = MAKER_GEMINI;
    decode_emit(decode, &delta);
}

// A signature of what came before it. On an open thought it ends that; elsewhere it is about the
// text.
static void sign(struct decode *decode, struct candidate *candidate, struct words signature)
{
    if (words_none(signature))
        return;
    struct delta delta = { .kind = DELTA_THINK_END, .choice = index_of(decode, candidate) };
    delta.signature.text = signature;
    delta.signature.maker = MAKER_GEMINI;
    delta.signature.signs = candidate->thinks ? SIGNS_THOUGHT : SIGNS_TEXT;
    candidate->thinks = false;
    decode_emit(decode, &delta);
}

static void read_text(struct decode *decode, struct candidate *candidate, struct words text,
                      bool thought, struct words signature)
{
    struct delta delta = { .kind = thought ? DELTA_THINK : DELTA_TEXT, .text = text };
    delta.choice = index_of(decode, candidate);
    if (!words_none(text))
        decode_emit(decode, &delta);
    sign(decode, candidate, signature);
}

// --- calls ---

// JSON text on its way into deltas: as few as there may be, none of which tears a character.
struct pieces {
    struct sink sink;
    struct decode *decode;
    struct delta delta;
    char room[2 * KIB];
};

static bool pieces_more(struct sink *sink)
{
    struct pieces *pieces = container_of(sink, struct pieces, sink);
    size_t len = (size_t)(sink->at - pieces->room), whole = len;
    while (whole > 0 && len - whole < 4 && ((unsigned char)pieces->room[whole - 1] & 0xc0) == 0x80)
        whole--;
    if (whole > 0 && ((unsigned char)pieces->room[whole - 1] & 0x80) != 0)
        whole--; // the character that the last bytes belong to
    if (whole > 0) {
        pieces->delta.text = words_plain(span_of(pieces->room, whole));
        decode_emit(pieces->decode, &pieces->delta);
    }
    memmove(pieces->room, pieces->room + whole, len - whole);
    sink->at = pieces->room + (len - whole);
    sink->end = pieces->room + sizeof(pieces->room);
    return true;
}

static void pieces_begin(struct pieces *pieces, struct decode *decode,
                         const struct candidate *candidate)
{
    pieces->decode = decode;
    pieces->delta = (struct delta){ .kind = DELTA_ARGS, .choice = index_of(decode, candidate) };
    pieces->delta.call = (uint16_t)(candidate->calls - 1);
    pieces->sink = sink_into(pieces->room, sizeof(pieces->room));
    pieces->sink.more = pieces_more;
}

static void pieces_end(struct pieces *pieces)
{
    size_t len = (size_t)(pieces->sink.at - pieces->room);
    pieces->delta.text = words_plain(span_of(pieces->room, len));
    if (len > 0)
        decode_emit(pieces->decode, &pieces->delta);
}

static void emit_args(struct decode *decode, struct candidate *candidate, struct json_slice args)
{
    if (args.kind != JK_OBJECT)
        return;
    struct span rest = args.text;
    struct span run = compact_next(&rest);
    struct pieces pieces;
    pieces_begin(&pieces, decode, candidate);
    if (rest.len == 0) {
        pieces.delta.text = words_plain(run);
        decode_emit(decode, &pieces.delta);
        return;
    }
    for (; run.len > 0; run = compact_next(&rest))
        sink_put(&pieces.sink, run);
    pieces_end(&pieces);
}

static void end_call(struct decode *decode, struct candidate *candidate)
{
    struct delta delta = { .kind = DELTA_CALL_END, .choice = index_of(decode, candidate) };
    delta.call = (uint16_t)(candidate->calls - 1);
    decode_emit(decode, &delta);
}

static void end_partial(struct decode *decode, struct candidate *candidate)
{
    struct state *state = state_of(decode);
    if (!candidate->partial)
        return;
    struct pieces pieces;
    pieces_begin(&pieces, decode, candidate);
    candidate->partial = false;
    gemini_args_end(&state->args, &pieces.sink);
    if (state->args.failed) {
        decode->failed = true;
        return;
    }
    pieces_end(&pieces);
    end_call(decode, candidate);
}

static void add_partial(struct decode *decode, struct candidate *candidate, struct json_slice call)
{
    struct state *state = state_of(decode);
    struct json_iter iter = json_elements_of(json_get(call, SPAN("partialArgs")));
    struct json_slice entry;
    struct pieces pieces;
    pieces_begin(&pieces, decode, candidate);
    while (json_element_next(&iter, &entry))
        gemini_args_add(&state->args, entry, &pieces.sink);
    decode->failed = decode->failed || state->args.failed;
    if (decode->failed)
        return;
    pieces_end(&pieces);
    if (json_get(call, SPAN("willContinue")).kind != JK_TRUE)
        end_partial(decode, candidate);
}

static void begin_call(struct decode *decode, struct candidate *candidate, struct json_slice call,
                       struct words signature)
{
    struct state *state = state_of(decode);
    struct delta delta = { .kind = DELTA_CALL, .choice = index_of(decode, candidate) };
    delta.name = words_of(json_get(call, SPAN("name")));
    if (words_none(delta.name)) {
        decode->unknown++;
        return;
    }
    if (candidate->calls == DECODE_CALLS_MAX) {
        decode->failed = true;
        return;
    }
    delta.id = words_of(json_get(call, SPAN("id")));
    delta.call = candidate->calls++;
    if (words_none(signature)) {
        end_thought(decode, candidate);
    } else { // which ends the thought by itself
        delta.signature.text = signature;
        delta.signature.maker = MAKER_GEMINI;
        delta.signature.signs = SIGNS_CALL;
        candidate->thinks = false;
    }
    candidate->content = true;
    candidate->in_text = false;
    decode_emit(decode, &delta);
    bool more = json_get(call, SPAN("willContinue")).kind == JK_TRUE;
    if (!more && json_get(call, SPAN("partialArgs")).kind != JK_ARRAY) {
        emit_args(decode, candidate, json_get(call, SPAN("args")));
        end_call(decode, candidate);
        return;
    }
    // Only one call at a time comes in pieces, whatever candidate it is of.
    if (state->candidates[state->args_of].partial) {
        decode->failed = true;
        return;
    }
    candidate->partial = true;
    state->args = (struct gemini_args){ 0 };
    state->args_of = delta.choice;
    add_partial(decode, candidate, call);
}

static void read_call(struct decode *decode, struct candidate *candidate, struct json_slice call,
                      struct words signature)
{
    bool named = !words_none(words_of(json_get(call, SPAN("name"))));
    if (candidate->partial && !named) {
        add_partial(decode, candidate, call);
        return;
    }
    end_partial(decode, candidate);
    begin_call(decode, candidate, call, signature);
}

// --- parts ---

static void read_media(struct decode *decode, struct candidate *candidate, struct json_slice media)
{
    struct delta delta = { .kind = DELTA_MEDIA, .choice = index_of(decode, candidate) };
    delta.type = words_of(json_get(media, SPAN("mimeType")));
    delta.text = words_of(json_get(media, SPAN("data")));
    end_thought(decode, candidate);
    candidate->content = true;
    candidate->in_text = false;
    decode_emit(decode, &delta);
}

// Something of the vendor's own tools.
static void read_hosted(struct decode *decode, struct candidate *candidate, struct json_slice part)
{
    struct delta delta = { .kind = DELTA_HOSTED, .choice = index_of(decode, candidate) };
    delta.raw = part;
    end_thought(decode, candidate);
    candidate->in_text = false;
    decode->unknown++;
    decode_emit(decode, &delta);
}

static void read_part(struct decode *decode, struct candidate *candidate, struct json_slice part)
{
    enum { TEXT, THOUGHT, SIGNATURE, CALL, MEDIA, COUNT };
    static const struct span names[COUNT] = {
        SPAN("text"),         SPAN("thought"),    SPAN("thoughtSignature"),
        SPAN("functionCall"), SPAN("inlineData"),
    };
    struct json_slice found[COUNT];
    if (!json_pick(part, names, found, COUNT))
        return;
    const bool thought = found[THOUGHT].kind == JK_TRUE;
    struct words signature = words_of(found[SIGNATURE]);
    if (found[CALL].kind == JK_OBJECT) {
        read_call(decode, candidate, found[CALL], signature);
        return;
    }
    struct words text = words_of(found[TEXT]);
    // An empty text is no part of its own, and says nothing about a call that is open.
    if (found[TEXT].kind != JK_STRING || !words_none(text))
        end_partial(decode, candidate);
    if (found[TEXT].kind == JK_STRING) {
        read_text(decode, candidate, text, thought, signature);
    } else if (found[MEDIA].kind == JK_OBJECT && !thought) {
        read_media(decode, candidate, found[MEDIA]);
        sign(decode, candidate, signature);
    } else if (!words_none(signature)) {
        sign(decode, candidate, signature);
    } else {
        read_hosted(decode, candidate, part);
    }
}

// --- citations ---

// The place [from, to) in bytes of the candidate's text, told as code points of the open run.
static void place_cite(const struct candidate *candidate, struct delta *delta, uint64_t from,
                       uint64_t to)
{
    uint64_t first, last;
    if (from > to || !offsets_point_of(&candidate->offsets, from, &first) ||
        !offsets_point_of(&candidate->offsets, to, &last) || first < candidate->run_at)
        return;
    delta->cite.placed = true;
    delta->cite.from = first - candidate->run_at;
    delta->cite.to = last - candidate->run_at;
}

static void emit_cite(struct decode *decode, struct delta *delta, struct json_slice about)
{
    delta->cite.url = words_of(json_get(about, SPAN("uri")));
    delta->cite.title = words_of(json_get(about, SPAN("title")));
    if (!words_none(delta->cite.url))
        decode_emit(decode, delta);
}

static struct json_slice element_at(struct json_slice array, uint64_t index)
{
    struct json_iter iter = json_elements_of(array);
    struct json_slice element;
    while (json_element_next(&iter, &element))
        if (index-- == 0)
            return element;
    return JSON_SLICE_NONE;
}

static uint64_t number_in(struct json_slice object, struct span name)
{
    uint64_t value;
    return json_u64(json_get(object, name), &value) ? value : 0;
}

// One citation for each support and each chunk it rests on (conversion rules 3.11).
static void read_grounding(struct decode *decode, struct candidate *candidate,
                           struct json_slice grounding, const uint64_t part_at[PARTS_MAX])
{
    struct json_slice chunks = json_get(grounding, SPAN("groundingChunks"));
    struct json_iter iter = json_elements_of(json_get(grounding, SPAN("groundingSupports")));
    struct json_slice support, number;
    while (json_element_next(&iter, &support)) {
        struct json_slice segment = json_get(support, SPAN("segment"));
        uint64_t part = number_in(segment, SPAN("partIndex"));
        uint64_t base = part > 0 && part < PARTS_MAX ? part_at[part] : 0;
        struct json_iter numbers =
            json_elements_of(json_get(support, SPAN("groundingChunkIndices")));
        while (json_element_next(&numbers, &number)) {
            uint64_t index;
            struct json_slice chunk =
                json_u64(number, &index) ? element_at(chunks, index) : JSON_SLICE_NONE;
            struct json_slice about = json_get(chunk, SPAN("web"));
            if (about.kind != JK_OBJECT)
                about = json_get(chunk, SPAN("retrievedContext"));
            struct delta delta = { .kind = DELTA_CITE, .choice = index_of(decode, candidate) };
            delta.raw = support;
            delta.text = words_of(json_get(segment, SPAN("text")));
            place_cite(candidate, &delta, base + number_in(segment, SPAN("startIndex")),
                       base + number_in(segment, SPAN("endIndex")));
            emit_cite(decode, &delta, about);
        }
    }
}

// Passages that were recited, whose places are in characters.
static void read_citations(struct decode *decode, struct candidate *candidate,
                           struct json_slice citations)
{
    struct json_iter iter = json_elements_of(citations);
    struct json_slice citation;
    while (json_element_next(&iter, &citation)) {
        struct delta delta = { .kind = DELTA_CITE, .choice = index_of(decode, candidate) };
        delta.raw = citation;
        uint64_t from = number_in(citation, SPAN("startIndex"));
        uint64_t to = number_in(citation, SPAN("endIndex"));
        if (from >= candidate->run_at && to >= from && to <= candidate->offsets.points) {
            delta.cite.placed = true;
            delta.cite.from = from - candidate->run_at;
            delta.cite.to = to - candidate->run_at;
        }
        emit_cite(decode, &delta, citation);
    }
}

// --- probabilities of tokens ---

// The bytes of a token, which Chat's clients are told and this format leaves out (C-126).
static void put_bytes(struct sink *out, struct words token)
{
    char room[WORDS_PIECE_MAX];
    bool any = false;
    SINK_TEXT(out, "[");
    while (token.raw.len > 0) {
        struct span piece = words_piece(&token.raw, room);
        for (size_t i = 0; i < piece.len; i++) {
            if (any)
                SINK_TEXT(out, ",");
            any = true;
            sink_u64(out, (unsigned char)piece.ptr[i]);
        }
    }
    SINK_TEXT(out, "]");
}

static void put_token(struct sink *out, struct json_slice entry)
{
    struct json_slice token = json_get(entry, SPAN("token"));
    struct json_slice logprob = json_get(entry, SPAN("logProbability"));
    SINK_TEXT(out, "{\"token\":");
    sink_quoted(out, words_of(token));
    SINK_TEXT(out, ",\"logprob\":");
    sink_put(out, logprob.kind == JK_NUMBER ? logprob.text : SPAN("0"));
    SINK_TEXT(out, ",\"bytes\":");
    put_bytes(out, words_of(token));
}

enum { LOGPROBS_ROOM = 16 * KIB };

// A delta for each token: they are made here, and none is long.
static void read_logprobs(struct decode *decode, struct candidate *candidate,
                          struct json_slice result)
{
    struct json_iter chosen = json_elements_of(json_get(result, SPAN("chosenCandidates")));
    struct json_iter tops = json_elements_of(json_get(result, SPAN("topCandidates")));
    struct json_slice entry, top, other;
    char room[LOGPROBS_ROOM];
    while (json_element_next(&chosen, &entry)) {
        struct sink sink = sink_into(room, sizeof(room));
        SINK_TEXT(&sink, "[");
        put_token(&sink, entry);
        SINK_TEXT(&sink, ",\"top_logprobs\":[");
        if (!json_element_next(&tops, &top))
            top = JSON_SLICE_NONE;
        struct json_iter others = json_elements_of(json_get(top, SPAN("candidates")));
        for (bool first = true; json_element_next(&others, &other); first = false) {
            if (!first)
                SINK_TEXT(&sink, ",");
            put_token(&sink, other);
            SINK_TEXT(&sink, "}");
        }
        SINK_TEXT(&sink, "]}]");
        struct delta delta = { .kind = DELTA_LOGPROBS, .choice = index_of(decode, candidate) };
        delta.raw = (struct json_slice){ span_of(room, (size_t)(sink.at - room)), JK_ARRAY };
        if (!sink.failed)
            decode_emit(decode, &delta);
        else
            decode->unknown++;
    }
}

// --- candidates ---

static void read_finish(struct decode *decode, struct candidate *candidate,
                        struct json_slice reason, struct json_slice message)
{
    if (candidate->finished || words_none(words_of(reason)) ||
        json_string_is(reason, SPAN("FINISH_REASON_UNSPECIFIED")))
        return;
    enum finish finish;
    candidate->finished = true;
    candidate->good = gemini_finish(reason, candidate->content, &finish);
    candidate->finish = (uint8_t)finish;
    if (finish == FINISH_FILTERED)
        candidate->message = keep_words(&decode->keep, words_of(message));
}

static void read_candidate(struct decode *decode, struct json_slice value)
{
    enum { CONTENT, FINISH, MESSAGE, INDEX, GROUNDING, CITATIONS, LOGPROBS, COUNT };
    static const struct span names[COUNT] = {
        SPAN("content"),           SPAN("finishReason"),     SPAN("finishMessage"),  SPAN("index"),
        SPAN("groundingMetadata"), SPAN("citationMetadata"), SPAN("logprobsResult"),
    };
    struct json_slice found[COUNT], part;
    if (!json_pick(value, names, found, COUNT))
        return;
    uint64_t index;
    if (!json_u64(found[INDEX], &index))
        index = 0;
    if (index >= CANDIDATES_MAX) {
        decode->unknown++;
        return;
    }
    struct candidate *candidate = &state_of(decode)->candidates[index];
    candidate->begun = true;
    uint64_t part_at[PARTS_MAX] = { 0 };
    struct json_iter iter = json_elements_of(json_get(found[CONTENT], SPAN("parts")));
    for (unsigned i = 0; json_element_next(&iter, &part) && !decode->failed; i++) {
        if (i < PARTS_MAX)
            part_at[i] = candidate->offsets.bytes;
        read_part(decode, candidate, part);
    }
    read_grounding(decode, candidate, found[GROUNDING], part_at);
    read_citations(decode, candidate, json_get(found[CITATIONS], SPAN("citations")));
    read_logprobs(decode, candidate, found[LOGPROBS]);
    read_finish(decode, candidate, found[FINISH], found[MESSAGE]);
}

static void read_response(struct decode *decode, struct json_slice root)
{
    struct state *state = state_of(decode);
    struct json_iter iter = json_elements_of(json_get(root, SPAN("candidates")));
    struct json_slice candidate;
    while (json_element_next(&iter, &candidate) && !decode->failed)
        read_candidate(decode, candidate);
    struct json_slice feedback = json_get(root, SPAN("promptFeedback"));
    struct json_slice reason = json_get(feedback, SPAN("blockReason"));
    if (state->blocked || words_none(words_of(reason)))
        return;
    struct json_slice why = json_get(feedback, SPAN("blockReasonMessage"));
    state->blocked = true;
    state->blocked_why = keep_words(&decode->keep, words_of(why.kind == JK_STRING ? why : reason));
}

void gemini_decode_event(struct decode *decode, struct json_slice data)
{
    struct state *state = state_of(decode);
    if (state->emit == NULL) {
        state->emit = decode->emit;
        state->ctx = decode->ctx;
        decode->emit = watch;
        decode->ctx = decode;
    }
    if (data.kind == JK_OBJECT)
        read_response(decode, data);
    // A stream without events is one list of the same.
    struct json_iter iter = json_elements_of(data);
    struct json_slice response;
    while (json_element_next(&iter, &response) && !decode->failed)
        read_response(decode, response);
}

static void finish_candidate(struct decode *decode, struct candidate *candidate)
{
    struct delta delta = { .kind = DELTA_FINISH, .choice = index_of(decode, candidate) };
    delta.finish = candidate->finish;
    delta.text = candidate->message;
    if (delta.finish != FINISH_LENGTH) {
        if (delta.finish != FINISH_FILTERED)
            end_partial(decode, candidate);
        end_thought(decode, candidate);
    }
    decode->broken = decode->broken || !candidate->good;
    // A call ends with STOP: content tells more (C-032).
    if (delta.finish == FINISH_STOP && candidate->calls > 0)
        delta.finish = FINISH_CALLS;
    if (!decode->failed)
        decode_emit(decode, &delta);
}

void gemini_decode_end(struct decode *decode)
{
    struct state *state = state_of(decode);
    bool any = false;
    for (unsigned i = 0; i < CANDIDATES_MAX; i++) {
        if (!state->candidates[i].begun)
            continue;
        any = true;
        if (!state->candidates[i].finished && state->blocked) {
            state->candidates[i].finish = FINISH_FILTERED;
            state->candidates[i].good = true;
            state->candidates[i].message = state->blocked_why;
        }
        finish_candidate(decode, &state->candidates[i]);
    }
    if (any || !state->blocked)
        return;
    // A prompt that was refused is an answer without content (C-046).
    struct delta delta = { .kind = DELTA_FINISH, .finish = FINISH_FILTERED };
    delta.text = state->blocked_why;
    decode_emit(decode, &delta);
}
