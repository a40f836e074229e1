// What json_shape.h promises: what is taken for a body of the same form is what a pass would find.
#include "test.h"

#include "penstock/base/env.h"
#include "penstock/codec/json_shape.h"

enum { MODEL, STREAM, OPTIONS, ITEMS };
enum { BODY_MAX = 4 * KIB, DEPTH = 16 };

#define MARK JSON_MARK('m', 'a', 'r', 'k')
static const struct json_marks marks = {
    .filter = JSON_MARK_BIT(MARK),
    .count = 1,
    .words = { MARK },
};

struct pass {
    struct json_members members;
    struct json_member items[ITEMS];
};

static void start(struct pass *pass)
{
    static const struct json_member items[ITEMS] = {
        [MODEL] = { .name = { "model", 5 }, .decides = true },
        [STREAM] = { .name = { "stream", 6 }, .decides = true },
        [OPTIONS] = { .name = { "options", 7 } },
    };
    memcpy(pass->items, items, sizeof(items));
    json_members_init(&pass->members, pass->items, ITEMS);
    json_members_limit(&pass->members, DEPTH);
    pass->members.scan.marks = &marks;
}

static enum parse feed(struct pass *pass, struct span text)
{
    struct err err;
    start(pass);
    return json_members_feed(&pass->members, text, true, SIZE_MAX, &err);
}

static void learn(struct json_shape *shape, struct span text)
{
    struct pass pass;
    struct json_texts texts;
    struct err err;
    start(&pass);
    json_scan_texts(&pass.members.scan, &texts);
    EXPECT_EQ(json_members_feed(&pass.members, text, true, SIZE_MAX, &err), PARSE_DONE);
    json_shape_learn(shape, text, &texts, &pass.members);
}

// True if the shape takes the text; what it then tells has to be what a pass tells.
static bool takes(struct json_shape *shape, struct span text)
{
    struct pass by_shape, by_pass;
    start(&by_shape);
    if (!json_shape_take(shape, text, &by_shape.members))
        return false;
    EXPECT_EQ(feed(&by_pass, text), PARSE_DONE);
    EXPECT_EQ(by_shape.members.scan.marked, by_pass.members.scan.marked);
    for (int i = 0; i < ITEMS; i++) {
        const struct json_member *a = &by_shape.items[i], *b = &by_pass.items[i];
        EXPECT_EQ(a->found, b->found);
        if (!a->found || !b->found)
            continue;
        EXPECT_EQ(a->index, b->index);
        EXPECT_EQ(a->before, b->before);
        EXPECT_EQ(a->after, b->after);
        EXPECT(memcmp(&a->place, &b->place, sizeof(a->place)) == 0);
    }
    return true;
}

static struct json_shape shape;

#define LONG "a text that is longer than a few words"
#define BODY(first, model, second)                                                      \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"" first "\"}], \"model\":\"" model \
    "\" ,\"stream\":true,\"options\":{\"note\":\"" second "\",\"n\":[1,2.5e3,null]} }"

static void a_body_of_the_same_form_is_known(void)
{
    json_shape_init(&shape);
    EXPECT(!takes(&shape, SPAN(BODY(LONG, "gpt", LONG))));
    learn(&shape, SPAN(BODY(LONG, "gpt", LONG)));
    EXPECT(takes(&shape, SPAN(BODY(LONG, "gpt", LONG))));
    EXPECT(takes(&shape, SPAN(BODY("", "gpt", LONG LONG))));
    EXPECT(takes(&shape, SPAN(BODY("mark" LONG, "gpt", "\\u00e9\\n \xc3\xa9"))));
    EXPECT(takes(&shape, SPAN(BODY(LONG, "gpt", "mark: this is one, too"))));
    EXPECT(!takes(&shape, SPAN(BODY(LONG, "gpu", LONG))));
    EXPECT(!takes(&shape, SPAN(BODY(LONG, "gpt", LONG) " ")));
    learn(&shape, SPAN(BODY(LONG, LONG, "x"))); // a long name is a text like others
    EXPECT(takes(&shape, SPAN(BODY("", LONG " 2", "x"))));
    learn(&shape, SPAN("{}                                 ")); // no text at all
    EXPECT(takes(&shape, SPAN("{}                                 ")));
    EXPECT(!takes(&shape, SPAN_NONE));
    learn(&shape, SPAN(BODY("mark" LONG, "gpt", LONG))); // this one stays with the scanner
    EXPECT(!takes(&shape, SPAN(BODY("mark" LONG, "gpt", LONG))));
}

