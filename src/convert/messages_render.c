// Anthropic Messages, writing a request. Parameters come first and the conversation last, so that a
// longer one begins with the same bytes.
#include "media.h"
#include "messages.h"
#include "pairs.h"
#include "penstock/base/text.h"
#include "penstock/convert/aliases.h"
#include "penstock/convert/args.h"
#include "penstock/convert/schema.h"
#include "reasoning.h"
#include "tools.h"

#include <stdlib.h>

enum { CAP_DEFAULT = 8192, BUDGET_MIN = 1024, CALLS_MAX = 1024 };

enum { CACHE_MARKS_MAX = 4 };

struct writer {
    struct render *render;
    const struct prompt *prompt;
    const struct caps *caps;
    struct losses *losses;
    struct sink *out;
    struct tools tools;
    bool thinks;             // thinking is asked for
    bool recalls;            // the vendor takes its thoughts back
    bool stubs;              // calls in the history need tools, and there are none
    struct span answer_tool; // that stands for the answer; empty: none
    bool answer_asked;       // by an instruction: it cannot be forced
    bool started;            // something stands in the list that is being written
    uint32_t marks;          // for the cache, that are still to come
};

static void comma(struct writer *writer)
{
    if (writer->started)
        SINK_TEXT(writer->out, ",");
    writer->started = true;
}

static const struct knob *knob(const struct writer *writer, enum knob_id id)
{
    return &writer->prompt->knobs[id];
}

