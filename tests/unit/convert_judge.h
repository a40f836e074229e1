// convert_judge.h - a strict client of Responses: reads a stream as the official SDKs do and finds
// fault with whatever one of them would refuse or misread. Written apart from the encoder, on a
// JSON library of its own.
#ifndef PENSTOCK_TEST_CONVERT_JUDGE_H
#define PENSTOCK_TEST_CONVERT_JUDGE_H

#include "test.h"

#include "penstock/codec/sse.h"

#include <jansson.h>

enum { JUDGE_ITEMS = 2048, JUDGE_PARTS = 256, JUDGE_TEXT = 4 * MIB };

struct judge_item {
    char id[64];
    char type[32];
    char call_id[80];
    bool done;
    unsigned parts;      // announced
    unsigned done_parts; // and complete
    bool is_open;        // the newest part is
    unsigned cites;      // of the newest part
    char *text;          // of the newest part, or the arguments, out of its deltas
    size_t len;
    json_t *whole; // as it was said to be done
};

struct judge {
    const char *what; // for reports
    struct judge_item items[JUDGE_ITEMS];
    unsigned count;
    json_int_t sequence;
    char response_id[128];
    bool in_progress, ended;
    unsigned faults;
};

static inline void judge_blame(struct judge *judge, const char *why, json_t *event)
{
    char *text = event != NULL ? json_dumps(event, JSON_COMPACT) : NULL;
    fprintf(stderr, "%s: %s: %.300s\n", judge->what, why, text != NULL ? text : "");
    free(text);
    judge->faults++;
}

