// What field.h promises of every table, and the accounts, keys and routes built on it.
#include "test.h"

#include "penstock/model/entity.h"
#include "penstock/model/seal.h"

static struct vault *vault;
static struct problems problems;
static struct env_fake world;
static struct keyring keyring;

static void setup(void)
{
    EXPECT(!failed(vault_new(&vault)));
    env_fake_init(&world, 7);
    problems_init(&problems);
    struct secret *master = secret_blank(vault, MASTER_KEY_BYTES);
    EXPECT(!failed(keyring_init(&keyring, vault, master)));
    secret_free(&master);
}

// A forgotten secret fails the assertion in vault_free().
static void teardown(void)
{
    keyring_fini(&keyring);
    vault_free(&vault);
}

static void read_into(struct record *record, const char *json, enum record_source source)
{
    struct region region;
    region_init(&region, KIB);
    json_error_t error;
    json_t *document = json_loads(json, JSON_DECODE_ANY, &error);
    if (document == NULL) {
        fprintf(stderr, "test document: %s\n", error.text);
        test_failures++;
        return;
    }
    problems_init(&problems);
    record_read(record, value_from_json(&region, document), source, "", &problems);
    json_decref(document);
    region_fini(&region);
}

static struct record *read_new(const struct table *table, const char *json)
{
    struct record *record = record_new(table, vault);
    read_into(record, json, FROM_CREATE);
    return record;
}

static const char *text_of(const struct record *record)
{
    static char text[8192];
    json_t *json = record_json(record);
    const size_t len = json_dumpb(json, text, sizeof(text) - 1, JSON_COMPACT);
    text[len] = '\0';
    json_decref(json);
    return text;
}

// True if a problem with `code` at `path` was found whose texts hold `part`.
static bool found(enum problem_code code, const char *path, const char *part)
{
    for (uint32_t i = 0; i < problems.count; i++) {
        const struct problem *problem = &problems.items[i];
        if (problem->code == code && strcmp(problem->path, path) == 0 &&
            (strstr(problem->text, part) != NULL || strstr(problem->hint, part) != NULL ||
             strstr(problem->help, part) != NULL))
            return true;
    }
    for (uint32_t i = 0; i < problems.count; i++)
        fprintf(stderr, "  had C%04u %s: %s | %s | %s\n", problems.items[i].code,
                problems.items[i].path, problems.items[i].text, problems.items[i].hint,
                problems.items[i].help);
    return false;
}

static const char good_account[] =
    "{\"name\":\"main\",\"type\":\"openai\",\"api_key\":\"sk-planted-0123456789\","
    "\"headers\":{\"x-org\":\"planted-header-value\"},\"models\":[\"gpt-4o\",\"gpt-5*\"],"
    "\"model_map\":{\"fast\":\"gpt-4o-mini\"},\"timeouts\":{\"connect\":\"250ms\"},"
    "\"priority\":7,\"expires_at\":\"2030-01-01\"}";

static void an_account_reads_and_shows(void)
{
    setup();
    struct record *record = read_new(&account_table, good_account);
    const struct account *account = (const struct account *)record;
    EXPECT_EQ(problems.error_count, 0);
    EXPECT_SPAN(account->name, "main");
    EXPECT_EQ(account->type, ACCOUNT_OPENAI);
    EXPECT_SPAN(secret_reveal(account->api_key), "sk-planted-0123456789");
    EXPECT_EQ(account->models.count, 2);
    EXPECT_SPAN(account->model_map.items[0].value, "gpt-4o-mini");
    EXPECT_EQ(account->connect_ns, 250 * NS_PER_MS);
    EXPECT_EQ(account->priority, 7);
    EXPECT(account->enabled);
    EXPECT_EQ(account->max_in_flight, -1);
    const char *json = text_of(record);
    EXPECT(strstr(json, "planted") == NULL); // neither key nor header value
    EXPECT(strstr(json, "\"api_key\":\"********\"") != NULL);
    EXPECT(strstr(json, "\"headers\":{\"x-org\":\"********\"}") != NULL);
    EXPECT(strstr(json, "\"timeouts\":{\"connect\":\"250ms\"") != NULL);
    EXPECT(strstr(json, "\"expires_at\":\"2030-01-01T00:00:00Z\"") != NULL);
    EXPECT(strstr(json, "\"total\":\"default\"") != NULL);
    record_free(&record);
    teardown();
}

