// Anthropic Messages, writing a request. Parameters come first and the conversation last, so that a
// longer one begins with the same bytes.
#include "messages_render.h"

#include "media.h"
#include "penstock/base/text.h"
#include "penstock/convert/aliases.h"
#include "penstock/convert/args.h"
#include "penstock/convert/schema.h"

enum { CACHE_MARKS_MAX = 4 };

static void comma(struct writer *writer)
{
    if (writer->started)
        SINK_TEXT(writer->out, ",");
    writer->started = true;
}

// The last ones of the marks that the client set, as many as the vendor takes (C-115).
static void put_cache(struct writer *writer, bool cache)
{
    if (cache && writer->marks-- <= CACHE_MARKS_MAX)
        SINK_TEXT(writer->out, ",\"cache_control\":{\"type\":\"ephemeral\"}");
}

static uint32_t marks_in(const struct prompt *prompt)
{
    uint32_t marks = 0;
    for (uint32_t i = 0; i < prompt->tool_count; i++)
        marks += prompt->tools[i].cache && prompt->tools[i].kind != TOOL_HOSTED;
    for (uint32_t i = 0; i < prompt->part_count; i++)
        marks += prompt->parts[i].cache;
    return marks;
}

// --- parts ---

static void put_text(struct writer *writer, struct words text, bool cache)
{
    comma(writer);
    SINK_TEXT(writer->out, "{\"type\":\"text\",\"text\":");
    sink_quoted(writer->out, text);
    put_cache(writer, cache);
    SINK_TEXT(writer->out, "}");
}

static void drop_detail(struct writer *writer, const struct part *part)
{
    char path[LOSS_PATH_MAX];
    (void)prompt_path(writer->prompt, part, path);
    loss_drop(writer->losses, "%s.detail", path);
}

static void put_media(struct writer *writer, const struct part *part)
{
    struct sink *out = writer->out;
    bool image = part->kind == PART_IMAGE;
    if (image && !words_none(part->extra) && !words_are(part->extra, SPAN("auto")))
        drop_detail(writer, part); // C-102
    if (part->source == MEDIA_FILE_ID) {
        render_refuse_part(writer->render, part,
                           "a file's id is known only to the vendor that gave it");
        return;
    }
    comma(writer);
    sink_put(out, image ? SPAN("{\"type\":\"image\",\"source\":")
                        : SPAN("{\"type\":\"document\",\"source\":"));
    if (part->source == MEDIA_URL) {
        SINK_TEXT(out, "{\"type\":\"url\",\"url\":");
        sink_quoted(out, part->text);
    } else {
        bool text = part->source == MEDIA_TEXT;
        sink_put(out, text ? SPAN("{\"type\":\"text\",\"media_type\":")
                           : SPAN("{\"type\":\"base64\",\"media_type\":"));
        sink_quoted(out, part->type);
        SINK_TEXT(out, ",\"data\":");
        sink_quoted(out, text ? part->text : media_data(part, writer->render->scratch));
    }
    SINK_TEXT(out, "}");
    if (!image && !words_none(part->title)) {
        SINK_TEXT(out, ",\"title\":");
        sink_quoted(out, part->title);
    }
    put_cache(writer, part->cache);
    SINK_TEXT(out, "}");
}

static void put_thought(struct writer *writer, const struct part *part)
{
    // Only who made a thought may have it back, and only while thinking is on (C-064).
    if (part->signature.maker != MAKER_ANTHROPIC || !writer->recalls ||
        words_none(part->signature.text))
        return;
    struct sink *out = writer->out;
    comma(writer);
    if (part->kind == PART_REDACTED) {
        SINK_TEXT(out, "{\"type\":\"redacted_thinking\",\"data\":");
    } else {
        SINK_TEXT(out, "{\"type\":\"thinking\",\"thinking\":");
        sink_quoted(out, part->text);
        SINK_TEXT(out, ",\"signature\":");
    }
    sink_quoted(out, part->signature.text);
    SINK_TEXT(out, "}");
}

