// Gemini generateContent: what streams and whole answers share.
#include "gemini.h"

#include "base64.h"
#include "compact.h"
#include "penstock/convert/ids.h"

const struct converter converter_gemini = {
    .family = FAMILY_GEMINI,
    .parse = gemini_parse,
    .render = gemini_render,
    .decode_event = gemini_decode_event,
    .decode_end = gemini_decode_end,
    .encode_start = gemini_encode_start,
    .encode_delta = gemini_encode_delta,
    .encode_end = gemini_encode_end,
    .encode_fini = gemini_encode_fini,
    .read_whole = gemini_read_whole,
    .write_whole = gemini_write_whole,
};

bool gemini_finish(struct json_slice reason, bool content, enum finish *finish)
{
    static const struct {
        struct span word;
        enum finish finish;
    } words[] = {
        { SPAN("STOP"), FINISH_STOP },
        { SPAN("MAX_TOKENS"), FINISH_LENGTH },
        { SPAN("CONTINUATION"), FINISH_LENGTH },
        { SPAN("SAFETY"), FINISH_FILTERED },
        { SPAN("RECITATION"), FINISH_FILTERED },
        { SPAN("LANGUAGE"), FINISH_FILTERED },
        { SPAN("BLOCKLIST"), FINISH_FILTERED },
        { SPAN("PROHIBITED_CONTENT"), FINISH_FILTERED },
        { SPAN("SPII"), FINISH_FILTERED },
        { SPAN("IMAGE_SAFETY"), FINISH_FILTERED },
        { SPAN("IMAGE_PROHIBITED_CONTENT"), FINISH_FILTERED },
        { SPAN("IMAGE_RECITATION"), FINISH_FILTERED },
        { SPAN("IMAGE_OTHER"), FINISH_FILTERED },
        { SPAN("NO_IMAGE"), FINISH_FILTERED },
        { SPAN("MODEL_ARMOR"), FINISH_FILTERED },
        { SPAN("TOO_MANY_TOOL_CALLS"), FINISH_STOP },
    };
    static const struct span failures[] = {
        SPAN("MALFORMED_FUNCTION_CALL"),
        SPAN("UNEXPECTED_TOOL_CALL"),
        SPAN("MISSING_THOUGHT_SIGNATURE"),
    };
    *finish = FINISH_STOP;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (json_string_is(reason, words[i].word)) {
            *finish = words[i].finish;
            return true;
        }
    for (size_t i = 0; i < ARRAY_LEN(failures); i++)
        if (json_string_is(reason, failures[i]))
            return false;
    return content;
}

struct span gemini_finish_word(enum finish finish)
{
    switch (finish) {
    case FINISH_STOP:
    case FINISH_STOP_TEXT:
    case FINISH_CALLS:
    case FINISH_REFUSAL:
    case FINISH_PAUSE: return SPAN("STOP");
    case FINISH_LENGTH:
    case FINISH_CONTEXT: return SPAN("MAX_TOKENS");
    case FINISH_FILTERED: return SPAN("SAFETY");
    }
    return SPAN("STOP");
}

// Counts that are zero are left out, as the vendor does, but for the three that clients add up.
void gemini_put_usage(struct sink *out, const struct usage *usage)
{
    uint64_t input =
        usage->input_uncached + usage->cache_read + usage->cache_write_5m + usage->cache_write_1h;
    SINK_TEXT(out, "{\"promptTokenCount\":");
    sink_u64(out, input);
    if (usage->cache_read > 0) {
        SINK_TEXT(out, ",\"cachedContentTokenCount\":");
        sink_u64(out, usage->cache_read);
    }
    SINK_TEXT(out, ",\"candidatesTokenCount\":");
    sink_u64(out, usage->output - min_u64(usage->reasoning, usage->output));
    if (usage->reasoning > 0) {
        SINK_TEXT(out, ",\"thoughtsTokenCount\":");
        sink_u64(out, min_u64(usage->reasoning, usage->output));
    }
    SINK_TEXT(out, ",\"totalTokenCount\":");
    sink_u64(out, input + usage->output);
    SINK_TEXT(out, "}");
}

void gemini_put_facts(struct sink *out, const struct answer_facts *facts)
{
    SINK_TEXT(out, ",\"modelVersion\":");
    sink_quoted(out, words_plain(facts->model));
    SINK_TEXT(out, ",\"responseId\":\"");
    id_put_answer(out, facts->id, FAMILY_GEMINI, facts->random);
    SINK_TEXT(out, "\"}");
}

// The vendor's text of an object may have lines; what is written is one.
static void put_object(struct sink *out, struct span object)
{
    while (object.len > 0)
        sink_put(out, compact_next(&object));
}

void gemini_put_call(struct sink *out, const struct item *item, struct span object,
                     const struct answer_facts *facts)
{
    SINK_TEXT(out, "{\"functionCall\":{\"id\":\"");
    id_put_call(out, item->id, FAMILY_GEMINI, facts->random, item->call);
    SINK_TEXT(out, "\",\"name\":");
    sink_quoted(out, item->name);
    SINK_TEXT(out, ",\"args\":");
    if (object.ptr != NULL) {
        put_object(out, object);
    } else { // C-040
        SINK_TEXT(out, "{\"input\":\"");
        item_put(item, out);
        SINK_TEXT(out, "\"}");
    }
    SINK_TEXT(out, "}");
}

