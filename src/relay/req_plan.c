// BODY, PLAN and PICK: from the client's bytes to an account and the request it will get.
#include "answer.h"
#include "fields.h"
#include "lack.h"
#include "own.h"
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/codec/json_writer.h"
#include "penstock/convert/mend.h"
#include "req.h"
#include "req_convert.h"
#include "req_issuer.h"
#include "unpack.h"
#include "up_head.h"

// Of a body, in one turn: a whole one of the usual length, which is then still in the cache when it
// is sent.
enum { PLAN_STEP = 512 * KIB };

enum next step_body(struct req *req)
{
    struct stream *stream = req->stream;
    if (stream->client == CLIENT_GONE)
        return req_fail(req, ERR(CLIENT_GONE));
    if (req_is_late(req))
        return req_fail(req, ERR(BODY_TIMEOUT));
    switch ((enum body_state)stream->body_state) {
    case BODY_NONE:
    case BODY_COLLECTING: return NEXT_WAIT;
    case BODY_FAILED: return req_fail(req, stream->body_err);
    case BODY_COMPLETE: break;
    }
    own_begin(req);
    if (req->coding != CODING_IDENTITY) {
        struct err err = req->unpack == NULL ? unpack_begin(req, req->coding, false) : OK;
        if (failed(err))
            return req_fail(req, err);
        enum parse parse = unpack_body(req, &err);
        if (parse == PARSE_BAD)
            return req_fail(req, err);
        if (parse == PARSE_MORE) {
            loop_ready(&req->shard->loop, &req->task);
            return NEXT_WAIT;
        }
    }
    req->record.bytes_in = stream->body.len;
    return req_goto(req, STEP_PLAN);
}

static struct plan *plan_begin(struct req *req)
{
    struct plan *plan = arena_take(&req->arena, sizeof(*plan));
    if (plan == NULL)
        return NULL;
    plan->splice.count = 0; // the rest is set below, or counted by this
    plan->issuers = (struct issuers){ 0 };
    plan->items[BODY_MODEL].name = SPAN("model");
    plan->items[BODY_STREAM].name = SPAN("stream");
    plan->items[BODY_STREAM_OPTIONS].name = SPAN("stream_options");
    plan->items[BODY_PREVIOUS].name = SPAN("previous_response_id");
    for (size_t i = 0; i < BODY_MEMBERS; i++)
        plan->items[i].decides = true;
    json_members_init(&plan->members, plan->items, BODY_MEMBERS);
    plan->members.scan.marks = &mend_marks;
    json_members_limit(&plan->members, req->shard->shared->relay->json_depth);
    return plan;
}

static struct json_slice body_value(const struct req *req, unsigned item)
{
    return json_member_value(&req->plan->items[item], req->stream->body);
}

static struct err read_model(struct req *req)
{
    if (req->family == FAMILY_GEMINI)
        return req->model.len > 0 ? OK : ERR(MODEL_MISSING);
    struct json_slice model = body_value(req, BODY_MODEL);
    if (model.kind == JK_NONE)
        return ERR(MODEL_MISSING);
    if (model.kind != JK_STRING)
        return ERR(JSON_TYPE);
    if (likely(json_string_is_plain(model) && json_string_raw(model).len <= MODEL_NAME_MAX)) {
        req->model = json_string_raw(model);
        return req->model.len > 0 ? OK : ERR(MODEL_MISSING);
    }
    char *room = arena_take(&req->arena, MODEL_NAME_MAX);
    if (room == NULL)
        return ERR(OVERLOADED);
    bool cut = false;
    size_t len = json_string_decode(model, room, MODEL_NAME_MAX, &cut);
    if (cut)
        return ERR(MODEL_UNKNOWN);
    req->model = span_of(room, len);
    return len > 0 ? OK : ERR(MODEL_MISSING);
}

