// ledger_start.c - what the last process left behind -> sums.
//
// In this order: the checkpoint; the blocks that lie behind its positions; the slots of the last
// process's rings that are in no block, which become blocks of its boot; then a new boot, in one
// synced batch with a checkpoint that covers all of that. Killed anywhere in between, the next
// start does the same again and finds each step either done or not.
#include "internal.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <stdio.h>

// --- Blocks behind the checkpoint

static void count_block(struct store *store, struct span value)
{
    struct usage_block_reader reader;
    struct usage_entry entry;
    enum parse parse = PARSE_BAD;
    if (!failed(usage_block_open(&reader, value))) {
        // First without counting, so that a damaged block is not counted in half.
        while ((parse = usage_block_next(&reader, &entry)) == PARSE_DATA)
            ;
    }
    if (parse != PARSE_DONE) {
        COUNT(store, blocks_damaged, 1);
        return;
    }
    verify(!failed(usage_block_open(&reader, value)));
    while (usage_block_next(&reader, &entry) == PARSE_DATA)
        ledger_count(store, &entry);
    ledger_count_block(store, &reader.block);
    struct shard_log *log = &store->logs[reader.block.id.shard];
    if (reader.block.id.first > log->covered)
        COUNT(store, records_missing, reader.block.id.first - log->covered);
    log->covered = log->next = reader.block.id.first + reader.block.span;
    log->order_ns = max_u64(log->order_ns, reader.block.time_max_ns);
    log->covered_order_ns = log->order_ns;
    usage_block_hash(value, log->previous);
    memcpy(log->covered_hash, log->previous, sizeof(log->covered_hash));
    store->is_moved = true;
}

static void seek(const struct store *store, struct db_iter *iter, uint32_t hour, uint16_t shard)
{
    struct usage_block_id id = {
        .hour = hour,
        .boot = store->boot,
        .shard = shard,
        .first = store->logs[shard].covered,
    };
    uint8_t key[USAGE_BLOCK_KEY_BYTES];
    usage_block_key(&id, key);
    db_iter_seek(iter, span_of(key, sizeof(key)));
}

// All blocks of the last boot from the checkpoint's hour on whose sequences it does not cover.
// Since a boot begins with a checkpoint, no older boot has any.
static struct err count_blocks(struct store *store, uint32_t hour)
{
    struct db_iter iter;
    db_iter_open(&iter, &store->db, STORE_USAGE, SPAN_NONE, SPAN_NONE);
    seek(store, &iter, hour, 0);
    while (db_iter_valid(&iter)) {
        struct usage_block_id id;
        if (!usage_block_key_read(db_iter_key(&iter), &id) || id.shard >= store->shard_count) {
            COUNT(store, blocks_damaged, 1);
            db_iter_next(&iter);
        } else if (id.boot < store->boot) {
            seek(store, &iter, id.hour, 0);
        } else if (id.boot > store->boot) {
            // Only after a repair that has lost the checkpoint of this boot.
            store->boot = id.boot;
            for (uint32_t i = 0; i < store->shard_count; i++)
                store->logs[i].next = store->logs[i].covered = 0;
        } else if (id.first < store->logs[id.shard].covered && GUARD(STORE_POSITIONS)) {
            seek(store, &iter, id.hour, id.shard);
        } else {
            store->clock.hour = max_u64(store->clock.hour, id.hour);
            count_block(store, db_iter_value(&iter));
            db_iter_next(&iter);
        }
    }
    struct err err = db_iter_status(&store->db, &iter);
    db_iter_close(&iter);
    return err;
}

// --- Rings of the last process

struct replay {
    struct usage_slot *slots;
    uint32_t slot_count;
    uint64_t next;
};

// The slot that holds `sequence`, if it was filled to the end and not reused.
static const struct usage_slot *slot_of(const struct replay *replay, uint64_t sequence)
{
    const struct usage_slot *slot = &replay->slots[sequence & (replay->slot_count - 1)];
    uint64_t stamp = usage_slot_stamp(slot) & ~USAGE_STAMP_SUMMARY;
    return stamp == sequence + 1 ? slot : NULL;
}

static const struct usage_slot *replay_slot(void *arg, uint32_t index)
{
    const struct replay *replay = arg;
    return slot_of(replay, replay->next + index);
}

