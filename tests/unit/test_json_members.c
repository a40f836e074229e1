// What json_members.h promises: the members a route decides on, found once and for sure.
#include "test.h"

#include "penstock/codec/json_members.h"

enum { MODEL, STREAM, OPTIONS, META, COUNT };

struct pass {
    struct json_members members;
    struct json_member items[COUNT];
    enum parse parse;
    struct err err;
};

static void start(struct pass *pass)
{
    *pass =
        (struct pass){ .items = { [MODEL] = { .name = SPAN("model"), .decides = true },
                                  [STREAM] = { .name = SPAN("stream"), .decides = true },
                                  [OPTIONS] = { .name = SPAN("stream_options"), .decides = true },
                                  [META] = { .name = SPAN("metadata") } } };
    json_members_init(&pass->members, pass->items, COUNT);
}

static struct pass read_body(struct span text, size_t budget)
{
    struct pass pass;
    start(&pass);
    do
        pass.parse = json_members_feed(&pass.members, text, true, budget, &pass.err);
    while (pass.parse == PARSE_MORE);
    pass.members.items = NULL; // the copy below has moved
    return pass;
}

static void members_are_found_with_their_places(void)
{
    struct span text = SPAN(" { \"messages\":[{\"model\":\"inner\"}], \"mod\\u0065l\" : \"gpt-x\" ,"
                            "\"stream\":true,\"other\":{}}\n");
    struct pass pass = read_body(text, SIZE_MAX);
    EXPECT_EQ(pass.parse, PARSE_DONE);
    EXPECT_SPAN(json_member_value(&pass.items[MODEL], text).text, "\"gpt-x\"");
    EXPECT_EQ(pass.items[MODEL].place.kind, JK_STRING);
    EXPECT_EQ(pass.items[MODEL].index, 1);
    EXPECT_SPAN(span_of(text.ptr + pass.items[MODEL].place.key_at, 12), "\"mod\\u0065l\"");
    EXPECT_EQ(text.ptr[pass.items[MODEL].before - 1], ']');
    EXPECT_EQ(pass.items[MODEL].after, pass.items[STREAM].place.key_at);
    EXPECT_EQ(pass.items[STREAM].place.kind, JK_TRUE);
    EXPECT(!pass.items[OPTIONS].found);
    EXPECT_EQ(json_member_value(&pass.items[OPTIONS], text).kind, JK_NONE);
    EXPECT_EQ(text.ptr[pass.members.open - 1], '{');
    EXPECT_EQ(pass.members.scan.child_count, 4);
}

static void the_last_member_ends_itself(void)
{
    struct span text = SPAN("{\"model\":1 }");
    struct pass pass = read_body(text, SIZE_MAX);
    EXPECT_EQ(pass.parse, PARSE_DONE);
    EXPECT_EQ(pass.items[MODEL].before, 1);
    EXPECT_EQ(pass.items[MODEL].after, pass.items[MODEL].place.end);
    pass = read_body(SPAN("{}"), SIZE_MAX);
    EXPECT_EQ(pass.parse, PARSE_DONE);
    EXPECT_EQ(pass.members.open, 1);
}

static void fails(struct span text, enum err_code code, const char *report)
{
    struct pass pass;
    start(&pass);
    EXPECT_EQ(json_members_feed(&pass.members, text, true, SIZE_MAX, &pass.err), PARSE_BAD);
    EXPECT_EQ(pass.err.code, code);
    char out[JSON_MEMBERS_REPORT];
    size_t len = json_members_report(&pass.members, text, out);
    EXPECT_SPAN(span_of(out, len), report);
}

static void what_is_wrong_is_said_with_its_place(void)
{
    fails(SPAN("{\"model\":\"a\",\"mod\\u0065l\":\"b\"}"), ERR_JSON_DUPLICATE,
          "a second member of this name at byte 13 (model)");
    fails(SPAN("[\"model\"]"), ERR_JSON_TYPE, "the body is not an object at byte 0");
    fails(SPAN("\"model\""), ERR_JSON_TYPE, "the body is not an object at byte 0");
    fails(SPAN("{\"messages\":[{},{\"content\":tru}]}"), ERR_JSON_MALFORMED,
          "unexpected character at byte 27 (messages[1].content)");
    fails(SPAN("{\"model\":1"), ERR_JSON_MALFORMED, "unexpected end at byte 10 (model)");
    fails(SPAN(""), ERR_JSON_MALFORMED, "unexpected end at byte 0");
    char deep[2 * JSON_DEPTH_MAX];
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{\"a\":", 5);
    fails(span_of(deep, sizeof(deep)), ERR_JSON_TOO_DEEP,
          "nested too deeply at byte 516 (a[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0])");
}

static void a_smaller_depth_is_kept(void)
{
    const struct span text = SPAN("{\"a\":[[1]]}"); // three levels
    for (uint32_t depth = 1; depth <= 4; depth++) {
        struct pass pass;
        start(&pass);
        json_members_limit(&pass.members, depth);
        const bool fits = depth >= 3;
        EXPECT_EQ(json_members_feed(&pass.members, text, true, SIZE_MAX, &pass.err),
                  fits ? PARSE_DONE : PARSE_BAD);
        EXPECT(fits || pass.members.err.code == ERR_JSON_TOO_DEEP);
    }
}

static void harmless_members_may_repeat(void)
{
    struct span text = SPAN("{\"metadata\":1,\"metadata\":2,\"x\":1,\"x\":2}");
    struct pass pass = read_body(text, SIZE_MAX);
    EXPECT_EQ(pass.parse, PARSE_DONE);
    EXPECT_SPAN(json_member_value(&pass.items[META], text).text, "2");
}

static void a_body_may_arrive_in_any_pieces(void)
{
    struct span text =
        SPAN("{\"a\":[1,2,{\"b\":\"\xe4\xb8\xad\"}],\"model\":\"m\",\"stream\":false , "
             "\"metadata\":{\"k\":-1.5e3}}");
    struct pass whole = read_body(text, SIZE_MAX);
    for (size_t step = 1; step <= text.len; step++) {
        struct pass pass;
        start(&pass);
        pass.parse = PARSE_MORE;
        for (size_t len = 0; pass.parse == PARSE_MORE; len = min_size(len + step, text.len))
            pass.parse = json_members_feed(&pass.members, span_upto(text, len), len == text.len,
                                           JSON_STEP, &pass.err);
        EXPECT_EQ(pass.parse, PARSE_DONE);
        for (size_t i = 0; i < COUNT; i++)
            EXPECT(memcmp(&pass.items[i], &whole.items[i], sizeof(pass.items[i])) == 0);
    }
}

TEST_MAIN(TEST(members_are_found_with_their_places), TEST(the_last_member_ends_itself),
          TEST(what_is_wrong_is_said_with_its_place), TEST(a_smaller_depth_is_kept),
          TEST(harmless_members_may_repeat), TEST(a_body_may_arrive_in_any_pieces))
