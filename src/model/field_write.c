// Records for people: JSON and one-line texts, with secrets masked.
#include "field_impl.h"
#include "penstock/base/guard.h"
#include "penstock/model/unit.h"

#include <stdlib.h>

static json_t *text_json(struct span text)
{
    json_t *json = text.len > 0 ? json_stringn(text.ptr, text.len) : json_null();
    verify(json != NULL); // texts were checked to be UTF-8 when they were read
    return json;
}

static json_t *strings_json(struct strings strings)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < strings.count; i++)
        json_array_append_new(list, text_json(strings.items[i]));
    return list;
}

static json_t *pairs_json(struct pairs pairs, bool masked)
{
    json_t *map = json_object();
    for (uint32_t i = 0; i < pairs.count; i++)
        // Keys were read from a map or from the stored form, and end with a NUL.
        json_object_set_new(map, pairs.items[i].key.ptr,
                            masked ? json_string(SECRET_MASK) : text_json(pairs.items[i].value));
    return map;
}

static json_t *enums_json(const struct field *field, uint32_t set)
{
    json_t *list = json_array();
    for (int i = 0; field->names[i] != NULL; i++)
        if ((set & BIT(i)) != 0)
            json_array_append_new(list, json_string(field->names[i]));
    return list;
}

static size_t digest_text(const uint8_t *digest, char out[2 * DIGEST_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[2 * DIGEST_BYTES] = '\0';
    return 2 * DIGEST_BYTES;
}

static json_t *quantity_json(const struct field *field, uint64_t number)
{
    char text[UNIT_TEXT_MAX];
    if (number == 0 && field->zero != NULL)
        return json_string(field->zero);
    switch (field->kind) {
    case FIELD_DURATION: duration_format(text, number); return json_string(text);
    case FIELD_SIZE: size_format(text, number); return json_string(text);
    case FIELD_TIME:
        if (number == 0)
            return json_null();
        time_format(text, number);
        return json_string(text);
    case FIELD_STRING:
    case FIELD_SECRET:
    case FIELD_BOOL:
    case FIELD_INT:
    case FIELD_ENUM:
    case FIELD_ENUMS:
    case FIELD_STRINGS:
    case FIELD_MAP:
    case FIELD_DIGEST:
    case FIELD_OBJECTS: break;
    }
    bug("only quantities come here");
}

static json_t *field_json(const void *base, const struct field *field);

static json_t *objects_json(struct objects objects, const struct table *sub)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < objects.count; i++) {
        json_t *item = json_object();
        for (uint32_t j = 0; j < sub->count; j++)
            json_object_set_new(item, sub->fields[j].name,
                                field_json((char *)objects.items + i * sub->size, &sub->fields[j]));
        json_array_append_new(list, item);
    }
    return list;
}

static json_t *field_json(const void *base, const struct field *field)
{
    char hex[2 * DIGEST_BYTES + 1];
    switch (field->kind) {
    case FIELD_STRING: {
        const struct span text = *AS(struct span, base, field);
        return text.len == 0 && field->zero != NULL ? json_string(field->zero) : text_json(text);
    }
    case FIELD_SECRET:
        if (*AS(struct secret *, base, field) == NULL)
            return json_null();
        return GUARD(SECRET_MASKED) ? json_string(SECRET_MASK)
                                    : text_json(secret_reveal(*AS(struct secret *, base, field)));
    case FIELD_BOOL: return json_boolean(*AS(bool, base, field));
    case FIELD_INT:
        return *AS(int64_t, base, field) == 0 && field->zero != NULL
                   ? json_string(field->zero)
                   : json_integer(*AS(int64_t, base, field));
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_TIME: return quantity_json(field, *AS(uint64_t, base, field));
    case FIELD_ENUM: return json_string(field->names[*AS(int, base, field)]);
    case FIELD_ENUMS: return enums_json(field, *AS(uint32_t, base, field));
    case FIELD_STRINGS: return strings_json(*AS(struct strings, base, field));
    case FIELD_MAP:
        return pairs_json(*AS(struct pairs, base, field), field_is(field, FIELD_SENSITIVE));
    case FIELD_DIGEST: digest_text(field_at(base, field), hex); return json_string(hex);
    case FIELD_OBJECTS: return objects_json(*AS(struct objects, base, field), field->sub);
    }
    bug("field_kind out of range");
}

// Puts `item` at a dotted name.
static void set_at(json_t *map, const char *name, json_t *item)
{
    struct span rest = span_str(name);
    for (;;) {
        char part[FIELD_NAME_MAX];
        const size_t len = span_find(rest, '.');
        assert(len < sizeof(part));
        memcpy(part, rest.ptr, len);
        part[len] = '\0';
        if (len == rest.len) {
            json_object_set_new(map, part, item);
            return;
        }
        json_t *below = json_object_get(map, part);
        if (below == NULL) {
            below = json_object();
            json_object_set_new(map, part, below);
        }
        map = below;
        rest = span_from(rest, len + 1);
    }
}

json_t *record_json(const struct record *record)
{
    json_t *map = json_object();
    for (uint32_t i = 0; i < record->table->count; i++) {
        const struct field *field = &record->table->fields[i];
        if (!field_is(field, FIELD_HIDDEN) && !field_is(field, FIELD_INPUT_ONLY))
            set_at(map, field->name, field_json(record, field));
    }
    return map;
}

void field_write(const struct record *record, const struct field *field, struct text *out)
{
    json_t *json = field_json(record, field);
    if (json_is_string(json)) {
        text_add(out, span_of(json_string_value(json), json_string_length(json)));
    } else if (!json_is_null(json)) {
        char *text = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
        verify(text != NULL);
        text_add(out, span_str(text));
        free(text);
    }
    json_decref(json);
}

static void names_text(const struct field *field, struct text *out)
{
    for (int i = 0; field->names[i] != NULL; i++)
        text_printf(out, "%s%s", i > 0 ? ", " : "", field->names[i]);
}

void field_kind_text(const struct field *field, struct text *out)
{
    switch (field->kind) {
    case FIELD_STRING: text_add(out, SPAN("a text")); break;
    case FIELD_SECRET: text_add(out, SPAN("a secret text")); break;
    case FIELD_BOOL: text_add(out, SPAN("true or false")); break;
    case FIELD_INT: text_add(out, SPAN("a whole number")); break;
    case FIELD_DURATION: text_add(out, SPAN("a duration with its unit")); break;
    case FIELD_SIZE: text_add(out, SPAN("a size with its unit")); break;
    case FIELD_TIME: text_add(out, SPAN("a time in UTC")); break;
    case FIELD_ENUM:
        text_add(out, SPAN("one of "));
        names_text(field, out);
        break;
    case FIELD_ENUMS:
        text_add(out, SPAN("a list of "));
        names_text(field, out);
        break;
    case FIELD_STRINGS: text_add(out, SPAN("a list of texts")); break;
    case FIELD_MAP: text_add(out, SPAN("a map of texts")); break;
    case FIELD_DIGEST: text_add(out, SPAN("64 hexadecimal digits")); break;
    case FIELD_OBJECTS: text_add(out, SPAN("a list of maps")); break;
    }
    if (field->zero != NULL)
        text_printf(out, " or `%s`", field->zero);
}
