// OpenAI Chat Completions, whole answers: choices of one message each.
#include "chat.h"

#include "penstock/convert/args.h"
#include "penstock/convert/ids.h"

// --- reading ---

static void read_text(struct completion *completion, enum item_kind kind, struct json_slice text,
                      uint16_t choice, struct json_slice annotations)
{
    if (words_none(words_of(text)))
        return;
    struct item *item = completion_item(completion, kind, choice);
    if (item == NULL)
        return;
    item->text = words_of(text);
    item->complete = true;
    if (kind == ITEM_THINK)
        item->signature.maker = MAKER_CHAT;
    struct json_iter iter = json_elements_of(annotations);
    struct json_slice annotation;
    struct delta delta;
    while (json_element_next(&iter, &annotation)) {
        struct item_cite *cite =
            chat_cite(annotation, &delta) ? completion_cite(completion, item) : NULL;
        if (cite != NULL)
            *cite = (struct item_cite){ .cite = delta.cite, .raw = annotation };
    }
}

static void read_thought(struct completion *completion, const struct chat_message *message,
                         uint16_t choice)
{
    struct words text = words_of(chat_thought(message, false));
    struct item *item = NULL;
    if (!words_none(text)) {
        item = completion_item(completion, ITEM_THINK, choice);
        if (item == NULL)
            return;
        item->text = text;
        item->signature.maker = MAKER_CHAT;
        item->complete = true;
    }
    struct json_iter iter = json_elements_of(message->of[CHAT_REASONING_DETAILS]);
    struct json_slice detail;
    struct signature signature;
    while (json_element_next(&iter, &detail)) {
        if (!chat_detail_signature(detail, &signature))
            continue;
        bool redacted = chat_detail_is_redacted(detail, &signature);
        if (item == NULL || redacted || !words_none(item->signature.text))
            item = completion_item(completion, redacted ? ITEM_REDACTED : ITEM_THINK, choice);
        if (item == NULL)
            return;
        item->signature = signature;
        item->complete = true;
    }
}

static void read_call(struct completion *completion, struct json_slice element, uint16_t choice,
                      uint16_t number)
{
    struct item *item = completion_item(completion, ITEM_CALL, choice);
    if (item == NULL)
        return;
    enum { CUSTOM, FUNCTION, ID, COUNT };
    static const struct span names[COUNT] = { SPAN("custom"), SPAN("function"), SPAN("id") };
    struct json_slice found[COUNT];
    json_get_all(element, names, found, COUNT);
    struct json_slice custom = found[CUSTOM], function = found[FUNCTION];
    bool is_custom = custom.kind == JK_OBJECT && function.kind != JK_OBJECT;
    struct json_slice what = is_custom ? custom : function;
    struct json_slice arguments = json_get(what, is_custom ? SPAN("input") : SPAN("arguments"));
    item->form = is_custom ? CALL_CUSTOM : CALL_FUNCTION;
    item->call = number;
    item->id = words_of(found[ID]);
    item->name = words_of(json_get(what, SPAN("name")));
    item->text = arguments.kind == JK_OBJECT ? words_plain(arguments.text) : words_of(arguments);
    item->complete = true;
}

static void read_content(struct completion *completion, const struct chat_message *message,
                         uint16_t choice)
{
    struct json_slice content = message->of[CHAT_CONTENT];
    struct json_slice annotations = message->of[CHAT_ANNOTATIONS];
    read_text(completion, ITEM_TEXT, content, choice, annotations);
    struct json_iter iter = json_elements_of(content);
    struct json_slice part, piece;
    while (json_element_next(&iter, &part)) {
        struct json_slice thinking = json_get(part, SPAN("thinking"));
        struct json_iter pieces = json_elements_of(thinking);
        while (json_element_next(&pieces, &piece))
            read_text(completion, ITEM_THINK, json_get(piece, SPAN("text")), choice,
                      JSON_SLICE_NONE);
        read_text(completion, ITEM_THINK, thinking, choice, JSON_SLICE_NONE);
        read_text(completion, ITEM_TEXT, json_get(part, SPAN("text")), choice, annotations);
    }
    read_text(completion, ITEM_REFUSAL, message->of[CHAT_REFUSAL], choice, JSON_SLICE_NONE);
}

static void read_images(struct completion *completion, struct json_slice images, uint16_t choice)
{
    struct json_iter iter = json_elements_of(images);
    struct json_slice image;
    struct delta delta;
    while (json_element_next(&iter, &image)) {
        struct item *item =
            chat_image(image, &delta) ? completion_item(completion, ITEM_MEDIA, choice) : NULL;
        if (item == NULL)
            continue;
        item->text = delta.text;
        item->type = delta.type;
        item->complete = true;
    }
}

enum { INDEX, MESSAGE, FINISH, STOP, LOGPROBS, CHOICE_COUNT };
static const struct span choice_names[CHOICE_COUNT] = { SPAN("index"), SPAN("message"),
                                                        SPAN("finish_reason"), SPAN("stop_reason"),
                                                        SPAN("logprobs") };

