// OpenAI Chat Completions, and what shares its form: the older completions, and embeddings.
//
// A stream is data lines of chunks, ended by "[DONE]". Each choice ends by its finish_reason; usage
// comes in a chunk of its own, or on any other, or where some server thought best.
#include "penstock/wire/wire.h"

struct chunk {
    struct wire_stream *stream;
    struct wire_event *event;
    struct json_slice usage; // of the chunk, or of a choice
    uint32_t choices;
    bool ended;      // the choice being read has
    bool any_ended;  // some choice has
    bool bare_error; // the object itself is an error
};

static void read_tool_calls(struct chunk *chunk, struct json_slice calls)
{
    struct json_iter iter = json_elements_of(calls);
    struct json_slice call;
    while (json_element_next(&iter, &call)) {
        struct json_slice function = json_get(call, SPAN("function"));
        struct json_slice arguments = json_get(function, SPAN("arguments"));
        wire_event_text(chunk->stream, chunk->event, arguments);
    }
}

// Lists of parts beside the text; one server repeats there what it says in the text.
static void read_parts(struct chunk *chunk, struct json_slice parts)
{
    struct json_iter iter = json_elements_of(parts);
    struct json_slice part;
    while (json_element_next(&iter, &part)) {
        struct json_slice text = json_get(part, SPAN("text"));
        if (text.kind == JK_STRING)
            wire_event_hole(chunk->event, json_string_raw(text), HOLE_STRING, HOLE_PADDING);
    }
}

// Everything in a delta but the role is content, known by name or not.
static void read_delta(struct chunk *chunk, struct json_slice delta)
{
    struct json_iter iter = json_members_of(delta);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value)) {
        if (json_key_is(key, SPAN("role")))
            continue;
        if (wire_has_content(value))
            chunk->event->flags |= WIRE_CONTENT;
        if (value.kind == JK_STRING)
            wire_event_text(chunk->stream, chunk->event, value);
        else if (json_key_is(key, SPAN("tool_calls")))
            read_tool_calls(chunk, value);
        else if (json_key_is(key, SPAN("audio")) &&
                 json_get(value, SPAN("expires_at")).kind != JK_NONE)
            chunk->ended = true; // spoken answers end so, without a reason
        else if (value.kind == JK_ARRAY)
            read_parts(chunk, value);
    }
}

static void read_choice(struct chunk *chunk, struct json_slice choice)
{
    uint64_t index = 0;
    struct json_iter iter = json_members_of(choice);
    struct span key;
    struct json_slice value;
    chunk->choices++;
    chunk->ended = false;
    while (json_member_next(&iter, &key, &value)) {
        if (json_key_is(key, SPAN("delta"))) {
            read_delta(chunk, value);
        } else if (json_key_is(key, SPAN("text"))) {
            if (wire_has_content(value))
                chunk->event->flags |= WIRE_CONTENT;
            wire_event_text(chunk->stream, chunk->event, value);
        } else if (json_key_is(key, SPAN("finish_reason"))) {
            chunk->ended |= wire_has_content(value);
        } else if (json_key_is(key, SPAN("index"))) {
            if (!json_u64(value, &index))
                index = 0;
        } else if (json_key_is(key, SPAN("usage")) && value.kind == JK_OBJECT) {
            chunk->usage = value;
        }
    }
    wire_choice_start(chunk->stream, index);
    if (!chunk->ended)
        return;
    wire_choice_end(chunk->stream, index);
    chunk->any_ended = true;
    chunk->event->flags |= WIRE_CONTENT;
    chunk->event->plain = false;
}

static void read_choices(struct chunk *chunk, struct json_slice choices)
{
    struct json_iter iter = json_elements_of(choices);
    struct json_slice choice;
    while (json_element_next(&iter, &choice))
        read_choice(chunk, choice);
}

static void read_usage(struct chunk *chunk)
{
    struct wire_stream *stream = chunk->stream;
    if (chunk->usage.kind != JK_OBJECT)
        return;
    chunk->event->plain = false;
    if (!told_read(&stream->told, stream->wire->rule, chunk->usage))
        return;
    stream->finished |= chunk->choices == 0 && stream->content;
    stream->told.final |= chunk->choices == 0 || wire_choices_ended(stream);
    chunk->event->flags |= WIRE_USAGE;
    if (stream->hide_usage && chunk->choices == 0 && !stream->failed)
        chunk->event->flags |= WIRE_HIDE;
}

static void read_member(struct chunk *chunk, struct span key, struct json_slice value)
{
    struct wire_stream *stream = chunk->stream;
    if (json_key_is(key, SPAN("choices"))) {
        read_choices(chunk, value);
    } else if (json_key_is(key, SPAN("usage"))) {
        if (value.kind == JK_OBJECT)
            chunk->usage = value;
    } else if (json_key_is(key, SPAN("model"))) {
        chunk->event->model = value.kind == JK_STRING ? value.text : SPAN_NONE;
        if (stream->told.model_len == 0)
            told_model(&stream->told, value);
    } else if (json_key_is(key, SPAN("id"))) {
        wire_stream_id(stream, value);
    } else if (json_key_is(key, SPAN("obfuscation"))) {
        if (value.kind == JK_STRING)
            wire_event_hole(chunk->event, json_string_raw(value), HOLE_STRING, HOLE_PADDING);
    } else if (json_key_is(key, SPAN("service_tier"))) {
        if (stream->told.tier_len == 0)
            told_tier_set(&stream->told, value);
    } else if (json_key_is(key, SPAN("x_groq"))) {
        struct json_slice usage = json_get(value, SPAN("usage"));
        chunk->usage = usage.kind == JK_OBJECT ? usage : chunk->usage;
    } else if (json_key_is(key, SPAN("error"))) {
        if (wire_has_content(value))
            wire_stream_fail(stream, value);
    } else if (json_key_is(key, SPAN("object"))) {
        chunk->bare_error = json_string_is(value, SPAN("error"));
    }
}

