// Clients: they send the requests of their script in pieces of any size, read in any pace, leave at
// any moment, and take the answers apart by a parser of their own.
#include "relay_sim.h"

#include <stdlib.h>
#include <strings.h>

enum response_state { AT_HEAD, AT_BODY, AT_CHUNK_HEAD, AT_CHUNK, AT_CHUNK_END, AT_TRAILER };

static void client_run(struct client *client);
static void client_connect(struct client *client);

static void on_peer(void *arg)
{
    client_run(arg);
}

static void on_tick(void *arg)
{
    struct client *client = arg;
    client->tick_pending = false;
    if (client->peer != NULL)
        client_run(client);
    else if (!client->done)
        client_connect(client);
}

static void client_later(struct client *client, uint64_t ns)
{
    if (client->tick_pending)
        return;
    client->tick_pending = true;
    sim_after(client->world->sim, ns, on_tick, client);
}

// --- the script

static void draw_bad(struct sim_world *world, struct call *call)
{
    if (!world_chance(world, 120))
        return;
    call->bad = (uint8_t)(1 + world_below(world, BAD_COUNT - 1));
    if (call->bad == BAD_TYPE && call->kind >= KIND_GEMINI)
        call->bad = BAD_JSON;
    if (call->bad == BAD_CHUNK || call->bad == BAD_LENGTHS)
        call->chunked = true, call->http10 = false;
    if (call->bad == BAD_CHUNK)
        call->fill += 200; // enough for three chunks
    if (call->bad == BAD_BIG)
        call->chunked = false;
    if (call->bad == BAD_NO_KEY)
        call->query_key = false;
    call->key = call->bad == BAD_KEY ? 2 : call->bad == BAD_MODEL ? 1 : 0;
}

static unsigned draw_call(struct client *client)
{
    struct sim_world *world = client->world;
    struct call *call = world_call_new(world);
    call->client = client->idx;
    call->kind = (uint8_t)world_below(world, KIND_COUNT);
    call->stream = call->kind == KIND_GEMINI_ARRAY || world_chance(world, 650);
    call->wants_usage = world_chance(world, 400);
    call->http10 = world_chance(world, 80);
    call->chunked = !call->http10 && world_chance(world, 300);
    call->close = world_chance(world, 100);
    call->query_key = call->kind >= KIND_GEMINI && world_chance(world, 300);
    call->expect = !call->http10 && world_chance(world, 50);
    call->huge = world_chance(world, 60);
    call->events = (uint32_t)world_below(world, world_chance(world, 800) ? 6 : 24);
    call->events = call->events == 0 ? 1 : call->events;
    // Some bodies fit a buffer, some do not, and a few do not fit what a connection holds.
    uint32_t fill_max = world_chance(world, 850) ? 300 : world_chance(world, 700) ? 60000 : 250000;
    call->fill = (uint32_t)world_below(world, fill_max);
    draw_bad(world, call);
    // The alias models stay what they are: a record finds its call by the name of the model.
    unsigned number = (unsigned)(call - world->calls);
    call->alias = number < SIM_ALIASES && call->bad == BAD_NONE ? (int)number : -1;
    if (call->alias >= 0) {
        fit_printf(call->model, sizeof(call->model), "nick-%d", call->alias);
        fit_printf(call->vendor_model, sizeof(call->vendor_model), "vendors-own-%d", call->alias);
    } else {
        fit_printf(call->model, sizeof(call->model), "model-%08x", call->nonce);
        memcpy(call->vendor_model, call->model, sizeof(call->model));
    }
    call->authenticated = call->bad != BAD_KEY && call->bad != BAD_NO_KEY &&
                          call->bad != BAD_PATH && call->bad != BAD_HEAD &&
                          call->bad != BAD_LENGTHS;
    say_request(call, span_of(world->keys[call->key], KEY_TEXT_LEN), &call->bytes);
    return number;
}

