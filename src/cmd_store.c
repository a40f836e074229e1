// `penstock store repair`.
#include "cli.h"
#include "penstock/store/store.h"

#include <stdio.h>

// Works on the directory alone: the configuration, or the master key, may be what is lost.
int cmd_store_repair(int argc, char **argv)
{
    struct cli cli;
    const char *dir = NULL;
    const struct cli_option options[] = { { "--dir", &dir, NULL }, { 0 } };
    int status = cli_options(&cli, argc, argv, options, 0, 0);
    if (status != EXIT_DONE)
        return status;
    if (cli.help)
        return cmd_help("store");
    if (dir == NULL) {
        fprintf(stderr, "usage: penstock store repair --dir DIR\n");
        return EXIT_USAGE;
    }
    struct store_why why;
    struct err err = store_repair(dir, &why);
    if (failed(err)) {
        fprintf(stderr, "%s\n", why.text);
        return err.code == ERR_STORE_LOCKED ? EXIT_CONFLICT
               : err.code == ERR_NOT_FOUND  ? EXIT_NOT_FOUND
                                            : EXIT_FAILED;
    }
    printf("%s was salvaged; look through its keys and accounts before it serves\n", dir);
    return EXIT_DONE;
}
