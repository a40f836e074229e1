// tls_certs.h - certificates made on the spot by libcrypto, good and bad ones.
#ifndef PENSTOCK_TEST_TLS_CERTS_H
#define PENSTOCK_TEST_TLS_CERTS_H

#include "penstock/base/base.h"
#include "penstock/base/check.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

enum cert_key { KEY_P256, KEY_P384, KEY_RSA2048, KEY_RSA1024 };

struct cert {
    EVP_PKEY *key;
    X509 *x509;
};

struct cert_spec {
    const char *name;          // subject's common name
    const char *alt;           // "DNS:a.example,IP:127.0.0.1"; NULL: none
    const struct cert *issuer; // NULL: self-signed
    enum cert_key key;
    const EVP_MD *digest; // NULL: SHA-256
    bool authority;
    long from_s, until_s;      // relative to now; both 0: an hour ago until tomorrow
    const char *usage;         // extended key usage; NULL: none
    const char *names;         // name constraints; NULL: none
    int path;                  // the path length limit plus one; 0: none
    const struct cert *key_of; // this certificate's key instead of a new one
};

static inline EVP_PKEY *cert_make_key(enum cert_key kind)
{
    switch (kind) {
    case KEY_P256: return EVP_EC_gen("P-256");
    case KEY_P384: return EVP_EC_gen("P-384");
    case KEY_RSA2048: return EVP_RSA_gen(2048);
    case KEY_RSA1024: return EVP_RSA_gen(1024);
    }
    return NULL;
}

static inline void cert_extend(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    verify(extension != NULL);
    verify(X509_add_ext(x509, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static inline struct cert cert_make(const struct cert_spec *spec)
{
    static long serial = 1000;
    struct cert cert = { NULL, X509_new() };
    char basic[40] = "critical,CA:FALSE";
    if (spec->key_of != NULL && EVP_PKEY_up_ref(spec->key_of->key) == 1)
        cert.key = spec->key_of->key;
    else
        cert.key = cert_make_key(spec->key);
    if (spec->authority)
        snprintf(basic, sizeof(basic),
                 spec->path > 0 ? "critical,CA:TRUE,pathlen:%d" : "critical,CA:TRUE",
                 spec->path - 1);
    X509 *issuer = spec->issuer != NULL ? spec->issuer->x509 : cert.x509;
    verify(cert.key != NULL && cert.x509 != NULL);
    X509_set_version(cert.x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert.x509), serial++);
    bool dated = spec->from_s != 0 || spec->until_s != 0;
    X509_gmtime_adj(X509_getm_notBefore(cert.x509), dated ? spec->from_s : -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert.x509), dated ? spec->until_s : 86400);
    X509_set_pubkey(cert.x509, cert.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.x509), "CN", MBSTRING_ASC,
                               (const unsigned char *)spec->name, -1, -1, 0);
    X509_set_issuer_name(cert.x509, X509_get_subject_name(issuer));
    cert_extend(cert.x509, issuer, NID_basic_constraints, basic);
    cert_extend(cert.x509, issuer, NID_subject_key_identifier, "hash");
    if (spec->issuer != NULL)
        cert_extend(cert.x509, issuer, NID_authority_key_identifier, "keyid");
    cert_extend(cert.x509, issuer, NID_key_usage,
                spec->authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    if (spec->alt != NULL)
        cert_extend(cert.x509, issuer, NID_subject_alt_name, spec->alt);
    if (spec->names != NULL)
        cert_extend(cert.x509, issuer, NID_name_constraints, spec->names);
    if (spec->usage != NULL)
        cert_extend(cert.x509, issuer, NID_ext_key_usage, spec->usage);
    const EVP_MD *digest = spec->digest != NULL ? spec->digest : EVP_sha256();
    EVP_PKEY *signer = spec->issuer != NULL ? spec->issuer->key : cert.key;
    verify(X509_sign(cert.x509, signer, digest) > 0);
    return cert;
}

static inline void cert_free(struct cert *cert)
{
    EVP_PKEY_free(cert->key);
    X509_free(cert->x509);
    *cert = (struct cert){ NULL, NULL };
}

// PEM texts of up to three certificates, and of a key; into the caller's memory.
enum { PEM_MAX = 16 * 1024 };
struct pem {
    char text[PEM_MAX];
    size_t len;
};

static inline struct span pem_span(const struct pem *pem)
{
    return span_of(pem->text, pem->len);
}

static inline void pem_add(struct pem *pem, const struct cert *cert, bool key)
{
    if (cert == NULL)
        return;
    BIO *bio = BIO_new(BIO_s_mem());
    verify((key ? PEM_write_bio_PrivateKey(bio, cert->key, NULL, NULL, 0, NULL, NULL)
                : PEM_write_bio_X509(bio, cert->x509)) == 1);
    char *text;
    size_t len = (size_t)BIO_get_mem_data(bio, &text);
    verify(pem->len + len < PEM_MAX);
    memcpy(pem->text + pem->len, text, len);
    pem->len += len;
    BIO_free(bio);
}

static inline struct pem pem_chain(const struct cert *leaf, const struct cert *middle,
                                   const struct cert *root)
{
    struct pem pem = { .len = 0 };
    pem_add(&pem, leaf, false);
    pem_add(&pem, middle, false);
    pem_add(&pem, root, false);
    return pem;
}

static inline struct pem pem_key(const struct cert *cert)
{
    struct pem pem = { .len = 0 };
    pem_add(&pem, cert, true);
    return pem;
}

#endif
