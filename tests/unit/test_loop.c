#include "penstock/io/loop.h"

#include "io/backend.h"
#include "test.h"

// An io that completes nothing: it waits by moving the clock, and lets a test hook into its turn.
struct fake_io {
    struct io io;
    struct env_fake fake;
    uint64_t until_ns;
    unsigned turns;
    void (*on_turn)(struct fake_io *fake);
    struct loop loop;
};

static unsigned fake_turn(struct io *io, uint64_t until_ns)
{
    struct fake_io *fake = container_of(io, struct fake_io, io);
    fake->until_ns = until_ns;
    fake->turns++;
    if (until_ns > fake->fake.mono && until_ns != UINT64_MAX)
        env_fake_advance(&fake->fake, until_ns - fake->fake.mono);
    io_woke(io);
    if (fake->on_turn != NULL)
        fake->on_turn(fake);
    return 0;
}

static const struct io_ops fake_ops = { .turn = fake_turn };

static void setup(struct fake_io *fake)
{
    *fake = (struct fake_io){ .io.ops = &fake_ops };
    env_fake_init(&fake->fake, 1);
    fake->io.env = &fake->fake.env;
    loop_init(&fake->loop, &fake->io, &fake->fake.env);
}

enum { LOG_MAX = 16 };
static char log_text[LOG_MAX + 1];
static unsigned log_len;

static void log_clear(void)
{
    memset(log_text, 0, sizeof(log_text));
    log_len = 0;
}

static void log_add(char what)
{
    if (log_len < LOG_MAX)
        log_text[log_len++] = what;
}

struct job {
    struct task task;
    struct loop *loop;
    char name;
    struct job *ready, *next, *flush, *bury, *cancel; // what its run does, once
};

static void job_run(struct task *task)
{
    struct job *job = container_of(task, struct job, task);
    log_add(job->name);
    struct job done = *job;
    job->ready = job->next = job->flush = job->bury = job->cancel = NULL;
    if (done.ready != NULL)
        loop_ready(job->loop, &done.ready->task);
    if (done.next != NULL)
        loop_next(job->loop, &done.next->task);
    if (done.flush != NULL)
        loop_flush(job->loop, &done.flush->task);
    if (done.bury != NULL)
        loop_bury(job->loop, &done.bury->task);
    if (done.cancel != NULL)
        task_cancel(&done.cancel->task);
}

static void job_init(struct job *job, struct loop *loop, char name)
{
    *job = (struct job){ .loop = loop, .name = name };
    task_init(&job->task, job_run);
}

static struct job *hook_job;

static void mark_hook_job(struct fake_io *fake)
{
    log_add('c');
    loop_ready(&fake->loop, &hook_job->task);
    fake->on_turn = NULL;
}

static void log_timer(struct timer *timer)
{
    (void)timer;
    log_add('t');
}

static void test_phases_run_in_order(void)
{
    struct fake_io fake;
    setup(&fake);
    log_clear();
    struct job ready, flush, dead;
    job_init(&ready, &fake.loop, 'r');
    job_init(&flush, &fake.loop, 'f');
    job_init(&dead, &fake.loop, 'd');
    struct timer timer = { .on_fire = log_timer };
    timer_arm(&fake.loop.wheel, &timer, fake.fake.mono + NS_PER_MS);
    ready.flush = &flush;
    ready.bury = &dead;
    hook_job = &ready;
    fake.on_turn = mark_hook_job;
    loop_turn(&fake.loop, UINT64_MAX);
    EXPECT_SPAN(span_str(log_text), "ctrfd");
    EXPECT_EQ(fake.loop.turns, 1);
}

static void test_waits_until_the_next_timer_or_the_limit(void)
{
    struct fake_io fake;
    setup(&fake);
    loop_turn(&fake.loop, UINT64_MAX);
    EXPECT_EQ(fake.until_ns, UINT64_MAX);
    loop_turn(&fake.loop, 5 * NS_PER_S);
    EXPECT_EQ(fake.until_ns, 5 * NS_PER_S);
    EXPECT_EQ(fake.loop.now_ns, 5 * NS_PER_S); // read after the wait
    EXPECT_EQ(fake.loop.wall_ns, fake.fake.wall);
    struct timer timer = { .on_fire = log_timer };
    timer_arm(&fake.loop.wheel, &timer, 5 * NS_PER_S + 3 * WHEEL_TICK_NS);
    loop_turn(&fake.loop, 9 * NS_PER_S);
    EXPECT_EQ(fake.until_ns, 5 * NS_PER_S + 3 * WHEEL_TICK_NS);
    EXPECT(!timer_is_armed(&timer));
}