// --- citations ---

void gemini_put_cites(struct sink *out, const struct gemini_cite *first)
{
    SINK_TEXT(out, ",\"groundingMetadata\":{\"groundingChunks\":[");
    for (const struct gemini_cite *cite = first; cite != NULL; cite = cite->next) {
        sink_put(out, cite == first ? SPAN("{\"web\":{\"uri\":") : SPAN(",{\"web\":{\"uri\":"));
        sink_quoted(out, cite->url);
        if (!words_none(cite->title)) {
            SINK_TEXT(out, ",\"title\":");
            sink_quoted(out, cite->title);
        }
        SINK_TEXT(out, "}}");
    }
    SINK_TEXT(out, "],\"groundingSupports\":[");
    uint64_t chunk = 0;
    bool any = false;
    for (const struct gemini_cite *cite = first; cite != NULL; cite = cite->next, chunk++) {
        if (!cite->placed)
            continue;
        sink_put(out, any ? SPAN(",{\"segment\":{\"startIndex\":")
                          : SPAN("{\"segment\":{\"startIndex\":"));
        any = true;
        sink_u64(out, cite->from);
        SINK_TEXT(out, ",\"endIndex\":");
        sink_u64(out, cite->to);
        SINK_TEXT(out, "},\"groundingChunkIndices\":[");
        sink_u64(out, chunk);
        SINK_TEXT(out, "]}");
    }
    SINK_TEXT(out, "]}");
}

// --- probabilities of tokens (conversion rules 3.12) ---

static void add_raw(struct rope *rope, struct keep *keep, struct span raw)
{
    rope_add(keep, rope, (struct words){ .raw = raw, .escaped = true });
}

static void add_token(struct rope *rope, struct keep *keep, struct json_slice entry)
{
    struct json_slice token = json_get(entry, SPAN("token"));
    struct json_slice logprob = json_get(entry, SPAN("logprob"));
    add_raw(rope, keep, SPAN("{\"token\":"));
    add_raw(rope, keep, token.kind == JK_STRING ? token.text : SPAN("\"\""));
    add_raw(rope, keep, SPAN(",\"logProbability\":"));
    add_raw(rope, keep, logprob.kind == JK_NUMBER ? logprob.text : SPAN("0"));
    add_raw(rope, keep, SPAN("}"));
}

void gemini_add_logprobs(struct gemini_logprobs *logprobs, struct keep *keep,
                         struct json_slice entries)
{
    struct json_iter iter = json_elements_of(entries);
    struct json_slice entry, other;
    while (json_element_next(&iter, &entry)) {
        if (logprobs->chosen.len > 0) {
            add_raw(&logprobs->chosen, keep, SPAN(","));
            add_raw(&logprobs->top, keep, SPAN(","));
        }
        add_token(&logprobs->chosen, keep, entry);
        add_raw(&logprobs->top, keep, SPAN("{\"candidates\":["));
        struct json_iter others = json_elements_of(json_get(entry, SPAN("top_logprobs")));
        for (bool first = true; json_element_next(&others, &other); first = false) {
            if (!first)
                add_raw(&logprobs->top, keep, SPAN(","));
            add_token(&logprobs->top, keep, other);
        }
        add_raw(&logprobs->top, keep, SPAN("]}"));
    }
}

void gemini_put_logprobs(struct sink *out, const struct gemini_logprobs *logprobs)
{
    SINK_TEXT(out, ",\"logprobsResult\":{\"chosenCandidates\":[");
    rope_put(&logprobs->chosen, out);
    SINK_TEXT(out, "],\"topCandidates\":[");
    rope_put(&logprobs->top, out);
    SINK_TEXT(out, "]}");
}

// --- signatures ---

void gemini_put_signature(struct sink *out, const struct signature *signature, bool redacted,
                          const struct answer_facts *facts, struct words thought,
                          const struct rope *rope)
{
    enum envelope_kind kind = redacted                         ? ENVELOPE_REDACTED
                              : signature->signs == SIGNS_CALL ? ENVELOPE_CALL
                                                               : ENVELOPE_THOUGHT;
    SINK_TEXT(out, "\"thoughtSignature\":\"");
    if (signature->maker == MAKER_GEMINI) {
        sink_string(out, signature->text);
    } else {
        struct base64 base64;
        base64_begin(&base64, out);
        if (signature->maker == MAKER_ANTHROPIC && !redacted)
            envelope_put_with(&base64.sink, signature, MAKER_GEMINI, facts, kind, thought, rope);
        else
            envelope_put(&base64.sink, signature, MAKER_GEMINI, facts, kind);
        base64_end(&base64);
    }
    SINK_TEXT(out, "\"");
}

bool gemini_read_signature(struct words text, const uint8_t *key, uint64_t account,
                           struct scratch *scratch, struct signature *out, enum envelope_kind *kind)
{
    *out = (struct signature){ .text = text, .maker = MAKER_GEMINI };
    *kind = ENVELOPE_THOUGHT;
    if (!span_starts(text.raw, SPAN(ENVELOPE_BASE64)))
        return true;
    struct span bytes = base64_read(text, scratch);
    return bytes.ptr != NULL &&
           envelope_read(words_plain(bytes), MAKER_GEMINI, key, account, scratch, out, kind);
}
