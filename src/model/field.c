// Records as memory: made, wiped, copied, compared.
#include "penstock/model/field.h"

#include "field_impl.h"

enum { RECORD_REGION_BYTES = 512 };

const struct field *table_find(const struct table *table, struct span name)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (span_eq(name, span_str(table->fields[i].name)))
            return &table->fields[i];
    return NULL;
}

const struct field *table_find_tag(const struct table *table, unsigned tag)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->fields[i].tag == tag)
            return &table->fields[i];
    return NULL;
}

static uint32_t row_of(const struct record *record, const struct field *field)
{
    assert(field >= record->table->fields);
    const uint32_t row = (uint32_t)(field - record->table->fields);
    assert(row < record->table->count);
    return row;
}

bool record_has(const struct record *record, const struct field *field)
{
    const uint32_t row = row_of(record, field);
    return (record->given[row / 64] >> (row % 64) & 1) != 0;
}

void record_mark(struct record *record, const struct field *field, bool given)
{
    const uint32_t row = row_of(record, field);
    const uint64_t bit = UINT64_C(1) << (row % 64);
    if (given)
        record->given[row / 64] |= bit;
    else
        record->given[row / 64] &= ~bit;
}

static void set_defaults(struct record *record)
{
    assert(record->table->count <= FIELDS_MAX);
    for (uint32_t i = 0; i < record->table->count; i++)
        field_default(record, &record->table->fields[i], record_home(record));
}

void record_init(struct record *record, const struct table *table, struct vault *vault)
{
    assert(table->size >= sizeof(*record));
    memset(record, 0, table->size);
    record->table = table;
    record->vault = vault;
    region_init(&record->region, RECORD_REGION_BYTES);
    set_defaults(record);
}

static void clear_all(struct record *record)
{
    for (uint32_t i = 0; i < record->table->count; i++)
        field_clear(record, &record->table->fields[i]);
}

void record_fini(struct record *record)
{
    clear_all(record);
    region_fini(&record->region);
    bytes_wipe(record, record->table->size);
}

// A record on the heap lies in its own region, so that it is one block with its texts.
struct record *record_new_sized(const struct table *table, struct vault *vault, size_t texts)
{
    assert(table->size >= sizeof(struct record));
    struct region region;
    region_init(&region, table->size + texts);
    struct record *record = region_take(&region, table->size);
    record->table = table;
    record->vault = vault;
    record->region = region;
    set_defaults(record);
    return record;
}

struct record *record_new(const struct table *table, struct vault *vault)
{
    return record_new_sized(table, vault, RECORD_REGION_BYTES);
}

void record_free(struct record **record)
{
    if (*record == NULL)
        return;
    clear_all(*record);
    struct region region = (*record)->region;
    region_fini(&region);
    *record = NULL;
}

struct record *record_copy(const struct record *from)
{
    struct record *copy = record_new(from->table, from->vault);
    for (uint32_t i = 0; i < from->table->count; i++) {
        const struct field *field = &from->table->fields[i];
        field_clear(copy, field);
        field_copy(copy, from, field, record_home(copy));
    }
    memcpy(copy->given, from->given, sizeof(copy->given));
    return copy;
}

void record_field_copy(struct record *to, const struct record *from, const struct field *field)
{
    assert(to->table == from->table);
    field_clear(to, field);
    field_copy(to, from, field, record_home(to));
    record_mark(to, field, record_has(from, field));
}

bool record_eq(const struct record *a, const struct record *b)
{
    assert(a->table == b->table);
    for (uint32_t i = 0; i < a->table->count; i++)
        if (!field_eq(a, b, &a->table->fields[i]))
            return false;
    return true;
}

void record_text(struct record *record, struct span *member, struct span text)
{
    *member = region_dup(&record->region, text);
}

static void objects_clear(struct objects *objects, const struct table *sub)
{
    for (uint32_t i = 0; i < objects->count; i++)
        for (uint32_t j = 0; j < sub->count; j++)
            field_clear((char *)objects->items + i * sub->size, &sub->fields[j]);
    *objects = (struct objects){ 0 };
}

void field_clear(void *base, const struct field *field)
{
    switch (field->kind) {
    case FIELD_STRING: *AS(struct span, base, field) = SPAN_NONE; return;
    case FIELD_SECRET: secret_free(AS(struct secret *, base, field)); return;
    case FIELD_BOOL: *AS(bool, base, field) = false; return;
    case FIELD_INT: *AS(int64_t, base, field) = 0; return;
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_TIME: *AS(uint64_t, base, field) = 0; return;
    case FIELD_ENUM: *AS(int, base, field) = 0; return;
    case FIELD_ENUMS: *AS(uint32_t, base, field) = 0; return;
    case FIELD_STRINGS: *AS(struct strings, base, field) = (struct strings){ 0 }; return;
    case FIELD_MAP: *AS(struct pairs, base, field) = (struct pairs){ 0 }; return;
    case FIELD_DIGEST: memset(field_at(base, field), 0, DIGEST_BYTES); return;
    case FIELD_OBJECTS: objects_clear(AS(struct objects, base, field), field->sub); return;
    }
    bug("field_kind out of range");
}

static struct strings strings_copy(struct strings from, struct home home)
{
    struct strings to = { REGION_ARRAY(home.region, struct span, from.count), from.count };
    for (uint32_t i = 0; i < from.count; i++)
        to.items[i] = region_dup(home.region, from.items[i]);
    return to;
}

