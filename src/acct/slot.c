#include "penstock/acct/slot.h"
#include "penstock/base/guard.h"

#include "index.h"

enum { SLOTS_MAX = 1 << 22 };

// Who has a slot; beside the array, so that no shard ever touches it.
struct owner {
    uint64_t generation; // of the newest snapshot that names it
    uint32_t next_free;
    bool bound;
    uint8_t id_len;
    char id[SLOT_ID_MAX];
};

struct slots {
    struct region region; // of the index
    struct index index;
    struct slot *base;
    struct owner *owners;
    uint32_t count_max;
    uint32_t made;  // slots that were ever bound
    uint32_t bound; // slots bound now
    uint32_t free;  // plus 1; the head of the free list
};

struct err slots_new(struct slots **out, uint32_t count_max)
{
    assert(count_max > 0 && count_max <= SLOTS_MAX);
    *out = NULL;
    struct slots *slots = pages_take(sizeof(*slots));
    if (slots == NULL)
        return ERR(NO_MEMORY);
    region_init(&slots->region, 4 * KIB);
    slots->count_max = count_max;
    slots->base = pages_take(count_max * sizeof(struct slot));
    slots->owners = pages_take(count_max * sizeof(struct owner));
    *out = slots;
    if (slots->base != NULL && slots->owners != NULL)
        return OK;
    slots_free(out);
    return ERR(NO_MEMORY);
}

void slots_free(struct slots **slots)
{
    if (*slots == NULL)
        return;
    pages_give((*slots)->base, (*slots)->count_max * sizeof(struct slot));
    pages_give((*slots)->owners, (*slots)->count_max * sizeof(struct owner));
    region_fini(&(*slots)->region);
    pages_give(*slots, sizeof(**slots));
    *slots = NULL;
}

struct slot *slots_base(struct slots *slots)
{
    return slots->base;
}

uint32_t slots_bound(const struct slots *slots)
{
    return slots->bound;
}

static struct slot_ref ref_of(const struct slots *slots, uint32_t idx)
{
    return (struct slot_ref){ idx, atomic_load_explicit(&slots->base[idx].generation,
                                                        memory_order_relaxed) };
}

bool slots_find(const struct slots *slots, struct span id, struct slot_ref *out)
{
    const uint32_t idx = index_find(&slots->index, id);
    if (idx == INDEX_NONE)
        return false;
    *out = ref_of(slots, idx);
    return true;
}

static uint32_t take_free(struct slots *slots)
{
    if (slots->free != 0) {
        const uint32_t idx = slots->free - 1;
        slots->free = slots->owners[idx].next_free;
        return idx;
    }
    return slots->made < slots->count_max ? slots->made++ : INDEX_NONE;
}

struct err slots_bind(struct slots *slots, struct span id, uint64_t generation,
                      struct slot_ref *out)
{
    assert(id.len > 0);
    if (id.len > SLOT_ID_MAX)
        return ERR(INVALID);
    uint32_t idx = index_find(&slots->index, id);
    if (idx == INDEX_NONE) {
        idx = take_free(slots);
        if (idx == INDEX_NONE)
            return ERR(OVERLOADED);
        struct owner *owner = &slots->owners[idx];
        memcpy(owner->id, id.ptr, id.len);
        owner->id_len = (uint8_t)id.len;
        owner->bound = true;
        owner->generation = generation;
        slots->bound++;
        index_add(&slots->index, &slots->region, span_of(owner->id, id.len), idx);
    }
    *out = ref_of(slots, idx);
    slots_keep(slots, *out, generation);
    return OK;
}

void slots_keep(struct slots *slots, struct slot_ref ref, uint64_t generation)
{
    struct owner *owner = &slots->owners[ref.idx];
    assert(owner->bound);
    owner->generation = max_u64(owner->generation, generation);
}

static void release(struct slots *slots, uint32_t idx)
{
    struct slot *slot = &slots->base[idx];
    struct owner *owner = &slots->owners[idx];
    atomic_fetch_add_explicit(&slot->generation, 1, memory_order_relaxed);
    atomic_store_explicit(&slot->requests, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->failures, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->last_used, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->streak, 0, memory_order_relaxed);
    slot_cool_clear(slot);
    *owner = (struct owner){ .next_free = slots->free };
    slots->free = idx + 1;
    slots->bound--;
}

// The index has no removal; it is made anew when something went.
static void reindex(struct slots *slots)
{
    region_fini(&slots->region);
    index_init(&slots->index, &slots->region, slots->bound);
    for (uint32_t idx = 0; idx < slots->made; idx++)
        if (slots->owners[idx].bound)
            index_add(&slots->index, &slots->region,
                      span_of(slots->owners[idx].id, slots->owners[idx].id_len), idx);
}

uint32_t slots_sweep(struct slots *slots, uint64_t generation)
{
    uint32_t busy = 0;
    bool released = false;
    for (uint32_t idx = 0; idx < slots->made; idx++) {
        if (!slots->owners[idx].bound || slots->owners[idx].generation >= generation)
            continue;
        // No snapshot that a shard can see names the slot, so nobody can enter it any more.
        // Acquire: what the last one to leave wrote comes before the slot's next life.
        if (atomic_load_explicit(&slots->base[idx].in_flight, memory_order_acquire) > 0 &&
            GUARD(SLOT_BUSY)) {
            busy++;
            continue;
        }
        release(slots, idx);
        released = true;
    }
    if (released)
        reindex(slots);
    return busy;
}

// How firmly a reason holds: a guess never shortens what a vendor said.
static unsigned strength(enum cooldown_reason reason)
{
    switch (reason) {
    case COOLDOWN_NONE: return 0;
    case COOLDOWN_GUESS: return 1;
    case COOLDOWN_HINT: return 2;
    case COOLDOWN_FLOOR: return 3;
    case COOLDOWN_AUTH: return 4;
    case COOLDOWN_MANUAL: return 5;
    }
    bug("cooldown_reason out of range");
}

_Static_assert(COOLDOWN_MANUAL <= SLOT_REASON_MASK, "every reason fits its bits");

void slot_cool(struct slot *slot, uint64_t now, uint64_t until, enum cooldown_reason reason)
{
    assert(reason != COOLDOWN_NONE);
    const uint64_t wanted = (until & ~SLOT_REASON_MASK) | (uint64_t)reason;
    uint64_t word = atomic_load_explicit(&slot->cooldown, memory_order_relaxed);
    do {
        const bool holds = (word & ~SLOT_REASON_MASK) > now;
        const unsigned old = strength((enum cooldown_reason)(word & SLOT_REASON_MASK));
        const unsigned fresh = strength(reason);
        if (holds && (fresh < old || (fresh == old && wanted <= word)))
            return;
    } while (!atomic_compare_exchange_weak_explicit(&slot->cooldown, &word, wanted,
                                                    memory_order_relaxed, memory_order_relaxed));
}

void slot_cool_clear(struct slot *slot)
{
    atomic_store_explicit(&slot->cooldown, 0, memory_order_relaxed);
}
