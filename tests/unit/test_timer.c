#include "penstock/io/timer.h"

#include "penstock/base/check.h"
#include "penstock/base/env.h"
#include "test.h"

enum { TIMER_COUNT = 200, STEPS = 20000, SEEDS = 12 };

// What a naive model knows of each timer, next to the real one.
struct model_timer {
    struct timer timer;
    struct model *model;
    bool armed;
    uint64_t deadline_ns;
    uint64_t tick; // when it has to have fired at the latest
    unsigned fired;
};

struct model {
    struct env_fake fake;
    struct wheel wheel;
    uint64_t tick_min; // what is armed now may be left to this tick
    bool running;
    unsigned fires_left; // of the run under way
    struct model_timer timers[TIMER_COUNT];
};

static uint64_t model_random(struct model *model, uint64_t below)
{
    uint64_t word;
    env_random(&model->fake.env, &word, sizeof(word));
    return word % below;
}

static uint64_t ceil_tick(uint64_t ns)
{
    return ns / WHEEL_TICK_NS + (ns % WHEEL_TICK_NS != 0);
}

// Deadlines of every order of magnitude, in the past and exactly on a tick too.
static uint64_t model_deadline(struct model *model)
{
    static const uint64_t spans[] = {
        WHEEL_TICK_NS,   100 * NS_PER_MS,  2 * NS_PER_S,       60 * NS_PER_S,
        3600 * NS_PER_S, 86400 * NS_PER_S, 9000000 * NS_PER_S, 4000000000 * NS_PER_S,
    };
    uint64_t now = model->fake.mono;
    uint64_t at = now + model_random(model, spans[model_random(model, ARRAY_LEN(spans))]);
    switch (model_random(model, 8)) {
    case 0: return now - min_u64(now, model_random(model, NS_PER_S));
    case 1: return at / WHEEL_TICK_NS * WHEEL_TICK_NS;
    case 2: return now;
    default: return at;
    }
}

static void model_arm(struct model *model, struct model_timer *each)
{
    uint64_t deadline_ns = model_deadline(model);
    timer_arm(&model->wheel, &each->timer, deadline_ns);
    each->armed = true;
    each->deadline_ns = deadline_ns;
    each->tick = max_u64(ceil_tick(deadline_ns), model->tick_min);
}

static void model_stop(struct model *model, struct model_timer *each)
{
    timer_stop(&model->wheel, &each->timer);
    each->armed = false;
}

static void on_fire(struct timer *timer)
{
    struct model_timer *each = container_of(timer, struct model_timer, timer);
    struct model *model = each->model;
    EXPECT(model->running);
    EXPECT(each->armed);
    EXPECT(!timer_is_armed(timer));
    EXPECT(each->deadline_ns <= model->fake.mono); // never early
    EXPECT(model->fires_left > 0);
    model->fires_left--;
    each->armed = false;
    each->fired++;
    struct model_timer *other = &model->timers[model_random(model, TIMER_COUNT)];
    switch (model_random(model, 6)) {
    case 0: model_arm(model, each); break;
    case 1: model_arm(model, other); break;
    case 2: model_stop(model, other); break;
    default: break;
    }
}

static void model_run(struct model *model)
{
    uint64_t now_tick = model->fake.mono / WHEEL_TICK_NS;
    unsigned max = model_random(model, 3) == 0 ? 1 + (unsigned)model_random(model, 3) : 100000;
    model->tick_min = max_u64(model->tick_min, now_tick + 1);
    model->fires_left = max;
    model->running = true;
    bool left = wheel_run(&model->wheel, model->fake.mono, max);
    model->running = false;
    if (left) {
        EXPECT(wheel_next_ns(&model->wheel) <= model->fake.mono); // the loop must not sleep
        return;
    }
    for (size_t i = 0; i < TIMER_COUNT; i++)
        EXPECT(!model->timers[i].armed || model->timers[i].tick > now_tick);
    EXPECT(wheel_next_ns(&model->wheel) > model->fake.mono); // nor spin
}

