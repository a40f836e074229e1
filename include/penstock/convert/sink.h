// sink.h - where conversion writes: bytes into memory that somebody else provides, piece by piece.
//
// A sink never blocks and never asks twice: what cannot be written sets `failed`, from then on
// nothing is written, and whoever owns the sink gives up the whole answer or request.
#ifndef PENSTOCK_CONVERT_SINK_H
#define PENSTOCK_CONVERT_SINK_H

#include "penstock/base/base.h"
#include "penstock/convert/words.h"

struct sink {
    char *at, *end; // the room that is left
    // Takes what was written so far and gives new room in at and end, of at least SINK_ROOM_MIN
    // bytes; false if there is none.
    bool (*more)(struct sink *sink);
    // Takes note of text that will stay where it is, after what was written so far; false if it
    // cannot. NULL: all text is copied.
    bool (*view)(struct sink *sink, struct span text);
    bool failed;
};

enum {
    SINK_ROOM_MIN = 64,
    SINK_VIEW_MIN = 512, // shorter text is copied anyway
};

// Room of `size` bytes and no more; what was written is [room, sink->at).
static inline struct sink sink_into(char *room, size_t size)
{
    return (struct sink){ .at = room, .end = room + size };
}

void sink_put_slow(struct sink *sink, struct span bytes); // used by the next one

static inline void sink_put(struct sink *sink, struct span bytes)
{
    if (likely(bytes.len <= (size_t)(sink->end - sink->at) && !sink->failed)) {
        if (bytes.len > 0)
            memcpy(sink->at, bytes.ptr, bytes.len);
        sink->at += bytes.len;
        return;
    }
    sink_put_slow(sink, bytes);
}

// Text that stays where it is until all that was written has been used.
void sink_put_lasting(struct sink *sink, struct span bytes);

#define SINK_TEXT(sink, literal) sink_put((sink), SPAN(literal))

// Valid JSON on one line, for events: a line ends inside no string, so its ends mean nothing.
void sink_line(struct sink *sink, struct span json);

void sink_u64(struct sink *sink, uint64_t value);
// `words` as the contents of a JSON string: no quotes are added. Text that is escaped already is
// copied as it is, which is what makes a delta cheap; only half a pair of surrogates becomes U+FFFD
// (C-077).
void sink_string(struct sink *sink, struct words words);
// The same with quotes around it.
void sink_quoted(struct sink *sink, struct words words);
// `words` as they are meant, without a level of escaping: for text that is JSON itself, as a call's
// arguments are. Lone surrogates and invalid bytes become U+FFFD.
void sink_plain(struct sink *sink, struct words words);

#endif
