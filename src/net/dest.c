#include "penstock/net/dest.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/mem.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { ADDR_WORDS = (sizeof(union dest_addr) + 7) / 8 };

// A sequence lock: odd while the control thread writes; readers copy and look again.
struct dest {
    uint32_t number;   // what stands for it
    uint64_t named;    // the newest snapshot that names it
    struct dest *next; // of those that were let go
    _Alignas(CACHE_LINE) _Atomic uint32_t sequence;
    _Atomic uint32_t state;
    _Atomic uint32_t count;
    _Atomic uint64_t words[DEST_ADDRS_MAX][ADDR_WORDS];
    struct dest_key key;
    struct tls_roots *roots;
    bool numeric;
    char text[];
};

// Roots of one file; an empty path: the system's.
struct dest_roots {
    struct tls_roots *roots;
    char *path;
};

struct dests {
    _Atomic uint32_t count;
    struct dest *_Atomic list[DEST_MAX];
    // The control thread's own.
    uint32_t lives[DEST_MAX]; // of each place
    uint64_t generation;      // of the snapshot that is being built
    struct dest *gone;        // out of the list, but perhaps in somebody's hands in this turn
    uint64_t gone_generation; // of the newest of them
    struct dest_roots roots[DEST_ROOTS_MAX];
    uint32_t root_count;
};

struct err dests_new(struct dests **out)
{
    *out = mem_take(1, sizeof(**out));
    return *out != NULL ? OK : ERR(NO_MEMORY);
}

static void free_gone(struct dests *dests)
{
    while (dests->gone != NULL) {
        struct dest *dest = dests->gone;
        dests->gone = dest->next;
        free(dest);
    }
}

void dests_free(struct dests **dests_ptr)
{
    struct dests *dests = *dests_ptr;
    if (dests == NULL)
        return;
    free_gone(dests);
    for (uint32_t i = 0; i < dests_count(dests); i++)
        free(atomic_load_explicit(&dests->list[i], memory_order_relaxed));
    for (uint32_t i = 0; i < dests->root_count; i++) {
        tls_roots_put(&dests->roots[i].roots);
        mem_give(dests->roots[i].path);
    }
    mem_give(dests);
    *dests_ptr = NULL;
}

uint32_t dests_count(const struct dests *dests)
{
    return atomic_load_explicit(&dests->count, memory_order_acquire);
}

static struct dest *place_at(const struct dests *dests, uint32_t idx)
{
    assert(idx < dests_count(dests));
    return atomic_load_explicit(&dests->list[idx], memory_order_acquire);
}

// NULL: it is gone, and another may be in its place.
static struct dest *dest_at(const struct dests *dests, uint32_t number)
{
    struct dest *dest = place_at(dests, dest_idx(number));
    return dest != NULL && dest->number == number ? dest : NULL;
}

uint32_t dests_at(const struct dests *dests, uint32_t idx)
{
    const struct dest *dest = place_at(dests, idx);
    return dest != NULL ? dest->number : DEST_NONE;
}

static bool key_eq(const struct dest_key *a, const struct dest_key *b)
{
    return a->port == b->port && a->tls == b->tls && span_eq_nocase(a->host, b->host) &&
           span_eq(a->ca_file, b->ca_file) && span_eq(a->server_name, b->server_name) &&
           a->allow == b->allow && a->allow_arg == b->allow_arg;
}

static bool parse_numeric(const struct dest_key *key, union dest_addr *out)
{
    char text[INET6_ADDRSTRLEN + 1];
    if (key->host.len >= sizeof(text))
        return false;
    memcpy(text, key->host.ptr, key->host.len);
    text[key->host.len] = '\0';
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(key->port);
        return true;
    }
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(key->port);
        return true;
    }
    return false;
}

static struct span keep(char **at, struct span text)
{
    char *copy = *at;
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0'; // libraries below want C strings
    *at += text.len + 1;
    return span_of(copy, text.len);
}

