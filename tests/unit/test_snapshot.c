// What snapshot.h promises: keys are found and judged, names lead to accounts in order, and a
// snapshot lives as long as a shard can see it.
#include "test.h"

#include "penstock/acct/snapshot.h"
#include "penstock/model/entity.h"

#include <pthread.h>
#include <sched.h>

static struct vault *vault;
static struct slots *slots;
static struct keyring keyring;
static struct env_fake world;
static struct snap_builder *builder;

static void setup(void)
{
    EXPECT(!failed(vault_new(&vault)));
    EXPECT(!failed(slots_new(&slots, 4096)));
    env_fake_init(&world, 5);
    struct secret *master = secret_blank(vault, MASTER_KEY_BYTES);
    EXPECT(!failed(keyring_init(&keyring, vault, master)));
    secret_free(&master);
}

static void teardown(void)
{
    keyring_fini(&keyring);
    slots_free(&slots);
    vault_free(&vault); // fails the test if a secret is left
}

static void begin(uint64_t generation)
{
    EXPECT(!failed(snap_builder_new(&builder, &keyring, vault, slots, generation)));
}

static struct snapshot *end(void)
{
    struct snapshot *snap;
    EXPECT(!failed(snap_builder_finish(&builder, &snap)));
    EXPECT(builder == NULL);
    return snap;
}

static struct record *from_json(const struct table *table, const char *json)
{
    static struct problems problems;
    struct region region;
    region_init(&region, KIB);
    problems_init(&problems);
    json_t *document = json_loads(json, 0, NULL);
    EXPECT(document != NULL);
    struct record *record = record_new(table, vault);
    record_read(record, value_from_json(&region, document), FROM_FILE, "", &problems);
    for (uint32_t i = 0; i < problems.count; i++)
        if (!problems.items[i].is_warning) {
            fprintf(stderr, "%s: %s\n", problems.items[i].path, problems.items[i].text);
            test_failures++;
        }
    json_decref(document);
    region_fini(&region);
    return record;
}

static struct err try_account(const char *json)
{
    struct record *record = from_json(&account_table, json);
    struct account *account = (struct account *)record;
    char id[ENTITY_ID_MAX];
    record_text(record, &account->id, entity_id_of_name(&account_table, account->name, id));
    const struct err err = snap_builder_account(builder, account, NULL);
    record_free(&record);
    return err;
}

static void add_account(const char *json)
{
    EXPECT(!failed(try_account(json)));
}

static void add_route(const char *json)
{
    struct record *record = from_json(&route_table, json);
    EXPECT(!failed(snap_builder_route(builder, (struct route *)record)));
    record_free(&record);
}

// Adds a key and writes its text.
static void add_key(const char *json, char text[KEY_TEXT_LEN])
{
    struct record *record = from_json(&key_table, json);
    struct key *key = (struct key *)record;
    struct key_hasher hasher;
    char id[ENTITY_ID_MAX];
    key_hasher_init(&hasher, keyring.lookup);
    key_mint(&world.env, text);
    key_adopt(key, &hasher, span_of(text, KEY_TEXT_LEN));
    record_text(record, &key->id, entity_id_of_name(&key_table, key->name, id));
    EXPECT(!failed(snap_builder_key(builder, key)));
    record_free(&record);
}

// The candidates as "account=model account ...".
static const char *served(const struct snapshot *snap, enum format format, const char *model)
{
    static char text[1024];
    size_t len = 0;
    const struct snap_route route = snapshot_route(snap, format, span_str(model));
    text[0] = '\0';
    for (uint32_t i = 0; i < route.count && len < sizeof(text); i++) {
        const struct snap_account *account = snapshot_account(snap, route.candidates[i].account);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s%s%s", i > 0 ? " " : "",
                                account->name.ptr, route.candidates[i].model.len > 0 ? "=" : "",
                                route.candidates[i].model.len > 0 ? route.candidates[i].model.ptr
                                                                  : "");
    }
    return text;
}

#define EXPECT_SERVED(snap, format, model, want) \
    EXPECT_SPAN(span_str(served(snap, format, model)), want)

// What a client with this key is told.
static struct err auth(const struct snapshot *snap, struct span text, uint64_t now,
                       const struct snap_key **key)
{
    uint8_t digest[DIGEST_BYTES];
    *key = NULL;
    TRY(snapshot_digest(snap, text, digest));
    return snapshot_auth(snap, digest, now, key);
}

