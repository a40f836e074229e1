// Answers in Gemini's format: streams and whole ones, read and written.
#include "gemini_rig.h"

#include "../../src/convert/base64.h"
#include "../../src/convert/compact.h"
#include "../../src/convert/offsets.h"

#define CHUNK(parts) "{'candidates':[{'content':{'role':'model','parts':[" parts "]},'index':0}]}"
#define LAST(reason)                                                                           \
    "{'candidates':[{'content':{'role':'model','parts':[{'text':''}]},'finishReason':'" reason \
    "','index':0}],'usageMetadata':{'promptTokenCount':9,'candidatesTokenCount':2}}"

static struct decode decode;
static enum wire_end ended;

// A stream of one format, its events' data given one after another, for a client of another.
static const char *stream(enum wire_family from, enum wire_family to, const char *const *events,
                          bool json_array)
{
    static struct encode encode;
    struct wire_stream wire;
    struct answer_facts facts = rig_facts();
    struct sink out = rig_sink();
    facts.json_array = json_array;
    wire_stream_init(&wire, wire_get(rig_wire(from)), false);
    decode_init(&decode, converter_of(from), &wire, &chunks, encode_put, &encode);
    encode_init(&encode, converter_of(to), &facts, &out, &chunks, 4 * MIB);
    for (size_t i = 0; events[i] != NULL; i++) {
        static char block[16 * KIB];
        struct wire_event event;
        struct sse_event sse;
        snprintf(block, sizeof(block), "data: %s\n\n", rig_json(events[i]));
        wire_stream_event(&wire, span_str(block), &event);
        EXPECT(sse_parse(span_str(block), i == 0, NULL, 0, &sse));
        EXPECT(decode_feed(&decode, &sse, &event));
    }
    ended = wire_stream_end(&wire);
    decode_end(&decode);
    const struct usage usage = usage_normal(&wire.told, wire.wire->rule);
    encode_end(&encode, &usage);
    EXPECT(!encode.failed);
    encode_fini(&encode);
    decode_fini(&decode);
    return rig_text(&out);
}

#define STREAM(from, to, ...) stream(from, to, (const char *const[]){ __VA_ARGS__, NULL }, false)
#define TO_CHAT(...) STREAM(FAMILY_GEMINI, FAMILY_OPENAI, __VA_ARGS__)
#define TO_MESSAGES(...) STREAM(FAMILY_GEMINI, FAMILY_ANTHROPIC, __VA_ARGS__)
#define FROM_CHAT(...) STREAM(FAMILY_OPENAI, FAMILY_GEMINI, __VA_ARGS__)
#define FROM_MESSAGES(...) STREAM(FAMILY_ANTHROPIC, FAMILY_GEMINI, __VA_ARGS__)

// A whole answer of one format for a client of another; NULL if it is no answer.
static const char *whole(enum wire_family from, enum wire_family to, const char *body)
{
    static char in[16 * KIB];
    static struct completion completion;
    struct json_slice root, made;
    struct answer_facts facts = rig_facts();
    snprintf(in, sizeof(in), "%s", rig_json(body));
    EXPECT(json_check(span_str(in), &root));
    completion_init(&completion, &chunks, 4 * MIB);
    bool read = converter_of(from)->read_whole(&completion, root);
    struct sink out = rig_sink();
    if (read)
        converter_of(to)->write_whole(&completion, &facts, &out);
    completion_fini(&completion);
    EXPECT(!read || json_check(span_of(rig_out, (size_t)(out.at - rig_out)), &made));
    return read ? rig_text(&out) : NULL;
}

static unsigned times(const char *text, const char *part)
{
    unsigned count = 0;
    part = rig_json(part);
    for (text = strstr(text, part); text != NULL; text = strstr(text + 1, part))
        count++;
    return count;
}

// --- reading streams ---

static void texts_and_thoughts_are_told_apart(void)
{
    const char *made = TO_CHAT(CHUNK("{'text':'Hm','thought':true}"),
                               CHUNK("{'text':'A'},{'text':''},{'text':'B'}"), LAST("STOP"));
    EXPECT_EQ(ended, WIRE_END_COMPLETE);
    EXPECT_HAS(made, "{'reasoning_content':'Hm'}");
    EXPECT_HAS(made, "{'content':'A'}");
    EXPECT_HAS(made, "{'content':'B'}");
    EXPECT_EQ(times(made, "'content':"), 3); // with the role's
    EXPECT_HAS(made, "'finish_reason':'stop'");
}

// C-144: what signs a text is kept for Chat, and opens no block of its own elsewhere
static void signatures_stay_with_what_they_sign(void)
{
#define SIGNED                                                     \
    CHUNK("{'text':'Hm','thought':true}"), CHUNK("{'text':'Hi'}"), \
        CHUNK("{'text':'','thoughtSignature':'VEI='}"), LAST("STOP")
    EXPECT_HAS(TO_CHAT(SIGNED), "'reasoning_details':[{'type':'reasoning.encrypted','data':"
                                "'VEI=','format':'google-gemini-v1','index':0}]");
    EXPECT_EQ(times(TO_MESSAGES(SIGNED), "'content_block':"), 2);
    // On a thought, and on a text that is none while a thought is open, they close it.
    const char *made = TO_MESSAGES(CHUNK("{'text':'Hm','thought':true,'thoughtSignature':'QQ=='}"),
                                   CHUNK("{'text':'So','thought':true}"),
                                   CHUNK("{'text':'','thoughtSignature':'QQ=='}"), LAST("STOP"));
    EXPECT_EQ(times(made, "'content_block':"), 2);
    EXPECT_EQ(times(made, "signature_delta"), 2);
    // On a call they close the thought before it, or stand in one of their own.
    made =
        TO_MESSAGES(CHUNK("{'text':'Hm','thought':true}"),
                    CHUNK("{'functionCall':{'name':'f'},'thoughtSignature':'QQ=='}"), LAST("STOP"));
    EXPECT_EQ(times(made, "'content_block':"), 2);
    made = TO_MESSAGES(CHUNK("{'functionCall':{'name':'f'},'thoughtSignature':'QQ=='},"
                             "{'functionCall':{'name':'g'}}"),
                       LAST("STOP"));
    EXPECT_EQ(times(made, "'content_block':"), 3);
}

