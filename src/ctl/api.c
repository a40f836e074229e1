// Which call is meant, who may make it, and what an answer looks like.
#include "api_impl.h"
#include "penstock/base/guard.h"
#include "penstock/codec/url.h"
#include "penstock/model/unit.h"

#include <stdlib.h>

enum { FORGET_DEPTH = 32 };

#define LIST_QUERY "limit cursor name"
#define KIND_ROUTES(plural, kind)                                                    \
    { API_GET, "/api/v1/" plural, api_list, kind, NO_BODY, false, LIST_QUERY },      \
        { API_POST, "/api/v1/" plural, api_create, kind, BODY, false, "" },          \
        { API_GET, "/api/v1/" plural "/{id}", api_get, kind, NO_BODY, false, "" },   \
        { API_PATCH, "/api/v1/" plural "/{id}", api_update, kind, BODY, false, "" }, \
    {                                                                                \
        API_DELETE, "/api/v1/" plural "/{id}", api_delete, kind, NO_BODY, false, ""  \
    }

static const struct api_route routes[] = {
    { API_GET, "/healthz", api_health, ENTITY_COUNT, NO_BODY, true, "verbose" },
    { API_GET, "/readyz", api_ready, ENTITY_COUNT, NO_BODY, true, "" },
    { API_GET, "/metrics", api_metrics, ENTITY_COUNT, NO_BODY, true, "" },
    { API_POST, "/api/v1/setup", api_setup, ENTITY_SETTING, BODY, true, "" },
    { API_GET, "/api/v1", api_index, ENTITY_COUNT, NO_BODY, false, "" },
    { API_GET, "/api/v1/status", api_status, ENTITY_COUNT, NO_BODY, false, "" },
    { API_POST, "/api/v1/reload", api_reload, ENTITY_COUNT, NO_BODY, false, "" },
    { API_POST, "/api/v1/drain", api_drain, ENTITY_COUNT, NO_BODY, false, "" },
    { API_GET, "/api/v1/tokens", api_token_list, ENTITY_SETTING, NO_BODY, false, "" },
    { API_POST, "/api/v1/tokens", api_token_create, ENTITY_SETTING, BODY, false, "" },
    { API_DELETE, "/api/v1/tokens/{id}", api_token_delete, ENTITY_SETTING, NO_BODY, false, "" },
    KIND_ROUTES("accounts", ENTITY_ACCOUNT),
    KIND_ROUTES("keys", ENTITY_KEY),
    KIND_ROUTES("models", ENTITY_ROUTE),
    { API_POST, "/api/v1/accounts/{id}/test", api_account_test, ENTITY_ACCOUNT, NO_BODY, false,
      "" },
    { API_GET, "/api/v1/usage", api_usage, ENTITY_COUNT, NO_BODY, false,
      "by from to tz key account model" },
    { API_GET, "/api/v1/requests", api_requests, ENTITY_COUNT, NO_BODY, false,
      "from to key account model errors limit cursor" },
};

const char *api_method_name(enum api_method method)
{
    static const char *const names[API_METHOD_COUNT] = {
        [API_GET] = "GET", [API_POST] = "POST", [API_PATCH] = "PATCH", [API_DELETE] = "DELETE"
    };
    assert(method < API_METHOD_COUNT);
    return names[method];
}

bool api_route_at(uint32_t index, struct api_route_info *out)
{
    if (index >= ARRAY_LEN(routes))
        return false;
    *out =
        (struct api_route_info){ routes[index].method, routes[index].path, routes[index].is_open };
    return true;
}

enum api_next api_index(struct api_call *call)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "method", api_method_name(routes[i].method),
                                        "path", routes[i].path));
    return api_answer(call, 200,
                      json_pack("{s:s, s:o}", "version", PENSTOCK_VERSION, "operations", list));
}

// --- answers ---

json_t *json_span(struct span text)
{
    json_t *json = json_stringn(text.ptr != NULL ? text.ptr : "", text.len);
    return json != NULL ? json : json_null(); // not UTF-8: a vendor's text at most
}

json_t *json_time(uint64_t ns)
{
    char text[UNIT_TEXT_MAX];
    if (ns == 0)
        return json_null();
    const size_t len = time_format(text, ns);
    return json_stringn(text, len);
}

static void forget_texts(json_t *json, unsigned depth)
{
    const char *key;
    json_t *item;
    size_t i;
    if (depth > FORGET_DEPTH)
        return;
    if (json_is_string(json))
        bytes_wipe((char *)json_string_value(json), json_string_length(json));
    json_object_foreach(json, key, item) forget_texts(item, depth + 1);
    json_array_foreach(json, i, item) forget_texts(item, depth + 1);
}

