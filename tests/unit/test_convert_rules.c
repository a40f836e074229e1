// The rules of conversion, a row each: a request or a stream, and what has to be in what becomes of
// it. A row's title begins with the ids of what it shows. In the texts, ' stands for ".
#include "convert_run.h"

#include "penstock/convert/undo.h"

enum { TEXT_MAX = 64 * KIB, WANTS = 4, LACKS = 2 };

#define O FAMILY_OPENAI
#define R FAMILY_RESPONSES
#define A FAMILY_ANTHROPIC
#define G FAMILY_GEMINI

static char *quoted(char *out, const char *text)
{
    size_t len = strlen(text);
    EXPECT(len < TEXT_MAX);
    for (size_t i = 0; i <= len; i++)
        out[i] = text[i] == '\'' ? '"' : text[i];
    return out;
}

static unsigned wrong_in(const char *title, struct span got, const char *const *has,
                         const char *const *lacks)
{
    char want[TEXT_MAX];
    unsigned wrong = 0;
    for (unsigned i = 0; i < WANTS && has[i] != NULL; i++)
        if (run_count(got, quoted(want, has[i])) != 1) {
            fprintf(stderr, "%s: not once: %s\n", title, want);
            wrong++;
        }
    for (unsigned i = 0; i < LACKS && lacks[i] != NULL; i++)
        if (run_count(got, quoted(want, lacks[i])) != 0) {
            fprintf(stderr, "%s: too much: %s\n", title, want);
            wrong++;
        }
    if (wrong > 0)
        fprintf(stderr, "  in %.*s\n", (int)got.len, got.ptr);
    return wrong;
}

// --- requests ---

struct request_row {
    const char *title;
    enum wire_family from, to;
    struct caps caps;
    const char *body;
    const char *has[WANTS]; // each once
    const char *lacks[LACKS];
    const char *dropped, *adjusted; // NULL: nothing
    const char *refused;            // the path; then nothing else is looked at
};

#define U "{'role':'user','content':'u'}"
#define CHAT(rest) "{'messages':[" U "]," rest "}"
#define MESSAGES(rest) "{'max_tokens':100,'messages':[" U "]," rest "}"
#define PNG "iVBORw0KGgo="

#define CALLED(id, name) "{'id':'" id "','function':{'name':'" name "','arguments':'{}'}}"
#define ANSWER(id, text) "{'role':'tool','tool_call_id':'" id "','content':'" text "'}"
// Two calls with one id, and a third that has the name which the second would get.
#define TWINS                                                                                        \
    "{'messages':[" U                                                                                \
    ",{'role':'assistant','tool_calls':[" CALLED("c", "f") "," CALLED("c_2", "g") "," CALLED(        \
        "c",                                                                                         \
        "f") "]}," ANSWER("c",                                                                       \
                          "one") "," ANSWER("c_2",                                                   \
                                            "own") "," ANSWER("c",                                   \
                                                              "two") "," ANSWER("c",                 \
                                                                                "three") "]," TOOL_F \
                                                                                         "}"
#define GRAMMAR                                                                             \
    "{'input':'u','tools':[{'type':'custom','name':'c','description':'d','format':{'type':" \
    "'grammar','syntax':'lark','definition':'start: /a/'}}]}"
#define TOOL_F "'tools':[{'type':'function','function':{'name':'f'}}]"

