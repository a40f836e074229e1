// commands.h - the verbs of the command line. Each takes what stands behind its name and returns an
// exit status.
#ifndef PENSTOCK_COMMANDS_H
#define PENSTOCK_COMMANDS_H

#include <stdlib.h>

// The same numbers for every verb; scripts rely on them.
enum exit_status {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_INVALID = 3, // configuration or input
    EXIT_NOT_FOUND = 4,
    EXIT_FORBIDDEN = 5,
    EXIT_CONFLICT = 6,
    EXIT_UNREACHABLE = 7, // the gateway, or a vendor
    EXIT_PARTLY = 8,
    EXIT_PROBLEMS = 9, // a check found something
};

int cmd_serve(int argc, char **argv);
int cmd_mock(int argc, char **argv);
int cmd_config_check(int argc, char **argv);
int cmd_key_mint(int argc, char **argv);
int cmd_io_check(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
