#include "penstock/base/check.h"
#include "penstock/codec/http1.h"

#include "http1_scan.h"

// No two rows of http_fields.def may share a slot: the compiler refuses to initialise one twice.
#define HASH(len, first, last) (uint8_t)((len)*4 + (first)*112 + (last)*7)

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

// Up to eight bytes at both ends of `text`, so that every byte of a short text is in the word.
static uint64_t load_short(const char *text, size_t len)
{
    if (len >= 4) {
        uint32_t low, high;
        memcpy(&low, text, 4);
        memcpy(&high, text + len - 4, 4);
        return low | (uint64_t)high << 32;
    }
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)(unsigned char)text[i] << 8 * i;
    return word;
}

static uint64_t load8(const char *text)
{
    uint64_t word;
    memcpy(&word, text, 8);
    return word;
}

#define EVERY_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

// Equality of names without regard to case, eight bytes a step. Setting the case bit maps letters
// and what may stand in `name` rightly, but control bytes onto digits and punctuation as well; a
// byte with neither of the two bits above them is such a one.
static bool name_matches(struct span text, const char *name)
{
    const uint64_t case_bits = EVERY_BYTE(0x20);
    if (text.len < 8) {
        const uint64_t word = load_short(text.ptr, text.len);
        const uint64_t want = load_short(name, text.len);
        const uint64_t used = load_short("\x20\x20\x20\x20\x20\x20\x20", text.len);
        return (word | used) == want && ((word | word >> 1) & used) == used;
    }
    uint64_t differs = 0, printable = case_bits;
    for (size_t at = 0; at < text.len; at += 8) {
        const size_t from = min_size(at, text.len - 8);
        const uint64_t word = load8(text.ptr + from);
        differs |= (word | case_bits) ^ load8(name + from);
        printable &= word | word >> 1;
    }
    return differs == 0 && printable == case_bits;
}

hot enum http_field_id http_field_id(struct span name)
{
    if (name.len == 0)
        return HF_OTHER;
    const unsigned first = (unsigned char)name.ptr[0] | 0x20;
    const unsigned last = (unsigned char)name.ptr[name.len - 1] | 0x20;
    const uint8_t id = slots[HASH(name.len, first, last)];
    if (names[id].len != name.len || !name_matches(name, names[id].ptr))
        return HF_OTHER;
    return id;
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
