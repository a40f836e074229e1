// relay_sim.h - whole relay shards on the simulated network, with clients and vendors that follow
// scripts drawn from a seed, and judges that compare what each side saw.
//
// Everything runs on one thread and one fake clock. A `call` is one request of a client; vendors
// find out by the nonce in its body which call they answer, and note in an `attempt` what they did
// to it. The same functions of say.c tell a vendor what to answer and the judge what the client
// must see, so that neither an answer for somebody else nor a torn or shortened one passes.
#ifndef PENSTOCK_TESTS_RELAY_SIM_H
#define PENSTOCK_TESTS_RELAY_SIM_H

#include "penstock/base/check.h"
#include "penstock/base/mem.h"
#include "penstock/base/text.h"
#include "penstock/io/sim.h"
#include "penstock/relay/shard.h"

enum {
    SIM_SHARDS_MAX = 2,
    SIM_VENDORS = 8,
    SIM_CALLS_MAX = 64,
    SIM_CLIENTS_MAX = 12,
    SIM_LINKS_MAX = 512, // connections that vendors accepted in one run
    SIM_ALIASES = 8,
    SIM_ATTEMPTS_MAX = 16,
    SIM_SAY_EVENTS_MAX = 48,
    SIM_PORT = 8080,
    SIM_PORT_SLOTS = 256,
};

// --- what is asked, and what went on (say.c)

enum kind { KIND_CHAT, KIND_RESPONSES, KIND_MESSAGES, KIND_GEMINI, KIND_GEMINI_ARRAY, KIND_COUNT };

enum bad {
    BAD_NONE,
    BAD_KEY,     // one that nobody minted
    BAD_NO_KEY,  // none at all
    BAD_PATH,    // nothing is there
    BAD_JSON,    // cut in the middle
    BAD_TYPE,    // "stream" is a number
    BAD_MODEL,   // the key may not use it
    BAD_CHUNK,   // a chunk without a size
    BAD_LENGTHS, // a length and chunks
    BAD_BIG,     // longer than the limit
    BAD_HEAD,    // no HTTP
    BAD_COUNT
};

enum ill {
    ILL_NONE,
    ILL_429,
    ILL_500,
    ILL_400,
    ILL_401,
    ILL_REDIRECT,
    ILL_FIN,       // instead of an answer
    ILL_RST,       // the same, rudely
    ILL_HANG,      // never a byte
    ILL_FIN_MID,   // somewhere in the answer
    ILL_RST_MID,   //
    ILL_HANG_MID,  //
    ILL_BAD_CHUNK, // a chunk size that is none
    ILL_BAD_HEAD,  // no HTTP
    ILL_EVENT,     // an error event, and the proper end of the body
    ILL_NO_END,    // the body ends properly, its last events are missing
    ILL_COUNT
};

struct attempt {
    uint8_t vendor;
    uint8_t kind; // enum kind that the vendor was asked in: another than the call's if converted
    uint8_t ill;  // enum ill
    bool whole;   // every byte of a proper answer was written
    bool tainted; // the vendor had said something unasked on this connection
    size_t wire_len, written;
};

enum fate {
    FATE_UNSENT,  // not every byte of it left the client
    FATE_SENT,    // no answer has begun
    FATE_ANSWER,  // an answer has begun
    FATE_WHOLE,   // a complete good answer
    FATE_ERROR,   // a complete error
    FATE_BROKEN,  // an answer that ends with an error event
    FATE_CUT,     // an answer that is visibly short
    FATE_NOTHING, // the connection ended without a byte of an answer
};

