// A history that other vendors had a part in, mended for one of the client's own format.
#include "penstock/convert/mend.h"
#include "test.h"

static const struct caps official = { .official = true, .signs_calls = true };
static const struct caps wants = { .needs_reasoning = true };
static const struct caps other = { .dialect = true };

static void check(enum wire_family family, const struct caps *caps, const char *list,
                  const char *wanted)
{
    char room[2048];
    struct json_slice value;
    EXPECT(json_check(span_str(list), &value));
    struct sink sink = sink_into(room, sizeof(room));
    const struct mend mend = { .family = family, .caps = caps };
    mend_put(&sink, value, &mend);
    EXPECT(!sink.failed);
    const struct span mended = span_of(room, (size_t)(sink.at - room));
    EXPECT_SPAN(mended, wanted);
    EXPECT(json_check(mended, &value));
    // What is mended stays as it is.
    char again[2048];
    sink = sink_into(again, sizeof(again));
    mend_put(&sink, value, &mend);
    EXPECT_SPAN(span_of(again, (size_t)(sink.at - again)), wanted);
}

#define SEALED "pst1.a.e30.AAAA"
#define THOUGHT(signature) \
    "{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"" signature "\"}"
#define TEXT "{ \"type\": \"text\", \"text\": \"pst1. said\" }"

static void envelopes_go_with_their_thoughts(void) // C-138
{
    check(FAMILY_ANTHROPIC, &official,
          "[ {\"role\":\"assistant\",\"content\": [" THOUGHT(SEALED) " , " TEXT "]} ]",
          "[ {\"role\":\"assistant\",\"content\": [" TEXT "]} ]");
    check(FAMILY_ANTHROPIC, &official,
          "[{\"content\":[" THOUGHT("own") ", " THOUGHT(SEALED) " ," TEXT "," THOUGHT(SEALED) "]}]",
          "[{\"content\":[" THOUGHT("own") " ," TEXT "]}]");
    check(FAMILY_ANTHROPIC, &official,
          "[{\"role\":\"user\",\"content\":\"" SEALED "\"},"
          "{\"content\":[{\"type\":\"redacted_thinking\",\"data\":\"" SEALED "\"}]},{\"n\":1}]",
          "[{\"role\":\"user\",\"content\":\"" SEALED "\"},{\"n\":1}]"); // nothing was left of it
    check(FAMILY_RESPONSES, &official,
          "[{\"type\":\"reasoning\",\"encrypted_content\":\"" SEALED "\"},"
          "{\"type\":\"reasoning\",\"encrypted_content\":\"own\"},\n{\"type\":\"message\"}]",
          "[{\"type\":\"reasoning\",\"encrypted_content\":\"own\"},\n{\"type\":\"message\"}]");
}

#define DETAIL(data) "{\"type\":\"reasoning.encrypted\",\"data\":\"" data "\"}"
#define CALL(more) "{\"id\":\"c\",\"type\":\"function\"" more "}"
#define GOOGLE ",\"extra_content\":{\"google\":{\"thought_signature\":\"" SEALED "\"}}"

static void chats_dialect_goes_where_nobody_wants_it(void) // C-063, C-138
{
    check(FAMILY_OPENAI, &other,
          "[{\"reasoning_content\":\"r\",\"content\":\"x\"},"
          "{\"reasoning_content\":\"r\",\"content\":\"x\",\"reasoning_details\":[" DETAIL(
              SEALED) "]}]",
          "[{\"reasoning_content\":\"r\",\"content\":\"x\"},{\"content\":\"x\"}]");
    check(FAMILY_OPENAI, &official, "[{\"reasoning\":\"r\",\"content\":\"x\"}]",
          "[{\"content\":\"x\"}]");
    check(FAMILY_OPENAI, &wants,
          "[{\"reasoning_content\":\"r\",\"reasoning_details\":[" DETAIL("own") "," DETAIL(
              SEALED) "],\"content\":null}]",
          "[{\"reasoning_content\":\"r\",\"reasoning_details\":[" DETAIL(
              "own") "],\"content\":null}]");
    check(FAMILY_OPENAI, &other,
          "[{\"reasoning_content\":\"r\",\"tool_calls\":[" CALL(GOOGLE) "," CALL("") "]}]",
          "[{\"tool_calls\":[" CALL("") "," CALL("") "]}]");
}

