// convert.c - the converter alone: what one event, and one request, costs in each pair of formats.
//
//   penstock-convert stream FROM TO BYTES    events of about BYTES, a hundred thousand of them
//   penstock-convert request FROM TO long|escapes    a request of an agent, of about 300 KB
//   penstock-convert formats    the names of those that are converted
//
// FROM is what the vendor speaks in a stream, and the client in a request. The same format twice is
// pass mode: events are read and left as they lie. Prints one line of JSON. For callgrind to count,
// with --toggle-collect=measured, `--once` takes fewer events, and `--few` almost none.
#include "penstock/convert/convert.h"
#include "penstock/base/check.h"
#include "penstock/base/env.h"
#include "penstock/codec/sse.h"
#include "penstock/model/format.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EVENTS = 100000,
    EVENTS_ONCE = 2000,
    EVENTS_FEW = 10,
    EVENT_MAX = 4096,
    WARM_EVENTS = 64, // until the first one of its kind is known
    OUT_MAX = 1 * MIB,
    BODY_MAX = 2 * MIB,
    BODY_BYTES = 300 * KIB,
    MESSAGE_BYTES = 4096,
    REQUEST_NS = 400 * 1000 * 1000, // of measuring
    PAD_BYTES = 4 * MIB,
};

struct sample {
    enum wire_family family;
    enum wire_id wire;
    const char *begin;  // what a stream starts with
    const char *before; // of an event, up to its number if it has one
    const char *middle; // from there to the text; NULL: no number
    const char *behind;
};

static const struct sample samples[FORMAT_COUNT] = {
    [FORMAT_OPENAI] = {
        FAMILY_OPENAI, WIRE_CHAT,
        "data: {\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion.chunk\","
        "\"created\":1741569952,\"model\":\"gpt-5.4-2026-03-05\",\"service_tier\":\"default\","
        "\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{\"index\":0,\"delta\":{\"role\":"
        "\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
        "data: {\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion.chunk\","
        "\"created\":1741569952,\"model\":\"gpt-5.4-2026-03-05\",\"system_fingerprint\":"
        "\"fp_44709d6fcb\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"",
        NULL,
        "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
    },
    [FORMAT_RESPONSES] = {
        FAMILY_RESPONSES, WIRE_RESPONSES,
        "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,"
        "\"response\":{\"id\":\"resp_67c9fdcecf488190\",\"object\":\"response\",\"created_at\":1741290958,"
        "\"status\":\"in_progress\",\"model\":\"gpt-5.4\",\"output\":[]}}\n\n"
        "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\","
        "\"sequence_number\":1,\"output_index\":0,\"item\":{\"id\":\"msg_67c9fdcf37fc\",\"type\":"
        "\"message\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\n"
        "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\","
        "\"sequence_number\":2,\"item_id\":\"msg_67c9fdcf37fc\",\"output_index\":0,\"content_index\":0,"
        "\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}}\n\n",
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","
        "\"sequence_number\":",
        ",\"item_id\":\"msg_67c9fdcf37fc\",\"output_index\":0,\"content_index\":0,\"delta\":\"",
        "\"}\n\n",
    },
    [FORMAT_ANTHROPIC] = {
        FAMILY_ANTHROPIC, WIRE_MESSAGES,
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01XFDUDYJg\","
        "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5\",\"content\":[],"
        "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":25,"
        "\"output_tokens\":1}}}\n\n"
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
        "\"delta\":{\"type\":\"text_delta\",\"text\":\"",
        NULL,
        "\"}}\n\n",
    },
    [FORMAT_GEMINI] = {
        FAMILY_GEMINI, WIRE_GEMINI,
        "",
        "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"",
        NULL,
        "\"}],\"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 25,"
        "\"totalTokenCount\": 25,\"promptTokensDetails\": [{\"modality\": \"TEXT\",\"tokenCount\": 25}]},"
        "\"modelVersion\": \"gemini-3-flash\",\"responseId\": \"abcdefgh\"}\n\n",
    },
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "penstock-convert: %s\n", what);
    exit(1);
}

static unsigned format_named(const char *name)
{
    for (unsigned i = 0; i < FORMAT_COUNT; i++)
        if (strcmp(name, format_names[i]) == 0 && converter_of(samples[i].family) != NULL)
            return i;
    fail("no such format; `penstock-convert formats` lists them");
}

// --- memory: chunks are counted, because an event must take none ---

static unsigned chunks_taken;

static void *chunk_take(void *ctx, void **keeper)
{
    (void)ctx;
    chunks_taken++;
    *keeper = NULL;
    return malloc(ARENA_CHUNK);
}

static void chunk_give(void *ctx, void *memory, void *keeper)
{
    (void)ctx, (void)keeper;
    free(memory);
}

static const struct arena_source chunks = { .take = chunk_take, .give = chunk_give };

struct pad {
    struct scratch scratch;
    size_t used;
    _Alignas(16) char bytes[PAD_BYTES];
};

