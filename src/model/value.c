#include "penstock/model/value.h"

#include "penstock/base/check.h"

#include <stdio.h>

struct value *value_find(const struct value *map, struct span key)
{
    for (struct value *entry = map->kind == VALUE_MAP ? map->first : NULL; entry != NULL;
         entry = entry->next)
        if (span_eq(entry->key, key))
            return entry;
    return NULL;
}

const char *value_kind_name(enum value_kind kind)
{
    switch (kind) {
    case VALUE_NULL: return "nothing";
    case VALUE_BOOL: return "true or false";
    case VALUE_NUMBER: return "a number";
    case VALUE_WORD: return "a word";
    case VALUE_TEXT: return "a text";
    case VALUE_LIST: return "a list";
    case VALUE_MAP: return "a map";
    }
    bug("value_kind out of range");
}

static struct value *from_json(struct region *region, const json_t *json, unsigned depth);

static bool children_from_json(struct region *region, struct value *value, const json_t *json,
                               unsigned depth)
{
    struct value **end = &value->first;
    if (json_is_array(json)) {
        for (size_t i = 0; i < json_array_size(json); i++) {
            *end = from_json(region, json_array_get(json, i), depth + 1);
            if (*end == NULL)
                return false;
            end = &(*end)->next;
            value->count++;
        }
        return true;
    }
    const char *key;
    json_t *child;
    json_object_foreach((json_t *)json, key, child)
    {
        *end = from_json(region, child, depth + 1);
        if (*end == NULL)
            return false;
        (*end)->key = region_dup(region, span_str(key));
        end = &(*end)->next;
        value->count++;
    }
    return true;
}

// Depth is bounded by VALUE_DEPTH_MAX, whatever the input.
static struct value *from_json(struct region *region, const json_t *json, unsigned depth)
{
    if (depth > VALUE_DEPTH_MAX)
        return NULL;
    struct value *value = REGION_NEW(region, struct value);
    switch (json_typeof(json)) {
    case JSON_NULL: value->kind = VALUE_NULL; return value;
    case JSON_TRUE:
    case JSON_FALSE:
        value->kind = VALUE_BOOL;
        value->text = json_is_true(json) ? SPAN("true") : SPAN("false");
        return value;
    case JSON_INTEGER:
        value->kind = VALUE_NUMBER;
        value->text = region_printf(region, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
        return value;
    case JSON_REAL:
        value->kind = VALUE_NUMBER;
        value->text = region_printf(region, "%.17g", json_real_value(json));
        return value;
    case JSON_STRING:
        value->kind = VALUE_TEXT;
        value->text =
            region_dup(region, span_of(json_string_value(json), json_string_length(json)));
        return value;
    case JSON_ARRAY:
    case JSON_OBJECT:
        value->kind = json_is_array(json) ? VALUE_LIST : VALUE_MAP;
        return children_from_json(region, value, json, depth) ? value : NULL;
    }
    bug("json_type out of range");
}

struct value *value_from_json(struct region *region, const json_t *json)
{
    return from_json(region, json, 0);
}
