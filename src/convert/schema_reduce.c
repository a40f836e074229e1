// Schemas for vendors that know a subset of OpenAPI only, and back.
#include "schema.h"

#include "penstock/base/check.h"
#include "penstock/convert/words.h"

// ------------------------------------------------------------------------------------- reducing

enum key {
    KEY_REF,
    KEY_TYPE,
    KEY_ENUM,
    KEY_CONST,
    KEY_FORMAT,
    KEY_NULLABLE,
    KEY_ITEMS,
    KEY_PREFIX_ITEMS,
    KEY_PROPERTIES,
    KEY_REQUIRED,
    KEY_ANY_OF,
    KEY_ONE_OF,
    KEY_ALL_OF,
    KEY_ABOVE,
    KEY_BELOW,
    KEY_MINIMUM,
    KEY_MAXIMUM,
    KEY_COPIED, // this and those behind it are copied
    KEY_DESCRIPTION = KEY_COPIED,
    KEY_PATTERN,
    KEY_MIN_LENGTH,
    KEY_MAX_LENGTH,
    KEY_MIN_ITEMS,
    KEY_MAX_ITEMS,
    KEY_MIN_PROPERTIES,
    KEY_MAX_PROPERTIES,
    KEY_ORDER,
    KEY_TITLE,
    KEY_COUNT
};

static const struct span key_names[KEY_COUNT] = {
    [KEY_REF] = SPAN("$ref"),
    [KEY_TYPE] = SPAN("type"),
    [KEY_ENUM] = SPAN("enum"),
    [KEY_CONST] = SPAN("const"),
    [KEY_FORMAT] = SPAN("format"),
    [KEY_NULLABLE] = SPAN("nullable"),
    [KEY_ITEMS] = SPAN("items"),
    [KEY_PREFIX_ITEMS] = SPAN("prefixItems"),
    [KEY_PROPERTIES] = SPAN("properties"),
    [KEY_REQUIRED] = SPAN("required"),
    [KEY_ANY_OF] = SPAN("anyOf"),
    [KEY_ONE_OF] = SPAN("oneOf"),
    [KEY_ALL_OF] = SPAN("allOf"),
    [KEY_ABOVE] = SPAN("exclusiveMinimum"),
    [KEY_BELOW] = SPAN("exclusiveMaximum"),
    [KEY_MINIMUM] = SPAN("minimum"),
    [KEY_MAXIMUM] = SPAN("maximum"),
    [KEY_DESCRIPTION] = SPAN("description"),
    [KEY_PATTERN] = SPAN("pattern"),
    [KEY_MIN_LENGTH] = SPAN("minLength"),
    [KEY_MAX_LENGTH] = SPAN("maxLength"),
    [KEY_MIN_ITEMS] = SPAN("minItems"),
    [KEY_MAX_ITEMS] = SPAN("maxItems"),
    [KEY_MIN_PROPERTIES] = SPAN("minProperties"),
    [KEY_MAX_PROPERTIES] = SPAN("maxProperties"),
    [KEY_ORDER] = SPAN("propertyOrdering"),
    [KEY_TITLE] = SPAN("title"),
};

// A schema put together from what it refers to, what it demands in `allOf`, and itself.
struct node {
    struct json_slice keys[KEY_COUNT];
    struct json_slice properties[SCHEMA_PARTS_MAX], required[SCHEMA_PARTS_MAX];
    uint32_t part_count, refs;
    bool nullable;
    bool cut; // cannot be told: an object of any kind stands for it
};

struct reducer {
    struct sink *out;
    struct scratch *scratch;
    struct json_slice root;
    const char *refs[SCHEMA_REFS_MAX]; // what is being followed
    uint32_t ref_count;
    unsigned depth;
    size_t ref_bytes;
    bool changed;
};

static void pick(struct reducer *reducer, struct json_slice schema,
                 struct json_slice own[KEY_COUNT])
{
    struct json_iter iter = json_members_of(schema);
    struct span key;
    struct json_slice value;
    memset(own, 0, KEY_COUNT * sizeof(*own));
    while (json_member_next(&iter, &key, &value)) {
        size_t i = 0;
        while (i < KEY_COUNT && !json_key_is(key, key_names[i]))
            i++;
        if (i < KEY_COUNT)
            own[i] = value;
        else
            reducer->changed = true;
    }
}

