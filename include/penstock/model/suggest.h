// suggest.h - "did you mean": the known word nearest to one that is not known.
#ifndef PENSTOCK_MODEL_SUGGEST_H
#define PENSTOCK_MODEL_SUGGEST_H

#include "penstock/base/base.h"

// Keeps the best of the candidates it is shown. Zero it but for `word`.
struct suggest {
    struct span word;
    struct span best; // SPAN_NONE: nothing near enough; as long-lived as the candidate
    size_t distance;
};

void suggest_try(struct suggest *suggest, struct span candidate);

// Insertions, deletions, replacements and swaps of neighbours between `a` and `b`, without regard
// to case and with '-' equal to '_'; `limit` if there are at least that many. Words longer than 64
// bytes are `limit` apart.
size_t suggest_distance(struct span a, struct span b, size_t limit);

#endif