static void a_key_is_found_and_judged(void)
{
    setup();
    char good[KEY_TEXT_LEN], off[KEY_TEXT_LEN], old[KEY_TEXT_LEN], narrow[KEY_TEXT_LEN];
    char stranger[KEY_TEXT_LEN];
    begin(1);
    add_key("{\"name\":\"good\"}", good);
    add_key("{\"name\":\"off\",\"enabled\":false}", off);
    add_key("{\"name\":\"old\",\"expires_at\":\"2025-06-15T15:06:40Z\"}", old);
    add_key("{\"name\":\"narrow\",\"formats\":[\"anthropic\"],\"models\":[\"claude-*\",\"x\"]}",
            narrow);
    key_mint(&world.env, stranger);
    struct snapshot *snap = end();
    const uint64_t now = UINT64_C(1750000000) * NS_PER_S; // 2025-06-15T15:06:40Z
    const struct snap_key *key;
    EXPECT(!failed(auth(snap, span_of(good, KEY_TEXT_LEN), now, &key)));
    EXPECT_SPAN(key->name, "good");
    EXPECT(!failed(snap_key_allows(key, FORMAT_GEMINI, SPAN("anything"))));
    EXPECT_EQ(auth(snap, span_of(off, KEY_TEXT_LEN), now, &key).code, ERR_KEY_DISABLED);
    EXPECT_SPAN(key->name, "off"); // for the record of the refusal
    EXPECT_EQ(auth(snap, span_of(old, KEY_TEXT_LEN), now, &key).code, ERR_KEY_EXPIRED);
    EXPECT(!failed(auth(snap, span_of(old, KEY_TEXT_LEN), now - 1, &key)));
    EXPECT_EQ(auth(snap, span_of(stranger, KEY_TEXT_LEN), now, &key).code, ERR_KEY_INVALID);
    EXPECT(key == NULL);
    EXPECT_EQ(auth(snap, SPAN("sk-pst-short"), now, &key).code, ERR_KEY_INVALID);
    EXPECT(!failed(auth(snap, span_of(narrow, KEY_TEXT_LEN), now, &key)));
    EXPECT_EQ(snap_key_allows(key, FORMAT_OPENAI, SPAN("x")).code, ERR_FORMAT_FORBIDDEN);
    EXPECT_EQ(snap_key_allows(key, FORMAT_ANTHROPIC, SPAN("y")).code, ERR_MODEL_UNKNOWN);
    EXPECT(!failed(snap_key_allows(key, FORMAT_ANTHROPIC, SPAN("x"))));
    EXPECT(!failed(snap_key_allows(key, FORMAT_ANTHROPIC, SPAN("claude-5"))));
    EXPECT(!failed(snap_key_allows(key, FORMAT_ANTHROPIC, SPAN_NONE)));
    snapshot_free(&snap);
    teardown();
}

static void a_remembered_digest_is_judged_anew(void)
{
    setup();
    char a[KEY_TEXT_LEN], b[KEY_TEXT_LEN];
    uint8_t digest_a[DIGEST_BYTES], digest_b[DIGEST_BYTES];
    const struct snap_key *key;
    begin(1);
    add_key("{\"name\":\"a\"}", a);
    add_key("{\"name\":\"b\",\"expires_at\":\"1970-01-02\"}", b);
    struct snapshot *snap = end();
    const uint64_t day = 86400 * NS_PER_S;
    EXPECT(!failed(snapshot_digest(snap, span_of(a, KEY_TEXT_LEN), digest_a)));
    EXPECT(!failed(snapshot_digest(snap, span_of(b, KEY_TEXT_LEN), digest_b)));
    EXPECT(!failed(snapshot_auth(snap, digest_a, 1, &key)));
    EXPECT_SPAN(key->name, "a");
    EXPECT(!failed(snapshot_auth(snap, digest_b, 1, &key)));
    EXPECT_SPAN(key->name, "b");
    EXPECT_EQ(snapshot_auth(snap, digest_b, day, &key).code, ERR_KEY_EXPIRED);
    snapshot_free(&snap);
    begin(2); // revoked: the memory of it is worth nothing
    snap = end();
    EXPECT_EQ(snapshot_auth(snap, digest_a, 1, &key).code, ERR_KEY_INVALID);
    snapshot_free(&snap);
    teardown();
}

static void many_keys_are_all_found(void)
{
    enum { COUNT = 3000 };
    static char texts[COUNT][KEY_TEXT_LEN];
    setup();
    begin(1);
    for (int i = 0; i < COUNT; i++) {
        char json[64];
        snprintf(json, sizeof(json), "{\"name\":\"k%d\"}", i);
        add_key(json, texts[i]);
    }
    struct snapshot *snap = end();
    EXPECT_EQ(snapshot_key_count(snap), COUNT);
    for (int i = 0; i < COUNT; i++) {
        const struct snap_key *key;
        char name[16];
        snprintf(name, sizeof(name), "k%d", i);
        EXPECT(!failed(auth(snap, span_of(texts[i], KEY_TEXT_LEN), 1, &key)));
        EXPECT_SPAN(key->name, name);
    }
    snapshot_free(&snap);
    teardown();
}

