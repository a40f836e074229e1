// registry.h - accounts, keys, models and settings as they are in force: those that the
// configuration file declares, which change there only, and those in the store.
//
// One path for every change: it is read against what is there (field tables), what the shards would
// see of it is built, it is committed to stable storage, and only then it is shown: to those who
// ask the registry, and by a new snapshot to the shards. So whoever is told of a change finds it
// everywhere, and a change that could not be served is never stored. Changes are made one at a
// time, in the order in which they came; those of keys, which can always be served, share a
// snapshot when they come in a burst.
//
// The control thread owns a registry. Where the store runs on a thread of its own its answers come
// through a client; a command line that opened the store itself calls it directly.
#ifndef PENSTOCK_CTL_REGISTRY_H
#define PENSTOCK_CTL_REGISTRY_H

#include "penstock/acct/snapshot.h"
#include "penstock/ctl/config.h"
#include "penstock/model/entity.h"
#include "penstock/store/store.h"

enum {
    REGISTRY_OBJECTS_MAX = 200 * 1000, // of each kind, in file and store together
    CHANGE_ID_MAX = 64,
};

struct entity {
    struct record *record; // the registry's, or the configuration's
    uint64_t version;      // grows with each change; 0: from the file
    uint64_t usage_id;     // what stands for it in usage records
};
static inline bool entity_from_file(const struct entity *entity)
{
    return entity->version == 0;
}
struct span entity_id(enum entity_kind kind, const struct record *record);
struct span entity_name(enum entity_kind kind, const struct record *record);

struct registry;

struct registry_why {
    char text[STORE_WHY_MAX];
};

struct registry_cfg {
    struct env *env;
    struct vault *vault;
    const struct keyring *keyring;
    const struct config *config; // outlives the registry
    struct store *store;
    // Builds what the shards would see of `registry` with the change under way, and makes it
    // theirs (OVERLOADED: to be asked again). Both NULL: there are no shards.
    struct err (*build)(void *arg, const struct registry *registry, struct snapshot **out,
                        struct registry_why *why);
    struct err (*publish)(void *arg, struct snapshot **snap);
    // Called when registry_poll() has something to do; NULL: the caller polls.
    void (*wake)(void *arg);
    void *arg;
};

// Loads everything, from the thread that owns the store. `why` says what cannot be used.
must_use struct err registry_new(struct registry **out, const struct registry_cfg *cfg,
                                 struct registry_why *why);
// Changes that were not answered yet are not answered any more.
void registry_free(struct registry **registry);
// From now on the store is reached through this client only: its thread is about to run.
void registry_use_client(struct registry *registry, struct store_client *client);

uint32_t registry_count(const struct registry *registry, enum entity_kind kind);
// Objects of the store that an object of the file hides, since it has their id or name.
uint32_t registry_hidden(const struct registry *registry);
// NULL if there is none. Valid until the next registry_poll().
const struct entity *registry_get(const struct registry *registry, enum entity_kind kind,
                                  struct span id);
const struct entity *registry_by_name(const struct registry *registry, enum entity_kind kind,
                                      struct span name);
// The first entity whose id is greater than `after` (empty: the very first), in the order of ids.
const struct entity *registry_next(const struct registry *registry, enum entity_kind kind,
                                   struct span after);
// What a usage record's id stands for, also of an object that was removed; false: not known.
struct registry_name {
    struct span id, name;
    bool is_gone;
};
must_use bool registry_usage_name(const struct registry *registry, enum entity_kind kind,
                                  uint64_t usage_id, struct registry_name *out);

// Calls `fn` for each entity as it will be when the change under way has been made.
typedef struct err registry_fn(void *arg, const struct record *record, bool from_file);
must_use struct err registry_each_next(const struct registry *registry, enum entity_kind kind,
                                       registry_fn *fn, void *arg);
// Whether `record` is what the change under way makes.
bool registry_is_next(const struct registry *registry, const struct record *record);
// The credential of an account: its own, or what its api_key_file or api_key_env held at the start.
const struct secret *registry_api_key(const struct registry *registry,
                                      const struct account *account);

// --- changes ---

enum change_verb { CHANGE_CREATE, CHANGE_UPDATE, CHANGE_DELETE };

// Belongs to the registry from registry_submit() until `done` is called.
struct change {
    enum entity_kind kind;
    enum change_verb verb;
    char id[CHANGE_ID_MAX + 1]; // of an existing object
    const json_t *body;         // of CREATE and UPDATE; outlives the change
    uint64_t version;           // what must be there: STORE_ANY or an entity's version
    bool is_local;              // asked by the operator of this machine: addresses are trusted
    // Called by registry_poll(). `entity` (NULL after DELETE) and `problems` are valid during it.
    void (*done)(struct change *change);
    void *user;
    // How it went.
    struct err err;
    const struct problems *problems; // NULL, or what is wrong with the body
    char detail[256];                // for the operator; may be empty
    const struct entity *entity;
    bool has_key_text;
    char key_text[KEY_TEXT_LEN]; // of a new key: shown once, then wiped by change_fini()
    // The registry's own.
    struct list link;
};

void registry_submit(struct registry *registry, struct change *change);
void change_fini(struct change *change);

// --- other questions to the store ---

// Belongs to the registry until `done` is called.
struct registry_op {
    struct store_op op;
    void (*done)(struct registry_op *op);
    struct list link;
};
// False: too many are under way.
must_use bool registry_ask(struct registry *registry, struct registry_op *op);

// Goes on with what can go on and calls `done` of what has ended. True while a change waits only
// for a shard to take an older snapshot: it should be called again in a millisecond.
bool registry_poll(struct registry *registry);
// Puts the objects of `config` in the place of those that the file declared until now, for the
// shards as well. All or nothing: on failure everything is as it was, and `why` says what cannot be
// used. OVERLOADED: a change is under way, to be asked again. After success nothing of the older
// configuration is looked at any more. Pointers to entities end here, as with registry_poll().
must_use struct err registry_reload(struct registry *registry, const struct config *config,
                                    struct registry_why *why);
// How many objects of the file a reload would add, change and remove.
struct registry_diff {
    uint32_t added, changed, removed;
};
struct registry_diff registry_compare(const struct registry *registry, enum entity_kind kind,
                                      const struct config *config);
// Before the store's end: what is submitted from here on is answered with DRAINING.
void registry_close(struct registry *registry);
// Whether something was submitted and not answered.
bool registry_is_busy(const struct registry *registry);

#endif
