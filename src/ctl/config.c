// One load: parse, settings, environment, resources, what must fit together, what follows.
#include "config_impl.h"

#include "penstock/model/entity.h"
#include "penstock/model/suggest.h"

#include <errno.h>
#include <stdio.h>

enum { REGION_FIRST = 4 * KIB };

static const char env_prefix[] = "PENSTOCK__";

void config_env_name(const struct field *field, char out[CONFIG_ENV_NAME_MAX])
{
    size_t len = sizeof(env_prefix) - 1;
    memcpy(out, env_prefix, len);
    for (const char *at = field->name; *at != '\0'; at++) {
        assert(len + 3 < CONFIG_ENV_NAME_MAX);
        if (*at == '.') {
            out[len++] = '_';
            out[len++] = '_';
        } else {
            out[len++] = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
        }
    }
    out[len] = '\0';
}

static const struct field *find_env(struct span name, struct suggest *suggest, char *best)
{
    for (uint32_t i = 0; i < config_table.count; i++) {
        char candidate[CONFIG_ENV_NAME_MAX];
        config_env_name(&config_table.fields[i], candidate);
        if (span_eq(name, span_str(candidate)))
            return &config_table.fields[i];
        const size_t before = suggest->distance;
        const bool had = suggest->best.ptr != NULL;
        suggest_try(suggest, span_str(candidate));
        if (suggest->best.ptr != NULL && (!had || suggest->distance != before)) {
            memcpy(best, candidate, sizeof(candidate));
            suggest->best = span_str(best);
        }
    }
    return NULL;
}

static void read_variable(struct config_loader *loader, struct config *cfg, struct span name,
                          struct span text)
{
    struct suggest suggest = { .word = name };
    char best[CONFIG_ENV_NAME_MAX];
    const struct field *field = find_env(name, &suggest, best);
    const int len = (int)min_size(name.len, CONFIG_ENV_NAME_MAX);
    if (field == NULL) {
        struct problem *problem =
            problem_add(loader->problems, PROBLEM_ENV_UNKNOWN, (struct place){ 0 }, "",
                        "the environment variable `%.*s` names no setting", len, name.ptr);
        if (suggest.best.ptr != NULL)
            problem_hint(problem, "did you mean `%s`?", best);
        problem_help(problem, "penstock config env lists all of them");
        return;
    }
    const struct value value = {
        .kind = VALUE_WORD,
        .is_interpolated = true,
        .text = region_dup(&loader->region, text),
    };
    const uint32_t before = loader->problems->count;
    field_read(&cfg->record, field, &value, FROM_ENV, "", loader->problems);
    if (loader->problems->count > before)
        problem_help(&loader->problems->items[before], "the value is that of the variable %.*s",
                     len, name.ptr);
}

static void read_environment(struct config_loader *loader, struct config *cfg)
{
    struct config_world *world = loader->world;
    const char *entry;
    for (size_t i = 0; (entry = world->env_at(world, i)) != NULL; i++) {
        const struct span text = span_str(entry);
        const size_t end = span_find(text, '=');
        if (span_starts(text, SPAN("PENSTOCK__")) && end < text.len)
            read_variable(loader, cfg, span_upto(text, end), span_from(text, end + 1));
    }
}

// Takes resources: out of the root, so that what is left are settings.
static struct value *take_resources(struct value *root)
{
    for (struct value **at = &root->first; *at != NULL; at = &(*at)->next) {
        if (!span_eq((*at)->key, SPAN("resources")))
            continue;
        struct value *found = *at;
        *at = found->next;
        root->count--;
        return found;
    }
    return NULL;
}

// A version that this program does not know makes every further message doubtful.
static bool version_ok(struct config_loader *loader, const struct value *root)
{
    const struct value *version = value_find(root, SPAN("config_version"));
    if (version == NULL || span_eq(version->text, SPAN("1")))
        return true; // a missing one is reported as any missing field
    problem_hint(problem_add(loader->problems, PROBLEM_VERSION, version->place, "config_version",
                             "`config_version` is not 1, the only one this program knows"),
                 "write `config_version: 1`");
    return false;
}

static void resolve_dir(struct config_loader *loader, struct config *cfg, struct span *dir,
                        const char *systemd, const char *for_root, const char *home,
                        const char *below)
{
    struct config_world *world = loader->world;
    if (dir->len > 0)
        return;
    const char *given = world->env(world, systemd);
    const char *base = world->env(world, home);
    // systemd lists several directories with colons; the first is ours.
    if (given != NULL && given[0] == '/')
        *dir =
            region_printf(&cfg->record.region, "%.*s", (int)span_find(span_str(given), ':'), given);
    else if (world->uid == 0)
        *dir = region_dup(&cfg->record.region, span_str(for_root));
    else if (base != NULL && base[0] == '/')
        *dir = region_printf(&cfg->record.region, "%s/%s", base, below);
    else
        *dir = region_printf(&cfg->record.region, "/tmp/penstock-%u", world->uid);
}

