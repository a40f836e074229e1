// verify.c - reads every block and compares it with what is kept apart from it.
#include "internal.h"

#include "penstock/base/check.h"
#include "penstock/base/mem.h"

struct chain {
    bool is_known;
    uint32_t boot;
    uint64_t next;
    uint8_t hash[USAGE_BLOCK_HASH_BYTES];
};

struct verify {
    struct store_verdict *out;
    struct chain *chains; // of STORE_SHARDS_MAX
    struct hour_stat hour;
};

static void check_hour(struct store *store, struct verify *verify)
{
    const struct hour_stat *found = &verify->hour;
    if (found->blocks == 0)
        return;
    const struct hour_stat *kept = ledger_hour(store, found->hour);
    if (kept->blocks != found->blocks || kept->entries != found->entries ||
        memcmp(&kept->sums, &found->sums, sizeof(found->sums)) != 0)
        verify->out->hours_wrong++;
}

static bool reads_whole(struct span value, struct usage_block *block)
{
    struct usage_block_reader reader;
    if (failed(usage_block_open(&reader, value)))
        return false;
    *block = reader.block;
    struct usage_entry entry;
    enum parse parse;
    while ((parse = usage_block_next(&reader, &entry)) == PARSE_DATA)
        ;
    return parse == PARSE_DONE;
}

static bool same_place(const struct usage_block_id *a, const struct usage_block_id *b)
{
    return a->hour == b->hour && a->boot == b->boot && a->shard == b->shard && a->first == b->first;
}

static void check_chain(struct verify *verify, const struct usage_block *block, struct span value)
{
    struct chain *chain = &verify->chains[block->id.shard];
    // The oldest block of a shard has a predecessor that retention has dropped.
    if (chain->is_known) {
        const uint64_t expected = chain->boot == block->id.boot ? chain->next : 0;
        verify->out->unchained += memcmp(chain->hash, block->previous, USAGE_BLOCK_HASH_BYTES) != 0;
        if (block->id.first > expected)
            verify->out->missing += block->id.first - expected;
        else if (block->id.first < expected)
            verify->out->repeated += expected - block->id.first;
    }
    chain->is_known = true;
    chain->boot = block->id.boot;
    chain->next = block->id.first + block->span;
    usage_block_hash(value, chain->hash);
}

static void check_block(struct store *store, struct verify *verify, struct span key,
                        struct span value)
{
    struct usage_block_id id;
    struct usage_block block;
    if (!usage_block_key_read(key, &id) || id.shard >= STORE_SHARDS_MAX ||
        !reads_whole(value, &block) || !same_place(&id, &block.id)) {
        verify->out->damaged++;
        return;
    }
    if (block.id.hour != verify->hour.hour) {
        check_hour(store, verify);
        verify->hour = (struct hour_stat){ .hour = block.id.hour };
    }
    check_chain(verify, &block, value);
    verify->hour.blocks++;
    verify->hour.entries += block.count;
    usage_sums_add(&verify->hour.sums, &block.sums);
    verify->out->blocks++;
    usage_sums_add(&verify->out->sums, &block.sums);
}

struct err store_verify(struct store *store, struct store_verdict *out)
{
    *out = (struct store_verdict){ 0 };
    if (store->state == STORE_DOWN)
        return store->cause;
    while (!store->is_readonly && ledger_drain(store))
        ;
    struct verify verify = { .out = out };
    verify.chains = mem_take(STORE_SHARDS_MAX, sizeof(*verify.chains));
    if (verify.chains == NULL)
        return ERR(NO_MEMORY);
    struct db_iter iter;
    db_iter_open(&iter, &store->db, STORE_USAGE, SPAN_NONE, SPAN_NONE);
    for (; db_iter_valid(&iter); db_iter_next(&iter))
        check_block(store, &verify, db_iter_key(&iter), db_iter_value(&iter));
    check_hour(store, &verify);
    struct err err = db_iter_status(&store->db, &iter);
    db_iter_close(&iter);
    mem_give(verify.chains);
    return err;
}
