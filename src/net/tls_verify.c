// Certificates, by libcrypto: the roots a client trusts, the verification of a vendor's chain, and
// what our own certificates say.
//
// The TLS library parses certificates as well, but it is built to accept RSA-1024, SHA-1 and bare
// wildcards, and caches every intermediate it has seen. So it is given no roots, and its verdict
// "no signer" is replaced by the one made here (see tls_ctx.c).
#include "tls_internal.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

enum {
    ROOT_FILES_MAX = 4096,
    ROOTS_MAX = 16384,
    AUTH_LEVEL = 2, // 112 bits: RSA from 2048 on, no SHA-1 signatures below the root
    DEPTH_MAX = TLS_CHAIN_MAX - 2,
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 4096, // the TLS library's limit
};

struct tls_roots {
    atomic_uint refs;
    X509_STORE *store;
    size_t count;
};

// The newest entry of libcrypto's error queue, which is emptied.
static const char *crypto_error(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(code);
    ERR_clear_error();
    return text != NULL ? text : "not valid";
}

// ---- Roots ----

static struct tls_roots *roots_new(void)
{
    struct tls_roots *roots = tls_heap_take(sizeof(*roots));
    if (roots == NULL)
        return NULL;
    *roots = (struct tls_roots){ .store = X509_STORE_new() };
    atomic_init(&roots->refs, 1);
    if (roots->store == NULL) {
        tls_heap_give(roots);
        return NULL;
    }
    return roots;
}

// Adds every certificate of a PEM text; -1 when one of them is not valid.
static int roots_add(struct tls_roots *roots, BIO *pem)
{
    int added = 0;
    for (; roots->count < ROOTS_MAX; added++, roots->count++) {
        X509 *root = PEM_read_bio_X509_AUX(pem, NULL, NULL, NULL);
        if (root == NULL)
            break;
        // libcrypto keeps what it reads of the extensions in the certificate. Read them now, while
        // one thread has it, and the shards find them there. What is odd about one, a verification
        // will say.
        (void)X509_check_purpose(root, -1, 0);
        int stored = X509_STORE_add_cert(roots->store, root);
        X509_free(root);
        if (stored != 1)
            return -1;
    }
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (!at_end)
        return -1;
    ERR_clear_error();
    return added;
}

static struct err roots_add_file(struct tls_roots *roots, const char *path, char *why)
{
    BIO *file = BIO_new_file(path, "r");
    int added = file != NULL ? roots_add(roots, file) : -1;
    BIO_free(file);
    if (added > 0)
        return OK;
    snprintf(why, TLS_WHY_MAX, "%s: %s", path, added == 0 ? "no certificate" : crypto_error());
    return ERR(CONFIG);
}

static bool is_certificate_file(const char *name)
{
    size_t len = strlen(name);
    const char *end = name + len - min_size(len, 4);
    return name[0] != '.' && (strcmp(end, ".pem") == 0 || strcmp(end, ".crt") == 0);
}

static struct err roots_add_directory(struct tls_roots *roots, const char *path, char *why)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        snprintf(why, TLS_WHY_MAX, "%s: %s", path, strerror(errno));
        return ERR_SYS(CONFIG, errno);
    }
    struct err err = OK;
    size_t files = 0;
    for (struct dirent *at = readdir(dir); at != NULL && !failed(err); at = readdir(dir)) {
        if (!is_certificate_file(at->d_name) || ++files > ROOT_FILES_MAX)
            continue;
        char name[TLS_WHY_MAX];
        int len = snprintf(name, sizeof(name), "%s/%s", path, at->d_name);
        if (len < (int)sizeof(name))
            err = roots_add_file(roots, name, why);
    }
    closedir(dir);
    if (!failed(err) && roots->count == 0) {
        snprintf(why, TLS_WHY_MAX, "%s: no certificate in files *.pem and *.crt", path);
        return ERR(CONFIG);
    }
    return err;
}

