// uring_rig.h - an io_uring backend with the means of some kernel, for the tests of it.
#ifndef PENSTOCK_URING_RIG_H
#define PENSTOCK_URING_RIG_H

#include "io/uring.h"
#include "penstock/base/check.h"
#include "test.h"

#include <errno.h>

enum { WAIT_MS_MAX = 10000 };

// The kernels we care for, from this one downwards.
static const struct variant {
    const char *name;
    struct uring_limits limits;
} variants[] = {
    { "6.17", { 0 } },
    { "6.1", { .recv_less = 1, .no_iowait_flag = true, .no_abs_timer = true } },
    { "6.0",
      { .step = 1,
        .recv_less = 1,
        .no_iowait_flag = true,
        .no_abs_timer = true,
        .no_quiet_send = true } },
    { "5.19",
      { .step = 2,
        .recv_less = 2,
        .no_iowait_flag = true,
        .no_abs_timer = true,
        .no_quiet_send = true } },
    { "nothing", { 3, 2, true, true, true, true, true } },
};

struct rig {
    struct io *io;
    struct env *env;
    const char *variant;
};

static inline void rig_open(struct rig *rig, const struct variant *variant, struct io_config config)
{
    char why[IO_NOTE_MAX] = "";
    *rig = (struct rig){ .env = env_system(), .variant = variant->name };
    struct err err =
        uring_new(&rig->io, &config, &variant->limits, rig->env, (struct why){ why, sizeof(why) });
    if (failed(err))
        fprintf(stderr, "%s: %s\n", variant->name, why);
    verify(!failed(err));
}

static inline struct uring *rig_uring(struct rig *rig)
{
    return container_of(rig->io, struct uring, io);
}

static inline void rig_close(struct rig *rig)
{
    io_free(&rig->io);
    EXPECT(rig->io == NULL);
}

static inline uint64_t now(struct rig *rig)
{
    return env_mono_ns(rig->env);
}

#define turn_until(rig, cond)                                                         \
    do {                                                                              \
        uint64_t end_ = now(rig) + WAIT_MS_MAX * NS_PER_MS;                           \
        while (!(cond) && now(rig) < end_)                                            \
            io_turn((rig)->io, now(rig) + 5 * NS_PER_MS);                             \
        if (!(cond)) {                                                                \
            fprintf(stderr, "%s:%d: %s: waited in vain for %s\n", __FILE__, __LINE__, \
                    (rig)->variant, #cond);                                           \
            test_failures++;                                                          \
        }                                                                             \
    } while (0)

#endif
