#include "penstock/convert/serial.h"

void serial_init(struct serial *serial, const struct arena_source *chunks, uint64_t kept_max,
                 delta_sink *emit, void *ctx)
{
    *serial = (struct serial){ .emit = emit, .ctx = ctx };
    completion_init(&serial->queue, chunks, kept_max);
}

void serial_fini(struct serial *serial)
{
    completion_fini(&serial->queue);
}

// Lets go what waits, up to and with a call that is still open.
static void drain(struct serial *serial)
{
    struct item *item;
    while (!serial->is_open && (item = completion_pop(&serial->queue)) != NULL) {
        item_play(item, serial->emit, serial->ctx);
        serial->is_open = item->kind == ITEM_CALL && !item->complete;
        serial->call = item->call;
    }
}

void serial_put(struct serial *serial, const struct delta *delta)
{
    if (delta->kind == DELTA_FINISH) {
        do {
            serial->is_open = false;
            drain(serial);
        } while (serial->is_open);
        serial->emit(serial->ctx, delta);
        return;
    }
    bool own =
        delta->call == serial->call && (delta->kind == DELTA_ARGS || delta->kind == DELTA_CALL_END);
    if (serial->is_open && !own) {
        completion_collect(&serial->queue, delta);
        return;
    }
    serial->emit(serial->ctx, delta);
    if (delta->kind == DELTA_CALL) {
        serial->is_open = true;
        serial->call = delta->call;
    } else if (delta->kind == DELTA_CALL_END) {
        serial->is_open = false;
        drain(serial);
    }
}
