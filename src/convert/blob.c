#include "penstock/convert/blob.h"

#include "penstock/base/check.h"
#include "penstock/convert/mark.h"

enum blob_state {
    SEEK,  // the key
    COLON, // what stands between the key and its value
    OPEN,
    TEXT,
    ESCAPE, // behind a backslash
    DIGITS, // of \uXXXX
};

enum { ESCAPE_DIGITS = 4 };

// --- what tells one from another ---

static void blob_add(struct blob *blob, struct span run)
{
    blob->len += run.len;
    const size_t room = BLOB_END - (size_t)blob->head_len;
    const struct span head = span_upto(run, min_size(run.len, room));
    if (head.len > 0)
        memcpy(blob->head + blob->head_len, head.ptr, head.len);
    blob->head_len = (uint8_t)(blob->head_len + head.len);
    run = span_from(run, head.len);
    if (run.len > sizeof(blob->tail))
        run = span_from(run, run.len - sizeof(blob->tail));
    const size_t kept = min_size(blob->tail_len, sizeof(blob->tail) - run.len);
    memmove(blob->tail, blob->tail + blob->tail_len - kept, kept);
    if (run.len > 0)
        memcpy(blob->tail + kept, run.ptr, run.len);
    blob->tail_len = (uint8_t)(kept + run.len);
}

static size_t padding_of(struct span end)
{
    size_t count = 0;
    while (count < min_size(end.len, BLOB_PADDING) && end.ptr[end.len - 1 - count] == '=')
        count++;
    return count;
}

static size_t put_letters(char *out, struct span letters)
{
    for (size_t i = 0; i < letters.len; i++) {
        const char letter = letters.ptr[i];
        out[i] = letter == '-' ? '+' : letter == '_' ? '/' : letter;
    }
    return letters.len;
}

struct span blob_text(const struct blob *blob, char out[BLOB_TEXT_MAX])
{
    struct span head = span_of(blob->head, blob->head_len);
    struct span tail = span_of(blob->tail, blob->tail_len);
    size_t padding = padding_of(tail);
    tail.len -= padding;
    if (tail.len == 0) {
        const size_t more = min_size(padding_of(head), BLOB_PADDING - padding);
        head.len -= more;
        padding += more;
    }
    if (tail.len > BLOB_END)
        tail = span_from(tail, tail.len - BLOB_END);
    const uint64_t whole = blob->len - padding;
    size_t len = 0;
    for (unsigned i = 0; i < sizeof(whole); i++)
        out[len++] = (char)(whole >> (8 * i));
    len += put_letters(out + len, head);
    len += put_letters(out + len, tail);
    return span_of(out, len);
}

// --- reading ---

