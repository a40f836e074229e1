// Who serves which model: for each format, names and beginnings of names to accounts, best first.
//
// Each account is entered under the names and beginnings that it lists, for every format whose
// clients it can serve. The candidates of a name are then the accounts under it and under each of
// its beginnings; those of a beginning likewise. So the work grows with what is listed, not with
// names times accounts.
//
// Of accounts with the same priority, those come first that speak the client's own format. But an
// account that lists no models serves any name only as a guess: one that speaks the client's format
// comes behind those of other formats that list the name if nobody of its own does, and one of
// another format serves a name only where nobody speaks the client's.
#include "penstock/model/usage_record.h"
#include "snapshot_build.h"

#include <stdlib.h>

static struct name_entry *set_entry(struct snap_builder *builder, struct name_set *set,
                                    struct span name)
{
    const uint32_t old = index_find(&set->index, name);
    if (old != INDEX_NONE)
        return &set->entries[old];
    GROW(builder, set->entries, set->count, set->cap);
    set->entries[set->count] = (struct name_entry){ .name = name };
    index_add(&set->index, &builder->scratch, name, set->count);
    return &set->entries[set->count++];
}

// The last link is found through the entry, which moves when the set grows.
static void enter(struct snap_builder *builder, struct name_set *set, struct span name,
                  uint32_t account)
{
    struct name_entry *entry = set_entry(builder, set, name);
    struct link *link = REGION_NEW(&builder->scratch, struct link);
    link->account = account;
    if (entry->first == NULL)
        entry->first = link;
    else
        entry->last->next = link;
    entry->last = link;
}

static bool is_open(struct span pattern)
{
    return pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*';
}

static void enter_account(struct snap_builder *builder, const struct build_account *build,
                          enum format format)
{
    const uint32_t idx = build->snap.idx;
    if (build->models.count == 0)
        enter(builder, &builder->prefix[format], SPAN(""), idx);
    for (uint32_t i = 0; i < build->models.count; i++) {
        const struct span model = build->models.items[i];
        if (is_open(model))
            enter(builder, &builder->prefix[format], span_upto(model, model.len - 1), idx);
        else
            enter(builder, &builder->exact[format], model, idx);
    }
    for (uint32_t i = 0; i < build->map.count; i++)
        enter(builder, &builder->exact[format], build->map.items[i].key, idx);
}

// One more candidate of the route at hand, unless it is one already.
static void pick(struct snap_builder *builder, uint32_t account)
{
    if (builder->picked[account] == builder->round)
        return;
    builder->picked[account] = builder->round;
    builder->picks[builder->pick_count++] = account;
}

static void pick_entry(struct snap_builder *builder, const struct name_set *set, struct span name,
                       uint32_t hash)
{
    const uint32_t idx = index_find_hashed(&set->index, name, hash);
    if (idx == INDEX_NONE)
        return;
    for (const struct link *link = set->entries[idx].first; link != NULL; link = link->next)
        pick(builder, link->account);
}

// Everybody whose beginning `name` has, and with `exact` everybody who lists it.
static void pick_all(struct snap_builder *builder, enum format format, struct span name, bool exact)
{
    uint32_t hash = INDEX_SEED;
    for (size_t len = 0; len <= name.len; len++) {
        if (len > 0)
            hash = index_hash_byte(hash, (unsigned char)name.ptr[len - 1]);
        pick_entry(builder, &builder->prefix[format], span_upto(name, len), hash);
    }
    if (exact)
        pick_entry(builder, &builder->exact[format], name, hash);
}

static void pick_begin(struct snap_builder *builder)
{
    builder->round++;
    builder->pick_count = 0;
}

static int idx_cmp(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y ? 1 : 0;
}

static bool map_find(struct pairs map, struct span name, struct span *out)
{
    for (uint32_t i = 0; i < map.count; i++) {
        if (!span_eq(map.items[i].key, name))
            continue;
        *out = map.items[i].value;
        return true;
    }
    return false;
}

// What `account` calls the model that clients ask for as `asked`. `public` is the route's name.
static struct span vendor_name(const struct build_account *account, struct span asked,
                               struct span public, struct span target)
{
    struct span name = target;
    if (!map_find(account->map, target, &name))
        map_find(account->map, public, &name);
    return span_eq(name, asked) ? SPAN_NONE : name;
}