static void mistakes_are_named_with_path_and_hint(void)
{
    setup();
    struct record *record = read_new(
        &account_table, "{\"name\":\"a\",\"type\":\"opanai\",\"api_keey\":\"x\",\"priority\":0,"
                        "\"timeouts\":{\"conect\":\"1s\",\"idle\":30,\"total\":\"5 parsecs\"},"
                        "\"base_url\":\"ftp://x\",\"enabled\":\"yes\",\"models\":[\"a b\",7],"
                        "\"connect\":\"1s\",\"created_at\":\"2030-01-01T00:00:00Z\","
                        "\"allow_private\":true,\"ca_file\":\"relative\"}");
    EXPECT(found(PROBLEM_NOT_ONE_OF, "type", "did you mean `openai`?"));
    EXPECT(found(PROBLEM_UNKNOWN_KEY, "api_keey", "did you mean `api_key`?"));
    EXPECT(found(PROBLEM_OUT_OF_RANGE, "priority", "between 1 and 100"));
    EXPECT(found(PROBLEM_UNKNOWN_KEY, "timeouts.conect", "did you mean `connect`?"));
    EXPECT(found(PROBLEM_UNIT_MISSING, "timeouts.idle", "for example `30s`"));
    EXPECT(found(PROBLEM_MALFORMED, "timeouts.total", "unit"));
    EXPECT(found(PROBLEM_MALFORMED, "base_url", "https://"));
    EXPECT(found(PROBLEM_WRONG_KIND, "enabled", "true or false"));
    EXPECT(found(PROBLEM_MALFORMED, "models[0]", "one asterisk"));
    EXPECT(found(PROBLEM_WRONG_KIND, "models[1]", "text"));
    EXPECT(found(PROBLEM_UNKNOWN_KEY, "connect", "timeouts.connect"));
    EXPECT(found(PROBLEM_READ_ONLY, "created_at", "gateway"));
    EXPECT(found(PROBLEM_FILE_ONLY, "allow_private", "configuration file"));
    EXPECT(found(PROBLEM_MALFORMED, "ca_file", "absolute"));
    EXPECT_EQ(problems.error_count, 14);
    record_free(&record);
    teardown();
}

static void fields_must_fit_together(void)
{
    setup();
    struct record *record = read_new(&account_table, "{\"name\":\"a\",\"type\":\"gemini\"}");
    EXPECT(found(PROBLEM_MISSING, "api_key", "auth: none"));
    record_free(&record);
    record = read_new(&account_table,
                      "{\"name\":\"a\",\"type\":\"openai-compatible\",\"api_key\":\"k\","
                      "\"formats\":[\"gemini\"],\"headers\":{\"Authorization\":\"x\",\"a b\":\"c\","
                      "\"X-A\":\"1\",\"x-a\":\"2\"}}");
    EXPECT(found(PROBLEM_MISSING, "base_url", "no address of its own"));
    EXPECT(found(PROBLEM_INCONSISTENT, "formats", "serves none"));
    EXPECT(found(PROBLEM_INCONSISTENT, "headers", "authorization"));
    EXPECT(found(PROBLEM_MALFORMED, "headers", "a b"));
    EXPECT(found(PROBLEM_DUPLICATE_KEY, "headers", "x-a"));
    record_free(&record);
    record = read_new(&account_table, "{\"type\":\"openai\"}");
    EXPECT(found(PROBLEM_MISSING, "name", "people"));
    EXPECT_EQ(problems.error_count, 1); // what depends on it is not said as well
    record_free(&record);
    record = read_new(&account_table, "[1]");
    EXPECT(found(PROBLEM_WRONG_KIND, "", "an `account`"));
    record_free(&record);
    teardown();
}