// C-022, C-023, C-027, C-032: calls that end with STOP, in parts of one chunk and of several
static void calls_end_an_answer(void)
{
    const char *made =
        TO_CHAT(CHUNK("{'functionCall':{'id':'x','name':'f','args':{ 'a' : [1, 'b c'] }}},"
                      "{'functionCall':{'name':'g'}}"),
                CHUNK("{'functionCall':{'name':'f','args':{}}}"), LAST("STOP"));
    EXPECT_HAS(made, "{'index':0,'id':'x','type':'function','function':{'name':'f',");
    EXPECT_HAS(made, "{'index':0,'function':{'arguments':'{\\\"a\\\":[1,\\\"b c\\\"]}'}}");
    EXPECT_HAS(made, "{'index':1,'function':{'arguments':'{}'}}");
    EXPECT_HAS(made, "{'index':2,'id':'call_");
    EXPECT_HAS(made, "'finish_reason':'tool_calls'");
}

// Arguments that are long and have white space come in pieces that tear no character.
static void long_arguments_are_compact(void)
{
    static char event[12 * KIB], want[12 * KIB];
    char *at = event + sprintf(event, "%s",
                               "{'candidates':[{'finishReason':'STOP','content':{'parts':[{"
                               "'functionCall':{'name':'f','args':{'a': '");
    for (int i = 0; i < 3001; i++)
        at += sprintf(at, "%s", "\xc3\xa9");
    sprintf(at, "%s", "', 'b': 1}}}]}}]}");
    const char *made = STREAM(FAMILY_GEMINI, FAMILY_GEMINI, event);
    at = want + sprintf(want, "%s", "'args':{'a':'");
    for (int i = 0; i < 3001; i++)
        at += sprintf(at, "%s", "\xc3\xa9");
    sprintf(at, "%s", "','b':1}");
    EXPECT(strstr(made, rig_json(want)) != NULL);
    // Wherever a character stands, it is kept whole.
    for (int shift = 0; shift < 64; shift++) {
        char part[512], args[256];
        snprintf(args, sizeof(args), "'args':{'%.*s':'%s'}", shift,
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                 "\xf0\x9f\x98\x80\xe4\xb8\xad\xc3\xa9x");
        snprintf(part, sizeof(part), CHUNK("{'functionCall':{'name':'f',%s}}"), args);
        EXPECT_HAS(STREAM(FAMILY_GEMINI, FAMILY_GEMINI, part, LAST("STOP")), args);
    }
}

// C-034b
static void arguments_in_pieces_are_put_together(void)
{
#define BEGIN "{'functionCall':{'name':'f','willContinue':true}}"
#define PIECE(path, value, more) \
    "{'functionCall':{'partialArgs':[{'jsonPath':'" path "'," value "}]" more "}}"
#define MORE ",'willContinue':true"
    const char *made =
        STREAM(FAMILY_GEMINI, FAMILY_GEMINI, CHUNK(BEGIN),
               CHUNK(PIECE("$.q", "'stringValue':'Par','willContinue':true", MORE)),
               CHUNK(PIECE("$.q", "'stringValue':'is \\\"x'", MORE)),
               CHUNK("{'functionCall':{'willContinue':true}}"),
               CHUNK(PIECE("$.list[0].a", "'numberValue':0.5", MORE)),
               CHUNK(PIECE("$.list[0].b", "'boolValue':false", MORE)),
               CHUNK(PIECE("$.list[1].a", "'nullValue':'NULL_VALUE'", MORE)),
               CHUNK(PIECE("$.list[1].c[0]", "'numberValue':1", MORE)),
               CHUNK(PIECE("$.list[1].c[1]", "'numberValue':2", MORE)),
               CHUNK(PIECE("$[\\\"k.e y\\\"].z", "'stringValue':'e','willContinue':true", MORE)),
               CHUNK("{'functionCall':{}}"), LAST("STOP"));
    EXPECT_HAS(made, "'args':{'q':'Paris \\\"x','list':[{'a':0.5,'b':false},"
                     "{'a':null,'c':[1,2]}],'k.e y':{'z':'e'}}");
    // The end may be said with the last piece, by another part, or by the end of the answer.
    EXPECT_HAS(STREAM(FAMILY_GEMINI, FAMILY_GEMINI, CHUNK(BEGIN),
                      CHUNK(PIECE("$.a", "'numberValue':1", "")), LAST("STOP")),
               "'args':{'a':1}");
    made = TO_CHAT(CHUNK(BEGIN), CHUNK(BEGIN), CHUNK(PIECE("$.a", "'numberValue':1", MORE)),
                   LAST("STOP"));
    EXPECT_HAS(made, "{'index':0,'function':{'arguments':'{}'}}");
    EXPECT_HAS(made, "{'index':1,'function':{'arguments':'{\\\"a\\\":1'}}");
    EXPECT_HAS(made, "{'index':1,'function':{'arguments':'}'}}");
    // C-043: not where the length cut it
    made = STREAM(FAMILY_GEMINI, FAMILY_GEMINI, CHUNK(BEGIN),
                  CHUNK(PIECE("$.a", "'stringValue':'x','willContinue':true", MORE)),
                  LAST("MAX_TOKENS"));
    EXPECT_HAS_NOT(made, "functionCall");
    EXPECT_HAS(made, "'finishReason':'MAX_TOKENS'");
}

// Paths that make no sense fail the answer instead of inventing arguments.
static void senseless_paths_fail(void)
{
    static const char *const paths[] = {
        "$", "", "$[0]", "$.a[x]", "$.a[", "$..b", "$['a", "$.a.b"
    };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        char event[512];
        snprintf(event, sizeof(event),
                 CHUNK("{'functionCall':{'partialArgs':[{'jsonPath':'$.a','numberValue':1},"
                       "{'jsonPath':%s%s%s,'numberValue':1}],'willContinue':true}}"),
                 "\"", paths[i], "\"");
        struct wire_stream wire;
        static struct completion completion;
        struct json_slice root;
        static char text[1 * KIB];
        snprintf(text, sizeof(text), "%s",
                 rig_json(CHUNK("{'functionCall':{'name':'f','willContinue':true}}")));
        wire_stream_init(&wire, wire_get(WIRE_GEMINI), false);
        completion_init(&completion, &chunks, 1 * MIB);
        decode_init(&decode, &converter_gemini, &wire, &chunks, completion_collect, &completion);
        EXPECT(json_check(span_str(text), &root));
        converter_gemini.decode_event(&decode, root);
        EXPECT(!decode.failed);
        for (char *at = event; *at != '\0'; at++) // but for quotes inside a path
            if (*at == '\'' && !(at > event && (at[-1] == '[' || at[1] == ']')))
                *at = '"';
        if (json_check(span_str(event), &root))
            converter_gemini.decode_event(&decode, root);
        EXPECT(decode.failed);
        decode_fini(&decode);
        completion_fini(&completion);
    }
}

