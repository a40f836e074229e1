// Gemini generateContent, writing a request. Settings come first and the conversation last, so that
// a longer one begins with the same bytes. The model, and whether to stream, stand in the path.
#include "base64.h"
#include "gemini.h"
#include "gemini_writer.h"
#include "media.h"
#include "render.h"

#include "penstock/base/text.h"
#include "penstock/convert/args.h"
#include "penstock/convert/ids.h"

static void comma(struct gemini_writer *writer)
{
    if (writer->started)
        SINK_TEXT(writer->out, ",");
    writer->started = true;
}

// --- texts and media ---

// The signature that a part goes back with: its own, or the one that came before it on its own.
static void put_part_end(struct gemini_writer *writer, const struct signature *own, bool takes)
{
    const struct signature *put = NULL;
    if (own->maker == MAKER_GEMINI && !words_none(own->text))
        put = own;
    else if (takes && writer->pending != NULL)
        put = &writer->pending->signature;
    if (put != NULL) {
        SINK_TEXT(writer->out, ",\"thoughtSignature\":");
        sink_quoted(writer->out, put->text);
        if (put != own)
            writer->pending = NULL;
    }
    SINK_TEXT(writer->out, "}");
}

static void put_text(struct gemini_writer *writer, const struct part *part)
{
    const struct signature *own = &part->signature;
    const bool is_signed = own->maker == MAKER_GEMINI && !words_none(own->text);
    if (words_none(part->text) && !is_signed) // C-010
        return;
    comma(writer);
    SINK_TEXT(writer->out, "{\"text\":");
    sink_quoted(writer->out, part->text);
    // What signs a call waits for it.
    bool takes = writer->pending != NULL && writer->pending->signature.signs != SIGNS_CALL;
    put_part_end(writer, own, takes);
}

// The type of what an address leads to, by the name it ends with.
static struct span type_of_url(const struct part *part)
{
    static const struct {
        struct span end, type;
    } types[] = {
        { SPAN(".png"), SPAN("image/png") },   { SPAN(".gif"), SPAN("image/gif") },
        { SPAN(".webp"), SPAN("image/webp") }, { SPAN(".heic"), SPAN("image/heic") },
        { SPAN(".mp4"), SPAN("video/mp4") },   { SPAN(".webm"), SPAN("video/webm") },
        { SPAN(".mp3"), SPAN("audio/mp3") },   { SPAN(".wav"), SPAN("audio/wav") },
        { SPAN(".txt"), SPAN("text/plain") },  { SPAN(".pdf"), SPAN("application/pdf") },
    };
    struct span url = span_upto(part->text.raw, span_find(part->text.raw, '?'));
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (url.len > types[i].end.len &&
            span_eq_nocase(span_from(url, url.len - types[i].end.len), types[i].end))
            return types[i].type;
    switch ((enum part_kind)part->kind) {
    case PART_FILE: return SPAN("application/pdf");
    case PART_AUDIO: return SPAN("audio/wav");
    case PART_VIDEO: return SPAN("video/mp4");
    case PART_IMAGE:
    case PART_TEXT:
    case PART_REFUSAL:
    case PART_THINK:
    case PART_REDACTED:
    case PART_CALL:
    case PART_RESULT:
    case PART_SEARCH:
    case PART_RAW: break;
    }
    return SPAN("image/jpeg");
}

static void put_base64(struct sink *out, struct words text)
{
    struct base64 base64;
    SINK_TEXT(out, "\"");
    base64_begin(&base64, out);
    sink_plain(&base64.sink, text);
    base64_end(&base64);
    SINK_TEXT(out, "\"");
}

