#include "offsets.h"

#include "penstock/codec/simd.h"

enum { WINDOW = 64, PAGE = 30, ENTRIES_MAX = 2040 };

// Sixty-four bytes of text of which some begin no code point.
struct entry {
    uint32_t window; // their place, in windows
    uint32_t before; // such bytes before the window
    uint64_t bits;   // and in it
};

struct offsets_page {
    struct offsets_page *next;
    uint32_t count;
    struct entry entries[PAGE];
};

static struct entry *newest(const struct offsets *offsets)
{
    struct offsets_page *page = offsets->last;
    return page != NULL ? &page->entries[page->count - 1] : NULL;
}

static uint32_t ones(uint64_t bits)
{
    return (uint32_t)__builtin_popcountll(bits);
}

static struct entry *entry_new(struct offsets *offsets, struct keep *keep, uint32_t window)
{
    const struct entry *old = newest(offsets);
    uint32_t before = old != NULL ? old->before + ones(old->bits) : 0;
    if (offsets->count == ENTRIES_MAX)
        return NULL;
    if (offsets->last == NULL || offsets->last->count == PAGE) {
        struct offsets_page *page = keep_take(keep, sizeof(*page));
        if (page == NULL)
            return NULL;
        *(offsets->last == NULL ? &offsets->first : &offsets->last->next) = page;
        offsets->last = page;
    }
    offsets->count++;
    struct entry *entry = &offsets->last->entries[offsets->last->count++];
    *entry = (struct entry){ .window = window, .before = before };
    return entry;
}

// A byte that begins no code point.
static void add_tail(struct offsets *offsets, struct keep *keep)
{
    uint64_t window = offsets->bytes / WINDOW;
    struct entry *entry = newest(offsets);
    if (!offsets->lost && (entry == NULL || entry->window != window)) {
        entry = window <= UINT32_MAX ? entry_new(offsets, keep, (uint32_t)window) : NULL;
        offsets->lost = entry == NULL;
    }
    if (!offsets->lost)
        entry->bits |= UINT64_C(1) << (offsets->bytes % WINDOW);
}

// Bytes that each mean themselves.
static void add_piece(struct offsets *offsets, struct keep *keep, struct span piece)
{
    while (piece.len > 0) {
        bool high = false;
        size_t run = simd_string_run(piece.ptr, piece.len, &high);
        run += run < piece.len; // with what has interrupted it, a byte of ASCII
        for (size_t i = 0; high && i < run; i++, offsets->bytes++) {
            if (((unsigned char)piece.ptr[i] & 0xc0) != 0x80)
                offsets->points++;
            else
                add_tail(offsets, keep);
        }
        if (!high) {
            offsets->bytes += run;
            offsets->points += run;
        }
        piece = span_from(piece, run);
    }
}

void offsets_add(struct offsets *offsets, struct keep *keep, struct words text)
{
    char room[WORDS_PIECE_MAX];
    if (!text.escaped) {
        add_piece(offsets, keep, text.raw);
        return;
    }
    bool high = false; // most text has no escapes and is ASCII
    const size_t run = simd_string_run(text.raw.ptr, text.raw.len, &high);
    if (likely(run == text.raw.len && !high)) {
        offsets->bytes += run;
        offsets->points += run;
        return;
    }
    while (text.raw.len > 0)
        add_piece(offsets, keep, words_piece(&text.raw, room));
}

bool offsets_point_of(const struct offsets *offsets, uint64_t byte, uint64_t *point)
{
    if (offsets->lost || byte > offsets->bytes)
        return false;
    const uint64_t window = byte / WINDOW;
    uint64_t passed = 0; // bytes before this one that begin no code point
    for (const struct offsets_page *page = offsets->first; page != NULL; page = page->next)
        for (uint32_t i = 0; i < page->count && page->entries[i].window <= window; i++) {
            const struct entry *entry = &page->entries[i];
            uint64_t bits = entry->bits;
            if (entry->window == window)
                bits &= (UINT64_C(1) << (byte % WINDOW)) - 1;
            passed = entry->before + ones(bits);
        }
    *point = byte - passed;
    return true;
}

bool offsets_byte_of(const struct offsets *offsets, uint64_t point, uint64_t *byte)
{
    if (offsets->lost || point > offsets->points)
        return false;
    uint64_t passed = 0;
    for (const struct offsets_page *page = offsets->first; page != NULL; page = page->next)
        for (uint32_t i = 0; i < page->count; i++) {
            const struct entry *entry = &page->entries[i];
            uint64_t at = (uint64_t)entry->window * WINDOW;
            if (point + entry->before < at)
                break; // it lies in the ASCII before the window
            passed = entry->before;
            for (unsigned bit = 0; bit < WINDOW && at + bit - passed <= point; bit++)
                passed += entry->bits >> bit & 1;
        }
    *byte = point + passed;
    return true;
}
