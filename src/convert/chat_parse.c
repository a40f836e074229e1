// OpenAI Chat Completions, reading a request.
#include "chat.h"
#include "media.h"
#include "parse.h"

#define BAD_TYPE "this has the wrong type"

// --- parts of a message ---

static void read_image(struct prompt_parse *parse, struct json_slice value, uint32_t at,
                       uint32_t sub)
{
    struct part *part = prompt_part(parse, PART_IMAGE, at, sub);
    if (part == NULL)
        return;
    struct json_slice url = value.kind == JK_STRING ? value : json_get(value, SPAN("url"));
    if (url.kind != JK_STRING || !media_from_url(part, words_of(url), parse->scratch))
        prompt_bad(parse, "an image is a URL, or data with its type in one",
                   "messages[%u].content[%u].image_url", at, sub);
    part->extra = words_of(json_get(value, SPAN("detail")));
}

static void read_file(struct prompt_parse *parse, struct json_slice value, uint32_t at,
                      uint32_t sub)
{
    struct part *part = prompt_part(parse, PART_FILE, at, sub);
    if (part == NULL)
        return;
    struct json_slice data = json_get(value, SPAN("file_data"));
    part->title = words_of(json_get(value, SPAN("filename")));
    if (data.kind != JK_STRING) {
        part->source = MEDIA_FILE_ID;
        part->text = words_of(json_get(value, SPAN("file_id")));
    } else if (!media_from_url(part, words_of(data), parse->scratch)) {
        prompt_bad(parse, "a file is data with its type in a URL", "messages[%u].content[%u].file",
                   at, sub);
    } else {
        media_read_text(part, parse->scratch);
    }
}

static void read_audio(struct prompt_parse *parse, struct json_slice value, uint32_t at,
                       uint32_t sub)
{
    struct part *part = prompt_part(parse, PART_AUDIO, at, sub);
    if (part == NULL)
        return;
    part->text = words_of(json_get(value, SPAN("data")));
    bool mp3 = json_string_is(json_get(value, SPAN("format")), SPAN("mp3"));
    part->type = words_plain(mp3 ? SPAN("audio/mp3") : SPAN("audio/wav"));
}

static void read_part(struct prompt_parse *parse, struct json_slice value, uint32_t at,
                      uint32_t sub, bool inner)
{
    enum { TYPE, TEXT, BREAKPOINT, CACHE, COUNT };
    static const struct span names[COUNT] = { SPAN("type"), SPAN("text"),
                                              SPAN("prompt_cache_breakpoint"),
                                              SPAN("cache_control") };
    struct json_slice found[COUNT];
    json_get_all(value, names, found, COUNT);
    struct json_slice type = found[TYPE];
    struct part *part = NULL;
    if (json_string_is(type, SPAN("text"))) {
        part = prompt_part(parse, PART_TEXT, at, sub);
        if (part != NULL)
            part->text = words_of(found[TEXT]);
    } else if (json_string_is(type, SPAN("refusal"))) {
        part = prompt_part(parse, PART_REFUSAL, at, sub);
        if (part != NULL)
            part->text = words_of(json_get(value, SPAN("refusal")));
    } else if (json_string_is(type, SPAN("image_url"))) {
        read_image(parse, json_get(value, SPAN("image_url")), at, sub);
    } else if (json_string_is(type, SPAN("file"))) {
        read_file(parse, json_get(value, SPAN("file")), at, sub);
    } else if (json_string_is(type, SPAN("input_audio"))) {
        read_audio(parse, json_get(value, SPAN("input_audio")), at, sub);
    } else {
        prompt_bad(parse, "this type of content is not known", "messages[%u].content[%u].type", at,
                   sub);
        return;
    }
    if (failed(parse->err))
        return;
    part = &parse->prompt->parts[parse->prompt->part_count - 1];
    part->inner = inner;
    part->raw = value;
    part->cache = found[BREAKPOINT].kind == JK_OBJECT || found[CACHE].kind == JK_OBJECT;
}

// --- messages ---