// How much of a picture is looked at.
static void put_detail(struct gemini_writer *writer, const struct part *part)
{
    char path[LOSS_PATH_MAX];
    bool low = words_are(part->extra, SPAN("low")), high = words_are(part->extra, SPAN("high"));
    if (!low && !high)
        return;
    (void)prompt_path(writer->prompt, part, path);
    if (!writer->caps->signs_calls) {
        loss_drop(writer->losses, "%s.detail", path);
        return;
    }
    sink_put(writer->out, low ? SPAN(",\"mediaResolution\":{\"level\":\"MEDIA_RESOLUTION_LOW\"}")
                              : SPAN(",\"mediaResolution\":{\"level\":\"MEDIA_RESOLUTION_HIGH\"}"));
    loss_adjust(writer->losses, "%s.detail=mediaResolution", path);
}

static void put_media(struct gemini_writer *writer, const struct part *part)
{
    struct sink *out = writer->out;
    if (part->source == MEDIA_FILE_ID) {
        render_refuse_part(writer->render, part,
                           "a file's id is known only to the vendor that gave it");
        return;
    }
    comma(writer);
    if (part->source == MEDIA_URL) {
        SINK_TEXT(out, "{\"fileData\":{\"mimeType\":");
        sink_quoted(out, words_none(part->type) ? words_plain(type_of_url(part)) : part->type);
        SINK_TEXT(out, ",\"fileUri\":");
        sink_quoted(out, part->text);
    } else {
        SINK_TEXT(out, "{\"inlineData\":{\"mimeType\":");
        sink_quoted(out, media_type_is(part->type, SPAN("audio/mpeg"))
                             ? words_plain(SPAN("audio/mp3"))
                             : part->type);
        SINK_TEXT(out, ",\"data\":");
        if (part->source == MEDIA_TEXT)
            put_base64(out, part->text);
        else
            sink_quoted(out, part->text);
    }
    SINK_TEXT(out, "}");
    put_detail(writer, part);
    put_part_end(writer, &part->signature, false);
}

// --- the model's parts ---

// A signature of this vendor's that stands alone waits for the part it belongs to.
static void put_thought(struct gemini_writer *writer, const struct part *part)
{
    const struct signature *own = &part->signature;
    if (own->maker != MAKER_GEMINI) // C-064
        return;
    if (writer->prompt->from == FAMILY_GEMINI) {
        comma(writer);
        SINK_TEXT(writer->out, "{\"text\":");
        sink_quoted(writer->out, part->text);
        SINK_TEXT(writer->out, ",\"thought\":true");
        put_part_end(writer, own, false);
    } else if (!words_none(own->text)) {
        writer->pending = part;
    }
}

// `first`: of a step, which models that sign their calls want signed (C-070).
static void put_call(struct gemini_writer *writer, const struct part *part, bool first)
{
    struct sink *out = writer->out;
    comma(writer);
    SINK_TEXT(out, "{\"functionCall\":{");
    if (writer->caps->call_ids) {
        SINK_TEXT(out, "\"id\":\"");
        id_put_call(out, part->id, FAMILY_GEMINI, 0, 0);
        SINK_TEXT(out, "\",");
    }
    SINK_TEXT(out, "\"name\":\"");
    name_put(out, part->name, FAMILY_GEMINI);
    SINK_TEXT(out, "\",\"args\":");
    if (part->form == CALL_CUSTOM) { // C-040
        SINK_TEXT(out, "{\"input\":");
        sink_quoted(out, part->text);
        SINK_TEXT(out, "}");
    } else if (!args_put_object(out, part->text, writer->render->scratch)) { // C-025
        render_tell_part(writer->render, part, "no_object>_raw");
    }
    SINK_TEXT(out, "}");
    const struct signature *own = &part->signature;
    bool is_signed =
        (own->maker == MAKER_GEMINI && !words_none(own->text)) || writer->pending != NULL;
    if (first && !is_signed && writer->caps->signs_calls)
        SINK_TEXT(out, ",\"thoughtSignature\":\"skip_thought_signature_validator\"");
    put_part_end(writer, own, true);
}

