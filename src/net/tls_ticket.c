// Session tickets: AES-256-GCM under keys given from outside, bound to the server name, so that a
// session begun under one name is not resumed under another (RFC 6066 3).
#include "tls_internal.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/secret.h"

#include <openssl/evp.h>

enum { TAG_LEN = 16 };

void tls_ticket_keys_rotate(struct tls_ticket_keys *keys, struct env *env)
{
    assert(keys->count <= TLS_TICKET_KEYS_MAX);
    if (keys->count < TLS_TICKET_KEYS_MAX)
        keys->count++;
    memmove(&keys->key[1], &keys->key[0], (keys->count - 1) * sizeof(keys->key[0]));
    env_random(env, keys->key[0].name, TLS_TICKET_NAME_LEN);
    env_random(env, keys->key[0].key, TLS_TICKET_KEY_LEN);
    // The library takes a name of zeros for none.
    keys->key[0].name[0] |= 1;
}

// Everything that must be as it was when the ticket was sealed.
static bool add_context(EVP_CIPHER_CTX *ctx, const uint8_t *name, struct span sni)
{
    int ignored;
    if (EVP_CipherUpdate(ctx, NULL, &ignored, name, TLS_TICKET_NAME_LEN) != 1)
        return false;
    if (!GUARD(TLS_TICKET_NAME) || sni.len == 0)
        return true;
    return EVP_CipherUpdate(ctx, NULL, &ignored, (const uint8_t *)sni.ptr, (int)sni.len) == 1;
}

bool tls_ticket_seal(const struct tls_ticket_keys *keys, struct env *env, struct span sni,
                     uint8_t *name, uint8_t *iv, uint8_t *mac, uint8_t *text, size_t len)
{
    if (keys->count == 0)
        return false;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int ignored;
    memcpy(name, keys->key[0].name, TLS_TICKET_NAME_LEN);
    env_random(env, iv, TLS_TICKET_IV_LEN);
    iv[TLS_TICKET_IV_LEN - 1] |= 1; // zeros would mean none
    memset(mac, 0, TLS_TICKET_MAC_LEN);
    bool sealed = ctx != NULL &&
                  EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, keys->key[0].key, iv) == 1 &&
                  add_context(ctx, name, sni) &&
                  EVP_EncryptUpdate(ctx, text, &ignored, text, (int)len) == 1 &&
                  EVP_EncryptFinal_ex(ctx, text + len, &ignored) == 1 &&
                  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, mac) == 1;
    mac[TLS_TICKET_MAC_LEN - 1] = 1;
    EVP_CIPHER_CTX_free(ctx);
    return sealed;
}

static bool open_with(const uint8_t *key, struct span sni, const uint8_t *name, const uint8_t *iv,
                      const uint8_t *mac, uint8_t *text, size_t len)
{
    uint8_t tag[TAG_LEN];
    memcpy(tag, mac, sizeof(tag));
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int ignored;
    bool opened = ctx != NULL && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv) == 1 &&
                  add_context(ctx, name, sni) &&
                  EVP_DecryptUpdate(ctx, text, &ignored, text, (int)len) == 1 &&
                  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1 &&
                  EVP_DecryptFinal_ex(ctx, text + len, &ignored) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return opened;
}

int tls_ticket_open(const struct tls_ticket_keys *keys, struct span sni, const uint8_t *name,
                    const uint8_t *iv, const uint8_t *mac, uint8_t *text, size_t len)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        if (memcmp(keys->key[i].name, name, TLS_TICKET_NAME_LEN) != 0)
            continue;
        return open_with(keys->key[i].key, sni, name, iv, mac, text, len) ? (int)i : -1;
    }
    return -1;
}
