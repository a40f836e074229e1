// OpenAI Responses, writing a request's conversation: a flat list of messages, thoughts, calls and
// their results.
#include "media.h"
#include "penstock/convert/args.h"
#include "penstock/convert/ids.h"
#include "responses_render.h"

static void comma(struct writer *writer)
{
    if (writer->started)
        SINK_TEXT(writer->out, ",");
    writer->started = true;
}

// --- content ---

// A mark of the same vendor's other format, as the client wrote it.
static struct json_slice breakpoint_of(const struct writer *writer, const struct part *part)
{
    if (!part->cache || writer->prompt->from != FAMILY_OPENAI)
        return JSON_SLICE_NONE;
    return json_get(part->raw, SPAN("prompt_cache_breakpoint"));
}

static void put_breakpoint(struct writer *writer, const struct part *part)
{
    struct json_slice mark = breakpoint_of(writer, part);
    if (mark.kind != JK_OBJECT)
        return;
    SINK_TEXT(writer->out, ",\"prompt_cache_breakpoint\":");
    sink_put(writer->out, mark.text);
}

static void put_text(struct writer *writer, const struct part *part)
{
    comma(writer);
    SINK_TEXT(writer->out, "{\"type\":\"input_text\",\"text\":\"");
    if (part->kind == PART_SEARCH) {
        sink_string(writer->out, part->title);
        SINK_TEXT(writer->out, "\\n");
        sink_string(writer->out, part->extra);
        SINK_TEXT(writer->out, "\\n");
    }
    sink_string(writer->out, part->text);
    SINK_TEXT(writer->out, "\"");
    put_breakpoint(writer, part);
    SINK_TEXT(writer->out, "}");
}

static void put_data_url(struct sink *out, const struct part *part)
{
    SINK_TEXT(out, "\"data:");
    sink_string(out, part->type);
    SINK_TEXT(out, ";base64,");
    sink_string(out, part->text);
    SINK_TEXT(out, "\"");
}

static void put_image(struct writer *writer, const struct part *part)
{
    struct sink *out = writer->out;
    SINK_TEXT(out, "{\"type\":\"input_image\",\"image_url\":");
    if (part->source == MEDIA_DATA)
        put_data_url(out, part);
    else
        sink_quoted(out, part->text);
    SINK_TEXT(out, ",\"detail\":"); // some servers want one (C-014)
    sink_quoted(out, words_none(part->extra) ? words_plain(SPAN("auto")) : part->extra);
}

static void put_file(struct writer *writer, const struct part *part)
{
    struct sink *out = writer->out;
    if (part->source == MEDIA_TEXT) { // C-103
        SINK_TEXT(out, "{\"type\":\"input_text\",\"text\":\"Document: ");
        sink_string(out, part->title);
        SINK_TEXT(out, "\\n");
        sink_string(out, part->text);
        SINK_TEXT(out, "\"");
        return;
    }
    SINK_TEXT(out, "{\"type\":\"input_file\"");
    if (part->source == MEDIA_URL) {
        SINK_TEXT(out, ",\"file_url\":");
        sink_quoted(out, part->text);
        return;
    }
    SINK_TEXT(out, ",\"filename\":\"");
    writer->files++;
    if (words_none(part->title)) { // C-099
        SINK_TEXT(out, "document-");
        sink_u64(out, writer->files);
        SINK_TEXT(out, ".pdf");
    } else {
        sink_string(out, part->title);
    }
    SINK_TEXT(out, "\",\"file_data\":");
    put_data_url(out, part);
}

static void put_audio(struct writer *writer, const struct part *part)
{
    bool mp3 = media_type_is(part->type, SPAN("audio/mp"));
    SINK_TEXT(writer->out, "{\"type\":\"input_audio\",\"input_audio\":{\"data\":");
    sink_quoted(writer->out, part->text);
    sink_put(writer->out, mp3 ? SPAN(",\"format\":\"mp3\"}") : SPAN(",\"format\":\"wav\"}"));
}

// True if the part can be written here; what cannot refuses the request.
static bool may_put(struct writer *writer, const struct part *part)
{
    bool sound = part->kind == PART_AUDIO;
    if (part->source == MEDIA_FILE_ID)
        render_refuse_part(writer->render, part,
                           "a file's id is known only to the vendor that gave it");
    else if (part->kind == PART_VIDEO)
        render_refuse_part(writer->render, part, "this vendor takes no video");
    else if (sound && !media_type_is(part->type, SPAN("audio/mp")) &&
             !media_type_is(part->type, SPAN("audio/wav")) &&
             !media_type_is(part->type, SPAN("audio/x-wav")))
        render_refuse_part(writer->render, part, "this vendor takes sound as wav or mp3"); // C-100
    else
        return true;
    return false;
}

