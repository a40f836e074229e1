// OpenAI Chat Completions, writing a request. Parameters come first and the conversation last, so
// that a longer one begins with the same bytes.
#include "chat.h"
#include "media.h"
#include "penstock/convert/args.h"
#include "penstock/convert/ids.h"
#include "penstock/convert/schema.h"
#include "reasoning.h"
#include "render.h"
#include "tools.h"

struct writer {
    struct render *render;
    const struct prompt *prompt;
    const struct caps *caps;
    struct losses *losses;
    struct sink *out;
    struct tools tools;
    bool started; // a message stands in the list
};

static void message_begin(struct writer *writer, struct span role)
{
    sink_put(writer->out, writer->started ? SPAN(",{\"role\":\"") : SPAN("{\"role\":\""));
    sink_put(writer->out, role);
    SINK_TEXT(writer->out, "\",\"content\":");
    writer->started = true;
}

// --- content ---

static void put_data_url(struct writer *writer, const struct part *part)
{
    struct sink *out = writer->out;
    SINK_TEXT(out, "\"data:");
    sink_string(out, part->type);
    SINK_TEXT(out, ";base64,");
    sink_string(out, media_data(part, writer->render->scratch));
    SINK_TEXT(out, "\"");
}

static void put_image(struct writer *writer, const struct part *part)
{
    struct sink *out = writer->out;
    SINK_TEXT(out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
    if (part->source == MEDIA_DATA)
        put_data_url(writer, part);
    else
        sink_quoted(out, part->text);
    if (!words_none(part->extra)) {
        SINK_TEXT(out, ",\"detail\":");
        sink_quoted(out, part->extra);
    }
    SINK_TEXT(out, "}}");
}

static void put_file(struct writer *writer, const struct part *part)
{
    struct sink *out = writer->out;
    if (part->source == MEDIA_TEXT) { // C-103
        SINK_TEXT(out, "{\"type\":\"text\",\"text\":\"Document: ");
        sink_string(out, part->title);
        SINK_TEXT(out, "\\n");
        sink_string(out, part->text);
        SINK_TEXT(out, "\"}");
        return;
    }
    SINK_TEXT(out, "{\"type\":\"file\",\"file\":{\"filename\":");
    sink_quoted(out, words_none(part->title) ? words_plain(SPAN("document-1.pdf")) : part->title);
    SINK_TEXT(out, ",\"file_data\":");
    put_data_url(writer, part);
    SINK_TEXT(out, "}}");
}

// True if the part can be written as media here; what cannot refuses the request.
static bool may_put(struct writer *writer, const struct part *part)
{
    if (part->source == MEDIA_FILE_ID)
        render_refuse_part(writer->render, part,
                           "a file's id is known only to the vendor that gave it");
    else if (part->kind == PART_VIDEO)
        render_refuse_part(writer->render, part, "this vendor takes no video");
    else if (part->kind == PART_FILE && part->source == MEDIA_URL)
        render_refuse_part(writer->render, part, "this vendor takes a document only with its data");
    else
        return true;
    return false;
}

static void put_media(struct writer *writer, const struct part *part)
{
    if (part->kind == PART_IMAGE) {
        put_image(writer, part);
    } else if (part->kind == PART_AUDIO) {
        bool mp3 = media_type_is(part->type, SPAN("audio/mp"));
        SINK_TEXT(writer->out, "{\"type\":\"input_audio\",\"input_audio\":{\"data\":");
        sink_quoted(writer->out, media_data(part, writer->render->scratch));
        sink_put(writer->out, mp3 ? SPAN(",\"format\":\"mp3\"}}") : SPAN(",\"format\":\"wav\"}}"));
    } else {
        put_file(writer, part);
    }
}

// Texts as one string, for servers that know nothing else (C-018).
static void put_joined(struct writer *writer, const struct part *parts, uint32_t count,
                       struct span between)
{
    bool any = false;
    SINK_TEXT(writer->out, "\"");
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i].inner || !part_is_text(&parts[i]) || words_none(parts[i].text))
            continue;
        if (any)
            sink_put(writer->out, between);
        sink_string(writer->out, parts[i].text);
        any = true;
    }
    SINK_TEXT(writer->out, "\"");
}

