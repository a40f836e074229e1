// A change on its way: read, judged, built, committed, shown. One at a time.
#include "penstock/ctl/address.h"
#include "registry_impl.h"

#include <stdio.h>

// APPLIED_MAX: changes of keys that share a snapshot, so that none waits long for its answer.
enum { VALUE_REGION = 4 * KIB, APPLIED_MAX = 64 };

static const char trust_field[] = "allow_private";

// --- what a change may not do ---

static struct err refuse(struct change *change, struct err err, const char *format, ...)
    printf_like(3, 4);
static struct err refuse(struct change *change, struct err err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(change->detail, sizeof(change->detail), format, args);
    va_end(args);
    return err;
}

static const struct account *account_of(const struct record *record)
{
    return (const struct account *)record;
}

// A model that names the account `name`; NULL if there is none.
static const struct route *route_naming(const struct registry *registry, struct span name)
{
    const struct entities *list = &registry->now.kinds[ENTITY_ROUTE];
    for (uint32_t i = 0; i < list->count; i++) {
        const struct route *route = (const struct route *)list->by_id[i]->record;
        for (uint32_t j = 0; j < route->accounts.count; j++)
            if (span_eq(route->accounts.items[j], name))
                return route;
    }
    return NULL;
}

static bool route_has_name(const struct route *route, struct span name)
{
    bool has = span_eq(route->name, name);
    for (uint32_t i = 0; i < route->aliases.count; i++)
        has |= span_eq(route->aliases.items[i], name);
    return has;
}

static struct err check_route(struct registry *registry, struct change *change,
                              const struct route *route)
{
    for (uint32_t i = 0; i < route->accounts.count; i++) {
        const struct span name = route->accounts.items[i];
        if (entities_named(&registry->now.kinds[ENTITY_ACCOUNT], ENTITY_ACCOUNT, name) != NULL)
            continue;
        char path[PROBLEM_PATH_MAX];
        fit_printf(path, sizeof(path), "accounts[%u]", i);
        problem_add(&registry->problems, PROBLEM_REFERENCE, (struct place){ 0 }, path,
                    "no account is called `%s`", name.ptr);
        return ERR(INVALID);
    }
    const struct entities *list = &registry->now.kinds[ENTITY_ROUTE];
    for (uint32_t i = 0; i < list->count; i++) {
        const struct route *other = (const struct route *)list->by_id[i]->record;
        if (span_eq(other->id, route->id))
            continue;
        bool clash = route_has_name(other, route->name);
        for (uint32_t j = 0; j < route->aliases.count; j++)
            clash |= route_has_name(other, route->aliases.items[j]);
        if (clash)
            return refuse(change, ERR(CONFLICT),
                          "the model `%s` has this name or one of these aliases", other->name.ptr);
    }
    return OK;
}

// --- where an account made by the API may be ---

// The address of an account that did not come from the file. Only what is written as an address (or
// is "localhost") can be judged here; what a name resolves to is judged when it is dialled.
static struct err check_address(struct registry *registry, const struct account *account,
                                bool is_local)
{
    struct base_url url;
    if (account->base_url.len == 0 || base_url_parse(account->base_url, &url) != NULL)
        return OK; // the type's own, or refused by its field
    int family;
    uint8_t addr[16];
    struct span host = url.host;
    if (span_eq_nocase(host, SPAN("localhost")))
        host = SPAN("127.0.0.1");
    if (!config_ip_parse(host, &family, addr))
        return OK;
    const bool link_local = address_is_link_local(family, addr);
    if (!link_local && (is_local || !address_is_private(family, addr) ||
                        address_in(registry->cfg.config->upstream.allow_cidr, family, addr)))
        return OK;
    struct problem *problem = problem_add(
        &registry->problems, PROBLEM_INCONSISTENT, (struct place){ 0 }, "base_url",
        link_local ? "`base_url` is a link-local address, which is never allowed"
                   : "`base_url` is a private address, and upstream.allow_cidr does not allow it");
    if (!link_local)
        problem_help(problem, "allow its range in the configuration file, or declare the account "
                              "there");
    return ERR(INVALID);
}

