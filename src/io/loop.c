#include "penstock/io/loop.h"

#include "penstock/base/check.h"

static void on_woke(void *arg)
{
    struct loop *loop = arg;
    loop->now_ns = env_mono_ns(loop->env);
    if (unlikely(loop->now_ns >= loop->wall_due_ns)) {
        loop->wall_due_ns = loop->now_ns + LOOP_WALL_NS;
        loop->wall_ahead_ns = env_wall_ns(loop->env) - loop->now_ns;
    }
    loop->wall_ns = loop->now_ns + loop->wall_ahead_ns;
}

void loop_init(struct loop *loop, struct io *io, struct env *env)
{
    *loop = (struct loop){ .io = io, .env = env };
    on_woke(loop);
    wheel_init(&loop->wheel, loop->now_ns);
    list_init(&loop->ready);
    list_init(&loop->again);
    list_init(&loop->next);
    list_init(&loop->flush);
    list_init(&loop->dead);
    io_on_woke(io, on_woke, loop);
}

static void run_task(struct loop *loop, struct list *node)
{
    struct task *task = container_of(node, struct task, link);
    loop->running = task;
    task->run(task); // the task may be gone after this
}

// Runs what is in `list` now, and not what is put there meanwhile.
static void run_tasks(struct loop *loop, struct list *list)
{
    struct list batch;
    list_init(&batch);
    list_splice(&batch, list);
    for (struct list *node; (node = list_pop_front(&batch)) != NULL;) {
        run_task(loop, node);
        loop->running_next = true;
        while ((node = list_pop_front(&loop->next)) != NULL)
            run_task(loop, node);
        loop->running_next = false;
    }
    loop->running = NULL;
}

static void run_ready(struct loop *loop)
{
    for (int round = 0; round < LOOP_ROUNDS_MAX && !list_is_empty(&loop->ready); round++)
        run_tasks(loop, &loop->ready);
    list_splice(&loop->ready, &loop->again);
}

// A burial may bury what the dead object held, in the same turn: each object dies once.
static void run_dead(struct loop *loop)
{
    for (struct list *node; (node = list_pop_front(&loop->dead)) != NULL;) {
        struct task *task = container_of(node, struct task, link);
        task->run(task); // the task may be gone after this
    }
}

static bool has_work(const struct loop *loop)
{
    return !list_is_empty(&loop->ready) || !list_is_empty(&loop->flush) ||
           !list_is_empty(&loop->dead);
}

void loop_wait(struct loop *loop, uint64_t until_ns)
{
    uint64_t began_ns = loop->now_ns, due_ns = wheel_next_ns(&loop->wheel);
    if (has_work(loop))
        until_ns = 0;
    unsigned taken = io_turn(loop->io, min_u64(until_ns, due_ns));
    // A stopped process, or a paused machine, wakes up behind its deadlines, and perhaps without a
    // look at what came meanwhile. That is taken first, or deadlines would pass for peers that were
    // in time.
    if (likely(due_ns <= began_ns || loop->now_ns <= due_ns ||
               loop->now_ns - due_ns < LOOP_PAUSE_NS))
        return;
    for (int turn = 0; turn < LOOP_CATCH_UP_MAX && (turn == 0 || taken > 0); turn++)
        taken = io_turn(loop->io, 0);
}

static void tell(struct loop *loop)
{
    struct loop_figures *figures = &loop->figures;
    const uint64_t spent_ns = loop->ended_ns - loop->now_ns;
    counter_set(&figures->turns, loop->turns);
    counter_add(&figures->busy_ns, spent_ns);
    loop->took_us = spent_ns / NS_PER_US;
    loop->took_bucket = latency_bucket(loop->took_us, LATENCY_OWN_FIRST_US);
    counter_add(&figures->lag[loop->took_bucket], 1);
    if (likely(spent_ns <= LOOP_SLOW_NS))
        return;
    counter_set(&figures->slow_ns, spent_ns);
    counter_add(&figures->turns_slow, 1);
}

void loop_work(struct loop *loop)
{
    // Due timers that are left over show in wheel_next_ns(), so the next turn does not wait.
    (void)wheel_run(&loop->wheel, loop->now_ns, LOOP_TIMERS_MAX);
    run_ready(loop);
    run_tasks(loop, &loop->flush);
    run_dead(loop);

    loop->ended_ns = env_mono_ns(loop->env);
    loop->turns++;
    tell(loop);
}

void loop_turn(struct loop *loop, uint64_t until_ns)
{
    loop_wait(loop, until_ns);
    loop_work(loop);
}

void loop_run(struct loop *loop)
{
    while (!loop->stopping)
        loop_turn(loop, UINT64_MAX);
    loop->stopping = false;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

void loop_ready(struct loop *loop, struct task *task)
{
    assert(task->run != NULL);
    if (!list_is_linked(&task->link))
        list_push_back(task == loop->running ? &loop->again : &loop->ready, &task->link);
}

void loop_next(struct loop *loop, struct task *task)
{
    if (loop->running == NULL || loop->running == task || loop->running_next)
        loop_ready(loop, task);
    else if (!list_is_linked(&task->link))
        list_push_back(&loop->next, &task->link);
}

void loop_flush(struct loop *loop, struct task *task)
{
    assert(task->run != NULL);
    if (!list_is_linked(&task->link))
        list_push_back(&loop->flush, &task->link);
}

void loop_bury(struct loop *loop, struct task *task)
{
    assert(task->run != NULL);
    list_take(&task->link);
    list_push_back(&loop->dead, &task->link);
}
