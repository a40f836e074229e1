// tools.h - what vendors are told of a client's tools, where several are told the same.
#ifndef PENSTOCK_SRC_CONVERT_TOOLS_H
#define PENSTOCK_SRC_CONVERT_TOOLS_H

#include "penstock/convert/convert.h"

// The parameters of a function that stands for a free-text tool (C-040), but for the end of the
// object.
#define TOOL_INPUT_SCHEMA \
    "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},\"required\":[\"input\"]"

// What is left of a request's tools at another vendor.
struct tools {
    uint32_t functions;
    const struct tool
        *search; // its own web search stands for this one of the client's vendor; NULL: none
};

// A vendor's own tools are left out, or stand for each other where the model's operator wants that;
// a request that makes no sense without is refused.
struct tools tools_judge(const struct render *render, enum wire_family to);
// The web search as the vendor knows it: an entry of its tools, or Chat's setting.
void tool_put_search(struct sink *out, const struct tool *search, enum wire_family to);
bool tools_have_functions(const struct prompt *prompt);

// The member "description" with a comma before it, or nothing: what the client wrote, how to pass
// free text where the tool is `wrapped`, and its examples.
void tool_put_description(struct sink *out, const struct tool *tool, bool wrapped,
                          struct losses *losses);

// The member "format" of a free-text tool with a comma before it, or nothing. Chat's `nested`
// grammar stands a level deeper.
void tool_put_format(struct sink *out, struct json_slice format, bool nested);

#endif