static void read_thought(struct prompt_parse *parse, const struct chat_message *message,
                         uint32_t at)
{
    struct words text = words_of(chat_thought(message, false));
    struct part *part = NULL;
    if (!words_none(text)) {
        part = prompt_part(parse, PART_THINK, at, PART_NO_SUB);
        if (part == NULL)
            return;
        part->text = text;
        part->signature.maker = MAKER_CHAT;
    }
    struct json_iter iter = json_elements_of(message->of[CHAT_REASONING_DETAILS]);
    struct json_slice detail;
    struct signature signature;
    while (json_element_next(&iter, &detail)) {
        if (!chat_detail_signature(detail, &signature))
            continue;
        bool beside = json_get(detail, SPAN("signature")).kind == JK_STRING;
        bool redacted = !beside && signature.maker == MAKER_ANTHROPIC;
        enum envelope_kind kind;
        const struct words id = signature.id;
        if (!envelope_read(signature.text, (enum maker)signature.maker, parse->key, parse->account,
                           parse->scratch, &signature, &kind) ||
            words_none(signature.text))
            continue; // not ours, or another account's: its text stays (C-064, C-150)
        signature.id = id;
        if (part == NULL || redacted || !words_none(part->signature.text))
            part = prompt_part(parse, redacted ? PART_REDACTED : PART_THINK, at, PART_NO_SUB);
        if (part == NULL)
            return;
        if (beside)
            part->text = words_of(json_get(detail, SPAN("text")));
        part->signature = signature;
    }
}

static void read_call(struct prompt_parse *parse, struct json_slice value, uint32_t at,
                      uint32_t sub)
{
    enum { CUSTOM, FUNCTION, ID, EXTRA, COUNT };
    static const struct span names[COUNT] = { SPAN("custom"), SPAN("function"), SPAN("id"),
                                              SPAN("extra_content") };
    struct json_slice found[COUNT];
    json_get_all(value, names, found, COUNT);
    struct json_slice custom = found[CUSTOM], function = found[FUNCTION], id = found[ID];
    bool is_custom = custom.kind == JK_OBJECT && function.kind != JK_OBJECT;
    struct json_slice what = is_custom ? custom : function;
    struct json_slice name = json_get(what, SPAN("name"));
    if (id.kind != JK_STRING || name.kind != JK_STRING) {
        prompt_bad(parse, "a call has an id and a name", "messages[%u].tool_calls[%u]", at, sub);
        return;
    }
    struct part *part = prompt_part(parse, PART_CALL, at, sub);
    if (part == NULL)
        return;
    part->form = is_custom ? CALL_CUSTOM : CALL_FUNCTION;
    part->id = words_of(id);
    part->name = words_of(name);
    struct json_slice arguments = json_get(what, is_custom ? SPAN("input") : SPAN("arguments"));
    part->object = arguments.kind == JK_OBJECT;
    part->text = part->object ? words_plain(arguments.text) : words_of(arguments);
    struct json_slice google = json_get(found[EXTRA], SPAN("google"));
    struct words text = words_of(json_get(google, SPAN("thought_signature")));
    enum envelope_kind kind;
    if (words_none(text) || !envelope_read(text, MAKER_GEMINI, parse->key, parse->account,
                                           parse->scratch, &part->signature, &kind))
        part->signature = (struct signature){ .maker = MAKER_NONE };
    part->signature.signs = SIGNS_CALL;
}

// Calls of the old kind have no ids: the one before a result is the one it answers.
static struct words old_id(struct prompt_parse *parse, uint32_t at)
{
    char *room = scratch_take(parse->scratch, 24);
    if (room == NULL)
        return WORDS_NONE;
    struct sink sink = sink_into(room, 24);
    SINK_TEXT(&sink, "call_fn_");
    sink_u64(&sink, at);
    return words_plain(span_of(room, (size_t)(sink.at - room)));
}

