// `penstock serve`, `io check`, `version`.
#include "commands.h"
#include "commit.h"
#include "penstock/net/tls.h"
#include "process.h"

#include <stdio.h>

static bool config_option(int argc, char **argv, const char **path)
{
    *path = NULL;
    for (int i = 0; i < argc; i++) {
        const bool known = strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0;
        if (!known || i + 1 == argc)
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

int cmd_io_check(int argc, char **argv)
{
    (void)argc, (void)argv;
    return io_check(stdout);
}

int cmd_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("penstock %s (%s)\n%s\n", PENSTOCK_VERSION, commit, tls_library());
    return EXIT_DONE;
}
