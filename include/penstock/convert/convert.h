// convert.h - every format to every format: the table of the formats and how each is read and
// written.
//
// A format is six functions: requests are parsed and rendered, streams are decoded and encoded, and
// so are whole answers. Nothing here knows two formats at once. Conversion makes no system call,
// reads no clock and takes no memory but what it is given.
//
//     request:  prompt_begin(), converter->parse ... converter->render into a sink
//     answer:   decode -> deltas -> encode, event by event; or whole -> completion -> whole
#ifndef PENSTOCK_CONVERT_CONVERT_H
#define PENSTOCK_CONVERT_CONVERT_H

#include "penstock/base/arena.h"
#include "penstock/codec/sse.h"
#include "penstock/convert/caps.h"
#include "penstock/convert/completion.h"
#include "penstock/convert/delta.h"
#include "penstock/convert/ids.h"
#include "penstock/convert/prompt.h"
#include "penstock/convert/sink.h"
#include "penstock/wire/wire.h"

// ----------------------------------------------------------------------------------- requests

// Reads a validated body. `model` is the one in the path, where the format has it there.
// False: parse->err, ->path and ->why tell.
typedef bool prompt_parser(struct prompt_parse *parse, struct json_slice root);

struct render {
    const struct prompt *prompt;
    const struct caps *caps;
    struct span model; // the vendor's name for it; plain
    struct losses *losses;
    struct scratch *scratch; // for the few texts that have to be made
    const uint8_t *key;      // of envelopes, ENVELOPE_KEY_BYTES
};

// Writes the whole body for the vendor. The same prompt always gives the same bytes, and a prompt
// that only grew gives bytes that begin alike (C-135, C-137). False: refused, see losses, or the
// sink failed.
typedef bool prompt_renderer(struct render *render, struct sink *out);

// ------------------------------------------------------------------------------------ streams

enum {
    DECODE_CALLS_MAX = 128, // of one answer; more fail it
    DECODE_STATE = 4 * KIB, // bytes of a decoder's own state, and of an encoder's
    DECODE_TORN_MAX = 4,    // texts that wait for the second half of a character
    ENCODE_STATE = 4 * KIB,
};

// Reads a vendor's stream. Each event goes through wire_stream_event() before, which counts usage,
// finds errors and knows how a stream has to end: a decoder looks only at the content.
struct decode {
    const struct converter *converter;
    const struct wire_stream *wire;
    delta_sink *emit;
    void *ctx;
    // Ids and names of calls that have to be known later. keep.scratch is the caller's to set: room
    // for long signatures, and for events that have to be put right. NULL: they fail.
    struct keep keep;
    bool failed; // memory or a bound: nothing more is emitted
    bool broken; // the vendor said that it failed, in words that are no error object
    // The event that the wire's skeleton was learnt from made exactly one delta, with the text of
    // its only text hole: an event like it makes `model` with its own text.
    bool repeats;
    struct delta model;
    uint32_t emitted; // deltas of the event being read, and the newest of them
    struct delta last;
    // Of the arguments that deltas told last, where their vendor tells them once more at the end;
    // NULL: none does.
    struct words_sum *args;
    uint32_t unknown; // events, blocks and parts of kinds that are not known: passed over
    // The newest event that had bytes which are not UTF-8: they became U+FFFD (C-076).
    char *repaired;
    size_t repaired_max;
    // Ends of text that are the escape of half a character, whose other half is yet to come
    // (C-077).
    uint32_t torn_count;
    struct decode_torn {
        uint8_t kind; // enum delta_kind
        uint16_t choice, call;
        char high[6];
    } torn[DECODE_TORN_MAX];
    _Alignas(16) char state[DECODE_STATE];
};

// Writes a client's stream.
struct encode {
    const struct converter *converter;
    struct answer_facts facts;
    struct sink *out;
    struct keep keep;                // what has to be repeated at the end
    bool started;                    // the beginning of the answer was written
    bool ended;                      // so was the end, or its beginning
    bool failed;                     // memory or a bound
    uint64_t sequence;               // of the next event, where the format numbers them
    uint32_t lost[DELTA_KIND_COUNT]; // deltas that the client's format cannot say
    _Alignas(16) char state[ENCODE_STATE];
};

struct converter {
    enum wire_family family;
    // Its answers say parts of the request again: finds those in a body, for facts.repeated. NULL:
    // they say none.
    void (*find_repeated)(struct span request, struct json_slice repeated[REPEATED_MAX]);
    bool shows_thoughts; // its clients see thoughts unless they ask not to
    prompt_parser *parse;
    prompt_renderer *render;
    // One event that has JSON in it, validated. Not called for what is known by its likeness.
    void (*decode_event)(struct decode *decode, struct json_slice data);
    // The stream ended well: emits what was held back (ends of calls, finishes).
    void (*decode_end)(struct decode *decode);
    // Before the first delta, with the facts that are known by then.
    void (*encode_start)(struct encode *encode);
    void (*encode_delta)(struct encode *encode, const struct delta *delta);
    // After the last; facts.usage is final.
    void (*encode_end)(struct encode *encode);
    // Where that is only the beginning of the end: goes on with it, and is called again while it
    // returns true. NULL: it was all.
    bool (*encode_more)(struct encode *encode);
    void (*encode_fini)(struct encode *encode); // NULL: there is nothing to give back
    // Whole answers. False: this is no answer of the format.
    bool (*read_whole)(struct completion *completion, struct json_slice root);
    void (*write_whole)(const struct completion *completion, const struct answer_facts *facts,
                        struct sink *out);
};

const struct converter *converter_of(enum wire_family family);
// OpenAI's old Completions, for clients alone: it has no renderer and no decoder.
extern const struct converter converter_legacy;

// `wire` reads the same stream, `chunks` is where memory comes from; both must outlive the decoder,
// and decode_fini() gives the memory back.
void decode_init(struct decode *decode, const struct converter *converter,
                 const struct wire_stream *wire, const struct arena_source *chunks,
                 delta_sink *emit, void *ctx);
void decode_fini(struct decode *decode);
// After wire_stream_event() has read a block and told `event` of it. True: it was like the last one
// and its delta is made, without a look at its lines.
must_use bool decode_known(struct decode *decode, const struct wire_event *event);
// The others. False: the event's data is not JSON, which is the vendor's failure.
must_use bool decode_feed(struct decode *decode, const struct sse_event *sse,
                          const struct wire_event *event);
void decode_end(struct decode *decode);
// For decoders: hands a delta on.
void decode_emit(struct decode *decode, const struct delta *delta);

// At most `kept_max` bytes are kept for repeating at the end.
void encode_init(struct encode *encode, const struct converter *converter,
                 const struct answer_facts *facts, struct sink *out,
                 const struct arena_source *chunks, uint64_t kept_max);
void encode_fini(struct encode *encode);
void encode_put(void *encode, const struct delta *delta); // a delta_sink
// Ends the stream as an answer that is complete. What ends one that is not is wire_error_event().
void encode_end(struct encode *encode, const struct usage *usage);
// The same in steps, for who sends in between: the first, and those after it while there are more.
must_use bool encode_end_begin(struct encode *encode, const struct usage *usage);
must_use bool encode_end_more(struct encode *encode);

#define CONVERTER(family, name) extern const struct converter converter_##name;
#include "penstock/convert/converters.def"
#undef CONVERTER

#endif
