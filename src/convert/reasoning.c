#include "reasoning.h"

static const struct {
    struct span word;
    uint64_t budget;
    int64_t upto; // the largest budget that means this effort
} efforts[] = {
    [EFFORT_UNSAID] = { SPAN(""), 0, 0 },
    [EFFORT_NONE] = { SPAN("none"), 0, 0 },
    [EFFORT_MINIMAL] = { SPAN("minimal"), 1024, 1024 },
    [EFFORT_LOW] = { SPAN("low"), 2048, 4095 },
    [EFFORT_MEDIUM] = { SPAN("medium"), 8192, 12287 },
    [EFFORT_HIGH] = { SPAN("high"), 16384, 24575 },
    [EFFORT_XHIGH] = { SPAN("xhigh"), 32768, 49151 },
    [EFFORT_MAX] = { SPAN("max"), 65536, INT64_MAX },
};

enum effort effort_read(struct json_slice word)
{
    for (unsigned i = EFFORT_NONE; i <= EFFORT_MAX; i++)
        if (json_string_is(word, efforts[i].word))
            return (enum effort)i;
    return EFFORT_UNSAID;
}

struct span effort_word(enum effort effort)
{
    return efforts[effort].word;
}

uint64_t effort_budget(enum effort effort)
{
    return efforts[effort].budget;
}

enum effort effort_of_budget(int64_t budget)
{
    for (unsigned i = EFFORT_NONE; i <= EFFORT_MAX; i++)
        if (budget <= efforts[i].upto)
            return (enum effort)i;
    return EFFORT_MAX;
}

enum effort effort_wanted(const struct prompt *prompt, const struct caps *caps)
{
    enum effort effort = (enum effort)prompt->reasoning.effort;
    if (effort == EFFORT_UNSAID && prompt->reasoning.budget_set && prompt->reasoning.budget >= 0)
        effort = effort_of_budget(prompt->reasoning.budget);
    if (effort == EFFORT_NONE && caps->always_thinks)
        effort = EFFORT_MINIMAL;
    if (effort == EFFORT_UNSAID || caps->efforts == 0)
        return effort;
    for (unsigned i = effort; i > EFFORT_UNSAID; i--)
        if ((caps->efforts & BIT(i)) != 0 && (i != EFFORT_NONE || effort == EFFORT_NONE))
            return (enum effort)i;
    for (unsigned i = effort; i <= EFFORT_MAX; i++)
        if ((caps->efforts & BIT(i)) != 0)
            return (enum effort)i;
    return EFFORT_UNSAID;
}

bool reasoning_is_on(const struct prompt *prompt, const struct caps *caps)
{
    const enum effort effort = effort_wanted(prompt, caps);
    if (caps->reasons == REASONS_NOT || effort == EFFORT_NONE)
        return false;
    const bool asked =
        effort != EFFORT_UNSAID || prompt->reasoning.adaptive || prompt->reasoning.budget_set;
    return asked || caps->reasons_unasked;
}
