// Judges: what each client got against what vendors said, and in every turn the sums, bounds and
// deadlines of the shards.
#include "relay_sim.h"

#include "http/serve.h"
#include "relay/req.h"
#include "relay/req_convert.h"

enum {
    JUDGE_WATCHED = 1024,
    // A turn takes time, ticks of the wheel are 4 ms, completions may be noticed late.
    JUDGE_SLACK_MS = 250,
    JUDGE_ROOM_MS = 500,
    JUDGE_SLEEP_MS = 20,
};

static bool network_is_to_blame(const struct sim_world *world, const struct call *call)
{
    return world->hostile || call->excused || world->pressed || world->drained;
}

static bool any_ill(const struct call *call)
{
    for (unsigned i = 0; i < call->attempt_count; i++)
        if (call->attempts[i].ill != ILL_NONE || call->attempts[i].tainted)
            return true;
    return false;
}

// --- one answer

enum match {
    MATCH_NONE,
    MATCH_WHOLE,
    MATCH_TERMINAL, // up to the format's own end at least
    MATCH_EVENTS,   // whole events, without that end
    MATCH_BROKEN,   // the same and an error event
    MATCH_PREFIX,   // less than that
};

static bool is_start_of(struct span part, struct span whole)
{
    return part.len <= whole.len && memcmp(part.ptr, whole.ptr, part.len) == 0;
}

static struct span keepalive(const struct call *call)
{
    static const enum wire_family families[KIND_COUNT] = { FAMILY_OPENAI, FAMILY_RESPONSES,
                                                           FAMILY_ANTHROPIC, FAMILY_GEMINI,
                                                           FAMILY_GEMINI };
    switch (families[call->kind]) {
    case FAMILY_OPENAI:
    case FAMILY_RESPONSES: return SPAN(": keep-alive\n\n");
    case FAMILY_ANTHROPIC: return SPAN("event: ping\ndata: {\"type\": \"ping\"}\n\n");
    case FAMILY_GEMINI: return SPAN("\n");
    }
    bug("no family");
}

static enum match match_events(const struct call *call, const struct say *say, struct span body,
                               bool probed)
{
    unsigned i = 0;
    size_t from = 0;
    for (;;) {
        struct span probe = keepalive(call);
        struct span event =
            i < say->count ? span_of(say->text.ptr + from, say->ends[i] - from) : SPAN_NONE;
        if (event.len > 0 && span_starts(body, event)) {
            body = span_from(body, event.len);
            from = say->ends[i++];
        } else if (probed && body.len > 0 && span_starts(body, probe)) {
            body = span_from(body, probe.len);
        } else if (body.len == 0) {
            return i == say->count                 ? MATCH_WHOLE
                   : i > 0 && say->terminal[i - 1] ? MATCH_TERMINAL
                                                   : MATCH_EVENTS;
        } else if (say_is_error_event(call, body)) {
            return MATCH_BROKEN;
        } else {
            struct span errors[] = { SPAN("event: error\ndata: {"), SPAN("data: {\"error\":{") };
            bool torn = is_start_of(body, event) || (probed && is_start_of(body, probe));
            for (unsigned k = 0; k < ARRAY_LEN(errors); k++)
                torn |= is_start_of(span_upto(body, min_size(body.len, errors[k].len)), errors[k]);
            return torn ? MATCH_PREFIX : MATCH_NONE;
        }
    }
}

// An answer that was converted: what it says is compared, not how.
static enum match match_turned(const struct call *call, unsigned attempt, struct span body,
                               bool probed)
{
    struct text want = { 0 }, got = { 0 };
    say_text(call, attempt, &want);
    const enum heard heard = say_hear(call, body, probed ? keepalive(call) : SPAN_NONE, &got);
    const bool part = is_start_of(text_span(&got), text_span(&want));
    const bool all = part && got.len == want.len;
    text_fini(&want);
    text_fini(&got);
    switch (heard) {
    case HEARD_NOTHING: return MATCH_NONE;
    case HEARD_PART: return part ? MATCH_EVENTS : MATCH_NONE;
    case HEARD_TORN: return part ? MATCH_PREFIX : MATCH_NONE;
    case HEARD_ERROR: return part ? MATCH_BROKEN : MATCH_NONE;
    case HEARD_ALL: return all ? MATCH_WHOLE : MATCH_NONE;
    }
    bug("heard what?");
}

