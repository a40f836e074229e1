// OpenAI Chat Completions: what streams and whole answers share.
#include "chat.h"
#include "media.h"

const struct converter converter_chat = {
    .family = FAMILY_OPENAI,
    .shows_thoughts = true,
    .parse = chat_parse,
    .render = chat_render,
    .decode_event = chat_decode_event,
    .decode_end = chat_decode_end,
    .encode_start = chat_encode_start,
    .encode_delta = chat_encode_delta,
    .encode_end = chat_encode_end,
    .read_whole = chat_read_whole,
    .write_whole = chat_write_whole,
};

enum finish chat_finish(struct json_slice reason, bool *broken)
{
    static const struct {
        struct span word;
        enum finish finish;
    } words[] = {
        { SPAN("stop"), FINISH_STOP },
        { SPAN("tool_calls"), FINISH_CALLS },
        { SPAN("length"), FINISH_LENGTH },
        { SPAN("content_filter"), FINISH_FILTERED },
        { SPAN("function_call"), FINISH_CALLS },
        // Other servers' words.
        { SPAN("eos"), FINISH_STOP },
        { SPAN("end_turn"), FINISH_STOP },
        { SPAN("complete"), FINISH_STOP },
        { SPAN("stop_sequence"), FINISH_STOP_TEXT },
        { SPAN("tool_use"), FINISH_CALLS },
        { SPAN("max_tokens"), FINISH_LENGTH },
        { SPAN("max_output_tokens"), FINISH_LENGTH },
        { SPAN("model_length"), FINISH_LENGTH },
        { SPAN("sensitive"), FINISH_FILTERED },
        { SPAN("safety"), FINISH_FILTERED },
        { SPAN("blocked"), FINISH_FILTERED },
    };
    *broken = json_string_is(reason, SPAN("error")) ||
              json_string_is(reason, SPAN("insufficient_system_resource"));
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (json_string_is(reason, words[i].word))
            return words[i].finish;
    return FINISH_STOP;
}

struct span chat_finish_word(enum finish finish)
{
    switch (finish) {
    case FINISH_STOP:
    case FINISH_STOP_TEXT:
    case FINISH_PAUSE: return SPAN("stop");
    case FINISH_CALLS: return SPAN("tool_calls");
    case FINISH_LENGTH:
    case FINISH_CONTEXT: return SPAN("length");
    case FINISH_FILTERED: return SPAN("content_filter");
    case FINISH_REFUSAL: return SPAN("stop");
    }
    return SPAN("stop");
}

struct chat_message chat_message(struct json_slice object)
{
    static const struct span names[CHAT_MEMBER_COUNT] = {
        [CHAT_CONTENT] = SPAN("content"),
        [CHAT_REFUSAL] = SPAN("refusal"),
        [CHAT_TOOL_CALLS] = SPAN("tool_calls"),
        [CHAT_FUNCTION_CALL] = SPAN("function_call"),
        [CHAT_REASONING_CONTENT] = SPAN("reasoning_content"),
        [CHAT_REASONING] = SPAN("reasoning"),
        [CHAT_REASONING_DETAILS] = SPAN("reasoning_details"),
        [CHAT_IMAGES] = SPAN("images"),
        [CHAT_ANNOTATIONS] = SPAN("annotations"),
    };
    struct chat_message message uninitialized;
    json_get_all(object, names, message.of, CHAT_MEMBER_COUNT);
    return message;
}

struct json_slice chat_thought(const struct chat_message *message, bool told)
{
    static const enum chat_member places[] = { CHAT_REASONING_CONTENT, CHAT_REASONING };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct json_slice text = message->of[places[i]];
        if (text.kind == JK_STRING && json_string_raw(text).len > 0)
            return text;
    }
    enum { SIGNATURE, TEXT, SUMMARY, COUNT };
    static const struct span names[COUNT] = { SPAN("signature"), SPAN("text"), SPAN("summary") };
    struct json_iter iter = json_elements_of(message->of[CHAT_REASONING_DETAILS]);
    struct json_slice detail, found[COUNT];
    while (json_element_next(&iter, &detail)) {
        json_get_all(detail, names, found, COUNT);
        if (told && found[SIGNATURE].kind == JK_STRING)
            continue;
        struct json_slice text = found[TEXT].kind == JK_STRING ? found[TEXT] : found[SUMMARY];
        if (text.kind == JK_STRING && json_string_raw(text).len > 0)
            return text;
    }
    return JSON_SLICE_NONE;
}

bool chat_detail_signature(struct json_slice detail, struct signature *out)
{
    enum { SIGNATURE, DATA, ID, FORMAT, COUNT };
    static const struct span names[COUNT] = { SPAN("signature"), SPAN("data"), SPAN("id"),
                                              SPAN("format") };
    struct json_slice found[COUNT];
    json_get_all(detail, names, found, COUNT);
    struct json_slice text = found[found[SIGNATURE].kind == JK_STRING ? SIGNATURE : DATA];
    *out = (struct signature){ .text = words_of(text), .maker = MAKER_CHAT };
    out->id = words_of(found[ID]);
    struct json_slice format = found[FORMAT];
    if (json_string_is(format, SPAN("anthropic-claude-v1")))
        out->maker = MAKER_ANTHROPIC;
    else if (json_string_is(format, SPAN("openai-responses-v1")))
        out->maker = MAKER_RESPONSES;
    else if (json_string_is(format, SPAN("google-gemini-v1")))
        out->maker = MAKER_GEMINI;
    return !words_none(out->text);
}

