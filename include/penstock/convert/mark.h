// mark.h - a short text looked for in a long one.
#ifndef PENSTOCK_CONVERT_MARK_H
#define PENSTOCK_CONVERT_MARK_H

#include "penstock/base/base.h"

// Where `mark` stands first in the text; text.len if it does not. Its bytes at `rare` and behind
// that are the two that are looked for: the fewer texts have them, the faster.
size_t mark_find(struct span text, struct span mark, size_t rare);

#endif
