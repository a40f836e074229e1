// What unit.h and suggest.h promise.
#include "test.h"

#include "penstock/model/suggest.h"
#include "penstock/model/unit.h"

static uint64_t duration(const char *text)
{
    uint64_t ns = 1;
    return duration_parse(span_str(text), &ns) == UNIT_OK ? ns : UINT64_MAX;
}

static void durations_have_units(void)
{
    EXPECT_EQ(duration("30s"), 30 * NS_PER_S);
    EXPECT_EQ(duration("250ms"), 250 * NS_PER_MS);
    EXPECT_EQ(duration("50us"), 50 * NS_PER_US);
    EXPECT_EQ(duration("2m"), 120 * NS_PER_S);
    EXPECT_EQ(duration("1h30m"), 5400 * NS_PER_S);
    EXPECT_EQ(duration("90d"), 90 * 86400 * NS_PER_S);
    EXPECT_EQ(duration("0s"), 0);
    uint64_t ns;
    EXPECT_EQ(duration_parse(SPAN("30"), &ns), UNIT_MISSING);
    EXPECT_EQ(duration_parse(SPAN("1m30"), &ns), UNIT_MISSING);
    EXPECT_EQ(duration_parse(SPAN("30 s"), &ns), UNIT_UNKNOWN);
    EXPECT_EQ(duration_parse(SPAN("30S"), &ns), UNIT_UNKNOWN);
    EXPECT_EQ(duration_parse(SPAN(""), &ns), UNIT_MALFORMED);
    EXPECT_EQ(duration_parse(SPAN("s"), &ns), UNIT_MALFORMED);
    EXPECT_EQ(duration_parse(SPAN("-3s"), &ns), UNIT_MALFORMED);
    EXPECT_EQ(duration_parse(SPAN("1.5s"), &ns), UNIT_UNKNOWN);
    EXPECT_EQ(duration_parse(SPAN("30s1m"), &ns), UNIT_MALFORMED); // smaller before larger
    EXPECT_EQ(duration_parse(SPAN("1s1s"), &ns), UNIT_MALFORMED);
    EXPECT_EQ(duration_parse(SPAN("99999999999d"), &ns), UNIT_OVERFLOW);
    EXPECT_EQ(duration_parse(SPAN("99999999999999999999s"), &ns), UNIT_OVERFLOW);
}

static void sizes_have_units(void)
{
    uint64_t bytes;
    EXPECT(size_parse(SPAN("64MiB"), &bytes) == UNIT_OK && bytes == 64 * MIB);
    EXPECT(size_parse(SPAN("1GiB512MiB"), &bytes) == UNIT_OK && bytes == 1536 * (uint64_t)MIB);
    EXPECT(size_parse(SPAN("7B"), &bytes) == UNIT_OK && bytes == 7);
    EXPECT_EQ(size_parse(SPAN("64"), &bytes), UNIT_MISSING);
    EXPECT_EQ(size_parse(SPAN("64MB"), &bytes), UNIT_UNKNOWN); // 10^6 or 2^20? not guessed
    EXPECT_EQ(size_parse(SPAN("64M"), &bytes), UNIT_UNKNOWN);
    EXPECT_EQ(size_parse(SPAN("16777216TiB"), &bytes), UNIT_OVERFLOW);
}

static void what_is_written_reads_back(void)
{
    static const uint64_t numbers[] = {
        0,
        NS_PER_US,
        NS_PER_MS,
        999 * NS_PER_MS,
        1500 * NS_PER_MS,
        NS_PER_S,
        90 * NS_PER_S,
        120 * NS_PER_S,
        5400 * NS_PER_S,
        86400 * NS_PER_S,
        UINT64_C(123456789) * NS_PER_US,
        365 * 86400 * NS_PER_S,
        10 * KIB,
        3 * (uint64_t)KIB * MIB + 1,
    };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        char text[UNIT_TEXT_MAX];
        uint64_t back = 1;
        if (numbers[i] % NS_PER_US == 0) {
            const size_t len = duration_format(text, numbers[i]);
            EXPECT_EQ(strlen(text), len);
            EXPECT(duration_parse(span_of(text, len), &back) == UNIT_OK && back == numbers[i]);
        }
        const size_t len = size_format(text, numbers[i]);
        EXPECT(size_parse(span_of(text, len), &back) == UNIT_OK && back == numbers[i]);
    }
    char text[UNIT_TEXT_MAX];
    EXPECT_SPAN(span_of(text, duration_format(text, 120 * NS_PER_S)), "2m");
    EXPECT_SPAN(span_of(text, duration_format(text, 90 * NS_PER_S)), "90s");
    EXPECT_SPAN(span_of(text, size_format(text, 64 * MIB)), "64MiB");
    EXPECT_SPAN(span_of(text, size_format(text, 0)), "0B");
}

