// YAML into a tree: the part of YAML that needs no explanation. Anchors, aliases, tags, merge keys,
// complex keys and further documents are refused where they stand.
#include "config_impl.h"
#include "penstock/base/guard.h"

#include <yaml.h>

enum { MAP_KEYS_MAX = 4096 };

struct frame {
    struct value *value;
    struct value **end; // where the next child is linked
    struct value *key;  // of a map: the key that waits for its value
};

struct parse {
    struct config_loader *loader;
    struct frame frames[VALUE_DEPTH_MAX];
    uint32_t depth;
    uint32_t nodes;
    struct value *root;
    uint32_t documents;
    bool stopped;
};

static struct place place_of(yaml_mark_t start, yaml_mark_t end)
{
    const bool one_line = start.line == end.line && end.column > start.column;
    return (struct place){
        .line = (uint32_t)start.line + 1,
        .column = (uint32_t)start.column + 1,
        .width = one_line ? (uint32_t)(end.column - start.column) : 1,
    };
}

static struct place event_place(const yaml_event_t *event)
{
    return place_of(event->start_mark, event->end_mark);
}

// "listen.data[1].tls" of what is being read.
static void path_of(const struct parse *parse, char out[PROBLEM_PATH_MAX])
{
    size_t len = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < parse->depth; i++) {
        const struct frame *frame = &parse->frames[i];
        if (frame->value->kind == VALUE_LIST)
            len += fit_printf(out + len, PROBLEM_PATH_MAX - len, "[%u]", frame->value->count);
        else if (frame->key != NULL)
            len +=
                fit_printf(out + len, PROBLEM_PATH_MAX - len, "%s%.*s", len > 0 ? "." : "",
                           (int)min_size(frame->key->key.len, FIELD_NAME_MAX), frame->key->key.ptr);
    }
}

static struct problem *refuse(struct parse *parse, enum problem_code code, struct place place,
                              const char *text)
{
    char path[PROBLEM_PATH_MAX];
    path_of(parse, path);
    return problem_add(parse->loader->problems, code, place, path, "%s", text);
}

static void stop(struct parse *parse, enum problem_code code, struct place place, const char *text)
{
    refuse(parse, code, place, text);
    parse->stopped = true;
}

// Anchors and tags are said once each, and the value is read as if they were not there.
static void check_marks(struct parse *parse, const yaml_event_t *event, const yaml_char_t *anchor,
                        const yaml_char_t *tag)
{
    if (anchor != NULL)
        problem_hint(refuse(parse, PROBLEM_FORBIDDEN_YAML, event_place(event),
                            "anchors (&name) are not allowed"),
                     "write the value out in each place");
    if (tag != NULL)
        problem_hint(refuse(parse, PROBLEM_FORBIDDEN_YAML, event_place(event),
                            "tags (!name) are not allowed"),
                     "leave the tag out");
}

static uint32_t hash_of(struct span text)
{
    uint32_t hash = UINT32_C(2166136261); // FNV-1a
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.ptr[i]) * UINT32_C(16777619);
    return hash;
}

static void check_duplicate(struct parse *parse, const struct frame *frame,
                            const struct value *entry)
{
    for (const struct value *old = frame->value->first; old != entry; old = old->next) {
        if (!GUARD(CONFIG_DUPLICATE_KEY) || old->hash != entry->hash ||
            !span_eq(old->key, entry->key))
            continue;
        char path[PROBLEM_PATH_MAX];
        path_of(parse, path);
        struct problem *problem =
            problem_add(parse->loader->problems, PROBLEM_DUPLICATE_KEY, entry->key_place, path,
                        "the key `%.*s` stands here twice",
                        (int)min_size(entry->key.len, FIELD_NAME_MAX), entry->key.ptr);
        problem_hint(problem, "the first one is in line %u", old->key_place.line);
        return;
    }
}

