// ledger.c - ports -> blocks -> database -> sums.
//
// A slot goes through four states: waiting in its ring; taken, which is part of a frozen block (or,
// without detail, of a summary); committed with the block; counted in the sums. Its place in the
// ring is given back after the commit, so that a killed process leaves every slot either in the
// database or in the mapping. Only when nothing can be written and the ring runs full are places
// given back earlier: then money in memory is better than money nowhere.
#include "internal.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/mem.h"

void hour_clock_init(struct hour_clock *clock, struct env *env, uint32_t hour)
{
    uint64_t mono = env_mono_ns(env);
    *clock = (struct hour_clock){
        .offset_ns = env_wall_ns(env) - mono,
        .start_ns = mono,
        .hour = hour,
    };
    hour_clock_now(clock, env);
}

static bool is_jump(uint64_t offset, uint64_t from)
{
    int64_t distance = (int64_t)(offset - from);
    return distance > (int64_t)CLOCK_JUMP_NS || distance < -(int64_t)CLOCK_JUMP_NS;
}

uint64_t hour_clock_now(struct hour_clock *clock, struct env *env)
{
    const uint64_t mono = env_mono_ns(env);
    const uint64_t offset = env_wall_ns(env) - mono;
    if (!is_jump(offset, clock->offset_ns) || !GUARD(STORE_CLOCK)) {
        clock->offset_ns = offset;
        clock->is_held = false;
    } else if (!clock->is_held || is_jump(offset, clock->held_offset_ns)) {
        clock->is_held = true;
        clock->held_offset_ns = offset;
        clock->held_since_ns = mono;
    } else if (mono - clock->held_since_ns >= CLOCK_HOLD_NS) {
        clock->offset_ns = offset;
        clock->is_held = false;
    }
    uint64_t now = mono + clock->offset_ns;
    uint32_t hour = (uint32_t)(now / HOUR_NS);
    if (hour > clock->hour || !GUARD(STORE_HOURS))
        clock->hour = hour;
    return now;
}

struct err ledger_init(struct store *store)
{
    const struct store_cfg *cfg = &store->cfg;
    store->shard_count = STORE_SHARDS_MAX; // the last process may have had more shards
    store->logs = mem_take(store->shard_count, sizeof(*store->logs));
    store->ports = mem_take(cfg->shard_count, sizeof(*store->ports));
    store->spills = mem_take((size_t)cfg->shard_count * USAGE_SPILL_MAX, sizeof(*store->spills));
    store->writer = mem_take(1, sizeof(*store->writer));
    store->batch = db_batch_new();
    aggregate_init(&store->rows, ROWS_MAX);
    aggregate_init(&store->block_rows, USAGE_BLOCK_ENTRIES_MAX);
    if (store->logs == NULL || store->ports == NULL || store->spills == NULL ||
        store->writer == NULL)
        return ERR(NO_MEMORY);
    for (uint32_t i = 0; i < store->shard_count; i++) {
        list_init(&store->logs[i].pending);
        aggregate_init(&store->logs[i].folded, FOLD_ROWS_MAX);
    }
    return OK;
}

void ledger_fini(struct store *store)
{
    for (uint32_t i = 0; store->logs != NULL && i < store->shard_count; i++) {
        struct list *node;
        while ((node = list_pop_front(&store->logs[i].pending)) != NULL)
            mem_give(container_of(node, struct pending, link));
        aggregate_fini(&store->logs[i].folded);
    }
    aggregate_fini(&store->rows);
    aggregate_fini(&store->block_rows);
    names_fini(&store->names);
    db_batch_free(store->batch);
    mem_give(store->hours);
    mem_give(store->logs);
    mem_give(store->ports);
    mem_give(store->spills);
    mem_give(store->writer);
}

// --- Taking

static uint8_t *pending_bytes(const struct pending *pending)
{
    return (uint8_t *)(pending->rows + pending->row_count);
}

static size_t pending_size(uint32_t row_count, size_t len)
{
    return sizeof(struct pending) + row_count * sizeof(struct aggregate_row) + len;
}

