// `penstock status`, `reload` and `drain`: what is asked of a running gateway as a whole.
#include "cli.h"

#include <time.h>

enum { WAIT_STEP_MS = 500 };

// Whether the gateway still answers; *left is how many requests it has.
static bool look(struct cli *cli, json_int_t *left)
{
    json_t *reply = NULL;
    size_t i;
    const json_t *shard;
    if (!cli_is_there(cli) || cli_call(cli, API_GET, "/api/v1/status", NULL, &reply) != EXIT_DONE)
        return false;
    *left = 0;
    json_array_foreach(json_object_get(reply, "shards"), i, shard) *left +=
        json_integer_value(json_object_get(shard, "requests_in_flight"));
    json_decref(reply);
    return true;
}

int cmd_status(int argc, char **argv)
{
    static struct cli cli;
    int status = cli_options(&cli, argc, argv, NULL, 0, 0);
    if (status != EXIT_DONE || cli.help)
        return cli.help ? cmd_help("status") : status;
    json_t *reply = NULL;
    status = cli_open(&cli, CLI_GATEWAY);
    if (status == EXIT_DONE)
        status = cli_call(&cli, API_GET, "/api/v1/status", NULL, &reply);
    if (status == EXIT_DONE && cli.json)
        cli_json(reply);
    else if (status == EXIT_DONE)
        cli_object(reply);
    if (status == EXIT_DONE && !json_is_true(json_object_get(reply, "ready")))
        status = EXIT_FAILED;
    json_decref(reply);
    cli_close(&cli);
    return status;
}

static void print_names(const json_t *names, const char *what)
{
    size_t i;
    const json_t *name;
    json_array_foreach((json_t *)names, i, name) printf("%s %s\n", json_string_value(name), what);
}

static void print_counts(const json_t *reply, const char *plural)
{
    const json_t *diff = json_object_get(reply, plural);
    const json_int_t added = json_integer_value(json_object_get(diff, "added"));
    const json_int_t changed = json_integer_value(json_object_get(diff, "changed"));
    const json_int_t removed = json_integer_value(json_object_get(diff, "removed"));
    if (added + changed + removed > 0)
        printf("%s: %lld added, %lld changed, %lld removed\n", plural, (long long)added,
               (long long)changed, (long long)removed);
}

static void print_reload(const json_t *reply)
{
    const char *report = json_string_value(json_object_get(reply, "report"));
    if (report != NULL)
        fputs(report, stderr);
    print_names(json_object_get(reply, "applied"), "was changed");
    print_names(json_object_get(reply, "restart"), "changes with the next start");
    print_counts(reply, "accounts");
    print_counts(reply, "keys");
    print_counts(reply, "models");
    printf("reloaded\n");
    if (!json_is_true(json_object_get(reply, "certificates")))
        fprintf(stderr, "penstock: not all certificates could be read; the log says why\n");
}

int cmd_reload(int argc, char **argv)
{
    static struct cli cli;
    int status = cli_options(&cli, argc, argv, NULL, 0, 0);
    if (status != EXIT_DONE || cli.help)
        return cli.help ? cmd_help("reload") : status;
    json_t *reply = NULL;
    status = cli_open(&cli, CLI_GATEWAY);
    if (status == EXIT_DONE)
        status = cli_call(&cli, API_POST, "/api/v1/reload", NULL, &reply);
    if (status == EXIT_DONE && cli.json)
        cli_json(reply);
    else if (status == EXIT_DONE)
        print_reload(reply);
    if (status == EXIT_DONE && !json_is_true(json_object_get(reply, "certificates")))
        status = EXIT_PARTLY;
    json_decref(reply);
    cli_close(&cli);
    return status;
}

static void wait_for_end(struct cli *cli)
{
    json_int_t left = 0, said = -1;
    while (look(cli, &left)) {
        if (left != said)
            fprintf(stderr, "penstock: %lld request%s left\n", (long long)left,
                    left == 1 ? "" : "s");
        said = left;
        nanosleep(&(const struct timespec){ .tv_nsec = WAIT_STEP_MS * (long)NS_PER_MS }, NULL);
    }
}

int cmd_drain(int argc, char **argv)
{
    static struct cli cli;
    bool wait = false;
    const struct cli_option options[] = { { "--wait", NULL, &wait }, { NULL, NULL, NULL } };
    int status = cli_options(&cli, argc, argv, options, 0, 0);
    if (status != EXIT_DONE || cli.help)
        return cli.help ? cmd_help("drain") : status;
    json_t *reply = NULL;
    status = cli_open(&cli, CLI_GATEWAY);
    if (status == EXIT_DONE)
        status = cli_call(&cli, API_POST, "/api/v1/drain", NULL, &reply);
    if (status == EXIT_DONE && cli.json)
        cli_json(reply);
    if (status == EXIT_DONE && wait)
        wait_for_end(&cli);
    json_decref(reply);
    cli_close(&cli);
    return status;
}
