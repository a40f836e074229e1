// resources: objects that the file declares. Their ids follow from their names, so that usage
// stays with them over restarts.
#include "config_impl.h"

#include "penstock/model/entity.h"
#include "penstock/model/suggest.h"

#include <stdlib.h>

struct kind {
    const struct table *table;
    size_t id_at, name_at;
};

static const struct kind kinds[] = {
    { &account_table, offsetof(struct account, id), offsetof(struct account, name) },
    { &key_table, offsetof(struct key, id), offsetof(struct key, name) },
    { &route_table, offsetof(struct route, id), offsetof(struct route, name) },
};

static struct span *member(struct record *record, size_t at)
{
    return (struct span *)((char *)record + at);
}

// A name and where it was given.
struct name {
    struct span text;
    struct place place;
    uint32_t idx;
};

static int name_cmp(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    const int order = memcmp(x->text.ptr, y->text.ptr, min_size(x->text.len, y->text.len));
    if (order != 0)
        return order;
    if (x->text.len != y->text.len)
        return x->text.len < y->text.len ? -1 : 1;
    return x->idx < y->idx ? -1 : 1;
}

static void check_names(struct config_loader *loader, struct name *names, uint32_t count,
                        const char *plural, const char *what)
{
    if (count > 1)
        qsort(names, count, sizeof(*names), name_cmp);
    for (uint32_t i = 1; i < count; i++) {
        // One object's own names are its table's business.
        if (!span_eq(names[i].text, names[i - 1].text) || names[i].idx == names[i - 1].idx)
            continue;
        char path[PROBLEM_PATH_MAX];
        fit_printf(path, sizeof(path), "resources.%s[%u]", plural, names[i].idx);
        struct problem *problem = problem_add(loader->problems, PROBLEM_NAME_TAKEN, names[i].place,
                                              path, "the %s `%s` is used by another of the %s too",
                                              what, names[i].text.ptr, plural);
        problem_hint(problem, "the first one is in line %u", names[i - 1].place.line);
    }
}

static void check_key(struct config_loader *loader, const struct key *key,
                      const struct value *value, const char *path)
{
    if (key->key == NULL && value_find(value, SPAN("key")) == NULL &&
        value_find(value, SPAN("digest")) == NULL) {
        struct problem *problem = problem_add(loader->problems, PROBLEM_MISSING, value->place, path,
                                              "`%s` needs `key` or `digest`", path);
        problem_help(problem, "penstock key create makes one");
    }
}

static struct name name_of(const struct record *record, size_t at, const struct value *value,
                           uint32_t idx)
{
    const struct value *name = value_find(value, SPAN("name"));
    return (struct name){ *member((struct record *)record, at),
                          name != NULL ? name->place : value->place, idx };
}

static struct record **read_list(struct config_loader *loader, struct config *cfg,
                                 const struct kind *kind, const struct value *list, uint32_t *count)
{
    const struct table *table = kind->table;
    char path[PROBLEM_PATH_MAX];
    *count = 0;
    if (list->kind != VALUE_LIST) {
        fit_printf(path, sizeof(path), "resources.%s", table->plural);
        problem_add(loader->problems, PROBLEM_WRONG_KIND, list->place, path,
                    "`%s` must be a list, not %s", path, value_kind_name(list->kind));
        return NULL;
    }
    if (list->count > CONFIG_RESOURCES_MAX) {
        problem_add(loader->problems, PROBLEM_TOO_MANY, list->place, table->plural,
                    "there are more than %d %s", CONFIG_RESOURCES_MAX, table->plural);
        return NULL;
    }
    struct record **records = REGION_ARRAY(&cfg->record.region, struct record *, list->count);
    struct name *names = REGION_ARRAY(&loader->region, struct name, list->count);
    uint32_t named = 0, idx = 0;
    for (const struct value *item = list->first; item != NULL; item = item->next, idx++) {
        const uint32_t before = loader->problems->error_count;
        struct record *record = record_new(table, loader->vault);
        records[(*count)++] = record;
        fit_printf(path, sizeof(path), "resources.%s[%u]", table->plural, idx);
        record_read(record, item, FROM_FILE, path, loader->problems);
        if (loader->problems->error_count != before)
            continue;
        if (table == &key_table)
            check_key(loader, (struct key *)record, item, path);
        char id[ENTITY_ID_MAX];
        const struct span name = *member(record, kind->name_at);
        if (member(record, kind->id_at)->len == 0)
            record_text(record, member(record, kind->id_at), entity_id_of_name(table, name, id));
        names[named++] = name_of(record, kind->name_at, item, idx);
    }
    if (table != &route_table) // with their aliases, below
        check_names(loader, names, named, table->plural, "name");
    return records;
}

