// usage.h - what an answer cost in tokens: the vendor's own words, and the one form they all
// become.
//
// Vendors tell counts once, twice or with every event, and always as totals. So counts are kept as
// they were told, field by field, the largest winning; a zero stands only if nothing larger came.
// Only at the end are they turned into the normal form, in which no token is counted twice: input
// without anything cached, output with reasoning in it.
#ifndef PENSTOCK_WIRE_USAGE_H
#define PENSTOCK_WIRE_USAGE_H

#include "penstock/base/base.h"
#include "penstock/codec/json.h"

enum told_field {
    TOLD_INPUT,    // with or without what was cached, by the format's rule
    TOLD_CACHED,   // read from a cache
    TOLD_WRITE,    // written to one, all together
    TOLD_WRITE_5M, // of it, for the shorter time
    TOLD_WRITE_1H, // and the longer
    TOLD_OUTPUT,   // with or without reasoning
    TOLD_REASONING,
    TOLD_TOOL_INPUT, // prompts of the vendor's own tools
    TOLD_TOTAL,
    TOLD_SEARCHES, // of the web, by the vendor
    TOLD_FETCHES,
    TOLD_COUNT
};

enum {
    TOLD_MODEL_MAX = 96,
    TOLD_TIER_MAX = 16,
};
#define TOLD_VALUE_MAX (UINT64_C(1) << 48) // sums of a few such counts cannot overflow

// What a reading looked at, for who wants to know which parts of a text may differ in the next one
// without a change in what was read but these values themselves.
enum told_role {
    TOLD_ROLE_FIELD,   // a count
    TOLD_ROLE_NOTHING, // a number or a list of things that tell nothing, whatever they are
    TOLD_ROLE_MODEL,
    TOLD_ROLE_ID,
};

enum { TOLD_TRACE_MAX = 40 };
struct told_trace {
    struct told_traced {
        struct span text; // of the value, where it was read
        uint8_t role;     // enum told_role
        uint8_t field;    // enum told_field, of a count
    } items[TOLD_TRACE_MAX];
    size_t count; // more than fit: the rest is not known
};

struct usage_told {
    uint64_t count[TOLD_COUNT];
    uint32_t seen; // a bit a field
    bool final;    // the counts that the vendor gives at the end have come
    // What decides the price beside the counts; cut if longer, empty if not told.
    uint8_t model_len, tier_len, speed_len, region_len;
    char model[TOLD_MODEL_MAX]; // the model that answered
    char tier[TOLD_TIER_MAX], speed[TOLD_TIER_MAX], region[TOLD_TIER_MAX];
    struct told_trace *trace; // NULL: nobody wants to know
};

// How a format's fields relate to each other.
enum usage_rule {
    USAGE_RULE_OPENAI,       // input contains what was cached and written, output the reasoning
    USAGE_RULE_OPENAI_INPUT, // the same where there is no output: embeddings
    USAGE_RULE_ANTHROPIC,    // input contains neither
    USAGE_RULE_GEMINI,       // input contains what was cached; thoughts stand beside the output
};

struct usage {
    uint64_t input_uncached, cache_read, cache_write_5m, cache_write_1h;
    uint64_t output, reasoning; // reasoning is part of output
    uint64_t searches, fetches;
    bool input_known, output_known;
    bool exact; // both known, and the vendor's last word
};

static inline void told_raise(struct usage_told *told, enum told_field field, uint64_t value)
{
    value = min_u64(value, TOLD_VALUE_MAX);
    told->seen |= BIT(field);
    told->count[field] = max_u64(told->count[field], value);
}

// Notes a value in the trace, if there is one.
static inline void told_note(struct usage_told *told, struct span text, enum told_role role,
                             enum told_field field)
{
    struct told_trace *trace = told->trace;
    if (likely(trace == NULL))
        return;
    if (trace->count < TOLD_TRACE_MAX)
        trace->items[trace->count] = (struct told_traced){ text, (uint8_t)role, (uint8_t)field };
    trace->count++;
}

// Reads an object of counts in the words of `rule`. Values may be whole or broken numbers, or
// numbers in strings; what cannot be a count is passed over. True if it told anything.
bool told_read(struct usage_told *told, enum usage_rule rule, struct json_slice object);

// Keep a text in one of the fields above; anything but a string that says something is passed over.
void told_model(struct usage_told *told, struct json_slice name);
void told_tier_set(struct usage_told *told, struct json_slice tier);

struct usage usage_normal(const struct usage_told *told, enum usage_rule rule);

static inline struct span told_model_name(const struct usage_told *told)
{
    return span_of(told->model, told->model_len);
}
static inline struct span told_tier(const struct usage_told *told)
{
    return span_of(told->tier, told->tier_len);
}

#endif
