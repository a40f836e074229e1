// Requests of Gemini's format, read and written.
#include "gemini_rig.h"

static struct losses losses;
static struct prompt_parse parse;
static struct prompt prompt;

// What a request becomes at a vendor of another format; NULL if it is refused.
static const char *convert(enum wire_family from, enum wire_family to, const char *body,
                           const struct caps *caps)
{
    static char in[16 * KIB];
    struct json_slice root;
    size_t len = strlen(body);
    memcpy(in, rig_json(body), len + 1);
    losses_init(&losses, false);
    EXPECT(json_check(span_of(in, len), &root));
    prompt_begin(&parse, &prompt, from, span_of(in, len), rig_scratch(), &losses);
    parse.key = rig_key;
    if (!converter_of(from)->parse(&parse, root))
        return NULL;
    struct caps plain = { .json_schema = true, .reasons = REASONS_LEVEL, .native_schema = true };
    struct render render = { .prompt = &prompt, .caps = caps != NULL ? caps : &plain };
    render.model = SPAN("m");
    render.losses = &losses;
    render.scratch = &rig_pad.scratch;
    render.key = rig_key;
    struct sink out = rig_sink();
    bool good = converter_of(to)->render(&render, &out);
    struct json_slice made;
    EXPECT(json_check(span_of(rig_out, (size_t)(out.at - rig_out)), &made));
    const char *text = rig_text(&out);
    return good ? text : NULL;
}

static const char *to_chat(const char *body)
{
    return convert(FAMILY_GEMINI, FAMILY_OPENAI, body, NULL);
}

static const char *to_messages(const char *body)
{
    return convert(FAMILY_GEMINI, FAMILY_ANTHROPIC, body, NULL);
}

static const char *from_chat(const char *body)
{
    return convert(FAMILY_OPENAI, FAMILY_GEMINI, body, NULL);
}

static void refused(const char *body, const char *path)
{
    const char *made = to_chat(body);
    EXPECT(made == NULL);
    if (failed(parse.err))
        EXPECT_SPAN(span_str(parse.path), path);
    else
        EXPECT_SPAN(span_of(losses.path, losses.path_len), path);
}

#define USER "{'role':'user','parts':[{'text':'Hi'}]}"
#define ASKED "'contents':[" USER "]"
#define CALLS                                                                         \
    USER ",{'role':'model','parts':[{'functionCall':{'name':'get','args':{'a': 1}}}," \
         "{'functionCall':{'name':'get','args':{}}},{'functionCall':{'name':'put'}}]}"

// --- reading ---

// C-131
static void keys_come_in_two_spellings(void)
{
    const char *made = to_chat(
        "{'system_instruction':{'parts':[{'text':'Be brief'}]},'contents':{'parts':[{'text':'Hi'},"
        "{'inline_data':{'mime_type':'image/png','data':'iVBORw0KGgo='}}]},"
        "'tools':[{'function_declarations':[{'name':'f','parameters_json_schema':"
        "{'type':'object','properties':{'mime_type':{'type':'string'}}}}]}],"
        "'tool_config':{'function_calling_config':{'mode':'ANY','allowed_function_names':['f']}},"
        "'generation_config':{'max_output_tokens':9,'maxOutputTokens':8,'top_p':0.5,"
        "'stop_sequences':['x'],'thinking_config':{'thinking_budget':9000}}}");
    EXPECT_HAS(made, "'content':'Be brief'");
    EXPECT_HAS(made, "data:image/png;base64,iVBORw0KGgo=");
    EXPECT_HAS(made, "'parameters':{'type':'object','properties':{'mime_type'");
    EXPECT_HAS(made, "'tool_choice':{'type':'function','function':{'name':'f'}}");
    EXPECT_HAS(made, "'max_completion_tokens':8"); // of both spellings the first counts
    EXPECT_HAS(made, "'top_p':0.5,'stop':['x']");
    EXPECT_HAS(made, "'reasoning_effort':'medium'");
    EXPECT_SPAN(losses_dropped(&losses), "");
    EXPECT_SPAN(losses_adjusted(&losses),
                "generationConfig.thinkingConfig.thinkingBudget=9000>medium");
}

// C-027: the same in each later request; C-009: what comes again answers the last one again
static void calls_without_ids_get_them_by_place(void)
{
    const char *made = to_chat("{'contents':[" CALLS ",{'role':'user','parts':["
                               "{'functionResponse':{'name':'put','response':{'output':'p'}}},"
                               "{'functionResponse':{'name':'get','response':{'output':'1'}}},"
                               "{'functionResponse':{'name':'get','response':{'output':'2'}}},"
                               "{'functionResponse':{'name':'get','response':{'output':'3'}}}]}]}");
    EXPECT_HAS(made, "{'id':'call_t1_0','type':'function','function':{'name':'get','arguments':"
                     "'{\\'a\\':1}'}},{'id':'call_t1_1'");
    EXPECT_HAS(made, "{'id':'call_t1_2','type':'function','function':{'name':'put','arguments':"
                     "'{}'}}]");
    EXPECT_HAS(made, "{'role':'tool','content':'1','tool_call_id':'call_t1_0'},"
                     "{'role':'tool','content':'3','tool_call_id':'call_t1_1'},"
                     "{'role':'tool','content':'p','tool_call_id':'call_t1_2'}]");
    EXPECT_HAS(to_chat("{'contents':[" USER ",{'role':'model','parts':[{'functionCall':"
                       "{'id':'a','name':'f'}},{'functionCall':{'id':'b','name':'f'}}]},"
                       "{'parts':[{'functionResponse':{'id':'b','name':'f','response':{}}},"
                       "{'functionResponse':{'id':'a','name':'f','response':{'output':'A'}}}]}]}"),
               "'content':'A','tool_call_id':'a'},{'role':'tool','content':'{}',"
               "'tool_call_id':'b'}");
}