static void put_media(struct writer *writer, const struct part *part)
{
    if (!may_put(writer, part))
        return;
    comma(writer);
    if (part->kind == PART_IMAGE)
        put_image(writer, part);
    else if (part->kind == PART_AUDIO)
        put_audio(writer, part);
    else
        put_file(writer, part);
    put_breakpoint(writer, part);
    SINK_TEXT(writer->out, "}");
}

static void message_begin(struct writer *writer, struct span role)
{
    comma(writer);
    SINK_TEXT(writer->out, "{\"type\":\"message\",\"role\":\"");
    sink_put(writer->out, role);
    SINK_TEXT(writer->out, "\",\"content\":[");
    writer->started = false;
}

static void message_end(struct writer *writer)
{
    SINK_TEXT(writer->out, "]}");
    writer->started = true;
}

// --- results ---

// The text says it already, or is told to.
static void put_error(struct writer *writer, const struct part *result, struct words text)
{
    if (!result->error || span_starts(text.raw, SPAN("Error: ")))
        return;
    char path[LOSS_PATH_MAX];
    (void)prompt_error_path(writer->prompt, result, path);
    SINK_TEXT(writer->out, "Error: ");
    loss_adjust(writer->losses, "%s", path);
}

static void put_inner_text(struct writer *writer, const struct part *inner)
{
    if (inner->kind == PART_RAW) // C-151
        SINK_TEXT(writer->out, "Loaded tool ");
    sink_string(writer->out, inner->kind == PART_RAW ? inner->name : inner->text);
}

// Texts as one.
static void put_joined_result(struct writer *writer, const struct part *result, uint32_t count)
{
    bool any = false;
    SINK_TEXT(writer->out, "\"");
    for (uint32_t i = 0; i < count; i++) {
        const struct part *inner = result + 1 + i;
        if (any)
            SINK_TEXT(writer->out, "\\n");
        else
            put_error(writer, result, inner->text);
        any = true;
        put_inner_text(writer, inner);
    }
    if (!any)
        put_error(writer, result, WORDS_NONE);
    SINK_TEXT(writer->out, "\"");
}

static void put_result_parts(struct writer *writer, const struct part *result, uint32_t count)
{
    bool told = !result->error;
    SINK_TEXT(writer->out, "[");
    writer->started = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct part *inner = result + 1 + i;
        if (part_is_media(inner)) {
            put_media(writer, inner);
            continue;
        }
        comma(writer);
        SINK_TEXT(writer->out, "{\"type\":\"input_text\",\"text\":\"");
        if (!told)
            put_error(writer, result, inner->text);
        told = true;
        put_inner_text(writer, inner);
        SINK_TEXT(writer->out, "\"}");
    }
    if (!told) {
        comma(writer);
        SINK_TEXT(writer->out, "{\"type\":\"input_text\",\"text\":\"");
        put_error(writer, result, WORDS_NONE);
        SINK_TEXT(writer->out, "\"}");
    }
    SINK_TEXT(writer->out, "]");
    writer->started = true;
}

static void put_result(struct writer *writer, const struct part *call, const struct part *result)
{
    struct sink *out = writer->out;
    comma(writer);
    sink_put(out, call->form == CALL_CUSTOM
                      ? SPAN("{\"type\":\"custom_tool_call_output\",\"call_id\":\"")
                      : SPAN("{\"type\":\"function_call_output\",\"call_id\":\""));
    id_put_call(out, call->id, FAMILY_RESPONSES, 0, 0);
    SINK_TEXT(out, "\",\"output\":");
    uint32_t count = result != NULL ? inner_count(writer->prompt, result) : 0;
    bool media = false;
    for (uint32_t i = 0; i < count; i++)
        media |= part_is_media(&result[1 + i]);
    if (result == NULL) { // C-007
        SINK_TEXT(out, "\"Error: [no result]\"");
        render_tell_turn(writer->render, call->at, ".tool_calls=no_result");
    } else if (media) {
        put_result_parts(writer, result, count);
    } else {
        put_joined_result(writer, result, count);
    }
    SINK_TEXT(out, "}");
}

static void put_stray(struct writer *writer, const struct part *result)
{
    comma(writer);
    SINK_TEXT(writer->out, "{\"type\":\"input_text\",\"text\":");
    render_put_stray(writer->render, writer->out, result);
    SINK_TEXT(writer->out, "}");
}

// --- turns of the user, and system texts among them ---