static struct err read_stream(struct req *req)
{
    if (req->family == FAMILY_GEMINI) {
        req->stream_wanted = req->op == OP_GEMINI_STREAM;
        return OK;
    }
    struct json_slice stream = body_value(req, BODY_STREAM);
    if (stream.kind != JK_NONE && stream.kind != JK_NULL && stream.kind != JK_TRUE &&
        stream.kind != JK_FALSE)
        return ERR(JSON_TYPE);
    req->stream_wanted = stream.kind == JK_TRUE;
    return OK;
}

// Most requests of a shard ask for the model that the one before asked for.
static struct snap_route find_route(struct req *req)
{
    struct shard *shard = req->shard;
    struct route_memo *memo = &shard->route;
    const uint64_t generation = snapshot_generation(shard->snap);
    if (likely(memo->generation == generation && memo->format == req->format &&
               span_eq_name(req->model, span_of(memo->model, memo->model_len))))
        return memo->route;
    const struct snap_route route =
        snapshot_route(shard->snap, (enum format)req->format, req->model);
    if (req->model.len > 0 && req->model.len <= sizeof(memo->model)) {
        memo->generation = generation;
        memo->format = req->format;
        memo->model_len = (uint16_t)req->model.len;
        memcpy(memo->model, req->model.ptr, req->model.len);
        memo->route = route;
        memo->candidate = NULL;
    }
    return route;
}

// What the newest snapshot says. Its parts are looked up once, and again when there is a newer one.
static void look_again(struct req *req)
{
    const struct snapshot *snap = req->shard->snap;
    if (req->generation == snapshot_generation(snap))
        return;
    req->generation = snapshot_generation(snap);
    req->key = snapshot_key(snap, req->key_digest);
    req->route = find_route(req);
}

// The pass over the body, or a look at whether it is built like the last one under such a head.
static enum parse read_members(struct req *req, struct err *err)
{
    struct shard *shard = req->shard;
    struct json_members *members = &req->plan->members;
    const struct span body = req->stream->body;
    const bool whole = members->scan.pos == 0 && body.len <= PLAN_STEP; // in one turn
    struct json_shape *shape =
        whole && req->head_nr != 0 ? &shard->habits[req->head_nr % SHARD_HABITS].shape : NULL;
    if (shape == NULL || !likeness_due(&shape->likeness))
        return json_members_feed(members, body, true, PLAN_STEP, err);
    if (likely(json_shape_take(shape, body, members)))
        return PARSE_DONE;
    json_scan_texts(&members->scan, &shard->texts);
    enum parse parse = json_members_feed(members, body, true, PLAN_STEP, err);
    if (parse == PARSE_DONE)
        json_shape_learn(shape, body, &shard->texts, members);
    return parse;
}

enum next step_plan(struct req *req)
{
    struct stream *stream = req->stream;
    struct shard *shard = req->shard;
    if (stream->client == CLIENT_GONE)
        return req_fail(req, ERR(CLIENT_GONE));
    if (req->plan == NULL)
        req->plan = plan_begin(req);
    if (req->plan == NULL)
        return req_fail(req, ERR(OVERLOADED));
    struct err err = OK;
    switch (read_members(req, &err)) {
    case PARSE_MORE: // the rest of a large body is the next turn's work
        loop_ready(&shard->loop, &req->task);
        return NEXT_WAIT;
    case PARSE_DONE: break;
    case PARSE_DATA: bug("the members come all at once");
    case PARSE_BAD: {
        if (!GUARD(RELAY_BODY_VALID))
            break;
        char *room = arena_take(&req->arena, JSON_MEMBERS_REPORT);
        if (room != NULL)
            req->detail =
                span_of(room, json_members_report(&req->plan->members, stream->body, room));
        return req_fail(req, err);
    }
    }
    err = read_model(req);
    if (!failed(err))
        err = read_stream(req);
    if (failed(err))
        return req_fail(req, err);
    if (req->stream_wanted)
        req->record.flags |= USAGE_STREAM;
    look_again(req); // the key may have been revoked while the body was on its way
    req->route = find_route(req);
    usage_record_set_model(&req->record, req->model, req->route.model_id);

