// reply.h - answers that the gateway itself gives; private to src/relay.
#ifndef PENSTOCK_RELAY_REPLY_H
#define PENSTOCK_RELAY_REPLY_H

#include "req.h"

// Renders an error in the form of `family` into `out` and returns its length; *status is what goes
// with it.
size_t reply_render(enum wire_family family, struct err err, struct span detail, struct span id,
                    char *out, size_t cap, int *status);
// For a request that could not even be made.
void reply_early(struct shard *shard, struct stream *stream, struct span target, struct err err);
// The request's error as an answer, or inside its stream, or as a visible cut.
void reply_error(struct req *req);

#endif
