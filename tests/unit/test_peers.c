// Connections are counted by address, under races too.
#include "penstock/net/peers.h"

#include "test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>

static struct peer peer_v4(uint32_t host)
{
    const struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(host) } };
    return peer_of((const struct sockaddr *)&addr);
}

static struct peer peer_v6(const char *text)
{
    struct sockaddr_in6 addr = { .sin6_family = AF_INET6 };
    EXPECT_EQ(inet_pton(AF_INET6, text, &addr.sin6_addr), 1);
    return peer_of((const struct sockaddr *)&addr);
}

static struct peers *new_peers(uint32_t count_max)
{
    struct peers *peers;
    EXPECT(!failed(peers_new(&peers, env_system(), count_max)));
    return peers;
}

static void addresses_have_a_text(void)
{
    char text[PEER_TEXT_MAX];
    struct peer peer = peer_v4(0xc0000201);
    EXPECT_SPAN(span_of(text, peer_text(&peer, text)), "192.0.2.1");
    peer = peer_v6("2001:db8::1");
    EXPECT_SPAN(span_of(text, peer_text(&peer, text)), "2001:db8::1");
    peer = peer_v6("::ffff:192.0.2.7"); // the same client on a listener for both
    EXPECT_SPAN(span_of(text, peer_text(&peer, text)), "192.0.2.7");
    peer = peer_of(&(const struct sockaddr){ .sa_family = AF_UNIX });
    EXPECT_EQ(peer.family, PEER_LOCAL);
    EXPECT_SPAN(span_of(text, peer_text(&peer, text)), "unix");
    peer = peer_of(&(const struct sockaddr){ .sa_family = AF_UNSPEC });
    EXPECT_EQ(peer.family, 0);
    EXPECT_EQ(peer_text(&peer, text), 0);
}

static void an_address_has_its_limit(void)
{
    struct peers *peers = new_peers(100);
    const struct peer one = peer_v4(1), two = peer_v4(2);
    uint32_t rank;
    for (uint32_t i = 1; i <= 3; i++) {
        EXPECT(peers_enter(peers, &one, 3, &rank));
        EXPECT_EQ(rank, i);
    }
    EXPECT(!peers_enter(peers, &one, 3, &rank));
    EXPECT_EQ(peers_count(peers, &one), 3);
    EXPECT(peers_enter(peers, &two, 3, &rank));
    peers_leave(peers, &one);
    EXPECT(peers_enter(peers, &one, 3, &rank));
    EXPECT_EQ(rank, 3);
    EXPECT(!peers_enter(peers, &one, 0, &rank)); // nothing is allowed
    EXPECT_EQ(peers_refused(peers), 0);          // who asked says what became of it
    peers_refuse(peers);
    EXPECT_EQ(peers_refused(peers), 1);
    peers_free(&peers);
}

static void a_network_counts_as_one(void)
{
    struct peers *peers = new_peers(100);
    const struct peer one = peer_v6("2001:db8:0:1::1"), same = peer_v6("2001:db8:0:1:ffff::2");
    const struct peer other = peer_v6("2001:db8:0:2::1");
    uint32_t rank;
    EXPECT(peers_enter(peers, &one, 9, &rank));
    EXPECT(peers_enter(peers, &same, 9, &rank));
    EXPECT_EQ(rank, 2);
    EXPECT_EQ(peers_count(peers, &other), 0);
    peers_free(&peers);
}

// As many addresses as the table was made for: none is taken for another, and none stays behind.
static void many_addresses_are_told_apart(void)
{
    enum { COUNT = 20000 };
    struct peers *peers = new_peers(COUNT);
    static bool counted[COUNT];
    uint32_t uncounted = 0, wrong = 0, rank;
    for (uint32_t i = 0; i < COUNT; i++) {
        const struct peer peer = peer_v4(0x0a000000 + i);
        wrong += !peers_enter(peers, &peer, 1, &rank);
        counted[i] = rank > 0;
        uncounted += !counted[i];
    }
    EXPECT_EQ(wrong, 0);
    EXPECT(uncounted < COUNT / 100);
    for (uint32_t i = 0; i < COUNT; i++) {
        const struct peer peer = peer_v4(0x0a000000 + i);
        wrong += counted[i] && peers_enter(peers, &peer, 1, &rank);
        if (counted[i])
            peers_leave(peers, &peer);
        wrong += peers_count(peers, &peer) != 0;
    }
    EXPECT_EQ(wrong, 0);
    peers_free(&peers);
}

enum { RACERS = 4, ROUNDS = 20000, LIMIT = 3, ADDRESSES = 5 };
static struct peers *raced;
static _Atomic uint32_t inside[ADDRESSES], entered[ADDRESSES], passed_over;

static void *racer(void *arg)
{
    const uint32_t first = (uint32_t)(uintptr_t)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        const uint32_t which = (first + i) % ADDRESSES;
        const struct peer peer = peer_v4(which);
        uint32_t rank;
        if (!peers_enter(raced, &peer, LIMIT, &rank))
            continue;
        if (atomic_fetch_add(&inside[which], 1) >= LIMIT)
            atomic_fetch_add(&passed_over, 1);
        atomic_fetch_add(&entered[which], 1);
        atomic_fetch_sub(&inside[which], 1);
        peers_leave(raced, &peer);
    }
    return NULL;
}

static void the_limit_holds_under_races(void)
{
    pthread_t threads[RACERS];
    raced = new_peers(100);
    for (uintptr_t i = 0; i < RACERS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, racer, (void *)i), 0);
    for (int i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQ(atomic_load(&passed_over), 0);
    for (uint32_t i = 0; i < ADDRESSES; i++) {
        const struct peer peer = peer_v4(i);
        EXPECT(atomic_load(&entered[i]) > 0);
        EXPECT_EQ(peers_count(raced, &peer), 0);
    }
    peers_free(&raced);
}

TEST_MAIN(TEST(addresses_have_a_text), TEST(an_address_has_its_limit),
          TEST(a_network_counts_as_one), TEST(many_addresses_are_told_apart),
          TEST(the_limit_holds_under_races))
