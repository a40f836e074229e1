// OpenAI Responses, writing: the items of an answer and the response around them, as streams
// announce and repeat them and as whole answers tell them.
#include "penstock/base/check.h"
#include "penstock/convert/args.h"
#include "penstock/convert/ids.h"
#include "responses.h"

void responses_find_repeated(struct span request, struct json_slice repeated[REPEATED_MAX])
{
    static const struct span names[ECHO_COUNT] = {
        [ECHO_INSTRUCTIONS] = { "instructions", 12 },
        [ECHO_MAX_OUTPUT_TOKENS] = { "max_output_tokens", 17 },
        [ECHO_MAX_TOOL_CALLS] = { "max_tool_calls", 14 },
        [ECHO_METADATA] = { "metadata", 8 },
        [ECHO_PARALLEL] = { "parallel_tool_calls", 19 },
        [ECHO_CACHE_KEY] = { "prompt_cache_key", 16 },
        [ECHO_REASONING] = { "reasoning", 9 },
        [ECHO_SAFETY] = { "safety_identifier", 17 },
        [ECHO_TIER] = { "service_tier", 12 },
        [ECHO_TEMPERATURE] = { "temperature", 11 },
        [ECHO_TEXT] = { "text", 4 },
        [ECHO_TOOL_CHOICE] = { "tool_choice", 11 },
        [ECHO_TOOLS] = { "tools", 5 },
        [ECHO_TOP_LOGPROBS] = { "top_logprobs", 12 },
        [ECHO_TOP_P] = { "top_p", 5 },
        [ECHO_TRUNCATION] = { "truncation", 10 },
        [ECHO_USER] = { "user", 4 },
    };
    const struct json_slice root = json_value(request);
    for (size_t i = 0; i < ECHO_COUNT; i++)
        repeated[i] = JSON_SLICE_NONE;
    if (root.kind == JK_OBJECT)
        (void)json_pick(root, names, repeated, ECHO_COUNT);
    for (size_t i = 0; i < ECHO_COUNT; i++)
        if (repeated[i].kind == JK_NULL)
            repeated[i] = JSON_SLICE_NONE;
}

void answer_init(struct answer *answer, const struct answer_facts *facts)
{
    *answer = (struct answer){ .facts = facts };
    if (facts->repeated != NULL)
        memcpy(answer->echo, facts->repeated, sizeof(answer->echo));
    else
        responses_find_repeated(facts->request, answer->echo);
}

bool answer_has_thoughts(const struct answer *answer)
{
    // An envelope goes back with the text that it signs.
    return answer->facts->thoughts_wanted || answer->facts->envelopes_wanted;
}

// -------------------------------------------------------------------------------------- the walk

static const struct beside *beside_of(const struct answer *answer, const struct item *item)
{
    const struct beside *beside = answer->beside;
    while (beside != NULL && beside->item != item)
        beside = beside->next;
    return beside;
}

static bool is_signed(const struct answer *answer, const struct item *item)
{
    const struct beside *beside = beside_of(answer, item);
    if (item->signature.signs == SIGNS_TEXT && item_is_empty(item))
        return false; // it is not worth an item of its own (C-144)
    return answer->facts->envelopes_wanted &&
           (!words_none(item->signature.text) || (beside != NULL && beside->seal.len > 0));
}

static bool is_text(const struct item *item)
{
    return item->kind == ITEM_TEXT || item->kind == ITEM_REFUSAL;
}

// True if the client sees anything of it.
static bool is_seen(const struct answer *answer, const struct item *item)
{
    if (item->choice != 0)
        return false;
    switch ((enum item_kind)item->kind) {
    case ITEM_TEXT: return !item_is_empty(item) || item->cites != NULL;
    case ITEM_REFUSAL: return !item_is_empty(item);
    case ITEM_THINK:
        return is_signed(answer, item) || (answer_has_thoughts(answer) && !item_is_empty(item));
    case ITEM_REDACTED: return is_signed(answer, item);
    case ITEM_CALL:
    case ITEM_MEDIA: return true;
    case ITEM_HOSTED:
    case ITEM_KIND_COUNT: break;
    }
    return false;
}

static const struct item *next_seen(const struct answer *answer, const struct item *item)
{
    while (item != NULL && !is_seen(answer, item))
        item = item->next;
    return item;
}

