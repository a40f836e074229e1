// lack.h - operations that a vendor does not have for a model: asked once, remembered for a while;
// private to src/relay.
//
// Of two operations it makes a difference: tokens are estimated where nobody counts them (C-059),
// and OpenAI's old completions are made of chat where a vendor only chats.
#ifndef PENSTOCK_RELAY_LACK_H
#define PENSTOCK_RELAY_LACK_H

#include "req.h"

#define LACK_NS (UINT64_C(600) * NS_PER_S)

// Whether the vendor said lately that it has no such operation for this name of the model.
bool lack_is_known(const struct req *req, const struct snap_account *account,
                   struct span vendor_model);
// The account that was asked has not.
void lack_note(struct req *req);

#endif
