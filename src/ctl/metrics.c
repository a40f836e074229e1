#include "metrics_impl.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

void metric_head(struct text *out, const char *name, const char *type, const char *help)
{
    text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metric_sample(struct text *out, const char *name, const char *labels, uint64_t value)
{
    const bool bare = labels[0] == '\0';
    text_printf(out, "%s%s%s%s %llu\n", name, bare ? "" : "{", labels, bare ? "" : "}",
                (unsigned long long)value);
}

void metric_one(struct text *out, const char *name, const char *type, const char *help,
                uint64_t value)
{
    metric_head(out, name, type, help);
    metric_sample(out, name, "", value);
}

void metric_one_seconds(struct text *out, const char *name, const char *type, const char *help,
                        uint64_t ns)
{
    metric_head(out, name, type, help);
    text_printf(out, "%s %llu.%09llu\n", name, (unsigned long long)(ns / NS_PER_S),
                (unsigned long long)(ns % NS_PER_S));
}

uint64_t metric_sum(const struct view *view, size_t at)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < view->shard_count; i++)
        total += counter_get((const struct counter *)((const char *)view->shards[i] + at));
    return total;
}

static void counts_add(struct metric_counts *counts, const struct latency *latency)
{
    for (unsigned i = 0; i <= LATENCY_BOUNDS; i++) {
        const uint64_t more = counter_get(&latency->buckets[i]);
        counts->buckets[i] += more;
        counts->total += more;
    }
    counts->sum_us += counter_get(&latency->sum_us);
}

// Seconds, without zeros at the end of their digits.
static void bound_text(char out[24], uint64_t us)
{
    size_t len = fit_printf(out, 24, "%llu.%06llu", (unsigned long long)(us / 1000000),
                            (unsigned long long)(us % 1000000));
    while (out[len - 1] == '0' && out[len - 2] != '.')
        out[--len] = '\0';
}

void metric_histogram(struct text *out, const char *name, const char *labels,
                      const struct metric_counts *counts, uint64_t first_us)
{
    char full[96], with_bound[METRIC_LABELS_MAX], bound[24] = "+Inf";
    uint64_t below = 0;
    if (counts->total == 0)
        return;
    fit_printf(full, sizeof(full), "%s_bucket", name);
    for (unsigned i = 0; i <= LATENCY_BOUNDS; i++) {
        if (i < LATENCY_BOUNDS)
            bound_text(bound, first_us << i);
        else
            fit_printf(bound, sizeof(bound), "+Inf");
        below += counts->buckets[i];
        fit_printf(with_bound, sizeof(with_bound), "%s,le=\"%s\"", labels, bound);
        metric_sample(out, full, with_bound, below);
    }
    text_printf(out, "%s_sum{%s} %llu.%06llu\n", name, labels,
                (unsigned long long)(counts->sum_us / 1000000),
                (unsigned long long)(counts->sum_us % 1000000));
    text_printf(out, "%s_count{%s} %llu\n", name, labels, (unsigned long long)counts->total);
}

void metric_latency(const struct view *view, struct text *out, const char *name, const char *labels,
                    size_t at, uint64_t first_us)
{
    struct metric_counts counts = { 0 };
    for (uint32_t i = 0; i < view->shard_count; i++)
        counts_add(&counts,
                   (const struct latency *)(const void *)((const char *)view->shards[i] + at));
    metric_histogram(out, name, labels, &counts, first_us);
}

static void put_rest(const struct view *view, struct text *out)
{
    metric_one(out, "penstock_memory_held_bytes", "gauge", "Bytes held for peers.",
               (uint64_t)max_u64(
                   0, (uint64_t)atomic_load_explicit(&((struct budget_process *)view->budget)->used,
                                                     memory_order_relaxed)));
    metric_one(out, "penstock_memory_limit_bytes", "gauge", "Bytes that may be held for peers.",
               (uint64_t)view->budget->limit);
    if (view->resolver == NULL)
        return;
    const struct resolver_stats dns = resolver_stats(view->resolver);
    metric_one(out, "penstock_dns_lookups_total", "counter", "Look-ups of vendors' names.",
               dns.lookups);
    metric_one(out, "penstock_dns_failures_total", "counter", "Look-ups that failed.",
               dns.failures);
}

