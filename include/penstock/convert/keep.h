// keep.h - memory for what an answer has to repeat at its end: chunks from a source, bounded, given
// back all at once.
//
// Where an arena refuses what is larger than a chunk, text here is a rope of pieces. Ropes hold the
// contents of JSON strings, escaped and valid, so that they are written by being copied; no piece
// ends inside a character or an escape.
#ifndef PENSTOCK_CONVERT_KEEP_H
#define PENSTOCK_CONVERT_KEEP_H

#include "penstock/base/arena.h"
#include "penstock/convert/scratch.h"
#include "penstock/convert/sink.h"

struct keep_chunk;

struct keep {
    const struct arena_source *source;
    struct scratch *scratch;   // for a text longer than a chunk; the owner's to set, NULL: none
    struct keep_chunk *chunks; // newest first
    uint32_t used;             // of the newest
    uint64_t held, held_max;   // bytes of chunks
    bool failed;               // something did not fit; from then on nothing is kept
};

struct rope_piece {
    struct rope_piece *next;
    uint32_t len;
    char bytes[];
};

struct rope {
    struct rope_piece *first, *last;
    uint64_t len;
};

// At most `held_max` bytes are taken of `source`, which hands out ARENA_CHUNK bytes at a time.
void keep_init(struct keep *keep, const struct arena_source *source, uint64_t held_max);
void keep_fini(struct keep *keep);

// `len` zeroed bytes, aligned to 8; NULL once the bound is reached or if they are more than a
// chunk.
must_use void *keep_take(struct keep *keep, size_t len);
// A copy in one piece, escaped; none if it cannot be kept. What is longer than a chunk, as some
// signatures are, is scratch memory.
struct words keep_words(struct keep *keep, struct words words);
// True if there is a place for a copy of this, however long.
bool keep_has_place(const struct keep *keep, struct words words);

// More at the end of a rope. The rope may be of any of the keep's; growing them in turn is fine.
void rope_add(struct keep *keep, struct rope *rope, struct words more);
// All of it as the contents of a JSON string, without quotes.
void rope_put(const struct rope *rope, struct sink *sink);
// The same of a rope that stays until what was written has been used.
void rope_put_lasting(const struct rope *rope, struct sink *sink);
// All of it without a level of escaping.
void rope_put_plain(const struct rope *rope, struct sink *sink);

#endif