static void put_call(struct writer *writer, const struct part *part)
{
    struct sink *out = writer->out;
    comma(writer);
    SINK_TEXT(out, "{\"type\":\"tool_use\",\"id\":\"");
    id_put_call(out, part->id, FAMILY_ANTHROPIC, 0, 0);
    SINK_TEXT(out, "\",\"name\":\"");
    name_put(out, part->name, FAMILY_ANTHROPIC);
    SINK_TEXT(out, "\",\"input\":");
    if (part->form == CALL_CUSTOM) { // C-040
        SINK_TEXT(out, "{\"input\":");
        sink_quoted(out, part->text);
        SINK_TEXT(out, "}");
    } else if (!args_put_object(out, part->text, writer->render->scratch)) {
        render_tell_part(writer->render, part, "no_object>_raw");
    }
    put_cache(writer, part->cache);
    SINK_TEXT(out, "}");
}

static void put_part(struct writer *writer, const struct part *part)
{
    switch ((enum part_kind)part->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
    case PART_SEARCH:
        if (!words_none(part->text)) // C-010
            put_text(writer, part->text, part->cache);
        break;
    case PART_IMAGE:
    case PART_FILE: put_media(writer, part); break;
    case PART_AUDIO: render_refuse_part(writer->render, part, "this vendor takes no sound"); break;
    case PART_VIDEO: render_refuse_part(writer->render, part, "this vendor takes no video"); break;
    case PART_THINK:
    case PART_REDACTED: put_thought(writer, part); break;
    case PART_CALL: put_call(writer, part); break;
    case PART_RAW: render_drop_part(writer->render, part); break;
    case PART_RESULT: break; // written by the group
    }
}

// --- results ---

static void put_result(struct writer *writer, const struct part *call, const struct part *result)
{
    struct sink *out = writer->out;
    comma(writer);
    SINK_TEXT(out, "{\"type\":\"tool_result\",\"tool_use_id\":\"");
    id_put_call(out, call->id, FAMILY_ANTHROPIC, 0, 0);
    SINK_TEXT(out, "\"");
    if (result == NULL) { // the client cut its history (C-007)
        SINK_TEXT(out, ",\"content\":\"[no result]\",\"is_error\":true}");
        render_tell_turn(writer->render, call->at, ".tool_calls=no_result");
        return;
    }
    uint32_t count = inner_count(writer->prompt, result);
    const struct part *inner = result + 1;
    if (count == 1 && inner->kind == PART_TEXT) {
        if (!words_none(inner->text)) {
            SINK_TEXT(out, ",\"content\":");
            sink_quoted(out, inner->text);
        }
    } else if (count > 0) {
        SINK_TEXT(out, ",\"content\":[");
        writer->started = false;
        for (uint32_t i = 0; i < count; i++)
            put_part(writer, &inner[i]);
        writer->started = true;
        SINK_TEXT(out, "]");
    }
    if (result->error)
        SINK_TEXT(out, ",\"is_error\":true");
    put_cache(writer, result->cache);
    SINK_TEXT(out, "}");
}

static void put_stray(struct writer *writer, const struct part *result)
{
    comma(writer);
    SINK_TEXT(writer->out, "{\"type\":\"text\",\"text\":");
    render_put_stray(writer->render, writer->out, result);
    SINK_TEXT(writer->out, "}");
}

// --- turns ---

// Whether anything of a group would be written.
static bool group_has_content(const struct writer *writer, const struct group *group)
{
    for (uint32_t i = 0; i < group->part_count; i++) {
        const struct part *part = &writer->prompt->parts[group->part + i];
        bool text = part->kind == PART_TEXT || part->kind == PART_REFUSAL;
        bool thought = part->kind == PART_THINK || part->kind == PART_REDACTED;
        bool own = part->signature.maker == MAKER_ANTHROPIC && writer->recalls;
        if (!part->inner && part->kind != PART_RAW && (!text || !words_none(part->text)) &&
            (!thought || own))
            return true;
    }
    return false;
}