static void client_connect(struct client *client)
{
    struct sim_world *world = client->world;
    if (client->connections_left == 0 || world->call_count == world->call_max || world->drained) {
        client->done = true;
        return;
    }
    client->connections_left--;
    client->call_count = client->sent = client->answered = 0;
    client->out_at = client->read_bytes = 0;
    client->give_up_ns = 0;
    client->half_closed = client->was_told_close = client->response_begun = false;
    client->in.len = 0;
    client->response = (struct response){ .body = client->response.body };
    unsigned want = 1 + (unsigned)world_below(world, ARRAY_LEN(client->calls));
    while (client->call_count < want && world->call_count < world->call_max)
        client->calls[client->call_count++] = draw_call(client);
    client->manner = MANNER_GOOD;
    if (world_chance(world, 400))
        client->manner = (uint8_t)world_below(world, MANNER_COUNT);
    client->read_max = client->manner == MANNER_SLOW ? 300 + world_below(world, 3000) : SIZE_MAX;
    client->stall_at = client->manner == MANNER_STALL ? world_below(world, 30000) : SIZE_MAX;
    client->leave_ns =
        world->env.mono +
        world_below(world, world_chance(world, 700) ? 200 * NS_PER_MS : 20 * NS_PER_S);
    for (unsigned i = 0; i < client->call_count; i++) {
        struct call *call = &world->calls[client->calls[i]];
        call->excused = client->manner >= MANNER_STALL;
        call->slow = client->manner == MANNER_SLOW;
    }
    unsigned shard = (unsigned)world_below(world, world->lopsided ? 1 : world->shard_count);
    struct sockaddr_in addr = world_addr("10.0.0.", 1 + shard, SIM_PORT);
    client->peer = sim_dial(world->sim, (struct sockaddr *)&addr, sizeof(addr));
    sim_on_event(client->peer, on_peer, client);
    client->idle_since_ns = world->env.mono;
    world_note(world, "client %u: connects to shard %u, %u calls, manner %u", client->idx, shard,
               client->call_count, client->manner);
    if (client->manner == MANNER_CLOSE || client->manner == MANNER_RESET)
        client_later(client, client->leave_ns - world->env.mono);
}

void client_start(struct client *client)
{
    client_later(client, world_below(client->world, 2 * NS_PER_S));
}

// --- the end of a connection

static struct call *next_answered(struct client *client)
{
    if (client->answered == client->call_count)
        return NULL;
    return &client->world->calls[client->calls[client->answered]];
}

static void leave(struct client *client, bool reset, bool by_peer)
{
    struct sim_world *world = client->world;
    struct call *call;
    bool first = true;
    while ((call = next_answered(client)) != NULL) {
        if (!by_peer)
            call->excused = true;
        if (first && client->response_begun)
            judge_answer(client, call, &client->response, true);
        else
            judge_silence(client, call, reset);
        first = false;
        client->answered++;
    }
    world_note(world, "client %u: connection ends%s%s", client->idx, reset ? ", reset" : "",
               by_peer ? ", by the gateway" : "");
    if (reset && !by_peer)
        sim_reset(&client->peer);
    else
        sim_close(&client->peer);
    client_later(client, world_below(world, NS_PER_S));
}

void client_end(struct client *client)
{
    client->done = true;
    if (client->peer != NULL)
        leave(client, false, false);
    text_fini(&client->in);
    text_fini(&client->response.body);
}

// --- sending

static void send_some(struct client *client)
{
    struct sim_world *world = client->world;
    while (client->sent < client->call_count) {
        struct call *call = &world->calls[client->calls[client->sent]];
        if (client->out_at == 0) {
            if (client->sent > client->answered && !world_chance(world, 300))
                return; // not pipelined, this time
            if (client->was_told_close)
                return;
            call->pipelined = client->sent > client->answered;
            call->began_ns = world->env.mono;
        }
        size_t most = call->bytes.len - client->out_at;
        if (world_chance(world, 400))
            most = min_size(most, 1 + world_below(world, 600));
        size_t written = sim_write(client->peer, call->bytes.ptr + client->out_at, most);
        client->out_at += written;
        if (client->out_at == call->bytes.len) {
            client->out_at = 0;
            client->sent++;
            if (call->fate == FATE_UNSENT)
                call->fate = FATE_SENT;
            continue;
        }
        if (written > 0)
            client_later(client, world_chance(world, 700) ? 1 : world_below(world, 20 * NS_PER_MS));
        return;
    }
}

