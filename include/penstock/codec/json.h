// json.h - JSON text as it lies in memory: a validating scanner, and views into it without a tree.
//
// The scanner accepts exactly RFC 8259 in valid UTF-8, at most JSON_DEPTH_MAX deep, with numbers of
// at most JSON_NUMBER_MAX bytes. Escapes of lone surrogates are legal text, bare control bytes are
// not. It works on contiguous text that may still be growing, a bounded number of bytes a call, and
// keeps nothing but offsets, so the text may move between calls.
//
// A value is a json_slice: its raw bytes, a string with its quotes. Slices live as long as the text
// does. The walkers below them are safe on any bytes, scanned before or not: on text that is not
// JSON they end early and say so, and never read outside it.
#ifndef PENSTOCK_CODEC_JSON_H
#define PENSTOCK_CODEC_JSON_H

#include "penstock/base/base.h"
#include "penstock/base/err.h"
#include "penstock/codec/parse.h"

enum {
    JSON_DEPTH_MAX = 512,
    JSON_NUMBER_MAX = 1024,
    JSON_STEP = 256 * KIB, // bytes that one call should scan when other work waits
    JSON_STEP_MIN = 64,    // a smaller budget counts as this one, so that each call makes headway
    JSON_PATH_TEXT = 256,  // bytes of a path in an error report
    JSON_PATH_SCAN = JSON_STEP, // a path is looked for only this far into a text
};

// Not called JSON_STRING and so on: those names belong to the library that the model layer uses.
enum json_kind {
    JK_NONE, // no value
    JK_NULL,
    JK_FALSE,
    JK_TRUE,
    JK_NUMBER,
    JK_STRING,
    JK_ARRAY,
    JK_OBJECT,
};

struct json_slice {
    struct span text;
    enum json_kind kind;
};

#define JSON_SLICE_NONE ((struct json_slice){ SPAN_NONE, JK_NONE })

// ---------------------------------------------------------------------------------- scanner

enum json_fault {
    JSON_FAULT_NONE,
    JSON_FAULT_SYNTAX,  // something else should stand here
    JSON_FAULT_EARLY,   // the text ends too soon
    JSON_FAULT_AFTER,   // there is more after the value
    JSON_FAULT_DEPTH,   // nested too deeply
    JSON_FAULT_UTF8,    // not valid UTF-8
    JSON_FAULT_CONTROL, // a bare control byte in a string
    JSON_FAULT_ESCAPE,  // an unknown escape
    JSON_FAULT_NUMBER,  // not a number, or one that is too long
    JSON_FAULT_COUNT
};
const char *json_fault_text(enum json_fault fault);

// Where a member of the root object, or an element of the root array, lies in the text.
struct json_place {
    size_t key_at, key_len; // the key with its quotes; key_len is 0 in an array
    size_t at, end;         // the value
    enum json_kind kind;
};

enum { JSON_SCAN_PLACES = 8 };

// How strings and keys begin that a caller wants to hear of, four bytes each. The scan passes every
// string anyway, so that asking here costs less than any search afterwards.
enum { JSON_MARKS_MAX = 7, JSON_MARK_CUT = 1 << JSON_MARKS_MAX, JSON_MARK_BYTES = 4 };
struct json_marks {
    uint64_t filter; // JSON_MARK_BIT() of each
    uint32_t count;
    uint32_t words[JSON_MARKS_MAX];
};
#define JSON_MARK(a, b, c, d) \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define JSON_MARK_BIT(word) (UINT64_C(1) << ((word)*UINT32_C(0x9E3779B1) >> 26))

// Where the contents of values that are strings lie, those that are longer than JSON_TEXT_MIN.
enum { JSON_TEXTS_MAX = 24, JSON_TEXT_MIN = 16 };
struct json_texts {
    uint32_t count;
    bool lost; // there are more, or one was met in parts
    struct {
        size_t at, len;
    } list[JSON_TEXTS_MAX];
};

struct json_scan {
    size_t pos;
    const struct json_marks *marks; // NULL: none are looked for
    uint32_t depth;
    uint32_t depth_max; // at most JSON_DEPTH_MAX, which it is unless the caller sets less
    uint8_t state;
    bool report;   // tell of the children of the root
    uint8_t fault; // enum json_fault, after PARSE_BAD: at `pos`
    // Bit i: a string or key begins as marks->words[i] does, as it is written. JSON_MARK_CUT: the
    // end of what was there cut the beginning of one, which may be any.
    uint8_t marked;
    enum json_kind root;
    struct json_texts *texts; // see json_scan_texts()
    uint32_t child_count;     // children of the root that are complete
    struct json_place place;  // of the one that is not
    uint8_t place_count;
    struct json_place places[JSON_SCAN_PLACES]; // those that the newest call completed
    uint64_t objects[JSON_DEPTH_MAX / 64];      // a bit a level: this level is an object
};

// `report`: tell of the children of the root, in `places`. `marks` may be set behind it.
void json_scan_init(struct json_scan *scan, bool report);

// What json_scan.marked would say of a string whose contents, of JSON_MARK_BYTES or more, these
// are.
uint8_t json_marks_of(const struct json_marks *marks, struct span contents);