static enum match match_attempt(const struct call *call, unsigned attempt, struct span body,
                                bool probed)
{
    if (call->attempts[attempt].kind != call->kind)
        return match_turned(call, attempt, body, probed);
    struct say say;
    say_answer(call, attempt, true, &say);
    enum match match;
    if (say.count > 0)
        match = match_events(call, &say, body, probed);
    else if (span_eq(text_span(&say.text), body))
        match = MATCH_WHOLE;
    else
        match = is_start_of(body, text_span(&say.text)) ? MATCH_PREFIX : MATCH_NONE;
    say_fini(&say);
    return match;
}

// The attempt that the client's bytes come from. Beginnings of several can be alike; the last one
// is the one that counted.
static enum match match_any(const struct call *call, struct span body, bool probed, unsigned *which)
{
    enum match best = MATCH_NONE;
    for (unsigned i = call->attempt_count; i-- > 0;) {
        enum match match = match_attempt(call, i, body, probed);
        if (match != MATCH_NONE && (best == MATCH_NONE || match < best)) {
            best = match;
            *which = i;
        }
    }
    return best;
}

static void judge_good(struct client *client, struct call *call, const struct response *response,
                       bool cut)
{
    struct sim_world *world = client->world;
    struct span body = text_span(&response->body);
    unsigned which = 0;
    bool may_fail = any_ill(call) || network_is_to_blame(world, call) || call->slow;
    if (cut && body.len == 0) {
        call->fate = FATE_CUT;
        if (!may_fail)
            world_violation(world, "call %08x: cut without a reason", call->nonce);
        return;
    }
    enum match match = match_any(call, body, client->half_closed, &which);
    const struct attempt *attempt = &call->attempts[which];
    if (match == MATCH_NONE) {
        world_violation(world,
                        "call %08x (kind %u, %u attempts): %zu bytes that no vendor said to it: "
                        "%.*s ... %.*s",
                        call->nonce, call->kind, call->attempt_count, body.len,
                        (int)min_size(body.len, 400), body.ptr, (int)min_size(body.len, 300),
                        body.ptr + body.len - min_size(body.len, 300));
        return;
    }
    if (call->bad != BAD_NONE)
        world_violation(world, "call %08x: a good answer to a bad request", call->nonce);
    if (cut) {
        call->fate = FATE_CUT;
        if (!may_fail)
            world_violation(world, "call %08x: cut without a reason, attempt %u, %zu bytes",
                            call->nonce, which, body.len);
        return;
    }
    call->fate = match == MATCH_BROKEN ? FATE_BROKEN : FATE_WHOLE;
    bool torn_whole = match == MATCH_WHOLE && !call->stream && !attempt->whole;
    bool torn_array =
        call->kind == KIND_GEMINI_ARRAY && attempt->kind == call->kind && !attempt->whole;
    if (match == MATCH_EVENTS || match == MATCH_PREFIX || torn_whole || torn_array)
        world_violation(world,
                        "call %08x: a cut answer (ill %u, %zu of %zu bytes written) looks complete "
                        "(match %d, %zu bytes)",
                        call->nonce, attempt->ill, attempt->written, attempt->wire_len, match,
                        body.len);
    call->short_end = match == MATCH_TERMINAL;
    if (call->short_end && attempt->ill == ILL_NONE && !world->hostile)
        world_violation(world, "call %08x: the end of a good answer is missing", call->nonce);
    if (match == MATCH_BROKEN && !may_fail)
        world_violation(world, "call %08x: an error event without a reason", call->nonce);
}

