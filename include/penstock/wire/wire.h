// wire.h - reads answers in pass mode: what they cost, how far they are, whether they failed.
//
// Nothing here changes an answer. A relay hands over each event of a stream, or the pieces of a
// whole answer, and learns what to do with them: hold them back, pass them on, hide one, put the
// client's own name for the model into one. Most events of a stream are known by their likeness to
// the one before (codec/skeleton.h) and cost about a hundred instructions.
//
//     struct wire_stream stream;                     one an attempt
//     wire_stream_init(&stream, wire_of(op), hide);
//     per event:   wire_stream_event(&stream, block, &event);
//     at the end:  wire_stream_end(&stream), usage_normal(&stream.told, stream.wire->rule)
#ifndef PENSTOCK_WIRE_WIRE_H
#define PENSTOCK_WIRE_WIRE_H

#include "penstock/codec/json_tap.h"
#include "penstock/codec/skeleton.h"
#include "penstock/codec/sse.h"
#include "penstock/wire/fault.h"
#include "penstock/wire/route.h"
#include "penstock/wire/usage.h"

enum wire_id {
#define WIRE(id, name) WIRE_##id,
#include "penstock/wire/wires.def"
#undef WIRE
    WIRE_COUNT
};

struct wire_stream;
struct wire_event;
struct wire_forms;

// How an answer ended.
enum wire_end {
    WIRE_END_COMPLETE,
    WIRE_END_IRREGULAR, // complete in substance, without the last formality: worth a log line
    WIRE_END_TRUNCATED, // it broke off
    WIRE_END_ERROR,     // the vendor reported an error inside it
};

struct wire {
    const char *name;
    enum wire_id id;
    enum wire_family family;
    enum usage_rule rule;
    // Reads one event that has data. NULL: this format never streams.
    void (*event)(struct wire_stream *stream, const struct sse_event *sse,
                  struct wire_event *event);
    // Takes what a tap found in a whole answer, an element of an array, or a long event.
    void (*tapped)(struct wire_stream *stream, const struct json_tap *tap);
    enum wire_end (*end)(const struct wire_stream *stream);
    const struct json_tap_path *paths; // for such a tap
    uint8_t path_count;
    uint8_t model_paths; // the first of them are the places of the model's name
};

const struct wire *wire_get(enum wire_id id);
// The format of an operation's answer; NULL if it is none of those above.
const struct wire *wire_of(enum wire_op op);

// -------------------------------------------------------------------------------- event streams

enum { WIRE_HOLES_MAX = 8 };

// What an event is.
enum wire_event_flag {
    WIRE_CONTENT = BIT(0),  // the client waits for this: the commit point, at the latest
    WIRE_TERMINAL = BIT(1), // with it the format's proper end has come
    WIRE_ERROR = BIT(2),    // the vendor reports an error
    WIRE_HIDE = BIT(3),     // it is there only because the gateway asked for usage
    WIRE_USAGE = BIT(4),    // it told counts
    WIRE_KNOWN = BIT(5),    // it was recognised without being parsed
};

struct wire_event {
    uint32_t flags;    // enum wire_event_flag; 0: nothing that a client would miss
    struct span model; // the model's name in the block, with its quotes; empty if not there
    bool learnt;       // the next ones will be known by their likeness to this one
    // Private: what may differ in the next event like this one.
    bool plain;
    uint8_t hole_count;
    struct hole holes[WIRE_HOLES_MAX];
    uint64_t number; // in the hole that is a counter
};

enum {
    WIRE_ID_MAX = 96,
    WIRE_CHOICES_MAX = 128,
    WIRE_SKELETON_BYTES = 512 + 2 * SKELETON_PADDING,
};

struct wire_stream {
    const struct wire *wire;
    bool hide_usage; // the client did not ask for the event that carries only usage
    bool whole;      // the answer is one JSON text, or an array of them
    bool content;    // something with content was seen
    bool done;       // the marker that ends a stream was seen
    bool finished;   // the format's terminal signal, whatever the choices say
    bool failed;     // an error was seen, `fault` and `retry_ms` tell
    uint8_t fault;   // enum fault
    uint8_t id_len;
    bool scans;           // the skeleton is a whole block,
    bool crlf;            // behind which sse_scan.crlf is this
    uint8_t learns;       // times in a row that a skeleton was learnt and not used
    bool one_text;        // of the skeleton's holes one is a text,
    uint8_t text_hole;    // which is this; or the first of them, and the others are among
    uint8_t other_holes;  // these, a bit each, with the numbers that tell something
    uint8_t model_hole;   // where the model's name stands: behind so many holes,
    uint16_t model_at;    // so many bytes behind the last of them, or in the block;
    uint16_t model_len;   // 0 if nowhere
    uint32_t bad_events;  // with data that is not understood
    uint64_t retry_ms;    // told with the error, 0 if not
    uint64_t event_count; // that had data
    uint64_t text_bytes;  // of the texts of all choices, as they were escaped: for an estimate
    uint64_t sequence;    // the highest sequence number told, plus one
    uint64_t counted;     // the skeleton's counter in the last event like it
    uint64_t started[WIRE_CHOICES_MAX / 64], ended[WIRE_CHOICES_MAX / 64]; // a bit a choice
    const struct secrets *secrets; // for the texts of errors; the caller keeps it, may be NULL
    struct fault_note *note;       // where an error's details go; the caller's, may be NULL
    struct wire_forms *forms;      // of whole answers (form.h); the caller's, may be NULL
    struct span scanned;           // the newest block if it was found by its likeness
    struct usage_told told;
    struct skeleton skeleton;
    struct filling holes[WIRE_HOLES_MAX]; // of `scanned`
    struct skeleton_part skeleton_parts[WIRE_HOLES_MAX + 1];
    char skeleton_bytes[WIRE_SKELETON_BYTES];
    char id[WIRE_ID_MAX]; // of the response, as the vendor gave it
};

