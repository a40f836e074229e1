// What config.h promises: strict reading, messages with a place and a hint, defaults that the
// example file agrees with.
#include "test.h"

#include "penstock/ctl/config.h"
#include "penstock/model/seal.h"

#include <errno.h>

// A world of a few variables and files.
struct fake_world {
    struct config_world world;
    const char *variables[8]; // "NAME=value"
    struct {
        const char *path, *text;
    } files[4];
};

static const char *fake_env(struct config_world *world, const char *name)
{
    struct fake_world *fake = container_of(world, struct fake_world, world);
    for (size_t i = 0; i < ARRAY_LEN(fake->variables) && fake->variables[i] != NULL; i++) {
        const size_t len = strlen(name);
        if (strncmp(fake->variables[i], name, len) == 0 && fake->variables[i][len] == '=')
            return fake->variables[i] + len + 1;
    }
    return NULL;
}

static const char *fake_env_at(struct config_world *world, size_t i)
{
    struct fake_world *fake = container_of(world, struct fake_world, world);
    return i < ARRAY_LEN(fake->variables) ? fake->variables[i] : NULL;
}

static int fake_read(struct config_world *world, const char *path, size_t max, struct text *out,
                     struct config_stat *stat)
{
    struct fake_world *fake = container_of(world, struct fake_world, world);
    for (size_t i = 0; i < ARRAY_LEN(fake->files) && fake->files[i].path != NULL; i++) {
        if (strcmp(fake->files[i].path, path) != 0)
            continue;
        if (strlen(fake->files[i].text) > max)
            return EFBIG;
        text_add(out, span_str(fake->files[i].text));
        if (stat != NULL)
            *stat = (struct config_stat){ 0600, 1000 };
        return 0;
    }
    return ENOENT;
}

static struct vault *vault;
static struct problems problems;
static struct fake_world world;

static void setup(void)
{
    EXPECT(!failed(vault_new(&vault)));
    world = (struct fake_world){ .world = { fake_env, fake_env_at, fake_read, 1000 } };
}

static void teardown(void)
{
    vault_free(&vault); // fails the test if a secret is left
}

static struct config *load(const char *text)
{
    problems_init(&problems);
    return config_load(span_str(text), "penstock.yaml", vault, &world.world, &problems);
}

static const char *report(const char *text)
{
    static char bytes[64 * KIB];
    struct text out = { 0 };
    problems_render(&problems, "penstock.yaml", span_str(text), &out);
    EXPECT(out.len < sizeof(bytes));
    memcpy(bytes, out.ptr, out.len + 1);
    text_fini(&out);
    return bytes;
}

// Loads a text that must fail with exactly the report `want`.
#define EXPECT_REPORT(text, want)                  \
    do {                                           \
        struct config *cfg_ = load(text);          \
        EXPECT(cfg_ == NULL);                      \
        EXPECT_SPAN(span_str(report(text)), want); \
        config_free(&cfg_);                        \
    } while (0)

// Loads `text` behind the version line, and expects one problem with `code` at line and column.
static void expect_problem(const char *text, enum problem_code code, unsigned line, unsigned column)
{
    char whole[4096];
    snprintf(whole, sizeof(whole), "config_version: 1\n%s", text);
    struct config *cfg = load(whole);
    bool found = false;
    for (uint32_t i = 0; i < problems.count; i++)
        found |= problems.items[i].code == code && problems.items[i].place.line == line &&
                 problems.items[i].place.column == column;
    if (!found || problems.count != 1) {
        fprintf(stderr, "expected C%04u at %u:%u alone in\n%s%s", (unsigned)code, line, column,
                whole, report(whole));
        test_failures++;
    }
    config_free(&cfg);
}

