// Wakes of rings, from themselves, from each other and from threads without a ring.
#include "uring_rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static void count_wake(void *arg)
{
    (*(unsigned *)arg)++;
}

static void test_a_burst_of_wakes_is_one(void)
{
    for (size_t v = 0; v < ARRAY_LEN(variants); v++) {
        struct rig rig, other;
        unsigned wakes = 0;
        rig_open(&rig, &variants[v], (struct io_config){ 0 });
        rig_open(&other, &variants[v], (struct io_config){ 0 });
        io_on_wake(rig.io, count_wake, &wakes);
        struct io *from[] = { NULL, rig.io, other.io };
        for (unsigned i = 0; i < ARRAY_LEN(from); i++) {
            for (int j = 0; j < 1000; j++)
                io_wake(rig.io, from[i]);
            EXPECT_EQ(wakes, i); // not before a turn
            uint64_t start = now(&rig);
            io_turn(other.io, 0); // hands over the message
            io_turn(rig.io, start + 5 * NS_PER_S);
            EXPECT(now(&rig) - start < 4 * NS_PER_S);
            EXPECT_EQ(wakes, i + 1);
            io_turn(rig.io, now(&rig) + 5 * NS_PER_MS);
            EXPECT_EQ(wakes, i + 1);
        }
        rig_close(&other);
        rig_close(&rig);
    }
}

// Two threads with a ring each play ping-pong; a third, without one, pushes both.
enum { ROUNDS = 3000, PUSHES = 300 };

struct player {
    pthread_t thread;
    const struct variant *variant;
    struct player *other;
    struct io *_Atomic io;
    unsigned mail; // from the other
    unsigned push; // from the third
    unsigned got, pushed, on_wakes;
    bool serves;
    pthread_barrier_t *over; // nobody wakes anybody after it
};

static void player_wake(void *arg)
{
    struct player *player = arg;
    player->on_wakes++;
    unsigned mail = __atomic_load_n(&player->mail, __ATOMIC_ACQUIRE);
    player->pushed = __atomic_load_n(&player->push, __ATOMIC_ACQUIRE);
    if (mail != player->got && mail < ROUNDS) {
        __atomic_store_n(&player->other->mail, player->serves ? mail + 1 : mail, __ATOMIC_RELEASE);
        io_wake(player->other->io, player->io);
    }
    player->got = mail;
}

static void *player_run(void *arg)
{
    struct player *player = arg;
    struct rig rig;
    rig_open(&rig, player->variant, (struct io_config){ 0 });
    io_on_wake(rig.io, player_wake, player);
    player->io = rig.io;
    while (player->other->io == NULL)
        usleep(100);
    if (player->serves) {
        __atomic_store_n(&player->other->mail, 1, __ATOMIC_RELEASE);
        io_wake(player->other->io, rig.io);
    }
    uint64_t end = now(&rig) + WAIT_MS_MAX * NS_PER_MS;
    while ((player->got < ROUNDS - 1 || player->pushed < PUSHES) && now(&rig) < end)
        io_turn(rig.io, end);
    io_turn(rig.io, 0); // hands over the last wake
    pthread_barrier_wait(player->over);
    rig_close(&rig);
    return NULL;
}

static void test_rings_wake_each_other(void)
{
    for (size_t v = 0; v < ARRAY_LEN(variants); v++) {
        pthread_barrier_t over;
        verify(pthread_barrier_init(&over, NULL, 3) == 0);
        struct player one = { .variant = &variants[v], .over = &over, .serves = true };
        struct player two = { .variant = &variants[v], .over = &over, .other = &one };
        one.other = &two;
        verify(pthread_create(&one.thread, NULL, player_run, &one) == 0);
        verify(pthread_create(&two.thread, NULL, player_run, &two) == 0);
        while (one.io == NULL || two.io == NULL)
            usleep(100);
        for (unsigned i = 1; i <= PUSHES; i++) {
            __atomic_store_n(&one.push, i, __ATOMIC_RELEASE);
            io_wake(one.io, NULL);
            __atomic_store_n(&two.push, i, __ATOMIC_RELEASE);
            io_wake(two.io, NULL);
            usleep(10);
        }
        pthread_barrier_wait(&over);
        verify(pthread_join(one.thread, NULL) == 0);
        verify(pthread_join(two.thread, NULL) == 0);
        verify(pthread_barrier_destroy(&over) == 0);
        EXPECT(one.got >= ROUNDS - 1 && two.got >= ROUNDS - 1);
        EXPECT_EQ(one.pushed, PUSHES);
        EXPECT_EQ(two.pushed, PUSHES);
        EXPECT(one.on_wakes <= ROUNDS + PUSHES && two.on_wakes <= ROUNDS + PUSHES);
    }
}

TEST_MAIN(TEST(test_a_burst_of_wakes_is_one), TEST(test_rings_wake_each_other))
