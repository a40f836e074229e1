// OpenAI Responses, reading a request's tools: they are flat, may stand in namespaces, and items
// may bring more of them.
#include "penstock/convert/schema.h"
#include "responses_parse.h"

// Where a tool stands.
struct place {
    uint32_t at;
    struct words space;
    bool late; // in an item, not in the list
};

// A name with its namespace, as vendors without namespaces are told it (C-037).
struct words responses_flat_name(struct prompt_parse *parse, struct words space, struct words name)
{
    if (words_none(space))
        return name;
    size_t size = 6 * (space.raw.len + name.raw.len) + 2;
    char *room = scratch_take(parse->scratch, size);
    if (room == NULL) {
        parse->err = ERR(OVERLOADED);
        return name;
    }
    struct sink sink = sink_into(room, size);
    sink_string(&sink, space);
    SINK_TEXT(&sink, "__");
    sink_string(&sink, name);
    return words_escaped(span_of(room, (size_t)(sink.at - room)));
}

// Tools that a search found may stand in the list already.
static bool is_declared(const struct prompt *prompt, struct words name)
{
    for (uint32_t i = 0; i < prompt->tool_count; i++)
        if (words_eq(prompt->tools[i].name, name))
            return true;
    return false;
}

static void read_function(struct prompt_parse *parse, struct json_slice value,
                          const struct place *place, enum tool_kind kind)
{
    struct json_slice name = json_get(value, SPAN("name"));
    if (name.kind != JK_STRING) {
        prompt_bad(parse, "a tool has a name", "tools[%u].name", place->at);
        return;
    }
    struct words whole = responses_flat_name(parse, place->space, words_of(name));
    if (place->late && is_declared(parse->prompt, whole))
        return;
    struct tool *tool = prompt_tool(parse, kind, place->at);
    if (tool == NULL)
        return;
    bool custom = kind == TOOL_CUSTOM;
    tool->name = whole;
    tool->description = words_of(json_get(value, SPAN("description")));
    tool->schema = json_get(value, custom ? SPAN("format") : SPAN("parameters"));
    tool->raw = value;
    if (custom)
        return;
    // This format means strict where nothing is said, as far as the schema allows it (C-120).
    tool->strict = parse_flag(json_get(value, SPAN("strict")));
    if (tool->strict == 0)
        tool->strict = schema_is_strict(tool->schema) ? 2 : 1;
}

// The client's own search for tools becomes a function (C-151); the vendor's own stays there.
static void read_search(struct prompt_parse *parse, struct json_slice value, uint32_t at)
{
    bool client = json_string_is(json_get(value, SPAN("execution")), SPAN("client"));
    struct tool *tool = prompt_tool(parse, client ? TOOL_FUNCTION : TOOL_HOSTED, at);
    if (tool == NULL)
        return;
    tool->name = words_plain(SPAN("tool_search"));
    tool->description = words_of(json_get(value, SPAN("description")));
    tool->schema = json_get(value, SPAN("parameters"));
    tool->strict = 1;
    tool->raw = value;
}

static void read_tool(struct prompt_parse *parse, struct json_slice value,
                      const struct place *place)
{
    struct json_slice type = json_get(value, SPAN("type"));
    if (json_string_is(type, SPAN("function"))) {
        read_function(parse, value, place, TOOL_FUNCTION);
    } else if (json_string_is(type, SPAN("custom"))) {
        read_function(parse, value, place, TOOL_CUSTOM);
    } else if (json_string_is(type, SPAN("tool_search"))) {
        read_search(parse, value, place->at);
    } else if (type.kind != JK_STRING || !words_none(place->space)) {
        prompt_bad(parse, "this type of tool is not known", "tools[%u].type", place->at);
    } else {
        struct tool *tool = prompt_tool(parse, TOOL_HOSTED, place->at);
        if (tool == NULL)
            return;
        tool->name = words_of(type);
        tool->search = span_starts(tool->name.raw, SPAN("web_search"));
        tool->raw = value;
    }
}

static void read_space(struct prompt_parse *parse, struct json_slice value, struct place place)
{
    struct json_iter iter = json_elements_of(json_get(value, SPAN("tools")));
    struct json_slice tool;
    place.space = words_of(json_get(value, SPAN("name")));
    if (words_none(place.space))
        prompt_bad(parse, "a namespace has a name", "tools[%u].name", place.at);
    while (json_element_next(&iter, &tool) && !failed(parse->err))
        read_tool(parse, tool, &place);
}

void responses_read_tools(struct prompt_parse *parse, struct json_slice tools, bool late)
{
    struct json_iter iter = json_elements_of(tools);
    struct json_slice value;
    struct place place = { .late = late };
    for (; json_element_next(&iter, &value) && !failed(parse->err); place.at++) {
        if (json_string_is(json_get(value, SPAN("type")), SPAN("namespace")))
            read_space(parse, value, place);
        else
            read_tool(parse, value, &place);
    }
}

static void choose_names(struct prompt_parse *parse, struct json_slice tools)
{
    struct prompt *prompt = parse->prompt;
    struct json_iter iter = json_elements_of(tools);
    struct json_slice tool;
    while (json_element_next(&iter, &tool) && prompt->choice.name_count < PROMPT_NAMES_MAX) {
        struct words name = words_of(json_get(tool, SPAN("name")));
        if (!words_none(name)) // the others are the vendor's own
            prompt->choice.names[prompt->choice.name_count++] = name;
    }
}

void responses_read_choice(struct prompt_parse *parse, struct json_slice choice)
{
    struct prompt *prompt = parse->prompt;
    struct json_slice type = json_get(choice, SPAN("type"));
    prompt->choice.path = "tool_choice";
    if (json_string_is(choice, SPAN("auto"))) {
        prompt->choice.mode = CHOOSE_AUTO;
    } else if (json_string_is(choice, SPAN("none"))) {
        prompt->choice.mode = CHOOSE_NONE;
    } else if (json_string_is(choice, SPAN("required"))) {
        prompt->choice.mode = CHOOSE_ANY;
    } else if (json_string_is(type, SPAN("function")) || json_string_is(type, SPAN("custom"))) {
        parse_one_choice(parse, json_get(choice, SPAN("name")));
        if (words_none(prompt->choice.names[0]))
            prompt_bad(parse, "a choice names its tool", "tool_choice.name");
    } else if (json_string_is(type, SPAN("allowed_tools"))) {
        bool must = json_string_is(json_get(choice, SPAN("mode")), SPAN("required"));
        prompt->choice.mode = must ? CHOOSE_SUBSET_ANY : CHOOSE_SUBSET;
        choose_names(parse, json_get(choice, SPAN("tools")));
        if (prompt->choice.name_count == 0)
            loss_refuse(parse->losses, "only the same vendor has these tools", "tool_choice.tools");
    } else if (type.kind == JK_STRING) {
        loss_refuse(parse->losses, "only the same vendor has this tool", "tool_choice");
    } else {
        prompt_bad(parse, "this choice is not known", "tool_choice");
    }
}
