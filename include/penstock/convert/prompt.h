// prompt.h - a request, whatever format it came in: flat arrays of typed views into the body.
//
// Not a stream, because several rules look back and ahead (results find their calls, turns merge).
// Parsing makes no text: every words and slice points into the client's body, which has been
// validated and must stay where it is until rendering is done. Parsing refuses what no vendor could
// take (wrong types, unknown roles) with the path; what only the target cannot take is the
// renderer's to say.
//
// Order: `parts` are in the order of the client's body; a turn owns a run of them. A RESULT's
// content follows it as parts with `inner` set.
#ifndef PENSTOCK_CONVERT_PROMPT_H
#define PENSTOCK_CONVERT_PROMPT_H

#include "penstock/base/err.h"
#include "penstock/convert/delta.h"
#include "penstock/convert/loss.h"
#include "penstock/convert/scratch.h"
#include "penstock/wire/route.h"

enum {
    PROMPT_TURNS_MAX = 64 * KIB, // of one request; more is refused
    PROMPT_PARTS_MAX = 256 * KIB,
    PROMPT_TOOLS_MAX = 4096,
    PROMPT_STOPS_MAX = 16,
    PROMPT_NAMES_MAX = 64,    // tools that a choice may be limited to
    PART_NO_SUB = 0x7fffffff, // a part that is the whole message or item
};

enum role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT };

enum part_kind {
    PART_TEXT,
    PART_REFUSAL,
    PART_IMAGE,
    PART_FILE, // PDF or text
    PART_AUDIO,
    PART_VIDEO,
    PART_THINK,    // text, signature
    PART_REDACTED, // signature
    PART_CALL,     // id, name, text = arguments
    PART_RESULT,   // id, name where the format has it; its content follows as inner parts
    PART_SEARCH,   // a search result: text, url, title
    PART_RAW,      // an item of a kind that only its own vendor knows: raw
};

// Where media come from.
enum media_source { MEDIA_DATA, MEDIA_URL, MEDIA_FILE_ID, MEDIA_TEXT };

struct part {
    uint8_t kind;      // enum part_kind
    uint8_t source;    // enum media_source
    uint8_t form;      // enum call_form, of CALL and RESULT
    bool inner;        // content of the RESULT before it
    bool error;        // RESULT: the tool failed
    bool object;       // CALL, RESULT: `text` was a JSON value, not a string: words are not escaped
    bool cache;        // the client marked a point for the vendor's cache behind it
    uint32_t turn;     // index of its turn
    uint32_t at, sub;  // where it stood in the client's lists, for paths: see prompt_path()
    uint32_t mate;     // while it is rendered: a call's result, a result's call; see pairs.h
    struct words text; // text, base64, URL, file id, arguments
    struct words id, name;
    struct words type;  // media: MIME type. TEXT of a cache mark: its time to live
    struct words title; // FILE: file name or title. SEARCH: title
    struct words extra; // IMAGE: detail. SEARCH: url. CALL: namespace
    struct signature signature;
    struct json_slice raw; // the part as the client wrote it
};

struct turn {
    uint8_t role; // enum role
    bool late;    // ROLE_SYSTEM after the first user or assistant turn: keeps its place
    uint32_t at;  // index in the client's list, for paths
    uint32_t first, count;
    struct words name;
};

enum tool_kind { TOOL_FUNCTION, TOOL_CUSTOM, TOOL_HOSTED };

struct tool {
    uint8_t kind;   // enum tool_kind
    uint8_t strict; // 0 not said, 1 false, 2 true
    bool cache;
    bool search;        // TOOL_HOSTED: the vendor's web search
    bool run_by_client; // TOOL_HOSTED: a request makes no sense without it
    uint32_t at, sub;
    struct words name, description, space; // `space`: the namespace it stands in
    struct words cache_ttl;
    struct json_slice schema; // JK_NONE: none. TOOL_CUSTOM: its format
    struct json_slice examples;
    struct json_slice raw;
};

