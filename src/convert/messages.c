// Anthropic Messages: what streams and whole answers share.
#include "messages.h"

#include "penstock/convert/ids.h"

const struct converter converter_messages = {
    .family = FAMILY_ANTHROPIC,
    .shows_thoughts = true,
    .parse = messages_parse,
    .render = messages_render,
    .decode_event = messages_decode_event,
    .decode_end = messages_decode_end,
    .encode_start = messages_encode_start,
    .encode_delta = messages_encode_delta,
    .encode_end = messages_encode_end,
    .encode_fini = messages_encode_fini,
    .read_whole = messages_read_whole,
    .write_whole = messages_write_whole,
};

enum finish messages_finish(struct json_slice stop_reason)
{
    static const struct {
        struct span word;
        enum finish finish;
    } words[] = {
        { SPAN("end_turn"), FINISH_STOP },
        { SPAN("tool_use"), FINISH_CALLS },
        { SPAN("max_tokens"), FINISH_LENGTH },
        { SPAN("stop_sequence"), FINISH_STOP_TEXT },
        { SPAN("refusal"), FINISH_FILTERED },
        { SPAN("pause_turn"), FINISH_PAUSE },
        { SPAN("model_context_window_exceeded"), FINISH_CONTEXT },
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (json_string_is(stop_reason, words[i].word))
            return words[i].finish;
    return FINISH_STOP;
}

struct delta messages_cite(struct json_slice citation)
{
    struct delta delta = { .kind = DELTA_CITE, .raw = citation };
    delta.cite.url = words_of(json_get(citation, SPAN("url")));
    delta.cite.title = words_of(json_get(citation, SPAN("title")));
    delta.text = words_of(json_get(citation, SPAN("cited_text")));
    return delta;
}

void messages_put_usage(struct sink *out, const struct usage *usage, bool all)
{
    SINK_TEXT(out, "{\"input_tokens\":");
    sink_u64(out, usage->input_uncached);
    SINK_TEXT(out, ",\"cache_creation_input_tokens\":");
    sink_u64(out, usage->cache_write_5m + usage->cache_write_1h);
    SINK_TEXT(out, ",\"cache_read_input_tokens\":");
    sink_u64(out, usage->cache_read);
    SINK_TEXT(out, ",\"output_tokens\":");
    sink_u64(out, usage->output);
    const bool written = usage->cache_write_5m + usage->cache_write_1h > 0;
    if (all && written) {
        SINK_TEXT(out, ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":");
        sink_u64(out, usage->cache_write_5m);
        SINK_TEXT(out, ",\"ephemeral_1h_input_tokens\":");
        sink_u64(out, usage->cache_write_1h);
        SINK_TEXT(out, "}");
    } else if (all) {
        SINK_TEXT(out, ",\"cache_creation\":null");
    }
    if (usage->reasoning > 0) {
        SINK_TEXT(out, ",\"output_tokens_details\":{\"thinking_tokens\":");
        sink_u64(out, usage->reasoning);
        SINK_TEXT(out, "}");
    } else {
        SINK_TEXT(out, ",\"output_tokens_details\":null");
    }
    sink_put(out, all ? SPAN(",\"server_tool_use\":null,\"service_tier\":null,"
                             "\"inference_geo\":null,\"speed\":null}")
                      : SPAN(",\"server_tool_use\":null}"));
}

static struct span stop_word(enum finish finish)
{
    switch (finish) {
    case FINISH_STOP: return SPAN("end_turn");
    case FINISH_STOP_TEXT: return SPAN("stop_sequence");
    case FINISH_CALLS: return SPAN("tool_use");
    case FINISH_LENGTH: return SPAN("max_tokens");
    case FINISH_CONTEXT: return SPAN("model_context_window_exceeded");
    case FINISH_FILTERED:
    case FINISH_REFUSAL: return SPAN("refusal");
    case FINISH_PAUSE: return SPAN("pause_turn");
    }
    return SPAN("end_turn");
}

void messages_put_stop(struct sink *out, enum finish finish, struct words stop_text)
{
    if (finish == FINISH_STOP_TEXT && words_none(stop_text))
        finish = FINISH_STOP; // the format wants to know which one (C-049)
    SINK_TEXT(out, "\"stop_reason\":\"");
    sink_put(out, stop_word(finish));
    SINK_TEXT(out, "\",\"stop_sequence\":");
    if (finish == FINISH_STOP_TEXT)
        sink_quoted(out, stop_text);
    else
        SINK_TEXT(out, "null");
    bool refused = finish == FINISH_FILTERED || finish == FINISH_REFUSAL;
    if (!refused) {
        SINK_TEXT(out, ",\"stop_details\":null,\"container\":null");
        return;
    }
    SINK_TEXT(out, ",\"stop_details\":{\"type\":\"refusal\",\"category\":null,\"explanation\":");
    if (words_none(stop_text))
        SINK_TEXT(out, "null");
    else
        sink_quoted(out, stop_text);
    SINK_TEXT(out, "},\"container\":null");
}

void messages_put_id(struct sink *out, const struct answer_facts *facts)
{
    id_put_answer(out, facts->id, FAMILY_ANTHROPIC, facts->random);
}
