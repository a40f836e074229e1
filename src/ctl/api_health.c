// Whether the gateway lives, whether it wants traffic, and how it is.
#include "api_impl.h"
#include "penstock/ctl/metrics.h"

static const char *state_name(enum store_state state)
{
    switch (state) {
    case STORE_OK: return "ok";
    case STORE_DEGRADED: return "degraded";
    case STORE_DOWN: return "down";
    }
    bug("store_state out of range");
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)min_u64(value, INT64_MAX));
}

static json_t *store_json(struct store *store)
{
    struct store_stats stats;
    store_stats(store, &stats);
    json_t *json = json_object();
    json_object_set_new(json, "state", json_string(state_name(stats.state)));
    json_object_set_new(json, "cause",
                        failed(stats.cause) ? json_string(err_text((enum err_code)stats.cause.code))
                                            : json_null());
    json_object_set_new(json, "detail_stopped", json_boolean(stats.is_detail_stopped));
    json_object_set_new(json, "rings_shared", json_boolean(stats.is_rings_shared));
    json_object_set_new(json, "records", number(stats.records));
    json_object_set_new(json, "records_waiting", number(stats.records_waiting));
    json_object_set_new(json, "records_replayed", number(stats.records_replayed));
    json_object_set_new(json, "records_missing", number(stats.records_missing));
    json_object_set_new(json, "commits", number(stats.commits));
    json_object_set_new(json, "bytes", number(stats.bytes));
    json_object_set_new(json, "disk_free_bytes", number(stats.disk_free_bytes));
    return json;
}

static json_t *shards_json(const struct view *view)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < view->shard_count; i++) {
        const struct shard_counters *counters = view->shards[i];
        json_t *json = json_object();
        json_object_set_new(json, "connections", number(counter_get(&counters->connections)));
        json_object_set_new(json, "requests_in_flight", number(figures_in_flight(counters)));
        json_object_set_new(json, "turns", number(counter_get(&view->loops[i]->turns)));
        json_object_set_new(json, "slow_turns", number(counter_get(&view->loops[i]->turns_slow)));
        json_array_append_new(list, json);
    }
    return list;
}

static const char *unready(const struct api *api)
{
    struct store_stats stats;
    store_stats(api->store, &stats);
    if (stats.state != STORE_OK)
        return "the store takes no writes";
    return api->view->unready(api->view->arg);
}

json_t *health_json(const struct api *api)
{
    const struct view *view = api->view;
    json_t *json = json_object();
    json_object_set_new(json, "version", json_string(PENSTOCK_VERSION));
    json_object_set_new(json, "store", store_json(api->store));
    if (view == NULL)
        return json;
    json_object_set_new(json, "commit", json_string(view->commit));
    const char *why = unready(api);
    json_object_set_new(json, "ready", json_boolean(why == NULL));
    json_object_set_new(json, "unready_because", why != NULL ? json_string(why) : json_null());
    json_object_set_new(json, "draining", json_boolean(view->draining(view->arg)));
    json_object_set_new(json, "started_at", json_time(view->started_ns));
    json_object_set_new(json, "shards", shards_json(view));
    const int64_t used =
        atomic_load_explicit(&((struct budget_process *)view->budget)->used, memory_order_relaxed);
    json_t *memory = json_object();
    json_object_set_new(memory, "held_bytes", number(used > 0 ? (uint64_t)used : 0));
    json_object_set_new(memory, "limit_bytes", number((uint64_t)view->budget->limit));
    json_object_set_new(json, "memory", memory);
    struct store_stats stats;
    store_stats(api->store, &stats);
    json_t *disk = json_object();
    json_object_set_new(disk, "free_bytes", number(stats.disk_free_bytes));
    json_object_set_new(disk, "watermark_bytes", number(api->config->store.disk_watermark));
    json_object_set_new(json, "disk", disk);
    json_t *io = json_object();
    json_object_set_new(io, "backend", json_string(view->backend));
    json_object_set_new(io, "note", json_string(view->backend_note));
    json_object_set_new(json, "io", io);
    return json;
}

enum api_next api_health(struct api_call *call)
{
    char room[8];
    struct span text;
    if (!api_param(call, "verbose", room, sizeof(room), &text) || span_eq(text, SPAN("0")))
        return api_plain(call, 200, "text/plain; charset=utf-8", SPAN("ok\n"));
    return api_answer(call, 200, health_json(call->api));
}

enum api_next api_ready(struct api_call *call)
{
    if (call->api->view == NULL)
        return api_problem(call, ERR(NOT_FOUND), "no gateway is running", NULL);
    const char *why = unready(call->api);
    if (why == NULL)
        return api_plain(call, 200, "text/plain; charset=utf-8", SPAN("ready\n"));
    struct text text = { 0 };
    text_printf(&text, "%s\n", why);
    api_plain(call, 503, "text/plain; charset=utf-8", text_span(&text));
    text_fini(&text);
    return API_NOW;
}

enum api_next api_status(struct api_call *call)
{
    const struct registry *registry = call->api->registry;
    json_t *json = health_json(call->api);
    json_t *objects = json_object();
    json_object_set_new(objects, "accounts", number(registry_count(registry, ENTITY_ACCOUNT)));
    json_object_set_new(objects, "keys", number(registry_count(registry, ENTITY_KEY)));
    json_object_set_new(objects, "models", number(registry_count(registry, ENTITY_ROUTE)));
    json_object_set_new(json, "objects", objects);
    json_object_set_new(json, "running", json_boolean(call->api->view != NULL));
    return api_answer(call, 200, json);
}

enum api_next api_metrics(struct api_call *call)
{
    if (call->api->view == NULL)
        return api_problem(call, ERR(NOT_FOUND), "no gateway is running", NULL);
    api_plain(call, 200, "text/plain; version=0.0.4; charset=utf-8", SPAN_NONE);
    metrics_write(call->api, &call->text);
    return API_NOW;
}

enum api_next api_reload(struct api_call *call)
{
    const struct view *view = call->api->view;
    if (view == NULL)
        return api_problem(call, ERR(NOT_FOUND), "no gateway is running", NULL);
    if (!view->reload(view->arg, call))
        return api_problem(call, ERR(OVERLOADED), "too many reloads are under way", NULL);
    return API_LATER;
}

enum api_next api_drain(struct api_call *call)
{
    const struct view *view = call->api->view;
    if (view == NULL)
        return api_problem(call, ERR(NOT_FOUND), "no gateway is running", NULL);
    view->drain(view->arg);
    uint64_t left = 0;
    for (uint32_t i = 0; i < view->shard_count; i++)
        left += figures_in_flight(view->shards[i]);
    json_t *json = json_object();
    json_object_set_new(json, "draining", json_true());
    json_object_set_new(json, "requests_in_flight", number(left));
    return api_answer(call, 202, json);
}
