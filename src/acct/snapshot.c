// Reading a snapshot: what the request path does. Nothing here allocates, locks or writes.
#include "penstock/base/guard.h"
#include "snapshot_impl.h"

struct snapshot *snapshot_new(uint64_t generation)
{
    struct region region;
    region_init(&region, 8 * KIB);
    struct snapshot *snap = REGION_NEW(&region, struct snapshot);
    snap->generation = generation;
    snap->region = region;
    return snap;
}

void snapshot_free(struct snapshot **snap)
{
    if (*snap == NULL)
        return;
    for (uint32_t i = 0; i < (*snap)->account_count; i++)
        secret_free(&(*snap)->lines[i]);
    secret_free(&(*snap)->hasher);
    struct region region = (*snap)->region; // which the snapshot itself lies in
    region_fini(&region);
    *snap = NULL;
}

uint64_t snapshot_generation(const struct snapshot *snap)
{
    return snap->generation;
}

uint32_t snapshot_account_count(const struct snapshot *snap)
{
    return snap->account_count;
}

uint32_t snapshot_key_count(const struct snapshot *snap)
{
    return snap->key_count;
}

uint32_t snapshot_serving(const struct snapshot *snap, enum format format)
{
    return snap->serving[format];
}

const struct snap_account *snapshot_account(const struct snapshot *snap, uint32_t idx)
{
    assert(idx < snap->account_count);
    return &snap->accounts[idx];
}

const struct snap_account *snapshot_account_by_name(const struct snapshot *snap, struct span name)
{
    const uint32_t idx = index_find(&snap->account_names, name);
    return idx != INDEX_NONE ? &snap->accounts[idx] : NULL;
}

const struct snap_key *snapshot_key(const struct snapshot *snap, const uint8_t digest[DIGEST_BYTES])
{
    if (snap->probes == NULL)
        return NULL;
    // The digest is keyed, so that where it falls and where the walk ends tells nothing of any key.
    const uint32_t tag = digest_tag(digest);
    for (uint32_t at = digest_home(digest, snap->probe_mask);; at = (at + 1) & snap->probe_mask) {
        const struct key_probe probe = snap->probes[at];
        if (probe.idx == 0)
            return NULL;
        if (probe.tag != tag)
            continue;
        const struct snap_key *key = &snap->keys[probe.idx - 1];
        if (key_digest_eq(key->digest, digest))
            return key;
    }
}

struct err snapshot_digest(const struct snapshot *snap, struct span text,
                           uint8_t digest[DIGEST_BYTES])
{
    if (!key_text_check(text) || snap->hasher == NULL)
        return ERR(KEY_INVALID);
    key_digest((const struct key_hasher *)(const void *)secret_reveal(snap->hasher).ptr, text,
               digest);
    return OK;
}

static struct err usable(const struct snap_key *key, uint64_t wall_ns)
{
    if (!key->enabled && GUARD(KEY_ENABLED))
        return ERR(KEY_DISABLED);
    if (key->expires_at != 0 && wall_ns >= key->expires_at && GUARD(KEY_EXPIRY))
        return ERR(KEY_EXPIRED);
    return OK;
}

struct err snapshot_auth(const struct snapshot *snap, const uint8_t digest[DIGEST_BYTES],
                         uint64_t wall_ns, const struct snap_key **out)
{
    *out = snapshot_key(snap, digest);
    return *out != NULL ? usable(*out, wall_ns) : ERR(KEY_INVALID);
}

static bool allows_model(const struct snap_key *key, struct span model)
{
    bool found = key->model_count == 0;
    for (uint32_t i = 0; i < key->model_count && !found; i++)
        found = model_pattern_matches(key->models[i], model);
    return found;
}

struct err snap_key_allows(const struct snap_key *key, enum format format, struct span model)
{
    assert(format < FORMAT_COUNT);
    if ((key->formats & BIT(format)) == 0 && GUARD(KEY_FORMATS))
        return ERR(FORMAT_FORBIDDEN);
    if (model.len > 0 && !allows_model(key, model) && GUARD(KEY_MODELS))
        return ERR(MODEL_UNKNOWN);
    return OK;
}

struct snap_route snapshot_route(const struct snapshot *snap, enum format format, struct span model)
{
    assert(format < FORMAT_COUNT);
    const struct snap_routes *routes = &snap->routes[format];
    if (model.len == 0 || model.len > MODEL_NAME_MAX)
        return (struct snap_route){ .count = 0 };
    const uint32_t exact = index_find(&routes->exact, model);
    if (likely(exact != INDEX_NONE))
        return routes->routes[exact];
    // One pass gives the hash of the name and of all its beginnings.
    const struct snap_route *found = NULL;
    uint32_t hash = INDEX_SEED;
    for (size_t len = 0; len <= model.len; len++) {
        if (len > 0)
            hash = index_hash_byte(hash, (unsigned char)model.ptr[len - 1]);
        if (likely(!has_len(routes, len)))
            continue;
        const uint32_t idx = index_find_hashed(&routes->prefix, span_upto(model, len), hash);
        if (idx != INDEX_NONE)
            found = &routes->routes[idx]; // the longest comes last
    }
    return found != NULL ? *found : (struct snap_route){ .count = 0 };
}

static bool shows(const struct snap_model *model, const struct snap_key *key, uint32_t formats)
{
    return (model->formats & formats & key->formats) != 0 && allows_model(key, model->name);
}

const struct snap_model *snapshot_model_next(const struct snapshot *snap,
                                             const struct snap_key *key, uint32_t formats,
                                             uint32_t *cursor)
{
    while (*cursor < snap->model_count) {
        const struct snap_model *model = &snap->models[(*cursor)++];
        if (shows(model, key, formats))
            return model;
    }
    return NULL;
}

const struct snap_model *snapshot_model(const struct snapshot *snap, const struct snap_key *key,
                                        uint32_t formats, struct span name)
{
    uint32_t low = 0, high = snap->model_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const struct snap_model *model = &snap->models[middle];
        const int order = span_order(name, model->name);
        if (order == 0)
            return shows(model, key, formats) ? model : NULL;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