static void judge_error(struct client *client, struct call *call, const struct response *response,
                        bool cut)
{
    static const int statuses[BAD_COUNT] = { 0, 401, 401, 404, 400, 400, 404, 400, 400, 413, 400 };
    struct sim_world *world = client->world;
    call->fate = cut ? FATE_CUT : FATE_ERROR;
    struct span body = text_span(&response->body);
    bool may_fail = network_is_to_blame(world, call) || call->slow;
    if (cut) {
        if (!may_fail && !any_ill(call) && call->bad == BAD_NONE)
            world_violation(world, "call %08x: an error cut short", call->nonce);
        return;
    }
    struct call other = *call;
    other.kind = call->bad == BAD_HEAD ? KIND_CHAT : call->kind;
    if (!say_is_error(&other, body))
        world_violation(world, "call %08x: status %d, not an error of its API: %.*s", call->nonce,
                        response->status, (int)min_size(body.len, 400), body.ptr);
    int want = statuses[call->bad];
    bool fits = response->status == want || (call->bad == BAD_PATH && response->status == 405);
    if (call->bad != BAD_NONE && !fits && !may_fail)
        world_violation(world, "call %08x: status %d, should be %d", call->nonce, response->status,
                        want);
    bool busy = world->limited && (response->status == 503 || response->status == 529);
    if (call->bad == BAD_NONE && !any_ill(call) && !busy && !may_fail)
        world_violation(world, "call %08x: status %d without a reason: %.*s", call->nonce,
                        response->status, (int)min_size(body.len, 400), body.ptr);
    if (call->bad == BAD_NONE && response->status == 401)
        world_violation(world, "call %08x: the vendor's 401 went to the client", call->nonce);
}

void judge_answer(struct client *client, struct call *call, const struct response *response,
                  bool cut)
{
    if (response->status < 300)
        judge_good(client, call, response, cut);
    else
        judge_error(client, call, response, cut);
    world_note(client->world, "call %08x: status %d, fate %u, %zu bytes: %.*s", call->nonce,
               response->status, call->fate, response->body.len,
               response->status < 300 ? 0 : (int)response->body.len, response->body.ptr);
}

// A connection that made room for another may have had a request on its way.
static bool was_evicted(struct sim_world *world)
{
    uint64_t evicted = 0;
    for (unsigned i = 0; i < world->shard_count; i++)
        for (uint32_t k = 0; k < world->shards[i].server_count; k++)
            for (int kind = 0; kind < IDLE_KIND_COUNT; kind++)
                evicted += world->shards[i].servers[k].evicted[kind];
    return world->excused_evictions < evicted && ++world->excused_evictions > 0;
}

void judge_silence(struct client *client, struct call *call, bool reset)
{
    struct sim_world *world = client->world;
    bool sent = call->fate == FATE_SENT;
    if (call->fate != FATE_UNSENT)
        call->fate = FATE_NOTHING;
    world_note(world, "call %08x: no answer%s", call->nonce, reset ? ", reset" : "");
    // A connection may be closed at any moment between two requests, and behind an answer that said
    // so; then a request that was on its way is lost, and its client knows.
    bool between = client->was_told_close || call->pipelined ||
                   call->began_ns - client->idle_since_ns > world->server.idle_ns - NS_PER_S ||
                   call->began_ns - client->idle_since_ns > world->server.head_ns - NS_PER_S;
    bool may_end = network_is_to_blame(world, call) || any_ill(call); // a cut before any byte left
    if (sent && !between && !may_end && call->bad == BAD_NONE && !was_evicted(world))
        world_violation(world, "call %08x: closed without a word", call->nonce);
}

// --- every turn

struct watched {
    const void *subject;
    uint64_t identity, sign, since_ns, turn;
};

struct judge {
    struct watched watched[JUDGE_WATCHED];
    uint64_t turn;
};

