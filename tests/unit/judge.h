// judge.h - what an answer of any format says, read by a JSON library and by nothing of ours: text,
// thoughts, refusal, calls. Only of its first choice.
#ifndef PENSTOCK_TEST_JUDGE_H
#define PENSTOCK_TEST_JUDGE_H

#include "penstock/base/base.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

struct judged_text {
    char *bytes;
    size_t len;
};

struct judged {
    struct judged_text text, thought, refusal;
    json_t *calls;        // {"name", "arguments", and what tells it from others}
    json_t *seen;         // Responses: texts and items by their place
    bool vague;           // calls that this reader cannot put together
    struct span filtered; // words of the vendor on what it filtered, set by who knows them
};

static inline void judged_init(struct judged *judged)
{
    *judged = (struct judged){ .calls = json_array(), .seen = json_object() };
}

static inline void judged_fini(struct judged *judged)
{
    free(judged->text.bytes);
    free(judged->thought.bytes);
    free(judged->refusal.bytes);
    json_decref(judged->calls);
    json_decref(judged->seen);
}

static inline struct span judged_span(const struct judged_text *text)
{
    return text->len > 0 ? span_of(text->bytes, text->len) : SPAN("");
}

static inline void judge_add(struct judged_text *text, json_t *more)
{
    if (!json_is_string(more) || json_string_length(more) == 0)
        return;
    text->bytes = realloc(text->bytes, text->len + json_string_length(more));
    memcpy(text->bytes + text->len, json_string_value(more), json_string_length(more));
    text->len += json_string_length(more);
}

static inline void judge_blank_line(struct judged_text *text)
{
    json_t *line = json_string("\n\n");
    if (text->len > 0)
        judge_add(text, line);
    json_decref(line);
}

// --- calls ---

static inline json_t *judge_call(struct judged *judged, json_t *name)
{
    json_t *call = json_object();
    json_object_set_new(call, "name", json_is_string(name) ? json_incref(name) : json_string(""));
    json_object_set_new(call, "arguments", json_string(""));
    json_array_append_new(judged->calls, call);
    return call;
}

static inline void judge_args(json_t *call, json_t *more)
{
    const char *old = json_string_value(json_object_get(call, "arguments"));
    size_t old_len = json_string_length(json_object_get(call, "arguments"));
    char *dumped = json_is_object(more) ? json_dumps(more, JSON_COMPACT) : NULL;
    const char *new = dumped != NULL ? dumped : json_is_string(more) ? json_string_value(more) : "";
    size_t new_len = dumped != NULL ? strlen(dumped) : json_string_length(more);
    char *both = malloc(old_len + new_len + 1);
    memcpy(both, old, old_len);
    memcpy(both + old_len, new, new_len);
    json_object_set_new(call, "arguments", json_stringn(both, old_len + new_len));
    free(both);
    free(dumped);
}

// The newest call that carries this mark.
static inline json_t *judge_find(struct judged *judged, const char *mark, json_t *value)
{
    for (size_t i = json_array_size(judged->calls); value != NULL && i > 0; i--) {
        json_t *call = json_array_get(judged->calls, i - 1);
        if (json_equal(json_object_get(call, mark), value))
            return call;
    }
    return NULL;
}

// --- Chat ---

static inline void judge_chat_call(struct judged *judged, json_t *element)
{
    json_t *what = json_object_get(element, "function"), *id = json_object_get(element, "id");
    if (what == NULL)
        what = json_object_get(element, "custom");
    json_t *index = json_object_get(element, "index"), *name = json_object_get(what, "name");
    json_t *call = judge_find(judged, "index", index);
    json_t *old_id = json_object_get(call, "id");
    bool other = json_string_length(id) > 0 && json_string_length(old_id) > 0 &&
                 !json_equal(id, old_id) &&
                 json_string_length(json_object_get(call, "arguments")) > 0;
    if (call == NULL || other)
        call = judge_call(judged, name);
    if (index != NULL)
        json_object_set(call, "index", index);
    if (json_string_length(id) > 0)
        json_object_set(call, "id", id);
    if (json_string_length(json_object_get(call, "name")) == 0 && json_is_string(name))
        json_object_set(call, "name", name);
    json_t *args = json_object_get(what, "arguments");
    judge_args(call, args != NULL ? args : json_object_get(what, "input"));
}

