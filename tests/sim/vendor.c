// Vendors: they read a request strictly, answer the call that it names, or fail as the dice say.
#include "relay_sim.h"

#include <stdlib.h>

static void link_run(struct link *link);

static void on_link(void *arg)
{
    link_run(arg);
}

static void on_tick(void *arg)
{
    struct link *link = arg;
    link->tick_pending = false;
    if (link->peer != NULL)
        link_run(link);
}

static void link_later(struct link *link, uint64_t ns)
{
    if (link->tick_pending)
        return;
    link->tick_pending = true;
    sim_after(link->vendor->world->sim, ns, on_tick, link);
}

static void on_accept(void *arg)
{
    struct vendor *vendor = arg;
    struct sim_peer *peer;
    while ((peer = sim_accept(vendor->listener)) != NULL) {
        struct link *link = world_link_new(vendor->world);
        if (link == NULL) {
            sim_reset(&peer);
            continue;
        }
        link->vendor = vendor;
        link->peer = peer;
        sim_on_event(peer, on_link, link);
        link_run(link);
    }
}

void vendor_open(struct vendor *vendor)
{
    struct sockaddr_in addr = world_addr("10.1.0.", vendor->idx + 1, 9000);
    vendor->listener = sim_listen(vendor->world->sim, (struct sockaddr *)&addr, sizeof(addr));
    sim_on_accept(vendor->listener, on_accept, vendor);
}

// --- the request

static bool find_nonce(struct span bytes, uint32_t *nonce)
{
    const char *at = memmem(bytes.ptr, bytes.len, "nonce-", 6);
    if (at == NULL || bytes.ptr + bytes.len - at < 14)
        return false;
    char hex[9] = "";
    memcpy(hex, at + 6, 8);
    *nonce = (uint32_t)strtoul(hex, NULL, 16);
    return true;
}

static bool head_has(struct span head, const char *text)
{
    return memmem(head.ptr, head.len, text, strlen(text)) != NULL;
}

static bool has_text(struct span body, const struct text *text)
{
    return memmem(body.ptr, body.len, text->ptr, text->len) != NULL;
}

// The body of this very call: byte for byte, or carried over with its text and model.
static bool is_its_body(const struct call *call, enum kind kind, struct span body)
{
    struct text want = { 0 };
    bool good;
    if (kind == (enum kind)call->kind) {
        say_request_body(call, true, &want);
        good = span_eq(text_span(&want), body);
    } else {
        text_printf(&want, "\"nonce-%08x ", call->nonce);
        text_add_char(&want, 'q', call->fill);
        text_printf(&want, "\"");
        good = has_text(body, &want);
        want.len = 0;
        text_printf(&want, "{\"model\":\"%s\"", call->vendor_model);
        good &= kind >= KIND_GEMINI || span_starts(body, text_span(&want));
    }
    text_fini(&want);
    return good;
}

// In which format the gateway asks.
static enum kind kind_of(const struct call *call, struct span head)
{
    if (head_has(head, "/chat/completions HTTP"))
        return KIND_CHAT;
    if (head_has(head, "/responses HTTP"))
        return KIND_RESPONSES;
    if (head_has(head, "/messages HTTP"))
        return KIND_MESSAGES;
    return call->kind == KIND_GEMINI_ARRAY ? KIND_GEMINI_ARRAY : KIND_GEMINI;
}

// What a gateway must get right towards a vendor: the account's own credential and no client's, the
// body of this very call.
static void check_request(struct link *link, struct call *call, enum kind kind, struct span head,
                          struct span body)
{
    struct sim_world *world = link->vendor->world;
    if (!is_its_body(call, kind, body))
        world_violation(world, "call %08x: vendor %u got another body than was sent (%zu bytes)",
                        call->nonce, link->vendor->idx, body.len);
    if (kind != (enum kind)call->kind && !world->converts)
        world_violation(world, "call %08x: it was converted, and nobody asked for that",
                        call->nonce);
    if (!head_has(head, link->vendor->secret))
        world_violation(world, "call %08x: not the credential of vendor %u", call->nonce,
                        link->vendor->idx);
    if (head_has(head, "sk-pst-"))
        world_violation(world, "call %08x: a client's key went to a vendor", call->nonce);
    if (!(link->vendor->kinds & BIT(kind)))
        world_violation(world, "call %08x: vendor %u does not speak its format", call->nonce,
                        link->vendor->idx);
    if (!call->authenticated)
        world_violation(world, "call %08x: it has no good key, yet a vendor saw it", call->nonce);
}

// --- the answer

static void add_chunks(struct sim_world *world, struct span body, bool bad, struct text *out)
{
    unsigned count = 0;
    size_t bad_at = bad ? world_below(world, body.len) : SIZE_MAX;
    while (body.len > 0) {
        size_t most = world_chance(world, 500) ? 64 : 20000;
        if (++count > 60)
            most = body.len;
        size_t len = min_size(body.len, 1 + world_below(world, most));
        if (bad_at < len) {
            text_printf(out, "zz\r\n");
            return;
        }
        bad_at -= bad_at == SIZE_MAX ? 0 : len;
        text_printf(out, "%zx\r\n", len);
        text_add(out, span_upto(body, len));
        text_printf(out, "\r\n");
        body = span_from(body, len);
    }
    text_printf(out, "0\r\n\r\n");
}

