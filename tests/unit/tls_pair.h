// tls_pair.h - two ends of a TLS connection and the memory between them.
#ifndef PENSTOCK_TEST_TLS_PAIR_H
#define PENSTOCK_TEST_TLS_PAIR_H

#include "penstock/net/tls.h"
#include "tls_certs.h"

#include <stdio.h>
#include <stdlib.h>

// Bytes on their way in one direction.
struct wire {
    char *bytes;
    size_t len, cap, at; // `at`: delivered up to here
    bool broken;         // the sink refuses from now on
};

static inline struct err wire_send(void *arg, struct span bytes)
{
    struct wire *wire = arg;
    if (wire->broken)
        return ERR(CLIENT_GONE);
    if (wire->len + bytes.len > wire->cap) {
        wire->cap = (wire->len + bytes.len) * 2;
        wire->bytes = realloc(wire->bytes, wire->cap);
        verify(wire->bytes != NULL);
    }
    memcpy(wire->bytes + wire->len, bytes.ptr, bytes.len);
    wire->len += bytes.len;
    return OK;
}

static inline struct tls_sink wire_sink(struct wire *wire)
{
    return (struct tls_sink){ wire_send, wire };
}

// Delivers what is on the way, at most `max` bytes, in a block of exactly that size, so that a
// sanitizer sees a byte read too many or too late.
struct block {
    char *bytes;
    size_t len;
};
static inline struct block wire_take(struct wire *wire, size_t max)
{
    size_t len = min_size(max, wire->len - wire->at);
    struct block block = { malloc(len > 0 ? len : 1), len };
    verify(block.bytes != NULL);
    if (len > 0)
        memcpy(block.bytes, wire->bytes + wire->at, len);
    wire->at += len;
    return block;
}

struct end {
    struct tls *tls;
    struct wire out;  // what this end sends
    struct wire data; // plaintext it has received
    bool open;
    enum tls_result last;
    unsigned calls; // of tls_handshake()
};

struct pair {
    struct end client, server;
    size_t chop; // bytes delivered at a time; 0: all
};

// Handles everything that one delivery brought.
static inline void end_drive(struct end *end)
{
    char out[5000];
    for (;;) {
        size_t len = 0;
        if (!end->open) {
            end->calls++;
            end->last = tls_handshake(end->tls);
            end->open = end->last == TLS_DONE;
        } else {
            end->last = tls_read(end->tls, out, sizeof(out), &len);
            if (end->last == TLS_DONE)
                (void)wire_send(&end->data, span_of(out, len)).code;
        }
        if (end->last != TLS_DONE && end->last != TLS_AGAIN)
            return;
    }
}

static inline bool end_deliver(struct end *to, struct wire *wire, size_t max)
{
    if (wire->at == wire->len || to->last == TLS_FAILED)
        return false;
    struct block block = wire_take(wire, max);
    tls_feed(to->tls, span_of(block.bytes, block.len));
    end_drive(to);
    verify(tls_input_left(to->tls) == 0);
    free(block.bytes);
    return true;
}

// Delivers both ways until nothing is left on the way.
static inline void pair_run(struct pair *pair)
{
    size_t max = pair->chop > 0 ? pair->chop : SIZE_MAX;
    if (pair->client.calls == 0)
        end_drive(&pair->client);
    for (bool moved = true; moved;) {
        moved = end_deliver(&pair->server, &pair->client.out, max);
        moved = end_deliver(&pair->client, &pair->server.out, max) || moved;
    }
}

static inline void end_fini(struct end *end)
{
    tls_free(&end->tls);
    free(end->out.bytes);
    free(end->data.bytes);
    *end = (struct end){ .open = false };
}

static inline void pair_fini(struct pair *pair)
{
    end_fini(&pair->client);
    end_fini(&pair->server);
}

static inline void pair_init(struct pair *pair, struct tls_ctx *client, struct tls_ctx *server,
                             const char *host, size_t chop)
{
    *pair = (struct pair){ .chop = chop };
    verify(tls_new_server(&pair->server.tls, server, wire_sink(&pair->server.out)).code == 0);
    verify(
        tls_new_client(&pair->client.tls, client, wire_sink(&pair->client.out), span_str(host), 443)
            .code == 0);
}

#endif
