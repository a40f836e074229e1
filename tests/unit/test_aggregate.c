// What aggregate.h promises, against a plain array as the model.
#include "test.h"

#include "penstock/base/env.h"
#include "penstock/store/aggregate.h"
#include "penstock/store/usage_block.h"
#include "store_util.h"

enum { MODEL_MAX = 5000 };
struct model {
    struct aggregate_key key;
    struct usage_sums sums;
    bool is_dirty;
};
static struct model model[MODEL_MAX];

static uint64_t draw(struct env_fake *fake, uint64_t below)
{
    uint64_t value;
    env_random(&fake->env, &value, sizeof(value));
    return value % below;
}

static struct model *model_find(size_t *count, const struct aggregate_key *key)
{
    for (size_t i = 0; i < *count; i++)
        if (memcmp(&model[i].key, key, sizeof(*key)) == 0)
            return &model[i];
    model[*count] = (struct model){ .key = *key };
    return &model[(*count)++];
}

static struct aggregate_key draw_key(struct env_fake *fake)
{
    return (struct aggregate_key){
        .bucket = (uint32_t)draw(fake, 6),
        .key_id = draw(fake, 9),
        .account_id = draw(fake, 3),
        .model_id = draw(fake, 4) << 60,
        .format = (uint8_t)draw(fake, 4),
    };
}

static void evict_both(struct aggregate *table, size_t *count, uint32_t bucket)
{
    aggregate_evict(table, bucket);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (model[i].is_dirty || (bucket != UINT32_MAX && model[i].key.bucket >= bucket))
            model[kept++] = model[i];
    *count = kept;
}

static void it_agrees_with_an_array(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct env_fake fake;
        env_fake_init(&fake, seed);
        struct aggregate table;
        aggregate_init(&table, MODEL_MAX);
        size_t count = 0, dirty = 0;
        for (int i = 0; i < 4000; i++) {
            struct aggregate_key key = draw_key(&fake);
            struct model *want = model_find(&count, &key);
            struct aggregate_row *row = aggregate_find(&table, &key);
            if (row == NULL)
                row = aggregate_add(&table, &key);
            EXPECT(row != NULL && sums_eq(&row->sums, &want->sums));
            struct usage_record record = record_of(draw(&fake, 1000), 1);
            struct usage_sums sums;
            usage_sums_of(&record, &sums);
            usage_sums_add(&row->sums, &sums);
            usage_sums_add(&want->sums, &sums);
            bool make_dirty = draw(&fake, 2) == 0;
            dirty += make_dirty && !want->is_dirty;
            dirty -= !make_dirty && want->is_dirty;
            want->is_dirty = make_dirty;
            (make_dirty ? aggregate_dirty : aggregate_clean)(&table, row);
            if (draw(&fake, 300) == 0)
                evict_both(&table, &count,
                           draw(&fake, 4) == 0 ? UINT32_MAX : (uint32_t)draw(&fake, 7));
            EXPECT_EQ(table.count, count);
            EXPECT_EQ(table.dirty_count, dirty);
        }
        for (size_t i = 0; i < count; i++) {
            const struct aggregate_row *row = aggregate_find(&table, &model[i].key);
            EXPECT(row != NULL && sums_eq(&row->sums, &model[i].sums) &&
                   row->is_dirty == model[i].is_dirty);
        }
        aggregate_fini(&table);
    }
}

static void it_is_bounded(void)
{
    struct aggregate table;
    aggregate_init(&table, 100);
    for (uint32_t i = 0; i < 100; i++) {
        const struct aggregate_key key = { .bucket = i };
        EXPECT(aggregate_add(&table, &key) != NULL);
    }
    const struct aggregate_key key = { .bucket = 100 };
    EXPECT(aggregate_add(&table, &key) == NULL);
    EXPECT(aggregate_find(&table, &key) == NULL);
    aggregate_clear(&table);
    EXPECT(aggregate_add(&table, &key) != NULL);
    aggregate_fini(&table);
}

static void the_stored_form_reads_back_and_sorts(void)
{
    struct env_fake fake;
    env_fake_init(&fake, 3);
    uint8_t a[AGGREGATE_KEY_BYTES], b[AGGREGATE_KEY_BYTES], value[AGGREGATE_VALUE_MAX];
    for (int i = 0; i < 5000; i++) {
        struct aggregate_key one = draw_key(&fake), two = draw_key(&fake), read;
        aggregate_key_put(&one, a);
        aggregate_key_put(&two, b);
        EXPECT(aggregate_key_get(span_of(a, sizeof(a)), &read));
        EXPECT(memcmp(&read, &one, sizeof(one)) == 0);
        if (one.bucket != two.bucket)
            EXPECT((one.bucket < two.bucket) == (memcmp(a, b, sizeof(a)) < 0));
        struct usage_sums sums, again;
        env_random(&fake.env, &sums, sizeof(sums));
        size_t len = aggregate_value_put(&sums, value);
        EXPECT(aggregate_value_get(span_of(value, len), &again));
        EXPECT(sums_eq(&sums, &again));
        EXPECT(!aggregate_value_get(span_of(value, len - 1), &again));
    }
}

static void sums_saturate(void)
{
    struct usage_sums sums = { .requests = UINT64_MAX - 1,
                               .cost_real_nano = INT64_MAX - 5,
                               .cost_rated_nano = INT64_MIN + 5 };
    const struct usage_sums more = { .requests = 1, .cost_real_nano = 5, .cost_rated_nano = -5 };
    EXPECT(!usage_sums_add(&sums, &more));
    EXPECT(usage_sums_add(&sums, &more));
    EXPECT(sums.requests == UINT64_MAX);
    EXPECT(sums.cost_real_nano == INT64_MAX);
    EXPECT(sums.cost_rated_nano == INT64_MIN);
}

static void a_model_name_has_one_id(void)
{
    struct usage_record record = { 0 };
    usage_record_set_model(&record, SPAN("gpt-5"), 0);
    EXPECT_SPAN(usage_record_model(&record), "gpt-5");
    EXPECT(record.model_id == usage_model_id(SPAN("gpt-5")));
    EXPECT(record.model_id != usage_model_id(SPAN("gpt-5 ")));
    EXPECT(usage_model_id(SPAN("")) == 0);
    // 63 letters and a character of two bytes: it does not fit and is not cut in half.
    char name[65];
    memset(name, 'a', 63);
    memcpy(name + 63, "\xc3\xa9", 2);
    usage_record_set_model(&record, span_of(name, sizeof(name)), 0);
    EXPECT_EQ(record.model_len, 63);
    EXPECT(record.model_id != usage_model_id(span_of(name, 63)));
}

TEST_MAIN(TEST(it_agrees_with_an_array), TEST(it_is_bounded),
          TEST(the_stored_form_reads_back_and_sorts), TEST(sums_saturate),
          TEST(a_model_name_has_one_id))