#define BASE64 "cHN0MS5hLmUzMC5BQUFB"
#define PART(what, signature) "{" what ",\"thoughtSignature\":\"" signature "\"}"

static void geminis_calls_get_a_placeholder(void) // C-070, C-138
{
    check(FAMILY_GEMINI, &official,
          "[{\"role\":\"model\",\"parts\":[{\"text\":\"t\",\"thought\":true}," PART(
              "\"functionCall\":{\"name\":\"f\"}", BASE64) "]}]",
          "[{\"role\":\"model\",\"parts\":[" PART("\"functionCall\":{\"name\":\"f\"}",
                                                  "skip_thought_signature_validator") "]}]");
    check(FAMILY_GEMINI, &other,
          "[{\"parts\":[" PART("\"functionCall\":{\"name\":\"f\"}", BASE64) "]}]",
          "[{\"parts\":[{\"functionCall\":{\"name\":\"f\"}}]}]");
    check(FAMILY_GEMINI, &official,
          "[{\"parts\":[{\"text\":\"x\"}," PART(
              "\"text\":\"\"", BASE64) "]},"
                                       "{\"parts\":[" PART("\"text\":\"\"", BASE64) "]}]",
          "[{\"parts\":[{\"text\":\"x\"}]}]");
    check(FAMILY_GEMINI, &official,
          "[{\"parts\":[{\"text\":\"t\",\"thought\":true}," PART("\"text\":\"x\"", "b3du") "]}]",
          "[{\"parts\":[{\"text\":\"t\",\"thought\":true}," PART("\"text\":\"x\"", "b3du") "]}]");
}

// What a scan says of a body that arrives in pieces of `step` bytes.
static bool needed(struct span body, size_t step, enum wire_family family)
{
    struct json_scan scan;
    json_scan_init(&scan, false);
    scan.marks = &mend_marks;
    enum parse parse = PARSE_MORE;
    for (size_t len = min_size(step, body.len); parse == PARSE_MORE;
         len = min_size(len + step, body.len))
        parse = json_scan_feed(&scan, span_of(body.ptr, len), len == body.len, SIZE_MAX);
    EXPECT(parse == PARSE_DONE);
    return mend_needed(body, scan.marked, family);
}

