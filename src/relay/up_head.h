// up_head.h - the request head for a vendor; private to src/relay.
//
// Clients repeat their heads, so what one of them led to is kept beside the shard's other habits: a
// request under the same head, for the same account of the same snapshot, differs from it in the
// body's length alone. The account's lines, which hold its secret, are not kept; they come from the
// snapshot each time.
#ifndef PENSTOCK_RELAY_UP_HEAD_H
#define PENSTOCK_RELAY_UP_HEAD_H

#include "req.h"

// Writes `up_head`, the whole head. It holds the account's secret from here to the arena's wipe.
must_use struct err up_head_write(struct req *req, const struct snap_account *account);

#endif
