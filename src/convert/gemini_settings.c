// Gemini generateContent, writing a request: its settings and tools.
#include "gemini.h"
#include "gemini_writer.h"
#include "penstock/convert/ids.h"
#include "penstock/convert/schema.h"
#include "reasoning.h"
#include "render.h"
#include "tools.h"

enum { STOPS_MAX = 5, CANDIDATES_MAX = 8 };

// Begins a member of the object that is being written.
static void member(struct gemini_writer *writer, struct span name)
{
    sink_put(writer->out, writer->started ? SPAN(",\"") : SPAN("\""));
    writer->started = true;
    sink_put(writer->out, name);
    SINK_TEXT(writer->out, "\":");
}

static void put_raw(struct gemini_writer *writer, enum knob_id id, struct span name)
{
    if (!render_is_set(writer->render, id))
        return;
    member(writer, name);
    sink_put(writer->out, render_knob(writer->render, id)->value.text);
}

// --- generationConfig ---

static void put_stops(struct gemini_writer *writer)
{
    const struct knob *stops = render_knob(writer->render, KNOB_STOP);
    struct json_iter iter = json_elements_of(stops->value);
    struct json_slice text = stops->value;
    unsigned count = 0;
    bool more = text.kind == JK_STRING || json_element_next(&iter, &text);
    while (more) {
        if (!words_none(words_of(text))) { // C-112
            if (count == 0)
                member(writer, SPAN("stopSequences"));
            sink_put(writer->out, count == 0 ? SPAN("[") : SPAN(","));
            sink_put(writer->out, text.text);
            count++;
        }
        more = stops->value.kind == JK_ARRAY && json_element_next(&iter, &text);
    }
    if (count > 0)
        SINK_TEXT(writer->out, "]");
    if (count > STOPS_MAX)
        loss_refuse(writer->losses, "this vendor takes at most five", "%s", stops->path);
}

static void put_count(struct gemini_writer *writer)
{
    uint64_t count;
    if (json_u64(render_knob(writer->render, KNOB_CHOICES)->value, &count) &&
        count > CANDIDATES_MAX)
        loss_refuse(writer->losses, "this vendor gives at most eight", "%s",
                    render_knob(writer->render, KNOB_CHOICES)->path);
    put_raw(writer, KNOB_CHOICES, SPAN("candidateCount"));
}

static void put_format(struct gemini_writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    const bool schema = prompt->format.schema.kind == JK_OBJECT;
    if (prompt->format.kind != ANSWER_JSON && prompt->format.kind != ANSWER_SCHEMA)
        return;
    // Older models have either the one or the other (C-119).
    if (!writer->caps->signs_calls && tools_have_functions(prompt)) {
        writer->schema_in_text = true;
        loss_adjust(writer->losses, "%s=instruction", prompt->format.path);
        return;
    }
    member(writer, SPAN("responseMimeType"));
    SINK_TEXT(writer->out, "\"application/json\"");
    if (prompt->format.kind != ANSWER_SCHEMA || !schema)
        return;
    if (writer->caps->json_schema) {
        member(writer, SPAN("responseJsonSchema"));
        sink_put(writer->out, prompt->format.schema.text);
        return;
    }
    member(writer, SPAN("responseSchema"));
    if (schema_put_reduced(writer->out, prompt->format.schema, writer->render->scratch))
        loss_adjust(writer->losses, "%s=reduced", prompt->format.path);
}

// --- thinking (conversion rules 3.5) ---

enum { BUDGET_LOW = 1024, BUDGET_PRO_MIN = 128, BUDGET_MAX = 24576, BUDGET_PRO_MAX = 32768 };

static uint64_t level_budget(enum effort effort, bool pro)
{
    switch (effort) {
    case EFFORT_UNSAID:
    case EFFORT_NONE: return pro ? BUDGET_PRO_MIN : 0;
    case EFFORT_MINIMAL:
    case EFFORT_LOW: return BUDGET_LOW;
    case EFFORT_MEDIUM: return effort_budget(EFFORT_MEDIUM);
    case EFFORT_HIGH: return BUDGET_MAX;
    case EFFORT_XHIGH:
    case EFFORT_MAX: return pro ? BUDGET_PRO_MAX : BUDGET_MAX;
    }
    return BUDGET_MAX;
}

