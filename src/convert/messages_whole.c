// Anthropic Messages, whole answers: a list of blocks.
#include "messages.h"

#include "penstock/convert/args.h"
#include "penstock/convert/ids.h"

static void read_text(struct completion *completion, struct json_slice block)
{
    struct item *item = completion_item(completion, ITEM_TEXT, 0);
    if (item == NULL)
        return;
    enum { TEXT, CITATIONS, COUNT };
    static const struct span names[COUNT] = { SPAN("text"), SPAN("citations") };
    struct json_slice found[COUNT];
    json_get_all(block, names, found, COUNT);
    item->text = words_of(found[TEXT]);
    item->complete = true;
    struct json_iter iter = json_elements_of(found[CITATIONS]);
    struct json_slice citation;
    while (json_element_next(&iter, &citation)) {
        struct item_cite *cite = completion_cite(completion, item);
        if (cite == NULL)
            return;
        struct delta delta = messages_cite(citation);
        *cite = (struct item_cite){ .cite = delta.cite, .text = delta.text, .raw = delta.raw };
    }
}

static void read_thought(struct completion *completion, struct json_slice block, bool redacted)
{
    struct item *item = completion_item(completion, redacted ? ITEM_REDACTED : ITEM_THINK, 0);
    if (item == NULL)
        return;
    item->text = words_of(json_get(block, SPAN("thinking")));
    item->signature.text = words_of(json_get(block, redacted ? SPAN("data") : SPAN("signature")));
    item->signature.maker = MAKER_ANTHROPIC;
    item->complete = true;
}

static void read_call(struct completion *completion, struct json_slice block, uint16_t number)
{
    struct item *item = completion_item(completion, ITEM_CALL, 0);
    if (item == NULL)
        return;
    item->call = number;
    enum { ID, NAME, INPUT, COUNT };
    static const struct span names[COUNT] = { SPAN("id"), SPAN("name"), SPAN("input") };
    struct json_slice found[COUNT];
    json_get_all(block, names, found, COUNT);
    item->id = words_of(found[ID]);
    item->name = words_of(found[NAME]);
    struct json_slice input = found[INPUT];
    struct json_slice raw = json_get(input, SPAN("_raw"));
    if (raw.kind == JK_STRING) // what was no object before (C-025)
        item->text = words_of(raw);
    else
        item->text = words_plain(input.kind == JK_OBJECT ? input.text : SPAN("{}"));
    item->complete = true;
}

// The limit came inside the last call. What Anthropic tells of it is an object all the same:
// without its end, no client takes it for a whole one (C-043).
static void cut_call(struct item *last)
{
    if (last == NULL || last->kind != ITEM_CALL)
        return;
    last->complete = false;
    struct span *text = &last->text.raw;
    if (!last->text.escaped && text->len > 0 && text->ptr[text->len - 1] == '}')
        text->len--;
}

bool messages_read_whole(struct completion *completion, struct json_slice root)
{
    enum { CONTENT, REASON, STOP, COUNT };
    static const struct span names[COUNT] = { SPAN("content"), SPAN("stop_reason"),
                                              SPAN("stop_sequence") };
    struct json_slice found[COUNT];
    json_get_all(root, names, found, COUNT);
    struct json_slice content = found[CONTENT];
    if (content.kind != JK_ARRAY)
        return false;
    struct json_iter iter = json_elements_of(content);
    struct json_slice block;
    uint16_t calls = 0;
    while (json_element_next(&iter, &block)) {
        struct json_slice type = json_get(block, SPAN("type"));
        if (json_string_is(type, SPAN("text"))) {
            read_text(completion, block);
        } else if (json_string_is(type, SPAN("thinking"))) {
            read_thought(completion, block, false);
        } else if (json_string_is(type, SPAN("redacted_thinking"))) {
            read_thought(completion, block, true);
        } else if (json_string_is(type, SPAN("tool_use"))) {
            read_call(completion, block, calls++);
        } else {
            struct item *item = completion_item(completion, ITEM_HOSTED, 0);
            if (item != NULL)
                item->raw = block;
        }
    }
    enum finish finish = messages_finish(found[REASON]);
    if (finish == FINISH_LENGTH || finish == FINISH_CONTEXT)
        cut_call(completion->last);
    completion_end(completion, 0, finish, words_of(found[STOP]));
    return !completion_failed(completion);
}

static void write_cites(struct sink *out, const struct item *item)
{
    unsigned count = 0;
    for (const struct item_cite *cite = item->cites; cite != NULL; cite = cite->next) {
        if (words_none(cite->cite.url))
            continue;
        sink_put(out, count++ == 0 ? SPAN("[") : SPAN(","));
        SINK_TEXT(out, "{\"type\":\"web_search_result_location\",\"url\":");
        sink_quoted(out, cite->cite.url);
        SINK_TEXT(out, ",\"title\":");
        sink_quoted(out, cite->cite.title);
        SINK_TEXT(out, ",\"cited_text\":");
        SINK_TEXT(out, "\"");
        if (words_none(cite->text) && cite->cite.placed)
            item_put_between(item, cite->cite.from, cite->cite.to, out);
        else
            sink_string(out, cite->text);
        SINK_TEXT(out, "\"");
        SINK_TEXT(out, ",\"encrypted_index\":\"\"}");
    }
    sink_put(out, count > 0 ? SPAN("]") : SPAN("null"));
}

