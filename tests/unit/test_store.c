// What store.h promises while nothing fails: entities, usage by every grouping, restarts, threads.
// Detail and its hours, failing disks, damage and killed processes have files of their own.
#include "penstock/base/env.h"
#include "penstock/store/store.h"
#include "penstock/store/usage_block.h"
#include "store/db.h"
#include "store_records.h"
#include "test.h"

#include <pthread.h>

// --- Entities

static struct store_change put(enum store_kind kind, const char *key, const char *value)
{
    return (struct store_change){ kind, span_str(key), span_str(value), STORE_ANY };
}

struct listing {
    char text[2000];
};

static bool list_one(void *arg, const struct store_entity *entity)
{
    struct listing *listing = arg;
    size_t len = strlen(listing->text);
    snprintf(listing->text + len, sizeof(listing->text) - len, "%.*s=%.*s@%llu;",
             (int)entity->key.len, entity->key.ptr, (int)entity->value.len, entity->value.ptr,
             (unsigned long long)entity->version);
    return true;
}

static struct span listed(struct store *store, enum store_kind kind, struct listing *listing)
{
    listing->text[0] = '\0';
    EXPECT(!failed(store_scan(store, kind, list_one, listing)));
    return span_str(listing->text);
}

static void a_commit_is_all_or_nothing(void)
{
    struct place place;
    place_init(&place);
    struct store_cfg cfg = place_cfg(&place, NULL);
    struct store *store = must_open(&cfg);
    struct listing listing;
    uint64_t version = 0;
    const struct store_change first[] = { put(STORE_KEY, "k2", "two"), put(STORE_KEY, "k1", "one"),
                                          put(STORE_ACCOUNT, "a", "") };
    EXPECT(!failed(store_commit(store, first, 3, &version)));
    EXPECT_EQ(version, 1);
    EXPECT_SPAN(listed(store, STORE_KEY, &listing), "k1=one@1;k2=two@1;");
    EXPECT_SPAN(listed(store, STORE_ACCOUNT, &listing), "a=@1;");

    // The second change is refused, so the first one does not happen either.
    struct store_change second[] = { put(STORE_KEY, "k3", "three"), put(STORE_KEY, "k1", "x") };
    second[1].version_before = 0;
    EXPECT_EQ(store_commit(store, second, 2, &version).code, ERR_CONFLICT);
    second[1].version_before = 7;
    EXPECT_EQ(store_commit(store, second, 2, &version).code, ERR_VERSION_STALE);
    second[1].key = SPAN("k9");
    EXPECT_EQ(store_commit(store, second, 2, &version).code, ERR_NOT_FOUND);
    EXPECT_SPAN(listed(store, STORE_KEY, &listing), "k1=one@1;k2=two@1;");

    struct store_change third[] = { put(STORE_KEY, "k1", "uno"), put(STORE_KEY, "k2", "") };
    third[0].version_before = third[1].version_before = 1;
    third[1].value = SPAN_NONE;
    EXPECT(!failed(store_commit(store, third, 2, &version)));
    EXPECT_EQ(version, 2);
    store_close(&store);

    store = must_open(&cfg);
    EXPECT_SPAN(listed(store, STORE_KEY, &listing), "k1=uno@2;");
    const struct store_change fourth = put(STORE_KEY, "k1", "eins");
    EXPECT(!failed(store_commit(store, &fourth, 1, &version)));
    EXPECT_EQ(version, 3); // versions go on over a restart
    store_close(&store);
    place_fini(&place);
}

static void a_bad_change_is_refused(void)
{
    struct place place;
    place_init(&place);
    struct store_cfg cfg = place_cfg(&place, NULL);
    struct store *store = must_open(&cfg);
    uint64_t version;
    struct store_change change = put(STORE_USAGE, "k", "v"); // is the store's own
    EXPECT_EQ(store_commit(store, &change, 1, &version).code, ERR_INVALID);
    change = put(STORE_KEY, "", "v");
    EXPECT_EQ(store_commit(store, &change, 1, &version).code, ERR_INVALID);
    EXPECT_EQ(store_commit(store, &change, 0, &version).code, ERR_INVALID);
    static char big[STORE_VALUE_MAX + 1];
    change = put(STORE_KEY, "k", "");
    change.value = span_of(big, sizeof(big));
    EXPECT_EQ(store_commit(store, &change, 1, &version).code, ERR_INVALID);
    store_close(&store);
    place_fini(&place);
}

