// shard.h - everything of one relay thread: its loop, listeners, upstream pool and requests.
//
// A shard shares with the rest of the process only what `struct shard_shared` names: the snapshot
// hub, the slots' atomics, the destinations, and the ring that its usage records leave by. It can
// be run by shard_run() on a thread of its own or stepped by a test.
#ifndef PENSTOCK_RELAY_SHARD_H
#define PENSTOCK_RELAY_SHARD_H

#include "penstock/acct/snapshot.h"
#include "penstock/base/arena.h"
#include "penstock/codec/json_shape.h"
#include "penstock/convert/caps.h"
#include "penstock/http/client.h"
#include "penstock/http/server.h"
#include "penstock/model/access_port.h"
#include "penstock/model/usage_port.h"
#include "penstock/relay/carrier.h"
#include "penstock/relay/recall.h"
#include "penstock/wire/fault.h"
#include "penstock/wire/figures.h"
#include "penstock/wire/form.h"

enum { SHARD_LISTENERS_MAX = 16, SHARD_HABITS = 8, UP_FORM_BYTES = 1 * KIB, SHARD_UP_FORMS = 4 };

// What the configuration says about requests; the same object for all shards, never changed: other
// settings come as another object, at the beginning of a turn.
struct relay_limits {
    uint32_t generation; // tells one object from another, also where they lay in the same place
    size_t body_bytes;
    uint32_t json_depth;
    uint32_t stream_bytes; // held for one stream on each side, beyond a piece or an event
    uint32_t retries;      // further accounts tried
    uint32_t idle_per_host;
    uint64_t idle_timeout_ns;
    uint64_t dns_ns, connect_ns, handshake_ns;
    uint64_t first_byte_stream_ns, first_byte_whole_ns, stream_idle_ns;
    uint64_t total_ns; // 0: no limit
    bool half_close_keep;
    const struct span *origins; // that browsers may call from
    uint32_t origin_count;
    bool log_access;
};

struct shard_settings {
    struct relay_limits relay;
    struct server_limits server;
};

struct shard_shared {
    struct snap_hub *hub;
    struct slot *slots;
    struct dests *dests;
    struct budget_process *budget;
    struct peers *peers;         // NULL: connections are not counted by address
    struct doors *doors;         // of all shards, by their index; NULL: there is only one
    struct recall *recall;       // of thoughts, for all shards; NULL: nothing is remembered
    struct carrier *carrier;     // for large requests; NULL: they are work for a turn as well
    const uint8_t *envelope_key; // 32 bytes: of signatures on their way through other formats
    const struct relay_limits *relay;
    const struct server_limits *server;
};

// The newest look for a model's route, which holds for the snapshot of this generation.
struct route_memo {
    uint64_t generation; // 0: none yet
    uint16_t model_len;
    uint8_t format;
    char model[MODEL_NAME_MAX];
    struct snap_route route;
    const struct snap_candidate *candidate; // of the route: the newest whose model was looked at
    struct caps caps;                       // what that one can do
};

// The head for a vendor that a client's head led to last, without its account's lines and the
// length of the body.
struct up_form {
    uint64_t head_nr;    // the client's head; 0: nothing was kept yet
    uint64_t generation; // of the snapshot
    uint32_t account;    // index in it
    uint16_t model_len;  // of the vendor's name for the model, which comes first in `text`
    uint16_t len;        // of the head, behind it
    uint16_t lines_at, length_at;
    char text[UP_FORM_BYTES];
};

// What requests under one head have in common.
struct habit {
    struct json_shape shape; // of their bodies
    struct up_form up;
};

struct shard {
    uint32_t idx;
    const struct shard_shared *shared; // `own`
    struct shard_shared own;
    struct loop loop;
    struct net net;
    struct upool upool;
    struct http_app app;
    struct server servers[SHARD_LISTENERS_MAX];
    uint32_t server_count;
    struct slab reqs, answers, unpacks, secrets, conversions;
    struct kept_secret *secret;  // the newest that is in use; NULL: none is
    struct arena_source chunks;  // of requests' arenas: buffers of the pool
    struct list live;            // requests
    struct req *owed;            // those of them whose own time ends with this turn (own.h)
    const struct snapshot *snap; // of this turn
    struct route_memo route;
    struct usage_port *port;
    struct access_port *access; // NULL: no access lines
    struct shard_counters counters;
    uint64_t id_state;                 // of request ids
    char target_room[HTTP_TARGET_MAX]; // for the path of the head being looked at
    struct fault_note note;            // of an event being looked at; copied by who keeps it
    struct wire_forms forms;           // of whole answers
    struct habit habits[SHARD_HABITS]; // heads that repeat have one each, in turn
    uint64_t head_count;               // that were noted: each has its number
    struct json_texts texts;           // of a body that is being learnt
    struct http_form up_forms[SHARD_UP_FORMS]; // of answers' heads, by destination
    struct http_head up_head;                  // the answer being looked at; not kept past a step
    bool draining;
};

// The formats (a set) between which requests are converted.
uint32_t relay_formats_converted(void);

// `conns_max`: connections of this shard, both sides together.
must_use struct err shard_init(struct shard *shard, uint32_t idx, struct io *io, struct env *env,
                               const struct shard_shared *shared, struct usage_port *port,
                               uint32_t conns_max);
// Only when shard_is_closed().
void shard_fini(struct shard *shard);

// `certs` NULL: plaintext; otherwise they outlive the shard. `addr` NULL: another shard listens for
// this one. All shards have the same listeners in the same order.
must_use struct err shard_listen(struct shard *shard, const struct sockaddr *addr, socklen_t len,
                                 struct certs *certs);

// After the last listener: from now on other shards may pass connections on to this one.
void shard_open_door(struct shard *shard);

// Other settings from now on, between two turns; they stay until others are applied. What is under
// way keeps the deadlines it has. server.connections is decided at the start.
void shard_apply(struct shard *shard, const struct shard_settings *settings);

// One turn: takes the newest snapshot, runs the loop, hands over records.
void shard_turn(struct shard *shard, uint64_t until_ns);

// Stops accepting and lets requests finish; shard_cut() ends those that are left with an error in
// their own form.
void shard_drain(struct shard *shard);
void shard_cut(struct shard *shard);
bool shard_is_idle(const struct shard *shard);

// For an idle shard: closes the connections that are pooled. Turns follow until shard_is_closed():
// the kernel has then returned every operation.
void shard_close(struct shard *shard);
bool shard_is_closed(const struct shard *shard);

#endif