// --- results ---

static void put_error(struct writer *writer, const struct part *result)
{
    char path[LOSS_PATH_MAX];
    (void)prompt_error_path(writer->prompt, result, path);
    SINK_TEXT(writer->out, "Error: ");
    loss_adjust(writer->losses, "%s", path);
}

static void put_result(struct writer *writer, const struct part *call, const struct part *result,
                       uint32_t *images)
{
    struct sink *out = writer->out;
    message_begin(writer, SPAN("tool"));
    SINK_TEXT(out, "\"");
    if (result == NULL) { // C-007
        SINK_TEXT(out, "Error: [no result]");
        render_tell_turn(writer->render, call->at, ".tool_calls=no_result");
    }
    uint32_t count = result != NULL ? inner_count(writer->prompt, result) : 0;
    bool any = false, told = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct part *inner = result + 1 + i;
        bool media = part_is_media(inner) && may_put(writer, inner);
        if (!part_is_text(inner) && !media && inner->kind != PART_RAW)
            continue;
        if (any)
            SINK_TEXT(out, "\\n");
        // The error is told in the text, unless the text tells it already.
        if (result->error && !told && !span_starts(inner->text.raw, SPAN("Error: ")))
            put_error(writer, result);
        told = any = true;
        if (media) { // C-017
            SINK_TEXT(out, "[image ");
            sink_u64(out, ++*images);
            SINK_TEXT(out, " attached below]");
        } else if (inner->kind == PART_RAW) { // C-151
            SINK_TEXT(out, "Loaded tool ");
            sink_string(out, inner->name);
        } else {
            sink_string(out, inner->text);
        }
    }
    SINK_TEXT(out, "\",\"tool_call_id\":\"");
    id_put_call(out, call->id, FAMILY_OPENAI, 0, 0);
    SINK_TEXT(out, "\"}");
}

static void put_attached(struct writer *writer, const struct group *before, bool *started)
{
    uint32_t number = 0;
    for (uint32_t c = 0; c < before->part_count; c++) {
        const struct part *call = &writer->prompt->parts[before->part + c];
        const struct part *result =
            call->kind == PART_CALL ? result_of(writer->prompt, call) : NULL;
        for (uint32_t i = 0; result != NULL && i < inner_count(writer->prompt, result); i++) {
            const struct part *inner = result + 1 + i;
            if (!part_is_media(inner))
                continue;
            sink_put(writer->out, *started ? SPAN(",") : SPAN("["));
            *started = true;
            SINK_TEXT(writer->out, "{\"type\":\"text\",\"text\":\"Attachment ");
            sink_u64(writer->out, ++number);
            SINK_TEXT(writer->out, " of call ");
            id_put_call(writer->out, call->id, FAMILY_OPENAI, 0, 0);
            SINK_TEXT(writer->out, "\"},");
            put_media(writer, inner);
        }
    }
}

// --- turns ---

// What one turn of the user holds besides results that were written as tool messages.
static void put_user_turn(struct writer *writer, const struct turn *turn,
                          const struct group *before, bool attach)
{
    const struct part *parts = &writer->prompt->parts[turn->first];
    bool plain = !attach, any = attach;
    for (uint32_t i = 0; i < turn->count; i++) {
        bool stray = parts[i].kind == PART_RESULT && call_of(writer->prompt, &parts[i]) == NULL;
        plain &= !stray && (parts[i].inner || !part_is_media(&parts[i]));
        any |= stray || (!parts[i].inner && (part_is_media(&parts[i]) || part_is_text(&parts[i])));
    }
    if (!any)
        return;
    message_begin(writer, turn->role == ROLE_SYSTEM ? SPAN("system") : SPAN("user"));
    if (plain) {
        put_joined(writer, parts, turn->count, SPAN("\\n"));
        SINK_TEXT(writer->out, "}");
        return;
    }
    bool started = false;
    if (attach)
        put_attached(writer, before, &started);
    for (uint32_t i = 0; i < turn->count; i++) {
        const struct part *part = &parts[i];
        bool stray = part->kind == PART_RESULT && call_of(writer->prompt, part) == NULL;
        bool media = !part->inner && part_is_media(part) && may_put(writer, part);
        bool text = !part->inner && part_is_text(part) && !words_none(part->text);
        if (!stray && !media && !text)
            continue;
        sink_put(writer->out, started ? SPAN(",") : SPAN("["));
        started = true;
        if (stray) {
            SINK_TEXT(writer->out, "{\"type\":\"text\",\"text\":");
            render_put_stray(writer->render, writer->out, part);
            SINK_TEXT(writer->out, "}");
        } else if (media) {
            put_media(writer, part);
        } else {
            SINK_TEXT(writer->out, "{\"type\":\"text\",\"text\":");
            sink_quoted(writer->out, part->text);
            SINK_TEXT(writer->out, "}");
        }
    }
    sink_put(writer->out, started ? SPAN("]}") : SPAN("\"\"}"));
}

