// What is remembered of thoughts: found by its key, bounded, forgotten by age.
#include "penstock/relay/recall.h"

#include "test.h"

#include <pthread.h>

static struct recall *recall;

static void open_recall(void)
{
    recall_free(&recall);
    EXPECT(!failed(recall_new(&recall, env_system(), RECALL_BYTES_MIN)));
}

static struct recall_key key_of(uint64_t tenant, uint64_t number)
{
    return recall_key(recall, RECALL_CALL, tenant, span_of((const char *)&number, sizeof(number)));
}

static uint64_t entries(void)
{
    return recall_figures(recall)->entries;
}

static bool has(struct recall_key key, struct span value, uint64_t now_ns)
{
    static char room[RECALL_VALUE_MAX];
    return span_eq(span_of(room, recall_get(recall, key, now_ns, room, sizeof(room))), value);
}

static void a_value_is_found_by_all_of_its_key(void)
{
    open_recall();
    const struct recall_key key = key_of(1, 1);
    EXPECT(recall_put(recall, key, SPAN("one"), 5));
    EXPECT(has(key, SPAN("one"), 5));
    EXPECT(!has(key_of(2, 1), SPAN("one"), 5));
    EXPECT(!has(key_of(1, 2), SPAN("one"), 5));
    const uint64_t one = 1;
    EXPECT(!has(recall_key(recall, RECALL_ISSUER, 1, span_of((const char *)&one, sizeof(one))),
                SPAN("one"), 5));
    EXPECT(recall_put(recall, key, SPAN("two"), 6));
    EXPECT(has(key, SPAN("two"), 6));
    EXPECT_EQ(entries(), 1);
    char room[2];
    EXPECT_EQ(recall_get(recall, key, 6, room, sizeof(room)), 3); // too short: only its length
    EXPECT_EQ(recall_get(recall, key_of(9, 9), 6, room, sizeof(room)), 0);
}

static void keys_of_two_processes_differ(void)
{
    open_recall();
    const struct recall_key key = key_of(1, 1);
    open_recall();
    EXPECT(memcmp(&key, &(struct recall_key){ { 0 } }, sizeof(key)) != 0);
    const struct recall_key other = key_of(1, 1);
    EXPECT(memcmp(&key, &other, sizeof(key)) != 0);
}

static void what_nobody_asks_for_is_forgotten(void)
{
    open_recall();
    const struct recall_key key = key_of(1, 1), other = key_of(1, 2);
    EXPECT(recall_put(recall, key, SPAN("value"), 0));
    EXPECT(recall_put(recall, other, SPAN("value"), 0));
    EXPECT(has(key, SPAN("value"), RECALL_TTL_NS)); // asked for: it stays for as long again
    EXPECT(has(key, SPAN("value"), 2 * RECALL_TTL_NS));
    EXPECT(!has(other, SPAN("value"), 2 * RECALL_TTL_NS));
    EXPECT(!has(key, SPAN("value"), 3 * RECALL_TTL_NS + 1));
    EXPECT_EQ(entries(), 0);
    EXPECT_EQ(recall_figures(recall)->bytes, 0);
}

// Values of many lengths, as a round of the ring after another makes them make room. What is asked
// for at least once while half a stripe is written stays, so none of them is near as long as that.
static void the_oldest_makes_room(void)
{
    open_recall();
    enum { LONG = RECALL_VALUE_MAX / 8 };
    static char value[RECALL_VALUE_MAX];
    memset(value, 'v', sizeof(value));
    const uint64_t rounds = 5, count = rounds * RECALL_BYTES_MIN / 2000;
    uint64_t seed = 1, kept = 0;
    for (uint64_t i = 0; i < count; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        const size_t len = 1 + (seed >> 33) % (i % 100 == 0 ? LONG : 4000);
        memcpy(value, &i, min_size(len, sizeof(i)));
        EXPECT(recall_put(recall, key_of(1, i), span_of(value, len), i));
        EXPECT(recall_figures(recall)->bytes <= recall_figures(recall)->limit_bytes);
        EXPECT(has(key_of(1, 0), SPAN_NONE, i) == false); // the first is asked for: it stays
    }
    EXPECT(recall_figures(recall)->limit_bytes <= RECALL_BYTES_MIN + 64 * KIB);
    for (uint64_t i = 0; i < count; i++) {
        char room[8];
        const size_t len = recall_get(recall, key_of(1, i), count, room, 0);
        kept += len > 0;
        EXPECT(i == 0 || i > count / rounds || len == 0); // of the first round nothing else is left
        EXPECT(i + 100 < count || len > 0);               // the newest are
    }
    EXPECT_EQ(kept, entries());
    EXPECT_EQ(count, entries() + recall_figures(recall)->evicted);
    EXPECT(!recall_put(recall, key_of(2, 2), span_of(value, 0), 0));
    for (uint64_t i = 0; i < 100; i++) { // the longest, however the ring's end lies
        EXPECT(recall_put(recall, key_of(2, i), span_of(value, sizeof(value)), count));
        EXPECT(has(key_of(2, i), span_of(value, sizeof(value)), count));
    }
}

static void what_was_never_kept_is_not_looked_for(void)
{
    open_recall();
    EXPECT(!recall_knows(recall, RECALL_ISSUER, 77));
    recall_expect(recall, RECALL_ISSUER, 77);
    EXPECT(recall_knows(recall, RECALL_ISSUER, 77));
    EXPECT(!recall_knows(recall, RECALL_CALL, 77));
    EXPECT(!recall_knows(recall, RECALL_ISSUER, 78));
}

enum { THREADS = 4, TURNS = 20000, SHARED_KEYS = 64 };

// Each value says which key it belongs to: a torn or mixed-up one is seen.
static void *hammer(void *arg)
{
    uint64_t seed = (uint64_t)(uintptr_t)arg, bad = 0;
    char value[1024], room[1024];
    for (unsigned i = 0; i < TURNS; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        const uint64_t number = (seed >> 40) % SHARED_KEYS;
        const size_t len = 1 + (seed >> 20) % sizeof(value);
        memset(value, (int)number, len);
        if (seed >> 63)
            bad += !recall_put(recall, key_of(1, number), span_of(value, len), i);
        const size_t got = recall_get(recall, key_of(1, number), i, room, sizeof(room));
        for (size_t at = 0; at < got; at++)
            bad += room[at] != (char)number;
    }
    return (void *)(uintptr_t)bad;
}

static void threads_share_it(void)
{
    open_recall();
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, hammer, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *bad;
        EXPECT_EQ(pthread_join(threads[i], &bad), 0);
        EXPECT_EQ((uintptr_t)bad, 0);
    }
    EXPECT(entries() <= SHARED_KEYS);
    recall_free(&recall);
}

TEST_MAIN(TEST(a_value_is_found_by_all_of_its_key), TEST(keys_of_two_processes_differ),
          TEST(what_nobody_asks_for_is_forgotten), TEST(the_oldest_makes_room),
          TEST(what_was_never_kept_is_not_looked_for), TEST(threads_share_it))
