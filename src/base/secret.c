#include "penstock/base/secret.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>

// Objects are powers of two, so that a freed place serves the next secret of about that length.
enum {
    BLOCK_BYTES = 64 * KIB,
    CLASS_MIN_BITS = 6, // 64 bytes: a digest or derived key with its head
    CLASS_MAX_BITS = 15,
    CLASS_COUNT = CLASS_MAX_BITS - CLASS_MIN_BITS + 1,
};

struct secret {
    struct vault *vault;
    uint32_t len;
    uint32_t class_idx;
    uint8_t bytes[];
};
_Static_assert(sizeof(struct secret) + SECRET_MAX + 1 <= 1u << CLASS_MAX_BITS,
               "the longest secret fits the largest class");
_Static_assert(1u << CLASS_MAX_BITS <= BLOCK_BYTES, "the largest class fits a block");

struct block {
    struct block *next;
    void *pages;
    bool locked;
};

struct vault {
    struct block *blocks;
    char *fresh; // never used bytes of the newest block
    size_t fresh_len;
    void *free[CLASS_COUNT]; // linked through the first word
    struct vault_stats stats;
};

struct err vault_new(struct vault **out)
{
    // sodium_init() also picks the fast implementations for this machine; it may be called again.
    verify(sodium_init() >= 0);
    *out = calloc(1, sizeof(**out));
    return *out != NULL ? OK : ERR(NO_MEMORY);
}

void vault_free(struct vault **vault)
{
    if (*vault == NULL)
        return;
    assert((*vault)->stats.secret_count == 0);
    struct block *block = (*vault)->blocks;
    while (block != NULL) {
        struct block *next = block->next;
        sodium_memzero(block->pages, BLOCK_BYTES);
        munmap(block->pages, BLOCK_BYTES);
        free(block);
        block = next;
    }
    free(*vault);
    *vault = NULL;
}

struct vault_stats vault_stats(const struct vault *vault)
{
    return vault->stats;
}

static bool vault_grow(struct vault *vault)
{
    struct block *block = calloc(1, sizeof(*block));
    if (block == NULL)
        return false;
    block->pages =
        mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block->pages == MAP_FAILED) {
        free(block);
        return false;
    }
    // Containers often allow very little locked memory. Working without the lock and saying so in
    // the statistics is better than not starting.
    block->locked = mlock(block->pages, BLOCK_BYTES) == 0;
    verify(madvise(block->pages, BLOCK_BYTES, MADV_DONTDUMP) == 0);
    // A kernel may refuse DONTFORK on nothing but a hole; ours was just mapped.
    verify(madvise(block->pages, BLOCK_BYTES, MADV_DONTFORK) == 0);
    block->next = vault->blocks;
    vault->blocks = block;
    vault->fresh = block->pages;
    vault->fresh_len = BLOCK_BYTES;
    vault->stats.bytes_held += BLOCK_BYTES;
    vault->stats.bytes_locked += block->locked ? BLOCK_BYTES : 0;
    return true;
}

static unsigned class_of(size_t bytes)
{
    unsigned idx = 0;
    while ((size_t)1 << (idx + CLASS_MIN_BITS) < bytes)
        idx++;
    assert(idx < CLASS_COUNT);
    return idx;
}

// The rest of a block becomes free places of the classes it holds, largest first.
static void use_up_fresh(struct vault *vault)
{
    for (unsigned idx = CLASS_COUNT; idx-- > 0;) {
        const size_t size = (size_t)1 << (idx + CLASS_MIN_BITS);
        while (vault->fresh_len >= size) {
            *(void **)vault->fresh = vault->free[idx];
            vault->free[idx] = vault->fresh;
            vault->fresh += size;
            vault->fresh_len -= size;
        }
    }
}

static void *take_place(struct vault *vault, unsigned idx)
{
    void *place = vault->free[idx];
    if (place != NULL) {
        vault->free[idx] = *(void **)place;
        *(void **)place = NULL;
        return place;
    }
    const size_t size = (size_t)1 << (idx + CLASS_MIN_BITS);
    if (vault->fresh_len < size) {
        use_up_fresh(vault);
        if (!vault_grow(vault))
            return NULL;
    }
    place = vault->fresh;
    vault->fresh += size;
    vault->fresh_len -= size;
    return place;
}

struct secret *secret_blank(struct vault *vault, size_t len)
{
    if (len > SECRET_MAX)
        return NULL;
    const unsigned idx = class_of(sizeof(struct secret) + len + 1);
    struct secret *secret = take_place(vault, idx);
    if (secret == NULL)
        return NULL;
    secret->vault = vault;
    secret->len = (uint32_t)len;
    secret->class_idx = idx;
    vault->stats.secret_count++;
    return secret;
}

struct secret *secret_new(struct vault *vault, struct span bytes)
{
    struct secret *secret = secret_blank(vault, bytes.len);
    if (secret != NULL && bytes.len > 0)
        memcpy(secret->bytes, bytes.ptr, bytes.len);
    return secret;
}

struct secret *secret_copy(struct vault *vault, const struct secret *from)
{
    return secret_new(vault, secret_reveal(from));
}

void secret_free(struct secret **secret)
{
    struct secret *gone = *secret;
    if (gone == NULL)
        return;
    struct vault *vault = gone->vault;
    const unsigned idx = gone->class_idx;
    assert(vault->stats.secret_count > 0);
    vault->stats.secret_count--;
    if (GUARD(SECRET_WIPED))
        sodium_memzero(gone, (size_t)1 << (idx + CLASS_MIN_BITS));
    *(void **)gone = vault->free[idx];
    vault->free[idx] = gone;
    *secret = NULL;
}

struct span secret_reveal(const struct secret *secret)
{
    return span_of(secret->bytes, secret->len);
}

uint8_t *secret_bytes(struct secret *secret)
{
    return secret->bytes;
}

void secret_trim(struct secret *secret, size_t len)
{
    assert(len <= secret->len);
    sodium_memzero(secret->bytes + len, secret->len - len);
    secret->len = (uint32_t)len;
}

size_t secret_len(const struct secret *secret)
{
    return secret->len;
}

bool secret_eq(const struct secret *a, const struct secret *b)
{
    return a->len == b->len && bytes_eq_secret(a->bytes, b->bytes, a->len);
}

void bytes_wipe(void *ptr, size_t len)
{
    if (len > 0)
        memset(ptr, 0, len);
    // What lies there may be read after this, for all that the compiler knows.
    __asm__ volatile("" : : "r"(ptr) : "memory");
}
