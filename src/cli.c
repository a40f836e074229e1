// Options, output, and one call to the API whichever way there is.
#include "cli.h"

#include "penstock/base/check.h"
#include "penstock/ctl/master.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    REPLY_MAX = 256 * MIB,
    CALL_SECONDS = 60,
    PATH_BYTES = 4096,
    COLUMNS_MAX = 32,
    CELL_MAX = 60,
};

// --- options ---

static const struct cli_option *find_option(const struct cli_option *options, const char *name)
{
    for (; options != NULL && options->name != NULL; options++)
        if (strcmp(options->name, name) == 0)
            return options;
    return NULL;
}

static int bad_usage(const char *word, const char *why)
{
    fprintf(stderr, "penstock: `%s` %s; --help tells more\n", word, why);
    return EXIT_USAGE;
}

// Takes one option with its value. Returns how many words it is; 0 with *status set.
static int take_option(struct cli *cli, int argc, char **argv, int at, const struct cli_option *own,
                       int *status)
{
    const char *format = NULL;
    const struct cli_option common[] = {
        { "-c", &cli->config_path, NULL },
        { "--config", &cli->config_path, NULL },
        { "-o", &format, NULL },
        { "--output", &format, NULL },
        { "--help", NULL, &cli->help },
        { "-h", NULL, &cli->help },
        { NULL, NULL, NULL },
    };
    const struct cli_option *option = find_option(common, argv[at]);
    if (option == NULL)
        option = find_option(own, argv[at]);
    if (option == NULL) {
        *status = bad_usage(argv[at], "is no option here");
        return 0;
    }
    if (option->value == NULL) {
        *option->flag = true;
        return 1;
    }
    if (at + 1 >= argc) {
        *status = bad_usage(argv[at], "needs a value");
        return 0;
    }
    *option->value = argv[at + 1];
    if (format == NULL)
        return 2;
    cli->json = strcmp(format, "json") == 0;
    if (cli->json || strcmp(format, "table") == 0)
        return 2;
    *status = bad_usage(format, "is no output: table and json are");
    return 0;
}

