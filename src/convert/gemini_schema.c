// Schemas: Gemini's own subset of OpenAPI becomes JSON Schema for other vendors, and JSON Schema is
// cut down to the subset for those models that know nothing else (C-035).
//
// Both ways are walks with a stack of their own: a schema may be as deep as JSON may be.
#include "gemini.h"

enum { DEPTH = 48, SOURCES = 6 };

static bool is_word(struct json_slice value, struct span word)
{
    return value.kind == JK_STRING && span_eq_nocase(json_string_raw(value), word);
}

static void put_lower(struct sink *out, struct span raw)
{
    SINK_TEXT(out, "\"");
    for (size_t i = 0; i < raw.len; i++) {
        char letter = raw.ptr[i];
        letter = letter >= 'A' && letter <= 'Z' ? (char)(letter | 0x20) : letter;
        sink_put(out, span_of(&letter, 1));
    }
    SINK_TEXT(out, "\"");
}

// ------------------------------------------------------------------------------ to JSON Schema

// What the members of an object, or the elements of a list, are.
enum level { LEVEL_SCHEMA, LEVEL_NAMED, LEVEL_LIST };

struct place {
    struct json_iter iter;
    struct json_slice value;
    uint8_t level; // enum level
    bool nullable, any;
};

static void put_name(struct place *place, struct span key, struct sink *out)
{
    sink_put(out, place->any ? SPAN(",\"") : SPAN("\""));
    place->any = true;
    sink_put(out, key);
    SINK_TEXT(out, "\":");
}

// Limits are 64-bit numbers, which the vendor's own JSON has as strings.
static bool is_limit(struct span key)
{
    static const struct span limits[] = { SPAN("minItems"),      SPAN("maxItems"),
                                          SPAN("minLength"),     SPAN("maxLength"),
                                          SPAN("minProperties"), SPAN("maxProperties") };
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        if (gemini_key_is(key, limits[i]))
            return true;
    return false;
}

