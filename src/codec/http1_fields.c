#include "penstock/base/check.h"
#include "penstock/codec/http1.h"

#include "http1_scan.h"

// No two rows of http_fields.def may share a slot: the compiler refuses to initialise one twice.
// The case bit of the characters falls out of the byte.
#define HASH(len, first, last) (uint8_t)(((first)*3 + (last)) * 8 + (len))

static const uint8_t slots[256] = {
#define HTTP_FIELD(id, name, first, last) [HASH(sizeof(name) - 1, first, last)] = HF_##id,
#include "penstock/codec/http_fields.def"
#undef HTTP_FIELD
};

static const struct span names[HF_COUNT] = {
#define HTTP_FIELD(id, name, first, last) [HF_##id] = { name, sizeof(name) - 1 },
#include "penstock/codec/http_fields.def"
#undef HTTP_FIELD
};

hot enum http_field_id http1_token_id(struct span token)
{
    const unsigned first = (unsigned char)token.ptr[0];
    const unsigned last = (unsigned char)token.ptr[token.len - 1];
    const uint8_t id = slots[HASH(token.len, first, last)];
    return token_is(token, names[id]) ? id : HF_OTHER; // row 0 has no length
}

enum http_field_id http_field_id(struct span name)
{
    return http_token_is_valid(name) ? http1_token_id(name) : HF_OTHER;
}

const struct http_field *http_field_find(const struct http_head *head, enum http_field_id id)
{
    assert(id > HF_OTHER && id < HF_COUNT);
    return head->seen >> id & 1 ? &head->fields[head->first[id]] : NULL;
}

const struct http_field *http_field_next(const struct http_head *head,
                                         const struct http_field *field)
{
    const struct http_field *end = head->fields + head->field_count;
    assert(field >= head->fields && field < end);
    assert(field->id != HF_OTHER);
    if ((head->repeated >> field->id & 1) == 0)
        return NULL;
    for (const struct http_field *next = field + 1; next < end; next++)
        if (next->id == field->id)
            return next;
    return NULL;
}

bool http_list_next(struct span *list, struct span *member)
{
    while (list->len > 0) {
        const size_t comma = span_find(*list, ',');
        *member = span_trim(span_upto(*list, comma));
        *list = span_from(*list, min_size(comma + 1, list->len));
        if (member->len > 0)
            return true;
    }
    return false;
}

bool http_value_is_valid(struct span value)
{
    return value.len == 0 || scan_value(value.ptr, value.ptr + value.len) == value.ptr + value.len;
}

bool http_token_is_valid(struct span name)
{
    return name.len > 0 && scan_token(name.ptr, name.ptr + name.len) == name.ptr + name.len;
}

const char *http_reason(int status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 424: return "Failed Dependency";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    case 529: return "Overloaded";
    default: return "Unknown";
    }
}
