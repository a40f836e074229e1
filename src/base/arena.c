#include "penstock/base/arena.h"

#include "penstock/base/check.h"

enum { CHUNK_ROOM = ARENA_CHUNK - (int)sizeof(struct arena_chunk), ALIGN = ARENA_ALIGN };

void arena_reset(struct arena *arena)
{
    while (arena->chunks != NULL) {
        struct arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        arena->source->give(arena->source->ctx, chunk, chunk->keeper);
    }
    arena->used = arena->room = 0;
    arena->count = 0;
    arena->starved = false;
}

// A new chunk, with room for `least` bytes.
static bool grow(struct arena *arena, size_t least)
{
    const struct arena_source *source = arena->source;
    void *keeper = NULL;
    struct arena_chunk *chunk = NULL;
    const bool large = least > CHUNK_ROOM;
    const size_t bytes = large ? sizeof(*chunk) + round_up(least, ALIGN) : ARENA_CHUNK;
    if (large && (source->take_large == NULL || bytes > ARENA_LARGE_MAX))
        return false;
    if (arena->count < ARENA_CHUNKS_MAX)
        chunk = large ? source->take_large(source->ctx, bytes, &keeper)
                      : source->take(source->ctx, &keeper);
    arena->starved = arena->starved || chunk == NULL;
    if (chunk == NULL)
        return false;
    chunk->keeper = keeper;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->used = 0;
    arena->room = (uint32_t)(bytes - sizeof(*chunk));
    arena->count++;
    return true;
}

void *arena_take_more(struct arena *arena, size_t len)
{
    assert(arena->source != NULL);
    return grow(arena, len) ? arena_take(arena, len) : NULL;
}

void *arena_rest(struct arena *arena, size_t least, size_t *len)
{
    if ((arena->chunks == NULL || arena->used + least > arena->room) && !grow(arena, least))
        return NULL;
    *len = (arena->room - arena->used) / ALIGN * ALIGN;
    return arena_take(arena, *len);
}

struct span arena_copy(struct arena *arena, struct span text)
{
    if (text.len == 0)
        return SPAN_NONE;
    char *copy = arena_take(arena, text.len);
    if (copy == NULL)
        return SPAN_NONE;
    memcpy(copy, text.ptr, text.len);
    return span_of(copy, text.len);
}

void arena_trim(struct arena *arena, size_t len, size_t keep)
{
    size_t spare = round_up(len, ALIGN) - round_up(keep, ALIGN);
    assert(keep <= len);
    assert(arena->chunks != NULL && arena->used >= spare);
    arena->used -= (uint32_t)spare;
}
