#include "tls_internal.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <wolfssl/options.h>
#undef _FORTIFY_SOURCE // set by the line above, and not its business

#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>

#include <arpa/inet.h>
#include <stdio.h>

enum {
    HELD_FIRST = KIB,     // a ClientHello is seldom longer
    AEAD_BYTES = 2 * KIB, // what libcrypto holds for a session's two ciphers, about
    ALERT_FATAL = 2,
    ALERT_UNEXPECTED = 10,
    ALERT_HANDSHAKE = 40,
    ALERT_ILLEGAL = 47,
    ALERT_DECODE = 50,
    MESSAGE_HEAD = 4,
};

static const char alpn_protocol[] = "http/1.1";

// ---- The process ----

struct err tls_init(char *why)
{
    why[0] = '\0';
    if (wolfSSL_SetAllocators(tls_heap_take, tls_heap_give, tls_heap_resize) != 0 ||
        wolfSSL_Init() != WOLFSSL_SUCCESS) {
        snprintf(why, TLS_WHY_MAX, "the TLS library cannot be initialised");
        return ERR(TLS_SELF_TEST);
    }
    struct err err = tls_crypto_init(why);
    if (!failed(err) && GUARD(TLS_SELF_TEST))
        err = tls_selftest(why);
    if (failed(err))
        tls_fini();
    return err;
}

void tls_fini(void)
{
    tls_crypto_fini();
    wolfSSL_Cleanup();
    tls_heap_trim();
}

const char *tls_library(void)
{
    static _Thread_local char text[128];
    snprintf(text, sizeof(text),
             "wolfSSL %s, bulk ciphers: %s, AES-GCM only, record and key "
             "exchange guards on",
             wolfSSL_lib_version(), tls_crypto_bulk());
    return text;
}

// ---- Around every call into the library ----

struct frame {
    struct tls_scope saved;
    int64_t used;
};

static struct frame enter(struct tls *tls)
{
    struct tls_scope *scope = tls_scope_get();
    struct frame frame = { *scope, tls_heap_stats().used };
    scope->env = tls->ctx->env;
    scope->aead = tls->aead;
    scope->signer = tls->identity != NULL ? tls->identity->pkey : NULL;
    scope->refused = NULL;
    return frame;
}

// Returns what the crypto callback refused meanwhile, or NULL.
static const char *leave(struct tls *tls, struct frame frame)
{
    struct tls_scope *scope = tls_scope_get();
    const char *refused = scope->refused;
    scope->env = frame.saved.env;
    scope->aead = frame.saved.aead;
    scope->signer = frame.saved.signer;
    scope->refused = frame.saved.refused;
    tls->heap_bytes += tls_heap_stats().used - frame.used;
    return refused;
}

static enum tls_result fail(struct tls *tls, struct err err, const char *why)
{
    if (tls->failed)
        return TLS_FAILED; // the first reason wins
    tls->failed = true;
    tls->err = err;
    if (why != NULL)
        snprintf(tls->reason, sizeof(tls->reason), "%s", why);
    tls->input = SPAN_NONE;
    return TLS_FAILED;
}

static struct err side_err(const struct tls *tls)
{
    return tls->ctx->server ? ERR(TLS_CLIENT) : ERR(TLS_FAILED);
}

static void send_alert(struct tls *tls, uint8_t alert)
{
    const char record[] = { TLS_CONTENT_ALERT, 3, 3, 0, 2, ALERT_FATAL, (char)alert };
    if (!failed(tls->sink_err))
        tls->sink_err = tls->sink.send(tls->sink.arg, span_of(record, sizeof(record)));
}

// Notes the peer's fatal alert as the reason, if there was one. Where the library has failed before
// its first byte went out, and so without an alert, one is sent for it.
static void exchange_alerts(struct tls *tls)
{
    WOLFSSL_ALERT_HISTORY history;
    if (wolfSSL_get_alert_history(tls->ssl, &history) == WOLFSSL_SUCCESS &&
        history.last_rx.level == ALERT_FATAL)
        snprintf(tls->reason, sizeof(tls->reason), "the peer sent alert %d", history.last_rx.code);
    else if (tls->ctx->server && !tls->sent)
        send_alert(tls, ALERT_HANDSHAKE);
}

