// http1.h - HTTP/1.1 heads and chunked bodies, strictly by RFC 9112, without I/O or allocation.
//
// Heads are parsed in place: names and values are spans into the caller's bytes, valid as long as
// those are. What is refused, beyond the grammar: obs-fold, white space before the first field or
// before a colon, bare CR or LF, NUL and control bytes, Content-Length together with
// Transfer-Encoding, either of them twice (even if equal), a Content-Length that is not plain
// digits, any Transfer-Encoding but exactly "chunked", an HTTP/1.0 message with Transfer-Encoding,
// a missing, repeated or invalid Host in HTTP/1.1, CONNECT. Bytes from 0x80 on may stand in values,
// not in names. A repeated field that a decision hangs on is refused unless the copies are
// identical (credentials) or it is a list.
#ifndef PENSTOCK_CODEC_HTTP1_H
#define PENSTOCK_CODEC_HTTP1_H

#include "penstock/base/base.h"
#include "penstock/base/err.h"
#include "penstock/codec/parse.h"

enum {
    HTTP_FIELDS_MAX = 100,
    HTTP_METHOD_MAX = 32,
    HTTP_TARGET_MAX = 8 * KIB,
    HTTP_EMPTY_LINES_MAX = 4,          // before a request line
    HTTP_LENGTH_DIGITS_MAX = 18,       // of Content-Length: any such number fits 63 bits
    HTTP_CONNECTION_NAMES_MAX = 32,    // of all Connection fields of a head
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
#define HTTP_FIELD(id, name, first, last) HF_##id,
#include "penstock/codec/http_fields.def"
#undef HTTP_FIELD
    HF_COUNT
};
_Static_assert(HF_COUNT <= 64, "the ids that repeat are a mask of 64 bits");

struct http_field {
    struct span name;  // as received
    struct span value; // without surrounding white space
    enum http_field_id id;
    bool is_hop;
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
    // Origin form, or "*" for OPTIONS; absolute form is cut down to its path and query. Only bytes
    // that may stand in a target; url_target_parse() looks closer.
    struct span target;
    // Answers.
    int status;
    struct span reason;
    // Both.
    uint8_t minor; // HTTP/1.minor, 0 or 1
    enum http_framing framing;
    uint64_t content_length; // with HTTP_LENGTH, 0 included; else 0
    bool keep_alive;         // by version and Connection; false for an answer that ends by close
    bool expect_continue;    // a body follows and HTTP/1.1 waits for 100
    bool upgrade;            // an Upgrade field is present
    uint16_t field_count;
    uint64_t seen, repeated; // a bit an id; not of HF_OTHER
    uint8_t first[HF_COUNT]; // index of the first field with this id, where seen
    struct http_field fields[HTTP_FIELDS_MAX];
};

// Parses one request head at the start of `in`. PARSE_DONE sets *used to the head's bytes, its
// blank line included. PARSE_MORE: the head is not complete yet; *used is unchanged and nothing
// else is promised. PARSE_BAD sets *err; more bytes would not have changed it. `in.len` may exceed
// `head_max`; a head longer than that is HEAD_TOO_LARGE. Empty lines before the request line are
// skipped and counted in *used.
must_use enum parse http_request_parse(struct http_head *head, struct span in, size_t head_max,
                                       size_t *used, struct err *err);

// The same for an answer to a request with `method`. 1xx, 204, 304 and answers to HEAD have no body
// whatever they claim; 1xx and 204 that claim one end the connection. All errors are UPSTREAM_HEAD.
must_use enum parse http_response_parse(struct http_head *head, struct span in, size_t head_max,
                                        enum http_method method, size_t *used, struct err *err);

// Parsing starts over at the head's first byte, so a peer that drips bytes would cost quadratic
// work. This says whether another try is worth it: the end of a head came in, or `in` doubled since
// the last try (so that garbage is refused early), or it reached `head_max`. Zero it for each head.
struct http_scan {
    size_t scanned; // bytes looked at
    size_t tried;   // length of `in` at the last true
};
must_use bool http_scan_again(struct http_scan *scan, struct span in, size_t head_max);
must_use static inline bool http_scan_ready(struct http_scan *scan, struct span in, size_t head_max)
{
    if (scan->tried > 0 || in.len == 0)
        return http_scan_again(scan, in, head_max);
    scan->tried = in.len; // nearly every head comes whole: no second look at it
    return true;
}

// The first field with `id`, or NULL. `id` is not HF_OTHER.
const struct http_field *http_field_find(const struct http_head *head, enum http_field_id id);
// The next one with the same id after `field`, or NULL.
const struct http_field *http_field_next(const struct http_head *head,
                                         const struct http_field *field);
// True for hop-by-hop fields (RFC 9110 7.6.1) and for those that the Connection field of their head
// names.
static inline bool http_field_is_hop(const struct http_field *field)
{
    return field->is_hop;
}
// Takes the next member, trimmed, of a comma-separated list from the front of `list`; empty ones
// are skipped, as RFC 9110 5.6.1 wants. False at the end. Not for lists with quoted strings.
bool http_list_next(struct span *list, struct span *member);
// True if `value` may stand in a head: no control bytes, no CR, LF, NUL.
bool http_value_is_valid(struct span value);
// True if `name` is a token: a field name or a method.
bool http_token_is_valid(struct span name);
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
// body (a view of `in`), and its chunk's end was taken with it if it was there. PARSE_MORE: `in` is
// used up. PARSE_DONE: the body and its trailers, which are dropped, have ended; `in` begins behind
// them. PARSE_BAD: not valid; nothing after this point can be trusted.
must_use enum parse chunked_feed(struct chunked *dec, struct span *in, struct span *out);

// Writes the header line of a chunk of `len` bytes (len > 0) and returns its length.
enum { HTTP_CHUNK_HEAD_MAX = 18 };
size_t chunk_head_write(char out[HTTP_CHUNK_HEAD_MAX], uint64_t len);

#endif
