// Gemini generateContent, reading a request's conversation.
#include "base64.h"
#include "compact.h"
#include "gemini.h"
#include "media.h"

#include "penstock/base/text.h"
#include "penstock/convert/ids.h"

// --- media ---

static enum part_kind media_kind(struct words type)
{
    if (media_type_is(type, SPAN("image/")))
        return PART_IMAGE;
    if (media_type_is(type, SPAN("audio/")))
        return PART_AUDIO;
    return media_type_is(type, SPAN("video/")) ? PART_VIDEO : PART_FILE;
}

static struct part *read_data(struct prompt_parse *parse, struct json_slice data, uint32_t at,
                              uint32_t sub)
{
    struct words said = words_of(gemini_field(data, SPAN("mimeType")));
    struct words text = base64_standard(words_of(gemini_field(data, SPAN("data"))), parse->scratch);
    if (words_none(text) || words_none(said)) {
        prompt_bad(parse, "data has a mimeType and is base64", "contents[%u].parts[%u].inlineData",
                   at, sub);
        return NULL;
    }
    struct words type = media_type(text, said);
    struct part *part = prompt_part(parse, media_kind(type), at, sub);
    if (part == NULL)
        return NULL;
    part->source = MEDIA_DATA;
    part->text = text;
    part->type = type;
    part->title = words_of(gemini_field(data, SPAN("displayName")));
    if (!media_type_is(type, SPAN("text/")))
        return part;
    struct span plain = base64_read(text, parse->scratch);
    if (plain.ptr == NULL || !span_is_utf8(plain)) {
        prompt_bad(parse, "this is no text", "contents[%u].parts[%u].inlineData.data", at, sub);
        return NULL;
    }
    part->source = MEDIA_TEXT;
    part->text = words_plain(plain);
    part->type = words_plain(SPAN("text/plain"));
    return part;
}

// True for addresses that only their own vendor can read.
static bool is_own_file(struct span uri)
{
    return !(span_starts(uri, SPAN("https://")) || span_starts(uri, SPAN("http://"))) ||
           span_starts(uri, SPAN("https://generativelanguage.googleapis.com/"));
}

static bool is_video_page(struct span uri)
{
    return span_starts(uri, SPAN("https://www.youtube.com/")) ||
           span_starts(uri, SPAN("https://youtube.com/")) ||
           span_starts(uri, SPAN("https://youtu.be/"));
}

static struct part *read_uri(struct prompt_parse *parse, struct json_slice file, uint32_t at,
                             uint32_t sub)
{
    char room[512];
    struct words uri = words_of(gemini_field(file, SPAN("fileUri")));
    struct words type = words_of(gemini_field(file, SPAN("mimeType")));
    if (words_none(uri)) {
        prompt_bad(parse, "a file has an address", "contents[%u].parts[%u].fileData.fileUri", at,
                   sub);
        return NULL;
    }
    struct span text = words_view(uri, room, sizeof(room));
    if (text.ptr == NULL)
        text = uri.raw;
    enum part_kind kind = media_kind(type);
    if (is_video_page(text))
        kind = PART_VIDEO;
    else if (words_none(type) &&
             !(text.len > 4 && span_eq_nocase(span_from(text, text.len - 4), SPAN(".pdf"))))
        kind = PART_IMAGE;
    struct part *part = prompt_part(parse, kind, at, sub);
    if (part == NULL)
        return NULL;
    part->source = is_own_file(text) ? MEDIA_FILE_ID : MEDIA_URL;
    part->text = uri;
    part->type = type;
    part->title = words_of(gemini_field(file, SPAN("displayName")));
    return part;
}

// --- calls and results ---

static struct words made_id(struct prompt_parse *parse, uint32_t at, uint32_t number)
{
    enum { ROOM = 32 };
    char *room = scratch_take(parse->scratch, ROOM);
    if (room == NULL) {
        parse->err = ERR(OVERLOADED);
        return WORDS_NONE;
    }
    // The same in each later request, as long as the history is (C-027).
    return words_plain(span_of(room, fit_printf(room, ROOM, "call_t%u_%u", at, number)));
}