static void put_user_group(struct writer *writer, const struct group *group,
                           const struct group *before)
{
    const struct prompt *prompt = writer->prompt;
    uint32_t images = 0;
    for (uint32_t i = 0; i < before->part_count; i++) { // C-006
        const struct part *call = &prompt->parts[before->part + i];
        if (call->kind == PART_CALL)
            put_result(writer, call, result_of(prompt, call), &images);
    }
    bool attach = images > 0;
    for (uint32_t t = 0; t < group->turn_count; t++) {
        const struct turn *turn = &prompt->turns[group->turn + t];
        bool user = turn->role == ROLE_USER;
        put_user_turn(writer, turn, before, attach && user);
        attach = attach && !user;
    }
    for (uint32_t i = 0; i < group->part_count; i++)
        if (prompt->parts[group->part + i].kind == PART_RAW &&
            !prompt->parts[group->part + i].inner)
            render_drop_part(writer->render, &prompt->parts[group->part + i]);
}

static void put_call(struct writer *writer, const struct part *part)
{
    struct sink *out = writer->out;
    bool custom = part->form == CALL_CUSTOM && writer->caps->custom_tools;
    SINK_TEXT(out, "{\"id\":\"");
    id_put_call(out, part->id, FAMILY_OPENAI, 0, 0);
    sink_put(out, custom ? SPAN("\",\"type\":\"custom\",\"custom\":{\"name\":\"")
                         : SPAN("\",\"type\":\"function\",\"function\":{\"name\":\""));
    name_put(out, part->name, FAMILY_OPENAI);
    sink_put(out, custom ? SPAN("\",\"input\":\"") : SPAN("\",\"arguments\":\""));
    if (part->form == CALL_CUSTOM && !custom) { // C-040: text inside JSON inside text
        SINK_TEXT(out, "{\\\"input\\\":\\\"");
        args_put_nested(out, part->text);
        SINK_TEXT(out, "\\\"}");
    } else if (custom) {
        sink_string(out, part->text);
    } else {
        args_put_string(out, part->text);
    }
    SINK_TEXT(out, "\"}}");
}

// A thought goes back only where the vendor wants it (C-063); without one a space stands for it.
static void put_thought(struct writer *writer, const struct part *parts, uint32_t count)
{
    if (!writer->caps->needs_reasoning)
        return;
    bool any = false;
    SINK_TEXT(writer->out, ",\"reasoning_content\":\"");
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i].kind != PART_THINK || words_none(parts[i].text))
            continue;
        sink_string(writer->out, parts[i].text);
        any = true;
    }
    if (!any)
        SINK_TEXT(writer->out, " ");
    SINK_TEXT(writer->out, "\"");
}

