// Signed thoughts that a client loses are kept beside its calls, and stand in the next request
// where they stood in the answer (C-150).
#include "convert_run.h"

#include "penstock/convert/thoughts.h"

// A memory of texts.
enum { ENTRIES = 32, WHAT = 128, VALUE = 8 * KIB };

static struct {
    struct thoughts_memory memory;
    unsigned count;
    struct {
        size_t what_len, value_len;
        char what[WHAT], value[VALUE];
    } entries[ENTRIES];
} kept;

static struct span kept_find(struct thoughts_memory *memory, struct span what,
                             struct scratch *scratch)
{
    (void)memory, (void)scratch;
    for (unsigned i = kept.count; i-- > 0;)
        if (span_eq(span_of(kept.entries[i].what, kept.entries[i].what_len), what))
            return span_of(kept.entries[i].value, kept.entries[i].value_len);
    return SPAN_NONE;
}

static void kept_keep(struct thoughts_memory *memory, struct span what, struct span value)
{
    (void)memory;
    struct json_slice root;
    EXPECT(kept.count < ENTRIES && what.len <= WHAT && value.len <= VALUE);
    EXPECT(json_check(value, &root));
    kept.entries[kept.count].what_len = what.len;
    kept.entries[kept.count].value_len = value.len;
    memcpy(kept.entries[kept.count].what, what.ptr, what.len);
    memcpy(kept.entries[kept.count++].value, value.ptr, value.len);
}

static void forget_all(void)
{
    kept.count = 0;
    kept.memory = (struct thoughts_memory){ .find = kept_find, .keep = kept_keep };
}

enum { ACCOUNT = 77 };

static void seen(void *ctx, const struct delta *delta)
{
    (void)delta;
    (*(unsigned *)ctx)++;
}

// An account's stream, for a client of the family.
static void answer(enum wire_family from, enum wire_family client, const char *text)
{
    static struct run_stream run;
    struct answer_facts facts = run_facts(NULL);
    struct thoughts thoughts;
    unsigned deltas = 0;
    facts.account = ACCOUNT;
    (void)run_sink();
    thoughts_init(&thoughts, &kept.memory, &facts, client, &chunks, seen, &deltas);
    (void)run_decode(&run, from, span_str(text), 7, thoughts_put, &thoughts);
    EXPECT(!thoughts.keep.failed);
    EXPECT(deltas > 0); // each went on
    thoughts_fini(&thoughts);
}

// What an account's vendor gets of a client's history.
static struct span request(enum wire_family client, enum wire_family to, uint64_t account,
                           const char *text)
{
    static struct prompt prompt;
    static const struct caps caps = { .official = true, .signs_calls = true, .call_ids = true };
    static struct losses losses;
    struct prompt_parse parse;
    struct json_slice root;
    struct sink sink = run_sink();
    losses_init(&losses, false);
    EXPECT(json_check(span_str(text), &root));
    prompt_begin(&parse, &prompt, client, span_str(text), &run_pad.scratch, &losses);
    parse.key = run_key;
    parse.account = account;
    EXPECT(converter_of(client)->parse(&parse, root));
    kept.memory.hits = kept.memory.misses = 0;
    EXPECT(thoughts_restore(&parse, &kept.memory));
    struct render render = { .prompt = &prompt,
                             .caps = &caps,
                             .model = SPAN("m"),
                             .losses = &losses,
                             .scratch = &run_pad.scratch,
                             .key = run_key };
    EXPECT(converter_of(to)->render(&render, &sink));
    EXPECT(json_check(run_text(&sink), &root));
    return run_text(&sink);
}

static bool has(struct span text, const char *what)
{
    const bool found = run_count(text, what) == 1;
    if (!found)
        fprintf(stderr, "%.*s\nhas no, or several: %s\n", (int)text.len, text.ptr, what);
    return found;
}

// --- what vendors say ---

#define EVENT(type, more) "event: " type "\ndata: {\"type\":\"" type "\"" more "}\n\n"
#define BLOCK(at, block, deltas)                                                \
    EVENT("content_block_start", ",\"index\":" #at ",\"content_block\":" block) \
    deltas EVENT("content_block_stop", ",\"index\":" #at)
#define DELTA(at, delta) EVENT("content_block_delta", ",\"index\":" #at ",\"delta\":" delta)
#define A_THINKS(at, text, sign)                                               \
    BLOCK(at, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}",  \
          DELTA(at, "{\"type\":\"thinking_delta\",\"thinking\":\"" text "\"}") \
              DELTA(at, "{\"type\":\"signature_delta\",\"signature\":\"" sign "\"}"))
#define A_SAYS(at, text)                           \
    BLOCK(at, "{\"type\":\"text\",\"text\":\"\"}", \
          DELTA(at, "{\"type\":\"text_delta\",\"text\":\"" text "\"}"))
#define A_CALLS(at, id, args)                                                          \
    BLOCK(at, "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"f\",\"input\":{}}", \
          DELTA(at, "{\"type\":\"input_json_delta\",\"partial_json\":\"" args "\"}"))
#define A_ANSWER(blocks)                                                                    \
    EVENT("message_start", ",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",\"content\":[]," \
                           "\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}")           \
    blocks EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"tool_use\"},"              \
                                  "\"usage\":{\"output_tokens\":5}") EVENT("message_stop", "")