// Copies the finished block out of the writer, to wait for its commit, with what it adds to sums.
static void freeze(struct store *store, struct shard_log *log, const struct aggregate *rows,
                   uint32_t slots, uint32_t span)
{
    struct usage_block_writer *writer = store->writer;
    struct span value = usage_block_finish(writer, span);
    struct pending *pending = mem_take(1, pending_size(rows->count, value.len));
    verify(pending != NULL);
    pending->id = writer->block.id;
    pending->span = writer->block.span;
    pending->slots = slots;
    pending->row_count = rows->count;
    pending->len = (uint32_t)value.len;
    memcpy(pending->rows, rows->rows, rows->count * sizeof(rows->rows[0]));
    memcpy(pending_bytes(pending), value.ptr, value.len);
    usage_block_hash(value, log->previous);
    log->order_ns = max_u64(log->order_ns, writer->block.time_max_ns);
    memcpy(pending->hash, log->previous, sizeof(pending->hash));
    pending->order_ns = log->order_ns;
    log->pending_bytes += pending_size(pending->row_count, pending->len);
    list_push_back(&log->pending, &pending->link);
}

static void begin_block(struct store *store, uint16_t shard, uint64_t first)
{
    const struct shard_log *log = &store->logs[shard];
    struct usage_block_id id = {
        .hour = store->clock.hour,
        .boot = store->boot,
        .shard = shard,
        .first = first,
    };
    usage_block_begin(store->writer, &id, log->previous, log->order_ns);
}

// Copies come from memory that another process may have written, so their bounds are checked here
// and not only by the producer.
static void slot_record(struct store *store, const struct usage_slot *slot,
                        struct usage_record *out)
{
    *out = slot->record;
    usage_record_clamp(out);
    out->model_id = names_note(&store->names, out->model_id, usage_record_model(out));
}

static void slot_summary(struct store *store, const struct usage_slot *slot,
                         struct usage_summary *out)
{
    *out = slot->summary;
    struct span name = span_of(out->model, min_size(out->model_len, USAGE_MODEL_MAX));
    out->model_id = names_note(&store->names, out->model_id, name);
    if (out->kind >= USAGE_KIND_COUNT)
        out->kind = USAGE_REQUEST;
}

// Adds to what the block at hand adds to sums.
static void sum_up(struct store *store, const struct aggregate_key *key,
                   const struct usage_sums *sums)
{
    struct aggregate *rows = &store->block_rows;
    // Mostly one key follows itself, so its row is found without a search.
    struct aggregate_row *row =
        store->block_row < rows->count ? rows->rows + store->block_row : NULL;
    if (row == NULL || memcmp(&row->key, key, sizeof(*key)) != 0) {
        row = aggregate_find(rows, key);
        if (row == NULL)
            row = aggregate_add(rows, key);
        verify(row != NULL); // as many as a block has entries; without memory nothing is left to do
        store->block_row = (uint32_t)(row - rows->rows);
    }
    if (usage_sums_add(&row->sums, sums))
        COUNT(store, saturated, 1);
}

static bool add_slot(struct store *store, const struct usage_slot *slot)
{
    struct aggregate_key key;
    if (usage_slot_is_summary(slot)) {
        struct usage_summary summary;
        slot_summary(store, slot, &summary);
        if (!usage_block_add_summary(store->writer, &summary))
            return false;
        key = aggregate_key_of_summary(&summary);
    } else {
        uninitialized struct usage_record record;
        slot_record(store, slot, &record);
        if (!usage_block_add(store->writer, &record))
            return false;
        key = aggregate_key_of_record(&record);
    }
    sum_up(store, &key, &store->writer->added);
    return true;
}

void ledger_read_slot(struct store *store, const struct usage_slot *slot, struct usage_entry *out)
{
    *out = (struct usage_entry){ .is_summary = usage_slot_is_summary(slot) };
    if (out->is_summary)
        slot_summary(store, slot, &out->summary);
    else
        slot_record(store, slot, &out->record);
}

uint32_t ledger_freeze(struct store *store, uint16_t shard, slot_at_fn *at, void *arg)
{
    struct shard_log *log = &store->logs[shard];
    const struct usage_slot *slot = at(arg, 0);
    assert(slot != NULL);
    const bool is_summary = usage_slot_is_summary(slot);
    begin_block(store, shard, log->next);
    aggregate_clear(&store->block_rows);
    uint32_t count = 0;
    // A block holds entries of one sort, so the first slot of the other sort ends it.
    while (slot != NULL && usage_slot_is_summary(slot) == is_summary) {
        assert(usage_slot_sequence(slot) == log->next + count);
        if (!add_slot(store, slot))
            break;
        slot = at(arg, ++count);
    }
    assert(count > 0);
    freeze(store, log, &store->block_rows, 0, count);
    log->next += count;
    return count;
}