static void read_assistant(struct prompt_parse *parse, struct json_slice message, uint32_t at)
{
    if (prompt_turn(parse, ROLE_ASSISTANT, at) == NULL)
        return;
    const struct chat_message said = chat_message(message);
    read_thought(parse, &said, at);
    parse_content(parse, said.of[CHAT_CONTENT], at, false, "content", read_part);
    struct json_slice refusal = said.of[CHAT_REFUSAL];
    struct part *part =
        refusal.kind == JK_STRING ? prompt_part(parse, PART_REFUSAL, at, PART_NO_SUB) : NULL;
    if (part != NULL)
        part->text = words_of(refusal);
    struct json_iter iter = json_elements_of(said.of[CHAT_TOOL_CALLS]);
    struct json_slice value;
    for (uint32_t sub = 0; json_element_next(&iter, &value) && !failed(parse->err); sub++)
        read_call(parse, value, at, sub);
    struct json_slice old = said.of[CHAT_FUNCTION_CALL];
    part = old.kind == JK_OBJECT ? prompt_part(parse, PART_CALL, at, PART_NO_SUB) : NULL;
    if (part != NULL) {
        part->id = old_id(parse, at);
        part->name = words_of(json_get(old, SPAN("name")));
        part->text = words_of(json_get(old, SPAN("arguments")));
    }
    if (json_get(message, SPAN("audio")).kind == JK_OBJECT)
        loss_refuse(parse->losses, "sound lives at the vendor that made it", "messages[%u].audio",
                    at);
}

static void read_result(struct prompt_parse *parse, struct json_slice message, uint32_t at,
                        bool old)
{
    if (prompt_turn(parse, ROLE_USER, at) == NULL)
        return;
    struct json_slice id = json_get(message, SPAN("tool_call_id"));
    if (!old && id.kind != JK_STRING) {
        prompt_bad(parse, "a tool's message says which call it answers",
                   "messages[%u].tool_call_id", at);
        return;
    }
    struct part *part = prompt_part(parse, PART_RESULT, at, PART_NO_SUB);
    if (part == NULL)
        return;
    part->id = words_of(id);
    for (uint32_t i = parse->prompt->part_count; old && i > 0; i--)
        if (parse->prompt->parts[i - 1].kind == PART_CALL) {
            part->id = parse->prompt->parts[i - 1].id;
            break;
        }
    parse_content(parse, json_get(message, SPAN("content")), at, true, "content", read_part);
}

static void read_message(struct prompt_parse *parse, struct json_slice message, uint32_t at)
{
    enum { ROLE, CONTENT, NAME, COUNT };
    static const struct span names[COUNT] = { SPAN("role"), SPAN("content"), SPAN("name") };
    struct json_slice found[COUNT];
    json_get_all(message, names, found, COUNT);
    struct json_slice role = found[ROLE];
    if (json_string_is(role, SPAN("assistant"))) {
        read_assistant(parse, message, at);
    } else if (json_string_is(role, SPAN("tool"))) {
        read_result(parse, message, at, false);
    } else if (json_string_is(role, SPAN("function"))) {
        read_result(parse, message, at, true);
    } else {
        bool user = json_string_is(role, SPAN("user"));
        if (!user && !json_string_is(role, SPAN("system")) &&
            !json_string_is(role, SPAN("developer"))) {
            prompt_bad(parse, "a role is system, developer, user, assistant or tool",
                       "messages[%u].role", at);
            return;
        }
        if (prompt_turn(parse, user ? ROLE_USER : ROLE_SYSTEM, at) != NULL)
            parse_content(parse, found[CONTENT], at, false, "content", read_part);
    }
    if (found[NAME].kind == JK_STRING && !json_string_is(role, SPAN("function")))
        loss_drop(parse->losses, "messages[%u].name", at);
}

static void read_messages(struct prompt_parse *parse, struct json_slice messages)
{
    struct json_iter iter = json_elements_of(messages);
    struct json_slice message;
    uint32_t at = 0;
    for (; json_element_next(&iter, &message) && !failed(parse->err); at++)
        read_message(parse, message, at);
    if (at == 0)
        prompt_bad(parse, "at least one message is required", "messages");
}

// --- tools ---

