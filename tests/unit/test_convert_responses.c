// Answers of Responses: read as other formats' clients see them, and written for its own clients.
#include "convert_judge.h"
#include "convert_run.h"

#include "../../src/convert/responses.h"

// --- reading ---

#define EV(type, rest) "data: {\"type\":\"" type "\"" rest "}\n\n"
#define CREATED EV("response.created", ",\"response\":{\"id\":\"resp_1\",\"output\":[]}")
#define ADDED(i, item) \
    EV("response.output_item.added", ",\"output_index\":" i ",\"item\":{" item "}")
#define DONE(i, item) EV("response.output_item.done", ",\"output_index\":" i ",\"item\":{" item "}")
#define MESSAGE "\"type\":\"message\",\"role\":\"assistant\",\"content\":[]"
#define TEXT(i, c, text)             \
    EV("response.output_text.delta", \
       ",\"output_index\":" i ",\"content_index\":" c ",\"delta\":\"" text "\"")
#define ARGS(i, text) \
    EV("response.function_call_arguments.delta", ",\"output_index\":" i ",\"delta\":\"" text "\"")
#define SUMMARY(i, s, text)                     \
    EV("response.reasoning_summary_text.delta", \
       ",\"output_index\":" i ",\"summary_index\":" s ",\"delta\":\"" text "\"")
#define CALL(id, name, rest) \
    "\"type\":\"function_call\",\"call_id\":\"" id "\",\"name\":\"" name "\"" rest
#define COMPLETED(output)    \
    EV("response.completed", \
       ",\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"output\":[" output "]}")
#define INCOMPLETE(why)                                                                                       \
    EV("response.incomplete",                                                                                 \
       ",\"response\":{\"id\":\"resp_1\",\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"" why \
       "\"},\"output\":[]}")

struct heard {
    struct completion completion;
    struct run_stream run;
    char text[4 * KIB];
};

static struct heard heard;

// What an answer of Responses says; free with forget().
static void hear(const char *text)
{
    completion_init(&heard.completion, &chunks, RUN_KEPT);
    EXPECT_EQ(run_decode(&heard.run, FAMILY_RESPONSES, span_str(text), SIZE_MAX / 2,
                         completion_collect, &heard.completion),
              WIRE_END_COMPLETE);
}

static void forget(void)
{
    completion_fini(&heard.completion);
}

static const struct item *nth(enum item_kind kind, unsigned number)
{
    for (const struct item *item = heard.completion.first; item != NULL; item = item->next)
        if (item->kind == (uint8_t)kind && number-- == 0)
            return item;
    return NULL;
}

static struct span plain(const struct item *item)
{
    struct sink sink = sink_into(heard.text, sizeof(heard.text));
    if (item != NULL)
        item_put_plain(item, &sink);
    return span_of(heard.text, (size_t)(sink.at - heard.text));
}

static enum finish finish(void)
{
    return heard.completion.choices != NULL ? (enum finish)heard.completion.choices->finish
                                            : FINISH_PAUSE;
}

// Servers leave out one or the other event (C-083, C-084).
static void a_text_is_told_by_any_event(void)
{
    static const char *const streams[] = {
        CREATED ADDED("0", MESSAGE) TEXT("0", "0", "Hel") TEXT("0", "0", "lo") COMPLETED(""),
        CREATED TEXT("0", "0", "Hello") COMPLETED(""), // not announced
        CREATED ADDED("0", MESSAGE) EV("response.output_text.done",
                                       ",\"output_index\":0,\"content_index\":0,\"text\":\"Hello\"")
            COMPLETED(""),
        CREATED ADDED("0", MESSAGE)
            EV("response.content_part.done",
               ",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\","
               "\"text\":\"Hello\"}") COMPLETED(""),
        CREATED DONE("0", "\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":"
                          "\"Hello\"}]") COMPLETED(""),
        CREATED COMPLETED("{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":"
                          "\"Hello\"}]}"),
        // All of them.
        CREATED ADDED("0", MESSAGE) TEXT("0", "0", "Hello")
            EV("response.output_text.done",
               ",\"output_index\":0,\"content_index\":0,\"text\":\"Hello\"")
                EV("response.content_part.done",
                   ",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\","
                   "\"text\":\"Hello\"}")
                    DONE("0", "\"type\":\"message\",\"content\":[{\"type\":\"output_text\","
                              "\"text\":\"Hello\"}]")
                        COMPLETED("{\"type\":\"message\",\"content\":[{\"type\":\"output_text\","
                                  "\"text\":\"Hello\"}]}"),
    };
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        hear(streams[i]);
        EXPECT_SPAN(plain(nth(ITEM_TEXT, 0)), "Hello");
        EXPECT(nth(ITEM_TEXT, 1) == NULL);
        EXPECT_EQ(finish(), FINISH_STOP);
        forget();
    }
}

