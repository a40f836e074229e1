#include "penstock/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Thread_local check_describe_fn *thread_describe;
static _Thread_local const void *thread_describe_arg;

void check_describe(check_describe_fn *describe, const void *arg)
{
    thread_describe = describe;
    thread_describe_arg = arg;
}

static void report(const char *text, size_t len)
{
    // Nothing can be done about a failing standard error while the process is dying.
    ssize_t ignored = write(STDERR_FILENO, text, len);
    (void)ignored;
}

_Noreturn void check_failed(const char *kind, const char *what, const char *file, int line)
{
    char text[1024];
    int len =
        snprintf(text, sizeof(text), "penstock: %s failed: %s at %s:%d\n", kind, what, file, line);
    report(text, min_size((size_t)len, sizeof(text) - 1));
    check_describe_fn *describe = thread_describe;
    thread_describe = NULL; // a failure inside the report must not report again
    if (describe != NULL)
        report(text, describe(thread_describe_arg, text, sizeof(text)));
    abort();
}