static void put_model_group(struct gemini_writer *writer, const struct group *group)
{
    const struct part *parts = &writer->prompt->parts[group->part];
    bool called = false;
    uint32_t turn = group->turn;
    for (uint32_t i = 0; i < group->part_count; i++) {
        const struct part *part = &parts[i];
        if (part->turn != turn) // several of the client's turns are as many steps
            called = false;
        turn = part->turn;
        if (part_is_text(part)) {
            put_text(writer, part);
        } else if (part->kind == PART_CALL) {
            put_call(writer, part, !called);
            called = true;
        } else if (part->kind == PART_THINK || part->kind == PART_REDACTED) {
            put_thought(writer, part);
        } else if (part->kind == PART_RAW) {
            render_drop_part(writer->render, part);
        } else if (part_is_media(part)) {
            put_media(writer, part);
        }
    }
    if (writer->pending != NULL) {
        comma(writer);
        SINK_TEXT(writer->out, "{\"text\":\"\"");
        put_part_end(writer, &(struct signature){ 0 }, true);
    }
}

// --- results ---

static void put_inner_texts(struct gemini_writer *writer, const struct part *result)
{
    bool any = false;
    SINK_TEXT(writer->out, "\"");
    for (uint32_t i = 0; i < inner_count(writer->prompt, result); i++) {
        const struct part *inner = result + 1 + i;
        if (!part_is_text(inner) && inner->kind != PART_RAW)
            continue;
        if (any)
            SINK_TEXT(writer->out, "\\n");
        any = true;
        if (inner->kind == PART_RAW) { // C-151
            SINK_TEXT(writer->out, "Loaded tool ");
            sink_string(writer->out, inner->name);
        } else {
            sink_string(writer->out, inner->text);
        }
    }
    SINK_TEXT(writer->out, "\"");
}

// Pictures of a result, where the model takes them in it (C-017).
static void put_inner_media(struct gemini_writer *writer, const struct part *result)
{
    bool any = false;
    for (uint32_t i = 0; i < inner_count(writer->prompt, result); i++) {
        if (!part_is_media(result + 1 + i))
            continue;
        if (!any)
            SINK_TEXT(writer->out, ",\"parts\":[");
        writer->started = any;
        put_media(writer, result + 1 + i);
        any = true;
    }
    if (any)
        SINK_TEXT(writer->out, "]");
    writer->started = true;
}

static void put_result(struct gemini_writer *writer, const struct part *call,
                       const struct part *result)
{
    struct sink *out = writer->out;
    comma(writer);
    SINK_TEXT(out, "{\"functionResponse\":{");
    if (writer->caps->call_ids) {
        SINK_TEXT(out, "\"id\":\"");
        id_put_call(out, call->id, FAMILY_GEMINI, 0, 0);
        SINK_TEXT(out, "\",");
    }
    SINK_TEXT(out, "\"name\":\"");
    name_put(out, call->name, FAMILY_GEMINI); // C-029
    if (result == NULL) {                     // C-007
        SINK_TEXT(out, "\",\"response\":{\"error\":\"[no result]\"}}}");
        render_tell_turn(writer->render, call->at, ".tool_calls=no_result");
        return;
    }
    sink_put(out, result->error ? SPAN("\",\"response\":{\"error\":")
                                : SPAN("\",\"response\":{\"output\":"));
    put_inner_texts(writer, result);
    SINK_TEXT(out, "}");
    if (writer->caps->signs_calls)
        put_inner_media(writer, result);
    SINK_TEXT(out, "}}");
}

static void put_stray(struct gemini_writer *writer, const struct part *result)
{
    comma(writer);
    SINK_TEXT(writer->out, "{\"text\":");
    render_put_stray(writer->render, writer->out, result);
    SINK_TEXT(writer->out, "}");
}

// --- turns ---

