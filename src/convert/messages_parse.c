// Anthropic Messages, reading a request.
#include "media.h"
#include "messages.h"
#include "parse.h"
#include "penstock/convert/ids.h"

// --- blocks ---

// What most blocks have.
enum { BLOCK_TYPE, BLOCK_TEXT, BLOCK_CACHE, BLOCK_COUNT };
static const struct span block_names[BLOCK_COUNT] = { SPAN("type"), SPAN("text"),
                                                      SPAN("cache_control") };

static struct part *read_text(struct prompt_parse *parse, struct json_slice text, uint32_t at,
                              uint32_t sub)
{
    if (text.kind != JK_STRING) {
        prompt_bad(parse, "a block of text has a text", "messages[%u].content[%u].text", at, sub);
        return NULL;
    }
    struct part *part = prompt_part(parse, PART_TEXT, at, sub);
    if (part != NULL)
        part->text = words_of(text);
    return part;
}

// The `source` of a picture or a document.
static struct part *read_media(struct prompt_parse *parse, enum part_kind kind,
                               struct json_slice block, uint32_t at, uint32_t sub)
{
    enum { SOURCE, TITLE, COUNT };
    static const struct span names[COUNT] = { SPAN("source"), SPAN("title") };
    struct json_slice found[COUNT];
    json_get_all(block, names, found, COUNT);
    struct json_slice source = found[SOURCE];
    struct json_slice type = json_get(source, SPAN("type"));
    struct part *part = prompt_part(parse, kind, at, sub);
    if (part == NULL)
        return NULL;
    part->title = words_of(found[TITLE]);
    if (json_string_is(type, SPAN("base64"))) {
        part->source = MEDIA_DATA;
        part->text = words_of(json_get(source, SPAN("data")));
        part->type = media_type(part->text, words_of(json_get(source, SPAN("media_type"))));
    } else if (json_string_is(type, SPAN("url"))) {
        part->source = MEDIA_URL;
        part->text = words_of(json_get(source, SPAN("url")));
    } else if (json_string_is(type, SPAN("text"))) {
        part->source = MEDIA_TEXT;
        part->text = words_of(json_get(source, SPAN("data")));
        part->type = words_plain(SPAN("text/plain"));
    } else if (json_string_is(type, SPAN("file"))) {
        part->source = MEDIA_FILE_ID;
        part->text = words_of(json_get(source, SPAN("file_id")));
    } else {
        prompt_bad(parse, "this kind of source is not known",
                   "messages[%u].content[%u].source.type", at, sub);
        return NULL;
    }
    return part;
}

static struct part *read_thought(struct prompt_parse *parse, struct json_slice block, uint32_t at,
                                 uint32_t sub, bool redacted)
{
    struct words text = words_of(json_get(block, redacted ? SPAN("data") : SPAN("signature")));
    struct signature signature;
    enum envelope_kind kind;
    if (!envelope_read(text, MAKER_ANTHROPIC, parse->key, parse->account, parse->scratch,
                       &signature, &kind))
        return NULL; // not ours and nobody's: it goes with its text (C-064)
    struct part *part = prompt_part(parse, redacted ? PART_REDACTED : PART_THINK, at, sub);
    if (part == NULL)
        return NULL;
    part->text = words_of(json_get(block, SPAN("thinking")));
    part->signature = signature;
    part->signature.signs = kind == ENVELOPE_CALL ? SIGNS_CALL : SIGNS_THOUGHT;
    return part;
}

static struct part *read_call(struct prompt_parse *parse, struct json_slice block, uint32_t at,
                              uint32_t sub)
{
    enum { ID, NAME, INPUT, COUNT };
    static const struct span names[COUNT] = { SPAN("id"), SPAN("name"), SPAN("input") };
    struct json_slice found[COUNT];
    json_get_all(block, names, found, COUNT);
    struct json_slice id = found[ID], name = found[NAME], input = found[INPUT];
    if (id.kind != JK_STRING || name.kind != JK_STRING) {
        prompt_bad(parse, "a call has an id and a name", "messages[%u].content[%u]", at, sub);
        return NULL;
    }
    struct part *part = prompt_part(parse, PART_CALL, at, sub);
    if (part == NULL)
        return NULL;
    part->id = words_of(id);
    part->name = words_of(name);
    struct json_slice raw = json_get(input, SPAN("_raw"));
    part->object = raw.kind != JK_STRING; // what was no object before (C-025)
    part->text = part->object ? words_plain(input.kind == JK_OBJECT ? input.text : SPAN("{}"))
                              : words_of(raw);
    return part;
}

