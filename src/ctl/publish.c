#include "penstock/ctl/publish.h"

#include "penstock/base/check.h"
#include "penstock/ctl/address.h"

#define RECLAIM_NS (UINT64_C(10) * NS_PER_MS)

// Destinations that no snapshot names any more. True: one of them is being looked up.
static bool drop_dests(struct publisher *publisher, uint64_t current)
{
    struct dests *dests = publisher->dests;
    bool asking = false;
    for (uint32_t i = 0; i < dests_count(dests); i++) {
        const uint32_t dest = dests_at(dests, i);
        if (dest == DEST_NONE || dests_is_named(dests, dest, current))
            continue;
        if (resolver_is_asking(publisher->resolver, dest))
            asking = true;
        else if (dests_drop(dests, dest, current))
            resolver_forget(publisher->resolver, dest);
    }
    return asking;
}

static void on_reclaim(struct timer *timer)
{
    struct publisher *publisher = container_of(timer, struct publisher, reclaim);
    const bool waiting = snap_hub_reclaim(publisher->hub) > 0;
    // A slot is let go when no snapshot names it and no request is on it any more.
    const uint64_t current = snapshot_generation(snap_hub_current(publisher->hub));
    bool busy = !waiting && slots_sweep(publisher->slots, current) > 0;
    busy |= !waiting && drop_dests(publisher, current);
    if (waiting || busy)
        timer_arm(&publisher->loop->wheel, timer, publisher->loop->now_ns + RECLAIM_NS);
}

void publisher_init(struct publisher *publisher)
{
    publisher->reclaim = (struct timer){ .on_fire = on_reclaim };
    publisher->published = 0;
}

void publisher_stop(struct publisher *publisher)
{
    timer_stop(&publisher->loop->wheel, &publisher->reclaim);
}

uint32_t publisher_dest(struct publisher *publisher, const struct account *account, bool trusted,
                        struct registry_why *why)
{
    const struct account_type_info *info = account_type_info((enum account_type)account->type);
    struct span text = account->base_url;
    if (text.len == 0 && info->base_url != NULL)
        text = span_str(info->base_url);
    struct base_url url;
    const char *wrong = base_url_parse(text, &url);
    if (wrong != NULL) {
        fit_printf(why->text, sizeof(why->text), "account %.*s: base_url %s",
                   (int)account->name.len, account->name.ptr, wrong);
        return DEST_NONE;
    }
    const struct dest_key key = {
        .host = url.host,
        .port = url.port,
        .tls = url.tls,
        .ca_file = account->ca_file,
        .server_name = account->server_name,
        .allow = trusted ? NULL : address_allow,
        .allow_arg = trusted ? NULL : (void *)&publisher->config,
    };
    char text_why[TLS_WHY_MAX];
    const uint32_t dest = dests_intern(publisher->dests, &key, text_why);
    if (dest == DEST_NONE)
        fit_printf(why->text, sizeof(why->text), "account %.*s: %s", (int)account->name.len,
                   account->name.ptr, text_why);
    return dest;
}

void publisher_judge(struct publisher *publisher)
{
    for (uint32_t i = 0; i < dests_count(publisher->dests); i++) {
        const uint32_t dest = dests_at(publisher->dests, i);
        if (dest != DEST_NONE)
            dest_judge(publisher->dests, dest);
    }
    resolver_refresh(publisher->resolver);
}

struct building {
    struct publisher *publisher;
    const struct registry *registry;
    struct snap_builder *builder;
    struct registry_why *why;
};

static struct err add_account(void *arg, const struct record *record, bool from_file)
{
    struct building *building = arg;
    const struct account *account = (const struct account *)record;
    const bool trusted = from_file || account->allow_private;
    const struct snap_account_extra extra = {
        .from_file = trusted,
        .dest = publisher_dest(building->publisher, account, trusted, building->why),
        .api_key = registry_api_key(building->registry, account),
    };
    if (extra.dest == DEST_NONE && !from_file && !registry_is_next(building->registry, record)) {
        // It could be served when it was made: a file that it names is gone, say. The others are
        // served without it.
        building->publisher->skipped++;
        building->publisher->skipped_why = *building->why;
        return OK;
    }
    if (extra.dest == DEST_NONE)
        return ERR(INVALID);
    return snap_builder_account(building->builder, account, &extra);
}

static struct err add_key(void *arg, const struct record *record, bool from_file)
{
    struct building *building = arg;
    (void)from_file;
    return snap_builder_key(building->builder, (const struct key *)record);
}

static struct err add_route(void *arg, const struct record *record, bool from_file)
{
    struct building *building = arg;
    (void)from_file;
    return snap_builder_route(building->builder, (const struct route *)record);
}

static struct err add_all(struct building *building)
{
    const struct registry *registry = building->registry;
    TRY(registry_each_next(registry, ENTITY_ACCOUNT, add_account, building));
    TRY(registry_each_next(registry, ENTITY_KEY, add_key, building));
    return registry_each_next(registry, ENTITY_ROUTE, add_route, building);
}

struct err publisher_build(struct publisher *publisher, const struct registry *registry,
                           struct snapshot **out, struct registry_why *why)
{
    struct building building = { publisher, registry, NULL, why };
    why->text[0] = '\0';
    publisher->skipped = 0;
    dests_name(publisher->dests, snap_hub_next(publisher->hub));
    TRY(snap_builder_new(&building.builder, publisher->keyring, publisher->vault, publisher->slots,
                         snap_hub_next(publisher->hub)));
    snap_builder_convert(building.builder, publisher->converts);
    struct err err = add_all(&building);
    if (failed(err)) {
        snap_builder_free(&building.builder);
    } else {
        err = snap_builder_finish(&building.builder, out);
    }
    if (failed(err) && why->text[0] == '\0')
        fit_printf(why->text, sizeof(why->text), "%s", err_text(err.code));
    return err;
}

struct err publisher_publish(struct publisher *publisher, struct snapshot **snap)
{
    TRY(snap_hub_publish(publisher->hub, snap));
    publisher->published++;
    for (uint32_t i = 0; i < dests_count(publisher->dests); i++) {
        const uint32_t dest = dests_at(publisher->dests, i);
        if (dest != DEST_NONE)
            resolver_watch(publisher->resolver, dest);
    }
    timer_arm(&publisher->loop->wheel, &publisher->reclaim, publisher->loop->now_ns + RECLAIM_NS);
    return OK;
}
