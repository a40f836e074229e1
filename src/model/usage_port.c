#include "penstock/model/usage_port.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"

#include <stdatomic.h>

void usage_port_init(struct usage_port *port, struct usage_slot *slots, uint32_t slot_count,
                     struct usage_summary *spill)
{
    assert(((uintptr_t)slots & (CACHE_LINE - 1)) == 0);
    memset(port, 0, sizeof(*port));
    spsc_init_over(&port->ring, slots, slot_count, sizeof(struct usage_slot));
    port->spill = spill;
}

void usage_port_on_wake(struct usage_port *port, usage_wake_fn *wake, void *arg)
{
    port->wake = wake;
    port->wake_arg = arg;
}

// The next slot, to be filled; NULL: the ring is full. The fence keeps the bytes behind the zero
// and the release keeps them before the new stamp, so a process killed anywhere leaves either a
// whole slot or an unstamped one.
static struct usage_slot *slot_open(struct usage_port *port)
{
    struct usage_slot *slot = spsc_place(&port->ring);
    if (slot == NULL)
        return NULL;
    atomic_store_explicit(&slot->stamp, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return slot;
}

static void slot_close(struct usage_port *port, struct usage_slot *slot, uint64_t flag)
{
    atomic_store_explicit(&slot->stamp, (port->sequence + 1) | flag, memory_order_release);
    port->sequence++;
    spsc_push(&port->ring);
    port->pushed = true;
}

static bool spill_matches(const struct usage_summary *row, const struct usage_summary *want)
{
    return row->key_id == want->key_id && row->account_id == want->account_id &&
           row->model_id == want->model_id && row->bucket == want->bucket &&
           row->format == want->format && row->kind == want->kind;
}

// The row for `want`, a new one if fewer than `limit` are in use, or NULL.
static struct usage_summary *spill_find(struct usage_port *port, const struct usage_summary *want,
                                        uint32_t limit)
{
    for (uint32_t i = 0; i < port->spill_count; i++)
        if (spill_matches(&port->spill[i], want))
            return &port->spill[i];
    if (port->spill_count >= limit)
        return NULL;
    struct usage_summary *row = &port->spill[port->spill_count++];
    *row = *want;
    memset(&row->sums, 0, sizeof(row->sums));
    return row;
}

// Adds the record to the spill: under its own names as long as a quarter of the table lasts, else
// under its key alone, else under nothing but its bucket; and when even the bucket is new, to the
// last row there is. The money stays.
static void spill_add(struct usage_port *port, const struct usage_record *record)
{
    struct usage_summary want = {
        .key_id = record->key_id,
        .account_id = record->account_id,
        .model_id = record->model_id,
        .bucket = usage_bucket(usage_settled_ns(record)),
        .format = record->format,
        .kind = record->kind,
        .model_len = record->model_len,
    };
    memcpy(want.model, record->model, record->model_len);
    struct usage_sums sums;
    usage_sums_of(record, &sums);
    struct usage_summary *row = spill_find(port, &want, USAGE_SPILL_MAX / 4);
    if (row == NULL) {
        want.account_id = want.model_id = 0;
        want.model_len = want.format = 0;
        row = spill_find(port, &want, USAGE_SPILL_MAX - 2);
    }
    if (row == NULL) {
        want.key_id = 0;
        row = spill_find(port, &want, USAGE_SPILL_MAX);
    }
    if (row == NULL)
        row = &port->spill[USAGE_SPILL_MAX - 1];
    usage_sums_add(&row->sums, &sums);
}

static void spill_move(struct usage_port *port)
{
    while (port->spill_count > 0) {
        struct usage_slot *slot = slot_open(port);
        if (slot == NULL)
            return;
        slot->summary = port->spill[--port->spill_count];
        slot_close(port, slot, USAGE_STAMP_SUMMARY);
    }
}

static void bound(struct usage_record *record)
{
    if (GUARD(USAGE_CLAMP))
        usage_record_clamp(record);
}

bool usage_port_push(struct usage_port *port, const struct usage_record *record)
{
    if (unlikely(port->spill_count > 0))
        spill_move(port);
    struct usage_slot *slot = slot_open(port);
    if (unlikely(slot == NULL)) {
        struct usage_record bounded = *record;
        bound(&bounded);
        spill_add(port, &bounded);
        atomic_fetch_add_explicit(&port->folded_count, 1, memory_order_relaxed);
        return false;
    }
    slot->record = *record;
    bound(&slot->record);
    slot_close(port, slot, 0);
    return true;
}

void usage_port_kick(struct usage_port *port)
{
    if (unlikely(port->spill_count > 0))
        spill_move(port);
    if (!port->pushed)
        return;
    port->pushed = false;
    // Both sides exchange the same word: if this one comes second it sees the 1 and wakes; if it
    // comes first, the consumer's exchange sees everything pushed before it.
    if (atomic_exchange_explicit(&port->asleep, 0, memory_order_acq_rel) != 0)
        port->wake(port->wake_arg);
}

const struct usage_slot *usage_port_peek(struct usage_port *port, uint32_t index)
{
    return spsc_peek(&port->ring, index);
}

void usage_port_release(struct usage_port *port, uint32_t count)
{
    spsc_pop_many(&port->ring, count);
}

void usage_port_arm(struct usage_port *port)
{
    atomic_exchange_explicit(&port->asleep, 1, memory_order_acq_rel);
}

uint64_t usage_slot_stamp(const struct usage_slot *slot)
{
    // The cast only takes the const away that atomic loads of C17 do not accept everywhere.
    return atomic_load_explicit((_Atomic uint64_t *)&slot->stamp, memory_order_acquire);
}
