#include "penstock/codec/trace.h"

enum {
    AT_TRACE = 3,
    AT_SPAN = AT_TRACE + 2 * TRACE_ID_BYTES + 1,
    AT_FLAGS = AT_SPAN + 2 * TRACE_SPAN_BYTES + 1,
    LEN = AT_FLAGS + 2,
};

// Lower case only, as the field is written.
static int digit(char byte)
{
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                                        : -1;
}

// `count` bytes of two digits each; false if one is no digit.
static bool read_hex(const char *text, uint8_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++)
        any |= bytes[i];
    return any == 0;
}

static bool read_fields(struct span text, struct trace_ids *out)
{
    uint8_t version, flags;
    if (text.len < LEN || text.ptr[AT_TRACE - 1] != '-' || text.ptr[AT_SPAN - 1] != '-' ||
        text.ptr[AT_FLAGS - 1] != '-')
        return false;
    if (!read_hex(text.ptr, &version, 1) || version == 0xff)
        return false;
    // A later version may say more behind what this one says.
    if (version == 0 ? text.len != LEN : text.len > LEN && text.ptr[LEN] != '-')
        return false;
    return read_hex(text.ptr + AT_TRACE, out->trace, TRACE_ID_BYTES) &&
           read_hex(text.ptr + AT_SPAN, out->span, TRACE_SPAN_BYTES) &&
           read_hex(text.ptr + AT_FLAGS, &flags, 1) && !is_zero(out->trace, TRACE_ID_BYTES) &&
           !is_zero(out->span, TRACE_SPAN_BYTES);
}

bool traceparent_parse(struct span text, struct trace_ids *out)
{
    const bool valid = read_fields(text, out);
    if (!valid)
        memset(out, 0, sizeof(*out));
    return valid;
}