// Freezes the sums without detail in one summary block.
static void fold_freeze(struct store *store, uint16_t shard)
{
    struct shard_log *log = &store->logs[shard];
    if (log->folded.count == 0)
        return;
    begin_block(store, shard, log->folded_first);
    for (uint32_t i = 0; i < log->folded.count; i++) {
        const struct aggregate_row *row = &log->folded.rows[i];
        struct usage_summary summary = {
            .key_id = row->key.key_id,
            .account_id = row->key.account_id,
            .model_id = row->key.model_id,
            .bucket = row->key.bucket,
            .format = row->key.format,
            .kind = row->key.kind,
            .sums = row->sums,
        };
        bool added = usage_block_add_summary(store->writer, &summary);
        // 256 summaries of USAGE_ENTRY_MAX would not fit, but the table is frozen before.
        assert(added);
    }
    freeze(store, log, &log->folded, log->folded_slots, (uint32_t)(log->next - log->folded_first));
    aggregate_clear(&log->folded);
    log->folded_slots = 0;
}

static struct aggregate_key entry_key(const struct usage_entry *entry)
{
    return entry->is_summary ? aggregate_key_of_summary(&entry->summary)
                             : aggregate_key_of_record(&entry->record);
}

// Adds one slot to the sums without detail.
static void fold_slot(struct store *store, uint16_t shard, const struct usage_slot *slot)
{
    struct shard_log *log = &store->logs[shard];
    assert(usage_slot_sequence(slot) == log->next);
    struct usage_entry entry;
    ledger_read_slot(store, slot, &entry);
    const struct aggregate_key key = entry_key(&entry);
    struct usage_sums sums;
    usage_entry_sums(&entry, &sums);
    if (!entry.is_summary)
        COUNT(store, records_folded, 1);
    if (log->folded.count == 0)
        log->folded_first = log->next;
    struct aggregate_row *row = aggregate_find(&log->folded, &key);
    if (row == NULL)
        row = aggregate_add(&log->folded, &key);
    verify(row != NULL); // frozen before it is full; without memory there is nothing left to do
    usage_sums_add(&row->sums, &sums);
    log->next++;
    log->folded_slots++;
    enum { ROWS_THAT_FIT = (USAGE_BLOCK_BYTES_MAX - USAGE_BLOCK_HEAD_MAX) / USAGE_ENTRY_MAX };
    if (log->folded.count >= ROWS_THAT_FIT)
        fold_freeze(store, shard);
}

struct port_view {
    struct usage_port *port;
    uint32_t skip;
};

static const struct usage_slot *port_slot(void *arg, uint32_t index)
{
    const struct port_view *view = arg;
    return usage_port_peek(view->port, view->skip + index);
}

// Gives places back whose slots are only in memory yet.
static void release_early(struct shard_log *log)
{
    usage_port_release(log->port, log->taken);
    log->taken = 0;
    log->folded_slots = 0;
    for (struct list *at = log->pending.next; at != &log->pending; at = at->next)
        container_of(at, struct pending, link)->slots = 0;
}

// Freezes one block; false if no slot waits.
static bool take_detail(struct store *store, uint16_t shard)
{
    struct shard_log *log = &store->logs[shard];
    struct port_view view = { log->port, log->taken };
    if (port_slot(&view, 0) == NULL)
        return false;
    uint32_t count = ledger_freeze(store, shard, port_slot, &view);
    struct pending *last = container_of(log->pending.prev, struct pending, link);
    last->slots = count;
    log->taken += count;
    if (!GUARD(STORE_KEEP_SLOTS))
        release_early(log);
    return true;
}

static void take_folded(struct store *store, uint16_t shard)
{
    struct shard_log *log = &store->logs[shard];
    const struct usage_slot *slot;
    while ((slot = usage_port_peek(log->port, log->taken)) != NULL) {
        fold_slot(store, shard, slot);
        log->taken++;
    }
}

// While nothing can be written: leave slots in the ring, where even a kill does not lose them, as
// long as half of it is free; then queue blocks; then sums.
static void take_degraded(struct store *store, uint16_t shard)
{
    struct shard_log *log = &store->logs[shard];
    const uint32_t half = store->cfg.ring_slots / 2;
    while (usage_port_waiting(log->port) > half) {
        if (usage_port_peek(log->port, log->taken) != NULL) {
            if (log->pending_bytes < PENDING_BYTES_MAX && log->folded.count == 0)
                (void)take_detail(store, shard);
            else
                take_folded(store, shard);
        }
        release_early(log);
    }
}

