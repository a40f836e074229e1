// traceparent: what is one, and what is none.
#include "penstock/codec/trace.h"
#include "test.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static void a_valid_one_is_read(void)
{
    static const char *const texts[] = {
        "00-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-00",
        "00-" TRACE "-" PARENT "-ff",
        "cc-" TRACE "-" PARENT "-01",
        "01-" TRACE "-" PARENT "-01-what-comes-later",
        "01-" TRACE "-" PARENT "-01-",
    };
    static const uint8_t trace[] = { 0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6,
                                     0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36 };
    static const uint8_t parent[] = { 0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7 };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct trace_ids ids = { 0 };
        EXPECT(traceparent_parse(span_str(texts[i]), &ids));
        EXPECT(trace_is_told(&ids));
        EXPECT(memcmp(ids.trace, trace, sizeof(trace)) == 0);
        EXPECT(memcmp(ids.span, parent, sizeof(parent)) == 0);
    }
}

static void others_are_none(void)
{
    static const char *const texts[] = {
        "",
        "00",
        "00-" TRACE "-" PARENT "-0",    // short
        "00-" TRACE "-" PARENT "-011",  // long
        "00-" TRACE "-" PARENT "-01-x", // more than this version says
        "01-" TRACE "-" PARENT "-01x",  // not a field of its own
        "ff-" TRACE "-" PARENT "-01",   // no version
        "0x-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-0g",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", // capitals
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-" PARENT "-01",
        "00-" TRACE "-00f067aa0ba902bz-01",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct trace_ids ids = { .trace = { 1 }, .span = { 1 } };
        EXPECT(!traceparent_parse(span_str(texts[i]), &ids));
        EXPECT(!trace_is_told(&ids));
        EXPECT_EQ(ids.span[0], 0);
    }
}

TEST_MAIN(TEST(a_valid_one_is_read), TEST(others_are_none))
