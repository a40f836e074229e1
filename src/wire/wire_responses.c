// OpenAI Responses. Only the last event carries usage, inside the whole response; it may be larger
// than what a relay holds, and so may be the first, which repeats the request's instructions.
#include "penstock/wire/wire.h"

enum {
    MEMBER_TYPE,
    MEMBER_RESPONSE,
    MEMBER_DELTA,
    MEMBER_ITEM,
    MEMBER_SEQUENCE,
    MEMBER_PADDING,
    MEMBER_ERROR,
    MEMBER_COUNT
};

static const struct span member_names[MEMBER_COUNT] = {
    [MEMBER_TYPE] = { "type", 4 },
    [MEMBER_RESPONSE] = { "response", 8 },
    [MEMBER_DELTA] = { "delta", 5 },
    [MEMBER_ITEM] = { "item", 4 },
    [MEMBER_SEQUENCE] = { "sequence_number", 15 },
    [MEMBER_PADDING] = { "obfuscation", 11 },
    [MEMBER_ERROR] = { "error", 5 },
};

// What the name of an event tells.
enum kind {
    KIND_CONTENT,  // anything that is not one of those below
    KIND_QUIET,    // announces something, or keeps the connection alive
    KIND_ITEM,     // announces an item, which may be content itself
    KIND_TERMINAL, // the whole response, at its end
    KIND_FAILED,   // the same, with an error
    KIND_ERROR,
};

static const struct {
    struct span name;
    enum kind kind;
} kinds[] = {
    { { "response.created", 16 }, KIND_QUIET },
    { { "response.in_progress", 20 }, KIND_QUIET },
    { { "response.queued", 15 }, KIND_QUIET },
    { { "response.content_part.added", 27 }, KIND_QUIET },
    { { "response.reasoning_summary_part.added", 37 }, KIND_QUIET },
    { { "keepalive", 9 }, KIND_QUIET },
    { { "ping", 4 }, KIND_QUIET },
    { { "response.output_item.added", 26 }, KIND_ITEM },
    { { "response.completed", 18 }, KIND_TERMINAL },
    { { "response.incomplete", 19 }, KIND_TERMINAL },
    { { "response.cancelled", 18 }, KIND_TERMINAL },
    { { "response.done", 13 }, KIND_TERMINAL },
    { { "response.failed", 15 }, KIND_FAILED },
    { { "error", 5 }, KIND_ERROR },
};

static enum kind kind_of(struct json_slice type)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (json_string_is(type, kinds[i].name))
            return kinds[i].kind;
    return KIND_CONTENT;
}

// The response object inside an event.
static void read_response(struct wire_stream *stream, struct wire_event *event,
                          struct json_slice response, bool last)
{
    enum { MODEL, ID, USAGE, TIER, ERROR, COUNT };
    static const struct span names[COUNT] = {
        { "model", 5 }, { "id", 2 }, { "usage", 5 }, { "service_tier", 12 }, { "error", 5 },
    };
    struct json_slice found[COUNT];
    if (response.kind != JK_OBJECT)
        return;
    json_pick(response, names, found, COUNT);
    if (found[MODEL].kind == JK_STRING)
        event->model = found[MODEL].text;
    told_model(&stream->told, found[MODEL]);
    wire_stream_id(stream, found[ID]);
    if (!last)
        return; // the tier is still the one that was asked for, and there are no counts
    told_tier_set(&stream->told, found[TIER]);
    if (told_read(&stream->told, stream->wire->rule, found[USAGE])) {
        stream->told.final = true;
        event->flags |= WIRE_USAGE;
    }
    if (wire_has_content(found[ERROR]))
        wire_stream_fail(stream, found[ERROR]);
}

// Digits that may be counted on.
static bool is_counter(struct span digits)
{
    if (digits.len > HOLE_DIGITS_MAX || (digits.ptr[0] == '0' && digits.len > 1))
        return false;
    for (size_t i = 0; i < digits.len; i++)
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
    return true;
}

static void read_sequence(struct wire_stream *stream, struct wire_event *event,
                          struct json_slice value)
{
    uint64_t number;
    if (!json_u64(value, &number))
        return;
    wire_stream_number(stream, HOLE_SEQUENCE, number);
    if (!is_counter(value.text))
        return;
    event->number = number;
    wire_event_hole(event, value.text, HOLE_COUNTER, HOLE_SEQUENCE);
}

// A message or a thought is only announced here; a call already says whom it calls.
static bool item_is_content(struct json_slice item)
{
    struct json_slice type = json_get(item, SPAN("type"));
    return !json_string_is(type, SPAN("message")) && !json_string_is(type, SPAN("reasoning"));
}

static void read_delta(struct wire_stream *stream, struct wire_event *event,
                       const struct json_slice *found)
{
    struct json_slice delta = found[MEMBER_DELTA];
    event->plain = delta.kind == JK_STRING;
    if (event->plain && !wire_has_content(delta))
        return;
    event->flags |= WIRE_CONTENT;
    wire_event_text(stream, event, delta);
    if (found[MEMBER_PADDING].kind == JK_STRING)
        wire_event_hole(event, json_string_raw(found[MEMBER_PADDING]), HOLE_STRING, HOLE_PADDING);
}