// From now on `texts`, which must outlive the scan, is told of texts.
static inline void json_scan_texts(struct json_scan *scan, struct json_texts *texts)
{
    texts->count = 0;
    texts->lost = false;
    scan->texts = texts;
}

// Goes on where the last call stopped. `text` begins with all that earlier calls saw; `final`: it
// is complete. Whatever it returns, `places` tells of the children that it has completed before.
// PARSE_MORE: `budget` bytes were scanned, or the text is used up. PARSE_DATA: `places`
// is full. PARSE_DONE: `text` is one JSON value and white space. PARSE_BAD: `fault`
// at `pos`.
must_use enum parse json_scan_feed(struct json_scan *scan, struct span text, bool final,
                                   size_t budget);

// Scans the whole of `text`, which should be small, at once. True if it is one valid value, which
// is then in *out without the white space around it.
must_use bool json_check(struct span text, struct json_slice *out);

// From inside a string, not behind a backslash, to its closing quote, if what lies between is as a
// string has to be. Otherwise to where it is not, which is no quote, or to `end`.
const char *json_string_end(const char *at, const char *end);

// Writes the path of what stands at `offset` ("messages[3].content") into `out` and returns its
// length; what lies before `offset` must have been scanned. 0 if that is the root or if `offset` is
// beyond JSON_PATH_SCAN. The path is valid UTF-8 and has no control bytes.
size_t json_path_at(struct span text, size_t offset, char out[JSON_PATH_TEXT]);

// ---------------------------------------------------------------------------------- walkers

// The value at the start of `text`, after white space; JK_NONE if there is none. What follows the
// value is not looked at.
struct json_slice json_value(struct span text);

struct json_iter {
    const char *at, *end;
    const char *close; // behind the bracket that has ended the iteration; NULL: none has
    bool first;
    bool bad; // the text is not JSON; set when an iteration ends early
};

// Iterates over the members of `object`, or over nothing if it is another kind.
struct json_iter json_members_of(struct json_slice object);
// The next member; false at the end. `key` is the raw key between its quotes.
bool json_member_next(struct json_iter *iter, struct span *key, struct json_slice *value);
// The same for the elements of an array.
struct json_iter json_elements_of(struct json_slice array);
bool json_element_next(struct json_iter *iter, struct json_slice *value);

bool json_key_is_escaped(struct span raw_key, struct span name); // used by the next one

// True if the raw key equals `name` after its escapes are resolved: `mod\u0065l` is "model". `name`
// is ASCII without anything that has a short escape (quotes, slashes, control bytes), so that a key
// of another length can only be it with escapes of six bytes.
static inline bool json_key_is(struct span raw_key, struct span name)
{
    if (raw_key.len == name.len)
        return span_eq_name(raw_key, name);
    return raw_key.len >= name.len + 5 && (raw_key.len - name.len) % 5 == 0 &&
           json_key_is_escaped(raw_key, name);
}

// The first member of `object` called `name`, JK_NONE if there is none.
struct json_slice json_get(struct json_slice object, struct span name);
// The same along several names, for a path like "usage", "prompt_tokens_details".
struct json_slice json_get_path(struct json_slice object, const struct span *names, size_t count);

// One pass over `object`, which ends when all are found: out[i] becomes what json_get() would say
// of names[i]. A look for each of several names walks over what lies before it, whole containers
// too.
void json_get_all(struct json_slice object, const struct span *names, struct json_slice *out,
                  size_t count);

// For containers that are walked through and no more. Where such a one ends is found on the way,
// and not twice; what is nested deeply would be passed over once for each level otherwise.
//
// The same as json_get(), of which only the kind and json_elements_of() may be asked: the text goes
// on behind the value.
struct json_slice json_get_open(struct json_slice object, struct span name);
// The next element and json_get_all() of it; one that is no object has no members. False at the
// array's end.
bool json_element_get_all(struct json_iter *iter, const struct span *names, struct json_slice *out,
                          size_t count);

// One pass over `object`: out[i] becomes the last member called names[i], JK_NONE if there is
// none. False if the object is not well formed (what was found before is in `out`).
bool json_pick(struct json_slice object, const struct span *names, struct json_slice *out,
               size_t count);

// ----------------------------------------------------------------------------------- scalars

// The raw text between a string's quotes; empty for any other kind.
struct span json_string_raw(struct json_slice string);
// True if the raw text is what the string says: ASCII without an escape.
bool json_string_is_plain(struct json_slice string);
// True if `string` is a string that says `text` once its escapes are resolved.
bool json_string_is(struct json_slice string, struct span text);

// Resolves escapes into `out`, which is always valid UTF-8 afterwards: a lone surrogate or an
// invalid byte becomes U+FFFD. Returns the bytes written; *cut (may be NULL) tells whether the text
// did not fit, in which case it ends at a character's boundary. Other kinds than strings give 0.
size_t json_string_decode(struct json_slice string, char *out, size_t cap, bool *cut);

// Exact integers. A fraction of zeros and a small exponent are fine as long as the value is a whole
// number ("5.0", "1e3"); false for anything else and for what does not fit.
must_use bool json_u64(struct json_slice number, uint64_t *out);
must_use bool json_i64(struct json_slice number, int64_t *out);

#endif
