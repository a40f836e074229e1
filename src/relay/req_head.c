// HEAD and AUTH: from a parsed head to a request that may exist.
#include "cors.h"
#include "fields.h"
#include "models.h"
#include "penstock/base/check.h"
#include "penstock/codec/url.h"
#include "reply.h"
#include "req.h"

static void req_timeout(struct timer *timer)
{
    loop_ready(&container_of(timer, struct req, timer)->shard->loop,
               &container_of(timer, struct req, timer)->task);
}

// A 128-bit id in 26 characters of Crockford's base32: unique to this process by its counter and
// to this boot by its random start.
void req_make_id(struct shard *shard, uint8_t bytes[USAGE_ID_BYTES], char text[REQ_ID_LEN])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint64_t low = ++shard->id_state, high = shard->loop.wall_ns;
    low *= UINT64_C(0x9e3779b97f4a7c15); // a bijection: still unique, but not a visible counter
    memcpy(bytes, &high, 8);
    memcpy(bytes + 8, &low, 8);
    // Twelve digits are 60 bits; the two in front are what is left of 128.
    enum { GROUP = 12, GROUP_BITS = 5 * GROUP };
    uint64_t middle = low >> GROUP_BITS | high << (64 - GROUP_BITS);
    uint64_t top = high >> (2 * GROUP_BITS - 64);
    for (unsigned i = 1; i <= GROUP; i++, low >>= 5, middle >>= 5) {
        text[REQ_ID_LEN - i] = digits[low & 31];
        text[REQ_ID_LEN - GROUP - i] = digits[middle & 31];
    }
    text[1] = digits[top & 31];
    text[0] = digits[top >> 5];
}

static struct req *req_new(struct shard *shard, struct stream *stream)
{
    struct req *req = slab_take(&shard->reqs);
    if (req == NULL)
        return NULL;
    memset(req, 0, sizeof(*req));
    req->shard = shard;
    req->stream = stream;
    req->timer.on_fire = req_timeout;
    task_init(&req->task, req_run);
    list_init(&req->link);
    list_push_back(&shard->live, &req->link);
    arena_init(&req->arena, &shard->chunks);
    stream->owner = &req->task;
    req_make_id(shard, req->record.request_id, req->id);
    req->record.start_ns = shard->loop.wall_ns;
    counter_add(&shard->counters.in_flight, 1);
    uint64_t total = shard->shared->relay->total_ns;
    req->deadline_ns = total != 0 ? shard->loop.now_ns + total : 0;
    return req;
}

// Every place where a client may put its key; all that are there must agree.
static struct err find_key(const struct http_head *head, struct span query, bool query_allowed,
                           char *room, struct span *key)
{
    static const enum http_field_id plain[] = { HF_X_API_KEY, HF_X_GOOG_API_KEY, HF_API_KEY };
    *key = SPAN_NONE;
    for (size_t i = 0; i <= ARRAY_LEN(plain); i++) {
        bool bearer = i == ARRAY_LEN(plain);
        const struct http_field *field =
            http_field_find(head, bearer ? HF_AUTHORIZATION : plain[i]);
        for (; field != NULL; field = http_field_next(head, field)) {
            struct span value = field->value;
            if (bearer) {
                if (value.len < 7 || !span_eq_nocase(span_upto(value, 7), SPAN("Bearer ")))
                    return ERR(KEY_INVALID);
                value = span_trim(span_from(value, 7));
            }
            if (key->len > 0 && !span_eq(*key, value))
                return ERR(KEY_AMBIGUOUS);
            *key = value;
        }
    }
    struct url_param param;
    if (query_allowed && url_param_find(query, SPAN("key"), &param)) {
        struct span value = url_text_decode(param.value, room, param.value.len);
        if (key->len > 0 && !span_eq(*key, value))
            return ERR(KEY_AMBIGUOUS);
        *key = value;
    }
    return key->len > 0 ? OK : ERR(KEY_MISSING);
}

static enum format format_of(enum wire_family family)
{
    switch (family) {
    case FAMILY_OPENAI: return FORMAT_OPENAI;
    case FAMILY_RESPONSES: return FORMAT_RESPONSES;
    case FAMILY_ANTHROPIC: return FORMAT_ANTHROPIC;
    case FAMILY_GEMINI: return FORMAT_GEMINI;
    }
    bug("a family is one of four");
}

// The path is the same for the model lists of three APIs; the client's fields tell which it means.
static enum wire_family family_by_fields(const struct http_head *head, enum wire_family guess)
{
    if (http_field_find(head, HF_X_GOOG_API_KEY) != NULL)
        return FAMILY_GEMINI;
    for (unsigned i = 0; i < head->field_count; i++)
        if (span_eq_nocase(head->fields[i].name, SPAN("anthropic-version")))
            return FAMILY_ANTHROPIC;
    return guess;
}

