// parse.h - what a resumable parser answers.
#ifndef PENSTOCK_CODEC_PARSE_H
#define PENSTOCK_CODEC_PARSE_H

enum parse {
    PARSE_MORE, // needs more input; not an error
    PARSE_DATA, // an element is in the output; call again
    PARSE_DONE, // the whole is complete
    PARSE_BAD,  // it can never become valid
};

#endif