static bool is_set(const struct writer *writer, enum knob_id id)
{
    return knob(writer, id)->value.kind != JK_NONE;
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

static void refuse_part(struct writer *writer, const struct part *part, const char *why)
{
    char path[LOSS_PATH_MAX];
    (void)prompt_path(writer->prompt, part, path);
    loss_refuse(writer->losses, why, "%s", path);
}

static void drop_part(struct writer *writer, const struct part *part)
{
    char path[LOSS_PATH_MAX];
    (void)prompt_path(writer->prompt, part, path);
    loss_drop(writer->losses, "%s", path);
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
        refuse_part(writer, part, "a file's id is known only to the vendor that gave it");
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
        char path[LOSS_PATH_MAX];
        (void)prompt_path(writer->prompt, part, path);
        loss_adjust(writer->losses, "%s=no_object>_raw", path);
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
    case PART_AUDIO: refuse_part(writer, part, "this vendor takes no sound"); break;
    case PART_VIDEO: refuse_part(writer, part, "this vendor takes no video"); break;
    case PART_THINK:
    case PART_REDACTED: put_thought(writer, part); break;
    case PART_CALL: put_call(writer, part); break;
    case PART_RAW: drop_part(writer, part); break;
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
        loss_adjust(writer->losses, "messages[%u].tool_calls=no_result", call->at);
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

// A result that answers no call keeps its content, as text (C-008).
static void put_stray(struct writer *writer, const struct part *result)
{
    struct sink *out = writer->out;
    comma(writer);
    SINK_TEXT(out, "{\"type\":\"text\",\"text\":\"[result of unknown call ");
    sink_string(out, result->id);
    SINK_TEXT(out, "]\\n");
    for (uint32_t i = 0; i < inner_count(writer->prompt, result); i++)
        if (result[1 + i].kind == PART_TEXT)
            sink_string(out, result[1 + i].text);
    SINK_TEXT(out, "\"}");
    loss_adjust(writer->losses, "messages[%u]=text", result->at);
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
            loss_adjust(writer->losses, "messages[%u].role=user", turn->at);
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
    if (last.assistant && !writer->caps->prefill && writer->started) { // C-012
        comma(writer);
        SINK_TEXT(writer->out, "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                               "\"Continue exactly where the last message stops.\"}]}");
        loss_adjust(writer->losses, "messages[%u]=continue",
                    prompt->turns[prompt->turn_count - 1].at);
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
    sink_put(out, alone || is_set(writer, KNOB_PARALLEL)
                      ? SPAN(",\"disable_parallel_tool_use\":true}")
                      : SPAN("}"));
}

static void put_choice(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    enum choose mode = (enum choose)prompt->choice.mode;
    bool single = is_set(writer, KNOB_PARALLEL) && mode != CHOOSE_NONE;
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

// --- settings ---

// Whether the conversation stands in the middle of a loop of tools whose thoughts are not there:
// the vendor then refuses to think on.
static bool lacks_thought(const struct prompt *prompt)
{
    bool lacks = false;
    for (uint32_t turn = group_first(prompt); turn < prompt->turn_count;) {
        struct group group = group_at(prompt, turn);
        bool calls = false, thought = false, results = false, text = false;
        for (uint32_t i = 0; i < group.part_count; i++) {
            const struct part *part = &prompt->parts[group.part + i];
            calls |= part->kind == PART_CALL;
            thought |= (part->kind == PART_THINK || part->kind == PART_REDACTED) &&
                       part->signature.maker == MAKER_ANTHROPIC &&
                       !words_none(part->signature.text);
            results |= part->kind == PART_RESULT;
            text |= part->kind != PART_RESULT && !part->inner;
        }
        if (group.assistant)
            lacks = calls && !thought;
        else if (text || !results)
            lacks = false; // a new question: the loop is over
        turn += group.turn_count;
    }
    return lacks;
}

// The limit of the answer, and how much of it may be thought (C-061, C-106).
static void put_limits(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    const uint64_t model_max = writer->caps->output_max;
    uint64_t cap, budget = 0;
    bool said = json_u64(knob(writer, KNOB_MAX_OUTPUT)->value, &cap);
    if (!said)
        cap = model_max != 0 ? model_max : CAP_DEFAULT;
    if (model_max != 0 && cap > model_max) {
        loss_adjust(writer->losses, "%s=%llu>%llu", knob(writer, KNOB_MAX_OUTPUT)->path,
                    (unsigned long long)cap, (unsigned long long)model_max);
        cap = model_max;
    }
    enum effort effort = effort_wanted(prompt, writer->caps);
    // What is left to the model has to be a number where it cannot be.
    const bool left = effort == EFFORT_UNSAID && prompt->reasoning.adaptive;
    if (left && writer->caps->reasons != REASONS_ADAPTIVE)
        effort = EFFORT_MEDIUM;
    bool on = (left || effort != EFFORT_UNSAID) && effort != EFFORT_NONE &&
              writer->caps->reasons != REASONS_NOT;
    if (on && writer->caps->reasons != REASONS_ADAPTIVE && lacks_thought(prompt)) {
        loss_adjust(writer->losses, "%s=disabled", prompt->reasoning.path); // C-068
        effort = EFFORT_NONE;
    } else if (on && writer->caps->reasons != REASONS_ADAPTIVE) {
        bool exact = prompt->reasoning.budget_set && prompt->reasoning.budget > 0;
        budget = exact ? (uint64_t)prompt->reasoning.budget : effort_budget(effort);
        budget = budget < BUDGET_MIN ? BUDGET_MIN : budget;
        if (!said)
            cap += budget;
        else if (budget + BUDGET_MIN > cap)
            budget = cap > 2 * BUDGET_MIN ? cap - BUDGET_MIN : 0;
        writer->thinks = budget > 0;
        if (!exact || !writer->thinks)
            loss_adjust(writer->losses, "%s=%.*s>%llu", prompt->reasoning.path,
                        (int)min_size(prompt->reasoning.said.raw.len, 16),
                        prompt->reasoning.said.raw.ptr, (unsigned long long)budget);
    } else if (on) {
        writer->thinks = true;
    }
    SINK_TEXT(out, ",\"max_tokens\":");
    sink_u64(out, cap);
    if (budget > 0) {
        SINK_TEXT(out, ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":");
        sink_u64(out, budget);
        SINK_TEXT(out, "}");
    } else if (writer->thinks) {
        SINK_TEXT(out, ",\"thinking\":{\"type\":\"adaptive\"}");
    } else if (effort == EFFORT_NONE && (on || prompt->reasoning.effort == EFFORT_NONE) &&
               !writer->caps->always_thinks) {
        SINK_TEXT(out, ",\"thinking\":{\"type\":\"disabled\"}");
    }
    bool schema = prompt->format.kind == ANSWER_SCHEMA && writer->caps->native_schema &&
                  prompt->format.schema.kind == JK_OBJECT;
    bool adaptive = writer->thinks && budget == 0 && !left;
    if (!schema && !adaptive)
        return;
    SINK_TEXT(out, ",\"output_config\":{");
    if (adaptive) {
        const struct span word = effort_word(effort < EFFORT_LOW ? EFFORT_LOW : effort);
        SINK_TEXT(out, "\"effort\":\"");
        sink_put(out, word);
        if (!words_are(prompt->reasoning.said, word))
            loss_adjust(writer->losses, "%s=%.*s>%.*s", prompt->reasoning.path,
                        (int)min_size(prompt->reasoning.said.raw.len, 16),
                        prompt->reasoning.said.raw.ptr, (int)word.len, word.ptr);
        sink_put(out, schema ? SPAN("\",") : SPAN("\""));
    }
    if (schema) {
        SINK_TEXT(out, "\"format\":{\"type\":\"json_schema\",\"schema\":");
        sink_put(out, prompt->format.schema.text);
        SINK_TEXT(out, "}");
    }
    SINK_TEXT(out, "}");
}

static void drop_knob(struct writer *writer, enum knob_id id)
{
    if (is_set(writer, id))
        loss_drop(writer->losses, "%s", knob(writer, id)->path);
}

static void put_number(struct writer *writer, enum knob_id id, struct span name)
{
    if (!is_set(writer, id))
        return;
    SINK_TEXT(writer->out, ",\"");
    sink_put(writer->out, name);
    SINK_TEXT(writer->out, "\":");
    sink_put(writer->out, knob(writer, id)->value.text);
}

static void put_sampling(struct writer *writer)
{
    const struct knob *heat = knob(writer, KNOB_TEMPERATURE);
    if (writer->caps->no_sampling || writer->thinks) { // C-062, C-111
        drop_knob(writer, KNOB_TEMPERATURE);
        drop_knob(writer, KNOB_TOP_P);
        drop_knob(writer, KNOB_TOP_K);
        return;
    }
    if (heat->value.kind == JK_NUMBER) {
        char text[32];
        size_t len = min_size(heat->value.text.len, sizeof(text) - 1);
        memcpy(text, heat->value.text.ptr, len);
        text[len] = '\0';
        if (strtod(text, NULL) > 1) { // C-109
            SINK_TEXT(writer->out, ",\"temperature\":1");
            loss_adjust(writer->losses, "%s=%s>1", heat->path, text);
        } else {
            put_number(writer, KNOB_TEMPERATURE, SPAN("temperature"));
        }
    }
    if (writer->caps->one_sampling && heat->value.kind == JK_NUMBER) // C-110
        drop_knob(writer, KNOB_TOP_P);
    else
        put_number(writer, KNOB_TOP_P, SPAN("top_p"));
    put_number(writer, KNOB_TOP_K, SPAN("top_k"));
}

static void put_stops(struct writer *writer)
{
    struct json_slice stop = knob(writer, KNOB_STOP)->value;
    if (stop.kind == JK_NONE)
        return;
    struct json_iter iter = json_elements_of(stop);
    struct json_slice text = stop;
    bool more = stop.kind == JK_STRING || json_element_next(&iter, &text), any = false;
    for (uint32_t at = 0; more; at++) {
        bool blank = words_blank(words_of(text)); // C-112
        if (blank && !words_none(words_of(text)))
            loss_drop(writer->losses, "%s[%u]", knob(writer, KNOB_STOP)->path, at);
        if (!blank) {
            sink_put(writer->out, any ? SPAN(",") : SPAN(",\"stop_sequences\":["));
            sink_put(writer->out, text.text);
            any = true;
        }
        more = stop.kind == JK_ARRAY && json_element_next(&iter, &text);
    }
    if (any)
        SINK_TEXT(writer->out, "]");
}

static void put_user(struct writer *writer)
{
    const struct knob *user = knob(writer, KNOB_USER);
    if (user->value.kind != JK_STRING || user->value.text.len > 258) {
        drop_knob(writer, KNOB_USER);
        return;
    }
    SINK_TEXT(writer->out, ",\"metadata\":{\"user_id\":");
    sink_put(writer->out, user->value.text);
    SINK_TEXT(writer->out, "}");
}

static void put_tier(struct writer *writer)
{
    const struct json_slice tier = knob(writer, KNOB_TIER)->value;
    if (json_string_is(tier, SPAN("default")) || json_string_is(tier, SPAN("standard_only")))
        SINK_TEXT(writer->out, ",\"service_tier\":\"standard_only\"");
    else if (json_string_is(tier, SPAN("auto")) || json_string_is(tier, SPAN("priority")))
        SINK_TEXT(writer->out, ",\"service_tier\":\"auto\"");
    else
        drop_knob(writer, KNOB_TIER);
}

// What the format has no word for, by the table of settings.
static void lose_settings(struct writer *writer)
{
    static const uint8_t classes[KNOB_COUNT] = {
#define KNOB(id, chat, responses, messages, gemini) [KNOB_##id] = LOSS_##messages,
#include "penstock/convert/knobs.def"
#undef KNOB
    };
    for (unsigned id = 0; id < KNOB_COUNT; id++) {
        if (!is_set(writer, (enum knob_id)id))
            continue;
        if (classes[id] == LOSS_DROP)
            drop_knob(writer, (enum knob_id)id);
        else if (classes[id] == LOSS_REFUSE)
            loss_refuse(writer->losses, "this vendor has no such thing", "%s",
                        knob(writer, (enum knob_id)id)->path);
    }
    const struct prompt *prompt = writer->prompt;
    if (prompt->format.kind == ANSWER_SCHEMA && !writer->caps->native_schema &&
        writer->answer_tool.len == 0)
        loss_refuse(writer->losses, "this model cannot be held to a schema", "%s",
                    prompt->format.path);
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
    put_limits(&writer);
    writer.recalls = writer.thinks || (render->caps->reasons_unasked &&
                                       reasoning_is_on(render->prompt, render->caps));
    writer.answer_asked = answer_len > 0 && (writer.thinks || render->caps->no_forced_tool);
    if (render->prompt->stream)
        SINK_TEXT(out, ",\"stream\":true");
    put_sampling(&writer);
    put_stops(&writer);
    put_user(&writer);
    put_tier(&writer);
    lose_settings(&writer);
    put_choice(&writer);
    put_tools(&writer);
    put_system(&writer);
    put_messages(&writer);
    SINK_TEXT(out, "}");
    return !render->losses->refused && !out->failed;
}