static void times_are_utc(void)
{
    uint64_t ns = 1;
    EXPECT(time_parse(SPAN("1970-01-01"), &ns) && ns == 0);
    EXPECT(time_parse(SPAN("2000-02-29T23:59:59Z"), &ns) && ns == 951868799 * NS_PER_S);
    EXPECT(time_parse(SPAN("2027-01-31 12:00:00.25Z"), &ns));
    EXPECT_EQ(ns, 1801396800 * NS_PER_S + NS_PER_S / 4);
    EXPECT(time_parse(SPAN("2027-01-31T12:00:00+00:00"), &ns));
    EXPECT(!time_parse(SPAN("2027-01-31T12:00:00+02:00"), &ns));
    EXPECT(!time_parse(SPAN("2027-01-31T12:00:00"), &ns)); // no zone: whose noon?
    EXPECT(!time_parse(SPAN("2027-02-29"), &ns));
    EXPECT(!time_parse(SPAN("2100-02-29"), &ns));
    EXPECT(!time_parse(SPAN("2027-13-01"), &ns));
    EXPECT(!time_parse(SPAN("2027-1-1"), &ns));
    EXPECT(!time_parse(SPAN("1969-12-31"), &ns));
    EXPECT(!time_parse(SPAN("2027-01-31T24:00:00Z"), &ns));
    EXPECT(!time_parse(SPAN("2027-01-31T12:00:00.Z"), &ns));
    EXPECT(!time_parse(SPAN(""), &ns));
    // Every day of four centuries, there and back.
    for (uint64_t day = 0; day < 146097; day++) {
        char text[UNIT_TEXT_MAX];
        const uint64_t at = (day * 86400 + day % 86400) * NS_PER_S + day % 1000 * NS_PER_MS;
        const size_t len = time_format(text, at);
        if (!time_parse(span_of(text, len), &ns) || ns != at) {
            EXPECT_SPAN(span_of(text, len), "a time that reads back");
            return;
        }
    }
}

static void the_nearest_word_is_suggested(void)
{
    EXPECT_EQ(suggest_distance(SPAN("timout"), SPAN("timeout"), 9), 1);
    EXPECT_EQ(suggest_distance(SPAN("tiemout"), SPAN("timeout"), 9), 1); // a swap
    EXPECT_EQ(suggest_distance(SPAN("API-Key"), SPAN("api_key"), 9), 0);
    EXPECT_EQ(suggest_distance(SPAN("abc"), SPAN("xyz"), 9), 3);
    EXPECT_EQ(suggest_distance(SPAN("abc"), SPAN("xyz"), 2), 2);
    EXPECT_EQ(suggest_distance(SPAN(""), SPAN("ab"), 9), 2);
    struct suggest suggest = { .word = SPAN("priorty") };
    suggest_try(&suggest, SPAN("enabled"));
    suggest_try(&suggest, SPAN("priority"));
    suggest_try(&suggest, SPAN("prior"));
    EXPECT_SPAN(suggest.best, "priority");
    suggest = (struct suggest){ .word = SPAN("qq") };
    suggest_try(&suggest, SPAN("id"));
    EXPECT(suggest.best.ptr == NULL);
}

TEST_MAIN(TEST(durations_have_units), TEST(sizes_have_units), TEST(what_is_written_reads_back),
          TEST(times_are_utc), TEST(the_nearest_word_is_suggested))