// --- Usage

static void check_groups(struct store *store, const struct usage_sums *total)
{
    static const uint32_t groups[] = { 0,
                                       USAGE_BY_KEY,
                                       USAGE_BY_ACCOUNT,
                                       USAGE_BY_MODEL,
                                       USAGE_BY_FORMAT,
                                       USAGE_BY_DAY,
                                       USAGE_BY_KEY | USAGE_BY_MODEL | USAGE_BY_DAY };
    static const uint32_t counts[] = { 1, 7, 3, 5, 4, 3, 105 };
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        const struct usage_query query = { .to_ns = INT64_MAX, .group = groups[i] };
        struct usage_result result;
        EXPECT(!failed(store_usage(store, &query, &result)));
        EXPECT_EQ(result.count, counts[i]);
        struct usage_sums sums = { 0 };
        for (uint32_t row = 0; row < result.count; row++)
            usage_sums_add(&sums, &result.rows[row].sums);
        EXPECT(sums_eq(&sums, total));
        usage_result_fini(&result);
    }
}

static void check_filters(struct store *store)
{
    struct usage_query query = { .to_ns = INT64_MAX, .group = USAGE_BY_MODEL, .key_id = 3 };
    struct usage_result result;
    EXPECT(!failed(store_usage(store, &query, &result)));
    uint64_t requests = 0, tokens = 0, want_requests = 0, want_tokens = 0;
    for (uint32_t row = 0; row < result.count; row++) {
        EXPECT_EQ(result.rows[row].model_len, 7);
        EXPECT(memcmp(result.rows[row].model, "model-", 6) == 0);
        requests += result.rows[row].sums.requests;
        tokens += result.rows[row].sums.tokens[USAGE_OUTPUT];
    }
    for (uint64_t n = 0; n < RECORDS; n++) {
        struct usage_record record = record_of(n, wall);
        want_requests += record.key_id == 3;
        want_tokens += record.key_id == 3 ? record.tokens[USAGE_OUTPUT] : 0;
    }
    EXPECT_EQ(requests, want_requests);
    EXPECT_EQ(tokens, want_tokens);
    usage_result_fini(&result);

    // Two halves of the time are the whole.
    query = (struct usage_query){ .to_ns = wall + 20 * 3600 * NS_PER_S };
    EXPECT(!failed(store_usage(store, &query, &result)));
    requests = result.rows[0].sums.requests;
    EXPECT(requests > 100 && requests < RECORDS - 100);
    usage_result_fini(&result);
    query.from_ns = query.to_ns / (900 * NS_PER_S) * (900 * NS_PER_S) + 900 * NS_PER_S;
    query.to_ns = INT64_MAX;
    EXPECT(!failed(store_usage(store, &query, &result)));
    EXPECT_EQ(requests + result.rows[0].sums.requests, RECORDS);
    usage_result_fini(&result);
}

static void usage_adds_up(void)
{
    struct place place;
    struct env_fake fake;
    place_init(&place);
    env_fake_init(&fake, 1);
    struct store_cfg cfg = place_cfg(&place, &fake.env);
    struct store *store = must_open(&cfg);
    struct usage_sums total = fill(store, &fake);
    check_groups(store, &total);
    check_filters(store);
    store_close(&store);
    store = must_open(&cfg);
    check_groups(store, &total);
    check_filters(store);
    struct store_stats stats;
    store_stats(store, &stats);
    EXPECT_EQ(stats.records_missing, 0);
    EXPECT_EQ(stats.boot, 2);
    expect_verified(store);
    for (uint32_t shard = 0; shard < 2; shard++) { // the chain goes on over a restart
        struct usage_record record = record_of(shard, fake.wall);
        push(store, shard, &record);
    }
    expect_verified(store);
    store_close(&store);
    place_fini(&place);
}