static void walk_thought(const struct output_walk *walk, struct output *output,
                         const struct item *item)
{
    output->kind = OUTPUT_REASONING;
    output->signature = &item->signature;
    output->seal = item->kind == ITEM_REDACTED           ? ENVELOPE_REDACTED
                   : item->signature.signs == SIGNS_CALL ? ENVELOPE_CALL
                                                         : ENVELOPE_THOUGHT;
    bool last = next_seen(walk->answer, item->next) == NULL;
    output->complete = !last || !walk->answer->cut || is_signed(walk->answer, item);
}

bool output_next(struct output_walk *walk, struct output *output)
{
    const struct answer *answer = walk->answer;
    const struct item *item = next_seen(answer, walk->at);
    if (item == NULL)
        return false;
    *output = (struct output){ .item = item, .index = walk->index++, .complete = true };
    const struct item *next = next_seen(answer, item->next);
    walk->at = item->next;
    if (is_text(item)) {
        output->kind = OUTPUT_MESSAGE;
        while (next != NULL && is_text(next))
            next = next_seen(answer, next->next);
        walk->at = next;
        output->complete = next != NULL || !answer->cut;
    } else if (item->kind == ITEM_MEDIA) {
        output->kind = OUTPUT_IMAGE;
    } else if (item->kind != ITEM_CALL) {
        walk_thought(walk, output, item);
        // What signs a call stands with the thought before it, if that has nothing of its own.
        if (!is_signed(answer, item) && next != NULL && next->kind == ITEM_CALL &&
            is_signed(answer, next)) {
            walk->sealed = next;
            output->signature = &next->signature;
            output->seal = ENVELOPE_CALL;
        }
    } else if (is_signed(answer, item) && walk->sealed != item) {
        walk->sealed = item;
        walk->at = item; // the call itself comes next
        output->kind = OUTPUT_REASONING;
        output->signature = &item->signature;
        output->seal = ENVELOPE_CALL;
    } else {
        output_call(answer, output);
    }
    return true;
}

void output_call(const struct answer *answer, struct output *output)
{
    const struct item *item = output->item;
    output->called = responses_called(answer->echo[ECHO_TOOLS], item->name);
    output->complete = item->complete;
    output->kind = output->called.custom || item->form == CALL_CUSTOM ? OUTPUT_CUSTOM
                   : output->called.search                            ? OUTPUT_SEARCH
                                                                      : OUTPUT_FUNCTION;
}

// ------------------------------------------------------------------------------------- the items

void output_put_id(struct sink *out, const struct answer *answer, const struct output *output)
{
    static const struct span prefixes[] = {
        [OUTPUT_MESSAGE] = { "msg_", 4 }, [OUTPUT_REASONING] = { "rs_", 3 },
        [OUTPUT_FUNCTION] = { "fc_", 3 }, [OUTPUT_CUSTOM] = { "ctc_", 4 },
        [OUTPUT_SEARCH] = { "tsc_", 4 },  [OUTPUT_IMAGE] = { "ig_", 3 },
    };
    // Apart from the series that calls without an id have theirs from.
    const uint64_t series = UINT64_C(1) << 32;
    sink_put(out, prefixes[output->kind]);
    id_put_random(out, answer->facts->random, series + output->index, 24);
}

void output_put_cite(struct sink *out, const struct item *item, const struct cite *cite)
{
    SINK_TEXT(out, "{\"type\":\"url_citation\",\"start_index\":");
    sink_u64(out, cite->placed ? cite->from : 0);
    SINK_TEXT(out, ",\"end_index\":");
    sink_u64(out, cite->placed ? cite->to : item_points(item));
    SINK_TEXT(out, ",\"url\":");
    sink_quoted(out, cite->url);
    SINK_TEXT(out, ",\"title\":");
    sink_quoted(out, cite->title);
    SINK_TEXT(out, "}");
}

static void put_cites(struct sink *out, const struct item *item)
{
    unsigned count = 0;
    for (const struct item_cite *cite = item->cites; cite != NULL; cite = cite->next) {
        if (words_none(cite->cite.url))
            continue;
        if (count++ > 0)
            SINK_TEXT(out, ",");
        output_put_cite(out, item, &cite->cite);
    }
}

void output_put_logprobs(struct sink *out, const struct answer *answer, const struct item *item)
{
    const struct beside *beside = beside_of(answer, item);
    const struct item *first = answer->choice != NULL ? answer->items : NULL;
    while (first != NULL && (first->kind != ITEM_TEXT || first->choice != 0))
        first = first->next;
    if (first == item) {
        choice_put_logprobs(answer->choice, out);
        return;
    }
    SINK_TEXT(out, "[");
    if (beside != NULL)
        rope_put_lasting(&beside->logprobs, out);
    SINK_TEXT(out, "]");
}