// The conversion rules, 3.9; C-047
static void reasons_have_their_meaning(void)
{
    static const struct {
        const char *reason, *word;
        bool broken;
    } cases[] = {
        { "STOP", "stop", false },
        { "MAX_TOKENS", "length", false },
        { "CONTINUATION", "length", false },
        { "SAFETY", "content_filter", false },
        { "RECITATION", "content_filter", false },
        { "LANGUAGE", "content_filter", false },
        { "BLOCKLIST", "content_filter", false },
        { "PROHIBITED_CONTENT", "content_filter", false },
        { "SPII", "content_filter", false },
        { "IMAGE_SAFETY", "content_filter", false },
        { "TOO_MANY_TOOL_CALLS", "stop", false },
        { "OTHER", "stop", false },
        { "SOMETHING_NEW", "stop", false },
        { "MALFORMED_FUNCTION_CALL", "stop", true },
        { "UNEXPECTED_TOOL_CALL", "stop", true },
        { "MISSING_THOUGHT_SIGNATURE", "stop", true },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char last[512], word[64];
        snprintf(last, sizeof(last),
                 "{'candidates':[{'content':{},'finishReason':'%s','index':0}]}", cases[i].reason);
        snprintf(word, sizeof(word), "'finish_reason':'%s'", cases[i].word);
        EXPECT_HAS(TO_CHAT(CHUNK("{'text':'x'}"), last), word);
        EXPECT_EQ(decode.broken, cases[i].broken);
    }
    (void)TO_CHAT(LAST("OTHER")); // without content it is a failure
    EXPECT(decode.broken);
    // C-048: the first one counts
    EXPECT_HAS(TO_CHAT(LAST("MAX_TOKENS"), LAST("STOP")), "'finish_reason':'length'");
}

// C-046
static void refused_prompts_are_filtered_answers(void)
{
#define BLOCKED                                                                              \
    "{'promptFeedback':{'blockReason':'SAFETY','blockReasonMessage':'No.'},'usageMetadata':" \
    "{'promptTokenCount':8}}"
    const char *made = TO_CHAT(BLOCKED);
    EXPECT_EQ(ended, WIRE_END_COMPLETE);
    EXPECT(!decode.broken);
    EXPECT_HAS(made, "'delta':{'refusal':'No.'}");
    EXPECT_HAS(made, "'finish_reason':'content_filter'");
    made = TO_MESSAGES(BLOCKED);
    EXPECT_HAS_NOT(made, "content_block");
    EXPECT_HAS(made, "'stop_reason':'refusal'");
    EXPECT_HAS(made, "'explanation':'No.'");
    EXPECT_HAS(whole(FAMILY_GEMINI, FAMILY_OPENAI, BLOCKED), "'content':null,'refusal':'No.'");
    EXPECT_HAS(whole(FAMILY_GEMINI, FAMILY_ANTHROPIC, BLOCKED), "'content':[]");
    EXPECT(whole(FAMILY_GEMINI, FAMILY_OPENAI, "{}") == NULL);
    EXPECT(whole(FAMILY_GEMINI, FAMILY_OPENAI,
                 "{'candidates':[{'finishReason':"
                 "'MALFORMED_FUNCTION_CALL'}]}") == NULL);
}

// C-091
static void candidates_are_kept_apart(void)
{
#define OF(index, parts) "{'candidates':[{'content':{'parts':[" parts "]},'index':" index "}]}"
    const char *made = TO_CHAT(OF("0", "{'text':'a'}"), OF("1", "{'text':'b','thought':true}"),
                               OF("1", "{'text':'c'}"), OF("0", "{'text':'d'}"),
                               "{'candidates':[{'index':1,'finishReason':'MAX_TOKENS'},"
                               "{'index':0,'finishReason':'STOP'}]}");
    EXPECT_HAS(made, "{'index':1,'delta':{'content':'c'}");
    EXPECT_HAS(made, "{'index':0,'delta':{'content':'d'}");
    EXPECT_HAS(made, "{'index':1,'delta':{},'logprobs':null,'finish_reason':'length'");
    EXPECT_HAS(made, "{'index':0,'delta':{},'logprobs':null,'finish_reason':'stop'");
    EXPECT_EQ(times(TO_MESSAGES(OF("0", "{'text':'a'}"), OF("1", "{'text':'b'}"), LAST("STOP")),
                    "text_delta"),
              1);
    EXPECT_HAS(TO_CHAT(OF("99", "{'text':'a'}"), LAST("STOP")), "'finish_reason':'stop'");
}

// C-090, C-101
static void other_parts_pass_or_are_counted(void)
{
    const char *made =
        TO_CHAT(CHUNK("{'inlineData':{'mimeType':'image/png','data':'aGk='}}"), LAST("STOP"));
    EXPECT_HAS(made, "'images':[{'type':'image_url','image_url':{'url':'data:image/png;base64,"
                     "aGk='}}]");
    EXPECT_HAS(STREAM(FAMILY_GEMINI, FAMILY_GEMINI,
                      CHUNK("{'inlineData':{'mimeType':'image/png','data':'aGk='}}"), LAST("STOP")),
               "{'inlineData':{'mimeType':'image/png','data':'aGk='}}");
    made =
        TO_CHAT(CHUNK("{'executableCode':{'code':'1'}},{'newPart':{}},{'text':'x'}"), LAST("STOP"));
    EXPECT_HAS(made, "{'content':'x'}");
    EXPECT_EQ(decode.unknown, 2);
}