static void model_check_next(struct model *model)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < TIMER_COUNT; i++) {
        EXPECT_EQ(timer_is_armed(&model->timers[i].timer), model->timers[i].armed);
        if (model->timers[i].armed)
            first = min_u64(first, model->timers[i].tick * WHEEL_TICK_NS);
    }
    EXPECT((wheel_next_ns(&model->wheel) == UINT64_MAX) == (first == UINT64_MAX));
    EXPECT(wheel_next_ns(&model->wheel) <= first);
}

static void model_step(struct model *model)
{
    struct model_timer *each = &model->timers[model_random(model, TIMER_COUNT)];
    switch (model_random(model, 10)) {
    case 0: model_stop(model, each); break;
    case 1: env_fake_advance(&model->fake, model_random(model, 3 * WHEEL_TICK_NS)); break;
    case 2: env_fake_advance(&model->fake, model_random(model, NS_PER_S)); break;
    case 3:
        if (model_random(model, 50) == 0)
            env_fake_advance(&model->fake, model_random(model, 5000000 * NS_PER_S));
        break;
    case 4: // as the loop does: sleep exactly until the wheel asks for it
        if (wheel_next_ns(&model->wheel) != UINT64_MAX &&
            wheel_next_ns(&model->wheel) > model->fake.mono)
            env_fake_advance(&model->fake, wheel_next_ns(&model->wheel) - model->fake.mono);
        break;
    case 5:
    case 6: model_run(model); break;
    default: model_arm(model, each); break;
    }
}

static void test_agrees_with_a_naive_model(void)
{
    static struct model model;
    unsigned fired = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        env_fake_init(&model.fake, seed);
        env_fake_advance(&model.fake, model_random(&model, 10000000 * NS_PER_S));
        wheel_init(&model.wheel, model.fake.mono);
        model.tick_min = model.fake.mono / WHEEL_TICK_NS + 1;
        for (size_t i = 0; i < TIMER_COUNT; i++)
            model.timers[i] =
                (struct model_timer){ .timer.on_fire = on_fire, .model = &model, .fired = 0 };
        for (int step = 0; step < STEPS && test_failures == 0; step++) {
            model_step(&model);
            model_check_next(&model);
        }
        for (size_t i = 0; i < TIMER_COUNT; i++)
            fired += model.timers[i].fired;
        if (test_failures != 0)
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    }
    EXPECT(fired > SEEDS * STEPS / 10); // the model was exercised, not merely agreed with
}

struct probe {
    struct timer timer;
    unsigned fired;
    uint64_t rearm_ns;
    struct wheel *wheel;
};

static uint64_t probe_order[8];
static unsigned probe_order_count;

static void on_probe(struct timer *timer)
{
    struct probe *probe = container_of(timer, struct probe, timer);
    probe->fired++;
    if (probe_order_count < ARRAY_LEN(probe_order))
        probe_order[probe_order_count++] = (uint64_t)(uintptr_t)probe;
    if (probe->rearm_ns != 0)
        timer_arm(probe->wheel, timer, probe->rearm_ns);
}

static void test_fires_at_most_one_tick_late(void)
{
    struct wheel wheel;
    struct probe probe = { .timer.on_fire = on_probe };
    wheel_init(&wheel, 0);
    EXPECT_EQ(wheel_next_ns(&wheel), UINT64_MAX);
    uint64_t deadline = 10 * WHEEL_TICK_NS + 1;
    timer_arm(&wheel, &probe.timer, deadline);
    EXPECT_EQ(wheel_next_ns(&wheel), 11 * WHEEL_TICK_NS);
    EXPECT(!wheel_run(&wheel, deadline - 1, 10));
    EXPECT(!wheel_run(&wheel, 11 * WHEEL_TICK_NS - 1, 10));
    EXPECT_EQ(probe.fired, 0);
    EXPECT(!wheel_run(&wheel, 11 * WHEEL_TICK_NS, 10));
    EXPECT_EQ(probe.fired, 1);
    EXPECT(!timer_is_armed(&probe.timer));
    EXPECT_EQ(wheel_next_ns(&wheel), UINT64_MAX);
}

