// OpenAI Responses, writing a request. Parameters come first and the conversation last, so that a
// longer one begins with the same bytes.
#include "responses_render.h"

#include "media.h"
#include "penstock/convert/args.h"
#include "penstock/convert/ids.h"
#include "penstock/convert/schema.h"
#include "reasoning.h"

enum { OUTPUT_MIN = 16 };

// --- tools ---

static void put_schema(struct writer *writer, const struct tool *tool)
{
    struct sink *out = writer->out;
    struct json_slice schema = tool->schema;
    struct json_iter iter = json_members_of(schema);
    struct span key;
    struct json_slice value;
    bool empty = !json_member_next(&iter, &key, &value);
    if (writer->prompt->from == FAMILY_GEMINI && !empty) {
        schema_put_standard(out, schema);
    } else if (empty) { // C-034
        SINK_TEXT(out, "{\"type\":\"object\",\"properties\":{}}");
    } else if (json_get(schema, SPAN("type")).kind == JK_NONE &&
               json_get(schema, SPAN("properties")).kind == JK_OBJECT) {
        SINK_TEXT(out, "{\"type\":\"object\",");
        sink_put(out, span_from(schema.text, 1));
    } else {
        sink_put(out, schema.text);
    }
}

static void put_tool(struct writer *writer, const struct tool *tool)
{
    struct sink *out = writer->out;
    bool custom = tool->kind == TOOL_CUSTOM;
    sink_put(out, custom ? SPAN("{\"type\":\"custom\",\"name\":\"")
                         : SPAN("{\"type\":\"function\",\"name\":\""));
    name_put(out, tool->name, FAMILY_RESPONSES);
    SINK_TEXT(out, "\"");
    tool_put_description(out, tool, false, writer->losses);
    if (custom) {
        tool_put_format(out, tool->schema, false);
    } else {
        SINK_TEXT(out, ",\"parameters\":");
        put_schema(writer, tool);
        // Without a word the vendor would take it for strict (C-033).
        sink_put(out, tool->strict == 2 ? SPAN(",\"strict\":true") : SPAN(",\"strict\":false"));
    }
    SINK_TEXT(out, "}");
}

static void put_tools(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    bool started = false;
    for (uint32_t i = 0; i < prompt->tool_count; i++) {
        if (prompt->tools[i].kind == TOOL_HOSTED)
            continue;
        sink_put(writer->out, started ? SPAN(",") : SPAN(",\"tools\":["));
        put_tool(writer, &prompt->tools[i]);
        started = true;
    }
    if (writer->tools.search != NULL) {
        sink_put(writer->out, started ? SPAN(",") : SPAN(",\"tools\":["));
        tool_put_search(writer->out, writer->tools.search, FAMILY_RESPONSES);
        started = true;
    }
    if (started)
        SINK_TEXT(writer->out, "]");
}

static void put_chosen(struct writer *writer, struct words name)
{
    const struct prompt *prompt = writer->prompt;
    bool custom = false;
    for (uint32_t i = 0; i < prompt->tool_count; i++)
        custom |= prompt->tools[i].kind == TOOL_CUSTOM && words_eq(prompt->tools[i].name, name);
    sink_put(writer->out, custom ? SPAN("{\"type\":\"custom\",\"name\":\"")
                                 : SPAN("{\"type\":\"function\",\"name\":\""));
    name_put(writer->out, name, FAMILY_RESPONSES);
    SINK_TEXT(writer->out, "\"}");
}