// A scalar where a key is due.
static void take_key(struct parse *parse, struct frame *frame, const yaml_event_t *event,
                     struct span text)
{
    if (frame->value->count >= MAP_KEYS_MAX) {
        stop(parse, PROBLEM_TOO_LARGE, event_place(event), "a map has too many keys");
        return;
    }
    struct value *entry = REGION_NEW(&parse->loader->region, struct value);
    entry->key = region_dup(&parse->loader->region, text);
    entry->hash = hash_of(text);
    entry->key_place = event_place(event);
    *frame->end = entry;
    frame->key = entry;
    if (span_eq(text, SPAN("<<")) && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        problem_hint(refuse(parse, PROBLEM_FORBIDDEN_YAML, entry->key_place,
                            "merge keys (<<) are not allowed"),
                     "write the keys out");
    check_duplicate(parse, frame, entry);
}

// The object for the value that begins here: an entry of its map, an item of its list, the root.
// NULL if the document ends or breaks here.
static struct value *take_place(struct parse *parse, const yaml_event_t *event)
{
    if (++parse->nodes > CONFIG_NODES_MAX) {
        stop(parse, PROBLEM_TOO_LARGE, event_place(event), "the document has too many values");
        return NULL;
    }
    if (parse->depth == 0) {
        parse->root = REGION_NEW(&parse->loader->region, struct value);
        return parse->root;
    }
    struct frame *frame = &parse->frames[parse->depth - 1];
    if (frame->value->kind == VALUE_MAP)
        return frame->key; // NULL: a list or map stands where a key is due
    struct value *item = REGION_NEW(&parse->loader->region, struct value);
    *frame->end = item;
    return item;
}

// The value of the innermost list or map is complete.
static void close_place(struct parse *parse, struct value *value)
{
    if (parse->depth == 0)
        return;
    struct frame *frame = &parse->frames[parse->depth - 1];
    frame->value->count++;
    frame->end = &value->next;
    frame->key = NULL;
}

static bool is_null(struct span text)
{
    return text.len == 0 || span_eq(text, SPAN("~")) || span_eq_nocase(text, SPAN("null"));
}

static void on_scalar(struct parse *parse, const yaml_event_t *event)
{
    const struct span text = span_of(event->data.scalar.value, event->data.scalar.length);
    struct frame *frame = parse->depth > 0 ? &parse->frames[parse->depth - 1] : NULL;
    check_marks(parse, event, event->data.scalar.anchor, event->data.scalar.tag);
    if (frame != NULL && frame->value->kind == VALUE_MAP && frame->key == NULL) {
        take_key(parse, frame, event, text);
        return;
    }
    struct value *value = take_place(parse, event);
    if (value == NULL)
        return;
    const bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    value->kind = !plain ? VALUE_TEXT : is_null(text) ? VALUE_NULL : VALUE_WORD;
    value->place = event_place(event);
    value->text = region_dup(&parse->loader->region, text);
    if (value->kind != VALUE_NULL && memmem(text.ptr, text.len, "${", 2) != NULL) {
        char path[PROBLEM_PATH_MAX];
        path_of(parse, path);
        config_expand(parse->loader, value, path);
    }
    close_place(parse, value);
}

static void on_open(struct parse *parse, const yaml_event_t *event, enum value_kind kind)
{
    if (parse->depth == VALUE_DEPTH_MAX) {
        stop(parse, PROBLEM_TOO_DEEP, event_place(event), "the document is nested too deeply");
        return;
    }
    struct value *value = take_place(parse, event);
    if (value == NULL) {
        if (!parse->stopped)
            stop(parse, PROBLEM_FORBIDDEN_YAML, event_place(event), "a key must be a plain text");
        return;
    }
    value->kind = kind;
    value->place = event_place(event);
    value->place.width = 1;
    parse->frames[parse->depth++] = (struct frame){ .value = value, .end = &value->first };
}

static void on_close(struct parse *parse)
{
    assert(parse->depth > 0); // the library pairs opening and closing events
    struct value *value = parse->frames[--parse->depth].value;
    close_place(parse, value);
}

static void on_document(struct parse *parse, const yaml_event_t *event)
{
    if (++parse->documents > 1)
        stop(parse, PROBLEM_DOCUMENTS, event_place(event), "a second document begins here");
    else if (event->data.document_start.tag_directives.start !=
             event->data.document_start.tag_directives.end)
        refuse(parse, PROBLEM_FORBIDDEN_YAML, event_place(event), "directives are not allowed");
}

static void on_event(struct parse *parse, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT: return;
    case YAML_DOCUMENT_START_EVENT: on_document(parse, event); return;
    case YAML_ALIAS_EVENT:
        // Without the value that it stands for, the rest would be wrong as well.
        stop(parse, PROBLEM_FORBIDDEN_YAML, event_place(event), "aliases (*name) are not allowed");
        return;
    case YAML_SCALAR_EVENT: on_scalar(parse, event); return;
    case YAML_SEQUENCE_START_EVENT:
        check_marks(parse, event, event->data.sequence_start.anchor,
                    event->data.sequence_start.tag);
        on_open(parse, event, VALUE_LIST);
        return;
    case YAML_MAPPING_START_EVENT:
        check_marks(parse, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        on_open(parse, event, VALUE_MAP);
        return;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: on_close(parse); return;
    }
    bug("yaml_event_type out of range");
}

static void on_broken(struct parse *parse, const yaml_parser_t *parser)
{
    const char *what = parser->problem != NULL ? parser->problem : "the text breaks off";
    char text[PROBLEM_TEXT_MAX];
    if (parser->error == YAML_READER_ERROR) {
        fit_printf(text, sizeof(text), "the file is not UTF-8 text: %s at byte %zu", what,
                   parser->problem_offset);
        stop(parse, PROBLEM_ENCODING, (struct place){ 0 }, text);
        return;
    }
    struct place place = place_of(parser->problem_mark, parser->problem_mark);
    fit_printf(text, sizeof(text), "not valid YAML: %s", what);
    struct problem *problem = refuse(parse, PROBLEM_SYNTAX, place, text);
    if (parser->context != NULL)
        problem_help(problem, "%s that began in line %zu", parser->context,
                     parser->context_mark.line + 1);
    parse->stopped = true;
}

struct value *config_parse(struct config_loader *loader, struct span text)
{
    struct parse parse = { .loader = loader };
    yaml_parser_t parser;
    verify(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    bool at_end = false;
    while (!at_end && !parse.stopped) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            on_broken(&parse, &parser);
            break;
        }
        at_end = event.type == YAML_STREAM_END_EVENT;
        on_event(&parse, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (parse.stopped || parse.root == NULL)
        return NULL;
    if (parse.root->kind == VALUE_NULL)
        return NULL; // nothing but comments
    if (parse.root->kind == VALUE_MAP)
        return parse.root;
    refuse(&parse, PROBLEM_DOCUMENTS, parse.root->place,
           "the document must be a map of settings, such as `config_version: 1`");
    return NULL;
}
