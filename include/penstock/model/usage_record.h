// usage_record.h - what one finished request used: the unit of metering, from the shard to the
// store.
//
// Tokens are in the normal form: input without anything cached, output with reasoning in it. Money
// is nano-dollars. An id of 0 means "none" or "not known"; models are named by a hash of their
// name, so that shards need no dictionary, and the store keeps the names.
#ifndef PENSTOCK_MODEL_USAGE_RECORD_H
#define PENSTOCK_MODEL_USAGE_RECORD_H

#include "penstock/base/base.h"

enum usage_token {
    USAGE_INPUT,
    USAGE_CACHE_READ,
    USAGE_CACHE_WRITE_5M,
    USAGE_CACHE_WRITE_1H,
    USAGE_OUTPUT,
    USAGE_REASONING, // contained in USAGE_OUTPUT
    USAGE_TOKEN_COUNT
};

// One a request today; an attempt's cost to its account becomes a kind of its own.
enum usage_kind { USAGE_REQUEST, USAGE_KIND_COUNT };

enum usage_flag {
    USAGE_STREAM = BIT(0),
    USAGE_CONVERTED = BIT(1),
    USAGE_CLIENT_GONE = BIT(2),
    USAGE_ESTIMATED = BIT(3), // the vendor did not say, or not all of it
    USAGE_TRUNCATED = BIT(4), // the vendor's answer broke off
    USAGE_UNPRICED = BIT(5),
    USAGE_INTERRUPTED = BIT(6), // this gateway ended before the request did
};

enum {
    USAGE_ID_BYTES = 16,
    USAGE_MODEL_MAX = 64,
    USAGE_VENDOR_ID_MAX = 38,
    USAGE_BUCKET_S = 15 * 60, // aggregates are sums over a quarter of an hour
};
#define USAGE_TOKENS_MAX ((UINT32_C(1) << 31) - 1)
#define USAGE_TOTAL_US_MAX (UINT64_C(1) << 42) // 50 days
#define USAGE_MODEL_OTHER UINT64_MAX // names past the store's bound are counted as this one

struct usage_record {
    uint8_t request_id[USAGE_ID_BYTES];
    uint64_t start_ns; // wall clock
    uint64_t key_id, account_id;
    uint64_t model_id;        // the name that the client asked for
    uint64_t vendor_model_id; // the name sent to the vendor; 0 if the same
    uint64_t total_us;        // monotonic, like the next two
    uint32_t queue_us, ttft_us;
    uint32_t tokens[USAGE_TOKEN_COUNT];
    uint64_t bytes_in, bytes_out;
    int64_t cost_real_nano, cost_rated_nano;
    uint32_t price_version;
    uint16_t status;       // HTTP status that the client saw, 0 if none
    uint16_t err;          // enum err_code
    uint16_t flags;        // enum usage_flag
    uint8_t kind;          // enum usage_kind
    uint8_t format, route; // as the formats' table numbers them; stored, so never renumbered
    uint8_t attempts;
    uint8_t account_reason; // why this account was picked
    uint8_t model_len, vendor_id_len;
    char model[USAGE_MODEL_MAX];
    char vendor_id[USAGE_VENDOR_ID_MAX]; // the vendor's own request id
};
_Static_assert(sizeof(struct usage_record) == 248, "a record and its stamp are four cache lines");

// Sums over requests. Money saturates instead of wrapping.
struct usage_sums {
    uint64_t requests, errors, estimated, gone;
    uint64_t tokens[USAGE_TOKEN_COUNT];
    uint64_t bytes_in, bytes_out;
    uint64_t total_us, ttft_us, ttft_count; // ttft_us is over the ttft_count requests that had one
    int64_t cost_real_nano, cost_rated_nano;
};
enum { USAGE_SUM_WORDS = sizeof(struct usage_sums) / 8 };
_Static_assert(USAGE_SUM_WORDS == 17, "codecs walk the sums as words; the two costs come last");

// What several requests of one bucket used together, when their details could not be kept.
struct usage_summary {
    uint64_t key_id, account_id, model_id;
    uint32_t bucket;
    uint8_t format, kind;
    uint8_t model_len;
    struct usage_sums sums;
    char model[USAGE_MODEL_MAX];
};
_Static_assert(sizeof(struct usage_summary) <= sizeof(struct usage_record), "shares its slot");

// The id of a model name; 0 for the empty name.
uint64_t usage_model_id(struct span name);

// How much of `text` fits into `max` bytes without a character cut in two.
size_t usage_text_cut(struct span text, size_t max);
// Sets id and text. A name too long for the field is cut at a character; the id is that of the
// whole, and 0 if the caller does not know it.
void usage_record_set_model(struct usage_record *record, struct span name, uint64_t id);
void usage_record_set_vendor_id(struct usage_record *record, struct span id);

static inline struct span usage_record_model(const struct usage_record *record)
{
    return span_of(record->model, record->model_len);
}

// Brings every field into its bounds, so that nothing downstream has to: tokens, times, lengths.
void usage_record_clamp(struct usage_record *record);

// When the request ended and counts: a request belongs to the bucket in which it was settled.
uint64_t usage_settled_ns(const struct usage_record *record);

static inline uint32_t usage_bucket(uint64_t wall_ns)
{
    return (uint32_t)(wall_ns / NS_PER_S / USAGE_BUCKET_S);
}

void usage_sums_of(const struct usage_record *record, struct usage_sums *out);

// True if a sum reached its bound and stays there: an alarm.
bool usage_sums_add(struct usage_sums *sums, const struct usage_sums *more);

#endif
