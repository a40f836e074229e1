// Requests of Responses: its clients' read for other vendors, and others' written for its own.
#include "convert_run.h"

static struct losses losses;
static struct prompt_parse parse;

static struct span from(enum wire_family to, const char *body)
{
    return run_request(FAMILY_RESPONSES, to, body, NULL, &losses, &parse);
}

static struct span to(enum wire_family family, const char *body, const struct caps *caps)
{
    return run_request(family, FAMILY_RESPONSES, body, caps, &losses, &parse);
}

#define HAS(text, what) EXPECT_EQ(run_count((text), (what)), 1)
#define HAS_NOT(text, what) EXPECT_EQ(run_count((text), (what)), 0)
#define BODY(rest) "{\"model\":\"m\",\"input\":\"x\"," rest "}"
#define INPUT(items) "{\"model\":\"m\",\"input\":[" items "]}"
#define USER "{\"role\":\"user\",\"content\":\"go\"}"

// --- reading ---

static void items_become_turns(void) // C-001, C-002, C-016
{
    static const char body[] =
        "{\"model\":\"m\",\"instructions\":\"I\",\"input\":["
        "{\"type\":\"message\",\"role\":\"developer\",\"content\":\"D\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"u\"}]},"
        "{\"type\":\"message\",\"role\":\"assistant\",\"phase\":\"commentary\",\"content\":[{"
        "\"type\":\"output_text\",\"text\":\"t\",\"annotations\":[]}]},"
        "{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},"
        "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"r\"},"
        "{\"type\":\"message\",\"role\":\"system\",\"content\":\"late\"}]}";
    struct span out = from(FAMILY_ANTHROPIC, body);
    HAS(out, "\"system\":[{\"type\":\"text\",\"text\":\"I\"},{\"type\":\"text\",\"text\":\"D\"}]");
    HAS(out, "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"t\"},"
             "{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\",\"input\":{}}]}");
    HAS(out, "{\"type\":\"tool_result\",\"tool_use_id\":\"c\",\"content\":\"r\"}");
    HAS(out, "<system>late</system>");
    out = from(FAMILY_OPENAI, body);
    HAS(out, "\"content\":\"t\",\"tool_calls\":[{\"id\":\"c\"");
    HAS(out, "{\"role\":\"tool\",\"content\":\"r\",\"tool_call_id\":\"c\"}");
    out = from(FAMILY_OPENAI, "{\"model\":\"m\",\"input\":\"just this\"}");
    HAS(out, "\"messages\":[{\"role\":\"user\",\"content\":\"just this\"}]");
}

static void content_has_many_kinds(void)
{
    struct span out = from(
        FAMILY_ANTHROPIC,
        INPUT("{\"role\":\"user\",\"content\":["
              "{\"type\":\"input_image\",\"image_url\":\"https://a/b.png\",\"detail\":\"auto\"},"
              "{\"type\":\"input_file\",\"file_data\":\"data:application/pdf;base64,JVBERi0x\","
              "\"filename\":\"a.pdf\"},"
              "{\"type\":\"input_file\",\"file_url\":\"https://a/c.pdf\"},"
              "{\"type\":\"input_text\",\"text\":\"t\"}]}"));
    HAS(out, "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://a/b.png\"}}");
    HAS(out, "\"media_type\":\"application/pdf\",\"data\":\"JVBERi0x\"},\"title\":\"a.pdf\"");
    HAS(out, "{\"type\":\"url\",\"url\":\"https://a/c.pdf\"}");
    // A text that came as data.
    out = from(FAMILY_ANTHROPIC,
               INPUT("{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"filename\":"
                     "\"a.txt\",\"file_data\":\"data:text/plain;charset=utf-8;base64,YQpi\"}]}"));
    HAS(out, "{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"a\\nb\"},"
             "\"title\":\"a.txt\"");
    // A file that only its vendor has.
    EXPECT_SPAN(from(FAMILY_ANTHROPIC, INPUT("{\"role\":\"user\",\"content\":[{\"type\":"
                                             "\"input_image\",\"file_id\":\"file_1\"}]}")),
                "");
    EXPECT(losses.refused);
    // Results with pictures.
    out = from(FAMILY_ANTHROPIC,
               INPUT(USER ",{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\","
                          "\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":"
                          "\"c\",\"output\":[{\"type\":\"input_text\",\"text\":\"see\"},{\"type\":"
                          "\"input_image\",\"image_url\":\"data:image/png;base64,QUJD\"}]}"));
    HAS(out, "\"content\":[{\"type\":\"text\",\"text\":\"see\"},{\"type\":\"image\"");
}