static struct words compact(struct prompt_parse *parse, struct json_slice value)
{
    struct span text = compact_text(value.text, parse->scratch);
    if (text.ptr == NULL && !failed(parse->err))
        parse->err = ERR(OVERLOADED);
    return words_plain(text);
}

static struct part *read_call(struct prompt_parse *parse, struct json_slice call, uint32_t at,
                              uint32_t sub)
{
    struct prompt *prompt = parse->prompt;
    const struct turn *turn = &prompt->turns[prompt->turn_count - 1];
    struct words name = words_of(json_get(call, SPAN("name")));
    if (words_none(name) || turn->role != ROLE_ASSISTANT) {
        prompt_bad(parse, "a call has a name and is the model's",
                   "contents[%u].parts[%u].functionCall", at, sub);
        return NULL;
    }
    uint32_t number = 0;
    for (uint32_t i = turn->first; i < prompt->part_count; i++)
        number += prompt->parts[i].kind == PART_CALL && prompt->parts[i].at == at;
    struct part *part = prompt_part(parse, PART_CALL, at, sub);
    if (part == NULL)
        return NULL;
    struct json_slice args = json_get(call, SPAN("args"));
    struct words id = words_of(json_get(call, SPAN("id")));
    part->name = name;
    part->id = words_none(id) ? made_id(parse, at, number) : id;
    part->object = true;
    part->text = args.kind == JK_OBJECT ? compact(parse, args) : words_plain(SPAN("{}"));
    return part;
}

// True if a result behind `from` answers the call.
static bool is_answered(const struct prompt *prompt, const struct part *call, uint32_t from)
{
    for (uint32_t i = from; i < prompt->part_count; i++)
        if (prompt->parts[i].kind == PART_RESULT && words_eq(prompt->parts[i].id, call->id))
            return true;
    return false;
}

// The call that a result answers: by its id, else by name and order (C-027). A result that comes
// again answers the last one again.
static const struct part *answered_call(const struct prompt *prompt, struct words id,
                                        struct words name)
{
    uint32_t end = prompt->turn_count;
    while (end > 0 && prompt->turns[end - 1].role != ROLE_ASSISTANT)
        end--;
    uint32_t begin = end;
    while (begin > 0 && prompt->turns[begin - 1].role == ROLE_ASSISTANT)
        begin--;
    if (end == 0)
        return NULL;
    const uint32_t first = prompt->turns[begin].first;
    const uint32_t last = end < prompt->turn_count ? prompt->turns[end].first : prompt->part_count;
    const struct part *found = NULL, *named = NULL;
    for (uint32_t i = first; i < last; i++) {
        const struct part *part = &prompt->parts[i];
        if (part->kind != PART_CALL)
            continue;
        if (!words_none(id) && words_eq(part->id, id))
            return part;
        if (!words_eq(part->name, name))
            continue;
        named = part;
        if (found == NULL && !is_answered(prompt, part, last))
            found = part;
    }
    return found != NULL ? found : named;
}

// What a result says, without the object around it where that has only one text (C-030).
static struct words result_text(struct prompt_parse *parse, struct json_slice response, bool *error)
{
    static const struct span wraps[] = { SPAN("output"), SPAN("result"), SPAN("content"),
                                         SPAN("error") };
    struct json_iter iter = json_members_of(response);
    struct span key;
    struct json_slice value, only = JSON_SLICE_NONE;
    unsigned count = 0;
    while (json_member_next(&iter, &key, &value)) {
        *error |= json_key_is(key, SPAN("error"));
        for (size_t i = 0; i < ARRAY_LEN(wraps); i++)
            if (json_key_is(key, wraps[i]))
                only = value;
        count++;
    }
    if (response.kind == JK_STRING)
        return words_of(response);
    if (count == 1 && only.kind == JK_STRING)
        return words_of(only);
    return compact(parse, count == 1 && *error ? only : response);
}