// The name of a key in JSON Schema; the two spellings of this vendor become one.
static struct span json_name(struct span key)
{
    static const struct span names[] = {
        SPAN("anyOf"),     SPAN("minItems"),      SPAN("maxItems"),      SPAN("minLength"),
        SPAN("maxLength"), SPAN("minProperties"), SPAN("maxProperties"),
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (gemini_key_is(key, names[i]))
            return names[i];
    return key;
}

// Writes a member that holds no schema; false if it does, which is then to be entered.
static bool put_plain_member(struct place *place, struct span key, struct json_slice value,
                             struct sink *out)
{
    if (json_key_is(key, SPAN("nullable")) || json_key_is(key, SPAN("example")) ||
        gemini_key_is(key, SPAN("propertyOrdering")))
        return true;
    bool list = gemini_key_is(key, SPAN("anyOf")) && value.kind == JK_ARRAY;
    bool nested = (json_key_is(key, SPAN("properties")) || json_key_is(key, SPAN("items"))) &&
                  value.kind == JK_OBJECT;
    put_name(place, json_name(key), out);
    if (list || nested)
        return false;
    if (json_key_is(key, SPAN("type")) && value.kind == JK_STRING) {
        bool null = place->nullable;
        if (null)
            SINK_TEXT(out, "[");
        put_lower(out, json_string_raw(value));
        if (null)
            SINK_TEXT(out, ",\"null\"]");
    } else if (is_limit(key) && value.kind == JK_STRING) {
        sink_put(out, json_string_raw(value));
    } else {
        sink_put(out, value.text);
    }
    return true;
}

static bool enter(struct place *places, unsigned *depth, struct json_slice value, enum level level,
                  struct sink *out)
{
    if (*depth == DEPTH)
        return false;
    struct place *place = &places[(*depth)++];
    bool list = value.kind == JK_ARRAY;
    *place = (struct place){ .level = (uint8_t)level, .value = value };
    place->iter = list ? json_elements_of(value) : json_members_of(value);
    place->nullable = json_get(value, SPAN("nullable")).kind == JK_TRUE;
    sink_put(out, list ? SPAN("[") : SPAN("{"));
    return true;
}

static void leave(const struct place *place, const struct place *outer, struct sink *out)
{
    // A choice that may be null has it as one of its branches.
    if (place->level == LEVEL_LIST && outer != NULL && outer->nullable &&
        json_get(outer->value, SPAN("type")).kind == JK_NONE)
        sink_put(out, place->any ? SPAN(",{\"type\":\"null\"}") : SPAN("{\"type\":\"null\"}"));
    sink_put(out, place->level == LEVEL_LIST ? SPAN("]") : SPAN("}"));
}

// What comes next inside the innermost place; false: nothing does.
static bool step(struct place *places, unsigned *depth, struct sink *out)
{
    struct place *place = &places[*depth - 1];
    struct span key;
    struct json_slice value;
    if (place->level == LEVEL_LIST) {
        if (!json_element_next(&place->iter, &value))
            return false;
        if (place->any)
            SINK_TEXT(out, ",");
        place->any = true;
        if (value.kind != JK_OBJECT || !enter(places, depth, value, LEVEL_SCHEMA, out))
            sink_put(out, value.text);
        return true;
    }
    if (!json_member_next(&place->iter, &key, &value))
        return false;
    enum level level = LEVEL_SCHEMA;
    if (place->level == LEVEL_NAMED) {
        put_name(place, key, out);
    } else {
        if (put_plain_member(place, key, value, out))
            return true;
        level = value.kind == JK_ARRAY                 ? LEVEL_LIST
                : json_key_is(key, SPAN("properties")) ? LEVEL_NAMED
                                                       : LEVEL_SCHEMA;
    }
    bool deep = value.kind == JK_OBJECT || value.kind == JK_ARRAY;
    if (!deep || !enter(places, depth, value, level, out))
        sink_put(out, value.text);
    return true;
}

struct json_slice gemini_schema_to_json(struct json_slice schema, struct scratch *scratch)
{
    // A type that may be null, and a branch for null, are the only things that grow.
    size_t room_len = schema.text.len * 2 + 64;
    char *room = scratch_take(scratch, room_len);
    struct place places[DEPTH];
    unsigned depth = 0;
    if (room == NULL)
        return JSON_SLICE_NONE;
    struct sink out = sink_into(room, room_len);
    (void)enter(places, &depth, schema, LEVEL_SCHEMA, &out);
    while (depth > 0) {
        if (step(places, &depth, &out))
            continue;
        depth--;
        leave(&places[depth], depth > 0 ? &places[depth - 1] : NULL, &out);
    }
    if (out.failed)
        return JSON_SLICE_NONE;
    return (struct json_slice){ span_of(room, (size_t)(out.at - room)), JK_OBJECT };
}

// -------------------------------------------------------------------------------- to the subset

// One schema as it is written: what several of the original say together.
enum stage { STAGE_ITEMS, STAGE_PROPERTIES, STAGE_REQUIRED, STAGE_BRANCHES, STAGE_END };

struct node {
    struct json_slice sources[SOURCES]; // itself, what it refers to, what it is all of
    unsigned source_count;
    unsigned at;           // the source that is iterated
    struct json_iter iter; // of its properties or branches
    uint8_t stage;         // enum stage
    bool entered, any, nullable;
};

struct reduce {
    struct sink *out;
    struct json_slice root;
    struct node nodes[DEPTH];
    unsigned depth;
    bool lossy;
};

// The first of the sources to say it.
static struct json_slice said(const struct node *node, struct span name)
{
    for (unsigned i = 0; i < node->source_count; i++) {
        struct json_slice value = json_get(node->sources[i], name);
        if (value.kind != JK_NONE)
            return value;
    }
    return JSON_SLICE_NONE;
}

// What "#/$defs/name" points to.
static struct json_slice resolve(const struct reduce *reduce, struct json_slice ref)
{
    char room[256];
    struct span path = words_view(words_of(ref), room, sizeof(room));
    struct json_slice at = reduce->root;
    if (path.ptr == NULL || !span_starts(path, SPAN("#")))
        return JSON_SLICE_NONE;
    path = span_from(path, 1);
    while (path.len > 0 && at.kind == JK_OBJECT) {
        path = span_from(path, 1);
        size_t len = span_find(path, '/');
        struct json_iter iter = json_members_of(at);
        struct span key;
        struct json_slice value, found = JSON_SLICE_NONE;
        while (json_member_next(&iter, &key, &value))
            if (words_are((struct words){ key, true }, span_upto(path, len)))
                found = value;
        at = found;
        path = span_from(path, len);
    }
    return at;
}

static bool is_open(const struct reduce *reduce, struct json_slice schema)
{
    for (unsigned i = 0; i < reduce->depth; i++)
        for (unsigned s = 0; s < reduce->nodes[i].source_count; s++)
            if (reduce->nodes[i].sources[s].text.ptr == schema.text.ptr)
                return true;
    return false;
}

static bool is_null_type(struct json_slice schema)
{
    return is_word(json_get(schema, SPAN("type")), SPAN("null"));
}

static struct json_slice branches_of(struct json_slice schema)
{
    struct json_slice list = json_get(schema, SPAN("anyOf"));
    return list.kind == JK_ARRAY ? list : json_get(schema, SPAN("oneOf"));
}

// The only branch that is not null, where the others are: JK_NONE if there are more.
static struct json_slice single_branch(struct json_slice schema, bool *nullable)
{
    struct json_iter iter = json_elements_of(branches_of(schema));
    struct json_slice branch, found = JSON_SLICE_NONE;
    unsigned count = 0;
    while (json_element_next(&iter, &branch)) {
        if (is_null_type(branch)) {
            *nullable = true;
            continue;
        }
        found = branch;
        count++;
    }
    return count == 1 ? found : JSON_SLICE_NONE;
}

// Adds a schema and all that it refers to; a cycle is cut.
static void add_sources(struct reduce *reduce, struct node *node, struct json_slice schema)
{
    struct json_slice waiting[SOURCES] = { schema };
    unsigned count = 1;
    for (unsigned at = 0; at < count; at++) {
        struct json_slice one = waiting[at], more[SOURCES] = { 0 };
        if (one.kind != JK_OBJECT)
            continue;
        if (is_open(reduce, one) || node->source_count == SOURCES) {
            reduce->lossy = true;
            continue;
        }
        node->sources[node->source_count++] = one;
        unsigned more_count = 0;
        struct json_slice ref = json_get(one, SPAN("$ref"));
        if (ref.kind == JK_STRING)
            more[more_count++] = resolve(reduce, ref);
        more[more_count++] = single_branch(one, &node->nullable);
        struct json_iter iter = json_elements_of(json_get(one, SPAN("allOf")));
        while (more_count < SOURCES && json_element_next(&iter, &more[more_count]))
            more_count++;
        for (unsigned i = 0; i < more_count && count < SOURCES; i++)
            if (more[i].kind == JK_OBJECT)
                waiting[count++] = more[i];
    }
}

static bool push(struct reduce *reduce, struct json_slice schema)
{
    if (reduce->depth == DEPTH || schema.kind != JK_OBJECT) {
        reduce->lossy = true;
        SINK_TEXT(reduce->out, "{\"type\":\"object\"}");
        return false;
    }
    struct node *node = &reduce->nodes[reduce->depth];
    *node = (struct node){ .stage = STAGE_ITEMS };
    add_sources(reduce, node, schema);
    reduce->depth++;
    SINK_TEXT(reduce->out, "{");
    return true;
}

static void put_key(struct reduce *reduce, struct node *node, struct span name)
{
    sink_put(reduce->out, node->any ? SPAN(",\"") : SPAN("\""));
    node->any = true;
    sink_put(reduce->out, name);
    SINK_TEXT(reduce->out, "\":");
}

// --- what is one value ---

// Strings, or whole numbers that become strings; anything else is left out.
static bool put_enum(struct reduce *reduce, struct node *node, struct json_slice list)
{
    struct json_iter iter = json_elements_of(list);
    struct json_slice value;
    unsigned strings = 0, numbers = 0, others = 0;
    while (json_element_next(&iter, &value)) {
        strings += value.kind == JK_STRING;
        numbers += value.kind == JK_NUMBER;
        others += value.kind != JK_STRING && value.kind != JK_NUMBER && value.kind != JK_NULL;
        node->nullable |= value.kind == JK_NULL;
    }
    if (others > 0 || (strings > 0 && numbers > 0) || strings + numbers == 0) {
        reduce->lossy |= list.kind != JK_NONE;
        return false;
    }
    reduce->lossy |= numbers > 0;
    put_key(reduce, node, SPAN("enum"));
    iter = json_elements_of(list);
    bool any = false;
    while (json_element_next(&iter, &value)) {
        if (value.kind == JK_NULL)
            continue;
        sink_put(reduce->out, any ? SPAN(",") : SPAN("["));
        any = true;
        if (value.kind == JK_STRING)
            sink_put(reduce->out, value.text);
        else
            sink_quoted(reduce->out, words_plain(value.text));
    }
    SINK_TEXT(reduce->out, "]");
    return true;
}

// A list of types is one type and null, or a choice of several, which STAGE_BRANCHES writes.
static struct json_slice type_of(struct reduce *reduce, struct node *node)
{
    struct json_slice type = said(node, SPAN("type")), one, found = JSON_SLICE_NONE;
    if (type.kind == JK_STRING)
        return type;
    struct json_iter iter = json_elements_of(type);
    unsigned count = 0;
    while (json_element_next(&iter, &one)) {
        if (is_word(one, SPAN("null"))) {
            node->nullable = true;
            continue;
        }
        found = one;
        count++;
    }
    reduce->lossy |= count > 1;
    return count == 1 ? found : JSON_SLICE_NONE;
}

static void put_type(struct reduce *reduce, struct node *node)
{
    struct json_slice constant = said(node, SPAN("const")), list = said(node, SPAN("enum"));
    struct json_slice type = type_of(reduce, node);
    bool words = false;
    if (constant.kind == JK_STRING || constant.kind == JK_NUMBER) {
        put_key(reduce, node, SPAN("enum"));
        SINK_TEXT(reduce->out, "[");
        if (constant.kind == JK_STRING)
            sink_put(reduce->out, constant.text);
        else
            sink_quoted(reduce->out, words_plain(constant.text));
        SINK_TEXT(reduce->out, "]");
        words = true;
        reduce->lossy = true;
    } else if (list.kind == JK_ARRAY) {
        words = put_enum(reduce, node, list);
    }
    struct span word = SPAN_NONE;
    if (words)
        word = SPAN("string");
    else if (said(node, SPAN("type")).kind != JK_NONE)
        word = json_string_raw(type);
    else if (said(node, SPAN("properties")).kind == JK_OBJECT)
        word = SPAN("object");
    else if (said(node, SPAN("items")).kind == JK_OBJECT)
        word = SPAN("array");
    if (word.len > 0) {
        put_key(reduce, node, SPAN("type"));
        put_lower(reduce->out, word);
    }
    if (node->nullable) {
        put_key(reduce, node, SPAN("nullable"));
        SINK_TEXT(reduce->out, "true");
    }
}

static void put_format(struct reduce *reduce, struct node *node)
{
    static const struct span known[] = { SPAN("enum"),   SPAN("date-time"), SPAN("float"),
                                         SPAN("double"), SPAN("int32"),     SPAN("int64") };
    struct json_slice format = said(node, SPAN("format"));
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (json_string_is(format, known[i])) {
            put_key(reduce, node, SPAN("format"));
            sink_put(reduce->out, format.text);
            return;
        }
    reduce->lossy |= format.kind != JK_NONE;
}

// The next whole number inside an open limit; any other stays as it is.
static void put_open_limit(struct reduce *reduce, struct node *node, struct span from,
                           struct span to, int64_t by)
{
    int64_t limit;
    struct json_slice value = said(node, from);
    if (value.kind != JK_NUMBER || said(node, to).kind == JK_NUMBER)
        return;
    reduce->lossy = true;
    put_key(reduce, node, to);
    bool whole = is_word(said(node, SPAN("type")), SPAN("integer")) && json_i64(value, &limit) &&
                 limit > INT64_MIN && limit < INT64_MAX;
    if (!whole) {
        sink_put(reduce->out, value.text);
        return;
    }
    limit += by;
    if (limit < 0)
        SINK_TEXT(reduce->out, "-");
    sink_u64(reduce->out, limit < 0 ? (uint64_t)-limit : (uint64_t)limit);
}

static void put_values(struct reduce *reduce, struct node *node)
{
    static const struct {
        struct span name;
        enum json_kind kind;
    } values[] = {
        { SPAN("title"), JK_STRING },         { SPAN("description"), JK_STRING },
        { SPAN("minItems"), JK_NUMBER },      { SPAN("maxItems"), JK_NUMBER },
        { SPAN("minProperties"), JK_NUMBER }, { SPAN("maxProperties"), JK_NUMBER },
        { SPAN("minLength"), JK_NUMBER },     { SPAN("maxLength"), JK_NUMBER },
        { SPAN("minimum"), JK_NUMBER },       { SPAN("maximum"), JK_NUMBER },
        { SPAN("pattern"), JK_STRING },
    };
    put_type(reduce, node);
    put_format(reduce, node);
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct json_slice value = said(node, values[i].name);
        if (value.kind != values[i].kind)
            continue;
        put_key(reduce, node, values[i].name);
        sink_put(reduce->out, value.text);
    }
    put_open_limit(reduce, node, SPAN("exclusiveMinimum"), SPAN("minimum"), 1);
    put_open_limit(reduce, node, SPAN("exclusiveMaximum"), SPAN("maximum"), -1);
}

