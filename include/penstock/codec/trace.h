// trace.h - the field by which a client's trace is told: W3C Trace Context, `traceparent`.
#ifndef PENSTOCK_CODEC_TRACE_H
#define PENSTOCK_CODEC_TRACE_H

#include "penstock/base/base.h"

enum { TRACE_ID_BYTES = 16, TRACE_SPAN_BYTES = 8 };

// Whose trace a request belongs to, and the caller's own span in it. All zeros: none is told.
struct trace_ids {
    uint8_t trace[TRACE_ID_BYTES], span[TRACE_SPAN_BYTES];
};

static inline bool trace_is_told(const struct trace_ids *ids)
{
    static const struct trace_ids none;
    return memcmp(ids->trace, none.trace, sizeof(none.trace)) != 0;
}

// Reads the value of a traceparent field, of version 00 or of a later one that begins like it.
// False, and *out is none, if it is not valid: its reader then begins as if there were no such
// field, nor a tracestate.
must_use bool traceparent_parse(struct span text, struct trace_ids *out);

#endif
