// Gemini generateContent, whole answers: what a stream says in many, in one.
#include "gemini.h"
#include "offsets.h"

#include "penstock/base/check.h"
#include "penstock/convert/args.h"
#include "penstock/convert/ids.h"

// --- reading ---

// The newest item, if it is of this kind and goes on.
static struct item *open_item(const struct completion *completion, enum item_kind kind,
                              const struct delta *delta)
{
    struct item *item = completion->last;
    bool open = item != NULL && item->kind == (uint8_t)kind && item->choice == delta->choice &&
                !item->complete;
    return open ? item : NULL;
}

// The text of an item is the body's, as long as it is in one piece.
static void take_text(struct completion *completion, enum item_kind kind, const struct delta *delta)
{
    struct item *item = open_item(completion, kind, delta);
    if (item == NULL) {
        item = completion_item(completion, kind, delta->choice);
        if (item != NULL)
            item->text = delta->text;
        return;
    }
    rope_add(&completion->keep, &item->rope, item->text);
    rope_add(&completion->keep, &item->rope, delta->text);
    item->text = WORDS_NONE;
}

static void take_think_end(struct completion *completion, const struct delta *delta)
{
    struct item *item = open_item(completion, ITEM_THINK, delta);
    if (item == NULL && !words_none(delta->signature.text))
        item = completion_item(completion, ITEM_THINK, delta->choice);
    if (item == NULL)
        return;
    item->signature = delta->signature;
    item->complete = true;
}

static void take_cite(struct completion *completion, const struct delta *delta)
{
    struct item *item = NULL; // the newest run of text
    for (struct item *at = completion->first; at != NULL; at = at->next)
        if (at->kind == ITEM_TEXT && at->choice == delta->choice)
            item = at;
    struct item_cite *cite = item != NULL ? completion_cite(completion, item) : NULL;
    if (cite == NULL)
        completion->lost[DELTA_CITE]++;
    else
        *cite = (struct item_cite){ .cite = delta->cite, .text = delta->text };
}

// A delta_sink: collects, but does not copy what the body holds anyway.
static void take(void *arg, const struct delta *delta)
{
    struct completion *completion = arg;
    struct item *item;
    switch ((enum delta_kind)delta->kind) {
    case DELTA_TEXT: take_text(completion, ITEM_TEXT, delta); break;
    case DELTA_THINK: take_text(completion, ITEM_THINK, delta); break;
    case DELTA_THINK_END: take_think_end(completion, delta); break;
    case DELTA_CITE: take_cite(completion, delta); break;
    case DELTA_CALL:
        item = completion_item(completion, ITEM_CALL, delta->choice);
        if (item == NULL)
            break;
        item->call = delta->call;
        item->id = delta->id;
        item->name = delta->name;
        item->signature = delta->signature;
        break;
    case DELTA_MEDIA:
    case DELTA_HOSTED:
        item = completion_item(completion, delta->kind == DELTA_MEDIA ? ITEM_MEDIA : ITEM_HOSTED,
                               delta->choice);
        if (item == NULL)
            break;
        item->text = delta->text;
        item->type = delta->type;
        item->raw = delta->raw;
        item->complete = true;
        break;
    case DELTA_ARGS: // which are made here
    case DELTA_CALL_END:
    case DELTA_LOGPROBS:
    case DELTA_FINISH:
    case DELTA_TEXT_END:
    case DELTA_REFUSAL:
    case DELTA_REDACTED: completion_collect(completion, delta); break;
    case DELTA_KIND_COUNT: assert(false); break;
    }
}

bool gemini_read_whole(struct completion *completion, struct json_slice root)
{
    struct decode decode;
    if (root.kind != JK_OBJECT && root.kind != JK_ARRAY)
        return false;
    decode_init(&decode, &converter_gemini, NULL, completion->keep.source, take, completion);
    gemini_decode_event(&decode, root);
    decode_end(&decode);
    decode_fini(&decode);
    return completion->choices != NULL && !decode.failed && !decode.broken &&
           !completion_failed(completion);
}

// --- writing ---

struct writer {
    const struct completion *completion;
    const struct answer_facts *facts;
    struct sink *out;
    struct keep keep; // for what has to be written behind the parts
    const struct choice *choice;
    const struct item *pending; // has a signature that waits for its part
    struct offsets offsets;
    struct gemini_cite *cites, *last_cite;
    bool any; // a part stands in the list
    bool malformed;
};

