// What usage_port.h promises: order, stamps, no lost money when the ring is full, a wake when it is
// due and none when it is not. And the two additions to spsc.h that it stands on.
#include "penstock/base/env.h"
#include "penstock/model/usage_port.h"
#include "test.h"

#include <stdatomic.h>

enum { SLOTS = 16 };
static _Alignas(CACHE_LINE) struct usage_slot slots[SLOTS];
static struct usage_summary spill[USAGE_SPILL_MAX];
static struct usage_port port;
static int wakes, hurries;

static void on_wake(void *arg, bool hurry)
{
    (void)arg;
    wakes++;
    hurries += hurry;
}

static void start(void)
{
    memset(slots, 0, sizeof(slots));
    memset(spill, 0, sizeof(spill));
    usage_port_init(&port, slots, SLOTS, spill);
    usage_port_on_wake(&port, on_wake, NULL);
    wakes = hurries = 0;
}

static struct usage_record record_of(uint64_t n)
{
    struct usage_record record = {
        .start_ns = UINT64_C(1750000000) * NS_PER_S,
        .total_us = n,
        .key_id = 1 + n % 50,
        .account_id = n % 3,
        .model_id = 1 + n % 2,
        .cost_real_nano = (int64_t)n,
        .tokens = { (uint32_t)n },
        .status = 200,
        .model_len = 1,
        .model = "m",
    };
    return record;
}

static void slots_come_in_order_and_are_stamped(void)
{
    start();
    for (uint64_t n = 0; n < 100; n++) {
        struct usage_record record = record_of(n);
        EXPECT(usage_port_push(&port, &record));
        const struct usage_slot *slot = usage_port_peek(&port, 0);
        EXPECT(slot == &slots[n % SLOTS]);
        EXPECT_EQ(usage_slot_sequence(slot), n);
        EXPECT(!usage_slot_is_summary(slot));
        EXPECT(memcmp(&slot->record, &record, sizeof(record)) == 0);
        EXPECT(usage_port_peek(&port, 1) == NULL);
        usage_port_release(&port, 1);
        EXPECT_EQ(usage_slot_sequence(slot), n); // a released slot stays readable until reused
    }
}

static void what_is_taken_stays_until_released(void)
{
    start();
    for (uint64_t n = 0; n < SLOTS; n++) {
        struct usage_record record = record_of(n);
        EXPECT(usage_port_push(&port, &record));
    }
    for (uint32_t i = 0; i < SLOTS; i++)
        EXPECT_EQ(usage_slot_sequence(usage_port_peek(&port, i)), i);
    EXPECT(usage_port_peek(&port, SLOTS) == NULL);
    EXPECT_EQ(usage_port_waiting(&port), SLOTS);
    usage_port_release(&port, 5);
    EXPECT_EQ(usage_port_waiting(&port), SLOTS - 5);
    EXPECT_EQ(usage_slot_sequence(usage_port_peek(&port, 0)), 5);
}

static void a_record_is_brought_into_bounds(void)
{
    start();
    struct usage_record record;
    memset(&record, 0xff, sizeof(record));
    EXPECT(usage_port_push(&port, &record));
    const struct usage_record *got = &usage_port_peek(&port, 0)->record;
    EXPECT_EQ(got->tokens[USAGE_OUTPUT], USAGE_TOKENS_MAX);
    EXPECT_EQ(got->model_len, USAGE_MODEL_MAX);
    EXPECT_EQ(got->vendor_id_len, USAGE_VENDOR_ID_MAX);
    EXPECT(got->total_us == USAGE_TOTAL_US_MAX);
    EXPECT_EQ(got->kind, USAGE_REQUEST);
    EXPECT(usage_settled_ns(got) > got->start_ns); // does not wrap
}

// Takes everything out of the ring into sums, by key.
static void take_all(struct usage_sums *total, uint64_t by_key[64])
{
    const struct usage_slot *slot;
    while ((slot = usage_port_peek(&port, 0)) != NULL) {
        struct usage_sums sums;
        if (usage_slot_is_summary(slot)) {
            sums = slot->summary.sums;
            by_key[slot->summary.key_id] += sums.requests;
        } else {
            usage_sums_of(&slot->record, &sums);
            by_key[slot->record.key_id]++;
        }
        usage_sums_add(total, &sums);
        usage_port_release(&port, 1);
    }
}

