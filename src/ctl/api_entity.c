// Accounts, keys and models: reading and changing them; setup and admin tokens.
#include "api_impl.h"
#include "penstock/base/guard.h"

#include <stdio.h>

static json_t *entity_json(const struct entity *entity)
{
    json_t *json = record_json(entity->record);
    json_object_set_new(json, "source", json_string(entity_from_file(entity) ? "file" : "store"));
    json_object_set_new(json, "version", json_integer((json_int_t)entity->version));
    return json;
}

// --- reading ---

enum api_next api_list(struct api_call *call)
{
    const struct registry *registry = call->api->registry;
    const enum entity_kind kind = call->route->kind;
    char name_room[512], cursor_room[CHANGE_ID_MAX * 3];
    struct span name, cursor;
    uint32_t limit;
    if (!api_limit(call, API_PAGE_MAX, &limit))
        return api_bad_query(call, "limit", "must be a number from 1 to 1000");
    json_t *items = json_array();
    const struct entity *entity = NULL;
    if (api_param(call, "name", name_room, sizeof(name_room), &name)) {
        const struct entity *named = registry_by_name(registry, kind, name);
        if (named != NULL)
            json_array_append_new(items, entity_json(named));
    } else {
        if (!api_param(call, "cursor", cursor_room, sizeof(cursor_room), &cursor))
            cursor = SPAN_NONE;
        entity = registry_next(registry, kind, cursor);
        while (entity != NULL && json_array_size(items) < limit) {
            cursor = entity_id(kind, entity->record);
            json_array_append_new(items, entity_json(entity));
            entity = registry_next(registry, kind, cursor);
        }
    }
    json_t *page = json_object();
    json_object_set_new(page, "items", items);
    json_object_set_new(page, "next", entity != NULL ? json_span(cursor) : json_null());
    return api_answer(call, 200, page);
}

enum api_next api_get(struct api_call *call)
{
    const struct entity *entity =
        registry_get(call->api->registry, call->route->kind, span_str(call->id));
    if (entity == NULL)
        return api_problem(call, ERR(NOT_FOUND), NULL, NULL);
    call->etag = entity->version;
    return api_answer(call, 200, entity_json(entity));
}

// --- changing ---

static void on_changed(struct change *change)
{
    struct api_call *call = change->user;
    if (failed(change->err)) {
        api_problem(call, change->err, change->detail, change->problems);
    } else if (change->entity == NULL) {
        api_plain(call, 204, NULL, SPAN_NONE);
    } else {
        json_t *json = entity_json(change->entity);
        if (change->has_key_text)
            json_object_set_new(json, "key", json_stringn(change->key_text, KEY_TEXT_LEN));
        call->etag = change->entity->version;
        api_answer(call, change->verb == CHANGE_CREATE ? 201 : 200, json);
    }
    api_finish(call);
}

static enum api_next submit(struct api_call *call, enum change_verb verb, const json_t *body)
{
    struct change *change = &call->change;
    *change = (struct change){
        .kind = call->route->kind,
        .verb = verb,
        .body = body,
        .version = STORE_ANY,
        .is_local = call->is_local,
        .done = on_changed,
        .user = call,
    };
    memcpy(change->id, call->id, sizeof(change->id));
    registry_submit(call->api->registry, change);
    return API_LATER;
}

// If-Match: "12", or * for whatever there is. Weak tags never match.
static bool read_match(struct api_call *call, uint64_t *version)
{
    struct span tag = span_trim(call->if_match);
    *version = STORE_ANY;
    if (tag.len == 0 || span_eq(tag, SPAN("*")))
        return true;
    if (tag.len < 3 || tag.ptr[0] != '"' || tag.ptr[tag.len - 1] != '"')
        return false;
    return span_u64(span_of(tag.ptr + 1, tag.len - 2), version);
}

enum api_next api_create(struct api_call *call)
{
    return submit(call, CHANGE_CREATE, call->input);
}

static enum api_next change_existing(struct api_call *call, enum change_verb verb)
{
    uint64_t version;
    if (!read_match(call, &version))
        return api_problem(call, ERR(VERSION_STALE), "If-Match must be a tag that an answer had",
                           NULL);
    submit(call, verb, call->input);
    call->change.version = version;
    return API_LATER;
}

enum api_next api_update(struct api_call *call)
{
    return change_existing(call, CHANGE_UPDATE);
}

enum api_next api_delete(struct api_call *call)
{
    return change_existing(call, CHANGE_DELETE);
}

// --- tokens ---

struct minting {
    json_t *body;
    bool is_setup;
    char text[TOKEN_TEXT_LEN + 1];
};

static json_t *token_json(const struct token_info *info)
{
    json_t *json = json_object();
    json_object_set_new(json, "id", json_span(info->id));
    json_object_set_new(json, "name", json_span(info->name));
    json_object_set_new(json, "created_at", json_time(info->created_at));
    return json;
}

