// Building a snapshot from records: accounts with what is sent to them, keys by their digest.
#include "snapshot_build.h"
#include "penstock/base/guard.h"
#include "penstock/codec/http1_write.h"
#include "penstock/model/usage_record.h"

#include <stdlib.h>

struct err snap_builder_new(struct snap_builder **out, const struct keyring *keyring,
                            struct vault *vault, struct slots *slots, uint64_t generation)
{
    struct region scratch;
    region_init(&scratch, 16 * KIB);
    struct snap_builder *builder = REGION_NEW(&scratch, struct snap_builder);
    builder->scratch = scratch;
    builder->vault = vault;
    builder->slots = slots;
    builder->snap = snapshot_new(generation);
    builder->snap->hasher = secret_blank(vault, sizeof(struct key_hasher));
    *out = builder;
    if (builder->snap->hasher != NULL) {
        key_hasher_init((struct key_hasher *)(void *)secret_bytes(builder->snap->hasher),
                        keyring->lookup);
        return OK;
    }
    snap_builder_free(out);
    return ERR(NO_MEMORY);
}

void snap_builder_free(struct snap_builder **builder)
{
    if (*builder == NULL)
        return;
    for (uint32_t i = 0; i < (*builder)->account_count; i++)
        secret_free(&(*builder)->accounts[i]->lines);
    snapshot_free(&(*builder)->snap);
    struct region scratch = (*builder)->scratch; // which the builder itself lies in
    region_fini(&scratch);
    *builder = NULL;
}

void snap_builder_convert(struct snap_builder *builder, uint32_t formats)
{
    assert(builder->account_count == 0);
    builder->converts = formats & FORMATS_ALL;
}

static struct span dup_lower(struct region *region, struct span text)
{
    struct span copy = region_dup(region, text);
    char *bytes = (char *)copy.ptr;
    for (size_t i = 0; i < copy.len; i++)
        if (bytes[i] >= 'A' && bytes[i] <= 'Z')
            bytes[i] = (char)(bytes[i] | 0x20);
    return copy;
}

static struct err set_address(struct snap_account *snap, const struct account *account,
                              struct region *region)
{
    const struct account_type_info *info = account_type_info(snap->type);
    struct span text = account->base_url;
    struct base_url url;
    if (text.len == 0 && info->base_url != NULL)
        text = span_str(info->base_url);
    if (base_url_parse(text, &url) != NULL)
        return ERR(INVALID);
    snap->host = dup_lower(region, url.host);
    snap->port = url.port;
    snap->tls = url.tls;
    snap->path = region_dup(region, url.path);
    snap->server_name =
        account->server_name.len > 0 ? dup_lower(region, account->server_name) : snap->host;
    return OK;
}

// Name and prefix of the header that carries the credential.
static void auth_form(const struct account *account, struct span key, const char **name,
                      const char **prefix)
{
    const struct account_type_info *info = account_type_info((enum account_type)account->type);
    enum account_auth auth = (enum account_auth)account->auth;
    if (auth == AUTH_AUTO && account->type == ACCOUNT_ANTHROPIC && account->base_url.len > 0 &&
        !span_starts(key, SPAN("sk-ant-")))
        auth = AUTH_BEARER;
    *name = info->auth_name;
    *prefix = info->auth_prefix;
    switch (auth) {
    case AUTH_AUTO:
    case AUTH_NONE: return;
    case AUTH_BEARER:
        *name = "authorization";
        *prefix = "Bearer ";
        return;
    case AUTH_X_API_KEY:
        *name = "x-api-key";
        *prefix = "";
        return;
    case AUTH_API_KEY:
        *name = "api-key";
        *prefix = "";
        return;
    }
    bug("account_auth out of range");
}

// What a header value may hold. Keys read from files were not checked before.
static bool is_field_value(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
    return text.len > 0 && text.ptr[0] != ' ' && text.ptr[text.len - 1] != ' ';
}