// What a check must find: a block that was changed by somebody who knows about checksums.
static void a_forger_is_found(void)
{
    struct place place;
    struct env_fake fake;
    place_init(&place);
    env_fake_init(&fake, 1);
    struct store_cfg cfg = place_cfg(&place, &fake.env);
    struct store *store = must_open(&cfg);
    fill(store, &fake);
    expect_verified(store);
    store_close(&store);

    const struct db_cfg raw = { place.store, 1 * MIB, 1 * MIB, 8 * MIB };
    static struct usage_block_writer writer;
    struct store_why why;
    struct db db;
    if (failed(db_open(&db, &raw, DB_NORMAL, &why))) {
        fprintf(stderr, "%s\n", why.text);
        abort();
    }
    struct db_iter iter;
    struct usage_block_reader reader;
    struct usage_entry entry;
    db_iter_open(&iter, &db, STORE_USAGE, SPAN_NONE, SPAN_NONE);
    for (int i = 0; i < 5; i++)
        db_iter_next(&iter);
    EXPECT(!failed(usage_block_open(&reader, db_iter_value(&iter))));
    usage_block_begin(&writer, &reader.block.id, reader.block.previous, reader.block.order_ns);
    while (usage_block_next(&reader, &entry) == PARSE_DATA) {
        entry.record.cost_real_nano += 1;
        EXPECT(usage_block_add(&writer, &entry.record));
    }
    struct rocksdb_writebatch_t *batch = db_batch_new();
    db_put(&db, batch, STORE_USAGE, db_iter_key(&iter), usage_block_finish(&writer, 0));
    EXPECT(!failed(db_write(&db, batch)));
    db_batch_free(batch);
    db_iter_close(&iter);
    db_close(&db);

    store = must_open(&cfg);
    struct store_verdict verdict;
    EXPECT(!failed(store_verify(store, &verdict)));
    EXPECT_EQ(verdict.damaged, 0);
    EXPECT_EQ(verdict.unchained, 1); // its successor knows another one
    EXPECT_EQ(verdict.hours_wrong, 1);
    store_close(&store);
    place_fini(&place);
}

static void days_begin_where_asked(void)
{
    struct place place;
    struct env_fake fake;
    place_init(&place);
    env_fake_init(&fake, 1);
    struct store_cfg cfg = place_cfg(&place, &fake.env);
    struct store *store = must_open(&cfg);
    // 2025-06-15 15:06:40 UTC; two hours before and after midnight in UTC+5:45.
    const uint64_t midnight = UINT64_C(1749924900) * NS_PER_S;
    struct usage_record record = record_of(1, midnight - 7200 * NS_PER_S);
    push(store, 0, &record);
    record = record_of(1, midnight + 7200 * NS_PER_S);
    push(store, 0, &record);
    const struct usage_query query = { .to_ns = INT64_MAX,
                                       .group = USAGE_BY_DAY,
                                       .day_offset_s = 5 * 3600 + 45 * 60 };
    struct usage_result result;
    EXPECT(!failed(store_usage(store, &query, &result)));
    EXPECT_EQ(result.count, 2);
    EXPECT_EQ(result.rows[1].day_ns, midnight);
    EXPECT_EQ(result.rows[0].day_ns, midnight - 24 * 3600 * NS_PER_S);
    usage_result_fini(&result);
    store_close(&store);
    place_fini(&place);
}

static void model_names_are_bounded(void)
{
    struct place place;
    place_init(&place);
    struct store_cfg cfg = place_cfg(&place, NULL);
    cfg.models_max = 3;
    for (int round = 0; round < 2; round++) {
        struct store *store = must_open(&cfg);
        for (uint64_t n = 0; n < 10; n++) { // five names
            struct usage_record record = record_of(n, wall);
            push(store, 0, &record);
        }
        const struct usage_query query = { .to_ns = INT64_MAX, .group = USAGE_BY_MODEL };
        struct usage_result result;
        EXPECT(!failed(store_usage(store, &query, &result)));
        EXPECT_EQ(result.count, 4);
        int others = 0;
        for (uint32_t i = 0; i < result.count; i++)
            if (result.rows[i].model_id == USAGE_MODEL_OTHER) {
                others++;
                EXPECT_EQ(result.rows[i].sums.requests, (round + 1) * 4);
                EXPECT_SPAN(span_of(result.rows[i].model, result.rows[i].model_len), "(other)");
            }
        EXPECT_EQ(others, 1);
        usage_result_fini(&result);
        store_close(&store);
    }
    place_fini(&place);
}