static void an_empty_file_is_the_defaults(void)
{
    setup();
    static const char *const texts[] = { "", "# only a comment\n", "---\n", "config_version: 1\n",
                                         "\357\273\277config_version: 1\n" };
    struct config *defaults = load("");
    EXPECT(defaults != NULL);
    EXPECT_EQ(defaults->limits.body, 64 * MIB);
    EXPECT_EQ(defaults->timeouts.first_byte_whole_ns, 600 * NS_PER_S);
    EXPECT_EQ(defaults->timeouts.total_ns, 0);
    EXPECT_EQ(defaults->store.retention_ns, 90 * 86400 * NS_PER_S);
    EXPECT_EQ(defaults->shards, 0);
    EXPECT_EQ(defaults->listen.data.count, 1);
    EXPECT_SPAN(((struct config_listener *)defaults->listen.data.items)->address, "127.0.0.1:8080");
    EXPECT_SPAN(defaults->state_dir, "/tmp/penstock-1000");
    EXPECT_SPAN(defaults->listen.control, "/tmp/penstock-1000/control.sock");
    EXPECT(defaults->log.access && defaults->log.level == LOG_INFO);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct config *cfg = load(texts[i]);
        EXPECT(cfg != NULL && problems.count == 0);
        EXPECT(cfg != NULL && record_eq(&cfg->record, &defaults->record));
        config_free(&cfg);
    }
    config_free(&defaults);
    teardown();
}

// `name` is relative to the project's root, which this file's own name tells.
static void read_file(const char *name, struct text *out)
{
    static const char here[] = __FILE__, below[] = "tests/unit/test_config.c";
    char path[1024];
    snprintf(path, sizeof(path), "%.*s%s", (int)(sizeof(here) - sizeof(below)), here, name);
    FILE *file = fopen(path, "r");
    char bytes[4096];
    size_t len;
    EXPECT(file != NULL);
    while (file != NULL && (len = fread(bytes, 1, sizeof(bytes), file)) > 0)
        text_add(out, span_of(bytes, len));
    if (file != NULL)
        fclose(file);
}

static void the_example_file_is_the_defaults_and_names_every_setting(void)
{
    setup();
    struct text text = { 0 };
    read_file("configs/penstock.yaml", &text);
    struct config *defaults = load("");
    struct config *example = load(text.ptr);
    if (problems.count > 0)
        fputs(report(text.ptr), stderr);
    EXPECT(example != NULL && problems.count == 0);
    for (uint32_t i = 0; i < config_table.count && example != NULL; i++) {
        const struct field *field = &config_table.fields[i];
        if (!record_has(&example->record, field) ||
            !record_field_eq(&example->record, &defaults->record, field)) {
            fprintf(stderr, "%s is missing from the example, or differs\n", field->name);
            test_failures++;
        }
    }
    config_free(&example);
    // The resources in it are commented out; they load too when they are not.
    struct text whole = { 0 };
    const char *at = strstr(text.ptr, "# resources:");
    EXPECT(at != NULL);
    text_add(&whole, SPAN("config_version: 1\n"));
    while (at != NULL && *at == '#') {
        const size_t len = span_find(span_str(at), '\n') + 1;
        text_add(&whole, span_of(at + 2, len - 2));
        at += len;
    }
    world.variables[0] = "CREDENTIALS_DIRECTORY=/c";
    world.files[0].path = "/c/openai-key", world.files[0].text = "sk-1\n";
    world.files[1].path = "/etc/penstock/team-a.key";
    world.files[1].text = "sk-pst-0Eoh211G4c8wtVWM00my5rsNSFlKgaWqQ4mb8gdEqno3QeNOm\n";
    example = load(whole.ptr);
    if (problems.count > 0)
        fputs(report(whole.ptr), stderr);
    EXPECT(example != NULL && example->account_count == 2 && example->key_count == 1 &&
           example->route_count == 1);
    config_free(&example), config_free(&defaults);
    text_fini(&text), text_fini(&whole);
    teardown();
}

