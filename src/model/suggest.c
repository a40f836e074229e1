#include "penstock/model/suggest.h"

enum { WORD_MAX = 64 };

static unsigned char fold(char byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return (unsigned char)(byte | 0x20);
    return byte == '-' ? '_' : (unsigned char)byte;
}

// Optimal string alignment: rows i-2, i-1 and i of the table are kept.
size_t suggest_distance(struct span a, struct span b, size_t limit)
{
    const size_t gap = a.len > b.len ? a.len - b.len : b.len - a.len;
    if (a.len > WORD_MAX || b.len > WORD_MAX || gap >= limit)
        return limit;
    size_t rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            const bool same = fold(a.ptr[i - 1]) == fold(b.ptr[j - 1]);
            row[j] = min_size(above[j - 1] + (same ? 0 : 1), min_size(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && fold(a.ptr[i - 1]) == fold(b.ptr[j - 2]) &&
                fold(a.ptr[i - 2]) == fold(b.ptr[j - 1]))
                row[j] = min_size(row[j], above2[j - 2] + 1);
        }
    }
    return min_size(rows[a.len % 3][b.len], limit);
}

void suggest_try(struct suggest *suggest, struct span candidate)
{
    // A third of the word may be wrong, and one letter of a short one.
    const size_t bound = max_size(suggest->word.len / 3, 1) + 1;
    const size_t limit = suggest->best.ptr != NULL ? min_size(bound, suggest->distance) : bound;
    const size_t distance = suggest_distance(suggest->word, candidate, limit);
    if (distance >= limit)
        return;
    suggest->best = candidate;
    suggest->distance = distance;
}
