// What the shards counted of requests: by route, vendor's kind and outcome; tokens by model; the
// state of accounts.
#include "metrics_impl.h"

#include "penstock/acct/snapshot.h"

#include <stdio.h>

enum { VALUE_MAX = 2 * MODEL_NAME_MAX + 1, SERIES_MAX = 2 * FIGURES_MODELS };

static const char *route_name(unsigned op)
{
    return op == OP_NONE ? "none" : wire_op_info((enum wire_op)op)->name;
}

const char *metric_family(enum wire_family family)
{
    switch (family) {
    case FAMILY_OPENAI: return "openai";
    case FAMILY_RESPONSES: return "responses";
    case FAMILY_ANTHROPIC: return "anthropic";
    case FAMILY_GEMINI: return "gemini";
    }
    bug("wire_family out of range");
}

static const char *route_format(unsigned op)
{
    return op == OP_NONE ? "none" : metric_family(wire_op_info((enum wire_op)op)->family);
}

static const char *provider_name(unsigned provider)
{
    return provider == 0 ? "none" : account_type_info((enum account_type)(provider - 1))->name;
}

// A label's value: quotes, backslashes and line ends are escaped.
static const char *escaped(struct span text, char out[VALUE_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < text.len && len + 3 < VALUE_MAX; i++) {
        const char byte = text.ptr[i];
        if (byte == '"' || byte == '\\' || byte == '\n')
            out[len++] = '\\';
        out[len++] = byte == '\n' ? 'n' : byte;
    }
    out[len] = '\0';
    return out;
}

// --- requests ---

static void put_requests(const struct view *view, struct text *out)
{
    static const char *const classes[FIGURES_CLASSES] = {
        "none", "1xx", "2xx", "3xx", "4xx", "5xx"
    };
    const char *name = "penstock_requests_total";
    char labels[METRIC_LABELS_MAX];
    metric_head(out, name, "counter", "Requests that ended, by route and status.");
    for (unsigned op = 0; op < OP_COUNT; op++)
        for (unsigned provider = 0; provider < FIGURES_PROVIDERS; provider++)
            for (unsigned i = 0; i < 2 * FIGURES_CLASSES; i++) {
                const unsigned stream = i / FIGURES_CLASSES, class = i % FIGURES_CLASSES;
                const uint64_t count = SUM(view, requests[op][provider][stream][class]);
                if (count == 0)
                    continue;
                fit_printf(labels, sizeof(labels),
                           "route=\"%s\",format=\"%s\",provider=\"%s\",status_class=\"%s\","
                           "stream=\"%s\"",
                           route_name(op), route_format(op), provider_name(provider),
                           classes[class], stream ? "true" : "false");
                metric_sample(out, name, labels, count);
            }
}

static const char *side_name(enum err_side side)
{
    switch (side) {
    case SIDE_NONE: return "none";
    case SIDE_CLIENT: return "client";
    case SIDE_UPSTREAM: return "upstream";
    case SIDE_SELF: return "self";
    case SIDE_OPERATOR: return "operator";
    }
    bug("err_side out of range");
}

static void error_labels(uint32_t key, char labels[METRIC_LABELS_MAX])
{
    const struct figures_error_of of = figures_error_of(key);
    char reason[64];
    const struct err err = err_make((enum err_code)of.code, 0, "");
    const size_t len = fit_printf(reason, sizeof(reason), "%s", err_name((enum err_code)of.code));
    for (size_t i = 0; i < len; i++)
        reason[i] = (char)(reason[i] >= 'A' && reason[i] <= 'Z' ? reason[i] | 0x20 : reason[i]);
    fit_printf(labels, METRIC_LABELS_MAX,
               "route=\"%s\",provider=\"%s\",reason=\"%s\",stage=\"%s\",side=\"%s\"",
               route_name(of.op), provider_name(of.provider), reason, figures_stage_name(of.stage),
               side_name((enum err_side)err.side));
}