void output_put_part(struct sink *out, const struct answer *answer, const struct item *item,
                     bool shell)
{
    bool refusal = item->kind == ITEM_REFUSAL;
    sink_put(out, refusal ? SPAN("{\"type\":\"refusal\",\"refusal\":\"")
                          : SPAN("{\"type\":\"output_text\",\"text\":\""));
    if (!shell)
        item_put(item, out);
    if (refusal) {
        SINK_TEXT(out, "\"}");
        return;
    }
    SINK_TEXT(out, "\",\"annotations\":[");
    if (!shell)
        put_cites(out, item);
    SINK_TEXT(out, "],\"logprobs\":");
    if (shell)
        SINK_TEXT(out, "[]");
    else
        output_put_logprobs(out, answer, item);
    SINK_TEXT(out, "}");
}

static struct span status_of(const struct output *output, bool shell)
{
    return shell ? SPAN("in_progress") : output->complete ? SPAN("completed") : SPAN("incomplete");
}

static void put_message(struct sink *out, const struct answer *answer, const struct output *output,
                        bool shell)
{
    SINK_TEXT(out, "\",\"role\":\"assistant\",\"status\":\"");
    sink_put(out, status_of(output, shell));
    SINK_TEXT(out, "\",\"content\":[");
    const struct item *item = shell ? NULL : output->item;
    while (item != NULL && is_text(item)) {
        if (item != output->item)
            SINK_TEXT(out, ",");
        output_put_part(out, answer, item, false);
        item = next_seen(answer, item->next);
    }
    SINK_TEXT(out, "]}");
}

static void put_reasoning(struct sink *out, const struct answer *answer,
                          const struct output *output, bool shell)
{
    const struct item *item = output->item;
    SINK_TEXT(out, "\",\"summary\":[");
    if (!shell && item->kind == ITEM_THINK && !item_is_empty(item)) {
        SINK_TEXT(out, "{\"type\":\"summary_text\",\"text\":\"");
        item_put(item, out);
        SINK_TEXT(out, "\"}");
    }
    SINK_TEXT(out, "],\"status\":\"");
    sink_put(out, status_of(output, shell));
    SINK_TEXT(out, "\"");
    const struct beside *beside = beside_of(answer, item);
    bool sealed = beside != NULL && beside->seal.len > 0;
    if (!shell && answer->facts->envelopes_wanted &&
        (sealed || !words_none(output->signature->text) || answer->facts->account != 0)) {
        SINK_TEXT(out, ",\"encrypted_content\":\"");
        if (sealed)
            rope_put_lasting(&beside->seal, out);
        else
            envelope_put(out, output->signature, MAKER_RESPONSES, answer->facts, output->seal);
        SINK_TEXT(out, "\"");
    }
    SINK_TEXT(out, "}");
}

static void put_piece(void *ctx, struct words text)
{
    sink_string(ctx, text);
}

// A free-text tool's input. What was streamed has been unwrapped when it was kept.
static void put_input(struct sink *out, const struct item *item)
{
    if (item->form == CALL_CUSTOM) {
        item_put(item, out);
        return;
    }
    unwrap_whole(item->text, &item->rope, put_piece, out);
}

// The id that the client answers. Clients refuse two calls with one id, so the second gets another.
static struct words call_id(const struct answer *answer, const struct item *item)
{
    for (const struct item *at = answer->items; at != NULL && at != item; at = at->next)
        if (at->kind == ITEM_CALL && at->choice == 0 && words_eq(at->id, item->id))
            return WORDS_NONE;
    return item->id;
}

static void put_call(struct sink *out, const struct answer *answer, const struct output *output,
                     bool shell)
{
    const struct item *item = output->item;
    SINK_TEXT(out, "\",\"call_id\":\"");
    id_put_call(out, call_id(answer, item), FAMILY_RESPONSES, answer->facts->random, item->call);
    if (output->kind == OUTPUT_SEARCH) {
        SINK_TEXT(out, "\",\"execution\":\"client\",\"arguments\":");
        if (shell)
            SINK_TEXT(out, "{}");
        else
            (void)args_put_object_of(out, item, answer->facts->scratch);
    } else {
        SINK_TEXT(out, "\",\"name\":");
        sink_quoted(out, output->called.name);
        if (!words_none(output->called.space)) {
            SINK_TEXT(out, ",\"namespace\":");
            sink_quoted(out, output->called.space);
        }
        bool custom = output->kind == OUTPUT_CUSTOM;
        sink_put(out, custom ? SPAN(",\"input\":\"") : SPAN(",\"arguments\":\""));
        if (!shell && custom)
            put_input(out, item);
        else if (!shell && output->complete)
            args_put_string_of(out, item);
        else if (!shell)
            item_put(item, out);
        SINK_TEXT(out, "\"");
    }
    SINK_TEXT(out, ",\"status\":\"");
    sink_put(out, status_of(output, shell));
    SINK_TEXT(out, "\"}");
}

