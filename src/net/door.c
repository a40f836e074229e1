#include "penstock/net/door.h"

#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "penstock/base/region.h"

// The difference that counts as clear: passing on costs a wake of another core.
enum { LESS_BY = 4, LESS_BY_SHARE = 8 };

struct err doors_new(struct doors **out, uint32_t count)
{
    *out = pages_take(sizeof(struct doors) + count * sizeof(struct door));
    if (*out == NULL)
        return ERR(NO_MEMORY);
    (*out)->count = count;
    return OK;
}

void doors_free(struct doors **doors)
{
    if (*doors != NULL)
        pages_give(*doors, sizeof(struct doors) + (*doors)->count * sizeof(struct door));
    *doors = NULL;
}

void door_open(struct door *door, struct io *io)
{
    door->io = io;
    atomic_store(&door->is_open, true);
}

// Who came before sees it open and is counted in `others`; who comes later sees it closed.
void door_close(struct door *door)
{
    atomic_store(&door->is_open, false);
}

static uint32_t load_of(struct door *door)
{
    return atomic_load_explicit(&door->load, memory_order_relaxed) +
           atomic_load_explicit(&door->coming, memory_order_relaxed);
}

// The open one with the least to do, apart from `own`; NULL: there is none.
static struct door *least(struct doors *doors, uint32_t own, uint32_t *load)
{
    struct door *found = NULL;
    for (uint32_t i = 0; i < doors->count; i++) {
        struct door *door = &doors->door[i];
        if (i == own || !atomic_load_explicit(&door->is_open, memory_order_relaxed))
            continue;
        const uint32_t has = load_of(door);
        if (found != NULL && has >= *load)
            continue;
        found = door;
        *load = has;
    }
    return found;
}

// As many places are taken as `coming` was counted up before, so one is free.
static void put_in(struct door *door, uint64_t word)
{
    for (uint32_t i = 0;; i = (i + 1) % DOOR_PLACES) {
        uint64_t empty = 0;
        if (atomic_compare_exchange_strong_explicit(&door->places[i], &empty, word,
                                                    memory_order_release, memory_order_relaxed))
            return;
    }
}

// Only while this thread is counted in `others`: the io is there as long.
static bool enter(struct door *door, struct io *from, uint32_t listener, int fd)
{
    if (!atomic_load(&door->is_open) || io_backend(door->io) != io_backend(from))
        return false;
    if (atomic_fetch_add(&door->coming, 1) >= DOOR_PLACES) {
        atomic_fetch_sub(&door->coming, 1);
        return false;
    }
    io_release(from, fd);
    put_in(door, (uint64_t)listener << 32 | ((uint32_t)fd + 1));
    io_wake(door->io, NULL); // at once: a ring's message leaves when the other may be gone
    return true;
}

bool doors_pass(struct doors *doors, uint32_t own, uint32_t cap, uint32_t listener, int fd)
{
    assert(own < doors->count);
    assert(fd >= 0);
    uint32_t load = 0;
    struct door *mine = &doors->door[own], *door = least(doors, own, &load);
    const bool clear = load_of(mine) > load + LESS_BY + load / LESS_BY_SHARE;
    if (door == NULL || !(clear || load < cap) || !GUARD(DOOR_PASS))
        return false;
    atomic_fetch_add(&door->others, 1);
    const bool passed = enter(door, mine->io, listener, fd);
    atomic_fetch_sub(&door->others, 1);
    return passed;
}

bool door_take(struct door *door, uint32_t *listener, int *fd)
{
    if (!door_has_any(door))
        return false;
    for (uint32_t i = 0; i < DOOR_PLACES; i++) {
        if (atomic_load_explicit(&door->places[i], memory_order_relaxed) == 0)
            continue;
        const uint64_t word = atomic_exchange_explicit(&door->places[i], 0, memory_order_acquire);
        *listener = (uint32_t)(word >> 32);
        *fd = (int)(uint32_t)word - 1;
        return true;
    }
    return false; // it is just being put in; its wake follows
}

void door_taken(struct door *door)
{
    atomic_fetch_sub(&door->coming, 1);
}
