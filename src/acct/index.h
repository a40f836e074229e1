// index.h - texts to numbers: an open hash table whose keys are views of somebody else's bytes.
//
// Built by one thread and then only read. Memory comes from a region and is left there when the
// table grows, so that all tables of a snapshot together waste less than half of it.
#ifndef PENSTOCK_ACCT_INDEX_H
#define PENSTOCK_ACCT_INDEX_H

#include "penstock/base/region.h"

struct index_entry {
    struct span key;
    uint32_t hash;
    uint32_t value; // plus 1; 0: free
};

struct index {
    struct index_entry *entries;
    uint32_t mask;
    uint32_t count;
};

#define INDEX_NONE UINT32_MAX

// FNV-1a, a byte at a time, so that the hashes of all prefixes fall out of one pass.
#define INDEX_SEED UINT32_C(2166136261)
static inline uint32_t index_hash_byte(uint32_t hash, unsigned char byte)
{
    return (hash ^ byte) * UINT32_C(16777619);
}
static inline uint32_t index_hash(struct span key)
{
    uint32_t hash = INDEX_SEED;
    for (size_t i = 0; i < key.len; i++)
        hash = index_hash_byte(hash, (unsigned char)key.ptr[i]);
    return hash;
}

void index_init(struct index *index, struct region *region, uint32_t expected);
// `key` is kept as it is and must not be in the table.
void index_add(struct index *index, struct region *region, struct span key, uint32_t value);
// INDEX_NONE if it is not there. Also for an index of zeroes.
uint32_t index_find(const struct index *index, struct span key);
uint32_t index_find_hashed(const struct index *index, struct span key, uint32_t hash);

// Byte order; a beginning comes before the whole.
static inline int span_order(struct span a, struct span b)
{
    const size_t len = min_size(a.len, b.len);
    const int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    if (order != 0)
        return order;
    return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

#endif
