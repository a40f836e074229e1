// Another configuration while running: on SIGHUP, and for `penstock reload`.
//
// The file is read and checked whole, what the shards would see of its objects is built, and only
// then anything changes: a file with a mistake changes nothing. Settings that need a restart stay
// as they are and are named. A request keeps what it began with; no connection is closed.
#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/ctl/notify.h"
#include "process.h"

#define RETRY_NS NS_PER_MS
#define GIVE_UP_NS (UINT64_C(10) * NS_PER_S)
#define RECLAIM_NS (UINT64_C(10) * NS_PER_MS)

// --- older generations ---

// A shard that has ended looks at nothing any more.
static bool all_have_applied(struct process *process)
{
    for (uint32_t i = 0; i < process->started_count; i++) {
        struct shard_thread *thread = &process->shards[i];
        if (thread_state(thread) != THREAD_ENDED &&
            thread_settings(thread) != &process->newest->settings)
            return false;
    }
    return true;
}

static void on_reclaim(struct timer *timer)
{
    struct process *process = container_of(timer, struct process, reload.reclaim);
    if (!all_have_applied(process)) {
        timer_arm(&process->loop.wheel, timer, process->loop.now_ns + RECLAIM_NS);
        return;
    }
    // The registry, the publisher and the API were given the newest configuration with it.
    struct generation *older = process->newest->older;
    process->newest->older = NULL;
    while (older != NULL) {
        struct generation *generation = older;
        older = generation->older;
        process_free_generation(&generation);
    }
}

// --- what it says ---

static void log_lines(struct process *process, enum config_log_level level, struct span text)
{
    while (text.len > 0) {
        const size_t len = span_find(text, '\n');
        if (len > 0)
            log_say(&process->log, level, "%.*s", (int)len, text.ptr);
        text = span_from(text, min_size(len + 1, text.len));
    }
}

static json_t *problem_json(const struct text *report, const char *detail)
{
    return json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "urn:penstock:problem:config", "title",
                     err_text(ERR_CONFIG), "status", 422, "detail", detail, "report",
                     report->len > 0 ? report->ptr : "");
}

static json_t *diff_json(const struct registry_diff *diff)
{
    return json_pack("{s:i, s:i, s:i}", "added", (int)diff->added, "changed", (int)diff->changed,
                     "removed", (int)diff->removed);
}

static void on_setting(void *arg, const struct field *field, bool live)
{
    struct reload *reload = arg;
    json_array_append_new(live ? reload->applied : reload->restart, json_string(field->name));
}

static void log_names(struct process *process, enum config_log_level level, const char *what,
                      const json_t *names)
{
    size_t i;
    const json_t *name;
    json_array_foreach((json_t *)names, i, name)
        log_say(&process->log, level, "%s %s", json_string_value(name), what);
}

// --- the end of one reload ---

static void begin(struct process *process);

static void unread(struct reload *reload)
{
    process_free_generation(&reload->next);
    text_fini(&reload->report);
    json_decref(reload->applied);
    json_decref(reload->restart);
    reload->applied = reload->restart = NULL;
}

// Answers those whom this reload served; who asked later starts another.
static void answer(struct process *process, int status, json_t *json)
{
    struct reload *reload = &process->reload;
    const uint32_t count = reload->served_count;
    struct api_call *calls[RELOADS_MAX];
    memcpy(calls, reload->calls, count * sizeof(calls[0]));
    reload->call_count -= count;
    memmove(reload->calls, reload->calls + count, reload->call_count * sizeof(calls[0]));
    const bool again = reload->again;
    unread(reload);
    reload->give_up_ns = 0;
    reload->served_count = 0;
    reload->is_in_force = reload->again = false;
    if (again)
        begin(process);
    for (uint32_t i = 0; i < count; i++)
        api_reply(calls[i], status, json_deep_copy(json));
    json_decref(json);
}

static void tell_manager(const char *text)
{
    notify_send(config_world_system(), text);
}

static void fail(struct process *process, const char *why)
{
    struct reload *reload = &process->reload;
    reload->is_good = false;
    log_lines(process, LOG_ERROR, text_span(&reload->report));
    log_say(&process->log, LOG_ERROR, "the configuration was not reloaded: %s", why);
    tell_manager("READY=1\nSTATUS=the configuration was not reloaded");
    reload->served_count = reload->call_count;
    answer(process, 422, problem_json(&reload->report, why));
}

static void succeed(struct process *process)
{
    struct reload *reload = &process->reload;
    const struct registry_diff *diffs = reload->diffs;
    const bool certs_good = process_reload_certs(process);
    reload->is_good = true;
    reload->done_ns = process->loop.wall_ns;
    log_lines(process, LOG_WARN, text_span(&reload->report));
    log_names(process, LOG_INFO, "was changed", reload->applied);
    log_names(process, LOG_WARN, "changes with the next start", reload->restart);
    log_say(&process->log, certs_good ? LOG_INFO : LOG_ERROR,
            certs_good ? "reloaded" : "reloaded, but not all certificates");
    tell_manager("READY=1\nSTATUS=ready");
    json_t *json = json_object();
    json_object_set(json, "applied", reload->applied);
    json_object_set(json, "restart", reload->restart);
    json_object_set_new(json, "accounts", diff_json(&diffs[ENTITY_ACCOUNT]));
    json_object_set_new(json, "keys", diff_json(&diffs[ENTITY_KEY]));
    json_object_set_new(json, "models", diff_json(&diffs[ENTITY_ROUTE]));
    json_object_set_new(json, "certificates", json_boolean(certs_good));
    json_object_set_new(json, "report",
                        json_string(reload->report.len > 0 ? reload->report.ptr : ""));
    answer(process, 200, json);
}

