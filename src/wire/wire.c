#include "penstock/wire/wire.h"

#include "penstock/base/check.h"
#include "penstock/codec/simd.h"
#include "penstock/wire/form.h"

enum {
    LEARNS_MAX = 16,  // skeletons in a row without use: these events are not alike, so from then on
    LEARN_EVERY = 32, // only one event in so many is tried
};

static const struct wire *const wires[WIRE_COUNT] = {
#define WIRE(id, name) [WIRE_##id] = &wire_##name,
#include "penstock/wire/wires.def"
#undef WIRE
};

// Filled before main() starts and constant from then on.
static struct json_tap_plan plans[WIRE_COUNT];

__attribute__((constructor)) static void plan_all(void)
{
    for (size_t i = 0; i < WIRE_COUNT; i++) {
        assert(wires[i]->id == i);
        json_tap_plan_init(&plans[i], wires[i]->paths, wires[i]->path_count);
        assert(plans[i].value_bytes <= WIRE_VALUES_MAX);
    }
}

const struct wire *wire_get(enum wire_id id)
{
    assert(id < WIRE_COUNT);
    return wires[id];
}

const struct wire *wire_of(enum wire_op op)
{
    switch (op) {
    case OP_CHAT: return &wire_chat;
    case OP_COMPLETIONS: return &wire_completions;
    case OP_EMBEDDINGS: return &wire_embeddings;
    case OP_RESPONSES:
    case OP_RESPONSES_COMPACT:
    case OP_RESPONSE_GET:
    case OP_RESPONSE_CANCEL:
    case OP_RESPONSES_COUNT: return &wire_responses;
    case OP_MESSAGES:
    case OP_COUNT_TOKENS: return &wire_messages;
    case OP_GEMINI_GENERATE:
    case OP_GEMINI_STREAM:
    case OP_GEMINI_COUNT:
    case OP_GEMINI_EMBED:
    case OP_GEMINI_EMBED_BATCH: return &wire_gemini;
    case OP_MODELS:
    case OP_MODEL:
    case OP_NONE: return NULL;
    case OP_COUNT: break;
    }
    bug("an operation is one of ops.def");
}

void wire_stream_init(struct wire_stream *stream, const struct wire *wire, bool hide_usage)
{
    assert(wire != NULL);
    // An id without a length needs no zeros, nor does what the skeleton has not learnt.
    memset(stream, 0, offsetof(struct wire_stream, skeleton));
    skeleton_init(&stream->skeleton, stream->skeleton_parts, ARRAY_LEN(stream->skeleton_parts),
                  stream->skeleton_bytes, sizeof(stream->skeleton_bytes));
    stream->wire = wire;
    stream->hide_usage = hide_usage;
}

// ---------------------------------------------------------------------- events known by likeness

void wire_event_hole(struct wire_event *event, struct span text, enum hole_kind kind, uint8_t tag)
{
    if (event->hole_count == WIRE_HOLES_MAX) {
        event->plain = false;
        return;
    }
    size_t at = event->hole_count++; // in the order of the text
    for (; at > 0 && event->holes[at - 1].text.ptr > text.ptr; at--)
        event->holes[at] = event->holes[at - 1];
    event->holes[at] = (struct hole){ text, (uint8_t)kind, tag };
}

void wire_event_text(struct wire_stream *stream, struct wire_event *event, struct json_slice text)
{
    struct span raw = json_string_raw(text);
    stream->text_bytes += raw.len;
    if (text.kind == JK_STRING)
        wire_event_hole(event, raw, HOLE_STRING, HOLE_TEXT);
}

// Remembers where the model's name stands, which no hole is part of.
static void learn_model(struct wire_stream *stream, struct span block,
                        const struct wire_event *event)
{
    stream->model_len = 0;
    if (event->model.len == 0 || event->model.len > UINT16_MAX)
        return;
    const char *from = block.ptr;
    stream->model_hole = 0;
    for (size_t i = 0; i < event->hole_count; i++) {
        const struct hole *hole = &event->holes[i];
        if (hole->kind == HOLE_COUNTER || hole->text.ptr > event->model.ptr)
            continue;
        from = hole->text.ptr + hole->text.len;
        stream->model_hole++;
    }
    stream->model_at = (uint16_t)(event->model.ptr - from);
    stream->model_len = (uint16_t)event->model.len;
}

_Static_assert((int)WIRE_HOLES_MAX <= 8, "a byte has a bit for each");