static struct span host_field(const struct snap_account *snap, struct region *region)
{
    const bool is_ipv6 = span_find(snap->host, ':') < snap->host.len;
    const char *open = is_ipv6 ? "[" : "", *close = is_ipv6 ? "]" : "";
    if (snap->port == (snap->tls ? 443 : 80))
        return region_printf(region, "%s%s%s", open, snap->host.ptr, close);
    return region_printf(region, "%s%s%s:%u", open, snap->host.ptr, close, snap->port);
}

static size_t lines_size(struct span host, struct span auth, const struct account *account)
{
    enum { FIELD_BYTES = 4, NAME_MAX = 32 }; // around a value; of the names of ours
    size_t size = host.len + auth.len + 2 * (NAME_MAX + FIELD_BYTES) + strlen("Bearer ");
    for (uint32_t i = 0; i < account->headers.count; i++)
        size +=
            account->headers.items[i].key.len + account->headers.items[i].value.len + FIELD_BYTES;
    return size;
}

// Writes what a request to this account always begins with.
static struct err set_lines(struct snap_builder *builder, struct build_account *build,
                            const struct account *account, const struct secret *key)
{
    struct region *region = &builder->scratch;
    const bool has_auth = account->auth != AUTH_NONE && key != NULL;
    const struct span host = host_field(&build->snap, region);
    const struct span auth = has_auth ? secret_reveal(key) : SPAN_NONE;
    if (has_auth && !is_field_value(auth) && GUARD(AUTH_FIELD_VALUE))
        return ERR(INVALID);
    const size_t size = lines_size(host, auth, account);
    if (size > SECRET_MAX)
        return ERR(INVALID);
    build->lines = secret_blank(builder->vault, size);
    if (build->lines == NULL)
        return ERR(NO_MEMORY);
    struct put out = put_into(secret_bytes(build->lines), size);
    http_put_field(&out, SPAN("host"), host);
    if (has_auth) {
        const char *name, *prefix;
        auth_form(account, auth, &name, &prefix);
        put_span(&out, span_str(name));
        put_span(&out, SPAN(": "));
        build->snap.auth_at = (uint32_t)put_done(&out).len;
        put_span(&out, span_str(prefix));
        put_span(&out, auth);
        build->snap.auth_len = (uint32_t)put_done(&out).len - build->snap.auth_at;
        put_span(&out, SPAN("\r\n"));
    }
    for (uint32_t i = 0; i < account->headers.count; i++)
        http_put_field(&out, dup_lower(region, account->headers.items[i].key),
                       account->headers.items[i].value);
    assert(!out.full);
    secret_trim(build->lines, put_done(&out).len);
    build->snap.lines = build->lines;
    return OK;
}

static struct strings dup_strings(struct region *region, struct strings from)
{
    struct strings to = { REGION_ARRAY(region, struct span, from.count), from.count };
    for (uint32_t i = 0; i < from.count; i++)
        to.items[i] = region_dup(region, from.items[i]);
    return to;
}

static struct pairs dup_pairs(struct region *region, struct pairs from)
{
    struct pairs to = { REGION_ARRAY(region, struct pair, from.count), from.count };
    for (uint32_t i = 0; i < from.count; i++)
        to.items[i] = (struct pair){ region_dup(region, from.items[i].key),
                                     region_dup(region, from.items[i].value) };
    return to;
}

static struct err fill_account(struct snap_builder *builder, struct build_account *build,
                               const struct account *account,
                               const struct snap_account_extra *extra)
{
    struct region *region = &builder->snap->region;
    const struct account_type_info *info = account_type_info((enum account_type)account->type);
    build->snap = (struct snap_account){
        .id = region_dup(region, account->id),
        .usage_id = usage_model_id(account->id),
        .name = region_dup(region, account->name),
        .type = (enum account_type)account->type,
        .formats = account->formats != 0 ? account->formats & info->formats : info->formats,
        .enabled = account->enabled,
        .expires_at = account->expires_at,
        .priority = account->priority,
        .in_flight_max = account->max_in_flight < 0
                             ? UINT32_MAX
                             : (uint32_t)min_u64((uint64_t)account->max_in_flight, UINT32_MAX),
        .allow_private = account->allow_private,
        .dest = extra != NULL ? extra->dest : 0,
        .from_file = extra != NULL && extra->from_file,
        .ca_file = region_dup(region, account->ca_file),
        .anthropic_version = region_dup(region, account->anthropic_version),
        .connect_ns = account->connect_ns,
        .first_byte_stream_ns = account->first_byte_stream_ns,
        .first_byte_whole_ns = account->first_byte_whole_ns,
        .idle_ns = account->idle_ns,
        .total_ns = account->total_ns,
    };
    build->reach = build->snap.formats;
    if ((build->snap.formats & builder->converts) != 0)
        build->reach |= builder->converts;
    build->models = dup_strings(&builder->scratch, account->models);
    build->map = dup_pairs(&builder->snap->region, account->model_map);
    const struct secret *key =
        extra != NULL && extra->api_key != NULL ? extra->api_key : account->api_key;
    TRY(set_address(&build->snap, account, region));
    TRY(slots_bind(builder->slots, account->id, builder->snap->generation, &build->snap.slot));
    return set_lines(builder, build, account, key);
}