static void *pad_take(struct scratch *scratch, size_t size)
{
    struct pad *pad = container_of(scratch, struct pad, scratch);
    size = round_up(size, 16);
    if (PAD_BYTES - pad->used < size)
        return NULL;
    pad->used += size;
    return pad->bytes + pad->used - size;
}

static struct pad pad = { .scratch = { pad_take } };

// --- streams ---

// Text as models send it: a word or a few, with something to escape now and then.
static size_t put_text(char *at, unsigned number, size_t want)
{
    static const char *const words[] = { " the", " gateway", " of", " streams", " and", " costs" };
    size_t len = 0;
    for (unsigned i = 0; len < want; i++)
        len += (size_t)sprintf(at + len, "%s", words[(number + i) % ARRAY_LEN(words)]);
    if (number % 8 == 7)
        len += (size_t)sprintf(at + len, "\\n");
    return len;
}

static struct span events_make(const struct sample *sample, size_t bytes, unsigned count)
{
    char *text = malloc((size_t)count * EVENT_MAX), *at = text;
    size_t frame = strlen(sample->before) + strlen(sample->behind);
    if (sample->middle != NULL)
        frame += strlen(sample->middle) + 4;
    if (text == NULL || bytes > EVENT_MAX / 2)
        fail("too large");
    for (unsigned i = 0; i < count; i++) {
        at = stpcpy(at, sample->before);
        if (sample->middle != NULL)
            at += sprintf(at, "%u%s", i + 3, sample->middle);
        at += put_text(at, i, bytes > frame ? bytes - frame : 1);
        at = stpcpy(at, sample->behind);
    }
    return span_of(text, (size_t)(at - text));
}

struct run {
    struct wire_stream stream;
    struct decode decode;
    struct encode encode;
    struct sink out;
    char room[OUT_MAX];
    uint64_t written;
    bool pass;
};

static bool run_again(struct sink *sink)
{
    struct run *run = container_of(sink, struct run, out);
    run->written += (uint64_t)(sink->at - run->room);
    sink->at = run->room;
    return true;
}

static void read_event(struct run *run, struct span block, const struct wire_event *event)
{
    struct sse_event sse;
    if (!sse_parse(block, false, NULL, 0, &sse) || !decode_feed(&run->decode, &sse, event))
        fail("an event that is not read");
}

// What the relay does with each event, without what carries the bytes.
__attribute__((noipa)) void measured(struct run *run, struct span text);
void measured(struct run *run, struct span text)
{
    struct sse_scan scan = { 0 };
    while (text.len > 0) {
        size_t used = 0;
        struct wire_event event uninitialized;
        if (wire_stream_scan(&run->stream, &scan, text, &used) != PARSE_DATA)
            fail("an event without an end");
        struct span block = span_upto(text, used);
        text = span_from(text, used);
        wire_stream_event(&run->stream, block, &event);
        if (!run->pass && !decode_known(&run->decode, &event))
            read_event(run, block, &event);
    }
}

static void bench_stream(unsigned from, unsigned to, size_t bytes, unsigned count)
{
    static struct run run;
    struct answer_facts facts = { .model = SPAN("model"), .scratch = &pad.scratch };
    wire_stream_init(&run.stream, wire_get(samples[from].wire), false);
    run.pass = from == to;
    run.out = (struct sink){ .at = run.room, .end = run.room + OUT_MAX, .more = run_again };
    decode_init(&run.decode, converter_of(samples[from].family), &run.stream, &chunks, encode_put,
                &run.encode);
    encode_init(&run.encode, converter_of(samples[to].family), &facts, &run.out, &chunks, 64 * MIB);
    measured(&run, span_str(samples[from].begin));
    measured(&run, events_make(&samples[from], bytes, WARM_EVENTS));
    struct span text = events_make(&samples[from], bytes, count);
    const unsigned taken = chunks_taken;
    const struct mallinfo2 before = mallinfo2();
    run.written = 0;
    run.out.at = run.room;
    uint64_t start_ns = env_mono_ns(env_system());
    measured(&run, text);
    uint64_t ns = env_mono_ns(env_system()) - start_ns;
    const struct mallinfo2 after = mallinfo2();
    if (run.encode.failed || run.decode.failed || run.stream.bad_events > 0)
        fail("the stream did not convert");
    run.written += (uint64_t)(run.out.at - run.room);
    printf("{\"events\":%u,\"bytes\":%.1f,\"written\":%.1f,\"ns\":%.1f,\"chunks\":%u,"
           "\"heap\":%lld}\n",
           count, (double)text.len / count, (double)run.written / count, (double)ns / count,
           chunks_taken - taken, (long long)after.uordblks - (long long)before.uordblks);
}

// --- requests ---

