// certs.h - the certificates and ticket keys of a listener, shared by all threads that serve it.
//
// The control thread loads and replaces them; each serving thread makes a context of its own when
// it sees a new generation, so a reload closes nothing: connections that are open keep the context
// they began with.
#ifndef PENSTOCK_NET_CERTS_H
#define PENSTOCK_NET_CERTS_H

#include "penstock/net/tls.h"

enum { CERTS_MAX = 64, CERTS_FILE_MAX = 1 * MIB };

struct certs;

must_use struct err certs_new(struct certs **out);
// No thread may use it any more. Wipes the keys.
void certs_free(struct certs **certs);

// Takes over copies of `list` if all of them can be used; otherwise nothing changes and `why`
// (TLS_WHY_MAX bytes) says what is wrong. Control thread.
must_use struct err certs_load(struct certs *certs, const struct tls_certificate *list,
                               size_t count, struct env *env, char *why);
// The same from files: `paths` holds `count` pairs of a chain's and a key's path.
must_use struct err certs_load_files(struct certs *certs, const struct span (*paths)[2],
                                     size_t count, struct env *env, char *why);
// A fresh ticket key; the one before still opens what it sealed. Control thread, once a day.
void certs_rotate_tickets(struct certs *certs, struct env *env);

// Until when the certificates hold, in the order in which they were loaded: their number, and in
// `out` for each the nanoseconds since 1970, 0 if unknown.
uint32_t certs_expiries(struct certs *certs, uint64_t out[CERTS_MAX]);

// What a thread compares with the generation of the context it has; a plain load.
uint32_t certs_generation(const struct certs *certs);
// A context for the calling thread, which owns it, and its generation.
must_use struct err certs_context(struct certs *certs, struct env *env, size_t session_max,
                                  struct tls_ctx **out, uint32_t *generation);

#endif