static void put_assistant_group(struct writer *writer, const struct group *group)
{
    const struct part *parts = &writer->prompt->parts[group->part];
    uint32_t texts = 0, calls = 0;
    bool split = false; // text on both sides of a call
    for (uint32_t i = 0; i < group->part_count; i++) {
        split |= calls > 0 && part_is_text(&parts[i]);
        texts += part_is_text(&parts[i]) && !words_none(parts[i].text);
        calls += parts[i].kind == PART_CALL;
        if (parts[i].kind == PART_RAW)
            render_drop_part(writer->render, &parts[i]);
    }
    if (texts == 0 && calls == 0)
        return;
    message_begin(writer, SPAN("assistant"));
    if (texts == 0)
        SINK_TEXT(writer->out, "null"); // C-019
    else                                // C-016
        put_joined(writer, parts, group->part_count, split ? SPAN("\\n\\n") : SPAN("\\n"));
    put_thought(writer, parts, group->part_count);
    bool started = false;
    for (uint32_t i = 0; i < group->part_count; i++) {
        if (parts[i].kind != PART_CALL)
            continue;
        sink_put(writer->out, started ? SPAN(",") : SPAN(",\"tool_calls\":["));
        put_call(writer, &parts[i]);
        started = true;
    }
    sink_put(writer->out, started ? SPAN("]}") : SPAN("}"));
}

static void put_messages(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct group before = { 0 }, none = { 0 };
    uint32_t turn = group_first(prompt);
    SINK_TEXT(writer->out, ",\"messages\":[");
    if (turn > 0) {
        uint32_t end = turn < prompt->turn_count ? prompt->turns[turn].first : prompt->part_count;
        message_begin(writer, writer->caps->developer_role ? SPAN("developer") : SPAN("system"));
        put_joined(writer, prompt->parts, end, SPAN("\\n\\n"));
        SINK_TEXT(writer->out, "}");
    }
    while (turn < prompt->turn_count) {
        struct group group = group_at(prompt, turn);
        if (group.assistant)
            put_assistant_group(writer, &group);
        else
            put_user_group(writer, &group, &before);
        before = group.assistant ? group : none;
        turn += group.turn_count;
    }
    if (!writer->started) // C-019
        loss_refuse(writer->losses, "at least one message with content is required", "%s",
                    prompt_list(prompt));
    if (render_has_to_go_on(writer->render, &before) && writer->started) {
        message_begin(writer, SPAN("user"));
        SINK_TEXT(writer->out, "\"" RENDER_CONTINUE "\"}");
    }
    SINK_TEXT(writer->out, "]");
}

// --- tools ---

static void put_tool(struct writer *writer, const struct tool *tool)
{
    struct sink *out = writer->out;
    bool custom = tool->kind == TOOL_CUSTOM && writer->caps->custom_tools;
    sink_put(out, custom ? SPAN("{\"type\":\"custom\",\"custom\":{\"name\":\"")
                         : SPAN("{\"type\":\"function\",\"function\":{\"name\":\""));
    name_put(out, tool->name, FAMILY_OPENAI);
    SINK_TEXT(out, "\"");
    const bool wrapped = tool->kind == TOOL_CUSTOM && !custom;
    tool_put_description(out, tool, wrapped, writer->losses);
    if (wrapped) {
        SINK_TEXT(out, ",\"parameters\":" TOOL_INPUT_SCHEMA ",\"additionalProperties\":false}");
    } else if (custom) {
        tool_put_format(out, tool->schema, true);
    } else if (tool->schema.kind == JK_OBJECT) {
        SINK_TEXT(out, ",\"parameters\":");
        sink_put(out, tool->schema.text);
    }
    if (tool->strict != 0)
        sink_put(out, tool->strict == 2 ? SPAN(",\"strict\":true") : SPAN(",\"strict\":false"));
    SINK_TEXT(out, "}}");
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
    if (started)
        SINK_TEXT(writer->out, "]");
    if (writer->tools.search != NULL) {
        SINK_TEXT(writer->out, ",\"web_search_options\":");
        tool_put_search(writer->out, writer->tools.search, FAMILY_OPENAI);
    }
}

