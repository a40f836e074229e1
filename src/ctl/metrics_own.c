// What the process does by itself: its loops, the certificates it shows, what it refuses.
#include "metrics_impl.h"

#include "penstock/net/peers.h"

#include <stdio.h>

// Two looks closer to each other tell the same as the ones before: several may ask.
#define BUSY_LOOK_NS NS_PER_S
enum { PERMILLE = 1000 };

// The loop number `i`, and its thread's name; the control thread's comes behind the shards'.
static const struct loop_figures *loop_at(const struct view *view, uint32_t i, char name[32])
{
    if (i >= view->shard_count) {
        fit_printf(name, 32, "thread=\"control\"");
        return view->control;
    }
    fit_printf(name, 32, "thread=\"shard-%u\"", i);
    return view->loops[i];
}

static void put_loop_counters(const struct view *view, struct text *out, const char *name,
                              const char *help, size_t at)
{
    char labels[32];
    metric_head(out, name, "counter", help);
    for (uint32_t i = 0; i <= view->shard_count; i++) {
        const struct loop_figures *figures = loop_at(view, i, labels);
        if (figures != NULL)
            metric_sample(out, name, labels,
                          counter_get((const struct counter *)((const char *)figures + at)));
    }
}

static void put_lag(const struct view *view, struct text *out)
{
    const char *name = "penstock_loop_lag_seconds";
    char labels[32];
    metric_head(out, name, "histogram",
                "How long turns of a loop took: what comes meanwhile waits so long at most.");
    for (uint32_t i = 0; i <= view->shard_count; i++) {
        const struct loop_figures *figures = loop_at(view, i, labels);
        struct metric_counts counts = { 0 };
        if (figures == NULL)
            continue;
        for (unsigned bucket = 0; bucket <= LATENCY_BOUNDS; bucket++) {
            counts.buckets[bucket] = counter_get(&figures->lag[bucket]);
            counts.total += counts.buckets[bucket];
        }
        counts.sum_us = counter_get(&figures->busy_ns) / NS_PER_US;
        metric_histogram(out, name, labels, &counts, LATENCY_OWN_FIRST_US);
    }
}

// A turn counts when it has ended, so a long one may seem to have taken more than there was.
static uint32_t busy_permille(struct api_busy *busy, const struct loop_figures *figures,
                              uint64_t now_ns)
{
    const uint64_t passed_ns = now_ns - busy->at_ns;
    if (busy->at_ns != 0 && passed_ns < BUSY_LOOK_NS)
        return busy->permille;
    const uint64_t total_ns = counter_get(&figures->busy_ns);
    const uint64_t spent_ns = total_ns - busy->busy_ns;
    busy->permille = (uint32_t)min_u64(spent_ns / max_u64(passed_ns / PERMILLE, 1), PERMILLE);
    busy->busy_ns = total_ns;
    busy->at_ns = now_ns;
    return busy->permille;
}

static void put_busy(struct api *api, struct text *out)
{
    const struct view *view = api->view;
    const char *name = "penstock_loop_busy_ratio";
    char labels[32];
    metric_head(out, name, "gauge",
                "The part of the time since the last look, a second at least, that turns took.");
    for (uint32_t i = 0; i <= view->shard_count; i++) {
        const struct loop_figures *figures = loop_at(view, i, labels);
        if (figures == NULL)
            continue;
        const uint32_t busy = busy_permille(&api->busy[i], figures, env_mono_ns(api->env));
        text_printf(out, "%s{%s} %u.%03u\n", name, labels, busy / PERMILLE, busy % PERMILLE);
    }
}

static void put_backends(const struct view *view, struct text *out)
{
    static const enum io_backend kinds[] = { IO_BACKEND_URING, IO_BACKEND_EPOLL };
    const char *name = "penstock_io_backend";
    char labels[METRIC_LABELS_MAX];
    metric_head(out, name, "gauge", "The backend that serves sockets is 1.");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const char *kind = io_backend_name(kinds[i]);
        fit_printf(labels, sizeof(labels), "backend=\"%s\"", kind);
        metric_sample(out, name, labels, strcmp(kind, view->backend) == 0);
    }
}

static void put_limits(const struct view *view, struct text *out)
{
    const char *name = "penstock_ratelimit_rejections_total";
    metric_head(out, name, "counter", "Connections and requests refused for a limit's sake.");
    metric_sample(out, name, "scope=\"address\",limit=\"connections\"",
                  view->peers != NULL ? peers_refused(view->peers) : 0);
    metric_sample(out, name, "scope=\"process\",limit=\"memory\"",
                  SUM(view, limited[LIMIT_MEMORY]));
    metric_sample(out, name, "scope=\"account\",limit=\"in_flight\"",
                  SUM(view, limited[LIMIT_ACCOUNT]));
}

static void put_certificates(const struct view *view, struct text *out)
{
    const char *name = "penstock_tls_cert_expiry_timestamp_seconds";
    struct view_cert cert;
    metric_head(out, name, "gauge", "When a listener's certificate ends.");
    for (uint32_t i = 0; view->certificate != NULL && view->certificate(view->arg, i, &cert); i++) {
        char labels[METRIC_LABELS_MAX];
        if (cert.expires_ns == 0)
            continue;
        fit_printf(labels, sizeof(labels), "name=\"%s\"", cert.name);
        metric_sample(out, name, labels, cert.expires_ns / NS_PER_S);
    }
}

void metrics_own(struct api *api, struct text *out)
{
    const struct view *view = api->view;
    put_backends(view, out);
    put_loop_counters(view, out, "penstock_loop_turns_total", "Turns of a loop.",
                      offsetof(struct loop_figures, turns));
    put_loop_counters(view, out, "penstock_loop_slow_turns_total", "Turns of more than 5 ms.",
                      offsetof(struct loop_figures, turns_slow));
    put_lag(view, out);
    put_busy(api, out);
    metric_one(out, "penstock_io_syscalls_total", "counter", "System calls of the shards' loops.",
               SUM(view, syscalls));
    metric_one(out, "penstock_io_no_buffers_total", "counter",
               "Receives that found no free buffer.", SUM(view, no_buffers));
    put_limits(view, out);
    put_certificates(view, out);
}
