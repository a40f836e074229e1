// Destinations come and go, and a number that outlives its destination finds nothing.
#include "penstock/net/dest.h"

#include "test.h"

static struct dests *dests;
static char why[TLS_WHY_MAX];

static uint32_t intern(const char *host)
{
    const struct dest_key key = { .host = span_str(host), .port = 80 };
    return dests_intern(dests, &key, why);
}

static void setup(void)
{
    EXPECT(!failed(dests_new(&dests)));
    dests_name(dests, 1);
}

static void one_key_has_one_number(void)
{
    setup();
    const uint32_t one = intern("one.test"), two = intern("two.test");
    EXPECT(one != two);
    EXPECT_EQ(intern("ONE.test"), one);
    EXPECT_EQ(dests_count(dests), 2);
    EXPECT_EQ(dests_at(dests, dest_idx(one)), one);
    EXPECT_SPAN(dest_key(dests, two)->host, "two.test");
    EXPECT(dest_is_numeric(dests, intern("192.0.2.1")));
    dests_free(&dests);
}

static void what_no_snapshot_names_is_let_go(void)
{
    setup();
    enum dest_state state;
    union dest_addr out[DEST_ADDRS_MAX];
    const uint32_t old = intern("192.0.2.1"), kept = intern("192.0.2.2");
    EXPECT_EQ(dest_addrs(dests, old, &state, out), 1);
    dests_name(dests, 2); // the next snapshot names one of them
    EXPECT_EQ(intern("192.0.2.2"), kept);
    EXPECT(!dests_drop(dests, old, 1)); // as long as the one before is in force
    EXPECT(!dests_is_named(dests, old, 2) && dests_is_named(dests, kept, 2));
    const struct dest_key *held = dest_key(dests, old); // in some shard's hands in this turn
    EXPECT(dests_drop(dests, old, 2));
    EXPECT(!dests_drop(dests, kept, 2));
    EXPECT_SPAN(held->host, "192.0.2.1");
    EXPECT(dest_key(dests, old) == NULL);
    EXPECT(dest_roots(dests, old) == NULL);
    EXPECT_EQ(dest_addrs(dests, old, &state, out), 0);
    EXPECT_EQ(state, DEST_FAILED);
    EXPECT_EQ(dests_at(dests, dest_idx(old)), DEST_NONE);
    // Its place is used again, by another number.
    const uint32_t next = intern("192.0.2.3");
    EXPECT_EQ(dest_idx(next), dest_idx(old));
    EXPECT(next != old);
    EXPECT(dest_key(dests, old) == NULL);
    EXPECT_EQ(dest_addrs(dests, next, &state, out), 1);
    EXPECT(dests_drop(dests, old, 3)); // it is gone already
    dests_free(&dests);
}

// More than there are places for, one after another, with a few that stay.
static void places_do_not_run_out(void)
{
    setup();
    const uint32_t first = intern("first.test");
    char host[32];
    for (uint64_t generation = 2; generation < 40; generation++) {
        dests_name(dests, generation);
        EXPECT_EQ(intern("first.test"), first);
        for (unsigned i = 0; i < 500; i++) {
            snprintf(host, sizeof(host), "h%u-%llu.test", i, (unsigned long long)generation);
            if (intern(host) == DEST_NONE) {
                EXPECT(false);
                break;
            }
        }
        for (uint32_t i = 0; i < dests_count(dests); i++)
            if (dests_at(dests, i) != DEST_NONE)
                (void)dests_drop(dests, dests_at(dests, i), generation);
    }
    EXPECT(dests_count(dests) <= 1001 + 1);
    dests_free(&dests);
}

static void all_places_taken_is_said(void)
{
    setup();
    char host[32];
    for (unsigned i = 0; i < DEST_MAX; i++) {
        snprintf(host, sizeof(host), "h%u.test", i);
        if (intern(host) == DEST_NONE) {
            EXPECT(false);
            break;
        }
    }
    EXPECT_EQ(intern("one.more.test"), DEST_NONE);
    EXPECT(strstr(why, "too many") != NULL);
    dests_free(&dests);
}

TEST_MAIN(TEST(one_key_has_one_number), TEST(what_no_snapshot_names_is_let_go),
          TEST(places_do_not_run_out), TEST(all_places_taken_is_said))
