// The TLS library's crypto callback: ciphers, hashes, key exchange, signatures and random numbers
// are done here, by libcrypto and base/env. It is for speed, where Debian's library is built
// without any processor support, and for two guards that only this place can hold:
//
// - CVE-2024-0901: the library searches the content type of a decrypted TLS 1.3 record backwards
//   past its beginning when there is none. Such a record fails here as if its tag were wrong.
// - The library takes points that are not on the P-256 curve; libcrypto does not.
//
// What is not served (CRYPTOCB_UNAVAILABLE) is done by the library itself.
#define OPENSSL_SUPPRESS_DEPRECATED // SHA256_Update() and its kin

#include "tls_internal.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/secret.h"

#include <wolfssl/options.h>
#undef _FORTIFY_SOURCE // both are set by the line above and are not its business
#undef OPENSSL_NO_EC

#include <wolfssl/wolfcrypt/cryptocb.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <stdio.h>

enum {
    IV_LEN = 12,
    TAG_LEN = 16,
    TLS13_AAD_LEN = 5, // a record header; TLS 1.2 authenticates 13 bytes
    X25519_LEN = 32,
    P256_LEN = 32,
    P256_POINT_LEN = 65,
    POINT_LEN_MAX = 1 + 2 * 66, // P-521
    RSA_LEN_MAX = 512,
    DIGEST_LEN_MIN = 32, // nothing weaker than SHA-256 is verified
    DIGEST_INFO_MIN = 19 + DIGEST_LEN_MIN,
    SCALAR_TRIES = 64, // one fails with probability 2^-32
};

#ifdef WOLFSSL_AESNI
enum { BULK_BUILT_IN = 1 };
#else
enum { BULK_BUILT_IN = 0 };
#endif

// Written by tls_crypto_init() before there are threads, read-only after.
static struct {
    EVP_CIPHER *aes128, *aes256;
    EC_GROUP *p256;
} shared;

static _Thread_local struct tls_scope scope;
static _Thread_local struct tls_aead scratch[2];

struct tls_scope *tls_scope_get(void)
{
    if (scope.env == NULL)
        scope.env = env_system();
    return &scope;
}

const char *tls_crypto_bulk(void)
{
    return BULK_BUILT_IN ? "built in" : "libcrypto";
}

// ---- AES-GCM ----

void tls_aead_free(struct tls_aead *aead)
{
    EVP_CIPHER_CTX_free(aead->ctx);
    bytes_wipe(aead, sizeof(*aead));
}

// The cipher context for this key and direction, its key schedule made at most once per key.
static EVP_CIPHER_CTX *aead_for(Aes *aes, bool seal)
{
    struct tls_aead *aead = (scope.aead != NULL ? scope.aead : scratch) + (seal ? 1 : 0);
    uint32_t key_len = (uint32_t)aes->keylen;
    if (key_len != 16 && key_len != 32)
        return NULL;
    if (aead->key_len == key_len && memcmp(aead->key, aes->devKey, key_len) == 0)
        return aead->ctx;
    if (aead->ctx == NULL)
        aead->ctx = EVP_CIPHER_CTX_new();
    const EVP_CIPHER *cipher = key_len == 16 ? shared.aes128 : shared.aes256;
    aead->key_len = 0;
    if (aead->ctx == NULL ||
        EVP_CipherInit_ex2(aead->ctx, cipher, (const uint8_t *)aes->devKey, NULL, seal, NULL) != 1)
        return NULL;
    memcpy(aead->key, aes->devKey, key_len);
    aead->key_len = key_len;
    return aead->ctx;
}

