// Detail: pages over hours, boots and shards; what retention drops; what clocks must not do.
#include "penstock/store/store.h"
#include "store_records.h"
#include "test.h"

static void detail_comes_in_pages(void)
{
    struct place place;
    struct env_fake fake;
    place_init(&place);
    env_fake_init(&fake, 1);
    struct store_cfg cfg = place_cfg(&place, &fake.env);
    cfg.sync_ms = 3600 * 1000; // the fake hours would ask for thousands of syncs
    struct store *store = must_open(&cfg);
    fill(store, &fake);
    check_pages(store, 7);
    check_pages(store, 700);
    store_close(&store);
    store = must_open(&cfg);
    check_pages(store, 97);

    // A range in the middle, of one key, failed ones only; then nothing new, then something new.
    struct usage_detail out[100];
    struct usage_detail_query query = { .from_ns = wall + 10 * 3600 * NS_PER_S,
                                        .to_ns = wall + 20 * 3600 * NS_PER_S,
                                        .key_id = 2,
                                        .errors_only = true };
    struct usage_page page = { .out = out, .cap = 100 };
    EXPECT(!failed(store_detail(store, &query, &page)));
    EXPECT(page.is_end);
    uint32_t want = 0;
    for (uint64_t n = 0; n < RECORDS; n++) {
        const struct usage_record record = record_of(n, wall + n * 48 * NS_PER_S);
        const uint64_t at = usage_settled_ns(&record);
        want += at >= query.from_ns && at < query.to_ns && record.key_id == 2 && record.err != 0;
    }
    EXPECT(want > 5);
    EXPECT_EQ(page.count, want);
    query = (struct usage_detail_query){ .to_ns = INT64_MAX, .after = page.next };
    query.from_ns = wall;
    page.cap = 100;
    while (!failed(store_detail(store, &query, &page)) && !page.is_end)
        query.after = page.next;
    query.after = page.next;
    EXPECT(!failed(store_detail(store, &query, &page)));
    EXPECT_EQ(page.count, 0);
    struct usage_record record = record_of(5, fake.wall);
    push(store, 1, &record);
    EXPECT(!failed(store_detail(store, &query, &page)));
    EXPECT_EQ(page.count, 1);
    EXPECT_EQ(out[0].boot, 2);
    store_close(&store);
    place_fini(&place);
}

// A page in the middle of an hour with many blocks is found by halving.
static void pages_of_a_busy_hour(void)
{
    struct place place;
    struct env_fake fake;
    place_init(&place);
    env_fake_init(&fake, 1);
    struct store_cfg cfg = place_cfg(&place, &fake.env);
    cfg.sync_ms = 3600 * 1000; // the fake hours would ask for thousands of syncs
    struct store *store = must_open(&cfg);
    enum { BUSY = 20000 };
    for (uint64_t n = 0; n < BUSY; n++) {
        struct usage_record record = record_of(n, fake.wall);
        record.total_us = 0;
        // The wall clock steps back now and then, which must not lose a record.
        push(store, 0, &record);
        env_fake_advance(&fake, 20 * NS_PER_MS);
        if (n % 5000 == 4999)
            fake.wall -= 30 * NS_PER_S;
        if (n % 3 == 0)
            store_step(store);
    }
    struct usage_detail out[64];
    for (uint64_t from = 0; from < 400; from += 7) {
        struct usage_detail_query query = { .from_ns = wall + from * NS_PER_S,
                                            .to_ns = wall + (from + 1) * NS_PER_S };
        uint32_t count = 0;
        for (;;) {
            struct usage_page page = { .out = out, .cap = 64 };
            EXPECT(!failed(store_detail(store, &query, &page)));
            for (uint32_t i = 0; i < page.count; i++)
                EXPECT(out[i].record.start_ns >= query.from_ns &&
                       out[i].record.start_ns < query.to_ns);
            count += page.count;
            query.after = page.next;
            if (page.is_end)
                break;
        }
        uint32_t want = 0;
        for (uint64_t n = 0; n < BUSY; n++) {
            uint64_t at = n * 20 * NS_PER_MS - n / 5000 * 30 * NS_PER_S;
            want += at / NS_PER_S == from;
        }
        EXPECT_EQ(count, want);
    }
    store_close(&store);
    place_fini(&place);
}

// --- Hours, retention, clocks

static uint64_t detail_count(struct store *store)
{
    static struct usage_detail out[500];
    struct usage_detail_query query = { .to_ns = INT64_MAX };
    uint64_t count = 0;
    struct usage_page page = { .out = out, .cap = 500 };
    do {
        EXPECT(!failed(store_detail(store, &query, &page)));
        count += page.count;
        query.after = page.next;
    } while (!page.is_end);
    return count;
}

