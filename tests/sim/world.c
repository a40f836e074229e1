// One run: draws a world from its seed, moves it until every client is through, and ends it.
#include "relay_sim.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CARRIER_LATE_NS (UINT64_C(20) * NS_PER_MS)
#define RUN_NS_MAX (UINT64_C(900) * NS_PER_S)
enum { RUN_TURNS_MAX = 400000 };

struct sockaddr_in world_addr(const char *text, unsigned last, uint16_t port)
{
    char name[32];
    fit_printf(name, sizeof(name), "%s%u", text, last);
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
    verify(inet_pton(AF_INET, name, &addr.sin_addr) == 1);
    return addr;
}

void world_note(struct sim_world *world, const char *format, ...)
{
    if (!world->trace)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%12.6f * ", (double)world->env.mono / 1e9);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

enum { VIOLATIONS_TOLD = 5 };

void world_violation(struct sim_world *world, const char *format, ...)
{
    if (world->violations++ >= VIOLATIONS_TOLD)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "seed %llu, at %.6f s: ", (unsigned long long)world->seed,
            (double)world->env.mono / 1e9);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

// Atomics want their own cache lines.
void *world_memory(size_t size)
{
    size = round_up(size, CACHE_LINE);
    void *memory = aligned_alloc(CACHE_LINE, size);
    verify(memory != NULL);
    return memset(memory, 0, size);
}

struct call *world_call_new(struct sim_world *world)
{
    verify(world->call_count < SIM_CALLS_MAX);
    struct call *call = &world->calls[world->call_count++];
    memset(call, 0, sizeof(*call));
    call->nonce = (uint32_t)world_below(world, 1u << 24) << 8 | world->call_count;
    return call;
}

struct call *world_call_of(struct sim_world *world, uint32_t nonce)
{
    for (unsigned i = 0; i < world->call_count; i++)
        if (world->calls[i].nonce == nonce)
            return &world->calls[i];
    return NULL;
}

struct link *world_link_new(struct sim_world *world)
{
    if (world->link_count == SIM_LINKS_MAX)
        return NULL;
    struct link *link = &world->links[world->link_count++];
    memset(link, 0, sizeof(*link));
    return link;
}

// --- what kind of world

static void draw_limits(struct sim_world *world)
{
    world->relay = (struct relay_limits){
        .body_bytes = 256 * KIB,
        .json_depth = 64,
        .stream_bytes = world_chance(world, 500) ? 64 * KIB : 8 * KIB,
        .retries = (uint32_t)world_below(world, 4),
        .idle_per_host = (uint32_t)world_below(world, 5),
        .idle_timeout_ns = 15 * NS_PER_S,
        .dns_ns = NS_PER_S,
        .connect_ns = 5 * NS_PER_S,
        .handshake_ns = 5 * NS_PER_S,
        .first_byte_stream_ns = 20 * NS_PER_S,
        .first_byte_whole_ns = 30 * NS_PER_S,
        .stream_idle_ns = 10 * NS_PER_S,
        .total_ns = world_chance(world, 200) ? 60 * NS_PER_S : 0,
        .half_close_keep = world_chance(world, 500),
    };
    world->server = (struct server_limits){
        .head_bytes = 32 * KIB,
        .connections = world_chance(world, 150) ? 3 : 40,
        .requests_per_connection = world_chance(world, 200) ? 2 : 0,
        .head_ns = 10 * NS_PER_S,
        .idle_ns = 20 * NS_PER_S,
        .stall_ns = 5 * NS_PER_S,
        .write_stall_ns = 8 * NS_PER_S,
    };
    world->budget.limit = world->pressed && world_chance(world, 500) ? 384 * KIB : 64 * MIB;
}

static void draw_world(struct sim_world *world)
{
    unsigned dice = (unsigned)world_below(world, 100);
    struct sim_profile *profile = sim_profile(world->sim);
    world->calm = dice < 20;
    world->hostile = dice >= 60;
    *profile = world->calm ? sim_calm : world->hostile ? sim_hostile : sim_rough;
    world->faults = world_chance(world, 750);
    world->pressed = world_chance(world, 100);
    world->limited = world_chance(world, 150);
    world->shard_count = 1 + (unsigned)world_chance(world, 300);
    world->lopsided = world_chance(world, 500);
    world->vendor_count = SIM_VENDORS;
    world->call_max = 8 + (unsigned)world_below(world, 24);
    world->client_count = 2 + (unsigned)world_below(world, SIM_CLIENTS_MAX - 2);
    world->republishes = world_chance(world, 200);
    world->converts = world_chance(world, 400);
    for (unsigned i = 0; i < SIM_VENDORS; i++)
        world->priorities[i] = 50 + (world->converts ? (unsigned)world_below(world, 3) : i % 3);
    for (unsigned i = 0; i < SIM_VENDORS; i++)
        world->in_flight_max[i] = world->limited ? 1 + (uint32_t)world_below(world, 2) : UINT32_MAX;
    world->drain_ns = world->cut_ns = UINT64_MAX;
    if (world_chance(world, 150)) {
        world->drain_ns = world->env.mono + world_below(world, 10 * NS_PER_S);
        world->cut_ns = world->drain_ns + world_below(world, 10 * NS_PER_S);
    }
    world->publish_ns = world->env.mono + NS_PER_S;
    draw_limits(world);
}

// --- moving it

static void take_records(struct sim_world *world)
{
    for (unsigned i = 0; i < world->shard_count; i++) {
        const struct usage_slot *slot;
        while ((slot = usage_port_peek(&world->ports[i], 0)) != NULL) {
            verify(world->record_count < ARRAY_LEN(world->records));
            if (usage_slot_is_summary(slot))
                world_violation(world, "a summary although the port had room");
            else
                world->records[world->record_count++] = slot->record;
            world_note(world, "record of %.*s: status %u, %s, %u attempts, flags %x",
                       (int)slot->record.model_len, slot->record.model, slot->record.status,
                       err_name((enum err_code)slot->record.err), slot->record.attempts,
                       slot->record.flags);
            usage_port_release(&world->ports[i], 1);
        }
    }
}

static bool clients_done(const struct sim_world *world)
{
    for (unsigned i = 0; i < world->client_count; i++)
        if (!world->clients[i].done)
            return false;
    return true;
}

static bool shards_idle(const struct sim_world *world)
{
    for (unsigned i = 0; i < world->shard_count; i++)
        if (!shard_is_idle(&world->shards[i]))
            return false;
    return true;
}

static void keep_times(struct sim_world *world)
{
    uint64_t now = world->env.mono;
    if (now >= world->drain_ns) {
        world->drain_ns = UINT64_MAX;
        world->drained = true;
        world_note(world, "the shards drain");
        for (unsigned i = 0; i < world->shard_count; i++)
            shard_drain(&world->shards[i]);
    }
    if (now >= world->cut_ns) {
        world->cut_ns = UINT64_MAX;
        world_note(world, "the shards cut");
        for (unsigned i = 0; i < world->shard_count; i++)
            shard_cut(&world->shards[i]);
    }
    if (world->republishes && now >= world->publish_ns) {
        world->publish_ns = now + NS_PER_S;
        if (snap_hub_reclaim(world->hub) < 4)
            setup_publish(world);
    }
}

// The carrier's jobs take none of the shards' time, and some of the world's.
static void carry_on(struct sim_world *world)
{
    if (!world_chance(world, 300) && world->env.mono < world->carrier_ns)
        return;
    (void)carrier_turn(world->carrier);
    world->carrier_ns = world->env.mono + CARRIER_LATE_NS;
}

static bool world_move(struct sim_world *world)
{
    carry_on(world);
    for (unsigned i = 0; i < world->shard_count; i++)
        shard_turn(&world->shards[i], UINT64_MAX);
    take_records(world);
    judge_turn(world);
    const bool busy = atomic_load(&world->carrier->given) != NULL;
    return sim_step(world->sim, world->env.mono + (busy ? CARRIER_LATE_NS : NS_PER_S));
}

static void run_clients(struct sim_world *world)
{
    uint64_t end = world->env.mono + RUN_NS_MAX;
    for (unsigned turns = 0; !clients_done(world); turns++) {
        keep_times(world);
        (void)world_move(world);
        if (world->env.mono >= end || turns >= RUN_TURNS_MAX) {
            for (unsigned i = 0; i < world->client_count; i++)
                if (!world->clients[i].done)
                    world_violation(world, "client %u is not through: %u of %u calls answered", i,
                                    world->clients[i].answered, world->clients[i].call_count);
            return;
        }
        if (world->violations > 0 && !world->trace && turns > RUN_TURNS_MAX / 2)
            return;
    }
}

static void end_shards(struct sim_world *world)
{
    world->drained = true;
    for (unsigned i = 0; i < world->client_count; i++)
        client_end(&world->clients[i]);
    for (unsigned i = 0; i < world->shard_count; i++)
        shard_drain(&world->shards[i]);
    uint64_t cut = world->env.mono + 5 * NS_PER_S, stop = cut + 5 * NS_PER_S,
             end = stop + 5 * NS_PER_S;
    while (!shards_idle(world) && world->env.mono < end) {
        (void)world_move(world);
        if (world->env.mono >= cut) {
            cut = UINT64_MAX;
            for (unsigned i = 0; i < world->shard_count; i++)
                shard_cut(&world->shards[i]);
        }
        if (world->env.mono < stop)
            continue;
        stop = UINT64_MAX;
        for (unsigned i = 0; i < world->shard_count; i++)
            for (uint32_t k = 0; k < world->shards[i].server_count; k++)
                server_stop(&world->shards[i].servers[k]);
    }
    if (!shards_idle(world))
        world_violation(world, "the shards do not come to rest");
    for (unsigned i = 0; i < world->shard_count && shards_idle(world); i++)
        shard_close(&world->shards[i]);
    uint64_t rest = world->env.mono + NS_PER_S; // the last completions
    while (world->env.mono < rest)
        (void)world_move(world);
}

static void close_world(struct sim_world *world)
{
    char why[128];
    for (unsigned i = 0; i < world->shard_count; i++) {
        if (!shard_is_closed(&world->shards[i])) {
            world_violation(world, "shard %u does not close", i);
            return;
        }
        for (uint32_t k = 0; k < world->shards[i].server_count; k++)
            world->passed += (unsigned)world->shards[i].servers[k].passed;
        shard_fini(&world->shards[i]);
    }
    if (!sim_is_clean(world->sim, why, sizeof(why)))
        world_violation(world, "after the end: %s", why);
    // The shards report in steps.
    int64_t used = world->budget.used;
    if (world->carrier->budget.used != 0)
        world_violation(world, "the carrier still counts %lld bytes",
                        (long long)world->carrier->budget.used);
    if (llabs(used) > (long long)BUDGET_STEP * (world->shard_count + 1))
        world_violation(world, "the process still counts %lld bytes", (long long)used);
}

static void free_world(struct sim_world *world)
{
    // What did not close cannot be freed; the violation is told.
    for (unsigned i = 0; i < world->shard_count; i++)
        if (world->shards[i].net.scratch != NULL)
            return;
    setup_close(world);
    sim_free(&world->sim);
    for (unsigned i = 0; i < world->call_count; i++)
        text_fini(&world->calls[i].bytes);
    for (unsigned i = 0; i < world->link_count; i++) {
        text_fini(&world->links[i].in);
        text_fini(&world->links[i].out);
    }
    judge_free(world);
}

static struct sim_report report_of(const struct sim_world *world)
{
    struct sim_report report = { .violations = world->violations, .trace = sim_trace(world->sim) };
    for (unsigned i = 0; i < world->call_count; i++) {
        const struct call *call = &world->calls[i];
        report.fates[call->fate]++;
        report.attempts += call->attempt_count;
        for (unsigned k = 0; k < call->attempt_count; k++) {
            report.faults += call->attempts[k].ill != ILL_NONE;
            report.converted += call->attempts[k].kind != call->kind;
        }
        report.trace = report.trace * 31 + call->fate * 7 + (uint64_t)call->status;
    }
    report.passed = world->passed;
    for (unsigned i = 0; i < world->record_count; i++)
        report.trace = report.trace * 31 + world->records[i].bytes_out;
    return report;
}

struct sim_report world_run(uint64_t seed, bool trace)
{
    struct sim_world *world = world_memory(sizeof(*world));
    world->seed = seed;
    world->trace = trace;
    env_fake_init(&world->env, seed);
    verify(!failed(sim_new(&world->sim, &world->env, &sim_calm)));
    if (trace)
        sim_trace_to(world->sim, stderr);
    draw_world(world);
    setup_open(world);
    for (unsigned i = 0; i < world->client_count; i++) {
        world->clients[i] = (struct client){
            .world = world,
            .idx = i,
            .connections_left = 1 + (unsigned)world_below(world, 4),
        };
        client_start(&world->clients[i]);
    }
    if (world_chance(world, 50))
        flood_start(&world->flood, world);
    run_clients(world);
    flood_end(&world->flood);
    end_shards(world);
    judge_end(world);
    close_world(world);
    struct sim_report report = report_of(world);
    report.violations = world->violations;
    free_world(world);
    free(world);
    return report;
}
