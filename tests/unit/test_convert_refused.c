// What a vendor refuses by itself, and so no request that was made for it has in it. The strict
// vendor of tests/strict found these.
#include "convert_run.h"

#include "penstock/base/text.h"

static struct losses losses;
static struct prompt_parse parse;

static struct span request(enum wire_family from, enum wire_family to, const char *text,
                           const struct caps *caps)
{
    return run_request(from, to, text, caps, &losses, &parse);
}

#define SAID "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

// Chat's models that reason refuse stop sequences with the rest of what steers (C-111).
static void no_stops_for_models_that_reason(void)
{
    static const char text[] =
        "{\"model\":\"m\",\"max_tokens\":9,\"stop_sequences\":[\"END\"]," SAID "}";
    struct caps caps = { .official = true };
    EXPECT_EQ(
        run_count(request(FAMILY_ANTHROPIC, FAMILY_OPENAI, text, &caps), "\"stop\":[\"END\"]"), 1);
    caps.no_stop = true;
    EXPECT_EQ(run_count(request(FAMILY_ANTHROPIC, FAMILY_OPENAI, text, &caps), "stop"), 0);
    EXPECT_SPAN(losses_dropped(&losses), "stop_sequences");
}

// "Only allowed when 'store' is enabled", which is never asked for.
static void no_metadata_without_store(void)
{
    struct span out =
        request(FAMILY_RESPONSES, FAMILY_OPENAI,
                "{\"model\":\"m\",\"metadata\":{\"a\":\"b\"},\"input\":\"hi\"}", NULL);
    EXPECT(out.len > 0);
    EXPECT_EQ(run_count(out, "metadata"), 0);
    EXPECT_SPAN(losses_dropped(&losses), "metadata");
}

// A tool that the client runs, and that other vendors' models do not know, is asked for (5.3).
static void a_tool_of_the_clients_is_not_left_out(void)
{
    static const char *const kinds[] = { "bash_20250124", "text_editor_20250728", "memory_20250818",
                                         "computer_20250124", "browser_toolset_20260801" };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        for (int to = FAMILY_OPENAI; to <= FAMILY_GEMINI; to++) {
            char text[512];
            if (to == FAMILY_ANTHROPIC)
                continue;
            fit_printf(
                text, sizeof(text),
                "{\"model\":\"m\",\"max_tokens\":9,\"tools\":[{\"name\":\"f\",\"input_schema\":"
                "{\"type\":\"object\"}},{\"type\":\"%s\",\"name\":\"x\"}]," SAID "}",
                kinds[i]);
            EXPECT_EQ(request(FAMILY_ANTHROPIC, (enum wire_family)to, text, NULL).len, 0);
            EXPECT_SPAN(span_of(losses.path, losses.path_len), "tools[1]");
        }
    // One that the vendor runs is left out, and told.
    EXPECT(
        request(FAMILY_ANTHROPIC, FAMILY_OPENAI,
                "{\"model\":\"m\",\"max_tokens\":9,\"tools\":[{\"name\":\"f\",\"input_schema\":{"
                "\"type\":\"object\"}},{\"type\":\"code_execution_20250825\",\"name\":\"x\"}]," SAID
                "}",
                NULL)
            .len > 0);
    EXPECT_SPAN(losses_dropped(&losses), "tools[1]");
}

#define MARKED(n) \
    "{\"type\":\"text\",\"text\":\"" n "\",\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"}}"

// The last four of the marks, in the vendor's order: tools, system, messages (C-115).
static void at_most_four_marks(void)
{
    struct span out = request(
        FAMILY_OPENAI, FAMILY_ANTHROPIC,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":[" MARKED("a") "]},{\"role\":\"user\",\"content\":[" MARKED(
            "b") "," MARKED("c") "]},{\"role\":\"assistant\",\"content\":\"so\"},"
                                 "{\"role\":\"user\",\"content\":[" MARKED("d") "," MARKED(
                                     "e") "]}]}",
        NULL);
    static const char mark[] = ",\"cache_control\":{\"type\":\"ephemeral\"}";
    EXPECT_EQ(run_count(out, mark), 4);
    EXPECT_EQ(run_count(out, "\"text\":\"a\"}"), 1);
    EXPECT_EQ(run_count(out, "\"text\":\"b\",\"cache_control\""), 1);
    EXPECT_EQ(run_count(out, "\"text\":\"e\",\"cache_control\""), 1);
}

TEST_MAIN(TEST(no_stops_for_models_that_reason), TEST(no_metadata_without_store),
          TEST(a_tool_of_the_clients_is_not_left_out), TEST(at_most_four_marks))
