// The crypto callback against the TLS library's own software, on random cases: every answer the
// same, and the refusals that the software lacks.
#include "net/tls_internal.h"
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "test.h"

#include <wolfssl/options.h>
#undef _FORTIFY_SOURCE // set by the line above, and not its business

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/sha512.h>

static struct env_fake fake;

static size_t pick(size_t below)
{
    uint32_t number;
    env_random(&fake.env, &number, sizeof(number));
    return number % below;
}

static void gcm_agrees(void)
{
    static byte plain[20000], one[20000], two[20000], back[20000];
    for (int i = 0; i < 400; i++) {
        byte key[32], iv[12], aad[64], tag[16], other[16];
        word32 key_len = pick(2) ? 16 : 32, aad_len = (word32)(6 + pick(sizeof(aad) - 6));
        word32 len = (word32)(pick(4) ? pick(300) : pick(sizeof(plain)));
        Aes served, plainly;
        env_random(&fake.env, key, sizeof(key));
        env_random(&fake.env, iv, sizeof(iv));
        env_random(&fake.env, aad, sizeof(aad));
        env_random(&fake.env, plain, len);
        verify(wc_AesInit(&served, NULL, TLS_DEVICE) == 0);
        verify(wc_AesInit(&plainly, NULL, INVALID_DEVID) == 0);
        verify(wc_AesGcmSetKey(&served, key, key_len) == 0);
        verify(wc_AesGcmSetKey(&plainly, key, key_len) == 0);
        EXPECT_EQ(wc_AesGcmEncrypt(&served, one, plain, len, iv, 12, tag, 16, aad, aad_len), 0);
        EXPECT_EQ(wc_AesGcmEncrypt(&plainly, two, plain, len, iv, 12, other, 16, aad, aad_len), 0);
        EXPECT(memcmp(one, two, len) == 0 && memcmp(tag, other, 16) == 0);
        EXPECT_EQ(wc_AesGcmDecrypt(&served, back, two, len, iv, 12, other, 16, aad, aad_len), 0);
        EXPECT(memcmp(back, plain, len) == 0);
        // In place, as records are opened; then with one bit wrong somewhere.
        EXPECT_EQ(wc_AesGcmDecrypt(&served, one, one, len, iv, 12, tag, 16, aad, aad_len), 0);
        EXPECT(memcmp(one, plain, len) == 0);
        size_t where = pick(3);
        (where == 0 ? tag : where == 1 ? aad : iv)[pick(where == 2 ? 12 : 6)] ^= 4;
        EXPECT_EQ(wc_AesGcmDecrypt(&served, two, two, len, iv, 12, tag, 16, aad, aad_len),
                  AES_GCM_AUTH_E);
        for (word32 k = 0; k < len; k++) // and nothing of it is shown
            if (two[k] != 0) {
                EXPECT_EQ(two[k], 0);
                break;
            }
        wc_AesFree(&served), wc_AesFree(&plainly);
    }
}

// Changing keys on one object, and several objects in turn, do not mix.
static void gcm_keys_do_not_mix(void)
{
    byte key[16], iv[12] = { 0 }, tag[16], out[32], text[32] = "the same text, the same length";
    Aes many[3];
    for (int i = 0; i < 3; i++)
        verify(wc_AesInit(&many[i], NULL, TLS_DEVICE) == 0);
    for (int i = 0; i < 300; i++) {
        Aes plainly;
        byte want[32], want_tag[16];
        Aes *aes = &many[pick(3)];
        memset(key, (int)pick(7), sizeof(key));
        verify(wc_AesInit(&plainly, NULL, INVALID_DEVID) == 0);
        verify(wc_AesGcmSetKey(&plainly, key, 16) == 0 && wc_AesGcmSetKey(aes, key, 16) == 0);
        EXPECT_EQ(wc_AesGcmEncrypt(aes, out, text, 32, iv, 12, tag, 16, iv, 12), 0);
        EXPECT_EQ(wc_AesGcmEncrypt(&plainly, want, text, 32, iv, 12, want_tag, 16, iv, 12), 0);
        EXPECT(memcmp(out, want, 32) == 0 && memcmp(tag, want_tag, 16) == 0);
        EXPECT_EQ(wc_AesGcmDecrypt(aes, out, out, 32, iv, 12, tag, 16, iv, 12), 0);
        EXPECT(memcmp(out, text, 32) == 0);
        wc_AesFree(&plainly);
    }
    for (int i = 0; i < 3; i++)
        wc_AesFree(&many[i]);
}

