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

// What a name that no row has is taken for asks for nothing that the newest models refuse.
static void a_name_that_nobody_knows_is_new(void)
{
    static const char *const claudes[] = { "claude-next-9", "claude-opus-6", "claude-fable-7" };
    for (size_t i = 0; i < ARRAY_LEN(claudes); i++) {
        struct caps caps = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, claudes[i]);
        EXPECT_EQ(caps.reasons, REASONS_ADAPTIVE);
        EXPECT(caps.no_sampling && caps.native_schema && !caps.prefill); // C-111
        EXPECT(caps.always_thinks && caps.no_forced_tool);               // C-139
        EXPECT((caps.efforts & BIT(EFFORT_NONE)) == 0);
    }
    struct caps caps = of(ACCOUNT_OPENAI, FORMAT_OPENAI, "gpt-9");
    EXPECT_EQ(caps.chat, CHAT_BARE_TOOLS); // C-141
    EXPECT(caps.reasons_unasked && (caps.efforts & BIT(EFFORT_MINIMAL)) == 0);
    caps = of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-7-pro");
    EXPECT(caps.signs_calls); // C-070
    EXPECT((caps.efforts & BIT(EFFORT_MINIMAL)) == 0);
}

static void the_newer_a_claude_the_less_it_takes(void) // C-012, C-110, C-111, C-139
{
    struct caps caps = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-opus-4-1-20250805");
    EXPECT(caps.prefill && caps.one_sampling && !caps.native_schema);
    caps = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-sonnet-4-6");
    EXPECT(!caps.prefill && !caps.no_sampling && caps.one_sampling && !caps.reasons_unasked);
    EXPECT((caps.efforts & BIT(EFFORT_MAX)) != 0 && (caps.efforts & BIT(EFFORT_XHIGH)) == 0);
    caps = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-opus-4-8");
    EXPECT(caps.no_sampling && !caps.reasons_unasked && !caps.always_thinks);
    EXPECT((caps.efforts & BIT(EFFORT_XHIGH)) != 0);
    caps = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-opus-5");
    EXPECT(caps.reasons_unasked && !caps.always_thinks && !caps.no_forced_tool);
    caps = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-opus-5-5");
    EXPECT(caps.always_thinks && caps.no_forced_tool);
    caps = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-sonnet-5-5");
    EXPECT(!caps.always_thinks && !caps.no_forced_tool);
    caps = of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, "claude-fable-5");
    EXPECT(caps.always_thinks && !caps.no_forced_tool);
    EXPECT_EQ(caps.output_max, 128000);
}

static void openai_and_those_who_imitate_it(void)
{
    struct caps own = of(ACCOUNT_OPENAI, FORMAT_OPENAI, "o3-mini");
    EXPECT(own.official && own.developer_role && own.custom_tools && !own.old_cap); // C-003, C-108
    EXPECT(own.no_stop && !of(ACCOUNT_OPENAI, FORMAT_OPENAI, "gpt-4.1").no_stop);
    EXPECT((own.efforts & BIT(EFFORT_HIGH)) != 0 && (own.efforts & BIT(EFFORT_NONE)) == 0); // C-060
    EXPECT_EQ(of(ACCOUNT_OPENAI, FORMAT_OPENAI, "gpt-4o").reasons, REASONS_NOT);
    EXPECT_EQ(of(ACCOUNT_OPENAI, FORMAT_OPENAI, "ft:gpt-4o-mini:us::1").reasons, REASONS_NOT);
    struct caps like = of(ACCOUNT_OPENAI_COMPATIBLE, FORMAT_OPENAI, "o3-mini");
    EXPECT(!like.official && like.old_cap && !like.developer_role && !like.text_parts); // C-018
    EXPECT_EQ(of(ACCOUNT_OPENAI_COMPATIBLE, FORMAT_OPENAI, "gpt-5.6").chat, CHAT_ALL);
}

static void openai_models_think_as_they_are_asked(void) // C-060, C-111, C-141
{
    static const struct {
        const char *model;
        enum chat_serves chat;
        bool unasked;
        enum effort has, lacks;
    } rows[] = {
        { "gpt-5-mini", CHAT_ALL, true, EFFORT_MINIMAL, EFFORT_NONE },
        { "gpt-5-pro-2025-10-06", CHAT_NOT, true, EFFORT_HIGH, EFFORT_MEDIUM },
        { "gpt-5.1", CHAT_ALL, false, EFFORT_NONE, EFFORT_MINIMAL },
        { "gpt-5.1-codex-max", CHAT_NOT, true, EFFORT_XHIGH, EFFORT_NONE },
        { "gpt-5.2", CHAT_ALL, false, EFFORT_XHIGH, EFFORT_MAX },
        { "gpt-5.3-codex", CHAT_NOT, true, EFFORT_XHIGH, EFFORT_NONE },
        { "gpt-5.4-mini", CHAT_BARE_TOOLS, false, EFFORT_NONE, EFFORT_MINIMAL },
        { "gpt-5.5", CHAT_BARE_TOOLS, true, EFFORT_XHIGH, EFFORT_MAX },
        { "gpt-5.6-terra", CHAT_BARE_TOOLS, true, EFFORT_MAX, EFFORT_MINIMAL },
        { "o3-pro", CHAT_NOT, true, EFFORT_HIGH, EFFORT_NONE },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct caps caps = of(ACCOUNT_OPENAI, FORMAT_OPENAI, rows[i].model);
        EXPECT_EQ(caps.chat, rows[i].chat);
        EXPECT_EQ(caps.reasons_unasked, rows[i].unasked);
        EXPECT((caps.efforts & BIT(rows[i].has)) != 0);
        EXPECT((caps.efforts & BIT(rows[i].lacks)) == 0);
    }
}

static void a_path_before_the_name_is_no_part_of_it(void)
{
    static const char *const names[] = { "anthropic/claude-3-5-haiku", "claude-3.5-haiku",
                                         "eu.anthropic.claude-3-5-haiku-20241022-v1:0" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        EXPECT_EQ(of(ACCOUNT_ANTHROPIC, FORMAT_ANTHROPIC, names[i]).output_max, 8192);
    EXPECT_EQ(of(ACCOUNT_OPENAI, FORMAT_OPENAI, "gpt-5.1").chat, CHAT_ALL); // no row of "gpt-5-..."
}

static void gemini_models_differ(void)
{
    EXPECT_EQ(of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-2.5-flash").reasons, REASONS_BUDGET);
    EXPECT(!of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-2.5-flash").always_thinks);
    EXPECT(of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-2.5-pro").always_thinks);
    EXPECT(of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemma-3-27b-it").no_system);
    EXPECT_EQ(of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-2.0-flash").reasons, REASONS_NOT);
    EXPECT_EQ(of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-3-pro").reasons, REASONS_LEVEL);
    EXPECT_EQ(of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-3-pro-preview").efforts,
              BIT(EFFORT_LOW) | BIT(EFFORT_HIGH));
    EXPECT((of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-3-flash-preview").efforts &
            BIT(EFFORT_MINIMAL)) != 0);
    EXPECT((of(ACCOUNT_GEMINI, FORMAT_GEMINI, "gemini-3.1-pro-preview").efforts &
            BIT(EFFORT_MINIMAL)) == 0);
}

TEST_MAIN(TEST(claude_models_differ), TEST(a_name_that_nobody_knows_is_new),
          TEST(the_newer_a_claude_the_less_it_takes), TEST(openai_models_think_as_they_are_asked),
          TEST(openai_and_those_who_imitate_it), TEST(a_path_before_the_name_is_no_part_of_it),
          TEST(gemini_models_differ))