static const char *system_store(void)
{
    static const char *const bundles[] = {
        "/etc/ssl/certs/ca-certificates.crt", // Debian, Alpine, Arch
        "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
        "/etc/ssl/ca-bundle.pem",             // openSUSE
    };
    struct stat seen;
    for (size_t i = 0; i < ARRAY_LEN(bundles); i++)
        if (stat(bundles[i], &seen) == 0)
            return bundles[i];
    return "/etc/ssl/certs";
}

struct err tls_roots_open(struct tls_roots **out, const char *path, char *why)
{
    *out = NULL;
    snprintf(why, TLS_WHY_MAX, "out of memory"); // until something better is known
    if (path == NULL)
        path = system_store();
    struct stat seen;
    if (stat(path, &seen) != 0) {
        int sys = errno;
        snprintf(why, TLS_WHY_MAX, "%s: %s", path, strerror(sys));
        return ERR_SYS(CONFIG, sys);
    }
    struct tls_roots *roots = roots_new();
    if (roots == NULL)
        return ERR(NO_MEMORY);
    struct err err = S_ISDIR(seen.st_mode) ? roots_add_directory(roots, path, why)
                                           : roots_add_file(roots, path, why);
    if (failed(err))
        tls_roots_put(&roots);
    *out = roots;
    return err;
}

struct err tls_roots_parse(struct tls_roots **out, struct span pem, char *why)
{
    *out = NULL;
    snprintf(why, TLS_WHY_MAX, "out of memory"); // until something better is known
    struct tls_roots *roots = roots_new();
    if (roots == NULL)
        return ERR(NO_MEMORY);
    BIO *text = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    int added = text != NULL ? roots_add(roots, text) : -1;
    BIO_free(text);
    if (added <= 0) {
        snprintf(why, TLS_WHY_MAX, "%s", added == 0 ? "no certificate" : crypto_error());
        tls_roots_put(&roots);
        return ERR(CONFIG);
    }
    *out = roots;
    return OK;
}

struct tls_roots *tls_roots_get(struct tls_roots *roots)
{
    atomic_fetch_add_explicit(&roots->refs, 1, memory_order_relaxed);
    return roots;
}

void tls_roots_put(struct tls_roots **roots)
{
    struct tls_roots *put = *roots;
    *roots = NULL;
    if (put == NULL || atomic_fetch_sub_explicit(&put->refs, 1, memory_order_acq_rel) > 1)
        return;
    X509_STORE_free(put->store);
    tls_heap_give(put);
}

size_t tls_roots_count(const struct tls_roots *roots)
{
    return roots->count;
}

// ---- A peer's chain ----

// The chain as libcrypto's objects; NULL when one of them does not parse or leaves bytes over.
static STACK_OF(X509) * parse_chain(const struct span *chain, size_t count)
{
    STACK_OF(X509) *stack = sk_X509_new_null();
    for (size_t i = 0; stack != NULL && i < count; i++) {
        const uint8_t *at = (const uint8_t *)chain[i].ptr;
        X509 *one = d2i_X509(NULL, &at, (long)chain[i].len);
        bool whole = one != NULL && at == (const uint8_t *)chain[i].ptr + chain[i].len;
        if (!whole || sk_X509_push(stack, one) == 0) {
            X509_free(one);
            sk_X509_pop_free(stack, X509_free);
            return NULL;
        }
    }
    return stack;
}

static bool set_expectations(X509_STORE_CTX *ctx, struct env *env, const char *host)
{
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)(env_wall_ns(env) / NS_PER_S));
    X509_VERIFY_PARAM_set_depth(param, DEPTH_MAX);
    X509_VERIFY_PARAM_set_auth_level(param, GUARD(TLS_STRENGTH) ? AUTH_LEVEL : 0);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER) != 1)
        return false;
    if (!GUARD(TLS_HOST_NAME))
        return true;
    return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1 ||
           X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

static int64_t seconds_of(const ASN1_TIME *time, int64_t otherwise)
{
    struct tm fields;
    return ASN1_TIME_to_tm(time, &fields) == 1 ? timegm(&fields) : otherwise;
}

