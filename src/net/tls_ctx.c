// Contexts: what the TLS library is told once, and what it asks back through its callbacks.
#include "tls_internal.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/secret.h"

#include <wolfssl/options.h>
#undef _FORTIFY_SOURCE // set by the line above, and not its business

#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include <stdio.h>

// Only suites whose bulk cipher passes through our callback, and with it through its guard; the
// library's own default list ends in suites that do not encrypt.
#define SUITES                                                   \
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:"           \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define SIGNATURES                                         \
    "ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA384:" \
    "RSA-PSS+SHA384:RSA+SHA384:RSA-PSS+SHA512:RSA+SHA512"

// By this call, because the others leave a TLS 1.2 server free to take any curve of the client's.
#define GROUPS "X25519:P-256"

enum { RSA_BITS_MIN = 2048, ECC_BITS_MIN = 256, SESSION_BYTES_MAX = 16 * KIB };

// ---- What the library asks ----

// Whether an error of the library's own verification is one that libcrypto decides instead: it has
// no roots, and its clock is not the environment's. Two sets of numbers, by how it was built.
static bool is_ours_to_decide(int error)
{
    return error == 0 || error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
           error == X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD ||
           error == X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD || error == ASN_NO_SIGNER_E ||
           error == ASN_SELF_SIGNED_E || error == ASN_BEFORE_DATE_E || error == ASN_AFTER_DATE_E;
}

// Called for every certificate of a server's chain, the leaf last; 1 accepts.
static int on_verify(int library_ok, WOLFSSL_X509_STORE_CTX *store)
{
    (void)library_ok; // it says the same as `error`
    struct tls *tls = store->userCtx;
    store->discardSessionCerts = 1; // a session to resume needs no chain
    if (!GUARD(TLS_VENDOR_PROVEN))
        return 1;
    if (!is_ours_to_decide(store->error)) {
        snprintf(tls->reason, sizeof(tls->reason), "certificate: not valid (%d)", store->error);
        return 0;
    }
    if (store->error_depth > 0)
        return 1; // judged with the leaf
    struct span chain[TLS_CHAIN_MAX];
    size_t count = (size_t)store->totalCerts;
    for (size_t i = 0; i < count && i < TLS_CHAIN_MAX; i++)
        chain[i] = span_of(store->certs[i].buffer, store->certs[i].length);
    const char *why = tls_verify_chain(tls->ctx->roots, tls->ctx->env, chain, count, tls->host,
                                       &tls->ctx->verdicts);
    tls->verified = why == NULL;
    if (why != NULL)
        snprintf(tls->reason, sizeof(tls->reason), "certificate: %s", why);
    return why == NULL;
}

static int on_ticket(WOLFSSL *ssl, unsigned char *name, unsigned char *iv, unsigned char *mac,
                     int seal, unsigned char *text, int len, int *out_len, void *arg)
{
    const struct tls_ctx *ctx = arg;
    const struct tls *tls = tls_of(ssl);
    struct span sni = span_of(tls->hello.sni, tls->hello.sni_len);
    *out_len = len;
    if (seal) {
        bool sealed =
            tls_ticket_seal(&ctx->tickets, ctx->env, sni, name, iv, mac, text, (size_t)len);
        return sealed ? WOLFSSL_TICKET_RET_OK : WOLFSSL_TICKET_RET_REJECT;
    }
    int key = tls_ticket_open(&ctx->tickets, sni, name, iv, mac, text, (size_t)len);
    if (key < 0)
        return WOLFSSL_TICKET_RET_REJECT;
    return key == 0 ? WOLFSSL_TICKET_RET_OK : WOLFSSL_TICKET_RET_CREATE;
}

// A session that a client can resume: kept in the form that outlives the connection. Only of TLS
// 1.3: offered an old ticket of 1.2 that the server does not take, the library takes the full
// handshake that follows for an error.
static int on_session(WOLFSSL *ssl, WOLFSSL_SESSION *session)
{
    struct tls *tls = tls_of(ssl);
    if (wolfSSL_version(ssl) != TLS1_3_VERSION)
        return 0;
    int len = wolfSSL_i2d_SSL_SESSION(session, NULL);
    if (len <= 0 || len > SESSION_BYTES_MAX || tls->ctx->cache.count_max == 0)
        return 0;
    unsigned char *bytes = tls_heap_take((size_t)len), *at = bytes;
    if (bytes == NULL)
        return 0;
    if (wolfSSL_i2d_SSL_SESSION(session, &at) == len)
        tls_cache_put(&tls->ctx->cache, span_str(tls->host), tls->port,
                      span_of(bytes, (size_t)len));
    bytes_wipe(bytes, (size_t)len);
    tls_heap_give(bytes);
    return 0; // the library keeps its own reference
}