static void put_user_parts(struct writer *writer, const struct group *group,
                           const struct group *before)
{
    const struct prompt *prompt = writer->prompt;
    for (uint32_t i = 0; i < before->part_count; i++) { // in the order of the calls (C-005)
        const struct part *call = &prompt->parts[before->part + i];
        if (call->kind == PART_CALL)
            put_result(writer, call, result_of(prompt, call));
    }
    for (uint32_t i = 0; i < group->part_count; i++) {
        const struct part *part = &prompt->parts[group->part + i];
        const struct turn *turn = &prompt->turns[part->turn];
        if (part->inner)
            continue;
        if (part->kind == PART_RESULT) {
            if (call_of(prompt, part) == NULL)
                put_stray(writer, part);
        } else if (turn->role == ROLE_SYSTEM) { // C-002
            comma(writer);
            SINK_TEXT(writer->out, "{\"type\":\"text\",\"text\":\"<system>");
            sink_string(writer->out, part->text);
            SINK_TEXT(writer->out, "</system>\"}");
            render_tell_turn(writer->render, turn->at, ".role=user");
        } else {
            put_part(writer, part);
        }
    }
}

static void put_group(struct writer *writer, const struct group *group, const struct group *before)
{
    const struct prompt *prompt = writer->prompt;
    bool has_calls = false;
    for (uint32_t i = 0; i < before->part_count; i++)
        has_calls |= prompt->parts[before->part + i].kind == PART_CALL;
    if (!has_calls && !group_has_content(writer, group))
        return;
    comma(writer);
    sink_put(writer->out, group->assistant ? SPAN("{\"role\":\"assistant\",\"content\":[")
                                           : SPAN("{\"role\":\"user\",\"content\":["));
    writer->started = false;
    if (group->assistant) {
        for (uint32_t i = 0; i < group->part_count; i++)
            put_part(writer, &prompt->parts[group->part + i]);
    } else {
        put_user_parts(writer, group, before);
    }
    SINK_TEXT(writer->out, "]}");
    writer->started = true;
}

static void put_messages(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct group before = { 0 }, last = { 0 };
    SINK_TEXT(writer->out, ",\"messages\":[");
    writer->started = false;
    for (uint32_t turn = group_first(prompt); turn < prompt->turn_count;) {
        struct group group = group_at(prompt, turn);
        struct group none = { 0 };
        put_group(writer, &group, group.assistant ? &none : &before);
        before = last = group;
        turn += group.turn_count;
    }
    if (!writer->started) // C-019
        loss_refuse(writer->losses, "at least one message with content is required", "%s",
                    prompt_list(prompt));
    if (render_has_to_go_on(writer->render, &last) && writer->started) {
        comma(writer);
        SINK_TEXT(writer->out, "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                               "\"" RENDER_CONTINUE "\"}]}");
    }
    SINK_TEXT(writer->out, "]");
}

static void put_system(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    uint32_t end = group_first(prompt);
    uint32_t parts = end < prompt->turn_count ? prompt->turns[end].first : prompt->part_count;
    bool json = prompt->format.kind == ANSWER_JSON;
    writer->started = false;
    for (uint32_t i = 0; i < parts; i++) {
        if (words_none(prompt->parts[i].text))
            continue;
        if (!writer->started)
            SINK_TEXT(writer->out, ",\"system\":[");
        put_text(writer, prompt->parts[i].text, prompt->parts[i].cache);
    }
    if (json) { // C-117
        if (!writer->started)
            SINK_TEXT(writer->out, ",\"system\":[");
        put_text(writer, words_plain(SPAN("Answer with one JSON object and nothing else.")), false);
        loss_adjust(writer->losses, "%s=json_object>instruction", prompt->format.path);
    }
    if (writer->answer_asked) {
        if (!writer->started)
            SINK_TEXT(writer->out, ",\"system\":[");
        char room[ANSWER_TOOL_MAX + 64];
        size_t len = fit_printf(room, sizeof(room), "Give your answer by calling the tool %.*s.",
                                (int)writer->answer_tool.len, writer->answer_tool.ptr);
        put_text(writer, words_plain(span_of(room, len)), false);
    }
    if (writer->started)
        SINK_TEXT(writer->out, "]");
}

// --- tools ---