static void blank_records_do_not_open(void)
{
    Aes aes;
    byte key[16] = { 1 }, iv[12] = { 2 }, aad[13] = { 23, 3, 3 }, zeros[64] = { 0 };
    byte sealed[64], tag[16], out[64];
    verify(wc_AesInit(&aes, NULL, TLS_DEVICE) == 0 && wc_AesGcmSetKey(&aes, key, 16) == 0);
    for (word32 len = 0; len <= sizeof(zeros); len++) {
        verify(wc_AesGcmEncrypt(&aes, sealed, zeros, len, iv, 12, tag, 16, aad, 5) == 0);
        EXPECT_EQ(wc_AesGcmDecrypt(&aes, out, sealed, len, iv, 12, tag, 16, aad, 5),
                  AES_GCM_AUTH_E);
        verify(wc_AesGcmEncrypt(&aes, sealed, zeros, len, iv, 12, tag, 16, aad, 13) == 0);
        EXPECT_EQ(wc_AesGcmDecrypt(&aes, out, sealed, len, iv, 12, tag, 16, aad, 13), 0); // TLS 1.2
    }
    wc_AesFree(&aes);
}

static void hashes_agree(void)
{
    static byte text[3000];
    for (int i = 0; i < 200; i++) {
        wc_Sha256 served, plainly;
        wc_Sha384 served384, plainly384;
        byte one[48], two[48];
        verify(wc_InitSha256_ex(&served, NULL, TLS_DEVICE) == 0);
        verify(wc_InitSha256_ex(&plainly, NULL, INVALID_DEVID) == 0);
        verify(wc_InitSha384_ex(&served384, NULL, TLS_DEVICE) == 0);
        verify(wc_InitSha384_ex(&plainly384, NULL, INVALID_DEVID) == 0);
        for (size_t part = pick(8); part > 0; part--) {
            word32 len = (word32)pick(pick(2) ? 70 : sizeof(text));
            env_random(&fake.env, text, len);
            EXPECT_EQ(wc_Sha256Update(&served, text, len), 0);
            EXPECT_EQ(wc_Sha256Update(&plainly, text, len), 0);
            EXPECT_EQ(wc_Sha384Update(&served384, text, len), 0);
            EXPECT_EQ(wc_Sha384Update(&plainly384, text, len), 0);
            EXPECT_EQ(wc_Sha256GetHash(&served, one), 0); // the middle of a transcript
            EXPECT_EQ(wc_Sha256GetHash(&plainly, two), 0);
            EXPECT(memcmp(one, two, 32) == 0);
        }
        EXPECT_EQ(wc_Sha256Final(&served, one), 0);
        EXPECT_EQ(wc_Sha256Final(&plainly, two), 0);
        EXPECT(memcmp(one, two, 32) == 0);
        EXPECT_EQ(wc_Sha384Final(&served384, one), 0);
        EXPECT_EQ(wc_Sha384Final(&plainly384, two), 0);
        EXPECT(memcmp(one, two, 48) == 0);
        // After its end an object begins anew.
        EXPECT_EQ(wc_Sha256Update(&served, text, 9), 0);
        EXPECT_EQ(wc_Sha256Update(&plainly, text, 9), 0);
        EXPECT(wc_Sha256Final(&served, one) == 0 && wc_Sha256Final(&plainly, two) == 0);
        EXPECT(memcmp(one, two, 32) == 0);
    }
}

static void agreements_agree(void)
{
    for (int i = 0; i < 40; i++) {
        WC_RNG rng;
        ecc_key served, plainly;
        curve25519_key x_served, x_plainly;
        byte one[32], two[32];
        word32 one_len = 32, two_len = 32;
        verify(wc_InitRng_ex(&rng, NULL, TLS_DEVICE) == 0);
        verify(wc_ecc_init_ex(&served, NULL, TLS_DEVICE) == 0);
        verify(wc_ecc_init_ex(&plainly, NULL, INVALID_DEVID) == 0);
        EXPECT_EQ(wc_ecc_make_key_ex(&rng, 32, &served, ECC_SECP256R1), 0);
        EXPECT_EQ(wc_ecc_make_key_ex(&rng, 32, &plainly, ECC_SECP256R1), 0);
        EXPECT_EQ(wc_ecc_check_key(&served), 0);
        EXPECT_EQ(wc_ecc_set_rng(&plainly, &rng), 0);
        EXPECT_EQ(wc_ecc_shared_secret(&served, &plainly, one, &one_len), 0);
        EXPECT_EQ(wc_ecc_shared_secret(&plainly, &served, two, &two_len), 0);
        EXPECT(one_len == 32 && two_len == 32 && memcmp(one, two, 32) == 0);
        verify(wc_curve25519_init_ex(&x_served, NULL, TLS_DEVICE) == 0);
        verify(wc_curve25519_init_ex(&x_plainly, NULL, INVALID_DEVID) == 0);
        EXPECT_EQ(wc_curve25519_make_key(&rng, 32, &x_served), 0);
        EXPECT_EQ(wc_curve25519_make_key(&rng, 32, &x_plainly), 0);
        int endian = i % 2 ? EC25519_LITTLE_ENDIAN : EC25519_BIG_ENDIAN;
        EXPECT_EQ(wc_curve25519_shared_secret_ex(&x_served, &x_plainly, one, &one_len, endian), 0);
        EXPECT_EQ(wc_curve25519_shared_secret_ex(&x_plainly, &x_served, two, &two_len, endian), 0);
        EXPECT(memcmp(one, two, 32) == 0);
        wc_ecc_free(&served), wc_ecc_free(&plainly);
        wc_curve25519_free(&x_served), wc_curve25519_free(&x_plainly);
        wc_FreeRng(&rng);
    }
}