// How long `subject` has shown the same sign.
static uint64_t age_of(struct sim_world *world, const void *subject, uint64_t identity,
                       uint64_t sign)
{
    struct watched *free = NULL;
    struct judge *judge = world->judge;
    for (unsigned i = 0; i < JUDGE_WATCHED; i++) {
        struct watched *watched = &judge->watched[i];
        if (watched->subject == subject && watched->identity == identity) {
            if (watched->sign != sign || watched->turn + 1 < judge->turn) {
                watched->sign = sign;
                watched->since_ns = world->env.mono;
            }
            watched->turn = judge->turn;
            return world->env.mono - watched->since_ns;
        }
        if (watched->subject == NULL || watched->turn + 1 < judge->turn)
            free = watched;
    }
    verify(free != NULL);
    *free = (struct watched){ subject, identity, sign, world->env.mono, judge->turn };
    return 0;
}

static uint64_t step_limit(const struct sim_world *world, enum step step)
{
    const struct relay_limits *relay = &world->relay;
    switch (step) {
    case STEP_BODY: return world->server.stall_ns + 2 * NS_PER_S;
    case STEP_DIAL: return relay->dns_ns + relay->connect_ns;
    case STEP_WAIT: return max_u64(relay->first_byte_stream_ns, relay->first_byte_whole_ns);
    case STEP_REFUSED: return relay->stream_idle_ns;
    case STEP_STREAM: return max_u64(relay->stream_idle_ns, 2 * world->server.write_stall_ns);
    case STEP_PLAN:
    case STEP_PICK:
    case STEP_SEND:
    case STEP_ESTIMATE:
    case STEP_FAIL:
    case STEP_DONE: return 0;
    case STEP_COUNT: break;
    }
    bug("no step");
}

static void judge_req(struct sim_world *world, const struct req *req)
{
    const struct conn *client = stream_serve(req->stream)->conn;
    const struct conn *up = fetch_is_active(&req->fetch) ? req->fetch.conn : NULL;
    uint64_t sign = (uint64_t)req->step << 56 ^ (uint64_t)req->attempts << 48 ^
                    (uint64_t)req->stale_retries << 52;
    uint64_t moved = client->tx_bytes + req->stream->sent;
    if (req->step == STEP_BODY)
        moved += client->rx_bytes;
    if (req->step == STEP_STREAM || req->step == STEP_REFUSED)
        moved += up != NULL ? up->rx_bytes : 0;
    uint64_t identity;
    memcpy(&identity, req->record.request_id + 8, sizeof(identity));
    uint64_t age = age_of(world, req, identity, sign + moved);
    if (age > step_limit(world, (enum step)req->step) + JUDGE_SLACK_MS * NS_PER_MS)
        world_violation(world, "a request of model %.*s has been in step %s for %llu ms",
                        (int)req->record.model_len, req->record.model,
                        req_step_name((enum step)req->step), (unsigned long long)(age / NS_PER_MS));
    if (req->deadline_ns != 0 && world->env.mono > req->deadline_ns + world->relay.connect_ns +
                                                       world->server.stall_ns + 2 * NS_PER_S)
        world_violation(world, "a request of model %.*s is past its whole deadline, in step %s",
                        (int)req->record.model_len, req->record.model,
                        req_step_name((enum step)req->step));
    if (up != NULL && up->rx_len > up->rx_limit + CONN_RX_LIMIT + BUF_LARGE_BYTES)
        world_violation(world, "%u bytes are held of one vendor", up->rx_len);
}

// A connection whose owner may take more, with nothing to take and no receive under way.
static bool is_deaf(const struct conn *conn)
{
    return conn->rx_state == RX_OPEN && conn->rx_len == 0 && !conn->rx_op.in_flight;
}