// What the operator of this machine asks for is trusted as the file is, and stays so.
static void trust(struct registry *registry, struct record *record, bool is_local)
{
    const struct value value = { .kind = VALUE_BOOL,
                                 .text = is_local ? SPAN("true") : SPAN("false") };
    field_read(record, table_find(record->table, span_str(trust_field)), &value, FROM_FILE, "",
               &registry->problems);
}

static struct err check_account(struct registry *registry, struct change *change,
                                struct record *record, const struct account *before)
{
    const struct account *account = account_of(record);
    // An address that was allowed when it was given stays; a new one is judged anew.
    if (before == NULL || !span_eq(before->base_url, account->base_url)) {
        TRY(check_address(registry, account, change->is_local));
        trust(registry, record, change->is_local);
    }
    if (account->api_key != NULL) {
        const struct span bytes = secret_reveal(account->api_key);
        if (bytes.ptr[0] == ' ' || bytes.ptr[bytes.len - 1] == ' ') {
            problem_add(&registry->problems, PROBLEM_MALFORMED, (struct place){ 0 }, "api_key",
                        "`api_key` begins or ends with a space");
            return ERR(INVALID);
        }
    }
    const struct route *route = before != NULL && !span_eq(before->name, account->name)
                                    ? route_naming(registry, before->name)
                                    : NULL;
    if (route != NULL)
        return refuse(change, ERR(CONFLICT), "the model `%s` names this account as `%s`",
                      route->name.ptr, before->name.ptr);
    return OK;
}

// --- making the next record ---

static void set_id(struct registry *registry, struct change *change, struct record *record)
{
    char id[ENTITY_ID_MAX];
    struct span *member = NULL;
    switch (change->kind) {
    case ENTITY_ACCOUNT: member = &((struct account *)record)->id; break;
    case ENTITY_KEY: member = &((struct key *)record)->id; break;
    case ENTITY_ROUTE: member = &((struct route *)record)->id; break;
    case ENTITY_SETTING: member = &((struct setting *)record)->id; break;
    case ENTITY_COUNT: bug("entity_kind out of range");
    }
    if (member->len == 0 && change->kind == ENTITY_SETTING)
        record_text(record, member, entity_name(change->kind, record));
    else if (member->len == 0)
        record_text(record, member, entity_id_random(record->table, registry->cfg.env, id));
    fit_printf(change->id, sizeof(change->id), "%.*s", (int)member->len, member->ptr);
}

static void set_times(struct registry *registry, enum entity_kind kind, struct record *record,
                      bool is_new)
{
    const uint64_t now = env_wall_ns(registry->cfg.env) / NS_PER_S * NS_PER_S;
    uint64_t *created = NULL, *updated = NULL;
    switch (kind) {
    case ENTITY_ACCOUNT:
        created = &((struct account *)record)->created_at;
        updated = &((struct account *)record)->updated_at;
        break;
    case ENTITY_KEY:
        created = &((struct key *)record)->created_at;
        updated = &((struct key *)record)->updated_at;
        break;
    case ENTITY_ROUTE:
        created = &((struct route *)record)->created_at;
        updated = &((struct route *)record)->updated_at;
        break;
    case ENTITY_SETTING: updated = &((struct setting *)record)->updated_at; break;
    case ENTITY_COUNT: bug("entity_kind out of range");
    }
    *updated = now;
    if (is_new && created != NULL)
        *created = now;
}

static struct err read_body(struct registry *registry, struct change *change, struct record *record)
{
    struct region region;
    region_init(&region, VALUE_REGION);
    const struct value *value = value_from_json(&region, change->body);
    struct err err = OK;
    if (value == NULL)
        err = ERR(JSON_TOO_DEEP);
    else
        record_read(record, value, change->verb == CHANGE_CREATE ? FROM_CREATE : FROM_UPDATE, "",
                    &registry->problems);
    region_fini(&region); // wiped: a secret may have been in it
    if (!failed(err) && registry->problems.error_count > 0)
        err = ERR(INVALID);
    return err;
}

static void mint(struct registry *registry, struct change *change, struct key *key)
{
    key_mint(registry->cfg.env, change->key_text);
    change->has_key_text = true;
    key_adopt(key, &registry->hasher, span_of(change->key_text, KEY_TEXT_LEN));
}

