// What json.h promises: what is JSON and what is not, in one go or in pieces, and how to walk it.
#include "test.h"

#include "penstock/base/env.h"
#include "penstock/codec/json.h"

static enum parse scan_all(struct json_scan *scan, struct span text, size_t budget)
{
    json_scan_init(scan, false);
    for (;;) {
        enum parse parse = json_scan_feed(scan, text, true, budget);
        if (parse != PARSE_MORE)
            return parse;
    }
}

static void accepts(const char *text)
{
    struct json_scan scan;
    if (scan_all(&scan, span_str(text), SIZE_MAX) != PARSE_DONE) {
        fprintf(stderr, "refused: %s (%s at %zu)\n", text,
                json_fault_text((enum json_fault)scan.fault), scan.pos);
        test_failures++;
    }
}

static void refuses(struct span text, enum json_fault fault, size_t at)
{
    struct json_scan scan;
    enum parse parse = scan_all(&scan, text, SIZE_MAX);
    if (parse != PARSE_BAD || scan.fault != fault || scan.pos != at) {
        fprintf(stderr, "%.*s: fault \"%s\" at %zu, expected \"%s\" at %zu\n", (int)text.len,
                text.ptr, json_fault_text((enum json_fault)scan.fault), scan.pos,
                json_fault_text(fault), at);
        test_failures++;
    }
}
#define REFUSES(text, fault, at) refuses(SPAN(text), JSON_FAULT_##fault, at)

#define MARK JSON_MARK('p', 's', 't', '1')
static const struct json_marks marks = {
    .filter = JSON_MARK_BIT(MARK),
    .count = 1,
    .words = { MARK },
};

// Whether a string may begin with the mark: the text in one go, or so that each call sees some
// bytes more of it.
static bool is_marked(struct span text, size_t step)
{
    struct json_scan scan;
    json_scan_init(&scan, false);
    scan.marks = &marks;
    for (size_t len = min_size(step, text.len);; len = min_size(len + step, text.len)) {
        const bool final = len == text.len;
        enum parse parse;
        do
            parse = json_scan_feed(&scan, span_upto(text, len), final, step);
        while (parse == PARSE_MORE && scan.pos + JSON_STEP_MIN <= len);
        if (final && parse != PARSE_MORE) {
            EXPECT(parse == PARSE_DONE);
            return scan.marked != 0;
        }
    }
}

static void a_mark_is_seen_where_strings_begin(void)
{
    char text[300];
    for (size_t before = 0; before < 150; before++) {
        const int len = snprintf(text, sizeof(text), "{\"%0*d\":[1,\"pst1.0123456789abcdef\"]}",
                                 (int)before + 1, 0);
        const struct span body = span_of(text, (size_t)len);
        char *mark = strstr(text, "pst1");
        EXPECT(is_marked(body, body.len));
        for (size_t step = 1; step < body.len; step += 3)
            EXPECT(is_marked(body, step));
        mark[3] = '2';
        EXPECT(!is_marked(body, body.len));
        memcpy(mark + 1, "pst1", 4); // in the midst of a string
        EXPECT(!is_marked(body, body.len));
    }
    EXPECT(is_marked(SPAN("{\"pst1\":0}"), SIZE_MAX));
    struct json_scan scan; // nobody looks for any
    json_scan_init(&scan, false);
    EXPECT(json_scan_feed(&scan, SPAN("[\"pst1.0123456789abcdef\",\"\"]"), true, SIZE_MAX) ==
           PARSE_DONE);
    EXPECT_EQ(scan.marked, 0);
}