static void chat_event(struct wire_stream *stream, const struct sse_event *sse,
                       struct wire_event *event)
{
    if (wire_is_done(sse->data)) {
        stream->done = true;
        stream->told.final |= stream->told.seen != 0; // nothing more can come
        event->flags = WIRE_TERMINAL;
        return;
    }
    struct json_slice root = json_value(sse->data);
    if (root.kind != JK_OBJECT) {
        stream->bad_events++;
        return;
    }
    struct chunk chunk = { .stream = stream, .event = event };
    event->plain = true;
    struct json_iter iter = json_members_of(root);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value))
        read_member(&chunk, key, value);
    read_usage(&chunk);
    event->plain &= chunk.choices == 1 && (event->flags & WIRE_CONTENT) != 0 && !iter.bad;
    // An error without its wrapper, told by the event's name or by the object's own.
    if (chunk.bare_error || span_eq(sse->name, SPAN("error")))
        wire_stream_fail(stream, root);
    if (chunk.any_ended && wire_choices_ended(stream))
        event->flags |= WIRE_TERMINAL;
}

// "[DONE]" alone does not make an answer whole: a choice must have said how it ended. Some servers
// never say; there the counts, which come after all choices, and the marker stand for it.
static enum wire_end chat_end(const struct wire_stream *stream)
{
    if (wire_choices_ended(stream))
        return stream->done ? WIRE_END_COMPLETE : WIRE_END_IRREGULAR;
    return stream->done && stream->finished ? WIRE_END_IRREGULAR : WIRE_END_TRUNCATED;
}

enum {
    TAP_MODEL,
    TAP_USAGE,
    TAP_TIER,
    TAP_ERROR,
    TAP_ID,
    TAP_GROQ_USAGE,
    TAP_INDEX,
    TAP_FINISH,
    TAP_CHOICE_USAGE,
    TAP_COUNT
};

static const struct json_tap_path chat_paths[TAP_COUNT] = {
    [TAP_MODEL] = { "model", TOLD_MODEL_MAX + 2 },
    [TAP_USAGE] = { "usage", 2 * KIB },
    [TAP_TIER] = { "service_tier", TOLD_TIER_MAX + 2 },
    [TAP_ERROR] = { "error", 2 * KIB },
    [TAP_ID] = { "id", WIRE_ID_MAX + 2 },
    [TAP_GROQ_USAGE] = { "x_groq.usage", 1 * KIB },
    [TAP_INDEX] = { "choices.[].index", 8 },
    [TAP_FINISH] = { "choices.[].finish_reason", 40 },
    [TAP_CHOICE_USAGE] = { "choices.[].usage", 1 * KIB },
};

static void chat_tapped(struct wire_stream *stream, const struct json_tap *tap)
{
    static const uint8_t usages[] = { TAP_USAGE, TAP_GROQ_USAGE, TAP_CHOICE_USAGE };
    told_model(&stream->told, json_tap_value(tap, TAP_MODEL));
    told_tier_set(&stream->told, json_tap_value(tap, TAP_TIER));
    wire_stream_id(stream, json_tap_value(tap, TAP_ID));
    for (size_t i = 0; i < ARRAY_LEN(usages); i++)
        if (told_read(&stream->told, stream->wire->rule, json_tap_value(tap, usages[i])))
            stream->told.final = true;
    if (tap->hits[TAP_INDEX].count > 0 || tap->hits[TAP_FINISH].count > 0) {
        uint64_t index = 0;
        if (!json_u64(json_tap_value(tap, TAP_INDEX), &index))
            index = 0;
        wire_choice_start(stream, index);
        if (wire_has_content(json_tap_value(tap, TAP_FINISH)))
            wire_choice_end(stream, index);
    }
    if (wire_has_content(json_tap_value(tap, TAP_ERROR)))
        wire_stream_fail(stream, json_tap_value(tap, TAP_ERROR));
}

static enum wire_end never_streams(const struct wire_stream *stream)
{
    return stream->finished ? WIRE_END_COMPLETE : WIRE_END_TRUNCATED;
}

const struct wire wire_chat = {
    .name = "chat",
    .id = WIRE_CHAT,
    .family = FAMILY_OPENAI,
    .rule = USAGE_RULE_OPENAI,
    .event = chat_event,
    .tapped = chat_tapped,
    .end = chat_end,
    .paths = chat_paths,
    .path_count = TAP_COUNT,
    .model_paths = 1,
};

const struct wire wire_completions = {
    .name = "completions",
    .id = WIRE_COMPLETIONS,
    .family = FAMILY_OPENAI,
    .rule = USAGE_RULE_OPENAI,
    .event = chat_event,
    .tapped = chat_tapped,
    .end = chat_end,
    .paths = chat_paths,
    .path_count = TAP_COUNT,
    .model_paths = 1,
};

const struct wire wire_embeddings = {
    .name = "embeddings",
    .id = WIRE_EMBEDDINGS,
    .family = FAMILY_OPENAI,
    .rule = USAGE_RULE_OPENAI_INPUT,
    .event = NULL,
    .tapped = chat_tapped,
    .end = never_streams,
    .paths = chat_paths,
    .path_count = TAP_COUNT,
    .model_paths = 1,
};
