#include "penstock/model/seal.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <sodium.h>

_Static_assert(SEAL_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(SEAL_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
_Static_assert(MASTER_KEY_BYTES == crypto_kdf_KEYBYTES, "master key");
enum { CHILD_BYTES = 32 };
_Static_assert(CHILD_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "seal key");

// Numbers of the children of a master key; they never change.
enum { CHILD_ID = 1, CHILD_LOOKUP = 2, CHILD_SEAL = 3, CHILD_SESSION = 4, CHILD_ENVELOPE = 5 };
static const char kdf_context[crypto_kdf_CONTEXTBYTES] = "penstock";

static struct err derive(struct vault *vault, const struct secret *master, unsigned child,
                         struct secret **out)
{
    *out = secret_blank(vault, CHILD_BYTES);
    if (*out == NULL)
        return ERR(NO_MEMORY);
    const struct span key = secret_reveal(master);
    verify(crypto_kdf_derive_from_key(secret_bytes(*out), CHILD_BYTES, child, kdf_context,
                                      (const uint8_t *)key.ptr) == 0);
    return OK;
}

static struct err derive_all(struct keyring *keyring, struct vault *vault,
                             const struct secret *master)
{
    struct secret *id;
    TRY(derive(vault, master, CHILD_ID, &id));
    memcpy(keyring->id, secret_bytes(id), sizeof(keyring->id));
    secret_free(&id);
    TRY(derive(vault, master, CHILD_LOOKUP, &keyring->lookup));
    TRY(derive(vault, master, CHILD_SEAL, &keyring->seal));
    TRY(derive(vault, master, CHILD_SESSION, &keyring->session));
    return derive(vault, master, CHILD_ENVELOPE, &keyring->envelope);
}

struct err keyring_init(struct keyring *keyring, struct vault *vault, const struct secret *master)
{
    *keyring = (struct keyring){ .lookup = NULL };
    if (secret_len(master) != MASTER_KEY_BYTES)
        return ERR(INVALID);
    struct err err = derive_all(keyring, vault, master);
    if (failed(err))
        keyring_fini(keyring);
    return err;
}

void keyring_fini(struct keyring *keyring)
{
    secret_free(&keyring->lookup);
    secret_free(&keyring->seal);
    secret_free(&keyring->session);
    secret_free(&keyring->envelope);
}

// Each part with its length, so that no two places have the same associated data.
static void add_part(struct text *data, struct span part)
{
    const uint32_t len = (uint32_t)part.len;
    const char head[4] = { (char)(len >> 24), (char)(len >> 16), (char)(len >> 8), (char)len };
    text_add(data, span_of(head, sizeof(head)));
    text_add(data, part);
}

// The head is authenticated with the place: nothing in it can be changed unnoticed.
static void associated(const struct seal_place *place, struct span head, struct text *data)
{
    add_part(data, head);
    if (!GUARD(SEAL_PLACE))
        return;
    add_part(data, place->kind);
    add_part(data, place->id);
    add_part(data, place->field);
}

void seal(const struct keyring *keyring, struct env *env, const struct seal_place *place,
          struct span secret, struct text *out)
{
    uint8_t head[SEAL_HEAD_BYTES] = { SEAL_VERSION, SEAL_XCHACHA20_POLY1305 };
    uint8_t *nonce = head + 2 + SEAL_KEY_ID_BYTES;
    memcpy(head + 2, keyring->id, SEAL_KEY_ID_BYTES);
    env_random(env, nonce, SEAL_NONCE_BYTES);

    struct text data = { 0 };
    associated(place, span_of(head, sizeof(head)), &data);
    text_add(out, span_of(head, sizeof(head)));
    const size_t at = out->len;
    text_add_char(out, 0, secret.len + SEAL_TAG_BYTES);
    unsigned long long len;
    verify(crypto_aead_xchacha20poly1305_ietf_encrypt(
               (uint8_t *)out->ptr + at, &len, (const uint8_t *)secret.ptr, secret.len,
               (const uint8_t *)data.ptr, data.len, NULL, nonce, secret_bytes(keyring->seal)) == 0);
    assert(len == secret.len + SEAL_TAG_BYTES);
    text_fini(&data);
}

struct err unseal(const struct keyring *keyring, struct vault *vault,
                  const struct seal_place *place, struct span sealed, struct secret **out)
{
    *out = NULL;
    if (sealed.len < SEAL_OVERHEAD || sealed.len > SECRET_MAX + SEAL_OVERHEAD)
        return ERR(SEAL_BROKEN);
    const uint8_t *head = (const uint8_t *)sealed.ptr;
    if (head[0] != SEAL_VERSION || head[1] != SEAL_XCHACHA20_POLY1305)
        return ERR(SEAL_BROKEN);
    if (memcmp(head + 2, keyring->id, SEAL_KEY_ID_BYTES) != 0)
        return ERR(SEAL_BROKEN); // another master key
    struct secret *secret = secret_blank(vault, sealed.len - SEAL_OVERHEAD);
    if (secret == NULL)
        return ERR(NO_MEMORY);

    struct text data = { 0 };
    associated(place, span_upto(sealed, SEAL_HEAD_BYTES), &data);
    const int opened = crypto_aead_xchacha20poly1305_ietf_decrypt(
        secret_bytes(secret), NULL, NULL, head + SEAL_HEAD_BYTES, sealed.len - SEAL_HEAD_BYTES,
        (const uint8_t *)data.ptr, data.len, head + 2 + SEAL_KEY_ID_BYTES,
        secret_bytes(keyring->seal));
    text_fini(&data);
    if (opened != 0) {
        secret_free(&secret);
        return ERR(SEAL_BROKEN);
    }
    *out = secret;
    return OK;
}