static void a_call_is_told_by_any_event(void)
{
    static const char *const streams[] = {
        CREATED ADDED("0", CALL("c", "f", ",\"arguments\":\"\"")) ARGS("0", "{\\\"a\\\":1}")
            DONE("0", CALL("c", "f", ",\"arguments\":\"{\\\"a\\\":1}\",\"status\":\"completed\""))
                COMPLETED(""),
        CREATED ADDED("0", CALL("c", "f", ""))
            EV("response.function_call_arguments.done",
               ",\"output_index\":0,\"arguments\":\"{\\\"a\\\":1}\"") COMPLETED(""),
        CREATED DONE("0", CALL("c", "f", ",\"arguments\":\"{\\\"a\\\":1}\"")) COMPLETED(""),
        CREATED COMPLETED("{" CALL("c", "f", ",\"arguments\":\"{\\\"a\\\":1}\"") "}"),
    };
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        hear(streams[i]);
        const struct item *call = nth(ITEM_CALL, 0);
        EXPECT_SPAN(plain(call), "{\"a\":1}");
        EXPECT(call != NULL && words_are(call->id, SPAN("c")) && words_are(call->name, SPAN("f")));
        EXPECT(nth(ITEM_CALL, 1) == NULL);
        EXPECT_EQ(finish(), FINISH_CALLS);
        forget();
    }
}