// While the disk is nearly full: the same, but the sums are written once a second.
static void take_without_detail(struct store *store, uint16_t shard, bool due)
{
    struct shard_log *log = &store->logs[shard];
    if (!due && usage_port_waiting(log->port) - log->taken < store->cfg.ring_slots / 2)
        return;
    take_folded(store, shard);
    fold_freeze(store, shard);
}

static void take(struct store *store)
{
    const uint64_t now = env_mono_ns(store->env);
    bool due =
        store->is_detail_stopped && (now >= store->folded_due_ns || atomic_load(&store->stop));
    if (due)
        store->folded_due_ns = now + DETAIL_STOP_FLUSH_NS;
    for (uint16_t i = 0; i < store->cfg.shard_count; i++) {
        struct shard_log *log = &store->logs[i];
        if (store->state != STORE_OK) {
            take_degraded(store, i);
        } else if (store->is_detail_stopped) {
            take_without_detail(store, i, due);
        } else {
            fold_freeze(store, i); // left from a time without detail
            // A few blocks share a write; those whose write failed go again before others.
            int blocks = list_is_empty(&log->pending) ? TAKE_BLOCKS_MAX : 0;
            while (blocks > 0 && take_detail(store, i))
                blocks--;
        }
    }
}

// --- Committing

// Puts the oldest pending blocks of each shard into the batch. Returns how many.
static uint32_t put_pending(struct store *store)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < store->shard_count && count < BATCH_BLOCKS_MAX; i++) {
        struct list *head = &store->logs[i].pending;
        for (struct list *at = head->next; at != head && count < BATCH_BLOCKS_MAX; at = at->next) {
            const struct pending *pending = container_of(at, struct pending, link);
            uint8_t key[USAGE_BLOCK_KEY_BYTES];
            usage_block_key(&pending->id, key);
            db_put(&store->db, store->batch, STORE_USAGE, span_of(key, sizeof(key)),
                   span_of(pending_bytes(pending), pending->len));
            count++;
        }
    }
    return count;
}

struct hour_stat *ledger_hour(struct store *store, uint32_t hour)
{
    for (uint32_t i = store->hour_count; i-- > 0;)
        if (store->hours[i].hour == hour)
            return &store->hours[i];
    if (store->hour_count == store->hour_cap) {
        uint32_t cap = store->hour_cap == 0 ? 8 : store->hour_cap * 2;
        struct hour_stat *hours = mem_take(cap, sizeof(*hours));
        verify(hours != NULL);
        if (store->hour_count > 0)
            memcpy(hours, store->hours, store->hour_count * sizeof(*hours));
        mem_give(store->hours);
        store->hours = hours;
        store->hour_cap = cap;
    }
    struct hour_stat *stat = &store->hours[store->hour_count++];
    *stat = (struct hour_stat){ .hour = hour, .time_min_ns = UINT64_MAX };
    uint8_t key[HOUR_KEY_BYTES];
    hour_key_put(hour, key);
    struct db_value value;
    if (store->db.db == NULL ||
        failed(db_get(&store->db, STORE_AGGREGATE, span_of(key, sizeof(key)), &value)))
        return stat;
    struct hour_stat stored;
    if (hour_get(span_of(key, sizeof(key)), value.bytes, &stored))
        *stat = stored;
    db_value_free(&value);
    return stat;
}

void ledger_count_block(struct store *store, const struct usage_block *block)
{
    struct hour_stat *stat = ledger_hour(store, block->id.hour);
    stat->is_dirty = true;
    stat->blocks++;
    stat->entries += block->count;
    stat->time_min_ns = min_u64(stat->time_min_ns, block->time_min_ns);
    stat->time_max_ns = max_u64(stat->time_max_ns, block->time_max_ns);
    usage_sums_add(&stat->sums, &block->sums);
    COUNT(store, blocks, 1);
    COUNT(store, records, block->sums.requests);
}

// The row of a key, with what is stored of it. A row that cannot be read now is marked and
// completed by the next checkpoint, which waits for it.
static struct aggregate_row *row_touch(struct store *store, const struct aggregate_key *key)
{
    struct aggregate_row *row = aggregate_find(&store->rows, key);
    if (likely(row != NULL))
        return row;
    if (store->rows.count == store->rows.count_max)
        aggregate_evict(&store->rows, UINT32_MAX);
    row = aggregate_add(&store->rows, key);
    verify(row != NULL); // checkpoints keep the dirty rows far below the bound
    uint8_t bytes[AGGREGATE_KEY_BYTES];
    aggregate_key_put(key, bytes);
    struct db_value value;
    struct err err = db_get(&store->db, STORE_AGGREGATE, span_of(bytes, sizeof(bytes)), &value);
    if (failed(err)) {
        row->is_partial = err.code != ERR_NOT_FOUND;
        return row;
    }
    if (!aggregate_value_get(value.bytes, &row->sums)) {
        row->sums = (struct usage_sums){ 0 };
        row->is_partial = true;
    }
    db_value_free(&value);
    return row;
}