// The conversion rules, 3.11; C-127, C-148: places are bytes there and characters here, also when
// the text before them was known by its likeness.
static void citations_find_their_place(void)
{
#define GROUND(from, to)                                                                       \
    "{'candidates':[{'content':{'parts':[{'text':''}]},'finishReason':'STOP','index':0,"       \
    "'groundingMetadata':{'groundingChunks':[{'web':{'uri':'https://a.example','title':'A'}}," \
    "{'web':{'uri':'https://b.example'}}],'groundingSupports':[{'segment':{'startIndex':" from \
    ",'endIndex':" to ",'text':'t'},'groundingChunkIndices':[1,0,7]}]}}]}"
    const char *made =
        TO_CHAT(CHUNK("{'text':'\xc3\xa9 '}"), CHUNK("{'text':'\\u00e9\\n '}"),
                CHUNK("{'text':'abc '}"), CHUNK("{'text':'\xf0\x9f\x98\x80x'}"), GROUND("3", "15"));
    EXPECT_HAS(made, "{'url':'https://b.example','title':'','start_index':2,'end_index':10}");
    EXPECT_HAS(made, "{'url':'https://a.example','title':'A','start_index':2,'end_index':10}");
    EXPECT_EQ(times(made, "url_citation'}"), 0);
    EXPECT_EQ(times(made, "'type':'url_citation'"), 2);
    // And the other way.
    made = STREAM(FAMILY_GEMINI, FAMILY_GEMINI, CHUNK("{'text':'\xc3\xa9 \xc3\xa9\\n '}"),
                  CHUNK("{'text':'abc'}"), GROUND("3", "7"));
    EXPECT_HAS(made, "'groundingChunks':[{'web':{'uri':'https://b.example'}},{'web':{'uri':"
                     "'https://a.example','title':'A'}}],'groundingSupports':[{'segment':"
                     "{'startIndex':3,'endIndex':7},'groundingChunkIndices':[0]},{'segment':"
                     "{'startIndex':3,'endIndex':7},'groundingChunkIndices':[1]}]");
    EXPECT_HAS(whole(FAMILY_GEMINI, FAMILY_GEMINI,
                     "{'candidates':[{'content':{'parts':[{'text':'\xc3\xa9 abc'}]},"
                     "'finishReason':'STOP','citationMetadata':{'citations':[{'startIndex':2,"
                     "'endIndex':5,'uri':'https://c.example'},{'license':'x'}]}}]}"),
               "'groundingSupports':[{'segment':{'startIndex':3,'endIndex':6}");
    // What says no place is about the whole block.
    made = FROM_MESSAGES(
        "{'type':'message_start','message':{'id':'msg_1','usage':{'input_tokens':1}}}",
        "{'type':'content_block_start','index':0,'content_block':{'type':'text','text':''}}",
        "{'type':'content_block_delta','index':0,'delta':{'type':'text_delta','text':'ab'}}",
        "{'type':'content_block_stop','index':0}",
        "{'type':'content_block_start','index':1,'content_block':{'type':'text','text':''}}",
        "{'type':'content_block_delta','index':1,'delta':{'type':'citations_delta','citation':"
        "{'type':'web_search_result_location','url':'https://d.example','title':'D'}}}",
        "{'type':'content_block_delta','index':1,'delta':{'type':'text_delta','text':'\xc3\xa9'}}",
        "{'type':'content_block_stop','index':1}",
        "{'type':'message_delta','delta':{'stop_reason':'end_turn'},'usage':{'output_tokens':1}}",
        "{'type':'message_stop'}");
    EXPECT_HAS(made, "{'segment':{'startIndex':2,'endIndex':4},'groundingChunkIndices':[0]}");
}

// The conversion rules, 3.12; C-126
static void probabilities_pass_both_ways(void)
{
#define PROBABLE                                                                                 \
    "{'candidates':[{'content':{'parts':[{'text':'\xc3\xa9'}]},'finishReason':'STOP','index':0," \
    "'logprobsResult':{'chosenCandidates':[{'token':'\xc3\xa9','tokenId':5,'logProbability':"    \
    "-0.5},{'token':'b','logProbability':-1}],'topCandidates':[{'candidates':[{'token':'e',"     \
    "'logProbability':-2}]},{'candidates':[]}]}}]}"
    const char *made = TO_CHAT(PROBABLE);
    EXPECT_HAS(made, "{'token':'\xc3\xa9','logprob':-0.5,'bytes':[195,169],'top_logprobs':["
                     "{'token':'e','logprob':-2,'bytes':[101]}]}");
    EXPECT_HAS(whole(FAMILY_GEMINI, FAMILY_OPENAI, PROBABLE),
               "'logprobs':{'content':[{'token':'\xc3\xa9','logprob':-0.5,'bytes':[195,169],"
               "'top_logprobs':[{'token':'e','logprob':-2,'bytes':[101]}]},{'token':'b',");
    static const char back[] =
        "'logprobsResult':{'chosenCandidates':[{'token':'\xc3\xa9','logProbability':-0.5},"
        "{'token':'b','logProbability':-1}],'topCandidates':[{'candidates':[{'token':'e',"
        "'logProbability':-2}]},{'candidates':[]}]}";
    EXPECT_HAS(STREAM(FAMILY_GEMINI, FAMILY_GEMINI, PROBABLE), back);
    EXPECT_HAS(whole(FAMILY_GEMINI, FAMILY_GEMINI, PROBABLE), back);
}

// --- writing streams ---

#define CHAT(delta) "{'id':'c1','choices':[{'index':0,'delta':" delta ",'finish_reason':null}]}"
#define CHAT_LAST(reason) \
    "{'id':'c1','choices':[{'index':0,'delta':{},'finish_reason':'" reason "'}]}", "[DONE]"
#define CHAT_CALL(index, id, name, args)                                             \
    CHAT("{'tool_calls':[{'index':" index ",'id':'" id "','function':{'name':'" name \
         "','arguments':'" args "'}}]}")

