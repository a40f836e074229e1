// tools.h - what vendors are told of a client's tools, where several are told the same.
#ifndef PENSTOCK_SRC_CONVERT_TOOLS_H
#define PENSTOCK_SRC_CONVERT_TOOLS_H

#include "penstock/convert/prompt.h"
#include "penstock/convert/sink.h"

// The parameters of a function that stands for a free-text tool (C-040), but for the end of the
// object.
#define TOOL_INPUT_SCHEMA \
    "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},\"required\":[\"input\"]"

// The member "description" with a comma before it, or nothing: what the client wrote, how to pass
// free text where the tool is `wrapped`, and its examples.
void tool_put_description(struct sink *out, const struct tool *tool, bool wrapped,
                          struct losses *losses);

// The member "format" of a free-text tool with a comma before it, or nothing. Chat's `nested`
// grammar stands a level deeper.
void tool_put_format(struct sink *out, struct json_slice format, bool nested);

#endif
