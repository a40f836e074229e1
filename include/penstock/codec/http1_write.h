// http1_write.h - writes head lines.
#ifndef PENSTOCK_CODEC_HTTP1_WRITE_H
#define PENSTOCK_CODEC_HTTP1_WRITE_H

#include "penstock/base/put.h"
#include "penstock/codec/http1.h"

// "name: value\r\n". Names are ours or parsed tokens; a value must be valid
// (http_value_is_valid()), which everything that came out of a parsed head is.
static inline void http_put_field(struct put *put, struct span name, struct span value)
{
    if (!put_fits(put, name.len + value.len + 4))
        return;
    char *at = put->at;
    if (name.len > 0)
        memcpy(at, name.ptr, name.len);
    at += name.len;
    memcpy(at, ": ", 2);
    if (value.len > 0)
        memcpy(at + 2, value.ptr, value.len);
    at += 2 + value.len;
    memcpy(at, "\r\n", 2);
    put->at = at + 2;
}

static inline void http_put_field_u64(struct put *put, struct span name, uint64_t value)
{
    put_span(put, name);
    put_span(put, SPAN(": "));
    put_u64(put, value);
    put_span(put, SPAN("\r\n"));
}

#endif
