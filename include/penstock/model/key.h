// key.h - a client's key: minted once, shown once, kept as a keyed hash.
//
// The text is "sk-pst-", 43 characters of base62 for 32 random bytes, and 6 for the CRC-32 of all
// before them. So a leak scanner can find one, and a mistyped or invented key is refused without a
// hash. Only BLAKE2b-256 of the text under the lookup key is stored.
#ifndef PENSTOCK_MODEL_KEY_H
#define PENSTOCK_MODEL_KEY_H

#include "penstock/base/env.h"
#include "penstock/model/field.h"
#include "penstock/model/format.h"

enum {
    KEY_RANDOM_BYTES = 32,
    KEY_PREFIX_LEN = 7, // "sk-pst-"
    KEY_BODY_LEN = 43,
    KEY_CRC_LEN = 6,
    KEY_TEXT_LEN = KEY_PREFIX_LEN + KEY_BODY_LEN + KEY_CRC_LEN,
    KEY_SHOWN_HEAD = 11, // "sk-pst-AbCd", kept for display
    KEY_SHOWN_TAIL = 4,
};

struct key {
    struct record record;
    struct span id, name, description;
    struct secret *key; // input only: the text form, becomes the digest
    uint8_t digest[DIGEST_BYTES];
    struct span shown_head, shown_tail;
    bool enabled;
    uint64_t expires_at;   // refused from then on
    uint32_t formats;      // set of BIT(enum format); 0: all
    struct strings models; // names or prefix*; none: all
    uint64_t created_at, updated_at;
};
extern const struct table key_table;

// Writes a fresh key's text (no NUL). The caller shows it once and wipes it.
void key_mint(struct env *env, char out[KEY_TEXT_LEN]);
// Length, prefix, characters and checksum; always looks at the whole text.
must_use bool key_text_check(struct span text);

// The lookup key at hand, for many digests. A copy of it is a copy of a secret.
struct key_hasher {
    uint8_t key[32];
};
void key_hasher_init(struct key_hasher *hasher, const struct secret *lookup_key);
// The digest of a key's text. Any length is taken; a text that fails key_text_check() hashes too.
void key_digest(const struct key_hasher *hasher, struct span text, uint8_t out[DIGEST_BYTES]);
must_use bool key_digest_eq(const uint8_t a[DIGEST_BYTES], const uint8_t b[DIGEST_BYTES]);
// Takes the digest and the shown characters of `text` into the record.
void key_adopt(struct key *key, const struct key_hasher *hasher, struct span text);

#endif