static void one_key_changes_without_the_others(void)
{
    setup();
    char a[KEY_TEXT_LEN], b[KEY_TEXT_LEN], c[KEY_TEXT_LEN], b2[KEY_TEXT_LEN];
    const struct snap_key *key;
    char id[ENTITY_ID_MAX];
    begin(1);
    add_key("{\"name\":\"a\",\"models\":[\"m*\"]}", a);
    add_key("{\"name\":\"b\"}", b);
    add_key("{\"name\":\"c\"}", c);
    struct snapshot *first = end();
    EXPECT(!failed(auth(first, span_of(b, KEY_TEXT_LEN), 1, &key)));
    const uint32_t slot = key->slot.idx;
    begin(2);
    snap_builder_keep_keys(builder, first);
    add_key("{\"name\":\"b\"}", b2); // rotated: another text, the same id
    snap_builder_drop_key(builder, entity_id_of_name(&key_table, SPAN("c"), id));
    struct snapshot *second = end();
    snapshot_free(&first);
    EXPECT_EQ(snapshot_key_count(second), 2);
    EXPECT(!failed(auth(second, span_of(a, KEY_TEXT_LEN), 1, &key)));
    EXPECT_SPAN(key->models[0], "m*"); // its own copy, the first snapshot is gone
    EXPECT_EQ(auth(second, span_of(b, KEY_TEXT_LEN), 1, &key).code, ERR_KEY_INVALID);
    EXPECT(!failed(auth(second, span_of(b2, KEY_TEXT_LEN), 1, &key)));
    EXPECT_EQ(key->slot.idx, slot); // counters go on
    EXPECT_EQ(auth(second, span_of(c, KEY_TEXT_LEN), 1, &key).code, ERR_KEY_INVALID);
    EXPECT_EQ(slots_sweep(slots, 2), 0);
    EXPECT_EQ(slots_bound(slots), 2);
    snapshot_free(&second);
    teardown();
}

static void an_account_is_ready_to_be_called(void)
{
    setup();
    begin(1);
    add_account("{\"name\":\"o\",\"type\":\"openai\",\"api_key\":\"sk-1\"}");
    add_account("{\"name\":\"c\",\"type\":\"openai-compatible\",\"api_key\":\"sk-2\","
                "\"base_url\":\"http://LocalHost:8080/api/v1/\",\"auth\":\"api-key\","
                "\"headers\":{\"X-Org\":\"o1\"},\"max_in_flight\":0,"
                "\"timeouts\":{\"total\":\"9s\"}}");
    add_account("{\"name\":\"a\",\"type\":\"anthropic\",\"api_key\":\"sk-ant-3\"}");
    add_account("{\"name\":\"r\",\"type\":\"anthropic\",\"api_key\":\"other\","
                "\"base_url\":\"https://[2001:db8::1]:8443\"}");
    add_account("{\"name\":\"g\",\"type\":\"gemini\",\"api_key\":\"AIza\"}");
    add_account("{\"name\":\"n\",\"type\":\"openai-compatible\",\"auth\":\"none\","
                "\"base_url\":\"http://127.0.0.1:11434\"}");
    struct snapshot *snap = end();
    const struct snap_account *o = snapshot_account_by_name(snap, SPAN("o"));
    EXPECT_SPAN(o->host, "api.openai.com");
    EXPECT(o->tls && o->port == 443 && o->path.len == 0);
    EXPECT_SPAN(secret_reveal(o->lines), "host: api.openai.com\r\nauthorization: Bearer sk-1\r\n");
    EXPECT_SPAN(snap_account_auth(o), "Bearer sk-1");
    EXPECT_EQ(o->in_flight_max, UINT32_MAX);
    EXPECT_EQ(o->formats, BIT(FORMAT_OPENAI) | BIT(FORMAT_RESPONSES));
    const struct snap_account *c = snapshot_account_by_name(snap, SPAN("c"));
    EXPECT_SPAN(c->host, "localhost");
    EXPECT_SPAN(c->path, "/api/v1");
    EXPECT(!c->tls);
    EXPECT_SPAN(secret_reveal(c->lines), "host: localhost:8080\r\napi-key: sk-2\r\nx-org: o1\r\n");
    EXPECT_SPAN(snap_account_auth(c), "sk-2");
    EXPECT_EQ(c->in_flight_max, 0);
    EXPECT_EQ(c->total_ns, 9 * NS_PER_S);
    const struct snap_account *a = snapshot_account_by_name(snap, SPAN("a"));
    EXPECT_SPAN(secret_reveal(a->lines), "host: api.anthropic.com\r\nx-api-key: sk-ant-3\r\n");
    const struct snap_account *r = snapshot_account_by_name(snap, SPAN("r"));
    EXPECT_SPAN(r->host, "2001:db8::1");
    EXPECT_SPAN(secret_reveal(r->lines),
                "host: [2001:db8::1]:8443\r\nauthorization: Bearer other\r\n");
    const struct snap_account *g = snapshot_account_by_name(snap, SPAN("g"));
    EXPECT_SPAN(secret_reveal(g->lines),
                "host: generativelanguage.googleapis.com\r\nx-goog-api-key: AIza\r\n");
    const struct snap_account *n = snapshot_account_by_name(snap, SPAN("n"));
    EXPECT_SPAN(secret_reveal(n->lines), "host: 127.0.0.1:11434\r\n");
    EXPECT_EQ(snap_account_auth(n).len, 0);
    EXPECT(snapshot_account_by_name(snap, SPAN("zz")) == NULL);
    snapshot_free(&snap);
    teardown();
}

