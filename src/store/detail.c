// detail.c - queries over blocks.
//
// Hours whose times touch the asked range are visited in turn, in each its boots, and in a boot the
// streams of its shards are merged by settlement. The settlement that orders a stream never goes
// back (usage_block.h), so a position in it is found by halving, and a page begins where the last
// one ended without reading what lies before.
#include "internal.h"

#include "bytes.h"
#include "penstock/base/check.h"
#include "penstock/base/mem.h"

#include <stdlib.h>

enum { HALVE_UNTIL = USAGE_BLOCK_ENTRIES_MAX };

struct stream {
    uint16_t shard;
    bool is_ended, has_block, has_entry;
    struct db_iter iter;
    struct usage_block_reader reader; // over the iterator's value
    struct usage_entry entry;
};

struct detail_scan {
    struct usage_detail_query query;
    uint32_t *hours;
    uint32_t hour_count, hour_cap, hour_index;
    uint32_t boot_next; // in the current hour
    uint32_t boot;      // of the streams
    struct stream *streams;
    uint32_t stream_count;
};

// --- Hours

static bool overlaps(const struct usage_detail_query *query, uint64_t min_ns, uint64_t max_ns)
{
    return min_ns < query->to_ns && max_ns >= query->from_ns;
}

static struct err add_hour(struct detail_scan *scan, const struct hour_stat *stat)
{
    if (stat->blocks == 0 || !overlaps(&scan->query, stat->time_min_ns, stat->time_max_ns) ||
        (scan->query.after.is_set && stat->hour < scan->query.after.hour))
        return OK;
    if (scan->hour_count == scan->hour_cap) {
        uint32_t cap = scan->hour_cap == 0 ? 64 : scan->hour_cap * 2;
        uint32_t *hours = mem_take(cap, sizeof(*hours));
        if (hours == NULL)
            return ERR(NO_MEMORY);
        if (scan->hour_count > 0)
            memcpy(hours, scan->hours, scan->hour_count * sizeof(*hours));
        mem_give(scan->hours);
        scan->hours = hours;
        scan->hour_cap = cap;
    }
    scan->hours[scan->hour_count++] = stat->hour;
    return OK;
}

static bool is_in_memory(const struct store *store, uint32_t hour)
{
    for (uint32_t i = 0; i < store->hour_count; i++)
        if (store->hours[i].hour == hour)
            return true;
    return false;
}

