// A vendor's stream of any format for a client of any format: known by likeness or read event by
// event, in one piece or many, the deltas are the same; and whatever they are, a client sees events
// of valid JSON.
#include "convert_rig.h"

// What deltas say, in an order of fields that has no holes.
struct log {
    struct output out;
};

static void log_words(struct sink *sink, struct words words)
{
    sink_string(sink, words);
    SINK_TEXT(sink, "\1");
}

static void log_delta(void *ctx, const struct delta *delta)
{
    struct sink *sink = &((struct log *)ctx)->out.sink;
    sink_u64(sink, delta->kind);
    SINK_TEXT(sink, "\1");
    sink_u64(sink, delta->choice);
    SINK_TEXT(sink, "\1");
    sink_u64(sink, delta->call);
    SINK_TEXT(sink, "\1");
    sink_u64(sink, (uint64_t)delta->finish * 2 + delta->form);
    SINK_TEXT(sink, "\1");
    log_words(sink, delta->text);
    log_words(sink, delta->id);
    log_words(sink, delta->name);
    log_words(sink, delta->type);
    log_words(sink, delta->signature.text);
    log_words(sink, delta->signature.id);
    log_words(sink, delta->cite.url);
    log_words(sink, delta->cite.title);
    sink_put(sink, delta->raw.text);
    SINK_TEXT(sink, "\n");
    assert(delta->kind < DELTA_KIND_COUNT);
    assert(delta->choice < COMPLETION_CHOICES_MAX);
}

static bool log_stream(struct log *log, const struct converter *from, struct span text, size_t chop,
                       bool slow)
{
    static struct reading reading;
    output_init(&log->out);
    reading_init(&reading, from, log_delta, log);
    read_stream(&reading, text, chop, slow);
    bool good = reading.good;
    reading_fini(&reading);
    return good;
}

static void same_log(const struct log *log, const struct log *other)
{
    struct span one = output_text(&log->out), two = output_text(&other->out);
    if (!span_eq(one, two))
        fprintf(stderr, "%.*s\nor\n%.*s\n", (int)one.len, one.ptr, (int)two.len, two.ptr);
    assert(span_eq(one, two));
}

static void same_deltas(const struct converter *from, struct span text, size_t chop)
{
    struct log fast, slow, cut;
    bool good = log_stream(&fast, from, text, SIZE_MAX, false);
    assert(log_stream(&slow, from, text, SIZE_MAX, true) == good);
    assert(log_stream(&cut, from, text, chop, false) == good);
    same_log(&fast, &slow);
    same_log(&fast, &cut);
    output_fini(&fast.out);
    output_fini(&slow.out);
    output_fini(&cut.out);
}

static void convert(const struct converter *from, const struct converter *to, struct span text,
                    unsigned wanted)
{
    static struct reading reading;
    static struct encode encode;
    static struct heap heap;
    struct output out;
    heap_init(&heap);
    output_init(&out);
    struct answer_facts facts = { .id = SPAN("id"), .model = SPAN("a \"model\""), .random = 7 };
    facts.usage_wanted = (wanted & 1) != 0;
    facts.thoughts_wanted = (wanted & 2) != 0;
    facts.envelopes_wanted = (wanted & 4) != 0;
    facts.scratch = &heap.scratch;
    facts.request = SPAN("{\"model\":\"m\",\"input\":\"x\"}");
    encode_init(&encode, to, &facts, &out.sink, &chunks, 1 * MIB);
    reading_init(&reading, from, encode_put, &encode);
    read_stream(&reading, text, SIZE_MAX, false);
    if (reading.good) {
        struct usage usage = usage_normal(&reading.wire.told, reading.wire.wire->rule);
        encode_end(&encode, &usage);
    }
    if (!encode.failed)
        judge_stream(output_text(&out));
    encode_fini(&encode);
    reading_fini(&reading);
    output_fini(&out);
    heap_fini(&heap);
}

// data: three bytes that choose, then a stream.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct span text = span_of(data + 3, size - 3);
    const struct converter *from = format_at(data[0]), *to = format_at(data[1]);
    if (from == NULL || to == NULL)
        return 0;
    same_deltas(from, text, 1 + data[2] % 32);
    convert(from, to, text, data[2] / 32);
    return 0;
}