// --- Refusals

static void a_second_opener_is_refused(void)
{
    struct place place;
    place_init(&place);
    struct store_cfg cfg = place_cfg(&place, NULL);
    struct store *store = must_open(&cfg), *second = NULL;
    struct store_why why = { "" };
    char pid[32];
    snprintf(pid, sizeof(pid), "process %d ", (int)getpid());
    EXPECT_EQ(store_open(&cfg, &second, &why).code, ERR_STORE_LOCKED);
    EXPECT(strstr(why.text, pid) != NULL && strstr(why.text, place.store) != NULL);
    EXPECT_EQ(store_open_readonly(&cfg, &second, &why).code, ERR_STORE_LOCKED);
    EXPECT_EQ(store_repair(place.store, &why).code, ERR_STORE_LOCKED);
    pid_t child = fork();
    if (child == 0)
        _exit(store_open(&cfg, &second, &why).code == ERR_STORE_LOCKED ? 0 : 1);
    int status = 1;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    // The refused ones have taken nothing away from the first.
    uint64_t version;
    const struct store_change change = put(STORE_KEY, "k", "v");
    EXPECT(!failed(store_commit(store, &change, 1, &version)));
    store_close(&store);
    store = must_open(&cfg);
    store_close(&store);
    place_fini(&place);
}

static void reading_offline_changes_nothing(void)
{
    struct place place;
    struct env_fake fake;
    place_init(&place);
    env_fake_init(&fake, 1);
    struct store_cfg cfg = place_cfg(&place, &fake.env);
    struct store *store = NULL;
    struct store_why why = { "" };
    EXPECT(failed(store_open_readonly(&cfg, &store, &why))); // there is none, and none is made
    EXPECT(access(place.store, F_OK) != 0);
    store = must_open(&cfg);
    struct usage_sums total = fill(store, &fake);
    store_close(&store);
    for (int i = 0; i < 2; i++) {
        EXPECT(!failed(store_open_readonly(&cfg, &store, &why)));
        struct usage_sums sums = total_of(store);
        EXPECT(sums_eq(&sums, &total));
        check_pages(store, 100);
        uint64_t version;
        const struct store_change change = put(STORE_KEY, "k", "v");
        EXPECT_EQ(store_commit(store, &change, 1, &version).code, ERR_STORE_READONLY);
        store_close(&store);
    }
    store = must_open(&cfg);
    struct store_stats stats;
    store_stats(store, &stats);
    EXPECT_EQ(stats.boot, 2);
    store_close(&store);
    place_fini(&place);
}

// --- The thread

struct waker {
    _Atomic uint32_t count;
};

static void on_wake(void *arg)
{
    struct waker *waker = arg;
    __atomic_fetch_add((uint32_t *)&waker->count, 1, __ATOMIC_SEQ_CST);
}

static void *run_store(void *arg)
{
    store_run(arg);
    return NULL;
}

static struct store_op *wait_for(struct store_client *client)
{
    struct store_op *op;
    for (int i = 0; i < 50000 && (op = store_reap(client)) == NULL; i++)
        usleep(100);
    EXPECT(op != NULL);
    return op;
}

struct producer {
    struct store *store;
    uint32_t shard;
    uint64_t count;
    uint64_t folded;
};

static void *produce(void *arg)
{
    struct producer *producer = arg;
    struct usage_port *port = store_port(producer->store, producer->shard);
    for (uint64_t n = 0; n < producer->count; n++) {
        struct usage_record record = record_of(n, wall);
        producer->folded += !usage_port_push(port, &record);
        if (n % 8 == 0)
            usage_port_kick(port);
        if (n % 512 == 0)
            usleep(1000);
    }
    usage_port_kick(port);
    return NULL;
}

