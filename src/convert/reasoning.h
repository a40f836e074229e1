// reasoning.h - how much a model shall think, in the words of each format (conversion rules 3.5).
#ifndef PENSTOCK_SRC_CONVERT_REASONING_H
#define PENSTOCK_SRC_CONVERT_REASONING_H

#include "penstock/convert/caps.h"
#include "penstock/convert/prompt.h"

// EFFORT_UNSAID for a word that is none.
enum effort effort_read(struct json_slice word);
struct span effort_word(enum effort effort);
// Tokens of thinking for an effort; 0 for none.
uint64_t effort_budget(enum effort effort);
enum effort effort_of_budget(int64_t budget);
// What the client asked for as an effort that the model knows: the nearest lower one, else the
// nearest higher (C-060). UNSAID: leave it to the model.
enum effort effort_wanted(const struct prompt *prompt, const struct caps *caps);

// Whether the model is going to think, as far as caps know.
bool reasoning_is_on(const struct prompt *prompt, const struct caps *caps);

#endif
