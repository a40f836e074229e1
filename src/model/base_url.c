// Base URLs and model patterns: the texts of an account that are more than texts.
#include "penstock/base/guard.h"
#include "penstock/model/account.h"

#include <arpa/inet.h>

enum { HOST_MAX = 253, LABEL_MAX = 63 };

static bool is_alnum(char byte)
{
    const char low = (char)(byte | 0x20);
    return (low >= 'a' && low <= 'z') || (byte >= '0' && byte <= '9');
}

// A name of labels. One that ends in a number is an IPv4 address in some notation, and only the
// usual one is taken: "0x7f.1" and "2130706433" are ways around address checks.
static const char *check_host_name(struct span host)
{
    size_t label = 0, last = 0;
    bool last_numeric = true;
    for (size_t i = 0; i < host.len; i++) {
        const char byte = host.ptr[i];
        if (byte == '.') {
            if (label == 0 || host.ptr[i - 1] == '-')
                return "has an empty or wrong part in its host name";
            label = 0;
            last = i + 1;
            last_numeric = true;
            continue;
        }
        if (!is_alnum(byte) && byte != '_' && (byte != '-' || label == 0))
            return "has a host name with a character that is not allowed";
        const bool digit = byte >= '0' && byte <= '9';
        last_numeric &= digit;
        if (++label > LABEL_MAX)
            return "has a host name with a part that is too long";
    }
    if (label == 0 || host.ptr[host.len - 1] == '-')
        return "has an empty or wrong part in its host name";
    const bool hex =
        host.len - last > 1 && host.ptr[last] == '0' && (host.ptr[last + 1] | 0x20) == 'x';
    if ((!last_numeric && !hex) || !GUARD(URL_NUMERIC_HOST))
        return NULL;
    char text[INET_ADDRSTRLEN];
    struct in_addr address;
    if (host.len >= sizeof(text))
        return "has a numeric host that is no IPv4 address";
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET, text, &address) == 1 ? NULL
                                                   : "has a numeric host that is no IPv4 address";
}

static const char *check_v6(struct span host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (host.len >= sizeof(text))
        return "has a host that is no IPv6 address";
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1 ? NULL : "has a host that is no IPv6 address";
}

// Every byte of the whole text: what is dangerous anywhere.
static const char *check_bytes(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char byte = (unsigned char)text.ptr[i];
        if (byte <= 0x20 || byte >= 0x7f || strchr("\\\"<>^`{|}", byte) != NULL)
            return "holds a character that no URL holds";
        if (byte == '?' || byte == '#')
            return "may have no query and no fragment";
    }
    return NULL;
}

static const char *check_url_path(struct span path)
{
    while (path.len > 0) {
        path = span_from(path, 1); // the '/'
        const struct span part = span_upto(path, span_find(path, '/'));
        if (part.len == 0)
            return "has an empty part in its path";
        if (span_eq(part, SPAN(".")) || span_eq(part, SPAN("..")))
            return "has a dot segment in its path";
        for (size_t i = 0; i < part.len; i++)
            if (strchr("%;[]", part.ptr[i]) != NULL)
                return "has a path with %, ; or a bracket in it";
        path = span_from(path, part.len);
    }
    return NULL;
}

static const char *parse_authority(struct span text, struct base_url *url)
{
    if (span_find(text, '@') < text.len)
        return "may hold no user name or password";
    struct span port = SPAN_NONE;
    bool has_port = false;
    if (text.len > 0 && text.ptr[0] == '[') {
        const size_t end = span_find(text, ']');
        if (end == text.len)
            return "has a host without its closing bracket";
        url->host = span_of(text.ptr + 1, end - 1);
        url->is_ipv6 = true;
        port = span_from(text, end + 1);
        has_port = port.len > 0;
        if (has_port && port.ptr[0] != ':')
            return "has something wrong behind its host";
    } else {
        const size_t end = span_find(text, ':');
        url->host = span_upto(text, end);
        port = span_from(text, end);
        has_port = port.len > 0;
    }
    if (url->host.len == 0)
        return "has no host";
    if (url->host.len > HOST_MAX)
        return "has a host name that is too long";
    uint64_t number = url->tls ? 443 : 80;
    if (has_port && (!span_u64(span_from(port, 1), &number) || number == 0 || number > 65535 ||
                     port.ptr[1] == '0'))
        return "has a port that is none";
    url->port = (uint16_t)number;
    return url->is_ipv6 ? check_v6(url->host) : check_host_name(url->host);
}

const char *base_url_parse(struct span text, struct base_url *out)
{
    *out = (struct base_url){ .path = SPAN("") };
    const char *why = check_bytes(text);
    if (why != NULL)
        return why;
    if (span_starts(text, SPAN("https://"))) {
        out->tls = true;
        text = span_from(text, 8);
    } else if (span_starts(text, SPAN("http://"))) {
        text = span_from(text, 7);
    } else {
        return "must begin with https:// or http://";
    }
    const size_t end = span_find(text, '/');
    why = parse_authority(span_upto(text, end), out);
    if (why != NULL)
        return why;
    out->path = span_from(text, end);
    if (out->path.len > 0 && out->path.ptr[out->path.len - 1] == '/')
        out->path.len--;
    return check_url_path(out->path);
}

bool model_pattern_matches(struct span pattern, struct span name)
{
    if (pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*')
        return span_starts(name, span_upto(pattern, pattern.len - 1));
    return span_eq(pattern, name);
}