// Remembers which holes tell something. False: none is a text, so that nothing is won.
static bool learn_holes(struct wire_stream *stream, const struct wire_event *event)
{
    unsigned texts = 0, numbers = 0, at = 0;
    for (size_t i = 0; i < event->hole_count; i++) {
        const struct hole *hole = &event->holes[i];
        if (hole->kind == HOLE_COUNTER)
            continue;
        if (hole->tag == HOLE_TEXT)
            texts |= BIT(at);
        else if (hole->kind == HOLE_DIGITS && hole->tag != HOLE_PADDING)
            numbers |= BIT(at);
        at++;
    }
    if (texts == 0)
        return false;
    stream->text_hole = (uint8_t)__builtin_ctz(texts);
    stream->other_holes = (uint8_t)((texts & (texts - 1)) | numbers);
    stream->one_text = (texts & (texts - 1)) == 0;
    return true;
}

static void forget_counter(struct wire_event *event)
{
    for (size_t i = 0; i < event->hole_count; i++)
        if (event->holes[i].kind == HOLE_COUNTER)
            event->holes[i].kind = HOLE_DIGITS;
}

static cold void learn(struct wire_stream *stream, struct span block, struct wire_event *event)
{
    if (stream->learns >= LEARNS_MAX && stream->event_count % LEARN_EVERY != 0)
        return;
    stream->learns = (uint8_t)min_size(stream->learns + 1, LEARNS_MAX);
    skeleton_reset(&stream->skeleton);
    if (stream->learns > 1) // not even the next event was like it: its numbers may not count up
        forget_counter(event);
    if (!learn_holes(stream, event))
        return;
    skeleton_learn(&stream->skeleton, block, event->holes, event->hole_count);
    if (!skeleton_is_set(&stream->skeleton))
        return;
    event->learnt = true;
    stream->counted = event->number;
    learn_model(stream, block, event);
    struct sse_scan scan = { 0 };
    size_t used;
    bool whole = sse_scan_feed(&scan, block, &used) == PARSE_DATA && used == block.len;
    const bool content = stream->content || (event->flags & WIRE_CONTENT) != 0;
    stream->scans = whole && content && *block.ptr > '\r' && block.ptr[block.len - 1] == '\n';
    stream->crlf = scan.crlf;
}

static inline void take_known(struct wire_stream *stream, struct span block,
                              struct wire_event *event)
{
    const struct filling *holes = stream->holes;
    stream->learns = 0;
    stream->event_count++;
    event->flags = WIRE_CONTENT | WIRE_KNOWN;
    stream->text_bytes += holes[stream->text_hole].text.len;
    for (uint32_t left = stream->other_holes; left != 0; left &= left - 1) {
        const size_t hole = (size_t)__builtin_ctz(left);
        const uint8_t tag = stream->skeleton_parts[hole].tag;
        if (tag == HOLE_TEXT)
            stream->text_bytes += holes[hole].text.len;
        else
            wire_stream_number(stream, tag, holes[hole].number);
    }
    if (stream->skeleton.counter_len > 0) {
        wire_stream_number(stream, HOLE_SEQUENCE, ++stream->counted);
        skeleton_count(&stream->skeleton);
    }
    if (stream->model_len == 0)
        return;
    const char *from = block.ptr;
    if (stream->model_hole > 0)
        from = holes[stream->model_hole - 1].text.ptr + holes[stream->model_hole - 1].text.len;
    event->model = span_of(from + stream->model_at, stream->model_len);
}

// True if `block` is like the last event; then stream->holes are its own. The comparison is made
// once, here or by the scan.
static inline bool is_known(struct wire_stream *stream, struct span block)
{
    const bool scanned = stream->scanned.ptr == block.ptr && stream->scanned.len == block.len;
    stream->scanned.ptr = NULL;
    if (block.len == 0 || likely(scanned))
        return block.len > 0;
    return stream->content && skeleton_match(&stream->skeleton, block, stream->holes) == block.len;
}

enum parse wire_stream_scan(struct wire_stream *stream, struct sse_scan *scan, struct span in,
                            size_t *used)
{
    if (stream->scans && sse_scan_begins(scan)) {
        size_t len = skeleton_match(&stream->skeleton, in, stream->holes);
        if (len > 0) {
            sse_scan_pass(scan, stream->crlf);
            stream->scanned = span_upto(in, len);
            *used = len;
            return PARSE_DATA;
        }
    }
    stream->scanned.ptr = NULL;
    return sse_scan_feed(scan, in, used);
}

