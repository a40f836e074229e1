// reply.h - what the gateway itself says to a client, in the client's own format: errors before and
// inside an answer, and bytes that only keep a connection alive.
#ifndef PENSTOCK_WIRE_REPLY_H
#define PENSTOCK_WIRE_REPLY_H

#include "penstock/base/put.h"
#include "penstock/wire/fault.h"
#include "penstock/wire/route.h"

enum {
    WIRE_ERROR_MAX = 12 * KIB,    // bytes of any error body or event; more room is never needed
    WIRE_MESSAGE_MAX = 1100,      // of a message in it, before escaping; the rest is cut off
    WIRE_RETRY_OBEYED_MS = 60000, // SDKs that are told to wait longer do what they like
};

struct wire_error {
    enum fault fault;
    int status;                    // of the answer; 0: the fault's own
    struct span message;           // for the client
    struct span detail;            // more about it, or empty
    struct span type, code, param; // said instead of the fault's own words unless empty
    struct span request_id;
    uint64_t retry_ms; // when to try again, 0: not known
    bool hopeless;     // trying again cannot help
};

// From an error of our own. `detail` may be empty.
struct wire_error wire_error_of(struct err err, struct span detail);
// From a vendor's. `same_format`: the vendor speaks the client's format, so its own type, code and
// param are passed on where the fault is in the request. What is wrong with our account is not the
// client's to read.
struct wire_error wire_error_of_note(const struct fault_note *note, bool same_format);

int wire_error_status(enum wire_family family, const struct wire_error *error);

// The body of an answer with that status. Returns its length.
size_t wire_error_body(enum wire_family family, const struct wire_error *error,
                       char out[WIRE_ERROR_MAX]);

// The fields of the answer's head about trying again; none where nothing is known.
void wire_error_fields(enum wire_family family, const struct wire_error *error, struct put *out);

// Where an event stream stood when it failed; only Responses needs it. Zero is fine.
struct wire_place {
    struct span response_id, model; // as the client saw them
    uint64_t next_sequence;
};

// The bytes that end a stream whose head has been sent. Returns their length. The stream has to end
// between two events.
size_t wire_error_event(enum wire_family family, const struct wire_error *error,
                        const struct wire_place *place, char out[WIRE_ERROR_MAX]);

// Bytes that a client of this format passes over, between two events of a stream.
struct span wire_keepalive(enum wire_family family);

#endif