static int digit_of(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    const char lower = (char)(byte | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// One byte behind a backslash. Blobs are base64 and the like: of escapes they have at most the
// slash, and those that some writers put for '=' and '+'. Others stay as they are written.
static void take_escape(struct blob_scan *scan, char byte)
{
    struct blob *blob = &scan->blob;
    const int digit = digit_of(byte);
    if (scan->state == ESCAPE) {
        scan->state = byte == 'u' ? DIGITS : TEXT;
        scan->digits = 0;
        scan->code = 0;
        if (byte != 'u' && byte != '/')
            blob_add(blob, SPAN("\\"));
        if (byte != 'u')
            blob_add(blob, span_of(&byte, 1));
        return;
    }
    scan->code = (uint16_t)(scan->code << 4 | (digit >= 0 ? digit : 0));
    if (++scan->digits < ESCAPE_DIGITS)
        return;
    scan->state = TEXT;
    const char made[2] = { (char)(scan->code >> 8), (char)scan->code };
    blob_add(blob, made[0] == 0 ? span_of(made + 1, 1) : span_of(made, 2));
}

// Takes from the front of `in`; true once the blob has ended.
static bool take_text(struct blob_scan *scan, struct span *in)
{
    while (in->len > 0) {
        if (scan->state != TEXT) {
            take_escape(scan, *in->ptr);
            *in = span_from(*in, 1);
            continue;
        }
        const size_t quote = span_find(*in, '"');
        const size_t len = span_find(span_upto(*in, quote), '\\');
        blob_add(&scan->blob, span_upto(*in, len));
        const bool ended = len == quote && quote < in->len;
        scan->state = ended ? SEEK : len < quote ? ESCAPE : TEXT;
        *in = span_from(*in, min_size(len + 1, in->len));
        if (ended)
            return true;
    }
    return false;
}

void blob_of(struct blob *blob, struct span raw)
{
    struct blob_scan scan = { .state = TEXT };
    const bool ended = take_text(&scan, &raw);
    assert(!ended); // no quote stands in what is between them
    *blob = scan.blob;
}

// --- searching ---

size_t blob_marks(enum wire_family family, struct span out[BLOB_MARKS_MAX])
{
    // How a key ends is enough: `thoughtSignature`, `thought_signature`, `signature`.
    out[0] = SPAN("ignature\"");
    switch (family) {
    case FAMILY_GEMINI: return 1;
    case FAMILY_RESPONSES: out[0] = SPAN("encrypted_content\""); return 1;
    case FAMILY_OPENAI:
    case FAMILY_ANTHROPIC: out[1] = SPAN("\"data\""); return 2;
    }
    return 0;
}

void blob_scan_init(struct blob_scan *scan, struct span mark)
{
    assert(mark.len <= BLOB_MARK_MAX);
    scan->mark = mark;
    scan->state = SEEK;
    scan->carry_len = 0;
}

// The end of a piece may be the beginning of the mark.
static void carry(struct blob_scan *scan, struct span piece)
{
    const size_t most = scan->mark.len - 1;
    const size_t new = min_size(piece.len, most);
    const size_t old = min_size(scan->carry_len, most - new);
    memmove(scan->carry, scan->carry + scan->carry_len - old, old);
    if (new > 0)
        memcpy(scan->carry + old, piece.ptr + piece.len - new, new);
    scan->carry_len = (uint8_t)(old + new);
}

// Takes from the front of `in`; true once the mark has passed.
static bool seek(struct blob_scan *scan, struct span *in)
{
    const struct span mark = scan->mark;
    if (scan->carry_len > 0) { // a mark that two pieces share
        char both[2 * BLOB_MARK_MAX];
        const size_t more = min_size(in->len, mark.len - 1);
        memcpy(both, scan->carry, scan->carry_len);
        memcpy(both + scan->carry_len, in->ptr, more);
        const struct span text = span_of(both, scan->carry_len + more);
        const size_t at = text.len >= mark.len ? mark_find(text, mark) : text.len;
        if (at < text.len) {
            *in = span_from(*in, at + mark.len - scan->carry_len);
            scan->carry_len = 0;
            return true;
        }
    }
    const size_t at = mark_find(*in, mark);
    if (at == in->len) {
        carry(scan, *in);
        *in = span_from(*in, in->len);
        return false;
    }
    scan->carry_len = 0;
    *in = span_from(*in, at + mark.len);
    return true;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

bool blob_scan_next(struct blob_scan *scan, struct span *in, struct blob *out)
{
    while (in->len > 0) {
        if (scan->state == SEEK) {
            if (seek(scan, in))
                scan->state = COLON;
            continue;
        }
        if (scan->state == COLON || scan->state == OPEN) {
            const char byte = *in->ptr;
            const bool due = byte == (scan->state == COLON ? ':' : '"');
            if (!due && !is_space(byte)) {
                scan->state = SEEK; // no key, or no text behind it
                continue;
            }
            *in = span_from(*in, 1);
            if (!due)
                continue;
            scan->state = scan->state == COLON ? OPEN : TEXT;
            scan->blob.len = 0;
            scan->blob.head_len = scan->blob.tail_len = 0;
            continue;
        }
        if (take_text(scan, in) && scan->blob.len >= BLOB_LEAST) {
            *out = scan->blob;
            return true;
        }
    }
    return false;
}
