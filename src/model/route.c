#include "penstock/model/route.h"

#include "checks.h"
#include "penstock/model/account.h"

#define ROW(kind, name, tag, member, ...) \
    FIELD_ROW(kind, struct route, name, tag, member, __VA_ARGS__)

static const struct field fields[] = {
    ROW(STRING, "id", 1, id, .flags = FIELD_IMMUTABLE, .max = 64, .check = check_id,
        .help = "What the model is called in records; made from the name if absent."),
    ROW(STRING, "name", 2, name, .flags = FIELD_REQUIRED, .max = MODEL_NAME_MAX,
        .check = check_model, .help = "The name that clients ask for."),
    ROW(STRING, "description", 3, description, .flags = FIELD_LINES, .max = 1000,
        .help = "A note for people."),
    ROW(STRINGS, "aliases", 4, aliases, .max = 64, .check = check_model,
        .help = "Other names for the same model."),
    ROW(STRING, "target", 5, target, .max = MODEL_NAME_MAX, .check = check_model,
        .help = "What the vendor calls the model; absent: the public name."),
    ROW(STRINGS, "accounts", 6, accounts, .max = 256, .check = check_name,
        .help = "Names of the accounts that serve it, first choice first; none: all that can."),
    ROW(ENUMS, "formats", 7, formats, .names = format_names,
        .help = "API formats in which it is offered; none: all that its accounts serve."),
    ROW(BOOL, "enabled", 8, enabled, .init = "true", .help = "Whether clients may ask for it."),
    ROW(BOOL, "listed", 9, listed, .init = "true", .help = "Whether model lists show it."),
    ROW(STRING, "display_name", 10, display_name, .max = 200, .help = "Its name for people."),
    ROW(STRING, "owned_by", 11, owned_by, .max = 100, .help = "The owner that model lists name."),
    ROW(BOOL, "strict_conversion", 14, strict_conversion, .init = "false",
        .help = "Whether a request that cannot be carried over to another format as it is is "
                "refused."),
    ROW(BOOL, "think_tags", 15, think_tags, .init = "false",
        .help = "Whether text of the model that begins with <think> is told as a thought up to "
                "</think>, where answers are carried over from the chat format."),
    ROW(BOOL, "convert_web_search", 16, convert_web_search, .init = "false",
        .help = "Whether a vendor's own web search stands for the one that the client asked for, "
                "where requests are carried over."),
    ROW(TIME, "created_at", 12, created_at, .flags = FIELD_READ_ONLY, .help = "When it was made."),
    ROW(TIME, "updated_at", 13, updated_at, .flags = FIELD_READ_ONLY,
        .help = "When it was last changed."),
};

static void check(const struct record *record, const struct value *from, const char *path,
                  struct problems *problems)
{
    const struct route *route = (const struct route *)record;
    char full[PROBLEM_PATH_MAX];
    for (uint32_t i = 0; i < route->aliases.count; i++) {
        const struct span alias = route->aliases.items[i];
        bool twice = span_eq(alias, route->name);
        for (uint32_t j = 0; j < i; j++)
            twice |= span_eq(alias, route->aliases.items[j]);
        if (!twice)
            continue;
        fit_printf(full, sizeof(full), "%s.aliases[%u]", path, i);
        problem_add(problems, PROBLEM_NAME_TAKEN, from->place, full,
                    "the name `%s` is given twice to this model", alias.ptr);
    }
}

const struct table route_table = {
    .name = "model",
    .plural = "models",
    .size = sizeof(struct route),
    .version = 1,
    .version_min = 1,
    .fields = fields,
    .count = ARRAY_LEN(fields),
    .id_prefix = "mod",
    .check = check,
};