static void a_change_keeps_what_it_does_not_name(void)
{
    setup();
    struct record *record = read_new(&account_table, good_account);
    struct account *account = (struct account *)record;
    account->created_at = NS_PER_S;
    struct record *before = record_copy(record);
    // The whole object as it was shown, with one change: masks keep secrets, and what cannot be
    // changed may be there as long as it is the same.
    char *shown = strdup(text_of(record));
    read_into(record, shown, FROM_UPDATE);
    EXPECT_EQ(problems.error_count, 0);
    EXPECT(record_eq(record, before));
    free(shown);
    read_into(record, "{\"priority\":9,\"timeouts\":{\"connect\":null}}", FROM_UPDATE);
    EXPECT_EQ(problems.error_count, 0);
    EXPECT_EQ(account->priority, 9);
    EXPECT_EQ(account->connect_ns, 0);
    EXPECT_SPAN(secret_reveal(account->api_key), "sk-planted-0123456789");
    EXPECT_SPAN(account->headers.items[0].value, "planted-header-value");
    read_into(record, "{\"type\":\"gemini\",\"created_at\":\"2001-01-01T00:00:00Z\"}", FROM_UPDATE);
    EXPECT(found(PROBLEM_IMMUTABLE, "type", "after creation"));
    EXPECT(found(PROBLEM_READ_ONLY, "created_at", "gateway"));
    EXPECT_EQ(account->type, ACCOUNT_OPENAI);
    record_free(&record), record_free(&before);
    // A mask where there is no secret is no secret.
    record =
        read_new(&account_table, "{\"name\":\"a\",\"type\":\"openai\",\"api_key\":\"********\"}");
    EXPECT(found(PROBLEM_MALFORMED, "api_key", "mask"));
    record_free(&record);
    teardown();
}

static void a_record_comes_back_from_the_store(void)
{
    setup();
    struct record *record = read_new(&account_table, good_account);
    struct text stored = { 0 };
    EXPECT(!failed(record_pack(record, SPAN("acc_1"), &keyring, &world.env, &stored)));
    EXPECT_EQ(stored.ptr[0], 1);
    EXPECT(memmem(stored.ptr, stored.len, "planted", 7) == NULL); // sealed
    struct record *back = NULL;
    const struct span bytes = text_span(&stored);
    EXPECT(!failed(record_unpack(&account_table, bytes, SPAN("acc_1"), &keyring, vault, &back)));
    EXPECT(back != NULL && record_eq(record, back));
    record_free(&back);
    // Under another id the secret does not open: records cannot be exchanged.
    struct err err = record_unpack(&account_table, bytes, SPAN("acc_2"), &keyring, vault, &back);
    EXPECT_EQ(err.code, ERR_SEAL_BROKEN);
    EXPECT(back == NULL);
    // Every cut is an error, or ends at the border of a field and gives a record without it.
    size_t whole = 0;
    for (size_t len = 0; len < bytes.len; len++) {
        err = record_unpack(&account_table, span_upto(bytes, len), SPAN("acc_1"), &keyring, vault,
                            &back);
        EXPECT(failed(err) == (back == NULL));
        whole += back != NULL ? 1 : 0;
        record_free(&back);
    }
    EXPECT(whole <= 12);
    // No flipped byte crashes, and none in a sealed value passes.
    for (size_t at = 0; at < bytes.len; at++) {
        stored.ptr[at] ^= 0x41;
        err = record_unpack(&account_table, bytes, SPAN("acc_1"), &keyring, vault, &back);
        if (!failed(err))
            EXPECT_SPAN(secret_reveal(((struct account *)back)->api_key), "sk-planted-0123456789");
        record_free(&back);
        stored.ptr[at] ^= 0x41;
    }
    text_fini(&stored);
    record_free(&record);
    teardown();
}

