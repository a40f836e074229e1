// entity.h - the kinds of records, their ids and names.
#ifndef PENSTOCK_MODEL_ENTITY_H
#define PENSTOCK_MODEL_ENTITY_H

#include "penstock/base/env.h"
#include "penstock/model/account.h"
#include "penstock/model/key.h"
#include "penstock/model/route.h"
#include "penstock/model/setting.h"

enum entity_kind { ENTITY_ACCOUNT, ENTITY_KEY, ENTITY_ROUTE, ENTITY_SETTING, ENTITY_COUNT };

extern const struct table *const entity_tables[ENTITY_COUNT];

// "acc_" and 19 base62 characters: at random for what the API makes, from the name for what the
// configuration file declares, so that such an object keeps its id over restarts.
enum { ENTITY_ID_MAX = 32 };
struct span entity_id_random(const struct table *table, struct env *env, char out[ENTITY_ID_MAX]);
struct span entity_id_of_name(const struct table *table, struct span name, char out[ENTITY_ID_MAX]);

#endif