// --- answers

static bool take_int(struct span head, const char *name, uint64_t *out)
{
    const char *at = memmem(head.ptr, head.len, name, strlen(name));
    if (at == NULL)
        return false;
    *out = strtoull(at + strlen(name), NULL, 10);
    return true;
}

static bool head_has(struct span head, const char *text)
{
    return memmem(head.ptr, head.len, text, strlen(text)) != NULL;
}

// The gateway writes its field names in lower case; a second length or none at all is found here.
static bool read_head(struct client *client, struct call *call, struct span head)
{
    struct response *response = &client->response;
    struct sim_world *world = client->world;
    struct text *body = &response->body;
    body->len = 0;
    *response = (struct response){ .body = *body, .head_len = head.len, .parsed = head.len };
    if (!span_starts(head, SPAN("HTTP/1.1 ")) || head.len < 13) {
        world_violation(world, "call %08x: no status line", call->nonce);
        return false;
    }
    response->status = atoi(head.ptr + 9);
    bool length = take_int(head, "\r\ncontent-length: ", &response->length);
    response->chunked = head_has(head, "\r\ntransfer-encoding: chunked\r\n");
    response->close = head_has(head, "\r\nconnection: close\r\n");
    response->until_close = !length && !response->chunked;
    response->event_stream = head_has(head, "\r\ncontent-type: text/event-stream");
    if ((length && response->chunked) || (response->until_close && !call->http10) ||
        (call->http10 && response->chunked))
        world_violation(world, "call %08x: the answer's framing does not fit", call->nonce);
    const char *id = memmem(head.ptr, head.len, "\r\nx-request-id: ", 16);
    if (id == NULL)
        world_violation(world, "call %08x: an answer without x-request-id", call->nonce);
    else
        fit_printf(call->request_id, sizeof(call->request_id), "%.26s", id + 16);
    client->was_told_close |= response->close || response->until_close;
    response->state = response->chunked ? AT_CHUNK_HEAD : AT_BODY;
    call->status = response->status;
    call->fate = FATE_ANSWER;
    return true;
}

// One step in the chunks; false when more bytes are needed. *ended after the last one.
static bool chunk_step(struct client *client, struct call *call, bool *ended)
{
    struct response *response = &client->response;
    struct span in = span_from(text_span(&client->in), response->parsed);
    size_t line = span_find(in, '\n');
    switch ((enum response_state)response->state) {
    case AT_CHUNK_HEAD:
        if (line == in.len)
            return false;
        response->chunk_left = strtoull(in.ptr, NULL, 16);
        if (strspn(in.ptr, "0123456789abcdefABCDEF") != line - 1)
            world_violation(client->world, "call %08x: a bad chunk size", call->nonce);
        response->parsed += line + 1;
        response->state = response->chunk_left > 0 ? AT_CHUNK : AT_TRAILER;
        return true;
    case AT_CHUNK: {
        size_t take = min_size(in.len, response->chunk_left);
        text_add(&response->body, span_upto(in, take));
        response->parsed += take;
        response->chunk_left -= take;
        if (response->chunk_left > 0)
            return false;
        response->state = AT_CHUNK_END;
        return true;
    }
    case AT_CHUNK_END:
    case AT_TRAILER:
        if (line == in.len)
            return false;
        if (line != 1)
            world_violation(client->world, "call %08x: a chunk does not end", call->nonce);
        response->parsed += line + 1;
        *ended = response->state == AT_TRAILER;
        response->state = AT_CHUNK_HEAD;
        return !*ended;
    case AT_HEAD:
    case AT_BODY: break;
    }
    bug("no state of chunks");
}

static bool read_body(struct client *client, struct call *call)
{
    struct response *response = &client->response;
    bool ended = false;
    if (response->chunked) {
        while (chunk_step(client, call, &ended))
            ;
        return ended;
    }
    struct span in = span_from(text_span(&client->in), response->parsed);
    size_t take = in.len;
    if (!response->until_close)
        take = min_size(take, response->length - response->body.len);
    text_add(&response->body, span_upto(in, take));
    response->parsed += take;
    return !response->until_close && response->body.len == response->length;
}

