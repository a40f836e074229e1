// What the tables say about themselves: explain, env, schema, show.
#include "config_impl.h"

#include "penstock/model/entity.h"
#include "penstock/model/suggest.h"
#include "penstock/model/unit.h"

#include <stdlib.h>

static const struct table *const resource_tables[] = { &account_table, &key_table, &route_table };

static struct span default_text(const struct field *field)
{
    if (field->init != NULL)
        return span_str(field->init);
    if (field->zero != NULL)
        return span_str(field->zero);
    switch (field->kind) {
    case FIELD_BOOL: return SPAN("false");
    case FIELD_INT: return SPAN("0");
    case FIELD_ENUM: return span_str(field->names[0]);
    case FIELD_STRING:
    case FIELD_SECRET:
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_TIME:
    case FIELD_ENUMS:
    case FIELD_STRINGS:
    case FIELD_MAP:
    case FIELD_DIGEST:
    case FIELD_OBJECTS: break;
    }
    return SPAN("none");
}

static void bounds_text(const struct field *field, struct text *out)
{
    char low[UNIT_TEXT_MAX], high[UNIT_TEXT_MAX];
    if (field->max == 0)
        return;
    switch (field->kind) {
    case FIELD_INT:
        text_printf(out, "  bounds   %lld to %lld\n", (long long)field->min, (long long)field->max);
        return;
    case FIELD_DURATION:
        duration_format(low, (uint64_t)field->min);
        duration_format(high, (uint64_t)field->max);
        text_printf(out, "  bounds   %s to %s\n", low, high);
        return;
    case FIELD_SIZE:
        size_format(low, (uint64_t)field->min);
        size_format(high, (uint64_t)field->max);
        text_printf(out, "  bounds   %s to %s\n", low, high);
        return;
    case FIELD_STRING:
    case FIELD_SECRET:
        text_printf(out, "  bounds   at most %lld bytes\n", (long long)field->max);
        return;
    case FIELD_STRINGS:
    case FIELD_MAP:
    case FIELD_OBJECTS:
        text_printf(out, "  bounds   at most %lld entries\n", (long long)field->max);
        return;
    case FIELD_BOOL:
    case FIELD_TIME:
    case FIELD_ENUM:
    case FIELD_ENUMS:
    case FIELD_DIGEST: return;
    }
}

static void explain_field(const struct table *table, const struct field *field, struct text *out)
{
    const bool setting = table == &config_table;
    const struct span init = default_text(field);
    text_printf(out, "%s%s%s\n  %s\n  value    ", setting ? "" : table->plural, setting ? "" : ".",
                field->name, field->help);
    field_kind_text(field, out);
    text_printf(out, "\n  default  %.*s\n", (int)init.len, init.ptr);
    bounds_text(field, out);
    if (field->example != NULL)
        text_printf(out, "  example  %s\n", field->example);
    if (setting) {
        char name[CONFIG_ENV_NAME_MAX];
        config_env_name(field, name);
        text_printf(out, "  changes  %s\n  variable %s\n",
                    (field->flags & FIELD_LIVE) != 0 ? "take effect on reload" : "need a restart",
                    name);
    } else if ((field->flags & FIELD_REQUIRED) != 0) {
        text_add(out, SPAN("  required\n"));
    }
    for (uint32_t i = 0; field->kind == FIELD_OBJECTS && i < field->sub->count; i++)
        text_printf(out, "  %-8s %s\n", field->sub->fields[i].name, field->sub->fields[i].help);
}

static bool explain_code(struct span key, struct text *out)
{
    uint64_t code;
    if (key.len < 2 || (key.ptr[0] != 'C' && key.ptr[0] != 'c') ||
        !span_u64(span_from(key, 1), &code) || code > 9999 || problem_about((unsigned)code) == NULL)
        return false;
    text_printf(out, "C%04u\n  %s\n", (unsigned)code, problem_about((unsigned)code));
    return true;
}

