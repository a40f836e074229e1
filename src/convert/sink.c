#include "penstock/convert/sink.h"

#include "penstock/base/check.h"
#include "penstock/codec/json_writer.h"
#include "penstock/codec/simd.h"

void sink_put_slow(struct sink *sink, struct span bytes)
{
    while (bytes.len > 0 && !sink->failed) {
        if (sink->at == sink->end) {
            sink->failed = sink->more == NULL || !sink->more(sink);
            if (sink->failed)
                return;
            assert(sink->end - sink->at >= SINK_ROOM_MIN);
        }
        size_t step = min_size(bytes.len, (size_t)(sink->end - sink->at));
        memcpy(sink->at, bytes.ptr, step);
        sink->at += step;
        bytes = span_from(bytes, step);
    }
}

void sink_put_lasting(struct sink *sink, struct span bytes)
{
    const bool fits = bytes.len <= (size_t)(sink->end - sink->at);
    if (sink->view == NULL || fits || bytes.len < SINK_VIEW_MIN)
        sink_put(sink, bytes);
    else if (!sink->failed)
        sink->failed = !sink->view(sink, bytes);
}

void sink_line(struct sink *sink, struct span json)
{
    while (json.len > 0) {
        size_t run = simd_line_run(json.ptr, json.len);
        sink_put(sink, span_upto(json, run));
        json = span_from(json, min_size(run + 1, json.len));
    }
}

void sink_u64(struct sink *sink, uint64_t value)
{
    char text[20] uninitialized;
    size_t at = sizeof(text);
    do
        text[--at] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    sink_put(sink, span_of(text + at, sizeof(text) - at));
}

// The slow path of a copy (C-149).
static void put_escaped(struct sink *sink, struct words words)
{
    for (struct span raw = words.raw;;) {
        size_t lone = words_lone(raw);
        if (words.lasting)
            sink_put_lasting(sink, span_upto(raw, lone));
        else
            sink_put(sink, span_upto(raw, lone));
        if (lone == raw.len)
            return;
        SINK_TEXT(sink, "\xef\xbf\xbd");
        raw = span_from(raw, lone + 6);
    }
}

void sink_string(struct sink *sink, struct words words)
{
    if (likely(words.whole)) {
        if (unlikely(words.lasting))
            sink_put_lasting(sink, words.raw);
        else
            sink_put(sink, words.raw);
        return;
    }
    if (words.escaped) {
        put_escaped(sink, words);
        return;
    }
    struct span rest = words.raw;
    char room[JSON_ESCAPE_MAX];
    while (rest.len > 0)
        sink_put(sink, json_escape_next(&rest, room));
}

void sink_quoted(struct sink *sink, struct words words)
{
    sink_put(sink, SPAN("\""));
    sink_string(sink, words);
    sink_put(sink, SPAN("\""));
}

void sink_plain(struct sink *sink, struct words words)
{
    if (!words.escaped) {
        sink_put(sink, words.raw);
        return;
    }
    char room[WORDS_PIECE_MAX];
    while (words.raw.len > 0)
        sink_put(sink, words_piece(&words.raw, room));
}