// The library gave up with `code`; `refused` is what our callback said, if it did.
static enum tls_result fail_library(struct tls *tls, int code, const char *refused)
{
    const char *why = tls->scan.refused != NULL ? tls->scan.refused : refused;
    struct err err = side_err(tls);
    if (code == MEMORY_E || code == MEMORY_ERROR)
        err = ERR(NO_MEMORY);
    else if (failed(tls->sink_err))
        err = tls->sink_err;
    else if (why == NULL && tls->reason[0] != '\0')
        err = ERR(TLS_CERTIFICATE); // the verification has left its reason
    exchange_alerts(tls);
    if (why == NULL && tls->reason[0] == '\0')
        why = wolfSSL_ERR_reason_error_string((unsigned long)code);
    wolfSSL_ERR_clear_error();
    return fail(tls, err, why);
}

// ---- What the library asks ----

struct tls *tls_of(WOLFSSL *ssl)
{
    return wolfSSL_GetIOReadCtx(ssl);
}

static size_t give_held(struct tls *tls, char *out, size_t cap)
{
    size_t len = min_size(cap, tls->held.len - tls->held.sent);
    memcpy(out, tls->held.bytes + tls->held.sent, len);
    tls->held.sent += (uint32_t)len;
    if (tls->held.sent == tls->held.len) {
        tls_heap_give(tls->held.bytes);
        memset(&tls->held, 0, sizeof(tls->held));
    }
    return len;
}

// The next record is one that only wants_hello() may take.
static bool is_next_hello(const struct tls *tls)
{
    return tls->ctx->server && !tls->open && tls->hello.tls13 &&
           (uint8_t)tls->input.ptr[0] == TLS_CONTENT_HANDSHAKE;
}

int tls_on_receive(WOLFSSL *ssl, char *out, int cap, void *arg)
{
    (void)ssl;
    struct tls *tls = arg;
    if (tls->held.len > 0 && !tls->held.collecting)
        return (int)give_held(tls, out, (size_t)cap);
    size_t given = 0;
    while (given < (size_t)cap && tls->input.len > 0) {
        if (tls_scan_at_record(&tls->scan)) {
            if (tls->records_now == 1 || is_next_hello(tls))
                break; // bounded work: the next record belongs to the next call
            tls->records_now++;
        }
        struct span next = span_upto(tls->input, min_size(tls->input.len, (size_t)cap - given));
        size_t len = tls_scan_pass(&tls->scan, next);
        if (len == 0)
            return given > 0 ? (int)given : WOLFSSL_CBIO_ERR_GENERAL;
        memcpy(out + given, next.ptr, len);
        given += len;
        tls->input = span_from(tls->input, len);
    }
    return given > 0 ? (int)given : WOLFSSL_CBIO_ERR_WANT_READ;
}

int tls_on_send(WOLFSSL *ssl, char *bytes, int len, void *arg)
{
    (void)ssl;
    struct tls *tls = arg;
    tls->sent = true;
    if (!failed(tls->sink_err))
        tls->sink_err = tls->sink.send(tls->sink.arg, span_of(bytes, (size_t)len));
    return failed(tls->sink_err) ? WOLFSSL_CBIO_ERR_GENERAL : len;
}

// ---- Making and ending ----

static struct tls *tls_new(struct tls_ctx *ctx, struct tls_sink sink)
{
    struct tls *tls = slab_take(&ctx->sessions);
    if (tls == NULL)
        return NULL;
    memset(tls, 0, sizeof(*tls));
    tls->ctx = tls_ctx_get(ctx);
    tls->sink = sink;
    tls->scan.server = ctx->server;
    return tls;
}

struct err tls_new_server(struct tls **out, struct tls_ctx *ctx, struct tls_sink sink)
{
    assert(ctx->server);
    *out = tls_new(ctx, sink);
    return *out != NULL ? OK : ERR(NO_MEMORY);
}

