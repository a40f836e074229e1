// url.h - request targets in one canonical form, and queries.
//
// A path is made canonical once, and routing, authorisation and logs all use that form: runs of
// slashes are one slash, unreserved characters are not encoded, the rest is with capital digits.
// What could mean different things to two readers has no canonical form and is refused: dot
// segments, backslash, ";", encoded slashes, backslashes, percent signs, control and non-ASCII
// bytes, broken escapes.
#ifndef PENSTOCK_CODEC_URL_H
#define PENSTOCK_CODEC_URL_H

#include "penstock/base/base.h"
#include "penstock/base/err.h"

enum { URL_HOST_MAX = 253 };

// A request target, split and checked.
struct url_target {
    struct span path;  // canonical; "*" as it is
    struct span query; // behind the "?", as received, its escapes checked; may be empty
};

// Splits an origin-form target or "*" and makes its path canonical. The spans point into `target`,
// or the path into `room` (`room_len` at least target.len) if it had to change. TARGET_MALFORMED.
must_use struct err url_target_parse(struct span target, char *room, size_t room_len,
                                     struct url_target *out);

// One `name=value` of a query, as received; without "=" the value is empty.
struct url_param {
    struct span name, value;
    struct span whole;
};

// Takes the next parameter from the front of `query`; empty ones are skipped. False at the end.
bool url_param_next(struct span *query, struct url_param *param);
// True if `raw`, decoded, is `text`.
bool url_text_is(struct span raw, struct span text);
// The first parameter whose decoded name is `name`; false if there is none.
bool url_param_find(struct span query, struct span name, struct url_param *param);
// Writes the decoded form of a query name or value into `room` (`room_len` at least raw.len):
// escapes resolved, "+" is a space. Returns a view of `room`, or of `raw` if nothing had to be
// decoded.
struct span url_text_decode(struct span raw, char *room, size_t room_len);
// The same for a piece of a path, where "+" stands for itself.
struct span url_path_decode(struct span raw, char *room, size_t room_len);
// Writes `query` without every parameter whose decoded name is `name` into `room` (`room_len` at
// least query.len). Returns a view of `room`, or `query` itself if it has none.
struct span url_param_remove(struct span query, struct span name, char *room, size_t room_len);

// True for `host` or `host:port` as a Host field may hold it: a name, an IPv4 address or an IPv6
// address in brackets, a port of 1 to 65535. No user, nothing encoded, not empty.
bool url_authority_is_valid(struct span text);

#endif