// What the vendor's own clients take: nothing but lines of data, each followed by a blank one.
static void clients_get_only_lines_of_data(void)
{
    const char *made =
        FROM_CHAT(CHAT("{'role':'assistant','content':''}"), CHAT("{'reasoning_content':'Hm'}"),
                  CHAT("{'content':'a\\n'}"), CHAT_CALL("0", "c", "f", "{\\n \\'a\\': 1\\n}"),
                  CHAT_LAST("tool_calls"));
    const char *at = made;
    unsigned events = 0;
    for (; *at != '\0'; events++) {
        EXPECT(strncmp(at, "data: {", 7) == 0);
        const char *end = strchr(at, '\n');
        EXPECT(end != NULL && end[1] == '\n');
        at = end + 2;
    }
    EXPECT_EQ(events, 4);
    EXPECT_HAS(made, "{'candidates':[{'content':{'role':'model','parts':[{'text':'Hm','thought':"
                     "true}]},'index':0}],'modelVersion':'m','responseId':'r1'}");
    EXPECT_HAS(made, "{'functionCall':{'id':'c','name':'f','args':{'a':1}}}");
    EXPECT_EQ(times(made, "finishReason"), 1);
    EXPECT_EQ(times(made, "usageMetadata"), 1);
}

// The framing without events.
static void clients_without_events_get_one_list(void)
{
    static const char *const events[] = { CHAT("{'content':'a'}"), CHAT("{'content':'b'}"),
                                          CHAT_LAST("stop"), NULL };
    const char *made = stream(FAMILY_OPENAI, FAMILY_GEMINI, events, true);
    struct json_slice root, element;
    unsigned count = 0;
    EXPECT(json_check(span_str(made), &root) && root.kind == JK_ARRAY);
    struct json_iter iter = json_elements_of(root);
    while (json_element_next(&iter, &element))
        count += json_get(element, SPAN("candidates")).kind == JK_ARRAY;
    EXPECT_EQ(count, 3);
    EXPECT_HAS_NOT(made, "data:");
}

// C-025, C-042, C-043
static void calls_are_whole_or_not_there(void)
{
    const char *made = FROM_CHAT(CHAT_CALL("0", "c", "f", "[1"), CHAT_LAST("tool_calls"));
    EXPECT_HAS_NOT(made, "functionCall'");
    EXPECT_HAS(made, "'finishReason':'MALFORMED_FUNCTION_CALL'");
    made = FROM_CHAT(CHAT_CALL("0", "c", "f", "{\\'a\\':"), CHAT_LAST("length"));
    EXPECT_HAS_NOT(made, "functionCall");
    EXPECT_HAS(made, "'finishReason':'MAX_TOKENS'");
    // C-021: one after another, in the order in which they began
    made = FROM_CHAT(CHAT_CALL("0", "a", "f", "{\\'x\\':"), CHAT_CALL("1", "b", "g", "{}"),
                     CHAT("{'tool_calls':[{'index':0,'function':{'arguments':'1}'}}]}"),
                     CHAT_LAST("tool_calls"));
    EXPECT_HAS(made, "'name':'f','args':{'x':1}");
    EXPECT(strstr(made, "\"f\"") < strstr(made, "\"g\""));
    made = FROM_CHAT(CHAT_CALL("0", "a", "f", "{}"), CHAT("{'content':'after'}"),
                     CHAT_LAST("tool_calls"));
    EXPECT(strstr(made, "functionCall") < strstr(made, "after"));
}

// C-045, C-049: an answer ends with one of the format's own words
static void ends_have_the_formats_words(void)
{
    static const struct {
        const char *reason, *word;
    } cases[] = { { "stop", "STOP" },
                  { "length", "MAX_TOKENS" },
                  { "content_filter", "SAFETY" },
                  { "tool_calls", "STOP" } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char last[256], want[128];
        snprintf(last, sizeof(last),
                 "{'id':'c','choices':[{'index':0,'delta':{},'finish_reason':'%s'}]}",
                 cases[i].reason);
        snprintf(want, sizeof(want),
                 "'parts':[{'text':''}]},'finishReason':'%s','index':0}],'usageMetadata':{",
                 cases[i].word);
        EXPECT_HAS(FROM_CHAT(CHAT("{'content':'x'}"), last, "[DONE]"), want);
    }
    EXPECT_HAS(FROM_CHAT(CHAT("{'refusal':'I will not'}"), CHAT_LAST("stop")),
               "{'text':'I will not'}");
    const char *made = FROM_CHAT("{'id':'c','choices':[{'index':1,'delta':{'content':'b'}},"
                                 "{'index':0,'delta':{'content':'a'}}]}",
                                 "{'id':'c','choices':[{'index':0,'delta':{},'finish_reason':"
                                 "'stop'},{'index':1,'delta':{},'finish_reason':'length'}]}",
                                 "[DONE]");
    EXPECT_HAS(made, "[{'text':'b'}]},'index':1}");
    EXPECT_HAS(made, "'finishReason':'MAX_TOKENS','index':1}],'usageMetadata'");
    EXPECT_EQ(times(made, "usageMetadata"), 1);
}

// C-050, C-054
static void usage_is_told_in_the_formats_sums(void)
{
    EXPECT_HAS(FROM_CHAT(CHAT("{'content':'x'}"), CHAT_LAST("stop")),
               "'usageMetadata':{'promptTokenCount':0,'candidatesTokenCount':0,"
               "'totalTokenCount':0}");
    EXPECT_HAS(FROM_CHAT(CHAT("{'content':'x'}"),
                         "{'id':'c','choices':[{'index':0,'delta':{},'finish_reason':'stop'}],"
                         "'usage':{'prompt_tokens':20,'completion_tokens':9,"
                         "'prompt_tokens_details':{'cached_tokens':5},"
                         "'completion_tokens_details':{'reasoning_tokens':3}}}",
                         "[DONE]"),
               "{'promptTokenCount':20,'cachedContentTokenCount':5,'candidatesTokenCount':6,"
               "'thoughtsTokenCount':3,'totalTokenCount':29}");
}

// --- thoughts of other vendors that travel through a client of this format ---

static const char *signature_in(const char *made, char *room)
{
    const char *mark = rig_json("'thoughtSignature':'");
    const char *at = strstr(made, mark);
    EXPECT(at != NULL);
    if (at == NULL)
        return "";
    at += strlen(mark);
    size_t len = strcspn(at, "\"");
    memcpy(room, at, len);
    room[len] = '\0';
    return room;
}