// ------------------------------------------------------------------------------- other events

// Several data lines, joined: rare, and then nothing can be learnt or put in its place.
static cold void read_joined(struct wire_stream *stream, struct span block, bool first,
                             struct wire_event *event)
{
    char join[WIRE_JOIN_MAX];
    struct sse_event sse;
    if (!sse_parse(block, first, join, sizeof(join), &sse)) {
        stream->bad_events++;
        return;
    }
    stream->wire->event(stream, &sse, event);
    event->plain = false;
    event->model = SPAN_NONE;
}

// Some servers drop a bare JSON error into their event stream.
static cold void read_bare(struct wire_stream *stream, struct span block, struct wire_event *event)
{
    struct json_slice root = json_value(block);
    if (root.kind != JK_OBJECT && root.kind != JK_ARRAY)
        return;
    struct sse_event sse = { .data = root.text, .data_lines = 1 };
    stream->wire->event(stream, &sse, event);
    event->plain = false;
}

static __attribute__((noinline)) void read_event(struct wire_stream *stream, struct span block,
                                                 struct wire_event *event)
{
    struct sse_event sse;
    bool first = stream->event_count == 0;
    bool single = sse_parse(block, first, NULL, 0, &sse);
    if (sse.data_lines == 0) {
        if (!sse.comment_only)
            read_bare(stream, block, event);
        return;
    }
    stream->event_count++;
    if (single)
        stream->wire->event(stream, &sse, event);
    else
        read_joined(stream, block, first, event);
    if (event->plain && event->hole_count > 0)
        learn(stream, block, event);
}

void wire_stream_event(struct wire_stream *stream, struct span block, struct wire_event *event)
{
    event->learnt = false;
    event->model = SPAN_NONE;
    if (likely(is_known(stream, block))) {
        take_known(stream, block, event);
        return;
    }
    assert(stream->wire->event != NULL);
    event->flags = 0; // not the holes: the count says what is valid
    event->number = 0;
    event->plain = false;
    event->hole_count = 0;
    bool failed_before = stream->failed;
    read_event(stream, block, event);
    if (stream->failed && !failed_before)
        event->flags |= WIRE_ERROR;
    if ((event->flags & WIRE_CONTENT) != 0)
        stream->content = true;
}

enum wire_end wire_stream_end(const struct wire_stream *stream)
{
    if (stream->failed)
        return WIRE_END_ERROR;
    if (stream->whole)
        return stream->finished ? WIRE_END_COMPLETE : WIRE_END_TRUNCATED;
    return stream->wire->end(stream);
}

// ------------------------------------------------------------------------ for the formats' files

void wire_choice_start(struct wire_stream *stream, uint64_t index)
{
    if (index < WIRE_CHOICES_MAX)
        stream->started[index / 64] |= UINT64_C(1) << (index % 64);
}

void wire_choice_end(struct wire_stream *stream, uint64_t index)
{
    if (index < WIRE_CHOICES_MAX)
        stream->ended[index / 64] |= UINT64_C(1) << (index % 64);
}

bool wire_choices_ended(const struct wire_stream *stream)
{
    uint64_t any = 0, open = 0;
    for (size_t i = 0; i < ARRAY_LEN(stream->started); i++) {
        any |= stream->started[i];
        open |= stream->started[i] & ~stream->ended[i];
    }
    return any != 0 && open == 0;
}

cold void wire_stream_fail(struct wire_stream *stream, struct json_slice error)
{
    if (stream->failed)
        return;
    struct fault_note scratch;
    struct fault_note *note = stream->note != NULL ? stream->note : &scratch;
    fault_read_object(note, error, stream->secrets);
    stream->failed = true;
    stream->fault = (uint8_t)note->fault;
    stream->retry_ms = note->retry_ms;
}

void wire_stream_id(struct wire_stream *stream, struct json_slice id)
{
    told_note(&stream->told, id.text, TOLD_ROLE_ID, TOLD_COUNT);
    if (stream->id_len == 0 && id.kind == JK_STRING)
        stream->id_len = (uint8_t)json_string_decode(id, stream->id, WIRE_ID_MAX, NULL);
}

bool wire_is_done(struct span data)
{
    return span_starts(span_trim(data), SPAN("[DONE]"));
}

