// mock_internal.h - between the mock's parts; private to src/mock.
#ifndef PENSTOCK_MOCK_INTERNAL_H
#define PENSTOCK_MOCK_INTERNAL_H

#include "penstock/codec/json_writer.h"
#include "penstock/mock/mock.h"

enum {
    MOCK_MODEL_MAX = 512,
    MOCK_SIZE_MAX = 1 * MIB,                       // of a delta
    MOCK_EVENT_MAX = 2 * MOCK_SIZE_MAX + 64 * KIB, // an end that repeats two deltas of that size
};

enum mock_op {
    MOCK_CHAT,
    MOCK_COMPLETIONS,
    MOCK_EMBEDDINGS,
    MOCK_RESPONSES,
    MOCK_COMPACT,
    MOCK_MESSAGES,
    MOCK_COUNT_TOKENS,
    MOCK_RESPONSES_COUNT,
    MOCK_GENERATE,
    MOCK_GEMINI_COUNT,
    MOCK_GEMINI_EMBED,
    MOCK_GEMINI_EMBED_BATCH,
    MOCK_UNKNOWN,
};

// One request at the mock vendor.
struct call {
    struct mock *mock;
    struct stream *stream;
    struct task task;
    struct timer timer;
    struct mock_wish wish;
    enum mock_op op;
    bool streamed;
    bool include_usage; // Chat: the client asked for the usage chunk
    bool sse;           // Gemini: alt=sse, else a JSON array
    bool base64;        // Embeddings: in this encoding, else as numbers
    uint32_t inputs;    // texts to embed
    bool planned;
    bool answered; // tool results came back: text now
    uint64_t id;
    uint32_t event; // the next one of a stream
    uint32_t drip_at;
    uint32_t model_len;
    char model[MOCK_MODEL_MAX];
    char auth[128]; // what the gateway logged in with, for fault=leak
    uint32_t auth_len;
};

static inline struct span call_model(const struct call *call)
{
    return span_of(call->model, call->model_len);
}

// Writes stream event `index` and returns true, or returns false behind the last one.
bool mock_event(struct call *call, uint32_t index, struct put *out);
// Writes a whole answer.
void mock_whole(struct call *call, struct put *out);
// Writes an error body in the format of the call.
void mock_error(struct call *call, int status, struct span message, struct put *out);
// Writes an error as an event of the call's stream.
void mock_error_event(struct call *call, struct put *out);
// The text of delta `index`.
void mock_text(struct call *call, uint32_t index, struct put *out);
uint32_t mock_event_count(const struct call *call);

#endif