static inline void judge_chat_thought(struct judged *judged, json_t *delta)
{
    static const char *const places[] = { "reasoning_content", "reasoning" };
    size_t index;
    json_t *detail;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        json_t *text = json_object_get(delta, places[i]);
        if (json_string_length(text) > 0) {
            judge_add(&judged->thought, text);
            return;
        }
    }
    bool told = judged->thought.len > 0;
    json_array_foreach(json_object_get(delta, "reasoning_details"), index, detail)
    {
        json_t *text = json_object_get(detail, "text");
        if (text == NULL)
            text = json_object_get(detail, "summary");
        if (json_string_length(text) == 0 || (told && json_object_get(detail, "signature") != NULL))
            continue;
        judge_add(&judged->thought, text);
        return;
    }
}

static inline void judge_chat(struct judged *judged, json_t *root)
{
    size_t index;
    json_t *choice, *element, *piece;
    json_array_foreach(json_object_get(root, "choices"), index, choice)
    {
        json_t *delta = json_object_get(choice, "message"); // some servers send both
        if (delta == NULL)
            delta = json_object_get(choice, "delta");
        if (json_integer_value(json_object_get(choice, "index")) != 0)
            continue;
        judge_chat_thought(judged, delta);
        json_t *content = json_object_get(delta, "content");
        judge_add(&judged->text, content);
        size_t at, place;
        json_array_foreach(content, at, element)
        {
            judge_add(&judged->text, json_object_get(element, "text"));
            json_array_foreach(json_object_get(element, "thinking"), place, piece)
                judge_add(&judged->thought, json_object_get(piece, "text"));
        }
        judge_add(&judged->refusal, json_object_get(delta, "refusal"));
        json_array_foreach(json_object_get(delta, "tool_calls"), at, element)
            judge_chat_call(judged, element);
        json_t *old = json_object_get(delta, "function_call");
        if (json_string_length(json_object_get(old, "name")) > 0)
            (void)judge_call(judged, json_object_get(old, "name"));
        if (json_array_size(judged->calls) > 0)
            judge_args(json_array_get(judged->calls, json_array_size(judged->calls) - 1),
                       json_object_get(old, "arguments"));
    }
}

// --- Messages ---

static inline void judge_block(struct judged *judged, json_t *block, json_t *index)
{
    const char *type = json_string_value(json_object_get(block, "type"));
    judge_add(&judged->text, json_object_get(block, "text"));
    judge_add(&judged->thought, json_object_get(block, "thinking"));
    if (type == NULL || strcmp(type, "tool_use") != 0)
        return;
    json_t *call = judge_call(judged, json_object_get(block, "name"));
    json_t *input = json_object_get(block, "input");
    if (index != NULL)
        json_object_set(call, "index", index);
    if (json_object_size(input) > 0)
        judge_args(call, input);
}

static inline void judge_messages(struct judged *judged, json_t *root)
{
    size_t at;
    json_t *block, *delta = json_object_get(root, "delta"), *index = json_object_get(root, "index");
    json_array_foreach(json_object_get(root, "content"), at, block)
        judge_block(judged, block, NULL);
    if (json_object_get(root, "content_block") != NULL)
        judge_block(judged, json_object_get(root, "content_block"), index);
    judge_add(&judged->text, json_object_get(delta, "text"));
    judge_add(&judged->thought, json_object_get(delta, "thinking"));
    json_t *args = json_object_get(delta, "partial_json");
    json_t *call = args != NULL ? judge_find(judged, "index", index) : NULL;
    if (call != NULL)
        judge_args(call, args);
}

// --- Responses ---

// True the first time something is told about this place of the output.
static inline bool judge_is_new(struct judged *judged, const char *what, json_t *event)
{
    char key[128];
    snprintf(key, sizeof(key), "%s %lld %lld", what,
             (long long)json_integer_value(json_object_get(event, "output_index")),
             (long long)json_integer_value(json_object_get(event, "content_index")));
    bool is_new = json_object_get(judged->seen, key) == NULL;
    json_object_set_new(judged->seen, key, json_true());
    return is_new;
}