    // A response lives at the account that made it. With one account there is no doubt which.
    struct json_slice previous = body_value(req, BODY_PREVIOUS);
    if (previous.kind == JK_STRING && req->route.own_count != 1)
        return req_fail(req, ERR(STORED_RESPONSE));
    if ((req->key == NULL || !req->key->enabled) && GUARD(RELAY_KEY_REVOKED))
        return req_fail(req, ERR(KEY_INVALID));
    err = snap_key_allows(req->key, (enum format)req->format, req->model);
    if (failed(err))
        return req_fail(req, err);
    issuer_look(req);
    return req_goto(req, STEP_PICK);
}

// --- PICK ---

static bool was_tried(const struct req *req, struct slot_ref slot)
{
    for (unsigned i = 0; i < req->tried_count; i++)
        if (req->tried[i].idx == slot.idx && req->tried[i].generation == slot.generation)
            return true;
    return false;
}

_Static_assert((int)FIGURES_PROVIDERS == 1 + (int)ACCOUNT_TYPE_COUNT, "every type is counted");

static const struct snap_account *account_of(const struct req *req, uint32_t at)
{
    return snapshot_account(req->shard->snap, req->route.candidates[at].account);
}

// Takes the candidate if it can be asked.
static bool take(const struct req *req, uint32_t at, bool *full)
{
    struct shard *shard = req->shard;
    const struct snap_account *account = account_of(req, at);
    if (!account->enabled || was_tried(req, account->slot))
        return false;
    const struct snap_candidate *candidate = &req->route.candidates[at];
    const enum wire_op op = (enum wire_op)req->op;
    if (candidate->format != req->format && !wire_op_converts(op))
        return false;
    if (wire_op_counts(op) && lack_is_known(req, account, candidate->model))
        return false;
    if (account->expires_at != 0 && account->expires_at <= shard->loop.wall_ns)
        return false;
    struct slot *slot = slot_at(shard->shared->slots, account->slot.idx);
    if (slot_is_out(slot, shard->loop.now_ns))
        return false;
    const bool taken = slot_enter(slot, account->in_flight_max);
    *full |= !taken;
    return taken;
}

// Whether this is the account that was asked last.
static bool is_asked(const struct req *req, uint32_t at)
{
    const struct slot_ref slot = account_of(req, at)->slot;
    return slot.idx == req->account_slot.idx && slot.generation == req->account_slot.generation;
}

// Who signed the newest thought of the history takes the place of others of its priority.
static uint32_t prefer(const struct req *req, uint32_t at)
{
    const struct snap_route *route = &req->route;
    const uint64_t issuer = req->plan->issuers.newest;
    if (issuer == 0 || route->ordered)
        return at;
    const int64_t priority = account_of(req, at)->priority;
    for (uint32_t i = at; i < route->count && account_of(req, i)->priority == priority; i++)
        if (account_of(req, i)->usage_id == issuer && route->candidates[i].format == req->format)
            return i;
    return at;
}

// Simple order of priority; the scheduler takes this function's place.
static const struct snap_candidate *pick(struct req *req, bool *full)
{
    *full = false;
    look_again(req);
    for (uint32_t i = 0; i < req->route.count && req->again; i++)
        if (is_asked(req, i) && take(req, i, full)) {
            req->again = false;
            return &req->route.candidates[i];
        }
    req->again = false;
    for (uint32_t i = 0; i < req->route.count; i++) {
        const uint32_t better = prefer(req, i);
        if (better != i && take(req, better, full))
            return &req->route.candidates[better];
        if (take(req, i, full))
            return &req->route.candidates[i];
    }
    return NULL;
}

