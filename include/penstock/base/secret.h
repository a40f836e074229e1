// secret.h - bytes that must not leak: vendor keys, derived keys, tokens.
//
// A secret is an opaque object, so no format string, log field or JSON writer takes one by mistake;
// its bytes are reached only by secret_reveal(), a name that a reviewer can search for. It lives in
// a vault: pages that are locked into memory as far as RLIMIT_MEMLOCK allows, left out of core
// dumps and of children, and wiped when a secret is given back.
//
// A vault belongs to one thread, which makes and frees its secrets. Other threads may read a secret
// as long as something else (a snapshot's generation) keeps it alive.
#ifndef PENSTOCK_BASE_SECRET_H
#define PENSTOCK_BASE_SECRET_H

#include "penstock/base/base.h"
#include "penstock/base/err.h"

enum { SECRET_MAX = 16 * KIB };

struct secret;
struct vault;

struct vault_stats {
    size_t bytes_held;   // mapped
    size_t bytes_locked; // of them, locked into memory
    size_t secret_count; // alive
};

must_use struct err vault_new(struct vault **out);
// Every secret must have been freed.
void vault_free(struct vault **vault);
struct vault_stats vault_stats(const struct vault *vault);

// A copy of `bytes`, up to SECRET_MAX; NULL if longer or if there is no memory. A NUL stands behind
// the copy.
must_use struct secret *secret_new(struct vault *vault, struct span bytes);
// A secret of `len` zero bytes for the caller to fill through secret_bytes().
must_use struct secret *secret_blank(struct vault *vault, size_t len);
must_use struct secret *secret_copy(struct vault *vault, const struct secret *from);
// Wipes the bytes, gives them back and sets *secret to NULL; harmless on NULL.
void secret_free(struct secret **secret);

// The bytes themselves, valid until the secret is freed. Copy them only into memory that is wiped.
struct span secret_reveal(const struct secret *secret);
uint8_t *secret_bytes(struct secret *secret);
// Shortens it: what lies behind `len` is wiped.
void secret_trim(struct secret *secret, size_t len);
size_t secret_len(const struct secret *secret);
// Takes the same time whatever the bytes are; the lengths are not secret.
must_use bool secret_eq(const struct secret *a, const struct secret *b);
must_use bool bytes_eq_secret(const void *a, const void *b, size_t len);
// Overwrites memory that held a secret; never optimised away.
void bytes_wipe(void *ptr, size_t len);

#endif
