// What url.h promises: one canonical path or none, queries read by their meaning, base URLs.
#include "test.h"

#include "penstock/base/check.h"
#include "penstock/codec/url.h"

static char room[8 * KIB];
static struct url_target target;

static bool parse(const char *text)
{
    memset(room, '#', sizeof(room));
    return !failed(url_target_parse(span_str(text), room, sizeof(room), &target));
}

static void a_target_is_split_and_not_copied(void)
{
    static const char text[] = "/v1/chat/completions?beta=true&x";
    EXPECT(parse(text));
    EXPECT_SPAN(target.path, "/v1/chat/completions");
    EXPECT(target.path.ptr == text);
    EXPECT_SPAN(target.query, "beta=true&x");
    EXPECT_EQ(room[0], '#');
    EXPECT(parse("/v1/models?a=%41%2f%0a&%62=%C3%A9")); // escapes of a query are left alone
    EXPECT_SPAN(target.query, "a=%41%2f%0a&%62=%C3%A9");
    EXPECT(parse("/v1/models"));
    EXPECT_EQ(target.query.len, 0);
    EXPECT(parse("/v1/models?"));
    EXPECT_EQ(target.query.len, 0);
    EXPECT(parse("*"));
    EXPECT_SPAN(target.path, "*");
}

static const struct {
    const char *text, *path;
} canonical[] = {
    { "/", "/" },
    { "//", "/" },
    { "//v1beta//models///x/", "/v1beta/models/x/" },
    { "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
      "/v1beta/models/gemini-2.5-pro:streamGenerateContent" },
    { "/%76%31/%6dodels", "/v1/models" },
    { "/a%2Db%5fc%7e", "/a-b_c~" },
    { "/model/anthropic.claude-v2%3a1/invoke", "/model/anthropic.claude-v2%3A1/invoke" },
    { "/a%20b%3Fc%23", "/a%20b%3Fc%23" },
    { "/.well-known/x", "/.well-known/x" },
    { "/a/...", "/a/..." },
    { "/a../..b/c.", "/a../..b/c." },
    { "/!$&'()*+,=:@~", "/!$&'()*+,=:@~" },
};

static void equal_paths_have_one_form(void)
{
    for (size_t i = 0; i < ARRAY_LEN(canonical); i++) {
        EXPECT(parse(canonical[i].text));
        EXPECT_SPAN(target.path, canonical[i].path);
        EXPECT(parse(canonical[i].path)); // which does not change again
        EXPECT_SPAN(target.path, canonical[i].path);
    }
}

static void a_path_of_two_meanings_is_refused(void)
{
    static const char *const refused[] = {
        "",
        "v1",
        "?a",
        "http://a/",
        "**",
        // Dot segments, plain and encoded.
        "/.",
        "/..",
        "/./a",
        "/../a",
        "/a/.",
        "/a/..",
        "/a/./b",
        "/a/../b",
        "/%2e",
        "/%2E%2e/a",
        "/a/.%2e/b",
        "/a//../b",
        "/a/%2e/",
        // What some readers take for a slash, the end, or a parameter.
        "/a\\b",
        "/a%5cb",
        "/a%5Cb",
        "/a%2fb",
        "/a%2Fb",
        "/a;b",
        "/a;b=c/d",
        "/a%3bb",
        "/a%00",
        "/a%00b",
        "/a%01",
        "/a%0a",
        "/a%0D",
        "/a%1f",
        "/a%7f",
        "/a\x01",
        "/a\x7f",
        "/a\tb",
        "/a b",
        // Decoded twice, it would be another path.
        "/a%252fb",
        "/a%25",
        // Not ASCII.
        "/caf\xc3\xa9",
        "/caf%C3%A9",
        "/%ff",
        "/%80",
        "/%c0%af",
        // Broken escapes.
        "/%",
        "/%4",
        "/%4g",
        "/%g4",
        "/%%34",
        "/%u0041",
        "/%-1",
        // Not of a path's alphabet.
        "/a#b",
        "/a\"",
        "/<a>",
        "/{a}",
        "/a|b",
        "/a^b",
        "/a`b",
        "/[a]",
        // Queries.
        "/a?%",
        "/a?b=%4",
        "/a?b=%zz",
        "/a?b=%00",
        "/a?\xc3\xa9",
        "/a?b c",
        "/a?b#c",
        "/a?\x01",
        "/a?b\\c",
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (parse(refused[i]))
            fprintf(stderr, "accepted: %s\n", refused[i]);
        EXPECT(!parse(refused[i]));
    }
    const struct err err = url_target_parse(SPAN("/.."), room, sizeof(room), &target);
    EXPECT_EQ(err.code, ERR_TARGET_MALFORMED);
    EXPECT(failed(url_target_parse(span_of("/a\0b", 4), room, sizeof(room), &target)));
}

static void a_query_is_walked_in_order(void)
{
    struct span query = SPAN("&alt=sse&&key=a%3db=c&flag&=x&");
    struct url_param param;
    static const char *const want[][3] = { { "alt", "sse", "alt=sse" },
                                           { "key", "a%3db=c", "key=a%3db=c" },
                                           { "flag", "", "flag" },
                                           { "", "x", "=x" } };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        EXPECT(url_param_next(&query, &param));
        EXPECT_SPAN(param.name, want[i][0]);
        EXPECT_SPAN(param.value, want[i][1]);
        EXPECT_SPAN(param.whole, want[i][2]);
    }
    EXPECT(!url_param_next(&query, &param));
    query = SPAN_NONE;
    EXPECT(!url_param_next(&query, &param));
}

