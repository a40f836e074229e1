// parse.h - what the parsers share: settings that are one value, and what several formats say
// alike.
#ifndef PENSTOCK_SRC_CONVERT_PARSE_H
#define PENSTOCK_SRC_CONVERT_PARSE_H

#include "penstock/convert/prompt.h"

struct setting {
    struct span name;
    enum knob_id knob;
    enum json_kind kind; // JK_NONE: of any; another than this is refused (C-109)
};

// True if the member is one of the settings. What was set stands, unless `newer`.
bool parse_setting(struct prompt_parse *parse, const struct setting *settings, size_t count,
                   struct span key, struct json_slice value, bool newer);
// 0 not said, 1 false, 2 true.
uint8_t parse_flag(struct json_slice value);
// A word for how much the model shall think.
void parse_effort(struct prompt_parse *parse, struct json_slice word, const char *path);
// Name, description, schema and strictness of the form that the answer shall have.
void parse_schema(struct prompt_parse *parse, struct json_slice schema);
// A tool that has to be called.
void parse_one_choice(struct prompt_parse *parse, struct json_slice name);
// A text, or a list of parts that `read` reads; `name` is the member's.
typedef void part_reader(struct prompt_parse *parse, struct json_slice value, uint32_t at,
                         uint32_t sub, bool inner);
void parse_content(struct prompt_parse *parse, struct json_slice content, uint32_t at, bool inner,
                   const char *name, part_reader *read);
// The end of a request: refused if nobody but the system has a turn, in the client's word for it.
must_use bool parse_end(struct prompt_parse *parse, const char *why);

#endif
