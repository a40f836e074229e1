// convert_rig.h - what the fuzz targets of conversion share: memory that ends, output that grows,
// and judges that know nothing of the converter.
#ifndef PENSTOCK_FUZZ_CONVERT_RIG_H
#define PENSTOCK_FUZZ_CONVERT_RIG_H

#include "penstock/base/check.h"
#include "penstock/convert/convert.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// --- formats ---

enum { FORMATS = FAMILY_GEMINI + 1 };

// The format that a byte chooses, the same whatever rows converters.def has; NULL if it has none.
static inline const struct converter *format_at(uint8_t byte)
{
    static const enum wire_family families[] = { FAMILY_OPENAI, FAMILY_RESPONSES, FAMILY_ANTHROPIC,
                                                 FAMILY_GEMINI };
    return converter_of(families[byte % ARRAY_LEN(families)]);
}

static inline const struct wire *wire_for(const struct converter *converter)
{
    static const enum wire_id ids[FORMATS] = {
        [FAMILY_OPENAI] = WIRE_CHAT,
        [FAMILY_RESPONSES] = WIRE_RESPONSES,
        [FAMILY_ANTHROPIC] = WIRE_MESSAGES,
        [FAMILY_GEMINI] = WIRE_GEMINI,
    };
    return wire_get(ids[converter->family]);
}

// --- input ---

// Bytes of the input that decide something; zeros once they are used up.
struct dice {
    const uint8_t *at, *end;
};

static inline unsigned roll(struct dice *dice, unsigned sides)
{
    return dice->at < dice->end ? *dice->at++ % sides : 0;
}

// --- memory ---

enum { HEAP_PIECES = 4096, HEAP_BYTES = 64 * MIB };

struct heap {
    struct scratch scratch;
    size_t used, count;
    void *list[HEAP_PIECES];
};

static void *heap_take(struct scratch *scratch, size_t size)
{
    struct heap *heap = container_of(scratch, struct heap, scratch);
    if (heap->count == HEAP_PIECES || heap->used + size > HEAP_BYTES)
        return NULL;
    heap->used += size;
    void *piece = malloc(max_size(size, 1));
    memset(piece, 0xa5, size);
    return heap->list[heap->count++] = piece;
}

static inline void heap_init(struct heap *heap)
{
    heap->scratch.take = heap_take;
    heap->used = heap->count = 0;
}

static inline void heap_fini(struct heap *heap)
{
    while (heap->count > 0)
        free(heap->list[--heap->count]);
}

static void *chunk_take(void *ctx, void **keeper)
{
    (void)ctx;
    *keeper = NULL;
    void *chunk = malloc(ARENA_CHUNK);
    memset(chunk, 0xa5, ARENA_CHUNK);
    return chunk;
}

static void chunk_give(void *ctx, void *memory, void *keeper)
{
    (void)ctx, (void)keeper;
    free(memory);
}

static const struct arena_source chunks = { .take = chunk_take, .give = chunk_give };

// --- output ---

enum { OUTPUT_MAX = 32 * MIB };

// Grows by as little as a sink may be given, so that each write is torn somewhere.
struct output {
    struct sink sink;
    char *room;
    size_t size;
};

static bool output_more(struct sink *sink)
{
    struct output *output = container_of(sink, struct output, sink);
    size_t used = (size_t)(sink->at - output->room), step = used < 64 * KIB ? 65 : used;
    if (used + step > OUTPUT_MAX)
        return false;
    if (used + step > output->size) {
        output->size = 2 * (used + step);
        output->room = realloc(output->room, output->size);
    }
    sink->at = output->room + used;
    sink->end = sink->at + step;
    return true;
}

static inline void output_init(struct output *output)
{
    *output = (struct output){ .sink = { .more = output_more }, .room = malloc(1), .size = 1 };
    output->sink.at = output->sink.end = output->room;
}

static inline struct span output_text(const struct output *output)
{
    return span_of(output->room, (size_t)(output->sink.at - output->room));
}

static inline void output_fini(struct output *output)
{
    free(output->room);
    output->room = NULL;
}

// --- judges ---

// Half a pair of surrogates is legal by the grammar, and the other library refuses it: where the
// input's own raw JSON had one, it may be in the output.
static inline void blunt_surrogates(char *text, size_t len)
{
    for (size_t at = 0; at + 6 <= len; at++) {
        if (text[at] != '\\') {
            continue;
        }
        bool half = text[at + 1] == 'u' && (text[at + 2] | 0x20) == 'd' && text[at + 3] > '7';
        if (half)
            memcpy(text + at + 2, "fffd", 4);
        at++;
    }
}