// Signs by the library with a fresh key, verifies by the callback.
static void short_digests_are_not_verified(void)
{
    WC_RNG rng;
    RsaKey key;
    ecc_key ecc;
    byte digest[WC_SHA512_DIGEST_SIZE] = "not the digest of anything", info[100], signature[256];
    byte out[256];
    static const struct {
        int oid;
        word32 len;
        bool accepted;
    } cases[] = {
        { MD5h, 16, false },   { SHAh, 20, false },   { SHA224h, 28, false },
        { SHA256h, 32, true }, { SHA384h, 48, true }, { SHA512h, 64, true },
    };
    verify(wc_InitRng_ex(&rng, NULL, TLS_DEVICE) == 0);
    verify(wc_InitRsaKey_ex(&key, NULL, INVALID_DEVID) == 0);
    verify(wc_MakeRsaKey(&key, 2048, WC_RSA_EXPONENT, &rng) == 0);
    verify(wc_RsaSetRNG(&key, &rng) == 0);
    verify(wc_ecc_init_ex(&ecc, NULL, INVALID_DEVID) == 0);
    verify(wc_ecc_make_key_ex(&rng, 32, &ecc, ECC_SECP256R1) == 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        word32 len = wc_EncodeSignature(info, digest, cases[i].len, cases[i].oid);
        key.devId = INVALID_DEVID;
        int made = wc_RsaSSL_Sign(info, len, signature, sizeof(signature), &key, &rng);
        EXPECT_EQ(made, 256);
        key.devId = TLS_DEVICE;
        int got = wc_RsaSSL_Verify(signature, 256, out, sizeof(out), &key);
        EXPECT_EQ(got > 0, cases[i].accepted);
        if (got > 0)
            EXPECT(got == (int)len && memcmp(out, info, len) == 0);
        word32 ecc_len = sizeof(signature);
        int valid = 0;
        ecc.devId = INVALID_DEVID;
        if (wc_ecc_sign_hash(digest, cases[i].len, signature, &ecc_len, &rng, &ecc) != 0)
            continue; // too short even for the library
        ecc.devId = TLS_DEVICE;
        got = wc_ecc_verify_hash(signature, ecc_len, digest, cases[i].len, &valid, &ecc);
        EXPECT_EQ(got == 0 && valid == 1, cases[i].accepted);
    }
    wc_FreeRsaKey(&key);
    wc_ecc_free(&ecc);
    wc_FreeRng(&rng);
}

static void random_numbers_come_from_the_environment(void)
{
    byte one[64], two[64];
    for (int round = 0; round < 2; round++) {
        struct env_fake world;
        WC_RNG rng;
        env_fake_init(&world, 99);
        tls_scope_get()->env = &world.env;
        verify(wc_InitRng_ex(&rng, NULL, TLS_DEVICE) == 0);
        verify(wc_RNG_GenerateBlock(&rng, round == 0 ? one : two, 64) == 0);
        wc_FreeRng(&rng);
    }
    tls_scope_get()->env = env_system();
    EXPECT(memcmp(one, two, 64) == 0);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(gcm_agrees),
        TEST(gcm_keys_do_not_mix),
        TEST(blank_records_do_not_open),
        TEST(hashes_agree),
        TEST(agreements_agree),
        TEST(short_digests_are_not_verified),
        TEST(random_numbers_come_from_the_environment),
    };
    char why[TLS_WHY_MAX];
    env_fake_init(&fake, 7);
    if (failed(tls_init(why))) {
        fprintf(stderr, "tls_init: %s\n", why);
        return EXIT_FAILURE;
    }
    int status = test_main(argc, argv, cases, ARRAY_LEN(cases));
    tls_fini();
    return status;
}