// The same operation by the library itself, which is then the one with the hardware ciphers.
static int built_in(Aes *aes, bool seal, wc_CryptoInfo *info)
{
    int device = aes->devId;
    aes->devId = INVALID_DEVID;
    int result =
        seal ? wc_AesGcmEncrypt(aes, info->cipher.aesgcm_enc.out, info->cipher.aesgcm_enc.in,
                                info->cipher.aesgcm_enc.sz, info->cipher.aesgcm_enc.iv,
                                info->cipher.aesgcm_enc.ivSz, info->cipher.aesgcm_enc.authTag,
                                info->cipher.aesgcm_enc.authTagSz, info->cipher.aesgcm_enc.authIn,
                                info->cipher.aesgcm_enc.authInSz)
             : wc_AesGcmDecrypt(aes, info->cipher.aesgcm_dec.out, info->cipher.aesgcm_dec.in,
                                info->cipher.aesgcm_dec.sz, info->cipher.aesgcm_dec.iv,
                                info->cipher.aesgcm_dec.ivSz, info->cipher.aesgcm_dec.authTag,
                                info->cipher.aesgcm_dec.authTagSz, info->cipher.aesgcm_dec.authIn,
                                info->cipher.aesgcm_dec.authInSz);
    aes->devId = device;
    return result;
}

static int gcm_seal(wc_CryptoInfo *info)
{
    Aes *aes = info->cipher.aesgcm_enc.aes;
    if (BULK_BUILT_IN)
        return built_in(aes, true, info);
    if (info->cipher.aesgcm_enc.ivSz != IV_LEN || info->cipher.aesgcm_enc.authTagSz != TAG_LEN)
        return CRYPTOCB_UNAVAILABLE;
    EVP_CIPHER_CTX *ctx = aead_for(aes, true);
    uint8_t *out = info->cipher.aesgcm_enc.out;
    int sz = (int)info->cipher.aesgcm_enc.sz, len;
    bool sealed =
        ctx != NULL &&
        EVP_EncryptInit_ex2(ctx, NULL, NULL, info->cipher.aesgcm_enc.iv, NULL) == 1 &&
        EVP_EncryptUpdate(ctx, NULL, &len, info->cipher.aesgcm_enc.authIn,
                          (int)info->cipher.aesgcm_enc.authInSz) == 1 &&
        (sz == 0 || EVP_EncryptUpdate(ctx, out, &len, info->cipher.aesgcm_enc.in, sz) == 1) &&
        EVP_EncryptFinal_ex(ctx, NULL, &len) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, info->cipher.aesgcm_enc.authTag) ==
            1;
    if (!GUARD(TLS_CRYPTO_SOUND))
        info->cipher.aesgcm_enc.authTag[0] ^= 1;
    return sealed ? 0 : WC_HW_E;
}

static int gcm_open_by_libcrypto(wc_CryptoInfo *info)
{
    if (info->cipher.aesgcm_dec.ivSz != IV_LEN || info->cipher.aesgcm_dec.authTagSz != TAG_LEN)
        return CRYPTOCB_UNAVAILABLE;
    EVP_CIPHER_CTX *ctx = aead_for(info->cipher.aesgcm_dec.aes, false);
    uint8_t *out = info->cipher.aesgcm_dec.out;
    int sz = (int)info->cipher.aesgcm_dec.sz, len;
    uint8_t tag[TAG_LEN];
    memcpy(tag, info->cipher.aesgcm_dec.authTag, TAG_LEN);
    bool opened =
        ctx != NULL &&
        EVP_DecryptInit_ex2(ctx, NULL, NULL, info->cipher.aesgcm_dec.iv, NULL) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1 &&
        EVP_DecryptUpdate(ctx, NULL, &len, info->cipher.aesgcm_dec.authIn,
                          (int)info->cipher.aesgcm_dec.authInSz) == 1 &&
        (sz == 0 || EVP_DecryptUpdate(ctx, out, &len, info->cipher.aesgcm_dec.in, sz) == 1) &&
        EVP_DecryptFinal_ex(ctx, NULL, &len) == 1;
    if (opened)
        return 0;
    // What was decrypted before the tag was found wrong is not to be seen by anybody.
    if (sz > 0)
        bytes_wipe(out, (size_t)sz);
    return AES_GCM_AUTH_E;
}

static bool is_blank(const uint8_t *bytes, size_t len)
{
    while (len > 0 && bytes[len - 1] == 0)
        len--;
    return len == 0;
}

