// route.h - a model as clients see it: a public name, its aliases, and who serves it under which
// name.
#ifndef PENSTOCK_MODEL_ROUTE_H
#define PENSTOCK_MODEL_ROUTE_H

#include "penstock/model/field.h"
#include "penstock/model/format.h"

struct route {
    struct record record;
    struct span id, name, description;
    struct strings aliases;
    struct span target;      // the vendor's name; empty: the public one
    struct strings accounts; // names, first choice first; none: every account that serves `target`
    uint32_t formats;        // set; 0: all that the accounts serve
    bool enabled;
    bool listed;             // shown by the model lists
    bool strict_conversion;  // what a conversion cannot carry over is refused
    bool think_tags;         // the model writes thoughts into its text, between tags
    bool convert_web_search; // a vendor's own web search may stand for another's
    struct span display_name, owned_by;
    uint64_t created_at, updated_at;
};
// Called "model" in documents and in the API.
extern const struct table route_table;

#endif