// A Chat request as an agent sends it late in its work: tools, and a long talk with results.
static size_t chat_make(char *at, bool escapes)
{
    static const char plain[] =
        "The function reads the whole of the file into memory and then walks it. ";
    static const char quoted[] =
        "\\tif (name == \\\"config\\\") {\\n\\t\\treturn \\\"C:\\\\\\\\dir\\\";\\n\\t}\\n";
    const char *piece = escapes ? quoted : plain;
    char *start = at;
    at +=
        sprintf(at, "{\"model\":\"m\",\"stream\":true,\"max_completion_tokens\":4096,\"tools\":[");
    for (int i = 0; i < 12; i++)
        at += sprintf(
            at,
            "%s{\"type\":\"function\",\"function\":{\"name\":\"tool_%d\",\"description\":"
            "\"Does what its name says.\",\"parameters\":{\"type\":\"object\",\"properties\":"
            "{\"path\":{\"type\":\"string\"},\"count\":{\"type\":\"integer\"}},"
            "\"required\":[\"path\"]}}}",
            i > 0 ? "," : "", i);
    at += sprintf(at, "],\"messages\":[{\"role\":\"system\",\"content\":\"You write code.\"},"
                      "{\"role\":\"user\",\"content\":\"Begin.\"}");
    for (unsigned i = 0; (size_t)(at - start) < BODY_BYTES; i++) {
        at += sprintf(
            at,
            ",{\"role\":\"assistant\",\"content\":\"Reading.\",\"tool_calls\":[{\"id\":"
            "\"call_%u\",\"type\":\"function\",\"function\":{\"name\":\"tool_1\",\"arguments\":"
            "\"{\\\"path\\\":\\\"src/file_%u.c\\\"}\"}}]},"
            "{\"role\":\"tool\",\"tool_call_id\":\"call_%u\",\"content\":\"",
            i, i, i);
        for (size_t len = 0; len < MESSAGE_BYTES; len += strlen(piece))
            at = stpcpy(at, piece);
        at = stpcpy(at, "\"}");
    }
    at = stpcpy(at, "]}");
    return (size_t)(at - start);
}

struct request {
    const struct converter *from, *to;
    struct span body;
    char *room;
    size_t len; // of what came out
};

static void convert_once(struct request *request)
{
    static struct prompt prompt;
    static struct losses losses;
    static const uint8_t key[ENVELOPE_KEY_BYTES];
    struct json_slice root;
    struct prompt_parse parse;
    pad.used = 0;
    losses_init(&losses, false);
    if (!json_check(request->body, &root))
        fail("the request is not JSON");
    prompt_begin(&parse, &prompt, request->from->family, request->body, &pad.scratch, &losses);
    parse.key = key;
    if (!request->from->parse(&parse, root))
        fail(parse.why != NULL ? parse.why : "the request is not read");
    const struct caps caps = { .official = true, .native_schema = true, .custom_tools = true };
    struct render render = { .prompt = &prompt, .caps = &caps, .losses = &losses, .key = key };
    render.model = SPAN("model");
    render.scratch = &pad.scratch;
    struct sink sink = sink_into(request->room, BODY_MAX);
    if (!request->to->render(&render, &sink))
        fail("the request is not written");
    request->len = (size_t)(sink.at - request->room);
}

static void bench_request(unsigned from, unsigned to, bool escapes)
{
    static char body[2][BODY_MAX];
    const struct converter *chat = converter_of(FAMILY_OPENAI);
    struct request request = { chat, converter_of(samples[from].family), SPAN_NONE, body[1], 0 };
    request.body = span_of(body[0], chat_make(body[0], escapes));
    if (request.from != request.to) { // the client's body is itself made by the converter
        convert_once(&request);
        request.body = span_of(body[1], request.len);
        request.room = body[0];
    }
    request.from = request.to;
    request.to = converter_of(samples[to].family);
    if (request.room == request.body.ptr)
        request.room = body[1];
    convert_once(&request);
    uint64_t best_ns = UINT64_MAX, start_ns = env_mono_ns(env_system()), now_ns = start_ns;
    unsigned rounds = 0;
    while (now_ns - start_ns < REQUEST_NS) {
        uint64_t begun_ns = now_ns;
        convert_once(&request);
        now_ns = env_mono_ns(env_system());
        best_ns = min_u64(best_ns, now_ns - begun_ns);
        rounds++;
    }
    printf("{\"bytes\":%zu,\"written\":%zu,\"ns\":%llu,\"mean_ns\":%llu}\n", request.body.len,
           request.len, (unsigned long long)best_ns,
           (unsigned long long)((now_ns - start_ns) / rounds));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "formats") == 0) {
        for (unsigned i = 0; i < FORMAT_COUNT; i++)
            if (converter_of(samples[i].family) != NULL)
                printf("%s\n", format_names[i]);
        return 0;
    }
    if (argc < 5)
        fail("stream FROM TO BYTES [--once | --few] | request FROM TO long|escapes | formats");
    const char *less = argc > 5 ? argv[5] : "";
    const unsigned events = strcmp(less, "--once") == 0  ? EVENTS_FEW + EVENTS_ONCE
                            : strcmp(less, "--few") == 0 ? EVENTS_FEW
                                                         : EVENTS;
    unsigned from = format_named(argv[2]), to = format_named(argv[3]);
    if (strcmp(what, "stream") == 0)
        bench_stream(from, to, (size_t)atol(argv[4]), events);
    else if (strcmp(what, "request") == 0)
        bench_request(from, to, strcmp(argv[4], "escapes") == 0);
    else
        fail("stream or request");
    return 0;
}