static int gcm_open(wc_CryptoInfo *info)
{
    int result = BULK_BUILT_IN ? built_in(info->cipher.aesgcm_dec.aes, false, info)
                               : gcm_open_by_libcrypto(info);
    bool is_tls13 = info->cipher.aesgcm_dec.authInSz == TLS13_AAD_LEN;
    if (result == 0 && is_tls13 && GUARD(TLS_INNER_EMPTY) &&
        is_blank(info->cipher.aesgcm_dec.out, info->cipher.aesgcm_dec.sz)) {
        scope.refused = "record without a content type";
        return AES_GCM_AUTH_E;
    }
    return result;
}

// ---- Hashes ----
//
// The library copies hash objects as plain structures, so the state stays in its own structure and
// libcrypto's context lives only during one call.

_Static_assert(sizeof(((wc_Sha256 *)0)->digest) == sizeof(((SHA256_CTX *)0)->h), "same state");
_Static_assert(sizeof(((wc_Sha256 *)0)->buffer) == sizeof(((SHA256_CTX *)0)->data), "same block");
_Static_assert(sizeof(((wc_Sha512 *)0)->digest) == sizeof(((SHA512_CTX *)0)->h), "same state");
_Static_assert(sizeof(((wc_Sha512 *)0)->buffer) == sizeof(((SHA512_CTX *)0)->u), "same block");

static void sha256_load(SHA256_CTX *ctx, const wc_Sha256 *from)
{
    uint64_t bytes = (uint64_t)from->hiLen << 32 | from->loLen;
    memcpy(ctx->h, from->digest, sizeof(ctx->h));
    memcpy(ctx->data, from->buffer, sizeof(ctx->data));
    ctx->num = from->buffLen;
    ctx->Nl = (SHA_LONG)(bytes << 3);
    ctx->Nh = (SHA_LONG)(bytes >> 29);
    ctx->md_len = SHA256_DIGEST_LENGTH;
}

static void sha256_store(wc_Sha256 *to, const SHA256_CTX *ctx)
{
    uint64_t bytes = ((uint64_t)ctx->Nh << 32 | ctx->Nl) >> 3;
    memcpy(to->digest, ctx->h, sizeof(ctx->h));
    memcpy(to->buffer, ctx->data, sizeof(ctx->data));
    to->buffLen = ctx->num;
    to->loLen = (word32)bytes;
    to->hiLen = (word32)(bytes >> 32);
}

static int sha256(wc_CryptoInfo *info)
{
    wc_Sha256 *sha = info->hash.sha256;
    SHA256_CTX ctx;
    sha256_load(&ctx, sha);
    if (info->hash.in != NULL)
        SHA256_Update(&ctx, info->hash.in, info->hash.inSz);
    if (info->hash.digest != NULL) {
        SHA256_Final(info->hash.digest, &ctx);
        SHA256_Init(&ctx);
    }
    sha256_store(sha, &ctx);
    return 0;
}

// SHA-384 is SHA-512 with other beginnings and a shorter end.
static int sha384(wc_CryptoInfo *info)
{
    wc_Sha384 *sha = info->hash.sha384;
    SHA512_CTX ctx = {
        .Nl = sha->loLen << 3,
        .Nh = sha->hiLen << 3 | sha->loLen >> 61,
        .num = sha->buffLen,
        .md_len = SHA384_DIGEST_LENGTH,
    };
    memcpy(ctx.h, sha->digest, sizeof(ctx.h));
    memcpy(&ctx.u, sha->buffer, sizeof(ctx.u));
    if (info->hash.in != NULL)
        SHA384_Update(&ctx, info->hash.in, info->hash.inSz);
    if (info->hash.digest != NULL) {
        SHA384_Final(info->hash.digest, &ctx);
        SHA384_Init(&ctx);
    }
    memcpy(sha->digest, ctx.h, sizeof(ctx.h));
    memcpy(sha->buffer, &ctx.u, sizeof(ctx.u));
    sha->buffLen = ctx.num;
    sha->loLen = ctx.Nl >> 3 | ctx.Nh << 61;
    sha->hiLen = ctx.Nh >> 3;
    return 0;
}

