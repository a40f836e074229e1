// prober.h - tests an account: reaches its vendor the way requests do, and asks for the vendor's
// list of models with the account's credential. Costs nothing at the vendor.
#ifndef PENSTOCK_CTL_PROBER_H
#define PENSTOCK_CTL_PROBER_H

#include "penstock/ctl/api.h"
#include "penstock/ctl/publish.h"
#include "penstock/http/client.h"

enum { PROBES_MAX = 16 };

struct prober {
    struct net *net;
    struct upool pool; // required by a fetch; nothing is ever kept in it
    struct publisher *publisher;
    struct dial_limits limits;
    uint64_t total_ns; // for the whole test
    struct list live;
    uint32_t count;
};

must_use struct err prober_init(struct prober *prober, struct net *net, struct publisher *publisher,
                                const struct config *config);
// Other limits, for tests from now on.
void prober_limit(struct prober *prober, const struct config *config);
// Ends every test; each call is answered.
void prober_stop(struct prober *prober);
void prober_fini(struct prober *prober);

// Answers `call` later through api_finish(). False: too many tests are under way.
must_use bool prober_start(struct prober *prober, struct api_call *call,
                           const struct snap_account *account);

#endif
