// kill -9 at any moment: nothing that a port has taken is lost, nothing is counted twice, no
// acknowledged change of an entity is missing.
#include "penstock/store/store.h"
#include "store_util.h"
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { SHARDS = 2, ROUNDS = 30 };
static const uint64_t wall = UINT64_C(1750000000) * NS_PER_S;

// Shared with the child: what it has told the world.
struct told {
    _Atomic bool opened;
    _Atomic uint64_t pushed[SHARDS];   // in a port
    _Atomic uint64_t released[SHARDS]; // of them, given back by the store
    _Atomic uint64_t committed;        // entity changes answered OK
    _Atomic uint64_t tried;
};

struct child {
    struct store *store;
    struct told *told;
    uint32_t shard;
    uint32_t pace_us;
};

static void *produce(void *arg)
{
    struct child *child = arg;
    struct usage_port *port = store_port(child->store, child->shard);
    uint64_t n = atomic_load(&child->told->pushed[child->shard]);
    for (uint64_t base = n;; n++) {
        struct usage_record record = record_of(n * SHARDS + child->shard, wall);
        while (!spsc_place(&port->ring)) // the spill is the one thing a kill may take
            usleep(50);
        usage_port_push(port, &record);
        atomic_store(&child->told->pushed[child->shard], n + 1);
        usage_port_kick(port);
        atomic_store(&child->told->released[child->shard], n + 1 - usage_port_waiting(port));
        if (n % 4 == 0)
            usleep(child->pace_us);
        if (n - base > 200000)
            return NULL;
    }
}

static void *run_store(void *arg)
{
    store_run(arg);
    return NULL;
}

// As every five seconds otherwise, so that a kill finds blocks before and behind the positions.
static void checkpoint(struct store_client *client)
{
    struct store_op op = { .kind = STORE_OP_FLUSH };
    if (!store_submit(client, &op))
        abort();
    while (store_reap(client) == NULL)
        usleep(50);
    if (failed(op.err))
        abort();
}

static _Noreturn void commit_forever(struct store_client *client, struct told *told)
{
    for (;;) {
        char key[32];
        uint64_t n = atomic_fetch_add(&told->tried, 1);
        int len = snprintf(key, sizeof(key), "key-%08llu", (unsigned long long)n);
        const struct store_change change = { STORE_KEY, span_of(key, (size_t)len), SPAN("\1v"),
                                             STORE_ANY };
        struct store_op op = { .kind = STORE_OP_COMMIT };
        op.commit.changes = &change;
        op.commit.count = 1;
        if (!store_submit(client, &op))
            abort();
        while (store_reap(client) == NULL)
            usleep(50);
        if (failed(op.err))
            abort();
        atomic_fetch_add(&told->committed, 1);
        if (n % 8 == 7)
            checkpoint(client);
        usleep(3000);
    }
}

// Which records are there: each at most once, those of a shard without a hole. Returns how many.
static void count_detail(struct store *store, uint64_t counts[SHARDS])
{
    static struct usage_detail out[1000];
    struct usage_detail_query query = { .to_ns = INT64_MAX };
    struct usage_page page = { .out = out, .cap = 1000 };
    counts[0] = counts[1] = 0;
    do {
        EXPECT(!failed(store_detail(store, &query, &page)));
        EXPECT_EQ(page.damaged_blocks, 0);
        for (uint32_t i = 0; i < page.count; i++) {
            uint64_t n;
            memcpy(&n, out[i].record.request_id, sizeof(n));
            EXPECT_EQ(n / SHARDS, counts[n % SHARDS]);
            counts[n % SHARDS]++;
        }
        query.after = page.next;
    } while (!page.is_end && test_failures == 0);
}

// A child that was killed between its push and telling of it has told one too few: the next one
// would push the same record again, and count it twice itself.
static void catch_up(struct store *store, struct told *told)
{
    uint64_t counts[SHARDS];
    count_detail(store, counts);
    for (uint32_t i = 0; i < SHARDS; i++)
        if (counts[i] == atomic_load(&told->pushed[i]) + 1)
            atomic_store(&told->pushed[i], counts[i]);
}

