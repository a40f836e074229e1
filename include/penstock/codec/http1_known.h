// http1_known.h - request heads that came before: the same head again costs a comparison.
//
// A client that keeps its connection sends one head over and over; only the length of the body
// changes. A table keeps such heads as they were parsed, for all connections of a thread that send
// the same one, and beside each a room for what the application concluded from it. A head is kept
// as long as a connection refers to it, and wiped with the last reference: it holds a credential.
#ifndef PENSTOCK_CODEC_HTTP1_KNOWN_H
#define PENSTOCK_CODEC_HTTP1_KNOWN_H

#include "penstock/codec/http1.h"

enum {
    HTTP_KNOWN_COUNT = 128,    // heads of a table; connections beyond them are parsed each time
    HTTP_KNOWN_TEXT = 1 * KIB, // of a head that is kept
    HTTP_KNOWN_ROOM = 1 * KIB, // for the application
};

struct http_known {
    uint64_t room[HTTP_KNOWN_ROOM / sizeof(uint64_t)]; // the application's; zeros to begin with
    uint16_t len;
    uint16_t length_at, length_end; // the digits of Content-Length; without them both are `len`
    struct http_head head;          // its spans are views of `text`
    char text[HTTP_KNOWN_TEXT];
};

struct http_known_table {
    struct http_known *list;
    uint32_t refs[HTTP_KNOWN_COUNT];
    uint32_t tags[HTTP_KNOWN_COUNT]; // of the texts, so that few are compared
};

must_use struct err http_known_init(struct http_known_table *table);
// Every reference must have been given back.
void http_known_fini(struct http_known_table *table);

// True if `in` begins with this head, whatever its Content-Length: `known->head` is then what
// http_request_parse() would say, and *used the head's bytes. Takes the same time for every text of
// the same length.
must_use bool http_known_match(struct http_known *known, struct span in, size_t head_max,
                               size_t *used);

// Takes a reference to the known head that is like `text`, which http_request_parse() has just made
// `head` of; NULL when it is not of a kind to come again, or no place is free.
must_use struct http_known *http_known_get(struct http_known_table *table, struct span text,
                                           const struct http_head *head);
// Gives it back and sets *known to NULL; harmless on NULL.
void http_known_put(struct http_known_table *table, struct http_known **known);

#endif
