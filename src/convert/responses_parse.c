// OpenAI Responses, reading a request: a list of items, of which neighbours of one side become one
// turn at vendors that know only turns.
//
// What lives at the vendor (an earlier response, a stored prompt, an item by its id) cannot be had
// elsewhere: such requests are refused, because an answer without the history would be worse
// (C-123).
#include "responses_parse.h"
#include "base64.h"
#include "media.h"
#include "penstock/base/text.h"
#include "penstock/convert/ids.h"

#define BAD_TYPE "this has the wrong type"

// --- parts of content ---

static void read_image(struct prompt_parse *parse, struct part *part, struct json_slice value)
{
    struct json_slice url = json_get(value, SPAN("image_url"));
    struct json_slice id = json_get(value, SPAN("file_id"));
    struct json_slice detail = json_get(value, SPAN("detail"));
    if (!json_string_is(detail, SPAN("auto"))) // which is what is meant without one
        part->extra = words_of(detail);
    if (url.kind == JK_OBJECT) // as in Chat
        url = json_get(url, SPAN("url"));
    if (url.kind != JK_STRING && id.kind == JK_STRING) {
        part->source = MEDIA_FILE_ID;
        part->text = words_of(id);
    } else if (url.kind != JK_STRING || !media_from_url(part, words_of(url), parse->scratch)) {
        prompt_bad(parse, "an image is a URL, or data with its type in one",
                   "input[%u].content[%u].image_url", part->at, part->sub);
    }
}

static void read_file(struct prompt_parse *parse, struct part *part, struct json_slice value)
{
    struct json_slice data = json_get(value, SPAN("file_data"));
    struct json_slice url = json_get(value, SPAN("file_url"));
    part->title = words_of(json_get(value, SPAN("filename")));
    if (data.kind == JK_STRING) {
        struct words words = words_of(data);
        if (span_starts(words.raw, SPAN("data:"))) {
            if (!media_from_url(part, words, parse->scratch))
                prompt_bad(parse, "a file is data with its type in a URL",
                           "input[%u].content[%u].file_data", part->at, part->sub);
            else
                media_read_text(part, parse->scratch);
            return;
        }
        part->source = MEDIA_DATA;
        part->text = words;
        part->type = media_type(words, words_plain(SPAN("application/pdf")));
    } else if (url.kind == JK_STRING) {
        part->source = MEDIA_URL;
        part->text = words_of(url);
    } else {
        part->source = MEDIA_FILE_ID;
        part->text = words_of(json_get(value, SPAN("file_id")));
        if (words_none(part->text))
            prompt_bad(parse, "a file has data, a URL or an id", "input[%u].content[%u]", part->at,
                       part->sub);
    }
}

static void read_audio(struct part *part, struct json_slice value)
{
    struct json_slice audio = json_get(value, SPAN("input_audio"));
    part->text = words_of(json_get(audio, SPAN("data")));
    bool mp3 = json_string_is(json_get(audio, SPAN("format")), SPAN("mp3"));
    part->type = words_plain(mp3 ? SPAN("audio/mp3") : SPAN("audio/wav"));
}