static const struct request_row requests[] = {
    { "C-003 a developer only where the vendor knows one",
      A,
      O,
      { .developer_role = true },
      "{'max_tokens':9,'system':'s','messages':[" U "]}",
      { "{'role':'developer','content':'s'}" },
      { "'system'" },
      NULL,
      NULL,
      NULL },
    { "C-003 and a system elsewhere",
      A,
      O,
      { 0 },
      "{'max_tokens':9,'system':'s','messages':[" U "]}",
      { "{'role':'system','content':'s'}" },
      { "developer" },
      NULL,
      NULL,
      NULL },
    { "C-009 the last of two results counts",
      O,
      A,
      { 0 },
      "{'messages':[" U ",{'role':'assistant','tool_calls':[{'id':'c','function':{'name':'f',"
      "'arguments':'{}'}}]},{'role':'tool','tool_call_id':'c','content':'one'},{'role':'tool',"
      "'tool_call_id':'c','content':'two'}],'tools':[{'type':'function','function':{'name':'f'}}]}",
      { "'tool_use_id':'c','content':'two'" },
      { "one" },
      "messages[2]",
      NULL,
      NULL },
    { "C-009 two calls with one id are told apart, and their results come in order",
      O,
      A,
      { 0 },
      TWINS,
      { "'id':'c','name':'f'", "'id':'c_3','name':'f'",
        "'tool_use_id':'c','content':'one'},{'type':'tool_result','tool_use_id':'c_2','content':"
        "'own'},{'type':'tool_result','tool_use_id':'c_3','content':'three'}" },
      { NULL },
      "messages[4]",
      NULL,
      NULL },
    { "C-009 for Responses, too",
      O,
      R,
      { 0 },
      TWINS,
      { "'call_id':'c','output':'one'},{'type':'function_call_output','call_id':'c_2','output':'own'},"
        "{'type':'function_call_output','call_id':'c_3','output':'three'" },
      { NULL },
      "messages[4]",
      NULL,
      NULL },
    { "C-009 for Chat",
      O,
      O,
      { 0 },
      TWINS,
      { "'content':'one','tool_call_id':'c'},{'role':'tool','content':'own','tool_call_id':'c_2'},{"
        "'role':'tool','content':'three','tool_call_id':'c_3'" },
      { NULL },
      "messages[4]",
      NULL,
      NULL },
    { "C-009 and for Gemini",
      O,
      G,
      { 0 },
      TWINS,
      { "'output':'one'}}},{'functionResponse':{'name':'g','response':{'output':'own'}}},{"
        "'functionResponse':{'name':'f','response':{'output':'three'" },
      { NULL },
      "messages[4]",
      NULL,
      NULL },
    { "C-010 P30 empty texts are not sent",
      O,
      A,
      { 0 },
      "{'messages':[" U ",{'role':'assistant','content':'','tool_calls':[{'id':'c','function':{"
      "'name':'f','arguments':'{}'}}]},{'role':'tool','tool_call_id':'c','content':''}],'tools':[{"
      "'type':'function','function':{'name':'f'}}]}",
      { "{'role':'assistant','content':[{'type':'tool_use','id':'c'",
        "{'type':'tool_result','tool_use_id':'c'}" },
      { "'text':''" },
      NULL,
      NULL,
      NULL },
    { "C-015 names of messages are dropped",
      O,
      A,
      { 0 },
      "{'messages':[{'role':'user','name':'n','content':'u'}]}",
      { NULL },
      { "'n'" },
      "messages[0].name",
      NULL,
      NULL },
    { "C-018 several texts are one string",
      A,
      O,
      { 0 },
      "{'max_tokens':9,'messages':[{'role':'user','content':[{'type':'text','text':'a'},{'type':"
      "'text','text':'b'}]}]}",
      { "{'role':'user','content':'a\\nb'}" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-020 P17 one call at a time, also without a choice",
      O,
      A,
      { 0 },
      CHAT("'parallel_tool_calls':false,'tools':[{'type':'function','function':{'name':'f'}}]"),
      { "'tool_choice':{'type':'auto','disable_parallel_tool_use':true}" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-040 a grammar is told in words where nothing else can",
      R,
      A,
      { 0 },
      GRAMMAR,
      { "'description':'d\\n\\nPass the raw text in `input`. Grammar (lark):\\nstart: /a/','input_schema':{"
        "'type':'object','properties':{'input':{'type':'string'}},'required':['input']" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-040 by compatible servers, too",
      R,
      O,
      { 0 },
      GRAMMAR,
      { "'description':'d\\n\\nPass the raw text in `input`. Grammar (lark):\\nstart: /a/','parameters':{"
        "'type':'object','properties':{'input':{'type':'string'}},'required':['input']" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-040 and as it is where there are free-text tools, as each vendor nests it",
      R,
      O,
      { .custom_tools = true },
      GRAMMAR,
      { "'format':{'type':'grammar','grammar':{'syntax':'lark','definition':'start: /a/'}}" },
      { "raw text" },
      NULL,
      NULL,
      NULL },
    { "C-040 the other way round",
      O,
      R,
      { 0 },
      CHAT("'tools':[{'type':'custom','custom':{'name':'c','format':{'type':'grammar','grammar':{"
           "'definition':'start: /a/','syntax':'lark'}}}}]"),
      { "'format':{'type':'grammar','syntax':'lark','definition':'start: /a/'}" },
      { "raw text" },
      NULL,
      NULL,
      NULL },
    { "examples of a tool stand in its description",
      A,
      O,
      { 0 },
      MESSAGES("'tools':[{'name':'f','description':'d','input_schema':{'type':'object'},"
               "'input_examples':[{'a':1}]}]"),
      { "'description':'d\\n\\nExamples of its input: [{\\'a\\':1}]'" },
      { NULL },
      NULL,
      "tools[0].input_examples=description",
      NULL },
    { "a search stands for another's where that is wanted",
      A,
      R,
      { .web_search = true },
      MESSAGES(
          "'tools':[{'type':'web_search_20260318','name':'web_search','max_uses':3,'user_location':{'type':'approximate','city':'Ulm'}}]"),
      { "'tools':[{'type':'web_search','user_location':{'type':'approximate','city':'Ulm'}}]" },
      { NULL },
      NULL,
      "tools[0]=web_search",
      NULL },
    { "and is Chat's setting",
      R,
      O,
      { .web_search = true },
      "{'input':'u','tools':[{'type':'web_search','search_context_size':'low','user_location':{'type':'approximate','city':'Ulm','country':'DE'}}]}",
      { "'web_search_options':{'search_context_size':'low','user_location':{'type':'approximate','approximate':{'city':'Ulm','country':'DE'}}}" },
      { "'tools'" },
      NULL,
      "tools[0]=web_search",
      NULL },
    { "and Anthropic's tool",
      O,
      A,
      { .web_search = true },
      CHAT(
          "'web_search_options':{'search_context_size':'low','user_location':{'type':'approximate','approximate':{'city':'Ulm'}}}"),
      { "'tools':[{'type':'web_search_20250305','name':'web_search','user_location':{'type':'approximate','city':'Ulm'}}]" },
      { NULL },
      NULL,
      "web_search_options=web_search",
      NULL },
    { "and Gemini's entry",
      R,
      G,
      { .web_search = true },
      "{'input':'u','tools':[{'type':'web_search','search_context_size':'low','user_location':{'type':'approximate','city':'Ulm','country':'DE'}}]}",
      { "'tools':[{'googleSearch':{}}]" },
      { NULL },
      NULL,
      "tools[0]=web_search",
      NULL },
    { "also beside functions, with newer models",
      R,
      G,
      { .web_search = true, .signs_calls = true },
      "{'input':'u','tools':[{'type':'web_search'},{'type':'function','name':'f'}]}",
      { "]},{'googleSearch':{}}]" },
      { NULL },
      NULL,
      "tools[0]=web_search",
      NULL },
    { "but not with older ones",
      R,
      G,
      { .web_search = true },
      "{'input':'u','tools':[{'type':'web_search'},{'type':'function','name':'f'}]}",
      { "functionDeclarations" },
      { "googleSearch" },
      "tools[0]",
      NULL,
      NULL },
    { "Gemini's for Anthropic's",
      G,
      A,
      { .web_search = true },
      "{'contents':[{'parts':[{'text':'u'}]}],'tools':[{'google_search':{}}]}",
      { "'tools':[{'type':'web_search_20250305','name':'web_search'}]" },
      { NULL },
      NULL,
      "tools[0]=web_search",
      NULL },
    { "OpenAI's two formats have one search",
      O,
      R,
      { 0 },
      CHAT(
          "'web_search_options':{'search_context_size':'low','user_location':{'type':'approximate','approximate':{'city':'Ulm'}}}"),
      { "'tools':[{'type':'web_search','search_context_size':'low','user_location':{'type':'approximate','city':'Ulm'}}]" },
      { NULL },
      NULL,
      "web_search_options=web_search",
      NULL },
    { "a search that is not wanted elsewhere is lost",
      O,
      A,
      { 0 },
      CHAT(
          "'web_search_options':{'search_context_size':'low','user_location':{'type':'approximate','approximate':{'city':'Ulm'}}}"),
      { NULL },
      { "search" },
      "web_search_options",
      NULL,
      NULL },
    { "and a request that is about nothing else is refused",
      A,
      O,
      { 0 },
      MESSAGES(
          "'tools':[{'type':'web_search_20260318','name':'web_search','max_uses':3,'user_location':{'type':'approximate','city':'Ulm'}}]"),
      { NULL },
      { NULL },
      NULL,
      NULL,
      "tools" },
    { "beside functions it is lost",
      A,
      O,
      { 0 },
      MESSAGES(
          "'tools':[{'type':'web_search_20250305','name':'web_search'},{'name':'f','input_schema':{'type':'object'}}]"),
      { "'tools':[{'type':'function'" },
      { "search" },
      "tools[0]",
      NULL,
      NULL },
    { "but may not be forced",
      A,
      O,
      { 0 },
      MESSAGES(
          "'tools':[{'type':'web_search_20250305','name':'web_search'},{'name':'f','input_schema':{'type':'object'}}],'tool_choice':{'type':'tool','name':'web_search'}"),
      { NULL },
      { NULL },
      NULL,
      NULL,
      "tool_choice" },
    { "C-051 a vendor is always asked for usage",
      A,
      O,
      { 0 },
      MESSAGES("'stream':true"),
      { "'stream_options':{'include_usage':true}" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-060 an effort goes down to one that the model knows",
      O,
      O,
      { .efforts = BIT(EFFORT_LOW) | BIT(EFFORT_HIGH) },
      CHAT("'reasoning_effort':'max'"),
      { "'reasoning_effort':'high'" },
      { NULL },
      NULL,
      "reasoning_effort=max>high",
      NULL },
    { "C-060 none becomes the least where a model always thinks",
      O,
      A,
      { .reasons = REASONS_ADAPTIVE,
        .always_thinks = true,
        .efforts = BIT(EFFORT_LOW) | BIT(EFFORT_HIGH) },
      CHAT("'reasoning_effort':'none'"),
      { "'thinking':{'type':'adaptive'},'output_config':{'effort':'low'}" },
      { "disabled" },
      NULL,
      "reasoning_effort=none>low",
      NULL },
    { "C-111 a model that thinks only when asked takes settings until then",
      A,
      O,
      { .no_sampling = true },
      MESSAGES("'temperature':0.5"),
      { "'temperature':0.5" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-111 and none while it thinks",
      A,
      O,
      { .no_sampling = true },
      MESSAGES("'temperature':0.5,'output_config':{'effort':'high'}"),
      { "'reasoning_effort':'high'" },
      { "temperature" },
      "temperature",
      NULL,
      NULL },
    { "C-067 a model that thinks unasked takes its thoughts back",
      O,
      A,
      { .reasons = REASONS_ADAPTIVE, .reasons_unasked = true },
      "{'messages':[" U ",{'role':'assistant','content':'t','reasoning_details':[{'type':"
      "'reasoning.text','text':'Hm','signature':'S1','format':'anthropic-claude-v1'}]}," U "]}",
      { "[{'type':'thinking','thinking':'Hm','signature':'S1'},{'type':'text','text':'t'}]" },
      { "'thinking':{" },
      NULL,
      NULL,
      NULL },
    { "C-061 a budget leaves room for the answer",
      O,
      A,
      { .reasons = REASONS_BUDGET },
      CHAT("'reasoning_effort':'high','max_tokens':4096"),
      { "'max_tokens':4096,'thinking':{'type':'enabled','budget_tokens':3072}" },
      { NULL },
      NULL,
      "reasoning_effort=high>3072",
      NULL },
    { "C-061 or there is no thinking",
      O,
      A,
      { .reasons = REASONS_BUDGET },
      CHAT("'reasoning_effort':'high','max_tokens':1500"),
      { "'max_tokens':1500" },
      { "enabled" },
      NULL,
      "reasoning_effort=high>0",
      NULL },
    { "C-062 P27 what thinking forbids is dropped",
      O,
      A,
      { .reasons = REASONS_BUDGET },
      CHAT("'reasoning_effort':'low','temperature':0.5,'top_p':0.9,'top_k':3"),
      { "'budget_tokens':2048" },
      { "temperature", "top_" },
      "temperature,top_p,top_k",
      "reasoning_effort=low>2048",
      NULL },
    { "C-063 P28 reasoning goes back where it is wanted",
      O,
      O,
      { .needs_reasoning = true },
      "{'messages':[" U ",{'role':'assistant','content':'a','reasoning_content':'Hm'}," U
      ",{'role':'assistant','content':'b'}," U "]}",
      { "'content':'a','reasoning_content':'Hm'", "'content':'b','reasoning_content':' '" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-068 thinking stops where the loop's thoughts are gone",
      O,
      A,
      { .reasons = REASONS_BUDGET },
      "{'reasoning_effort':'low','messages':[" U ",{'role':'assistant','tool_calls':[{'id':'c',"
      "'function':{'name':'f','arguments':'{}'}}]},{'role':'tool','tool_call_id':'c','content':'r'}],"
      "'tools':[{'type':'function','function':{'name':'f'}}]}",
      { "'thinking':{'type':'disabled'}" },
      { "budget" },
      NULL,
      "reasoning_effort=disabled",
      NULL },
    { "C-068 but not once the loop is over",
      O,
      A,
      { .reasons = REASONS_BUDGET },
      "{'reasoning_effort':'low','messages':[" U ",{'role':'assistant','tool_calls':[{'id':'c',"
      "'function':{'name':'f','arguments':'{}'}}]},{'role':'tool','tool_call_id':'c','content':'r'}," U
      "," U "],'tools':[{'type':'function','function':{'name':'f'}}]}",
      { "'budget_tokens':2048" },
      { "disabled" },
      NULL,
      "reasoning_effort=low>2048",
      NULL },
    { "C-096 P35 parameters of data URLs mean nothing, and pictures keep their order",
      O,
      A,
      { 0 },
      "{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{'url':"
      "'data:image/png;name=a.png;base64," PNG "'}},{'type':'image_url','image_url':{'url':"
      "'https://a/b.gif'}}]}]}",
      { "{'type':'base64','media_type':'image/png','data':'" PNG "'}},{'type':'image','source':{"
        "'type':'url','url':'https://a/b.gif'}}" },
      { "name=" },
      NULL,
      NULL,
      NULL },
    { "C-096 data that is not base64 becomes it",
      O,
      A,
      { 0 },
      "{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{'url':'data:image/png;x=y,%89PNG%0d%0A%1A%0a'}}]}]}",
      { "{'type':'base64','media_type':'image/png','data':'iVBORw0KGgo='}" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-096 a type that nobody said is seen",
      O,
      A,
      { 0 },
      "{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{'url':'data:;base64,iVBORw0KGgo='}}]}]}",
      { "'media_type':'image/png'" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-096 or asked for",
      O,
      A,
      { 0 },
      "{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{'url':'data:;base64,AAAA'}}]}]}",
      { NULL },
      { NULL },
      NULL,
      NULL,
      "messages[0].content[0].image_url" },
    { "C-096 C-103 a text in a URL is a text",
      O,
      A,
      { 0 },
      "{'messages':[{'role':'user','content':[{'type':'file','file':{'filename':'n','file_data':'data:text/plain,a%20b'}}]}]}",
      { "'source':{'type':'text','media_type':'text/plain','data':'a b'},'title':'n'" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-097 an address goes where addresses are read",
      A,
      O,
      { 0 },
      "{'max_tokens':9,'messages':[{'role':'user','content':[{'type':'image','source':{'type':'url','url':'https://a/b.png'}}]}]}",
      { "{'type':'image_url','image_url':{'url':'https://a/b.png'}}" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-097 to Gemini with its type",
      A,
      G,
      { 0 },
      "{'max_tokens':9,'messages':[{'role':'user','content':[{'type':'image','source':{'type':'url','url':'https://a/b.png'}}]}]}",
      { "{'fileData':{'mimeType':'image/png','fileUri':'https://a/b.png'}}" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-097 a document's to Responses",
      A,
      R,
      { 0 },
      "{'max_tokens':99,'messages':[{'role':'user','content':[{'type':'document','source':{'type':'url','url':'https://a/b.pdf'}}]}]}",
      { "'file_url':'https://a/b.pdf'" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-097 and is refused where they are not: nothing is fetched",
      A,
      O,
      { 0 },
      "{'max_tokens':9,'messages':[{'role':'user','content':[{'type':'document','source':{'type':'url','url':'https://a/b.pdf'}}]}]}",
      { NULL },
      { NULL },
      NULL,
      NULL,
      "messages[0].content[0]" },
    { "C-099 a document has a name",
      A,
      O,
      { 0 },
      "{'max_tokens':9,'messages':[{'role':'user','content':[{'type':'document','source':{'type':"
      "'base64','media_type':'application/pdf','data':'JVBERi0x'}}]}]}",
      { "'filename':'document-1.pdf','file_data':'data:application/pdf;base64,JVBERi0x'" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-100 no sound where there is none",
      O,
      A,
      { 0 },
      "{'messages':[{'role':'user','content':[{'type':'input_audio','input_audio':{'data':'AAAA',"
      "'format':'mp3'}}]}]}",
      { NULL },
      { NULL },
      NULL,
      NULL,
      "messages[0].content[0]" },
    { "C-100 and as it is elsewhere",
      O,
      G,
      { 0 },
      "{'messages':[{'role':'user','content':[{'type':'input_audio','input_audio':{'data':'AAAA',"
      "'format':'mp3'}}]}]}",
      { "'inlineData':{'mimeType':'audio/mp3','data':'AAAA'}" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-102 detail is Chat's and Responses'",
      O,
      R,
      { .official = true },
      "{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{'url':'https://a/b',"
      "'detail':'low'}}]}]}",
      { "'detail':'low'" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-102 and said to be lost elsewhere",
      O,
      A,
      { 0 },
      "{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{'url':'https://a/b',"
      "'detail':'low'}}]}]}",
      { "'url':'https://a/b'" },
      { "detail" },
      "messages[0].content[0].detail",
      NULL,
      NULL },
    { "C-103 a text document is text",
      A,
      O,
      { 0 },
      "{'max_tokens':9,'messages':[{'role':'user','content':[{'type':'document','title':'T',"
      "'source':{'type':'text','media_type':'text/plain','data':'<d> & d'}}]}]}",
      { "'Document: T\\n<d> & d'" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-105 base64 of all kinds becomes the standard one",
      O,
      A,
      { 0 },
      "{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{'url':"
      "'data:image/png;base64,iVBORw0K\\r\\nGg_-'}}]}]}",
      { "'data':'iVBORw0KGg/+'" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-106 P33 a limit is made up where none is said",
      O,
      A,
      { 0 },
      "{'messages':[" U "]}",
      { "'max_tokens':8192" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-106 by the model's",
      O,
      A,
      { .output_max = 4096 },
      "{'messages':[" U "]}",
      { "'max_tokens':4096" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-106 and is never above it",
      O,
      A,
      { .output_max = 4096 },
      CHAT("'max_tokens':9999"),
      { "'max_tokens':4096" },
      { NULL },
      NULL,
      "max_tokens=9999>4096",
      NULL },
    { "C-108 the larger of two limits counts",
      O,
      R,
      { 0 },
      CHAT("'max_tokens':50,'max_completion_tokens':60"),
      { "'max_output_tokens':60" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-108 under its name at the vendor",
      A,
      O,
      { .old_cap = true },
      MESSAGES("'top_p':1"),
      { "'max_tokens':100" },
      { "max_completion" },
      NULL,
      NULL,
      NULL },
    { "C-110 one of two settings",
      O,
      A,
      { .one_sampling = true },
      CHAT("'temperature':0.5,'top_p':0.9"),
      { "'temperature':0.5" },
      { "top_p" },
      "top_p",
      NULL,
      NULL },
    { "C-112 blank stops are dropped",
      O,
      A,
      { 0 },
      CHAT("'stop':['a',' ','']"),
      { "'stop_sequences':['a']" },
      { NULL },
      "stop[1]",
      NULL,
      NULL },
    { "C-114 a name for a person is told",
      O,
      A,
      { 0 },
      CHAT("'user':'user-7'"),
      { "'metadata':{'user_id':'user-7'}" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-114 but no address",
      O,
      A,
      { 0 },
      CHAT("'user':'a@b.org'"),
      { "'metadata':{'user_id':'" },
      { "@" },
      NULL,
      NULL,
      NULL },
    { "C-114 and no number",
      O,
      A,
      { 0 },
      CHAT("'user':'+49 (0)731 12345'"),
      { "'metadata':{'user_id':'" },
      { "731" },
      NULL,
      NULL,
      NULL },
    { "C-061 a budget stays within what the model can",
      O,
      A,
      { .reasons = REASONS_BUDGET, .output_max = 32000 },
      CHAT("'reasoning_effort':'max'"),
      { "'max_tokens':32000,'thinking':{'type':'enabled','budget_tokens':30976}" },
      { NULL },
      NULL,
      "reasoning_effort=max>30976",
      NULL },
    { "C-007 calls that nobody answered end no request",
      O,
      A,
      { 0 },
      "{'messages':[" U ",{'role':'assistant','tool_calls':[" CALLED("c", "f") "]}]," TOOL_F "}",
      { NULL },
      { NULL },
      NULL,
      NULL,
      "messages[1]" },
    { "C-007 nor one of Chat",
      A,
      O,
      { 0 },
      "{'max_tokens':9,'messages':[" U
      ",{'role':'assistant','content':[{'type':'tool_use','id':'c','name':'f','input':{}}]}]}",
      { NULL },
      { NULL },
      NULL,
      NULL,
      "messages[1]" },
    { "C-008 paths are the client's own",
      R,
      O,
      { 0 },
      "{'input':[{'type':'message','role':'user','content':'u'},{'type':'function_call_output','call_id':'x','output':'o'}]}",
      { "[result of unknown call x]\\no" },
      { NULL },
      NULL,
      "input[1]=text",
      NULL },
    { "C-115 P34 marks for caches mean nothing elsewhere",
      A,
      O,
      { 0 },
      "{'max_tokens':9,'system':[{'type':'text','text':'s','cache_control':{'type':'ephemeral',"
      "'ttl':'1h'}}],'messages':[{'role':'user','content':[{'type':'text','text':'u',"
      "'cache_control':{'type':'ephemeral'}}]}]}",
      { NULL },
      { "cache_control" },
      NULL,
      NULL,
      NULL },
    { "C-116 a key for caches is kept where there is one",
      O,
      R,
      { 0 },
      CHAT("'prompt_cache_key':'k'"),
      { "'prompt_cache_key':'k'" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "C-116 and said to be lost elsewhere",
      O,
      A,
      { 0 },
      CHAT("'prompt_cache_key':'k'"),
      { NULL },
      { "'k'" },
      "prompt_cache_key",
      NULL,
      NULL },
    { "C-129 editing the context is the vendor's own work",
      A,
      O,
      { 0 },
      MESSAGES("'context_management':{'edits':[]}"),
      { NULL },
      { "edits" },
      "context_management",
      NULL,
      NULL },
    { "C-133 what changes on each request is taken out",
      A,
      O,
      { 0 },
      "{'max_tokens':9,'system':[{'type':'text','text':'x-anthropic-billing-header: 1'},{'type':"
      "'text','text':'s'}],'messages':[" U "]}",
      { "{'role':'system','content':'s'}" },
      { "billing" },
      NULL,
      NULL,
      NULL },
    { "C-134 null is absent",
      O,
      A,
      { 0 },
      CHAT("'stop':null,'temperature':null,'tools':null,'tool_choice':null,'n':null"),
      { "'max_tokens':8192" },
      { "null", "tool" },
      NULL,
      NULL,
      NULL },
    { "P16 schemas keep their definitions, unknown kinds of tools are refused",
      O,
      A,
      { 0 },
      CHAT("'tools':[{'type':'function','function':{'name':'f','parameters':{'type':'object',"
           "'properties':{'a':{'$ref':'#/$defs/x'}},'$defs':{'x':{'type':'string'}}}}}]"),
      { "'input_schema':{'type':'object','properties':{'a':{'$ref':'#/$defs/x'}},'$defs':{'x':{"
        "'type':'string'}}}" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "P16 C-122 with their path",
      O,
      A,
      { 0 },
      CHAT("'tools':[{'type':'magic'}]"),
      { NULL },
      { NULL },
      NULL,
      NULL,
      "tools[0].type" },
    { "P17 a forced tool by name",
      O,
      A,
      { 0 },
      CHAT("'tools':[{'type':'function','function':{'name':'f'}}],'tool_choice':{'type':'function',"
           "'function':{'name':'f'}}"),
      { "'tool_choice':{'type':'tool','name':'f'}" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "P17 any tool",
      A,
      O,
      { 0 },
      MESSAGES(
          "'tools':[{'name':'f','input_schema':{'type':'object'}}],'tool_choice':{'type':'any',"
          "'disable_parallel_tool_use':true}"),
      { "'tool_choice':'required'", "'parallel_tool_calls':false" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "P17 none",
      A,
      O,
      { 0 },
      MESSAGES("'tools':[{'name':'f','input_schema':{'type':'object'}}],'tool_choice':{'type':"
               "'none'}"),
      { "'tool_choice':'none'" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "P19 one turn of results in the order of the calls",
      O,
      G,
      { 0 },
      "{'messages':[" U ",{'role':'assistant','tool_calls':[{'id':'c1','function':{'name':'f',"
      "'arguments':'{}'}},{'id':'c2','function':{'name':'g','arguments':'{}'}}]},{'role':'tool',"
      "'tool_call_id':'c2','content':'2'},{'role':'tool','tool_call_id':'c1','content':'1'}]}",
      { "{'role':'user','parts':[{'functionResponse':{'name':'f','response':{'output':'1'}}},{"
        "'functionResponse':{'name':'g','response':{'output':'2'}}}]}" },
      { NULL },
      NULL,
      NULL,
      NULL },
    { "P22 P25 C-065 thoughts go back as they came, empty ones too",
      O,
      A,
      { .reasons = REASONS_BUDGET },
      "{'reasoning_effort':'low','messages':[" U ",{'role':'assistant','content':'t',"
      "'reasoning_details':[{'type':'reasoning.text','text':'','signature':'S1','format':"
      "'anthropic-claude-v1'},{'type':'reasoning.encrypted','data':'D','format':"
      "'anthropic-claude-v1'}],'tool_calls':[{'id':'c','function':{'name':'f','arguments':'{}'}}]},"
      "{'role':'tool','tool_call_id':'c','content':'r'}],'tools':[{'type':'function','function':{"
      "'name':'f'}}]}",
      { "[{'type':'thinking','thinking':'','signature':'S1'},{'type':'redacted_thinking','data':"
        "'D'},{'type':'text','text':'t'},{'type':'tool_use'" },
      { NULL },
      NULL,
      "reasoning_effort=low>2048",
      NULL },
    { "P26 C-064 a foreign signature is not sent",
      O,
      A,
      { .reasons = REASONS_BUDGET },
      "{'reasoning_effort':'low','messages':[" U ",{'role':'assistant','content':'t',"
      "'reasoning_details':[{'type':'reasoning.encrypted','data':'ENC','format':"
      "'openai-responses-v1'}]}," U "]}",
      { "'content':[{'type':'text','text':'t'}]" },
      { "ENC" },
      NULL,
      "reasoning_effort=low>2048",
      NULL },
    { "P32 C-002 a late system text keeps its place",
      O,
      A,
      { 0 },
      "{'messages':[" U ",{'role':'assistant','content':'a'},{'role':'system','content':'s'}," U
      "]}",
      { "[{'type':'text','text':'<system>s</system>'},{'type':'text','text':'u'}]" },
      { "'system':[" },
      NULL,
      "messages[2].role=user",
      NULL },
    { "C-121 many members are all read, and the system's text first, wherever it stands",
      A,
      O,
      { 0 },
      "{'max_tokens':9,'a':1,'b':1,'c':1,'d':1,'e':1,'f':1,'g':1,'h':1,'i':1,'j':1,'k':1,'l':1,"
      "'m':1,'n':1,'o':1,'p':1,'q':1,'r':1,'s':1,'t':1,'u':1,'v':1,'w':1,'x':1,'y':1,'z':1,"
      "'messages':[" U "],'temperature':0.5,'system':'S'}",
      { "'messages':[{'role':'system','content':'S'}," U "]", "'temperature':0.5" },
      { NULL },
      "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z",
      NULL,
      NULL },
    { "P39 C-121 unknown members are said to be lost",
      O,
      A,
      { 0 },
      CHAT("'magic':{'a':1}"),
      { NULL },
      { "magic" },
      "magic",
      NULL,
      NULL },
};

static unsigned wrong_list(const char *title, const char *what, struct span got, const char *want)
{
    char due[TEXT_MAX];
    quoted(due, want != NULL ? want : "");
    if (span_eq(got, span_str(due)))
        return 0;
    fprintf(stderr, "%s: %s %.*s, not %s\n", title, what, (int)got.len, got.ptr, due);
    return 1;
}

static void requests_keep_the_rules(void)
{
    static char body[TEXT_MAX];
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        const struct request_row *row = &requests[i];
        struct losses losses;
        struct prompt_parse parse;
        struct span out =
            run_request(row->from, row->to, quoted(body, row->body), &row->caps, &losses, &parse);
        if (row->refused != NULL) {
            struct span path =
                failed(parse.err) ? span_str(parse.path) : span_of(losses.path, losses.path_len);
            EXPECT_EQ(out.len, 0);
            EXPECT_EQ(wrong_list(row->title, "refused", path, row->refused), 0);
            continue;
        }
        unsigned wrong = wrong_in(row->title, out, row->has, row->lacks);
        wrong += wrong_list(row->title, "dropped", losses_dropped(&losses), row->dropped);
        wrong += wrong_list(row->title, "adjusted", losses_adjusted(&losses), row->adjusted);
        EXPECT_EQ(wrong, 0);
    }
}

// --- streams ---

struct stream_row {
    const char *title;
    enum wire_family from, to;
    const char *events; // the data of each on a line of its own, or whole blocks if it begins so
    const char *has[WANTS];
    const char *lacks[LACKS];
};

#define DELTA(delta) "{'id':'c','choices':[{'index':0,'delta':" delta ",'finish_reason':null}]}\n"
#define END(reason) "{'id':'c','choices':[{'index':0,'delta':{},'finish_reason':'" reason "'}]}\n"
#define DONE "[DONE]\n"
#define START(usage)                                                                                 \
    "{'type':'message_start','message':{'id':'msg_1','role':'assistant','content':[],'usage':" usage \
    "}}\n"
#define BLOCK(n, block) "{'type':'content_block_start','index':" n ",'content_block':" block "}\n"
#define MORE(n, delta) "{'type':'content_block_delta','index':" n ",'delta':" delta "}\n"
#define STOP(n) "{'type':'content_block_stop','index':" n "}\n"
#define OVER(reason, usage)                                   \
    "{'type':'message_delta','delta':{'stop_reason':'" reason \
    "','stop_sequence':null},'usage':" usage "}\n{'type':'message_stop'}\n"
#define IN "{'input_tokens':15,'cache_read_input_tokens':5,'output_tokens':1}"
#define TEXT_BLOCK                          \
    BLOCK("0", "{'type':'text','text':''}") \
    MORE("0", "{'type':'text_delta','text':'Hi'}") STOP("0")
#define FIRST \
    "{'tool_calls':[{'index':0,'id':'c1','type':'function','function':{'name':'f','arguments':''}}]}"
#define MORE_ARGS(args) "{'tool_calls':[{'index':0,'function':{'arguments':'" args "'}}]}"

#define R_CALL                                                                                   \
    "{'type':'response.created','response':{'id':'resp_1'}}\n"                                   \
    "{'type':'response.output_item.added','output_index':0,'item':{'type':'function_call','id':" \
    "'fc','call_id':'c1','name':'f','arguments':''}}\n"
#define R_ARGS(n, text)                                                     \
    "{'type':'response.function_call_arguments.delta','sequence_number':" n \
    ",'item_id':'fc','output_index':0,'delta':'" text "'}\n"
#define R_DONE(all)                                                                         \
    "{'type':'response.function_call_arguments.done','item_id':'fc','output_index':0,"      \
    "'arguments':'" all "'}\n{'type':'response.output_item.done','output_index':0,'item':{" \
    "'type':'function_call','id':'fc','call_id':'c1','name':'f','arguments':'" all          \
    "','status':'completed'}}\n{'type':'response.completed','response':{'id':'resp_1',"     \
    "'status':'completed','output':[]}}\n"

static const struct stream_row streams[] = {
    { "C-024 C-023 P02 P20 fragments of arguments pass one by one",
      O,
      A,
      DELTA(FIRST) DELTA(MORE_ARGS("{\\'a\\':\\'x\\\\")) DELTA(MORE_ARGS("n\\'}")) END("tool_calls")
          DONE,
      { "'partial_json':'{\\'a\\':\\'x\\\\'", "'partial_json':'n\\'}'" },
      { "'{}'" } },
    { "C-041 an answer without an end is none", O, A, DELTA("{'content':'a'}"), { NULL }, { "a" } },
    { "C-044 P18 a pause is a stop elsewhere",
      A,
      O,
      START(IN) TEXT_BLOCK OVER("pause_turn", "{}"),
      { "'finish_reason':'stop'" },
      { "pause" } },
    { "C-045 P18 a refusal of the model's is text, and said to be one",
      O,
      A,
      DELTA("{'refusal':'no'}") END("stop") DONE,
      { "'text_delta','text':'no'", "'stop_reason':'refusal'" },
      { NULL } },
    { "C-045 P18 what a vendor refuses is filtered",
      A,
      O,
      START(IN) TEXT_BLOCK OVER("refusal", "{}"),
      { "'finish_reason':'content_filter'" },
      { NULL } },
    { "C-052 C-053 P48 P51 P61 usage comes late, and beside a choice",
      O,
      A,
      DELTA("{'content':'a'}") END(
          "stop") "{'choices':[{'index':0,'delta':{}}],'usage':{'prompt_tokens':20,'completion_tokens':9,"
                  "'prompt_tokens_details':{'cached_tokens':5}}}\n" DONE,
      { "'usage':{'input_tokens':15,'cache_creation_input_tokens':0,'cache_read_input_tokens':5,"
        "'output_tokens':9," },
      { NULL } },
    { "C-050 C-055 C-056 P52 P55 P56 counts are taken, not added",
      A,
      O,
      START(IN) TEXT_BLOCK OVER("end_turn", "{'output_tokens':9}"),
      { "'prompt_tokens':20,'completion_tokens':9,'total_tokens':29,'prompt_tokens_details':{"
        "'cached_tokens':5" },
      { NULL } },
    { "P53 P54 counts of the cache come late, and zeros take nothing back",
      A,
      O,
      START("{'input_tokens':15,'output_tokens':1}") TEXT_BLOCK
      "{'type':'message_delta','delta':{'stop_reason':null},'usage':{'cache_read_input_tokens':5,"
      "'output_tokens':3}}\n" OVER("end_turn", "{'cache_read_input_tokens':0,'output_tokens':9}"),
      { "'prompt_tokens':20,'completion_tokens':9,'total_tokens':29,'prompt_tokens_details':{"
        "'cached_tokens':5" },
      { NULL } },
    { "P70 what Gemini took from its cache is told",
      G,
      O,
      "{'candidates':[{'index':0,'content':{'parts':[{'text':'a'}]},'finishReason':'STOP'}],"
      "'usageMetadata':{'promptTokenCount':20,'cachedContentTokenCount':5,'candidatesTokenCount':9,"
      "'totalTokenCount':29}}\n",
      { "'prompt_tokens':20", "'cached_tokens':5" },
      { NULL } },
    { "P58 what Gemini tells by kinds of content is told once",
      G,
      O,
      "{'candidates':[{'index':0,'content':{'parts':[{'text':'a'}]},'finishReason':'STOP'}],"
      "'usageMetadata':{'promptTokenCount':20,'cachedContentTokenCount':5,'candidatesTokenCount':9,"
      "'totalTokenCount':29,'promptTokensDetails':[{'modality':'TEXT','tokenCount':12},{'modality':"
      "'IMAGE','tokenCount':8}],'cacheTokensDetails':[{'modality':'TEXT','tokenCount':5}]}}\n",
      { "'prompt_tokens':20,'completion_tokens':9,'total_tokens':29", "'cached_tokens':5" },
      { NULL } },
    { "C-057 what is not known of reasoning is left out",
      A,
      O,
      START(IN) TEXT_BLOCK OVER("end_turn", "{'output_tokens':9}"),
      { "'completion_tokens_details':{}" },
      { "reasoning_tokens" } },
    { "C-057 but a zero for Responses",
      A,
      R,
      START(IN) TEXT_BLOCK OVER("end_turn", "{}"),
      { "'output_tokens_details':{'reasoning_tokens':0}" },
      { NULL } },
    { "C-078 events have many forms",
      O,
      A,
      "event: other\r\ndata:{'choices':[{'index':0,'delta':{'content':'a'}}]}\r\n\r\n"
      ": comment\n\ndata: {'choices':[{'index':0,'delta':{'content':'b'},'finish_reason':'stop'}]}\n"
      "id: 7\nretry: 5\n\ndata:[DONE] \n\n",
      { "'text':'a'", "'text':'b'", "message_stop'" },
      { NULL } },
    { "C-079 chunks without a choice or a delta say nothing",
      O,
      A,
      "{'id':'c','choices':[],'prompt_filter_results':[]}\n{'id':'c'}\n"
      "{'id':'c','choices':[{'index':0,'delta':null}]}\n{'id':'c','choices':[{'index':0}]}\n" DELTA(
          "{'content':'a'}") END("stop") DONE,
      { "content_block_start',", "'text':'a'" },
      { NULL } },
    { "C-080 only Chat's clients see the mark of the end",
      O,
      A,
      DELTA("{'content':'a'}") END("stop") DONE DELTA("{'content':'late'}"),
      { "message_stop'" },
      { "DONE" } },
    { "C-081 P09 P10 one beginning, before everything",
      O,
      A,
      DELTA("{'role':'assistant'}") DELTA("{'role':'assistant','content':''}") DELTA(FIRST)
          DELTA(MORE_ARGS("{}")) END("tool_calls") DONE,
      { "event: message_start\n" },
      { NULL } },
    { "C-082 P01 nothing empty is opened",
      O,
      A,
      DELTA("{'role':'assistant','content':'','tool_calls':[]}") DELTA(
          "{'content':'a','tool_calls':[]}") DELTA(FIRST) DELTA(MORE_ARGS("{}")) END("stop") DONE,
      { "'type':'text','text':''", "'type':'tool_use'" },
      { NULL } },
    { "C-085 places are counted anew",
      O,
      R,
      DELTA("{'content':'a'}") DELTA(FIRST) DELTA(MORE_ARGS("{}")) END("tool_calls") DONE,
      { "event: response.output_text.delta\n", "'output_index':1,'delta':'{}'" },
      { NULL } },
    { "C-086 C-093 C-125 one id, one role, the client's name for the model",
      A,
      O,
      START(IN) TEXT_BLOCK OVER("end_turn", "{}"),
      { "'role':'assistant'" },
      { "msg_1" } },
    { "C-089 P134 after an error there is no end",
      O,
      A,
      DELTA("{'content':'a'}") "{'error':{'message':'m','type':'server_error'}}\n" END("stop") DONE,
      { NULL },
      { "message_stop" } },
    { "C-124 unknown words for a tier are dropped",
      O,
      A,
      "{'id':'c','service_tier':'gold','choices':[{'index':0,'delta':{'content':'a'},"
      "'finish_reason':'stop'}]}\n" DONE,
      { "'text':'a'" },
      { "gold" } },
    { "P03 a whole call of Gemini's is begun, told and ended",
      G,
      A,
      "{'candidates':[{'index':0,'content':{'parts':[{'functionCall':{'name':'f','args':{'a':1}}}]},"
      "'finishReason':'STOP'}]}\n",
      { "'type':'tool_use'", "'partial_json':'{\\'a\\':1}'", "content_block_stop'",
        "'stop_reason':'tool_use'" },
      { NULL } },
    { "P04 arguments that come only at the end",
      R,
      A,
      "{'type':'response.created','response':{'id':'resp_1'}}\n"
      "{'type':'response.output_item.added','output_index':0,'item':{'type':'function_call','id':"
      "'fc','call_id':'c1','name':'f','arguments':''}}\n"
      "{'type':'response.function_call_arguments.done','item_id':'fc','output_index':0,'arguments':"
      "'{\\'a\\':1}'}\n"
      "{'type':'response.output_item.done','output_index':0,'item':{'type':'function_call','id':"
      "'fc','call_id':'c1','name':'f','arguments':'{\\'a\\':1}','status':'completed'}}\n"
      "{'type':'response.completed','response':{'id':'resp_1','status':'completed','output':[]}}\n",
      { "'partial_json':'{\\'a\\':1}'" },
      { "'{}'" } },
    { "P04 and those whose deltas are not all, however many are alike",
      R,
      A,
      R_CALL R_ARGS("1", "{\\'a\\':") R_ARGS("2", "[") R_ARGS("3", "1,") R_ARGS("4", "2,")
          R_DONE("{\\'a\\':[1,2,3]}"),
      { "'partial_json':'2,'", "'partial_json':'3]}'", "'stop_reason':'tool_use'" },
      { NULL } },
    { "P05 C-083 a call for a client of Responses",
      O,
      R,
      DELTA(FIRST) DELTA(MORE_ARGS("{}")) END("tool_calls") DONE,
      { "event: response.output_item.added\n", "event: response.function_call_arguments.done\n",
        "event: response.output_item.done\n", "event: response.completed\n" },
      { NULL } },
    { "P06 C-021 C-022 blocks never overlap",
      O,
      A,
      DELTA("{'content':'a'}") DELTA(FIRST) DELTA(
          "{'tool_calls':[{'index':1,'id':'c2','type':'function','function':{'name':'g','arguments':"
          "'{'}}]}") DELTA("{'content':'b'}") DELTA(MORE_ARGS("{}"))
          DELTA("{'tool_calls':[{'index':1,'function':{'arguments':'}'}}]}") END("tool_calls") DONE,
      { "content_block_stop','index':0}\n\nevent: content_block_start\n",
        "content_block_stop','index':1}\n\nevent: content_block_start\n",
        "content_block_stop','index':2}\n\nevent: content_block_start\n", "'name':'g'" },
      { NULL } },
    { "P07 C-023 a call without arguments",
      O,
      A,
      DELTA(FIRST) END("tool_calls") DONE,
      { "'partial_json':'{}'", "content_block_stop'" },
      { NULL } },
    { "P08 C-032 text, then a call",
      O,
      A,
      DELTA("{'content':'a'}") DELTA(FIRST) DELTA(MORE_ARGS("{}")) END("tool_calls") DONE,
      { "'stop_reason':'tool_use'" },
      { NULL } },
    { "P11 a call of Messages' for a client of Chat",
      A,
      O,
      START(IN) BLOCK("0", "{'type':'tool_use','id':'toolu_F','name':'f','input':{}}")
          MORE("0", "{'type':'input_json_delta','partial_json':'{\\'a\\':1}'}") STOP("0")
              OVER("tool_use", "{}"),
      { "{'index':0,'id':'toolu_F','type':'function','function':{'name':'f','arguments':''}}",
        "{'index':0,'function':{'arguments':'{\\'a\\':1}'}}", "'finish_reason':'tool_calls'" },
      { NULL } },
    { "P12 reasoning opens a block of its own",
      O,
      A,
      DELTA("{'reasoning_content':'Hm'}") DELTA("{'content':'a'}") END("stop") DONE,
      { "'type':'thinking','thinking':'','signature':''", "'thinking_delta','thinking':'Hm'",
        "'signature_delta'" },
      { NULL } },
    { "P13 Gemini's thoughts are no text",
      G,
      O,
      "{'candidates':[{'index':0,'content':{'parts':[{'text':'Hm','thought':true},{'text':'a'}]},"
      "'finishReason':'STOP'}]}\n",
      { "'reasoning_content':'Hm'", "'content':'a'" },
      { "'content':'Hm'" } },
    { "P15 C-142 a limit is no completion",
      O,
      R,
      DELTA("{'content':'a'}") END("length") DONE,
      { "event: response.incomplete\n", "'incomplete_details':{'reason':'max_output_tokens'}" },
      { "response.completed" } },
    { "P18 a filter is a refusal",
      O,
      A,
      DELTA("{'content':'a'}") END("content_filter") DONE,
      { "'stop_reason':'refusal'" },
      { NULL } },
    { "P18 a limit",
      A,
      O,
      START(IN) TEXT_BLOCK OVER("max_tokens", "{}"),
      { "'finish_reason':'length'" },
      { NULL } },
    { "P18 C-049 a stop sequence",
      A,
      O,
      START(IN) TEXT_BLOCK OVER("stop_sequence", "{}"),
      { "'finish_reason':'stop'" },
      { NULL } },
    { "P23 a signature is told as one",
      O,
      A,
      DELTA("{'reasoning':'Hm'}")
          DELTA("{'reasoning_details':[{'signature':'S','format':'anthropic-claude-v1'}]}")
              DELTA("{'content':'a'}") END("stop") DONE,
      { "{'type':'signature_delta','signature':'S'}" },
      { NULL } },
    { "P29 C-066 what only its vendor can read goes through",
      A,
      O,
      START(IN) BLOCK("0", "{'type':'redacted_thinking','data':'D'}") STOP("0")
          TEXT_BLOCK OVER("end_turn", "{}"),
      { "{'type':'reasoning.encrypted','data':'D','format':'anthropic-claude-v1','index':0}" },
      { "'content':'D'" } },
    { "P62 a zero stays a zero",
      O,
      A,
      DELTA("{'content':'a'}") END(
          "stop") "{'choices':[],'usage':{'prompt_tokens':0,'completion_tokens':0,'total_tokens':0}}\n" DONE,
      { "event: message_delta\n",
        "'cache_read_input_tokens':0,'output_tokens':0,'output_tokens_details'" },
      { NULL } },
    { "P138 C-144 a signature behind the text leaves no block behind it",
      G,
      A,
      "{'candidates':[{'index':0,'content':{'parts':[{'text':'a'}]}}]}\n"
      "{'candidates':[{'index':0,'content':{'parts':[{'text':'','thoughtSignature':'VFNJRw=='}]},"
      "'finishReason':'STOP'}]}\n",
      { "event: content_block_start\n" },
      { "redacted", "'thinking'" } },
};

// The stream as it is on the wire.
static struct span wire_text(char *out, const char *events)
{
    static char text[TEXT_MAX];
    struct span rest = span_str(quoted(text, events));
    size_t len = 0;
    if (rest.ptr[0] != '{' && rest.ptr[0] != '[') {
        memcpy(out, rest.ptr, rest.len);
        return span_of(out, rest.len);
    }
    while (rest.len > 0) {
        size_t line = span_find(rest, '\n');
        EXPECT(len + line + 16 < TEXT_MAX);
        len += (size_t)snprintf(out + len, TEXT_MAX - len, "data: %.*s\n\n", (int)line, rest.ptr);
        rest = span_from(rest, min_size(line + 1, rest.len));
    }
    return span_of(out, len);
}

static void streams_keep_the_rules(void) // P40: cut anywhere they are the same
{
    static char text[TEXT_MAX], whole[TEXT_MAX];
    struct answer_facts facts = run_facts(NULL);
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        const struct stream_row *row = &streams[i];
        struct span in = wire_text(text, row->events);
        struct span out = run_stream_facts(row->from, row->to, in, SIZE_MAX / 2, &facts);
        EXPECT_EQ(wrong_in(row->title, out, row->has, row->lacks), 0);
        EXPECT(out.len < sizeof(whole));
        memcpy(whole, out.ptr, out.len);
        size_t len = out.len;
        for (size_t chop = 1; chop < 9; chop += 2) {
            out = run_stream_facts(row->from, row->to, in, chop, &facts);
            EXPECT(span_eq(out, span_of(whole, len)));
        }
    }
}

// --- thoughts between tags ---

// A stream of Chat's with `text` in pieces of `chop` bytes, for a client of Messages.
static struct span tagged(const char *text, size_t chop, const char *finish, bool wanted)
{
    static char body[TEXT_MAX], in[TEXT_MAX];
    static struct run_stream run;
    static struct encode encode;
    static struct aliases aliases;
    static struct undo undo;
    static const struct prompt prompt;
    const struct caps caps = { .think_tags = wanted };
    struct losses losses;
    size_t len = 0, size = strlen(text);
    for (size_t at = 0, step; at < size; at += step) {
        step = min_size(chop, size - at);
        while (at + step < size && words_torn(span_of(text + at, step)) > 0)
            step++;
        len += (size_t)snprintf(body + len, TEXT_MAX - len, DELTA("{'content':'%.*s'}"), (int)step,
                                text + at);
    }
    (void)snprintf(body + len, TEXT_MAX - len, "%s", finish);
    struct answer_facts facts = run_facts(NULL);
    struct sink sink = run_sink();
    EXPECT(aliases_init(&aliases, &prompt, O, &caps, &chunks, &losses));
    EXPECT_EQ(aliases.plain, !wanted);
    encode_init(&encode, converter_of(A), &facts, &sink, &chunks, RUN_KEPT);
    undo_init(&undo, &aliases, &chunks, RUN_KEPT, encode_put, &encode);
    (void)run_decode(&run, O, wire_text(in, body), SIZE_MAX / 2, undo_put, &undo);
    struct usage usage = { 0 };
    encode_end(&encode, &usage);
    EXPECT(!encode.failed && !undo_failed(&undo));
    encode_fini(&encode);
    undo_fini(&undo);
    aliases_fini(&aliases);
    return run_text(&sink);
}

// What a stream says as thoughts or as text, put together.
static const char *said_as(struct span out, const char *member)
{
    static char said[TEXT_MAX];
    char mark[64];
    const size_t len = (size_t)snprintf(mark, sizeof(mark), "_delta\",\"%s\":\"", member);
    struct sink sink = sink_into(said, sizeof(said) - 1);
    for (size_t i = 0; i + len <= out.len; i++) {
        if (memcmp(out.ptr + i, mark, len) != 0)
            continue;
        struct span rest = span_from(out, i + len);
        size_t end = 0;
        while (rest.ptr[end] != '"' || rest.ptr[end - 1] == '\\')
            end++;
        sink_put(&sink, span_upto(rest, end));
    }
    *sink.at = '\0';
    return said;
}

static void thoughts_between_tags(void) // C-074, P14
{
    static const struct {
        const char *text, *thought, *answer;
    } rows[] = {
        { "<think>Hm, a < b</think>\\n\\nHi", "Hm, a < b", "Hi" },
        { "\\n <think>Hm</think>Hi <think>no</think>", "Hm", "Hi <think>no</think>" },
        { "\\u003cthink\\u003eHm\\n\\u003c\\/think>Hi", "Hm\\n", "Hi" },
        { "<think></think>Hi", "", "Hi" },
        { "<think>a</thin</think>b", "a</thin", "b" },
        { "<think>a<</think>b", "a<", "b" },
        { "Hi <think>a</think>", "", "Hi <think>a</think>" },
        { "<thinking>a", "", "<thinking>a" },
        { "\\n<thi", "", "\\n<thi" },
        { "<think>never</thin", "never</thin", "" }, // no end: all of it
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t chop = 1; chop < 40; chop++) {
            struct span out = tagged(rows[i].text, chop, END("stop") DONE, true);
            EXPECT_SPAN(span_str(said_as(out, "thinking")), rows[i].thought);
            EXPECT_SPAN(span_str(said_as(out, "text")), rows[i].answer);
            out = tagged(rows[i].text, chop, END("stop") DONE, false); // off by default
            EXPECT_SPAN(span_str(said_as(out, "text")), rows[i].text);
        }
    static const char *const order[] = { "\"thinking\":\"a\"", "\"signature_delta\"", "tool_use",
                                         NULL };
    EXPECT(run_has_in_order(
        tagged("<think>a", 99, DELTA(FIRST) DELTA(MORE_ARGS("{}")) END("tool_calls") DONE, true),
        order));
}

static void drop_delta(void *ctx, const struct delta *delta)
{
    (void)ctx, (void)delta;
}

// Arguments that are done in other words than they were told are the vendor's failure.
static void a_vendor_may_not_contradict_itself(void)
{
    static char text[TEXT_MAX];
    static struct run_stream run;
    static const struct {
        const char *events;
        bool broken;
    } rows[] = {
        { R_CALL R_ARGS("1", "{\\'a\\':1}") R_DONE("{\\'a\\':1}"), false },
        { R_CALL R_ARGS("1", "{\\'\xc3\xa9\\':1}") R_DONE("{\\'\\u00e9\\':1}"), false },
        { R_CALL R_ARGS("1", "{\\'a\\':1}") R_DONE(""), false }, // it tells nothing
        { R_CALL R_ARGS("1", "{\\'a\\':1}") R_DONE("{\\'a\\':2}"), true },
        { R_CALL R_ARGS("1", "{\\'a\\':1}") R_DONE("{\\'a\\':"), true },
        { R_CALL R_ARGS("1", "{") R_ARGS("2", "}") R_ARGS("3", " ") R_DONE("{}}"), true },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)run_decode(&run, R, wire_text(text, rows[i].events), 7, drop_delta, NULL);
        EXPECT_EQ(run.decode.broken, rows[i].broken);
    }
}

// --- citations ---

#define CITED(n, url)                                      \
    "{'type':'text','text':'\xc3\xa9\\ud83d\\ude00" n      \
    "','citations':[{'type':'web_search_result_location'," \
    "'url':'" url "','title':'t','cited_text':'c','encrypted_index':'e'}]}"

// Blocks are cited as a whole, Chat's one text by spans of it in code points.
static void citations_are_placed(void) // C-127, C-148
{
    static char body[TEXT_MAX], text[TEXT_MAX];
    struct answer_facts facts = run_facts(NULL);
    facts.cites_expected = true;
    struct span out = run_whole(
        A, O,
        quoted(body, "{'content':[" CITED("1", "https://a") "," CITED("22", "https://b") "]}"),
        &facts);
    EXPECT_EQ(
        run_count(out, "\"url\":\"https://a\",\"title\":\"t\",\"start_index\":0,\"end_index\":3"),
        1);
    EXPECT_EQ(
        run_count(out, "\"url\":\"https://b\",\"title\":\"t\",\"start_index\":3,\"end_index\":7"),
        1);
    struct span in = wire_text(
        text,
        START(IN) BLOCK("0", "{'type':'text','text':''}")
            MORE("0", "{'type':'text_delta','text':'\xc3\xa9\\ud83d'}")
                MORE("0", "{'type':'text_delta','text':'\\ude00'}") STOP("0")
                    BLOCK("1", "{'type':'text','text':''}")
                        MORE("1", "{'type':'text_delta','text':'b'}")
                            MORE("1", "{'type':'citations_delta','citation':{'type':"
                                      "'web_search_result_location','url':'https://b','title':'t',"
                                      "'cited_text':'c','encrypted_index':'e'}}")
                                MORE("1", "{'type':'text_delta','text':'cd'}") STOP("1")
                                    OVER("end_turn", "{}"));
    out = run_stream_facts(A, O, in, SIZE_MAX / 2, &facts);
    EXPECT_EQ(run_count(out, "\"start_index\":2,\"end_index\":5"), 1);
}

static void cited_words_are_told(void) // C-127, C-148
{
    static char body[TEXT_MAX], text[TEXT_MAX];
    struct answer_facts facts = run_facts(NULL);
    facts.cites_expected = true;
    struct span out = run_whole(
        O, A,
        quoted(body,
               "{'choices':[{'message':{'content':'\xc3\xa9\\ud83d\\ude00ab\\ncd','annotations':[{"
               "'type':'url_citation','url_citation':{'url':'https://a','title':'t',"
               "'start_index':1,'end_index':5}}]},'finish_reason':'stop'}]}"),
        &facts);
    EXPECT_EQ(run_count(out, "\"cited_text\":\"\\ud83d\\ude00ab\\n\""), 1);
    struct span in = wire_text(
        text, DELTA("{'content':'\xc3\xa9\\ud83d\\ude00a'}") DELTA("{'content':'b\\ncd'}")
                  DELTA("{'annotations':[{'type':'url_citation','url_citation':{'url':'https://a',"
                        "'title':'t','start_index':1,'end_index':5}}]}") END("stop") DONE);
    out = run_stream_facts(O, A, in, SIZE_MAX / 2, &facts);
    EXPECT_EQ(run_count(out, "\"cited_text\":\"\\ud83d\\ude00ab\\n\""), 1);
    facts.cites_expected = false; // then no text is kept
    out = run_stream_facts(O, A, in, SIZE_MAX / 2, &facts);
    EXPECT_EQ(run_count(out, "\"cited_text\":\"\""), 1);
}

TEST_MAIN(TEST(requests_keep_the_rules), TEST(streams_keep_the_rules), TEST(thoughts_between_tags),
          TEST(a_vendor_may_not_contradict_itself), TEST(citations_are_placed),
          TEST(cited_words_are_told))