static struct err check_unique(struct registry *registry, struct change *change,
                               const struct record *record)
{
    const struct entities *list = &registry->now.kinds[change->kind];
    const struct span id = entity_id(change->kind, record);
    if (change->verb == CHANGE_CREATE && list->count >= REGISTRY_OBJECTS_MAX)
        return refuse(change, ERR(CONFLICT), "there are %u objects of this kind, the most allowed",
                      list->count);
    if (change->verb == CHANGE_CREATE && entities_find(list, change->kind, id) != NULL)
        return refuse(change, ERR(CONFLICT), "the id `%s` is taken", id.ptr);
    const struct entity *same =
        entities_named(list, change->kind, entity_name(change->kind, record));
    if (same != NULL && !span_eq(entity_id(change->kind, same->record), id))
        return refuse(change, ERR(CONFLICT), "the name `%s` is taken",
                      entity_name(change->kind, record).ptr);
    return OK;
}

static struct err make_next(struct registry *registry, struct change *change,
                            const struct entity *entity)
{
    struct record *next = entity != NULL
                              ? record_copy(entity->record)
                              : record_new(entity_tables[change->kind], registry->cfg.vault);
    registry->next = next;
    TRY(read_body(registry, change, next));
    set_id(registry, change, next);
    TRY(check_unique(registry, change, next));
    if (change->kind == ENTITY_ROUTE)
        TRY(check_route(registry, change, (const struct route *)next));
    if (change->kind == ENTITY_ACCOUNT)
        TRY(check_account(registry, change, next,
                          entity != NULL ? account_of(entity->record) : NULL));
    if (change->kind == ENTITY_KEY && change->verb == CHANGE_CREATE)
        mint(registry, change, (struct key *)next);
    set_times(registry, change->kind, next, entity == NULL);
    const struct span id = entity_id(change->kind, next);
    TRY(record_pack(next, id, registry->cfg.keyring, registry->cfg.env, &registry->packed));
    registry->parts[0].value = text_span(&registry->packed);
    return OK;
}

static struct err check_delete(struct registry *registry, struct change *change,
                               const struct entity *entity)
{
    if (change->kind != ENTITY_ACCOUNT)
        return OK;
    const struct route *route = route_naming(registry, account_of(entity->record)->name);
    if (route != NULL)
        return refuse(change, ERR(CONFLICT), "the model `%s` names this account", route->name.ptr);
    return OK;
}

static struct err prepare(struct registry *registry, struct change *change, uint32_t *count)
{
    const struct entity *entity = NULL;
    *count = 1;
    if (change->verb != CHANGE_CREATE) {
        entity = registry_get(registry, change->kind, span_str(change->id));
        if (entity == NULL)
            return ERR(NOT_FOUND);
        if (entity_from_file(entity))
            return ERR(FILE_OWNED);
        if (change->version != STORE_ANY && change->version != entity->version)
            return ERR(VERSION_STALE);
    }
    registry->parts[0] = (struct store_change){
        .kind = store_kind_of(change->kind),
        .version_before = entity != NULL ? entity->version : 0,
    };
    if (change->verb != CHANGE_DELETE) {
        TRY(make_next(registry, change, entity));
    } else {
        TRY(check_delete(registry, change, entity));
        if (change->kind == ENTITY_ACCOUNT || change->kind == ENTITY_KEY) {
            registry->gone_record = gone_setting(registry, change->kind, entity, registry->gone_id);
            const struct span gone_id = span_str(registry->gone_id);
            TRY(record_pack(registry->gone_record, gone_id, registry->cfg.keyring,
                            registry->cfg.env, &registry->gone));
            registry->parts[1] = (struct store_change){ STORE_SETTING, gone_id,
                                                        text_span(&registry->gone), STORE_ANY };
            *count = 2;
        }
    }
    registry->parts[0].key = span_str(change->id);
    if (registry->cfg.build == NULL || change->kind == ENTITY_SETTING ||
        change->kind == ENTITY_KEY) // every key can be served: see defer()
        return OK;
    struct registry_why why;
    struct err err = registry->cfg.build(registry->cfg.arg, registry, &registry->snap, &why);
    if (failed(err))
        return refuse(change, err, "the gateway could not serve with this change: %.200s",
                      why.text);
    return OK;
}

