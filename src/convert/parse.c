#include "parse.h"

#include "reasoning.h"

bool parse_setting(struct prompt_parse *parse, const struct setting *settings, size_t count,
                   struct span key, struct json_slice value, bool newer)
{
    const struct setting *setting = settings;
    while (setting < settings + count && !json_key_is(key, setting->name))
        setting++;
    if (setting == settings + count)
        return false;
    const bool good =
        setting->kind == JK_NONE || value.kind == setting->kind || value.kind == JK_NULL;
    if (!good)
        prompt_bad(parse, "this has the wrong type", "%s", setting->name.ptr);
    else if (newer || parse->prompt->knobs[setting->knob].value.kind == JK_NONE)
        prompt_knob(parse, setting->knob, value, setting->name.ptr);
    return true;
}

uint8_t parse_flag(struct json_slice value)
{
    return value.kind == JK_TRUE ? 2 : value.kind == JK_FALSE ? 1 : 0;
}

void parse_effort(struct prompt_parse *parse, struct json_slice word, const char *path)
{
    struct prompt *prompt = parse->prompt;
    prompt->reasoning.path = path;
    prompt->reasoning.said = words_of(word);
    prompt->reasoning.effort = (uint8_t)effort_read(word);
    if (prompt->reasoning.effort == EFFORT_UNSAID)
        prompt_bad(parse, "an effort is none, minimal, low, medium, high, xhigh or max", "%s",
                   path);
}

void parse_schema(struct prompt_parse *parse, struct json_slice schema)
{
    struct prompt *prompt = parse->prompt;
    prompt->format.kind = ANSWER_SCHEMA;
    prompt->format.name = words_of(json_get(schema, SPAN("name")));
    prompt->format.description = words_of(json_get(schema, SPAN("description")));
    prompt->format.schema = json_get(schema, SPAN("schema"));
    prompt->format.strict = parse_flag(json_get(schema, SPAN("strict")));
}

void parse_one_choice(struct prompt_parse *parse, struct json_slice name)
{
    struct prompt *prompt = parse->prompt;
    prompt->choice.mode = CHOOSE_ONE;
    prompt->choice.names[0] = words_of(name);
    prompt->choice.name_count = 1;
}

void parse_content(struct prompt_parse *parse, struct json_slice content, uint32_t at, bool inner,
                   const char *name, part_reader *read)
{
    if (content.kind == JK_STRING) {
        struct part *part = prompt_part(parse, PART_TEXT, at, PART_NO_SUB);
        if (part == NULL)
            return;
        part->text = words_of(content);
        part->inner = inner;
    } else if (content.kind == JK_ARRAY) {
        struct json_iter iter = json_elements_of(content);
        struct json_slice value;
        for (uint32_t sub = 0; json_element_next(&iter, &value) && !failed(parse->err); sub++)
            read(parse, value, at, sub, inner);
    } else if (content.kind != JK_NONE && content.kind != JK_NULL) {
        prompt_bad(parse, "this has the wrong type", "%s[%u].%s", prompt_list(parse->prompt), at,
                   name);
    }
}

bool parse_end(struct prompt_parse *parse, const char *why)
{
    const struct prompt *prompt = parse->prompt;
    uint32_t said = 0;
    for (uint32_t i = 0; i < prompt->turn_count; i++)
        said += prompt->turns[i].role != ROLE_SYSTEM;
    if (said == 0)
        prompt_bad(parse, why, "%s", prompt_list(prompt));
    return !failed(parse->err);
}
