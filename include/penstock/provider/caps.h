// caps.h - what an account's model can do, as far as it decides how a request is rendered for it.
#ifndef PENSTOCK_PROVIDER_CAPS_H
#define PENSTOCK_PROVIDER_CAPS_H

#include "penstock/acct/snapshot.h"
#include "penstock/convert/caps.h"

// `model` is the vendor's name for it. A name that is not known counts as a current model of the
// account's kind.
struct caps provider_caps(const struct snap_account *account, enum format format,
                          struct span model);

#endif