// What a client keeps of a stream is a part, or a content, a chunk.
static void chunks_become_one_text_again(void)
{
    EXPECT_HAS(to_messages("{'contents':[" USER ",{'role':'model','parts':[{'text':'A','thought':"
                           "true},{'text':'B','thought':true},{'text':'He'},{'text':'l\\ud83d'}]}"
                           ",{'role':'model','parts':[{'text':'\\ude00o'}]},{'role':'model',"
                           "'parts':[{'functionCall':{'name':'f'}}]},{'role':'model','parts':["
                           "{'functionCall':{'name':'g'}},{'text':'x'},{'text':'y'}]},"
                           "{'parts':[{'text':'a'},{'text':'b'}]}]}"),
               "{'role':'assistant','content':[{'type':'text','text':'Hel\\ud83d\\ude00o'},"
               "{'type':'tool_use','id':'call_t3_0','name':'f','input':{}},{'type':'tool_use',"
               "'id':'call_t4_0','name':'g','input':{}},{'type':'text','text':'xy'}]}");
    EXPECT_HAS(rig_out, "{'type':'text','text':'a'},{'type':'text','text':'b'}]}]");
}

// C-030
static void results_lose_the_object_around_them(void)
{
    static const struct {
        const char *response, *text;
    } cases[] = {
        { "{'output':'x'}", "'content':'x'" },
        { "{'result':'x'}", "'content':'x'" },
        { "{'content':'x'}", "'content':'x'" },
        { "{'output': 3}", "'content':'{\\'output\\':3}'" },
        { "{'a': 1, 'output': 'x y'}", "'content':'{\\'a\\':1,\\'output\\':\\'x y\\'}'" },
        { "{'error':'bad'}", "'content':'bad','is_error':true" },
        { "{'error': {'code': 5}}", "'content':'{\\'code\\':5}','is_error':true" },
        { "{'error':'bad','more':1}", "'is_error':true" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char body[1 * KIB];
        snprintf(body, sizeof(body),
                 "{'contents':[" USER ",{'role':'model','parts':[{'functionCall':{'name':'f'}}]},"
                 "{'role':'function','parts':[{'functionResponse':{'name':'f','response':%s}}]}]}",
                 cases[i].response);
        EXPECT_HAS(to_messages(body), cases[i].text);
    }
    EXPECT_HAS(to_chat("{'contents':[" USER ",{'parts':[{'functionResponse':{'name':'f',"
                       "'response':{'output':'x'}}}]}]}"),
               "[result of unknown call f]\\nx"); // C-008
}

// C-105: what Python's client sends is in another alphabet; C-098
static void data_comes_in_any_alphabet(void)
{
#define DATA(type, data) \
    "{'contents':[{'parts':[{'inlineData':{'mimeType':'" type "','data':'" data "'}}]}]}"
    EXPECT_HAS(to_chat(DATA("image/jpeg", "iVBORw0KGgo-_w")),
               "'url':'data:image/png;base64,iVBORw0KGgo+/w=='");
    EXPECT_HAS(to_messages(DATA("application/pdf", "JVBE\\nRi0x")),
               "{'type':'document','source':{'type':'base64','media_type':'application/pdf',"
               "'data':'JVBERi0x'}");
    EXPECT_HAS(to_messages(DATA("text/csv", "YSxiCg==")),
               "{'type':'text','media_type':'text/plain','data':'a,b\\n'}");
    EXPECT_HAS(to_chat(DATA("audio/mp3", "aGk=")), "'input_audio':{'data':'aGk=','format':'mp3'}");
    refused(DATA("video/mp4", "aGk="), "contents[0].parts[0]");
    refused(DATA("image/png", "no%base64"), "contents[0].parts[0].inlineData");
    refused(DATA("text/plain", "/w=="), "contents[0].parts[0].inlineData.data");
}

// C-104
static void files_of_the_vendor_are_refused(void)
{
#define FILE_AT(uri, more) "{'contents':[{'parts':[{'fileData':{'fileUri':'" uri "'" more "}}]}]}"
    refused(FILE_AT("gs://bucket/x.png", ",'mimeType':'image/png'"), "contents[0].parts[0]");
    refused(FILE_AT("https://generativelanguage.googleapis.com/v1beta/files/1", ""),
            "contents[0].parts[0]");
    refused(FILE_AT("https://www.youtube.com/watch?v=1", ""), "contents[0].parts[0]");
    EXPECT_HAS(to_chat(FILE_AT("https://a.example/x", "")),
               "{'type':'image_url','image_url':{'url':'https://a.example/x'}}");
    EXPECT_HAS(to_messages(FILE_AT("https://a.example/x.pdf", "")),
               "{'type':'document','source':{'type':'url','url':'https://a.example/x.pdf'}}");
}

static void code_and_what_came_out_become_text(void)
{
    EXPECT_HAS(to_chat("{'contents':[" USER ",{'role':'model','parts':["
                       "{'executableCode':{'language':'PYTHON','code':'print(1)\\n'}},"
                       "{'codeExecutionResult':{'outcome':'OUTCOME_OK','output':'1'}}]}," USER
                       "]}"),
               "```python\\nprint(1)\\n\\n```\\n```\\n1\\n```");
    EXPECT_SPAN(losses_adjusted(&losses), "contents[1].parts[0]=text,contents[1].parts[1]=text");
}

static void bad_requests_name_the_place(void)
{
    refused("{}", "contents");
    refused("{'contents':[]}", "contents");
    refused("{'contents':[{'role':'system','parts':[]}]}", "contents[0].role"); // C-122
    refused("{'contents':[{'parts':{}}]}", "contents[0].parts");
    refused("{'contents':[{'parts':[{'text':1}]}]}", "contents[0].parts[0].text");
    refused("{'contents':[{'parts':[{'new':1}]}]}", "contents[0].parts[0]");
    refused("{'contents':[{'parts':[{'functionCall':{'name':'f'}}]}]}",
            "contents[0].parts[0].functionCall");
    refused("{'contents':[{'role':'model','parts':[{'functionResponse':{'name':'f'}}]}]}",
            "contents[0].parts[0].functionResponse");
    refused("{" ASKED ",'tools':[{'functionDeclarations':[{}]}]}",
            "tools[0].functionDeclarations[0].name");
    refused("{" ASKED ",'generationConfig':{'temperature':'hot'}}", "generationConfig.temperature");
    refused("{" ASKED ",'generationConfig':{'candidateCount':0}}",
            "generationConfig.candidateCount");
    refused("{" ASKED ",'generationConfig':{'stopSequences':'x'}}",
            "generationConfig.stopSequences");
    refused("{" ASKED ",'generationConfig':{'thinkingConfig':{'thinkingLevel':'LOUD'}}}",
            "generationConfig.thinkingConfig.thinkingLevel");
    refused("{" ASKED ",'toolConfig':{'functionCallingConfig':{'mode':'MAYBE'}}}",
            "toolConfig.functionCallingConfig.mode");
}

static void what_only_this_vendor_has_is_refused(void)
{
    refused("{" ASKED ",'cachedContent':'cachedContents/1'}", "cachedContent");
    refused("{" ASKED ",'continuationToken':'x'}", "continuationToken");
    refused("{" ASKED ",'generationConfig':{'responseModalities':['IMAGE']}}",
            "generationConfig.responseModalities");
    refused("{" ASKED ",'generationConfig':{'responseFormat':[]}}",
            "generationConfig.responseFormat");
    refused("{" ASKED ",'generationConfig':{'responseMimeType':'text/x.enum'}}",
            "generationConfig.responseMimeType");
    EXPECT(to_chat("{" ASKED ",'generationConfig':{'responseModalities':['TEXT'],"
                   "'speechConfig':{}}}") != NULL);
    EXPECT_SPAN(losses_dropped(&losses), "");
}

// C-113, C-121, and the tables of settings
static void settings_find_their_names(void)
{
    const char *made = to_chat(
        "{" ASKED ",'generationConfig':{'temperature':1.0,'topK':3,'candidateCount':1,"
        "'presencePenalty':1,'frequencyPenalty':2,'seed':5,'responseLogprobs':true,'logprobs':2,"
        "'mediaResolution':'LOW','audioTimestamp':true,'newThing':null},"
        "'labels':{'team':'x'},'store':true,'newField':1,'safetySettings':[{'category':'C',"
        "'threshold':'BLOCK_LOW_AND_ABOVE'}]}");
    EXPECT_HAS(made, "'temperature':1.0");
    EXPECT_HAS(made, "'presence_penalty':1,'frequency_penalty':2");
    EXPECT_HAS(made, "'logprobs':true,'top_logprobs':2");
    EXPECT_HAS(made, "'seed':5");
    EXPECT_HAS_NOT(made, "'n':");
    EXPECT_SPAN(losses_dropped(&losses), "generationConfig.mediaResolution,"
                                         "generationConfig.audioTimestamp,newField,"
                                         "generationConfig.topK,labels,store,safetySettings");
    // The conversion rules, 3.8: what it is served at.
    EXPECT_HAS(to_chat("{" ASKED ",'serviceTier':'flex'}"), "'service_tier':'flex'");
    EXPECT_HAS(to_messages("{" ASKED ",'serviceTier':'priority'}"), "'service_tier':'auto'");
    EXPECT_HAS_NOT(to_messages("{" ASKED ",'serviceTier':'flex'}"), "tier");
    EXPECT_SPAN(losses_dropped(&losses), "serviceTier");
    EXPECT_HAS_NOT(to_chat("{" ASKED ",'serviceTier':'standard'}"), "tier");
    EXPECT_SPAN(losses_dropped(&losses), "");
    // C-152: a request whose cost is asked for.
    EXPECT_HAS(to_chat("{'generateContentRequest':{'model':'models/m'," ASKED "}}"),
               "'content':'Hi'");
    EXPECT_SPAN(losses_dropped(&losses), "");
    // What blocks nothing is no loss.
    EXPECT(to_chat("{" ASKED ",'safetySettings':[{'threshold':'BLOCK_NONE'},"
                   "{'threshold':'OFF'}]}") != NULL);
    EXPECT_SPAN(losses_dropped(&losses), "");
    // C-111
    const struct caps reasoning = { .no_sampling = true, .reasons_unasked = true };
    made = convert(FAMILY_GEMINI, FAMILY_OPENAI,
                   "{" ASKED ",'generationConfig':{'temperature':1,'topP':1}}", &reasoning);
    EXPECT_HAS_NOT(made, "temperature");
    EXPECT_SPAN(losses_dropped(&losses), "generationConfig.temperature,generationConfig.topP");
}

// The conversion rules, 3.5: what a model likes is left to it where it can be.
static void thinking_is_left_to_the_model(void)
{
    const struct caps budget = { .reasons = REASONS_BUDGET, .native_schema = true };
    const struct caps adaptive = { .reasons = REASONS_ADAPTIVE, .native_schema = true };
    static const char *const wishes[] = { "'includeThoughts':true", "'thinkingBudget':-1" };
    for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
        char body[512];
        snprintf(body, sizeof(body), "{" ASKED ",'generationConfig':{'thinkingConfig':{%s}}}",
                 wishes[i]);
        const char *made = convert(FAMILY_GEMINI, FAMILY_ANTHROPIC, body, &adaptive);
        EXPECT_HAS(made, "'thinking':{'type':'adaptive'}");
        EXPECT_HAS_NOT(made, "effort");
        EXPECT_SPAN(losses_adjusted(&losses), "");
        made = convert(FAMILY_GEMINI, FAMILY_ANTHROPIC, body, &budget);
        EXPECT_HAS(made, "'thinking':{'type':'enabled','budget_tokens':8192}");
        EXPECT_EQ(losses.count[LOSS_ADJUST], 1);
        EXPECT_HAS_NOT(to_chat(body), "reasoning_effort");
    }
    EXPECT_HAS(convert(FAMILY_GEMINI, FAMILY_RESPONSES,
                       "{" ASKED ",'generationConfig':{'thinkingConfig':{'includeThoughts':true}}}",
                       &adaptive),
               "'reasoning':{'summary':'auto'}");
    EXPECT_HAS_NOT(to_messages("{" ASKED ",'generationConfig':{'thinkingConfig':"
                               "{'includeThoughts':false}}}"),
                   "thinking");
}