static void read_inner(struct prompt_parse *parse, struct json_slice content, uint32_t at,
                       uint32_t sub)
{
    if (content.kind == JK_STRING) {
        struct part *part = prompt_part(parse, PART_TEXT, at, sub);
        if (part != NULL) {
            part->text = words_of(content);
            part->inner = true;
        }
        return;
    }
    struct json_iter iter = json_elements_of(content);
    struct json_slice block, found[BLOCK_COUNT];
    while (json_element_next(&iter, &block) && !failed(parse->err)) {
        json_get_all(block, block_names, found, BLOCK_CACHE);
        struct json_slice type = found[BLOCK_TYPE];
        struct part *part = NULL;
        if (json_string_is(type, SPAN("text"))) {
            part = read_text(parse, found[BLOCK_TEXT], at, sub);
        } else if (json_string_is(type, SPAN("image"))) {
            part = read_media(parse, PART_IMAGE, block, at, sub);
        } else if (json_string_is(type, SPAN("document"))) {
            part = read_media(parse, PART_FILE, block, at, sub);
        } else {
            part = prompt_part(parse, PART_RAW, at, sub);
            if (part != NULL) // C-151
                part->name = words_of(json_get(block, SPAN("tool_name")));
        }
        if (part == NULL)
            return;
        part->inner = true;
        part->raw = block;
    }
}

static struct part *read_result(struct prompt_parse *parse, struct json_slice block, uint32_t at,
                                uint32_t sub)
{
    enum { ID, ERROR, CONTENT, COUNT };
    static const struct span names[COUNT] = { SPAN("tool_use_id"), SPAN("is_error"),
                                              SPAN("content") };
    struct json_slice found[COUNT];
    json_get_all(block, names, found, COUNT);
    struct json_slice id = found[ID];
    if (id.kind != JK_STRING) {
        prompt_bad(parse, "a result says which call it answers",
                   "messages[%u].content[%u].tool_use_id", at, sub);
        return NULL;
    }
    uint32_t index = parse->prompt->part_count;
    struct part *part = prompt_part(parse, PART_RESULT, at, sub);
    if (part == NULL)
        return NULL;
    part->id = words_of(id);
    part->error = found[ERROR].kind == JK_TRUE;
    read_inner(parse, found[CONTENT], at, sub);
    return failed(parse->err) ? NULL : &parse->prompt->parts[index];
}

// A block of the vendor's own tools. Results of searches become text with what they found.
static struct part *read_hosted(struct prompt_parse *parse, struct json_slice type, uint32_t at,
                                uint32_t sub)
{
    struct part *part = prompt_part(parse, PART_RAW, at, sub);
    if (part != NULL)
        part->name = words_of(type);
    return part;
}

static void read_block(struct prompt_parse *parse, struct json_slice block, uint32_t at,
                       uint32_t sub)
{
    struct json_slice found[BLOCK_COUNT];
    json_get_all(block, block_names, found, BLOCK_COUNT);
    struct json_slice type = found[BLOCK_TYPE];
    struct part *part;
    if (json_string_is(type, SPAN("text")))
        part = read_text(parse, found[BLOCK_TEXT], at, sub);
    else if (json_string_is(type, SPAN("image")))
        part = read_media(parse, PART_IMAGE, block, at, sub);
    else if (json_string_is(type, SPAN("document")))
        part = read_media(parse, PART_FILE, block, at, sub);
    else if (json_string_is(type, SPAN("tool_use")))
        part = read_call(parse, block, at, sub);
    else if (json_string_is(type, SPAN("tool_result")))
        part = read_result(parse, block, at, sub);
    else if (json_string_is(type, SPAN("thinking")))
        part = read_thought(parse, block, at, sub, false);
    else if (json_string_is(type, SPAN("redacted_thinking")))
        part = read_thought(parse, block, at, sub, true);
    else if (type.kind == JK_STRING)
        part = read_hosted(parse, type, at, sub);
    else {
        prompt_bad(parse, "a block has a type", "messages[%u].content[%u].type", at, sub);
        return;
    }
    if (part == NULL)
        return;
    part->raw = block;
    part->cache = found[BLOCK_CACHE].kind == JK_OBJECT;
}

// --- messages ---

enum { ROLE, CONTENT, MESSAGE_COUNT };
static const struct span message_names[MESSAGE_COUNT] = { SPAN("role"), SPAN("content") };