static void responses_event(struct wire_stream *stream, const struct sse_event *sse,
                            struct wire_event *event)
{
    struct json_slice found[MEMBER_COUNT], root = json_value(sse->data);
    if (root.kind != JK_OBJECT) {
        stream->bad_events += !wire_is_done(sse->data);
        return;
    }
    stream->bad_events += !json_pick(root, member_names, found, MEMBER_COUNT);
    read_sequence(stream, event, found[MEMBER_SEQUENCE]);
    bool unnamed = found[MEMBER_TYPE].kind == JK_NONE;
    bool error =
        span_eq(sse->name, SPAN("error")) || (unnamed && wire_has_content(found[MEMBER_ERROR]));
    switch (error ? KIND_ERROR : kind_of(found[MEMBER_TYPE])) {
    case KIND_CONTENT: read_delta(stream, event, found); break;
    case KIND_QUIET: read_response(stream, event, found[MEMBER_RESPONSE], false); break;
    case KIND_ITEM:
        if (item_is_content(found[MEMBER_ITEM]))
            event->flags |= WIRE_CONTENT;
        break;
    case KIND_TERMINAL:
        read_response(stream, event, found[MEMBER_RESPONSE], true);
        stream->finished = true;
        event->flags |= WIRE_CONTENT | WIRE_TERMINAL;
        break;
    case KIND_FAILED:
        read_response(stream, event, found[MEMBER_RESPONSE], true);
        wire_stream_fail(stream, found[MEMBER_RESPONSE]); // if it named no error
        stream->finished = true;
        event->flags |= WIRE_TERMINAL;
        break;
    case KIND_ERROR: wire_stream_fail(stream, root); break;
    }
}

static enum wire_end responses_end(const struct wire_stream *stream)
{
    return stream->finished ? WIRE_END_COMPLETE : WIRE_END_TRUNCATED;
}

enum {
    TAP_MODEL,
    TAP_RESPONSE_MODEL,
    TAP_TYPE,
    TAP_ID,
    TAP_RESPONSE_ID,
    TAP_USAGE,
    TAP_RESPONSE_USAGE,
    TAP_TIER,
    TAP_RESPONSE_TIER,
    TAP_ERROR,
    TAP_RESPONSE_ERROR,
    TAP_SEQUENCE,
    TAP_COUNT
};

static const struct json_tap_path responses_paths[TAP_COUNT] = {
    [TAP_MODEL] = { "model", TOLD_MODEL_MAX + 2 },
    [TAP_RESPONSE_MODEL] = { "response.model", TOLD_MODEL_MAX + 2 },
    [TAP_TYPE] = { "type", 48 },
    [TAP_ID] = { "id", WIRE_ID_MAX + 2 },
    [TAP_RESPONSE_ID] = { "response.id", WIRE_ID_MAX + 2 },
    [TAP_USAGE] = { "usage", 2 * KIB },
    [TAP_RESPONSE_USAGE] = { "response.usage", 2 * KIB },
    [TAP_TIER] = { "service_tier", TOLD_TIER_MAX + 2 },
    [TAP_RESPONSE_TIER] = { "response.service_tier", TOLD_TIER_MAX + 2 },
    [TAP_ERROR] = { "error", 1 * KIB },
    [TAP_RESPONSE_ERROR] = { "response.error", 1 * KIB },
    [TAP_SEQUENCE] = { "sequence_number", 24 },
};

static void responses_tapped(struct wire_stream *stream, const struct json_tap *tap)
{
    struct json_slice type = json_tap_value(tap, TAP_TYPE);
    enum kind kind = type.kind == JK_STRING ? kind_of(type) : KIND_TERMINAL; // a whole answer
    told_model(&stream->told, json_tap_value(tap, TAP_MODEL));
    told_model(&stream->told, json_tap_value(tap, TAP_RESPONSE_MODEL));
    wire_stream_id(stream, json_tap_value(tap, TAP_ID));
    wire_stream_id(stream, json_tap_value(tap, TAP_RESPONSE_ID));
    uint64_t number;
    if (json_u64(json_tap_value(tap, TAP_SEQUENCE), &number))
        stream->sequence = max_u64(stream->sequence, min_u64(number, TOLD_VALUE_MAX) + 1);
    if (kind != KIND_TERMINAL && kind != KIND_FAILED && kind != KIND_ERROR)
        return;
    static const uint8_t usages[] = { TAP_USAGE, TAP_RESPONSE_USAGE };
    static const uint8_t errors[] = { TAP_ERROR, TAP_RESPONSE_ERROR };
    told_tier_set(&stream->told, json_tap_value(tap, TAP_TIER));
    told_tier_set(&stream->told, json_tap_value(tap, TAP_RESPONSE_TIER));
    for (size_t i = 0; i < ARRAY_LEN(usages); i++)
        if (told_read(&stream->told, stream->wire->rule, json_tap_value(tap, usages[i])))
            stream->told.final = true;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++)
        if (wire_has_content(json_tap_value(tap, errors[i])))
            wire_stream_fail(stream, json_tap_value(tap, errors[i]));
    stream->finished |= kind != KIND_ERROR;
}

const struct wire wire_responses = {
    .name = "responses",
    .id = WIRE_RESPONSES,
    .family = FAMILY_RESPONSES,
    .rule = USAGE_RULE_OPENAI,
    .event = responses_event,
    .tapped = responses_tapped,
    .end = responses_end,
    .paths = responses_paths,
    .path_count = TAP_COUNT,
    .model_paths = 2,
};
