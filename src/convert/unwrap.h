// unwrap.h - a free-text tool's input out of the arguments of the function that stood for it.
//
// Vendors without free-text tools are given a function with one text, "input" (C-040). Its
// arguments come back as a JSON object, in pieces; what stands inside is handed on as it comes. A
// model may call the text otherwise ("patch", "code", "command"), or forget the object: then its
// only text, or all it wrote, is the input.
#ifndef PENSTOCK_SRC_CONVERT_UNWRAP_H
#define PENSTOCK_SRC_CONVERT_UNWRAP_H

#include "penstock/convert/keep.h"

enum { UNWRAP_ROOM = 512, UNWRAP_KEY_MAX = 8, UNWRAP_ESCAPE_MAX = 6 };

struct unwrap {
    void (*emit)(void *ctx, struct words text);
    void *ctx;
    struct keep *keep;
    struct words first; // arguments that are all there: what stands before `raw`
    struct rope raw;    // all that came before the text was found
    uint8_t state;      // enum state
    bool any;           // whatever the text is called
    bool named;         // the member that passes is the text
    bool found;         // the text has begun
    bool filled;        // the object has a member
    bool quoted;        // inside a string that is passed over
    bool escaped;       // there, or in a name, behind a backslash
    uint32_t depth;     // of what is passed over
    uint8_t key_len;    // of `key`; UINT8_MAX: longer than any that is looked for
    uint8_t escape_len, high_len;
    char key[UNWRAP_KEY_MAX];
    char escape[UNWRAP_ESCAPE_MAX]; // of the text, the one that is not complete
    char high[UNWRAP_ESCAPE_MAX];   // half a pair of surrogates at the end of a piece
    uint16_t len;                   // of `room`: text that is to be handed on
    char room[UNWRAP_ROOM];
};

// `keep` holds what came until the text is found. `emit` gets pieces of it, each the contents of a
// JSON string.
void unwrap_init(struct unwrap *unwrap, struct keep *keep,
                 void (*emit)(void *ctx, struct words text), void *ctx);
// More of the arguments: JSON text, or the contents of a JSON string that holds it.
void unwrap_put(struct unwrap *unwrap, struct words args);
void unwrap_end(struct unwrap *unwrap);

// The same of arguments that are all there: the words, and the rope behind them.
void unwrap_whole(struct words args, const struct rope *rope,
                  void (*emit)(void *ctx, struct words text), void *ctx);

#endif
