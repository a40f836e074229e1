// The rules of conversion that answers show, a row each.
#include "convert_rows.h"

#include "penstock/convert/undo.h"

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

TEST_MAIN(TEST(streams_keep_the_rules), TEST(thoughts_between_tags),
          TEST(a_vendor_may_not_contradict_itself), TEST(citations_are_placed),
          TEST(cited_words_are_told))