// Work that is there and that nothing will wake the request for: it would sleep until a deadline.
static void judge_sleep(struct sim_world *world, const struct req *req)
{
    const struct conn *client = stream_serve(req->stream)->conn;
    const struct conn *up = fetch_is_active(&req->fetch) ? req->fetch.conn : NULL;
    bool asleep = false;
    switch ((enum step)req->step) {
    case STEP_BODY:
        asleep = req->stream->body_state >= BODY_COMPLETE || client->rx_len > 0 || is_deaf(client);
        break;
    case STEP_WAIT:
    case STEP_REFUSED: asleep = up != NULL && (is_deaf(up) || !conn_rx_open(up)); break;
    case STEP_STREAM:
        asleep = client->tx_len <= world->relay.stream_bytes / 2 && up != NULL &&
                 (up->rx_len > 0 || is_deaf(up) || !conn_rx_open(up));
        break;
    case STEP_DIAL:
    case STEP_PLAN:
    case STEP_PICK:
    case STEP_SEND:
    case STEP_ESTIMATE:
    case STEP_FAIL:
    case STEP_DONE:
    case STEP_COUNT: break;
    }
    asleep &= !list_is_linked(&req->task.link);
    uint64_t identity;
    memcpy(&identity, req->record.request_id + 8, sizeof(identity));
    // While it is awake the sign changes with every turn.
    uint64_t age = age_of(world, &req->task, identity, asleep ? 1 : 2 + world->judge->turn);
    if (age > JUDGE_SLEEP_MS * NS_PER_MS)
        world_violation(world,
                        "a request of model %.*s sleeps in step %s although there is work: client "
                        "queue %u, held %u, vendor held %u, state %d, armed %d",
                        (int)req->record.model_len, req->record.model,
                        req_step_name((enum step)req->step), client->tx_len, client->rx_len,
                        up != NULL ? up->rx_len : 0, up != NULL ? up->rx_state : -1,
                        up != NULL && up->rx_op.in_flight);
}

static void judge_serve(struct sim_world *world, const struct serve *serve)
{
    size_t queue_max = world->relay.stream_bytes + 2 * REQ_HOLD_MAX + 2 * BUF_LARGE_BYTES;
    if (serve->conn->tx_len > queue_max)
        world_violation(world, "%u bytes are queued for one client", serve->conn->tx_len);
    // Between requests and behind the last one nothing but the client's bytes can wake it.
    bool deaf = serve->state != SERVE_STREAM && is_deaf(serve->conn);
    if (age_of(world, &serve->task, serve->requests, deaf ? 1 : 2 + world->judge->turn) >
        JUDGE_SLEEP_MS * NS_PER_MS)
        world_violation(world, "a client's connection in state %u does not receive", serve->state);
    uint64_t limit = UINT64_MAX;
    switch ((enum serve_state)serve->state) {
    case SERVE_HEAD: limit = world->server.head_ns + world->server.idle_ns; break;
    case SERVE_STREAM: return; // the request's step is watched
    case SERVE_LINGER: limit = 2 * world->server.write_stall_ns + LINGER_NS; break;
    }
    uint64_t sign = serve->state * UINT64_C(0x100000001) + serve->conn->tx_bytes;
    uint64_t age = age_of(world, serve, serve->requests, sign);
    if (age > limit + JUDGE_SLACK_MS * NS_PER_MS)
        world_violation(world, "a client's connection has been in state %u for %llu ms",
                        serve->state, (unsigned long long)(age / NS_PER_MS));
}

// While somebody waits for a place, nobody keeps one for long on whom nothing is under way.
static void judge_room(struct sim_world *world, const struct server *server)
{
    const uint64_t now = world->env.mono;
    for (int kind = 0; kind < IDLE_KIND_COUNT; kind++) {
        const struct list *idle = &server->idle[kind];
        if (list_is_empty(&server->parked) || list_is_empty(idle))
            continue;
        const struct serve *first = container_of(idle->next, struct serve, idle);
        const bool few = server->silent_count <= server->limits.connections / SERVE_SILENT_SHARE;
        if ((kind == IDLE_SILENT || few) && now - first->idle_ns > JUDGE_ROOM_MS * NS_PER_MS)
            world_violation(world, "an idle connection makes no room since %llu ms",
                            (unsigned long long)((now - first->idle_ns) / NS_PER_MS));
    }
}

