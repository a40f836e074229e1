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
    _Alignas(CACHE_LINE) _Atomic uint32_t sequence;
    _Atomic uint32_t state;
    _Atomic uint32_t count;
    _Atomic uint64_t words[DEST_ADDRS_MAX][ADDR_WORDS];
    struct dest_key key;
    struct tls_roots *roots;
    bool numeric;
    char text[];
};

struct dests {
    _Atomic uint32_t count;
    struct dest *_Atomic list[DEST_MAX];
};

struct err dests_new(struct dests **out)
{
    *out = mem_take(1, sizeof(**out));
    return *out != NULL ? OK : ERR(NO_MEMORY);
}

void dests_free(struct dests **dests)
{
    if (*dests == NULL)
        return;
    for (uint32_t i = 0; i < dests_count(*dests); i++) {
        struct dest *dest = (*dests)->list[i];
        if (dest->roots != NULL)
            tls_roots_put(&dest->roots);
        free(dest);
    }
    mem_give(*dests);
    *dests = NULL;
}

uint32_t dests_count(const struct dests *dests)
{
    return atomic_load_explicit(&dests->count, memory_order_acquire);
}

static struct dest *dest_at(const struct dests *dests, uint32_t idx)
{
    assert(idx < dests_count(dests));
    return atomic_load_explicit(&dests->list[idx], memory_order_relaxed);
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

// Destinations with the same file share its roots.
static struct tls_roots *find_roots(struct dests *dests, const struct dest_key *key, char *why)
{
    for (uint32_t i = 0; i < dests_count(dests); i++) {
        struct dest *dest = dest_at(dests, i);
        if (dest->roots != NULL && span_eq(dest->key.ca_file, key->ca_file))
            return tls_roots_get(dest->roots);
    }
    char path[DEST_PATH_MAX];
    if (key->ca_file.len >= sizeof(path)) {
        snprintf(why, TLS_WHY_MAX, "the path of the CA file is too long");
        return NULL;
    }
    if (key->ca_file.len > 0)
        memcpy(path, key->ca_file.ptr, key->ca_file.len);
    path[key->ca_file.len] = '\0';
    struct tls_roots *roots = NULL;
    struct err err = tls_roots_open(&roots, key->ca_file.len > 0 ? path : NULL, why);
    return failed(err) ? NULL : roots;
}

uint32_t dests_intern(struct dests *dests, const struct dest_key *key, char *why)
{
    why[0] = '\0';
    uint32_t count = dests_count(dests);
    for (uint32_t i = 0; i < count; i++)
        if (key_eq(&dest_at(dests, i)->key, key))
            return i;
    if (count == DEST_MAX || key->host.len == 0 || key->host.len > DEST_HOST_MAX) {
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
    if (dest == NULL) {
        if (roots != NULL)
            tls_roots_put(&roots);
        return DEST_NONE;
    }
    memset(dest, 0, size);
    dest->roots = roots;
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
    atomic_store_explicit(&dests->list[count], dest, memory_order_relaxed);
    atomic_store_explicit(&dests->count, count + 1, memory_order_release);
    if (dest->numeric)
        dest_publish(dests, count, DEST_READY, &addr, 1);
    return count;
}

const struct dest_key *dest_key(const struct dests *dests, uint32_t idx)
{
    return &dest_at(dests, idx)->key;
}

struct tls_roots *dest_roots(const struct dests *dests, uint32_t idx)
{
    return dest_at(dests, idx)->roots;
}

bool dest_is_numeric(const struct dests *dests, uint32_t idx)
{
    return dest_at(dests, idx)->numeric;
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

void dest_publish(struct dests *dests, uint32_t idx, enum dest_state state,
                  const union dest_addr *all, unsigned count)
{
    struct dest *dest = dest_at(dests, idx);
    union dest_addr addrs[DEST_ADDRS_MAX];
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

void dest_judge(struct dests *dests, uint32_t idx)
{
    union dest_addr addrs[DEST_ADDRS_MAX];
    enum dest_state state;
    const struct dest *dest = dest_at(dests, idx);
    if (dest->numeric) {
        verify(parse_numeric(&dest->key, &addrs[0]));
        dest_publish(dests, idx, DEST_READY, addrs, 1);
        return;
    }
    const unsigned count = dest_addrs(dests, idx, &state, addrs);
    if (count > 0)
        dest_publish(dests, idx, DEST_READY, addrs, count);
}

unsigned dest_addrs(struct dests *dests, uint32_t idx, enum dest_state *state,
                    union dest_addr out[DEST_ADDRS_MAX])
{
    struct dest *dest = dest_at(dests, idx);
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