#define CALL(id, args)                                                                            \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"" args \
    "\"}}"
#define RESULT(id) ",{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"r\"}"
#define CHAT(content, calls, results)                                                                  \
    "{\"model\":\"m\",\"reasoning_effort\":\"high\",\"max_tokens\":20000,\"tools\":[{\"type\":"        \
    "\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}}],"               \
    "\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":" content \
    ",\"tool_calls\":[" calls "]}" results "]}"

#define SIGN "{\"type\":\"thinking\",\"thinking\":\"so \\\"it\\\" is\",\"signature\":\"sig+1/=\"}"

static const char thinks_and_calls[] = A_ANSWER(A_THINKS(0, "so \\\"it\\\" is", "sig+1/=") A_CALLS(
    1, "toolu_1", "{\\\"a\\\":1.0,\\\"b\\\":\\\"\\u00e9/\\\"}"));

static void a_chat_clients_call_gets_its_thought_back(void)
{
    forget_all();
    answer(FAMILY_ANTHROPIC, FAMILY_OPENAI, thinks_and_calls);
    static const char *const spellings[] = {
        "{\\\"a\\\":1.0,\\\"b\\\":\\\"\\u00e9/\\\"}",            // as it came
        "{ \\\"b\\\" : \\\"\xc3\xa9\\\\/\\\",\\n\\\"a\\\": 1 }", // as another program writes it
    };
    for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
        char body[2048];
        snprintf(body, sizeof(body), CHAT("null", CALL("toolu_1", "%s"), RESULT("toolu_1")),
                 spellings[i]);
        EXPECT(has(request(FAMILY_OPENAI, FAMILY_ANTHROPIC, ACCOUNT, body),
                   SIGN ",{\"type\":\"tool_use\""));
        EXPECT_EQ(kept.memory.hits, 1);
        EXPECT_EQ(kept.memory.misses, 0);
        EXPECT_EQ(run_count(request(FAMILY_OPENAI, FAMILY_ANTHROPIC, ACCOUNT + 1, body), "sig+1"),
                  0);
    }
    static const char *const others[] = {
        CHAT("null", CALL("toolu_1", "{\\\"a\\\":2,\\\"b\\\":\\\"\\u00e9/\\\"}"),
             RESULT("toolu_1")),
        CHAT("null", CALL("toolu_2", "{\\\"a\\\":1.0,\\\"b\\\":\\\"\\u00e9/\\\"}"),
             RESULT("toolu_2")),
        CHAT("null", CALL("toolu_1", "no JSON"), RESULT("toolu_1")),
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        EXPECT_EQ(run_count(request(FAMILY_OPENAI, FAMILY_ANTHROPIC, ACCOUNT, others[i]), "sig+1"),
                  0);
        EXPECT_EQ(kept.memory.misses, 1);
    }
}

#define ANSWERED(id, text) \
    ",{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"" text "\"}"

// Parts that come in or leave move others: each result stays with its call.
static void results_stay_with_their_calls(void) // C-009
{
    forget_all();
    answer(
        FAMILY_ANTHROPIC, FAMILY_OPENAI,
        A_ANSWER(A_THINKS(0, "1", "one") A_CALLS(1, "toolu_1", "{}") A_CALLS(2, "toolu_2", "{}")));
    const struct span text =
        request(FAMILY_OPENAI, FAMILY_ANTHROPIC, ACCOUNT,
                CHAT("null", CALL("toolu_1", "{}") "," CALL("toolu_2", "{}"),
                     ANSWERED("toolu_2", "second") ANSWERED("toolu_1", "first")));
    EXPECT(has(text, "\"signature\":\"one\""));
    EXPECT(has(text, "\"tool_use_id\":\"toolu_1\",\"content\":\"first\""));
    EXPECT(has(text, "\"tool_use_id\":\"toolu_2\",\"content\":\"second\""));
}

