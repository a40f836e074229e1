// names.h - the names of models: records carry a hash, the store keeps each name once.
//
// Names come from clients, so their number is bounded; what is over the bound counts as
// USAGE_MODEL_OTHER. A name is written in the batch of the first block that uses it.
#ifndef PENSTOCK_STORE_NAMES_H
#define PENSTOCK_STORE_NAMES_H

#include "db.h"

struct name {
    uint64_t id;
    uint8_t len;
    char text[USAGE_MODEL_MAX];
};

struct names {
    uint64_t *ids; // a set: open addressing, at most half full
    uint32_t cap, count, count_max;
    struct name *fresh; // not written yet
    uint32_t fresh_count, fresh_cap;
};

must_use struct err names_load(struct names *names, struct db *db, uint32_t count_max);
void names_fini(struct names *names);
// The id to count under: `id`, or USAGE_MODEL_OTHER. Notes the name if it is new.
uint64_t names_note(struct names *names, uint64_t id, struct span text);
void names_put(struct names *names, struct db *db, struct rocksdb_writebatch_t *batch);
void names_written(struct names *names); // the batch of names_put() is committed
// The name of an id, empty if it is not known. Returns its length.
uint8_t names_text(const struct names *names, struct db *db, uint64_t id,
                   char out[USAGE_MODEL_MAX]);

#endif
