// Jobs on their way to another thread and back: all of them, in order, each to its own shard.
#include "penstock/relay/carrier.h"

#include "test.h"

#include "penstock/base/check.h"

static struct io *new_io(void)
{
    struct io *io;
    char why[256];
    const struct io_config config = { .backend = IO_BACKEND_EPOLL,
                                      .bufs_small = 16,
                                      .bufs_large = 4 };
    verify(!failed(io_new(&io, &config, env_system(), why, sizeof(why))));
    return io;
}

struct work {
    struct carrier_job job;
    pthread_t ran_on;
    uint32_t ran_as, back_as; // which one it was, from 1
    struct extent extent;
    uint32_t charged;
};

static uint32_t ran, back; // `ran` is the carrier's

static void on_run(struct carrier_job *job, struct carrier *carrier)
{
    struct work *work = container_of(job, struct work, job);
    work->ran_on = pthread_self();
    work->ran_as = ++ran;
    verify(extent_take(&carrier->extents, &work->extent, 64 * KIB));
    work->extent.ptr[0] = 'w';
    budget_charge(&carrier->budget, &work->charged, 64 * KIB);
    budget_charge(&carrier->budget, &work->charged, -(64 * KIB));
}

static void on_back(struct carrier_job *job)
{
    container_of(job, struct work, job)->back_as = ++back;
}

static void give(struct carrier *carrier, struct work *work, uint32_t shard)
{
    *work = (struct work){ .job = { .shard = shard, .run = on_run, .on_back = on_back } };
    carrier_give(carrier, &work->job);
}

static void jobs_come_back_to_their_shard_in_order(void)
{
    struct io *io = new_io();
    struct budget_process process = { .limit = INT64_MAX / 100 };
    struct carrier *carrier;
    struct extent_pool pool = { 0 };
    struct work works[6];
    ran = back = 0;
    verify(!failed(carrier_new(&carrier, 2, &process)));
    EXPECT_EQ(carrier->least, CARRIER_LEAST);
    carrier_open(carrier, 0, io);
    carrier_open(carrier, 1, io);
    EXPECT(!carrier_turn(carrier));
    EXPECT(carrier_is_quiet(carrier, 0));
    for (uint32_t i = 0; i < 6; i++)
        give(carrier, &works[i], i % 2);
    EXPECT(!carrier_is_quiet(carrier, 0));
    EXPECT(!carrier_has_any(carrier, 0));
    carrier_take(carrier, 0);
    EXPECT_EQ(back, 0);
    EXPECT(carrier_turn(carrier));
    EXPECT(!carrier_turn(carrier));
    EXPECT(carrier_has_any(carrier, 0) && carrier_has_any(carrier, 1));
    EXPECT(!carrier_is_quiet(carrier, 1)); // they were not taken yet
    carrier_take(carrier, 1);
    EXPECT_EQ(back, 3);
    EXPECT(carrier_is_quiet(carrier, 1));
    EXPECT(!carrier_is_quiet(carrier, 0));
    carrier_take(carrier, 0);
    EXPECT(carrier_is_quiet(carrier, 0));
    for (uint32_t i = 0; i < 6; i++) {
        EXPECT_EQ(works[i].ran_as, i + 1);
        EXPECT_EQ(works[i].back_as, i % 2 == 1 ? i / 2 + 1 : 3 + i / 2 + 1);
        EXPECT_EQ(works[i].extent.ptr[0], 'w');
        extent_give(&pool, &works[i].extent);
    }
    extent_pool_fini(&pool);
    carrier_free(&carrier);
    EXPECT(carrier == NULL);
    carrier_free(&carrier); // harmless
    io_free(&io);
}

enum { THREAD_JOBS = 400, SHARDS = 3 };

struct shard_side {
    struct carrier *carrier;
    uint32_t shard;
    struct work works[THREAD_JOBS];
    uint32_t taken;
    bool in_order;
};

static _Thread_local struct shard_side *side;

static void on_back_here(struct carrier_job *job)
{
    struct work *work = container_of(job, struct work, job);
    side->in_order = side->in_order && work == &side->works[side->taken];
    side->taken++;
}

static void *run_side(void *arg)
{
    side = arg;
    struct io *io = new_io();
    struct extent_pool pool = { 0 };
    carrier_open(side->carrier, side->shard, io);
    side->in_order = true;
    for (uint32_t i = 0; i < THREAD_JOBS; i++) {
        struct work *work = &side->works[i];
        *work = (struct work){ .job = {
                                   .shard = side->shard, .run = on_run, .on_back = on_back_here } };
        carrier_give(side->carrier, &work->job);
        if (i % 7 == 0)
            carrier_take(side->carrier, side->shard);
    }
    while (!carrier_is_quiet(side->carrier, side->shard))
        carrier_take(side->carrier, side->shard);
    for (uint32_t i = 0; i < THREAD_JOBS; i++) {
        EXPECT(!pthread_equal(side->works[i].ran_on, pthread_self()));
        extent_give(&pool, &side->works[i].extent);
    }
    extent_pool_fini(&pool);
    io_free(&io); // nobody wakes it any more
    return NULL;
}

static void shards_on_threads_get_their_own(void)
{
    static struct shard_side sides[SHARDS];
    pthread_t threads[SHARDS];
    struct budget_process process = { .limit = INT64_MAX / 100 };
    struct carrier *carrier;
    ran = 0;
    verify(!failed(carrier_new(&carrier, SHARDS, &process)));
    verify(!failed(carrier_start(carrier)));
    for (uint32_t i = 0; i < SHARDS; i++) {
        sides[i].carrier = carrier;
        sides[i].shard = i;
        verify(pthread_create(&threads[i], NULL, run_side, &sides[i]) == 0);
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        verify(pthread_join(threads[i], NULL) == 0);
        EXPECT_EQ(sides[i].taken, THREAD_JOBS);
        EXPECT(sides[i].in_order);
    }
    carrier_free(&carrier);
    EXPECT_EQ(ran, SHARDS * THREAD_JOBS);
}

TEST_MAIN(TEST(jobs_come_back_to_their_shard_in_order), TEST(shards_on_threads_get_their_own))