static bool is_chosen(const struct prompt *prompt, const struct tool *tool)
{
    if (prompt->choice.mode != CHOOSE_SUBSET && prompt->choice.mode != CHOOSE_SUBSET_ANY)
        return true;
    for (uint32_t i = 0; i < prompt->choice.name_count; i++)
        if (words_eq(prompt->choice.names[i], tool->name))
            return true;
    return false;
}

static void put_schema(struct writer *writer, const struct tool *tool)
{
    struct sink *out = writer->out;
    if (tool->kind == TOOL_CUSTOM) // C-040
        SINK_TEXT(out, TOOL_INPUT_SCHEMA ",\"additionalProperties\":false}");
    else if (schema_put_object(out, tool->schema, writer->render->scratch)) // C-034, C-036
        loss_adjust(writer->losses, "tools[%u]=schema>object", tool->at);
}

static void put_tool(struct writer *writer, const struct tool *tool)
{
    struct sink *out = writer->out;
    if (tool->kind == TOOL_HOSTED)
        return;
    comma(writer);
    SINK_TEXT(out, "{\"name\":\"");
    name_put(out, tool->name, FAMILY_ANTHROPIC);
    SINK_TEXT(out, "\"");
    tool_put_description(out, tool, tool->kind == TOOL_CUSTOM, writer->losses);
    SINK_TEXT(out, ",\"input_schema\":");
    put_schema(writer, tool);
    put_cache(writer, tool->cache);
    SINK_TEXT(out, "}");
}

// Vendors want the tools of calls in the history defined, also where the client sends none
// any more (C-038).
static void put_stubs(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct alias_seen seen;
    if (!alias_seen_init(&seen, prompt, writer->render->scratch)) {
        writer->out->failed = true;
        return;
    }
    for (uint32_t i = 0; i < prompt->part_count; i++) {
        const struct part *part = &prompt->parts[i];
        if (part->kind != PART_CALL || !alias_seen_first(&seen, part, FAMILY_ANTHROPIC))
            continue;
        comma(writer);
        SINK_TEXT(writer->out, "{\"name\":\"");
        name_put(writer->out, part->name, FAMILY_ANTHROPIC);
        SINK_TEXT(writer->out, "\",\"input_schema\":{\"type\":\"object\"}}");
    }
}

// The schema of the answer as a tool that the model has to call (C-118).
static void put_answer_tool(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    comma(writer);
    SINK_TEXT(out, "{\"name\":\"");
    sink_put(out, writer->answer_tool);
    SINK_TEXT(out, "\",\"description\":\"Gives the answer to the user.\",\"input_schema\":");
    (void)schema_put_object(out, prompt->format.schema, writer->render->scratch);
    SINK_TEXT(out, "}");
    loss_adjust(writer->losses, "%s=schema>tool", prompt->format.path);
}

static bool has_tools(const struct writer *writer)
{
    return writer->tools.functions > 0 || writer->tools.search != NULL;
}

static void put_tools(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    if (!has_tools(writer) && !writer->stubs && writer->answer_tool.len == 0)
        return;
    SINK_TEXT(writer->out, ",\"tools\":[");
    writer->started = false;
    for (uint32_t i = 0; i < prompt->tool_count; i++)
        if (is_chosen(prompt, &prompt->tools[i]))
            put_tool(writer, &prompt->tools[i]);
    if (writer->tools.search != NULL) {
        comma(writer);
        tool_put_search(writer->out, writer->tools.search, FAMILY_ANTHROPIC);
    }
    if (writer->stubs)
        put_stubs(writer);
    if (writer->answer_tool.len > 0)
        put_answer_tool(writer);
    SINK_TEXT(writer->out, "]");
}

static bool is_forced(enum choose mode)
{
    return mode == CHOOSE_ANY || mode == CHOOSE_ONE || mode == CHOOSE_SUBSET_ANY;
}