static bool is_null_type(struct json_slice branch)
{
    return json_string_is(json_get(branch, SPAN("type")), SPAN("null")) ||
           json_get(branch, SPAN("const")).kind == JK_NULL;
}

static void absorb(struct reducer *reducer, struct node *node, struct json_slice schema);

static void absorb_ref(struct reducer *reducer, struct node *node, struct json_slice ref)
{
    struct json_slice target = schema_resolve(reducer->root, ref);
    bool known = target.kind == JK_OBJECT && reducer->ref_count < SCHEMA_REFS_MAX &&
                 target.text.len <= SCHEMA_REF_BYTES - reducer->ref_bytes;
    for (uint32_t i = 0; i < reducer->ref_count; i++)
        known = known && reducer->refs[i] != target.text.ptr;
    reducer->changed = true;
    if (!known) {
        node->cut = true;
        return;
    }
    reducer->ref_bytes += target.text.len;
    reducer->refs[reducer->ref_count++] = target.text.ptr;
    node->refs++;
    absorb(reducer, node, target);
}

// A choice between one thing and nothing is that thing, or null.
static void absorb_choice(struct reducer *reducer, struct node *node, struct json_slice *list)
{
    struct json_iter iter = json_elements_of(*list);
    struct json_slice branch, only = JSON_SLICE_NONE;
    uint32_t count = 0;
    while (json_element_next(&iter, &branch)) {
        if (is_null_type(branch)) {
            node->nullable = reducer->changed = true;
            continue;
        }
        only = branch;
        count++;
    }
    if (list->kind == JK_NONE || count > 1)
        return;
    *list = JSON_SLICE_NONE;
    reducer->changed = true;
    if (count == 1)
        absorb(reducer, node, only);
}

static void absorb(struct reducer *reducer, struct node *node, struct json_slice schema)
{
    struct json_slice own[KEY_COUNT], part;
    if (schema.kind != JK_OBJECT || reducer->depth == SCHEMA_DEPTH_MAX) {
        node->cut = node->cut || schema.kind == JK_OBJECT;
        reducer->changed = true;
        return;
    }
    reducer->depth++;
    pick(reducer, schema, own);
    if (own[KEY_REF].kind == JK_STRING)
        absorb_ref(reducer, node, own[KEY_REF]);
    struct json_iter iter = json_elements_of(own[KEY_ALL_OF]);
    while (json_element_next(&iter, &part)) {
        reducer->changed = true;
        absorb(reducer, node, part);
    }
    absorb_choice(reducer, node, &own[KEY_ANY_OF]);
    absorb_choice(reducer, node, &own[KEY_ONE_OF]);
    for (unsigned i = 0; i < KEY_COUNT; i++)
        if (own[i].kind != JK_NONE)
            node->keys[i] = own[i];
    node->nullable = node->nullable || own[KEY_NULLABLE].kind == JK_TRUE;
    bool lists = own[KEY_PROPERTIES].kind == JK_OBJECT || own[KEY_REQUIRED].kind == JK_ARRAY;
    if (lists && node->part_count == SCHEMA_PARTS_MAX) {
        node->cut = true;
    } else if (lists) {
        node->properties[node->part_count] = own[KEY_PROPERTIES];
        node->required[node->part_count++] = own[KEY_REQUIRED];
    }
    reducer->depth--;
}

static void put_schema(struct reducer *reducer, struct json_slice schema, bool nullable);

// --- enumerations ---

// The one kind that all values have; JK_NONE if they differ. Null counts as none of them.
static enum json_kind enum_kind(struct json_slice list, bool *nullable)
{
    struct json_iter iter = json_elements_of(list);
    struct json_slice value;
    enum json_kind kind = JK_NONE;
    bool mixed = false;
    while (json_element_next(&iter, &value)) {
        if (value.kind == JK_NULL) {
            *nullable = true;
            continue;
        }
        mixed = mixed || (kind != JK_NONE && kind != value.kind);
        kind = value.kind;
    }
    return mixed ? JK_NONE : kind;
}

