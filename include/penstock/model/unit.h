// unit.h - durations, sizes and times as people write them.
//
// A duration is a number and ms, s, m, h or d; several may follow each other, largest first
// ("1m30s"). A size is a number and B, KiB, MiB, GiB or TiB. A number without a unit is refused, as
// its writer and its reader would guess differently. A time is RFC 3339 in UTC, or a date alone for
// its first instant.
#ifndef PENSTOCK_MODEL_UNIT_H
#define PENSTOCK_MODEL_UNIT_H

#include "penstock/base/base.h"

enum unit_parse { UNIT_OK, UNIT_MISSING, UNIT_UNKNOWN, UNIT_MALFORMED, UNIT_OVERFLOW };

must_use enum unit_parse duration_parse(struct span text, uint64_t *ns);
must_use enum unit_parse size_parse(struct span text, uint64_t *bytes);
// Nanoseconds since 1970.
must_use bool time_parse(struct span text, uint64_t *ns);

// The shortest exact form; each returns its length. The texts parse back to the same value.
enum { UNIT_TEXT_MAX = 48 };
size_t duration_format(char out[UNIT_TEXT_MAX], uint64_t ns);
size_t size_format(char out[UNIT_TEXT_MAX], uint64_t bytes);
size_t time_format(char out[UNIT_TEXT_MAX], uint64_t ns);

#endif
