#include "penstock/wire/figures.h"

#include "penstock/base/check.h"

_Static_assert((int)OP_COUNT <= 0x80 && (int)STAGE_COUNT <= 16 && (int)ERR_CODE_COUNT <= 0x10000,
               "an error's key holds them");
_Static_assert((int)FIGURES_PROVIDERS <= 8, "a model's key holds them");
_Static_assert((FIGURES_ERRORS & (FIGURES_ERRORS - 1)) == 0, "a hash is masked");
_Static_assert((FIGURES_MODELS & (FIGURES_MODELS - 1)) == 0, "a hash is masked");

enum { PROBES = 16 }; // places looked at

static uint32_t spread(uint64_t key)
{
    return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

// Only this shard's thread writes, so that a place that is seen free stays free until it is taken.
void figures_error(struct shard_counters *counters, unsigned op, unsigned provider,
                   enum figures_stage stage, unsigned code)
{
    const uint32_t key = figures_error_key(op, provider, stage, code);
    struct figures_error *found = &counters->errors[0];
    for (uint32_t i = 0, at = spread(key); i < PROBES; i++, at++) {
        struct figures_error *place = &counters->errors[at & (FIGURES_ERRORS - 1)];
        const uint32_t has = atomic_load_explicit(&place->key, memory_order_relaxed);
        if (place == found || (has != 0 && has != key))
            continue; // the first place is that of the others
        atomic_store_explicit(&place->key, key, memory_order_relaxed);
        found = place;
        break;
    }
    counter_add(&found->count, 1);
}

void figures_tokens(struct shard_counters *counters, uint64_t model, unsigned provider,
                    const uint32_t tokens[FIGURES_TOKENS])
{
    const uint64_t key = figures_model_key(model, provider);
    struct figures_model *found = &counters->models[0];
    for (uint32_t i = 0, at = spread(key); i < PROBES; i++, at++) {
        struct figures_model *place = &counters->models[at & (FIGURES_MODELS - 1)];
        const uint64_t has = atomic_load_explicit(&place->key, memory_order_relaxed);
        if (place == found || (has != 0 && has != key))
            continue;
        atomic_store_explicit(&place->key, key, memory_order_relaxed);
        found = place;
        break;
    }
    for (unsigned i = 0; i < FIGURES_TOKENS; i++)
        if (tokens[i] != 0)
            counter_add(&found->tokens[i], tokens[i]);
}

uint64_t figures_in_flight(const struct shard_counters *counters)
{
    uint64_t sum = 0;
    for (unsigned op = 0; op < OP_COUNT; op++)
        sum += counter_get(&counters->in_flight[op]);
    return sum;
}

const char *figures_stage_name(unsigned stage)
{
    static const char *const names[STAGE_COUNT] = {
        [STAGE_NONE] = "none",     [STAGE_HEAD] = "head", [STAGE_BODY] = "body",
        [STAGE_PICK] = "pick",     [STAGE_DIAL] = "dial", [STAGE_WAIT] = "wait",
        [STAGE_STREAM] = "stream",
    };
    assert(stage < STAGE_COUNT);
    return names[stage];
}

const char *figures_own_name(unsigned stage)
{
    static const char *const names[OWN_COUNT] = {
        [OWN_ROUTE] = "route",
        [OWN_WRITE] = "write",
    };
    assert(stage < OWN_COUNT);
    return names[stage];
}

const char *figures_outcome_name(unsigned outcome)
{
    static const char *const names[OUTCOME_COUNT] = {
        [OUTCOME_OK] = "ok",           [OUTCOME_REFUSED] = "refused", [OUTCOME_CONNECT] = "connect",
        [OUTCOME_TIMEOUT] = "timeout", [OUTCOME_BROKEN] = "broken",   [OUTCOME_CLIENT] = "client",
        [OUTCOME_SELF] = "self",
    };
    assert(outcome < OUTCOME_COUNT);
    return names[outcome];
}
