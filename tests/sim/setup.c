// What the shards of a run share: accounts of every type on simulated vendors, keys, models,
// published as a snapshot.
#include "relay_sim.h"

#include "penstock/model/entity.h"

#include <arpa/inet.h>
#include <stdlib.h>

enum { SETUP_CONNS = 96, SETUP_SLOTS = 256 };

static struct record *from_json(struct sim_world *world, const struct table *table,
                                const char *json)
{
    static struct problems problems; // 45 KB
    struct region region;
    region_init(&region, KIB);
    problems_init(&problems);
    json_t *document = json_loads(json, 0, NULL);
    verify(document != NULL);
    struct record *record = record_new(table, world->vault);
    record_read(record, value_from_json(&region, document), FROM_FILE, "", &problems);
    for (uint32_t i = 0; i < problems.count; i++)
        verify(problems.items[i].is_warning);
    json_decref(document);
    region_fini(&region);
    return record;
}

static const struct {
    const char *type, *secret;
    uint8_t kinds;
} vendor_types[SIM_VENDORS] = {
    { "openai", "sk-vendor-0-secret", BIT(KIND_CHAT) | BIT(KIND_RESPONSES) },
    { "openai-compatible", "sk-vendor-1-secret", BIT(KIND_CHAT) | BIT(KIND_RESPONSES) },
    { "anthropic", "sk-ant-vendor-2-secret", BIT(KIND_MESSAGES) },
    { "anthropic", "sk-ant-vendor-3-secret", BIT(KIND_MESSAGES) },
    { "gemini", "vendor-4-secret", BIT(KIND_GEMINI) | BIT(KIND_GEMINI_ARRAY) },
    { "gemini", "vendor-5-secret", BIT(KIND_GEMINI) | BIT(KIND_GEMINI_ARRAY) },
    { "openai-compatible", "sk-vendor-6-secret", BIT(KIND_CHAT) | BIT(KIND_RESPONSES) },
    { "openai", "sk-vendor-7-secret", BIT(KIND_CHAT) | BIT(KIND_RESPONSES) },
};

static void add_account(struct sim_world *world, struct snap_builder *builder, unsigned idx)
{
    struct text json = { 0 };
    text_printf(&json,
                "{\"name\":\"vendor-%u\",\"type\":\"%s\",\"base_url\":\"http://10.1.0.%u:9000\","
                "\"api_key\":\"%s\",\"allow_private\":true,\"priority\":%u",
                idx, vendor_types[idx].type, idx + 1, vendor_types[idx].secret,
                world->priorities[idx]);
    if (world->in_flight_max[idx] != UINT32_MAX)
        text_printf(&json, ",\"max_in_flight\":%u", world->in_flight_max[idx]);
    if (world->converts) // who lists nothing serves clients of other formats only as a last resort
        text_printf(&json, ",\"models\":[\"*\"]");
    text_printf(&json, "}");
    struct record *record = from_json(world, &account_table, json.ptr);
    struct account *account = (struct account *)record;
    char id[ENTITY_ID_MAX], host[16];
    record_text(record, &account->id, entity_id_of_name(&account_table, account->name, id));
    char why[TLS_WHY_MAX];
    const struct dest_key key = {
        .host = span_of(host, fit_printf(host, sizeof(host), "10.1.0.%u", idx + 1)),
        .port = 9000,
    };
    const struct snap_account_extra extra = {
        .dest = dests_intern(world->dests, &key, why),
        .from_file = true,
    };
    verify(extra.dest != DEST_NONE);
    verify(!failed(snap_builder_account(builder, account, &extra)));
    struct slot_ref slot;
    verify(slots_find(world->slots, account->id, &slot));
    world->account_slots[idx] = slot.idx;
    record_free(&record);
    text_fini(&json);
}

static void add_key(struct sim_world *world, struct snap_builder *builder, unsigned idx)
{
    struct record *record =
        from_json(world, &key_table,
                  idx == 0 ? "{\"name\":\"good\"}" : "{\"name\":\"other\",\"models\":[\"z\"]}");
    struct key *key = (struct key *)record;
    struct key_hasher hasher;
    char id[ENTITY_ID_MAX];
    key_hasher_init(&hasher, world->keyring.lookup);
    key_adopt(key, &hasher, span_of(world->keys[idx], KEY_TEXT_LEN));
    record_text(record, &key->id, entity_id_of_name(&key_table, key->name, id));
    verify(!failed(snap_builder_key(builder, key)));
    record_free(&record);
}

static void add_alias(struct sim_world *world, struct snap_builder *builder, unsigned idx)
{
    char json[96];
    fit_printf(json, sizeof(json), "{\"name\":\"nick-%u\",\"target\":\"vendors-own-%u\"}", idx,
               idx);
    struct record *record = from_json(world, &route_table, json);
    verify(!failed(snap_builder_route(builder, (struct route *)record)));
    record_free(&record);
}