static void test_stop_is_final_and_harmless(void)
{
    struct wheel wheel;
    struct probe probe = { .timer.on_fire = on_probe };
    wheel_init(&wheel, NS_PER_S);
    timer_stop(&wheel, &probe.timer); // never armed
    timer_arm(&wheel, &probe.timer, 2 * NS_PER_S);
    timer_stop(&wheel, &probe.timer);
    timer_stop(&wheel, &probe.timer);
    EXPECT_EQ(wheel_next_ns(&wheel), UINT64_MAX);
    EXPECT(!wheel_run(&wheel, 10 * NS_PER_S, 10));
    EXPECT_EQ(probe.fired, 0);
}

static void test_pushing_away_costs_no_move(void)
{
    struct wheel wheel;
    struct probe probe = { .timer.on_fire = on_probe };
    wheel_init(&wheel, 0);
    timer_arm(&wheel, &probe.timer, NS_PER_S);
    struct list *next = probe.timer.link.next;
    uint64_t slot_ns = probe.timer.slot_ns;
    for (uint64_t at = 1; at < 1000; at++)
        timer_arm(&wheel, &probe.timer, NS_PER_S + at * NS_PER_MS);
    EXPECT(probe.timer.link.next == next);
    EXPECT_EQ(probe.timer.slot_ns, slot_ns);
    EXPECT(!wheel_run(&wheel, NS_PER_S + 998 * NS_PER_MS, 10));
    EXPECT_EQ(probe.fired, 0);
    EXPECT(!wheel_run(&wheel, NS_PER_S + 999 * NS_PER_MS + WHEEL_TICK_NS, 10));
    EXPECT_EQ(probe.fired, 1);
}

static void test_pulling_nearer_takes_effect(void)
{
    struct wheel wheel;
    struct probe probe = { .timer.on_fire = on_probe };
    wheel_init(&wheel, 0);
    timer_arm(&wheel, &probe.timer, 600 * NS_PER_S);
    timer_arm(&wheel, &probe.timer, 20 * NS_PER_MS);
    EXPECT_EQ(wheel_next_ns(&wheel), 20 * NS_PER_MS);
    EXPECT(!wheel_run(&wheel, 20 * NS_PER_MS, 10));
    EXPECT_EQ(probe.fired, 1);
}

static void test_one_far_timer_wakes_once_a_level(void)
{
    struct wheel wheel;
    struct probe probe = { .timer.on_fire = on_probe };
    uint64_t now = UINT64_C(123456789) * NS_PER_S;
    wheel_init(&wheel, now);
    uint64_t deadline = now + UINT64_C(987654321) * NS_PER_S;
    timer_arm(&wheel, &probe.timer, deadline);
    unsigned wakes = 0;
    while (probe.fired == 0 && wakes < 100) {
        uint64_t next = wheel_next_ns(&wheel);
        EXPECT(next > now);
        now = next;
        EXPECT(!wheel_run(&wheel, now, 10));
        wakes++;
    }
    EXPECT_EQ(probe.fired, 1);
    EXPECT(now >= deadline && now < deadline + WHEEL_TICK_NS);
    EXPECT(wakes <= WHEEL_LEVELS);
}

static void test_no_deadline_is_too_far(void)
{
    struct wheel wheel;
    struct probe probe = { .timer.on_fire = on_probe };
    wheel_init(&wheel, 0);
    timer_arm(&wheel, &probe.timer, UINT64_MAX);
    EXPECT(timer_is_armed(&probe.timer));
    EXPECT(!wheel_run(&wheel, UINT64_C(9000000000) * NS_PER_S, 10)); // 285 years
    EXPECT_EQ(probe.fired, 0);
    timer_stop(&wheel, &probe.timer);
    EXPECT_EQ(wheel_next_ns(&wheel), UINT64_MAX);
    timer_arm(&wheel, &probe.timer, 0); // long past, and not "stopped"
    EXPECT(timer_is_armed(&probe.timer));
    EXPECT(!wheel_run(&wheel, UINT64_C(9000000001) * NS_PER_S, 10));
    EXPECT_EQ(probe.fired, 1);
}