static void count(struct store *store, const struct aggregate_key *key,
                  const struct usage_sums *sums)
{
    struct aggregate_row *row = row_touch(store, key);
    if (usage_sums_add(&row->sums, sums))
        COUNT(store, saturated, 1);
    aggregate_dirty(&store->rows, row);
}

void ledger_count(struct store *store, const struct usage_entry *entry)
{
    struct usage_sums sums;
    usage_entry_sums(entry, &sums);
    const struct aggregate_key key = entry_key(entry);
    count(store, &key, &sums);
    store->entries_since_checkpoint++;
}

// Counts a committed block and gives its slots back.
static void settle(struct store *store, struct shard_log *log, struct pending *pending)
{
    struct usage_block block;
    size_t head_len;
    struct err err =
        usage_block_peek(span_of(pending_bytes(pending), pending->len), &block, &head_len);
    assert(!failed(err));
    for (uint32_t i = 0; i < pending->row_count; i++)
        count(store, &pending->rows[i].key, &pending->rows[i].sums);
    store->entries_since_checkpoint += block.count;
    ledger_count_block(store, &block);
    assert(pending->id.first == log->covered);
    log->covered += pending->span;
    log->covered_order_ns = pending->order_ns;
    memcpy(log->covered_hash, pending->hash, sizeof(log->covered_hash));
    log->pending_bytes -= pending_size(pending->row_count, pending->len);
    if (pending->slots > 0) {
        usage_port_release(log->port, pending->slots);
        log->taken -= pending->slots;
    }
    store->is_moved = true;
    mem_give(pending);
}

struct err ledger_write_pending(struct store *store, bool *more)
{
    db_batch_clear(store->batch);
    uint32_t count = put_pending(store);
    *more = count == BATCH_BLOCKS_MAX;
    if (count == 0)
        return OK;
    names_put(&store->names, &store->db, store->batch);
    TRY(store_write(store, store->batch, store->cfg.sync_ms == 0));
    names_written(&store->names);
    for (uint32_t i = 0; i < store->shard_count && count > 0; i++) {
        struct shard_log *log = &store->logs[i];
        for (; count > 0 && !list_is_empty(&log->pending); count--) {
            struct list *node = list_pop_front(&log->pending);
            settle(store, log, container_of(node, struct pending, link));
        }
    }
    return OK;
}

bool ledger_drain(struct store *store)
{
    hour_clock_now(&store->clock, store->env);
    SHOW(store, clock_held, store->clock.is_held);
    bool more = false;
    for (int i = 0; i < DRAIN_WRITES_MAX; i++) {
        take(store);
        if (store->state != STORE_OK)
            return false;
        more = false;
        struct err err = ledger_write_pending(store, &more);
        if (failed(err)) {
            health_fail(store, err);
            return false;
        }
        for (uint32_t shard = 0; shard < store->cfg.shard_count && !store->is_detail_stopped;
             shard++)
            more |= usage_port_peek(store->ports + shard, store->logs[shard].taken) != NULL;
        if (!more || checkpoint_is_due(store, env_mono_ns(store->env)))
            break;
    }
    return more;
}

void ledger_each_uncommitted(struct store *store, ledger_entry_fn *fn, void *arg)
{
    for (uint32_t i = 0; i < store->shard_count; i++) {
        const struct shard_log *log = &store->logs[i];
        for (uint32_t row = 0; row < log->folded.count; row++)
            fn(arg, &log->folded.rows[row].key, &log->folded.rows[row].sums);
        for (struct list *at = log->pending.next; at != &log->pending; at = at->next) {
            const struct pending *pending = container_of(at, struct pending, link);
            for (uint32_t row = 0; row < pending->row_count; row++)
                fn(arg, &pending->rows[row].key, &pending->rows[row].sums);
        }
    }
}

bool ledger_is_empty(const struct store *store)
{
    for (uint32_t i = 0; i < store->cfg.shard_count; i++) {
        const struct shard_log *log = &store->logs[i];
        if (!list_is_empty(&log->pending) || log->folded.count > 0 ||
            usage_port_waiting(log->port) > 0)
            return false;
    }
    return true;
}