// Vendors that number their calls anew in each answer are told apart by what was called.
static void calls_of_one_id_keep_their_own(void)
{
    forget_all();
    answer(FAMILY_ANTHROPIC, FAMILY_OPENAI,
           A_ANSWER(A_THINKS(0, "1", "first") A_CALLS(1, "call_0", "{\\\"n\\\":1}")));
    answer(FAMILY_ANTHROPIC, FAMILY_OPENAI,
           A_ANSWER(A_THINKS(0, "2", "second") A_CALLS(1, "call_0", "{\\\"n\\\":2}")));
    const struct span text =
        request(FAMILY_OPENAI, FAMILY_ANTHROPIC, ACCOUNT,
                CHAT("null", CALL("call_0", "{\\\"n\\\":1}"), RESULT("call_0")));
    EXPECT(has(text, "\"signature\":\"first\""));
    EXPECT_EQ(run_count(text, "second"), 0);
}

static void thoughts_stand_where_they_stood(void)
{
    forget_all();
    answer(FAMILY_ANTHROPIC, FAMILY_OPENAI,
           A_ANSWER(A_THINKS(0, "1", "one") A_SAYS(1, "first") A_THINKS(2, "2", "two")
                        A_CALLS(3, "toolu_1", "{}") A_CALLS(4, "toolu_2", "")
                            BLOCK(5, "{\"type\":\"redacted_thinking\",\"data\":\"three\"}", "")
                                A_CALLS(6, "toolu_3", "{}")));
    const struct span text = request(
        FAMILY_OPENAI, FAMILY_ANTHROPIC, ACCOUNT,
        CHAT("\"first\"", CALL("toolu_1", "{}") "," CALL("toolu_2", "") "," CALL("toolu_3", "{}"),
             RESULT("toolu_1") RESULT("toolu_2") RESULT("toolu_3")));
    static const char *const order[] = { "\"signature\":\"one\"", "\"text\":\"first\"",
                                         "\"signature\":\"two\"", "\"id\":\"toolu_1\"",
                                         "\"id\":\"toolu_2\"",    "\"data\":\"three\"",
                                         "\"id\":\"toolu_3\"",    NULL };
    EXPECT(run_has_in_order(text, order));
    EXPECT_EQ(kept.memory.hits, 2); // toolu_2 came with none
}