// ---- X25519 ----

static int x25519_generate(wc_CryptoInfo *info)
{
    curve25519_key *key = info->pk.curve25519kg.key;
    if (info->pk.curve25519kg.size != X25519_LEN)
        return CRYPTOCB_UNAVAILABLE;
    env_random(tls_scope_get()->env, key->k, X25519_LEN);
    key->k[0] &= 248;
    key->k[31] = (byte)((key->k[31] & 127) | 64);
    size_t len = X25519_LEN;
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, key->k, X25519_LEN);
    bool made = pkey != NULL && EVP_PKEY_get_raw_public_key(pkey, key->p.point, &len) == 1;
    EVP_PKEY_free(pkey);
    key->privSet = made;
    key->pubSet = made;
    return made ? 0 : WC_HW_E;
}

// Fails for the points of small order, whose shared secret is all zero (RFC 7748 6.1).
static bool derive(EVP_PKEY *own, EVP_PKEY *peer, uint8_t *out, size_t len)
{
    EVP_PKEY_CTX *ctx = own != NULL && peer != NULL ? EVP_PKEY_CTX_new(own, NULL) : NULL;
    size_t got = len;
    bool derived = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
                   EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
                   EVP_PKEY_derive(ctx, out, &got) == 1 && got == len;
    EVP_PKEY_CTX_free(ctx);
    return derived;
}

static int x25519_agree(wc_CryptoInfo *info)
{
    if (*info->pk.curve25519.outlen < X25519_LEN)
        return BAD_FUNC_ARG;
    uint8_t secret[X25519_LEN];
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL,
                                                 info->pk.curve25519.private_key->k, X25519_LEN);
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(
        EVP_PKEY_X25519, NULL, info->pk.curve25519.public_key->p.point, X25519_LEN);
    bool agreed = derive(own, peer, secret, sizeof(secret));
    EVP_PKEY_free(own);
    EVP_PKEY_free(peer);
    if (!agreed)
        return ECC_BAD_ARG_E;
    bool reversed = info->pk.curve25519.endian == EC25519_BIG_ENDIAN;
    for (int i = 0; i < X25519_LEN; i++)
        info->pk.curve25519.out[i] = secret[reversed ? X25519_LEN - 1 - i : i];
    *info->pk.curve25519.outlen = X25519_LEN;
    bytes_wipe(secret, sizeof(secret));
    return 0;
}

// ---- P-256 key exchange ----

// A private scalar in 1..n-1, all values equally likely.
static BIGNUM *p256_scalar(uint8_t *bytes)
{
    BIGNUM *scalar = BN_secure_new();
    for (int i = 0; scalar != NULL && i < SCALAR_TRIES; i++) {
        env_random(tls_scope_get()->env, bytes, P256_LEN);
        if (BN_bin2bn(bytes, P256_LEN, scalar) != NULL && !BN_is_zero(scalar) &&
            BN_cmp(scalar, EC_GROUP_get0_order(shared.p256)) < 0)
            return scalar;
    }
    BN_clear_free(scalar);
    return NULL;
}

static int p256_generate(wc_CryptoInfo *info)
{
    if (info->pk.eckg.curveId != ECC_SECP256R1)
        return CRYPTOCB_UNAVAILABLE;
    uint8_t bytes[P256_LEN], encoded[P256_POINT_LEN];
    BIGNUM *scalar = p256_scalar(bytes);
    EC_POINT *point = EC_POINT_new(shared.p256);
    bool made = scalar != NULL && point != NULL &&
                EC_POINT_mul(shared.p256, point, scalar, NULL, NULL, NULL) == 1 &&
                EC_POINT_point2oct(shared.p256, point, POINT_CONVERSION_UNCOMPRESSED, encoded,
                                   sizeof(encoded), NULL) == sizeof(encoded);
    BN_clear_free(scalar);
    EC_POINT_free(point);
    int result = made ? wc_ecc_import_private_key_ex(bytes, sizeof(bytes), encoded, sizeof(encoded),
                                                     info->pk.eckg.key, ECC_SECP256R1)
                      : WC_HW_E;
    bytes_wipe(bytes, sizeof(bytes));
    return result;
}

