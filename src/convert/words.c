#include "penstock/convert/words.h"

#include "penstock/codec/simd.h"

// Four hexadecimal digits; -1 if they are not.
static int32_t hex4(const char *at)
{
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char digit = at[i];
        if (digit >= '0' && digit <= '9')
            value = value * 16 + (digit - '0');
        else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
            value = value * 16 + ((digit | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return value;
}

static size_t utf8_put(uint32_t point, char room[WORDS_PIECE_MAX])
{
    if (point < 0x80) {
        room[0] = (char)point;
        return 1;
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        room[i] = (char)(0x80 | (point & 0x3f));
    room[0] = (char)(lead[len] | point);
    return len;
}

enum { ESCAPE_SHORT = 2, ESCAPE_LONG = 6, REPLACEMENT = 0xfffd };

// The character of a \u escape, or of two that make one; *len is what they take.
static uint32_t long_escape(struct span rest, size_t *len)
{
    int32_t first = rest.len >= ESCAPE_LONG ? hex4(rest.ptr + 2) : -1;
    *len = min_size(ESCAPE_LONG, rest.len);
    if (first < 0 || (first >= 0xdc00 && first < 0xe000))
        return REPLACEMENT;
    if (first < 0xd800 || first >= 0xe000)
        return (uint32_t)first;
    bool more = rest.len >= 2 * ESCAPE_LONG && rest.ptr[6] == '\\' && rest.ptr[7] == 'u';
    int32_t second = more ? hex4(rest.ptr + ESCAPE_LONG + 2) : -1;
    if (second < 0xdc00 || second >= 0xe000)
        return REPLACEMENT;
    *len = 2 * ESCAPE_LONG;
    return 0x10000 + (((uint32_t)first - 0xd800) << 10) + ((uint32_t)second - 0xdc00);
}

struct span words_piece(struct span *rest, char room[WORDS_PIECE_MAX])
{
    size_t run = span_find(*rest, '\\');
    if (run > 0) {
        struct span piece = span_upto(*rest, run);
        *rest = span_from(*rest, run);
        return piece;
    }
    size_t len = min_size(ESCAPE_SHORT, rest->len);
    uint32_t point;
    switch (rest->len >= ESCAPE_SHORT ? rest->ptr[1] : 0) {
    case 'n': point = '\n'; break;
    case 't': point = '\t'; break;
    case 'r': point = '\r'; break;
    case 'b': point = '\b'; break;
    case 'f': point = '\f'; break;
    case 'u': point = long_escape(*rest, &len); break;
    case '"':
    case '\\':
    case '/': point = (unsigned char)rest->ptr[1]; break;
    default: point = REPLACEMENT; break;
    }
    *rest = span_from(*rest, len);
    return span_of(room, utf8_put(point, room));
}

static bool is_high(const char *escape)
{
    int32_t value = escape[1] == 'u' ? hex4(escape + 2) : -1;
    return value >= 0xd800 && value < 0xdc00;
}

size_t words_torn(struct span raw)
{
    size_t at = raw.len;
    while (at > 0 && raw.len - at < ESCAPE_LONG && raw.ptr[at - 1] != '\\')
        at--;
    if (at == 0 || raw.ptr[at - 1] != '\\')
        return 0;
    size_t run = 0; // an escape begins at the last backslash of an odd number
    while (run < at && raw.ptr[at - 1 - run] == '\\')
        run++;
    if (run % 2 == 0)
        return 0;
    const size_t start = at - 1, len = raw.len - start;
    if (len > ESCAPE_LONG || (len > 1 && raw.ptr[at] != 'u'))
        return 0;
    if (len == ESCAPE_LONG)
        return is_high(raw.ptr + start) ? len : 0;
    bool paired = start >= ESCAPE_LONG && run == 1 && raw.ptr[start - ESCAPE_LONG] == '\\' &&
                  is_high(raw.ptr + start - ESCAPE_LONG);
    return paired ? len + ESCAPE_LONG : len;
}

static bool is_escaped(struct span raw, size_t at)
{
    size_t run = 0;
    while (run < at && raw.ptr[at - run - 1] == '\\')
        run++;
    return run % 2 != 0;
}

size_t words_lone(struct span raw)
{
    for (size_t at = 0; at < raw.len;) {
        at += simd_surrogate_run(raw.ptr + at, raw.len - at);
        if (at == raw.len)
            break;
        int32_t value = raw.len - at >= ESCAPE_LONG ? hex4(raw.ptr + at + 2) : 0;
        if (value < 0xd800 || value >= 0xe000 || is_escaped(raw, at)) {
            at++;
            continue;
        }
        if (value >= 0xdc00 || !words_starts_low(span_from(raw, at + ESCAPE_LONG)))
            return at;
        at += 2 * ESCAPE_LONG;
    }
    return raw.len;
}

bool words_starts_low(struct span raw)
{
    int32_t value =
        raw.len >= ESCAPE_LONG && raw.ptr[0] == '\\' && raw.ptr[1] == 'u' ? hex4(raw.ptr + 2) : 0;
    return value >= 0xdc00 && value < 0xe000;
}

// Words, piece by piece, as they are meant.
struct pieces {
    struct words words;
    char room[WORDS_PIECE_MAX];
};

static bool piece_next(struct pieces *pieces, struct span *piece)
{
    if (pieces->words.raw.len == 0)
        return false;
    if (pieces->words.escaped) {
        *piece = words_piece(&pieces->words.raw, pieces->room);
        return true;
    }
    *piece = pieces->words.raw;
    pieces->words.raw = SPAN_NONE;
    return true;
}

bool words_eq(struct words a, struct words b)
{
    if (a.escaped == b.escaped && span_eq(a.raw, b.raw))
        return true;
    struct pieces x = { .words = a }, y = { .words = b };
    struct span left = SPAN_NONE, right = SPAN_NONE;
    for (;;) {
        bool more_left = left.len > 0 || piece_next(&x, &left);
        bool more_right = right.len > 0 || piece_next(&y, &right);
        if (!more_left || !more_right)
            return more_left == more_right;
        size_t both = min_size(left.len, right.len);
        if (memcmp(left.ptr, right.ptr, both) != 0)
            return false;
        left = span_from(left, both);
        right = span_from(right, both);
    }
}

// --- sums ---

// FNV-1a, so that nothing but the text decides.
static uint64_t hash_more(uint64_t hash, struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.ptr[i]) * UINT64_C(1099511628211);
    return hash;
}

static const uint64_t hash_seed = UINT64_C(14695981039346656037);

uint64_t words_hash(struct words words)
{
    struct pieces pieces = { .words = words };
    struct span piece;
    uint64_t hash = hash_seed;
    while (piece_next(&pieces, &piece))
        hash = hash_more(hash, piece);
    return hash;
}

static void sum_words(struct words_sum *sum, struct span raw)
{
    char room[WORDS_PIECE_MAX];
    while (raw.len > 0) {
        struct span piece = words_piece(&raw, room);
        sum->hash = hash_more(sum->hash ^ hash_seed, piece) ^ hash_seed;
        sum->len += piece.len;
    }
}

void words_sum_add(struct words_sum *sum, struct span raw)
{
    if (raw.len == 0)
        return;
    if (sum->high_len > 0) {
        char pair[2 * ESCAPE_LONG];
        const size_t low = words_starts_low(raw) ? ESCAPE_LONG : 0;
        memcpy(pair, sum->high, ESCAPE_LONG);
        memcpy(pair + ESCAPE_LONG, raw.ptr, low);
        sum_words(sum, span_of(pair, ESCAPE_LONG + low));
        raw = span_from(raw, low);
        sum->high_len = 0;
    }
    const size_t torn = words_torn(raw) == ESCAPE_LONG ? ESCAPE_LONG : 0;
    memcpy(sum->high, raw.ptr + raw.len - torn, torn);
    sum->high_len = (uint8_t)torn;
    sum_words(sum, span_upto(raw, raw.len - torn));
}

size_t words_sum_find(const struct words_sum *sum, struct span raw)
{
    char room[WORDS_PIECE_MAX];
    struct words_sum found = { 0 };
    struct span rest = raw;
    while (found.len < sum->len && rest.len > 0) {
        const struct span before = rest;
        const struct span piece = words_piece(&rest, room);
        const uint64_t due = sum->len - found.len;
        if (piece.len > due && piece.ptr == room)
            return SIZE_MAX; // an escape is whole in either
        const size_t take = piece.ptr == room ? before.len - rest.len : min_u64(piece.len, due);
        rest = span_from(before, take);
        sum_words(&found, span_upto(before, take));
    }
    const struct span high = span_of(sum->high, sum->high_len);
    if (found.len != sum->len || found.hash != sum->hash || !span_starts(rest, high))
        return SIZE_MAX;
    return (size_t)(rest.ptr - raw.ptr) + high.len;
}

// Takes a code point off the front.
static void point_skip(struct words *words)
{
    char room[WORDS_PIECE_MAX];
    if (words->escaped && words->raw.ptr[0] == '\\') {
        (void)words_piece(&words->raw, room);
        return;
    }
    size_t len = 1;
    while (len < words->raw.len && ((unsigned char)words->raw.ptr[len] & 0xc0) == 0x80)
        len++;
    words->raw = span_from(words->raw, len);
}

uint64_t words_points(struct words words)
{
    uint64_t points = 0;
    for (; words.raw.len > 0; points++)
        point_skip(&words);
    return points;
}

struct words words_between(struct words words, uint64_t from, uint64_t to)
{
    for (uint64_t at = 0; at < from && words.raw.len > 0; at++)
        point_skip(&words);
    struct words rest = words;
    for (uint64_t at = from; at < to && rest.raw.len > 0; at++)
        point_skip(&rest);
    words.raw.len -= rest.raw.len;
    return words;
}

bool words_are(struct words words, struct span plain)
{
    return words_eq(words, words_plain(plain));
}

size_t words_decode(struct words words, char *out, size_t cap, bool *cut)
{
    struct pieces pieces = { .words = words };
    struct span piece;
    size_t len = 0;
    bool is_cut = false;
    while (!is_cut && piece_next(&pieces, &piece)) {
        size_t fit = min_size(piece.len, cap - len);
        is_cut = fit < piece.len;
        while (is_cut && fit > 0 && ((unsigned char)piece.ptr[fit] & 0xc0) == 0x80)
            fit--; // a character is whole or not there
        memcpy(out + len, piece.ptr, fit);
        len += fit;
    }
    if (cut != NULL)
        *cut = is_cut;
    return len;
}

struct span words_view(struct words words, char *out, size_t cap)
{
    if (words.raw.len == 0)
        return SPAN("");
    if (!words.escaped || span_find(words.raw, '\\') == words.raw.len)
        return words.raw;
    bool cut;
    size_t len = words_decode(words, out, cap, &cut);
    return cut ? SPAN_NONE : span_of(out, len);
}

bool words_blank(struct words words)
{
    struct pieces pieces = { .words = words };
    struct span piece;
    while (piece_next(&pieces, &piece))
        for (size_t i = 0; i < piece.len; i++)
            if (span_find(SPAN(" \t\r\n"), piece.ptr[i]) == 4)
                return false;
    return true;
}
