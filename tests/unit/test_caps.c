// What the provider layer knows of models by their names.
#include "test.h"

#include "penstock/convert/prompt.h"
#include "penstock/provider/caps.h"

static struct caps of(enum account_type type, enum format format, const char *model)
{
    const struct snap_account account = { .type = type };
    return provider_caps(&account, format, span_str(model));
}

static void claude_models_differ(void)
{
    struct caps old = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-3-haiku-20240307");
    EXPECT_EQ(old.reasons, REASONS_NOT);
    EXPECT(old.prefill && !old.native_schema); // C-012, C-118
    EXPECT_EQ(old.output_max, 4096);           // C-106
    EXPECT_EQ(of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-3-7-sonnet").reasons, REASONS_BUDGET);
    struct caps four = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-opus-4-20250514");
    EXPECT_EQ(four.reasons, REASONS_BUDGET);
    EXPECT_EQ(four.output_max, 32000);
    EXPECT(!four.native_schema);
    struct caps five = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-sonnet-4-5-20250929");
    EXPECT(five.native_schema && five.one_sampling && five.prefill); // C-110
    struct caps six = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-opus-4-6");
    EXPECT_EQ(six.reasons, REASONS_ADAPTIVE);
    EXPECT(!six.prefill);
    struct caps fable = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-fable-5-1"); // C-139
    EXPECT(fable.always_thinks && fable.no_forced_tool);
}

static void a_name_that_nobody_knows_is_new(void)
{
    struct caps caps = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-next-9");
    EXPECT_EQ(caps.reasons, REASONS_ADAPTIVE);
    EXPECT(caps.no_sampling && caps.native_schema && !caps.prefill); // C-111
    EXPECT(of(ACCOUNT_OPENAI, FORMAT_OPENAI, "gpt-9").efforts == 0);
    EXPECT(of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-7-pro").signs_calls); // C-070
}

static void openai_and_those_who_imitate_it(void)
{
    struct caps own = of(ACCOUNT_OPENAI, FORMAT_OPENAI, "o3-mini");
    EXPECT(own.official && own.developer_role && own.custom_tools && !own.old_cap); // C-003, C-108
    EXPECT((own.efforts & BIT(EFFORT_HIGH)) != 0 && (own.efforts & BIT(EFFORT_NONE)) == 0); // C-060
    EXPECT_EQ(of(ACCOUNT_OPENAI, FORMAT_OPENAI, "gpt-4o").reasons, REASONS_NOT);
    struct caps like = of(ACCOUNT_OPENAI_COMPATIBLE, FORMAT_OPENAI, "o3-mini");
    EXPECT(!like.official && like.old_cap && !like.developer_role && !like.text_parts); // C-018
}

static void a_path_before_the_name_is_no_part_of_it(void)
{
    EXPECT_EQ(of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "anthropic/claude-3-5-haiku").output_max,
              8192);
}

static void gemini_models_differ(void)
{
    EXPECT_EQ(of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-2.5-flash").reasons, REASONS_BUDGET);
    EXPECT(!of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-2.5-flash").always_thinks);
    EXPECT(of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-2.5-pro").always_thinks);
    EXPECT(of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemma-3-27b-it").no_system);
    EXPECT_EQ(of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-2.0-flash").reasons, REASONS_NOT);
    EXPECT_EQ(of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-3-pro").reasons, REASONS_LEVEL);
}

TEST_MAIN(TEST(claude_models_differ), TEST(a_name_that_nobody_knows_is_new),
          TEST(openai_and_those_who_imitate_it), TEST(a_path_before_the_name_is_no_part_of_it),
          TEST(gemini_models_differ))
