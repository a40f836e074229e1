// Whole answers whose last call the limit cut (C-043): what a client is shown of it does not parse,
// whatever the vendor made of it.
#include "convert_run.h"

#include "penstock/base/text.h"

static unsigned shown(enum wire_family from, enum wire_family to, const char *answer,
                      const char *want)
{
    struct answer_facts facts = run_facts(NULL);
    struct span out = run_whole(from, to, answer, &facts);
    return run_count(out, want);
}

// Anthropic tells an object all the same.
static void objects_lose_their_end(void) // C-043, C-142
{
    static const struct {
        const char *input, *want;
    } cases[] = {
        { "{\"a\":1,\"b\":{}}", "\"arguments\":\"{\\\"a\\\":1,\\\"b\\\":{}\"" },
        { "{}", "\"arguments\":\"{\"" },
        { "[]", "\"arguments\":\"{\"" },
        { "{\"_raw\":\"{\\\"a\"}", "\"arguments\":\"{\\\"a\"" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char answer[512];
        fit_printf(answer, sizeof(answer),
                   "{\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}},"
                   "{\"type\":\"tool_use\",\"id\":\"u\",\"name\":\"g\",\"input\":%s}],"
                   "\"stop_reason\":\"max_tokens\",\"usage\":{}}",
                   cases[i].input);
        EXPECT_EQ(shown(FAMILY_ANTHROPIC, FAMILY_OPENAI, answer, cases[i].want), 1);
        EXPECT_EQ(shown(FAMILY_ANTHROPIC, FAMILY_RESPONSES, answer, cases[i].want), 1);
        // The call before it is as whole as it was, and Gemini's clients only see that one.
        EXPECT_EQ(shown(FAMILY_ANTHROPIC, FAMILY_OPENAI, answer, "\"arguments\":\"{}\""), 1);
        EXPECT_EQ(shown(FAMILY_ANTHROPIC, FAMILY_GEMINI, answer, "\"functionCall\""), 1);
    }
}

static void nothing_is_not_an_empty_object(void) // C-023, C-043
{
    static const char answer[] =
        "{\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_tokens\"},"
        "\"output\":[{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"\","
        "\"status\":\"incomplete\"}]}";
    EXPECT_EQ(shown(FAMILY_RESPONSES, FAMILY_OPENAI, answer, "\"arguments\":\"\""), 1);
}

TEST_MAIN(TEST(objects_lose_their_end), TEST(nothing_is_not_an_empty_object))
