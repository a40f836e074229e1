// delta.h - what an answer is made of, whoever wrote it: a closed vocabulary between the formats.
//
// A decoder turns a vendor's answer into deltas, an encoder writes deltas as a client's answer. N
// decoders and N encoders, never pairs. All text is a view that lives until the call returns.
//
// The order of one choice: any mixture of runs (text, refusal, thought, calls), then one FINISH.
// Runs of one kind end when another kind begins; a thought's end is said by THINK_END, which may
// bring its signature. Calls are numbered from 0 by first sight and may be interleaved: ARGS of
// call 1 may come before CALL_END of call 0. What is told once for the whole answer (id, model,
// usage) is not a delta: encoders find it in struct answer_facts.
#ifndef PENSTOCK_CONVERT_DELTA_H
#define PENSTOCK_CONVERT_DELTA_H

#include "penstock/convert/scratch.h"
#include "penstock/convert/words.h"
#include "penstock/wire/usage.h"

enum delta_kind {
    DELTA_TEXT,      // text: more of the answer's text
    DELTA_TEXT_END,  // the run of text is over, also if more text follows (another item or block)
    DELTA_REFUSAL,   // text: the model's own words of refusal
    DELTA_THINK,     // text: more of a thought
    DELTA_THINK_END, // signature, or none: the thought is complete. Without a thought open: a
                     // thought that is only its signature
    DELTA_REDACTED,  // signature: a thought that only its vendor can read
    DELTA_CALL,      // call, id, name, form: a call begins. With a signature, a thought that is
                     // still open ends without a THINK_END and may be where the signature goes
    DELTA_ARGS,      // call, text: more of its arguments, JSON text (form CUSTOM: free text)
    DELTA_CALL_END,  // call: its arguments are complete
    DELTA_CITE,      // raw, text (cited), and where: see struct cite
    DELTA_MEDIA,     // type, text (base64): an image or sound that the model made
    DELTA_LOGPROBS,  // raw: token entries in the form of Chat's `logprobs.content`
    DELTA_HOSTED,    // raw: an item of the vendor's own tools, for the same format only
    DELTA_FINISH,    // finish, text (the stop sequence that was hit; the vendor's words on what it
                     // filtered): the choice has ended
    DELTA_KIND_COUNT
};

// How a choice ended (conversion rules 3.9).
enum finish {
    FINISH_STOP,
    FINISH_STOP_TEXT, // one of the client's stop sequences was met
    FINISH_CALLS,
    FINISH_LENGTH,
    FINISH_CONTEXT,  // the model's window is full
    FINISH_FILTERED, // by the vendor
    FINISH_REFUSAL,  // by the model itself
    FINISH_PAUSE,
};

enum call_form { CALL_FUNCTION, CALL_CUSTOM };

// What a signature signs, where a format says it.
enum signs { SIGNS_THOUGHT, SIGNS_TEXT, SIGNS_CALL };

// Whose signature it is: it goes back to no other vendor (C-064).
enum maker { MAKER_NONE, MAKER_CHAT, MAKER_RESPONSES, MAKER_ANTHROPIC, MAKER_GEMINI };

struct signature {
    struct words text;    // as its vendor wrote it; empty: none
    struct words id;      // of the item that it came with, where that is needed to give it back
    struct words thought; // the signed text, of an envelope that had to bring it along
    uint8_t maker;        // enum maker
    uint8_t signs;        // enum signs
};

// A span of the run of text that is open, in code points, and what it refers to.
struct cite {
    uint64_t from, to;
    bool placed; // from and to are known; otherwise it is about the whole run
    struct words url, title;
};

struct delta {
    uint8_t kind;   // enum delta_kind
    uint8_t finish; // enum finish
    uint8_t form;   // enum call_form
    uint16_t choice;
    uint16_t call;
    struct words text;
    struct words id, name;
    struct words type;
    struct signature signature;
    struct cite cite;
    struct json_slice raw;
};

// Where deltas go.
typedef void delta_sink(void *ctx, const struct delta *delta);

enum { REPEATED_MAX = 17 };

// What an encoder needs beside the deltas.
struct answer_facts {
    struct span id;           // the vendor's, as it wrote it
    struct span model;        // as the client knows it; plain
    uint64_t now_s;           // when the answer began: seconds since 1970
    uint64_t random;          // where made-up ids come from; the same through one answer
    struct usage usage;       // normalised; its numbers are known only at the end
    uint64_t estimated_input; // tokens, for formats that tell them at the start
    bool usage_wanted;        // the client asked for usage in a stream
    bool thoughts_wanted;     // the client asked to see them
    bool envelopes_wanted;    // the client asked for what lets it give thoughts back (Responses)
    bool cites_expected;      // a search is on: text is counted and kept for citations (C-148)
    bool json_array;          // Gemini: a stream is one JSON array, not events
    struct scratch *scratch;  // for what has to be looked at in one piece
    const uint8_t *key;       // of envelopes, ENVELOPE_KEY_BYTES
    uint64_t account;         // who answers: envelopes name it. 0: nobody in particular
    struct span request;      // the client's body: Responses repeats parts of it
    // These parts, REPEATED_MAX of them, where they were looked for before; NULL: they were not.
    const struct json_slice *repeated;
};

#endif