static struct pairs pairs_copy(struct pairs from, struct home home)
{
    struct pairs to = { REGION_ARRAY(home.region, struct pair, from.count), from.count };
    for (uint32_t i = 0; i < from.count; i++) {
        to.items[i].key = region_dup(home.region, from.items[i].key);
        to.items[i].value = region_dup(home.region, from.items[i].value);
    }
    return to;
}

// Tables nest as deep as the program declares them: two levels.
static struct objects objects_copy(struct objects from, const struct table *sub, struct home home)
{
    struct objects to = { region_array(home.region, from.count, sub->size), from.count };
    for (uint32_t i = 0; i < from.count; i++)
        for (uint32_t j = 0; j < sub->count; j++)
            field_copy((char *)to.items + i * sub->size, (char *)from.items + i * sub->size,
                       &sub->fields[j], home);
    return to;
}

void field_copy(void *to, const void *from, const struct field *field, struct home home)
{
    switch (field->kind) {
    case FIELD_STRING:
        if (AS(struct span, from, field)->ptr != NULL)
            *AS(struct span, to, field) = region_dup(home.region, *AS(struct span, from, field));
        return;
    case FIELD_SECRET:
        if (*AS(struct secret *, from, field) != NULL) {
            *AS(struct secret *, to, field) =
                secret_copy(home.vault, *AS(struct secret *, from, field));
            verify(*AS(struct secret *, to, field) != NULL);
        }
        return;
    case FIELD_BOOL: *AS(bool, to, field) = *AS(bool, from, field); return;
    case FIELD_INT: *AS(int64_t, to, field) = *AS(int64_t, from, field); return;
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_TIME: *AS(uint64_t, to, field) = *AS(uint64_t, from, field); return;
    case FIELD_ENUM: *AS(int, to, field) = *AS(int, from, field); return;
    case FIELD_ENUMS: *AS(uint32_t, to, field) = *AS(uint32_t, from, field); return;
    case FIELD_STRINGS:
        *AS(struct strings, to, field) = strings_copy(*AS(struct strings, from, field), home);
        return;
    case FIELD_MAP:
        *AS(struct pairs, to, field) = pairs_copy(*AS(struct pairs, from, field), home);
        return;
    case FIELD_DIGEST: memcpy(field_at(to, field), field_at(from, field), DIGEST_BYTES); return;
    case FIELD_OBJECTS:
        *AS(struct objects, to, field) =
            objects_copy(*AS(struct objects, from, field), field->sub, home);
        return;
    }
    bug("field_kind out of range");
}

static bool strings_eq(struct strings a, struct strings b)
{
    if (a.count != b.count)
        return false;
    for (uint32_t i = 0; i < a.count; i++)
        if (!span_eq(a.items[i], b.items[i]))
            return false;
    return true;
}

static bool pairs_eq(struct pairs a, struct pairs b)
{
    if (a.count != b.count)
        return false;
    for (uint32_t i = 0; i < a.count; i++)
        if (!span_eq(a.items[i].key, b.items[i].key) ||
            !span_eq(a.items[i].value, b.items[i].value))
            return false;
    return true;
}

static bool objects_eq(struct objects a, struct objects b, const struct table *sub)
{
    if (a.count != b.count)
        return false;
    for (uint32_t i = 0; i < a.count; i++)
        for (uint32_t j = 0; j < sub->count; j++)
            if (!field_eq((char *)a.items + i * sub->size, (char *)b.items + i * sub->size,
                          &sub->fields[j]))
                return false;
    return true;
}

static bool secrets_eq(const struct secret *a, const struct secret *b)
{
    return a == NULL || b == NULL ? a == b : secret_eq(a, b);
}

bool field_eq(const void *a, const void *b, const struct field *field)
{
    switch (field->kind) {
    case FIELD_STRING: return span_eq(*AS(struct span, a, field), *AS(struct span, b, field));
    case FIELD_SECRET:
        return secrets_eq(*AS(struct secret *, a, field), *AS(struct secret *, b, field));
    case FIELD_BOOL: return *AS(bool, a, field) == *AS(bool, b, field);
    case FIELD_INT: return *AS(int64_t, a, field) == *AS(int64_t, b, field);
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_TIME: return *AS(uint64_t, a, field) == *AS(uint64_t, b, field);
    case FIELD_ENUM: return *AS(int, a, field) == *AS(int, b, field);
    case FIELD_ENUMS: return *AS(uint32_t, a, field) == *AS(uint32_t, b, field);
    case FIELD_STRINGS:
        return strings_eq(*AS(struct strings, a, field), *AS(struct strings, b, field));
    case FIELD_MAP: return pairs_eq(*AS(struct pairs, a, field), *AS(struct pairs, b, field));
    case FIELD_DIGEST: return bytes_eq_secret(field_at(a, field), field_at(b, field), DIGEST_BYTES);
    case FIELD_OBJECTS:
        return objects_eq(*AS(struct objects, a, field), *AS(struct objects, b, field), field->sub);
    }
    bug("field_kind out of range");
}

void field_default(void *base, const struct field *field, struct home home)
{
    if (field->init == NULL)
        return;
    // A default is the program's own text. One that does not read is a wrong table, and fails the
    // assertion on the missing list of problems.
    const struct value word = { .kind = VALUE_WORD, .text = span_str(field->init) };
    verify(field_parse(base, field, &word, home, FROM_ENV, field->name, NULL));
}

bool record_field_eq(const struct record *a, const struct record *b, const struct field *field)
{
    assert(a->table == b->table);
    assert(row_of(a, field) < a->table->count);
    return field_eq(a, b, field);
}
