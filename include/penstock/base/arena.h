// arena.h - short-lived memory of one request: taken in order, given back at once.
//
// Chunks of ARENA_CHUNK bytes come from a source, as a rule a pool of buffers. What fits none gets
// a piece of its own, where the source has such; a larger need than that is refused (NULL). Whoever
// has to tell the two refusals apart looks at `starved`. arena_reset() gives everything back. What
// is secret in an arena is wiped by whoever put it there.
#ifndef PENSTOCK_BASE_ARENA_H
#define PENSTOCK_BASE_ARENA_H

#include "penstock/base/base.h"

enum {
    ARENA_CHUNK = 4 * KIB,
    ARENA_CHUNKS_MAX = 16, // large ones included
    ARENA_LARGE_MAX = 128 * KIB,
    ARENA_ALIGN = 8,
};

// Where chunks come from: take() returns memory of ARENA_CHUNK bytes or NULL and may set *keeper,
// which give() gets back. take_large() returns memory of `len` bytes, more than ARENA_CHUNK and at
// most ARENA_LARGE_MAX; NULL where the source has none.
struct arena_source {
    void *(*take)(void *ctx, void **keeper);
    void (*give)(void *ctx, void *memory, void *keeper);
    void *ctx;
    void *(*take_large)(void *ctx, size_t len, void **keeper);
};

struct arena_chunk {
    struct arena_chunk *next;
    void *keeper;
    char bytes[];
};

struct arena {
    const struct arena_source *source;
    struct arena_chunk *chunks;
    uint32_t used, room; // of the newest chunk
    uint16_t count;
    bool starved; // something was refused because its source had nothing, or too much was taken
};

static inline void arena_init(struct arena *arena, const struct arena_source *source)
{
    *arena = (struct arena){ .source = source };
}

void arena_reset(struct arena *arena);

// `len` bytes, aligned to 8, uninitialised; NULL when they are more than can be had,
// ARENA_CHUNKS_MAX are in use, or the source has nothing.
must_use void *arena_take_more(struct arena *arena, size_t len);
must_use static inline void *arena_take(struct arena *arena, size_t len)
{
    const size_t end = arena->used + round_up(len, ARENA_ALIGN);
    if (unlikely(arena->chunks == NULL || end > arena->room))
        return arena_take_more(arena, len);
    void *at = arena->chunks->bytes + arena->used;
    arena->used = (uint32_t)end;
    return at;
}

// All that is left of the newest chunk if that is at least `least` bytes, else a whole new one: for
// texts whose length is known only when they are written. Sets *len. Trim it afterwards.
must_use void *arena_rest(struct arena *arena, size_t least, size_t *len);

// A copy of `text` that lives as long as the arena; ptr is NULL on failure (and for an empty text).
must_use struct span arena_copy(struct arena *arena, struct span text);

// Gives back the end of the newest allocation: it was `len` long and only `keep` bytes are needed.
void arena_trim(struct arena *arena, size_t len, size_t keep);

#endif
