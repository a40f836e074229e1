// What http1.h promises of heads: what is understood, what is refused and as what, and that cutting
// the input anywhere changes nothing.
#include "test.h"

#include "codec/http1_scan.h"
#include "penstock/codec/http1.h"

static struct http_head head;
static struct err err;
static size_t used;

// Parses a copy that ends where its memory ends, so that the sanitizer sees a read behind it. The
// spans of `head` point into `copy`, which lives until the next call.
static char *copy;

static enum parse request_bytes(const char *text, size_t len, size_t head_max)
{
    free(copy);
    copy = malloc(len + !len);
    memcpy(copy, text, len);
    err = OK;
    used = 0;
    return http_request_parse(&head, span_of(copy, len), head_max, &used, &err);
}

static enum parse request(const char *text)
{
    return request_bytes(text, strlen(text), HTTP_HEAD_MAX);
}

static enum parse response_bytes(const char *text, size_t len, enum http_method method)
{
    free(copy);
    copy = malloc(len + !len);
    memcpy(copy, text, len);
    err = OK;
    used = 0;
    return http_response_parse(&head, span_of(copy, len), HTTP_UPSTREAM_HEAD_MAX, method, &used,
                               &err);
}

static enum parse response(const char *text, enum http_method method)
{
    return response_bytes(text, strlen(text), method);
}

// Every prefix says PARSE_MORE or what the whole says.
static void request_chop(const char *text, size_t len)
{
    const enum parse whole = request_bytes(text, len, HTTP_HEAD_MAX);
    const size_t whole_used = used;
    const unsigned whole_code = err.code;
    for (size_t cut = 0; cut < len; cut++) {
        const enum parse got = request_bytes(text, cut, HTTP_HEAD_MAX);
        if (got == PARSE_MORE) {
            EXPECT_EQ(used, 0);
            continue;
        }
        EXPECT_EQ(got, whole);
        EXPECT_EQ(used, whole_used);
        EXPECT_EQ(err.code, whole_code);
        EXPECT(got == PARSE_BAD || cut >= whole_used);
    }
}

#define LINE(text) text "\r\n"
#define HOST LINE("Host: a")
#define GET LINE("GET / HTTP/1.1") HOST
#define POST LINE("POST / HTTP/1.1") HOST

static const char typical[] = LINE("POST /v1/chat/completions?beta=true HTTP/1.1")
    LINE("Host: gateway.example:8080") LINE("Content-Type:\tapplication/json \t")
        LINE("Content-Length: 42") LINE("session_id: a\tb\xc3\xa9") LINE("X-Empty:") LINE("");

static void a_request_is_parsed_in_place(void)
{
    char text[sizeof(typical) + 8];
    snprintf(text, sizeof(text), "%s{\"model\"", typical);
    EXPECT_EQ(request(text), PARSE_DONE);
    EXPECT_EQ(used, sizeof(typical) - 1); // the body is not touched
    EXPECT_EQ(head.method, HTTP_POST);
    EXPECT_SPAN(head.method_text, "POST");
    EXPECT_SPAN(head.target, "/v1/chat/completions?beta=true");
    EXPECT_EQ(head.minor, 1);
    EXPECT_EQ(head.framing, HTTP_LENGTH);
    EXPECT_EQ(head.content_length, 42);
    EXPECT(head.keep_alive);
    EXPECT(!head.upgrade);
    EXPECT(!head.expect_continue);
    EXPECT_EQ(head.field_count, 5);
    EXPECT_SPAN(http_field_find(&head, HF_HOST)->value, "gateway.example:8080");
    EXPECT_SPAN(http_field_find(&head, HF_CONTENT_TYPE)->value, "application/json");
    EXPECT_EQ(head.fields[3].id, HF_OTHER);
    EXPECT_SPAN(head.fields[3].name, "session_id");
    EXPECT_SPAN(head.fields[3].value, "a\tb\xc3\xa9");
    EXPECT_EQ(head.fields[4].value.len, 0);
    EXPECT(http_field_find(&head, HF_AUTHORIZATION) == NULL);
    EXPECT(head.fields[0].name.ptr > copy && head.fields[0].name.ptr < copy + used);
}

static void methods_are_told_apart(void)
{
    static const struct {
        const char *text;
        enum http_method method;
    } cases[] = {
        { "GET", HTTP_GET },         { "HEAD", HTTP_HEAD },      { "POST", HTTP_POST },
        { "PUT", HTTP_PUT },         { "PATCH", HTTP_PATCH },    { "DELETE", HTTP_DELETE },
        { "OPTIONS", HTTP_OPTIONS }, { "TRACE", HTTP_OTHER },    { "get", HTTP_OTHER },
        { "POSTS", HTTP_OTHER },     { "M-SEARCH", HTTP_OTHER },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[128];
        snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].text);
        EXPECT_EQ(request(text), PARSE_DONE);
        EXPECT_EQ(head.method, cases[i].method);
        EXPECT_SPAN(head.method_text, cases[i].text);
    }
}

