// gemini.h - Gemini generateContent: what its files share.
#ifndef PENSTOCK_SRC_CONVERT_GEMINI_H
#define PENSTOCK_SRC_CONVERT_GEMINI_H

#include "penstock/convert/convert.h"

prompt_parser gemini_parse;
prompt_renderer gemini_render;
void gemini_decode_event(struct decode *decode, struct json_slice data);
void gemini_decode_end(struct decode *decode);
void gemini_encode_start(struct encode *encode);
void gemini_encode_delta(struct encode *encode, const struct delta *delta);
void gemini_encode_end(struct encode *encode);
void gemini_encode_fini(struct encode *encode);
bool gemini_read_whole(struct completion *completion, struct json_slice root);
void gemini_write_whole(const struct completion *completion, const struct answer_facts *facts,
                        struct sink *out);

// --- requests: clients write keys in one of two spellings, and mix them (C-131) ---

// True if a key is the name, as it is or with underscores.
bool gemini_key_is(struct span key, struct span camel);
// A member in either spelling; of both, the first counts.
struct json_slice gemini_field(struct json_slice object, struct span camel);
// The second spelling of what the object also says in the first.
bool gemini_is_repeated(struct json_slice object, struct span key, struct span camel);
static inline bool gemini_is_set(struct json_slice value)
{
    return value.kind != JK_NONE && value.kind != JK_NULL;
}

void gemini_read_system(struct prompt_parse *parse, struct json_slice system);
void gemini_read_contents(struct prompt_parse *parse, struct json_slice contents);

// --- answers ---

// What a finishReason means; `content`: something was answered before it. False: it says that the
// vendor failed (C-047).
must_use bool gemini_finish(struct json_slice reason, bool content, enum finish *finish);
struct span gemini_finish_word(enum finish finish);

// Parts of an answer that streams and whole answers write alike.
void gemini_put_usage(struct sink *out, const struct usage *usage);
// ,"modelVersion":"...","responseId":"..."}
void gemini_put_facts(struct sink *out, const struct answer_facts *facts);

// A call's part, without its end; `object` is its arguments, or NULL where they are free text.
void gemini_put_call(struct sink *out, const struct item *item, struct span object,
                     const struct answer_facts *facts);

// Citations, in `groundingMetadata`: each one web page and the bytes of text that it is about.
struct gemini_cite {
    struct gemini_cite *next;
    struct words url, title;
    uint64_t from, to;
    bool placed; // `to` is known, and behind `from`
};
void gemini_put_cites(struct sink *out, const struct gemini_cite *first);

// Chat's token entries, which Gemini has as two lists. Adds to what is there.
struct gemini_logprobs {
    struct rope chosen, top;
};
void gemini_add_logprobs(struct gemini_logprobs *logprobs, struct keep *keep,
                         struct json_slice entries);
void gemini_put_logprobs(struct sink *out, const struct gemini_logprobs *logprobs);

// A signature in the place that is typed as bytes: another vendor's goes into an envelope that is
// base64 once more, and Anthropic's takes along the thought, which clients of this format forget.
// `rope` may be NULL.
void gemini_put_signature(struct sink *out, const struct signature *signature, bool redacted,
                          const struct answer_facts *facts, struct words thought,
                          const struct rope *rope);
// The other way, for `thoughtSignature` as a client gives it back. False: nothing that may go to a
// vendor.
must_use bool gemini_read_signature(struct words text, const uint8_t *key, uint64_t account,
                                    struct scratch *scratch, struct signature *out,
                                    enum envelope_kind *kind);

// --- arguments that come in pieces, each with its path (C-034b) ---

enum { GEMINI_PATH_MAX = 1024, GEMINI_PATH_DEPTH = 64 };

struct gemini_args {
    bool failed;    // a path was too long, or none
    bool in_string; // the value at `path` goes on
    bool started;
    uint16_t depth; // containers that are open, the root included
    uint16_t len;
    struct gemini_step {
        uint16_t at, len; // of a key, in `path`; len 0 and is_index: an element
        bool is_index, filled;
        uint32_t index;
    } steps[GEMINI_PATH_DEPTH]; // [i] is where container i stands at
    char path[GEMINI_PATH_MAX];
};

// Writes what one entry of `partialArgs` adds to the JSON text of the arguments.
void gemini_args_add(struct gemini_args *args, struct json_slice entry, struct sink *out);
// Closes what is open.
void gemini_args_end(struct gemini_args *args, struct sink *out);

#endif
