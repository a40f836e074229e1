// responses_parse.h - what the two files that read a request of Responses share.
#ifndef PENSTOCK_SRC_CONVERT_RESPONSES_PARSE_H
#define PENSTOCK_SRC_CONVERT_RESPONSES_PARSE_H

#include "parse.h"
#include "responses.h"

// A list of tools; `late`: out of an item, which may name what the list has already.
void responses_read_tools(struct prompt_parse *parse, struct json_slice tools, bool late);
void responses_read_choice(struct prompt_parse *parse, struct json_slice choice);

// A name with its namespace, as vendors without namespaces are told it (C-037).
struct words responses_flat_name(struct prompt_parse *parse, struct words space, struct words name);

#endif
