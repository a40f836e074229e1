// The command line: one table of verbs.
#include "commands.h"

#include <stdio.h>
#include <string.h>

struct verb {
    const char *noun, *verb; // verb NULL: the noun alone
    int (*run)(int argc, char **argv);
    const char *args, *about;
};

static const struct verb verbs[] = {
    { "serve", NULL, cmd_serve, "[-c FILE]", "Runs the gateway." },
    { "mock", NULL, cmd_mock, "[--listen ADDRESS:PORT]", "Runs the mock vendor." },
    { "config", "check", cmd_config_check, "-c FILE", "Checks a configuration file." },
    { "key", "mint", cmd_key_mint, "", "Makes a key for a configuration file." },
    { "io", "check", cmd_io_check, "",
      "Shows what this kernel offers, and which backend is used." },
    { "version", NULL, cmd_version, "", "Shows version and libraries." },
};

static int usage(FILE *out)
{
    fprintf(out, "usage: penstock COMMAND\n\n");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "%s%s%s %s", verbs[i].noun, verbs[i].verb != NULL ? " " : "",
                 verbs[i].verb != NULL ? verbs[i].verb : "", verbs[i].args);
        fprintf(out, "  %-34s %s\n", line, verbs[i].about);
    }
    return out == stdout ? EXIT_DONE : EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        const struct verb *verb = &verbs[i];
        if (strcmp(argv[1], verb->noun) != 0)
            continue;
        if (verb->verb == NULL)
            return verb->run(argc - 2, argv + 2);
        if (argc > 2 && strcmp(argv[2], verb->verb) == 0)
            return verb->run(argc - 3, argv + 3);
    }
    fprintf(stderr, "penstock: there is no command `%s%s%s`\n\n", argv[1], argc > 2 ? " " : "",
            argc > 2 ? argv[2] : "");
    return usage(stderr);
}