// Whether the account says that it serves the route's model, and not just every model.
static bool is_said(const struct snap_builder *builder, uint32_t idx, struct span public,
                    struct span target)
{
    const struct build_account *account = builder->accounts[idx];
    struct span name;
    return account->models.count > 0 || map_find(account->map, target, &name) ||
           map_find(account->map, public, &name);
}

// What is known of a candidate, above its index.
enum { PICK_SHIFT = 30, PICK_SAID = 1 << 0, PICK_OWN = 1 << 1 };
_Static_assert(SNAPSHOT_ACCOUNTS_MAX < 1 << PICK_SHIFT, "an index leaves room");
#define PICK_IDX(pick) ((pick) & ((UINT32_C(1) << PICK_SHIFT) - 1))

// Where among those of the same priority a candidate stands; PICK_NEVER: not at all.
enum { PICK_FIRST, PICK_SECOND, PICK_THIRD, PICK_NEVER };

static unsigned pick_class(uint32_t pick, bool any_own, bool own_said)
{
    const bool own = (pick >> PICK_SHIFT & PICK_OWN) != 0;
    const bool said = (pick >> PICK_SHIFT & PICK_SAID) != 0;
    if (own)
        return said || own_said ? PICK_FIRST : PICK_THIRD;
    return said ? PICK_SECOND : any_own ? PICK_NEVER : PICK_THIRD;
}

static int64_t pick_priority(const struct snap_builder *builder, uint32_t pick)
{
    return builder->accounts[PICK_IDX(pick)]->snap.priority;
}

// Puts the candidates in order: by index, which is by priority, and those of one priority by class.
static void pick_sort(struct snap_builder *builder, enum format format, struct span public,
                      struct span target)
{
    uint32_t *picks = builder->picks, kept = 0;
    const uint32_t count = builder->pick_count;
    bool any_own = false, own_said = false;
    if (count > 1)
        qsort(picks, count, sizeof(uint32_t), idx_cmp);
    for (uint32_t i = 0; i < count; i++) {
        const bool own = (builder->accounts[picks[i]]->snap.formats & BIT(format)) != 0;
        const bool said = is_said(builder, picks[i], public, target);
        any_own |= own;
        own_said |= own && said;
        picks[i] |= ((own ? PICK_OWN : 0U) | (said ? PICK_SAID : 0U)) << PICK_SHIFT;
    }
    for (uint32_t i = 0, end; i < count; i = end) {
        const int64_t priority = pick_priority(builder, picks[i]);
        end = i + 1;
        while (end < count && pick_priority(builder, picks[end]) == priority)
            end++;
        for (unsigned class = PICK_FIRST; class < PICK_NEVER; class ++)
            for (uint32_t j = i; j < end; j++)
                if (pick_class(picks[j], any_own, own_said) == class)
                    builder->sorts[kept++] = PICK_IDX(picks[j]);
    }
    if (kept > 0)
        memcpy(picks, builder->sorts, kept * sizeof(*picks));
    builder->pick_count = kept;
}

// In which format an account is asked for a client of `format`: the same, else the first of those
// that are converted.
static uint8_t asked_in(const struct snap_builder *builder, const struct build_account *account,
                        enum format format)
{
    const uint32_t served = account->snap.formats;
    if ((served & BIT(format)) != 0)
        return (uint8_t)format;
    assert((served & builder->converts) != 0);
    return (uint8_t)__builtin_ctz(served & builder->converts);
}

static struct snap_route make_route(struct snap_builder *builder, enum format format,
                                    struct span asked, struct span public, struct span target)
{
    const uint32_t count = min_u64(builder->pick_count, SNAPSHOT_CANDIDATES_MAX);
    struct snap_candidate *candidates =
        REGION_ARRAY(&builder->snap->region, struct snap_candidate, count);
    struct snap_route route = { .candidates = candidates, .count = count };
    for (uint32_t i = 0; i < count; i++) {
        const struct build_account *account = builder->accounts[builder->picks[i]];
        candidates[i] = (struct snap_candidate){
            .account = builder->picks[i],
            .format = asked_in(builder, account, format),
            .model = vendor_name(account, asked, public, target),
        };
        route.own_count += candidates[i].format == format;
    }
    return route;
}

