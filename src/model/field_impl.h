// field_impl.h - what the files that walk tables share. `base` is a record or an object in a list.
#ifndef PENSTOCK_MODEL_FIELD_IMPL_H
#define PENSTOCK_MODEL_FIELD_IMPL_H

#include "penstock/base/check.h"
#include "penstock/model/field.h"

// Where texts and secrets of a record go.
struct home {
    struct region *region;
    struct vault *vault;
};

static inline void *field_at(const void *base, const struct field *field)
{
    return (char *)base + field->offset;
}

// What stands in the C struct for each kind.
#define AS(ctype, base, field) ((ctype *)field_at((base), (field)))

static inline bool field_is(const struct field *field, enum field_flag flag)
{
    return (field->flags & (unsigned)flag) != 0;
}

// With room for about `texts` bytes before a second block is needed.
must_use struct record *record_new_sized(const struct table *table, struct vault *vault,
                                         size_t texts);
void record_mark(struct record *record, const struct field *field, bool given);

// Zero, empty, none; frees secrets.
void field_clear(void *base, const struct field *field);
void field_copy(void *to, const void *from, const struct field *field, struct home home);
bool field_eq(const void *a, const void *b, const struct field *field);
// Brings the field's default into `base`, which must be clear.
void field_default(void *base, const struct field *field, struct home home);
// Reads `value`; false, with a problem added, if it is not good.
bool field_parse(void *base, const struct field *field, const struct value *value, struct home home,
                 enum record_source source, const char *path, struct problems *problems);
// Reports the key of `entry`, which names no field of `table` below `path`. Returns the field that
// was probably meant, or NULL.
const struct field *field_unknown(const struct table *table, const struct value *entry,
                                  const char *path, struct problems *problems);

static inline struct home record_home(struct record *record)
{
    return (struct home){ &record->region, record->vault };
}

#endif
