// Gemini generateContent, reading a request: everything but its conversation. The model, and
// whether to stream, stand in its path.
#include "gemini.h"
#include "parse.h"
#include "penstock/convert/schema.h"
#include "reasoning.h"

// --- keys ---

bool gemini_key_is(struct span key, struct span camel)
{
    if (json_key_is(key, camel))
        return true;
    size_t at = 0;
    for (size_t i = 0; i < camel.len; i++, at++) {
        char letter = camel.ptr[i];
        if (letter >= 'A' && letter <= 'Z') {
            if (at >= key.len || key.ptr[at] != '_')
                return false;
            at++;
            letter |= 0x20;
        }
        if (at >= key.len || key.ptr[at] != letter)
            return false;
    }
    return at == key.len;
}

struct json_slice gemini_field(struct json_slice object, struct span camel)
{
    struct json_iter iter = json_members_of(object);
    struct span key;
    struct json_slice value, found = JSON_SLICE_NONE;
    while (json_member_next(&iter, &key, &value)) {
        if (json_key_is(key, camel))
            return value;
        if (gemini_key_is(key, camel))
            found = value;
    }
    return found;
}

bool gemini_is_repeated(struct json_slice object, struct span key, struct span camel)
{
    return !json_key_is(key, camel) && json_get(object, camel).kind != JK_NONE;
}

// --- tools ---

// A schema in the vendor's own words, as JSON Schema (C-035).
static struct json_slice standard(struct prompt_parse *parse, struct json_slice schema)
{
    if (schema.kind != JK_OBJECT)
        return JSON_SLICE_NONE;
    // Only a type that may also be null becomes longer.
    const size_t len = schema.text.len + schema.text.len / 2;
    char *room = scratch_take(parse->scratch, len);
    struct sink out = sink_into(room, len);
    if (room != NULL)
        schema_put_standard(&out, schema);
    if ((room == NULL || out.failed) && !failed(parse->err))
        parse->err = ERR(OVERLOADED);
    return (struct json_slice){ span_of(room, (size_t)(out.at - room)), JK_OBJECT };
}

static void read_function(struct prompt_parse *parse, struct json_slice value, uint32_t at,
                          uint32_t sub)
{
    struct words name = words_of(json_get(value, SPAN("name")));
    if (words_none(name)) {
        prompt_bad(parse, "a function has a name", "tools[%u].functionDeclarations[%u].name", at,
                   sub);
        return;
    }
    struct tool *tool = prompt_tool(parse, TOOL_FUNCTION, at);
    if (tool == NULL)
        return;
    tool->sub = sub;
    tool->name = name;
    tool->description = words_of(json_get(value, SPAN("description")));
    tool->raw = value;
    tool->schema = gemini_field(value, SPAN("parametersJsonSchema"));
    if (tool->schema.kind != JK_OBJECT)
        tool->schema = standard(parse, json_get(value, SPAN("parameters")));
    static const struct span lost[] = { SPAN("response"), SPAN("responseJsonSchema"),
                                        SPAN("behavior") };
    for (size_t i = 0; i < ARRAY_LEN(lost); i++)
        if (gemini_is_set(gemini_field(value, lost[i])))
            loss_drop(parse->losses, "tools[%u].functionDeclarations[%u].%s", at, sub, lost[i].ptr);
}

// An entry holds functions, or is one of the vendor's own tools, or both.
static void read_tool(struct prompt_parse *parse, struct json_slice value, uint32_t at)
{
    struct json_iter iter = json_members_of(value);
    struct span key;
    struct json_slice member, function;
    while (json_member_next(&iter, &key, &member) && !failed(parse->err)) {
        if (!gemini_is_set(member))
            continue;
        if (gemini_key_is(key, SPAN("functionDeclarations"))) {
            struct json_iter functions = json_elements_of(member);
            if (gemini_is_repeated(value, key, SPAN("functionDeclarations")))
                continue;
            for (uint32_t sub = 0; json_element_next(&functions, &function) && !failed(parse->err);
                 sub++)
                read_function(parse, function, at, sub);
            continue;
        }
        struct tool *tool = prompt_tool(parse, TOOL_HOSTED, at);
        if (tool == NULL)
            return;
        tool->name = (struct words){ .raw = key, .escaped = true };
        tool->search = gemini_key_is(key, SPAN("googleSearch"));
        tool->raw = value;
    }
}

static void read_tools(struct prompt_parse *parse, struct json_slice tools)
{
    struct json_iter iter = json_elements_of(tools);
    struct json_slice value;
    for (uint32_t at = 0; json_element_next(&iter, &value) && !failed(parse->err); at++)
        read_tool(parse, value, at);
}

