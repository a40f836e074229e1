// Anthropic Messages. Events are named, and say their name again in the data, which counts here.
// Counts come with message_start and again, as totals, with message_delta.
#include "penstock/wire/wire.h"

enum {
    MEMBER_TYPE,
    MEMBER_MESSAGE,
    MEMBER_DELTA,
    MEMBER_BLOCK,
    MEMBER_USAGE,
    MEMBER_ERROR,
    MEMBER_COUNT
};

static const struct span member_names[MEMBER_COUNT] = {
    [MEMBER_TYPE] = { "type", 4 },   [MEMBER_MESSAGE] = { "message", 7 },
    [MEMBER_DELTA] = { "delta", 5 }, [MEMBER_BLOCK] = { "content_block", 13 },
    [MEMBER_USAGE] = { "usage", 5 }, [MEMBER_ERROR] = { "error", 5 },
};

static void read_start(struct wire_stream *stream, struct wire_event *event,
                       struct json_slice message)
{
    enum { MODEL, ID, USAGE, COUNT };
    static const struct span names[COUNT] = { { "model", 5 }, { "id", 2 }, { "usage", 5 } };
    struct json_slice found[COUNT];
    if (message.kind != JK_OBJECT)
        return;
    json_pick(message, names, found, COUNT);
    if (found[MODEL].kind == JK_STRING)
        event->model = found[MODEL].text;
    told_model(&stream->told, found[MODEL]);
    wire_stream_id(stream, found[ID]);
    if (told_read(&stream->told, stream->wire->rule, found[USAGE]))
        event->flags |= WIRE_USAGE;
}

// An empty text or thought is only announced; anything else that starts a block is content.
static void read_block(struct wire_event *event, struct json_slice block)
{
    struct json_slice type = json_get(block, SPAN("type"));
    bool empty = false;
    if (json_string_is(type, SPAN("text")))
        empty = !wire_has_content(json_get(block, SPAN("text")));
    else if (json_string_is(type, SPAN("thinking")))
        empty = !wire_has_content(json_get(block, SPAN("thinking"))) &&
                !wire_has_content(json_get(block, SPAN("signature")));
    if (!empty)
        event->flags |= WIRE_CONTENT;
}

static void read_block_delta(struct wire_stream *stream, struct wire_event *event,
                             struct json_slice delta)
{
    struct json_iter iter = json_members_of(delta);
    struct span key;
    struct json_slice value;
    event->plain = true;
    while (json_member_next(&iter, &key, &value)) {
        if (json_key_is(key, SPAN("type")))
            continue;
        if (wire_has_content(value))
            event->flags |= WIRE_CONTENT;
        if (json_key_is(key, SPAN("signature")))
            event->plain = false; // no text: whoever looks for signatures sees each
        else if (value.kind == JK_STRING)
            wire_event_text(stream, event, value);
    }
}

static void read_message_delta(struct wire_stream *stream, struct wire_event *event,
                               const struct json_slice *found)
{
    if (wire_has_content(json_get(found[MEMBER_DELTA], SPAN("stop_reason")))) {
        stream->finished = true;
        event->flags |= WIRE_CONTENT | WIRE_TERMINAL;
    }
    if (told_read(&stream->told, stream->wire->rule, found[MEMBER_USAGE])) {
        stream->told.final = true;
        event->flags |= WIRE_USAGE;
    }
}

static void messages_event(struct wire_stream *stream, const struct sse_event *sse,
                           struct wire_event *event)
{
    struct json_slice found[MEMBER_COUNT], root = json_value(sse->data);
    if (root.kind != JK_OBJECT) {
        stream->bad_events += !wire_is_done(sse->data);
        return;
    }
    bool good = json_pick(root, member_names, found, MEMBER_COUNT);
    struct json_slice type = found[MEMBER_TYPE];
    if (json_string_is(type, SPAN("content_block_delta"))) {
        read_block_delta(stream, event, found[MEMBER_DELTA]);
        event->plain &= good;
    } else if (json_string_is(type, SPAN("content_block_start"))) {
        read_block(event, found[MEMBER_BLOCK]);
    } else if (json_string_is(type, SPAN("message_start"))) {
        read_start(stream, event, found[MEMBER_MESSAGE]);
    } else if (json_string_is(type, SPAN("message_delta"))) {
        read_message_delta(stream, event, found);
    } else if (json_string_is(type, SPAN("message_stop"))) {
        stream->done = true;
        event->flags |= WIRE_TERMINAL;
    } else if (json_string_is(type, SPAN("error")) || span_eq(sse->name, SPAN("error")) ||
               (type.kind == JK_NONE && wire_has_content(found[MEMBER_ERROR]))) {
        wire_stream_fail(stream, root);
    }
    stream->bad_events += !good;
}

static enum wire_end messages_end(const struct wire_stream *stream)
{
    if (!stream->finished)
        return WIRE_END_TRUNCATED;
    return stream->done ? WIRE_END_COMPLETE : WIRE_END_IRREGULAR;
}

enum {
    TAP_MODEL,
    TAP_MESSAGE_MODEL,
    TAP_ID,
    TAP_MESSAGE_ID,
    TAP_USAGE,
    TAP_MESSAGE_USAGE,
    TAP_TYPE,
    TAP_ERROR,
    TAP_STOP,
    TAP_DELTA_STOP,
    TAP_COUNT
};

static const struct json_tap_path messages_paths[TAP_COUNT] = {
    [TAP_MODEL] = { "model", TOLD_MODEL_MAX + 2 },
    [TAP_MESSAGE_MODEL] = { "message.model", TOLD_MODEL_MAX + 2 },
    [TAP_ID] = { "id", WIRE_ID_MAX + 2 },
    [TAP_MESSAGE_ID] = { "message.id", WIRE_ID_MAX + 2 },
    [TAP_USAGE] = { "usage", 2 * KIB },
    [TAP_MESSAGE_USAGE] = { "message.usage", 2 * KIB },
    [TAP_TYPE] = { "type", 32 },
    [TAP_ERROR] = { "error", 2 * KIB },
    [TAP_STOP] = { "stop_reason", 48 },
    [TAP_DELTA_STOP] = { "delta.stop_reason", 48 },
};

static void messages_tapped(struct wire_stream *stream, const struct json_tap *tap)
{
    told_model(&stream->told, json_tap_value(tap, TAP_MODEL));
    told_model(&stream->told, json_tap_value(tap, TAP_MESSAGE_MODEL));
    wire_stream_id(stream, json_tap_value(tap, TAP_ID));
    wire_stream_id(stream, json_tap_value(tap, TAP_MESSAGE_ID));
    told_read(&stream->told, stream->wire->rule, json_tap_value(tap, TAP_MESSAGE_USAGE));
    if (told_read(&stream->told, stream->wire->rule, json_tap_value(tap, TAP_USAGE)))
        stream->told.final = true;
    stream->finished |= wire_has_content(json_tap_value(tap, TAP_STOP)) ||
                        wire_has_content(json_tap_value(tap, TAP_DELTA_STOP));
    if (json_string_is(json_tap_value(tap, TAP_TYPE), SPAN("error")))
        wire_stream_fail(stream, json_tap_value(tap, TAP_ERROR));
}

const struct wire wire_messages = {
    .name = "messages",
    .id = WIRE_MESSAGES,
    .family = FAMILY_ANTHROPIC,
    .rule = USAGE_RULE_ANTHROPIC,
    .event = messages_event,
    .tapped = messages_tapped,
    .end = messages_end,
    .paths = messages_paths,
    .path_count = TAP_COUNT,
    .model_paths = 2,
};