static const char *render(const char *body, enum wire_family to)
{
    static char in[16 * KIB];
    static struct prompt prompt;
    struct prompt_parse parse;
    struct losses losses;
    struct json_slice root;
    snprintf(in, sizeof(in), "%s", rig_json(body));
    losses_init(&losses, false);
    EXPECT(json_check(span_str(in), &root));
    prompt_begin(&parse, &prompt, FAMILY_GEMINI, span_str(in), rig_scratch(), &losses);
    parse.key = rig_key;
    EXPECT(converter_of(FAMILY_GEMINI)->parse(&parse, root));
    const struct caps caps = { .reasons = REASONS_ADAPTIVE };
    struct render render = { .prompt = &prompt, .caps = &caps, .model = SPAN("m") };
    render.losses = &losses;
    render.scratch = &rig_pad.scratch;
    render.key = rig_key;
    struct sink out = rig_sink();
    EXPECT(converter_of(to)->render(&render, &out));
    return rig_text(&out);
}

#define THINKS(index, text, signature)                                                       \
    "{'type':'content_block_start','index':" index ",'content_block':{'type':'thinking',"    \
    "'thinking':'','signature':''}}",                                                        \
        "{'type':'content_block_delta','index':" index ",'delta':{'type':'thinking_delta',"  \
        "'thinking':'" text "'}}",                                                           \
        "{'type':'content_block_delta','index':" index ",'delta':{'type':'signature_delta'," \
        "'signature':'" signature "'}}",                                                     \
        "{'type':'content_block_stop','index':" index "}"
#define SAYS(index, text)                                                                    \
    "{'type':'content_block_start','index':" index ",'content_block':{'type':'text','text':" \
    "'" text "'}}",                                                                          \
        "{'type':'content_block_stop','index':" index "}"
#define ANSWER(...)                                                                              \
    "{'type':'message_start','message':{'id':'msg_1','usage':{'input_tokens':1}}}", __VA_ARGS__, \
        "{'type':'message_delta','delta':{'stop_reason':'tool_use'},'usage':"                    \
        "{'output_tokens':1}}",                                                                  \
        "{'type':'message_stop'}"
#define USES(index)                                                                       \
    "{'type':'content_block_start','index':" index ",'content_block':{'type':'tool_use'," \
    "'id':'t','name':'f','input':{}}}",                                                   \
        "{'type':'content_block_stop','index':" index "}"
#define HISTORY                                                                              \
    "{'generationConfig':{'thinkingConfig':{'thinkingLevel':'HIGH'}},'contents':[{'parts':[" \
    "{'text':'x'}]},{'role':'model','parts':[%s{'text':'Hi'},{'functionCall':{'id':'t',"     \
    "'name':'f','args':{}},'thoughtSignature':'%s'}]},{'parts':[{'functionResponse':{'id':"  \
    "'t','name':'f','response':{'output':'1'}}}]}]}"