// C-035, the way back
static void schemas_become_ordinary(void)
{
    const char *made =
        to_messages("{" ASKED ",'tools':[{'functionDeclarations':[{'name':'f','description':'d',"
                    "'parameters':{'type':'OBJECT','properties':{'a':{'type':'STRING',"
                    "'nullable':true}}},'response':{}}]},{'googleSearch':{}}],"
                    "'generationConfig':{'responseMimeType':'application/json',"
                    "'responseSchema':{'type':'INTEGER'}}}");
    EXPECT_HAS(made, "'schema':{'type':'integer'}");
    EXPECT_HAS(made, "'input_schema':{'type':'object','properties':{'a':{'type':"
                     "['string','null']}}}");
    EXPECT_SPAN(losses_dropped(&losses), "tools[0].functionDeclarations[0].response,tools[1]");
    EXPECT_HAS(to_chat("{" ASKED ",'generationConfig':{'responseMimeType':'application/json'}}"),
               "'response_format':{'type':'json_object'}");
}

static void choices_of_tools_are_read(void)
{
#define CHOOSE(config)                                                           \
    "{" ASKED ",'tools':[{'functionDeclarations':[{'name':'f'},{'name':'g'}]}]," \
    "'toolConfig':{'functionCallingConfig':{" config "}}}"
    EXPECT_HAS(to_chat(CHOOSE("'mode':'AUTO'")), "'tool_choice':'auto'");
    EXPECT_HAS(to_chat(CHOOSE("'mode':'none'")), "'tool_choice':'none'");
    EXPECT_HAS(to_chat(CHOOSE("'mode':'ANY'")), "'tool_choice':'required'");
    EXPECT_HAS(to_chat(CHOOSE("'mode':'VALIDATED'")), "'tool_choice':'auto'");
    EXPECT_HAS(to_chat(CHOOSE("'mode':'ANY','allowedFunctionNames':['g']")),
               "'tool_choice':{'type':'function','function':{'name':'g'}}");
    EXPECT_HAS(to_chat(CHOOSE("'mode':'ANY','allowedFunctionNames':['f','g']")),
               "'mode':'required','tools':[");
    EXPECT_HAS(to_chat(CHOOSE("'mode':'VALIDATED','allowedFunctionNames':['f','g']")),
               "'mode':'auto','tools':[");
}