static void a_misspelt_key_is_shown_with_its_place(void)
{
    setup();
    EXPECT_REPORT("config_version: 1\n"
                  "timeouts:\n"
                  "  hedaer: 30\n",
                  "penstock.yaml:3:3: error[C0312]: unknown key `hedaer` in `timeouts`\n"
                  "   3 |   hedaer: 30\n"
                  "     |   ^^^^^^ did you mean `header`?\n"
                  "  = help: `timeouts.header` needs a unit, e.g. `10s`   "
                  "(penstock config explain timeouts.header)\n"
                  "1 error, 0 warnings\n");
    EXPECT_REPORT("config_version: 1\n"
                  "body: 3\n"
                  "zzz: 1\n",
                  "penstock.yaml:2:1: error[C0312]: unknown key `body`\n"
                  "   2 | body: 3\n"
                  "     | ^^^^ did you mean `limits.body`?\n"
                  "  = help: `limits.body` needs a unit, e.g. `64MiB`   "
                  "(penstock config explain limits.body)\n"
                  "penstock.yaml:3:1: error[C0312]: unknown key `zzz`\n"
                  "   3 | zzz: 1\n"
                  "     | ^^^\n"
                  "  = help: known here: `config_version`, `io`, `shards`, `listen`, `state_dir`, "
                  "`runtime_dir`, `master_key`, `limits`, `timeouts`, `client_half_close`, `cors`, "
                  "`log`, `store`, `upstream`, `mock`\n"
                  "2 errors, 0 warnings\n");
    teardown();
}

static void each_mistake_has_its_code_and_place(void)
{
    setup();
    expect_problem("timeouts: {header: 30}\n", PROBLEM_UNIT_MISSING, 2, 20);
    expect_problem("timeouts:\n  header: 30s\n  header: 31s\n", PROBLEM_DUPLICATE_KEY, 4, 3);
    expect_problem("limits:\n  body: 1TiB\n", PROBLEM_OUT_OF_RANGE, 3, 9);
    expect_problem("limits:\n  body: 64MB\n", PROBLEM_MALFORMED, 3, 9);
    expect_problem("limits:\n  per_address: 0\n", PROBLEM_OUT_OF_RANGE, 3, 16);
    expect_problem("shards: 1.5\n", PROBLEM_MALFORMED, 2, 9);
    expect_problem("shards: \"2\"\n", PROBLEM_WRONG_KIND, 2, 9);
    expect_problem("log: {access: yes}\n", PROBLEM_WRONG_KIND, 2, 15);
    expect_problem("log: {level: loud}\n", PROBLEM_NOT_ONE_OF, 2, 14);
    expect_problem("log: info\n", PROBLEM_WRONG_KIND, 2, 6);
    expect_problem("log:\n  level:\n", PROBLEM_EMPTY, 3, 9);
    expect_problem("timeouts.header: 3s\n", PROBLEM_UNKNOWN_KEY, 2, 1);
    expect_problem("shards: &x 1\n", PROBLEM_FORBIDDEN_YAML, 2, 9);
    expect_problem("shards: !!int 1\n", PROBLEM_FORBIDDEN_YAML, 2, 9);
    expect_problem("shards: *x\n", PROBLEM_FORBIDDEN_YAML, 2, 9);
    expect_problem("? [a]\n: 1\n", PROBLEM_FORBIDDEN_YAML, 2, 3);
    expect_problem("---\nshards: 1\n", PROBLEM_DOCUMENTS, 2, 1);
    expect_problem("shards: [1\n", PROBLEM_SYNTAX, 3, 1);
    expect_problem("\tshards: 1\n", PROBLEM_SYNTAX, 2, 1);
    expect_problem("listen: {data: [example.com:80]}\n", PROBLEM_MALFORMED, 2, 17);
    expect_problem("listen: {data: ['127.0.0.1']}\n", PROBLEM_MALFORMED, 2, 17);
    expect_problem("listen: {data: [{adress: ':80'}]}\n", PROBLEM_UNKNOWN_KEY, 2, 18);
    expect_problem("listen:\n  data:\n    - address: ':80'\n      tls: [{cert: /a}]\n",
                   PROBLEM_MISSING, 5, 13);
    expect_problem("listen: {admin: ':81'}\n", PROBLEM_ADMIN_EXPOSED, 2, 17);
    expect_problem("listen: {data: ':80'}\n", PROBLEM_DATA_EXPOSED, 2, 16); // a warning
    EXPECT_EQ(problems.error_count, 0);
    expect_problem("upstream: {allow_cidr: [169.254.0.0/16]}\n", PROBLEM_MALFORMED, 2, 25);
    expect_problem("upstream: {allow_cidr: [10.0.0.1/8]}\n", PROBLEM_MALFORMED, 2, 25);
    expect_problem("upstream: {allow_cidr: [10.0.0.0/33]}\n", PROBLEM_MALFORMED, 2, 25);
    expect_problem("cors: {origins: ['https://a/b']}\n", PROBLEM_MALFORMED, 2, 18);
    expect_problem("cors: {origins: ['*', 'https://a']}\n", PROBLEM_INCONSISTENT, 2, 17);
    expect_problem("limits: {memory: 16MiB}\n", PROBLEM_INCONSISTENT, 2, 18);
    expect_problem("master_key: {file: /a, env: B}\n", PROBLEM_EXCLUSIVE, 2, 13);
    expect_problem("state_dir: here\n", PROBLEM_MALFORMED, 2, 12);
    expect_problem("resources: {acounts: []}\n", PROBLEM_UNKNOWN_KEY, 2, 13);
    expect_problem("resources: []\n", PROBLEM_WRONG_KIND, 2, 12);
    expect_problem("resources: {keys: {}}\n", PROBLEM_WRONG_KIND, 2, 19);
    expect_problem("resources: {keys: [1]}\n", PROBLEM_WRONG_KIND, 2, 20);
    expect_problem("resources: {keys: [{name: a}]}\n", PROBLEM_MISSING, 2, 20);
    teardown();
}

