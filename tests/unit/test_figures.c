// The small tables of figures: every kind its place, and a place for what finds none.
#include "penstock/base/err.h"
#include "penstock/wire/figures.h"

#include "test.h"

static struct shard_counters counters;

static uint64_t error_count(uint32_t key)
{
    uint64_t sum = 0;
    for (unsigned i = 1; i < FIGURES_ERRORS; i++)
        if (counters.errors[i].key == key)
            sum += counter_get(&counters.errors[i].count);
    return sum;
}

static void a_kind_of_error_has_one_place(void)
{
    memset(&counters, 0, sizeof(counters));
    figures_error(&counters, OP_CHAT, 2, STAGE_DIAL, ERR_CONNECT_FAILED);
    figures_error(&counters, OP_CHAT, 2, STAGE_WAIT, ERR_CONNECT_FAILED);
    figures_error(&counters, OP_CHAT, 2, STAGE_DIAL, ERR_CONNECT_FAILED);
    const uint32_t key = figures_error_key(OP_CHAT, 2, STAGE_DIAL, ERR_CONNECT_FAILED);
    EXPECT_EQ(error_count(key), 2);
    const struct figures_error_of of = figures_error_of(key);
    EXPECT_EQ(of.op, OP_CHAT);
    EXPECT_EQ(of.provider, 2);
    EXPECT_EQ(of.stage, STAGE_DIAL);
    EXPECT_EQ(of.code, ERR_CONNECT_FAILED);
}

// Whatever happens, every error is counted once, and the table is used well before any goes to the
// others.
static void too_many_kinds_go_to_the_others(void)
{
    memset(&counters, 0, sizeof(counters));
    enum { FEW = FIGURES_ERRORS / 2 };
    unsigned count = 0;
    for (unsigned op = 0; op < OP_COUNT; op++)
        for (unsigned code = 1; code < ERR_CODE_COUNT; code++, count++) {
            figures_error(&counters, op, 1, STAGE_WAIT, code);
            if (count == FEW)
                EXPECT_EQ(counter_get(&counters.errors[0].count), 0);
        }
    uint64_t sum = 0;
    for (unsigned i = 0; i < FIGURES_ERRORS; i++)
        sum += counter_get(&counters.errors[i].count);
    EXPECT_EQ(sum, count);
    EXPECT(counter_get(&counters.errors[0].count) > 0);
    EXPECT_EQ(counters.errors[0].key, 0);
}

static void tokens_by_model_and_vendor(void)
{
    memset(&counters, 0, sizeof(counters));
    const uint32_t tokens[FIGURES_TOKENS] = { 1, 0, 0, 0, 5, 0 };
    for (uint64_t model = 1; model <= 3 * FIGURES_MODELS; model++)
        figures_tokens(&counters, model * UINT64_C(0x123456789abcdef), 3, tokens);
    uint64_t input = 0, output = 0;
    for (unsigned i = 0; i < FIGURES_MODELS; i++) {
        input += counter_get(&counters.models[i].tokens[0]);
        output += counter_get(&counters.models[i].tokens[4]);
    }
    EXPECT_EQ(input, 3 * FIGURES_MODELS);
    EXPECT_EQ(output, 5 * 3 * FIGURES_MODELS);
    EXPECT(figures_model_key(7, 1) != figures_model_key(7, 2));
    EXPECT(figures_model_key(0, 0) != 0);
}

static void requests_under_way_are_summed(void)
{
    memset(&counters, 0, sizeof(counters));
    counter_add(&counters.in_flight[OP_CHAT], 2);
    counter_add(&counters.in_flight[OP_NONE], 1);
    EXPECT_EQ(figures_in_flight(&counters), 3);
}

TEST_MAIN(TEST(a_kind_of_error_has_one_place), TEST(too_many_kinds_go_to_the_others),
          TEST(tokens_by_model_and_vendor), TEST(requests_under_way_are_summed))
