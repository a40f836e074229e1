// render.h - what the renderers share: a request's settings, what is said of losses in the client's
// own words, and what all vendors are told alike.
#ifndef PENSTOCK_SRC_CONVERT_RENDER_H
#define PENSTOCK_SRC_CONVERT_RENDER_H

#include "pairs.h"
#include "penstock/convert/sink.h"

// What the user says where a history ends with the assistant (C-012).
#define RENDER_CONTINUE "Continue exactly where the last message stops."

static inline const struct knob *render_knob(const struct render *render, enum knob_id id)
{
    return &render->prompt->knobs[id];
}

static inline bool render_is_set(const struct render *render, enum knob_id id)
{
    return render_knob(render, id)->value.kind != JK_NONE;
}

// The setting as the client wrote it, with a comma before it.
void render_put_knob(const struct render *render, struct sink *out, enum knob_id id,
                     struct span name);
void render_drop_knob(const struct render *render, enum knob_id id);
// What the vendor has no word for, by the table of settings.
void render_lose_settings(const struct render *render, enum wire_family to);

void render_drop_part(const struct render *render, const struct part *part);
void render_refuse_part(const struct render *render, const struct part *part, const char *why);
// A part, or the turn at this place of the client's list, became `what`.
void render_tell_part(const struct render *render, const struct part *part, const char *what);
void render_tell_turn(const struct render *render, uint32_t at, const char *what);
// The client's effort became `word`, unless that is what it said.
void render_tell_effort(const struct render *render, struct span word);

// A result that answers no call keeps its content, as text in a string (C-008).
void render_put_stray(const struct render *render, struct sink *out, const struct part *result);
// The conversation ends with the `last` group. True: with the assistant's words, and somebody has
// to ask it to go on (C-012). Calls without results refuse the request (C-007).
must_use bool render_has_to_go_on(const struct render *render, const struct group *last);

static inline bool part_is_text(const struct part *part)
{
    return part->kind == PART_TEXT || part->kind == PART_REFUSAL || part->kind == PART_SEARCH;
}

static inline bool part_is_media(const struct part *part)
{
    return part->kind == PART_IMAGE || part->kind == PART_FILE || part->kind == PART_AUDIO ||
           part->kind == PART_VIDEO;
}

#endif
