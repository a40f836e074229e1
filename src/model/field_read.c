// Values into fields: kinds, bounds, hints. What is wrong is said once, where it is found.
#include "field_impl.h"
#include "penstock/model/suggest.h"
#include "penstock/model/unit.h"

#include <stdlib.h>

struct reader {
    struct home home;
    enum record_source source;
    struct problems *problems;
    const struct field *field;
    const struct value *value;
    const char *path; // the field's whole path
};

static struct problem *wrong(const struct reader *reader, enum problem_code code, const char *text)
{
    return problem_add(reader->problems, code, reader->value->place, reader->path, "`%s` %s",
                       reader->path, text);
}

static bool wrong_kind(const struct reader *reader)
{
    struct text want = { 0 };
    field_kind_text(reader->field, &want);
    const struct value *value = reader->value;
    struct problem *problem = problem_add(reader->problems, PROBLEM_WRONG_KIND, value->place,
                                          reader->path, "`%s` must be %s, not %s", reader->path,
                                          text_span(&want).ptr, value_kind_name(value->kind));
    if (reader->field->example != NULL)
        problem_hint(problem, "for example `%s`", reader->field->example);
    text_fini(&want);
    return false;
}

// The text of a value that may be written without quotes or came from a variable.
static bool is_word(const struct reader *reader)
{
    const struct value *value = reader->value;
    return value->kind == VALUE_WORD || (value->kind == VALUE_TEXT && value->is_interpolated);
}

static bool is_scalar(const struct value *value)
{
    switch (value->kind) {
    case VALUE_WORD:
    case VALUE_TEXT: return true;
    case VALUE_NULL:
    case VALUE_BOOL:
    case VALUE_NUMBER:
    case VALUE_LIST:
    case VALUE_MAP: return false;
    }
    bug("value_kind out of range");
}

static bool is_zero_word(const struct reader *reader)
{
    return reader->field->zero != NULL && is_scalar(reader->value) &&
           span_eq(reader->value->text, span_str(reader->field->zero));
}

// Checks that hold for every text, and then the field's own.
static bool text_ok(const struct reader *reader, struct span text)
{
    const struct field *field = reader->field;
    const uint64_t max = field->max > 0 ? (uint64_t)field->max : FIELD_TEXT_MAX;
    const bool is_text = field->kind == FIELD_STRING || field->kind == FIELD_SECRET;
    if (is_text && text.len > max) {
        problem_add(reader->problems, PROBLEM_OUT_OF_RANGE, reader->value->place, reader->path,
                    "`%s` is %zu bytes long; at most %llu are allowed", reader->path, text.len,
                    (unsigned long long)max);
        return false;
    }
    if (!span_is_utf8(text)) {
        wrong(reader, PROBLEM_MALFORMED, "is not UTF-8 text");
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char byte = (unsigned char)text.ptr[i];
        const bool line = field_is(field, FIELD_LINES) && (byte == '\n' || byte == '\t');
        if ((byte < 0x20 && !line) || byte == 0x7f) {
            wrong(reader, PROBLEM_MALFORMED, "holds a control character");
            return false;
        }
    }
    const char *why = field->check != NULL && text.len > 0 ? field->check(text) : NULL;
    if (why != NULL) {
        struct problem *problem = wrong(reader, PROBLEM_MALFORMED, why);
        if (field->example != NULL)
            problem_hint(problem, "for example `%s`", field->example);
    }
    return why == NULL;
}

static bool read_string(const struct reader *reader, struct span *out)
{
    const struct value *value = reader->value;
    // A number may stand for a text in YAML, where it is a word, but not in JSON.
    if (!is_scalar(value))
        return wrong_kind(reader);
    if (is_zero_word(reader)) {
        *out = SPAN_NONE;
        return true;
    }
    if (value->text.len == 0 && field_is(reader->field, FIELD_REQUIRED)) {
        wrong(reader, PROBLEM_EMPTY, "is empty");
        return false;
    }
    if (reader->field->min > 0 && value->text.len > 0 &&
        value->text.len < (uint64_t)reader->field->min) {
        problem_add(reader->problems, PROBLEM_OUT_OF_RANGE, value->place, reader->path,
                    "`%s` is shorter than %lld bytes", reader->path, (long long)reader->field->min);
        return false;
    }
    if (!text_ok(reader, value->text))
        return false;
    *out = value->text.len > 0 ? region_dup(reader->home.region, value->text) : SPAN_NONE;
    return true;
}

