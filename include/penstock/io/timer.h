// timer.h - deadlines of one thread: a hierarchical wheel with lazily moved timers.
//
// Pushing a deadline further away costs one store: the timer stays in its old slot and is put right
// when that slot comes up. A timer never fires early and at most one WHEEL_TICK_NS late (plus the
// length of a loop turn). Arm and stop are constant time; nothing is allocated.
#ifndef PENSTOCK_IO_TIMER_H
#define PENSTOCK_IO_TIMER_H

#include "penstock/base/base.h"
#include "penstock/base/list.h"

#define WHEEL_TICK_NS (UINT64_C(4) * NS_PER_MS)
enum { WHEEL_LEVELS = 7, WHEEL_SLOTS = 64 }; // no deadline lies beyond the last level

struct timer;
typedef void timer_fn(struct timer *timer);

// Zero it and set on_fire.
struct timer {
    timer_fn *on_fire;
    uint64_t deadline_ns; // 0: stopped; one in the past is moved to the next tick
    uint64_t slot_ns;     // when its slot comes up; the wheel's own
    struct list link;
};

struct wheel {
    uint64_t next_ns;  // when the first slot in use comes up; UINT64_MAX: none is, 0: look again
    uint64_t tick;     // all slots before it are done
    uint64_t tick_min; // what is armed now comes up here at the earliest: after a run under way
    uint32_t levels;   // a bit a level that has timers
    uint64_t used[WHEEL_LEVELS];
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, uint64_t now_ns);

// Fires at or soon after `deadline_ns` (monotonic), unless moved or stopped before. Armed or not
// before.
void timer_arm(struct wheel *wheel, struct timer *timer, uint64_t deadline_ns);
// The same for a timer that is mostly pushed away again before it fires: in line.
static inline void timer_push(struct wheel *wheel, struct timer *timer, uint64_t deadline_ns)
{
    if (timer->deadline_ns != 0 && deadline_ns >= timer->deadline_ns)
        timer->deadline_ns = deadline_ns; // its slot comes up before
    else
        timer_arm(wheel, timer, deadline_ns);
}
void timer_stop(struct wheel *wheel, struct timer *timer);
static inline bool timer_is_armed(const struct timer *timer)
{
    return timer->deadline_ns != 0;
}

// Calls on_fire() of at most `max` timers due at `now_ns`, in the order of their ticks; a fired
// timer is stopped before its call, which may arm, move and stop any timer. What it arms fires in a
// later run, even if it is due. True when due timers are left for the next turn.
bool wheel_run(struct wheel *wheel, uint64_t now_ns, unsigned max);

// When wheel_run() next has something to do: never later than the end of the tick in which the
// earliest deadline lies; UINT64_MAX if no timer is armed. It can be earlier than any deadline when
// a timer has to move inside the wheel.
uint64_t wheel_next_ns(struct wheel *wheel);

#endif