static void add_answer(struct link *link, int status, bool sse, struct span body)
{
    struct sim_world *world = link->vendor->world;
    struct text *out = &link->out;
    enum ill ill = (enum ill)link->attempt->ill;
    unsigned framing = (unsigned)world_below(world, 8); // 0: until the end; 1-3: length
    if (ill == ILL_BAD_CHUNK)
        framing = 7;
    if (world_chance(world, 50))
        text_printf(out, "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n");
    text_printf(out, "HTTP/1.1 %d Words\r\ncontent-type: %s\r\nx-request-id: v-%08x\r\n", status,
                sse ? "text/event-stream" : "application/json", link->call->nonce);
    if (status == 429)
        text_printf(out, "retry-after: 3\r\n");
    link->close_after |= framing == 0 || world_chance(world, 100);
    if (link->close_after && world_chance(world, 800))
        text_printf(out, "connection: close\r\n");
    if (framing == 0) {
        text_printf(out, "\r\n");
        text_add(out, body);
    } else if (framing <= 3) {
        text_printf(out, "content-length: %zu\r\n\r\n", body.len);
        text_add(out, body);
    } else {
        text_printf(out, "transfer-encoding: chunked\r\n\r\n");
        add_chunks(world, body, ill == ILL_BAD_CHUNK, out);
    }
}

static void answer_well(struct link *link)
{
    struct sim_world *world = link->vendor->world;
    const struct call call = say_turned(link->call, (enum kind)link->attempt->kind);
    struct say say;
    say_answer(&call, (unsigned)(link->attempt - link->call->attempts), false, &say);
    struct text body = { 0 };
    struct span whole = text_span(&say.text);
    enum ill ill = (enum ill)link->attempt->ill;
    if ((ill == ILL_EVENT || ill == ILL_NO_END) && say.count > 1) {
        // After `keep` events; those with the format's own end are not among them.
        unsigned last = 0;
        while (last < say.count && !say.terminal[last])
            last++;
        unsigned keep = (unsigned)world_below(world, last + 1);
        text_add(&body, span_upto(whole, keep == 0 ? 0 : say.ends[keep - 1]));
        if (ill == ILL_EVENT)
            say_error_event(&call, &body);
    } else {
        if (ill == ILL_EVENT || ill == ILL_NO_END)
            link->attempt->ill = ILL_NONE; // a whole answer has no events
        text_add(&body, whole);
    }
    add_answer(link, 200, say.count > 0, text_span(&body));
    text_fini(&body);
    say_fini(&say);
}

static void answer_error(struct link *link, int status)
{
    const struct call call = say_turned(link->call, (enum kind)link->attempt->kind);
    struct text body = { 0 };
    say_error(&call, status, &body);
    add_answer(link, status, false, text_span(&body));
    text_fini(&body);
}

