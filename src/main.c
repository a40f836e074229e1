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
};

static const struct verb verbs[] = {
    { "serve", NULL, cmd_serve, ALONE, "[-c FILE]", "Runs the gateway." },
    { "status", NULL, cmd_status, GATEWAY, "",
      "Shows how the gateway is; fails while it is not ready." },
    { "account", "list", cmd_account_list, EITHER, "", "Lists vendor accounts." },
    { "account", "get", cmd_account_get, EITHER, "NAME", "Shows one account." },
    { "account", "add", cmd_account_create, EITHER,
      "--name N --type T [--base-url U] [--models A,B] [--formats A,B] [--auth A] [--priority P] "
      "[--max-in-flight N] [--description D] [--expires-at TIME] [--disabled] "
      "(--api-key-stdin | --api-key-file FILE)",
      "Adds an account; its key comes from standard input or a file." },
    { "account", "test", cmd_account_test, GATEWAY, "NAME",
      "Asks the vendor for its models with the account's key." },
    { "account", "rm", cmd_account_remove, EITHER, "NAME", "Removes an account." },
    { "key", "list", cmd_key_list, EITHER, "", "Lists client keys." },
    { "key", "get", cmd_key_get, EITHER, "NAME", "Shows one key, but not its text." },
    { "key", "create", cmd_key_create, EITHER,
      "--name N [--models A,B] [--formats A,B] [--description D] [--expires-at TIME] [--disabled]",
      "Makes a key and prints it, this once." },
    { "key", "mint", cmd_key_mint, ALONE, "",
      "Prints a fresh key for a configuration file; no gateway knows it yet." },
    { "key", "revoke", cmd_key_remove, EITHER, "NAME",
      "Removes a key, which is refused from then on." },
    { "model", "list", cmd_model_list, EITHER, "", "Lists models." },
    { "model", "get", cmd_model_get, EITHER, "NAME", "Shows one model." },
    { "model", "add", cmd_model_create, EITHER,
      "--name N [--aliases A,B] [--target T] [--accounts A,B] [--formats A,B] [--description D] "
      "[--disabled]",
      "Adds a model." },
    { "model", "rm", cmd_model_remove, EITHER, "NAME", "Removes a model." },
    { "token", "list", cmd_token_list, GATEWAY, "", "Lists tokens of the admin API." },
    { "token", "create", cmd_token_create, GATEWAY, "--name N",
      "Makes a token and prints it, this once." },
    { "token", "revoke", cmd_token_remove, GATEWAY, "ID", "Removes a token." },
    { "usage", NULL, cmd_usage, EITHER,
      "[--by key,account,model,format,day] [--from TIME] [--to TIME] [--tz ZONE] [--key K] "
      "[--account A] [--model M]",
      "Sums up what was used; the last 30 days if no time is given." },
    { "config", "check", cmd_config_check, ALONE, "-c FILE", "Checks a configuration file." },
    { "config", "show", cmd_config_show, ALONE, "", "Shows the settings in force." },
    { "config", "diff", cmd_config_diff, ALONE, "FILE",
      "Shows how FILE differs from the file of -c." },
    { "config", "explain", cmd_config_explain, ALONE, "KEY",
      "Explains a setting, a field or an error code." },
    { "config", "schema", cmd_config_schema, ALONE, "", "Prints the file's JSON Schema." },
    { "config", "env", cmd_config_env, ALONE, "", "Lists the environment variables." },
    { "store", "repair", cmd_store_repair, ALONE, "--dir DIR",
      "Salvages what a damaged store still holds. Keep a copy of the directory first." },
    { "mock", NULL, cmd_mock, ALONE, "[--listen ADDRESS:PORT]", "Runs the mock vendor." },
    { "io", "check", cmd_io_check, ALONE, "",
      "Shows what this kernel offers, and which backend is used." },
    { "version", NULL, cmd_version, ALONE, "", "Shows version and libraries." },
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
}

static int usage(FILE *out)
{
    fprintf(out, "usage: penstock COMMAND [-c FILE] [-o table|json]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        print_verb(out, &verbs[i], false);
    fprintf(out, "\nVerbs that speak with a gateway find it by the configuration that -c names.\n"
                 "`penstock COMMAND --help` tells what a command takes.\n");
    return out == stdout ? EXIT_DONE : EXIT_USAGE;
}

int cmd_help(const char *noun)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].noun, noun) == 0)
            print_verb(stdout, &verbs[i], true);
    printf("\nEvery command takes -c FILE (the gateway's configuration) and -o table|json.\n");
    return EXIT_DONE;
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
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
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