static void put_errors(const struct view *view, struct text *out, uint64_t *dropped)
{
    const char *name = "penstock_request_errors_total";
    char labels[METRIC_LABELS_MAX];
    uint32_t *keys = mem_take((size_t)view->shard_count * FIGURES_ERRORS, sizeof(*keys));
    size_t count = 0;
    verify(keys != NULL);
    metric_head(out, name, "counter", "Requests that ended with an error, by its reason.");
    // Each shard's table has its own order, so every series is summed when it is first met.
    for (uint32_t i = 0; i < view->shard_count; i++)
        for (unsigned at = 1; at < FIGURES_ERRORS; at++) {
            const uint32_t key = atomic_load_explicit(
                &((struct shard_counters *)view->shards[i])->errors[at].key, memory_order_relaxed);
            bool seen = key == 0;
            for (size_t j = 0; j < count && !seen; j++)
                seen = keys[j] == key;
            if (seen)
                continue;
            keys[count++] = key;
            uint64_t sum = 0;
            for (uint32_t k = i; k < view->shard_count; k++)
                for (unsigned other = 1; other < FIGURES_ERRORS; other++) {
                    const struct figures_error *error = &view->shards[k]->errors[other];
                    if (atomic_load_explicit(&((struct figures_error *)error)->key,
                                             memory_order_relaxed) == key)
                        sum += counter_get(&error->count);
                }
            error_labels(key, labels);
            metric_sample(out, name, labels, sum);
        }
    mem_give(keys);
    const uint64_t others = SUM(view, errors[0].count);
    if (others > 0)
        metric_sample(out, name,
                      "route=\"other\",provider=\"other\",reason=\"other\",stage=\"other\","
                      "side=\"other\"",
                      others);
    *dropped += others > 0;
}

static void put_latencies(const struct view *view, struct text *out, const char *name,
                          const char *help, size_t first)
{
    char labels[METRIC_LABELS_MAX];
    metric_head(out, name, "histogram", help);
    for (unsigned op = 0; op < OP_COUNT; op++)
        for (unsigned provider = 0; provider < FIGURES_PROVIDERS; provider++) {
            fit_printf(labels, sizeof(labels), "route=\"%s\",format=\"%s\",provider=\"%s\"",
                       route_name(op), route_format(op), provider_name(provider));
            metric_latency(view, out, name, labels,
                           first + (op * FIGURES_PROVIDERS + provider) * sizeof(struct latency),
                           LATENCY_FIRST_US);
        }
}

static void put_token_gaps(const struct view *view, struct text *out)
{
    const char *name = "penstock_inter_token_gap_seconds";
    char labels[METRIC_LABELS_MAX];
    metric_head(out, name, "histogram", "Between events of a stream, as they left for the client.");
    for (unsigned provider = 0; provider < FIGURES_PROVIDERS; provider++) {
        fit_printf(labels, sizeof(labels), "provider=\"%s\"", provider_name(provider));
        metric_latency(view, out, name, labels,
                       offsetof(struct shard_counters, token_gap[provider]), LATENCY_FIRST_US);
    }
}

static void put_overhead(const struct view *view, struct text *out)
{
    const char *name = "penstock_gateway_overhead_seconds";
    char labels[METRIC_LABELS_MAX];
    metric_head(out, name, "histogram",
                "Own time: from the whole request to the vendor (route), and from the vendor's "
                "answer to the client (write).");
    for (unsigned family = 0; family < FIGURES_FAMILIES; family++)
        for (unsigned stage = 0; stage < OWN_COUNT; stage++) {
            fit_printf(labels, sizeof(labels), "format=\"%s\",stage=\"%s\"",
                       metric_family((enum wire_family)family), figures_own_name(stage));
            metric_latency(view, out, name, labels,
                           offsetof(struct shard_counters, overhead[family][stage]),
                           LATENCY_OWN_FIRST_US);
        }
}

static void put_gauges(const struct view *view, struct text *out)
{
    const char *name = "penstock_requests_in_flight";
    char labels[METRIC_LABELS_MAX];
    metric_head(out, name, "gauge", "Requests under way.");
    for (unsigned op = 0; op < OP_COUNT; op++) {
        fit_printf(labels, sizeof(labels), "route=\"%s\"", route_name(op));
        metric_sample(out, name, labels, SUM(view, in_flight[op]));
    }
    name = "penstock_streams_open";
    metric_head(out, name, "gauge", "Event streams that pass to clients.");
    uint64_t streams = 0;
    for (unsigned op = 0; op < OP_COUNT; op++) {
        const uint64_t open = SUM(view, streams[op]);
        streams += open;
        if (op == OP_NONE || wire_op_info((enum wire_op)op)->method != METHOD_POST)
            continue;
        fit_printf(labels, sizeof(labels), "route=\"%s\"", route_name(op));
        metric_sample(out, name, labels, open);
    }
    metric_one(out, "penstock_drain_streams_remaining", "gauge",
               "Event streams that a draining gateway waits for.",
               view->draining != NULL && view->draining(view->arg) ? streams : 0);
    metric_one(out, "penstock_drain_streams_aborted_total", "counter",
               "Requests that the end of a drain cut off.", SUM(view, cut));
}

// --- tokens ---

