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
static struct filling holes[HOLES_MAX];

// All sets find the same, which is what the best of them finds.
static size_t match(const struct skeleton *skeleton, struct span text)
{
    const struct simd *sets[SIMD_SETS_MAX];
    const struct simd *const best = simd_best;
    const size_t count = simd_sets(sets), len = skeleton_match(skeleton, text, holes);
    for (size_t i = 0; i < count; i++) {
        struct filling found[HOLES_MAX] = { 0 };
        simd_best = sets[i];
        EXPECT_EQ(skeleton_match(skeleton, text, found), len);
        for (size_t hole = 0; len > 0 && hole < skeleton_holes(skeleton); hole++) {
            EXPECT(found[hole].text.ptr == holes[hole].text.ptr);
            EXPECT_EQ(found[hole].text.len, holes[hole].text.len);
            if (skeleton->parts[hole].kind != HOLE_NUMBER) // of which nothing is told
                EXPECT_EQ(found[hole].number, holes[hole].number);
        }
    }
    simd_best = best;
    return len;
}

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
    EXPECT_EQ(match(&skeleton, span_str(event)), strlen(event));
    struct span other =
        SPAN("data: {\"id\":\"x\",\"delta\":\" wo\\\"rl\\\\d, a text that is longer "
             "than one vector\",\"seq\":1042,\"pad\":\"\"}\n\n");
    EXPECT_EQ(match(&skeleton, other), other.len);
    EXPECT_EQ(skeleton_holes(&skeleton), 3);
    EXPECT_SPAN(holes[0].text, " wo\\\"rl\\\\d, a text that is longer than one vector");
    EXPECT_EQ(skeleton.parts[0].tag, 1);
    EXPECT_SPAN(holes[1].text, "1042");
    EXPECT_EQ(holes[1].number, 1042);
    EXPECT_EQ(skeleton.parts[1].tag, 2);
    EXPECT_SPAN(holes[2].text, "");
    EXPECT_EQ(skeleton.parts[2].tag, 3);
}

static void what_follows_is_not_looked_at(void)
{
    struct skeleton skeleton = learn();
    char text[256];
    for (size_t more = 0; more < 40; more++) {
        memcpy(text, event, strlen(event));
        memset(text + strlen(event), 'x', more);
        EXPECT_EQ(match(&skeleton, span_of(text, strlen(event) + more)), strlen(event));
    }
    for (size_t len = 0; len < strlen(event); len++)
        EXPECT_EQ(match(&skeleton, span_of(event, len)), 0);
}