static int child_main(char **argv)
{
    alarm(60); // never outlives the test
    struct place place;
    place_at(&place, argv[2]);
    struct store_cfg cfg = place_cfg(&place, NULL);
    cfg.ring_slots = 128; // so that places are used again soon
    if (strcmp(argv[3], "private") == 0)
        cfg.runtime_dir = NULL;
    struct told *told = place_share(&place, "told", sizeof(*told));
    struct store *store = must_open(&cfg);
    catch_up(store, told);
    struct store_client *client;
    if (failed(store_client_open(store, NULL, NULL, &client)))
        abort();
    atomic_store(&told->opened, true);
    pthread_t thread;
    static struct child shards[SHARDS];
    for (uint32_t i = 0; i < SHARDS; i++) {
        shards[i] = (struct child){ store, told, i, (uint32_t)atoi(argv[4]) };
        pthread_create(&thread, NULL, produce, &shards[i]);
    }
    pthread_create(&thread, NULL, run_store, store);
    commit_forever(client, told);
}

// Starts a writer and kills it after a time that follows from the round: counted from its start
// every third time, so that it dies while it opens as well, else from when it has opened.
static void run_and_kill(const struct place *place, struct told *told, const char *role,
                         uint32_t round)
{
    const uint32_t spread = (round + 1) * 2654435761u >> 16;
    atomic_store(&told->opened, false);
    pid_t child = place_spawn(place, role, spread % 3 == 0 ? "50" : "1000");
    for (int i = 0; i < 20000 && round % 3 != 0 && !atomic_load(&told->opened); i++)
        usleep(500);
    usleep(spread % 1000 * 200);
    kill(child, SIGKILL);
    int status = 0;
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); // it did not end by itself
}

static struct usage_sums sum_of(const uint64_t counts[SHARDS])
{
    struct usage_sums sums = { 0 };
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        for (uint64_t n = 0; n < counts[shard]; n++) {
            struct usage_record record = record_of(n * SHARDS + shard, wall);
            struct usage_sums one;
            usage_sums_of(&record, &one);
            usage_sums_add(&sums, &one);
        }
    return sums;
}

struct keys {
    uint64_t count;
};

static bool count_key(void *arg, const struct store_entity *entity)
{
    (void)entity;
    ((struct keys *)arg)->count++;
    return true;
}

static void check(struct store *store, struct told *told)
{
    uint64_t counts[SHARDS];
    count_detail(store, counts);
    struct usage_sums want = sum_of(counts), sums = total_of(store);
    EXPECT(sums_eq(&sums, &want));
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        // One more than was told may have been taken; then it was pushed.
        EXPECT(counts[shard] >= atomic_load(&told->pushed[shard]));
        EXPECT(counts[shard] <= atomic_load(&told->pushed[shard]) + 1);
        atomic_store(&told->pushed[shard], counts[shard]);
    }
    struct keys keys = { 0 };
    EXPECT(!failed(store_scan(store, STORE_KEY, count_key, &keys)));
    EXPECT(keys.count >= atomic_load(&told->committed));
    EXPECT(keys.count <= atomic_load(&told->tried));
    atomic_store(&told->committed, keys.count);
    struct store_stats stats;
    store_stats(store, &stats);
    EXPECT_EQ(stats.records_missing, 0);
    EXPECT_EQ(stats.blocks_damaged, 0);
    expect_verified(store);
}

