#include "penstock/codec/json_writer.h"

#include "penstock/base/check.h"
#include "penstock/codec/simd.h"

void jsonw_init(struct jsonw *out, char *buf, size_t cap)
{
    *out = (struct jsonw){ .buf = buf, .cap = cap };
}

static void put(struct jsonw *out, const char *text, size_t len)
{
    if (out->overflow || out->cap - out->len < len) {
        out->overflow = true;
        return;
    }
    if (len > 0)
        memcpy(out->buf + out->len, text, len);
    out->len += len;
}

static uint64_t level_bit(const struct jsonw *out)
{
    return UINT64_C(1) << (out->depth - 1);
}

// What must stand before the next value.
static void begin_value(struct jsonw *out)
{
    if (out->depth == 0) {
        assert(out->len == 0);
        return;
    }
    if (out->after_key) {
        out->after_key = false;
        return;
    }
    assert((out->object & level_bit(out)) == 0);
    if ((out->filled & level_bit(out)) != 0)
        put(out, ",", 1);
    out->filled |= level_bit(out);
}

static void open_level(struct jsonw *out, bool object)
{
    begin_value(out);
    put(out, object ? "{" : "[", 1);
    assert(out->depth < JSONW_DEPTH_MAX);
    out->depth++;
    out->filled &= ~level_bit(out);
    out->object = object ? out->object | level_bit(out) : out->object & ~level_bit(out);
}

static void close_level(struct jsonw *out, bool object)
{
    assert(out->depth > 0);
    assert(((out->object & level_bit(out)) != 0) == object);
    assert(!out->after_key);
    out->depth--;
    put(out, object ? "}" : "]", 1);
}

void jsonw_object(struct jsonw *out)
{
    open_level(out, true);
}

void jsonw_object_end(struct jsonw *out)
{
    close_level(out, true);
}

void jsonw_array(struct jsonw *out)
{
    open_level(out, false);
}

void jsonw_array_end(struct jsonw *out)
{
    close_level(out, false);
}

static struct span escape_byte(unsigned char byte, char room[JSON_ESCAPE_MAX])
{
    static const char digits[] = "0123456789abcdef";
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt"; // pairs: byte, letter
    for (size_t i = 0; i + 1 < sizeof(short_forms); i += 2) {
        if ((unsigned char)short_forms[i] == byte) {
            room[0] = '\\';
            room[1] = short_forms[i + 1];
            return span_of(room, 2);
        }
    }
    memcpy(room, "\\u00", 4);
    room[4] = digits[byte >> 4];
    room[5] = digits[byte & 15];
    return span_of(room, JSON_ESCAPE_MAX);
}

struct span json_escape_next(struct span *text, char room[JSON_ESCAPE_MAX])
{
    bool high = false;
    size_t run = simd_string_run(text->ptr, text->len, &high);
    size_t good = high ? simd_utf8_run(text->ptr, run) : run;
    if (good > 0) {
        struct span piece = span_upto(*text, good);
        *text = span_from(*text, good);
        return piece;
    }
    unsigned char byte = (unsigned char)*text->ptr;
    *text = span_from(*text, 1);
    return run > 0 ? SPAN("\xef\xbf\xbd") : escape_byte(byte, room);
}

static void put_escaped(struct jsonw *out, struct span text)
{
    char room[JSON_ESCAPE_MAX];
    while (text.len > 0) {
        struct span piece = json_escape_next(&text, room);
        put(out, piece.ptr, piece.len);
    }
}

void jsonw_key(struct jsonw *out, struct span key)
{
    assert(out->depth > 0);
    assert((out->object & level_bit(out)) != 0);
    assert(!out->after_key);
    if ((out->filled & level_bit(out)) != 0)
        put(out, ",", 1);
    out->filled |= level_bit(out);
    put(out, "\"", 1);
    put_escaped(out, key);
    put(out, "\":", 2);
    out->after_key = true;
}

void jsonw_string_begin(struct jsonw *out)
{
    begin_value(out);
    put(out, "\"", 1);
}