// Found by the fuzzer: a damaged text was taken, and could then not be written as JSON.
static void a_stored_text_is_utf8(void)
{
    setup();
    static const char broken[] = "\x01\x02\x01n\x0c\x04\x01\x61\x01\xe2";
    struct record *back;
    EXPECT_EQ(record_unpack(&account_table, span_of(broken, sizeof(broken) - 1), SPAN("a"),
                            &keyring, vault, &back)
                  .code,
              ERR_STORE_CORRUPT);
    EXPECT(back == NULL);
    static const char good[] = "\x01\x02\x01n\x0c\x04\x01\x61\x01z";
    EXPECT(!failed(record_unpack(&account_table, span_of(good, sizeof(good) - 1), SPAN("a"),
                                 &keyring, vault, &back)));
    record_free(&back);
    teardown();
}

// One kind of record in three versions of a program.
struct thing {
    struct record record;
    struct span name;
    int64_t old_seconds;
    uint64_t wait_ns;
};
#define THING(kind, name, tag, member, ...) \
    FIELD_ROW(kind, struct thing, name, tag, member, __VA_ARGS__)

static const struct field thing_fields_1[] = { THING(STRING, "name", 1, name, .help = ""),
                                               THING(INT, "seconds", 2, old_seconds, .help = "") };
static const struct table thing_1 = { .name = "thing",
                                      .size = sizeof(struct thing),
                                      .version = 1,
                                      .version_min = 1,
                                      .fields = thing_fields_1,
                                      .count = 2 };

static const struct field thing_fields_2[] = {
    THING(STRING, "name", 1, name, .help = ""),
    THING(INT, "seconds", 2, old_seconds, .flags = FIELD_HIDDEN, .help = ""),
    THING(DURATION, "wait", 3, wait_ns, .init = "5s", .help = ""),
};
static void thing_upgrade(struct record *record, uint8_t version)
{
    struct thing *thing = (struct thing *)record;
    if (version == 1)
        thing->wait_ns = (uint64_t)thing->old_seconds * NS_PER_S;
}
static const struct table thing_2 = { .name = "thing",
                                      .size = sizeof(struct thing),
                                      .version = 2,
                                      .version_min = 1,
                                      .fields = thing_fields_2,
                                      .count = 3,
                                      .upgrade = thing_upgrade };

static const struct field thing_fields_3[] = { THING(STRING, "name", 1, name, .help = ""),
                                               THING(DURATION, "wait", 3, wait_ns, .init = "5s",
                                                     .help = "") };
static const struct table thing_3 = { .name = "thing",
                                      .size = sizeof(struct thing),
                                      .version = 3,
                                      .version_min = 2,
                                      .fields = thing_fields_3,
                                      .count = 2 };

static struct thing *store_and_read(const struct table *from, const struct table *to,
                                    const char *json, struct err *err)
{
    struct record *record = read_new(from, json), *back = NULL;
    struct text stored = { 0 };
    EXPECT(!failed(record_pack(record, SPAN("t"), &keyring, &world.env, &stored)));
    *err = record_unpack(to, text_span(&stored), SPAN("t"), &keyring, vault, &back);
    text_fini(&stored);
    record_free(&record);
    return (struct thing *)back;
}

static void the_version_before_is_read(void)
{
    setup();
    struct err err;
    struct thing *thing =
        store_and_read(&thing_1, &thing_2, "{\"name\":\"n\",\"seconds\":9}", &err);
    EXPECT(!failed(err));
    EXPECT_EQ(thing->wait_ns, 9 * NS_PER_S); // moved by the upgrade
    record_free((struct record **)&thing);
    // A field that is gone is passed over in an older record.
    thing = store_and_read(&thing_2, &thing_3, "{\"name\":\"n\",\"seconds\":9}", &err);
    EXPECT(!failed(err));
    EXPECT_SPAN(thing->name, "n");
    EXPECT_EQ(thing->wait_ns, 5 * NS_PER_S);
    record_free((struct record **)&thing);
    // Two versions back is too far, and so is the future.
    EXPECT(store_and_read(&thing_1, &thing_3, "{\"name\":\"n\"}", &err) == NULL);
    EXPECT_EQ(err.code, ERR_STORE_CORRUPT);
    EXPECT(store_and_read(&thing_3, &thing_2, "{\"name\":\"n\"}", &err) == NULL);
    EXPECT_EQ(err.code, ERR_STORE_CORRUPT);
    teardown();
}

