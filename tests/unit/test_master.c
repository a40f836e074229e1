// What master.h promises: where the key is looked for, what is refused, how a first one is made.
#include "test.h"

#include "penstock/ctl/master.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static struct vault *vault;
static struct config *cfg;
static struct env_fake random_env;
static char dir[] = "/tmp/penstock-test-XXXXXX";
static const char *credentials; // what CREDENTIALS_DIRECTORY is
static const char *variable;    // what $MASTER is

static const char *test_env(struct config_world *world, const char *name)
{
    (void)world;
    if (strcmp(name, "CREDENTIALS_DIRECTORY") == 0)
        return credentials;
    return strcmp(name, "MASTER") == 0 ? variable : NULL;
}

static struct config_world world;

static void setup(const char *yaml)
{
    static struct problems problems;
    problems_init(&problems);
    EXPECT(!failed(vault_new(&vault)));
    env_fake_init(&random_env, 21);
    credentials = variable = NULL;
    world = *config_world_system();
    world.env = test_env;
    cfg = config_load(span_str(yaml), "test", vault, config_world_system(), &problems);
    EXPECT(cfg != NULL);
}

static void teardown(void)
{
    config_free(&cfg);
    vault_free(&vault);
}

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void put(const char *name, const char *text, mode_t mode)
{
    FILE *file = fopen(path_of(name), "w");
    EXPECT(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    EXPECT_EQ(chmod(path_of(name), mode), 0);
}

static struct master_info info;
static struct secret *load(void)
{
    struct secret *key;
    const struct err err = master_load(cfg, &world, &random_env.env, vault, &key, &info);
    EXPECT(failed(err) == (key == NULL));
    EXPECT(failed(err) == (info.why[0] != '\0'));
    EXPECT(!failed(err) || err.code == ERR_CONFIG);
    return key;
}

static void expect_refused(const char *why)
{
    struct secret *key = load();
    EXPECT(key == NULL);
    if (strstr(info.why, why) == NULL)
        fprintf(stderr, "%s: %s\n", info.path, info.why);
    EXPECT(strstr(info.why, why) != NULL);
    secret_free(&key);
}

static const char hex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";

static void expect_counting(struct secret *key)
{
    EXPECT(key != NULL);
    for (size_t i = 0; key != NULL && i < MASTER_KEY_BYTES; i++)
        EXPECT_EQ(secret_bytes(key)[i], i);
    secret_free(&key);
}

static const char *yaml_for(const char *format, const char *name)
{
    static char text[512];
    char line[256];
    snprintf(line, sizeof(line), "%s", path_of(name));
    snprintf(text, sizeof(text), "config_version: 1\n%s%s\n", format, line);
    return text;
}

static void a_first_run_makes_a_key_and_the_next_finds_it(void)
{
    setup(yaml_for("state_dir: ", "deep/er/state"));
    struct secret *first = load();
    EXPECT_EQ(info.source, MASTER_GENERATED);
    EXPECT(strcmp(info.path, path_of("deep/er/state/master.key")) == 0);
    struct stat stat_of;
    EXPECT_EQ(stat(info.path, &stat_of), 0);
    EXPECT_EQ(stat_of.st_mode & 07777, 0600);
    EXPECT_EQ(stat_of.st_size, 65);
    EXPECT_EQ(stat(path_of("deep/er/state"), &stat_of), 0);
    EXPECT_EQ(stat_of.st_mode & 07777, 0700);
    struct secret *second = load();
    EXPECT_EQ(info.source, MASTER_FILE);
    EXPECT(first != NULL && second != NULL && secret_eq(first, second));
    secret_free(&first), secret_free(&second);
    teardown();
}

static void a_named_file_must_be_there_and_be_private(void)
{
    setup(yaml_for("master_key:\n  file: ", "key"));
    expect_refused("No such file"); // a fresh one would open nothing
    put("key", hex, 0600);
    expect_counting(load());
    put("key", hex, 0640);
    expect_refused("mode 640");
    put("key", hex, 0604);
    expect_refused("mode 604");
    put("key", "0011", 0600);
    expect_refused("neither 32 bytes");
    put("key", "0123456789abcdef0123456789abcdef", 0600); // 32 bytes as they are
    struct secret *key = load();
    EXPECT(key != NULL && memcmp(secret_bytes(key), "0123456789abcdef", 16) == 0);
    secret_free(&key);
    put("key", "00zz02030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 0600);
    expect_refused("neither 32 bytes");
    world.uid++; // somebody else's file, unless it is root's
    put("key", hex, 0600);
    if (geteuid() == 0)
        expect_counting(load());
    else
        expect_refused("belongs to user");
    EXPECT_EQ(unlink(path_of("key")), 0);
    EXPECT_EQ(mkdir(path_of("key"), 0700), 0);
    expect_refused("Is a directory");
    EXPECT_EQ(rmdir(path_of("key")), 0);
    EXPECT_EQ(mkfifo(path_of("key"), 0600), 0); // would hang a careless reader
    expect_refused("Invalid");
    EXPECT_EQ(unlink(path_of("key")), 0);
    teardown();
}

static void a_credential_comes_before_a_file(void)
{
    setup(yaml_for("state_dir: ", "state2"));
    EXPECT_EQ(mkdir(path_of("creds"), 0700), 0);
    static char creds[256];
    snprintf(creds, sizeof(creds), "%s", path_of("creds"));
    credentials = creds;
    struct secret *generated = load(); // no such credential: the file
    EXPECT_EQ(info.source, MASTER_GENERATED);
    secret_free(&generated);
    put("creds/penstock-master-key", hex, 0440); // systemd's directory protects it
    expect_counting(load());
    EXPECT_EQ(info.source, MASTER_CREDENTIAL);
    put("creds/penstock-master-key", "broken", 0440);
    expect_refused("neither 32 bytes"); // and not quietly another key
    teardown();
    setup("config_version: 1\nmaster_key: {cred: mine}\n");
    expect_refused("no credentials");
    credentials = creds;
    expect_refused("No such file");
    put("creds/mine", hex, 0440);
    expect_counting(load());
    teardown();
}

static void a_variable_may_hold_it(void)
{
    setup("config_version: 1\nmaster_key: {env: MASTER}\n");
    expect_refused("not set");
    variable = hex;
    expect_counting(load());
    EXPECT_EQ(info.source, MASTER_ENV);
    variable = "";
    expect_refused("neither 32 bytes");
    teardown();
}

static void a_directory_that_cannot_be_made_is_told(void)
{
    put("plain", "", 0600);
    setup(yaml_for("state_dir: ", "plain/state"));
    expect_refused("Not a directory");
    teardown();
}

static void nothing_else_was_written(void)
{
    static const char *const left[] = { "deep/er/state/master.key",
                                        "deep/er/state",
                                        "deep/er",
                                        "deep",
                                        "state2/master.key",
                                        "state2",
                                        "creds/penstock-master-key",
                                        "creds/mine",
                                        "creds",
                                        "plain" };
    for (size_t i = 0; i < ARRAY_LEN(left); i++)
        EXPECT_EQ(remove(path_of(left[i])), 0);
    EXPECT_EQ(rmdir(dir), 0); // nothing else was left there
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = { TEST(a_first_run_makes_a_key_and_the_next_finds_it),
                                              TEST(a_named_file_must_be_there_and_be_private),
                                              TEST(a_credential_comes_before_a_file),
                                              TEST(a_variable_may_hold_it),
                                              TEST(a_directory_that_cannot_be_made_is_told),
                                              TEST(nothing_else_was_written) };
    umask(022);
    if (mkdtemp(dir) == NULL)
        return EXIT_FAILURE;
    return test_main(argc, argv, cases, ARRAY_LEN(cases));
}
