// Gemini generateContent and its family. A stream is a row of whole answers, as events or as the
// elements of one array; each may carry counts, which are totals. Nothing marks the end but the
// finishReason of every candidate.
#include "penstock/wire/wire.h"

// Counts that grow from one answer of a stream to the next.
static const struct {
    struct span name;
    enum told_field field;
} growing[] = {
    { { "candidatesTokenCount", 20 }, TOLD_OUTPUT },
    { { "totalTokenCount", 15 }, TOLD_TOTAL },
    { { "thoughtsTokenCount", 18 }, TOLD_REASONING },
};

static bool is_digits(struct json_slice value)
{
    for (size_t i = 0; i < value.text.len; i++)
        if (value.text.ptr[i] < '0' || value.text.ptr[i] > '9')
            return false;
    return value.kind == JK_NUMBER;
}

static void read_usage(struct wire_stream *stream, struct wire_event *event,
                       struct json_slice usage)
{
    if (!told_read(&stream->told, stream->wire->rule, usage))
        return;
    event->flags |= WIRE_USAGE;
    struct json_iter iter = json_members_of(usage);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value)) {
        for (size_t i = 0; i < ARRAY_LEN(growing); i++)
            if (json_key_is(key, growing[i].name) && is_digits(value))
                wire_event_hole(event, value.text, HOLE_DIGITS,
                                (uint8_t)(HOLE_COUNT + growing[i].field));
        if (!json_key_is(key, SPAN("candidatesTokensDetails")))
            continue;
        struct json_iter details = json_elements_of(value);
        while (json_element_next(&details, &value)) {
            struct json_slice count = json_get(value, SPAN("tokenCount"));
            if (is_digits(count))
                wire_event_hole(event, count.text, HOLE_DIGITS, HOLE_PADDING);
        }
    }
}

// A text with something in it, or anything that is no text: a call, a picture, code.
static void read_part(struct wire_stream *stream, struct wire_event *event, struct json_slice part)
{
    struct json_iter iter = json_members_of(part);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value)) {
        if (json_key_is(key, SPAN("text"))) {
            if (wire_has_content(value))
                event->flags |= WIRE_CONTENT;
            wire_event_text(stream, event, value);
        } else if (value.kind == JK_OBJECT) {
            event->flags |= WIRE_CONTENT;
            stream->text_bytes += value.text.len;
            event->plain = false;
        }
    }
}

static void read_candidate(struct wire_stream *stream, struct wire_event *event,
                           struct json_slice candidate)
{
    enum { CONTENT, FINISH, INDEX, COUNT };
    static const struct span names[COUNT] = {
        { "content", 7 },
        { "finishReason", 12 },
        { "index", 5 },
    };
    struct json_slice found[COUNT], part;
    if (candidate.kind != JK_OBJECT)
        return;
    event->plain &= json_pick(candidate, names, found, COUNT);
    struct json_iter parts = json_elements_of(json_get(found[CONTENT], SPAN("parts")));
    while (json_element_next(&parts, &part))
        read_part(stream, event, part);
    uint64_t index;
    if (!json_u64(found[INDEX], &index))
        index = 0;
    wire_choice_start(stream, index);
    if (!wire_has_content(found[FINISH]))
        return;
    wire_choice_end(stream, index);
    event->plain = false;
    event->flags |= WIRE_CONTENT | WIRE_TERMINAL;
}

static bool is_through(const struct wire_stream *stream)
{
    return stream->finished || wire_choices_ended(stream);
}

// What follows from the whole of an event.
static void conclude(struct wire_stream *stream, struct wire_event *event)
{
    event->plain &= (event->flags & WIRE_CONTENT) != 0;
    if (!is_through(stream))
        event->flags &= ~(uint32_t)WIRE_TERMINAL; // other candidates go on
    else if (!event->plain && (event->flags & WIRE_USAGE) != 0)
        stream->told.final = true;
}