static void put_image(struct sink *out, const struct output *output, bool shell)
{
    SINK_TEXT(out, "\",\"status\":\"");
    sink_put(out, status_of(output, shell));
    if (shell) {
        SINK_TEXT(out, "\",\"result\":null}");
        return;
    }
    SINK_TEXT(out, "\",\"result\":\"");
    item_put(output->item, out);
    SINK_TEXT(out, "\"}");
}

void output_put(struct sink *out, const struct answer *answer, const struct output *output,
                bool shell)
{
    static const struct span types[] = {
        [OUTPUT_MESSAGE] = { "message", 7 },
        [OUTPUT_REASONING] = { "reasoning", 9 },
        [OUTPUT_FUNCTION] = { "function_call", 13 },
        [OUTPUT_CUSTOM] = { "custom_tool_call", 16 },
        [OUTPUT_SEARCH] = { "tool_search_call", 16 },
        [OUTPUT_IMAGE] = { "image_generation_call", 21 },
    };
    SINK_TEXT(out, "{\"type\":\"");
    sink_put(out, types[output->kind]);
    SINK_TEXT(out, "\",\"id\":\"");
    output_put_id(out, answer, output);
    switch ((enum output_kind)output->kind) {
    case OUTPUT_MESSAGE: put_message(out, answer, output, shell); break;
    case OUTPUT_REASONING: put_reasoning(out, answer, output, shell); break;
    case OUTPUT_FUNCTION:
    case OUTPUT_CUSTOM:
    case OUTPUT_SEARCH: put_call(out, answer, output, shell); break;
    case OUTPUT_IMAGE: put_image(out, output, shell); break;
    }
}

// ---------------------------------------------------------------------------------- the response

struct span answer_status(enum finish finish, struct span *reason)
{
    *reason = SPAN_NONE;
    switch (finish) {
    case FINISH_STOP:
    case FINISH_STOP_TEXT:
    case FINISH_CALLS:
    case FINISH_REFUSAL:
    case FINISH_PAUSE: return SPAN("completed");
    case FINISH_LENGTH:
    case FINISH_CONTEXT: *reason = SPAN("max_output_tokens"); break;
    case FINISH_FILTERED: *reason = SPAN("content_filter"); break;
    }
    return SPAN("incomplete");
}

static void put_echo(struct sink *out, const struct answer *answer, enum echo member,
                     struct span name, struct span otherwise)
{
    struct json_slice value = answer->echo[member];
    if (value.kind == JK_NONE && otherwise.len == 0)
        return;
    SINK_TEXT(out, ",\"");
    sink_put(out, name);
    SINK_TEXT(out, "\":");
    sink_put_lasting(out, value.kind != JK_NONE ? value.text : otherwise);
}

void answer_put_head(struct sink *out, const struct answer *answer, struct span status,
                     struct span reason)
{
    const struct answer_facts *facts = answer->facts;
    SINK_TEXT(out, "{\"id\":\"");
    id_put_answer(out, facts->id, FAMILY_RESPONSES, facts->random);
    SINK_TEXT(out, "\",\"object\":\"response\",\"created_at\":");
    sink_u64(out, facts->now_s);
    SINK_TEXT(out, ",\"status\":\"");
    sink_put(out, status);
    SINK_TEXT(out, "\",\"background\":false,\"error\":null,\"incomplete_details\":");
    if (reason.len > 0) {
        SINK_TEXT(out, "{\"reason\":\"");
        sink_put(out, reason);
        SINK_TEXT(out, "\"}");
    } else {
        SINK_TEXT(out, "null");
    }
    put_echo(out, answer, ECHO_INSTRUCTIONS, SPAN("instructions"), SPAN("null"));
    put_echo(out, answer, ECHO_MAX_OUTPUT_TOKENS, SPAN("max_output_tokens"), SPAN("null"));
    put_echo(out, answer, ECHO_MAX_TOOL_CALLS, SPAN("max_tool_calls"), SPAN_NONE);
    SINK_TEXT(out, ",\"model\":");
    sink_quoted(out, words_plain(facts->model));
    SINK_TEXT(out, ",\"output\":[");
}