static void an_envelope_is_found_wherever_it_stands(void)
{
    static const struct {
        struct span body;
        bool plain, base64;
    } cases[] = {
        { SPAN("{\"a\":[{\"signature\":\"" SEALED "\"}]}"), true, false },
        { SPAN("[\"" SEALED "\"]"), true, false },
        { SPAN("[\"a text of more than thirty-two bytes, and then\", \"" SEALED "\"]"), true,
          false },
        { SPAN("{\"" SEALED "\":1}"), true, false },
        { SPAN("{\"a\":\"cHN0MS5hLmUzMC5BQUFB\"}"), false, true },
        { SPAN("{\"signature\":\"EqQB\"}"), false, false },
        { SPAN("[\"pst1\",\"pst\",\"cHN0\",\"\",\"p\",\"st1.\",\"cHN0MS\"]"), false, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t step = 1; step <= cases[i].body.len; step++) {
            EXPECT_EQ(needed(cases[i].body, step, FAMILY_RESPONSES), cases[i].plain);
            EXPECT_EQ(needed(cases[i].body, step, FAMILY_ANTHROPIC), cases[i].plain);
            EXPECT_EQ(needed(cases[i].body, step, FAMILY_GEMINI), cases[i].base64);
        }
    const struct span said = SPAN("[\"said pst1. and cHN0MS5\"]");
    EXPECT(!needed(said, said.len, FAMILY_RESPONSES));
    EXPECT(!needed(said, said.len, FAMILY_GEMINI));
}

static void calls_without_a_signature_get_a_placeholder(void) // C-070
{
    check(FAMILY_GEMINI, &official,
          "[{\"parts\":[{\"functionCall\":{\"name\":\"f\"}},"
          "{\"functionCall\":{\"name\":\"g\"}}]}]",
          "[{\"parts\":[" PART(
              "\"functionCall\":{\"name\":\"f\"}",
              "skip_thought_signature_validator") ","
                                                  "{\"functionCall\":{\"name\":\"g\"}}]}]");
}

#define MODEL(part) "{\"role\":\"model\",\"parts\":[" part "]}"

static void an_answer_in_several_contents_is_one(void)
{
    static const char list[] = "[" MODEL(PART("\"functionCall\":{}", "own")) "," MODEL(
        "{\"functionCall\":{}}") ",{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]";
    check(FAMILY_GEMINI, &official, list, list);
    check(
        FAMILY_GEMINI, &official,
        "[" MODEL("{\"functionCall\":{}}") ",{\"parts\":[]}," MODEL("{\"functionCall\":{}}") "]",
        "[" MODEL(PART("\"functionCall\":{}", "skip_thought_signature_validator")) ",{\"parts\":[]}," MODEL(
            PART("\"functionCall\":{}", "skip_thought_signature_validator")) "]");
}

static bool theirs(void *ctx, const struct blob *blob)
{
    (*(unsigned *)ctx)++;
    struct blob wanted;
    blob_of(&wanted, SPAN("theirs"));
    return blob->len == wanted.len && memcmp(blob->head, wanted.head, wanted.len) == 0;
}

struct mended {
    struct losses losses;
    struct span text;
    char room[1024];
};

static void mend(struct mended *mended, enum wire_family family, const char *list, bool thoughtless)
{
    unsigned asked = 0;
    struct json_slice value;
    const struct mend how = {
        .family = family,
        .caps = &official,
        .losses = &mended->losses,
        .thoughtless = thoughtless,
        .foreign = theirs,
        .ctx = &asked,
    };
    EXPECT(json_check(span_str(list), &value));
    losses_init(&mended->losses, false);
    struct sink sink = sink_into(mended->room, sizeof(mended->room));
    mend_put(&sink, value, &how);
    EXPECT(!sink.failed);
    mended->text = span_of(mended->room, (size_t)(sink.at - mended->room));
    EXPECT(json_check(mended->text, &value));
    EXPECT(asked > 0 || thoughtless);
}

#define OWN_AND_THEIRS "[{\"content\":[" THOUGHT("own") "," THOUGHT("theirs") "," TEXT "]}]"
#define SIGNED_CALL(signature) "{\"parts\":[" PART("\"functionCall\":{}", signature) "]}"

static void what_another_account_signed_goes(void) // C-138, C-150
{
    struct mended mended;
    mend(&mended, FAMILY_ANTHROPIC, OWN_AND_THEIRS, false);
    EXPECT_SPAN(mended.text, "[{\"content\":[" THOUGHT("own") "," TEXT "]}]");
    EXPECT_SPAN(losses_dropped(&mended.losses), "messages[0].content[1]");
    mend(&mended, FAMILY_ANTHROPIC, "[{\"content\":\"x\"},{\"content\":[" THOUGHT("theirs") "]}]",
         false);
    EXPECT_SPAN(mended.text, "[{\"content\":\"x\"}]");
    EXPECT_SPAN(losses_dropped(&mended.losses), "messages[1]");
    mend(&mended, FAMILY_RESPONSES,
         "[{\"type\":\"reasoning\",\"encrypted_content\":\"own\"},"
         "{\"type\":\"reasoning\",\"encrypted_content\":\"theirs\"},{\"type\":\"message\"}]",
         false);
    EXPECT_SPAN(mended.text, "[{\"type\":\"reasoning\",\"encrypted_content\":\"own\"},"
                             "{\"type\":\"message\"}]");
    EXPECT_SPAN(losses_dropped(&mended.losses), "input[1]");
    mend(&mended, FAMILY_GEMINI, "[" SIGNED_CALL("own") "," SIGNED_CALL("theirs") "]", false);
    EXPECT_SPAN(mended.text,
                "[" SIGNED_CALL("own") "," SIGNED_CALL("skip_thought_signature_validator") "]");
    EXPECT_SPAN(losses_adjusted(&mended.losses),
                "contents[1].parts[0].thoughtSignature=placeholder");
    mend(&mended, FAMILY_OPENAI,
         "[{\"content\":\"x\",\"reasoning_details\":[{\"signature\":\"own\"},"
         "{\"signature\":\"theirs\"}]}]",
         false);
    EXPECT_SPAN(mended.text,
                "[{\"content\":\"x\",\"reasoning_details\":[{\"signature\":\"own\"}]}]");
    EXPECT_SPAN(losses_dropped(&mended.losses), "messages[0].reasoning_details[1]");
}

static void without_thoughts_nothing_signed_is_left(void) // C-064
{
    struct mended mended;
    mend(&mended, FAMILY_ANTHROPIC,
         "[{\"content\":[" THOUGHT("own") "," THOUGHT(
             "") "," TEXT ",{\"type\":\"redacted_thinking\",\"data\":\"own\"}]}]",
         true);
    EXPECT_SPAN(mended.text, "[{\"content\":[" TEXT "]}]");
    mend(&mended, FAMILY_RESPONSES,
         "[{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[]},{\"type\":\"message\"}]", true);
    EXPECT_SPAN(mended.text, "[{\"type\":\"message\"}]");
    mend(&mended, FAMILY_GEMINI,
         "[{\"parts\":[{\"thought\":true,\"text\":\"t\"}," PART("\"text\":\"x\"", "own") "]}]",
         true);
    EXPECT_SPAN(mended.text, "[{\"parts\":[{\"text\":\"x\"}]}]");
    EXPECT_SPAN(losses_dropped(&mended.losses),
                "contents[0].parts[0],contents[0].parts[1].thoughtSignature");
    mend(&mended, FAMILY_OPENAI,
         "[{\"reasoning_content\":\"r\",\"content\":\"x\",\"reasoning_details\":["
         "{\"signature\":\"own\"}]}]",
         true);
    EXPECT_SPAN(mended.text, "[{\"content\":\"x\"}]");
}

static bool stops_thinking(const char *body, const struct caps *caps)
{
    struct json_slice value;
    EXPECT(json_check(span_str(body), &value));
    const struct mend mend = { .family = FAMILY_ANTHROPIC, .caps = caps };
    return mend_thinking(value, &mend).kind != JK_NONE;
}

#define ENABLED "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024},\"messages\":["
#define ASKS "{\"role\":\"user\",\"content\":\"q\"}"
#define USES(signature) \
    ",{\"role\":\"assistant\",\"content\":[" THOUGHT(signature) ",{\"type\":\"tool_use\"}]}"
#define RESULT ",{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\"}]}"

static void no_thinking_where_its_beginning_is_gone(void) // C-068
{
    static const struct caps always = { .official = true, .always_thinks = true };
    EXPECT(stops_thinking(ENABLED ASKS USES(SEALED) RESULT "]}", &official));
    EXPECT(stops_thinking(ENABLED ASKS USES(SEALED) RESULT USES("own") RESULT "]}", &official));
    EXPECT(!stops_thinking(ENABLED ASKS USES("own") RESULT USES(SEALED) RESULT "]}", &official));
    EXPECT(!stops_thinking(ENABLED ASKS USES(SEALED) RESULT "," ASKS "]}", &official));
    EXPECT(!stops_thinking(ENABLED ASKS USES(SEALED) RESULT "]}", &always));
    EXPECT(!stops_thinking("{\"thinking\":{\"type\":\"adaptive\"},\"messages\":[" ASKS USES(SEALED)
                               RESULT "]}",
                           &official));
}

TEST_MAIN(TEST(an_envelope_is_found_wherever_it_stands),
          TEST(calls_without_a_signature_get_a_placeholder),
          TEST(no_thinking_where_its_beginning_is_gone), TEST(envelopes_go_with_their_thoughts),
          TEST(chats_dialect_goes_where_nobody_wants_it), TEST(geminis_calls_get_a_placeholder),
          TEST(an_answer_in_several_contents_is_one), TEST(what_another_account_signed_goes),
          TEST(without_thoughts_nothing_signed_is_left))
