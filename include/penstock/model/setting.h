// setting.h - a small piece of the gateway's own state that must survive a restart: the digest of
// the setup token, the chosen time zone of reports.
#ifndef PENSTOCK_MODEL_SETTING_H
#define PENSTOCK_MODEL_SETTING_H

#include "penstock/model/field.h"

struct setting {
    struct record record;
    struct span id, name; // the id of a setting is its name
    struct span value;
    struct secret *secret;
    uint64_t updated_at;
};
extern const struct table setting_table;

#endif
