// Targets and base URLs: a canonical path does not change again and holds none of what the header
// promises to refuse; a removed parameter is gone and the others are as they were.
#include "penstock/base/check.h"
#include "penstock/base/text.h"
#include "penstock/codec/url.h"
#include "penstock/model/account.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 8 * KIB };

static void check_path(struct span path)
{
    assert(path.len > 0 && path.ptr[0] == '/');
    for (size_t i = 0; i < path.len; i++) {
        const unsigned char byte = (unsigned char)path.ptr[i];
        assert(byte > ' ' && byte < 0x7f);
        assert(strchr("\\;\"#<>?[]^`{|}", byte) == NULL);
        if (byte == '/' && i + 1 < path.len) {
            assert(path.ptr[i + 1] != '/');
            const struct span rest = span_from(path, i + 1);
            const struct span segment = span_upto(rest, span_find(rest, '/'));
            assert(!span_eq(segment, SPAN(".")) && !span_eq(segment, SPAN("..")));
        }
        if (byte == '%') {
            assert(i + 2 < path.len);
            char digits[3] = { path.ptr[i + 1], path.ptr[i + 2], 0 };
            assert(strspn(digits, "0123456789ABCDEF") == 2);
            const unsigned long value = strtoul(digits, NULL, 16);
            assert(value >= 0x20 && value < 0x7f);
            assert(strchr("/\\%;-._~", (int)value) == NULL);
        }
    }
}

// The other parameters of both queries, one by one.
static void check_removed(struct span query, struct span removed, struct span name)
{
    struct url_param before, after;
    assert(!url_param_find(removed, name, &after));
    while (url_param_next(&query, &before)) {
        if (url_text_is(before.name, name))
            continue;
        assert(url_param_next(&removed, &after));
        assert(span_eq(before.whole, after.whole));
    }
    assert(!url_param_next(&removed, &after));
}

static void check_query(struct span query)
{
    static char room[INPUT_MAX], decoded[INPUT_MAX];
    check_removed(query, url_param_remove(query, SPAN("key"), room, sizeof(room)), SPAN("key"));
    struct span rest = query;
    struct url_param param;
    while (url_param_next(&rest, &param)) {
        assert(param.whole.len > 0);
        const struct span name = url_text_decode(param.name, decoded, sizeof(decoded));
        assert(name.len <= param.name.len);
        assert(url_text_is(param.name, name));
        (void)url_path_decode(param.value, room, sizeof(room));
        struct url_param found;
        assert(url_param_find(query, name, &found));
    }
    // By the name of the first parameter, whatever it is.
    rest = query;
    if (url_param_next(&rest, &param)) {
        const struct span name = url_text_decode(param.name, decoded, sizeof(decoded));
        check_removed(query, url_param_remove(query, name, room, sizeof(room)), name);
    }
}

static void check_target(struct span text)
{
    static char room[INPUT_MAX], again[INPUT_MAX];
    struct url_target target, second;
    if (failed(url_target_parse(text, room, sizeof(room), &target)))
        return;
    assert(target.path.len <= text.len);
    if (span_eq(text, SPAN("*")))
        return;
    check_path(target.path);
    assert(!failed(url_target_parse(target.path, again, sizeof(again), &second)));
    assert(span_eq(second.path, target.path));
    check_query(target.query);
}

static void check_base(struct span text)
{
    struct base_url base, second;
    if (base_url_parse(text, &base) != NULL)
        return;
    assert(base.port != 0);
    assert(base.host.len > 0 && base.host.len <= URL_HOST_MAX);
    assert(base.path.len == 0 || base.path.ptr[base.path.len - 1] != '/');
    if (base.path.len > 0)
        check_path(base.path);
    // Put together again it says the same.
    char written[INPUT_MAX + 32];
    const size_t len =
        fit_printf(written, sizeof(written), "http%s://%s%.*s%s:%u%.*s", base.tls ? "s" : "",
                   base.is_ipv6 ? "[" : "", (int)base.host.len, base.host.ptr,
                   base.is_ipv6 ? "]" : "", base.port, (int)base.path.len, base.path.ptr);
    assert(base_url_parse(span_of(written, len), &second) == NULL);
    assert(second.tls == base.tls && second.port == base.port && second.is_ipv6 == base.is_ipv6);
    assert(span_eq(second.host, base.host) && span_eq(second.path, base.path));
    char host[INPUT_MAX + 8];
    const size_t host_len = fit_printf(host, sizeof(host), "%s%.*s%s", base.is_ipv6 ? "[" : "",
                                       (int)base.host.len, base.host.ptr, base.is_ipv6 ? "]" : "");
    assert(url_authority_is_valid(span_of(host, host_len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    // In memory that ends where the input does.
    char *copy = malloc(size + !size);
    memcpy(copy, data, size);
    const struct span text = span_of(copy, size);
    check_target(text);
    check_base(text);
    (void)url_authority_is_valid(text);
    free(copy);
    return 0;
}