static void a_full_ring_loses_detail_and_no_money(void)
{
    start();
    struct usage_sums want = { 0 }, got = { 0 };
    uint64_t by_key[64] = { 0 }, folded = 0;
    for (uint64_t n = 0; n < 5000; n++) {
        struct usage_record record = record_of(n);
        folded += !usage_port_push(&port, &record);
        struct usage_sums one;
        usage_sums_of(&record, &one);
        usage_sums_add(&want, &one);
        if (n % 1000 == 999)
            take_all(&got, by_key);
    }
    while (port.spill_count > 0 || usage_port_waiting(&port) > 0) {
        usage_port_kick(&port);
        take_all(&got, by_key);
    }
    EXPECT(folded > 4000);
    EXPECT_EQ(port.folded_count, folded);
    EXPECT(memcmp(&got, &want, sizeof(got)) == 0);
    for (int key = 1; key <= 50; key++)
        EXPECT_EQ(by_key[key], 100); // fifty keys fit the spill, so each keeps its own
    EXPECT_EQ(by_key[0], 0);
}

static void more_keys_than_the_spill_holds(void)
{
    start();
    struct usage_sums want = { 0 }, got = { 0 };
    for (uint64_t n = 0; n < 3000; n++) {
        struct usage_record record = record_of(n);
        record.key_id = 1000 + n;
        record.start_ns += n * 900 * NS_PER_S; // and every one in a bucket of its own
        usage_port_push(&port, &record);
        struct usage_sums one;
        usage_sums_of(&record, &one);
        usage_sums_add(&want, &one);
    }
    EXPECT_EQ(port.spill_count, USAGE_SPILL_MAX);
    while (port.spill_count > 0 || usage_port_waiting(&port) > 0) {
        const struct usage_slot *slot;
        while ((slot = usage_port_peek(&port, 0)) != NULL) {
            struct usage_sums sums = slot->summary.sums;
            if (!usage_slot_is_summary(slot))
                usage_sums_of(&slot->record, &sums);
            usage_sums_add(&got, &sums);
            usage_port_release(&port, 1);
        }
        usage_port_kick(&port);
    }
    EXPECT(memcmp(&got, &want, sizeof(got)) == 0);
}

static void a_sleeper_is_woken_once(void)
{
    start();
    struct usage_record record = record_of(1);
    usage_port_push(&port, &record);
    usage_port_kick(&port);
    EXPECT_EQ(wakes, 0); // it does not sleep
    usage_port_arm(&port);
    usage_port_kick(&port);
    EXPECT_EQ(wakes, 0); // nothing new
    usage_port_push(&port, &record);
    EXPECT_EQ(wakes, 0); // not before the end of the turn
    usage_port_kick(&port);
    EXPECT_EQ(wakes, 1);
    usage_port_push(&port, &record);
    usage_port_kick(&port);
    EXPECT_EQ(wakes, 1);
}

static void a_ring_that_fills_up_hurries_its_reader_once(void)
{
    start();
    const struct usage_record record = record_of(1);
    for (int round = 1; round <= 2; round++) {
        for (int i = 0; i < SLOTS / 2; i++) {
            usage_port_push(&port, &record);
            usage_port_kick(&port);
        }
        EXPECT_EQ(hurries, round - 1); // half is still room enough
        for (int i = 0; i < 3; i++) {
            usage_port_push(&port, &record);
            usage_port_kick(&port);
            EXPECT_EQ(hurries, round);
        }
        for (int i = 0; i < SLOTS / 2 + 3; i++) {
            EXPECT(usage_port_peek(&port, 0) != NULL);
            usage_port_release(&port, 1);
        }
        usage_port_push(&port, &record);
        usage_port_kick(&port); // there is room again
        EXPECT(usage_port_peek(&port, 0) != NULL);
        usage_port_release(&port, 1);
    }
    EXPECT_EQ(wakes, 2); // it never slept
}

TEST_MAIN(TEST(a_ring_that_fills_up_hurries_its_reader_once),
          TEST(slots_come_in_order_and_are_stamped), TEST(what_is_taken_stays_until_released),
          TEST(a_record_is_brought_into_bounds), TEST(a_full_ring_loses_detail_and_no_money),
          TEST(more_keys_than_the_spill_holds), TEST(a_sleeper_is_woken_once))