static void part_begin(struct writer *writer, struct span start)
{
    if (writer->any)
        SINK_TEXT(writer->out, ",");
    writer->any = true;
    sink_put(writer->out, start);
}

static void put_signature(struct writer *writer, const struct item *item)
{
    bool thought = item->kind == ITEM_THINK;
    gemini_put_signature(writer->out, &item->signature, item->kind == ITEM_REDACTED, writer->facts,
                         thought ? item->text : WORDS_NONE, thought ? &item->rope : NULL);
}

// A signature that no call takes.
static void put_pending(struct writer *writer)
{
    if (writer->pending == NULL)
        return;
    part_begin(writer, SPAN("{\"text\":\"\","));
    put_signature(writer, writer->pending);
    SINK_TEXT(writer->out, "}");
    writer->pending = NULL;
}

static void note_cites(struct writer *writer, const struct item *item, const struct offsets *before)
{
    for (const struct item_cite *from = item->cites; from != NULL; from = from->next) {
        const struct cite *where = &from->cite;
        struct gemini_cite *cite =
            words_none(where->url) ? NULL : keep_take(&writer->keep, sizeof(*cite));
        if (cite == NULL)
            continue;
        *cite = (struct gemini_cite){ .url = where->url, .title = where->title };
        cite->from = before->bytes;
        cite->to = writer->offsets.bytes;
        cite->placed = cite->to > cite->from;
        if (where->placed)
            cite->placed =
                offsets_byte_of(&writer->offsets, before->points + where->from, &cite->from) &&
                offsets_byte_of(&writer->offsets, before->points + where->to, &cite->to);
        *(writer->last_cite == NULL ? &writer->cites : &writer->last_cite->next) = cite;
        writer->last_cite = cite;
    }
}

// Counts what is written into it, which may be torn anywhere.
struct counter {
    struct sink sink;
    struct writer *writer;
    char room[512];
};

static bool counter_more(struct sink *sink)
{
    struct counter *counter = container_of(sink, struct counter, sink);
    struct words seen = words_plain(span_of(counter->room, (size_t)(sink->at - counter->room)));
    offsets_add(&counter->writer->offsets, &counter->writer->keep, seen);
    *sink = sink_into(counter->room, sizeof(counter->room));
    sink->more = counter_more;
    return true;
}

static void count_text(struct writer *writer, const struct item *item)
{
    if (item->rope.len == 0) {
        offsets_add(&writer->offsets, &writer->keep, item->text);
        return;
    }
    struct counter counter;
    counter.writer = writer;
    counter.sink = sink_into(counter.room, sizeof(counter.room));
    counter.sink.more = counter_more;
    item_put_plain(item, &counter.sink);
    (void)counter_more(&counter.sink);
}

static void write_text(struct writer *writer, const struct item *item)
{
    if (item_is_empty(item))
        return;
    part_begin(writer, SPAN("{\"text\":\""));
    item_put(item, writer->out);
    SINK_TEXT(writer->out, "\"}");
    const struct offsets before = writer->offsets;
    count_text(writer, item);
    note_cites(writer, item, &before);
}

static void write_thought(struct writer *writer, const struct item *item)
{
    if (!item_is_empty(item) && writer->facts->thoughts_wanted) {
        part_begin(writer, SPAN("{\"text\":\""));
        item_put(item, writer->out);
        SINK_TEXT(writer->out, "\",\"thought\":true}");
    }
    if (words_none(item->signature.text))
        return;
    put_pending(writer);
    writer->pending = item;
}

static void write_redacted(struct writer *writer, const struct item *item)
{
    put_pending(writer);
    part_begin(writer, SPAN("{\"text\":\"\",\"thought\":true,"));
    put_signature(writer, item);
    SINK_TEXT(writer->out, "}");
}