static void threads_lose_nothing(void)
{
    enum { EACH = 20000 };
    struct place place;
    place_init(&place);
    struct store_cfg cfg = place_cfg(&place, NULL);
    cfg.ring_slots = 256; // so small that some detail is given up
    struct store *store = must_open(&cfg);
    struct waker waker = { 0 };
    struct store_client *client = NULL;
    EXPECT(!failed(store_client_open(store, on_wake, &waker, &client)));
    pthread_t thread, shards[2];
    struct producer producers[2] = { { store, 0, EACH, 0 }, { store, 1, EACH, 0 } };
    EXPECT(pthread_create(&thread, NULL, run_store, store) == 0);
    for (int i = 0; i < 2; i++)
        EXPECT(pthread_create(&shards[i], NULL, produce, &producers[i]) == 0);
    // Meanwhile the control thread commits and asks.
    for (int i = 0; i < 50; i++) {
        const struct store_change change = put(STORE_SETTING, "s", "v");
        struct store_op commit = { .kind = STORE_OP_COMMIT };
        commit.commit.changes = &change;
        commit.commit.count = 1;
        struct store_op usage = { .kind = STORE_OP_USAGE };
        usage.usage.query = (struct usage_query){ .to_ns = INT64_MAX, .group = USAGE_BY_KEY };
        EXPECT(store_submit(client, &commit));
        EXPECT(store_submit(client, &usage));
        EXPECT(wait_for(client) == &commit);
        EXPECT(!failed(commit.err));
        EXPECT_EQ(commit.commit.version, i + 1);
        EXPECT(wait_for(client) == &usage);
        EXPECT(!failed(usage.err));
        usage_result_fini(&usage.usage.result);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(shards[i], NULL);
    store_stop(store);
    pthread_join(thread, NULL);
    EXPECT(waker.count > 0);
    struct store_stats stats;
    store_stats(store, &stats);
    store_close(&store);
    store = must_open(&cfg);
    struct usage_sums sums = total_of(store), want = { 0 };
    for (uint64_t n = 0; n < EACH; n++) {
        struct usage_record record = record_of(n, wall);
        struct usage_sums one;
        usage_sums_of(&record, &one);
        usage_sums_add(&want, &one);
        usage_sums_add(&want, &one);
    }
    EXPECT(sums_eq(&sums, &want));
    EXPECT_EQ(stats.records_folded, producers[0].folded + producers[1].folded);
    store_close(&store);
    place_fini(&place);
}

// A steady trickle is written some hundredths of a second at a time, not record by record.
static void records_gather(void)
{
    enum { COUNT = 400 };
    struct place place;
    place_init(&place);
    const struct store_cfg cfg = place_cfg(&place, NULL);
    struct store *store = must_open(&cfg);
    struct store_stats before, after;
    store_stats(store, &before);
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, run_store, store) == 0);
    const uint64_t start_ns = env_mono_ns(env_system());
    for (uint64_t n = 0; n < COUNT; n++) {
        const struct usage_record record = record_of(n, wall);
        EXPECT(usage_port_push(store_port(store, 0), &record));
        usage_port_kick(store_port(store, 0));
        usleep(500);
    }
    const uint64_t took_ns = env_mono_ns(env_system()) - start_ns;
    store_stop(store);
    pthread_join(thread, NULL);
    store_stats(store, &after);
    EXPECT_EQ(after.records - before.records, COUNT);
    EXPECT(after.writes - before.writes <= took_ns / (25 * NS_PER_MS) + 10);
    store_close(&store);
    place_fini(&place);
}