enum choose {
    CHOOSE_UNSAID,
    CHOOSE_AUTO,
    CHOOSE_NONE,
    CHOOSE_ANY,
    CHOOSE_ONE,
    CHOOSE_SUBSET,
    CHOOSE_SUBSET_ANY
};

enum format_kind { ANSWER_FREE, ANSWER_JSON, ANSWER_SCHEMA, ANSWER_ENUM };

enum effort {
    EFFORT_UNSAID,
    EFFORT_NONE,
    EFFORT_MINIMAL,
    EFFORT_LOW,
    EFFORT_MEDIUM,
    EFFORT_HIGH,
    EFFORT_XHIGH,
    EFFORT_MAX
};

enum knob_id {
#define KNOB(id, ...) KNOB_##id,
#include "penstock/convert/knobs.def"
#undef KNOB
    KNOB_COUNT
};

struct knob {
    struct json_slice value; // as the client wrote it; JK_NONE: not set (null counts as not set)
    const char *path;        // the client's name for it
};

struct prompt {
    struct span body;
    uint8_t from;      // enum wire_family
    struct span model; // plain; of a Gemini client from the path
    bool stream;
    bool usage_wanted;
    struct turn *turns;
    struct part *parts;
    struct tool *tools;
    uint32_t turn_count, part_count, tool_count;
    struct knob knobs[KNOB_COUNT];
    struct {
        uint8_t effort; // enum effort; UNSAID where the client spoke of a budget
        bool adaptive;  // left to the model
        bool budget_set;
        int64_t budget; // tokens; -1: left to the model
        uint8_t show;   // 0 not said, 1 no, 2 yes
        const char *path;
        struct words said; // the value, for what is told of an adjustment
    } reasoning;
    struct {
        uint8_t kind; // enum format_kind
        const char *path;
        uint8_t strict; // as of a tool
        struct words name, description;
        struct json_slice schema;
    } format;
    bool envelopes_wanted; // Responses: `include` asks for encrypted reasoning
    // What the vendor's cache should keep as a whole, where the client asked for that.
    bool cache_all;
    struct words cache_ttl;
    struct {
        uint8_t mode; // enum choose
        const char *path;
        uint32_t name_count;
        struct words names[PROMPT_NAMES_MAX]; // unset beyond the first and `name_count`
    } choice;
};

// --- for the parsers ---

struct prompt_parse {
    struct prompt *prompt;
    struct scratch *scratch; // for the arrays
    const uint8_t *key;      // of envelopes; the caller's to set
    uint64_t account;        // who will be asked: gets back only what it signed itself (C-150)
    struct losses *losses;
    uint32_t turn_cap, part_cap, tool_cap;
    bool spoken;              // a user's or assistant's turn was seen
    struct err err;           // the first one
    char path[LOSS_PATH_MAX]; // of it, in the client's words
    const char *why;          // static text
};

void prompt_begin(struct prompt_parse *parse, struct prompt *prompt, enum wire_family from,
                  struct span body, struct scratch *scratch, struct losses *losses);

// A new entry at the end of an array, zeroed, or NULL: then `err` is set.
struct turn *prompt_turn(struct prompt_parse *parse, enum role role, uint32_t at);
struct part *prompt_part(struct prompt_parse *parse, enum part_kind kind, uint32_t at,
                         uint32_t sub);
struct tool *prompt_tool(struct prompt_parse *parse, enum tool_kind kind, uint32_t at);
// Refuses the request: 400 with this path.
void prompt_bad(struct prompt_parse *parse, const char *why, const char *path, ...)
    printf_like(3, 4);
// Sets a knob unless the value is null or absent.
void prompt_knob(struct prompt_parse *parse, enum knob_id id, struct json_slice value,
                 const char *path);

// --- for the renderers ---

// The path of a part in the client's own words ("messages[3].content[1]").
size_t prompt_path(const struct prompt *prompt, const struct part *part, char out[LOSS_PATH_MAX]);
// The client's name for its list of turns.
const char *prompt_list(const struct prompt *prompt);
// The same of what says in a result that its tool failed.
size_t prompt_error_path(const struct prompt *prompt, const struct part *result,
                         char out[LOSS_PATH_MAX]);

#endif