// --- the way to the store and back ---

static void put_entity(struct registry *registry, enum entity_kind kind, struct record *record,
                       uint64_t version)
{
    struct entities *list = &registry->now.kinds[kind];
    struct entity *old = entities_find(list, kind, entity_id(kind, record));
    struct record *before = old != NULL ? old->record : NULL;
    if (old != NULL)
        entities_remove(list, kind, old);
    record_free(&before);
    entities_add(list, kind, &(struct entity){ record, version, 0 });
}

static void apply(struct registry *registry, struct change *change, uint64_t version)
{
    if (registry->next != NULL) {
        put_entity(registry, change->kind, registry->next, version);
        registry->next = NULL;
    } else {
        struct entities *list = &registry->now.kinds[change->kind];
        struct entity *old = entities_find(list, change->kind, span_str(change->id));
        struct record *before = old->record;
        entities_remove(list, change->kind, old);
        record_free(&before);
    }
    if (registry->gone_record != NULL)
        put_entity(registry, ENTITY_SETTING, registry->gone_record, version);
    registry->gone_record = NULL;
}

// Lets go of what the change under way was made of.
static struct change *end_change(struct registry *registry)
{
    struct change *change = registry->change;
    registry->change = NULL;
    registry->phase = PHASE_IDLE;
    record_free(&registry->next);
    record_free(&registry->gone_record);
    if (registry->snap != NULL)
        snapshot_free(&registry->snap);
    text_fini(&registry->packed);
    text_fini(&registry->gone);
    return change;
}

static void tell(struct registry *registry, struct change *change, struct err err,
                 const struct problems *problems)
{
    change->err = err;
    change->problems = failed(err) && problems != NULL && problems->count > 0 ? problems : NULL;
    change->entity = failed(err) || change->verb == CHANGE_DELETE
                         ? NULL
                         : registry_get(registry, change->kind, span_str(change->id));
    if (failed(err))
        change_fini(change); // a key that was not stored is nobody's
    change->done(change);
}

static void finish(struct registry *registry, struct err err)
{
    tell(registry, end_change(registry), err, &registry->problems);
}

static void publish(struct registry *registry)
{
    registry->phase = PHASE_PUBLISH;
    if (registry->snap == NULL) {
        finish(registry, OK);
        return;
    }
    struct err err = registry->cfg.publish(registry->cfg.arg, &registry->snap);
    if (err.code != ERR_OVERLOADED)
        finish(registry, err);
}

// --- keys, several at a time ---

// The change is durable and in force for who asks the registry; the shards get it with those that
// wait behind it.
static void defer(struct registry *registry)
{
    struct change *change = end_change(registry);
    list_init(&change->link);
    list_push_back(&registry->applied, &change->link);
    registry->applied_count++;
}

static bool is_key_next(const struct registry *registry)
{
    const struct list *node = registry->queue.next;
    return node != &registry->queue && container_of(node, struct change, link)->kind == ENTITY_KEY;
}

// Whether what was applied should go to the shards now.
static bool are_keys_due(const struct registry *registry)
{
    return registry->applied_count > 0 &&
           (registry->applied_count >= APPLIED_MAX || !is_key_next(registry));
}

// Builds what the shards will see and makes it theirs. False: a shard has to turn first.
static bool publish_keys(struct registry *registry)
{
    struct registry_why why;
    struct err err = registry->cfg.build(registry->cfg.arg, registry, &registry->snap, &why);
    const bool is_built = !failed(err);
    if (is_built)
        err = registry->cfg.publish(registry->cfg.arg, &registry->snap);
    if (registry->snap != NULL)
        snapshot_free(&registry->snap);
    if (is_built && err.code == ERR_OVERLOADED)
        return false;
    struct list told;
    list_init(&told);
    for (struct list *node; (node = list_pop_front(&registry->applied)) != NULL;)
        list_push_back(&told, node);
    registry->applied_count = 0;
    for (struct list *node; (node = list_pop_front(&told)) != NULL;) {
        struct change *change = container_of(node, struct change, link);
        if (failed(err))
            (void)refuse(change, err, "it is stored, but cannot be served: %.200s", why.text);
        tell(registry, change, err, NULL);
    }
    return true;
}

