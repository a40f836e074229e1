// json_writer.h - builds small JSON texts in the caller's memory: error bodies, lists, log lines.
//
// What does not fit sets `overflow`, and from then on nothing is written; jsonw_done() tells. The
// text has no white space. Strings are escaped and always come out as valid UTF-8: an invalid byte
// becomes U+FFFD.
#ifndef PENSTOCK_CODEC_JSON_WRITER_H
#define PENSTOCK_CODEC_JSON_WRITER_H

#include "penstock/base/put.h"
#include "penstock/codec/json.h"

enum { JSONW_DEPTH_MAX = 64, JSON_ESCAPE_MAX = 6 };

// The next piece of `text` as it has to stand in a JSON string, a view of the text where nothing
// has to be escaped, else in `room`; takes it from the front of `text`, which must not be empty. An
// invalid byte becomes U+FFFD.
struct span json_escape_next(struct span *text, char room[JSON_ESCAPE_MAX]);

struct jsonw {
    char *buf;
    size_t cap, len;
    bool overflow;
    bool after_key; // the next value belongs to the key just written
    uint32_t depth;
    uint64_t filled; // a bit a level: something stands there, so a comma is due
    uint64_t object; // a bit a level: this level is an object
};

void jsonw_init(struct jsonw *out, char *buf, size_t cap);

void jsonw_object(struct jsonw *out);
void jsonw_object_end(struct jsonw *out);
void jsonw_array(struct jsonw *out);
void jsonw_array_end(struct jsonw *out);

void jsonw_key(struct jsonw *out, struct span key);

void jsonw_string(struct jsonw *out, struct span text);
void jsonw_u64(struct jsonw *out, uint64_t value);
void jsonw_i64(struct jsonw *out, int64_t value);
void jsonw_bool(struct jsonw *out, bool value);
void jsonw_null(struct jsonw *out);
// A value that is JSON already.
void jsonw_raw(struct jsonw *out, struct span json);

// A string in pieces: begin, more as often as needed, end.
void jsonw_string_begin(struct jsonw *out);
void jsonw_string_more(struct jsonw *out, struct span text);
void jsonw_string_end(struct jsonw *out);

// The text, once all that was opened is closed; SPAN_NONE if it did not fit.
struct span jsonw_done(const struct jsonw *out);

// One string, with its quotes, for who puts the JSON around it together by hand.
void json_put_string(struct put *put, struct span text);

static inline void jsonw_member(struct jsonw *out, struct span key, struct span text)
{
    jsonw_key(out, key);
    jsonw_string(out, text);
}

static inline void jsonw_member_u64(struct jsonw *out, struct span key, uint64_t value)
{
    jsonw_key(out, key);
    jsonw_u64(out, value);
}

static inline void jsonw_member_null(struct jsonw *out, struct span key)
{
    jsonw_key(out, key);
    jsonw_null(out);
}

#endif