static void thoughts_have_paragraphs_and_signatures(void)
{
    hear(CREATED ADDED("0", "\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[]")
             SUMMARY("0", "0", "One") SUMMARY("0", "1", "Two")
                 DONE("0", "\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[{\"type\":"
                           "\"summary_text\",\"text\":\"One\"},{\"text\":\"Two\"},{\"text\":"
                           "\"Three\"}],\"encrypted_content\":\"ENC\"") COMPLETED(""));
    const struct item *thought = nth(ITEM_THINK, 0);
    EXPECT_SPAN(plain(thought), "One\n\nTwo\n\nThree");
    EXPECT(thought != NULL && words_are(thought->signature.text, SPAN("ENC")));
    EXPECT(thought != NULL && words_are(thought->signature.id, SPAN("rs_1")));
    EXPECT(thought != NULL && thought->signature.maker == MAKER_RESPONSES);
    forget();
    // A model's own thoughts and their summary are one thing told twice.
    hear(CREATED ADDED("0", "\"type\":\"reasoning\",\"summary\":[]")
             EV("response.reasoning_text.delta",
                ",\"output_index\":0,\"content_index\":0,\"delta\":\"raw\"")
                 DONE("0", "\"type\":\"reasoning\",\"summary\":[{\"text\":\"short\"}],\"content\":"
                           "[{\"type\":\"reasoning_text\",\"text\":\"raw\"}]") COMPLETED(""));
    EXPECT_SPAN(plain(nth(ITEM_THINK, 0)), "raw");
    forget();
    // Nothing to show, and nothing to give back.
    hear(CREATED DONE("0", "\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":null")
             COMPLETED(""));
    EXPECT(nth(ITEM_THINK, 0) == NULL);
    forget();
}

// Items are known by their place: some servers tell another id each time.
static void calls_may_be_interleaved_and_change_their_ids(void)
{
    hear(CREATED ADDED("0", "\"id\":\"x1\"," CALL("c1", "f", "")) ADDED(
        "1", "\"id\":\"x2\"," CALL("c2", "g", "")) ARGS("0", "{\\\"a\\\":") ARGS("1", "{}")
             ARGS("0", "1}") DONE("1", "\"id\":\"y\"," CALL("c2", "g", ",\"arguments\":\"{}\""))
                 DONE("0", "\"id\":\"z\"," CALL("c1", "f", ",\"arguments\":\"{\\\"a\\\":1}\""))
                     COMPLETED("{\"id\":\"q\"," CALL("c1", "f", ",\"arguments\":\"{}\"") "},{" CALL(
                         "c2", "g", "") "}"));
    EXPECT_SPAN(plain(nth(ITEM_CALL, 0)), "{\"a\":1}");
    EXPECT_SPAN(plain(nth(ITEM_CALL, 1)), "{}");
    EXPECT(nth(ITEM_CALL, 0)->complete && nth(ITEM_CALL, 1)->complete);
    EXPECT(nth(ITEM_CALL, 2) == NULL);
    forget();
}

static void a_call_is_complete_only_if_that_is_said(void) // C-043
{
    static const struct {
        const char *text;
        bool complete;
    } cases[] = {
        { CREATED DONE("0", CALL("c", "f", ",\"arguments\":\"{\",\"status\":\"incomplete\""))
              INCOMPLETE("max_output_tokens"),
          false },
        { CREATED DONE("0", CALL("c", "f", ",\"arguments\":\"{\"")) INCOMPLETE("max_output_tokens"),
          false },
        { CREATED DONE("0", CALL("c", "f", ",\"arguments\":\"{}\",\"status\":\"completed\""))
              INCOMPLETE("max_output_tokens"),
          true },
        { CREATED DONE("0", CALL("c", "f", ",\"arguments\":\"{}\"")) ADDED("1", MESSAGE)
              TEXT("1", "0", "cut") INCOMPLETE("max_output_tokens"),
          true },
        { CREATED DONE("0", CALL("c", "f", ",\"arguments\":\"{}\"")) COMPLETED(""), true },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        hear(cases[i].text);
        const struct item *call = nth(ITEM_CALL, 0);
        if (call == NULL || call->complete != cases[i].complete)
            fprintf(stderr, "case %zu: ", i);
        EXPECT(call != NULL && call->complete == cases[i].complete);
        forget();
    }
}

static void ends_are_told(void) // 3.9, C-045
{
    static const struct {
        const char *text;
        enum finish finish;
    } cases[] = {
        { CREATED TEXT("0", "0", "x") INCOMPLETE("max_output_tokens"), FINISH_LENGTH },
        { CREATED TEXT("0", "0", "x") INCOMPLETE("content_filter"), FINISH_FILTERED },
        { CREATED TEXT("0", "0", "x") INCOMPLETE("something_new"), FINISH_LENGTH },
        { CREATED EV("response.refusal.delta",
                     ",\"output_index\":0,\"content_index\":0,\"delta\":\"No.\"") COMPLETED(""),
          FINISH_REFUSAL },
        { CREATED COMPLETED(""), FINISH_STOP },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        hear(cases[i].text);
        EXPECT_EQ(finish(), cases[i].finish);
        EXPECT(!heard.run.decode.broken);
        forget();
    }
    hear(CREATED EV("response.cancelled", ",\"response\":{\"status\":\"cancelled\"}"));
    EXPECT(heard.run.decode.broken);
    forget();
}

static void annotations_are_told_once(void)
{
    static const char cite[] = "{\"type\":\"url_citation\",\"url\":\"https://a\",\"title\":\"A\","
                               "\"start_index\":1,\"end_index\":3}";
    char text[2 * KIB];
    snprintf(text, sizeof(text),
             CREATED ADDED("0", MESSAGE) TEXT("0", "0", "Hello")
                 EV("response.output_text.annotation.added",
                    ",\"output_index\":0,\"content_index\":0,\"annotation\":%s")
                     DONE("0", "\"type\":\"message\",\"content\":[{\"type\":\"output_text\","
                               "\"text\":\"Hello\",\"annotations\":[%s,%s]},{\"type\":"
                               "\"output_text\",\"text\":\"More\",\"annotations\":[%s]}]")
                         COMPLETED(""),
             cite, cite, cite, cite);
    hear(text);
    const struct item *item = nth(ITEM_TEXT, 0);
    unsigned count = 0, placed = 0;
    for (const struct item_cite *at = item != NULL ? item->cites : NULL; at != NULL;
         at = at->next) {
        count++;
        placed += at->cite.placed;
        EXPECT(words_are(at->cite.url, SPAN("https://a")));
    }
    EXPECT_EQ(count, 3);
    EXPECT_EQ(placed, 2); // places of a second part are not those of the run
    EXPECT_SPAN(plain(item), "HelloMore");
    forget();
}

static void other_items_are_pictures_or_nobody_elses(void) // C-090, C-101
{
    hear(CREATED EV("keepalive", ",\"sequence_number\":3") EV("response.mcp_call.in_progress", "")
             DONE("0", "\"type\":\"image_generation_call\",\"output_format\":\"webp\",\"result\":"
                       "\"QUJD\"") DONE("1", "\"type\":\"web_search_call\"")
                 DONE("2", "\"type\":\"image_generation_call\",\"result\":null") COMPLETED(""));
    const struct item *picture = nth(ITEM_MEDIA, 0);
    EXPECT_SPAN(plain(picture), "QUJD");
    EXPECT(picture != NULL && words_are(picture->type, SPAN("image/webp")));
    EXPECT(nth(ITEM_MEDIA, 1) == NULL && nth(ITEM_HOSTED, 1) != NULL);
    EXPECT_EQ(heard.run.decode.unknown, 1);
    forget();
}

static void many_like_events_are_one_text(void)
{
    static char text[64 * KIB];
    size_t len = (size_t)snprintf(text, sizeof(text), CREATED ADDED("0", MESSAGE));
    for (unsigned i = 0; i < 60; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                EV("response.output_text.delta",
                                   ",\"item_id\":\"m\",\"output_index\":0,\"content_index\":0,"
                                   "\"delta\":\"%s\",\"logprobs\":[],\"obfuscation\":\"%s\","
                                   "\"sequence_number\":%u"),
                                i % 3 == 0 ? "\\ud83d\\ude00" : "ab", i % 2 == 0 ? "x" : "yyyy", i);
    snprintf(text + len, sizeof(text) - len,
             DONE("0", "\"type\":\"message\",\"content\":[{\"text\":\"never\"}]") COMPLETED(""));
    hear(text);
    EXPECT_EQ(item_is_empty(nth(ITEM_TEXT, 0)), false);
    EXPECT_EQ(plain(nth(ITEM_TEXT, 0)).len, 20 * 4 + 40 * 2);
    forget();
}

static void whole_answers_say_the_same(void)
{
    static const char body[] =
        "{\"id\":\"resp_1\",\"status\":\"completed\",\"output\":["
        "{\"type\":\"reasoning\",\"id\":\"rs_9\",\"summary\":[{\"text\":\"A\"},{\"text\":\"B\"}],"
        "\"encrypted_content\":\"ENC\"},"
        "{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hi \"},"
        "{\"type\":\"output_text\",\"text\":\"there\"},{\"type\":\"refusal\",\"refusal\":\"No\"}]},"
        "{\"type\":\"custom_tool_call\",\"call_id\":\"c\",\"name\":\"p\",\"input\":\"raw\"},"
        "{\"type\":\"function_call\",\"call_id\":\"d\",\"name\":\"f\",\"arguments\":\"\","
        "\"status\":\"incomplete\"}]}";
    struct json_slice root;
    EXPECT(json_check(span_str(body), &root));
    completion_init(&heard.completion, &chunks, RUN_KEPT);
    EXPECT(converter_of(FAMILY_RESPONSES)->read_whole(&heard.completion, root));
    EXPECT_SPAN(plain(nth(ITEM_THINK, 0)), "A\n\nB");
    EXPECT(words_are(nth(ITEM_THINK, 0)->signature.id, SPAN("rs_9")));
    EXPECT_SPAN(plain(nth(ITEM_TEXT, 0)), "Hi there");
    EXPECT_SPAN(plain(nth(ITEM_REFUSAL, 0)), "No");
    EXPECT_EQ(nth(ITEM_CALL, 0)->form, CALL_CUSTOM);
    EXPECT(nth(ITEM_CALL, 0)->complete && !nth(ITEM_CALL, 1)->complete);
    EXPECT_EQ(finish(), FINISH_CALLS);
    forget();
    EXPECT(json_check(SPAN("{\"status\":\"failed\",\"output\":[]}"), &root));
    completion_init(&heard.completion, &chunks, RUN_KEPT);
    EXPECT(!converter_of(FAMILY_RESPONSES)->read_whole(&heard.completion, root));
    forget();
}

// --- writing ---

static char client_text[256 * KIB];

// Deltas as a client of Responses sees them, and as a strict one judges them.
static struct span tell(const struct delta *deltas, size_t count, const struct answer_facts *facts)
{
    static struct encode encode;
    struct sink sink = run_sink();
    struct usage usage = { .input_uncached = 15, .cache_read = 5, .output = 9, .reasoning = 3 };
    encode_init(&encode, converter_of(FAMILY_RESPONSES), facts, &sink, &chunks, RUN_KEPT);
    for (size_t i = 0; i < count; i++)
        encode_put(&encode, &deltas[i]);
    encode_end(&encode, &usage);
    EXPECT(!encode.failed);
    uint64_t sequence = encode.sequence;
    encode_fini(&encode);
    struct span text = run_text(&sink);
    EXPECT(text.len < sizeof(client_text));
    memcpy(client_text, text.ptr, text.len);
    text.ptr = client_text;
    EXPECT_EQ(judge_stream("deltas", text), 0);
    EXPECT_EQ(run_count(text, "\nevent: ") + 1, sequence);
    return text;
}

// The last event's response is the whole answer that the same deltas make (C-094).
static void same_as_whole(struct span stream, const struct delta *deltas, size_t count,
                          const struct answer_facts *wanted)
{
    struct completion completion;
    struct answer_facts facts = *wanted;
    facts.usage =
        (struct usage){ .input_uncached = 15, .cache_read = 5, .output = 9, .reasoning = 3 };
    completion_init(&completion, &chunks, RUN_KEPT);
    for (size_t i = 0; i < count; i++)
        completion_collect(&completion, &deltas[i]);
    struct sink sink = run_sink();
    converter_of(FAMILY_RESPONSES)->write_whole(&completion, &facts, &sink);
    completion_fini(&completion);
    struct span body = run_text(&sink);
    const char *mark = "\"response\":", *at = NULL;
    for (size_t i = 0; i + strlen(mark) < stream.len; i++)
        if (memcmp(stream.ptr + i, mark, strlen(mark)) == 0)
            at = stream.ptr + i + strlen(mark);
    EXPECT(at != NULL);
    if (at == NULL)
        return;
    struct span last = span_of(at, (size_t)(stream.ptr + stream.len - at));
    struct json_slice response = json_value(last);
    if (!span_eq(response.text, body))
        fprintf(stderr, "stream %.*s\nwhole  %.*s\n", (int)response.text.len, response.text.ptr,
                (int)body.len, body.ptr);
    EXPECT(span_eq(response.text, body));
}

#define W(text)                                                            \
    {                                                                      \
        .raw = { text, sizeof(text) - 1 }, .escaped = true, .whole = false \
    }
#define TELL(deltas, facts) tell((deltas), ARRAY_LEN(deltas), (facts))
#define SAME(stream, deltas, facts) same_as_whole((stream), (deltas), ARRAY_LEN(deltas), (facts))

static void an_answer_of_everything(void) // C-069, C-092
{
    static const struct delta deltas[] = {
        { .kind = DELTA_THINK, .text = W("Hm") },
        { .kind = DELTA_THINK_END, .signature = { .text = W("SIG"), .maker = MAKER_ANTHROPIC } },
        { .kind = DELTA_REDACTED, .signature = { .text = W("RED"), .maker = MAKER_ANTHROPIC } },
        { .kind = DELTA_TEXT, .text = W("Hel") },
        { .kind = DELTA_TEXT, .text = W("lo\\n") },
        { .kind = DELTA_TEXT_END },
        { .kind = DELTA_TEXT, .text = W("again") },
        { .kind = DELTA_TEXT_END },
        { .kind = DELTA_REFUSAL, .text = W("No.") },
        { .kind = DELTA_CALL, .id = W("c1"), .name = W("f") },
        { .kind = DELTA_ARGS, .text = W("{\\\"a\\\":") },
        { .kind = DELTA_ARGS, .text = W("1}") },
        { .kind = DELTA_CALL_END },
        { .kind = DELTA_THINK, .text = W("Then") },
        { .kind = DELTA_THINK_END },
        { .kind = DELTA_CALL, .call = 1, .name = W("g") },
        { .kind = DELTA_CALL_END, .call = 1 },
        { .kind = DELTA_MEDIA, .type = W("image/png"), .text = W("QUJD") },
        { .kind = DELTA_TEXT, .text = W("end") },
        { .kind = DELTA_FINISH, .finish = FINISH_CALLS },
    };
    struct answer_facts facts = run_facts(NULL);
    struct span out = TELL(deltas, &facts);
    SAME(out, deltas, &facts);
    EXPECT(run_has_in_order(
        out, (const char *[]){
                 "reasoning_summary_text.delta", "\"delta\":\"Hm\"",
                 "\"encrypted_content\":\"pst1.a.", "\"summary\":[],\"status\":\"completed\"",
                 "\"content_index\":0,\"delta\":\"Hel\"", "\"text\":\"Hello\\n\"",
                 "\"content_index\":1,\"delta\":\"again\"", "\"content_index\":2,\"delta\":\"No.\"",
                 "\"call_id\":\"c1\"", "\"arguments\":\"{\\\"a\\\":1}\"", "\"delta\":\"Then\"",
                 "\"name\":\"g\"", "\"delta\":\"{}\"", // C-023
                 "image_generation_call", "\"result\":\"QUJD\"", "\"delta\":\"end\"",
                 "response.completed", "\"total_tokens\":29", NULL }));
    EXPECT_EQ(run_count(out, "event: response.output_item.added"), 8);
}

static void a_request_is_repeated(void) // section 5 of the format
{
    static const char request[] =
        "{\"model\":\"m\",\"instructions\":\"Be \\\"brief\\\"\",\"input\":\"x\",\"tools\":[{"
        "\"type\":\"function\",\"name\":\"f\"}],\"tool_choice\":\"required\",\"temperature\":0.5,"
        "\"top_p\":null,\"max_output_tokens\":100,\"text\":{\"verbosity\":\"low\"},"
        "\"metadata\":{\"a\":\"b\"},\"store\":true,\"service_tier\":\"flex\","
        "\"parallel_tool_calls\":false,\"reasoning\":{\"effort\":\"low\"}}";
    static const struct delta deltas[] = { { .kind = DELTA_TEXT, .text = W("x") },
                                           { .kind = DELTA_FINISH } };
    struct answer_facts facts = run_facts(request);
    struct span out = TELL(deltas, &facts);
    SAME(out, deltas, &facts);
    static const char *const repeated[] = {
        "\"instructions\":\"Be \\\"brief\\\"\"",
        "\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]",
        "\"tool_choice\":\"required\"",
        "\"temperature\":0.5",
        "\"top_p\":null",
        "\"max_output_tokens\":100",
        "\"text\":{\"format\":{\"type\":\"text\"},\"verbosity\":\"low\"}",
        "\"metadata\":{\"a\":\"b\"}",
        "\"store\":false",
        "\"service_tier\":\"flex\"",
        "\"parallel_tool_calls\":false",
        "\"reasoning\":{\"effort\":\"low\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(repeated); i++)
        EXPECT_EQ(run_count(out, repeated[i]), 3);
}

static void thoughts_are_shown_as_far_as_asked_for(void)
{
    static const struct delta deltas[] = {
        { .kind = DELTA_THINK, .text = W("Hm") },
        { .kind = DELTA_THINK_END, .signature = { .text = W("SIG"), .maker = MAKER_ANTHROPIC } },
        { .kind = DELTA_REDACTED, .signature = { .text = W("RED"), .maker = MAKER_ANTHROPIC } },
        { .kind = DELTA_TEXT, .text = W("x") },
        { .kind = DELTA_FINISH },
    };
    struct answer_facts facts = run_facts(NULL);
    facts.envelopes_wanted = false;
    struct span out = TELL(deltas, &facts);
    SAME(out, deltas, &facts);
    EXPECT_EQ(run_count(out, "encrypted_content"), 0);
    EXPECT_EQ(run_count(out, "\"type\":\"reasoning\""), 3); // announced, done, and at the end
    facts.thoughts_wanted = false;
    out = TELL(deltas, &facts);
    SAME(out, deltas, &facts);
    EXPECT_EQ(run_count(out, "\"type\":\"reasoning\""), 0);
    facts.envelopes_wanted = true; // what is given back goes back with its text
    out = TELL(deltas, &facts);
    SAME(out, deltas, &facts);
    EXPECT_EQ(run_count(out, "\"delta\":\"Hm\""), 1);
    EXPECT_EQ(run_count(out, "\"encrypted_content\":\"pst1.a."), 4);
}

// What signs a call joins the thought before it, or stands in one of its own (C-070, C-144).
static void calls_may_be_signed(void)
{
    static const struct delta joined[] = {
        { .kind = DELTA_THINK, .text = W("Hm") },
        { .kind = DELTA_CALL,
          .id = W("c"),
          .name = W("f"),
          .signature = { .text = W("TSIG"), .maker = MAKER_GEMINI, .signs = SIGNS_CALL } },
        { .kind = DELTA_ARGS, .text = W("{}") },
        { .kind = DELTA_CALL_END },
        { .kind = DELTA_FINISH, .finish = FINISH_CALLS },
    };
    static const struct delta separate[] = {
        { .kind = DELTA_THINK, .text = W("Hm") },
        { .kind = DELTA_THINK_END },
        { .kind = DELTA_TEXT, .text = W("Hi") },
        { .kind = DELTA_THINK_END,
          .signature = { .text = W("T"), .maker = MAKER_GEMINI, .signs = SIGNS_TEXT } },
        { .kind = DELTA_CALL,
          .id = W("c"),
          .name = W("f"),
          .signature = { .text = W("TSIG"), .maker = MAKER_GEMINI, .signs = SIGNS_CALL } },
        { .kind = DELTA_CALL_END },
        { .kind = DELTA_FINISH, .finish = FINISH_CALLS },
    };
    struct answer_facts facts = run_facts(NULL);
    struct span out = TELL(joined, &facts);
    SAME(out, joined, &facts);
    EXPECT_EQ(run_count(out, "event: response.output_item.added"), 2);
    out = TELL(separate, &facts);
    EXPECT_EQ(run_count(out, "event: response.output_item.added"), 4);
    EXPECT(run_has_in_order(out, (const char *[]){ "\"delta\":\"Hm\"", "\"delta\":\"Hi\"",
                                                   "\"encrypted_content\":\"pst1.g.",
                                                   "\"call_id\":\"c\"", NULL }));
    facts.envelopes_wanted = false;
    out = TELL(separate, &facts);
    EXPECT_EQ(run_count(out, "event: response.output_item.added"), 3);
}

static void what_is_cut_is_not_done(void) // C-142
{
    static const struct delta call[] = {
        { .kind = DELTA_TEXT, .text = W("Hi") },
        { .kind = DELTA_CALL, .id = W("c"), .name = W("sh") },
        { .kind = DELTA_ARGS, .text = W("{\\\"cmd\\\":\\\"rm -") },
        { .kind = DELTA_FINISH, .finish = FINISH_LENGTH },
    };
    static const struct delta thought[] = {
        { .kind = DELTA_THINK, .text = W("Hm") },
        { .kind = DELTA_THINK_END, .signature = { .maker = MAKER_CHAT } },
        { .kind = DELTA_FINISH, .finish = FINISH_LENGTH },
    };
    struct answer_facts facts = run_facts(NULL);
    struct span out = TELL(call, &facts);
    SAME(out, call, &facts);
    EXPECT_EQ(run_count(out, "function_call_arguments.done"), 0);
    EXPECT_EQ(run_count(out, "event: response.output_item.done"), 1);
    EXPECT(run_has_in_order(out, (const char *[]){ "response.incomplete", "max_output_tokens",
                                                   "rm -\",\"status\":\"incomplete\"", NULL }));
    out = TELL(thought, &facts);
    SAME(out, thought, &facts);
    EXPECT_EQ(run_count(out, "\"summary\":[{\"type\":\"summary_text\",\"text\":\"Hm\"}],"
                             "\"status\":\"incomplete\""),
              2);
}

static void nothing_is_an_empty_text(void) // 5.7
{
    static const struct delta nothing[] = { { .kind = DELTA_FINISH } };
    static const struct delta filtered[] = { { .kind = DELTA_FINISH, .finish = FINISH_FILTERED } };
    struct answer_facts facts = run_facts(NULL);
    struct span out = TELL(nothing, &facts);
    SAME(out, nothing, &facts);
    EXPECT_EQ(run_count(out, "event: response.output_item.done"), 1);
    out = TELL(filtered, &facts);
    SAME(out, filtered, &facts);
    EXPECT_EQ(run_count(out, "output_item"), 0); // C-046
    EXPECT_EQ(run_count(out, "\"reason\":\"content_filter\""), 1);
}

static void citations_count_code_points(void) // C-127
{
    static const struct delta deltas[] = {
        { .kind = DELTA_TEXT, .text = W("\\ud83d\\ude00") },
        { .kind = DELTA_TEXT, .text = W("\\n\xc3\xa9\\u00e9") },
        { .kind = DELTA_CITE, .cite = { .url = W("https://a"), .title = W("A") } },
        { .kind = DELTA_CITE,
          .cite = { .url = W("https://b"), .title = W(""), .placed = true, .from = 1, .to = 2 } },
        { .kind = DELTA_CITE }, // of another kind
        { .kind = DELTA_FINISH },
    };
    struct answer_facts facts = run_facts(NULL);
    struct span out = TELL(deltas, &facts);
    SAME(out, deltas, &facts);
    EXPECT_EQ(run_count(out, "\"start_index\":0,\"end_index\":4,\"url\":\"https://a\""), 4);
    EXPECT_EQ(run_count(out, "\"start_index\":1,\"end_index\":2,\"url\":\"https://b\""), 4);
    EXPECT(
        run_has_in_order(out, (const char *[]){ "\"annotation_index\":0", "\"annotation_index\":1",
                                                "output_text.done", NULL }));
}

static void points_are_counted_over_pieces(void) // C-127
{
    static const char *const pieces[] = { "\\ud83d\\ude00", "\xc3\xa9", "\\\\u", "\\u0041b" };
    struct keep keep;
    struct item item = { .text = W("a\\n") };
    keep_init(&keep, &chunks, RUN_KEPT);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        rope_add(&keep, &item.rope, words_escaped(span_str(pieces[i])));
        struct rope between = { 0 };
        rope_add(&keep, &between, (struct words)W("x")); // so that the next is a piece of its own
    }
    char room[64];
    struct sink sink = sink_into(room, sizeof(room));
    EXPECT(item.rope.first != item.rope.last);
    EXPECT_EQ(item_points(&item), 2 + 1 + 1 + 2 + 2);
    item_put_between(&item, 1, 5, &sink);
    EXPECT_SPAN(span_of(room, (size_t)(sink.at - room)), "\\n\\ud83d\\ude00\xc3\xa9\\\\");
    sink = sink_into(room, sizeof(room));
    item_put_between(&item, 6, 100, &sink);
    EXPECT_SPAN(span_of(room, (size_t)(sink.at - room)), "\\u0041b");
    keep_fini(&keep);
}

static void log_probabilities_follow_their_text(void) // C-126
{
    static const struct delta deltas[] = {
        { .kind = DELTA_TEXT, .text = W("Hi") },
        { .kind = DELTA_LOGPROBS, .raw = { { "[{\"token\":\"Hi\"}]", 16 }, JK_ARRAY } },
        { .kind = DELTA_TEXT, .text = W("!") },
        { .kind = DELTA_LOGPROBS, .raw = { { "[{\"token\":\"!\"}]", 15 }, JK_ARRAY } },
        { .kind = DELTA_FINISH },
    };
    struct answer_facts facts = run_facts(NULL);
    struct span out = TELL(deltas, &facts);
    EXPECT_EQ(run_count(out, "\"logprobs\":[{\"token\":\"Hi\"},{\"token\":\"!\"}]"), 4);
    EXPECT_EQ(run_count(out, "\"delta\":\"\",\"logprobs\":[{\"token\":\"!\"}]"), 1);
    struct span whole = run_whole(
        FAMILY_OPENAI, FAMILY_RESPONSES,
        "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"Hi\"},\"logprobs\":{\"content\":[{"
        "\"token\":\"Hi\"}]},\"finish_reason\":\"stop\"}]}",
        &facts);
    EXPECT_EQ(run_count(whole, "\"logprobs\":[{\"token\":\"Hi\"}]"), 1);
}

static void ids_are_told_apart(void)
{
    static const struct delta deltas[] = {
        { .kind = DELTA_CALL, .id = W("c"), .name = W("f") },
        { .kind = DELTA_CALL_END },
        { .kind = DELTA_CALL, .call = 1, .id = W("c"), .name = W("g") },
        { .kind = DELTA_CALL_END, .call = 1 },
        { .kind = DELTA_CALL, .call = 2, .id = W("has:colon"), .name = W("h") }, // C-026
        { .kind = DELTA_CALL_END, .call = 2 },
        { .kind = DELTA_FINISH, .finish = FINISH_CALLS },
    };
    struct answer_facts facts = run_facts(NULL);
    struct span out = TELL(deltas, &facts);
    SAME(out, deltas, &facts);
    EXPECT_EQ(run_count(out, "\"call_id\":\"c\""), 3);
    EXPECT_EQ(run_count(out, "\"call_id\":\"has_colon_"), 3);
}

// --- the client's tools ---

static const char tools_request[] =
    "{\"model\":\"m\",\"input\":\"x\",\"tools\":["
    "{\"type\":\"function\",\"name\":\"mcp.fs/read file\"},"
    "{\"type\":\"custom\",\"name\":\"apply_patch\"},"
    "{\"type\":\"namespace\",\"name\":\"fs\",\"tools\":[{\"type\":\"function\",\"name\":\"list\"}]},"
    "{\"type\":\"tool_search\",\"execution\":\"client\"},"
    "{\"type\":\"function\",\"name\":\"plain\"}]}";

static void tools_get_their_own_names_back(void) // C-037, C-136, C-151
{
    char alias[128];
    struct sink sink = sink_into(alias, sizeof(alias));
    name_put(&sink, words_plain(SPAN("mcp.fs/read file")), FAMILY_ANTHROPIC);
    const struct delta deltas[] = {
        { .kind = DELTA_CALL,
          .id = W("c1"),
          .name = words_plain(span_of(alias, (size_t)(sink.at - alias))) },
        { .kind = DELTA_CALL_END },
        { .kind = DELTA_CALL, .call = 1, .id = W("c2"), .name = W("fs__list") },
        { .kind = DELTA_CALL_END, .call = 1 },
        { .kind = DELTA_CALL, .call = 2, .id = W("c3"), .name = W("default_api.plain") },
        { .kind = DELTA_CALL_END, .call = 2 },
        { .kind = DELTA_CALL, .call = 3, .id = W("c4"), .name = W("tool_search") },
        { .kind = DELTA_ARGS, .call = 3, .text = W("{\\\"q\\\":\\\"x\\\"}") },
        { .kind = DELTA_CALL_END, .call = 3 },
        { .kind = DELTA_CALL, .call = 4, .id = W("c5"), .name = W("nobody's") },
        { .kind = DELTA_CALL_END, .call = 4 },
        { .kind = DELTA_FINISH, .finish = FINISH_CALLS },
    };
    struct answer_facts facts = run_facts(tools_request);
    struct span out = TELL(deltas, &facts);
    SAME(out, deltas, &facts);
    EXPECT_EQ(run_count(out, "\"call_id\":\"c1\",\"name\":\"mcp.fs/read file\""), 3);
    EXPECT_EQ(run_count(out, "\"call_id\":\"c2\",\"name\":\"list\",\"namespace\":\"fs\""), 3);
    EXPECT_EQ(run_count(out, "\"call_id\":\"c3\",\"name\":\"plain\""), 3);
    EXPECT_EQ(
        run_count(out, "\"call_id\":\"c4\",\"execution\":\"client\",\"arguments\":{\"q\":\"x\"}"),
        2);
    EXPECT_EQ(run_count(out, "\"call_id\":\"c5\",\"name\":\"nobody's\""), 3);
}

static void free_text_comes_out_of_its_function(void) // C-040
{
    static const struct delta deltas[] = {
        { .kind = DELTA_CALL, .id = W("c"), .name = W("apply_patch") },
        { .kind = DELTA_ARGS, .text = W("{\\\"inp") },
        { .kind = DELTA_ARGS, .text = W("ut\\\": \\\"*** Begin\\\\") },
        { .kind = DELTA_ARGS, .text = W("n") },
        { .kind = DELTA_ARGS, .text = W("\\ud83d\\ude00 \\\\\\\"q\\\\\\\"\\\"}") },
        { .kind = DELTA_CALL_END },
        { .kind = DELTA_FINISH, .finish = FINISH_CALLS },
    };
    struct answer_facts facts = run_facts(tools_request);
    struct span out = TELL(deltas, &facts);
    SAME(out, deltas, &facts);
    EXPECT_EQ(run_count(out, "\"type\":\"custom_tool_call\""), 3);
    EXPECT_EQ(run_count(out, "\"id\":\"ctc_"), 3);
    EXPECT_EQ(run_count(out, "\"input\":\"*** Begin\\n\xf0\x9f\x98\x80 \\\"q\\\"\""), 3);
    EXPECT(run_count(out, "custom_tool_call_input.delta\"") >= 2); // it flows
    EXPECT_EQ(run_count(out, "function_call"), 0);
    struct span whole = run_whole(
        FAMILY_ANTHROPIC, FAMILY_RESPONSES,
        "{\"content\":[{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"apply_patch\",\"input\":{"
        "\"input\":\"a\\nb\"}}],\"stop_reason\":\"tool_use\"}",
        &facts);
    EXPECT_EQ(run_count(whole, "\"name\":\"apply_patch\",\"input\":\"a\\nb\""), 1);
}

// --- memory ---

static void large_envelopes_fit_and_bounds_hold(void)
{
    static char large[64 * KIB];
    memset(large, 'E', sizeof(large));
    const struct delta deltas[] = {
        { .kind = DELTA_THINK, .text = W("Hm") },
        { .kind = DELTA_THINK_END,
          .signature = { .text = words_escaped(span_of(large, sizeof(large))),
                         .maker = MAKER_ANTHROPIC } },
        { .kind = DELTA_FINISH },
    };
    static char big_text[512 * KIB];
    static struct encode encode;
    struct answer_facts facts = run_facts(NULL);
    struct usage usage = { 0 };
    struct sink sink = sink_into(big_text, sizeof(big_text));
    encode_init(&encode, converter_of(FAMILY_RESPONSES), &facts, &sink, &chunks, RUN_KEPT);
    for (size_t i = 0; i < ARRAY_LEN(deltas); i++)
        encode_put(&encode, &deltas[i]);
    encode_end(&encode, &usage);
    EXPECT(!encode.failed);
    encode_fini(&encode);
    EXPECT_EQ(judge_stream("large", span_of(big_text, (size_t)(sink.at - big_text))), 0);
    encode_init(&encode, converter_of(FAMILY_RESPONSES), &facts, &sink, &chunks, 32 * KIB);
    for (size_t i = 0; i < ARRAY_LEN(deltas); i++)
        encode_put(&encode, &deltas[i]);
    EXPECT(encode.failed); // what has to be repeated is more than may be kept
    encode_fini(&encode);
}

TEST_MAIN(TEST(a_text_is_told_by_any_event), TEST(a_call_is_told_by_any_event),
          TEST(thoughts_have_paragraphs_and_signatures),
          TEST(calls_may_be_interleaved_and_change_their_ids),
          TEST(a_call_is_complete_only_if_that_is_said), TEST(ends_are_told),
          TEST(annotations_are_told_once), TEST(other_items_are_pictures_or_nobody_elses),
          TEST(many_like_events_are_one_text), TEST(whole_answers_say_the_same),
          TEST(an_answer_of_everything), TEST(a_request_is_repeated),
          TEST(thoughts_are_shown_as_far_as_asked_for), TEST(calls_may_be_signed),
          TEST(what_is_cut_is_not_done), TEST(nothing_is_an_empty_text),
          TEST(citations_count_code_points), TEST(points_are_counted_over_pieces),
          TEST(log_probabilities_follow_their_text), TEST(ids_are_told_apart),
          TEST(tools_get_their_own_names_back), TEST(free_text_comes_out_of_its_function),

          TEST(large_envelopes_fit_and_bounds_hold))