static void old_detail_is_dropped_and_sums_stay(void)
{
    struct place place;
    struct env_fake fake;
    place_init(&place);
    env_fake_init(&fake, 1);
    struct store_cfg cfg = place_cfg(&place, &fake.env);
    cfg.detail_days = 2;
    struct store *store = must_open(&cfg);
    struct usage_sums total = fill(store, &fake); // 40 hours
    while (store_step(store) == 0)
        ;
    EXPECT_EQ(detail_count(store), RECORDS);
    env_fake_advance(&fake, 24 * 3600 * NS_PER_S); // the first 16 hours are older than 2 days now
    for (int i = 0; i < 30; i++) {
        env_fake_advance(&fake, 60 * NS_PER_S);
        store_step(store);
    }
    uint64_t left = detail_count(store);
    EXPECT(left > RECORDS / 2 && left < RECORDS * 2 / 3);
    struct usage_sums sums = total_of(store);
    EXPECT(sums_eq(&sums, &total));
    store_close(&store);
    store = must_open(&cfg);
    EXPECT_EQ(detail_count(store), left);
    sums = total_of(store);
    EXPECT(sums_eq(&sums, &total));
    store_close(&store);
    place_fini(&place);
}

// P7: a wall clock that jumps must not delete what it makes look old.
static void a_jumping_clock_deletes_nothing(void)
{
    struct place place;
    struct env_fake fake;
    place_init(&place);
    env_fake_init(&fake, 1);
    struct store_cfg cfg = place_cfg(&place, &fake.env);
    cfg.detail_days = 2;
    struct store *store = must_open(&cfg);
    env_fake_advance(&fake, 3600 * NS_PER_S);
    struct usage_record record = record_of(1, fake.wall);
    push(store, 0, &record);
    store_step(store);
    fake.wall += 365 * 24 * 3600 * NS_PER_S;
    struct store_stats stats;
    for (int i = 0; i < 9; i++) {
        env_fake_advance(&fake, 60 * NS_PER_S);
        store_step(store);
        store_stats(store, &stats);
        EXPECT(stats.is_clock_held);
    }
    EXPECT_EQ(detail_count(store), 1);
    fake.wall -= 365 * 24 * 3600 * NS_PER_S; // it was a mistake
    env_fake_advance(&fake, 60 * NS_PER_S);
    store_step(store);
    store_stats(store, &stats);
    EXPECT(!stats.is_clock_held);
    for (int i = 0; i < 20; i++) {
        env_fake_advance(&fake, 60 * NS_PER_S);
        store_step(store);
    }
    EXPECT_EQ(detail_count(store), 1);
    // Now it is meant: the jump persists.
    fake.wall += 365 * 24 * 3600 * NS_PER_S;
    for (int i = 0; i < 25; i++) {
        env_fake_advance(&fake, 60 * NS_PER_S);
        store_step(store);
    }
    EXPECT_EQ(detail_count(store), 0);
    store_close(&store);
    place_fini(&place);
}

static void hours_of_commit_never_go_back(void)
{
    struct place place;
    struct env_fake fake;
    place_init(&place);
    env_fake_init(&fake, 1);
    struct store_cfg cfg = place_cfg(&place, &fake.env);
    struct usage_detail out[4];
    for (int round = 0; round < 3; round++) {
        struct store *store = must_open(&cfg);
        struct usage_record record = record_of((uint64_t)round, fake.wall);
        push(store, 0, &record);
        while (store_step(store) == 0)
            ;
        store_close(&store);
        fake.wall -= 10 * 3600 * NS_PER_S; // the machine's clock was wrong
    }
    struct store *store = must_open(&cfg);
    const struct usage_detail_query query = { .to_ns = INT64_MAX };
    struct usage_page page = { .out = out, .cap = 4 };
    EXPECT(!failed(store_detail(store, &query, &page)));
    EXPECT_EQ(page.count, 3);
    for (uint32_t i = 0; i < page.count; i++) {
        EXPECT_EQ(out[i].boot, i + 1); // so the hours did not go back: they come first in the key
        EXPECT_EQ(out[i].sequence, 0);
    }
    store_close(&store);
    place_fini(&place);
}

// What was written is in memory as well, until nothing has come for some seconds.
static void memory_rests_when_nothing_comes(void)
{
    struct place place;
    struct env_fake fake;
    place_init(&place);
    env_fake_init(&fake, 1);
    struct store_cfg cfg = place_cfg(&place, &fake.env);
    cfg.sync_ms = 3600 * 1000;
    struct store *store = must_open(&cfg);
    uint64_t n = 0;
    for (; n < 60000; n++) {
        struct usage_record record = record_of(n, fake.wall);
        push(store, 0, &record);
        if (n % 100 == 0)
            store_step(store);
    }
    struct store_stats stats;
    for (int second = 0; second < 10; second++) { // something comes every second
        struct usage_record record = record_of(n++, fake.wall);
        push(store, 0, &record);
        env_fake_advance(&fake, 1 * NS_PER_S);
        store_step(store);
        store_stats(store, &stats);
        EXPECT(stats.memtable_bytes > 1 * MIB);
    }
    for (int second = 0; second < 10; second++) {
        env_fake_advance(&fake, 1 * NS_PER_S);
        store_step(store);
    }
    store_stats(store, &stats);
    EXPECT(stats.memtable_bytes < 1 * MIB);
    EXPECT_EQ(stats.state, STORE_OK);
    EXPECT_EQ(detail_count(store), n);
    store_close(&store);
    place_fini(&place);
}

TEST_MAIN(TEST(detail_comes_in_pages), TEST(pages_of_a_busy_hour),
          TEST(old_detail_is_dropped_and_sums_stay), TEST(a_jumping_clock_deletes_nothing),
          TEST(hours_of_commit_never_go_back), TEST(memory_rests_when_nothing_comes))
