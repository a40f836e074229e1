#include "schema.h"

#include "penstock/convert/words.h"

// ---------------------------------------------------------------------------------- references

enum { STEPS_MAX = 16, STEP_BYTES = 256 };

// One step of a JSON pointer, without its escapes; false if it does not fit.
static bool step_read(struct span step, char *out, size_t *len)
{
    *len = 0;
    for (size_t i = 0; i < step.len; i++) {
        char letter = step.ptr[i];
        if (letter == '~' && i + 1 < step.len)
            letter = step.ptr[++i] == '1' ? '/' : '~';
        if (*len == STEP_BYTES)
            return false;
        out[(*len)++] = letter;
    }
    return true;
}

static struct json_slice member_called(struct json_slice object, struct span name)
{
    struct json_iter iter = json_members_of(object);
    struct json_slice value, found = JSON_SLICE_NONE;
    struct span key;
    while (json_member_next(&iter, &key, &value))
        if (words_are((struct words){ .raw = key, .escaped = true }, name))
            found = value;
    return found;
}

struct json_slice schema_resolve(struct json_slice root, struct json_slice ref)
{
    char room[STEPS_MAX * STEP_BYTES], step[STEP_BYTES];
    struct span path = words_view(words_of(ref), room, sizeof(room));
    if (path.len == 0 || path.ptr[0] != '#')
        return JSON_SLICE_NONE;
    path = span_from(path, 1);
    struct json_slice at = root;
    for (unsigned i = 0; path.len > 0; i++) {
        if (i == STEPS_MAX || path.ptr[0] != '/')
            return JSON_SLICE_NONE;
        path = span_from(path, 1);
        size_t end = span_find(path, '/'), len;
        if (!step_read(span_upto(path, end), step, &len))
            return JSON_SLICE_NONE;
        at = member_called(at, span_of(step, len));
        path = span_from(path, end);
    }
    return at;
}

// ---------------------------------------------------------------------------------- properties

static uint32_t name_hash(struct span name)
{
    uint32_t hash = 2166136261u; // FNV-1a
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.ptr[i]) * 16777619u;
    return hash;
}

static void prop_add(struct props *props, struct span name, struct json_slice value)
{
    struct prop *prop = &props->list[props->count++];
    *prop = (struct prop){ .name = name, .value = value };
    uint32_t at = name_hash(name) & props->mask;
    for (; props->slots[at] != 0; at = (at + 1) & props->mask) {
        struct prop *first = &props->list[props->slots[at] - 1];
        if (!span_eq(first->name, name))
            continue;
        while (first->next != 0)
            first = &props->list[first->next - 1];
        first->next = props->count;
        prop->again = true;
        return;
    }
    props->slots[at] = props->count;
}

bool props_of(struct props *props, const struct json_slice *objects, uint32_t count,
              struct scratch *scratch)
{
    struct span key;
    struct json_slice value;
    uint32_t total = 0, slots = 4;
    for (uint32_t i = 0; i < count; i++) {
        struct json_iter iter = json_members_of(objects[i]);
        while (json_member_next(&iter, &key, &value))
            total++;
    }
    while (slots < 2 * total)
        slots *= 2;
    *props = (struct props){ .mask = slots - 1 };
    props->list = scratch_take(scratch, max_size(total, 1) * sizeof(*props->list));
    props->slots = scratch_take(scratch, slots * sizeof(*props->slots));
    if (props->list == NULL || props->slots == NULL)
        return false;
    memset(props->slots, 0, slots * sizeof(*props->slots));
    for (uint32_t i = 0; i < count; i++) {
        struct json_iter iter = json_members_of(objects[i]);
        while (json_member_next(&iter, &key, &value))
            prop_add(props, key, value);
    }
    return true;
}

struct prop *props_find(const struct props *props, struct span name)
{
    for (uint32_t at = name_hash(name) & props->mask; props->slots[at] != 0;
         at = (at + 1) & props->mask) {
        struct prop *prop = &props->list[props->slots[at] - 1];
        if (span_eq(prop->name, name))
            return prop;
    }
    return NULL;
}

const struct prop *props_last(const struct props *props, const struct prop *first)
{
    while (first->next != 0)
        first = &props->list[first->next - 1];
    return first;
}

// ------------------------------------------------------------------------- an object at the root

static bool has_type(struct json_slice type, struct span name)
{
    struct json_iter iter = json_elements_of(type);
    struct json_slice element;
    while (json_element_next(&iter, &element))
        if (json_string_is(element, name))
            return true;
    return json_string_is(type, name);
}

