#include "penstock/wire/fault.h"

#include "penstock/base/check.h"

struct fault_row {
    const char *name;
    uint8_t blame, retry;
    struct fault_words openai, anthropic, gemini;
};

static const struct fault_row rows[FAULT_COUNT] = {
#define FAULT(id, whose, again, o_status, o_type, o_code, a_status, a_type, g_code, g_status)   \
    [FAULT_##id] = {                                                                            \
        .name = #id,                                                                            \
        .blame = BLAME_##whose,                                                                 \
        .retry = RETRY_##again,                                                                 \
        .openai = { o_status, { o_type, sizeof(o_type) - 1 }, { o_code, sizeof(o_code) - 1 } }, \
        .anthropic = { a_status, { a_type, sizeof(a_type) - 1 }, { "", 0 } },                   \
        .gemini = { g_code, { g_status, sizeof(g_status) - 1 }, { "", 0 } },                    \
    },
#include "penstock/wire/faults.def"
#undef FAULT
};

const char *fault_name(enum fault fault)
{
    assert(fault < FAULT_COUNT);
    return fault == FAULT_NONE ? "NONE" : rows[fault].name;
}

enum blame fault_blame(enum fault fault)
{
    assert(fault < FAULT_COUNT);
    return (enum blame)rows[fault].blame;
}

enum err_retry fault_retry(enum fault fault)
{
    assert(fault < FAULT_COUNT);
    return (enum err_retry)rows[fault].retry;
}

struct fault_words fault_words(enum fault fault, enum wire_family family)
{
    assert(fault > FAULT_NONE);
    assert(fault < FAULT_COUNT);
    switch (family) {
    case FAMILY_OPENAI:
    case FAMILY_RESPONSES: return rows[fault].openai;
    case FAMILY_ANTHROPIC: return rows[fault].anthropic;
    case FAMILY_GEMINI: return rows[fault].gemini;
    }
    bug("a family is one of four");
}

static enum fault client_fault(struct err err)
{
    switch (err.code) {
    case ERR_MODEL_UNKNOWN: return FAULT_MODEL_UNKNOWN;
    case ERR_MODEL_MISSING: return FAULT_BAD_REQUEST;
    default: break;
    }
    switch (err_status(err.code)) {
    case 401: return FAULT_CLIENT_AUTH;
    case 402: return FAULT_BUDGET;
    case 403: return FAULT_NOT_ALLOWED;
    case 404: return FAULT_NOT_FOUND;
    case 413: return FAULT_TOO_LARGE;
    case 429: return FAULT_RATE_LIMITED;
    default: return FAULT_BAD_REQUEST;
    }
}

static enum fault upstream_fault(struct err err)
{
    if (err.code == ERR_UPSTREAM_AUTH)
        return FAULT_UPSTREAM_AUTH;
    return err_status(err.code) == 504 ? FAULT_TIMEOUT : FAULT_UPSTREAM_FAILURE;
}

enum fault fault_of_err(struct err err)
{
    switch ((enum err_side)err.side) {
    case SIDE_CLIENT: return client_fault(err);
    case SIDE_UPSTREAM: return upstream_fault(err);
    case SIDE_SELF:
    case SIDE_OPERATOR:
    case SIDE_NONE: break;
    }
    return err_status(err.code) == 503 ? FAULT_OVERLOADED : FAULT_INTERNAL;
}

struct err fault_err(enum fault fault)
{
    assert(fault > FAULT_NONE);
    struct err err = ERR(UPSTREAM_STATUS);
    if (fault == FAULT_UPSTREAM_AUTH || fault == FAULT_SUSPENDED)
        err = ERR(UPSTREAM_AUTH);
    else if (fault == FAULT_MODEL_UNKNOWN)
        err = ERR(MODEL_UNKNOWN);
    else if (fault == FAULT_THOUGHT_REFUSED)
        err = ERR(THOUGHT_REFUSED);
    else if (fault_blame(fault) == BLAME_CLIENT)
        err = ERR(VENDOR_REFUSED);
    err.retry = rows[fault].retry;
    return err;
}