// The same, with the format that each is asked in where it is not the client's:
// "account>anthropic".
static const char *asked(const struct snapshot *snap, enum format format, const char *model)
{
    static char text[1024];
    size_t len = 0;
    const struct snap_route route = snapshot_route(snap, format, span_str(model));
    uint16_t own = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < route.count && len < sizeof(text); i++) {
        const struct snap_candidate *candidate = &route.candidates[i];
        const struct snap_account *account = snapshot_account(snap, candidate->account);
        const bool other = candidate->format != format;
        own += !other;
        EXPECT((account->formats & BIT(candidate->format)) != 0);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s%s%s", i > 0 ? " " : "",
                                account->name.ptr, other ? ">" : "",
                                other ? format_names[candidate->format] : "");
    }
    EXPECT_EQ(route.own_count, own);
    return text;
}

#define EXPECT_ASKED(snap, format, model, want) \
    EXPECT_SPAN(span_str(asked(snap, format, model)), want)

static const uint32_t chat_and_messages = BIT(FORMAT_OPENAI) | BIT(FORMAT_ANTHROPIC);

static void accounts_of_other_formats_serve_too(void)
{
    setup();
    begin(1);
    snap_builder_convert(builder, chat_and_messages);
    add_account(
        "{\"name\":\"chat\",\"type\":\"openai\",\"api_key\":\"k\",\"models\":[\"both\",\"gpt*\"]}");
    add_account("{\"name\":\"ant\",\"type\":\"anthropic\",\"api_key\":\"k\","
                "\"models\":[\"both\",\"claude*\"]}");
    add_account("{\"name\":\"best\",\"type\":\"anthropic\",\"api_key\":\"k\",\"priority\":1,"
                "\"models\":[\"claude-5\"]}");
    add_account("{\"name\":\"gem\",\"type\":\"gemini\",\"api_key\":\"k\",\"models\":[\"both\"]}");
    add_account("{\"name\":\"resp\",\"type\":\"openai\",\"api_key\":\"k\",\"models\":[\"both\"],"
                "\"formats\":[\"responses\"]}");
    struct snapshot *snap = end();
    // Of one priority those come first that speak the client's format.
    EXPECT_ASKED(snap, FORMAT_OPENAI, "both", "chat ant>anthropic");
    EXPECT_ASKED(snap, FORMAT_ANTHROPIC, "both", "ant chat>openai");
    EXPECT_ASKED(snap, FORMAT_OPENAI, "claude-5", "best>anthropic ant>anthropic");
    EXPECT_ASKED(snap, FORMAT_ANTHROPIC, "gpt-9", "chat>openai");
    // Formats that are not converted serve their own clients alone.
    EXPECT_ASKED(snap, FORMAT_GEMINI, "both", "gem");
    EXPECT_ASKED(snap, FORMAT_RESPONSES, "both", "chat resp");
    EXPECT_ASKED(snap, FORMAT_GEMINI, "gpt-9", "");
    // The lists show what can be had.
    uint32_t cursor = 0;
    const struct snap_model *model;
    const struct snap_key every = { .formats = FORMATS_ALL };
    unsigned count = 0;
    while ((model = snapshot_model_next(snap, &every, BIT(FORMAT_OPENAI), &cursor)) != NULL)
        count++;
    EXPECT_EQ(count, 2); // "both" and "claude-5"
    snapshot_free(&snap);
    teardown();
}

