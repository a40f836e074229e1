// Streams of all formats, in three readings that must agree: with events found and known by their
// likeness, with every event parsed, and as pieces of one long block after another; and whole
// answers in one piece, in many, and known by the form of another. What comes out must be sane,
// whatever came in.
#include "penstock/base/check.h"
#include "penstock/wire/form.h"
#include "penstock/wire/reply.h"
#include "penstock/wire/wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_event(const struct wire_event *event, struct span block)
{
    if (event->model.len == 0)
        return;
    assert(event->model.ptr >= block.ptr);
    assert(event->model.ptr + event->model.len <= block.ptr + block.len);
    assert(event->model.ptr[0] == '"');
    assert(event->model.ptr[event->model.len - 1] == '"');
}

static void check_note(const struct fault_note *note)
{
    assert(note->fault > FAULT_NONE && note->fault < FAULT_COUNT);
    static char out[WIRE_ERROR_MAX];
    for (int family = FAMILY_OPENAI; family <= FAMILY_GEMINI; family++) {
        struct wire_error error = wire_error_of_note(note, true);
        struct json_slice root;
        size_t len = wire_error_body((enum wire_family)family, &error, out);
        assert(json_check(span_of(out, len), &root));
        assert(wire_error_event((enum wire_family)family, &error, &(struct wire_place){ 0 }, out));
    }
}

static void check_stream(const struct wire_stream *stream)
{
    struct usage usage = usage_normal(&stream->told, stream->wire->rule);
    assert(usage.input_uncached <= 4 * TOLD_VALUE_MAX);
    assert(usage.output <= 4 * TOLD_VALUE_MAX);
    assert(!stream->failed || (stream->fault > FAULT_NONE && stream->fault < FAULT_COUNT));
    assert(wire_stream_end(stream) <= WIRE_END_ERROR);
}

static void same(const struct wire_stream *a, const struct wire_stream *b)
{
    assert(memcmp(&a->told, &b->told, sizeof(a->told)) == 0);
    assert(memcmp(a->started, b->started, sizeof(a->started)) == 0);
    assert(memcmp(a->ended, b->ended, sizeof(a->ended)) == 0);
    assert(a->text_bytes == b->text_bytes);
    assert(a->sequence == b->sequence);
    assert(a->event_count == b->event_count);
    assert(a->failed == b->failed && a->fault == b->fault && a->retry_ms == b->retry_ms);
    assert(a->content == b->content && a->done == b->done && a->finished == b->finished);
    assert(wire_stream_end(a) == wire_stream_end(b));
}

static void take_block(struct wire_stream *fast, struct wire_stream *slow, struct span block)
{
    char *copy = malloc(block.len + 1);
    memcpy(copy, block.ptr, block.len);
    struct span own = span_of(copy, block.len);
    struct wire_event a, b;
    wire_stream_event(fast, block, &a);
    skeleton_reset(&slow->skeleton);
    wire_stream_event(slow, own, &b);
    check_event(&a, block);
    assert(span_eq(a.model, b.model));
    assert((b.flags & WIRE_KNOWN) == 0);
    // An event known by likeness says only that: the counts in it are read all the same.
    if (a.flags & WIRE_KNOWN)
        assert((b.flags & ~(uint32_t)(WIRE_USAGE | WIRE_CONTENT)) == 0);
    else
        assert(a.flags == b.flags);
    same(fast, slow);
    free(copy);
}

static void read_stream(enum wire_id id, struct span text)
{
    struct wire_stream fast, slow;
    struct fault_note note;
    wire_stream_init(&fast, wire_get(id), true);
    wire_stream_init(&slow, wire_get(id), true);
    fast.note = &note;
    struct sse_scan scan = { 0 }, lines = { 0 };
    while (text.len > 0) {
        size_t used, lines_used;
        bool found = wire_stream_scan(&fast, &scan, text, &used) == PARSE_DATA;
        assert(found == (sse_scan_feed(&lines, text, &lines_used) == PARSE_DATA));
        assert(used == lines_used);
        assert(scan.block_count == lines.block_count && scan.held == lines.held);
        assert(scan.crlf == lines.crlf && scan.after_cr == lines.after_cr);
        assert(scan.in_line == lines.in_line && scan.end_due == lines.end_due);
        if (used > 0)
            take_block(&fast, &slow, span_upto(text, used));
        text = span_from(text, used);
    }
    check_stream(&fast);
    if (fast.failed)
        check_note(&note);
}

