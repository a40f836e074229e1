// compact.h - JSON text without the white space between its tokens.
#ifndef PENSTOCK_SRC_CONVERT_COMPACT_H
#define PENSTOCK_SRC_CONVERT_COMPACT_H

#include "penstock/convert/scratch.h"

// The next run of valid JSON that stands without white space outside its strings, taken from the
// front of `rest`; empty at the end.
struct span compact_next(struct span *rest);
// All of it in one piece: the text itself where there is nothing to leave out, else a copy. NULL if
// there is no memory.
struct span compact_text(struct span json, struct scratch *scratch);

#endif
