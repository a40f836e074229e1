// The block scanner and the reader against a reader of whole streams that goes byte by byte.
#include "penstock/base/check.h"
#include "penstock/codec/sse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENTS_MAX = 512 };

// Events as one text: name, 1, data, 2, and so on; only those that have data.
struct log {
    char *text;
    size_t len;
};

static void log_put(struct log *log, const void *text, size_t len)
{
    if (len > 0)
        memcpy(log->text + log->len, text, len);
    log->len += len;
}

static void log_event(struct log *log, struct span name, struct span data)
{
    log_put(log, name.ptr, name.len);
    log_put(log, "\1", 1);
    log_put(log, data.ptr, data.len);
    log_put(log, "\2", 1);
}

// By the letter of the standard, with one addition: a last event without its blank line counts.
struct reference {
    struct log *log;
    char *name, *data;
    size_t name_len, data_len;
    bool has_data;
};

static void reference_line(struct reference *ref, const char *line, size_t len)
{
    if (len == 0) {
        if (ref->has_data)
            log_event(ref->log, span_of(ref->name, ref->name_len),
                      span_of(ref->data, ref->data_len - 1));
        ref->name_len = ref->data_len = 0;
        ref->has_data = false;
        return;
    }
    size_t colon = 0;
    while (colon < len && line[colon] != ':')
        colon++;
    size_t value = colon < len ? colon + 1 : len;
    if (value < len && line[value] == ' ')
        value++;
    if (colon == 4 && memcmp(line, "data", 4) == 0) {
        memcpy(ref->data + ref->data_len, line + value, len - value);
        ref->data_len += len - value;
        ref->data[ref->data_len++] = '\n';
        ref->has_data = true;
    } else if (colon == 5 && memcmp(line, "event", 5) == 0) {
        ref->name_len = len - value;
        memcpy(ref->name, line + value, ref->name_len);
    }
}

static void reference_read(struct log *log, const char *text, size_t len)
{
    struct reference ref = { .log = log, .name = malloc(len + 1), .data = malloc(2 * len + 1) };
    size_t at = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < len) {
        size_t end = at;
        while (end < len && text[end] != '\n' && text[end] != '\r')
            end++;
        reference_line(&ref, text + at, end - at);
        if (end < len && text[end] == '\r' && end + 1 < len && text[end + 1] == '\n')
            end++;
        at = end + 1;
    }
    reference_line(&ref, text, 0);
    free(ref.name);
    free(ref.data);
}

struct reader {
    struct log *log;
    struct sse_scan scan;
    char *block, *join;
    size_t block_len, cap;
    size_t ends[EVENTS_MAX];
    size_t total;
};

static void take_block(struct reader *reader, bool first)
{
    struct sse_event event;
    bool whole = sse_parse(span_of(reader->block, reader->block_len), first, reader->join,
                           reader->cap, &event);
    assert(whole);
    if (event.data_lines > 0)
        log_event(reader->log, event.name, event.data);
    if (event.data_lines > 0 && event.name.len + event.data.len < 1000) {
        char out[8 * 1024], join[8 * 1024];
        size_t len = sse_write(out, sizeof(out), event.name, event.data);
        struct sse_event again;
        assert(len > 0);
        assert(sse_parse(span_of(out, len), false, join, sizeof(join), &again));
        assert(span_eq(again.name, event.name));
        assert(span_eq(again.data, event.data));
    }
    reader->block_len = 0;
}

static void read_piece(struct reader *reader, struct span piece)
{
    enum parse parse;
    do {
        char *copy = malloc(piece.len + 1);
        if (piece.len > 0)
            memcpy(copy, piece.ptr, piece.len);
        size_t used;
        parse = sse_scan_feed(&reader->scan, span_of(copy, piece.len), &used);
        assert(used <= piece.len);
        memcpy(reader->block + reader->block_len, copy, used);
        reader->block_len += used;
        reader->total += used;
        piece = span_of(piece.ptr + used, piece.len - used);
        free(copy);
        if (parse == PARSE_DATA) {
            assert(reader->scan.held == 0);
            if (reader->scan.block_count <= EVENTS_MAX)
                reader->ends[reader->scan.block_count - 1] = reader->total;
            take_block(reader, reader->scan.block_count == 1);
        }
    } while (parse == PARSE_DATA);
    assert(parse == PARSE_MORE);
    assert(piece.len == 0);
    assert(reader->scan.held == reader->block_len);
}

static void read_stream(struct reader *reader, const char *text, size_t len, unsigned seed)
{
    reader->cap = len + 1;
    reader->block = malloc(len + 1);
    reader->join = malloc(len + 1);
    size_t at = 0;
    while (at < len) {
        seed = seed * 1103515245 + 12345;
        size_t step = seed == 12345 ? len : 1 + (seed >> 16) % 17;
        step = min_size(step, len - at);
        read_piece(reader, span_of(text + at, step));
        at += step;
    }
    if (reader->block_len > 0)
        take_block(reader, reader->scan.block_count == 0);
    free(reader->block);
    free(reader->join);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t cap = 4 * size + 16;
    struct log want = { malloc(cap), 0 }, got = { malloc(cap), 0 }, cut = { malloc(cap), 0 };
    static struct reader whole, pieces;
    whole = (struct reader){ .log = &got };
    pieces = (struct reader){ .log = &cut };
    reference_read(&want, text, size);
    read_stream(&whole, text, size, 0);
    read_stream(&pieces, text, size, 1 + (unsigned)size);
    assert(span_eq(span_of(got.text, got.len), span_of(want.text, want.len)));
    assert(span_eq(span_of(cut.text, cut.len), span_of(want.text, want.len)));
    assert(whole.scan.block_count == pieces.scan.block_count);
    assert(memcmp(whole.ends, pieces.ends, sizeof(whole.ends)) == 0);
    free(want.text);
    free(got.text);
    free(cut.text);
    return 0;
}
