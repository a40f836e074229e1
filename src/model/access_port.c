#include "penstock/model/access_port.h"

_Static_assert(sizeof(struct access_record) % 8 == 0, "records of a ring are aligned");

struct err access_port_init(struct access_port *port, void (*wake)(void *arg), void *arg)
{
    memset(port, 0, sizeof(*port));
    port->wake = wake;
    port->wake_arg = arg;
    atomic_store_explicit(&port->asleep, 1, memory_order_relaxed);
    return spsc_init(&port->ring, ACCESS_SLOTS, sizeof(struct access_record));
}

void access_port_fini(struct access_port *port)
{
    spsc_fini(&port->ring);
}

struct access_record *access_port_place(struct access_port *port)
{
    struct access_record *record = spsc_place_at(&port->ring, port->pushed);
    if (record == NULL)
        counter_add(&port->dropped, 1);
    return record;
}

void access_port_push(struct access_port *port)
{
    port->pushed++;
}

void access_port_kick(struct access_port *port)
{
    if (port->pushed == 0)
        return;
    spsc_push_many(&port->ring, port->pushed);
    port->pushed = 0;
    // Against the reader's order, which is the other way round: it says that it sleeps, then looks.
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&port->asleep, memory_order_relaxed) != 0 &&
        atomic_exchange_explicit(&port->asleep, 0, memory_order_acq_rel) != 0)
        port->wake(port->wake_arg);
}

const struct access_record *access_port_front(struct access_port *port)
{
    return spsc_front(&port->ring);
}

void access_port_pop(struct access_port *port)
{
    spsc_pop(&port->ring);
}

bool access_port_sleep(struct access_port *port)
{
    atomic_store_explicit(&port->asleep, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    return spsc_front(&port->ring) == NULL;
}
