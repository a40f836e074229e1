// store_scene.h - a store on a clock that the test owns, and what it must add up to.
#ifndef PENSTOCK_TEST_STORE_SCENE_H
#define PENSTOCK_TEST_STORE_SCENE_H

#include "penstock/base/env.h"
#include "store_util.h"

struct scene {
    struct place place;
    struct env_fake fake;
    struct store_cfg cfg;
    struct store *store;
    uint64_t pushed;
    struct usage_sums sums;
};

static inline void scene_init(struct scene *scene)
{
    *scene = (struct scene){ 0 };
    place_init(&scene->place);
    env_fake_init(&scene->fake, 1);
    scene->cfg = place_cfg(&scene->place, &scene->fake.env);
    scene->cfg.shard_count = 1;
    scene->store = must_open(&scene->cfg);
}

static inline void scene_fini(struct scene *scene)
{
    store_close(&scene->store);
    place_fini(&scene->place);
}

static inline void push_many(struct scene *scene, uint64_t count)
{
    struct usage_port *port = store_port(scene->store, 0);
    for (uint64_t i = 0; i < count; i++) {
        struct usage_record record = record_of(scene->pushed++, scene->fake.wall);
        usage_port_push(port, &record);
        struct usage_sums one;
        usage_sums_of(&record, &one);
        usage_sums_add(&scene->sums, &one);
        if (i % 100 == 99) {
            env_fake_advance(&scene->fake, NS_PER_MS);
            store_step(scene->store);
        }
    }
    usage_port_kick(port);
    store_step(scene->store);
}

static inline void steps(struct scene *scene, uint64_t seconds)
{
    for (uint64_t i = 0; i < seconds * 10; i++) {
        env_fake_advance(&scene->fake, 100 * NS_PER_MS);
        usage_port_kick(store_port(scene->store, 0));
        while (store_step(scene->store) == 0)
            ;
    }
}

static inline struct store_stats stats_of(struct scene *scene)
{
    struct store_stats stats;
    store_stats(scene->store, &stats);
    return stats;
}

static inline void expect_sums(struct scene *scene)
{
    struct usage_sums sums = total_of(scene->store);
    EXPECT(sums_eq(&sums, &scene->sums));
}

static inline struct err commit(struct scene *scene, const char *key, const char *value)
{
    uint64_t version;
    const struct store_change change = { STORE_KEY, span_str(key),
                                         value != NULL ? span_str(value) : SPAN_NONE, STORE_ANY };
    return store_commit(scene->store, &change, 1, &version);
}

struct listing {
    char text[4000];
};

static inline bool list_one(void *arg, const struct store_entity *entity)
{
    struct listing *listing = arg;
    size_t len = strlen(listing->text);
    snprintf(listing->text + len, sizeof(listing->text) - len, "%.*s=%.*s;", (int)entity->key.len,
             entity->key.ptr, (int)entity->value.len, entity->value.ptr);
    return true;
}

static inline struct err list(struct store *store, struct listing *listing)
{
    listing->text[0] = '\0';
    return store_scan(store, STORE_KEY, list_one, listing);
}

static inline void copy_dir(const char *from, const char *to)
{
    char command[1300];
    snprintf(command, sizeof(command), "rm -rf '%.400s' && cp -a '%.400s' '%.400s'", to, from, to);
    if (system(command) != 0)
        abort();
}

static inline bool count_key(void *arg, const struct store_entity *entity)
{
    (void)entity;
    ++*(uint64_t *)arg;
    return true;
}

#endif
