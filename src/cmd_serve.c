// `penstock serve`, `config check`, `io check`, `version`.
#include "commands.h"
#include "penstock/net/tls.h"
#include "process.h"

#include <stdio.h>

static bool config_option(int argc, char **argv, const char **path)
{
    *path = NULL;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-c") != 0 || i + 1 == argc)
            return false;
        *path = argv[++i];
    }
    return true;
}

int cmd_serve(int argc, char **argv)
{
    static struct process process; // large, and there is one
    const char *path;
    if (!config_option(argc, argv, &path)) {
        fprintf(stderr, "usage: penstock serve [-c FILE]\n");
        return EXIT_USAGE;
    }
    return process_run(&process, path);
}

int cmd_config_check(int argc, char **argv)
{
    static struct problems problems;
    const char *path;
    if (!config_option(argc, argv, &path) || path == NULL) {
        fprintf(stderr, "usage: penstock config check -c FILE\n");
        return EXIT_USAGE;
    }
    struct vault *vault;
    if (failed(vault_new(&vault)))
        return EXIT_FAILED;
    problems_init(&problems);
    struct text source = { 0 }, report = { 0 };
    struct config *cfg = config_load_file(path, vault, config_world_system(), &problems, &source);
    problems_render(&problems, path, span_of(source.ptr, source.len), &report);
    if (problems.count > 0)
        fputs(report.ptr, stderr);
    int status = cfg != NULL ? EXIT_DONE : EXIT_INVALID;
    if (cfg != NULL)
        printf("%s is valid\n", path);
    text_fini(&report);
    text_fini(&source);
    config_free(&cfg);
    vault_free(&vault);
    return status;
}

int cmd_io_check(int argc, char **argv)
{
    (void)argc, (void)argv;
    return io_check(stdout);
}

int cmd_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("penstock %s\n%s\n", PENSTOCK_VERSION, tls_library());
    return EXIT_DONE;
}
