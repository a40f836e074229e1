// Signals, the way to the end, and what the service manager is told.
//
// SIGTERM: not ready from that moment on, accepting for another drain_delay (a load balancer has to
// notice), then draining until every request has ended or the drain deadline cuts what is left. A
// second SIGTERM changes nothing; SIGINT is for terminals and skips the delay; SIGQUIT ends at
// once. SIGHUP reads configuration and certificates again and opens the log again.
#include "penstock/ctl/notify.h"
#include "process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

void process_command(struct process *process, enum thread_command command)
{
    for (uint32_t i = 0; i < process->started_count; i++)
        thread_command(&process->shards[i], command);
}

bool process_is_drained(struct process *process)
{
    if (process->drain_timer.deadline_ns == 0 && !process->is_cut)
        return false; // the delay has not passed
    for (uint32_t i = 0; i < process->started_count; i++)
        if (thread_state(&process->shards[i]) == THREAD_READY)
            return false;
    return true;
}

static void drain(struct process *process)
{
    log_say(&process->log, LOG_INFO, "draining");
    process_command(process, THREAD_DRAIN);
    timer_arm(&process->loop.wheel, &process->drain_timer,
              process->loop.now_ns + process->cfg->timeouts.drain_ns);
}

static void on_delay_timer(struct timer *timer)
{
    drain(container_of(timer, struct process, delay_timer));
}

static void on_drain_timer(struct timer *timer)
{
    struct process *process = container_of(timer, struct process, drain_timer);
    log_say(&process->log, LOG_WARN, "the drain deadline has passed; what is left is ended");
    process->is_cut = true;
    process_command(process, THREAD_CUT);
}

static void begin_end(struct process *process, bool with_delay)
{
    const uint64_t delay = process->cfg->timeouts.drain_delay_ns;
    if (process->draining)
        return;
    process->draining = true;
    notify_send(config_world_system(), "STOPPING=1\nSTATUS=draining");
    if (with_delay && delay > 0)
        timer_arm(&process->loop.wheel, &process->delay_timer, process->loop.now_ns + delay);
    else
        drain(process);
}

void process_drain(struct process *process)
{
    begin_end(process, true);
}

static void on_signal(struct io_op *op, struct io_done done)
{
    struct process *process = container_of(op, struct process, signal_op);
    struct signalfd_siginfo info;
    if (done.res > 0 && read(process->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGQUIT)
            process->stopping = true;
        else if (info.ssi_signo == SIGHUP)
            process_reload(process);
        else
            begin_end(process, info.ssi_signo == SIGTERM);
    }
    if (!process->stopping && done.res != -ECANCELED)
        io_poll(process->io, op, process->signal_fd, POLLIN);
}

bool process_watch_signals(struct process *process)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    process->signal_op.on_done = on_signal;
    process->delay_timer.on_fire = on_delay_timer;
    process->drain_timer.on_fire = on_drain_timer;
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return false;
    process->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return process->signal_fd >= 0;
}

// --- the watchdog ---

// Every shard is woken once a period and has to have turned by the next one: a process of which one
// thread is stuck is not alive, and the manager starts another.
static bool shards_turn(struct process *process)
{
    bool all = true;
    for (uint32_t i = 0; i < process->started_count; i++) {
        struct shard_thread *thread = &process->shards[i];
        const uint64_t turns = counter_get(&thread->shard.loop.figures.turns);
        all &= turns != process->turns_seen[i] || thread_state(thread) == THREAD_ENDED;
        process->turns_seen[i] = turns;
        if (thread->io != NULL && thread_state(thread) != THREAD_ENDED)
            io_wake(thread->io, NULL);
    }
    return all;
}

#define SLOW_QUIET_NS (UINT64_C(10) * NS_PER_S)

void process_tell_slow_turns(struct process *process)
{
    for (uint32_t i = 0; i < process->started_count; i++) {
        const struct loop_figures *figures = &process->shards[i].shard.loop.figures;
        struct slow_turns *slow = &process->slow[i];
        const uint64_t count = counter_get(&figures->turns_slow);
        if (likely(count == slow->seen) || process->loop.now_ns < slow->quiet_ns)
            continue;
        log_say(
            &process->log, LOG_WARN,
            "shard %u: a turn of its loop took %llu ms; %llu took more than 5 ms since this was "
            "last told",
            i, (unsigned long long)(counter_get(&figures->slow_ns) / NS_PER_MS),
            (unsigned long long)(count - slow->seen));
        slow->seen = count;
        slow->quiet_ns = process->loop.now_ns + SLOW_QUIET_NS;
    }
}

static void on_watchdog(struct timer *timer)
{
    struct process *process = container_of(timer, struct process, watchdog);
    const bool first = process->watchdog_count++ == 0; // nobody was woken before it
    if (shards_turn(process) || first)
        notify_send(config_world_system(), "WATCHDOG=1");
    else
        log_say(&process->log, LOG_ERROR, "a shard does not turn");
    timer_arm(&process->loop.wheel, timer, process->loop.now_ns + process->watchdog_ns);
}

void process_life_begin(struct process *process)
{
    struct config_world *world = config_world_system();
    process->watchdog.on_fire = on_watchdog;
    process->watchdog_ns = notify_watchdog_ns(world) / 3; // two may come late
    if (process->watchdog_ns > 0)
        timer_arm(&process->loop.wheel, &process->watchdog,
                  process->loop.now_ns + process->watchdog_ns);
    notify_send(world, "READY=1\nSTATUS=ready");
}

void process_life_end(struct process *process)
{
    timer_stop(&process->loop.wheel, &process->delay_timer);
    timer_stop(&process->loop.wheel, &process->drain_timer);
    timer_stop(&process->loop.wheel, &process->watchdog);
}
