// gemini_writer.h - a request to Gemini as it is written: what the files that write it share.
#ifndef PENSTOCK_SRC_CONVERT_GEMINI_WRITER_H
#define PENSTOCK_SRC_CONVERT_GEMINI_WRITER_H

#include "penstock/convert/convert.h"

struct gemini_writer {
    struct render *render;
    const struct prompt *prompt;
    const struct caps *caps;
    struct losses *losses;
    struct sink *out;
    bool started;               // something stands in the list that is being written
    bool spoken;                // a content stands in the conversation
    bool schema_in_text;        // the form of the answer is asked for in words
    const struct part *pending; // has a signature for a part that follows it
};

// Everything before the system's text, without the brace around it all.
void gemini_put_settings(struct gemini_writer *writer);

#endif