// Bytes that nobody asked for, behind an answer: a gateway must not take them for the next one.
static void add_unasked(struct link *link)
{
    struct sim_world *world = link->vendor->world;
    if (!world->faults || link->close_after || !world_chance(world, 40))
        return;
    link->attempt->tainted = link->tainted = true;
    // Only where all bytes arrive at once can they be told from the answer to a next request.
    if (world->calm)
        text_printf(&link->out, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison");
    else
        text_printf(&link->out, "poison\r\n\r\n");
}

static void draw_ill(struct link *link)
{
    struct sim_world *world = link->vendor->world;
    link->attempt->ill = ILL_NONE;
    link->attempt->tainted = link->tainted;
    if (world->faults && world_chance(world, 350))
        link->attempt->ill = (uint8_t)(1 + world_below(world, ILL_COUNT - 1));
}

static void answer(struct link *link)
{
    struct sim_world *world = link->vendor->world;
    enum ill ill = (enum ill)link->attempt->ill;
    link->stop_at = SIZE_MAX;
    size_t from = link->out.len;
    switch (ill) {
    case ILL_429: answer_error(link, 429); break;
    case ILL_500: answer_error(link, 500); break;
    case ILL_400: answer_error(link, 400); break;
    case ILL_401: answer_error(link, 401); break;
    case ILL_REDIRECT: answer_error(link, 307); break;
    case ILL_BAD_HEAD: text_printf(&link->out, "HELLO vendor\r\n\r\n"); break;
    case ILL_FIN:
    case ILL_RST:
    case ILL_HANG: link->stop_at = link->out.len; break;
    case ILL_NONE:
    case ILL_FIN_MID:
    case ILL_RST_MID:
    case ILL_HANG_MID:
    case ILL_BAD_CHUNK:
    case ILL_EVENT:
    case ILL_NO_END: answer_well(link); break;
    case ILL_COUNT: bug("no ill");
    }
    link->attempt->wire_len = link->out.len - from;
    if (ill == ILL_FIN_MID || ill == ILL_RST_MID || ill == ILL_HANG_MID)
        link->stop_at = from + world_below(world, link->attempt->wire_len);
    if (link->attempt->ill == ILL_NONE)
        add_unasked(link);
}

// A whole request from the front of `in`; false if there is none yet.
static bool take_request(struct link *link)
{
    struct sim_world *world = link->vendor->world;
    struct span in = span_from(text_span(&link->in), link->in_at);
    const char *end = in.len > 0 ? memmem(in.ptr, in.len, "\r\n\r\n", 4) : NULL;
    if (end == NULL)
        return false;
    struct span head = span_upto(in, (size_t)(end - in.ptr) + 4);
    const char *length = memmem(head.ptr, head.len, "content-length: ", 16);
    if (length == NULL || !span_starts(head, SPAN("POST "))) {
        world_violation(world, "vendor %u got a request without a length", link->vendor->idx);
        sim_reset(&link->peer);
        return false;
    }
    size_t body_len = strtoul(length + 16, NULL, 10);
    if (in.len < head.len + body_len)
        return false;
    struct span body = span_of(in.ptr + head.len, body_len);
    link->in_at += head.len + body_len;
    uint32_t nonce = 0;
    struct call *call = find_nonce(body, &nonce) ? world_call_of(world, nonce) : NULL;
    if (call == NULL || call->attempt_count == SIM_ATTEMPTS_MAX) {
        world_violation(world, "vendor %u got a request that no client made: %08x",
                        link->vendor->idx, nonce);
        sim_reset(&link->peer);
        return false;
    }
    const enum kind kind = kind_of(call, head);
    check_request(link, call, kind, head, body);
    link->call = call;
    link->attempt = &call->attempts[call->attempt_count++];
    link->attempt->kind = (uint8_t)kind;
    link->attempt->vendor = (uint8_t)link->vendor->idx;
    draw_ill(link);
    answer(link);
    world_note(world, "vendor %u: attempt %u on call %08x, ill %u, %zu bytes", link->vendor->idx,
               call->attempt_count - 1, nonce, link->attempt->ill, link->attempt->wire_len);
    return true;
}

// --- the connection

static void link_close(struct link *link, bool reset)
{
    if (reset)
        sim_reset(&link->peer);
    else
        sim_close(&link->peer);
}

static void write_some(struct link *link)
{
    struct sim_world *world = link->vendor->world;
    size_t end = min_size(link->out.len, link->stop_at);
    size_t most = end - link->out_at;
    if (!link->tainted && world_chance(world, world->calm ? 100 : 300))
        most = min_size(most, 1 + world_below(world, 3000));
    size_t written = sim_write(link->peer, link->out.ptr + link->out_at, most);
    link->out_at += written;
    if (link->attempt != NULL) {
        size_t left = min_size(link->attempt->wire_len - link->attempt->written, written);
        link->attempt->written += left;
        link->attempt->whole =
            link->attempt->ill == ILL_NONE && link->attempt->written == link->attempt->wire_len;
    }
    if (written > 0 && link->out_at < end)
        link_later(link, world_chance(world, 700) ? 1 : world_below(world, 30 * NS_PER_MS));
}

static void link_run(struct link *link)
{
    struct sim_world *world = link->vendor->world;
    if (sim_state(link->peer) == SIM_RESET) {
        link_close(link, true);
        return;
    }
    char bytes[16 * KIB];
    size_t got;
    while ((got = sim_read(link->peer, bytes, sizeof(bytes))) > 0)
        text_add(&link->in, span_of(bytes, got));
    bool busy = link->attempt != NULL && link->out_at < link->out.len;
    if (!busy && !link->hung && !link->close_after && take_request(link) &&
        world_chance(world, 300)) {
        link_later(link, world_below(world, 200 * NS_PER_MS)); // it thinks
        return;
    }
    if (link->peer == NULL || link->attempt == NULL) {
        if (link->peer != NULL && sim_at_end(link->peer))
            link_close(link, false);
        return;
    }
    if (link->out_at < min_size(link->out.len, link->stop_at))
        write_some(link);
    enum ill ill = (enum ill)link->attempt->ill;
    if (link->out_at == link->stop_at) {
        link->hung = ill == ILL_HANG || ill == ILL_HANG_MID;
        if (!link->hung || sim_at_end(link->peer))
            link_close(link, ill == ILL_RST || ill == ILL_RST_MID);
        return;
    }
    bool ended = link->out_at == link->out.len;
    // Some close an idle connection at a bad moment, without having said so.
    bool tired = ended && world_chance(world, 30);
    if (ended && (link->close_after || tired || ill == ILL_BAD_CHUNK || ill == ILL_BAD_HEAD))
        link_close(link, false);
    else if (sim_at_end(link->peer))
        link_close(link, false);
}
