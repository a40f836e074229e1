// convert_run.h - answers and requests from one format to another, as tests want them: whole texts
// in, whole texts out.
#ifndef PENSTOCK_TEST_CONVERT_RUN_H
#define PENSTOCK_TEST_CONVERT_RUN_H

#include "convert_rig.h"
#include "test.h"

#include "penstock/convert/convert.h"

enum { RUN_OUT = 16 * MIB, RUN_PAD = 4 * MIB, RUN_KEPT = 4 * MIB };

static char *run_out; // what was written last

static struct pad run_pad = PAD(NULL, RUN_PAD); // used again by the next conversion

static const uint8_t run_key[ENVELOPE_KEY_BYTES] = { 7 };

static inline struct answer_facts run_facts(const char *request)
{
    struct answer_facts facts = { .model = SPAN("gw-model"), .random = 5, .key = run_key };
    facts.usage_wanted = facts.thoughts_wanted = facts.envelopes_wanted = true;
    facts.scratch = &run_pad.scratch;
    if (request != NULL)
        facts.request = span_str(request);
    return facts;
}

static inline struct sink run_sink(void)
{
    if (run_out == NULL)
        run_out = malloc(RUN_OUT);
    if (run_pad.room == NULL)
        run_pad.room = malloc(RUN_PAD);
    run_pad.used = 0;
    return sink_into(run_out, RUN_OUT);
}

static inline struct span run_text(const struct sink *sink)
{
    return span_of(run_out, (size_t)(sink->at - run_out));
}

static inline enum wire_id run_wire(enum wire_family family)
{
    static const uint8_t wires[] = { [FAMILY_OPENAI] = WIRE_CHAT,
                                     [FAMILY_RESPONSES] = WIRE_RESPONSES,
                                     [FAMILY_ANTHROPIC] = WIRE_MESSAGES,
                                     [FAMILY_GEMINI] = WIRE_GEMINI };
    return (enum wire_id)wires[family];
}

struct run_stream {
    struct wire_stream stream;
    struct decode decode;
    bool broken;    // an event was no JSON
    bool bad_lines; // several data lines: nothing here reads those
};

// Reads a stream in pieces of `chop` bytes; what it says goes to `emit`. The verdict on its end.
static inline enum wire_end run_decode(struct run_stream *run, enum wire_family from,
                                       struct span text, size_t chop, delta_sink *emit, void *ctx)
{
    memset(run, 0, sizeof(*run));
    wire_stream_init(&run->stream, wire_get(run_wire(from)), false);
    decode_init(&run->decode, converter_of(from), &run->stream, &chunks, emit, ctx);
    struct sse_scan scan = { 0 };
    size_t start = 0, done = 0, used;
    while (done < text.len) {
        struct span piece = span_of(text.ptr + done, min_size(chop, text.len - done));
        bool ended = sse_scan_feed(&scan, piece, &used) == PARSE_DATA;
        done += used;
        if (!ended && done < text.len)
            continue;
        struct wire_event event;
        struct sse_event sse = { 0 };
        struct span block = span_of(text.ptr + start, done - start);
        bool first = run->stream.event_count == 0;
        wire_stream_event(&run->stream, block, &event);
        run->bad_lines |= !sse_parse(block, first, NULL, 0, &sse);
        if (!run->bad_lines && (event.flags & WIRE_ERROR) == 0 &&
            !decode_feed(&run->decode, &sse, &event))
            run->broken = true;
        start = done;
    }
    enum wire_end end = wire_stream_end(&run->stream);
    if (end == WIRE_END_COMPLETE || end == WIRE_END_IRREGULAR)
        decode_end(&run->decode);
    EXPECT(!run->decode.failed);
    decode_fini(&run->decode);
    return end;
}

// A stream of one format as a client of another sees it; empty if it did not end well.
static inline struct span run_stream_facts(enum wire_family from, enum wire_family to,
                                           struct span text, size_t chop,
                                           const struct answer_facts *facts)
{
    static struct run_stream run;
    static struct encode encode;
    struct sink sink = run_sink();
    encode_init(&encode, converter_of(to), facts, &sink, &chunks, RUN_KEPT);
    enum wire_end end = run_decode(&run, from, text, chop, encode_put, &encode);
    bool good = end == WIRE_END_COMPLETE || end == WIRE_END_IRREGULAR;
    if (good) {
        struct usage usage = usage_normal(&run.stream.told, run.stream.wire->rule);
        encode_end(&encode, &usage);
    }
    EXPECT(!encode.failed);
    encode_fini(&encode);
    return good ? run_text(&sink) : SPAN("");
}

static inline struct span run_convert(enum wire_family from, enum wire_family to, const char *text)
{
    struct answer_facts facts = run_facts(NULL);
    return run_stream_facts(from, to, span_str(text), SIZE_MAX / 2, &facts);
}

static inline unsigned run_count(struct span text, const char *what)
{
    unsigned count = 0;
    const size_t len = strlen(what);
    for (size_t i = 0; i + len <= text.len; i++)
        count += memcmp(text.ptr + i, what, len) == 0;
    return count;
}

// True if the pieces stand in the text in this order.
static inline bool run_has_in_order(struct span text, const char *const *pieces)
{
    size_t at = 0;
    for (; *pieces != NULL; pieces++) {
        const size_t len = strlen(*pieces);
        while (at + len <= text.len && memcmp(text.ptr + at, *pieces, len) != 0)
            at++;
        if (at + len > text.len) {
            fprintf(stderr, "missing, or too early: %s\n", *pieces);
            return false;
        }
        at += len;
    }
    return true;
}

// A whole answer of one format as a client of another sees it.
static inline struct span run_whole(enum wire_family from, enum wire_family to, const char *text,
                                    const struct answer_facts *facts)
{
    struct json_slice root;
    struct completion completion;
    struct sink sink = run_sink();
    EXPECT(json_check(span_str(text), &root));
    completion_init(&completion, &chunks, RUN_KEPT);
    EXPECT(converter_of(from)->read_whole(&completion, root));
    converter_of(to)->write_whole(&completion, facts, &sink);
    completion_fini(&completion);
    struct json_slice out;
    EXPECT(json_check(run_text(&sink), &out));
    return run_text(&sink);
}

// A request of one format as a vendor of another gets it; empty if it is refused.
static inline struct span run_request(enum wire_family from, enum wire_family to, const char *text,
                                      const struct caps *caps, struct losses *losses,
                                      struct prompt_parse *parse)
{
    static struct prompt prompt;
    static const struct caps plain = { .official = true };
    struct json_slice root;
    struct sink sink = run_sink();
    losses_init(losses, false);
    EXPECT(json_check(span_str(text), &root));
    prompt_begin(parse, &prompt, from, span_str(text), &run_pad.scratch, losses);
    parse->key = run_key;
    if (!converter_of(from)->parse(parse, root))
        return SPAN("");
    struct render render = { .prompt = &prompt,
                             .caps = caps != NULL ? caps : &plain,
                             .model = SPAN("m"),
                             .losses = losses,
                             .scratch = &run_pad.scratch,
                             .key = run_key };
    if (!converter_of(to)->render(&render, &sink))
        return SPAN("");
    struct json_slice out;
    EXPECT(json_check(run_text(&sink), &out));
    return run_text(&sink);
}

#endif
