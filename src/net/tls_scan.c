// Follows the peer's records on their way to the TLS library: lengths that it would mishandle,
// floods of records without data, and a server's choice of a cipher suite that was never offered
// are refused before it sees them.
#include "tls_internal.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

enum {
    SERVER_HELLO = 2,
    MESSAGE_HEAD = 4,
    RANDOM_AT = MESSAGE_HEAD + 2,
    SESSION_AT = RANDOM_AT + 32, // the length byte of the session id
    SESSION_MAX = 32,
    PREFIX_LEN = sizeof(((struct tls_scan *)0)->prefix),
};
_Static_assert(SESSION_AT + 1 + SESSION_MAX + 2 <= PREFIX_LEN,
               "the prefix of a ServerHello holds its cipher suite");

// The random of a HelloRetryRequest (RFC 8446 4.1.3).
static const uint8_t retry_random[32] = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

bool tls_suite_is_ours(uint16_t suite)
{
    static const uint16_t ours[] = {
        0x1301, 0x1302, // TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384
        0xc02b, 0xc02c, // ECDHE-ECDSA with AES-GCM
        0xc02f, 0xc030, // ECDHE-RSA with AES-GCM
    };
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (ours[i] == suite)
            return true;
    return false;
}

static bool is_known(uint8_t content)
{
    return content >= TLS_CONTENT_CCS && content <= TLS_CONTENT_DATA;
}

// What is wrong with the record whose header is complete, or NULL.
static const char *judge_length(uint8_t content, uint16_t len)
{
    if (GUARD(TLS_RECORD_LONG) && len > TLS_FRAGMENT_MAX)
        return "record longer than the protocol allows";
    if (content == TLS_CONTENT_DATA && GUARD(TLS_RECORD_SHORT) && len < TLS_FRAGMENT_MIN)
        return "protected record too short to hold a byte";
    if (len == 0)
        return "empty record";
    return NULL;
}

static const char *judge_head(struct tls_scan *scan)
{
    uint8_t content = scan->head[0];
    if (!is_known(content))
        return "not a TLS record";
    if (scan->head[1] != 3)
        return "record of an unknown version";
    const char *why = judge_length(content, scan->left);
    if (why != NULL)
        return why;
    // In TLS 1.3 it means nothing, and after a HelloRetryRequest readable messages still follow.
    if (content == TLS_CONTENT_CCS && scan->hello_seen && !scan->retry)
        scan->sealed = true;
    if (scan->open) {
        scan->barren++;
        if (GUARD(TLS_BARREN_FLOOD) && scan->barren > TLS_BARREN_MAX)
            return "too many records without data";
    } else if (scan->records > TLS_HANDSHAKE_RECORDS_MAX) {
        return "too many records in the handshake";
    }
    return NULL;
}

// Called while the beginning of a ServerHello is noted: judges its suite once that is there.
static const char *judge_server_hello(struct tls_scan *scan)
{
    if (scan->prefix_len <= SESSION_AT)
        return NULL;
    size_t suite_at = SESSION_AT + 1 + (size_t)scan->prefix[SESSION_AT];
    if (scan->prefix[SESSION_AT] > SESSION_MAX)
        return "malformed ServerHello";
    if (scan->prefix_len != suite_at + 2)
        return NULL;
    uint16_t suite = (uint16_t)(scan->prefix[suite_at] << 8 | scan->prefix[suite_at + 1]);
    if (GUARD(TLS_SUITE_OFFERED) && !tls_suite_is_ours(suite))
        return "the server chose a cipher suite that was not offered";
    scan->retry = memcmp(scan->prefix + RANDOM_AT, retry_random, sizeof(retry_random)) == 0;
    scan->hello_seen = true;
    return NULL;
}

// One byte of a handshake message's header, or of the noted beginning of a ServerHello.
static const char *note(struct tls_scan *scan, char byte)
{
    bool in_head = scan->prefix_len < MESSAGE_HEAD;
    scan->prefix[scan->prefix_len++] = (uint8_t)byte;
    if (!in_head) {
        scan->message_left--;
        return judge_server_hello(scan);
    }
    if (scan->prefix_len == MESSAGE_HEAD)
        scan->message_left =
            (uint32_t)scan->prefix[1] << 16 | (uint32_t)scan->prefix[2] << 8 | scan->prefix[3];
    return NULL;
}

// Follows a server's readable handshake messages, however they are spread over records.
static const char *follow(struct tls_scan *scan, struct span bytes)
{
    while (bytes.len > 0) {
        if (scan->prefix_len >= MESSAGE_HEAD && scan->message_left == 0)
            scan->prefix_len = 0; // the last message is over
        bool noting = scan->prefix_len < MESSAGE_HEAD ||
                      (scan->prefix[0] == SERVER_HELLO && scan->prefix_len < PREFIX_LEN);
        if (!noting) {
            size_t skip = min_size(bytes.len, scan->message_left);
            scan->message_left -= (uint32_t)skip;
            bytes = span_from(bytes, skip);
            continue;
        }
        const char *why = note(scan, bytes.ptr[0]);
        if (why != NULL)
            return why;
        bytes = span_from(bytes, 1);
    }
    return NULL;
}

static size_t pass_head(struct tls_scan *scan, struct span in)
{
    size_t len = min_size(in.len, (size_t)TLS_HEAD_LEN - scan->head_len);
    memcpy(scan->head + scan->head_len, in.ptr, len);
    scan->head_len += (uint8_t)len;
    if (scan->head_len == TLS_HEAD_LEN) {
        scan->left = (uint16_t)(scan->head[3] << 8 | scan->head[4]);
        scan->records++;
        scan->refused = judge_head(scan);
    }
    return len;
}

size_t tls_scan_pass(struct tls_scan *scan, struct span in)
{
    assert(in.len > 0);
    if (scan->refused != NULL)
        return 0;
    if (scan->head_len < TLS_HEAD_LEN)
        // The header itself may pass even when it is refused: the library then answers the missing
        // fragment with an alert, which it could not send for a header that never came.
        return pass_head(scan, in);
    size_t len = min_size(in.len, scan->left);
    bool readable = !scan->server && !scan->open && !scan->sealed;
    if (readable && scan->head[0] == TLS_CONTENT_HANDSHAKE) {
        scan->refused = follow(scan, span_upto(in, len));
        if (scan->refused != NULL)
            return 0;
    }
    scan->left -= (uint16_t)len;
    if (scan->left == 0)
        scan->head_len = 0;
    return len;
}