static bool read_secret(const struct reader *reader, struct secret **secret)
{
    const struct value *value = reader->value;
    if (!is_scalar(value))
        return wrong_kind(reader);
    if (span_eq(value->text, SPAN(SECRET_MASK))) {
        if (*secret != NULL && reader->source == FROM_UPDATE)
            return true;
        wrong(reader, PROBLEM_MALFORMED, "is the mask that stands for a secret, not a secret");
        return false;
    }
    if (value->text.len == 0) {
        wrong(reader, PROBLEM_EMPTY, "is empty");
        return false;
    }
    if (!text_ok(reader, value->text))
        return false;
    if (reader->source == FROM_FILE && !value->is_interpolated) {
        struct problem *problem =
            problem_warn(reader->problems, PROBLEM_PLAIN_SECRET, value->place, reader->path,
                         "`%s` is a secret in plain text", reader->path);
        problem_hint(problem, "write `${file:PATH}`, `${cred:NAME}` or `${VARIABLE}` instead");
    }
    secret_free(secret);
    *secret = secret_new(reader->home.vault, value->text);
    if (*secret == NULL)
        wrong(reader, PROBLEM_OUT_OF_RANGE, "is longer than a secret may be");
    return *secret != NULL;
}

static bool read_bool(const struct reader *reader, bool *out)
{
    const struct span text = reader->value->text;
    if (reader->value->kind != VALUE_BOOL && !is_word(reader))
        return wrong_kind(reader);
    if (!span_eq(text, SPAN("true")) && !span_eq(text, SPAN("false"))) {
        problem_hint(wrong(reader, PROBLEM_WRONG_KIND, "is neither true nor false"),
                     "write `true` or `false`");
        return false;
    }
    *out = text.len == 4;
    return true;
}

// A number is shown in the unit of its field.
static void number_text(const struct field *field, uint64_t number, char out[UNIT_TEXT_MAX])
{
    if (field->kind == FIELD_DURATION)
        duration_format(out, number);
    else if (field->kind == FIELD_SIZE)
        size_format(out, number);
    else
        fit_printf(out, UNIT_TEXT_MAX, "%lld", (long long)number);
}

static bool in_bounds(const struct reader *reader, int64_t number)
{
    const struct field *field = reader->field;
    if ((field->min == 0 && field->max == 0) || (number >= field->min && number <= field->max))
        return true;
    char low[UNIT_TEXT_MAX], high[UNIT_TEXT_MAX];
    number_text(field, (uint64_t)field->min, low);
    number_text(field, (uint64_t)field->max, high);
    struct problem *problem =
        problem_add(reader->problems, PROBLEM_OUT_OF_RANGE, reader->value->place, reader->path,
                    "`%s` must lie between %s and %s", reader->path, low, high);
    if (field->zero != NULL)
        problem_hint(problem, "or `%s`", field->zero);
    return false;
}

static bool int_parse(struct span text, int64_t *out)
{
    const bool negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t number;
    if (!span_u64(span_from(text, negative ? 1 : 0), &number) || number > INT64_MAX)
        return false;
    *out = negative ? -(int64_t)number : (int64_t)number;
    return true;
}

static bool read_int(const struct reader *reader, int64_t *out)
{
    if (is_zero_word(reader)) {
        *out = 0;
        return true;
    }
    if (reader->value->kind != VALUE_NUMBER && !is_word(reader))
        return wrong_kind(reader);
    int64_t number;
    if (!int_parse(reader->value->text, &number)) {
        wrong(reader, PROBLEM_MALFORMED, "is not a whole number");
        return false;
    }
    if (!in_bounds(reader, number))
        return false;
    *out = number;
    return true;
}

static bool read_quantity(const struct reader *reader, uint64_t *out)
{
    const struct field *field = reader->field;
    const struct value *value = reader->value;
    if (is_zero_word(reader)) {
        *out = 0;
        return true;
    }
    if (!is_scalar(value) && value->kind != VALUE_NUMBER)
        return wrong_kind(reader);
    const bool is_size = field->kind == FIELD_SIZE;
    const char *example = field->example != NULL ? field->example : is_size ? "64MiB" : "30s";
    uint64_t number;
    switch (is_size ? size_parse(value->text, &number) : duration_parse(value->text, &number)) {
    case UNIT_OK:
        if (number > INT64_MAX)
            break;
        if (!in_bounds(reader, (int64_t)number))
            return false;
        *out = number;
        return true;
    case UNIT_MISSING:
        problem_hint(wrong(reader, PROBLEM_UNIT_MISSING, "needs a unit"), "for example `%s`",
                     example);
        return false;
    case UNIT_UNKNOWN:
        problem_hint(wrong(reader, PROBLEM_MALFORMED, "has a unit that is not known"), "%s",
                     is_size ? "B, KiB, MiB, GiB or TiB" : "us, ms, s, m, h or d");
        return false;
    case UNIT_MALFORMED:
        problem_hint(
            wrong(reader, PROBLEM_MALFORMED, is_size ? "is not a size" : "is not a duration"),
            "for example `%s`", example);
        return false;
    case UNIT_OVERFLOW: break;
    }
    wrong(reader, PROBLEM_OUT_OF_RANGE, "is larger than any number here");
    return false;
}