bool wire_has_content(struct json_slice value)
{
    if (value.kind == JK_STRING)
        return value.text.len > 2;
    if (value.kind != JK_ARRAY && value.kind != JK_OBJECT)
        return false;
    for (size_t i = 1; i + 1 < value.text.len; i++)
        if ((unsigned char)value.text.ptr[i] > ' ')
            return true;
    return false;
}

// ----------------------------------------------------------------------- answers that pass by

enum line_state {
    LINE_START, // the field's name
    LINE_SPACE, // behind "data:", where one space may stand
    LINE_DATA,  // the field's value
    LINE_OTHER, // any other line
};

void wire_pass_init(struct wire_pass *pass, struct wire_stream *stream, bool sse,
                    char memory[WIRE_VALUES_MAX])
{
    pass->stream = stream;
    pass->sse = sse;
    pass->bad = pass->ended = pass->in_model = pass->model_new = false;
    pass->begun = pass->known = pass->taken = pass->strict = false;
    pass->name = pass->first = SPAN_NONE;
    pass->likens = !sse && !stream->whole && stream->forms != NULL;
    pass->state = LINE_START;
    pass->field_len = 0;
    pass->elements = 0;
    stream->whole |= !sse;
    pass->memory = memory;
    pass->told = stream->wire->model_paths; // nobody asks where the others lie
}

void wire_pass_keep_model(struct wire_pass *pass)
{
    pass->told = 0;
}

enum happened { NOTHING, MODEL_BEGINS, MODEL_ENDED };

static enum happened take_tap_event(struct wire_pass *pass)
{
    const struct wire *wire = pass->stream->wire;
    bool model = pass->tap.path >= 0 && pass->tap.path < (int8_t)wire->model_paths;
    switch (pass->tap.event) {
    case JSON_TAP_BEGIN: return model ? MODEL_BEGINS : NOTHING;
    case JSON_TAP_END: return model ? MODEL_ENDED : NOTHING;
    case JSON_TAP_ELEMENT:
        pass->elements++;
        wire->tapped(pass->stream, &pass->tap);
        json_tap_forget(&pass->tap);
        return NOTHING;
    case JSON_TAP_NONE: break;
    }
    bug("a tap that says PARSE_DATA has an event");
}

// Takes what was tapped of a whole answer that came in one piece, and learns its form meanwhile.
static cold void learn_form(struct wire_pass *pass)
{
    struct wire_stream *stream = pass->stream;
    uninitialized struct told_trace trace;
    if (pass->elements > 0 || !wire_forms_due(stream->forms))
        return;
    trace.count = 0;
    stream->told.trace = &trace;
    stream->wire->tapped(stream, &pass->tap);
    stream->told.trace = NULL;
    pass->taken = true;
    wire_forms_learn(stream->forms, stream, &pass->tap, pass->first, &trace);
}

// Lets JSON text pass until something happens or it is used up.
static enum happened pass_json(struct wire_pass *pass, struct span *in)
{
    while (in->len > 0 && !pass->bad && !pass->ended) {
        switch (json_tap_feed(&pass->tap, in)) {
        case PARSE_DATA: {
            enum happened happened = take_tap_event(pass);
            if (happened != NOTHING)
                return happened;
            break;
        }
        case PARSE_BAD: // some servers write something behind a whole value
            pass->ended = json_tap_end(&pass->tap);
            pass->bad = !pass->ended;
            break;
        case PARSE_DONE:
            pass->ended = true;
            if (pass->likens && pass->tap.pos == pass->first.len)
                learn_form(pass);
            break;
        case PARSE_MORE: break;
        }
    }
    *in = span_from(*in, in->len);
    return NOTHING;
}

static bool is_line_end(char byte)
{
    return byte == '\n' || byte == '\r';
}

// Takes one byte outside the data.
static void pass_line_byte(struct wire_pass *pass, char byte)
{
    if (is_line_end(byte)) {
        pass->state = LINE_START;
        pass->field_len = 0;
        return;
    }
    if (pass->state != LINE_START)
        return;
    if (byte == ':')
        pass->state =
            pass->field_len == 4 && memcmp(pass->field, "data", 4) == 0 ? LINE_SPACE : LINE_OTHER;
    else if (pass->field_len == sizeof(pass->field))
        pass->state = LINE_OTHER;
    else
        pass->field[pass->field_len++] = byte;
}