static void add_route(struct snap_builder *builder, struct snap_routes *routes, struct index *index,
                      struct span name, struct snap_route route)
{
    GROW(builder, routes->routes, routes->count, builder->out_cap);
    routes->routes[routes->count] = route;
    if (index == &routes->exact)
        routes->routes[routes->count].model_id = usage_model_id(name);
    index_add(index, &builder->snap->region, name, routes->count++);
}

// The accounts that a route names, in its order; the rest of what it says decides otherwise.
static void pick_named(struct snap_builder *builder, enum format format,
                       const struct build_route *route)
{
    for (uint32_t i = 0; i < route->accounts.count; i++) {
        const uint32_t idx = index_find(&builder->snap->account_names, route->accounts.items[i]);
        if (idx == INDEX_NONE)
            continue; // its account is gone; the others still serve
        const struct build_account *account = builder->accounts[idx];
        if (account->snap.enabled && (account->reach & BIT(format)) != 0)
            pick(builder, idx);
    }
}

static uint32_t pick_route(struct snap_builder *builder, enum format format,
                           const struct build_route *route)
{
    pick_begin(builder);
    if (!route->enabled || (route->formats & BIT(format)) == 0)
        return 0;
    if (route->accounts.count > 0) {
        pick_named(builder, format, route);
    } else {
        pick_all(builder, format, route->target, true);
        pick_all(builder, format, route->name, true);
        pick_sort(builder, format, route->name, route->target);
    }
    return builder->pick_count;
}

static void add_named(struct snap_builder *builder, enum format format,
                      const struct build_route *route, struct span asked)
{
    struct snap_routes *routes = &builder->snap->routes[format];
    if (index_find(&routes->exact, asked) != INDEX_NONE)
        return;
    struct snap_route made = make_route(builder, format, asked, route->name, route->target);
    made.strict = route->strict;
    made.think_tags = route->think_tags;
    made.web_search = route->web_search;
    made.ordered = route->accounts.count > 0;
    add_route(builder, routes, &routes->exact, asked, made);
}

static void add_routes(struct snap_builder *builder, enum format format)
{
    for (uint32_t i = 0; i < builder->route_count; i++) {
        const struct build_route *route = &builder->routes[i];
        pick_route(builder, format, route);
        // The first route of a name counts; the control thread lets no second one in.
        add_named(builder, format, route, route->name);
        for (uint32_t j = 0; j < route->aliases.count; j++)
            add_named(builder, format, route, route->aliases.items[j]);
    }
}

static void add_listed(struct snap_builder *builder, enum format format)
{
    struct snap_routes *routes = &builder->snap->routes[format];
    const struct name_set *exact = &builder->exact[format], *prefix = &builder->prefix[format];
    for (uint32_t i = 0; i < exact->count; i++) {
        const struct span name = exact->entries[i].name;
        if (index_find(&routes->exact, name) != INDEX_NONE)
            continue; // a route has taken the name
        pick_begin(builder);
        pick_all(builder, format, name, true);
        pick_sort(builder, format, name, name);
        add_route(builder, routes, &routes->exact, region_dup(&builder->snap->region, name),
                  make_route(builder, format, name, name, name));
    }
    for (uint32_t i = 0; i < prefix->count; i++) {
        const struct span name = prefix->entries[i].name;
        pick_begin(builder);
        pick_all(builder, format, name, false);
        pick_sort(builder, format, SPAN_NONE, SPAN_NONE);
        // No single name is asked for here, and no map speaks of beginnings.
        add_route(builder, routes, &routes->prefix, region_dup(&builder->snap->region, name),
                  make_route(builder, format, SPAN_NONE, SPAN_NONE, SPAN_NONE));
        routes->prefix_lens[name.len / 64] |= UINT64_C(1) << (name.len % 64);
    }
}

// Models for the lists.
struct listing {
    struct snap_model *models;
    uint32_t count, cap;
    struct index names;
};

static struct snap_model *list_model(struct snap_builder *builder, struct listing *listing,
                                     struct span name)
{
    const uint32_t old = index_find(&listing->names, name);
    if (old != INDEX_NONE)
        return &listing->models[old];
    GROW(builder, listing->models, listing->count, listing->cap);
    struct snap_model *model = &listing->models[listing->count];
    *model = (struct snap_model){ .name = name };
    index_add(&listing->names, &builder->scratch, name, listing->count++);
    return model;
}

