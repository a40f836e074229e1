// What slot.h promises: limits hold under races, slots are bound by id and not reused too early.
#include "test.h"

#include "penstock/acct/slot.h"

#include <pthread.h>

static void an_id_keeps_its_slot(void)
{
    struct slots *slots;
    struct slot_ref a, b, again;
    EXPECT(!failed(slots_new(&slots, 2)));
    EXPECT(!failed(slots_bind(slots, SPAN("acc_a"), 1, &a)));
    EXPECT(!failed(slots_bind(slots, SPAN("acc_b"), 1, &b)));
    EXPECT(a.idx != b.idx);
    EXPECT(!failed(slots_bind(slots, SPAN("acc_a"), 2, &again)));
    EXPECT(again.idx == a.idx && again.generation == a.generation);
    struct slot_ref none;
    EXPECT_EQ(slots_bind(slots, SPAN("acc_c"), 2, &none).code, ERR_OVERLOADED);
    EXPECT(slots_find(slots, SPAN("acc_b"), &again) && again.idx == b.idx);
    EXPECT(!slots_find(slots, SPAN("acc_c"), &again));
    char long_id[SLOT_ID_MAX + 1];
    memset(long_id, 'x', sizeof(long_id));
    EXPECT_EQ(slots_bind(slots, span_of(long_id, sizeof(long_id)), 2, &none).code, ERR_INVALID);
    EXPECT_EQ((uintptr_t)slots_base(slots) % CACHE_LINE, 0);
    slots_free(&slots);
}

static void a_busy_slot_is_not_used_again(void)
{
    struct slots *slots;
    struct slot_ref a, b;
    EXPECT(!failed(slots_new(&slots, 1)));
    EXPECT(!failed(slots_bind(slots, SPAN("a"), 1, &a)));
    struct slot *slot = &slots_base(slots)[a.idx];
    EXPECT(slot_enter(slot, UINT32_MAX));
    slot_cool(slot, 5, 1000, COOLDOWN_GUESS);
    EXPECT_EQ(slots_sweep(slots, 2), 1); // snapshot 2 does not name it, but a request is there
    EXPECT_EQ(slots_bound(slots), 1);
    slot_leave(slot);
    EXPECT_EQ(slots_sweep(slots, 2), 0);
    EXPECT_EQ(slots_bound(slots), 0);
    EXPECT(!slots_find(slots, SPAN("a"), &b));
    EXPECT(!failed(slots_bind(slots, SPAN("b"), 2, &b)));
    EXPECT_EQ(b.idx, a.idx);
    EXPECT(b.generation != a.generation); // a late remark about "a" can be told apart
    EXPECT_EQ(atomic_load(&slot->requests), 0);
    EXPECT(!slot_is_out(slot, 6));
    slots_free(&slots);
}

static void a_slot_that_is_still_named_stays(void)
{
    struct slots *slots;
    struct slot_ref ref[200];
    char id[16];
    EXPECT(!failed(slots_new(&slots, 1000)));
    for (int i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "id%d", i);
        EXPECT(!failed(slots_bind(slots, span_str(id), 1, &ref[i])));
    }
    for (int i = 0; i < 200; i += 2)
        slots_keep(slots, ref[i], 2);
    EXPECT_EQ(slots_sweep(slots, 2), 0);
    EXPECT_EQ(slots_bound(slots), 100);
    for (int i = 0; i < 200; i++) {
        struct slot_ref got;
        snprintf(id, sizeof(id), "id%d", i);
        EXPECT(slots_find(slots, span_str(id), &got) == (i % 2 == 0));
        if (i % 2 == 0)
            EXPECT_EQ(got.idx, ref[i].idx);
    }
    slots_free(&slots);
}

static void a_stronger_reason_stays(void)
{
    static struct slot slot;
    slot_cool(&slot, 0, 1000, COOLDOWN_GUESS);
    EXPECT_EQ(slot_cool_reason(&slot), COOLDOWN_GUESS);
    EXPECT(slot_is_out(&slot, 999) && !slot_is_out(&slot, 1000));
    slot_cool(&slot, 0, 500, COOLDOWN_GUESS); // an earlier end of the same kind
    EXPECT_EQ(slot_cool_end(&slot), 1000);
    slot_cool(&slot, 0, 600, COOLDOWN_FLOOR); // the vendor's word, though earlier
    EXPECT_EQ(slot_cool_end(&slot), 600);
    EXPECT_EQ(slot_cool_reason(&slot), COOLDOWN_FLOOR);
    slot_cool(&slot, 0, 5000, COOLDOWN_HINT);
    EXPECT_EQ(slot_cool_end(&slot), 600);
    slot_cool(&slot, 600, 5000, COOLDOWN_GUESS); // the floor is over
    EXPECT_EQ(slot_cool_reason(&slot), COOLDOWN_GUESS);
    EXPECT_EQ(slot_cool_end(&slot), 5000);
    slot_cool(&slot, 600, UINT64_MAX, COOLDOWN_MANUAL);
    EXPECT(slot_is_out(&slot, UINT64_MAX - 100));
    slot_cool_clear(&slot);
    EXPECT(!slot_is_out(&slot, 0));
    EXPECT_EQ(slot_cool_reason(&slot), COOLDOWN_NONE);
}

enum { RACERS = 4, ROUNDS = 20000, LIMIT = 3 };
struct race {
    struct slot slot;
    _Atomic uint32_t inside, most;
    _Atomic uint64_t entered;
};

static void *racer(void *arg)
{
    struct race *race = arg;
    for (int i = 0; i < ROUNDS; i++) {
        if (!slot_enter(&race->slot, LIMIT))
            continue;
        const uint32_t inside = atomic_fetch_add(&race->inside, 1) + 1;
        uint32_t most = atomic_load(&race->most);
        while (inside > most && !atomic_compare_exchange_weak(&race->most, &most, inside))
            ;
        atomic_fetch_add(&race->entered, 1);
        atomic_fetch_sub(&race->inside, 1);
        slot_leave(&race->slot);
    }
    return NULL;
}

static void a_limit_holds_under_races(void)
{
    static struct race race;
    pthread_t threads[RACERS];
    for (int i = 0; i < RACERS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, racer, &race), 0);
    for (int i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    EXPECT(atomic_load(&race.most) <= LIMIT && atomic_load(&race.most) >= 1);
    EXPECT_EQ(atomic_load(&race.slot.in_flight), 0);
    EXPECT_EQ(atomic_load(&race.slot.requests), atomic_load(&race.entered));
    EXPECT(!slot_enter(&race.slot, 0)); // 0: nothing is allowed
}

TEST_MAIN(TEST(an_id_keeps_its_slot), TEST(a_busy_slot_is_not_used_again),
          TEST(a_slot_that_is_still_named_stays), TEST(a_stronger_reason_stays),
          TEST(a_limit_holds_under_races))
