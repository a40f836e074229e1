// responses_render.h - what the two files that write a request of Responses share.
#ifndef PENSTOCK_SRC_CONVERT_RESPONSES_RENDER_H
#define PENSTOCK_SRC_CONVERT_RESPONSES_RENDER_H

#include "render.h"
#include "responses.h"
#include "tools.h"

struct writer {
    struct render *render;
    const struct prompt *prompt;
    const struct caps *caps;
    struct losses *losses;
    struct sink *out;
    bool thinks;   // the model is asked to reason
    bool logprobs; // they are asked for
    bool started;  // something stands in the list that is being written
    struct tools tools;
    uint32_t files; // written, for those without a name
};

// The leading system texts, and a word about JSON where the format wants one.
void responses_put_instructions(struct writer *writer);
// The conversation.
void responses_put_input(struct writer *writer);

#endif
