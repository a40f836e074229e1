#include "penstock/codec/url.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include "http1_scan.h"

#include <arpa/inet.h>

static unsigned hex_value(char digit)
{
    return is_class(digit, CLASS_DIGIT) ? (unsigned)(digit - '0')
                                        : (unsigned)((digit | 0x20) - 'a' + 10);
}

// The byte that an escape at the start of `text` stands for, or -1 if there is no whole escape.
static int escape_value(struct span text)
{
    if (text.len < 3 || text.ptr[0] != '%')
        return -1;
    if (!is_class(text.ptr[1], CLASS_HEX) || !is_class(text.ptr[2], CLASS_HEX))
        return -1;
    return (int)(hex_value(text.ptr[1]) << 4 | hex_value(text.ptr[2]));
}

// Nothing to decode, to merge or to look at twice. True of nearly every path.
static bool path_is_plain(struct span path)
{
    char before = 0;
    for (size_t i = 0; i < path.len; i++) {
        const char byte = path.ptr[i];
        if (!is_class(byte, CLASS_PATH))
            return false;
        if (before == '/' && (byte == '/' || byte == '.'))
            return false;
        before = byte;
    }
    return true;
}

static bool path_has_dot_segment(struct span path)
{
    while (path.len > 0) {
        path = span_from(path, 1); // its "/"
        const size_t len = span_find(path, '/');
        if (span_eq(span_upto(path, len), SPAN(".")) || span_eq(span_upto(path, len), SPAN("..")))
            return true;
        path = span_from(path, len);
    }
    return false;
}

// Writes the path's canonical form, which is never longer, and tells its length; false if it has
// none.
static bool path_write(struct span path, char *room, size_t *len)
{
    size_t out = 0;
    for (size_t i = 0; i < path.len; i++) {
        const char byte = path.ptr[i];
        if (byte == '/' && out > 0 && room[out - 1] == '/')
            continue;
        if (is_class(byte, CLASS_PATH)) {
            room[out++] = byte;
            continue;
        }
        const int value = escape_value(span_from(path, i));
        if (value <= 0x1f || value >= 0x7f)
            return false; // no escape, or of a byte that stands in no path
        if ((value == '/' || value == '\\' || value == '%' || value == ';') &&
            GUARD(URL_HIDDEN_DELIMITER))
            return false;
        if (is_class((char)value, CLASS_UNRESERVED)) {
            room[out++] = (char)value;
        } else {
            room[out++] = '%';
            room[out++] = "0123456789ABCDEF"[value >> 4];
            room[out++] = "0123456789ABCDEF"[value & 15];
        }
        i += 2;
    }
    *len = out;
    return !path_has_dot_segment(span_of(room, out)) || !GUARD(URL_DOT_SEGMENT);
}

static bool query_is_valid(struct span query)
{
    const char *end = query.ptr + query.len;
    if (query.len == 0)
        return true;
    if (scan_target(query.ptr, end) != end)
        return false;
    for (size_t at = span_find(query, '%'); at < query.len; at = span_find(query, '%')) {
        query = span_from(query, at);
        if (escape_value(query) <= 0)
            return false; // broken, or a NUL
        query = span_from(query, 3);
    }
    return true;
}

struct err url_target_parse(struct span target, char *room, size_t room_len, struct url_target *out)
{
    assert(room_len >= target.len);
    if (span_eq(target, SPAN("*"))) {
        *out = (struct url_target){ .path = target, .query = SPAN_NONE };
        return OK;
    }
    if (target.len == 0 || target.ptr[0] != '/')
        return ERR(TARGET_MALFORMED);
    const size_t mark = span_find(target, '?');
    out->path = span_upto(target, mark);
    out->query = span_from(target, min_size(mark + 1, target.len));
    if (!path_is_plain(out->path)) {
        size_t len;
        if (!path_write(out->path, room, &len))
            return ERR(TARGET_MALFORMED);
        out->path = span_of(room, len);
    }
    return query_is_valid(out->query) ? OK : ERR(TARGET_MALFORMED);
}