static void what_is_stored_elsewhere_is_refused(void) // C-123
{
    static const struct {
        const char *body, *path;
    } cases[] = {
        { BODY("\"previous_response_id\":\"resp_1\""), "previous_response_id" },
        { BODY("\"conversation\":{\"id\":\"conv_1\"}"), "conversation" },
        { BODY("\"prompt\":{\"id\":\"pmpt_1\"}"), "prompt" },
        { INPUT(USER ",{\"type\":\"item_reference\",\"id\":\"rs_1\"}"), "input" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EXPECT_SPAN(from(FAMILY_OPENAI, cases[i].body), "");
        EXPECT_EQ(parse.err.code, ERR_STORED_RESPONSE);
        EXPECT_SPAN(span_str(parse.path), cases[i].path);
    }
    EXPECT(from(FAMILY_OPENAI, BODY("\"previous_response_id\":null")).len > 0); // C-134
}

static void wrong_types_are_refused_with_their_path(void) // C-109, C-122
{
    static const struct {
        const char *body, *path;
    } cases[] = {
        { "{\"model\":\"m\",\"input\":[]}", "input" },
        { "{\"model\":\"m\",\"input\":5}", "input" },
        { BODY("\"temperature\":\"hot\""), "temperature" },
        { BODY("\"max_output_tokens\":true"), "max_output_tokens" },
        { BODY("\"reasoning\":{\"effort\":\"huge\"}"), "reasoning.effort" },
        { BODY("\"text\":{\"format\":{\"type\":\"xml\"}}"), "text.format.type" },
        { BODY("\"text\":{\"format\":{\"type\":\"json_schema\"}}"), "text.format.schema" },
        { BODY("\"tool_choice\":7"), "tool_choice" },
        { BODY("\"tools\":[{\"type\":\"function\"}]"), "tools[0].name" },
        { BODY("\"instructions\":[]"), "instructions" },
        { INPUT("{\"type\":\"new_thing\"}"), "input[0].type" },
        { INPUT("{\"role\":\"wizard\",\"content\":\"x\"}"), "input[0].role" },
        { INPUT("{\"role\":\"user\",\"content\":[{\"type\":\"smell\"}]}"),
          "input[0].content[0].type" },
        { INPUT(USER ",{\"type\":\"function_call\",\"name\":\"f\"}"), "input[1]" },
        { INPUT(USER ",{\"type\":\"function_call_output\",\"output\":\"x\"}"), "input[1].call_id" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EXPECT_SPAN(from(FAMILY_OPENAI, cases[i].body), "");
        EXPECT_SPAN(span_str(parse.path), cases[i].path);
    }
}

static void what_others_cannot_do_is_said(void) // tables 5.2, C-121, C-129
{
    static const struct {
        const char *body, *path;
    } refused[] = {
        { BODY("\"background\":true"), "background" },
        { BODY("\"tools\":[{\"type\":\"web_search\"}]"), "tools" },
        { BODY("\"tools\":[{\"type\":\"function\",\"name\":\"f\"},{\"type\":\"web_search\"}],"
               "\"tool_choice\":{\"type\":\"web_search\"}"),
          "tool_choice" },
        { BODY("\"tools\":[{\"type\":\"function\",\"name\":\"f\"},{\"type\":\"web_search\"}],"
               "\"tool_choice\":{\"type\":\"allowed_tools\",\"tools\":[{\"type\":"
               "\"web_search\"}]}"),
          "tool_choice.tools" },
        { INPUT(USER ",{\"type\":\"compaction\",\"encrypted_content\":\"x\"}"), "input[1]" },
        { INPUT(USER ",{\"type\":\"local_shell_call\",\"call_id\":\"c\"}"), "input[1]" },
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        EXPECT_SPAN(from(FAMILY_OPENAI, refused[i].body), "");
        EXPECT_SPAN(span_of(losses.path, losses.path_len), refused[i].path);
    }
    struct span out = from(
        FAMILY_ANTHROPIC,
        "{\"model\":\"m\",\"input\":[" USER ",{\"type\":\"web_search_call\"}],"
        "\"tools\":[{\"type\":\"function\",\"name\":\"f\"},{\"type\":\"web_search\"}],"
        "\"truncation\":\"auto\",\"max_tool_calls\":3,\"include\":[\"reasoning.encrypted_content\","
        "\"web_search_call.action.sources\"],\"reasoning\":{\"context\":\"all_turns\",\"mode\":"
        "\"pro\"},\"context_management\":[],\"brand_new\":1,\"store\":true,\"stream_options\":{"
        "\"include_obfuscation\":false}}");
    EXPECT(out.len > 0);
    EXPECT_SPAN(losses_dropped(&losses),
                "input[1],truncation,max_tool_calls,include[1],reasoning.context,reasoning.mode,"
                "context_management,brand_new,tools[1],store");
    EXPECT(parse.prompt->envelopes_wanted);
}

static void settings_find_their_places(void)
{
    struct span out = from(
        FAMILY_OPENAI,
        BODY("\"stream\":true,\"max_output_tokens\":99,\"temperature\":0.5,\"top_p\":0.9,"
             "\"top_logprobs\":3,\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\"},"
             "\"text\":{\"verbosity\":\"low\",\"format\":{\"type\":\"json_schema\",\"name\":\"n\","
             "\"schema\":{\"type\":\"object\"},\"strict\":true}},\"metadata\":{\"a\":\"b\"},"
             "\"parallel_tool_calls\":true,\"safety_identifier\":\"s\",\"user\":\"u\","
             "\"service_tier\":\"flex\",\"prompt_cache_key\":\"k\",\"prompt_cache_retention\":"
             "\"24h\",\"prompt_cache_options\":{\"mode\":\"implicit\"},\"moderation\":{},"
             "\"store\":true,"
             "\"tools\":[{\"type\":\"function\",\"name\":\"f\"}],\"tool_choice\":{\"type\":"
             "\"allowed_tools\",\"mode\":\"auto\",\"tools\":[{\"type\":\"function\",\"name\":"
             "\"f\"}]}"));
    HAS(out, "\"max_completion_tokens\":99");
    HAS(out, "\"logprobs\":true,\"top_logprobs\":3");
    HAS(out, "\"reasoning_effort\":\"low\"");
    HAS(out, "\"verbosity\":\"low\"");
    HAS(out, "\"safety_identifier\":\"s\"");
    HAS(out, "\"service_tier\":\"flex\",\"prompt_cache_key\":\"k\",\"prompt_cache_retention\":"
             "\"24h\",\"prompt_cache_options\":{\"mode\":\"implicit\"},\"moderation\":{}");
    EXPECT_SPAN(losses_dropped(&losses), "metadata,store");
    HAS(out, "\"json_schema\":{\"name\":\"n\",\"schema\":{\"type\":\"object\"},\"strict\":true}");
    HAS(out, "\"allowed_tools\":{\"mode\":\"auto\"");
    EXPECT_EQ(parse.prompt->reasoning.show, 2);
    EXPECT(words_are(words_of(parse.prompt->knobs[KNOB_USER].value), SPAN("s")));
    EXPECT(parse.prompt->usage_wanted && parse.prompt->stream);
}

static void tools_are_flat(void) // C-037, C-040, C-120, C-151
{
    struct span out = from(
        FAMILY_OPENAI,
        "{\"model\":\"m\",\"tools\":["
        "{\"type\":\"namespace\",\"name\":\"fs\",\"tools\":[{\"type\":\"function\",\"name\":"
        "\"read\",\"strict\":false},{\"type\":\"custom\",\"name\":\"patch\"}]},"
        "{\"type\":\"function\",\"name\":\"a\",\"parameters\":{\"type\":\"object\",\"properties\":"
        "{},\"required\":[],\"additionalProperties\":false}},"
        "{\"type\":\"function\",\"name\":\"b\",\"parameters\":{\"type\":\"object\",\"properties\":"
        "{\"x\":{}}}},"
        "{\"type\":\"tool_search\",\"execution\":\"client\",\"description\":\"d\"}],"
        "\"input\":[" USER ",{\"type\":\"function_call\",\"call_id\":\"c\",\"namespace\":\"fs\","
        "\"name\":\"read\",\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":"
        "\"c\",\"output\":\"r\"},{\"type\":\"tool_search_call\",\"execution\":\"client\","
        "\"call_id\":\"s\",\"arguments\":{\"q\":1}},{\"type\":\"tool_search_output\","
        "\"execution\":\"client\",\"call_id\":\"s\",\"tools\":[{\"type\":\"function\",\"name\":"
        "\"found\"},{\"type\":\"function\",\"name\":\"a\"}]},"
        "{\"type\":\"custom_tool_call\",\"call_id\":\"p\",\"name\":\"fs__patch\",\"input\":"
        "\"a\\n\\\"b\"},{\"type\":\"custom_tool_call_output\",\"call_id\":\"p\",\"output\":"
        "\"ok\"}]}");
    EXPECT_EQ(run_count(out, "\"name\":\"fs__read\""), 2);
    HAS(out,
        "\"name\":\"fs__patch\",\"description\":\"Pass the raw text in `input`.\",\"parameters\":{\"type\":\"object\",\"properties\":{\"input\"");
    HAS(out, "\"additionalProperties\":false},\"strict\":true");
    HAS(out, "{\"x\":{}}},\"strict\":false");
    HAS(out, "\"name\":\"tool_search\",\"description\":\"d\"");
    HAS(out, "\"name\":\"tool_search\",\"arguments\":\"{\\\"q\\\":1}\"");
    HAS(out, "\"content\":\"Loaded tool found\\nLoaded tool a\",\"tool_call_id\":\"s\"");
    HAS(out, "{\"type\":\"function\",\"function\":{\"name\":\"found\"");
    HAS(out, "{\"type\":\"function\",\"function\":{\"name\":\"a\""); // declared already
    HAS(out, "\"arguments\":\"{\\\"input\\\":\\\"a\\\\n\\\\\\\"b\\\"}\"");
}

// A signature that went out in an envelope comes back to its vendor as it was, and to no other
// (C-064).
static void envelopes_go_back_to_their_vendor(void)
{
    struct answer_facts facts = run_facts(NULL);
    struct span answer = run_whole(
        FAMILY_ANTHROPIC, FAMILY_RESPONSES,
        "{\"content\":[{\"type\":\"thinking\",\"thinking\":\"Hm\",\"signature\":\"SIG+/=\"},"
        "{\"type\":\"redacted_thinking\",\"data\":\"RED\"},{\"type\":\"text\",\"text\":\"Hi\"}],"
        "\"stop_reason\":\"end_turn\"}",
        &facts);
    struct json_slice root = json_value(answer);
    struct span output = json_get(root, SPAN("output")).text;
    char body[4 * KIB];
    snprintf(body, sizeof(body),
             "{\"model\":\"m\",\"reasoning\":{\"effort\":\"high\"},\"input\":[" USER ",%.*s,"
             "{\"role\":\"user\",\"content\":\"more\"}]}",
             (int)output.len - 2, output.ptr + 1);
    struct span out = from(FAMILY_ANTHROPIC, body);
    HAS(out, "{\"type\":\"thinking\",\"thinking\":\"Hm\",\"signature\":\"SIG+/=\"},"
             "{\"type\":\"redacted_thinking\",\"data\":\"RED\"},{\"type\":\"text\",\"text\":"
             "\"Hi\"}");
    out = from(FAMILY_OPENAI, body);
    HAS_NOT(out, "Hm");
    HAS_NOT(out, "pst1");
    // One that was tampered with, and one of the format's own vendor.
    out = from(FAMILY_ANTHROPIC,
               "{\"model\":\"m\",\"reasoning\":{\"effort\":\"high\"},\"input\":[" USER
               ",{\"type\":\"reasoning\",\"summary\":[{\"text\":\"bad\"}],\"encrypted_content\":"
               "\"pst1.a.AAAA.BBBB\"},{\"type\":\"reasoning\",\"summary\":[{\"text\":\"own\"}],"
               "\"encrypted_content\":\"gAAAA\"},{\"role\":\"assistant\",\"content\":\"x\"}," USER
               "]}");
    HAS_NOT(out, "thinking\",\"thinking");
    HAS_NOT(out, "bad");
}

// --- writing ---

#define CHAT(messages, rest) "{\"model\":\"m\",\"messages\":[" messages "]" rest "}"
#define CHAT_TOOLS ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"

static void parameters_come_first_and_are_fitted(void) // C-107, C-111, C-135
{
    struct caps plain = { .reasons = REASONS_NOT };
    struct span out =
        to(FAMILY_OPENAI,
           CHAT(USER, ",\"max_tokens\":1,\"temperature\":0.2,\"top_p\":1,\"logprobs\":true,"
                      "\"top_logprobs\":2,\"seed\":1,\"stop\":\"x\",\"logit_bias\":{},"
                      "\"presence_penalty\":1,\"frequency_penalty\":1,\"user\":\"u\","
                      "\"service_tier\":\"flex\",\"prompt_cache_key\":\"k\",\"verbosity\":"
                      "\"low\",\"store\":true,\"parallel_tool_calls\":false"),
           &plain);
    EXPECT_SPAN(out, "{\"model\":\"m\",\"max_output_tokens\":16,\"store\":true,\"temperature\":0.2,"
                     "\"top_p\":1,\"top_logprobs\":2,\"include\":["
                     "\"message.output_text.logprobs\"],\"text\":{\"verbosity\":\"low\"},"
                     "\"prompt_cache_key\":\"k\",\"service_tier\":\"flex\",\"user\":\"u\","
                     "\"input\":[{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":"
                     "\"input_text\",\"text\":\"go\"}]}]}"); // without tools no choice (C-020)
    EXPECT_SPAN(losses_adjusted(&losses), "max_tokens=1>16");
    EXPECT_SPAN(losses_dropped(&losses), "stop,presence_penalty,frequency_penalty,seed,logit_bias");
    out = to(FAMILY_OPENAI, CHAT(USER, ",\"temperature\":0.2,\"reasoning_effort\":\"high\""), NULL);
    HAS(out, "\"reasoning\":{\"effort\":\"high\",\"summary\":\"auto\"},\"include\":["
             "\"reasoning.encrypted_content\"]"); // C-073
    EXPECT_SPAN(losses_dropped(&losses), "temperature");
    EXPECT_SPAN(to(FAMILY_OPENAI, CHAT(USER, ",\"n\":2"), NULL), "");
    EXPECT_SPAN(span_of(losses.path, losses.path_len), "n");
}

static void tools_say_that_they_are_not_strict(void) // C-033, C-034
{
    struct span out =
        to(FAMILY_OPENAI,
           CHAT(USER, ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\"}},"
                      "{\"type\":\"function\",\"function\":{\"name\":\"b\",\"strict\":true,"
                      "\"parameters\":{\"properties\":{}}}},{\"type\":\"custom\",\"custom\":{"
                      "\"name\":\"p\",\"format\":{\"type\":\"grammar\",\"grammar\":{\"syntax\":"
                      "\"lark\",\"definition\":\"d\"}}}}],\"tool_choice\":{\"type\":\"custom\","
                      "\"custom\":{\"name\":\"p\"}},\"parallel_tool_calls\":false"),
           NULL);
    HAS(out, "{\"type\":\"function\",\"name\":\"a\",\"parameters\":{\"type\":\"object\","
             "\"properties\":{}},\"strict\":false}");
    HAS(out, "\"parameters\":{\"type\":\"object\",\"properties\":{}},\"strict\":true}");
    HAS(out, "{\"type\":\"custom\",\"name\":\"p\",\"format\":{\"type\":\"grammar\",\"syntax\":"
             "\"lark\",\"definition\":\"d\"}}");
    HAS(out, "\"tool_choice\":{\"type\":\"custom\",\"name\":\"p\"},\"parallel_tool_calls\":false");
}

static void results_follow_their_calls(void) // C-006 .. C-009, C-017
{
    static const char calls[] =
        "{\"role\":\"user\",\"content\":\"go\"},{\"role\":\"assistant\",\"content\":[{\"type\":"
        "\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{}},{\"type\":\"tool_use\",\"id\":"
        "\"b\",\"name\":\"f\",\"input\":{\"x\":1}},{\"type\":\"tool_use\",\"id\":\"c\",\"name\":"
        "\"f\",\"input\":{}}]}";
    char body[2 * KIB];
    snprintf(body, sizeof(body),
             "{\"model\":\"m\",\"max_tokens\":100,\"messages\":[%s,{\"role\":\"user\",\"content\":["
             "{\"type\":\"text\",\"text\":\"then\"},"
             "{\"type\":\"tool_result\",\"tool_use_id\":\"b\",\"content\":\"old\"},"
             "{\"type\":\"tool_result\",\"tool_use_id\":\"b\",\"content\":[{\"type\":\"text\","
             "\"text\":\"see\"},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":"
             "\"https://a\"}}],\"is_error\":true},"
             "{\"type\":\"tool_result\",\"tool_use_id\":\"c\"},"
             "{\"type\":\"tool_result\",\"tool_use_id\":\"zz\",\"content\":\"lost\"}]}]}",
             calls);
    struct span out = to(FAMILY_ANTHROPIC, body, NULL);
    EXPECT(run_has_in_order(
        out, (const char *[]){
                 "\"call_id\":\"a\",\"name\":\"f\",\"arguments\":\"{}\"",
                 "\"call_id\":\"b\",\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"",
                 "\"call_id\":\"c\",\"name\":\"f\"",
                 "{\"type\":\"function_call_output\",\"call_id\":\"a\",\"output\":"
                 "\"Error: [no result]\"}",
                 "\"call_id\":\"b\",\"output\":[{\"type\":\"input_text\",\"text\":\"Error: see\"},"
                 "{\"type\":\"input_image\",\"image_url\":\"https://a\",\"detail\":\"auto\"}]}",
                 "\"call_id\":\"c\",\"output\":\"\"}",
                 "{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
                 "\"text\":\"then\"},{\"type\":\"input_text\",\"text\":"
                 "\"[result of unknown call zz]\\nlost\"}]}",
                 NULL }));
    HAS_NOT(out, "old");
    EXPECT_SPAN(losses_dropped(&losses), "messages[2].content[1]");
    EXPECT_SPAN(losses_adjusted(&losses),
                "messages[1].tool_calls=no_result,messages[2].content[2].is_error,"
                "messages[2].content[4]=text");
    // Calls that nobody has answered yet.
    snprintf(body, sizeof(body), "{\"model\":\"m\",\"max_tokens\":100,\"messages\":[%s]}", calls);
    EXPECT_SPAN(to(FAMILY_ANTHROPIC, body, NULL), "");
    EXPECT(losses.refused);
}

static void thoughts_go_with_what_came_of_them(void) // C-071, C-072
{
    static const char thought[] =
        "{\"role\":\"assistant\",\"content\":%s,\"reasoning_content\":\"Hm\",\"reasoning_details\":"
        "[{\"type\":\"reasoning.encrypted\",\"data\":\"ENC\",\"id\":\"rs_1\",\"format\":"
        "\"openai-responses-v1\",\"index\":0}]}";
    char message[512], body[1 * KIB];
    snprintf(message, sizeof(message), thought, "\"Hi\"");
    snprintf(body, sizeof(body), CHAT(USER ",%s," USER, ""), message);
    struct span out = to(FAMILY_OPENAI, body, NULL);
    HAS(out, "{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"Hm\"}],"
             "\"encrypted_content\":\"ENC\"},{\"type\":\"message\",\"role\":\"assistant\"");
    HAS_NOT(out, "rs_1");
    snprintf(message, sizeof(message), thought, "\"\"");
    snprintf(body, sizeof(body), CHAT(USER ",%s," USER, ""), message);
    out = to(FAMILY_OPENAI, body, NULL);
    HAS_NOT(out, "ENC"); // what it came with is gone
    out = to(FAMILY_OPENAI,
             CHAT(USER ",{\"role\":\"assistant\",\"content\":\"Hi\",\"reasoning_details\":[{"
                       "\"type\":\"reasoning.text\",\"text\":\"a\",\"signature\":\"SIG\","
                       "\"format\":\"anthropic-claude-v1\"}]}," USER,
                  ""),
             NULL);
    HAS_NOT(out, "SIG"); // another vendor's
}

static void assistants_say_what_their_texts_are_for(void) // C-014, C-143
{
    static const char body[] =
        CHAT(USER ",{\"role\":\"assistant\",\"content\":\"look\",\"tool_calls\":[{\"id\":\"c\","
                  "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]},"
                  "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"r\"},"
                  "{\"role\":\"assistant\",\"content\":\"done\",\"refusal\":\"no\"}," USER,
             CHAT_TOOLS);
    struct caps caps = { .phases = true };
    struct span out = to(FAMILY_OPENAI, body, &caps);
    HAS(out, "\"phase\":\"commentary\",\"content\":[{\"type\":\"output_text\",\"text\":\"look\","
             "\"annotations\":[]}]");
    HAS(out, "\"phase\":\"final_answer\",\"content\":[{\"type\":\"output_text\",\"text\":\"done\","
             "\"annotations\":[]},{\"type\":\"refusal\",\"refusal\":\"no\"}]");
    HAS_NOT(to(FAMILY_OPENAI, body, NULL), "phase");
}

static void the_last_turn_is_the_users(void) // C-012, P31
{
    static const char body[] = CHAT(USER ",{\"role\":\"assistant\",\"content\":\"Once\"}", "");
    struct caps caps = { .prefill = true };
    HAS(to(FAMILY_OPENAI, body, NULL), "Continue exactly where the last message stops.");
    EXPECT_SPAN(losses_adjusted(&losses), "messages[1]=continue");
    HAS_NOT(to(FAMILY_OPENAI, body, &caps), "Continue");
}

static void json_is_asked_for_in_words(void) // C-117, C-137
{
    static const char format[] = ",\"response_format\":{\"type\":\"json_object\"}";
    char body[1 * KIB];
    snprintf(body, sizeof(body), CHAT(USER, "%s"), format);
    struct span out = to(FAMILY_OPENAI, body, NULL);
    HAS(out, "\"instructions\":\"Answer with one JSON object and nothing else.\"");
    HAS(out, "\"text\":{\"format\":{\"type\":\"json_object\"}}");
    snprintf(body, sizeof(body),
             CHAT(USER ",{\"role\":\"assistant\",\"content\":\"x\"},{\"role\":\"user\",\"content\":"
                       "\"as JSON\"}",
                  "%s"),
             format);
    HAS(to(FAMILY_OPENAI, body, NULL), "\"instructions\""); // the beginning stays as it was
    snprintf(body, sizeof(body), CHAT("{\"role\":\"user\",\"content\":\"as Json\"}", "%s"), format);
    HAS_NOT(to(FAMILY_OPENAI, body, NULL), "\"instructions\"");
}

static void schemas_are_strict_if_they_can_be(void) // C-120
{
    static const char strict[] =
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},"
        "\"required\":[\"a\"],\"additionalProperties\":false}";
    static const char loose[] = "{\"type\":\"object\",\"properties\":{\"a\":{}}}";
    for (unsigned i = 0; i < 2; i++) {
        char body[1 * KIB];
        snprintf(body, sizeof(body),
                 "{\"model\":\"m\",\"max_tokens\":100,\"messages\":[" USER "],\"output_config\":{"
                 "\"format\":{\"type\":\"json_schema\",\"schema\":%s}}}",
                 i == 0 ? strict : loose);
        struct span out = to(FAMILY_ANTHROPIC, body, NULL);
        HAS(out, "\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"response\"");
        HAS(out, i == 0 ? "\"strict\":true" : "\"strict\":false");
    }
}

static void marks_for_caches_stay_on_their_parts(void)
{
    struct span out = to(FAMILY_OPENAI,
                         CHAT("{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"S\","
                              "\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"}}]}," USER,
                              ""),
                         NULL);
    HAS(out, "{\"type\":\"message\",\"role\":\"developer\",\"content\":[{\"type\":\"input_text\","
             "\"text\":\"S\",\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"}}]}");
    HAS_NOT(out, "\"instructions\"");
}