// A section: what stands below "limits", or the fields of "accounts".
static bool explain_section(const struct table *table, struct span prefix, struct text *out)
{
    bool found = false;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct span name = span_str(table->fields[i].name);
        if (prefix.len > 0 &&
            (!span_starts(name, prefix) || name.len <= prefix.len || name.ptr[prefix.len] != '.'))
            continue;
        text_printf(out, "%-34s %s\n", table->fields[i].name, table->fields[i].help);
        found = true;
    }
    return found;
}

bool config_explain(struct span key, struct text *out)
{
    struct suggest suggest = { .word = key };
    if (explain_code(key, out))
        return true;
    const struct field *field = table_find(&config_table, key);
    if (field != NULL) {
        explain_field(&config_table, field, out);
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(resource_tables); i++) {
        const struct table *table = resource_tables[i];
        const struct span plural = span_str(table->plural);
        if (span_eq(key, plural))
            return explain_section(table, SPAN_NONE, out);
        if (!span_starts(key, plural) || key.ptr[plural.len] != '.')
            continue;
        field = table_find(table, span_from(key, plural.len + 1));
        if (field != NULL) {
            explain_field(table, field, out);
            return true;
        }
        suggest.word = span_from(key, plural.len + 1);
        for (uint32_t j = 0; j < table->count; j++)
            suggest_try(&suggest, span_str(table->fields[j].name));
    }
    if (explain_section(&config_table, key, out))
        return true;
    for (uint32_t i = 0; i < config_table.count; i++)
        suggest_try(&suggest, span_str(config_table.fields[i].name));
    text_printf(out, "there is no setting `%.*s`", (int)min_size(key.len, FIELD_NAME_MAX), key.ptr);
    if (suggest.best.ptr != NULL)
        text_printf(out, "; did you mean `%s`?", suggest.best.ptr);
    text_add(out, SPAN("\n"));
    return false;
}

void config_env_list(struct text *out)
{
    for (uint32_t i = 0; i < config_table.count; i++) {
        char name[CONFIG_ENV_NAME_MAX];
        config_env_name(&config_table.fields[i], name);
        const struct span init = default_text(&config_table.fields[i]);
        text_printf(out, "%-50s %.*s\n", name, (int)init.len, init.ptr);
    }
}

static json_t *or_zero(const struct field *field, json_t *schema)
{
    if (field->zero == NULL)
        return schema;
    return json_pack("{s:[o, {s:s}]}", "anyOf", schema, "const", field->zero);
}

static json_t *table_schema(const struct table *table, bool file);

static json_t *enum_schema(const struct field *field)
{
    json_t *names = json_array();
    for (int i = 0; field->names[i] != NULL; i++)
        json_array_append_new(names, json_string(field->names[i]));
    return json_pack("{s:o}", "enum", names);
}

static json_t *kind_schema(const struct field *field)
{
    static const char duration[] = "^([0-9]+(d|h|m|s|ms|us))+$|^\\$\\{.*\\}$";
    static const char size[] = "^([0-9]+(TiB|GiB|MiB|KiB|B))+$|^\\$\\{.*\\}$";
    switch (field->kind) {
    case FIELD_STRING:
    case FIELD_SECRET:
        return json_pack("{s:s, s:I}", "type", "string", "maxLength",
                         (json_int_t)(field->max > 0 ? field->max : FIELD_TEXT_MAX));
    case FIELD_BOOL: return json_pack("{s:s}", "type", "boolean");
    case FIELD_INT:
        return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)field->min,
                         "maximum", (json_int_t)(field->max > 0 ? field->max : INT64_MAX));
    case FIELD_DURATION: return json_pack("{s:s, s:s}", "type", "string", "pattern", duration);
    case FIELD_SIZE: return json_pack("{s:s, s:s}", "type", "string", "pattern", size);
    case FIELD_TIME: return json_pack("{s:s}", "type", "string");
    case FIELD_ENUM: return enum_schema(field);
    case FIELD_ENUMS: return json_pack("{s:s, s:o}", "type", "array", "items", enum_schema(field));
    case FIELD_STRINGS:
        return json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "string");
    case FIELD_MAP:
        return json_pack("{s:s, s:{s:s}}", "type", "object", "additionalProperties", "type",
                         "string");
    case FIELD_DIGEST:
        return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9a-fA-F]{64}$");
    case FIELD_OBJECTS:
        return json_pack("{s:[{s:s}, {s:s, s:o}]}", "anyOf", "type", "string", "type", "array",
                         "items", table_schema(field->sub, true));
    }
    bug("field_kind out of range");
}