static void what_is_set_is_stored_even_at_its_default(void)
{
    setup();
    struct record *record = read_new(&key_table, "{\"name\":\"k\"}"), *back = NULL;
    struct key *key = (struct key *)record;
    key->enabled = false; // by the program, not by a document
    memset(key->digest, 3, DIGEST_BYTES);
    struct text stored = { 0 };
    EXPECT(!failed(record_pack(record, SPAN("k"), &keyring, &world.env, &stored)));
    EXPECT(stored.len < 64); // a key costs little more than its digest and name
    EXPECT(
        !failed(record_unpack(&key_table, text_span(&stored), SPAN("k"), &keyring, vault, &back)));
    EXPECT(!((struct key *)back)->enabled);
    EXPECT(record_eq(record, back));
    EXPECT(strstr(text_of(back), "0303") == NULL); // the digest is hidden
    text_fini(&stored);
    record_free(&record), record_free(&back);
    teardown();
}

static void every_table_is_sound(void)
{
    setup();
    for (int kind = 0; kind < ENTITY_COUNT; kind++) {
        const struct table *table = entity_tables[kind];
        struct record *record = record_new(table, vault); // its defaults read
        EXPECT(table->version_min >= 1 && table->version_min + 1 >= table->version);
        for (uint32_t i = 0; i < table->count; i++) {
            const struct field *field = &table->fields[i];
            EXPECT(field->help != NULL && field->help[0] != '\0');
            EXPECT(field->tag > 0 && table_find_tag(table, field->tag) == field);
            EXPECT(table_find(table, span_str(field->name)) == field);
            EXPECT(strlen(field->name) < FIELD_NAME_MAX);
            const bool named = field->kind == FIELD_ENUM || field->kind == FIELD_ENUMS;
            EXPECT((field->names != NULL) == named);
            EXPECT(field->kind != FIELD_OBJECTS); // they have no stored form
            EXPECT(!record_has(record, field));
        }
        struct record *copy = record_copy(record);
        EXPECT(record_eq(record, copy));
        record_free(&record), record_free(&copy);
    }
    teardown();
}

static void no_text_of_a_secret_reaches_a_problem(void)
{
    setup();
    struct record *record =
        read_new(&account_table, "{\"name\":\"a\",\"type\":\"openai\","
                                 "\"api_key\":\"planted\\u0001secret\","
                                 "\"headers\":{\"x-a\":\"planted\\u0001value\"}}");
    EXPECT_EQ(problems.error_count, 2);
    for (uint32_t i = 0; i < problems.count; i++) {
        EXPECT(strstr(problems.items[i].text, "planted") == NULL);
        EXPECT(problems.items[i].hides);
    }
    record_free(&record);
    teardown();
}

static void ids_are_stable_or_random(void)
{
    setup();
    char a[ENTITY_ID_MAX], b[ENTITY_ID_MAX];
    EXPECT(span_eq(entity_id_of_name(&account_table, SPAN("main"), a),
                   entity_id_of_name(&account_table, SPAN("main"), b)));
    EXPECT(span_starts(span_str(a), SPAN("acc_")) && strlen(a) == 23);
    EXPECT(!span_eq(entity_id_of_name(&account_table, SPAN("other"), b), span_str(a)));
    entity_id_random(&key_table, &world.env, a);
    entity_id_random(&key_table, &world.env, b);
    EXPECT(strcmp(a, b) != 0 && strncmp(a, "key_", 4) == 0);
    teardown();
}