void setup_publish(struct sim_world *world)
{
    struct snap_builder *builder;
    struct snapshot *snap;
    verify(!failed(snap_builder_new(&builder, &world->keyring, world->vault, world->slots,
                                    snap_hub_next(world->hub))));
    if (world->converts)
        snap_builder_convert(builder, relay_formats_converted());
    for (unsigned i = 0; i < world->vendor_count; i++)
        add_account(world, builder, i);
    add_key(world, builder, 0);
    add_key(world, builder, 1);
    for (unsigned i = 0; i < SIM_ALIASES; i++)
        add_alias(world, builder, i);
    verify(!failed(snap_builder_finish(&builder, &snap)));
    verify(!failed(snap_hub_publish(world->hub, &snap)));
    (void)snap_hub_reclaim(world->hub);
}

static void open_vendors(struct sim_world *world)
{
    for (unsigned i = 0; i < world->vendor_count; i++) {
        world->vendors[i] = (struct vendor){
            .world = world,
            .idx = i,
            .secret = vendor_types[i].secret,
            .kinds = vendor_types[i].kinds,
        };
        vendor_open(&world->vendors[i]);
    }
}

static void open_shard(struct sim_world *world, unsigned idx)
{
    const struct io_config config = {
        .backend = IO_BACKEND_SIM,
        .bufs_small = world->pressed ? 48 : 512,
        .bufs_large = world->pressed ? 24 : 128,
    };
    verify(!failed(sim_io_new(world->sim, &config, &world->ios[idx])));
    usage_port_init(&world->ports[idx], world->slots_of_ports + (size_t)idx * SIM_PORT_SLOTS,
                    SIM_PORT_SLOTS, world->spills + (size_t)idx * USAGE_SPILL_MAX);
    struct shard *shard = &world->shards[idx];
    verify(!failed(shard_init(shard, idx, world->ios[idx], &world->env.env, &world->shared,
                              &world->ports[idx], SETUP_CONNS)));
    struct sockaddr_in addr = world_addr("10.0.0.", 1 + idx, SIM_PORT);
    verify(!failed(shard_listen(shard, (struct sockaddr *)&addr, sizeof(addr), NULL)));
    shard_open_door(shard);
}

void setup_open(struct sim_world *world)
{
    verify(!failed(vault_new(&world->vault)));
    verify(!failed(slots_new(&world->slots, SETUP_SLOTS)));
    struct secret *master = secret_blank(world->vault, MASTER_KEY_BYTES);
    verify(!failed(keyring_init(&world->keyring, world->vault, master)));
    secret_free(&master);
    verify(!failed(dests_new(&world->dests)));
    verify(!failed(recall_new(&world->recall, &world->env.env, RECALL_BYTES_MIN)));
    verify(!failed(snap_hub_new(&world->hub, world->shard_count)));
    for (unsigned i = 0; i < ARRAY_LEN(world->keys); i++)
        key_mint(&world->env.env, world->keys[i]);
    world->shards = world_memory(SIM_SHARDS_MAX * sizeof(*world->shards));
    world->slots_of_ports =
        world_memory((size_t)SIM_SHARDS_MAX * SIM_PORT_SLOTS * sizeof(*world->slots_of_ports));
    world->spills = world_memory((size_t)SIM_SHARDS_MAX * USAGE_SPILL_MAX * sizeof(*world->spills));
    verify(!failed(doors_new(&world->doors, world->shard_count)));
    verify(!failed(carrier_new(&world->carrier, world->shard_count, &world->budget)));
    world->carrier->least = world_chance(world, 500) ? 200 : world->relay.body_bytes;
    world->shared = (struct shard_shared){
        .hub = world->hub,
        .slots = slots_base(world->slots),
        .dests = world->dests,
        .budget = &world->budget,
        .doors = world->shard_count > 1 ? world->doors : NULL,
        .recall = world->recall,
        .carrier = world->carrier,
        .envelope_key = (const uint8_t *)secret_reveal(world->keyring.envelope).ptr,
        .relay = &world->relay,
        .server = &world->server,
    };
    open_vendors(world);
    setup_publish(world);
    for (unsigned i = 0; i < world->shard_count; i++)
        open_shard(world, i);
}

void setup_close(struct sim_world *world)
{
    for (unsigned i = 0; i < world->shard_count; i++) {
        snap_hub_leave(world->hub, i);
        io_free(&world->ios[i]);
    }
    snap_hub_free(&world->hub);
    slots_free(&world->slots);
    dests_free(&world->dests);
    recall_free(&world->recall);
    doors_free(&world->doors);
    carrier_free(&world->carrier);
    keyring_fini(&world->keyring);
    vault_free(&world->vault);
    free(world->shards);
    free(world->slots_of_ports);
    free(world->spills);
}
