#include "penstock/convert/prompt.h"

#include "penstock/base/check.h"
#include "penstock/base/text.h"

#include <stdarg.h>
#include <stdio.h>

enum { TURNS, PARTS, TOOLS, CAP_FIRST = 16 };

void prompt_begin(struct prompt_parse *parse, struct prompt *prompt, enum wire_family from,
                  struct span body, struct scratch *scratch, struct losses *losses)
{
    memset(prompt, 0, offsetof(struct prompt, choice.names[1]));
    prompt->from = (uint8_t)from;
    prompt->body = body;
    *parse = (struct prompt_parse){ .prompt = prompt, .scratch = scratch, .losses = losses };
    // A list that is there, also if nothing will be in it.
    prompt->parts = scratch_take(scratch, CAP_FIRST * sizeof(*prompt->parts));
    parse->part_cap = CAP_FIRST;
    if (prompt->parts == NULL)
        parse->err = ERR(OVERLOADED);
}

void prompt_bad(struct prompt_parse *parse, const char *why, const char *path, ...)
{
    if (failed(parse->err))
        return;
    parse->err = ERR(REQUEST_INVALID);
    parse->why = why;
    va_list args;
    va_start(args, path);
    (void)vsnprintf(parse->path, sizeof(parse->path), path, args);
    va_end(args);
}

// Room for one more item of `size` bytes behind `count`; doubles.
static void *array_grow(struct prompt_parse *parse, unsigned which, void *at, uint32_t count,
                        uint32_t *cap, uint32_t max, size_t size)
{
    if (failed(parse->err))
        return NULL;
    if (count == max) {
        prompt_bad(parse, "there are too many of these", "%s",
                   which == TOOLS ? "tools" : "messages");
        return NULL;
    }
    if (count == *cap) {
        uint32_t more = *cap == 0 ? CAP_FIRST : *cap * 2;
        void *moved = scratch_take(parse->scratch, more * size);
        if (moved == NULL) {
            parse->err = ERR(OVERLOADED);
            return NULL;
        }
        if (count > 0)
            memcpy(moved, at, count * size);
        at = moved;
        *cap = more;
    }
    memset((char *)at + count * size, 0, size);
    return at;
}

struct turn *prompt_turn(struct prompt_parse *parse, enum role role, uint32_t at)
{
    struct prompt *prompt = parse->prompt;
    struct turn *turns = array_grow(parse, TURNS, prompt->turns, prompt->turn_count,
                                    &parse->turn_cap, PROMPT_TURNS_MAX, sizeof(*turns));
    if (turns == NULL)
        return NULL;
    prompt->turns = turns;
    struct turn *turn = &turns[prompt->turn_count++];
    *turn = (struct turn){ .role = (uint8_t)role, .at = at, .first = prompt->part_count };
    turn->late = role == ROLE_SYSTEM && parse->spoken;
    parse->spoken = parse->spoken || role != ROLE_SYSTEM;
    return turn;
}

struct part *prompt_part(struct prompt_parse *parse, enum part_kind kind, uint32_t at, uint32_t sub)
{
    struct prompt *prompt = parse->prompt;
    assert(prompt->turn_count > 0);
    struct part *parts = array_grow(parse, PARTS, prompt->parts, prompt->part_count,
                                    &parse->part_cap, PROMPT_PARTS_MAX, sizeof(*parts));
    if (parts == NULL)
        return NULL;
    prompt->parts = parts;
    struct part *part = &parts[prompt->part_count++];
    *part = (struct part){
        .kind = (uint8_t)kind, .turn = prompt->turn_count - 1, .at = at, .sub = sub
    };
    prompt->turns[prompt->turn_count - 1].count++;
    return part;
}

struct tool *prompt_tool(struct prompt_parse *parse, enum tool_kind kind, uint32_t at)
{
    struct prompt *prompt = parse->prompt;
    struct tool *tools = array_grow(parse, TOOLS, prompt->tools, prompt->tool_count,
                                    &parse->tool_cap, PROMPT_TOOLS_MAX, sizeof(*tools));
    if (tools == NULL)
        return NULL;
    prompt->tools = tools;
    struct tool *tool = &tools[prompt->tool_count++];
    *tool = (struct tool){ .kind = (uint8_t)kind, .at = at };
    return tool;
}

void prompt_knob(struct prompt_parse *parse, enum knob_id id, struct json_slice value,
                 const char *path)
{
    if (value.kind != JK_NONE && value.kind != JK_NULL)
        parse->prompt->knobs[id] = (struct knob){ value, path };
}

static const char *const lists[][2] = {
    [FAMILY_OPENAI] = { "messages", "content" },
    [FAMILY_RESPONSES] = { "input", "content" },
    [FAMILY_ANTHROPIC] = { "messages", "content" },
    [FAMILY_GEMINI] = { "contents", "parts" },
};

const char *prompt_list(const struct prompt *prompt)
{
    return lists[prompt->from][0];
}

size_t prompt_path(const struct prompt *prompt, const struct part *part, char out[LOSS_PATH_MAX])
{
    const char *const *names = lists[prompt->from];
    if (part->sub == PART_NO_SUB)
        return fit_printf(out, LOSS_PATH_MAX, "%s[%u]", names[0], part->at);
    return fit_printf(out, LOSS_PATH_MAX, "%s[%u].%s[%u]", names[0], part->at, names[1], part->sub);
}

size_t prompt_error_path(const struct prompt *prompt, const struct part *result,
                         char out[LOSS_PATH_MAX])
{
    size_t len = prompt_path(prompt, result, out);
    const char *mark =
        prompt->from == FAMILY_GEMINI ? ".functionResponse.response.error" : ".is_error";
    return len + fit_printf(out + len, LOSS_PATH_MAX - len, "%s", mark);
}
