// HEAD and AUTH: from a parsed head to a request that may exist.
#include "cors.h"
#include "fields.h"
#include "models.h"
#include "own.h"
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/codec/url.h"
#include "reply.h"
#include "req.h"

// Crockford's base32, two digits for ten bits.
#define PAIR(a, b) \
    {              \
        (a), (b)   \
    }
#define FOUR(a, b, c, d, e) PAIR(a, b), PAIR(a, c), PAIR(a, d), PAIR(a, e)
#define ROW(a)                                                                                     \
    {                                                                                              \
        FOUR(a, '0', '1', '2', '3'), FOUR(a, '4', '5', '6', '7'), FOUR(a, '8', '9', 'a', 'b'),     \
            FOUR(a, 'c', 'd', 'e', 'f'), FOUR(a, 'g', 'h', 'j', 'k'), FOUR(a, 'm', 'n', 'p', 'q'), \
            FOUR(a, 'r', 's', 't', 'v'), FOUR(a, 'w', 'x', 'y', 'z'),                              \
    }
static const char base32[32][32][2] = {
    ROW('0'), ROW('1'), ROW('2'), ROW('3'), ROW('4'), ROW('5'), ROW('6'), ROW('7'),
    ROW('8'), ROW('9'), ROW('a'), ROW('b'), ROW('c'), ROW('d'), ROW('e'), ROW('f'),
    ROW('g'), ROW('h'), ROW('j'), ROW('k'), ROW('m'), ROW('n'), ROW('p'), ROW('q'),
    ROW('r'), ROW('s'), ROW('t'), ROW('v'), ROW('w'), ROW('x'), ROW('y'), ROW('z'),
};

// A 128-bit id in 26 characters: unique to this process by its counter and to this boot by its
// random start.
void req_make_id(struct shard *shard, uint8_t bytes[USAGE_ID_BYTES], char text[REQ_ID_LEN])
{
    uint64_t low = ++shard->id_state, high = shard->loop.wall_ns;
    low *= UINT64_C(0x9e3779b97f4a7c15); // a bijection: still unique, but not a visible counter
    memcpy(bytes, &high, 8);
    memcpy(bytes + 8, &low, 8);
    // Twelve digits are 60 bits; the two in front are what is left of 128.
    enum { GROUP = 12, GROUP_BITS = 5 * GROUP, PAIR_BITS = 10 };
    const char(*pairs)[2] = base32[0];
    uint64_t middle = low >> GROUP_BITS | high << (64 - GROUP_BITS);
    for (unsigned i = 2; i <= GROUP; i += 2, low >>= PAIR_BITS, middle >>= PAIR_BITS) {
        memcpy(text + REQ_ID_LEN - i, pairs[low % BIT(PAIR_BITS)], 2);
        memcpy(text + REQ_ID_LEN - GROUP - i, pairs[middle % BIT(PAIR_BITS)], 2);
    }
    memcpy(text, pairs[high >> (2 * GROUP_BITS - 64)], 2);
}

