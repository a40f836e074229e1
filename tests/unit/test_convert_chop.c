// Recorded streams of real vendors, cut as networks cut them. What was cut comes in memory of its
// own and is put together as the relay does it, so that nothing may look behind a piece.
//
// An event that was torn is the event: every stream of up to 8 KB is cut at each of its bytes. What
// clients of all formats get of a stream is then the same however it came: byte by byte and at
// random cuts.
#include "convert_run.h"
#include "fixtures.h"

enum { EACH_BYTE_MAX = 8 * KIB, RANDOM_PIECE_MAX = 300, RANDOM_ROUNDS = 2 };

static const struct {
    const char *name;
    enum wire_family family;
} formats[] = {
    { "openai-chat", FAMILY_OPENAI },
    { "openai-responses", FAMILY_RESPONSES },
    { "anthropic-messages", FAMILY_ANTHROPIC },
    { "gemini", FAMILY_GEMINI },
};

// --- putting together ---

// What came of a stream: one that is cut, and what of the event at hand was in earlier pieces.
struct intake {
    struct wire_stream *stream;
    struct sse_scan scan;
    char *held;
    size_t held_len, held_cap;
    char *piece; // memory of the size of a piece, and no byte more
    size_t piece_len;
};

static void intake_free(struct intake *intake)
{
    free(intake->held);
    free(intake->piece);
}

static char *memory_for(struct intake *intake, size_t len)
{
    if (intake->piece_len != len) {
        free(intake->piece);
        intake->piece = malloc(len);
        intake->piece_len = len;
    }
    return intake->piece;
}

static void hold(struct intake *intake, struct span part)
{
    if (intake->held_len + part.len > intake->held_cap) {
        intake->held_cap = 2 * (intake->held_len + part.len);
        intake->held = realloc(intake->held, intake->held_cap);
    }
    if (part.len > 0)
        memcpy(intake->held + intake->held_len, part.ptr, part.len);
    intake->held_len += part.len;
}

// The next block of what came, or of `rest`, which moves on; empty if there is no whole one.
static struct span next_block(struct intake *intake, struct span *rest)
{
    size_t used = 0;
    bool ended = wire_stream_scan(intake->stream, &intake->scan, *rest, &used) == PARSE_DATA;
    struct span part = span_upto(*rest, used);
    *rest = span_from(*rest, used);
    if (!ended || intake->held_len > 0) {
        hold(intake, part);
        part = span_of(intake->held, intake->held_len);
    }
    return ended ? part : SPAN_NONE;
}

// --- an event that was torn ---

static uint64_t told_hash(const struct wire_stream *stream)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    const struct {
        const void *at;
        size_t len;
    } all[] = {
        { &stream->told, sizeof(stream->told) },
        { stream->started, sizeof(stream->started) },
        { stream->ended, sizeof(stream->ended) },
        { &stream->event_count, sizeof(stream->event_count) },
        { &stream->text_bytes, sizeof(stream->text_bytes) },
        { &stream->sequence, sizeof(stream->sequence) },
        { &stream->bad_events, sizeof(stream->bad_events) },
        { &stream->content, 1 },
        { &stream->done, 1 },
        { &stream->finished, 1 },
        { &stream->failed, 1 },
        { &stream->fault, 1 },
        { stream->id, stream->id_len },
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        for (size_t at = 0; at < all[i].len; at++)
            hash = (hash ^ ((const unsigned char *)all[i].at)[at]) * UINT64_C(1099511628211);
    return hash;
}

// What the wire layer made of an event, apart from where its bytes lie and how it was recognised.
struct reading {
    struct span block;
    uint32_t flags;
    size_t model_at, model_len;
    uint64_t told;
};

static struct reading read_block(struct wire_stream *stream, struct span block)
{
    struct wire_event event;
    wire_stream_event(stream, block, &event);
    return (struct reading){
        .block = block,
        .flags = event.flags & ~(uint32_t)WIRE_KNOWN,
        .model_at = event.model.len > 0 ? (size_t)(event.model.ptr - block.ptr) : 0,
        .model_len = event.model.len,
        .told = told_hash(stream),
    };
}

