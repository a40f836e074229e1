#include "penstock/net/net.h"

#include "conn_tls.h"
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/mem.h"
#include "penstock/net/body.h"
#include "penstock/net/dial.h"

#define TRIM_NS NS_PER_S
#define TRIM_MORE_NS (UINT64_C(50) * NS_PER_MS)
enum { TRIM_BUFS_MAX = 2048 }; // at once: about half a millisecond

static void on_trim(struct timer *timer)
{
    struct net *net = container_of(timer, struct net, trim);
    if (!GUARD(NET_TRIM))
        return;
    extent_pool_trim(&net->extents);
    bool more = bufpool_trim(net->bufs, TRIM_BUFS_MAX);
    // Rests while there is nothing to trim; net_wake_trim() starts it again.
    net->trim_idle =
        more || net->conns.count_out > 0 || net->extents.kept_bytes > 0 ? 0 : net->trim_idle + 1;
    if (net->trim_idle < 2) // what was used in the last period is cold only after another
        timer_arm(&net->loop->wheel, timer, net->loop->now_ns + (more ? TRIM_MORE_NS : TRIM_NS));
}

void net_wake_trim(struct net *net)
{
    net->trim_idle = 0;
    if (net->trim.deadline_ns == 0)
        timer_arm(&net->loop->wheel, &net->trim, net->loop->now_ns + TRIM_NS);
}

struct err net_init(struct net *net, struct loop *loop, struct budget_process *budget,
                    uint32_t conns_max)
{
    memset(net, 0, sizeof(*net));
    net->loop = loop;
    net->io = loop->io;
    net->bufs = io_bufs(loop->io);
    net->scratch = mem_take(1, NET_SCRATCH);
    if (net->scratch == NULL)
        return ERR(NO_MEMORY);
    budget_init(&net->budget, budget);
    slab_init(&net->conns, sizeof(struct conn), conns_max);
    slab_init(&net->tls, sizeof(struct conn_tls), conns_max);
    slab_init(&net->bodies, sizeof(struct body), conns_max);
    slab_init(&net->dials, sizeof(struct dial), conns_max);
    net->trim.on_fire = on_trim;
    return OK;
}

struct tls_ctx *net_tls_client(struct net *net, struct tls_roots *roots)
{
    for (unsigned i = 0; i < NET_ROOTS_MAX; i++) {
        if (net->tls_clients[i].roots == roots)
            return net->tls_clients[i].ctx;
        if (net->tls_clients[i].roots != NULL)
            continue;
        const struct tls_client_config config = {
            .env = net->loop->env,
            .roots = roots,
            .session_max = net->conns.count_max,
            .resume_max = NET_RESUME_MAX,
        };
        char why[TLS_WHY_MAX];
        if (failed(tls_ctx_client(&net->tls_clients[i].ctx, &config, why)))
            return NULL;
        net->tls_clients[i].roots = roots; // lives as long as the destinations
        return net->tls_clients[i].ctx;
    }
    return NULL;
}

void net_fini(struct net *net)
{
    for (unsigned i = 0; i < NET_ROOTS_MAX; i++)
        if (net->tls_clients[i].ctx != NULL)
            tls_ctx_put(&net->tls_clients[i].ctx);
    tls_heap_trim();
    timer_stop(&net->loop->wheel, &net->trim);
    slab_fini(&net->conns);
    slab_fini(&net->tls);
    slab_fini(&net->bodies);
    slab_fini(&net->dials);
    extent_pool_fini(&net->extents);
    mem_give(net->scratch);
    net->scratch = NULL;
}
