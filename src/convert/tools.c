#include "tools.h"

#include "penstock/base/text.h"

// A grammar, wherever the client's format has it.
static struct json_slice grammar_of(struct json_slice format)
{
    struct json_slice grammar = json_get(format, SPAN("grammar"));
    return grammar.kind == JK_OBJECT ? grammar : format;
}

// Free text goes in as one string, in the form that the tool asks for.
static void put_grammar(struct sink *out, struct json_slice format)
{
    struct json_slice grammar = grammar_of(format);
    struct words definition = words_of(json_get(grammar, SPAN("definition")));
    SINK_TEXT(out, "Pass the raw text in `input`.");
    if (words_none(definition))
        return;
    SINK_TEXT(out, " Grammar (");
    sink_string(out, words_of(json_get(grammar, SPAN("syntax"))));
    SINK_TEXT(out, "):\\n");
    sink_string(out, definition);
}

void tool_put_description(struct sink *out, const struct tool *tool, bool wrapped,
                          struct losses *losses)
{
    const struct span none = SPAN(""), gap = SPAN("\\n\\n");
    const bool told = !words_none(tool->description), examples = tool->examples.kind == JK_ARRAY;
    if (!told && !wrapped && !examples)
        return;
    SINK_TEXT(out, ",\"description\":\"");
    sink_string(out, tool->description);
    if (wrapped) {
        sink_put(out, told ? gap : none);
        put_grammar(out, tool->schema);
    }
    if (examples) {
        sink_put(out, told || wrapped ? gap : none);
        SINK_TEXT(out, "Examples of its input: ");
        sink_string(out, words_plain(tool->examples.text));
        loss_adjust(losses, "tools[%u].input_examples=description", tool->at);
    }
    SINK_TEXT(out, "\"");
}

void tool_put_format(struct sink *out, struct json_slice format, bool nested)
{
    struct json_slice grammar = grammar_of(format);
    struct words definition = words_of(json_get(grammar, SPAN("definition")));
    if (format.kind != JK_OBJECT)
        return;
    SINK_TEXT(out, ",\"format\":");
    if (words_none(definition)) {
        sink_put(out, format.text);
        return;
    }
    sink_put(out, nested ? SPAN("{\"type\":\"grammar\",\"grammar\":{\"syntax\":")
                         : SPAN("{\"type\":\"grammar\",\"syntax\":"));
    sink_quoted(out, words_of(json_get(grammar, SPAN("syntax"))));
    SINK_TEXT(out, ",\"definition\":");
    sink_quoted(out, definition);
    sink_put(out, nested ? SPAN("}}") : SPAN("}"));
}

// --- the vendors' own ---

bool tools_have_functions(const struct prompt *prompt)
{
    for (uint32_t i = 0; i < prompt->tool_count; i++)
        if (prompt->tools[i].kind != TOOL_HOSTED)
            return true;
    return false;
}

static size_t path_of(const struct prompt *prompt, const struct tool *tool, char out[LOSS_PATH_MAX])
{
    return prompt->from == FAMILY_OPENAI ? fit_printf(out, LOSS_PATH_MAX, "web_search_options")
                                         : fit_printf(out, LOSS_PATH_MAX, "tools[%u]", tool->at);
}

// Of one vendor's two formats both have the search; between vendors it has to be wanted. Gemini's
// older models have it beside no functions.
static bool may_search(const struct render *render, enum wire_family to, uint32_t functions)
{
    const bool same = render->prompt->from == FAMILY_OPENAI && to == FAMILY_RESPONSES;
    if (to == FAMILY_GEMINI && functions > 0 && !render->caps->signs_calls)
        return false;
    return same || render->caps->web_search;
}

struct tools tools_judge(const struct render *render, enum wire_family to)
{
    const struct prompt *prompt = render->prompt;
    const bool named = prompt->choice.mode == CHOOSE_ONE;
    struct tools tools = { 0 };
    char path[LOSS_PATH_MAX];
    uint32_t lost = 0;
    for (uint32_t i = 0; i < prompt->tool_count; i++)
        tools.functions += prompt->tools[i].kind != TOOL_HOSTED;
    const bool search = may_search(render, to, tools.functions);
    for (uint32_t i = 0; i < prompt->tool_count; i++) {
        const struct tool *tool = &prompt->tools[i];
        if (tool->kind != TOOL_HOSTED)
            continue;
        (void)path_of(prompt, tool, path);
        if (named && words_eq(prompt->choice.names[0], tool->name))
            loss_refuse(render->losses, "only the same vendor has this tool", "%s",
                        prompt->choice.path);
        if (tool->run_by_client)
            loss_refuse(render->losses, "only the same vendor's models know this tool", "%s", path);
        if (tool->search && search && tools.search == NULL) {
            tools.search = tool;
            loss_adjust(render->losses, "%s=web_search", path);
            continue;
        }
        loss_drop(render->losses, "%s", path);
        lost += prompt->from != FAMILY_OPENAI; // whose search is no tool but a setting
    }
    if (lost > 0 && tools.functions == 0 && tools.search == NULL)
        loss_refuse(render->losses, "only the same vendor has these tools", "tools");
    return tools;
}

static void put_members(struct sink *out, struct json_slice object, const struct span *names,
                        size_t count, bool *any)
{
    for (size_t i = 0; i < count; i++) {
        struct json_slice value = json_get(object, names[i]);
        if (value.kind != JK_STRING)
            continue;
        sink_put(out, *any ? SPAN(",\"") : SPAN("\""));
        sink_put(out, names[i]);
        SINK_TEXT(out, "\":");
        sink_put(out, value.text);
        *any = true;
    }
}

// Where the user is, which Chat says a level deeper.
static void put_location(struct sink *out, struct json_slice tool, bool nested, bool *any)
{
    static const struct span names[] = { SPAN("city"), SPAN("country"), SPAN("region"),
                                         SPAN("timezone") };
    struct json_slice place = json_get(tool, SPAN("user_location"));
    struct json_slice deep = json_get(place, SPAN("approximate"));
    bool inside = !nested;
    if (place.kind != JK_OBJECT)
        return;
    sink_put(out, *any ? SPAN(",\"user_location\":{\"type\":\"approximate\"")
                       : SPAN("\"user_location\":{\"type\":\"approximate\""));
    sink_put(out, nested ? SPAN(",\"approximate\":{") : SPAN(""));
    put_members(out, deep.kind == JK_OBJECT ? deep : place, names, ARRAY_LEN(names), &inside);
    sink_put(out, nested ? SPAN("}}") : SPAN("}"));
    *any = true;
}

void tool_put_search(struct sink *out, const struct tool *search, enum wire_family to)
{
    static const struct span head[] = {
        [FAMILY_OPENAI] = SPAN("{"),
        [FAMILY_RESPONSES] = SPAN("{\"type\":\"web_search\""),
        [FAMILY_ANTHROPIC] = SPAN("{\"type\":\"web_search_20250305\",\"name\":\"web_search\""),
        [FAMILY_GEMINI] = SPAN("{\"googleSearch\":{}"),
    };
    static const struct span size = SPAN("search_context_size");
    bool any = to != FAMILY_OPENAI;
    sink_put(out, head[to]);
    if (to == FAMILY_OPENAI || to == FAMILY_RESPONSES)
        put_members(out, search->raw, &size, 1, &any);
    if (to != FAMILY_GEMINI)
        put_location(out, search->raw, to == FAMILY_OPENAI, &any);
    SINK_TEXT(out, "}");
}
