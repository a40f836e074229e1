// ids.h - ids, names and signatures on their way between formats.
//
// Whatever is made here depends only on what went in, so that a conversation's later turns, in
// another process, find the same ids and the same bytes (C-026, C-135).
#ifndef PENSTOCK_CONVERT_IDS_H
#define PENSTOCK_CONVERT_IDS_H

#include "penstock/convert/delta.h"
#include "penstock/convert/keep.h"
#include "penstock/convert/scratch.h"
#include "penstock/convert/sink.h"
#include "penstock/wire/route.h"

enum {
    CALL_ID_MAX = 64,
    TOOL_NAME_MAX = 64,
    ALIAS_KEEP = 55, // bytes of what is too long or not legal that stay, before the hash
};

// A call's id as a vendor or client of the family takes it: as it is if that is legal, else cleaned
// and marked by a hash of the original. Without one: made from `random` and the call's number, the
// same each time.
void id_put_call(struct sink *out, struct words id, enum wire_family to, uint64_t random,
                 uint32_t call);

// The id of an answer in the client's form, from the vendor's.
void id_put_answer(struct sink *out, struct span vendor_id, enum wire_family to, uint64_t random);

// `count` characters of [A-Za-z0-9] that follow from the seed and the number.
void id_put_random(struct sink *out, uint64_t seed, uint64_t number, unsigned count);

// Thirty-two digits that stand for a person's id, which is nobody else's business (C-114).
void id_put_hash(struct sink *out, struct words id);

// True if the family takes this as a tool's name; else its alias is what name_put() writes.
bool name_is_legal(struct words name, enum wire_family to);
void name_put(struct sink *out, struct words name, enum wire_family to);

// ----------------------------------------------------------------------------------- envelopes
//
// A signature that the client's format can carry only as an opaque text:
// "pst1.<maker>.<payload>.<mac>", see the conversion rules, 3.5 and C-150.

#define ENVELOPE_PREFIX "pst1."
#define ENVELOPE_BASE64 "cHN0MS5" // how it looks in Gemini's places, which are base64

enum envelope_kind { ENVELOPE_THOUGHT, ENVELOPE_REDACTED, ENVELOPE_CALL };

enum { ENVELOPE_KEY_BYTES = 32, ENVELOPE_MAC_BYTES = 12 };

// Writes a signature as the contents of a JSON string, for a client whose own format is `native`'s:
// its own vendor's as it is, any other in an envelope. One without a text says in an envelope only
// who made the thought.
void envelope_put(struct sink *out, const struct signature *signature, enum maker native,
                  const struct answer_facts *facts, enum envelope_kind kind);

// The same with the text that was signed, `text` and behind it `rope` (which may be NULL), for
// clients that would give back the signature alone.
void envelope_put_with(struct sink *out, const struct signature *signature, enum maker native,
                       const struct answer_facts *facts, enum envelope_kind kind, struct words text,
                       const struct rope *rope);

// What a client sent back in a place where `native`'s signatures stand: a signature of another's,
// or a native one as it is. One that another account than `account` gave comes without its text and
// its maker: nobody else takes it, but the thought may still be told. False: an envelope that is
// not ours, or was changed, or too little memory: nothing that may go to a vendor.
must_use bool envelope_read(struct words text, enum maker native, const uint8_t *key,
                            uint64_t account, struct scratch *scratch, struct signature *out,
                            enum envelope_kind *kind);

#endif