static int compare_hours(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static struct err list_hours(struct store *store, struct detail_scan *scan)
{
    struct err err = OK;
    for (uint32_t i = 0; i < store->hour_count && !failed(err); i++)
        err = add_hour(scan, &store->hours[i]);
    uint8_t from[HOUR_KEY_BYTES];
    const uint8_t end = HOUR_PREFIX + 1;
    hour_key_put(0, from);
    struct db_iter iter;
    db_iter_open(&iter, &store->db, STORE_AGGREGATE, span_of(from, sizeof(from)), span_of(&end, 1));
    for (; db_iter_valid(&iter) && !failed(err); db_iter_next(&iter)) {
        struct hour_stat stat;
        if (!hour_get(db_iter_key(&iter), db_iter_value(&iter), &stat))
            err = ERR(STORE_CORRUPT);
        else if (!is_in_memory(store, stat.hour)) // what memory has is newer
            err = add_hour(scan, &stat);
    }
    if (!failed(err))
        err = db_iter_status(&store->db, &iter);
    db_iter_close(&iter);
    if (scan->hour_count > 0)
        qsort(scan->hours, scan->hour_count, sizeof(*scan->hours), compare_hours);
    return err;
}

struct err detail_begin(struct store *store, const struct usage_detail_query *query,
                        struct store_query **out)
{
    if (query->from_ns >= query->to_ns)
        return ERR(INVALID);
    if (store->state == STORE_DOWN)
        return store->cause;
    struct store_query *made = mem_take(1, sizeof(*made));
    struct detail_scan *scan = mem_take(1, sizeof(*scan));
    if (made == NULL || scan == NULL) {
        mem_give(made);
        mem_give(scan);
        return ERR(NO_MEMORY);
    }
    made->detail = scan;
    scan->query = *query;
    struct err err = list_hours(store, scan);
    if (failed(err)) {
        query_free(made);
        return err;
    }
    if (scan->hour_count > 0 && query->after.is_set && scan->hours[0] == query->after.hour)
        scan->boot_next = query->after.boot;
    *out = made;
    return OK;
}

static void close_streams(struct detail_scan *scan)
{
    for (uint32_t i = 0; i < scan->stream_count; i++)
        db_iter_close(&scan->streams[i].iter);
    mem_give(scan->streams);
    scan->streams = NULL;
    scan->stream_count = 0;
}

void detail_free(struct detail_scan *scan)
{
    close_streams(scan);
    mem_give(scan->hours);
    mem_give(scan);
}

// --- Streams

static void put_key(const struct detail_scan *scan, uint16_t shard, uint64_t first,
                    uint8_t out[USAGE_BLOCK_KEY_BYTES])
{
    const struct usage_block_id id = {
        .hour = scan->hours[scan->hour_index],
        .boot = scan->boot,
        .shard = shard,
        .first = first,
    };
    usage_block_key(&id, out);
}

static void stream_seek(const struct detail_scan *scan, struct stream *stream, uint64_t first)
{
    uint8_t key[USAGE_BLOCK_KEY_BYTES];
    put_key(scan, stream->shard, first, key);
    db_iter_seek(&stream->iter, span_of(key, sizeof(key)));
}

// The block under the iterator begins at `first` and everything before it was settled before
// `order_ns`.
static bool is_before(const struct stream *stream, uint64_t order_ns, uint64_t *first)
{
    struct usage_block block;
    size_t head_len;
    if (!db_iter_valid(&stream->iter) ||
        failed(usage_block_peek(db_iter_value(&stream->iter), &block, &head_len)))
        return false;
    *first = block.id.first;
    return block.order_ns < order_ns;
}

// Moves to the last block in front of which everything was settled before `order_ns`, or a little
// earlier. The first block of an hour is where it starts.
static void stream_halve(const struct detail_scan *scan, struct stream *stream, uint64_t order_ns)
{
    uint64_t low;
    if (!is_before(stream, order_ns, &low))
        return;
    uint8_t last[USAGE_BLOCK_KEY_BYTES];
    put_key(scan, stream->shard, UINT64_MAX, last);
    db_iter_seek_last(&stream->iter, span_of(last, sizeof(last)));
    struct usage_block_id id;
    uint64_t high = low;
    if (db_iter_valid(&stream->iter) && usage_block_key_read(db_iter_key(&stream->iter), &id))
        high = id.first + 1;
    while (high > low && high - low > HALVE_UNTIL) {
        uint64_t middle = low + (high - low) / 2, first;
        stream_seek(scan, stream, middle);
        if (is_before(stream, order_ns, &first) && first < high)
            low = first;
        else
            high = middle;
    }
    stream_seek(scan, stream, low);
}

static uint64_t start_order(const struct detail_scan *scan)
{
    const struct usage_cursor *after = &scan->query.after;
    if (after->is_set && after->hour == scan->hours[scan->hour_index] && after->boot == scan->boot)
        return max_u64(after->order_ns, scan->query.from_ns);
    return scan->query.from_ns;
}

static struct err open_stream(struct store *store, struct detail_scan *scan, uint16_t shard)
{
    struct stream *streams = mem_take(scan->stream_count + 1, sizeof(*streams));
    if (streams == NULL)
        return ERR(NO_MEMORY);
    if (scan->stream_count > 0)
        memcpy(streams, scan->streams, scan->stream_count * sizeof(*streams));
    mem_give(scan->streams);
    scan->streams = streams;
    struct stream *stream = &streams[scan->stream_count++];
    stream->shard = shard;
    uint8_t from[USAGE_BLOCK_KEY_BYTES], end[USAGE_BLOCK_KEY_BYTES];
    put_key(scan, shard, 0, from);
    put_key(scan, shard, UINT64_MAX, end);
    db_iter_open(&stream->iter, &store->db, STORE_USAGE, span_of(from, sizeof(from)),
                 span_of(end, sizeof(end)));
    stream_halve(scan, stream, start_order(scan));
    return OK;
}

// Opens the streams of the next boot of the current hour; false if there is none.
static struct err open_boot(struct store *store, struct detail_scan *scan, bool *found)
{
    *found = false;
    struct usage_block_id id = { .hour = scan->hours[scan->hour_index], .boot = scan->boot_next };
    uint8_t key[USAGE_BLOCK_KEY_BYTES];
    struct db_iter iter;
    struct err err = OK;
    usage_block_key(&id, key);
    db_iter_open(&iter, &store->db, STORE_USAGE, span_of(key, sizeof(key)), SPAN_NONE);
    while (db_iter_valid(&iter) && usage_block_key_read(db_iter_key(&iter), &id) &&
           id.hour == scan->hours[scan->hour_index] && (!*found || id.boot == scan->boot)) {
        *found = true;
        scan->boot = id.boot;
        scan->boot_next = id.boot + 1;
        err = open_stream(store, scan, id.shard);
        if (failed(err) || id.shard == UINT16_MAX)
            break;
        id.shard++;
        id.first = 0;
        usage_block_key(&id, key);
        db_iter_seek(&iter, span_of(key, sizeof(key)));
    }
    if (!failed(err))
        err = db_iter_status(&store->db, &iter);
    db_iter_close(&iter);
    return err;
}

static bool is_after_cursor(const struct detail_scan *scan, const struct stream *stream)
{
    const struct usage_cursor *after = &scan->query.after;
    const struct usage_entry *entry = &stream->entry;
    if (!after->is_set || after->hour != scan->hours[scan->hour_index] || after->boot != scan->boot)
        return true;
    if (entry->order_ns != after->order_ns)
        return entry->order_ns > after->order_ns;
    if (stream->shard != after->shard)
        return stream->shard > after->shard;
    return entry->sequence > after->sequence;
}

// One step towards the stream's next entry behind the cursor: an entry of the open block, or the
// next block. A damaged block is passed over and counted.
static void stream_step(const struct detail_scan *scan, struct stream *stream, uint64_t *damaged)
{
    if (stream->has_block) {
        enum parse parse = usage_block_next(&stream->reader, &stream->entry);
        if (parse == PARSE_DATA) {
            stream->has_entry = is_after_cursor(scan, stream);
            return;
        }
        *damaged += parse != PARSE_DONE;
        stream->has_block = false;
        db_iter_next(&stream->iter);
        return;
    }
    if (!db_iter_valid(&stream->iter)) {
        stream->is_ended = true;
        return;
    }
    struct span value = db_iter_value(&stream->iter);
    struct usage_block block;
    size_t head_len;
    bool is_whole = !failed(usage_block_peek(value, &block, &head_len));
    if (is_whole && overlaps(&scan->query, block.time_min_ns, block.time_max_ns)) {
        is_whole = !failed(usage_block_open(&stream->reader, value));
        stream->has_block = is_whole;
    }
    *damaged += !is_whole;
    if (!stream->has_block)
        db_iter_next(&stream->iter);
}

// The stream with the earliest entry, NULL if there is none; a stream that has to be stepped first
// is returned in `unready`.
static struct stream *earliest(struct detail_scan *scan, struct stream **unready)
{
    struct stream *best = NULL;
    *unready = NULL;
    for (uint32_t i = 0; i < scan->stream_count; i++) {
        struct stream *stream = &scan->streams[i];
        if (stream->is_ended)
            continue;
        if (!stream->has_entry) {
            *unready = stream;
            return NULL;
        }
        // Streams are in the order of their shards, so the first of equals is the right one.
        if (best == NULL || stream->entry.order_ns < best->entry.order_ns)
            best = stream;
    }
    return best;
}

// --- Pages

static bool wanted(const struct usage_detail_query *query, const struct usage_detail *detail,
                   uint64_t settled_ns)
{
    return settled_ns >= query->from_ns && settled_ns < query->to_ns &&
           (query->key_id == 0 || query->key_id == detail->record.key_id) &&
           (query->account_id == 0 || query->account_id == detail->record.account_id) &&
           (query->model_id == 0 || query->model_id == detail->record.model_id) &&
           (!query->errors_only || detail->sums.errors > 0);
}

static void emit(struct store *store, struct detail_scan *scan, struct stream *stream,
                 struct usage_page *page)
{
    const struct usage_entry *entry = &stream->entry;
    struct usage_detail *out = &page->out[page->count];
    *out = (struct usage_detail){
        .boot = scan->boot,
        .shard = stream->shard,
        .sequence = entry->sequence,
        .is_summary = entry->is_summary,
    };
    usage_entry_sums(entry, &out->sums);
    if (entry->is_summary) {
        const struct usage_summary *summary = &entry->summary;
        out->record.key_id = summary->key_id;
        out->record.account_id = summary->account_id;
        out->record.model_id = summary->model_id;
        out->record.format = summary->format;
        out->record.kind = summary->kind;
        out->record.start_ns = (uint64_t)summary->bucket * USAGE_BUCKET_S * NS_PER_S;
    } else {
        out->record = entry->record;
    }
    page->next = (struct usage_cursor){
        .hour = scan->hours[scan->hour_index],
        .boot = scan->boot,
        .order_ns = entry->order_ns,
        .sequence = entry->sequence,
        .shard = stream->shard,
        .is_set = true,
    };
    stream->has_entry = false;
    if (!wanted(&scan->query, out, usage_settled_ns(&out->record)))
        return;
    out->record.model_len =
        names_text(&store->names, &store->db, out->record.model_id, out->record.model);
    page->count++;
}

struct err detail_slice(struct store *store, struct store_query *query, struct usage_page *page,
                        bool *done)
{
    struct detail_scan *scan = query->detail;
    *done = true;
    for (int budget = QUERY_SLICE; budget > 0; budget--) {
        if (page->count == page->cap)
            return OK;
        if (scan->hour_index == scan->hour_count) {
            page->is_end = true;
            return OK;
        }
        struct stream *unready, *best = earliest(scan, &unready);
        if (unready != NULL) {
            stream_step(scan, unready, &page->damaged_blocks);
            continue;
        }
        if (best != NULL) {
            emit(store, scan, best, page);
            continue;
        }
        for (uint32_t i = 0; i < scan->stream_count; i++)
            TRY(db_iter_status(&store->db, &scan->streams[i].iter));
        close_streams(scan);
        bool found;
        TRY(open_boot(store, scan, &found));
        if (!found) {
            scan->hour_index++;
            scan->boot_next = 0;
        }
    }
    *done = false;
    return OK;
}

struct err store_detail(struct store *store, const struct usage_detail_query *query,
                        struct usage_page *page)
{
    page->count = 0;
    page->is_end = false;
    page->damaged_blocks = 0;
    page->next = query->after;
    while (!store->is_readonly && ledger_drain(store))
        ;
    struct store_query *state = NULL;
    TRY(detail_begin(store, query, &state));
    bool done = false;
    struct err err = OK;
    while (!done && !failed(err))
        err = detail_slice(store, state, page, &done);
    query_free(state);
    return err;
}
