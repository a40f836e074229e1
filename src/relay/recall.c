// The memory of a stripe is a ring: entries are written one behind the other, and what lies in the
// way of a new one is forgotten. An entry that is asked for in the older half moves to the front,
// so that conversations which go on keep theirs. A table of chains finds entries by their keys.
#include "penstock/relay/recall.h"

#include "penstock/base/check.h"
#include "penstock/base/region.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>

enum {
    STRIPES = 16,
    UNIT = 64,       // entries are so many bytes or a multiple
    CHAIN_BYTES = 4, // of the table, a unit
    SEEN_BITS = 16 * KIB,
};

struct entry {
    struct recall_key key;
    uint64_t used_ns;
    uint32_t len;
    uint32_t next; // unit of the next entry of its chain, plus 1
    uint32_t units;
    bool alive;
};

struct stripe {
    _Alignas(CACHE_LINE) pthread_mutex_t lock;
    char *ring;
    uint32_t *chains;    // units plus 1; 0: none
    uint64_t head, tail; // units written and forgotten, since the beginning
};

struct recall {
    unsigned char key[crypto_shorthash_siphashx24_KEYBYTES];
    size_t mapped;  // bytes of this object
    uint32_t units; // of a stripe; a power of two
    struct recall_figures figures;
    _Atomic uint64_t seen[SEEN_BITS / 64];
    struct stripe stripes[STRIPES];
};

_Static_assert(crypto_shorthash_siphashx24_BYTES == sizeof(struct recall_key), "a key is a hash");

struct err recall_new(struct recall **out, struct env *env, uint64_t bytes)
{
    uint64_t units = 1;
    while (units * 2 * (UNIT + CHAIN_BYTES) * STRIPES <= bytes && units < UINT32_MAX / 4)
        units *= 2;
    assert(units * UNIT >= 2 * (uint64_t)RECALL_VALUE_MAX); // or one value could fill a stripe
    const size_t stripe = units * (UNIT + CHAIN_BYTES),
                 head = round_up(sizeof(struct recall), UNIT);
    struct recall *recall = pages_take(head + stripe * STRIPES);
    *out = recall;
    if (recall == NULL)
        return ERR(NO_MEMORY);
    recall->mapped = head + stripe * STRIPES;
    recall->units = (uint32_t)units;
    env_random(env, recall->key, sizeof(recall->key));
    for (unsigned i = 0; i < STRIPES; i++) {
        char *memory = (char *)recall + head + i * stripe;
        recall->stripes[i].ring = memory;
        recall->stripes[i].chains = (uint32_t *)(void *)(memory + units * UNIT);
        verify(pthread_mutex_init(&recall->stripes[i].lock, NULL) == 0);
    }
    recall->figures.limit_bytes = recall->mapped;
    return OK;
}

void recall_free(struct recall **recall)
{
    if (*recall == NULL)
        return;
    for (unsigned i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&(*recall)->stripes[i].lock);
    pages_give(*recall, (*recall)->mapped);
    *recall = NULL;
}

const struct recall_figures *recall_figures(const struct recall *recall)
{
    return &recall->figures;
}

struct recall_key recall_key(const struct recall *recall, enum recall_kind kind, uint64_t tenant,
                             struct span what)
{
    unsigned char text[1 + sizeof(tenant) + RECALL_WHAT_MAX] uninitialized;
    struct recall_key key;
    assert(what.len <= RECALL_WHAT_MAX);
    text[0] = (unsigned char)kind;
    memcpy(text + 1, &tenant, sizeof(tenant));
    memcpy(text + 1 + sizeof(tenant), what.ptr, what.len);
    verify(crypto_shorthash_siphashx24((unsigned char *)&key, text, 1 + sizeof(tenant) + what.len,
                                       recall->key) == 0);
    return key;
}

static uint32_t seen_bit(enum recall_kind kind, uint64_t tenant)
{
    return (uint32_t)(tenant ^ (uint64_t)kind * UINT64_C(0x9e3779b97f4a7c15) >> 7) % SEEN_BITS;
}

bool recall_knows(const struct recall *recall, enum recall_kind kind, uint64_t tenant)
{
    const uint32_t bit = seen_bit(kind, tenant);
    _Atomic uint64_t *word = &((struct recall *)recall)->seen[bit / 64];
    return (atomic_load_explicit(word, memory_order_relaxed) >> (bit % 64) & 1) != 0;
}

void recall_expect(struct recall *recall, enum recall_kind kind, uint64_t tenant)
{
    const uint32_t bit = seen_bit(kind, tenant);
    if (!recall_knows(recall, kind, tenant))
        atomic_fetch_or_explicit(&recall->seen[bit / 64], UINT64_C(1) << (bit % 64),
                                 memory_order_relaxed);
}

// --- a stripe; its lock is held ---

// Several stripes' holders count here.
static void figure_add(_Atomic uint64_t *figure, int64_t more)
{
    atomic_fetch_add_explicit(figure, (uint64_t)more, memory_order_relaxed);
}

static struct entry *entry_at(const struct recall *recall, struct stripe *stripe, uint64_t unit)
{
    return (struct entry *)(void *)(stripe->ring + (unit & (recall->units - 1)) * UNIT);
}

static char *entry_value(struct entry *entry)
{
    return (char *)(entry + 1);
}