// Members that are gone, which is only worth a note.
static void note_lost(struct reduce *reduce, const struct node *node)
{
    static const struct span lost[] = {
        SPAN("additionalProperties"),
        SPAN("patternProperties"),
        SPAN("propertyNames"),
        SPAN("uniqueItems"),
        SPAN("default"),
        SPAN("if"),
        SPAN("not"),
        SPAN("multipleOf"),
        SPAN("contains"),
        SPAN("prefixItems"),
        SPAN("dependentRequired"),
        SPAN("oneOf"),
        SPAN("allOf"),
        SPAN("$ref"),
    };
    for (size_t i = 0; i < ARRAY_LEN(lost); i++)
        reduce->lossy |= said(node, lost[i]).kind != JK_NONE;
}

// --- what holds other schemas ---

// Whether one of the first `count` sources has the property.
static bool is_property(const struct node *node, unsigned count, struct words name)
{
    for (unsigned i = 0; i < count; i++) {
        struct json_iter iter = json_members_of(json_get(node->sources[i], SPAN("properties")));
        struct span key;
        struct json_slice value;
        while (json_member_next(&iter, &key, &value))
            if (words_eq((struct words){ key, true }, name))
                return true;
    }
    return false;
}

static void put_required(struct reduce *reduce, struct node *node)
{
    bool any = false;
    for (unsigned i = 0; i < node->source_count; i++) {
        struct json_iter iter = json_elements_of(json_get(node->sources[i], SPAN("required")));
        struct json_slice name;
        while (json_element_next(&iter, &name)) {
            if (!is_property(node, node->source_count, words_of(name)))
                continue;
            if (!any)
                put_key(reduce, node, SPAN("required"));
            sink_put(reduce->out, any ? SPAN(",") : SPAN("["));
            any = true;
            sink_put(reduce->out, name.text);
        }
    }
    if (any)
        SINK_TEXT(reduce->out, "]");
}

