#include "penstock/base/fault.h"

#include "penstock/base/check.h"

static const struct {
    const char *name, *test;
} rows[FAULT_COUNT] = {
#define FAULT_ROW(name, test, text) [FAULT_##name] = { #name, test },
#include "penstock/base/fault.def"
#undef FAULT_ROW
};

const char *fault_point_name(enum fault fault)
{
    assert(fault < FAULT_COUNT);
    return rows[fault].name;
}

const char *fault_test(enum fault fault)
{
    assert(fault < FAULT_COUNT);
    return rows[fault].test;
}

#ifdef PENSTOCK_FAULT_POINTS

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_bool guard_off[FAULT_COUNT];
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
    for (int i = 0; i < FAULT_COUNT; i++)
        if (is_listed(span_str(list), span_str(rows[i].name)))
            atomic_store_explicit(&guard_off[i], true, memory_order_relaxed);
}

bool fault_guard_is_on(enum fault fault)
{
    assert(fault < FAULT_COUNT);
    verify(pthread_once(&environment_read, read_environment) == 0);
    return !atomic_load_explicit(&guard_off[fault], memory_order_relaxed);
}

void fault_set(enum fault fault, bool off)
{
    assert(fault < FAULT_COUNT);
    verify(pthread_once(&environment_read, read_environment) == 0);
    atomic_store_explicit(&guard_off[fault], off, memory_order_relaxed);
}

#endif