struct err snap_builder_account(struct snap_builder *builder, const struct account *account,
                                const struct snap_account_extra *extra)
{
    if (builder->account_count >= SNAPSHOT_ACCOUNTS_MAX)
        return ERR(OVERLOADED);
    if (account->id.len == 0 || account->name.len == 0)
        return ERR(INVALID);
    struct build_account *build = REGION_NEW(&builder->scratch, struct build_account);
    const struct err err = fill_account(builder, build, account, extra);
    if (failed(err)) {
        secret_free(&build->lines);
        return err;
    }
    GROW(builder, builder->accounts, builder->account_count, builder->account_cap);
    builder->accounts[builder->account_count++] = build;
    return OK;
}

struct err snap_builder_route(struct snap_builder *builder, const struct route *route)
{
    struct region *region = &builder->snap->region;
    if (route->name.len == 0 || route->name.len > MODEL_NAME_MAX)
        return ERR(INVALID);
    GROW(builder, builder->routes, builder->route_count, builder->route_cap);
    struct build_route *build = &builder->routes[builder->route_count++];
    *build = (struct build_route){
        .name = region_dup(region, route->name),
        .target = region_dup(region, route->target.len > 0 ? route->target : route->name),
        .display_name = region_dup(region, route->display_name),
        .owned_by = region_dup(region, route->owned_by),
        .aliases = dup_strings(region, route->aliases),
        .accounts = dup_strings(&builder->scratch, route->accounts),
        .formats = route->formats != 0 ? route->formats : FORMATS_ALL,
        .enabled = route->enabled,
        .listed = route->listed,
        .strict = route->strict_conversion,
        .think_tags = route->think_tags,
        .web_search = route->convert_web_search,
        .created_at = route->created_at,
    };
    return OK;
}

static struct build_key *add_key(struct snap_builder *builder, struct span id)
{
    const uint32_t old = index_find(&builder->key_ids, id);
    if (old != INDEX_NONE)
        return &builder->keys[old];
    GROW(builder, builder->keys, builder->key_count, builder->key_cap);
    struct build_key *build = &builder->keys[builder->key_count++];
    build->key.id = region_dup(&builder->snap->region, id);
    index_add(&builder->key_ids, &builder->scratch, build->key.id, builder->key_count - 1);
    return build;
}

static const struct span *dup_models(struct region *region, const struct span *models,
                                     uint32_t count)
{
    if (count == 0)
        return NULL;
    struct span *copy = REGION_ARRAY(region, struct span, count);
    for (uint32_t i = 0; i < count; i++)
        copy[i] = region_dup(region, models[i]);
    return copy;
}

struct err snap_builder_key(struct snap_builder *builder, const struct key *key)
{
    static const uint8_t no_digest[DIGEST_BYTES];
    struct region *region = &builder->snap->region;
    if (key->id.len == 0 || memcmp(key->digest, no_digest, DIGEST_BYTES) == 0)
        return ERR(INVALID);
    struct slot_ref slot;
    TRY(slots_bind(builder->slots, key->id, builder->snap->generation, &slot));
    struct build_key *build = add_key(builder, key->id);
    build->gone = false;
    build->key = (struct snap_key){
        .id = build->key.id,
        .usage_id = usage_model_id(build->key.id),
        .name = region_dup(region, key->name),
        .expires_at = key->expires_at,
        .formats = key->formats != 0 ? key->formats : FORMATS_ALL,
        .enabled = key->enabled,
        .slot = slot,
        .models = dup_models(region, key->models.items, key->models.count),
        .model_count = key->models.count,
    };
    memcpy(build->key.digest, key->digest, DIGEST_BYTES);
    return OK;
}