static const char *url(const char *text)
{
    static struct base_url parsed;
    return base_url_parse(span_str(text), &parsed);
}

static void base_urls_are_plain(void)
{
    struct base_url parsed;
    EXPECT(base_url_parse(SPAN("https://api.example.com/v1/"), &parsed) == NULL);
    EXPECT(parsed.tls && parsed.port == 443);
    EXPECT_SPAN(parsed.host, "api.example.com");
    EXPECT_SPAN(parsed.path, "/v1");
    EXPECT(base_url_parse(SPAN("http://[::1]:8080"), &parsed) == NULL);
    EXPECT(!parsed.tls && parsed.port == 8080 && parsed.is_ipv6);
    EXPECT_SPAN(parsed.host, "::1");
    EXPECT_SPAN(parsed.path, "");
    EXPECT(url("http://127.0.0.1:80/a/b") == NULL);
    EXPECT(url("https://a_b.internal-x.example") == NULL);
    static const char *const bad[] = {
        "",
        "api.example.com",
        "HTTPS//x",
        "https://",
        "https:///v1",
        "https://u:p@host/",
        "https://host/?q",
        "https://host/#f",
        "https://host\\x",
        "https://ho st/",
        "https://host:0/",
        "https://host:65536/",
        "https://host:/",
        "https://host:1x/",
        "https://[::1/",
        "https://[::1]x/",
        "https://[zz]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://1.2.3.4.5/",
        "https://a..b/",
        "https://-a.b/",
        "https://a-.b/",
        "https://host/../x",
        "https://host/a//b",
        "https://host/a%2fb",
        "https://host/a;b",
        "https://h\xc3\xb6st/",
        "https://host/\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (url(bad[i]) == NULL)
            fprintf(stderr, "taken: %s\n", bad[i]);
        EXPECT(url(bad[i]) != NULL);
    }
}

static void base_urls_that_mislead_are_refused(void)
{
    static const char *const refused[] = {
        "",
        "api.openai.com",
        "//a",
        "ftp://a",
        "https:a",
        "https:/a",
        "https://",
        "https:///v1",
        "https",
        "httpss://a",
        "https ://a",
        " https://a",
        // User, query, fragment.
        "https://u@a",
        "https://u:p@a",
        "https://a@",
        "https://a?b",
        "https://a/?b",
        "https://a#b",
        "https://a/v1#",
        "https://a/v1?",
        // Hosts.
        "https://a..b",
        "https://.a",
        "https://a.",
        "https://-a",
        "https://a-.b",
        "https://a b",
        "https://a\tb",
        "https://a\n",
        "https://caf\xc3\xa9",
        "https://a%2eb",
        "https://a\\b",
        "https://a,b",
        "https://[::1",
        "https://::1",
        "https://[::1%eth0]",
        "https://[127.0.0.1]",
        // Addresses in other clothes.
        "http://2130706433",
        "http://0x7f000001",
        "http://0x7f.1",
        "http://127.1",
        "http://0177.0.0.1",
        "http://127.0.0.01",
        "http://1.2.3.4.5",
        "http://256.0.0.1",
        "http://a.0x",
        "http://a.1",
        // Ports.
        "https://a:",
        "https://a:0",
        "https://a:00443",
        "https://a:65536",
        "https://a:x",
        // Paths.
        "https://a//",
        "https://a//v1",
        "https://a/v1//",
        "https://a/..",
        "https://a/v1/../x",
        "https://a/%2e%2e",
        "https://a/%76",
        "https://a/x%2fy",
        "https://a/x%3a",
        "https://a/x;y",
        "https://a/x y",
        "https://a/\x01",
        "https://a/caf\xc3\xa9",
        "https://a/{x}",
        "https://a/[x]",
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        const char *why = url(refused[i]);
        if (why == NULL)
            fprintf(stderr, "taken: %s\n", refused[i]);
        EXPECT(why != NULL && strlen(why) > 10);
    }
    EXPECT(url("http://1.2.3.4.example") == NULL);
    // A label's bound.
    char text[8 + 64] = "https://";
    struct base_url parsed;
    memset(text + 8, 'a', sizeof(text) - 8);
    EXPECT(base_url_parse(span_of(text, 8 + 63), &parsed) == NULL);
    EXPECT(base_url_parse(span_of(text, 8 + 64), &parsed) != NULL);
}