static void what_a_client_gave_back_itself_is_not_doubled(void)
{
    forget_all();
    answer(FAMILY_ANTHROPIC, FAMILY_ANTHROPIC, thinks_and_calls);
    static const char body[] =
        "{\"model\":\"m\",\"max_tokens\":20000,\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048},"
        "\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}],\"messages\":["
        "{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":[" SIGN
        ",{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{\"a\":1,\"b\":\"\xc3\xa9/\"}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\"}]}]}";
    EXPECT(has(request(FAMILY_ANTHROPIC, FAMILY_ANTHROPIC, ACCOUNT, body), "sig+1/="));
    EXPECT_EQ(kept.memory.hits + kept.memory.misses, 0);
}

// --- Responses and Gemini ---

static const char responses_answer[] =
    "data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"model\":\"m\",\"output\":[]}}\n\n"
    "data: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"id\":\"rs_1\","
    "\"type\":\"reasoning\",\"summary\":[]}}\n\n"
    "data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"id\":\"rs_1\","
    "\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"gAAA+secret\"}}\n\n"
    "data: {\"type\":\"response.output_item.added\",\"output_index\":1,\"item\":{\"id\":\"fc_1\","
    "\"type\":\"function_call\",\"call_id\":\"call_r\",\"name\":\"f\",\"arguments\":\"\"}}\n\n"
    "data: {\"type\":\"response.function_call_arguments.delta\",\"item_id\":\"fc_1\",\"output_index\":1,"
    "\"delta\":\"{\\\"x\\\":[1,2]}\"}\n\n"
    "data: {\"type\":\"response.output_item.done\",\"output_index\":1,\"item\":{\"id\":\"fc_1\","
    "\"type\":\"function_call\",\"call_id\":\"call_r\",\"name\":\"f\",\"arguments\":\"{\\\"x\\\":[1,2]}\"}}\n\n"
    "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"status\":\"completed\","
    "\"output\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n";

static void encrypted_reasoning_stands_before_its_call(void)
{
    forget_all();
    answer(FAMILY_RESPONSES, FAMILY_OPENAI, responses_answer);
    const struct span text =
        request(FAMILY_OPENAI, FAMILY_RESPONSES, ACCOUNT,
                CHAT("\"hm\"", CALL("call_r", "{\\\"x\\\": [1, 2]}"), RESULT("call_r")));
    static const char *const order[] = { "\"type\":\"reasoning\"",
                                         "\"encrypted_content\":\"gAAA+secret\"",
                                         "\"type\":\"function_call\"", NULL };
    EXPECT(run_has_in_order(text, order));
}

#define G_PART(part)                                                                            \
    "data: {\"candidates\":[{\"index\":0,\"content\":{\"role\":\"model\",\"parts\":[" part "]}" \
    "}],\"modelVersion\":\"m\",\"responseId\":\"r\"}\n\n"
#define G_END                                                                                        \
    "data: {\"candidates\":[{\"index\":0,\"finishReason\":\"STOP\",\"content\":{\"role\":\"model\"," \
    "\"parts\":[{\"text\":\"\"}]}}],\"usageMetadata\":{\"promptTokenCount\":1,"                      \
    "\"candidatesTokenCount\":1}}\n\n"

// Gemini's calls come without ids: the one that the client was given is the same each time.
static void a_signature_of_a_call_goes_back_on_it(void)
{
    forget_all();
    answer(FAMILY_GEMINI, FAMILY_ANTHROPIC,
           G_PART("{\"text\":\"hm\",\"thought\":true}")
               G_PART("{\"functionCall\":{\"name\":\"f\",\"args\":{\"c\":\"K\xc3\xb6ln\"}},"
                      "\"thoughtSignature\":\"Z2VtaW5p+/==\"}") G_END);
    EXPECT_EQ(kept.count, 2);
    char id[64] = "", body[2048];
    struct sink out = sink_into(id, sizeof(id) - 1);
    id_put_call(&out, WORDS_NONE, FAMILY_ANTHROPIC, run_facts(NULL).random, 0);
    *out.at = '\0';
    snprintf(
        body, sizeof(body),
        "{\"model\":\"m\",\"max_tokens\":200,\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":"
        "\"object\"}}],\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
        "\"content\":[{\"type\":\"tool_use\",\"id\":\"%s\",\"name\":\"f\",\"input\":{\"c\":\"K\\u00f6ln\"}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"%s\",\"content\":"
        "\"r\"}]}]}",
        id, id);
    const struct span text = request(FAMILY_ANTHROPIC, FAMILY_GEMINI, ACCOUNT, body);
    EXPECT(has(text, "\"thoughtSignature\":\"Z2VtaW5p+/==\""));
    EXPECT_EQ(run_count(text, "skip_thought_signature_validator"), 0);
    EXPECT(has(request(FAMILY_ANTHROPIC, FAMILY_GEMINI, ACCOUNT + 1, body),
               "skip_thought_signature_validator"));
}

static void what_was_cut_is_not_kept(void)
{
    forget_all();
    answer(FAMILY_ANTHROPIC, FAMILY_OPENAI,
           EVENT("message_start",
                 ",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",\"content\":[],"
                 "\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}") A_THINKS(0, "1", "one")
               EVENT("content_block_start", ",\"index\":1,\"content_block\":{\"type\":\"tool_use\","
                                            "\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{}}")
                   DELTA(1, "{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\"\"}")
                       EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"max_tokens\"},"
                                              "\"usage\":{\"output_tokens\":5}")
                           EVENT("message_stop", ""));
    EXPECT_EQ(kept.count, 0);
    answer(FAMILY_ANTHROPIC, FAMILY_OPENAI,
           A_ANSWER(A_CALLS(0, "toolu_1", "{}"))); // nothing to keep
    EXPECT_EQ(kept.count, 0);
}

static void a_whole_answer_is_kept_alike(void)
{
    static const char whole[] =
        "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[" SIGN
        ",{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{\"b\":\"\xc3\xa9/\",\"a\":1}}],"
        "\"stop_reason\":\"tool_use\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}";
    forget_all();
    struct answer_facts facts = run_facts(NULL);
    struct completion completion;
    struct thoughts thoughts;
    struct json_slice root;
    facts.account = ACCOUNT;
    (void)run_sink();
    EXPECT(json_check(span_str(whole), &root));
    completion_init(&completion, &chunks, RUN_KEPT);
    EXPECT(converter_of(FAMILY_ANTHROPIC)->read_whole(&completion, root));
    thoughts_init(&thoughts, &kept.memory, &facts, FAMILY_OPENAI, &chunks, NULL, NULL);
    completion_play(&completion, thoughts_put, &thoughts);
    thoughts_fini(&thoughts);
    completion_fini(&completion);
    EXPECT(has(request(FAMILY_OPENAI, FAMILY_ANTHROPIC, ACCOUNT,
                       CHAT("null", CALL("toolu_1", "{\\\"a\\\":1,\\\"b\\\":\\\"\\u00e9/\\\"}"),
                            RESULT("toolu_1"))),
               SIGN));
}

