// fault.h - guards that a test can switch off, to see its test fail without them.
//
// A guard is a check whose absence would be a hole: GUARD(NAME) is true unless the guard is
// switched off, and stands in the condition that refuses. Guards can be switched off only in builds
// with PENSTOCK_FAULT_POINTS (debug and sanitizers), by the environment variable PENSTOCK_FAULTS (a
// comma-separated list of names of fault.def, read once) or by fault_set(). In every other build
// GUARD() is the constant true and nothing of this exists.
#ifndef PENSTOCK_BASE_FAULT_H
#define PENSTOCK_BASE_FAULT_H

#include "penstock/base/base.h"

enum fault {
#define FAULT_ROW(name, test, text) FAULT_##name,
#include "penstock/base/fault.def"
#undef FAULT_ROW
    FAULT_COUNT
};

#ifdef PENSTOCK_FAULT_POINTS
#define GUARD(name) likely(fault_guard_is_on(FAULT_##name))
bool fault_guard_is_on(enum fault fault);
// Switches a guard off or on again for the whole process, whatever the environment said.
void fault_set(enum fault fault, bool off);
#else
#define GUARD(name) ((void)FAULT_##name, true)
#endif

// The row of a fault, for the tool that tries them all: its name and the test that must go red.
const char *fault_point_name(enum fault fault);
const char *fault_test(enum fault fault);

#endif
