#include "mock_internal.h"

static const struct {
    struct span name;
    enum mock_fault fault;
} faults[] = {
    { { "close", sizeof("close") - 1 }, MOCK_CLOSE },
    { { "reset", sizeof("reset") - 1 }, MOCK_RESET },
    { { "hang", sizeof("hang") - 1 }, MOCK_HANG },
    { { "close-mid", sizeof("close-mid") - 1 }, MOCK_CLOSE_MID },
    { { "reset-mid", sizeof("reset-mid") - 1 }, MOCK_RESET_MID },
    { { "hang-mid", sizeof("hang-mid") - 1 }, MOCK_HANG_MID },
    { { "drip", sizeof("drip") - 1 }, MOCK_DRIP },
    { { "bad-chunk", sizeof("bad-chunk") - 1 }, MOCK_BAD_CHUNK },
    { { "bad-head", sizeof("bad-head") - 1 }, MOCK_BAD_HEAD },
    { { "bad-length", sizeof("bad-length") - 1 }, MOCK_BAD_LENGTH },
    { { "bad-json", sizeof("bad-json") - 1 }, MOCK_BAD_JSON },
    { { "error-event", sizeof("error-event") - 1 }, MOCK_ERROR_EVENT },
    { { "early-error", sizeof("early-error") - 1 }, MOCK_EARLY_ERROR },
    { { "no-end", sizeof("no-end") - 1 }, MOCK_NO_END },
    { { "huge", sizeof("huge") - 1 }, MOCK_HUGE },
    { { "gzip", sizeof("gzip") - 1 }, MOCK_GZIP },
    { { "interim", sizeof("interim") - 1 }, MOCK_INTERIM },
    { { "interim-flood", sizeof("interim-flood") - 1 }, MOCK_INTERIM_FLOOD },
    { { "redirect", sizeof("redirect") - 1 }, MOCK_REDIRECT },
    { { "leak", sizeof("leak") - 1 }, MOCK_LEAK },
};

enum {
    TOKENS_MAX = 100000,
    TOOLS_MAX = 16,
    HEAD_MAX_BYTES = 256 * KIB,
    MS_MAX = 3600 * 1000,
};

static bool read_u32(struct span text, uint64_t max, uint32_t *out)
{
    uint64_t value;
    if (!span_u64(text, &value) || value > max)
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool read_ms(struct span text, uint64_t *ns)
{
    struct span unit = SPAN("ms");
    if (text.len > unit.len && span_eq(span_from(text, text.len - unit.len), unit))
        text.len -= unit.len;
    uint32_t ms;
    if (!read_u32(text, MS_MAX, &ms))
        return false;
    *ns = ms * NS_PER_MS;
    return true;
}

static bool read_fault(struct span text, enum mock_fault *fault)
{
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        if (span_eq(text, faults[i].name)) {
            *fault = faults[i].fault;
            return true;
        }
    return false;
}

static bool read_wish(struct span name, struct span value, struct mock_wish *wish)
{
    if (span_eq(name, SPAN("tokens")))
        return read_u32(value, TOKENS_MAX, &wish->tokens);
    if (span_eq(name, SPAN("size")))
        return read_u32(value, MOCK_SIZE_MAX, &wish->size) && wish->size > 0;
    if (span_eq(name, SPAN("chop")))
        return read_u32(value, MOCK_SIZE_MAX, &wish->chop);
    if (span_eq(name, SPAN("tools")))
        return read_u32(value, TOOLS_MAX, &wish->tools);
    if (span_eq(name, SPAN("at")))
        return read_u32(value, TOKENS_MAX, &wish->at);
    if (span_eq(name, SPAN("status")))
        return read_u32(value, 599, &wish->status) && wish->status >= 400;
    if (span_eq(name, SPAN("retry")))
        return read_u32(value, 86400, &wish->retry);
    if (span_eq(name, SPAN("head")))
        return read_u32(value, HEAD_MAX_BYTES, &wish->head_bytes);
    if (span_eq(name, SPAN("ttft")))
        return read_ms(value, &wish->ttft_ns);
    if (span_eq(name, SPAN("pace")))
        return read_ms(value, &wish->pace_ns);
    if (span_eq(name, SPAN("fault")))
        return read_fault(value, &wish->fault);
    if (span_eq(name, SPAN("think")))
        return wish->think = true;
    if (span_eq(name, SPAN("ts")))
        return wish->stamp = true;
    if (span_eq(name, SPAN("usage")) && span_eq(value, SPAN("no")))
        return wish->no_usage = true;
    return false;
}

bool mock_wish_parse(struct span model, struct mock_wish *wish)
{
    *wish = (struct mock_wish){ .tokens = 8, .size = 5, .at = 3 };
    struct span rest = span_from(model, span_find(model, '+'));
    while (rest.len > 0) {
        rest = span_from(rest, 1); // the '+'
        size_t len = span_find(rest, '+');
        struct span part = span_upto(rest, len);
        size_t eq = span_find(part, '=');
        struct span value = eq < part.len ? span_from(part, eq + 1) : SPAN_NONE;
        if (!read_wish(span_upto(part, eq), value, wish))
            return false;
        rest = span_from(rest, len);
    }
    return true;
}
