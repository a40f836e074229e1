// fixtures.h - recorded traffic beside the checkout, and a report of what became of each case.
#ifndef PENSTOCK_TEST_FIXTURES_H
#define PENSTOCK_TEST_FIXTURES_H

#include "test.h"

#include <jansson.h>

enum {
    FIXTURE_MAX = 8 * MIB,
    FIXTURE_PATH = 1024,
    REPORT_GROUPS = 16,
    REPORT_REASONS = 8,
};

static char fixtures_root[FIXTURE_PATH];

// The file, and a byte behind it; NULL if it is not there. The caller frees it.
static char *fixture_load(const char *name, size_t *len)
{
    char path[2 * FIXTURE_PATH];
    snprintf(path, sizeof(path), "%s/fixtures/%s", fixtures_root, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    char *text = malloc(FIXTURE_MAX);
    *len = fread(text, 1, FIXTURE_MAX - 1, file);
    text[*len] = '\0';
    fclose(file);
    return text;
}

static inline json_t *fixture_json(const char *name)
{
    size_t len;
    char *text = fixture_load(name, &len);
    json_t *json = text != NULL ? json_loadb(text, len, 0, NULL) : NULL;
    free(text);
    return json;
}

// Runs the cases where the fixtures are: PENSTOCK_SHARED, or `shared` beside the checkout. Where
// they are not it says so, which in CI is a failure.
static int fixtures_main(int argc, char **argv, const struct test_case *cases, size_t count)
{
    char beside[FIXTURE_PATH];
    size_t here = strlen(__FILE__) - strlen("tests/unit/fixtures.h");
    snprintf(beside, sizeof(beside), "%.*s../shared", (int)here, __FILE__);
    const char *const places[] = { getenv("PENSTOCK_SHARED"), beside };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        size_t len;
        if (places[i] == NULL)
            continue;
        snprintf(fixtures_root, sizeof(fixtures_root), "%s", places[i]);
        char *text = fixture_load("manifest.json", &len);
        free(text);
        if (text != NULL)
            return test_main(argc, argv, cases, count);
    }
    const char *ci = getenv("CI");
    bool needed = ci != NULL && strcmp(ci, "true") == 0;
    printf("skipped: no fixtures beside the checkout\n0 passed, %d failed, %d skipped\n", needed,
           !needed);
    return needed ? EXIT_FAILURE : EXIT_SUCCESS;
}

// --- the report ---

enum verdict { VERDICT_PASSED, VERDICT_FAILED, VERDICT_NOT_APPLICABLE };

struct report_group {
    const char *name;
    unsigned counts[VERDICT_NOT_APPLICABLE + 1];
    const char *reasons[REPORT_REASONS];
    unsigned reason_counts[REPORT_REASONS];
};

static struct report_group report_groups[REPORT_GROUPS];

// `name` and `reason` (of what is not applicable) live as long as the program.
static inline void report(const char *name, enum verdict verdict, const char *reason)
{
    struct report_group *group = report_groups;
    while (group->name != NULL && strcmp(group->name, name) != 0)
        group++;
    EXPECT(group < report_groups + REPORT_GROUPS - 1);
    group->name = name;
    group->counts[verdict]++;
    if (verdict != VERDICT_NOT_APPLICABLE)
        return;
    unsigned i = 0;
    while (group->reasons[i] != NULL && strcmp(group->reasons[i], reason) != 0)
        i++;
    EXPECT(i < REPORT_REASONS - 1);
    group->reasons[i] = reason;
    group->reason_counts[i]++;
}

static inline void report_print(void)
{
    for (const struct report_group *group = report_groups; group->name != NULL; group++) {
        unsigned all = group->counts[0] + group->counts[1] + group->counts[2];
        printf("%-20s %4u cases, %4u passed, %u failed, %u not applicable\n", group->name, all,
               group->counts[VERDICT_PASSED], group->counts[VERDICT_FAILED],
               group->counts[VERDICT_NOT_APPLICABLE]);
        for (unsigned i = 0; group->reasons[i] != NULL; i++)
            printf("%25u: %s\n", group->reason_counts[i], group->reasons[i]);
    }
}

#endif