static bool turn_has_content(const struct writer *writer, const struct turn *turn)
{
    for (uint32_t i = 0; i < turn->count; i++) {
        const struct part *part = &writer->prompt->parts[turn->first + i];
        bool text = part_is_text(part) && !words_none(part->text);
        bool stray = part->kind == PART_RESULT && call_of(writer->prompt, part) == NULL;
        if (!part->inner && (text || part_is_media(part) || stray))
            return true;
    }
    return false;
}

static void put_user_turn(struct writer *writer, const struct turn *turn)
{
    const struct prompt *prompt = writer->prompt;
    if (!turn_has_content(writer, turn))
        return;
    message_begin(writer, turn->role == ROLE_SYSTEM ? SPAN("developer") : SPAN("user"));
    for (uint32_t i = 0; i < turn->count; i++) {
        const struct part *part = &prompt->parts[turn->first + i];
        if (part->inner)
            continue;
        if (part_is_text(part) && !words_none(part->text))
            put_text(writer, part);
        else if (part_is_media(part))
            put_media(writer, part);
        else if (part->kind == PART_RESULT && call_of(prompt, part) == NULL)
            put_stray(writer, part);
    }
    message_end(writer);
}

static void put_user_group(struct writer *writer, const struct group *group,
                           const struct group *before)
{
    const struct prompt *prompt = writer->prompt;
    for (uint32_t i = 0; i < before->part_count; i++) { // in the order of the calls
        const struct part *call = &prompt->parts[before->part + i];
        if (call->kind == PART_CALL)
            put_result(writer, call, result_of(prompt, call));
    }
    for (uint32_t t = 0; t < group->turn_count; t++)
        put_user_turn(writer, &prompt->turns[group->turn + t]);
    for (uint32_t i = 0; i < group->part_count; i++) {
        const struct part *part = &prompt->parts[group->part + i];
        if (!part->inner && part->kind == PART_RAW)
            render_drop_part(writer->render, part);
    }
}

// --- turns of the assistant ---

static bool is_written(const struct part *part)
{
    return part->kind == PART_CALL || (part_is_text(part) && !words_none(part->text));
}

// Only who made a thought may have it back (C-064), and only with what came of it (C-071).
static bool is_given_back(const struct writer *writer, const struct group *group, uint32_t index)
{
    const struct part *parts = &writer->prompt->parts[group->part];
    if (parts[index].signature.maker != MAKER_RESPONSES ||
        words_none(parts[index].signature.text) || writer->caps->reasons == REASONS_NOT)
        return false;
    for (uint32_t i = index + 1; i < group->part_count; i++)
        if (is_written(&parts[i]))
            return true;
    return false;
}

static void put_thought(struct writer *writer, const struct part *part)
{
    struct sink *out = writer->out;
    comma(writer);
    SINK_TEXT(out, "{\"type\":\"reasoning\",\"summary\":["); // C-072
    if (!words_none(part->text)) {
        SINK_TEXT(out, "{\"type\":\"summary_text\",\"text\":");
        sink_quoted(out, part->text);
        SINK_TEXT(out, "}");
    }
    SINK_TEXT(out, "],\"encrypted_content\":");
    sink_quoted(out, part->signature.text);
    SINK_TEXT(out, "}");
}

static void put_call(struct writer *writer, const struct part *part)
{
    struct sink *out = writer->out;
    bool custom = part->form == CALL_CUSTOM;
    comma(writer);
    sink_put(out, custom ? SPAN("{\"type\":\"custom_tool_call\",\"call_id\":\"")
                         : SPAN("{\"type\":\"function_call\",\"call_id\":\""));
    id_put_call(out, part->id, FAMILY_RESPONSES, 0, 0);
    SINK_TEXT(out, "\",\"name\":\"");
    name_put(out, part->name, FAMILY_RESPONSES);
    sink_put(out, custom ? SPAN("\",\"input\":\"") : SPAN("\",\"arguments\":\""));
    if (custom)
        sink_string(out, part->text);
    else
        args_put_string(out, part->text);
    SINK_TEXT(out, "\"}");
}

// A run of texts as one message; returns the index behind it.
static uint32_t put_texts(struct writer *writer, const struct group *group, uint32_t index)
{
    const struct part *parts = &writer->prompt->parts[group->part];
    struct sink *out = writer->out;
    comma(writer);
    SINK_TEXT(out, "{\"type\":\"message\",\"role\":\"assistant\"");
    if (writer->caps->phases) { // C-143
        bool calls = false;
        for (uint32_t i = index; i < group->part_count; i++)
            calls |= parts[i].kind == PART_CALL;
        sink_put(out,
                 calls ? SPAN(",\"phase\":\"commentary\"") : SPAN(",\"phase\":\"final_answer\""));
    }
    SINK_TEXT(out, ",\"content\":[");
    writer->started = false;
    for (; index < group->part_count && part_is_text(&parts[index]); index++) {
        if (words_none(parts[index].text))
            continue;
        comma(writer);
        bool refusal = parts[index].kind == PART_REFUSAL; // C-014
        sink_put(out, refusal ? SPAN("{\"type\":\"refusal\",\"refusal\":")
                              : SPAN("{\"type\":\"output_text\",\"text\":"));
        sink_quoted(out, parts[index].text);
        sink_put(out, refusal ? SPAN("}") : SPAN(",\"annotations\":[]}"));
    }
    message_end(writer);
    return index;
}

