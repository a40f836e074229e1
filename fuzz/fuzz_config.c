// Any bytes as a configuration file: no crash, no leak, an answer that says what is wrong, and a
// configuration that shows itself as a file which loads to the same.
#include "penstock/base/check.h"
#include "penstock/ctl/config.h"

#include <errno.h>
#include <stdlib.h>

static const char *fuzz_env(struct config_world *world, const char *name)
{
    (void)world;
    return name[0] == 'U' ? NULL : "v1";
}

static const char *fuzz_env_at(struct config_world *world, size_t i)
{
    (void)world, (void)i;
    return NULL;
}

static int fuzz_read(struct config_world *world, const char *path, size_t max, struct text *out,
                     struct config_stat *stat)
{
    (void)world, (void)max, (void)stat;
    if (strlen(path) % 2 == 0)
        return ENOENT;
    text_add(out, SPAN("from a file\n"));
    return 0;
}

static struct problems problems;

static void check_report(struct span source)
{
    struct text report = { 0 };
    problems_render(&problems, "f", source, &report);
    assert(report.len > 0);
    json_t *json = problems_json(&problems);
    assert(json_array_size(json) == problems.count);
    json_decref(json);
    text_fini(&report);
    for (uint32_t i = 0; i < problems.count; i++)
        assert(problem_about(problems.items[i].code) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config_world world = { fuzz_env, fuzz_env_at, fuzz_read, 1000 };
    const struct span source = span_of(data, size);
    struct vault *vault;
    verify(!failed(vault_new(&vault)));
    problems_init(&problems);
    struct config *cfg = config_load(source, "dir/f", vault, &world, &problems);
    assert((cfg == NULL) == (problems.error_count > 0));
    check_report(source);
    if (cfg != NULL) {
        struct text shown = { 0 };
        config_show(cfg, &shown);
        problems_init(&problems);
        struct config *again = config_load(text_span(&shown), "f", vault, &world, &problems);
        assert(again != NULL);
        assert(record_eq(&cfg->record, &again->record));
        config_free(&again);
        text_fini(&shown);
    }
    config_free(&cfg);
    vault_free(&vault); // fails if a secret is left
    return 0;
}
