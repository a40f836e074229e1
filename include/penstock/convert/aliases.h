// aliases.h - what a vendor was told of the client's tools in other words, and how to find back.
//
// A tool whose name is not legal at the vendor has an alias (C-037); one whose arguments are no
// object is wrapped in one (C-036); a schema for the answer itself may have to be a tool (C-118);
// a free-text tool may have to be a function (C-040). Made from the request once it is parsed, kept
// until its answer has ended: it points to nothing else.
#ifndef PENSTOCK_CONVERT_ALIASES_H
#define PENSTOCK_CONVERT_ALIASES_H

#include "penstock/convert/caps.h"
#include "penstock/convert/keep.h"
#include "penstock/convert/prompt.h"

enum {
    ALIASES_BUCKETS = 64,
    ALIASES_KEEP_MAX = 1 * MIB, // of all tools of one request
    ANSWER_TOOL_MAX = 32,       // bytes of the name of the tool that stands for the answer
};

struct alias {
    struct alias *next;     // in its bucket
    uint64_t hash;          // of what the vendor calls it
    struct words sent, own; // its name at the vendor, and at the client
    bool wrapped;           // its arguments are the property "value" of an object
    bool free_text;         // its input is a text of an object, the vendor knows no other (C-040)
};

struct aliases {
    struct keep keep;
    struct alias *buckets[ALIASES_BUCKETS];
    bool plain;          // an answer needs no change
    bool think_tags;     // its text may begin with a thought between tags
    bool answer_wrapped; // the answer is the property "value" of the tool's arguments
    uint8_t answer_len;  // 0: the answer is no tool's
    char answer[ANSWER_TOOL_MAX];
};

// False if memory is short. Tools that the vendor could not tell apart are refused in `losses`.
must_use bool aliases_init(struct aliases *aliases, const struct prompt *prompt,
                           enum wire_family to, const struct caps *caps,
                           const struct arena_source *chunks, struct losses *losses);
void aliases_fini(struct aliases *aliases);

// The tool that a vendor means: by its name there, or by that with one of the prefixes that models
// put before it (C-136). NULL: none that was declared.
const struct alias *aliases_find(const struct aliases *aliases, struct words sent);

// --- for the renderers ---

// The name of the tool that stands for an answer with a schema; 0 if the vendor takes the schema.
size_t alias_answer_tool(const struct prompt *prompt, enum wire_family to, const struct caps *caps,
                         char out[ANSWER_TOOL_MAX]);
// Which of the calls in a history are the first of their name.
struct alias_seen {
    uint64_t *hashes; // 0: free
    uint64_t mask;
};
must_use bool alias_seen_init(struct alias_seen *seen, const struct prompt *prompt,
                              struct scratch *scratch);
bool alias_seen_first(struct alias_seen *seen, const struct part *call, enum wire_family to);
// True if a tool's arguments are wrapped for this vendor.
bool alias_wraps(const struct tool *tool, enum wire_family to);

#endif
