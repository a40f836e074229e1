#include "render.h"

void render_put_knob(const struct render *render, struct sink *out, enum knob_id id,
                     struct span name)
{
    if (!render_is_set(render, id))
        return;
    SINK_TEXT(out, ",\"");
    sink_put(out, name);
    SINK_TEXT(out, "\":");
    sink_put(out, render_knob(render, id)->value.text);
}

void render_drop_knob(const struct render *render, enum knob_id id)
{
    if (render_is_set(render, id))
        loss_drop(render->losses, "%s", render_knob(render, id)->path);
}

void render_lose_settings(const struct render *render, enum wire_family to)
{
    static const uint8_t classes[KNOB_COUNT][FAMILY_GEMINI + 1] = {
#define KNOB(id, chat, responses, messages, gemini) \
    [KNOB_##id] = { LOSS_##chat, LOSS_##responses, LOSS_##messages, LOSS_##gemini },
#include "penstock/convert/knobs.def"
#undef KNOB
    };
    for (unsigned id = 0; id < KNOB_COUNT; id++) {
        if (classes[id][to] == LOSS_DROP)
            render_drop_knob(render, (enum knob_id)id);
        else if (classes[id][to] == LOSS_REFUSE && render_is_set(render, (enum knob_id)id))
            loss_refuse(render->losses, "this vendor has no such thing", "%s",
                        render_knob(render, (enum knob_id)id)->path);
    }
}

void render_drop_part(const struct render *render, const struct part *part)
{
    char path[LOSS_PATH_MAX];
    (void)prompt_path(render->prompt, part, path);
    loss_drop(render->losses, "%s", path);
}

void render_refuse_part(const struct render *render, const struct part *part, const char *why)
{
    char path[LOSS_PATH_MAX];
    (void)prompt_path(render->prompt, part, path);
    loss_refuse(render->losses, why, "%s", path);
}

void render_tell_part(const struct render *render, const struct part *part, const char *what)
{
    char path[LOSS_PATH_MAX];
    (void)prompt_path(render->prompt, part, path);
    loss_adjust(render->losses, "%s=%s", path, what);
}

void render_tell_turn(const struct render *render, uint32_t at, const char *what)
{
    loss_adjust(render->losses, "%s[%u]%s", prompt_list(render->prompt), at, what);
}

void render_tell_effort(const struct render *render, struct span word)
{
    const struct words said = render->prompt->reasoning.said;
    if (!span_eq_nocase(said.raw, word))
        loss_adjust(render->losses, "%s=%.*s>%.*s", render->prompt->reasoning.path,
                    (int)min_size(said.raw.len, 16), said.raw.ptr, (int)word.len, word.ptr);
}

void render_put_stray(const struct render *render, struct sink *out, const struct part *result)
{
    SINK_TEXT(out, "\"[result of unknown call ");
    sink_string(out, result->id);
    SINK_TEXT(out, "]\\n");
    for (uint32_t i = 0; i < inner_count(render->prompt, result); i++)
        if (part_is_text(&result[1 + i]))
            sink_string(out, result[1 + i].text);
    SINK_TEXT(out, "\"");
    render_tell_part(render, result, "text");
}

bool render_has_to_go_on(const struct render *render, const struct group *last)
{
    const struct prompt *prompt = render->prompt;
    if (!last->assistant || last->part_count == 0)
        return false;
    const uint32_t at = prompt->turns[prompt->turn_count - 1].at;
    for (uint32_t i = 0; i < last->part_count; i++)
        if (prompt->parts[last->part + i].kind == PART_CALL) {
            loss_refuse(render->losses, "the calls of the last turn have no results", "%s[%u]",
                        prompt_list(prompt), at);
            return false;
        }
    if (!render->caps->prefill)
        render_tell_turn(render, at, "=continue");
    return !render->caps->prefill;
}
