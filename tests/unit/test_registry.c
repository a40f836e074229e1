// The registry: what a change may do, what it leaves when it fails, what is there after a restart.
#include "ctl_rig.h"

static const char defaults[] = "config_version: 1\n";

struct outcome {
    struct change change;
    bool done;
    char path[PROBLEM_PATH_MAX]; // of the first problem
    char id[CHANGE_ID_MAX + 1], key[KEY_TEXT_LEN + 1];
    uint64_t version;
};

static void on_done(struct change *change)
{
    struct outcome *outcome = change->user;
    outcome->done = true;
    if (change->problems != NULL)
        memcpy(outcome->path, change->problems->items[0].path, sizeof(outcome->path));
    if (change->has_key_text)
        memcpy(outcome->key, change->key_text, KEY_TEXT_LEN);
    if (change->entity != NULL) {
        const struct span id = entity_id(change->kind, change->entity->record);
        memcpy(outcome->id, id.ptr, id.len);
        outcome->version = change->entity->version;
    }
}

static void submit(struct rig *rig, struct outcome *outcome, enum entity_kind kind,
                   enum change_verb verb, const char *id, const json_t *body)
{
    memset(outcome, 0, sizeof(*outcome));
    outcome->change = (struct change){ .kind = kind,
                                       .verb = verb,
                                       .body = body,
                                       .version = STORE_ANY,
                                       .done = on_done,
                                       .user = outcome };
    fit_printf(outcome->change.id, sizeof(outcome->change.id), "%s", id);
    registry_submit(rig->registry, &outcome->change);
    EXPECT(!outcome->done); // never before the call returns
}

static int poll_all(struct rig *rig)
{
    int rounds = 1;
    while (registry_poll(rig->registry))
        rounds++;
    EXPECT(!registry_is_busy(rig->registry));
    return rounds;
}

static struct outcome change(struct rig *rig, enum entity_kind kind, enum change_verb verb,
                             const char *id, const char *body)
{
    struct outcome outcome;
    json_t *json = body != NULL ? json_loads(body, 0, NULL) : NULL;
    submit(rig, &outcome, kind, verb, id, json);
    poll_all(rig);
    EXPECT(outcome.done);
    json_decref(json);
    return outcome;
}

static struct outcome make(struct rig *rig, enum entity_kind kind, const char *body)
{
    return change(rig, kind, CHANGE_CREATE, "", body);
}

#define ACCOUNT "{\"name\":\"%s\",\"type\":\"openai\",\"api_key\":\"vendor\",\"models\":[\"m\"]}"

static struct outcome make_account(struct rig *rig, const char *name)
{
    char body[256];
    fit_printf(body, sizeof(body), ACCOUNT, name);
    return make(rig, ENTITY_ACCOUNT, body);
}

static void test_objects_outlive_a_restart(void)
{
    struct rig rig;
    rig_init(&rig, defaults);
    const struct outcome account = make_account(&rig, "a");
    const struct outcome key = make(&rig, ENTITY_KEY, "{\"name\":\"k\"}");
    const struct outcome route =
        make(&rig, ENTITY_ROUTE, "{\"name\":\"fast\",\"target\":\"m\",\"accounts\":[\"a\"]}");
    EXPECT(!failed(account.change.err) && !failed(key.change.err) && !failed(route.change.err));
    EXPECT(key_text_check(span_str(key.key)));
    EXPECT(key.version > account.version && route.version > key.version);
    rig_close(&rig);
    rig_open(&rig);
    const struct entity *entity = registry_get(rig.registry, ENTITY_ACCOUNT, span_str(account.id));
    EXPECT(entity != NULL && entity->version == account.version && !entity_from_file(entity));
    if (entity != NULL)
        EXPECT_SPAN(secret_reveal(((const struct account *)entity->record)->api_key), "vendor");
    entity = registry_by_name(rig.registry, ENTITY_KEY, SPAN("k"));
    EXPECT(entity != NULL);
    struct key_hasher hasher;
    uint8_t digest[DIGEST_BYTES];
    key_hasher_init(&hasher, rig.keyring.lookup);
    key_digest(&hasher, span_str(key.key), digest);
    if (entity != NULL)
        EXPECT(key_digest_eq(digest, ((const struct key *)entity->record)->digest));
    EXPECT(registry_by_name(rig.registry, ENTITY_ROUTE, SPAN("fast")) != NULL);
    rig_fini(&rig);
}