static bool same_reading(const struct reading *a, const struct reading *b)
{
    return span_eq(a->block, b->block) && a->flags == b->flags && a->model_at == b->model_at &&
           a->model_len == b->model_len && a->told == b->told;
}

// Reads the block that begins here, cut once; `stream` and the scan are put back to where they
// were.
static bool torn_alike(struct intake *intake, struct span text, size_t cut,
                       const struct reading *whole)
{
    struct span pieces[2] = { span_upto(text, cut), span_from(text, cut) };
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        char *room = memory_for(intake, pieces[i].len);
        memcpy(room, pieces[i].ptr, pieces[i].len);
        struct span rest = span_of(room, pieces[i].len);
        struct span block = next_block(intake, &rest);
        if (block.ptr == NULL)
            continue;
        struct reading reading = read_block(intake->stream, block);
        return same_reading(&reading, whole);
    }
    return false;
}

static unsigned cut_everywhere(enum wire_family from, const char *name, struct span text)
{
    static struct wire_stream stream, before;
    wire_stream_init(&stream, wire_get(run_wire(from)), false);
    struct intake intake = { .stream = &stream };
    unsigned cuts = 0, bad = 0;
    while (text.len > 0 && bad == 0) {
        const struct sse_scan scan = intake.scan;
        before = stream;
        size_t used = 0;
        if (wire_stream_scan(&stream, &intake.scan, text, &used) != PARSE_DATA)
            break;
        const struct reading whole = read_block(&stream, span_upto(text, used));
        const struct sse_scan scan_after = intake.scan;
        static struct wire_stream after;
        after = stream;
        // A few bytes of the next block come along, as they would.
        const struct span here = span_upto(text, min_size(used + 3, text.len));
        for (size_t cut = 1; cut < used && bad == 0; cut++, cuts++) {
            stream = before;
            intake.scan = scan;
            intake.held_len = 0;
            bad += !torn_alike(&intake, here, cut, &whole);
            if (bad > 0)
                fprintf(stderr, "%s: another event if cut at %zu of %.*s\n", name, cut,
                        (int)min_size(used, 200), text.ptr);
        }
        stream = after;
        intake.scan = scan_after;
        text = span_from(text, used);
    }
    intake_free(&intake);
    EXPECT_EQ(bad, 0);
    return cuts;
}

// --- all that a client gets ---

enum cutting { UNCUT, BYTES, RANDOM };

static size_t piece_size(enum cutting cutting, uint64_t *seed)
{
    switch (cutting) {
    case UNCUT: return SIZE_MAX;
    case BYTES: return 1;
    case RANDOM:
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return 1 + *seed % RANDOM_PIECE_MAX;
    }
    return 1;
}

static void feed_block(struct run_stream *run, struct span block)
{
    struct wire_event event;
    struct sse_event sse = { 0 };
    const bool first = run->stream.event_count == 0;
    wire_stream_event(&run->stream, block, &event);
    run->bad_lines |= !sse_parse(block, first, NULL, 0, &sse);
    if (!run->bad_lines && (event.flags & WIRE_ERROR) == 0 &&
        !decode_feed(&run->decode, &sse, &event))
        run->broken = true;
}

