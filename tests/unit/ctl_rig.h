// ctl_rig.h - what the control plane's tests share: a configuration, keys, a store of its own, a
// registry over them, and shards that are played.
#ifndef PENSTOCK_TEST_CTL_RIG_H
#define PENSTOCK_TEST_CTL_RIG_H

#include "penstock/ctl/api.h"
#include "test.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

struct rig {
    char dir[256], store_dir[300];
    struct vault *vault;
    struct keyring keyring;
    struct config *config;
    struct store *store;
    struct registry *registry;
    // What the played shards do.
    int busy;        // times that publishing is refused
    bool unservable; // nothing can be built
    int builds, published;
    uint32_t accounts, keys, routes; // in the last snapshot that was built
    bool has_shards;
};

static struct err rig_count(void *arg, const struct record *record, bool from_file)
{
    (void)record, (void)from_file;
    ++*(uint32_t *)arg;
    return OK;
}

static struct err rig_build(void *arg, const struct registry *registry, struct snapshot **out,
                            struct registry_why *why)
{
    struct rig *rig = arg;
    if (rig->unservable) {
        fit_printf(why->text, sizeof(why->text), "it cannot be served");
        return ERR(INVALID);
    }
    rig->builds++;
    rig->accounts = rig->keys = rig->routes = 0;
    TRY(registry_each_next(registry, ENTITY_ACCOUNT, rig_count, &rig->accounts));
    TRY(registry_each_next(registry, ENTITY_KEY, rig_count, &rig->keys));
    TRY(registry_each_next(registry, ENTITY_ROUTE, rig_count, &rig->routes));
    struct slots *slots;
    struct snap_builder *builder;
    TRY(slots_new(&slots, 1));
    TRY(snap_builder_new(&builder, &rig->keyring, rig->vault, slots, 1));
    struct err err = snap_builder_finish(&builder, out);
    slots_free(&slots);
    return err;
}

static struct err rig_publish(void *arg, struct snapshot **snap)
{
    struct rig *rig = arg;
    if (rig->busy > 0) {
        rig->busy--;
        return ERR(OVERLOADED);
    }
    rig->published++;
    snapshot_free(snap);
    return OK;
}

static const char *rig_env(struct config_world *world, const char *name)
{
    (void)world, (void)name;
    return NULL;
}
static const char *rig_env_at(struct config_world *world, size_t i)
{
    (void)world, (void)i;
    return NULL;
}
static int rig_read(struct config_world *world, const char *path, size_t max, struct text *out,
                    struct config_stat *stat)
{
    (void)world, (void)path, (void)max, (void)out, (void)stat;
    return 2;
}

static inline struct store_cfg rig_store_cfg(const struct rig *rig)
{
    struct store_cfg cfg;
    store_cfg_init(&cfg);
    cfg.dir = rig->store_dir;
    cfg.ring_slots = 1024;
    cfg.disk_min_bytes = 0;
    return cfg;
}

static inline void rig_open(struct rig *rig)
{
    const struct store_cfg cfg = rig_store_cfg(rig);
    struct store_why store_why;
    if (failed(store_open(&cfg, &rig->store, &store_why))) {
        fprintf(stderr, "store_open: %s\n", store_why.text);
        abort();
    }
    const struct registry_cfg registry = {
        .env = env_system(),
        .vault = rig->vault,
        .keyring = &rig->keyring,
        .config = rig->config,
        .store = rig->store,
        .build = rig->has_shards ? rig_build : NULL,
        .publish = rig->has_shards ? rig_publish : NULL,
        .arg = rig,
    };
    struct registry_why why;
    if (failed(registry_new(&rig->registry, &registry, &why))) {
        fprintf(stderr, "registry_new: %s\n", why.text);
        abort();
    }
}

static inline void rig_close(struct rig *rig)
{
    registry_free(&rig->registry);
    store_close(&rig->store);
}

static inline void rig_init(struct rig *rig, const char *yaml)
{
    static struct problems problems;
    struct config_world world = { rig_env, rig_env_at, rig_read, 1000 };
    memset(rig, 0, sizeof(*rig));
    const char *base = getenv("TMPDIR");
    snprintf(rig->dir, sizeof(rig->dir), "%.200s/penstock-test-XXXXXX",
             base != NULL ? base : "/tmp");
    if (mkdtemp(rig->dir) == NULL)
        abort();
    snprintf(rig->store_dir, sizeof(rig->store_dir), "%s/db", rig->dir);
    problems_init(&problems);
    if (failed(vault_new(&rig->vault)))
        abort();
    struct secret *master = secret_new(rig->vault, SPAN("0123456789abcdef0123456789abcdef"));
    if (failed(keyring_init(&rig->keyring, rig->vault, master)))
        abort();
    secret_free(&master);
    rig->config = config_load(span_str(yaml), "test", rig->vault, &world, &problems);
    if (rig->config == NULL) {
        fprintf(stderr, "config: %s\n", problems.items[0].text);
        abort();
    }
    rig->has_shards = true;
    rig_open(rig);
}

static inline int rig_remove_one(const char *path, const struct stat *stat, int type,
                                 struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static inline void rig_fini(struct rig *rig)
{
    rig_close(rig);
    config_free(&rig->config);
    keyring_fini(&rig->keyring);
    vault_free(&rig->vault);
    nftw(rig->dir, rig_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