// --- one reload ---

// Everything that looks at the configuration looks at the new one from here on.
static void put_in_force(struct process *process)
{
    struct reload *reload = &process->reload;
    struct generation *next = reload->next;
    const struct config *before = process->cfg;
    const bool ranges_changed =
        !record_field_eq(&before->record, &next->cfg->record,
                         table_find(&config_table, SPAN("upstream.allow_cidr")));
    reload->next = NULL;
    next->older = process->newest;
    next->settings.relay.generation = process->newest->settings.relay.generation + 1;
    next->settings.server.connections = process->newest->settings.server.connections;
    process->newest = next;
    process->cfg = next->cfg;
    process->api.config = next->cfg;
    process->log.level = (enum config_log_level)next->cfg->log.level;
    prober_limit(&process->prober, next->cfg);
    if (ranges_changed)
        publisher_judge(&process->publisher);
    for (uint32_t i = 0; i < process->started_count; i++)
        thread_apply(&process->shards[i], &next->settings);
    timer_arm(&process->loop.wheel, &reload->reclaim, process->loop.now_ns + RECLAIM_NS);
}

static void apply(struct process *process)
{
    struct reload *reload = &process->reload;
    struct config *next = reload->next->cfg;
    struct registry_why why;
    for (int kind = ENTITY_ACCOUNT; kind <= ENTITY_ROUTE; kind++)
        reload->diffs[kind] = registry_compare(process->registry, (enum entity_kind)kind, next);
    process->publisher.config = next; // addresses are judged by the ranges that will be in force
    struct err err = registry_reload(process->registry, next, &why);
    if (failed(err))
        process->publisher.config = process->cfg;
    if (err.code == ERR_OVERLOADED && process->loop.now_ns < reload->give_up_ns) {
        timer_arm(&process->loop.wheel, &reload->timer, process->loop.now_ns + RETRY_NS);
        return;
    }
    if (failed(err)) {
        fail(process, why.text);
        return;
    }
    put_in_force(process);
    err = log_reopen(&process->log);
    if (failed(err))
        log_say(&process->log, LOG_ERROR, "the log cannot be opened again: %s", strerror(err.sys));
    reload->is_in_force = true;
    reload->served_count = reload->call_count;
    reload->give_up_ns = process->loop.now_ns + GIVE_UP_NS;
    timer_arm(&process->loop.wheel, &reload->timer, process->loop.now_ns);
}

static void on_timer(struct timer *timer)
{
    struct process *process = container_of(timer, struct process, reload.timer);
    struct reload *reload = &process->reload;
    if (reload->is_in_force) { // whoever is told finds it everywhere
        if (all_have_applied(process) || process->loop.now_ns >= reload->give_up_ns)
            succeed(process);
        else
            timer_arm(&process->loop.wheel, timer, process->loop.now_ns + RETRY_NS);
        return;
    }
    if (reload->next == NULL) {
        reload->applied = json_array();
        reload->restart = json_array();
        reload->next = process_read_config(process, &reload->report);
        if (reload->next == NULL) {
            fail(process, "it has errors");
            return;
        }
        config_adopt(reload->next->cfg, process->cfg, on_setting, reload);
    }
    apply(process);
}

static void begin(struct process *process)
{
    struct reload *reload = &process->reload;
    if (reload->is_in_force) {
        reload->again = true;
        return;
    }
    if (reload->give_up_ns != 0) { // one is under way, but who asks now may have written since
        unread(reload);
        return;
    }
    char text[96];
    fit_printf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
               (unsigned long long)(env_mono_ns(env_system()) / NS_PER_US));
    tell_manager(text);
    reload->give_up_ns = process->loop.now_ns + GIVE_UP_NS;
    timer_arm(&process->loop.wheel, &reload->timer, process->loop.now_ns);
}

void process_reload_init(struct process *process)
{
    process->reload.timer.on_fire = on_timer;
    process->reload.reclaim.on_fire = on_reclaim;
    process->reload.is_good = true;
    process->reload.done_ns = env_wall_ns(env_system());
}

void process_reload(struct process *process)
{
    if (process->admin_runs && !process->stopping)
        begin(process);
}

bool process_reload_for(struct process *process, struct api_call *call)
{
    struct reload *reload = &process->reload;
    if (reload->call_count == RELOADS_MAX || process->stopping)
        return false;
    reload->calls[reload->call_count++] = call;
    begin(process);
    return true;
}

void process_reload_stop(struct process *process)
{
    struct reload *reload = &process->reload;
    timer_stop(&process->loop.wheel, &reload->timer);
    timer_stop(&process->loop.wheel, &reload->reclaim);
    reload->served_count = reload->call_count;
    reload->again = false;
    answer(process, 503, problem_json(&reload->report, err_text(ERR_DRAINING)));
}