void snap_builder_keep_keys(struct snap_builder *builder, const struct snapshot *from)
{
    struct region *region = &builder->snap->region;
    for (uint32_t i = 0; i < from->key_count; i++) {
        const struct snap_key *old = &from->keys[i];
        struct build_key *build = add_key(builder, old->id);
        const struct span id = build->key.id;
        build->gone = false;
        build->key = *old;
        build->key.id = id;
        build->key.name = region_dup(region, old->name);
        build->key.models = dup_models(region, old->models, old->model_count);
    }
}

void snap_builder_drop_key(struct snap_builder *builder, struct span id)
{
    const uint32_t idx = index_find(&builder->key_ids, id);
    if (idx != INDEX_NONE)
        builder->keys[idx].gone = true;
}

static struct err finish_keys(struct snap_builder *builder)
{
    struct snapshot *snap = builder->snap;
    uint32_t size = 16;
    while (size < builder->key_count * 2)
        size *= 2;
    snap->keys = REGION_ARRAY(&snap->region, struct snap_key, builder->key_count);
    snap->probes = REGION_ARRAY(&snap->region, struct key_probe, size);
    snap->probe_mask = size - 1;
    for (uint32_t i = 0; i < builder->key_count; i++) {
        if (builder->keys[i].gone)
            continue;
        const struct snap_key *key = &builder->keys[i].key;
        if (snapshot_key(snap, key->digest) != NULL)
            return ERR(CONFLICT); // two records of one key
        slots_keep(builder->slots, key->slot, snap->generation);
        snap->keys[snap->key_count++] = *key;
        uint32_t at = digest_home(key->digest, snap->probe_mask);
        while (snap->probes[at].idx != 0)
            at = (at + 1) & snap->probe_mask;
        snap->probes[at] = (struct key_probe){ digest_tag(key->digest), snap->key_count };
    }
    return OK;
}

static int account_cmp(const void *a, const void *b)
{
    const struct snap_account *x = &(*(struct build_account *const *)a)->snap;
    const struct snap_account *y = &(*(struct build_account *const *)b)->snap;
    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    return span_order(x->name, y->name);
}

// The order of the accounts is the order of choice, so that candidates are sorted by index.
static struct err finish_accounts(struct snap_builder *builder)
{
    struct snapshot *snap = builder->snap;
    const uint32_t count = builder->account_count;
    if (count > 1)
        qsort(builder->accounts, count, sizeof(struct build_account *), account_cmp);
    snap->accounts = REGION_ARRAY(&snap->region, struct snap_account, count);
    snap->lines = REGION_ARRAY(&snap->region, struct secret *, count);
    index_init(&snap->account_names, &snap->region, count);
    for (uint32_t i = 0; i < count; i++) {
        struct build_account *build = builder->accounts[i];
        if (index_find(&snap->account_names, build->snap.name) != INDEX_NONE)
            return ERR(CONFLICT);
        build->snap.idx = i;
        snap->accounts[i] = build->snap;
        snap->lines[i] = build->lines;
        build->lines = NULL; // the snapshot's now
        snap->account_count++;
        for (unsigned format = 0; format < FORMAT_COUNT && build->snap.enabled; format++)
            snap->serving[format] += (build->snap.formats & BIT(format)) != 0;
        index_add(&snap->account_names, &snap->region, build->snap.name, i);
    }
    return OK;
}

struct err snap_builder_finish(struct snap_builder **builder, struct snapshot **out)
{
    *out = NULL;
    struct err err = finish_accounts(*builder);
    if (!failed(err))
        err = finish_keys(*builder);
    if (!failed(err)) {
        snap_build_routes(*builder);
        *out = (*builder)->snap;
        (*builder)->snap = NULL;
    }
    snap_builder_free(builder);
    return err;
}