void json_forget(json_t *json)
{
    if (json == NULL)
        return;
    forget_texts(json, 0);
    json_decref(json);
}

static enum api_next answer_as(struct api_call *call, int status, const char *type, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    verify(text != NULL);
    json_forget(json);
    const struct span bytes = span_str(text);
    api_plain(call, status, type, bytes);
    bytes_wipe(text, bytes.len);
    free(text);
    text_add(&call->text, SPAN("\n"));
    return API_NOW;
}

enum api_next api_answer(struct api_call *call, int status, json_t *json)
{
    return answer_as(call, status, "application/json", json);
}

enum api_next api_plain(struct api_call *call, int status, const char *type, struct span text)
{
    call->status = status;
    call->type = type;
    text_fini(&call->text);
    text_add(&call->text, text);
    return API_NOW;
}

// What a change of something that was changed meanwhile is told has its own number here: the
// version came from a reader, so that it is a conflict between two writers.
static int status_of(struct err err)
{
    if (err.code == ERR_VERSION_STALE)
        return 409;
    const int status = err_status(err.code);
    return status >= 400 ? status : 503;
}

enum api_next api_problem(struct api_call *call, struct err err, const char *detail,
                          const struct problems *problems)
{
    char type[64] = "urn:penstock:problem:";
    for (size_t i = 0, at = strlen(type); err_name(err.code)[i] != '\0' && at + 1 < sizeof(type);
         i++, at++) {
        const char byte = err_name(err.code)[i];
        type[at] = (char)(byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
        type[at + 1] = '\0';
    }
    const int status = status_of(err);
    json_t *json =
        json_pack("{s:s, s:s, s:i}", "type", type, "title", err_text(err.code), "status", status);
    if (detail != NULL && detail[0] != '\0')
        json_object_set_new(json, "detail", json_span(span_str(detail)));
    else if (problems != NULL && problems->count > 0)
        json_object_set_new(json, "detail", json_string(problems->items[0].text));
    if (problems != NULL && problems->count > 0)
        json_object_set_new(json, "errors", problems_json(problems));
    return answer_as(call, status, "application/problem+json", json);
}

enum api_next api_bad_query(struct api_call *call, const char *name, const char *why)
{
    char detail[256];
    fit_printf(detail, sizeof(detail), "`%.100s` %s", name, why);
    return api_problem(call, ERR(INVALID), detail, NULL);
}

bool api_param(const struct api_call *call, const char *name, char *room, size_t cap,
               struct span *out)
{
    struct url_param param;
    *out = SPAN_NONE;
    if (!url_param_find(call->query, span_str(name), &param) || param.value.len > cap)
        return false;
    *out = url_text_decode(param.value, room, cap);
    return true;
}

bool api_limit(const struct api_call *call, uint32_t most, uint32_t *out)
{
    char room[16];
    struct span text;
    uint64_t number;
    *out = API_PAGE_DEFAULT;
    struct url_param param;
    if (!url_param_find(call->query, SPAN("limit"), &param))
        return true;
    if (!api_param(call, "limit", room, sizeof(room), &text) || !span_u64(text, &number) ||
        number == 0 || number > most)
        return false;
    *out = (uint32_t)number;
    return true;
}

// --- finding the route ---

// Compares piece by piece; {id} takes any piece.
static bool path_fits(const char *pattern, struct span path, struct span *id)
{
    struct span want = span_str(pattern);
    *id = SPAN_NONE;
    for (;;) {
        const size_t want_len = span_find(want, '/'), len = span_find(path, '/');
        const struct span piece = span_upto(path, len);
        if (span_eq(span_upto(want, want_len), SPAN("{id}"))) {
            if (len == 0)
                return false;
            *id = piece;
        } else if (!span_eq(span_upto(want, want_len), piece)) {
            return false;
        }
        if (want_len == want.len || len == path.len)
            return want_len == want.len && len == path.len;
        want = span_from(want, want_len + 1);
        path = span_from(path, len + 1);
    }
}

static void name_methods(struct api_call *call, uint32_t methods)
{
    static const char *const texts[] = {
        [BIT(API_GET)] = "GET, HEAD",
        [BIT(API_POST)] = "POST",
        [BIT(API_DELETE)] = "DELETE",
        [BIT(API_GET) | BIT(API_POST)] = "GET, HEAD, POST",
        [BIT(API_GET) | BIT(API_PATCH) | BIT(API_DELETE)] = "GET, HEAD, PATCH, DELETE",
    };
    call->allow = methods < ARRAY_LEN(texts) && texts[methods] != NULL ? texts[methods] : "";
}

static struct err find_route(struct api_call *call)
{
    uint32_t methods = 0;
    struct span id;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (!path_fits(routes[i].path, call->path, &id))
            continue;
        methods |= BIT(routes[i].method);
        if (routes[i].method != call->method)
            continue;
        if (id.len > CHANGE_ID_MAX)
            return ERR(NOT_FOUND);
        call->route = &routes[i];
        if (id.len > 0)
            memcpy(call->id, id.ptr, id.len);
        return OK;
    }
    name_methods(call, methods);
    return methods != 0 ? ERR(METHOD_NOT_ALLOWED) : ERR(ROUTE_UNKNOWN);
}

