// What http1.h promises of heads.
#include "test.h"

#include "penstock/codec/http1.h"

static void a_request_is_parsed_in_place(void)
{
    static const char text[] = "POST /v1/chat/completions?beta=true HTTP/1.1\r\n"
                               "Host: gateway.example:8080\r\n"
                               "Content-Type:\tapplication/json \t\r\n"
                               "Content-Length: 42\r\n"
                               "session_id: a\tb\xc3\xa9\r\n"
                               "X-Empty:\r\n"
                               "\r\n"
                               "{\"model\"";
    struct http_head head;
    struct err err;
    size_t used = 0;
    EXPECT_EQ(http_request_parse(&head, span_str(text), HTTP_HEAD_MAX, &used, &err), PARSE_DONE);
    EXPECT_EQ(used, sizeof(text) - 1 - strlen("{\"model\""));
    EXPECT_EQ(head.method, HTTP_POST);
    EXPECT_SPAN(head.method_text, "POST");
    EXPECT_SPAN(head.target, "/v1/chat/completions?beta=true");
    EXPECT_EQ(head.minor, 1);
    EXPECT_EQ(head.framing, HTTP_LENGTH);
    EXPECT_EQ(head.content_length, 42);
    EXPECT(head.keep_alive);
    EXPECT_EQ(head.field_count, 5);
    EXPECT_SPAN(http_field_find(&head, HF_HOST)->value, "gateway.example:8080");
    EXPECT_SPAN(http_field_find(&head, HF_CONTENT_TYPE)->value, "application/json");
    EXPECT_EQ(head.fields[3].id, HF_OTHER);
    EXPECT_SPAN(head.fields[3].name, "session_id");
    EXPECT_SPAN(head.fields[3].value, "a\tb\xc3\xa9");
    EXPECT_EQ(head.fields[4].value.len, 0);
    EXPECT(http_field_find(&head, HF_AUTHORIZATION) == NULL);
}

TEST_MAIN(TEST(a_request_is_parsed_in_place))
