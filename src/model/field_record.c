// Whole maps into records: which keys are known, who may set them, what is missing.
#include "field_impl.h"
#include "penstock/base/guard.h"
#include "penstock/model/suggest.h"

struct walk {
    struct record *record;
    enum record_source source;
    const char *path; // of the record: "accounts[2]"
    struct problems *problems;
    uint64_t seen[FIELDS_MAX / 64];
};

static void join(char out[PROBLEM_PATH_MAX], const char *path, struct span name)
{
    problem_path(out, span_str(path), name);
}

// The last part of a dotted name.
static struct span leaf_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return span_str(dot != NULL ? dot + 1 : name);
}

// The part of `name` that stands directly below `prefix`; none if it is elsewhere.
static struct span part_below(const char *name, struct span prefix)
{
    struct span text = span_str(name);
    if (prefix.len > 0) {
        if (!span_starts(text, prefix) || text.len <= prefix.len || text.ptr[prefix.len] != '.')
            return SPAN_NONE;
        text = span_from(text, prefix.len + 1);
    }
    return span_upto(text, span_find(text, '.'));
}

static void help_known(struct problem *problem, const struct table *table, struct span prefix)
{
    struct text all = { 0 };
    struct span last = SPAN_NONE;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct field *field = &table->fields[i];
        const struct span part = part_below(field->name, prefix);
        if (part.len == 0 || span_eq(part, last) || field_is(field, FIELD_READ_ONLY))
            continue;
        text_printf(&all, "%s`%.*s`", last.len > 0 ? ", " : "", (int)part.len, part.ptr);
        last = part;
    }
    problem_help(problem, "known here: %s", text_span(&all).ptr);
    text_fini(&all);
}

// "accounts.priority", as `penstock config explain` takes it; a setting stands alone.
static void help_field(struct problem *problem, const struct table *table,
                       const struct field *field)
{
    if (table->plural == NULL) { // an object in a list, which explains itself with the list
        problem_help(problem, "%s", field->help);
        return;
    }
    const char *in = table->plural, *dot = in[0] != '\0' ? "." : "";
    if (field->kind == FIELD_DURATION || field->kind == FIELD_SIZE)
        problem_help(problem, "`%s` needs a unit, e.g. `%s`   (penstock config explain %s%s%s)",
                     field->name,
                     field->example != NULL ? field->example
                     : field->init != NULL  ? field->init
                                            : "30s",
                     in, dot, field->name);
    else
        problem_help(problem, "%s   (penstock config explain %s%s%s)", field->help, in, dot,
                     field->name);
}

// `prefix` is the dotted part of the name above the entry, within the record. Returns the field
// that was probably meant.
static const struct field *unknown(const struct table *table, const struct value *entry,
                                   struct span prefix, const char *path, struct problems *problems)
{
    struct suggest near = { .word = entry->key };
    const struct field *found = NULL, *elsewhere = NULL;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct field *field = &table->fields[i];
        const size_t before = near.distance;
        const struct span best = near.best;
        const struct span part = part_below(field->name, prefix);
        if (part.len > 0 && !field_is(field, FIELD_READ_ONLY))
            suggest_try(&near, part);
        if (near.best.ptr != best.ptr || near.distance != before)
            found = field;
        if (elsewhere == NULL && span_eq(leaf_of(field->name), entry->key))
            elsewhere = field;
    }
    char full[PROBLEM_PATH_MAX];
    join(full, path, entry->key);
    const int len = (int)min_size(entry->key.len, FIELD_NAME_MAX);
    struct problem *problem =
        problem_add(problems, PROBLEM_UNKNOWN_KEY, entry->key_place, full,
                    path[0] != '\0' ? "unknown key `%.*s` in `%s`" : "unknown key `%.*s`%s", len,
                    entry->key.ptr, path);
    const bool is_leaf = found != NULL && span_eq(near.best, leaf_of(found->name));
    if (found != NULL) {
        problem_hint(problem, "did you mean `%.*s`?", (int)near.best.len, near.best.ptr);
        if (is_leaf)
            help_field(problem, table, found);
    } else if (elsewhere != NULL) {
        problem_hint(problem, "did you mean `%s`?", elsewhere->name);
        help_field(problem, table, elsewhere);
    } else {
        help_known(problem, table, prefix);
    }
    return is_leaf ? found : elsewhere;
}

const struct field *field_unknown(const struct table *table, const struct value *entry,
                                  const char *path, struct problems *problems)
{
    return unknown(table, entry, SPAN_NONE, path, problems);
}

// The field is spoken of: it is no longer missing, whatever else is wrong with it.
static void mark_seen(struct walk *walk, const struct field *field)
{
    const size_t row = (size_t)(field - walk->record->table->fields);
    walk->seen[row / 64] |= UINT64_C(1) << (row % 64);
}

// True if the value is what the field holds already: an object that was read, changed elsewhere and
// sent back whole is no attempt at what cannot be changed.
static bool is_same(const struct record *record, const struct field *field,
                    const struct value *value)
{
    struct text now = { 0 };
    field_write(record, field, &now);
    const bool same =
        value->kind == VALUE_NULL ? now.len == 0 : span_eq(text_span(&now), value->text);
    text_fini(&now);
    return same;
}