struct series {
    uint64_t key;
    uint64_t tokens[FIGURES_TOKENS];
    char name[VALUE_MAX]; // empty: not a configured model's
};

struct token_table {
    struct series *list;
    size_t count;
};

static void name_series(const struct token_table *table, struct span name)
{
    const uint64_t id = usage_model_id(name);
    for (size_t i = 0; i < table->count; i++) {
        struct series *series = &table->list[i];
        if (series->name[0] == '\0' && figures_model_key(id, series->key & 7) == series->key)
            escaped(name, series->name);
    }
}

// Names that the configuration or the store know; clients make up any other.
static void name_all(const struct registry *registry, const struct token_table *table)
{
    const struct entity *entity = NULL;
    struct span after = SPAN_NONE;
    while ((entity = registry_next(registry, ENTITY_ROUTE, after)) != NULL) {
        const struct route *route = (const struct route *)entity->record;
        name_series(table, route->name);
        for (uint32_t i = 0; i < route->aliases.count; i++)
            name_series(table, route->aliases.items[i]);
        after = route->id;
    }
    after = SPAN_NONE;
    while ((entity = registry_next(registry, ENTITY_ACCOUNT, after)) != NULL) {
        const struct account *account = (const struct account *)entity->record;
        for (uint32_t i = 0; i < account->models.count; i++)
            name_series(table, account->models.items[i]);
        for (uint32_t i = 0; i < account->model_map.count; i++)
            name_series(table, account->model_map.items[i].key);
        after = account->id;
    }
}

static void gather_tokens(const struct view *view, struct token_table *table,
                          uint64_t others[FIGURES_TOKENS])
{
    for (uint32_t i = 0; i < view->shard_count; i++)
        for (unsigned at = 0; at < FIGURES_MODELS; at++) {
            const struct figures_model *model = &view->shards[i]->models[at];
            const uint64_t key =
                atomic_load_explicit(&((struct figures_model *)model)->key, memory_order_relaxed);
            if (key == 0 && at > 0)
                continue;
            size_t j = 0;
            while (j < table->count && table->list[j].key != key)
                j++;
            uint64_t *into = others;
            if (at > 0 && j < SERIES_MAX) {
                if (j == table->count)
                    table->list[table->count++] = (struct series){ .key = key };
                into = table->list[j].tokens;
            }
            for (unsigned k = 0; k < FIGURES_TOKENS; k++)
                into[k] += counter_get(&model->tokens[k]);
        }
}