static void test_a_change_is_built_before_it_is_stored(void)
{
    struct rig rig;
    rig_init(&rig, defaults);
    rig.unservable = true;
    struct outcome outcome = make_account(&rig, "a");
    EXPECT_EQ(outcome.change.err.code, ERR_INVALID);
    EXPECT(strstr(outcome.change.detail, "it cannot be served") != NULL);
    EXPECT_EQ(registry_count(rig.registry, ENTITY_ACCOUNT), 0);
    rig.unservable = false;
    outcome = make_account(&rig, "a");
    EXPECT(!failed(outcome.change.err));
    EXPECT_EQ(rig.accounts, 1); // the snapshot already holds what is being made
    EXPECT_EQ(rig.published, 1);
    outcome = change(&rig, ENTITY_ACCOUNT, CHANGE_DELETE, outcome.id, NULL);
    EXPECT(!failed(outcome.change.err));
    EXPECT_EQ(rig.accounts, 0);
    rig_close(&rig);
    rig_open(&rig);
    EXPECT_EQ(registry_count(rig.registry, ENTITY_ACCOUNT), 0);
    rig_fini(&rig);
}

static void test_an_answer_waits_for_the_shards(void)
{
    struct rig rig;
    struct outcome outcome;
    rig_init(&rig, defaults);
    json_t *body = json_pack("{s:s}", "name", "k");
    rig.busy = 3;
    submit(&rig, &outcome, ENTITY_KEY, CHANGE_CREATE, "", body);
    EXPECT(registry_poll(rig.registry));
    EXPECT(!outcome.done && registry_is_busy(rig.registry));
    EXPECT_EQ(poll_all(&rig), 3); // it tries once in a round
    EXPECT(outcome.done && !failed(outcome.change.err));
    EXPECT_EQ(rig.published, 1);
    json_decref(body);
    rig_fini(&rig);
}

// Keys that come in a burst share snapshots, and nobody is told before the shards have his.
static void test_a_burst_of_keys_shares_snapshots(void)
{
    enum { BURST = 150, SHARE = 64 };
    static struct outcome outcomes[BURST];
    struct rig rig;
    rig_init(&rig, defaults);
    json_t *bodies[BURST];
    char name[16];
    for (int i = 0; i < BURST; i++) {
        fit_printf(name, sizeof(name), "k%d", i == BURST - 1 ? 0 : i); // the last one's is taken
        bodies[i] = json_pack("{s:s}", "name", name);
        submit(&rig, &outcomes[i], ENTITY_KEY, CHANGE_CREATE, "", bodies[i]);
    }
    rig.busy = 1;
    EXPECT(registry_poll(rig.registry));
    for (int i = 0; i < BURST; i++)
        EXPECT(!outcomes[i].done);
    poll_all(&rig);
    for (int i = 0; i < BURST; i++) {
        EXPECT(outcomes[i].done);
        EXPECT(failed(outcomes[i].change.err) == (i == BURST - 1));
        EXPECT((outcomes[i].key[0] != '\0') == (i < BURST - 1));
        json_decref(bodies[i]);
    }
    EXPECT_EQ(rig.published, (BURST + SHARE - 1) / SHARE);
    EXPECT_EQ(rig.keys, BURST - 1);
    // A change of another kind waits until those before it are there.
    struct outcome key, account;
    json_t *key_body = json_pack("{s:s}", "name", "last");
    json_t *account_body =
        json_pack("{s:s, s:s, s:s}", "name", "a", "type", "openai", "auth", "none");
    submit(&rig, &key, ENTITY_KEY, CHANGE_CREATE, "", key_body);
    submit(&rig, &account, ENTITY_ACCOUNT, CHANGE_CREATE, "", account_body);
    poll_all(&rig);
    EXPECT(key.done && account.done && !failed(account.change.err));
    EXPECT_EQ(rig.keys, BURST);
    EXPECT_EQ(rig.accounts, 1);
    // One that cannot be shown is told so.
    rig.unservable = true;
    const struct outcome bad = make(&rig, ENTITY_KEY, "{\"name\":\"unseen\"}");
    EXPECT_EQ(bad.change.err.code, ERR_INVALID);
    EXPECT(strstr(bad.change.detail, "it is stored") != NULL);
    EXPECT_EQ(bad.key[0], '\0');
    json_decref(key_body);
    json_decref(account_body);
    rig_fini(&rig);
}