// Whether this source may set the field at all.
static bool may_set(const struct walk *walk, const struct field *field, const struct value *value,
                    const char *path)
{
    const bool api = walk->source == FROM_CREATE || walk->source == FROM_UPDATE;
    enum problem_code code;
    const char *why;
    if (field_is(field, FIELD_READ_ONLY)) {
        code = PROBLEM_READ_ONLY;
        why = "is set by the gateway";
    } else if (field_is(field, FIELD_IMMUTABLE) && walk->source == FROM_UPDATE) {
        code = PROBLEM_IMMUTABLE;
        why = "cannot be changed after creation";
    } else if (field_is(field, FIELD_FILE_ONLY) && api && GUARD(FIELD_FILE_ONLY)) {
        code = PROBLEM_FILE_ONLY;
        why = "can be set in the configuration file only";
    } else {
        return true;
    }
    if (walk->source == FROM_UPDATE && is_same(walk->record, field, value))
        return false;
    problem_add(walk->problems, code, value->key_place, path, "`%s` %s", path, why);
    return false;
}

void field_read(struct record *record, const struct field *field, const struct value *value,
                enum record_source source, const char *path, struct problems *problems)
{
    const struct walk walk = { record, source, path, problems, { 0 } };
    char full[PROBLEM_PATH_MAX];
    join(full, path, span_str(field->name));
    if (!may_set(&walk, field, value, full))
        return;
    if (value->kind == VALUE_NULL) {
        // An empty YAML value is an oversight more often than a wish.
        if (source == FROM_FILE) {
            problem_add(problems, PROBLEM_EMPTY, value->place, full, "`%s` has no value", full);
            return;
        }
        field_clear(record, field);
        field_default(record, field, record_home(record));
        record_mark(record, field, false);
        return;
    }
    if (field_parse(record, field, value, record_home(record), source, full, problems))
        record_mark(record, field, true);
}

static bool is_prefix(const struct table *table, struct span name)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (part_below(table->fields[i].name, name).len > 0)
            return true;
    return false;
}

// `prefix` is the dotted name of `map` within the record. Depth is bounded by the table's names.
static void walk_map(struct walk *walk, const struct value *map, struct span prefix)
{
    const struct table *table = walk->record->table;
    for (const struct value *entry = map->first; entry != NULL; entry = entry->next) {
        char name[PROBLEM_PATH_MAX];
        const struct span full = span_of(name, problem_path(name, prefix, entry->key));
        // A key with a dot of its own is no path.
        const bool dotted = span_find(entry->key, '.') < entry->key.len;
        const struct field *field = dotted ? NULL : table_find(table, full);
        if (field != NULL) {
            mark_seen(walk, field);
            field_read(walk->record, field, entry, walk->source, walk->path, walk->problems);
        } else if (dotted || !is_prefix(table, full)) {
            char above[PROBLEM_PATH_MAX];
            join(above, walk->path, prefix);
            const struct field *meant = unknown(table, entry, prefix, above, walk->problems);
            if (meant != NULL)
                mark_seen(walk, meant);
        } else if (entry->kind == VALUE_MAP) {
            walk_map(walk, entry, full);
        } else {
            char path[PROBLEM_PATH_MAX];
            join(path, walk->path, full);
            problem_add(walk->problems, PROBLEM_WRONG_KIND, entry->place, path,
                        "`%s` must be a map, not %s", path, value_kind_name(entry->kind));
        }
    }
}

static void check_required(struct walk *walk, const struct value *value)
{
    const struct table *table = walk->record->table;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct field *field = &table->fields[i];
        if (!field_is(field, FIELD_REQUIRED) || record_has(walk->record, field) ||
            (walk->seen[i / 64] >> (i % 64) & 1) != 0)
            continue;
        char full[PROBLEM_PATH_MAX];
        join(full, walk->path, span_str(field->name));
        struct problem *problem = problem_add(walk->problems, PROBLEM_MISSING, value->place, full,
                                              "`%s` is missing", full);
        if (field->example != NULL)
            problem_hint(problem, "for example `%s: %s`", leaf_of(field->name).ptr, field->example);
        problem_help(problem, "%s", field->help);
    }
}

void record_read(struct record *record, const struct value *value, enum record_source source,
                 const char *path, struct problems *problems)
{
    if (value->kind != VALUE_MAP) {
        problem_add(problems, PROBLEM_WRONG_KIND, value->place, path,
                    "`%s` must be a map with the fields of %s `%s`", path,
                    strchr("aeiou", record->table->name[0]) != NULL ? "an" : "a",
                    record->table->name);
        return;
    }
    const uint32_t before = problems->error_count;
    struct walk walk = { record, source, path, problems, { 0 } };
    walk_map(&walk, value, SPAN_NONE);
    check_required(&walk, value);
    // A check of how fields fit together would only repeat what is wrong with one of them.
    if (problems->error_count == before && record->table->check != NULL)
        record->table->check(record, value, path, problems);
}