static struct req *req_new(struct shard *shard, struct stream *stream)
{
    struct req *req = slab_take(&shard->reqs);
    if (req == NULL)
        return NULL;
    memset(req, 0, offsetof(struct req, fetch));
    fetch_init(&req->fetch);
    req->shard = shard;
    req->stream = stream;
    task_init(&req->task, req_run);
    list_init(&req->link);
    list_push_back(&shard->live, &req->link);
    arena_init(&req->arena, &shard->chunks);
    stream->owner = &req->task;
    own_begin(req);
    req_make_id(shard, req->record.request_id, req->id);
    req->record.start_ns = shard->loop.wall_ns;
    if (shard->access != NULL && shard->shared->relay->log_access)
        (void)stream_peer(stream); // while the connection is there
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
            if (key->len > 0 && !span_eq(*key, value) && GUARD(RELAY_ONE_KEY))
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

// Whether the key may be used now, and for this format: asked for each request, whatever is known
// of its head.
static struct err authorise(struct req *req)
{
    struct shard *shard = req->shard;
    TRY(snapshot_auth(shard->snap, req->key_digest, shard->loop.wall_ns, &req->key));
    req->generation = snapshot_generation(shard->snap);
    req->record.key_id = req->key->usage_id;
    TRY(snap_key_allows(req->key, (enum format)req->format, SPAN_NONE));
    bool shed = budget_level(&shard->net.budget) == BUDGET_SHED && GUARD(RELAY_SHED);
    if (shed)
        counter_add(&shard->counters.limited[LIMIT_MEMORY], 1);
    return shed ? ERR(OVERLOADED) : OK;
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
    bool query_allowed = req->family == FAMILY_GEMINI || !GUARD(RELAY_QUERY_KEY);
    TRY(find_key(head, target->query, query_allowed, key_room, &text));
    struct err err = snapshot_digest(shard->snap, text, req->key_digest);
    bytes_wipe(key_room, target->query.len);
    TRY(err);
    return authorise(req);
}

// The whole look at a head.
static struct err head_read(struct req *req, const struct http_head *head,
                            struct url_target *target)
{
    struct wire_route route = { .op = OP_NONE };
    req->origin = arena_copy(&req->arena, cors_origin(req->shard, head));
    fields_trace(req, head);
    TRY(route_and_auth(req, head, &route, target));
    TRY(coding_find(head, &req->coding));
    if (route.model.len > 0) {
        char *room = arena_take(&req->arena, route.model.len);
        struct span model =
            room != NULL ? url_path_decode(route.model, room, route.model.len) : SPAN_NONE;
        req->model = arena_copy(&req->arena, model);
        req->version = arena_copy(&req->arena, route.version);
    }
    if (route.op == OP_RESPONSE_GET || route.op == OP_RESPONSE_CANCEL)
        return ERR(RESPONSE_UNKNOWN);
    if (route.op == OP_MODELS || route.op == OP_MODEL)
        return OK;
    return fields_collect(req, head, target->query);
}

// What a head led to, kept beside it: the same head leads to the same again.
enum { NOTE_TEXTS = 5 };
struct head_note {
    bool is_set;
    bool strict;
    uint32_t settings; // that the head was read with: relay_limits.generation
    uint64_t head_nr;
    uint8_t op, family, format;
    enum coding coding;
    uint32_t fields_dropped;
    uint8_t key_digest[DIGEST_BYTES];
    struct trace_ids trace;
    uint16_t lens[NOTE_TEXTS]; // of the texts in `bytes`
    char bytes[];
};

// The texts of a request that come from its head; all lie in the arena.
static void head_texts(struct req *req, struct span *texts[NOTE_TEXTS])
{
    struct span *all[] = { &req->fields, &req->query, &req->model, &req->version, &req->origin };
    _Static_assert(ARRAY_LEN(all) == NOTE_TEXTS, "every text is noted");
    memcpy(texts, all, sizeof(all));
}

static void note_write(struct head_note *note, struct req *req)
{
    struct shard *shard = req->shard;
    struct span *texts[NOTE_TEXTS];
    head_texts(req, texts);
    struct put out = put_into(note->bytes, HTTP_KNOWN_ROOM - offsetof(struct head_note, bytes));
    for (unsigned i = 0; i < NOTE_TEXTS; i++) {
        put_span(&out, *texts[i]);
        note->lens[i] = (uint16_t)texts[i]->len;
    }
    note->settings = shard->shared->relay->generation;
    note->op = req->op;
    note->family = req->family;
    note->format = req->format;
    note->coding = req->coding;
    note->fields_dropped = req->fields_dropped;
    note->strict = req->strict;
    note->trace = req->trace;
    memcpy(note->key_digest, req->key_digest, sizeof(note->key_digest));
    note->head_nr = ++shard->head_count;
    note->is_set = !out.full;
}

static struct err note_read(const struct head_note *note, struct req *req)
{
    struct span *texts[NOTE_TEXTS];
    head_texts(req, texts);
    size_t len = 0;
    for (unsigned i = 0; i < NOTE_TEXTS; i++)
        len += note->lens[i];
    char *copy = arena_take(&req->arena, max_size(len, 1));
    if (copy == NULL)
        return ERR(OVERLOADED);
    memcpy(copy, note->bytes, len);
    for (unsigned i = 0; i < NOTE_TEXTS; copy += note->lens[i++])
        *texts[i] = span_of(copy, note->lens[i]);
    req->op = note->op;
    req->family = note->family;
    req->format = note->format;
    req->coding = note->coding;
    req->fields_dropped = note->fields_dropped;
    req->strict = note->strict;
    req->head_nr = note->head_nr;
    req->trace = note->trace;
    memcpy(req->key_digest, note->key_digest, sizeof(req->key_digest));
    return authorise(req);
}

// Ends a request that needs no vendor.
static void settle(struct req *req, enum step step)
{
    req->step = (uint8_t)step;
    loop_ready(&req->shard->loop, &req->task);
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
    struct head_note *note = stream_head_room(stream);
    struct url_target target = { SPAN_NONE, SPAN_NONE };
    const uint32_t settings = shard->shared->relay->generation;
    bool noted =
        note != NULL && note->is_set && (note->settings == settings || !GUARD(RELAY_HEAD_SETTINGS));
    struct err err = noted ? note_read(note, req) : head_read(req, head, &target);
    req->record.format = req->format;
    counter_add(&shard->counters.in_flight[req->op], 1);
    bool lists = req->op == OP_MODELS || req->op == OP_MODEL;
    if (!failed(err) && lists)
        err = models_answer(req, target.query);
    if (req->arena.starved)
        err = ERR(OVERLOADED);
    if (failed(err)) {
        req->err = err;
        req->stage = STAGE_HEAD;
        settle(req, STEP_FAIL);
        return;
    }
    if (lists) {
        own_end(req, OWN_WRITE);
        settle(req, STEP_DONE);
        return;
    }
    if (!noted && note != NULL)
        note_write(note, req); // over what other settings led to
    counter_add(&shard->counters.fields_dropped, req->fields_dropped);
    req->record.route = req->op;
    req_arm_total(req);
    stream_collect(stream, shard->shared->relay->body_bytes);
    if (stream->body_state == BODY_COLLECTING)
        own_rest(req);
}