static void test_a_store_that_fails_changes_nothing(void)
{
    struct rig rig;
    rig_init(&rig, defaults);
    const struct outcome first = make(&rig, ENTITY_KEY, "{\"name\":\"k\"}");
    rig_close(&rig);
    const struct store_cfg cfg = rig_store_cfg(&rig);
    struct store_why why;
    EXPECT(!failed(store_open_readonly(&cfg, &rig.store, &why)));
    const struct registry_cfg registry = { .env = env_system(),
                                           .vault = rig.vault,
                                           .keyring = &rig.keyring,
                                           .config = rig.config,
                                           .store = rig.store };
    struct registry_why registry_why;
    EXPECT(!failed(registry_new(&rig.registry, &registry, &registry_why)));
    struct outcome outcome = make(&rig, ENTITY_KEY, "{\"name\":\"other\"}");
    EXPECT_EQ(outcome.change.err.code, ERR_STORE_READONLY);
    EXPECT_EQ(outcome.key[0], '\0'); // a key that was not stored is not told
    outcome = change(&rig, ENTITY_KEY, CHANGE_DELETE, first.id, NULL);
    EXPECT_EQ(outcome.change.err.code, ERR_STORE_READONLY);
    outcome = change(&rig, ENTITY_KEY, CHANGE_UPDATE, first.id, "{\"enabled\":false}");
    EXPECT_EQ(outcome.change.err.code, ERR_STORE_READONLY);
    EXPECT_EQ(registry_count(rig.registry, ENTITY_KEY), 1);
    const struct entity *entity = registry_get(rig.registry, ENTITY_KEY, span_str(first.id));
    EXPECT(entity != NULL && ((const struct key *)entity->record)->enabled);
    rig_fini(&rig);
}

static void test_what_is_refused(void)
{
    static const struct {
        enum entity_kind kind;
        const char *body;
        enum err_code code;
        const char *path;
    } cases[] = {
        { ENTITY_KEY, "{\"name\":\"k\"}", ERR_CONFLICT, "" },
        { ENTITY_KEY, "{\"name\":\"x\",\"colour\":1}", ERR_INVALID, "colour" },
        { ENTITY_KEY, "{\"name\":\"x\",\"updated_at\":\"2020-01-01\"}", ERR_INVALID, "updated_at" },
        { ENTITY_KEY, "{\"name\":\"a/b\"}", ERR_INVALID, "name" },
        { ENTITY_ACCOUNT, "{\"name\":\"x\",\"type\":\"openai\",\"api_key\":\" x\"}", ERR_INVALID,
          "api_key" },
        { ENTITY_ACCOUNT,
          "{\"name\":\"x\",\"type\":\"openai\",\"api_key\":\"x\",\"base_url\":\"http://10.0.0.1\"}",
          ERR_INVALID, "base_url" },
        { ENTITY_ROUTE, "{\"name\":\"x\",\"accounts\":[\"nobody\"]}", ERR_INVALID, "accounts[0]" },
        { ENTITY_ROUTE, "{\"name\":\"quick\"}", ERR_CONFLICT, "" },
        { ENTITY_ROUTE, "{\"name\":\"x\",\"aliases\":[\"fast\"]}", ERR_CONFLICT, "" },
    };
    struct rig rig;
    rig_init(&rig, defaults);
    (void)make(&rig, ENTITY_KEY, "{\"name\":\"k\"}");
    (void)make(&rig, ENTITY_ROUTE, "{\"name\":\"fast\",\"aliases\":[\"quick\"]}");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct outcome outcome = make(&rig, cases[i].kind, cases[i].body);
        EXPECT_EQ(outcome.change.err.code, cases[i].code);
        EXPECT_SPAN(span_str(outcome.path), cases[i].path);
    }
    EXPECT_EQ(registry_count(rig.registry, ENTITY_KEY), 1);
    EXPECT_EQ(registry_count(rig.registry, ENTITY_ACCOUNT), 0);
    EXPECT_EQ(registry_count(rig.registry, ENTITY_ROUTE), 1);
    rig_fini(&rig);
}

static void test_versions(void)
{
    struct rig rig;
    rig_init(&rig, defaults);
    const struct outcome made = make(&rig, ENTITY_KEY, "{\"name\":\"k\"}");
    struct outcome outcome =
        change(&rig, ENTITY_KEY, CHANGE_UPDATE, made.id, "{\"description\":\"1\"}");
    EXPECT(!failed(outcome.change.err) && outcome.version > made.version);
    json_t *body = json_pack("{s:s}", "description", "2");
    submit(&rig, &outcome, ENTITY_KEY, CHANGE_UPDATE, made.id, body);
    outcome.change.version = made.version;
    poll_all(&rig);
    EXPECT_EQ(outcome.change.err.code, ERR_VERSION_STALE);
    outcome = change(&rig, ENTITY_KEY, CHANGE_DELETE, "key_nobody", NULL);
    EXPECT_EQ(outcome.change.err.code, ERR_NOT_FOUND);
    json_decref(body);
    rig_fini(&rig);
}