// --- writing ---

// C-001, C-002, C-004, C-010, C-011, C-012, P31
static void turns_alternate_and_begin_and_end_with_the_user(void)
{
    EXPECT_HAS(from_chat("{'messages':[{'role':'system','content':'a'},{'role':'developer',"
                         "'content':'b'},{'role':'assistant','content':'c'},{'role':'assistant',"
                         "'content':'d'},{'role':'system','content':'e'},{'role':'user',"
                         "'content':'f'},{'role':'user','content':''}]}"),
               "'systemInstruction':{'parts':[{'text':'a'},{'text':'b'}]},'contents':["
               "{'role':'user','parts':[{'text':'.'}]},"
               "{'role':'model','parts':[{'text':'c'},{'text':'d'}]},"
               "{'role':'user','parts':[{'text':'<system>e</system>'},{'text':'f'}]}]}");
    EXPECT_SPAN(losses_adjusted(&losses), "messages=user_turn_first,messages[4].role=user");
    EXPECT_HAS(from_chat("{'messages':[{'role':'user','content':'a'},{'role':'assistant',"
                         "'content':'{'}]}"),
               "{'role':'model','parts':[{'text':'{'}]},{'role':'user','parts':[{'text':"
               "'Continue exactly where the last message stops.'}]}]}");
    EXPECT_SPAN(losses_adjusted(&losses), "messages[1]=continue");
    EXPECT_HAS(from_chat("{'messages':[{'role':'system','content':'a'}]}"),
               "'contents':[{'role':'user','parts':[{'text':'.'}]}]"); // C-019
}

// C-128
static void models_without_a_system_hear_it_from_the_user(void)
{
    const struct caps caps = { .no_system = true, .reasons = REASONS_NOT };
    EXPECT_HAS(convert(FAMILY_OPENAI, FAMILY_GEMINI,
                       "{'messages':[{'role':'system','content':'a'},{'role':'system','content':"
                       "'b'},{'role':'user','content':'c'},{'role':'assistant','content':'d'},"
                       "{'role':'user','content':'e'}]}",
                       &caps),
               "{'generationConfig':{},'contents':[{'role':'user','parts':[{'text':"
               "'a\\n\\nb\\n\\n'},{'text':'c'}]},{'role':'model',");
    EXPECT_SPAN(losses_adjusted(&losses), "messages[0].role=user_text");
}

