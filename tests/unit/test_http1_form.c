// What http1_form.h promises: a head that is known by its form says what parsing it would say.
#include "test.h"

#include "penstock/codec/http1_form.h"

enum { HEAD_MAX = 4 * KIB };

static struct http_form form;

static bool same_span(struct span a, struct span b)
{
    return a.ptr == b.ptr && a.len == b.len;
}

static void expect_same(const struct http_head *a, const struct http_head *b)
{
    EXPECT_EQ(a->status, b->status);
    EXPECT(same_span(a->reason, b->reason));
    EXPECT_EQ(a->minor, b->minor);
    EXPECT_EQ(a->framing, b->framing);
    EXPECT_EQ(a->content_length, b->content_length);
    EXPECT_EQ(a->keep_alive, b->keep_alive);
    EXPECT_EQ(a->upgrade, b->upgrade);
    EXPECT_EQ(a->seen, b->seen);
    EXPECT_EQ(a->repeated, b->repeated);
    EXPECT_EQ(a->field_count, b->field_count);
    for (unsigned i = 0; i < a->field_count && i < b->field_count; i++) {
        EXPECT(same_span(a->fields[i].name, b->fields[i].name));
        EXPECT(same_span(a->fields[i].value, b->fields[i].value));
        EXPECT_EQ(a->fields[i].id, b->fields[i].id);
        EXPECT_EQ(a->fields[i].is_hop, b->fields[i].is_hop);
    }
    for (int id = 0; id < HF_COUNT; id++)
        if (a->seen >> id & 1)
            EXPECT_EQ(a->first[id], b->first[id]);
}

// Parses with the form and without; true if the form knew it.
static bool knows(struct span in, enum http_method method)
{
    static struct http_head by_form, by_parser;
    size_t used = 0, parser_used = 0;
    struct err err = OK, parser_err = OK;
    const struct http_form before = form;
    enum parse want =
        http_response_parse(&by_parser, in, HEAD_MAX, method, &parser_used, &parser_err);
    enum parse got = http_form_parse(&form, &by_form, in, HEAD_MAX, method, &used, &err);
    EXPECT_EQ(got, want);
    EXPECT_EQ(used, parser_used);
    EXPECT_EQ(err.code, parser_err.code);
    if (got == PARSE_DONE && want == PARSE_DONE)
        expect_same(&by_form, &by_parser);
    const bool missed = got != PARSE_DONE || form.likeness.misses != 0;
    form.likeness = before.likeness;
    return !missed;
}

static bool has_learnt(struct span in)
{
    http_form_init(&form);
    (void)knows(in, HTTP_POST);
    form.likeness = (struct likeness){ 0 };
    return knows(in, HTTP_POST);
}

#define HEAD(length, date, id, more)                                                        \
    "HTTP/1.1 200 OK\r\ndate:" date                                                         \
    "\r\nContent-Type: application/json\r\ncontent-length: " length "\r\nx-request-id: " id \
    "\r\nConnection: keep-alive, x-own\r\nx-own: 1\r\nvia: \r\n" more "\r\n"

