// Runs seeds. Without arguments: SEEDS_DEFAULT of them, or PENSTOCK_SIM_SEEDS, from
// PENSTOCK_SIM_FROM on. With a number as argument: that seed alone, with a trace on standard error.
#include "relay_sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SEEDS_DEFAULT = 300, REPEAT_EVERY = 16, FAILED_MAX = 10 };

static volatile uint64_t seed_now;

static void tell_again(uint64_t seed)
{
    fprintf(stderr, "again, alone, with a trace: relay_sim %llu\n", (unsigned long long)seed);
}

// An assertion of the product ends the process: which seed led to it must still be told.
static void on_abort(int signal)
{
    (void)signal;
    char text[96];
    size_t len =
        fit_printf(text, sizeof(text), "seed %llu ended the process; again: relay_sim %llu\n",
                   (unsigned long long)seed_now, (unsigned long long)seed_now);
    ssize_t ignored = write(STDERR_FILENO, text, len);
    (void)ignored;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND };
    sigaction(SIGABRT, &action, NULL);
    if (argc > 1) {
        seed_now = strtoull(argv[1], NULL, 10);
        struct sim_report report = world_run(seed_now, argc == 2);
        printf("seed %llu: %u violations, trace %016llx\n", (unsigned long long)seed_now,
               report.violations, (unsigned long long)report.trace);
        return report.violations == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    uint64_t from = number_of("PENSTOCK_SIM_FROM", 1);
    uint64_t count = number_of("PENSTOCK_SIM_SEEDS", SEEDS_DEFAULT);
    struct sim_report sum = { 0 };
    unsigned failed_count = 0;
    for (uint64_t seed = from; seed < from + count && failed_count < FAILED_MAX; seed++) {
        seed_now = seed;
        struct sim_report report = world_run(seed, false);
        bool same = true;
        if (seed % REPEAT_EVERY == 0)
            same = world_run(seed, false).trace == report.trace;
        if (!same)
            fprintf(stderr, "seed %llu: two runs differ\n", (unsigned long long)seed);
        if (!same || report.violations > 0) {
            failed_count++;
            tell_again(seed);
        }
        for (unsigned i = 0; i < ARRAY_LEN(sum.fates); i++)
            sum.fates[i] += report.fates[i];
        sum.attempts += report.attempts;
        sum.faults += report.faults;
        sum.converted += report.converted;
        sum.passed += report.passed;
    }
    printf("%llu seeds, %u failed; answers: %u whole, %u errors, %u broken, %u cut; "
           "%u without one, %u not sent; %u attempts, %u of them ill, %u converted; "
           "%u connections passed on\n",
           (unsigned long long)count, failed_count, sum.fates[FATE_WHOLE], sum.fates[FATE_ERROR],
           sum.fates[FATE_BROKEN], sum.fates[FATE_CUT], sum.fates[FATE_NOTHING],
           sum.fates[FATE_UNSENT], sum.attempts, sum.faults, sum.converted, sum.passed);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
