// mark.h - a short text looked for in a long one.
#ifndef PENSTOCK_CONVERT_MARK_H
#define PENSTOCK_CONVERT_MARK_H

#include "penstock/base/base.h"

// Where `mark`, of at least two bytes, stands first in the text; text.len if it does not.
size_t mark_find(struct span text, struct span mark);

#endif