// ---- Building ----

static bool set_common(WOLFSSL_CTX *wctx)
{
    bool set = wolfSSL_CTX_SetDevId(wctx, TLS_DEVICE) == WOLFSSL_SUCCESS &&
               wolfSSL_CTX_SetMinVersion(wctx, WOLFSSL_TLSV1_2) == WOLFSSL_SUCCESS &&
               wolfSSL_CTX_set_cipher_list(wctx, SUITES) == WOLFSSL_SUCCESS &&
               wolfSSL_CTX_set1_curves_list(wctx, GROUPS) == WOLFSSL_SUCCESS &&
               wolfSSL_CTX_set1_sigalgs_list(wctx, SIGNATURES) == WOLFSSL_SUCCESS;
    // The library's own session cache is one for the process, behind locks.
    wolfSSL_CTX_set_session_cache_mode(wctx, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_set_session_cache_mode(wctx, WOLFSSL_SESS_CACHE_NO_INTERNAL);
    wolfSSL_CTX_SetIORecv(wctx, tls_on_receive);
    wolfSSL_CTX_SetIOSend(wctx, tls_on_send);
    return set;
}

static bool set_tickets(WOLFSSL_CTX *wctx, struct tls_ctx *ctx, bool wanted)
{
    if (!wanted)
        return wolfSSL_CTX_NoTicketTLSv12(wctx) == WOLFSSL_SUCCESS &&
               wolfSSL_CTX_no_ticket_TLSv13(wctx) == 0;
    // The last call answers with the old timeout in some builds, with success in others.
    return wolfSSL_CTX_set_TicketEncCb(wctx, on_ticket) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_TicketEncCtx(wctx, ctx) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_TicketHint(wctx, TLS_TICKET_LIFETIME_S) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_timeout(wctx, TLS_TICKET_LIFETIME_S) > 0;
}

static struct err library_failed(int code, const char *what, char *why)
{
    const char *text = wolfSSL_ERR_reason_error_string((unsigned long)code);
    snprintf(why, TLS_WHY_MAX, "%s: %s", what, text != NULL ? text : "refused");
    wolfSSL_ERR_clear_error();
    return ERR(CONFIG);
}

static struct err identity_load(struct tls_ctx *ctx, struct tls_identity *identity,
                                const struct tls_certificate *certificate, bool tickets, char *why)
{
    TRY(tls_identity_init(identity, certificate, why));
    identity->wctx = wolfSSL_CTX_new(wolfSSLv23_server_method());
    if (identity->wctx == NULL)
        return ERR(NO_MEMORY);
    if (!set_common(identity->wctx) || !set_tickets(identity->wctx, ctx, tickets))
        return library_failed(0, "the TLS library's settings", why);
    int done = wolfSSL_CTX_use_certificate_chain_buffer(
        identity->wctx, (const unsigned char *)certificate->chain.ptr,
        (long)certificate->chain.len);
    if (done != WOLFSSL_SUCCESS)
        return library_failed(done, "the certificate chain", why);
    done = wolfSSL_CTX_use_PrivateKey_buffer(identity->wctx,
                                             (const unsigned char *)certificate->key.ptr,
                                             (long)certificate->key.len, WOLFSSL_FILETYPE_PEM);
    if (done != WOLFSSL_SUCCESS)
        return library_failed(done, "the private key", why);
    return OK;
}

static struct tls_ctx *ctx_new(struct env *env, bool server, size_t session_max)
{
    assert(env != NULL);
    struct tls_ctx *ctx = tls_heap_take(sizeof(*ctx));
    if (ctx == NULL)
        return NULL;
    *ctx = (struct tls_ctx){ .refs = 1, .server = server, .env = env };
    slab_init(&ctx->sessions, sizeof(struct tls), session_max);
    tls_cache_init(&ctx->cache, 0);
    return ctx;
}

struct err tls_ctx_server(struct tls_ctx **out, const struct tls_server_config *config, char *why)
{
    *out = NULL;
    snprintf(why, TLS_WHY_MAX, "out of memory"); // until something better is known
    size_t count = config->certificate_count;
    if (count == 0 || count > TLS_CERTIFICATE_MAX) {
        snprintf(why, TLS_WHY_MAX, "1 to %d certificates are needed", TLS_CERTIFICATE_MAX);
        return ERR(CONFIG);
    }
    struct tls_ctx *ctx = ctx_new(config->env, true, config->session_max);
    if (ctx == NULL)
        return ERR(NO_MEMORY);
    ctx->identities = tls_heap_take(count * sizeof(ctx->identities[0]));
    struct err err = ctx->identities != NULL ? OK : ERR(NO_MEMORY);
    if (config->tickets != NULL)
        ctx->tickets = *config->tickets;
    for (size_t i = 0; i < count && !failed(err); i++) {
        ctx->identities[i] = (struct tls_identity){ .name_count = 0 };
        ctx->identity_count++;
        err = identity_load(ctx, &ctx->identities[i], &config->certificates[i],
                            config->tickets != NULL, why);
    }
    if (failed(err))
        tls_ctx_put(&ctx);
    *out = ctx;
    return err;
}

struct err tls_ctx_client(struct tls_ctx **out, const struct tls_client_config *config, char *why)
{
    *out = NULL;
    snprintf(why, TLS_WHY_MAX, "out of memory"); // until something better is known
    assert(config->roots != NULL);
    struct tls_ctx *ctx = ctx_new(config->env, false, config->session_max);
    if (ctx == NULL)
        return ERR(NO_MEMORY);
    ctx->roots = tls_roots_get(config->roots);
    ctx->cache.count_max = config->resume_max;
    ctx->wctx = wolfSSL_CTX_new(wolfSSLv23_client_method());
    if (ctx->wctx == NULL || !set_common(ctx->wctx) ||
        (config->version_max != 0 &&
         wolfSSL_CTX_set_max_proto_version(ctx->wctx, config->version_max) != WOLFSSL_SUCCESS) ||
        wolfSSL_CTX_SetMinRsaKey_Sz(ctx->wctx, RSA_BITS_MIN) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_SetMinEccKey_Sz(ctx->wctx, ECC_BITS_MIN) != WOLFSSL_SUCCESS) {
        tls_ctx_put(&ctx);
        return library_failed(0, "the TLS library's settings", why);
    }
    wolfSSL_CTX_set_verify(ctx->wctx, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           on_verify);
    wolfSSL_CTX_sess_set_new_cb(ctx->wctx, on_session);
    *out = ctx;
    return OK;
}

struct tls_ctx *tls_ctx_get(struct tls_ctx *ctx)
{
    ctx->refs++;
    return ctx;
}

void tls_ctx_put(struct tls_ctx **ctx)
{
    struct tls_ctx *put = *ctx;
    *ctx = NULL;
    if (put == NULL || --put->refs > 0)
        return;
    // Every session holds a reference, so none is left.
    for (size_t i = 0; i < put->identity_count; i++) {
        wolfSSL_CTX_free(put->identities[i].wctx);
        tls_identity_fini(&put->identities[i]);
    }
    tls_heap_give(put->identities);
    wolfSSL_CTX_free(put->wctx);
    tls_roots_put(&put->roots);
    tls_cache_fini(&put->cache);
    slab_fini(&put->sessions);
    bytes_wipe(put, sizeof(*put));
    tls_heap_give(put);
}

void tls_ctx_set_tickets(struct tls_ctx *ctx, const struct tls_ticket_keys *keys)
{
    assert(ctx->server);
    assert(keys->count <= TLS_TICKET_KEYS_MAX);
    ctx->tickets = *keys;
}

const struct tls_identity *tls_ctx_pick(const struct tls_ctx *ctx, struct span sni)
{
    for (size_t i = 0; sni.len > 0 && i < ctx->identity_count; i++)
        if (tls_identity_names(&ctx->identities[i], sni))
            return &ctx->identities[i];
    return &ctx->identities[0];
}

size_t tls_ctx_certificate_count(const struct tls_ctx *ctx)
{
    return ctx->identity_count;
}

struct tls_certificate_info tls_ctx_certificate(const struct tls_ctx *ctx, size_t index)
{
    assert(index < ctx->identity_count);
    const struct tls_identity *identity = &ctx->identities[index];
    return (struct tls_certificate_info){
        .name = identity->name_count > 0 ? identity->names[0] : "",
        .not_after_s = identity->not_after_s,
        .key = identity->key_text,
        .is_rsa = identity->is_rsa,
    };
}
