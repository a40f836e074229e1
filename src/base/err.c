#include "penstock/base/err.h"

#include "penstock/base/check.h"

static const struct {
    uint8_t side, retry;
    uint16_t status;
    const char *name, *text;
} rows[ERR_CODE_COUNT] = {
    [ERR_NONE] = { SIDE_NONE, RETRY_NEVER, 200, "NONE", "no error" },
#define ERR_ROW(name, side, retry, status, text) \
    [ERR_##name] = { SIDE_##side, RETRY_##retry, status, #name, text },
#include "penstock/base/err.def"
#undef ERR_ROW
};

struct err err_make(enum err_code code, int sys, const char *where)
{
    assert(code > ERR_NONE && code < ERR_CODE_COUNT);
    return (struct err){
        .code = (uint16_t)code,
        .side = rows[code].side,
        .retry = rows[code].retry,
        .sys = sys < 0 ? -sys : sys,
        .where = where,
    };
}

const char *err_name(enum err_code code)
{
    assert(code < ERR_CODE_COUNT);
    return rows[code].name;
}

const char *err_text(enum err_code code)
{
    assert(code < ERR_CODE_COUNT);
    return rows[code].text;
}

int err_status(enum err_code code)
{
    assert(code < ERR_CODE_COUNT);
    return rows[code].status;
}