static inline void judge_item(struct judged *judged, json_t *item)
{
    const char *type = json_string_value(json_object_get(item, "type"));
    size_t at;
    json_t *part;
    if (type == NULL)
        return;
    json_array_foreach(json_object_get(item, "content"), at, part)
    {
        bool thought = strcmp(type, "reasoning") == 0;
        judge_add(thought ? &judged->thought : &judged->text, json_object_get(part, "text"));
        judge_add(&judged->refusal, json_object_get(part, "refusal"));
    }
    json_array_foreach(json_object_get(item, "summary"), at, part)
    {
        if (at > 0)
            judge_blank_line(&judged->thought);
        judge_add(&judged->thought, json_object_get(part, "text"));
    }
    bool custom = strcmp(type, "custom_tool_call") == 0;
    if (custom || strcmp(type, "function_call") == 0)
        judge_args(judge_call(judged, json_object_get(item, "name")),
                   json_object_get(item, custom ? "input" : "arguments"));
}

static inline void judge_responses(struct judged *judged, json_t *root)
{
    const char *type = json_string_value(json_object_get(root, "type"));
    json_t *delta = json_object_get(root, "delta"), *item = json_object_get(root, "item");
    json_t *place = json_object_get(root, "output_index"), *element;
    size_t at;
    if (type == NULL) { // a whole answer
        json_array_foreach(json_object_get(root, "output"), at, element)
            judge_item(judged, element);
        return;
    }
    const char *kind = json_string_value(json_object_get(item, "type"));
    bool call = kind != NULL &&
                (strcmp(kind, "function_call") == 0 || strcmp(kind, "custom_tool_call") == 0);
    if (strcmp(type, "response.output_text.delta") == 0) {
        (void)judge_is_new(judged, "text", root);
        judge_add(&judged->text, delta);
    } else if (strcmp(type, "response.output_text.done") == 0) {
        if (judge_is_new(judged, "text", root))
            judge_add(&judged->text, json_object_get(root, "text"));
    } else if (strcmp(type, "response.refusal.delta") == 0) {
        judge_add(&judged->refusal, delta);
    } else if (strcmp(type, "response.reasoning_summary_part.added") == 0) {
        if (json_integer_value(json_object_get(root, "summary_index")) > 0)
            judge_blank_line(&judged->thought);
    } else if (strcmp(type, "response.reasoning_summary_text.delta") == 0 ||
               strcmp(type, "response.reasoning_text.delta") == 0) {
        judge_add(&judged->thought, delta);
    } else if (strcmp(type, "response.output_item.added") == 0 && call) {
        json_object_set(judge_call(judged, json_object_get(item, "name")), "place", place);
    } else if (strcmp(type, "response.function_call_arguments.delta") == 0 ||
               strcmp(type, "response.custom_tool_call_input.delta") == 0) {
        element = judge_find(judged, "place", place);
        if (element != NULL)
            judge_args(element, delta);
    } else if (strcmp(type, "response.output_item.done") == 0 && call) {
        element = judge_find(judged, "place", place);
        if (element == NULL)
            element = judge_call(judged, json_object_get(item, "name"));
        json_t *all = json_object_get(item, "arguments");
        all = all != NULL ? all : json_object_get(item, "input");
        if (json_is_string(all))
            json_object_set(element, "arguments", all);
    }
}

// --- Gemini ---

static inline void judge_gemini(struct judged *judged, json_t *root)
{
    size_t index, at;
    json_t *candidate, *part, *element;
    if (json_is_array(root))
        json_array_foreach(root, index, element) judge_gemini(judged, element);
    json_array_foreach(json_object_get(root, "candidates"), index, candidate)
    {
        if (json_integer_value(json_object_get(candidate, "index")) != 0)
            continue;
        json_array_foreach(json_object_get(json_object_get(candidate, "content"), "parts"), at,
                           part)
        {
            bool thought = json_is_true(json_object_get(part, "thought"));
            judge_add(thought ? &judged->thought : &judged->text, json_object_get(part, "text"));
            json_t *call = json_object_get(part, "functionCall");
            judged->vague = judged->vague || json_object_get(call, "partialArgs") != NULL;
            if (call != NULL)
                judge_args(judge_call(judged, json_object_get(call, "name")),
                           json_object_get(call, "args"));
        }
    }
}

#endif