static void put_assistant_group(struct writer *writer, const struct group *group)
{
    const struct part *parts = &writer->prompt->parts[group->part];
    for (uint32_t i = 0; i < group->part_count;) {
        const struct part *part = &parts[i];
        if (part_is_text(part) && !words_none(part->text)) {
            i = put_texts(writer, group, i);
            continue;
        }
        bool thought = part->kind == PART_THINK || part->kind == PART_REDACTED;
        if (thought && is_given_back(writer, group, i))
            put_thought(writer, part);
        else if (part->kind == PART_CALL)
            put_call(writer, part);
        else if (part->kind == PART_RAW || part_is_media(part))
            render_drop_part(writer->render, part);
        i++;
    }
}

// --- the conversation ---

static bool has_breakpoint(const struct writer *writer, uint32_t parts)
{
    for (uint32_t i = 0; i < parts; i++)
        if (breakpoint_of(writer, &writer->prompt->parts[i]).kind == JK_OBJECT)
            return true;
    return false;
}

static uint32_t leading_parts(const struct prompt *prompt)
{
    uint32_t turn = group_first(prompt);
    return turn < prompt->turn_count ? prompt->turns[turn].first : prompt->part_count;
}

void responses_put_input(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct group before = { 0 }, none = { 0 };
    uint32_t turn = group_first(prompt);
    SINK_TEXT(writer->out, ",\"input\":[");
    writer->started = false;
    if (has_breakpoint(writer, leading_parts(prompt)))
        for (uint32_t t = 0; t < turn; t++)
            put_user_turn(writer, &prompt->turns[t]);
    while (turn < prompt->turn_count) {
        struct group group = group_at(prompt, turn);
        if (group.assistant)
            put_assistant_group(writer, &group);
        else
            put_user_group(writer, &group, &before);
        before = group.assistant ? group : none;
        turn += group.turn_count;
    }
    if (render_has_to_go_on(writer->render, &before)) {
        comma(writer);
        SINK_TEXT(writer->out, "{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":"
                               "\"input_text\",\"text\":\"" RENDER_CONTINUE "\"}]}");
    }
    SINK_TEXT(writer->out, "]");
}

// --- instructions ---

static bool says_json(struct words text)
{
    for (size_t i = 0; i + 4 <= text.raw.len; i++)
        if (span_eq_nocase(span_of(text.raw.ptr + i, 4), SPAN("json")))
            return true;
    return false;
}

// The vendor answers in JSON only where the word stands somewhere (C-117). What a longer
// conversation adds is not looked at, so that it begins with the same bytes (C-137).
static bool json_is_said(const struct prompt *prompt)
{
    uint32_t turn = group_first(prompt);
    uint32_t parts = leading_parts(prompt);
    if (turn < prompt->turn_count)
        parts += prompt->turns[turn].count;
    for (uint32_t i = 0; i < parts; i++)
        if (part_is_text(&prompt->parts[i]) && says_json(prompt->parts[i].text))
            return true;
    return false;
}

void responses_put_instructions(struct writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct sink *out = writer->out;
    uint32_t parts = leading_parts(prompt);
    bool json = prompt->format.kind == ANSWER_JSON && !json_is_said(prompt);
    bool any = false;
    if (has_breakpoint(writer, parts)) // marks stand on parts: the texts become messages
        parts = 0;
    for (uint32_t i = 0; i < parts; i++) {
        if (words_none(prompt->parts[i].text))
            continue;
        sink_put(out, any ? SPAN("\\n\\n") : SPAN(",\"instructions\":\""));
        sink_string(out, prompt->parts[i].text);
        any = true;
    }
    if (json) {
        sink_put(out, any ? SPAN("\\n\\n") : SPAN(",\"instructions\":\""));
        SINK_TEXT(out, "Answer with one JSON object and nothing else.");
        loss_adjust(writer->losses, "%s=json_object>instruction", prompt->format.path);
        any = true;
    }
    if (any)
        SINK_TEXT(out, "\"");
}
