// What is in force: loading it, finding it.
#include "registry_impl.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    enum store_kind store;
    size_t id_at, name_at;
} kinds[ENTITY_COUNT] = {
    [ENTITY_ACCOUNT] = { STORE_ACCOUNT, offsetof(struct account, id),
                         offsetof(struct account, name) },
    [ENTITY_KEY] = { STORE_KEY, offsetof(struct key, id), offsetof(struct key, name) },
    [ENTITY_ROUTE] = { STORE_MODEL, offsetof(struct route, id), offsetof(struct route, name) },
    [ENTITY_SETTING] = { STORE_SETTING, offsetof(struct setting, id),
                         offsetof(struct setting, name) },
};

enum store_kind store_kind_of(enum entity_kind kind)
{
    return kinds[kind].store;
}

struct span entity_id(enum entity_kind kind, const struct record *record)
{
    return *(const struct span *)((const char *)record + kinds[kind].id_at);
}

struct span entity_name(enum entity_kind kind, const struct record *record)
{
    return *(const struct span *)((const char *)record + kinds[kind].name_at);
}

// --- three sorted arrays ---

static int span_cmp(struct span a, struct span b)
{
    const size_t len = min_size(a.len, b.len);
    const int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static struct span sort_key(const struct entity *entity, enum entity_kind kind, bool by_name)
{
    return by_name ? entity_name(kind, entity->record) : entity_id(kind, entity->record);
}

// The place of the first entity that is not before `text`.
static uint32_t place_of(const struct entities *list, enum entity_kind kind, struct span text,
                         bool by_name)
{
    struct entity **items = by_name ? list->by_name : list->by_id;
    uint32_t low = 0, high = list->count;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        if (span_cmp(sort_key(items[mid], kind, by_name), text) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct entity *entities_find(const struct entities *list, enum entity_kind kind, struct span id)
{
    const uint32_t at = place_of(list, kind, id, false);
    const bool found = at < list->count && span_eq(entity_id(kind, list->by_id[at]->record), id);
    return found ? list->by_id[at] : NULL;
}

struct entity *entities_named(const struct entities *list, enum entity_kind kind, struct span name)
{
    const uint32_t at = place_of(list, kind, name, true);
    const bool found =
        at < list->count && span_eq(entity_name(kind, list->by_name[at]->record), name);
    return found ? list->by_name[at] : NULL;
}

static uint32_t usage_place_of(const struct entities *list, uint64_t usage_id)
{
    uint32_t low = 0, high = list->count;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        if (list->by_usage[mid]->usage_id < usage_id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct order {
    enum entity_kind kind;
    bool by_name;
};

static int text_cmp(const void *a, const void *b, void *arg)
{
    const struct order *order = arg;
    return span_cmp(sort_key(*(struct entity *const *)a, order->kind, order->by_name),
                    sort_key(*(struct entity *const *)b, order->kind, order->by_name));
}

static int usage_cmp(const void *a, const void *b)
{
    const uint64_t x = (*(struct entity *const *)a)->usage_id;
    const uint64_t y = (*(struct entity *const *)b)->usage_id;
    return (x > y) - (x < y);
}

void entities_sort(struct entities *list, enum entity_kind kind)
{
    struct order order = { kind, false };
    if (list->count == 0)
        return;
    qsort_r(list->by_id, list->count, sizeof(struct entity *), text_cmp, &order);
    order.by_name = true;
    qsort_r(list->by_name, list->count, sizeof(struct entity *), text_cmp, &order);
    qsort(list->by_usage, list->count, sizeof(struct entity *), usage_cmp);
}

static struct entity **grown(struct entity **items, uint32_t count, uint32_t cap)
{
    struct entity **more = mem_take(cap, sizeof(struct entity *));
    verify(more != NULL); // the control thread has no better answer
    if (count > 0)
        memcpy(more, items, count * sizeof(struct entity *));
    mem_give(items);
    return more;
}

static void insert(struct entity **items, uint32_t count, uint32_t at, struct entity *entity)
{
    memmove(&items[at + 1], &items[at], (count - at) * sizeof(struct entity *));
    items[at] = entity;
}

static struct entity *entity_new(struct entities *list, enum entity_kind kind,
                                 const struct entity *entity)
{
    if (list->count == list->cap) {
        list->cap = list->cap > 0 ? list->cap * 2 : 64;
        list->by_id = grown(list->by_id, list->count, list->cap);
        list->by_name = grown(list->by_name, list->count, list->cap);
        list->by_usage = grown(list->by_usage, list->count, list->cap);
    }
    struct entity *made = mem_take(1, sizeof(*made));
    verify(made != NULL);
    *made = *entity;
    made->usage_id = usage_model_id(entity_id(kind, made->record));
    return made;
}

void entities_append(struct entities *list, enum entity_kind kind, const struct entity *entity)
{
    struct entity *made = entity_new(list, kind, entity);
    list->by_id[list->count] = list->by_name[list->count] = list->by_usage[list->count] = made;
    list->count++;
}

void entities_add(struct entities *list, enum entity_kind kind, const struct entity *entity)
{
    struct entity *made = entity_new(list, kind, entity);
    const uint32_t id_at = place_of(list, kind, entity_id(kind, made->record), false);
    const uint32_t name_at = place_of(list, kind, entity_name(kind, made->record), true);
    insert(list->by_id, list->count, id_at, made);
    insert(list->by_name, list->count, name_at, made);
    insert(list->by_usage, list->count, usage_place_of(list, made->usage_id), made);
    list->count++;
}

static void take_out(struct entity **items, uint32_t count, const struct entity *entity,
                     uint32_t from)
{
    while (from < count && items[from] != entity)
        from++;
    assert(from < count);
    memmove(&items[from], &items[from + 1], (count - from - 1) * sizeof(struct entity *));
}

void entities_free(struct entities *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        mem_give(list->by_id[i]);
    mem_give(list->by_id);
    mem_give(list->by_name);
    mem_give(list->by_usage);
    *list = (struct entities){ 0 };
}

void entities_remove(struct entities *list, enum entity_kind kind, struct entity *entity)
{
    const struct span id = entity_id(kind, entity->record);
    const struct span name = entity_name(kind, entity->record);
    take_out(list->by_id, list->count, entity, place_of(list, kind, id, false));
    take_out(list->by_name, list->count, entity, place_of(list, kind, name, true));
    take_out(list->by_usage, list->count, entity, usage_place_of(list, entity->usage_id));
    list->count--;
    mem_give(entity);
}

struct err registry_new(struct registry **out, const struct registry_cfg *cfg,
                        struct registry_why *why)
{
    struct registry *registry = mem_take(1, sizeof(*registry));
    if (registry == NULL)
        return ERR(NO_MEMORY);
    registry->cfg = *cfg;
    why->text[0] = '\0';
    list_init(&registry->queue);
    list_init(&registry->ended);
    list_init(&registry->applied);
    key_hasher_init(&registry->hasher, cfg->keyring->lookup);
    struct err err = contents_load(registry, why);
    if (failed(err) && why->text[0] == '\0')
        fit_printf(why->text, sizeof(why->text), "%s", err_text(err.code));
    if (failed(err))
        registry_free(&registry);
    *out = registry;
    return err;
}

void registry_free(struct registry **owner)
{
    struct registry *registry = *owner;
    *owner = NULL;
    if (registry == NULL)
        return;
    contents_free(&registry->now);
    record_free(&registry->next);
    record_free(&registry->gone_record);
    if (registry->snap != NULL)
        snapshot_free(&registry->snap);
    text_fini(&registry->packed);
    text_fini(&registry->gone);
    bytes_wipe(&registry->hasher, sizeof(registry->hasher));
    mem_give(registry);
}

void registry_use_client(struct registry *registry, struct store_client *client)
{
    assert(!registry_is_busy(registry));
    registry->client = client;
}

// --- finding ---

uint32_t registry_count(const struct registry *registry, enum entity_kind kind)
{
    return registry->now.kinds[kind].count;
}

uint32_t registry_hidden(const struct registry *registry)
{
    uint32_t count = 0;
    for (int kind = 0; kind < ENTITY_COUNT; kind++)
        count += registry->now.hidden[kind].count;
    return count;
}

const struct entity *registry_get(const struct registry *registry, enum entity_kind kind,
                                  struct span id)
{
    return entities_find(&registry->now.kinds[kind], kind, id);
}

const struct entity *registry_by_name(const struct registry *registry, enum entity_kind kind,
                                      struct span name)
{
    return entities_named(&registry->now.kinds[kind], kind, name);
}

const struct entity *registry_next(const struct registry *registry, enum entity_kind kind,
                                   struct span after)
{
    const struct entities *list = &registry->now.kinds[kind];
    uint32_t at = after.len > 0 ? place_of(list, kind, after, false) : 0;
    if (after.len > 0 && at < list->count &&
        span_eq(entity_id(kind, list->by_id[at]->record), after))
        at++;
    return at < list->count ? list->by_id[at] : NULL;
}

static size_t gone_key(enum entity_kind kind, uint64_t usage_id, char out[CHANGE_ID_MAX + 1])
{
    return fit_printf(out, CHANGE_ID_MAX + 1, GONE_PREFIX "%s-%016llx", entity_tables[kind]->name,
                      (unsigned long long)usage_id);
}

bool registry_usage_name(const struct registry *registry, enum entity_kind kind, uint64_t usage_id,
                         struct registry_name *out)
{
    const struct entities *list = &registry->now.kinds[kind];
    const uint32_t at = usage_place_of(list, usage_id);
    if (at < list->count && list->by_usage[at]->usage_id == usage_id) {
        const struct record *record = list->by_usage[at]->record;
        *out = (struct registry_name){ entity_id(kind, record), entity_name(kind, record), false };
        return true;
    }
    char id[CHANGE_ID_MAX + 1];
    const size_t len = gone_key(kind, usage_id, id);
    const struct entity *gone =
        entities_find(&registry->now.kinds[ENTITY_SETTING], ENTITY_SETTING, span_of(id, len));
    if (gone == NULL)
        return false;
    // Its value is the id, a space and the name.
    const struct span value = ((const struct setting *)gone->record)->value;
    const size_t cut = span_find(value, ' ');
    *out = (struct registry_name){ span_upto(value, cut),
                                   span_from(value, min_size(cut + 1, value.len)), true };
    return true;
}

struct record *gone_setting(struct registry *registry, enum entity_kind kind,
                            const struct entity *entity, char id[CHANGE_ID_MAX + 1])
{
    struct setting *setting = (struct setting *)record_new(&setting_table, registry->cfg.vault);
    const size_t len = gone_key(kind, entity->usage_id, id);
    struct text value = { 0 };
    text_add(&value, entity_id(kind, entity->record));
    text_add(&value, SPAN(" "));
    text_add(&value, entity_name(kind, entity->record));
    record_text(&setting->record, &setting->id, span_of(id, len));
    record_text(&setting->record, &setting->name, span_of(id, len));
    record_text(&setting->record, &setting->value, text_span(&value));
    setting->updated_at = env_wall_ns(registry->cfg.env);
    text_fini(&value);
    return &setting->record;
}

struct err registry_each_next(const struct registry *registry, enum entity_kind kind,
                              registry_fn *fn, void *arg)
{
    const struct entities *list = &registry->now.kinds[kind];
    const struct change *change = registry->change;
    const bool is_changing = change != NULL && change->kind == kind;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct entity *entity = list->by_id[i];
        if (is_changing && span_eq(entity_id(kind, entity->record), span_str(change->id)))
            continue;
        TRY(fn(arg, entity->record, entity_from_file(entity)));
    }
    return is_changing && registry->next != NULL ? fn(arg, registry->next, false) : OK;
}

bool registry_is_next(const struct registry *registry, const struct record *record)
{
    return registry->next == record;
}