static void the_version_is_asked_for_first(void)
{
    setup();
    EXPECT_REPORT("shards: 2\n", "penstock.yaml:1:1: error[C0306]: `config_version` is missing\n"
                                 "   1 | shards: 2\n"
                                 "     | ^ for example `config_version: 1`\n"
                                 "  = help: The version of this file's format.\n"
                                 "1 error, 0 warnings\n");
    EXPECT_REPORT("config_version: 2\nwhat: is this\n",
                  "penstock.yaml:1:17: error[C0301]: `config_version` is not 1, the only one this "
                  "program knows\n"
                  "   1 | config_version: 2\n"
                  "     |                 ^ write `config_version: 1`\n"
                  "1 error, 0 warnings\n");
    EXPECT(load("- 1\n") == NULL && problems.items[0].code == PROBLEM_DOCUMENTS);
    EXPECT(load("7\n") == NULL && problems.items[0].code == PROBLEM_DOCUMENTS);
    EXPECT(load("a: \xff\n") == NULL && problems.items[0].code == PROBLEM_ENCODING);
    teardown();
}

static void all_mistakes_come_in_one_pass_up_to_a_bound(void)
{
    setup();
    struct text text = { 0 };
    text_add(&text, SPAN("config_version: 1\n"));
    for (int i = 0; i < 60; i++)
        text_printf(&text, "unknown_%d: 1\n", i);
    EXPECT(load(text.ptr) == NULL);
    EXPECT_EQ(problems.count, PROBLEMS_MAX);
    EXPECT_EQ(problems.error_count, 60);
    EXPECT(strstr(report(text.ptr), "(10 more are not shown)\n60 errors, 0 warnings\n") != NULL);
    text_fini(&text);
    teardown();
}

static void deep_and_large_documents_are_refused(void)
{
    setup();
    struct text text = { 0 };
    text_add(&text, SPAN("config_version: 1\na: "));
    text_add_char(&text, '[', 40);
    EXPECT(load(text.ptr) == NULL);
    EXPECT_EQ(problems.items[0].code, PROBLEM_TOO_DEEP);
    text_fini(&text);
    text_add(&text, SPAN("config_version: 1\n"));
    for (int i = 0; i < 5000; i++)
        text_printf(&text, "k%d: 1\n", i);
    EXPECT(load(text.ptr) == NULL);
    EXPECT_EQ(problems.items[0].code, PROBLEM_TOO_LARGE);
    text_fini(&text);
    teardown();
}