static void read_choice(struct completion *completion, const struct json_slice *found)
{
    uint64_t index;
    if (!json_u64(found[INDEX], &index) || index >= COMPLETION_CHOICES_MAX)
        index = 0;
    const uint16_t number = (uint16_t)index;
    const struct chat_message message = chat_message(found[MESSAGE]);
    read_thought(completion, &message, number);
    read_content(completion, &message, number);
    read_images(completion, message.of[CHAT_IMAGES], number);
    struct json_iter iter = json_elements_of(message.of[CHAT_TOOL_CALLS]);
    struct json_slice call;
    uint16_t calls = 0;
    while (json_element_next(&iter, &call))
        read_call(completion, call, number, calls++);
    bool broken = false;
    enum finish finish = chat_finish(found[FINISH], &broken);
    struct words stop_text = words_of(found[STOP]);
    if (finish == FINISH_STOP && calls > 0)
        finish = FINISH_CALLS;
    else if (finish == FINISH_CALLS && calls == 0)
        finish = FINISH_STOP;
    else if (finish == FINISH_STOP && !words_none(stop_text))
        finish = FINISH_STOP_TEXT;
    else if (finish == FINISH_STOP && !words_none(words_of(message.of[CHAT_REFUSAL])))
        finish = FINISH_REFUSAL; // C-045
    else if (finish == FINISH_LENGTH && calls > 0)
        completion->last->complete = false; // C-043
    completion_end(completion, number, finish, stop_text);
    struct choice *choice = completion_choice(completion, number);
    if (choice != NULL)
        choice->logprobs = json_get(found[LOGPROBS], SPAN("content"));
}

bool chat_read_whole(struct completion *completion, struct json_slice root)
{
    const struct json_slice choices = json_get_open(root, SPAN("choices"));
    if (choices.kind != JK_ARRAY)
        return false;
    struct json_iter iter = json_elements_of(choices);
    struct json_slice found[CHOICE_COUNT];
    while (json_element_get_all(&iter, choice_names, found, CHOICE_COUNT))
        read_choice(completion, found);
    return !completion_failed(completion);
}

// --- writing ---

struct writer {
    const struct completion *completion;
    const struct answer_facts *facts;
    struct sink *out;
    uint16_t choice;
};

static bool is_of(const struct writer *writer, const struct item *item, enum item_kind kind)
{
    return item->kind == (uint8_t)kind && item->choice == writer->choice;
}

static bool has(const struct writer *writer, enum item_kind kind)
{
    for (const struct item *item = writer->completion->first; item != NULL; item = item->next)
        if (is_of(writer, item, kind) && (kind == ITEM_CALL || !item_is_empty(item)))
            return true;
    return false;
}

// All items of one kind, joined by nothing.
static void write_texts(const struct writer *writer, enum item_kind kind)
{
    SINK_TEXT(writer->out, "\"");
    for (const struct item *item = writer->completion->first; item != NULL; item = item->next)
        if (is_of(writer, item, kind))
            item_put(item, writer->out);
    SINK_TEXT(writer->out, "\"");
}

static void write_thoughts(const struct writer *writer)
{
    struct sink *out = writer->out;
    if (!writer->facts->thoughts_wanted)
        return;
    if (has(writer, ITEM_THINK)) {
        SINK_TEXT(out, ",\"reasoning_content\":");
        write_texts(writer, ITEM_THINK);
    }
    unsigned count = 0;
    for (const struct item *item = writer->completion->first; item != NULL; item = item->next) {
        bool redacted = is_of(writer, item, ITEM_REDACTED);
        if ((!redacted && !is_of(writer, item, ITEM_THINK)) || words_none(item->signature.text))
            continue;
        sink_put(out, count == 0 ? SPAN(",\"reasoning_details\":[") : SPAN(","));
        chat_put_detail(out, &item->signature, redacted, writer->facts, &item->rope, item->text,
                        count++);
    }
    if (count > 0)
        SINK_TEXT(out, "]");
}

static void write_call(const struct writer *writer, const struct item *item)
{
    struct sink *out = writer->out;
    bool custom = item->form == CALL_CUSTOM;
    SINK_TEXT(out, "{\"id\":\"");
    id_put_call(out, item->id, FAMILY_OPENAI, writer->facts->random, item->call);
    sink_put(out, custom ? SPAN("\",\"type\":\"custom\",\"custom\":{\"name\":")
                         : SPAN("\",\"type\":\"function\",\"function\":{\"name\":"));
    sink_quoted(out, item->name);
    sink_put(out, custom ? SPAN(",\"input\":\"") : SPAN(",\"arguments\":\""));
    if (custom)
        item_put(item, out);
    else
        args_put_string_of(out, item);
    SINK_TEXT(out, "\"}");
    if (item->signature.maker == MAKER_GEMINI) {
        SINK_TEXT(out, ",\"extra_content\":{\"google\":{\"thought_signature\":");
        chat_put_signature(out, &item->signature, writer->facts, ENVELOPE_CALL);
        SINK_TEXT(out, "}}");
    }
    SINK_TEXT(out, "}");
}

