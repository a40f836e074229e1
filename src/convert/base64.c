#include "base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Three bytes become four digits; what is left over waits at the front of the room.
static bool base64_more(struct sink *sink)
{
    struct base64 *base64 = container_of(sink, struct base64, sink);
    const unsigned char *in = (const unsigned char *)base64->room;
    size_t len = (size_t)(sink->at - base64->room), at = 0;
    for (; len - at >= 3; at += 3) {
        uint32_t bits = (uint32_t)in[at] << 16 | (uint32_t)in[at + 1] << 8 | in[at + 2];
        const char four[4] = { digits[bits >> 18], digits[bits >> 12 & 63], digits[bits >> 6 & 63],
                               digits[bits & 63] };
        sink_put(base64->out, span_of(four, sizeof(four)));
    }
    memmove(base64->room, base64->room + at, len - at);
    sink->at = base64->room + (len - at);
    sink->end = base64->room + sizeof(base64->room);
    return !base64->out->failed;
}

void base64_begin(struct base64 *base64, struct sink *out)
{
    base64->out = out;
    base64->sink = sink_into(base64->room, sizeof(base64->room));
    base64->sink.more = base64_more;
}

void base64_end(struct base64 *base64)
{
    (void)base64_more(&base64->sink);
    const unsigned char *in = (const unsigned char *)base64->room;
    size_t len = (size_t)(base64->sink.at - base64->room);
    if (len == 0)
        return;
    uint32_t bits = (uint32_t)in[0] << 16 | (len > 1 ? (uint32_t)in[1] << 8 : 0);
    const char four[4] = { digits[bits >> 18], digits[bits >> 12 & 63],
                           len > 1 ? digits[bits >> 6 & 63] : '=', '=' };
    sink_put(base64->out, span_of(four, sizeof(four)));
}

// The value of a digit of either alphabet; 64 for what is none.
static uint32_t digit_value(char digit)
{
    if (digit >= 'A' && digit <= 'Z')
        return (uint32_t)(digit - 'A');
    if (digit >= 'a' && digit <= 'z')
        return (uint32_t)(digit - 'a') + 26;
    if (digit >= '0' && digit <= '9')
        return (uint32_t)(digit - '0') + 52;
    if (digit == '+' || digit == '-')
        return 62;
    return digit == '/' || digit == '_' ? 63 : 64;
}

struct span base64_read(struct words text, struct scratch *scratch)
{
    if (words_none(text))
        return SPAN_NONE;
    char *room = scratch_take(scratch, text.raw.len);
    if (room == NULL)
        return SPAN_NONE;
    size_t len = text.raw.len, made = 0;
    if (text.escaped)
        len = words_decode(text, room, len, NULL);
    else
        memcpy(room, text.raw.ptr, len);
    while (len > 0 && room[len - 1] == '=')
        len--;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < len; i++) { // in place: the bytes are fewer than their digits
        uint32_t value = digit_value(room[i]);
        if (value == 64)
            return SPAN_NONE;
        bits = bits << 6 | value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            room[made++] = (char)(bits >> count & 0xff);
        }
    }
    return count < 6 ? span_of(room, made) : SPAN_NONE;
}

// Only what an escape may stand for in it is looked at: "\/" is a slash, "\n" a line break.
static bool is_standard(struct words text)
{
    size_t len = text.raw.len, digits_seen = 0;
    while (len > 0 && text.raw.ptr[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        char byte = text.raw.ptr[i];
        if (text.escaped && byte == '\\' && i + 1 < len && text.raw.ptr[i + 1] == '/')
            continue;
        if (digit_value(byte) == 64 || byte == '-' || byte == '_')
            return false;
        digits_seen++;
    }
    size_t pads = text.raw.len - len;
    return pads <= 2 && (digits_seen + pads) % 4 == 0;
}

struct words base64_standard(struct words text, struct scratch *scratch)
{
    if (is_standard(text))
        return text;
    char *room = scratch_take(scratch, text.raw.len + 4);
    if (room == NULL)
        return WORDS_NONE;
    char piece_room[WORDS_PIECE_MAX];
    size_t len = 0;
    while (text.raw.len > 0) {
        struct span piece = text.raw;
        if (text.escaped)
            piece = words_piece(&text.raw, piece_room);
        else
            text.raw = SPAN_NONE;
        for (size_t i = 0; i < piece.len; i++) {
            char byte = piece.ptr[i];
            if (byte == '=' || byte == '\n' || byte == '\r' || byte == ' ' || byte == '\t')
                continue;
            uint32_t value = digit_value(byte);
            if (value == 64)
                return WORDS_NONE;
            room[len++] = digits[value];
        }
    }
    while (len % 4 != 0)
        room[len++] = '=';
    return words_plain(span_of(room, len));
}
