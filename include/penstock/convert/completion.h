// completion.h - a whole answer: a list of items in order.
//
// Made in two ways: read out of a vendor's whole answer, where words point into its body, or
// collected from deltas, where the text is kept as ropes. Either can be written as any format's
// whole answer, or played as deltas for a client that wants a stream.
#ifndef PENSTOCK_CONVERT_COMPLETION_H
#define PENSTOCK_CONVERT_COMPLETION_H

#include "penstock/convert/delta.h"
#include "penstock/convert/keep.h"

enum { COMPLETION_CHOICES_MAX = 128 }; // of one answer; others are passed over

enum item_kind {
    ITEM_TEXT, // one run; two in a row are two blocks, or two messages, of the vendor
    ITEM_REFUSAL,
    ITEM_THINK,
    ITEM_REDACTED,
    ITEM_CALL, // text: its arguments
    ITEM_MEDIA,
    ITEM_HOSTED,
    ITEM_KIND_COUNT
};

struct item_cite {
    struct item_cite *next;
    struct cite cite;
    struct words text;     // the cited words
    struct json_slice raw; // as the vendor wrote it
};

struct item {
    struct item *next;
    uint8_t kind;  // enum item_kind
    uint8_t form;  // enum call_form
    bool complete; // it was ended by its vendor; a call that is not may not run (C-043)
    uint16_t choice, call;
    struct words text; // if it is in one piece,
    struct rope rope;  // else: then `text` is empty
    struct words id, name, type;
    struct signature signature;
    struct item_cite *cites, *last_cite;
    struct json_slice raw;
};

// What is told of a choice as a whole.
struct choice {
    struct choice *next;
    uint16_t index;
    bool ended;
    uint8_t finish;             // enum finish
    struct words stop_text;     // or why it was filtered
    struct json_slice logprobs; // as they stand in a body,
    struct rope tokens;         // or collected, without the brackets
};

struct completion {
    struct keep keep;
    struct item *first, *last;
    uint32_t item_count;
    struct choice *choices;          // by index
    uint32_t lost[DELTA_KIND_COUNT]; // deltas that fit no item
};

void completion_init(struct completion *completion, const struct arena_source *source,
                     uint64_t kept_max);
void completion_fini(struct completion *completion);
// True if memory was short: what is there is not all.
static inline bool completion_failed(const struct completion *completion)
{
    return completion->keep.failed;
}

// completion->keep.scratch is the caller's to set: see struct keep.

// A new item at the end, or NULL: for those who read whole answers.
struct item *completion_item(struct completion *completion, enum item_kind kind, uint16_t choice);
// The choice of this index, made if it is not there; NULL if memory is short.
struct choice *completion_choice(struct completion *completion, uint16_t index);
struct item_cite *completion_cite(struct completion *completion, struct item *item);
// The probabilities of a choice's tokens, as one list.
void choice_put_logprobs(const struct choice *choice, struct sink *out);
void completion_end(struct completion *completion, uint16_t choice, enum finish finish,
                    struct words stop_text);

// A delta_sink: collects. A delta that continues an item goes there, any other opens the next.
void completion_collect(void *completion, const struct delta *delta);
// The other way: `emit` gets the deltas that would have been collected to this, one for each item's
// text where it is in one piece. The text lasts as long as what the completion was made of.
void completion_play(const struct completion *completion, delta_sink *emit, void *ctx);
void item_play(const struct item *item, delta_sink *emit, void *ctx);
// Takes the first item off the list; its memory stays the completion's. NULL if there is none.
struct item *completion_pop(struct completion *completion);

// The text of an item as the contents of a JSON string, and without a level of escaping. The first
// may leave views of it in the sink.
void item_put(const struct item *item, struct sink *sink);
void item_put_plain(const struct item *item, struct sink *sink);
bool item_is_empty(const struct item *item);
// Code points of its text, and those of them from `from` up to `to`, written.
uint64_t item_points(const struct item *item);
void item_put_between(const struct item *item, uint64_t from, uint64_t to, struct sink *sink);

#endif