static void put_token_line(struct text *out, const char *provider, const char *model,
                           const uint64_t tokens[FIGURES_TOKENS])
{
    const struct {
        const char *type;
        uint64_t count;
    } lines[] = {
        { "input", tokens[USAGE_INPUT] },
        { "output", tokens[USAGE_OUTPUT] },
        { "cache_read", tokens[USAGE_CACHE_READ] },
        { "cache_write", tokens[USAGE_CACHE_WRITE_5M] + tokens[USAGE_CACHE_WRITE_1H] },
        { "reasoning", tokens[USAGE_REASONING] },
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (lines[i].count != 0)
            text_printf(out,
                        "penstock_tokens_total{provider=\"%s\",model=\"%s\",type=\"%s\"} %llu\n",
                        provider, model, lines[i].type, (unsigned long long)lines[i].count);
}

static void put_tokens(const struct api *api, struct text *out, uint64_t *dropped)
{
    uint64_t others[FIGURES_TOKENS] = { 0 };
    uint64_t unnamed[FIGURES_PROVIDERS][FIGURES_TOKENS] = { 0 };
    struct token_table table = { mem_take(SERIES_MAX, sizeof(struct series)), 0 };
    verify(table.list != NULL);
    gather_tokens(api->view, &table, others);
    name_all(api->registry, &table);
    metric_head(out, "penstock_tokens_total", "counter",
                "Tokens as vendors counted them; output includes reasoning.");
    for (size_t i = 0; i < table.count; i++) {
        const struct series *series = &table.list[i];
        const unsigned provider = series->key & 7;
        if (series->name[0] != '\0')
            put_token_line(out, provider_name(provider), series->name, series->tokens);
        for (unsigned k = 0; k < FIGURES_TOKENS && series->name[0] == '\0'; k++)
            unnamed[provider][k] += series->tokens[k];
        *dropped += series->name[0] == '\0';
    }
    for (unsigned provider = 0; provider < FIGURES_PROVIDERS; provider++)
        put_token_line(out, provider_name(provider), "other", unnamed[provider]);
    put_token_line(out, "other", "other", others);
    mem_give(table.list);
}

// --- the vendors' side ---

static void put_upstream(const struct view *view, struct text *out)
{
    static const char *const attempts[FIGURES_ATTEMPTS] = { "1", "2", "3+" };
    char labels[METRIC_LABELS_MAX];
    const char *name = "penstock_upstream_attempts_total";
    metric_head(out, name, "counter", "Attempts on accounts, by how they ended.");
    for (unsigned provider = 1; provider < FIGURES_PROVIDERS; provider++)
        for (unsigned i = 0; i < OUTCOME_COUNT * FIGURES_ATTEMPTS; i++) {
            const unsigned outcome = i / FIGURES_ATTEMPTS, attempt = i % FIGURES_ATTEMPTS;
            const uint64_t count = SUM(view, attempts[provider][outcome][attempt]);
            if (count == 0)
                continue;
            fit_printf(labels, sizeof(labels), "provider=\"%s\",outcome=\"%s\",attempt=\"%s\"",
                       provider_name(provider), figures_outcome_name(outcome), attempts[attempt]);
            metric_sample(out, name, labels, count);
        }
    name = "penstock_upstream_connect_duration_seconds";
    metric_head(out, name, "histogram", "From the wish for a connection to having one.");
    for (unsigned provider = 1; provider < FIGURES_PROVIDERS; provider++)
        for (unsigned reused = 0; reused < 2; reused++) {
            fit_printf(labels, sizeof(labels), "provider=\"%s\",reused=\"%s\"",
                       provider_name(provider), reused ? "true" : "false");
            metric_latency(view, out, name, labels,
                           offsetof(struct shard_counters, connect[provider][reused]),
                           LATENCY_FIRST_US);
        }
    name = "penstock_upstream_connections";
    metric_head(out, name, "gauge", "Connections to vendors: with an attempt, and idle.");
    for (unsigned provider = 1; provider < FIGURES_PROVIDERS; provider++) {
        fit_printf(labels, sizeof(labels), "provider=\"%s\",state=\"active\"",
                   provider_name(provider));
        metric_sample(out, name, labels, SUM(view, upstream_active[provider]));
    }
    metric_sample(out, name, "provider=\"all\",state=\"idle\"", SUM(view, upstream_idle));
    metric_one(out, "penstock_upstream_reused_total", "counter",
               "Attempts on a connection that was open.", SUM(view, upstream_reused));
    metric_head(out, "penstock_upstream_retries_total", "counter", "Attempts after the first.");
    metric_sample(out, "penstock_upstream_retries_total", "reason=\"account\"", SUM(view, retries));
    metric_sample(out, "penstock_upstream_retries_total", "reason=\"stale_connection\"",
                  SUM(view, stale_retries));
}

enum { ACCOUNT_AVAILABLE, ACCOUNT_DISABLED, ACCOUNT_EXPIRED, ACCOUNT_OUT, ACCOUNT_STATES };

static unsigned account_state(const struct view *view, const struct snap_account *account,
                              struct env *env)
{
    if (!account->enabled)
        return ACCOUNT_DISABLED;
    if (account->expires_at != 0 && account->expires_at <= env_wall_ns(env))
        return ACCOUNT_EXPIRED;
    return slot_is_out(slot_at(view->slots, account->slot.idx), env_mono_ns(env))
               ? ACCOUNT_OUT
               : ACCOUNT_AVAILABLE;
}

static void put_accounts(const struct api *api, struct text *out, uint64_t *dropped)
{
    static const char *const states[ACCOUNT_STATES] = { "available", "disabled", "expired", "out" };
    const struct view *view = api->view;
    if (view->hub == NULL || view->slots == NULL)
        return;
    const struct snapshot *snap = snap_hub_current(view->hub);
    const uint32_t all = snapshot_account_count(snap);
    const uint32_t count = all < METRIC_ACCOUNTS_MAX ? all : METRIC_ACCOUNTS_MAX;
    const char *name = "penstock_account_state";
    char labels[METRIC_LABELS_MAX + VALUE_MAX], value[VALUE_MAX];
    metric_head(out, name, "gauge", "Whether an account may be used; the state it is in is 1.");
    for (uint32_t i = 0; i < count; i++) {
        const struct snap_account *account = snapshot_account(snap, i);
        const unsigned state = account_state(view, account, api->env);
        for (unsigned j = 0; j < ACCOUNT_STATES; j++) {
            fit_printf(labels, sizeof(labels), "account=\"%s\",provider=\"%s\",state=\"%s\"",
                       escaped(account->name, value), account_type_info(account->type)->name,
                       states[j]);
            metric_sample(out, name, labels, j == state);
        }
    }
    name = "penstock_account_requests_in_flight";
    metric_head(out, name, "gauge", "Requests under way on an account.");
    for (uint32_t i = 0; i < count; i++) {
        const struct snap_account *account = snapshot_account(snap, i);
        const struct slot *slot = slot_at(view->slots, account->slot.idx);
        fit_printf(labels, sizeof(labels), "account=\"%s\",provider=\"%s\"",
                   escaped(account->name, value), account_type_info(account->type)->name);
        metric_sample(
            out, name, labels,
            atomic_load_explicit(&((struct slot *)slot)->in_flight, memory_order_relaxed));
    }
    name = "penstock_account_token_expiry_timestamp_seconds";
    metric_head(out, name, "gauge", "When an account ends, where that is known.");
    for (uint32_t i = 0; i < count; i++) {
        const struct snap_account *account = snapshot_account(snap, i);
        if (account->expires_at == 0)
            continue;
        fit_printf(labels, sizeof(labels), "account=\"%s\"", escaped(account->name, value));
        metric_sample(out, name, labels, account->expires_at / NS_PER_S);
    }
    *dropped += (uint64_t)(all - count) * (ACCOUNT_STATES + 1);
}

static uint64_t figure(const _Atomic uint64_t *value)
{
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)value, memory_order_relaxed);
}

