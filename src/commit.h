// commit.h - which commit this binary was built from; its source is written by tools/commit.cmake.
#ifndef PENSTOCK_COMMIT_H
#define PENSTOCK_COMMIT_H

// Twelve hexadecimal digits, with "-dirty" if the tree had changes; or "unknown".
extern const char commit[];

#endif
