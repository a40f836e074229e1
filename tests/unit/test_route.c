// What route.h promises: which operation a path asks for, and which of them can be carried over.
#include "test.h"

#include "penstock/wire/route.h"

static const enum wire_family families[] = { FAMILY_OPENAI, FAMILY_RESPONSES, FAMILY_ANTHROPIC,
                                             FAMILY_GEMINI };

static void paths_lead_to_operations(void) // C-132
{
    static const struct {
        const char *path;
        enum wire_op op;
        const char *model, *version;
    } cases[] = {
        { "/v1/chat/completions", OP_CHAT, "", "v1" },
        { "/chat/completions/", OP_CHAT, "", "" },
        { "/openai/v1/v1/responses", OP_RESPONSES, "", "v1" },
        { "/anthropic/v1/messages", OP_MESSAGES, "", "v1" },
        { "/v1beta/models/a/b:generateContent", OP_GEMINI_GENERATE, "a/b", "v1beta" },
        { "/v1/models/x:streamGenerateContent", OP_GEMINI_STREAM, "x", "v1" },
        { "/v1/nothing", OP_NONE, "", "v1" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct wire_route route = wire_route_find(span_str(cases[i].path), METHOD_POST);
        EXPECT_EQ(route.op, cases[i].op);
        EXPECT_SPAN(route.model, cases[i].model);
        EXPECT_SPAN(route.version, cases[i].version);
    }
}

// Asking each family for an answer is an operation of that family, and one that can be carried
// over.
static void every_family_generates(void)
{
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        for (int stream = 0; stream < 2; stream++) {
            enum wire_op op = wire_op_generate(families[i], stream != 0);
            EXPECT_EQ(wire_op_info(op)->family, families[i]);
            EXPECT(wire_op_generates(op));
        }
    EXPECT_EQ(wire_op_generate(FAMILY_GEMINI, true), OP_GEMINI_STREAM);
    EXPECT_EQ(wire_op_generate(FAMILY_GEMINI, false), OP_GEMINI_GENERATE);
    unsigned count = 0;
    for (int op = OP_NONE + 1; op < OP_COUNT; op++)
        count += wire_op_generates((enum wire_op)op);
    EXPECT_EQ(count, ARRAY_LEN(families) + 1); // Gemini has one for streams
    EXPECT(!wire_op_generates(OP_EMBEDDINGS));
    EXPECT(!wire_op_generates(OP_COMPLETIONS));
    EXPECT(!wire_op_generates(OP_NONE));
    EXPECT(wire_op_converts(OP_COMPLETIONS) && wire_op_converts(OP_MESSAGES));
    EXPECT(!wire_op_converts(OP_EMBEDDINGS) && !wire_op_converts(OP_COUNT_TOKENS));
    EXPECT(wire_op_counts(OP_COUNT_TOKENS) && wire_op_counts(OP_RESPONSES_COUNT));
    EXPECT(wire_op_counts(OP_GEMINI_COUNT));
    EXPECT(!wire_op_counts(OP_MESSAGES) && !wire_op_counts(OP_NONE));
}

static void some_streams_are_arrays(void) // C-132
{
    EXPECT(wire_op_is_array(OP_GEMINI_STREAM, SPAN("")));
    EXPECT(wire_op_is_array(OP_GEMINI_STREAM, SPAN("alt=json&x=sse")));
    EXPECT(!wire_op_is_array(OP_GEMINI_STREAM, SPAN("alt=sse")));
    EXPECT(!wire_op_is_array(OP_GEMINI_STREAM, SPAN("x=1&alt=s%73e")));
    EXPECT(!wire_op_is_array(OP_GEMINI_GENERATE, SPAN("")));
    EXPECT(!wire_op_is_array(OP_CHAT, SPAN("")));
}

TEST_MAIN(TEST(paths_lead_to_operations), TEST(every_family_generates),
          TEST(some_streams_are_arrays))