// What one schema says about being an object, without its unions.
static bool may_be_object(struct json_slice schema)
{
    struct json_slice type = json_get(schema, SPAN("type"));
    if (type.kind != JK_NONE)
        return has_type(type, SPAN("object"));
    return json_get(schema, SPAN("enum")).kind == JK_NONE &&
           json_get(schema, SPAN("const")).kind == JK_NONE &&
           json_get(schema, SPAN("items")).kind == JK_NONE;
}

static const struct span unions[] = { SPAN("anyOf"), SPAN("oneOf"), SPAN("allOf") };

struct merge {
    struct json_slice parts[SCHEMA_PARTS_MAX];
    uint32_t count, own; // parts[own] is the root itself
    bool any;            // parts before it are choices, not demands
    bool odd;            // one of them is no object, or there are too many
};

static void merge_branches(struct merge *merge, struct json_slice root, struct json_slice list)
{
    struct json_iter iter = json_elements_of(list);
    struct json_slice branch;
    while (json_element_next(&iter, &branch)) {
        struct json_slice ref = json_get(branch, SPAN("$ref"));
        struct json_slice target = ref.kind == JK_STRING ? schema_resolve(root, ref) : branch;
        if (target.kind != JK_OBJECT || !may_be_object(target) ||
            merge->count == SCHEMA_PARTS_MAX - 1) {
            merge->odd = true;
            return;
        }
        merge->parts[merge->count++] = target;
    }
}

static struct merge merge_of(struct json_slice schema)
{
    struct merge merge = { .odd = schema.kind == JK_OBJECT && !may_be_object(schema) };
    for (size_t i = 0; i < ARRAY_LEN(unions); i++) {
        struct json_slice list = json_get(schema, unions[i]);
        merge.any = merge.any || (list.kind == JK_ARRAY && i < 2);
        merge_branches(&merge, schema, list);
    }
    merge.own = merge.count;
    merge.parts[merge.count++] = schema;
    return merge;
}

bool schema_is_wrapped(struct json_slice schema)
{
    return merge_of(schema).odd;
}

// The members of the root that stay as they are.
static bool put_members(struct sink *out, struct json_slice schema, bool wrapped, bool defs_only)
{
    static const struct span ours[] = { SPAN("type"),       SPAN("anyOf"),   SPAN("oneOf"),
                                        SPAN("allOf"),      SPAN("not"),     SPAN("enum"),
                                        SPAN("properties"), SPAN("required") };
    struct json_iter iter = json_members_of(schema);
    struct span key;
    struct json_slice value;
    bool any = false;
    while (json_member_next(&iter, &key, &value)) {
        bool defs = json_key_is(key, SPAN("$defs")) || json_key_is(key, SPAN("definitions"));
        bool skip = wrapped && defs != defs_only;
        for (size_t i = 0; !wrapped && i < ARRAY_LEN(ours); i++)
            skip = skip || json_key_is(key, ours[i]);
        if (skip)
            continue;
        if (any || !wrapped || defs_only)
            SINK_TEXT(out, ",");
        any = true;
        SINK_TEXT(out, "\"");
        sink_put(out, key);
        SINK_TEXT(out, "\":");
        sink_put(out, value.text);
    }
    return any;
}

static void put_wrapped(struct sink *out, struct json_slice schema)
{
    SINK_TEXT(out, "{\"type\":\"object\"");
    (void)put_members(out, schema, true, true); // references count from the root
    SINK_TEXT(out, ",\"properties\":{\"value\":{");
    (void)put_members(out, schema, true, false);
    SINK_TEXT(out, "}},\"required\":[\"value\"]}");
}

// A property that several branches have may be what any of them says.
static void put_alternatives(struct sink *out, const struct props *props, const struct prop *first)
{
    const struct prop *prop = first;
    bool differ = false;
    for (; prop->next != 0; prop = &props->list[prop->next - 1])
        differ = differ || !span_eq(props->list[prop->next - 1].value.text, first->value.text);
    if (!differ) {
        sink_put(out, first->value.text);
        return;
    }
    SINK_TEXT(out, "{\"anyOf\":[");
    sink_put(out, first->value.text);
    for (prop = first; prop->next != 0;) {
        prop = &props->list[prop->next - 1];
        SINK_TEXT(out, ",");
        sink_put(out, prop->value.text);
    }
    SINK_TEXT(out, "]}");
}

static bool requires(struct json_slice schema, struct span name)
{
    struct json_iter iter = json_elements_of(json_get(schema, SPAN("required")));
    struct json_slice element;
    while (json_element_next(&iter, &element))
        if (span_eq(json_string_raw(element), name))
            return true;
    return false;
}

// In a union only what each branch requires is required.
static bool all_require(const struct merge *merge, struct span name)
{
    if (requires(merge->parts[merge->own], name))
        return true;
    bool any = false, all = merge->own > 0;
    for (uint32_t i = 0; i < merge->own; i++) {
        bool here = requires(merge->parts[i], name);
        any = any || here;
        all = all && here;
    }
    return merge->any ? all : any;
}