static void json_is_accepted(void)
{
    accepts("{}");
    accepts("[]");
    accepts(" \t\r\n{ \"a\" : [ ] , \"b\" : { } } \n");
    accepts("null");
    accepts("\"\"");
    accepts("[true,false,null,0,-0,1.5,-1e10,1E+2,0.0e-0,12345678901234567890]");
    accepts("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uD800\\udfff\"");
    accepts("\"Gr\xc3\xbc\xc3\x9f"
            "e \xf0\x9f\x8c\x8d \xe2\x80\xa8 \x7f\"");
    accepts("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    accepts("[                                                     1,\n                    2]");
    accepts("{\"a\":1,\"a\":2}");
}

static void what_is_not_json_is_refused_where_it_begins(void)
{
    REFUSES("", EARLY, 0);
    REFUSES("  ", EARLY, 2);
    REFUSES("{", EARLY, 1);
    REFUSES("[1", EARLY, 2);
    REFUSES("{\"a\"", EARLY, 4);
    REFUSES("\"abc", EARLY, 4);
    REFUSES("\"abc\\", EARLY, 4);
    REFUSES("\"abc\\u12", EARLY, 4);
    REFUSES("tru", EARLY, 0);
    REFUSES("{} {}", AFTER, 3);
    REFUSES("1 2", AFTER, 2);
    REFUSES("[1,]", SYNTAX, 3);
    REFUSES("[,1]", SYNTAX, 1);
    REFUSES("{,}", SYNTAX, 1);
    REFUSES("{\"a\":1,}", SYNTAX, 7);
    REFUSES("{\"a\" 1}", SYNTAX, 5);
    REFUSES("{\"a\":}", SYNTAX, 5);
    REFUSES("{a:1}", SYNTAX, 1);
    REFUSES("{1:1}", SYNTAX, 1);
    REFUSES("[1}", SYNTAX, 2);
    REFUSES("{\"a\":1]", SYNTAX, 6);
    REFUSES("[1 2]", SYNTAX, 3);
    REFUSES("nulL", SYNTAX, 0);
    REFUSES("'a'", SYNTAX, 0);
    REFUSES("// c", SYNTAX, 0);
    REFUSES("\xef\xbb\xbf{}", SYNTAX, 0); // a byte order mark is not white space
    REFUSES("\f[]", SYNTAX, 0);
    REFUSES("[01]", SYNTAX, 2);
    REFUSES("[-]", NUMBER, 1);
    REFUSES("[1.]", NUMBER, 1);
    REFUSES("[.5]", SYNTAX, 1);
    REFUSES("[1e]", NUMBER, 1);
    REFUSES("[1e+]", NUMBER, 1);
    REFUSES("[+1]", SYNTAX, 1);
    REFUSES("[0x10]", SYNTAX, 2);
    REFUSES("-", NUMBER, 0);
    REFUSES("NaN", SYNTAX, 0);
    REFUSES("\"a\nb\"", CONTROL, 2);
    REFUSES("\"a\0b\"", CONTROL, 2);
    REFUSES("\"a\\x41\"", ESCAPE, 2);
    REFUSES("\"\\u12g4\"", ESCAPE, 1);
    REFUSES("\"ab\xff\"", UTF8, 3);
    REFUSES("\"ab\xe4\xb8\"", UTF8, 3);
    REFUSES("\"0123456789012345678901234567890123456789\xc0\x80\"", UTF8, 41);
    REFUSES("\"\xed\xa0\x80\"", UTF8, 1);
    REFUSES("\"ab\xe4\xb8", UTF8, 3);
    REFUSES("[\x80]", SYNTAX, 1);
}

static void depth_and_numbers_are_bounded(void)
{
    char text[2 * JSON_DEPTH_MAX + 3];
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    struct json_scan scan;
    EXPECT_EQ(scan_all(&scan, span_of(text, 2 * JSON_DEPTH_MAX + 2), 100), PARSE_BAD);
    EXPECT_EQ(scan.fault, JSON_FAULT_DEPTH);
    EXPECT_EQ(scan.pos, JSON_DEPTH_MAX);
    EXPECT_EQ(scan_all(&scan, span_of(text + 1, 2 * JSON_DEPTH_MAX), 100), PARSE_DONE);

    char digits[JSON_NUMBER_MAX + 1];
    memset(digits, '7', sizeof(digits));
    EXPECT_EQ(scan_all(&scan, span_of(digits, JSON_NUMBER_MAX), 100), PARSE_DONE);
    EXPECT_EQ(scan_all(&scan, span_of(digits, JSON_NUMBER_MAX + 1), 100), PARSE_BAD);
    EXPECT_EQ(scan.fault, JSON_FAULT_NUMBER);
}

static const char *const samples[] = {
    "{\"model\":\"gpt-x\",\"n\":-12.5e+3,\"messages\":[{\"role\":\"user\",\"content\":"
    "\"Gr\xc3\xbc\xc3\x9f"
    "e \\ud83c\\udf0d \xf0\x9f\x8c\x8d and a line that is long enough for "
    "every vector, with \xe4\xb8\xad\xe6\x96\x87 in it \\\\\\\"\"}],\"stream\":true}  \n",
    "[1,[2,{\"a\":null}],\"x\",0.5]",
    "{\"a\":[1,2,{\"b\":\"bad \\q escape\"}]}",
    "{\"a\":[1,2,{\"b\":\"bad \xff byte\"}]}",
    "{\"a\":tru3}",
    "[1,2",
    "{\"a\":1}x",
    "[\"cut character \xe4\xb8",
};

// The text arrives in two parts, and may move in between.
static void text_may_grow_at_every_byte(void)
{
    for (size_t s = 0; s < ARRAY_LEN(samples); s++) {
        struct span text = span_str(samples[s]);
        struct json_scan whole;
        enum parse want = scan_all(&whole, text, SIZE_MAX);
        for (size_t cut = 0; cut <= text.len; cut++) {
            struct json_scan scan;
            json_scan_init(&scan, false);
            char part[400];
            memcpy(part, text.ptr, cut);
            enum parse parse = json_scan_feed(&scan, span_of(part, cut), false, SIZE_MAX);
            EXPECT(parse == PARSE_MORE || (parse == PARSE_BAD && want == PARSE_BAD));
            if (parse == PARSE_MORE)
                parse = json_scan_feed(&scan, text, true, SIZE_MAX);
            EXPECT_EQ(parse, want);
            EXPECT_EQ(scan.fault, whole.fault);
            EXPECT_EQ(scan.pos, whole.pos);
        }
    }
}

static void text_may_arrive_byte_by_byte(void)
{
    for (size_t s = 0; s < ARRAY_LEN(samples); s++) {
        struct span text = span_str(samples[s]);
        struct json_scan whole, scan;
        enum parse want = scan_all(&whole, text, SIZE_MAX), parse = PARSE_MORE;
        json_scan_init(&scan, false);
        for (size_t len = 0; len <= text.len && parse == PARSE_MORE; len++)
            parse = json_scan_feed(&scan, span_upto(text, len), len == text.len, SIZE_MAX);
        EXPECT_EQ(parse, want);
        EXPECT_EQ(scan.pos, whole.pos);
    }
}

// A call does no more than its budget, but for the one token it is in.
static void work_a_call_is_bounded(void)
{
    enum { LEN = 100000 };
    static char text[LEN];
    memset(text, 'x', LEN);
    text[0] = text[LEN - 1] = '"';
    memcpy(text + 50000, "\xe4\xb8\xad\xe4\xb8\xad", 6);
    for (size_t budget = 0; budget < 3000; budget += 101) {
        struct json_scan scan;
        json_scan_init(&scan, false);
        size_t before = 0, calls = 0;
        enum parse parse;
        do {
            parse = json_scan_feed(&scan, span_of(text, LEN), true, budget);
            EXPECT(scan.pos - before <= max_size(budget, JSON_STEP_MIN) + JSON_NUMBER_MAX);
            before = scan.pos;
            calls++;
        } while (parse == PARSE_MORE);
        EXPECT_EQ(parse, PARSE_DONE);
        EXPECT(calls >= LEN / max_size(budget, JSON_STEP_MIN));
    }
}

static void child_is(const struct json_scan *scan, struct span text, size_t child, const char *key,
                     const char *value, enum json_kind kind)
{
    const struct json_place *place = &scan->places[child];
    EXPECT_SPAN(span_of(text.ptr + place->key_at, place->key_len), key);
    EXPECT_SPAN(span_of(text.ptr + place->at, place->end - place->at), value);
    EXPECT_EQ(place->kind, kind);
}

static void children_of_the_root_are_reported(void)
{
    struct span text = SPAN("{ \"a\" : 1, \"b\":{\"c\":[1,2]} ,\"d\":\"x\"}");
    struct json_scan scan;
    json_scan_init(&scan, true);
    EXPECT_EQ(json_scan_feed(&scan, text, true, SIZE_MAX), PARSE_DONE);
    EXPECT_EQ(scan.place_count, 3);
    child_is(&scan, text, 0, "\"a\"", "1", JK_NUMBER);
    child_is(&scan, text, 1, "\"b\"", "{\"c\":[1,2]}", JK_OBJECT);
    child_is(&scan, text, 2, "\"d\"", "\"x\"", JK_STRING);
    EXPECT_EQ(scan.child_count, 3);
    EXPECT_EQ(scan.root, JK_OBJECT);
}

// However many there are, and however the text comes, each is told of once.
static void many_children_come_in_several_calls(void)
{
    enum { CHILDREN = 3 * JSON_SCAN_PLACES + 1 };
    char text[1024];
    size_t len = 0;
    for (size_t i = 0; i < CHILDREN; i++)
        len +=
            (size_t)snprintf(text + len, sizeof(text) - len, "%c\"k%zu\":%zu", i ? ',' : '{', i, i);
    text[len++] = '}';
    for (size_t step = 1; step <= len; step++) {
        struct json_scan scan;
        json_scan_init(&scan, true);
        size_t told = 0;
        enum parse parse = PARSE_MORE;
        for (size_t shown = 0; parse != PARSE_DONE && parse != PARSE_BAD;) {
            if (parse == PARSE_MORE)
                shown = min_size(shown + step, len);
            parse = json_scan_feed(&scan, span_of(text, shown), shown == len, SIZE_MAX);
            EXPECT(parse != PARSE_DATA || scan.place_count == JSON_SCAN_PLACES);
            for (size_t i = 0; i < scan.place_count; i++, told++) {
                char key[16], value[16];
                (void)snprintf(key, sizeof(key), "\"k%zu\"", told);
                (void)snprintf(value, sizeof(value), "%zu", told);
                child_is(&scan, span_of(text, len), i, key, value, JK_NUMBER);
            }
        }
        EXPECT_EQ(parse, PARSE_DONE);
        EXPECT_EQ(told, CHILDREN);
    }
}

static struct json_slice checked(const char *text)
{
    struct json_slice out = JSON_SLICE_NONE;
    EXPECT(json_check(span_str(text), &out));
    return out;
}

static void objects_and_arrays_are_walked(void)
{
    struct json_slice root =
        checked(" {\"a\" : \"x\\\"}\" , \"b\":[1, [2,3],{}],\"c\":{\"d\":null}} ");
    struct json_iter iter = json_members_of(root);
    struct span key;
    struct json_slice value;
    EXPECT(json_member_next(&iter, &key, &value));
    EXPECT_SPAN(key, "a");
    EXPECT_SPAN(value.text, "\"x\\\"}\"");
    EXPECT(json_member_next(&iter, &key, &value));
    struct json_iter inner = json_elements_of(value);
    EXPECT(json_element_next(&inner, &value));
    EXPECT_SPAN(value.text, "1");
    EXPECT(json_element_next(&inner, &value));
    EXPECT_SPAN(value.text, "[2,3]");
    EXPECT(json_element_next(&inner, &value));
    EXPECT_EQ(value.kind, JK_OBJECT);
    EXPECT(!json_element_next(&inner, &value));
    EXPECT(!inner.bad);
    EXPECT(json_member_next(&iter, &key, &value));
    EXPECT_SPAN(key, "c");
    EXPECT(!json_member_next(&iter, &key, &value));
    EXPECT(!json_member_next(&iter, &key, &value));
    EXPECT(!iter.bad);

    const struct span path[] = { SPAN("c"), SPAN("d") };
    EXPECT_EQ(json_get_path(root, path, 2).kind, JK_NULL);
    EXPECT_EQ(json_get_path(root, path + 1, 1).kind, JK_NONE);
    EXPECT_EQ(json_get(JSON_SLICE_NONE, SPAN("a")).kind, JK_NONE);

    const struct span names[] = { SPAN("b"), SPAN("z"), SPAN("a") };
    struct json_slice picked[3];
    EXPECT(json_pick(root, names, picked, 3));
    EXPECT_EQ(picked[0].kind, JK_ARRAY);
    EXPECT_EQ(picked[1].kind, JK_NONE);
    EXPECT_EQ(picked[2].kind, JK_STRING);
}

static void several_members_are_found_as_one_would_be(void)
{
    const struct json_slice root =
        json_value(SPAN("{\"a\":1,\"a\":2,\"l\":[{\"b\":0}],\"\\u0062\":3,\"c\":4 nonsense}"));
    const struct span names[] = { SPAN("c"), SPAN("b"), SPAN("z"), SPAN("a") };
    struct json_slice found[ARRAY_LEN(names)];
    json_get_all(root, names, found, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct json_slice one = json_get(root, names[i]);
        EXPECT_EQ(found[i].kind, one.kind);
        EXPECT(found[i].text.ptr == one.text.ptr && found[i].text.len == one.text.len);
    }
    EXPECT_SPAN(found[0].text, "4");
    EXPECT_SPAN(found[1].text, "3");
    EXPECT_EQ(found[2].kind, JK_NONE);
    EXPECT_SPAN(found[3].text, "1"); // the first of its name
    json_get_all(JSON_SLICE_NONE, names, found, ARRAY_LEN(names));
    EXPECT_EQ(found[0].kind, JK_NONE);
    EXPECT_EQ(found[3].kind, JK_NONE);
}

static void broken_text_ends_a_walk(void)
{
    static const char *const broken[] = {
        "{\"a\":1 \"b\":2}", "{\"a\" 1}", "{\"a\":}", "{a:1}", "{\"a\":1,}", "{\"a\":xyz}", "{,}",
    };
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct json_iter iter = json_members_of(json_value(span_str(broken[i])));
        struct span key;
        struct json_slice value;
        int steps = 0;
        while (json_member_next(&iter, &key, &value))
            steps++;
        EXPECT(iter.bad);
        EXPECT(steps <= 1);
    }
    // An object that never ends is no value.
    EXPECT_EQ(json_value(SPAN("{\"a\":{\"b\":1}")).kind, JK_NONE);
    EXPECT_EQ(json_value(SPAN("\"abc\\\"")).kind, JK_NONE);
    EXPECT_EQ(json_value(SPAN("   ")).kind, JK_NONE);
    EXPECT_EQ(json_value(SPAN_NONE).kind, JK_NONE);
}