static void values_are_interpolated(void)
{
    setup();
    world.variables[0] = "PORT=9000";
    world.variables[1] = "EMPTY=";
    world.variables[2] = "CREDENTIALS_DIRECTORY=/creds";
    world.files[0].path = "/etc/origin", world.files[0].text = "https://a.example\n";
    world.files[1].path = "/creds/name", world.files[1].text = "b.example";
    struct config *cfg = load("config_version: 1\n"
                              "shards: ${SHARDS:-3}\n"
                              "io: {spin_us: '${EMPTY:-7}'}\n"
                              "listen: {data: '127.0.0.1:${PORT}'}\n"
                              "cors: {origins: ['${file:/etc/origin}', 'https://${cred:name}']}\n"
                              "log: {file: '/var/$${x}/$HOME'}\n");
    EXPECT_EQ(problems.count, 0);
    EXPECT(cfg != NULL);
    if (cfg != NULL) {
        EXPECT_EQ(cfg->shards, 3);
        EXPECT_EQ(cfg->io.spin_us, 7);
        EXPECT_SPAN(((struct config_listener *)cfg->listen.data.items)->address, "127.0.0.1:9000");
        EXPECT_SPAN(cfg->cors.origins.items[0], "https://a.example");
        EXPECT_SPAN(cfg->cors.origins.items[1], "https://b.example");
        EXPECT_SPAN(cfg->log.file, "/var/${x}/$HOME");
    }
    config_free(&cfg);
    expect_problem("log: {file: '${NOT_THERE}'}\n", PROBLEM_VARIABLE_UNSET, 2, 13);
    expect_problem("log: {file: '${file:/none}'}\n", PROBLEM_FILE_UNREADABLE, 2, 13);
    expect_problem("log: {file: '${cred:none}'}\n", PROBLEM_CREDENTIAL_UNREADABLE, 2, 13);
    expect_problem("log: {file: '${cred:../x}'}\n", PROBLEM_INTERPOLATION, 2, 13);
    expect_problem("log: {file: '${1X}'}\n", PROBLEM_INTERPOLATION, 2, 13);
    expect_problem("log: {file: '${PORT'}\n", PROBLEM_INTERPOLATION, 2, 13);
    expect_problem("log: {file: '${PORT:+x}'}\n", PROBLEM_INTERPOLATION, 2, 13);
    expect_problem("timeouts: {idle: '${PORT}'}\n", PROBLEM_UNIT_MISSING, 2, 18);
    teardown();
}

static void the_environment_wins_over_the_file(void)
{
    setup();
    world.variables[0] = "PENSTOCK__LIMITS__BODY=1MiB";
    world.variables[1] = "PENSTOCK__LISTEN__DATA=127.0.0.1:1,[::1]:2";
    world.variables[2] = "OTHER=1";
    world.variables[3] = "PENSTOCK_HOME=/x"; // one underscore: not ours
    struct config *cfg = load("config_version: 1\nlimits: {body: 2MiB, head: 8KiB}\n");
    EXPECT(cfg != NULL && problems.count == 0);
    if (cfg != NULL) {
        EXPECT_EQ(cfg->limits.body, MIB);
        EXPECT_EQ(cfg->limits.head, 8 * KIB);
        EXPECT_EQ(cfg->listen.data.count, 2);
        EXPECT_SPAN(((struct config_listener *)cfg->listen.data.items)[1].address, "[::1]:2");
    }
    config_free(&cfg);
    world.variables[0] = "PENSTOCK__LIMITS__BODDY=1MiB";
    world.variables[1] = "PENSTOCK__TIMEOUTS__IDLE=5";
    EXPECT_REPORT("", "penstock.yaml: error[C0501]: the environment variable "
                      "`PENSTOCK__LIMITS__BODDY` names no setting\n"
                      "  = hint: did you mean `PENSTOCK__LIMITS__BODY`?\n"
                      "  = help: penstock config env lists all of them\n"
                      "penstock.yaml: error[C0303]: `timeouts.idle` needs a unit\n"
                      "  = hint: for example `30s`\n"
                      "  = help: the value is that of the variable PENSTOCK__TIMEOUTS__IDLE\n"
                      "2 errors, 0 warnings\n");
    teardown();
}

static const char resources[] =
    "config_version: 1\n"
    "resources:\n"
    "  accounts:\n"
    "    - {name: main, type: openai, api_key: '${K}'}\n"
    "    - {name: 123, type: anthropic, api_key: sk-ant-planted1}\n"
    "  models:\n"
    "    - {name: fast, target: gpt-5, accounts: [main, mian]}\n"
    "  keys:\n"
    "    - {name: k, key: 'sk-pst-0Eoh211G4c8wtVWM00my5rsNSFlKgaWqQ4mb8gdEqno3QeNOm'}\n"
    "    - {name: d, digest: '00000000000000000000000000000000000000000000000000000000000000ab'}\n";

