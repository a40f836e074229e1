#include "penstock/ctl/prober.h"

#include "api_impl.h"
#include "penstock/codec/http1_write.h"
#include "penstock/provider/provider.h"

enum { HEAD_MAX = 32 * KIB, BODY_LIMIT = 64 * KIB };
#define TEST_NS (UINT64_C(20) * NS_PER_S)

enum probe_step { PROBE_CONNECT, PROBE_HEAD };

struct probe {
    struct prober *prober;
    struct api_call *call;
    struct task task;
    struct timer timer;
    struct list link;
    enum probe_step step;
    struct fetch fetch;
    uint64_t began_ns, connected_ns;
    bool ended;
    size_t head_len;
    char head[HEAD_MAX]; // holds the credential: wiped with the probe
};

static void on_bury(struct task *task)
{
    struct probe *probe = container_of(task, struct probe, task);
    bytes_wipe(probe->head, sizeof(probe->head));
    probe->prober->count--;
    mem_give(probe);
}

static void end(struct probe *probe)
{
    struct loop *loop = probe->prober->net->loop;
    // The fetch has let go of its connection, the timer is stopped, the call is answered: nothing
    // reaches the probe any more.
    timer_stop(&loop->wheel, &probe->timer);
    list_take(&probe->link);
    probe->task.run = on_bury;
    loop_bury(loop, &probe->task);
}

static uint64_t ms_since(const struct probe *probe, uint64_t from)
{
    return (probe->prober->net->loop->now_ns - from) / NS_PER_MS;
}

static void answer(struct probe *probe, bool works, const char *stage, const char *detail,
                   int status)
{
    json_t *json = json_object();
    json_object_set_new(json, "ok", json_boolean(works));
    json_object_set_new(json, "stage", json_string(stage));
    json_object_set_new(json, "detail", json_string(detail));
    json_object_set_new(json, "vendor_status", status > 0 ? json_integer(status) : json_null());
    if (probe->connected_ns != 0)
        json_object_set_new(
            json, "connect_ms",
            json_integer((json_int_t)((probe->connected_ns - probe->began_ns) / NS_PER_MS)));
    json_object_set_new(json, "total_ms",
                        json_integer((json_int_t)ms_since(probe, probe->began_ns)));
    if (fetch_is_active(&probe->fetch))
        fetch_stop(&probe->fetch, WHY_DONE);
    struct api_call *call = probe->call;
    probe->ended = true;
    end(probe);
    api_answer(call, 200, json);
    api_finish(call);
}

static void judge(struct probe *probe, int status)
{
    char text[96];
    if (status >= 200 && status < 300) {
        answer(probe, true, "answer", "the vendor took the credential", status);
    } else if (status == 401 || status == 403) {
        answer(probe, false, "credential", "the vendor refuses the credential", status);
    } else if (status == 404 || status == 405) {
        answer(probe, true, "answer",
               "the vendor answers, but lists no models here: the credential was not tried",
               status);
    } else {
        fit_printf(text, sizeof(text), "the vendor answered with status %d", status);
        answer(probe, false, "answer", text, status);
    }
}

static void send_head(struct probe *probe)
{
    struct conn *conn = fetch_conn(&probe->fetch);
    probe->connected_ns = probe->prober->net->loop->now_ns;
    if (!conn_tx_copy(conn, span_of(probe->head, probe->head_len))) {
        answer(probe, false, "connect", err_text(ERR_OVERLOADED), 0);
        return;
    }
    fetch_sent(&probe->fetch, HTTP_GET);
    probe->step = PROBE_HEAD;
}

static void run(struct task *task)
{
    struct probe *probe = container_of(task, struct probe, task);
    struct err err = OK;
    if (probe->ended)
        return;
    if (probe->timer.deadline_ns == 0) {
        answer(probe, false, probe->step == PROBE_CONNECT ? "connect" : "answer",
               "the vendor did not answer in time", 0);
        return;
    }
    if (probe->step == PROBE_CONNECT) {
        switch (fetch_connect(&probe->fetch, &err)) {
        case PARSE_MORE: return;
        case PARSE_DONE: send_head(probe); return;
        case PARSE_BAD:
            answer(probe, false, "connect", err_text((enum err_code)err.code), 0);
            return;
        case PARSE_DATA: break;
        }
        bug("a connection has no pieces");
    }
    struct http_head head;
    size_t used;
    switch (fetch_head(&probe->fetch, NULL, &head, &used, &err)) {
    case PARSE_MORE: return;
    case PARSE_DONE: judge(probe, head.status); return;
    case PARSE_BAD: answer(probe, false, "answer", err_text((enum err_code)err.code), 0); return;
    case PARSE_DATA: break;
    }
    bug("a head has no pieces");
}