static void people_stay_unknown_to_others(void) // C-114
{
    struct span out = to(FAMILY_ANTHROPIC,
                         "{\"model\":\"m\",\"max_tokens\":100,\"messages\":[" USER
                         "],\"metadata\":{\"user_id\":\"alice\"},\"service_tier\":"
                         "\"standard_only\"}",
                         NULL);
    HAS(out, "\"safety_identifier\":\"");
    HAS_NOT(out, "alice");
    HAS(out, "\"service_tier\":\"default\"");
}

#define GROWN_CALLS                                                                              \
    ",{\"role\":\"assistant\",\"content\":\"look\",\"tool_calls\":[{\"id\":\"c\",\"type\":"      \
    "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"d:1\",\"type\":" \
    "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"[1]\"}}]},{\"role\":\"tool\","    \
    "\"tool_call_id\":\"c\",\"content\":\"r\"},{\"role\":\"tool\",\"tool_call_id\":\"d:1\","     \
    "\"content\":\"\"}"
#define GROWN_SYSTEM                                                                         \
    ",{\"role\":\"assistant\",\"content\":\"\"},{\"role\":\"system\",\"content\":\"late\"}," \
    "{\"role\":\"user\",\"content\":\"two\"}"

// A conversation that grew begins with the same bytes (C-137), and the same one is the same bytes
// (C-135).
static void conversations_only_grow(void)
{
    static const char *const turns[] = {
        "{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"one\"}",
        GROWN_CALLS,
        GROWN_SYSTEM,
        ",{\"role\":\"assistant\",\"content\":\"x \"},{\"role\":\"user\",\"content\":\"three\"}",
    };
    static char messages[4 * KIB], body[8 * KIB], before[8 * KIB];
    size_t before_len = 0;
    messages[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(turns); i++) {
        strncat(messages, turns[i], sizeof(messages) - strlen(messages) - 1);
        snprintf(body, sizeof(body), CHAT("%s", CHAT_TOOLS), messages);
        struct span out = to(FAMILY_OPENAI, body, NULL);
        EXPECT(out.len > before_len);
        // All but the brackets that close it.
        EXPECT(before_len == 0 || memcmp(out.ptr, before, before_len - 2) == 0);
        memcpy(before, out.ptr, out.len);
        before_len = out.len;
        out = to(FAMILY_OPENAI, body, NULL);
        EXPECT(span_eq(out, span_of(before, before_len)));
    }
}

TEST_MAIN(TEST(items_become_turns), TEST(content_has_many_kinds),
          TEST(what_is_stored_elsewhere_is_refused), TEST(wrong_types_are_refused_with_their_path),
          TEST(what_others_cannot_do_is_said), TEST(settings_find_their_places),
          TEST(tools_are_flat), TEST(envelopes_go_back_to_their_vendor),
          TEST(parameters_come_first_and_are_fitted), TEST(tools_say_that_they_are_not_strict),
          TEST(results_follow_their_calls), TEST(thoughts_go_with_what_came_of_them),
          TEST(assistants_say_what_their_texts_are_for), TEST(the_last_turn_is_the_users),
          TEST(json_is_asked_for_in_words), TEST(schemas_are_strict_if_they_can_be),
          TEST(marks_for_caches_stay_on_their_parts), TEST(people_stay_unknown_to_others),
          TEST(conversations_only_grow))