static void write_call(struct sink *out, const struct item *item, const struct answer_facts *facts)
{
    SINK_TEXT(out, "{\"type\":\"tool_use\",\"id\":\"");
    id_put_call(out, item->id, FAMILY_ANTHROPIC, facts->random, item->call);
    SINK_TEXT(out, "\",\"name\":");
    sink_quoted(out, item->name);
    SINK_TEXT(out, ",\"input\":");
    if (item->form == CALL_CUSTOM) { // C-040
        SINK_TEXT(out, "{\"input\":\"");
        item_put(item, out);
        SINK_TEXT(out, "\"}");
    } else {
        (void)args_put_object_of(out, item, facts->scratch);
    }
    SINK_TEXT(out, ",\"caller\":{\"type\":\"direct\"}}");
}

// True for a thought without a signature before a call that has one.
static bool signed_call(const struct item *thought)
{
    const struct item *next = thought->next;
    return thought->kind == ITEM_THINK && words_none(thought->signature.text) && next != NULL &&
           next->kind == ITEM_CALL && next->choice == thought->choice &&
           !words_none(next->signature.text);
}

static void write_thought(struct sink *out, const struct item *item,
                          const struct answer_facts *facts)
{
    bool redacted = item->kind == ITEM_REDACTED;
    if (redacted) {
        SINK_TEXT(out, "{\"type\":\"redacted_thinking\",\"data\":\"");
    } else {
        SINK_TEXT(out, "{\"type\":\"thinking\",\"thinking\":\"");
        item_put(item, out);
        SINK_TEXT(out, "\",\"signature\":\"");
    }
    // What signs the call behind it is signed here, as it is in a stream.
    const struct item *next = item->next;
    bool signs_next = signed_call(item);
    const struct signature *signature = signs_next ? &next->signature : &item->signature;
    if (item->complete || redacted || signs_next)
        envelope_put(out, signature, MAKER_ANTHROPIC, facts,
                     redacted                         ? ENVELOPE_REDACTED
                     : signature->signs == SIGNS_CALL ? ENVELOPE_CALL
                                                      : ENVELOPE_THOUGHT);
    SINK_TEXT(out, "\"}");
}

// A block for each item that this format can say; false for the others.
static bool write_item(struct sink *out, const struct item *item, const struct answer_facts *facts,
                       const struct item *before, bool first)
{
    bool text = item->kind == ITEM_TEXT || item->kind == ITEM_REFUSAL;
    if ((text && item_is_empty(item)) || item->choice != 0 || item->kind == ITEM_MEDIA ||
        item->kind == ITEM_HOSTED)
        return false;
    if (item->kind == ITEM_THINK && item_is_empty(item) && item->signature.signs == SIGNS_TEXT)
        return false; // C-144
    if (!first)
        SINK_TEXT(out, ",");
    if (text) {
        SINK_TEXT(out, "{\"type\":\"text\",\"text\":\"");
        item_put(item, out);
        SINK_TEXT(out, "\",\"citations\":");
        write_cites(out, item);
        SINK_TEXT(out, "}");
    } else if (item->kind == ITEM_CALL) {
        // What signs the call stands before it, as a thought of its own if none is there.
        if (!words_none(item->signature.text) && (before == NULL || !signed_call(before))) {
            struct item thought = { .kind = ITEM_THINK, .complete = true };
            thought.signature = item->signature;
            write_thought(out, &thought, facts);
            SINK_TEXT(out, ",");
        }
        write_call(out, item, facts);
    } else {
        write_thought(out, item, facts);
    }
    return true;
}

void messages_write_whole(const struct completion *completion, const struct answer_facts *facts,
                          struct sink *out)
{
    const struct choice *choice = completion->choices;
    enum finish finish = choice != NULL ? (enum finish)choice->finish : FINISH_STOP;
    SINK_TEXT(out, "{\"id\":\"");
    messages_put_id(out, facts);
    SINK_TEXT(out, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    sink_quoted(out, words_plain(facts->model));
    SINK_TEXT(out, ",\"content\":[");
    const struct item *before = NULL;
    bool first = true;
    for (const struct item *item = completion->first; item != NULL;
         before = item, item = item->next)
        if (write_item(out, item, facts, before, first))
            first = false;
    if (first && (finish == FINISH_STOP || finish == FINISH_STOP_TEXT)) // C-010
        SINK_TEXT(out, "{\"type\":\"text\",\"text\":\"\",\"citations\":null}");
    SINK_TEXT(out, "],");
    messages_put_stop(out, finish, choice != NULL ? choice->stop_text : WORDS_NONE);
    SINK_TEXT(out, ",\"diagnostics\":null,\"usage\":");
    messages_put_usage(out, &facts->usage, true);
    SINK_TEXT(out, "}");
}
