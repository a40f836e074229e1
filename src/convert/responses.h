// responses.h - OpenAI Responses: what its files share.
#ifndef PENSTOCK_SRC_CONVERT_RESPONSES_H
#define PENSTOCK_SRC_CONVERT_RESPONSES_H

#include "penstock/convert/convert.h"
#include "unwrap.h"

prompt_parser responses_parse;
prompt_renderer responses_render;
void responses_decode_event(struct decode *decode, struct json_slice data);
void responses_decode_end(struct decode *decode);
void responses_encode_start(struct encode *encode);
void responses_encode_delta(struct encode *encode, const struct delta *delta);
void responses_encode_end(struct encode *encode);
bool responses_encode_more(struct encode *encode);
void responses_encode_fini(struct encode *encode);
bool responses_read_whole(struct completion *completion, struct json_slice root);
void responses_write_whole(const struct completion *completion, const struct answer_facts *facts,
                           struct sink *out);

// ------------------------------------------------------------------------------ reading answers

// How a response ended. *broken: in no way that is an answer.
enum finish responses_finish(struct json_slice response, bool *broken);
// The same with what was seen in it: content tells more (C-032).
enum finish responses_finish_seen(enum finish finish, bool calls, bool refused);
bool responses_is_custom(struct json_slice item);
// An annotation as a delta; without a URL if it is of a kind that others do not know.
struct delta responses_cite(struct json_slice annotation);
// What a reasoning item has to be given back with.
struct signature responses_signature(struct json_slice item);
// The picture in an item; false if it is no picture.
bool responses_media(struct json_slice item, struct words *type, struct words *base64);

// ------------------------------------------------------------------------------ the client's tools

// What a call by a vendor is in the client's own words: the vendor knows tools by other names where
// the client's are not legal there (C-037), and free-text tools as functions (C-040).
struct called {
    struct words name, space; // `space`: the namespace, or none
    bool custom;              // the tool takes free text
    bool search;              // the client's own search for tools (C-151)
};

// The tool that a name means, by the list that the client sent; the name itself if none.
struct called responses_called(struct json_slice tools, struct words name);

// ------------------------------------------------------------------------------ writing answers
//
// A response is a list of output items. What a completion has as items of its own kind becomes
// those: texts and refusals in a row are the parts of one message. Streams and whole answers use
// the same walk over the same list, so that both tell the same.

// Members of the client's request that a response repeats.
enum echo {
    ECHO_INSTRUCTIONS,
    ECHO_MAX_OUTPUT_TOKENS,
    ECHO_MAX_TOOL_CALLS,
    ECHO_METADATA,
    ECHO_PARALLEL,
    ECHO_CACHE_KEY,
    ECHO_REASONING,
    ECHO_SAFETY,
    ECHO_TIER,
    ECHO_TEMPERATURE,
    ECHO_TEXT,
    ECHO_TOOL_CHOICE,
    ECHO_TOOLS,
    ECHO_TOP_LOGPROBS,
    ECHO_TOP_P,
    ECHO_TRUNCATION,
    ECHO_USER,
    ECHO_COUNT
};
_Static_assert(ECHO_COUNT == (int)REPEATED_MAX, "they are what is looked for beforehand");

void responses_find_repeated(struct span request, struct json_slice repeated[REPEATED_MAX]);

// What stands beside an item while a stream is written.
struct beside {
    struct beside *next;
    const struct item *item;
    struct rope logprobs; // entries of a list
    struct rope seal;     // what lets the client give a thought back
};

struct answer {
    const struct answer_facts *facts;
    struct json_slice echo[ECHO_COUNT];
    const struct item *items;
    const struct beside *beside;
    const struct choice *choice; // whose probabilities are the first text's; NULL: see `beside`
    bool cut;                    // the answer broke off: its last item is not complete
};

void answer_init(struct answer *answer, const struct answer_facts *facts);
// True if the client sees thoughts at all: without summaries or envelopes there is nothing to see.
bool answer_has_thoughts(const struct answer *answer);

enum output_kind {
    OUTPUT_MESSAGE,
    OUTPUT_REASONING,
    OUTPUT_FUNCTION,
    OUTPUT_CUSTOM,
    OUTPUT_SEARCH,
    OUTPUT_IMAGE,
};

// One of the items that the client sees.
struct output {
    uint8_t kind; // enum output_kind
    uint32_t index;
    const struct item *item; // the first of its run
    bool complete;
    struct called called;              // of a call
    const struct signature *signature; // of a thought, or NULL
    enum envelope_kind seal;
};

struct output_walk {
    const struct answer *answer;
    const struct item *at;
    const struct item *sealed; // a call whose signature was told with the thought before it
    uint32_t index;
};

bool output_next(struct output_walk *walk, struct output *output);
// Fills in what a call is; its item is set.
void output_call(const struct answer *answer, struct output *output);

// The item's id, `"msg_..."` without quotes.
void output_put_id(struct sink *out, const struct answer *answer, const struct output *output);
// The whole item; `shell`: as it is announced, with nothing in it.
void output_put(struct sink *out, const struct answer *answer, const struct output *output,
                bool shell);
// One part of a message.
void output_put_part(struct sink *out, const struct answer *answer, const struct item *item,
                     bool shell);
void output_put_logprobs(struct sink *out, const struct answer *answer, const struct item *item);
void output_put_cite(struct sink *out, const struct item *item, const struct cite *cite);

// The response around its items: up to the list, the items, and what follows. `usage`: it is
// complete.
void answer_put_head(struct sink *out, const struct answer *answer, struct span status,
                     struct span reason);
// The next `count` items; false once all were written.
bool answer_put_items(struct sink *out, struct output_walk *walk, enum finish finish,
                      uint32_t count);
void answer_put_tail(struct sink *out, const struct answer *answer, bool usage);
// "completed" or "incomplete", and then why.
struct span answer_status(enum finish finish, struct span *reason);
// An answer that ended well without saying anything is one empty text.
bool answer_may_be_empty(enum finish finish);

#endif
