// What skeleton.h promises: an event is recognised only if its structure is the one learnt.
#include "test.h"

#include "penstock/codec/skeleton.h"

static const char event[] =
    "data: {\"id\":\"x\",\"delta\":\"Hello\",\"seq\":41,\"pad\":\"abc\"}\n\n";

static struct hole hole_at(const char *text, enum hole_kind kind, uint8_t tag)
{
    return (struct hole){ span_of(strstr(event, text), strlen(text)), (uint8_t)kind, tag };
}

enum { HOLES_MAX = 6, BYTES = 512 };
static struct skeleton_part parts[HOLES_MAX + 1];
static char bytes[BYTES + 2 * SKELETON_PADDING];
static struct span holes[HOLES_MAX];

static struct skeleton learn(void)
{
    const struct hole learnt[] = { hole_at("Hello", HOLE_STRING, 1), hole_at("41", HOLE_DIGITS, 2),
                                   hole_at("abc", HOLE_STRING, 3) };
    struct skeleton skeleton;
    skeleton_init(&skeleton, parts, ARRAY_LEN(parts), bytes, sizeof(bytes));
    skeleton_learn(&skeleton, span_str(event), learnt, ARRAY_LEN(learnt));
    return skeleton;
}

static void like_events_match(void)
{
    struct skeleton skeleton = learn();
    EXPECT_EQ(skeleton_match(&skeleton, span_str(event), holes), strlen(event));
    struct span other =
        SPAN("data: {\"id\":\"x\",\"delta\":\" wo\\\"rl\\\\d, a text that is longer "
             "than one vector\",\"seq\":1042,\"pad\":\"\"}\n\n");
    EXPECT_EQ(skeleton_match(&skeleton, other, holes), other.len);
    EXPECT_EQ(skeleton_holes(&skeleton), 3);
    EXPECT_SPAN(holes[0], " wo\\\"rl\\\\d, a text that is longer than one vector");
    EXPECT_EQ(skeleton.parts[0].tag, 1);
    EXPECT_SPAN(holes[1], "1042");
    EXPECT_EQ(hole_number(holes[1]), 1042);
    EXPECT_EQ(skeleton.parts[1].tag, 2);
    EXPECT_SPAN(holes[2], "");
    EXPECT_EQ(skeleton.parts[2].tag, 3);
}

static void what_follows_is_not_looked_at(void)
{
    struct skeleton skeleton = learn();
    char text[256];
    for (size_t more = 0; more < 40; more++) {
        memcpy(text, event, strlen(event));
        memset(text + strlen(event), 'x', more);
        EXPECT_EQ(skeleton_match(&skeleton, span_of(text, strlen(event) + more), holes),
                  strlen(event));
    }
    for (size_t len = 0; len < strlen(event); len++)
        EXPECT_EQ(skeleton_match(&skeleton, span_of(event, len), holes), 0);
}

// Every part and every hole stands at every distance from the end of the text once.
static void parts_and_holes_of_every_length_match(void)
{
    char text[200], other[200];
    for (size_t head = 16; head < 70; head++) {
        for (size_t tail = 0; tail < 40; tail++) {
            memset(text, 'a', head);
            memcpy(text + head, "\"7\"", 3);
            memset(text + head + 3, 'z', tail);
            struct hole hole = { span_of(text + head + 1, 1), HOLE_STRING, 0 };
            struct skeleton skeleton;
            skeleton_init(&skeleton, parts, ARRAY_LEN(parts), bytes, sizeof(bytes));
            skeleton_learn(&skeleton, span_of(text, head + 3 + tail), &hole, 1);
            for (size_t len = 0; len < 40; len++) {
                size_t all = head + 2 + len + tail;
                memcpy(other, text, head + 1);
                memset(other + head + 1, 's', len);
                memcpy(other + head + 1 + len, text + head + 2, tail + 1);
                EXPECT_EQ(skeleton_match(&skeleton, span_of(other, all), holes), all);
                EXPECT_EQ(holes[0].len, len);
                other[all - 1] ^= 1;
                EXPECT_EQ(skeleton_match(&skeleton, span_of(other, all), holes), 0);
            }
        }
    }
}

