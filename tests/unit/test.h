// test.h - the whole test harness: named cases, checks that go on after a failure, one closing
// line.
#ifndef PENSTOCK_TEST_H
#define PENSTOCK_TEST_H

#include "penstock/base/base.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int test_failures;
static const char *volatile test_running;

#define EXPECT(cond)                                                            \
    do {                                                                        \
        if (!(cond)) {                                                          \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #cond); \
            test_failures++;                                                    \
        }                                                                       \
    } while (0)

#define EXPECT_EQ(a, b)                                                                        \
    do {                                                                                       \
        long long test_a_ = (long long)(a), test_b_ = (long long)(b);                          \
        if (test_a_ != test_b_) {                                                              \
            fprintf(stderr, "%s:%d: %s is %lld, expected %s = %lld\n", __FILE__, __LINE__, #a, \
                    test_a_, #b, test_b_);                                                     \
            test_failures++;                                                                   \
        }                                                                                      \
    } while (0)

#define EXPECT_SPAN(got, want)                                                                    \
    do {                                                                                          \
        struct span test_got_ = (got), test_want_ = span_str(want);                               \
        if (!span_eq(test_got_, test_want_)) {                                                    \
            fprintf(stderr, "%s:%d: %s is \"%.*s\", expected \"%s\"\n", __FILE__, __LINE__, #got, \
                    (int)test_got_.len, test_got_.ptr, test_want_.ptr);                           \
            test_failures++;                                                                      \
        }                                                                                         \
    } while (0)

struct test_case {
    const char *name;
    void (*run)(void);
};

// An assertion of the product ends the process, and with it the case that led there.
static inline void test_on_abort(int number)
{
    (void)number;
    static const char text[] = "FAILED ";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    ignored = write(STDERR_FILENO, test_running, strlen(test_running));
    ignored = write(STDERR_FILENO, "\n", 1);
    (void)ignored;
}

// Runs every case, or those whose name contains the first argument.
static inline int test_main(int argc, char **argv, const struct test_case *cases, size_t count)
{
    int passed = 0, failed_count = 0;
    const struct sigaction action = { .sa_handler = test_on_abort, .sa_flags = (int)SA_RESETHAND };
    sigaction(SIGABRT, &action, NULL);
    for (size_t i = 0; i < count; i++) {
        if (argc > 1 && strstr(cases[i].name, argv[1]) == NULL)
            continue;
        test_failures = 0;
        test_running = cases[i].name;
        cases[i].run();
        if (test_failures != 0)
            fprintf(stderr, "FAILED %s\n", cases[i].name);
        *(test_failures == 0 ? &passed : &failed_count) += 1;
    }
    printf("%d passed, %d failed\n", passed, failed_count);
    return failed_count == 0 && passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define TEST_MAIN(...)                                           \
    int main(int argc, char **argv)                              \
    {                                                            \
        static const struct test_case cases[] = { __VA_ARGS__ }; \
        return test_main(argc, argv, cases, ARRAY_LEN(cases));   \
    }
#define TEST(function)      \
    {                       \
#function, function \
    }

#endif