bool url_param_next(struct span *query, struct url_param *param)
{
    while (query->len > 0) {
        const struct span whole = span_upto(*query, span_find(*query, '&'));
        *query = span_from(*query, min_size(whole.len + 1, query->len));
        if (whole.len == 0)
            continue;
        const size_t equals = span_find(whole, '=');
        param->whole = whole;
        param->name = span_upto(whole, equals);
        param->value = span_from(whole, min_size(equals + 1, whole.len));
        return true;
    }
    return false;
}

// Takes one decoded byte from the front of `raw`, which is not empty. A broken escape stands for
// itself.
static char decoded_byte(struct span *raw, bool plus_is_space)
{
    const int value = escape_value(*raw);
    const char byte = raw->ptr[0];
    *raw = span_from(*raw, value >= 0 ? 3 : 1);
    if (value >= 0)
        return (char)value;
    return byte == '+' && plus_is_space ? ' ' : byte;
}

bool url_text_is(struct span raw, struct span text)
{
    while (raw.len > 0 && text.len > 0) {
        if (decoded_byte(&raw, true) != text.ptr[0])
            return false;
        text = span_from(text, 1);
    }
    return raw.len == 0 && text.len == 0;
}

bool url_param_find(struct span query, struct span name, struct url_param *param)
{
    while (url_param_next(&query, param))
        if (url_text_is(param->name, name))
            return true;
    return false;
}

static struct span text_decode(struct span raw, char *room, bool plus_is_space)
{
    size_t len = 0;
    while (raw.len > 0)
        room[len++] = decoded_byte(&raw, plus_is_space);
    return span_of(room, len);
}

struct span url_text_decode(struct span raw, char *room, size_t room_len)
{
    assert(room_len >= raw.len);
    if (span_find(raw, '%') == raw.len && span_find(raw, '+') == raw.len)
        return raw;
    return text_decode(raw, room, true);
}

struct span url_path_decode(struct span raw, char *room, size_t room_len)
{
    assert(room_len >= raw.len);
    return span_find(raw, '%') == raw.len ? raw : text_decode(raw, room, false);
}

struct span url_param_remove(struct span query, struct span name, char *room, size_t room_len)
{
    assert(room_len >= query.len);
    struct url_param param;
    if (!url_param_find(query, name, &param))
        return query;
    size_t len = 0;
    struct span rest = query;
    while (url_param_next(&rest, &param)) {
        if (url_text_is(param.name, name))
            continue;
        if (len > 0)
            room[len++] = '&';
        memcpy(room + len, param.whole.ptr, param.whole.len);
        len += param.whole.len;
    }
    return span_of(room, len);
}

// An address of `family`, which inet_pton() wants as a string. No zone.
static bool is_address(int family, struct span text)
{
    char string[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    if (text.len == 0 || text.len >= sizeof(string) || memchr(text.ptr, 0, text.len) != NULL)
        return false;
    memcpy(string, text.ptr, text.len);
    string[text.len] = 0;
    return inet_pton(family, string, address) == 1;
}

static bool port_parse(struct span text, uint16_t *port)
{
    uint32_t value = 0;
    if (text.len == 0 || text.len > 5 || text.ptr[0] == '0')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_class(text.ptr[i], CLASS_DIGIT))
            return false;
        value = value * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    if (value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

// Splits `host`, `host:port`, `[v6]` or `[v6]:port`; the host without its brackets, *port unchanged
// where the text has none.
static bool authority_split(struct span text, struct span *host, bool *is_ipv6, uint16_t *port)
{
    struct span rest;
    *is_ipv6 = text.len > 0 && text.ptr[0] == '[';
    if (*is_ipv6) {
        const size_t close = span_find(text, ']');
        if (close == text.len)
            return false;
        *host = span_of(text.ptr + 1, close - 1);
        rest = span_from(text, close + 1);
        if (!is_address(AF_INET6, *host))
            return false;
    } else {
        size_t len = 0;
        while (len < text.len && is_class(text.ptr[len], CLASS_HOST))
            len++;
        *host = span_upto(text, len);
        rest = span_from(text, len);
        if (len == 0 || len > URL_HOST_MAX)
            return false;
    }
    if (rest.len == 0)
        return true;
    return rest.ptr[0] == ':' && port_parse(span_from(rest, 1), port);
}

bool url_authority_is_valid(struct span text)
{
    struct span host;
    bool is_ipv6;
    uint16_t port;
    return authority_split(text, &host, &is_ipv6, &port);
}
