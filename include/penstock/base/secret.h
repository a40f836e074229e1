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
// The compiler must not see that a difference once found decides everything.
static inline uint64_t secret_opaque(uint64_t diff)
{
    __asm__ volatile("" : "+r"(diff));
    return diff;
}

// Sixteen bytes and no alignment: two words, or one register where the machine has such.
typedef uint64_t secret_lanes __attribute__((vector_size(16), aligned(1), may_alias));

static inline secret_lanes secret_lanes_at(const char *ptr)
{
    return *(const secret_lanes *)(const void *)ptr;
}

// The same for bytes. In line: each request asks it of its head and its key, whose length is known.
must_use static inline bool bytes_eq_secret(const void *a, const void *b, size_t len)
{
    enum { LANES = sizeof(secret_lanes), ROUND = 2 * LANES };
    const char *x = a, *y = b;
    secret_lanes wide = { 0, 0 };
    uint64_t diff = 0;
    size_t at = 0;
    for (; at + ROUND <= len; at += ROUND)
        wide |= (secret_lanes_at(x + at) ^ secret_lanes_at(y + at)) |
                (secret_lanes_at(x + at + LANES) ^ secret_lanes_at(y + at + LANES));
    if (at + LANES <= len) {
        wide |= secret_lanes_at(x + at) ^ secret_lanes_at(y + at);
        at += LANES;
    }
    if (at < len && len >= LANES) // the last ones once more, with those before them
        wide |= secret_lanes_at(x + len - LANES) ^ secret_lanes_at(y + len - LANES);
    else
        for (; at < len; at++)
            diff |= (unsigned char)(x[at] ^ y[at]);
    return secret_opaque(diff | secret_opaque(wide[0]) | secret_opaque(wide[1])) == 0;
}
// Overwrites memory that held a secret; never optimised away.
void bytes_wipe(void *ptr, size_t len);

#endif
