// What base.h, err.h, env.h, spsc.h and slab.h promise.
#include "test.h"

#include "penstock/base/env.h"
#include "penstock/base/err.h"
#include "penstock/base/list.h"
#include "penstock/base/slab.h"
#include "penstock/base/spsc.h"

static void numbers_are_exact(void)
{
    uint64_t value = 7;
    EXPECT(span_u64(SPAN("18446744073709551615"), &value));
    EXPECT(value == UINT64_MAX);
    EXPECT(!span_u64(SPAN("18446744073709551616"), &value));
    EXPECT(!span_u64(SPAN(""), &value));
    EXPECT(!span_u64(SPAN("+1"), &value));
    EXPECT(!span_u64(SPAN("1 "), &value));
    EXPECT(!span_u64(SPAN("0x10"), &value));
    EXPECT(span_u64(SPAN("007"), &value));
    EXPECT_EQ(value, 7);
}

static void spans_compare(void)
{
    EXPECT(span_eq_nocase(SPAN("Content-Length"), SPAN("content-LENGTH")));
    EXPECT(!span_eq_nocase(SPAN("a["), SPAN("a{"))); // differ by the case bit, are no letters
    EXPECT_SPAN(span_trim(SPAN(" \t a b \t")), "a b");
    EXPECT_EQ(span_trim(SPAN(" \t ")).len, 0);
    EXPECT_EQ(span_find(SPAN("a:b"), ':'), 1);
    EXPECT_EQ(span_find(SPAN("ab"), ':'), 2);
}

// The comparison in line sees every byte, at any length; and the one without regard to case knows
// letters only.
static void names_compare_at_any_length(void)
{
    char a[40], b[40];
    for (size_t len = 0; len <= sizeof(a); len++) {
        memset(a, 'n', sizeof(a));
        memset(b, 'n', sizeof(b));
        EXPECT(span_eq_name(span_of(a, len), span_of(b, len)));
        EXPECT(len == 0 || !span_eq_name(span_of(a, len), span_of(b, len - 1)));
        for (size_t at = 0; at < len; at++) {
            b[at] = 'N';
            EXPECT(!span_eq_name(span_of(a, len), span_of(b, len)));
            EXPECT(span_eq_nocase(span_of(a, len), span_of(b, len)));
            a[at] = '[', b[at] = '{';
            EXPECT(!span_eq_nocase(span_of(a, len), span_of(b, len)));
            a[at] = b[at] = 'n';
        }
    }
}

static void an_err_knows_its_row(void)
{
    struct err err = ERR_SYS(CONNECT_FAILED, -111);
    EXPECT(failed(err));
    EXPECT_EQ(err.side, SIDE_UPSTREAM);
    EXPECT_EQ(err.retry, RETRY_OTHER);
    EXPECT_EQ(err.sys, 111);
    EXPECT_EQ(err_status(err.code), 502);
    EXPECT(!failed(OK));
}

static void a_ring_holds_what_fits(void)
{
    struct spsc ring;
    EXPECT(!failed(spsc_init(&ring, 4, sizeof(int))));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++) {
            int *place = spsc_place(&ring);
            EXPECT(place != NULL);
            *place = i;
            spsc_push(&ring);
            EXPECT_EQ(spsc_is_half_full(&ring), i >= 2);
        }
        EXPECT(spsc_place(&ring) == NULL);
        EXPECT_EQ(spsc_count(&ring), 4);
        for (int i = 0; i < 4; i++) {
            int *item = spsc_front(&ring);
            EXPECT(item != NULL && *item == i);
            spsc_pop(&ring);
        }
        EXPECT(spsc_front(&ring) == NULL);
    }
    spsc_fini(&ring);
}

static void a_slab_is_bounded_and_reuses(void)
{
    struct slab slab;
    slab_init(&slab, 3000, 25);
    void *objects[25];
    for (int i = 0; i < 25; i++) {
        objects[i] = slab_take(&slab);
        EXPECT(objects[i] != NULL);
        memset(objects[i], 0xaa, 3000);
    }
    EXPECT(slab_take(&slab) == NULL);
    slab_give(&slab, objects[7]);
    EXPECT(slab_take(&slab) == objects[7]);
    for (int i = 0; i < 25; i++)
        slab_give(&slab, objects[i]);
    EXPECT_EQ(slab.count_out, 0);
    slab_fini(&slab);
}

static void a_list_keeps_order(void)
{
    struct list head, a, b, c, other;
    list_init(&head), list_init(&a), list_init(&b), list_init(&c), list_init(&other);
    list_push_back(&head, &b);
    list_push_front(&head, &a);
    list_push_back(&other, &c);
    list_splice(&head, &other);
    EXPECT(list_is_empty(&other));
    EXPECT(list_pop_front(&head) == &a);
    list_take(&b);
    list_take(&b); // harmless when unlinked
    EXPECT(!list_is_linked(&b));
    EXPECT(list_pop_front(&head) == &c);
    EXPECT(list_pop_front(&head) == NULL);
}

static void a_fake_world_repeats(void)
{
    struct env_fake one, two;
    env_fake_init(&one, 42), env_fake_init(&two, 42);
    char a[13], b[13];
    env_random(&one.env, a, sizeof(a));
    env_random(&two.env, b, sizeof(b));
    EXPECT(memcmp(a, b, sizeof(a)) == 0);
    uint64_t before = env_mono_ns(&one.env);
    env_fake_advance(&one, 5);
    EXPECT_EQ(env_mono_ns(&one.env) - before, 5);
}

TEST_MAIN(TEST(numbers_are_exact), TEST(spans_compare), TEST(names_compare_at_any_length),
          TEST(an_err_knows_its_row), TEST(a_ring_holds_what_fits),
          TEST(a_slab_is_bounded_and_reuses), TEST(a_list_keeps_order), TEST(a_fake_world_repeats))
