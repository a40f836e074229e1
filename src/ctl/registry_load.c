// What the configuration and the store hold together: at the start, and again for a reload.
#include "registry_impl.h"

static struct err load_api_keys(struct registry *registry, const struct config *config,
                                struct contents *contents, struct registry_why *why)
{
    contents->api_keys = mem_take(max_size(config->account_count, 1), sizeof(struct api_key_of));
    verify(contents->api_keys != NULL);
    for (uint32_t i = 0; i < config->account_count; i++) {
        const struct account *account = config->accounts[i];
        struct secret *secret;
        char key_why[ACCOUNT_WHY_MAX];
        if (failed(account_key_load(account, config_world_system(), registry->cfg.vault, &secret,
                                    key_why))) {
            const bool in_file = account->api_key_file.len > 0;
            fit_printf(why->text, sizeof(why->text),
                       "account `%s`: the key cannot be read from the %s %s: %s", account->name.ptr,
                       in_file ? "file" : "variable",
                       in_file ? account->api_key_file.ptr : account->api_key_env.ptr, key_why);
            return ERR(CONFIG);
        }
        if (secret != NULL)
            contents->api_keys[contents->api_key_count++] = (struct api_key_of){ account, secret };
    }
    return OK;
}

const struct secret *registry_api_key(const struct registry *registry,
                                      const struct account *account)
{
    for (uint32_t i = 0; i < registry->now.api_key_count; i++)
        if (registry->now.api_keys[i].account == account)
            return registry->now.api_keys[i].secret;
    return account->api_key;
}

static void add(struct contents *contents, enum entity_kind kind, struct record *record,
                uint64_t version)
{
    entities_append(&contents->kinds[kind], kind, &(struct entity){ record, version, 0 });
}

// The file's objects, in order.
static void load_file(const struct registry *registry, const struct config *config,
                      struct contents *contents)
{
    for (uint32_t i = 0; i < config->account_count; i++)
        add(contents, ENTITY_ACCOUNT, &config->accounts[i]->record, 0);
    for (uint32_t i = 0; i < config->key_count; i++) {
        struct key *key = config->keys[i];
        if (key->key != NULL)
            key_adopt(key, &registry->hasher, secret_reveal(key->key));
        add(contents, ENTITY_KEY, &key->record, 0);
    }
    for (uint32_t i = 0; i < config->route_count; i++)
        add(contents, ENTITY_ROUTE, &config->routes[i]->record, 0);
    for (int kind = 0; kind < ENTITY_COUNT; kind++)
        entities_sort(&contents->kinds[kind], (enum entity_kind)kind);
}

// One kind's objects of the store, behind those of the file.
struct loading {
    struct registry *registry;
    struct contents *contents;
    enum entity_kind kind;
    struct registry_why *why;
    uint32_t from_file; // entities that the file declares
    struct err err;
};

// What the file declares is the file's outright: an object of the store with the same id or name is
// kept aside. Only the file's objects are in order by now; those of the store differ among
// themselves.
static void add_stored(struct loading *load, struct record *record, uint64_t version)
{
    struct entities *list = &load->contents->kinds[load->kind];
    const uint32_t all = list->count;
    list->count = load->from_file;
    const bool hidden = entities_find(list, load->kind, entity_id(load->kind, record)) != NULL ||
                        entities_named(list, load->kind, entity_name(load->kind, record)) != NULL;
    list->count = all;
    entities_append(hidden ? &load->contents->hidden[load->kind] : list, load->kind,
                    &(struct entity){ record, version, 0 });
}

static bool on_stored(void *arg, const struct store_entity *stored)
{
    struct loading *load = arg;
    struct registry *registry = load->registry;
    const struct table *table = entity_tables[load->kind];
    struct record *record;
    load->err = record_unpack(table, stored->value, stored->key, registry->cfg.keyring,
                              registry->cfg.vault, &record);
    if (failed(load->err)) {
        fit_printf(load->why->text, sizeof(load->why->text), "the %s %.*s in the store: %s",
                   table->name, (int)stored->key.len, stored->key.ptr, err_text(load->err.code));
        return false;
    }
    add_stored(load, record, stored->version);
    return true;
}

struct err contents_load(struct registry *registry, struct registry_why *why)
{
    struct contents *contents = &registry->now;
    TRY(load_api_keys(registry, registry->cfg.config, contents, why));
    load_file(registry, registry->cfg.config, contents);
    for (int kind = 0; kind < ENTITY_COUNT; kind++) {
        struct entities *list = &contents->kinds[kind];
        struct loading load = { registry, contents, (enum entity_kind)kind, why, list->count, OK };
        struct err err =
            store_scan(registry->cfg.store, store_kind_of(load.kind), on_stored, &load);
        entities_sort(list, load.kind);
        if (failed(err)) {
            struct store_why said;
            store_explain(registry->cfg.store, err, &said);
            fit_printf(why->text, sizeof(why->text), "%s", said.text);
            return err;
        }
        TRY(load.err);
    }
    return OK;
}