static void gemini_event(struct wire_stream *stream, const struct sse_event *sse,
                         struct wire_event *event)
{
    enum { CANDIDATES, USAGE, MODEL, ID, FEEDBACK, ERROR, COUNT };
    static const struct span names[COUNT] = {
        { "candidates", 10 }, { "usageMetadata", 13 },  { "modelVersion", 12 },
        { "responseId", 10 }, { "promptFeedback", 14 }, { "error", 5 },
    };
    struct json_slice found[COUNT], candidate, root = json_value(sse->data);
    if (root.kind == JK_ARRAY) { // an error may be wrapped in one
        struct json_iter iter = json_elements_of(root);
        if (!json_element_next(&iter, &root))
            root = JSON_SLICE_NONE;
    }
    if (root.kind != JK_OBJECT) {
        stream->bad_events += !wire_is_done(sse->data);
        return;
    }
    event->plain = json_pick(root, names, found, COUNT);
    stream->bad_events += !event->plain;
    struct json_iter candidates = json_elements_of(found[CANDIDATES]);
    while (json_element_next(&candidates, &candidate))
        read_candidate(stream, event, candidate);
    read_usage(stream, event, found[USAGE]);
    if (found[MODEL].kind == JK_STRING)
        event->model = found[MODEL].text;
    if (stream->told.model_len == 0)
        told_model(&stream->told, found[MODEL]);
    wire_stream_id(stream, found[ID]);
    if (wire_has_content(json_get(found[FEEDBACK], SPAN("blockReason")))) {
        stream->finished = true; // the prompt was refused: an answer without candidates
        event->plain = false;
        event->flags |= WIRE_CONTENT | WIRE_TERMINAL;
    }
    if (wire_has_content(found[ERROR])) {
        wire_stream_fail(stream, found[ERROR]);
        event->plain = false;
    }
    conclude(stream, event);
}

static enum wire_end gemini_end(const struct wire_stream *stream)
{
    return is_through(stream) ? WIRE_END_COMPLETE : WIRE_END_TRUNCATED;
}

enum { TAP_MODEL, TAP_ID, TAP_USAGE, TAP_ERROR, TAP_INDEX, TAP_FINISH, TAP_BLOCK, TAP_COUNT };

static const struct json_tap_path gemini_paths[TAP_COUNT] = {
    [TAP_MODEL] = { "modelVersion", TOLD_MODEL_MAX + 2 },
    [TAP_ID] = { "responseId", WIRE_ID_MAX + 2 },
    [TAP_USAGE] = { "usageMetadata", 3 * KIB },
    [TAP_ERROR] = { "error", 3 * KIB },
    [TAP_INDEX] = { "candidates.[].index", 8 },
    [TAP_FINISH] = { "candidates.[].finishReason", 48 },
    [TAP_BLOCK] = { "promptFeedback.blockReason", 48 },
};

static void gemini_tapped(struct wire_stream *stream, const struct json_tap *tap)
{
    told_model(&stream->told, json_tap_value(tap, TAP_MODEL));
    wire_stream_id(stream, json_tap_value(tap, TAP_ID));
    uint64_t index;
    if (!json_u64(json_tap_value(tap, TAP_INDEX), &index))
        index = 0;
    if (tap->hits[TAP_INDEX].count > 0 || tap->hits[TAP_FINISH].count > 0)
        wire_choice_start(stream, index);
    if (wire_has_content(json_tap_value(tap, TAP_FINISH)))
        wire_choice_end(stream, index);
    stream->finished |= wire_has_content(json_tap_value(tap, TAP_BLOCK));
    if (told_read(&stream->told, stream->wire->rule, json_tap_value(tap, TAP_USAGE)))
        stream->told.final |= gemini_end(stream) == WIRE_END_COMPLETE;
    if (wire_has_content(json_tap_value(tap, TAP_ERROR)))
        wire_stream_fail(stream, json_tap_value(tap, TAP_ERROR));
}

const struct wire wire_gemini = {
    .name = "gemini",
    .id = WIRE_GEMINI,
    .family = FAMILY_GEMINI,
    .rule = USAGE_RULE_GEMINI,
    .event = gemini_event,
    .tapped = gemini_tapped,
    .end = gemini_end,
    .paths = gemini_paths,
    .path_count = TAP_COUNT,
    .model_paths = 1,
};
