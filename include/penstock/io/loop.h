// loop.h - one thread's turn: completions, timers, ready tasks, flush, burial.
//
// A turn is, in this order: io_turn() (completions only record what happened and mark tasks ready),
// due timers, ready tasks, the flush list (connections with bytes to send), and the dead, which are
// freed last so that no handler can free an object under its own feet. A task that marks itself or
// another ready runs in the next turn, so one turn is bounded work.
#ifndef PENSTOCK_IO_LOOP_H
#define PENSTOCK_IO_LOOP_H

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

struct loop {
    struct io *io;
    struct env *env;
    uint64_t now_ns;  // monotonic, read once a turn
    uint64_t wall_ns; // wall clock, read once a turn
    struct wheel wheel;
    struct list ready; // tasks to run
    struct list flush; // tasks to run after all ready ones: coalesced sends
    struct list dead;  // objects to free at the end of the turn
    uint64_t turns;
    uint64_t turns_slow;  // turns of more than LOOP_SLOW_NS, waiting apart
    uint64_t turn_ns_max; // the longest of them since the owner last reset it
    bool stopping;
};

#define LOOP_SLOW_NS (UINT64_C(5) * NS_PER_MS)

void loop_init(struct loop *loop, struct io *io, struct env *env);

// One turn; waits at most until `until_ns` for something to do.
void loop_turn(struct loop *loop, uint64_t until_ns);
// Turns until loop_stop().
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

static inline void task_init(struct task *task, task_fn *run)
{
    task->run = run;
    list_init(&task->link);
}

// Runs the task once in the next phase that runs tasks; harmless if it is ready already.
void loop_ready(struct loop *loop, struct task *task);
// The same for the flush phase of this turn, or of the next if it has passed.
void loop_flush(struct loop *loop, struct task *task);
// Withdraws a task from either list.
static inline void task_cancel(struct task *task)
{
    list_take(&task->link);
}

// Calls run() at the end of this turn, after everything else, once.
void loop_bury(struct loop *loop, struct task *task);

#endif