// The client's stream; the verdict on the vendor's stands before it.
static struct span through(enum wire_family from, enum wire_family to, struct span text,
                           enum cutting cutting, uint64_t seed)
{
    static struct run_stream run;
    static struct encode encode;
    const struct answer_facts facts = run_facts(NULL);
    struct sink sink = run_sink();
    memset(&run, 0, sizeof(run));
    wire_stream_init(&run.stream, wire_get(run_wire(from)), false);
    encode_init(&encode, converter_of(to), &facts, &sink, &chunks, RUN_KEPT);
    decode_init(&run.decode, converter_of(from), &run.stream, &chunks, encode_put, &encode);
    struct intake intake = { .stream = &run.stream };
    while (text.len > 0) {
        const size_t len = min_size(piece_size(cutting, &seed), text.len);
        char *room = memory_for(&intake, len);
        memcpy(room, text.ptr, len);
        text = span_from(text, len);
        struct span rest = span_of(room, len);
        while (rest.len > 0) {
            struct span block = next_block(&intake, &rest);
            if (block.ptr == NULL)
                break;
            feed_block(&run, block);
            intake.held_len = 0;
        }
    }
    if (intake.held_len > 0)
        feed_block(&run, span_of(intake.held, intake.held_len));
    enum wire_end end = wire_stream_end(&run.stream);
    if (end == WIRE_END_COMPLETE || end == WIRE_END_IRREGULAR) {
        struct usage usage = usage_normal(&run.stream.told, run.stream.wire->rule);
        decode_end(&run.decode);
        encode_end(&encode, &usage);
    }
    EXPECT(!run.decode.failed);
    EXPECT(!encode.failed);
    sink_u64(&sink, (uint64_t)end);
    sink_put(&sink, run.broken ? SPAN(" broken") : run.bad_lines ? SPAN(" lines") : SPAN(" read"));
    decode_fini(&run.decode);
    encode_fini(&encode);
    intake_free(&intake);
    return run_text(&sink);
}

static void one_cell(enum wire_family from, size_t client, const char *name, struct span text)
{
    const enum wire_family to = formats[client].family;
    struct span out = through(from, to, text, UNCUT, 0);
    char *first = malloc(out.len);
    memcpy(first, out.ptr, out.len);
    const struct span whole = span_of(first, out.len);
    bool same = span_eq(through(from, to, text, BYTES, 0), whole);
    for (uint64_t round = 0; round < RANDOM_ROUNDS; round++)
        same &= span_eq(through(from, to, text, RANDOM, 88172645463325252 + round), whole);
    if (!same)
        fprintf(stderr, "%s: a client of %s gets something else of it when it is cut\n", name,
                formats[client].name);
    EXPECT(same);
    free(first);
}

// --- the recorded streams ---

static unsigned streams, small, cuts;

static void each_stream(void (*test)(enum wire_family from, const char *name, struct span text))
{
    json_t *manifest = fixture_json("manifest.json"), *entry, *file;
    size_t index, at, len;
    json_array_foreach(json_object_get(manifest, "cases"), index, entry)
    {
        const char *format = json_string_value(json_object_get(entry, "format"));
        json_array_foreach(json_object_get(entry, "files"), at, file)
        {
            const char *name = json_string_value(file), *dot = strrchr(name, '.');
            if (dot == NULL || strcmp(dot, ".sse") != 0)
                continue;
            for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
                if (strcmp(format, formats[i].name) != 0)
                    continue;
                char *text = fixture_load(name, &len);
                EXPECT(text != NULL);
                if (text != NULL)
                    test(formats[i].family, name, span_of(text, len));
                free(text);
            }
        }
    }
    json_decref(manifest);
}

static void count_cuts(enum wire_family from, const char *name, struct span text)
{
    if (text.len > EACH_BYTE_MAX)
        return;
    small++;
    cuts += cut_everywhere(from, name, text);
}

static void a_torn_event_is_the_event(void)
{
    each_stream(count_cuts);
    printf("%u streams, cut at %u places\n", small, cuts);
    EXPECT(small > 100 && cuts > 100000);
}

static void all_cells(enum wire_family from, const char *name, struct span text)
{
    streams++;
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        one_cell(from, i, name, text);
}

static void every_client_gets_the_same_of_a_cut_stream(void)
{
    each_stream(all_cells);
    printf("%u streams for clients of each format\n", streams);
    EXPECT(streams > 200);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = { TEST(a_torn_event_is_the_event),
                                              TEST(every_client_gets_the_same_of_a_cut_stream) };
    return fixtures_main(argc, argv, cases, ARRAY_LEN(cases));
}
