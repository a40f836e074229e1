// store_records.h - three thousand records over forty hours, and how they must come back.
#ifndef PENSTOCK_TEST_STORE_RECORDS_H
#define PENSTOCK_TEST_STORE_RECORDS_H

#include "penstock/base/env.h"
#include "store_util.h"

static const uint64_t wall = UINT64_C(1750000000) * NS_PER_S;

static inline void push(struct store *store, uint32_t shard, const struct usage_record *record)
{
    struct usage_port *port = store_port(store, shard);
    EXPECT(usage_port_push(port, record));
    usage_port_kick(port);
}

enum { RECORDS = 3000 };

// Pushes RECORDS records over 40 hours and both shards; returns their sum.
static inline struct usage_sums fill(struct store *store, struct env_fake *fake)
{
    struct usage_sums total = { 0 };
    for (uint64_t n = 0; n < RECORDS; n++) {
        struct usage_record record = record_of(n, fake->wall);
        push(store, n % 3 == 0, &record);
        struct usage_sums one;
        usage_sums_of(&record, &one);
        usage_sums_add(&total, &one);
        env_fake_advance(fake, 48 * NS_PER_S);
        if (n % 37 == 0)
            store_step(store);
    }
    return total;
}

// Reads all pages of `cap` entries and checks that the records 0 .. RECORDS - 1 come once each and
// each shard's in order.
static inline void check_pages(struct store *store, uint32_t cap)
{
    static struct usage_detail out[700];
    static uint8_t seen[RECORDS];
    memset(seen, 0, sizeof(seen));
    uint64_t last[2] = { 0 }, last_ns = 0, count = 0, unordered = 0;
    struct usage_detail_query query = { .to_ns = INT64_MAX };
    for (;;) {
        struct usage_page page = { .out = out, .cap = cap };
        EXPECT(!failed(store_detail(store, &query, &page)));
        EXPECT(page.count == cap || page.is_end);
        EXPECT_EQ(page.damaged_blocks, 0);
        for (uint32_t i = 0; i < page.count; i++) {
            uint64_t n;
            memcpy(&n, out[i].record.request_id, sizeof(n));
            EXPECT(n < RECORDS);
            seen[n]++;
            EXPECT_EQ(out[i].shard, n % 3 == 0);
            EXPECT(n == 0 || n >= last[out[i].shard]);
            last[out[i].shard] = n;
            const struct usage_record want = record_of(n, out[i].record.start_ns);
            EXPECT(memcmp(&out[i].record, &want, sizeof(want)) == 0);
            unordered += usage_settled_ns(&out[i].record) < last_ns;
            last_ns = usage_settled_ns(&out[i].record);
            count++;
        }
        query.after = page.next;
        if (page.is_end)
            break;
    }
    EXPECT_EQ(count, RECORDS);
    EXPECT_EQ(unordered, 0);
    for (size_t n = 0; n < RECORDS; n++)
        EXPECT_EQ(seen[n], 1);
}

#endif
