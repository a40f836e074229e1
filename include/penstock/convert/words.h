// words.h - text on its way from one JSON string into another.
//
// Most text that passes through is the contents of a JSON string here and the contents of a JSON
// string there, so it is carried as it was written, escapes and all, and copied. Only what is built
// here, and what was JSON itself (a tool's arguments in Gemini's and Anthropic's whole forms), is
// plain and has to be escaped once. A view: valid as long as the text it points into.
#ifndef PENSTOCK_CONVERT_WORDS_H
#define PENSTOCK_CONVERT_WORDS_H

#include "penstock/base/base.h"
#include "penstock/codec/json.h"

struct words {
    struct span raw;
    bool escaped; // `raw` is what stands between the quotes of a JSON string that was validated
    bool whole;   // and no escape in it is half a pair of surrogates: it can be copied unseen
    bool lasting; // `raw` stays where it is until the end of the answer that it is written into
};

#define WORDS_NONE ((struct words){ .raw = SPAN_NONE })

// The contents of a string; none for any other kind of value.
static inline struct words words_of(struct json_slice string)
{
    return (struct words){ .raw = json_string_raw(string), .escaped = true };
}
// What stands between the quotes of a valid JSON string.
static inline struct words words_escaped(struct span raw)
{
    return (struct words){ .raw = raw, .escaped = true };
}
static inline struct words words_plain(struct span text)
{
    return (struct words){ .raw = text };
}
static inline bool words_none(struct words words)
{
    return words.raw.len == 0;
}

enum { WORDS_PIECE_MAX = 4, WORDS_TORN_MAX = 11 };

// The next piece of escaped text as it is meant, a view where nothing is escaped, else in `room`;
// takes it from the front of `rest`, which must not be empty. Two halves of a pair of surrogates
// are one piece; half a pair is U+FFFD.
struct span words_piece(struct span *rest, char room[WORDS_PIECE_MAX]);

// Bytes at the end of escaped text, at most WORDS_TORN_MAX, that are only the beginning of an
// escape, or the first half of a pair of surrogates: whoever gets text in pieces holds them back.
size_t words_torn(struct span raw);

// Where the first escape of half a pair of surrogates stands in valid escaped text; raw.len if
// there is none. Legal in JSON, but no text: most readers refuse it.
size_t words_lone(struct span raw);
// True if valid escaped text begins with the escape of the second half of such a pair.
bool words_starts_low(struct span raw);

// What is remembered of escaped text that came in pieces, so that the rest can be told from the
// whole. Zeroed: nothing has come.
struct words_sum {
    uint64_t len, hash; // of what is meant; the hash less its seed
    uint8_t high_len;
    char high[6]; // half a pair of surrogates at the end of a piece
};

void words_sum_add(struct words_sum *sum, struct span raw);
// Where in `raw` the rest begins; SIZE_MAX if it does not begin with what came.
size_t words_sum_find(const struct words_sum *sum, struct span raw);

// Code points, and a view of those from `from` on, up to `to`; what lies behind the end is not
// there.
uint64_t words_points(struct words words);
struct words words_between(struct words words, uint64_t from, uint64_t to);

bool words_are(struct words words, struct span plain);
bool words_eq(struct words a, struct words b);
// The same for words that are equal, in every process.
uint64_t words_hash(struct words words);
// Resolves escapes into `out`; the bytes written. *cut: it did not fit, and ends at a character.
size_t words_decode(struct words words, char *out, size_t cap, bool *cut);
// Copies into `out` without escapes if there are any, else gives a view of the words themselves;
// ptr NULL if it needs more than `cap` bytes.
struct span words_view(struct words words, char *out, size_t cap);
// True if nothing but white space.
bool words_blank(struct words words);

#endif