// The next account that can be asked. One of another format may be no match for what this request
// says: then the next one is looked at, and *err tells what was wrong. *waits: the request is still
// being carried over.
static const struct snap_account *pick_fit(struct req *req, struct span *vendor_model,
                                           struct err *err, bool *waits)
{
    *err = OK;
    *waits = false;
    look_again(req);
    const struct snap_candidate *candidate = convert_candidate(req);
    req->converts = req->converts && candidate != NULL;
    while (candidate != NULL || req->tried_count < REQ_TRIED_MAX) {
        bool full;
        const bool begun = candidate != NULL;
        candidate = begun ? candidate : pick(req, &full);
        if (candidate == NULL) {
            if (full)
                counter_add(&req->shard->counters.limited[LIMIT_ACCOUNT], 1);
            return NULL;
        }
        const struct snap_account *account = snapshot_account(req->shard->snap, candidate->account);
        if (!begun)
            req->tried[req->tried_count++] = account->slot;
        const enum format format = convert_format(req, account, candidate);
        *vendor_model = candidate->model;
        req->converts =
            format != (enum format)req->format ||
            (req->op == OP_COMPLETIONS && lack_is_known(req, account, candidate->model));
        req->up_op = req->op;
        if (!req->converts)
            return account;
        struct err refused;
        const enum parse parse = convert_request(req, candidate, format, &refused);
        *waits = parse == PARSE_MORE;
        if (parse != PARSE_BAD)
            return parse == PARSE_DONE ? account : NULL;
        slot_leave(slot_at(req->shard->shared->slots, account->slot.idx));
        req->converts = false;
        *err = refused;
        if (refused.side != SIDE_CLIENT)
            return NULL;
        candidate = NULL;
    }
    return NULL;
}

static uint64_t or_else(uint64_t own, uint64_t common)
{
    return own != 0 ? own : common;
}

// {"include_usage":true} where the client asked for none: without it a vendor says nothing of usage
// in a stream.
static void edit_stream_options(struct req *req)
{
    if (!req->stream_wanted || (req->op != OP_CHAT && req->op != OP_COMPLETIONS))
        return;
    const struct json_member *item = &req->plan->items[BODY_STREAM_OPTIONS];
    struct json_slice options = body_value(req, BODY_STREAM_OPTIONS);
    req->usage_added = true;
    if (options.kind == JK_OBJECT) {
        struct json_slice include = json_get(options, SPAN("include_usage"));
        if (include.kind == JK_TRUE) {
            req->usage_added = false;
        } else if (include.kind != JK_NONE) {
            size_t at = (size_t)(include.text.ptr - req->stream->body.ptr);
            splice_add(&req->plan->splice, at, include.text.len, SPAN("true"));
        } else {
            struct json_iter members = json_members_of(options);
            struct span name;
            struct json_slice value;
            bool any = json_member_next(&members, &name, &value);
            splice_add(&req->plan->splice, item->place.at + 1, 0,
                       any ? SPAN("\"include_usage\":true,") : SPAN("\"include_usage\":true"));
        }
    } else if (item->found) {
        splice_add(&req->plan->splice, item->place.at, item->place.end - item->place.at,
                   SPAN("{\"include_usage\":true}"));
    } else {
        const struct json_member *stream = &req->plan->items[BODY_STREAM];
        splice_add(&req->plan->splice, stream->place.end, 0,
                   SPAN(",\"stream_options\":{\"include_usage\":true}"));
    }
}

static struct span json_text(struct req *req, struct span text)
{
    size_t room_len = text.len * 6 + 2; // every byte escaped, and quotes
    char *room = arena_take(&req->arena, room_len);
    if (room == NULL)
        return SPAN_NONE;
    struct jsonw out;
    jsonw_init(&out, room, room_len);
    jsonw_string(&out, text);
    return jsonw_done(&out);
}

// Where the vendor calls the model otherwise, its name goes there and the client's comes back.
static struct err edit_model(struct req *req)
{
    req->alias = SPAN_NONE;
    if (req->vendor_model.len == 0 || span_eq(req->vendor_model, req->model) || req->converts)
        return OK;
    req->alias = json_text(req, req->model);
    if (req->alias.len == 0)
        return ERR(OVERLOADED);
    if (req->family == FAMILY_GEMINI)
        return OK; // the path carries it
    struct span name = json_text(req, req->vendor_model);
    if (name.len == 0)
        return ERR(OVERLOADED);
    const struct json_place *place = &req->plan->items[BODY_MODEL].place;
    splice_add(&req->plan->splice, place->at, place->end - place->at, name);
    return OK;
}

