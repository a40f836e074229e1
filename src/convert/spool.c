#include "penstock/convert/spool.h"

#include "penstock/base/check.h"

// Text behind the entry itself, or a view of text that is somewhere else.
struct spool_entry {
    const char *view;
    size_t len;
};

struct spool_chunk {
    struct spool_chunk *next;
    void *keeper;
    size_t used;
    char bytes[ARENA_CHUNK - 2 * sizeof(void *) - sizeof(size_t)];
};
_Static_assert(sizeof(struct spool_chunk) == ARENA_CHUNK, "a chunk is what the source hands out");

enum {
    ROOM = sizeof(((struct spool_chunk *)0)->bytes),
    ALIGN = 8,
    // Room is given in such steps, so that what can be a view does not fit by chance.
    STEP = SINK_VIEW_MIN,
    TEXT_LEAST = sizeof(struct spool_entry) + SINK_ROOM_MIN + ALIGN,
};

static struct spool_entry *entry_at(struct spool_chunk *chunk, size_t at)
{
    return (struct spool_entry *)(void *)(chunk->bytes + at);
}

static char *text_of(struct spool_entry *entry)
{
    return (char *)(entry + 1);
}

// What the sink wrote becomes an entry that can be read; an empty one goes.
static void seal(struct spool *spool)
{
    struct spool_entry *entry = spool->open;
    if (entry == NULL)
        return;
    struct spool_chunk *chunk = spool->last;
    entry->len = (size_t)(spool->sink.at - text_of(entry));
    if (entry->len > 0)
        chunk->used = round_up((size_t)(spool->sink.at - chunk->bytes), ALIGN);
    spool->held += entry->len;
    spool->open = NULL;
    spool->sink.at = spool->sink.end = NULL;
}

// Place for `len` bytes in the last chunk, or in a new one; NULL if there is none.
static struct spool_chunk *chunk_for(struct spool *spool, size_t len)
{
    if (spool->last != NULL && ROOM - spool->last->used >= len)
        return spool->last;
    void *keeper = NULL;
    struct spool_chunk *chunk = spool->source->take(spool->source->ctx, &keeper);
    if (chunk == NULL)
        return NULL;
    chunk->next = NULL;
    chunk->keeper = keeper;
    chunk->used = 0;
    *(spool->last == NULL ? &spool->first : &spool->last->next) = chunk;
    spool->last = chunk;
    return chunk;
}

static bool spool_more(struct sink *sink)
{
    struct spool *spool = container_of(sink, struct spool, sink);
    if (spool->open != NULL && spool->last->bytes + ROOM - sink->at >= SINK_ROOM_MIN) {
        sink->end = sink->at + min_size(STEP, (size_t)(spool->last->bytes + ROOM - sink->at));
        return true;
    }
    seal(spool);
    struct spool_chunk *chunk = chunk_for(spool, TEXT_LEAST);
    if (chunk == NULL)
        return false;
    spool->open = entry_at(chunk, chunk->used);
    *spool->open = (struct spool_entry){ 0 };
    sink->at = text_of(spool->open);
    sink->end = sink->at + min_size(STEP, (size_t)(chunk->bytes + ROOM - sink->at));
    return true;
}

static bool spool_view(struct sink *sink, struct span text)
{
    struct spool *spool = container_of(sink, struct spool, sink);
    seal(spool);
    struct spool_chunk *chunk = chunk_for(spool, sizeof(struct spool_entry));
    if (chunk == NULL)
        return false;
    *entry_at(chunk, chunk->used) = (struct spool_entry){ .view = text.ptr, .len = text.len };
    chunk->used += sizeof(struct spool_entry);
    spool->held += text.len;
    return true;
}

void spool_init(struct spool *spool, const struct arena_source *source)
{
    *spool = (struct spool){ .source = source, .sink = { .more = spool_more, .view = spool_view } };
}

bool spool_begin(struct spool *spool, const struct arena_source *source)
{
    spool_init(spool, source);
    return spool_more(&spool->sink);
}

static void chunk_drop(struct spool *spool)
{
    struct spool_chunk *chunk = spool->first;
    spool->first = chunk->next;
    if (spool->first == NULL)
        spool->last = NULL;
    spool->read_at = 0;
    spool->source->give(spool->source->ctx, chunk, chunk->keeper);
}

void spool_fini(struct spool *spool)
{
    while (spool->first != NULL)
        chunk_drop(spool);
    spool->open = NULL;
    spool->sink.at = spool->sink.end = NULL;
    spool->held = spool->read = 0;
}

uint64_t spool_len(const struct spool *spool)
{
    const char *text = (const char *)(spool->open + 1);
    return spool->held + (spool->open != NULL ? (size_t)(spool->sink.at - text) : 0);
}

size_t spool_read(struct spool *spool, char *out, size_t cap)
{
    size_t done = 0;
    seal(spool);
    while (done < cap && spool->held > 0) {
        struct spool_chunk *chunk = spool->first;
        assert(spool->read_at < chunk->used);
        struct spool_entry *entry = entry_at(chunk, spool->read_at);
        const char *text = entry->view != NULL ? entry->view : text_of(entry);
        const size_t step = min_size(cap - done, entry->len - spool->read);
        memcpy(out + done, text + spool->read, step);
        done += step;
        spool->held -= step;
        spool->read += step;
        if (spool->read < entry->len)
            break;
        spool->read = 0;
        spool->read_at +=
            (uint32_t)(sizeof(*entry) + (entry->view == NULL ? round_up(entry->len, ALIGN) : 0));
        if (spool->read_at == chunk->used)
            chunk_drop(spool);
    }
    return done;
}
