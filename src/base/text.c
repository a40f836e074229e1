#include "penstock/base/text.h"

#include "penstock/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_FIRST = 256 };

// Room for `more` bytes and the NUL. The old bytes are wiped, so realloc() is not used.
static void reserve(struct text *text, size_t more)
{
    assert(more < SIZE_MAX / 4);
    const size_t need = text->len + more + 1;
    if (need <= text->cap)
        return;
    const size_t cap = max_size(max_size(need, text->cap * 2), TEXT_FIRST);
    char *bytes = malloc(cap);
    verify(bytes != NULL);
    if (text->ptr != NULL) {
        memcpy(bytes, text->ptr, text->len + 1);
        explicit_bzero(text->ptr, text->len);
        free(text->ptr);
    }
    text->ptr = bytes;
    text->cap = cap;
}

void text_fini(struct text *text)
{
    if (text->ptr != NULL)
        explicit_bzero(text->ptr, text->len);
    free(text->ptr);
    *text = (struct text){ 0 };
}

void text_add(struct text *text, struct span more)
{
    reserve(text, more.len);
    if (more.len > 0)
        memcpy(text->ptr + text->len, more.ptr, more.len);
    text->len += more.len;
    text->ptr[text->len] = '\0';
}

void text_add_char(struct text *text, char byte, size_t count)
{
    reserve(text, count);
    memset(text->ptr + text->len, byte, count);
    text->len += count;
    text->ptr[text->len] = '\0';
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    verify(len >= 0);
    reserve(text, (size_t)len);
    vsnprintf(text->ptr + text->len, (size_t)len + 1, format, again);
    va_end(again);
    text->len += (size_t)len;
}

struct span text_span(const struct text *text)
{
    return span_of(text->len > 0 ? text->ptr : "", text->len);
}

size_t fit_printf(char *out, size_t cap, const char *format, ...)
{
    assert(cap > 0);
    va_list args;
    va_start(args, format);
    const int len = vsnprintf(out, cap, format, args);
    va_end(args);
    verify(len >= 0);
    return min_size((size_t)len, cap - 1);
}

size_t utf8_len(struct span text)
{
    if (text.len == 0)
        return 0;
    const unsigned char *at = (const unsigned char *)text.ptr;
    if (at[0] < 0x80)
        return 1;
    // The second byte's range excludes overlong forms, surrogates and what is past U+10FFFF.
    unsigned char low = 0x80, high = 0xbf;
    size_t len;
    if (at[0] >= 0xc2 && at[0] <= 0xdf) {
        len = 2;
    } else if ((at[0] & 0xf0) == 0xe0) {
        len = 3;
        low = at[0] == 0xe0 ? 0xa0 : 0x80;
        high = at[0] == 0xed ? 0x9f : 0xbf;
    } else if (at[0] >= 0xf0 && at[0] <= 0xf4) {
        len = 4;
        low = at[0] == 0xf0 ? 0x90 : 0x80;
        high = at[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (text.len < len || at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool span_is_utf8(struct span text)
{
    while (text.len > 0) {
        const size_t len = utf8_len(text);
        if (len == 0)
            return false;
        text = span_from(text, len);
    }
    return true;
}