static void put_store(struct store *store, struct text *out)
{
    struct store_stats stats;
    store_stats(store, &stats);
    metric_one(out, "penstock_store_up", "gauge", "Whether the store takes writes.",
               stats.state == STORE_OK);
    metric_one(out, "penstock_store_detail_stopped", "gauge",
               "Whether the disk watermark stopped the records of single requests.",
               stats.is_detail_stopped);
    metric_one(out, "penstock_store_records_total", "counter", "Usage records written.",
               stats.records);
    metric_one(out, "penstock_store_records_folded_total", "counter",
               "Usage records of which only the sums were kept.", stats.records_folded);
    metric_one(out, "penstock_store_records_missing", "gauge",
               "Usage records found missing at the start.", stats.records_missing);
    metric_one(out, "penstock_store_records_waiting", "gauge", "Usage records on their way.",
               stats.records_waiting);
    metric_one(out, "penstock_store_blocks_damaged_total", "counter",
               "Blocks of usage records that could not be read.", stats.blocks_damaged);
    metric_one(out, "penstock_store_sums_saturated_total", "counter",
               "Sums that reached their bound and stay there.", stats.saturated);
    metric_one(out, "penstock_store_commits_total", "counter", "Changes of objects.",
               stats.commits);
    metric_one(out, "penstock_store_commits_failed_total", "counter", "Changes that failed.",
               stats.commits_failed);
    metric_one(out, "penstock_store_writes_total", "counter", "Writes.", stats.writes);
    metric_one_seconds(out, "penstock_store_write_seconds_total", "counter",
                       "Time spent in writes.", stats.write_ns);
    metric_one(out, "penstock_store_write_stalls_total", "counter", "Writes that took long.",
               stats.write_stalls);
    metric_one_seconds(out, "penstock_store_stall_seconds_total", "counter",
                       "Time spent in writes that took long.", stats.write_stall_ns);
    metric_one(out, "penstock_store_syncs_total", "counter", "Syncs to the disk.", stats.syncs);
    metric_one_seconds(out, "penstock_store_sync_seconds_total", "counter", "Time spent in syncs.",
                       stats.sync_ns);
    metric_one(out, "penstock_store_write_errors_total", "counter", "Writes that failed.",
               stats.write_errors);
    metric_one(out, "penstock_store_bytes", "gauge", "Size of the database's files.", stats.bytes);
    metric_one(out, "penstock_store_wal_bytes", "gauge", "Size of its log.", stats.wal_bytes);
    metric_one(out, "penstock_store_memtable_bytes", "gauge", "Memory of what is not in files yet.",
               stats.memtable_bytes);
    metric_one(out, "penstock_store_pending_compaction_bytes", "gauge",
               "What compaction has before it.", stats.pending_compaction_bytes);
    metric_one(out, "penstock_store_disk_free_bytes", "gauge", "Free space of its disk.",
               stats.disk_free_bytes);
}

static void put_admin(const struct api *api, struct text *out)
{
    const char *name = "penstock_admin_requests_total";
    metric_head(out, name, "counter", "Calls of the admin API, health checks included.");
    for (unsigned method = 0; method < API_METHOD_COUNT; method++)
        for (unsigned i = 0; i < 6; i++) {
            char labels[METRIC_LABELS_MAX];
            if (api->calls[method][i] == 0)
                continue;
            fit_printf(labels, sizeof(labels), "method=\"%s\",status_class=\"%uxx\"",
                       api_method_name((enum api_method)method), i);
            metric_sample(out, name, labels, api->calls[method][i]);
        }
    metric_one(out, "penstock_admin_refused_total", "counter", "Calls without a good token.",
               api->refused);
    metric_head(out, "penstock_objects", "gauge", "Accounts, keys and models in force.");
    for (int kind = ENTITY_ACCOUNT; kind <= ENTITY_ROUTE; kind++) {
        char labels[METRIC_LABELS_MAX];
        fit_printf(labels, sizeof(labels), "kind=\"%s\"", entity_tables[kind]->name);
        metric_sample(out, "penstock_objects", labels, registry_count(api->registry, kind));
    }
}

