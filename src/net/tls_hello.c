// Judges a ClientHello before the TLS library reads it: its lengths must add up, no extension and
// no key share may come twice (RFC 8446 4.2, 4.2.8), no share may be of small order, a list of
// protocols must end where it says. The server name is read here too, because the certificate is
// chosen before the library starts.
#include "tls_internal.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

enum {
    HELLO_TYPE = 1,
    HELLO_EXTENSIONS_MAX = 64,
    HELLO_SHARES_MAX = 16,
    HELLO_RANDOM_LEN = 32,
    HELLO_SESSION_MAX = 32,
    TLS12 = 0x0303,
    TLS13 = 0x0304,
    X25519_LEN = 32,
    P256_LEN = 65,
};

enum extension {
    EXT_SERVER_NAME = 0,
    EXT_ALPN = 16,
    EXT_PRE_SHARED_KEY = 41,
    EXT_SUPPORTED_VERSIONS = 43,
    EXT_KEY_SHARE = 51,
};
enum group { GROUP_P256 = 0x0017, GROUP_X25519 = 0x001d };
enum alert { ALERT_ILLEGAL = 47, ALERT_DECODE = 50 };

struct verdict {
    uint8_t alert;
    const char *why;
};
#define PASS ((struct verdict){ 0, NULL })
#define REFUSE(alert, why) ((struct verdict){ ALERT_##alert, "ClientHello: " why })

// Takes values off the front of a view; once something is missing it is `bad` and yields zeros.
struct cursor {
    struct span rest;
    bool bad;
};

static struct span take(struct cursor *in, size_t len)
{
    if (in->bad || in->rest.len < len) {
        in->bad = true;
        return SPAN_NONE;
    }
    struct span taken = span_upto(in->rest, len);
    in->rest = span_from(in->rest, len);
    return taken;
}

static uint32_t take_number(struct cursor *in, size_t len)
{
    struct span bytes = take(in, len);
    uint32_t value = 0;
    for (size_t i = 0; i < bytes.len; i++)
        value = value << 8 | (uint8_t)bytes.ptr[i];
    return value;
}

// A vector: its length in `len_bytes` bytes, then that many bytes.
static struct cursor take_vector(struct cursor *in, size_t len_bytes)
{
    struct span body = take(in, take_number(in, len_bytes));
    return (struct cursor){ body, in->bad };
}

static bool is_spent(const struct cursor *in)
{
    return !in->bad && in->rest.len == 0;
}

static bool is_name_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' ||
           byte == '.' || byte == '_';
}

static struct verdict check_server_name(struct cursor body, struct tls_hello *hello)
{
    struct cursor list = take_vector(&body, 2);
    uint32_t type = take_number(&list, 1);
    struct cursor name = take_vector(&list, 2);
    if (name.bad || !is_spent(&list) || !is_spent(&body) || type != 0 || name.rest.len == 0)
        return REFUSE(DECODE, "malformed server name");
    size_t len = name.rest.len - (name.rest.ptr[name.rest.len - 1] == '.' ? 1 : 0);
    if (len == 0 || len > TLS_HOST_MAX)
        return REFUSE(ILLEGAL, "server name of an impossible length");
    for (size_t i = 0; i < len; i++) {
        char byte = name.rest.ptr[i];
        hello->sni[i] = byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
        if (!is_name_byte(hello->sni[i]))
            return REFUSE(ILLEGAL, "server name is not a host name");
    }
    hello->sni[len] = '\0';
    hello->sni_len = (uint8_t)len;
    return PASS;
}

static struct verdict check_alpn(struct cursor body)
{
    struct cursor list = take_vector(&body, 2);
    bool bad = list.bad || list.rest.len == 0 || !is_spent(&body);
    while (!bad && list.rest.len > 0) {
        struct cursor name = take_vector(&list, 1);
        bad = name.bad || name.rest.len == 0;
    }
    if (GUARD(TLS_ALPN_BOUNDS) && bad)
        return REFUSE(DECODE, "malformed list of protocols");
    return PASS;
}

static struct verdict check_versions(struct cursor body, struct tls_hello *hello)
{
    struct cursor list = take_vector(&body, 1);
    while (!list.bad && list.rest.len > 0)
        hello->tls13 |= take_number(&list, 2) == TLS13;
    if (list.bad || !is_spent(&body))
        return REFUSE(DECODE, "malformed list of versions");
    return PASS;
}

// Whether a share is one of the points whose product with any scalar is zero: 0, 1, the two points
// of order 8, and p - 1, p and p + 1. The highest bit is not part of the point (RFC 7748 5).
static bool is_small_order(struct span share)
{
    static const uint8_t order8[][X25519_LEN] = {
        { 0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
          0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
          0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00 },
        { 0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
          0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
          0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57 },
    };
    uint8_t point[X25519_LEN], middle_or = 0, middle_and = 0xff;
    memcpy(point, share.ptr, sizeof(point));
    point[X25519_LEN - 1] &= 0x7f;
    for (int i = 1; i < X25519_LEN - 1; i++)
        middle_or |= point[i], middle_and &= point[i];
    bool near_zero = middle_or == 0 && point[X25519_LEN - 1] == 0 && point[0] <= 1;
    bool near_p =
        middle_and == 0xff && point[X25519_LEN - 1] == 0x7f && point[0] >= 0xec && point[0] <= 0xee;
    return near_zero || near_p || memcmp(point, order8[0], sizeof(point)) == 0 ||
           memcmp(point, order8[1], sizeof(point)) == 0;
}