static void put_choice(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    switch ((enum choose)prompt->choice.mode) {
    case CHOOSE_UNSAID: break;
    case CHOOSE_AUTO: SINK_TEXT(out, ",\"tool_choice\":\"auto\""); break;
    case CHOOSE_NONE: SINK_TEXT(out, ",\"tool_choice\":\"none\""); break;
    case CHOOSE_ANY: SINK_TEXT(out, ",\"tool_choice\":\"required\""); break;
    case CHOOSE_ONE:
        SINK_TEXT(out, ",\"tool_choice\":");
        put_chosen(writer, prompt->choice.names[0]);
        break;
    case CHOOSE_SUBSET:
    case CHOOSE_SUBSET_ANY:
        SINK_TEXT(out, ",\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":");
        sink_put(out, prompt->choice.mode == CHOOSE_SUBSET ? SPAN("\"auto\",\"tools\":[")
                                                           : SPAN("\"required\",\"tools\":["));
        for (uint32_t i = 0; i < prompt->choice.name_count; i++) {
            if (i > 0)
                SINK_TEXT(out, ",");
            put_chosen(writer, prompt->choice.names[i]);
        }
        SINK_TEXT(out, "]}");
        break;
    }
    if (render_is_set(writer->render, KNOB_PARALLEL)) // C-020
        SINK_TEXT(out, ",\"parallel_tool_calls\":false");
}

// --- settings ---

static void put_cap(struct writer *writer)
{
    uint64_t cap;
    const struct knob *max = render_knob(writer->render, KNOB_MAX_OUTPUT);
    if (!json_u64(max->value, &cap))
        return;
    if (cap < OUTPUT_MIN) { // C-107
        loss_adjust(writer->losses, "%s=%llu>16", max->path, (unsigned long long)cap);
        cap = OUTPUT_MIN;
    }
    SINK_TEXT(writer->out, ",\"max_output_tokens\":");
    sink_u64(writer->out, cap);
}

// Only the same vendor's clients mean the same store.
static void put_store(struct writer *writer)
{
    bool own = writer->prompt->from == FAMILY_OPENAI;
    sink_put(writer->out, render_is_set(writer->render, KNOB_STORE) && own
                              ? SPAN(",\"store\":true")
                              : SPAN(",\"store\":false"));
    if (!own)
        render_drop_knob(writer->render, KNOB_STORE);
}

static void put_reasoning(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    enum effort effort = effort_wanted(prompt, writer->caps);
    bool own = prompt->reasoning.adaptive || prompt->reasoning.budget_set;
    if (writer->caps->reasons == REASONS_NOT)
        return;
    writer->thinks = effort == EFFORT_UNSAID ? own : effort != EFFORT_NONE;
    if (effort == EFFORT_UNSAID && !own)
        return;
    bool summary = writer->thinks && prompt->reasoning.show != 1;
    if (effort == EFFORT_UNSAID && !summary)
        return;
    SINK_TEXT(out, ",\"reasoning\":{");
    if (effort != EFFORT_UNSAID) {
        SINK_TEXT(out, "\"effort\":\"");
        sink_put(out, effort_word(effort));
        sink_put(out, summary ? SPAN("\",") : SPAN("\""));
    }
    if (summary)
        SINK_TEXT(out, "\"summary\":\"auto\"");
    SINK_TEXT(out, "}");
    if (effort != EFFORT_UNSAID)
        render_tell_effort(writer->render, effort_word(effort));
}

// What a model that reasons refuses (C-111).
static void put_sampling(struct writer *writer)
{
    static const enum knob_id refused[] = { KNOB_TEMPERATURE, KNOB_TOP_P, KNOB_LOGPROBS,
                                            KNOB_TOP_LOGPROBS };
    if (reasoning_is_on(writer->prompt, writer->caps)) {
        for (size_t i = 0; i < ARRAY_LEN(refused); i++)
            render_drop_knob(writer->render, refused[i]);
        return;
    }
    render_put_knob(writer->render, writer->out, KNOB_TEMPERATURE, SPAN("temperature"));
    render_put_knob(writer->render, writer->out, KNOB_TOP_P, SPAN("top_p"));
    render_put_knob(writer->render, writer->out, KNOB_TOP_LOGPROBS, SPAN("top_logprobs"));
    writer->logprobs = render_is_set(writer->render, KNOB_LOGPROBS);
}

// State that the client gives back is all there is: nothing is stored (C-073).
static void put_include(struct writer *writer)
{
    struct sink *out = writer->out;
    bool state = writer->thinks || (writer->caps->official && writer->caps->reasons != REASONS_NOT);
    if (!state && !writer->logprobs)
        return;
    SINK_TEXT(out, ",\"include\":[");
    if (state)
        SINK_TEXT(out, "\"reasoning.encrypted_content\"");
    if (writer->logprobs)
        sink_put(out, state ? SPAN(",\"message.output_text.logprobs\"")
                            : SPAN("\"message.output_text.logprobs\""));
    SINK_TEXT(out, "]");
}

static void put_answer_format(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    bool schema = prompt->format.kind == ANSWER_SCHEMA && prompt->format.schema.kind == JK_OBJECT;
    bool json = prompt->format.kind == ANSWER_JSON;
    bool verbosity = render_is_set(writer->render, KNOB_VERBOSITY);
    if (!schema && !json && !verbosity)
        return;
    SINK_TEXT(out, ",\"text\":{");
    if (json) {
        SINK_TEXT(out, "\"format\":{\"type\":\"json_object\"}");
    } else if (schema) {
        SINK_TEXT(out, "\"format\":{\"type\":\"json_schema\",\"name\":");
        sink_quoted(out, words_none(prompt->format.name) ? words_plain(SPAN("response"))
                                                         : prompt->format.name);
        if (!words_none(prompt->format.description)) {
            SINK_TEXT(out, ",\"description\":");
            sink_quoted(out, prompt->format.description);
        }
        SINK_TEXT(out, ",\"schema\":");
        if (prompt->from == FAMILY_GEMINI)
            schema_put_standard(out, prompt->format.schema);
        else
            sink_put(out, prompt->format.schema.text);
        // Formats that know no such thing mean it where the schema allows it (C-120).
        bool known = prompt->from == FAMILY_OPENAI || prompt->from == FAMILY_RESPONSES;
        bool strict = known ? prompt->format.strict == 2 : schema_is_strict(prompt->format.schema);
        if (!known || prompt->format.strict != 0)
            sink_put(out, strict ? SPAN(",\"strict\":true") : SPAN(",\"strict\":false"));
        SINK_TEXT(out, "}");
    }
    if (verbosity) {
        sink_put(out, json || schema ? SPAN(",\"verbosity\":") : SPAN("\"verbosity\":"));
        sink_put(out, render_knob(writer->render, KNOB_VERBOSITY)->value.text);
    }
    SINK_TEXT(out, "}");
}

static void put_user(struct writer *writer)
{
    const struct knob *user = render_knob(writer->render, KNOB_USER);
    bool own = writer->prompt->from == FAMILY_OPENAI || writer->prompt->from == FAMILY_RESPONSES;
    if (user->value.kind != JK_STRING)
        return;
    if (own) {
        sink_put(writer->out, span_eq(span_str(user->path), SPAN("user"))
                                  ? SPAN(",\"user\":")
                                  : SPAN(",\"safety_identifier\":"));
        sink_put(writer->out, user->value.text);
        return;
    }
    SINK_TEXT(writer->out, ",\"safety_identifier\":\""); // C-114
    id_put_hash(writer->out, words_of(user->value));
    SINK_TEXT(writer->out, "\"");
}

static void put_tier(struct writer *writer)
{
    if (!render_is_set(writer->render, KNOB_TIER))
        return;
    if (writer->prompt->from == FAMILY_ANTHROPIC) // who says it means the standard one
        SINK_TEXT(writer->out, ",\"service_tier\":\"default\"");
    else
        render_put_knob(writer->render, writer->out, KNOB_TIER, SPAN("service_tier"));
}

bool responses_render(struct render *render, struct sink *out)
{
    if (!pairs_link(render))
        return false;
    struct writer writer = { .render = render,
                             .prompt = render->prompt,
                             .caps = render->caps,
                             .losses = render->losses,
                             .tools = tools_judge(render, FAMILY_RESPONSES),
                             .out = out };
    SINK_TEXT(out, "{\"model\":");
    sink_quoted(out, words_plain(render->model));
    put_cap(&writer);
    if (render->prompt->stream)
        SINK_TEXT(out, ",\"stream\":true");
    put_store(&writer);
    put_reasoning(&writer);
    put_sampling(&writer);
    put_include(&writer);
    put_answer_format(&writer);
    render_put_knob(render, out, KNOB_METADATA, SPAN("metadata"));
    render_put_knob(render, out, KNOB_CACHE_KEY, SPAN("prompt_cache_key"));
    render_put_knob(render, out, KNOB_CACHE_RETENTION, SPAN("prompt_cache_retention"));
    render_put_knob(render, out, KNOB_CACHE_OPTIONS, SPAN("prompt_cache_options"));
    render_put_knob(render, out, KNOB_MODERATION, SPAN("moderation"));
    put_tier(&writer);
    put_user(&writer);
    render_lose_settings(render, FAMILY_RESPONSES);
    if (writer.tools.functions > 0)
        put_choice(&writer);
    put_tools(&writer);
    responses_put_instructions(&writer);
    responses_put_input(&writer);
    SINK_TEXT(out, "}");
    return !render->losses->refused && !out->failed;
}
