// registry_impl.h - what registry.c and registry_change.c share.
#ifndef PENSTOCK_CTL_REGISTRY_IMPL_H
#define PENSTOCK_CTL_REGISTRY_IMPL_H

#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/ctl/registry.h"

// Entities of a kind, three times: in the order of their ids, of their names, and of the ids that
// stand for them in usage records.
struct entities {
    struct entity **by_id, **by_name, **by_usage;
    uint32_t count, cap;
};

// A removed object, so that reports can still name it: a setting of this form.
#define GONE_PREFIX "gone-"

enum change_phase {
    PHASE_IDLE,
    PHASE_COMMIT,  // the store has it
    PHASE_PUBLISH, // durable; the shards get it
};

struct api_key_of { // of an account whose key stands elsewhere
    const struct account *account;
    struct secret *secret;
};

// What one configuration and the store hold together.
struct contents {
    struct entities kinds[ENTITY_COUNT];
    struct entities hidden[ENTITY_COUNT]; // of the store; only by_id, in no order
    struct api_key_of *api_keys;
    uint32_t api_key_count;
};

struct registry {
    struct registry_cfg cfg;
    struct store_client *client;
    struct contents now;
    struct key_hasher hasher;
    struct list queue; // changes that wait; one a connection of the admin side
    struct list ended; // operations that were called directly
    // Changes of keys that are committed and not yet before the shards: a burst of them costs one
    // snapshot.
    struct list applied;
    uint32_t applied_count;
    uint32_t asked;
    bool is_closed;
    // The change under way.
    struct change *change;
    enum change_phase phase;
    struct record *next; // what it makes; NULL: it removes
    struct snapshot *snap;
    struct store_change parts[2];
    struct text packed, gone;
    char gone_id[CHANGE_ID_MAX + 1];
    struct record *gone_record;
    struct registry_op op;
    struct problems problems;
};

enum store_kind store_kind_of(enum entity_kind kind);
struct entity *entities_find(const struct entities *list, enum entity_kind kind, struct span id);
struct entity *entities_named(const struct entities *list, enum entity_kind kind, struct span name);
// At the end, whatever the order; entities_sort() then puts the arrays in order.
void entities_append(struct entities *list, enum entity_kind kind, const struct entity *entity);
void entities_sort(struct entities *list, enum entity_kind kind);
// Lets go of the arrays and of the entities, but not of their records.
void entities_free(struct entities *list);
// Takes the record. Nothing of its id or name may be there.
void entities_add(struct entities *list, enum entity_kind kind, const struct entity *entity);
// The record is the caller's again.
void entities_remove(struct entities *list, enum entity_kind kind, struct entity *entity);

// Everything that the configuration and the store hold, from the store's own thread.
must_use struct err contents_load(struct registry *registry, struct registry_why *why);
// With the records of the store.
void contents_free(struct contents *contents);

// The setting that keeps id and name of a removed object.
struct record *gone_setting(struct registry *registry, enum entity_kind kind,
                            const struct entity *entity, char id[CHANGE_ID_MAX + 1]);

#endif
