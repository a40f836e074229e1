// How many tokens a request has where no vendor tells.
#include "gemini_rig.h"
#include "penstock/convert/estimate.h"

// 0: the request is none.
static uint64_t estimate(enum wire_family family, const char *body)
{
    static char in[16 * KIB];
    static struct losses losses;
    static struct prompt_parse parse;
    static struct prompt prompt;
    struct json_slice root;
    const size_t len = strlen(body);
    EXPECT(len < sizeof(in));
    memcpy(in, rig_json(body), len + 1);
    losses_init(&losses, false);
    EXPECT(json_check(span_of(in, len), &root));
    prompt_begin(&parse, &prompt, family, span_of(in, len), rig_scratch(), &losses);
    parse.key = rig_key;
    return converter_of(family)->parse(&parse, root) ? estimate_tokens(&prompt) : 0;
}

// A user's turn with this content.
static uint64_t asked(const char *content)
{
    char body[4 * KIB];
    snprintf(body, sizeof(body), "{'model':'m','messages':[{'role':'user','content':%s}]}",
             content);
    return estimate(FAMILY_ANTHROPIC, body);
}

// C-058
static void text_is_counted_by_its_script(void)
{
    EXPECT_EQ(asked("'abcd'"), ESTIMATE_TURN + 1);
    EXPECT_EQ(asked("'abcde'"), ESTIMATE_TURN + 2);
    EXPECT_EQ(asked("'абвг'"), ESTIMATE_TURN + 2);
    EXPECT_EQ(asked("'你好吗'"), ESTIMATE_TURN + 3);
    EXPECT_EQ(asked("'こんにちは'"), ESTIMATE_TURN + 5);
    EXPECT_EQ(asked("'안녕'"), ESTIMATE_TURN + 2);
    EXPECT_EQ(asked("'𠀀𠀁'"), ESTIMATE_TURN + 2);
    EXPECT_EQ(asked("'नमस्ते'"), ESTIMATE_TURN + 5); // six characters of three bytes
    EXPECT_EQ(asked("'🙂'"), ESTIMATE_TURN + 1);
}

// What is escaped counts as what it means.
static void escapes_are_no_text(void)
{
    EXPECT_EQ(asked("'\\u4f60\\u597d\\u5417'"), asked("'你好吗'"));
    EXPECT_EQ(asked("'\\ud840\\udc00\\ud840\\udc01'"), asked("'𠀀𠀁'"));
    EXPECT_EQ(asked("'a\\nb\\tcdef\\\\'"), asked("'abcdefghi'"));
    EXPECT_EQ(asked("'\\u0061\\u0062\\u0063\\u0064'"), asked("'abcd'"));
}

// P128
static void media_are_not_counted_by_their_base64(void)
{
    EXPECT_EQ(asked("[{'type':'image','source':{'type':'base64','media_type':'image/png',"
                    "'data':'iVBORw0KGgoAAAAA'}}]"),
              ESTIMATE_TURN + ESTIMATE_MEDIA);
    EXPECT_EQ(asked("[{'type':'image','source':{'type':'url','url':'https://x/y.png'}}]"),
              ESTIMATE_TURN + ESTIMATE_MEDIA);
    EXPECT_EQ(asked("[{'type':'document','source':{'type':'base64','media_type':"
                    "'application/pdf','data':'JVBERi0xLjQK'}}]"),
              ESTIMATE_TURN + ESTIMATE_FILE);
    EXPECT_EQ(asked("[{'type':'document','source':{'type':'text','media_type':'text/plain',"
                    "'data':'abcdefgh'}}]"),
              ESTIMATE_TURN + 2);
    EXPECT_EQ(estimate(FAMILY_GEMINI,
                       "{'contents':[{'role':'user','parts':[{'inlineData':{'mimeType':"
                       "'text/plain','data':'YWJjZGVmZ2hpamts'}}]}]}"),
              ESTIMATE_TURN + 3);
    EXPECT_EQ(estimate(FAMILY_GEMINI,
                       "{'contents':[{'role':'user','parts':[{'inlineData':{'mimeType':"
                       "'audio/wav','data':'YWJjZGVmZ2hpamts'}},{'fileData':{'mimeType':"
                       "'video/mp4','fileUri':'https://x/y.mp4'}}]}]}"),
              ESTIMATE_TURN + 1 + ESTIMATE_MEDIA);
}

static void tools_and_their_calls_count(void)
{
    const uint64_t bare = asked("'abcd'");
    EXPECT_EQ(estimate(FAMILY_ANTHROPIC,
                       "{'model':'m','messages':[{'role':'user','content':'abcd'}],'tools':["
                       "{'name':'look','description':'abcdefgh','input_schema':"
                       "{'type':'object'}}]}"),
              bare + ESTIMATE_TOOL + 1 + 2 + 5);
    const uint64_t called = estimate(
        FAMILY_ANTHROPIC,
        "{'model':'m','messages':[{'role':'user','content':'abcd'},{'role':'assistant','content':["
        "{'type':'tool_use','id':'t1','name':'look','input':{'a':'b'}}]},{'role':'user','content':["
        "{'type':'tool_result','tool_use_id':'t1','content':[{'type':'text','text':'abcd'},"
        "{'type':'image','source':{'type':'url','url':'https://x/y.png'}}]}]}]}");
    EXPECT(called >= bare + 2 * ESTIMATE_TURN + 1 + 2 + 1 + ESTIMATE_MEDIA);
    EXPECT(called <= bare + 3 * ESTIMATE_TURN + 2 + 2 + 1 + ESTIMATE_MEDIA);
}

// One conversation in each format is the same to within its overheads.
static void all_formats_count(void)
{
    static const struct {
        enum wire_family family;
        const char *body;
    } rows[] = {
        { FAMILY_OPENAI, "{'model':'m','messages':[{'role':'system','content':'abcd'},"
                         "{'role':'user','content':'你好吗'}]}" },
        { FAMILY_RESPONSES, "{'model':'m','instructions':'abcd','input':'你好吗'}" },
        { FAMILY_ANTHROPIC, "{'model':'m','system':'abcd','messages':[{'role':'user','content':"
                            "'你好吗'}]}" },
        { FAMILY_GEMINI, "{'systemInstruction':{'parts':[{'text':'abcd'}]},'contents':[{'role':"
                         "'user','parts':[{'text':'你好吗'}]}]}" },
        { FAMILY_GEMINI, "{'generateContentRequest':{'model':'models/m','systemInstruction':"
                         "{'parts':[{'text':'abcd'}]},'contents':[{'role':'user','parts':[{'text':"
                         "'你好吗'}]}]}}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        EXPECT_EQ(estimate(rows[i].family, rows[i].body), 2 * ESTIMATE_TURN + 1 + 3);
}

TEST_MAIN(TEST(text_is_counted_by_its_script), TEST(escapes_are_no_text),
          TEST(media_are_not_counted_by_their_base64), TEST(tools_and_their_calls_count),
          TEST(all_formats_count))
