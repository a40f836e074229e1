// pairs.h - calls and their results, as vendors want them: each call answered once, in the turn
// that follows it.
#ifndef PENSTOCK_SRC_CONVERT_PAIRS_H
#define PENSTOCK_SRC_CONVERT_PAIRS_H

#include "penstock/convert/convert.h"

// A run of turns that become one at a vendor that merges neighbours of the same role: [first,
// first + count) of the prompt's turns, and so are their parts.
struct group {
    uint32_t turn, turn_count;
    uint32_t part, part_count;
    bool assistant;
};

// The group that begins at `turn`; count 0 behind the last. Leading system turns are not looked at;
// late ones count as the user's.
struct group group_at(const struct prompt *prompt, uint32_t turn);
// The first turn that is not a leading system's.
uint32_t group_first(const struct prompt *prompt);

// Before a request is rendered: finds each call's result, and tells calls with one id apart
// (C-009). False: no memory.
must_use bool pairs_link(struct render *render);
// The result that answers a call, or NULL; the call that a result answers, or NULL. Of two results
// for one call the last is its own, though both are its.
static inline const struct part *result_of(const struct prompt *prompt, const struct part *call)
{
    return call->mate > 0 ? &prompt->parts[call->mate - 1] : NULL;
}
static inline const struct part *call_of(const struct prompt *prompt, const struct part *result)
{
    return result->mate > 0 ? &prompt->parts[result->mate - 1] : NULL;
}
// The content of a result: the parts behind it.
uint32_t inner_count(const struct prompt *prompt, const struct part *result);

#endif