static void keys_are_compared_without_their_escapes(void)
{
    EXPECT(json_key_is(SPAN("model"), SPAN("model")));
    EXPECT(json_key_is(SPAN("mod\\u0065l"), SPAN("model")));
    EXPECT(json_key_is(SPAN("\\u006d\\u006F\\u0064\\u0065\\u006c"), SPAN("model")));
    EXPECT(!json_key_is(SPAN("modell"), SPAN("model")));
    EXPECT(!json_key_is(SPAN("mode"), SPAN("model")));
    EXPECT(!json_key_is(SPAN("Model"), SPAN("model")));
    EXPECT(!json_key_is(SPAN("mod\\u0065"), SPAN("model")));
    EXPECT(!json_key_is(SPAN("mod\\u0065l\\u0000"), SPAN("model")));
    EXPECT(json_string_is(json_value(SPAN("\"\\ud83c\\udf0d\"")), SPAN("\xf0\x9f\x8c\x8d")));
    EXPECT(json_string_is(json_value(SPAN("\"a\\/b\"")), SPAN("a/b")));
    EXPECT(!json_string_is(json_value(SPAN("1")), SPAN("1")));
}

static void decodes(const char *json, const char *want, size_t cap, bool cut_wanted)
{
    char out[64];
    bool cut;
    size_t len = json_string_decode(json_value(span_str(json)), out, cap, &cut);
    EXPECT_SPAN(span_of(out, len), want);
    EXPECT_EQ(cut, cut_wanted);
}

