// cli.h - what the verbs of the command line share: options, the way to the gateway, output.
//
// A verb speaks the admin API. Where a gateway runs, over its Unix socket; where none does, with an
// API of its own over the store, which it then opens itself.
#ifndef PENSTOCK_CLI_H
#define PENSTOCK_CLI_H

#include "commands.h"
#include "penstock/ctl/api.h"

#include <stdio.h>

enum { CLI_WORDS_MAX = 4 };

struct cli_option {
    const char *name;   // "--name"
    const char **value; // what follows it; NULL: a flag
    bool *flag;
};

struct cli {
    const char *config_path;
    bool json, help;
    const char *words[CLI_WORDS_MAX]; // what is no option
    int word_count;
    struct vault *vault;
    struct config *cfg;
    // With no gateway running.
    bool is_offline;
    struct keyring keyring;
    bool has_keyring;
    struct store *store;
    struct registry *registry;
    struct api api;
};

// Reads options: those of every verb and `options` (NULL name at the end). Prints what is wrong and
// returns an exit status; EXIT_DONE: go on.
must_use int cli_options(struct cli *cli, int argc, char **argv, const struct cli_option *options,
                         int words_min, int words_max);

enum cli_need { CLI_READ, CLI_WRITE, CLI_GATEWAY };
// Loads the configuration and finds the gateway or the store. The same convention.
must_use int cli_open(struct cli *cli, enum cli_need need);
void cli_close(struct cli *cli);
// Whether a gateway answers at the moment.
bool cli_is_there(const struct cli *cli);

// One call. `body` is taken and wiped; NULL: none. `*reply` is the caller's, NULL for an empty one.
// An exit status: EXIT_DONE when the answer was a success; otherwise it has been printed.
must_use int cli_call(struct cli *cli, enum api_method method, const char *path, json_t *body,
                      json_t **reply);
// The id of the object that is meant by a name or an id.
must_use int cli_find(struct cli *cli, const char *plural, const char *what,
                      char id[CHANGE_ID_MAX + 1]);
// Appends `text` with everything but unreserved characters escaped.
void cli_escape(struct text *out, const char *text);

// --- output ---

struct cli_column {
    const char *title;
    const char *path; // of the member, with dots
};
// A table on a terminal, lines with tabs elsewhere.
void cli_table(const struct cli_column *columns, size_t count, const json_t *items);
void cli_json(const json_t *json);
// One object, a member a line.
void cli_object(const json_t *json);

#endif