static void read_function(struct prompt_parse *parse, struct json_slice function, uint32_t at,
                          const char *list)
{
    enum { NAME, DESCRIPTION, PARAMETERS, STRICT, COUNT };
    static const struct span names[COUNT] = { SPAN("name"), SPAN("description"), SPAN("parameters"),
                                              SPAN("strict") };
    struct json_slice found[COUNT];
    json_get_all(function, names, found, COUNT);
    struct json_slice name = found[NAME];
    if (name.kind != JK_STRING) {
        prompt_bad(parse, "a tool has a name", "%s[%u]", list, at);
        return;
    }
    struct tool *tool = prompt_tool(parse, TOOL_FUNCTION, at);
    if (tool == NULL)
        return;
    tool->name = words_of(name);
    tool->description = words_of(found[DESCRIPTION]);
    tool->schema = found[PARAMETERS];
    tool->strict = parse_flag(found[STRICT]);
}

static void read_custom(struct prompt_parse *parse, struct json_slice custom, uint32_t at)
{
    struct tool *tool = prompt_tool(parse, TOOL_CUSTOM, at);
    if (tool == NULL)
        return;
    tool->name = words_of(json_get(custom, SPAN("name")));
    tool->description = words_of(json_get(custom, SPAN("description")));
    tool->schema = json_get(custom, SPAN("format"));
}

static void read_tools(struct prompt_parse *parse, struct json_slice tools)
{
    struct json_iter iter = json_elements_of(tools);
    struct json_slice value;
    for (uint32_t at = 0; json_element_next(&iter, &value) && !failed(parse->err); at++) {
        struct json_slice type = json_get(value, SPAN("type"));
        if (json_string_is(type, SPAN("function")))
            read_function(parse, json_get(value, SPAN("function")), at, "tools");
        else if (json_string_is(type, SPAN("custom")))
            read_custom(parse, json_get(value, SPAN("custom")), at);
        else
            prompt_bad(parse, "this type of tool is not known", "tools[%u].type", at);
    }
}

// The vendor's own search is a setting here, and a tool elsewhere.
static void read_search(struct prompt_parse *parse, struct json_slice options)
{
    struct tool *tool = prompt_tool(parse, TOOL_HOSTED, 0);
    if (tool == NULL)
        return;
    tool->search = true;
    tool->raw = options;
}

static void read_old_functions(struct prompt_parse *parse, struct json_slice functions)
{
    struct json_iter iter = json_elements_of(functions);
    struct json_slice value;
    for (uint32_t at = 0; json_element_next(&iter, &value) && !failed(parse->err); at++)
        read_function(parse, value, at, "functions");
}

static void choose_names(struct prompt *prompt, struct json_slice tools)
{
    struct json_iter iter = json_elements_of(tools);
    struct json_slice value;
    while (json_element_next(&iter, &value) && prompt->choice.name_count < PROMPT_NAMES_MAX) {
        struct json_slice what = json_get(value, SPAN("function"));
        if (what.kind != JK_OBJECT)
            what = json_get(value, SPAN("custom"));
        prompt->choice.names[prompt->choice.name_count++] = words_of(json_get(what, SPAN("name")));
    }
}

static void read_choice(struct prompt_parse *parse, struct json_slice choice)
{
    struct prompt *prompt = parse->prompt;
    struct json_slice type = json_get(choice, SPAN("type"));
    prompt->choice.path = "tool_choice";
    if (json_string_is(choice, SPAN("auto"))) {
        prompt->choice.mode = CHOOSE_AUTO;
    } else if (json_string_is(choice, SPAN("none"))) {
        prompt->choice.mode = CHOOSE_NONE;
    } else if (json_string_is(choice, SPAN("required")) || json_string_is(choice, SPAN("any"))) {
        prompt->choice.mode = CHOOSE_ANY;
    } else if (json_string_is(type, SPAN("function")) || json_string_is(type, SPAN("custom"))) {
        struct json_slice what = json_get(choice, SPAN("function"));
        if (what.kind != JK_OBJECT)
            what = json_get(choice, SPAN("custom"));
        parse_one_choice(parse, json_get(what, SPAN("name")));
    } else if (json_string_is(type, SPAN("allowed_tools"))) {
        struct json_slice allowed = json_get(choice, SPAN("allowed_tools"));
        bool must = json_string_is(json_get(allowed, SPAN("mode")), SPAN("required"));
        prompt->choice.mode = must ? CHOOSE_SUBSET_ANY : CHOOSE_SUBSET;
        choose_names(prompt, json_get(allowed, SPAN("tools")));
    } else {
        prompt_bad(parse, "this choice is not known", "tool_choice");
    }
}

