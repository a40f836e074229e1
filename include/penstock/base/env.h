// env.h - the only door to clocks and random numbers, so that a test or a simulation can own both.
//
// Times are nanoseconds. The monotonic clock never steps and decides every deadline; the wall clock
// (since 1970, UTC) only labels records. Random bytes are fit for keys.
#ifndef PENSTOCK_BASE_ENV_H
#define PENSTOCK_BASE_ENV_H

#include "penstock/base/base.h"

struct env {
    uint64_t (*mono_ns)(struct env *env);
    uint64_t (*wall_ns)(struct env *env);
    void (*random)(struct env *env, void *out, size_t len);
};

// The machine's own clocks and getrandom(2). One object for all threads; it has no state.
struct env *env_system(void);

static inline uint64_t env_mono_ns(struct env *env)
{
    return env->mono_ns(env);
}
static inline uint64_t env_wall_ns(struct env *env)
{
    return env->wall_ns(env);
}
static inline void env_random(struct env *env, void *out, size_t len)
{
    env->random(env, out, len);
}

// A repeatable world: time moves only when told to, random numbers follow from the seed.
struct env_fake {
    struct env env;
    uint64_t mono, wall;
    uint64_t state;
};
void env_fake_init(struct env_fake *fake, uint64_t seed);
void env_fake_advance(struct env_fake *fake, uint64_t ns);

#endif
