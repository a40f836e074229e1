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

// Every verb of `noun` with what it takes.
int cmd_help(const char *noun);

int cmd_serve(int argc, char **argv);
int cmd_mock(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_usage(int argc, char **argv);
int cmd_account_create(int argc, char **argv);
int cmd_account_list(int argc, char **argv);
int cmd_account_get(int argc, char **argv);
int cmd_account_test(int argc, char **argv);
int cmd_account_remove(int argc, char **argv);
int cmd_key_create(int argc, char **argv);
int cmd_key_list(int argc, char **argv);
int cmd_key_get(int argc, char **argv);
int cmd_key_remove(int argc, char **argv);
int cmd_model_create(int argc, char **argv);
int cmd_model_list(int argc, char **argv);
int cmd_model_get(int argc, char **argv);
int cmd_model_remove(int argc, char **argv);
int cmd_token_create(int argc, char **argv);
int cmd_token_list(int argc, char **argv);
int cmd_token_remove(int argc, char **argv);
int cmd_config_check(int argc, char **argv);
int cmd_config_show(int argc, char **argv);
int cmd_config_diff(int argc, char **argv);
int cmd_config_explain(int argc, char **argv);
int cmd_config_schema(int argc, char **argv);
int cmd_config_env(int argc, char **argv);
int cmd_key_mint(int argc, char **argv);
int cmd_store_repair(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_io_check(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