// Destinations with the same file share its roots, which stay: a shard's contexts are found by
// them.
static struct tls_roots *find_roots(struct dests *dests, const struct dest_key *key, char *why)
{
    for (uint32_t i = 0; i < dests->root_count; i++)
        if (span_eq(span_str(dests->roots[i].path), key->ca_file))
            return dests->roots[i].roots;
    if (key->ca_file.len >= DEST_PATH_MAX || dests->root_count == DEST_ROOTS_MAX) {
        snprintf(why, TLS_WHY_MAX, "the path of the CA file is too long, or there are too many");
        return NULL;
    }
    char *path = mem_take(key->ca_file.len + 1, 1);
    if (path == NULL)
        return NULL;
    if (key->ca_file.len > 0)
        memcpy(path, key->ca_file.ptr, key->ca_file.len);
    struct tls_roots *roots = NULL;
    if (failed(tls_roots_open(&roots, path[0] != '\0' ? path : NULL, why))) {
        mem_give(path);
        return NULL;
    }
    dests->roots[dests->root_count++] = (struct dest_roots){ roots, path };
    return roots;
}

void dests_name(struct dests *dests, uint64_t generation)
{
    dests->generation = generation;
}

bool dests_is_named(const struct dests *dests, uint32_t number, uint64_t generation)
{
    const struct dest *dest = dest_at(dests, number);
    return dest != NULL && dest->named >= generation;
}

bool dests_drop(struct dests *dests, uint32_t number, uint64_t generation)
{
    struct dest *dest = dest_at(dests, number);
    if (dests->gone_generation < generation)
        free_gone(dests); // every shard has begun a later turn
    if (dest == NULL || dest->named >= generation)
        return dest == NULL;
    atomic_store_explicit(&dests->list[dest_idx(number)], NULL, memory_order_release);
    dest->next = dests->gone;
    dests->gone = dest;
    dests->gone_generation = generation;
    return true;
}

// A place for one more; DEST_MAX if there is none.
static uint32_t free_place(const struct dests *dests)
{
    const uint32_t count = dests_count(dests);
    for (uint32_t i = 0; i < count; i++)
        if (place_at(dests, i) == NULL)
            return i;
    return count;
}

uint32_t dests_intern(struct dests *dests, const struct dest_key *key, char *why)
{
    why[0] = '\0';
    const uint32_t count = dests_count(dests);
    for (uint32_t i = 0; i < count; i++) {
        struct dest *known = place_at(dests, i);
        if (known != NULL && key_eq(&known->key, key)) {
            known->named = dests->generation;
            return known->number;
        }
    }
    const uint32_t idx = free_place(dests);
    if (idx == DEST_MAX || key->host.len == 0 || key->host.len > DEST_HOST_MAX) {
        snprintf(why, TLS_WHY_MAX, "the host's name is empty or too long, or there are too many");
        return DEST_NONE;
    }
    struct tls_roots *roots = NULL;
    if (key->tls && (roots = find_roots(dests, key, why)) == NULL)
        return DEST_NONE;
    size_t text_len = key->host.len + key->ca_file.len + key->server_name.len + 3;
    size_t size = round_up(sizeof(struct dest) + text_len, CACHE_LINE);
    // layer-check: once a destination; shards poll its lines, so none may share one with another.
    struct dest *dest = aligned_alloc(CACHE_LINE, size);
    if (dest == NULL)
        return DEST_NONE;
    memset(dest, 0, size);
    dest->roots = roots;
    dest->number = dests->lives[idx]++ % DEST_LIVES << DEST_IDX_BITS | idx;
    dest->named = dests->generation;
    char *at = dest->text;
    dest->key = (struct dest_key){
        .host = keep(&at, key->host),
        .port = key->port,
        .tls = key->tls,
        .ca_file = keep(&at, key->ca_file),
        .server_name = keep(&at, key->server_name),
        .allow = key->allow,
        .allow_arg = key->allow_arg,
    };
    union dest_addr addr;
    dest->numeric = parse_numeric(key, &addr);
    atomic_store_explicit(&dests->list[idx], dest, memory_order_release);
    if (idx == count)
        atomic_store_explicit(&dests->count, count + 1, memory_order_release);
    if (dest->numeric)
        dest_publish(dests, dest->number, DEST_READY, &addr, 1);
    return dest->number;
}

