#include "penstock/base/arena.h"

#include "penstock/base/check.h"

enum { CHUNK_ROOM = sizeof(((struct arena_chunk *)0)->bytes), ALIGN = ARENA_ALIGN };

void arena_reset(struct arena *arena)
{
    while (arena->chunks != NULL) {
        struct arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        arena->source->give(arena->source->ctx, chunk, chunk->keeper);
    }
    arena->used = 0;
    arena->count = 0;
    arena->starved = false;
}

static bool grow(struct arena *arena)
{
    void *keeper = NULL;
    struct arena_chunk *chunk = NULL;
    if (arena->count < ARENA_CHUNKS_MAX)
        chunk = arena->source->take(arena->source->ctx, &keeper);
    arena->starved = arena->starved || chunk == NULL;
    if (chunk == NULL)
        return false;
    chunk->keeper = keeper;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->used = 0;
    arena->count++;
    return true;
}

void *arena_take_more(struct arena *arena, size_t len)
{
    assert(arena->source != NULL);
    return len <= CHUNK_ROOM && grow(arena) ? arena_take(arena, len) : NULL;
}

void *arena_rest(struct arena *arena, size_t least, size_t *len)
{
    assert(least <= CHUNK_ROOM);
    if ((arena->chunks == NULL || arena->used + least > CHUNK_ROOM) && !grow(arena))
        return NULL;
    *len = (CHUNK_ROOM - arena->used) / ALIGN * ALIGN;
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