int cli_options(struct cli *cli, int argc, char **argv, const struct cli_option *options,
                int words_min, int words_max)
{
    memset(cli, 0, sizeof(*cli));
    int status = EXIT_DONE;
    for (int i = 0; i < argc;) {
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            const int taken = take_option(cli, argc, argv, i, options, &status);
            if (taken == 0)
                return status;
            i += taken;
        } else if (cli->word_count == words_max) {
            return bad_usage(argv[i], "is too much");
        } else {
            cli->words[cli->word_count++] = argv[i++];
        }
    }
    if (cli->word_count < words_min && !cli->help) {
        fprintf(stderr, "penstock: something is missing; --help tells what\n");
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

// --- the store, with no gateway running ---

static int open_keys(struct cli *cli)
{
    struct master_info info = { .source = MASTER_FILE };
    struct secret *master = NULL;
    struct err err =
        master_load(cli->cfg, config_world_system(), env_system(), cli->vault, &master, &info);
    if (failed(err)) {
        fprintf(stderr, "penstock: the master key: %s\n", info.why);
        return EXIT_INVALID;
    }
    err = keyring_init(&cli->keyring, cli->vault, master);
    secret_free(&master);
    cli->has_keyring = !failed(err);
    return failed(err) ? EXIT_FAILED : EXIT_DONE;
}

static int open_store(struct cli *cli, enum cli_need need)
{
    static struct store_why why;
    char dir[PATH_BYTES];
    if (dirs_make(cli->cfg->state_dir.ptr) != 0 || dirs_make(cli->cfg->runtime_dir.ptr) != 0) {
        fprintf(stderr, "penstock: %s: %s\n", cli->cfg->state_dir.ptr, strerror(errno));
        return EXIT_FAILED;
    }
    const int status = open_keys(cli);
    if (status != EXIT_DONE)
        return status;
    fit_printf(dir, sizeof(dir), "%s/db", cli->cfg->state_dir.ptr);
    struct store_cfg cfg;
    store_cfg_init(&cfg);
    cfg.dir = dir;
    cfg.runtime_dir = cli->cfg->runtime_dir.ptr;
    cfg.disk_min_bytes = cli->cfg->store.disk_watermark;
    cfg.detail_days = 0; // the gateway drops what is old
    struct err err = need == CLI_READ ? store_open_readonly(&cfg, &cli->store, &why)
                                      : store_open(&cfg, &cli->store, &why);
    if (err.code == ERR_NOT_FOUND) // nothing was ever stored
        err = store_open(&cfg, &cli->store, &why);
    if (!failed(err))
        return EXIT_DONE;
    fprintf(stderr, "penstock: %s\n", why.text);
    if (err.code != ERR_STORE_LOCKED)
        return EXIT_FAILED;
    fprintf(stderr, "penstock: no gateway answers at %s\n", cli->cfg->listen.control.ptr);
    return EXIT_UNREACHABLE;
}

static int open_offline(struct cli *cli, enum cli_need need)
{
    const int status = open_store(cli, need);
    if (status != EXIT_DONE)
        return status;
    const struct registry_cfg cfg = {
        .env = env_system(),
        .vault = cli->vault,
        .keyring = &cli->keyring,
        .config = cli->cfg,
        .store = cli->store,
    };
    struct registry_why why;
    if (failed(registry_new(&cli->registry, &cfg, &why))) {
        fprintf(stderr, "penstock: %s\n", why.text);
        return EXIT_INVALID;
    }
    cli->api = (struct api){
        .registry = cli->registry,
        .config = cli->cfg,
        .store = cli->store,
        .env = env_system(),
    };
    cli->is_offline = true;
    return EXIT_DONE;
}

// --- finding the gateway ---

static int load_config(struct cli *cli)
{
    static struct problems problems;
    struct text source = { 0 }, report = { 0 };
    const char *path = cli->config_path;
    problems_init(&problems);
    cli->cfg =
        path != NULL
            ? config_load_file(path, cli->vault, config_world_system(), &problems, &source)
            : config_load(SPAN(""), "defaults", cli->vault, config_world_system(), &problems);
    if (cli->cfg == NULL) { // warnings are `config check`'s business
        problems_render(&problems, path != NULL ? path : "defaults",
                        span_of(source.ptr, source.len), &report);
        fputs(report.ptr, stderr);
    }
    text_fini(&report);
    text_fini(&source);
    return cli->cfg != NULL ? EXIT_DONE : EXIT_INVALID;
}

// A connection to the running gateway, or -1.
static int dial(const struct cli *cli)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    const char *path = cli->cfg->listen.control.ptr;
    const struct timeval limit = { .tv_sec = CALL_SECONDS };
    if (fit_printf(addr.sun_path, sizeof(addr.sun_path), "%s", path) != strlen(path))
        return -1;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int cli_open(struct cli *cli, enum cli_need need)
{
    if (failed(vault_new(&cli->vault)))
        return EXIT_FAILED;
    const int status = load_config(cli);
    if (status != EXIT_DONE)
        return status;
    const int fd = dial(cli);
    if (fd >= 0) {
        close(fd);
        return EXIT_DONE;
    }
    if (errno == EACCES || errno == EPERM) {
        fprintf(stderr, "penstock: %s belongs to another user\n", cli->cfg->listen.control.ptr);
        return EXIT_FORBIDDEN;
    }
    if (need == CLI_GATEWAY) {
        fprintf(stderr,
                "penstock: no gateway answers at %s; is it running, and does -c name its file?\n",
                cli->cfg->listen.control.ptr);
        return EXIT_UNREACHABLE;
    }
    return open_offline(cli, need);
}

bool cli_is_there(const struct cli *cli)
{
    const int fd = dial(cli);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

void cli_close(struct cli *cli)
{
    registry_free(&cli->registry);
    store_close(&cli->store);
    if (cli->has_keyring)
        keyring_fini(&cli->keyring);
    config_free(&cli->cfg);
    if (cli->vault != NULL)
        vault_free(&cli->vault);
}

// --- one call ---

static void on_done(struct api_call *call)
{
    *(bool *)call->user = true;
}

static int call_offline(struct cli *cli, enum api_method method, struct span target,
                        struct span body, struct text *out)
{
    const size_t cut = span_find(target, '?');
    bool done = false;
    struct api_call call = {
        .method = method,
        .path = span_upto(target, cut),
        .query = span_from(target, min_size(cut + 1, target.len)),
        .body = body,
        .is_local = true,
        .is_json = true,
        .done = on_done,
        .user = &done,
    };
    if (!api_begin(&cli->api, &call))
        while (!done)
            (void)registry_poll(cli->registry);
    text_add(out, text_span(&call.text));
    api_call_fini(&call);
    return call.status;
}

static bool send_all(int fd, struct span bytes)
{
    while (bytes.len > 0) {
        const ssize_t sent = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        bytes = span_from(bytes, (size_t)sent);
    }
    return true;
}

static bool receive_all(int fd, struct text *out)
{
    char bytes[16 * KIB];
    while (out->len < REPLY_MAX) {
        const ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        text_add(out, span_of(bytes, (size_t)got));
    }
    bytes_wipe(bytes, sizeof(bytes));
    return true;
}

// The gateway is ours and answers with a length or nothing, and then closes.
static int parse_reply(const struct text *raw, struct text *out)
{
    const struct span all = text_span(raw);
    const char *end = all.len > 12 ? memmem(all.ptr, all.len, "\r\n\r\n", 4) : NULL;
    uint64_t status;
    if (end == NULL || !span_starts(all, SPAN("HTTP/1.1 ")) ||
        !span_u64(span_of(all.ptr + 9, 3), &status))
        return 0;
    text_add(out, span_from(all, (size_t)(end - all.ptr) + 4));
    return (int)status;
}

static int call_gateway(struct cli *cli, enum api_method method, struct span target,
                        struct span body, struct text *out)
{
    const int fd = dial(cli);
    if (fd < 0)
        return 0;
    struct text head = { 0 }, raw = { 0 };
    text_printf(&head,
                "%s %.*s HTTP/1.1\r\nhost: control\r\nconnection: close\r\n"
                "content-type: application/json\r\ncontent-length: %zu\r\n\r\n",
                api_method_name(method), (int)target.len, target.ptr, body.len);
    const bool good = send_all(fd, text_span(&head)) && send_all(fd, body) && receive_all(fd, &raw);
    close(fd);
    const int status = good ? parse_reply(&raw, out) : 0;
    text_fini(&head);
    text_fini(&raw);
    return status;
}

static int exit_of(int status)
{
    if (status >= 200 && status < 300)
        return EXIT_DONE;
    switch (status) {
    case 401:
    case 403: return EXIT_FORBIDDEN;
    case 404: return EXIT_NOT_FOUND;
    case 409: return EXIT_CONFLICT;
    case 502:
    case 504: return EXIT_UNREACHABLE;
    default: return status >= 400 && status < 500 ? EXIT_INVALID : EXIT_FAILED;
    }
}

static void explain(const json_t *reply)
{
    const char *title = json_string_value(json_object_get(reply, "title"));
    const char *detail = json_string_value(json_object_get(reply, "detail"));
    const json_t *errors = json_object_get(reply, "errors");
    const char *report = json_string_value(json_object_get(reply, "report"));
    if (report != NULL)
        fputs(report, stderr);
    if (json_array_size(errors) == 0) {
        fprintf(stderr, "penstock: %s%s%s\n", title != NULL ? title : "the gateway refused",
                detail != NULL ? ": " : "", detail != NULL ? detail : "");
        return;
    }
    size_t i;
    json_t *error;
    json_array_foreach(errors, i, error)
    {
        const char *message = json_string_value(json_object_get(error, "message"));
        const char *hint = json_string_value(json_object_get(error, "hint"));
        const char *help = json_string_value(json_object_get(error, "help"));
        fprintf(stderr, "penstock: %s%s%s\n", message != NULL ? message : "",
                hint != NULL ? "; " : "", hint != NULL ? hint : "");
        if (help != NULL)
            fprintf(stderr, "  = help: %s\n", help);
    }
}

int cli_call(struct cli *cli, enum api_method method, const char *path, json_t *body,
             json_t **reply)
{
    struct text out = { 0 };
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    const struct span bytes = text != NULL ? span_str(text) : SPAN_NONE;
    if (body != NULL)
        json_decref(body);
    const int status = cli->is_offline ? call_offline(cli, method, span_str(path), bytes, &out)
                                       : call_gateway(cli, method, span_str(path), bytes, &out);
    if (text != NULL)
        bytes_wipe(text, bytes.len);
    free(text);
    *reply = out.len > 0 ? json_loadb(out.ptr, out.len, 0, NULL) : NULL;
    text_fini(&out);
    if (status == 0) {
        fprintf(stderr, "penstock: the gateway at %s gave no answer\n",
                cli->cfg->listen.control.ptr);
        return EXIT_UNREACHABLE;
    }
    const int code = exit_of(status);
    if (code != EXIT_DONE) {
        explain(*reply);
        json_decref(*reply);
        *reply = NULL;
    }
    return code;
}

void cli_escape(struct text *out, const char *text)
{
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;
        const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                           (byte >= 'A' && byte <= 'Z') || strchr("-_.~", byte) != NULL;
        if (plain)
            text_add_char(out, *text, 1);
        else
            text_printf(out, "%%%02X", byte);
    }
}

int cli_find(struct cli *cli, const char *plural, const char *what, char id[CHANGE_ID_MAX + 1])
{
    struct text path = { 0 };
    json_t *reply;
    text_printf(&path, "/api/v1/%s?name=", plural);
    cli_escape(&path, what);
    int status = cli_call(cli, API_GET, path.ptr, NULL, &reply);
    text_fini(&path);
    if (status != EXIT_DONE)
        return status;
    const json_t *first = json_array_get(json_object_get(reply, "items"), 0);
    const char *found = json_string_value(json_object_get(first, "id"));
    fit_printf(id, CHANGE_ID_MAX + 1, "%s", found != NULL ? found : what);
    json_decref(reply);
    return EXIT_DONE;
}

// --- output ---

static void cell(const json_t *item, const char *path, struct text *out)
{
    struct span rest = span_str(path);
    while (item != NULL && rest.len > 0) {
        char name[64];
        const size_t len = span_find(rest, '.');
        fit_printf(name, sizeof(name), "%.*s", (int)len, rest.ptr);
        item = json_object_get(item, name);
        rest = span_from(rest, min_size(len + 1, rest.len));
    }
    if (json_is_string(item)) {
        text_add(out, span_of(json_string_value(item), json_string_length(item)));
    } else if (json_is_array(item)) {
        size_t i;
        json_t *one;
        json_array_foreach(item, i, one) text_printf(
            out, "%s%s", i > 0 ? "," : "", json_is_string(one) ? json_string_value(one) : "");
    } else if (json_is_boolean(item)) {
        text_add(out, json_is_true(item) ? SPAN("yes") : SPAN("no"));
    } else if (json_is_integer(item)) {
        text_printf(out, "%lld", (long long)json_integer_value(item));
    }
    if (out->len == 0)
        text_add(out, SPAN("-"));
    for (size_t i = 0; i < out->len; i++)
        if ((unsigned char)out->ptr[i] < ' ' || out->ptr[i] == 0x7f)
            out->ptr[i] = ' '; // a vendor's or a client's text may not steer the terminal
}

void cli_table(const struct cli_column *columns, size_t count, const json_t *items)
{
    const bool pretty = isatty(STDOUT_FILENO);
    size_t widths[COLUMNS_MAX] = { 0 }, i;
    json_t *item;
    assert(count <= COLUMNS_MAX);
    for (size_t at = 0; at < count; at++)
        widths[at] = strlen(columns[at].title);
    json_array_foreach(items, i, item) for (size_t at = 0; at < count; at++)
    {
        struct text text = { 0 };
        cell(item, columns[at].path, &text);
        widths[at] = max_size(widths[at], min_size(text.len, CELL_MAX));
        text_fini(&text);
    }
    for (size_t at = 0; pretty && at < count; at++)
        printf("%-*s%s", (int)widths[at], columns[at].title, at + 1 < count ? "  " : "\n");
    json_array_foreach(items, i, item) for (size_t at = 0; at < count; at++)
    {
        struct text text = { 0 };
        cell(item, columns[at].path, &text);
        printf("%-*s%s", pretty ? (int)widths[at] : 0, text.ptr,
               at + 1 < count ? (pretty ? "  " : "\t") : "\n");
        text_fini(&text);
    }
}

void cli_json(const json_t *json)
{
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    verify(text != NULL);
    puts(text);
    bytes_wipe(text, strlen(text));
    free(text);
}

void cli_object(const json_t *json)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)json, name, value)
    {
        if (json_is_object(value)) {
            const char *below;
            json_t *inner;
            json_object_foreach(value, below, inner)
            {
                struct text text = { 0 };
                cell(value, below, &text);
                printf("%s.%s: %s\n", name, below, text.ptr);
                text_fini(&text);
            }
            continue;
        }
        struct text text = { 0 };
        cell(json, name, &text);
        printf("%s: %s\n", name, text.ptr);
        text_fini(&text);
    }
}