// Conversion rules 3.5 and 5.6; C-064, C-065, C-067, C-150: the thought comes back with its text to
// the place where it was, whether the client kept the visible thought or not.
static void thoughts_of_others_come_back_in_place(void)
{
    static char signature[4 * KIB], body[8 * KIB];
    const char *made =
        FROM_MESSAGES(ANSWER(THINKS("0", "Hm", "SIG/+"), SAYS("1", "Hi"), USES("2")));
    EXPECT_HAS(made, "{'text':'Hm','thought':true}");
    EXPECT_EQ(times(made, "thoughtSignature"), 1);
    (void)signature_in(made, signature);
    static const char want[] = "{'role':'assistant','content':[{'type':'thinking','thinking':"
                               "'Hm','signature':'SIG/+'},{'type':'text','text':'Hi'},{'type':"
                               "'tool_use','id':'t','name':'f','input':{}}]}";
    snprintf(body, sizeof(body), HISTORY, "", signature);
    EXPECT_HAS(render(body, FAMILY_ANTHROPIC), want);
    snprintf(body, sizeof(body), HISTORY, "{'text':'Hm','thought':true},", signature);
    EXPECT_HAS(render(body, FAMILY_ANTHROPIC), want);
    // Also if the thought is kept chunk by chunk.
    snprintf(body, sizeof(body), HISTORY,
             "{'text':'H','thought':true}]},{'role':'model','parts':[{'text':'m','thought':true},",
             signature);
    EXPECT_HAS(render(body, FAMILY_ANTHROPIC), want);
    // Python's client gives it back in another alphabet.
    for (char *at = signature; *at != '\0'; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
    snprintf(body, sizeof(body), HISTORY, "", signature);
    EXPECT_HAS(render(body, FAMILY_ANTHROPIC), want);
    // No other vendor gets it, and what was changed nobody.
    EXPECT_HAS_NOT(render(body, FAMILY_OPENAI), "SIG");
    EXPECT_HAS_NOT(render(body, FAMILY_GEMINI), "thoughtSignature");
    signature[strlen(signature) / 2] ^= 1;
    snprintf(body, sizeof(body), HISTORY, "", signature);
    EXPECT_HAS_NOT(render(body, FAMILY_ANTHROPIC), "'type':'thinking','thinking'");
    EXPECT_HAS_NOT(render(body, FAMILY_GEMINI), "thoughtSignature");
    // The vendor's own is left alone.
    snprintf(body, sizeof(body), HISTORY, "", "c2lnbmF0dXJl");
    EXPECT_HAS(render(body, FAMILY_GEMINI), "'args':{}},'thoughtSignature':'c2lnbmF0dXJl'}");
}

// C-066, C-069, C-092
static void several_thoughts_stay_several(void)
{
    const char *made = FROM_MESSAGES(ANSWER(
        THINKS("0", "A", "S1"), THINKS("1", "B", "S2"),
        "{'type':'content_block_start','index':2,'content_block':{'type':'redacted_thinking',"
        "'data':'XX'}}",
        "{'type':'content_block_stop','index':2}", THINKS("3", "C", "S3"), USES("4"),
        THINKS("5", "D", "S4"), SAYS("6", "Done")));
    EXPECT_EQ(times(made, "thoughtSignature"), 5);
    EXPECT_EQ(times(made, "{'text':'','thought':true,'thoughtSignature'"), 1);
    EXPECT_HAS(made, "'args':{}},'thoughtSignature'");
    EXPECT_HAS(made, "{'text':'','thoughtSignature':");
}

// C-070, and the other client's way back: a signature of this vendor's on its way through Messages.
static void own_signatures_return_byte_for_byte(void)
{
    static char history[8 * KIB], signature[4 * KIB];
    const char *made = TO_MESSAGES(
        CHUNK("{'functionCall':{'id':'t','name':'f'},'thoughtSignature':'Q2/+=='}"), LAST("STOP"));
    const char *mark = rig_json("'signature_delta','signature':'");
    const char *at = strstr(made, mark);
    EXPECT(at != NULL);
    if (at == NULL)
        return;
    at += strlen(mark);
    snprintf(signature, sizeof(signature), "%.*s", (int)strcspn(at, "\""), at);
    snprintf(history, sizeof(history),
             "{'max_tokens':9,'messages':[{'role':'user','content':'x'},{'role':'assistant',"
             "'content':[{'type':'thinking','thinking':'','signature':'%s'},{'type':'tool_use',"
             "'id':'t','name':'f','input':{}}]},{'role':'user','content':[{'type':'tool_result',"
             "'tool_use_id':'t','content':'1'}]}]}",
             signature);
    static char in[8 * KIB];
    static struct prompt prompt;
    struct prompt_parse parse;
    struct losses losses;
    struct json_slice root;
    snprintf(in, sizeof(in), "%s", rig_json(history));
    losses_init(&losses, false);
    EXPECT(json_check(span_str(in), &root));
    prompt_begin(&parse, &prompt, FAMILY_ANTHROPIC, span_str(in), rig_scratch(), &losses);
    parse.key = rig_key;
    EXPECT(converter_of(FAMILY_ANTHROPIC)->parse(&parse, root));
    const struct caps caps = { .signs_calls = true };
    struct render render = { .prompt = &prompt, .caps = &caps, .losses = &losses };
    render.scratch = &rig_pad.scratch;
    struct sink out = rig_sink();
    EXPECT(converter_of(FAMILY_GEMINI)->render(&render, &out));
    EXPECT_HAS(rig_text(&out), "{'functionCall':{'name':'f','args':{}},'thoughtSignature':"
                               "'Q2/+=='}");
}

// --- whole answers ---

// What a stream says in several events, a whole answer says in one: to other clients they are the
// same (C-094).
static void whole_answers_are_streams_at_once(void)
{
#define PARTS                                                                              \
    "{'text':'A','thought':true},{'functionCall':{'id':'c','name':'f','args':{ 'a': 1 }}," \
    "'thoughtSignature':'VEE='},{'text':'B','thought':true},{'text':'Do'},{'text':'ne',"   \
    "'thoughtSignature':'VEI='}"
#define WHOLE                                                                               \
    "{'candidates':[{'content':{'role':'model','parts':[" PARTS "]},'finishReason':'STOP'," \
    "'index':0}]}"
    EXPECT_HAS(whole(FAMILY_GEMINI, FAMILY_OPENAI, WHOLE),
               "'content':'Done','refusal':null,'reasoning_content':'AB','reasoning_details':["
               "{'type':'reasoning.encrypted','data':'VEI=','format':'google-gemini-v1','index':"
               "0}],'tool_calls':[{'id':'c','type':'function','function':{'name':'f',"
               "'arguments':'{\\\"a\\\":1}'},'extra_content':{'google':{'thought_signature':"
               "'VEE='}}}]");
    const char *made = whole(FAMILY_GEMINI, FAMILY_ANTHROPIC, WHOLE);
    EXPECT_EQ(times(made, "'type':'thinking'"), 2);
    EXPECT_HAS(made, "{'type':'text','text':'Done','citations':null}]");
    EXPECT_HAS(whole(FAMILY_GEMINI, FAMILY_GEMINI, WHOLE),
               "'parts':[{'text':'A','thought':true},{'functionCall':{'id':'c','name':'f',"
               "'args':{'a':1}},'thoughtSignature':'VEE='},{'text':'B','thought':true},"
               "{'text':'Done'},{'text':'','thoughtSignature':'VEI='}]},'finishReason':'STOP'");
    // A stream without events is a list of answers.
    EXPECT_HAS(whole(FAMILY_GEMINI, FAMILY_OPENAI,
                     "[" CHUNK("{'text':'Hel'}") "," CHUNK("{'text':'lo'}") "," LAST("STOP") "]"),
               "'content':'Hello'");
}

static void whole_answers_are_written(void)
{
#define CHAT_WHOLE(message, reason)                                                              \
    "{'choices':[{'index':0,'message':{'role':'assistant'," message "},'finish_reason':'" reason \
    "'}]}"
    EXPECT_HAS(whole(FAMILY_OPENAI, FAMILY_GEMINI, CHAT_WHOLE("'content':''", "stop")),
               "{'candidates':[{'content':{'role':'model','parts':[{'text':''}]},'finishReason':"
               "'STOP','index':0}],'usageMetadata':{");
#define CHAT_ARGS(args)                                                                \
    "'content':null,'tool_calls':[{'id':'c','type':'function','function':{'name':'f'," \
    "'arguments':'" args "'}}]"
    EXPECT_HAS(whole(FAMILY_OPENAI, FAMILY_GEMINI, CHAT_WHOLE(CHAT_ARGS("{\\n}"), "tool_calls")),
               "{'functionCall':{'id':'c','name':'f','args':{}}}");
    const char *made =
        whole(FAMILY_OPENAI, FAMILY_GEMINI, CHAT_WHOLE(CHAT_ARGS("nothing"), "tool_calls"));
    EXPECT_HAS(made, "'parts':[{'text':''}]},'finishReason':'MALFORMED_FUNCTION_CALL'"); // C-025
    made = whole(FAMILY_OPENAI, FAMILY_GEMINI, CHAT_WHOLE(CHAT_ARGS("{\\'a"), "length"));
    EXPECT_HAS(made, "'parts':[{'text':''}]},'finishReason':'MAX_TOKENS'"); // C-043
    made = whole(FAMILY_ANTHROPIC, FAMILY_GEMINI,
                 "{'content':[{'type':'redacted_thinking','data':'X'},{'type':'thinking',"
                 "'thinking':'Hm','signature':'S'},{'type':'text','text':'\xc3\xa9x','citations':["
                 "{'type':'web_search_result_location','url':'https://a.example','title':'A'}]}],"
                 "'stop_reason':'end_turn'}");
    EXPECT_HAS(made, "'parts':[{'text':'','thought':true,'thoughtSignature':'cHN0MS5h");
    EXPECT_HAS(made, "{'text':'Hm','thought':true},{'text':'\xc3\xa9x'},{'text':'',"
                     "'thoughtSignature':'cHN0MS5h");
    EXPECT_HAS(made, "{'segment':{'startIndex':0,'endIndex':3}");
}

// --- what the files stand on ---

static void json_loses_its_white_space(void)
{
    static const struct {
        const char *from, *to;
    } cases[] = { { "{'a' : [ 1,\n 2 ] , 'b c': ' x ' }", "{'a':[1,2],'b c':' x '}" },
                  { "'a \\\" b'", "'a \\\" b'" },
                  { "{}", "{}" } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct span text = span_str(rig_json(cases[i].from));
        EXPECT_SPAN(compact_text(text, rig_scratch()), rig_json(cases[i].to));
    }
}

static void base64_is_made_and_read(void)
{
    static const struct {
        const char *plain, *coded;
    } cases[] = { { "", "" },        { "f", "Zg==" },        { "fo", "Zm8=" },
                  { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "\xff\xfe\xfd", "//79" } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct base64 base64;
        struct sink out = rig_sink();
        base64_begin(&base64, &out);
        for (const char *at = cases[i].plain; *at != '\0'; at++)
            sink_put(&base64.sink, span_of(at, 1));
        base64_end(&base64);
        EXPECT_SPAN(span_of(rig_out, (size_t)(out.at - rig_out)), cases[i].coded);
        struct words coded = words_plain(span_str(cases[i].coded));
        if (i > 0)
            EXPECT_SPAN(base64_read(coded, rig_scratch()), cases[i].plain);
    }
    static char long_text[2000], back[2000];
    memset(long_text, 'a', sizeof(long_text));
    struct base64 base64;
    struct sink out = rig_sink();
    base64_begin(&base64, &out);
    sink_put(&base64.sink, span_of(long_text, sizeof(long_text)));
    base64_end(&base64);
    struct span read =
        base64_read(words_plain(span_of(rig_out, (size_t)(out.at - rig_out))), rig_scratch());
    EXPECT_EQ(read.len, sizeof(long_text));
    memcpy(back, read.ptr, min_size(read.len, sizeof(back)));
    EXPECT(memcmp(back, long_text, sizeof(back)) == 0);
    EXPECT(base64_read(words_plain(SPAN("Zm9vY")), rig_scratch()).ptr == NULL);
    EXPECT(base64_read(words_plain(SPAN("Zm 9v")), rig_scratch()).ptr == NULL);
    EXPECT(words_none(base64_standard(words_plain(SPAN("%")), rig_scratch())));
    EXPECT(words_are(base64_standard(words_plain(SPAN("_-8")), rig_scratch()), SPAN("/+8=")));
    const struct words slash = { .raw = SPAN("\\/+8="), .escaped = true };
    EXPECT(base64_standard(slash, rig_scratch()).raw.ptr == slash.raw.ptr);
}

// Against a count by hand, over texts in which every kind of character meets every window.
static void bytes_and_code_points_are_mapped(void)
{
    static const char *const letters[] = { "a", "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80" };
    for (unsigned seed = 0; seed < 40; seed++) {
        struct keep keep;
        struct offsets offsets = { 0 };
        static uint64_t starts[2000];
        uint64_t bytes = 0, points = 0, at;
        keep_init(&keep, &chunks, 1 * MIB);
        for (unsigned i = 0; i < 600; i++) {
            unsigned which = seed < 4 ? seed : (i * (seed + 7) / 3 + i * i) % 4;
            if (seed % 3 == 0 && i % 150 < 100)
                which = 0;
            starts[points++] = bytes;
            bytes += strlen(letters[which]);
            offsets_add(&offsets, &keep, words_plain(span_str(letters[which])));
        }
        starts[points] = bytes;
        EXPECT_EQ(offsets.bytes, bytes);
        EXPECT_EQ(offsets.points, points);
        for (uint64_t i = 0; i <= points; i++) {
            EXPECT(offsets_point_of(&offsets, starts[i], &at) && at == i);
            EXPECT(offsets_byte_of(&offsets, i, &at) && at == starts[i]);
        }
        EXPECT(!offsets_point_of(&offsets, bytes + 1, &at));
        EXPECT(!offsets_byte_of(&offsets, points + 1, &at));
        keep_fini(&keep);
    }
}

// More text than can be remembered: places are unknown, nothing else breaks.
static void too_many_places_are_given_up(void)
{
    struct keep keep;
    struct offsets offsets = { 0 };
    uint64_t at;
    keep_init(&keep, &chunks, 1 * MIB);
    for (unsigned i = 0; i < 80000 && !offsets.lost; i++)
        offsets_add(&offsets, &keep, words_plain(SPAN("\xe4\xb8\xad")));
    EXPECT(offsets.lost);
    EXPECT(!keep.failed);
    EXPECT(!offsets_point_of(&offsets, 0, &at));
    EXPECT(keep.held <= 64 * KIB);
    keep_fini(&keep);
}

TEST_MAIN(TEST(texts_and_thoughts_are_told_apart), TEST(signatures_stay_with_what_they_sign),
          TEST(calls_end_an_answer), TEST(long_arguments_are_compact),
          TEST(arguments_in_pieces_are_put_together), TEST(senseless_paths_fail),
          TEST(reasons_have_their_meaning), TEST(refused_prompts_are_filtered_answers),
          TEST(candidates_are_kept_apart), TEST(other_parts_pass_or_are_counted),
          TEST(citations_find_their_place), TEST(probabilities_pass_both_ways),
          TEST(clients_get_only_lines_of_data), TEST(clients_without_events_get_one_list),
          TEST(calls_are_whole_or_not_there), TEST(ends_have_the_formats_words),
          TEST(usage_is_told_in_the_formats_sums), TEST(thoughts_of_others_come_back_in_place),
          TEST(several_thoughts_stay_several), TEST(own_signatures_return_byte_for_byte),
          TEST(whole_answers_are_streams_at_once), TEST(whole_answers_are_written),
          TEST(json_loses_its_white_space), TEST(base64_is_made_and_read),
          TEST(bytes_and_code_points_are_mapped), TEST(too_many_places_are_given_up))