bool chat_detail_is_redacted(struct json_slice detail, const struct signature *signature)
{
    return signature->maker == MAKER_ANTHROPIC &&
           json_get(detail, SPAN("signature")).kind != JK_STRING;
}

bool chat_image(struct json_slice image, struct delta *out)
{
    struct words url = words_of(json_get(json_get(image, SPAN("image_url")), SPAN("url")));
    struct part part = { .kind = PART_IMAGE };
    *out = (struct delta){ .kind = DELTA_MEDIA };
    if (!media_from_url(&part, url, NULL) || part.source != MEDIA_DATA)
        return false;
    out->text = part.text;
    out->type = part.type;
    return true;
}

bool chat_cite(struct json_slice annotation, struct delta *out)
{
    enum { URL, TITLE, START, END, COUNT };
    static const struct span names[COUNT] = { SPAN("url"), SPAN("title"), SPAN("start_index"),
                                              SPAN("end_index") };
    struct json_slice found[COUNT];
    json_get_all(json_get(annotation, SPAN("url_citation")), names, found, COUNT);
    struct words url = words_of(found[URL]);
    if (words_none(url))
        return false;
    *out = (struct delta){ .kind = DELTA_CITE, .raw = annotation };
    out->cite.url = url;
    out->cite.title = words_of(found[TITLE]);
    out->cite.placed =
        json_u64(found[START], &out->cite.from) && json_u64(found[END], &out->cite.to);
    return true;
}

void chat_put_usage(struct sink *out, const struct usage *usage)
{
    uint64_t written = usage->cache_write_5m + usage->cache_write_1h;
    uint64_t input = usage->input_uncached + usage->cache_read + written;
    SINK_TEXT(out, "{\"prompt_tokens\":");
    sink_u64(out, input);
    SINK_TEXT(out, ",\"completion_tokens\":");
    sink_u64(out, usage->output);
    SINK_TEXT(out, ",\"total_tokens\":");
    sink_u64(out, input + usage->output);
    SINK_TEXT(out, ",\"prompt_tokens_details\":{\"cached_tokens\":");
    sink_u64(out, usage->cache_read);
    SINK_TEXT(out, ",\"cache_write_tokens\":");
    sink_u64(out, written);
    SINK_TEXT(out, "},\"completion_tokens_details\":{");
    if (usage->reasoning > 0) { // what is not known is left out (C-057)
        SINK_TEXT(out, "\"reasoning_tokens\":");
        sink_u64(out, usage->reasoning);
    }
    SINK_TEXT(out, "}}");
}

static struct span format_of(enum maker maker)
{
    switch (maker) {
    case MAKER_ANTHROPIC: return SPAN("anthropic-claude-v1");
    case MAKER_RESPONSES: return SPAN("openai-responses-v1");
    case MAKER_GEMINI: return SPAN("google-gemini-v1");
    case MAKER_CHAT:
    case MAKER_NONE: break;
    }
    return SPAN("unknown");
}

void chat_put_signature(struct sink *out, const struct signature *signature,
                        const struct answer_facts *facts, enum envelope_kind kind)
{
    SINK_TEXT(out, "\"");
    if (facts->account != 0)
        envelope_put(out, signature, MAKER_CHAT, facts, kind);
    else
        sink_string(out, signature->text);
    SINK_TEXT(out, "\"");
}

void chat_put_detail(struct sink *out, const struct signature *signature, bool redacted,
                     const struct answer_facts *facts, const struct rope *rope, struct words text,
                     unsigned index)
{
    // Only Anthropic's signatures stand beside a text that has to go back with them.
    bool beside = signature->maker == MAKER_ANTHROPIC && !redacted;
    if (beside) {
        SINK_TEXT(out, "{\"type\":\"reasoning.text\",\"text\":\"");
        sink_string(out, text);
        rope_put(rope, out);
        SINK_TEXT(out, "\",\"signature\":");
    } else {
        SINK_TEXT(out, "{\"type\":\"reasoning.encrypted\",\"data\":");
    }
    chat_put_signature(out, signature, facts, redacted ? ENVELOPE_REDACTED : ENVELOPE_THOUGHT);
    if (!words_none(signature->id)) {
        SINK_TEXT(out, ",\"id\":");
        sink_quoted(out, signature->id);
    }
    SINK_TEXT(out, ",\"format\":\"");
    sink_put(out, format_of((enum maker)signature->maker));
    SINK_TEXT(out, "\",\"index\":");
    sink_u64(out, index);
    SINK_TEXT(out, "}");
}

void chat_put_cite(struct sink *out, const struct cite *cite)
{
    SINK_TEXT(out, "{\"type\":\"url_citation\",\"url_citation\":{\"url\":");
    sink_quoted(out, cite->url);
    SINK_TEXT(out, ",\"title\":");
    sink_quoted(out, cite->title);
    SINK_TEXT(out, ",\"start_index\":");
    sink_u64(out, cite->placed ? cite->from : 0);
    SINK_TEXT(out, ",\"end_index\":");
    sink_u64(out, cite->placed ? cite->to : 0);
    SINK_TEXT(out, "}}");
}