// What the verdict on a chain depends on, besides the roots and the time.
static bool digest_of(const struct span *chain, size_t count, const char *host, uint8_t *out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool made = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(ctx, host, strlen(host) + 1) == 1;
    for (size_t i = 0; made && i < count; i++)
        made = EVP_DigestUpdate(ctx, &chain[i].len, sizeof(chain[i].len)) == 1 &&
               EVP_DigestUpdate(ctx, chain[i].ptr, chain[i].len) == 1;
    made = made && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return made;
}

static bool is_known(struct tls_verdicts *known, const uint8_t *digest, int64_t now_s)
{
    for (size_t i = 0; i < TLS_VERDICTS_MAX; i++)
        if (now_s >= known->verdict[i].from_s && now_s < known->verdict[i].until_s &&
            memcmp(known->verdict[i].digest, digest, TLS_DIGEST_LEN) == 0) {
            known->hits++;
            return true;
        }
    return false;
}

static void remember(struct tls_verdicts *known, const uint8_t *digest, X509_STORE_CTX *ctx)
{
    int64_t from = 1, until = INT64_MAX;
    const STACK_OF(X509) *verified = X509_STORE_CTX_get0_chain(ctx);
    for (int i = 0; i < sk_X509_num(verified); i++) {
        const X509 *one = sk_X509_value(verified, i);
        int64_t begins = seconds_of(X509_get0_notBefore(one), INT64_MAX);
        int64_t ends = seconds_of(X509_get0_notAfter(one), 0);
        from = begins > from ? begins : from;
        until = ends < until ? ends : until;
    }
    uint32_t slot = known->next++ % TLS_VERDICTS_MAX;
    memcpy(known->verdict[slot].digest, digest, TLS_DIGEST_LEN);
    known->verdict[slot].from_s = from;
    known->verdict[slot].until_s = until;
}

// The verification itself; `digest` is NULL when its success is not to be remembered.
static const char *verify_now(struct tls_roots *roots, struct env *env, STACK_OF(X509) * stack,
                              const char *host, struct tls_verdicts *known, const uint8_t *digest)
{
    const char *why = "out of memory";
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (ctx != NULL &&
        X509_STORE_CTX_init(ctx, roots->store, sk_X509_value(stack, 0), stack) == 1 &&
        set_expectations(ctx, env, host)) {
        why = NULL;
        if (X509_verify_cert(ctx) != 1)
            why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
        else if (digest != NULL)
            remember(known, digest, ctx);
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return why;
}

const char *tls_verify_chain(struct tls_roots *roots, struct env *env, const struct span *chain,
                             size_t count, const char *host, struct tls_verdicts *known)
{
    if (!GUARD(TLS_CHAIN))
        return NULL;
    if (count == 0)
        return "no certificate";
    if (count > TLS_CHAIN_MAX)
        return "certificate chain too long";
    if (host[0] == '\0')
        return "no host name to check the certificate against";
    uint8_t digest[TLS_DIGEST_LEN];
    bool digested = known != NULL && digest_of(chain, count, host, digest);
    if (digested && is_known(known, digest, (int64_t)(env_wall_ns(env) / NS_PER_S)))
        return NULL;
    STACK_OF(X509) *stack = parse_chain(chain, count);
    if (stack == NULL) {
        ERR_clear_error();
        return "malformed certificate";
    }
    const char *why = verify_now(roots, env, stack, host, known, digested ? digest : NULL);
    sk_X509_pop_free(stack, X509_free);
    return why;
}

// ---- Our own certificates ----

static char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
}

static struct err add_name(struct tls_identity *identity, struct span name)
{
    if (identity->name_count == TLS_NAMES_MAX || name.len == 0 || name.len > TLS_HOST_MAX)
        return OK; // a certificate of more names serves those that were kept
    char *copy = tls_heap_take(name.len + 1);
    if (copy == NULL)
        return ERR(NO_MEMORY);
    for (size_t i = 0; i < name.len; i++)
        copy[i] = lower(name.ptr[i]);
    copy[name.len] = '\0';
    identity->names[identity->name_count++] = copy;
    return OK;
}

