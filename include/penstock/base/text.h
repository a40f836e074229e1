// text.h - a text that grows as it is written, for reports and documents; not for the request path.
#ifndef PENSTOCK_BASE_TEXT_H
#define PENSTOCK_BASE_TEXT_H

#include "penstock/base/base.h"

// Zero it to start. There is always a NUL behind the text once anything was written.
struct text {
    char *ptr;
    size_t len, cap;
};

void text_fini(struct text *text); // wipes what was written
void text_add(struct text *text, struct span more);
void text_add_char(struct text *text, char byte, size_t count);
void text_printf(struct text *text, const char *format, ...) printf_like(2, 3);
// A view, valid until the next call that writes.
struct span text_span(const struct text *text);

// Writes what fits into `cap` bytes, and a NUL; returns the bytes before it. For texts that may be
// cut: paths in messages, numbers in bounded buffers.
size_t fit_printf(char *out, size_t cap, const char *format, ...) printf_like(3, 4);

// Bytes of the UTF-8 sequence that `text` begins with; 0 if it is none (overlong forms, surrogates
// and what is cut short are none).
size_t utf8_len(struct span text);
bool span_is_utf8(struct span text);

#endif