// `hide_usage`: the gateway itself asked for usage in the stream. `secrets`, `note` and `forms` are
// the caller's to set afterwards.
void wire_stream_init(struct wire_stream *stream, const struct wire *wire, bool hide_usage);

// The same as sse_scan_feed(). A block that is like the last one is found without a look at its
// lines; wire_stream_event(), which comes next, then knows it.
must_use enum parse wire_stream_scan(struct wire_stream *stream, struct sse_scan *scan,
                                     struct span in, size_t *used);

// Reads one block of the stream (codec/sse.h). `block` is only looked at. Several data lines that
// are together longer than WIRE_JOIN_MAX make an event that is not understood.
enum { WIRE_JOIN_MAX = 8 * KIB };
void wire_stream_event(struct wire_stream *stream, struct span block, struct wire_event *event);

// The verdict once the body has ended. A cut of the connection after a complete answer is no fault.
enum wire_end wire_stream_end(const struct wire_stream *stream);

// ----------------------------------------------------- whole answers, and events too long to hold

enum {
    WIRE_VALUES_MAX = 8 * KIB, // memory for the values of one answer
};

// An answer that passes through in pieces: a whole JSON body, a JSON array of answers, or one event
// of a stream that is larger than what a relay holds. `memory` keeps the values and must outlive
// it.
struct wire_pass {
    struct wire_stream *stream;
    struct json_tap tap; // once the first piece has not been known
    char *memory;        // for its values
    uint8_t told;        // its paths before this one are told of
    bool sse;            // the pieces are a block of an event stream
    bool bad;            // no JSON: nothing more is learnt
    bool ended;          // the JSON text is complete: what follows is not looked at
    bool in_model;       // a model's name is passing
    bool model_new;      // its first byte is yet to come
    uint8_t state;       // where in a line of the block
    uint8_t field_len;
    char field[4];     // how the line begins
    uint64_t elements; // of a root array that have passed
    bool likens;       // a whole answer that may be known by its form
    bool begun;        // the first piece was seen
    bool known;        // and is a whole answer, known by its form
    bool strict;       // or only if it is sure to be JSON
    bool taken;        // what was tapped is in the stream
    struct span first; // that piece; its bytes are looked at only while it passes
    struct span name;  // of the model, in a piece that is a known answer and whose name has not
                       // passed yet
};

// A piece of the answer, and what it is part of.
enum wire_cut {
    WIRE_CUT_KEEP,  // pass it on
    WIRE_CUT_MODEL, // the model's name begins here: the place for another, instead of these bytes
    WIRE_CUT_REST,  // more of that name
};

void wire_pass_init(struct wire_pass *pass, struct wire_stream *stream, bool sse,
                    char memory[WIRE_VALUES_MAX]);
// The model's name keeps its place: every piece comes out as WIRE_CUT_KEEP, which costs less.
void wire_pass_keep_model(struct wire_pass *pass);
// For an answer that comes as one piece, before that: true if it is known by its form and sure to
// be a JSON object, so that nobody needs to look.
must_use bool wire_pass_begin_whole(struct wire_pass *pass, struct span text);
// Moves the next piece from the front of `in` to *out. False once `in` is used up. Whoever keeps
// the vendor's name for the model passes every piece on.
bool wire_pass_next(struct wire_pass *pass, struct span *in, struct span *out, enum wire_cut *cut);
// True if what has passed is the beginning of JSON text and not all of it.
bool wire_pass_is_torn(const struct wire_pass *pass);
// The body, or the event, has ended: what was learnt is in the stream now.
void wire_pass_end(struct wire_pass *pass);

// ------------------------------------------------------------------ for the files of src/wire

// Notes that choice `index` has begun, or has ended.
void wire_choice_start(struct wire_stream *stream, uint64_t index);
void wire_choice_end(struct wire_stream *stream, uint64_t index);
// True if at least one choice has begun and all that have begun have ended.
bool wire_choices_ended(const struct wire_stream *stream);
// An error object was seen; the first one counts.
void wire_stream_fail(struct wire_stream *stream, struct json_slice error);
void wire_stream_id(struct wire_stream *stream, struct json_slice id);
// True for "[DONE]", which some servers send where it does not belong.
bool wire_is_done(struct span data);
// A text, list or object with something in it.
bool wire_has_content(struct json_slice value);

// What the parts of an event that differ from the last one stand for: the tags of holes.
enum wire_hole {
    HOLE_PADDING,  // nothing
    HOLE_TEXT,     // text of the answer
    HOLE_SEQUENCE, // the event's number
    HOLE_MODEL,    // the model's name, of a whole answer
    HOLE_ID,       // its id
    HOLE_COUNT,    // plus an enum told_field: a count
};
// Takes what stood in a hole of digits.
static inline void wire_stream_number(struct wire_stream *stream, uint8_t tag, uint64_t number)
{
    if (tag >= HOLE_COUNT)
        told_raise(&stream->told, (enum told_field)(tag - HOLE_COUNT), number);
    else if (tag == HOLE_SEQUENCE)
        stream->sequence = max_u64(stream->sequence, min_u64(number, TOLD_VALUE_MAX) + 1);
}
// Adds a hole, unless there are too many: then the event cannot be learnt.
void wire_event_hole(struct wire_event *event, struct span text, enum hole_kind kind, uint8_t tag);
// The same for a string's contents, which are also counted if they are text.
void wire_event_text(struct wire_stream *stream, struct wire_event *event, struct json_slice text);

#define WIRE(id, name) extern const struct wire wire_##name;
#include "penstock/wire/wires.def"
#undef WIRE

#endif