static void put_budget(struct gemini_writer *writer, enum effort effort)
{
    const struct prompt *prompt = writer->prompt;
    const bool pro = writer->caps->always_thinks;
    const uint64_t least = pro ? BUDGET_PRO_MIN : 0, most = pro ? BUDGET_PRO_MAX : BUDGET_MAX;
    bool exact = prompt->reasoning.budget_set;
    uint64_t budget = exact
                          ? (uint64_t)(prompt->reasoning.budget < 0 ? 0 : prompt->reasoning.budget)
                          : level_budget(effort, pro);
    uint64_t bounded = budget < least ? least : min_u64(budget, most);
    char room[20];
    struct sink text = sink_into(room, sizeof(room));
    sink_u64(&text, bounded);
    const struct span number = span_of(room, (size_t)(text.at - room));
    SINK_TEXT(writer->out, "\"thinkingBudget\":");
    sink_put(writer->out, number);
    if (!exact || bounded != budget)
        render_tell_effort(writer->render, number);
}

static bool knows(const struct caps *caps, enum effort effort)
{
    return caps->efforts == 0 || (caps->efforts & BIT(effort)) != 0;
}

static void put_level(struct gemini_writer *writer, enum effort effort)
{
    static const struct span words[] = {
        [EFFORT_UNSAID] = SPAN(""),         [EFFORT_NONE] = SPAN("MINIMAL"),
        [EFFORT_MINIMAL] = SPAN("MINIMAL"), [EFFORT_LOW] = SPAN("LOW"),
        [EFFORT_MEDIUM] = SPAN("MEDIUM"),   [EFFORT_HIGH] = SPAN("HIGH"),
        [EFFORT_XHIGH] = SPAN("HIGH"),      [EFFORT_MAX] = SPAN("HIGH"),
    };
    enum effort level = effort;
    if (level <= EFFORT_MINIMAL && !knows(writer->caps, EFFORT_MINIMAL))
        level = EFFORT_LOW;
    if (level == EFFORT_MEDIUM && !knows(writer->caps, EFFORT_MEDIUM))
        level = EFFORT_HIGH;
    SINK_TEXT(writer->out, "\"thinkingLevel\":\"");
    sink_put(writer->out, words[level]);
    SINK_TEXT(writer->out, "\"");
    render_tell_effort(writer->render, words[level]);
}

static void put_thinking(struct gemini_writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    enum effort effort = (enum effort)prompt->reasoning.effort;
    if (effort == EFFORT_UNSAID && prompt->reasoning.budget_set)
        effort = effort_of_budget(prompt->reasoning.budget);
    const bool said = effort != EFFORT_UNSAID;
    // Chat's clients have no word for it: they see what there is.
    bool show = prompt->reasoning.show == 2 || (said && prompt->from == FAMILY_OPENAI);
    show = show && effort != EFFORT_NONE;
    if (!said && !show)
        return;
    if (writer->caps->reasons == REASONS_NOT) {
        if (said)
            loss_drop(writer->losses, "%s", prompt->reasoning.path);
        return;
    }
    member(writer, SPAN("thinkingConfig"));
    SINK_TEXT(writer->out, "{");
    if (said && writer->caps->reasons == REASONS_BUDGET)
        put_budget(writer, effort);
    else if (said)
        put_level(writer, effort);
    if (show)
        sink_put(writer->out,
                 said ? SPAN(",\"includeThoughts\":true") : SPAN("\"includeThoughts\":true"));
    SINK_TEXT(writer->out, "}");
}

static void put_config(struct gemini_writer *writer)
{
    SINK_TEXT(writer->out, "\"generationConfig\":{");
    writer->started = false;
    put_raw(writer, KNOB_MAX_OUTPUT, SPAN("maxOutputTokens"));
    put_thinking(writer);
    put_raw(writer, KNOB_TEMPERATURE, SPAN("temperature"));
    put_raw(writer, KNOB_TOP_P, SPAN("topP"));
    put_raw(writer, KNOB_TOP_K, SPAN("topK"));
    put_stops(writer);
    put_count(writer);
    put_raw(writer, KNOB_PRESENCE_PENALTY, SPAN("presencePenalty"));
    put_raw(writer, KNOB_FREQUENCY_PENALTY, SPAN("frequencyPenalty"));
    put_raw(writer, KNOB_SEED, SPAN("seed"));
    put_raw(writer, KNOB_LOGPROBS, SPAN("responseLogprobs"));
    put_raw(writer, KNOB_TOP_LOGPROBS, SPAN("logprobs"));
    put_format(writer);
    SINK_TEXT(writer->out, "}");
    writer->started = true;
}

static void put_tier(struct gemini_writer *writer)
{
    const struct knob *tier = render_knob(writer->render, KNOB_TIER);
    bool known =
        json_string_is(tier->value, SPAN("flex")) || json_string_is(tier->value, SPAN("priority"));
    if (known)
        put_raw(writer, KNOB_TIER, SPAN("serviceTier"));
    else if (writer->prompt->from != FAMILY_ANTHROPIC)
        render_drop_knob(writer->render, KNOB_TIER);
}

