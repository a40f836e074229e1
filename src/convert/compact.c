#include "compact.h"

#include "penstock/codec/simd.h"

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

// Bytes of the string that `text` begins with, with its quotes.
static size_t string_len(struct span text)
{
    bool high = false;
    size_t at = 1;
    while (at < text.len) {
        at += simd_string_run(text.ptr + at, text.len - at, &high);
        if (at >= text.len)
            break;
        if (text.ptr[at] == '"')
            return at + 1;
        at += text.ptr[at] == '\\' ? 2 : 1;
    }
    return text.len;
}

struct span compact_next(struct span *rest)
{
    while (rest->len > 0 && is_blank(rest->ptr[0]))
        *rest = span_from(*rest, 1);
    size_t at = 0;
    while (at < rest->len && !is_blank(rest->ptr[at]))
        at += rest->ptr[at] == '"' ? string_len(span_from(*rest, at)) : 1;
    struct span run = span_upto(*rest, at);
    *rest = span_from(*rest, at);
    return run;
}

struct span compact_text(struct span json, struct scratch *scratch)
{
    struct span rest = json;
    struct span run = compact_next(&rest);
    if (rest.len == 0)
        return run;
    char *room = scratch_take(scratch, json.len);
    if (room == NULL)
        return SPAN_NONE;
    size_t len = 0;
    for (; run.len > 0; run = compact_next(&rest)) {
        memcpy(room + len, run.ptr, run.len);
        len += run.len;
    }
    return span_of(room, len);
}