static void list_format(struct snap_builder *builder, struct listing *listing,
                        const struct index *taken, enum format format)
{
    const struct name_set *exact = &builder->exact[format];
    for (uint32_t i = 0; i < exact->count; i++) {
        const struct span name = exact->entries[i].name;
        if (index_find(taken, name) != INDEX_NONE)
            continue;
        struct snap_model *model = list_model(builder, listing, name);
        const uint32_t first = exact->entries[i].first->account;
        model->formats |= BIT(format);
        if (model->owned_by.len == 0)
            model->owned_by =
                span_str(account_type_info(builder->snap->accounts[first].type)->name);
    }
}

static void list_routes(struct snap_builder *builder, struct listing *listing, struct index *taken)
{
    for (uint32_t i = 0; i < builder->route_count; i++) {
        const struct build_route *route = &builder->routes[i];
        if (index_find(taken, route->name) != INDEX_NONE)
            continue;
        index_add(taken, &builder->scratch, route->name, i);
        for (uint32_t j = 0; j < route->aliases.count; j++)
            if (index_find(taken, route->aliases.items[j]) == INDEX_NONE)
                index_add(taken, &builder->scratch, route->aliases.items[j], i);
        uint32_t formats = 0;
        struct span owner = route->owned_by;
        for (enum format format = 0; format < FORMAT_COUNT; format++) {
            if (pick_route(builder, format, route) == 0)
                continue;
            formats |= BIT(format);
            const struct snap_account *first = &builder->snap->accounts[builder->picks[0]];
            if (owner.len == 0)
                owner = span_str(account_type_info(first->type)->name);
        }
        if (!route->listed || formats == 0)
            continue;
        struct snap_model *model = list_model(builder, listing, route->name);
        model->formats = formats;
        model->display_name = route->display_name;
        model->owned_by = owner;
        model->created_at = route->created_at;
    }
}

static int model_cmp(const void *a, const void *b)
{
    return span_order(((const struct snap_model *)a)->name, ((const struct snap_model *)b)->name);
}

static void build_listing(struct snap_builder *builder)
{
    struct listing listing = { .models = NULL };
    struct index taken = { .entries = NULL };
    struct snapshot *snap = builder->snap;
    list_routes(builder, &listing, &taken);
    for (enum format format = 0; format < FORMAT_COUNT; format++)
        list_format(builder, &listing, &taken, format);
    snap->models = REGION_ARRAY(&snap->region, struct snap_model, listing.count);
    snap->model_count = listing.count;
    for (uint32_t i = 0; i < listing.count; i++) {
        snap->models[i] = listing.models[i];
        struct snap_model *model = &snap->models[i];
        model->name = region_dup(&snap->region, model->name);
        if (model->display_name.len == 0)
            model->display_name = model->name;
    }
    if (listing.count > 1)
        qsort(snap->models, listing.count, sizeof(*snap->models), model_cmp);
}

void snap_build_routes(struct snap_builder *builder)
{
    struct snapshot *snap = builder->snap;
    builder->picked = REGION_ARRAY(&builder->scratch, uint32_t, builder->account_count);
    builder->picks = REGION_ARRAY(&builder->scratch, uint32_t, builder->account_count);
    builder->sorts = REGION_ARRAY(&builder->scratch, uint32_t, builder->account_count);
    for (uint32_t i = 0; i < builder->account_count; i++) {
        const struct build_account *build = builder->accounts[i];
        for (enum format format = 0; format < FORMAT_COUNT && build->snap.enabled; format++)
            if ((build->reach & BIT(format)) != 0)
                enter_account(builder, build, format);
    }
    for (enum format format = 0; format < FORMAT_COUNT; format++) {
        builder->out_cap = 0;
        add_routes(builder, format);
        add_listed(builder, format);
        struct snap_routes *routes = &snap->routes[format];
        const struct snap_route *built = routes->routes;
        routes->routes = REGION_ARRAY(&snap->region, struct snap_route, routes->count);
        if (routes->count > 0)
            memcpy(routes->routes, built, routes->count * sizeof(*built));
    }
    build_listing(builder);
}
