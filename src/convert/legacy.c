// OpenAI's old Completions: for clients alone, whose prompt becomes one message of a user's. No
// vendor is asked in it, so it is no row of converters.def.
#include "chat.h"
#include "penstock/base/check.h"
#include "penstock/convert/ids.h"

// --- the request ---

static void read_prompt(struct prompt_parse *parse, struct json_slice value)
{
    struct json_slice only = value, more;
    if (value.kind == JK_ARRAY) {
        struct json_iter iter = json_elements_of(value);
        if (!json_element_next(&iter, &only))
            only = JSON_SLICE_NONE;
        else if (json_element_next(&iter, &more))
            only = JSON_SLICE_NONE;
    }
    if (only.kind != JK_STRING) {
        prompt_bad(parse, "here it has to be one text: no tokens, and not several", "prompt");
        return;
    }
    struct turn *turn = prompt_turn(parse, ROLE_USER, 0);
    struct part *part = turn != NULL ? prompt_part(parse, PART_TEXT, 0, PART_NO_SUB) : NULL;
    if (part == NULL)
        return;
    part->text = words_of(only);
    part->raw = only;
}

// What means the same in Chat.
static bool is_of_chat(struct span key)
{
    static const struct span names[] = {
        SPAN("model"),  SPAN("max_tokens"),        SPAN("n"),           SPAN("presence_penalty"),
        SPAN("stop"),   SPAN("frequency_penalty"), SPAN("seed"),        SPAN("logit_bias"),
        SPAN("stream"), SPAN("stream_options"),    SPAN("temperature"), SPAN("top_p"),
        SPAN("user"),
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (json_key_is(key, names[i]))
            return true;
    return false;
}

static void read_member(struct prompt_parse *parse, struct span key, struct json_slice value)
{
    if (is_of_chat(key)) {
        chat_read_member(parse, key, value);
    } else if (json_key_is(key, SPAN("prompt"))) {
        read_prompt(parse, value);
    } else if (json_key_is(key, SPAN("suffix"))) {
        if (value.kind != JK_NULL && !words_none(words_of(value)))
            loss_refuse(parse->losses, "no chat model fills a gap in a text", "suffix");
    } else if (value.kind != JK_NULL && value.kind != JK_FALSE &&
               !(json_key_is(key, SPAN("best_of")) && span_eq(value.text, SPAN("1")))) {
        loss_drop(parse->losses, "%.*s", (int)min_size(key.len, 80), key.ptr); // C-121
    }
}

static bool legacy_parse(struct prompt_parse *parse, struct json_slice root)
{
    struct json_iter iter = json_members_of(root);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value) && !failed(parse->err))
        read_member(parse, key, value);
    if (parse->prompt->turn_count == 0)
        prompt_bad(parse, "a text is required", "prompt");
    return !failed(parse->err);
}

// --- the answer ---

static void answer_begin(struct sink *out, const struct answer_facts *facts)
{
    SINK_TEXT(out, "{\"id\":\"");
    id_put_answer(out, facts->id, FAMILY_OPENAI, facts->random);
    SINK_TEXT(out, "\",\"object\":\"text_completion\",\"created\":");
    sink_u64(out, facts->now_s);
    SINK_TEXT(out, ",\"model\":");
    sink_quoted(out, words_plain(facts->model));
    SINK_TEXT(out, ",\"choices\":[");
}

static void choice_begin(struct sink *out, uint16_t choice)
{
    SINK_TEXT(out, "{\"index\":");
    sink_u64(out, choice);
    SINK_TEXT(out, ",\"text\":\"");
}

static void choice_end(struct sink *out, bool ended, enum finish finish)
{
    SINK_TEXT(out, "\",\"logprobs\":null,\"finish_reason\":");
    if (!ended) {
        SINK_TEXT(out, "null}");
        return;
    }
    SINK_TEXT(out, "\"");
    // A client that cannot be told of calls has none to make.
    sink_put(out, finish == FINISH_CALLS ? SPAN("stop") : chat_finish_word(finish));
    SINK_TEXT(out, "\"}");
}

struct state {
    struct span head; // of every chunk, up to the choice
};
_Static_assert(sizeof(struct state) <= ENCODE_STATE, "an encoder's state fits");

static struct state *state_of(struct encode *encode)
{
    return (struct state *)(void *)encode->state;
}

static void legacy_encode_start(struct encode *encode)
{
    char room[1 * KIB];
    struct sink head = sink_into(room, sizeof(room));
    SINK_TEXT(&head, "data: ");
    answer_begin(&head, &encode->facts);
    struct words text = { .raw = span_of(room, (size_t)(head.at - room)), .escaped = true };
    state_of(encode)->head = keep_words(&encode->keep, text).raw;
    encode->failed = encode->failed || head.failed;
}

static void write_chunk(struct encode *encode, const struct delta *delta)
{
    const bool ended = delta->kind == DELTA_FINISH;
    sink_put(encode->out, state_of(encode)->head);
    choice_begin(encode->out, delta->choice);
    if (!ended)
        sink_string(encode->out, delta->text);
    choice_end(encode->out, ended, (enum finish)delta->finish);
    sink_put(encode->out,
             encode->facts.usage_wanted ? SPAN("],\"usage\":null}\n\n") : SPAN("]}\n\n"));
}

static void legacy_encode_delta(struct encode *encode, const struct delta *delta)
{
    if (delta->choice >= COMPLETION_CHOICES_MAX)
        return;
    switch ((enum delta_kind)delta->kind) {
    case DELTA_TEXT:
    case DELTA_REFUSAL:
    case DELTA_FINISH: write_chunk(encode, delta); break;
    case DELTA_TEXT_END:
    case DELTA_THINK:
    case DELTA_THINK_END:
    case DELTA_REDACTED:
    case DELTA_ARGS:
    case DELTA_CALL_END: break;
    case DELTA_CALL:
    case DELTA_CITE:
    case DELTA_MEDIA:
    case DELTA_LOGPROBS:
    case DELTA_HOSTED: encode->lost[delta->kind]++; break;
    case DELTA_KIND_COUNT: assert(false); break;
    }
}

static void legacy_encode_end(struct encode *encode)
{
    struct sink *out = encode->out;
    if (encode->facts.usage_wanted) {
        sink_put(out, state_of(encode)->head);
        SINK_TEXT(out, "],\"usage\":");
        chat_put_usage(out, &encode->facts.usage);
        SINK_TEXT(out, "}\n\n");
    }
    SINK_TEXT(out, "data: [DONE]\n\n");
}

static void legacy_write_whole(const struct completion *completion,
                               const struct answer_facts *facts, struct sink *out)
{
    answer_begin(out, facts);
    for (const struct choice *choice = completion->choices; choice != NULL; choice = choice->next) {
        if (choice != completion->choices)
            SINK_TEXT(out, ",");
        choice_begin(out, choice->index);
        for (const struct item *item = completion->first; item != NULL; item = item->next)
            if (item->choice == choice->index &&
                (item->kind == ITEM_TEXT || item->kind == ITEM_REFUSAL))
                item_put(item, out);
        choice_end(out, true, (enum finish)choice->finish);
    }
    SINK_TEXT(out, "],\"usage\":");
    chat_put_usage(out, &facts->usage);
    SINK_TEXT(out, "}");
}

const struct converter converter_legacy = {
    .family = FAMILY_OPENAI,
    .parse = legacy_parse,
    .encode_start = legacy_encode_start,
    .encode_delta = legacy_encode_delta,
    .encode_end = legacy_encode_end,
    .write_whole = legacy_write_whole,
};