// The same inside a block of an event stream, of which only the data is JSON.
static enum happened pass_block(struct wire_pass *pass, struct span *in)
{
    while (in->len > 0) {
        if (pass->state == LINE_SPACE && !is_line_end(*in->ptr)) {
            pass->state = LINE_DATA;
            if (*in->ptr == ' ')
                *in = span_from(*in, 1);
            continue;
        }
        size_t run = pass->state == LINE_DATA ? simd_line_run(in->ptr, in->len) : 0;
        if (run > 0) {
            struct span data = span_upto(*in, run);
            enum happened happened = pass_json(pass, &data);
            *in = span_from(*in, run - data.len);
            if (happened != NOTHING)
                return happened;
            continue;
        }
        if (pass->state == LINE_OTHER) {
            size_t rest = simd_line_run(in->ptr, in->len);
            *in = span_from(*in, rest);
            if (rest > 0)
                continue;
        }
        pass_line_byte(pass, *in->ptr);
        *in = span_from(*in, 1);
    }
    return NOTHING;
}

// Cuts a text that was recognised as a whole.
static bool cut_known(struct wire_pass *pass, struct span *in, struct span *out, enum wire_cut *cut)
{
    struct span name = pass->name;
    size_t len = in->len;
    *cut = WIRE_CUT_KEEP;
    if (name.len > 0 && in->ptr != name.ptr) {
        len = (size_t)(name.ptr - in->ptr);
    } else if (name.len > 0) {
        *cut = WIRE_CUT_MODEL;
        len = name.len;
        pass->name = SPAN_NONE;
    }
    *out = span_upto(*in, len);
    *in = span_from(*in, len);
    return len > 0;
}

// Looks at the first piece, which is empty if none came.
static void begin_pass(struct wire_pass *pass, struct span first)
{
    pass->begun = true;
    pass->first = first;
    struct span *name = pass->told > 0 ? &pass->name : NULL;
    pass->known = pass->likens &&
                  wire_forms_take(pass->stream->forms, pass->stream, first, name, pass->strict);
    if (pass->known) {
        pass->ended = pass->taken = true;
        return;
    }
    json_tap_init(&pass->tap, &plans[pass->stream->wire->id], pass->memory);
    pass->tap.told = pass->told;
}

bool wire_pass_begin_whole(struct wire_pass *pass, struct span text)
{
    assert(!pass->begun && !pass->sse);
    pass->strict = true;
    begin_pass(pass, text);
    return pass->known;
}

bool wire_pass_next(struct wire_pass *pass, struct span *in, struct span *out, enum wire_cut *cut)
{
    if (unlikely(in->len == 0))
        return false;
    if (!pass->begun)
        begin_pass(pass, *in);
    if (pass->ended && !pass->in_model)
        return cut_known(pass, in, out, cut);
    const char *start = in->ptr;
    while (in->len > 0) {
        bool in_model = pass->in_model, model_new = pass->model_new;
        enum happened happened = pass->sse ? pass_block(pass, in) : pass_json(pass, in);
        *out = span_of(start, (size_t)(in->ptr - start));
        *cut = !in_model ? WIRE_CUT_KEEP : model_new ? WIRE_CUT_MODEL : WIRE_CUT_REST;
        if (out->len > 0)
            pass->model_new = false;
        if (happened == MODEL_BEGINS)
            pass->in_model = pass->model_new = true;
        if (happened == MODEL_ENDED)
            pass->in_model = false;
        if (out->len > 0)
            return true;
    }
    return false;
}

bool wire_pass_is_torn(const struct wire_pass *pass)
{
    return !pass->bad && !pass->ended && !(pass->begun && json_tap_end(&pass->tap));
}

void wire_pass_end(struct wire_pass *pass)
{
    struct wire_stream *stream = pass->stream;
    if (!pass->begun)
        begin_pass(pass, SPAN(""));
    bool complete = !pass->bad && !wire_pass_is_torn(pass);
    if (pass->bad)
        stream->bad_events++;
    if (pass->elements == 0 && !pass->taken)
        stream->wire->tapped(stream, &pass->tap);
    if (pass->sse) {
        stream->event_count++;
        stream->content = true;
        return;
    }
    if (pass->bad && !stream->failed) {
        stream->failed = true; // a body that is no JSON is no answer
        stream->fault = FAULT_UPSTREAM_FAILURE;
    }
    if (complete && pass->elements == 0 && stream->told.seen != 0)
        stream->told.final = true;
    // An array is a stream in disguise: it must also say that it is through.
    bool said = pass->elements == 0 || stream->wire->end(stream) == WIRE_END_COMPLETE;
    stream->finished = complete && said;
}