static struct err add_names(struct tls_identity *identity, X509 *leaf)
{
    struct err err = OK;
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !failed(err); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS)
            err = add_name(identity, span_of(ASN1_STRING_get0_data(name->d.dNSName),
                                             (size_t)ASN1_STRING_length(name->d.dNSName)));
    }
    GENERAL_NAMES_free(names);
    if (failed(err) || identity->name_count > 0)
        return err;
    char common[TLS_HOST_MAX + 1];
    int len = X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, common,
                                        sizeof(common));
    return len > 0 ? add_name(identity, span_of(common, (size_t)len)) : OK;
}

static struct err describe_key(struct tls_identity *identity, char *why)
{
    EVP_PKEY *key = identity->pkey;
    int bits = EVP_PKEY_get_bits(key);
    char group[32] = "";
    size_t len = 0;
    if (EVP_PKEY_is_a(key, "RSA") && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX) {
        identity->is_rsa = true;
        snprintf(identity->key_text, sizeof(identity->key_text), "RSA %d", bits);
        return OK;
    }
    if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1 &&
        (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0)) {
        snprintf(identity->key_text, sizeof(identity->key_text), "ECDSA P-%d", bits);
        return OK;
    }
    snprintf(why, TLS_WHY_MAX,
             "the key is neither ECDSA on P-256 or P-384 nor RSA of %d to %d bits", RSA_BITS_MIN,
             RSA_BITS_MAX);
    return ERR(CONFIG);
}

// Without it libcrypto would ask for a pass phrase at the terminal.
static int no_pass_phrase(char *out, int cap, int writing, void *arg)
{
    (void)out, (void)cap, (void)writing, (void)arg;
    return -1;
}

static struct err read_leaf(struct tls_identity *identity, X509 *leaf, char *why)
{
    if (X509_check_private_key(leaf, identity->pkey) != 1) {
        ERR_clear_error();
        snprintf(why, TLS_WHY_MAX, "the private key does not belong to the first certificate");
        return ERR(CONFIG);
    }
    identity->not_after_s = seconds_of(X509_get0_notAfter(leaf), 0);
    TRY(describe_key(identity, why));
    return add_names(identity, leaf);
}

struct err tls_identity_init(struct tls_identity *identity,
                             const struct tls_certificate *certificate, char *why)
{
    *identity = (struct tls_identity){ .name_count = 0 };
    BIO *chain = BIO_new_mem_buf(certificate->chain.ptr, (int)certificate->chain.len);
    BIO *key = BIO_new_mem_buf(certificate->key.ptr, (int)certificate->key.len);
    X509 *leaf = chain != NULL ? PEM_read_bio_X509(chain, NULL, NULL, NULL) : NULL;
    if (leaf != NULL && key != NULL)
        identity->pkey = PEM_read_bio_PrivateKey(key, NULL, no_pass_phrase, NULL);
    struct err err = OK;
    if (leaf == NULL || identity->pkey == NULL) {
        snprintf(why, TLS_WHY_MAX, "%s: %s", leaf == NULL ? "the certificate" : "the private key",
                 crypto_error());
        err = ERR(CONFIG);
    } else {
        err = read_leaf(identity, leaf, why);
    }
    X509_free(leaf);
    BIO_free(chain);
    BIO_free(key);
    return err;
}

void tls_identity_fini(struct tls_identity *identity)
{
    EVP_PKEY_free(identity->pkey);
    for (uint32_t i = 0; i < identity->name_count; i++)
        tls_heap_give(identity->names[i]);
    *identity = (struct tls_identity){ .name_count = 0 };
}

bool tls_identity_names(const struct tls_identity *identity, struct span host)
{
    size_t label = span_find(host, '.');
    for (uint32_t i = 0; i < identity->name_count; i++) {
        struct span name = span_str(identity->names[i]);
        if (span_eq(name, host))
            return true;
        // "*.example.com" stands for exactly one label.
        if (span_starts(name, SPAN("*.")) && label > 0 && label < host.len &&
            span_eq(span_from(name, 1), span_from(host, label)))
            return true;
    }
    return false;
}
