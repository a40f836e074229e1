// `penstock key mint`.
#include "commands.h"
#include "penstock/base/base.h"
#include "penstock/model/key.h"

#include <stdio.h>
#include <string.h>

// A fresh key for a configuration file. No gateway has to run, and none knows it by this alone.
int cmd_key_mint(int argc, char **argv)
{
    (void)argv;
    if (argc != 0) {
        fprintf(stderr, "usage: penstock key mint\n");
        return EXIT_USAGE;
    }
    char text[KEY_TEXT_LEN];
    key_mint(env_system(), text);
    bool written = printf("%.*s\n", KEY_TEXT_LEN, text) > 0 && fflush(stdout) == 0;
    explicit_bzero(text, sizeof(text));
    return written ? EXIT_DONE : EXIT_FAILED;
}