static void a_guess_is_the_last_choice(void)
{
    setup();
    begin(1);
    snap_builder_convert(builder, chat_and_messages);
    add_account("{\"name\":\"any-ant\",\"type\":\"anthropic\",\"api_key\":\"k\"}");
    add_account("{\"name\":\"any-chat\",\"type\":\"openai\",\"api_key\":\"k\"}");
    add_account(
        "{\"name\":\"ant\",\"type\":\"anthropic\",\"api_key\":\"k\",\"models\":[\"claude*\"]}");
    struct snapshot *snap = end();
    // Who lists no models is not asked in another format while somebody speaks the client's;
    EXPECT_ASKED(snap, FORMAT_OPENAI, "gpt-9", "any-chat");
    EXPECT_ASKED(snap, FORMAT_ANTHROPIC, "gpt-9", "any-ant");
    // and comes behind those who list the model, whatever they speak.
    EXPECT_ASKED(snap, FORMAT_OPENAI, "claude-5", "ant>anthropic any-chat");
    EXPECT_ASKED(snap, FORMAT_ANTHROPIC, "claude-5", "ant any-ant");
    snapshot_free(&snap);
    begin(2);
    snap_builder_convert(builder, chat_and_messages);
    add_account("{\"name\":\"any-ant\",\"type\":\"anthropic\",\"api_key\":\"k\"}");
    snap = end();
    EXPECT_ASKED(snap, FORMAT_OPENAI, "gpt-9", "any-ant>anthropic"); // nobody else is there
    snapshot_free(&snap);
    teardown();
}

static void routes_name_accounts_of_any_format(void)
{
    setup();
    begin(1);
    snap_builder_convert(builder, chat_and_messages);
    add_account("{\"name\":\"ant\",\"type\":\"anthropic\",\"api_key\":\"k\",\"models\":[\"x\"]}");
    add_account("{\"name\":\"chat\",\"type\":\"openai\",\"api_key\":\"k\",\"models\":[\"x\"]}");
    add_route("{\"name\":\"named\",\"accounts\":[\"ant\",\"chat\"],\"strict_conversion\":true}");
    add_route("{\"name\":\"free\",\"target\":\"x\",\"aliases\":[\"frei\"]}");
    add_route("{\"name\":\"narrow\",\"target\":\"x\",\"formats\":[\"anthropic\"]}");
    struct snapshot *snap = end();
    EXPECT_ASKED(snap, FORMAT_OPENAI, "named", "ant>anthropic chat"); // in the route's own order
    EXPECT(snapshot_route(snap, FORMAT_OPENAI, SPAN("named")).strict);
    EXPECT_ASKED(snap, FORMAT_OPENAI, "frei", "chat ant>anthropic");
    EXPECT(!snapshot_route(snap, FORMAT_OPENAI, SPAN("frei")).strict);
    EXPECT_ASKED(snap, FORMAT_OPENAI, "narrow", ""); // offered to other clients alone
    EXPECT_ASKED(snap, FORMAT_ANTHROPIC, "narrow", "ant chat>openai");
    snapshot_free(&snap);
    teardown();
}

static void names_lead_to_accounts_in_order(void)
{
    setup();
    begin(1);
    add_account("{\"name\":\"late\",\"type\":\"openai\",\"api_key\":\"k\",\"priority\":90}");
    add_account("{\"name\":\"b-list\",\"type\":\"openai\",\"api_key\":\"k\","
                "\"models\":[\"gpt-4o\",\"gpt-5*\"]}");
    add_account("{\"name\":\"a-list\",\"type\":\"openai\",\"api_key\":\"k\","
                "\"models\":[\"gpt-4o\"],\"model_map\":{\"fast\":\"gpt-4o-mini\"}}");
    add_account("{\"name\":\"first\",\"type\":\"openai\",\"api_key\":\"k\",\"priority\":1,"
                "\"models\":[\"gpt-5-pro*\"],\"formats\":[\"responses\"]}");
    add_account("{\"name\":\"off\",\"type\":\"openai\",\"api_key\":\"k\",\"enabled\":false}");
    add_account("{\"name\":\"ant\",\"type\":\"anthropic\",\"api_key\":\"sk-ant-x\"}");
    struct snapshot *snap = end();
    EXPECT_SERVED(snap, FORMAT_OPENAI, "gpt-4o", "a-list b-list late");
    EXPECT_SERVED(snap, FORMAT_OPENAI, "fast", "a-list=gpt-4o-mini late");
    EXPECT_SERVED(snap, FORMAT_OPENAI, "gpt-5-mini", "b-list late");
    EXPECT_SERVED(snap, FORMAT_OPENAI, "gpt-5-pro-1", "b-list late"); // "first" has no chat
    EXPECT_SERVED(snap, FORMAT_RESPONSES, "gpt-5-pro-1", "first b-list late");
    EXPECT_SERVED(snap, FORMAT_RESPONSES, "gpt-5-pro", "first b-list late");
    EXPECT_SERVED(snap, FORMAT_RESPONSES, "gpt-5-pr", "b-list late");
    EXPECT_SERVED(snap, FORMAT_OPENAI, "unheard-of", "late"); // lists nothing: serves all
    EXPECT_SERVED(snap, FORMAT_ANTHROPIC, "gpt-4o", "ant");
    EXPECT_SERVED(snap, FORMAT_GEMINI, "gpt-4o", "");
    EXPECT_SERVED(snap, FORMAT_OPENAI, "", "");
    char long_name[MODEL_NAME_MAX + 2];
    memset(long_name, 'a', sizeof(long_name));
    long_name[MODEL_NAME_MAX + 1] = '\0';
    EXPECT_SERVED(snap, FORMAT_OPENAI, long_name, "");
    long_name[MODEL_NAME_MAX] = '\0';
    EXPECT_SERVED(snap, FORMAT_OPENAI, long_name, "late");
    snapshot_free(&snap);
    teardown();
}