static void targets_are_cut_to_their_path(void)
{
    static const struct {
        const char *line, *target;
    } cases[] = {
        { "GET /a?b=c&d HTTP/1.1", "/a?b=c&d" },
        { "GET //v1beta/models HTTP/1.1", "//v1beta/models" }, // url_target_parse() merges
        { "GET /?include[]=x&y={z}|^` HTTP/1.1", "/?include[]=x&y={z}|^`" },
        { "OPTIONS * HTTP/1.1", "*" },
        { "GET http://a/b?c HTTP/1.1", "/b?c" },
        { "GET HTTPS://A/b HTTP/1.1", "/b" },
        { "GET http://a HTTP/1.1", "/" },
        { "OPTIONS http://a HTTP/1.1", "*" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[128];
        snprintf(text, sizeof(text), "%s\r\nHost: a\r\n\r\n", cases[i].line);
        EXPECT_EQ(request(text), PARSE_DONE);
        EXPECT_SPAN(head.target, cases[i].target);
    }
}

static void empty_lines_before_a_request_are_skipped(void)
{
    EXPECT_EQ(request("\r\n\r\n" GET "\r\n"), PARSE_DONE);
    EXPECT_EQ(used, strlen("\r\n\r\n" GET "\r\n"));
    EXPECT_EQ(request("\r\n\r\n\r\n\r\n" GET "\r\n"), PARSE_DONE);
    EXPECT_EQ(request("\r\n\r\n\r\n\r\n\r\n" GET "\r\n"), PARSE_BAD);
    EXPECT_EQ(request("\r\n\r\n"), PARSE_MORE);
    EXPECT_EQ(request("\n" GET "\r\n"), PARSE_BAD);
    EXPECT_EQ(request("\r" GET "\r\n"), PARSE_BAD);
    EXPECT_EQ(request("\r"), PARSE_MORE);
    // An answer has nothing in front: it could be left over from the one before.
    EXPECT_EQ(response("\r\nHTTP/1.1 200 OK\r\n\r\n", HTTP_GET), PARSE_BAD);
}

static void connections_are_kept_by_version_and_word(void)
{
    static const struct {
        const char *version, *fields;
        bool keep_alive;
    } cases[] = {
        { "1.1", "", true },
        { "1.1", "Connection: close\r\n", false },
        { "1.1", "Connection: keep-alive\r\n", true },
        { "1.1", "Connection: foo, CLOSE ,bar\r\n", false },
        { "1.1", "Connection: keep-alive, close\r\n", false },
        { "1.1", "Connection: keep-alive\r\nConnection: close\r\n", false },
        { "1.1", "Connection: closed\r\n", true },
        { "1.1", "Connection: ,,\r\n", true },
        { "1.0", "", false },
        { "1.0", "Connection: Keep-Alive\r\n", true },
        { "1.0", "Connection: keep-alive, close\r\n", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[128];
        snprintf(text, sizeof(text), "GET / HTTP/%s\r\nHost: a\r\n%s\r\n", cases[i].version,
                 cases[i].fields);
        EXPECT_EQ(request(text), PARSE_DONE);
        EXPECT_EQ(head.keep_alive, cases[i].keep_alive);
    }
}

static void hop_by_hop_fields_are_marked(void)
{
    EXPECT_EQ(request(GET LINE("Connection: x-one, X-TWO, close") LINE("X-One: 1") LINE("X-Two: 2")
                          LINE("X-Three: 3") LINE("X-One: 4") LINE("TE: trailers")
                              LINE("Upgrade: h2c") LINE("Proxy-Authorization: x")
                                  LINE("Keep-Alive: timeout=5") LINE("Accept: x") "\r\n"),
              PARSE_DONE);
    // host connection x-one x-two x-three x-one te upgrade proxy-authorization keep-alive accept
    static const bool hop[] = { 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0 };
    EXPECT_EQ(head.field_count, ARRAY_LEN(hop));
    for (size_t i = 0; i < ARRAY_LEN(hop); i++)
        EXPECT_EQ(http_field_is_hop(&head.fields[i]), hop[i]);
    EXPECT(head.upgrade);
    EXPECT(!head.keep_alive);

    // What Connection names is bounded, because every name is sought among all fields.
    char text[1024] = GET "Connection: ";
    for (int i = 0; i < HTTP_CONNECTION_NAMES_MAX; i++)
        strncat(text, "a,", 3);
    const size_t len = strlen(text);
    strncat(text, "\r\n\r\n", 5);
    EXPECT_EQ(request(text), PARSE_DONE);
    snprintf(text + len, sizeof(text) - len, "b\r\n\r\n");
    EXPECT_EQ(request(text), PARSE_BAD);
    EXPECT_EQ(err.code, ERR_HEAD_TOO_LARGE);
}

static void a_body_is_announced_one_way(void)
{
    EXPECT_EQ(request(GET "\r\n"), PARSE_DONE);
    EXPECT_EQ(head.framing, HTTP_NO_BODY);
    EXPECT_EQ(request(POST LINE("Content-Length: 0") "\r\n"), PARSE_DONE);
    EXPECT_EQ(head.framing, HTTP_LENGTH);
    EXPECT_EQ(head.content_length, 0);
    EXPECT_EQ(request(POST LINE("Content-Length: 999999999999999999") "\r\n"), PARSE_DONE);
    EXPECT(head.content_length == UINT64_C(999999999999999999));
    EXPECT_EQ(request(POST LINE("Content-Length:\t007 ") "\r\n"), PARSE_DONE);
    EXPECT_EQ(head.content_length, 7);
    EXPECT_EQ(request(POST LINE("Transfer-Encoding: Chunked") "\r\n"), PARSE_DONE);
    EXPECT_EQ(head.framing, HTTP_CHUNKED);
    EXPECT_EQ(head.content_length, 0);
}

static void an_expectation_needs_a_body_and_1_1(void)
{
    EXPECT_EQ(request(POST LINE("Expect: 100-Continue") LINE("Content-Length: 1") "\r\n"),
              PARSE_DONE);
    EXPECT(head.expect_continue);
    EXPECT_EQ(request(POST LINE("Expect: 100-continue") LINE("Content-Length: 0") "\r\n"),
              PARSE_DONE);
    EXPECT(!head.expect_continue);
    EXPECT_EQ(request("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"),
              PARSE_DONE);
    EXPECT(!head.expect_continue);
    EXPECT_EQ(request(POST LINE("Expect: 200-ok") "\r\n"), PARSE_BAD);
    EXPECT_EQ(err.code, ERR_EXPECT_UNSUPPORTED);
    EXPECT_EQ(request(POST LINE("Expect: 100-continue") LINE("Expect: x") "\r\n"), PARSE_BAD);
    EXPECT_EQ(err.code, ERR_EXPECT_UNSUPPORTED);
}

static void repeated_fields_are_all_found(void)
{
    EXPECT_EQ(request(GET LINE("Content-Encoding: gzip") LINE("Authorization: Bearer k")
                          LINE("content-encoding: zstd") LINE("AUTHORIZATION: Bearer k") "\r\n"),
              PARSE_DONE);
    const struct http_field *field = http_field_find(&head, HF_CONTENT_ENCODING);
    EXPECT_SPAN(field->value, "gzip");
    field = http_field_next(&head, field);
    EXPECT(field != NULL);
    EXPECT_SPAN(field->value, "zstd");
    EXPECT(http_field_next(&head, field) == NULL);
    EXPECT(http_field_next(&head, http_field_find(&head, HF_HOST)) == NULL);
}

struct refusal {
    const char *text;
    enum err_code code;
};

static const struct refusal refusals[] = {
    // The request line.
    { "G(T / HTTP/1.1\r\n", ERR_HEAD_MALFORMED },
    { " GET / HTTP/1.1\r\n", ERR_HEAD_MALFORMED },
    { "GET  / HTTP/1.1\r\n", ERR_HEAD_MALFORMED },
    { "GET\t/ HTTP/1.1\r\n", ERR_HEAD_MALFORMED },
    { "GET /  HTTP/1.1\r\n", ERR_HEAD_MALFORMED },
    { "GET / HTTP/1.1 \r\n", ERR_HEAD_MALFORMED },
    { "GET / HTTP/1.1\n", ERR_HEAD_MALFORMED },
    { "GET / HTTP/1.1\r\r\n", ERR_HEAD_MALFORMED },
    { "GET / http/1.1\r\n", ERR_HEAD_MALFORMED },
    { "GET / HTTP/11\r\n", ERR_HEAD_MALFORMED },
    { "GET / HTTP/1.10\r\n", ERR_HEAD_MALFORMED },
    { "GET /\r\n", ERR_HEAD_MALFORMED }, // HTTP/0.9
    { "GET / X\r\n", ERR_HEAD_MALFORMED },
    { "GET\r\n", ERR_HEAD_MALFORMED },
    { "\x16\x03\x01\x02", ERR_HEAD_MALFORMED }, // TLS on a plain port
    { "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n", ERR_HEAD_MALFORMED },
    { "GET / HTTP/1.2\r\n", ERR_VERSION_UNSUPPORTED },
    { "GET / HTTP/2.0\r\n", ERR_VERSION_UNSUPPORTED },
    { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ERR_VERSION_UNSUPPORTED },
    { "GET / HTTP/0.9\r\n", ERR_VERSION_UNSUPPORTED },
    // The target.
    { "GET /a\x01 HTTP/1.1\r\n", ERR_HEAD_MALFORMED },
    { "GET /a\x7f HTTP/1.1\r\n", ERR_HEAD_MALFORMED },
    { "GET /a\xc3\xa9 HTTP/1.1\r\n", ERR_TARGET_MALFORMED },
    { "GET /a#b HTTP/1.1\r\n", ERR_TARGET_MALFORMED },
    { "GET /a\"b HTTP/1.1\r\n", ERR_TARGET_MALFORMED },
    { "GET /<a> HTTP/1.1\r\n", ERR_TARGET_MALFORMED },
    { "GET /a\\b HTTP/1.1\r\n", ERR_TARGET_MALFORMED },
    { "GET a HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "GET * HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "OPTIONS ** HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "GET ?a HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "CONNECT / HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "GET a:443 HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "GET http:/a/ HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "GET http:///x HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "GET http://a?x HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "GET http://u:p@a/ HTTP/1.1\r\n" HOST "\r\n", ERR_TARGET_MALFORMED },
    { "GET http://b/ HTTP/1.1\r\n" HOST "\r\n", ERR_HOST_INVALID },
    { "GET http://a:80/ HTTP/1.1\r\n" HOST "\r\n", ERR_HOST_INVALID },
    { "GET http://b/ HTTP/1.0\r\n" HOST "\r\n", ERR_HOST_INVALID },
    // Fields.
    { "GET / HTTP/1.1\r\n Host: a\r\n", ERR_HEAD_MALFORMED },
    { "GET / HTTP/1.1\r\n\tHost: a\r\n", ERR_HEAD_MALFORMED },
    { "GET / HTTP/1.1\r\n \r\n", ERR_HEAD_MALFORMED },
    { GET ": empty\r\n", ERR_HEAD_MALFORMED },
    { GET "A : b\r\n", ERR_HEAD_MALFORMED },
    { GET "A\t: b\r\n", ERR_HEAD_MALFORMED },
    { GET "A b: c\r\n", ERR_HEAD_MALFORMED },
    { GET "A\r\n", ERR_HEAD_MALFORMED },
    { GET "A\r\n: b\r\n", ERR_HEAD_MALFORMED },
    { GET "A\xe9: b\r\n", ERR_HEAD_MALFORMED },
    { GET "A(b): c\r\n", ERR_HEAD_MALFORMED },
    { GET "A[b]: c\r\n", ERR_HEAD_MALFORMED },
    { GET "A: b\n", ERR_HEAD_MALFORMED },
    { GET "A: b\nC: d\r\n", ERR_HEAD_MALFORMED },
    { GET "A: b\rC: d\r\n", ERR_HEAD_MALFORMED },
    { GET "A: b\r\r\n", ERR_HEAD_MALFORMED },
    { GET "A: b\r\n c\r\n", ERR_HEAD_MALFORMED }, // obs-fold
    { GET "A: b\r\n\tc\r\n", ERR_HEAD_MALFORMED },
    { GET "A:\r\n b\r\n", ERR_HEAD_MALFORMED },
    { GET "A: b\x01\r\n", ERR_HEAD_MALFORMED },
    { GET "A: b\x0b\r\n", ERR_HEAD_MALFORMED },
    { GET "A: b\x7f\r\n", ERR_HEAD_MALFORMED },
    { GET "A: b\x1b[0m\r\n", ERR_HEAD_MALFORMED },
    { GET "\n", ERR_HEAD_MALFORMED },
    { GET "A: b\r\n\n", ERR_HEAD_MALFORMED },
    { GET "A: b\r\n\r\r", ERR_HEAD_MALFORMED },
    { GET "Connection: a b\r\n\r\n", ERR_HEAD_MALFORMED },
    { GET "Connection: close;x\r\n\r\n", ERR_HEAD_MALFORMED },
    { GET "Content-Type: a\r\nContent-Type: a\r\n\r\n", ERR_HEAD_MALFORMED },
    // Host.
    { "GET / HTTP/1.1\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.1\r\nHost:\r\n\r\n", ERR_HOST_INVALID },
    { GET "Host: a\r\n\r\n", ERR_HOST_INVALID },
    { GET "host: b\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.0\r\nHost: a b\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.1\r\nHost: a:0\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", ERR_HOST_INVALID },
    { "GET / HTTP/1.1\r\nHost: a\xc3\xa9\r\n\r\n", ERR_HOST_INVALID },
    // CL.TE and TE.CL: which of the two counts differs between servers.
    { POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
      ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nG",
      ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: identity\r\nContent-Length: 4\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: 4\r\nTransfer-Encoding:\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    // CL.CL.
    { POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: 5, 5\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: 5,5\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: 5 5\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: 5,6\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: +5\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: -5\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: 0x5\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: 5.0\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: 5;\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: \"5\"\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: \xd9\xa5\r\n\r\n", ERR_FRAMING_AMBIGUOUS }, // an Arabic digit
    { POST "Content-Length:\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: 1000000000000000000\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length: 18446744073709551621\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Content-Length : 5\r\n\r\n", ERR_HEAD_MALFORMED },
    // TE.TE: obfuscations that one reader sees through and another does not.
    { POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
      ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
      ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked, chunked\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked, identity\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: identity\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: xchunked\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: chunkedx\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: \"chunked\"\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: 'chunked'\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked;q=1\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: chunk\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: c hunked\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: \xa0"
           "chunked\r\n\r\n",
      ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding:\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: ,\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: chunked,\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: ,chunked\r\n\r\n", ERR_FRAMING_AMBIGUOUS },
    { POST "Transfer-Encoding: gzip, chunked\r\n\r\n", ERR_FRAMING_UNSUPPORTED },
    { POST "Transfer-Encoding: \x0b"
           "chunked\r\n\r\n",
      ERR_HEAD_MALFORMED },
    { POST "Transfer-Encoding:\n chunked\r\n\r\n", ERR_HEAD_MALFORMED },
    { POST "Transfer-Encoding : chunked\r\n\r\n", ERR_HEAD_MALFORMED },
    { POST "X: y\rTransfer-Encoding: chunked\r\n\r\n", ERR_HEAD_MALFORMED },
    { POST " Transfer-Encoding: chunked\r\n\r\n", ERR_HEAD_MALFORMED },
    // Credentials.
    { GET "Authorization: a\r\nAuthorization: b\r\n\r\n", ERR_KEY_AMBIGUOUS },
    { GET "Authorization: a\r\nauthorization: A\r\n\r\n", ERR_KEY_AMBIGUOUS },
    { GET "X-Api-Key: a\r\nA: b\r\nx-api-key: a\r\nx-api-key: \r\n\r\n", ERR_KEY_AMBIGUOUS },
    { GET "api-key: a\r\napi-key: b\r\n\r\n", ERR_KEY_AMBIGUOUS },
    { GET "x-goog-api-key: a\r\nx-goog-api-key: b\r\n\r\n", ERR_KEY_AMBIGUOUS },
};

static void invalid_requests_are_refused(void)
{
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        const enum parse got = request(refusals[i].text);
        if (got != PARSE_BAD || err.code != refusals[i].code) {
            fprintf(stderr, "refusal %zu: %s as %s, not %s\n", i, refusals[i].text,
                    got == PARSE_BAD ? err_name(err.code) : "valid or incomplete",
                    err_name(refusals[i].code));
            test_failures++;
        }
    }
}

static void nul_bytes_are_refused(void)
{
    static const char *const places[] = { "G@ET / HTTP/1.1\r\n", "GET /@ HTTP/1.1\r\n",
                                          "GET / HTTP/1.1@\r\n", GET "A@: b\r\n",
                                          GET "A: b@\r\n",       GET "A:@\r\n",
                                          "@GET / HTTP/1.1\r\n", GET "Host@: b\r\n" };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        char text[64];
        const size_t len = strlen(places[i]);
        memcpy(text, places[i], len);
        *(char *)memchr(text, '@', len) = 0;
        EXPECT_EQ(request_bytes(text, len, HTTP_HEAD_MAX), PARSE_BAD);
        EXPECT_EQ(err.code, ERR_HEAD_MALFORMED);
    }
}

// No single byte in a name or value is accepted but those of the grammar.
static void the_grammar_of_fields_is_exact(void)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (int byte = 0; byte < 256; byte++) {
        char text[] = GET "Name-of-20-bytes-a?b: a value of some length\r\n\r\n";
        char *mark = strchr(text, '?');
        *mark = (char)byte;
        const bool in_name = byte != 0 && strchr(token, byte) != NULL;
        // A colon ends the name; what follows is a value.
        EXPECT_EQ(request_bytes(text, sizeof(text) - 1, HTTP_HEAD_MAX),
                  in_name || byte == ':' ? PARSE_DONE : PARSE_BAD);
        EXPECT_EQ(http_token_is_valid(span_of(mark, 1)), in_name);
        *mark = '-';
        char *space = strstr(text, "value of") + 5;
        *space = (char)byte;
        const bool in_value = byte == '\t' || (byte >= ' ' && byte != 0x7f);
        EXPECT_EQ(request_bytes(text, sizeof(text) - 1, HTTP_HEAD_MAX),
                  in_value ? PARSE_DONE : PARSE_BAD);
        EXPECT_EQ(http_value_is_valid(span_of(space, 1)), in_value);
    }
}

static void limits_are_exact(void)
{
    // Fields.
    char text[HTTP_HEAD_MAX + 64];
    size_t len = (size_t)snprintf(text, sizeof(text), GET);
    for (int i = 1; i < HTTP_FIELDS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "a:\r\n");
    snprintf(text + len, sizeof(text) - len, "\r\n");
    EXPECT_EQ(request(text), PARSE_DONE);
    EXPECT_EQ(head.field_count, HTTP_FIELDS_MAX);
    snprintf(text + len, sizeof(text) - len, "a:\r\n\r\n");
    EXPECT_EQ(request(text), PARSE_BAD);
    EXPECT_EQ(err.code, ERR_HEAD_TOO_LARGE);

    // Bytes: the same head passes a limit of its own length and no smaller one.
    EXPECT_EQ(request_bytes(typical, sizeof(typical) - 1, sizeof(typical) - 1), PARSE_DONE);
    EXPECT_EQ(request_bytes(typical, sizeof(typical) - 1, sizeof(typical) - 2), PARSE_BAD);
    EXPECT_EQ(err.code, ERR_HEAD_TOO_LARGE);
    EXPECT_EQ(request_bytes(typical, sizeof(typical) - 3, sizeof(typical) - 2), PARSE_MORE);
    EXPECT_EQ(request_bytes(typical, sizeof(typical) - 2, sizeof(typical) - 2), PARSE_BAD);

    // The target.
    for (size_t target = HTTP_TARGET_MAX; target <= HTTP_TARGET_MAX + 1; target++) {
        len = (size_t)snprintf(text, sizeof(text), "GET ");
        memset(text + len, '/', target);
        snprintf(text + len + target, sizeof(text) - len - target, " HTTP/1.1\r\nHost: a\r\n\r\n");
        EXPECT_EQ(request(text), target == HTTP_TARGET_MAX ? PARSE_DONE : PARSE_BAD);
    }
    EXPECT_EQ(err.code, ERR_TARGET_TOO_LONG);
    text[len + HTTP_TARGET_MAX + 1] = 0; // told as soon as it is known
    EXPECT_EQ(request(text), PARSE_BAD);
    EXPECT_EQ(err.code, ERR_TARGET_TOO_LONG);

    // The method: 32 bytes pass, the table of refusals has 33.
    EXPECT_EQ(request("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\n" HOST "\r\n"), PARSE_DONE);
}

static void cutting_a_request_changes_nothing(void)
{
    request_chop(typical, sizeof(typical) - 1);
    static const char two[] = GET "\r\n" GET "\r\n"; // pipelined
    request_chop(two, sizeof(two) - 1);
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
        request_chop(refusals[i].text, strlen(refusals[i].text));
}

static void an_answer_is_parsed(void)
{
    EXPECT_EQ(response("HTTP/1.1 429 Too Many\xe2\x80\xa6\r\nRetry-After: 7\r\n"
                       "Content-Length: 3\r\n\r\nabc",
                       HTTP_POST),
              PARSE_DONE);
    EXPECT_EQ(head.status, 429);
    EXPECT_SPAN(head.reason, "Too Many\xe2\x80\xa6");
    EXPECT_EQ(head.framing, HTTP_LENGTH);
    EXPECT_EQ(head.content_length, 3);
    EXPECT(head.keep_alive);
    EXPECT_SPAN(http_field_find(&head, HF_RETRY_AFTER)->value, "7");
    EXPECT_EQ(response("HTTP/1.1 200\r\n\r\n", HTTP_GET), PARSE_DONE); // no space, no reason
    EXPECT_EQ(head.reason.len, 0);
    EXPECT_EQ(response("HTTP/1.1 200 \r\n\r\n", HTTP_GET), PARSE_DONE);
    EXPECT_EQ(head.reason.len, 0);
}

static void an_answers_body_follows_from_status_and_method(void)
{
    static const struct {
        const char *text;
        enum http_method method;
        enum http_framing framing;
        bool keep_alive;
    } cases[] = {
        { "HTTP/1.1 200 OK\r\n", HTTP_GET, HTTP_UNTIL_CLOSE, false },
        { "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", HTTP_GET, HTTP_UNTIL_CLOSE, false },
        { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", HTTP_GET, HTTP_LENGTH, true },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", HTTP_GET, HTTP_CHUNKED, true },
        { "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n", HTTP_GET, HTTP_LENGTH, false },
        { "HTTP/1.0 200 OK\r\nContent-Length: 9\r\nConnection: keep-alive\r\n", HTTP_GET,
          HTTP_LENGTH, true },
        { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n", HTTP_GET, HTTP_LENGTH,
          false },
        { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n", HTTP_HEAD, HTTP_NO_BODY, true },
        { "HTTP/1.1 200 OK\r\n", HTTP_HEAD, HTTP_NO_BODY, true },
        { "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n", HTTP_GET, HTTP_NO_BODY, true },
        { "HTTP/1.1 204 No Content\r\n", HTTP_POST, HTTP_NO_BODY, true },
        { "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n", HTTP_POST, HTTP_NO_BODY, false },
        { "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n", HTTP_POST, HTTP_NO_BODY,
          false },
        { "HTTP/1.1 100 Continue\r\n", HTTP_POST, HTTP_NO_BODY, true },
        { "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n", HTTP_POST, HTTP_NO_BODY, false },
        { "HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n", HTTP_POST, HTTP_NO_BODY, true },
        { "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n", HTTP_HEAD, HTTP_NO_BODY, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[160];
        snprintf(text, sizeof(text), "%s\r\n", cases[i].text);
        EXPECT_EQ(response(text, cases[i].method), PARSE_DONE);
        EXPECT_EQ(head.framing, cases[i].framing);
        EXPECT_EQ(head.keep_alive, cases[i].keep_alive);
        EXPECT(head.framing == HTTP_LENGTH || head.content_length == 0);
    }
}

static const char *const bad_answers[] = {
    "HTTP/1.1 2 OK\r\n\r\n",
    "HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/1.1 099 OK\r\n\r\n",
    "HTTP/1.1 000 OK\r\n\r\n",
    "HTTP/1.1 600 OK\r\n\r\n",
    "HTTP/1.1 +20 OK\r\n\r\n",
    "HTTP/1.1 abc OK\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n",
    "HTTP/1.1\t200 OK\r\n\r\n",
    "HTTP/1.1 200OK\r\n\r\n",
    "HTTP/1.1 200\tOK\r\n\r\n",
    "HTTP/1.1 200 OK\n\r\n",
    "HTTP/1.1 200 O\x01K\r\n\r\n",
    "HTTP/1.1 200 O\rK\r\n\r\n",
    "HTTP/2 200 OK\r\n\r\n",
    "HTTP/2.0 200 OK\r\n\r\n",
    "HTTP/1.1200 OK\r\n\r\n",
    "http/1.1 200 OK\r\n\r\n",
    "ICY 200 OK\r\n\r\n",
    " HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
    "HTTP/1.1 204 OK\r\nContent-Length: x\r\n\r\n", // what it claims must still make sense
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: a b\r\n\r\n",
};

static void invalid_answers_are_the_upstreams_fault(void)
{
    for (size_t i = 0; i < ARRAY_LEN(bad_answers); i++) {
        const size_t len = strlen(bad_answers[i]);
        bool refused = false;
        for (size_t cut = 0; cut <= len; cut++) {
            const enum parse got = response_bytes(bad_answers[i], cut, HTTP_GET);
            EXPECT(got == PARSE_BAD || (got == PARSE_MORE && !refused));
            refused = got == PARSE_BAD;
            EXPECT(!refused || err.code == ERR_UPSTREAM_HEAD);
        }
        if (!refused)
            fprintf(stderr, "accepted: %s\n", bad_answers[i]);
        EXPECT(refused);
    }
}

static void an_endless_answer_head_is_cut(void)
{
    static char text[HTTP_UPSTREAM_HEAD_MAX + 16];
    memset(text, 'a', sizeof(text));
    memcpy(text, "HTTP/1.1 200 OK\r\nA: ", 20);
    EXPECT_EQ(response_bytes(text, HTTP_UPSTREAM_HEAD_MAX - 1, HTTP_GET), PARSE_MORE);
    EXPECT_EQ(response_bytes(text, HTTP_UPSTREAM_HEAD_MAX, HTTP_GET), PARSE_BAD);
    EXPECT_EQ(err.code, ERR_UPSTREAM_HEAD);
}

static void names_are_recognised_in_any_case(void)
{
    static const struct {
        const char *name;
        enum http_field_id id;
    } rows[] = {
#define HTTP_FIELD(id, name, first, last) { name, HF_##id },
#include "penstock/codec/http_fields.def"
#undef HTTP_FIELD
    };
    EXPECT_EQ(ARRAY_LEN(rows), HF_COUNT - 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char name[32];
        const size_t len = strlen(rows[i].name);
        memcpy(name, rows[i].name, len + 1);
        EXPECT_EQ(http_field_id(span_str(name)), rows[i].id);
        for (size_t at = 0; at < len; at++)
            name[at] = (char)(name[at] >= 'a' && name[at] <= 'z' ? name[at] - 32 : name[at]);
        EXPECT_EQ(http_field_id(span_str(name)), rows[i].id);
        EXPECT_EQ(http_field_id(span_of(name, len - 1)), HF_OTHER);
        // No other byte in any place will do, not even those that differ by the case bit.
        for (size_t at = 0; at < len; at++) {
            const char right = rows[i].name[at];
            for (int byte = 0; byte < 256; byte++) {
                name[at] = (char)byte;
                const bool same = (char)byte == right || (right >= 'a' && byte == right - 32);
                EXPECT_EQ(http_field_id(span_of(name, len)), same ? rows[i].id : HF_OTHER);
            }
            name[at] = right;
        }
    }
    EXPECT_EQ(http_field_id(SPAN("")), HF_OTHER);
}

// The fast searches agree with the table wherever the stopping byte and the end of input are.
static void fast_and_plain_searches_agree(void)
{
    static const struct {
        const char *(*scan)(const char *at, const char *end);
        unsigned cls;
    } searches[] = { { scan_token, CLASS_TOKEN },
                     { scan_value, CLASS_VALUE },
                     { scan_target, CLASS_TARGET } };
    for (size_t i = 0; i < ARRAY_LEN(searches); i++)
        for (size_t len = 0; len <= 40; len++) {
            char *text = malloc(len + !len);
            memset(text, 'x', len);
            EXPECT(searches[i].scan(text, text + len) == text + len);
            for (size_t at = 0; at < len; at++) {
                for (int byte = 0; byte < 256; byte++) {
                    text[at] = (char)byte;
                    const char *plain = scan_class(text, text + len, searches[i].cls);
                    EXPECT(searches[i].scan(text, text + len) == plain);
                }
                text[at] = 'x';
            }
            free(text);
        }
}

static void a_drip_is_parsed_a_few_times_only(void)
{
    static char text[HTTP_HEAD_MAX];
    memset(text, 'a', sizeof(text));
    static const char start[] = LINE("\r\nGET / HTTP/1.1");
    memcpy(text, start, sizeof(start) - 1);
    memcpy(text + 20000, "\r\n\r\n", 4);
    struct http_scan scan = { 0 };
    size_t tries = 0, len = 1;
    for (; len < sizeof(text); len++) {
        const bool ready = http_scan_ready(&scan, span_of(text, len), HTTP_HEAD_MAX);
        tries += ready;
        if (ready && len > 19999)
            break;
    }
    EXPECT_EQ(len, 20004); // at once when the end is there
    EXPECT(tries < 24);    // one a doubling, the end, and the empty line in front

    // The same end in one piece, with bytes behind it; and a bare LF, which is refused at once.
    scan = (struct http_scan){ 0 };
    EXPECT(http_scan_ready(&scan, SPAN("G"), HTTP_HEAD_MAX));
    EXPECT(http_scan_ready(&scan, SPAN("GET / HTTP/1.1\r\n"), HTTP_HEAD_MAX));
    EXPECT(!http_scan_ready(&scan, SPAN("GET / HTTP/1.1\r\nA: b"), HTTP_HEAD_MAX));
    EXPECT(!http_scan_ready(&scan, SPAN("GET / HTTP/1.1\r\nA: b\r\n\r"), HTTP_HEAD_MAX));
    EXPECT(http_scan_ready(&scan, SPAN("GET / HTTP/1.1\r\nA: b\r\n\r\nX"), HTTP_HEAD_MAX));
    scan = (struct http_scan){ .scanned = 5, .tried = 100 };
    EXPECT(http_scan_ready(&scan, SPAN("A: b\n\n"), HTTP_HEAD_MAX));
    // At the limit the parser has to say so.
    scan = (struct http_scan){ .scanned = 5, .tried = 6 };
    EXPECT(http_scan_ready(&scan, SPAN("abcdefg"), 7));
    EXPECT(!http_scan_ready(&scan, SPAN("abcdefg"), 8));
}

static void statuses_have_names(void)
{
    EXPECT_SPAN(span_str(http_reason(404)), "Not Found");
    EXPECT_SPAN(span_str(http_reason(429)), "Too Many Requests");
    EXPECT_SPAN(span_str(http_reason(299)), "Unknown");
    for (int one = 100; one < 600; one++)
        for (int other = one + 1; other < 600; other++)
            EXPECT(strcmp(http_reason(one), "Unknown") == 0 ||
                   strcmp(http_reason(one), http_reason(other)) != 0);
    for (int code = 1; code < ERR_CODE_COUNT; code++) {
        const int status = err_status((enum err_code)code);
        EXPECT(status == 0 || strcmp(http_reason(status), "Unknown") != 0);
    }
}

TEST_MAIN(TEST(a_request_is_parsed_in_place), TEST(methods_are_told_apart),
          TEST(targets_are_cut_to_their_path), TEST(empty_lines_before_a_request_are_skipped),
          TEST(connections_are_kept_by_version_and_word), TEST(hop_by_hop_fields_are_marked),
          TEST(a_body_is_announced_one_way), TEST(an_expectation_needs_a_body_and_1_1),
          TEST(repeated_fields_are_all_found), TEST(invalid_requests_are_refused),
          TEST(nul_bytes_are_refused), TEST(the_grammar_of_fields_is_exact), TEST(limits_are_exact),
          TEST(cutting_a_request_changes_nothing), TEST(an_answer_is_parsed),
          TEST(an_answers_body_follows_from_status_and_method),
          TEST(invalid_answers_are_the_upstreams_fault), TEST(an_endless_answer_head_is_cut),
          TEST(names_are_recognised_in_any_case), TEST(fast_and_plain_searches_agree),
          TEST(a_drip_is_parsed_a_few_times_only), TEST(statuses_have_names))
