// access_port.h - the way of one request's facts from its shard to the log: a ring that never
// blocks, with a wake-up for a reader that sleeps.
//
// When the reader falls behind, records are dropped and counted; usage is not affected, it goes its
// own way.
#ifndef PENSTOCK_MODEL_ACCESS_PORT_H
#define PENSTOCK_MODEL_ACCESS_PORT_H

#include "penstock/base/counter.h"
#include "penstock/base/spsc.h"
#include "penstock/codec/trace.h"
#include "penstock/model/usage_record.h"

enum { ACCESS_ID_LEN = 26, ACCESS_SLOTS = 4096 };

struct access_record {
    struct usage_record usage;
    char id[ACCESS_ID_LEN]; // what x-request-id told the client
    uint8_t op;             // enum wire_op
    uint8_t stage;          // enum figures_stage, where it failed
    uint16_t vendor_status; // 0: no vendor was asked, or none answered
    uint8_t client_family;  // 4 or 6; 0: not known
    uint8_t vendor_model_len;
    uint8_t client[16];                 // its address
    char vendor_model[USAGE_MODEL_MAX]; // where the vendor has another name for it
    char unused[2];
    uint32_t overhead_us;   // that the request was in the gateway's hands
    struct trace_ids trace; // zeros: the client told none
};

struct access_port {
    struct spsc ring;
    // The reader sets it before it sleeps; the writer that clears it wakes the reader.
    _Alignas(CACHE_LINE) _Atomic uint32_t asleep;
    _Alignas(CACHE_LINE) void (*wake)(void *arg);
    void *wake_arg;
    uint32_t pushed; // since the last kick
    struct counter dropped;
};

must_use struct err access_port_init(struct access_port *port, void (*wake)(void *arg), void *arg);
void access_port_fini(struct access_port *port);

// Writer: a place for one record, NULL (and counted) when the ring is full; then push. The record
// may be changed until the next kick.
must_use struct access_record *access_port_place(struct access_port *port);
void access_port_push(struct access_port *port);
// Writer, at the end of a turn: shows what was pushed to the reader, and wakes it if it sleeps.
void access_port_kick(struct access_port *port);

// Reader: the oldest record, or NULL; access_port_pop() gives its place back.
must_use const struct access_record *access_port_front(struct access_port *port);
void access_port_pop(struct access_port *port);
// Reader: from here on the next kick wakes. False: something came meanwhile, look again.
must_use bool access_port_sleep(struct access_port *port);

#endif