static void read_message(struct prompt_parse *parse, const struct json_slice *found, uint32_t at)
{
    const struct json_slice role = found[ROLE], content = found[CONTENT];
    enum role kind = ROLE_USER;
    if (json_string_is(role, SPAN("assistant"))) {
        kind = ROLE_ASSISTANT;
    } else if (json_string_is(role, SPAN("system"))) {
        kind = ROLE_SYSTEM;
    } else if (!json_string_is(role, SPAN("user"))) {
        prompt_bad(parse, "a role is user, assistant or system", "messages[%u].role", at);
        return;
    }
    if (prompt_turn(parse, kind, at) == NULL)
        return;
    if (content.kind == JK_STRING) {
        struct part *part = prompt_part(parse, PART_TEXT, at, PART_NO_SUB);
        if (part != NULL)
            part->text = words_of(content);
        return;
    }
    if (content.kind != JK_ARRAY) {
        prompt_bad(parse, "content is a text or a list of blocks", "messages[%u].content", at);
        return;
    }
    struct json_iter iter = json_elements_of(content);
    struct json_slice block;
    for (uint32_t sub = 0; json_element_next(&iter, &block) && !failed(parse->err); sub++)
        read_block(parse, block, at, sub);
}

static void read_messages(struct prompt_parse *parse, struct json_slice messages)
{
    struct json_iter iter = json_elements_of(messages);
    struct json_slice found[MESSAGE_COUNT];
    for (uint32_t at = 0;
         json_element_get_all(&iter, message_names, found, MESSAGE_COUNT) && !failed(parse->err);
         at++)
        read_message(parse, found, at);
}

// Text that a client puts in front on each request, different each time (C-133).
static bool is_billing(struct words text)
{
    return !words_none(text) && span_starts(text.raw, SPAN("x-anthropic-billing-header:"));
}

static void read_system(struct prompt_parse *parse, struct json_slice system)
{
    if (system.kind == JK_NONE || system.kind == JK_NULL)
        return;
    if (prompt_turn(parse, ROLE_SYSTEM, 0) == NULL)
        return;
    struct json_iter iter = json_elements_of(system);
    struct json_slice block = system;
    bool more = system.kind == JK_STRING || json_element_next(&iter, &block);
    for (uint32_t sub = 0; more && !failed(parse->err); sub++) {
        struct json_slice found[BLOCK_COUNT];
        json_get_all(block, block_names, found, BLOCK_COUNT);
        struct json_slice text = block.kind == JK_STRING ? block : found[BLOCK_TEXT];
        struct part *part =
            is_billing(words_of(text)) ? NULL : prompt_part(parse, PART_TEXT, 0, sub);
        if (part != NULL) {
            part->text = words_of(text);
            part->cache = found[BLOCK_CACHE].kind == JK_OBJECT;
        }
        more = system.kind == JK_ARRAY && json_element_next(&iter, &block);
    }
}

// --- tools ---

// Tools of which only the vendor's models know what they are, but that the client runs.
static bool is_run_by_client(struct span type)
{
    static const struct span kinds[] = { SPAN("bash_"), SPAN("text_editor_"), SPAN("memory_"),
                                         SPAN("computer_"), SPAN("browser_") };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (span_starts(type, kinds[i]))
            return true;
    return false;
}

static void read_tools(struct prompt_parse *parse, struct json_slice tools)
{
    struct json_iter iter = json_elements_of(tools);
    struct json_slice value;
    enum { TYPE, NAME, STRICT, DESCRIPTION, SCHEMA, EXAMPLES, CACHE, COUNT };
    static const struct span names[COUNT] = { SPAN("type"),         SPAN("name"),
                                              SPAN("strict"),       SPAN("description"),
                                              SPAN("input_schema"), SPAN("input_examples"),
                                              SPAN("cache_control") };
    struct json_slice found[COUNT];
    for (uint32_t at = 0; json_element_next(&iter, &value) && !failed(parse->err); at++) {
        json_get_all(value, names, found, COUNT);
        struct json_slice type = found[TYPE], name = found[NAME];
        bool client = type.kind != JK_STRING || json_string_is(type, SPAN("custom"));
        if (name.kind != JK_STRING && client) {
            prompt_bad(parse, "a tool has a name", "tools[%u].name", at);
            return;
        }
        struct tool *tool = prompt_tool(parse, client ? TOOL_FUNCTION : TOOL_HOSTED, at);
        if (tool == NULL)
            return;
        tool->name = words_of(name);
        tool->description = words_of(found[DESCRIPTION]);
        tool->schema = found[SCHEMA];
        tool->examples = found[EXAMPLES];
        tool->strict = parse_flag(found[STRICT]);
        tool->cache = found[CACHE].kind == JK_OBJECT;
        tool->search = !client && span_starts(json_string_raw(type), SPAN("web_search_"));
        tool->run_by_client = !client && is_run_by_client(json_string_raw(type));
        tool->raw = value;
    }
}