static void on_minted(struct change *change)
{
    struct api_call *call = change->user;
    struct minting *minting = call->work;
    struct tokens *tokens = call->api->tokens;
    struct token_info info;
    if (failed(change->err)) {
        api_problem(call, change->err, change->detail, NULL);
        if (minting->is_setup)
            tokens->is_claiming = false;
    } else {
        if (minting->is_setup)
            tokens_close_setup(tokens);
        const bool whole = token_read((const struct setting *)change->entity->record, &info);
        assert(whole);
        json_t *json = token_json(&info);
        json_object_set_new(json, "token", json_string(minting->text));
        api_answer(call, 201, json);
    }
    json_decref(minting->body);
    bytes_wipe(minting, sizeof(*minting));
    mem_give(minting);
    call->work = NULL;
    api_finish(call);
}

static enum api_next mint(struct api_call *call, struct span name, bool is_setup)
{
    const struct tokens *tokens = call->api->tokens;
    struct minting *minting = mem_take(1, sizeof(*minting));
    if (minting == NULL)
        return api_problem(call, ERR(NO_MEMORY), NULL, NULL);
    minting->is_setup = is_setup;
    minting->body = tokens_mint(tokens, name, minting->text);
    call->work = minting;
    submit(call, CHANGE_CREATE, minting->body);
    call->change.done = on_minted;
    return API_LATER;
}

// The texts of a body that holds nothing but them; false after saying what is wrong.
static bool read_texts(struct api_call *call, const char *const *names, struct span *out,
                       size_t count)
{
    const char *key;
    json_t *value;
    json_object_foreach(call->input, key, value)
    {
        size_t at = 0;
        while (at < count && strcmp(names[at], key) != 0)
            at++;
        if (at < count && json_is_string(value) && json_string_length(value) <= TOKEN_NAME_MAX) {
            out[at] = span_of(json_string_value(value), json_string_length(value));
            continue;
        }
        api_bad_query(call, key,
                      at < count ? "must be a text of at most 100 bytes"
                                 : "is no field of this operation");
        return false;
    }
    return true;
}

static bool name_is_good(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < ' ' || name.ptr[i] == 0x7f)
            return false;
    return true;
}

enum api_next api_setup(struct api_call *call)
{
    static const char *const names[] = { "token", "name" };
    struct span texts[] = { SPAN_NONE, SPAN("setup") };
    struct tokens *tokens = call->api->tokens;
    if (!read_texts(call, names, texts, ARRAY_LEN(names)))
        return API_NOW;
    if (tokens == NULL || (!tokens->is_open && GUARD(SETUP_ONCE)) || tokens->is_claiming)
        return api_problem(call, ERR(CONFLICT), "this gateway has been set up", NULL);
    if (!tokens_is_setup(tokens, texts[0])) {
        call->api->refused++;
        return api_problem(call, ERR(ADMIN_AUTH), "this is not the setup token", NULL);
    }
    if (!name_is_good(texts[1]))
        return api_bad_query(call, "name", "may hold no control characters");
    tokens->is_claiming = true;
    const enum api_next next = mint(call, texts[1], true);
    if (next == API_NOW)
        tokens->is_claiming = false;
    return next;
}

enum api_next api_token_create(struct api_call *call)
{
    static const char *const names[] = { "name" };
    struct span name = SPAN_NONE;
    if (!read_texts(call, names, &name, 1))
        return API_NOW;
    if (name.len == 0 || !name_is_good(name))
        return api_bad_query(call, "name", "must be a text without control characters");
    if (call->api->tokens == NULL)
        return api_problem(call, ERR(NOT_FOUND), "only a running gateway makes tokens", NULL);
    if (tokens_count(call->api->registry) >= TOKENS_MAX)
        return api_problem(call, ERR(CONFLICT), "there are as many tokens as may be", NULL);
    return mint(call, name, false);
}

enum api_next api_token_list(struct api_call *call)
{
    const struct registry *registry = call->api->registry;
    json_t *items = json_array();
    struct token_info info;
    const struct entity *entity = NULL;
    for (struct span after = SPAN(TOKEN_PREFIX);
         (entity = registry_next(registry, ENTITY_SETTING, after)) != NULL &&
         token_read((const struct setting *)entity->record, &info);) {
        json_array_append_new(items, token_json(&info));
        after = entity_id(ENTITY_SETTING, entity->record);
    }
    return api_answer(call, 200, json_pack("{s:o, s:n}", "items", items, "next"));
}

enum api_next api_token_delete(struct api_call *call)
{
    char id[CHANGE_ID_MAX + 1];
    if (fit_printf(id, sizeof(id), TOKEN_PREFIX "%s", call->id) !=
        sizeof(TOKEN_PREFIX) - 1 + strlen(call->id))
        return api_problem(call, ERR(NOT_FOUND), NULL, NULL);
    memcpy(call->id, id, sizeof(id));
    return change_existing(call, CHANGE_DELETE);
}