// As many results as there were calls, in their order and before anything else (C-031).
static void put_user_group(struct gemini_writer *writer, const struct group *group,
                           const struct group *before)
{
    const struct prompt *prompt = writer->prompt;
    for (uint32_t i = 0; i < before->part_count; i++) {
        const struct part *call = &prompt->parts[before->part + i];
        if (call->kind == PART_CALL)
            put_result(writer, call, result_of(prompt, call));
    }
    for (uint32_t i = 0; i < before->part_count && !writer->caps->signs_calls; i++) {
        const struct part *call = &prompt->parts[before->part + i];
        const struct part *result = call->kind == PART_CALL ? result_of(prompt, call) : NULL;
        for (uint32_t k = 0; result != NULL && k < inner_count(prompt, result); k++)
            if (part_is_media(result + 1 + k))
                put_media(writer, result + 1 + k);
    }
    for (uint32_t i = 0; i < group->part_count; i++) {
        const struct part *part = &prompt->parts[group->part + i];
        if (part->inner)
            continue;
        if (part->kind == PART_RESULT) {
            if (call_of(prompt, part) == NULL)
                put_stray(writer, part);
        } else if (prompt->turns[part->turn].role == ROLE_SYSTEM) { // C-002
            comma(writer);
            SINK_TEXT(writer->out, "{\"text\":\"<system>");
            sink_string(writer->out, part->text);
            SINK_TEXT(writer->out, "</system>\"}");
            render_tell_turn(writer->render, part->at, ".role=user");
        } else if (part_is_text(part)) {
            put_text(writer, part);
        } else if (part_is_media(part)) {
            put_media(writer, part);
        } else if (part->kind == PART_RAW) {
            render_drop_part(writer->render, part);
        }
    }
}

static bool has_calls(const struct prompt *prompt, const struct group *group)
{
    for (uint32_t i = 0; i < group->part_count; i++)
        if (prompt->parts[group->part + i].kind == PART_CALL)
            return true;
    return false;
}

// Whether anything of a group would be written.
static bool has_content(const struct gemini_writer *writer, const struct group *group)
{
    for (uint32_t i = 0; i < group->part_count; i++) {
        const struct part *part = &writer->prompt->parts[group->part + i];
        bool own = part->signature.maker == MAKER_GEMINI && !words_none(part->signature.text);
        bool thought = part->kind == PART_THINK || part->kind == PART_REDACTED;
        bool again = thought && part->signature.maker == MAKER_GEMINI &&
                     writer->prompt->from == FAMILY_GEMINI;
        bool empty = part_is_text(part) ? words_none(part->text) : thought;
        if (!part->inner && part->kind != PART_RAW && (!empty || own || again))
            return true;
    }
    return false;
}

// Parts of the system's turns at the beginning.
static uint32_t system_parts(const struct prompt *prompt)
{
    uint32_t end = group_first(prompt);
    return end < prompt->turn_count ? prompt->turns[end].first : prompt->part_count;
}

// Models that have no place for the system's text hear it from the user, before anything else
// (C-128).
static void put_system_text(struct gemini_writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    const uint32_t parts = writer->caps->no_system ? system_parts(prompt) : 0;
    bool any = false;
    for (uint32_t i = 0; i < parts; i++) {
        if (words_none(prompt->parts[i].text))
            continue;
        if (!any)
            comma(writer);
        sink_put(writer->out, any ? SPAN("\\n\\n") : SPAN("{\"text\":\""));
        any = true;
        sink_string(writer->out, prompt->parts[i].text);
    }
    if (!any)
        return;
    SINK_TEXT(writer->out, "\\n\\n\"}");
    loss_adjust(writer->losses, "%s=user_text",
                prompt->from == FAMILY_OPENAI      ? "messages[0].role"
                : prompt->from == FAMILY_RESPONSES ? "instructions"
                : prompt->from == FAMILY_ANTHROPIC ? "system"
                                                   : "systemInstruction");
}

