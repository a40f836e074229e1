// snapshot.h - what shards know of accounts, keys and models: immutable, replaced as a whole.
//
// The control thread builds a snapshot and publishes it. A shard takes the current one at the start
// of a turn and keeps no pointer into it past that turn: what a request needs later it copies. A
// snapshot is freed when every shard has begun a later turn or sleeps.
#ifndef PENSTOCK_ACCT_SNAPSHOT_H
#define PENSTOCK_ACCT_SNAPSHOT_H

#include "penstock/acct/slot.h"
#include "penstock/base/env.h"
#include "penstock/model/account.h"
#include "penstock/model/key.h"
#include "penstock/model/route.h"
#include "penstock/model/seal.h"

enum {
    SNAPSHOT_SHARDS_MAX = 256,
    SNAPSHOT_RETIRED_MAX = 16,
    SNAPSHOT_ACCOUNTS_MAX = 100 * 1000,
    SNAPSHOT_CANDIDATES_MAX = 256, // a route; the first by priority
};

// All spans below live as long as the snapshot.
struct snap_account {
    struct span id, name;
    uint64_t usage_id; // of `id`, for usage records
    enum account_type type;
    uint32_t idx;     // in this snapshot
    uint32_t formats; // set it serves
    bool enabled;
    uint64_t expires_at; // wall nanoseconds, 0: never
    int64_t priority;
    struct slot_ref slot;
    uint32_t in_flight_max; // UINT32_MAX: no limit
    // The way there.
    struct span host; // an IPv6 address without brackets
    uint16_t port;
    bool tls;
    bool allow_private;
    uint32_t dest;           // index of its destination, given by the builder's caller
    bool from_file;          // declared by the configuration file: its address is trusted
    struct span server_name; // for TLS
    struct span path;        // before the format's own path; no '/' at its end, may be empty
    struct span ca_file;
    // What is sent: the lines of a head that are the account's own, ready to be written.
    const struct secret *lines; // Host, the credential, its headers
    uint32_t auth_at, auth_len; // the credential's value in them, with its scheme; 0: none
    struct span anthropic_version;
    // Deadlines; 0: the gateway's own.
    uint64_t connect_ns, first_byte_stream_ns, first_byte_whole_ns, idle_ns, total_ns;
};

static inline struct span snap_account_auth(const struct snap_account *account)
{
    return span_of(secret_reveal(account->lines).ptr + account->auth_at, account->auth_len);
}

struct snap_key {
    uint8_t digest[DIGEST_BYTES];
    struct span id, name;
    uint64_t usage_id;   // of `id`, for usage records
    uint64_t expires_at; // wall nanoseconds, 0: never
    uint32_t formats;    // set; never empty
    bool enabled;
    struct slot_ref slot;
    const struct span *models; // names or prefix*; count 0: all
    uint32_t model_count;
};

struct snap_candidate {
    uint32_t account;  // index into the snapshot's accounts
    uint8_t format;    // enum format in which it is asked; another than the client's: converted
    struct span model; // what the vendor calls it; empty: what the client wrote
};

struct snap_route {
    const struct snap_candidate *candidates; // best first
    uint32_t count;
    uint16_t own_count; // of them, those that are asked in the client's own format
    bool ordered;       // the order is the operator's own
    bool strict;        // what a conversion cannot carry over is refused
    bool think_tags;    // the model writes thoughts into its text, between tags
    bool web_search;    // a vendor's own may stand for another's
    uint64_t model_id;  // usage_model_id() of the model where it is known beforehand, else 0
};

// A model of the list that clients ask for.
struct snap_model {
    struct span name, display_name, owned_by;
    uint64_t created_at;
    uint32_t formats;
};

struct snapshot;

uint64_t snapshot_generation(const struct snapshot *snap);
uint32_t snapshot_account_count(const struct snapshot *snap);
uint32_t snapshot_key_count(const struct snapshot *snap);
// Enabled accounts that are asked in this format.
uint32_t snapshot_serving(const struct snapshot *snap, enum format format);
const struct snap_account *snapshot_account(const struct snapshot *snap, uint32_t idx);
const struct snap_account *snapshot_account_by_name(const struct snapshot *snap, struct span name);

// The key with this digest; NULL if there is none. The last comparison takes constant time.
const struct snap_key *snapshot_key(const struct snapshot *snap,
                                    const uint8_t digest[DIGEST_BYTES]);
