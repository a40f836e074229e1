#include "penstock/convert/args.h"

#include "penstock/codec/json_writer.h"

static struct span object_in(struct span text)
{
    struct json_slice value;
    if (text.len == 0)
        return SPAN("{}");
    if (!json_check(text, &value))
        return SPAN_NONE;
    if (value.kind == JK_NULL)
        return SPAN("{}");
    return value.kind == JK_OBJECT ? value.text : SPAN_NONE;
}

struct span args_object(struct words words, struct scratch *scratch)
{
    if (!words.escaped)
        return object_in(words.raw);
    if (words.raw.len == 0)
        return SPAN("{}");
    char *room = scratch_take(scratch, words.raw.len); // it does not grow by being unescaped
    if (room == NULL)
        return SPAN_NONE;
    return object_in(span_of(room, words_decode(words, room, words.raw.len, NULL)));
}

struct span args_object_of(const struct item *item, struct scratch *scratch)
{
    if (item->rope.len == 0)
        return args_object(item->text, scratch);
    char *room = scratch_take(scratch, item->rope.len);
    if (room == NULL)
        return SPAN_NONE;
    struct sink sink = sink_into(room, item->rope.len);
    rope_put_plain(&item->rope, &sink);
    return sink.failed ? SPAN_NONE : object_in(span_of(room, (size_t)(sink.at - room)));
}

bool args_put_object(struct sink *out, struct words words, struct scratch *scratch)
{
    struct span object = args_object(words, scratch);
    if (object.ptr != NULL) {
        sink_put(out, object);
        return true;
    }
    SINK_TEXT(out, "{\"_raw\":");
    sink_quoted(out, words);
    SINK_TEXT(out, "}");
    return false;
}

bool args_put_object_of(struct sink *out, const struct item *item, struct scratch *scratch)
{
    struct span object = args_object_of(item, scratch);
    if (object.ptr != NULL) {
        sink_put(out, object);
        return true;
    }
    SINK_TEXT(out, "{\"_raw\":\"");
    item_put(item, out);
    SINK_TEXT(out, "\"}");
    return false;
}

void args_put_string(struct sink *out, struct words words)
{
    sink_string(out, words_none(words) ? words_plain(SPAN("{}")) : words);
}

void args_put_string_of(struct sink *out, const struct item *item)
{
    if (!item_is_empty(item))
        item_put(item, out);
    else if (item->complete) // what was cut before it began is not whole (C-043)
        SINK_TEXT(out, "{}");
}

void args_put_nested(struct sink *out, struct words text)
{
    // What is escaped once is JSON text already: it is escaped again as if it were plain.
    struct span rest = text.raw;
    if (text.escaped) {
        sink_string(out, words_plain(rest));
        return;
    }
    char room[JSON_ESCAPE_MAX];
    while (rest.len > 0)
        sink_string(out, words_plain(json_escape_next(&rest, room)));
}