static inline const char *judge_text(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

#define JUDGE(cond, why)                      \
    do {                                      \
        if (!(cond))                          \
            judge_blame(judge, (why), event); \
    } while (0)

static inline struct judge_item *judge_item_of(struct judge *judge, json_t *event)
{
    static struct judge_item none;
    json_t *index = json_object_get(event, "output_index");
    if (!json_is_integer(index) || json_integer_value(index) < 0 ||
        json_integer_value(index) >= judge->count) {
        judge_blame(judge, "no such item", event);
        return &none;
    }
    struct judge_item *item = &judge->items[json_integer_value(index)];
    if (json_object_get(event, "item") == NULL)
        JUDGE(strcmp(item->id, judge_text(event, "item_id")) == 0, "the item has another id");
    JUDGE(!item->done, "the item is done");
    return item;
}

static inline void judge_take(struct judge *judge, struct judge_item *item, json_t *event)
{
    const char *delta = judge_text(event, "delta");
    size_t len = json_string_length(json_object_get(event, "delta"));
    JUDGE(json_is_string(json_object_get(event, "delta")), "a delta has a text");
    if (item->text == NULL)
        item->text = calloc(1, JUDGE_TEXT);
    if (item->len + len < JUDGE_TEXT)
        memcpy(item->text + item->len, delta, len + 1);
    item->len += len;
}

static inline void judge_same_text(struct judge *judge, struct judge_item *item, json_t *text,
                                   json_t *event)
{
    JUDGE(json_is_string(text) && json_string_length(text) == item->len &&
              (item->len == 0 || memcmp(json_string_value(text), item->text, item->len) == 0),
          "the whole is not the sum of its deltas");
}

static inline void judge_added(struct judge *judge, json_t *event)
{
    json_t *value = json_object_get(event, "item");
    json_t *index = json_object_get(event, "output_index");
    JUDGE(json_is_integer(index) && json_integer_value(index) == judge->count,
          "items are numbered without gaps");
    for (unsigned i = 0; i < judge->count; i++) {
        JUDGE(strcmp(judge->items[i].id, judge_text(value, "id")) != 0, "two items have one id");
        JUDGE(judge_text(value, "call_id")[0] == '\0' ||
                  strcmp(judge->items[i].call_id, judge_text(value, "call_id")) != 0,
              "two calls have one id");
    }
    if (judge->count == JUDGE_ITEMS)
        return;
    struct judge_item *item = &judge->items[judge->count++];
    snprintf(item->id, sizeof(item->id), "%s", judge_text(value, "id"));
    snprintf(item->type, sizeof(item->type), "%s", judge_text(value, "type"));
    snprintf(item->call_id, sizeof(item->call_id), "%s", judge_text(value, "call_id"));
    JUDGE(item->id[0] != '\0' && item->type[0] != '\0', "an item has an id and a type");
    JUDGE(strcmp(judge_text(value, "status"), "in_progress") == 0, "a new item is in progress");
    if (strcmp(item->type, "message") == 0)
        JUDGE(json_array_size(json_object_get(value, "content")) == 0, "a new message is empty");
    if (strcmp(item->type, "function_call") == 0)
        JUDGE(judge_text(value, "arguments")[0] == '\0' && item->call_id[0] != '\0',
              "a new call is empty");
}

static inline void judge_item_done(struct judge *judge, json_t *event)
{
    struct judge_item *item = judge_item_of(judge, event);
    json_t *value = json_object_get(event, "item");
    JUDGE(strcmp(item->id, judge_text(value, "id")) == 0 &&
              strcmp(item->type, judge_text(value, "type")) == 0 &&
              strcmp(item->call_id, judge_text(value, "call_id")) == 0,
          "an item is done as another");
    JUDGE(!item->is_open, "a part of the item is open");
    JUDGE(strcmp(judge_text(value, "status"), "in_progress") != 0, "what is done is in progress");
    if (strcmp(item->type, "message") == 0)
        JUDGE(json_array_size(json_object_get(value, "content")) == item->parts,
              "not all parts of the message");
    if (strcmp(item->type, "function_call") == 0)
        judge_same_text(judge, item, json_object_get(value, "arguments"), event);
    if (strcmp(item->type, "custom_tool_call") == 0)
        judge_same_text(judge, item, json_object_get(value, "input"), event);
    item->done = true;
    item->whole = json_incref(value);
}

static inline void judge_part(struct judge *judge, json_t *event, const char *index, bool added)
{
    struct judge_item *item = judge_item_of(judge, event);
    json_int_t number = json_integer_value(json_object_get(event, index));
    json_t *part = json_object_get(event, "part");
    if (added) {
        JUDGE(!item->is_open && number == item->parts, "parts are numbered and one at a time");
        item->parts++;
        item->is_open = true;
        item->len = item->cites = 0;
        return;
    }
    JUDGE(item->is_open && number + 1 == item->parts, "this part is not open");
    json_t *text = json_object_get(part, "text");
    judge_same_text(judge, item, text != NULL ? text : json_object_get(part, "refusal"), event);
    item->is_open = false;
}

// A delta, or the whole of what the deltas were.
static inline void judge_grow(struct judge *judge, json_t *event, const char *type,
                              const char *index, const char *whole)
{
    struct judge_item *item = judge_item_of(judge, event);
    JUDGE(strcmp(item->type, type) == 0, "the event is of another kind of item");
    if (index != NULL)
        JUDGE(item->is_open && json_integer_value(json_object_get(event, index)) + 1 == item->parts,
              "this part was not announced");
    if (whole == NULL)
        judge_take(judge, item, event);
    else
        judge_same_text(judge, item, json_object_get(event, whole), event);
}

static inline void judge_cite(struct judge *judge, json_t *event)
{
    struct judge_item *item = judge_item_of(judge, event);
    json_t *cite = json_object_get(event, "annotation");
    JUDGE(item->is_open, "this part was not announced");
    JUDGE(json_integer_value(json_object_get(event, "annotation_index")) == item->cites,
          "annotations are numbered");
    item->cites++;
    JUDGE(json_integer_value(json_object_get(cite, "start_index")) <=
              json_integer_value(json_object_get(cite, "end_index")),
          "an annotation ends before it begins");
}

// The response object: every key that the official types call required.
static inline void judge_response(struct judge *judge, json_t *event, json_t *response)
{
    static const char *const keys[] = {
        "id",
        "object",
        "created_at",
        "status",
        "error",
        "incomplete_details",
        "instructions",
        "metadata",
        "model",
        "output",
        "parallel_tool_calls",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
        "usage",
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        JUDGE(json_object_get(response, keys[i]) != NULL, keys[i]);
    const char *id = judge_text(response, "id");
    if (judge->response_id[0] == '\0')
        snprintf(judge->response_id, sizeof(judge->response_id), "%s", id);
    JUDGE(strcmp(judge->response_id, id) == 0 && strncmp(id, "resp_", 5) == 0,
          "the response has one id");
}

static inline void judge_end(struct judge *judge, json_t *event, const char *status)
{
    json_t *response = json_object_get(event, "response");
    json_t *output = json_object_get(response, "output");
    json_t *usage = json_object_get(response, "usage");
    judge_response(judge, event, response);
    judge->ended = true;
    JUDGE(strcmp(judge_text(response, "status"), status) == 0, "the status is the event's");
    JUDGE(json_array_size(output) == judge->count, "all items are told again");
    for (unsigned i = 0; i < judge->count; i++) {
        json_t *value = json_array_get(output, i);
        struct judge_item *item = &judge->items[i];
        JUDGE(strcmp(item->id, judge_text(value, "id")) == 0, "an item changed its id");
        if (item->done)
            JUDGE(json_equal(item->whole, value), "an item is told otherwise than before");
        else
            JUDGE(strcmp(judge_text(value, "status"), "incomplete") == 0,
                  "an item that was not done is complete");
        if (item->done || strcmp(item->type, "function_call") != 0)
            continue;
        judge_same_text(judge, item, json_object_get(value, "arguments"), event);
    }
    JUDGE(json_is_integer(
              json_object_get(json_object_get(usage, "input_tokens_details"), "cached_tokens")) &&
              json_is_integer(json_object_get(json_object_get(usage, "output_tokens_details"),
                                              "reasoning_tokens")),
          "usage has both details");
    JUDGE(json_integer_value(json_object_get(usage, "input_tokens")) +
                  json_integer_value(json_object_get(usage, "output_tokens")) ==
              json_integer_value(json_object_get(usage, "total_tokens")),
          "usage adds up");
}

static inline void judge_event(struct judge *judge, json_t *event, struct span name)
{
    const char *type = judge_text(event, "type");
    JUDGE(span_eq(name, span_str(type)), "the event's line names its type");
    JUDGE(json_integer_value(json_object_get(event, "sequence_number")) == judge->sequence,
          "events are numbered");
    JUDGE(!judge->ended, "something follows the end");
    if (judge->sequence++ == 0)
        JUDGE(strcmp(type, "response.created") == 0, "the first event is the response's creation");
#define IS(name) (strcmp(type, "response." name) == 0)
    if (IS("created") || IS("in_progress"))
        judge_response(judge, event, json_object_get(event, "response"));
    else if (IS("output_item.added"))
        judge_added(judge, event);
    else if (IS("output_item.done"))
        judge_item_done(judge, event);
    else if (IS("content_part.added"))
        judge_part(judge, event, "content_index", true);
    else if (IS("content_part.done"))
        judge_part(judge, event, "content_index", false);
    else if (IS("reasoning_summary_part.added"))
        judge_part(judge, event, "summary_index", true);
    else if (IS("reasoning_summary_part.done"))
        judge_part(judge, event, "summary_index", false);
    else if (IS("output_text.delta"))
        judge_grow(judge, event, "message", "content_index", NULL);
    else if (IS("output_text.done"))
        judge_grow(judge, event, "message", "content_index", "text");
    else if (IS("refusal.delta"))
        judge_grow(judge, event, "message", "content_index", NULL);
    else if (IS("refusal.done"))
        judge_grow(judge, event, "message", "content_index", "refusal");
    else if (IS("reasoning_summary_text.delta"))
        judge_grow(judge, event, "reasoning", "summary_index", NULL);
    else if (IS("reasoning_summary_text.done"))
        judge_grow(judge, event, "reasoning", "summary_index", "text");
    else if (IS("function_call_arguments.delta"))
        judge_grow(judge, event, "function_call", NULL, NULL);
    else if (IS("function_call_arguments.done"))
        judge_grow(judge, event, "function_call", NULL, "arguments");
    else if (IS("custom_tool_call_input.delta"))
        judge_grow(judge, event, "custom_tool_call", NULL, NULL);
    else if (IS("custom_tool_call_input.done"))
        judge_grow(judge, event, "custom_tool_call", NULL, "input");
    else if (IS("output_text.annotation.added"))
        judge_cite(judge, event);
    else if (IS("completed"))
        judge_end(judge, event, "completed");
    else if (IS("incomplete"))
        judge_end(judge, event, "incomplete");
    else
        judge_blame(judge, "no client knows this event", event);
#undef IS
}

// Faults in a stream that has to be complete.
static inline unsigned judge_stream(const char *what, struct span text)
{
    struct judge *judge = calloc(1, sizeof(*judge));
    struct sse_scan scan = { 0 };
    size_t used = 0;
    judge->what = what;
    while (text.len > 0 && sse_scan_feed(&scan, text, &used) == PARSE_DATA) {
        struct sse_event sse;
        bool read = sse_parse(span_upto(text, used), false, NULL, 0, &sse);
        text = span_from(text, used);
        json_t *event =
            read ? json_loadb(sse.data.ptr, sse.data.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
        if (event == NULL)
            judge_blame(judge, "an event is not JSON", NULL);
        else
            judge_event(judge, event, sse.name);
        json_decref(event);
    }
    if (!judge->ended || text.len > 0)
        judge_blame(judge, "the stream has no end", NULL);
    for (unsigned i = 0; i < judge->count; i++) {
        free(judge->items[i].text);
        json_decref(judge->items[i].whole);
    }
    unsigned faults = judge->faults;
    free(judge);
    return faults;
}

#endif