static struct verdict check_share(uint32_t group, struct span share)
{
    if ((group == GROUP_X25519 && share.len != X25519_LEN) ||
        (group == GROUP_P256 && share.len != P256_LEN))
        return REFUSE(ILLEGAL, "key share of a wrong length");
    if (GUARD(TLS_SMALL_ORDER) && group == GROUP_X25519 && is_small_order(share))
        return REFUSE(ILLEGAL, "key share of small order");
    return PASS;
}

static struct verdict check_key_shares(struct cursor body)
{
    uint32_t seen[HELLO_SHARES_MAX];
    size_t count = 0;
    struct cursor list = take_vector(&body, 2);
    while (!list.bad && list.rest.len > 0) {
        uint32_t group = take_number(&list, 2);
        struct cursor share = take_vector(&list, 2);
        if (share.bad || share.rest.len == 0)
            return REFUSE(DECODE, "malformed key share");
        if (count == HELLO_SHARES_MAX)
            return REFUSE(ILLEGAL, "too many key shares");
        for (size_t i = 0; i < count; i++)
            if (GUARD(TLS_KEY_SHARE_REPEATED) && seen[i] == group)
                return REFUSE(ILLEGAL, "repeated key share");
        seen[count++] = group;
        struct verdict verdict = check_share(group, share.rest);
        if (verdict.alert != 0)
            return verdict;
    }
    if (list.bad || !is_spent(&body))
        return REFUSE(DECODE, "malformed key shares");
    return PASS;
}

static struct verdict check_extension(uint32_t type, struct cursor body, struct tls_hello *hello)
{
    if (type == EXT_SERVER_NAME)
        return check_server_name(body, hello);
    if (type == EXT_ALPN)
        return check_alpn(body);
    if (type == EXT_SUPPORTED_VERSIONS)
        return check_versions(body, hello);
    if (type == EXT_KEY_SHARE)
        return check_key_shares(body);
    return PASS; // the library's business
}

static struct verdict check_extensions(struct cursor list, struct tls_hello *hello)
{
    uint32_t seen[HELLO_EXTENSIONS_MAX];
    size_t count = 0;
    while (!list.bad && list.rest.len > 0) {
        uint32_t type = take_number(&list, 2);
        struct cursor body = take_vector(&list, 2);
        if (body.bad)
            break;
        if (count == HELLO_EXTENSIONS_MAX)
            return REFUSE(ILLEGAL, "too many extensions");
        for (size_t i = 0; i < count; i++)
            if (GUARD(TLS_EXTENSION_REPEATED) && seen[i] == type)
                return REFUSE(ILLEGAL, "repeated extension");
        seen[count++] = type;
        if (type == EXT_PRE_SHARED_KEY && list.rest.len > 0)
            return REFUSE(ILLEGAL, "pre_shared_key is not the last extension");
        struct verdict verdict = check_extension(type, body, hello);
        if (verdict.alert != 0)
            return verdict;
    }
    return list.bad ? REFUSE(DECODE, "malformed extensions") : PASS;
}

static struct verdict check_message(struct span message, struct tls_hello *hello)
{
    struct cursor in = { message, false };
    uint32_t type = take_number(&in, 1);
    struct cursor body = take_vector(&in, 3);
    if (body.bad || !is_spent(&in) || type != HELLO_TYPE)
        return REFUSE(DECODE, "not one whole message");
    uint32_t version = take_number(&body, 2);
    (void)take(&body, HELLO_RANDOM_LEN);
    struct cursor session = take_vector(&body, 1);
    struct cursor suites = take_vector(&body, 2);
    struct cursor compression = take_vector(&body, 1);
    if (body.bad || session.rest.len > HELLO_SESSION_MAX || suites.rest.len == 0 ||
        suites.rest.len % 2 != 0 || compression.rest.len == 0)
        return REFUSE(DECODE, "malformed");
    if (body.rest.len == 0)
        return PASS; // TLS 1.2 without extensions
    struct cursor extensions = take_vector(&body, 2);
    if (extensions.bad || !is_spent(&body))
        return REFUSE(DECODE, "malformed extensions");
    struct verdict verdict = check_extensions(extensions, hello);
    // A client of 1.3 says 1.2 here; anything else is negotiated the old way.
    hello->tls13 &= version == TLS12;
    return verdict;
}

uint8_t tls_hello_check(struct span message, struct tls_hello *hello, const char **refused)
{
    assert(message.len <= TLS_HELLO_MAX);
    *hello = (struct tls_hello){ .tls13 = false };
    struct verdict verdict = check_message(message, hello);
    if (verdict.alert != 0)
        *refused = verdict.why;
    return verdict.alert;
}