static void answer_done(struct client *client, struct call *call)
{
    struct response *response = &client->response;
    judge_answer(client, call, response, false);
    client->response_begun = false;
    client->answered++;
    client->idle_since_ns = client->world->env.mono;
    size_t rest = client->in.len - response->parsed;
    memmove(client->in.ptr, client->in.ptr + response->parsed, rest);
    client->in.len = rest;
}

static void take_answers(struct client *client)
{
    for (;;) {
        struct call *call = next_answered(client);
        struct span in = text_span(&client->in);
        if (call == NULL) {
            if (in.len > 0)
                world_violation(client->world, "client %u: bytes that it did not ask for",
                                client->idx);
            client->in.len = 0;
            return;
        }
        if (!client->response_begun) {
            const char *end = in.len > 0 ? memmem(in.ptr, in.len, "\r\n\r\n", 4) : NULL;
            if (end == NULL)
                return;
            struct span head = span_upto(in, (size_t)(end - in.ptr) + 4);
            if (span_starts(head, SPAN("HTTP/1.1 100 ")) && call->expect) {
                memmove(client->in.ptr, client->in.ptr + head.len, in.len - head.len);
                client->in.len -= head.len;
                continue;
            }
            if (client->answered > client->sent ||
                (client->answered == client->sent && client->out_at == 0))
                world_violation(client->world, "call %08x: an answer before the request",
                                call->nonce);
            client->response_begun = true;
            if (!read_head(client, call, head))
                return;
        }
        if (!read_body(client, call))
            return;
        answer_done(client, call);
    }
}

// --- the connection

static void read_some(struct client *client)
{
    char bytes[16 * KIB];
    while (client->read_bytes < client->stall_at) {
        size_t got = sim_read(client->peer, bytes, min_size(sizeof(bytes), client->read_max));
        if (got == 0)
            break;
        text_add(&client->in, span_of(bytes, got));
        client->read_bytes += got;
        if (client->read_max != SIZE_MAX) {
            client_later(client, world_below(client->world, 100 * NS_PER_MS));
            break;
        }
    }
    take_answers(client);
}

static void client_run(struct client *client)
{
    struct sim_world *world = client->world;
    if (client->peer == NULL)
        return;
    enum sim_state state = sim_state(client->peer);
    if (state == SIM_CONNECTING)
        return;
    bool goes = client->manner == MANNER_CLOSE || client->manner == MANNER_RESET;
    if (goes && world->env.mono >= client->leave_ns) {
        leave(client, client->manner == MANNER_RESET, false);
        return;
    }
    if (goes)
        client_later(client, client->leave_ns - world->env.mono);
    read_some(client);
    bool stalled = client->read_bytes >= client->stall_at;
    if (state == SIM_RESET || state == SIM_REFUSED) {
        leave(client, true, true);
        return;
    }
    if (stalled) { // it comes back long after the gateway must have given it up
        if (client->give_up_ns == 0)
            client->give_up_ns = world->env.mono + 60 * NS_PER_S;
        if (world->env.mono >= client->give_up_ns) {
            leave(client, false, false);
            return;
        }
        client_later(client, client->give_up_ns - world->env.mono);
    }
    if (!stalled && sim_at_end(client->peer)) {
        struct call *call = next_answered(client);
        if (client->response_begun && client->response.until_close) {
            answer_done(client, call);
            client->in.len = 0;
        }
        leave(client, false, true);
        return;
    }
    if (!client->half_closed)
        send_some(client);
    if (client->manner == MANNER_HALF && client->sent == client->call_count &&
        !client->half_closed) {
        client->half_closed = true;
        sim_shutdown(client->peer);
    }
    if (client->answered == client->call_count) {
        if (world_chance(world, 500))
            leave(client, false, false);
        else if (client->read_max == SIZE_MAX)
            client_later(client, world_below(world, 3 * NS_PER_S));
    }
}
