// slot.h - what shards count together: one cache line of atomics for each account and key.
//
// The array never moves and is shared by all shards. The control thread binds an id to a slot and
// lets it go; a slot is used again only when nothing is in flight on it and no snapshot names it,
// and its generation tells the two lives apart.
#ifndef PENSTOCK_ACCT_SLOT_H
#define PENSTOCK_ACCT_SLOT_H

#include "penstock/base/base.h"
#include "penstock/base/check.h"
#include "penstock/base/err.h"
#include "penstock/base/guard.h"

#include <stdatomic.h>

// Why an account is out; NONE with cooldown_until 0.
enum cooldown_reason {
    COOLDOWN_NONE,
    COOLDOWN_FLOOR, // the vendor named a time
    COOLDOWN_HINT,  // a temporary state with Retry-After
    COOLDOWN_GUESS, // our own back-off
    COOLDOWN_AUTH,  // the vendor refuses the credential
    COOLDOWN_MANUAL,
};

struct slot {
    _Alignas(CACHE_LINE) _Atomic uint32_t in_flight;
    _Atomic uint32_t generation;
    _Atomic uint64_t requests; // since the slot was bound
    _Atomic uint64_t failures;
    _Atomic uint64_t cooldown; // when it ends and why: slot_cool_end(), slot_cool_reason(); 0: none
    _Atomic uint64_t last_used; // wall nanoseconds
    _Atomic uint32_t streak;    // failures in a row
};
_Static_assert(sizeof(struct slot) == CACHE_LINE, "hot counters of two accounts share no line");

// A slot as a request remembers it.
struct slot_ref {
    uint32_t idx;
    uint32_t generation;
};

struct slots;
must_use struct err slots_new(struct slots **out, uint32_t count_max);
void slots_free(struct slots **slots);

static inline struct slot *slot_at(struct slot *base, uint32_t idx)
{
    return base + idx;
}
// The array, for the shards.
struct slot *slots_base(struct slots *slots);
uint32_t slots_bound(const struct slots *slots);

// The slot of `id` (at most SLOT_ID_MAX bytes), a new one if it has none yet, named from now on by
// snapshot `generation`. OVERLOADED when all are taken. Control thread only, as are those below.
enum { SLOT_ID_MAX = 63 };
must_use struct err slots_bind(struct slots *slots, struct span id, uint64_t generation,
                               struct slot_ref *out);
// The same for a slot that is bound already.
void slots_keep(struct slots *slots, struct slot_ref ref, uint64_t generation);
// Lets go of the slots that no snapshot since `generation` names and that are idle; returns how
// many such slots are still busy. Snapshots older than `generation` must have been reclaimed.
uint32_t slots_sweep(struct slots *slots, uint64_t generation);
bool slots_find(const struct slots *slots, struct span id, struct slot_ref *out);

// One more in flight unless `max` are (UINT32_MAX: no limit). Load first, then add, then undo:
// never over the limit, and a refused one disturbs nobody.
must_use static inline bool slot_enter(struct slot *slot, uint32_t max)
{
    if (atomic_load_explicit(&slot->in_flight, memory_order_relaxed) >= max && GUARD(SLOT_LIMIT))
        return false;
    if (atomic_fetch_add_explicit(&slot->in_flight, 1, memory_order_relaxed) >= max &&
        GUARD(SLOT_LIMIT)) {
        atomic_fetch_sub_explicit(&slot->in_flight, 1, memory_order_relaxed);
        return false;
    }
    atomic_fetch_add_explicit(&slot->requests, 1, memory_order_relaxed);
    return true;
}

static inline void slot_leave(struct slot *slot)
{
    // Release: what the request wrote to the slot is seen by whoever finds it idle.
    const uint32_t before = atomic_fetch_sub_explicit(&slot->in_flight, 1, memory_order_release);
    assert(before > 0);
}

// Reason and end share one word: the low bits of a time in nanoseconds are nobody's loss.
#define SLOT_REASON_MASK UINT64_C(7)

static inline enum cooldown_reason slot_cool_reason(const struct slot *slot)
{
    const uint64_t word = atomic_load_explicit(&slot->cooldown, memory_order_relaxed);
    return (enum cooldown_reason)(word & SLOT_REASON_MASK);
}

// Monotonic nanoseconds; 0: not out.
static inline uint64_t slot_cool_end(const struct slot *slot)
{
    return atomic_load_explicit(&slot->cooldown, memory_order_relaxed) & ~SLOT_REASON_MASK;
}

static inline bool slot_is_out(const struct slot *slot, uint64_t mono_ns)
{
    return slot_cool_end(slot) > mono_ns;
}

// Takes the account out until `until` (UINT64_MAX: until somebody ends it). Of two reasons that
// hold at `now` the stronger stays, whenever it ends; of two equal ones the later end.
void slot_cool(struct slot *slot, uint64_t now, uint64_t until, enum cooldown_reason reason);
// Ends it whatever the reason.
void slot_cool_clear(struct slot *slot);

#endif