static void on_timeout(struct timer *timer)
{
    struct probe *probe = container_of(timer, struct probe, timer);
    loop_ready(probe->prober->net->loop, &probe->task);
}

struct err prober_init(struct prober *prober, struct net *net, struct publisher *publisher,
                       const struct config *config)
{
    *prober = (struct prober){ .net = net, .publisher = publisher, .total_ns = TEST_NS };
    prober_limit(prober, config);
    list_init(&prober->live);
    return upool_init(&prober->pool, net, NS_PER_S, 0, PROBES_MAX);
}

void prober_limit(struct prober *prober, const struct config *config)
{
    prober->limits = (struct dial_limits){
        .dns_ns = config->timeouts.dns_ns,
        .connect_ns = config->timeouts.connect_ns,
        .handshake_ns = config->timeouts.handshake_ns,
    };
}

void prober_stop(struct prober *prober)
{
    while (!list_is_empty(&prober->live))
        answer(container_of(prober->live.next, struct probe, link), false, "connect",
               err_text(ERR_DRAINING), 0);
}

void prober_fini(struct prober *prober)
{
    assert(prober->count == 0);
    upool_fini(&prober->pool);
}

// The request's head, written the way the relay writes one.
static bool write_head(struct probe *probe, const struct snap_account *account)
{
    struct put out = put_into(probe->head, sizeof(probe->head));
    const struct provider *provider = provider_of(account->type);
    const struct provider_call call = { .op = OP_MODELS, .path = account->path };
    put_span(&out, SPAN("GET "));
    provider->target(&call, &out);
    put_span(&out, SPAN(" HTTP/1.1\r\n"));
    put_span(&out, secret_reveal(account->lines));
    http_put_field(&out, SPAN("accept"), SPAN("application/json"));
    http_put_field(&out, SPAN("accept-encoding"), SPAN("identity"));
    http_put_field(&out, SPAN("user-agent"), SPAN("penstock/" PENSTOCK_VERSION));
    http_put_field(&out, SPAN("connection"), SPAN("close"));
    provider->fields(account, SPAN_NONE, &out);
    put_span(&out, SPAN("\r\n"));
    probe->head_len = put_done(&out).len;
    return !out.full;
}

bool prober_start(struct prober *prober, struct api_call *call, const struct snap_account *account)
{
    if (prober->count >= PROBES_MAX)
        return false;
    struct probe *probe = mem_take(1, sizeof(*probe));
    if (probe == NULL)
        return false;
    if (!write_head(probe, account)) {
        bytes_wipe(probe->head, sizeof(probe->head));
        mem_give(probe);
        return false;
    }
    struct loop *loop = prober->net->loop;
    probe->prober = prober;
    probe->call = call;
    probe->began_ns = loop->now_ns;
    probe->timer.on_fire = on_timeout;
    task_init(&probe->task, run);
    list_init(&probe->link);
    list_push_back(&prober->live, &probe->link);
    prober->count++;
    timer_arm(&loop->wheel, &probe->timer, loop->now_ns + prober->total_ns);
    fetch_start(&probe->fetch, prober->net, &prober->pool, prober->publisher->dests, account->dest,
                &prober->limits, true, &probe->task);
    return true;
}

enum api_next api_account_test(struct api_call *call)
{
    struct prober *prober = call->api->prober;
    const struct entity *entity =
        registry_get(call->api->registry, ENTITY_ACCOUNT, span_str(call->id));
    if (entity == NULL)
        return api_problem(call, ERR(NOT_FOUND), NULL, NULL);
    if (prober == NULL)
        return api_problem(call, ERR(NOT_FOUND), "only a running gateway tests accounts", NULL);
    const struct snap_account *account = snapshot_account_by_name(
        snap_hub_current(prober->publisher->hub), entity_name(ENTITY_ACCOUNT, entity->record));
    if (account == NULL)
        return api_problem(call, ERR(NOT_FOUND), NULL, NULL);
    if (!prober_start(prober, call, account))
        return api_problem(call, ERR(OVERLOADED), "too many tests are under way", NULL);
    return API_LATER;
}