static bool says(struct json_slice word, struct span what)
{
    return word.kind == JK_STRING && span_eq_nocase(json_string_raw(word), what);
}

static void read_choice(struct prompt_parse *parse, struct json_slice config)
{
    struct prompt *prompt = parse->prompt;
    struct json_slice calling = gemini_field(config, SPAN("functionCallingConfig")), name;
    static const struct span lost[] = { SPAN("retrievalConfig"),
                                        SPAN("includeServerSideToolInvocations") };
    for (size_t i = 0; i < ARRAY_LEN(lost); i++)
        if (gemini_is_set(gemini_field(config, lost[i])))
            loss_drop(parse->losses, "toolConfig.%s", lost[i].ptr);
    struct json_slice mode = json_get(calling, SPAN("mode"));
    struct json_iter iter = json_elements_of(gemini_field(calling, SPAN("allowedFunctionNames")));
    while (json_element_next(&iter, &name) && prompt->choice.name_count < PROMPT_NAMES_MAX)
        prompt->choice.names[prompt->choice.name_count++] = words_of(name);
    const uint32_t names = prompt->choice.name_count;
    prompt->choice.path = "toolConfig.functionCallingConfig";
    if (says(mode, SPAN("AUTO")))
        prompt->choice.mode = CHOOSE_AUTO;
    else if (says(mode, SPAN("NONE")))
        prompt->choice.mode = CHOOSE_NONE;
    else if (says(mode, SPAN("VALIDATED")))
        prompt->choice.mode = names > 0 ? CHOOSE_SUBSET : CHOOSE_AUTO;
    else if (says(mode, SPAN("ANY")))
        prompt->choice.mode = names > 1 ? CHOOSE_SUBSET_ANY : names == 1 ? CHOOSE_ONE : CHOOSE_ANY;
    else if (gemini_is_set(mode) && !says(mode, SPAN("MODE_UNSPECIFIED")))
        prompt_bad(parse, "a mode is AUTO, ANY, NONE or VALIDATED",
                   "toolConfig.functionCallingConfig.mode");
}

// --- settings ---

#define CONFIG "generationConfig."

static void read_thinking(struct prompt_parse *parse, struct json_slice config)
{
    static const struct {
        struct span word;
        enum effort effort;
    } levels[] = {
        { SPAN("MINIMAL"), EFFORT_MINIMAL },
        { SPAN("LOW"), EFFORT_LOW },
        { SPAN("MEDIUM"), EFFORT_MEDIUM },
        { SPAN("HIGH"), EFFORT_HIGH },
    };
    struct prompt *prompt = parse->prompt;
    struct json_slice show = gemini_field(config, SPAN("includeThoughts"));
    struct json_slice level = gemini_field(config, SPAN("thinkingLevel"));
    struct json_slice budget = gemini_field(config, SPAN("thinkingBudget"));
    prompt->reasoning.show = parse_flag(show);
    if (gemini_is_set(level) && !says(level, SPAN("THINKING_LEVEL_UNSPECIFIED"))) {
        prompt->reasoning.path = CONFIG "thinkingConfig.thinkingLevel";
        prompt->reasoning.said = words_of(level);
        for (size_t i = 0; i < ARRAY_LEN(levels); i++)
            if (says(level, levels[i].word))
                prompt->reasoning.effort = (uint8_t)levels[i].effort;
        if (prompt->reasoning.effort == EFFORT_UNSAID)
            prompt_bad(parse, "a level is MINIMAL, LOW, MEDIUM or HIGH", "%s",
                       prompt->reasoning.path);
    } else if (gemini_is_set(budget)) {
        prompt->reasoning.path = CONFIG "thinkingConfig.thinkingBudget";
        prompt->reasoning.said = words_plain(budget.text);
        if (!json_i64(budget, &prompt->reasoning.budget))
            prompt_bad(parse, "this is a number of tokens", "%s", prompt->reasoning.path);
        prompt->reasoning.adaptive = prompt->reasoning.budget < 0;
        prompt->reasoning.budget_set = !prompt->reasoning.adaptive;
    } else if (prompt->reasoning.show == 2) { // as much as the model likes
        prompt->reasoning.adaptive = true;
        prompt->reasoning.path = CONFIG "thinkingConfig.includeThoughts";
        prompt->reasoning.said = words_plain(SPAN("true"));
    }
}