// Values that are numbers become strings, which the vendor's enumerations consist of.
static void put_enum(struct sink *out, struct json_slice list)
{
    struct json_iter iter = json_elements_of(list);
    struct json_slice value = list;
    bool more = list.kind != JK_ARRAY || json_element_next(&iter, &value), any = false;
    SINK_TEXT(out, ",\"enum\":[");
    for (; more; more = list.kind == JK_ARRAY && json_element_next(&iter, &value)) {
        if (value.kind == JK_NULL)
            continue;
        if (any)
            SINK_TEXT(out, ",");
        any = true;
        if (value.kind == JK_STRING)
            sink_put(out, value.text);
        else
            sink_quoted(out, words_plain(value.text));
    }
    SINK_TEXT(out, "]");
}

// --- the parts of one schema ---

static struct span type_word(struct json_slice type)
{
    static const struct span words[] = { SPAN("string"),  SPAN("number"), SPAN("integer"),
                                         SPAN("boolean"), SPAN("array"),  SPAN("object"),
                                         SPAN("null") };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (span_eq_nocase(json_string_raw(type), words[i]))
            return words[i];
    return SPAN_NONE;
}

// What a schema is that does not say so.
static struct span type_of(const struct node *node)
{
    if (node->keys[KEY_PROPERTIES].kind != JK_NONE)
        return SPAN("object");
    if (node->keys[KEY_ITEMS].kind != JK_NONE || node->keys[KEY_PREFIX_ITEMS].kind != JK_NONE)
        return SPAN("array");
    if (node->keys[KEY_MINIMUM].kind != JK_NONE || node->keys[KEY_MAXIMUM].kind != JK_NONE ||
        node->keys[KEY_ABOVE].kind == JK_NUMBER || node->keys[KEY_BELOW].kind == JK_NUMBER)
        return SPAN("number");
    return SPAN("string");
}

static void put_key(struct sink *out, struct span name)
{
    SINK_TEXT(out, ",\"");
    sink_put(out, name);
    SINK_TEXT(out, "\":");
}

static void put_format(struct reducer *reducer, const struct node *node, struct span type)
{
    static const struct {
        struct span type, format;
    } known[] = {
        { SPAN("string"), SPAN("date-time") }, { SPAN("string"), SPAN("enum") },
        { SPAN("number"), SPAN("float") },     { SPAN("number"), SPAN("double") },
        { SPAN("integer"), SPAN("int32") },    { SPAN("integer"), SPAN("int64") },
    };
    struct json_slice format = node->keys[KEY_FORMAT];
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (span_eq(type, known[i].type) && json_string_is(format, known[i].format)) {
            put_key(reducer->out, SPAN("format"));
            sink_put(reducer->out, format.text);
            return;
        }
    reducer->changed = reducer->changed || format.kind != JK_NONE;
}