// Every part and every hole stands at every distance from the end of the text once.
static void parts_and_holes_of_every_length_match(void)
{
    char text[300], other[300];
    for (size_t head = 32; head < 140; head += 3) {
        for (size_t tail = 0; tail < 40; tail++) {
            memset(text, 'a', head);
            memcpy(text + head, "\"7\"", 3);
            memset(text + head + 3, 'z', tail);
            struct hole hole = { span_of(text + head + 1, 1), HOLE_STRING, 0 };
            struct skeleton skeleton;
            skeleton_init(&skeleton, parts, ARRAY_LEN(parts), bytes, sizeof(bytes));
            skeleton_learn(&skeleton, span_of(text, head + 3 + tail), &hole, 1);
            for (size_t len = 0; len < 70; len++) {
                size_t all = head + 2 + len + tail;
                memcpy(other, text, head + 1);
                memset(other + head + 1, 's', len);
                memcpy(other + head + 1 + len, text + head + 2, tail + 1);
                EXPECT_EQ(match(&skeleton, span_of(other, all)), all);
                EXPECT_EQ(holes[0].text.len, len);
                EXPECT_EQ(holes[0].number, 0);
                other[all - 1] ^= 1;
                EXPECT_EQ(match(&skeleton, span_of(other, all)), 0);
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
        { "0", true, true },         { "123456789012345678", true, true },
        { "", false, false },        { "1234567890123456789", false, true },
        { "-1", false, true },       { "-12.5e+10", false, true },
        { "+1", false, false },      { ".5", false, false },
        { "1 ", false, false },      { "12345678901234567 ", false, false },
        { "066", false, false },     { "-01", false, false },
        { "-0", false, true },       { "0.5", false, true },
        { "00", false, false },      { "01", false, false },
        { "7", true, true },         { "65", true, true },
        { "999", true, true },       { "1234", true, true },
        { "98765", true, true },     { "123456", true, true },
        { "7654321", true, true },   { "12345678", true, true },
        { "987654321", true, true }, { "1:", false, false },
        { "/1", false, false },      { "1\xb1", false, false },
    };
    for (int kind = HOLE_DIGITS; kind <= HOLE_NUMBER; kind++) {
        char text[80] = "{\"a number of some kind, behind more than a vector\":1}";
        struct hole hole = { span_of(strstr(text, "1}"), 1), (uint8_t)kind, 0 };
        struct skeleton skeleton;
        skeleton_init(&skeleton, parts, ARRAY_LEN(parts), bytes, sizeof(bytes));
        skeleton_learn(&skeleton, span_str(text), &hole, 1);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            (void)snprintf(text, sizeof(text),
                           "{\"a number of some kind, behind more than a vector\":%s}",
                           cases[i].text);
            bool want = kind == HOLE_DIGITS ? cases[i].digits : cases[i].number;
            EXPECT_EQ(match(&skeleton, span_str(text)), want ? strlen(text) : 0);
            if (kind == HOLE_DIGITS && want)
                EXPECT_EQ(holes[0].number, strtoull(cases[i].text, NULL, 10));
            char longer[160]; // so that no set is near the end
            (void)snprintf(longer, sizeof(longer), "%s%60s", text, "");
            EXPECT_EQ(match(&skeleton, span_str(longer)), want ? strlen(text) : 0);
            if (kind == HOLE_DIGITS && want)
                EXPECT_EQ(holes[0].number, strtoull(cases[i].text, NULL, 10));
        }
    }
}

// A string says whether it needs a second look: escapes, and bytes that are not ASCII.
static void strings_tell_what_is_in_them(void)
{
    struct skeleton skeleton = learn();
    for (size_t lead = 0; lead < 80; lead++) {
        static const struct {
            const char *text;
            bool odd;
        } cases[] = { { "", false },        { "x", false },   { "\\n", true },
                      { "\xc3\xa9", true }, { "\\\"", true }, { "\\\\", true } };
        for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
            char text[300];
            const char *piece = cases[i / 2].text;
            (void)snprintf(
                text, sizeof(text),
                "data: {\"id\":\"x\",\"delta\":\"%.*s%s%.*s\",\"seq\":7,\"pad\":\"\"}\n\n",
                (int)lead,
                "ssssssssssssssssssssssssssssssssssssssss"
                "ssssssssssssssssssssssssssssssssssssssss",
                piece, i % 2 == 0 ? 0 : 3, "end");
            EXPECT_EQ(match(&skeleton, span_str(text)), strlen(text));
            EXPECT_EQ(holes[0].number != 0, cases[i / 2].odd);
        }
    }
}

// Escapes of every number, at every place, and where the last of them is half.
static void strings_of_escapes_end_where_they_end(void)
{
    struct skeleton skeleton = learn();
    for (size_t count = 0; count < 40; count++)
        for (size_t gap = 0; gap < 9; gap++) {
            char text[1024];
            size_t len = (size_t)snprintf(text, sizeof(text), "data: {\"id\":\"x\",\"delta\":\"");
            const size_t begin = len;
            for (size_t i = 0; i < count; i++)
                len += (size_t)snprintf(text + len, sizeof(text) - len, "%.*s\\\"", (int)gap,
                                        "ssssssss");
            const size_t end = len;
            len +=
                (size_t)snprintf(text + len, sizeof(text) - len, "\",\"seq\":7,\"pad\":\"\"}\n\n");
            EXPECT_EQ(match(&skeleton, span_of(text, len)), len);
            EXPECT_EQ(holes[0].text.len, end - begin);
            EXPECT_EQ(match(&skeleton, span_of(text, end)), 0);
            EXPECT_EQ(match(&skeleton, span_of(text, end + 1)), 0);
        }
}