static void put_items(struct reduce *reduce, struct node *node)
{
    struct json_slice items = said(node, SPAN("items")), first;
    node->stage = STAGE_PROPERTIES;
    node->at = 0;
    node->entered = false;
    struct json_iter iter = json_elements_of(items);
    if (items.kind == JK_ARRAY && json_element_next(&iter, &first))
        items = first;
    bool list = is_word(type_of(reduce, node), SPAN("array"));
    if (items.kind != JK_OBJECT && !list)
        return;
    put_key(reduce, node, SPAN("items"));
    if (items.kind == JK_OBJECT) {
        (void)push(reduce, items);
        return;
    }
    reduce->lossy = true; // a list without a word about its items is refused
    SINK_TEXT(reduce->out, "{\"type\":\"string\"}");
}

// True while there are properties, the next of which has been entered.
static bool next_property(struct reduce *reduce, struct node *node)
{
    struct span key;
    struct json_slice value;
    for (; node->at < node->source_count; node->at++, node->iter = (struct json_iter){ 0 }) {
        struct json_slice all = json_get(node->sources[node->at], SPAN("properties"));
        if (node->iter.at == NULL)
            node->iter = json_members_of(all);
        bool more = true; // but for what an earlier one has as well
        do
            more = json_member_next(&node->iter, &key, &value);
        while (more && is_property(node, node->at, (struct words){ key, true }));
        if (!more)
            continue;
        if (!node->entered)
            put_key(reduce, node, SPAN("properties"));
        sink_put(reduce->out, node->entered ? SPAN(",") : SPAN("{"));
        node->entered = true;
        SINK_TEXT(reduce->out, "\"");
        sink_put(reduce->out, key);
        SINK_TEXT(reduce->out, "\":");
        (void)push(reduce, value);
        return true;
    }
    if (node->entered)
        SINK_TEXT(reduce->out, "}");
    return false;
}

