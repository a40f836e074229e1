// OpenAI Responses, whole answers: a list of output items.
#include "responses.h"

// --- reading ---

// More of an item's text: the first piece is a view, the others are copied behind it.
static void add_text(struct completion *completion, struct item *item, struct words text,
                     struct span between)
{
    if (words_none(text))
        return;
    if (item_is_empty(item)) {
        item->text = text;
        return;
    }
    rope_add(&completion->keep, &item->rope, words_escaped(between));
    rope_add(&completion->keep, &item->rope, text);
}

static void read_cites(struct completion *completion, struct item *item, struct json_slice part,
                       bool first)
{
    struct json_iter iter = json_elements_of(json_get(part, SPAN("annotations")));
    struct json_slice annotation;
    while (json_element_next(&iter, &annotation)) {
        struct item_cite *cite = completion_cite(completion, item);
        if (cite == NULL)
            return;
        struct delta delta = responses_cite(annotation);
        *cite = (struct item_cite){ .cite = delta.cite, .raw = annotation };
        cite->cite.placed &= first; // places count from the start of their part
    }
}

static void read_logprobs(struct completion *completion, struct json_slice part)
{
    struct json_slice entries = json_get(part, SPAN("logprobs"));
    struct choice *choice = wire_has_content(entries) ? completion_choice(completion, 0) : NULL;
    if (choice != NULL && choice->logprobs.kind == JK_NONE)
        choice->logprobs = entries;
}

// The parts of a message are one text, and words of refusal.
static void read_message(struct completion *completion, struct json_slice value, bool *refused)
{
    struct json_iter iter = json_elements_of(json_get(value, SPAN("content")));
    struct json_slice part;
    struct item *item = NULL;
    while (json_element_next(&iter, &part)) {
        struct json_slice refusal = json_get(part, SPAN("refusal"));
        enum item_kind kind = refusal.kind == JK_STRING ? ITEM_REFUSAL : ITEM_TEXT;
        struct words text = words_of(kind == ITEM_REFUSAL ? refusal : json_get(part, SPAN("text")));
        bool first = item == NULL || item->kind != (uint8_t)kind;
        if (words_none(text))
            continue;
        if (first)
            item = completion_item(completion, kind, 0);
        if (item == NULL)
            return;
        item->complete = true;
        *refused |= kind == ITEM_REFUSAL;
        add_text(completion, item, text, SPAN(""));
        read_cites(completion, item, part, first);
        read_logprobs(completion, part);
    }
}

static bool read_parts(struct completion *completion, struct item *item, struct json_slice parts)
{
    struct json_iter iter = json_elements_of(parts);
    struct json_slice part;
    while (json_element_next(&iter, &part))
        add_text(completion, item, words_of(json_get(part, SPAN("text"))), SPAN("\\n\\n"));
    return !item_is_empty(item);
}

static void read_thought(struct completion *completion, struct json_slice value)
{
    struct item *item = completion_item(completion, ITEM_THINK, 0);
    if (item == NULL)
        return;
    if (!read_parts(completion, item, json_get(value, SPAN("summary"))))
        (void)read_parts(completion, item, json_get(value, SPAN("content")));
    item->signature = responses_signature(value);
    item->complete = true;
}

static void read_call(struct completion *completion, struct json_slice value, uint16_t number)
{
    struct item *item = completion_item(completion, ITEM_CALL, 0);
    if (item == NULL)
        return;
    bool custom = responses_is_custom(value);
    struct json_slice status = json_get(value, SPAN("status"));
    item->form = custom ? CALL_CUSTOM : CALL_FUNCTION;
    item->call = number;
    item->id = words_of(json_get(value, SPAN("call_id")));
    item->name = words_of(json_get(value, SPAN("name")));
    item->text = words_of(json_get(value, custom ? SPAN("input") : SPAN("arguments")));
    item->complete = status.kind != JK_STRING || json_string_is(status, SPAN("completed"));
}

static void read_other(struct completion *completion, struct json_slice value)
{
    struct words type, base64;
    bool media = responses_media(value, &type, &base64);
    struct item *item = completion_item(completion, media ? ITEM_MEDIA : ITEM_HOSTED, 0);
    if (item == NULL)
        return;
    item->complete = true;
    if (media) {
        item->type = type;
        item->text = base64;
    } else {
        item->raw = value;
    }
}

bool responses_read_whole(struct completion *completion, struct json_slice root)
{
    struct json_slice output = json_get(root, SPAN("output"));
    if (output.kind != JK_ARRAY)
        return false;
    struct json_iter iter = json_elements_of(output);
    struct json_slice value;
    uint16_t calls = 0;
    bool refused = false, broken;
    while (json_element_next(&iter, &value)) {
        struct json_slice type = json_get(value, SPAN("type"));
        if (json_string_is(type, SPAN("message")))
            read_message(completion, value, &refused);
        else if (json_string_is(type, SPAN("reasoning")))
            read_thought(completion, value);
        else if (json_string_is(type, SPAN("function_call")) || responses_is_custom(value))
            read_call(completion, value, calls++);
        else
            read_other(completion, value);
    }
    enum finish finish = responses_finish(root, &broken);
    if (broken)
        return false;
    completion_end(completion, 0, responses_finish_seen(finish, calls > 0, refused), WORDS_NONE);
    return !completion_failed(completion);
}

// --- writing ---

void responses_write_whole(const struct completion *completion, const struct answer_facts *facts,
                           struct sink *out)
{
    const struct choice *choice = completion->choices;
    enum finish finish = choice != NULL ? (enum finish)choice->finish : FINISH_STOP;
    struct answer answer;
    struct span reason, status = answer_status(finish, &reason);
    answer_init(&answer, facts);
    answer.items = completion->first;
    answer.cut = reason.len > 0;
    answer.choice = choice;
    answer_put_head(out, &answer, status, reason);
    struct output_walk walk = { .answer = &answer, .at = answer.items };
    (void)answer_put_items(out, &walk, finish, UINT32_MAX);
    answer_put_tail(out, &answer, true);
}