// The object at the dotted path before a name's last part, made where it is missing.
static json_t *properties_at(json_t *schema, struct span *name)
{
    json_t *properties = json_object_get(schema, "properties");
    for (size_t dot; (dot = span_find(*name, '.')) < name->len;) {
        char part[FIELD_NAME_MAX];
        assert(dot < sizeof(part));
        memcpy(part, name->ptr, dot);
        part[dot] = '\0';
        json_t *below = json_object_get(properties, part);
        if (below == NULL) {
            below = json_pack("{s:s, s:b, s:{}}", "type", "object", "additionalProperties", 0,
                              "properties");
            json_object_set_new(properties, part, below);
        }
        properties = json_object_get(below, "properties");
        *name = span_from(*name, dot + 1);
    }
    return properties;
}

static json_t *table_schema(const struct table *table, bool file)
{
    json_t *schema = json_pack("{s:s, s:b, s:{}, s:[]}", "type", "object", "additionalProperties",
                               0, "properties", "required");
    for (uint32_t i = 0; i < table->count; i++) {
        const struct field *field = &table->fields[i];
        if ((field->flags & FIELD_READ_ONLY) != 0 ||
            (!file && (field->flags & FIELD_FILE_ONLY) != 0))
            continue;
        struct span name = span_str(field->name);
        json_t *properties = properties_at(schema, &name);
        json_t *item = or_zero(field, kind_schema(field));
        json_object_set_new(item, "description", json_string(field->help));
        if (field->init != NULL)
            json_object_set_new(item, "default", json_string(field->init));
        json_object_set_new(properties, name.ptr, item);
        if ((field->flags & FIELD_REQUIRED) != 0)
            json_array_append_new(json_object_get(schema, "required"), json_string(field->name));
    }
    return schema;
}

json_t *config_schema(void)
{
    json_t *schema = table_schema(&config_table, true);
    json_object_set_new(schema, "$schema",
                        json_string("https://json-schema.org/draft/2020-12/schema"));
    json_object_set_new(schema, "title", json_string("Penstock configuration"));
    json_t *resources =
        json_pack("{s:s, s:b, s:{}}", "type", "object", "additionalProperties", 0, "properties");
    for (size_t i = 0; i < ARRAY_LEN(resource_tables); i++)
        json_object_set_new(json_object_get(resources, "properties"), resource_tables[i]->plural,
                            json_pack("{s:s, s:o}", "type", "array", "items",
                                      table_schema(resource_tables[i], true)));
    json_object_set_new(json_object_get(schema, "properties"), "resources", resources);
    return schema;
}

// JSON is YAML: scalars and lists are written as JSON, maps of settings are indented.
static void show_map(const json_t *map, size_t indent, struct text *out)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)map, key, value)
    {
        text_add_char(out, ' ', indent);
        if (json_is_object(value) && json_object_size(value) > 0 && indent < 8) {
            text_printf(out, "%s:\n", key);
            show_map(value, indent + 2, out);
            continue;
        }
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        verify(text != NULL);
        text_printf(out, "%s: %s\n", key, text);
        free(text);
    }
}

void config_show(const struct config *cfg, struct text *out)
{
    json_t *json = record_json(&cfg->record);
    show_map(json, 0, out);
    json_decref(json);
}
