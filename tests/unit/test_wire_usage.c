// What usage.h promises: no token is counted twice, whatever words a vendor uses.
#include "test.h"

#include "penstock/wire/usage.h"

static struct usage_told read_all(enum usage_rule rule, const char *const *objects, size_t count)
{
    struct usage_told told = { 0 };
    for (size_t i = 0; i < count; i++)
        told_read(&told, rule, json_value(span_str(objects[i])));
    return told;
}

struct want {
    uint64_t uncached, read, write_5m, write_1h, output, reasoning;
};

static void is(struct usage got, struct want want)
{
    EXPECT_EQ(got.input_uncached, want.uncached);
    EXPECT_EQ(got.cache_read, want.read);
    EXPECT_EQ(got.cache_write_5m, want.write_5m);
    EXPECT_EQ(got.cache_write_1h, want.write_1h);
    EXPECT_EQ(got.output, want.output);
    EXPECT_EQ(got.reasoning, want.reasoning);
}

static struct usage one(enum usage_rule rule, const char *object)
{
    struct usage_told told = read_all(rule, &object, 1);
    return usage_normal(&told, rule);
}

static void openai_input_contains_what_was_cached(void)
{
    is(one(USAGE_RULE_OPENAI,
           "{\"prompt_tokens\":100,\"completion_tokens\":20,\"total_tokens\":120,"
           "\"prompt_tokens_details\":{\"cached_tokens\":60,\"cache_write_tokens\":30},"
           "\"completion_tokens_details\":{\"reasoning_tokens\":15}}"),
       (struct want){ 10, 60, 30, 0, 20, 15 });
    is(one(USAGE_RULE_OPENAI,
           "{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":60,"
           "\"cache_write_tokens\":30,\"cache_write_tokens_details\":{\"ttl_30m_tokens\":10,"
           "\"ttl_12h_tokens\":20}},\"output_tokens\":20,\"total_tokens\":120}"),
       (struct want){ 10, 60, 10, 20, 20, 0 });
    is(one(USAGE_RULE_OPENAI, "{\"prompt_tokens\":100,\"prompt_tokens_details\":null,"
                              "\"prompt_cache_hit_tokens\":75,\"completion_tokens\":1}"),
       (struct want){ 25, 75, 0, 0, 1, 0 });
    is(one(USAGE_RULE_OPENAI, "{\"prompt_tokens\":10,\"cached_tokens\":4}"),
       (struct want){ 6, 4, 0, 0, 0, 0 });
}

static void what_stands_beside_is_added(void)
{
    // xAI: the total shows that the reasoning is not in the output.
    is(one(USAGE_RULE_OPENAI, "{\"prompt_tokens\":12,\"completion_tokens\":1,\"total_tokens\":241,"
                              "\"completion_tokens_details\":{\"reasoning_tokens\":228}}"),
       (struct want){ 12, 0, 0, 0, 229, 228 });
    // The same where the cached part is larger than the input.
    is(one(USAGE_RULE_OPENAI, "{\"prompt_tokens\":7,\"completion_tokens\":8,"
                              "\"prompt_tokens_details\":{\"cached_tokens\":161}}"),
       (struct want){ 7, 161, 0, 0, 8, 0 });
}

static void anthropic_input_excludes_what_was_cached(void)
{
    is(one(USAGE_RULE_ANTHROPIC,
           "{\"input_tokens\":15,\"cache_read_input_tokens\":5,\"cache_creation_input_tokens\":50,"
           "\"cache_creation\":{\"ephemeral_5m_input_tokens\":20,\"ephemeral_1h_input_tokens\":30},"
           "\"output_tokens\":9,\"output_tokens_details\":{\"thinking_tokens\":3}}"),
       (struct want){ 15, 5, 20, 30, 9, 3 });
    is(one(USAGE_RULE_ANTHROPIC, "{\"input_tokens\":15,\"cache_creation_input_tokens\":50}"),
       (struct want){ 15, 0, 50, 0, 0, 0 });
    struct usage usage =
        one(USAGE_RULE_ANTHROPIC, "{\"server_tool_use\":{\"web_search_requests\":2,"
                                  "\"web_fetch_requests\":1},\"output_tokens\":1}");
    EXPECT_EQ(usage.searches, 2);
    EXPECT_EQ(usage.fetches, 1);
    EXPECT(!usage.input_known && usage.output_known && !usage.exact);
}

