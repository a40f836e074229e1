// `penstock account`, `key`, `model` and `token`: the objects of the admin API.
#include "cli.h"
#include "penstock/base/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPTIONS_MAX = 32, LIST_PAGES_MAX = 10000 };

enum input_kind { IN_TEXT, IN_NUMBER, IN_LIST, IN_OFF };
struct input {
    const char *option, *member;
    enum input_kind kind;
};

struct noun {
    const char *name, *plural;
    const struct input *inputs;
    size_t input_count;
    const struct cli_column *columns;
    size_t column_count;
    bool has_secret;
};

static const struct input account_inputs[] = {
    { "--name", "name", IN_TEXT },
    { "--type", "type", IN_TEXT },
    { "--base-url", "base_url", IN_TEXT },
    { "--models", "models", IN_LIST },
    { "--formats", "formats", IN_LIST },
    { "--auth", "auth", IN_TEXT },
    { "--priority", "priority", IN_NUMBER },
    { "--max-in-flight", "max_in_flight", IN_NUMBER },
    { "--description", "description", IN_TEXT },
    { "--expires-at", "expires_at", IN_TEXT },
    { "--disabled", "enabled", IN_OFF },
};
static const struct cli_column account_columns[] = {
    { "ID", "id" },           { "NAME", "name" },
    { "TYPE", "type" },       { "BASE URL", "base_url" },
    { "MODELS", "models" },   { "PRIORITY", "priority" },
    { "ENABLED", "enabled" }, { "SOURCE", "source" },
};
static const struct input key_inputs[] = {
    { "--name", "name", IN_TEXT },
    { "--models", "models", IN_LIST },
    { "--formats", "formats", IN_LIST },
    { "--description", "description", IN_TEXT },
    { "--expires-at", "expires_at", IN_TEXT },
    { "--disabled", "enabled", IN_OFF },
};
static const struct cli_column key_columns[] = {
    { "ID", "id" },
    { "NAME", "name" },
    { "BEGINS", "shown_head" },
    { "ENDS", "shown_tail" },
    { "MODELS", "models" },
    { "ENABLED", "enabled" },
    { "EXPIRES", "expires_at" },
    { "SOURCE", "source" },
};
static const struct input model_inputs[] = {
    { "--name", "name", IN_TEXT },       { "--aliases", "aliases", IN_LIST },
    { "--target", "target", IN_TEXT },   { "--accounts", "accounts", IN_LIST },
    { "--formats", "formats", IN_LIST }, { "--description", "description", IN_TEXT },
    { "--disabled", "enabled", IN_OFF },
};
static const struct cli_column model_columns[] = {
    { "ID", "id" },         { "NAME", "name" },         { "ALIASES", "aliases" },
    { "TARGET", "target" }, { "ACCOUNTS", "accounts" }, { "ENABLED", "enabled" },
    { "SOURCE", "source" },
};
static const struct input token_inputs[] = { { "--name", "name", IN_TEXT } };
static const struct cli_column token_columns[] = {
    { "ID", "id" },
    { "NAME", "name" },
    { "CREATED", "created_at" },
};

#define NOUN(name_, plural_, inputs_, columns_, secret)                                         \
    {                                                                                           \
        .name = name_, .plural = plural_, .inputs = inputs_, .input_count = ARRAY_LEN(inputs_), \
        .columns = columns_, .column_count = ARRAY_LEN(columns_), .has_secret = secret,         \
    }
static const struct noun noun_account =
    NOUN("account", "accounts", account_inputs, account_columns, true);
static const struct noun noun_key = NOUN("key", "keys", key_inputs, key_columns, false);
static const struct noun noun_model = NOUN("model", "models", model_inputs, model_columns, false);
static const struct noun noun_token = NOUN("token", "tokens", token_inputs, token_columns, false);

// --- making ---

static json_t *list_of(const char *text)
{
    json_t *list = json_array();
    struct span rest = span_str(text);
    while (rest.len > 0) {
        const size_t len = span_find(rest, ',');
        const struct span item = span_trim(span_upto(rest, len));
        if (item.len > 0)
            json_array_append_new(list, json_stringn(item.ptr, item.len));
        rest = span_from(rest, min_size(len + 1, rest.len));
    }
    return list;
}

static bool put_input(json_t *body, const struct input *input, const char *value)
{
    char *end;
    long long number;
    switch (input->kind) {
    case IN_TEXT: return json_object_set_new(body, input->member, json_string(value)) == 0;
    case IN_LIST: return json_object_set_new(body, input->member, list_of(value)) == 0;
    case IN_OFF: bug("a flag has no value");
    case IN_NUMBER:
        number = strtoll(value, &end, 10);
        return end != value && *end == '\0' &&
               json_object_set_new(body, input->member, json_integer(number)) == 0;
    }
    bug("input_kind out of range");
}