static uint64_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    uint64_t count = 0;
    if (dir == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

// What the kernel says of the process.
static void put_process(const struct view *view, struct text *out)
{
    struct rusage usage;
    verify(getrusage(RUSAGE_SELF, &usage) == 0);
    const uint64_t us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                        (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    metric_one_seconds(out, "process_cpu_seconds_total", "counter", "Processor time.",
                       us * NS_PER_US);
    metric_one_seconds(out, "process_start_time_seconds", "gauge", "When the process started.",
                       view->started_ns);
    struct rlimit limit;
    verify(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    metric_one(out, "process_max_fds", "gauge", "Descriptors that may be open.", limit.rlim_cur);
    verify(getrlimit(RLIMIT_AS, &limit) == 0);
    metric_one(out, "process_virtual_memory_max_bytes", "gauge", "Address space that may be used.",
               limit.rlim_cur);
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
        metric_one(out, "process_virtual_memory_bytes", "gauge", "Address space.", pages[0] * page);
        metric_one(out, "process_resident_memory_bytes", "gauge", "Memory in use.",
                   pages[1] * page);
    }
    text_fini(&status);
    // The folder's own descriptor is open as well.
    metric_one(out, "process_open_fds", "gauge", "Open descriptors.",
               max_u64(count_entries("/proc/self/fd"), 1) - 1);
    metric_one(out, "process_threads", "gauge", "Threads.", count_entries("/proc/self/task"));
}

static void put_dropped(const struct view *view, struct text *out)
{
    const char *name = "penstock_log_records_dropped_total";
    uint64_t late = 0;
    for (uint32_t i = 0; i < view->shard_count && view->access != NULL; i++)
        late += counter_get(&view->access[i].dropped);
    metric_head(out, name, "counter", "Log lines that were given up.");
    metric_sample(out, name, "reason=\"log_full\"", *view->log_dropped);
    metric_sample(out, name, "reason=\"ring_full\"", late);
}

void metrics_write(struct api *api, struct text *out)
{
    const struct view *view = api->view;
    char labels[METRIC_LABELS_MAX];
    metric_head(out, "penstock_build_info", "gauge", "The version that runs is 1.");
    fit_printf(labels, sizeof(labels), "version=\"%s\",commit=\"%s\"", PENSTOCK_VERSION,
               view->commit);
    metric_sample(out, "penstock_build_info", labels, 1);
    uint64_t series_dropped = 0;
    metrics_relay(api, out, &series_dropped);
    metrics_own(api, out);
    put_rest(view, out);
    put_store(api->store, out);
    put_admin(api, out);
    metric_one(out, "penstock_config_revision", "gauge", "Snapshots made for the shards.",
               *view->published);
    metric_one(out, "penstock_config_reload_success", "gauge",
               "Whether the last load of the configuration was good.", *view->reload_good);
    metric_one_seconds(out, "penstock_config_reload_timestamp_seconds", "gauge",
                       "When the configuration was last loaded.", *view->reload_ns);
    put_dropped(view, out);
    metric_head(out, "penstock_metrics_series_dropped_total", "counter",
                "Kinds that have no line of their own, since there are too many.");
    metric_sample(out, "penstock_metrics_series_dropped_total", "reason=\"too_many\"",
                  series_dropped);
    put_process(view, out);
}