// The credential without the scheme in front of it.
static struct span bare_secret(struct span value)
{
    struct span scheme = SPAN("Bearer ");
    return span_starts(value, scheme) ? span_from(value, scheme.len) : value;
}

static bool may_be_served(const struct req *req)
{
    return req->route.own_count > 0 ||
           (req->route.count > 0 &&
            (wire_op_converts((enum wire_op)req->op) || wire_op_counts((enum wire_op)req->op)));
}

enum next step_pick(struct req *req)
{
    struct shard *shard = req->shard;
    const struct relay_limits *limits = shard->shared->relay;
    if (convert_is_out(req))
        return NEXT_WAIT;
    if (req->stream->client == CLIENT_GONE)
        return req_fail(req, ERR(CLIENT_GONE));
    struct span vendor_model = SPAN_NONE;
    struct err err;
    bool waits;
    const struct snap_account *account = pick_fit(req, &vendor_model, &err, &waits);
    if (waits)
        return NEXT_WAIT;
    if (account == NULL) {
        if (req->attempts > 0)
            return req_give_up(req); // the last vendor's error is the answer
        if (!failed(err))
            err = may_be_served(req) ? ERR(NO_ACCOUNT) : ERR(MODEL_UNKNOWN);
        else if (req->conversion != NULL)
            req->detail = convert_detail(req);
        return req_fail(req, err);
    }
    pump_hold_drop(req); // of the attempt before
    req->up_status = 0;
    req->leased = true;
    req->provider = (uint8_t)(1 + account->type);
    counter_add(&shard->counters.upstream_active[req->provider], 1);
    req->account_slot = account->slot;
    if (req->attempts++ == 0)
        req->record.queue_us = own_age_us(req);
    req->fresh = false;
    req->stale_retries = 0;
    req->record.attempts = req->attempts;
    req->record.account_id = account->usage_id;
    req->record.flags &= (uint16_t)~USAGE_CONVERTED;
    req->record.flags |= req->converts ? USAGE_CONVERTED : 0;
    req->record.vendor_model_id = usage_model_id(vendor_model);
    req->dest = account->dest;
    req->vendor_model = arena_copy(&req->arena, vendor_model);
    req->plan->splice.count = 0;
    req->first_byte_ns = req->stream_wanted
                             ? or_else(account->first_byte_stream_ns, limits->first_byte_stream_ns)
                             : or_else(account->first_byte_whole_ns, limits->first_byte_whole_ns);
    req->idle_ns = or_else(account->idle_ns, limits->stream_idle_ns);
    uint64_t total_ns = or_else(account->total_ns, limits->total_ns);
    req->deadline_ns = total_ns != 0 ? req->stream->started_ns + total_ns : 0;
    req->dial = (struct dial_limits){
        .dns_ns = limits->dns_ns,
        .connect_ns = or_else(account->connect_ns, limits->connect_ns),
        .handshake_ns = limits->handshake_ns,
    };
    req->usage_added = false;
    req->notes = !req->converts && issuer_is_due(req);
    if (!req->converts) {
        edit_stream_options(req);
        err = convert_mend(req, account, vendor_model);
        if (failed(err))
            return req_fail(req, err);
    }
    if (!answer_begin(req, bare_secret(snap_account_auth(account))))
        return req_fail(req, ERR(OVERLOADED));
    if (vendor_model.len > 0)
        answer_note_model(req->answer, vendor_model);
    err = edit_model(req);
    if (!failed(err))
        err = up_head_write(req, account);
    if (req->arena.starved)
        err = ERR(OVERLOADED);
    return failed(err) ? req_fail(req, err) : req_goto(req, STEP_DIAL);
}
