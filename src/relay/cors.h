// cors.h - whether a browser's page may call here; private to src/relay.
#ifndef PENSTOCK_RELAY_CORS_H
#define PENSTOCK_RELAY_CORS_H

#include "req.h"

// The Origin of a request if it is one of those configured, else empty. A view of the head.
struct span cors_origin(const struct shard *shard, const struct http_head *head);
// Answers a preflight from a configured origin, which needs no key. False: it is none.
bool cors_preflight(struct shard *shard, struct stream *stream, const struct http_head *head);
// The fields of an answer that a page at `origin` may read; nothing for an empty one.
void cors_fields(struct put *out, struct span origin);

#endif