static void put_merged(struct sink *out, const struct merge *merge, struct scratch *scratch)
{
    struct json_slice lists[SCHEMA_PARTS_MAX];
    struct props props;
    for (uint32_t i = 0; i < merge->count; i++)
        lists[i] = json_get(merge->parts[i], SPAN("properties"));
    if (!props_of(&props, lists, merge->count, scratch)) {
        out->failed = true;
        return;
    }
    SINK_TEXT(out, "{\"type\":\"object\"");
    (void)put_members(out, merge->parts[merge->own], false, false);
    SINK_TEXT(out, ",\"properties\":{");
    for (uint32_t i = 0, told = 0; i < props.count; i++) {
        if (props.list[i].again)
            continue;
        sink_put(out, told++ > 0 ? SPAN(",\"") : SPAN("\""));
        sink_put(out, props.list[i].name);
        SINK_TEXT(out, "\":");
        put_alternatives(out, &props, &props.list[i]);
    }
    SINK_TEXT(out, "}");
    uint32_t told = 0;
    for (uint32_t i = 0; i < props.count; i++) {
        if (props.list[i].again || !all_require(merge, props.list[i].name))
            continue;
        sink_put(out, told++ > 0 ? SPAN(",\"") : SPAN(",\"required\":[\""));
        sink_put(out, props.list[i].name);
        SINK_TEXT(out, "\"");
    }
    sink_put(out, told > 0 ? SPAN("]}") : SPAN("}"));
}

bool schema_put_object(struct sink *out, struct json_slice schema, struct scratch *scratch)
{
    if (schema.kind != JK_OBJECT) { // C-034
        SINK_TEXT(out, "{\"type\":\"object\",\"properties\":{}}");
        return false;
    }
    struct merge merge = merge_of(schema);
    struct json_slice type = json_get(schema, SPAN("type"));
    bool more = merge.own > 0 || type.kind == JK_ARRAY ||
                json_get(schema, SPAN("not")).kind != JK_NONE ||
                json_get(schema, SPAN("enum")).kind != JK_NONE;
    if (merge.odd) {
        put_wrapped(out, schema);
    } else if (more) {
        put_merged(out, &merge, scratch);
    } else if (type.kind != JK_NONE) {
        sink_put(out, schema.text);
    } else {
        struct json_iter iter = json_members_of(schema);
        struct span key;
        struct json_slice value;
        bool empty = !json_member_next(&iter, &key, &value);
        sink_put(out, empty ? SPAN("{\"type\":\"object\",\"properties\":{}")
                            : SPAN("{\"type\":\"object\","));
        sink_put(out, empty ? SPAN("}") : span_from(schema.text, 1));
    }
    return merge.odd || more;
}

// ----------------------------------------------------------------------------------- strictness

static bool all_strict(struct json_slice container, bool is_list, unsigned depth);

static bool is_strict(struct json_slice schema, unsigned depth)
{
    if (schema.kind != JK_OBJECT || depth == SCHEMA_DEPTH_MAX)
        return false;
    static const struct span maps[] = { SPAN("properties"), SPAN("$defs"), SPAN("definitions") };
    static const struct span lists[] = { SPAN("anyOf"), SPAN("oneOf"), SPAN("allOf"),
                                         SPAN("prefixItems") };
    struct json_slice properties = json_get(schema, SPAN("properties"));
    struct json_slice items = json_get(schema, SPAN("items"));
    bool object =
        properties.kind != JK_NONE || has_type(json_get(schema, SPAN("type")), SPAN("object"));
    if (object && json_get(schema, SPAN("additionalProperties")).kind != JK_FALSE)
        return false;
    struct json_iter iter = json_members_of(properties);
    struct span key;
    struct json_slice value;
    while (json_member_next(&iter, &key, &value))
        if (!requires(schema, key))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(maps); i++)
        if (!all_strict(json_get(schema, maps[i]), false, depth))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        if (!all_strict(json_get(schema, lists[i]), true, depth))
            return false;
    return items.kind == JK_NONE || is_strict(items, depth + 1);
}

static bool all_strict(struct json_slice container, bool is_list, unsigned depth)
{
    struct json_iter iter = is_list ? json_elements_of(container) : json_members_of(container);
    struct span key;
    struct json_slice value;
    while (is_list ? json_element_next(&iter, &value) : json_member_next(&iter, &key, &value))
        if (!is_strict(value, depth + 1))
            return false;
    return true;
}

bool schema_is_strict(struct json_slice schema)
{
    return is_strict(schema, 0);
}