// A secret from a file or standard input, without the line end behind it.
static int put_secret(json_t *body, bool from_stdin, const char *path)
{
    char bytes[SECRET_MAX + 2];
    const int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t got = fd >= 0 ? 1 : -1;
    while (got > 0 && len < sizeof(bytes)) {
        got = read(fd, bytes + len, sizeof(bytes) - len);
        len += got > 0 ? (size_t)got : 0;
    }
    if (!from_stdin && fd >= 0)
        close(fd);
    while (len > 0 && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r'))
        len--;
    const bool good = got >= 0 && len > 0 && len <= SECRET_MAX;
    json_t *secret = good ? json_stringn(bytes, len) : NULL;
    bytes_wipe(bytes, sizeof(bytes));
    if (secret == NULL) {
        fprintf(stderr, "penstock: no API key could be read from %s\n",
                from_stdin ? "standard input" : path);
        return EXIT_INVALID;
    }
    json_object_set_new(body, "api_key", secret);
    return EXIT_DONE;
}

static void show_made(const struct cli *cli, const json_t *reply)
{
    const char *key = json_string_value(json_object_get(reply, "key"));
    const char *token = json_string_value(json_object_get(reply, "token"));
    const char *secret = key != NULL ? key : token;
    const char *id = json_string_value(json_object_get(reply, "id"));
    const char *name = json_string_value(json_object_get(reply, "name"));
    if (cli->json) {
        cli_json(reply);
    } else if (secret != NULL) {
        printf("%s\n", secret);
        fprintf(stderr, "%s (%s) was made; this is the only time that it is shown\n",
                name != NULL ? name : "", id != NULL ? id : "");
    } else {
        printf("%s\n", id != NULL ? id : "");
    }
}

static int create(const struct noun *noun, int argc, char **argv)
{
    static struct cli cli;
    const char *values[OPTIONS_MAX] = { NULL }, *key_file = NULL;
    bool flags[OPTIONS_MAX] = { false }, from_stdin = false;
    struct cli_option options[OPTIONS_MAX] = { { NULL, NULL, NULL } };
    size_t count = 0;
    for (; count < noun->input_count; count++) {
        const bool off = noun->inputs[count].kind == IN_OFF;
        options[count] = (struct cli_option){ noun->inputs[count].option,
                                              off ? NULL : &values[count], &flags[count] };
    }
    if (noun->has_secret) {
        options[count++] = (struct cli_option){ "--api-key-stdin", NULL, &from_stdin };
        options[count++] = (struct cli_option){ "--api-key-file", &key_file, NULL };
    }
    int status = cli_options(&cli, argc, argv, options, 0, 0);
    if (status != EXIT_DONE || cli.help)
        return cli.help ? cmd_help(noun->name) : status;
    json_t *body = json_object(), *reply = NULL;
    for (size_t i = 0; i < noun->input_count && status == EXIT_DONE; i++) {
        if (flags[i])
            json_object_set_new(body, noun->inputs[i].member, json_false());
        if (values[i] != NULL && !put_input(body, &noun->inputs[i], values[i])) {
            fprintf(stderr, "penstock: %s does not take `%s`\n", noun->inputs[i].option, values[i]);
            status = EXIT_INVALID;
        }
    }
    if (status == EXIT_DONE && (from_stdin || key_file != NULL))
        status = put_secret(body, from_stdin, key_file);
    if (status == EXIT_DONE)
        status = cli_open(&cli, strcmp(noun->name, "token") == 0 ? CLI_GATEWAY : CLI_WRITE);
    if (status == EXIT_DONE) {
        char path[64];
        fit_printf(path, sizeof(path), "/api/v1/%s", noun->plural);
        status = cli_call(&cli, API_POST, path, body, &reply);
        body = NULL;
    }
    if (status == EXIT_DONE)
        show_made(&cli, reply);
    json_decref(body);
    json_decref(reply);
    cli_close(&cli);
    return status;
}

// --- showing and removing ---

// All pages as one.
static int fetch_all(struct cli *cli, const struct noun *noun, json_t *items)
{
    struct text path = { 0 };
    json_t *reply = NULL;
    int status = EXIT_DONE;
    text_printf(&path, "/api/v1/%s%s", noun->plural,
                strcmp(noun->name, "token") == 0 ? "" : "?limit=1000");
    for (int page = 0; page < LIST_PAGES_MAX && path.len > 0; page++) {
        status = cli_call(cli, API_GET, path.ptr, NULL, &reply);
        if (status != EXIT_DONE)
            break;
        json_array_extend(items, json_object_get(reply, "items"));
        const char *next = json_string_value(json_object_get(reply, "next"));
        text_fini(&path);
        if (next != NULL) {
            text_printf(&path, "/api/v1/%s?limit=1000&cursor=", noun->plural);
            cli_escape(&path, next);
        }
        json_decref(reply);
    }
    text_fini(&path);
    return status;
}

static int list(const struct noun *noun, int argc, char **argv)
{
    static struct cli cli;
    int status = cli_options(&cli, argc, argv, NULL, 0, 0);
    if (status != EXIT_DONE || cli.help)
        return cli.help ? cmd_help(noun->name) : status;
    json_t *items = json_array();
    status = cli_open(&cli, CLI_READ);
    if (status == EXIT_DONE)
        status = fetch_all(&cli, noun, items);
    if (status == EXIT_DONE && cli.json)
        cli_json(items);
    else if (status == EXIT_DONE)
        cli_table(noun->columns, noun->column_count, items);
    json_decref(items);
    cli_close(&cli);
    return status;
}

enum deed { DEED_GET, DEED_REMOVE, DEED_TEST };

static int show_test(const struct cli *cli, const json_t *reply)
{
    const bool good = json_is_true(json_object_get(reply, "ok"));
    if (cli->json)
        cli_json(reply);
    else
        printf("%s: %s (%lld ms)\n", good ? "ok" : "failed",
               json_string_value(json_object_get(reply, "detail")),
               (long long)json_integer_value(json_object_get(reply, "total_ms")));
    return good ? EXIT_DONE : EXIT_UNREACHABLE;
}

static int on_one(const struct noun *noun, enum deed deed, int argc, char **argv)
{
    static struct cli cli;
    static const enum cli_need needs[] = { CLI_READ, CLI_WRITE, CLI_GATEWAY };
    static const enum api_method methods[] = { API_GET, API_DELETE, API_POST };
    int status = cli_options(&cli, argc, argv, NULL, 0, 1);
    if (status != EXIT_DONE || cli.help)
        return cli.help ? cmd_help(noun->name) : status;
    if (cli.word_count == 0) {
        fprintf(stderr, "penstock: which %s? Give its name or its id\n", noun->name);
        return EXIT_USAGE;
    }
    char id[CHANGE_ID_MAX + 1];
    struct text path = { 0 };
    json_t *reply = NULL;
    const bool is_token = strcmp(noun->name, "token") == 0;
    status = cli_open(&cli, needs[deed]);
    if (status == EXIT_DONE && is_token)
        fit_printf(id, sizeof(id), "%s", cli.words[0]);
    else if (status == EXIT_DONE)
        status = cli_find(&cli, noun->plural, cli.words[0], id);
    if (status == EXIT_DONE) {
        text_printf(&path, "/api/v1/%s/", noun->plural);
        cli_escape(&path, id);
        if (deed == DEED_TEST)
            text_add(&path, SPAN("/test"));
        status = cli_call(&cli, methods[deed], path.ptr, NULL, &reply);
    }
    if (status == EXIT_DONE && deed == DEED_TEST)
        status = show_test(&cli, reply);
    else if (status == EXIT_DONE && deed == DEED_GET && cli.json)
        cli_json(reply);
    else if (status == EXIT_DONE && deed == DEED_GET)
        cli_object(reply);
    text_fini(&path);
    json_decref(reply);
    cli_close(&cli);
    return status;
}

// --- the verbs ---

#define CREATE(noun)                                          \
    int cmd_##noun##_create(int argc, char **argv)            \
    {                                                         \
        return create(&noun_##noun, argc, argv);              \
    }                                                         \
    int cmd_##noun##_list(int argc, char **argv)              \
    {                                                         \
        return list(&noun_##noun, argc, argv);                \
    }                                                         \
    int cmd_##noun##_remove(int argc, char **argv)            \
    {                                                         \
        return on_one(&noun_##noun, DEED_REMOVE, argc, argv); \
    }
#define GET(noun)                                          \
    int cmd_##noun##_get(int argc, char **argv)            \
    {                                                      \
        return on_one(&noun_##noun, DEED_GET, argc, argv); \
    }

CREATE(account)
CREATE(key)
CREATE(model)
CREATE(token)
GET(account)
GET(key)
GET(model)

int cmd_account_test(int argc, char **argv)
{
    return on_one(&noun_account, DEED_TEST, argc, argv);
}
