// http1.h - HTTP/1.1 heads and chunked bodies, strictly by RFC 9112, without I/O or allocation.
//
// Heads are parsed in place: names and values are spans into the caller's bytes, valid as long as
// those are. What is refused, beyond the grammar: obs-fold, a space before the colon, bare CR or
// LF, NUL and control bytes, both Content-Length and Transfer-Encoding, Content-Length that is
// repeated with another value or is not plain digits, any Transfer-Encoding but exactly "chunked",
// an HTTP/1.0 message with Transfer-Encoding, a missing, repeated or invalid Host in HTTP/1.1.
#ifndef PENSTOCK_CODEC_HTTP1_H
#define PENSTOCK_CODEC_HTTP1_H

#include "penstock/base/base.h"
#include "penstock/base/err.h"
#include "penstock/codec/parse.h"

enum {
    HTTP_FIELDS_MAX = 100,
    HTTP_TARGET_MAX = 8 * KIB,
    HTTP_HEAD_MAX = 32 * KIB,          // of a client's request
    HTTP_UPSTREAM_HEAD_MAX = 64 * KIB, // of a vendor's answer
    HTTP_CHUNK_DIGITS_MAX = 8,
    HTTP_CHUNK_EXT_MAX = 256,        // bytes of extensions a chunk
    HTTP_CHUNK_EXT_TOTAL = 16 * KIB, // and a message
    HTTP_TRAILER_MAX = 8 * KIB,
};

// Field names that somebody decides on, recognised while parsing; the rest is HF_OTHER.
enum http_field_id {
    HF_OTHER,
#define HTTP_FIELD(id, name) HF_##id,
#include "penstock/codec/http_fields.def"
#undef HTTP_FIELD
    HF_COUNT
};

struct http_field {
    struct span name;  // as received
    struct span value; // without surrounding white space
    enum http_field_id id;
};

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER,
};

// How the body after a head is delimited.
enum http_framing { HTTP_NO_BODY, HTTP_LENGTH, HTTP_CHUNKED, HTTP_UNTIL_CLOSE };

struct http_head {
    // Requests.
    enum http_method method;
    struct span method_text;
    struct span
        target; // origin form, or "*" for OPTIONS; absolute form is cut down to its path and query
    // Answers.
    int status;
    struct span reason;
    // Both.
    uint8_t minor; // HTTP/1.minor, 0 or 1
    enum http_framing framing;
    uint64_t content_length; // with HTTP_LENGTH
    bool keep_alive;         // by version and Connection
    bool expect_continue;
    bool upgrade; // an Upgrade field is present
    uint16_t field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

// Parses one request head at the start of `in`. PARSE_DONE sets *used to the head's bytes, its
// blank line included. PARSE_MORE: the head is not complete yet; *used is unchanged and nothing
// else is promised. PARSE_BAD sets *err. `in.len` may exceed `head_max`; a head longer than that is
// HEAD_TOO_LARGE. One or more empty lines before the request line are skipped and counted in *used.
must_use enum parse http_request_parse(struct http_head *head, struct span in, size_t head_max,
                                       size_t *used, struct err *err);

// The same for an answer to a request with `method`. 1xx, 204, 304 and answers to HEAD have no body
// whatever they claim. All errors are UPSTREAM_HEAD.
must_use enum parse http_response_parse(struct http_head *head, struct span in, size_t head_max,
                                        enum http_method method, size_t *used, struct err *err);

// The first field with `id`, or NULL. `id` is not HF_OTHER.
const struct http_field *http_field_find(const struct http_head *head, enum http_field_id id);
// True for hop-by-hop fields (RFC 9110 7.6.1) and for those that this head's Connection field
// names.
bool http_field_is_hop(const struct http_head *head, const struct http_field *field);
// True if `value` may stand in a head: no control bytes, no CR, LF, NUL.
bool http_value_is_valid(struct span value);
enum http_field_id http_field_id(struct span name);
const char *http_reason(int status); // "Not Found"; "Unknown" for a status without a name

// The decoder of a chunked body, resumable at every byte. Zero it to start.
struct chunked {
    uint64_t left;      // bytes of the current chunk still to come
    uint32_t ext_bytes; // extension bytes of this chunk
    uint32_t ext_total;
    uint32_t trailer_bytes;
    uint8_t state;
    uint8_t digits;
};

// Takes bytes from the front of `in` and moves it past them. PARSE_DATA: *out is a piece of the
// body (a view of `in`). PARSE_MORE: `in` is used up. PARSE_DONE: the body and its trailers, which
// are dropped, have ended; `in` begins behind them. PARSE_BAD: not valid; nothing after this point
// can be trusted.
must_use enum parse chunked_feed(struct chunked *dec, struct span *in, struct span *out);

// Writes the header line of a chunk of `len` bytes (len > 0) and returns its length.
enum { HTTP_CHUNK_HEAD_MAX = 18 };
size_t chunk_head_write(char out[HTTP_CHUNK_HEAD_MAX], uint64_t len);

#endif