const struct dest_key *dest_key(const struct dests *dests, uint32_t number)
{
    const struct dest *dest = dest_at(dests, number);
    return dest != NULL ? &dest->key : NULL;
}

struct tls_roots *dest_roots(const struct dests *dests, uint32_t number)
{
    const struct dest *dest = dest_at(dests, number);
    return dest != NULL ? dest->roots : NULL;
}

bool dest_is_numeric(const struct dests *dests, uint32_t number)
{
    const struct dest *dest = dest_at(dests, number);
    return dest != NULL && dest->numeric;
}

// Copies the addresses that may be used; returns how many.
static unsigned allowed(const struct dest_key *key, const union dest_addr *addrs, unsigned count,
                        union dest_addr out[DEST_ADDRS_MAX])
{
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++)
        if (key->allow == NULL || key->allow(key->allow_arg, &addrs[i]) || !GUARD(DEST_ALLOWED))
            out[kept++] = addrs[i];
    return kept;
}

void dest_publish(struct dests *dests, uint32_t number, enum dest_state state,
                  const union dest_addr *all, unsigned count)
{
    struct dest *dest = dest_at(dests, number);
    union dest_addr addrs[DEST_ADDRS_MAX];
    assert(dest != NULL); // the control thread's own doing
    assert(count <= DEST_ADDRS_MAX);
    assert((count > 0) == (state == DEST_READY));
    count = allowed(&dest->key, all, count, addrs);
    if (count == 0 && state == DEST_READY)
        state = DEST_FAILED;
    uint32_t sequence = atomic_load_explicit(&dest->sequence, memory_order_relaxed);
    atomic_store_explicit(&dest->sequence, sequence + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (unsigned i = 0; i < count; i++) {
        uint64_t words[ADDR_WORDS] = { 0 };
        memcpy(words, &addrs[i], sizeof(addrs[i]));
        for (unsigned w = 0; w < ADDR_WORDS; w++)
            atomic_store_explicit(&dest->words[i][w], words[w], memory_order_relaxed);
    }
    atomic_store_explicit(&dest->count, count, memory_order_relaxed);
    atomic_store_explicit(&dest->state, state, memory_order_relaxed);
    atomic_store_explicit(&dest->sequence, sequence + 2, memory_order_release);
}

void dest_judge(struct dests *dests, uint32_t number)
{
    union dest_addr addrs[DEST_ADDRS_MAX];
    enum dest_state state;
    const struct dest *dest = dest_at(dests, number);
    if (dest == NULL)
        return;
    if (dest->numeric) {
        verify(parse_numeric(&dest->key, &addrs[0]));
        dest_publish(dests, number, DEST_READY, addrs, 1);
        return;
    }
    const unsigned count = dest_addrs(dests, number, &state, addrs);
    if (count > 0)
        dest_publish(dests, number, DEST_READY, addrs, count);
}

unsigned dest_addrs(struct dests *dests, uint32_t number, enum dest_state *state,
                    union dest_addr out[DEST_ADDRS_MAX])
{
    struct dest *dest = dest_at(dests, number);
    if (dest == NULL) {
        *state = DEST_FAILED;
        return 0;
    }
    for (;;) {
        uint32_t before = atomic_load_explicit(&dest->sequence, memory_order_acquire);
        unsigned count = atomic_load_explicit(&dest->count, memory_order_relaxed);
        *state = (enum dest_state)atomic_load_explicit(&dest->state, memory_order_relaxed);
        for (unsigned i = 0; i < count; i++) {
            uint64_t words[ADDR_WORDS];
            for (unsigned w = 0; w < ADDR_WORDS; w++)
                words[w] = atomic_load_explicit(&dest->words[i][w], memory_order_relaxed);
            memcpy(&out[i], words, sizeof(out[i]));
        }
        atomic_thread_fence(memory_order_acquire);
        uint32_t after = atomic_load_explicit(&dest->sequence, memory_order_relaxed);
        if (before == after && before % 2 == 0)
            return count;
        // The writer is at it: a few dozen stores, so looking again is all the waiting there is.
    }
}