static bool read_time(const struct reader *reader, uint64_t *out)
{
    if (is_zero_word(reader)) {
        *out = 0;
        return true;
    }
    if (!is_scalar(reader->value))
        return wrong_kind(reader);
    if (time_parse(reader->value->text, out))
        return true;
    problem_hint(wrong(reader, PROBLEM_MALFORMED, "is not a time in UTC"),
                 "for example `2027-01-31` or `2027-01-31T12:00:00Z`");
    return false;
}

static int name_idx(const struct reader *reader, struct span word)
{
    const char *const *names = reader->field->names;
    struct suggest suggest = { .word = word };
    for (int i = 0; names[i] != NULL; i++) {
        if (span_eq(word, span_str(names[i])))
            return i;
        suggest_try(&suggest, span_str(names[i]));
    }
    struct text all = { 0 };
    for (int i = 0; names[i] != NULL; i++)
        text_printf(&all, "%s`%s`", i > 0 ? ", " : "", names[i]);
    struct problem *problem =
        problem_add(reader->problems, PROBLEM_NOT_ONE_OF, reader->value->place, reader->path,
                    "`%.*s` is no value of `%s`", (int)min_size(word.len, FIELD_NAME_MAX), word.ptr,
                    reader->path);
    if (suggest.best.ptr != NULL)
        problem_hint(problem, "did you mean `%s`?", suggest.best.ptr);
    problem_help(problem, "allowed: %s", text_span(&all).ptr);
    text_fini(&all);
    return -1;
}

static bool read_enum(const struct reader *reader, int *out)
{
    if (!is_scalar(reader->value))
        return wrong_kind(reader);
    const int idx = name_idx(reader, reader->value->text);
    if (idx < 0)
        return false;
    *out = idx;
    return true;
}

// The scalars of a list; a scalar alone is a list of one, and one text of the environment is cut at
// its commas. Items are set with `item` as the reader's value.
static bool each_item(struct reader *reader, uint32_t *count, struct value **items)
{
    const struct value *value = reader->value;
    const uint64_t max = reader->field->max > 0 ? (uint64_t)reader->field->max : FIELD_ITEMS_MAX;
    struct region *region = reader->home.region;
    *count = 0;
    if (is_scalar(value)) {
        struct span rest = value->text;
        const bool cut = reader->source == FROM_ENV;
        *items = REGION_ARRAY(region, struct value, cut ? rest.len / 2 + 2 : 1);
        while (rest.len > 0) {
            const size_t len = cut ? span_find(rest, ',') : rest.len;
            struct value *item = &(*items)[*count];
            *item = *value;
            item->text = span_trim(span_upto(rest, len));
            *count += item->text.len > 0 ? 1 : 0;
            rest = span_from(rest, min_size(len + 1, rest.len));
        }
    } else if (value->kind == VALUE_LIST) {
        *items = REGION_ARRAY(region, struct value, value->count);
        for (const struct value *item = value->first; item != NULL; item = item->next)
            (*items)[(*count)++] = *item;
    } else {
        return wrong_kind(reader);
    }
    if (*count > max) {
        problem_add(reader->problems, PROBLEM_OUT_OF_RANGE, value->place, reader->path,
                    "`%s` has %u entries; at most %llu are allowed", reader->path, *count,
                    (unsigned long long)max);
        return false;
    }
    return true;
}

static bool read_strings(struct reader reader, struct strings *out)
{
    struct value *items;
    uint32_t count;
    if (is_zero_word(&reader)) {
        *out = (struct strings){ 0 };
        return true;
    }
    if (!each_item(&reader, &count, &items))
        return false;
    bool good = true;
    struct strings strings = { REGION_ARRAY(reader.home.region, struct span, count), count };
    const char *path = reader.path;
    for (uint32_t i = 0; i < count; i++) {
        char item_path[PROBLEM_PATH_MAX];
        fit_printf(item_path, sizeof(item_path), "%s[%u]", path, i);
        reader.path = item_path;
        reader.value = &items[i];
        if (reader.value->is_broken) {
            good = false;
        } else if (!is_scalar(reader.value)) {
            problem_add(reader.problems, PROBLEM_WRONG_KIND, reader.value->place, item_path,
                        "`%s` must be a text", item_path);
            good = false;
        } else if (reader.value->text.len == 0) {
            wrong(&reader, PROBLEM_EMPTY, "is empty");
            good = false;
        } else {
            good &= text_ok(&reader, reader.value->text);
            strings.items[i] = region_dup(reader.home.region, reader.value->text);
        }
    }
    if (good)
        *out = strings;
    return good;
}