static void resources_become_records(void)
{
    setup();
    world.variables[0] = "K=sk-1";
    struct config *cfg = load(resources), *again = load(resources);
    EXPECT(cfg != NULL && again != NULL);
    EXPECT_EQ(problems.error_count, 0);
    EXPECT_EQ(problems.warning_count, 3); // two plain secrets, one unknown account
    if (cfg != NULL && again != NULL) {
        EXPECT_EQ(cfg->account_count, 2);
        EXPECT_SPAN(secret_reveal(cfg->accounts[0]->api_key), "sk-1");
        EXPECT_SPAN(cfg->accounts[1]->name, "123"); // a number is a name as well
        EXPECT_EQ(cfg->key_count, 2);
        EXPECT_SPAN(secret_reveal(cfg->keys[0]->key),
                    "sk-pst-0Eoh211G4c8wtVWM00my5rsNSFlKgaWqQ4mb8gdEqno3QeNOm");
        EXPECT(cfg->keys[1]->key == NULL && cfg->keys[1]->digest[31] == 0xab);
        EXPECT_EQ(cfg->route_count, 1);
        EXPECT_SPAN(cfg->routes[0]->target, "gpt-5");
        EXPECT(cfg->accounts[0]->id.len > 0);
        EXPECT(span_eq(cfg->accounts[0]->id, again->accounts[0]->id)); // the same at each start
    }
    const char *text = report(resources);
    EXPECT(strstr(text, "planted") == NULL);
    EXPECT(strstr(text, "sk-pst-0Eoh211G4c8wtVWM00my5rsNSFlKgaWqQ4mb8gdEqno3QeNOm") == NULL);
    EXPECT(strstr(text, "did you mean `main`?") != NULL);
    EXPECT(strstr(text, "warning[C0701]") != NULL);
    config_free(&cfg), config_free(&again);
    teardown();
}

static void names_are_taken_once(void)
{
    setup();
    expect_problem("resources:\n"
                   "  accounts:\n"
                   "    - {name: a, type: openai, auth: none}\n"
                   "    - {name: b, type: openai, auth: none}\n"
                   "    - {name: a, type: gemini, auth: none}\n",
                   PROBLEM_NAME_TAKEN, 6, 14);
    expect_problem("resources:\n"
                   "  models:\n"
                   "    - {name: a, aliases: [x, y]}\n"
                   "    - {name: y}\n",
                   PROBLEM_NAME_TAKEN, 5, 14);
    expect_problem("resources:\n"
                   "  models:\n"
                   "    - {name: a, aliases: [x, x]}\n",
                   PROBLEM_NAME_TAKEN, 4, 7);
    expect_problem("resources:\n"
                   "  accounts: []\n"
                   "  accounts: [{name: a, type: openai, auth: none}]\n",
                   PROBLEM_DUPLICATE_KEY, 4, 3);
    teardown();
}

// A key under a misspelt name is not known to be a secret, and still must not reach a terminal.
static void no_secret_is_shown_with_a_mistake(void)
{
    setup();
    const char *text = "config_version: 1\n"
                       "resources:\n"
                       "  accounts:\n"
                       "    - {name: a, type: openai, api_kee: sk-proj-planted0123456789abc}\n"
                       "    - {name: b, type: opanai, api_key: hunter2}\n"
                       "    - {nam: c, type: openai, api_key: \"pass word\"}\n";
    EXPECT(load(text) == NULL);
    const char *shown = report(text);
    EXPECT(strstr(shown, "planted") == NULL);
    EXPECT(strstr(shown, "hunter2") == NULL);
    EXPECT(strstr(shown, "pass word") == NULL);
    EXPECT(strstr(shown, "api_key: *******}") != NULL);
    json_t *json = problems_json(&problems);
    char *dumped = json_dumps(json, 0);
    EXPECT(strstr(dumped, "hunter2") == NULL && strstr(dumped, "planted") == NULL);
    free(dumped);
    json_decref(json);
    teardown();
}

static void collect(void *arg, const struct field *field, bool live)
{
    text_printf(arg, "%s:%s ", field->name, live ? "live" : "restart");
}