// The peer's point; NULL when it is not on the curve.
static EC_POINT *p256_point(ecc_key *key)
{
    uint8_t encoded[P256_POINT_LEN];
    word32 len = sizeof(encoded);
    EC_POINT *point = EC_POINT_new(shared.p256);
    if (point == NULL || wc_ecc_export_x963(key, encoded, &len) != 0 ||
        EC_POINT_oct2point(shared.p256, point, encoded, len, NULL) != 1 ||
        EC_POINT_is_at_infinity(shared.p256, point)) {
        EC_POINT_free(point);
        ERR_clear_error();
        return NULL;
    }
    return point;
}

static bool p256_multiply(EC_POINT *point, ecc_key *own, uint8_t *out)
{
    uint8_t bytes[P256_LEN];
    word32 len = sizeof(bytes);
    bool exported = wc_ecc_export_private_only(own, bytes, &len) == 0;
    BIGNUM *scalar = BN_secure_new(), *x = BN_secure_new();
    bool done = exported && scalar != NULL && x != NULL && BN_bin2bn(bytes, (int)len, scalar) &&
                EC_POINT_mul(shared.p256, point, NULL, point, scalar, NULL) == 1 &&
                EC_POINT_get_affine_coordinates(shared.p256, point, x, NULL, NULL) == 1 &&
                BN_bn2binpad(x, out, P256_LEN) == P256_LEN;
    BN_clear_free(scalar);
    BN_clear_free(x);
    bytes_wipe(bytes, sizeof(bytes));
    return done;
}

static int p256_agree(wc_CryptoInfo *info)
{
    ecc_key *own = info->pk.ecdh.private_key, *peer = info->pk.ecdh.public_key;
    if (own->dp == NULL || own->dp->id != ECC_SECP256R1)
        return CRYPTOCB_UNAVAILABLE;
    if (*info->pk.ecdh.outlen < P256_LEN)
        return BAD_FUNC_ARG;
    EC_POINT *point = p256_point(peer);
    if (point == NULL && !GUARD(TLS_POINT_ON_CURVE))
        return CRYPTOCB_UNAVAILABLE; // the library then goes on with it
    if (point == NULL) {
        scope.refused = "the peer's point is not on the curve";
        return ECC_BAD_ARG_E;
    }
    bool agreed = p256_multiply(point, own, info->pk.ecdh.out);
    EC_POINT_clear_free(point);
    *info->pk.ecdh.outlen = P256_LEN;
    return agreed ? 0 : WC_HW_E;
}

// ---- Signatures ----

static const char *curve_name(const ecc_key *key)
{
    int id = key->dp != NULL ? key->dp->id : 0;
    return id == ECC_SECP256R1   ? "prime256v1"
           : id == ECC_SECP384R1 ? "secp384r1"
           : id == ECC_SECP521R1 ? "secp521r1"
                                 : NULL;
}

static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = params != NULL ? EVP_PKEY_CTX_new_from_name(NULL, type, NULL) : NULL;
    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static EVP_PKEY *ec_public(ecc_key *key, const char *curve)
{
    uint8_t point[POINT_LEN_MAX];
    word32 len = sizeof(point);
    if (wc_ecc_export_x963(key, point, &len) != 0)
        return NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)curve, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, len),
        OSSL_PARAM_construct_end(),
    };
    return pkey_from("EC", params);
}

