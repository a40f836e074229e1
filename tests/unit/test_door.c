// Connections on their way between threads: who gets them, and that none is lost when a door is
// closed.
#include "penstock/net/door.h"

#include "test.h"

#include <pthread.h>

static struct io *new_io(void)
{
    struct io *io;
    char why[256];
    const struct io_config config = { .backend = IO_BACKEND_EPOLL,
                                      .bufs_small = 16,
                                      .bufs_large = 4 };
    verify(!failed(io_new(&io, &config, env_system(), why, sizeof(why))));
    return io;
}

static struct doors *new_doors(uint32_t count, struct io *io)
{
    struct doors *doors;
    verify(!failed(doors_new(&doors, count)));
    for (uint32_t i = 0; i < count; i++)
        door_open(&doors->door[i], io);
    return doors;
}

enum { FD = 900 }; // never looked at

static void who_has_clearly_less_to_do_gets_it(void)
{
    struct io *io = new_io();
    struct doors *doors = new_doors(3, io);
    uint32_t listener;
    int fd;
    door_load(&doors->door[0], 4);
    EXPECT(!doors_pass(doors, 0, 0, 1, FD)); // not clearly
    door_load(&doors->door[0], 8);
    door_load(&doors->door[1], 2);
    EXPECT(doors_pass(doors, 0, 0, 7, FD));
    EXPECT(!door_take(&doors->door[0], &listener, &fd));
    EXPECT(!door_take(&doors->door[1], &listener, &fd));
    EXPECT(door_take(&doors->door[2], &listener, &fd));
    EXPECT_EQ(listener, 7);
    EXPECT_EQ(fd, FD);
    EXPECT(door_has_any(&doors->door[2])); // until it is counted otherwise
    door_taken(&doors->door[2]);
    EXPECT(!door_take(&doors->door[2], &listener, &fd));

    // With many, the difference has to be larger.
    door_load(&doors->door[0], 800 - 12);
    door_load(&doors->door[1], 794 - 2);
    door_load(&doors->door[2], 790);
    EXPECT(!doors_pass(doors, 0, 0, 0, FD));
    // But who is full passes on whatever finds a place.
    EXPECT(!doors_pass(doors, 0, 790, 0, FD));
    EXPECT(doors_pass(doors, 0, 800, 0, FD));
    EXPECT(door_take(&doors->door[2], &listener, &fd));
    door_taken(&doors->door[2]);
    EXPECT(!doors_pass(doors, 2, 794, 0, FD));
    doors_free(&doors);
    io_free(&io);
}

static void what_waits_at_a_door_counts(void)
{
    struct io *io = new_io();
    struct doors *doors = new_doors(2, io);
    uint32_t listener, passed = 0;
    int fd;
    door_load(&doors->door[0], 20);
    while (doors_pass(doors, 0, 0, 0, FD + (int)passed))
        passed++;
    EXPECT_EQ(passed, 15); // 20 are not more than 15 and a share of them
    for (uint32_t i = 0; i < passed; i++) {
        EXPECT(door_take(&doors->door[1], &listener, &fd));
        door_taken(&doors->door[1]);
    }
    EXPECT(!door_take(&doors->door[1], &listener, &fd));

    door_load(&doors->door[0], 1000);
    for (passed = 0; doors_pass(doors, 0, 0, 0, FD); passed++)
        ;
    EXPECT_EQ(passed, DOOR_PLACES); // no more than there is room for
    doors_free(&doors);
    io_free(&io);
}

static void a_closed_door_gets_nothing(void)
{
    struct io *io = new_io();
    struct doors *doors = new_doors(2, io);
    uint32_t listener;
    int fd;
    door_load(&doors->door[0], 100);
    EXPECT(doors_pass(doors, 0, 0, 0, FD));
    door_close(&doors->door[1]);
    EXPECT(!doors_pass(doors, 0, 0, 0, FD));
    EXPECT(!door_is_quiet(&doors->door[1])); // what came before is still to be taken
    EXPECT(door_take(&doors->door[1], &listener, &fd));
    door_taken(&doors->door[1]);
    EXPECT(door_is_quiet(&doors->door[1]));
    doors_free(&doors);
    io_free(&io);
}

enum { SENDERS = 3, ROUNDS = 3000 };
static struct doors *raced;
static _Atomic uint64_t sent_sum, sent_count, turned;

static void *sender(void *arg)
{
    const uint32_t own = (uint32_t)(uintptr_t)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        const uint32_t number = own * ROUNDS + i;
        if (doors_pass(raced, own, UINT32_MAX, number, FD)) {
            atomic_fetch_add(&sent_sum, number);
            atomic_fetch_add(&sent_count, 1);
        }
    }
    atomic_fetch_add(&turned, 1);
    return NULL;
}

// Three threads pass on to a fourth, which closes its door in the middle of it, ends, and takes its
// io with it: everything that was passed on arrives, once, and nobody touches the io afterwards.
static void nothing_is_lost_when_a_door_closes(void)
{
    struct io *ios[SENDERS + 1];
    verify(!failed(doors_new(&raced, SENDERS + 1)));
    for (uint32_t i = 0; i <= SENDERS; i++) {
        ios[i] = new_io();
        raced->door[i].io = ios[i]; // only the last is open
        door_load(&raced->door[i], i < SENDERS ? 1000 : 0);
    }
    struct door *door = &raced->door[SENDERS];
    door_open(door, ios[SENDERS]);
    pthread_t threads[SENDERS];
    for (uint32_t i = 0; i < SENDERS; i++)
        verify(pthread_create(&threads[i], NULL, sender, (void *)(uintptr_t)i) == 0);
    uint64_t sum = 0, count = 0;
    for (bool open = true; open || !door_is_quiet(door);) {
        uint32_t listener;
        int fd;
        io_turn(ios[SENDERS], env_mono_ns(env_system()) + NS_PER_MS);
        while (door_take(door, &listener, &fd)) {
            EXPECT_EQ(fd, FD);
            door_taken(door);
            sum += listener;
            count++;
        }
        if (open && (count > ROUNDS || atomic_load(&turned) == SENDERS)) {
            door_close(door);
            open = false;
        }
    }
    io_free(&ios[SENDERS]);
    for (uint32_t i = 0; i < SENDERS; i++)
        verify(pthread_join(threads[i], NULL) == 0);
    EXPECT(count > 0);
    EXPECT_EQ(count, atomic_load(&sent_count));
    EXPECT_EQ(sum, atomic_load(&sent_sum));
    for (uint32_t i = 0; i < SENDERS; i++)
        io_free(&ios[i]);
    doors_free(&raced);
}

TEST_MAIN(TEST(who_has_clearly_less_to_do_gets_it), TEST(what_waits_at_a_door_counts),
          TEST(a_closed_door_gets_nothing), TEST(nothing_is_lost_when_a_door_closes))