struct call {
    uint32_t nonce;
    uint8_t kind, bad, key;
    uint8_t fate;
    bool stream, wants_usage, chunked, http10, close, query_key, huge, expect;
    bool authenticated; // it carries a good key, and HTTP is well
    bool pipelined;     // it was sent before the answer to the one before was there
    int alias;          // -1: the model's own name
    uint32_t events;    // with text
    uint32_t fill;      // bytes of text that it carries
    char model[24], vendor_model[24];
    struct text bytes;
    int status;
    char request_id[32]; // from the answer
    uint64_t began_ns;
    unsigned client;
    struct attempt attempts[SIM_ATTEMPTS_MAX];
    unsigned attempt_count;
    unsigned records;
    bool excused;   // its client left, stopped reading, or was treated badly by the network
    bool short_end; // complete in substance, without the last formalities
    bool slow;      // its client may be so slow that it is given up
};

struct say {
    struct text text;
    size_t ends[SIM_SAY_EVENTS_MAX]; // where events end
    bool terminal[SIM_SAY_EVENTS_MAX];
    unsigned count; // of events; 0: one whole body
};

// The bytes of the request, head and body.
void say_request(struct call *call, struct span key, struct text *out);
// The body as a vendor has to see it.
void say_request_body(const struct call *call, bool for_vendor, struct text *out);
// The body of the answer to the attempt numbered `attempt`, as the vendor says it or as the client
// must see it.
void say_answer(const struct call *call, unsigned attempt, bool for_client, struct say *out);
void say_fini(struct say *say);
// The answer's text alone, as a client of any kind has to read it.
void say_text(const struct call *call, unsigned attempt, struct text *out);
// What a client understands of a body in the form of the call's API, be it whole or the beginning
// of a stream; `probe` may stand between events. The text that is told goes to `out`.
enum heard { HEARD_NOTHING, HEARD_PART, HEARD_TORN, HEARD_ERROR, HEARD_ALL };
enum heard say_hear(const struct call *call, struct span body, struct span probe, struct text *out);
// The call as if it were made in another kind.
struct call say_turned(const struct call *call, enum kind kind);
struct say_tokens {
    uint32_t input, cached, output; // input is without what was cached
};
struct say_tokens say_tokens(const struct call *call);
void say_error(const struct call *call, int status, struct text *out);
void say_error_event(const struct call *call, struct text *out);
// True if `body` is an error in the form of the call's API.
bool say_is_error(const struct call *call, struct span body);
// True if `bytes` are one or two events that report an error in that form.
bool say_is_error_event(const struct call *call, struct span bytes);

// --- clients (client.c)

enum manner {
    MANNER_GOOD,
    MANNER_SLOW,  // reads a little at a time
    MANNER_STALL, // stops reading somewhere
    MANNER_CLOSE, // closes at some moment
    MANNER_RESET, // the same, rudely
    MANNER_HALF,  // sends FIN behind its last request and goes on reading
    MANNER_COUNT
};

struct response {
    size_t at; // where it begins in the client's `in`
    size_t head_len;
    int status;
    bool chunked, close, until_close, event_stream;
    uint64_t length;
    struct text body;
    size_t parsed; // of `in`
    uint64_t chunk_left;
    uint8_t state;
};

struct client {
    struct sim_world *world;
    unsigned idx;
    struct sim_peer *peer;
    uint8_t manner;
    unsigned calls[4];
    unsigned call_count, sent, answered;
    size_t out_at; // of the call being sent
    size_t read_max, stall_at, read_bytes;
    struct text in;
    struct response response;
    unsigned connections_left;
    bool tick_pending, half_closed, was_told_close, done, response_begun;
    uint64_t leave_ns, idle_since_ns, give_up_ns;
};

void client_start(struct client *client);
void client_end(struct client *client);

// --- vendors (vendor.c)

struct vendor {
    struct sim_world *world;
    unsigned idx;
    struct sim_listener *listener;
    const char *secret;
    uint8_t kinds; // set of BIT(kind)
};

struct link {
    struct vendor *vendor;
    struct sim_peer *peer;
    struct text in, out;
    size_t in_at, out_at, stop_at; // stop_at: where the fault happens
    struct call *call;
    struct attempt *attempt;
    bool tick_pending, close_after, tainted, hung;
};

