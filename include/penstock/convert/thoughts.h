// thoughts.h - signed thoughts that a client's format or program loses: kept beside the calls that
// came after them, and put back into the history (C-150).
//
// An answer's deltas pass by, and what was signed is told to a memory under the call's id, as the
// client reads it, and a hash of its name and arguments. When the call stands in a history without
// a thought of its own, what the memory has goes back to where it stood. Without the memory nothing
// else changes: a missing thought is dealt with as one that the client never had.
#ifndef PENSTOCK_CONVERT_THOUGHTS_H
#define PENSTOCK_CONVERT_THOUGHTS_H

#include "penstock/convert/keep.h"
#include "penstock/convert/prompt.h"

enum {
    THOUGHTS_WHAT_MAX = 512,        // bytes that name what is kept
    THOUGHTS_KEEP_MAX = 512 * KIB,  // of one answer, while its calls are not complete
    THOUGHTS_VALUE_MAX = 128 * KIB, // of one call; more is not kept
};

// Where they are kept between an answer and the next request.
struct thoughts_memory {
    // The value of this name, in scratch memory; empty: none is known.
    struct span (*find)(struct thoughts_memory *memory, struct span what, struct scratch *scratch);
    void (*keep)(struct thoughts_memory *memory, struct span what, struct span value);
    uint32_t hits, misses; // calls that something was known of, and was not; counted here
};

// Puts back what the memory has for the calls of a history; `account` is who will be asked. False:
// too little memory.
must_use bool thoughts_restore(struct prompt_parse *parse, struct thoughts_memory *memory);

// Takes signed thoughts and signatures out of a history (C-064): those of which `goes` says so, or
// all (NULL).
typedef bool thought_goes(void *ctx, const struct signature *signature);
void thoughts_forget(struct prompt *prompt, thought_goes *goes, void *ctx);

// --- the answer ---

struct thoughts {
    struct thoughts_memory *memory;
    const struct answer_facts *facts;
    enum wire_family client;
    delta_sink *emit; // gets every delta; NULL: nobody does
    void *ctx;
    struct keep keep;
    struct rope open;    // the thought that is not signed yet
    struct rope blocks;  // JSON of those since the last call
    uint32_t text_after; // of the blocks, those that text has followed
    uint32_t block_count;
    struct thoughts_call *calls; // that are not complete, newest first
};

// `facts` has to outlive it.
void thoughts_init(struct thoughts *thoughts, struct thoughts_memory *memory,
                   const struct answer_facts *facts, enum wire_family client,
                   const struct arena_source *chunks, delta_sink *emit, void *ctx);
void thoughts_fini(struct thoughts *thoughts);
void thoughts_put(void *thoughts, const struct delta *delta); // a delta_sink

// A hash of a call that does not depend on how its arguments are spelt: spaces, escapes, the order
// of an object's members. `args` is JSON text, or free text.
uint64_t thoughts_call_hash(struct words name, struct span args);

#endif