static void strings_are_decoded(void)
{
    decodes("\"\"", "", 64, false);
    decodes("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz", 64, false);
    decodes("\"\\u00e9\\u4e2d\\ud83c\\udf0d\"", "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x8c\x8d", 64, false);
    decodes("\"a\\ud83cb\"",
            "a\xef\xbf\xbd"
            "b",
            64, false);
    decodes("\"\\udf0d\\ud83c\\u0041\"",
            "\xef\xbf\xbd\xef\xbf\xbd"
            "A",
            64, false);
    decodes("\"a\xff"
            "b\xe4\xb8\"",
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd\xef\xbf\xbd",
            64, false);
    decodes("\"tab\there\"", "tab\there", 64, false);
    decodes("\"\\q\\u12\"",
            "\xef\xbf\xbd\xef\xbf\xbd"
            "12",
            64, false);
    decodes("\"abc\xc3\xa9"
            "d\"",
            "abc", 4, true); // never half a character
    decodes("\"abc\xc3\xa9"
            "d\"",
            "abc\xc3\xa9", 5, true);
    decodes("\"abc\\u00e9\"", "abc", 4, true);
    decodes("\"abcd\"", "abcd", 4, false);
    decodes("12", "", 64, false);
}

static void integers_are_exact(void)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } cases[] = {
        { "0", true, 0 },
        { "-0", true, 0 },
        { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551616", false, 0 },
        { "9007199254740993", true, UINT64_C(9007199254740993) },
        { "5.0", true, 5 },
        { "5.000e0", true, 5 },
        { "1.5e1", true, 15 },
        { "12e2", true, 1200 },
        { "1200e-2", true, 12 },
        { "0e99999999", true, 0 },
        { "0.0e-5", true, 0 },
        { "1e19", true, UINT64_C(10000000000000000000) },
        { "1e20", false, 0 },
        { "1e999999999", false, 0 },
        { "5.5", false, 0 },
        { "1e-1", false, 0 },
        { "-1", false, 0 },
        { "\"5\"", false, 0 },
        { "true", false, 0 },
        { "1e", false, 0 },
        { "1-2", false, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t value = 0;
        EXPECT_EQ(json_u64(json_value(span_str(cases[i].text)), &value), cases[i].good);
        EXPECT(value == cases[i].value);
    }
    int64_t value = 0;
    EXPECT(json_i64(json_value(SPAN("-9223372036854775808")), &value));
    EXPECT(value == INT64_MIN);
    EXPECT(!json_i64(json_value(SPAN("-9223372036854775809")), &value));
    EXPECT(!json_i64(json_value(SPAN("9223372036854775808")), &value));
    EXPECT(json_i64(json_value(SPAN("-3e1")), &value));
    EXPECT_EQ(value, -30);
}

static void path_is(const char *text, const char *marker, const char *want)
{
    char out[JSON_PATH_TEXT];
    size_t offset = (size_t)(strstr(text, marker) - text);
    size_t len = json_path_at(span_str(text), offset, out);
    EXPECT_SPAN(span_of(out, len), want);
}

static void a_place_has_a_path(void)
{
    static const char text[] =
        "{\"model\":\"x\",\"messages\":[{\"role\":\"u\"},{\"content\":[{\"type\""
        ":\"t,e{x[t\"},HERE}]}";
    path_is(text, "HERE", "messages[1].content[1]");
    path_is(text, "\"x\"", "model");
    path_is(text, "\"u\"", "messages[0].role");
    path_is("{\"a\\u0000b\":{\"\":[X", "X", "a?b[0]");
    path_is("[1,2,X", "X", "[2]");
    path_is("X", "X", "");
}

// Containers that are opened without a look for their end say the same as those that were measured.
static void opened_containers_are_walked_alike(void)
{
    static const char *const texts[] = {
        ("{\"x\":[1],\"list\":[{\"a\":1,\"b\":{\"c\":[2]},\"a\":3},4,[5,{\"a\":6}],{},\"s\",{ \"b\" : 7 } ],"
         "\"y\":[{\"a\":8}]}"),
        "{\"list\":[]}",
        "{\"list\": [ {\"other\":\"]}\"} ]}",
        "{\"list\":{\"a\":1}}",
        "{\"list\":null,\"y\":1}",
        "{\"y\":[{\"a\":1}]}",
        "{}",
        "[{\"a\":1}]",
        "{\"list\":[{\"a\":1}", // not whole
        "{\"list\":[{\"a\":1,",
        "{\"list\":[{\"a\"",
        "{\"list\":[",
        "{\"list\":",
        "{\"list\":[{\"a\":1}x]}",
        "{\"list\":[{\"a\":1 \"b\":2}]}",
    };
    static const struct span names[] = { SPAN("a"), SPAN("b") };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const struct json_slice root = { span_str(texts[i]),
                                         texts[i][0] == '{' ? JK_OBJECT : JK_ARRAY };
        const struct json_slice measured = json_get(root, SPAN("list"));
        const struct json_slice opened = json_get_open(root, SPAN("list"));
        if (measured.kind == JK_NONE) // it has no end that could be found
            continue;
        EXPECT_EQ(opened.kind, measured.kind);
        EXPECT(opened.text.ptr == measured.text.ptr);
        struct json_iter slow = json_elements_of(measured), fast = json_elements_of(opened);
        struct json_slice element, want[2], got[2];
        while (json_element_next(&slow, &element)) {
            json_get_all(element, names, want, 2);
            EXPECT(json_element_get_all(&fast, names, got, 2));
            for (size_t j = 0; j < 2; j++) {
                EXPECT_EQ(got[j].kind, want[j].kind);
                EXPECT(got[j].text.ptr == want[j].text.ptr && got[j].text.len == want[j].text.len);
            }
        }
        if (!slow.bad)
            EXPECT(!json_element_get_all(&fast, names, got, 2) && !fast.bad);
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) // whatever it is, it ends, and in its bounds
        for (size_t len = 2; len <= strlen(texts[i]); len++) {
            char *text = malloc(len);
            memcpy(text, texts[i], len);
            const struct json_slice root = { span_of(text, len), JK_OBJECT };
            struct json_iter iter = json_elements_of(json_get_open(root, SPAN("list")));
            struct json_slice got[2];
            for (size_t count = 0; json_element_get_all(&iter, names, got, 2); count++)
                EXPECT(count < len);
            free(text);
        }
}

TEST_MAIN(TEST(opened_containers_are_walked_alike), TEST(a_mark_is_seen_where_strings_begin),
          TEST(json_is_accepted), TEST(what_is_not_json_is_refused_where_it_begins),
          TEST(depth_and_numbers_are_bounded), TEST(text_may_grow_at_every_byte),
          TEST(text_may_arrive_byte_by_byte), TEST(work_a_call_is_bounded),
          TEST(children_of_the_root_are_reported), TEST(many_children_come_in_several_calls),
          TEST(objects_and_arrays_are_walked), TEST(several_members_are_found_as_one_would_be),
          TEST(broken_text_ends_a_walk), TEST(keys_are_compared_without_their_escapes),
          TEST(strings_are_decoded), TEST(integers_are_exact), TEST(a_place_has_a_path))
