// messages.h - Anthropic Messages: what its files share.
#ifndef PENSTOCK_SRC_CONVERT_MESSAGES_H
#define PENSTOCK_SRC_CONVERT_MESSAGES_H

#include "penstock/convert/convert.h"

prompt_parser messages_parse;
prompt_renderer messages_render;
void messages_decode_event(struct decode *decode, struct json_slice data);
void messages_decode_end(struct decode *decode);
void messages_encode_start(struct encode *encode);
void messages_encode_delta(struct encode *encode, const struct delta *delta);
void messages_encode_end(struct encode *encode);
void messages_encode_fini(struct encode *encode);
bool messages_read_whole(struct completion *completion, struct json_slice root);
void messages_write_whole(const struct completion *completion, const struct answer_facts *facts,
                          struct sink *out);

// What a stop_reason means.
enum finish messages_finish(struct json_slice stop_reason);
// A citation as a delta, where it can be one.
struct delta messages_cite(struct json_slice citation);

// Parts of an answer that streams and whole answers write alike.
// `all`: with the fields that only the beginning of a stream and whole answers have.
void messages_put_usage(struct sink *out, const struct usage *usage, bool all);
// "stop_reason":...,"stop_sequence":...,"stop_details":...,"container":null
void messages_put_stop(struct sink *out, enum finish finish, struct words stop_text);
void messages_put_id(struct sink *out, const struct answer_facts *facts);

#endif