static void differences_are_told(void)
{
    setup();
    struct config *a = load("config_version: 1\nlimits: {body: 2MiB}\n");
    struct config *b = load("config_version: 1\nshards: 2\nlisten: {data: '127.0.0.1:99'}\n");
    struct text text = { 0 };
    config_diff(a, b, collect, &text);
    EXPECT_SPAN(text_span(&text), "shards:restart listen.data:restart limits.body:live ");
    text_fini(&text);
    config_diff(a, a, collect, &text);
    EXPECT_EQ(text.len, 0);
    config_free(&a), config_free(&b);
    teardown();
}

static void settings_explain_themselves(void)
{
    setup();
    struct text text = { 0 };
    EXPECT(config_explain(SPAN("limits.body"), &text));
    EXPECT_SPAN(text_span(&text), "limits.body\n"
                                  "  The largest request body, after decompression.\n"
                                  "  value    a size with its unit\n"
                                  "  default  64MiB\n"
                                  "  bounds   1KiB to 1GiB\n"
                                  "  changes  take effect on reload\n"
                                  "  variable PENSTOCK__LIMITS__BODY\n");
    text_fini(&text);
    EXPECT(config_explain(SPAN("accounts.priority"), &text));
    EXPECT(strstr(text.ptr, "bounds   1 to 100") != NULL);
    text_fini(&text);
    EXPECT(config_explain(SPAN("timeouts"), &text));
    EXPECT(strstr(text.ptr, "timeouts.header") != NULL && strstr(text.ptr, "limits") == NULL);
    text_fini(&text);
    EXPECT(config_explain(SPAN("C0312"), &text));
    text_fini(&text);
    EXPECT(config_explain(SPAN("accounts"), &text));
    text_fini(&text);
    EXPECT(!config_explain(SPAN("limits.boddy"), &text));
    EXPECT_SPAN(text_span(&text),
                "there is no setting `limits.boddy`; did you mean `limits.body`?\n");
    text_fini(&text);
    EXPECT(!config_explain(SPAN("C9999"), &text));
    text_fini(&text);
    EXPECT(config_explain(SPAN(""), &text)); // everything
    EXPECT(strstr(text.ptr, "mock.address") != NULL);
    text_fini(&text);
    config_env_list(&text);
    EXPECT(strstr(text.ptr, "PENSTOCK__CLIENT_HALF_CLOSE") != NULL);
    text_fini(&text);
    json_t *schema = config_schema();
    EXPECT(json_object_get(schema, "properties") != NULL);
    char *dumped = json_dumps(schema, JSON_COMPACT);
    for (uint32_t i = 0; i < config_table.count; i++) // every help text is in it
        EXPECT(strstr(dumped, "\"default\":\"64MiB\"") != NULL);
    EXPECT(strstr(dumped, "created_at") == NULL); // nobody may write it
    free(dumped);
    json_decref(schema);
    teardown();
}

static void what_is_shown_loads_again(void)
{
    setup();
    struct config *cfg = load("config_version: 1\n"
                              "listen: {data: [{address: ':443', tls: [{cert: /c, key: /k}]}]}\n"
                              "cors: {origins: ['https://a.example']}\n"
                              "timeouts: {total: 90m, header: 1500ms}\n"
                              "limits: {per_address: 7}\n");
    EXPECT(cfg != NULL);
    struct text text = { 0 };
    config_show(cfg, &text);
    struct config *again = load(text.ptr);
    if (again == NULL)
        fputs(report(text.ptr), stderr);
    EXPECT(again != NULL && record_eq(&cfg->record, &again->record));
    config_free(&cfg), config_free(&again);
    text_fini(&text);
    teardown();
}

static void note_change(void *arg, const struct field *field, bool live)
{
    text_printf(arg, "%s%s ", field->name, live ? "" : "!");
}

