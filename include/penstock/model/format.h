// format.h - the names of API formats, as far as accounts, keys and routes care.
#ifndef PENSTOCK_MODEL_FORMAT_H
#define PENSTOCK_MODEL_FORMAT_H

#include "penstock/base/base.h"

enum format {
#define FORMAT(id, name) FORMAT_##id,
#include "penstock/model/formats.def"
#undef FORMAT
    FORMAT_COUNT
};
#define FORMATS_ALL (BIT(FORMAT_COUNT) - 1)

extern const char *const format_names[FORMAT_COUNT + 1]; // NULL at the end

#endif