// The digest of a key that a client sent; KEY_INVALID for what has not the form of a key. The
// lookup key is the same in every snapshot of a process, so a digest may be kept and used with any
// of them.
must_use struct err snapshot_digest(const struct snapshot *snap, struct span text,
                                    uint8_t digest[DIGEST_BYTES]);
// The key with this digest, and whether it may be used now: KEY_INVALID, KEY_DISABLED, KEY_EXPIRED.
// *out is set on all but KEY_INVALID.
must_use struct err snapshot_auth(const struct snapshot *snap, const uint8_t digest[DIGEST_BYTES],
                                  uint64_t wall_ns, const struct snap_key **out);
// FORMAT_FORBIDDEN, MODEL_UNKNOWN. `model` empty: only the format is checked.
must_use struct err snap_key_allows(const struct snap_key *key, enum format format,
                                    struct span model);

// Who serves `model` to clients of `format`: an exact public name or alias, else the accounts whose
// patterns match. count 0: nobody. Disabled accounts are left out; whoever picks one looks at
// expires_at and at its slot. Operations that cannot be converted pass over candidates of another
// format.
struct snap_route snapshot_route(const struct snapshot *snap, enum format format,
                                 struct span model);

// The models that `key` may use in any of `formats`, sorted by name: call with *cursor 0 first;
// NULL at the end.
const struct snap_model *snapshot_model_next(const struct snapshot *snap,
                                             const struct snap_key *key, uint32_t formats,
                                             uint32_t *cursor);
const struct snap_model *snapshot_model(const struct snapshot *snap, const struct snap_key *key,
                                        uint32_t formats, struct span name);

// Building: control thread only. Records are read and not kept.
struct snap_builder;
must_use struct err snap_builder_new(struct snap_builder **out, const struct keyring *keyring,
                                     struct vault *vault, struct slots *slots, uint64_t generation);
// Starts from what `from` knows of keys, so that one changed key does not need all records.
void snap_builder_keep_keys(struct snap_builder *builder, const struct snapshot *from);
struct snap_account_extra {
    uint32_t dest;
    bool from_file;
    const struct secret *api_key; // read from api_key_file or api_key_env; NULL: the record's own
};
// Between which formats (a set) requests are converted: an account that serves one of them then
// also serves clients of the others. Before the first account; none without this call.
void snap_builder_convert(struct snap_builder *builder, uint32_t formats);
must_use struct err snap_builder_account(struct snap_builder *builder,
                                         const struct account *account,
                                         const struct snap_account_extra *extra);
// Replaces a key of the same id.
must_use struct err snap_builder_key(struct snap_builder *builder, const struct key *key);
void snap_builder_drop_key(struct snap_builder *builder, struct span id);
must_use struct err snap_builder_route(struct snap_builder *builder, const struct route *route);
// Ends the builder, also on failure.
must_use struct err snap_builder_finish(struct snap_builder **builder, struct snapshot **out);
void snap_builder_free(struct snap_builder **builder);
// For a snapshot that was never published.
void snapshot_free(struct snapshot **snap);

// Publishing.
struct snap_hub;
// Starts with an empty snapshot of generation 0: every key is KEY_INVALID.
must_use struct err snap_hub_new(struct snap_hub **out, uint32_t shard_count);
// Every shard must have left. Frees the current and all retired snapshots.
void snap_hub_free(struct snap_hub **hub);
// The generation to build the next snapshot for.
uint64_t snap_hub_next(const struct snap_hub *hub);
// Makes *snap current and sets it to NULL; OVERLOADED (and nothing changes) while
// SNAPSHOT_RETIRED_MAX older ones still wait for a shard.
must_use struct err snap_hub_publish(struct snap_hub *hub, struct snapshot **snap);
// Frees the snapshots that no shard can still see; returns how many wait. Call it after publishing
// and from a timer until it returns 0, then slots_sweep().
uint32_t snap_hub_reclaim(struct snap_hub *hub);
// For the control thread itself.
const struct snapshot *snap_hub_current(const struct snap_hub *hub);

// A shard, at the start of each turn: everything from an earlier turn is given up, and this is the
// snapshot until the next call.
const struct snapshot *snap_hub_enter(struct snap_hub *hub, uint32_t shard);
// Before a wait that may sleep: the shard holds nothing until it enters again.
void snap_hub_leave(struct snap_hub *hub, uint32_t shard);

#endif
