// The wheel counts ticks. A timer waits in the slot of the tick that is its deadline rounded up, on
// the level of the highest group of six bits in which that tick differs from the wheel's. So all
// slots of a level that are in use belong to one turn of that level, they lie at or after the
// wheel's own position, and a slot of a higher level starts after the ones of lower levels end.
// When a slot of a higher level comes up, its timers move down; seven levels hold any deadline.
//
// A timer that was pushed away stays where it is (timer_arm() only stores the deadline) and moves
// when its slot comes up.
#include "penstock/io/timer.h"

#include "penstock/base/check.h"

enum {
    SLOT_BITS = 6,
    SLOT_MASK = WHEEL_SLOTS - 1,
    // Timers that may move down for each one that may fire: a move costs far less than a handler.
    MOVES_PER_FIRE = 16,
};
_Static_assert(WHEEL_SLOTS == 1 << SLOT_BITS, "one bit a slot in a word of 64");
#define TICK_MAX ((UINT64_C(1) << (SLOT_BITS * WHEEL_LEVELS)) - 1) // 557 years

void wheel_init(struct wheel *wheel, uint64_t now_ns)
{
    assert(now_ns / WHEEL_TICK_NS < TICK_MAX);
    *wheel = (struct wheel){
        .next_ns = UINT64_MAX,
        .tick = now_ns / WHEEL_TICK_NS,
        .tick_min = now_ns / WHEEL_TICK_NS + 1,
    };
    for (int level = 0; level < WHEEL_LEVELS; level++)
        for (int slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
}

// The first tick at which the deadline has passed.
static uint64_t tick_of(uint64_t deadline_ns)
{
    return min_u64(deadline_ns / WHEEL_TICK_NS + (deadline_ns % WHEEL_TICK_NS != 0), TICK_MAX);
}

static void place(struct wheel *wheel, struct timer *timer, uint64_t tick)
{
    assert(tick >= wheel->tick);
    uint64_t differing = tick ^ wheel->tick;
    unsigned level = differing == 0 ? 0 : (63 - (unsigned)__builtin_clzll(differing)) / SLOT_BITS;
    assert(level < WHEEL_LEVELS);
    unsigned shift = level * SLOT_BITS;
    unsigned slot = (unsigned)(tick >> shift) & SLOT_MASK;
    list_push_back(&wheel->slots[level][slot], &timer->link);
    wheel->used[level] |= UINT64_C(1) << slot;
    wheel->levels |= BIT(level);
    timer->slot_ns = (tick >> shift << shift) * WHEEL_TICK_NS;
    wheel->next_ns = min_u64(wheel->next_ns, timer->slot_ns);
}

static void unlink_timer(struct wheel *wheel, struct timer *timer)
{
    // The only one in its slot has the slot's head on both sides; the head's address is its number.
    struct list *head = timer->link.next;
    bool last = head == timer->link.prev;
    list_take(&timer->link);
    if (last) {
        ptrdiff_t index = head - &wheel->slots[0][0];
        assert(index >= 0 && index < WHEEL_LEVELS * WHEEL_SLOTS);
        uint64_t *used = &wheel->used[index / WHEEL_SLOTS];
        *used &= ~(UINT64_C(1) << (index % WHEEL_SLOTS));
        if (*used == 0)
            wheel->levels &= ~BIT(index / WHEEL_SLOTS);
        if (timer->slot_ns <= wheel->next_ns)
            wheel->next_ns = 0;
    }
}

void timer_arm(struct wheel *wheel, struct timer *timer, uint64_t deadline_ns)
{
    assert(timer->on_fire != NULL);
    bool linked = timer_is_armed(timer);
    // A deadline in the past moves to the earliest tick that is left. So it is never 0 either.
    if (tick_of(deadline_ns) < wheel->tick_min)
        deadline_ns = wheel->tick_min * WHEEL_TICK_NS;
    uint64_t tick = tick_of(deadline_ns);
    timer->deadline_ns = deadline_ns;
    if (linked && timer->slot_ns <= tick * WHEEL_TICK_NS)
        return;
    if (linked)
        unlink_timer(wheel, timer);
    place(wheel, timer, tick);
}

void timer_stop(struct wheel *wheel, struct timer *timer)
{
    if (!timer_is_armed(timer))
        return;
    timer->deadline_ns = 0;
    unlink_timer(wheel, timer);
}

// The slot that comes up first, and its first tick in `*tick`; NULL if no timer is armed.
static struct list *next_slot(const struct wheel *wheel, uint64_t *tick)
{
    const struct list *first = NULL;
    for (uint32_t levels = wheel->levels; levels != 0; levels &= levels - 1) {
        unsigned level = (unsigned)__builtin_ctz(levels);
        unsigned shift = level * SLOT_BITS;
        uint64_t at = wheel->tick >> shift;
        uint64_t used = wheel->used[level] & (~UINT64_C(0) << (at & SLOT_MASK));
        if (used == 0)
            continue;
        unsigned slot = (unsigned)__builtin_ctzll(used);
        uint64_t start = ((at & ~(uint64_t)SLOT_MASK) | slot) << shift;
        if (first == NULL || start < *tick) {
            first = &wheel->slots[level][slot];
            *tick = start;
        }
    }
    return (struct list *)first;
}

bool wheel_run(struct wheel *wheel, uint64_t now_ns, unsigned max)
{
    uint64_t now = now_ns / WHEEL_TICK_NS;
    // What handlers arm from here on waits for a later run, so that this one ends.
    wheel->tick_min = max_u64(wheel->tick_min, now + 1);
    uint64_t fires = max, moves = fires * MOVES_PER_FIRE;
    uint64_t start = 0;
    if (now_ns < wheel->next_ns) { // most turns
        wheel->tick = max_u64(wheel->tick, now + 1);
        return false;
    }
    for (struct list *slot; (slot = next_slot(wheel, &start)) != NULL && start <= now;) {
        if (fires == 0 || moves == 0)
            return true;
        // A slot that an earlier run left half done may lie behind.
        wheel->tick = max_u64(wheel->tick, start);
        struct timer *timer = container_of(slot->next, struct timer, link);
        unlink_timer(wheel, timer);
        uint64_t tick = tick_of(timer->deadline_ns);
        if (tick > wheel->tick) {
            place(wheel, timer, tick);
            moves--;
            continue;
        }
        timer->deadline_ns = 0;
        fires--;
        timer->on_fire(timer);
    }
    wheel->tick = max_u64(wheel->tick, now + 1);
    return false;
}

uint64_t wheel_next_ns(struct wheel *wheel)
{
    uint64_t start = 0;
    if (wheel->next_ns == 0)
        wheel->next_ns = next_slot(wheel, &start) != NULL ? start * WHEEL_TICK_NS : UINT64_MAX;
    return wheel->next_ns;
}
