// mock.h - a vendor that speaks all formats and fails on demand: for demonstrations, tests,
// benches.
//
// The request's model name carries the wishes, because a model name reaches a vendor unchanged
// through any gateway: "mock+tokens=40+pace=20ms+fault=reset". What can be asked for:
//
//   tokens=N    deltas in the answer (default 8)        size=N     bytes of text a delta (default
//   5) ttft=T      before the first byte                    pace=T     between events of a stream
//   chop=N      at most N bytes a chunk of a stream      tools=N    N parallel tool calls
//   think       a thinking block first                   ts         every delta holds "ts=<ns> "
//   status=N    an error with this HTTP status           retry=S    with Retry-After: S
//   usage=no    no usage anywhere                        head=N     N bytes of extra header fields
//   fault=F     at=N  in event N (default 3), where it applies
//
// T is a number of milliseconds, with or without "ms". F is one of
//   close reset hang          before the head of the answer
//   close-mid reset-mid hang-mid   inside the body
//   drip        one byte every 50 ms                     bad-chunk  a broken chunk header
//   bad-head    a status line that is none               bad-length two lengths
//   bad-json    text that is not JSON                     error-event an error inside a 200
//   early-error an error as the first event of a 200     no-end     the stream's last event is
//   missing huge        one event of 1 MiB                        gzip       a content encoding
//   nobody asked for interim     a 103 first                               interim-flood  forty of
//   them redirect    a 307 to elsewhere                        leak       an error that repeats the
//   credential
//
// GET .../models lists one model, `mock`, to who sends a credential; one that ends in "refused"
// gets 401.
#ifndef PENSTOCK_MOCK_MOCK_H
#define PENSTOCK_MOCK_MOCK_H

#include "penstock/base/put.h"
#include "penstock/http/server.h"

enum mock_fault {
    MOCK_NONE,
    MOCK_CLOSE,
    MOCK_RESET,
    MOCK_HANG,
    MOCK_CLOSE_MID,
    MOCK_RESET_MID,
    MOCK_HANG_MID,
    MOCK_DRIP,
    MOCK_BAD_CHUNK,
    MOCK_BAD_HEAD,
    MOCK_BAD_LENGTH,
    MOCK_BAD_JSON,
    MOCK_ERROR_EVENT,
    MOCK_EARLY_ERROR,
    MOCK_NO_END,
    MOCK_HUGE,
    MOCK_GZIP,
    MOCK_INTERIM,
    MOCK_INTERIM_FLOOD,
    MOCK_REDIRECT,
    MOCK_LEAK,
    MOCK_FAULT_COUNT
};

struct mock_wish {
    uint32_t tokens, size, chop, tools, at, status, retry, head_bytes;
    uint64_t ttft_ns, pace_ns;
    enum mock_fault fault;
    bool think, stamp, no_usage;
};

// Reads the wishes behind the first '+' of a model's name. False if one is not understood.
must_use bool mock_wish_parse(struct span model, struct mock_wish *wish);

struct mock {
    struct http_app app;
    struct net *net;
    struct server server;
    struct slab calls;
    char *event; // the one that is being made
    uint64_t id; // of answers
    uint64_t requests;
};

must_use struct err mock_open(struct mock *mock, struct net *net, const struct sockaddr *addr,
                              socklen_t len);
void mock_stop(struct mock *mock);
static inline bool mock_is_idle(const struct mock *mock)
{
    return server_is_idle(&mock->server) && mock->calls.count_out == 0;
}
void mock_fini(struct mock *mock);

#endif