static void read_old_choice(struct prompt_parse *parse, struct json_slice choice)
{
    struct prompt *prompt = parse->prompt;
    prompt->choice.path = "function_call";
    struct json_slice name = json_get(choice, SPAN("name"));
    if (name.kind == JK_STRING) {
        parse_one_choice(parse, name);
    } else {
        prompt->choice.mode = json_string_is(choice, SPAN("none")) ? CHOOSE_NONE : CHOOSE_AUTO;
    }
}

// --- settings ---

static void read_format(struct prompt_parse *parse, struct json_slice format)
{
    struct prompt *prompt = parse->prompt;
    struct json_slice type = json_get(format, SPAN("type"));
    prompt->format.path = "response_format";
    if (json_string_is(type, SPAN("json_object"))) {
        prompt->format.kind = ANSWER_JSON;
    } else if (json_string_is(type, SPAN("json_schema"))) {
        parse_schema(parse, json_get(format, SPAN("json_schema")));
    } else if (!json_string_is(type, SPAN("text"))) {
        prompt_bad(parse, "a format is text, json_object or json_schema", "response_format.type");
    }
}

static void read_effort(struct prompt_parse *parse, struct json_slice effort)
{
    parse_effort(parse, effort, "reasoning_effort");
}

static void read_count(struct prompt_parse *parse, struct json_slice value)
{
    uint64_t count;
    if (!json_u64(value, &count) || count == 0)
        prompt_bad(parse, "this is a number from 1 on", "n");
    else if (count > 1)
        prompt_knob(parse, KNOB_CHOICES, value, "n");
}

static void read_modalities(struct prompt_parse *parse, struct json_slice value)
{
    struct json_iter iter = json_elements_of(value);
    struct json_slice kind;
    while (json_element_next(&iter, &kind))
        if (!json_string_is(kind, SPAN("text")))
            loss_refuse(parse->losses, "only text can be asked for here", "modalities");
}

static const struct setting settings[] = {
    { SPAN("temperature"), KNOB_TEMPERATURE, JK_NUMBER },
    { SPAN("top_p"), KNOB_TOP_P, JK_NUMBER },
    { SPAN("top_k"), KNOB_TOP_K, JK_NUMBER },
    { SPAN("stop"), KNOB_STOP, JK_NONE },
    { SPAN("presence_penalty"), KNOB_PRESENCE_PENALTY, JK_NUMBER },
    { SPAN("frequency_penalty"), KNOB_FREQUENCY_PENALTY, JK_NUMBER },
    { SPAN("seed"), KNOB_SEED, JK_NUMBER },
    { SPAN("logit_bias"), KNOB_LOGIT_BIAS, JK_OBJECT },
    { SPAN("top_logprobs"), KNOB_TOP_LOGPROBS, JK_NUMBER },
    { SPAN("verbosity"), KNOB_VERBOSITY, JK_STRING },
    { SPAN("metadata"), KNOB_METADATA, JK_OBJECT },
    { SPAN("service_tier"), KNOB_TIER, JK_STRING },
    { SPAN("prompt_cache_key"), KNOB_CACHE_KEY, JK_STRING },
    { SPAN("prompt_cache_retention"), KNOB_CACHE_RETENTION, JK_STRING },
    { SPAN("prompt_cache_options"), KNOB_CACHE_OPTIONS, JK_OBJECT },
    { SPAN("moderation"), KNOB_MODERATION, JK_NONE },
};