static void begin_content(struct gemini_writer *writer, bool model)
{
    const bool first = !writer->spoken;
    if (!first)
        SINK_TEXT(writer->out, ",");
    writer->spoken = true;
    sink_put(writer->out, model ? SPAN("{\"role\":\"model\",\"parts\":[")
                                : SPAN("{\"role\":\"user\",\"parts\":["));
    writer->started = false;
    if (first)
        put_system_text(writer);
}

// A turn of the user's that the client did not write.
static void put_note_content(struct gemini_writer *writer, struct span text)
{
    begin_content(writer, false);
    comma(writer);
    SINK_TEXT(writer->out, "{\"text\":\"");
    sink_put(writer->out, text);
    SINK_TEXT(writer->out, "\"}]}");
}

static void put_content(struct gemini_writer *writer, const struct group *group,
                        const struct group *before)
{
    bool results = !group->assistant && has_calls(writer->prompt, before);
    if (!results && !has_content(writer, group))
        return;
    if (group->assistant && !writer->spoken) { // C-011
        put_note_content(writer, SPAN("."));
        loss_adjust(writer->losses, "%s=user_turn_first", prompt_list(writer->prompt));
    }
    begin_content(writer, group->assistant);
    if (group->assistant)
        put_model_group(writer, group);
    else
        put_user_group(writer, group, before);
    SINK_TEXT(writer->out, "]}");
}

static void put_contents(struct gemini_writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    struct group before = { 0 }, none = { 0 };
    SINK_TEXT(writer->out, ",\"contents\":[");
    for (uint32_t turn = group_first(prompt); turn < prompt->turn_count;) {
        struct group group = group_at(prompt, turn);
        put_content(writer, &group, &before);
        before = group.assistant ? group : none;
        turn += group.turn_count;
    }
    if (!writer->spoken) { // C-019
        if (group_first(prompt) == 0)
            loss_refuse(writer->losses, "at least one message is required", "%s",
                        prompt_list(prompt));
        put_note_content(writer, SPAN("."));
        loss_adjust(writer->losses, "%s=user_turn_first", prompt_list(prompt));
    } else if (render_has_to_go_on(writer->render, &before)) {
        put_note_content(writer, SPAN(RENDER_CONTINUE));
    }
    SINK_TEXT(writer->out, "]");
}

static void put_system(struct gemini_writer *writer)
{
    const struct prompt *prompt = writer->prompt;
    const uint32_t parts = writer->caps->no_system ? 0 : system_parts(prompt);
    writer->started = false;
    for (uint32_t i = 0; i < parts; i++) {
        if (words_none(prompt->parts[i].text))
            continue;
        if (!writer->started)
            SINK_TEXT(writer->out, ",\"systemInstruction\":{\"parts\":[");
        comma(writer);
        SINK_TEXT(writer->out, "{\"text\":");
        sink_quoted(writer->out, prompt->parts[i].text);
        SINK_TEXT(writer->out, "}");
    }
    if (writer->schema_in_text) { // C-119
        if (!writer->started)
            SINK_TEXT(writer->out, ",\"systemInstruction\":{\"parts\":[");
        comma(writer);
        SINK_TEXT(writer->out, "{\"text\":\"Answer with one JSON object and nothing else.");
        if (prompt->format.schema.kind == JK_OBJECT) {
            SINK_TEXT(writer->out, " It has to match this JSON Schema:\\n");
            sink_string(writer->out, words_plain(prompt->format.schema.text));
        }
        SINK_TEXT(writer->out, "\"}");
    }
    if (writer->started)
        SINK_TEXT(writer->out, "]}");
}

bool gemini_render(struct render *render, struct sink *out)
{
    if (!pairs_link(render))
        return false;
    struct gemini_writer writer = { .render = render,
                                    .prompt = render->prompt,
                                    .caps = render->caps,
                                    .losses = render->losses,
                                    .out = out };
    SINK_TEXT(out, "{");
    gemini_put_settings(&writer);
    put_system(&writer);
    put_contents(&writer);
    SINK_TEXT(out, "}");
    return !render->losses->refused && !out->failed;
}
