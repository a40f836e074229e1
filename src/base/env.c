#include "penstock/base/env.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

static uint64_t clock_ns(clockid_t id)
{
    struct timespec now;
    verify(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t system_mono_ns(struct env *env)
{
    (void)env;
    return clock_ns(GUARD(CLOCK_MONOTONIC) ? CLOCK_MONOTONIC : CLOCK_REALTIME);
}

static uint64_t system_wall_ns(struct env *env)
{
    (void)env;
    return clock_ns(CLOCK_REALTIME);
}

static void system_random(struct env *env, void *out, size_t len)
{
    (void)env;
    char *at = out;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        verify(got > 0);
        at += got;
        len -= (size_t)got;
    }
}

struct env *env_system(void)
{
    static struct env system = { system_mono_ns, system_wall_ns, system_random };
    return &system;
}

static uint64_t fake_mono_ns(struct env *env)
{
    return container_of(env, struct env_fake, env)->mono;
}

static uint64_t fake_wall_ns(struct env *env)
{
    return container_of(env, struct env_fake, env)->wall;
}

// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
static uint64_t fake_next(struct env_fake *fake)
{
    uint64_t z = fake->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void fake_random(struct env *env, void *out, size_t len)
{
    struct env_fake *fake = container_of(env, struct env_fake, env);
    char *at = out;
    while (len > 0) {
        uint64_t word = fake_next(fake);
        size_t part = min_size(len, sizeof(word));
        memcpy(at, &word, part);
        at += part;
        len -= part;
    }
}

void env_fake_init(struct env_fake *fake, uint64_t seed)
{
    *fake = (struct env_fake){
        .env = { fake_mono_ns, fake_wall_ns, fake_random },
        .mono = NS_PER_S,
        .wall = UINT64_C(1750000000) * NS_PER_S,
        .state = seed,
    };
}

void env_fake_advance(struct env_fake *fake, uint64_t ns)
{
    fake->mono += ns;
    fake->wall += ns;
}
