// `penstock config`: looking at a configuration without running it.
#include "cli.h"
#include "penstock/base/check.h"

#include <stdlib.h>

static struct config *load(const char *path, struct vault *vault, bool json, bool quiet)
{
    static struct problems problems;
    struct text source = { 0 }, report = { 0 };
    problems_init(&problems);
    struct config *cfg =
        path != NULL ? config_load_file(path, vault, config_world_system(), &problems, &source)
                     : config_load(SPAN(""), "defaults", vault, config_world_system(), &problems);
    if (json && !quiet) {
        json_t *list = problems_json(&problems);
        cli_json(list);
        json_decref(list);
    } else if (problems.count > 0 && (!quiet || cfg == NULL)) {
        problems_render(&problems, path != NULL ? path : "defaults",
                        span_of(source.ptr, source.len), &report);
        fputs(report.ptr, stderr);
    }
    text_fini(&report);
    text_fini(&source);
    return cfg;
}

// Options and words of a verb; false with *status set when there is nothing more to do.
static bool begin(struct cli *cli, int argc, char **argv, int words, int *status)
{
    *status = cli_options(cli, argc, argv, NULL, words, words);
    if (*status == EXIT_DONE && cli->help)
        *status = cmd_help("config");
    else if (*status == EXIT_DONE)
        return true;
    return false;
}

int cmd_config_check(int argc, char **argv)
{
    struct cli cli;
    int status;
    if (!begin(&cli, argc, argv, 0, &status))
        return status;
    if (cli.config_path == NULL) {
        fprintf(stderr, "usage: penstock config check -c FILE\n");
        return EXIT_USAGE;
    }
    struct vault *vault;
    if (failed(vault_new(&vault)))
        return EXIT_FAILED;
    struct config *cfg = load(cli.config_path, vault, cli.json, false);
    status = cfg != NULL ? EXIT_DONE : EXIT_INVALID;
    if (cfg != NULL && !cli.json)
        printf("%s is valid\n", cli.config_path);
    config_free(&cfg);
    vault_free(&vault);
    return status;
}

int cmd_config_show(int argc, char **argv)
{
    struct cli cli;
    int status;
    if (!begin(&cli, argc, argv, 0, &status))
        return status;
    struct vault *vault;
    if (failed(vault_new(&vault)))
        return EXIT_FAILED;
    struct config *cfg = load(cli.config_path, vault, false, true);
    status = cfg != NULL ? EXIT_DONE : EXIT_INVALID;
    if (cfg != NULL) {
        struct text text = { 0 };
        config_show(cfg, &text);
        fputs(text.ptr, stdout);
        text_fini(&text);
    }
    config_free(&cfg);
    vault_free(&vault);
    return status;
}

static void on_change(void *arg, const struct field *field, bool live)
{
    const struct config **both = arg;
    struct text before = { 0 }, after = { 0 };
    field_write(&both[0]->record, field, &before);
    field_write(&both[1]->record, field, &after);
    printf("%s: %s -> %s%s\n", field->name, text_span(&before).ptr != NULL ? before.ptr : "",
           text_span(&after).ptr != NULL ? after.ptr : "", live ? "" : " (at the next start)");
    text_fini(&before);
    text_fini(&after);
    both[2] = both[0]; // something differs
}

int cmd_config_diff(int argc, char **argv)
{
    struct cli cli;
    int status;
    if (!begin(&cli, argc, argv, 1, &status))
        return status;
    struct vault *vault;
    if (failed(vault_new(&vault)))
        return EXIT_FAILED;
    struct config *a = load(cli.config_path, vault, false, true);
    struct config *b = a != NULL ? load(cli.words[0], vault, false, true) : NULL;
    const struct config *both[] = { a, b, NULL };
    status = b == NULL ? EXIT_INVALID : EXIT_DONE;
    if (b != NULL)
        config_diff(a, b, on_change, both);
    if (both[2] != NULL)
        status = EXIT_PROBLEMS;
    config_free(&a);
    config_free(&b);
    vault_free(&vault);
    return status;
}

int cmd_config_explain(int argc, char **argv)
{
    struct cli cli;
    int status;
    if (!begin(&cli, argc, argv, 1, &status))
        return status;
    struct text text = { 0 };
    const bool known = config_explain(span_str(cli.words[0]), &text);
    fputs(text.ptr != NULL ? text.ptr : "", known ? stdout : stderr);
    if (text.len > 0 && text.ptr[text.len - 1] != '\n')
        fputc('\n', known ? stdout : stderr);
    text_fini(&text);
    return known ? EXIT_DONE : EXIT_NOT_FOUND;
}

int cmd_config_schema(int argc, char **argv)
{
    struct cli cli;
    int status;
    if (!begin(&cli, argc, argv, 0, &status))
        return status;
    json_t *schema = config_schema();
    cli_json(schema);
    json_decref(schema);
    return EXIT_DONE;
}

int cmd_config_env(int argc, char **argv)
{
    struct cli cli;
    int status;
    if (!begin(&cli, argc, argv, 0, &status))
        return status;
    struct text text = { 0 };
    config_env_list(&text);
    fputs(text.ptr, stdout);
    text_fini(&text);
    return EXIT_DONE;
}