static bool kind_of(struct json_slice type, enum part_kind *kind)
{
    static const struct {
        struct span name;
        enum part_kind kind;
    } kinds[] = {
        { SPAN("input_text"), PART_TEXT },   { SPAN("output_text"), PART_TEXT },
        { SPAN("text"), PART_TEXT },         { SPAN("refusal"), PART_REFUSAL },
        { SPAN("input_image"), PART_IMAGE }, { SPAN("input_file"), PART_FILE },
        { SPAN("input_audio"), PART_AUDIO }, { SPAN("summary_text"), PART_TEXT },
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (json_string_is(type, kinds[i].name)) {
            *kind = kinds[i].kind;
            return true;
        }
    return false;
}

static void read_part(struct prompt_parse *parse, struct json_slice value, uint32_t at,
                      uint32_t sub, bool inner)
{
    enum { TYPE, BREAKPOINT, TEXT, REFUSAL, COUNT };
    static const struct span names[COUNT] = { SPAN("type"), SPAN("prompt_cache_breakpoint"),
                                              SPAN("text"), SPAN("refusal") };
    struct json_slice found[COUNT];
    json_get_all(value, names, found, COUNT);
    enum part_kind kind;
    if (!kind_of(found[TYPE], &kind)) {
        prompt_bad(parse, "this type of content is not known", "input[%u].content[%u].type", at,
                   sub);
        return;
    }
    struct part *part = prompt_part(parse, kind, at, sub);
    if (part == NULL)
        return;
    part->inner = inner;
    part->raw = value;
    part->cache = found[BREAKPOINT].kind == JK_OBJECT;
    if (kind == PART_IMAGE)
        read_image(parse, part, value);
    else if (kind == PART_FILE)
        read_file(parse, part, value);
    else if (kind == PART_AUDIO)
        read_audio(part, value);
    else
        part->text = words_of(found[kind == PART_REFUSAL ? REFUSAL : TEXT]);
}

// --- items ---

static void read_message(struct prompt_parse *parse, struct json_slice item, uint32_t at)
{
    enum { ROLE, CONTENT, COUNT };
    static const struct span names[COUNT] = { SPAN("role"), SPAN("content") };
    struct json_slice found[COUNT];
    json_get_all(item, names, found, COUNT);
    struct json_slice role = found[ROLE];
    enum role kind = ROLE_USER;
    if (json_string_is(role, SPAN("assistant"))) {
        kind = ROLE_ASSISTANT;
    } else if (json_string_is(role, SPAN("system")) || json_string_is(role, SPAN("developer"))) {
        kind = ROLE_SYSTEM;
    } else if (!json_string_is(role, SPAN("user"))) {
        prompt_bad(parse, "a role is user, assistant, system or developer", "input[%u].role", at);
        return;
    }
    if (prompt_turn(parse, kind, at) != NULL)
        parse_content(parse, found[CONTENT], at, false, "content", read_part);
}

static void read_call(struct prompt_parse *parse, struct json_slice item, uint32_t at)
{
    struct json_slice id = json_get(item, SPAN("call_id"));
    struct json_slice name = json_get(item, SPAN("name"));
    bool search = json_string_is(json_get(item, SPAN("type")), SPAN("tool_search_call"));
    bool custom = responses_is_custom(item);
    if (id.kind != JK_STRING || (name.kind != JK_STRING && !search)) {
        prompt_bad(parse, "a call has a call_id and a name", "input[%u]", at);
        return;
    }
    if (prompt_turn(parse, ROLE_ASSISTANT, at) == NULL)
        return;
    struct part *part = prompt_part(parse, PART_CALL, at, PART_NO_SUB);
    if (part == NULL)
        return;
    struct json_slice text = json_get(item, custom ? SPAN("input") : SPAN("arguments"));
    part->form = custom ? CALL_CUSTOM : CALL_FUNCTION;
    part->id = words_of(id);
    part->name = search ? words_plain(SPAN("tool_search"))
                        : responses_flat_name(parse, words_of(json_get(item, SPAN("namespace"))),
                                              words_of(name));
    part->object = text.kind == JK_OBJECT;
    part->text = part->object ? words_plain(text.text) : words_of(text);
    part->raw = item;
}

static void read_result(struct prompt_parse *parse, struct json_slice item, uint32_t at)
{
    if (prompt_turn(parse, ROLE_USER, at) == NULL)
        return;
    struct part *part = prompt_part(parse, PART_RESULT, at, PART_NO_SUB);
    if (part == NULL)
        return;
    enum { ID, NAME, OUTPUT, COUNT };
    static const struct span names[COUNT] = { SPAN("call_id"), SPAN("name"), SPAN("output") };
    struct json_slice found[COUNT];
    json_get_all(item, names, found, COUNT);
    part->id = words_of(found[ID]);
    part->name = words_of(found[NAME]);
    part->raw = item;
    if (words_none(part->id) && words_none(part->name))
        prompt_bad(parse, "a result says which call it answers", "input[%u].call_id", at);
    else
        parse_content(parse, found[OUTPUT], at, true, "output", read_part);
}

// What a search of the client's found: the tools are there from now on, and the model is told so.
static void read_found(struct prompt_parse *parse, struct json_slice item, uint32_t at)
{
    struct json_slice id = json_get(item, SPAN("call_id"));
    if (prompt_turn(parse, ROLE_USER, at) == NULL)
        return;
    struct part *part = prompt_part(parse, PART_RESULT, at, PART_NO_SUB);
    if (part == NULL)
        return;
    part->id = words_of(id);
    if (id.kind != JK_STRING)
        prompt_bad(parse, "a result says which call it answers", "input[%u].call_id", at);
    struct json_slice tools = json_get(item, SPAN("tools")), value;
    struct json_iter iter = json_elements_of(tools);
    responses_read_tools(parse, tools, true);
    while (json_element_next(&iter, &value) && !failed(parse->err)) {
        part = prompt_part(parse, PART_RAW, at, PART_NO_SUB);
        if (part == NULL)
            return;
        part->inner = true;
        part->name = words_of(json_get(value, SPAN("name")));
    }
}

// Paragraphs of a summary as one text.
static struct words joined(struct prompt_parse *parse, struct json_slice parts)
{
    struct json_iter iter = json_elements_of(parts);
    struct json_slice part;
    struct words only = WORDS_NONE;
    unsigned count = 0;
    size_t size = 0;
    while (json_element_next(&iter, &part)) {
        struct words text = words_of(json_get(part, SPAN("text")));
        if (words_none(text))
            continue;
        only = text;
        size += text.raw.len + 4;
        count++;
    }
    if (count < 2)
        return only;
    char *room = scratch_take(parse->scratch, size);
    if (room == NULL) {
        parse->err = ERR(OVERLOADED);
        return WORDS_NONE;
    }
    struct sink sink = sink_into(room, size);
    iter = json_elements_of(parts);
    while (json_element_next(&iter, &part)) {
        struct words text = words_of(json_get(part, SPAN("text")));
        if (!words_none(text) && sink.at != room)
            SINK_TEXT(&sink, "\\n\\n");
        sink_string(&sink, text);
    }
    return words_escaped(span_of(room, (size_t)(sink.at - room)));
}

static void read_thought(struct prompt_parse *parse, struct json_slice item, uint32_t at)
{
    struct signature signature = { 0 };
    enum envelope_kind kind = ENVELOPE_THOUGHT;
    struct words sealed = words_of(json_get(item, SPAN("encrypted_content")));
    if (!words_none(sealed) && !envelope_read(sealed, MAKER_RESPONSES, parse->key, parse->account,
                                              parse->scratch, &signature, &kind))
        return; // not ours and nobody's: it goes with its text (C-064)
    struct words text = joined(parse, json_get(item, SPAN("summary")));
    if (words_none(text))
        text = joined(parse, json_get(item, SPAN("content")));
    if (words_none(text))
        text = signature.thought;
    if (words_none(text) && words_none(signature.text))
        return;
    if (prompt_turn(parse, ROLE_ASSISTANT, at) == NULL)
        return;
    struct part *part =
        prompt_part(parse, kind == ENVELOPE_REDACTED ? PART_REDACTED : PART_THINK, at, PART_NO_SUB);
    if (part == NULL)
        return;
    part->text = text;
    part->signature = signature;
    part->signature.signs = kind == ENVELOPE_CALL ? SIGNS_CALL : SIGNS_THOUGHT;
    part->raw = item;
    if (signature.maker == MAKER_RESPONSES)
        part->signature.id = words_of(json_get(item, SPAN("id")));
}

static void read_stored(struct prompt_parse *parse, const char *why, const char *path)
{
    if (failed(parse->err))
        return;
    prompt_bad(parse, why, "%s", path);
    parse->err = ERR(STORED_RESPONSE);
}

// An item of the vendor's own tools: what it found stands in the message that follows.
static void read_hosted(struct prompt_parse *parse, uint32_t at)
{
    loss_drop(parse->losses, "input[%u]", at);
}

enum input {
    ITEM_IS_MESSAGE,
    ITEM_IS_CALL,
    ITEM_IS_RESULT,
    ITEM_IS_FOUND,
    ITEM_IS_THOUGHT,
    ITEM_IS_TOOLS,
    ITEM_IS_HOSTED,
    ITEM_IS_LOCAL,
    ITEM_IS_STORED,
    ITEM_IS_SEALED,
    ITEM_IS_UNKNOWN
};

static enum input item_of(struct json_slice item)
{
    static const struct {
        struct span name;
        enum input item;
    } items[] = {
        { SPAN("message"), ITEM_IS_MESSAGE },
        { SPAN("function_call"), ITEM_IS_CALL },
        { SPAN("function_call_output"), ITEM_IS_RESULT },
        { SPAN("reasoning"), ITEM_IS_THOUGHT },
        { SPAN("custom_tool_call"), ITEM_IS_CALL },
        { SPAN("custom_tool_call_output"), ITEM_IS_RESULT },
        { SPAN("tool_search_output"), ITEM_IS_FOUND },
        { SPAN("additional_tools"), ITEM_IS_TOOLS },
        { SPAN("item_reference"), ITEM_IS_STORED },
        { SPAN("compaction"), ITEM_IS_SEALED },
        { SPAN("local_shell_call"), ITEM_IS_LOCAL },
        { SPAN("local_shell_call_output"), ITEM_IS_LOCAL },
        { SPAN("shell_call"), ITEM_IS_LOCAL },
        { SPAN("shell_call_output"), ITEM_IS_LOCAL },
        { SPAN("apply_patch_call"), ITEM_IS_LOCAL },
        { SPAN("apply_patch_call_output"), ITEM_IS_LOCAL },
        { SPAN("computer_call"), ITEM_IS_LOCAL },
        { SPAN("computer_call_output"), ITEM_IS_LOCAL },
        { SPAN("web_search_call"), ITEM_IS_HOSTED },
        { SPAN("x_search_call"), ITEM_IS_HOSTED },
        { SPAN("file_search_call"), ITEM_IS_HOSTED },
        { SPAN("code_interpreter_call"), ITEM_IS_HOSTED },
        { SPAN("image_generation_call"), ITEM_IS_HOSTED },
        { SPAN("mcp_list_tools"), ITEM_IS_HOSTED },
        { SPAN("mcp_approval_request"), ITEM_IS_HOSTED },
        { SPAN("mcp_approval_response"), ITEM_IS_HOSTED },
        { SPAN("mcp_call"), ITEM_IS_HOSTED },
        { SPAN("compaction_trigger"), ITEM_IS_HOSTED },
        { SPAN("configuration_update"), ITEM_IS_HOSTED },
        { SPAN("program"), ITEM_IS_HOSTED },
        { SPAN("program_output"), ITEM_IS_HOSTED },
    };
    struct json_slice type = json_get(item, SPAN("type"));
    if (type.kind == JK_NONE && json_get(item, SPAN("role")).kind == JK_STRING)
        return ITEM_IS_MESSAGE;
    if (json_string_is(type, SPAN("tool_search_call")))
        return json_string_is(json_get(item, SPAN("execution")), SPAN("client")) ? ITEM_IS_CALL
                                                                                 : ITEM_IS_HOSTED;
    for (size_t i = 0; i < ARRAY_LEN(items); i++)
        if (json_string_is(type, items[i].name))
            return items[i].item;
    return ITEM_IS_UNKNOWN;
}

static void read_item(struct prompt_parse *parse, struct json_slice item, uint32_t at)
{
    switch (item_of(item)) {
    case ITEM_IS_MESSAGE: read_message(parse, item, at); break;
    case ITEM_IS_CALL: read_call(parse, item, at); break;
    case ITEM_IS_RESULT: read_result(parse, item, at); break;
    case ITEM_IS_FOUND:
        if (json_string_is(json_get(item, SPAN("execution")), SPAN("client")))
            read_found(parse, item, at);
        else
            read_hosted(parse, at);
        break;
    case ITEM_IS_THOUGHT: read_thought(parse, item, at); break;
    case ITEM_IS_TOOLS: responses_read_tools(parse, json_get(item, SPAN("tools")), true); break;
    case ITEM_IS_HOSTED: read_hosted(parse, at); break;
    case ITEM_IS_LOCAL:
        loss_refuse(parse->losses, "only the same vendor knows this tool", "input[%u]", at);
        break;
    case ITEM_IS_SEALED:
        loss_refuse(parse->losses, "only the vendor that made this can read it", "input[%u]", at);
        break;
    case ITEM_IS_STORED:
        read_stored(parse, "items are not stored here: send them whole", "input");
        break;
    case ITEM_IS_UNKNOWN:
        prompt_bad(parse, "this type of item is not known", "input[%u].type", at);
        break;
    }
}

static void read_input(struct prompt_parse *parse, struct json_slice input)
{
    if (input.kind == JK_STRING) {
        if (prompt_turn(parse, ROLE_USER, 0) != NULL)
            parse_content(parse, input, 0, false, "content", read_part);
        return;
    }
    if (input.kind != JK_ARRAY) {
        prompt_bad(parse, "input is a text or a list of items", "input");
        return;
    }
    struct json_iter iter = json_elements_of(input);
    struct json_slice item;
    for (uint32_t at = 0; json_element_next(&iter, &item) && !failed(parse->err); at++)
        read_item(parse, item, at);
}

static void read_instructions(struct prompt_parse *parse, struct json_slice instructions)
{
    if (instructions.kind == JK_NONE || instructions.kind == JK_NULL)
        return;
    if (instructions.kind != JK_STRING)
        prompt_bad(parse, BAD_TYPE, "instructions");
    else if (prompt_turn(parse, ROLE_SYSTEM, 0) != NULL)
        parse_content(parse, instructions, 0, false, "instructions", read_part);
}

// --- settings ---

static void read_reasoning(struct prompt_parse *parse, struct json_slice value)
{
    struct prompt *prompt = parse->prompt;
    struct json_slice effort = json_get(value, SPAN("effort"));
    struct json_slice summary = json_get(value, SPAN("summary"));
    if (summary.kind != JK_STRING)
        summary = json_get(value, SPAN("generate_summary"));
    prompt->reasoning.show = summary.kind == JK_STRING ? 2 : 0;
    prompt->reasoning.path = "reasoning.effort";
    if (effort.kind == JK_STRING) {
        parse_effort(parse, effort, "reasoning.effort");
    } else if (effort.kind != JK_NONE && effort.kind != JK_NULL) {
        prompt_bad(parse, BAD_TYPE, "reasoning.effort");
    }
    struct json_slice context = json_get(value, SPAN("context"));
    struct json_slice mode = json_get(value, SPAN("mode"));
    if (context.kind == JK_STRING && !json_string_is(context, SPAN("auto")))
        loss_drop(parse->losses, "reasoning.context");
    if (mode.kind == JK_STRING && !json_string_is(mode, SPAN("standard")))
        loss_drop(parse->losses, "reasoning.mode");
}

static void read_text_settings(struct prompt_parse *parse, struct json_slice text)
{
    struct prompt *prompt = parse->prompt;
    struct json_slice format = json_get(text, SPAN("format"));
    struct json_slice type = json_get(format, SPAN("type"));
    prompt_knob(parse, KNOB_VERBOSITY, json_get(text, SPAN("verbosity")), "text.verbosity");
    prompt->format.path = "text.format";
    if (json_string_is(type, SPAN("json_object"))) {
        prompt->format.kind = ANSWER_JSON;
    } else if (json_string_is(type, SPAN("json_schema"))) {
        parse_schema(parse, format);
        if (prompt->format.schema.kind != JK_OBJECT)
            prompt_bad(parse, "a format has a schema", "text.format.schema");
    } else if (format.kind == JK_OBJECT && !json_string_is(type, SPAN("text"))) {
        prompt_bad(parse, "a format is text, json_object or json_schema", "text.format.type");
    }
}

static void read_include(struct prompt_parse *parse, struct json_slice include)
{
    static const struct json_slice yes = { { "true", 4 }, JK_TRUE };
    struct json_iter iter = json_elements_of(include);
    struct json_slice what;
    for (uint32_t at = 0; json_element_next(&iter, &what); at++) {
        if (json_string_is(what, SPAN("reasoning.encrypted_content")))
            parse->prompt->envelopes_wanted = true;
        else if (json_string_is(what, SPAN("message.output_text.logprobs")))
            prompt_knob(parse, KNOB_LOGPROBS, yes, "include");
        else
            loss_drop(parse->losses, "include[%u]", at);
    }
}

static void read_earlier(struct prompt_parse *parse, struct json_slice value)
{
    (void)value;
    read_stored(parse, "responses are not stored here: send the whole conversation",
                "previous_response_id");
}

static void read_conversation(struct prompt_parse *parse, struct json_slice value)
{
    (void)value;
    read_stored(parse, "conversations are not stored here: send the whole of it", "conversation");
}

static void read_prompt(struct prompt_parse *parse, struct json_slice value)
{
    (void)value;
    read_stored(parse, "prompts are not stored here: send their text", "prompt");
}

static void read_background(struct prompt_parse *parse, struct json_slice value)
{
    if (value.kind == JK_TRUE)
        loss_refuse(parse->losses, "an answer has to be waited for here", "background");
}

static void read_store(struct prompt_parse *parse, struct json_slice value)
{
    if (value.kind == JK_TRUE)
        prompt_knob(parse, KNOB_STORE, value, "store");
}

static void read_parallel(struct prompt_parse *parse, struct json_slice value)
{
    if (value.kind == JK_FALSE)
        prompt_knob(parse, KNOB_PARALLEL, value, "parallel_tool_calls");
}

static void read_truncation(struct prompt_parse *parse, struct json_slice value)
{
    if (!json_string_is(value, SPAN("disabled")))
        loss_drop(parse->losses, "truncation");
}

static void read_stream(struct prompt_parse *parse, struct json_slice value)
{
    parse->prompt->stream = value.kind == JK_TRUE;
}

static void read_nothing(struct prompt_parse *parse, struct json_slice value)
{
    (void)parse, (void)value;
}

static const struct {
    struct span name;
    void (*read)(struct prompt_parse *parse, struct json_slice value);
} members[] = {
    { SPAN("input"), read_input },
    { SPAN("tool_choice"), responses_read_choice },
    { SPAN("reasoning"), read_reasoning },
    { SPAN("text"), read_text_settings },
    { SPAN("include"), read_include },
    { SPAN("stream"), read_stream },
    { SPAN("store"), read_store },
    { SPAN("parallel_tool_calls"), read_parallel },
    { SPAN("truncation"), read_truncation },
    { SPAN("background"), read_background },
    { SPAN("previous_response_id"), read_earlier },
    { SPAN("conversation"), read_conversation },
    { SPAN("prompt"), read_prompt },
    { SPAN("model"), read_nothing },
    { SPAN("instructions"), read_nothing }, // these two are read before
    { SPAN("tools"), read_nothing },
    { SPAN("stream_options"), read_nothing },
};

static const struct setting settings[] = {
    { SPAN("max_output_tokens"), KNOB_MAX_OUTPUT, JK_NUMBER },
    { SPAN("temperature"), KNOB_TEMPERATURE, JK_NUMBER },
    { SPAN("top_p"), KNOB_TOP_P, JK_NUMBER },
    { SPAN("top_logprobs"), KNOB_TOP_LOGPROBS, JK_NUMBER },
    { SPAN("metadata"), KNOB_METADATA, JK_OBJECT },
    { SPAN("service_tier"), KNOB_TIER, JK_STRING },
    { SPAN("prompt_cache_key"), KNOB_CACHE_KEY, JK_STRING },
    { SPAN("prompt_cache_retention"), KNOB_CACHE_RETENTION, JK_STRING },
    { SPAN("prompt_cache_options"), KNOB_CACHE_OPTIONS, JK_OBJECT },
    { SPAN("moderation"), KNOB_MODERATION, JK_OBJECT },
    { SPAN("safety_identifier"), KNOB_USER, JK_STRING },
    { SPAN("user"), KNOB_USER, JK_STRING },
};

static void read_member(struct prompt_parse *parse, struct span key, struct json_slice value)
{
    if (value.kind == JK_NULL)
        return; // as good as not there (C-134)
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (json_key_is(key, members[i].name)) {
            members[i].read(parse, value);
            return;
        }
    const bool newer = json_key_is(key, SPAN("safety_identifier"));
    if (!parse_setting(parse, settings, ARRAY_LEN(settings), key, value, newer))
        loss_drop(parse->losses, "%.*s", (int)min_size(key.len, 80), key.ptr); // C-121
}

bool responses_parse(struct prompt_parse *parse, struct json_slice root)
{
    enum { INSTRUCTIONS, TOOLS, COUNT };
    static const struct span first[COUNT] = { { "instructions", 12 }, { "tools", 5 } };
    struct prompt *prompt = parse->prompt;
    struct json_slice found[COUNT];
    (void)json_pick(root, first, found, COUNT); // what comes first, wherever it stands
    read_instructions(parse, found[INSTRUCTIONS]);
    responses_read_tools(parse, found[TOOLS], false);
    struct json_iter iter = json_members_of(root);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value) && !failed(parse->err))
        read_member(parse, key, value);
    prompt->usage_wanted = true; // this format always tells it
    const struct knob *top = &prompt->knobs[KNOB_TOP_LOGPROBS];
    static const struct json_slice yes = { { "true", 4 }, JK_TRUE };
    if (top->value.kind == JK_NUMBER && !span_eq(top->value.text, SPAN("0")))
        prompt_knob(parse, KNOB_LOGPROBS, yes, top->path);
    return parse_end(parse, "at least one message is required");
}