// C-037: no name of this vendor's begins with a digit
static void names_are_made_legal(void)
{
    EXPECT_HAS(from_chat("{'tools':[{'type':'function','function':{'name':'1-up'}},{'type':"
                         "'function','function':{'name':'a b'}},{'type':'function','function':"
                         "{'name':'_ok-1'}}],'messages':[{'role':'user','content':'x'}]}"),
               "[{'name':'_-up_");
    EXPECT_HAS(rig_out, "{'name':'a_b_");
    EXPECT_HAS(rig_out, "{'name':'_ok-1'}]");
}

#define TWO_CALLS                                                                     \
    "{'role':'user','content':'x'},{'role':'assistant','content':'','tool_calls':["   \
    "{'id':'a','type':'function','function':{'name':'f','arguments':'{\\'q\\':1}'}}," \
    "{'id':'b','type':'function','function':{'name':'g','arguments':''}}]}"

// C-005, C-007, C-008, C-009, C-023, C-025, C-029, C-031
static void each_call_has_one_result_in_order(void)
{
    EXPECT_HAS(from_chat("{'messages':[" TWO_CALLS ",{'role':'tool','tool_call_id':'b','content':"
                         "'2'},{'role':'tool','tool_call_id':'a','content':'0'},{'role':'tool',"
                         "'tool_call_id':'a','content':'1'},{'role':'user','content':'now?'}]}"),
               "{'role':'model','parts':[{'functionCall':{'name':'f','args':{'q':1}}},"
               "{'functionCall':{'name':'g','args':{}}}]},{'role':'user','parts':["
               "{'functionResponse':{'name':'f','response':{'output':'1'}}},"
               "{'functionResponse':{'name':'g','response':{'output':'2'}}},{'text':'now?'}]}]");
    EXPECT_HAS(from_chat("{'messages':[" TWO_CALLS ",{'role':'tool','tool_call_id':'b','content':"
                         "'2'},{'role':'tool','tool_call_id':'z','content':'?'}]}"),
               "{'functionResponse':{'name':'f','response':{'error':'[no result]'}}},"
               "{'functionResponse':{'name':'g','response':{'output':'2'}}},"
               "{'text':'[result of unknown call z]\\n?'}]}");
    EXPECT_SPAN(losses_adjusted(&losses), "messages[1].tool_calls=no_result,messages[3]=text");
    EXPECT(from_chat("{'messages':[" TWO_CALLS "]}") == NULL);
    EXPECT_SPAN(span_of(losses.path, losses.path_len), "messages[1]");
    EXPECT_HAS(from_chat("{'messages':[{'role':'user','content':'x'},{'role':'assistant',"
                         "'content':null,'tool_calls':[{'id':'a','type':'function','function':"
                         "{'name':'f','arguments':'[1'}}]},{'role':'tool','tool_call_id':'a',"
                         "'content':'1'}]}"),
               "'args':{'_raw':'[1'}");
    EXPECT_SPAN(losses_adjusted(&losses), "messages[1].content[0]=no_object>_raw");
    const struct caps ids = { .call_ids = true, .json_schema = true };
    EXPECT_HAS(convert(FAMILY_OPENAI, FAMILY_GEMINI,
                       "{'messages':[" TWO_CALLS ",{'role':'tool','tool_call_id':'a','content':"
                       "'1'}]}",
                       &ids),
               "{'functionCall':{'id':'a','name':'f','args':{'q':1}}}");
}

// C-017
static void pictures_of_results_stand_where_the_model_takes_them(void)
{
#define SHOT                                                                                    \
    "{'max_tokens':9,'messages':[{'role':'user','content':'x'},{'role':'assistant','content':[" \
    "{'type':'tool_use','id':'t','name':'f','input':{}}]},{'role':'user','content':["           \
    "{'type':'tool_result','tool_use_id':'t','is_error':true,'content':[{'type':'text',"        \
    "'text':'shot'},{'type':'image','source':{'type':'base64','media_type':'image/png',"        \
    "'data':'aGk='}}]}]}]}"
#define PICTURE "{'inlineData':{'mimeType':'image/png','data':'aGk='}}"
    const struct caps older = { .json_schema = true }, newer = { .signs_calls = true };
    EXPECT_HAS(convert(FAMILY_ANTHROPIC, FAMILY_GEMINI, SHOT, &older),
               "{'functionResponse':{'name':'f','response':{'error':'shot'}}}," PICTURE "]");
    EXPECT_HAS(convert(FAMILY_ANTHROPIC, FAMILY_GEMINI, SHOT, &newer),
               "{'functionResponse':{'name':'f','response':{'error':'shot'},'parts':[" PICTURE
               "]}}]");
}