static void gemini_thoughts_are_output(void)
{
    is(one(USAGE_RULE_GEMINI,
           "{\"promptTokenCount\":20,\"cachedContentTokenCount\":5,\"candidatesTokenCount\":6,"
           "\"thoughtsTokenCount\":3,\"toolUsePromptTokenCount\":4,\"totalTokenCount\":33}"),
       (struct want){ 19, 5, 0, 0, 9, 3 });
    // Some models count them as output already: then the total comes out without them.
    is(one(USAGE_RULE_GEMINI, "{\"promptTokenCount\":20,\"candidatesTokenCount\":9,"
                              "\"thoughtsTokenCount\":3,\"totalTokenCount\":29}"),
       (struct want){ 20, 0, 0, 0, 9, 3 });
    // Zeros are left out.
    is(one(USAGE_RULE_GEMINI, "{\"promptTokenCount\":20,\"totalTokenCount\":20}"),
       (struct want){ 20, 0, 0, 0, 0, 0 });
}

static void the_largest_of_each_count_stands(void)
{
    static const char *const anthropic[] = {
        "{\"input_tokens\":100,\"cache_read_input_tokens\":7,\"output_tokens\":1}",
        "{\"input_tokens\":0,\"output_tokens\":50}",
        "{\"output_tokens\":49}",
    };
    struct usage_told told = read_all(USAGE_RULE_ANTHROPIC, anthropic, 3);
    is(usage_normal(&told, USAGE_RULE_ANTHROPIC), (struct want){ 100, 7, 0, 0, 50, 0 });
    // What was cached is told later than the input: it is still counted once.
    static const char *const openai[] = {
        "{\"prompt_tokens\":100,\"completion_tokens\":0}",
        "{\"prompt_tokens\":100,\"completion_tokens\":8,"
        "\"prompt_tokens_details\":{\"cached_tokens\":80}}",
    };
    told = read_all(USAGE_RULE_OPENAI, openai, 2);
    is(usage_normal(&told, USAGE_RULE_OPENAI), (struct want){ 20, 80, 0, 0, 8, 0 });
}

static void a_zero_that_was_told_is_known(void)
{
    struct usage usage = one(USAGE_RULE_OPENAI, "{\"prompt_tokens\":0,\"completion_tokens\":0}");
    EXPECT(usage.input_known && usage.output_known);
    usage = one(USAGE_RULE_OPENAI, "{}");
    EXPECT(!usage.input_known && !usage.output_known);
    struct usage_told told = { .final = true };
    told_read(&told, USAGE_RULE_OPENAI_INPUT, json_value(SPAN("{\"prompt_tokens\":5}")));
    EXPECT(usage_normal(&told, USAGE_RULE_OPENAI_INPUT).exact);
}

static void odd_spellings_are_counts_or_nothing(void)
{
    is(one(USAGE_RULE_OPENAI, "{\"prompt_tokens\":\"12\",\"completion_tokens\":5.0}"),
       (struct want){ 12, 0, 0, 0, 5, 0 });
    is(one(USAGE_RULE_OPENAI, "{\"prompt_tokens\":12.9,\"completion_tokens\":-5}"),
       (struct want){ 12, 0, 0, 0, 0, 0 });
    struct usage usage =
        one(USAGE_RULE_OPENAI, "{\"prompt_tokens\":null,\"completion_tokens\":true,"
                               "\"total_tokens\":[1],\"input_tokens\":\"many\"}");
    EXPECT(!usage.input_known && !usage.output_known);
    // Beyond any real count, and beyond 64 bits.
    usage = one(USAGE_RULE_OPENAI, "{\"prompt_tokens\":18446744073709551615,"
                                   "\"completion_tokens\":99999999999999999999999}");
    EXPECT_EQ(usage.input_uncached, TOLD_VALUE_MAX);
    EXPECT(!usage.output_known);
}

static void terms_are_kept(void)
{
    static const char *const object =
        "{\"service_tier\":\"priority\",\"speed\":\"fast\",\"inference_geo\":\"us\"}";
    struct usage_told told = read_all(USAGE_RULE_ANTHROPIC, &object, 1);
    EXPECT_SPAN(told_tier(&told), "priority");
    EXPECT_SPAN(span_of(told.speed, told.speed_len), "fast");
    EXPECT_SPAN(span_of(told.region, told.region_len), "us");
    told_model(&told, json_value(SPAN("\"claude-x\"")));
    told_model(&told, json_value(SPAN("\"\"")));
    told_model(&told, json_value(SPAN("null")));
    EXPECT_SPAN(told_model_name(&told), "claude-x");
    char name[TOLD_MODEL_MAX + 50];
    memset(name, 'm', sizeof(name));
    name[0] = name[sizeof(name) - 1] = '"';
    told_model(&told, json_value(span_of(name, sizeof(name))));
    EXPECT_EQ(told.model_len, TOLD_MODEL_MAX);
}

TEST_MAIN(TEST(openai_input_contains_what_was_cached), TEST(what_stands_beside_is_added),
          TEST(anthropic_input_excludes_what_was_cached), TEST(gemini_thoughts_are_output),
          TEST(the_largest_of_each_count_stands), TEST(a_zero_that_was_told_is_known),
          TEST(odd_spellings_are_counts_or_nothing), TEST(terms_are_kept))