static void read_choice(struct prompt_parse *parse, struct json_slice choice)
{
    struct prompt *prompt = parse->prompt;
    struct json_slice type = json_get(choice, SPAN("type"));
    prompt->choice.path = "tool_choice";
    if (json_string_is(type, SPAN("auto"))) {
        prompt->choice.mode = CHOOSE_AUTO;
    } else if (json_string_is(type, SPAN("any"))) {
        prompt->choice.mode = CHOOSE_ANY;
    } else if (json_string_is(type, SPAN("none"))) {
        prompt->choice.mode = CHOOSE_NONE;
    } else if (json_string_is(type, SPAN("tool"))) {
        parse_one_choice(parse, json_get(choice, SPAN("name")));
    } else {
        prompt_bad(parse, "a choice is auto, any, none or tool", "tool_choice.type");
    }
    struct json_slice single = json_get(choice, SPAN("disable_parallel_tool_use"));
    if (single.kind == JK_TRUE)
        prompt_knob(parse, KNOB_PARALLEL, single, "tool_choice.disable_parallel_tool_use");
}

// --- settings ---

static void read_thinking(struct prompt_parse *parse, struct json_slice thinking)
{
    struct prompt *prompt = parse->prompt;
    struct json_slice type = json_get(thinking, SPAN("type"));
    struct json_slice budget = json_get(thinking, SPAN("budget_tokens"));
    prompt->reasoning.show =
        json_string_is(json_get(thinking, SPAN("display")), SPAN("omitted")) ? 1 : 2;
    if (prompt->reasoning.effort != EFFORT_UNSAID)
        return; // the effort says more
    if (json_string_is(type, SPAN("disabled"))) {
        prompt->reasoning.effort = EFFORT_NONE;
        prompt->reasoning.path = "thinking.type";
        prompt->reasoning.said = words_plain(SPAN("disabled"));
    } else if (json_string_is(type, SPAN("adaptive")) ||
               json_string_is(type, SPAN("between_tools"))) {
        prompt->reasoning.adaptive = true;
        prompt->reasoning.path = "thinking.type";
    } else if (!json_string_is(type, SPAN("enabled"))) {
        prompt_bad(parse, "thinking is enabled, adaptive or disabled", "thinking.type");
    } else if (!json_i64(budget, &prompt->reasoning.budget)) {
        prompt_bad(parse, "this is a number of tokens", "thinking.budget_tokens");
    } else {
        prompt->reasoning.budget_set = true;
        prompt->reasoning.path = "thinking.budget_tokens";
        prompt->reasoning.said = words_plain(budget.text);
    }
}

static void read_output(struct prompt_parse *parse, struct json_slice config)
{
    struct prompt *prompt = parse->prompt;
    struct json_slice effort = json_get(config, SPAN("effort"));
    if (effort.kind == JK_STRING) {
        parse_effort(parse, effort, "output_config.effort");
    }
    struct json_slice format = json_get(config, SPAN("format"));
    if (format.kind == JK_OBJECT) {
        prompt->format.kind = ANSWER_SCHEMA;
        prompt->format.path = "output_config.format";
        prompt->format.schema = json_get(format, SPAN("schema"));
    }
    if (json_get(config, SPAN("task_budget")).kind == JK_OBJECT)
        loss_drop(parse->losses, "output_config.task_budget");
}

static void read_old_format(struct prompt_parse *parse, struct json_slice format)
{
    parse->prompt->format.kind = ANSWER_SCHEMA;
    parse->prompt->format.path = "output_format";
    parse->prompt->format.schema = json_get(format, SPAN("schema"));
}

static void read_metadata(struct prompt_parse *parse, struct json_slice metadata)
{
    prompt_knob(parse, KNOB_USER, json_get(metadata, SPAN("user_id")), "metadata.user_id");
}

static void read_cap(struct prompt_parse *parse, struct json_slice value)
{
    uint64_t cap;
    if (!json_u64(value, &cap))
        prompt_bad(parse, "this is a number of tokens", "max_tokens");
    else if (cap == 0)
        loss_refuse(parse->losses, "only the same vendor can warm its cache", "max_tokens");
    else
        prompt_knob(parse, KNOB_MAX_OUTPUT, value, "max_tokens");
}