void vendor_open(struct vendor *vendor);

// --- a client that never reads (flood.c)

struct flood {
    struct sim_peer *peer;
    uint64_t written;
};

void flood_start(struct flood *flood, struct sim_world *world);
void flood_end(struct flood *flood);

// --- the world (world.c)

struct sim_world {
    uint64_t seed;
    bool trace;
    struct env_fake env;
    struct sim *sim;
    bool lopsided;   // all clients dial one shard
    unsigned passed; // connections that another shard got
    uint64_t excused_evictions;
    unsigned shard_count, vendor_count, call_count, call_max, client_count, link_count;
    bool hostile, calm;
    bool pressed; // buffers, descriptors or memory are scarce
    bool faults;  // vendors misbehave
    bool limited; // accounts take few requests at a time
    bool drained; // the shards are ended while requests run
    bool republishes;
    bool converts; // accounts serve clients of other formats
    unsigned priorities[SIM_VENDORS];
    uint64_t drain_ns, cut_ns, publish_ns;
    struct relay_limits relay;
    struct server_limits server;
    struct budget_process budget;
    struct shard_shared shared;
    struct io *ios[SIM_SHARDS_MAX];
    struct shard *shards; // SIM_SHARDS_MAX
    struct usage_port ports[SIM_SHARDS_MAX];
    struct usage_slot *slots_of_ports;
    struct usage_summary *spills;
    struct vault *vault;
    struct slots *slots;
    struct snap_hub *hub;
    struct doors *doors;
    struct carrier *carrier; // its turns are the world's
    uint64_t carrier_ns;     // when it turns at the latest
    struct dests *dests;
    struct recall *recall;
    struct keyring keyring;
    char keys[3][KEY_TEXT_LEN]; // 0: all models; 1: of other models only; 2: nobody's
    uint32_t in_flight_max[SIM_VENDORS];
    uint32_t account_slots[SIM_VENDORS];
    struct vendor vendors[SIM_VENDORS];
    struct link links[SIM_LINKS_MAX];
    struct client clients[SIM_CLIENTS_MAX];
    struct flood flood;
    struct call calls[SIM_CALLS_MAX];
    struct usage_record records[4 * SIM_CALLS_MAX];
    unsigned record_count;
    unsigned violations;
    struct judge *judge;
};

struct sim_report {
    uint64_t trace;
    unsigned violations;
    unsigned fates[FATE_NOTHING + 1];
    unsigned attempts, faults, converted;
    unsigned passed; // connections that another shard got
};

// One whole run.
struct sim_report world_run(uint64_t seed, bool trace);
void *world_memory(size_t size); // zeroed; to be freed
struct call *world_call_new(struct sim_world *world);
struct call *world_call_of(struct sim_world *world, uint32_t nonce);
struct link *world_link_new(struct sim_world *world);
struct sockaddr_in world_addr(const char *text, unsigned last, uint16_t port);
void world_note(struct sim_world *world, const char *format, ...) printf_like(2, 3);
// A judge's finding.
void world_violation(struct sim_world *world, const char *format, ...) printf_like(2, 3);
static inline uint64_t world_below(struct sim_world *world, uint64_t count)
{
    return sim_below(world->sim, count);
}
static inline bool world_chance(struct sim_world *world, unsigned permille)
{
    return sim_chance(world->sim, permille);
}

// Snapshot and shards (setup.c).
void setup_open(struct sim_world *world);
void setup_publish(struct sim_world *world);
void setup_close(struct sim_world *world);

// --- judges (judge.c)

// A complete answer, or with `cut` what came of one.
void judge_answer(struct client *client, struct call *call, const struct response *response,
                  bool cut);
// The connection ended before an answer to `call` began.
void judge_silence(struct client *client, struct call *call, bool reset);
void judge_turn(struct sim_world *world);
void judge_end(struct sim_world *world);
void judge_free(struct sim_world *world);

#endif