static void names_are_compared_by_meaning(void)
{
    EXPECT(url_text_is(SPAN("key"), SPAN("key")));
    EXPECT(url_text_is(SPAN("%6b%65%79"), SPAN("key")));
    EXPECT(url_text_is(SPAN("k%65y"), SPAN("key")));
    EXPECT(url_text_is(SPAN("a+b%2B"), SPAN("a b+")));
    EXPECT(!url_text_is(SPAN("Key"), SPAN("key")));
    EXPECT(!url_text_is(SPAN("ke"), SPAN("key")));
    EXPECT(!url_text_is(SPAN("keys"), SPAN("key")));
    EXPECT(!url_text_is(SPAN(""), SPAN("key")));
    EXPECT(url_text_is(SPAN(""), SPAN("")));
    EXPECT(url_text_is(SPAN("%4"), SPAN("%4"))); // a broken escape stands for itself

    struct url_param param;
    EXPECT(url_param_find(SPAN("alt=sse&%6bey=secret&key=other"), SPAN("key"), &param));
    EXPECT_SPAN(param.value, "secret");
    EXPECT(!url_param_find(SPAN("keys=1&akey=2&k=key"), SPAN("key"), &param));
}

static void text_is_decoded_once(void)
{
    char small[32];
    EXPECT_SPAN(url_text_decode(SPAN("a%2Bb+c%2525"), small, sizeof(small)), "a+b c%25");
    EXPECT_SPAN(url_path_decode(SPAN("a+b%3A1"), small, sizeof(small)), "a+b:1");
    const struct span plain = SPAN("plain");
    EXPECT(url_text_decode(plain, small, sizeof(small)).ptr == plain.ptr);
    EXPECT(url_path_decode(plain, small, sizeof(small)).ptr == plain.ptr);
    EXPECT_SPAN(url_text_decode(SPAN("%"), small, sizeof(small)), "%");
    EXPECT_SPAN(url_text_decode(SPAN("%4"), small, sizeof(small)), "%4");
    EXPECT_SPAN(url_text_decode(SPAN("%zz%41"), small, sizeof(small)), "%zzA");
    EXPECT_EQ(url_text_decode(SPAN(""), small, sizeof(small)).len, 0);
}

static void a_parameter_is_removed_wherever_it_is(void)
{
    static const struct {
        const char *query, *without;
    } cases[] = {
        { "key=s", "" },
        { "key", "" },
        { "key=s&alt=sse", "alt=sse" },
        { "alt=sse&key=s", "alt=sse" },
        { "alt=sse&key=s&a=b", "alt=sse&a=b" },
        { "key=s&alt=sse&key=t", "alt=sse" },
        { "%6bey=s&alt=%73se", "alt=%73se" },
        { "a=key&keys=1", "a=key&keys=1" },
        { "&&key=s&&a=b&&", "a=b" },
        { "", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_SPAN(url_param_remove(span_str(cases[i].query), SPAN("key"), room, sizeof(room)),
                    cases[i].without);
    const struct span kept = SPAN("alt=sse&&x");
    EXPECT(url_param_remove(kept, SPAN("key"), room, sizeof(room)).ptr == kept.ptr);
}

static void an_authority_is_a_host_and_perhaps_a_port(void)
{
    static const char *const valid[] = {
        "a",       "a.b",   "A-b_c.example", "127.0.0.1",   "a:1",
        "a:65535", "[::1]", "[::1]:8080",    "[fe80::1:2]", "[::ffff:1.2.3.4]"
    };
    static const char *const invalid[] = {
        "",      ":",       ":80",    "a:",    "a:0",         "a:080",  "a:65536", "a:123456",
        "a:+1",  "a:1:2",   "a b",    "a,b",   "a/b",         "u@a",    "a%20",    "a\tb",
        "[",     "[]",      "[::1",   "::1",   "[::1]x",      "[::1]:", "[::1]:0", "[1.2.3.4]",
        "[::g]", "[::1%1]", "[v1.x]", "a\x7f", "caf\xc3\xa9", "a?b",    "a#b",     "[[::1]]",
    };
    for (size_t i = 0; i < ARRAY_LEN(valid); i++)
        EXPECT(url_authority_is_valid(span_str(valid[i])));
    for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
        if (url_authority_is_valid(span_str(invalid[i])))
            fprintf(stderr, "accepted: %s\n", invalid[i]);
        EXPECT(!url_authority_is_valid(span_str(invalid[i])));
    }
    EXPECT(!url_authority_is_valid(span_of("a\0b", 3)));
    EXPECT(!url_authority_is_valid(span_of("[::1\0]", 6)));
    char longest[URL_HOST_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    EXPECT(url_authority_is_valid(span_of(longest, URL_HOST_MAX)));
    EXPECT(!url_authority_is_valid(span_of(longest, URL_HOST_MAX + 1)));
}

TEST_MAIN(TEST(a_target_is_split_and_not_copied), TEST(equal_paths_have_one_form),
          TEST(a_path_of_two_meanings_is_refused), TEST(a_query_is_walked_in_order),
          TEST(names_are_compared_by_meaning), TEST(text_is_decoded_once),
          TEST(a_parameter_is_removed_wherever_it_is),
          TEST(an_authority_is_a_host_and_perhaps_a_port))