static void put_choice(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    if (writer->tools.functions == 0)
        return;
    switch ((enum choose)prompt->choice.mode) {
    case CHOOSE_UNSAID: break;
    case CHOOSE_AUTO: SINK_TEXT(out, ",\"tool_choice\":\"auto\""); break;
    case CHOOSE_NONE: SINK_TEXT(out, ",\"tool_choice\":\"none\""); break;
    case CHOOSE_ANY: SINK_TEXT(out, ",\"tool_choice\":\"required\""); break;
    case CHOOSE_ONE:
        SINK_TEXT(out, ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"");
        name_put(out, prompt->choice.names[0], FAMILY_OPENAI);
        SINK_TEXT(out, "\"}}");
        break;
    case CHOOSE_SUBSET:
    case CHOOSE_SUBSET_ANY:
        SINK_TEXT(out, ",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":");
        sink_put(out, prompt->choice.mode == CHOOSE_SUBSET ? SPAN("\"auto\",\"tools\":[")
                                                           : SPAN("\"required\",\"tools\":["));
        for (uint32_t i = 0; i < prompt->choice.name_count; i++) {
            sink_put(out, i > 0 ? SPAN(",{\"type\":\"function\",\"function\":{\"name\":\"")
                                : SPAN("{\"type\":\"function\",\"function\":{\"name\":\""));
            name_put(out, prompt->choice.names[i], FAMILY_OPENAI);
            SINK_TEXT(out, "\"}}");
        }
        SINK_TEXT(out, "]}}");
        break;
    }
    if (render_is_set(writer->render, KNOB_PARALLEL)) // C-020
        SINK_TEXT(out, ",\"parallel_tool_calls\":false");
}

// --- settings ---

enum { STOPS_MAX = 4 };

static void put_stops(struct writer *writer)
{
    struct json_slice stop = render_knob(writer->render, KNOB_STOP)->value;
    if (writer->caps->no_stop) {
        render_drop_knob(writer->render, KNOB_STOP);
        return;
    }
    struct json_iter iter = json_elements_of(stop);
    struct json_slice text;
    uint32_t count = 0;
    while (json_element_next(&iter, &text))
        count++;
    if (count > STOPS_MAX) // C-112
        loss_refuse(writer->losses, "this vendor takes at most four", "%s",
                    render_knob(writer->render, KNOB_STOP)->path);
    else if (count > 0 || stop.kind == JK_STRING)
        render_put_knob(writer->render, writer->out, KNOB_STOP, SPAN("stop"));
}

static void put_format(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    if (prompt->format.kind == ANSWER_JSON) {
        SINK_TEXT(out, ",\"response_format\":{\"type\":\"json_object\"}");
    } else if (prompt->format.kind == ANSWER_SCHEMA && prompt->format.schema.kind == JK_OBJECT) {
        SINK_TEXT(out, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":");
        sink_quoted(out, words_none(prompt->format.name) ? words_plain(SPAN("response"))
                                                         : prompt->format.name);
        SINK_TEXT(out, ",\"schema\":");
        sink_put(out, prompt->format.schema.text);
        // Formats without the word mean it where the schema is one that can be (C-120).
        bool strict = prompt->format.strict == 2 ||
                      (prompt->from != FAMILY_OPENAI && prompt->format.strict == 0 &&
                       schema_is_strict(prompt->format.schema));
        if (strict || prompt->format.strict != 0)
            sink_put(out, strict ? SPAN(",\"strict\":true") : SPAN(",\"strict\":false"));
        SINK_TEXT(out, "}}");
    }
}

static void put_effort(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    enum effort effort = effort_wanted(prompt, writer->caps);
    if (effort == EFFORT_UNSAID || writer->caps->reasons == REASONS_NOT)
        return;
    SINK_TEXT(writer->out, ",\"reasoning_effort\":\"");
    sink_put(writer->out, effort_word(effort));
    SINK_TEXT(writer->out, "\"");
    render_tell_effort(writer->render, effort_word(effort));
}

static void put_user(struct writer *writer)
{
    const struct knob *user = render_knob(writer->render, KNOB_USER);
    if (user->value.kind == JK_STRING && writer->prompt->from == FAMILY_RESPONSES) {
        bool old = span_eq(span_str(user->path), SPAN("user"));
        render_put_knob(writer->render, writer->out, KNOB_USER,
                        old ? SPAN("user") : SPAN("safety_identifier"));
        return;
    }
    if (user->value.kind != JK_STRING)
        return;
    SINK_TEXT(writer->out, ",\"safety_identifier\":\"");
    id_put_hash(writer->out, words_of(user->value)); // C-114
    SINK_TEXT(writer->out, "\"");
}

// Models refuse all of it while they reason (C-111).
static void put_sampling(struct writer *writer)
{
    static const struct {
        enum knob_id id;
        struct span name;
    } knobs[] = {
        { KNOB_TEMPERATURE, SPAN("temperature") },
        { KNOB_TOP_P, SPAN("top_p") },
        { KNOB_PRESENCE_PENALTY, SPAN("presence_penalty") },
        { KNOB_FREQUENCY_PENALTY, SPAN("frequency_penalty") },
        { KNOB_LOGPROBS, SPAN("logprobs") },
        { KNOB_TOP_LOGPROBS, SPAN("top_logprobs") },
    };
    const bool refused = writer->caps->no_sampling && reasoning_is_on(writer->prompt, writer->caps);
    for (size_t i = 0; i < ARRAY_LEN(knobs); i++) {
        if (!refused)
            render_put_knob(writer->render, writer->out, knobs[i].id, knobs[i].name);
        else
            render_drop_knob(writer->render, knobs[i].id);
    }
}

static void put_tier(struct writer *writer)
{
    const struct knob *tier = render_knob(writer->render, KNOB_TIER);
    if (tier->value.kind != JK_STRING)
        return;
    if (writer->prompt->from == FAMILY_ANTHROPIC) // who says it means the standard one
        SINK_TEXT(writer->out, ",\"service_tier\":\"default\"");
    else if (json_string_is(tier->value, SPAN("ultrafast")))
        render_drop_knob(writer->render, KNOB_TIER);
    else
        render_put_knob(writer->render, writer->out, KNOB_TIER, SPAN("service_tier"));
}

// Settings of this vendor's other format, which compatible servers may refuse (C-116).
static void put_shared(struct writer *writer)
{
    static const struct {
        enum knob_id id;
        struct span name;
    } knobs[] = {
        { KNOB_CACHE_KEY, SPAN("prompt_cache_key") },
        { KNOB_CACHE_RETENTION, SPAN("prompt_cache_retention") },
        { KNOB_CACHE_OPTIONS, SPAN("prompt_cache_options") },
        { KNOB_MODERATION, SPAN("moderation") },
    };
    for (size_t i = 0; i < ARRAY_LEN(knobs); i++) {
        if (writer->caps->official)
            render_put_knob(writer->render, writer->out, knobs[i].id, knobs[i].name);
        else
            render_drop_knob(writer->render, knobs[i].id);
    }
}

static void put_settings(struct writer *writer)
{
    render_put_knob(writer->render, writer->out, KNOB_MAX_OUTPUT,
                    writer->caps->old_cap ? SPAN("max_tokens") : SPAN("max_completion_tokens"));
    put_sampling(writer);
    put_stops(writer);
    render_put_knob(writer->render, writer->out, KNOB_SEED, SPAN("seed"));
    render_put_knob(writer->render, writer->out, KNOB_CHOICES, SPAN("n"));
    render_put_knob(writer->render, writer->out, KNOB_VERBOSITY, SPAN("verbosity"));
    put_tier(writer);
    put_shared(writer);
    put_user(writer);
    put_effort(writer);
    put_format(writer);
    render_lose_settings(writer->render, FAMILY_OPENAI);
}

bool chat_render(struct render *render, struct sink *out)
{
    if (!pairs_link(render))
        return false;
    struct writer writer = { .render = render,
                             .prompt = render->prompt,
                             .caps = render->caps,
                             .losses = render->losses,
                             .tools = tools_judge(render, FAMILY_OPENAI),
                             .out = out };
    SINK_TEXT(out, "{\"model\":");
    sink_quoted(out, words_plain(render->model));
    if (render->prompt->stream) // usage is always asked for (C-051)
        SINK_TEXT(out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    put_settings(&writer);
    put_choice(&writer);
    put_tools(&writer);
    put_messages(&writer);
    SINK_TEXT(out, "}");
    return !render->losses->refused && !out->failed;
}