static struct part *read_result(struct prompt_parse *parse, struct json_slice result, uint32_t at,
                                uint32_t sub)
{
    struct prompt *prompt = parse->prompt;
    struct words name = words_of(json_get(result, SPAN("name")));
    struct words id = words_of(json_get(result, SPAN("id")));
    struct json_slice response = json_get(result, SPAN("response"));
    if ((words_none(name) && words_none(id)) ||
        prompt->turns[prompt->turn_count - 1].role != ROLE_USER) {
        prompt_bad(parse, "a result has the name of its call and is the user's",
                   "contents[%u].parts[%u].functionResponse", at, sub);
        return NULL;
    }
    const struct part *call = answered_call(prompt, id, name);
    id = call != NULL ? call->id : words_none(id) ? name : id;
    uint32_t index = prompt->part_count;
    struct part *part = prompt_part(parse, PART_RESULT, at, sub);
    if (part == NULL)
        return NULL;
    part->id = id;
    part->name = name;
    bool error = false;
    struct words text = gemini_is_set(response) ? result_text(parse, response, &error) : WORDS_NONE;
    part->error = error;
    struct part *inner = prompt_part(parse, PART_TEXT, at, sub);
    if (inner == NULL)
        return NULL;
    inner->inner = true;
    inner->text = text;
    struct json_iter iter = json_elements_of(gemini_field(result, SPAN("parts")));
    struct json_slice value;
    while (json_element_next(&iter, &value) && !failed(parse->err)) {
        struct json_slice data = gemini_field(value, SPAN("inlineData"));
        struct json_slice file = gemini_field(value, SPAN("fileData"));
        inner = data.kind == JK_OBJECT   ? read_data(parse, data, at, sub)
                : file.kind == JK_OBJECT ? read_uri(parse, file, at, sub)
                                         : NULL;
        if (inner != NULL)
            inner->inner = true;
        else if (!failed(parse->err))
            loss_drop(parse->losses, "contents[%u].parts[%u].functionResponse.parts", at, sub);
    }
    return failed(parse->err) ? NULL : &prompt->parts[index];
}

// --- thoughts ---

// A part in the middle of the newest turn.
static struct part *insert_part(struct prompt_parse *parse, enum part_kind kind, uint32_t index,
                                uint32_t at, uint32_t sub)
{
    struct part *part = prompt_part(parse, kind, at, sub);
    if (part == NULL)
        return NULL;
    struct part *parts = parse->prompt->parts, made = *part;
    memmove(&parts[index + 1], &parts[index],
            (parse->prompt->part_count - 1 - index) * sizeof(*parts));
    parts[index] = made;
    return &parts[index];
}

// Another vendor's thought, whose signature came back on a part that followed it. It goes back to
// its place: where its text still stands, else to the beginning of its step.
static void place_thought(struct prompt_parse *parse, const struct signature *signature,
                          enum part_kind kind, uint32_t at, uint32_t sub)
{
    struct prompt *prompt = parse->prompt;
    uint32_t index = prompt->turns[prompt->turn_count - 1].first;
    for (uint32_t i = prompt->part_count; i > index; i--) {
        struct part *part = &prompt->parts[i - 1];
        if (part->kind == PART_CALL) {
            index = i;
            break;
        }
        if (kind == PART_THINK && part->kind == PART_THINK && words_none(part->signature.text) &&
            words_eq(part->text, signature->thought)) {
            part->signature = *signature;
            return;
        }
    }
    while (index < prompt->part_count &&
           (prompt->parts[index].kind == PART_THINK || prompt->parts[index].kind == PART_REDACTED))
        index++; // behind what was placed there before
    struct part *part = insert_part(parse, kind, index, at, sub);
    if (part == NULL)
        return;
    part->text = signature->thought;
    part->signature = *signature;
}