static void routes_decide_before_lists(void)
{
    setup();
    begin(1);
    add_account("{\"name\":\"x\",\"type\":\"openai\",\"api_key\":\"k\",\"models\":[\"m1\"],"
                "\"priority\":10}");
    add_account("{\"name\":\"y\",\"type\":\"openai\",\"api_key\":\"k\",\"models\":[\"m1\",\"m2\"],"
                "\"model_map\":{\"m1\":\"vendor-m1\"}}");
    add_account("{\"name\":\"z\",\"type\":\"openai\",\"api_key\":\"k\",\"models\":[\"zzz\"]}");
    add_route("{\"name\":\"smart\",\"aliases\":[\"best\"],\"target\":\"m1\"}");
    add_route("{\"name\":\"pinned\",\"target\":\"m1\",\"accounts\":[\"z\",\"y\",\"gone\",\"x\"]}");
    add_route("{\"name\":\"m2\",\"enabled\":false}");
    add_route("{\"name\":\"only-chat\",\"target\":\"m1\",\"formats\":[\"openai\"]}");
    struct snapshot *snap = end();
    EXPECT_SERVED(snap, FORMAT_OPENAI, "m1", "x y=vendor-m1");
    EXPECT_SERVED(snap, FORMAT_OPENAI, "smart", "x=m1 y=vendor-m1");
    EXPECT_SERVED(snap, FORMAT_OPENAI, "best", "x=m1 y=vendor-m1");
    EXPECT_SERVED(snap, FORMAT_OPENAI, "pinned", "z=m1 y=vendor-m1 x=m1");
    EXPECT_SERVED(snap, FORMAT_OPENAI, "m2", ""); // the route takes the name and is off
    EXPECT_SERVED(snap, FORMAT_OPENAI, "only-chat", "x=m1 y=vendor-m1");
    EXPECT_SERVED(snap, FORMAT_RESPONSES, "only-chat", "");
    snapshot_free(&snap);
    teardown();
}

static void lists_show_what_a_key_may_use(void)
{
    setup();
    char all[KEY_TEXT_LEN], few[KEY_TEXT_LEN];
    begin(1);
    add_account("{\"name\":\"o\",\"type\":\"openai\",\"api_key\":\"k\","
                "\"models\":[\"gpt-b\",\"gpt-a\",\"o*\"]}");
    add_account("{\"name\":\"a\",\"type\":\"anthropic\",\"api_key\":\"sk-ant-k\","
                "\"models\":[\"claude-x\",\"gpt-a\"]}");
    add_route("{\"name\":\"smart\",\"target\":\"gpt-a\",\"aliases\":[\"gpt-b\"],"
              "\"display_name\":\"Smart one\",\"owned_by\":\"us\"}");
    add_route("{\"name\":\"hidden\",\"target\":\"gpt-a\",\"listed\":false}");
    add_key("{\"name\":\"all\"}", all);
    add_key("{\"name\":\"few\",\"models\":[\"gpt-*\",\"claude-x\"],\"formats\":[\"anthropic\"]}",
            few);
    struct snapshot *snap = end();
    const struct snap_key *key;
    EXPECT(!failed(auth(snap, span_of(all, KEY_TEXT_LEN), 1, &key)));
    static const char *const want[] = { "claude-x", "gpt-a", "smart" };
    uint32_t cursor = 0;
    const struct snap_model *model;
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        model = snapshot_model_next(snap, key, FORMATS_ALL, &cursor);
        EXPECT(model != NULL);
        EXPECT_SPAN(model->name, want[i]);
    }
    EXPECT_SPAN(model->display_name, "Smart one");
    EXPECT_SPAN(model->owned_by, "us");
    EXPECT(snapshot_model_next(snap, key, FORMATS_ALL, &cursor) == NULL);
    model = snapshot_model(snap, key, BIT(FORMAT_ANTHROPIC), SPAN("gpt-a"));
    EXPECT(model != NULL &&
           model->formats == (BIT(FORMAT_OPENAI) | BIT(FORMAT_RESPONSES) | BIT(FORMAT_ANTHROPIC)));
    EXPECT(snapshot_model(snap, key, BIT(FORMAT_GEMINI), SPAN("gpt-a")) == NULL);
    EXPECT(snapshot_model(snap, key, FORMATS_ALL, SPAN("hidden")) == NULL);
    EXPECT(snapshot_model(snap, key, FORMATS_ALL, SPAN("gpt-b")) == NULL); // an alias
    EXPECT(!failed(auth(snap, span_of(few, KEY_TEXT_LEN), 1, &key)));
    cursor = 0;
    EXPECT_SPAN(snapshot_model_next(snap, key, FORMATS_ALL, &cursor)->name, "claude-x");
    EXPECT_SPAN(snapshot_model_next(snap, key, FORMATS_ALL, &cursor)->name, "gpt-a");
    EXPECT(snapshot_model_next(snap, key, FORMATS_ALL, &cursor) == NULL);
    snapshot_free(&snap);
    teardown();
}

