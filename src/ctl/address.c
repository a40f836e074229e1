#include "penstock/ctl/address.h"

#include "penstock/base/guard.h"

static bool in_range(struct span range, int family, const uint8_t *addr)
{
    const size_t slash = span_find(range, '/');
    uint64_t bits;
    uint8_t base[16];
    int base_family;
    if (slash == range.len || !config_ip_parse(span_upto(range, slash), &base_family, base) ||
        base_family != family || !span_u64(span_from(range, slash + 1), &bits) ||
        bits > (family == AF_INET ? 32 : 128))
        return false;
    for (uint64_t bit = 0; bit < bits; bit++)
        if (((base[bit / 8] ^ addr[bit / 8]) >> (7 - bit % 8) & 1) != 0)
            return false;
    return true;
}

static bool in_any(const char *const *ranges, size_t count, int family, const uint8_t *addr)
{
    for (size_t i = 0; i < count; i++)
        if (in_range(span_str(ranges[i]), family, addr))
            return true;
    return false;
}

bool address_is_link_local(int family, const uint8_t *addr)
{
    static const char *const ranges[] = { "169.254.0.0/16", "fe80::/10", "::ffff:169.254.0.0/112",
                                          "64:ff9b::169.254.0.0/112", "2002:a9fe::/32" };
    return in_any(ranges, ARRAY_LEN(ranges), family, addr);
}

bool address_is_private(int family, const uint8_t *addr)
{
    static const char *const ranges[] = {
        "0.0.0.0/8",    "10.0.0.0/8",     "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12",
        "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3", "::/128",
        "::1/128",      "fc00::/7",       "fec0::/10",     "ff00::/8",    "::ffff:0:0/96",
        "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16",
    };
    return in_any(ranges, ARRAY_LEN(ranges), family, addr);
}

bool address_in(struct strings ranges, int family, const uint8_t *addr)
{
    for (uint32_t i = 0; i < ranges.count; i++)
        if (in_range(ranges.items[i], family, addr))
            return true;
    return false;
}

bool address_allow(void *arg, const union dest_addr *addr)
{
    const struct config *config = *(const struct config *const *)arg;
    const int family = addr->any.sa_family;
    const void *bytes =
        family == AF_INET ? (const void *)&addr->v4.sin_addr : (const void *)&addr->v6.sin6_addr;
    if (address_is_link_local(family, bytes) && GUARD(ADDRESS_LINK_LOCAL))
        return false;
    return !address_is_private(family, bytes) || !GUARD(ADDRESS_PRIVATE) ||
           address_in(config->upstream.allow_cidr, family, bytes);
}