static bool read_enums(struct reader reader, uint32_t *out)
{
    struct value *items;
    uint32_t count, set = 0;
    if (!each_item(&reader, &count, &items))
        return false;
    bool good = true;
    for (uint32_t i = 0; i < count; i++) {
        reader.value = &items[i];
        const int idx = is_scalar(&items[i]) ? name_idx(&reader, items[i].text) : -1;
        if (!is_scalar(&items[i]))
            wrong_kind(&reader);
        good &= idx >= 0;
        set |= idx >= 0 ? BIT(idx) : 0;
    }
    if (good)
        *out = set;
    return good;
}

// The value that a masked entry stands for.
static bool unmask(const struct reader *reader, const struct pairs *old, struct span key,
                   struct span *value)
{
    if (!field_is(reader->field, FIELD_SENSITIVE) || !span_eq(*value, SPAN(SECRET_MASK)))
        return true;
    for (uint32_t i = 0; i < old->count && reader->source == FROM_UPDATE; i++) {
        if (span_eq(old->items[i].key, key)) {
            *value = old->items[i].value;
            return true;
        }
    }
    wrong(reader, PROBLEM_MALFORMED, "is the mask that stands for a secret, not a secret");
    return false;
}

static bool read_map(struct reader reader, struct pairs *out)
{
    const struct value *map = reader.value;
    const uint64_t max = reader.field->max > 0 ? (uint64_t)reader.field->max : FIELD_ITEMS_MAX;
    if (map->kind != VALUE_MAP)
        return wrong_kind(&reader);
    if (map->count > max) {
        wrong(&reader, PROBLEM_OUT_OF_RANGE, "has too many entries");
        return false;
    }
    bool good = true;
    struct pairs pairs = { REGION_ARRAY(reader.home.region, struct pair, map->count), 0 };
    const char *path = reader.path;
    for (const struct value *entry = map->first; entry != NULL; entry = entry->next) {
        char entry_path[PROBLEM_PATH_MAX];
        fit_printf(entry_path, sizeof(entry_path), "%s.%.*s", path,
                   (int)min_size(entry->key.len, FIELD_NAME_MAX), entry->key.ptr);
        reader.path = entry_path;
        reader.value = entry;
        struct span text = entry->text;
        if (entry->is_broken) {
            good = false;
        } else if (!is_scalar(entry)) {
            problem_add(reader.problems, PROBLEM_WRONG_KIND, entry->place, entry_path,
                        "`%s` must be a text", entry_path);
            good = false;
        } else if (entry->key.len == 0 || text.len == 0) {
            wrong(&reader, PROBLEM_EMPTY, "is empty");
            good = false;
        } else if (!text_ok(&reader, entry->key) || !text_ok(&reader, text) ||
                   !unmask(&reader, out, entry->key, &text)) {
            good = false;
        } else {
            pairs.items[pairs.count++] = (struct pair){ region_dup(reader.home.region, entry->key),
                                                        region_dup(reader.home.region, text) };
        }
    }
    if (good)
        *out = pairs;
    return good;
}

