// figures.h - what one shard counts, for metrics: written by the shard alone, read by anybody.
//
// Every label comes from a closed set. Where the sets together are large and few of their products
// occur, a product gets its place in a small table when it first occurs; what finds no place is
// counted as the table's first one, which stands for all others.
#ifndef PENSTOCK_WIRE_FIGURES_H
#define PENSTOCK_WIRE_FIGURES_H

#include "penstock/base/counter.h"
#include "penstock/wire/route.h"

enum {
    FIGURES_TOKENS = 6,    // kinds of tokens, as in usage records
    FIGURES_CLASSES = 6,   // of status; 0: the client was gone before an answer
    FIGURES_PROVIDERS = 5, // types of accounts, from 1; 0: no account was picked
    FIGURES_ATTEMPTS = 3,  // first, second, later
    FIGURES_FAMILIES = 4,  // enum wire_family
    FIGURES_ERRORS = 256,
    FIGURES_MODELS = 128,
};

// Where a request was when it failed.
enum figures_stage {
    STAGE_NONE,
    STAGE_HEAD, // route, key
    STAGE_BODY, // collecting it, and what it says
    STAGE_PICK, // an account
    STAGE_DIAL, // a connection
    STAGE_WAIT, // for the head of the answer, or for why there is none
    STAGE_STREAM,
    STAGE_COUNT
};

// A time of a request in the gateway's own hands, from the moment when it could go on to the end of
// the turn that handed its bytes on.
enum figures_own {
    OWN_ROUTE, // from the whole request to the vendor's connection: key, limits, account
    OWN_WRITE, // from the vendor's answer to the client's connection
    OWN_COUNT
};

// What is refused for a limit's sake.
enum figures_limit {
    LIMIT_MEMORY,  // the process holds too much for peers
    LIMIT_ACCOUNT, // every account that could serve has all the requests it may have
    LIMIT_COUNT
};

// How an attempt on an account ended.
enum figures_outcome {
    OUTCOME_OK,
    OUTCOME_REFUSED, // the vendor answered with an error
    OUTCOME_CONNECT, // it was not reached
    OUTCOME_TIMEOUT,
    OUTCOME_BROKEN, // the answer was cut, or not what it should be
    OUTCOME_CLIENT, // the client left
    OUTCOME_SELF,   // a limit of this gateway, or its end
    OUTCOME_COUNT
};

// What became of the settings and parts of requests that were converted, and of those parts of
// answers that the client's format cannot say.
enum figures_loss {
    FIGURES_ADJUSTED,
    FIGURES_DROPPED,
    FIGURES_REFUSED,
    FIGURES_UNSAID,
    FIGURES_LOSSES
};

// Requests of one family's clients that went to another family's vendors.
struct figures_conversion {
    struct counter requests;
    struct counter losses[FIGURES_LOSSES];
};

struct figures_error {
    _Atomic uint32_t key; // 0: free; else figures_error_key()
    struct counter count;
};

// Tokens of one model at one kind of vendor.
struct figures_model {
    _Atomic uint64_t key; // 0: free; else figures_model_key()
    struct counter tokens[FIGURES_TOKENS];
};

struct shard_counters {
    struct counter requests[OP_COUNT][FIGURES_PROVIDERS][2][FIGURES_CLASSES]; // [2]: streamed
    struct figures_error errors[FIGURES_ERRORS];
    struct figures_model models[FIGURES_MODELS];
    struct latency duration[OP_COUNT][FIGURES_PROVIDERS], first_token[OP_COUNT][FIGURES_PROVIDERS];
    struct latency connect[FIGURES_PROVIDERS][2]; // [2]: from the pool
    struct latency token_gap[FIGURES_PROVIDERS];  // between turns that brought events of a stream
    struct latency overhead[FIGURES_FAMILIES][OWN_COUNT]; // begins at LATENCY_OWN_FIRST_US
    struct counter limited[LIMIT_COUNT];
    struct counter attempts[FIGURES_PROVIDERS][OUTCOME_COUNT][FIGURES_ATTEMPTS];
    struct counter retries, stale_retries;
    struct counter recall_hits[2], recall_misses[2]; // [2]: who signed, what came with a call
    struct counter thoughtless; // attempts made again without the thoughts that a vendor refused
    struct counter cut;         // requests that the end of this process ended
    struct counter fields_dropped;
    struct figures_conversion conversions[FIGURES_FAMILIES][FIGURES_FAMILIES]; // from, to
    struct counter bytes_in, bytes_out;
    // As they are now.
    struct counter in_flight[OP_COUNT], streams[OP_COUNT];
    struct counter upstream_active[FIGURES_PROVIDERS];
    // What the loop and its parts counted, as of the end of the last turn.
    struct counter connections, upstream_idle, upstream_reused;
    struct counter evicted[2]; // clients' connections that made room: silent, kept
    struct counter passed;     // fresh connections that another shard got
    struct counter syscalls, no_buffers;
};

// What is remembered of thoughts, by all shards together.
struct recall_figures {
    _Atomic uint64_t entries, bytes; // as they are now
    _Atomic uint64_t evicted;        // entries that made room
    uint64_t limit_bytes;
};

static inline uint32_t figures_error_key(unsigned op, unsigned provider, unsigned stage,
                                         unsigned code)
{
    return UINT32_C(1) << 31 | op << 24 | provider << 20 | stage << 16 | code;
}
struct figures_error_of {
    unsigned op, provider, stage, code;
};
static inline struct figures_error_of figures_error_of(uint32_t key)
{
    return (struct figures_error_of){ key >> 24 & 0x7f, key >> 20 & 0xf, key >> 16 & 0xf,
                                      key & 0xffff };
}
// `model`: the hash that stands for a model's name in usage records.
static inline uint64_t figures_model_key(uint64_t model, unsigned provider)
{
    return model << 4 | 8 | provider; // never 0
}

void figures_error(struct shard_counters *counters, unsigned op, unsigned provider,
                   enum figures_stage stage, unsigned code);
void figures_tokens(struct shard_counters *counters, uint64_t model, unsigned provider,
                    const uint32_t tokens[FIGURES_TOKENS]);
// All requests under way.
uint64_t figures_in_flight(const struct shard_counters *counters);

const char *figures_stage_name(unsigned stage);
const char *figures_outcome_name(unsigned outcome);
const char *figures_own_name(unsigned stage);

#endif
