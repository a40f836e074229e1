#include "penstock/ctl/metrics.h"

#include "penstock/base/check.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LABEL_MAX = 128 };

static void head(struct text *out, const char *name, const char *type, const char *help)
{
    text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void sample(struct text *out, const char *name, const char *labels, uint64_t value)
{
    const bool bare = labels[0] == '\0';
    text_printf(out, "%s%s%s%s %llu\n", name, bare ? "" : "{", labels, bare ? "" : "}",
                (unsigned long long)value);
}

static void one(struct text *out, const char *name, const char *type, const char *help,
                uint64_t value)
{
    head(out, name, type, help);
    sample(out, name, "", value);
}

// In base units: seconds or a ratio with as many digits as there are.
static void one_seconds(struct text *out, const char *name, const char *type, const char *help,
                        uint64_t ns)
{
    head(out, name, type, help);
    text_printf(out, "%s %llu.%09llu\n", name, (unsigned long long)(ns / NS_PER_S),
                (unsigned long long)(ns % NS_PER_S));
}

// The sum over the shards of the counter that lies `at` bytes into their counters.
static uint64_t sum(const struct view *view, size_t at)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < view->shard_count; i++)
        total += counter_get((const struct counter *)((const char *)view->shards[i] + at));
    return total;
}
#define SUM(view, member) sum((view), offsetof(struct shard_counters, member))

static const char *route_name(unsigned op)
{
    return op == OP_NONE ? "none" : wire_op_info((enum wire_op)op)->name;
}

static const char *format_name(enum wire_family family)
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
    return op == OP_NONE ? "none" : format_name(wire_op_info((enum wire_op)op)->family);
}

