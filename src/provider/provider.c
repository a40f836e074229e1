#include "penstock/provider/provider.h"

#include "penstock/base/check.h"

static const struct provider *const providers[ACCOUNT_TYPE_COUNT] = {
#define PROVIDER(type, name) [ACCOUNT_##type] = &provider_##name,
#include "penstock/provider/providers.def"
#undef PROVIDER
};

const struct provider *provider_of(enum account_type type)
{
    assert(type < ACCOUNT_TYPE_COUNT);
    assert(providers[type] != NULL);
    return providers[type];
}

static bool is_plain(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("-._~/:@", byte) != NULL);
}

void provider_put_encoded(struct put *out, struct span text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        char code[3] = { '%', digits[byte >> 4], digits[byte & 15] };
        put_span(out, is_plain(byte) ? span_of(&text.ptr[i], 1) : span_of(code, sizeof(code)));
    }
}

void provider_put_query(struct put *out, struct span query)
{
    if (query.len == 0)
        return;
    put_span(out, SPAN("?"));
    put_span(out, query);
}

bool provider_has_field(struct span lines, struct span name)
{
    while (lines.len > name.len) {
        if (span_eq_nocase(span_upto(lines, name.len), name) && lines.ptr[name.len] == ':')
            return true;
        size_t end = span_find(lines, '\n');
        lines = span_from(lines, min_size(end + 1, lines.len));
    }
    return false;
}