static void what_cannot_be_is_refused(void)
{
    setup();
    char text[KEY_TEXT_LEN];
    struct snapshot *snap;
    begin(1);
    add_account("{\"name\":\"twin\",\"type\":\"openai\",\"api_key\":\"k\"}");
    add_account("{\"name\":\"twin\",\"type\":\"openai\",\"api_key\":\"k\"}");
    EXPECT_EQ(snap_builder_finish(&builder, &snap).code, ERR_CONFLICT);
    EXPECT(snap == NULL && builder == NULL);
    begin(1);
    // A key file may hold anything; none of it becomes a second header.
    struct record *record =
        from_json(&account_table, "{\"name\":\"f\",\"type\":\"openai\",\"auth\":\"bearer\","
                                  "\"api_key_file\":\"/run/key\"}");
    struct account *account = (struct account *)record;
    record_text(record, &account->id, SPAN("acc_f"));
    struct secret *key = secret_new(vault, SPAN("k\r\nx-evil: 1"));
    const struct snap_account_extra extra = { .from_file = true, .api_key = key };
    EXPECT_EQ(snap_builder_account(builder, account, &extra).code, ERR_INVALID);
    secret_free(&key);
    record_free(&record);
    // Two records of one key would make two owners of its usage.
    add_key("{\"name\":\"a\"}", text);
    record = from_json(&key_table, "{\"name\":\"b\"}");
    struct key *second = (struct key *)record;
    struct key_hasher hasher;
    key_hasher_init(&hasher, keyring.lookup);
    key_adopt(second, &hasher, span_of(text, KEY_TEXT_LEN));
    record_text(record, &second->id, SPAN("key_b"));
    EXPECT(!failed(snap_builder_key(builder, second)));
    memset(second->digest, 0, DIGEST_BYTES);
    EXPECT_EQ(snap_builder_key(builder, second).code, ERR_INVALID);
    record_free(&record);
    EXPECT_EQ(snap_builder_finish(&builder, &snap).code, ERR_CONFLICT);
    begin(1); // and a builder that is given up leaves nothing
    add_account("{\"name\":\"x\",\"type\":\"openai\",\"api_key\":\"k\"}");
    snap_builder_free(&builder);
    teardown();
}

static struct snapshot *small(struct snap_hub *hub)
{
    begin(snap_hub_next(hub));
    add_account("{\"name\":\"o\",\"type\":\"openai\",\"api_key\":\"sk-1\"}");
    return end();
}

static void a_snapshot_lives_as_long_as_a_shard_sees_it(void)
{
    setup();
    struct snap_hub *hub;
    EXPECT(!failed(snap_hub_new(&hub, 2)));
    const struct snap_key *key;
    EXPECT_EQ(auth(snap_hub_current(hub), SPAN("x"), 1, &key).code, ERR_KEY_INVALID);
    EXPECT_SERVED(snap_hub_current(hub), FORMAT_OPENAI, "m", "");
    EXPECT_EQ(snapshot_generation(snap_hub_enter(hub, 0)), 0);
    struct snapshot *snap = small(hub);
    EXPECT(!failed(snap_hub_publish(hub, &snap)));
    EXPECT(snap == NULL);
    EXPECT_EQ(snap_hub_reclaim(hub), 1); // shard 0 is in its turn
    EXPECT_EQ(snapshot_generation(snap_hub_enter(hub, 0)), 1);
    EXPECT_EQ(snap_hub_reclaim(hub), 0); // and has passed on
    snap = small(hub);
    EXPECT(!failed(snap_hub_publish(hub, &snap)));
    EXPECT_EQ(snap_hub_reclaim(hub), 1);
    snap_hub_leave(hub, 0);
    EXPECT_EQ(snap_hub_reclaim(hub), 0); // asleep
    EXPECT_EQ(snapshot_generation(snap_hub_enter(hub, 1)), 2);
    // A shard that never turns stops changes, not the process.
    int published = 0;
    struct err err = OK;
    while (!failed(err) && published <= SNAPSHOT_RETIRED_MAX) {
        snap = small(hub);
        err = snap_hub_publish(hub, &snap);
        published += failed(err) ? 0 : 1;
    }
    EXPECT_EQ(err.code, ERR_OVERLOADED);
    EXPECT_EQ(published, SNAPSHOT_RETIRED_MAX);
    EXPECT(snap != NULL);
    snapshot_free(&snap);
    snap_hub_leave(hub, 1);
    snap_hub_free(&hub);
    teardown();
}

