// usage_port.h - the way of a usage record from one shard to the store: a ring that never blocks,
// never allocates and never loses money.
//
// The ring's slots lie in memory that the store provides, as a rule a mapping that outlives the
// process: each slot is stamped with its sequence number after it was filled, so that the next
// start finds what a killed process had not committed. The store reads slots in place and gives
// them back once they are durable. While the ring is full, a record's detail is given up and its
// sums are kept in a small table on the shard's side (the spill), which enters the ring as summary
// slots as soon as there is room.
#ifndef PENSTOCK_MODEL_USAGE_PORT_H
#define PENSTOCK_MODEL_USAGE_PORT_H

#include "penstock/base/spsc.h"
#include "penstock/model/usage_record.h"

enum { USAGE_SPILL_MAX = 256 };
#define USAGE_STAMP_SUMMARY (UINT64_C(1) << 63)

struct usage_slot {
    // Sequence + 1, with USAGE_STAMP_SUMMARY if it holds a summary; 0 while it is being written.
    _Atomic uint64_t stamp;
    union {
        struct usage_record record;
        struct usage_summary summary;
    };
};
_Static_assert(sizeof(struct usage_slot) == 4 * CACHE_LINE, "no slot shares a line");

// `hurry`: the ring fills up, so the consumer should not only know that there is something.
typedef void usage_wake_fn(void *arg, bool hurry);

struct usage_port {
    struct spsc ring;
    // The consumer sets it before it sleeps; the producer that clears it wakes the consumer.
    _Alignas(CACHE_LINE) _Atomic uint32_t asleep;
    // The producer's side.
    _Alignas(CACHE_LINE) uint64_t sequence; // of the next slot
    usage_wake_fn *wake;
    void *wake_arg;
    bool pushed;  // since the last kick
    bool hurried; // since the ring was last less than half full
    uint32_t spill_count;
    _Atomic uint64_t folded_count; // records that lost their detail; read by any thread
    struct usage_summary *spill;   // of USAGE_SPILL_MAX
};

// `slots` (a power of two of them) and `spill` (USAGE_SPILL_MAX) are zeroed memory that outlives
// the port.
void usage_port_init(struct usage_port *port, struct usage_slot *slots, uint32_t slot_count,
                     struct usage_summary *spill);
// Who is woken by usage_port_kick(); set before the producer's thread starts.
void usage_port_on_wake(struct usage_port *port, usage_wake_fn *wake, void *arg);

// Producer: hands over one record, clamped to its bounds. Returns false when only its sums could be
// kept.
bool usage_port_push(struct usage_port *port, const struct usage_record *record);
// Producer, once at the end of a turn: wakes the consumer if something was pushed and it sleeps,
// and hurries it once when the ring becomes half full. Moves the spill when there is room.
void usage_port_kick(struct usage_port *port);

// Consumer: the slot `index` behind the oldest, or NULL. usage_slot_sequence() and
// usage_slot_is_summary() tell what it is.
must_use const struct usage_slot *usage_port_peek(struct usage_port *port, uint32_t index);
// Consumer: gives the oldest `count` slots back.
void usage_port_release(struct usage_port *port, uint32_t count);
static inline uint32_t usage_port_waiting(struct usage_port *port)
{
    return spsc_count(&port->ring);
}
// Consumer: from here on the next kick wakes. Whoever calls it looks at the ring once more before
// it sleeps.
void usage_port_arm(struct usage_port *port);

uint64_t usage_slot_stamp(const struct usage_slot *slot);
static inline uint64_t usage_slot_sequence(const struct usage_slot *slot)
{
    return (usage_slot_stamp(slot) & ~USAGE_STAMP_SUMMARY) - 1;
}
static inline bool usage_slot_is_summary(const struct usage_slot *slot)
{
    return (usage_slot_stamp(slot) & USAGE_STAMP_SUMMARY) != 0;
}

#endif