static bool read_structure(struct prompt_parse *parse, struct span key, struct json_slice value)
{
    static const struct {
        struct span name;
        void (*read)(struct prompt_parse *parse, struct json_slice value);
    } members[] = {
        { SPAN("messages"), read_messages },        { SPAN("tools"), read_tools },
        { SPAN("functions"), read_old_functions },  { SPAN("tool_choice"), read_choice },
        { SPAN("function_call"), read_old_choice }, { SPAN("response_format"), read_format },
        { SPAN("reasoning_effort"), read_effort },  { SPAN("n"), read_count },
        { SPAN("modalities"), read_modalities },    { SPAN("web_search_options"), read_search },
    };
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (json_key_is(key, members[i].name)) {
            if (value.kind != JK_NULL)
                members[i].read(parse, value);
            return true;
        }
    return false;
}

// The larger of the two limits counts (C-108).
static void read_cap(struct prompt_parse *parse, struct json_slice value, const char *path)
{
    uint64_t cap, other;
    const struct knob *knob = &parse->prompt->knobs[KNOB_MAX_OUTPUT];
    if (value.kind == JK_NULL)
        return;
    if (!json_u64(value, &cap))
        prompt_bad(parse, BAD_TYPE, "%s", path);
    else if (!json_u64(knob->value, &other) || cap > other)
        prompt_knob(parse, KNOB_MAX_OUTPUT, value, path);
}

static void read_flag(struct prompt_parse *parse, struct span key, struct json_slice value)
{
    struct prompt *prompt = parse->prompt;
    if (json_key_is(key, SPAN("stream"))) {
        prompt->stream = value.kind == JK_TRUE;
    } else if (json_key_is(key, SPAN("stream_options"))) {
        prompt->usage_wanted = json_get(value, SPAN("include_usage")).kind == JK_TRUE;
    } else if (json_key_is(key, SPAN("max_completion_tokens"))) {
        read_cap(parse, value, "max_completion_tokens");
    } else if (json_key_is(key, SPAN("max_tokens"))) {
        read_cap(parse, value, "max_tokens");
    } else if (json_key_is(key, SPAN("parallel_tool_calls"))) {
        if (value.kind == JK_FALSE)
            prompt_knob(parse, KNOB_PARALLEL, value, "parallel_tool_calls");
    } else if (json_key_is(key, SPAN("logprobs"))) {
        if (value.kind == JK_TRUE)
            prompt_knob(parse, KNOB_LOGPROBS, value, "logprobs");
    } else if (json_key_is(key, SPAN("store"))) {
        if (value.kind == JK_TRUE)
            prompt_knob(parse, KNOB_STORE, value, "store");
    } else if (json_key_is(key, SPAN("safety_identifier")) ||
               (json_key_is(key, SPAN("user")) && prompt->knobs[KNOB_USER].value.kind == JK_NONE)) {
        prompt_knob(parse, KNOB_USER, value,
                    json_key_is(key, SPAN("user")) ? "user" : "safety_identifier");
    } else if (json_key_is(key, SPAN("audio"))) {
        if (value.kind != JK_NULL)
            loss_refuse(parse->losses, "sound cannot be asked for here", "audio");
    } else if (!json_key_is(key, SPAN("model")) && !json_key_is(key, SPAN("user")) &&
               value.kind != JK_NULL) {
        loss_drop(parse->losses, "%.*s", (int)min_size(key.len, 80), key.ptr); // C-121
    }
}

void chat_read_member(struct prompt_parse *parse, struct span key, struct json_slice value)
{
    if (!read_structure(parse, key, value) &&
        !parse_setting(parse, settings, ARRAY_LEN(settings), key, value, true))
        read_flag(parse, key, value);
}

bool chat_parse(struct prompt_parse *parse, struct json_slice root)
{
    struct json_iter iter = json_members_of(root);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value) && !failed(parse->err))
        chat_read_member(parse, key, value);
    if (parse->prompt->turn_count == 0)
        prompt_bad(parse, "at least one message is required", "messages");
    return !failed(parse->err);
}
