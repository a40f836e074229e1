// reply.h - answers that the gateway itself gives; private to src/relay.
#ifndef PENSTOCK_RELAY_REPLY_H
#define PENSTOCK_RELAY_REPLY_H

#include "req.h"

// For a request that could not even be made.
void reply_early(struct shard *shard, struct stream *stream, struct span target, struct err err);
// For one that HTTP itself refuses.
void req_http_error(struct http_app *app, struct stream *stream, struct span target,
                    struct err err);
// The request's error as an answer, or inside its stream, or as a visible cut.
void reply_error(struct req *req);

#endif