bool answer_put_items(struct sink *out, struct output_walk *walk, enum finish finish,
                      uint32_t count)
{
    struct output output;
    for (; count > 0; count--) {
        if (!output_next(walk, &output))
            break;
        if (output.index > 0)
            SINK_TEXT(out, ",");
        output_put(out, walk->answer, &output, false);
    }
    if (count == 0)
        return true;
    if (walk->index > 0 || !answer_may_be_empty(finish))
        return false;
    static const struct item nothing = { .kind = ITEM_TEXT };
    output = (struct output){ .kind = OUTPUT_MESSAGE, .item = &nothing, .complete = true };
    output_put(out, walk->answer, &output, false);
    return false;
}

bool answer_may_be_empty(enum finish finish)
{
    struct span reason;
    (void)answer_status(finish, &reason);
    return reason.len == 0;
}

static void put_usage(struct sink *out, const struct usage *usage)
{
    uint64_t written = usage->cache_write_5m + usage->cache_write_1h;
    uint64_t input = usage->input_uncached + usage->cache_read + written;
    SINK_TEXT(out, "{\"input_tokens\":");
    sink_u64(out, input);
    SINK_TEXT(out, ",\"input_tokens_details\":{\"cached_tokens\":");
    sink_u64(out, usage->cache_read);
    SINK_TEXT(out, ",\"cache_write_tokens\":");
    sink_u64(out, written);
    SINK_TEXT(out, "},\"output_tokens\":");
    sink_u64(out, usage->output);
    SINK_TEXT(out, ",\"output_tokens_details\":{\"reasoning_tokens\":"); // C-057
    sink_u64(out, usage->reasoning);
    SINK_TEXT(out, "},\"total_tokens\":");
    sink_u64(out, input + usage->output);
    SINK_TEXT(out, "}");
}

// The client's settings of the text, which may leave out that it is text.
static void put_text(struct sink *out, const struct answer *answer)
{
    struct json_slice text = answer->echo[ECHO_TEXT];
    SINK_TEXT(out, ",\"text\":{");
    if (json_get(text, SPAN("format")).kind != JK_OBJECT) {
        SINK_TEXT(out, "\"format\":{\"type\":\"text\"}");
        struct json_slice verbosity = json_get(text, SPAN("verbosity"));
        if (verbosity.kind == JK_STRING) {
            SINK_TEXT(out, ",\"verbosity\":");
            sink_put(out, verbosity.text);
        }
        SINK_TEXT(out, "}");
    } else {
        sink_put(out, span_from(text.text, 1));
    }
}

void answer_put_tail(struct sink *out, const struct answer *answer, bool usage)
{
    SINK_TEXT(out, "]");
    put_echo(out, answer, ECHO_PARALLEL, SPAN("parallel_tool_calls"), SPAN("true"));
    SINK_TEXT(out, ",\"previous_response_id\":null");
    put_echo(out, answer, ECHO_CACHE_KEY, SPAN("prompt_cache_key"), SPAN_NONE);
    put_echo(out, answer, ECHO_REASONING, SPAN("reasoning"),
             SPAN("{\"effort\":null,\"summary\":null}"));
    put_echo(out, answer, ECHO_SAFETY, SPAN("safety_identifier"), SPAN_NONE);
    put_echo(out, answer, ECHO_TIER, SPAN("service_tier"), SPAN_NONE);
    SINK_TEXT(out, ",\"store\":false");
    put_echo(out, answer, ECHO_TEMPERATURE, SPAN("temperature"), SPAN("null"));
    put_text(out, answer);
    put_echo(out, answer, ECHO_TOOL_CHOICE, SPAN("tool_choice"), SPAN("\"auto\""));
    put_echo(out, answer, ECHO_TOOLS, SPAN("tools"), SPAN("[]"));
    put_echo(out, answer, ECHO_TOP_LOGPROBS, SPAN("top_logprobs"), SPAN_NONE);
    put_echo(out, answer, ECHO_TOP_P, SPAN("top_p"), SPAN("null"));
    put_echo(out, answer, ECHO_TRUNCATION, SPAN("truncation"), SPAN("\"disabled\""));
    put_echo(out, answer, ECHO_USER, SPAN("user"), SPAN_NONE);
    SINK_TEXT(out, ",\"usage\":");
    if (usage)
        put_usage(out, &answer->facts->usage);
    else
        SINK_TEXT(out, "null");
    put_echo(out, answer, ECHO_METADATA, SPAN("metadata"), SPAN("{}"));
    SINK_TEXT(out, "}");
}