static void test_does_not_wait_while_work_is_left(void)
{
    struct fake_io fake;
    setup(&fake);
    log_clear();
    struct job a, b, c;
    job_init(&a, &fake.loop, 'a');
    job_init(&b, &fake.loop, 'b');
    job_init(&c, &fake.loop, 'c');
    loop_ready(&fake.loop, &a.task);
    a.ready = &a; // itself: not in this turn
    loop_turn(&fake.loop, UINT64_MAX);
    EXPECT_EQ(fake.until_ns, 0);
    EXPECT_SPAN(span_str(log_text), "a");
    loop_turn(&fake.loop, UINT64_MAX);
    EXPECT_EQ(fake.until_ns, 0);
    EXPECT_SPAN(span_str(log_text), "aa");
    loop_flush(&fake.loop, &b.task);
    loop_turn(&fake.loop, UINT64_MAX);
    EXPECT_EQ(fake.until_ns, 0);
    loop_bury(&fake.loop, &c.task);
    loop_turn(&fake.loop, UINT64_MAX);
    EXPECT_EQ(fake.until_ns, 0);
    loop_turn(&fake.loop, UINT64_MAX);
    EXPECT_EQ(fake.until_ns, UINT64_MAX);
    EXPECT_SPAN(span_str(log_text), "aabc");
}

static void test_a_task_is_listed_once_and_can_be_withdrawn(void)
{
    struct fake_io fake;
    setup(&fake);
    log_clear();
    struct job a, b, c;
    job_init(&a, &fake.loop, 'a');
    job_init(&b, &fake.loop, 'b');
    job_init(&c, &fake.loop, 'c');
    loop_ready(&fake.loop, &a.task);
    loop_ready(&fake.loop, &a.task);
    loop_ready(&fake.loop, &b.task);
    loop_ready(&fake.loop, &c.task);
    a.cancel = &b; // from within the phase that would run it
    loop_turn(&fake.loop, 0);
    EXPECT_SPAN(span_str(log_text), "ac");
    loop_flush(&fake.loop, &b.task);
    task_cancel(&b.task);
    task_cancel(&b.task);
    loop_turn(&fake.loop, 0);
    EXPECT_SPAN(span_str(log_text), "ac");
}

static void test_who_goes_on_runs_before_the_others(void)
{
    struct fake_io fake;
    setup(&fake);
    log_clear();
    struct job a, b, c, d;
    job_init(&a, &fake.loop, 'a');
    job_init(&b, &fake.loop, 'b');
    job_init(&c, &fake.loop, 'c');
    job_init(&d, &fake.loop, 'd');
    a.next = &c;
    c.next = &d; // a second step takes its turn
    loop_ready(&fake.loop, &a.task);
    loop_ready(&fake.loop, &b.task);
    loop_turn(&fake.loop, 0);
    EXPECT_SPAN(span_str(log_text), "acbd");
    log_clear();
    a.next = &a; // itself: not in this turn
    b.next = &c; // listed already: keeps its place
    loop_ready(&fake.loop, &a.task);
    loop_ready(&fake.loop, &b.task);
    loop_ready(&fake.loop, &d.task);
    loop_ready(&fake.loop, &c.task);
    loop_turn(&fake.loop, 0);
    EXPECT_SPAN(span_str(log_text), "abdc");
    loop_turn(&fake.loop, 0);
    EXPECT_SPAN(span_str(log_text), "abdca");
    log_clear();
    loop_next(&fake.loop, &b.task); // where nothing runs
    a.next = &c;
    b.next = &d;
    d.cancel = &a;
    loop_ready(&fake.loop, &a.task);
    loop_turn(&fake.loop, 0);
    EXPECT_SPAN(span_str(log_text), "bd");
}

