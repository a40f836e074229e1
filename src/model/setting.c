#include "penstock/model/setting.h"

#include "checks.h"

#define ROW(kind, name, tag, member, ...) \
    FIELD_ROW(kind, struct setting, name, tag, member, __VA_ARGS__)

static const struct field fields[] = {
    ROW(STRING, "id", 1, id, .flags = FIELD_IMMUTABLE, .max = 64, .check = check_id,
        .help = "The setting's name again."),
    ROW(STRING, "name", 2, name, .flags = FIELD_REQUIRED | FIELD_IMMUTABLE, .max = 64,
        .check = check_id, .help = "What is set."),
    ROW(STRING, "value", 3, value, .flags = FIELD_LINES, .help = "Its value."),
    ROW(SECRET, "secret", 4, secret, .help = "A value that is sealed and never shown."),
    ROW(TIME, "updated_at", 5, updated_at, .flags = FIELD_READ_ONLY,
        .help = "When it was last changed."),
};

const struct table setting_table = {
    .name = "setting",
    .plural = "settings",
    .size = sizeof(struct setting),
    .version = 1,
    .version_min = 1,
    .fields = fields,
    .count = ARRAY_LEN(fields),
    .id_prefix = "set",
};