static void judge_shard(struct sim_world *world, struct shard *shard)
{
    unsigned live = 0;
    for (struct list *at = shard->live.next; at != &shard->live; at = at->next, live++) {
        judge_req(world, container_of(at, struct req, link));
        judge_sleep(world, container_of(at, struct req, link));
    }
    uint64_t counted = figures_in_flight(&shard->counters);
    if (live != counted)
        world_violation(world, "%u requests are alive, %llu are counted", live,
                        (unsigned long long)counted);
    for (uint32_t i = 0; i < shard->server_count; i++) {
        judge_room(world, &shard->servers[i]);
        struct list *serves = &shard->servers[i].serves;
        for (struct list *at = serves->next; at != serves; at = at->next)
            judge_serve(world, container_of(at, struct serve, link));
    }
    if (shard->net.budget.used < 0)
        world_violation(world, "the memory budget is below zero");
}

// A place at an account that is held while the request is carried over for it.
static bool is_carried_for(const struct req *req, uint32_t slot)
{
    const struct conversion *conversion = req->conversion;
    return conversion != NULL && conversion->carry != NULL &&
           conversion->carry->candidate != NULL && req->tried[req->tried_count - 1].idx == slot;
}

static void judge_slots(struct sim_world *world)
{
    uint32_t leased[SIM_VENDORS] = { 0 };
    for (unsigned i = 0; i < world->shard_count; i++) {
        struct list *live = &world->shards[i].live;
        for (struct list *at = live->next; at != live; at = at->next) {
            const struct req *req = container_of(at, struct req, link);
            for (unsigned k = 0; k < world->vendor_count; k++) {
                const uint32_t slot = world->account_slots[k];
                leased[k] += req->leased && req->account_slot.idx == slot;
                leased[k] += is_carried_for(req, slot);
            }
        }
    }
    for (unsigned k = 0; k < world->vendor_count; k++) {
        uint32_t held = slot_at(world->shared.slots, world->account_slots[k])->in_flight;
        if (held != leased[k])
            world_violation(world, "vendor %u: %u leases, held by %u requests", k, held, leased[k]);
        if (held > world->in_flight_max[k])
            world_violation(world, "vendor %u: %u leases, above its limit", k, held);
    }
}

void judge_turn(struct sim_world *world)
{
    if (world->judge == NULL)
        verify((world->judge = mem_take(1, sizeof(*world->judge))) != NULL);
    world->judge->turn++;
    for (unsigned i = 0; i < world->shard_count; i++)
        judge_shard(world, &world->shards[i]);
    judge_slots(world);
}

void judge_free(struct sim_world *world)
{
    mem_give(world->judge);
    world->judge = NULL;
}

// --- the end

static void record_id(const struct usage_record *record, char out[32])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint64_t high, low;
    memcpy(&high, record->request_id, 8);
    memcpy(&low, record->request_id + 8, 8);
    out[26] = '\0';
    for (int i = 25; i >= 0; i--) {
        out[i] = digits[low & 31];
        low = low >> 5 | high << 59;
        high >>= 5;
    }
}

static void judge_tokens(struct sim_world *world, const struct call *call,
                         const struct usage_record *record)
{
    struct say_tokens want = say_tokens(call);
    const uint32_t *got = record->tokens;
    if (got[USAGE_INPUT] != want.input || got[USAGE_CACHE_READ] != want.cached ||
        got[USAGE_OUTPUT] != want.output)
        world_violation(world, "call %08x: recorded %u+%u+%u tokens, the vendor said %u+%u+%u",
                        call->nonce, got[USAGE_INPUT], got[USAGE_CACHE_READ], got[USAGE_OUTPUT],
                        want.input, want.cached, want.output);
    if (record->flags & (USAGE_ESTIMATED | USAGE_TRUNCATED | USAGE_CLIENT_GONE))
        world_violation(world, "call %08x: a complete answer is flagged %x", call->nonce,
                        record->flags);
}