// A choice between several: of schemas, or of types.
static bool next_branch(struct reduce *reduce, struct node *node)
{
    struct json_slice list = JSON_SLICE_NONE, branch;
    bool nullable = false, types = false;
    for (unsigned i = 0; i < node->source_count && list.kind == JK_NONE; i++)
        if (single_branch(node->sources[i], &nullable).kind == JK_NONE)
            list = branches_of(node->sources[i]);
    if (list.kind != JK_ARRAY) {
        list = said(node, SPAN("type"));
        types = true;
        if (list.kind != JK_ARRAY || type_of(reduce, node).kind != JK_NONE)
            return false;
    }
    if (node->iter.at == NULL)
        node->iter = json_elements_of(list);
    while (json_element_next(&node->iter, &branch)) {
        if (types ? is_word(branch, SPAN("null")) : is_null_type(branch))
            continue;
        if (!node->entered)
            put_key(reduce, node, SPAN("anyOf"));
        sink_put(reduce->out, node->entered ? SPAN(",") : SPAN("["));
        node->entered = true;
        if (!types) {
            (void)push(reduce, branch);
            return true;
        }
        SINK_TEXT(reduce->out, "{\"type\":");
        put_lower(reduce->out, json_string_raw(branch));
        SINK_TEXT(reduce->out, "}");
    }
    if (node->entered)
        SINK_TEXT(reduce->out, "]");
    return false;
}

static void next(struct reduce *reduce)
{
    struct node *node = &reduce->nodes[reduce->depth - 1];
    switch ((enum stage)node->stage) {
    case STAGE_ITEMS:
        put_values(reduce, node);
        note_lost(reduce, node);
        put_items(reduce, node);
        break;
    case STAGE_PROPERTIES:
        if (!next_property(reduce, node))
            node->stage = STAGE_REQUIRED;
        break;
    case STAGE_REQUIRED:
        put_required(reduce, node);
        node->stage = STAGE_BRANCHES;
        node->iter = (struct json_iter){ 0 };
        node->entered = false;
        break;
    case STAGE_BRANCHES:
        if (!next_branch(reduce, node))
            node->stage = STAGE_END;
        break;
    case STAGE_END:
        if (node->source_count == 0) // what was cut
            SINK_TEXT(reduce->out, "\"type\":\"object\"");
        SINK_TEXT(reduce->out, "}");
        reduce->depth--;
        break;
    }
}

bool gemini_put_schema(struct sink *out, struct json_slice schema)
{
    struct reduce reduce = { .out = out, .root = schema };
    if (!push(&reduce, schema))
        return false;
    while (reduce.depth > 0)
        next(&reduce);
    return !reduce.lossy;
}