static void counters_move_on(void)
{
    static const char form[] = "data: {\"a name\":\"delta\",\"seq\":%u,\"delta\":\"%s\"}\n\n";
    char text[128];
    (void)snprintf(text, sizeof(text), form, 7u, "x");
    const struct hole learnt[] = {
        { span_of(strchr(text, '7'), 1), HOLE_COUNTER, 1 },
        { span_of(strrchr(text, 'x'), 1), HOLE_STRING, 2 },
    };
    struct skeleton skeleton;
    skeleton_init(&skeleton, parts, ARRAY_LEN(parts), bytes, sizeof(bytes));
    skeleton_learn(&skeleton, span_str(text), learnt, ARRAY_LEN(learnt));
    EXPECT_EQ(skeleton_holes(&skeleton), 1);
    EXPECT_EQ(match(&skeleton, span_str(text)), 0); // the next one is expected
    for (unsigned number = 8; number < 10; number++) {
        (void)snprintf(text, sizeof(text), form, number, "some text");
        EXPECT_EQ(match(&skeleton, span_str(text)), strlen(text));
        EXPECT_EQ(match(&skeleton, span_str(text)), strlen(text)); // it moves when it is told to
        EXPECT_SPAN(holes[0].text, "some text");
        EXPECT_EQ(skeleton.parts[0].tag, 2);
        skeleton_count(&skeleton);
        EXPECT_EQ(match(&skeleton, span_str(text)), 0);
    }
    EXPECT(!skeleton_is_set(&skeleton)); // there is no room for another digit
    (void)snprintf(text, sizeof(text), form, 188u, "x");
    const struct hole again[] = {
        { span_of(strchr(text, '1'), 3), HOLE_COUNTER, 1 },
        { span_of(strrchr(text, 'x'), 1), HOLE_STRING, 2 },
    };
    skeleton_learn(&skeleton, span_str(text), again, ARRAY_LEN(again));
    for (unsigned number = 189; number < 1000; number++) {
        (void)snprintf(text, sizeof(text), form, number, "");
        EXPECT_EQ(match(&skeleton, span_str(text)), strlen(text));
        skeleton_count(&skeleton);
    }
    EXPECT(!skeleton_is_set(&skeleton));
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
        EXPECT_EQ(match(&skeleton, span_str(others[i])), 0);
}

static void nothing_learnt_matches_nothing(void)
{
    struct skeleton skeleton;
    skeleton_init(&skeleton, parts, ARRAY_LEN(parts), bytes, sizeof(bytes));
    EXPECT_EQ(match(&skeleton, SPAN("")), 0);
    EXPECT_EQ(match(&skeleton, span_str(event)), 0);
    static char large[BYTES + 8];
    memset(large, 'x', sizeof(large));
    struct hole hole = { span_of(large + 3, 7), HOLE_STRING, 0 };
    skeleton_learn(&skeleton, span_of(large, sizeof(large)), &hole, 1);
    EXPECT(!skeleton_is_set(&skeleton));
    EXPECT_EQ(match(&skeleton, span_of(large, sizeof(large))), 0);
    hole.text.len = 8; // now the rest just fits
    skeleton_learn(&skeleton, span_of(large, sizeof(large)), &hole, 1);
    EXPECT(skeleton_is_set(&skeleton));
    skeleton_reset(&skeleton);
    EXPECT(!skeleton_is_set(&skeleton));
}

TEST_MAIN(TEST(like_events_match), TEST(what_follows_is_not_looked_at),
          TEST(parts_and_holes_of_every_length_match), TEST(numbers_have_bounds),
          TEST(strings_tell_what_is_in_them), TEST(strings_of_escapes_end_where_they_end),
          TEST(counters_move_on), TEST(other_events_do_not), TEST(nothing_learnt_matches_nothing))
