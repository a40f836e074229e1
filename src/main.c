// The command line: one table of verbs, from which dispatch and help are made.
#include "commands.h"

#include "penstock/base/base.h"

#include <stdio.h>
#include <string.h>

// Where a verb finds what it works on; said in its help.
enum where {
    ALONE,   // needs nothing that runs
    EITHER,  // asks the running gateway, or opens the store where none runs
    GATEWAY, // needs a running gateway
};

struct verb {
    const char *noun, *verb; // verb NULL: the noun alone
    int (*run)(int argc, char **argv);
    enum where where;
    const char *args, *about;
    const char *examples; // what stands behind the verb, a line each; empty: the verb alone
};

static const struct verb verbs[] = {
    { "serve", NULL, cmd_serve, ALONE, "[-c FILE]", "Runs the gateway.",
      "-c /etc/penstock/penstock.yaml" },
    { "status", NULL, cmd_status, GATEWAY, "",
      "Shows how the gateway is; fails while it is not ready.",
      "-c penstock.yaml\n"
      "-o json" },
    { "reload", NULL, cmd_reload, GATEWAY, "",
      "Reads configuration and certificates again; with a mistake in them nothing changes.",
      "-c /etc/penstock/penstock.yaml" },
    { "drain", NULL, cmd_drain, GATEWAY, "[--wait]",
      "Lets requests finish and ends the gateway, as a service manager's stop does.", "--wait" },
    { "account", "list", cmd_account_list, EITHER, "", "Lists vendor accounts.",
      "-c penstock.yaml\n"
      "-o json" },
    { "account", "get", cmd_account_get, EITHER, "NAME", "Shows one account.", "main" },
    { "account", "add", cmd_account_create, EITHER,
      "--name N --type T [--base-url U] [--models A,B] [--formats A,B] [--auth A] [--priority P] "
      "[--max-in-flight N] [--description D] [--expires-at TIME] [--disabled] "
      "(--api-key-stdin | --api-key-file FILE)",
      "Adds an account; its key comes from standard input or a file.",
      "--name main --type openai --api-key-file key.txt\n"
      "--name local --type openai-compatible --base-url http://127.0.0.1:8000/v1 --auth none\n"
      "--name claude --type anthropic --models 'claude-*' --api-key-stdin < key.txt" },
    { "account", "test", cmd_account_test, GATEWAY, "NAME",
      "Asks the vendor for its models with the account's key.", "main" },
    { "account", "rm", cmd_account_remove, EITHER, "NAME", "Removes an account.", "main" },
    { "key", "list", cmd_key_list, EITHER, "", "Lists client keys.", "" },
    { "key", "get", cmd_key_get, EITHER, "NAME", "Shows one key, but not its text.", "team-a" },
    { "key", "create", cmd_key_create, EITHER,
      "--name N [--models A,B] [--formats A,B] [--description D] [--expires-at TIME] [--disabled]",
      "Makes a key and prints it, this once.",
      "--name team-a\n"
      "--name ci --models gpt-4o-mini --expires-at 2027-01-01T00:00:00Z" },
    { "key", "mint", cmd_key_mint, ALONE, "",
      "Prints a fresh key for a configuration file; no gateway knows it yet.", "> client.key" },
    { "key", "revoke", cmd_key_remove, EITHER, "NAME",
      "Removes a key, which is refused from then on.", "team-a" },
    { "model", "list", cmd_model_list, EITHER, "", "Lists models.", "" },
    { "model", "get", cmd_model_get, EITHER, "NAME", "Shows one model.", "fast" },
    { "model", "add", cmd_model_create, EITHER,
      "--name N [--aliases A,B] [--target T] [--accounts A,B] [--formats A,B] [--description D] "
      "[--disabled]",
      "Adds a model.", "--name fast --target gpt-4o-mini --accounts main,spare" },
    { "model", "rm", cmd_model_remove, EITHER, "NAME", "Removes a model.", "fast" },
    { "token", "list", cmd_token_list, GATEWAY, "", "Lists tokens of the admin API.", "" },
    { "token", "create", cmd_token_create, GATEWAY, "--name N",
      "Makes a token and prints it, this once.", "--name deploy" },
    { "token", "revoke", cmd_token_remove, GATEWAY, "ID", "Removes a token.", "tok_0123" },
    { "usage", NULL, cmd_usage, EITHER,
      "[--by key,account,model,format,day] [--from TIME] [--to TIME] [--tz ZONE] [--key K] "
      "[--account A] [--model M]",
      "Sums up what was used; the last 30 days if no time is given.",
      "--by key,model --from 2026-11-01\n"
      "--by day --key team-a --tz Europe/Berlin -o json" },
    { "config", "check", cmd_config_check, ALONE, "-c FILE", "Checks a configuration file.",
      "-c penstock.yaml" },
    { "config", "show", cmd_config_show, ALONE, "", "Shows the settings in force.",
      "-c penstock.yaml" },
    { "config", "diff", cmd_config_diff, ALONE, "FILE",
      "Shows how FILE differs from the file of -c.", "-c /etc/penstock/penstock.yaml new.yaml" },
    { "config", "explain", cmd_config_explain, ALONE, "KEY",
      "Explains a setting, a field or an error code.",
      "limits.body\n"
      "C0312" },
    { "config", "schema", cmd_config_schema, ALONE, "", "Prints the file's JSON Schema.",
      "> penstock.schema.json" },
    { "config", "env", cmd_config_env, ALONE, "", "Lists the environment variables.", "" },
    { "config", "reload", cmd_reload, GATEWAY, "", "The same as `penstock reload`.",
      "-c /etc/penstock/penstock.yaml" },
    { "store", "repair", cmd_store_repair, ALONE, "--dir DIR",
      "Salvages what a damaged store still holds. Keep a copy of the directory first.",
      "--dir /var/lib/penstock/db" },
    { "mock", NULL, cmd_mock, ALONE, "[--listen ADDRESS:PORT]", "Runs the mock vendor.",
      "--listen 127.0.0.1:9000" },
    { "convert", NULL, cmd_convert, ALONE,
      "--from FORMAT --to FORMAT [--model NAME] [--stream] [--strict]",
      "Shows what becomes of a request, read from standard input, at a vendor of another format.",
      "--from openai --to anthropic < request.json\n"
      "--from anthropic --to openai --strict < request.json" },
    { "io", "check", cmd_io_check, ALONE, "",
      "Shows what this kernel offers, and which backend is used.", "" },
    { "version", NULL, cmd_version, ALONE, "", "Shows version and libraries.", "" },
};