// C-070
static void calls_of_newer_models_are_signed(void)
{
    const struct caps newer = { .signs_calls = true, .json_schema = true };
#define RESULTS ",{'role':'tool','tool_call_id':'a','content':'1'}]}"
    EXPECT_HAS(convert(FAMILY_OPENAI, FAMILY_GEMINI, "{'messages':[" TWO_CALLS RESULTS, &newer),
               "'args':{'q':1}},'thoughtSignature':'skip_thought_signature_validator'},"
               "{'functionCall':{'name':'g','args':{}}}]"); // only the first of a step
    EXPECT_HAS(convert(FAMILY_OPENAI, FAMILY_GEMINI,
                       "{'messages':[{'role':'user','content':'x'},{'role':'assistant',"
                       "'content':'t','tool_calls':[{'id':'a','type':'function','function':"
                       "{'name':'f','arguments':'{}'},'extra_content':{'google':"
                       "{'thought_signature':'c2ln'}}}],'reasoning_details':[{'type':"
                       "'reasoning.encrypted','data':'dGV4dA==','format':'google-gemini-v1'}]"
                       "}" RESULTS,
                       &newer),
               "{'role':'model','parts':[{'text':'t','thoughtSignature':'dGV4dA=='},"
               "{'functionCall':{'name':'f','args':{}},'thoughtSignature':'c2ln'}]}");
    // C-064: another vendor's is none of its business
    EXPECT_HAS_NOT(convert(FAMILY_ANTHROPIC, FAMILY_GEMINI,
                           "{'max_tokens':9,'messages':[{'role':'user','content':'x'},"
                           "{'role':'assistant','content':[{'type':'thinking','thinking':'hm',"
                           "'signature':'SIG'},{'type':'text','text':'y'}]},{'role':'user',"
                           "'content':'z'}]}",
                           &newer),
                   "SIG");
}

