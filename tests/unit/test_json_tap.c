// What json_tap.h promises: the values at a few paths, however the text is cut.
#include "test.h"

#include "penstock/codec/json_tap.h"

#include <stdarg.h>

enum { MODEL, USAGE, INNER, FINISH, ID, PATHS };
static const struct json_tap_path paths[PATHS] = {
    [MODEL] = { "model", 0 },
    [USAGE] = { "usage", 64 },
    [INNER] = { "response.id", 32 },
    [FINISH] = { "choices.[].finish_reason", 16 },
    [ID] = { "id", 8 },
};
static struct json_tap_plan plan;

// What a tap said, as text: one line an event.
struct story {
    char text[2048];
    size_t len;
    enum parse last;
    bool whole;
};

printf_like(2, 3) static void say(struct story *story, const char *fmt, ...)
{
    size_t left = sizeof(story->text) - story->len;
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(story->text + story->len, left, fmt, args);
    va_end(args);
    story->len += min_size((size_t)len, left - 1);
}

static void tell_event(struct story *story, struct json_tap *tap)
{
    static const char *const names[PATHS] = { "model", "usage", "inner", "finish", "id" };
    if (tap->event == JSON_TAP_ELEMENT) {
        say(story, "element %llu\n", (unsigned long long)tap->pos);
        json_tap_forget(tap);
        return;
    }
    const struct json_tap_hit *hit = &tap->hits[tap->path];
    if (tap->event == JSON_TAP_BEGIN) {
        EXPECT_EQ(hit->at, tap->pos);
        say(story, "%llu<", (unsigned long long)hit->at);
        return;
    }
    EXPECT_EQ(tap->event, JSON_TAP_END);
    EXPECT_EQ(hit->end, tap->pos);
    struct span value = json_tap_value(tap, (size_t)tap->path).text;
    say(story, ">%llu %s%s=%.*s\n", (unsigned long long)hit->end, hit->too_large ? "LARGE " : "",
        names[tap->path], (int)value.len, value.ptr);
}

static void feed(struct story *story, struct json_tap *tap, struct span piece)
{
    if (story->last == PARSE_BAD)
        return;
    char copy[512]; // each piece in memory of its own: nothing may be read outside it
    memcpy(copy, piece.ptr, piece.len);
    struct span in = span_of(copy, piece.len);
    do {
        story->last = json_tap_feed(tap, &in);
        if (story->last == PARSE_DATA)
            tell_event(story, tap);
    } while (story->last == PARSE_DATA);
    EXPECT(story->last == PARSE_BAD || in.len == 0);
}

static struct story tell(struct span text, size_t first, size_t second)
{
    json_tap_plan_init(&plan, paths, PATHS);
    char values[256];
    EXPECT(plan.value_bytes <= sizeof(values));
    struct story story = { .last = PARSE_MORE };
    struct json_tap tap;
    json_tap_init(&tap, &plan, values);
    feed(&story, &tap, span_upto(text, first));
    feed(&story, &tap, span_of(text.ptr + first, second - first));
    feed(&story, &tap, span_from(text, second));
    story.whole = story.last != PARSE_BAD && json_tap_end(&tap);
    return story;
}

static void story_is(const char *text, const char *want, bool whole)
{
    struct span span = span_str(text);
    struct story story = tell(span, span.len, span.len);
    EXPECT_SPAN(span_of(story.text, story.len), want);
    EXPECT_EQ(story.whole, whole);
    for (size_t first = 0; first <= span.len; first++) {
        for (size_t second = first; second <= span.len; second += 1 + span.len / 40) {
            struct story cut = tell(span, first, second);
            EXPECT(cut.len == story.len && memcmp(cut.text, story.text, cut.len) == 0);
            EXPECT_EQ(cut.whole, story.whole);
        }
    }
}

static void values_at_paths_are_kept(void)
{
    story_is(
        "{\"id\":\"abc\",\"model\" : \"gpt-x\",\"choices\":[{\"model\":\"no\",\"finish_reason\""
        ":\"stop\",\"m\":[1,{\"a\":\"}]\\\"\"}]},{\"finish_reason\":null}],\"usage\":{\"a\":[1,2],"
        "\"usage\":\"\\\"}\"} }",
        "6<>11 id=\"abc\"\n22<>29 model=\n71<>77 finish=\"stop\"\n117<>121 finish=null\n"
        "132<>157 usage={\"a\":[1,2],\"usage\":\"\\\"}\"}\n",
        true);
}