static void on_committed(struct registry_op *op)
{
    struct registry *registry = container_of(op, struct registry, op);
    assert(registry->phase == PHASE_COMMIT);
    if (failed(op->op.err)) {
        finish(registry, op->op.err);
        return;
    }
    apply(registry, registry->change, op->op.commit.version);
    if (registry->change->kind == ENTITY_KEY && registry->cfg.build != NULL)
        defer(registry);
    else
        publish(registry);
}

static void begin(struct registry *registry, struct change *change)
{
    uint32_t count = 0;
    problems_init(&registry->problems);
    registry->change = change;
    registry->phase = PHASE_COMMIT;
    struct err err = registry->is_closed ? ERR(DRAINING) : prepare(registry, change, &count);
    registry->op = (struct registry_op){ .done = on_committed };
    registry->op.op.kind = STORE_OP_COMMIT;
    registry->op.op.commit.changes = registry->parts;
    registry->op.op.commit.count = count;
    if (!failed(err) && !registry_ask(registry, &registry->op))
        err = ERR(OVERLOADED);
    if (failed(err))
        finish(registry, err);
}

// --- the doors ---

static void wake(struct registry *registry)
{
    if (registry->cfg.wake != NULL)
        registry->cfg.wake(registry->cfg.arg);
}

void registry_submit(struct registry *registry, struct change *change)
{
    change->err = OK;
    change->problems = NULL;
    change->entity = NULL;
    change->detail[0] = '\0';
    change->has_key_text = false;
    list_init(&change->link);
    list_push_back(&registry->queue, &change->link);
    wake(registry);
}

void change_fini(struct change *change)
{
    bytes_wipe(change->key_text, sizeof(change->key_text));
    change->has_key_text = false;
}

static void do_directly(struct store *store, struct store_op *op)
{
    switch (op->kind) {
    case STORE_OP_COMMIT:
        op->err = store_commit(store, op->commit.changes, op->commit.count, &op->commit.version);
        return;
    case STORE_OP_USAGE:
        op->usage.result = (struct usage_result){ 0 };
        op->err = store_usage(store, &op->usage.query, &op->usage.result);
        return;
    case STORE_OP_DETAIL:
        op->err = store_detail(store, &op->detail.query, &op->detail.page);
        return;
    case STORE_OP_FLUSH: op->err = OK; return; // store_close() writes everything out
    }
    bug("store_op_kind out of range");
}

bool registry_ask(struct registry *registry, struct registry_op *op)
{
    if (registry->is_closed)
        return false;
    op->op.user = op;
    list_init(&op->link);
    if (registry->client != NULL) {
        if (!store_submit(registry->client, &op->op))
            return false;
    } else {
        do_directly(registry->cfg.store, &op->op);
        list_push_back(&registry->ended, &op->link);
        wake(registry);
    }
    registry->asked++;
    return true;
}

static struct registry_op *next_ended(struct registry *registry)
{
    struct list *node = list_pop_front(&registry->ended);
    if (node != NULL)
        return container_of(node, struct registry_op, link);
    struct store_op *op = registry->client != NULL ? store_reap(registry->client) : NULL;
    return op != NULL ? op->user : NULL;
}

bool registry_poll(struct registry *registry)
{
    for (;;) {
        struct registry_op *op = next_ended(registry);
        if (op != NULL) {
            registry->asked--;
            op->done(op);
        } else if (registry->phase == PHASE_PUBLISH) {
            publish(registry);
            if (registry->phase == PHASE_PUBLISH)
                return true;
        } else if (registry->phase == PHASE_IDLE && are_keys_due(registry)) {
            if (!publish_keys(registry))
                return true;
        } else if (registry->phase == PHASE_IDLE && !list_is_empty(&registry->queue)) {
            struct list *node = list_pop_front(&registry->queue);
            struct change *change = container_of(node, struct change, link);
            begin(registry, change);
        } else {
            return false;
        }
    }
}

void registry_close(struct registry *registry)
{
    registry->is_closed = true;
}

bool registry_is_busy(const struct registry *registry)
{
    return registry->change != NULL || registry->applied_count > 0 || registry->asked > 0 ||
           !list_is_empty(&registry->queue);
}
