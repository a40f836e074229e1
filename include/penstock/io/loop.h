// loop.h - one thread's turn: completions, timers, ready tasks, flush, burial.
//
// A turn is, in this order: io_turn() (completions only record what happened and mark tasks ready),
// due timers, ready tasks, the flush list (connections with bytes to send), and the dead, which are
// freed last so that no handler can free an object under its own feet. Ready tasks run in rounds:
// one that another task marks ready runs in the next round of the same turn, so that bytes cross
// the program without a detour through the kernel; one that marks itself runs in the next turn.
// After LOOP_ROUNDS_MAX rounds the rest waits too, so one turn is bounded work. A turn does not
// wait while a task is ready.
#ifndef PENSTOCK_IO_LOOP_H
#define PENSTOCK_IO_LOOP_H

#include "penstock/base/counter.h"
#include "penstock/base/env.h"
#include "penstock/base/list.h"
#include "penstock/io/io.h"
#include "penstock/io/timer.h"

struct task;
typedef void task_fn(struct task *task);

// A piece of work that something woke. Zero it, task_init() it, set run.
struct task {
    task_fn *run;
    struct list link;
};

// What a loop tells of itself; any thread may read it.
struct loop_figures {
    struct counter turns;
    struct counter turns_slow; // of more than LOOP_SLOW_NS, waiting apart
    struct counter slow_ns;    // how long the newest of those was
    struct counter busy_ns;    // all turns together
    // How long each took, from LATENCY_OWN_FIRST_US on: so long nothing new was looked at.
    struct counter lag[LATENCY_BOUNDS + 1];
};

struct loop {
    struct io *io;
    struct env *env;
    uint64_t now_ns; // monotonic, read once a turn, when its wait is over
    uint64_t
        wall_ns; // wall clock of the same moment; a clock that is set is seen LOOP_WALL_NS late
    uint64_t wall_ahead_ns, wall_due_ns; // of the monotonic one, and when to look again
    struct wheel wheel;
    struct list ready; // tasks to run
    struct list again; // those that marked themselves: next turn
    struct list flush; // tasks to run after all ready ones: coalesced sends
    struct list dead;  // objects to free at the end of the turn
    struct list next;  // tasks to run before the others of a round
    uint64_t turns;
    uint64_t ended_ns; // when the last turn's work was done
    uint64_t took_us;  // how long it took, and where that belongs among figures.lag
    unsigned took_bucket;
    struct loop_figures figures;
    const struct task *running;
    bool running_next;
    bool stopping;
};

enum { LOOP_ROUNDS_MAX = 6 };
enum { LOOP_TIMERS_MAX = 1024 }; // timers that fire in one turn; further ones wait for the next
enum { LOOP_CATCH_UP_MAX = 32 }; // looks at what came during a pause, before timers fire
#define LOOP_SLOW_NS (UINT64_C(5) * NS_PER_MS)
#define LOOP_WALL_NS (UINT64_C(10) * NS_PER_MS)
#define LOOP_PAUSE_NS (UINT64_C(500) * NS_PER_MS) // woken that late, the process had been paused

// Takes io_on_woke() of `io` for itself.
void loop_init(struct loop *loop, struct io *io, struct env *env);

// One turn; waits at most until `until_ns` for something to do. The two halves apart, for who has
// something to do between the wait and the work: loop_wait() is io_turn(), loop_work() the rest.
void loop_turn(struct loop *loop, uint64_t until_ns);
void loop_wait(struct loop *loop, uint64_t until_ns);
void loop_work(struct loop *loop);
// Turns until loop_stop(), which ends it after the turn that it is called in, or at once if it was
// called before.
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

static inline void task_init(struct task *task, task_fn *run)
{
    task->run = run;
    list_init(&task->link);
}

// Runs the task once in the next phase of ready tasks; harmless if it is listed already. One task
// serves for loop_ready() or for loop_flush(), not for both.
void loop_ready(struct loop *loop, struct task *task);
// The same, but before the other tasks of the round that is running: for who goes on with what is
// in the cache. Only one step a task: what such a task marks waits for the next round.
void loop_next(struct loop *loop, struct task *task);
// The same for the flush phase of this turn, or of the next if it has begun.
void loop_flush(struct loop *loop, struct task *task);
// Withdraws a task from its list.
static inline void task_cancel(struct task *task)
{
    list_take(&task->link);
}

// Calls run() at the end of this turn, after everything else, once. The task is withdrawn from any
// other list, and cannot be marked ready any more.
void loop_bury(struct loop *loop, struct task *task);

#endif