// Everything but the records of the store.
static void forget(struct contents *contents)
{
    for (int kind = 0; kind < ENTITY_COUNT; kind++) {
        entities_free(&contents->kinds[kind]);
        entities_free(&contents->hidden[kind]);
    }
    for (uint32_t i = 0; i < contents->api_key_count; i++)
        secret_free(&contents->api_keys[i].secret);
    mem_give(contents->api_keys);
    *contents = (struct contents){ 0 };
}

void contents_free(struct contents *contents)
{
    for (int kind = 0; kind < ENTITY_COUNT; kind++) {
        struct entities *lists[] = { &contents->kinds[kind], &contents->hidden[kind] };
        for (size_t i = 0; i < ARRAY_LEN(lists); i++)
            for (uint32_t j = 0; j < lists[i]->count; j++)
                if (!entity_from_file(lists[i]->by_id[j]))
                    record_free(&lists[i]->by_id[j]->record);
    }
    forget(contents);
}

// --- reload ---

// The objects of `config` with the store's, whose records both contents then name.
static struct err combine(struct registry *registry, const struct config *config,
                          struct contents *next, struct registry_why *why)
{
    TRY(load_api_keys(registry, config, next, why));
    load_file(registry, config, next);
    for (int kind = 0; kind < ENTITY_COUNT; kind++) {
        const struct entities *lists[] = { &registry->now.kinds[kind],
                                           &registry->now.hidden[kind] };
        struct loading load = { .contents = next,
                                .kind = (enum entity_kind)kind,
                                .from_file = next->kinds[kind].count };
        for (size_t i = 0; i < ARRAY_LEN(lists); i++)
            for (uint32_t j = 0; j < lists[i]->count; j++)
                if (!entity_from_file(lists[i]->by_id[j]))
                    add_stored(&load, lists[i]->by_id[j]->record, lists[i]->by_id[j]->version);
        entities_sort(&next->kinds[kind], load.kind);
        if (next->kinds[kind].count > REGISTRY_OBJECTS_MAX) {
            fit_printf(why->text, sizeof(why->text), "there are more than %d %s in file and store",
                       REGISTRY_OBJECTS_MAX, entity_tables[kind]->plural);
            return ERR(CONFIG);
        }
    }
    return OK;
}

static struct err show(struct registry *registry, struct registry_why *why)
{
    struct snapshot *snap = NULL;
    if (registry->cfg.build == NULL)
        return OK;
    TRY(registry->cfg.build(registry->cfg.arg, registry, &snap, why));
    struct err err = registry->cfg.publish(registry->cfg.arg, &snap);
    if (snap != NULL)
        snapshot_free(&snap);
    return err;
}

struct err registry_reload(struct registry *registry, const struct config *config,
                           struct registry_why *why)
{
    struct contents next = { 0 };
    why->text[0] = '\0';
    if (registry->change != NULL || registry->applied_count > 0)
        return ERR(OVERLOADED);
    struct err err = combine(registry, config, &next, why);
    const struct contents before = registry->now;
    const struct config *config_before = registry->cfg.config;
    if (!failed(err)) {
        registry->now = next;
        registry->cfg.config = config;
        err = show(registry, why);
        next = failed(err) ? registry->now : before;
    }
    if (failed(err)) {
        registry->now = before;
        registry->cfg.config = config_before;
    }
    if (failed(err) && why->text[0] == '\0')
        fit_printf(why->text, sizeof(why->text), "%s", err_text(err.code));
    forget(&next);
    return err;
}

struct registry_diff registry_compare(const struct registry *registry, enum entity_kind kind,
                                      const struct config *config)
{
    struct registry_diff diff = { 0 };
    struct contents next = { 0 };
    load_file(registry, config, &next);
    const struct entities *now = &registry->now.kinds[kind];
    const struct entities *then = &next.kinds[kind];
    for (uint32_t i = 0; i < then->count; i++) {
        const struct record *record = then->by_id[i]->record;
        const struct entity *old = entities_find(now, kind, entity_id(kind, record));
        if (old == NULL || !entity_from_file(old))
            diff.added++;
        else
            diff.changed += !record_eq(old->record, record);
    }
    for (uint32_t i = 0; i < now->count; i++)
        diff.removed += entity_from_file(now->by_id[i]) &&
                        entities_find(then, kind, entity_id(kind, now->by_id[i]->record)) == NULL;
    forget(&next);
    return diff;
}
