// chat.h - OpenAI Chat Completions: what its files share.
#ifndef PENSTOCK_SRC_CONVERT_CHAT_H
#define PENSTOCK_SRC_CONVERT_CHAT_H

#include "penstock/convert/convert.h"

prompt_parser chat_parse;
// One member of a request.
void chat_read_member(struct prompt_parse *parse, struct span key, struct json_slice value);
prompt_renderer chat_render;
void chat_decode_event(struct decode *decode, struct json_slice data);
void chat_decode_end(struct decode *decode);
void chat_encode_start(struct encode *encode);
void chat_encode_delta(struct encode *encode, const struct delta *delta);
void chat_encode_end(struct encode *encode);
bool chat_read_whole(struct completion *completion, struct json_slice root);
void chat_write_whole(const struct completion *completion, const struct answer_facts *facts,
                      struct sink *out);

// What a finish_reason means, in OpenAI's words and other servers' (C-047). *broken: it says that
// the vendor failed.
enum finish chat_finish(struct json_slice reason, bool *broken);
struct span chat_finish_word(enum finish finish);

// What a delta of a stream and a message, in an answer or a request, may have.
enum chat_member {
    CHAT_CONTENT,
    CHAT_REFUSAL,
    CHAT_TOOL_CALLS,
    CHAT_FUNCTION_CALL,
    CHAT_REASONING_CONTENT,
    CHAT_REASONING,
    CHAT_REASONING_DETAILS,
    CHAT_IMAGES,
    CHAT_ANNOTATIONS,
    CHAT_MEMBER_COUNT,
};

struct chat_message {
    struct json_slice of[CHAT_MEMBER_COUNT];
};
struct chat_message chat_message(struct json_slice object);

// The text of a thought, from the first of the places that servers use. `told`: it was told before,
// so that text beside a signature is not more of it but all of it again (C-140).
struct json_slice chat_thought(const struct chat_message *message, bool told);
// The signature in one of `reasoning_details`; false if it has none.
bool chat_detail_signature(struct json_slice detail, struct signature *out);
// True if that is a thought that only its vendor can read.
bool chat_detail_is_redacted(struct json_slice detail, const struct signature *signature);
// One of `images` as a delta; false if it is no data.
bool chat_image(struct json_slice image, struct delta *out);
// One entry of `annotations` as a delta; false if it is of another kind.
bool chat_cite(struct json_slice annotation, struct delta *out);

// Parts of an answer that streams and whole answers write alike.
void chat_put_usage(struct sink *out, const struct usage *usage);
// A signature as a quoted text: in an envelope, which names the account, where there is one to
// name.
void chat_put_signature(struct sink *out, const struct signature *signature,
                        const struct answer_facts *facts, enum envelope_kind kind);
void chat_put_detail(struct sink *out, const struct signature *signature, bool redacted,
                     const struct answer_facts *facts, const struct rope *rope, struct words text,
                     unsigned index);
void chat_put_cite(struct sink *out, const struct cite *cite);

#endif
