// check.h - assertions that stay on, and the report of a failed one.
//
// assert() states what must hold inside the program; input from a peer never reaches one. verify()
// is for what the kernel or a library promises. debug_assert() is for checks too dear for
// production. A failure writes the site and whatever check_describe() was given to standard error,
// and aborts.
#ifndef PENSTOCK_BASE_CHECK_H
#define PENSTOCK_BASE_CHECK_H

#include "penstock/base/base.h"

#undef assert
#define assert(cond) (likely(cond) ? (void)0 : check_failed("assertion", #cond, __FILE__, __LINE__))
#define verify(cond) (likely(cond) ? (void)0 : check_failed("promise", #cond, __FILE__, __LINE__))
#ifdef PENSTOCK_DEBUG
#define debug_assert(cond) assert(cond)
#else
#define debug_assert(cond) ((void)sizeof(cond))
#endif

// A place that cannot be reached; the text says why.
#define bug(why) check_failed("bug", why, __FILE__, __LINE__)

cold _Noreturn void check_failed(const char *kind, const char *what, const char *file, int line);

// What this thread is at, for the report: `describe` writes a text without secrets into `out` and
// returns its length. NULL takes it back. The argument must outlive the registration.
typedef size_t check_describe_fn(const void *arg, char *out, size_t cap);
void check_describe(check_describe_fn *describe, const void *arg);

#endif