// JSON by our scanner and by another library.
static inline void judge_json(struct span text)
{
    struct json_slice root;
    bool ours = json_check(text, &root);
    if (!ours)
        fprintf(stderr, "no JSON: %.*s\n", (int)text.len, text.ptr);
    assert(ours);
    char *copy = malloc(text.len + 1);
    memcpy(copy, text.ptr, text.len);
    blunt_surrogates(copy, text.len);
    json_error_t error;
    json_t *json = json_loadb(copy, text.len,
                              JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    // What it cannot hold, though it is JSON.
    enum json_error_code code = json == NULL ? json_error_code(&error) : json_error_unknown;
    bool odd = code == json_error_numeric_overflow || code == json_error_null_byte_in_key;
    if (json == NULL && !odd)
        fprintf(stderr, "%s at %d: %.*s\n", error.text, error.position, (int)text.len, text.ptr);
    assert(json != NULL || odd);
    json_decref(json);
    free(copy);
}

static inline size_t line_of(struct span text)
{
    size_t len = span_find(text, '\n');
    assert(len < text.len);
    assert(span_find(span_upto(text, len), '\r') == len);
    return len;
}

// Events of one name at most and one line of data, and nothing else. `ended`: the stream is over.
static inline void judge_stream(struct span text)
{
    while (text.len > 0) {
        size_t len = line_of(text);
        if (span_starts(text, SPAN("event: "))) {
            text = span_from(text, len + 1);
            len = line_of(text);
        }
        assert(span_starts(text, SPAN("data: ")));
        struct span data = span_of(text.ptr + 6, len - 6);
        if (!span_eq(data, SPAN("[DONE]")))
            judge_json(data);
        text = span_from(text, len + 1);
        assert(text.len > 0 && text.ptr[0] == '\n');
        text = span_from(text, 1);
    }
}

// --- streams ---

// One reading of a vendor's stream.
struct reading {
    struct wire_stream wire;
    struct decode decode;
    struct heap heap;
    bool good; // it ended well, and nothing in it was bad
};

// One block. `slow`: nothing is known by its likeness. False: the stream has failed.
static inline bool read_block(struct reading *reading, struct span block, bool slow)
{
    struct wire_event event;
    struct sse_event sse = { 0 };
    bool first = reading->wire.event_count == 0;
    char *copy = malloc(max_size(block.len, 1)), *join = malloc(max_size(block.len, 1));
    memcpy(copy, block.ptr, block.len);
    block = span_of(copy, block.len);
    wire_stream_event(&reading->wire, block, &event);
    bool ok = sse_parse(block, first, join, block.len, &sse) && (event.flags & WIRE_ERROR) == 0;
    if (slow) {
        event.flags &= ~(uint32_t)WIRE_KNOWN;
        event.learnt = false;
    }
    ok = ok && decode_feed(&reading->decode, &sse, &event) && !reading->decode.failed;
    free(copy);
    free(join);
    return ok;
}

static inline void reading_init(struct reading *reading, const struct converter *from,
                                delta_sink *emit, void *ctx)
{
    heap_init(&reading->heap);
    wire_stream_init(&reading->wire, wire_for(from), false);
    decode_init(&reading->decode, from, &reading->wire, &chunks, emit, ctx);
    reading->decode.keep.scratch = &reading->heap.scratch;
}

// All of a stream in pieces of at most `chop` bytes, with the ends of blocks found by the product's
// own scan.
static inline void read_stream(struct reading *reading, struct span text, size_t chop, bool slow)
{
    struct sse_scan scan = { 0 };
    size_t start = 0, done = 0;
    bool ok = true;
    while (ok && done < text.len) {
        size_t used = 0;
        struct span piece = span_of(text.ptr + done, min_size(chop, text.len - done));
        bool whole = piece.len == text.len - done;
        enum parse said = whole && !slow ? wire_stream_scan(&reading->wire, &scan, piece, &used)
                                         : sse_scan_feed(&scan, piece, &used);
        done += used;
        if (said == PARSE_DATA) {
            ok = read_block(reading, span_of(text.ptr + start, done - start), slow);
            start = done;
        }
    }
    if (ok && start < text.len)
        ok = read_block(reading, span_from(text, start), slow);
    enum wire_end end = wire_stream_end(&reading->wire);
    reading->good = ok && (end == WIRE_END_COMPLETE || end == WIRE_END_IRREGULAR);
    if (reading->good)
        decode_end(&reading->decode);
    reading->good = reading->good && !reading->decode.failed;
}

static inline void reading_fini(struct reading *reading)
{
    decode_fini(&reading->decode);
    heap_fini(&reading->heap);
}

#endif
