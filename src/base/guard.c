#include "penstock/base/guard.h"

#ifdef PENSTOCK_FAULT_POINTS

#include "penstock/base/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static const char *const names[GUARD_COUNT] = {
#define GUARD_ROW(name, test, text) [GUARD_##name] = #name,
#include "penstock/base/guard.def"
#undef GUARD_ROW
};
static atomic_bool guard_off[GUARD_COUNT];
static pthread_once_t environment_read = PTHREAD_ONCE_INIT;

static bool is_listed(struct span list, struct span name)
{
    while (list.len > 0) {
        size_t end = span_find(list, ',');
        if (span_eq(span_upto(list, end), name))
            return true;
        list = span_from(list, min_size(end + 1, list.len));
    }
    return false;
}

static void read_environment(void)
{
    const char *list = getenv("PENSTOCK_FAULTS");
    if (list == NULL)
        return;
    for (int i = 0; i < GUARD_COUNT; i++)
        if (is_listed(span_str(list), span_str(names[i])))
            atomic_store_explicit(&guard_off[i], true, memory_order_relaxed);
}

bool guard_is_on(enum guard guard)
{
    assert(guard < GUARD_COUNT);
    verify(pthread_once(&environment_read, read_environment) == 0);
    return !atomic_load_explicit(&guard_off[guard], memory_order_relaxed);
}

void guard_set(enum guard guard, bool off)
{
    assert(guard < GUARD_COUNT);
    verify(pthread_once(&environment_read, read_environment) == 0);
    atomic_store_explicit(&guard_off[guard], off, memory_order_relaxed);
}

#endif
