// The ring of access records: order, bounds, and that a sleeping reader is woken once.
#include "penstock/model/access_port.h"
#include "test.h"

#include <pthread.h>

static void on_wake(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static void push(struct access_port *port, uint64_t number)
{
    struct access_record *record = access_port_place(port);
    EXPECT(record != NULL);
    if (record == NULL)
        return;
    record->usage.start_ns = number;
    access_port_push(port);
}

static void show(struct access_port *port, uint64_t number)
{
    push(port, number);
    access_port_kick(port);
}

static void test_records_come_in_order(void)
{
    struct access_port port;
    _Atomic int wakes = 0;
    EXPECT(!failed(access_port_init(&port, on_wake, &wakes)));
    EXPECT(access_port_front(&port) == NULL);
    struct access_record *first = access_port_place(&port);
    for (uint64_t i = 0; i < 3; i++)
        push(&port, i);
    EXPECT(access_port_front(&port) == NULL); // the writer may still change them
    EXPECT_EQ(first->usage.start_ns, 0);
    first->overhead_us = 9;
    access_port_kick(&port);
    EXPECT_EQ(access_port_front(&port)->overhead_us, 9);
    for (uint64_t i = 0; i < 3; i++) {
        EXPECT_EQ(access_port_front(&port)->usage.start_ns, i);
        access_port_pop(&port);
    }
    EXPECT(access_port_front(&port) == NULL);
    access_port_fini(&port);
}

static void test_a_full_ring_counts_what_it_drops(void)
{
    struct access_port port;
    _Atomic int wakes = 0;
    EXPECT(!failed(access_port_init(&port, on_wake, &wakes)));
    for (uint64_t i = 0; i < ACCESS_SLOTS; i++)
        push(&port, i);
    for (int i = 0; i < 5; i++)
        EXPECT(access_port_place(&port) == NULL);
    EXPECT_EQ(counter_get(&port.dropped), 5);
    access_port_kick(&port);
    EXPECT(access_port_place(&port) == NULL);
    EXPECT_EQ(counter_get(&port.dropped), 6);
    EXPECT_EQ(access_port_front(&port)->usage.start_ns, 0);
    access_port_pop(&port);
    show(&port, 7);
    EXPECT_EQ(counter_get(&port.dropped), 6);
    for (uint64_t i = 1; i < ACCESS_SLOTS; i++) {
        EXPECT_EQ(access_port_front(&port)->usage.start_ns, i);
        access_port_pop(&port);
    }
    EXPECT_EQ(access_port_front(&port)->usage.start_ns, 7);
    access_port_pop(&port);
    EXPECT(access_port_front(&port) == NULL);
    access_port_fini(&port);
}

static void test_a_sleeper_is_woken_once(void)
{
    struct access_port port;
    _Atomic int wakes = 0;
    EXPECT(!failed(access_port_init(&port, on_wake, &wakes)));
    access_port_kick(&port);
    EXPECT_EQ(wakes, 0); // nothing came
    push(&port, 1);
    access_port_kick(&port);
    push(&port, 2);
    access_port_kick(&port);
    EXPECT_EQ(wakes, 1); // the reader is awake and has not slept since
    EXPECT(!access_port_sleep(&port));
    while (access_port_front(&port) != NULL)
        access_port_pop(&port);
    EXPECT(access_port_sleep(&port));
    push(&port, 3);
    access_port_kick(&port);
    EXPECT_EQ(wakes, 2);
    access_port_fini(&port);
}

enum { MANY = 200 * 1000 };
struct pair {
    struct access_port port;
    _Atomic int wakes;
    _Atomic bool done;
};

static void *write_many(void *arg)
{
    struct pair *pair = arg;
    for (uint64_t i = 0; i < MANY;) {
        struct access_record *record = access_port_place(&pair->port);
        if (record != NULL) {
            record->usage.start_ns = i++;
            access_port_push(&pair->port);
        }
        access_port_kick(&pair->port);
    }
    atomic_store(&pair->done, true);
    return NULL;
}

// A reader that sleeps whenever it may: no record may lie behind a sleeper that nobody woke.
static void test_no_wakeup_is_lost(void)
{
    static struct pair pair;
    pthread_t thread;
    EXPECT(!failed(access_port_init(&pair.port, on_wake, &pair.wakes)));
    EXPECT_EQ(pthread_create(&thread, NULL, write_many, &pair), 0);
    uint64_t next = 0;
    int seen = 0;
    while (next < MANY) {
        const struct access_record *record = access_port_front(&pair.port);
        if (record != NULL) {
            EXPECT_EQ(record->usage.start_ns, next);
            next++;
            access_port_pop(&pair.port);
            continue;
        }
        if (!access_port_sleep(&pair.port))
            continue;
        uint64_t spins = 0;
        while (atomic_load(&pair.wakes) == seen && spins < UINT64_C(20000000000))
            spins++;
        EXPECT(atomic_load(&pair.wakes) != seen);
        seen = atomic_load(&pair.wakes);
    }
    pthread_join(thread, NULL);
    access_port_fini(&pair.port);
}

static void test_counters_and_latencies(void)
{
    struct counter counter = { 0 };
    counter_add(&counter, 5);
    counter_sub(&counter, 2);
    EXPECT_EQ(counter_get(&counter), 3);
    struct latency latency = { 0 };
    latency_add(&latency, 0);
    latency_add(&latency, LATENCY_FIRST_US);
    latency_add(&latency, LATENCY_FIRST_US + 1);
    latency_add(&latency, LATENCY_FIRST_US << (LATENCY_BOUNDS - 1));
    latency_add(&latency, (LATENCY_FIRST_US << (LATENCY_BOUNDS - 1)) + 1);
    EXPECT_EQ(counter_get(&latency.buckets[0]), 2);
    EXPECT_EQ(counter_get(&latency.buckets[1]), 1);
    EXPECT_EQ(counter_get(&latency.buckets[LATENCY_BOUNDS - 1]), 1);
    EXPECT_EQ(counter_get(&latency.buckets[LATENCY_BOUNDS]), 1);
    for (unsigned i = 0; i < LATENCY_BOUNDS;
         i++) { // each bound is in its bucket, what is more is not
        EXPECT_EQ(latency_bucket(LATENCY_OWN_FIRST_US << i, LATENCY_OWN_FIRST_US), i);
        EXPECT_EQ(latency_bucket((LATENCY_OWN_FIRST_US << i) + 1, LATENCY_OWN_FIRST_US), i + 1);
    }
    EXPECT_EQ(latency_bucket(0, LATENCY_OWN_FIRST_US), 0);
    EXPECT_EQ(latency_bucket(UINT64_MAX, 1), LATENCY_BOUNDS);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        { "records come in order", test_records_come_in_order },
        { "a full ring counts what it drops", test_a_full_ring_counts_what_it_drops },
        { "a sleeper is woken once", test_a_sleeper_is_woken_once },
        { "no wakeup is lost", test_no_wakeup_is_lost },
        { "counters and latencies", test_counters_and_latencies },
    };
    return test_main(argc, argv, cases, ARRAY_LEN(cases));
}