static const char *where_text(enum where where)
{
    switch (where) {
    case ALONE: return NULL;
    case EITHER: return "Asks the running gateway; where none runs, opens the store itself.";
    case GATEWAY: return "Needs a running gateway.";
    }
    return NULL;
}

static void print_verb(FILE *out, const struct verb *verb, bool whole)
{
    char name[64];
    snprintf(name, sizeof(name), "%s%s%s", verb->noun, verb->verb != NULL ? " " : "",
             verb->verb != NULL ? verb->verb : "");
    if (!whole) {
        fprintf(out, "  %-18s %s\n", name, verb->about);
        return;
    }
    fprintf(out, "penstock %s%s%s\n    %s\n", name, verb->args[0] != '\0' ? " " : "", verb->args,
            verb->about);
    if (where_text(verb->where) != NULL)
        fprintf(out, "    %s\n", where_text(verb->where));
    struct span rest = span_str(verb->examples);
    do {
        const size_t len = span_find(rest, '\n');
        fprintf(out, "    $ penstock %s%s%.*s\n", name, len > 0 ? " " : "", (int)len, rest.ptr);
        rest = span_from(rest, min_size(len + 1, rest.len));
    } while (rest.len > 0);
}

static void print_statuses(FILE *out)
{
    fprintf(out, "Exit status: 0 done, 1 failed, 2 wrong usage, 3 configuration or input not valid,"
                 " 4 not found,\n5 not allowed, 6 conflict, 7 gateway or vendor not reached,"
                 " 8 partly done, 9 a check found something.\n");
}

static int usage(FILE *out)
{
    fprintf(out, "usage: penstock COMMAND [-c FILE] [-o table|json]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        print_verb(out, &verbs[i], false);
    fprintf(out, "\nVerbs that speak with a gateway find it by the configuration that -c names.\n"
                 "`penstock COMMAND --help` tells what a command takes, with examples.\n");
    print_statuses(out);
    return out == stdout ? EXIT_DONE : EXIT_USAGE;
}

// `only` NULL: every verb of the noun.
static int help(const char *noun, const struct verb *only)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].noun, noun) == 0 && (only == NULL || only == &verbs[i]))
            print_verb(stdout, &verbs[i], true);
    printf("\nEvery command takes -c FILE (the gateway's configuration) and -o table|json.\n");
    print_statuses(stdout);
    return EXIT_DONE;
}

int cmd_help(const char *noun)
{
    return help(noun, NULL);
}

static bool is_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static bool has_noun(const char *noun)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].noun, noun) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr);
    if (is_help(argv[1]))
        return argc > 2 && has_noun(argv[2]) ? cmd_help(argv[2]) : usage(stdout);
    if (argc > 2 && has_noun(argv[1]) && is_help(argv[2]))
        return cmd_help(argv[1]);
    const bool wants_help = argc > 3 && argv[argc - 1][0] == '-' && is_help(argv[argc - 1]);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        const struct verb *verb = &verbs[i];
        if (strcmp(argv[1], verb->noun) != 0)
            continue;
        if (verb->verb == NULL)
            return wants_help ? help(verb->noun, verb) : verb->run(argc - 2, argv + 2);
        if (argc > 2 && strcmp(argv[2], verb->verb) == 0)
            return wants_help ? help(verb->noun, verb) : verb->run(argc - 3, argv + 3);
    }
    fprintf(stderr, "penstock: there is no command `%s%s%s`\n\n", argv[1], argc > 2 ? " " : "",
            argc > 2 ? argv[2] : "");
    return usage(stderr);
}