static uint64_t newest(const struct replay *replay)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < replay->slot_count; i++) {
        uint64_t stamp = usage_slot_stamp(&replay->slots[i]) & ~USAGE_STAMP_SUMMARY;
        // A stamp in the wrong place is no stamp: the file is damaged there.
        if (stamp > end && ((stamp - 1) & (replay->slot_count - 1)) == i)
            end = stamp;
    }
    return end;
}

static struct err replay_shard(struct store *store, uint16_t shard, struct replay *replay)
{
    struct shard_log *log = &store->logs[shard];
    const uint64_t end = newest(replay);
    while (log->next < end) {
        replay->next = log->next;
        if (replay_slot(replay, 0) == NULL) {
            assert(list_is_empty(&log->pending)); // so nothing in front of the hole is left
            COUNT(store, records_missing, 1);
            log->covered = ++log->next;
            continue;
        }
        uint32_t count = 1;
        if (store->is_readonly) {
            struct usage_entry entry;
            ledger_read_slot(store, replay_slot(replay, 0), &entry);
            ledger_count(store, &entry);
            log->next++;
        } else {
            count = ledger_freeze(store, shard, replay_slot, replay);
            bool more = true;
            while (more)
                TRY(ledger_write_pending(store, &more));
        }
        COUNT(store, records_replayed, count);
    }
    return OK;
}

static struct err replay_rings(struct store *store)
{
    const char *dir = store->runtime_dir[0] != '\0' ? store->runtime_dir : NULL;
    struct rings rings;
    struct err err = rings_load(&rings, dir, store->uuid, store->boot);
    if (failed(err))
        return OK; // a clean end, another machine, or never any
    for (uint32_t i = 0; i < rings.id.shard_count && !failed(err); i++) {
        struct replay replay = { .slots = rings_slots(&rings, i),
                                 .slot_count = rings.id.slot_count };
        err = replay_shard(store, (uint16_t)i, &replay);
    }
    rings_free(&rings);
    return err;
}

// --- The new boot

static struct err begin_boot(struct store *store)
{
    store->boot = (uint32_t)max_u64(store->boot, store->marker.boot) + 1;
    for (uint32_t i = 0; i < store->shard_count; i++)
        store->logs[i].next = store->logs[i].covered = 0;
    TRY(checkpoint_write(store, true));
    store->marker.boot = store->boot;
    store->marker.synced = db_sequence(&store->db);
    store->marker.revision = store->revision;
    return marker_write(&store->marker, true);
}

static struct err open_ports(struct store *store)
{
    struct rings_id id = {
        .boot = store->boot,
        .shard_count = store->cfg.shard_count,
        .slot_count = store->cfg.ring_slots,
    };
    memcpy(id.uuid, store->uuid, sizeof(id.uuid));
    const char *dir = store->runtime_dir[0] != '\0' ? store->runtime_dir : NULL;
    struct err err = rings_new(&store->rings, dir, &id);
    if (failed(err) && dir != NULL)
        err = rings_new(&store->rings, NULL, &id); // told by store_stats()
    TRY(err);
    SHOW(store, rings_shared, store->rings.is_shared);
    for (uint32_t i = 0; i < store->cfg.shard_count; i++) {
        usage_port_init(&store->ports[i], rings_slots(&store->rings, i), store->cfg.ring_slots,
                        store->spills + (size_t)i * USAGE_SPILL_MAX);
        store->logs[i].port = &store->ports[i];
    }
    store->port_count = store->cfg.shard_count;
    store_listen(store);
    return OK;
}

struct err ledger_start(struct store *store)
{
    uint32_t hour = 0;
    TRY(checkpoint_load(store, &hour));
    // A marker that was written by a repair makes no claim about what is there.
    if (store->boot < store->marker.boot && store->marker.synced != 0) {
        snprintf(store->why.text, sizeof(store->why.text),
                 "it has forgotten boot %u of %u that were on stable storage", store->marker.boot,
                 store->boot);
        return ERR(STORE_CORRUPT);
    }
    hour_clock_init(&store->clock, store->env, hour);
    TRY(names_load(&store->names, &store->db, store->cfg.models_max));
    TRY(count_blocks(store, hour));
    if (GUARD(STORE_REPLAY))
        TRY(replay_rings(store));
    if (store->is_readonly)
        return OK;
    // These count from here on; what was found is told by records_replayed and records_missing.
    SHOW(store, records, 0);
    SHOW(store, blocks, 0);
    TRY(begin_boot(store));
    return open_ports(store);
}
