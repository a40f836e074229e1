// metrics.h - figures as Prometheus reads them (text format 0.0.4).
//
// Names are stable API; docs/metrics.md lists them all, and a test compares. Labels come from
// closed sets only: routes, kinds of tokens, error names, what the configuration names.
#ifndef PENSTOCK_CTL_METRICS_H
#define PENSTOCK_CTL_METRICS_H

#include "penstock/ctl/api.h"

void metrics_write(struct api *api, struct text *out);

#endif