static void judge_record(struct sim_world *world, struct call *call,
                         const struct usage_record *record)
{
    call->records++;
    bool told_all = true;
    for (unsigned i = 0; i < call->attempt_count; i++)
        told_all &= call->attempts[i].ill == ILL_NONE || call->attempts[i].whole;
    if (call->fate == FATE_WHOLE && told_all && !call->short_end)
        judge_tokens(world, call, record);
    if (call->fate == FATE_WHOLE && (record->status != 200 || record->err != ERR_NONE))
        world_violation(world, "call %08x: complete, but recorded with status %u, error %s",
                        call->nonce, record->status, err_name((enum err_code)record->err));
    if (call->fate == FATE_ERROR && record->status != call->status)
        world_violation(world, "call %08x: status %d, but %u is recorded", call->nonce,
                        call->status, record->status);
    if (call->fate == FATE_BROKEN && record->err == ERR_NONE)
        world_violation(world, "call %08x: broken, but recorded without an error", call->nonce);
    if (record->attempts == 0 && call->attempt_count > 0)
        world_violation(world, "call %08x: %u attempts, none is recorded", call->nonce,
                        call->attempt_count);
}

static void judge_records(struct sim_world *world)
{
    for (unsigned i = 0; i < world->record_count; i++) {
        const struct usage_record *record = &world->records[i];
        struct span model = usage_record_model(record);
        char id[32];
        record_id(record, id);
        struct call *found = NULL;
        for (unsigned k = 0; k < world->call_count && found == NULL; k++) {
            struct call *call = &world->calls[k];
            bool by_model = model.len > 0 && span_eq(model, span_str(call->model));
            if (by_model || strcmp(call->request_id, id) == 0)
                found = call;
        }
        if (found != NULL) {
            if (found->request_id[0] != '\0' && strcmp(found->request_id, id) != 0)
                world_violation(world, "call %08x: its record has another id", found->nonce);
            judge_record(world, found, record);
        }
        if (record->key_id == 0)
            world_violation(world, "a record without a key");
    }
    for (unsigned k = 0; k < world->call_count; k++) {
        const struct call *call = &world->calls[k];
        bool must = call->authenticated && (call->request_id[0] != '\0' || call->attempt_count > 0);
        if (call->records > 1 || (must && call->records == 0))
            world_violation(world, "call %08x: %u usage records (fate %u, bad %u)", call->nonce,
                            call->records, call->fate, call->bad);
        if (!call->authenticated && call->records > 0)
            world_violation(world, "call %08x: a record for nobody", call->nonce);
    }
}

static void judge_pool(struct sim_world *world, const char *name, const struct slab *slab)
{
    if (slab->count_out != 0)
        world_violation(world, "%zu %s are not back", (size_t)slab->count_out, name);
}

void judge_end(struct sim_world *world)
{
    for (unsigned i = 0; i < world->shard_count; i++) {
        struct shard *shard = &world->shards[i];
        judge_pool(world, "requests", &shard->reqs);
        judge_pool(world, "answers", &shard->answers);
        judge_pool(world, "conversions", &shard->conversions);
        judge_pool(world, "bodies", &shard->net.bodies);
        for (uint32_t k = 0; k < shard->server_count; k++)
            judge_pool(world, "client connections", &shard->servers[k].slab);
        judge_pool(world, "connections", &shard->net.conns);
        if (shard->net.budget.used != 0)
            world_violation(world, "%lld bytes are still charged to the memory budget",
                            (long long)shard->net.budget.used);
    }
    judge_slots(world);
    judge_records(world);
}