static void put_requests(const struct view *view, struct text *out)
{
    static const char *const classes[FIGURES_CLASSES] = {
        "none", "1xx", "2xx", "3xx", "4xx", "5xx"
    };
    const char *name = "penstock_requests_total";
    char labels[LABEL_MAX];
    head(out, name, "counter", "Requests that ended, by route and status.");
    for (unsigned op = 0; op < OP_COUNT; op++)
        for (unsigned i = 0; i < FIGURES_CLASSES; i++) {
            const uint64_t count = SUM(view, requests[op][i]);
            if (count == 0)
                continue;
            fit_printf(labels, sizeof(labels), "route=\"%s\",format=\"%s\",status_class=\"%s\"",
                       route_name(op), route_format(op), classes[i]);
            sample(out, name, labels, count);
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

static void put_errors(const struct view *view, struct text *out)
{
    const char *name = "penstock_request_errors_total";
    head(out, name, "counter", "Requests that ended with an error, by its reason.");
    for (unsigned code = 1; code < ERR_CODE_COUNT; code++) {
        const uint64_t count = SUM(view, errors[code]);
        if (count == 0)
            continue;
        char labels[LABEL_MAX], reason[64];
        size_t len = fit_printf(reason, sizeof(reason), "%s", err_name((enum err_code)code));
        for (size_t i = 0; i < len; i++)
            reason[i] = (char)(reason[i] >= 'A' && reason[i] <= 'Z' ? reason[i] | 0x20 : reason[i]);
        const struct err err = err_make((enum err_code)code, 0, "");
        fit_printf(labels, sizeof(labels), "reason=\"%s\",side=\"%s\"", reason,
                   side_name((enum err_side)err.side));
        sample(out, name, labels, count);
    }
}

static void put_latency(const struct view *view, struct text *out, const char *name,
                        const char *help, size_t first)
{
    char labels[LABEL_MAX], full[96];
    head(out, name, "histogram", help);
    for (unsigned op = 0; op < OP_COUNT; op++) {
        const size_t at = first + op * sizeof(struct latency);
        uint64_t counts[LATENCY_BOUNDS + 1], total = 0;
        for (unsigned i = 0; i <= LATENCY_BOUNDS; i++) {
            counts[i] =
                sum(view, at + offsetof(struct latency, buckets) + i * sizeof(struct counter));
            total += counts[i];
        }
        if (total == 0)
            continue;
        uint64_t below = 0;
        fit_printf(full, sizeof(full), "%s_bucket", name);
        for (unsigned i = 0; i <= LATENCY_BOUNDS; i++) {
            const uint64_t centi = UINT64_C(1) << i; // bounds in hundredths of a second
            char bound[24] = "+Inf";
            if (i < LATENCY_BOUNDS)
                fit_printf(bound, sizeof(bound), "%llu.%02llu", (unsigned long long)(centi / 100),
                           (unsigned long long)(centi % 100));
            below += counts[i];
            fit_printf(labels, sizeof(labels), "route=\"%s\",format=\"%s\",le=\"%s\"",
                       route_name(op), route_format(op), bound);
            sample(out, full, labels, below);
        }
        const uint64_t us = sum(view, at + offsetof(struct latency, sum_us));
        text_printf(out, "%s_sum{route=\"%s\",format=\"%s\"} %llu.%06llu\n", name, route_name(op),
                    route_format(op), (unsigned long long)(us / 1000000),
                    (unsigned long long)(us % 1000000));
        text_printf(out, "%s_count{route=\"%s\",format=\"%s\"} %llu\n", name, route_name(op),
                    route_format(op), (unsigned long long)total);
    }
}
_Static_assert(LATENCY_FIRST_US == 10000, "the first bound is a hundredth of a second");

static void put_tokens(const struct view *view, struct text *out)
{
    static const char *const types[FIGURES_TOKENS] = {
        [USAGE_INPUT] = "input",
        [USAGE_CACHE_READ] = "cache_read",
        [USAGE_CACHE_WRITE_5M] = "cache_write_5m",
        [USAGE_CACHE_WRITE_1H] = "cache_write_1h",
        [USAGE_OUTPUT] = "output",
        [USAGE_REASONING] = "reasoning",
    };
    const char *name = "penstock_tokens_total";
    head(out, name, "counter", "Tokens as vendors counted them; output includes reasoning.");
    for (unsigned family = 0; family < FIGURES_FAMILIES; family++)
        for (unsigned i = 0; i < FIGURES_TOKENS; i++) {
            char labels[LABEL_MAX];
            fit_printf(labels, sizeof(labels), "format=\"%s\",type=\"%s\"",
                       format_name((enum wire_family)family), types[i]);
            sample(out, name, labels, SUM(view, tokens[family][i]));
        }
}

static void put_relay(const struct view *view, struct text *out)
{
    put_requests(view, out);
    put_errors(view, out);
    put_latency(view, out, "penstock_request_duration_seconds",
                "From a request's head to the end of its answer.",
                offsetof(struct shard_counters, duration));
    put_latency(view, out, "penstock_time_to_first_token_seconds",
                "From a request's head to the first content of its answer.",
                offsetof(struct shard_counters, first_token));
    put_tokens(view, out);
    one(out, "penstock_requests_in_flight", "gauge", "Requests under way.", SUM(view, in_flight));
    one(out, "penstock_connections", "gauge", "Open connections, to clients and to vendors.",
        SUM(view, connections));
    head(out, "penstock_upstream_connections", "gauge", "Connections to vendors.");
    sample(out, "penstock_upstream_connections", "state=\"idle\"", SUM(view, upstream_idle));
    one(out, "penstock_upstream_reused_total", "counter", "Attempts on a connection that was open.",
        SUM(view, upstream_reused));
    one(out, "penstock_upstream_attempts_total", "counter", "Requests sent to vendors.",
        SUM(view, attempts));
    head(out, "penstock_upstream_retries_total", "counter", "Attempts after the first.");
    sample(out, "penstock_upstream_retries_total", "reason=\"account\"", SUM(view, retries));
    sample(out, "penstock_upstream_retries_total", "reason=\"stale_connection\"",
           SUM(view, stale_retries));
    one(out, "penstock_request_fields_dropped_total", "counter",
        "Header fields of clients that are not passed on.", SUM(view, fields_dropped));
    one(out, "penstock_request_bytes_total", "counter", "Bytes of request bodies.",
        SUM(view, bytes_in));
    one(out, "penstock_response_bytes_total", "counter", "Bytes of answer bodies.",
        SUM(view, bytes_out));
}

static void put_loops(const struct view *view, struct text *out)
{
    char labels[LABEL_MAX];
    head(out, "penstock_io_backend", "gauge", "The backend that serves sockets is 1.");
    fit_printf(labels, sizeof(labels), "backend=\"%s\"", view->backend);
    sample(out, "penstock_io_backend", labels, 1);
    head(out, "penstock_loop_turns_total", "counter", "Turns of a shard's loop.");
    for (uint32_t i = 0; i < view->shard_count; i++) {
        fit_printf(labels, sizeof(labels), "thread=\"shard-%u\"", i);
        sample(out, "penstock_loop_turns_total", labels, counter_get(&view->shards[i]->turns));
    }
    head(out, "penstock_loop_slow_turns_total", "counter", "Turns of more than 5 ms.");
    for (uint32_t i = 0; i < view->shard_count; i++) {
        fit_printf(labels, sizeof(labels), "thread=\"shard-%u\"", i);
        sample(out, "penstock_loop_slow_turns_total", labels,
               counter_get(&view->shards[i]->turns_slow));
    }
    one(out, "penstock_io_syscalls_total", "counter", "System calls of the shards' loops.",
        SUM(view, syscalls));
    one(out, "penstock_io_no_buffers_total", "counter", "Receives that found no free buffer.",
        SUM(view, no_buffers));
    one(out, "penstock_memory_held_bytes", "gauge", "Bytes held for peers.",
        (uint64_t)max_u64(
            0, (uint64_t)atomic_load_explicit(&((struct budget_process *)view->budget)->used,
                                              memory_order_relaxed)));
    one(out, "penstock_memory_limit_bytes", "gauge", "Bytes that may be held for peers.",
        (uint64_t)view->budget->limit);
    if (view->resolver == NULL)
        return;
    const struct resolver_stats dns = resolver_stats(view->resolver);
    one(out, "penstock_dns_lookups_total", "counter", "Look-ups of vendors' names.", dns.lookups);
    one(out, "penstock_dns_failures_total", "counter", "Look-ups that failed.", dns.failures);
}

static void put_store(struct store *store, struct text *out)
{
    struct store_stats stats;
    store_stats(store, &stats);
    one(out, "penstock_store_up", "gauge", "Whether the store takes writes.",
        stats.state == STORE_OK);
    one(out, "penstock_store_detail_stopped", "gauge",
        "Whether the disk watermark stopped the records of single requests.",
        stats.is_detail_stopped);
    one(out, "penstock_store_records_total", "counter", "Usage records written.", stats.records);
    one(out, "penstock_store_records_folded_total", "counter",
        "Usage records of which only the sums were kept.", stats.records_folded);
    one(out, "penstock_store_records_missing", "gauge", "Usage records found missing at the start.",
        stats.records_missing);
    one(out, "penstock_store_records_waiting", "gauge", "Usage records on their way.",
        stats.records_waiting);
    one(out, "penstock_store_commits_total", "counter", "Changes of objects.", stats.commits);
    one(out, "penstock_store_commits_failed_total", "counter", "Changes that failed.",
        stats.commits_failed);
    one(out, "penstock_store_writes_total", "counter", "Writes.", stats.writes);
    one_seconds(out, "penstock_store_write_seconds_total", "counter", "Time spent in writes.",
                stats.write_ns);
    one(out, "penstock_store_write_stalls_total", "counter", "Writes that took long.",
        stats.write_stalls);
    one(out, "penstock_store_syncs_total", "counter", "Syncs to the disk.", stats.syncs);
    one_seconds(out, "penstock_store_sync_seconds_total", "counter", "Time spent in syncs.",
                stats.sync_ns);
    one(out, "penstock_store_write_errors_total", "counter", "Writes that failed.",
        stats.write_errors);
    one(out, "penstock_store_bytes", "gauge", "Size of the database's files.", stats.bytes);
    one(out, "penstock_store_wal_bytes", "gauge", "Size of its log.", stats.wal_bytes);
    one(out, "penstock_store_memtable_bytes", "gauge", "Memory of what is not in files yet.",
        stats.memtable_bytes);
    one(out, "penstock_store_pending_compaction_bytes", "gauge", "What compaction has before it.",
        stats.pending_compaction_bytes);
    one(out, "penstock_store_disk_free_bytes", "gauge", "Free space of its disk.",
        stats.disk_free_bytes);
}

static void put_admin(const struct api *api, struct text *out)
{
    const char *name = "penstock_admin_requests_total";
    head(out, name, "counter", "Calls of the admin API, health checks included.");
    for (unsigned method = 0; method < API_METHOD_COUNT; method++)
        for (unsigned i = 0; i < 6; i++) {
            char labels[LABEL_MAX];
            if (api->calls[method][i] == 0)
                continue;
            fit_printf(labels, sizeof(labels), "method=\"%s\",status_class=\"%uxx\"",
                       api_method_name((enum api_method)method), i);
            sample(out, name, labels, api->calls[method][i]);
        }
    one(out, "penstock_admin_refused_total", "counter", "Calls without a good token.",
        api->refused);
    head(out, "penstock_objects", "gauge", "Accounts, keys and models in force.");
    for (int kind = ENTITY_ACCOUNT; kind <= ENTITY_ROUTE; kind++) {
        char labels[LABEL_MAX];
        fit_printf(labels, sizeof(labels), "kind=\"%s\"", entity_tables[kind]->name);
        sample(out, "penstock_objects", labels, registry_count(api->registry, kind));
    }
}

// What the kernel says of the process.
static void put_process(const struct view *view, struct text *out)
{
    struct rusage usage;
    verify(getrusage(RUSAGE_SELF, &usage) == 0);
    const uint64_t us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                        (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    one_seconds(out, "process_cpu_seconds_total", "counter", "Processor time.", us * NS_PER_US);
    one_seconds(out, "process_start_time_seconds", "gauge", "When the process started.",
                view->started_ns);
    struct rlimit limit;
    verify(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    one(out, "process_max_fds", "gauge", "Descriptors that may be open.", limit.rlim_cur);
    struct text status = { 0 };
    if (config_world_system()->read(config_world_system(), "/proc/self/statm", 4 * KIB, &status,
                                    NULL) == 0) {
        struct span rest = text_span(&status);
        uint64_t pages[2] = { 0 };
        for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
            const size_t len = span_find(rest, ' ');
            if (!span_u64(span_upto(rest, len), &pages[i]))
                pages[i] = 0;
            rest = span_from(rest, min_size(len + 1, rest.len));
        }
        const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        one(out, "process_virtual_memory_bytes", "gauge", "Address space.", pages[0] * page);
        one(out, "process_resident_memory_bytes", "gauge", "Memory in use.", pages[1] * page);
    }
    text_fini(&status);
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return;
    uint64_t open = 0;
    while (readdir(dir) != NULL)
        open++;
    closedir(dir);
    one(out, "process_open_fds", "gauge", "Open descriptors.", open > 3 ? open - 3 : 0);
}

void metrics_write(const struct api *api, struct text *out)
{
    const struct view *view = api->view;
    char labels[LABEL_MAX];
    head(out, "penstock_build_info", "gauge", "The version that runs is 1.");
    fit_printf(labels, sizeof(labels), "version=\"%s\"", PENSTOCK_VERSION);
    sample(out, "penstock_build_info", labels, 1);
    put_relay(view, out);
    put_loops(view, out);
    put_store(api->store, out);
    put_admin(api, out);
    one(out, "penstock_config_revision", "gauge", "Snapshots made for the shards.",
        *view->published);
    one(out, "penstock_config_reload_success", "gauge",
        "Whether the last load of the configuration was good.", *view->reload_good);
    one_seconds(out, "penstock_config_reload_timestamp_seconds", "gauge",
                "When the configuration was last loaded.", *view->reload_ns);
    uint64_t dropped = *view->log_dropped;
    for (uint32_t i = 0; i < view->shard_count && view->access != NULL; i++)
        dropped += counter_get(&view->access[i].dropped);
    one(out, "penstock_log_records_dropped_total", "counter", "Log lines that were given up.",
        dropped);
    put_process(view, out);
}