// Two changes that were asked for at once are made one after the other, each on what is then there.
static void test_changes_queue(void)
{
    struct rig rig;
    struct outcome a, b, c;
    rig_init(&rig, defaults);
    const struct outcome made = make(&rig, ENTITY_KEY, "{\"name\":\"k\"}");
    json_t *one = json_pack("{s:s}", "description", "d"), *two = json_pack("{s:b}", "enabled", 0),
           *three = json_pack("{s:s}", "name", "k");
    submit(&rig, &a, ENTITY_KEY, CHANGE_UPDATE, made.id, one);
    submit(&rig, &b, ENTITY_KEY, CHANGE_UPDATE, made.id, two);
    submit(&rig, &c, ENTITY_KEY, CHANGE_CREATE, "", three);
    poll_all(&rig);
    EXPECT(!failed(a.change.err) && !failed(b.change.err));
    EXPECT_EQ(c.change.err.code, ERR_CONFLICT);
    const struct key *key =
        (const struct key *)registry_get(rig.registry, ENTITY_KEY, span_str(made.id))->record;
    EXPECT_SPAN(key->description, "d");
    EXPECT(!key->enabled);
    json_decref(one), json_decref(two), json_decref(three);
    rig_fini(&rig);
}

static void test_the_file_owns_its_objects(void)
{
    struct rig rig;
    rig_init(&rig, defaults);
    (void)make(&rig, ENTITY_KEY, "{\"name\":\"k\"}");
    (void)make(&rig, ENTITY_KEY, "{\"name\":\"other\"}");
    rig_close(&rig);
    config_free(&rig.config);
    static struct problems problems;
    struct config_world world = { rig_env, rig_env_at, rig_read, 1000 };
    problems_init(&problems);
    char yaml[512], text[KEY_TEXT_LEN];
    key_mint(env_system(), text);
    fit_printf(yaml, sizeof(yaml),
               "config_version: 1\nresources:\n  keys:\n    - name: k\n      key: %.*s\n",
               KEY_TEXT_LEN, text);
    rig.config = config_load(span_str(yaml), "test", rig.vault, &world, &problems);
    rig_open(&rig);
    EXPECT_EQ(registry_hidden(rig.registry), 1);
    EXPECT_EQ(registry_count(rig.registry, ENTITY_KEY), 2);
    const struct entity *entity = registry_by_name(rig.registry, ENTITY_KEY, SPAN("k"));
    EXPECT(entity != NULL && entity_from_file(entity));
    char id[CHANGE_ID_MAX + 1];
    fit_printf(id, sizeof(id), "%s", entity_id(ENTITY_KEY, entity->record).ptr);
    struct outcome outcome = change(&rig, ENTITY_KEY, CHANGE_UPDATE, id, "{\"enabled\":false}");
    EXPECT_EQ(outcome.change.err.code, ERR_FILE_OWNED);
    outcome = change(&rig, ENTITY_KEY, CHANGE_DELETE, id, NULL);
    EXPECT_EQ(outcome.change.err.code, ERR_FILE_OWNED);
    rig_fini(&rig);
}

static void test_reports_name_what_was_removed(void)
{
    struct rig rig;
    rig_init(&rig, defaults);
    const struct outcome made = make(&rig, ENTITY_KEY, "{\"name\":\"the name\"}");
    const uint64_t usage_id = usage_model_id(span_str(made.id));
    struct registry_name name;
    EXPECT(registry_usage_name(rig.registry, ENTITY_KEY, usage_id, &name) && !name.is_gone);
    EXPECT(!registry_usage_name(rig.registry, ENTITY_ACCOUNT, usage_id, &name));
    (void)change(&rig, ENTITY_KEY, CHANGE_DELETE, made.id, NULL);
    rig_close(&rig);
    rig_open(&rig);
    EXPECT(registry_usage_name(rig.registry, ENTITY_KEY, usage_id, &name) && name.is_gone);
    EXPECT_SPAN(name.id, made.id);
    EXPECT_SPAN(name.name, "the name");
    rig_fini(&rig);
}