static int ecdsa_verify(wc_CryptoInfo *info)
{
    const char *curve = curve_name(info->pk.eccverify.key);
    if (curve == NULL)
        return CRYPTOCB_UNAVAILABLE;
    *info->pk.eccverify.res = 0;
    if (GUARD(TLS_DIGEST_SHORT) && info->pk.eccverify.hashlen < DIGEST_LEN_MIN) {
        scope.refused = "signature over a digest that is too short";
        return ECC_BAD_ARG_E;
    }
    EVP_PKEY *pkey = ec_public(info->pk.eccverify.key, curve);
    EVP_PKEY_CTX *ctx = pkey != NULL ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;
    int valid = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1
                    ? EVP_PKEY_verify(ctx, info->pk.eccverify.sig, info->pk.eccverify.siglen,
                                      info->pk.eccverify.hash, info->pk.eccverify.hashlen)
                    : -1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    *info->pk.eccverify.res = valid == 1;
    return pkey != NULL ? 0 : ECC_BAD_ARG_E;
}

static int ecdsa_sign(wc_CryptoInfo *info)
{
    // libcrypto's nonce does not come from the environment: a simulated world lets the library
    // sign, so that it repeats.
    if (scope.signer == NULL || scope.env != env_system() || !EVP_PKEY_is_a(scope.signer, "EC"))
        return CRYPTOCB_UNAVAILABLE;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(scope.signer, NULL);
    size_t len = *info->pk.eccsign.outlen;
    bool made = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
                EVP_PKEY_sign(ctx, info->pk.eccsign.out, &len, info->pk.eccsign.in,
                              info->pk.eccsign.inlen) == 1;
    EVP_PKEY_CTX_free(ctx);
    *info->pk.eccsign.outlen = (word32)len;
    return made ? 0 : WC_HW_E;
}

