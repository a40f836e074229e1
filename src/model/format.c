#include "penstock/model/format.h"

const char *const format_names[FORMAT_COUNT + 1] = {
#define FORMAT(id, name) [FORMAT_##id] = name,
#include "penstock/model/formats.def"
#undef FORMAT
};