static void patterns_end_with_an_asterisk(void)
{
    EXPECT(model_pattern_matches(SPAN("gpt-4*"), SPAN("gpt-4o")));
    EXPECT(model_pattern_matches(SPAN("gpt-4*"), SPAN("gpt-4")));
    EXPECT(!model_pattern_matches(SPAN("gpt-4*"), SPAN("gpt-")));
    EXPECT(model_pattern_matches(SPAN("*"), SPAN("x")));
    EXPECT(!model_pattern_matches(SPAN("gpt-4o"), SPAN("gpt-4o-mini")));
    EXPECT(!model_pattern_matches(SPAN("gpt-4o"), SPAN("GPT-4o")));
}

static void problems_are_bounded_sorted_and_clean(void)
{
    problems_init(&problems);
    for (uint32_t i = 0; i < PROBLEMS_MAX + 20; i++)
        problem_hint(problem_add(&problems, PROBLEM_SYNTAX,
                                 (struct place){ .line = PROBLEMS_MAX - i % PROBLEMS_MAX }, "p",
                                 "\x1b[31m %u \xff \xc3\xa4 \xc2\x9b", i),
                     "%0300d", 7);
    EXPECT_EQ(problems.count, PROBLEMS_MAX);
    EXPECT_EQ(problems.error_count, PROBLEMS_MAX + 20);
    problems_sort(&problems);
    for (uint32_t i = 1; i < problems.count; i++)
        EXPECT(problems.items[i - 1].place.line <= problems.items[i].place.line);
    EXPECT(strcmp(problems.items[0].text, "?[31m 49 ? \xc3\xa4 ??") == 0);
    EXPECT_EQ(strlen(problems.items[0].hint), PROBLEM_TEXT_MAX - 1);
    json_t *json = problems_json(&problems);
    EXPECT_EQ(json_array_size(json), PROBLEMS_MAX);
    json_decref(json);
    struct text text = { 0 };
    problems_render(&problems, "f", SPAN_NONE, &text);
    EXPECT(strstr(text.ptr, "(20 more are not shown)\n70 errors, 0 warnings\n") != NULL);
    text_fini(&text);
    EXPECT(problem_about(312) != NULL && problem_about(999) == NULL);
}

static void a_json_document_has_a_depth(void)
{
    struct region region;
    region_init(&region, KIB);
    char text[2 * 40 + 1];
    memset(text, '[', 40), memset(text + 40, ']', 40), text[80] = '\0';
    json_t *json = json_loads(text, 0, NULL);
    EXPECT(json != NULL && value_from_json(&region, json) == NULL);
    json_decref(json);
    region_fini(&region);
}

TEST_MAIN(TEST(an_account_reads_and_shows), TEST(mistakes_are_named_with_path_and_hint),
          TEST(fields_must_fit_together), TEST(a_change_keeps_what_it_does_not_name),
          TEST(a_record_comes_back_from_the_store), TEST(a_stored_text_is_utf8),
          TEST(the_version_before_is_read), TEST(what_is_set_is_stored_even_at_its_default),
          TEST(every_table_is_sound), TEST(no_text_of_a_secret_reaches_a_problem),
          TEST(ids_are_stable_or_random), TEST(base_urls_are_plain),
          TEST(base_urls_that_mislead_are_refused), TEST(patterns_end_with_an_asterisk),
          TEST(problems_are_bounded_sorted_and_clean), TEST(a_json_document_has_a_depth))