static void nothing_signed_is_left_of_a_history(void) // C-064
{
    static struct prompt prompt;
    static struct losses losses;
    static const char body[] =
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
        "\"content\":[" SIGN
        ",{\"type\":\"redacted_thinking\",\"data\":\"d\"},{\"type\":\"text\",\"text\":\"t\"}]},"
        "{\"role\":\"assistant\",\"content\":[" SIGN "]},{\"role\":\"user\",\"content\":\"r\"}]}";
    struct prompt_parse parse;
    struct json_slice root;
    (void)run_sink();
    losses_init(&losses, false);
    EXPECT(json_check(span_str(body), &root));
    prompt_begin(&parse, &prompt, FAMILY_ANTHROPIC, span_str(body), &run_pad.scratch, &losses);
    EXPECT(converter_of(FAMILY_ANTHROPIC)->parse(&parse, root));
    const uint32_t before = prompt.part_count;
    thoughts_forget(&prompt, NULL, NULL);
    EXPECT_EQ(prompt.part_count, before - 3);
    uint32_t next = 0;
    for (uint32_t t = 0; t < prompt.turn_count; t++) {
        EXPECT_EQ(prompt.turns[t].first, next);
        next += prompt.turns[t].count;
        for (uint32_t i = prompt.turns[t].first; i < next; i++) {
            EXPECT_EQ(prompt.parts[i].kind, PART_TEXT);
            EXPECT(words_none(prompt.parts[i].signature.text));
            EXPECT_EQ(prompt.parts[i].turn, t);
        }
    }
    EXPECT_EQ(next, prompt.part_count);
}

static uint64_t hash(const char *args)
{
    return thoughts_call_hash(words_plain(SPAN("f")), span_str(args));
}

static void a_hash_is_of_what_is_meant(void)
{
    EXPECT(hash("{\"a\":1,\"b\":[true,null]}") ==
           hash("{ \"b\" : [ true , null ] , \"\\u0061\" : 1.0 }"));
    EXPECT(hash("") == hash("{}"));
    EXPECT(hash("{\"a\":\"\\ud83d\\ude42\"}") == hash("{\"a\":\"\xf0\x9f\x99\x82\"}"));
    static const char *const different[] = {
        "{}",
        "[]",
        "null",
        "{\"a\":1}",
        "{\"a\":2}",
        "{\"b\":1}",
        "{\"a\":\"1\"}",
        "{\"a\":[1]}",
        "[1,2]",
        "[2,1]",
        "[[1],2]",
        "[1,[2]]",
        "{\"a\":{\"b\":1}}",
        "{\"a\":{},\"b\":1}",
        "1.5",
        "free text",
        "free  text",
        "{\"a\":{\"c\":1},\"b\":{\"d\":2}}",
        "{\"a\":{\"d\":2},\"b\":{\"c\":1}}",
        "\"\"",
        "[null]",
    };
    for (size_t i = 0; i < ARRAY_LEN(different); i++)
        for (size_t j = 0; j < i; j++)
            EXPECT(hash(different[i]) != hash(different[j]));
    char deep[1000], other[1000];
    memset(deep, '[', 500);
    memset(deep + 500, ']', 499);
    deep[999] = other[999] = '\0';
    memcpy(other, deep, sizeof(deep));
    deep[999 - 1] = other[999 - 1] = ']';
    memcpy(other + 499, "1]", 1);
    EXPECT(hash(deep) != hash(other)); // beyond the levels that are walked
    char longer[2][700];
    for (size_t len = 250; len < 520; len++) { // a text of several pieces
        memset(longer[0], 'x', len);
        longer[0][0] = longer[0][len - 1] = '"';
        longer[0][len] = '\0';
        memcpy(longer[1], longer[0], len + 1);
        EXPECT(hash(longer[0]) == hash(longer[1]));
        longer[1][len - 2] = 'y';
        EXPECT(hash(longer[0]) != hash(longer[1]));
    }
}

TEST_MAIN(TEST(results_stay_with_their_calls), TEST(a_chat_clients_call_gets_its_thought_back),
          TEST(calls_of_one_id_keep_their_own), TEST(thoughts_stand_where_they_stood),
          TEST(what_a_client_gave_back_itself_is_not_doubled),
          TEST(encrypted_reasoning_stands_before_its_call),
          TEST(a_signature_of_a_call_goes_back_on_it), TEST(what_was_cut_is_not_kept),
          TEST(a_whole_answer_is_kept_alike), TEST(nothing_signed_is_left_of_a_history),
          TEST(a_hash_is_of_what_is_meant))