void jsonw_string_more(struct jsonw *out, struct span text)
{
    put_escaped(out, text);
}

void jsonw_string_end(struct jsonw *out)
{
    put(out, "\"", 1);
}

void jsonw_string(struct jsonw *out, struct span text)
{
    jsonw_string_begin(out);
    jsonw_string_more(out, text);
    jsonw_string_end(out);
}

void jsonw_raw(struct jsonw *out, struct span json)
{
    assert(json.len > 0);
    begin_value(out);
    put(out, json.ptr, json.len);
}

void jsonw_u64(struct jsonw *out, uint64_t value)
{
    char text[20];
    size_t at = sizeof(text);
    do
        text[--at] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    jsonw_raw(out, span_of(text + at, sizeof(text) - at));
}

void jsonw_i64(struct jsonw *out, int64_t value)
{
    if (value >= 0) {
        jsonw_u64(out, (uint64_t)value);
        return;
    }
    char text[21];
    size_t at = sizeof(text);
    uint64_t magnitude = -(uint64_t)value;
    do
        text[--at] = (char)('0' + magnitude % 10);
    while ((magnitude /= 10) != 0);
    text[--at] = '-';
    jsonw_raw(out, span_of(text + at, sizeof(text) - at));
}

void jsonw_bool(struct jsonw *out, bool value)
{
    jsonw_raw(out, value ? SPAN("true") : SPAN("false"));
}

void jsonw_null(struct jsonw *out)
{
    jsonw_raw(out, SPAN("null"));
}

struct span jsonw_done(const struct jsonw *out)
{
    assert(out->depth == 0);
    return out->overflow ? SPAN_NONE : span_of(out->buf, out->len);
}

// --- strings alone

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

// Not zero if one of the eight bytes is a quote, a backslash, a control character or not ASCII; at
// times also otherwise, behind such a byte.
static uint64_t special_of(uint64_t word)
{
    const uint64_t quote = (word ^ EACH('"')) - EACH(1);
    const uint64_t backslash = (word ^ EACH('\\')) - EACH(1);
    const uint64_t control = word - EACH(0x20);
    return (quote | backslash | control | word) & EACH(0x80);
}

// Copies the text and tells whether it may stand as it is between quotes. The last word overlaps
// the one before, so that nothing outside the text is read or written.
static bool copy_plain(char *out, struct span text)
{
    uint64_t word, special = 0;
    if (text.len >= sizeof(word)) {
        const size_t last = text.len - sizeof(word);
        for (size_t i = 0; i < last; i += sizeof(word)) {
            memcpy(&word, text.ptr + i, sizeof(word));
            memcpy(out + i, &word, sizeof(word));
            special |= special_of(word);
        }
        memcpy(&word, text.ptr + last, sizeof(word));
        memcpy(out + last, &word, sizeof(word));
        return (special | special_of(word)) == 0;
    }
    uint32_t half;
    size_t i = 0;
    if (text.len >= sizeof(half)) {
        memcpy(&half, text.ptr, sizeof(half));
        memcpy(out, &half, sizeof(half));
        special = special_of(EACH(' ') << 32 | half);
        i = text.len - sizeof(half);
        memcpy(&half, text.ptr + i, sizeof(half));
        memcpy(out + i, &half, sizeof(half));
        return (special | special_of(EACH(' ') << 32 | half)) == 0;
    }
    for (; i < text.len; i++) {
        out[i] = text.ptr[i];
        special |= special_of(EACH(' ') << 8 | (unsigned char)text.ptr[i]);
    }
    return special == 0;
}

void json_put_string(struct put *put, struct span text)
{
    const size_t room = (size_t)(put->end - put->at);
    if (likely(room >= 2 && text.len <= room - 2) && likely(copy_plain(put->at + 1, text))) {
        *put->at = '"';
        put->at += text.len + 2;
        put->at[-1] = '"';
        return;
    }
    struct jsonw out;
    jsonw_init(&out, put->at, room);
    jsonw_string(&out, text);
    const struct span done = jsonw_done(&out);
    if (done.len == 0)
        put_fail(put);
    put->at += done.len;
}