static void heads_of_the_same_form_are_known(void)
{
    EXPECT(has_learnt(SPAN(HEAD("12", " Mon", "req_1", ""))));
    EXPECT(knows(SPAN(HEAD("1234567", " Tuesday, the first", "r", "") "{\"a\":1}"), HTTP_POST));
    EXPECT(knows(SPAN(HEAD("0", " Mon", "a\tb \xc3\xa9", "")), HTTP_POST));
    EXPECT(knows(SPAN(HEAD("123456789012345678", " ", "", "")), HTTP_POST));
    EXPECT(has_learnt(SPAN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nServer: x\r\n\r\n")));
    EXPECT(has_learnt(SPAN("HTTP/1.0 429 Too Many\r\nserver: x\r\nretry-after: 3\r\n\r\n")));
}

static void others_are_parsed(void)
{
    EXPECT(has_learnt(SPAN(HEAD("12", " Mon", "req_1", ""))));
    const struct http_form learnt = form;
    static const struct span others[] = {
        { HEAD("012", " Mon", "req_1", ""), sizeof(HEAD("012", " Mon", "req_1", "")) - 1 },
        { HEAD("1234567890123456789", " Mon", "req_1", ""),
          sizeof(HEAD("1234567890123456789", " Mon", "req_1", "")) - 1 },
        { HEAD("-1", " Mon", "req_1", ""), sizeof(HEAD("-1", " Mon", "req_1", "")) - 1 },
        { HEAD("", " Mon", "req_1", ""), sizeof(HEAD("", " Mon", "req_1", "")) - 1 },
        { HEAD("12", "  Mon", "req_1", ""), sizeof(HEAD("12", "  Mon", "req_1", "")) - 1 },
        { HEAD("12", " Mon ", "req_1", ""), sizeof(HEAD("12", " Mon ", "req_1", "")) - 1 },
        { HEAD("12", " Mon\t", "req_1", ""), sizeof(HEAD("12", " Mon\t", "req_1", "")) - 1 },
        { HEAD("12", "Mon", "req_1", ""), sizeof(HEAD("12", "Mon", "req_1", "")) - 1 },
        { HEAD("12", " M\non", "req_1", ""), sizeof(HEAD("12", " M\non", "req_1", "")) - 1 },
        { HEAD("12", " Mon", "req\r_1", ""), sizeof(HEAD("12", " Mon", "req\r_1", "")) - 1 },
        { HEAD("12", " Mon", "req_1\r\nx-own: 2", ""),
          sizeof(HEAD("12", " Mon", "req_1\r\nx-own: 2", "")) - 1 },
        { HEAD("12", " Mon", "req_1", "transfer-encoding: chunked\r\n"),
          sizeof(HEAD("12", " Mon", "req_1", "transfer-encoding: chunked\r\n")) - 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        form = learnt; // its memory is the same
        EXPECT(!knows(others[i], HTTP_POST));
    }
    form = learnt;
    EXPECT(!knows(SPAN(HEAD("12", " Mon", "req_1", "")), HTTP_HEAD));
}

// What has no body, however long, is never learnt, and too much is not.
static void some_are_never_learnt(void)
{
    EXPECT(!has_learnt(SPAN("HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n")));
    EXPECT(!has_learnt(SPAN("HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\n")));
    EXPECT(!has_learnt(SPAN("HTTP/1.1 100 Continue\r\n\r\n")));
    static char head[HEAD_MAX];
    for (int count = HTTP_FORM_FIELDS - 1; count <= HTTP_FORM_FIELDS + 1; count++) {
        size_t len = (size_t)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < count; i++)
            len += (size_t)snprintf(head + len, sizeof(head) - len, "x-%d: y\r\n", i);
        len += (size_t)snprintf(head + len, sizeof(head) - len, "\r\n");
        EXPECT_EQ(has_learnt(span_of(head, len)), count <= HTTP_FORM_FIELDS);
    }
    int len = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\ncontent-type: %0*d\r\n\r\n",
                       HTTP_FORM_BYTES, 0);
    EXPECT(!has_learnt(span_of(head, (size_t)len)));
}

static void any_change_says_what_the_parser_says(void)
{
    static const char text[] = HEAD("12", " Mon", "req_1", "server: some\r\n") "{}";
    static const char bytes[] = "\r\n :\tz7\x80";
    char changed[sizeof(text)];
    unsigned known = 0;
    EXPECT(has_learnt(span_str(text)));
    const struct http_form learnt = form;
    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        for (size_t b = 0; b + 1 < sizeof(bytes); b++) {
            form = learnt;
            memcpy(changed, text, sizeof(text));
            changed[i] = bytes[b];
            known += knows(span_of(changed, sizeof(text) - 1), HTTP_POST);
            form = learnt;
            memmove(changed + i, changed + i + 1, sizeof(text) - i - 1);
            known += knows(span_of(changed, sizeof(text) - 2), HTTP_POST);
        }
        form = learnt;
        (void)knows(span_upto(span_str(text), i), HTTP_POST);
    }
    EXPECT(known > 100);
}

TEST_MAIN(TEST(heads_of_the_same_form_are_known), TEST(others_are_parsed),
          TEST(some_are_never_learnt), TEST(any_change_says_what_the_parser_says))