static void test_an_account_that_a_model_names_stays(void)
{
    struct rig rig;
    rig_init(&rig, defaults);
    const struct outcome account = make_account(&rig, "a");
    (void)make(&rig, ENTITY_ROUTE, "{\"name\":\"fast\",\"accounts\":[\"a\"]}");
    struct outcome outcome = change(&rig, ENTITY_ACCOUNT, CHANGE_DELETE, account.id, NULL);
    EXPECT_EQ(outcome.change.err.code, ERR_CONFLICT);
    outcome = change(&rig, ENTITY_ACCOUNT, CHANGE_UPDATE, account.id, "{\"name\":\"b\"}");
    EXPECT_EQ(outcome.change.err.code, ERR_CONFLICT);
    outcome = change(&rig, ENTITY_ACCOUNT, CHANGE_UPDATE, account.id, "{\"priority\":7}");
    EXPECT(!failed(outcome.change.err));
    rig_fini(&rig);
}

// An address that the operator of the machine was trusted with stays when others change the rest,
// and is judged when others change it.
static void test_trust_follows_the_address(void)
{
    struct rig rig;
    struct outcome outcome;
    rig_init(&rig, defaults);
    json_t *body = json_pack("{s:s, s:s, s:s, s:s}", "name", "a", "type", "openai", "api_key", "x",
                             "base_url", "http://127.0.0.1:9/v1");
    submit(&rig, &outcome, ENTITY_ACCOUNT, CHANGE_CREATE, "", body);
    outcome.change.is_local = true;
    poll_all(&rig);
    EXPECT(!failed(outcome.change.err));
    char id[CHANGE_ID_MAX + 1];
    memcpy(id, outcome.id, sizeof(id));
    outcome = change(&rig, ENTITY_ACCOUNT, CHANGE_UPDATE, id, "{\"priority\":7}");
    EXPECT(!failed(outcome.change.err));
    outcome = change(&rig, ENTITY_ACCOUNT, CHANGE_UPDATE, id,
                     "{\"base_url\":\"http://127.0.0.1:10/v1\"}");
    EXPECT_EQ(outcome.change.err.code, ERR_INVALID);
    outcome = change(&rig, ENTITY_ACCOUNT, CHANGE_UPDATE, id,
                     "{\"base_url\":\"https://api.example.com\"}");
    EXPECT(!failed(outcome.change.err));
    const struct entity *entity = registry_get(rig.registry, ENTITY_ACCOUNT, span_str(id));
    EXPECT(!((const struct account *)entity->record)->allow_private);
    json_decref(body);
    rig_fini(&rig);
}

static void test_pages_go_on_where_they_ended(void)
{
    struct rig rig;
    char body[64];
    rig_init(&rig, defaults);
    for (int i = 0; i < 30; i++) {
        fit_printf(body, sizeof(body), "{\"name\":\"k%d\"}", i);
        (void)make(&rig, ENTITY_KEY, body);
    }
    uint32_t count = 0;
    struct span last = SPAN_NONE;
    const struct entity *entity;
    while ((entity = registry_next(rig.registry, ENTITY_KEY, last)) != NULL) {
        last = entity_id(ENTITY_KEY, entity->record);
        count++;
    }
    EXPECT_EQ(count, 30);
    EXPECT(registry_next(rig.registry, ENTITY_KEY, SPAN("zzz")) == NULL);
    rig_fini(&rig);
}

static void test_a_closed_registry_answers(void)
{
    struct rig rig;
    rig_init(&rig, defaults);
    registry_close(rig.registry);
    const struct outcome outcome = make(&rig, ENTITY_KEY, "{\"name\":\"k\"}");
    EXPECT_EQ(outcome.change.err.code, ERR_DRAINING);
    rig_fini(&rig);
}

TEST_MAIN(TEST(test_objects_outlive_a_restart), TEST(test_a_change_is_built_before_it_is_stored),
          TEST(test_an_answer_waits_for_the_shards), TEST(test_a_burst_of_keys_shares_snapshots),
          TEST(test_a_store_that_fails_changes_nothing), TEST(test_what_is_refused),
          TEST(test_versions), TEST(test_changes_queue), TEST(test_the_file_owns_its_objects),
          TEST(test_reports_name_what_was_removed), TEST(test_an_account_that_a_model_names_stays),
          TEST(test_trust_follows_the_address), TEST(test_pages_go_on_where_they_ended),
          TEST(test_a_closed_registry_answers))