// --- tools ---

static void put_parameters(struct gemini_writer *writer, const struct tool *tool)
{
    struct sink *out = writer->out;
    if (tool->kind == TOOL_CUSTOM) { // C-040
        sink_put(out, writer->caps->json_schema ? SPAN(",\"parametersJsonSchema\":")
                                                : SPAN(",\"parameters\":"));
        SINK_TEXT(out, TOOL_INPUT_SCHEMA "}");
        return;
    }
    if (schema_is_bare(tool->schema)) // C-034
        return;
    if (!writer->caps->json_schema) {
        SINK_TEXT(out, ",\"parameters\":");
        if (schema_put_reduced(out, tool->schema, writer->render->scratch))
            loss_adjust(writer->losses, "tools=reduced");
        return;
    }
    SINK_TEXT(out, ",\"parametersJsonSchema\":");
    if (json_get(tool->schema, SPAN("type")).kind == JK_NONE) {
        SINK_TEXT(out, "{\"type\":\"object\",");
        sink_put(out, span_from(tool->schema.text, 1));
    } else {
        sink_put(out, tool->schema.text);
    }
}

static void put_tool(struct gemini_writer *writer, const struct tool *tool)
{
    struct sink *out = writer->out;
    SINK_TEXT(out, "{\"name\":\"");
    name_put(out, tool->name, FAMILY_GEMINI);
    SINK_TEXT(out, "\"");
    tool_put_description(out, tool, tool->kind == TOOL_CUSTOM, writer->losses);
    put_parameters(writer, tool);
    SINK_TEXT(out, "}");
}

// All functions in one entry.
static void put_tools(struct gemini_writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    const struct tools tools = tools_judge(writer->render, FAMILY_GEMINI);
    bool any = false;
    if (tools.functions == 0 && tools.search == NULL)
        return;
    SINK_TEXT(writer->out, ",\"tools\":[");
    for (uint32_t i = 0; i < prompt->tool_count; i++) {
        if (prompt->tools[i].kind == TOOL_HOSTED)
            continue;
        sink_put(writer->out, any ? SPAN(",") : SPAN("{\"functionDeclarations\":["));
        any = true;
        put_tool(writer, &prompt->tools[i]);
    }
    sink_put(writer->out, any ? SPAN("]}") : SPAN(""));
    if (tools.search != NULL) {
        sink_put(writer->out, any ? SPAN(",") : SPAN(""));
        tool_put_search(writer->out, tools.search, FAMILY_GEMINI);
    }
    SINK_TEXT(writer->out, "]");
}

static void put_choice(struct gemini_writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    enum choose mode = (enum choose)prompt->choice.mode;
    if (mode == CHOOSE_UNSAID || !tools_have_functions(prompt))
        return;
    bool forced = mode == CHOOSE_ANY || mode == CHOOSE_ONE || mode == CHOOSE_SUBSET_ANY;
    if (forced && writer->caps->no_forced_tool) { // C-139
        loss_adjust(writer->losses, "%s=auto", prompt->choice.path);
        mode = CHOOSE_AUTO;
    }
    SINK_TEXT(out, ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"");
    bool names = mode == CHOOSE_ONE || mode == CHOOSE_SUBSET || mode == CHOOSE_SUBSET_ANY;
    switch (mode) {
    case CHOOSE_UNSAID:
    case CHOOSE_AUTO: SINK_TEXT(out, "AUTO\""); break;
    case CHOOSE_NONE: SINK_TEXT(out, "NONE\""); break;
    case CHOOSE_ANY:
    case CHOOSE_ONE:
    case CHOOSE_SUBSET_ANY: SINK_TEXT(out, "ANY\""); break;
    case CHOOSE_SUBSET: SINK_TEXT(out, "VALIDATED\""); break;
    }
    for (uint32_t i = 0; names && i < prompt->choice.name_count; i++) {
        sink_put(out, i == 0 ? SPAN(",\"allowedFunctionNames\":[\"") : SPAN(",\""));
        name_put(out, prompt->choice.names[i], FAMILY_GEMINI);
        SINK_TEXT(out, "\"");
    }
    sink_put(out, names && prompt->choice.name_count > 0 ? SPAN("]}}") : SPAN("}}"));
}

void gemini_put_settings(struct gemini_writer *writer)
{
    put_config(writer);
    put_raw(writer, KNOB_SAFETY, SPAN("safetySettings"));
    put_tier(writer);
    render_lose_settings(writer->render, FAMILY_GEMINI);
    put_choice(writer);
    put_tools(writer);
}
