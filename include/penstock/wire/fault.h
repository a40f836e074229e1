// fault.h - what went wrong with a call: one class for all vendors and for the gateway itself, and
// how to find it in what a vendor sent.
//
// The class decides three things: whose fault it is (a client's never counts against an account),
// whether another account may do better, and how the client's API says it (faults.def).
#ifndef PENSTOCK_WIRE_FAULT_H
#define PENSTOCK_WIRE_FAULT_H

#include "penstock/base/base.h"
#include "penstock/base/err.h"
#include "penstock/codec/json.h"
#include "penstock/wire/route.h"

enum fault {
    FAULT_NONE,
#define FAULT(id, ...) FAULT_##id,
#include "penstock/wire/faults.def"
#undef FAULT
    FAULT_COUNT
};

enum blame { BLAME_NONE, BLAME_CLIENT, BLAME_ACCOUNT, BLAME_VENDOR, BLAME_GATEWAY };

const char *fault_name(enum fault fault); // "RATE_LIMITED"
enum blame fault_blame(enum fault fault);
enum err_retry fault_retry(enum fault fault);

// The class of an error of our own.
enum fault fault_of_err(struct err err);
// The error of our own that says best what a vendor's fault means for the request.
struct err fault_err(enum fault fault);

// How an API says it.
struct fault_words {
    int status;
    struct span type; // Gemini: the status word
    struct span code; // OpenAI only; empty means null
};
struct fault_words fault_words(enum fault fault, enum wire_family family);

enum {
    NOTE_MESSAGE_MAX = 1024,
    NOTE_TYPE_MAX = 64,
    NOTE_PARAM_MAX = 160,
    NOTE_BODY_MAX = 64 * KIB, // of an error body; what lies behind is not looked at
    NOTE_TEXT_BYTES = 512,    // of a body that is no known JSON
    NOTE_UNWRAP_MAX = 3,      // envelopes inside a message
    NOTE_SECRETS_MAX = 4,
};

// What a vendor said about a failure. Texts are cleaned of secrets and are valid UTF-8.
struct fault_note {
    enum fault fault;
    int status;        // the vendor's HTTP status, 0 inside a stream
    uint64_t retry_ms; // not before this much time has passed, 0 if not told
    bool retry_told;
    bool quota_is_daily; // a quota that comes back with the vendor's day
    uint16_t message_len;
    uint8_t type_len, code_len, param_len;
    char message[NOTE_MESSAGE_MAX];
    char type[NOTE_TYPE_MAX], code[NOTE_TYPE_MAX]; // the vendor's own, any format's
    char param[NOTE_PARAM_MAX];
};

// Secrets that must not come out of a vendor's mouth: the account's key, tokens, host names that
// are nobody's business.
struct secrets {
    struct span list[NOTE_SECRETS_MAX];
    size_t count;
};

// Reads an answer with an error status, in whatever dialect. `body` may be cut, or no JSON at all.
void fault_read(struct fault_note *note, int status, struct span body,
                const struct secrets *secrets);
// Reads an error object from the inside of an answer that began well.
void fault_read_object(struct fault_note *note, struct json_slice object,
                       const struct secrets *secrets);

static inline struct span note_message(const struct fault_note *note)
{
    return span_of(note->message, note->message_len);
}
static inline struct span note_type(const struct fault_note *note)
{
    return span_of(note->type, note->type_len);
}
static inline struct span note_code(const struct fault_note *note)
{
    return span_of(note->code, note->code_len);
}
static inline struct span note_param(const struct fault_note *note)
{
    return span_of(note->param, note->param_len);
}

// Copies `text` without what looks like a credential (sk-..., AIza..., Bearer ..., and the like),
// without the given secrets, and without line ends. Returns the bytes written, at most `cap`; a
// secret is never left in part, wherever the text is cut.
size_t text_clean(struct span text, const struct secrets *secrets, char *out, size_t cap);

// "38.5s", "6m0s", "120ms", "1h2m3s", "2d", "7" (seconds) in milliseconds, rounded up; false for
// anything else.
must_use bool duration_ms(struct span text, uint64_t *out);

#endif