static bool is_address(const char *host)
{
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

// Offers a kept session of the same host and port, if there is one.
static void offer_session(struct tls *tls)
{
    struct span kept = tls_cache_find(&tls->ctx->cache, span_str(tls->host), tls->port);
    if (kept.len == 0)
        return;
    const unsigned char *at = (const unsigned char *)kept.ptr;
    WOLFSSL_SESSION *session = wolfSSL_d2i_SSL_SESSION(NULL, &at, (long)kept.len);
    tls->offered = session != NULL && wolfSSL_set_session(tls->ssl, session) == WOLFSSL_SUCCESS;
    wolfSSL_SESSION_free(session);
    if (!tls->offered)
        tls_cache_forget(&tls->ctx->cache, span_str(tls->host), tls->port);
}

static bool library_start(struct tls *tls, WOLFSSL_CTX *wctx)
{
    tls->ssl = wolfSSL_new(wctx);
    if (tls->ssl == NULL)
        return false;
    wolfSSL_SetIOReadCtx(tls->ssl, tls);
    wolfSSL_SetIOWriteCtx(tls->ssl, tls);
    return wolfSSL_UseALPN(tls->ssl, (char *)alpn_protocol, sizeof(alpn_protocol) - 1,
                           WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS;
}

static bool client_start(struct tls *tls)
{
    if (!library_start(tls, tls->ctx->wctx))
        return false;
    wolfSSL_SetCertCbCtx(tls->ssl, tls);
    if (!is_address(tls->host) &&
        wolfSSL_UseSNI(tls->ssl, WOLFSSL_SNI_HOST_NAME, tls->host,
                       (unsigned short)strlen(tls->host)) != WOLFSSL_SUCCESS)
        return false;
    offer_session(tls);
    return true;
}

struct err tls_new_client(struct tls **out, struct tls_ctx *ctx, struct tls_sink sink,
                          struct span host, uint16_t port)
{
    assert(!ctx->server);
    *out = NULL;
    if (host.len == 0 || host.len > TLS_HOST_MAX || memchr(host.ptr, '\0', host.len) != NULL)
        return ERR(INVALID);
    struct tls *tls = tls_new(ctx, sink);
    if (tls == NULL)
        return ERR(NO_MEMORY);
    memcpy(tls->host, host.ptr, host.len);
    tls->port = port;
    struct frame frame = enter(tls);
    bool started = client_start(tls);
    leave(tls, frame);
    if (!started) {
        tls_free(&tls);
        return ERR(NO_MEMORY);
    }
    *out = tls;
    return OK;
}

void tls_free(struct tls **tls)
{
    struct tls *end = *tls;
    *tls = NULL;
    if (end == NULL)
        return;
    struct frame frame = enter(end);
    wolfSSL_free(end->ssl);
    tls_heap_give(end->held.bytes);
    leave(end, frame);
    tls_aead_free(&end->aead[0]);
    tls_aead_free(&end->aead[1]);
    struct tls_ctx *ctx = end->ctx;
    slab_give(&ctx->sessions, end);
    tls_ctx_put(&ctx);
}

// ---- The ClientHello ----

static enum tls_result refuse_hello(struct tls *tls, uint8_t alert, const char *why)
{
    send_alert(tls, alert);
    return fail(tls, side_err(tls), why);
}

static bool wants_hello(const struct tls *tls)
{
    if (tls->ssl == NULL || tls->held.collecting)
        return true;
    return tls->held.len == 0 && tls->input.len > 0 && tls_scan_at_record(&tls->scan) &&
           is_next_hello(tls);
}

static bool held_reserve(struct tls *tls, size_t len)
{
    if (len <= tls->held.cap)
        return true;
    size_t cap = max_size(tls->held.cap, HELD_FIRST);
    while (cap < len)
        cap *= 2;
    char *grown = tls_heap_resize(tls->held.bytes, cap);
    if (grown == NULL)
        return false;
    tls->held.bytes = grown;
    tls->held.cap = (uint32_t)cap;
    return true;
}

// The message is whole: judges it, and makes one record of it for the library.
static enum tls_result judge_hello(struct tls *tls)
{
    struct span message = span_of(tls->held.bytes + TLS_HEAD_LEN, tls->held.len - TLS_HEAD_LEN);
    const char *why = NULL;
    struct tls_hello hello;
    uint8_t alert = tls_hello_check(message, &hello, &why);
    if (alert != 0)
        return refuse_hello(tls, alert, why);
    const char head[TLS_HEAD_LEN] = { TLS_CONTENT_HANDSHAKE, 3, 3, (char)(message.len >> 8),
                                      (char)message.len };
    memcpy(tls->held.bytes, head, sizeof(head));
    tls->held.collecting = false;
    tls->records_now = 1;   // this was the record of this call
    if (tls->ssl != NULL) { // the second one, after a HelloRetryRequest
        if (hello.tls13 && strcmp(hello.sni, tls->hello.sni) == 0)
            return TLS_DONE;
        return refuse_hello(tls, ALERT_ILLEGAL, "ClientHello: not the same as before");
    }
    tls->hello = hello;
    tls->identity = tls_ctx_pick(tls->ctx, span_of(hello.sni, hello.sni_len));
    tls_scope_get()->signer = tls->identity->pkey;
    if (!library_start(tls, tls->identity->wctx))
        return fail(tls, ERR(NO_MEMORY), "out of memory");
    return TLS_DONE;
}

static enum tls_result judge_held_head(struct tls *tls)
{
    const uint8_t *head = tls->held.head;
    tls->held.left = (uint32_t)head[3] << 8 | head[4];
    if (head[0] != TLS_CONTENT_HANDSHAKE || head[1] != 3)
        return refuse_hello(tls, ALERT_UNEXPECTED, "not a TLS handshake");
    if (tls->held.left == 0 || tls->held.left > TLS_RECORD_DATA_MAX)
        return refuse_hello(tls, ALERT_DECODE, "handshake record of an impossible length");
    return TLS_DONE;
}

// Takes bytes of the message; TLS_WANT while it is not whole.
static enum tls_result take_fragment(struct tls *tls)
{
    size_t len = min_size(tls->input.len, tls->held.left);
    size_t had = max_size(tls->held.len, TLS_HEAD_LEN);
    if (had + len > TLS_HEAD_LEN + TLS_HELLO_MAX)
        return refuse_hello(tls, ALERT_DECODE, "ClientHello: too long");
    if (!held_reserve(tls, had + len))
        return fail(tls, ERR(NO_MEMORY), "out of memory");
    memcpy(tls->held.bytes + had, tls->input.ptr, len);
    tls->held.len = (uint32_t)(had + len);
    tls->input = span_from(tls->input, len);
    tls->held.left -= (uint32_t)len;
    if (tls->held.left == 0)
        tls->held.head_len = 0;
    if (tls->held.len < TLS_HEAD_LEN + MESSAGE_HEAD)
        return TLS_WANT;
    const uint8_t *message = (const uint8_t *)tls->held.bytes + TLS_HEAD_LEN;
    size_t whole = MESSAGE_HEAD + ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
    size_t have = tls->held.len - TLS_HEAD_LEN;
    if (have > whole || (have == whole && tls->held.left > 0))
        return refuse_hello(tls, ALERT_UNEXPECTED, "ClientHello: followed by other bytes");
    return have == whole ? judge_hello(tls) : TLS_WANT;
}

// Gathers a ClientHello from however many records it comes in. TLS_DONE when it is whole and good.
static enum tls_result collect_hello(struct tls *tls)
{
    tls->held.collecting = true;
    while (tls->input.len > 0) {
        enum tls_result result = TLS_WANT;
        if (tls->held.head_len < TLS_HEAD_LEN) {
            tls->held.head[tls->held.head_len++] = (uint8_t)tls->input.ptr[0];
            tls->input = span_from(tls->input, 1);
            if (tls->held.head_len == TLS_HEAD_LEN && judge_held_head(tls) == TLS_FAILED)
                return TLS_FAILED;
            continue;
        }
        result = take_fragment(tls);
        if (result != TLS_WANT)
            return result;
    }
    return TLS_WANT;
}

// ---- The handshake ----

void tls_feed(struct tls *tls, struct span ciphertext)
{
    assert(tls->input.len == 0);
    if (!tls->failed && !tls->peer_closed)
        tls->input = ciphertext;
}

size_t tls_input_left(const struct tls *tls)
{
    return tls->input.len;
}

static enum tls_result wait_for_input(const struct tls *tls)
{
    return tls->input.len > 0 ? TLS_AGAIN : TLS_WANT;
}

static const char *suite_name(uint16_t suite)
{
    static const struct {
        uint16_t suite;
        const char *name;
    } names[] = {
        { 0x1301, "TLS_AES_128_GCM_SHA256" },        { 0x1302, "TLS_AES_256_GCM_SHA384" },
        { 0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256" }, { 0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384" },
        { 0xc02f, "ECDHE-RSA-AES128-GCM-SHA256" },   { 0xc030, "ECDHE-RSA-AES256-GCM-SHA384" },
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (names[i].suite == suite)
            return names[i].name;
    return "";
}

// Taken now, because the library forgets it when both sides have closed.
static void note_info(struct tls *tls, uint16_t suite)
{
    const char *group = wolfSSL_get_curve_name(tls->ssl);
    char *protocol = NULL;
    unsigned short len = 0;
    tls->info.version = (uint16_t)wolfSSL_version(tls->ssl);
    tls->info.cipher = suite_name(suite);
    tls->info.group = group != NULL ? group : "";
    tls->info.resumed = wolfSSL_session_reused(tls->ssl) == 1;
    tls->info.verified = tls->verified || (tls->info.resumed && tls->offered);
    tls->info.alpn = wolfSSL_ALPN_GetProtocol(tls->ssl, &protocol, &len) == WOLFSSL_SUCCESS;
}

static enum tls_result finish(struct tls *tls)
{
    uint16_t suite = (uint16_t)wolfSSL_get_current_cipher_suite(tls->ssl);
    note_info(tls, suite);
    if (!tls_suite_is_ours(suite) || tls->info.version < TLS1_2_VERSION)
        return fail(tls, side_err(tls), "negotiated what was not offered");
    if (!tls->ctx->server && !tls->info.verified)
        return fail(tls, ERR(TLS_CERTIFICATE), "certificate: not verified");
    tls->open = true;
    tls->scan.open = true;
    return TLS_DONE;
}

static enum tls_result handshake_step(struct tls *tls, const char **refused)
{
    struct frame frame = enter(tls);
    enum tls_result hello = tls->ctx->server && wants_hello(tls) ? collect_hello(tls) : TLS_DONE;
    int done = 0, code = 0;
    if (hello == TLS_DONE) {
        done = tls->ctx->server ? wolfSSL_accept(tls->ssl) : wolfSSL_connect(tls->ssl);
        code = done == WOLFSSL_SUCCESS ? 0 : wolfSSL_get_error(tls->ssl, done);
    }
    *refused = leave(tls, frame);
    if (hello != TLS_DONE)
        return hello;
    if (done == WOLFSSL_SUCCESS)
        return finish(tls);
    if (code == WOLFSSL_ERROR_WANT_READ)
        return wait_for_input(tls);
    return fail_library(tls, code, *refused);
}

enum tls_result tls_handshake(struct tls *tls)
{
    assert(!tls->open);
    if (tls->failed)
        return TLS_FAILED;
    tls->records_now = 0;
    const char *refused = NULL;
    enum tls_result result = handshake_step(tls, &refused);
    // A session that does not lead to a connection is not offered again.
    if (result == TLS_FAILED && tls->offered)
        tls_cache_forget(&tls->ctx->cache, span_str(tls->host), tls->port);
    return result;
}

// ---- Data ----

enum tls_result tls_read(struct tls *tls, void *out, size_t cap, size_t *len)
{
    assert(tls->open);
    assert(cap > 0);
    *len = 0;
    if (tls->failed)
        return TLS_FAILED;
    if (tls->peer_closed)
        return TLS_CLOSED;
    tls->records_now = 0;
    struct frame frame = enter(tls);
    int got = wolfSSL_read(tls->ssl, out, (int)min_size(cap, TLS_RECORD_DATA_MAX));
    int code = got > 0 ? 0 : wolfSSL_get_error(tls->ssl, got);
    const char *refused = leave(tls, frame);
    if (got > 0) {
        tls->scan.barren = 0;
        *len = (size_t)got;
        return TLS_DONE;
    }
    if (code == WOLFSSL_ERROR_WANT_READ)
        return wait_for_input(tls);
    if (code == WOLFSSL_ERROR_ZERO_RETURN) {
        tls->peer_closed = true;
        tls->input = SPAN_NONE; // nothing after close_notify counts
        return TLS_CLOSED;
    }
    return fail_library(tls, code, refused);
}

bool tls_has_input(const struct tls *tls)
{
    return tls->input.len > 0 || (tls->open && !tls->failed && wolfSSL_pending(tls->ssl) > 0);
}

static struct err write_record(struct tls *tls, const char *bytes, size_t len)
{
    struct frame frame = enter(tls);
    int sent = wolfSSL_write(tls->ssl, bytes, (int)len);
    int code = sent > 0 ? 0 : wolfSSL_get_error(tls->ssl, sent);
    const char *refused = leave(tls, frame);
    if (sent == (int)len)
        return OK;
    fail_library(tls, code, refused);
    return tls->err;
}

// Where one record's plaintext comes from: a span as it lies, or several copied together.
struct gather {
    const struct span *spans;
    size_t count, index, offset; // the next byte is spans[index].ptr[offset]
};

static struct span gather_next(struct gather *from, char *scratch)
{
    size_t len = 0;
    struct span whole = SPAN_NONE;
    while (from->index < from->count && len < TLS_RECORD_DATA_MAX) {
        struct span rest = span_from(from->spans[from->index], from->offset);
        size_t part = min_size(rest.len, TLS_RECORD_DATA_MAX - len);
        bool alone = len == 0 && (part == TLS_RECORD_DATA_MAX || from->index + 1 == from->count);
        if (alone)
            whole = span_upto(rest, part);
        else if (part > 0)
            memcpy(scratch + len, rest.ptr, part);
        len += part;
        from->offset += part;
        if (part == rest.len)
            from->index++, from->offset = 0;
        if (alone)
            return whole;
    }
    return span_of(scratch, len);
}

struct err tls_write(struct tls *tls, const struct span *spans, size_t count)
{
    assert(tls->open);
    assert(!tls->we_closed);
    if (tls->failed)
        return tls->err;
    char *scratch = count > 1 ? tls_heap_take(TLS_RECORD_DATA_MAX) : NULL;
    if (count > 1 && scratch == NULL)
        return ERR(NO_MEMORY);
    struct gather from = { spans, count, 0, 0 };
    struct err err = OK;
    while (!failed(err) && from.index < from.count) {
        struct span record = gather_next(&from, scratch);
        if (record.len > 0)
            err = write_record(tls, record.ptr, record.len);
    }
    tls_heap_give(scratch);
    return err;
}

void tls_shutdown(struct tls *tls)
{
    if (!tls->open || tls->failed || tls->we_closed)
        return;
    tls->we_closed = true;
    struct frame frame = enter(tls);
    (void)wolfSSL_shutdown(tls->ssl); // a failing sink will be told by its owner
    leave(tls, frame);
}

enum tls_result tls_end(struct tls *tls)
{
    if (tls->failed)
        return TLS_FAILED;
    if (tls->peer_closed || !GUARD(TLS_TRUNCATION))
        return TLS_CLOSED;
    if (!tls->open)
        return fail(tls, side_err(tls), "the connection ended in the handshake");
    return fail(tls, tls->ctx->server ? ERR(CLIENT_GONE) : ERR(UPSTREAM_TRUNCATED),
                "the connection ended without close_notify");
}

// ---- Questions ----

struct err tls_err(const struct tls *tls)
{
    return tls->err;
}

const char *tls_reason(const struct tls *tls)
{
    return tls->reason;
}

struct tls_info tls_info(const struct tls *tls)
{
    struct tls_info info = { .cipher = "", .group = "" };
    if (tls->open)
        info = tls->info;
    info.sni = tls->ctx->server ? span_of(tls->hello.sni, tls->hello.sni_len) : span_str(tls->host);
    return info;
}

size_t tls_bytes(const struct tls *tls)
{
    size_t ciphers = tls->aead[0].ctx != NULL ? AEAD_BYTES : 0;
    return sizeof(*tls) + ciphers + (tls->heap_bytes > 0 ? (size_t)tls->heap_bytes : 0);
}
