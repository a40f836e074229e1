#include "penstock/wire/route.h"

#include "penstock/base/check.h"
#include "penstock/codec/url.h"

struct op_row {
    struct wire_op_info info;
    struct span path;
};

static const struct op_row ops[OP_COUNT] = {
#define WIRE_OP(id, fam, meth, text, pattern) \
    [OP_##id] = { { text, FAMILY_##fam, METHOD_##meth }, { pattern, sizeof(pattern) - 1 } },
#include "penstock/wire/ops.def"
#undef WIRE_OP
};

static const struct {
    struct span text;
    enum wire_family family;
} prefixes[] = {
    { { "/api", 4 }, FAMILY_OPENAI },           { { "/claude", 7 }, FAMILY_ANTHROPIC },
    { { "/anthropic", 10 }, FAMILY_ANTHROPIC }, { { "/openai", 7 }, FAMILY_OPENAI },
    { { "/gemini", 7 }, FAMILY_GEMINI },        { { "/google", 7 }, FAMILY_GEMINI },
};

static const struct span versions[] = {
    { "/v1beta1", 8 },
    { "/v1alpha", 8 },
    { "/v1beta", 7 },
    { "/v1", 3 },
};

enum { VERSIONS_MAX = 2 }; // "/v1/v1/messages" is a common mistake

const struct wire_op_info *wire_op_info(enum wire_op op)
{
    assert(op > OP_NONE && op < OP_COUNT);
    return &ops[op].info;
}

enum wire_op wire_op_generate(enum wire_family family, bool stream)
{
    switch (family) {
    case FAMILY_OPENAI: return OP_CHAT;
    case FAMILY_RESPONSES: return OP_RESPONSES;
    case FAMILY_ANTHROPIC: return OP_MESSAGES;
    case FAMILY_GEMINI: return stream ? OP_GEMINI_STREAM : OP_GEMINI_GENERATE;
    }
    bug("a family is one of four");
}

bool wire_op_generates(enum wire_op op)
{
    return op == OP_CHAT || op == OP_RESPONSES || op == OP_MESSAGES || op == OP_GEMINI_GENERATE ||
           op == OP_GEMINI_STREAM;
}

bool wire_op_converts(enum wire_op op)
{
    return wire_op_generates(op) || op == OP_COMPLETIONS;
}

bool wire_op_counts(enum wire_op op)
{
    return op == OP_COUNT_TOKENS || op == OP_RESPONSES_COUNT || op == OP_GEMINI_COUNT;
}

bool wire_op_is_array(enum wire_op op, struct span query)
{
    struct url_param alt;
    return op == OP_GEMINI_STREAM &&
           !(url_param_find(query, SPAN("alt"), &alt) && url_text_is(alt.value, SPAN("sse")));
}

// `path` without `head`, if that is a whole segment at its start.
static bool strip(struct span *path, struct span head)
{
    if (!span_starts(*path, head))
        return false;
    if (path->len > head.len && path->ptr[head.len] != '/')
        return false;
    *path = span_from(*path, head.len);
    return true;
}

static bool ends_with(struct span text, struct span tail)
{
    return text.len >= tail.len && memcmp(text.ptr + text.len - tail.len, tail.ptr, tail.len) == 0;
}

static bool match(struct span pattern, struct span path, struct span *star)
{
    size_t at = span_find(pattern, '*');
    *star = SPAN_NONE;
    if (at == pattern.len)
        return span_eq(path, pattern);
    struct span head = span_upto(pattern, at), tail = span_from(pattern, at + 1);
    if (!span_starts(path, head) || !ends_with(path, tail) || path.len <= head.len + tail.len)
        return false;
    *star = span_of(path.ptr + at, path.len - head.len - tail.len);
    return true;
}

// "publishers/google/models/x" and "models/x" are spelled-out names of "x".
static struct span model_short(struct span model)
{
    struct span long_form = SPAN("publishers/google/models/");
    struct span form = SPAN("models/");
    if (span_starts(model, long_form))
        return span_from(model, long_form.len);
    return span_starts(model, form) ? span_from(model, form.len) : model;
}

static enum wire_family guess(struct span path, enum wire_family family, struct span version)
{
    if (span_starts(path, SPAN("/messages")))
        return FAMILY_ANTHROPIC;
    if (span_starts(path, SPAN("/responses")))
        return FAMILY_RESPONSES;
    if (version.len > 2 || span_find(path, ':') < path.len)
        return FAMILY_GEMINI;
    return family;
}

struct wire_route wire_route_find(struct span path, enum wire_method method)
{
    struct wire_route route = { .family = FAMILY_OPENAI };
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (strip(&path, prefixes[i].text)) {
            route.family = prefixes[i].family;
            break;
        }
    for (int times = 0; times < VERSIONS_MAX; times++)
        for (size_t i = 0; i < ARRAY_LEN(versions); i++)
            if (strip(&path, versions[i])) {
                route.version = span_from(versions[i], 1);
                break;
            }
    if (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    enum wire_family by_prefix = route.family;
    route.family = guess(path, by_prefix, route.version);
    for (int op = OP_NONE + 1; op < OP_COUNT; op++) {
        struct span star;
        if (!match(ops[op].path, path, &star))
            continue;
        route.path_known = true;
        if (ops[op].info.method != method)
            continue;
        route.op = (enum wire_op)op;
        // The lists of models have one path in all APIs; there the guess stands.
        if (op != OP_MODELS && op != OP_MODEL)
            route.family = ops[op].info.family;
        route.model = model_short(star);
        return route;
    }
    return route;
}