static void test_the_dead_run_last_and_nothing_else_of_theirs_does(void)
{
    struct fake_io fake;
    setup(&fake);
    log_clear();
    struct job killer, victim, child;
    job_init(&killer, &fake.loop, 'k');
    job_init(&victim, &fake.loop, 'v');
    job_init(&child, &fake.loop, 'x');
    victim.bury = &child; // freed by its parent's burial, in the same turn
    killer.bury = &victim;
    killer.ready = &victim; // before the burial, as a late event would
    loop_ready(&fake.loop, &killer.task);
    loop_turn(&fake.loop, 0);
    EXPECT_SPAN(span_str(log_text), "kvx");
    loop_bury(&fake.loop, &killer.task);
    loop_ready(&fake.loop, &killer.task); // a dead one does not become ready
    loop_turn(&fake.loop, 0);
    loop_turn(&fake.loop, 0);
    EXPECT_SPAN(span_str(log_text), "kvxk");
}

static uint64_t slow_ns;

static void slow_run(struct task *task)
{
    struct loop *loop = container_of(task, struct job, task)->loop;
    struct fake_io *fake = container_of(loop, struct fake_io, loop);
    env_fake_advance(&fake->fake, slow_ns);
}

static void test_slow_turns_are_counted_without_the_wait(void)
{
    struct fake_io fake;
    setup(&fake);
    struct job job;
    job_init(&job, &fake.loop, 'j');
    job.task.run = slow_run;
    const struct loop_figures *figures = &fake.loop.figures;
    loop_turn(&fake.loop, fake.fake.mono + 60 * NS_PER_S); // a long wait is not a slow turn
    EXPECT_EQ(counter_get(&figures->turns_slow), 0);
    EXPECT_EQ(counter_get(&figures->busy_ns), 0);
    slow_ns = LOOP_SLOW_NS;
    loop_ready(&fake.loop, &job.task);
    loop_turn(&fake.loop, 0);
    EXPECT_EQ(counter_get(&figures->turns_slow), 0);
    slow_ns = LOOP_SLOW_NS + 1;
    loop_ready(&fake.loop, &job.task);
    loop_turn(&fake.loop, 0);
    EXPECT_EQ(counter_get(&figures->turns_slow), 1);
    EXPECT_EQ(counter_get(&figures->slow_ns), LOOP_SLOW_NS + 1);
    EXPECT_EQ(fake.loop.ended_ns, fake.fake.mono);
    EXPECT_EQ(fake.loop.took_us, 5000);
    EXPECT_EQ(fake.loop.took_bucket, 9);
    loop_turn(&fake.loop, 0);
    EXPECT_EQ(counter_get(&figures->turns_slow), 1);
    EXPECT_EQ(counter_get(&figures->slow_ns), LOOP_SLOW_NS + 1);
    EXPECT_EQ(counter_get(&figures->busy_ns), 2 * LOOP_SLOW_NS + 1);
    EXPECT_EQ(fake.loop.turns, 4);
    EXPECT_EQ(counter_get(&figures->turns), 4);
    // Of four turns two took no time and two 5 ms, which is above 2.56 ms and below 5.12 ms.
    EXPECT_EQ(counter_get(&figures->lag[0]), 2);
    EXPECT_EQ(counter_get(&figures->lag[9]), 2);
}

static void stop_at_three(struct fake_io *fake)
{
    if (fake->turns == 3)
        loop_stop(&fake->loop);
}

static void test_run_ends_by_stop(void)
{
    struct fake_io fake;
    setup(&fake);
    fake.on_turn = stop_at_three;
    loop_run(&fake.loop);
    EXPECT_EQ(fake.loop.turns, 3);
    loop_stop(&fake.loop); // called before: it does not begin
    loop_run(&fake.loop);
    EXPECT_EQ(fake.loop.turns, 3);
}

TEST_MAIN(TEST(test_phases_run_in_order), TEST(test_waits_until_the_next_timer_or_the_limit),
          TEST(test_does_not_wait_while_work_is_left),
          TEST(test_a_task_is_listed_once_and_can_be_withdrawn),
          TEST(test_who_goes_on_runs_before_the_others),
          TEST(test_the_dead_run_last_and_nothing_else_of_theirs_does),
          TEST(test_slow_turns_are_counted_without_the_wait), TEST(test_run_ends_by_stop))