static int hex_value(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    const char low = (char)(byte | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static bool read_digest(const struct reader *reader, uint8_t out[DIGEST_BYTES])
{
    const struct span text = reader->value->text;
    if (!is_scalar(reader->value))
        return wrong_kind(reader);
    bool good = text.len == 2 * DIGEST_BYTES;
    for (size_t i = 0; good && i < DIGEST_BYTES; i++) {
        const int high = hex_value(text.ptr[2 * i]), low = hex_value(text.ptr[2 * i + 1]);
        good = high >= 0 && low >= 0;
        out[i] = good ? (uint8_t)(high << 4 | low) : 0;
    }
    if (!good)
        wrong(reader, PROBLEM_MALFORMED, "is not 64 hexadecimal digits");
    return good;
}

static bool read_objects(const struct reader *reader, struct objects *out);

static bool read_kind(const struct reader *reader, void *base)
{
    const struct field *field = reader->field;
    if (reader->value->is_broken)
        return false; // said by whoever found it
    switch (field->kind) {
    case FIELD_STRING: return read_string(reader, AS(struct span, base, field));
    case FIELD_SECRET: return read_secret(reader, AS(struct secret *, base, field));
    case FIELD_BOOL: return read_bool(reader, AS(bool, base, field));
    case FIELD_INT: return read_int(reader, AS(int64_t, base, field));
    case FIELD_DURATION:
    case FIELD_SIZE: return read_quantity(reader, AS(uint64_t, base, field));
    case FIELD_TIME: return read_time(reader, AS(uint64_t, base, field));
    case FIELD_ENUM: return read_enum(reader, AS(int, base, field));
    case FIELD_ENUMS: return read_enums(*reader, AS(uint32_t, base, field));
    case FIELD_STRINGS: return read_strings(*reader, AS(struct strings, base, field));
    case FIELD_MAP: return read_map(*reader, AS(struct pairs, base, field));
    case FIELD_DIGEST: return read_digest(reader, field_at(base, field));
    case FIELD_OBJECTS: return read_objects(reader, AS(struct objects, base, field));
    }
    bug("field_kind out of range");
}

static bool read_shorthand(const struct reader *reader, void *item)
{
    const struct table *sub = reader->field->sub;
    for (uint32_t i = 0; i < sub->count; i++) {
        if (!field_is(&sub->fields[i], FIELD_SHORTHAND))
            continue;
        struct reader inner = *reader;
        inner.field = &sub->fields[i];
        return read_kind(&inner, item);
    }
    return wrong_kind(reader);
}

static bool read_object(const struct reader *reader, void *item)
{
    const struct table *sub = reader->field->sub;
    bool good = true;
    uint64_t given = 0;
    for (const struct value *entry = reader->value->first; entry != NULL; entry = entry->next) {
        const struct field *field = table_find(sub, entry->key);
        if (field == NULL) {
            const struct field *meant = field_unknown(sub, entry, reader->path, reader->problems);
            given |= meant != NULL ? UINT64_C(1) << (meant - sub->fields) : 0;
            good = false;
            continue;
        }
        char path[PROBLEM_PATH_MAX];
        fit_printf(path, sizeof(path), "%s.%s", reader->path, field->name);
        struct reader inner = *reader;
        inner.field = field;
        inner.value = entry;
        inner.path = path;
        good &= read_kind(&inner, item);
        given |= UINT64_C(1) << (field - sub->fields);
    }
    for (uint32_t i = 0; i < sub->count; i++) {
        const struct field *field = &sub->fields[i];
        if (!field_is(field, FIELD_REQUIRED) || (given >> i & 1) != 0)
            continue;
        problem_add(reader->problems, PROBLEM_MISSING, reader->value->place, reader->path,
                    "`%s` needs `%s`", reader->path, field->name);
        good = false;
    }
    return good;
}

// A list of maps; one map or one scalar alone is a list of one.
static bool read_objects(const struct reader *reader, struct objects *out)
{
    const struct value *value = reader->value;
    struct reader inner = *reader;
    struct value *items = (struct value *)value;
    uint32_t count = value->kind == VALUE_NULL ? 0 : 1;
    if (is_zero_word(reader)) {
        *out = (struct objects){ 0 };
        return true;
    }
    if (value->kind != VALUE_MAP && !each_item(&inner, &count, &items))
        return false;
    struct objects objects = { region_array(reader->home.region, count, reader->field->sub->size),
                               count };
    bool good = true;
    for (uint32_t i = 0; i < count; i++) {
        void *item = (char *)objects.items + i * reader->field->sub->size;
        char path[PROBLEM_PATH_MAX];
        fit_printf(path, sizeof(path), "%s[%u]", reader->path, i);
        inner.value = &items[i];
        inner.path = path;
        if (items[i].kind == VALUE_MAP)
            good &= read_object(&inner, item);
        else
            good &= is_scalar(&items[i]) ? read_shorthand(&inner, item) : wrong_kind(&inner);
    }
    *out = objects; // kept on failure too: its secrets are freed with the record
    return good;
}

bool field_parse(void *base, const struct field *field, const struct value *value, struct home home,
                 enum record_source source, const char *path, struct problems *problems)
{
    const struct reader reader = { home, source, problems, field, value, path };
    const uint32_t before = problems != NULL ? problems->count : 0;
    // What was there is overwritten; only secrets own something.
    if (field->kind == FIELD_OBJECTS)
        field_clear(base, field);
    const bool good = read_kind(&reader, base);
    if (field->kind == FIELD_SECRET || field_is(field, FIELD_SENSITIVE))
        for (uint32_t i = before; problems != NULL && i < problems->count; i++)
            problems->items[i].hides = true;
    return good;
}