static void write_call(struct writer *writer, const struct item *item)
{
    if (!item->complete) // a client must never run half a command (C-043)
        return;
    struct span object = SPAN_NONE;
    if (item->form == CALL_FUNCTION) {
        object = args_object_of(item, writer->facts->scratch);
        if (object.ptr == NULL) { // C-025
            writer->malformed = true;
            return;
        }
    }
    if (!words_none(item->signature.text)) {
        put_pending(writer);
        writer->pending = item;
    }
    part_begin(writer, SPAN_NONE);
    gemini_put_call(writer->out, item, object, writer->facts);
    if (writer->pending != NULL) {
        SINK_TEXT(writer->out, ",");
        put_signature(writer, writer->pending);
        writer->pending = NULL;
    }
    SINK_TEXT(writer->out, "}");
}

static void write_item(struct writer *writer, const struct item *item)
{
    switch ((enum item_kind)item->kind) {
    case ITEM_TEXT:
    case ITEM_REFUSAL: write_text(writer, item); break;
    case ITEM_THINK: write_thought(writer, item); break;
    case ITEM_REDACTED: write_redacted(writer, item); break;
    case ITEM_CALL: write_call(writer, item); break;
    case ITEM_MEDIA:
        part_begin(writer, SPAN("{\"inlineData\":{\"mimeType\":"));
        sink_quoted(writer->out, item->type);
        SINK_TEXT(writer->out, ",\"data\":\"");
        item_put(item, writer->out);
        SINK_TEXT(writer->out, "\"}}");
        break;
    case ITEM_HOSTED: break;
    case ITEM_KIND_COUNT: assert(false); break;
    }
}

static void write_logprobs(struct writer *writer)
{
    // Two lists are made of one, so it is looked at in one piece.
    const struct choice *choice = writer->choice;
    struct gemini_logprobs logprobs = { 0 };
    struct json_slice entries = choice->logprobs;
    const size_t len = choice->tokens.len + 2;
    char *room = choice->tokens.len > 0 ? scratch_take(writer->facts->scratch, len) : NULL;
    if (room != NULL) {
        struct sink sink = sink_into(room, len);
        choice_put_logprobs(choice, &sink);
        entries = (struct json_slice){ span_of(room, len), JK_ARRAY };
    }
    gemini_add_logprobs(&logprobs, &writer->keep, entries);
    if (logprobs.chosen.len > 0)
        gemini_put_logprobs(writer->out, &logprobs);
}

static void write_candidate(struct writer *writer, const struct choice *choice)
{
    struct sink *out = writer->out;
    writer->choice = choice;
    writer->any = writer->malformed = false;
    writer->pending = NULL;
    writer->cites = writer->last_cite = NULL;
    writer->offsets = (struct offsets){ 0 };
    SINK_TEXT(out, "{\"content\":{\"role\":\"model\",\"parts\":[");
    for (const struct item *item = writer->completion->first; item != NULL; item = item->next)
        if (item->choice == choice->index)
            write_item(writer, item);
    put_pending(writer);
    if (!writer->any)
        SINK_TEXT(out, "{\"text\":\"\"}");
    SINK_TEXT(out, "]},\"finishReason\":\"");
    enum finish finish = (enum finish)choice->finish;
    bool broken = writer->malformed && finish != FINISH_LENGTH && finish != FINISH_CONTEXT;
    sink_put(out, broken ? SPAN("MALFORMED_FUNCTION_CALL") : gemini_finish_word(finish));
    SINK_TEXT(out, "\",\"index\":");
    sink_u64(out, choice->index);
    if (writer->cites != NULL)
        gemini_put_cites(out, writer->cites);
    write_logprobs(writer);
    SINK_TEXT(out, "}");
}

enum { WRITER_KEEP_MAX = 1 * MIB };

void gemini_write_whole(const struct completion *completion, const struct answer_facts *facts,
                        struct sink *out)
{
    struct writer writer = { .completion = completion, .facts = facts, .out = out };
    const struct choice none = { 0 };
    keep_init(&writer.keep, completion->keep.source, WRITER_KEEP_MAX);
    SINK_TEXT(out, "{\"candidates\":[");
    if (completion->choices == NULL)
        write_candidate(&writer, &none);
    for (const struct choice *choice = completion->choices; choice != NULL; choice = choice->next) {
        if (choice != completion->choices)
            SINK_TEXT(out, ",");
        write_candidate(&writer, choice);
    }
    SINK_TEXT(out, "],\"usageMetadata\":");
    gemini_put_usage(out, &facts->usage);
    gemini_put_facts(out, facts);
    keep_fini(&writer.keep);
}
