// guard.h - guards that a test can switch off, to see its test fail without them.
//
// A guard is a check whose absence would be a hole: GUARD(NAME) is true unless the guard is
// switched off, and stands in the condition that refuses. Guards can be switched off only in builds
// with PENSTOCK_FAULT_POINTS (debug and sanitizers), by the environment variable PENSTOCK_FAULTS (a
// comma-separated list of names of guard.def, read once) or by guard_set(). In every other build
// GUARD() is the constant true and nothing of this exists.
#ifndef PENSTOCK_BASE_GUARD_H
#define PENSTOCK_BASE_GUARD_H

#include "penstock/base/base.h"

enum guard {
#define GUARD_ROW(name, test, text) GUARD_##name,
#include "penstock/base/guard.def"
#undef GUARD_ROW
    GUARD_COUNT
};

#ifdef PENSTOCK_FAULT_POINTS
#define GUARD(name) likely(guard_is_on(GUARD_##name))
bool guard_is_on(enum guard guard);
// Switches a guard off or on again for the whole process, whatever the environment said.
void guard_set(enum guard guard, bool off);
#else
#define GUARD(name) ((void)GUARD_##name, true)
#endif

#endif
