// `penstock usage` and `penstock status`.
#include "cli.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

// A time zone's name becomes its offset as of now; the sums are cut at quarters of an hour, so an
// offset is all that the store can use.
static bool offset_of(const char *tz, char out[16])
{
    if ((tz[0] == '+' || tz[0] == '-') && strlen(tz) < 16) {
        fit_printf(out, 16, "%s", tz);
        return true;
    }
    char path[256];
    if (strcmp(tz, "UTC") != 0 && strcmp(tz, "utc") != 0 &&
        (fit_printf(path, sizeof(path), "/usr/share/zoneinfo/%s", tz) + 1 >= sizeof(path) ||
         strstr(tz, "..") != NULL || access(path, R_OK) != 0))
        return false;
    const time_t now = (time_t)(env_wall_ns(env_system()) / NS_PER_S);
    struct tm local;
    setenv("TZ", tz, 1);
    tzset();
    if (localtime_r(&now, &local) == NULL)
        return false;
    const long offset = local.tm_gmtoff, size = offset < 0 ? -offset : offset;
    fit_printf(out, 16, "%c%02ld:%02ld", offset < 0 ? '-' : '+', size / 3600, size / 60 % 60);
    return true;
}

static void add_param(struct text *path, const char *name, const char *value)
{
    if (value == NULL)
        return;
    text_printf(path, "%s%s=", strchr(path->ptr, '?') != NULL ? "&" : "?", name);
    cli_escape(path, value);
}

static bool has_word(const char *list, const char *word)
{
    struct span rest = span_str(list != NULL ? list : "");
    while (rest.len > 0) {
        const size_t len = span_find(rest, ',');
        if (span_eq(span_upto(rest, len), span_str(word)))
            return true;
        rest = span_from(rest, min_size(len + 1, rest.len));
    }
    return false;
}

static void show(const char *by, const json_t *reply)
{
    static const struct {
        const char *word;
        struct cli_column column;
    } groups[] = {
        { "day", { "DAY", "day" } },
        { "key", { "KEY", "key.name" } },
        { "account", { "ACCOUNT", "account.name" } },
        { "model", { "MODEL", "model" } },
        { "format", { "FORMAT", "format" } },
    };
    static const struct cli_column sums[] = {
        { "REQUESTS", "requests" },    { "ERRORS", "errors" },
        { "INPUT", "tokens.input" },   { "CACHE READ", "tokens.cache_read" },
        { "OUTPUT", "tokens.output" }, { "REASONING", "tokens.reasoning" },
        { "ESTIMATED", "estimated" },
    };
    struct cli_column columns[ARRAY_LEN(groups) + ARRAY_LEN(sums)];
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        if (has_word(by, groups[i].word))
            columns[count++] = groups[i].column;
    for (size_t i = 0; i < ARRAY_LEN(sums); i++)
        columns[count++] = sums[i];
    cli_table(columns, count, json_object_get(reply, "items"));
    if (json_is_true(json_object_get(reply, "cut")))
        fprintf(stderr, "penstock: there are more rows; the last one holds the sum of the rest\n");
}

int cmd_usage(int argc, char **argv)
{
    static struct cli cli;
    const char *by = "key", *from = NULL, *to = NULL, *tz = NULL;
    const char *key = NULL, *account = NULL, *model = NULL;
    const struct cli_option options[] = {
        { "--by", &by, NULL },       { "--from", &from, NULL }, { "--to", &to, NULL },
        { "--tz", &tz, NULL },       { "--key", &key, NULL },   { "--account", &account, NULL },
        { "--model", &model, NULL }, { NULL, NULL, NULL },
    };
    int status = cli_options(&cli, argc, argv, options, 0, 0);
    if (status != EXIT_DONE || cli.help)
        return cli.help ? cmd_help("usage") : status;
    char offset[16];
    if (tz != NULL && !offset_of(tz, offset)) {
        fprintf(stderr, "penstock: there is no time zone `%s`\n", tz);
        return EXIT_INVALID;
    }
    struct text path = { 0 };
    json_t *reply = NULL;
    text_add(&path, SPAN("/api/v1/usage"));
    add_param(&path, "by", by);
    add_param(&path, "from", from);
    add_param(&path, "to", to);
    add_param(&path, "tz", tz != NULL ? offset : NULL);
    add_param(&path, "key", key);
    add_param(&path, "account", account);
    add_param(&path, "model", model);
    status = cli_open(&cli, CLI_READ);
    if (status == EXIT_DONE)
        status = cli_call(&cli, API_GET, path.ptr, NULL, &reply);
    if (status == EXIT_DONE && cli.json)
        cli_json(reply);
    else if (status == EXIT_DONE)
        show(by, reply);
    text_fini(&path);
    json_decref(reply);
    cli_close(&cli);
    return status;
}