static void test_order_and_the_limit_of_one_run(void)
{
    struct wheel wheel;
    struct probe probes[6];
    static const uint64_t at_ms[6] = { 70000, 4, 300, 2000, 300, 20000000 };
    static const int want[6] = { 1, 2, 4, 3, 0, 5 };
    wheel_init(&wheel, 0);
    probe_order_count = 0;
    for (int i = 0; i < 6; i++) {
        probes[i] = (struct probe){ .timer.on_fire = on_probe };
        timer_arm(&wheel, &probes[i].timer, at_ms[i] * NS_PER_MS);
    }
    uint64_t now = 30000 * NS_PER_S; // one long jump over all of them
    unsigned runs = 1;
    while (wheel_run(&wheel, now, 1))
        runs++;
    EXPECT_EQ(probe_order_count, 6);
    EXPECT(runs >= 6);
    for (int i = 0; i < 6; i++)
        EXPECT(probe_order[i] == (uint64_t)(uintptr_t)&probes[want[i]]);
}

static void test_a_timer_that_rearms_itself_in_the_past_does_not_hold_the_run(void)
{
    struct wheel wheel;
    struct probe probe = { .timer.on_fire = on_probe, .rearm_ns = 1, .wheel = &wheel };
    wheel_init(&wheel, 0);
    timer_arm(&wheel, &probe.timer, NS_PER_S);
    EXPECT(!wheel_run(&wheel, 100 * NS_PER_S, 1000));
    EXPECT_EQ(probe.fired, 1);
    EXPECT_EQ(wheel_next_ns(&wheel), 100 * NS_PER_S + WHEEL_TICK_NS);
    EXPECT(!wheel_run(&wheel, 100 * NS_PER_S + WHEEL_TICK_NS, 1000));
    EXPECT_EQ(probe.fired, 2);
}

// Many timers pushed far away come up in one slot: the moving is spread over several runs.
static void test_moving_is_bounded_too(void)
{
    enum { MANY = 1000 };
    static struct wheel wheel;
    static struct probe probes[MANY];
    wheel_init(&wheel, 0);
    for (int i = 0; i < MANY; i++) {
        probes[i] = (struct probe){ .timer.on_fire = on_probe };
        timer_arm(&wheel, &probes[i].timer, NS_PER_S);
        timer_arm(&wheel, &probes[i].timer, 5 * NS_PER_S + (uint64_t)i);
    }
    unsigned runs = 1;
    while (wheel_run(&wheel, NS_PER_S, 10))
        runs++;
    EXPECT(runs > 3 && runs < 12);
    runs = 1;
    while (wheel_run(&wheel, 5 * NS_PER_S - 1, 10))
        runs++;
    EXPECT(runs > 3 && runs < 12);
    for (int i = 0; i < MANY; i++)
        EXPECT_EQ(probes[i].fired, 0);
    EXPECT(!wheel_run(&wheel, 5 * NS_PER_S + WHEEL_TICK_NS, MANY));
    for (int i = 0; i < MANY; i++)
        EXPECT_EQ(probes[i].fired, 1);
}

TEST_MAIN(TEST(test_agrees_with_a_naive_model), TEST(test_fires_at_most_one_tick_late),
          TEST(test_stop_is_final_and_harmless), TEST(test_pushing_away_costs_no_move),
          TEST(test_pulling_nearer_takes_effect), TEST(test_one_far_timer_wakes_once_a_level),
          TEST(test_no_deadline_is_too_far), TEST(test_order_and_the_limit_of_one_run),
          TEST(test_a_timer_that_rearms_itself_in_the_past_does_not_hold_the_run),
          TEST(test_moving_is_bounded_too))
