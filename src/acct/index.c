#include "index.h"

#include "penstock/base/check.h"

enum { INDEX_MIN = 16 };

// The high bits of FNV-1a are its better ones.
static uint32_t home_of(const struct index *index, uint32_t hash)
{
    return (hash ^ hash >> 15) & index->mask;
}

void index_init(struct index *index, struct region *region, uint32_t expected)
{
    assert(expected <= UINT32_C(1) << 28);
    uint32_t size = INDEX_MIN;
    while (size < expected * 2)
        size *= 2;
    *index = (struct index){ REGION_ARRAY(region, struct index_entry, size), size - 1, 0 };
}

static void place(struct index *index, const struct index_entry *entry)
{
    uint32_t at = home_of(index, entry->hash);
    while (index->entries[at].value != 0)
        at = (at + 1) & index->mask;
    index->entries[at] = *entry;
    index->count++;
}

void index_add(struct index *index, struct region *region, struct span key, uint32_t value)
{
    assert(value < INDEX_NONE);
    if (index->entries == NULL || index->count >= index->mask / 2) {
        const struct index old = *index;
        index_init(index, region, old.entries != NULL ? old.mask + 1 : 0);
        for (uint32_t i = 0; old.entries != NULL && i <= old.mask; i++)
            if (old.entries[i].value != 0)
                place(index, &old.entries[i]);
    }
    place(index, &(struct index_entry){ key, index_hash(key), value + 1 });
}

uint32_t index_find_hashed(const struct index *index, struct span key, uint32_t hash)
{
    if (index->entries == NULL)
        return INDEX_NONE;
    // At least half of the places are free, so that the walk ends.
    for (uint32_t at = home_of(index, hash);; at = (at + 1) & index->mask) {
        const struct index_entry *entry = &index->entries[at];
        if (entry->value == 0)
            return INDEX_NONE;
        if (entry->hash == hash && span_eq(entry->key, key))
            return entry->value - 1;
    }
}

uint32_t index_find(const struct index *index, struct span key)
{
    return index_find_hashed(index, key, index_hash(key));
}