static void a_killed_process_loses_nothing(void)
{
    struct place place;
    place_init(&place);
    struct store_cfg cfg = place_cfg(&place, NULL);
    cfg.ring_slots = 128; // so that places are used again soon
    struct told *told = place_share(&place, "told", sizeof(*told));
    uint64_t replayed = 0;
    for (uint32_t round = 0; round < ROUNDS && test_failures == 0; round++) {
        run_and_kill(&place, told, "shared", round);
        // Now and then two die in a row, the second perhaps while it cleans up after the first.
        if (round % 4 == 3)
            run_and_kill(&place, told, "shared", round + 1000);
        if (round % 5 != 4)
            continue;
        struct store *store = must_open(&cfg);
        struct store_stats stats;
        store_stats(store, &stats);
        replayed += stats.records_replayed;
        check(store, told);
        store_close(&store);
    }
    EXPECT(atomic_load(&told->pushed[0]) > 1000);
    EXPECT(replayed > 0); // else the rings were never put to the test
    munmap(told, sizeof(*told));
    place_fini(&place);
}

// Reading only, before anything has cleaned up, gives the same answers.
static void offline_verbs_see_what_a_killed_process_left(void)
{
    struct place place;
    place_init(&place);
    struct store_cfg cfg = place_cfg(&place, NULL);
    cfg.ring_slots = 128; // so that places are used again soon
    struct told *told = place_share(&place, "told", sizeof(*told));
    uint64_t replayed = 0;
    for (uint32_t round = 0; round < 8 && test_failures == 0; round++) {
        run_and_kill(&place, told, "shared", 100 + round);
        struct store *store;
        struct store_why why;
        struct err err = store_open_readonly(&cfg, &store, &why);
        if (failed(err)) {
            EXPECT_EQ(err.code, ERR_NOT_FOUND); // killed before the first store was made
            continue;
        }
        uint64_t counts[SHARDS];
        count_detail(store, counts);
        struct usage_sums sums = total_of(store);
        struct store_stats stats;
        store_stats(store, &stats);
        replayed += stats.records_replayed;
        // Records in the rings are in the sums, but in no block yet.
        EXPECT_EQ(sums.requests, counts[0] + counts[1] + stats.records_replayed);
        store_close(&store);
        store = must_open(&cfg);
        struct usage_sums again = total_of(store);
        EXPECT(sums_eq(&sums, &again));
        check(store, told);
        store_close(&store);
    }
    EXPECT(replayed > 0);
    munmap(told, sizeof(*told));
    place_fini(&place);
}

// Without a runtime directory the promise begins with the commit of a block.
static void without_shared_rings_a_commit_is_the_border(void)
{
    struct place place;
    place_init(&place);
    struct store_cfg cfg = place_cfg(&place, NULL);
    cfg.ring_slots = 128; // so that places are used again soon
    cfg.runtime_dir = NULL;
    struct told *told = place_share(&place, "told", sizeof(*told));
    // On a busy machine a child does little before its end, so it may take some more of them.
    const uint64_t enough = 1000;
    for (uint32_t round = 0; round < 10 || atomic_load(&told->pushed[0]) <= enough; round++) {
        if (round == 200 || test_failures > 0)
            break;
        atomic_store(&told->released[0], 0), atomic_store(&told->released[1], 0);
        run_and_kill(&place, told, "private", 200 + round);
        struct store *store = must_open(&cfg);
        uint64_t counts[SHARDS];
        count_detail(store, counts);
        struct usage_sums want = sum_of(counts), sums = total_of(store);
        EXPECT(sums_eq(&sums, &want));
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            EXPECT(counts[shard] >= atomic_load(&told->released[shard]));
            atomic_store(&told->pushed[shard], counts[shard]);
        }
        store_close(&store);
    }
    EXPECT(atomic_load(&told->pushed[0]) > enough);
    munmap(told, sizeof(*told));
    place_fini(&place);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--child") == 0)
        return child_main(argv);
    static const struct test_case cases[] = {
        TEST(a_killed_process_loses_nothing),
        TEST(offline_verbs_see_what_a_killed_process_left),
        TEST(without_shared_rings_a_commit_is_the_border),
    };
    return test_main(argc, argv, cases, ARRAY_LEN(cases));
}
