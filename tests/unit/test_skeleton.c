// What skeleton.h promises: an event is recognised only if its structure is the one learnt.
#include "test.h"

#include "penstock/codec/skeleton.h"

static const char event[] =
    "data: {\"id\":\"x\",\"delta\":\"Hello\",\"seq\":41,\"pad\":\"abc\"}\n\n";

static struct hole hole_at(const char *text, enum hole_kind kind, uint8_t tag)
{
    return (struct hole){ span_of(strstr(event, text), strlen(text)), (uint8_t)kind, tag };
}

static struct skeleton learn(void)
{
    const struct hole holes[] = { hole_at("abc", HOLE_STRING, 3), hole_at("Hello", HOLE_STRING, 1),
                                  hole_at("41", HOLE_DIGITS, 2) };
    struct skeleton skeleton = { 0 };
    skeleton_learn(&skeleton, span_str(event), holes, ARRAY_LEN(holes));
    return skeleton;
}

static void like_events_match(void)
{
    struct skeleton skeleton = learn();
    struct hole holes[SKELETON_HOLES_MAX];
    EXPECT(skeleton_match(&skeleton, span_str(event), holes));
    struct span other =
        SPAN("data: {\"id\":\"x\",\"delta\":\" wo\\\"rl\\\\d, a text that is longer "
             "than one vector\",\"seq\":1042,\"pad\":\"\"}\n\n");
    EXPECT(skeleton_match(&skeleton, other, holes));
    EXPECT_SPAN(holes[0].text, " wo\\\"rl\\\\d, a text that is longer than one vector");
    EXPECT_EQ(holes[0].tag, 1);
    EXPECT_SPAN(holes[1].text, "1042");
    EXPECT_EQ(holes[1].tag, 2);
    EXPECT_SPAN(holes[2].text, "");
    EXPECT_EQ(holes[2].tag, 3);
}

static void other_events_do_not(void)
{
    struct skeleton skeleton = learn();
    struct hole holes[SKELETON_HOLES_MAX];
    static const char *const others[] = {
        "data: {\"id\":\"y\",\"delta\":\"Hello\",\"seq\":41,\"pad\":\"abc\"}\n\n",
        "data: {\"id\":\"x\",\"delta\":null,\"seq\":41,\"pad\":\"abc\"}\n\n",
        "data: {\"id\":\"x\",\"delta\":\"Hello\",\"seq\":,\"pad\":\"abc\"}\n\n",
        "data: {\"id\":\"x\",\"delta\":\"Hello\",\"seq\":4e1,\"pad\":\"abc\"}\n\n",
        "data: {\"id\":\"x\",\"delta\":\"Hello\",\"seq\":41,\"pad\":\"abc\",\"usage\":1}\n\n",
        "data: {\"id\":\"x\",\"delta\":\"Hello\",\"seq\":41,\"pad\":\"abc\"}\n\nx",
        "data: {\"id\":\"x\",\"delta\":\"Hello\\\",\"seq\":41,\"pad\":\"abc\"}\n\n",
        "data: {\"id\":\"x\",\"delta\":\"Hel\nlo\",\"seq\":41,\"pad\":\"abc\"}\n\n",
        "data: {\"id\":\"x\",\"delta\":\"Hello\\",
        "data: {\"id\":\"x\"",
        "",
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        EXPECT(!skeleton_match(&skeleton, span_str(others[i]), holes));
}

static void nothing_learnt_matches_nothing(void)
{
    struct skeleton skeleton = { 0 };
    struct hole holes[SKELETON_HOLES_MAX];
    EXPECT(!skeleton_match(&skeleton, SPAN(""), holes));
    EXPECT(!skeleton_match(&skeleton, span_str(event), holes));
    static char large[SKELETON_BYTES_MAX + 8];
    memset(large, 'x', sizeof(large));
    struct hole hole = { span_of(large + 3, 7), HOLE_STRING, 0 };
    skeleton_learn(&skeleton, span_of(large, sizeof(large)), &hole, 1);
    EXPECT(!skeleton_match(&skeleton, span_of(large, sizeof(large)), holes));
    hole.text.len = 8; // now the rest just fits
    skeleton_learn(&skeleton, span_of(large, sizeof(large)), &hole, 1);
    EXPECT(skeleton.set);
}

TEST_MAIN(TEST(like_events_match), TEST(other_events_do_not), TEST(nothing_learnt_matches_nothing))
