// route.h - which operation a request's method and path ask for.
//
// Clients are pointed at many base addresses, so every operation is found with and without a
// version
// ("/v1", "/v1beta", even doubled), and behind the prefixes that other gateways taught people to
// write ("/api", "/claude", "/anthropic", "/openai", "/gemini", "/google").
#ifndef PENSTOCK_WIRE_ROUTE_H
#define PENSTOCK_WIRE_ROUTE_H

#include "penstock/base/base.h"
#include "penstock/base/err.h"

enum wire_op {
    OP_NONE,
#define WIRE_OP(id, family, method, name, path) OP_##id,
#include "penstock/wire/ops.def"
#undef WIRE_OP
    OP_COUNT
};

// Whose API it is: decides the form of errors.
enum wire_family { FAMILY_OPENAI, FAMILY_RESPONSES, FAMILY_ANTHROPIC, FAMILY_GEMINI };

enum wire_method { METHOD_GET, METHOD_POST };

struct wire_op_info {
    const char *name; // for logs and metrics: "chat", "messages", ...
    enum wire_family family;
    enum wire_method method;
};
const struct wire_op_info *wire_op_info(enum wire_op op);

// The operation by which an answer is generated in a family's API, and whether this is one.
enum wire_op wire_op_generate(enum wire_family family, bool stream);
bool wire_op_generates(enum wire_op op);
// A client that asks by this can be answered by any API: by those above, and by one that only
// clients speak.
bool wire_op_converts(enum wire_op op);
// Asks how many tokens a request would have: what no vendor tells is estimated here.
bool wire_op_counts(enum wire_op op);
// A stream that is one JSON array, not events: Gemini's unless the query asks for events.
bool wire_op_is_array(enum wire_op op, struct span query);

struct wire_route {
    enum wire_op op;
    enum wire_family family; // also set when nothing was found: the best guess from the path
    bool path_known;         // the path exists, but not for this method
    struct span model;       // of operations that name it in their path, still encoded; else empty
    struct span version;     // "v1", "v1beta", ... as the path had it; empty without one
};

// `path` is canonical (codec/url.h). op is OP_NONE where nothing fits. All spans point into `path`.
struct wire_route wire_route_find(struct span path, enum wire_method method);

#endif