static EVP_PKEY *rsa_public(RsaKey *key)
{
    uint8_t n[RSA_LEN_MAX], e[RSA_LEN_MAX];
    word32 n_len = sizeof(n), e_len = sizeof(e);
    if (wc_RsaFlattenPublicKey(key, e, &e_len, n, &n_len) != 0)
        return NULL;
    BIGNUM *modulus = BN_bin2bn(n, (int)n_len, NULL), *exponent = BN_bin2bn(e, (int)e_len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (modulus != NULL && exponent != NULL && build != NULL &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY *pkey = pkey_from("RSA", params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return pkey;
}

// The bare modular exponentiation; padding is the library's business.
static int rsa_bare(EVP_PKEY *pkey, bool private, wc_CryptoInfo *info)
{
    uint8_t out[RSA_LEN_MAX];
    size_t len = sizeof(out);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool done = ctx != NULL &&
                (private ? EVP_PKEY_sign_init(ctx) : EVP_PKEY_verify_recover_init(ctx)) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1;
    if (done && private)
        done = EVP_PKEY_sign(ctx, out, &len, info->pk.rsa.in, info->pk.rsa.inLen) == 1;
    else if (done)
        done = EVP_PKEY_verify_recover(ctx, out, &len, info->pk.rsa.in, info->pk.rsa.inLen) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    if (!done || len > *info->pk.rsa.outLen)
        return WC_HW_E;
    memcpy(info->pk.rsa.out, out, len);
    *info->pk.rsa.outLen = (word32)len;
    return 0;
}

// A PKCS #1 v1.5 signature over less than SHA-256: its DigestInfo is shorter. Not offered by us,
// but the library does not hold a TLS 1.2 server to our offer.
static bool is_weak_signature(const uint8_t *block, size_t len)
{
    if (len < 2 || block[0] != 0 || block[1] != 1)
        return false; // PSS, or nothing that the library will take
    size_t at = 2;
    while (at < len && block[at] == 0xff)
        at++;
    return len - at < 1 + DIGEST_INFO_MIN;
}

static int rsa(wc_CryptoInfo *info)
{
    int key_len = wc_RsaEncryptSize(info->pk.rsa.key);
    if (key_len <= 0 || key_len > RSA_LEN_MAX || info->pk.rsa.inLen != (word32)key_len)
        return CRYPTOCB_UNAVAILABLE;
    if (info->pk.rsa.type == RSA_PRIVATE_ENCRYPT) {
        if (scope.signer == NULL || EVP_PKEY_get_size(scope.signer) != key_len)
            return CRYPTOCB_UNAVAILABLE;
        return rsa_bare(scope.signer, true, info);
    }
    if (info->pk.rsa.type != RSA_PUBLIC_DECRYPT)
        return CRYPTOCB_UNAVAILABLE;
    EVP_PKEY *pkey = rsa_public(info->pk.rsa.key);
    int result = pkey != NULL ? rsa_bare(pkey, false, info) : WC_HW_E;
    EVP_PKEY_free(pkey);
    if (result == 0 && GUARD(TLS_DIGEST_SHORT) &&
        is_weak_signature(info->pk.rsa.out, *info->pk.rsa.outLen)) {
        scope.refused = "signature over a digest that is too short";
        return RSA_PAD_E;
    }
    return result;
}

// ---- The callback ----

static int serve_key(wc_CryptoInfo *info)
{
    switch (info->pk.type) { // the library adds types freely; what is not named here is its own
    case WC_PK_TYPE_RSA: return rsa(info);
    case WC_PK_TYPE_ECDH: return p256_agree(info);
    case WC_PK_TYPE_EC_KEYGEN: return p256_generate(info);
    case WC_PK_TYPE_ECDSA_SIGN: return ecdsa_sign(info);
    case WC_PK_TYPE_ECDSA_VERIFY: return ecdsa_verify(info);
    case WC_PK_TYPE_CURVE25519_KEYGEN: return x25519_generate(info);
    case WC_PK_TYPE_CURVE25519: return x25519_agree(info);
    default: return CRYPTOCB_UNAVAILABLE;
    }
}

static int serve(wc_CryptoInfo *info)
{
    switch (info->algo_type) {
    case WC_ALGO_TYPE_CIPHER:
        if (info->cipher.type != WC_CIPHER_AES_GCM)
            return CRYPTOCB_UNAVAILABLE;
        return info->cipher.enc ? gcm_seal(info) : gcm_open(info);
    case WC_ALGO_TYPE_HASH:
        return info->hash.type == WC_HASH_TYPE_SHA256   ? sha256(info)
               : info->hash.type == WC_HASH_TYPE_SHA384 ? sha384(info)
                                                        : CRYPTOCB_UNAVAILABLE;
    case WC_ALGO_TYPE_PK: return serve_key(info);
    case WC_ALGO_TYPE_RNG: env_random(tls_scope_get()->env, info->rng.out, info->rng.sz); return 0;
    case WC_ALGO_TYPE_SEED:
        env_random(tls_scope_get()->env, info->seed.seed, info->seed.sz);
        return 0;
    default: return CRYPTOCB_UNAVAILABLE;
    }
}

static int on_crypto(int device, wc_CryptoInfo *info, void *ctx)
{
    (void)ctx;
    assert(device == TLS_DEVICE);
    int result = serve(info);
    if (result != CRYPTOCB_UNAVAILABLE)
        scope.served++;
    return result;
}

struct err tls_crypto_init(char *why)
{
    shared.aes128 = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    shared.aes256 = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    shared.p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    if (shared.aes128 == NULL || shared.aes256 == NULL || shared.p256 == NULL ||
        wc_CryptoCb_RegisterDevice(TLS_DEVICE, on_crypto, NULL) != 0) {
        snprintf(why, TLS_WHY_MAX, "libcrypto lacks AES-GCM or P-256, or no callback is possible");
        tls_crypto_fini();
        return ERR(TLS_SELF_TEST);
    }
    return OK;
}

void tls_crypto_fini(void)
{
    wc_CryptoCb_UnRegisterDevice(TLS_DEVICE);
    tls_aead_free(&scratch[0]);
    tls_aead_free(&scratch[1]);
    EVP_CIPHER_free(shared.aes128);
    EVP_CIPHER_free(shared.aes256);
    EC_GROUP_free(shared.p256);
    memset(&shared, 0, sizeof(shared));
}
