// Publishing snapshots: one atomic pointer, and for each shard the generation it has passed.
//
// A shard that enters a turn says which generation it has seen, and with that gives up every
// pointer into older ones. A shard about to sleep says OFFLINE. A retired snapshot is freed when
// every shard has seen the generation that replaced it, or is offline.
//
// Why this holds. Awake: the shard reads `generation` with acquire, so that its load of `current`
// finds at least the snapshot of that generation; its release store of `seen` comes after its last
// use of the older one. Waking: it stores `seen` before it loads `current`, the writer exchanges
// `current` before it loads `seen`, and all four are sequentially consistent: either the writer
// sees the shard awake, or the shard sees the new snapshot.
#include "penstock/base/guard.h"
#include "snapshot_impl.h"

#define OFFLINE UINT64_MAX

struct reader {
    _Alignas(CACHE_LINE) _Atomic uint64_t seen;
};

struct retired {
    struct snapshot *snap;
    uint64_t replaced_by; // generation
};

struct snap_hub {
    _Alignas(CACHE_LINE) struct snapshot *_Atomic current;
    _Atomic uint64_t generation;
    // The control thread's own.
    _Alignas(CACHE_LINE) struct retired retired[SNAPSHOT_RETIRED_MAX];
    uint32_t retired_count;
    uint32_t shard_count;
    struct reader readers[SNAPSHOT_SHARDS_MAX];
};

struct err snap_hub_new(struct snap_hub **out, uint32_t shard_count)
{
    assert(shard_count > 0 && shard_count <= SNAPSHOT_SHARDS_MAX);
    struct snap_hub *hub = pages_take(sizeof(*hub));
    *out = hub;
    if (hub == NULL)
        return ERR(NO_MEMORY);
    hub->shard_count = shard_count;
    for (uint32_t i = 0; i < shard_count; i++)
        atomic_init(&hub->readers[i].seen, OFFLINE);
    atomic_init(&hub->generation, 0);
    atomic_init(&hub->current, snapshot_new(0));
    return OK;
}

void snap_hub_free(struct snap_hub **hub)
{
    if (*hub == NULL)
        return;
    const uint32_t left = snap_hub_reclaim(*hub);
    assert(left == 0);
    struct snapshot *current = atomic_load(&(*hub)->current);
    for (uint32_t i = 0; i < (*hub)->shard_count; i++)
        assert(atomic_load(&(*hub)->readers[i].seen) == OFFLINE);
    snapshot_free(&current);
    pages_give(*hub, sizeof(**hub));
    *hub = NULL;
}

const struct snapshot *snap_hub_current(const struct snap_hub *hub)
{
    return atomic_load_explicit(&((struct snap_hub *)hub)->current, memory_order_relaxed);
}

uint64_t snap_hub_next(const struct snap_hub *hub)
{
    return snap_hub_current(hub)->generation + 1;
}

struct err snap_hub_publish(struct snap_hub *hub, struct snapshot **snap)
{
    assert((*snap)->generation == snap_hub_next(hub));
    snap_hub_reclaim(hub);
    if (hub->retired_count == SNAPSHOT_RETIRED_MAX)
        return ERR(OVERLOADED); // a shard has not turned for as many changes
    const uint64_t generation = (*snap)->generation;
    struct snapshot *old = atomic_exchange(&hub->current, *snap);
    atomic_store(&hub->generation, generation);
    hub->retired[hub->retired_count++] = (struct retired){ old, generation };
    *snap = NULL;
    return OK;
}

// The oldest generation that a shard may still look at.
static uint64_t oldest_seen(struct snap_hub *hub)
{
    uint64_t oldest = OFFLINE;
    for (uint32_t i = 0; i < hub->shard_count; i++)
        oldest = min_u64(oldest, atomic_load(&hub->readers[i].seen));
    return oldest;
}

uint32_t snap_hub_reclaim(struct snap_hub *hub)
{
    const uint64_t oldest = oldest_seen(hub);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < hub->retired_count; i++) {
        if (hub->retired[i].replaced_by <= oldest || !GUARD(SNAPSHOT_SEEN))
            snapshot_free(&hub->retired[i].snap);
        else
            hub->retired[kept++] = hub->retired[i];
    }
    hub->retired_count = kept;
    return kept;
}

hot const struct snapshot *snap_hub_enter(struct snap_hub *hub, uint32_t shard)
{
    assert(shard < hub->shard_count);
    struct reader *reader = &hub->readers[shard];
    // Only this thread writes `seen`.
    const uint64_t seen = atomic_load_explicit(&reader->seen, memory_order_relaxed);
    const uint64_t generation = atomic_load_explicit(&hub->generation, memory_order_acquire);
    if (seen == OFFLINE)
        atomic_store(&reader->seen, generation);
    else if (seen != generation)
        atomic_store_explicit(&reader->seen, generation, memory_order_release);
    return atomic_load(&hub->current);
}

hot void snap_hub_leave(struct snap_hub *hub, uint32_t shard)
{
    assert(shard < hub->shard_count);
    atomic_store_explicit(&hub->readers[shard].seen, OFFLINE, memory_order_release);
}