static void resolve(struct config_loader *loader, struct config *cfg)
{
    resolve_dir(loader, cfg, &cfg->state_dir, "STATE_DIRECTORY", "/var/lib/penstock", "HOME",
                ".local/state/penstock");
    resolve_dir(loader, cfg, &cfg->runtime_dir, "RUNTIME_DIRECTORY", "/run/penstock",
                "XDG_RUNTIME_DIR", "penstock");
    if (cfg->listen.control.len == 0)
        cfg->listen.control =
            region_printf(&cfg->record.region, "%s/control.sock", cfg->runtime_dir.ptr);
}

static void load(struct config_loader *loader, struct config *cfg, struct span text)
{
    const uint32_t before = loader->problems->error_count;
    struct value *root = config_parse(loader, text);
    if (root == NULL && loader->problems->error_count > before)
        return;
    if (root != NULL) {
        if (!version_ok(loader, root))
            return;
        const struct value *resources = take_resources(root);
        record_read(&cfg->record, root, FROM_FILE, "", loader->problems);
        if (resources != NULL)
            config_resources(loader, cfg, resources);
    }
    read_environment(loader, cfg);
    if (loader->problems->error_count == before)
        config_check(loader, cfg, root);
    if (loader->problems->error_count == before)
        resolve(loader, cfg);
}

struct config *config_load(struct span text, const char *file, struct vault *vault,
                           struct config_world *world, struct problems *problems)
{
    struct config *cfg = (struct config *)record_new(&config_table, vault);
    struct config_loader loader = {
        .vault = vault,
        .world = world,
        .problems = problems,
        .file = file,
    };
    region_init(&loader.region, REGION_FIRST);
    const uint32_t before = problems->error_count;
    load(&loader, cfg, text);
    region_fini(&loader.region);
    problems_sort(problems);
    if (problems->error_count > before)
        config_free(&cfg);
    return cfg;
}

struct config *config_load_file(const char *path, struct vault *vault, struct config_world *world,
                                struct problems *problems, struct text *source)
{
    struct config_stat stat = { 0 };
    const int why = world->read(world, path, CONFIG_FILE_MAX, source, &stat);
    if (why == EFBIG) {
        problem_add(problems, PROBLEM_TOO_LARGE, (struct place){ 0 }, "",
                    "the file is larger than 32MiB");
        return NULL;
    }
    if (why != 0) {
        problem_add(problems, PROBLEM_UNREADABLE, (struct place){ 0 }, "",
                    "the file cannot be read: %s", strerror(why));
        return NULL;
    }
    struct config *cfg = config_load(text_span(source), path, vault, world, problems);
    bool has_secret = false;
    for (uint32_t i = 0; i < problems->count; i++)
        has_secret |= problems->items[i].code == PROBLEM_PLAIN_SECRET;
    if (has_secret && (stat.mode & 077) != 0)
        problem_help(problem_warn(problems, PROBLEM_FILE_MODE, (struct place){ 0 }, "",
                                  "the file holds secrets, and its mode %03o lets others read it",
                                  stat.mode & 0777),
                     "chmod 600 %s", path);
    return cfg;
}

void config_free(struct config **cfg)
{
    if (*cfg == NULL)
        return;
    for (uint32_t i = 0; i < (*cfg)->account_count; i++)
        record_free((struct record **)&(*cfg)->accounts[i]);
    for (uint32_t i = 0; i < (*cfg)->key_count; i++)
        record_free((struct record **)&(*cfg)->keys[i]);
    for (uint32_t i = 0; i < (*cfg)->route_count; i++)
        record_free((struct record **)&(*cfg)->routes[i]);
    record_free((struct record **)cfg);
}

void config_diff(const struct config *a, const struct config *b, config_change_fn *on_change,
                 void *arg)
{
    for (uint32_t i = 0; i < config_table.count; i++) {
        const struct field *field = &config_table.fields[i];
        if (!record_field_eq(&a->record, &b->record, field))
            on_change(arg, field, (field->flags & FIELD_LIVE) != 0);
    }
}

void config_adopt(struct config *next, const struct config *old, config_change_fn *on_change,
                  void *arg)
{
    config_diff(old, next, on_change, arg);
    for (uint32_t i = 0; i < config_table.count; i++) {
        const struct field *field = &config_table.fields[i];
        if ((field->flags & FIELD_LIVE) == 0 &&
            !record_field_eq(&old->record, &next->record, field))
            record_field_copy(&next->record, &old->record, field);
    }
}
