// caps.h - what a vendor's model can do, as far as a rendering has to know.
//
// Filled from the account and the model's name (provider layer); a zeroed one with the family set
// is a plain, current model of that format.
#ifndef PENSTOCK_CONVERT_CAPS_H
#define PENSTOCK_CONVERT_CAPS_H

#include "penstock/base/base.h"

// How a model takes its reasoning.
enum reasons { REASONS_EFFORT, REASONS_BUDGET, REASONS_ADAPTIVE, REASONS_LEVEL, REASONS_NOT };

// What OpenAI's Chat API serves of a model (C-141).
enum chat_serves {
    CHAT_ALL,
    CHAT_BARE_TOOLS, // no function tools while it reasons
    CHAT_NOT,        // nothing: it is asked by Responses
};

struct caps {
    bool official;        // the format's own vendor, not a compatible server
    uint8_t reasons;      // enum reasons
    uint8_t chat;         // enum chat_serves
    bool reasons_unasked; // thinks unless it is asked not to
    bool always_thinks;   // thinking cannot be switched off (C-139)
    bool no_forced_tool;  // a tool cannot be forced (C-139)
    bool no_sampling;     // refuses temperature, top_p and penalties; OpenAI: while it thinks
    bool no_stop;         // Chat: refuses stop sequences
    bool one_sampling;    // refuses temperature together with top_p (C-110)
    bool old_cap;         // Chat: `max_tokens`, not `max_completion_tokens` (C-108)
    bool developer_role;  // Chat: system texts are from the "developer" (C-003)
    bool single_system;   // Chat: at most one system message (C-003)
    bool late_system;     // Messages: role "system" inside the conversation (C-002)
    bool text_parts;      // Chat: takes lists of text parts for every role (C-018)
    bool custom_tools;    // Chat: takes free-text tools (C-040)
    bool native_schema;   // Messages: output_config.format (C-118)
    bool schema_by_tool;  // Messages: a tool may stand for it: the answer goes through undo.h
    bool prefill;         // the last turn may be the assistant's (C-012)
    bool call_ids;        // Gemini: takes ids of calls (C-027)
    bool json_schema;     // Gemini: parametersJsonSchema (C-035)
    bool needs_reasoning; // Chat: wants its reasoning_content back (C-063)
    bool no_system;       // Gemini: has no place for the system's text (C-128)
    bool signs_calls;     // Gemini 3 and later: calls carry signatures (C-070)
    bool phases;          // Responses: tells what an assistant's text is for (C-143)
    bool think_tags;      // Chat: thoughts may stand in the text, between tags (C-074)
    bool web_search;      // the vendor's own may stand for that of the client's
    bool dialect;         // Chat clients see and send reasoning_content and its like
    uint32_t efforts;     // a bit an enum effort that the model knows; 0: not known, all
    uint64_t output_max;  // tokens; 0: not known
};

#endif
