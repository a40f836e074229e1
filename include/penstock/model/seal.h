// seal.h - keys derived from the master key, and secrets sealed under them.
//
// A sealed secret is version | algorithm | key id | nonce | ciphertext | tag. The algorithm is
// XChaCha20-Poly1305 with a random nonce. Kind, record id and field name are associated data, so
// that a sealed secret opens only where it was put.
#ifndef PENSTOCK_MODEL_SEAL_H
#define PENSTOCK_MODEL_SEAL_H

#include "penstock/base/env.h"
#include "penstock/base/err.h"
#include "penstock/base/secret.h"
#include "penstock/base/text.h"

enum {
    MASTER_KEY_BYTES = 32,
    SEAL_VERSION = 1,
    SEAL_XCHACHA20_POLY1305 = 1,
    SEAL_KEY_ID_BYTES = 8,
    SEAL_NONCE_BYTES = 24,
    SEAL_TAG_BYTES = 16,
    SEAL_HEAD_BYTES = 2 + SEAL_KEY_ID_BYTES + SEAL_NONCE_BYTES,
    SEAL_OVERHEAD = SEAL_HEAD_BYTES + SEAL_TAG_BYTES,
};

// One master key's children. Whoever knows one child learns nothing of the others.
struct keyring {
    uint8_t id[SEAL_KEY_ID_BYTES]; // tells master keys apart; not secret
    struct secret *lookup;         // hashes client keys
    struct secret *seal;           // seals stored secrets
    struct secret *session;        // for sessions and tokens
    struct secret *envelope;       // vouches for what clients are given to bring back
};

must_use struct err keyring_init(struct keyring *keyring, struct vault *vault,
                                 const struct secret *master);
void keyring_fini(struct keyring *keyring);

// What a sealed secret belongs to.
struct seal_place {
    struct span kind, id, field;
};

// Appends the sealed form of `secret` to `out`.
void seal(const struct keyring *keyring, struct env *env, const struct seal_place *place,
          struct span secret, struct text *out);
// A secret of its own in `vault`; SEAL_BROKEN when the key, the place or the bytes are others.
must_use struct err unseal(const struct keyring *keyring, struct vault *vault,
                           const struct seal_place *place, struct span sealed, struct secret **out);

#endif
