// Any bytes as a stored record, or as the JSON that the admin API takes. The first byte chooses the
// kind of record and the way in. What is taken must come back the same from the store.
#include "penstock/base/check.h"
#include "penstock/model/entity.h"
#include "penstock/model/seal.h"

static struct problems problems;

static struct record *from_json(const struct table *table, struct span text, bool update,
                                struct vault *vault)
{
    struct region region;
    region_init(&region, KIB);
    json_t *json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    const struct value *value = json != NULL ? value_from_json(&region, json) : NULL;
    struct record *record = NULL;
    if (value != NULL) {
        record = record_new(table, vault);
        problems_init(&problems);
        record_read(record, value, update ? FROM_UPDATE : FROM_CREATE, "", &problems);
        json_t *report = problems_json(&problems);
        assert(json_array_size(report) == problems.count);
        json_decref(report);
        if (problems.error_count > 0)
            record_free(&record);
    }
    json_decref(json);
    region_fini(&region);
    return record;
}

static void check_round_trip(struct record *record, const struct keyring *keyring, struct env *env)
{
    struct text stored = { 0 };
    struct record *back, *copy = record_copy(record);
    assert(record_eq(record, copy));
    verify(!failed(record_pack(record, SPAN("id"), keyring, env, &stored)));
    verify(!failed(record_unpack(record->table, text_span(&stored), SPAN("id"), keyring,
                                 record->vault, &back)));
    assert(record_eq(record, back));
    json_t *json = record_json(back);
    assert(json != NULL);
    json_decref(json);
    text_fini(&stored);
    record_free(&back);
    record_free(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct vault *vault;
    struct keyring keyring;
    struct env_fake env;
    struct record *record = NULL;
    verify(!failed(vault_new(&vault)));
    env_fake_init(&env, 1);
    struct secret *master = secret_blank(vault, MASTER_KEY_BYTES);
    verify(!failed(keyring_init(&keyring, vault, master)));
    const struct table *table = entity_tables[data[0] % ENTITY_COUNT];
    const struct span input = span_of(data + 1, size - 1);
    if ((data[0] & 0x80) != 0) {
        record = from_json(table, input, (data[0] & 0x40) != 0, vault);
    } else {
        const struct err err = record_unpack(table, input, SPAN("id"), &keyring, vault, &record);
        assert(failed(err) == (record == NULL));
    }
    if (record != NULL)
        check_round_trip(record, &keyring, &env.env);
    record_free(&record);
    secret_free(&master);
    keyring_fini(&keyring);
    vault_free(&vault); // fails if a secret is left
    return 0;
}