// A burst does not wait until its ring is full: half a ring ends the gathering. What else could end
// it comes once a second, so that few of several bursts would be done early by chance.
static void a_burst_is_not_kept_waiting(void)
{
    enum { BURSTS = 8 };
    struct place place;
    place_init(&place);
    struct store_cfg cfg = place_cfg(&place, NULL);
    cfg.sync_ms = 1000 * 1000;
    cfg.gather_us = 100 * 1000 * 1000;
    struct store *store = must_open(&cfg);
    struct usage_port *port = store_port(store, 0);
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, run_store, store) == 0);
    uint64_t pushed = 0;
    int early = 0;
    for (int burst = 0; burst < BURSTS; burst++) {
        while (usage_port_waiting(port) <= cfg.ring_slots / 2) {
            const struct usage_record record = record_of(pushed++, wall);
            EXPECT(usage_port_push(port, &record)); // false: its detail was given up
            usage_port_kick(port);
        }
        const uint64_t start_ns = env_mono_ns(env_system());
        for (int i = 0; i < 10000 && usage_port_waiting(port) > 0; i++)
            usleep(1000);
        EXPECT_EQ(usage_port_waiting(port), 0);
        if (burst > 0) // the first one woke the store from its sleep
            early += env_mono_ns(env_system()) - start_ns < NS_PER_S / 4;
        usleep(50 * 1000); // until it gathers again
    }
    EXPECT(early > BURSTS / 2);
    store_stop(store);
    pthread_join(thread, NULL);
    struct store_stats stats;
    store_stats(store, &stats);
    EXPECT_EQ(stats.records, pushed);
    EXPECT_EQ(stats.records_folded, 0);
    store_close(&store);
    place_fini(&place);
}

// An idle store sleeps for a second; what comes in must not wait for that.
static void an_idle_store_wakes(void)
{
    struct place place;
    place_init(&place);
    struct store_cfg cfg = place_cfg(&place, NULL);
    struct store *store = must_open(&cfg);
    struct store_client *client = NULL;
    EXPECT(!failed(store_client_open(store, NULL, NULL, &client)));
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, run_store, store) == 0);
    const uint64_t start = env_mono_ns(cfg.env);
    for (uint64_t i = 0; i < 8; i++) {
        usleep(20 * 1000);
        struct store_op flush = { .kind = STORE_OP_FLUSH };
        EXPECT(store_submit(client, &flush));
        EXPECT(wait_for(client) == &flush);
    }
    EXPECT(env_mono_ns(cfg.env) - start < 3 * NS_PER_S);
    const uint64_t middle = env_mono_ns(cfg.env);
    struct store_stats stats = { 0 };
    for (uint64_t i = 0; i < 8; i++) {
        usleep(150 * 1000); // longer than it takes to sync
        struct usage_record record = record_of(i, wall);
        push(store, i % 2, &record);
        while (stats.records <= i && env_mono_ns(cfg.env) - middle < 9 * NS_PER_S) {
            usleep(1000);
            store_stats(store, &stats);
        }
    }
    EXPECT(env_mono_ns(cfg.env) - middle < 4 * NS_PER_S);
    store_stop(store);
    pthread_join(thread, NULL);
    store_close(&store);
    place_fini(&place);
}

static void a_client_is_bounded(void)
{
    struct place place;
    place_init(&place);
    struct store_cfg cfg = place_cfg(&place, NULL);
    struct store *store = must_open(&cfg);
    struct store_client *client = NULL;
    EXPECT(!failed(store_client_open(store, NULL, NULL, &client)));
    static struct store_op ops[STORE_OPS_MAX + 1];
    for (int i = 0; i < STORE_OPS_MAX; i++) {
        ops[i] = (struct store_op){ .kind = STORE_OP_FLUSH };
        EXPECT(store_submit(client, &ops[i]));
    }
    EXPECT(!store_submit(client, &ops[STORE_OPS_MAX]));
    while (store_step(store) == 0)
        ;
    for (int i = 0; i < STORE_OPS_MAX; i++)
        EXPECT(store_reap(client) == &ops[i] && !failed(ops[i].err));
    EXPECT(store_reap(client) == NULL);
    EXPECT(store_submit(client, &ops[0]));
    store_step(store);
    store_close(&store);
    place_fini(&place);
}

TEST_MAIN(TEST(a_commit_is_all_or_nothing), TEST(a_bad_change_is_refused), TEST(usage_adds_up),
          TEST(a_forger_is_found), TEST(days_begin_where_asked), TEST(model_names_are_bounded),
          TEST(a_second_opener_is_refused), TEST(reading_offline_changes_nothing),
          TEST(threads_lose_nothing), TEST(records_gather), TEST(a_burst_is_not_kept_waiting),
          TEST(an_idle_store_wakes), TEST(a_client_is_bounded))
