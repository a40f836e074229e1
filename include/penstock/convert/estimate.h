// estimate.h - how many tokens a request has, roughly, where no vendor is there to tell.
#ifndef PENSTOCK_CONVERT_ESTIMATE_H
#define PENSTOCK_CONVERT_ESTIMATE_H

#include "penstock/convert/prompt.h"

enum {
    ESTIMATE_TURN = 3,     // of every message, beside what it says
    ESTIMATE_TOOL = 8,     // of every tool, beside its name, description and schema
    ESTIMATE_MEDIA = 1000, // an image, and what is only named by a URL or an id
    ESTIMATE_FILE = 2000,  // every started ESTIMATE_FILE_BYTES of a document
    ESTIMATE_FILE_BYTES = 64 * KIB,
    ESTIMATE_SOUND_BYTES = 500, // of sound or film make a token
};

// A function of the prompt alone, at least 1: a token for four bytes of text as UTF-8, and for each
// character of the Chinese, Japanese and Korean scripts (C-058). Signatures count nothing.
uint64_t estimate_tokens(const struct prompt *prompt);

#endif