static void what_is_not_valid_is_not_known(void)
{
    json_shape_init(&shape);
    learn(&shape, SPAN(BODY(LONG, "gpt", LONG)));
    EXPECT(!takes(&shape, SPAN(BODY("a \n b", "gpt", LONG))));
    EXPECT(!takes(&shape, SPAN(BODY("a \\x b", "gpt", LONG))));
    EXPECT(!takes(&shape, SPAN(BODY("\\u12g4", "gpt", LONG))));
    EXPECT(!takes(&shape, SPAN(BODY(LONG, "gpt", LONG "\xc3"))));
    EXPECT(!takes(&shape, SPAN(BODY(LONG, "gpt", "\xed\xa0\x80"))));
    EXPECT(!takes(&shape, SPAN(BODY("\"", "gpt", LONG))));
    struct pass other; // limits that were not those
    start(&other);
    json_members_limit(&other.members, DEPTH - 1);
    EXPECT(!json_shape_take(&shape, SPAN(BODY(LONG, "gpt", LONG)), &other.members));
}

static void what_does_not_fit_is_not_learnt(void)
{
    static char body[BODY_MAX];
    json_shape_init(&shape);
    size_t len;
    struct span part = SPAN("\"" LONG "\",");
    struct pass pass;
    struct json_texts texts;
    for (size_t count = 1; count <= JSON_TEXTS_MAX + 1; count++) {
        int more = snprintf(body, sizeof(body), "{\"a list of more than a vector\":[");
        len = (size_t)more;
        for (size_t i = 0; i < count; i++, len += part.len)
            memcpy(body + len, part.ptr, part.len);
        len += (size_t)snprintf(body + len - 1, sizeof(body) - len, "]}") - 1;
        learn(&shape, span_of(body, len));
        EXPECT_EQ(takes(&shape, span_of(body, len)), count <= JSON_TEXTS_MAX);
    }
    memset(body, ' ', sizeof(body)); // more bytes than are kept
    memcpy(body, "{}", 2);
    learn(&shape, span_of(body, sizeof(body)));
    EXPECT(!takes(&shape, span_of(body, sizeof(body))));
    struct span text = SPAN("{\"a\":\"0123456789012345678901234567890123456789"
                            "012345678901234567890123456789012345678901234567\"}");
    struct err err; // a text that came in parts
    start(&pass);
    json_scan_texts(&pass.members.scan, &texts);
    enum parse parse;
    do
        parse = json_members_feed(&pass.members, text, true, JSON_STEP_MIN, &err);
    while (parse == PARSE_MORE);
    json_shape_learn(&shape, text, &texts, &pass.members);
    EXPECT(!takes(&shape, text));
}

static void bodies_that_keep_differing_are_left_alone(void)
{
    char body[64];
    json_shape_init(&shape);
    unsigned tried = 0;
    for (int i = 0; i < 4096; i++) {
        if (!likeness_due(&shape.likeness))
            continue;
        tried++;
        struct span text = span_of(body, (size_t)snprintf(body, sizeof(body),
                                                          "{\"n\":%d,"
                                                          "\"and\":\"more\"}",
                                                          i));
        EXPECT(!takes(&shape, text));
        learn(&shape, text);
    }
    EXPECT(tried < 30);
    EXPECT(tried > 15);
}

// Any change of a byte, and any cut: if it is taken, a pass agrees.
static void whatever_is_taken_is_what_a_pass_finds(void)
{
    struct span learnt[] = {
        SPAN(BODY(LONG, "gpt", LONG)),
        SPAN("{\"options\":\"" LONG "\",\"mod\\u0065l\":\"" LONG "\",\"x\":\"" LONG
             "\",\"stream\":false}"),
    };
    static const char bytes[] = "\"\\u0,:{}[] \n\x80\xc3z";
    char body[512];
    unsigned taken = 0;
    for (size_t k = 0; k < ARRAY_LEN(learnt); k++) {
        json_shape_init(&shape);
        learn(&shape, learnt[k]);
        for (size_t i = 0; i < learnt[k].len; i++) {
            for (size_t b = 0; b + 1 < sizeof(bytes); b++) {
                memcpy(body, learnt[k].ptr, learnt[k].len);
                body[i] = bytes[b];
                taken += takes(&shape, span_of(body, learnt[k].len));
                memmove(body + i, body + i + 1, learnt[k].len - i - 1);
                taken += takes(&shape, span_of(body, learnt[k].len - 1));
            }
            EXPECT(!takes(&shape, span_upto(learnt[k], i)));
        }
    }
    EXPECT(taken > 500);
}

TEST_MAIN(TEST(a_body_of_the_same_form_is_known), TEST(what_is_not_valid_is_not_known),
          TEST(what_does_not_fit_is_not_learnt), TEST(bodies_that_keep_differing_are_left_alone),
          TEST(whatever_is_taken_is_what_a_pass_finds))
