// What put.h promises: pieces whole or not at all, and every number as printf would write it.
#include "penstock/base/put.h"
#include "test.h"

#include <inttypes.h>

static void numbers_are_those_of_printf(void)
{
    // Around every power of ten and of two, where a digit more or less is due.
    for (uint64_t base = 1; base != 0; base = base > UINT64_MAX / 10 ? 0 : base * 10) {
        for (int64_t near = -2; near <= 2; near++) {
            char want[32], got[32];
            const uint64_t value = base + (uint64_t)near;
            snprintf(want, sizeof(want), "%" PRIu64, value);
            struct put put = put_into(got, sizeof(got));
            put_u64(&put, value);
            EXPECT_SPAN(put_done(&put), want);
        }
    }
    for (uint64_t value = 0; value < 100000; value += value < 1200 ? 1 : 37) {
        char want[32], got[32];
        snprintf(want, sizeof(want), "%" PRIu64 ".%03" PRIu64, value, value % 1000);
        struct put put = put_into(got, sizeof(got));
        put_u64(&put, value);
        PUT(&put, ".");
        put_padded(&put, value % 1000, 3);
        EXPECT_SPAN(put_done(&put), want);
    }
    char got[32];
    struct put put = put_into(got, sizeof(got));
    put_u64(&put, UINT64_MAX);
    EXPECT_SPAN(put_done(&put), "18446744073709551615");
    put = put_into(got, sizeof(got));
    put_padded(&put, 1234567, 4); // the last ones
    EXPECT_SPAN(put_done(&put), "4567");
    put_padded(&put, 5, 0);
    EXPECT_SPAN(put_done(&put), "4567");
}

static void what_does_not_fit_is_left_out_whole(void)
{
    char room[8];
    struct put put = put_into(room, sizeof(room));
    PUT(&put, "1234567");
    EXPECT(!put.full);
    put_u64(&put, 10);
    EXPECT(put.full);
    EXPECT_SPAN(put_done(&put), "1234567");
    PUT(&put, "8"); // would fit, but its place is behind what was left out
    EXPECT_SPAN(put_done(&put), "1234567");
    put = put_into(room, sizeof(room));
    PUT(&put, "12345678");
    put_span(&put, SPAN_NONE);
    EXPECT(!put.full);
    EXPECT_EQ(put_done(&put).len, 8);
}

TEST_MAIN(TEST(numbers_are_those_of_printf), TEST(what_does_not_fit_is_left_out_whole))