static void numbers_have_bounds(void)
{
    static const struct {
        const char *text;
        bool digits, number;
    } cases[] = {
        { "0", true, true },     { "123456789012345678", true, true },
        { "", false, false },    { "1234567890123456789", false, true },
        { "-1", false, true },   { "-12.5e+10", false, true },
        { "+1", false, false },  { ".5", false, false },
        { "1 ", false, false },  { "12345678901234567 ", false, false },
        { "066", false, false }, { "-01", false, false },
        { "-0", false, true },   { "0.5", false, true },
        { "00", false, false },
    };
    for (int kind = HOLE_DIGITS; kind <= HOLE_NUMBER; kind++) {
        char text[80] = "{\"a number of some kind\":1}";
        struct hole hole = { span_of(strstr(text, "1}"), 1), (uint8_t)kind, 0 };
        struct skeleton skeleton;
        skeleton_init(&skeleton, parts, ARRAY_LEN(parts), bytes, sizeof(bytes));
        skeleton_learn(&skeleton, span_str(text), &hole, 1);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            (void)snprintf(text, sizeof(text), "{\"a number of some kind\":%s}", cases[i].text);
            bool want = kind == HOLE_DIGITS ? cases[i].digits : cases[i].number;
            EXPECT_EQ(skeleton_match(&skeleton, span_str(text), holes), want ? strlen(text) : 0);
        }
    }
}

static void other_events_do_not(void)
{
    struct skeleton skeleton = learn();
    static const char *const others[] = {
        "data: {\"id\":\"y\",\"delta\":\"Hello\",\"seq\":41,\"pad\":\"abc\"}\n\n",
        "data: {\"id\":\"x\",\"delta\":null,\"seq\":41,\"pad\":\"abc\"}\n\n",
        "data: {\"id\":\"x\",\"delta\":\"Hello\",\"seq\":,\"pad\":\"abc\"}\n\n",
        "data: {\"id\":\"x\",\"delta\":\"Hello\",\"seq\":4e1,\"pad\":\"abc\"}\n\n",
        "data: {\"id\":\"x\",\"delta\":\"Hello\",\"seq\":41,\"pad\":\"abc\",\"usage\":1}\n\n",
        "data: {\"id\":\"x\",\"delta\":\"Hello\\\",\"seq\":41,\"pad\":\"abc\"}\n\n",
        "data: {\"id\":\"x\",\"delta\":\"Hel\nlo\",\"seq\":41,\"pad\":\"abc\"}\n\n",
        "data: {\"id\":\"x\",\"delta\":\"Hello\\",
        "data: {\"id\":\"x\"",
        "",
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        EXPECT_EQ(skeleton_match(&skeleton, span_str(others[i]), holes), 0);
}

static void nothing_learnt_matches_nothing(void)
{
    struct skeleton skeleton;
    skeleton_init(&skeleton, parts, ARRAY_LEN(parts), bytes, sizeof(bytes));
    EXPECT_EQ(skeleton_match(&skeleton, SPAN(""), holes), 0);
    EXPECT_EQ(skeleton_match(&skeleton, span_str(event), holes), 0);
    static char large[BYTES + 8];
    memset(large, 'x', sizeof(large));
    struct hole hole = { span_of(large + 3, 7), HOLE_STRING, 0 };
    skeleton_learn(&skeleton, span_of(large, sizeof(large)), &hole, 1);
    EXPECT(!skeleton_is_set(&skeleton));
    EXPECT_EQ(skeleton_match(&skeleton, span_of(large, sizeof(large)), holes), 0);
    hole.text.len = 8; // now the rest just fits
    skeleton_learn(&skeleton, span_of(large, sizeof(large)), &hole, 1);
    EXPECT(skeleton_is_set(&skeleton));
    skeleton_reset(&skeleton);
    EXPECT(!skeleton_is_set(&skeleton));
}

TEST_MAIN(TEST(like_events_match), TEST(what_follows_is_not_looked_at),
          TEST(parts_and_holes_of_every_length_match), TEST(numbers_have_bounds),
          TEST(other_events_do_not), TEST(nothing_learnt_matches_nothing))