static void write_calls(const struct writer *writer)
{
    unsigned count = 0;
    for (const struct item *item = writer->completion->first; item != NULL; item = item->next) {
        if (!is_of(writer, item, ITEM_CALL))
            continue;
        sink_put(writer->out, count++ == 0 ? SPAN(",\"tool_calls\":[") : SPAN(","));
        write_call(writer, item);
    }
    if (count > 0)
        SINK_TEXT(writer->out, "]");
}

// Citations count from the start of the joined text (C-127); what is about a whole block spans it.
static void write_cites(const struct writer *writer)
{
    unsigned count = 0;
    uint64_t base = 0;
    bool any = false;
    for (const struct item *item = writer->completion->first; item != NULL; item = item->next)
        any = any || (is_of(writer, item, ITEM_TEXT) && item->cites != NULL);
    for (const struct item *item = writer->completion->first; item != NULL; item = item->next) {
        if (!is_of(writer, item, ITEM_TEXT))
            continue;
        const uint64_t points = any ? item_points(item) : 0;
        for (const struct item_cite *cite = item->cites; cite != NULL; cite = cite->next) {
            if (words_none(cite->cite.url))
                continue;
            struct cite moved = cite->cite;
            moved.from = base + (moved.placed ? moved.from : 0);
            moved.to = base + (moved.placed ? moved.to : points);
            moved.placed = true;
            sink_put(writer->out, count++ == 0 ? SPAN(",\"annotations\":[") : SPAN(","));
            chat_put_cite(writer->out, &moved);
        }
        base += points;
    }
    if (count > 0)
        SINK_TEXT(writer->out, "]");
}

static void write_images(const struct writer *writer)
{
    unsigned count = 0;
    for (const struct item *item = writer->completion->first; item != NULL; item = item->next) {
        if (!is_of(writer, item, ITEM_MEDIA))
            continue;
        sink_put(writer->out, count++ == 0 ? SPAN(",\"images\":[") : SPAN(","));
        SINK_TEXT(writer->out, "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:");
        sink_string(writer->out, item->type);
        SINK_TEXT(writer->out, ";base64,");
        item_put(item, writer->out);
        SINK_TEXT(writer->out, "\"}}");
    }
    if (count > 0)
        SINK_TEXT(writer->out, "]");
}

static void write_choice(struct writer *writer, const struct choice *choice)
{
    struct sink *out = writer->out;
    writer->choice = choice->index;
    SINK_TEXT(out, "{\"index\":");
    sink_u64(out, choice->index);
    SINK_TEXT(out, ",\"message\":{\"role\":\"assistant\",\"content\":");
    bool bare =
        has(writer, ITEM_CALL) || has(writer, ITEM_REFUSAL) || choice->finish == FINISH_FILTERED;
    if (!has(writer, ITEM_TEXT) && bare)
        SINK_TEXT(out, "null");
    else
        write_texts(writer, ITEM_TEXT);
    SINK_TEXT(out, ",\"refusal\":");
    if (has(writer, ITEM_REFUSAL))
        write_texts(writer, ITEM_REFUSAL);
    else if (choice->finish == FINISH_FILTERED && !words_none(choice->stop_text)) // C-046
        sink_quoted(out, choice->stop_text);
    else
        SINK_TEXT(out, "null");
    write_thoughts(writer);
    write_calls(writer);
    write_cites(writer);
    write_images(writer);
    SINK_TEXT(out, "},\"logprobs\":");
    if (choice->logprobs.kind == JK_ARRAY || choice->tokens.len > 0) {
        SINK_TEXT(out, "{\"content\":");
        choice_put_logprobs(choice, out);
        SINK_TEXT(out, ",\"refusal\":null}");
    } else {
        SINK_TEXT(out, "null");
    }
    SINK_TEXT(out, ",\"finish_reason\":\"");
    sink_put(out, chat_finish_word((enum finish)choice->finish));
    SINK_TEXT(out, "\"}");
}

void chat_write_whole(const struct completion *completion, const struct answer_facts *facts,
                      struct sink *out)
{
    struct writer writer = { .completion = completion, .facts = facts, .out = out };
    SINK_TEXT(out, "{\"id\":\"");
    id_put_answer(out, facts->id, FAMILY_OPENAI, facts->random);
    SINK_TEXT(out, "\",\"object\":\"chat.completion\",\"created\":");
    sink_u64(out, facts->now_s);
    SINK_TEXT(out, ",\"model\":");
    sink_quoted(out, words_plain(facts->model));
    SINK_TEXT(out, ",\"choices\":[");
    for (const struct choice *choice = completion->choices; choice != NULL; choice = choice->next) {
        if (choice != completion->choices)
            SINK_TEXT(out, ",");
        write_choice(&writer, choice);
    }
    SINK_TEXT(out, "],\"usage\":");
    chat_put_usage(out, &facts->usage);
    SINK_TEXT(out, "}");
}
