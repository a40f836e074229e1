#include "offsets.h"

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

// The top bit of each byte that is not ASCII, or a backslash; others may be set above the lowest.
static uint64_t odd_bytes(const char *at)
{
    uint64_t bytes;
    memcpy(&bytes, at, sizeof(bytes));
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t slash = bytes ^ (ones * '\\');
    return (bytes | ((slash - ones) & ~slash)) & (ones * 0x80);
}

// True if each byte means itself, and is one code point.
static bool is_simple(struct span text)
{
    enum { WORD = 8 };
    uint64_t odd = 0;
    if (text.len < WORD) {
        for (size_t i = 0; i < text.len; i++)
            odd |= text.ptr[i] == '\\' || (text.ptr[i] & 0x80) != 0;
        return odd == 0;
    }
    for (size_t at = 0; at < text.len - WORD; at += WORD)
        odd |= odd_bytes(text.ptr + at);
    return (odd | odd_bytes(text.ptr + text.len - WORD)) == 0;
}

// Bytes that each mean themselves.
static void add_piece(struct offsets *offsets, struct keep *keep, struct span piece)
{
    if (likely(is_simple(piece))) {
        offsets->bytes += piece.len;
        offsets->points += piece.len;
        return;
    }
    for (size_t i = 0; i < piece.len; i++, offsets->bytes++) {
        if (((unsigned char)piece.ptr[i] & 0xc0) != 0x80)
            offsets->points++;
        else
            add_tail(offsets, keep);
    }
}

void offsets_add(struct offsets *offsets, struct keep *keep, struct words text)
{
    char room[WORDS_PIECE_MAX];
    if (likely(is_simple(text.raw))) {
        offsets->bytes += text.raw.len;
        offsets->points += text.raw.len;
        return;
    }
    if (!text.escaped) {
        add_piece(offsets, keep, text.raw);
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