static bool list_has(const char *names, struct span name)
{
    struct span rest = span_str(names);
    while (rest.len > 0) {
        const size_t len = span_find(rest, ' ');
        if (url_text_is(name, span_upto(rest, len)))
            return true;
        rest = span_from(rest, min_size(len + 1, rest.len));
    }
    return false;
}

// A name that means nothing here is said to be so, never passed over.
static bool query_is_known(struct api_call *call)
{
    struct span rest = call->query;
    struct url_param param;
    while (url_param_next(&rest, &param)) {
        if (list_has(call->route->query, param.name) || !GUARD(API_QUERY_KNOWN))
            continue;
        char name[64];
        fit_printf(name, sizeof(name), "%.*s", (int)min_size(param.name.len, 60), param.name.ptr);
        api_bad_query(call, name, "is no parameter of this operation");
        return false;
    }
    return true;
}

static bool read_body(struct api_call *call)
{
    json_error_t error;
    if (!call->is_json && GUARD(API_JSON_ONLY)) {
        api_problem(call, ERR(BODY_ENCODING), "the body must be application/json", NULL);
        return false;
    }
    call->input = json_loadb(call->body.ptr != NULL ? call->body.ptr : "", call->body.len,
                             JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(call->input))
        return true;
    char detail[128];
    if (call->input != NULL)
        fit_printf(detail, sizeof(detail), "the body must be a JSON object");
    else // not the parser's own words, which may quote the body
        fit_printf(detail, sizeof(detail), "line %d, column %d", error.line, error.column);
    api_problem(call, call->input != NULL ? ERR(JSON_TYPE) : ERR(JSON_MALFORMED), detail, NULL);
    return false;
}

static bool may(struct api_call *call)
{
    if (call->route->is_open || call->is_local || !GUARD(ADMIN_TOKEN))
        return true;
    if (call->api->tokens != NULL && tokens_is_admin(call->api->tokens, call->token))
        return true;
    call->api->refused++;
    api_problem(call, ERR(ADMIN_AUTH), NULL, NULL);
    return false;
}

static void count(struct api_call *call)
{
    const unsigned status_class = (unsigned)call->status / 100;
    call->api->calls[call->method][status_class < 6 ? status_class : 0]++;
}

static enum api_next run(struct api_call *call)
{
    struct err err = find_route(call);
    if (failed(err)) {
        // Who may not ask is not told what there is.
        const bool hide =
            !call->is_local && span_starts(call->path, SPAN("/api/")) &&
            (call->api->tokens == NULL || !tokens_is_admin(call->api->tokens, call->token));
        return api_problem(call, hide && GUARD(ADMIN_HIDES) ? ERR(ADMIN_AUTH) : err, NULL, NULL);
    }
    if (!may(call) || !query_is_known(call) || (call->route->body == BODY && !read_body(call)))
        return API_NOW;
    return call->route->run(call);
}

bool api_begin(struct api *api, struct api_call *call)
{
    call->api = api;
    call->status = 0;
    call->etag = 0;
    call->allow = NULL;
    call->input = NULL;
    call->work = NULL;
    memset(call->id, 0, sizeof(call->id));
    memset(&call->text, 0, sizeof(call->text));
    if (run(call) == API_LATER)
        return false;
    count(call);
    return true;
}

void api_finish(struct api_call *call)
{
    count(call);
    call->done(call);
}

void api_reply(struct api_call *call, int status, json_t *json)
{
    answer_as(call, status, status < 400 ? "application/json" : "application/problem+json", json);
    api_finish(call);
}

void api_call_fini(struct api_call *call)
{
    json_forget(call->input);
    call->input = NULL;
    change_fini(&call->change);
    text_fini(&call->text);
}