static void nested_paths_and_escaped_keys_match(void)
{
    story_is(" {\"response\":{\"x\":{\"id\":1},\"i\\u0064\":\"r1\"},\"us\\u0061ge\":-1.5e3}\n",
             "37<>41 inner=\"r1\"\n56<>62 usage=-1.5e3\n", true);
    // The same names at other depths, or in containers of the wrong kind, are something else.
    story_is("{\"a\":{\"usage\":1},\"response\":[{\"id\":2}],\"choices\":{\"finish_reason\":3}}",
             "", true);
    story_is("{\"response\":\"x\",\"choices\":[[{\"finish_reason\":1}]]}", "", true);
}

// What stays in the hits of a tap that only tells of the model.
static struct story tell_quietly(struct span text, size_t cut)
{
    json_tap_plan_init(&plan, paths, PATHS);
    char values[256];
    struct story story = { .last = PARSE_MORE };
    struct json_tap tap;
    json_tap_init(&tap, &plan, values);
    tap.told = MODEL + 1;
    feed(&story, &tap, span_upto(text, cut));
    feed(&story, &tap, span_from(text, cut));
    for (size_t i = 0; i < PATHS; i++) {
        const struct json_tap_hit *hit = &tap.hits[i];
        struct span value = json_tap_value(&tap, i).text;
        say(&story, "%zu: %u at %llu to %llu, kind %d%s%s %.*s\n", i, hit->count,
            (unsigned long long)hit->at, (unsigned long long)hit->end, (int)hit->kind,
            hit->complete ? " complete" : "", hit->too_large ? " LARGE" : "", (int)value.len,
            value.ptr != NULL ? value.ptr : "");
    }
    story.whole = json_tap_end(&tap);
    return story;
}

// Members that lie whole in a piece take another way through the tap than torn ones. Nobody can
// tell which: not on good text, not on bad.
static void whole_and_torn_members_give_the_same(void)
{
    static const char *const texts[] = {
        "{\"id\":\"abc\", \"model\" : \"m\" ,\"choices\":[{\"message\":{\"content\":\"x\\\"}]\"},"
        "\"finish_reason\":\"stop\"},{\"finish_reason\":null}],\"usage\":{\"a\":[1,2]} } ",
        "{\"us\\u0061ge\":17,\"response\":{\"id\":\"r\",\"id\":true},\"id\":\"much too long\"}",
        "{\"usage\":{\"pad\":\"01234567890123456789012345678901234567890123456789012345678901\"},"
        "\"id\":-1.5e3\n,\"model\":{\"id\":[]}}",
        "[{\"usage\":1},{\"a\":[[{}]],\"id\":null}]",
        "{\"a\":[1,{\"b\":2]},\"id\":1}",
        "{\"id\":[1}}",
        "{\"a\":1\"2,\"id\":3}",
        "{\"id\":tru:e,\"usage\":1}",
        "{\"a\":,\"id\":3}",
        "{\"a\" 1,\"id\":3}",
        "{\"a\":1,,\"id\":3}",
        "{\"a\":1,}",
        "{\"a\":x,\"id\":3}",
        "{\"id\":1]",
        "{\"id\":12",
        "{\"a\":\"b\\",
        "{\"a\":{\"b\":\"c}",
        "{\"a\":1 2,\"id\":3}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct span text = span_str(texts[i]);
        struct story whole = tell_quietly(text, text.len);
        EXPECT(whole.len > 0);
        for (size_t cut = 0; cut < text.len; cut++) {
            struct story cut_up = tell_quietly(text, cut);
            EXPECT_SPAN(span_of(cut_up.text, cut_up.len), whole.text);
            EXPECT_EQ(cut_up.last, whole.last);
            EXPECT_EQ(cut_up.whole, whole.whole);
        }
    }
}

// Deeper than what the short way can hold, and as deep as anything may be.
static void deep_containers_that_are_skipped_match(void)
{
    for (size_t depth = 60; depth <= 70; depth++) {
        char text[256];
        size_t len = 0;
        len += (size_t)snprintf(text, sizeof(text), "{\"a\":");
        for (size_t i = 0; i < depth; i++)
            text[len++] = '[';
        for (size_t i = 0; i < depth; i++)
            text[len++] = ']';
        len += (size_t)snprintf(text + len, sizeof(text) - len, ",\"id\":7}");
        struct story whole = tell_quietly(span_of(text, len), len);
        EXPECT(strstr(whole.text, "4: 1 at") != NULL);
        EXPECT(whole.whole);
        for (size_t cut = 0; cut < len; cut++) {
            struct story cut_up = tell_quietly(span_of(text, len), cut);
            EXPECT_SPAN(span_of(cut_up.text, cut_up.len), whole.text);
        }
        text[6 + depth] = '}'; // the innermost bracket closes as another kind
        EXPECT_EQ(tell_quietly(span_of(text, len), len).last, PARSE_BAD);
    }
}

