// pairs.h - calls and their results, as vendors want them: each call answered once, in the turn
// that follows it.
#ifndef PENSTOCK_SRC_CONVERT_PAIRS_H
#define PENSTOCK_SRC_CONVERT_PAIRS_H

#include "penstock/convert/prompt.h"

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

// The last result in the group that answers the call (C-009), or NULL.
const struct part *result_of(const struct prompt *prompt, const struct group *group,
                             const struct part *call);
// The call in the group that a result answers, or NULL.
const struct part *call_of_result(const struct prompt *prompt, const struct group *group,
                                  const struct part *result);
// The content of a result: the parts behind it.
uint32_t inner_count(const struct prompt *prompt, const struct part *result);

#endif