static void put_limit(struct reducer *reducer, const struct node *node, enum key inside,
                      enum key beyond, struct span type)
{
    struct json_slice limit = node->keys[inside], open = node->keys[beyond];
    int64_t value;
    reducer->changed = reducer->changed || open.kind != JK_NONE;
    if (limit.kind == JK_NONE && open.kind != JK_NUMBER)
        return;
    put_key(reducer->out, key_names[inside]);
    if (limit.kind != JK_NONE) {
        sink_put(reducer->out, limit.text);
        return;
    }
    bool whole = span_eq(type, SPAN("integer")) && json_i64(open, &value) &&
                 value > INT64_MIN + 1 && value < INT64_MAX;
    if (!whole) {
        sink_put(reducer->out, open.text);
        return;
    }
    value += beyond == KEY_ABOVE ? 1 : -1;
    if (value < 0)
        SINK_TEXT(reducer->out, "-");
    sink_u64(reducer->out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static void put_required(struct reducer *reducer, const struct node *node, struct props *props)
{
    struct json_slice name;
    uint32_t told = 0;
    for (uint32_t i = 0; i < node->part_count; i++) {
        struct json_iter iter = json_elements_of(node->required[i]);
        while (json_element_next(&iter, &name)) {
            struct prop *prop = props_find(props, json_string_raw(name));
            if (name.kind != JK_STRING || prop == NULL || prop->again) {
                reducer->changed = true;
                continue;
            }
            prop->again = true; // each once
            sink_put(reducer->out, told++ > 0 ? SPAN(",") : SPAN(",\"required\":["));
            sink_put(reducer->out, name.text);
        }
    }
    if (told > 0)
        SINK_TEXT(reducer->out, "]");
}

static void put_properties(struct reducer *reducer, const struct node *node)
{
    struct props props;
    if (!props_of(&props, node->properties, node->part_count, reducer->scratch)) {
        reducer->out->failed = true;
        return;
    }
    if (props.count == 0)
        return;
    SINK_TEXT(reducer->out, ",\"properties\":{");
    for (uint32_t i = 0, told = 0; i < props.count; i++) {
        if (props.list[i].again)
            continue;
        sink_put(reducer->out, told++ > 0 ? SPAN(",\"") : SPAN("\""));
        sink_put(reducer->out, props.list[i].name);
        SINK_TEXT(reducer->out, "\":");
        put_schema(reducer, props_last(&props, &props.list[i])->value, false);
    }
    SINK_TEXT(reducer->out, "}");
    put_required(reducer, node, &props);
}

static void put_items(struct reducer *reducer, const struct node *node)
{
    struct json_slice items = node->keys[KEY_ITEMS];
    if (items.kind != JK_OBJECT) { // one schema for each place: the first stands for all
        struct json_slice list = items.kind == JK_ARRAY ? items : node->keys[KEY_PREFIX_ITEMS];
        struct json_iter iter = json_elements_of(list);
        if (!json_element_next(&iter, &items))
            items = JSON_SLICE_NONE;
        reducer->changed = true;
    }
    put_key(reducer->out, SPAN("items"));
    put_schema(reducer, items, false);
}

// All of a schema that has one type.
static void put_typed(struct reducer *reducer, const struct node *node, struct span type,
                      bool nullable)
{
    struct sink *out = reducer->out;
    struct json_slice list = node->keys[KEY_ENUM];
    if (node->keys[KEY_CONST].kind != JK_NONE)
        list = node->keys[KEY_CONST];
    enum json_kind kind = list.kind == JK_ARRAY ? enum_kind(list, &nullable) : list.kind;
    bool listed = kind == JK_STRING || kind == JK_NUMBER;
    if (list.kind != JK_NONE && (kind != JK_STRING || list.kind != JK_ARRAY))
        reducer->changed = true;
    SINK_TEXT(out, "{\"type\":\"");
    sink_put(out, listed                                ? SPAN("string")
                  : kind == JK_TRUE || kind == JK_FALSE ? SPAN("boolean")
                                                        : type);
    SINK_TEXT(out, "\"");
    if (nullable)
        SINK_TEXT(out, ",\"nullable\":true");
    if (listed)
        put_enum(out, list);
    if (!listed) {
        put_format(reducer, node, type);
        put_limit(reducer, node, KEY_MINIMUM, KEY_ABOVE, type);
        put_limit(reducer, node, KEY_MAXIMUM, KEY_BELOW, type);
    }
    for (unsigned i = KEY_COPIED; i < KEY_COUNT; i++) {
        if (node->keys[i].kind == JK_NONE)
            continue;
        put_key(out, key_names[i]);
        sink_put(out, node->keys[i].text);
    }
    if (span_eq(type, SPAN("array")))
        put_items(reducer, node);
    if (span_eq(type, SPAN("object")))
        put_properties(reducer, node);
    SINK_TEXT(out, "}");
}

// A list of types becomes a choice between schemas of one type each.
static void put_types(struct reducer *reducer, struct node *node)
{
    struct json_iter iter = json_elements_of(node->keys[KEY_TYPE]);
    struct json_slice type;
    struct span only = SPAN_NONE;
    uint32_t count = 0;
    reducer->changed = true;
    while (json_element_next(&iter, &type)) {
        bool null = json_string_is(type, SPAN("null"));
        node->nullable = node->nullable || null;
        count += !null && type_word(type).ptr != NULL;
        only = null || type_word(type).ptr == NULL ? only : type_word(type);
    }
    if (count < 2) {
        put_typed(reducer, node, count == 1 ? only : type_of(node), node->nullable);
        return;
    }
    bool any = false;
    SINK_TEXT(reducer->out, "{\"anyOf\":[");
    iter = json_elements_of(node->keys[KEY_TYPE]);
    while (json_element_next(&iter, &type)) {
        struct span word = type_word(type);
        if (word.ptr == NULL || span_eq(word, SPAN("null")))
            continue;
        if (any)
            SINK_TEXT(reducer->out, ",");
        any = true;
        put_typed(reducer, node, word, node->nullable);
    }
    SINK_TEXT(reducer->out, "]}");
}

static void put_choice(struct reducer *reducer, const struct node *node, struct json_slice list)
{
    struct json_iter iter = json_elements_of(list);
    struct json_slice branch;
    bool any = false;
    SINK_TEXT(reducer->out, "{\"anyOf\":[");
    while (json_element_next(&iter, &branch)) {
        if (is_null_type(branch))
            continue;
        if (any)
            SINK_TEXT(reducer->out, ",");
        any = true;
        put_schema(reducer, branch, node->nullable);
    }
    SINK_TEXT(reducer->out, "]}");
}

static void put_node(struct reducer *reducer, struct node *node)
{
    struct json_slice list = node->keys[KEY_ANY_OF];
    if (list.kind != JK_ARRAY)
        list = node->keys[KEY_ONE_OF];
    reducer->changed = reducer->changed || node->keys[KEY_ONE_OF].kind != JK_NONE;
    bool object = node->keys[KEY_PROPERTIES].kind == JK_OBJECT;
    struct json_slice type = node->keys[KEY_TYPE];
    if (node->cut) {
        SINK_TEXT(reducer->out, "{\"type\":\"object\"}");
    } else if (list.kind == JK_ARRAY && !object) {
        put_choice(reducer, node, list); // which the vendor wants to stand alone
    } else if (type.kind == JK_ARRAY) {
        put_types(reducer, node);
    } else {
        struct span word = type_word(type);
        reducer->changed = reducer->changed || list.kind == JK_ARRAY || word.ptr == NULL;
        put_typed(reducer, node, word.ptr != NULL ? word : type_of(node), node->nullable);
    }
}

static void put_schema(struct reducer *reducer, struct json_slice schema, bool nullable)
{
    struct node node = { .nullable = nullable };
    absorb(reducer, &node, schema);
    reducer->depth++;
    put_node(reducer, &node);
    reducer->depth--;
    reducer->ref_count -= node.refs;
}

bool schema_put_reduced(struct sink *out, struct json_slice schema, struct scratch *scratch)
{
    struct reducer reducer = { .out = out, .scratch = scratch, .root = schema };
    put_schema(&reducer, schema, false);
    assert(reducer.ref_count == 0);
    return reducer.changed;
}

bool schema_is_bare(struct json_slice schema)
{
    struct json_iter iter = json_members_of(json_get(schema, SPAN("properties")));
    struct span key;
    struct json_slice value;
    struct json_slice type = json_get(schema, SPAN("type"));
    if (schema.kind != JK_OBJECT)
        return true;
    return (type.kind == JK_NONE || json_string_is(type, SPAN("object"))) &&
           !json_member_next(&iter, &key, &value) && !json_get(schema, SPAN("$ref")).kind &&
           !json_get(schema, SPAN("anyOf")).kind && !json_get(schema, SPAN("oneOf")).kind &&
           !json_get(schema, SPAN("allOf")).kind;
}

// ------------------------------------------------------------------------------- the way back

static void put_plain_schema(struct sink *out, struct json_slice schema, unsigned depth);

static void put_lower(struct sink *out, struct json_slice type)
{
    struct span word = type_word(type);
    SINK_TEXT(out, "\"");
    sink_put(out, word.ptr != NULL ? word : json_string_raw(type));
    SINK_TEXT(out, "\"");
}

static void put_plain_type(struct sink *out, struct json_slice type, bool nullable)
{
    struct json_iter iter = json_elements_of(type);
    struct json_slice value = type;
    bool list = type.kind == JK_ARRAY, more = !list || json_element_next(&iter, &value);
    if (list || nullable)
        SINK_TEXT(out, "[");
    for (bool any = false; more; any = true) {
        if (any)
            SINK_TEXT(out, ",");
        if (value.kind == JK_STRING)
            put_lower(out, value);
        else
            sink_put(out, value.text);
        more = list && json_element_next(&iter, &value);
    }
    if (nullable) // only beside a single type
        SINK_TEXT(out, ",\"null\"");
    if (list || nullable)
        SINK_TEXT(out, "]");
}

// A list of schemas, or a map of them by name.
static void put_plain_all(struct sink *out, struct json_slice container, unsigned depth)
{
    bool list = container.kind == JK_ARRAY;
    struct json_iter iter = list ? json_elements_of(container) : json_members_of(container);
    struct span key;
    struct json_slice value;
    sink_put(out, list ? SPAN("[") : SPAN("{"));
    for (bool any = false;
         list ? json_element_next(&iter, &value) : json_member_next(&iter, &key, &value);
         any = true) {
        if (any)
            SINK_TEXT(out, ",");
        if (!list) {
            SINK_TEXT(out, "\"");
            sink_put(out, key);
            SINK_TEXT(out, "\":");
        }
        put_plain_schema(out, value, depth + 1);
    }
    sink_put(out, list ? SPAN("]") : SPAN("}"));
}

static bool is_one_of(struct span key, const struct span *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (json_key_is(key, names[i]))
            return true;
    return false;
}

static void put_plain_member(struct sink *out, struct span key, struct json_slice value,
                             bool nullable, unsigned depth)
{
    static const struct span maps[] = { SPAN("properties"), SPAN("$defs"), SPAN("definitions") };
    static const struct span lists[] = { SPAN("anyOf"), SPAN("oneOf"), SPAN("allOf"),
                                         SPAN("prefixItems") };
    static const struct span limits[] = { SPAN("minItems"),      SPAN("maxItems"),
                                          SPAN("minLength"),     SPAN("maxLength"),
                                          SPAN("minProperties"), SPAN("maxProperties"),
                                          SPAN("minimum"),       SPAN("maximum") };
    int64_t number;
    struct json_slice inside;
    if (json_key_is(key, SPAN("type")))
        put_plain_type(out, value, nullable);
    else if ((value.kind == JK_OBJECT && is_one_of(key, maps, ARRAY_LEN(maps))) ||
             (value.kind == JK_ARRAY && is_one_of(key, lists, ARRAY_LEN(lists))))
        put_plain_all(out, value, depth);
    else if (value.kind == JK_OBJECT && json_key_is(key, SPAN("items")))
        put_plain_schema(out, value, depth + 1);
    else if (value.kind == JK_STRING && is_one_of(key, limits, ARRAY_LEN(limits)) &&
             json_check(json_string_raw(value), &inside) && json_i64(inside, &number))
        sink_put(out, inside.text);
    else
        sink_put(out, value.text);
}

static void put_plain_schema(struct sink *out, struct json_slice schema, unsigned depth)
{
    if (schema.kind != JK_OBJECT || depth == SCHEMA_DEPTH_MAX) {
        sink_put(out, schema.text);
        return;
    }
    struct json_iter iter = json_members_of(schema);
    struct span key;
    struct json_slice value;
    // Without a type, `nullable` has nothing to add to and stays as it is.
    bool typed = json_get(schema, SPAN("type")).kind == JK_STRING;
    bool nullable = typed && json_get(schema, SPAN("nullable")).kind == JK_TRUE;
    SINK_TEXT(out, "{");
    for (bool any = false; json_member_next(&iter, &key, &value);) {
        if (typed && json_key_is(key, SPAN("nullable")))
            continue;
        if (any)
            SINK_TEXT(out, ",");
        any = true;
        SINK_TEXT(out, "\"");
        sink_put(out, key);
        SINK_TEXT(out, "\":");
        put_plain_member(out, key, value, nullable, depth);
    }
    SINK_TEXT(out, "}");
}

void schema_put_standard(struct sink *out, struct json_slice schema)
{
    put_plain_schema(out, schema, 0);
}
