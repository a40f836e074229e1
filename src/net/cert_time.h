// cert_time.h - until when a certificate holds; private to src/net. A file of its own, since the
// headers of the two TLS libraries do not go together.
#ifndef PENSTOCK_NET_CERT_TIME_H
#define PENSTOCK_NET_CERT_TIME_H

#include "penstock/base/base.h"

// Of the first certificate of a chain in PEM: nanoseconds since 1970, 0 if it cannot be told.
uint64_t cert_expires_ns(struct span pem);

#endif