// Looks at a part's signature. True: it is the vendor's own, for the part itself.
static bool read_signature(struct prompt_parse *parse, struct json_slice value,
                           struct signature *out, uint32_t at, uint32_t sub)
{
    enum envelope_kind kind;
    struct prompt *prompt = parse->prompt;
    if (words_none(words_of(value)) ||
        !gemini_read_signature(words_of(value), parse->key, parse->account, parse->scratch, out,
                               &kind))
        return false; // none, or nobody's: it is left out (C-064)
    if (out->maker == MAKER_GEMINI)
        return true;
    out->signs = kind == ENVELOPE_CALL ? SIGNS_CALL : SIGNS_THOUGHT;
    if ((!words_none(out->text) || !words_none(out->thought)) &&
        prompt->turns[prompt->turn_count - 1].role == ROLE_ASSISTANT)
        place_thought(parse, out, kind == ENVELOPE_REDACTED ? PART_REDACTED : PART_THINK, at, sub);
    return false;
}

static struct part *read_text(struct prompt_parse *parse, struct json_slice value, bool thought,
                              uint32_t at, uint32_t sub)
{
    struct words text = words_of(value);
    if (value.kind != JK_STRING) {
        prompt_bad(parse, "this is a text", "contents[%u].parts[%u].text", at, sub);
        return NULL;
    }
    struct part *part = prompt_part(parse, thought ? PART_THINK : PART_TEXT, at, sub);
    if (part == NULL)
        return NULL;
    part->text = text;
    if (thought)
        part->signature.maker = MAKER_GEMINI;
    return part;
}

// Code that the vendor ran, and what came out, as text that others can read.
static struct part *read_code(struct prompt_parse *parse, struct words text, struct span head,
                              uint32_t at, uint32_t sub)
{
    const struct span tail = SPAN("\\n```");
    char *room = scratch_take(parse->scratch, head.len + text.raw.len + tail.len);
    struct part *part = prompt_part(parse, PART_TEXT, at, sub);
    if (room == NULL && !failed(parse->err))
        parse->err = ERR(OVERLOADED);
    if (part == NULL || room == NULL)
        return NULL;
    struct sink sink = sink_into(room, head.len + text.raw.len + tail.len);
    sink_put(&sink, head);
    sink_put(&sink, text.raw);
    sink_put(&sink, tail);
    part->text = (struct words){ .raw = span_of(room, (size_t)(sink.at - room)), .escaped = true };
    loss_adjust(parse->losses, "contents[%u].parts[%u]=text", at, sub);
    return part;
}

// --- pieces ---

static bool is_piece(const struct part *part)
{
    return (part->kind == PART_TEXT || part->kind == PART_THINK) && !part->inner &&
           words_none(part->signature.text) && json_get(part->raw, SPAN("text")).kind == JK_STRING;
}

// Clients keep a stream as it came, a part a chunk: what was one text becomes one again.
static void join_pieces(struct prompt_parse *parse)
{
    struct prompt *prompt = parse->prompt;
    struct turn *turn = &prompt->turns[prompt->turn_count - 1];
    uint32_t first = prompt->part_count;
    size_t len = 0;
    if (turn->role != ROLE_ASSISTANT)
        return;
    for (; first > turn->first; first--) {
        const struct part *part = &prompt->parts[first - 1];
        if (!is_piece(part) || part->kind != prompt->parts[prompt->part_count - 1].kind)
            break;
        len += part->text.raw.len;
    }
    if (prompt->part_count - first < 2)
        return;
    char *room = scratch_take(parse->scratch, len);
    if (room == NULL) {
        if (!failed(parse->err))
            parse->err = ERR(OVERLOADED);
        return;
    }
    struct sink sink = sink_into(room, len);
    for (uint32_t i = first; i < prompt->part_count; i++)
        sink_put(&sink, prompt->parts[i].text.raw);
    prompt->parts[first].text = (struct words){ .raw = span_of(room, len), .escaped = true };
    prompt->part_count = first + 1;
    turn->count = prompt->part_count - turn->first;
}

// A part comes that is of this kind, or of any other (PART_RAW).
static void before_part(struct prompt_parse *parse, enum part_kind kind)
{
    const struct prompt *prompt = parse->prompt;
    const struct turn *turn = &prompt->turns[prompt->turn_count - 1];
    if (prompt->part_count > turn->first &&
        prompt->parts[prompt->part_count - 1].kind != (uint8_t)kind)
        join_pieces(parse);
}

