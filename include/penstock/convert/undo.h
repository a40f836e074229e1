// undo.h - an answer in the client's words: what a request had to say in others is undone, between
// the decoder and the encoder.
//
//     struct aliases aliases;   aliases_init(...) beside the rendering
//     if (!aliases.plain)     undo_init(&undo, &aliases, ..., encode_put, &encode)
//                           decode_init(..., undo_put, &undo)
//
// Calls get the client's names, their arguments are unwrapped, and what a tool said that stands for
// the answer is the answer's text (C-118): then what the model wrote beside it is dropped, but is
// the answer if no such call comes. Thoughts between tags are told as thoughts (C-074).
#ifndef PENSTOCK_CONVERT_UNDO_H
#define PENSTOCK_CONVERT_UNDO_H

#include "penstock/convert/aliases.h"
#include "penstock/convert/completion.h"

// Takes the value of "value" out of the text of an object, in pieces.
struct peel {
    uint8_t state;  // enum peel_state
    uint8_t escape; // inside a string: behind a backslash
    bool quoted;    // inside a string
    bool wanted;    // the member that passes is the value
    uint8_t key_len;
    uint32_t depth; // inside the member
    char key[8];
};

struct undo {
    const struct aliases *aliases;
    delta_sink *emit;
    void *ctx;
    struct keep keep;
    struct undo_tags *tags;  // a choice each, where thoughts stand in the text
    struct undo_call *calls; // those that are not as they come, newest first
    struct rope held;        // text that may not be the answer
    struct delta text;       // of it, the first delta
    bool answered;           // the tool that stands for the answer was called
    bool shown;              // another call was
};

void undo_init(struct undo *undo, const struct aliases *aliases, const struct arena_source *chunks,
               uint64_t kept_max, delta_sink *emit, void *ctx);
void undo_fini(struct undo *undo);
void undo_put(void *undo, const struct delta *delta); // a delta_sink
// True if memory was short: what was emitted is not all.
static inline bool undo_failed(const struct undo *undo)
{
    return undo->keep.failed;
}

// A whole answer, into another that is to be written.
void undo_whole(const struct aliases *aliases, const struct completion *from,
                struct completion *to);

#endif
