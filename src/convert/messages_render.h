// messages_render.h - what the two files that write a request of Messages share.
#ifndef PENSTOCK_SRC_CONVERT_MESSAGES_RENDER_H
#define PENSTOCK_SRC_CONVERT_MESSAGES_RENDER_H

#include "messages.h"
#include "render.h"
#include "tools.h"

struct writer {
    struct render *render;
    const struct prompt *prompt;
    const struct caps *caps;
    struct losses *losses;
    struct sink *out;
    struct tools tools;
    bool thinks;             // thinking is asked for
    bool recalls;            // the vendor takes its thoughts back
    bool stubs;              // calls in the history need tools, and there are none
    struct span answer_tool; // that stands for the answer; empty: none
    bool answer_asked;       // by an instruction: it cannot be forced
    bool started;            // something stands in the list that is being written
    uint32_t marks;          // for the cache, that are still to come
};

// Limits, thinking, sampling and the rest of what stands before the tools. Decides what the model
// is asked to think, which the rest depends on.
void messages_put_settings(struct writer *writer);

#endif