// The conversation rules' table 3.5; C-060
static void thinking_is_told_as_the_model_takes_it(void)
{
    static const struct {
        const char *said;
        struct caps caps;
        const char *made, *told;
    } cases[] = {
        { "none", { .reasons = REASONS_LEVEL }, "{'thinkingLevel':'MINIMAL'}", "none>MINIMAL" },
        { "minimal", { .reasons = REASONS_LEVEL }, "{'thinkingLevel':'MINIMAL',", "" },
        { "minimal",
          { .reasons = REASONS_LEVEL, .efforts = BIT(EFFORT_LOW) | BIT(EFFORT_HIGH) },
          "{'thinkingLevel':'LOW',",
          "minimal>LOW" },
        { "medium",
          { .reasons = REASONS_LEVEL, .efforts = BIT(EFFORT_LOW) | BIT(EFFORT_HIGH) },
          "{'thinkingLevel':'HIGH',",
          "medium>HIGH" },
        { "max", { .reasons = REASONS_LEVEL }, "{'thinkingLevel':'HIGH',", "max>HIGH" },
        { "none", { .reasons = REASONS_BUDGET }, "{'thinkingBudget':0}", "none>0" },
        { "none",
          { .reasons = REASONS_BUDGET, .always_thinks = true },
          "{'thinkingBudget':128}",
          "none>128" },
        { "low", { .reasons = REASONS_BUDGET }, "{'thinkingBudget':1024,", "low>1024" },
        { "medium", { .reasons = REASONS_BUDGET }, "{'thinkingBudget':8192,", "medium>8192" },
        { "high", { .reasons = REASONS_BUDGET }, "{'thinkingBudget':24576,", "high>24576" },
        { "max",
          { .reasons = REASONS_BUDGET, .always_thinks = true },
          "{'thinkingBudget':32768,",
          "max>32768" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char body[256], want[128];
        snprintf(body, sizeof(body),
                 "{'reasoning_effort':'%s','messages':[{'role':'user','content':'x'}]}",
                 cases[i].said);
        EXPECT_HAS(convert(FAMILY_OPENAI, FAMILY_GEMINI, body, &cases[i].caps), cases[i].made);
        snprintf(want, sizeof(want), "%s%s", cases[i].told[0] != '\0' ? "reasoning_effort=" : "",
                 cases[i].told);
        EXPECT_SPAN(losses_adjusted(&losses), want);
    }
#define BUDGET(tokens)                                                                         \
    "{'max_tokens':99999,'thinking':{'type':'enabled','budget_tokens':" tokens "},'messages':" \
    "[{'role':'user','content':'x'}]}"
    const struct caps exact = { .reasons = REASONS_BUDGET }, none = { .reasons = REASONS_NOT };
    EXPECT_HAS(convert(FAMILY_ANTHROPIC, FAMILY_GEMINI, BUDGET("5000"), &exact),
               "'thinkingConfig':{'thinkingBudget':5000,'includeThoughts':true}");
    EXPECT_SPAN(losses_adjusted(&losses), "");
    EXPECT_HAS(convert(FAMILY_ANTHROPIC, FAMILY_GEMINI, BUDGET("60000"), &exact),
               "'thinkingBudget':24576");
    EXPECT_HAS_NOT(convert(FAMILY_ANTHROPIC, FAMILY_GEMINI, BUDGET("5000"), &none), "thinking");
    EXPECT_SPAN(losses_dropped(&losses), "thinking.budget_tokens");
    EXPECT_HAS(convert(FAMILY_ANTHROPIC, FAMILY_GEMINI,
                       "{'max_tokens':9,'thinking':{'type':'adaptive'},'messages':[{'role':"
                       "'user','content':'x'}]}",
                       NULL),
               "'thinkingConfig':{'includeThoughts':true}");
    EXPECT_HAS_NOT(from_chat("{'messages':[{'role':'user','content':'x'}]}"), "thinkingConfig");
}

#define ASK "'messages':[{'role':'user','content':'x'}]"

// C-112 and the tables of settings
static void settings_are_written_or_told(void)
{
    const char *made = from_chat(
        "{'model':'m','max_tokens':9,'temperature':0.5,'top_p':0.25,'top_k':4,'n':2,'seed':5,"
        "'stop':['a',''],'presence_penalty':1,'frequency_penalty':2,'logprobs':true,"
        "'top_logprobs':3,'logit_bias':{},'user':'u','metadata':{},'store':true,"
        "'service_tier':'flex','prompt_cache_key':'k','verbosity':'low','stream':true," ASK "}");
    EXPECT_HAS(made, "{'generationConfig':{'maxOutputTokens':9,'temperature':0.5,'topP':0.25,"
                     "'topK':4,'stopSequences':['a'],'candidateCount':2,'presencePenalty':1,"
                     "'frequencyPenalty':2,'seed':5,'responseLogprobs':true,'logprobs':3},"
                     "'serviceTier':'flex',");
    EXPECT_SPAN(losses_dropped(&losses),
                "logit_bias,verbosity,user,metadata,prompt_cache_key,store");
    EXPECT(from_chat("{'n':9," ASK "}") == NULL);
    EXPECT_SPAN(span_of(losses.path, losses.path_len), "n");
    EXPECT(from_chat("{'stop':['1','2','3','4','5','6']," ASK "}") == NULL);
    EXPECT_SPAN(span_of(losses.path, losses.path_len), "stop");
    EXPECT(from_chat("{'service_tier':'scale'," ASK "}") != NULL);
    EXPECT_SPAN(losses_dropped(&losses), "service_tier");
}

// C-034, C-035, C-040, C-139
static void tools_are_one_entry(void)
{
    const struct caps old = { .reasons = REASONS_BUDGET };
#define TOOLS                                                                             \
    "{'tools':[{'type':'function','function':{'name':'f','description':'d','parameters':" \
    "{'type':'object','properties':{'a':{'type':['string','null']}},"                     \
    "'additionalProperties':false}}},{'type':'function','function':{'name':'g',"          \
    "'parameters':{'type':'object','properties':{}}}},{'type':'custom','custom':{'name':" \
    "'c','description':'d','format':{'type':'grammar','grammar':{'syntax':'lark',"        \
    "'definition':'start: x'}}}}],"
    const char *made = from_chat(TOOLS ASK "}");
    EXPECT_HAS(made, "'tools':[{'functionDeclarations':[{'name':'f','description':'d',"
                     "'parametersJsonSchema':{'type':'object','properties':{'a':{'type':"
                     "['string','null']}},'additionalProperties':false}},{'name':'g'},"
                     "{'name':'c','description':'d\\n\\nPass the raw text in `input`. Grammar "
                     "(lark):\\nstart: x','parametersJsonSchema':{'type':'object','properties':"
                     "{'input':{'type':'string'}},'required':['input']}}]}]");
    EXPECT_SPAN(losses_adjusted(&losses), "");
    made = convert(FAMILY_OPENAI, FAMILY_GEMINI, TOOLS ASK "}", &old);
    EXPECT_HAS(made, "'parameters':{'type':'object','properties':{'a':{'type':'string',"
                     "'nullable':true}}}");
    EXPECT_SPAN(losses_adjusted(&losses), "tools=reduced");
    const struct caps free = { .json_schema = true, .no_forced_tool = true };
    EXPECT_HAS(
        convert(FAMILY_OPENAI, FAMILY_GEMINI, TOOLS "'tool_choice':'required'," ASK "}", &free),
        "'mode':'AUTO'");
    EXPECT_SPAN(losses_adjusted(&losses), "tool_choice=auto");
    EXPECT(convert(FAMILY_ANTHROPIC, FAMILY_GEMINI,
                   "{'max_tokens':9,'tools':[{'type':'web_search_20250305','name':'w'}]," ASK "}",
                   NULL) == NULL);
    EXPECT_SPAN(span_of(losses.path, losses.path_len), "tools");
}

static void choices_of_tools_are_written(void)
{
#define CHOICE(choice) TOOLS "'tool_choice':" choice "," ASK "}"
    EXPECT_HAS(from_chat(CHOICE("'auto'")), "{'functionCallingConfig':{'mode':'AUTO'}}");
    EXPECT_HAS(from_chat(CHOICE("'none'")), "{'mode':'NONE'}");
    EXPECT_HAS(from_chat(CHOICE("'required'")), "{'mode':'ANY'}");
    EXPECT_HAS(from_chat(CHOICE("{'type':'function','function':{'name':'g'}}")),
               "{'mode':'ANY','allowedFunctionNames':['g']}");
#define ALLOWED(mode)                                                                   \
    CHOICE("{'type':'allowed_tools','allowed_tools':{'mode':'" mode "','tools':["       \
           "{'type':'function','function':{'name':'f'}},{'type':'function','function':" \
           "{'name':'g'}}]}}")
    EXPECT_HAS(from_chat(ALLOWED("auto")), "{'mode':'VALIDATED','allowedFunctionNames':['f','g']}");
    EXPECT_HAS(from_chat(ALLOWED("required")), "{'mode':'ANY','allowedFunctionNames':['f','g']}");
    EXPECT(from_chat(TOOLS "'parallel_tool_calls':false," ASK "}") != NULL); // C-020
    EXPECT_SPAN(losses_dropped(&losses), "parallel_tool_calls");
}

// C-117, C-119
static void forms_of_answers_are_asked_for(void)
{
#define FORM                                                                              \
    "'response_format':{'type':'json_schema','json_schema':{'name':'n','schema':{'type':" \
    "'object','properties':{'a':{'type':'integer','exclusiveMinimum':3}}}}},"
    const struct caps old = { .reasons = REASONS_BUDGET },
                      newer = { .signs_calls = true, .json_schema = true };
    EXPECT_HAS(from_chat("{'response_format':{'type':'json_object'}," ASK "}"),
               "'generationConfig':{'responseMimeType':'application/json'}");
    EXPECT_HAS(from_chat("{" FORM ASK "}"),
               "'responseMimeType':'application/json','responseJsonSchema':{'type':'object',"
               "'properties':{'a':{'type':'integer','exclusiveMinimum':3}}}");
    EXPECT_HAS(convert(FAMILY_OPENAI, FAMILY_GEMINI, "{" FORM ASK "}", &old),
               "'responseSchema':{'type':'object','properties':{'a':{'type':'integer',"
               "'minimum':4}}}");
    EXPECT_SPAN(losses_adjusted(&losses), "response_format=reduced");
    const char *made = convert(FAMILY_OPENAI, FAMILY_GEMINI, TOOLS FORM ASK "}", &newer);
    EXPECT_HAS(made, "responseJsonSchema");
    made = convert(FAMILY_OPENAI, FAMILY_GEMINI, TOOLS FORM ASK "}", NULL);
    EXPECT_HAS_NOT(made, "responseMimeType");
    EXPECT_HAS(made, "'systemInstruction':{'parts':[{'text':'Answer with one JSON object and "
                     "nothing else. It has to match this JSON Schema:\\n{\\'type\\':");
}

// The conversion rules, 3.2
static void media_are_written(void)
{
    EXPECT_HAS(from_chat("{'messages':[{'role':'user','content':["
                         "{'type':'image_url','image_url':{'url':'https://a.example/x.png?y',"
                         "'detail':'low'}},"
                         "{'type':'file','file':{'filename':'x','file_data':"
                         "'data:application/pdf;base64,JVBERi0x'}},"
                         "{'type':'input_audio','input_audio':{'data':'aGk=','format':'mp3'}}]}]}"),
               "{'fileData':{'mimeType':'image/png','fileUri':'https://a.example/x.png?y'}},"
               "{'inlineData':{'mimeType':'application/pdf','data':'JVBERi0x'}},"
               "{'inlineData':{'mimeType':'audio/mp3','data':'aGk='}}");
    EXPECT_SPAN(losses_dropped(&losses), "messages[0].content[0].detail");
    EXPECT_HAS(convert(FAMILY_ANTHROPIC, FAMILY_GEMINI,
                       "{'max_tokens':9,'messages':[{'role':'user','content':[{'type':'document',"
                       "'source':{'type':'text','media_type':'text/plain','data':'a\\nbc'}}]}]}",
                       NULL),
               "{'inlineData':{'mimeType':'text/plain','data':'YQpiYw=='}}");
    EXPECT(from_chat("{'messages':[{'role':'user','content':[{'type':'file','file':{'file_id':"
                     "'file-1'}}]}]}") == NULL);
    EXPECT_SPAN(span_of(losses.path, losses.path_len), "messages[0].content[0]");
}

// C-135, C-137, P21: a conversation that only grew begins with the same bytes
static void rendering_is_append_only(void)
{
#define GROWING                                                                            \
    "{'tools':[{'type':'function','function':{'name':'f'}},{'type':'function','function':" \
    "{'name':'g'}}],'messages':[{'role':'system','content':'s'}," TWO_CALLS                \
    ",{'role':'tool','tool_call_id':'a','content':'1'},{'role':'tool','tool_call_id':'b'," \
    "'content':'2'}"
    const struct caps newer = { .signs_calls = true, .json_schema = true };
    static char first[8 * KIB];
    snprintf(first, sizeof(first), "%s",
             convert(FAMILY_OPENAI, FAMILY_GEMINI, GROWING "]}", &newer));
    const char *second = convert(FAMILY_OPENAI, FAMILY_GEMINI,
                                 GROWING ",{'role':'assistant','content':'ok'},"
                                         "{'role':'user','content':'more'}]}",
                                 &newer);
    const size_t shared = strlen(first) - 2; // up to the end of the list
    EXPECT(strncmp(first, second, shared) == 0);
    EXPECT(strncmp(second + shared, ",{\"role\":\"model\"", 15) == 0);
}

static void strict_conversion_refuses_what_would_be_lost(void)
{
    static char in[256];
    struct json_slice root;
    snprintf(in, sizeof(in), "%s", rig_json("{'seed':1,'logit_bias':{}," ASK "}"));
    losses_init(&losses, true);
    EXPECT(json_check(span_str(in), &root));
    prompt_begin(&parse, &prompt, FAMILY_OPENAI, span_str(in), rig_scratch(), &losses);
    EXPECT(converter_of(FAMILY_OPENAI)->parse(&parse, root));
    const struct caps caps = { .json_schema = true };
    struct render render = { .prompt = &prompt, .caps = &caps, .losses = &losses };
    render.scratch = &rig_pad.scratch;
    struct sink out = rig_sink();
    EXPECT(!converter_of(FAMILY_GEMINI)->render(&render, &out));
    EXPECT_SPAN(span_of(losses.path, losses.path_len), "logit_bias");
}

TEST_MAIN(TEST(keys_come_in_two_spellings), TEST(calls_without_ids_get_them_by_place),
          TEST(chunks_become_one_text_again), TEST(results_lose_the_object_around_them),
          TEST(data_comes_in_any_alphabet), TEST(files_of_the_vendor_are_refused),
          TEST(code_and_what_came_out_become_text), TEST(bad_requests_name_the_place),
          TEST(what_only_this_vendor_has_is_refused), TEST(settings_find_their_names),
          TEST(thinking_is_left_to_the_model), TEST(schemas_become_ordinary),
          TEST(choices_of_tools_are_read), TEST(turns_alternate_and_begin_and_end_with_the_user),
          TEST(models_without_a_system_hear_it_from_the_user), TEST(names_are_made_legal),
          TEST(each_call_has_one_result_in_order),
          TEST(pictures_of_results_stand_where_the_model_takes_them),
          TEST(calls_of_newer_models_are_signed), TEST(thinking_is_told_as_the_model_takes_it),
          TEST(settings_are_written_or_told), TEST(tools_are_one_entry),
          TEST(choices_of_tools_are_written), TEST(forms_of_answers_are_asked_for),
          TEST(media_are_written), TEST(rendering_is_append_only),
          TEST(strict_conversion_refuses_what_would_be_lost))