static void large_values_are_passed_over(void)
{
    story_is("{\"id\":\"0123456789\",\"usage\":{\"pad\":\"0123456789012345678901234567890123456789"
             "01234567890123456789\"},\"model\":[1,2,{}]}",
             "6<>18 LARGE id=\n27<>97 LARGE usage=\n106<>114 model=\n", true);
    // Exactly as large as its buffer.
    story_is("{\"id\":\"012345\"}", "6<>14 id=\"012345\"\n", true);
}

static void the_newest_of_repeated_keys_counts(void)
{
    story_is("{\"id\":1,\"id\":22}", "6<>7 id=1\n13<>15 id=22\n", true);
}

static void elements_of_a_root_array_are_texts_of_their_own(void)
{
    story_is("[{\"usage\":{\"n\":1},\"id\":\"a\"}\n,\n{\"id\":\"b\"},[{\"id\":3}],4,{}]",
             "10<>17 usage={\"n\":1}\n23<>26 id=\"a\"\nelement 27\n36<>39 id=\"b\"\nelement 40\n"
             "element 51\nelement 53\nelement 56\n",
             true);
}

static void other_roots_are_harmless(void)
{
    story_is("\"text\"", "", true);
    story_is("12", "", true);
    story_is("null ", "", true);
    story_is("[]", "", true);
    story_is("", "", false);
}

static void what_ends_early_is_not_whole(void)
{
    story_is("{\"id\":\"ab", "6<", false);
    story_is("{\"id\":{\"a\":1}", "6<>13 id={\"a\":1}\n", false);
    story_is("{\"usage\":{\"a\":1", "9<", false);
}

static void broken_structure_is_refused(void)
{
    static const char *const broken[] = {
        "{\"a\":[1,2}}",
        "{\"a\":{\"b\":[}]}",
        "{]",
        "[}",
        "{\"a\" 1}",
        "{\"a\":1}x",
        "{a:1}",
        "{\"a\":1,}x",
        "[1 2 3]",
        "{}{}",
        "{\"id\":x}",
        "]",
        "{\"id\":1\"2\"}",
        "[1,{\"a\":[[[[]]]]]",
        "<html>",
        "{\"a\":\"b\"\"c\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct span text = span_str(broken[i]);
        for (size_t cut = 0; cut <= text.len; cut++) {
            struct story story = tell(text, cut, text.len);
            EXPECT_EQ(story.last, PARSE_BAD);
        }
    }
}

static void depth_is_bounded(void)
{
    json_tap_plan_init(&plan, paths, PATHS);
    char values[256], deep[2 * JSON_DEPTH_MAX];
    memset(deep, '[', sizeof(deep));
    struct json_tap tap;
    json_tap_init(&tap, &plan, values);
    struct span in = span_of(deep, JSON_DEPTH_MAX);
    EXPECT_EQ(json_tap_feed(&tap, &in), PARSE_MORE);
    in = span_of(deep, 1);
    EXPECT_EQ(json_tap_feed(&tap, &in), PARSE_BAD);
}

static void long_keys_match_nothing(void)
{
    char text[400] = "{\"";
    size_t len = 2;
    for (int i = 0; i < 40; i++, len += 6) // an escaped spelling that is too long to look at
        memcpy(text + len, "\\u0069", 6);
    memcpy(text + len, "\":1,\"id\":2}", sizeof("\":1,\"id\":2}"));
    story_is(text, "251<>252 id=2\n", true);
}

TEST_MAIN(TEST(whole_and_torn_members_give_the_same), TEST(deep_containers_that_are_skipped_match),
          TEST(values_at_paths_are_kept), TEST(nested_paths_and_escaped_keys_match),
          TEST(large_values_are_passed_over), TEST(the_newest_of_repeated_keys_counts),
          TEST(elements_of_a_root_array_are_texts_of_their_own), TEST(other_roots_are_harmless),
          TEST(what_ends_early_is_not_whole), TEST(broken_structure_is_refused),
          TEST(depth_is_bounded), TEST(long_keys_match_nothing))