static void a_reload_keeps_what_needs_a_restart(void)
{
    setup();
    struct config *old = load("config_version: 1\n"
                              "io: {entries: 512}\n"
                              "listen: {data: [{address: ':443', tls: [{cert: /c, key: /k}]}]}\n");
    struct config *next = load("config_version: 1\n"
                               "limits: {body: 2MiB}\n"
                               "listen: {data: [':80', ':81']}\n");
    struct text names = { 0 };
    EXPECT(old != NULL && next != NULL);
    config_adopt(next, old, note_change, &names);
    EXPECT_SPAN(text_span(&names), "io.entries! listen.data! limits.body ");
    EXPECT_EQ(next->limits.body, 2 * MIB);
    EXPECT_EQ(next->io.entries, 512);
    EXPECT_EQ(next->listen.data.count, 1);
    config_free(&old); // nothing of it is left in the other
    const struct config_listener *listener = next->listen.data.items;
    EXPECT_SPAN(listener->address, ":443");
    EXPECT_SPAN(((const struct config_tls *)listener->tls.items)->key, "/k");
    text_fini(&names);
    config_free(&next);
    teardown();
}

static void an_accounts_key_may_stand_elsewhere(void)
{
    setup();
    world.variables[0] = "VENDOR=sk-env";
    world.variables[1] = "BLANK= \n";
    world.files[0].path = "/run/key", world.files[0].text = "sk-file\r\n";
    struct config *cfg = load("config_version: 1\n"
                              "resources:\n"
                              "  accounts:\n"
                              "    - {name: a, type: openai, api_key_env: VENDOR}\n"
                              "    - {name: b, type: openai, api_key_file: /run/key}\n"
                              "    - {name: c, type: openai, auth: none}\n"
                              "    - {name: d, type: openai, api_key_env: BLANK}\n"
                              "    - {name: e, type: openai, api_key_file: /run/none}\n"
                              "    - {name: f, type: openai, api_key_env: UNSET}\n");
    EXPECT(cfg != NULL && cfg->account_count == 6);
    static const char *const want[] = {
        "sk-env", "sk-file", NULL, "empty", "No such file", "empty"
    };
    for (uint32_t i = 0; cfg != NULL && i < ARRAY_LEN(want); i++) {
        char why[ACCOUNT_WHY_MAX];
        struct secret *key;
        const struct err err = account_key_load(cfg->accounts[i], &world.world, vault, &key, why);
        EXPECT(failed(err) == (i > 2));
        EXPECT((key != NULL) == (i < 2));
        if (key != NULL)
            EXPECT_SPAN(secret_reveal(key), want[i]);
        else if (i > 2)
            EXPECT(strstr(why, want[i]) != NULL);
        secret_free(&key);
    }
    config_free(&cfg);
    teardown();
}

static void memory_is_the_smaller_of_machine_and_cgroup(void)
{
    setup();
    struct config *cfg = load("");
    world.files[0].path = "/proc/meminfo";
    world.files[0].text = "MemTotal:        4096 kB\nMemFree: 1 kB\n";
    EXPECT_EQ(config_memory(cfg, &world.world), 3 * MIB);
    world.files[1].path = "/proc/self/cgroup", world.files[1].text = "0::/a/b\n";
    world.files[2].path = "/sys/fs/cgroup/a/b/memory.max", world.files[2].text = "max\n";
    world.files[3].path = "/sys/fs/cgroup/a/memory.max", world.files[3].text = "1048576\n";
    EXPECT_EQ(config_memory(cfg, &world.world), MIB / 4 * 3);
    config_free(&cfg);
    cfg = load("config_version: 1\nlimits: {memory: 1GiB}\n");
    EXPECT_EQ(config_memory(cfg, &world.world), 1024 * (uint64_t)MIB);
    config_free(&cfg);
    teardown();
}

TEST_MAIN(TEST(an_empty_file_is_the_defaults),
          TEST(the_example_file_is_the_defaults_and_names_every_setting),
          TEST(a_misspelt_key_is_shown_with_its_place), TEST(each_mistake_has_its_code_and_place),
          TEST(the_version_is_asked_for_first), TEST(all_mistakes_come_in_one_pass_up_to_a_bound),
          TEST(deep_and_large_documents_are_refused), TEST(values_are_interpolated),
          TEST(the_environment_wins_over_the_file), TEST(resources_become_records),
          TEST(names_are_taken_once), TEST(no_secret_is_shown_with_a_mistake),
          TEST(differences_are_told), TEST(settings_explain_themselves),
          TEST(what_is_shown_loads_again), TEST(a_reload_keeps_what_needs_a_restart),
          TEST(an_accounts_key_may_stand_elsewhere),
          TEST(memory_is_the_smaller_of_machine_and_cgroup))
