#include "penstock/convert/keep.h"

#include "penstock/base/check.h"
#include "penstock/codec/json_writer.h"

struct keep_chunk {
    struct keep_chunk *next;
    void *keeper;
    char bytes[ARENA_CHUNK - 2 * sizeof(void *)];
};

enum {
    ROOM = sizeof(((struct keep_chunk *)0)->bytes),
    ALIGN = 8,
    PIECE_LEAST = 256,
    CHARACTER_MAX = 16
};

void keep_init(struct keep *keep, const struct arena_source *source, uint64_t held_max)
{
    *keep = (struct keep){ .source = source, .held_max = held_max };
}

void keep_fini(struct keep *keep)
{
    while (keep->chunks != NULL) {
        struct keep_chunk *chunk = keep->chunks;
        keep->chunks = chunk->next;
        keep->source->give(keep->source->ctx, chunk, chunk->keeper);
    }
    keep->held = 0;
}

static bool grow(struct keep *keep)
{
    void *keeper = NULL;
    struct keep_chunk *chunk = NULL;
    if (!keep->failed && keep->held + ARENA_CHUNK <= keep->held_max)
        chunk = keep->source->take(keep->source->ctx, &keeper);
    keep->failed = chunk == NULL;
    if (chunk == NULL)
        return false;
    chunk->keeper = keeper;
    chunk->next = keep->chunks;
    keep->chunks = chunk;
    keep->used = 0;
    keep->held += ARENA_CHUNK;
    return true;
}

void *keep_take(struct keep *keep, size_t len)
{
    len = round_up(len, ALIGN);
    if (len > ROOM || keep->failed) {
        keep->failed = true;
        return NULL;
    }
    if ((keep->chunks == NULL || keep->used + len > ROOM) && !grow(keep))
        return NULL;
    char *at = keep->chunks->bytes + keep->used;
    keep->used += (uint32_t)len;
    return memset(at, 0, len);
}

// The end of the newest chunk as a sink of its own.
static struct sink rest_of(struct keep *keep)
{
    char *at = keep->chunks->bytes + keep->used;
    return sink_into(at, ROOM - keep->used);
}

bool keep_has_place(const struct keep *keep, struct words words)
{
    return words.raw.len <= ROOM / 2 || keep->scratch != NULL;
}

static struct words keep_long(struct keep *keep, struct words words)
{
    const uint64_t len = words.escaped ? words.raw.len : words.raw.len * JSON_ESCAPE_MAX;
    char *room = NULL;
    if (keep->scratch != NULL && keep->held + len <= keep->held_max)
        room = scratch_take(keep->scratch, len);
    keep->failed = room == NULL;
    if (room == NULL)
        return WORDS_NONE;
    struct sink sink = sink_into(room, len);
    sink_string(&sink, words);
    keep->held += len;
    return (struct words){ .raw = span_of(room, (size_t)(sink.at - room)),
                           .escaped = true,
                           .whole = true };
}

struct words keep_words(struct keep *keep, struct words words)
{
    if (words.raw.len == 0 || keep->failed)
        return WORDS_NONE;
    if (words.raw.len > ROOM / 2)
        return keep_long(keep, words);
    for (int try = 0; try < 2; try++) {
        if ((keep->chunks == NULL || try > 0) && !grow(keep))
            return WORDS_NONE;
        struct sink sink = rest_of(keep);
        const char *start = sink.at;
        sink_string(&sink, words);
        if (sink.failed)
            continue; // once more in a chunk of its own
        struct span raw = span_of(start, (size_t)(sink.at - start));
        keep->used += (uint32_t)round_up(raw.len, ALIGN);
        return (struct words){ .raw = raw, .escaped = true, .whole = true };
    }
    return keep_long(keep, words);
}

// True if the piece ends where the newest chunk's free bytes begin, so that it can grow.
static bool is_newest(const struct keep *keep, const struct rope_piece *piece)
{
    return keep->chunks != NULL &&
           (const char *)piece + round_up(sizeof(*piece) + piece->len, ALIGN) ==
               keep->chunks->bytes + keep->used;
}

// How much of `bytes` fits `room` and ends between two characters.
static size_t step_of(struct span bytes, size_t room)
{
    if (bytes.len <= room)
        return bytes.len;
    size_t step = room - words_torn(span_upto(bytes, room));
    while (step > 0 && ((unsigned char)bytes.ptr[step] & 0xc0) == 0x80)
        step--;
    return step;
}

static void rope_add_bytes(struct keep *keep, struct rope *rope, struct span bytes)
{
    while (bytes.len > 0 && !keep->failed) {
        struct rope_piece *last = rope->last;
        bool full = keep->chunks == NULL || ROOM - keep->used < CHARACTER_MAX;
        if (last == NULL || full || !is_newest(keep, last)) {
            bool tight = keep->chunks == NULL || ROOM - keep->used < PIECE_LEAST;
            if (tight && !grow(keep))
                return;
            last = keep_take(keep, sizeof(*last));
            if (last == NULL)
                return;
            *(rope->last == NULL ? &rope->first : &rope->last->next) = last;
            rope->last = last;
        }
        // What the piece's rounding left free is its own too.
        size_t slack = round_up(sizeof(*last) + last->len, ALIGN) - sizeof(*last) - last->len;
        size_t step = step_of(bytes, slack + (ROOM - keep->used));
        memcpy(last->bytes + last->len, bytes.ptr, step);
        last->len += (uint32_t)step;
        if (step > slack)
            keep->used += (uint32_t)round_up(step - slack, ALIGN);
        rope->len += step;
        bytes = span_from(bytes, step);
    }
}

void rope_add(struct keep *keep, struct rope *rope, struct words more)
{
    while (more.escaped && more.raw.len > 0) {
        size_t whole = more.whole ? more.raw.len : words_lone(more.raw);
        rope_add_bytes(keep, rope, span_upto(more.raw, whole));
        if (whole < more.raw.len) {
            rope_add_bytes(keep, rope, SPAN("\xef\xbf\xbd"));
            whole += 6;
        }
        more.raw = span_from(more.raw, whole);
    }
    char room[256];
    while (more.raw.len > 0 && !keep->failed) {
        struct span part = span_upto(more.raw, min_size(more.raw.len, sizeof(room) / 6));
        // A character is escaped in one piece.
        size_t back = 0;
        while (part.len < more.raw.len && back < min_size(part.len, 4) &&
               ((unsigned char)more.raw.ptr[part.len - back] & 0xc0) == 0x80)
            back++;
        if (back < min_size(part.len, 4))
            part.len -= back;
        struct sink sink = sink_into(room, sizeof(room));
        sink_string(&sink, words_plain(part));
        rope_add_bytes(keep, rope, span_of(room, (size_t)(sink.at - room)));
        more.raw = span_from(more.raw, part.len);
    }
}

void rope_put(const struct rope *rope, struct sink *sink)
{
    for (const struct rope_piece *piece = rope->first; piece != NULL; piece = piece->next)
        sink_put(sink, span_of(piece->bytes, piece->len));
}

void rope_put_lasting(const struct rope *rope, struct sink *sink)
{
    for (const struct rope_piece *piece = rope->first; piece != NULL; piece = piece->next)
        sink_put_lasting(sink, span_of(piece->bytes, piece->len));
}

void rope_put_plain(const struct rope *rope, struct sink *sink)
{
    for (const struct rope_piece *piece = rope->first; piece != NULL; piece = piece->next) {
        struct words words = { .raw = span_of(piece->bytes, piece->len), .escaped = true };
        sink_plain(sink, words);
    }
}