static void read_count(struct prompt_parse *parse, struct json_slice value)
{
    uint64_t count;
    if (!json_u64(value, &count) || count == 0)
        prompt_bad(parse, "this is a number from 1 on", CONFIG "candidateCount");
    else if (count > 1) // C-113
        prompt_knob(parse, KNOB_CHOICES, value, CONFIG "candidateCount");
}

static void read_modalities(struct prompt_parse *parse, struct json_slice value)
{
    struct json_iter iter = json_elements_of(value);
    struct json_slice kind;
    while (json_element_next(&iter, &kind))
        if (!says(kind, SPAN("TEXT")))
            loss_refuse(parse->losses, "only text can be asked for here",
                        CONFIG "responseModalities");
}

static void read_stops(struct prompt_parse *parse, struct json_slice value)
{
    struct json_iter iter = json_elements_of(value);
    struct json_slice stop;
    bool good = value.kind == JK_ARRAY;
    while (json_element_next(&iter, &stop))
        good &= stop.kind == JK_STRING;
    if (good)
        prompt_knob(parse, KNOB_STOP, value, CONFIG "stopSequences");
    else
        prompt_bad(parse, "this is a list of texts", CONFIG "stopSequences");
}

static void read_logprobs(struct prompt_parse *parse, struct json_slice value)
{
    if (value.kind == JK_TRUE)
        prompt_knob(parse, KNOB_LOGPROBS, value, CONFIG "responseLogprobs");
}

// What the answer has to look like stands in up to three members.
static void read_format(struct prompt_parse *parse, struct json_slice config)
{
    struct prompt *prompt = parse->prompt;
    struct json_slice mime = gemini_field(config, SPAN("responseMimeType"));
    struct json_slice schema = gemini_field(config, SPAN("responseJsonSchema"));
    prompt->format.path = CONFIG "responseJsonSchema";
    if (schema.kind != JK_OBJECT) {
        schema = standard(parse, gemini_field(config, SPAN("responseSchema")));
        prompt->format.path = CONFIG "responseSchema";
    }
    if (json_string_is(mime, SPAN("text/x.enum"))) {
        loss_refuse(parse->losses, "only this vendor can be held to one of several words",
                    CONFIG "responseMimeType");
    } else if (!json_string_is(mime, SPAN("application/json"))) {
        if (gemini_is_set(mime) && !json_string_is(mime, SPAN("text/plain")) &&
            !words_none(words_of(mime)))
            prompt_bad(parse, "this type of answer is not known", CONFIG "responseMimeType");
    } else if (schema.kind == JK_OBJECT) {
        prompt->format.kind = ANSWER_SCHEMA;
        prompt->format.schema = schema;
    } else {
        prompt->format.kind = ANSWER_JSON;
        prompt->format.path = CONFIG "responseMimeType";
    }
}

// Settings that are one number.
static const struct {
    struct span name;
    enum knob_id knob;
    const char *path;
} numbers[] = {
    { SPAN("maxOutputTokens"), KNOB_MAX_OUTPUT, CONFIG "maxOutputTokens" },
    { SPAN("temperature"), KNOB_TEMPERATURE, CONFIG "temperature" },
    { SPAN("topP"), KNOB_TOP_P, CONFIG "topP" },
    { SPAN("topK"), KNOB_TOP_K, CONFIG "topK" },
    { SPAN("presencePenalty"), KNOB_PRESENCE_PENALTY, CONFIG "presencePenalty" },
    { SPAN("frequencyPenalty"), KNOB_FREQUENCY_PENALTY, CONFIG "frequencyPenalty" },
    { SPAN("seed"), KNOB_SEED, CONFIG "seed" },
    { SPAN("logprobs"), KNOB_TOP_LOGPROBS, CONFIG "logprobs" },
};

static const struct {
    struct span name;
    void (*read)(struct prompt_parse *parse, struct json_slice value);
} settings[] = {
    { SPAN("candidateCount"), read_count },      { SPAN("stopSequences"), read_stops },
    { SPAN("responseLogprobs"), read_logprobs }, { SPAN("responseModalities"), read_modalities },
    { SPAN("thinkingConfig"), read_thinking },
};

// Read by read_format(), or meaningless while nothing but text is asked for.
static const struct span passed_over[] = { SPAN("responseMimeType"), SPAN("responseSchema"),
                                           SPAN("responseJsonSchema"), SPAN("speechConfig"),
                                           SPAN("imageConfig") };