static bool has_account(const struct config *cfg, struct suggest *suggest)
{
    for (uint32_t i = 0; i < cfg->account_count; i++) {
        if (span_eq(suggest->word, cfg->accounts[i]->name))
            return true;
        suggest_try(suggest, cfg->accounts[i]->name);
    }
    return false;
}

// An account that is not here may be in the store, so that this is a warning.
static void check_routes(struct config_loader *loader, const struct config *cfg,
                         const struct value *list)
{
    uint32_t idx = 0;
    for (const struct value *item = list->first; item != NULL; item = item->next, idx++) {
        const struct route *route = cfg->routes[idx];
        for (uint32_t i = 0; i < route->accounts.count; i++) {
            struct suggest suggest = { .word = route->accounts.items[i] };
            if (has_account(cfg, &suggest))
                continue;
            char path[PROBLEM_PATH_MAX];
            fit_printf(path, sizeof(path), "resources.models[%u].accounts[%u]", idx, i);
            const struct value *names = value_find(item, SPAN("accounts"));
            struct problem *problem = problem_warn(
                loader->problems, PROBLEM_REFERENCE, names != NULL ? names->place : item->place,
                path, "no account in this file is called `%s`", suggest.word.ptr);
            if (suggest.best.ptr != NULL)
                problem_hint(problem, "did you mean `%s`?", suggest.best.ptr);
        }
    }
}

static void check_aliases(struct config_loader *loader, const struct config *cfg,
                          const struct value *list)
{
    size_t total = 0;
    for (uint32_t i = 0; i < cfg->route_count; i++)
        total += 1 + cfg->routes[i]->aliases.count;
    struct name *names = REGION_ARRAY(&loader->region, struct name, total);
    uint32_t count = 0, idx = 0;
    for (const struct value *item = list->first; item != NULL; item = item->next, idx++) {
        const struct route *route = cfg->routes[idx];
        if (route->name.len > 0)
            names[count++] = name_of(&route->record, offsetof(struct route, name), item, idx);
        const struct value *aliases = value_find(item, SPAN("aliases"));
        for (uint32_t i = 0; i < route->aliases.count; i++)
            names[count++] = (struct name){ route->aliases.items[i],
                                            aliases != NULL ? aliases->place : item->place, idx };
    }
    check_names(loader, names, count, "models", "name or alias");
}

void config_resources(struct config_loader *loader, struct config *cfg, const struct value *map)
{
    if (map->kind != VALUE_MAP) {
        problem_add(loader->problems, PROBLEM_WRONG_KIND, map->place, "resources",
                    "`resources` must be a map of accounts, keys and models");
        return;
    }
    uint32_t seen = 0;
    for (const struct value *entry = map->first; entry != NULL; entry = entry->next) {
        struct suggest suggest = { .word = entry->key };
        size_t i = 0;
        while (i < ARRAY_LEN(kinds) && !span_eq(entry->key, span_str(kinds[i].table->plural)))
            suggest_try(&suggest, span_str(kinds[i++].table->plural));
        if (i < ARRAY_LEN(kinds) && (seen & BIT(i)) != 0)
            continue; // a duplicate, which was said
        seen |= BIT(i);
        if (i == 0)
            cfg->accounts =
                (struct account **)read_list(loader, cfg, &kinds[0], entry, &cfg->account_count);
        else if (i == 1)
            cfg->keys = (struct key **)read_list(loader, cfg, &kinds[1], entry, &cfg->key_count);
        else if (i == 2)
            cfg->routes =
                (struct route **)read_list(loader, cfg, &kinds[2], entry, &cfg->route_count);
        else {
            struct problem *problem =
                problem_add(loader->problems, PROBLEM_UNKNOWN_KEY, entry->key_place, "resources",
                            "unknown key `%.*s` in `resources`",
                            (int)min_size(entry->key.len, FIELD_NAME_MAX), entry->key.ptr);
            if (suggest.best.ptr != NULL)
                problem_hint(problem, "did you mean `%s`?", suggest.best.ptr);
            problem_help(problem, "known here: `accounts`, `keys`, `models`");
        }
    }
    const struct value *models = value_find(map, SPAN("models"));
    if (models == NULL || models->kind != VALUE_LIST || cfg->routes == NULL)
        return;
    check_routes(loader, cfg, models);
    check_aliases(loader, cfg, models);
}