static void read_cache(struct prompt_parse *parse, struct json_slice value)
{
    parse->prompt->cache_all = value.kind == JK_OBJECT;
}

static void read_servers(struct prompt_parse *parse, struct json_slice value)
{
    struct json_iter iter = json_elements_of(value);
    struct json_slice server;
    if (json_element_next(&iter, &server))
        loss_refuse(parse->losses, "only the same vendor can call these", "mcp_servers");
}

static void read_tier(struct prompt_parse *parse, struct json_slice value)
{
    if (json_string_is(value, SPAN("standard_only")))
        prompt_knob(parse, KNOB_TIER, value, "service_tier");
}

static const struct {
    struct span name;
    void (*read)(struct prompt_parse *parse, struct json_slice value);
} members[] = {
    { SPAN("messages"), read_messages },        { SPAN("tools"), read_tools },
    { SPAN("tool_choice"), read_choice },       { SPAN("output_config"), read_output },
    { SPAN("output_format"), read_old_format }, { SPAN("metadata"), read_metadata },
    { SPAN("max_tokens"), read_cap },           { SPAN("cache_control"), read_cache },
    { SPAN("mcp_servers"), read_servers },      { SPAN("service_tier"), read_tier },
};

static const struct setting settings[] = {
    { SPAN("temperature"), KNOB_TEMPERATURE, JK_NUMBER },
    { SPAN("top_p"), KNOB_TOP_P, JK_NUMBER },
    { SPAN("top_k"), KNOB_TOP_K, JK_NUMBER },
    { SPAN("stop_sequences"), KNOB_STOP, JK_ARRAY },
};

static bool read_known(struct prompt_parse *parse, struct span key, struct json_slice value)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (json_key_is(key, members[i].name)) {
            if (value.kind != JK_NULL)
                members[i].read(parse, value);
            return true;
        }
    return parse_setting(parse, settings, ARRAY_LEN(settings), key, value, true);
}

// The members of a request, found once and read in another order: as many as requests have, and
// where those lie that are more.
enum { MEMBERS_KEPT = 24 };

struct kept_members {
    struct span keys[MEMBERS_KEPT];
    struct json_slice values[MEMBERS_KEPT];
    uint32_t count, at;
    struct json_iter rest;
    struct json_slice system, thinking; // the first of their names
};

static void keep_members(struct kept_members *kept, struct json_slice root)
{
    kept->count = kept->at = 0;
    kept->system = kept->thinking = JSON_SLICE_NONE;
    kept->rest = json_members_of(root);
    struct json_iter iter = kept->rest;
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value)) {
        if (kept->system.kind == JK_NONE && json_key_is(key, SPAN("system")))
            kept->system = value;
        if (kept->thinking.kind == JK_NONE && json_key_is(key, SPAN("thinking")))
            kept->thinking = value;
        if (kept->count == MEMBERS_KEPT)
            continue;
        kept->keys[kept->count] = key;
        kept->values[kept->count++] = value;
        kept->rest = iter;
    }
}

static bool kept_next(struct kept_members *kept, struct span *key, struct json_slice *value)
{
    if (kept->at == kept->count)
        return json_member_next(&kept->rest, key, value);
    *key = kept->keys[kept->at];
    *value = kept->values[kept->at++];
    return true;
}

bool messages_parse(struct prompt_parse *parse, struct json_slice root)
{
    struct prompt *prompt = parse->prompt;
    struct kept_members kept uninitialized;
    keep_members(&kept, root);
    // The system's text comes first whatever the order of the members is.
    read_system(parse, kept.system);
    struct span key;
    struct json_slice value;
    while (kept_next(&kept, &key, &value) && !failed(parse->err)) {
        if (read_known(parse, key, value) || json_key_is(key, SPAN("system")) ||
            json_key_is(key, SPAN("model")) || json_key_is(key, SPAN("thinking")))
            continue;
        if (json_key_is(key, SPAN("stream")))
            prompt->stream = value.kind == JK_TRUE;
        else if (value.kind != JK_NULL)
            loss_drop(parse->losses, "%.*s", (int)min_size(key.len, 80), key.ptr); // C-121
    }
    if (kept.thinking.kind == JK_OBJECT)
        read_thinking(parse, kept.thinking);
    prompt->usage_wanted = true;
    return parse_end(parse, "at least one message is required");
}