struct passed {
    struct wire_stream stream;
    size_t models;
    char memory[WIRE_VALUES_MAX];
};

static void pass(struct passed *passed, enum wire_id id, struct span text, bool sse, unsigned seed,
                 struct wire_forms *forms)
{
    memset(passed, 0, sizeof(*passed));
    wire_stream_init(&passed->stream, wire_get(id), false);
    passed->stream.forms = forms;
    struct wire_pass state;
    wire_pass_init(&state, &passed->stream, sse, passed->memory);
    while (text.len > 0) {
        seed = seed * 1103515245 + 12345;
        size_t step = seed == 12345 ? text.len : min_size(text.len, 1 + (seed >> 16) % 20);
        char *copy = malloc(step);
        memcpy(copy, text.ptr, step);
        struct span in = span_of(copy, step), out;
        enum wire_cut cut;
        const char *expected = copy;
        while (wire_pass_next(&state, &in, &out, &cut)) {
            assert(out.len > 0);
            assert(out.ptr == expected);
            expected += out.len;
            passed->models += cut == WIRE_CUT_MODEL;
        }
        assert(expected == copy + step);
        free(copy);
        text = span_from(text, step);
    }
    wire_pass_end(&state);
    check_stream(&passed->stream);
}

static void pass_both_ways(enum wire_id id, struct span text, bool sse)
{
    static struct passed whole, pieces;
    pass(&whole, id, text, sse, 0, NULL);
    pass(&pieces, id, text, sse, 1 + (unsigned)text.len, NULL);
    same(&whole.stream, &pieces.stream);
    assert(whole.models == pieces.models);
    assert(whole.stream.bad_events == pieces.stream.bad_events);
}

// Two answers with a NUL between them: the second, read with the form of the first, which was read
// twice or even three times to have a tight one.
static void pass_by_form(enum wire_id id, struct span text)
{
    static struct passed plain, known;
    static struct wire_forms forms;
    size_t first = span_find(text, '\0');
    wire_forms_init(&forms);
    for (size_t i = 0; i < 1 + first % 3; i++)
        pass(&known, id, span_upto(text, first), false, 0, &forms);
    text = span_from(text, min_size(first + 1, text.len));
    pass(&plain, id, text, false, 0, NULL);
    pass(&known, id, text, false, 0, &forms);
    same(&plain.stream, &known.stream);
    assert(plain.models == known.models);
    assert(plain.stream.bad_events == known.stream.bad_events);
    assert(plain.stream.id_len == known.stream.id_len);
    assert(memcmp(plain.stream.id, known.stream.id, plain.stream.id_len) == 0);
}

// data: a byte that chooses, then a stream, an answer or an error.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum wire_id id = (enum wire_id)(data[0] % WIRE_COUNT);
    struct span text = span_of(data + 1, size - 1);
    switch (data[0] / 16 % 4) {
    case 0:
    case 1:
        if (wire_get(id)->event != NULL)
            read_stream(id, text);
        break;
    case 2:
        pass_both_ways(id, text, (data[0] & 8) != 0);
        pass_by_form(id, text);
        break;
    default: {
        static struct fault_note note;
        static const struct secrets secrets = { .list = { { "secret!!", 8 } }, .count = 1 };
        fault_read(&note, 400 + data[0] % 150, text, &secrets);
        check_note(&note);
        assert(memmem(note.message, note.message_len, "secret!!", 8) == NULL);
        assert(memmem(note.code, note.code_len, "secret!!", 8) == NULL);
        break;
    }
    }
    return 0;
}