static void put_recall(const struct view *view, struct text *out)
{
    const struct recall_figures *recall = view->recall;
    const char *name = "penstock_recall_hits_total";
    metric_head(out, name, "counter", "Signatures of requests' histories that were remembered.");
    metric_sample(out, name, "kind=\"issuer\"", SUM(view, recall_hits[0]));
    metric_sample(out, name, "kind=\"call\"", SUM(view, recall_hits[1]));
    name = "penstock_recall_misses_total";
    metric_head(out, name, "counter", "Those that nothing was known of.");
    metric_sample(out, name, "kind=\"issuer\"", SUM(view, recall_misses[0]));
    metric_sample(out, name, "kind=\"call\"", SUM(view, recall_misses[1]));
    metric_one(out, "penstock_thoughtless_retries_total", "counter",
               "Requests sent again without their thoughts, since the vendor refused one.",
               SUM(view, thoughtless));
    if (recall == NULL)
        return;
    metric_one(out, "penstock_recall_entries", "gauge", "What is remembered of thoughts.",
               figure(&recall->entries));
    metric_one(out, "penstock_recall_bytes", "gauge", "Bytes of it.", figure(&recall->bytes));
    metric_one(out, "penstock_recall_limit_bytes", "gauge", "Bytes that it may have.",
               recall->limit_bytes);
    metric_one(out, "penstock_recall_evictions_total", "counter",
               "Entries that made room for newer ones.", figure(&recall->evicted));
}

void metrics_relay(const struct api *api, struct text *out, uint64_t *dropped)
{
    const struct view *view = api->view;
    put_requests(view, out);
    metrics_convert(view, out);
    put_errors(view, out, dropped);
    put_latencies(view, out, "penstock_request_duration_seconds",
                  "From a request's head to the end of its answer.",
                  offsetof(struct shard_counters, duration));
    put_latencies(view, out, "penstock_time_to_first_token_seconds",
                  "From a request's head to the first content of its answer.",
                  offsetof(struct shard_counters, first_token));
    put_token_gaps(view, out);
    put_overhead(view, out);
    put_tokens(api, out, dropped);
    put_gauges(view, out);
    put_upstream(view, out);
    put_accounts(api, out, dropped);
    metric_one(out, "penstock_connections", "gauge", "Open connections, to clients and to vendors.",
               SUM(view, connections));
    metric_one(out, "penstock_connections_passed_total", "counter",
               "Clients' connections that another shard than the accepting one got.",
               SUM(view, passed));
    metric_head(out, "penstock_connections_evicted_total", "counter",
                "Clients' connections that made room for new ones.");
    metric_sample(out, "penstock_connections_evicted_total", "reason=\"silent\"",
                  SUM(view, evicted[0]));
    metric_sample(out, "penstock_connections_evicted_total", "reason=\"idle\"",
                  SUM(view, evicted[1]));
    put_recall(view, out);
    metric_one(out, "penstock_request_fields_dropped_total", "counter",
               "Header fields of clients that are not passed on.", SUM(view, fields_dropped));
    metric_one(out, "penstock_request_bytes_total", "counter", "Bytes of request bodies.",
               SUM(view, bytes_in));
    metric_one(out, "penstock_response_bytes_total", "counter", "Bytes of answer bodies.",
               SUM(view, bytes_out));
}