enum { SHARDS = 3, CHANGES = 300 };
struct shard_arg {
    struct snap_hub *hub;
    uint32_t idx;
    _Atomic bool *stop;
    _Atomic uint64_t turns;
    uint64_t newest, wrong;
};

// A shard that looks at everything in each snapshot, sleeps now and then, and never sees time go
// backwards. Freed memory under it is a report of the address or thread sanitizer.
static void *shard(void *data)
{
    struct shard_arg *arg = data;
    bool last = false;
    while (!last) {
        last = atomic_load_explicit(arg->stop, memory_order_acquire); // one turn after the end
        const struct snapshot *snap = snap_hub_enter(arg->hub, arg->idx);
        const uint64_t generation = snapshot_generation(snap);
        arg->wrong += generation < arg->newest ? 1 : 0;
        arg->newest = generation;
        const struct snap_route route = snapshot_route(snap, FORMAT_OPENAI, SPAN("m"));
        arg->wrong += route.count != (generation > 0 ? 1u : 0u) ? 1 : 0;
        for (uint32_t i = 0; i < route.count; i++) {
            const struct snap_account *account =
                snapshot_account(snap, route.candidates[i].account);
            arg->wrong += span_eq(snap_account_auth(account), SPAN("Bearer sk-1")) ? 0 : 1;
        }
        if (atomic_fetch_add_explicit(&arg->turns, 1, memory_order_relaxed) % 7 == arg->idx) {
            snap_hub_leave(arg->hub, arg->idx);
            sched_yield();
        }
    }
    snap_hub_leave(arg->hub, arg->idx);
    return NULL;
}

static void shards_run_while_snapshots_change(void)
{
    setup();
    struct snap_hub *hub;
    static _Atomic bool stop;
    struct shard_arg args[SHARDS];
    pthread_t threads[SHARDS];
    EXPECT(!failed(snap_hub_new(&hub, SHARDS)));
    for (uint32_t i = 0; i < SHARDS; i++) {
        args[i] = (struct shard_arg){ .hub = hub, .idx = i, .stop = &stop };
        EXPECT_EQ(pthread_create(&threads[i], NULL, shard, &args[i]), 0);
    }
    for (uint32_t i = 0; i < SHARDS; i++) // all of them are under way
        while (atomic_load(&args[i].turns) == 0)
            sched_yield();
    for (int i = 0; i < CHANGES; i++) {
        struct snapshot *snap = small(hub);
        struct err err = snap_hub_publish(hub, &snap);
        while (failed(err)) {
            sched_yield();
            err = snap_hub_publish(hub, &snap);
        }
        if (snap_hub_reclaim(hub) == 0)
            slots_sweep(slots, snapshot_generation(snap_hub_current(hub)));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < SHARDS; i++) {
        pthread_join(threads[i], NULL);
        EXPECT_EQ(args[i].wrong, 0);
        EXPECT_EQ(args[i].newest, CHANGES);
    }
    EXPECT_EQ(snap_hub_reclaim(hub), 0);
    snap_hub_free(&hub);
    teardown();
}

TEST_MAIN(TEST(a_key_is_found_and_judged), TEST(a_remembered_digest_is_judged_anew),
          TEST(many_keys_are_all_found), TEST(one_key_changes_without_the_others),
          TEST(an_account_is_ready_to_be_called), TEST(names_lead_to_accounts_in_order),
          TEST(accounts_of_other_formats_serve_too), TEST(a_guess_is_the_last_choice),
          TEST(routes_name_accounts_of_any_format), TEST(routes_decide_before_lists),
          TEST(lists_show_what_a_key_may_use), TEST(what_cannot_be_is_refused),
          TEST(a_snapshot_lives_as_long_as_a_shard_sees_it),
          TEST(shards_run_while_snapshots_change))