static struct err route_and_auth(struct req *req, const struct http_head *head,
                                 struct wire_route *route, struct url_target *target)
{
    struct shard *shard = req->shard;
    TRY(url_target_parse(head->target, shard->target_room, sizeof(shard->target_room), target));
    bool post = head->method == HTTP_POST;
    *route = wire_route_find(target->path, post ? METHOD_POST : METHOD_GET);
    req->family = (uint8_t)route->family;
    if (route->op == OP_MODELS || route->op == OP_MODEL)
        req->family = (uint8_t)family_by_fields(head, route->family);
    req->format = (uint8_t)format_of((enum wire_family)req->family);
    req->op = (uint8_t)route->op;
    req->allow = post ? SPAN("GET, HEAD") : SPAN("POST");
    if (route->op == OP_NONE)
        return route->path_known ? ERR(METHOD_NOT_ALLOWED) : ERR(ROUTE_UNKNOWN);
    if (!post && head->method != HTTP_GET && head->method != HTTP_HEAD) {
        req->allow = SPAN("GET, HEAD");
        return ERR(METHOD_NOT_ALLOWED);
    }

    char *key_room = arena_take(&req->arena, max_size(target->query.len, 1));
    if (key_room == NULL)
        return req->arena.starved ? ERR(OVERLOADED) : ERR(TARGET_TOO_LONG);
    struct span text;
    bool query_allowed = req->family == FAMILY_GEMINI;
    TRY(find_key(head, target->query, query_allowed, key_room, &text));
    const struct snap_key *key;
    _Static_assert(sizeof(struct snap_memo) <= SERVE_APP_BYTES, "one connection's memory");
    struct snap_memo *memo = stream_app_room(req->stream);
    struct err err = snapshot_auth_memo(shard->snap, memo, text, shard->loop.wall_ns, &key);
    bytes_wipe(key_room, target->query.len);
    TRY(err);
    req->record.key_id = key->usage_id;
    memcpy(req->key_digest, key->digest, sizeof(req->key_digest));
    TRY(snap_key_allows(key, (enum format)req->format, SPAN_NONE));
    return budget_level(&shard->net.budget) == BUDGET_SHED ? ERR(OVERLOADED) : OK;
}

void req_on_request(struct http_app *app, struct stream *stream, const struct http_head *head)
{
    struct shard *shard = container_of(app, struct shard, app);
    if (head->method == HTTP_GET && span_eq(head->target, SPAN("/livez"))) {
        stream_answer(stream, 200, SPAN("text/plain"), SPAN_NONE, SPAN("ok\n"));
        return;
    }
    if (head->method == HTTP_OPTIONS && cors_preflight(shard, stream, head))
        return;
    struct req *req = req_new(shard, stream);
    if (req == NULL) {
        reply_early(shard, stream, head->target, ERR(OVERLOADED));
        return;
    }
    struct wire_route route = { .op = OP_NONE };
    struct url_target target = { SPAN_NONE, SPAN_NONE };
    req->step = STEP_BODY;
    req->origin = arena_copy(&req->arena, cors_origin(shard, head));
    struct err err = route_and_auth(req, head, &route, &target);
    req->record.format = req->format;
    if (!failed(err))
        err = coding_find(head, &req->coding);
    if (!failed(err) && route.model.len > 0) {
        char *room = arena_take(&req->arena, route.model.len);
        struct span model =
            room != NULL ? url_path_decode(route.model, room, route.model.len) : SPAN_NONE;
        req->model = arena_copy(&req->arena, model);
        req->version = arena_copy(&req->arena, route.version);
    }
    if (!failed(err) && (route.op == OP_RESPONSE_GET || route.op == OP_RESPONSE_CANCEL))
        err = ERR(RESPONSE_UNKNOWN);
    if (!failed(err) && (route.op == OP_MODELS || route.op == OP_MODEL)) {
        err = models_answer(req, target.query);
        if (!failed(err)) {
            req->step = STEP_DONE;
            loop_ready(&shard->loop, &req->task);
            return;
        }
    }
    if (!failed(err))
        err = fields_collect(req, head, target.query);
    if (req->arena.starved)
        err = ERR(OVERLOADED);
    if (failed(err)) {
        req->err = err;
        req->step = STEP_FAIL;
        loop_ready(&shard->loop, &req->task);
        return;
    }
    req->record.route = req->op;
    req_arm_total(req);
    stream_collect(stream, shard->shared->relay->body_bytes);
}