// --- parts ---

enum part_field {
    PF_TEXT,
    PF_THOUGHT,
    PF_SIGNATURE,
    PF_CALL,
    PF_RESULT,
    PF_DATA,
    PF_FILE,
    PF_CODE,
    PF_CODE_RESULT,
    PF_LOST, // from here on: no other vendor has them
    PF_COUNT = PF_LOST + 7
};

static const struct span part_fields[PF_COUNT] = {
    [PF_TEXT] = SPAN("text"),
    [PF_THOUGHT] = SPAN("thought"),
    [PF_SIGNATURE] = SPAN("thoughtSignature"),
    [PF_CALL] = SPAN("functionCall"),
    [PF_RESULT] = SPAN("functionResponse"),
    [PF_DATA] = SPAN("inlineData"),
    [PF_FILE] = SPAN("fileData"),
    [PF_CODE] = SPAN("executableCode"),
    [PF_CODE_RESULT] = SPAN("codeExecutionResult"),
    [PF_LOST] = SPAN("toolCall"),
    SPAN("toolResponse"),
    SPAN("videoMetadata"),
    SPAN("mediaResolution"),
    SPAN("mediaProcessing"),
    SPAN("partMetadata"),
    SPAN("audioTranscription"),
};

static void pick_fields(struct prompt_parse *parse, struct json_slice value,
                        struct json_slice found[PF_COUNT], uint32_t at, uint32_t sub)
{
    struct json_iter iter = json_members_of(value);
    struct span key;
    struct json_slice member;
    for (unsigned i = 0; i < PF_COUNT; i++)
        found[i] = JSON_SLICE_NONE;
    while (json_member_next(&iter, &key, &member)) {
        unsigned i = 0;
        while (i < PF_COUNT && !gemini_key_is(key, part_fields[i]))
            i++;
        if (i == PF_COUNT || i >= PF_LOST) {
            if (gemini_is_set(member))
                loss_drop(parse->losses, "contents[%u].parts[%u].%.*s", at, sub,
                          (int)min_size(key.len, 64), key.ptr);
            if (i == PF_COUNT)
                continue;
        }
        if (!gemini_is_repeated(value, key, part_fields[i]))
            found[i] = member;
    }
}

static void read_part(struct prompt_parse *parse, struct json_slice value, uint32_t at,
                      uint32_t sub)
{
    struct json_slice found[PF_COUNT];
    struct signature signature = { 0 };
    pick_fields(parse, value, found, at, sub);
    bool thought = found[PF_THOUGHT].kind == JK_TRUE;
    bool piece = found[PF_TEXT].kind == JK_STRING && !gemini_is_set(found[PF_SIGNATURE]);
    before_part(parse, !piece ? PART_RAW : thought ? PART_THINK : PART_TEXT);
    bool own = read_signature(parse, found[PF_SIGNATURE], &signature, at, sub);
    struct part *part = NULL;
    if (found[PF_CALL].kind == JK_OBJECT) {
        part = read_call(parse, found[PF_CALL], at, sub);
    } else if (found[PF_RESULT].kind == JK_OBJECT) {
        part = read_result(parse, found[PF_RESULT], at, sub);
    } else if (found[PF_DATA].kind == JK_OBJECT) {
        part = read_data(parse, found[PF_DATA], at, sub);
    } else if (found[PF_FILE].kind == JK_OBJECT) {
        part = read_uri(parse, found[PF_FILE], at, sub);
    } else if (found[PF_CODE].kind == JK_OBJECT) {
        part = read_code(parse, words_of(json_get(found[PF_CODE], SPAN("code"))),
                         SPAN("```python\\n"), at, sub);
    } else if (found[PF_CODE_RESULT].kind == JK_OBJECT) {
        part = read_code(parse, words_of(json_get(found[PF_CODE_RESULT], SPAN("output"))),
                         SPAN("```\\n"), at, sub);
    } else if (gemini_is_set(found[PF_TEXT])) {
        bool empty = found[PF_TEXT].kind == JK_STRING && words_none(words_of(found[PF_TEXT]));
        if (!empty || own) // C-010
            part = read_text(parse, found[PF_TEXT], thought, at, sub);
    } else if (!own && !gemini_is_set(found[PF_SIGNATURE])) {
        bool lost = false;
        for (unsigned i = PF_LOST; i < PF_COUNT; i++)
            lost |= gemini_is_set(found[i]);
        if (!lost)
            prompt_bad(parse, "this kind of part is not known", "contents[%u].parts[%u]", at, sub);
    }
    if (part == NULL || failed(parse->err))
        return;
    part->raw = value;
    if (!own)
        return;
    part->signature = signature;
    part->signature.signs = part->kind == PART_CALL    ? SIGNS_CALL
                            : part->kind == PART_THINK ? SIGNS_THOUGHT
                                                       : SIGNS_TEXT;
}