static uint32_t *chain_of(const struct recall *recall, struct stripe *stripe, struct recall_key key)
{
    return &stripe->chains[key.words[1] & (recall->units - 1)];
}

static bool key_eq(struct recall_key a, struct recall_key b)
{
    return a.words[0] == b.words[0] && a.words[1] == b.words[1];
}

// The link that leads to the key's entry, or the last one of its chain, which leads nowhere.
static uint32_t *link_to(const struct recall *recall, struct stripe *stripe, struct recall_key key)
{
    uint32_t *link = chain_of(recall, stripe, key);
    while (*link != 0) {
        struct entry *entry = entry_at(recall, stripe, *link - 1);
        if (key_eq(entry->key, key))
            break;
        link = &entry->next;
    }
    return link;
}

// The entry stays where it lies, as room that is not used, until the ring comes round.
static void unlink_entry(struct recall *recall, struct stripe *stripe, uint32_t *link)
{
    struct entry *entry = entry_at(recall, stripe, *link - 1);
    *link = entry->next;
    entry->alive = false;
    figure_add(&recall->figures.entries, -1);
    figure_add(&recall->figures.bytes, -(int64_t)entry->units * UNIT);
}

static void make_room(struct recall *recall, struct stripe *stripe, uint64_t units)
{
    while (stripe->head + units - stripe->tail > recall->units) {
        struct entry *entry = entry_at(recall, stripe, stripe->tail);
        stripe->tail += entry->units;
        if (!entry->alive)
            continue;
        unlink_entry(recall, stripe, link_to(recall, stripe, entry->key));
        figure_add(&recall->figures.evicted, 1);
    }
}

// What is left of the ring before its end is too little for an entry that must lie in one piece.
static void skip_end(struct recall *recall, struct stripe *stripe, uint64_t units)
{
    const uint64_t left = recall->units - (stripe->head & (recall->units - 1));
    if (left >= units)
        return;
    make_room(recall, stripe, left);
    *entry_at(recall, stripe, stripe->head) = (struct entry){ .units = (uint32_t)left };
    stripe->head += left;
}

static void put(struct recall *recall, struct stripe *stripe, struct recall_key key,
                struct span value, uint64_t now_ns)
{
    const uint64_t units = (sizeof(struct entry) + value.len + UNIT - 1) / UNIT;
    uint32_t *old = link_to(recall, stripe, key);
    if (*old != 0)
        unlink_entry(recall, stripe, old);
    skip_end(recall, stripe, units);
    make_room(recall, stripe, units);
    uint32_t *chain = chain_of(recall, stripe, key);
    struct entry *entry = entry_at(recall, stripe, stripe->head);
    *entry = (struct entry){
        .key = key,
        .used_ns = now_ns,
        .len = (uint32_t)value.len,
        .next = *chain,
        .units = (uint32_t)units,
        .alive = true,
    };
    memcpy(entry_value(entry), value.ptr, value.len);
    *chain = (uint32_t)(stripe->head & (recall->units - 1)) + 1;
    stripe->head += units;
    figure_add(&recall->figures.entries, 1);
    figure_add(&recall->figures.bytes, (int64_t)units * UNIT);
}

static bool is_in_older_half(const struct recall *recall, const struct stripe *stripe,
                             const struct entry *entry)
{
    const uint64_t unit = (uint64_t)((const char *)entry - stripe->ring) / UNIT;
    return ((stripe->head - unit - 1) & (recall->units - 1)) >= recall->units / 2;
}

static size_t get(struct recall *recall, struct stripe *stripe, struct recall_key key,
                  uint64_t now_ns, char *room, size_t room_len)
{
    uint32_t *link = link_to(recall, stripe, key);
    if (*link == 0)
        return 0;
    struct entry *entry = entry_at(recall, stripe, *link - 1);
    if (now_ns > entry->used_ns && now_ns - entry->used_ns > RECALL_TTL_NS) {
        unlink_entry(recall, stripe, link);
        return 0;
    }
    const size_t len = entry->len;
    if (len > room_len)
        return len;
    memcpy(room, entry_value(entry), len);
    if (is_in_older_half(recall, stripe, entry))
        put(recall, stripe, key, span_of(room, len), now_ns);
    else
        entry->used_ns = max_u64(entry->used_ns, now_ns);
    return len;
}

// --- all ---

static struct stripe *stripe_of(struct recall *recall, struct recall_key key)
{
    return &recall->stripes[key.words[0] % STRIPES];
}

bool recall_put(struct recall *recall, struct recall_key key, struct span value, uint64_t now_ns)
{
    if (value.len == 0 || value.len > RECALL_VALUE_MAX)
        return false;
    struct stripe *stripe = stripe_of(recall, key);
    verify(pthread_mutex_lock(&stripe->lock) == 0);
    put(recall, stripe, key, value, now_ns);
    verify(pthread_mutex_unlock(&stripe->lock) == 0);
    return true;
}

size_t recall_get(struct recall *recall, struct recall_key key, uint64_t now_ns, char *room,
                  size_t room_len)
{
    struct stripe *stripe = stripe_of(recall, key);
    verify(pthread_mutex_lock(&stripe->lock) == 0);
    const size_t len = get(recall, stripe, key, now_ns, room, room_len);
    verify(pthread_mutex_unlock(&stripe->lock) == 0);
    return len;
}