static void read_setting(struct prompt_parse *parse, struct json_slice config, struct span key,
                         struct json_slice value)
{
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (!gemini_key_is(key, numbers[i].name))
            continue;
        if (gemini_is_repeated(config, key, numbers[i].name))
            return;
        if (value.kind == JK_NUMBER)
            prompt_knob(parse, numbers[i].knob, value, numbers[i].path);
        else
            prompt_bad(parse, "this is a number", "%s", numbers[i].path);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (gemini_key_is(key, settings[i].name)) {
            if (!gemini_is_repeated(config, key, settings[i].name))
                settings[i].read(parse, value);
            return;
        }
    for (size_t i = 0; i < ARRAY_LEN(passed_over); i++)
        if (gemini_key_is(key, passed_over[i]))
            return;
    if (gemini_key_is(key, SPAN("responseFormat")))
        loss_refuse(parse->losses, "only the same vendor knows this", CONFIG "responseFormat");
    else
        loss_drop(parse->losses, CONFIG "%.*s", (int)min_size(key.len, 80), key.ptr);
}

static void read_config(struct prompt_parse *parse, struct json_slice config)
{
    struct json_iter iter = json_members_of(config);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value) && !failed(parse->err))
        if (gemini_is_set(value))
            read_setting(parse, config, key, value);
    if (!failed(parse->err))
        read_format(parse, config);
}

// --- the rest ---

// A vendor that has no such settings blocks nothing that a client wants through.
static void read_safety(struct prompt_parse *parse, struct json_slice value)
{
    struct json_iter iter = json_elements_of(value);
    struct json_slice setting;
    while (json_element_next(&iter, &setting)) {
        struct json_slice threshold = json_get(setting, SPAN("threshold"));
        if (!says(threshold, SPAN("BLOCK_NONE")) && !says(threshold, SPAN("OFF")))
            prompt_knob(parse, KNOB_SAFETY, value, "safetySettings");
    }
}

static void read_labels(struct prompt_parse *parse, struct json_slice value)
{
    prompt_knob(parse, KNOB_METADATA, value, "labels");
}

static void read_tier(struct prompt_parse *parse, struct json_slice value)
{
    if (!says(value, SPAN("standard"))) // which it would be anyway
        prompt_knob(parse, KNOB_TIER, value, "serviceTier");
}

static void read_store(struct prompt_parse *parse, struct json_slice value)
{
    if (value.kind == JK_TRUE)
        prompt_knob(parse, KNOB_STORE, value, "store");
}

static void read_cached(struct prompt_parse *parse, struct json_slice value)
{
    (void)value;
    loss_refuse(parse->losses, "a cache lives at the vendor that made it", "cachedContent");
}

static void read_continuation(struct prompt_parse *parse, struct json_slice value)
{
    (void)value;
    loss_refuse(parse->losses, "only who began an answer can go on with it", "continuationToken");
}

static void read_output(struct prompt_parse *parse, struct json_slice value)
{
    (void)value;
    loss_refuse(parse->losses, "only the same vendor knows this", "generationOutputConfig");
}

static const struct {
    struct span name;
    void (*read)(struct prompt_parse *parse, struct json_slice value);
} members[] = {
    { SPAN("contents"), gemini_read_contents },
    { SPAN("tools"), read_tools },
    { SPAN("toolConfig"), read_choice },
    { SPAN("generationConfig"), read_config },
    { SPAN("safetySettings"), read_safety },
    { SPAN("labels"), read_labels },
    { SPAN("serviceTier"), read_tier },
    { SPAN("store"), read_store },
    { SPAN("cachedContent"), read_cached },
    { SPAN("continuationToken"), read_continuation },
    { SPAN("generationOutputConfig"), read_output },
};

static void read_member(struct prompt_parse *parse, struct json_slice root, struct span key,
                        struct json_slice value)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (gemini_key_is(key, members[i].name)) {
            if (!gemini_is_repeated(root, key, members[i].name))
                members[i].read(parse, value);
            return;
        }
    if (!gemini_key_is(key, SPAN("systemInstruction")) && !json_key_is(key, SPAN("model")))
        loss_drop(parse->losses, "%.*s", (int)min_size(key.len, 80), key.ptr); // C-121
}

bool gemini_parse(struct prompt_parse *parse, struct json_slice root)
{
    struct prompt *prompt = parse->prompt;
    // Who asks what a request would cost may send all of it (C-152).
    struct json_slice request = gemini_field(root, SPAN("generateContentRequest"));
    if (request.kind == JK_OBJECT)
        root = request;
    // The system's text comes first whatever the order of the members is.
    gemini_read_system(parse, gemini_field(root, SPAN("systemInstruction")));
    struct json_iter iter = json_members_of(root);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value) && !failed(parse->err))
        if (gemini_is_set(value))
            read_member(parse, root, key, value);
    prompt->usage_wanted = true;
    return parse_end(parse, "at least one content is required");
}