// --- contents ---

static void read_parts(struct prompt_parse *parse, struct json_slice parts, uint32_t at)
{
    struct json_slice part;
    if (gemini_is_set(parts) && parts.kind != JK_ARRAY) {
        prompt_bad(parse, "parts are a list", "contents[%u].parts", at);
        return;
    }
    struct json_iter iter = json_elements_of(parts);
    for (uint32_t sub = 0; json_element_next(&iter, &part) && !failed(parse->err); sub++)
        read_part(parse, part, at, sub);
}

static void read_content(struct prompt_parse *parse, struct json_slice content, uint32_t at)
{
    enum { ROLE, PARTS, COUNT };
    static const struct span names[COUNT] = { SPAN("role"), SPAN("parts") };
    struct json_slice found[COUNT];
    json_get_all(content, names, found, COUNT);
    struct json_slice role = found[ROLE];
    bool model = json_string_is(role, SPAN("model"));
    bool user = !gemini_is_set(role) || words_none(words_of(role)) ||
                json_string_is(role, SPAN("user")) || json_string_is(role, SPAN("function"));
    if (content.kind != JK_OBJECT || (!model && !user)) {
        prompt_bad(parse, "a role is user or model", "contents[%u].role", at);
        return;
    }
    const struct prompt *prompt = parse->prompt;
    // Several of the model's in a row are one answer, kept chunk by chunk.
    if (model && prompt->turn_count > 0 &&
        prompt->turns[prompt->turn_count - 1].role == ROLE_ASSISTANT) {
        read_parts(parse, found[PARTS], at);
        return;
    }
    if (prompt->turn_count > 0)
        join_pieces(parse);
    if (prompt_turn(parse, model ? ROLE_ASSISTANT : ROLE_USER, at) != NULL)
        read_parts(parse, found[PARTS], at);
}

void gemini_read_contents(struct prompt_parse *parse, struct json_slice contents)
{
    struct json_iter iter = json_elements_of(contents);
    struct json_slice content;
    if (contents.kind == JK_OBJECT)
        read_content(parse, contents, 0);
    for (uint32_t at = 0; json_element_next(&iter, &content) && !failed(parse->err); at++)
        read_content(parse, content, at);
    if (parse->prompt->turn_count > 0 && !failed(parse->err))
        join_pieces(parse);
}

void gemini_read_system(struct prompt_parse *parse, struct json_slice system)
{
    struct json_iter iter = json_elements_of(json_get(system, SPAN("parts")));
    struct json_slice part = system;
    bool more = system.kind == JK_STRING || json_element_next(&iter, &part);
    if (!more || prompt_turn(parse, ROLE_SYSTEM, 0) == NULL)
        return;
    for (uint32_t sub = 0; more && !failed(parse->err); sub++) {
        struct json_slice text = part.kind == JK_STRING ? part : json_get(part, SPAN("text"));
        if (text.kind != JK_STRING) {
            prompt_bad(parse, "this is text", "systemInstruction.parts[%u]", sub);
            return;
        }
        struct part *made = prompt_part(parse, PART_TEXT, 0, sub);
        if (made != NULL)
            made->text = words_of(text);
        more = system.kind == JK_OBJECT && json_element_next(&iter, &part);
    }
}