// The tool that stands for the answer is called if no other is; only a tool that the client forces
// comes first. Where none can be forced the model is asked to (C-039, C-118).
static void put_answer_choice(struct writer *writer, enum choose mode)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    bool alone = !has_tools(writer) || mode == CHOOSE_NONE;
    if (writer->answer_asked) {
        SINK_TEXT(out, ",\"tool_choice\":{\"type\":\"auto\"");
        if (is_forced(mode))
            loss_adjust(writer->losses, "%s=auto", prompt->choice.path);
    } else if (!alone && mode == CHOOSE_ONE) {
        SINK_TEXT(out, ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"");
        name_put(out, prompt->choice.names[0], FAMILY_ANTHROPIC);
        SINK_TEXT(out, "\"");
    } else if (!alone) {
        SINK_TEXT(out, ",\"tool_choice\":{\"type\":\"any\"");
    } else {
        SINK_TEXT(out, ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"");
        sink_put(out, writer->answer_tool);
        SINK_TEXT(out, "\"");
    }
    sink_put(out, alone || render_is_set(writer->render, KNOB_PARALLEL)
                      ? SPAN(",\"disable_parallel_tool_use\":true}")
                      : SPAN("}"));
}

static void put_choice(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    enum choose mode = (enum choose)prompt->choice.mode;
    bool single = render_is_set(writer->render, KNOB_PARALLEL) && mode != CHOOSE_NONE;
    if (writer->answer_tool.len > 0) {
        put_answer_choice(writer, mode);
        return;
    }
    if (writer->stubs)
        SINK_TEXT(out, ",\"tool_choice\":{\"type\":\"none\"}");
    if (!has_tools(writer) || (mode == CHOOSE_UNSAID && !single))
        return;
    if (is_forced(mode) && (writer->thinks || writer->caps->no_forced_tool)) { // C-039
        loss_adjust(writer->losses, "%s=auto", prompt->choice.path);
        mode = CHOOSE_AUTO;
    }
    SINK_TEXT(out, ",\"tool_choice\":{\"type\":\"");
    switch (mode) {
    case CHOOSE_UNSAID:
    case CHOOSE_AUTO:
    case CHOOSE_SUBSET: SINK_TEXT(out, "auto\""); break;
    case CHOOSE_NONE: SINK_TEXT(out, "none\""); break;
    case CHOOSE_ANY:
    case CHOOSE_SUBSET_ANY: SINK_TEXT(out, "any\""); break;
    case CHOOSE_ONE:
        SINK_TEXT(out, "tool\",\"name\":\"");
        name_put(out, prompt->choice.names[0], FAMILY_ANTHROPIC);
        SINK_TEXT(out, "\"");
        break;
    }
    if (prompt->choice.mode == CHOOSE_SUBSET || prompt->choice.mode == CHOOSE_SUBSET_ANY)
        loss_adjust(writer->losses, "%s=those_tools_only", prompt->choice.path);
    if (single)
        SINK_TEXT(out, ",\"disable_parallel_tool_use\":true");
    SINK_TEXT(out, "}");
}

static bool has_calls(const struct prompt *prompt)
{
    for (uint32_t i = 0; i < prompt->part_count; i++)
        if (prompt->parts[i].kind == PART_CALL)
            return true;
    return false;
}

bool messages_render(struct render *render, struct sink *out)
{
    if (!pairs_link(render))
        return false;
    struct writer writer = { .render = render,
                             .prompt = render->prompt,
                             .caps = render->caps,
                             .losses = render->losses,
                             .tools = tools_judge(render, FAMILY_ANTHROPIC),
                             .marks = marks_in(render->prompt),
                             .out = out };
    char answer_tool[ANSWER_TOOL_MAX];
    size_t answer_len =
        alias_answer_tool(render->prompt, FAMILY_ANTHROPIC, render->caps, answer_tool);
    writer.answer_tool = span_of(answer_tool, answer_len);
    writer.stubs = writer.tools.functions == 0 && has_calls(render->prompt);
    SINK_TEXT(out, "{\"model\":");
    sink_quoted(out, words_plain(render->model));
    messages_put_settings(&writer);
    put_choice(&writer);
    put_tools(&writer);
    put_system(&writer);
    put_messages(&writer);
    SINK_TEXT(out, "}");
    return !render->losses->refused && !out->failed;
}
